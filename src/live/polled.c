/*
 * polled.c: live queries of system tables: their rows are made when they are read, so they are
 * read again about once a second and compared by what names a row (system_tables.h).
 */
#include "catalog/system_tables.h"
#include "live/feed.h"
#include "sql/row_values.h"

bool live_polled_is(const kal_sql_live *parsed)
{
    kal_bytes ns = parsed->select.table.namespace_name.text;
    return kal_bytes_equal(ns, KAL_STR(KAL_SYSTEM_NAMESPACE)) ||
           kal_bytes_equal(ns, KAL_STR(KAL_INFORMATION_NAMESPACE));
}

static kal_system_table table_of(const live_query *query)
{
    return (kal_system_table)query->table->def->table_id;
}

kal_status live_polled_bind(kal_live *live, kal_catalog_worker *catalog,
                            const kal_principal *principal, kal_bytes sql, live_query **query_out,
                            kal_error *err)
{
    KAL_TRY(live_query_bind_alone(live, catalog, principal, sql, query_out, err));
    live_query *query = *query_out;
    for (size_t i = 0; i < query->plan.item_count; i++) {
        kal_live_item *item = &query->plan.items[i];
        item->is_key = item->column >= 0 &&
                       (uint32_t)item->column < query->table->def->column_count &&
                       kal_system_column_is_key(table_of(query), (size_t)item->column);
    }
    return KAL_OK;
}

/* ---- reading ---- */

/* Several rows of the same name are told apart by their order. */
typedef struct reading {
    live_feed_task *task;
    kal_map names; /* key -> how many there were, as uintptr_t */
    kal_buf key;   /* owned, scratch */
} reading;

static void write_key(reading *r, const kal_value *values)
{
    const live_query *query = r->task->feed->query;

    kal_buf_clear(&r->key);
    for (uint32_t i = 0; i < query->table->def->column_count; i++) {
        if (kal_system_column_is_key(table_of(query), i))
            kal_value_encode(&values[i], &r->key);
    }
    uintptr_t before = (uintptr_t)kal_map_find(&r->names, kal_buf_bytes(&r->key));
    kal_map_put(&r->names, kal_buf_bytes(&r->key), (void *)(before + 1));
    kal_buf_append_be64(&r->key, before);
}

static kal_status add_row(reading *r, const kal_value *row, kal_error *err)
{
    live_feed_task *task = r->task;
    const live_query *query = task->feed->query;
    size_t count = query->table->def->column_count;
    bool is_in = true;
    kal_value *values =
        kal_arena_try_array(&task->to->arena, count + KAL_HIDDEN_COUNT, sizeof *values);

    if (values == NULL)
        return live_feed_memory(err);
    memcpy(values, row, count * sizeof *values);
    for (size_t i = 0; i < KAL_HIDDEN_COUNT; i++)
        values[count + i] = kal_value_null(kal_hidden_type(i));
    values[count + KAL_HIDDEN_SEQ] = kal_value_bigint(0);
    if (query->plan.where != NULL)
        KAL_TRY(kal_expr_test(query->plan.where, values, &query->session, &task->base.scratch,
                              &is_in, err));
    if (!is_in)
        return KAL_OK;
    write_key(r, values);
    return live_feed_add(task, kal_buf_bytes(&r->key), values, err);
}

static kal_status read_rows(live_feed_task *task, const kal_view *view, kal_error *err)
{
    const kal_live_options *o = &task->feed->worker->live->options;
    kal_system_rows rows;
    reading r = {.task = task};

    KAL_TRY(kal_catalog_system_rows(o->catalog, view->snapshot, task->feed->query->table,
                                    &task->to->arena, &rows, err));
    kal_map_init(&r.names);
    kal_buf_init(&r.key, NULL);
    kal_status status = KAL_OK;
    for (size_t i = 0; i < rows.row_count && status == KAL_OK; i++)
        status = add_row(&r, rows.values + i * rows.column_count, err);
    kal_buf_release(&r.key);
    kal_map_release(&r.names);
    return status;
}

static kal_status read_table(live_feed_task *task, kal_catalog_worker *catalog, kal_error *err)
{
    const kal_live_options *o = &task->feed->worker->live->options;
    kal_view view;

    (void)catalog;
    o->ops->open_view(o->context, &view, task->feed->query->principal.user_no);
    kal_status status = read_rows(task, &view, err);
    kal_view_close(&view);
    return status;
}

/* ---- comparing and telling ---- */

static kal_status evaluate(const live_feed_task *task, const kal_live_item *item,
                           const kal_value *values, kal_value *out, kal_error *err)
{
    if (item->column >= 0) {
        *out = values[item->column];
        return KAL_OK;
    }
    return kal_expr_eval(item->expr, values, &task->feed->query->session,
                         (kal_arena *)&task->base.scratch, out, err);
}

/* As far as it is shown. */
static kal_status is_same(live_feed_task *task, const void *before, const void *after, bool *out,
                          kal_error *err)
{
    const kal_live_plan *plan = &task->feed->query->plan;

    *out = true;
    for (size_t i = 0; i < plan->item_count && *out; i++) {
        kal_value a;
        kal_value b;
        KAL_TRY(evaluate(task, &plan->items[i], before, &a, err));
        KAL_TRY(evaluate(task, &plan->items[i], after, &b, err));
        *out = kal_value_identical(&a, &b);
    }
    return KAL_OK;
}

static kal_status encode(live_feed_task *task, const void *before, const void *after, uint64_t seq,
                         kal_message_body **body_out, kal_error *err)
{
    return live_encode_change(task->feed->query, before, after, seq, seq, &task->base.scratch,
                              task->feed->worker->live->options.budget, body_out, err);
}

static void write_schema(const live_feed *feed, kal_json_writer *w)
{
    live_query_write_schema(feed->query, w);
}

static kal_status write_row(const live_feed *feed, const void *value, kal_arena *scratch,
                            kal_buf *out, kal_error *err)
{
    return live_encode_row(feed->query, value, scratch, out, err);
}

const live_feed_kind live_polled_feed = {
    .name = "polled",
    .message = "change",
    .is_polled = true,
    .read = read_table,
    .is_same = is_same,
    .encode = encode,
    .write_schema = write_schema,
    .write_row = write_row,
};
