#include "schema_testing.h"

#include "unit/types/random_value.h"

static const kal_column_default SNOWFLAKE = {.kind = KAL_DEFAULT_FUNCTION,
                                             .function = KAL_FUNCTION_SNOWFLAKE_ID};

static const char *json_of(testing *t, const kal_column *column)
{
    kal_json_writer w;
    kal_json_writer_init(&w, &t->buf);
    kal_column_write_json(column, &w);
    return testing_take_text(t);
}

static const char *sql_of(testing *t, const kal_column *column)
{
    kal_column_to_sql(column, &t->buf);
    return testing_take_text(t);
}

static void check_equal(const kal_column *a, const kal_column *b)
{
    assert_true(kal_bytes_equal(a->name, b->name));
    assert_int_equal(a->column_id, b->column_id);
    assert_int_equal(a->ordinal_position, b->ordinal_position);
    assert_true(kal_type_equal(a->type, b->type));
    assert_int_equal(a->is_nullable, b->is_nullable);
    assert_int_equal(a->is_primary_key, b->is_primary_key);
    assert_int_equal(a->is_partition_key, b->is_partition_key);
    assert_true(kal_column_default_equal(kal_column_default_of(a), kal_column_default_of(b)));
    assert_int_equal(a->comment.ptr == NULL, b->comment.ptr == NULL);
    assert_true(kal_bytes_equal(a->comment, b->comment));
}

static void check_round_trip(testing *t, const kal_column *column)
{
    kal_column back;
    kal_bytes input;

    testing_ok(
        t, kal_column_from_json(testing_json(t, json_of(t, column)), &t->arena, &back, &t->err));
    check_equal(column, &back);
    kal_column_encode(column, &t->buf);
    input = kal_buf_bytes(&t->buf);
    testing_ok(t, kal_column_decode(&input, &t->arena, &back, &t->err));
    assert_int_equal(input.len, 0);
    check_equal(column, &back);
    kal_buf_clear(&t->buf);
}

/* Goal: a simple column is nullable, without key, default or comment. Method: every field. */
static void test_simple(void **state)
{
    testing *t = *state;
    kal_column column = kal_column_simple("body", 3, kal_type_of(KAL_TYPE_TEXT));

    assert_true(kal_bytes_equal(column.name, KAL_STR("body")));
    assert_int_equal(column.ordinal_position, 3);
    assert_int_equal(column.column_id, 3);
    assert_true(column.is_nullable);
    assert_false(column.is_primary_key);
    assert_false(column.is_partition_key);
    assert_false(kal_column_has_default(&column));
    assert_null(column.comment.ptr);
    testing_ok(t, kal_column_validate(&column, &t->err));
}

/* Goal: a column has the reference's JSON shape plus column_id. Method: literal text of a bare one
 * and of one with everything. */
static void test_json(void **state)
{
    testing *t = *state;
    kal_column column = kal_column_simple("v", 2, kal_type_embedding(384));

    assert_string_equal(json_of(t, &column),
                        "{\"column_name\":\"v\",\"column_id\":2,\"ordinal_position\":2,"
                        "\"data_type\":{\"Embedding\":384},\"is_nullable\":true,"
                        "\"is_primary_key\":false,\"is_partition_key\":false,"
                        "\"default_value\":\"None\",\"column_comment\":null}");
    check_round_trip(t, &column);

    column = testing_key_column("id", 1, kal_type_of(KAL_TYPE_BIGINT));
    column.column_id = 7;
    column.is_partition_key = true;
    column.default_value = &SNOWFLAKE;
    column.comment = KAL_STR("the \"id\"");
    assert_string_equal(json_of(t, &column),
                        "{\"column_name\":\"id\",\"column_id\":7,\"ordinal_position\":1,"
                        "\"data_type\":\"BigInt\",\"is_nullable\":false,\"is_primary_key\":true,"
                        "\"is_partition_key\":true,"
                        "\"default_value\":{\"FunctionCall\":{\"name\":\"SNOWFLAKE_ID\","
                        "\"args\":[]}},\"column_comment\":\"the \\\"id\\\"\"}");
    check_round_trip(t, &column);

    column.comment = KAL_STR(""); /* not the same as none */
    check_round_trip(t, &column);
}

/* Goal: columns of every type survive both serial forms. Method: all types, random defaults. */
static void test_every_type(void **state)
{
    testing *t = *state;
    kal_rng rng;
    kal_type type;

    test_seed_rng(&rng);
    for (size_t i = 0; test_type_at(i, &type); i++) {
        kal_column column = kal_column_simple("c", 1, type);
        kal_column_default def = {.kind = KAL_DEFAULT_LITERAL};
        def.literal = random_value(&rng, type, &t->arena);
        column.default_value = &def;
        testing_ok(t, kal_column_validate(&column, &t->err));
        check_round_trip(t, &column);
    }
}

/* Goal: the rules of a column hold, each with its message. Method: one breach each. */
static void test_validate(void **state)
{
    testing *t = *state;
    char long_name[KAL_NAME_BYTES_MAX + 2] = {0};
    kal_type text = kal_type_of(KAL_TYPE_TEXT);
    kal_column column = kal_column_simple("", 1, text);

    testing_refused(t, kal_column_validate(&column, &t->err), KAL_INVALID, "a column needs a name");
    memset(long_name, 'n', KAL_NAME_BYTES_MAX);
    column = kal_column_simple(long_name, 1, text);
    testing_ok(t, kal_column_validate(&column, &t->err));
    long_name[KAL_NAME_BYTES_MAX] = 'n';
    column = kal_column_simple(long_name, 1, text);
    assert_int_equal(kal_column_validate(&column, &t->err), KAL_INVALID);
    column = kal_column_simple("\xFF", 1, text);
    assert_int_equal(kal_column_validate(&column, &t->err), KAL_INVALID);
    column.name = KAL_STR("a\0b");
    assert_int_equal(kal_column_validate(&column, &t->err), KAL_INVALID);
    column = kal_column_simple("c", 0, text);
    testing_refused(t, kal_column_validate(&column, &t->err), KAL_INVALID,
                    "column 'c' has ordinal position 0, positions start at 1");
    column = kal_column_simple("c", 1, kal_type_embedding(KAL_EMBEDDING_DIM_MAX + 1));
    testing_refused(t, kal_column_validate(&column, &t->err), KAL_INVALID,
                    "column 'c' has no valid type");
    column = testing_key_column("c", 1, text);
    column.is_nullable = true;
    testing_refused(t, kal_column_validate(&column, &t->err), KAL_INVALID,
                    "key column 'c' cannot be nullable");
    column = kal_column_simple("c", 1, text);
    column.default_value = &SNOWFLAKE;
    testing_refused(t, kal_column_validate(&column, &t->err), KAL_INVALID,
                    "DEFAULT of column 'c': SNOWFLAKE_ID cannot fill a column of type TEXT");
    column = kal_column_simple("c", 1, text);
    column.comment = KAL_STR("\xC3");
    assert_int_equal(kal_column_validate(&column, &t->err), KAL_INVALID);
}

/* Goal: only types with a total, exact order may be keys. Method: all 17. */
static void test_key_types(void **state)
{
    testing *t = *state;
    kal_type type;

    for (size_t i = 0; test_type_at(i, &type); i++) {
        kal_column column = testing_key_column("k", 1, type);
        bool refused = type.tag == KAL_TYPE_FLOAT || type.tag == KAL_TYPE_DOUBLE ||
                       type.tag == KAL_TYPE_JSON || type.tag == KAL_TYPE_EMBEDDING ||
                       type.tag == KAL_TYPE_FILE;
        assert_int_equal(kal_column_validate(&column, &t->err), refused ? KAL_INVALID : KAL_OK);
    }
}

/* Goal: a column reads as CREATE TABLE spells it. Method: literal texts. */
static void test_sql(void **state)
{
    testing *t = *state;
    kal_column column = kal_column_simple("price", 1, kal_type_decimal(10, 2));

    assert_string_equal(sql_of(t, &column), "price DECIMAL(10,2)");
    column.is_nullable = false;
    const kal_column_default half = {.kind = KAL_DEFAULT_LITERAL,
                                     .literal = kal_value_decimal(column.type, 995)};
    column.default_value = &half;
    column.comment = KAL_STR("in Peter's euros");
    assert_string_equal(sql_of(t, &column),
                        "price DECIMAL(10,2) NOT NULL DEFAULT 9.95 COMMENT 'in Peter''s euros'");
}

/* Goal: an identifier is quoted whenever SQL would not read it back bare: capitals, blanks, digits
 * first, quotes, and words with a meaning. Method: literal texts. */
static void test_identifiers(void **state)
{
    testing *t = *state;
    static const char *const CASES[][2] = {
        {"a", "a"},
        {"a_1", "a_1"},
        {"_a", "_a"},
        {"A", "\"A\""},
        {"1a", "\"1a\""},
        {"a b", "\"a b\""},
        {"a-b", "\"a-b\""},
        {"a\"b", "\"a\"\"b\""},
        {"\xC3\xA9", "\"\xC3\xA9\""},
        {"select", "\"select\""},
        {"order", "\"order\""},
        {"map", "\"map\""},
        {"user", "user"},
        {"by", "\"by\""},
        {"left", "\"left\""},
        {"ordered", "ordered"},
        {"name", "name"},
        {"id", "id"},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(CASES); i++) {
        kal_identifier_to_sql(kal_cstr(CASES[i][0]), &t->buf);
        assert_string_equal(testing_take_text(t), CASES[i][1]);
    }
}

/* Goal: JSON that is no column is refused. Method: one column, a member at a time left out or of
 * the wrong kind. */
static void test_json_refused(void **state)
{
    testing *t = *state;
    static const char *const WRONG[] = {
        "{}",
        "7",
        "{\"column_name\":7,\"column_id\":1,\"ordinal_position\":1,\"data_type\":\"Int\","
        "\"is_nullable\":true,\"is_primary_key\":false,\"is_partition_key\":false,"
        "\"default_value\":\"None\",\"column_comment\":null}",
        "{\"column_name\":\"c\",\"column_id\":-1,\"ordinal_position\":1,\"data_type\":\"Int\","
        "\"is_nullable\":true,\"is_primary_key\":false,\"is_partition_key\":false,"
        "\"default_value\":\"None\",\"column_comment\":null}",
        "{\"column_name\":\"c\",\"column_id\":1,\"ordinal_position\":4294967296,"
        "\"data_type\":\"Int\",\"is_nullable\":true,\"is_primary_key\":false,"
        "\"is_partition_key\":false,\"default_value\":\"None\",\"column_comment\":null}",
        "{\"column_name\":\"c\",\"column_id\":1,\"ordinal_position\":1,\"data_type\":\"Bigger\","
        "\"is_nullable\":true,\"is_primary_key\":false,\"is_partition_key\":false,"
        "\"default_value\":\"None\",\"column_comment\":null}",
        "{\"column_name\":\"c\",\"column_id\":1,\"ordinal_position\":1,\"data_type\":\"Int\","
        "\"is_nullable\":1,\"is_primary_key\":false,\"is_partition_key\":false,"
        "\"default_value\":\"None\",\"column_comment\":null}",
        "{\"column_name\":\"c\",\"column_id\":1,\"ordinal_position\":1,\"data_type\":\"Int\","
        "\"is_nullable\":true,\"is_primary_key\":true,\"is_partition_key\":false,"
        "\"default_value\":\"None\",\"column_comment\":null}",
        "{\"column_name\":\"c\",\"column_id\":1,\"ordinal_position\":1,\"data_type\":\"Int\","
        "\"is_nullable\":true,\"is_primary_key\":false,\"is_partition_key\":false,"
        "\"default_value\":{\"Literal\":\"x\"},\"column_comment\":null}",
        "{\"column_name\":\"c\",\"column_id\":1,\"ordinal_position\":1,\"data_type\":\"Int\","
        "\"is_nullable\":true,\"is_primary_key\":false,\"is_partition_key\":false,"
        "\"default_value\":\"None\",\"column_comment\":7}",
    };
    kal_column back;
    for (size_t i = 0; i < KAL_ARRAY_LEN(WRONG); i++) {
        kal_status status =
            kal_column_from_json(testing_json(t, WRONG[i]), &t->arena, &back, &t->err);
        if (status == KAL_OK)
            fail_msg("accepted %s", WRONG[i]);
        assert_int_equal(status, KAL_INVALID);
    }
}

/* Goal: flags that this version does not write are damage, not silence. Method: set each. */
static void test_unknown_flags(void **state)
{
    testing *t = *state;
    kal_column column = kal_column_simple("c", 1, kal_type_of(KAL_TYPE_INT));
    kal_column back;

    kal_column_encode(&column, &t->buf);
    uint8_t *flags = &t->buf.ptr[t->buf.len - 2]; /* before the kind of the default */
    assert_int_equal(*flags, 1);
    for (unsigned bit = 4; bit < 8; bit++) {
        *flags = (uint8_t)(1u | 1u << bit);
        kal_bytes input = kal_buf_bytes(&t->buf);
        assert_int_equal(kal_column_decode(&input, &t->arena, &back, &t->err), KAL_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TESTING_UNIT(test_simple),        TESTING_UNIT(test_json),
        TESTING_UNIT(test_every_type),    TESTING_UNIT(test_validate),
        TESTING_UNIT(test_key_types),     TESTING_UNIT(test_sql),
        TESTING_UNIT(test_identifiers),   TESTING_UNIT(test_json_refused),
        TESTING_UNIT(test_unknown_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
