/*
 * exec.c: opening and closing the database, in the order in which the parts need one another.
 */
#include "base/assert.h"
#include "base/log.h"
#include "base/process.h"
#include "catalog/system_tables.h"
#include "exec/cold.h"
#include "exec/evictor.h"
#include "exec/exports.h"
#include "exec/jobs.h"
#include "exec/stats.h"
#include "types/type_forms.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    DEFAULT_TIMEOUT_MS = 30000,
    DEFAULT_EVICTION_INTERVAL_MS = 10000,
    DEFAULT_JOB_THREADS = 2,
    DEFAULT_JOB_RETENTION_HOURS = 720,
    DEFAULT_JOB_RECORDS_MAX = 10000,
    DEFAULT_JOB_RETRIES_MAX = 3,
    DEFAULT_FLUSH_INTERVAL_MS = 5000,
    DEFAULT_EXPORT_RETENTION_S = 24 * 3600,
    DEFAULT_EXPORT_BYTES_MAX = 1024 * 1024 * 1024,
    DEFAULT_EXPORTS_MAX = 3,
    DEFAULT_BACKUP_INTERVAL_S = 24 * 3600,
    DEFAULT_BACKUPS_KEPT = 7,
    DEFAULT_STATEMENT_BYTES = 256 * 1024 * 1024,
    MEMORY_MIN_BYTES = 256 * 1024 * 1024,
    POOL_THREADS_MIN = 2,
    QUERY_THREADS_MIN = 2, /* one, and one for somebody else */
    CLOSE_GRACE_SECONDS = 10,
};
#define DEFAULT_S3_CACHE_BYTES (UINT64_C(10) << 30)

static size_t machine_memory_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_bytes = sysconf(_SC_PAGESIZE);
    if (pages <= 0 || page_bytes <= 0)
        return MEMORY_MIN_BYTES;
    return (size_t)pages * (size_t)page_bytes;
}

static unsigned at_least(unsigned least, unsigned value)
{
    return value < least ? least : value;
}

static void set_defaults(kal_exec_options *o)
{
    if (o->query_threads == 0)
        o->query_threads = at_least(QUERY_THREADS_MIN, kal_processors_online() - 1);
    if (o->memory_limit_bytes == 0)
        o->memory_limit_bytes = machine_memory_bytes() / 2;
    if (o->statement_limit_bytes == 0)
        o->statement_limit_bytes = DEFAULT_STATEMENT_BYTES;
    if (o->timeout_ms == 0)
        o->timeout_ms = DEFAULT_TIMEOUT_MS;
    if (o->eviction_interval_ms == 0)
        o->eviction_interval_ms = DEFAULT_EVICTION_INTERVAL_MS;
    if (o->job_threads == 0)
        o->job_threads = DEFAULT_JOB_THREADS;
    if (o->job_retention_hours == 0)
        o->job_retention_hours = DEFAULT_JOB_RETENTION_HOURS;
    if (o->job_records_max == 0)
        o->job_records_max = DEFAULT_JOB_RECORDS_MAX;
    if (o->job_retries_max == 0)
        o->job_retries_max = DEFAULT_JOB_RETRIES_MAX;
    if (o->export_retention_s == 0)
        o->export_retention_s = DEFAULT_EXPORT_RETENTION_S;
    if (o->export_bytes_max == 0)
        o->export_bytes_max = DEFAULT_EXPORT_BYTES_MAX;
    if (o->exports_max == 0)
        o->exports_max = DEFAULT_EXPORTS_MAX;
    if (o->backup_interval_s == 0)
        o->backup_interval_s = DEFAULT_BACKUP_INTERVAL_S;
    if (o->backups_kept == 0)
        o->backups_kept = DEFAULT_BACKUPS_KEPT;
    if (o->s3_cache_bytes == 0)
        o->s3_cache_bytes = DEFAULT_S3_CACHE_BYTES;
    if (o->live_workers == 0)
        o->live_workers = 1;
    if (o->flush_interval_ms == 0)
        o->flush_interval_ms = DEFAULT_FLUSH_INTERVAL_MS;
}

static kal_status open_store(kal_exec *exec, kal_error *err)
{
    const kal_exec_options *o = &exec->options;
    char path[4096];

    if (snprintf(path, sizeof path, "%s/rocksdb", o->data_dir) >= (int)sizeof path)
        return kal_error_set(err, KAL_INVALID, "the path of the data directory is too long");
    KAL_TRY(kal_files_make_dir(o->files, o->data_dir, err));
    return kal_kv_open_rocks(path, NULL, &exec->kv, err);
}

static kal_status open_parts(kal_exec *exec, kal_error *err)
{
    const kal_exec_options *o = &exec->options;
    kal_tables_options tables = {.sync = o->sync_commits};
    kal_engine_options engine = {
        .library_path = o->duckdb_library,
        .module_path = o->duckdb_module,
        .memory_limit_bytes = o->memory_limit_bytes / 2,
        .concurrent_max = o->query_threads,
        .clock = o->clock,
    };

    KAL_TRY(open_store(exec, err));
    kal_type_cache_set_size(o->type_cache_size == 0 ? KAL_TYPE_CACHE_SIZE_DEFAULT
                                                    : o->type_cache_size);
    kal_catalog_options catalog = {.cache_tables = o->schema_cache_tables};
    KAL_TRY(kal_catalog_open(exec->kv, o->clock, &catalog, &exec->catalog, err));
    exec->sched = kal_sched_threads();
    KAL_TRY(kal_stats_open(exec, &exec->stats, err));
    KAL_TRY(kal_cold_open(exec, &exec->cold, err));
    tables.catalog = exec->catalog;
    tables.segments = kal_cold_backend(exec->cold);
    tables.scratch_dir = kal_cold_scratch_dir(exec->cold);
    KAL_TRY(kal_tables_open(exec->kv, exec->sched, o->clock, &tables, &exec->tables, err));
    KAL_TRY(kal_exec_open_live(exec, err));
    KAL_TRY(kal_exec_open_jobs(exec, err));
    KAL_TRY(kal_exports_open(exec, &exec->exports, err));
    KAL_TRY(kal_backup_schedule_start(exec, err));
    kal_catalog_set_provider(exec->catalog, KAL_SYSTEM_SEGMENTS, kal_cold_segment_rows, exec);
    KAL_TRY(kal_cold_start(exec->cold, err));
    KAL_TRY(kal_evictor_open(exec, &exec->evictor, err));
    KAL_TRY(kal_auth_open(exec->catalog, o->files, o->data_dir, o->clock, o->root_password,
                          &exec->auth, err));
    engine.files_dir = kal_cold_files_dir(exec->cold);
    KAL_TRY(kal_engine_open(&engine, kal_exec_engine_ops(), &exec->engine, err));
    KAL_TRY(kal_pool_open(exec->catalog, o->query_threads, &exec->engine_pool, err));
    /* One more than a user may have at a time. */
    KAL_TRY(kal_pool_open(exec->catalog, at_least(POOL_THREADS_MIN, kal_processors_online()) + 1,
                          &exec->pool, err));
    KAL_TRY(kal_jobs_start(exec->jobs, err));
    return kal_erase_resume(exec, err);
}

kal_status kal_exec_open(const kal_exec_options *options, kal_exec **exec_out, kal_error *err)
{
    static _Atomic uint64_t serial;
    kal_exec *exec = calloc(1, sizeof *exec);

    *exec_out = NULL;
    if (exec == NULL)
        kal_die("out of memory: exec");
    exec->options = *options;
    exec->serial = atomic_fetch_add(&serial, 1) + 1;
    set_defaults(&exec->options);
    pthread_mutex_init(&exec->lock, NULL);
    pthread_mutex_init(&exec->live_lock, NULL);
    pthread_cond_init(&exec->idle, NULL);
    kal_budget_init(&exec->budget, NULL, exec->options.memory_limit_bytes);
    kal_ids_init(&exec->ids, options->clock, (uint16_t)options->node_id);
    kal_status status = open_parts(exec, err);
    if (status != KAL_OK) {
        kal_exec_close(exec);
        return status;
    }
    *exec_out = exec;
    return KAL_OK;
}

/* Requests get some time to end by themselves; then queries are told to stop. */
static void wait_for_requests(kal_exec *exec)
{
    struct timespec until;
    int waited = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CLOSE_GRACE_SECONDS;
    pthread_mutex_lock(&exec->lock);
    while (exec->requests > 0 && waited == 0)
        waited = pthread_cond_timedwait(&exec->idle, &exec->lock, &until);
    atomic_store(&exec->stop, true);
    kal_engine_stop(exec->engine);
    while (exec->requests > 0)
        pthread_cond_wait(&exec->idle, &exec->lock);
    pthread_mutex_unlock(&exec->lock);
}

void kal_exec_close(kal_exec *exec)
{
    if (exec == NULL)
        return;
    pthread_mutex_lock(&exec->lock);
    exec->closing = true;
    pthread_mutex_unlock(&exec->lock);
    wait_for_requests(exec);
    kal_jobs_stop(exec->jobs);
    kal_pool_close(exec->pool);
    kal_pool_close(exec->engine_pool);
    kal_jobs_close(exec->jobs);
    kal_exports_close(exec->exports);
    kal_cold_stop(exec->cold);
    kal_evictor_close(exec->evictor);
    kal_tables_close(exec->tables);
    kal_live_close(exec->live);
    kal_engine_close(exec->engine);
    kal_cold_close(exec->cold);
    kal_auth_close(exec->auth);
    kal_stats_close(exec->stats);
    for (size_t i = 0; i < exec->inline_workers.len; i++)
        kal_catalog_worker_close(exec->inline_workers.items[i]);
    kal_vec_release(&exec->inline_workers);
    kal_catalog_close(exec->catalog);
    if (exec->sched != NULL)
        kal_sched_close(exec->sched);
    kal_kv_close(exec->kv);
    KAL_ASSERT(atomic_load(&exec->budget.used) == 0);
    pthread_cond_destroy(&exec->idle);
    pthread_mutex_destroy(&exec->live_lock);
    pthread_mutex_destroy(&exec->lock);
    free(exec);
}

kal_budget *kal_exec_budget(kal_exec *exec)
{
    return &exec->budget;
}

kal_auth *kal_exec_auth(kal_exec *exec)
{
    return exec->auth;
}

const kal_exec_options *kal_exec_options_in_effect(const kal_exec *exec)
{
    return &exec->options;
}

kal_metrics *kal_exec_metrics(kal_exec *exec)
{
    return kal_stats_metrics(exec->stats);
}

void kal_exec_set_settings(kal_exec *exec, const kal_setting *settings, size_t count)
{
    kal_stats_set_settings(exec->stats, settings, count);
}

kal_catalog_worker *kal_exec_inline_worker(kal_exec *exec)
{
    static _Thread_local uint64_t of_serial;
    static _Thread_local kal_catalog_worker *worker;

    if (of_serial == exec->serial)
        return worker;
    worker = kal_catalog_worker_open(exec->catalog); /* owned by exec->inline_workers */
    of_serial = exec->serial;
    pthread_mutex_lock(&exec->lock);
    kal_vec_push(&exec->inline_workers, worker);
    pthread_mutex_unlock(&exec->lock);
    return worker;
}

bool kal_exec_enter(kal_exec *exec)
{
    pthread_mutex_lock(&exec->lock);
    bool open = !exec->closing;
    if (open)
        exec->requests++;
    pthread_mutex_unlock(&exec->lock);
    return open;
}

void kal_exec_leave(kal_exec *exec)
{
    pthread_mutex_lock(&exec->lock);
    KAL_ASSERT(exec->requests > 0);
    if (--exec->requests == 0)
        pthread_cond_signal(&exec->idle);
    pthread_mutex_unlock(&exec->lock);
}
