/*
 * decimal.c: numbers as text, in both directions.
 *
 * One scanner takes a number apart into digits and a power of ten; integers and decimals are then
 * computed exactly in 128 bits and rounded once, half away from zero, on the first digit dropped.
 * (DuckDB rounds step by step when there is an exponent, and refuses 12345e-3 for DECIMAL(5,2)
 * because its digits do not fit before the exponent is applied; apart from such texts the results
 * are the same.) Doubles leave the rounding to
 * kal_parse_double().
 */
#include "base/assert.h"
#include "types/text.h"
#include "types/text_internal.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

#define DECIMAL_DIGITS_MAX 38

/* Powers of ten by repeated squaring would cost more than a table of the halves. */
static const uint64_t pow10_low[20] = {
    1u,
    10u,
    100u,
    1000u,
    10000u,
    100000u,
    1000000u,
    10000000u,
    100000000u,
    1000000000u,
    10000000000u,
    100000000000u,
    1000000000000u,
    10000000000000u,
    100000000000000u,
    1000000000000000u,
    10000000000000000u,
    100000000000000000u,
    1000000000000000000u,
    10000000000000000000u,
};

kal_i128 kal_pow10(unsigned exponent)
{
    KAL_ASSERT(exponent <= DECIMAL_DIGITS_MAX);
    if (exponent < 20)
        return (kal_i128)pow10_low[exponent];
    return (kal_i128)pow10_low[19] * (kal_i128)pow10_low[exponent - 19];
}

int kal_hex_digit(uint8_t c)
{
    if (kal_is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* --- reading --- */

static void skip_spaces(kal_bytes *text)
{
    while (text->len > 0 && kal_is_space(text->ptr[0])) {
        text->ptr++;
        text->len--;
    }
}

static bool next_is(kal_bytes text, char c)
{
    return text.len > 0 && kal_ascii_lower((char)text.ptr[0]) == c;
}

static void advance(kal_bytes *text)
{
    text->ptr++;
    text->len--;
}

/* Digits with single underscores between them, moved past; false on a stray underscore. */
static bool take_digits(kal_bytes *text, kal_bytes *digits_out)
{
    size_t i = 0;
    while (i < text->len && kal_is_digit(text->ptr[i])) {
        i++;
        if (i < text->len && text->ptr[i] == '_') {
            i++;
            if (i == text->len || !kal_is_digit(text->ptr[i]))
                return false;
        }
    }
    *digits_out = kal_bytes_of(text->ptr, i);
    text->ptr += i;
    text->len -= i;
    return true;
}

static bool take_exponent(kal_bytes *text, int32_t *exponent_out)
{
    bool negative = next_is(*text, '-');
    kal_bytes digits;
    int32_t exponent = 0;

    if (negative || next_is(*text, '+'))
        advance(text);
    if (!take_digits(text, &digits) || digits.len == 0)
        return false;
    for (size_t i = 0; i < digits.len && exponent <= KAL_NUMBER_EXPONENT_MAX; i++)
        if (digits.ptr[i] != '_')
            exponent = exponent * 10 + (digits.ptr[i] - '0');
    *exponent_out = negative ? -exponent : exponent;
    return true;
}

bool kal_number_scan(kal_bytes text, bool plus_minus, kal_number *number_out)
{
    bool plus;

    *number_out = (kal_number){0};
    skip_spaces(&text);
    plus = next_is(text, '+');
    if (plus)
        advance(&text);
    if ((!plus || plus_minus) && next_is(text, '-')) {
        number_out->negative = true;
        advance(&text);
    }
    if (!take_digits(&text, &number_out->whole))
        return false;
    if (next_is(text, '.')) {
        advance(&text);
        if (!take_digits(&text, &number_out->fraction))
            return false;
    }
    if (number_out->whole.len + number_out->fraction.len == 0)
        return false;
    if (next_is(text, 'e')) {
        advance(&text);
        if (!take_exponent(&text, &number_out->exponent))
            return false;
    }
    skip_spaces(&text);
    return text.len == 0;
}

static size_t count_digits(kal_bytes digits)
{
    size_t count = 0;
    for (size_t i = 0; i < digits.len; i++)
        count += digits.ptr[i] != '_';
    return count;
}

/* Walks the digits of a number from the left. */
typedef struct digit_walk {
    kal_bytes part;
    kal_bytes rest;
} digit_walk;

/* The next digit, or -1 after the last one. */
static int walk_digit(digit_walk *walk)
{
    for (;;) {
        while (walk->part.len == 0) {
            if (walk->rest.len == 0)
                return -1;
            walk->part = walk->rest;
            walk->rest.len = 0;
        }
        uint8_t c = walk->part.ptr[0];
        advance(&walk->part);
        if (c != '_')
            return c - '0';
    }
}

kal_parse kal_number_scaled(const kal_number *number, unsigned scale, kal_i128 *out)
{
    const kal_u128 limit = (kal_u128)kal_pow10(DECIMAL_DIGITS_MAX);
    digit_walk walk = {.part = number->whole, .rest = number->fraction};
    kal_u128 v = 0;
    int64_t keep;

    if (number->exponent > KAL_NUMBER_EXPONENT_MAX || number->exponent < -KAL_NUMBER_EXPONENT_MAX)
        return KAL_PARSE_RANGE;
    /* So many digits, counted from the left, make up the result; the next one decides rounding. */
    keep = (int64_t)count_digits(number->whole) + number->exponent + (int64_t)scale;
    for (int64_t i = 0; i < keep; i++) {
        int digit = walk_digit(&walk);
        if (digit < 0 && v == 0)
            break;
        if (v >= limit / 10)
            return KAL_PARSE_RANGE;
        v = v * 10 + (digit < 0 ? 0u : (unsigned)digit);
    }
    if (keep >= 0 && walk_digit(&walk) >= 5)
        v++;
    if (v >= limit)
        return KAL_PARSE_RANGE;
    *out = number->negative ? -(kal_i128)v : (kal_i128)v;
    return KAL_PARSE_OK;
}

bool kal_number_is_integral(const kal_number *number)
{
    digit_walk walk = {.part = number->whole, .rest = number->fraction};
    int64_t position = (int64_t)count_digits(number->whole) + number->exponent;
    int digit;

    while ((digit = walk_digit(&walk)) >= 0) {
        if (position <= 0 && digit != 0)
            return false;
        position--;
    }
    return true;
}

/* The digits of 0x1F or 0b101, in base 16 or 2. */
static kal_parse parse_based(kal_bytes digits, unsigned base, int64_t max, int64_t *out)
{
    int64_t v = 0;
    bool after_digit = false;

    for (size_t i = 0; i < digits.len; i++) {
        int digit = kal_hex_digit(digits.ptr[i]);
        if (digits.ptr[i] == '_' && after_digit) {
            after_digit = false;
            continue;
        }
        if (digit < 0 || (unsigned)digit >= base)
            return KAL_PARSE_FORMAT;
        if (v > (max - digit) / (int64_t)base)
            return KAL_PARSE_RANGE;
        v = v * (int64_t)base + digit;
        after_digit = true;
    }
    *out = v;
    return after_digit ? KAL_PARSE_OK : KAL_PARSE_FORMAT;
}

/* Nothing but blanks, at least one: what DuckDB takes for the digits of an integer after a sign,
 * and of its exponent. */
static bool is_blank(kal_bytes text)
{
    bool any = text.len > 0;
    skip_spaces(&text);
    return any && text.len == 0;
}

/* The exponent of an integer, which DuckDB reads as a number of its own: a point may end it, and
 * blanks are 0. */
static bool scan_integer_exponent(kal_bytes text, int32_t *exponent_out)
{
    kal_bytes digits = text;
    kal_number number;
    *exponent_out = 0;
    if (next_is(digits, '+') || next_is(digits, '-'))
        advance(&digits);
    if (is_blank(digits))
        return true;
    if (digits.len == 0 || kal_is_space(text.ptr[0]) || kal_is_space(digits.ptr[0]) ||
        !kal_number_scan(digits, false, &number) || number.negative || number.fraction.len > 0 ||
        digits.ptr[0] == '+' || memchr(digits.ptr, 'e', digits.len) != NULL ||
        memchr(digits.ptr, 'E', digits.len) != NULL)
        return false;
    for (size_t i = 0; i < number.whole.len && *exponent_out <= KAL_NUMBER_EXPONENT_MAX; i++)
        if (number.whole.ptr[i] != '_')
            *exponent_out = *exponent_out * 10 + (number.whole.ptr[i] - '0');
    if (text.ptr[0] == '-')
        *exponent_out = -*exponent_out;
    return true;
}

/* As kal_number_scan(), with what DuckDB takes for an integer only: '5e1.', '5e ', '+ '. */
static bool scan_integer(kal_bytes text, kal_number *number_out)
{
    size_t e = 0;
    int32_t exponent = 0;
    *number_out = (kal_number){0};
    if (text.len > 0 && (text.ptr[0] == '+' || text.ptr[0] == '-') &&
        is_blank(kal_bytes_of(text.ptr + 1, text.len - 1)))
        return true;
    while (e < text.len && text.ptr[e] != 'e' && text.ptr[e] != 'E')
        e++;
    if (e == 0 || e == text.len || kal_is_space(text.ptr[e - 1]))
        return kal_number_scan(text, false, number_out);
    if (!scan_integer_exponent(kal_bytes_of(text.ptr + e + 1, text.len - e - 1), &exponent) ||
        !kal_number_scan(kal_bytes_of(text.ptr, e), false, number_out))
        return false;
    number_out->exponent = exponent;
    return true;
}

kal_parse kal_integer_parse(kal_bytes text, int64_t min, int64_t max, int64_t *out)
{
    kal_number number;
    kal_i128 v;

    skip_spaces(&text);
    if (text.len > 2 && text.ptr[0] == '0') {
        kal_bytes digits = kal_bytes_of(text.ptr + 2, text.len - 2);
        char base = kal_ascii_lower((char)text.ptr[1]);
        if (base == 'x' || base == 'b')
            return parse_based(digits, base == 'x' ? 16 : 2, max, out);
    }
    if (!scan_integer(text, &number))
        return KAL_PARSE_FORMAT;
    if (kal_number_scaled(&number, 0, &v) != KAL_PARSE_OK || v < min || v > max)
        return KAL_PARSE_RANGE;
    *out = (int64_t)v;
    return KAL_PARSE_OK;
}

bool kal_decimal_parse(kal_bytes text, unsigned scale, kal_i128 *out)
{
    kal_number number;
    KAL_ASSERT(scale <= DECIMAL_DIGITS_MAX);
    return kal_number_scan(text, false, &number) &&
           kal_number_scaled(&number, scale, out) == KAL_PARSE_OK;
}

/* "nan", "inf", "infinity", with a sign and spaces. */
static bool parse_non_finite(kal_bytes text, double *out)
{
    double v;
    bool negative;

    skip_spaces(&text);
    if (next_is(text, '+'))
        advance(&text);
    negative = next_is(text, '-');
    if (negative)
        advance(&text);
    while (text.len > 0 && kal_is_space(text.ptr[text.len - 1]))
        text.len--;
    if (kal_bytes_equal_nocase(text, KAL_STR("nan")))
        v = (double)NAN;
    else if (kal_bytes_equal_nocase(text, KAL_STR("inf")) ||
             kal_bytes_equal_nocase(text, KAL_STR("infinity")))
        v = (double)INFINITY;
    else
        return false;
    *out = negative ? -v : v;
    return true;
}

/* Position of the first digit that is not 0, relative to the point: 123 -> 3, 0.01 -> -1. */
static int64_t magnitude_of(const kal_number *number)
{
    digit_walk walk = {.part = number->whole, .rest = number->fraction};
    int64_t position = (int64_t)count_digits(number->whole) + number->exponent;
    int digit;

    while ((digit = walk_digit(&walk)) == 0)
        position--;
    return digit < 0 ? INT64_MIN : position;
}

/* The number as kal_parse_double() takes it: sign, digits, point, exponent; no underscore. */
static bool plain_text(const kal_number *number, kal_arena *arena, kal_bytes *text_out)
{
    size_t size = number->whole.len + number->fraction.len + 16;
    digit_walk walk = {.part = number->whole, .rest = number->fraction};
    size_t whole_len = count_digits(number->whole);
    size_t len = 0;
    int digit;
    char *text = kal_arena_try_alloc(arena, size);

    if (text == NULL)
        return false;
    if (number->negative)
        text[len++] = '-';
    for (size_t i = 0; (digit = walk_digit(&walk)) >= 0; i++) {
        if (i == whole_len)
            text[len++] = '.';
        text[len++] = (char)('0' + digit);
    }
    len += (size_t)snprintf(text + len, size - len, "e%d", (int)number->exponent);
    *text_out = kal_bytes_of(text, len);
    return true;
}

/* Leaves in *text_out a text for kal_parse_double(). */
static kal_parse prepare_floating(kal_bytes text, kal_arena *arena, kal_number *number_out,
                                  kal_bytes *text_out)
{
    if (!kal_number_scan(text, true, number_out))
        return KAL_PARSE_FORMAT;
    if (memchr(text.ptr, '_', text.len) != NULL)
        return plain_text(number_out, arena, text_out) ? KAL_PARSE_OK : KAL_PARSE_MEMORY;
    while (kal_is_space(text.ptr[text.len - 1]))
        text.len--;
    skip_spaces(&text);
    if (text.ptr[0] == '+')
        advance(&text);
    *text_out = text;
    return KAL_PARSE_OK;
}

kal_parse kal_double_parse(kal_bytes text, bool finite_only, kal_arena *arena, double *out)
{
    kal_number number;
    kal_bytes plain;
    kal_parse parsed;

    if (parse_non_finite(text, out))
        return KAL_PARSE_OK;
    parsed = prepare_floating(text, arena, &number, &plain);
    if (parsed != KAL_PARSE_OK)
        return parsed;
    /* A number that scans but does not parse is beyond the range on one side. */
    if (!kal_parse_double(plain, out)) {
        *out = magnitude_of(&number) > 0 ? (double)INFINITY : 0.0;
        if (number.negative)
            *out = -*out;
    }
    return finite_only && isinf(*out) ? KAL_PARSE_RANGE : KAL_PARSE_OK;
}

kal_parse kal_float_parse(kal_bytes text, bool finite_only, kal_arena *arena, float *out)
{
    kal_number number;
    kal_bytes plain;
    kal_parse parsed;
    double non_finite;

    if (parse_non_finite(text, &non_finite)) {
        *out = (float)non_finite;
        return KAL_PARSE_OK;
    }
    parsed = prepare_floating(text, arena, &number, &plain);
    if (parsed != KAL_PARSE_OK)
        return parsed;
    if (!kal_parse_float(plain, out)) {
        *out = magnitude_of(&number) > 0 ? INFINITY : 0.0f;
        if (number.negative)
            *out = -*out;
    }
    return finite_only && isinf(*out) ? KAL_PARSE_RANGE : KAL_PARSE_OK;
}

/* --- printing --- */

/* Digits of v from the right; returns where they begin in out. */
static size_t format_digits(kal_u128 v, char out[DECIMAL_DIGITS_MAX + 2])
{
    size_t at = DECIMAL_DIGITS_MAX + 2;
    do {
        out[--at] = (char)('0' + (int)(v % 10));
        v /= 10;
    } while (v != 0);
    return at;
}

static kal_u128 magnitude_u128(kal_i128 v)
{
    return v < 0 ? (kal_u128)0 - (kal_u128)v : (kal_u128)v;
}

void kal_i128_format(kal_i128 v, kal_buf *out)
{
    char digits[DECIMAL_DIGITS_MAX + 2];
    size_t at = format_digits(magnitude_u128(v), digits);
    if (v < 0)
        kal_buf_append_byte(out, '-');
    kal_buf_append(out, digits + at, sizeof digits - at);
}

void kal_decimal_format(kal_i128 v, unsigned scale, kal_buf *out)
{
    char digits[DECIMAL_DIGITS_MAX + 2];
    size_t at = format_digits(magnitude_u128(v), digits);
    size_t point;

    KAL_ASSERT(scale <= DECIMAL_DIGITS_MAX);
    /* At least one digit before the point. */
    point = sizeof digits - scale;
    while (at >= point)
        digits[--at] = '0';
    if (v < 0)
        kal_buf_append_byte(out, '-');
    kal_buf_append(out, digits + at, point - at);
    if (scale > 0) {
        kal_buf_append_byte(out, '.');
        kal_buf_append(out, digits + point, scale);
    }
}

/* A floating number taken apart: 0.d1d2d3... * 10^point. */
typedef struct shortest {
    char digits[32];
    int len;
    int point;
    bool negative;
} shortest;

/* Takes apart what kal_format_double() wrote, in fixed or exponent form. */
static void take_apart(const char *text, size_t len, shortest *s)
{
    bool after_point = false;
    int exponent = 0;

    *s = (shortest){.negative = len > 0 && text[0] == '-'};
    for (size_t i = s->negative; i < len; i++) {
        if (text[i] == '.') {
            after_point = true;
        } else if (text[i] == 'e' || text[i] == 'E') {
            kal_bytes rest = kal_bytes_of(text + i + 1, len - i - 1);
            (void)take_exponent(&rest, &exponent);
            break;
        } else if (text[i] != '0' || s->len > 0) {
            s->digits[s->len++] = text[i];
            s->point += !after_point;
        } else {
            s->point -= after_point; /* a leading zero of the fraction */
        }
    }
    while (s->len > 0 && s->digits[s->len - 1] == '0')
        s->len--;
    s->point = s->len == 0 ? 1 : s->point + exponent;
}

/* The first `len` digits, rounded: 1299 to three is 13. */
static void round_digits(shortest *s, int len)
{
    bool up = s->digits[len] >= '5';

    s->len = len;
    while (up && s->len > 0) {
        up = s->digits[s->len - 1] == '9';
        if (up)
            s->len--;
        else
            s->digits[s->len - 1]++;
    }
    if (up) {
        s->digits[s->len++] = '1';
        s->point++;
    }
    while (s->digits[s->len - 1] == '0')
        s->len--;
}

static bool reads_back(const shortest *s, double v, bool is_float)
{
    char text[64];
    int len = snprintf(text, sizeof text, "%s%.*se%d", s->negative ? "-" : "", s->len, s->digits,
                       s->point - s->len);
    kal_bytes bytes = kal_bytes_of(text, (size_t)len);
    double f64;
    float f32;

    if (is_float)
        return kal_parse_float(bytes, &f32) && (double)f32 == v;
    return kal_parse_double(bytes, &f64) && f64 == v;
}

/* Large whole numbers come with all their digits, also those that say nothing: FLOAT 123456792 is
 * 123456790 to DuckDB. */
static void drop_idle_digits(shortest *s, double v, bool is_float)
{
    for (int len = is_float ? FLT_DIG : DBL_DIG; len < s->len; len++) {
        shortest trial = *s;
        round_digits(&trial, len);
        if (reads_back(&trial, v, is_float)) {
            *s = trial;
            return;
        }
    }
}

static void append_zeros(kal_buf *out, int count)
{
    while (count-- > 0)
        kal_buf_append_byte(out, '0');
}

static void lay_out_exponent(const shortest *s, int exponent, kal_buf *out)
{
    kal_buf_append(out, s->digits, 1);
    if (s->len > 1) {
        kal_buf_append_byte(out, '.');
        kal_buf_append(out, s->digits + 1, (size_t)s->len - 1);
    }
    kal_buf_printf(out, "e%c%02d", exponent < 0 ? '-' : '+', exponent < 0 ? -exponent : exponent);
}

static void lay_out_plain(const shortest *s, kal_buf *out)
{
    int whole_len = s->point < 0 ? 0 : s->point < s->len ? s->point : s->len;

    kal_buf_append(out, s->digits, (size_t)whole_len);
    append_zeros(out, s->point < 1 ? 1 : s->point - whole_len);
    kal_buf_append_byte(out, '.');
    append_zeros(out, -s->point);
    kal_buf_append(out, s->digits + whole_len, (size_t)(s->len - whole_len));
    append_zeros(out, whole_len == s->len);
}

static void shortest_of_double(double v, shortest *s)
{
    char text[32];
    take_apart(text, kal_format_double(v, text), s);
    if (s->point >= s->len)
        drop_idle_digits(s, v, false);
}

static bool same_digits(const shortest *a, const shortest *b)
{
    return a->len == b->len && a->point == b->point &&
           memcmp(a->digits, b->digits, (size_t)a->len) == 0;
}

/* Where DuckDB's digit generator gives up on digits s of v, whose digits as a double are `wide`:
 * when v lies halfway between two texts so short, or a text so short halfway to the next float. */
static bool is_close_call(float v, const shortest *s, const shortest *wide)
{
    double magnitude = fabs((double)v);
    shortest above;
    shortest below;

    if (wide->len == s->len + 1 && wide->digits[s->len] == '5')
        return true;
    if (magnitude >= (double)FLT_MAX)
        return false;
    /* Both are exact as doubles. */
    shortest_of_double((magnitude + (double)nextafterf((float)magnitude, INFINITY)) / 2, &above);
    shortest_of_double((magnitude + (double)nextafterf((float)magnitude, 0)) / 2, &below);
    return above.len < s->len || below.len < s->len || same_digits(s, &above) ||
           same_digits(s, &below);
}

/* The shortest digits, but in a close call the shortest of the same number as a double. */
static void shortest_of_float(float v, shortest *s)
{
    char text[32];
    shortest wide;

    take_apart(text, kal_format_float(v, text), s);
    if (s->point >= s->len)
        drop_idle_digits(s, (double)v, true);
    shortest_of_double((double)v, &wide);
    if (wide.len > s->len && is_close_call(v, s, &wide))
        *s = wide;
}

static bool format_non_finite(double v, kal_buf *out)
{
    if (isfinite(v))
        return false;
    if (signbit(v))
        kal_buf_append_byte(out, '-');
    kal_buf_append_cstr(out, isnan(v) ? "nan" : "inf");
    return true;
}

/* DuckDB's layout: plain from 0.0001 up to below 1e16, else an exponent. */
static void lay_out(const shortest *s, kal_buf *out)
{
    if (s->negative)
        kal_buf_append_byte(out, '-');
    if (s->point < -3 || s->point > 16)
        lay_out_exponent(s, s->point - 1, out);
    else
        lay_out_plain(s, out);
}

void kal_double_format(double v, kal_buf *out)
{
    shortest s;
    if (format_non_finite(v, out))
        return;
    shortest_of_double(v, &s);
    lay_out(&s, out);
}

void kal_float_format(float v, kal_buf *out)
{
    shortest s;
    if (format_non_finite((double)v, out))
        return;
    shortest_of_float(v, &s);
    lay_out(&s, out);
}
