/*
 * parquet_internal.h: the instance behind parquet.h, for parquet*.c; others of this folder use
 * its SQL text and its columns of vectors.
 *
 * A file that is damaged can bring DuckDB to an internal error, after which the whole instance
 * refuses everything: such an instance is given up, the next operation opens another one, and the
 * old one is closed with the last operation that runs in it.
 */
#ifndef KAL_ENGINE_PARQUET_INTERNAL_H
#define KAL_ENGINE_PARQUET_INTERNAL_H

#include "engine/engine_internal.h"
#include "engine/parquet.h"

/* One open DuckDB. Under parquet->lock, but for database, which does not change. */
typedef struct kal_parquet_instance {
    kal_parquet *parquet;
    duckdb_database database;  /* owned */
    unsigned connection_count; /* closed with the last one when it is not the current instance */
    duckdb_connection writer;  /* owned, or NULL: of a write that is over, set up for the next */
} kal_parquet_instance;

typedef struct kal_parquet_writing kal_parquet_writing; /* parquet_write.c */

/* What an operation holds from start to end: a connection of its own (3 us; 150 until it is set up
 * for writing), a file. */
typedef struct kal_parquet_session {
    kal_parquet *parquet;
    kal_parquet_instance *instance;
    duckdb_connection connection; /* owned */
    idx_t connection_id;
    const char *path;             /* borrowed: of the operation */
    int fd;                       /* owned; -1: none */
    kal_parquet_writing *writing; /* borrowed: what kal_rows() hands over; NULL when reading */
    bool is_set_up;               /* for writing */
    bool is_over;                 /* a write that went well */
    struct kal_parquet_session *next;
} kal_parquet_session;

/* A file that was verified, by what changes with it; place by inode, the newest stays. */
#define KAL_PARQUET_SEEN 4096 /* a power of two */
typedef struct kal_parquet_seen {
    uint64_t device;
    uint64_t inode; /* 0: none */
    uint64_t size;
    uint64_t changed_ns;
    uint64_t checksum; /* what was found */
} kal_parquet_seen;

struct kal_parquet {
    kal_parquet_options options;
    char *library_path; /* owned */

    pthread_mutex_t lock; /* protects the rest; not held while DuckDB runs, but for opening */
    bool loaded;
    kal_duckdb api;                /* valid once loaded */
    kal_parquet_instance *current; /* owned; NULL: to be opened */
    kal_parquet_session *sessions; /* all that run */
    kal_parquet_seen seen[KAL_PARQUET_SEEN];
};

/* ---- parquet.c ---- */

/* path is borrowed until the session ends. KAL_IO: the library. */
KAL_MUST_CHECK kal_status kal_parquet_session_begin(kal_parquet *parquet, const char *path,
                                                    kal_parquet_session *session, kal_error *err);
/* The same for `writing`, on a connection that is set up for it. */
KAL_MUST_CHECK kal_status kal_parquet_session_begin_write(kal_parquet *parquet,
                                                          kal_parquet_writing *writing,
                                                          const char *path,
                                                          kal_parquet_session *session,
                                                          kal_error *err);
/* Whatever still runs on the connection ends. A session that has not begun (all zero) is ignored.
 */
void kal_parquet_session_end(kal_parquet_session *session);
/* The session of the connection, or NULL. Takes ownership of the context. */
kal_parquet_session *kal_parquet_session_of(kal_parquet_instance *instance,
                                            duckdb_client_context context);
/* DuckDB's error in our words, with the path. An instance that it has broken is given up. */
kal_status kal_parquet_failed(kal_parquet_session *session, const char *message, kal_error *err);
/* The path by which DuckDB finds the session's file. */
#define KAL_PARQUET_FD_PATH "/proc/self/fd/%d"

/* The name of a column in the file, without quotes: that of the column, but for two that mean
 * something else to DuckDB. */
void kal_parquet_file_name(kal_bytes name, kal_buf *out);
/* The same between quotes: " of an identifier, ' of a key. */
void kal_parquet_append_name(kal_bytes name, char quote, kal_buf *out);
void kal_parquet_append_text(kal_bytes text, kal_buf *out); /* 'it''s' */
/* A constant of the value's type. */
void kal_parquet_append_literal(const kal_value *v, kal_buf *out);
void kal_parquet_append_hex(kal_bytes bytes, kal_buf *out); /* from_hex('00FF'): binary */

/* ---- parquet_write.c ---- */

KAL_MUST_CHECK kal_status kal_parquet_rows_register(kal_parquet_instance *instance,
                                                    duckdb_connection connection, kal_error *err);

/* ---- parquet_seal.c ---- */

/* Puts the checksum into the session's file, which DuckDB has just written. KAL_IO. */
KAL_MUST_CHECK kal_status kal_parquet_seal(kal_parquet_session *session, uint64_t *checksum_out,
                                           kal_error *err);
/* The session's file is as it was sealed, with this checksum (0: any). KAL_CORRUPT, KAL_IO. */
KAL_MUST_CHECK kal_status kal_parquet_verify(kal_parquet_session *session, uint64_t checksum,
                                             kal_error *err);

/* ---- parquet_vectors.c: a column of a chunk at a time ---- */

/* Where values stand: row r's is at values[r * stride]. */
typedef struct kal_parquet_cells {
    kal_value *values;
    size_t stride;
    size_t rows;
} kal_parquet_cells;

/* Writes the cells to the rows of the vector from `start` on. Bytes that a vector only points to
 * are copied into the arena, which must live until the chunk was used. False: a value is NULL and
 * must not be. */
bool kal_parquet_store(const kal_duckdb *api, duckdb_vector vector, size_t start,
                       const kal_parquet_column *column, kal_parquet_cells cells, kal_arena *arena);
/* Whether none of the rows is NULL. */
bool kal_parquet_all_valid(const uint64_t *validity, uint64_t start, size_t count);
/* Reads from the rows of the vector from `start` on. Bytes point into the vector or the arena;
 * KAL_CORRUPT without a path: a value that its type does
 * not have; KAL_LIMIT. */
KAL_MUST_CHECK kal_status kal_parquet_load(const kal_duckdb *api, duckdb_vector vector,
                                           size_t start, const kal_parquet_read_column *column,
                                           kal_parquet_cells cells, kal_arena *arena,
                                           kal_error *err);

#endif
