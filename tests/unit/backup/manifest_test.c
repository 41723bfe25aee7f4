#include "backup/manifest.h"
#include "base/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HASH "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static kal_status read_text(const char *text, kal_arena *arena, kal_backup *out, kal_error *err)
{
    return kal_manifest_read(kal_cstr(text), arena, out, err);
}

/* Goal: what was written is read. Method: two files. */
static void test_round_trip(void **state)
{
    kal_backup_file files[] = {
        {.name = KAL_STR("rocksdb/000001.sst"), .size_bytes = 7, .sha256 = KAL_STR(HASH)},
        {.name = KAL_STR("token-secret"), .size_bytes = 32, .sha256 = KAL_STR(HASH)},
    };
    kal_backup backup = {.version = KAL_STR("9.9"),
                         .created_at_us = 1700000000000001,
                         .files = files,
                         .file_count = 2};
    kal_backup back;
    kal_arena arena; /* owned */
    kal_buf text;    /* owned */
    kal_error err = KAL_ERROR_INIT;

    (void)state;
    kal_arena_init(&arena, NULL);
    kal_buf_init(&text, NULL);
    kal_manifest_write(&backup, &text);
    assert_int_equal(kal_manifest_read(kal_buf_bytes(&text), &arena, &back, &err), KAL_OK);
    assert_int_equal(back.file_count, 2);
    assert_int_equal(back.size_bytes, 39);
    assert_int_equal(back.created_at_us, backup.created_at_us);
    assert_true(kal_bytes_equal(back.version, backup.version));
    for (size_t i = 0; i < 2; i++) {
        assert_true(kal_bytes_equal(back.files[i].name, files[i].name));
        assert_true(kal_bytes_equal(back.files[i].sha256, files[i].sha256));
        assert_int_equal(back.files[i].size_bytes, files[i].size_bytes);
    }
    kal_buf_release(&text);
    kal_arena_release(&arena);
}

static kal_status read_one(const char *start, const char *name, kal_backup *out)
{
    char text[600];
    kal_arena arena; /* owned */
    kal_error err = KAL_ERROR_INIT;

    kal_arena_init(&arena, NULL);
    snprintf(text, sizeof text,
             "{%s,\"version\":\"1\",\"created_at\":1,\"files\":[{\"name\":\"%s\",\"size\":1,"
             "\"sha256\":\"" HASH "\"}]}",
             start, name);
    kal_status status = read_text(text, &arena, out, &err);
    kal_arena_release(&arena);
    return status;
}

/* Goal: the files of the two kinds of backup cannot stand for each other. Method: names of both in
 * both, and namespaces that are none. */
static void test_kinds(void **state)
{
    static const char ALL[] = "\"format\":2";
    static const char ONE[] = "\"format\":3,\"namespace\":\"app\"";
    kal_backup back;

    (void)state;
    assert_int_equal(read_one(ALL, "rocksdb/x", &back), KAL_OK);
    assert_int_equal(back.namespace_id.len, 0);
    assert_false(back.is_scheduled);
    assert_int_equal(read_one(ONE, "tables/x.json", &back), KAL_OK);
    assert_int_equal(back.namespace_id.len, 3);
    assert_int_equal(read_one(ONE, "users.txt", &back), KAL_OK);
    assert_int_equal(read_one(ONE, "namespace.json", &back), KAL_OK);
    assert_int_equal(read_one("\"format\":2,\"scheduled\":true", "token-secret", &back), KAL_OK);
    assert_true(back.is_scheduled);
    assert_int_equal(read_one(ALL, "tables/x.json", &back), KAL_CORRUPT);
    assert_int_equal(read_one(ALL, "users.txt", &back), KAL_CORRUPT);
    assert_int_equal(read_one(ONE, "rocksdb/x", &back), KAL_CORRUPT);
    assert_int_equal(read_one(ONE, "token-secret", &back), KAL_CORRUPT);
    assert_int_equal(read_one(ONE, "tables/../x", &back), KAL_CORRUPT);
    assert_int_equal(read_one("\"format\":3", "tables/x", &back), KAL_CORRUPT);
    assert_int_equal(read_one("\"format\":3,\"namespace\":\"\"", "tables/x", &back), KAL_CORRUPT);
    assert_int_equal(read_one("\"format\":3,\"namespace\":\"../x\"", "tables/x", &back),
                     KAL_CORRUPT);
    assert_int_equal(read_one("\"format\":3,\"namespace\":1", "tables/x", &back), KAL_CORRUPT);
}

static void refuse_file(const char *name, const char *size, const char *hash)
{
    char text[600];
    kal_backup back;
    kal_arena arena; /* owned */
    kal_error err = KAL_ERROR_INIT;

    kal_arena_init(&arena, NULL);
    snprintf(text, sizeof text,
             "{\"format\":1,\"version\":\"1\",\"created_at\":1,\"files\":[{\"name\":\"%s\","
             "\"size\":%s,\"sha256\":\"%s\"}]}",
             name, size, hash);
    if (read_text(text, &arena, &back, &err) != KAL_CORRUPT)
        fail_msg("taken: %s", text);
    assert_non_null(strstr(err.message, "backup.json is damaged"));
    kal_arena_release(&arena);
}

/* Goal: nothing in the file is believed. Method: names that lead elsewhere, sizes and checksums
 * that are none, files twice, formats. */
static void test_refused(void **state)
{
    static const char *const NAMES[] = {"",
                                        "/etc/passwd",
                                        "rocksdb",
                                        "rocksdb/",
                                        "rocksdb/..",
                                        "../x",
                                        "rocksdb/../../x",
                                        "rocksdb/.hidden",
                                        "rocksdb/a/b",
                                        "backup.json",
                                        "rocksdb/a b",
                                        "rocksdb/a\\u0000b",
                                        "ROCKSDB/x",
                                        "token-secret/x",
                                        "rocksdb//x",
                                        "segments",
                                        "segments/",
                                        "segments/..",
                                        "segments/.x",
                                        "segments/a/b"};
    (void)state;
    for (size_t i = 0; i < KAL_ARRAY_LEN(NAMES); i++)
        refuse_file(NAMES[i], "1", HASH);
    refuse_file("rocksdb/x", "-1", HASH);
    refuse_file("rocksdb/x", "1.5", HASH);
    refuse_file("rocksdb/x", "99999999999999999999", HASH);
    refuse_file("rocksdb/x", "\"1\"", HASH);
    refuse_file("rocksdb/x", "1", "abc");
    refuse_file("rocksdb/x", "1",
                "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD");
    refuse_file("rocksdb/x\",\"size\":1,\"sha256\":\"" HASH "\"},{\"name\":\"rocksdb/x", "1", HASH);

    kal_backup back;
    kal_arena arena; /* owned */
    kal_error err = KAL_ERROR_INIT;
    kal_arena_init(&arena, NULL);
    assert_int_equal(read_text("{\"format\":4}", &arena, &back, &err), KAL_UNSUPPORTED);
    assert_int_equal(read_text("{\"format\":0}", &arena, &back, &err), KAL_CORRUPT);
    assert_int_equal(read_text("nothing", &arena, &back, &err), KAL_CORRUPT);
    assert_int_equal(read_text("[]", &arena, &back, &err), KAL_CORRUPT);
    kal_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
