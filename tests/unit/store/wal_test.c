/*
 * wal_test.c: what opening makes of a damaged directory: a torn end of the log is cut, a flipped
 * bit inside is refused, a missing CURRENT is refused. Method: keep the files as a kill would leave
 * them (an open store's directory is copied), damage the copy, open it.
 */
#include "unit/store/store_testing.h"

#include <fcntl.h>

enum { RECORDS = 50, VALUE_BYTES = 1000 };

typedef struct fixture {
    testing_dir dir; /* as a kill left it */
    char log[512];   /* its write-ahead log */
    long log_bytes;
} fixture;

static void copy_file(const char *from, const char *to)
{
    char block[65536];
    FILE *in = fopen(from, "rb");
    FILE *out = fopen(to, "wb");
    assert_non_null(in);
    assert_non_null(out);
    for (size_t len; (len = fread(block, 1, sizeof block, in)) > 0;)
        assert_int_equal(fwrite(block, 1, len, out), len);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

static void copy_directory(const testing_dir *from, const testing_dir *to)
{
    DIR *open = opendir(from->path);
    assert_non_null(open);
    for (struct dirent *entry = readdir(open); entry != NULL; entry = readdir(open)) {
        char source[512];
        char target[512];
        if (entry->d_type == DT_DIR || strcmp(entry->d_name, "LOCK") == 0)
            continue;
        testing_dir_path(from, entry->d_name, source, sizeof source);
        testing_dir_path(to, entry->d_name, target, sizeof target);
        copy_file(source, target);
    }
    closedir(open);
}

static const char *key_of(int i)
{
    static char key[16];
    snprintf(key, sizeof key, "key%03d", i);
    return key;
}

static void make_killed_store(fixture *f)
{
    testing_dir live = testing_dir_make();
    kal_kv *kv = testing_open_rocks(&live);
    char value[VALUE_BYTES + 1];

    memset(value, 'v', VALUE_BYTES);
    value[VALUE_BYTES] = '\0';
    for (int i = 0; i < RECORDS; i++)
        testing_put(kv, KAL_KV_CATALOG, key_of(i), value, true);
    f->dir = testing_dir_make();
    copy_directory(&live, &f->dir);
    kal_kv_close(kv);
    testing_dir_remove(&live);
    f->log_bytes = testing_dir_largest(&f->dir, ".log", f->log, sizeof f->log);
    assert_true(f->log_bytes > RECORDS * VALUE_BYTES);
}

static kal_status try_open(const fixture *f, kal_kv **kv_out, kal_error *err)
{
    kal_kv_options options = {.block_cache_bytes = 1u << 20, .write_buffer_bytes = 64u << 10};
    return kal_kv_open_rocks(f->dir.path, &options, kv_out, err);
}

/* The first `count` records are there and no other. */
static void expect_records(kal_kv *kv, int count)
{
    for (int i = 0; i < RECORDS; i++) {
        kal_arena arena;
        kal_bytes value;
        kal_error err = KAL_ERROR_INIT;
        kal_arena_init(&arena, NULL);
        kal_status status =
            kal_kv_get(kv, NULL, KAL_KV_CATALOG, kal_cstr(key_of(i)), &arena, &value, &err);
        kal_arena_release(&arena);
        if (status != (i < count ? KAL_OK : KAL_NOT_FOUND))
            fail_msg("record %d of %d: %s", i, count, kal_status_name(status));
    }
}

static void flip(const char *path, long at)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_not_equal(byte, EOF);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_equal(fputc(byte ^ 0x10, file), byte ^ 0x10);
    assert_int_equal(fclose(file), 0);
}

/* Goal: a kill loses nothing that was synced. */
static void killed_store_is_whole(void **state)
{
    (void)state;
    fixture f;
    kal_kv *kv = NULL;
    kal_error err = KAL_ERROR_INIT;
    make_killed_store(&f);
    testing_ok(try_open(&f, &kv, &err), &err);
    expect_records(kv, RECORDS);
    kal_kv_close(kv);
    testing_dir_remove(&f.dir);
}

/* Goal: a torn last record is cut and everything before it stays. Method: cut inside the last. */
static void torn_end_is_cut(void **state)
{
    (void)state;
    static const long CUTS[] = {1, VALUE_BYTES / 2, VALUE_BYTES + 20};
    for (size_t i = 0; i < KAL_ARRAY_LEN(CUTS); i++) {
        fixture f;
        kal_kv *kv = NULL;
        kal_error err = KAL_ERROR_INIT;
        make_killed_store(&f);
        assert_int_equal(truncate(f.log, f.log_bytes - CUTS[i]), 0);
        testing_ok(try_open(&f, &kv, &err), &err);
        expect_records(kv, RECORDS - 1);
        /* and the store works on, again and again */
        testing_put(kv, KAL_KV_CATALOG, "after", "v", true);
        kal_kv_close(kv);
        testing_ok(try_open(&f, &kv, &err), &err);
        testing_expect(kv, NULL, KAL_KV_CATALOG, "after", "v");
        kal_kv_close(kv);
        testing_dir_remove(&f.dir);
    }
}

/* Goal: a flipped bit in a record, first, middle or last, is KAL_CORRUPT: acknowledged data is not
 * dropped without a word. */
static void flipped_bit_is_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        fixture f;
        kal_kv *kv = NULL;
        kal_error err = KAL_ERROR_INIT;
        make_killed_store(&f);
        long places[] = {200, f.log_bytes / 2, f.log_bytes - 100};
        flip(f.log, places[i]);
        assert_int_equal(try_open(&f, &kv, &err), KAL_CORRUPT);
        assert_null(kv);
        assert_non_null(strstr(err.message, f.dir.path));
        /* nor by trying once more */
        assert_int_equal(try_open(&f, &kv, &err), KAL_CORRUPT);
        testing_dir_remove(&f.dir);
    }
}

/* Goal: to know the one thing that cannot be told apart: a damaged length in the last block of the
 * log looks like a torn end, so the records from there on are cut. Method: raise the high byte of
 * the length of a record in the last 32 KiB; checks that what was before is still there. */
static void damaged_length_in_the_last_block_reads_as_a_torn_end(void **state)
{
    (void)state;
    enum { BLOCK_BYTES = 32768, HEADER_BYTES = 7, LENGTH_HIGH_BYTE = 5, LENGTH_LOW_BYTE = 4 };
    fixture f;
    kal_kv *kv = NULL;
    kal_error err = KAL_ERROR_INIT;
    uint8_t header[HEADER_BYTES];
    long last_block;
    long at;

    make_killed_store(&f);
    last_block = f.log_bytes / BLOCK_BYTES * BLOCK_BYTES;
    FILE *file = fopen(f.log, "rb");
    assert_non_null(file);
    /* The first record that begins in the last block: pass what is left of the one before. */
    assert_int_equal(fseek(file, last_block, SEEK_SET), 0);
    assert_int_equal(fread(header, 1, sizeof header, file), sizeof header);
    at = last_block + HEADER_BYTES + header[LENGTH_LOW_BYTE] + header[LENGTH_HIGH_BYTE] * 256L;
    fclose(file);
    assert_true(at + HEADER_BYTES < f.log_bytes);
    file = fopen(f.log, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at + LENGTH_HIGH_BYTE, SEEK_SET), 0);
    assert_int_equal(fputc(0xFF, file), 0xFF);
    assert_int_equal(fclose(file), 0);

    testing_ok(try_open(&f, &kv, &err), &err);
    int count = 0;
    kal_kv_range range = {.family = KAL_KV_CATALOG};
    kal_kv_iter *iter = NULL;
    kal_bytes key;
    kal_bytes value;
    testing_ok(kal_kv_iter_open(kv, NULL, &range, &iter, &err), &err);
    while (kal_kv_iter_next(iter, &key, &value, &err) == KAL_OK)
        count++;
    kal_kv_iter_close(iter);
    assert_in_range(count, last_block / (VALUE_BYTES + 100), RECORDS - 1);
    expect_records(kv, count); /* a prefix of what was written, without holes */
    kal_kv_close(kv);
    testing_dir_remove(&f.dir);
}

/* Goal: data files without CURRENT are refused, where RocksDB would start an empty store. */
static void missing_current_is_refused(void **state)
{
    (void)state;
    fixture f;
    kal_kv *kv = NULL;
    kal_error err = KAL_ERROR_INIT;
    char path[512];
    make_killed_store(&f);
    testing_dir_path(&f.dir, "CURRENT", path, sizeof path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(try_open(&f, &kv, &err), KAL_CORRUPT);
    assert_null(kv);
    assert_non_null(strstr(err.message, "has data files but no file CURRENT"));
    testing_dir_remove(&f.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_store_is_whole),
        cmocka_unit_test(torn_end_is_cut),
        cmocka_unit_test(flipped_bit_is_refused),
        cmocka_unit_test(damaged_length_in_the_last_block_reads_as_a_torn_end),
        cmocka_unit_test(missing_current_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
