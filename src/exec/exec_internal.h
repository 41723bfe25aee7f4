/*
 * exec_internal.h: what the files of exec/ share: the open database, one request, one statement.
 *
 * A request runs its statements one after another. Each statement has a kal_run: identity, text,
 * parameters, memory, and the view it reads through. Statement kinds are one function each
 * (kal_run_*), which write their result through kal_result_*.
 */
#ifndef KAL_EXEC_EXEC_INTERNAL_H
#define KAL_EXEC_EXEC_INTERNAL_H

#include "base/ids.h"
#include "base/json_writer.h"
#include "base/list.h"
#include "base/vec.h"
#include "engine/engine.h"
#include "exec/exec.h"
#include "jobs/jobs.h"
#include "sql/binder.h"
#include "sql/parser.h"
#include "sql/row_values.h"
#include "table/table.h"

#include <pthread.h>

typedef struct kal_pool kal_pool;       /* pool.c */
typedef struct kal_stats kal_stats;     /* stats.h */
typedef struct kal_evictor kal_evictor; /* evictor.h */
typedef struct kal_cold kal_cold;       /* cold.h */
typedef struct kal_exports kal_exports; /* exports.h */

struct kal_exec {
    kal_exec_options options;
    uint64_t serial;   /* unique in the process */
    kal_budget budget; /* of all statements */
    kal_ids ids;
    kal_kv *kv;
    kal_sched *sched;
    kal_catalog *catalog;
    kal_tables *tables;
    kal_auth *auth;
    kal_engine *engine;
    kal_pool *pool;        /* statements; they leave it when they come to need DuckDB */
    kal_pool *engine_pool; /* as many threads as DuckDB runs statements at a time */
    kal_stats *stats;
    kal_jobs *jobs;
    kal_evictor *evictor;
    kal_cold *cold;
    kal_exports *exports;
    kal_live *live;
    pthread_mutex_t live_lock; /* protects the next two */
    void (*live_wake)(void *context, unsigned worker);
    void *live_wake_context;
    pthread_mutex_t lock;                         /* protects the next four */
    pthread_cond_t idle;                          /* requests became 0 */
    size_t requests;                              /* submitted and not yet done */
    bool closing;                                 /* nothing new is taken */
    KAL_VEC(kal_catalog_worker *) inline_workers; /* of threads that call kal_exec_submit() */
    _Atomic bool stop;                            /* running queries end */
    _Atomic bool backup_check_runs;               /* SHOW BACKUP */
    int64_t backup_tried_us;                      /* backup_schedule.c's own */
};

/* The calling thread's worker. */
kal_catalog_worker *kal_exec_inline_worker(kal_exec *exec);
KAL_MUST_CHECK kal_status kal_exec_open_live(kal_exec *exec, kal_error *err);
/* Counts a request in (false: closing) and out. */
bool kal_exec_enter(kal_exec *exec);
void kal_exec_leave(kal_exec *exec);

/* ---- results ---- */

typedef struct kal_result_column {
    kal_bytes name;
    kal_type type;
    bool is_key;      /* flag "pk" */
    bool is_not_null; /* flag "nn" */
} kal_result_column;

/* Writes the "results" of one reply, a result after the other. */
typedef struct kal_result {
    kal_buf *body; /* borrowed; charged to the request's budget */
    kal_json_writer json;
    uint64_t row_count;
    const kal_principal *principal;
    size_t start; /* of the current result in body, to take it back */
    kal_json_writer json_start;
} kal_result;

void kal_result_begin(kal_result *r, const kal_result_column *columns, size_t count);
KAL_MUST_CHECK kal_status kal_result_row(kal_result *r, const kal_value *values, size_t count,
                                         kal_error *err);
void kal_result_end(kal_result *r);
/* Schema and rows as written so far, before kal_result_end(): to be written again later. Borrowed
 * from the body until it changes. */
kal_bytes kal_result_written(const kal_result *r);
/* A whole result out of such a text. */
void kal_result_again(kal_result *r, kal_bytes written, uint64_t row_count);
/* A result without rows: DDL, and DML without RETURNING. */
void kal_result_message(kal_result *r, uint64_t row_count, const char *format, ...)
    KAL_PRINTF(3, 4);
/* Forgets everything since the last kal_result_begin(): the statement starts over. */
void kal_result_restart(kal_result *r);
/* The whole reply instead: the error shape. details: the failed statement, or empty. */
void kal_result_error(const kal_error *err, kal_bytes details, double took_ms, kal_buf *body);
/* The member "took" of a reply, in ms. */
void kal_result_took(kal_json_writer *w, double took_ms);

/* ---- one statement ---- */

/* System rows are made once per statement, however often the table is referred to. */
typedef struct kal_run_system {
    uint32_t table_id;
    kal_system_rows rows;
} kal_run_system;

typedef struct kal_run {
    kal_exec *exec;
    kal_catalog_worker *worker; /* of this thread */
    const kal_principal *principal;
    kal_arena *arena;   /* of the statement */
    kal_budget *budget; /* of the request */
    const kal_sql_statement *statement;
    const kal_value *params;
    const kal_json *param_json; /* what was sent for each; NULL without parameters */
    size_t param_count;
    const kal_json *param_rows; /* a batch: INSERT, UPDATE or DELETE once per row; or NULL */
    kal_bytes default_namespace;
    kal_expr_session session;
    kal_view *view;       /* what it reads; of the transaction, or its own */
    kal_overlay *overlay; /* of the transaction; NULL outside */
    kal_result *result;
    uint64_t deadline_ns;
    const _Atomic bool *cancelled; /* nobody waits for the answer */
    kal_path path;                 /* of SELECT */
    bool inline_only;    /* on an event loop: bounded work, no disk; KAL_BUSY means "to the pool" */
    bool may_use_engine; /* on a thread of the engine's pool */
    bool wants_engine;   /* set with KAL_BUSY: the statement starts over where it may */
    const kal_table *ranged; /* NULL, or the only table of a SELECT for DuckDB, of which no other
                                rows matter than those between the bounds (of ordered primary keys)
                                that meet the conditions */
    kal_bytes range_lower;
    kal_bytes range_upper; /* empty: none */
    kal_conditions conditions;
    const kal_table *topped; /* NULL, or the only table of such a SELECT, of which no others */
    const kal_engine_order *top_order; /* than the first top_rows in this order matter; arena */
    size_t top_order_count;
    uint64_t top_rows;
    KAL_VEC(kal_table *) tables; /* retained for the statement; arena */
    KAL_VEC(kal_run_system) system;
    KAL_VEC(kal_dead_rows *) dead;     /* references of the statement; arena */
    KAL_VEC(kal_cached_object *) pins; /* the same */
    pthread_mutex_t *system_lock;      /* the engine's threads share `system` */
    const char *peer;
} kal_run;

/* The table as named in SQL, kept for the statement. */
KAL_MUST_CHECK kal_status kal_run_table(kal_run *run, const kal_sql_object *name,
                                        kal_table **table_out, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_table_named(kal_run *run, kal_bytes ns, kal_bytes name,
                                              kal_table **table_out, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_system_rows(kal_run *run, kal_table *table,
                                              kal_system_rows *rows_out, kal_error *err);
/* A view at this moment, which knows what definitions it has. */
void kal_run_view_open(kal_exec *exec, kal_view *view, uint64_t user_no, kal_overlay *overlay);
/* The view's scans ask kal_run_check_time() where nobody else does. */
void kal_run_watch_view(const kal_run *run, kal_view *view);
/* KAL_TIMEOUT when the deadline has passed, KAL_CANCELLED when nobody waits any more; ask every
 * thousand rows or so. */
KAL_MUST_CHECK kal_status kal_run_check_time(const kal_run *run, kal_error *err);
/* The same for what has no deadline. */
KAL_MUST_CHECK kal_status kal_run_check_stop(const kal_run *run, kal_error *err);
/* The two for what asks with a pointer that it was given: the kal_run. */
KAL_MUST_CHECK kal_status kal_run_time_hook(void *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_stop_hook(void *run, kal_error *err);
/* The partition that the identity reads and writes in this table: 0 for SHARED. */
uint64_t kal_run_user_no(const kal_run *run, const kal_table *table);

/* Runs one statement but BEGIN, COMMIT, ROLLBACK and USE; blocking. */
KAL_MUST_CHECK kal_status kal_run_statement(kal_run *run, kal_error *err);

/* ---- rights ---- */

KAL_MUST_CHECK kal_status kal_may_read(const kal_principal *p, const kal_table *table,
                                       kal_error *err);
KAL_MUST_CHECK kal_status kal_may_write(const kal_principal *p, const kal_table *table,
                                        kal_error *err);
KAL_MUST_CHECK kal_status kal_may_change_schema(const kal_principal *p, kal_error *err);
KAL_MUST_CHECK kal_status kal_may_manage(const kal_principal *p, const char *what, kal_error *err);

/* ---- reading ---- */

KAL_MUST_CHECK kal_status kal_run_select(kal_run *run, kal_error *err);
/* SELECT count(*) FROM t without reading rows; *done_out false: it is another SELECT, or that
 * cannot be said without reading. */
KAL_MUST_CHECK kal_status kal_run_count(kal_run *run, bool *done_out, kal_error *err);

/* A row source for INSERT ... SELECT and DML that DuckDB evaluates: runs `sql` through the engine.
 * KAL_BUSY, with run->wants_engine, on a thread that may not; nothing must have changed by then. */
KAL_MUST_CHECK kal_status kal_run_engine(kal_run *run, kal_bytes sql, const kal_engine_sink *sink,
                                         kal_error *err);
/* The SELECT with its tables qualified: what the view is to keep. In the run's arena. */
KAL_MUST_CHECK kal_status kal_run_qualify(kal_run *run, kal_bytes sql, const kal_engine_name *view,
                                          kal_engine_qualified *out, kal_error *err);
const kal_engine_ops *kal_exec_engine_ops(void);
/* The table's segments as files that DuckDB may read itself, where that is possible: into `out`. */
KAL_MUST_CHECK kal_status kal_run_engine_files(kal_run *run, kal_table *table,
                                               kal_engine_table *out, kal_error *err);

/* The key range that WHERE allows, as ordered key bytes. *point_out: it is one key. */
typedef struct kal_key_range {
    kal_buf lower;
    kal_buf upper;
    bool is_point; /* lower is the whole key */
    bool is_empty; /* no row can match */
} kal_key_range;
KAL_MUST_CHECK kal_status kal_key_range_init(kal_key_range *range, const kal_table *table,
                                             const kal_expr *where, kal_budget *budget,
                                             kal_error *err);
/* A point becomes a range: everything from the key to just after it. */
void kal_key_range_spread(kal_key_range *range);
void kal_key_range_release(kal_key_range *range);

/* What WHERE (a bound tree) demands of columns; in the run's arena. */
kal_conditions kal_run_conditions(kal_run *run, const kal_table *table, const kal_expr *where);

kal_binder kal_run_binder(kal_run *run, const kal_table *table, kal_bytes alias);

/* ---- writing ---- */

KAL_MUST_CHECK kal_status kal_run_insert(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_update(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_delete(kal_run *run, kal_error *err);

/*
 * Builds a key-bound write for the lane: *write_out is NULL when the statement is not of that kind
 * (then the prepared way is taken). finish writes the result after the commit.
 */
typedef struct kal_direct_write kal_direct_write;
KAL_MUST_CHECK kal_status kal_direct_write_prepare(kal_run *run, kal_direct_write **direct_out,
                                                   kal_error *err);
kal_write *kal_direct_write_of(kal_direct_write *direct);
KAL_MUST_CHECK kal_status kal_direct_write_finish(kal_direct_write *direct, kal_run *run,
                                                  kal_error *err);
void kal_direct_write_close(kal_direct_write *direct); /* NULL is allowed */

/* ---- schema, users, showing ---- */

/* Commits what `change` collected, durably, through the lane. */
KAL_MUST_CHECK kal_status kal_run_commit_change(kal_run *run, kal_catalog_change *change,
                                                kal_error *err);

KAL_MUST_CHECK kal_status kal_run_create_namespace(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_drop_namespace(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_alter_namespace(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_create_view(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_drop_view(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_create_table(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_drop_table(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_alter_table(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_create_user(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_alter_user(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_drop_user(kal_run *run, kal_error *err);
/* DROP USER ... ERASE of a user who may have been dropped before; erase.c. */
KAL_MUST_CHECK kal_status kal_run_erase_user(kal_run *run, const kal_user *user, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_create_storage(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_alter_storage(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_drop_storage(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_show_storages(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_storage_check(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_show_namespaces(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_show_tables(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_show_create_table(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_show_stats(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_flush(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_show_manifest(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_backup(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_restore(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_show_backup(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_show_backups(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_export(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_show_export(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_show_jobs(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_show_live_queries(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_kill_live_query(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_subscribe(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_explain_live(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_kill_job(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_describe(kal_run *run, kal_error *err);
KAL_MUST_CHECK kal_status kal_run_show_schema_diff(kal_run *run, kal_error *err);

/* ---- threads ---- */

typedef void (*kal_pool_fn)(void *context, kal_catalog_worker *worker);
KAL_MUST_CHECK kal_status kal_pool_open(kal_catalog *catalog, unsigned threads, kal_pool **pool_out,
                                        kal_error *err);
/* For this user, who has at most all threads but one at a time. KAL_BUSY when too much is waiting.
 */
KAL_MUST_CHECK kal_status kal_pool_submit(kal_pool *pool, uint64_t user_no, kal_pool_fn fn,
                                          void *context, kal_error *err);
void kal_pool_close(kal_pool *pool); /* runs what was submitted, then ends; NULL is allowed */

#endif
