#include "exec/cold.h"
#include "base/assert.h"
#include "catalog/storages.h"
#include "engine/parquet.h"
#include "exec/file_links.h"
#include "exec/storages.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { ATTEMPTS_MAX = 5, PATH_BYTES = 4096 };
#define PAUSE_NS         (UINT64_C(600) * 1000000000)
#define FORCED_PARAMETER "forced"

/* A job of the scheduler's that failed or was cancelled: it makes no other one before that. */
typedef struct move_pause {
    uint32_t table_id;
    kal_job_type type;
    uint64_t until_ns;
} move_pause;

struct kal_cold {
    kal_exec *exec;               /* borrowed */
    kal_parquet *parquet;         /* owned */
    kal_segment_backend *backend; /* owned */
    kal_s3_client *s3;            /* owned */
    kal_object_cache *cache;      /* owned */
    kal_object_poll poll;         /* of all requests to S3 servers */
    char scratch_dir[PATH_BYTES];
    char files_dir[PATH_BYTES];
    kal_file_links *links;      /* owned; in files_dir, to segments of SHARED tables */
    kal_catalog_worker *worker; /* owned; the scheduler's */
    _Atomic uint64_t flushed_rows;
    _Atomic uint64_t flushes;
    _Atomic uint64_t compactions;
    pthread_mutex_t lock; /* the next */
    KAL_VEC(move_pause) pauses;
};

/* ---- opening ---- */

kal_status kal_cold_open_store(void *context, kal_bytes storage_id, kal_object_store **store_out,
                               kal_error *err)
{
    kal_cold *cold = context;
    kal_storage storage;
    kal_arena arena; /* owned */

    *store_out = NULL;
    kal_arena_init(&arena, NULL);
    kal_status status =
        kal_catalog_get_storage(cold->exec->catalog, storage_id, &arena, &storage, err);
    if (status == KAL_OK)
        status = kal_exec_open_storage(cold->exec, &storage, store_out, err);
    kal_arena_release(&arena);
    return status;
}

static kal_status make_folder(const kal_cold *cold, const char *name, char path[PATH_BYTES],
                              kal_error *err)
{
    const kal_exec_options *o = &cold->exec->options;
    char *data = realpath(o->data_dir, NULL); /* owned */
    int len = data == NULL ? -1 : snprintf(path, PATH_BYTES, "%s/%s", data, name);

    free(data);
    if (len < 0 || len >= PATH_BYTES)
        return kal_error_set(err, KAL_INVALID, "cannot resolve the data directory's path");
    return kal_files_make_dir(o->files, path, err);
}

/* What a crash left there is of nobody any more. */
static kal_status make_empty(const kal_cold *cold, const char *name, char path[PATH_BYTES],
                             kal_error *err)
{
    KAL_TRY(make_folder(cold, name, path, err));
    return kal_files_empty_dir(path, err);
}

/* When the server stops, its jobs wait for nobody; statements have had their time by then. */
static kal_status go_on(void *context, kal_error *err)
{
    const kal_cold *cold = context;
    const kal_exec *exec = cold->exec;

    if (atomic_load(&exec->stop) || (exec->jobs != NULL && kal_jobs_stopping(exec->jobs)))
        return kal_error_set(err, KAL_CANCELLED, "the server is shutting down");
    return KAL_OK;
}

static kal_status open_far(kal_cold *cold, kal_error *err)
{
    const kal_exec_options *o = &cold->exec->options;
    const kal_s3_client_options s3 = {.clock = o->clock, .poll = &cold->poll};
    char path[PATH_BYTES];

    cold->poll = (kal_object_poll){go_on, cold};
    cold->s3 = kal_s3_client_open(&s3);
    KAL_TRY(make_folder(cold, "cache", path, err)); /* who opens it empties it */
    return kal_object_cache_open(path, o->s3_cache_bytes, &cold->cache, err);
}

static kal_status open_parts(kal_cold *cold, kal_error *err)
{
    const kal_exec_options *o = &cold->exec->options;
    const kal_parquet_options parquet = {
        .library_path = o->duckdb_library,
        .memory_limit_bytes = o->memory_limit_bytes / 4,
    };

    KAL_TRY(make_empty(cold, "tmp", cold->scratch_dir, err));
    KAL_TRY(make_empty(cold, "shared", cold->files_dir, err));
    cold->links = kal_file_links_open(cold->files_dir);
    KAL_TRY(open_far(cold, err));
    KAL_TRY(kal_parquet_open(&parquet, &cold->parquet, err));
    cold->backend = kal_segment_backend_open_parquet(cold->parquet, cold->scratch_dir, cold->cache,
                                                     kal_cold_open_store, cold);
    return KAL_OK;
}

kal_status kal_cold_open(kal_exec *exec, kal_cold **cold_out, kal_error *err)
{
    kal_cold *cold = calloc(1, sizeof *cold);

    *cold_out = NULL;
    if (cold == NULL)
        kal_die("out of memory: cold storage");
    cold->exec = exec;
    pthread_mutex_init(&cold->lock, NULL);
    kal_status status = open_parts(cold, err);
    if (status != KAL_OK) {
        kal_cold_close(cold);
        return status;
    }
    *cold_out = cold;
    return KAL_OK;
}

kal_parquet *kal_cold_parquet(kal_cold *cold)
{
    return cold->parquet;
}

kal_segment_backend *kal_cold_backend(kal_cold *cold)
{
    return cold->backend;
}

const char *kal_cold_scratch_dir(kal_cold *cold)
{
    return cold->scratch_dir;
}

const char *kal_cold_files_dir(const kal_cold *cold)
{
    return cold->files_dir;
}

kal_s3_client *kal_cold_s3(const kal_cold *cold)
{
    return cold->s3;
}

kal_status kal_cold_file(kal_cold *cold, const kal_segment_info *info, const kal_object_poll *poll,
                         kal_arena *arena, const char **path_out, kal_cached_object **pin_out,
                         kal_error *err)
{
    const kal_segment_place place = {info->storage_id, info->object};
    const kal_segment_written expected = {info->row_count, info->size_bytes, info->checksum};
    kal_file_identity before;
    char target[PATH_MAX];

    *pin_out = NULL;
    if (kal_file_links_find(cold->links, info->segment_id, arena, path_out, &before))
        return KAL_OK;
    KAL_TRY(cold->backend->ops->local_file(cold->backend, &place, &expected, poll, target, pin_out,
                                           err));
    /* One that is only here while it is pinned is never known. */
    kal_status status = kal_file_links_add(cold->links, info->segment_id, *path_out, target,
                                           *pin_out == NULL ? &before : NULL, err);
    if (status != KAL_OK) {
        kal_cached_object_release(*pin_out);
        *pin_out = NULL;
    }
    return status;
}

void kal_cold_close(kal_cold *cold)
{
    if (cold == NULL)
        return;
    KAL_ASSERT(cold->worker == NULL);
    kal_segment_backend_close(cold->backend);
    kal_parquet_close(cold->parquet);
    kal_file_links_close(cold->links);
    kal_object_cache_close(cold->cache);
    kal_s3_client_close(cold->s3);
    kal_vec_release(&cold->pauses);
    pthread_mutex_destroy(&cold->lock);
    free(cold);
}

/* ---- the jobs ---- */

static bool is_forced(const kal_job_run *job)
{
    const kal_json *forced = kal_json_find(job->parameters, FORCED_PARAMETER);
    return forced != NULL && forced->kind == KAL_JSON_BOOL && forced->boolean;
}

/* By the table's newest definition. *gone_out: the table was dropped, so there is nothing to be
 * moved; KAL_NOT_FOUND alone may also be that of a storage. */
static kal_status move_current(kal_cold *cold, kal_job_run *job, kal_flush_result *sum,
                               bool *gone_out, kal_error *err)
{
    const kal_flush_args args = {.tables = cold->exec->tables,
                                 .actor = &KAL_PRINCIPAL_SERVER,
                                 .check = kal_job_hook,
                                 .give_way = kal_job_give_way,
                                 .context = job};
    kal_flush_result result = {0};
    kal_table *table = NULL;

    kal_status status = kal_catalog_get_table_by_id(job->worker, job->job->table_id, &table, err);
    *gone_out = status == KAL_NOT_FOUND;
    KAL_TRY(status);
    kal_table_retain(table);
    status = job->job->type == KAL_JOB_FLUSH
                 ? kal_table_flush(&args, table, &result, err)
                 : kal_table_compact(&args, table, is_forced(job), &result, err);
    *gone_out = status == KAL_NOT_FOUND && atomic_load(&table->fate) == KAL_TABLE_DROPPED;
    kal_table_release(table);
    sum->row_count += result.row_count;
    sum->segment_count += result.segment_count;
    sum->size_bytes += result.size_bytes;
    return status;
}

static void count(kal_cold *cold, kal_job_type type, const kal_flush_result *result)
{
    if (type == KAL_JOB_FLUSH)
        atomic_fetch_add(&cold->flushed_rows, result->row_count);
    if (result->segment_count > 0)
        atomic_fetch_add(type == KAL_JOB_FLUSH ? &cold->flushes : &cold->compactions, 1);
}

static void begin_pause(kal_cold *cold, const kal_job *job)
{
    const move_pause p = {job->table_id, job->type,
                          kal_clock_mono_ns(cold->exec->options.clock) + PAUSE_NS};
    pthread_mutex_lock(&cold->lock);
    kal_vec_push(&cold->pauses, p);
    pthread_mutex_unlock(&cold->lock);
}

/* Not what will be tried again by itself, nor what a stop of the server ended. */
static bool ends_for_good(const kal_job_run *job, kal_status status)
{
    return status != KAL_OK && !kal_job_may_pass(status) && !kal_jobs_stopping(job->jobs);
}

static kal_status run_move(kal_job_run *job, void *context, kal_error *err)
{
    kal_cold *cold = context;
    kal_flush_result result = {0};
    kal_status status = KAL_STALE;
    bool is_gone = false;

    for (int i = 0; i < ATTEMPTS_MAX && status == KAL_STALE; i++)
        status = move_current(cold, job, &result, &is_gone, err);
    count(cold, job->job->type, &result);
    if (is_gone)
        status = KAL_OK;
    if (status == KAL_CANCELLED) /* by whom? */
        (void)!kal_job_check(job, NULL);
    if (ends_for_good(job, status))
        begin_pause(cold, job->job);
    kal_job_result(job, "%llu rows, %llu segments, %llu bytes",
                   (unsigned long long)result.row_count, (unsigned long long)result.segment_count,
                   (unsigned long long)result.size_bytes);
    return status;
}

kal_job_spec kal_cold_job(const kal_table *table, kal_job_type type, bool forced)
{
    return (kal_job_spec){
        .type = type,
        .table_id = table->def->table_id,
        .namespace_id = table->def->namespace_id,
        .table_name = table->def->table_name,
        .parameters = forced ? KAL_STR("{\"" FORCED_PARAMETER "\":true}") : (kal_bytes){0},
    };
}

kal_status kal_cold_has_work(kal_exec *exec, const kal_table *table, kal_job_type type, bool *out,
                             kal_error *err)
{
    kal_hot_state hot;

    *out = false;
    if (!kal_storage_is_used_by(table->def))
        return KAL_OK;
    if (type == KAL_JOB_COMPACT)
        return kal_table_wants_compaction(exec->tables, table, true, out, err);
    KAL_TRY(kal_tables_hot_state(exec->tables, table, 1, &hot, err));
    *out = hot.row_count > 0 || hot.has_frozen;
    return KAL_OK;
}

/* ---- the scheduler ---- */

/* Forgets what is over. */
static bool is_paused(kal_cold *cold, uint32_t table_id, kal_job_type type)
{
    uint64_t now = kal_clock_mono_ns(cold->exec->options.clock);
    bool found = false;

    pthread_mutex_lock(&cold->lock);
    for (size_t i = cold->pauses.len; i-- > 0;) {
        const move_pause *p = &cold->pauses.items[i];
        if (p->until_ns <= now)
            cold->pauses.items[i] = cold->pauses.items[--cold->pauses.len];
        else
            found = found || (p->table_id == table_id && p->type == type);
    }
    pthread_mutex_unlock(&cold->lock);
    return found;
}

/* By rows: so many lie hot. By time: the oldest of them may have lain hot for so long, as the last
 * flush or the start of the server is the time ago. */
static kal_status wants_flush(kal_cold *cold, const kal_table *table, bool *due_out, kal_error *err)
{
    const kal_flush_policy *policy = &table->def->options.flush_policy;
    kal_hot_state hot;
    uint64_t limit = policy->row_limit > 0 ? policy->row_limit : 1;

    *due_out = false;
    if (policy->row_limit == 0 && policy->interval_seconds == 0)
        return KAL_OK;
    KAL_TRY(kal_tables_hot_state(cold->exec->tables, table, limit, &hot, err));
    int64_t age_us = kal_clock_wall_us(cold->exec->options.clock) - hot.moved_at_us;
    bool by_rows = policy->row_limit > 0 && hot.row_count >= policy->row_limit;
    bool by_time = policy->interval_seconds > 0 && hot.row_count > 0 &&
                   age_us >= (int64_t)policy->interval_seconds * 1000000;
    *due_out = by_rows || by_time || hot.has_frozen;
    return KAL_OK;
}

static kal_status submit_if_due(kal_cold *cold, const kal_table *table, kal_job_type type,
                                kal_error *err)
{
    kal_job_spec spec = kal_cold_job(table, type, false);
    bool due = false;

    KAL_TRY(type == KAL_JOB_FLUSH
                ? wants_flush(cold, table, &due, err)
                : kal_table_wants_compaction(cold->exec->tables, table, false, &due, err));
    if (!due || is_paused(cold, spec.table_id, type))
        return KAL_OK;
    spec.keep_trying = true;
    kal_status status = kal_jobs_submit(cold->exec->jobs, &spec, NULL, err);
    return status == KAL_EXISTS ? KAL_OK : status;
}

static kal_status look_at(kal_cold *cold, uint32_t table_id, kal_error *err)
{
    kal_table *table = NULL;

    kal_status status = kal_catalog_get_table_by_id(cold->worker, table_id, &table, err);
    if (status == KAL_NOT_FOUND) /* dropped meanwhile */
        return KAL_OK;
    KAL_TRY(status);
    if (!kal_storage_is_used_by(table->def))
        return KAL_OK;
    kal_table_retain(table);
    status = submit_if_due(cold, table, KAL_JOB_FLUSH, err);
    if (status == KAL_OK)
        status = submit_if_due(cold, table, KAL_JOB_COMPACT, err);
    kal_table_release(table);
    return status;
}

static kal_status look_at_all(kal_cold *cold, kal_error *err)
{
    uint32_t *ids = NULL;
    size_t count = 0;
    kal_arena arena; /* owned */

    kal_arena_init(&arena, NULL);
    kal_status status =
        kal_catalog_table_ids(cold->exec->catalog, (kal_bytes){0}, &arena, &ids, &count, err);
    for (size_t i = 0; i < count && status == KAL_OK; i++) {
        if (kal_jobs_stopping(cold->exec->jobs))
            break;
        status = look_at(cold, ids[i], err);
    }
    kal_arena_release(&arena);
    return status;
}

/* With a thread of its own: storages may be slow to delete. */
static kal_status sweep(kal_jobs *jobs, void *context, kal_error *err)
{
    kal_cold *cold = context;
    const kal_flush_args args = {.tables = cold->exec->tables, .actor = &KAL_PRINCIPAL_SERVER};
    uint64_t removed = 0;

    (void)jobs;
    kal_status status = kal_tables_sweep(&args, &removed, err);
    if (removed > 0)
        kal_file_links_sweep(cold->links);
    return status == KAL_BUSY ? KAL_OK : status;
}

static kal_status tick(kal_jobs *jobs, void *context, kal_error *err)
{
    (void)jobs;
    return look_at_all(context, err);
}

static uint64_t flushed_rows(void *context)
{
    return atomic_load(&((kal_cold *)context)->flushed_rows);
}

static uint64_t flushes(void *context)
{
    return atomic_load(&((kal_cold *)context)->flushes);
}

static uint64_t segment_compactions(void *context)
{
    return atomic_load(&((kal_cold *)context)->compactions);
}

#define CACHE_METRIC(name)                                                                         \
    static uint64_t cache_##name(void *context)                                                    \
    {                                                                                              \
        return kal_object_cache_get_counts(((kal_cold *)context)->cache).name;                     \
    }
CACHE_METRIC(hits)
CACHE_METRIC(misses)
CACHE_METRIC(evictions)
CACHE_METRIC(fetched_bytes)
CACHE_METRIC(bytes)
#undef CACHE_METRIC

#define S3_METRIC(name)                                                                            \
    static uint64_t s3_##name(void *context)                                                       \
    {                                                                                              \
        return kal_s3_client_counts(((kal_cold *)context)->s3).name;                               \
    }
S3_METRIC(requests)
S3_METRIC(retries)
S3_METRIC(failures)
#undef S3_METRIC

static void add_far_metrics(kal_cold *cold)
{
    static const struct {
        const char *name;
        kal_metric_read read;
    } METRICS[] = {
        {"s3_requests", s3_requests},
        {"s3_retries", s3_retries},
        {"s3_failures", s3_failures},
        {"s3_cache_hits", cache_hits},
        {"s3_cache_misses", cache_misses},
        {"s3_cache_evictions", cache_evictions},
        {"s3_cache_fetched_bytes", cache_fetched_bytes},
        {"s3_cache_bytes", cache_bytes},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(METRICS); i++)
        kal_metrics_add(kal_exec_metrics(cold->exec), METRICS[i].name, METRICS[i].read, cold);
}

kal_status kal_cold_start(kal_cold *cold, kal_error *err)
{
    kal_exec *exec = cold->exec;

    cold->worker = kal_catalog_worker_open(exec->catalog);
    kal_metrics_add(kal_exec_metrics(exec), "rows_flushed", flushed_rows, cold);
    kal_metrics_add(kal_exec_metrics(exec), "flushes", flushes, cold);
    kal_metrics_add(kal_exec_metrics(exec), "segment_compactions", segment_compactions, cold);
    add_far_metrics(cold);
    kal_jobs_register(exec->jobs, KAL_JOB_FLUSH, run_move, cold, 0);
    kal_jobs_register(exec->jobs, KAL_JOB_COMPACT, run_move, cold, 0);
    KAL_TRY(kal_jobs_every(exec->jobs, "sweep", exec->options.flush_interval_ms, sweep, cold, err));
    return kal_jobs_every(exec->jobs, "flush", exec->options.flush_interval_ms, tick, cold, err);
}

void kal_cold_stop(kal_cold *cold)
{
    if (cold == NULL || cold->worker == NULL)
        return;
    kal_metrics_remove(kal_exec_metrics(cold->exec), cold);
    kal_catalog_worker_close(cold->worker);
    cold->worker = NULL;
}
