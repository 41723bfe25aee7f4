#include "exec/dml.h"
#include "base/assert.h"
#include "types/json.h"
#include "types/text.h"

enum { ATTEMPTS_MAX = 5, ENGINE_VALUES_MAX = 500 };

/* ---- values ---- */

static kal_status default_function(kal_run *run, const kal_column *column, kal_value *out,
                                   kal_error *err)
{
    const kal_column_default *def = kal_column_default_of(column);
    int64_t now = run->session.now_us;
    char *text = NULL;

    switch (def->function) {
    case KAL_FUNCTION_CURRENT_TIMESTAMP:
        if (def->arg_count == 1) {
            int64_t unit = (int64_t)kal_pow10(6 - (unsigned)def->args[0]);
            now -= ((now % unit) + unit) % unit;
        }
        *out = kal_value_integer((kal_type_tag)column->type.tag, now);
        return KAL_OK;
    case KAL_FUNCTION_NOW:
        *out = kal_value_integer((kal_type_tag)column->type.tag, now);
        return KAL_OK;
    case KAL_FUNCTION_SNOWFLAKE_ID:
        *out = kal_value_bigint(kal_ids_snowflake(&run->exec->ids));
        return KAL_OK;
    case KAL_FUNCTION_CURRENT_USER:
        *out = kal_value_text(run->session.user_id);
        return KAL_OK;
    case KAL_FUNCTION_UUID_V7:
    case KAL_FUNCTION_ULID:
        break;
    }
    text = kal_arena_try_alloc(run->arena, KAL_UUID_TEXT_LEN);
    if (text == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    if (def->function == KAL_FUNCTION_ULID) {
        kal_ids_ulid(&run->exec->ids, text);
        *out = kal_value_text(kal_bytes_of(text, KAL_ULID_TEXT_LEN));
        return KAL_OK;
    }
    uint8_t uuid[16];
    kal_ids_uuid_v7(&run->exec->ids, uuid);
    if (column->type.tag == KAL_TYPE_UUID) {
        memcpy(text, uuid, sizeof uuid);
        *out = kal_value_bytes(column->type, kal_bytes_of(text, sizeof uuid));
        return KAL_OK;
    }
    kal_uuid_format(uuid, text);
    *out = kal_value_text(kal_bytes_of(text, KAL_UUID_TEXT_LEN));
    return KAL_OK;
}

kal_status kal_dml_default(kal_run *run, const kal_column *column, kal_value *value_out,
                           kal_error *err)
{
    switch (kal_column_default_of(column)->kind) {
    case KAL_DEFAULT_NONE:
        *value_out = kal_value_null(column->type);
        return KAL_OK;
    case KAL_DEFAULT_LITERAL:
        *value_out = column->default_value->literal;
        return KAL_OK;
    case KAL_DEFAULT_FUNCTION:
        return default_function(run, column, value_out, err);
    }
    return kal_error_set(err, KAL_INTERNAL, "unknown kind of default");
}

static kal_status assign_failed(const kal_column *column, const kal_error *inner, int64_t position,
                                kal_error *err)
{
    kal_error_set(err, inner->status, "column '%.*s': %s", KAL_FMT(column->name), inner->message);
    if (inner->hint[0] != '\0')
        kal_error_hint(err, "%s", inner->hint);
    if (position >= 0)
        kal_error_at(err, (size_t)position);
    return inner->status;
}

kal_status kal_dml_assign(const kal_column *column, const kal_value *value, kal_arena *arena,
                          int64_t position, kal_value *value_out, kal_error *err)
{
    kal_error inner = KAL_ERROR_INIT;

    if (value->is_null) {
        *value_out = kal_value_null(column->type);
        return KAL_OK;
    }
    if (kal_type_equal(value->type, column->type)) {
        *value_out = *value;
        return KAL_OK;
    }
    kal_status status = kal_value_assign(value, column->type, arena, value_out, &inner);
    return status == KAL_OK ? KAL_OK : assign_failed(column, &inner, position, err);
}

kal_status kal_dml_assign_param(kal_run *run, const kal_column *column, const kal_sql_expr *param,
                                kal_value *value_out, kal_error *err)
{
    kal_error inner = KAL_ERROR_INIT;

    KAL_ASSERT(param->kind == KAL_SQL_EXPR_PARAM && param->param <= run->param_count);
    const kal_json *json = &run->param_json[param->param - 1];
    /* A truth value becomes what SQL makes of it; JSON has other rules for none of the types. */
    if (json->kind == KAL_JSON_BOOL)
        return kal_dml_assign(column, &run->params[param->param - 1], run->arena, param->position,
                              value_out, err);
    bool is_text = json->kind == KAL_JSON_NUMBER || json->kind == KAL_JSON_STRING;
    if (is_text && (kal_type_is_integer(column->type) || column->type.tag == KAL_TYPE_DECIMAL)) {
        kal_value digits = kal_value_text(json->text); /* as written: nothing may be rounded */
        return kal_dml_assign(column, &digits, run->arena, param->position, value_out, err);
    }
    kal_status status = kal_value_from_json(column->type, json, run->arena, value_out, &inner);
    return status == KAL_OK ? KAL_OK : assign_failed(column, &inner, param->position, err);
}

/* NOT NULL is being added: the definition does not say so yet. */
static bool is_enforced(const kal_table *table, uint32_t column_id)
{
    for (uint32_t i = 0; i < table->enforced_count; i++) {
        if (table->enforced_ids[i] == column_id)
            return true;
    }
    return false;
}

kal_status kal_dml_check_not_null(const kal_table *table, const kal_value *values, kal_error *err)
{
    const kal_table_definition *def = table->def;
    for (uint32_t i = 0; i < def->column_count; i++) {
        const kal_column *column = &def->columns[i];
        if (!values[i].is_null || (column->is_nullable && !is_enforced(table, column->column_id)))
            continue;
        kal_error_set(err, KAL_INVALID, "column '%.*s' of table '%.*s.%.*s' cannot be NULL",
                      KAL_FMT(column->name), KAL_FMT(def->namespace_id), KAL_FMT(def->table_name));
        kal_error_code(err, "NOT_NULL_VIOLATION");
        return KAL_INVALID;
    }
    return KAL_OK;
}

typedef struct engine_values {
    kal_run *run;
    kal_value *values;
    size_t count;
} engine_values;

static kal_status values_begin(void *context, const kal_engine_column *columns, size_t column_count,
                               kal_error *err)
{
    engine_values *e = context;
    (void)columns;
    if (column_count != e->count)
        return kal_error_set(err, KAL_INVALID, "an expression must give exactly one value");
    return KAL_OK;
}

static kal_status values_row(void *context, const kal_value *values, kal_error *err)
{
    engine_values *e = context;
    for (size_t i = 0; i < e->count; i++) {
        if (!kal_value_copy(&values[i], e->run->arena, &e->values[i]))
            return kal_error_set(err, KAL_LIMIT, "the values exceed the statement's memory");
    }
    return KAL_OK;
}

static kal_status engine_values_chunk(kal_run *run, const kal_sql_expr *const *exprs, size_t count,
                                      kal_value *values, kal_error *err)
{
    kal_buf sql; /* owned */
    engine_values e = {run, values, count};
    kal_engine_sink sink = {&e, values_begin, values_row};

    kal_buf_init(&sql, run->budget);
    kal_buf_append_cstr(&sql, "SELECT ");
    for (size_t i = 0; i < count; i++) {
        kal_buf_append_cstr(&sql, i == 0 ? "(" : ", (");
        kal_buf_append_bytes(&sql, kal_sql_expr_source(run->statement, exprs[i]));
        kal_buf_append_cstr(&sql, ")");
    }
    kal_status status = kal_buf_failed(&sql)
                            ? kal_error_set(err, KAL_LIMIT, "the statement's memory is used up")
                            : kal_run_engine(run, kal_buf_bytes(&sql), &sink, err);
    kal_buf_release(&sql);
    if (status != KAL_OK && status != KAL_BUSY && err != NULL)
        err->position = count == 1 ? (int64_t)exprs[0]->position : -1;
    return status;
}

kal_status kal_dml_engine_values(kal_run *run, const kal_sql_expr *const *exprs, size_t count,
                                 kal_value *values, kal_error *err)
{
    for (size_t at = 0; at < count; at += ENGINE_VALUES_MAX) {
        size_t chunk = count - at < ENGINE_VALUES_MAX ? count - at : ENGINE_VALUES_MAX;
        KAL_TRY(engine_values_chunk(run, exprs + at, chunk, values + at, err));
    }
    return KAL_OK;
}

kal_status kal_dml_key(kal_run *run, const kal_table *table, const kal_value *values,
                       kal_bytes *key_out, kal_error *err)
{
    const kal_table_definition *def = table->def;
    kal_value *key_values =
        kal_arena_alloc(run->arena, (def->key_column_count + 1) * sizeof *key_values);
    kal_buf key; /* owned */

    for (uint32_t i = 0; i < def->key_column_count; i++)
        key_values[i] = values[def->key_columns[i]];
    kal_buf_init(&key, run->budget);
    kal_status status = kal_table_key(table, key_values, &key, err);
    if (status == KAL_OK && !kal_arena_try_copy(run->arena, kal_buf_bytes(&key), key_out))
        status = kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    kal_buf_release(&key);
    return status;
}

kal_status kal_dml_arrival_key(kal_run *run, const kal_value *seq, kal_bytes *key_out,
                               kal_error *err)
{
    uint8_t key[8];

    if (seq->is_null)
        return kal_error_set(err, KAL_INTERNAL, "a row that was found has no key");
    kal_store_be64(key, (uint64_t)seq->integer);
    if (!kal_arena_try_copy(run->arena, kal_bytes_of(key, sizeof key), key_out))
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    return KAL_OK;
}

kal_status kal_dml_check_updatable(const kal_table *table, kal_error *err)
{
    if (table->def->table_type != KAL_TABLE_STREAM)
        return KAL_OK;
    kal_error_set(err, KAL_UNSUPPORTED,
                  "rows of a STREAM table cannot be updated: '%.*s.%.*s' is append-only",
                  KAL_FMT(table->def->namespace_id), KAL_FMT(table->def->table_name));
    kal_error_hint(err, "DELETE the row and INSERT a new one");
    return KAL_UNSUPPORTED;
}

kal_status kal_dml_duplicate(const kal_table *table, const kal_value *values, kal_error *err)
{
    const kal_table_definition *def = table->def;
    kal_buf names;
    kal_buf texts;

    kal_buf_init(&names, NULL);
    kal_buf_init(&texts, NULL);
    for (uint32_t i = 0; i < def->key_column_count; i++) {
        kal_buf_append_cstr(&names, i == 0 ? "" : ", ");
        kal_buf_append_bytes(&names, def->columns[def->key_columns[i]].name);
        kal_buf_append_cstr(&texts, i == 0 ? "" : ", ");
        kal_value_to_text(&values[def->key_columns[i]], &texts);
    }
    kal_error_set(err, KAL_EXISTS, "duplicate key in table '%.*s.%.*s': (%.*s) = (%.*s) exists",
                  KAL_FMT(def->namespace_id), KAL_FMT(def->table_name),
                  KAL_FMT(kal_buf_bytes(&names)), texts.len > 120 ? 120 : (int)texts.len,
                  (const char *)texts.ptr);
    kal_error_code(err, "DUPLICATE_KEY");
    kal_buf_release(&names);
    kal_buf_release(&texts);
    return KAL_EXISTS;
}

/* KAL_INVALID: its bytes, or the digits of a number. */
static kal_status check_param_size(const kal_json *json, const kal_value *value, size_t number,
                                   kal_error *err)
{
    bool has_bytes = kal_type_is_bytes(value->type) && !value->is_null;
    size_t len = json->kind == KAL_JSON_NUMBER ? json->text.len : has_bytes ? value->bytes.len : 0;

    if (len <= KAL_PARAM_BYTES_MAX)
        return KAL_OK;
    kal_error_set(err, KAL_INVALID, "parameter $%zu has %zu bytes, the limit is %u", number, len,
                  KAL_PARAM_BYTES_MAX);
    kal_error_code(err, "INVALID_PARAMETER");
    return KAL_INVALID;
}

kal_status kal_run_params(kal_run *run, const kal_json *json, size_t count_max, kal_error *err)
{
    run->params = NULL;
    run->param_json = NULL;
    run->param_count = 0;
    if (json == NULL)
        return KAL_OK;
    if (json->kind != KAL_JSON_ARRAY || json->len > count_max) {
        kal_error_set(err, KAL_INVALID,
                      json->kind != KAL_JSON_ARRAY ? "'params' must be an array"
                                                   : "too many parameters: %zu, the limit is %zu",
                      json->len, count_max);
        kal_error_code(err, "INVALID_PARAMETER");
        return KAL_INVALID;
    }
    kal_value *values = kal_arena_try_array(run->arena, json->len + 1, sizeof *values);
    if (values == NULL)
        return kal_error_set(err, KAL_LIMIT, "the parameters exceed the statement's memory");
    for (size_t i = 0; i < json->len; i++) {
        KAL_TRY(kal_value_from_json_param(&json->items[i], run->arena, &values[i], err));
        KAL_TRY(check_param_size(&json->items[i], &values[i], i + 1, err));
    }
    run->params = values;
    run->param_json = json->items;
    run->param_count = json->len;
    return KAL_OK;
}

/* ---- assignments ---- */

static kal_status bind_set(kal_run *run, kal_binder *b, const kal_table *table,
                           const kal_sql_assignment *a, kal_dml_set *set, kal_error *err)
{
    int column = kal_table_definition_find(table->def, a->column.text);
    kal_expr *expr = NULL;

    if (column < 0)
        return kal_bind_unknown_column(b, a->column.text, a->column.position, err);
    set->column = (uint32_t)column;
    set->position = a->value->position;
    set->source = a->value;
    if (a->value->kind == KAL_SQL_EXPR_DEFAULT) {
        set->source = NULL;
        return kal_dml_default(run, &table->def->columns[column], &set->value, err);
    }
    if (a->value->kind == KAL_SQL_EXPR_PARAM) {
        set->source = NULL;
        return kal_dml_assign_param(run, &table->def->columns[column], a->value, &set->value, err);
    }
    kal_status status = kal_bind_expr(b, a->value, &expr, err);
    if (status == KAL_UNSUPPORTED && b->for_engine)
        return KAL_OK;
    set->expr = expr;
    return status;
}

kal_status kal_dml_bind_sets(kal_run *run, kal_binder *b, const kal_table *table,
                             const kal_sql_assignments *assignments, kal_dml_sets *out,
                             kal_error *err)
{
    *out = (kal_dml_sets){.count = assignments->count};
    out->items = kal_arena_try_array(run->arena, assignments->count + 1, sizeof *out->items);
    if (out->items == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    for (size_t i = 0; i < assignments->count; i++) {
        kal_dml_set *set = &out->items[i];
        KAL_TRY(bind_set(run, b, table, &assignments->items[i], set, err));
        for (size_t k = 0; k < i; k++) {
            if (out->items[k].column != set->column)
                continue;
            kal_error_set(err, KAL_SYNTAX, "column '%.*s' is set twice",
                          KAL_FMT(assignments->items[i].column.text));
            kal_error_at(err, assignments->items[i].column.position);
            return KAL_SYNTAX;
        }
        out->needs_engine = out->needs_engine || (set->expr == NULL && set->source != NULL);
        out->parses_json = out->parses_json || kal_expr_count(set->expr, KAL_EXPR_JSON) > 0;
        out->sets_key = out->sets_key || table->def->columns[set->column].is_primary_key;
    }
    return KAL_OK;
}

kal_status kal_dml_apply_sets(const kal_dml_sets *sets, const kal_table *table,
                              const kal_expr_session *session, const kal_value *from,
                              kal_arena *arena, kal_value *values, kal_error *err)
{
    kal_value *fresh = kal_arena_try_array(arena, sets->count + 1, sizeof *fresh);

    if (fresh == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    /* All right sides see the old row. */
    for (size_t i = 0; i < sets->count; i++) {
        const kal_dml_set *set = &sets->items[i];
        kal_value v = set->value;
        if (set->expr != NULL)
            KAL_TRY(kal_expr_eval(set->expr, from, session, arena, &v, err));
        KAL_TRY(kal_dml_assign(&table->def->columns[set->column], &v, arena, set->position,
                               &fresh[i], err));
    }
    for (size_t i = 0; i < sets->count; i++)
        values[sets->items[i].column] = fresh[i];
    return kal_dml_check_not_null(table, values, err);
}

/* ---- RETURNING ---- */

static void returning_star(const kal_table *table, kal_arena *arena, kal_dml_returning *out)
{
    for (uint32_t i = 0; i < table->def->column_count; i++) {
        const kal_column *c = &table->def->columns[i];
        kal_expr *e = KAL_NEW(arena, kal_expr);
        e->kind = KAL_EXPR_COLUMN;
        e->column = i;
        e->type = c->type;
        out->items[out->count] = e;
        out->columns[out->count++] =
            (kal_result_column){c->name, c->type, c->is_primary_key, !c->is_nullable};
    }
}

kal_status kal_dml_bind_returning(kal_run *run, kal_binder *b, const kal_table *table,
                                  const kal_sql_items *items, kal_dml_returning *out,
                                  kal_error *err)
{
    size_t most = items->count * (table->def->column_count + 1) + 1;
    *out = (kal_dml_returning){0};
    if (items->count == 0)
        return KAL_OK;
    out->items = kal_arena_try_array(run->arena, most, sizeof *out->items);
    out->columns = kal_arena_try_array(run->arena, most, sizeof *out->columns);
    if (out->items == NULL || out->columns == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    for (size_t i = 0; i < items->count; i++) {
        const kal_sql_item *item = &items->items[i];
        kal_expr *expr = NULL;
        if (item->expr->kind == KAL_SQL_EXPR_STAR) {
            returning_star(table, run->arena, out);
            continue;
        }
        kal_status status = kal_bind_expr(b, item->expr, &expr, err);
        if (status == KAL_UNSUPPORTED && b->for_engine) {
            kal_error_set(err, KAL_UNSUPPORTED, "this expression is not available in RETURNING");
            kal_error_hint(err, "return the columns and compute from them");
            kal_error_at(err, item->expr->position);
        }
        KAL_TRY(status);
        kal_bytes name = kal_sql_name_given(item->alias) ? item->alias_raw
                         : item->expr->kind == KAL_SQL_EXPR_COLUMN
                             ? item->expr->column.name.text
                             : kal_sql_expr_source(run->statement, item->expr);
        out->items[out->count] = expr;
        out->columns[out->count++] = (kal_result_column){.name = name, .type = expr->type};
    }
    return KAL_OK;
}

/* ---- carrying out ---- */

/* The row that the operation meets, in *row, or NULL. An operation that only asks whether there is
 * one gets one without columns. */
static kal_status find_current(kal_run *run, kal_view *view, const kal_write_op *op,
                               const kal_view_wanted *read, kal_row *row,
                               const kal_row **current_out, kal_error *err)
{
    bool found = false;

    *row = (kal_row){0};
    if (op->existence_only) {
        KAL_TRY(kal_view_has(view, op->table, op->key, run->arena, &found, err));
    } else if (read != NULL && !kal_overlay_has(view, op->table, op->key)) {
        found = read->found;
        *row = read->row;
    } else {
        kal_status status = kal_view_get(view, op->table, op->key, false, run->arena, row, err);
        found = status == KAL_OK;
        if (status != KAL_NOT_FOUND)
            KAL_TRY(status);
    }
    *current_out = found ? row : NULL;
    return KAL_OK;
}

/* The new row, or the one that was deleted, for RETURNING. */
static kal_status keep_image(kal_run *run, kal_write_op *op, const kal_row *current,
                             const kal_write_effect *effect, kal_error *err)
{
    const kal_table *table = op->table;
    const kal_value *values = effect->values;
    uint64_t seq = 0;
    kal_buf image; /* owned */

    if (effect->action == KAL_WRITE_DELETE) {
        kal_value *old = kal_arena_alloc(run->arena, kal_row_value_count(table) * sizeof *old);
        kal_row_values(table, current, kal_column_bits(table, run->arena, true), old);
        values = old;
        seq = current->seq;
    }
    kal_buf_init(&image, run->budget);
    kal_status status =
        kal_row_encode(&table->layout, table->def->schema_version, seq, values, &image, err);
    if (status == KAL_OK && !kal_arena_try_copy(run->arena, kal_buf_bytes(&image), &op->row_out))
        status = kal_error_set(err, KAL_LIMIT, "the returned rows exceed the statement's memory");
    kal_buf_release(&image);
    return status;
}

kal_status kal_dml_apply_to_overlay(kal_run *run, kal_view *view, kal_overlay *overlay,
                                    kal_write_op *op, const kal_view_wanted *read, kal_error *err)
{
    kal_row row;
    const kal_row *current = NULL;
    kal_write_effect effect = {0};

    if (op->key.len == 0 && kal_table_keyed_by_arrival(op->table))
        op->key = kal_overlay_arrival_key(overlay, run->arena);
    KAL_TRY(find_current(run, view, op, read, &row, &current, err));
    KAL_TRY(op->resolve(op->context, current, run->arena, &effect, err));
    op->applied = effect.action;
    op->was_update = effect.action == KAL_WRITE_PUT && current != NULL;
    if (effect.action == KAL_WRITE_PUT)
        KAL_TRY(kal_overlay_put(overlay, view, op->table, op->key, current, effect.values, err));
    if (effect.action == KAL_WRITE_DELETE && current != NULL)
        KAL_TRY(kal_overlay_delete(overlay, view, op->table, op->key, current, err));
    return op->keep_row && effect.action != KAL_WRITE_NONE
               ? keep_image(run, op, current, &effect, err)
               : KAL_OK;
}

static kal_status return_row(kal_run *run, const kal_dml *dml, kal_bytes bytes, kal_value *values,
                             kal_value *cells, const uint64_t *bits, kal_error *err)
{
    kal_row row;
    KAL_TRY(kal_table_row_open(dml->table, NULL, bytes, false, &row, err));
    kal_row_values(dml->table, &row, bits, values);
    for (size_t i = 0; i < dml->returning.count; i++)
        KAL_TRY(kal_expr_eval(dml->returning.items[i], values, &run->session, run->arena, &cells[i],
                              err));
    return kal_result_row(run->result, cells, dml->returning.count, err);
}

static kal_status write_returning(kal_run *run, const kal_dml *dml, kal_write *write,
                                  kal_error *err)
{
    const uint64_t *bits = kal_column_bits(dml->table, run->arena, true);
    size_t count = kal_row_value_count(dml->table);
    kal_value *values = kal_arena_alloc(run->arena, count * sizeof *values);
    kal_value *cells = kal_arena_alloc(run->arena, dml->returning.count * sizeof *cells);
    kal_write_action wanted = dml->returns_old ? KAL_WRITE_DELETE : KAL_WRITE_PUT;
    kal_status status = KAL_OK;

    kal_result_begin(run->result, dml->returning.columns, dml->returning.count);
    for (size_t i = 0; i < kal_write_op_count(write) && status == KAL_OK; i++) {
        const kal_write_op *op = kal_write_op_at(write, i);
        if (op->applied == wanted)
            status = return_row(run, dml, op->row_out, values, cells, bits, err);
    }
    if (status == KAL_OK)
        kal_result_end(run->result);
    else
        kal_result_restart(run->result);
    return status;
}

static void write_message(kal_run *run, const kal_dml *dml, uint64_t count)
{
    kal_result_message(run->result, count, "%s %llu row%s", dml->verb, (unsigned long long)count,
                       count == 1 ? "" : "s");
}

kal_status kal_dml_result(kal_run *run, const kal_dml *dml, kal_write *write, kal_error *err)
{
    uint64_t count = 0;
    if (dml->returning.count > 0)
        return write_returning(run, dml, write, err);
    for (size_t i = 0; i < kal_write_op_count(write); i++)
        count += kal_write_op_at(write, i)->applied != KAL_WRITE_NONE;
    write_message(run, dml, count);
    return KAL_OK;
}

/* Inside a transaction the changes stay in its overlay. RETURNING then needs them here: they are
 * what the statement added to the overlay, carried over into a write that is never submitted. */
static kal_status run_in_transaction(kal_run *run, const kal_dml *dml, kal_dml_collect_fn collect,
                                     void *context, kal_error *err)
{
    uint64_t count = 0;
    size_t mark = kal_overlay_mark(run->overlay);
    if (dml->returning.count > 0)
        return kal_error_set(err, KAL_UNSUPPORTED,
                             "RETURNING of a statement that is not bound to keys is not available "
                             "inside a transaction");
    kal_status status = collect(context, run, run->view, run->overlay, &count, err);
    if (status != KAL_OK) {
        kal_overlay_rollback(run->overlay, mark);
        return status;
    }
    write_message(run, dml, count);
    return KAL_OK;
}

static kal_status attempt(kal_run *run, const kal_dml *dml, kal_dml_collect_fn collect,
                          void *context, kal_error *err)
{
    uint64_t count = 0;
    kal_overlay *overlay = kal_overlay_open(run->budget);              /* owned */
    kal_write *write = kal_write_open(run->exec->tables, run->budget); /* owned */
    kal_view view;
    kal_view *outer = run->view;

    kal_run_view_open(run->exec, &view, run->principal->user_no, overlay);
    kal_run_watch_view(run, &view);
    run->view = &view; /* what the engine and the scans of this attempt read */
    run->system.len = 0;
    kal_status status = collect(context, run, &view, overlay, &count, err);
    run->view = outer;
    kal_view_close(&view);
    if (status == KAL_OK)
        status = kal_overlay_into_write(overlay, write, dml->returning.count > 0, err);
    if (status == KAL_OK && kal_write_op_count(write) > 0)
        status = kal_write_commit(write, err);
    if (status == KAL_OK && dml->returning.count > 0)
        status = write_returning(run, dml, write, err);
    else if (status == KAL_OK)
        write_message(run, dml, count);
    kal_write_close(write);
    kal_overlay_close(overlay);
    return status;
}

kal_status kal_dml_run_prepared(kal_run *run, const kal_dml *dml, kal_dml_collect_fn collect,
                                void *context, kal_error *err)
{
    kal_status status = KAL_CONFLICT;

    if (run->inline_only)
        return KAL_BUSY;
    if (run->overlay != NULL)
        return run_in_transaction(run, dml, collect, context, err);
    for (int i = 0; i < ATTEMPTS_MAX && status == KAL_CONFLICT; i++)
        status = attempt(run, dml, collect, context, err);
    return status;
}
