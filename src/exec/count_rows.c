/*
 * count_rows.c: SELECT count(*) FROM t, which needs no row: hot ones are counted by their keys,
 * those of segments are known from the manifest.
 */
#include "base/assert.h"
#include "exec/exec_internal.h"

static bool is_count_star(const kal_sql_expr *e)
{
    return e->kind == KAL_SQL_EXPR_CALL && e->call.star &&
           kal_bytes_equal_nocase(e->call.name.text, KAL_STR("count"));
}

static bool is_whole_count(const kal_sql_select *s)
{
    return s->is_simple && s->has_from && s->where == NULL && s->order_by_count == 0 &&
           s->limit == NULL && s->offset == NULL && s->items.count == 1 &&
           is_count_star(s->items.items[0].expr);
}

/* Of a user's rows among those of others the files themselves say it sooner. */
static kal_status is_counted(kal_run *run, kal_table *table, bool *out, kal_error *err)
{
    kal_segment *const *segments = NULL;
    size_t count = 0;

    *out = false;
    if (table->def->table_type == KAL_TABLE_SYSTEM || table->def->table_type == KAL_TABLE_VIEW)
        return KAL_OK;
    KAL_TRY(kal_view_segments(run->view, table, &segments, &count, err));
    *out = count == 0 || table->def->table_type == KAL_TABLE_SHARED;
    return KAL_OK;
}

kal_status kal_run_count(kal_run *run, bool *done_out, kal_error *err)
{
    const kal_sql_select *s = &run->statement->select;
    kal_table *table = NULL;
    kal_table_size size;
    bool counted = false;

    *done_out = false;
    if (!is_whole_count(s) || run->view == NULL ||
        (run->overlay != NULL && kal_overlay_len(run->overlay) > 0))
        return KAL_OK;
    KAL_TRY(kal_run_table(run, &s->table, &table, err));
    KAL_TRY(kal_may_read(run->principal, table, err));
    KAL_TRY(is_counted(run, table, &counted, err));
    if (!counted)
        return KAL_OK;
    if (run->inline_only)
        return KAL_BUSY; /* there may be many hot rows: on the pool */
    KAL_TRY(kal_view_size(run->view, table, false, UINT64_MAX, kal_run_time_hook, run, &size, err));
    const kal_sql_item *item = &s->items.items[0];
    const kal_result_column column = {
        .name = kal_sql_name_given(item->alias) ? item->alias_raw : KAL_STR("count(*)"),
        .type = kal_type_of(KAL_TYPE_BIGINT),
    };
    const kal_value value = kal_value_bigint((int64_t)size.row_count);
    kal_result_begin(run->result, &column, 1);
    kal_status status = kal_result_row(run->result, &value, 1, err);
    if (status == KAL_OK)
        kal_result_end(run->result);
    else
        kal_result_restart(run->result);
    *done_out = true;
    return status;
}
