/*
 * text.c: values as text and as SQL literals, by type; numbers and times are in decimal.c and
 * temporal.c.
 *
 * What is read back from the printed form of a value is the value, bit for bit (NaN payloads
 * aside). BYTES needs one care for that: a text that begins with 0x is base16, so bytes that begin
 * so are printed with their first byte escaped.
 */
#include "types/text.h"

#include "base/json_writer.h"
#include "types/text_internal.h"

#include <inttypes.h>
#include <stdio.h>

#define QUOTED_BYTES_MAX 64
#define UUID_BYTES       16
#define FLOAT_BYTES      4

/* --- errors --- */

/* The beginning of a text, on one line, for a message; what is not UTF-8 by question marks. */
static void shorten(kal_bytes text, char out[QUOTED_BYTES_MAX + 4])
{
    size_t len = text.len <= QUOTED_BYTES_MAX ? text.len : QUOTED_BYTES_MAX;

    /* Cut before a character, not inside it. */
    while (len < text.len && len > 0 && (text.ptr[len] & 0xC0) == 0x80)
        len--;
    bool is_utf8 = kal_utf8_valid(kal_bytes_of(text.ptr, len));
    for (size_t i = 0; i < len; i++) {
        uint8_t c = text.ptr[i];
        out[i] = c < 0x20 || c == 0x7F || (c >= 0x80 && !is_utf8) ? '?' : (char)c;
    }
    snprintf(out + len, 4, "%s", len < text.len ? "..." : "");
}

void kal_integer_range(kal_type_tag tag, int64_t *min_out, int64_t *max_out)
{
    *min_out = tag == KAL_TYPE_SMALLINT ? INT16_MIN : tag == KAL_TYPE_INT ? INT32_MIN : INT64_MIN;
    *max_out = tag == KAL_TYPE_SMALLINT ? INT16_MAX : tag == KAL_TYPE_INT ? INT32_MAX : INT64_MAX;
}

kal_status kal_out_of_range(kal_type type, kal_bytes value_text, kal_error *err)
{
    char shown[QUOTED_BYTES_MAX + 4];
    char name[KAL_TYPE_NAME_BYTES];
    int64_t min;
    int64_t max;

    shorten(value_text, shown);
    if (!kal_type_is_integer(type))
        return kal_error_set(err, KAL_INVALID, "value %s is out of range for %s", shown,
                             kal_type_name(type, name));
    kal_integer_range(type.tag, &min, &max);
    return kal_error_set(err, KAL_INVALID,
                         "value %s is out of range for %s (%" PRId64 " to %" PRId64 ")", shown,
                         kal_type_name(type, name), min, max);
}

kal_status kal_no_memory_for(size_t size_bytes, kal_error *err)
{
    return kal_error_set(err, KAL_LIMIT, "a value of %zu bytes exceeds the memory of the statement",
                         size_bytes);
}

kal_status kal_parse_failed(kal_parse failure, kal_type type, kal_bytes text, kal_error *err)
{
    char shown[QUOTED_BYTES_MAX + 4];
    char name[KAL_TYPE_NAME_BYTES];

    if (failure == KAL_PARSE_RANGE)
        return kal_out_of_range(type, text, err);
    if (failure == KAL_PARSE_MEMORY)
        return kal_no_memory_for(text.len, err);
    shorten(text, shown);
    kal_error_set(err, KAL_INVALID, "'%s' is not a valid %s", shown, kal_type_name(type, name));
    if (failure == KAL_PARSE_ZONE)
        kal_error_hint(err, "write a time zone as Z, UTC or an offset such as +02:00");
    return KAL_INVALID;
}

kal_status kal_embedding_length_wrong(kal_type type, size_t count, kal_error *err)
{
    return kal_error_set(err, KAL_INVALID, "expected an embedding of %" PRIu32 " numbers, got %zu",
                         type.dim, count);
}

kal_status kal_value_room(kal_arena *arena, size_t size, uint8_t **out, kal_error *err)
{
    *out = kal_arena_try_alloc(arena, size);
    return *out == NULL ? kal_no_memory_for(size, err) : KAL_OK;
}

kal_status kal_value_finish(kal_buf *buf, kal_arena *arena, kal_type type, kal_value *value_out,
                            kal_error *err)
{
    kal_bytes copy;
    kal_status status = KAL_OK;

    if (kal_buf_failed(buf) || !kal_arena_try_copy(arena, kal_buf_bytes(buf), &copy))
        status = kal_no_memory_for(buf->len, err);
    else
        *value_out = kal_value_bytes(type, copy);
    kal_buf_release(buf);
    return status;
}

/* --- reading --- */

static bool is_any_of(kal_bytes text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (kal_bytes_equal_nocase(text, kal_cstr(*words)))
            return true;
    return false;
}

static kal_parse parse_boolean(kal_bytes text, bool *out)
{
    static const char *const true_words[] = {"true", "t", "yes", "y", "1", NULL};
    static const char *const false_words[] = {"false", "f", "no", "n", "0", NULL};

    *out = is_any_of(text, true_words);
    return *out || is_any_of(text, false_words) ? KAL_PARSE_OK : KAL_PARSE_FORMAT;
}

static kal_parse parse_decimal(kal_type type, kal_bytes text, kal_i128 *out)
{
    kal_number number;
    kal_parse parsed;

    if (!kal_number_scan(text, false, &number))
        return KAL_PARSE_FORMAT;
    parsed = kal_number_scaled(&number, type.scale, out);
    if (parsed != KAL_PARSE_OK)
        return parsed;
    return *out < kal_pow10(type.precision) && *out > -kal_pow10(type.precision) ? KAL_PARSE_OK
                                                                                 : KAL_PARSE_RANGE;
}

/* 32 hex digits with '-' anywhere between, optionally in braces, as DuckDB takes them. */
static kal_parse parse_uuid(kal_bytes text, kal_arena *arena, kal_bytes *out)
{
    uint8_t *bytes = kal_arena_alloc(arena, UUID_BYTES);
    size_t count = 0;

    if (text.len >= 2 && text.ptr[0] == '{' && text.ptr[text.len - 1] == '}')
        text = kal_bytes_of(text.ptr + 1, text.len - 2);
    for (size_t i = 0; i < text.len; i++) {
        int digit = kal_hex_digit(text.ptr[i]);
        if (text.ptr[i] == '-')
            continue;
        if (digit < 0 || count == 2 * UUID_BYTES)
            return KAL_PARSE_FORMAT;
        bytes[count / 2] = (uint8_t)(bytes[count / 2] << 4 | digit);
        count++;
    }
    *out = kal_bytes_of(bytes, UUID_BYTES);
    return count == 2 * UUID_BYTES ? KAL_PARSE_OK : KAL_PARSE_FORMAT;
}

kal_parse kal_base16_parse(kal_bytes digits, kal_arena *arena, kal_bytes *out)
{
    uint8_t *bytes;

    if (digits.len % 2 != 0)
        return KAL_PARSE_FORMAT;
    for (size_t i = 0; i < digits.len; i++)
        if (kal_hex_digit(digits.ptr[i]) < 0)
            return KAL_PARSE_FORMAT;
    bytes = kal_arena_try_alloc(arena, digits.len / 2);
    if (bytes == NULL)
        return KAL_PARSE_MEMORY;
    for (size_t i = 0; i < digits.len / 2; i++)
        bytes[i] =
            (uint8_t)(kal_hex_digit(digits.ptr[2 * i]) << 4 | kal_hex_digit(digits.ptr[2 * i + 1]));
    *out = kal_bytes_of(bytes, digits.len / 2);
    return KAL_PARSE_OK;
}

/* ASCII with \xAB escapes; any other backslash and any byte beyond ASCII is refused. */
static kal_parse parse_escaped_bytes(kal_bytes text, kal_arena *arena, kal_bytes *out)
{
    uint8_t *bytes = kal_arena_try_alloc(arena, text.len);
    size_t len = 0;

    if (bytes == NULL)
        return KAL_PARSE_MEMORY;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c > 0x7F)
            return KAL_PARSE_FORMAT;
        if (c == '\\') {
            int high = i + 3 < text.len ? kal_hex_digit(text.ptr[i + 2]) : -1;
            int low = i + 3 < text.len ? kal_hex_digit(text.ptr[i + 3]) : -1;
            if (high < 0 || low < 0 || text.ptr[i + 1] != 'x')
                return KAL_PARSE_FORMAT;
            c = (uint8_t)(high << 4 | low);
            i += 3;
        }
        bytes[len++] = c;
    }
    *out = kal_bytes_of(bytes, len);
    return KAL_PARSE_OK;
}

static kal_parse parse_bytes(kal_bytes text, kal_arena *arena, kal_bytes *out)
{
    if (kal_bytes_starts_with(text, KAL_STR("0x")))
        return kal_base16_parse(kal_bytes_of(text.ptr + 2, text.len - 2), arena, out);
    return parse_escaped_bytes(text, arena, out);
}

static kal_bytes trim(kal_bytes text)
{
    while (text.len > 0 && kal_is_space(text.ptr[0]))
        text = kal_bytes_of(text.ptr + 1, text.len - 1);
    while (text.len > 0 && kal_is_space(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

/* An element of an embedding's text, maybe in quotes. */
static kal_parse parse_element(kal_bytes text, kal_arena *arena, float *out)
{
    text = trim(text);
    if (text.len >= 2 && (text.ptr[0] == '"' || text.ptr[0] == '\'') &&
        text.ptr[text.len - 1] == text.ptr[0])
        text = kal_bytes_of(text.ptr + 1, text.len - 2);
    return kal_float_parse(text, true, arena, out);
}

/* The text inside [ ], or false. */
static bool inside_brackets(kal_bytes text, kal_bytes *out)
{
    text = trim(text);
    if (text.len < 2 || text.ptr[0] != '[' || text.ptr[text.len - 1] != ']')
        return false;
    *out = kal_bytes_of(text.ptr + 1, text.len - 2);
    return true;
}

static size_t count_elements(kal_bytes inside)
{
    size_t commas = 0;
    for (size_t i = 0; i < inside.len; i++)
        commas += inside.ptr[i] == ',';
    return trim(inside).len == 0 ? 0 : commas + 1;
}

static kal_status embedding_from_text(kal_type type, kal_bytes text, kal_arena *arena,
                                      kal_value *value_out, kal_error *err)
{
    kal_bytes rest;
    uint8_t *bytes;

    if (!inside_brackets(text, &rest))
        return kal_parse_failed(KAL_PARSE_FORMAT, type, text, err);
    if (count_elements(rest) != type.dim)
        return kal_embedding_length_wrong(type, count_elements(rest), err);
    KAL_TRY(kal_value_room(arena, (size_t)type.dim * FLOAT_BYTES, &bytes, err));
    for (uint32_t i = 0; i < type.dim; i++) {
        const uint8_t *comma = memchr(rest.ptr, ',', rest.len);
        size_t len = comma == NULL ? rest.len : (size_t)(comma - rest.ptr);
        kal_bytes element = kal_bytes_of(rest.ptr, len);
        float f;
        kal_parse parsed = parse_element(element, arena, &f);
        if (parsed != KAL_PARSE_OK)
            return kal_parse_failed(parsed, kal_type_of(KAL_TYPE_FLOAT), trim(element), err);
        memcpy(bytes + (size_t)i * FLOAT_BYTES, &f, FLOAT_BYTES);
        if (comma != NULL)
            rest = kal_bytes_of(comma + 1, rest.len - len - 1);
    }
    *value_out = kal_value_bytes(type, kal_bytes_of(bytes, (size_t)type.dim * FLOAT_BYTES));
    return KAL_OK;
}

static kal_parse parse_fixed(kal_type type, kal_bytes text, kal_arena *arena, kal_value *v)
{
    int64_t min;
    int64_t max;

    switch (type.tag) {
    case KAL_TYPE_BOOLEAN:
        return parse_boolean(text, &v->boolean);
    case KAL_TYPE_SMALLINT:
    case KAL_TYPE_INT:
    case KAL_TYPE_BIGINT:
        kal_integer_range(type.tag, &min, &max);
        return kal_integer_parse(text, min, max, &v->integer);
    case KAL_TYPE_DOUBLE:
        return kal_double_parse(text, false, arena, &v->f64);
    case KAL_TYPE_FLOAT:
        return kal_float_parse(text, false, arena, &v->f32);
    case KAL_TYPE_DECIMAL:
        return parse_decimal(type, text, &v->decimal);
    case KAL_TYPE_DATE:
        return kal_date_parse(text, &v->integer);
    case KAL_TYPE_TIME:
        return kal_time_parse(text, &v->integer);
    case KAL_TYPE_TIMESTAMP:
        return kal_instant_parse(text, false, &v->integer);
    case KAL_TYPE_DATETIME:
        return kal_instant_parse(text, true, &v->integer);
    case KAL_TYPE_UUID:
        return parse_uuid(text, arena, &v->bytes);
    case KAL_TYPE_BYTES:
        return parse_bytes(text, arena, &v->bytes);
    case KAL_TYPE_TEXT:
        v->bytes = text;
        return kal_utf8_valid(text) ? KAL_PARSE_OK : KAL_PARSE_FORMAT;
    default:
        return KAL_PARSE_FORMAT;
    }
}

kal_status kal_value_from_text(kal_type type, kal_bytes text, kal_arena *arena,
                               kal_value *value_out, kal_error *err)
{
    kal_parse parsed;

    *value_out = (kal_value){.type = type};
    if (type.tag == KAL_TYPE_EMBEDDING)
        return embedding_from_text(type, text, arena, value_out, err);
    if (type.tag == KAL_TYPE_JSON || type.tag == KAL_TYPE_FILE)
        return kal_json_value_from_text(type, text, arena, value_out, err);
    parsed = parse_fixed(type, text, arena, value_out);
    if (parsed == KAL_PARSE_FORMAT && type.tag == KAL_TYPE_TEXT)
        return kal_error_set(err, KAL_INVALID, "the text is not valid UTF-8");
    return parsed == KAL_PARSE_OK ? KAL_OK : kal_parse_failed(parsed, type, text, err);
}

/* --- printing --- */

static const char hex_digits[] = "0123456789abcdef";
static const char upper_hex_digits[] = "0123456789ABCDEF";

static void append_uuid(kal_bytes uuid, kal_buf *out)
{
    for (size_t i = 0; i < uuid.len; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            kal_buf_append_byte(out, '-');
        kal_buf_append_byte(out, (uint8_t)hex_digits[uuid.ptr[i] >> 4]);
        kal_buf_append_byte(out, (uint8_t)hex_digits[uuid.ptr[i] & 15]);
    }
}

static bool is_plain_byte(uint8_t c)
{
    return c >= 0x20 && c <= 0x7E && c != '\\' && c != '\'' && c != '"';
}

static void append_bytes(kal_bytes bytes, kal_buf *out)
{
    bool looks_base16 = kal_bytes_starts_with(bytes, KAL_STR("0x"));

    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t c = bytes.ptr[i];
        if (is_plain_byte(c) && !(i == 0 && looks_base16)) {
            kal_buf_append_byte(out, c);
        } else {
            kal_buf_append(out, "\\x", 2);
            kal_buf_append_byte(out, (uint8_t)upper_hex_digits[c >> 4]);
            kal_buf_append_byte(out, (uint8_t)upper_hex_digits[c & 15]);
        }
    }
}

float kal_embedding_get(kal_bytes embedding, size_t i)
{
    float f;
    memcpy(&f, embedding.ptr + i * FLOAT_BYTES, FLOAT_BYTES);
    return f;
}

static void append_embedding(kal_bytes embedding, kal_buf *out)
{
    kal_buf_append_byte(out, '[');
    for (size_t i = 0; i < embedding.len / FLOAT_BYTES; i++) {
        if (i > 0)
            kal_buf_append(out, ", ", 2);
        kal_float_format(kal_embedding_get(embedding, i), out);
    }
    kal_buf_append_byte(out, ']');
}

/* DuckDB prints no 0 before the point when the type has no digit there: .50 for DECIMAL(2,2). */
static void append_decimal(const kal_value *v, kal_buf *out)
{
    size_t start = out->len;
    size_t zero;

    kal_decimal_format(v->decimal, v->type.scale, out);
    if (v->type.precision != v->type.scale || kal_buf_failed(out))
        return;
    zero = start + (v->decimal < 0);
    memmove(out->ptr + zero, out->ptr + zero + 1, out->len - zero - 1);
    kal_buf_truncate(out, out->len - 1);
}

void kal_value_to_text(const kal_value *v, kal_buf *out)
{
    if (v->is_null) {
        kal_buf_append_cstr(out, "NULL");
        return;
    }
    switch ((kal_type_tag)v->type.tag) {
    case KAL_TYPE_NULL:
        kal_buf_append_cstr(out, "NULL");
        return;
    case KAL_TYPE_BOOLEAN:
        kal_buf_append_cstr(out, v->boolean ? "true" : "false");
        return;
    case KAL_TYPE_SMALLINT:
    case KAL_TYPE_INT:
    case KAL_TYPE_BIGINT:
        kal_buf_append_i64_text(out, v->integer);
        return;
    case KAL_TYPE_DOUBLE:
        kal_double_format(v->f64, out);
        return;
    case KAL_TYPE_FLOAT:
        kal_float_format(v->f32, out);
        return;
    case KAL_TYPE_DECIMAL:
        append_decimal(v, out);
        return;
    case KAL_TYPE_DATE:
        kal_date_format(v->integer, out);
        return;
    case KAL_TYPE_TIME:
        kal_time_format(v->integer, out);
        return;
    case KAL_TYPE_TIMESTAMP:
    case KAL_TYPE_DATETIME:
        kal_instant_format(v->integer, v->type.tag == KAL_TYPE_DATETIME, out);
        return;
    case KAL_TYPE_UUID:
        append_uuid(v->bytes, out);
        return;
    case KAL_TYPE_BYTES:
        append_bytes(v->bytes, out);
        return;
    case KAL_TYPE_EMBEDDING:
        append_embedding(v->bytes, out);
        return;
    case KAL_TYPE_TEXT:
    case KAL_TYPE_JSON:
    case KAL_TYPE_FILE:
        kal_buf_append_bytes(out, v->bytes);
        return;
    }
}

/* --- SQL --- */

/* Puts what was appended since `start` into quotes, doubling those inside. */
static void quote_from(kal_buf *out, size_t start)
{
    size_t len = out->len - start;
    size_t quotes = 0;
    size_t from;
    size_t to;

    if (kal_buf_failed(out))
        return;
    for (size_t i = start; i < out->len; i++)
        quotes += out->ptr[i] == '\'';
    if (!kal_buf_reserve(out, quotes + 2))
        return;
    /* From the back, so that nothing is overwritten before it was moved. */
    from = start + len;
    to = start + len + quotes + 2;
    out->len = to;
    out->ptr[--to] = '\'';
    while (from > start) {
        uint8_t c = out->ptr[--from];
        out->ptr[--to] = c;
        if (c == '\'')
            out->ptr[--to] = '\'';
    }
    out->ptr[start] = '\'';
}

static bool has_exponent(const kal_buf *out, size_t start)
{
    return !kal_buf_failed(out) && memchr(out->ptr + start, 'e', out->len - start) != NULL;
}

static void append_quoted(const kal_value *v, kal_buf *out)
{
    size_t start = out->len;
    kal_value_to_text(v, out);
    quote_from(out, start);
}

void kal_value_to_sql(const kal_value *v, kal_buf *out)
{
    char name[KAL_TYPE_NAME_BYTES];
    size_t start = out->len;

    if (v->is_null || v->type.tag == KAL_TYPE_BOOLEAN || kal_type_is_integer(v->type)) {
        kal_value_to_text(v, out);
    } else if (v->type.tag == KAL_TYPE_DECIMAL) {
        kal_decimal_format(v->decimal, v->type.scale, out);
    } else if (v->type.tag == KAL_TYPE_TEXT) {
        append_quoted(v, out);
    } else if (v->type.tag == KAL_TYPE_DOUBLE && v->f64 - v->f64 == 0) {
        /* A number without an exponent would be a DECIMAL. */
        kal_double_format(v->f64, out);
        if (!has_exponent(out, start))
            kal_buf_append_cstr(out, "e0");
    } else {
        kal_buf_append_cstr(out, kal_type_name(v->type, name));
        kal_buf_append_byte(out, ' ');
        append_quoted(v, out);
    }
}
