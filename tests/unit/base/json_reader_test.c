#include "base/json_reader.h"
#include "base/json_writer.h"
#include "unit/base/json_oracle.h"
#include "unit/base/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Goal: the tree holds what the text says. Method: one document with every kind. */
static void test_tree(void **state)
{
    kal_arena arena;
    kal_json *json = NULL;
    (void)state;
    kal_arena_init(&arena, NULL);
    assert_int_equal(
        kal_json_parse(
            KAL_STR(" {\"n\":null,\"t\":true,\"f\":false,\"num\":-12345678901234567890.50e+1,"
                    "\"s\":\"a\\n\\u00e9\\ud83d\\ude00\\u0000z\",\"arr\":[1,[],{}],"
                    "\"\\u006bey\":\"\"}\n"),
            &arena, &json, NULL),
        KAL_OK);
    assert_int_equal(json->kind, KAL_JSON_OBJECT);
    assert_int_equal(json->len, 7);
    assert_true(kal_bytes_equal(json->keys[0], KAL_STR("n")));
    assert_int_equal(kal_json_find(json, "n")->kind, KAL_JSON_NULL);
    assert_true(kal_json_find(json, "t")->boolean);
    assert_false(kal_json_find(json, "f")->boolean);
    assert_true(
        kal_bytes_equal(kal_json_find(json, "num")->text, KAL_STR("-12345678901234567890.50e+1")));
    assert_true(
        kal_bytes_equal(kal_json_find(json, "s")->text, KAL_STR("a\n\xC3\xA9\xF0\x9F\x98\x80\0z")));
    const kal_json *array = kal_json_find(json, "arr");
    assert_int_equal(array->len, 3);
    assert_int_equal(array->items[0].kind, KAL_JSON_NUMBER);
    assert_int_equal(array->items[1].kind, KAL_JSON_ARRAY);
    assert_int_equal(array->items[1].len, 0);
    assert_int_equal(array->items[2].kind, KAL_JSON_OBJECT);
    assert_non_null(kal_json_find(json, "key"));
    assert_null(kal_json_find(json, "absent"));
    assert_null(kal_json_find(array, "n"));
    assert_null(kal_json_find(NULL, "n"));
    assert_string_equal(kal_json_kind_name(array->kind), "array");
    kal_arena_release(&arena);
}

/* Goal: values of every kind may stand alone. */
static void test_root_scalars(void **state)
{
    static const char *const TEXTS[] = {"null", " true", "false\n", "0", "-1.5e3", "\"x\"", "[]"};
    static const kal_json_kind KINDS[] = {KAL_JSON_NULL,   KAL_JSON_BOOL,   KAL_JSON_BOOL,
                                          KAL_JSON_NUMBER, KAL_JSON_NUMBER, KAL_JSON_STRING,
                                          KAL_JSON_ARRAY};
    kal_arena arena;
    (void)state;
    kal_arena_init(&arena, NULL);
    for (size_t i = 0; i < KAL_ARRAY_LEN(TEXTS); i++) {
        kal_json *json = NULL;
        assert_int_equal(kal_json_parse(kal_cstr(TEXTS[i]), &arena, &json, NULL), KAL_OK);
        assert_int_equal(json->kind, KINDS[i]);
    }
    kal_arena_release(&arena);
}

typedef struct refusal {
    const char *text;
    int64_t position;
    const char *message;
} refusal;

/* Goal: what is refused, where, and in which words. The position is a byte offset. */
static void test_refusals(void **state)
{
    static const refusal TABLE[] = {
        {"", 0, "JSON text is empty"},
        {"  ", 0, "JSON text is empty"},
        {"1 2", 2, "unexpected token in JSON text"},
        {"1,2", 2, "something follows the JSON value"},
        {"[1],[2]", 4, "something follows the JSON value"},
        {"{}]", 2, "something follows the JSON value"},
        {"1 ] 2", 2, "something follows the JSON value"},
        {"]", 0, "something follows the JSON value"},
        {"[1,2", 4, "JSON text ends too early"},
        {"{\"a\":1", 6, "JSON text ends too early"},
        {"{\"a\":1,\"a\":2}", 7, "duplicate key in JSON object"},
        {"{\"a\":1,\"\\u0061\":2}", 7, "duplicate key in JSON object"},
        {"[\"\xC3(\"]", 2, "JSON text is not UTF-8"},
        {"[1] \xFF", 4, "JSON text is not UTF-8"},
        {"[\"a\",\"b\nc\"]", 7, "control character in JSON string"},
        {"[\"a\", \"bc]", 6, "JSON string is not closed"},
        {"\"\\", 0, "JSON string is not closed"},
        {"[1,\"\\x\"]", 3, "bad escape in JSON string"},
        {"{\"\\ud800\":1}", 1, "bad escape in JSON string"},
        {"\"\\ud800\"", 0, "bad escape in JSON string"},
        {"\"\\ud800\\u0041\"", 0, "bad escape in JSON string"},
        {"\"\\ude00\"", 0, "bad escape in JSON string"},
        {"\"\\u12g4\"", 0, "bad escape in JSON string"},
        {"[01]", 1, "malformed number in JSON text"},
        {"[1.]", 1, "malformed number in JSON text"},
        {"[-]", 1, "malformed number in JSON text"},
        {"[1e]", 1, "malformed number in JSON text"},
        {"[ 1\"a\"]", 2, "malformed number in JSON text"},
        {"[+1]", 1, "unexpected word in JSON text"},
        {"[.5]", 1, "unexpected word in JSON text"},
        {"[NaN]", 1, "unexpected word in JSON text"},
        {"[tru]", 1, "unexpected word in JSON text"},
        {"{\"a\":nulll}", 5, "unexpected word in JSON text"},
    };
    kal_arena arena;
    (void)state;
    kal_arena_init(&arena, NULL);
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        kal_error err = KAL_ERROR_INIT;
        kal_json *json = NULL;
        kal_status status = kal_json_parse(kal_cstr(TABLE[i].text), &arena, &json, &err);
        if (status != KAL_INVALID || err.position != TABLE[i].position ||
            strcmp(err.message, TABLE[i].message) != 0)
            fail_msg("%s: status %d, '%s' at %d", TABLE[i].text, (int)status, err.message,
                     (int)err.position);
        assert_null(json);
        assert_int_equal(kal_json_check(kal_cstr(TABLE[i].text), &arena, NULL), KAL_INVALID);
    }
    kal_arena_release(&arena);
}

/* Goal: more that is refused, wherever it stands. Method: each text alone, in an array and as a
 * member. */
static void test_refused_anywhere(void **state)
{
    static const char *const TEXTS[] = {
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1:2]",
        "{\"a\"}",
        "{\"a\":}",
        "{,}",
        "{\"a\" 1}",
        "{1:2}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{\"a\"::1}",
        "{a:1}",
        "[}",
        "{]",
        "]",
        "}",
        ":",
        ",",
        "['a']",
        "[\"a\"x]",
        "[\"a\":1]",
        "[\"a\"\"b\"]",
        "/**/1",
        "[true\"\"]",
        "[1/**/]",
        "{\"a\":1}}",
        "[[]",
        "nul",
        "\xEF\xBB\xBF"
        "1",
        "[1\v]",
        "[\"\\u00\"]",
        "0x1",
        "1_0",
        "--1",
        "[{}{}]",
    };
    static const char *const FRAMES[][2] = {
        {"", ""}, {"[", "]"}, {"{\"k\":", "}"}, {"[null,", ",1]"}};
    kal_arena arena;
    (void)state;
    kal_arena_init(&arena, NULL);
    for (size_t i = 0; i < KAL_ARRAY_LEN(TEXTS); i++) {
        for (size_t frame = 0; frame < KAL_ARRAY_LEN(FRAMES); frame++) {
            char text[64];
            snprintf(text, sizeof text, "%s%s%s", FRAMES[frame][0], TEXTS[i], FRAMES[frame][1]);
            if (kal_json_check(kal_cstr(text), &arena, NULL) != KAL_INVALID)
                fail_msg("taken: %s", text);
        }
    }
    kal_arena_release(&arena);
}

/* Goal: 64 levels are read, the 65th is refused, in arrays and objects. */
static void test_depth(void **state)
{
    (void)state;
    for (int objects = 0; objects < 2; objects++) {
        for (int depth = 63; depth <= 66; depth++) {
            kal_arena arena;
            kal_buf text;
            kal_error err = KAL_ERROR_INIT;
            kal_arena_init(&arena, NULL);
            kal_buf_init(&text, NULL);
            for (int i = 0; i < depth; i++)
                kal_buf_append_cstr(&text, objects ? "{\"a\":" : "[");
            kal_buf_append_cstr(&text, objects ? "1" : "");
            for (int i = 0; i < depth; i++)
                kal_buf_append_byte(&text, objects ? '}' : ']');
            assert_int_equal(kal_json_check(kal_buf_bytes(&text), &arena, &err),
                             depth <= KAL_JSON_READ_DEPTH_MAX ? KAL_OK : KAL_LIMIT);
            if (depth > KAL_JSON_READ_DEPTH_MAX)
                assert_int_equal(err.position, objects ? 64 * 5 : 64);
            kal_buf_release(&text);
            kal_arena_release(&arena);
        }
    }
}

/* Goal: duplicates are found among many keys too, at the later of the two. Method: objects around
 * the size where the search changes, with one pair equal. */
static void test_many_keys(void **state)
{
    kal_rng rng;
    (void)state;
    kal_test_seed(&rng);
    for (size_t count = 2; count < 60; count++) {
        size_t second = 1 + (size_t)kal_rng_below(&rng, count - 1);
        size_t first = (size_t)kal_rng_below(&rng, second);
        for (int with_duplicate = 0; with_duplicate < 2; with_duplicate++) {
            kal_arena arena;
            kal_buf text;
            kal_error err = KAL_ERROR_INIT;
            size_t expected = 0;
            kal_arena_init(&arena, NULL);
            kal_buf_init(&text, NULL);
            for (size_t i = 0; i < count; i++) {
                kal_buf_append_byte(&text, i == 0 ? '{' : ',');
                expected = i == second ? text.len : expected;
                kal_buf_printf(&text, "\"key%zu\":%zu", with_duplicate && i == second ? first : i,
                               i);
            }
            kal_buf_append_byte(&text, '}');
            kal_status status = kal_json_check(kal_buf_bytes(&text), &arena, &err);
            assert_int_equal(status, with_duplicate ? KAL_INVALID : KAL_OK);
            if (with_duplicate)
                assert_int_equal(err.position, expected);
            kal_buf_release(&text);
            kal_arena_release(&arena);
        }
    }
}

/* Goal: a budget refuses cleanly at any point. Method: the same document under every limit from
 * none to enough; the charge always comes back. */
static void test_budget(void **state)
{
    kal_buf text;
    (void)state;
    bool was_read = false;
    size_t refused = 0;
    kal_buf_init(&text, NULL);
    kal_buf_append_byte(&text, '{');
    for (int i = 0; i < 40; i++)
        kal_buf_printf(&text, "%s\"key%d\":[\"\\n\",%d,{\"a\":[]}]", i == 0 ? "" : ",", i, i);
    kal_buf_append_byte(&text, '}');
    for (size_t limit = 0; !was_read; limit += 64) {
        kal_budget budget;
        kal_arena arena;
        kal_error err = KAL_ERROR_INIT;
        kal_budget_init(&budget, NULL, limit);
        kal_arena_init(&arena, &budget);
        kal_status status = kal_json_check(kal_buf_bytes(&text), &arena, &err);
        assert_true(status == KAL_OK || (status == KAL_LIMIT && err.message[0] != '\0'));
        was_read = status == KAL_OK;
        refused += was_read ? 0 : 1;
        assert_true(budget.used <= limit);
        kal_arena_release(&arena);
        assert_int_equal(budget.used, 0);
    }
    assert_true(refused > 10);
    kal_buf_release(&text);
}

/* Goal: large documents, which get a parser of their own, are read and charged. */
static void test_large(void **state)
{
    kal_budget budget;
    kal_arena arena;
    kal_buf text;
    kal_json *json = NULL;
    (void)state;
    kal_buf_init(&text, NULL);
    for (int i = 0; i < 50000; i++)
        kal_buf_printf(&text, "%c%d", i == 0 ? '[' : ',', i);
    kal_buf_append_byte(&text, ']');
    kal_budget_init(&budget, NULL, 64 * 1024 * 1024);
    kal_arena_init(&arena, &budget);
    assert_int_equal(kal_json_parse(kal_buf_bytes(&text), &arena, &json, NULL), KAL_OK);
    assert_int_equal(json->len, 50000);
    assert_true(kal_bytes_equal(json->items[49999].text, KAL_STR("49999")));
    kal_arena_release(&arena);
    assert_int_equal(budget.used, 0);

    kal_budget_init(&budget, NULL, text.len * 4);
    kal_arena_init(&arena, &budget);
    assert_int_equal(kal_json_parse(kal_buf_bytes(&text), &arena, &json, NULL), KAL_LIMIT);
    kal_arena_release(&arena);
    kal_buf_release(&text);
}

static void write_random(kal_json_writer *w, kal_rng *rng, int depth)
{
    uint64_t kind = kal_rng_below(rng, depth == 0 ? 6 : 8);
    size_t count = (size_t)kal_rng_below(rng, 5);
    char key[32];
    uint8_t text[12];
    switch (kind) {
    case 0:
        kal_json_null(w);
        break;
    case 1:
        kal_json_bool(w, kal_rng_chance(rng, 1, 2));
        break;
    case 2:
        kal_json_i64(w, (int64_t)kal_rng_next(rng) >> kal_rng_below(rng, 64));
        break;
    case 3:
        kal_json_double(w, (double)kal_rng_next(rng) / 3e12);
        break;
    case 4:
    case 5:
        kal_rng_fill(rng, text, sizeof text);
        kal_json_string(w, kal_bytes_of(text, (size_t)kal_rng_below(rng, sizeof text)));
        break;
    case 6:
        kal_json_begin_array(w);
        while (count-- > 0)
            write_random(w, rng, depth - 1);
        kal_json_end_array(w);
        break;
    default:
        kal_json_begin_object(w);
        while (count-- > 0) {
            snprintf(key, sizeof key, "\"\n%zu", count);
            kal_json_key(w, key);
            write_random(w, rng, depth - 1);
        }
        kal_json_end_object(w);
        break;
    }
}

/* Goal: what the writer writes the reader reads, and nothing is lost. Method: random documents,
 * read into a tree, written again, compared as text; then one byte is changed and the reader must
 * agree with the oracle. */
static void test_round_trip(void **state)
{
    kal_rng rng;
    (void)state;
    kal_test_seed(&rng);
    for (int i = 0; i < 3000; i++) {
        kal_arena arena;
        kal_buf first;
        kal_buf second;
        kal_json_writer w;
        kal_json *json = NULL;
        kal_arena_init(&arena, NULL);
        kal_buf_init(&first, NULL);
        kal_buf_init(&second, NULL);
        kal_json_writer_init(&w, &first);
        write_random(&w, &rng, 4);
        assert_int_equal(kal_json_parse(kal_buf_bytes(&first), &arena, &json, NULL), KAL_OK);
        kal_json_writer_init(&w, &second);
        kal_json_write_tree(json, &w);
        assert_true(kal_bytes_equal(kal_buf_bytes(&first), kal_buf_bytes(&second)));

        first.ptr[kal_rng_below(&rng, first.len)] =
            (uint8_t) "\"\\{}[],:0-e x\x80"[kal_rng_below(&rng, 14)];
        kal_bytes text = kal_buf_bytes(&first);
        bool expected = json_oracle_accepts(text, KAL_JSON_READ_DEPTH_MAX);
        if ((kal_json_check(text, &arena, NULL) == KAL_OK) != expected)
            fail_msg("disagreement about %.*s", (int)text.len, (const char *)text.ptr);
        kal_buf_release(&first);
        kal_buf_release(&second);
        kal_arena_release(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),       cmocka_unit_test(test_root_scalars),
        cmocka_unit_test(test_refusals),   cmocka_unit_test(test_refused_anywhere),
        cmocka_unit_test(test_depth),      cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_budget),     cmocka_unit_test(test_large),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
