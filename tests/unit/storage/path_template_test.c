/*
 * Templates: what is refused and why, and that no two names ever give the same path or leave the
 * directory, whatever the names are.
 */
#include "base/map.h"
#include "base/rng.h"
#include "storage/object_store.h"
#include "storage/path_template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const kal_path_template_kind SHARED = KAL_PATH_TEMPLATE_SHARED;
static const kal_path_template_kind USER = KAL_PATH_TEMPLATE_USER;

static void expect(const char *text, kal_path_template_kind kind, const char *part)
{
    kal_error err = KAL_ERROR_INIT;
    kal_status status = kal_path_template_check(kal_cstr(text), kind, &err);
    if (part == NULL && status != KAL_OK)
        fail_msg("'%s' is refused: %s", text, err.message);
    if (part != NULL && (status != KAL_INVALID || strstr(err.message, part) == NULL))
        fail_msg("'%s': expected '%s', got %s '%s'", text, part, kal_status_name(status),
                 err.message);
}

/* Goal: each rule has its own reason. */
static void test_rules(void **state)
{
    (void)state;
    expect("{namespace}/{tableName}", SHARED, NULL);
    expect("{namespace}/{tableName}/", SHARED, NULL);
    expect("shared/ns={namespace}/t={tableName}.d/{shard}", SHARED, NULL);
    expect("{namespace}/{tableName}/{userId}/{shard}", USER, NULL);
    expect("", SHARED, "is empty");
    expect("{namespace}/{tableName}", USER, "lacks '{userId}'");
    expect("{namespace}/{userId}", USER, "lacks '{tableName}'");
    expect("{tableName}", SHARED, "lacks '{namespace}'");
    expect("{namespace}/{tableName}/{userId}", SHARED, "cannot have '{userId}'");
    expect("{tableName}/{namespace}", SHARED, "out of order '{namespace}'");
    expect("{namespace}/{tableName}/{shard}/{userId}", USER, "out of order '{userId}'");
    expect("{namespace}/{namespace}/{tableName}", SHARED, "twice '{namespace}'");
    expect("{namespace}/{table}", SHARED, "unknown placeholder '{table}'");
    expect("{namespace}/{tableName", SHARED, "without '}'");
    expect("{namespace}{tableName}", SHARED, "two placeholders");
    expect("/{namespace}/{tableName}", SHARED, "begins with '/'");
    expect("{namespace}//{tableName}", SHARED, "empty part");
    expect("../{namespace}/{tableName}", SHARED, "may not leave");
    expect("./{namespace}/{tableName}", SHARED, "may not leave");
    expect("a b/{namespace}/{tableName}", SHARED, "may hold letters");
    expect(".tmp-x/{namespace}/{tableName}", SHARED, "temporary files");
    kal_bytes nul = KAL_STR("a\0b/{namespace}/{tableName}");
    assert_int_equal(kal_path_template_check(nul, SHARED, NULL), KAL_INVALID);
}

static kal_status pair(const char *shared, const char *user)
{
    return kal_path_templates_check(kal_cstr(shared), kal_cstr(user), NULL);
}

static void test_pairs(void **state)
{
    (void)state;
    assert_int_equal(pair("{namespace}/{tableName}", "{namespace}/{tableName}/{userId}"), KAL_OK);
    assert_int_equal(
        pair("shared/{namespace}/{tableName}", "users/{namespace}/{tableName}/{userId}"), KAL_OK);
    assert_int_equal(pair("{namespace}/{tableName}/y/z", "{namespace}/x/{tableName}/{userId}"),
                     KAL_INVALID);
    assert_int_equal(pair("a/{namespace}/{tableName}", "A/b/{namespace}/{tableName}/{userId}"),
                     KAL_INVALID);
}

static void expect_path(const char *text, kal_path_values values, const char *path)
{
    kal_buf out; /* owned */
    kal_buf_init(&out, NULL);
    kal_path_template_render(kal_cstr(text), &values, &out);
    kal_buf_append_byte(&out, 0);
    assert_string_equal((const char *)out.ptr, path);
    kal_buf_release(&out);
}

static void test_render(void **state)
{
    kal_path_values v = {.namespace_id = KAL_STR("app"), .table_name = KAL_STR("t_1")};
    (void)state;
    expect_path("{namespace}/{tableName}", v, "app/t_1");
    expect_path("users/{namespace}/{tableName}/{userId}/{shard}/", v, "users/app/t_1");
    v.user_id = KAL_STR("Ann@../x");
    v.has_shard = true;
    v.shard = 7;
    expect_path("u/{namespace}/{tableName}.d/{userId}/s={shard}", v,
                "u/app/t_1.d/%41nn%40%2e%2e%2fx/s=7");
    v.user_id = KAL_STR("");
    expect_path("{namespace}/{tableName}/{userId}", v, "app/t_1/%e");
}

/* ---- hostile names ---- */

static kal_bytes hostile(kal_rng *rng, uint8_t *bytes, size_t bytes_max)
{
    static const char *const PIECES[] = {"..", "/",  "\\", "%",     "%2f", "%e",   ".",  "a",
                                         "A",  "\0", "b_", ".tmp-", "~",   "\xff", "%/", " "};
    size_t len = 0;
    size_t count = kal_rng_below(rng, kal_rng_chance(rng, 1, 10) ? 120 : 5);
    for (size_t i = 0; i < count; i++) {
        size_t which = kal_rng_below(rng, KAL_ARRAY_LEN(PIECES));
        size_t piece = PIECES[which][0] == '\0' ? 1 : strlen(PIECES[which]);
        if (len + piece > bytes_max)
            break;
        memcpy(bytes + len, PIECES[which], piece);
        len += piece;
    }
    return kal_bytes_of(bytes, len);
}

static void append_length_and(kal_buf *out, kal_bytes text)
{
    kal_buf_append_le32(out, (uint32_t)text.len);
    kal_buf_append_bytes(out, text);
}

/* Goal: path -> names is a function, also where case is folded, and every path is a valid key.
 * Method: random names of hostile pieces under several templates; a map of what each path meant. */
static void test_hostile_names(void **state)
{
    static const char *const TEMPLATES[] = {KAL_USER_TEMPLATE_DEFAULT,
                                            "ns={namespace}/t.{tableName}.d/u_{userId}-x",
                                            "x/{namespace}f/y/{tableName}e/0{userId}0"};
    const char *given = getenv("KAL_TEST_SEED");
    uint64_t seed = given == NULL ? 1 : strtoull(given, NULL, 10);
    kal_rng rng;

    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    kal_rng_seed(&rng, seed);
    for (size_t t = 0; t < KAL_ARRAY_LEN(TEMPLATES); t++) {
        kal_map meanings; /* of folded paths: owned copies of the names */
        size_t position = 0;
        kal_bytes key;
        kal_buf *meaning = NULL;
        expect(TEMPLATES[t], USER, NULL);
        kal_map_init(&meanings);
        for (int i = 0; i < 20000; i++) {
            uint8_t ns[64];
            uint8_t table[64];
            uint8_t user[128];
            kal_path_values v = {.namespace_id = hostile(&rng, ns, sizeof ns),
                                 .table_name = hostile(&rng, table, sizeof table),
                                 .user_id = hostile(&rng, user, sizeof user)};
            kal_buf path;  /* owned */
            kal_buf names; /* owned */
            kal_buf_init(&path, NULL);
            kal_buf_init(&names, NULL);
            kal_path_template_render(kal_cstr(TEMPLATES[t]), &v, &path);
            if (kal_object_key_check(kal_buf_bytes(&path), NULL) != KAL_OK)
                fail_msg("not a key: %.*s", KAL_FMT(kal_buf_bytes(&path)));
            for (size_t c = 0; c < path.len; c++)
                path.ptr[c] = (uint8_t)kal_ascii_lower((char)path.ptr[c]);
            append_length_and(&names, v.namespace_id);
            append_length_and(&names, v.table_name);
            append_length_and(&names, v.user_id);
            meaning = kal_map_find(&meanings, kal_buf_bytes(&path));
            if (meaning != NULL && !kal_bytes_equal(kal_buf_bytes(meaning), kal_buf_bytes(&names)))
                fail_msg("two meanings: %.*s", KAL_FMT(kal_buf_bytes(&path)));
            if (meaning == NULL) {
                meaning = malloc(sizeof *meaning);
                *meaning = names;
                kal_map_put(&meanings, kal_buf_bytes(&path), meaning);
            } else {
                kal_buf_release(&names);
            }
            kal_buf_release(&path);
        }
        while ((meaning = kal_map_next(&meanings, &position, &key)) != NULL) {
            kal_buf_release(meaning);
            free(meaning);
        }
        kal_map_release(&meanings);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_render),
        cmocka_unit_test(test_hostile_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
