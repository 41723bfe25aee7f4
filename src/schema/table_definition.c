#include "schema/table_definition.h"
#include "base/assert.h"
#include "base/map.h"
#include "types/arrow.h"
#include "types/json.h"
#include "types/text.h"

#include <stdlib.h>

enum { FORMAT = 3, FORMAT_VIEW_TABLES = 3, FLAG_COMMENT = 1, FLAG_VIEW = 2, FLAGS_ALL = 3 };

/* ---- validation ---- */

static kal_status validate_unique_names(const kal_table_definition *def, kal_error *err)
{
    kal_status status = KAL_OK;
    kal_map seen; /* owned */
    kal_map_init(&seen);
    for (uint32_t i = 0; i < def->column_count && status == KAL_OK; i++) {
        uint8_t folded[KAL_NAME_BYTES_MAX];
        kal_bytes name = def->columns[i].name;
        for (size_t k = 0; k < name.len; k++)
            folded[k] = (uint8_t)kal_ascii_lower((char)name.ptr[k]);
        if (kal_map_put(&seen, kal_bytes_of(folded, name.len), &def->columns[i]) != NULL)
            status =
                kal_error_set(err, KAL_INVALID, "column '%.*s' is defined twice", KAL_FMT(name));
    }
    kal_map_release(&seen);
    return status;
}

static kal_status validate_unique_ids(const kal_table_definition *def, kal_error *err)
{
    kal_status status = KAL_OK;
    kal_map seen; /* owned */
    kal_map_init(&seen);
    for (uint32_t i = 0; i < def->column_count && status == KAL_OK; i++) {
        kal_column *column = &def->columns[i];
        const kal_column *other =
            kal_map_put(&seen, kal_bytes_of(&column->column_id, sizeof column->column_id), column);
        if (other != NULL)
            status = kal_error_set(err, KAL_INVALID,
                                   "columns '%.*s' and '%.*s' have the same column_id %u",
                                   KAL_FMT(other->name), KAL_FMT(column->name), column->column_id);
    }
    kal_map_release(&seen);
    return status;
}

static kal_status validate_columns(const kal_table_definition *def, kal_error *err)
{
    uint32_t before = 0;
    for (uint32_t i = 0; i < def->column_count; i++) {
        const kal_column *column = &def->columns[i];
        KAL_TRY(kal_column_validate(column, err));
        if (column->ordinal_position <= before)
            return kal_error_set(err, KAL_INVALID, "column '%.*s' repeats ordinal position %u",
                                 KAL_FMT(column->name), column->ordinal_position);
        before = column->ordinal_position;
        if (column->column_id == 0 || column->column_id > def->column_id_max)
            return kal_error_set(err, KAL_INVALID, "column '%.*s' has no valid column_id",
                                 KAL_FMT(column->name));
    }
    if (before > def->ordinal_max)
        return kal_error_set(err, KAL_INVALID, "ordinal position %u exceeds the recorded %u",
                             before, def->ordinal_max);
    KAL_TRY(validate_unique_names(def, err));
    return validate_unique_ids(def, err);
}

static kal_status stands_twice(kal_bytes name, kal_error *err)
{
    return kal_error_set(err, KAL_INVALID, "column '%.*s' stands twice in the primary key",
                         KAL_FMT(name));
}

static kal_status validate_key(const kal_table_definition *def, kal_error *err)
{
    uint32_t marked = 0;
    for (uint32_t i = 0; i < def->column_count; i++)
        marked += def->columns[i].is_primary_key;
    for (uint32_t i = 0; i < def->key_column_count; i++) {
        if (def->key_columns[i] >= def->column_count ||
            !def->columns[def->key_columns[i]].is_primary_key)
            return kal_error_set(err, KAL_INVALID, "the primary key names no column");
        for (uint32_t k = 0; k < i; k++) {
            if (def->key_columns[k] == def->key_columns[i])
                return stands_twice(def->columns[def->key_columns[i]].name, err);
        }
    }
    if (marked != def->key_column_count)
        return kal_error_set(err, KAL_INVALID, "a key column is missing in the primary key");
    if (def->key_column_count == 0 &&
        (def->table_type == KAL_TABLE_USER || def->table_type == KAL_TABLE_SHARED)) {
        kal_error_set(err, KAL_INVALID, "%s tables require a PRIMARY KEY column",
                      def->table_type == KAL_TABLE_USER ? "USER" : "SHARED");
        kal_error_hint(err, "for example: id %s PRIMARY KEY DEFAULT SNOWFLAKE_ID()",
                       kal_type_base_name(KAL_TYPE_BIGINT));
        return KAL_INVALID;
    }
    return KAL_OK;
}

kal_status kal_table_definition_validate(const kal_table_definition *def, kal_error *err)
{
    KAL_TRY(kal_name_validate("namespace", def->namespace_id, err));
    KAL_TRY(kal_name_validate("table", def->table_name, err));
    if (!kal_utf8_valid(def->comment))
        return kal_error_set(err, KAL_INVALID, "the comment of table '%.*s' is not valid UTF-8",
                             KAL_FMT(def->table_name));
    if (def->column_count == 0)
        return kal_error_set(err, KAL_INVALID, "table '%.*s' needs at least one column",
                             KAL_FMT(def->table_name));
    if (def->column_count > KAL_COLUMNS_MAX)
        return kal_error_set(err, KAL_INVALID, "table '%.*s' has %u columns, the limit is %d",
                             KAL_FMT(def->table_name), def->column_count, KAL_COLUMNS_MAX);
    if (def->schema_version == 0)
        return kal_error_set(err, KAL_INVALID, "schema versions start at 1");
    if ((def->table_type == KAL_TABLE_VIEW) != (def->view != NULL))
        return kal_error_set(err, KAL_INVALID, "'%.*s' is not a valid view",
                             KAL_FMT(def->table_name));
    if (def->view != NULL)
        KAL_TRY(kal_view_query_validate(def->view, err));
    if (def->options.table_type != def->table_type)
        return kal_error_set(err, KAL_INVALID, "options of a %s table given to a %s table",
                             kal_table_type_upper(def->options.table_type),
                             kal_table_type_upper(def->table_type));
    KAL_TRY(kal_table_options_validate(&def->options, err));
    KAL_TRY(validate_columns(def, err));
    return validate_key(def, err);
}

/* ---- building ---- */

static int by_ordinal(const void *a, const void *b)
{
    const kal_column *x = a;
    const kal_column *y = b;
    return (x->ordinal_position > y->ordinal_position) -
           (x->ordinal_position < y->ordinal_position);
}

/* Names are short and many: one block for all of them. */
static void pack_names(kal_table_definition *def, kal_arena *arena)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < def->column_count; i++)
        bytes += def->columns[i].name.len;
    uint8_t *at = kal_arena_alloc(arena, bytes);
    for (uint32_t i = 0; i < def->column_count; i++) {
        kal_bytes *name = &def->columns[i].name;
        if (name->len > 0)
            memcpy(at, name->ptr, name->len);
        name->ptr = at;
        at += name->len;
    }
}

static kal_status copy_columns(kal_table_definition *def, const kal_column *columns, size_t count,
                               kal_arena *arena, kal_error *err)
{
    def->columns = kal_arena_alloc(arena, count * sizeof *columns);
    def->column_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        KAL_TRY(kal_column_copy(&columns[i], arena, &def->columns[i], err));
    pack_names(def, arena);
    qsort(def->columns, count, sizeof *def->columns, by_ordinal);
    return KAL_OK;
}

/* Ordinals exactly 1..n, ids assigned where missing. */
static kal_status number_columns(kal_table_definition *def, kal_error *err)
{
    for (uint32_t i = 0; i < def->column_count; i++) {
        kal_column *column = &def->columns[i];
        if (column->ordinal_position == 0)
            return kal_error_set(err, KAL_INVALID,
                                 "column '%.*s' has ordinal position 0, positions start at 1",
                                 KAL_FMT(column->name));
        if (column->ordinal_position != i + 1)
            return kal_error_set(
                err, KAL_INVALID, "ordinal positions must be 1 to %u, column '%.*s' has %u",
                def->column_count, KAL_FMT(column->name), column->ordinal_position);
        if (column->column_id == 0)
            column->column_id = i + 1;
        if (column->column_id > def->column_id_max)
            def->column_id_max = column->column_id;
    }
    def->ordinal_max = def->column_count;
    return KAL_OK;
}

static void key_from_marks(kal_table_definition *def)
{
    def->key_column_count = 0;
    for (uint32_t i = 0; i < def->column_count; i++) {
        if (def->columns[i].is_primary_key)
            def->key_columns[def->key_column_count++] = i;
    }
}

static kal_status key_from_names(kal_table_definition *def, const kal_bytes *names, size_t count,
                                 kal_error *err)
{
    for (size_t k = 0; k < count; k++) {
        int i = kal_table_definition_find(def, names[k]);
        if (i < 0)
            return kal_error_set(err, KAL_INVALID, "the primary key names no column: '%.*s'",
                                 KAL_FMT(names[k]));
        for (uint32_t j = 0; j < k; j++) {
            if (def->key_columns[j] == (uint32_t)i)
                return stands_twice(names[k], err);
        }
        KAL_ASSERT(k < def->column_count); /* more names than columns: one stood twice */
        def->columns[i].is_primary_key = true;
        def->key_columns[k] = (uint32_t)i;
    }
    def->key_column_count = (uint32_t)count;
    return KAL_OK;
}

kal_status kal_table_definition_create(kal_bytes namespace_id, kal_bytes table_name,
                                       kal_table_type type, const kal_column *columns, size_t count,
                                       const kal_bytes *key_names, size_t key_count,
                                       const kal_table_options *options, int64_t now_us,
                                       kal_arena *arena, kal_table_definition **out, kal_error *err)
{
    *out = NULL;
    if (count == 0)
        return kal_error_set(err, KAL_INVALID, "table '%.*s' needs at least one column",
                             KAL_FMT(table_name));
    if (count > KAL_COLUMNS_MAX)
        return kal_error_set(err, KAL_INVALID, "table '%.*s' has %zu columns, the limit is %d",
                             KAL_FMT(table_name), count, KAL_COLUMNS_MAX);
    kal_table_definition *def = KAL_NEW(arena, kal_table_definition);
    def->namespace_id = kal_arena_copy(arena, namespace_id);
    def->table_name = kal_arena_copy(arena, table_name);
    def->table_type = type;
    def->options = options == NULL ? kal_table_options_default(type) : *options;
    def->schema_version = 1;
    def->created_at_us = now_us;
    def->updated_at_us = now_us;
    KAL_TRY(copy_columns(def, columns, count, arena, err));
    KAL_TRY(number_columns(def, err));
    def->key_columns = kal_arena_alloc(arena, count * sizeof *def->key_columns);
    if (key_names == NULL)
        key_from_marks(def);
    else
        KAL_TRY(key_from_names(def, key_names, key_count, err));
    KAL_TRY(kal_table_definition_validate(def, err));
    *out = def;
    return KAL_OK;
}

kal_status kal_view_definition_create(kal_bytes namespace_id, kal_bytes view_name,
                                      const kal_column *columns, size_t count,
                                      const kal_view_query *view, int64_t now_us, kal_arena *arena,
                                      kal_table_definition **out, kal_error *err)
{
    kal_table_definition *def = KAL_NEW(arena, kal_table_definition);

    *out = NULL;
    if (count == 0 || count > KAL_COLUMNS_MAX)
        return kal_error_set(err, KAL_INVALID, "view '%.*s' has %zu columns, the limit is %d",
                             KAL_FMT(view_name), count, KAL_COLUMNS_MAX);
    def->namespace_id = kal_arena_copy(arena, namespace_id);
    def->table_name = kal_arena_copy(arena, view_name);
    def->table_type = KAL_TABLE_VIEW;
    def->options = kal_table_options_default(KAL_TABLE_VIEW);
    def->schema_version = 1;
    def->created_at_us = now_us;
    def->updated_at_us = now_us;
    def->view = kal_view_query_copy(view, arena);
    def->key_columns = kal_arena_alloc(arena, sizeof *def->key_columns);
    KAL_TRY(copy_columns(def, columns, count, arena, err));
    KAL_TRY(number_columns(def, err));
    KAL_TRY(kal_table_definition_validate(def, err));
    *out = def;
    return KAL_OK;
}

kal_status kal_table_definition_partition_by(kal_table_definition *def, const kal_bytes *names,
                                             size_t count, kal_error *err)
{
    for (size_t k = 0; k < count; k++) {
        if (kal_table_definition_find(def, names[k]) < 0)
            return kal_error_set(err, KAL_INVALID, "the partition key names no column: '%.*s'",
                                 KAL_FMT(names[k]));
    }
    for (size_t k = 0; k < count; k++)
        def->columns[kal_table_definition_find(def, names[k])].is_partition_key = true;
    return KAL_OK;
}

size_t kal_table_definition_bytes(const kal_table_definition *def)
{
    size_t names = 0;
    size_t bytes = kal_arena_piece(sizeof *def) + kal_arena_piece(def->namespace_id.len + 1) +
                   kal_arena_piece(def->table_name.len + 1) +
                   kal_arena_piece(def->comment.len + 1) +
                   (def->view == NULL ? 0 : kal_view_query_bytes(def->view)) +
                   kal_arena_piece(def->column_count * sizeof *def->columns) +
                   kal_arena_piece((def->key_column_count + 1) * sizeof(uint32_t));
    for (uint32_t i = 0; i < def->column_count; i++) {
        const kal_column *c = &def->columns[i];
        names += c->name.len;
        bytes += c->comment.ptr == NULL ? 0 : kal_arena_piece(c->comment.len + 1);
        bytes += c->default_value == NULL ? 0 : kal_arena_piece(sizeof *c->default_value);
        bytes += c->initial_default == NULL ? 0 : kal_arena_piece(sizeof *c->initial_default);
    }
    return bytes + kal_arena_piece(names);
}

kal_table_definition *kal_table_definition_copy(const kal_table_definition *def, size_t room,
                                                kal_arena *arena)
{
    kal_table_definition *copy = KAL_NEW(arena, kal_table_definition);
    *copy = *def;
    copy->namespace_id = kal_arena_copy(arena, def->namespace_id);
    copy->table_name = kal_arena_copy(arena, def->table_name);
    if (def->comment.ptr != NULL)
        copy->comment = kal_arena_copy(arena, def->comment);
    if (def->view != NULL)
        copy->view = kal_view_query_copy(def->view, arena);
    copy->columns = kal_arena_alloc(arena, (def->column_count + room) * sizeof *def->columns);
    for (uint32_t i = 0; i < def->column_count; i++) {
        kal_status status = kal_column_copy(&def->columns[i], arena, &copy->columns[i], NULL);
        KAL_ASSERT(status == KAL_OK); /* definitions live in arenas without a budget */
    }
    pack_names(copy, arena);
    copy->key_columns = kal_arena_alloc(arena, (def->key_column_count + 1) * sizeof(uint32_t));
    memcpy(copy->key_columns, def->key_columns, def->key_column_count * sizeof(uint32_t));
    return copy;
}

/* ---- asking ---- */

int kal_table_definition_find(const kal_table_definition *def, kal_bytes column_name)
{
    for (uint32_t i = 0; i < def->column_count; i++) {
        if (kal_bytes_equal(def->columns[i].name, column_name))
            return (int)i;
    }
    return -1;
}

kal_bytes kal_table_definition_near(const kal_table_definition *def, kal_bytes column_name)
{
    kal_bytes best = {0};
    size_t least = column_name.len / 3 + 2;
    for (uint32_t i = 0; i < def->column_count; i++) {
        size_t distance = kal_edit_distance(def->columns[i].name, column_name);
        if (distance < least && distance < column_name.len) { /* something of it must be the same */
            least = distance;
            best = def->columns[i].name;
        }
    }
    return best;
}

kal_bytes kal_table_definition_qualified_name(const kal_table_definition *def, kal_arena *arena)
{
    return kal_cstr(
        kal_arena_printf(arena, "%.*s.%.*s", KAL_FMT(def->namespace_id), KAL_FMT(def->table_name)));
}

void kal_table_definition_arrow_json(const kal_table_definition *def, kal_buf *out)
{
    kal_arena arena; /* owned */
    kal_arena_init(&arena, NULL);
    kal_arrow_field *fields = kal_arena_alloc(&arena, def->column_count * sizeof *fields);
    for (uint32_t i = 0; i < def->column_count; i++)
        fields[i] = (kal_arrow_field){def->columns[i].name, def->columns[i].type,
                                      def->columns[i].is_nullable};
    kal_arrow_schema_json(fields, def->column_count, out);
    kal_arena_release(&arena);
}

/* ---- JSON ---- */

void kal_table_definition_write_json(const kal_table_definition *def, kal_json_writer *w)
{
    kal_json_begin_object(w);
    kal_json_key(w, "format");
    kal_json_u64(w, FORMAT);
    kal_json_key(w, "table_id");
    kal_json_u64(w, def->table_id);
    kal_json_key(w, "namespace_id");
    kal_json_string(w, def->namespace_id);
    kal_json_key(w, "table_name");
    kal_json_string(w, def->table_name);
    kal_json_key(w, "table_type");
    kal_json_cstr(w, kal_table_type_name(def->table_type));
    kal_json_key(w, "columns");
    kal_json_begin_array(w);
    for (uint32_t i = 0; i < def->column_count; i++)
        kal_column_write_json(&def->columns[i], w);
    kal_json_end_array(w);
    kal_json_key(w, "primary_key");
    kal_json_begin_array(w);
    for (uint32_t i = 0; i < def->key_column_count; i++)
        kal_json_string(w, def->columns[def->key_columns[i]].name);
    kal_json_end_array(w);
    kal_json_key(w, "schema_version");
    kal_json_u64(w, def->schema_version);
    kal_json_key(w, "ordinal_max");
    kal_json_u64(w, def->ordinal_max);
    kal_json_key(w, "column_id_max");
    kal_json_u64(w, def->column_id_max);
    kal_json_key(w, "table_options");
    kal_table_options_write_json(&def->options, w);
    kal_json_key(w, "table_comment");
    if (def->comment.ptr == NULL)
        kal_json_null(w);
    else
        kal_json_string(w, def->comment);
    if (def->view != NULL)
        kal_view_query_write_json(def->view, w);
    kal_json_key(w, "created_at");
    kal_json_i64(w, def->created_at_us);
    kal_json_key(w, "updated_at");
    kal_json_i64(w, def->updated_at_us);
    kal_json_end_object(w);
}

static kal_status json_number(const kal_json *object, const char *key, int64_t low, int64_t high,
                              int64_t *out, kal_error *err)
{
    const kal_json *json = kal_json_find(object, key);
    if (json == NULL || json->kind != KAL_JSON_NUMBER || !kal_parse_i64(json->text, out) ||
        *out < low || *out > high)
        return kal_error_set(err, KAL_INVALID, "a table definition needs a whole number '%s'", key);
    return KAL_OK;
}

static kal_status json_kind(const kal_json *object, const char *key, kal_json_kind kind,
                            const kal_json **out, kal_error *err)
{
    *out = kal_json_find(object, key);
    if (*out == NULL || (*out)->kind != kind)
        return kal_error_set(err, KAL_INVALID, "a table definition needs '%s' as %s", key,
                             kal_json_kind_name(kind));
    return KAL_OK;
}

static kal_status numbers_from_json(const kal_json *json, kal_table_definition *def, kal_error *err)
{
    int64_t format = 0;
    int64_t table_id = 0;
    int64_t version = 0;
    int64_t ordinal_max = 0;
    int64_t column_id_max = 0;

    KAL_TRY(json_number(json, "format", 0, INT64_MAX, &format, err));
    if (format < 1 || format > FORMAT)
        return kal_error_set(err, KAL_UNSUPPORTED,
                             "table definition of format %lld, this server reads up to %d",
                             (long long)format, FORMAT);
    KAL_TRY(json_number(json, "table_id", 0, UINT32_MAX, &table_id, err));
    KAL_TRY(json_number(json, "schema_version", 1, UINT32_MAX, &version, err));
    KAL_TRY(json_number(json, "ordinal_max", 1, UINT32_MAX, &ordinal_max, err));
    KAL_TRY(json_number(json, "column_id_max", 1, UINT32_MAX, &column_id_max, err));
    KAL_TRY(json_number(json, "created_at", INT64_MIN, INT64_MAX, &def->created_at_us, err));
    KAL_TRY(json_number(json, "updated_at", INT64_MIN, INT64_MAX, &def->updated_at_us, err));
    def->table_id = (uint32_t)table_id;
    def->schema_version = (uint32_t)version;
    def->ordinal_max = (uint32_t)ordinal_max;
    def->column_id_max = (uint32_t)column_id_max;
    return KAL_OK;
}

static kal_status columns_from_json(const kal_json *json, kal_arena *arena,
                                    kal_table_definition *def, kal_error *err)
{
    const kal_json *columns = NULL;
    const kal_json *key = NULL;

    KAL_TRY(json_kind(json, "columns", KAL_JSON_ARRAY, &columns, err));
    KAL_TRY(json_kind(json, "primary_key", KAL_JSON_ARRAY, &key, err));
    if (columns->len > KAL_COLUMNS_MAX || key->len > columns->len)
        return kal_error_set(err, KAL_INVALID, "a table has at most %d columns", KAL_COLUMNS_MAX);
    def->columns = kal_arena_alloc(arena, columns->len * sizeof *def->columns);
    def->column_count = (uint32_t)columns->len;
    for (size_t i = 0; i < columns->len; i++)
        KAL_TRY(kal_column_from_json(&columns->items[i], arena, &def->columns[i], err));
    def->key_columns = kal_arena_alloc(arena, columns->len * sizeof *def->key_columns);
    for (size_t i = 0; i < key->len; i++) {
        int at = key->items[i].kind == KAL_JSON_STRING
                     ? kal_table_definition_find(def, key->items[i].text)
                     : -1;
        if (at < 0)
            return kal_error_set(err, KAL_INVALID, "the primary key names no column");
        def->key_columns[def->key_column_count++] = (uint32_t)at;
    }
    return KAL_OK;
}

kal_status kal_table_definition_from_json(const kal_json *json, kal_arena *arena,
                                          kal_table_definition **out, kal_error *err)
{
    kal_table_definition *def = KAL_NEW(arena, kal_table_definition);
    const kal_json *part = NULL;

    *out = NULL;
    KAL_TRY(json_kind(json, "namespace_id", KAL_JSON_STRING, &part, err));
    def->namespace_id = kal_arena_copy(arena, part->text);
    KAL_TRY(json_kind(json, "table_name", KAL_JSON_STRING, &part, err));
    def->table_name = kal_arena_copy(arena, part->text);
    KAL_TRY(json_kind(json, "table_type", KAL_JSON_STRING, &part, err));
    if (!kal_table_type_parse(part->text, &def->table_type))
        return kal_error_set(err, KAL_INVALID, "unknown table_type '%.*s'", KAL_FMT(part->text));
    KAL_TRY(numbers_from_json(json, def, err));
    KAL_TRY(columns_from_json(json, arena, def, err));
    KAL_TRY(json_kind(json, "table_options", KAL_JSON_OBJECT, &part, err));
    KAL_TRY(kal_table_options_from_json(part, &def->options, err));
    if (def->table_type == KAL_TABLE_VIEW)
        KAL_TRY(kal_view_query_from_json(json, arena, &def->view, err));
    part = kal_json_find(json, "table_comment");
    if (part != NULL && part->kind != KAL_JSON_STRING && part->kind != KAL_JSON_NULL)
        return kal_error_set(err, KAL_INVALID,
                             "a table definition needs 'table_comment' as string or null");
    if (part != NULL && part->kind == KAL_JSON_STRING)
        def->comment = kal_arena_copy(arena, part->text);
    KAL_TRY(kal_table_definition_validate(def, err));
    *out = def;
    return KAL_OK;
}

/* ---- binary ---- */

void kal_table_definition_encode(const kal_table_definition *def, kal_buf *out)
{
    kal_buf_append_byte(out, FORMAT);
    kal_buf_append_le32(out, def->table_id);
    kal_buf_append_text(out, def->namespace_id);
    kal_buf_append_text(out, def->table_name);
    kal_buf_append_byte(out, (uint8_t)def->table_type);
    kal_buf_append_le32(out, def->schema_version);
    kal_buf_append_le32(out, def->ordinal_max);
    kal_buf_append_le32(out, def->column_id_max);
    kal_buf_append_le64(out, (uint64_t)def->created_at_us);
    kal_buf_append_le64(out, (uint64_t)def->updated_at_us);
    kal_table_options_encode(&def->options, out);
    kal_buf_append_byte(out, (uint8_t)((def->comment.ptr != NULL ? FLAG_COMMENT : 0) |
                                       (def->view != NULL ? FLAG_VIEW : 0)));
    if (def->comment.ptr != NULL)
        kal_buf_append_text(out, def->comment);
    if (def->view != NULL)
        kal_view_query_encode(def->view, out);
    kal_buf_append_le32(out, def->column_count);
    for (uint32_t i = 0; i < def->column_count; i++)
        kal_column_encode(&def->columns[i], out);
    kal_buf_append_le32(out, def->key_column_count);
    for (uint32_t i = 0; i < def->key_column_count; i++)
        kal_buf_append_le32(out, def->key_columns[i]);
}

static bool decode_head(kal_bytes *in, kal_arena *arena, kal_table_definition *def)
{
    kal_bytes ns;
    kal_bytes name;
    uint8_t type = 0;
    uint64_t created = 0;
    uint64_t updated = 0;

    if (!kal_bytes_take_le32(in, &def->table_id) || !kal_bytes_take_text(in, &ns) ||
        !kal_bytes_take_text(in, &name) || !kal_bytes_take_u8(in, &type) || type > KAL_TABLE_VIEW ||
        !kal_bytes_take_le32(in, &def->schema_version) ||
        !kal_bytes_take_le32(in, &def->ordinal_max) ||
        !kal_bytes_take_le32(in, &def->column_id_max) || !kal_bytes_take_le64(in, &created) ||
        !kal_bytes_take_le64(in, &updated))
        return false;
    def->namespace_id = kal_arena_copy(arena, ns);
    def->table_name = kal_arena_copy(arena, name);
    def->table_type = (kal_table_type)type;
    def->created_at_us = (int64_t)created;
    def->updated_at_us = (int64_t)updated;
    return true;
}

static kal_status damaged(kal_error *err)
{
    return kal_error_set(err, KAL_CORRUPT, "stored table definition is damaged");
}

static kal_status decode_columns(kal_bytes *in, kal_arena *arena, kal_table_definition *def,
                                 kal_error *err)
{
    if (!kal_bytes_take_le32(in, &def->column_count) || def->column_count == 0 ||
        def->column_count > KAL_COLUMNS_MAX)
        return damaged(err);
    def->columns = kal_arena_alloc(arena, def->column_count * sizeof *def->columns);
    for (uint32_t i = 0; i < def->column_count; i++)
        KAL_TRY(kal_column_decode(in, arena, &def->columns[i], err));
    if (!kal_bytes_take_le32(in, &def->key_column_count) ||
        def->key_column_count > def->column_count)
        return damaged(err);
    def->key_columns = kal_arena_alloc(arena, def->column_count * sizeof *def->key_columns);
    for (uint32_t i = 0; i < def->key_column_count; i++) {
        if (!kal_bytes_take_le32(in, &def->key_columns[i]))
            return damaged(err);
    }
    return KAL_OK;
}

kal_status kal_table_definition_decode(kal_bytes input, kal_arena *arena,
                                       kal_table_definition **out, kal_error *err)
{
    kal_table_definition *def = KAL_NEW(arena, kal_table_definition);
    uint8_t format = 0;
    uint8_t flags = 0;
    kal_bytes comment;

    *out = NULL;
    if (!kal_bytes_take_u8(&input, &format))
        return damaged(err);
    if (format > FORMAT)
        return kal_error_set(err, KAL_UNSUPPORTED,
                             "stored table definition has format %u, this server reads up to %d",
                             format, FORMAT);
    if (format == 0 || !decode_head(&input, arena, def))
        return damaged(err);
    KAL_TRY(kal_table_options_decode(&input, &def->options, err));
    if (!kal_bytes_take_u8(&input, &flags) || (flags & ~FLAGS_ALL) != 0)
        return damaged(err);
    if ((flags & FLAG_COMMENT) != 0) {
        if (!kal_bytes_take_text(&input, &comment))
            return damaged(err);
        def->comment = kal_arena_copy(arena, comment);
    }
    if ((flags & FLAG_VIEW) != 0 &&
        !kal_view_query_decode(&input, format >= FORMAT_VIEW_TABLES, arena, &def->view))
        return damaged(err);
    KAL_TRY(decode_columns(&input, arena, def, err));
    if (input.len != 0 || kal_table_definition_validate(def, NULL) != KAL_OK)
        return damaged(err);
    *out = def;
    return KAL_OK;
}

/* ---- SQL ---- */

static void names_to_sql(const kal_table_definition *def, bool partition, kal_buf *out)
{
    bool first = true;
    uint32_t count = partition ? def->column_count : def->key_column_count;
    for (uint32_t i = 0; i < count; i++) {
        const kal_column *column = &def->columns[partition ? i : def->key_columns[i]];
        if (partition && !column->is_partition_key)
            continue;
        kal_buf_append_cstr(out, first ? "" : ", ");
        kal_identifier_to_sql(column->name, out);
        first = false;
    }
}

static void view_to_sql(const kal_table_definition *def, kal_buf *out)
{
    kal_buf_append_cstr(out, "CREATE VIEW ");
    kal_identifier_to_sql(def->namespace_id, out);
    kal_buf_append_byte(out, '.');
    kal_identifier_to_sql(def->table_name, out);
    kal_buf_append_cstr(out, " (");
    for (uint32_t i = 0; i < def->column_count; i++) {
        kal_buf_append_cstr(out, i == 0 ? "" : ", ");
        kal_identifier_to_sql(def->columns[i].name, out);
    }
    kal_buf_append_byte(out, ')');
    if (def->comment.ptr != NULL) {
        kal_value comment = kal_value_text(def->comment);
        kal_buf_append_cstr(out, " COMMENT ");
        kal_value_to_sql(&comment, out);
    }
    kal_buf_append_cstr(out, " AS ");
    kal_buf_append_bytes(out, def->view->text);
}

void kal_table_definition_to_sql(const kal_table_definition *def, kal_buf *out)
{
    bool partitioned = false;
    if (def->table_type == KAL_TABLE_VIEW) {
        view_to_sql(def, out);
        return;
    }
    kal_buf_append_cstr(out, "CREATE TABLE ");
    kal_identifier_to_sql(def->namespace_id, out);
    kal_buf_append_byte(out, '.');
    kal_identifier_to_sql(def->table_name, out);
    kal_buf_append_cstr(out, " (\n");
    for (uint32_t i = 0; i < def->column_count; i++) {
        kal_buf_append_cstr(out, i == 0 ? "    " : ",\n    ");
        kal_column_to_sql(&def->columns[i], out);
        partitioned = partitioned || def->columns[i].is_partition_key;
    }
    if (def->key_column_count > 0) {
        kal_buf_append_cstr(out, ",\n    PRIMARY KEY (");
        names_to_sql(def, false, out);
        kal_buf_append_byte(out, ')');
    }
    kal_buf_append_cstr(out, "\n)");
    if (partitioned) {
        kal_buf_append_cstr(out, " PARTITION BY (");
        names_to_sql(def, true, out);
        kal_buf_append_byte(out, ')');
    }
    if (def->comment.ptr != NULL) {
        kal_value comment = kal_value_text(def->comment);
        kal_buf_append_cstr(out, " COMMENT ");
        kal_value_to_sql(&comment, out);
    }
    kal_buf_append_cstr(out, " WITH (");
    kal_table_options_to_sql(&def->options, out);
    kal_buf_append_cstr(out, ")");
}
