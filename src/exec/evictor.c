#include "exec/evictor.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/vec.h"

#include <stdlib.h>

enum {
    EVICT_ROWS = 1000,       /* of one commit */
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
    kal_task *task;        /* owned */
    _Atomic bool stopping; /* no further batch */
    _Atomic uint64_t evicted_rows;
    _Atomic uint64_t compactions;
    pthread_mutex_t lock; /* one step at a time; protects the rest */
    kal_catalog_worker *worker;
    uint32_t hot_id_min; /* where the pass stands */
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

static kal_status evict_from(kal_evictor *e, const kal_stream_total *total, bool *more_out,
                             kal_error *err)
{
    kal_table *table = NULL;
    size_t removed = 0;

    *more_out = false;
    KAL_TRY(kal_catalog_get_table_by_id(e->worker, total->table_id, &table, err));
    kal_table_retain(table);
    kal_status status = kal_stream_evict(e->exec->tables, table, EVICT_ROWS, &removed, err);
    if (removed > 0) {
        atomic_fetch_add(&e->evicted_rows, removed);
        removed_of(e, table->hot_id)->count += removed;
    }
    *more_out = removed == EVICT_ROWS;
    if (status == KAL_OK && !*more_out)
        status = compact_if_worth(e, table, total->row_count, err);
    kal_table_release(table);
    return status;
}

/* One batch of one table; KAL_END at the end of a pass. */
static kal_status step(kal_evictor *e, kal_error *err)
{
    kal_stream_total total = {0};
    bool more = false;

    kal_status status = kal_stream_next(e->exec->tables, e->hot_id_min, &total, err);
    if (status != KAL_OK) {
        e->hot_id_min = 0;
        return status;
    }
    status = evict_from(e, &total, &more, err);
    if (status == KAL_STALE) /* altered meanwhile: by its new options, then */
        return KAL_OK;
    e->hot_id_min = more ? total.hot_id : total.hot_id + 1;
    if (status == KAL_NOT_FOUND) { /* dropped meanwhile */
        forget_removed(e, total.hot_id);
        return KAL_OK;
    }
    return status;
}

static kal_step run_step(void *context)
{
    kal_evictor *e = context;
    const kal_exec_options *o = &e->exec->options;
    kal_error err = KAL_ERROR_INIT;

    if (atomic_load(&e->stopping))
        return KAL_STEP_IDLE;
    pthread_mutex_lock(&e->lock);
    kal_status status = step(e, &err);
    pthread_mutex_unlock(&e->lock);
    if (status == KAL_OK)
        return KAL_STEP_AGAIN;
    if (status != KAL_END)
        kal_log_warn("eviction", "rows of streams wait for the next pass: %s", err.message);
    kal_task_wake_at(e->task,
                     kal_clock_mono_ns(o->clock) + o->eviction_interval_ms * UINT64_C(1000000));
    return KAL_STEP_IDLE;
}

kal_status kal_evictor_pass(kal_evictor *e, kal_error *err)
{
    kal_status status = KAL_OK;

    pthread_mutex_lock(&e->lock);
    e->hot_id_min = 0;
    while (status == KAL_OK)
        status = step(e, err);
    pthread_mutex_unlock(&e->lock);
    return status == KAL_END ? KAL_OK : status;
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
    kal_status status = kal_sched_spawn(exec->sched, "eviction", run_step, e, &e->task, err);
    if (status != KAL_OK) {
        kal_evictor_close(e);
        return status;
    }
    kal_metrics_add(kal_exec_metrics(exec), "stream_rows_evicted", evicted_rows, e);
    kal_metrics_add(kal_exec_metrics(exec), "stream_compactions", compactions, e);
    kal_task_wake_at(e->task, kal_clock_mono_ns(exec->options.clock) +
                                  exec->options.eviction_interval_ms * UINT64_C(1000000));
    *evictor_out = e;
    return KAL_OK;
}

void kal_evictor_close(kal_evictor *e)
{
    if (e == NULL)
        return;
    atomic_store(&e->stopping, true);
    if (e->task != NULL) {
        kal_task_stop(e->task);
        kal_metrics_remove(kal_exec_metrics(e->exec), e);
    }
    kal_catalog_worker_close(e->worker);
    kal_vec_release(&e->removed);
    pthread_mutex_destroy(&e->lock);
    free(e);
}
