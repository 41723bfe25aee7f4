/*
 * live.c: what live queries need of the database (live/live.h): rights, views, scans, threads.
 */
#include "exec/exec_internal.h"

enum { CHECK_ROWS = 1024 };

static kal_status may_read(const kal_principal *principal, const kal_table *table, kal_error *err)
{
    return kal_may_read(principal, table, err);
}

static void run_task(void *context, kal_catalog_worker *worker)
{
    kal_live_task_run(context, worker);
}

static kal_status submit(void *context, uint64_t user_no, kal_live_task *task, kal_error *err)
{
    kal_exec *exec = context;
    return kal_pool_submit(exec->pool, user_no, run_task, task, err);
}

static void open_view(void *context, kal_view *view, uint64_t user_no)
{
    kal_run_view_open(context, view, user_no, NULL);
}

static void wake(void *context, unsigned worker)
{
    kal_exec *exec = context;
    pthread_mutex_lock(&exec->live_lock);
    if (exec->live_wake != NULL)
        exec->live_wake(exec->live_wake_context, worker);
    pthread_mutex_unlock(&exec->live_lock);
}

typedef struct live_scan {
    kal_exec *exec;
    kal_view *view;
    kal_table *table;
    kal_scan_range range;
    kal_live_visit visit;
    void *context;
} live_scan;

static kal_status scan_point(const live_scan *s, kal_bytes key, kal_arena *arena, kal_error *err)
{
    kal_row row;
    kal_status status = kal_view_get(s->view, s->table, key, false, arena, &row, err);
    if (status == KAL_NOT_FOUND)
        return KAL_OK;
    return status == KAL_OK ? s->visit(s->context, &row, err) : status;
}

static kal_status scan_range(const live_scan *s, kal_error *err)
{
    kal_scan *scan = NULL; /* owned */
    kal_row row;
    uint64_t count = 0;

    kal_status status = kal_scan_open(s->view, s->table, &s->range, &scan, err);
    while (status == KAL_OK) {
        status = kal_scan_next(scan, &row, NULL, err);
        if (status == KAL_OK && ++count % CHECK_ROWS == 0 && atomic_load(&s->exec->stop))
            status = kal_error_set(err, KAL_CANCELLED, "the server is stopping");
        if (status == KAL_OK)
            status = s->visit(s->context, &row, err);
    }
    kal_scan_close(scan);
    return status == KAL_END ? KAL_OK : status;
}

static kal_status scan(void *context, kal_view *view, kal_table *table, const kal_expr *where,
                       const uint64_t *wanted, kal_live_visit visit, void *visit_context,
                       kal_error *err)
{
    kal_exec *exec = context;
    kal_arena arena;     /* owned */
    kal_key_range range; /* owned */
    live_scan s = {exec, view, table, {.no_keys = true, .wanted = wanted}, visit, visit_context};
    kal_run run = {.exec = exec, .arena = &arena, .budget = &exec->budget};

    KAL_TRY(kal_key_range_init(&range, table, where, &exec->budget, err));
    kal_arena_init(&arena, &exec->budget);
    s.range.lower = kal_buf_bytes(&range.lower);
    s.range.upper = kal_buf_bytes(&range.upper);
    s.range.conditions = kal_run_conditions(&run, table, where);
    kal_status status = KAL_OK;
    if (range.is_point && !range.is_empty)
        status = scan_point(&s, s.range.lower, &arena, err);
    else if (!range.is_empty)
        status = scan_range(&s, err);
    kal_arena_release(&arena);
    kal_key_range_release(&range);
    return status;
}

static const kal_live_ops OPS = {may_read, submit, open_view, scan, wake};

kal_status kal_exec_open_live(kal_exec *exec, kal_error *err)
{
    const kal_exec_options *o = &exec->options;
    kal_live_options options = {
        .tables = exec->tables,
        .catalog = exec->catalog,
        .clock = o->clock,
        .budget = &exec->budget,
        .ops = &OPS,
        .context = exec,
        .workers = o->live_workers,
        .per_client_max = o->live_per_connection_max,
        .per_user_max = o->live_per_user_max,
    };
    return kal_live_open(&options, &exec->live, err);
}

kal_live *kal_exec_live(kal_exec *exec)
{
    return exec->live;
}

void kal_exec_watch_live(kal_exec *exec, void (*wake_fn)(void *context, unsigned worker),
                         void *context)
{
    pthread_mutex_lock(&exec->live_lock);
    exec->live_wake = wake_fn;
    exec->live_wake_context = context;
    pthread_mutex_unlock(&exec->live_lock);
}

kal_status kal_exec_subscribe(kal_exec *exec, kal_live_client *client,
                              const kal_live_request *request, kal_error *err)
{
    return kal_live_subscribe(client, kal_exec_inline_worker(exec), request, err);
}
