#include "base/json_writer.h"
#include "unit/base/seed.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void assert_content(const kal_buf *buf, const char *expected)
{
    if (buf->len != strlen(expected) || memcmp(buf->ptr, expected, buf->len) != 0)
        fail_msg("got %.*s, expected %s", (int)buf->len, (const char *)buf->ptr, expected);
}

/* Goal: commas and colons come by themselves. Method: every kind of value, nested both ways. */
static void test_structure(void **state)
{
    kal_buf buf;
    kal_json_writer w;
    (void)state;
    kal_buf_init(&buf, NULL);
    kal_json_writer_init(&w, &buf);
    kal_json_begin_object(&w);
    kal_json_key(&w, "a");
    kal_json_begin_array(&w);
    kal_json_end_array(&w);
    kal_json_key_bytes(&w, KAL_STR("b"));
    kal_json_begin_array(&w);
    kal_json_null(&w);
    kal_json_bool(&w, true);
    kal_json_bool(&w, false);
    kal_json_i64(&w, INT64_MIN);
    kal_json_u64(&w, UINT64_MAX);
    kal_json_begin_object(&w);
    kal_json_end_object(&w);
    kal_json_begin_object(&w);
    kal_json_key(&w, "x");
    kal_json_raw(&w, KAL_STR("[1]"));
    kal_json_end_object(&w);
    kal_json_double(&w, 0.5);
    kal_json_end_array(&w);
    kal_json_key(&w, "c");
    kal_json_cstr(&w, "");
    kal_json_end_object(&w);
    assert_content(&buf, "{\"a\":[],\"b\":[null,true,false,-9223372036854775808,"
                         "18446744073709551615,{},{\"x\":[1]},0.5],\"c\":\"\"}");
    kal_buf_release(&buf);
}

static void assert_string(kal_bytes text, const char *expected)
{
    kal_buf buf;
    kal_json_writer w;
    kal_buf_init(&buf, NULL);
    kal_json_writer_init(&w, &buf);
    kal_json_string(&w, text);
    assert_content(&buf, expected);
    kal_buf_release(&buf);
}

/* Goal: strings are escaped where JSON asks for it, and repaired where they are not UTF-8. */
static void test_strings(void **state)
{
    (void)state;
    assert_string(KAL_STR("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"");
    assert_string(KAL_STR("\b\f\n\r\t\x01\x1F\x7F"), "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7F\"");
    assert_string(KAL_STR("a\0b"), "\"a\\u0000b\"");
    assert_string(KAL_STR("\xC3\xA9\xF0\x9F\x98\x80"), "\"\xC3\xA9\xF0\x9F\x98\x80\"");
    assert_string(KAL_STR("a\xFF\xC3\n\xED\xA0\x80z\xE2\x82"),
                  "\"a\xEF\xBF\xBD\xEF\xBF\xBD\\n\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz"
                  "\xEF\xBF\xBD\xEF\xBF\xBD\"");
    assert_string((kal_bytes){0}, "\"\"");
}

/* As JSON says it, byte by byte. */
static void escape_plainly(const uint8_t *text, size_t len, char *out)
{
    static const char SHORT[] = "b\bf\fn\nr\rt\t\"\"\\\\";
    *out++ = '"';
    for (size_t i = 0; i < len; i++) {
        const char *found = NULL;
        for (size_t k = 1; k < sizeof SHORT; k += 2)
            found = SHORT[k] == (char)text[i] ? &SHORT[k - 1] : found;
        if (found != NULL)
            out += snprintf(out, 3, "\\%c", *found);
        else if (text[i] < 0x20)
            out += snprintf(out, 7, "\\u%04x", text[i]);
        else
            *out++ = (char)text[i];
    }
    *out++ = '"';
    *out = '\0';
}

/* Goal: an escape is found wherever it stands. Method: every ASCII character at every place of
 * texts of every length up to 24, between letters, the neighbours of what is escaped, characters of
 * two bytes, and random others. */
static void test_escape_anywhere(void **state)
{
    enum { LEN_MAX = 24, TWO_BYTES = 1, RANDOM = 0 };
    static const uint8_t FILLERS[] = {'a',  0x20, 0x21, 0x23,      0x5B,
                                      0x5D, 0x7F, '"',  TWO_BYTES, RANDOM};
    uint8_t text[LEN_MAX + 1];
    char expected[6 * LEN_MAX + 3];
    kal_rng rng;

    (void)state;
    kal_test_seed(&rng);
    for (size_t len = 1; len <= LEN_MAX; len++) {
        for (size_t k = 0; k < len * 0x80 * KAL_ARRAY_LEN(FILLERS); k++) {
            size_t at = k % len;
            uint8_t filler = FILLERS[k / len % KAL_ARRAY_LEN(FILLERS)];
            for (size_t i = 0; i < len; i++)
                text[i] = filler != RANDOM ? filler : (uint8_t)kal_rng_below(&rng, 0x80);
            for (size_t i = at % 2; filler == TWO_BYTES && i < len; i += 2)
                memcpy(&text[i], "\xC3\xBF", 2);
            size_t used = filler == TWO_BYTES ? len - (len - at % 2) % 2 : len;
            if (at < used && filler == TWO_BYTES) /* a whole character is replaced */
                text[at + 1] = 'b';
            text[at] = (uint8_t)(k / len / KAL_ARRAY_LEN(FILLERS));
            used = at < used ? used : at + 1;
            escape_plainly(text, used, expected);
            assert_string(kal_bytes_of(text, used), expected);
        }
    }
}

static void assert_double(double v, const char *expected)
{
    kal_buf buf;
    kal_json_writer w;
    kal_buf_init(&buf, NULL);
    kal_json_writer_init(&w, &buf);
    kal_json_double(&w, v);
    assert_content(&buf, expected);
    kal_buf_release(&buf);
}

/* Goal: doubles are short and exact; what JSON has no number for becomes a string. */
static void test_doubles(void **state)
{
    char text[32];
    (void)state;
    assert_double(0.1, "0.1");
    assert_double(1e30, "1e+30");
    assert_double(-0.0, "-0");
    assert_double(5, "5");
    assert_double(DBL_MAX, "1.7976931348623157e+308");
    assert_double(DBL_TRUE_MIN, "5e-324");
    assert_double(NAN, "\"NaN\"");
    assert_double(-NAN, "\"NaN\"");
    assert_double(INFINITY, "\"Infinity\"");
    assert_double(-INFINITY, "\"-Infinity\"");
    assert_memory_equal(text, "0.1", kal_format_float(0.1f, text));
    assert_memory_equal(text, "nan", kal_format_float(-NAN, text));
    assert_memory_equal(text, "-inf", kal_format_double(-INFINITY, text));

    kal_buf buf;
    kal_json_writer w;
    kal_buf_init(&buf, NULL);
    kal_json_writer_init(&w, &buf);
    kal_json_begin_array(&w);
    kal_json_float(&w, 0.1f);
    kal_json_float(&w, -INFINITY);
    kal_json_end_array(&w);
    assert_content(&buf, "[0.1,\"-Infinity\"]");
    kal_buf_release(&buf);
}

/* Goal: text and bits are each other's inverse. Method: random bit patterns, all exponents, and
 * the C library's strtod as a second reader. */
static void test_float_round_trip(void **state)
{
    kal_rng rng;
    (void)state;
    kal_test_seed(&rng);
    for (int i = 0; i < 50000; i++) {
        char text[33];
        double d;
        double d_back = 0;
        float f;
        float f_back = 0;
        uint64_t bits = kal_rng_next(&rng);
        uint32_t low = (uint32_t)(bits >> 7);
        memcpy(&d, &bits, sizeof d);
        memcpy(&f, &low, sizeof f);
        if (!isfinite(d) || !isfinite(f))
            continue;
        size_t len = kal_format_double(d, text);
        text[len] = '\0';
        assert_true(len <= 24);
        assert_true(kal_parse_double(kal_bytes_of(text, len), &d_back));
        assert_memory_equal(&d, &d_back, sizeof d);
        d_back = strtod(text, NULL);
        assert_memory_equal(&d, &d_back, sizeof d);
        len = kal_format_float(f, text);
        assert_true(kal_parse_float(kal_bytes_of(text, len), &f_back));
        assert_memory_equal(&f, &f_back, sizeof f);
    }
}

typedef struct double_text {
    const char *text;
    bool valid;
    double value;
} double_text;

/* Goal: what counts as the text of a number. Method: a table; NaN is told apart by isnan(). */
static void test_parse_double(void **state)
{
    static const double_text TABLE[] = {
        {"0", true, 0.0},
        {"+1.5", true, 1.5},
        {"-1.5e3", true, -1500},
        {".5", true, 0.5},
        {"1.", true, 1},
        {"00012", true, 12},
        {"1E+2", true, 100},
        {"inf", true, INFINITY},
        {"-Infinity", true, -INFINITY},
        {"NaN", true, NAN},
        {"1.7976931348623157e308", true, DBL_MAX},
        {"1.7976931348623159e308", false, 0},
        {"1e400", false, 0},
        {"-1e99999999999999999999", false, 0},
        {"10000e305", false, 0},
        {"1e-400", true, 0.0},
        {"-1e-99999999999999999999", true, -0.0},
        {"0.00000000001e-315", true, 0.0},
        {"2e-324", true, 0.0},
        {"3e-324", true, DBL_TRUE_MIN},
        {"0e999999999999", true, 0.0},
        {"2.2250738585072011e-308", true, 2.2250738585072011e-308},
        {"9007199254740993", true, 9007199254740992.0},
        {"", false, 0},
        {"+", false, 0},
        {"-", false, 0},
        {"+-1", false, 0},
        {"--1", false, 0},
        {".", false, 0},
        {"e5", false, 0},
        {"1e", false, 0},
        {"1e+", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"0x10", false, 0},
        {"nan(1)", false, 0},
        {"infin", false, 0},
        {"1,5", false, 0},
        {"1_000", false, 0},
    };
    (void)state;
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        double v = 42;
        bool valid = kal_parse_double(kal_cstr(TABLE[i].text), &v);
        if (valid != TABLE[i].valid)
            fail_msg("'%s' is %svalid", TABLE[i].text, valid ? "" : "not ");
        if (!valid)
            assert_true(v == 42); /* untouched */
        else if (isnan(TABLE[i].value))
            assert_true(isnan(v));
        else if (memcmp(&v, &TABLE[i].value, sizeof v) != 0)
            fail_msg("'%s' is %g", TABLE[i].text, v);
    }
    float f = 42;
    assert_true(kal_parse_float(KAL_STR("16777217"), &f));
    assert_true(f == 16777216.0f);
    assert_false(kal_parse_float(KAL_STR("1e39"), &f));
    assert_true(kal_parse_float(KAL_STR("1e-60"), &f));
    assert_true(f == 0.0f);
}

/* Goal: integers up to both ends and not one beyond. */
static void test_parse_i64(void **state)
{
    static const char *const REFUSED[] = {
        "",
        "-",
        "+",
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999",
        "1 ",
        " 1",
        "1.0",
        "0x1",
        "--1",
        "a",
    };
    int64_t v = 0;
    (void)state;
    assert_true(kal_parse_i64(KAL_STR("9223372036854775807"), &v));
    assert_true(v == INT64_MAX);
    assert_true(kal_parse_i64(KAL_STR("-9223372036854775808"), &v));
    assert_true(v == INT64_MIN);
    assert_true(kal_parse_i64(KAL_STR("+007"), &v));
    assert_int_equal(v, 7);
    for (size_t i = 0; i < KAL_ARRAY_LEN(REFUSED); i++) {
        if (kal_parse_i64(kal_cstr(REFUSED[i]), &v))
            fail_msg("'%s' was taken", REFUSED[i]);
    }
    assert_int_equal(v, 7);
}

/* Goal: a reply that exceeds its budget is known at the end by asking the buffer once. */
static void test_budget(void **state)
{
    kal_budget budget;
    kal_buf buf;
    kal_json_writer w;
    (void)state;
    kal_budget_init(&budget, NULL, 100);
    kal_buf_init(&buf, &budget);
    kal_json_writer_init(&w, &buf);
    kal_json_begin_array(&w);
    for (int i = 0; i < 1000; i++)
        kal_json_cstr(&w, "0123456789");
    kal_json_end_array(&w);
    assert_true(kal_buf_failed(&buf));
    assert_true(budget.used <= 100);
    kal_buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure),        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_escape_anywhere),  cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_float_round_trip), cmocka_unit_test(test_parse_double),
        cmocka_unit_test(test_parse_i64),        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
