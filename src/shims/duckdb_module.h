/*
 * duckdb_module.h: what tables that lie in Parquet files need of DuckDB and its C interface has
 * not.
 *
 *   kal_files(i)        the SELECT that stands for table i of the statement: as query(text), but
 *                       without a variable that holds the text and has DuckDB plan again
 *   kal_parquet(paths)  read_parquet(paths), but asks for each file which rows of it are alive, and
 *                       leaves the others out while it decodes: no row number is made, no condition
 *                       evaluated, which is two thirds of what a condition in the text costs
 *   kal_bounded(x)      x (duckdb_bounds.h)
 *
 * This is a module of its own (CMakeLists.txt), loaded next to the one DuckDB that its headers are
 * of. Source: DuckDB 1.4's query_function.cpp, DeleteFilter in common/multi_file;
 * docs/ARCHITECTURE.md.
 */
#ifndef KAL_SHIMS_DUCKDB_MODULE_H
#define KAL_SHIMS_DUCKDB_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of the headers that the module was made with, of the library, and of who registers. */
#define KAL_DUCKDB_VERSION "v1.4.4" /* 1.5 re-binds prepared table functions: 4x slower */

/* What the functions ask for; on any of DuckDB's threads, several at once, while a statement is
 * planned and runs. */
typedef struct kal_duckdb_module_ops {
    const char *duckdb_version; /* KAL_DUCKDB_VERSION as the caller knows it */
    size_t struct_size;         /* sizeof(kal_duckdb_module_ops), likewise */
    void *context;
    /* The SELECT that kal_files(table) is, valid until the statement ends; NULL: there is none. */
    const char *(*select)(void *context, uint64_t connection_id, uint64_t table);
    /* Whether the statement on the connection has parameters. */
    bool (*has_parameters)(void *context, uint64_t connection_id);
    /* What live() needs to know of the file, valid until the statement ends; NULL: all its rows are
     * alive. False: the file is none that the statement may read, and it fails. */
    bool (*find)(void *context, uint64_t connection_id, const char *path, const void **found_out);
    /* How many of count rows from first on are alive; their places among those rows (0, 1, ...) go
     * into live_out unless it is NULL. */
    size_t (*live)(const void *found, uint64_t first, size_t count, uint32_t *live_out);
} kal_duckdb_module_ops;

/* Registers the functions in the database of a duckdb_connection; *ops is copied. False with a
 * message when the three are not of one version, or DuckDB refuses. */
bool kal_duckdb_module_register(void *connection, const kal_duckdb_module_ops *ops,
                                char *message_out, size_t message_size);

#ifdef __cplusplus
}
#endif

#endif
