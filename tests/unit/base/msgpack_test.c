/*
 * Goal: JSON text to MessagePack and back is the same value; the bytes are those of the
 * specification; what must be refused is, with its place.
 */
#include "base/msgpack.h"
#include "unit/base/random_json.h"
#include "unit/base/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void check_bytes(const char *members, uint32_t count, const void *bytes, size_t len)
{
    kal_buf out;
    uint32_t found = 99;
    kal_buf_init(&out, NULL);
    assert_int_equal(kal_msgpack_members(kal_cstr(members), &out, &found, NULL), KAL_OK);
    assert_int_equal(found, count);
    if (out.len != len || (len > 0 && memcmp(out.ptr, bytes, len) != 0))
        fail_msg("%s is encoded in another way", members);
    kal_buf_release(&out);
}

#define CHECK(members, count, bytes) check_bytes(members, count, bytes, sizeof(bytes) - 1)

static void known_bytes(void **state)
{
    (void)state;
    check_bytes("", 0, "", 0);
    CHECK("\"a\":1", 1,
          "\xA1"
          "a\x01");
    CHECK("\"a\":null,\"b\":[true,false]", 2,
          "\xA1"
          "a\xC0\xA1"
          "b\x92\xC3\xC2");
    CHECK("\"\":127", 1, "\xA0\x7F");
    CHECK("\"\":128", 1, "\xA0\xCC\x80");
    CHECK("\"\":256", 1, "\xA0\xCD\x01\x00");
    CHECK("\"\":65536", 1, "\xA0\xCE\x00\x01\x00\x00");
    CHECK("\"\":18446744073709551615", 1, "\xA0\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF");
    CHECK("\"\":-1", 1, "\xA0\xFF");
    CHECK("\"\":-32", 1, "\xA0\xE0");
    CHECK("\"\":-33", 1, "\xA0\xD0\xDF");
    CHECK("\"\":-129", 1, "\xA0\xD1\xFF\x7F");
    CHECK("\"\":-32769", 1, "\xA0\xD2\xFF\xFF\x7F\xFF");
    CHECK("\"\":-9223372036854775808", 1, "\xA0\xD3\x80\x00\x00\x00\x00\x00\x00\x00");
    CHECK("\"\":1.5", 1, "\xA0\xCB\x3F\xF8\x00\x00\x00\x00\x00\x00");
    CHECK("\"\":-0", 1, "\xA0\xCB\x80\x00\x00\x00\x00\x00\x00\x00");
    CHECK("\"\":1e999", 1, "\xA0\xCB\x7F\xF0\x00\x00\x00\x00\x00\x00");
    CHECK("\"\":-1e-999", 1, "\xA0\xCB\x80\x00\x00\x00\x00\x00\x00\x00");
    CHECK("\"\" : [ {} , [ ] ]", 1, "\xA0\x92\x80\x90");
    CHECK("\"\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]", 1,
          "\xA0\xDC\x00\x10\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C\x0D\x0E\x0F\x10");
}

static void refuses_what_is_no_json(void **state)
{
    static const char *const BAD[] = {"\"a\"",         "\"a\":",     "a:1",           "\"a\":1,",
                                      "\"a\":1}",      "\"a\":1},{", "\"a\":tru",     "\"a\":1x",
                                      "\"a\":\"\\x\"", "\"a\":[1,]", "\"a\":\"\xFF\""};
    (void)state;
    for (size_t i = 0; i < KAL_ARRAY_LEN(BAD); i++) {
        kal_buf out;
        uint32_t count = 0;
        kal_buf_init(&out, NULL);
        if (kal_msgpack_members(kal_cstr(BAD[i]), &out, &count, NULL) != KAL_INVALID)
            fail_msg("%s is taken", BAD[i]);
        kal_buf_release(&out);
    }
}

/* The members, packed behind a map's head and read again, are what the JSON reader says. */
static void check_round_trip(kal_bytes members, uint32_t count)
{
    kal_buf packed, text;
    kal_arena arena;
    kal_json *expected = NULL;
    kal_json *found = NULL;
    uint8_t head[KAL_MSGPACK_MAP_BYTES_MAX];
    uint32_t packed_count = 0;

    kal_arena_init(&arena, NULL);
    kal_buf_init(&packed, NULL);
    kal_buf_init(&text, NULL);
    kal_buf_append(&packed, head, kal_msgpack_map_head(count, head));
    assert_int_equal(kal_msgpack_members(members, &packed, &packed_count, NULL), KAL_OK);
    assert_int_equal(packed_count, count);
    kal_buf_append_byte(&text, '{');
    kal_buf_append_bytes(&text, members);
    kal_buf_append_byte(&text, '}');
    assert_int_equal(kal_json_parse(kal_buf_bytes(&text), &arena, &expected, NULL), KAL_OK);
    assert_int_equal(kal_msgpack_parse(kal_buf_bytes(&packed), &arena, &found, NULL), KAL_OK);
    assert_true(json_same(expected, found));
    kal_buf_release(&packed);
    kal_buf_release(&text);
    kal_arena_release(&arena);
}

static void round_trips(void **state)
{
    kal_rng rng;
    (void)state;
    kal_test_seed(&rng);
    for (int i = 0; i < 400; i++) {
        kal_buf members;
        kal_buf_init(&members, NULL);
        uint32_t count = random_json_object(&rng, &members, (size_t)kal_rng_below(&rng, 20), 4);
        check_round_trip(kal_buf_bytes(&members), count);
        kal_buf_release(&members);
    }
}

static void many_items(void **state)
{
    kal_buf members;
    (void)state;
    kal_buf_init(&members, NULL);
    kal_buf_append_cstr(&members, "\"rows\":[0");
    for (int i = 1; i < 70000; i++)
        kal_buf_printf(&members, ",%d", i);
    kal_buf_append_byte(&members, ']');
    check_round_trip(kal_buf_bytes(&members), 1);
    kal_buf_release(&members);
}

static void check_refused(const char *bytes, size_t len, kal_status status, int64_t position)
{
    kal_arena arena;
    kal_json *json = NULL;
    kal_error err = KAL_ERROR_INIT;
    kal_arena_init(&arena, NULL);
    assert_int_equal(kal_msgpack_parse(kal_bytes_of(bytes, len), &arena, &json, &err), status);
    assert_null(json);
    assert_int_equal(err.position, position);
    kal_arena_release(&arena);
}

#define REFUSED(bytes, status, position) check_refused(bytes, sizeof(bytes) - 1, status, position)

static void refuses_what_json_cannot_say(void **state)
{
    (void)state;
    REFUSED("", KAL_INVALID, 0);
    REFUSED("\x01\x02", KAL_INVALID, 1);                     /* something follows */
    REFUSED("\xC1", KAL_INVALID, 1);                         /* never used */
    REFUSED("\xC4\x01\x00", KAL_UNSUPPORTED, 1);             /* bin */
    REFUSED("\xD6\xFF\x00\x00\x00\x00", KAL_UNSUPPORTED, 1); /* ext: a timestamp */
    REFUSED("\xC7\x00\x01", KAL_UNSUPPORTED, 1);             /* ext */
    REFUSED("\x81\x01\x02", KAL_INVALID, 2);                 /* a key that is a number */
    REFUSED("\x82\xA1"
            "a\x01\xA1"
            "a\x02",
            KAL_INVALID, 7);             /* twice the same key */
    REFUSED("\xA1\xFF", KAL_INVALID, 1); /* no UTF-8 */
    REFUSED("\xA3"
            "ab",
            KAL_INVALID, 1);                             /* too short */
    REFUSED("\xDD\xFF\xFF\xFF\xFF\x00", KAL_INVALID, 5); /* counts that cannot be */
    REFUSED("\xDF\x7F\xFF\xFF\xFF\x00", KAL_INVALID, 5);
    REFUSED("\x92\x92\x01", KAL_INVALID, 2); /* the outer one is owed a byte, too */
    REFUSED("\xCB\x7F\xF8\x00\x00\x00\x00\x00\x00", KAL_INVALID, 9); /* NaN */
    REFUSED("\xCA\x7F\x80\x00\x00", KAL_INVALID, 5);                 /* infinity */
}

static void depth_is_bounded(void **state)
{
    char deep[80];
    kal_arena arena;
    kal_json *json = NULL;
    kal_buf out;
    uint32_t count = 0;
    kal_buf text;
    (void)state;
    memset(deep, 0x91, sizeof deep);
    deep[64] = 0x01;
    kal_arena_init(&arena, NULL);
    assert_int_equal(kal_msgpack_parse(kal_bytes_of(deep, 65), &arena, &json, NULL), KAL_OK);
    deep[64] = (char)0x91;
    deep[65] = 0x01;
    assert_int_equal(kal_msgpack_parse(kal_bytes_of(deep, 66), &arena, &json, NULL), KAL_LIMIT);
    kal_arena_release(&arena);

    for (int levels = KAL_MSGPACK_DEPTH_MAX; levels <= KAL_MSGPACK_DEPTH_MAX + 1; levels++) {
        kal_buf_init(&text, NULL);
        kal_buf_init(&out, NULL);
        kal_buf_append_cstr(&text, "\"a\":");
        for (int i = 0; i < levels; i++)
            kal_buf_append_byte(&text, '[');
        for (int i = 0; i < levels; i++)
            kal_buf_append_byte(&text, ']');
        assert_int_equal(kal_msgpack_members(kal_buf_bytes(&text), &out, &count, NULL),
                         levels <= KAL_MSGPACK_DEPTH_MAX ? KAL_OK : KAL_LIMIT);
        kal_buf_release(&text);
        kal_buf_release(&out);
    }
}

static void memory_is_bounded(void **state)
{
    (void)state;
    for (size_t limit = 0; limit < 3000; limit += 7) {
        kal_budget budget;
        kal_arena arena;
        kal_buf out;
        kal_json *json = NULL;
        uint32_t count = 0;
        kal_budget_init(&budget, NULL, limit);
        kal_arena_init(&arena, &budget);
        kal_buf_init(&out, &budget);
        kal_status status = kal_msgpack_members(
            KAL_STR("\"a\":{\"b\":\"some text of a length\",\"c\":[1,2,3]}"), &out, &count, NULL);
        assert_true(status == KAL_OK || status == KAL_LIMIT);
        status = kal_msgpack_parse(KAL_STR("\x82\xA1"
                                           "a\x93\x01\x02\x03\xA1"
                                           "b\xA3xyz"),
                                   &arena, &json, NULL);
        assert_true(status == KAL_OK || status == KAL_LIMIT);
        kal_buf_release(&out);
        kal_arena_release(&arena);
        assert_int_equal(budget.used, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_bytes),
        cmocka_unit_test(refuses_what_is_no_json),
        cmocka_unit_test(round_trips),
        cmocka_unit_test(many_items),
        cmocka_unit_test(refuses_what_json_cannot_say),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(memory_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
