/*
 * update.c: UPDATE and DELETE.
 *
 * With every key column fixed by WHERE and expressions the evaluator knows, the statement is one
 * operation for the lane. Otherwise the rows are found first, by a scan of the view or by DuckDB,
 * and their changes collected in an overlay that commits as prepared operations.
 */
#include "base/assert.h"
#include "exec/dml.h"

enum {
    CHECK_TIME_ROWS = 1024,
    SCRATCH_BYTES_MAX = 64 * 1024, /* of values that WHERE made, before they are freed */
};

typedef struct change_plan {
    kal_dml dml;
    bool is_delete;
    const kal_sql_object *target;
    kal_bytes alias;
    const kal_sql_expr *where_sql;
    kal_expr *where;
    kal_dml_sets sets;
    bool needs_engine;
    const kal_expr_session *session;
    uint64_t batch_row; /* from 1; 0: no batch */
} change_plan;

static kal_status plan_change(kal_run *run, change_plan *plan, kal_error *err)
{
    const kal_sql_statement *s = run->statement;
    const kal_sql_items *returning = NULL;

    *plan = (change_plan){.is_delete = s->kind == KAL_STMT_DELETE, .session = &run->session};
    plan->dml.returns_old = plan->is_delete;
    plan->dml.verb = plan->is_delete ? "Deleted" : "Updated";
    plan->target = plan->is_delete ? &s->delete_from.table : &s->update.table;
    plan->alias = plan->is_delete ? s->delete_from.alias.text : s->update.alias.text;
    plan->where_sql = plan->is_delete ? s->delete_from.where : s->update.where;
    returning = plan->is_delete ? &s->delete_from.returning : &s->update.returning;
    KAL_TRY(kal_run_table(run, plan->target, &plan->dml.table, err));
    KAL_TRY(kal_may_write(run->principal, plan->dml.table, err));
    if (!plan->is_delete)
        KAL_TRY(kal_dml_check_updatable(plan->dml.table, err));
    kal_binder b = kal_run_binder(run, plan->dml.table, plan->alias);
    kal_status status = kal_bind_where(&b, plan->where_sql, &plan->where, err);
    if (status != KAL_OK && !(status == KAL_UNSUPPORTED && b.for_engine))
        return status;
    plan->needs_engine = status != KAL_OK;
    if (!plan->is_delete)
        KAL_TRY(kal_dml_bind_sets(run, &b, plan->dml.table, &s->update.set, &plan->sets, err));
    plan->needs_engine = plan->needs_engine || plan->sets.needs_engine;
    return kal_dml_bind_returning(run, &b, plan->dml.table, returning, &plan->dml.returning, err);
}

/* ---- key-bound ---- */

static kal_status change_row(const change_plan *plan, const kal_row *current, kal_arena *arena,
                             kal_write_effect *effect_out, kal_error *err)
{
    const kal_table *table = plan->dml.table;
    bool wanted = true;

    *effect_out = (kal_write_effect){KAL_WRITE_NONE, NULL};
    if (current == NULL)
        return KAL_OK;
    kal_value *values = kal_arena_try_array(arena, kal_row_value_count(table), sizeof *values);
    if (values == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    kal_row_values(table, current, kal_column_bits(table, arena, true), values);
    if (plan->where != NULL)
        KAL_TRY(kal_expr_test(plan->where, values, plan->session, arena, &wanted, err));
    if (!wanted)
        return KAL_OK;
    if (!plan->is_delete)
        KAL_TRY(kal_dml_apply_sets(&plan->sets, table, plan->session, values, arena, values, err));
    *effect_out = (kal_write_effect){plan->is_delete ? KAL_WRITE_DELETE : KAL_WRITE_PUT, values};
    return KAL_OK;
}

static kal_status resolve_change(void *context, const kal_row *current, kal_arena *arena,
                                 kal_write_effect *effect_out, kal_error *err)
{
    const change_plan *plan = context;
    kal_status status = change_row(plan, current, arena, effect_out, err);
    if (status != KAL_OK && plan->batch_row > 0)
        kal_error_row(err, plan->batch_row);
    return status;
}

/* KAL_END: not bound to a key. */
static kal_status add_point(kal_run *run, change_plan *plan, kal_write *write, kal_error *err)
{
    kal_key_range range;
    if (plan->needs_engine || plan->sets.sets_key || plan->sets.parses_json ||
        kal_expr_count(plan->where, KAL_EXPR_JSON) > 0) /* documents are not parsed on the lane */
        return KAL_END;
    KAL_TRY(kal_key_range_init(&range, plan->dml.table, plan->where, run->budget, err));
    kal_status status = range.is_point || range.is_empty ? KAL_OK : KAL_END;
    if (status == KAL_OK && !range.is_empty) {
        kal_write_op op = {
            .table = plan->dml.table,
            .user_no = kal_run_user_no(run, plan->dml.table),
            .key = kal_buf_bytes(&range.lower),
            .resolve = resolve_change,
            .context = plan,
            .keep_row = plan->dml.returning.count > 0,
        };
        status = kal_write_add(write, &op, NULL, err);
    }
    kal_key_range_release(&range);
    return status;
}

/* Plans the statement for one row of a batch (index from 0); without a batch, as it is. */
static kal_status plan_batch_row(kal_run *run, change_plan *plan, size_t index, kal_error *err)
{
    const kal_json *rows = run->param_rows;
    if (rows != NULL)
        KAL_TRY(kal_run_params(run, &rows->items[index], KAL_COLUMNS_MAX, err));
    KAL_TRY(plan_change(run, plan, err));
    plan->batch_row = rows == NULL ? 0 : index + 1;
    return KAL_OK;
}

kal_status kal_change_prepare(kal_run *run, kal_dml *dml_out, kal_write *write, kal_error *err)
{
    size_t count = run->param_rows == NULL ? 1 : run->param_rows->len;

    for (size_t i = 0; i < count; i++) {
        change_plan *plan = kal_arena_try_alloc(run->arena, sizeof *plan);
        if (plan == NULL)
            return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
        kal_status status = plan_batch_row(run, plan, i, err);
        if (status == KAL_OK) {
            *dml_out = plan->dml;
            status = add_point(run, plan, write, err);
        }
        if (status != KAL_OK) {
            if (run->param_rows != NULL)
                kal_error_row(err, i + 1);
            return status;
        }
    }
    return KAL_OK;
}

/* ---- prepared ---- */

/* A row that was found, to be changed once all are found: an overlay must not change under a scan.
 */
typedef struct found_row {
    kal_bytes key;     /* arena */
    kal_value *values; /* new ones; NULL for DELETE */
    kal_value *cold;   /* a row of a segment as it was found: reading it again is dear; else NULL */
    uint64_t cold_seq;
} found_row;

typedef struct found_rows {
    KAL_VEC(found_row) rows; /* arena */
} found_rows;

static kal_status out_of_memory(kal_error *err)
{
    return kal_error_set(err, KAL_LIMIT, "the changed rows exceed the statement's memory");
}

static bool copy_values(kal_arena *arena, const kal_value *values, size_t count, kal_value **out)
{
    kal_value *copy = kal_arena_try_array(arena, count + 1, sizeof *copy);
    for (size_t i = 0; copy != NULL && i < count; i++) {
        if (!kal_value_copy(&values[i], arena, &copy[i]))
            return false;
    }
    *out = copy;
    return copy != NULL;
}

/* current: the row that was found, NULL: it has to be read. values: the new ones; NULL: DELETE. */
static kal_status keep_found(kal_run *run, const change_plan *plan, found_rows *found,
                             kal_bytes key, const kal_row *current, const kal_value *values,
                             kal_error *err)
{
    size_t count = plan->dml.table->def->column_count;
    found_row row = {0};

    if (!kal_arena_try_copy(run->arena, key, &row.key) ||
        (values != NULL && !copy_values(run->arena, values, count, &row.values)))
        return out_of_memory(err);
    if (current != NULL && current->values != NULL) {
        row.cold_seq = current->seq;
        if (!copy_values(run->arena, current->values, count, &row.cold))
            return out_of_memory(err);
    }
    return kal_vec_try_push_in(run->arena, &found->rows, row) ? KAL_OK : out_of_memory(err);
}

/* scratch: what WHERE computes of a row does not stay */
static kal_status find_by_scan_row(kal_run *run, change_plan *plan, const kal_row *row,
                                   kal_bytes key, const uint64_t *bits, kal_value *values,
                                   kal_arena *scratch, found_rows *found, kal_error *err)
{
    const kal_table *table = plan->dml.table;
    bool wanted = true;

    if (scratch->size_bytes > SCRATCH_BYTES_MAX)
        kal_arena_reset(scratch);
    kal_row_values(table, row, bits, values);
    if (plan->where != NULL)
        KAL_TRY(kal_expr_test(plan->where, values, plan->session, scratch, &wanted, err));
    if (!wanted)
        return KAL_OK;
    if (!plan->is_delete)
        KAL_TRY(
            kal_dml_apply_sets(&plan->sets, table, plan->session, values, run->arena, values, err));
    return keep_found(run, plan, found, key, row, plan->is_delete ? NULL : values, err);
}

static kal_status find_by_scan(kal_run *run, change_plan *plan, kal_view *view, found_rows *found,
                               kal_error *err)
{
    const kal_table *table = plan->dml.table;
    const uint64_t *bits = kal_column_bits(table, run->arena, true);
    kal_value *values = kal_arena_alloc(run->arena, kal_row_value_count(table) * sizeof *values);
    kal_key_range range;
    kal_scan *scan = NULL; /* owned */
    kal_arena scratch;     /* owned */
    kal_row row;
    kal_bytes key;
    uint64_t scanned = 0;
    bool parses_json = kal_expr_count(plan->where, KAL_EXPR_JSON) > 0; /* as long as they are */

    KAL_TRY(kal_key_range_init(&range, table, plan->where, run->budget, err));
    kal_key_range_spread(&range);
    kal_scan_range bounds = {.lower = kal_buf_bytes(&range.lower),
                             .upper = kal_buf_bytes(&range.upper),
                             .conditions = kal_run_conditions(run, table, plan->where)};
    kal_status status =
        range.is_empty ? KAL_END : kal_scan_open(view, plan->dml.table, &bounds, &scan, err);
    kal_arena_init(&scratch, run->budget);
    while (status == KAL_OK) {
        status = kal_scan_next(scan, &row, &key, err);
        if (status == KAL_OK && (parses_json || ++scanned % CHECK_TIME_ROWS == 0))
            status = kal_run_check_time(run, err);
        if (status == KAL_OK)
            status = find_by_scan_row(run, plan, &row, key, bits, values, &scratch, found, err);
    }
    kal_arena_release(&scratch);
    kal_scan_close(scan);
    kal_key_range_release(&range);
    return status == KAL_END ? KAL_OK : status;
}

/* A row that DuckDB found. */
typedef struct engine_found {
    kal_bytes key;
    kal_value *given; /* what DuckDB computed for SET, in its order */
} engine_found;

typedef struct engine_source {
    kal_run *run;
    change_plan *plan;
    size_t given_count;         /* values after the key */
    KAL_VEC(engine_found) rows; /* arena */
} engine_source;

static kal_status engine_begin(void *context, const kal_engine_column *columns, size_t column_count,
                               kal_error *err)
{
    (void)context, (void)columns, (void)column_count, (void)err;
    return KAL_OK;
}

/* Row: the key columns, then the values of SET that DuckDB computed. */
static kal_status engine_row(void *context, const kal_value *given, kal_error *err)
{
    engine_source *s = context;
    kal_run *run = s->run;
    const kal_table *table = s->plan->dml.table;
    const kal_table_definition *def = table->def;
    kal_value *values = kal_arena_try_array(run->arena, kal_row_value_count(table), sizeof *values);
    engine_found found = {0};

    if (values == NULL)
        return out_of_memory(err);
    for (uint32_t k = 0; k < def->key_column_count; k++)
        values[def->key_columns[k]] = given[k];
    KAL_TRY(kal_table_keyed_by_arrival(table) ? kal_dml_arrival_key(run, &given[0], &found.key, err)
                                              : kal_dml_key(run, table, values, &found.key, err));
    if (!copy_values(run->arena, given + def->key_column_count, s->given_count, &found.given) ||
        !kal_vec_try_push_in(run->arena, &s->rows, found))
        return out_of_memory(err);
    return KAL_OK;
}

/* The row with DuckDB's values in place of expressions. */
static kal_status apply_given(kal_run *run, change_plan *plan, const engine_found *from,
                              const kal_row *row, found_rows *found, kal_error *err)
{
    const kal_table *table = plan->dml.table;
    kal_value *values = kal_arena_try_array(run->arena, kal_row_value_count(table), sizeof *values);
    kal_dml_sets sets = plan->sets;
    size_t next = 0;

    sets.items = kal_arena_try_array(run->arena, sets.count + 1, sizeof *sets.items);
    if (values == NULL || sets.items == NULL)
        return out_of_memory(err);
    if (plan->is_delete)
        return keep_found(run, plan, found, from->key, row, NULL, err);
    kal_row_values(table, row, kal_column_bits(table, run->arena, true), values);
    for (size_t i = 0; i < sets.count; i++) {
        sets.items[i] = plan->sets.items[i];
        if (sets.items[i].source == NULL)
            continue;
        sets.items[i].expr = NULL;
        sets.items[i].value = from->given[next++];
    }
    KAL_TRY(kal_dml_apply_sets(&sets, table, plan->session, values, run->arena, values, err));
    return keep_found(run, plan, found, from->key, row, values, err);
}

/* The rows that DuckDB found are read together: those of segments one by one would be dear. */
static kal_status read_found(engine_source *s, kal_view *view, found_rows *found, kal_error *err)
{
    kal_run *run = s->run;
    kal_view_wanted *wanted = kal_arena_try_array(run->arena, s->rows.len + 1, sizeof *wanted);

    if (wanted == NULL)
        return out_of_memory(err);
    for (size_t i = 0; i < s->rows.len; i++)
        wanted[i] = (kal_view_wanted){.key = s->rows.items[i].key};
    KAL_TRY(kal_view_get_many(view, s->plan->dml.table, wanted, s->rows.len, run->arena, err));
    for (size_t i = 0; i < s->rows.len; i++) {
        if (!wanted[i].found)
            return kal_error_set(err, KAL_INTERNAL, "a row that was found has no key");
        KAL_TRY(apply_given(run, s->plan, &s->rows.items[i], &wanted[i].row, found, err));
    }
    return KAL_OK;
}

/* How many values of SET DuckDB computes. */
static size_t count_given(const change_plan *plan)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->sets.count; i++)
        count += plan->sets.items[i].source != NULL;
    return count;
}

static void engine_text(kal_run *run, const change_plan *plan, kal_buf *sql)
{
    const kal_table_definition *def = plan->dml.table->def;

    kal_buf_append_cstr(sql, "SELECT ");
    for (uint32_t k = 0; k < def->key_column_count; k++) {
        kal_buf_append_cstr(sql, k == 0 ? "" : ", ");
        kal_identifier_to_sql(def->columns[def->key_columns[k]].name, sql);
    }
    if (kal_table_keyed_by_arrival(plan->dml.table))
        kal_identifier_to_sql(kal_hidden_name(KAL_HIDDEN_SEQ), sql);
    for (size_t i = 0; i < plan->sets.count; i++) {
        if (plan->sets.items[i].source == NULL)
            continue;
        kal_buf_append_cstr(sql, ", (");
        kal_buf_append_bytes(sql, kal_sql_expr_source(run->statement, plan->sets.items[i].source));
        kal_buf_append_cstr(sql, ")");
    }
    kal_buf_append_cstr(sql, " FROM ");
    kal_identifier_to_sql(def->namespace_id, sql);
    kal_buf_append_byte(sql, '.');
    kal_identifier_to_sql(def->table_name, sql);
    if (plan->alias.len > 0) {
        kal_buf_append_cstr(sql, " AS ");
        kal_identifier_to_sql(plan->alias, sql);
    }
    if (plan->where_sql != NULL) {
        kal_buf_append_cstr(sql, " WHERE (");
        kal_buf_append_bytes(sql, kal_sql_expr_source(run->statement, plan->where_sql));
        kal_buf_append_cstr(sql, ")");
    }
}

static kal_status find_by_engine(kal_run *run, change_plan *plan, kal_view *view, found_rows *found,
                                 kal_error *err)
{
    engine_source source = {.run = run, .plan = plan, .given_count = count_given(plan)};
    kal_engine_sink sink = {&source, engine_begin, engine_row};
    kal_buf sql; /* owned */

    kal_buf_init(&sql, run->budget);
    engine_text(run, plan, &sql);
    kal_status status = kal_buf_failed(&sql) ? out_of_memory(err)
                                             : kal_run_engine(run, kal_buf_bytes(&sql), &sink, err);
    kal_buf_release(&sql);
    if (status != KAL_OK && err->position >= 0)
        err->position = -1; /* of our text, not the client's */
    return status == KAL_OK ? read_found(&source, view, found, err) : status;
}

/* Changes that keep the key replace the row; others delete the old row and insert a new one, after
 * all deletions, so that keys may be swapped among the changed rows. */
static kal_status put_found(kal_run *run, change_plan *plan, kal_view *view, kal_overlay *overlay,
                            const found_rows *found, kal_error *err)
{
    kal_table *table = plan->dml.table;
    kal_row row;

    for (size_t i = 0; i < found->rows.len; i++) {
        const found_row *f = &found->rows.items[i];
        if (f->cold != NULL)
            row = kal_row_of_values(f->cold, f->cold_seq);
        else
            KAL_TRY(kal_view_get(view, table, f->key, false, run->arena, &row, err));
        if (plan->is_delete || plan->sets.sets_key)
            KAL_TRY(kal_overlay_delete(overlay, view, table, f->key, &row, err));
        else
            KAL_TRY(kal_overlay_put(overlay, view, table, f->key, &row, f->values, err));
    }
    for (size_t i = 0; plan->sets.sets_key && i < found->rows.len; i++) {
        const found_row *f = &found->rows.items[i];
        kal_bytes key;
        KAL_TRY(kal_dml_key(run, table, f->values, &key, err));
        kal_status status = kal_view_get(view, table, key, false, run->arena, &row, err);
        if (status == KAL_OK)
            return kal_dml_duplicate(table, f->values, err);
        if (status != KAL_NOT_FOUND)
            return status;
        KAL_TRY(kal_overlay_put(overlay, view, table, key, NULL, f->values, err));
    }
    return KAL_OK;
}

static kal_status collect_one(kal_run *run, change_plan *plan, kal_view *view, kal_overlay *overlay,
                              uint64_t *count, kal_error *err)
{
    found_rows found = {0};
    if (plan->needs_engine)
        KAL_TRY(find_by_engine(run, plan, view, &found, err));
    else
        KAL_TRY(find_by_scan(run, plan, view, &found, err));
    *count += found.rows.len;
    return put_found(run, plan, view, overlay, &found, err);
}

static kal_status collect_change(void *context, kal_run *run, kal_view *view, kal_overlay *overlay,
                                 uint64_t *count_out, kal_error *err)
{
    change_plan *plan = context;

    *count_out = 0;
    if (run->param_rows == NULL)
        return collect_one(run, plan, view, overlay, count_out, err);
    /* A batch: the statement once per row of parameters, all in one commit. */
    for (size_t i = 0; i < run->param_rows->len; i++) {
        kal_status status = plan_batch_row(run, plan, i, err);
        if (status == KAL_OK)
            status = collect_one(run, plan, view, overlay, count_out, err);
        if (status != KAL_OK) {
            kal_error_row(err, i + 1);
            return status;
        }
    }
    return KAL_OK;
}

kal_status kal_change_run_prepared(kal_run *run, kal_error *err)
{
    change_plan plan;
    if (run->param_rows != NULL && run->param_rows->len > 0)
        KAL_TRY(kal_run_params(run, &run->param_rows->items[0], KAL_COLUMNS_MAX, err));
    KAL_TRY(plan_change(run, &plan, err));
    return kal_dml_run_prepared(run, &plan.dml, collect_change, &plan, err);
}
