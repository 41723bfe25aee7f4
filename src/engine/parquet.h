/*
 * parquet.h: Parquet files, written and read by a DuckDB instance of its own (*storage*).
 *
 * This instance alone touches files, and it never sees a user's text. Row i of the source is row i
 * of the file, and every value comes back bit for bit, NaN and -0.0 included. Readers that know
 * nothing of us see natural types:
 *
 *   our type                      in the file (logical type)
 *   BOOLEAN, SMALLINT, INT, ...   boolean, INT_16, INT_32, INT_64, FLOAT, DOUBLE
 *   DECIMAL(p, s)                 DECIMAL(p, s) over INT32, INT64 or 16 bytes
 *   TEXT, FILE                    string; JSON: string with logical type JSON; BYTES: binary
 *   TIMESTAMP, DATETIME           TIMESTAMP(us), adjusted to UTC: no, yes; infinities +-INT64_MAX
 *   DATE, TIME                    DATE (infinities +-INT32_MAX), TIME(us)
 *   UUID                          UUID
 *   EMBEDDING(n)                  list of FLOAT
 *
 * Columns have their names, but for file_row_number and __duckdb_field_id, which mean something to
 * DuckDB: they have a _ behind them in the file, and so has a column whose name is one of these and
 * underscores.
 *
 * Two things that DuckDB's writer cannot do per column follow the whole file. A dictionary takes
 * 0.0 and -0.0, and all NaNs, for one value: a file with a FLOAT, DOUBLE or EMBEDDING column has no
 * dictionaries. There is one compression: embeddings have the table's. Every column is optional.
 *
 * A file is opened here and handed to DuckDB by descriptor: its name is never part of SQL, is not a
 * pattern, and what was opened is read to the end although the name is removed meanwhile.
 *
 * Each file has a checksum of its bytes inside, where other readers do not look; it is compared
 * when a process first reads the file, so a flipped bit is an error and never another value. Files
 * that were not written here have none and are refused.
 *
 * Threads: any, with stacks of KAL_ENGINE_STACK_BYTES; a scan belongs to one at a time. Nothing is
 * kept between two scans of a file but what the system caches.
 * Source: design sections 8 and 9; reference duckdb-c-api.md section 8.
 */
#ifndef KAL_ENGINE_PARQUET_H
#define KAL_ENGINE_PARQUET_H

#include "base/error.h"
#include "engine/engine.h"
#include "schema/table_options.h"
#include "types/value.h"

#include <stdatomic.h>

#define KAL_PARQUET_ROW_GROUP_ROWS 20480u

typedef struct kal_parquet kal_parquet; /* opaque: kal_parquet_close */

typedef struct kal_parquet_options {
    const char *library_path;  /* libduckdb.so; borrowed for the call */
    size_t memory_limit_bytes; /* of the instance */
    unsigned threads; /* of DuckDB, besides the callers'; 0 = 1: each caller does its work */
} kal_parquet_options;

/* Does not open DuckDB yet: the first write or scan does. */
KAL_MUST_CHECK kal_status kal_parquet_open(const kal_parquet_options *options,
                                           kal_parquet **parquet_out, kal_error *err);
void kal_parquet_close(kal_parquet *parquet); /* NULL is allowed; asserts that nothing runs */

/* ---- writing ---- */

typedef struct kal_parquet_column {
    kal_bytes name; /* without NUL; no two equal when case is ignored */
    kal_type type;
    bool not_null; /* a NULL in it ends the write */
    uint32_t field_id;
} kal_parquet_column;

/* Rows in the order of the file. */
typedef struct kal_parquet_source {
    void *context;
    /* Up to rows_max rows, row after row, column_count values each, of the columns' types; KAL_OK
     * with 0 rows at the end. Bytes live until the next call. Called on one thread at a time, not
     * always the same. */
    kal_status (*next)(void *context, size_t rows_max, kal_value *values, size_t *rows_out,
                       kal_error *err);
} kal_parquet_source;

/* Of the file's key-value metadata. */
typedef struct kal_parquet_metadata {
    kal_bytes key;   /* UTF-8 without NUL, not empty; no two equal when case is ignored */
    kal_bytes value; /* any bytes */
} kal_parquet_metadata;

typedef struct kal_parquet_write_args {
    const char *path;                  /* a new file; not synced here */
    const kal_parquet_column *columns; /* at least one */
    size_t column_count;
    kal_compression compression;
    uint32_t row_group_rows; /* 0 = KAL_PARQUET_ROW_GROUP_ROWS; a group is full with the chunk of
                                2,048 rows that brings it there, or 64 MiB */
    const kal_parquet_metadata *metadata;
    size_t metadata_count;
    const _Atomic bool *cancelled; /* or NULL; looked at every 2,048 rows */
} kal_parquet_write_args;

typedef struct kal_parquet_written {
    uint64_t row_count;
    uint64_t checksum; /* tells the file apart from others */
} kal_parquet_written;

/*
 * On failure the file may be there in part: the caller removes it. What the source returned;
 * KAL_EXISTS: there is such a file, which is left alone; KAL_IO names the path (disk full,
 * permission) or the library; KAL_INVALID: a name or key that cannot be stored, a NULL where none
 * may be; KAL_LIMIT: the instance's memory; KAL_CANCELLED.
 */
KAL_MUST_CHECK kal_status kal_parquet_write(kal_parquet *parquet,
                                            const kal_parquet_write_args *args,
                                            const kal_parquet_source *source,
                                            kal_parquet_written *out, kal_error *err);

/* ---- reading ---- */

typedef enum kal_parquet_op {
    KAL_PARQUET_EQ,
    KAL_PARQUET_GE,
    KAL_PARQUET_GT,
    KAL_PARQUET_LE,
    KAL_PARQUET_LT,
} kal_parquet_op;

/* `name op value`, in the order of kal_value_compare(); a NULL on either side is not true. Row
 * groups are skipped by their statistics. */
typedef struct kal_parquet_filter {
    kal_bytes name;
    kal_parquet_op op;
    kal_value value; /* of the column's type in the file; not EMBEDDING */
} kal_parquet_filter;

typedef struct kal_parquet_read_column {
    kal_bytes name;
    kal_type file_type;
    kal_type type; /* what file_type widens to (types/widen.h) */
} kal_parquet_read_column;

/* Everything borrowed until the scan is closed, name and values of filters for the call. */
typedef struct kal_parquet_scan_args {
    const char *path;
    uint64_t checksum; /* that the file has to have; 0: any */
    const kal_parquet_read_column *columns;
    size_t column_count;               /* may be 0: only row numbers and their count matter */
    const kal_parquet_filter *filters; /* all must hold */
    size_t filter_count;
    bool no_row_numbers; /* are asked: reading by chunks, which then counts from 0 */
    bool few_rows; /* are expected: they are read at once and held in DuckDB's memory, which saves
                      the third of a point read that starting a stream costs */
    /* Asked between batches; what it answers, but KAL_OK, ends the scan. NULL: nobody. */
    kal_status (*check)(const void *context, kal_error *err);
    const void *check_context;
    kal_budget *budget; /* of the rows at hand; NULL = unlimited */
} kal_parquet_scan_args;

typedef struct kal_parquet_scan kal_parquet_scan; /* opaque: kal_parquet_scan_close */

/* KAL_IO: the file cannot be opened; KAL_CORRUPT: its bytes are not those that were written, it
 * has no such column, or one of another type. Both name the path. KAL_LIMIT, KAL_CANCELLED,
 * KAL_TIMEOUT. */
KAL_MUST_CHECK kal_status kal_parquet_scan_open(kal_parquet *parquet,
                                                const kal_parquet_scan_args *args,
                                                kal_parquet_scan **scan_out, kal_error *err);
/* Up to rows_max rows in the order of the file; row_numbers_out[i] (may be NULL): the row's number
 * in the file, from 0. Bytes live until the next call. 0 rows: the end. As scan_open(); after a
 * failure only to be closed. */
KAL_MUST_CHECK kal_status kal_parquet_scan_next(kal_parquet_scan *scan, size_t rows_max,
                                                kal_value *values, uint64_t *row_numbers_out,
                                                size_t *rows_out, kal_error *err);
void kal_parquet_scan_close(kal_parquet_scan *scan); /* NULL is allowed; early too */

/* ---- reading by chunks: without making values, for another instance of DuckDB ---- */

typedef struct kal_parquet_chunk {
    size_t row_count;           /* up to KAL_ENGINE_CHUNK_ROWS; 0: the end */
    const int64_t *row_numbers; /* one per row, in the file; NULL: not asked */
} kal_parquet_chunk;

/* The next chunk; borrowed until the next call. A scan is read by chunks or by
 * kal_parquet_scan_next(), not both. As kal_parquet_scan_next(). */
KAL_MUST_CHECK kal_status kal_parquet_scan_next_chunk(kal_parquet_scan *scan,
                                                      kal_parquet_chunk *out, kal_error *err);
/* A column of type BIGINT of the chunk at hand. KAL_CORRUPT: there is a NULL. */
KAL_MUST_CHECK kal_status kal_parquet_scan_bigints(kal_parquet_scan *scan, size_t column,
                                                   const int64_t **out, kal_error *err);
/*
 * Gives rows of the chunk at hand to the target: into its column i what stands in the scan's column
 * columns[i], or nothing for KAL_PARQUET_NO_COLUMN. rows: which, ascending; NULL: the first
 * row_count. The target shares what the chunk points to, for as long as it needs it. Values are
 * believed, as those of files that DuckDB reads itself: the checksum says who wrote them.
 * KAL_CORRUPT: a vector of another length; KAL_LIMIT.
 */
#define KAL_PARQUET_NO_COLUMN UINT32_MAX
KAL_MUST_CHECK kal_status kal_parquet_scan_give(kal_parquet_scan *scan, const uint32_t *columns,
                                                const uint32_t *rows, size_t row_count,
                                                kal_engine_chunk *target, kal_error *err);

/* That the file is there and its bytes are those that were written, with this checksum (0: any):
 * for whoever reads it otherwise. KAL_IO, KAL_CORRUPT. */
KAL_MUST_CHECK kal_status kal_parquet_check(kal_parquet *parquet, const char *path,
                                            uint64_t checksum, kal_error *err);

#endif
