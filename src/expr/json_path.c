#include "expr/json_path.h"

#include "base/assert.h"
#include "base/json_writer.h"

#include <math.h>

/* ---- paths ---- */

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* What may stand in a key without quotes: nothing that has, or could get, a meaning there. */
static bool is_plain(uint8_t c)
{
    return c >= 0x80 || is_digit(c) || c == '_' || c == '-' || c == ' ' ||
           (kal_ascii_lower((char)c) >= 'a' && kal_ascii_lower((char)c) <= 'z');
}

/* Digits from *at on, at most 18 of them. */
static bool read_index(kal_bytes text, size_t *at, uint64_t *out)
{
    enum { DIGITS_MAX = 18 };
    size_t start = *at;
    *out = 0;
    while (*at < text.len && is_digit(text.ptr[*at]) && *at - start < DIGITS_MAX)
        *out = *out * 10 + (uint64_t)(text.ptr[(*at)++] - '0');
    return *at > start && (*at == text.len || !is_digit(text.ptr[*at]));
}

/* The key after a dot: "key" or key */
static bool read_key(kal_bytes text, size_t *at, kal_json_step *step)
{
    bool quoted = *at < text.len && text.ptr[*at] == '"';
    size_t start = *at + quoted;
    size_t end = start;
    while (end < text.len && (quoted ? text.ptr[end] != '"' : is_plain(text.ptr[end]))) {
        if (text.ptr[end] == '\\' || text.ptr[end] == '*')
            return false; /* a wildcard even in quotes */
        end++;
    }
    if (end == start || (quoted && end == text.len))
        return false;
    step->kind = KAL_JSON_STEP_KEY;
    step->key = kal_bytes_of(text.ptr + start, end - start);
    *at = end + quoted;
    return true;
}

/* The number in brackets: n, -n, #-n */
static bool read_element(kal_bytes text, size_t *at, kal_json_step *step)
{
    bool hash = *at < text.len && text.ptr[*at] == '#';
    size_t next = *at + hash;
    bool minus = next < text.len && text.ptr[next] == '-';
    next += minus;
    step->kind = KAL_JSON_STEP_INDEX;
    if ((hash && !minus) || !read_index(text, &next, &step->index) || next == text.len ||
        text.ptr[next] != ']')
        return false;
    step->from_end = minus && step->index != 0;
    *at = next + 1;
    return true;
}

static bool read_dollar_step(kal_bytes text, size_t *at, kal_json_step *step)
{
    uint8_t c = text.ptr[(*at)++];
    if (c == '.')
        return read_key(text, at, step);
    return c == '[' && read_element(text, at, step);
}

/* From a slash to the next one. */
static bool read_pointer_step(kal_bytes text, size_t *at, kal_json_step *step)
{
    size_t start = *at + 1;
    size_t end = start;
    size_t number_end = start;
    if (text.ptr[*at] != '/')
        return false;
    while (end < text.len && text.ptr[end] != '/') {
        if (text.ptr[end] == '~')
            return false;
        end++;
    }
    step->kind = KAL_JSON_STEP_TOKEN;
    step->key = kal_bytes_of(text.ptr + start, end - start);
    step->is_number = read_index(step->key.len == 0 ? text : kal_bytes_of(text.ptr, end),
                                 &number_end, &step->index) &&
                      number_end == end && (end - start == 1 || text.ptr[start] != '0');
    *at = end;
    return true;
}

static bool one_key(kal_bytes text, kal_arena *arena, kal_json_path *path)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\' || text.ptr[i] == '*')
            return false; /* a wildcard as in a path */
    }
    if (text.len == 0)
        return false;
    path->steps = kal_arena_alloc(arena, sizeof *path->steps);
    path->steps[0] = (kal_json_step){.kind = KAL_JSON_STEP_KEY, .key = text};
    path->count = 1;
    return true;
}

bool kal_json_path_parse(kal_bytes text, kal_arena *arena, kal_json_path *path_out)
{
    bool is_dollar = text.len > 0 && text.ptr[0] == '$';
    bool is_pointer = text.len > 0 && text.ptr[0] == '/';
    size_t at = is_dollar;
    *path_out = (kal_json_path){0};
    if (text.len > 0 && memchr(text.ptr, 0, text.len) != NULL)
        return false;
    if (!is_dollar && !is_pointer)
        return one_key(text, arena, path_out);
    size_t most = 0; /* every step begins with one of these */
    for (size_t i = 0; i < text.len; i++)
        most += text.ptr[i] == '.' || text.ptr[i] == '[' || text.ptr[i] == '/';
    path_out->steps = kal_arena_try_array(arena, most, sizeof *path_out->steps);
    if (path_out->steps == NULL)
        return false;
    while (at < text.len) {
        KAL_ASSERT(path_out->count <= most);
        kal_json_step step = {0};
        if (!(is_dollar ? read_dollar_step(text, &at, &step) : read_pointer_step(text, &at, &step)))
            return false;
        path_out->steps[path_out->count++] = step;
    }
    return true;
}

void kal_json_path_of_index(int64_t index, kal_arena *arena, kal_json_path *path_out)
{
    path_out->count = 1;
    path_out->steps = kal_arena_alloc(arena, sizeof *path_out->steps);
    path_out->steps[0] = (kal_json_step){.kind = KAL_JSON_STEP_INDEX,
                                         .index = index < 0 ? 0 - (uint64_t)index : (uint64_t)index,
                                         .from_end = index < 0};
}

bool kal_json_path_equal(const kal_json_path *a, const kal_json_path *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const kal_json_step *x = &a->steps[i];
        const kal_json_step *y = &b->steps[i];
        if (x->kind != y->kind || x->index != y->index || x->from_end != y->from_end ||
            !kal_bytes_equal(x->key, y->key))
            return false;
    }
    return true;
}

static const kal_json *member_of(const kal_json *object, kal_bytes key)
{
    for (size_t i = 0; i < object->len; i++) {
        if (kal_bytes_equal(object->keys[i], key))
            return &object->items[i];
    }
    return NULL;
}

static const kal_json *element_of(const kal_json *array, uint64_t index, bool from_end)
{
    if (from_end)
        return index > array->len ? NULL : &array->items[array->len - index];
    return index < array->len ? &array->items[index] : NULL;
}

static const kal_json *take_step(const kal_json_step *step, const kal_json *json)
{
    if (json->kind == KAL_JSON_OBJECT)
        return step->kind == KAL_JSON_STEP_INDEX ? NULL : member_of(json, step->key);
    if (json->kind != KAL_JSON_ARRAY)
        return NULL;
    if (step->kind == KAL_JSON_STEP_INDEX || (step->kind == KAL_JSON_STEP_TOKEN && step->is_number))
        return element_of(json, step->index, step->from_end);
    return NULL;
}

const kal_json *kal_json_path_find(const kal_json_path *path, const kal_json *document)
{
    const kal_json *json = document;
    for (size_t i = 0; i < path->count && json != NULL; i++)
        json = take_step(&path->steps[i], json);
    return json;
}

/* ---- text ---- */

/* The shortest digits of v > 0 and where their point is: 0.ddd times ten to the power of it. */
static size_t shortest_digits(double v, char digits[32], int *point_out)
{
    char text[32];
    size_t len = kal_format_double(v, text);
    size_t count = 0;
    int64_t exponent = 0;
    size_t before_point = 0;
    bool seen_point = false;
    size_t i = 0;
    for (; i < len && text[i] != 'e'; i++) {
        if (text[i] == '.') {
            seen_point = true;
            continue;
        }
        if (!seen_point)
            before_point++;
        digits[count++] = text[i];
    }
    if (i < len) {
        i += text[i + 1] == '+' ? 2 : 1;
        bool ok = kal_parse_i64(kal_bytes_of(text + i, len - i), &exponent);
        KAL_ASSERT(ok);
    }
    size_t zeros = 0;
    while (zeros + 1 < count && digits[zeros] == '0')
        zeros++;
    memmove(digits, digits + zeros, count - zeros);
    count -= zeros;
    while (count > 1 && digits[count - 1] == '0')
        count--;
    *point_out = (int)before_point - (int)zeros + (int)exponent;
    return count;
}

static void append_zeros(kal_buf *out, int count)
{
    for (int i = 0; i < count; i++)
        kal_buf_append_byte(out, '0');
}

/* As yyjson: with a point from 1e-6 up to below 1e21, with an exponent otherwise. */
static void append_real(kal_buf *out, double v)
{
    enum { POINT_MIN = -5, POINT_MAX = 21 };
    char digits[32];
    int point = 1;
    size_t count = 1;

    if (signbit(v))
        kal_buf_append_byte(out, '-');
    v = fabs(v);
    digits[0] = '0';
    if (v > 0)
        count = shortest_digits(v, digits, &point);
    if (point < POINT_MIN || point > POINT_MAX) {
        kal_buf_append(out, digits, 1);
        if (count > 1)
            kal_buf_append_byte(out, '.');
        kal_buf_append(out, digits + 1, count - 1);
        kal_buf_printf(out, "e%d", point - 1);
    } else if (point <= 0) {
        kal_buf_append_cstr(out, "0.");
        append_zeros(out, -point);
        kal_buf_append(out, digits, count);
    } else if ((size_t)point >= count) {
        kal_buf_append(out, digits, count);
        append_zeros(out, point - (int)count);
        kal_buf_append_cstr(out, ".0");
    } else {
        kal_buf_append(out, digits, (size_t)point);
        kal_buf_append_byte(out, '.');
        kal_buf_append(out, digits + point, count - (size_t)point);
    }
}

/* A number that no double holds: is it too small rather than too large? */
static bool underflows(kal_bytes text)
{
    enum { EXPONENT_MAX = 100000000 };
    int64_t magnitude = 0; /* digits before the point, or minus the zeros behind it */
    int64_t exponent = 0;
    bool seen_point = false;
    bool seen_digit = false;
    size_t i = 0;
    for (; i < text.len && text.ptr[i] != 'e' && text.ptr[i] != 'E'; i++) {
        seen_point = seen_point || text.ptr[i] == '.';
        seen_digit = seen_digit || (text.ptr[i] >= '1' && text.ptr[i] <= '9');
        if (is_digit(text.ptr[i]) && (seen_point ? !seen_digit : seen_digit))
            magnitude += seen_point ? -1 : 1;
    }
    bool negative = i + 1 < text.len && text.ptr[i + 1] == '-';
    for (; i < text.len; i++) {
        if (is_digit(text.ptr[i]) && exponent < EXPONENT_MAX)
            exponent = exponent * 10 + (text.ptr[i] - '0');
    }
    return magnitude + (negative ? -exponent : exponent) < 0;
}

static void append_number(kal_buf *out, kal_bytes text)
{
    double real = 0;
    bool is_integer = true;
    for (size_t i = 0; i < text.len; i++)
        is_integer = is_integer && text.ptr[i] != '.' && text.ptr[i] != 'e' && text.ptr[i] != 'E';
    if (is_integer && kal_bytes_equal(text, KAL_STR("-0")))
        kal_buf_append_byte(out, '0');
    else if (!is_integer && kal_parse_double(text, &real))
        append_real(out, real);
    else if (!is_integer && underflows(text))
        append_real(out, text.ptr[0] == '-' ? -0.0 : 0.0);
    else /* of 64 bits, or too large for any number: as it was written */
        kal_buf_append_bytes(out, text);
}

static void append_escape(kal_buf *out, uint8_t c)
{
    static const char LETTERS[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    kal_buf_append_byte(out, '\\');
    if (c == '"' || c == '\\')
        kal_buf_append_byte(out, c);
    else if (c < sizeof LETTERS && LETTERS[c] != 0)
        kal_buf_append_byte(out, (uint8_t)LETTERS[c]);
    else
        kal_buf_printf(out, "u%04X", c);
}

static void append_string(kal_buf *out, kal_bytes text)
{
    size_t copied = 0;
    kal_buf_append_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        kal_buf_append(out, text.ptr + copied, i - copied);
        append_escape(out, c);
        copied = i + 1;
    }
    if (copied < text.len)
        kal_buf_append(out, text.ptr + copied, text.len - copied);
    kal_buf_append_byte(out, '"');
}

/* Recursion is bounded by the reader's depth. */
static void append_members(const kal_json *json, kal_buf *out)
{
    for (size_t i = 0; i < json->len; i++) {
        if (i > 0)
            kal_buf_append_byte(out, ',');
        if (json->kind == KAL_JSON_OBJECT) {
            append_string(out, json->keys[i]);
            kal_buf_append_byte(out, ':');
        }
        kal_json_text_append(&json->items[i], out);
    }
}

void kal_json_text_append(const kal_json *json, kal_buf *out)
{
    switch (json->kind) {
    case KAL_JSON_NULL:
        kal_buf_append_cstr(out, "null");
        break;
    case KAL_JSON_BOOL:
        kal_buf_append_cstr(out, json->boolean ? "true" : "false");
        break;
    case KAL_JSON_NUMBER:
        append_number(out, json->text);
        break;
    case KAL_JSON_STRING:
        append_string(out, json->text);
        break;
    case KAL_JSON_ARRAY:
        kal_buf_append_byte(out, '[');
        append_members(json, out);
        kal_buf_append_byte(out, ']');
        break;
    case KAL_JSON_OBJECT:
        kal_buf_append_byte(out, '{');
        append_members(json, out);
        kal_buf_append_byte(out, '}');
        break;
    }
}
