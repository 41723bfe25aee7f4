/*
 * text_test.c: values as text and as SQL literals. What DuckDB 1.4 prints and reads was tried on it
 * and stands here as tables; that text loses nothing is shown over every type.
 */
#include "unit/types/mapping_testing.h"

static void check_text(fixture *f, const kal_value *v)
{
    kal_value back;
    kal_error err = KAL_ERROR_INIT;
    kal_buf_clear(&f->buf);
    kal_value_to_text(v, &f->buf);
    assert_true(kal_utf8_valid(kal_buf_bytes(&f->buf)));
    uint8_t *copy = test_exact_copy(f->buf.ptr, f->buf.len);
    kal_status status =
        kal_value_from_text(v->type, kal_bytes_of(copy, f->buf.len), &f->arena, &back, &err);
    if (status != KAL_OK || !kal_value_identical(v, &back)) {
        show_failure("the text", v, kal_buf_bytes(&f->buf), err.message);
        fail();
    }
    free(copy);
}

/* Every type x its extremes and random values reads back from its text bit by bit. */
static void test_round_trip(void **state)
{
    each_value(*state, 20, check_text);
}

/* Doubles and floats of all magnitudes; also the powers of two and of ten with their neighbours,
 * where shortest digits go wrong first. */
static void test_floating_round_trip(void **state)
{
    fixture *f = *state;
    for (int exponent = -1074; exponent < 1024; exponent += 3) {
        double power = ldexp(1.0, exponent);
        kal_value v[] = {kal_value_double(power), kal_value_double(nextafter(power, 0)),
                         kal_value_double(-nextafter(power, (double)INFINITY))};
        for (size_t i = 0; i < KAL_ARRAY_LEN(v); i++)
            check_text(f, &v[i]);
    }
    for (int exponent = -149; exponent < 128; exponent++) {
        float power = ldexpf(1.0f, exponent);
        kal_value v[] = {kal_value_float(power), kal_value_float(nextafterf(power, 0)),
                         kal_value_float(-nextafterf(power, INFINITY))};
        for (size_t i = 0; i < KAL_ARRAY_LEN(v); i++)
            check_text(f, &v[i]);
    }
    for (unsigned i = 0; i < 3000; i++) {
        kal_value d = kal_value_double(random_double(&f->rng));
        kal_value s = kal_value_float(random_float(&f->rng));
        check_text(f, &d);
        check_text(f, &s);
    }
}

/* The printed form, by a table. */
static void test_printed(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *type, *in, *out;
    } TABLE[] = {
        {"BOOLEAN", "t", "true"},
        {"BOOLEAN", "0", "false"},
        {"SMALLINT", "-32768", "-32768"},
        {"BIGINT", "9223372036854775807", "9223372036854775807"},
        {"DOUBLE", "1", "1.0"},
        {"DOUBLE", "-0", "-0.0"},
        {"DOUBLE", "0.0001", "0.0001"},
        {"DOUBLE", "0.00001", "1e-05"},
        {"DOUBLE", "1e15", "1000000000000000.0"},
        {"DOUBLE", "1e16", "1e+16"},
        {"DOUBLE", "123456789012345678", "1.2345678901234568e+17"},
        {"DOUBLE", "NaN", "nan"},
        {"DOUBLE", "-Infinity", "-inf"},
        {"DOUBLE", "1e400", "inf"},
        {"DOUBLE", "-1e-400", "-0.0"},
        {"FLOAT", "0.1", "0.1"},
        {"FLOAT", "16777217", "16777216.0"},
        {"FLOAT", "123456792", "123456790.0"},
        {"FLOAT", "3.4028235e38", "3.4028235e+38"},
        {"DECIMAL(10,2)", "1.5", "1.50"},
        {"DECIMAL(10,2)", "-0.005", "-0.01"},
        {"DECIMAL(2,2)", "0.5", ".50"},
        {"DECIMAL(2,2)", "-0.5", "-.50"},
        {"DECIMAL(38,0)", "99999999999999999999999999999999999999",
         "99999999999999999999999999999999999999"},
        {"DECIMAL(38,38)", "0.00000000000000000000000000000000000001",
         ".00000000000000000000000000000000000001"},
        {"TEXT", "it's", "it's"},
        {"DATE", "2024-2-9", "2024-02-09"},
        {"TIME", "1:2:3.5", "01:02:03.5"},
        {"TIMESTAMP", "2024-02-29T13:14:15.5Z", "2024-02-29 13:14:15.5"},
        {"DATETIME", "2024-02-29T13:14:15.5+02:00", "2024-02-29 11:14:15.5+00"},
        {"UUID", "{0123456789ABCDEF-0123456789abcdef}", "01234567-89ab-cdef-0123-456789abcdef"},
        {"BYTES", "a\\x00b", "a\\x00b"},
        {"BYTES", "0x414200", "AB\\x00"},
        {"BYTES", "\\x30x41", "\\x30x41"},
        {"EMBEDDING(3)", "[1, -0.5,\"2e3\"]", "[1.0, -0.5, 2000.0]"},
        {"EMBEDDING(2)", "[nan, -inf]", "[nan, -inf]"},
        {"JSON", " {\"a\" : [1,2]} ", " {\"a\" : [1,2]} "},
        {"FILE", " {\"a\" : [1, 2]} ", "{\"a\":[1,2]}"},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        kal_value v = value_of(f, type_of(TABLE[i].type), TABLE[i].in);
        assert_int_equal(kal_value_validate(&v, NULL), KAL_OK);
        assert_string_equal(text_of(f, &v), TABLE[i].out);
    }
    kal_value null = kal_value_null(kal_type_of(KAL_TYPE_INT));
    assert_string_equal(text_of(f, &null), "NULL");
}

/* What is no value of the type is KAL_INVALID with a message that says so. */
static void test_refused(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *type, *in, *message;
    } TABLE[] = {
        {"INT", "abc", "'abc' is not a valid INT"},
        {"INT", "", "'' is not a valid INT"},
        {"INT", "1 2", "'1 2' is not a valid INT"},
        {"SMALLINT", "40000", "value 40000 is out of range for SMALLINT (-32768 to 32767)"},
        {"BIGINT", "9223372036854775808",
         "value 9223372036854775808 is out of range for BIGINT (-9223372036854775808 to "
         "9223372036854775807)"},
        {"BOOLEAN", "maybe", "'maybe' is not a valid BOOLEAN"},
        {"DOUBLE", "1,5", "'1,5' is not a valid DOUBLE"},
        {"DECIMAL(4,2)", "100", "value 100 is out of range for DECIMAL(4,2)"},
        {"DECIMAL(4,2)", "99.995", "value 99.995 is out of range for DECIMAL(4,2)"},
        {"DECIMAL(4,2)", "1.2.3", "'1.2.3' is not a valid DECIMAL(4,2)"},
        {"DATE", "2023-02-29", "value 2023-02-29 is out of range for DATE"},
        {"DATE", "tomorrow", "'tomorrow' is not a valid DATE"},
        {"TIME", "25:00:00", "value 25:00:00 is out of range for TIME"},
        {"DATETIME", "2024-01-01 00:00:00 Europe/Berlin",
         "'2024-01-01 00:00:00 Europe/Berlin' is not a valid DATETIME"},
        {"UUID", "0123", "'0123' is not a valid UUID"},
        {"UUID", "01234567-89ab-cdef-0123-456789abcdefa",
         "'01234567-89ab-cdef-0123-456789abcdefa' is not a valid UUID"},
        {"BYTES", "0xA", "'0xA' is not a valid BYTES"},
        {"BYTES", "a\\xg0", "'a\\xg0' is not a valid BYTES"},
        {"BYTES", "\xC3\xA9", "'\xC3\xA9' is not a valid BYTES"},
        {"EMBEDDING(3)", "[1, 2]", "expected an embedding of 3 numbers, got 2"},
        {"EMBEDDING(1)", "[]", "expected an embedding of 1 numbers, got 0"},
        {"EMBEDDING(1)", "1", "'1' is not a valid EMBEDDING(1)"},
        {"EMBEDDING(2)", "[1, x]", "'x' is not a valid FLOAT"},
        {"EMBEDDING(2)", "[1, 1e39]", "value 1e39 is out of range for FLOAT"},
        {"FILE", "[]", "FILE must be a JSON object, not array"},
        {"TEXT", "\xFF", "the text is not valid UTF-8"},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        kal_value v;
        kal_error err = KAL_ERROR_INIT;
        kal_status status =
            kal_value_from_text(type_of(TABLE[i].type), kal_cstr(TABLE[i].in), &f->arena, &v, &err);
        assert_string_equal(err.message, TABLE[i].message);
        assert_int_equal(status, KAL_INVALID);
    }
}

/* A long or many-lined text is shown short, on one line, cut between characters. */
static void test_shown_text(void **state)
{
    fixture *f = *state;
    kal_value v;
    kal_error err = KAL_ERROR_INIT;
    char text[200] = "a\nb\x7F";
    for (size_t i = strlen(text); i + 3 < sizeof text; i += 2)
        memcpy(text + i, "\xC3\xA9", 3);
    assert_int_equal(kal_value_from_text(type_of("INT"), kal_cstr(text), &f->arena, &v, &err),
                     KAL_INVALID);
    assert_true(kal_utf8_valid(kal_cstr(err.message)));
    assert_non_null(strstr(err.message, "'a?b?"));
    assert_non_null(strstr(err.message, "...' is not a valid INT"));
    assert_true(strlen(err.message) < 120);
}

/* Whatever bytes arrive: an answer and, when it is a value, one that validates and prints. Method:
 * damaged texts of every type, and short texts over the alphabet of all formats. */
static void test_malformed(void **state)
{
    fixture *f = *state;
    static const char ALPHABET[] = "0123456789-+.eE_:TZxX\\[]{},\" '()/nainfBCutrl";
    kal_type type;
    for (size_t i = 0; test_type_at(i, &type); i++) {
        bool is_large = type.tag == KAL_TYPE_EMBEDDING && type.dim > 1;
        for (unsigned k = 0; k < (is_large ? 4u : 300u); k++) {
            kal_value v = random_value(&f->rng, type, &f->arena);
            kal_buf_clear(&f->buf);
            kal_value_to_text(&v, &f->buf);
            size_t len = f->buf.len;
            uint8_t *copy = test_exact_copy(f->buf.ptr, len);
            if (k % 2 == 0) {
                random_mutate(&f->rng, copy, len);
            } else {
                free(copy);
                len = (size_t)kal_rng_below(&f->rng, 14);
                copy = malloc(len + 1);
                assert_non_null(copy);
                for (size_t at = 0; at < len; at++)
                    copy[at] =
                        (uint8_t)ALPHABET[kal_rng_below(&f->rng, KAL_ARRAY_LEN(ALPHABET) - 1)];
            }
            kal_error err = KAL_ERROR_INIT;
            kal_status status =
                kal_value_from_text(type, kal_bytes_of(copy, len), &f->arena, &v, &err);
            if (status == KAL_OK) {
                assert_int_equal(kal_value_validate(&v, &err), KAL_OK);
                assert_true(kal_type_equal(v.type, type));
                if (type.tag != KAL_TYPE_JSON)
                    check_text(f, &v);
            } else {
                assert_true(status == KAL_INVALID || status == KAL_LIMIT);
                assert_true(err.message[0] != '\0');
                assert_true(kal_utf8_valid(kal_cstr(err.message)));
            }
            free(copy);
        }
        kal_arena_reset(&f->arena);
    }
}

/* SQL literals, by a table: the type is in the literal wherever it would not be clear. */
static void test_sql(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *type, *in, *out;
    } TABLE[] = {
        {"BOOLEAN", "true", "true"},
        {"INT", "-5", "-5"},
        {"DOUBLE", "1.5", "1.5e0"},
        {"DOUBLE", "1e16", "1e+16"},
        {"DOUBLE", "nan", "DOUBLE 'nan'"},
        {"FLOAT", "0.1", "FLOAT '0.1'"},
        {"DECIMAL(4,2)", "1.5", "1.50"},
        {"DECIMAL(2,2)", "0.5", "0.50"},
        {"TEXT", "it's", "'it''s'"},
        {"TEXT", "", "''"},
        {"TEXT", "''", "''''''"},
        {"DATE", "2024-02-29", "DATE '2024-02-29'"},
        {"DATETIME", "2024-02-29", "DATETIME '2024-02-29 00:00:00+00'"},
        {"EMBEDDING(2)", "[0.5,1]", "EMBEDDING(2) '[0.5, 1.0]'"},
        {"JSON", "{\"a\":\"it's\"}", "JSON '{\"a\":\"it''s\"}'"},
        {"BYTES", "'", "BYTES '\\x27'"},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        kal_value v = value_of(f, type_of(TABLE[i].type), TABLE[i].in);
        kal_buf_clear(&f->buf);
        kal_buf_append_cstr(&f->buf, "x = "); /* nothing before the literal is touched */
        kal_value_to_sql(&v, &f->buf);
        const char *sql = kal_arena_cstr(&f->arena, kal_buf_bytes(&f->buf));
        assert_memory_equal(sql, "x = ", 4);
        assert_string_equal(sql + 4, TABLE[i].out);
    }
}

/* A literal's text, between its quotes, is the value: nothing inside ends it early. Method: every
 * type; the quotes are undone here, by hand. */
static void check_sql(fixture *f, const kal_value *v)
{
    kal_buf_clear(&f->buf);
    kal_value_to_sql(v, &f->buf);
    const uint8_t *p = f->buf.ptr;
    const uint8_t *end = f->buf.ptr + f->buf.len;
    const uint8_t *quote = memchr(p, '\'', f->buf.len);
    kal_buf text;
    kal_value back;
    kal_error err = KAL_ERROR_INIT;

    if (quote == NULL) {
        assert_int_equal(
            kal_value_from_text(v->type, kal_buf_bytes(&f->buf), &f->arena, &back, &err), KAL_OK);
        assert_true(kal_value_identical(v, &back));
        return;
    }
    kal_buf_init(&text, NULL);
    for (p = quote + 1; p < end - 1; p++) {
        kal_buf_append_byte(&text, *p);
        if (*p == '\'') {
            assert_true(p + 1 < end - 1 && p[1] == '\'');
            p++;
        }
    }
    assert_int_equal(*p, '\'');
    if (kal_value_from_text(v->type, kal_buf_bytes(&text), &f->arena, &back, &err) != KAL_OK ||
        !kal_value_identical(v, &back)) {
        show_failure("the literal", v, kal_buf_bytes(&f->buf), err.message);
        fail();
    }
    kal_buf_release(&text);
}

static void test_sql_round_trip(void **state)
{
    each_value(*state, 10, check_sql);
}

/* A budget refuses a large text with KAL_LIMIT, both ways, and never half of it. */
static void test_budget(void **state)
{
    fixture *f = *state;
    kal_budget budget;
    kal_arena small;
    kal_value v;
    kal_error err = KAL_ERROR_INIT;
    kal_value large =
        kal_value_bytes(type_of("BYTES"), test_fill(0xFF, TEST_TEXT_BYTES_MAX, &f->arena));

    kal_budget_init(&budget, NULL, 100000);
    kal_arena_init(&small, &budget);
    kal_buf_clear(&f->buf);
    kal_value_to_text(&large, &f->buf);
    assert_int_equal(
        kal_value_from_text(type_of("BYTES"), kal_buf_bytes(&f->buf), &small, &v, &err), KAL_LIMIT);
    large = kal_value_bytes(type_of("EMBEDDING(8192)"), test_embedding_of(1, 8192, &f->arena));
    kal_buf_clear(&f->buf);
    kal_value_to_text(&large, &f->buf);
    kal_budget tiny;
    kal_arena tiny_arena;
    kal_budget_init(&tiny, NULL, 1000);
    kal_arena_init(&tiny_arena, &tiny);
    assert_int_equal(kal_value_from_text(large.type, kal_buf_bytes(&f->buf), &tiny_arena, &v, &err),
                     KAL_LIMIT);
    kal_arena_release(&tiny_arena);
    kal_arena_release(&small);

    kal_buf out;
    kal_budget_init(&budget, NULL, 1000);
    kal_buf_init(&out, &budget);
    kal_value_to_text(&large, &out);
    assert_true(kal_buf_failed(&out));
    kal_buf_clear(&out);
    kal_value_to_sql(&large, &out);
    assert_true(kal_buf_failed(&out));
    kal_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(test_round_trip), UNIT(test_floating_round_trip), UNIT(test_printed),
        UNIT(test_refused),    UNIT(test_shown_text),          UNIT(test_malformed),
        UNIT(test_sql),        UNIT(test_sql_round_trip),      UNIT(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
