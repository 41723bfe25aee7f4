#include "base/json_writer.h"
#include "base/assert.h"
#include "shims/float_text.h"

#include <math.h>

void kal_json_writer_init(kal_json_writer *w, kal_buf *out)
{
    *w = (kal_json_writer){.out = out};
}

/* Called before every key and every value that has no key. */
static void separate(kal_json_writer *w)
{
    if (w->depth == 0)
        return;
    if (w->has_item[w->depth - 1])
        kal_buf_append_byte(w->out, ',');
    w->has_item[w->depth - 1] = true;
}

static void before_value(kal_json_writer *w)
{
    if (w->after_key)
        w->after_key = false;
    else
        separate(w);
}

static void begin(kal_json_writer *w, uint8_t bracket)
{
    KAL_ASSERT(w->depth < KAL_JSON_DEPTH_MAX);
    before_value(w);
    kal_buf_append_byte(w->out, bracket);
    w->has_item[w->depth++] = false;
}

static void end(kal_json_writer *w, uint8_t bracket)
{
    KAL_ASSERT(w->depth > 0);
    KAL_ASSERT(!w->after_key);
    w->depth--;
    kal_buf_append_byte(w->out, bracket);
}

void kal_json_begin_object(kal_json_writer *w)
{
    begin(w, '{');
}

void kal_json_begin_members(kal_json_writer *w)
{
    KAL_ASSERT(w->depth == 0);
    w->has_item[w->depth++] = false;
}

void kal_json_end_object(kal_json_writer *w)
{
    end(w, '}');
}

void kal_json_begin_array(kal_json_writer *w)
{
    begin(w, '[');
}

void kal_json_end_array(kal_json_writer *w)
{
    end(w, ']');
}

/* 0 = copied as it is, 'u' = \u00XX, else the letter after the backslash. */
static uint8_t escape_of(uint8_t c)
{
    switch (c) {
    case '"':
    case '\\':
        return c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return c < 0x20 ? 'u' : 0;
    }
}

/* How many of the eight bytes, beginning with the lowest, need no escape: 8 or the place of the
 * first that does. A byte's highest bit comes up where it is below 0x20, or zero once a quote or a
 * backslash is taken from it by XOR; subtracting borrows from the next byte only behind such a one.
 */
static size_t count_plain(uint64_t bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t quotes = bytes ^ (ones * '"');
    uint64_t backslashes = bytes ^ (ones * '\\');
    uint64_t found = ((bytes - ones * 0x20) & ~bytes) | ((quotes - ones) & ~quotes) |
                     ((backslashes - ones) & ~backslashes);
    found &= ones * 0x80;
    return found == 0 ? sizeof bytes : (size_t)__builtin_ctzll(found) / 8;
}

/* text is UTF-8: runs without an escape are copied whole. */
static void append_escaped(kal_buf *out, kal_bytes text)
{
    static const char HEX[] = "0123456789abcdef";
    size_t copied = 0;
    for (size_t i = 0; i < text.len; i++) {
        size_t plain = sizeof(uint64_t);
        while (text.len - i > sizeof(uint64_t) && plain == sizeof(uint64_t)) {
            plain = count_plain(kal_load_le64(text.ptr + i));
            i += plain;
        }
        uint8_t c = text.ptr[i];
        uint8_t escape = escape_of(c);
        if (escape == 0)
            continue;
        kal_buf_append(out, text.ptr + copied, i - copied);
        copied = i + 1;
        if (escape == 'u') {
            char sequence[6] = {'\\', 'u', '0', '0', HEX[c >> 4], HEX[c & 15]};
            kal_buf_append(out, sequence, sizeof sequence);
        } else {
            uint8_t sequence[2] = {'\\', escape};
            kal_buf_append(out, sequence, sizeof sequence);
        }
    }
    if (copied < text.len)
        kal_buf_append(out, text.ptr + copied, text.len - copied);
}

/* One U+FFFD per byte that belongs to no character. */
static void append_repaired(kal_buf *out, kal_bytes text)
{
    size_t at = 0;
    while (at < text.len) {
        size_t left = text.len - at;
        size_t len = 1;
        while (len <= 4 && len <= left && !kal_utf8_valid(kal_bytes_of(text.ptr + at, len)))
            len++;
        if (len > 4 || len > left) {
            kal_buf_append_cstr(out, "\xEF\xBF\xBD");
            at++;
        } else {
            append_escaped(out, kal_bytes_of(text.ptr + at, len));
            at += len;
        }
    }
}

static void append_string(kal_buf *out, kal_bytes text)
{
    kal_buf_append_byte(out, '"');
    if (kal_utf8_valid(text))
        append_escaped(out, text);
    else
        append_repaired(out, text);
    kal_buf_append_byte(out, '"');
}

void kal_json_key_bytes(kal_json_writer *w, kal_bytes key)
{
    KAL_ASSERT(w->depth > 0);
    KAL_ASSERT(!w->after_key);
    separate(w);
    append_string(w->out, key);
    kal_buf_append_byte(w->out, ':');
    w->after_key = true;
}

void kal_json_key(kal_json_writer *w, const char *key)
{
    kal_json_key_bytes(w, kal_cstr(key));
}

/* The reader bounds the depth of what it makes, so the recursion is bounded too. */
void kal_json_write_tree(const kal_json *json, kal_json_writer *w)
{
    switch (json->kind) {
    case KAL_JSON_NULL:
        kal_json_null(w);
        return;
    case KAL_JSON_BOOL:
        kal_json_bool(w, json->boolean);
        return;
    case KAL_JSON_NUMBER:
        kal_json_raw(w, json->text);
        return;
    case KAL_JSON_STRING:
        kal_json_string(w, json->text);
        return;
    case KAL_JSON_ARRAY:
        kal_json_begin_array(w);
        for (size_t i = 0; i < json->len; i++)
            kal_json_write_tree(&json->items[i], w);
        kal_json_end_array(w);
        return;
    case KAL_JSON_OBJECT:
        kal_json_begin_object(w);
        for (size_t i = 0; i < json->len; i++) {
            kal_json_key_bytes(w, json->keys[i]);
            kal_json_write_tree(&json->items[i], w);
        }
        kal_json_end_object(w);
        return;
    }
}

void kal_json_raw(kal_json_writer *w, kal_bytes json)
{
    before_value(w);
    kal_buf_append_bytes(w->out, json);
}

void kal_json_null(kal_json_writer *w)
{
    kal_json_raw(w, KAL_STR("null"));
}

void kal_json_bool(kal_json_writer *w, bool v)
{
    kal_json_raw(w, v ? KAL_STR("true") : KAL_STR("false"));
}

void kal_json_i64(kal_json_writer *w, int64_t v)
{
    before_value(w);
    kal_buf_append_i64_text(w->out, v);
}

void kal_json_u64(kal_json_writer *w, uint64_t v)
{
    before_value(w);
    kal_buf_append_u64_text(w->out, v);
}

static bool write_non_finite(kal_json_writer *w, double v)
{
    if (isfinite(v))
        return false;
    kal_json_cstr(w, isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity");
    return true;
}

void kal_json_double(kal_json_writer *w, double v)
{
    char text[32];
    if (!write_non_finite(w, v))
        kal_json_raw(w, kal_bytes_of(text, kal_format_double(v, text)));
}

void kal_json_float(kal_json_writer *w, float v)
{
    char text[32];
    if (!write_non_finite(w, (double)v))
        kal_json_raw(w, kal_bytes_of(text, kal_format_float(v, text)));
}

void kal_json_string(kal_json_writer *w, kal_bytes text)
{
    before_value(w);
    append_string(w->out, text);
}

void kal_json_cstr(kal_json_writer *w, const char *text)
{
    kal_json_string(w, kal_cstr(text));
}

/* The sign of a NaN says nothing, so it is not shown. */
static size_t format_nan(char out[32])
{
    memcpy(out, "nan", 3);
    return 3;
}

size_t kal_format_double(double v, char out[32])
{
    return isnan(v) ? format_nan(out) : kal_shim_double_to_text(v, out);
}

size_t kal_format_float(float v, char out[32])
{
    return isnan(v) ? format_nan(out) : kal_shim_float_to_text(v, out);
}

/* Takes the sign off the front; true when it was a minus. */
static bool take_sign(kal_bytes *text)
{
    if (text->len == 0 || (text->ptr[0] != '-' && text->ptr[0] != '+'))
        return false;
    bool negative = text->ptr[0] == '-';
    *text = kal_bytes_of(text->ptr + 1, text->len - 1);
    return negative;
}

bool kal_parse_double(kal_bytes text, double *out)
{
    double v = 0;
    bool negative = take_sign(&text);
    if (!kal_shim_text_to_double((const char *)text.ptr, text.len, &v))
        return false;
    *out = negative ? -v : v;
    return true;
}

bool kal_parse_float(kal_bytes text, float *out)
{
    float v = 0;
    bool negative = take_sign(&text);
    if (!kal_shim_text_to_float((const char *)text.ptr, text.len, &v))
        return false;
    *out = negative ? -v : v;
    return true;
}

bool kal_parse_i64(kal_bytes text, int64_t *out)
{
    int64_t v = 0;
    bool negative = take_sign(&text);
    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        int64_t digit = text.ptr[i] - '0';
        if (!kal_try_mul(v, (int64_t)10, &v) ||
            !(negative ? kal_try_sub(v, digit, &v) : kal_try_add(v, digit, &v)))
            return false;
    }
    *out = v;
    return true;
}
