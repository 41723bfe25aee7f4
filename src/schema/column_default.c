#include "schema/column_default.h"
#include "base/assert.h"
#include "types/json.h"
#include "types/text.h"

static const struct {
    const char *name;
    uint32_t args_max;
    int64_t low;
    int64_t high;
    kal_type_tag result;
} FUNCTIONS[] = {
#define FUNCTION_ROW(name, text, args, low, high, tag) {text, args, low, high, tag},
    KAL_DEFAULT_FUNCTION_LIST(FUNCTION_ROW)
#undef FUNCTION_ROW
};

kal_status kal_default_function_parse(kal_bytes name, kal_default_function *out, kal_error *err)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(FUNCTIONS); i++) {
        if (kal_bytes_equal_nocase(name, kal_cstr(FUNCTIONS[i].name))) {
            *out = (kal_default_function)i;
            return KAL_OK;
        }
    }
    kal_error_set(err, KAL_SYNTAX, "unknown function '%.*s' in DEFAULT", KAL_FMT(name));
    kal_error_hint(err, "known functions: NOW, CURRENT_TIMESTAMP, SNOWFLAKE_ID, UUID_V7, ULID, "
                        "CURRENT_USER");
    return KAL_SYNTAX;
}

const char *kal_default_function_name(kal_default_function function)
{
    KAL_ASSERT((size_t)function < KAL_ARRAY_LEN(FUNCTIONS));
    return FUNCTIONS[function].name;
}

kal_type kal_default_function_type(kal_default_function function)
{
    KAL_ASSERT((size_t)function < KAL_ARRAY_LEN(FUNCTIONS));
    return kal_type_of(FUNCTIONS[function].result);
}

static kal_status validate_args(const kal_column_default *def, kal_bytes column_name,
                                kal_error *err)
{
    const char *name = FUNCTIONS[def->function].name;
    uint32_t most = FUNCTIONS[def->function].args_max;
    if (def->arg_count > most)
        return kal_error_set(err, KAL_INVALID,
                             "DEFAULT of column '%.*s': %s takes %s%u argument%s, got %u",
                             KAL_FMT(column_name), name, most == 0 ? "" : "at most ", most,
                             most == 1 ? "" : "s", def->arg_count);
    KAL_ASSERT(def->arg_count <= KAL_DEFAULT_ARGS_MAX);
    for (uint32_t i = 0; i < def->arg_count; i++) {
        if (def->args[i] < FUNCTIONS[def->function].low ||
            def->args[i] > FUNCTIONS[def->function].high)
            return kal_error_set(
                err, KAL_INVALID,
                "DEFAULT of column '%.*s': argument of %s must be between %lld and %lld, got %lld",
                KAL_FMT(column_name), name, (long long)FUNCTIONS[def->function].low,
                (long long)FUNCTIONS[def->function].high, (long long)def->args[i]);
    }
    return KAL_OK;
}

static bool function_fits(kal_default_function function, kal_type type)
{
    switch (function) {
    case KAL_FUNCTION_NOW:
    case KAL_FUNCTION_CURRENT_TIMESTAMP:
        return type.tag == KAL_TYPE_TIMESTAMP || type.tag == KAL_TYPE_DATETIME;
    case KAL_FUNCTION_SNOWFLAKE_ID:
        return type.tag == KAL_TYPE_BIGINT;
    case KAL_FUNCTION_UUID_V7:
        return type.tag == KAL_TYPE_TEXT || type.tag == KAL_TYPE_UUID;
    case KAL_FUNCTION_ULID:
    case KAL_FUNCTION_CURRENT_USER:
        return type.tag == KAL_TYPE_TEXT;
    }
    return false;
}

/* A JSON or FILE literal is shown as JSON inside the definition's, so it must be. */
static kal_status validate_json_text(const kal_value *literal, kal_bytes column_name,
                                     kal_error *err)
{
    char type_name[KAL_TYPE_NAME_BYTES];
    kal_json *json = NULL;
    kal_arena scratch; /* owned */

    if (literal->type.tag != KAL_TYPE_JSON && literal->type.tag != KAL_TYPE_FILE)
        return KAL_OK;
    kal_arena_init(&scratch, NULL);
    kal_status status = kal_json_parse(literal->bytes, &scratch, &json, NULL);
    if (status != KAL_OK || (literal->type.tag == KAL_TYPE_FILE && json->kind != KAL_JSON_OBJECT))
        status = kal_error_set(err, KAL_INVALID, "DEFAULT of column '%.*s' is no valid %s",
                               KAL_FMT(column_name), kal_type_name(literal->type, type_name));
    kal_arena_release(&scratch);
    return status;
}

kal_status kal_column_default_validate(const kal_column_default *def, kal_type column_type,
                                       kal_bytes column_name, kal_error *err)
{
    char type_name[KAL_TYPE_NAME_BYTES];
    char other_name[KAL_TYPE_NAME_BYTES];

    switch (def->kind) {
    case KAL_DEFAULT_NONE:
        return KAL_OK;
    case KAL_DEFAULT_LITERAL:
        if (def->literal.is_null || !kal_type_equal(def->literal.type, column_type))
            return kal_error_set(
                err, KAL_INVALID, "DEFAULT of column '%.*s' is %s, the column is %s",
                KAL_FMT(column_name),
                def->literal.is_null ? "NULL" : kal_type_name(def->literal.type, other_name),
                kal_type_name(column_type, type_name));
        KAL_TRY(kal_value_validate(&def->literal, err));
        return validate_json_text(&def->literal, column_name, err);
    case KAL_DEFAULT_FUNCTION:
        KAL_TRY(validate_args(def, column_name, err));
        if (!function_fits(def->function, column_type))
            return kal_error_set(err, KAL_INVALID,
                                 "DEFAULT of column '%.*s': %s cannot fill a column of type %s",
                                 KAL_FMT(column_name), FUNCTIONS[def->function].name,
                                 kal_type_name(column_type, type_name));
        return KAL_OK;
    }
    return kal_error_set(err, KAL_CORRUPT, "unknown kind %d of DEFAULT", (int)def->kind);
}

/* A type with arguments before a string reads as a call, so an embedding is a bare string here: the
 * column says what it is. */
static void literal_to_sql(const kal_value *literal, kal_buf *out)
{
    if (literal->type.tag != KAL_TYPE_EMBEDDING) {
        kal_value_to_sql(literal, out);
        return;
    }
    kal_buf_append_byte(out, '\'');
    kal_value_to_text(literal, out);
    kal_buf_append_byte(out, '\'');
}

void kal_column_default_to_sql(const kal_column_default *def, kal_buf *out)
{
    if (def->kind == KAL_DEFAULT_LITERAL)
        literal_to_sql(&def->literal, out);
    if (def->kind != KAL_DEFAULT_FUNCTION)
        return;
    kal_buf_append_cstr(out, FUNCTIONS[def->function].name);
    kal_buf_append_byte(out, '(');
    for (uint32_t i = 0; i < def->arg_count; i++) {
        if (i > 0)
            kal_buf_append_cstr(out, ", ");
        kal_buf_append_i64_text(out, def->args[i]);
    }
    kal_buf_append_byte(out, ')');
}

void kal_column_default_write_json(const kal_column_default *def, kal_json_writer *w)
{
    if (def->kind == KAL_DEFAULT_NONE) {
        kal_json_cstr(w, "None");
        return;
    }
    kal_json_begin_object(w);
    if (def->kind == KAL_DEFAULT_LITERAL) {
        kal_json_key(w, "Literal");
        if (def->literal.type.tag == KAL_TYPE_BIGINT) /* a plain number here, unlike in replies */
            kal_json_i64(w, def->literal.integer);
        else
            kal_value_write_json(&def->literal, w);
    } else {
        kal_json_key(w, "FunctionCall");
        kal_json_begin_object(w);
        kal_json_key(w, "name");
        kal_json_cstr(w, FUNCTIONS[def->function].name);
        kal_json_key(w, "args");
        kal_json_begin_array(w);
        for (uint32_t i = 0; i < def->arg_count; i++)
            kal_json_i64(w, def->args[i]);
        kal_json_end_array(w);
        kal_json_end_object(w);
    }
    kal_json_end_object(w);
}

static kal_status function_from_json(const kal_json *call, kal_column_default *out, kal_error *err)
{
    const kal_json *name = kal_json_find(call, "name");
    const kal_json *args = kal_json_find(call, "args");

    if (name == NULL || name->kind != KAL_JSON_STRING || args == NULL ||
        args->kind != KAL_JSON_ARRAY)
        return kal_error_set(err, KAL_INVALID, "FunctionCall needs a 'name' and an 'args' array");
    out->kind = KAL_DEFAULT_FUNCTION;
    if (kal_default_function_parse(name->text, &out->function, NULL) != KAL_OK)
        return kal_error_set(err, KAL_INVALID, "unknown function '%.*s' in DEFAULT",
                             KAL_FMT(name->text));
    uint32_t most = FUNCTIONS[out->function].args_max;
    if (args->len > most)
        return kal_error_set(err, KAL_INVALID, "%s takes %s%u argument%s, got %zu",
                             FUNCTIONS[out->function].name, most == 0 ? "" : "at most ", most,
                             most == 1 ? "" : "s", args->len);
    out->arg_count = (uint32_t)args->len;
    for (size_t i = 0; i < args->len; i++) {
        if (args->items[i].kind != KAL_JSON_NUMBER ||
            !kal_parse_i64(args->items[i].text, &out->args[i]))
            return kal_error_set(err, KAL_INVALID, "arguments of %s must be whole numbers",
                                 FUNCTIONS[out->function].name);
    }
    return KAL_OK;
}

static kal_status not_a_default(kal_error *err)
{
    return kal_error_set(err, KAL_INVALID,
                         "a default is \"None\", {\"Literal\":...} or {\"FunctionCall\":...}");
}

kal_status kal_column_default_from_json(const kal_json *json, kal_type column_type,
                                        kal_arena *arena, kal_column_default *out, kal_error *err)
{
    *out = (kal_column_default){0};
    if (json->kind == KAL_JSON_STRING && kal_bytes_equal(json->text, KAL_STR("None")))
        return KAL_OK;
    /* Exactly one of the two: with both, one would be ignored. */
    if (json->kind != KAL_JSON_OBJECT || json->len != 1)
        return not_a_default(err);
    const kal_json *literal = kal_json_find(json, "Literal");
    if (literal != NULL) {
        out->kind = KAL_DEFAULT_LITERAL;
        return kal_value_from_json(column_type, literal, arena, &out->literal, err);
    }
    const kal_json *call = kal_json_find(json, "FunctionCall");
    if (call != NULL)
        return function_from_json(call, out, err);
    return not_a_default(err);
}

void kal_column_default_encode(const kal_column_default *def, kal_buf *out)
{
    kal_buf_append_byte(out, (uint8_t)def->kind);
    if (def->kind == KAL_DEFAULT_LITERAL)
        kal_value_encode(&def->literal, out);
    if (def->kind != KAL_DEFAULT_FUNCTION)
        return;
    /* By name, so that the list may be reordered. */
    const char *name = FUNCTIONS[def->function].name;
    kal_buf_append_le32(out, (uint32_t)strlen(name));
    kal_buf_append_cstr(out, name);
    kal_buf_append_byte(out, (uint8_t)def->arg_count);
    for (uint32_t i = 0; i < def->arg_count; i++)
        kal_buf_append_le64(out, (uint64_t)def->args[i]);
}

kal_status kal_column_default_decode(kal_bytes *input, kal_arena *arena, kal_column_default *out,
                                     kal_error *err)
{
    uint8_t kind = 0;
    uint8_t count = 0;
    kal_bytes name;

    *out = (kal_column_default){0};
    if (!kal_bytes_take_u8(input, &kind) || kind > KAL_DEFAULT_FUNCTION)
        return kal_error_set(err, KAL_CORRUPT, "stored DEFAULT is damaged");
    out->kind = (kal_default_kind)kind;
    if (out->kind == KAL_DEFAULT_LITERAL) {
        kal_value borrowed;
        KAL_TRY(kal_value_decode(input, &borrowed, err));
        if (!kal_value_copy(&borrowed, arena, &out->literal))
            return kal_error_set(err, KAL_LIMIT, "stored DEFAULT is too large");
    }
    if (out->kind != KAL_DEFAULT_FUNCTION)
        return KAL_OK;
    if (!kal_bytes_take_text(input, &name) || !kal_bytes_take_u8(input, &count) ||
        count > KAL_DEFAULT_ARGS_MAX)
        return kal_error_set(err, KAL_CORRUPT, "stored DEFAULT is damaged");
    if (kal_default_function_parse(name, &out->function, NULL) != KAL_OK)
        return kal_error_set(err, KAL_CORRUPT, "stored DEFAULT calls unknown function '%.*s'",
                             KAL_FMT(name));
    out->arg_count = count;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t arg;
        if (!kal_bytes_take_le64(input, &arg))
            return kal_error_set(err, KAL_CORRUPT, "stored DEFAULT is damaged");
        out->args[i] = (int64_t)arg;
    }
    return KAL_OK;
}

bool kal_column_default_equal(const kal_column_default *a, const kal_column_default *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == KAL_DEFAULT_LITERAL)
        return kal_value_identical(&a->literal, &b->literal);
    if (a->kind == KAL_DEFAULT_FUNCTION)
        return a->function == b->function && a->arg_count == b->arg_count &&
               memcmp(a->args, b->args, a->arg_count * sizeof a->args[0]) == 0;
    return true;
}
