/*
 * duckdb_ids.h: DuckDB's own types, by the names its serialised syntax trees give them.
 *
 * A query may calculate with more types than columns have (INTERVAL, LIST, HUGEINT ...); what may
 * stand in a cast is this closed list.
 *
 * Threads: no state; any. Source: DuckDB 1.4 LogicalTypeId.
 */
#ifndef KAL_TYPES_DUCKDB_IDS_H
#define KAL_TYPES_DUCKDB_IDS_H

#include "base/bytes.h"

/* A type without parameters, or LIST, ARRAY, STRUCT, MAP of such: what a query may use. */
bool kal_duckdb_id_is_known(kal_bytes id);
/* What an integer constant of the text has. */
bool kal_duckdb_id_is_integer(kal_bytes id);
/* A date, or a date with time. */
bool kal_duckdb_id_is_day(kal_bytes id);

#endif
