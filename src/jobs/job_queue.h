/*
 * job_queue.h: the jobs that are not finished, in the store and in memory, and which one is next.
 *
 * Every change of state is written and synced before it takes effect: a job that was submitted is
 * there after a crash, one that is completed is never started again. What could not be written did
 * not happen, but for the end of a run: that cannot be taken back, so it holds in memory, and after
 * the next start the job is where the store left it.
 *
 *   key            at most one unfinished job has it; by default type and table
 *   one per table  of the jobs about one table at most one runs
 *   turns          of those that may start, the one whose table was served longest ago is next
 *
 * Finished jobs are in the store only, until kal_job_queue_clean() takes them.
 *
 * Records (family `jobs`; key parts as in entity_store.h): 01 job: u64 number -> job.c
 *
 * Threads: one at a time; the owner has a lock. A job that runs is read by its runner without it:
 * its texts and numbers of birth do not change.
 */
#ifndef KAL_JOBS_JOB_QUEUE_H
#define KAL_JOBS_JOB_QUEUE_H

#include "base/clock.h"
#include "base/list.h"
#include "jobs/job.h"
#include "store/kv.h"

#include <stdatomic.h>

#define KAL_JOBS_UNFINISHED_MAX    4096u
#define KAL_JOBS_MEMORY_BYTES      (64u * 1024u * 1024u) /* of all unfinished ones */
#define KAL_JOB_CRASHES_MAX        3u
#define KAL_JOB_PROGRESS_BYTES     256u
#define KAL_JOB_RETRY_DELAY_MAX_US (INT64_C(60) * 1000000)

typedef struct kal_job_queue kal_job_queue; /* opaque: kal_job_queue_close */

typedef struct kal_job_queue_options {
    uint32_t retries_max;    /* unless the spec says another number */
    uint64_t retry_delay_ms; /* before the first retry, doubled by each, times 0.5 to 1.5 */
    int64_t retention_us;    /* of finished jobs */
    size_t finished_max;     /* kept at most */
    uint64_t seed;           /* of the jitter */
} kal_job_queue_options;

/* What to make; all borrowed for the call. */
typedef struct kal_job_spec {
    kal_job_type type;
    uint32_t table_id; /* 0: not about one table */
    kal_bytes namespace_id;
    kal_bytes table_name;
    kal_bytes key;        /* empty: type and table, or type and namespace */
    kal_bytes actor;      /* user_id; empty: the server itself */
    kal_bytes parameters; /* a JSON object; empty: none */
    bool never_retry;
    bool keep_trying; /* after failures that may pass, however often */
} kal_job_spec;

/* A job in memory. */
typedef struct kal_job_entry {
    kal_list link; /* of the queue; by number */
    kal_job job;   /* texts in the arenas */
    kal_arena arena;
    kal_arena last_run;  /* progress, result and error of it: replaced by those of the next one */
    kal_error outcome;   /* once it is finished: what ended it */
    uint32_t holders;    /* who still wants to see it finished */
    _Atomic bool cancel; /* job.cancel_asked, for the runner */
    char progress[KAL_JOB_PROGRESS_BYTES]; /* while it runs */
} kal_job_entry;

/* Reads what is unfinished; nothing may start before kal_job_queue_recover(). kv and clock are
 * borrowed. KAL_CORRUPT, KAL_UNSUPPORTED (a newer format), KAL_IO. */
KAL_MUST_CHECK kal_status kal_job_queue_open(kal_kv *kv, const kal_clock *clock,
                                             const kal_job_queue_options *options,
                                             kal_job_queue **queue_out, kal_error *err);
void kal_job_queue_close(kal_job_queue *queue); /* NULL is allowed */

/* What can be done with jobs of a type. */
typedef struct kal_job_ability {
    bool can_run;    /* somebody does them */
    bool can_resume; /* starting one again after it was interrupted does what was asked */
} kal_job_ability;
/* Decides about the jobs that ran when the process ended, and those nobody can run: abilities by
 * type. KAL_IO. */
KAL_MUST_CHECK kal_status kal_job_queue_recover(kal_job_queue *queue,
                                                const kal_job_ability *abilities, kal_error *err);

/* KAL_EXISTS: *entry_out has the key; KAL_BUSY: too many; KAL_INVALID, KAL_LIMIT, KAL_IO. */
KAL_MUST_CHECK kal_status kal_job_queue_submit(kal_job_queue *queue, const kal_job_spec *spec,
                                               kal_job_entry **entry_out, kal_error *err);
/* Starts the next one. KAL_END: none may start before *due_us_out (0: unknown); KAL_IO. */
KAL_MUST_CHECK kal_status kal_job_queue_take(kal_job_queue *queue, kal_job_entry **entry_out,
                                             int64_t *due_us_out, kal_error *err);

typedef struct kal_job_end {
    kal_status status; /* of the handler */
    const kal_error *error;
    kal_bytes result;
    uint64_t cpu_ns;
    bool stopped; /* it was told to end because the server stops */
    bool can_resume;
} kal_job_end;
/* A run ended; the entry is gone if that finished it and nobody holds it. A failure is of the
 * record only: the end holds all the same. */
KAL_MUST_CHECK kal_status kal_job_queue_end(kal_job_queue *queue, kal_job_entry *entry,
                                            const kal_job_end *end, kal_error *err);
/* One that waits is cancelled, one that runs is told to end. KAL_IO. */
KAL_MUST_CHECK kal_status kal_job_queue_cancel(kal_job_queue *queue, kal_job_entry *entry,
                                               kal_error *err);

/* Among the unfinished ones; NULL. Borrowed until the lock is given back. */
kal_job_entry *kal_job_queue_find(kal_job_queue *queue, uint64_t number);
/* Keeps the entry after its job is finished. */
void kal_job_queue_hold(kal_job_entry *entry);
void kal_job_queue_release(kal_job_entry *entry);

/* From the store, finished or not; snapshot NULL: now. KAL_NOT_FOUND leaves err alone. */
KAL_MUST_CHECK kal_status kal_job_queue_get(kal_job_queue *queue, const kal_kv_snapshot *snapshot,
                                            uint64_t number, kal_arena *arena, kal_job *out,
                                            kal_error *err);
/* job is borrowed for the call. */
typedef kal_status (*kal_job_visit)(void *context, const kal_job *job, kal_error *err);
KAL_MUST_CHECK kal_status kal_job_queue_scan(kal_job_queue *queue, const kal_kv_snapshot *snapshot,
                                             kal_job_visit visit, void *context, kal_error *err);

/* Removes finished jobs, the oldest first: those past the retention, and those too many; a bounded
 * number at a time. */
KAL_MUST_CHECK kal_status kal_job_queue_clean(kal_job_queue *queue, size_t *removed_out,
                                              kal_error *err);
/* Removes all finished jobs with this actor. */
KAL_MUST_CHECK kal_status kal_job_queue_forget_actor(kal_job_queue *queue, kal_bytes actor,
                                                     kal_error *err);
size_t kal_job_queue_finished_count(const kal_job_queue *queue);

#endif
