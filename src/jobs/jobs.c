/*
 * jobs.c: the threads that run jobs, those that wait for jobs, and the schedulers.
 *
 *   1. The queue, and what is shown of a running job, is touched under the lock only; a handler
 *      runs without it.
 *   2. A handler's end is in the store before anybody who waits is told of it.
 *   3. When kal_jobs_stop() returns no handler and no tick runs.
 */
#include "base/assert.h"
#include "base/log.h"
#include "base/process.h"
#include "base/thread.h"
#include "catalog/system_tables.h"
#include "jobs/jobs_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    WAIT_MS = 100,         /* between the questions of those who wait */
    DUE_WAIT_MS_MAX = 500, /* clocks may jump */
    IDLE_WAIT_MS = 60000,  /* unless woken */
    FAULT_WAIT_MS = 1000,  /* after the store refused */
    CLEAN_INTERVAL_MS = 60000,
};

/* ---- life cycle ---- */

kal_status kal_jobs_open(kal_kv *kv, kal_catalog *catalog, kal_sched *sched, const kal_clock *clock,
                         const kal_jobs_options *options, kal_jobs **jobs_out, kal_error *err)
{
    kal_jobs *jobs = calloc(1, sizeof *jobs);

    *jobs_out = NULL;
    if (jobs == NULL)
        kal_die("out of memory: jobs");
    jobs->catalog = catalog;
    jobs->sched = sched;
    jobs->clock = clock;
    jobs->options = *options;
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_cond_init(&jobs->work, NULL);
    pthread_cond_init(&jobs->ended, NULL);
    kal_status status = kal_job_queue_open(kv, clock, &options->queue, &jobs->queue, err);
    if (status != KAL_OK) {
        kal_jobs_close(jobs);
        return status;
    }
    if (catalog != NULL)
        kal_catalog_set_provider(catalog, KAL_SYSTEM_JOBS, kal_jobs_rows, jobs);
    *jobs_out = jobs;
    return KAL_OK;
}

void kal_jobs_register(kal_jobs *jobs, kal_job_type type, kal_job_fn fn, void *context,
                       unsigned flags)
{
    KAL_ASSERT(type < KAL_JOB_TYPE_COUNT);
    KAL_ASSERT(jobs->handlers[type].fn == NULL);
    KAL_ASSERT(jobs->threads == NULL);
    jobs->handlers[type] = (kal_job_handler){fn, context, flags};
}

bool kal_jobs_stopping(const kal_jobs *jobs)
{
    return atomic_load_explicit(&jobs->stopping, memory_order_relaxed);
}

void kal_jobs_stop(kal_jobs *jobs)
{
    if (jobs == NULL || atomic_exchange(&jobs->stopping, true))
        return;
    pthread_mutex_lock(&jobs->lock);
    pthread_cond_broadcast(&jobs->work);
    pthread_cond_broadcast(&jobs->ended);
    pthread_mutex_unlock(&jobs->lock);
    for (size_t i = 0; i < jobs->schedulers.len; i++)
        kal_task_stop(jobs->schedulers.items[i]->task);
    for (unsigned i = 0; i < jobs->thread_count; i++)
        pthread_join(jobs->threads[i], NULL);
}

void kal_jobs_close(kal_jobs *jobs)
{
    if (jobs == NULL)
        return;
    kal_jobs_stop(jobs);
    if (jobs->metrics != NULL)
        kal_metrics_remove(jobs->metrics, jobs);
    if (jobs->catalog != NULL)
        kal_catalog_set_provider(jobs->catalog, KAL_SYSTEM_JOBS, NULL, NULL);
    for (size_t i = 0; i < jobs->schedulers.len; i++)
        free(jobs->schedulers.items[i]);
    kal_vec_release(&jobs->schedulers);
    kal_job_queue_close(jobs->queue);
    pthread_cond_destroy(&jobs->ended);
    pthread_cond_destroy(&jobs->work);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs->threads);
    free(jobs);
}

/* jobs->lock is held. */
static void wait_for(kal_jobs *jobs, pthread_cond_t *condition, uint64_t ms)
{
    kal_cond_wait_for(condition, &jobs->lock, ms * 1000000);
}

/* ---- one run ---- */

kal_status kal_job_check(kal_job_run *run, kal_error *err)
{
    if (atomic_load_explicit(&run->entry->cancel, memory_order_relaxed))
        return kal_error_set(err, KAL_CANCELLED, "the job was cancelled");
    if (!kal_jobs_stopping(run->jobs))
        return KAL_OK;
    atomic_store(&run->was_stopped, true);
    return kal_error_set(err, KAL_CANCELLED, "the server was stopped");
}

kal_status kal_job_hook(void *run, kal_error *err)
{
    return kal_job_check(run, err);
}

static bool is_to_end(void *run)
{
    return kal_job_check(run, NULL) != KAL_OK;
}

void kal_job_give_way(void *run)
{
    kal_pace_give_way(&((kal_job_run *)run)->pace, is_to_end, run);
}

void kal_job_progress(kal_job_run *run, const char *format, ...)
{
    char text[KAL_JOB_PROGRESS_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pthread_mutex_lock(&run->jobs->lock);
    snprintf(run->entry->progress, sizeof run->entry->progress, "%s", text);
    pthread_mutex_unlock(&run->jobs->lock);
}

void kal_job_result(kal_job_run *run, const char *format, ...)
{
    char text[KAL_JOB_TEXT_BYTES_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    kal_buf_clear(&run->result);
    kal_buf_append_cstr(&run->result, text);
}

kal_bytes kal_job_text(const kal_job_run *run, const char *member)
{
    const kal_json *json = kal_json_find(run->parameters, member);
    return json != NULL && json->kind == KAL_JSON_STRING ? json->text : (kal_bytes){0};
}

static kal_status run_handler(kal_job_run *run, const kal_job_handler *handler, kal_error *err)
{
    kal_json *parameters = NULL;
    if (run->job->parameters.len > 0)
        KAL_TRY(kal_json_parse(run->job->parameters, run->arena, &parameters, err));
    run->parameters = parameters;
    KAL_TRY(kal_job_check(run, err));
    return handler->fn(run, handler->context, err);
}

static void log_end(const kal_job *job, const kal_error *error)
{
    char id[KAL_JOB_ID_LEN + 1];
    kal_job_id_format(job->type, job->number, id);
    switch (job->status) {
    case KAL_JOB_FAILED:
        kal_log_warn("jobs", "%s failed: %s", id, error->message);
        break;
    case KAL_JOB_RETRYING:
        kal_log_warn("jobs", "%s failed and will be tried again: %s", id, error->message);
        break;
    default:
        kal_log_info("jobs", "%s is %s", id, kal_job_status_name(job->status));
        break;
    }
}

static void count_end(kal_jobs *jobs, kal_job_status status)
{
    switch (status) {
    case KAL_JOB_COMPLETED:
        atomic_fetch_add(&jobs->completed, 1);
        break;
    case KAL_JOB_FAILED:
        atomic_fetch_add(&jobs->failed, 1);
        break;
    case KAL_JOB_CANCELLED:
        atomic_fetch_add(&jobs->cancelled, 1);
        break;
    case KAL_JOB_RETRYING:
        atomic_fetch_add(&jobs->retried, 1);
        break;
    default:
        break;
    }
}

/* The entry is gone afterwards unless somebody holds it, or it goes on. */
static void end_run(kal_jobs *jobs, kal_job_entry *entry, const kal_job_end *end)
{
    kal_error err = KAL_ERROR_INIT;

    pthread_mutex_lock(&jobs->lock);
    kal_job_queue_hold(entry);
    kal_status status = kal_job_queue_end(jobs->queue, entry, end, &err);
    if (status != KAL_OK)
        kal_log_error("jobs", "the end of a job could not be recorded: %s", err.message);
    log_end(&entry->job, end->error);
    count_end(jobs, entry->job.status);
    kal_job_queue_release(entry);
    pthread_cond_broadcast(&jobs->ended);
    pthread_cond_signal(&jobs->work); /* another one of the table, or this one again */
    pthread_mutex_unlock(&jobs->lock);
}

static void run_entry(kal_jobs *jobs, kal_job_entry *entry, kal_catalog_worker *worker)
{
    const kal_job_handler *handler = &jobs->handlers[entry->job.type];
    kal_error err = KAL_ERROR_INIT;
    kal_arena arena;
    kal_job_run run = {
        .job = &entry->job, .worker = worker, .arena = &arena, .jobs = jobs, .entry = entry};

    KAL_ASSERT(handler->fn != NULL);
    kal_arena_init(&arena, NULL);
    kal_buf_init(&run.result, NULL);
    kal_pace_init(&run.pace, jobs->clock, jobs->options.statements);
    uint64_t cpu_ns = kal_thread_cpu_ns();
    kal_status status = run_handler(&run, handler, &err);
    const kal_job_end end = {
        .status = status,
        .error = &err,
        .result = kal_buf_bytes(&run.result),
        .cpu_ns = kal_thread_cpu_ns() - cpu_ns,
        .stopped = atomic_load(&run.was_stopped),
        .can_resume = (handler->flags & KAL_JOB_NEVER_RESUME) == 0,
    };
    end_run(jobs, entry, &end);
    kal_buf_release(&run.result);
    kal_arena_release(&arena);
}

/* ---- threads ---- */

/* Starts the next one; jobs->lock is held. Else says for how long there is nothing. */
static kal_job_entry *take_next(kal_jobs *jobs, uint64_t *wait_ms_out)
{
    kal_job_entry *entry = NULL;
    kal_error err = KAL_ERROR_INIT;
    int64_t due_us = 0;

    *wait_ms_out = IDLE_WAIT_MS;
    kal_status status = kal_job_queue_take(jobs->queue, &entry, &due_us, &err);
    if (status == KAL_OK) {
        atomic_fetch_add(&jobs->started, 1);
        return entry;
    }
    if (status != KAL_END) {
        kal_log_error("jobs", "no job can start: %s", err.message);
        *wait_ms_out = FAULT_WAIT_MS;
        return NULL;
    }
    if (due_us == 0)
        return NULL;
    int64_t wait_us = due_us - kal_clock_wall_us(jobs->clock);
    if (wait_us > (int64_t)DUE_WAIT_MS_MAX * 1000)
        wait_us = (int64_t)DUE_WAIT_MS_MAX * 1000;
    *wait_ms_out = wait_us <= 0 ? 1 : (uint64_t)wait_us / 1000 + 1;
    return NULL;
}

static void job_thread(void *context)
{
    kal_jobs *jobs = context;
    kal_catalog_worker *worker =
        jobs->catalog == NULL ? NULL : kal_catalog_worker_open(jobs->catalog); /* owned */
    uint64_t wait_ms = 0;

    kal_thread_lower_priority();
    pthread_mutex_lock(&jobs->lock);
    while (!kal_jobs_stopping(jobs)) {
        kal_job_entry *entry = take_next(jobs, &wait_ms);
        if (entry == NULL) {
            wait_for(jobs, &jobs->work, wait_ms);
            continue;
        }
        pthread_mutex_unlock(&jobs->lock);
        run_entry(jobs, entry, worker);
        pthread_mutex_lock(&jobs->lock);
    }
    pthread_mutex_unlock(&jobs->lock);
    if (worker != NULL)
        kal_catalog_worker_close(worker);
}

/* Finished jobs that are too old or too many. */
static kal_status clean(kal_jobs *jobs, void *context, kal_error *err)
{
    size_t removed = 1;

    (void)context;
    while (removed > 0 && !kal_jobs_stopping(jobs)) {
        pthread_mutex_lock(&jobs->lock);
        kal_status status = kal_job_queue_clean(jobs->queue, &removed, err);
        pthread_mutex_unlock(&jobs->lock);
        KAL_TRY(status);
    }
    return KAL_OK;
}

kal_status kal_jobs_start(kal_jobs *jobs, kal_error *err)
{
    kal_job_ability abilities[KAL_JOB_TYPE_COUNT] = {0};
    unsigned wanted = jobs->options.threads;

    for (size_t i = 0; i < KAL_JOB_TYPE_COUNT; i++) {
        const kal_job_handler *h = &jobs->handlers[i];
        abilities[i] = (kal_job_ability){.can_run = h->fn != NULL,
                                         .can_resume = (h->flags & KAL_JOB_NEVER_RESUME) == 0};
    }
    pthread_mutex_lock(&jobs->lock); /* schedulers may submit already */
    kal_status status = kal_job_queue_recover(jobs->queue, abilities, err);
    pthread_mutex_unlock(&jobs->lock);
    KAL_TRY(status);
    KAL_TRY(kal_jobs_every(jobs, "job_cleanup", CLEAN_INTERVAL_MS, clean, NULL, err));
    jobs->threads = calloc(wanted, sizeof *jobs->threads);
    if (jobs->threads == NULL)
        kal_die("out of memory: jobs");
    for (; jobs->thread_count < wanted; jobs->thread_count++)
        KAL_TRY(kal_thread_start(&jobs->threads[jobs->thread_count], "job", KAL_JOB_STACK_BYTES,
                                 job_thread, jobs, err));
    return KAL_OK;
}

/* ---- submitting, waiting, cancelling ---- */

/* jobs->lock is held. */
static kal_status submit(kal_jobs *jobs, const kal_job_spec *spec, kal_job_entry **entry_out,
                         kal_error *err)
{
    *entry_out = NULL;
    if (kal_jobs_stopping(jobs))
        return kal_error_set(err, KAL_CANCELLED, "the server is shutting down");
    if (jobs->handlers[spec->type].fn == NULL)
        return kal_error_set(err, KAL_UNSUPPORTED, "%s jobs are not available in this version",
                             kal_job_type_name(spec->type));
    KAL_TRY(kal_job_queue_submit(jobs->queue, spec, entry_out, err));
    pthread_cond_signal(&jobs->work);
    return KAL_OK;
}

kal_status kal_jobs_submit(kal_jobs *jobs, const kal_job_spec *spec, uint64_t *number_out,
                           kal_error *err)
{
    kal_job_entry *entry = NULL;

    pthread_mutex_lock(&jobs->lock);
    kal_status status = submit(jobs, spec, &entry, err);
    if (number_out != NULL)
        *number_out = entry == NULL ? 0 : entry->job.number;
    pthread_mutex_unlock(&jobs->lock);
    return status;
}

/* Asks poll while nobody has the lock. */
static kal_status ask(kal_jobs *jobs, const kal_job_poll *poll, kal_error *err)
{
    wait_for(jobs, &jobs->ended, WAIT_MS);
    pthread_mutex_unlock(&jobs->lock);
    kal_status status = poll->go_on(poll->context, err);
    pthread_mutex_lock(&jobs->lock);
    return status;
}

/* jobs->lock is held, and given back between the questions. */
static kal_status wait_for_end(kal_jobs *jobs, const kal_job_entry *entry, const kal_job_poll *poll,
                               kal_error *err)
{
    while (!kal_job_is_finished(entry->job.status)) {
        kal_status status = ask(jobs, poll, err);
        if (status != KAL_OK && !kal_job_is_finished(entry->job.status))
            return status;
    }
    if (err != NULL)
        *err = KAL_ERROR_INIT; /* what poll said no longer matters */
    return KAL_OK;
}

/* Submits when the key is free; jobs->lock is held, and given back between the questions. A job
 * that is retrying starts at once instead of when it is due; when it fails again, that is the
 * answer. */
static kal_status submit_in_turn(kal_jobs *jobs, const kal_job_spec *spec, const kal_job_poll *poll,
                                 kal_job_entry **entry_out, kal_error *err)
{
    uint64_t hurried = 0; /* the number of that job */
    uint32_t retries = 0;

    for (;;) {
        kal_status status = submit(jobs, spec, entry_out, err);
        if (status != KAL_EXISTS)
            return status;
        kal_job *job = &(*entry_out)->job;
        bool retrying = job->status == KAL_JOB_RETRYING;
        if (retrying && job->number == hurried && job->retry_count > retries)
            return kal_error_set(err, job->error, "%.*s", KAL_FMT(job->error_text));
        if (retrying) {
            hurried = job->number;
            retries = job->retry_count;
            job->due_us = kal_clock_wall_us(jobs->clock);
            pthread_cond_signal(&jobs->work);
        }
        KAL_TRY(ask(jobs, poll, err));
    }
}

static kal_status copy_result(kal_bytes result, kal_arena *arena, kal_bytes *result_out,
                              kal_error *err)
{
    if (!kal_arena_try_copy(arena, result, result_out))
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    return KAL_OK;
}

/* Waits with an entry that is held by the caller; jobs->lock is held. */
static kal_status wait_with(kal_jobs *jobs, const kal_job_entry *entry, const kal_job_poll *poll,
                            kal_arena *arena, kal_bytes *result_out, kal_error *err)
{
    KAL_TRY(wait_for_end(jobs, entry, poll, err));
    if (entry->job.status == KAL_JOB_COMPLETED)
        return copy_result(entry->job.result, arena, result_out, err);
    if (err != NULL)
        *err = entry->outcome;
    return entry->outcome.status;
}

kal_status kal_jobs_run(kal_jobs *jobs, const kal_job_spec *spec, bool queue_up,
                        const kal_job_poll *poll, kal_arena *arena, kal_bytes *result_out,
                        kal_error *err)
{
    kal_job_entry *entry = NULL;

    *result_out = (kal_bytes){0};
    pthread_mutex_lock(&jobs->lock);
    kal_status status =
        queue_up ? submit_in_turn(jobs, spec, poll, &entry, err) : submit(jobs, spec, &entry, err);
    if (status == KAL_OK) {
        kal_job_queue_hold(entry);
        status = wait_with(jobs, entry, poll, arena, result_out, err);
        kal_job_queue_release(entry);
    }
    pthread_mutex_unlock(&jobs->lock);
    return status;
}

kal_status kal_jobs_forget_actor(kal_jobs *jobs, kal_bytes actor, kal_error *err)
{
    pthread_mutex_lock(&jobs->lock);
    kal_status status = kal_job_queue_forget_actor(jobs->queue, actor, err);
    pthread_mutex_unlock(&jobs->lock);
    return status;
}

static kal_status how_it_ended(kal_jobs *jobs, uint64_t number, kal_arena *arena,
                               kal_bytes *result_out, kal_error *err)
{
    kal_job job;

    kal_status status = kal_job_queue_get(jobs->queue, NULL, number, arena, &job, err);
    if (status == KAL_NOT_FOUND) {
        kal_error_set(err, KAL_NOT_FOUND, "there is no such job");
        kal_error_code(err, "JOB_NOT_FOUND");
    }
    KAL_TRY(status);
    if (job.status == KAL_JOB_COMPLETED)
        return copy_result(job.result, arena, result_out, err);
    return kal_error_set(err, job.error == KAL_OK ? KAL_INTERNAL : job.error, "%.*s",
                         KAL_FMT(job.error_text));
}

kal_status kal_jobs_wait(kal_jobs *jobs, uint64_t number, const kal_job_poll *poll,
                         kal_arena *arena, kal_bytes *result_out, kal_error *err)
{
    kal_status status = KAL_OK;

    *result_out = (kal_bytes){0};
    pthread_mutex_lock(&jobs->lock);
    kal_job_entry *entry = kal_job_queue_find(jobs->queue, number);
    if (entry == NULL) {
        status = how_it_ended(jobs, number, arena, result_out, err);
    } else {
        kal_job_queue_hold(entry);
        status = wait_with(jobs, entry, poll, arena, result_out, err);
        kal_job_queue_release(entry);
    }
    pthread_mutex_unlock(&jobs->lock);
    return status;
}

/* It is not among the unfinished ones. */
static kal_status cannot_cancel(kal_jobs *jobs, kal_job_type type, uint64_t number, kal_error *err)
{
    char id[KAL_JOB_ID_LEN + 1];
    kal_job job;
    kal_arena arena;

    kal_job_id_format(type, number, id);
    kal_arena_init(&arena, NULL);
    kal_status status = kal_job_queue_get(jobs->queue, NULL, number, &arena, &job, err);
    if (status == KAL_NOT_FOUND || (status == KAL_OK && job.type != type)) {
        status = kal_error_set(err, KAL_NOT_FOUND, "job '%s' does not exist", id);
        kal_error_code(err, "JOB_NOT_FOUND");
        kal_error_hint(err, "SHOW JOBS lists them");
    } else if (status == KAL_OK) {
        status = kal_error_set(err, KAL_INVALID, "job '%s' is %s already", id,
                               kal_job_status_name(job.status));
        kal_error_code(err, "JOB_FINISHED");
    }
    kal_arena_release(&arena);
    return status;
}

/* jobs->lock is held. */
static kal_status cancel(kal_jobs *jobs, kal_job_type type, uint64_t number, kal_error *err)
{
    kal_job_entry *entry = kal_job_queue_find(jobs->queue, number);

    if (entry == NULL || entry->job.type != type)
        return cannot_cancel(jobs, type, number, err);
    bool waits = entry->job.status != KAL_JOB_RUNNING;
    KAL_TRY(kal_job_queue_cancel(jobs->queue, entry, err));
    if (waits)
        count_end(jobs, KAL_JOB_CANCELLED);
    pthread_cond_broadcast(&jobs->ended);
    return KAL_OK;
}

kal_status kal_jobs_cancel(kal_jobs *jobs, kal_job_type type, uint64_t number, kal_error *err)
{
    pthread_mutex_lock(&jobs->lock);
    kal_status status = cancel(jobs, type, number, err);
    pthread_mutex_unlock(&jobs->lock);
    return status;
}

/* ---- schedulers ---- */

static kal_step tick(void *context)
{
    kal_job_scheduler *s = context;
    kal_error err = KAL_ERROR_INIT;

    if (kal_jobs_stopping(s->jobs))
        return KAL_STEP_IDLE;
    kal_status status = s->fn(s->jobs, s->context, &err);
    bool failed = status != KAL_OK && status != KAL_CANCELLED;
    if (failed && !s->failed)
        kal_log_warn("jobs", "%s: %s", s->name, err.message);
    s->failed = failed;
    kal_task_wake_at(s->task, kal_clock_mono_ns(s->jobs->clock) + s->interval_ns);
    return KAL_STEP_IDLE;
}

kal_status kal_jobs_every(kal_jobs *jobs, const char *name, uint64_t interval_ms,
                          kal_jobs_tick_fn fn, void *context, kal_error *err)
{
    kal_job_scheduler *s = calloc(1, sizeof *s); /* owned by jobs->schedulers */

    if (s == NULL)
        kal_die("out of memory: jobs");
    KAL_ASSERT(!kal_jobs_stopping(jobs));
    *s = (kal_job_scheduler){.jobs = jobs,
                             .name = name,
                             .interval_ns = interval_ms * UINT64_C(1000000),
                             .fn = fn,
                             .context = context};
    kal_status status = kal_sched_spawn(jobs->sched, name, tick, s, &s->task, err);
    if (status != KAL_OK) {
        free(s);
        return status;
    }
    kal_vec_push(&jobs->schedulers, s);
    kal_task_wake_at(s->task, kal_clock_mono_ns(jobs->clock) + s->interval_ns);
    return KAL_OK;
}

/* ---- numbers ---- */

kal_jobs_counts kal_jobs_get_counts(const kal_jobs *jobs)
{
    return (kal_jobs_counts){
        .started = atomic_load(&jobs->started),
        .completed = atomic_load(&jobs->completed),
        .failed = atomic_load(&jobs->failed),
        .cancelled = atomic_load(&jobs->cancelled),
        .retried = atomic_load(&jobs->retried),
    };
}

static uint64_t read_started(void *jobs)
{
    return kal_jobs_get_counts(jobs).started;
}

static uint64_t read_completed(void *jobs)
{
    return kal_jobs_get_counts(jobs).completed;
}

static uint64_t read_failed(void *jobs)
{
    return kal_jobs_get_counts(jobs).failed;
}

static uint64_t read_cancelled(void *jobs)
{
    return kal_jobs_get_counts(jobs).cancelled;
}

static uint64_t read_retried(void *jobs)
{
    return kal_jobs_get_counts(jobs).retried;
}

void kal_jobs_add_metrics(kal_jobs *jobs, kal_metrics *metrics)
{
    jobs->metrics = metrics;
    kal_metrics_add(metrics, "job_starts", read_started, jobs);
    kal_metrics_add(metrics, "job_completions", read_completed, jobs);
    kal_metrics_add(metrics, "job_failures", read_failed, jobs);
    kal_metrics_add(metrics, "job_cancellations", read_cancelled, jobs);
    kal_metrics_add(metrics, "job_retries", read_retried, jobs);
}
