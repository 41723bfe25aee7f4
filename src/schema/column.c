#include "schema/column.h"
#include "base/assert.h"
#include "types/json.h"
#include "types/text.h"

#include <stdlib.h>

enum {
    FLAG_NULLABLE = 1,
    FLAG_PRIMARY_KEY = 2,
    FLAG_PARTITION_KEY = 4,
    FLAG_COMMENT = 8,
    FLAG_INITIAL = 16, /* format 2 of the definition and later */
    FLAGS_ALL = 31,
};

/* Words that cannot be a bare name: classes R and F of sql/lexer.h, which lies below this folder
 * (the test sql/definition_sql holds the two lists together). In strcmp() order. */
static const char *const RESERVED[] = {"all",
                                       "analyse",
                                       "analyze",
                                       "and",
                                       "anti",
                                       "any",
                                       "array",
                                       "as",
                                       "asc",
                                       "asof",
                                       "asymmetric",
                                       "at",
                                       "authorization",
                                       "binary",
                                       "both",
                                       "by",
                                       "case",
                                       "cast",
                                       "check",
                                       "collate",
                                       "collation",
                                       "column",
                                       "columns",
                                       "concurrently",
                                       "constraint",
                                       "create",
                                       "cross",
                                       "default",
                                       "deferrable",
                                       "desc",
                                       "describe",
                                       "distinct",
                                       "do",
                                       "else",
                                       "end",
                                       "except",
                                       "false",
                                       "fetch",
                                       "for",
                                       "foreign",
                                       "freeze",
                                       "from",
                                       "full",
                                       "generated",
                                       "glob",
                                       "group",
                                       "having",
                                       "ilike",
                                       "in",
                                       "initially",
                                       "inner",
                                       "intersect",
                                       "into",
                                       "is",
                                       "isnull",
                                       "join",
                                       "lambda",
                                       "lateral",
                                       "leading",
                                       "left",
                                       "like",
                                       "limit",
                                       "map",
                                       "natural",
                                       "not",
                                       "notnull",
                                       "null",
                                       "offset",
                                       "on",
                                       "only",
                                       "or",
                                       "order",
                                       "outer",
                                       "overlaps",
                                       "pivot",
                                       "pivot_longer",
                                       "pivot_wider",
                                       "placing",
                                       "positional",
                                       "primary",
                                       "qualify",
                                       "references",
                                       "returning",
                                       "right",
                                       "select",
                                       "semi",
                                       "show",
                                       "similar",
                                       "some",
                                       "struct",
                                       "summarize",
                                       "symmetric",
                                       "table",
                                       "tablesample",
                                       "then",
                                       "to",
                                       "trailing",
                                       "true",
                                       "try_cast",
                                       "union",
                                       "unique",
                                       "unpack",
                                       "unpivot",
                                       "using",
                                       "variadic",
                                       "verbose",
                                       "when",
                                       "where",
                                       "window",
                                       "with"};

kal_column kal_column_simple(const char *name, uint32_t ordinal, kal_type type)
{
    return (kal_column){.name = kal_cstr(name),
                        .ordinal_position = ordinal,
                        .column_id = ordinal,
                        .type = type,
                        .is_nullable = true};
}

kal_status kal_name_validate(const char *what, kal_bytes name, kal_error *err)
{
    if (name.len == 0)
        return kal_error_set(err, KAL_INVALID, "a %s needs a name", what);
    if (!kal_utf8_valid(name) || memchr(name.ptr, 0, name.len) != NULL)
        return kal_error_set(err, KAL_INVALID, "a %s name is not valid UTF-8 without NUL", what);
    if (name.len > KAL_NAME_BYTES_MAX)
        return kal_error_set(err, KAL_INVALID, "%s name '%.*s' is longer than %d bytes", what,
                             KAL_FMT(name), KAL_NAME_BYTES_MAX);
    return KAL_OK;
}

const kal_column_default *kal_column_default_of(const kal_column *column)
{
    static const kal_column_default NONE = {.kind = KAL_DEFAULT_NONE};
    return column->default_value == NULL ? &NONE : column->default_value;
}

static const kal_column_default *keep_default(const kal_column_default *def, kal_arena *arena)
{
    if (def->kind == KAL_DEFAULT_NONE)
        return NULL;
    kal_column_default *kept = KAL_NEW(arena, kal_column_default);
    *kept = *def;
    return kept;
}

/* The initial default travels in the form of a literal default. */
static kal_column_default initial_as_default(const kal_column *column)
{
    return (kal_column_default){.kind = KAL_DEFAULT_LITERAL, .literal = *column->initial_default};
}

static kal_status initial_from_default(const kal_column_default *def, kal_arena *arena,
                                       kal_column *out, kal_error *err)
{
    if (def->kind != KAL_DEFAULT_LITERAL)
        return kal_error_set(err, KAL_INVALID, "the initial default of a column is a literal");
    kal_value *initial = KAL_NEW(arena, kal_value);
    *initial = def->literal;
    out->initial_default = initial;
    return KAL_OK;
}

kal_status kal_column_validate(const kal_column *column, kal_error *err)
{
    char type_name[KAL_TYPE_NAME_BYTES];

    KAL_TRY(kal_name_validate("column", column->name, err));
    if (column->ordinal_position == 0)
        return kal_error_set(err, KAL_INVALID,
                             "column '%.*s' has ordinal position 0, positions start at 1",
                             KAL_FMT(column->name));
    if (!kal_type_valid(column->type))
        return kal_error_set(err, KAL_INVALID, "column '%.*s' has no valid type",
                             KAL_FMT(column->name));
    if (column->is_primary_key && column->is_nullable)
        return kal_error_set(err, KAL_INVALID, "key column '%.*s' cannot be nullable",
                             KAL_FMT(column->name));
    if (column->is_primary_key && !kal_type_may_be_key(column->type))
        return kal_error_set(err, KAL_INVALID,
                             "column '%.*s' of type %s cannot be part of a primary key",
                             KAL_FMT(column->name), kal_type_name(column->type, type_name));
    if (!kal_utf8_valid(column->comment))
        return kal_error_set(err, KAL_INVALID, "the comment of column '%.*s' is not valid UTF-8",
                             KAL_FMT(column->name));
    if (column->initial_default != NULL) {
        kal_column_default initial = initial_as_default(column);
        KAL_TRY(kal_column_default_validate(&initial, column->type, column->name, err));
    }
    return kal_column_default_validate(kal_column_default_of(column), column->type, column->name,
                                       err);
}

kal_status kal_column_copy(const kal_column *column, kal_arena *arena, kal_column *out,
                           kal_error *err)
{
    kal_column_default def = *kal_column_default_of(column);
    kal_value *initial = NULL;

    *out = *column;
    if (column->comment.ptr != NULL)
        out->comment = kal_arena_copy(arena, column->comment);
    bool copied =
        def.kind != KAL_DEFAULT_LITERAL || kal_value_copy(&def.literal, arena, &def.literal);
    out->default_value = keep_default(&def, arena);
    if (copied && column->initial_default != NULL) {
        initial = KAL_NEW(arena, kal_value);
        copied = kal_value_copy(column->initial_default, arena, initial);
    }
    out->initial_default = initial;
    if (copied)
        return KAL_OK;
    return kal_error_set(err, KAL_LIMIT, "DEFAULT of column '%.*s' is too large",
                         KAL_FMT(column->name));
}

void kal_column_write_json(const kal_column *column, kal_json_writer *w)
{
    kal_json_begin_object(w);
    kal_json_key(w, "column_name");
    kal_json_string(w, column->name);
    kal_json_key(w, "column_id");
    kal_json_u64(w, column->column_id);
    kal_json_key(w, "ordinal_position");
    kal_json_u64(w, column->ordinal_position);
    kal_json_key(w, "data_type");
    kal_type_write_json(column->type, w);
    kal_json_key(w, "is_nullable");
    kal_json_bool(w, column->is_nullable);
    kal_json_key(w, "is_primary_key");
    kal_json_bool(w, column->is_primary_key);
    kal_json_key(w, "is_partition_key");
    kal_json_bool(w, column->is_partition_key);
    kal_json_key(w, "default_value");
    kal_column_default_write_json(kal_column_default_of(column), w);
    if (column->initial_default != NULL) {
        kal_column_default initial = initial_as_default(column);
        kal_json_key(w, "initial_default");
        kal_column_default_write_json(&initial, w);
    }
    kal_json_key(w, "column_comment");
    if (column->comment.ptr == NULL)
        kal_json_null(w);
    else
        kal_json_string(w, column->comment);
    kal_json_end_object(w);
}

static kal_status json_u32(const kal_json *object, const char *key, uint32_t *out, kal_error *err)
{
    const kal_json *json = kal_json_find(object, key);
    int64_t v = 0;
    if (json == NULL || json->kind != KAL_JSON_NUMBER || !kal_parse_i64(json->text, &v) || v < 0 ||
        v > UINT32_MAX)
        return kal_error_set(err, KAL_INVALID, "a column needs a whole number '%s'", key);
    *out = (uint32_t)v;
    return KAL_OK;
}

static kal_status json_bool(const kal_json *object, const char *key, bool *out, kal_error *err)
{
    const kal_json *json = kal_json_find(object, key);
    if (json == NULL || json->kind != KAL_JSON_BOOL)
        return kal_error_set(err, KAL_INVALID, "a column needs '%s' to be true or false", key);
    *out = json->boolean;
    return KAL_OK;
}

kal_status kal_column_from_json(const kal_json *json, kal_arena *arena, kal_column *out,
                                kal_error *err)
{
    const kal_json *name = kal_json_find(json, "column_name");
    const kal_json *type = kal_json_find(json, "data_type");
    const kal_json *def = kal_json_find(json, "default_value");
    const kal_json *comment = kal_json_find(json, "column_comment");

    *out = (kal_column){0};
    if (name == NULL || name->kind != KAL_JSON_STRING || type == NULL || def == NULL)
        return kal_error_set(err, KAL_INVALID,
                             "a column needs 'column_name', 'data_type' and 'default_value'");
    out->name = kal_arena_copy(arena, name->text);
    KAL_TRY(json_u32(json, "column_id", &out->column_id, err));
    KAL_TRY(json_u32(json, "ordinal_position", &out->ordinal_position, err));
    KAL_TRY(kal_type_from_json(type, &out->type, err));
    KAL_TRY(json_bool(json, "is_nullable", &out->is_nullable, err));
    KAL_TRY(json_bool(json, "is_primary_key", &out->is_primary_key, err));
    KAL_TRY(json_bool(json, "is_partition_key", &out->is_partition_key, err));
    kal_column_default value;
    KAL_TRY(kal_column_default_from_json(def, out->type, arena, &value, err));
    out->default_value = keep_default(&value, arena);
    const kal_json *initial = kal_json_find(json, "initial_default");
    if (initial != NULL) {
        KAL_TRY(kal_column_default_from_json(initial, out->type, arena, &value, err));
        KAL_TRY(initial_from_default(&value, arena, out, err));
    }
    if (comment != NULL && comment->kind != KAL_JSON_STRING && comment->kind != KAL_JSON_NULL)
        return kal_error_set(err, KAL_INVALID, "a column needs 'column_comment' as string or null");
    if (comment != NULL && comment->kind == KAL_JSON_STRING)
        out->comment = kal_arena_copy(arena, comment->text);
    return kal_column_validate(out, err);
}

void kal_column_encode(const kal_column *column, kal_buf *out)
{
    uint8_t flags = (uint8_t)((column->is_nullable ? FLAG_NULLABLE : 0) |
                              (column->is_primary_key ? FLAG_PRIMARY_KEY : 0) |
                              (column->is_partition_key ? FLAG_PARTITION_KEY : 0) |
                              (column->comment.ptr != NULL ? FLAG_COMMENT : 0) |
                              (column->initial_default != NULL ? FLAG_INITIAL : 0));
    kal_buf_append_le32(out, (uint32_t)column->name.len);
    kal_buf_append_bytes(out, column->name);
    kal_buf_append_le32(out, column->column_id);
    kal_buf_append_le32(out, column->ordinal_position);
    kal_type_encode(column->type, out);
    kal_buf_append_byte(out, flags);
    kal_column_default_encode(kal_column_default_of(column), out);
    if (column->initial_default != NULL) {
        kal_column_default initial = initial_as_default(column);
        kal_column_default_encode(&initial, out);
    }
    if (column->comment.ptr != NULL) {
        kal_buf_append_le32(out, (uint32_t)column->comment.len);
        kal_buf_append_bytes(out, column->comment);
    }
}

kal_status kal_column_decode(kal_bytes *input, kal_arena *arena, kal_column *out, kal_error *err)
{
    kal_bytes name;
    kal_bytes comment;
    uint8_t flags = 0;

    *out = (kal_column){0};
    if (!kal_bytes_take_text(input, &name) || !kal_bytes_take_le32(input, &out->column_id) ||
        !kal_bytes_take_le32(input, &out->ordinal_position))
        return kal_error_set(err, KAL_CORRUPT, "stored column is damaged");
    out->name = kal_arena_copy(arena, name);
    KAL_TRY(kal_type_decode(input, &out->type, err));
    if (!kal_bytes_take_u8(input, &flags) || (flags & ~FLAGS_ALL) != 0)
        return kal_error_set(err, KAL_CORRUPT, "stored column '%.*s' is damaged", KAL_FMT(name));
    out->is_nullable = (flags & FLAG_NULLABLE) != 0;
    out->is_primary_key = (flags & FLAG_PRIMARY_KEY) != 0;
    out->is_partition_key = (flags & FLAG_PARTITION_KEY) != 0;
    kal_column_default value;
    KAL_TRY(kal_column_default_decode(input, arena, &value, err));
    out->default_value = keep_default(&value, arena);
    if ((flags & FLAG_INITIAL) != 0) {
        kal_column_default initial;
        KAL_TRY(kal_column_default_decode(input, arena, &initial, err));
        if (initial_from_default(&initial, arena, out, NULL) != KAL_OK)
            return kal_error_set(err, KAL_CORRUPT, "stored column '%.*s' is damaged",
                                 KAL_FMT(name));
    }
    if ((flags & FLAG_COMMENT) != 0) {
        if (!kal_bytes_take_text(input, &comment))
            return kal_error_set(err, KAL_CORRUPT, "stored column '%.*s' is damaged",
                                 KAL_FMT(name));
        out->comment = kal_arena_copy(arena, comment);
    }
    return KAL_OK;
}

static int compare_reserved(const void *name, const void *word)
{
    return kal_bytes_compare(*(const kal_bytes *)name, kal_cstr(*(const char *const *)word));
}

static bool is_reserved(kal_bytes name)
{
    return bsearch(&name, RESERVED, KAL_ARRAY_LEN(RESERVED), sizeof RESERVED[0],
                   compare_reserved) != NULL;
}

void kal_identifier_to_sql(kal_bytes name, kal_buf *out)
{
    bool plain = name.len > 0 && ((name.ptr[0] >= 'a' && name.ptr[0] <= 'z') || name.ptr[0] == '_');
    for (size_t i = 0; plain && i < name.len; i++) {
        uint8_t c = name.ptr[i];
        plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    }
    if (plain && !is_reserved(name)) {
        kal_buf_append_bytes(out, name);
        return;
    }
    kal_buf_append_byte(out, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '"')
            kal_buf_append_byte(out, '"');
        kal_buf_append_byte(out, name.ptr[i]);
    }
    kal_buf_append_byte(out, '"');
}

void kal_column_to_sql(const kal_column *column, kal_buf *out)
{
    char type_name[KAL_TYPE_NAME_BYTES];

    kal_identifier_to_sql(column->name, out);
    kal_buf_append_byte(out, ' ');
    kal_buf_append_cstr(out, kal_type_name(column->type, type_name));
    if (!column->is_nullable)
        kal_buf_append_cstr(out, " NOT NULL");
    if (kal_column_has_default(column)) {
        kal_buf_append_cstr(out, " DEFAULT ");
        kal_column_default_to_sql(column->default_value, out);
    }
    if (column->comment.ptr != NULL) {
        kal_value comment = kal_value_text(column->comment);
        kal_buf_append_cstr(out, " COMMENT ");
        kal_value_to_sql(&comment, out);
    }
}
