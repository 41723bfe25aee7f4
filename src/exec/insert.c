/*
 * insert.c: INSERT of VALUES, of a SELECT's rows, and the two kinds of ON CONFLICT.
 *
 * VALUES are bound to keys: each row becomes one operation for the lane, which checks the key and
 * carries out ON CONFLICT against the newest row. Expressions that only DuckDB can evaluate are
 * computed first, all of a statement at once.
 */
#include "base/assert.h"
#include "exec/dml.h"

typedef struct insert_plan {
    kal_dml dml;
    const kal_sql_insert *sql;
    uint32_t *targets; /* column of each value; arena */
    size_t target_count;
    bool *given; /* per column */
    kal_dml_sets conflict_sets;
    kal_expr *conflict_where;
    const kal_expr_session *session;
    uint64_t batch_row; /* whose values are being added, from 1; 0: no batch */
} insert_plan;

/* One row on its way in. */
typedef struct insert_row {
    const insert_plan *plan;
    kal_value *values;  /* of all columns */
    uint64_t batch_row; /* from 1; 0: no batch */
} insert_row;

/* ---- planning ---- */

static kal_status plan_targets(kal_run *run, insert_plan *plan, kal_binder *b, kal_error *err)
{
    const kal_table_definition *def = plan->dml.table->def;
    const kal_sql_names *names = &plan->sql->columns;

    plan->target_count = names->count > 0 ? names->count : def->column_count;
    plan->given = kal_arena_alloc(run->arena, def->column_count * sizeof *plan->given);
    if (plan->target_count > def->column_count)
        return kal_error_set(err, KAL_SYNTAX, "%zu columns are named, table '%.*s' has %u",
                             names->count, KAL_FMT(def->table_name), def->column_count);
    plan->targets = kal_arena_alloc(run->arena, plan->target_count * sizeof *plan->targets);
    for (size_t i = 0; i < plan->target_count; i++) {
        int at = names->count == 0 ? (int)i : kal_table_definition_find(def, names->items[i].text);
        if (at < 0)
            return kal_bind_unknown_column(b, names->items[i].text, names->items[i].position, err);
        if (plan->given[at]) {
            kal_error_set(err, KAL_SYNTAX, "column '%.*s' is named twice",
                          KAL_FMT(def->columns[at].name));
            kal_error_at(err, names->items[i].position);
            return KAL_SYNTAX;
        }
        plan->given[at] = true;
        plan->targets[i] = (uint32_t)at;
    }
    return KAL_OK;
}

/* The conflict target must be the primary key, in any order: there is no other unique constraint.
 */
static kal_status check_conflict_target(const insert_plan *plan, kal_error *err)
{
    const kal_table_definition *def = plan->dml.table->def;
    const kal_sql_names *names = &plan->sql->conflict_columns;
    bool matches = names->count == def->key_column_count;

    if (names->count == 0)
        return KAL_OK;
    for (size_t i = 0; i < names->count && matches; i++) {
        int at = kal_table_definition_find(def, names->items[i].text);
        matches = at >= 0 && def->columns[at].is_primary_key;
        for (size_t k = 0; k < i; k++)
            matches = matches && !kal_bytes_equal(names->items[k].text, names->items[i].text);
    }
    if (matches)
        return KAL_OK;
    kal_error_set(err, KAL_INVALID, "ON CONFLICT must name the primary key of table '%.*s'",
                  KAL_FMT(def->table_name));
    kal_error_at(err, plan->sql->conflict_position);
    return KAL_INVALID;
}

/* Rows of a STREAM table do not change, and without a key none is in the way of another. */
static kal_status check_stream_conflict(const insert_plan *plan, kal_error *err)
{
    const kal_table *table = plan->dml.table;
    kal_status status = KAL_OK;

    if (kal_table_keyed_by_arrival(table))
        status = kal_error_set(err, KAL_INVALID,
                               "ON CONFLICT needs a primary key, table '%.*s' has none",
                               KAL_FMT(table->def->table_name));
    else if (plan->sql->conflict == KAL_SQL_CONFLICT_UPDATE)
        status = kal_dml_check_updatable(table, err);
    if (status != KAL_OK)
        kal_error_at(err, plan->sql->conflict_position);
    return status;
}

static kal_status plan_conflict(kal_run *run, insert_plan *plan, kal_error *err)
{
    kal_binder b = kal_run_binder(run, plan->dml.table, plan->sql->alias.text);
    if (plan->sql->conflict == KAL_SQL_CONFLICT_FAIL)
        return KAL_OK;
    KAL_TRY(check_stream_conflict(plan, err));
    KAL_TRY(check_conflict_target(plan, err));
    if (plan->sql->conflict != KAL_SQL_CONFLICT_UPDATE)
        return KAL_OK;
    b.allow_excluded = true;
    KAL_TRY(kal_dml_bind_sets(run, &b, plan->dml.table, &plan->sql->conflict_set,
                              &plan->conflict_sets, err));
    kal_status status = kal_bind_where(&b, plan->sql->conflict_where, &plan->conflict_where, err);
    bool for_engine = status == KAL_UNSUPPORTED && b.for_engine;
    if (status != KAL_OK && !for_engine)
        return status;
    if (plan->conflict_sets.sets_key)
        return kal_error_set(err, KAL_UNSUPPORTED,
                             "ON CONFLICT DO UPDATE cannot change the primary key");
    if (for_engine || plan->conflict_sets.needs_engine || plan->conflict_sets.parses_json ||
        kal_expr_count(plan->conflict_where, KAL_EXPR_JSON) > 0) {
        kal_error_set(err, KAL_UNSUPPORTED,
                      "this expression is not available in ON CONFLICT DO UPDATE");
        kal_error_hint(err, "columns, excluded.columns, literals, arithmetic (but no division of "
                            "decimals), ||, CASE, comparisons and logic are");
        kal_error_at(err, plan->sql->conflict_position);
        return KAL_UNSUPPORTED;
    }
    return KAL_OK;
}

static kal_status plan_insert(kal_run *run, insert_plan *plan, kal_error *err)
{
    *plan = (insert_plan){.sql = &run->statement->insert, .session = &run->session};
    plan->dml.verb = "Inserted";
    KAL_TRY(kal_run_table(run, &plan->sql->table, &plan->dml.table, err));
    KAL_TRY(kal_may_write(run->principal, plan->dml.table, err));
    kal_binder b = kal_run_binder(run, plan->dml.table, plan->sql->alias.text);
    KAL_TRY(plan_targets(run, plan, &b, err));
    KAL_TRY(plan_conflict(run, plan, err));
    return kal_dml_bind_returning(run, &b, plan->dml.table, &plan->sql->returning,
                                  &plan->dml.returning, err);
}

/* ---- what happens to the row ---- */

static kal_status update_conflicting(const insert_row *row, const kal_row *current,
                                     kal_arena *arena, kal_write_effect *effect, kal_error *err)
{
    const insert_plan *plan = row->plan;
    const kal_table *table = plan->dml.table;
    size_t n = kal_row_value_count(table);
    size_t columns = table->def->column_count;
    kal_value *from = kal_arena_try_array(arena, n + columns, sizeof *from);
    kal_value *values = kal_arena_try_array(arena, columns, sizeof *values);
    bool wanted = true;

    if (from == NULL || values == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    kal_row_values(table, current, kal_column_bits(table, arena, true), from);
    memcpy(from + n, row->values, columns * sizeof *from);
    if (plan->conflict_where != NULL)
        KAL_TRY(kal_expr_test(plan->conflict_where, from, plan->session, arena, &wanted, err));
    if (!wanted)
        return KAL_OK;
    memcpy(values, from, columns * sizeof *values);
    KAL_TRY(
        kal_dml_apply_sets(&plan->conflict_sets, table, plan->session, from, arena, values, err));
    *effect = (kal_write_effect){KAL_WRITE_PUT, values};
    return KAL_OK;
}

static kal_status insert_over(const insert_row *row, const kal_row *current, kal_arena *arena,
                              kal_write_effect *effect_out, kal_error *err)
{
    *effect_out = (kal_write_effect){KAL_WRITE_NONE, NULL};
    if (current == NULL) {
        *effect_out = (kal_write_effect){KAL_WRITE_PUT, row->values};
        return KAL_OK;
    }
    switch (row->plan->sql->conflict) {
    case KAL_SQL_CONFLICT_FAIL:
        return kal_dml_duplicate(row->plan->dml.table, row->values, err);
    case KAL_SQL_CONFLICT_NOTHING:
        return KAL_OK;
    case KAL_SQL_CONFLICT_UPDATE:
        return update_conflicting(row, current, arena, effect_out, err);
    }
    return kal_error_set(err, KAL_INTERNAL, "unknown conflict action");
}

static kal_status resolve_insert(void *context, const kal_row *current, kal_arena *arena,
                                 kal_write_effect *effect_out, kal_error *err)
{
    const insert_row *row = context;
    kal_status status = insert_over(row, current, arena, effect_out, err);
    if (status != KAL_OK && row->batch_row > 0)
        kal_error_row(err, row->batch_row);
    return status;
}

/* Adds the row as an operation; its key is computed here. */
static kal_status add_row(kal_run *run, const insert_plan *plan, kal_value *values,
                          kal_write *write, kal_error *err)
{
    insert_row *row = kal_arena_try_alloc(run->arena, sizeof *row);
    kal_write_op op = {
        .table = plan->dml.table,
        .user_no = kal_run_user_no(run, plan->dml.table),
        .resolve = resolve_insert,
        .context = row,
        .existence_only = plan->sql->conflict != KAL_SQL_CONFLICT_UPDATE,
        .keep_row = plan->dml.returning.count > 0,
    };

    if (row == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    *row = (insert_row){plan, values, plan->batch_row};
    KAL_TRY(kal_dml_check_not_null(plan->dml.table, values, err));
    KAL_TRY(kal_dml_key(run, plan->dml.table, values, &op.key, err));
    return kal_write_add(write, &op, NULL, err);
}

/* ---- VALUES ---- */

/* An expression that waits for DuckDB, and where its value goes. */
typedef struct waiting_value {
    kal_value *slot;
    const kal_column *column;
} waiting_value;

typedef struct values_run {
    kal_run *run;
    const insert_plan *plan;
    kal_binder binder; /* without columns */
    KAL_VEC(const kal_sql_expr *) exprs;
    KAL_VEC(waiting_value) waiting; /* one per expression */
} values_run;

static kal_status one_value(values_run *v, const kal_sql_expr *e, const kal_column *column,
                            kal_value *slot, kal_error *err)
{
    kal_expr *bound = NULL;
    kal_value value;

    if (e->kind == KAL_SQL_EXPR_DEFAULT)
        return kal_dml_default(v->run, column, slot, err);
    if (e->kind == KAL_SQL_EXPR_PARAM)
        return kal_dml_assign_param(v->run, column, e, slot, err);
    kal_status status = kal_bind_expr(&v->binder, e, &bound, err);
    if (status == KAL_UNSUPPORTED && v->binder.for_engine) {
        waiting_value w = {slot, column};
        if (!kal_vec_try_push_in(v->run->arena, &v->exprs, e) ||
            !kal_vec_try_push_in(v->run->arena, &v->waiting, w))
            return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
        return KAL_OK;
    }
    KAL_TRY(status);
    KAL_TRY(kal_expr_eval(bound, NULL, &v->run->session, v->run->arena, &value, err));
    return kal_dml_assign(column, &value, v->run->arena, e->position, slot, err);
}

static kal_status row_values(values_run *v, const kal_sql_row *row, kal_value **values_out,
                             kal_error *err)
{
    const insert_plan *plan = v->plan;
    const kal_table_definition *def = plan->dml.table->def;
    size_t given = row == NULL ? 0 : row->count;
    kal_value *values = kal_arena_try_array(v->run->arena, def->column_count, sizeof *values);

    if (values == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    if (row != NULL && given != plan->target_count) {
        kal_error_set(err, KAL_SYNTAX, "%zu values are given for %zu columns", given,
                      plan->target_count);
        kal_error_at(err, row->position);
        return KAL_SYNTAX;
    }
    for (size_t i = 0; i < given; i++)
        KAL_TRY(one_value(v, row->values[i], &def->columns[plan->targets[i]],
                          &values[plan->targets[i]], err));
    for (uint32_t i = 0; i < def->column_count; i++) {
        if (row == NULL || !plan->given[i])
            KAL_TRY(kal_dml_default(v->run, &def->columns[i], &values[i], err));
    }
    *values_out = values;
    return KAL_OK;
}

static kal_status fill_waiting(values_run *v, kal_error *err)
{
    if (v->exprs.len == 0)
        return KAL_OK;
    kal_value *results = kal_arena_try_array(v->run->arena, v->exprs.len, sizeof *results);
    if (results == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    KAL_TRY(kal_dml_engine_values(v->run, v->exprs.items, v->exprs.len, results, err));
    for (size_t i = 0; i < v->waiting.len; i++)
        KAL_TRY(kal_dml_assign(v->waiting.items[i].column, &results[i], v->run->arena,
                               v->exprs.items[i]->position, v->waiting.items[i].slot, err));
    return KAL_OK;
}

/* All rows of the statement for one set of parameters. */
static kal_status add_values(kal_run *run, const insert_plan *plan, kal_write *write,
                             kal_error *err)
{
    values_run v = {.run = run, .plan = plan, .binder = kal_run_binder(run, NULL, (kal_bytes){0})};
    bool defaults = plan->sql->source == KAL_SQL_INSERT_DEFAULT_VALUES;
    size_t count = defaults ? 1 : plan->sql->row_count;
    kal_value **rows = kal_arena_try_array(run->arena, count, sizeof *rows);

    if (rows == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    for (size_t i = 0; i < count; i++)
        KAL_TRY(row_values(&v, defaults ? NULL : &plan->sql->rows[i], &rows[i], err));
    KAL_TRY(fill_waiting(&v, err));
    for (size_t i = 0; i < count; i++)
        KAL_TRY(add_row(run, plan, rows[i], write, err));
    return KAL_OK;
}

/* ---- INSERT ... SELECT ---- */

typedef struct select_source {
    kal_run *run;
    const insert_plan *plan;
    kal_write *write;
} select_source;

static kal_status source_begin(void *context, const kal_engine_column *columns, size_t column_count,
                               kal_error *err)
{
    select_source *s = context;
    (void)columns;
    if (column_count == s->plan->target_count)
        return KAL_OK;
    return kal_error_set(err, KAL_SYNTAX, "SELECT gives %zu columns, INSERT expects %zu",
                         column_count, s->plan->target_count);
}

/* The item of SELECT that gives the target's value, when it is a parameter alone; else NULL. */
static const kal_sql_expr *param_item(const insert_plan *plan, size_t target)
{
    const kal_sql_select *select = plan->sql->select;
    if (!select->is_simple || select->items.count != plan->target_count)
        return NULL;
    for (size_t i = 0; i <= target; i++) {
        if (select->items.items[i].expr->kind == KAL_SQL_EXPR_STAR)
            return NULL;
    }
    const kal_sql_expr *e = select->items.items[target].expr;
    return e->kind == KAL_SQL_EXPR_PARAM ? e : NULL;
}

static kal_status source_row(void *context, const kal_value *given, kal_error *err)
{
    select_source *s = context;
    const kal_table_definition *def = s->plan->dml.table->def;
    kal_value *values = kal_arena_try_array(s->run->arena, def->column_count, sizeof *values);

    if (values == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    for (size_t i = 0; i < s->plan->target_count; i++) {
        kal_value copy;
        uint32_t at = s->plan->targets[i];
        const kal_sql_expr *param = param_item(s->plan, i);
        if (param != NULL) {
            KAL_TRY(kal_dml_assign_param(s->run, &def->columns[at], param, &values[at], err));
            continue;
        }
        if (!kal_value_copy(&given[i], s->run->arena, &copy))
            return kal_error_set(err, KAL_LIMIT, "the rows exceed the statement's memory");
        KAL_TRY(kal_dml_assign(&def->columns[at], &copy, s->run->arena, -1, &values[at], err));
    }
    for (uint32_t i = 0; i < def->column_count; i++) {
        if (!s->plan->given[i])
            KAL_TRY(kal_dml_default(s->run, &def->columns[i], &values[i], err));
    }
    return add_row(s->run, s->plan, values, s->write, err);
}

static kal_status add_selected(kal_run *run, const insert_plan *plan, kal_write *write,
                               kal_error *err)
{
    select_source source = {run, plan, write};
    kal_engine_sink sink = {&source, source_begin, source_row};
    kal_status status = kal_run_engine(run, plan->sql->select->text, &sink, err);
    if (status != KAL_OK && err->position >= 0)
        err->position += plan->sql->select->position;
    return status;
}

/* ---- entry points ---- */

kal_status kal_insert_prepare(kal_run *run, kal_dml *dml_out, kal_write *write, kal_error *err)
{
    insert_plan *plan = KAL_NEW(run->arena, insert_plan);
    const kal_json *param_rows = run->param_rows;

    KAL_TRY(plan_insert(run, plan, err));
    *dml_out = plan->dml;
    if (plan->sql->source == KAL_SQL_INSERT_SELECT)
        return add_selected(run, plan, write, err);
    if (param_rows == NULL)
        return add_values(run, plan, write, err);
    for (size_t i = 0; i < param_rows->len; i++) {
        plan->batch_row = i + 1;
        kal_status status = kal_run_params(run, &param_rows->items[i], KAL_COLUMNS_MAX, err);
        if (status == KAL_OK)
            status = add_values(run, plan, write, err);
        if (status != KAL_OK) {
            kal_error_row(err, i + 1);
            return status;
        }
    }
    return KAL_OK;
}
