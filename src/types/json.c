/*
 * json.c: values as JSON cells and back, types as the "data_type" of a reply.
 *
 * A cell that was written by kal_value_write_json() reads back as the same value. What people send
 * is taken more freely, but a number that is not whole is refused for an integer column: the
 * rounding of SQL casts is a surprise in data.
 */
#include "types/json.h"

#include "base/assert.h"
#include "types/text.h"
#include "types/text_internal.h"
#include "types/type_forms.h"

#include <inttypes.h>

/* --- out --- */

static void write_byte_numbers(kal_bytes bytes, kal_json_writer *w)
{
    kal_json_begin_array(w);
    for (size_t i = 0; i < bytes.len; i++)
        kal_json_u64(w, bytes.ptr[i]);
    kal_json_end_array(w);
}

static void write_embedding(kal_bytes embedding, kal_json_writer *w)
{
    kal_json_begin_array(w);
    for (size_t i = 0; i < embedding.len / sizeof(float); i++)
        kal_json_float(w, kal_embedding_get(embedding, i));
    kal_json_end_array(w);
}

/* The text form in quotes, for types whose text needs no escapes: straight into the output. */
static void write_text_form(const kal_value *v, kal_json_writer *w)
{
    kal_json_raw(w, KAL_STR("\""));
    if (v->type.tag == KAL_TYPE_DECIMAL)
        kal_decimal_format(v->decimal, v->type.scale, w->out);
    else
        kal_value_to_text(v, w->out);
    kal_buf_append_byte(w->out, '"');
}

/* The \xAB form, whose backslashes are escaped once more. */
static void write_bytes_text(const kal_value *v, kal_json_writer *w)
{
    kal_buf text;

    kal_buf_init(&text, w->out->budget);
    kal_value_to_text(v, &text);
    if (kal_buf_failed(&text))
        w->out->failed = true;
    kal_json_string(w, kal_buf_bytes(&text));
    kal_buf_release(&text);
}

void kal_value_write_json(const kal_value *v, kal_json_writer *w)
{
    if (v->is_null) {
        kal_json_null(w);
        return;
    }
    switch ((kal_type_tag)v->type.tag) {
    case KAL_TYPE_NULL:
        kal_json_null(w);
        return;
    case KAL_TYPE_BOOLEAN:
        kal_json_bool(w, v->boolean);
        return;
    case KAL_TYPE_SMALLINT:
    case KAL_TYPE_INT:
    case KAL_TYPE_DATE:
    case KAL_TYPE_TIME:
    case KAL_TYPE_TIMESTAMP:
    case KAL_TYPE_DATETIME:
        kal_json_i64(w, v->integer);
        return;
    case KAL_TYPE_DOUBLE:
        kal_json_double(w, v->f64);
        return;
    case KAL_TYPE_FLOAT:
        kal_json_float(w, v->f32);
        return;
    case KAL_TYPE_BIGINT:
    case KAL_TYPE_DECIMAL:
    case KAL_TYPE_UUID:
        write_text_form(v, w);
        return;
    case KAL_TYPE_TEXT:
    case KAL_TYPE_JSON:
        kal_json_string(w, v->bytes);
        return;
    case KAL_TYPE_FILE:
        kal_json_raw(w, v->bytes);
        return;
    case KAL_TYPE_BYTES:
        write_byte_numbers(v->bytes, w);
        return;
    case KAL_TYPE_EMBEDDING:
        write_embedding(v->bytes, w);
        return;
    }
}

void kal_value_write_json_cast(const kal_value *v, kal_json_writer *w)
{
    switch ((kal_type_tag)v->type.tag) {
    case KAL_TYPE_BIGINT:
        kal_json_i64(w, v->integer);
        return;
    case KAL_TYPE_DECIMAL:
        kal_json_raw(w, KAL_STR(""));
        kal_decimal_format(v->decimal, v->type.scale, w->out);
        return;
    case KAL_TYPE_DATE:
    case KAL_TYPE_TIME:
    case KAL_TYPE_TIMESTAMP:
    case KAL_TYPE_DATETIME:
        write_text_form(v, w);
        return;
    case KAL_TYPE_BYTES:
        write_bytes_text(v, w);
        return;
    default:
        kal_value_write_json(v, w);
        return;
    }
}

/* --- JSON text --- */

kal_status kal_json_text_failed(const kal_error *inner, kal_error *err)
{
    if (inner->position < 0)
        return kal_error_set(err, inner->status, "%s", inner->message);
    return kal_error_set(err, inner->status, "%s (at byte %" PRId64 " of the JSON text)",
                         inner->message, inner->position);
}

static kal_status check_json_text(kal_bytes text, kal_budget *budget, kal_error *err)
{
    kal_arena scratch;
    kal_error inner = KAL_ERROR_INIT;
    kal_status status;

    kal_arena_init(&scratch, budget);
    status = kal_json_check(text, &scratch, &inner);
    kal_arena_release(&scratch);
    return status == KAL_OK ? KAL_OK : kal_json_text_failed(&inner, err);
}

/* A tree as compact text in the arena. */
static kal_status text_of_tree(kal_type type, const kal_json *json, kal_arena *arena,
                               kal_value *value_out, kal_error *err)
{
    kal_buf text;
    kal_json_writer w;

    kal_buf_init(&text, arena->budget);
    kal_json_writer_init(&w, &text);
    kal_json_write_tree(json, &w);
    return kal_value_finish(&text, arena, type, value_out, err);
}

static kal_status file_from_json(kal_type type, const kal_json *json, kal_arena *arena,
                                 kal_value *value_out, kal_error *err)
{
    char name[KAL_TYPE_NAME_BYTES];
    if (json->kind != KAL_JSON_OBJECT)
        return kal_error_set(err, KAL_INVALID, "%s must be a JSON object, not %s",
                             kal_type_name(type, name), kal_json_kind_name(json->kind));
    return text_of_tree(type, json, arena, value_out, err);
}

kal_status kal_json_value_from_text(kal_type type, kal_bytes text, kal_arena *arena,
                                    kal_value *value_out, kal_error *err)
{
    kal_arena scratch;
    kal_error inner = KAL_ERROR_INIT;
    kal_json *json;
    kal_status status;

    if (type.tag == KAL_TYPE_JSON) {
        KAL_TRY(check_json_text(text, arena->budget, err));
        *value_out = kal_value_bytes(type, text);
        return KAL_OK;
    }
    kal_arena_init(&scratch, arena->budget);
    status = kal_json_parse(text, &scratch, &json, &inner);
    if (status != KAL_OK)
        status = kal_json_text_failed(&inner, err);
    else
        status = file_from_json(type, json, arena, value_out, err);
    kal_arena_release(&scratch);
    return status;
}

/* --- in --- */

static kal_status cannot_convert(kal_type type, const kal_json *json, kal_error *err)
{
    char name[KAL_TYPE_NAME_BYTES];
    return kal_error_set(err, KAL_INVALID, "cannot convert a JSON %s to %s",
                         kal_json_kind_name(json->kind), kal_type_name(type, name));
}

static bool is_finite_value(const kal_value *v)
{
    if (v->type.tag == KAL_TYPE_DOUBLE)
        return v->f64 - v->f64 == 0;
    return v->type.tag != KAL_TYPE_FLOAT || v->f32 - v->f32 == 0;
}

/* Numbers of temporal types count their own unit; other numbers are read as text would be. */
static kal_status value_from_number(kal_type type, const kal_json *json, kal_arena *arena,
                                    kal_value *value_out, kal_error *err)
{
    kal_number number;
    bool is_count = kal_type_is_integer(type) || type.tag == KAL_TYPE_DATE ||
                    type.tag == KAL_TYPE_TIME || type.tag == KAL_TYPE_TIMESTAMP ||
                    type.tag == KAL_TYPE_DATETIME;

    if (!is_count && !kal_type_is_numeric(type) && type.tag != KAL_TYPE_BOOLEAN)
        return cannot_convert(type, json, err);
    if (!is_count) {
        KAL_TRY(kal_value_from_text(type, json->text, arena, value_out, err));
        /* JSON has no infinity, so a number that became one was too large. */
        return is_finite_value(value_out) ? KAL_OK : kal_out_of_range(type, json->text, err);
    }
    if (!kal_number_scan(json->text, false, &number) || !kal_number_is_integral(&number))
        return kal_parse_failed(KAL_PARSE_FORMAT, type, json->text, err);
    if (kal_type_is_integer(type))
        return kal_value_from_text(type, json->text, arena, value_out, err);
    *value_out = (kal_value){.type = type};
    if (kal_integer_parse(json->text, INT64_MIN, INT64_MAX, &value_out->integer) != KAL_PARSE_OK ||
        !kal_temporal_in_range(type.tag, value_out->integer))
        return kal_out_of_range(type, json->text, err);
    return KAL_OK;
}

static int base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* RFC 4648 section 4, padded; bits that carry nothing must be 0. */
static kal_parse parse_base64(kal_bytes text, kal_arena *arena, kal_bytes *out)
{
    uint8_t *bytes;
    size_t len = 0;
    size_t padding = 0;
    uint32_t bits = 0;

    if (text.len % 4 != 0)
        return KAL_PARSE_FORMAT;
    while (padding < 2 && padding < text.len && text.ptr[text.len - 1 - padding] == '=')
        padding++;
    bytes = kal_arena_try_alloc(arena, text.len / 4 * 3);
    if (bytes == NULL)
        return KAL_PARSE_MEMORY;
    for (size_t i = 0; i < text.len; i++) {
        int digit = i < text.len - padding ? base64_digit(text.ptr[i]) : 0;
        if (digit < 0)
            return KAL_PARSE_FORMAT;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 == 3) {
            bytes[len++] = (uint8_t)(bits >> 16);
            bytes[len++] = (uint8_t)(bits >> 8);
            bytes[len++] = (uint8_t)bits;
        }
    }
    for (size_t i = 0; i < padding; i++)
        if (bytes[--len] != 0)
            return KAL_PARSE_FORMAT;
    *out = kal_bytes_of(bytes, len);
    return KAL_PARSE_OK;
}

/* 0x and hex digits, else base64. */
static kal_status bytes_from_string(kal_type type, kal_bytes text, kal_arena *arena,
                                    kal_value *value_out, kal_error *err)
{
    kal_parse parsed = KAL_PARSE_FORMAT;
    kal_bytes bytes;

    if (kal_bytes_starts_with(text, KAL_STR("0x")))
        parsed = kal_base16_parse(kal_bytes_of(text.ptr + 2, text.len - 2), arena, &bytes);
    if (parsed == KAL_PARSE_FORMAT)
        parsed = parse_base64(text, arena, &bytes);
    if (parsed != KAL_PARSE_OK) {
        (void)kal_parse_failed(parsed, type, text, err);
        if (parsed == KAL_PARSE_FORMAT)
            kal_error_hint(err, "send an array of byte numbers, 0x and hex digits, or base64");
        return parsed == KAL_PARSE_MEMORY ? KAL_LIMIT : KAL_INVALID;
    }
    *value_out = kal_value_bytes(type, bytes);
    return KAL_OK;
}

static kal_status bytes_from_array(kal_type type, const kal_json *json, kal_arena *arena,
                                   kal_value *value_out, kal_error *err)
{
    uint8_t *bytes;

    KAL_TRY(kal_value_room(arena, json->len, &bytes, err));
    for (size_t i = 0; i < json->len; i++) {
        kal_number number;
        int64_t byte;
        if (json->items[i].kind != KAL_JSON_NUMBER ||
            !kal_number_scan(json->items[i].text, false, &number) ||
            !kal_number_is_integral(&number) ||
            kal_integer_parse(json->items[i].text, 0, UINT8_MAX, &byte) != KAL_PARSE_OK)
            return kal_error_set(err, KAL_INVALID, "element %zu is not a byte number (0 to 255)",
                                 i + 1);
        bytes[i] = (uint8_t)byte;
    }
    *value_out = kal_value_bytes(type, kal_bytes_of(bytes, json->len));
    return KAL_OK;
}

static kal_status embedding_from_array(kal_type type, const kal_json *json, kal_arena *arena,
                                       kal_value *value_out, kal_error *err)
{
    uint8_t *bytes;

    if (json->len != type.dim)
        return kal_embedding_length_wrong(type, json->len, err);
    KAL_TRY(kal_value_room(arena, json->len * sizeof(float), &bytes, err));
    for (size_t i = 0; i < json->len; i++) {
        const kal_json *item = &json->items[i];
        kal_parse parsed = KAL_PARSE_FORMAT;
        float f = 0;
        if (item->kind == KAL_JSON_NUMBER || item->kind == KAL_JSON_STRING)
            parsed = kal_float_parse(item->text, true, arena, &f);
        if (parsed == KAL_PARSE_FORMAT)
            return kal_error_set(err, KAL_INVALID, "element %zu of the embedding is not a number",
                                 i + 1);
        if (parsed != KAL_PARSE_OK)
            return kal_parse_failed(parsed, kal_type_of(KAL_TYPE_FLOAT), item->text, err);
        memcpy(bytes + i * sizeof(float), &f, sizeof f);
    }
    *value_out = kal_value_bytes(type, kal_bytes_of(bytes, json->len * sizeof(float)));
    return KAL_OK;
}

kal_status kal_value_from_json(kal_type type, const kal_json *json, kal_arena *arena,
                               kal_value *value_out, kal_error *err)
{
    *value_out = kal_value_null(type);
    if (json->kind == KAL_JSON_NULL)
        return KAL_OK;
    if (type.tag == KAL_TYPE_FILE && json->kind != KAL_JSON_STRING)
        return file_from_json(type, json, arena, value_out, err);
    if (type.tag == KAL_TYPE_BYTES && json->kind == KAL_JSON_STRING)
        return bytes_from_string(type, json->text, arena, value_out, err);
    if (json->kind == KAL_JSON_STRING)
        return kal_value_from_text(type, json->text, arena, value_out, err);
    /* Whatever is not a string is JSON already; a TEXT takes it as it is written. */
    if (type.tag == KAL_TYPE_JSON || type.tag == KAL_TYPE_TEXT)
        return text_of_tree(type, json, arena, value_out, err);
    if (json->kind == KAL_JSON_ARRAY && type.tag == KAL_TYPE_EMBEDDING)
        return embedding_from_array(type, json, arena, value_out, err);
    if (json->kind == KAL_JSON_ARRAY && type.tag == KAL_TYPE_BYTES)
        return bytes_from_array(type, json, arena, value_out, err);
    if (json->kind == KAL_JSON_NUMBER)
        return value_from_number(type, json, arena, value_out, err);
    if (json->kind == KAL_JSON_BOOL && type.tag == KAL_TYPE_BOOLEAN) {
        *value_out = kal_value_boolean(json->boolean);
        return KAL_OK;
    }
    return cannot_convert(type, json, err);
}

/* --- parameters --- */

/* The type that a number written so has as an SQL literal: DECIMAL of its digits, DOUBLE with an
 * exponent or more digits than a DECIMAL holds. */
static kal_type written_type(kal_bytes text)
{
    unsigned digits = 0;
    unsigned scale = 0;
    bool is_fraction = false;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '.') {
            is_fraction = true;
        } else if (text.ptr[i] >= '0' && text.ptr[i] <= '9') {
            digits++;
            scale += is_fraction;
        } else if (i > 0) {
            return kal_type_of(KAL_TYPE_DOUBLE);
        }
        if (digits > KAL_DECIMAL_PRECISION_MAX)
            return kal_type_of(KAL_TYPE_DOUBLE);
    }
    return kal_type_decimal(digits, scale);
}

static kal_status number_param(const kal_json *json, kal_arena *arena, kal_value *value_out,
                               kal_error *err)
{
    kal_type type = written_type(json->text);
    int64_t v;

    if (type.tag != KAL_TYPE_DECIMAL || type.scale > 0 ||
        kal_integer_parse(json->text, INT64_MIN, INT64_MAX, &v) != KAL_PARSE_OK)
        return value_from_number(type, json, arena, value_out, err);
    *value_out = kal_value_bigint(v);
    return KAL_OK;
}

kal_status kal_value_from_json_param(const kal_json *json, kal_arena *arena, kal_value *value_out,
                                     kal_error *err)
{
    *value_out = kal_value_null(kal_type_of(KAL_TYPE_NULL));
    switch (json->kind) {
    case KAL_JSON_NULL:
        return KAL_OK;
    case KAL_JSON_BOOL:
        *value_out = kal_value_boolean(json->boolean);
        return KAL_OK;
    case KAL_JSON_NUMBER:
        return number_param(json, arena, value_out, err);
    case KAL_JSON_STRING:
        *value_out = kal_value_text(json->text);
        return KAL_OK;
    case KAL_JSON_ARRAY:
    case KAL_JSON_OBJECT:
        return text_of_tree(kal_type_of(KAL_TYPE_JSON), json, arena, value_out, err);
    }
    return KAL_OK;
}

kal_status kal_value_from_json_peer(kal_type type, const kal_json *json, const kal_value *param,
                                    kal_arena *arena, kal_value *value_out, kal_error *err)
{
    kal_error ignored = KAL_ERROR_INIT;
    bool is_number = json->kind == KAL_JSON_NUMBER;

    *value_out = *param;
    switch ((kal_type_tag)type.tag) {
    case KAL_TYPE_BYTES:
        return param->is_null ? KAL_OK : kal_value_from_json(type, json, arena, value_out, err);
    case KAL_TYPE_DATE:
    case KAL_TYPE_TIME:
    case KAL_TYPE_TIMESTAMP:
    case KAL_TYPE_DATETIME:
        return is_number ? kal_value_from_json(type, json, arena, value_out, err) : KAL_OK;
    case KAL_TYPE_FLOAT:
    case KAL_TYPE_DOUBLE:
        /* One too large for the type can still be compared with it. */
        if (is_number && kal_value_from_json(type, json, arena, value_out, &ignored) != KAL_OK)
            *value_out = *param;
        return KAL_OK;
    default:
        return KAL_OK;
    }
}

/* --- types --- */

void kal_type_write_json(kal_type type, kal_json_writer *w)
{
    kal_type_forms scratch;
    const kal_type_forms *forms = kal_type_forms_of(type, &scratch);
    kal_json_raw(w, kal_bytes_of(forms->reply_json, forms->reply_json_len));
}

/* The tag with this name in replies, or KAL_TYPE_NULL. */
static kal_type_tag find_reply_name(kal_bytes name)
{
#define KAL_MATCH_NAME(upper, tag, sql, reply, fixed, key)                                         \
    if (kal_bytes_equal(name, KAL_STR(reply)))                                                     \
        return KAL_TYPE_##upper;
    KAL_TYPE_LIST(KAL_MATCH_NAME)
#undef KAL_MATCH_NAME
    return KAL_TYPE_NULL;
}

/* A whole number 0..max; false for anything else, NULL included. */
static bool read_parameter(const kal_json *json, int64_t max, int64_t *out)
{
    return json != NULL && json->kind == KAL_JSON_NUMBER &&
           kal_integer_parse(json->text, 0, max, out) == KAL_PARSE_OK;
}

/* {"Embedding":384} or {"Decimal":{...}} */
static bool read_parameterised(const kal_json *json, kal_type *type_out)
{
    int64_t precision;
    int64_t scale;
    int64_t dim;

    switch (find_reply_name(json->keys[0])) {
    case KAL_TYPE_EMBEDDING:
        if (!read_parameter(&json->items[0], KAL_EMBEDDING_DIM_MAX, &dim))
            return false;
        *type_out = kal_type_embedding((uint32_t)dim);
        return true;
    case KAL_TYPE_DECIMAL:
        if (!read_parameter(kal_json_find(&json->items[0], "precision"), KAL_DECIMAL_PRECISION_MAX,
                            &precision) ||
            !read_parameter(kal_json_find(&json->items[0], "scale"), KAL_DECIMAL_PRECISION_MAX,
                            &scale))
            return false;
        *type_out = kal_type_decimal((unsigned)precision, (unsigned)scale);
        return true;
    default:
        return false;
    }
}

static void write_flags(bool is_key, bool is_not_null, kal_json_writer *w)
{
    if (!is_key && !is_not_null)
        return;
    kal_json_key(w, "flags");
    kal_json_begin_array(w);
    if (is_key)
        kal_json_cstr(w, "pk");
    if (is_not_null)
        kal_json_cstr(w, "nn");
    if (is_key)
        kal_json_cstr(w, "uq");
    kal_json_end_array(w);
}

void kal_result_column_write_json(kal_bytes name, kal_type type, size_t index, bool is_key,
                                  bool is_not_null, kal_json_writer *w)
{
    kal_json_begin_object(w);
    kal_json_key(w, "name");
    kal_json_string(w, name);
    kal_json_key(w, "data_type");
    kal_type_write_json(type, w);
    kal_json_key(w, "index");
    kal_json_u64(w, index);
    write_flags(is_key, is_not_null, w);
    kal_json_end_object(w);
}

kal_status kal_type_from_json(const kal_json *json, kal_type *type_out, kal_error *err)
{
    bool known = false;

    *type_out = kal_type_of(KAL_TYPE_NULL);
    if (json->kind == KAL_JSON_STRING) {
        *type_out = kal_type_of(find_reply_name(json->text));
        known = true;
    } else if (json->kind == KAL_JSON_OBJECT && json->len == 1) {
        known = read_parameterised(json, type_out);
    }
    /* "Embedding" without its dimension is no valid type either. */
    if (!known || !kal_type_valid(*type_out))
        return kal_error_set(err, KAL_INVALID, "the JSON %s is not a data type",
                             kal_json_kind_name(json->kind));
    return KAL_OK;
}
