/*
 * json_test.c: request parameters, alone and beside a value whose type explains them. Replies and
 * what columns take are in value_test.c and the SQL tests.
 */
#include "types/json.h"
#include "unit/types/mapping_testing.h"

static kal_json *parse(fixture *f, const char *text)
{
    kal_json *json;
    kal_error err = KAL_ERROR_INIT;
    if (kal_json_parse(kal_cstr(text), &f->arena, &json, &err) != KAL_OK)
        fail_msg("%s: %s", text, err.message);
    return json;
}

static void check_value(fixture *f, const char *sent, const kal_value *v, const char *type,
                        const char *text)
{
    char name[KAL_TYPE_NAME_BYTES];
    kal_buf_clear(&f->buf);
    kal_value_to_text(v, &f->buf);
    kal_buf_append_byte(&f->buf, '\0');
    if (strcmp(kal_type_name(v->type, name), type) != 0 ||
        strcmp((const char *)f->buf.ptr, text) != 0)
        fail_msg("%s is %s of %s, not %s of %s", sent, (const char *)f->buf.ptr, name, text, type);
}

static void test_param_alone(void **state)
{
    static const struct {
        const char *json, *type, *text;
    } TABLE[] = {
        {"7", "BIGINT", "7"},
        {"-9223372036854775808", "BIGINT", "-9223372036854775808"},
        {"9223372036854775808", "DECIMAL(19,0)", "9223372036854775808"},
        {"1.005", "DECIMAL(4,3)", "1.005"},
        {"-0.50", "DECIMAL(3,2)", "-0.50"},
        {"12345678901234567890.123456789", "DECIMAL(29,9)", "12345678901234567890.123456789"},
        {"99999999999999999999999999999999999999", "DECIMAL(38,0)",
         "99999999999999999999999999999999999999"},
        {"999999999999999999999999999999999999999", "DOUBLE", "1e+39"},
        {"0.00000000000000000000000000000000000001", "DOUBLE", "1e-38"},
        {"1e3", "DOUBLE", "1000.0"},
        {"25E-1", "DOUBLE", "2.5"},
        {"true", "BOOLEAN", "true"},
        {"\"x\"", "TEXT", "x"},
        {"[1, 2]", "JSON", "[1,2]"},
    };
    fixture *f = *state;
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        kal_value v;
        kal_error err = KAL_ERROR_INIT;
        if (kal_value_from_json_param(parse(f, TABLE[i].json), &f->arena, &v, &err) != KAL_OK)
            fail_msg("%s: %s", TABLE[i].json, err.message);
        check_value(f, TABLE[i].json, &v, TABLE[i].type, TABLE[i].text);
    }
}

static void test_param_beside(void **state)
{
    static const struct {
        kal_type_tag peer;
        const char *json, *type, *text; /* type NULL: refused */
    } TABLE[] = {
        {KAL_TYPE_BYTES, "[222,173]", "BYTES", "\\xDE\\xAD"},
        {KAL_TYPE_BYTES, "\"0xdead\"", "BYTES", "\\xDE\\xAD"},
        {KAL_TYPE_BYTES, "\"3q0=\"", "BYTES", "\\xDE\\xAD"},
        {KAL_TYPE_BYTES, "\"\"", "BYTES", ""},
        {KAL_TYPE_BYTES, "\"abc\"", NULL, NULL},
        {KAL_TYPE_BYTES, "[256]", NULL, NULL},
        {KAL_TYPE_BYTES, "[1.5]", NULL, NULL},
        {KAL_TYPE_BYTES, "{}", NULL, NULL},
        {KAL_TYPE_BYTES, "1", NULL, NULL},
        {KAL_TYPE_DATE, "19782", "DATE", "2024-02-29"},
        {KAL_TYPE_DATE, "\"2024-02-29\"", "TEXT", "2024-02-29"},
        {KAL_TYPE_DATE, "1.5", NULL, NULL},
        {KAL_TYPE_TIME, "1000000", "TIME", "00:00:01"},
        {KAL_TYPE_TIME, "-1", NULL, NULL},
        {KAL_TYPE_TIMESTAMP, "0", "TIMESTAMP", "1970-01-01 00:00:00"},
        {KAL_TYPE_DATETIME, "0", "DATETIME", "1970-01-01 00:00:00+00"},
        {KAL_TYPE_DOUBLE, "0.1", "DOUBLE", "0.1"},
        {KAL_TYPE_FLOAT, "0.1", "FLOAT", "0.1"},
        {KAL_TYPE_FLOAT, "1e300", "DOUBLE", "1e+300"},
        {KAL_TYPE_INT, "1.5", "DECIMAL(2,1)", "1.5"},
        {KAL_TYPE_TEXT, "5", "BIGINT", "5"},
    };
    fixture *f = *state;
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        kal_json *json = parse(f, TABLE[i].json);
        kal_value param;
        kal_value v;
        kal_error err = KAL_ERROR_INIT;
        assert_int_equal(kal_value_from_json_param(json, &f->arena, &param, &err), KAL_OK);
        kal_status status =
            kal_value_from_json_peer(kal_type_of(TABLE[i].peer), json, &param, &f->arena, &v, &err);
        if (status != (TABLE[i].type == NULL ? KAL_INVALID : KAL_OK))
            fail_msg("%s: %s", TABLE[i].json, err.message);
        if (status == KAL_OK)
            check_value(f, TABLE[i].json, &v, TABLE[i].type, TABLE[i].text);
    }
}

static void test_null_stays_null(void **state)
{
    fixture *f = *state;
    kal_value param;
    kal_json *json = parse(f, "null");
    assert_int_equal(kal_value_from_json_param(json, &f->arena, &param, NULL), KAL_OK);
    for (int tag = KAL_TYPE_NULL; tag <= KAL_TYPE_TAG_MAX; tag++) {
        kal_value v;
        if (tag == KAL_TYPE_EMBEDDING || tag == KAL_TYPE_DECIMAL)
            continue;
        assert_int_equal(kal_value_from_json_peer(kal_type_of((kal_type_tag)tag), json, &param,
                                                  &f->arena, &v, NULL),
                         KAL_OK);
        assert_true(v.is_null);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(test_param_alone),
        UNIT(test_param_beside),
        UNIT(test_null_stays_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
