#include "schema_testing.h"

#include "types/text.h"
#include "unit/types/random_value.h"

static kal_column_default literal(kal_value value)
{
    return (kal_column_default){.kind = KAL_DEFAULT_LITERAL, .literal = value};
}

static kal_column_default call(kal_default_function function, uint32_t arg_count, int64_t arg)
{
    return (kal_column_default){
        .kind = KAL_DEFAULT_FUNCTION, .function = function, .arg_count = arg_count, .args = {arg}};
}

static const char *json_of(testing *t, const kal_column_default *def)
{
    kal_json_writer w;
    kal_json_writer_init(&w, &t->buf);
    kal_column_default_write_json(def, &w);
    return testing_take_text(t);
}

static const char *sql_of(testing *t, const kal_column_default *def)
{
    kal_column_default_to_sql(def, &t->buf);
    return testing_take_text(t);
}

static kal_status validate(testing *t, const kal_column_default *def, kal_type type)
{
    return kal_column_default_validate(def, type, KAL_STR("c"), &t->err);
}

/* Through both serial forms and back, equal each time. */
static void check_round_trip(testing *t, const kal_column_default *def, kal_type type)
{
    kal_column_default back;
    kal_bytes input;

    testing_ok(t, kal_column_default_from_json(testing_json(t, json_of(t, def)), type, &t->arena,
                                               &back, &t->err));
    assert_true(kal_column_default_equal(def, &back));
    testing_ok(t, validate(t, &back, type));

    kal_column_default_encode(def, &t->buf);
    input = kal_buf_bytes(&t->buf);
    testing_ok(t, kal_column_default_decode(&input, &t->arena, &back, &t->err));
    assert_int_equal(input.len, 0);
    assert_true(kal_column_default_equal(def, &back));
    kal_buf_clear(&t->buf);
}

/* Goal: no default is the JSON "None", no SQL at all, and fits every type. Method: literal texts.
 */
static void test_none(void **state)
{
    testing *t = *state;
    kal_column_default none = {0};
    kal_type type;

    assert_string_equal(json_of(t, &none), "\"None\"");
    assert_string_equal(sql_of(t, &none), "");
    for (size_t i = 0; test_type_at(i, &type); i++) {
        testing_ok(t, validate(t, &none, type));
        check_round_trip(t, &none, type);
    }
}

/* Goal: literals have the reference's JSON and SQL shapes. Method: a table of literal texts. */
static void test_literal_texts(void **state)
{
    testing *t = *state;
    const struct {
        kal_value value;
        const char *json;
        const char *sql;
    } CASES[] = {
        {kal_value_boolean(true), "{\"Literal\":true}", "true"},
        {kal_value_integer(KAL_TYPE_SMALLINT, -7), "{\"Literal\":-7}", "-7"},
        {kal_value_integer(KAL_TYPE_INT, 42), "{\"Literal\":42}", "42"},
        {kal_value_bigint(INT64_MAX), "{\"Literal\":9223372036854775807}", "9223372036854775807"},
        {kal_value_bigint(INT64_MIN), "{\"Literal\":-9223372036854775808}", NULL},
        {kal_value_text(KAL_STR("it's")), "{\"Literal\":\"it's\"}", "'it''s'"},
        {kal_value_text(KAL_STR("")), "{\"Literal\":\"\"}", "''"},
        {kal_value_decimal(kal_type_decimal(10, 2), -150), "{\"Literal\":\"-1.50\"}", "-1.50"},
        {kal_value_bytes(kal_type_of(KAL_TYPE_BYTES), KAL_STR("\x00\xFF")), "{\"Literal\":[0,255]}",
         NULL},
        {kal_value_bytes(kal_type_embedding(2), KAL_STR("\0\0\0\x3F\0\0\x80\xBF")),
         "{\"Literal\":[0.5,-1]}", "'[0.5, -1.0]'"},
        {kal_value_bytes(kal_type_of(KAL_TYPE_JSON), KAL_STR("{\"a\":[1]}")),
         "{\"Literal\":\"{\\\"a\\\":[1]}\"}", NULL},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(CASES); i++) {
        kal_column_default def = literal(CASES[i].value);
        assert_string_equal(json_of(t, &def), CASES[i].json);
        if (CASES[i].sql != NULL)
            assert_string_equal(sql_of(t, &def), CASES[i].sql);
        testing_ok(t, validate(t, &def, CASES[i].value.type));
        check_round_trip(t, &def, CASES[i].value.type);
    }
}

/* Goal: a literal of every type, extremes included, survives JSON and binary bit for bit. Method:
 * the extreme values of all types, then random ones. */
static void test_literal_of_every_type(void **state)
{
    testing *t = *state;
    kal_rng rng;
    kal_type type;
    kal_value value;

    test_seed_rng(&rng);
    for (size_t i = 0; test_type_at(i, &type); i++) {
        for (size_t k = 0; test_extreme_value(type, k, &t->arena, &value); k++) {
            kal_column_default def = literal(value);
            testing_ok(t, validate(t, &def, type));
            check_round_trip(t, &def, type);
        }
        for (int k = 0; k < 20; k++) {
            kal_column_default def = literal(random_value(&rng, type, &t->arena));
            testing_ok(t, validate(t, &def, type));
            check_round_trip(t, &def, type);
        }
        kal_buf_release(&t->buf);
        kal_arena_reset(&t->arena);
    }
}

/* Goal: a literal must be a valid, non-NULL value of exactly the column's type. Method: one of each
 * kind of mismatch, its message compared. */
static void test_literal_refused(void **state)
{
    testing *t = *state;
    kal_column_default def = literal(kal_value_text(KAL_STR("7")));

    testing_refused(t, validate(t, &def, kal_type_of(KAL_TYPE_INT)), KAL_INVALID,
                    "DEFAULT of column 'c' is TEXT, the column is INT");
    def = literal(kal_value_decimal(kal_type_decimal(10, 2), 1));
    testing_refused(t, validate(t, &def, kal_type_decimal(10, 3)), KAL_INVALID,
                    "DEFAULT of column 'c' is DECIMAL(10,2), the column is DECIMAL(10,3)");
    def = literal(kal_value_null(kal_type_of(KAL_TYPE_INT)));
    testing_refused(t, validate(t, &def, kal_type_of(KAL_TYPE_INT)), KAL_INVALID,
                    "DEFAULT of column 'c' is NULL, the column is INT");
    def = literal(kal_value_integer(KAL_TYPE_SMALLINT, 40000));
    assert_int_equal(validate(t, &def, kal_type_of(KAL_TYPE_SMALLINT)), KAL_INVALID);
    def = literal(kal_value_text(KAL_STR("\xFF")));
    assert_int_equal(validate(t, &def, kal_type_of(KAL_TYPE_TEXT)), KAL_INVALID);
}

/* Goal: a JSON or FILE literal that is no JSON cannot become part of a definition, whose own JSON
 * form would break on it. Method: broken texts, and a FILE that is no object. */
static void test_literal_broken_json_refused(void **state)
{
    testing *t = *state;
    static const char *const BROKEN[] = {"", "{", "{\"a\":1,}", "[1] 2", "nul"};

    for (size_t i = 0; i < KAL_ARRAY_LEN(BROKEN); i++) {
        for (int file = 0; file < 2; file++) {
            kal_type type = kal_type_of(file ? KAL_TYPE_FILE : KAL_TYPE_JSON);
            kal_column_default def = literal(kal_value_bytes(type, kal_cstr(BROKEN[i])));
            assert_int_equal(validate(t, &def, type), KAL_INVALID);
        }
    }
    kal_type type = kal_type_of(KAL_TYPE_FILE);
    kal_column_default def = literal(kal_value_bytes(type, KAL_STR("[1]")));
    assert_int_equal(validate(t, &def, type), KAL_INVALID);
}

/* Goal: calls have the reference's JSON and SQL shapes. Method: literal texts. */
static void test_function_texts(void **state)
{
    testing *t = *state;
    kal_column_default now = call(KAL_FUNCTION_NOW, 0, 0);
    kal_column_default stamp = call(KAL_FUNCTION_CURRENT_TIMESTAMP, 1, 3);

    assert_string_equal(json_of(t, &now), "{\"FunctionCall\":{\"name\":\"NOW\",\"args\":[]}}");
    assert_string_equal(sql_of(t, &now), "NOW()");
    assert_string_equal(json_of(t, &stamp),
                        "{\"FunctionCall\":{\"name\":\"CURRENT_TIMESTAMP\",\"args\":[3]}}");
    assert_string_equal(sql_of(t, &stamp), "CURRENT_TIMESTAMP(3)");
    check_round_trip(t, &now, kal_type_of(KAL_TYPE_TIMESTAMP));
    check_round_trip(t, &stamp, kal_type_of(KAL_TYPE_DATETIME));
}

/* Goal: each function fills exactly the types it is meant for. Method: all functions against all
 * types, compared with the table written here. */
static void test_function_types(void **state)
{
    testing *t = *state;
    static const struct {
        kal_default_function function;
        kal_type_tag fits[2];
    } RULES[] = {
        {KAL_FUNCTION_NOW, {KAL_TYPE_TIMESTAMP, KAL_TYPE_DATETIME}},
        {KAL_FUNCTION_CURRENT_TIMESTAMP, {KAL_TYPE_TIMESTAMP, KAL_TYPE_DATETIME}},
        {KAL_FUNCTION_SNOWFLAKE_ID, {KAL_TYPE_BIGINT, KAL_TYPE_BIGINT}},
        {KAL_FUNCTION_UUID_V7, {KAL_TYPE_TEXT, KAL_TYPE_UUID}},
        {KAL_FUNCTION_ULID, {KAL_TYPE_TEXT, KAL_TYPE_TEXT}},
        {KAL_FUNCTION_CURRENT_USER, {KAL_TYPE_TEXT, KAL_TYPE_TEXT}},
    };
    kal_type type;

    for (size_t f = 0; f < KAL_ARRAY_LEN(RULES); f++) {
        kal_column_default def = call(RULES[f].function, 0, 0);
        for (size_t i = 0; test_type_at(i, &type); i++) {
            bool fits = type.tag == RULES[f].fits[0] || type.tag == RULES[f].fits[1];
            assert_int_equal(validate(t, &def, type), fits ? KAL_OK : KAL_INVALID);
        }
    }
    t->err = KAL_ERROR_INIT;
    kal_column_default now = call(KAL_FUNCTION_NOW, 0, 0);
    testing_refused(t, validate(t, &now, kal_type_of(KAL_TYPE_TEXT)), KAL_INVALID,
                    "DEFAULT of column 'c': NOW cannot fill a column of type TEXT");
}

/* Goal: too many arguments and arguments out of range are refused with what is right. Method: each
 * bound and one beyond it, as a struct and as JSON. */
static void test_function_arguments(void **state)
{
    testing *t = *state;
    kal_type type = kal_type_of(KAL_TYPE_TIMESTAMP);
    kal_column_default def = call(KAL_FUNCTION_NOW, 1, 3);

    testing_refused(t, validate(t, &def, type), KAL_INVALID,
                    "DEFAULT of column 'c': NOW takes 0 arguments, got 1");
    def = call(KAL_FUNCTION_CURRENT_TIMESTAMP, 2, 3);
    testing_refused(t, validate(t, &def, type), KAL_INVALID,
                    "DEFAULT of column 'c': CURRENT_TIMESTAMP takes at most 1 argument, got 2");
    for (int64_t digits = 0; digits <= 6; digits++) {
        def = call(KAL_FUNCTION_CURRENT_TIMESTAMP, 1, digits);
        testing_ok(t, validate(t, &def, type));
    }
    def = call(KAL_FUNCTION_CURRENT_TIMESTAMP, 1, 7);
    testing_refused(t, validate(t, &def, type), KAL_INVALID,
                    "DEFAULT of column 'c': argument of CURRENT_TIMESTAMP must be between 0 and 6, "
                    "got 7");
    def = call(KAL_FUNCTION_CURRENT_TIMESTAMP, 1, -1);
    assert_int_equal(validate(t, &def, type), KAL_INVALID);

    const kal_json *json =
        testing_json(t, "{\"FunctionCall\":{\"name\":\"CURRENT_TIMESTAMP\",\"args\":[1,2]}}");
    t->err = KAL_ERROR_INIT;
    testing_refused(t, kal_column_default_from_json(json, type, &t->arena, &def, &t->err),
                    KAL_INVALID, "CURRENT_TIMESTAMP takes at most 1 argument, got 2");
    json = testing_json(t, "{\"FunctionCall\":{\"name\":\"NOW\",\"args\":[1,2]}}");
    testing_refused(t, kal_column_default_from_json(json, type, &t->arena, &def, &t->err),
                    KAL_INVALID, "NOW takes 0 arguments, got 2");
}

/* Goal: function names match in any case and print in upper case; an unknown one lists the known.
 * Method: every name in odd case, one that is none. */
static void test_function_names(void **state)
{
    testing *t = *state;
    static const char *const NAMES[] = {"nOw",  "Current_Timestamp", "snowflake_id", "uuid_V7",
                                        "ulid", "CURRENT_user"};
    static const char *const SHOWN[] = {"NOW",  "CURRENT_TIMESTAMP", "SNOWFLAKE_ID", "UUID_V7",
                                        "ULID", "CURRENT_USER"};
    static const kal_type_tag RESULTS[] = {KAL_TYPE_TIMESTAMP, KAL_TYPE_TIMESTAMP, KAL_TYPE_BIGINT,
                                           KAL_TYPE_TEXT,      KAL_TYPE_TEXT,      KAL_TYPE_TEXT};
    kal_default_function function;

    for (size_t i = 0; i < KAL_ARRAY_LEN(NAMES); i++) {
        testing_ok(t, kal_default_function_parse(kal_cstr(NAMES[i]), &function, &t->err));
        assert_string_equal(kal_default_function_name(function), SHOWN[i]);
        assert_true(kal_type_equal(kal_default_function_type(function), kal_type_of(RESULTS[i])));
    }
    assert_int_equal(kal_default_function_parse(KAL_STR("random"), &function, &t->err), KAL_SYNTAX);
    assert_string_equal(t->err.message, "unknown function 'random' in DEFAULT");
    for (size_t i = 0; i < KAL_ARRAY_LEN(SHOWN); i++)
        assert_non_null(strstr(t->err.hint, SHOWN[i]));
}

/* Goal: JSON that is no default is refused, never half taken. Method: shapes near the right ones.
 */
static void test_json_refused(void **state)
{
    testing *t = *state;
    static const char *const WRONG[] = {
        "null",
        "\"none\"",
        "42",
        "{}",
        "[]",
        "{\"Literal\":1,\"FunctionCall\":{\"name\":\"SNOWFLAKE_ID\",\"args\":[]}}",
        "{\"Literal\":1,\"more\":1}",
        "{\"Literal\":\"x\"}",
        "{\"Literal\":1.5}",
        "{\"Literal\":9223372036854775808}",
        "{\"FunctionCall\":{}}",
        "{\"FunctionCall\":{\"name\":\"RANDOM\",\"args\":[]}}",
        "{\"FunctionCall\":\"SNOWFLAKE_ID\"}",
        "{\"FunctionCall\":{\"name\":\"SNOWFLAKE_ID\"}}",
        "{\"FunctionCall\":{\"name\":\"SNOWFLAKE_ID\",\"args\":{}}}",
        "{\"FunctionCall\":{\"name\":\"CURRENT_TIMESTAMP\",\"args\":[\"3\"]}}",
        "{\"FunctionCall\":{\"name\":\"CURRENT_TIMESTAMP\",\"args\":[1.5]}}",
        "{\"FunctionCall\":{\"name\":7,\"args\":[]}}",
    };
    kal_column_default def;

    for (size_t i = 0; i < KAL_ARRAY_LEN(WRONG); i++) {
        kal_status status = kal_column_default_from_json(
            testing_json(t, WRONG[i]), kal_type_of(KAL_TYPE_BIGINT), &t->arena, &def, &t->err);
        if (status == KAL_OK)
            fail_msg("accepted %s", WRONG[i]);
        assert_int_equal(status, KAL_INVALID);
        assert_true(t->err.message[0] != '\0');
    }
}

/* Goal: stored bytes that are no default are KAL_CORRUPT. Method: a wrong kind, a function nobody
 * knows, and every truncation of each kind. */
static void test_binary_refused(void **state)
{
    testing *t = *state;
    kal_column_default out;
    kal_bytes input = KAL_STR("\x03");
    const kal_column_default defs[] = {
        call(KAL_FUNCTION_CURRENT_TIMESTAMP, 1, 3),
        literal(kal_value_text(KAL_STR("abc"))),
        (kal_column_default){0},
    };

    assert_int_equal(kal_column_default_decode(&input, &t->arena, &out, &t->err), KAL_CORRUPT);
    input = KAL_STR("\x02\x03\0\0\0NOO\x00");
    assert_int_equal(kal_column_default_decode(&input, &t->arena, &out, &t->err), KAL_CORRUPT);
    for (size_t i = 0; i < KAL_ARRAY_LEN(defs); i++) {
        kal_column_default_encode(&defs[i], &t->buf);
        for (size_t len = 0; len < t->buf.len; len++) {
            uint8_t *copy = test_exact_copy(t->buf.ptr, len); /* owned */
            input = kal_bytes_of(copy, len);
            assert_int_equal(kal_column_default_decode(&input, &t->arena, &out, &t->err),
                             KAL_CORRUPT);
            free(copy);
        }
        kal_buf_clear(&t->buf);
    }
}

/* Goal: equality sees every part. Method: pairs that differ in one. */
static void test_equal(void **state)
{
    const kal_column_default defs[] = {
        {0},
        literal(kal_value_integer(KAL_TYPE_INT, 1)),
        literal(kal_value_integer(KAL_TYPE_INT, 2)),
        literal(kal_value_bigint(1)),
        literal(kal_value_double(0.0)),
        literal(kal_value_double(-0.0)),
        call(KAL_FUNCTION_NOW, 0, 0),
        call(KAL_FUNCTION_CURRENT_TIMESTAMP, 0, 0),
        call(KAL_FUNCTION_CURRENT_TIMESTAMP, 1, 0),
        call(KAL_FUNCTION_CURRENT_TIMESTAMP, 1, 3),
    };
    (void)state;
    for (size_t i = 0; i < KAL_ARRAY_LEN(defs); i++)
        for (size_t k = 0; k < KAL_ARRAY_LEN(defs); k++)
            assert_int_equal(kal_column_default_equal(&defs[i], &defs[k]), i == k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TESTING_UNIT(test_none),
        TESTING_UNIT(test_literal_texts),
        TESTING_UNIT(test_literal_of_every_type),
        TESTING_UNIT(test_literal_refused),
        TESTING_UNIT(test_literal_broken_json_refused),
        TESTING_UNIT(test_function_texts),
        TESTING_UNIT(test_function_types),
        TESTING_UNIT(test_function_arguments),
        TESTING_UNIT(test_function_names),
        TESTING_UNIT(test_json_refused),
        TESTING_UNIT(test_binary_refused),
        cmocka_unit_test(test_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
