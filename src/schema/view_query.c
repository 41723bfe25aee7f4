#include "schema/view_query.h"
#include "schema/column.h"

const kal_view_table *kal_view_query_find(const kal_view_query *view, kal_bytes namespace_id,
                                          kal_bytes table_name)
{
    for (uint32_t i = 0; i < view->table_count; i++) {
        const kal_view_table *t = &view->tables[i];
        if (kal_bytes_equal_nocase(t->table_name, table_name) &&
            kal_bytes_equal_nocase(t->namespace_id, namespace_id))
            return t;
    }
    return NULL;
}

static bool same_table(const kal_view_table *a, const kal_view_table *b)
{
    if (!kal_bytes_equal(a->namespace_id, b->namespace_id) ||
        !kal_bytes_equal(a->table_name, b->table_name) || a->column_count != b->column_count)
        return false;
    for (uint32_t c = 0; c < a->column_count; c++) {
        if (!kal_bytes_equal(a->columns[c], b->columns[c]))
            return false;
    }
    return true;
}

bool kal_view_query_equal(const kal_view_query *a, const kal_view_query *b)
{
    if (!kal_bytes_equal(a->text, b->text) || a->table_count != b->table_count)
        return false;
    for (uint32_t i = 0; i < a->table_count; i++) {
        if (!same_table(&a->tables[i], &b->tables[i]))
            return false;
    }
    return true;
}

/* ---- copies ---- */

size_t kal_view_query_bytes(const kal_view_query *view)
{
    size_t bytes = kal_arena_piece(sizeof *view) + kal_arena_piece(view->text.len + 1) +
                   kal_arena_piece(view->sql.len + 1) +
                   kal_arena_piece(view->table_count * sizeof *view->tables);
    for (uint32_t i = 0; i < view->table_count; i++) {
        const kal_view_table *t = &view->tables[i];
        bytes += kal_arena_piece(t->namespace_id.len + 1) + kal_arena_piece(t->table_name.len + 1) +
                 kal_arena_piece(t->column_count * sizeof *t->columns);
        for (uint32_t c = 0; c < t->column_count; c++)
            bytes += kal_arena_piece(t->columns[c].len + 1);
    }
    return bytes;
}

static kal_view_table *new_tables(uint32_t count, kal_arena *arena)
{
    return kal_arena_alloc(arena, (count + 1) * sizeof(kal_view_table));
}

static kal_bytes *new_columns(uint32_t count, kal_arena *arena)
{
    return kal_arena_alloc(arena, (count + 1) * sizeof(kal_bytes));
}

static kal_view_table copy_table(const kal_view_table *table, kal_arena *arena)
{
    kal_view_table copy = {.namespace_id = kal_arena_copy(arena, table->namespace_id),
                           .table_name = kal_arena_copy(arena, table->table_name),
                           .columns = new_columns(table->column_count, arena),
                           .column_count = table->column_count};
    for (uint32_t c = 0; c < table->column_count; c++)
        copy.columns[c] = kal_arena_copy(arena, table->columns[c]);
    return copy;
}

kal_view_query *kal_view_query_copy(const kal_view_query *view, kal_arena *arena)
{
    kal_view_query *copy = KAL_NEW(arena, kal_view_query);
    *copy = (kal_view_query){.text = kal_arena_copy(arena, view->text),
                             .sql = kal_arena_copy(arena, view->sql),
                             .tables = new_tables(view->table_count, arena),
                             .table_count = view->table_count};
    for (uint32_t i = 0; i < view->table_count; i++)
        copy->tables[i] = copy_table(&view->tables[i], arena);
    return copy;
}

/* ---- rules ---- */

static kal_status validate_table(const kal_view_table *table, kal_error *err)
{
    KAL_TRY(kal_name_validate("namespace", table->namespace_id, err));
    KAL_TRY(kal_name_validate("table", table->table_name, err));
    if (table->column_count > KAL_COLUMNS_MAX)
        return kal_error_set(err, KAL_INVALID, "a view's table has %u columns, the limit is %d",
                             table->column_count, KAL_COLUMNS_MAX);
    for (uint32_t c = 0; c < table->column_count; c++)
        KAL_TRY(kal_name_validate("column", table->columns[c], err));
    return KAL_OK;
}

kal_status kal_view_query_validate(const kal_view_query *view, kal_error *err)
{
    if (view->text.ptr == NULL || view->sql.ptr == NULL || !kal_utf8_valid(view->text) ||
        !kal_utf8_valid(view->sql))
        return kal_error_set(err, KAL_INVALID, "the SELECT of a view is not valid UTF-8");
    if (view->table_count > KAL_VIEW_TABLES_MAX)
        return kal_error_set(err, KAL_INVALID, "a view reads %u tables, the limit is %d",
                             view->table_count, KAL_VIEW_TABLES_MAX);
    for (uint32_t i = 0; i < view->table_count; i++)
        KAL_TRY(validate_table(&view->tables[i], err));
    return KAL_OK;
}

/* ---- JSON ---- */

static void table_write_json(const kal_view_table *table, kal_json_writer *w)
{
    kal_json_begin_object(w);
    kal_json_key(w, "namespace_id");
    kal_json_string(w, table->namespace_id);
    kal_json_key(w, "table_name");
    kal_json_string(w, table->table_name);
    kal_json_key(w, "columns");
    kal_json_begin_array(w);
    for (uint32_t c = 0; c < table->column_count; c++)
        kal_json_string(w, table->columns[c]);
    kal_json_end_array(w);
    kal_json_end_object(w);
}

void kal_view_query_write_json(const kal_view_query *view, kal_json_writer *w)
{
    kal_json_key(w, "view_text");
    kal_json_string(w, view->text);
    kal_json_key(w, "view_sql");
    kal_json_string(w, view->sql);
    kal_json_key(w, "view_tables");
    kal_json_begin_array(w);
    for (uint32_t i = 0; i < view->table_count; i++)
        table_write_json(&view->tables[i], w);
    kal_json_end_array(w);
}

static kal_status json_text(const kal_json *object, const char *key, kal_arena *arena,
                            kal_bytes *out, kal_error *err)
{
    const kal_json *json = kal_json_find(object, key);
    if (json == NULL || json->kind != KAL_JSON_STRING)
        return kal_error_set(err, KAL_INVALID, "a view needs '%s' as string", key);
    *out = kal_arena_copy(arena, json->text);
    return KAL_OK;
}

static kal_status json_array(const kal_json *object, const char *key, uint32_t limit,
                             const kal_json **out, kal_error *err)
{
    *out = kal_json_find(object, key);
    if (*out == NULL || (*out)->kind != KAL_JSON_ARRAY || (*out)->len > limit)
        return kal_error_set(err, KAL_INVALID, "a view needs '%s' as array of at most %u", key,
                             limit);
    return KAL_OK;
}

static kal_status table_from_json(const kal_json *json, kal_arena *arena, kal_view_table *out,
                                  kal_error *err)
{
    const kal_json *columns = NULL;

    if (json->kind != KAL_JSON_OBJECT)
        return kal_error_set(err, KAL_INVALID, "a view needs objects in 'view_tables'");
    KAL_TRY(json_text(json, "namespace_id", arena, &out->namespace_id, err));
    KAL_TRY(json_text(json, "table_name", arena, &out->table_name, err));
    KAL_TRY(json_array(json, "columns", KAL_COLUMNS_MAX, &columns, err));
    out->columns = new_columns((uint32_t)columns->len, arena);
    out->column_count = (uint32_t)columns->len;
    for (size_t c = 0; c < columns->len; c++) {
        if (columns->items[c].kind != KAL_JSON_STRING)
            return kal_error_set(err, KAL_INVALID, "a view needs names in 'columns'");
        out->columns[c] = kal_arena_copy(arena, columns->items[c].text);
    }
    return KAL_OK;
}

kal_status kal_view_query_from_json(const kal_json *object, kal_arena *arena, kal_view_query **out,
                                    kal_error *err)
{
    kal_view_query *view = KAL_NEW(arena, kal_view_query);
    const kal_json *tables = NULL;

    *out = NULL;
    KAL_TRY(json_text(object, "view_text", arena, &view->text, err));
    KAL_TRY(json_text(object, "view_sql", arena, &view->sql, err));
    if (kal_json_find(object, "view_tables") != NULL) { /* format 2 had none */
        KAL_TRY(json_array(object, "view_tables", KAL_VIEW_TABLES_MAX, &tables, err));
        view->tables = new_tables((uint32_t)tables->len, arena);
        view->table_count = (uint32_t)tables->len;
        for (size_t i = 0; i < tables->len; i++)
            KAL_TRY(table_from_json(&tables->items[i], arena, &view->tables[i], err));
    }
    *out = view;
    return KAL_OK;
}

/* ---- binary: texts as u32 length and bytes, counts as u32 ---- */

void kal_view_query_encode(const kal_view_query *view, kal_buf *out)
{
    kal_buf_append_text(out, view->text);
    kal_buf_append_text(out, view->sql);
    kal_buf_append_le32(out, view->table_count);
    for (uint32_t i = 0; i < view->table_count; i++) {
        const kal_view_table *t = &view->tables[i];
        kal_buf_append_text(out, t->namespace_id);
        kal_buf_append_text(out, t->table_name);
        kal_buf_append_le32(out, t->column_count);
        for (uint32_t c = 0; c < t->column_count; c++)
            kal_buf_append_text(out, t->columns[c]);
    }
}

static bool take_copy(kal_bytes *in, kal_arena *arena, kal_bytes *out)
{
    kal_bytes text;
    if (!kal_bytes_take_text(in, &text))
        return false;
    *out = kal_arena_copy(arena, text);
    return true;
}

static bool decode_table(kal_bytes *in, kal_arena *arena, kal_view_table *out)
{
    *out = (kal_view_table){0};
    if (!take_copy(in, arena, &out->namespace_id) || !take_copy(in, arena, &out->table_name) ||
        !kal_bytes_take_le32(in, &out->column_count) || out->column_count > KAL_COLUMNS_MAX ||
        out->column_count > in->len)
        return false;
    out->columns = new_columns(out->column_count, arena);
    for (uint32_t c = 0; c < out->column_count; c++) {
        if (!take_copy(in, arena, &out->columns[c]))
            return false;
    }
    return true;
}

bool kal_view_query_decode(kal_bytes *in, bool has_tables, kal_arena *arena, kal_view_query **out)
{
    kal_view_query *view = KAL_NEW(arena, kal_view_query);

    *out = view;
    if (!take_copy(in, arena, &view->text) || !take_copy(in, arena, &view->sql))
        return false;
    if (!has_tables)
        return true;
    if (!kal_bytes_take_le32(in, &view->table_count) || view->table_count > KAL_VIEW_TABLES_MAX)
        return false;
    view->tables = new_tables(view->table_count, arena);
    for (uint32_t i = 0; i < view->table_count; i++) {
        if (!decode_table(in, arena, &view->tables[i]))
            return false;
    }
    return true;
}
