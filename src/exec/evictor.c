#include "exec/evictor.h"
#include "base/assert.h"
#include "base/vec.h"

#include <stdlib.h>

enum {
    EVICT_ROWS = 1000,       /* of one commit */
    TICK_BATCHES = 10,       /* of one table in one pass: what remains is a job's */
    COMPACT_ROWS_MIN = 1000, /* fewer removed rows are not worth rewriting files */
    COMPACT_PART = 4,        /* nor is less than such a part of the rows that remain */
};

/* Rows that were removed and whose space was not given back since. */
typedef struct removed_rows {
    uint32_t hot_id;
    uint64_t count;
} removed_rows;

struct kal_evictor {
    kal_exec *exec;
    _Atomic uint64_t evicted_rows;
    _Atomic uint64_t compactions;
    pthread_mutex_t lock;       /* one batch at a time; protects the rest */
    kal_catalog_worker *worker; /* of the pass */
    KAL_VEC(removed_rows) removed;
};

static removed_rows *removed_of(kal_evictor *e, uint32_t hot_id)
{
    for (size_t i = 0; i < e->removed.len; i++) {
        if (e->removed.items[i].hot_id == hot_id)
            return &e->removed.items[i];
    }
    kal_vec_push(&e->removed, ((removed_rows){hot_id, 0}));
    return &e->removed.items[e->removed.len - 1];
}

static void forget_removed(kal_evictor *e, uint32_t hot_id)
{
    for (size_t i = 0; i < e->removed.len; i++) {
        if (e->removed.items[i].hot_id == hot_id) {
            e->removed.items[i] = e->removed.items[--e->removed.len];
            return;
        }
    }
}

/* row_count: before the last batch, so at least what remains. */
static kal_status compact_if_worth(kal_evictor *e, const kal_table *table, uint64_t row_count,
                                   kal_error *err)
{
    uint64_t count = removed_of(e, table->hot_id)->count;

    if (table->def->options.enable_compaction == 0) {
        forget_removed(e, table->hot_id);
        return KAL_OK;
    }
    if (count < COMPACT_ROWS_MIN || count < row_count / COMPACT_PART)
        return KAL_OK;
    KAL_TRY(kal_stream_compact(e->exec->tables, table, err));
    forget_removed(e, table->hot_id);
    atomic_fetch_add(&e->compactions, 1);
    return KAL_OK;
}

/* One batch of one table; *more_out: there may be more. KAL_STALE, KAL_NOT_FOUND: altered or
 * dropped meanwhile. e->lock is held. */
static kal_status evict_batch(kal_evictor *e, kal_catalog_worker *worker,
                              const kal_stream_total *total, size_t *removed_out, bool *more_out,
                              kal_error *err)
{
    kal_table *table = NULL;

    *removed_out = 0;
    *more_out = false;
    KAL_TRY(kal_catalog_get_table_by_id(worker, total->table_id, &table, err));
    kal_table_retain(table);
    kal_status status = kal_stream_evict(e->exec->tables, table, EVICT_ROWS, removed_out, err);
    if (*removed_out > 0) {
        atomic_fetch_add(&e->evicted_rows, *removed_out);
        removed_of(e, table->hot_id)->count += *removed_out;
    }
    *more_out = *removed_out == EVICT_ROWS;
    if (status == KAL_OK && !*more_out)
        status = compact_if_worth(e, table, total->row_count, err);
    kal_table_release(table);
    return status;
}

/* At most `batches` of one table; what it becomes by an ALTER is looked at by the next pass. */
static kal_status evict_from(kal_evictor *e, const kal_stream_total *total, unsigned batches,
                             bool *more_out, kal_error *err)
{
    kal_status status = KAL_OK;
    size_t removed = 0;

    *more_out = true;
    for (unsigned i = 0; i < batches && *more_out && status == KAL_OK; i++) {
        if (kal_jobs_stopping(e->exec->jobs))
            return kal_error_set(err, KAL_CANCELLED, "the server is shutting down");
        pthread_mutex_lock(&e->lock);
        status = evict_batch(e, e->worker, total, &removed, more_out, err);
        if (status == KAL_NOT_FOUND)
            forget_removed(e, total->hot_id);
        pthread_mutex_unlock(&e->lock);
    }
    return status == KAL_NOT_FOUND || status == KAL_STALE ? KAL_OK : status;
}

typedef kal_status (*over_fn)(kal_evictor *, const kal_stream_total *, kal_error *);

/* `batches` of one table; what is left over is handed to over(), if that is not NULL. */
static kal_status pass_table(kal_evictor *e, const kal_stream_total *total, unsigned batches,
                             over_fn over, kal_error *err)
{
    bool more = false;
    KAL_TRY(evict_from(e, total, batches, &more, err));
    return more && over != NULL ? over(e, total, err) : KAL_OK;
}

/* All tables: one that fails does not keep the others waiting. */
static kal_status pass(kal_evictor *e, unsigned batches, over_fn over, kal_error *err)
{
    kal_stream_total total = {0};
    kal_status failure = KAL_OK;

    for (uint32_t hot_id_min = 0;; hot_id_min = total.hot_id + 1) {
        kal_error next = KAL_ERROR_INIT;
        kal_status status = kal_stream_next(e->exec->tables, hot_id_min, &total, &next);
        if (status == KAL_END)
            return failure;
        bool is_last = status != KAL_OK || kal_jobs_stopping(e->exec->jobs);
        if (status == KAL_OK)
            status = pass_table(e, &total, batches, over, &next);
        if (status != KAL_OK && failure == KAL_OK) {
            failure = status;
            if (err != NULL)
                *err = next;
        }
        if (is_last)
            return failure;
    }
}

kal_status kal_evictor_pass(kal_evictor *e, kal_error *err)
{
    return pass(e, UINT32_MAX, NULL, err);
}

/* ---- in the background ---- */

/* A table with more than a pass may take from it. */
static kal_status submit_job(kal_evictor *e, const kal_stream_total *total, kal_error *err)
{
    kal_table *table = NULL;

    pthread_mutex_lock(&e->lock);
    kal_status status = kal_catalog_get_table_by_id(e->worker, total->table_id, &table, err);
    if (status == KAL_OK) {
        const kal_job_spec spec = {.type = KAL_JOB_STREAM_EVICTION,
                                   .table_id = total->table_id,
                                   .namespace_id = table->def->namespace_id,
                                   .table_name = table->def->table_name};
        status = kal_jobs_submit(e->exec->jobs, &spec, NULL, err);
    }
    pthread_mutex_unlock(&e->lock);
    return status == KAL_EXISTS || status == KAL_NOT_FOUND ? KAL_OK : status;
}

static kal_status run_pass(kal_jobs *jobs, void *context, kal_error *err)
{
    (void)jobs;
    return pass(context, TICK_BATCHES, submit_job, err);
}

/* The total of the job's table. KAL_END: it holds no rows. */
static kal_status total_of(kal_evictor *e, kal_job_run *job, kal_stream_total *total,
                           kal_error *err)
{
    kal_table *table = NULL;

    KAL_TRY(kal_catalog_get_table_by_id(job->worker, job->job->table_id, &table, err));
    uint32_t hot_id = table->hot_id;
    KAL_TRY(kal_stream_next(e->exec->tables, hot_id, total, err));
    return total->hot_id == hot_id ? KAL_OK : KAL_END;
}

static kal_status run_job(kal_job_run *job, void *context, kal_error *err)
{
    kal_evictor *e = context;
    kal_stream_total total = {0};
    uint64_t sum = 0;
    size_t removed = 0;
    bool more = true;

    kal_status status = total_of(e, job, &total, err);
    while (status == KAL_OK && more) {
        KAL_TRY(kal_job_check(job, err));
        pthread_mutex_lock(&e->lock);
        status = evict_batch(e, job->worker, &total, &removed, &more, err);
        pthread_mutex_unlock(&e->lock);
        sum += removed;
        kal_job_progress(job, "%llu rows removed", (unsigned long long)sum);
    }
    kal_job_result(job, "%llu rows removed", (unsigned long long)sum);
    /* A table that is gone or empty has nothing to remove. */
    return status == KAL_END || status == KAL_NOT_FOUND ? KAL_OK : status;
}

kal_evictor_counts kal_evictor_get_counts(const kal_evictor *e)
{
    return (kal_evictor_counts){
        .evicted_rows = atomic_load(&e->evicted_rows),
        .compactions = atomic_load(&e->compactions),
    };
}

static uint64_t evicted_rows(void *context)
{
    return kal_evictor_get_counts(context).evicted_rows;
}

static uint64_t compactions(void *context)
{
    return kal_evictor_get_counts(context).compactions;
}

kal_status kal_evictor_open(kal_exec *exec, kal_evictor **evictor_out, kal_error *err)
{
    kal_evictor *e = calloc(1, sizeof *e);

    *evictor_out = NULL;
    if (e == NULL)
        kal_die("out of memory: evictor");
    e->exec = exec;
    pthread_mutex_init(&e->lock, NULL);
    e->worker = kal_catalog_worker_open(exec->catalog);
    kal_metrics_add(kal_exec_metrics(exec), "stream_rows_evicted", evicted_rows, e);
    kal_metrics_add(kal_exec_metrics(exec), "stream_compactions", compactions, e);
    kal_jobs_register(exec->jobs, KAL_JOB_STREAM_EVICTION, run_job, e, 0);
    *evictor_out = e;
    return kal_jobs_every(exec->jobs, "stream_eviction", exec->options.eviction_interval_ms,
                          run_pass, e, err);
}

void kal_evictor_close(kal_evictor *e)
{
    if (e == NULL)
        return;
    kal_metrics_remove(kal_exec_metrics(e->exec), e);
    kal_catalog_worker_close(e->worker);
    kal_vec_release(&e->removed);
    pthread_mutex_destroy(&e->lock);
    free(e);
}
