/*
 * files_select.h: what kal_files(0) stands for: a SELECT over exactly the files that the
 * statement's view has, and over kal_scan(0), which then gives the other rows, if there may be any:
 *
 *     SELECT a, b FROM (
 *         (SELECT 1::TINYINT AS k, a, b FROM kal_parquet([files]))
 *         UNION ALL (SELECT 1::TINYINT, kal_bounded(a), b FROM kal_scan(0)))
 *
 * Files of one schema version stand in one list. The column k is what count(*) reads. kal_bounded()
 * lets DuckDB join by position (shims/duckdb_bounds.h); so does a UNION ALL less: it then knows the
 * bounds that a single file has. In a statement with ANTI JOIN it must know none: where they say
 * that all pairs of rows match, it concludes that no row is left, also when the other side is
 * empty, such as by dead rows. When only the first rows in some order matter, each list has ORDER
 * BY and LIMIT of its own: a scan that knows the bound skips row groups, which DuckDB does not do
 * through the UNION ALL.
 */
#ifndef KAL_ENGINE_FILES_SELECT_H
#define KAL_ENGINE_FILES_SELECT_H

#include "engine/engine_internal.h"

typedef enum kal_files_rows {
    KAL_FILES_ALL,       /* there are no other rows: only the files */
    KAL_FILES_SOME,      /* and kal_scan() */
    KAL_FILES_UNBOUNDED, /* and kal_scan(), nothing of which has bounds, so the whole has none */
} kal_files_rows;

/* Of the table with this index in the statement. */
void kal_files_select(const kal_scan_table *table, size_t index, kal_files_rows rows, kal_buf *out);

#endif
