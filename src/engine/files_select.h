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
 * bounds that a single file has. When only the first rows in some order matter, each list has ORDER
 * BY and LIMIT of its own: a scan that knows the bound skips row groups, which DuckDB does not do
 * through the UNION ALL.
 */
#ifndef KAL_ENGINE_FILES_SELECT_H
#define KAL_ENGINE_FILES_SELECT_H

#include "engine/engine_internal.h"

/* Of the table with this index in the statement. */
void kal_files_select(const kal_scan_table *table, size_t index, bool all_in_files, kal_buf *out);

#endif
