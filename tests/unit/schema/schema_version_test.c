#include "schema_testing.h"

static kal_schema_change INITIAL[] = {{.kind = KAL_SCHEMA_INITIAL}};
static kal_schema_change LATER[] = {
    {.kind = KAL_SCHEMA_RENAME_TABLE,
     .before = {(const uint8_t *)"t", 1},
     .after = {(const uint8_t *)"u", 1}},
    {.kind = KAL_SCHEMA_DROP_COLUMN,
     .column_id = 3,
     .name = {(const uint8_t *)"\xC3\xA9", 2},
     .before = {(const uint8_t *)"\xC3\xA9 INT", 6}},
};

static kal_schema_version version(uint32_t number, kal_schema_change *changes, size_t count,
                                  uint32_t column_count)
{
    return (kal_schema_version){.version = number,
                                .created_at_us = TESTING_NOW_US,
                                .changes = {.items = changes, .len = count},
                                .column_count = column_count,
                                .actor = KAL_STR("ann"),
                                .commit_seq = 77};
}

static void check_text(kal_bytes a, kal_bytes b)
{
    assert_true((a.ptr == NULL) == (b.ptr == NULL));
    assert_true(kal_bytes_equal(a, b));
}

static void check_equal(const kal_schema_version *a, const kal_schema_version *b)
{
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->created_at_us, b->created_at_us);
    assert_int_equal(a->column_count, b->column_count);
    assert_int_equal(a->commit_seq, b->commit_seq);
    check_text(a->actor, b->actor);
    assert_int_equal(a->changes.len, b->changes.len);
    for (size_t i = 0; i < a->changes.len; i++) {
        assert_int_equal(a->changes.items[i].kind, b->changes.items[i].kind);
        assert_int_equal(a->changes.items[i].column_id, b->changes.items[i].column_id);
        check_text(a->changes.items[i].name, b->changes.items[i].name);
        check_text(a->changes.items[i].before, b->changes.items[i].before);
        check_text(a->changes.items[i].after, b->changes.items[i].after);
    }
}

/* Goal: a version has the reference's JSON shape, the Arrow schema as a string in it, and reads
 * back. Method: literal text. */
static void test_json(void **state)
{
    testing *t = *state;
    kal_json_writer w;
    kal_schema_version v = version(1, INITIAL, 1, 2);
    kal_schema_version back;

    kal_json_writer_init(&w, &t->buf);
    kal_schema_version_write_json(&v, KAL_STR("{\"fields\":[]}"), &w);
    const char *text = testing_take_text(t);
    assert_string_equal(text, "{\"version\":1,\"created_at\":1709212455500000,"
                              "\"changes\":\"Initial schema\",\"change_list\":[{\"kind\":"
                              "\"initial\",\"column_id\":0,\"name\":null,\"before\":null,"
                              "\"after\":null}],\"column_count\":2,\"actor\":\"ann\","
                              "\"commit_seq\":77,"
                              "\"arrow_schema_json\":\"{\\\"fields\\\":[]}\"}");
    testing_ok(t, kal_schema_version_from_json(testing_json(t, text), &t->arena, &back, &t->err));
    check_equal(&v, &back);
}

/* Goal: the rules hold: versions from 1 on, version 1 reads "Initial schema", later ones say what
 * changed, none is without columns. Method: one breach each. */
static void test_validate(void **state)
{
    testing *t = *state;
    kal_schema_version v = version(1, INITIAL, 1, 1);
    testing_ok(t, kal_schema_version_validate(&v, &t->err));
    v = version(UINT32_MAX, LATER, 2, 1600);
    testing_ok(t, kal_schema_version_validate(&v, &t->err));
    v = version(0, INITIAL, 1, 1);
    testing_refused(t, kal_schema_version_validate(&v, &t->err), KAL_INVALID,
                    "schema versions start at 1");
    v = version(1, LATER, 2, 1);
    testing_refused(t, kal_schema_version_validate(&v, &t->err), KAL_INVALID,
                    "schema version 1, and no other, must read 'Initial schema'");
    v = version(2, INITIAL, 1, 1);
    testing_refused(t, kal_schema_version_validate(&v, &t->err), KAL_INVALID,
                    "schema version 1, and no other, must read 'Initial schema'");
    v = version(2, LATER, 0, 1);
    testing_refused(t, kal_schema_version_validate(&v, &t->err), KAL_INVALID,
                    "schema version 2 says nothing of its changes");
    v = version(2, LATER, 2, 0);
    testing_refused(t, kal_schema_version_validate(&v, &t->err), KAL_INVALID,
                    "schema version 2 has no column");
}

/* Goal: records that the first servers wrote, whose changes are a text, still read. Method: their
 * bytes, for the first version and for an upgraded system table's second one. */
static void test_format_1(void **state)
{
    testing *t = *state;
    for (uint32_t number = 1; number <= 2; number++) {
        kal_schema_version back;
        kal_buf_append_le32(&t->buf, number);
        kal_buf_append_le64(&t->buf, (uint64_t)TESTING_NOW_US);
        kal_buf_append_le32(&t->buf, 4);
        kal_buf_append_le32(&t->buf, 3);
        kal_buf_append_cstr(&t->buf, "any");
        kal_buf_append_le32(&t->buf, 4);
        kal_buf_append_cstr(&t->buf, "root");
        kal_bytes input = kal_buf_bytes(&t->buf);
        testing_ok(t, kal_schema_version_decode(&input, 1, &t->arena, &back, &t->err));
        assert_int_equal(input.len, 0);
        assert_int_equal(back.changes.items[0].kind,
                         number == 1 ? KAL_SCHEMA_INITIAL : KAL_SCHEMA_UPGRADE);
        assert_int_equal(back.column_count, 4);
        assert_true(kal_bytes_equal(back.actor, KAL_STR("root")));
        kal_buf_clear(&t->buf);
    }
}

/* Goal: the binary form round-trips; every truncation and every byte flip of it is KAL_CORRUPT or a
 * version that keeps the rules. Method: all of them. */
static void test_binary(void **state)
{
    testing *t = *state;
    const kal_schema_version versions[] = {version(1, INITIAL, 1, 3), version(7, LATER, 2, 2)};
    kal_schema_version back;

    for (size_t i = 0; i < KAL_ARRAY_LEN(versions); i++) {
        kal_schema_version_encode(&versions[i], &t->buf);
        kal_bytes input = kal_buf_bytes(&t->buf);
        testing_ok(t, kal_schema_version_decode(&input, KAL_SCHEMA_VERSION_FORMAT, &t->arena, &back,
                                                &t->err));
        assert_int_equal(input.len, 0);
        check_equal(&versions[i], &back);
        for (size_t len = 0; len < t->buf.len; len++) {
            input = kal_bytes_of(t->buf.ptr, len);
            assert_int_equal(kal_schema_version_decode(&input, KAL_SCHEMA_VERSION_FORMAT, &t->arena,
                                                       &back, &t->err),
                             KAL_CORRUPT);
        }
        for (size_t bit = 0; bit < t->buf.len * 8; bit++) {
            t->buf.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
            input = kal_buf_bytes(&t->buf);
            kal_status status = kal_schema_version_decode(&input, KAL_SCHEMA_VERSION_FORMAT,
                                                          &t->arena, &back, &t->err);
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
#define INITIAL_JSON                                                                               \
    "[{\"kind\":\"initial\",\"column_id\":0,\"name\":null,\"before\":null,\"after\":null}]"
#define REST ",\"actor\":\"a\",\"commit_seq\":1}"
    static const char *const WRONG[] = {
        "{}",
        "[]",
        "{\"version\":0,\"created_at\":1,\"change_list\":" INITIAL_JSON ",\"column_count\":1" REST,
        "{\"version\":4294967296,\"created_at\":1,\"change_list\":[],\"column_count\":1" REST,
        "{\"version\":\"1\",\"created_at\":1,\"change_list\":" INITIAL_JSON
        ",\"column_count\":1" REST,
        "{\"version\":1,\"created_at\":1.5,\"change_list\":" INITIAL_JSON
        ",\"column_count\":1" REST,
        "{\"version\":1,\"created_at\":1,\"change_list\":null,\"column_count\":1" REST,
        "{\"version\":1,\"created_at\":1,\"change_list\":" INITIAL_JSON ",\"column_count\":0" REST,
        "{\"version\":2,\"created_at\":1,\"change_list\":[],\"column_count\":1" REST,
        "{\"version\":2,\"created_at\":1,\"change_list\":" INITIAL_JSON ",\"column_count\":1" REST,
        "{\"version\":1,\"created_at\":1,\"change_list\":" INITIAL_JSON
        ",\"column_count\":1,\"actor\":1,\"commit_seq\":1}",
        "{\"version\":1,\"created_at\":1,\"change_list\":" INITIAL_JSON
        ",\"column_count\":1,\"actor\":\"a\",\"commit_seq\":-1}",
        "{\"version\":2,\"created_at\":1,\"change_list\":[{\"kind\":\"grow\",\"column_id\":0}],"
        "\"column_count\":1" REST,
        "{\"version\":2,\"created_at\":1,\"change_list\":[{\"kind\":\"drop_column\","
        "\"column_id\":0,\"name\":\"a\"}],\"column_count\":1" REST,
    };
#undef INITIAL_JSON
#undef REST
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
        TESTING_UNIT(test_json),   TESTING_UNIT(test_validate),     TESTING_UNIT(test_format_1),
        TESTING_UNIT(test_binary), TESTING_UNIT(test_json_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
