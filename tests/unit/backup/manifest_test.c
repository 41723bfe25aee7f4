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
    assert_int_equal(read_text("{\"format\":3}", &arena, &back, &err), KAL_UNSUPPORTED);
    assert_int_equal(read_text("{\"format\":0}", &arena, &back, &err), KAL_CORRUPT);
    assert_int_equal(read_text("nothing", &arena, &back, &err), KAL_CORRUPT);
    assert_int_equal(read_text("[]", &arena, &back, &err), KAL_CORRUPT);
    kal_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
