/*
 * cold.h: cold storage of an open database: where segments lie, and when rows move there.
 *
 * Moving rows is done by jobs, flush and compact, of one table at a time. Every flush_interval_ms a
 * scheduler looks at the tables, submits jobs where flush policy or segments want them, and removes
 * doomed segments. Its jobs are tried again for as long as a failure may pass; after another
 * failure, and after KILL JOB, it leaves the table alone for ten minutes. FLUSH and STORAGE COMPACT
 * submit such jobs, too, and wait.
 */
#ifndef KAL_EXEC_COLD_H
#define KAL_EXEC_COLD_H

#include "exec/exec_internal.h"
#include "storage/s3_http.h"
#include "table/flush.h"

/* Before the tables are opened: directories, Parquet. */
KAL_MUST_CHECK kal_status kal_cold_open(kal_exec *exec, kal_cold **cold_out, kal_error *err);
/* The instance that writes and reads files; borrowed. */
kal_parquet *kal_cold_parquet(kal_cold *cold);
/* For kal_tables_open(); borrowed. */
kal_segment_backend *kal_cold_backend(kal_cold *cold);
const char *kal_cold_scratch_dir(kal_cold *cold);
/* Jobs and scheduler; after the tables, before the jobs are started. */
KAL_MUST_CHECK kal_status kal_cold_start(kal_cold *cold, kal_error *err);
void kal_cold_stop(kal_cold *cold);  /* after the jobs have stopped; NULL is allowed */
void kal_cold_close(kal_cold *cold); /* after the tables; NULL is allowed */

/* A job that moves the table's hot rows to segments (FLUSH), or merges segments (COMPACT): where it
 * is worth it, or forced wherever that is possible. Its result begins with the number of rows, in
 * digits. Borrows from the table. */
kal_job_spec kal_cold_job(const kal_table *table, kal_job_type type, bool forced);
/* Whether such a job (forced) would do anything. */
KAL_MUST_CHECK kal_status kal_cold_has_work(kal_exec *exec, const kal_table *table,
                                            kal_job_type type, bool *out, kal_error *err);

/* The directory of what kal_cold_file() makes. */
const char *kal_cold_files_dir(const kal_cold *cold);
/* The segment of a SHARED table as a file in that directory, found to be whole; in the arena. It
 * stays as long as *pin_out (NULL: anyway) is not released. Waits for a far one as long as poll
 * says. KAL_UNSUPPORTED: it should not be a file here now. KAL_IO, KAL_CORRUPT. */
KAL_MUST_CHECK kal_status kal_cold_file(kal_cold *cold, const kal_segment_info *info,
                                        const kal_object_poll *poll, kal_arena *arena,
                                        const char **path_out, kal_cached_object **pin_out,
                                        kal_error *err);
/* What all storages of type s3 share; borrowed. */
kal_s3_client *kal_cold_s3(const kal_cold *cold);

/* A kal_segment_open_store; context is the kal_cold. */
kal_status kal_cold_open_store(void *context, kal_bytes storage_id, kal_object_store **store_out,
                               kal_error *err);
/* The rows of system.segments: a kal_system_provider; context is the kal_exec. */
kal_status kal_cold_segment_rows(void *exec, const kal_kv_snapshot *snapshot, kal_system_sink *sink,
                                 kal_error *err);

#endif
