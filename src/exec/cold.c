#include "exec/cold.h"
#include "base/assert.h"
#include "base/log.h"
#include "catalog/storages.h"
#include "engine/parquet.h"
#include "exec/storages.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ATTEMPTS_MAX = 5, PATH_BYTES = 4096 };

/* Who changes the catalog when nobody asked for it. */
static const kal_principal SERVER = {.user_id = "system", .role = KAL_ROLE_SYSTEM};

struct kal_cold {
    kal_exec *exec;               /* borrowed */
    kal_parquet *parquet;         /* owned */
    kal_segment_backend *backend; /* owned */
    char scratch_dir[PATH_BYTES];
    kal_task *task;             /* owned; NULL: not started */
    kal_catalog_worker *worker; /* owned; the task's */
    _Atomic bool stopping;
    _Atomic uint64_t flushed_rows;
    _Atomic uint64_t flushes;
    _Atomic uint64_t compactions;
    pthread_mutex_t lock;     /* the next */
    KAL_VEC(uint32_t) moving; /* tables that are being flushed or compacted */
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

/* What a crash left there is of nobody any more. */
static void empty_scratch(const char *path)
{
    DIR *dir = opendir(path); /* owned */
    if (dir == NULL)
        return;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    }
    closedir(dir);
}

static kal_status open_parts(kal_cold *cold, kal_error *err)
{
    const kal_exec_options *o = &cold->exec->options;
    const kal_parquet_options parquet = {
        .library_path = o->duckdb_library,
        .memory_limit_bytes = o->memory_limit_bytes / 4,
        .clock = o->clock,
    };

    int len = snprintf(cold->scratch_dir, PATH_BYTES, "%s/tmp", o->data_dir);
    if (len < 0 || len >= PATH_BYTES)
        return kal_error_set(err, KAL_INVALID, "the path of the data directory is too long");
    KAL_TRY(kal_files_make_dir(o->files, cold->scratch_dir, err));
    empty_scratch(cold->scratch_dir);
    KAL_TRY(kal_parquet_open(&parquet, &cold->parquet, err));
    cold->backend = kal_segment_backend_open_parquet(cold->parquet, cold->scratch_dir,
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

kal_segment_backend *kal_cold_backend(kal_cold *cold)
{
    return cold->backend;
}

const char *kal_cold_scratch_dir(kal_cold *cold)
{
    return cold->scratch_dir;
}

void kal_cold_close(kal_cold *cold)
{
    if (cold == NULL)
        return;
    KAL_ASSERT(cold->task == NULL);
    kal_segment_backend_close(cold->backend);
    kal_parquet_close(cold->parquet);
    kal_vec_release(&cold->moving);
    pthread_mutex_destroy(&cold->lock);
    free(cold);
}

/* ---- flushing ---- */

/* False: the table is being flushed or compacted already. */
static bool begin_moving(kal_cold *cold, uint32_t table_id)
{
    bool free_now = true;
    pthread_mutex_lock(&cold->lock);
    for (size_t i = 0; i < cold->moving.len; i++)
        free_now = free_now && cold->moving.items[i] != table_id;
    if (free_now)
        kal_vec_push(&cold->moving, table_id);
    pthread_mutex_unlock(&cold->lock);
    return free_now;
}

static void end_moving(kal_cold *cold, uint32_t table_id)
{
    pthread_mutex_lock(&cold->lock);
    for (size_t i = 0; i < cold->moving.len; i++) {
        if (cold->moving.items[i] == table_id) {
            cold->moving.items[i] = cold->moving.items[--cold->moving.len];
            break;
        }
    }
    pthread_mutex_unlock(&cold->lock);
}

static kal_flush_args flush_args(kal_cold *cold, const kal_cold_actor *actor)
{
    return (kal_flush_args){
        .tables = cold->exec->tables,
        .actor = actor->principal,
        .check = actor->check,
        .check_context = actor->check_context,
    };
}

static void add(kal_flush_result *sum, const kal_flush_result *more)
{
    sum->row_count += more->row_count;
    sum->segment_count += more->segment_count;
    sum->size_bytes += more->size_bytes;
}

typedef enum move_kind { MOVE_FLUSH, MOVE_COMPACT, MOVE_COMPACT_FORCED } move_kind;

static kal_status move_current(kal_cold *cold, const kal_cold_actor *actor, uint32_t table_id,
                               move_kind kind, kal_flush_result *sum, kal_error *err)
{
    const kal_flush_args args = flush_args(cold, actor);
    kal_flush_result result;
    kal_table *table = NULL;

    KAL_TRY(kal_catalog_get_table_by_id(actor->worker, table_id, &table, err));
    kal_table_retain(table);
    kal_status status =
        kind == MOVE_FLUSH
            ? kal_table_flush(&args, table, &result, err)
            : kal_table_compact(&args, table, kind == MOVE_COMPACT_FORCED, &result, err);
    kal_table_release(table);
    add(sum, &result);
    return status;
}

static kal_status move(kal_cold *cold, const kal_cold_actor *actor, uint32_t table_id,
                       move_kind kind, kal_flush_result *result_out, kal_error *err)
{
    kal_status status = KAL_STALE;

    *result_out = (kal_flush_result){0};
    if (!begin_moving(cold, table_id))
        return kal_error_set(err, KAL_BUSY, "the table is being flushed or compacted already");
    for (int i = 0; i < ATTEMPTS_MAX && status == KAL_STALE; i++)
        status = move_current(cold, actor, table_id, kind, result_out, err);
    end_moving(cold, table_id);
    return status;
}

kal_status kal_cold_flush(kal_cold *cold, const kal_cold_actor *actor, uint32_t table_id,
                          kal_flush_result *result_out, kal_error *err)
{
    kal_status status = move(cold, actor, table_id, MOVE_FLUSH, result_out, err);
    if (result_out->segment_count > 0)
        atomic_fetch_add(&cold->flushes, 1);
    atomic_fetch_add(&cold->flushed_rows, result_out->row_count);
    return status;
}

kal_status kal_cold_compact(kal_cold *cold, const kal_cold_actor *actor, uint32_t table_id,
                            bool forced, kal_flush_result *result_out, kal_error *err)
{
    kal_status status =
        move(cold, actor, table_id, forced ? MOVE_COMPACT_FORCED : MOVE_COMPACT, result_out, err);
    if (result_out->segment_count > 0)
        atomic_fetch_add(&cold->compactions, 1);
    return status;
}

/* ---- the task ---- */

typedef struct due_tables {
    kal_cold *cold;
    KAL_VEC(uint32_t) ids;
} due_tables;

static kal_status note_table(void *context, kal_bytes ns, kal_bytes name, uint32_t table_id,
                             kal_error *err)
{
    due_tables *due = context;
    (void)ns, (void)name, (void)err;
    kal_vec_push(&due->ids, table_id);
    return KAL_OK;
}

static kal_status go_on(const void *context, kal_error *err)
{
    const kal_cold *cold = context;
    if (atomic_load(&cold->stopping))
        return kal_error_set(err, KAL_CANCELLED, "the server is shutting down");
    return KAL_OK;
}

/* By rows: so many lie hot. By time: the oldest of them may have lain hot for so long, as the last
 * flush or the start of the server is the time ago. */
static kal_status is_due(kal_cold *cold, kal_table *table, bool *due_out, kal_error *err)
{
    const kal_flush_policy *policy = &table->def->options.flush_policy;
    kal_hot_state hot;
    uint64_t limit = policy->row_limit > 0 ? policy->row_limit : 1;

    *due_out = false;
    if (!kal_storage_is_used_by(table->def) ||
        (policy->row_limit == 0 && policy->interval_seconds == 0))
        return KAL_OK;
    KAL_TRY(kal_tables_hot_state(cold->exec->tables, table, limit, &hot, err));
    int64_t age_us = kal_clock_wall_us(cold->exec->options.clock) - hot.moved_at_us;
    bool by_rows = policy->row_limit > 0 && hot.row_count >= policy->row_limit;
    bool by_time = policy->interval_seconds > 0 && hot.row_count > 0 &&
                   age_us >= (int64_t)policy->interval_seconds * 1000000;
    *due_out = by_rows || by_time || hot.has_frozen;
    return KAL_OK;
}

static void move_if_due(kal_cold *cold, const kal_cold_actor *actor, uint32_t table_id)
{
    kal_error err = KAL_ERROR_INIT;
    kal_flush_result result;
    kal_table *table = NULL;
    bool due = false;

    if (kal_catalog_get_table_by_id(actor->worker, table_id, &table, &err) != KAL_OK)
        return; /* dropped meanwhile */
    kal_table_retain(table);
    kal_status status = is_due(cold, table, &due, &err);
    if (status == KAL_OK && due)
        status = kal_cold_flush(cold, actor, table_id, &result, &err);
    if (status == KAL_OK && kal_storage_is_used_by(table->def))
        status = kal_cold_compact(cold, actor, table_id, false, &result, &err);
    if (status != KAL_OK && status != KAL_BUSY && status != KAL_CANCELLED &&
        status != KAL_NOT_FOUND)
        kal_log_error("flush", "table %.*s.%.*s: %s", KAL_FMT(table->def->namespace_id),
                      KAL_FMT(table->def->table_name), err.message);
    kal_table_release(table);
}

static void sweep(kal_cold *cold, const kal_cold_actor *actor)
{
    const kal_flush_args args = flush_args(cold, actor);
    kal_error err = KAL_ERROR_INIT;
    uint64_t removed = 0;

    kal_status status = kal_tables_sweep(&args, &removed, &err);
    if (status != KAL_OK && status != KAL_BUSY)
        kal_log_error("flush", "removing segments: %s", err.message);
}

static kal_step run_step(void *context)
{
    kal_cold *cold = context;
    const kal_cold_actor actor = {&SERVER, cold->worker, go_on, cold};
    due_tables due = {.cold = cold};
    kal_error err = KAL_ERROR_INIT;

    if (kal_catalog_scan_tables(cold->exec->catalog, (kal_bytes){0}, note_table, &due, &err) !=
        KAL_OK)
        kal_log_error("flush", "cannot list the tables: %s", err.message);
    for (size_t i = 0; i < due.ids.len && !atomic_load(&cold->stopping); i++)
        move_if_due(cold, &actor, due.ids.items[i]);
    kal_vec_release(&due.ids);
    if (!atomic_load(&cold->stopping))
        sweep(cold, &actor);
    kal_task_wake_at(cold->task, kal_clock_mono_ns(cold->exec->options.clock) +
                                     cold->exec->options.flush_interval_ms * UINT64_C(1000000));
    return KAL_STEP_IDLE;
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

kal_status kal_cold_start(kal_cold *cold, kal_error *err)
{
    kal_exec *exec = cold->exec;

    cold->worker = kal_catalog_worker_open(exec->catalog);
    KAL_TRY(kal_sched_spawn(exec->sched, "flush", run_step, cold, &cold->task, err));
    kal_metrics_add(kal_exec_metrics(exec), "rows_flushed", flushed_rows, cold);
    kal_metrics_add(kal_exec_metrics(exec), "flushes", flushes, cold);
    kal_metrics_add(kal_exec_metrics(exec), "segment_compactions", segment_compactions, cold);
    kal_task_wake_at(cold->task, kal_clock_mono_ns(exec->options.clock) +
                                     exec->options.flush_interval_ms * UINT64_C(1000000));
    return KAL_OK;
}

void kal_cold_stop(kal_cold *cold)
{
    if (cold == NULL)
        return;
    atomic_store(&cold->stopping, true);
    if (cold->task != NULL) {
        kal_task_stop(cold->task);
        kal_metrics_remove(kal_exec_metrics(cold->exec), cold);
    }
    cold->task = NULL;
    kal_catalog_worker_close(cold->worker);
    cold->worker = NULL;
}
