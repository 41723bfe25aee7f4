/*
 * engine_internal.h: the parts of an open engine, for the files of this folder only.
 *
 * One DuckDB instance; a fixed number of connections, each in a slot. A statement holds a slot from
 * start to end, so whatever DuckDB calls on behalf of a connection (kal_scan, session functions)
 * finds its statement in the slot.
 *
 * Locks, in the order they are taken: engine->lock, slot->lock. None is held while DuckDB runs.
 */
#ifndef KAL_ENGINE_ENGINE_INTERNAL_H
#define KAL_ENGINE_ENGINE_INTERNAL_H

#include "base/thread.h"
#include "engine/allow_list.h"
#include "engine/duckdb_api.h"
#include "engine/engine.h"
#include "engine/file_rows.h"

#include <stdatomic.h>

#define KAL_ENGINE_SLOTS_MAX 64

/* A table reference of the running statement. */
typedef struct kal_scan_table {
    kal_engine_table table;   /* borrowed from the statement */
    const uint32_t *shown;    /* NULL, or the numbers in the statement's table of table.columns */
    bool shows_hidden;        /* the statement names hidden columns that may be this table's */
    bool by_files;            /* read by files.c where the statement runs */
    const char *files_select; /* arena; what kal_files(i) is then replaced by */
    kal_bytes written;        /* how the text names it: schema.table or table */
    bool has_alias;
} kal_scan_table;

/* What the statement can name of it; the hidden columns come last. */
static inline size_t kal_scan_column_count(const kal_scan_table *t)
{
    return t->table.column_count - (t->shows_hidden ? 0 : t->table.hidden_count);
}

/* A handle of DuckDB's for one of our types, made once. */
typedef struct kal_slot_type {
    kal_type type;
    duckdb_logical_type logical; /* owned; NULL: none yet */
} kal_slot_type;

/* Direct-mapped: every type without parameters has a place, the others share the rest. */
#define KAL_SLOT_TYPES 256

typedef struct kal_rewrite kal_rewrite;

typedef struct kal_slot {
    kal_engine *engine;
    duckdb_connection connection;        /* owned */
    duckdb_prepared_statement serialize; /* owned: SELECT json_serialize_sql($1, ...) */
    idx_t connection_id;
    bool busy; /* under engine->lock */

    /* The statement; set by its thread while DuckDB does not run, read by DuckDB's threads. */
    void *statement;
    const kal_scan_table *tables; /* arena of the query; kal_scan(i) is tables[i] */
    size_t table_count;
    KAL_VEC(kal_file_rows) files; /* of the tables that are by_files, ordered by path */
    bool has_parameters;          /* known when there are such */

    pthread_mutex_t lock;
    kal_error failure; /* under lock: the first error of a callback; status KAL_OK = none */

    kal_slot_type types[KAL_SLOT_TYPES]; /* of the thread that binds the statement */

    /* Watchdog, under engine->lock except stop. */
    bool watched;
    uint64_t deadline_mono_ns;     /* 0 = none */
    const _Atomic bool *cancelled; /* NULL = cannot be */
    _Atomic int stop;              /* kal_status: why it was interrupted; KAL_OK = it was not */
} kal_slot;

struct kal_engine {
    const kal_engine_ops *ops; /* borrowed */
    const kal_clock *clock;    /* borrowed */
    char *library_path;        /* owned */
    char *module_path;         /* owned */
    char *files_dir;           /* owned; NULL: this instance reads no file */
    kal_engine *files_engine;  /* owned; NULL, or for statements that read files */
    size_t memory_limit_bytes;
    unsigned threads;
    unsigned slot_count;
    kal_duckdb api; /* valid once opened */
    _Atomic bool stopping;

    pthread_mutex_t lock; /* protects the rest */
    pthread_cond_t slot_free;
    bool opened;
    unsigned busy_count;
    duckdb_database database;             /* owned */
    kal_slot slots[KAL_ENGINE_SLOTS_MAX]; /* connected while opened */

    pthread_t watchdog; /* runs from the first query on */
    pthread_cond_t watch_changed;
    bool watchdog_started;
    bool closing;
};

struct kal_engine_chunk {
    const kal_duckdb *api;
    duckdb_data_chunk chunk;
    const kal_type *types; /* one per column */
    size_t column_count;
};

/* ---- instance.c ---- */

/* Opens DuckDB if it is not, and takes a free slot; waits for one until the deadline. KAL_IO,
 * KAL_TIMEOUT, KAL_CANCELLED. */
KAL_MUST_CHECK kal_status kal_slot_acquire(kal_engine *engine, const kal_engine_query_args *query,
                                           kal_slot **slot_out, kal_error *err);
void kal_slot_release(kal_slot *slot);
/* The slot whose connection that is, or NULL. Takes ownership of the context. */
kal_slot *kal_slot_of(kal_engine *engine, duckdb_client_context context);
kal_slot *kal_slot_of_connection(kal_engine *engine, idx_t connection_id);
/* Keeps the first failure of a callback, which then becomes the statement's result. */
void kal_slot_fail(kal_slot *slot, const kal_error *failure);

/* ---- watchdog.c ---- */

KAL_MUST_CHECK kal_status kal_watchdog_start(kal_engine *engine, kal_error *err);
void kal_watchdog_stop(kal_engine *engine);
void kal_watch_begin(kal_slot *slot, const kal_engine_query_args *query);
void kal_watch_end(kal_slot *slot); /* no interrupt is sent after it returns */
/* KAL_TIMEOUT or KAL_CANCELLED with a message when the statement was stopped. */
KAL_MUST_CHECK kal_status kal_watch_check(const kal_slot *slot, kal_error *err);

/* ---- scan.c, functions.c, casts.c: what DuckDB calls ---- */

KAL_MUST_CHECK kal_status kal_scan_register(kal_engine *engine, duckdb_connection connection,
                                            kal_error *err);
KAL_MUST_CHECK kal_status kal_functions_register(kal_engine *engine, duckdb_connection connection,
                                                 kal_error *err);
KAL_MUST_CHECK kal_status kal_casts_register(kal_engine *engine, duckdb_connection connection,
                                             kal_error *err);
KAL_MUST_CHECK kal_status kal_vector_functions_register(kal_engine *engine,
                                                        duckdb_connection connection,
                                                        kal_error *err);

/* ---- files.c ---- */

/* Whether DuckDB may read the table's files itself. */
bool kal_files_may_read(const kal_engine_table *table);
/* Whether a table of the statement is read so. */
bool kal_files_wanted(const kal_rewrite *rewrite);
/* Makes the slot ready for the statement in it, whose tables and plan these are. */
KAL_MUST_CHECK kal_status kal_files_prepare(kal_slot *slot, kal_scan_table *tables,
                                            const kal_plan *plan, kal_arena *arena, kal_error *err);
KAL_MUST_CHECK kal_status kal_files_register(kal_engine *engine, duckdb_connection connection,
                                             kal_error *err);

/* ---- types_map.c ---- */

/* DuckDB's handle of a type, which the slot keeps; borrowed until the next call. */
duckdb_logical_type kal_slot_type_of(kal_slot *slot, kal_type type);
void kal_slot_types_release(kal_slot *slot);
/* Owned by the caller. */
duckdb_logical_type kal_duckdb_type(const kal_duckdb *api, kal_type type);
/* DuckDB keeps a UUID as a number whose top bit is flipped, so that it sorts. */
duckdb_hugeint kal_duckdb_uuid(kal_bytes bytes);
/* Owned by the caller; bytes are copied. */
duckdb_value kal_duckdb_value(const kal_duckdb *api, const kal_value *value);
/* Writes value i into a vector of its type. */
void kal_duckdb_store(const kal_duckdb *api, duckdb_vector vector, idx_t row,
                      const kal_value *value);

/* ---- rewrite.c ---- */

/* What was replaced, so that places in the new text can be told in the old one. */
typedef struct kal_edit {
    size_t start; /* in the old text */
    size_t end;
    kal_bytes text;
    kal_bytes view; /* the view it puts in place; len 0: it is something else */
    size_t scan;    /* 1 + the number of the table whose kal_scan() it is; 0: it is none */
} kal_edit;

struct kal_rewrite {
    KAL_VEC(kal_edit) edits; /* arena; sorted by start */
    kal_scan_table *tables;  /* arena; one per reference of the plan */
    size_t table_count;
};

/* One text that DuckDB is to run, without views. */
typedef struct kal_query_text {
    kal_bytes text;
    kal_plan *plan; /* NULL: not made yet */
    /* What may be read of the plan's tables, in their order; NULL: all of each. */
    const kal_engine_reads *reads;
    size_t reads_count;
} kal_query_text;

/* Resolves the plan's tables and decides the edits. */
KAL_MUST_CHECK kal_status kal_rewrite_plan(kal_engine *engine, void *statement,
                                           const kal_query_text *query, kal_arena *arena,
                                           kal_rewrite *out, kal_error *err);
/* Adds an edit for each type name that is ours alone (type_names.c); sorts the plan's casts.
 * KAL_SYNTAX: EMBEDDING without its dimension. */
KAL_MUST_CHECK kal_status kal_rewrite_types(kal_bytes text, kal_plan *plan, kal_arena *arena,
                                            kal_rewrite *out, kal_error *err);
/* By place, as kal_rewrite_apply() needs them. */
void kal_rewrite_sort(kal_rewrite *rewrite);
/* Tables of which DuckDB may read the files are read so from now on. */
KAL_MUST_CHECK kal_status kal_rewrite_to_files(kal_rewrite *rewrite, kal_arena *arena,
                                               kal_error *err);
void kal_rewrite_apply(const kal_rewrite *rewrite, kal_bytes text, kal_buf *out);
/* DuckDB names a column without a name by its text: puts back what the user wrote for tables and
 * count(*). False: there is nothing to put back, and out is untouched. */
bool kal_rewrite_restore(const kal_scan_table *tables, size_t count, const char *name,
                         kal_buf *out);
/* A place of the new text in the old one. */
size_t kal_rewrite_origin(const kal_rewrite *rewrite, size_t position);

/* KAL_LIMIT: the arena's budget refused. */
kal_status kal_engine_too_large(kal_error *err);

/* ---- query.c, views.c ---- */

/* Bounds, DuckDB's parse and the allow-list: the plan of a text, in the arena. */
KAL_MUST_CHECK kal_status kal_query_plan(kal_slot *slot, kal_bytes text, bool is_admin,
                                         kal_arena *arena, kal_plan **plan_out, kal_error *err);
/* Binds the text, which has no parameters, and forgets it: KAL_OK when it could run. Its plan is
 * made here. */
KAL_MUST_CHECK kal_status kal_query_check(kal_slot *slot, void *statement, kal_query_text query,
                                          kal_arena *arena, kal_error *err);

typedef struct kal_views_place {
    kal_slot *slot;
    void *statement;
    bool is_admin;   /* may write longer texts */
    uint64_t moment; /* of all schemas; see kal_engine_ops */
} kal_views_place;

/* A text with its views in place, and what was replaced. In the arena. */
typedef struct kal_expanded {
    kal_query_text query;
    kal_rewrite views;
} kal_expanded;

/* Replaces the views in text. What a view reads must be valid by itself: else a column that is gone
 * could be found in what stands next to the view. */
KAL_MUST_CHECK kal_status kal_views_expand(const kal_views_place *place, kal_bytes text,
                                           kal_arena *arena, kal_expanded *out, kal_error *err);
/* What went wrong inside a view is said of it, at the place where it is named. Returns status. */
kal_status kal_views_error(kal_bytes view, size_t position, kal_status status, kal_error *err);

/* ---- errors.c ---- */

/* Turns DuckDB's error (JSON) into ours. */
kal_status kal_engine_error(const char *json, const kal_rewrite *rewrite, kal_error *err);

/* ---- result.c ---- */

/* Fetches everything and hands it to the sink. */
KAL_MUST_CHECK kal_status kal_result_deliver(kal_slot *slot, duckdb_result *result,
                                             const kal_engine_query_args *query,
                                             const kal_engine_sink *sink, kal_error *err);

#endif
