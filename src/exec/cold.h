/*
 * cold.h: cold storage of an open database: where segments lie, and when rows move there.
 *
 * Every flush_interval_ms a task looks at the tables whose flush policy says so, flushes those that
 * are due, and removes doomed segments. FLUSH does the same at once.
 */
#ifndef KAL_EXEC_COLD_H
#define KAL_EXEC_COLD_H

#include "exec/exec_internal.h"
#include "table/flush.h"

/* Before the tables are opened: directories, Parquet. */
KAL_MUST_CHECK kal_status kal_cold_open(kal_exec *exec, kal_cold **cold_out, kal_error *err);
/* For kal_tables_open(); borrowed. */
kal_segment_backend *kal_cold_backend(kal_cold *cold);
const char *kal_cold_scratch_dir(kal_cold *cold);
/* The task; after the tables are opened. */
KAL_MUST_CHECK kal_status kal_cold_start(kal_cold *cold, kal_error *err);
void kal_cold_stop(kal_cold *cold);  /* before the tables are closed; NULL is allowed */
void kal_cold_close(kal_cold *cold); /* after; NULL is allowed */

typedef struct kal_cold_actor {
    const kal_principal *principal;
    kal_catalog_worker *worker;
    kal_view_check check;
    const void *check_context;
} kal_cold_actor;

/* Moves the table's hot rows to segments. KAL_BUSY: it is being done already; else as
 * kal_table_flush(), but KAL_STALE. */
KAL_MUST_CHECK kal_status kal_cold_flush(kal_cold *cold, const kal_cold_actor *actor,
                                         uint32_t table_id, kal_flush_result *result_out,
                                         kal_error *err);

/* Merges the table's segments: by itself where it is worth it, forced wherever that is possible. As
 * kal_cold_flush(). */
KAL_MUST_CHECK kal_status kal_cold_compact(kal_cold *cold, const kal_cold_actor *actor,
                                           uint32_t table_id, bool forced,
                                           kal_flush_result *result_out, kal_error *err);

/* A kal_segment_open_store; context is the kal_cold. */
kal_status kal_cold_open_store(void *context, kal_bytes storage_id, kal_object_store **store_out,
                               kal_error *err);
/* The rows of system.segments: a kal_system_provider; context is the kal_exec. */
kal_status kal_cold_segment_rows(void *exec, const kal_kv_snapshot *snapshot, kal_system_sink *sink,
                                 kal_error *err);

#endif
