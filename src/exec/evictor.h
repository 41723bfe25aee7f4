/*
 * evictor.h: the background task that removes rows of STREAM tables which their eviction strategy
 * gives up.
 *
 * Every eviction_interval_ms it passes over the STREAM tables that hold rows, and removes from each
 * in batches of EVICT_ROWS, each a commit of its own through the write lane, so that no writer
 * waits longer than for any other commit. What is too old is not seen before that either
 * (table/stream.c). A table with enable_compaction then gives back the space in data files, when
 * enough was removed.
 *
 * A pass leaves no trace in system.jobs: there are thousands a day. It takes TICK_BATCHES from a
 * table; where more is to be removed, the rest is a job (stream_eviction), which can be seen and
 * cancelled and goes on after a crash.
 *
 * Threads: any.
 */
#ifndef KAL_EXEC_EVICTOR_H
#define KAL_EXEC_EVICTOR_H

#include "exec/exec_internal.h"

/* Needs exec->jobs, which are not started yet. *evictor_out is to be closed also after a failure.
 */
KAL_MUST_CHECK kal_status kal_evictor_open(kal_exec *exec, kal_evictor **evictor_out,
                                           kal_error *err);
void kal_evictor_close(kal_evictor *evictor); /* NULL is allowed; after kal_jobs_stop() */
/* A whole pass, now, without jobs: for tests. */
KAL_MUST_CHECK kal_status kal_evictor_pass(kal_evictor *evictor, kal_error *err);

typedef struct kal_evictor_counts {
    uint64_t evicted_rows; /* since the server started, as is the next */
    uint64_t compactions;
} kal_evictor_counts;
kal_evictor_counts kal_evictor_get_counts(const kal_evictor *evictor);

#endif
