/*
 * duckdb_deletes.h: kal_parquet(), which reads Parquet files without their dead rows. For the
 * module of duckdb_module.h.
 */
#ifndef KAL_SHIMS_DUCKDB_DELETES_H
#define KAL_SHIMS_DUCKDB_DELETES_H

#include "shims/duckdb_module.h"

#include <duckdb/function/function_set.hpp>

/* read_parquet under our name, with our reader. */
duckdb::TableFunctionSet kal_duckdb_parquet(duckdb::ClientContext &context,
                                            const kal_duckdb_module_ops &ops);

#endif
