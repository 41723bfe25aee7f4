/*
 * engine.h: any SELECT, by DuckDB, over tables that live elsewhere.
 *
 * DuckDB never sees a file, never runs anything but one checked SELECT, and reads tables only
 * through views over the table function kal_scan, which asks the caller (kal_engine_ops) for rows
 * of the statement's own view of the database. So a statement sees one moment and one user,
 * whatever it joins.
 *
 *   text --json_serialize_sql--> AST --allow-list--> table references --ops->resolve--> views
 *        --prepare, bind--> stream of chunks --> sink
 *
 * The library is opened lazily by the first query; a server that never needs it never pays.
 *
 * Threads: any, but kal_engine_query() needs a stack of 8 MiB (KAL_ENGINE_STACK_BYTES) and blocks.
 * Source: design section 9; reference duckdb-c-api.md sections 6, 12; duckdb-scan-prototype.md.
 */
#ifndef KAL_ENGINE_ENGINE_H
#define KAL_ENGINE_ENGINE_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "types/json.h"
#include "types/value.h"

#define KAL_ENGINE_STACK_BYTES (8u * 1024u * 1024u)

typedef struct kal_engine kal_engine; /* opaque: kal_engine_close */

typedef struct kal_engine_column {
    kal_bytes name;
    kal_type type;
    kal_bytes inner_name; /* of a result: by which an outer SELECT in DuckDB knows it */
} kal_engine_column;

/* A column of a table in a Parquet file. */
typedef struct kal_engine_file_column {
    kal_bytes name;           /* as it was written; len 0: the file does not have it */
    kal_type type;            /* in the file */
    const kal_value *initial; /* what it reads as when it is not there; NULL = NULL */
} kal_engine_file_column;

/* Some rows of a table, as a file that DuckDB may read itself (kal_engine_options.files_dir). */
typedef struct kal_engine_file {
    const char *path;
    const kal_engine_file_column *columns; /* one per column of the table, hidden ones left out */
    kal_bytes seq_name;                    /* of the column that is the hidden _seq */
    uint32_t version;                      /* files of one version have the same columns */
    const uint64_t *dead; /* bit i of word i / 64: row i is no row any more; NULL: all are rows */
    uint64_t row_count;
} kal_engine_file;

/* One key of an ORDER BY. */
typedef struct kal_engine_order {
    uint32_t column; /* of the table, shown */
    bool descending;
    kal_bytes nulls; /* "FIRST", "LAST"; empty: as DuckDB has them */
} kal_engine_order;

/* A table as the engine needs it. Everything borrowed, valid while the statement runs. */
typedef struct kal_engine_table {
    uint64_t id;      /* identity of this definition; a changed or re-created table has another */
    kal_bytes schema; /* namespace */
    kal_bytes name;
    const kal_engine_column *columns; /* in ordinal order; what SELECT * shows comes first */
    size_t column_count;
    size_t hidden_count; /* the last so many columns are selectable but not part of * (_seq, ...) */
    double row_estimate;
    const kal_engine_file *files; /* of these rows; the cursor of open() may then leave them out */
    size_t file_count;
    const kal_engine_order *order; /* with top_rows: */
    size_t order_count;
    uint64_t top_rows; /* no more than the first so many in this order matter; 0: all do */
} kal_engine_table;

typedef struct kal_engine_cursor kal_engine_cursor; /* defined by the caller */

/* Where rows go that a cursor gives many at a time: opaque. The columns are those of open(). */
typedef struct kal_engine_chunk kal_engine_chunk;
/* At most so many rows go into one. */
#define KAL_ENGINE_CHUNK_ROWS 2048u
/* Rows as values, row after row, one value per column; bytes are copied. */
void kal_engine_chunk_store(kal_engine_chunk *chunk, const kal_value *values, size_t row_count);
/* One value in so many rows of a column. */
void kal_engine_chunk_fill(kal_engine_chunk *chunk, size_t column, const kal_value *value,
                           size_t row_count);

typedef struct kal_engine_name {
    kal_bytes schema;
    kal_bytes name;
} kal_engine_name;

/* Which columns of a table a view's SELECT can name: those that the table had when the view was
 * made. Columns that were added since must not take a name that meant another one. */
typedef struct kal_engine_reads {
    bool all;
    uint64_t table_id;       /* unless all: of the definition that columns is about */
    const uint32_t *columns; /* indexes into its columns, the hidden ones left out */
    size_t count;
} kal_engine_reads;

/* What the engine asks of the statement that runs. `statement` is what kal_engine_query() was
 * given. resolve is called on the thread of kal_engine_query(); open, next and close also on
 * DuckDB's threads, several at once for different cursors of one statement. */
typedef struct kal_engine_ops {
    /* schema empty: the statement's default namespace. KAL_NOT_FOUND with a helpful message,
     * KAL_DENIED. */
    kal_status (*resolve)(void *statement, kal_bytes schema, kal_bytes name,
                          kal_engine_table *table_out, kal_error *err);
    /* The SELECT of a view, its names qualified; borrowed while the statement runs. KAL_NOT_FOUND,
     * and err left alone: the name is a table's, or nobody's. */
    kal_status (*view)(void *statement, kal_bytes schema, kal_bytes name, kal_bytes *sql_out,
                       kal_error *err);
    /* Of a table that the view's SELECT names, or of a view. */
    kal_status (*view_reads)(void *statement, const kal_engine_name *view,
                             const kal_engine_name *table, kal_engine_reads *reads_out,
                             kal_error *err);
    /* Changes with every change of any schema. */
    uint64_t (*moment)(void *statement);
    /* Whether the view's text was found to stand by itself at this moment, and that it was. */
    bool (*is_view_checked)(void *statement, kal_bytes schema, kal_bytes name, uint64_t moment);
    void (*set_view_checked)(void *statement, kal_bytes schema, kal_bytes name, uint64_t moment);
    /* Whether a table with files certainly has no rows beside them. Quick: true only if that is
     * known without the disk and without looking up many rows of deleted ranges. */
    bool (*is_all_in_files)(void *statement, uint64_t table_id);
    /* Starts reading the table's columns[] (indexes into its columns, in the order wanted;
     * column_count may be 0: only the number of rows matters). without_files: rows that lie in its
     * files are read otherwise. */
    kal_status (*open)(void *statement, uint64_t table_id, const uint32_t *columns,
                       size_t column_count, bool without_files, kal_engine_cursor **cursor_out,
                       kal_error *err);
    /* Up to rows_max rows, row after row, column_count values each; KAL_OK with 0 rows at the end,
     * when next_chunk has the rest. Bytes in values live until the next call. */
    kal_status (*next)(kal_engine_cursor *cursor, size_t rows_max, kal_value *values,
                       size_t *rows_out, kal_error *err);
    /* NULL, or the rows that next() leaves out, a chunk at a time; 0 rows at the end. */
    kal_status (*next_chunk)(kal_engine_cursor *cursor, kal_engine_chunk *chunk, size_t *rows_out,
                             kal_error *err);
    void (*close)(kal_engine_cursor *cursor);
    /* Values of the session functions: CURRENT_USER() and friends as TEXT; false when the name is
     * none of them. */
    bool (*session_value)(void *statement, kal_bytes function, kal_value *value_out);
    /* New values for SNOWFLAKE_ID(), UUID_V7(), ULID(). */
    bool (*generate)(void *statement, kal_bytes function, kal_arena *arena, kal_value *value_out);
} kal_engine_ops;

typedef struct kal_engine_options {
    const char *library_path;  /* libduckdb.so */
    const char *module_path;   /* libkal_duckdb_module.so; NULL: where it was built */
    size_t memory_limit_bytes; /* of the instance */
    unsigned threads;          /* of DuckDB; 0 = 1 */
    unsigned concurrent_max;   /* statements at a time; 0 = 1; others wait */
    const char *files_dir;     /* NULL, or where files of tables are: a second instance, for the
                                  statements that need them, may read it and nothing else */
    const kal_clock *clock;    /* borrowed */
} kal_engine_options;

/* Does not open DuckDB yet. ops is borrowed, static. */
KAL_MUST_CHECK kal_status kal_engine_open(const kal_engine_options *options,
                                          const kal_engine_ops *ops, kal_engine **engine_out,
                                          kal_error *err);
/* Queries end with KAL_CANCELLED from now on, those that run soon. NULL is allowed. */
void kal_engine_stop(kal_engine *engine);
void kal_engine_close(kal_engine *engine); /* NULL is allowed; asserts that no query runs */

/* Receives a result. Values are borrowed for the call. A status other than KAL_OK stops the query
 * and becomes its result. */
typedef struct kal_engine_sink {
    void *context;
    kal_status (*begin)(void *context, const kal_engine_column *columns, size_t column_count,
                        kal_error *err);
    kal_status (*row)(void *context, const kal_value *values, kal_error *err);
} kal_engine_sink;

typedef struct kal_engine_query_args {
    kal_bytes sql; /* one SELECT */
    kal_bytes default_schema;
    const kal_value *params;    /* $1 is params[0] */
    const kal_json *param_json; /* what was sent for each, or NULL */
    size_t param_count;
    uint64_t deadline_mono_ns;     /* 0 = none */
    bool is_admin;                 /* larger caps on the text */
    const _Atomic bool *cancelled; /* NULL, or polled: the statement was given up */
    kal_budget *budget;            /* the statement's; NULL = unlimited */
} kal_engine_query_args;

/*
 * Runs one SELECT. KAL_SYNTAX (with the position when DuckDB gives one; unknown columns and tables
 * with a near name), KAL_UNSUPPORTED (something the allow-list does not have, by name),
 * KAL_NOT_FOUND (table, from resolve), KAL_DENIED, KAL_LIMIT (size, depth, memory), KAL_TIMEOUT,
 * KAL_CANCELLED, KAL_INVALID (run-time errors such as overflow or a failed cast), KAL_IO (the
 * library cannot be loaded). Result types outside the 17 map by the table in docs/types.md.
 */
KAL_MUST_CHECK kal_status kal_engine_query(kal_engine *engine, void *statement,
                                           const kal_engine_query_args *query,
                                           const kal_engine_sink *sink, kal_error *err);

/* "v1.4.4" once opened, else NULL. */
const char *kal_engine_library_version(kal_engine *engine);

/* The alias of a view's own SELECT in the text that runs: DuckDB names columns by their text, and
 * by this word it is known that the text is not the user's. */
#define KAL_VIEW_BODY "kal_view"

/* What a new view keeps of its SELECT. In the arena. */
typedef struct kal_engine_qualified {
    kal_bytes text;          /* default_schema put before every table that has none */
    kal_engine_name *tables; /* that it names, views too; some perhaps twice */
    size_t table_count;
} kal_engine_qualified;

/* The SELECT query->sql of `view`. As kal_engine_query(); KAL_INVALID: it has parameters, or reads
 * the view itself; KAL_LIMIT: it reads too many views. */
KAL_MUST_CHECK kal_status kal_engine_qualify(kal_engine *engine, void *statement,
                                             const kal_engine_query_args *query,
                                             const kal_engine_name *view, kal_arena *arena,
                                             kal_engine_qualified *out, kal_error *err);

#endif
