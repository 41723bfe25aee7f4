/*
 * live.c: what live queries need of the database (live/live.h): rights, views, scans, threads; and
 * the statements about them.
 */
#include "base/log.h"
#include "catalog/system_tables.h"
#include "exec/exec_internal.h"

#include <stdio.h>

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

/* ---- system.live_queries ---- */

typedef struct live_rows {
    kal_exec *exec;
    kal_system_sink *sink;
} live_rows;

static kal_value text_value(const char *text)
{
    return kal_value_text(kal_cstr(text));
}

static void write_options(const kal_live_info *info, kal_buf *out)
{
    kal_json_writer w;

    kal_json_writer_init(&w, out);
    kal_json_begin_object(&w);
    kal_json_key(&w, "batch_size");
    kal_json_u64(&w, info->batch_size);
    if (info->last_rows > 0) {
        kal_json_key(&w, "last_rows");
        kal_json_u64(&w, info->last_rows);
    }
    kal_json_key(&w, "on_slow");
    kal_json_cstr(&w, info->on_slow);
    kal_json_end_object(&w);
}

static kal_status add_live_row(void *context, const kal_live_info *info, kal_error *err)
{
    const live_rows *rows = context;
    kal_value v[KAL_LIVE_QUERIES_END_OF_COLUMNS];
    char connection[32];
    char node[16];
    kal_buf options; /* owned */

    kal_buf_init(&options, NULL);
    write_options(info, &options);
    snprintf(connection, sizeof connection, "%llu", (unsigned long long)info->connection);
    snprintf(node, sizeof node, "%u", rows->exec->options.node_id);
    v[KAL_LIVE_QUERIES_LIVE_ID] = text_value(info->live_id);
    v[KAL_LIVE_QUERIES_CONNECTION_ID] = text_value(connection);
    v[KAL_LIVE_QUERIES_NAMESPACE_ID] = kal_value_text(info->namespace_id);
    v[KAL_LIVE_QUERIES_TABLE_NAME] = kal_value_text(info->table_name);
    v[KAL_LIVE_QUERIES_QUERY_ID] = text_value(info->query_id);
    v[KAL_LIVE_QUERIES_USER_ID] = text_value(info->user_id);
    v[KAL_LIVE_QUERIES_QUERY] = kal_value_text(info->query);
    v[KAL_LIVE_QUERIES_OPTIONS] =
        kal_value_bytes(kal_type_of(KAL_TYPE_JSON), kal_buf_bytes(&options));
    v[KAL_LIVE_QUERIES_CREATED_AT] = kal_value_integer(KAL_TYPE_TIMESTAMP, info->created_at_us);
    v[KAL_LIVE_QUERIES_LAST_UPDATE] = kal_value_integer(KAL_TYPE_TIMESTAMP, info->last_update_us);
    v[KAL_LIVE_QUERIES_CHANGES] = kal_value_bigint((int64_t)info->changes);
    v[KAL_LIVE_QUERIES_NODE] = text_value(node);
    v[KAL_LIVE_QUERIES_STATE] = text_value(info->state);
    v[KAL_LIVE_QUERIES_LAG] = kal_value_bigint((int64_t)info->lag);
    kal_status status = kal_system_sink_add(rows->sink, v, KAL_ARRAY_LEN(v), err);
    kal_buf_release(&options);
    return status;
}

static kal_status all_live_rows(void *context, const kal_kv_snapshot *snapshot,
                                kal_system_sink *sink, kal_error *err)
{
    live_rows rows = {context, sink};
    (void)snapshot;
    return kal_live_each(rows.exec->live, 0, add_live_row, &rows, err);
}

/* ---- statements ---- */

static kal_status show_live_row(void *context, const kal_live_info *info, kal_error *err)
{
    kal_run *run = context;
    kal_value v[] = {
        text_value(info->live_id),
        text_value(info->user_id),
        kal_value_text(info->namespace_id),
        kal_value_text(info->table_name),
        text_value(info->query_id),
        kal_value_text(info->query),
        text_value(info->state),
        kal_value_bigint((int64_t)info->changes),
        kal_value_bigint((int64_t)info->lag),
        kal_value_integer(KAL_TYPE_TIMESTAMP, info->created_at_us),
    };
    return kal_result_row(run->result, v, KAL_ARRAY_LEN(v), err);
}

/* Whose live queries somebody may see and end: his own, or as dba everybody's. */
static uint64_t visible_user(const kal_run *run)
{
    return run->principal->role >= KAL_ROLE_DBA ? 0 : run->principal->user_no;
}

static kal_result_column shown_column(size_t column, kal_type_tag type)
{
    return (kal_result_column){
        .name = kal_cstr(kal_system_column_name(KAL_SYSTEM_LIVE_QUERIES, column)),
        .type = kal_type_of(type)};
}

kal_status kal_run_show_live_queries(kal_run *run, kal_error *err)
{
    const kal_result_column columns[] = {
        shown_column(KAL_LIVE_QUERIES_LIVE_ID, KAL_TYPE_TEXT),
        shown_column(KAL_LIVE_QUERIES_USER_ID, KAL_TYPE_TEXT),
        shown_column(KAL_LIVE_QUERIES_NAMESPACE_ID, KAL_TYPE_TEXT),
        shown_column(KAL_LIVE_QUERIES_TABLE_NAME, KAL_TYPE_TEXT),
        shown_column(KAL_LIVE_QUERIES_QUERY_ID, KAL_TYPE_TEXT),
        shown_column(KAL_LIVE_QUERIES_QUERY, KAL_TYPE_TEXT),
        shown_column(KAL_LIVE_QUERIES_STATE, KAL_TYPE_TEXT),
        shown_column(KAL_LIVE_QUERIES_CHANGES, KAL_TYPE_BIGINT),
        shown_column(KAL_LIVE_QUERIES_LAG, KAL_TYPE_BIGINT),
        shown_column(KAL_LIVE_QUERIES_CREATED_AT, KAL_TYPE_TIMESTAMP),
    };

    kal_result_begin(run->result, columns, KAL_ARRAY_LEN(columns));
    KAL_TRY(kal_live_each(run->exec->live, visible_user(run), show_live_row, run, err));
    kal_result_end(run->result);
    return KAL_OK;
}

kal_status kal_run_kill_live_query(kal_run *run, kal_error *err)
{
    const kal_sql_kill_job *kill = &run->statement->kill_job;

    if (kal_live_kill(run->exec->live, kill->id, visible_user(run))) {
        kal_log_info("live", "%.*s is ended by '%s' from %s", KAL_FMT(kill->id),
                     run->principal->user_id, run->peer == NULL ? "?" : run->peer);
        kal_result_message(run->result, 0, "Live query '%.*s' ended", KAL_FMT(kill->id));
        return KAL_OK;
    }
    kal_error_set(err, KAL_NOT_FOUND, "live query '%.*s' does not exist",
                  (int)(kill->id.len < 100 ? kill->id.len : 100), (const char *)kill->id.ptr);
    kal_error_code(err, "LIVE_QUERY_NOT_FOUND");
    kal_error_hint(err, "SHOW LIVE QUERIES lists them");
    kal_error_at(err, kill->position);
    return KAL_NOT_FOUND;
}

/* ---- SUBSCRIBE TO, EXPLAIN LIVE ---- */

static void write_subscription(const kal_run *run, kal_buf *out)
{
    const kal_sql_live *live = &run->statement->live;
    static const char *const ON_SLOW[] = {NULL, "pause", "coalesce", "close"};
    kal_json_writer w;
    char id[64];

    snprintf(id, sizeof id, "sub-%llu", (unsigned long long)kal_ids_snowflake(&run->exec->ids));
    kal_json_writer_init(&w, out);
    kal_json_begin_object(&w);
    kal_json_key(&w, "id");
    kal_json_cstr(&w, id);
    kal_json_key(&w, "sql");
    kal_json_string(&w, live->text);
    kal_json_key(&w, "options");
    kal_json_begin_object(&w);
    if (live->options.has_last_rows) {
        kal_json_key(&w, "last_rows");
        kal_json_u64(&w, live->options.last_rows);
    }
    if (live->options.has_batch_size) {
        kal_json_key(&w, "batch_size");
        kal_json_u64(&w, live->options.batch_size);
    }
    if (live->options.has_from) {
        kal_json_key(&w, "from");
        kal_json_u64(&w, live->options.from);
    }
    if (ON_SLOW[live->options.on_slow] != NULL) {
        kal_json_key(&w, "on_slow");
        kal_json_cstr(&w, ON_SLOW[live->options.on_slow]);
    }
    if (live->options.hash) {
        kal_json_key(&w, "hash");
        kal_json_bool(&w, true);
    }
    kal_json_end_object(&w);
    kal_json_end_object(&w);
}

/* What is to be sent over a WebSocket, which is where a live query is: nothing is subscribed here.
 * It is bound all the same, so that what would be refused there is refused here. */
kal_status kal_run_subscribe(kal_run *run, kal_error *err)
{
    const kal_type text = kal_type_of(KAL_TYPE_TEXT);
    const kal_result_column columns[] = {
        {.name = KAL_STR("status"), .type = text},
        {.name = KAL_STR("ws_url"), .type = text},
        {.name = KAL_STR("subscription"), .type = kal_type_of(KAL_TYPE_JSON)},
        {.name = KAL_STR("message"), .type = text},
    };
    const char *url = run->exec->options.websocket_url;
    kal_live_explanation ignored;
    kal_buf subscription; /* owned */

    if (run->statement->live.param_max > 0)
        return kal_error_set(err, KAL_SYNTAX, "a live query has no parameters");
    KAL_TRY(kal_live_explain(run->exec->live, run->worker, run->principal,
                             run->statement->live.text, &ignored, err));
    kal_buf_init(&subscription, run->budget);
    write_subscription(run, &subscription);
    kal_value v[] = {
        text_value("subscription_required"),
        text_value(url == NULL || url[0] == '\0' ? "/v1/ws" : url),
        kal_value_bytes(kal_type_of(KAL_TYPE_JSON), kal_buf_bytes(&subscription)),
        text_value("Send the subscription over a WebSocket connection to ws_url"),
    };
    kal_result_begin(run->result, columns, KAL_ARRAY_LEN(columns));
    kal_status status = kal_buf_failed(&subscription)
                            ? kal_error_set(err, KAL_LIMIT, "the statement's memory is used up")
                            : kal_result_row(run->result, v, KAL_ARRAY_LEN(v), err);
    kal_buf_release(&subscription);
    if (status == KAL_OK)
        kal_result_end(run->result);
    return status;
}

static kal_status explain_row(kal_run *run, const char *what, const char *value, kal_error *err)
{
    kal_value v[] = {text_value(what), text_value(value)};
    return kal_result_row(run->result, v, KAL_ARRAY_LEN(v), err);
}

static kal_status explain_count(kal_run *run, const char *what, uint64_t value, kal_error *err)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return explain_row(run, what, text, err);
}

static kal_status write_explanation(kal_run *run, const kal_live_explanation *e, kal_error *err)
{
    KAL_TRY(explain_row(run, "kind", e->kind, err));
    KAL_TRY(explain_row(run, "index", e->index, err));
    KAL_TRY(explain_row(run, "rest of WHERE", e->has_rest ? "tested for each hit" : "none", err));
    KAL_TRY(explain_row(run, "shared by all users", e->is_shared ? "yes" : "no", err));
    KAL_TRY(explain_count(run, "subscribers", e->subscribers, err));
    KAL_TRY(explain_count(run, "changes tested", e->tested, err));
    KAL_TRY(explain_count(run, "changes matched", e->matched, err));
    KAL_TRY(explain_count(run, "cost per test, ns", e->cost_ns, err));
    return explain_count(run, "greatest lag, changes", e->lag, err);
}

kal_status kal_run_explain_live(kal_run *run, kal_error *err)
{
    const kal_type text = kal_type_of(KAL_TYPE_TEXT);
    const kal_result_column columns[] = {
        {.name = KAL_STR("property"), .type = text},
        {.name = KAL_STR("value"), .type = text},
    };
    kal_live_explanation e;

    KAL_TRY(kal_live_explain(run->exec->live, run->worker, run->principal,
                             run->statement->live.text, &e, err));
    kal_result_begin(run->result, columns, KAL_ARRAY_LEN(columns));
    KAL_TRY(write_explanation(run, &e, err));
    kal_result_end(run->result);
    return KAL_OK;
}

/* ---- opening ---- */

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
    KAL_TRY(kal_live_open(&options, &exec->live, err));
    kal_catalog_set_provider(exec->catalog, KAL_SYSTEM_LIVE_QUERIES, all_live_rows, exec);
    kal_catalog_set_provider(exec->catalog, KAL_SYSTEM_LIVE, all_live_rows, exec);
    return KAL_OK;
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
