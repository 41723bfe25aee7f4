/*
 * jobs.h: work that goes on without anybody waiting for it: who does it, when, and how it went.
 *
 * A kind of job (flush, backup, ...) is a handler that some other folder registers. Who wants work
 * done submits a job: it is in the store before the call returns, runs on one of the jobs' own
 * threads, starts again after failures that may pass, and after a crash or a stop of the server, is
 * shown in system.jobs, and can be cancelled. Protocol of use:
 *
 *     kal_jobs_open() -> kal_jobs_register() for each kind -> kal_jobs_start()
 *         -> kal_jobs_submit(), kal_jobs_every() ... -> kal_jobs_stop() -> kal_jobs_close()
 *
 * A handler runs any number of times for one job, so it must be idempotent: it looks at what there
 * is and does the rest. It asks kal_job_check() every few milliseconds of work, and passes on what
 * that says. KAL_IO, KAL_BUSY, KAL_CONFLICT and KAL_STALE are tried again, with growing pauses, up
 * to the job's number of retries; every other failure is the job's end.
 *
 * Schedulers (kal_jobs_every) look now and then whether something is to be done and submit it.
 * Nothing of theirs is recorded, and they need not be woken for what they can find.
 *
 * Threads: any, but open, register, start, stop and close: one. Handlers run on threads with
 * KAL_JOB_STACK_BYTES; of the jobs about one table one at a time.
 * Source: design section 8; reference section 9.
 */
#ifndef KAL_JOBS_JOBS_H
#define KAL_JOBS_JOBS_H

#include "base/json_reader.h"
#include "base/metrics.h"
#include "base/sched.h"
#include "catalog/catalog.h"
#include "jobs/job_queue.h"
#include "jobs/pace.h"

#define KAL_JOB_STACK_BYTES ((size_t)8 * 1024 * 1024)

typedef struct kal_jobs kal_jobs; /* opaque: kal_jobs_close */

typedef struct kal_jobs_options {
    unsigned threads;              /* jobs at a time, at least 1 */
    uint32_t node_id;              /* shown in system.jobs */
    kal_job_statements statements; /* that jobs give way to */
    kal_job_queue_options queue;
} kal_jobs_options;

/* Reads the queue, and gives the catalog the rows of system.jobs. All is borrowed; catalog
 * may be NULL in tests (no worker, no rows). As kal_job_queue_open(). */
KAL_MUST_CHECK kal_status kal_jobs_open(kal_kv *kv, kal_catalog *catalog, kal_sched *sched,
                                        const kal_clock *clock, const kal_jobs_options *options,
                                        kal_jobs **jobs_out, kal_error *err);
/* Nothing starts any more; what runs is told to end and waited for. Jobs that can resume wait for
 * the next start then. Twice is once, NULL is allowed. */
void kal_jobs_stop(kal_jobs *jobs);
void kal_jobs_close(kal_jobs *jobs); /* stops first; NULL is allowed */

/* ---- handlers ---- */

/* One run of a job: what its handler is given. */
typedef struct kal_job_run {
    const kal_job *job;         /* table_id, names, number of the start ... */
    const kal_json *parameters; /* NULL: none; in the arena */
    kal_catalog_worker *worker; /* of this thread */
    kal_arena *arena;           /* of this run */
    /* the runner's own */
    kal_jobs *jobs;
    kal_job_entry *entry;
    kal_pace pace;
    kal_buf result;           /* owned */
    _Atomic bool was_stopped; /* it was told so, perhaps on a thread of DuckDB's */
} kal_job_run;

typedef kal_status (*kal_job_fn)(kal_job_run *run, void *context, kal_error *err);

typedef enum kal_job_flags {
    /* Not started again when the server stopped or died under it: it has failed then. */
    KAL_JOB_NEVER_RESUME = 1,
} kal_job_flags;

/* Before kal_jobs_start(). context is borrowed. */
void kal_jobs_register(kal_jobs *jobs, kal_job_type type, kal_job_fn fn, void *context,
                       unsigned flags);
/* Decides what becomes of jobs that ran when the process ended, then runs what waits. KAL_IO. */
KAL_MUST_CHECK kal_status kal_jobs_start(kal_jobs *jobs, kal_error *err);

/* KAL_CANCELLED: it was cancelled, or the server stops. From any thread that works for the handler.
 */
KAL_MUST_CHECK kal_status kal_job_check(kal_job_run *run, kal_error *err);
/* The same for what asks with a pointer that it was given: the kal_job_run. */
KAL_MUST_CHECK kal_status kal_job_hook(void *run, kal_error *err);
/* Pauses when statements need the processor more (pace.h), unless it is to end. run: the
 * kal_job_run; on any thread but the handler's own it does nothing. To be called every few
 * milliseconds of work that nobody waits for, while nothing is held that anybody waits for. */
void kal_job_give_way(void *run);
/* Replaces what system.jobs shows as progress: at most KAL_JOB_PROGRESS_BYTES - 1, of UTF-8. */
void kal_job_progress(kal_job_run *run, const char *format, ...) KAL_PRINTF(2, 3);
/* What the job has achieved, should it succeed: at most KAL_JOB_TEXT_BYTES_MAX, of UTF-8. */
void kal_job_result(kal_job_run *run, const char *format, ...) KAL_PRINTF(2, 3);
/* A member of the parameters that must be text; empty when it is not there. */
kal_bytes kal_job_text(const kal_job_run *run, const char *member);

/* ---- submitting ---- */

/* Queued and durable. number_out (NULL allowed) is of the job that has the key already, for
 * KAL_EXISTS. KAL_UNSUPPORTED: no handler; KAL_CANCELLED: the server stops; else as
 * kal_job_queue_submit(). */
KAL_MUST_CHECK kal_status kal_jobs_submit(kal_jobs *jobs, const kal_job_spec *spec,
                                          uint64_t *number_out, kal_error *err);

/* Asked some times a second by who waits; anything but KAL_OK ends the waiting with that. */
typedef struct kal_job_poll {
    kal_status (*go_on)(void *context, kal_error *err);
    void *context;
} kal_job_poll;

/* Submits and waits for the end. KAL_OK: *result_out, in the arena; else how it failed, as the
 * handler said it, or what poll says: then the job goes on. queue_up: while there is an earlier
 * job with the key, its end is waited for first; one that is retrying starts at once, and how it
 * fails again is the answer. */
KAL_MUST_CHECK kal_status kal_jobs_run(kal_jobs *jobs, const kal_job_spec *spec, bool queue_up,
                                       const kal_job_poll *poll, kal_arena *arena,
                                       kal_bytes *result_out, kal_error *err);
/* Waits for the end of a job. Of one that is finished already only status and text are known.
 * KAL_NOT_FOUND: there is no such job. */
KAL_MUST_CHECK kal_status kal_jobs_wait(kal_jobs *jobs, uint64_t number, const kal_job_poll *poll,
                                        kal_arena *arena, kal_bytes *result_out, kal_error *err);
/* One that waits is cancelled when this returns; one that runs was told, durably, and ends when it
 * looks. KAL_NOT_FOUND (code JOB_NOT_FOUND); KAL_INVALID (code JOB_FINISHED): it is finished; both
 * name it. KAL_IO. */
KAL_MUST_CHECK kal_status kal_jobs_cancel(kal_jobs *jobs, kal_job_type type, uint64_t number,
                                          kal_error *err);

/* Removes the records of finished jobs that this user had ordered. KAL_IO. */
KAL_MUST_CHECK kal_status kal_jobs_forget_actor(kal_jobs *jobs, kal_bytes actor, kal_error *err);

/* ---- looking ---- */

/* One job, finished or not. KAL_NOT_FOUND leaves err alone. */
KAL_MUST_CHECK kal_status kal_jobs_get(kal_jobs *jobs, uint64_t number, kal_arena *arena,
                                       kal_job *out, kal_error *err);
/* All there are, oldest first. */
KAL_MUST_CHECK kal_status kal_jobs_scan(kal_jobs *jobs, kal_job_visit visit, void *context,
                                        kal_error *err);

/* ---- schedulers ---- */

typedef kal_status (*kal_jobs_tick_fn)(kal_jobs *jobs, void *context, kal_error *err);
/* Calls fn every interval_ms from now on, until kal_jobs_stop(), on a thread of its own with a
 * small stack; failures are logged. name: static, at most 15 characters. context is borrowed. */
KAL_MUST_CHECK kal_status kal_jobs_every(kal_jobs *jobs, const char *name, uint64_t interval_ms,
                                         kal_jobs_tick_fn fn, void *context, kal_error *err);
/* True once kal_jobs_stop() was called: what a long tick asks. */
bool kal_jobs_stopping(const kal_jobs *jobs);

/* ---- numbers ---- */

typedef struct kal_jobs_counts { /* since opening */
    uint64_t started;
    uint64_t completed;
    uint64_t failed;
    uint64_t cancelled;
    uint64_t retried;
} kal_jobs_counts;
kal_jobs_counts kal_jobs_get_counts(const kal_jobs *jobs);
/* Shows them in system.stats, until close. */
void kal_jobs_add_metrics(kal_jobs *jobs, kal_metrics *metrics);

#endif
