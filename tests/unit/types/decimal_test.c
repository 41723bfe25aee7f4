/*
 * decimal_test.c: numbers as text, against exact arithmetic on digit strings and against libc.
 */
#include "unit/types/mapping_testing.h"

#include "base/json_writer.h"
#include "types/text_internal.h"

#include <inttypes.h>

/* --- the oracle: schoolbook arithmetic on the digits -------------------------------------------
 */

enum { ORACLE_DIGITS = 400 };

/* digits * 10^exponent, as an integer times 10^scale, rounded half away from zero on the first
 * digit dropped; false when that has more than 38 digits. */
static bool oracle_scaled(const char *digits, int exponent, int scale, kal_i128 *out)
{
    char all[ORACLE_DIGITS];
    int count = (int)strlen(digits);
    int keep = count + exponent + scale;
    kal_i128 v = 0;

    assert_true(keep < ORACLE_DIGITS);
    for (int i = 0; i < ORACLE_DIGITS; i++)
        all[i] = i < count ? digits[i] : '0';
    for (int i = 0; i < keep; i++) {
        if (v > test_pow10(37))
            return false;
        v = v * 10 + (all[i] - '0');
    }
    if (keep >= 0 && keep < count && digits[keep] >= '5')
        v++;
    *out = v;
    return v < test_pow10(38);
}

/* Parsing equals the oracle: random digits, point anywhere, exponents, signs, every scale. */
static void test_parse(void **state)
{
    fixture *f = *state;
    unsigned valid = 0;
    for (unsigned i = 0; i < 100000; i++) {
        char digits[64];
        char text[160];
        int count = 1 + (int)kal_rng_below(&f->rng, 45);
        int point = (int)kal_rng_below(&f->rng, (uint64_t)count + 1);
        int exponent = kal_rng_chance(&f->rng, 1, 2) ? 0 : (int)kal_rng_below(&f->rng, 81) - 40;
        unsigned scale = (unsigned)kal_rng_below(&f->rng, 39);
        bool negative = kal_rng_chance(&f->rng, 1, 2);
        bool nines = kal_rng_chance(&f->rng, 1, 4); /* where rounding carries */
        for (int k = 0; k < count; k++)
            digits[k] = (char)('0' + (nines ? 9 - (int)kal_rng_below(&f->rng, 2) * 5
                                            : (int)kal_rng_below(&f->rng, 10)));
        digits[count] = '\0';
        int len = snprintf(text, sizeof text, "%s%.*s.%s", negative ? "-" : "", point, digits,
                           digits + point);
        if (exponent != 0)
            snprintf(text + len, sizeof text - (size_t)len, "e%d", exponent);
        kal_i128 expected = 0;
        kal_i128 got = 0;
        bool fits = oracle_scaled(digits, point - count + exponent, (int)scale, &expected);
        bool parsed = kal_decimal_parse(kal_cstr(text), scale, &got);
        if (parsed != fits || (fits && got != (negative ? -expected : expected)))
            fail_msg("'%s' with scale %u: parsed %d, fits %d", text, scale, parsed, fits);
        valid += fits;
    }
    assert_true(valid > 10000);
}

/* Formatting and parsing are inverse for every scale; the form is that of printf on the parts. */
static void test_format(void **state)
{
    fixture *f = *state;
    for (unsigned scale = 0; scale <= 38; scale++) {
        for (unsigned i = 0; i < 200; i++) {
            kal_i128 v = i == 0 ? 0 : random_decimal(&f->rng, 38);
            kal_i128 back = 1;
            kal_buf_clear(&f->buf);
            kal_decimal_format(v, scale, &f->buf);
            assert_true(kal_decimal_parse(kal_buf_bytes(&f->buf), scale, &back));
            assert_true(back == v);
            const char *text = kal_arena_cstr(&f->arena, kal_buf_bytes(&f->buf));
            const char *point = strchr(text, '.');
            assert_int_equal(point == NULL, scale == 0);
            if (point != NULL)
                assert_int_equal(strlen(point + 1), scale);
            assert_int_equal(text[0] == '-', v < 0);
            const char *first = text + (v < 0);
            assert_true(first[0] != '0' || first[1] == '.' || first[1] == '\0');
        }
        kal_arena_reset(&f->arena);
    }
    for (unsigned exponent = 0; exponent <= 38; exponent++)
        assert_true(kal_pow10(exponent) == test_pow10(exponent));
}

/* What is a number and what is none, by a table. */
static void test_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
        int64_t hundredths;
    } TABLE[] = {
        {"1", true, 100},
        {" +1.5 ", true, 150},
        {"-.5", true, -50},
        {"5.", true, 500},
        {"1_000.25", true, 100025},
        {"1e2", true, 10000},
        {"1E+2", true, 10000},
        {"12345e-4", true, 123},
        {"0e99", true, 0},
        {"0e999999999", false, 0},
        {"1e-999999999", false, 0},
        {"0.005", true, 1},
        {"-0.005", true, -1},
        {"0.0049999999999999999999999999999999999999999", true, 0},
        {"", false, 0},
        {" ", false, 0},
        {".", false, 0},
        {"+", false, 0},
        {"+-1", false, 0},
        {"1__0", false, 0},
        {"_1", false, 0},
        {"1_", false, 0},
        {"1_.5", false, 0},
        {"1e", false, 0},
        {"1e+", false, 0},
        {"0x10", false, 0},
        {"1 2", false, 0},
        {"nan", false, 0},
        {"inf", false, 0},
        {"1.2.3", false, 0},
        {"--1", false, 0},
        {"1e1.5", false, 0},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        kal_i128 v = 0;
        bool parsed = kal_decimal_parse(kal_cstr(TABLE[i].text), 2, &v);
        if (parsed != TABLE[i].valid || (parsed && v != TABLE[i].hundredths))
            fail_msg("'%s': parsed %d", TABLE[i].text, parsed);
    }
}

/* Integers of the three widths accept exactly their range; bases and underscores. */
static void test_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        kal_parse parsed;
        int64_t v;
    } TABLE[] = {
        {"0x1F", KAL_PARSE_OK, 31},
        {"0b101", KAL_PARSE_OK, 5},
        {"0x_1", KAL_PARSE_FORMAT, 0},
        {"0x1_F", KAL_PARSE_OK, 31},
        {"0x", KAL_PARSE_FORMAT, 0},
        {"0b2", KAL_PARSE_FORMAT, 0},
        {"0x7FFFFFFFFFFFFFFF", KAL_PARSE_OK, INT64_MAX},
        {"0x8000000000000000", KAL_PARSE_RANGE, 0},
        {"-9223372036854775808", KAL_PARSE_OK, INT64_MIN},
        {"-9223372036854775809", KAL_PARSE_RANGE, 0},
        {"1e3", KAL_PARSE_OK, 1000},
        {"1.5", KAL_PARSE_OK, 2},
        {"-1.5", KAL_PARSE_OK, -2},
        {"99999999999999999999999999999999999999999", KAL_PARSE_RANGE, 0},
        {"1x", KAL_PARSE_FORMAT, 0},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        int64_t v = 0;
        assert_int_equal(kal_integer_parse(kal_cstr(TABLE[i].text), INT64_MIN, INT64_MAX, &v),
                         TABLE[i].parsed);
        if (TABLE[i].parsed == KAL_PARSE_OK)
            assert_true(v == TABLE[i].v);
    }
    int64_t v;
    assert_int_equal(kal_integer_parse(KAL_STR("32768"), INT16_MIN, INT16_MAX, &v),
                     KAL_PARSE_RANGE);
    assert_int_equal(kal_integer_parse(KAL_STR("-32768"), INT16_MIN, INT16_MAX, &v), KAL_PARSE_OK);
}

/* Doubles and floats read as strtod and strtof do, and what is printed has no more digits than
 * needed: the shortest of %.{1..17}g that reads back is never shorter. */
static void test_floating(void **state)
{
    fixture *f = *state;
    for (unsigned i = 0; i < 20000; i++) {
        char text[64];
        double d = random_double(&f->rng);
        double got = 0;
        float got32 = 0;
        if (!isfinite(d))
            continue;
        snprintf(text, sizeof text, "%.*g", (int)kal_rng_below(&f->rng, 19), d);
        assert_int_equal(kal_double_parse(kal_cstr(text), false, &f->arena, &got), KAL_PARSE_OK);
        assert_true(got == strtod(text, NULL));
        assert_int_equal(kal_float_parse(kal_cstr(text), false, &f->arena, &got32), KAL_PARSE_OK);
        float expected32 = strtof(text, NULL);
        if (got32 != expected32)
            fail_msg("'%s' as FLOAT is %.9g, expected %.9g", text, (double)got32,
                     (double)expected32);
    }
}

static size_t count_significant(const char *text)
{
    size_t digits = 0;
    size_t zeros = 0;
    for (; *text != '\0' && *text != 'e'; text++) {
        if (*text < '0' || *text > '9' || (digits == 0 && *text == '0'))
            continue;
        zeros = *text == '0' ? zeros + 1 : 0;
        digits++;
    }
    return digits - zeros;
}

static void test_shortest(void **state)
{
    fixture *f = *state;
    for (unsigned i = 0; i < 3000; i++) {
        double d = random_double(&f->rng);
        char shortest[64];
        int precision = 0;
        if (!isfinite(d) || d == 0)
            continue;
        do
            snprintf(shortest, sizeof shortest, "%.*e", precision++, d);
        while (strtod(shortest, NULL) != d);
        kal_buf_clear(&f->buf);
        kal_double_format(d, &f->buf);
        kal_buf_append_byte(&f->buf, '\0');
        const char *text = (const char *)f->buf.ptr;
        assert_true(strtod(text, NULL) == d);
        if (count_significant(text) != count_significant(shortest))
            fail_msg("%s is not the shortest, %s", text, shortest);
    }
}

/* Too large becomes an infinity, or is refused where only finite numbers are; too small is zero
 * with its sign. */
static void test_overflow(void **state)
{
    fixture *f = *state;
    double d = 0;
    float s = 0;
    assert_int_equal(kal_double_parse(KAL_STR("1e309"), false, &f->arena, &d), KAL_PARSE_OK);
    assert_true(isinf(d) && d > 0);
    assert_int_equal(kal_double_parse(KAL_STR("-1e999999"), false, &f->arena, &d), KAL_PARSE_OK);
    assert_true(isinf(d) && d < 0);
    assert_int_equal(kal_double_parse(KAL_STR("1e309"), true, &f->arena, &d), KAL_PARSE_RANGE);
    assert_int_equal(kal_double_parse(KAL_STR("-1e-999999"), true, &f->arena, &d), KAL_PARSE_OK);
    assert_true(d == 0 && signbit(d));
    assert_int_equal(kal_double_parse(KAL_STR("0.0000e99999"), true, &f->arena, &d), KAL_PARSE_OK);
    assert_true(d == 0 && !signbit(d));
    assert_int_equal(kal_float_parse(KAL_STR("3.4028236e38"), true, &f->arena, &s),
                     KAL_PARSE_RANGE);
    assert_int_equal(kal_float_parse(KAL_STR("3.4028235e38"), true, &f->arena, &s), KAL_PARSE_OK);
    assert_true(s == FLT_MAX);
    assert_int_equal(kal_float_parse(KAL_STR("1_0.2_5"), true, &f->arena, &s), KAL_PARSE_OK);
    assert_true(s == 10.25f);
    assert_int_equal(kal_float_parse(KAL_STR("inf"), true, &f->arena, &s), KAL_PARSE_OK);
    assert_true(isinf(s)); /* written as such, not an overflow */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(test_parse),    UNIT(test_format),   UNIT(test_forms),    UNIT(test_integers),
        UNIT(test_floating), UNIT(test_shortest), UNIT(test_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
