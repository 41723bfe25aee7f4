/*
 * duckdb_bounds.h: bounds of integer columns of which DuckDB would know none.
 *
 * A join looks up a small table by position instead of by hash, which halves its time, when DuckDB
 * knows bounds of the small side's key; but it only asks for them when it knows of the other side,
 * too, even that it has none. Of several Parquet files, of a table function in C, and so of every
 * UNION ALL with one, it knows nothing. What is said here is always true: of SMALLINT the bounds of
 * the type, which DuckDB itself supposes for a GROUP BY; of INT and BIGINT that any value may be
 * there, since bounds as wide would become conditions that are evaluated for each row.
 *
 * For the module of duckdb_module.h. Source: DuckDB 1.4's propagate_join.cpp, plan_aggregate.cpp,
 * physical_hash_join.cpp (the count of a dense key is larger than its range: it is not looked up by
 * position unless bounds are known beforehand).
 */
#ifndef KAL_SHIMS_DUCKDB_BOUNDS_H
#define KAL_SHIMS_DUCKDB_BOUNDS_H

#include <duckdb/function/scalar_function.hpp>
#include <duckdb/storage/statistics/base_statistics.hpp>

/* Of a column of which DuckDB knows none; NULL: nothing is said of the type. */
duckdb::unique_ptr<duckdb::BaseStatistics> kal_duckdb_bounds(const duckdb::LogicalType &type);

/* kal_bounded(x): x as it is, with these. */
duckdb::ScalarFunction kal_duckdb_bounded();

#endif
