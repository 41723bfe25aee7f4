#include "schema_testing.h"

static kal_schema_version version(uint32_t number, const char *changes, uint32_t column_count)
{
    return (kal_schema_version){.version = number,
                                .created_at_us = TESTING_NOW_US,
                                .changes = kal_cstr(changes),
                                .column_count = column_count};
}

static void check_equal(const kal_schema_version *a, const kal_schema_version *b)
{
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->created_at_us, b->created_at_us);
    assert_int_equal(a->column_count, b->column_count);
    assert_true(kal_bytes_equal(a->changes, b->changes));
}

/* Goal: a version has the reference's JSON shape, the Arrow schema as a string in it, and reads
 * back. Method: literal text. */
static void test_json(void **state)
{
    testing *t = *state;
    kal_json_writer w;
    kal_schema_version v = version(1, KAL_SCHEMA_INITIAL_CHANGES, 2);
    kal_schema_version back;

    kal_json_writer_init(&w, &t->buf);
    kal_schema_version_write_json(&v, KAL_STR("{\"fields\":[]}"), &w);
    const char *text = testing_take_text(t);
    assert_string_equal(text, "{\"version\":1,\"created_at\":1709212455500000,"
                              "\"changes\":\"Initial schema\",\"column_count\":2,"
                              "\"arrow_schema_json\":\"{\\\"fields\\\":[]}\"}");
    testing_ok(t, kal_schema_version_from_json(testing_json(t, text), &t->arena, &back, &t->err));
    check_equal(&v, &back);
}

/* Goal: the rules hold: versions from 1 on, version 1 reads "Initial schema", later ones say what
 * changed, none is without columns. Method: one breach each. */
static void test_validate(void **state)
{
    testing *t = *state;
    kal_schema_version v = version(1, KAL_SCHEMA_INITIAL_CHANGES, 1);
    testing_ok(t, kal_schema_version_validate(&v, &t->err));
    v = version(UINT32_MAX, "ADD COLUMN a", 1600);
    testing_ok(t, kal_schema_version_validate(&v, &t->err));
    v = version(0, KAL_SCHEMA_INITIAL_CHANGES, 1);
    testing_refused(t, kal_schema_version_validate(&v, &t->err), KAL_INVALID,
                    "schema versions start at 1");
    v = version(1, "initial", 1);
    testing_refused(t, kal_schema_version_validate(&v, &t->err), KAL_INVALID,
                    "schema version 1 must read 'Initial schema'");
    v = version(2, "", 1);
    testing_refused(t, kal_schema_version_validate(&v, &t->err), KAL_INVALID,
                    "schema version 2 says nothing of its changes");
    v = version(2, "x", 0);
    testing_refused(t, kal_schema_version_validate(&v, &t->err), KAL_INVALID,
                    "schema version 2 has no column");
}

/* Goal: the binary form round-trips; every truncation and every byte flip of it is KAL_CORRUPT or a
 * version that keeps the rules. Method: all of them. */
static void test_binary(void **state)
{
    testing *t = *state;
    const kal_schema_version versions[] = {version(1, KAL_SCHEMA_INITIAL_CHANGES, 3),
                                           version(7, "DROP COLUMN a; \xC3\xA9", 2)};
    kal_schema_version back;

    for (size_t i = 0; i < KAL_ARRAY_LEN(versions); i++) {
        kal_schema_version_encode(&versions[i], &t->buf);
        kal_bytes input = kal_buf_bytes(&t->buf);
        testing_ok(t, kal_schema_version_decode(&input, &t->arena, &back, &t->err));
        assert_int_equal(input.len, 0);
        check_equal(&versions[i], &back);
        for (size_t len = 0; len < t->buf.len; len++) {
            input = kal_bytes_of(t->buf.ptr, len);
            assert_int_equal(kal_schema_version_decode(&input, &t->arena, &back, &t->err),
                             KAL_CORRUPT);
        }
        for (size_t bit = 0; bit < t->buf.len * 8; bit++) {
            t->buf.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
            input = kal_buf_bytes(&t->buf);
            kal_status status = kal_schema_version_decode(&input, &t->arena, &back, &t->err);
            if (status == KAL_OK)
                testing_ok(t, kal_schema_version_validate(&back, &t->err));
            else
                assert_int_equal(status, KAL_CORRUPT);
            t->buf.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        kal_buf_clear(&t->buf);
    }
}

/* Goal: JSON that is no version is refused. Method: a member missing or of the wrong kind. */
static void test_json_refused(void **state)
{
    testing *t = *state;
    static const char *const WRONG[] = {
        "{}",
        "[]",
        "{\"version\":0,\"created_at\":1,\"changes\":\"Initial schema\",\"column_count\":1}",
        "{\"version\":4294967296,\"created_at\":1,\"changes\":\"x\",\"column_count\":1}",
        "{\"version\":\"2\",\"created_at\":1,\"changes\":\"x\",\"column_count\":1}",
        "{\"version\":2,\"created_at\":1.5,\"changes\":\"x\",\"column_count\":1}",
        "{\"version\":2,\"created_at\":1,\"changes\":null,\"column_count\":1}",
        "{\"version\":2,\"created_at\":1,\"changes\":\"x\",\"column_count\":0}",
        "{\"version\":2,\"created_at\":1,\"changes\":\"\",\"column_count\":1}",
        "{\"version\":1,\"created_at\":1,\"changes\":\"x\",\"column_count\":1}",
    };
    kal_schema_version back;
    for (size_t i = 0; i < KAL_ARRAY_LEN(WRONG); i++) {
        kal_status status =
            kal_schema_version_from_json(testing_json(t, WRONG[i]), &t->arena, &back, &t->err);
        if (status == KAL_OK)
            fail_msg("accepted %s", WRONG[i]);
        assert_int_equal(status, KAL_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TESTING_UNIT(test_json),
        TESTING_UNIT(test_validate),
        TESTING_UNIT(test_binary),
        TESTING_UNIT(test_json_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
