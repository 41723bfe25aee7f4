/*
 * run.c: one statement: its tables, key range and rows as values; which function runs which
 * statement.
 */
#include "base/assert.h"
#include "exec/exec_internal.h"
#include "types/key.h"

#include <stdlib.h>

static kal_status keep_table(kal_run *run, kal_table *table, kal_error *err)
{
    for (size_t i = 0; i < run->tables.len; i++) {
        if (run->tables.items[i] == table)
            return KAL_OK;
    }
    if (!kal_vec_try_push_in(run->arena, &run->tables, table))
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    kal_table_retain(table);
    return KAL_OK;
}

void kal_run_view_open(kal_exec *exec, kal_view *view, uint64_t user_no, kal_overlay *overlay)
{
    uint64_t epoch = kal_catalog_epoch(exec->catalog);
    kal_view_open(view, exec->tables, user_no, overlay);
    view->epoch = epoch;
}

static bool reads_rows(kal_stmt_kind kind)
{
    return kind == KAL_STMT_SELECT || kind == KAL_STMT_INSERT || kind == KAL_STMT_UPDATE ||
           kind == KAL_STMT_DELETE;
}

/* Rows of one moment are read by the definition of that moment: what a newer one allows, of these
 * rows it was never allowed. KAL_STALE: the statement starts over at a newer moment. */
static kal_status check_moment(const kal_run *run, const kal_table *table, kal_error *err)
{
    bool was_current = false;

    if (run->view == NULL || table->epoch <= run->view->epoch ||
        table->def->table_type == KAL_TABLE_SYSTEM || !reads_rows(run->statement->kind))
        return KAL_OK;
    if (run->inline_only)
        return KAL_BUSY; /* the store may have to be read */
    KAL_TRY(
        kal_catalog_was_current(run->exec->catalog, run->view->snapshot, table, &was_current, err));
    if (was_current)
        return KAL_OK;
    if (run->overlay == NULL)
        return kal_error_set(err, KAL_STALE, "table '%.*s.%.*s' was changed meanwhile, try again",
                             KAL_FMT(table->def->namespace_id), KAL_FMT(table->def->table_name));
    kal_error_set(err, KAL_CONFLICT, "table '%.*s.%.*s' was changed since the transaction began",
                  KAL_FMT(table->def->namespace_id), KAL_FMT(table->def->table_name));
    kal_error_hint(err, "run the transaction again");
    return KAL_CONFLICT;
}

kal_status kal_run_table_named(kal_run *run, kal_bytes ns, kal_bytes name, kal_table **table_out,
                               kal_error *err)
{
    if (ns.len == 0)
        ns = run->default_namespace;
    KAL_TRY(kal_catalog_get_table(run->worker, ns, name, table_out, err));
    KAL_TRY(keep_table(run, *table_out, err));
    return check_moment(run, *table_out, err);
}

kal_status kal_run_table(kal_run *run, const kal_sql_object *name, kal_table **table_out,
                         kal_error *err)
{
    kal_status status =
        kal_run_table_named(run, name->namespace_name.text, name->name.text, table_out, err);
    if (status == KAL_NOT_FOUND)
        kal_error_at(err, name->position);
    return status;
}

static kal_status find_system_rows(kal_run *run, kal_table *table, kal_system_rows *rows_out,
                                   kal_error *err)
{
    for (size_t i = 0; i < run->system.len; i++) {
        if (run->system.items[i].table_id == table->def->table_id) {
            *rows_out = run->system.items[i].rows;
            return KAL_OK;
        }
    }
    kal_run_system made = {.table_id = table->def->table_id};
    KAL_TRY(kal_catalog_system_rows(run->exec->catalog, run->view->snapshot, table, run->arena,
                                    &made.rows, err));
    if (!kal_vec_try_push_in(run->arena, &run->system, made))
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    *rows_out = made.rows;
    return KAL_OK;
}

kal_status kal_run_system_rows(kal_run *run, kal_table *table, kal_system_rows *rows_out,
                               kal_error *err)
{
    pthread_mutex_lock(run->system_lock);
    kal_status status = find_system_rows(run, table, rows_out, err);
    pthread_mutex_unlock(run->system_lock);
    return status;
}

kal_status kal_run_check_stop(const kal_run *run, kal_error *err)
{
    if (atomic_load_explicit(&run->exec->stop, memory_order_relaxed))
        return kal_error_set(err, KAL_CANCELLED, "the server is shutting down");
    if (atomic_load_explicit(run->cancelled, memory_order_relaxed))
        return kal_error_set(err, KAL_CANCELLED, "the statement was cancelled");
    return KAL_OK;
}

kal_status kal_run_check_time(const kal_run *run, kal_error *err)
{
    KAL_TRY(kal_run_check_stop(run, err));
    if (kal_clock_mono_ns(run->exec->options.clock) < run->deadline_ns)
        return KAL_OK;
    return kal_error_set(err, KAL_TIMEOUT, "the statement took longer than %llu ms",
                         (unsigned long long)run->exec->options.timeout_ms);
}

kal_status kal_run_time_hook(void *run, kal_error *err)
{
    return kal_run_check_time(run, err);
}

kal_status kal_run_stop_hook(void *run, kal_error *err)
{
    return kal_run_check_stop(run, err);
}

uint64_t kal_run_user_no(const kal_run *run, const kal_table *table)
{
    return kal_table_user_no(table, run->principal->user_no);
}

kal_binder kal_run_binder(kal_run *run, const kal_table *table, kal_bytes alias)
{
    return (kal_binder){.statement = run->statement,
                        .def = table == NULL ? NULL : table->def,
                        .alias = alias,
                        .params = run->params,
                        .param_json = run->param_json,
                        .param_count = run->param_count,
                        .arena = run->arena};
}

/* ---- key ranges ---- */

/* The smallest byte string above every key that starts with buf: false when there is none. */
static bool to_prefix_end(kal_buf *buf)
{
    while (buf->len > 0) {
        if (++buf->ptr[buf->len - 1] != 0)
            return true;
        buf->len--;
    }
    return false;
}

static void apply_range(kal_key_range *range, const kal_key_bounds *bounds)
{
    kal_bytes prefix = kal_buf_bytes(&range->lower);
    kal_buf_append_bytes(&range->upper, prefix);
    size_t prefix_len = range->upper.len;
    if (bounds->upper != NULL)
        kal_key_append(&range->upper, bounds->upper);
    /* Exclusive upper bound: the key itself; inclusive or none: the end of its prefix. */
    if (bounds->upper == NULL || bounds->upper_inclusive) {
        if (range->upper.len > 0 && !to_prefix_end(&range->upper))
            kal_buf_truncate(&range->upper, 0);
    } else if (range->upper.len == prefix_len) {
        range->is_empty = true;
    }
    if (bounds->lower != NULL) {
        kal_key_append(&range->lower, bounds->lower);
        if (!bounds->lower_inclusive && !to_prefix_end(&range->lower))
            range->is_empty = true;
    }
}

kal_status kal_key_range_init(kal_key_range *range, const kal_table *table, const kal_expr *where,
                              kal_budget *budget, kal_error *err)
{
    kal_key_bounds bounds;

    *range = (kal_key_range){0};
    kal_buf_init(&range->lower, budget);
    kal_buf_init(&range->upper, budget);
    kal_bind_key_bounds(table->def, where, &bounds);
    range->is_empty = bounds.never;
    for (uint32_t i = 0; i < bounds.equal_count; i++)
        kal_key_append(&range->lower, bounds.equal[i]);
    range->is_point =
        table->def->key_column_count > 0 && bounds.equal_count == table->def->key_column_count;
    if (!range->is_point)
        apply_range(range, &bounds);
    if (kal_buf_failed(&range->lower) || kal_buf_failed(&range->upper)) {
        kal_key_range_release(range);
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    }
    /* No stored key is longer, so nothing can be equal; long range bounds are just cut: they stay
     * bounds, and WHERE is tested on every row. */
    if (range->lower.len > KAL_PRIMARY_KEY_BYTES_MAX && range->is_point)
        range->is_empty = true;
    if (range->lower.len > KAL_PRIMARY_KEY_BYTES_MAX)
        kal_buf_truncate(&range->lower, KAL_PRIMARY_KEY_BYTES_MAX);
    if (range->upper.len > KAL_PRIMARY_KEY_BYTES_MAX) {
        kal_buf_truncate(&range->upper, KAL_PRIMARY_KEY_BYTES_MAX);
        if (!to_prefix_end(&range->upper))
            kal_buf_truncate(&range->upper, 0);
    }
    return KAL_OK;
}

void kal_key_range_spread(kal_key_range *range)
{
    if (!range->is_point)
        return;
    kal_buf_append_bytes(&range->upper, kal_buf_bytes(&range->lower));
    if (range->upper.len < KAL_PRIMARY_KEY_BYTES_MAX)
        kal_buf_append_byte(&range->upper, 0);
    else if (!to_prefix_end(&range->upper)) /* no bound may be longer */
        kal_buf_truncate(&range->upper, 0);
}

void kal_key_range_release(kal_key_range *range)
{
    kal_buf_release(&range->lower);
    kal_buf_release(&range->upper);
}

/* ---- which function runs which statement ---- */

static kal_status check_time(const void *run, kal_error *err)
{
    return kal_run_check_time(run, err);
}

void kal_run_watch_view(const kal_run *run, kal_view *view)
{
    view->check = check_time;
    view->check_context = run;
}

static kal_status not_built(const char *statement, kal_error *err)
{
    kal_error_set(err, KAL_UNSUPPORTED, "%s is not available in this version", statement);
    return KAL_UNSUPPORTED;
}

kal_status kal_run_statement(kal_run *run, kal_error *err)
{
    const kal_sql_statement *s = run->statement;
    if (s->not_built != NULL)
        return not_built(s->not_built, err);
    if (run->view != NULL)
        kal_run_watch_view(run, run->view);
    switch (s->kind) {
    case KAL_STMT_SELECT:
        return kal_run_select(run, err);
    case KAL_STMT_INSERT:
        return kal_run_insert(run, err);
    case KAL_STMT_UPDATE:
        return kal_run_update(run, err);
    case KAL_STMT_DELETE:
        return kal_run_delete(run, err);
    case KAL_STMT_CREATE_NAMESPACE:
        return kal_run_create_namespace(run, err);
    case KAL_STMT_DROP_NAMESPACE:
        return kal_run_drop_namespace(run, err);
    case KAL_STMT_ALTER_NAMESPACE:
        return kal_run_alter_namespace(run, err);
    case KAL_STMT_CREATE_VIEW:
        return kal_run_create_view(run, err);
    case KAL_STMT_DROP_VIEW:
        return kal_run_drop_view(run, err);
    case KAL_STMT_CREATE_TABLE:
        return kal_run_create_table(run, err);
    case KAL_STMT_ALTER_TABLE:
        return kal_run_alter_table(run, err);
    case KAL_STMT_DROP_TABLE:
        return kal_run_drop_table(run, err);
    case KAL_STMT_CREATE_USER:
        return kal_run_create_user(run, err);
    case KAL_STMT_ALTER_USER:
        return kal_run_alter_user(run, err);
    case KAL_STMT_DROP_USER:
        return kal_run_drop_user(run, err);
    case KAL_STMT_CREATE_STORAGE:
        return kal_run_create_storage(run, err);
    case KAL_STMT_ALTER_STORAGE:
        return kal_run_alter_storage(run, err);
    case KAL_STMT_DROP_STORAGE:
        return kal_run_drop_storage(run, err);
    case KAL_STMT_SHOW_STORAGES:
        return kal_run_show_storages(run, err);
    case KAL_STMT_STORAGE_CHECK:
        return kal_run_storage_check(run, err);
    case KAL_STMT_SHOW_NAMESPACES:
        return kal_run_show_namespaces(run, err);
    case KAL_STMT_SHOW_TABLES:
        return kal_run_show_tables(run, err);
    case KAL_STMT_SHOW_CREATE_TABLE:
        return kal_run_show_create_table(run, err);
    case KAL_STMT_SHOW_STATS:
        return kal_run_show_stats(run, err);
    case KAL_STMT_FLUSH:
    case KAL_STMT_COMPACT:
        return kal_run_flush(run, err);
    case KAL_STMT_SHOW_MANIFEST:
        return kal_run_show_manifest(run, err);
    case KAL_STMT_BACKUP:
        return kal_run_backup(run, err);
    case KAL_STMT_RESTORE:
        return kal_run_restore(run, err);
    case KAL_STMT_SHOW_BACKUPS:
        return kal_run_show_backups(run, err);
    case KAL_STMT_EXPORT:
        return kal_run_export(run, err);
    case KAL_STMT_SHOW_EXPORT:
        return kal_run_show_export(run, err);
    case KAL_STMT_SHOW_BACKUP:
        return kal_run_show_backup(run, err);
    case KAL_STMT_SHOW_JOBS:
        return kal_run_show_jobs(run, err);
    case KAL_STMT_KILL_JOB:
        return kal_run_kill_job(run, err);
    case KAL_STMT_DESCRIBE_TABLE:
        return kal_run_describe(run, err);
    case KAL_STMT_SHOW_SCHEMA_DIFF:
        return kal_run_show_schema_diff(run, err);
    case KAL_STMT_SUBSCRIBE:
        return kal_run_subscribe(run, err);
    case KAL_STMT_EXPLAIN_LIVE:
        return kal_run_explain_live(run, err);
    case KAL_STMT_SHOW_LIVE_QUERIES:
        return kal_run_show_live_queries(run, err);
    case KAL_STMT_KILL_LIVE_QUERY:
        return kal_run_kill_live_query(run, err);
    default:
        return kal_error_set(err, KAL_UNSUPPORTED, "%s is not available here",
                             kal_stmt_name(s->kind));
    }
}
