/*
 * jobs_internal.h: what the files of jobs/ share: the queue with its lock, threads, schedulers.
 */
#ifndef KAL_JOBS_JOBS_INTERNAL_H
#define KAL_JOBS_JOBS_INTERNAL_H

#include "base/vec.h"
#include "jobs/jobs.h"

#include <pthread.h>

typedef struct kal_job_handler {
    kal_job_fn fn; /* NULL: none */
    void *context; /* borrowed */
    unsigned flags;
} kal_job_handler;

typedef struct kal_job_scheduler {
    kal_jobs *jobs;
    const char *name;
    uint64_t interval_ns;
    kal_jobs_tick_fn fn;
    void *context;  /* borrowed */
    kal_task *task; /* owned */
    bool failed;    /* the last time: so that a lasting failure is logged once */
} kal_job_scheduler;

struct kal_jobs {
    kal_catalog *catalog;   /* borrowed; NULL: none */
    kal_sched *sched;       /* borrowed */
    const kal_clock *clock; /* borrowed */
    kal_jobs_options options;
    kal_metrics *metrics; /* borrowed; NULL: not shown */
    kal_job_handler handlers[KAL_JOB_TYPE_COUNT];
    _Atomic bool stopping;
    pthread_mutex_t lock; /* protects the queue and what is shown of running jobs */
    pthread_cond_t work;  /* something may start, or all are to stop */
    pthread_cond_t ended; /* a job was finished */
    kal_job_queue *queue;
    pthread_t *threads; /* owned */
    unsigned thread_count;
    KAL_VEC(kal_job_scheduler *) schedulers; /* owned */
    _Atomic uint64_t started;
    _Atomic uint64_t completed;
    _Atomic uint64_t failed;
    _Atomic uint64_t cancelled;
    _Atomic uint64_t retried;
};

/* Rows of system.jobs (job_rows.c). */
KAL_MUST_CHECK kal_status kal_jobs_rows(void *jobs, const kal_kv_snapshot *snapshot,
                                        kal_system_sink *sink, kal_error *err);

#endif
