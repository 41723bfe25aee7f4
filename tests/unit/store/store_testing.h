/*
 * store_testing.h: what the tests of the byte store share: seeds, directories, checks that print.
 */
#ifndef KAL_TESTS_STORE_TESTING_H
#define KAL_TESTS_STORE_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/kv.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The seed of this run: KAL_TEST_SEED, or a fixed one. */
static inline uint64_t testing_seed(void)
{
    const char *text = getenv("KAL_TEST_SEED");
    return text == NULL ? 20261123 : strtoull(text, NULL, 10);
}

static inline void testing_ok(kal_status status, const kal_error *err)
{
    if (status != KAL_OK)
        fail_msg("%s: %s", kal_status_name(status), err->message);
}

typedef struct testing_dir {
    char path[64];
} testing_dir;

static inline testing_dir testing_dir_make(void)
{
    testing_dir dir;
    snprintf(dir.path, sizeof dir.path, "%s/kal-store-test-XXXXXX", P_tmpdir);
    assert_non_null(mkdtemp(dir.path));
    return dir;
}

static inline void testing_dir_path(const testing_dir *dir, const char *name, char *out,
                                    size_t size)
{
    int written = snprintf(out, size, "%s/%s", dir->path, name);
    assert_true(written > 0 && (size_t)written < size);
}

/* A store's directory is flat. */
static inline void testing_dir_remove(const testing_dir *dir)
{
    char path[512];
    DIR *open = opendir(dir->path);
    assert_non_null(open);
    for (struct dirent *entry = readdir(open); entry != NULL; entry = readdir(open)) {
        testing_dir_path(dir, entry->d_name, path, sizeof path);
        if (entry->d_type != DT_DIR)
            assert_int_equal(unlink(path), 0);
    }
    closedir(open);
    assert_int_equal(rmdir(dir->path), 0);
}

/* The largest file whose name ends with suffix; its size, or -1 when there is none. */
static inline long testing_dir_largest(const testing_dir *dir, const char *suffix, char *path_out,
                                       size_t size)
{
    long largest = -1;
    DIR *open = opendir(dir->path);
    assert_non_null(open);
    for (struct dirent *entry = readdir(open); entry != NULL; entry = readdir(open)) {
        size_t name_len = strlen(entry->d_name);
        size_t suffix_len = strlen(suffix);
        if (name_len < suffix_len || strcmp(entry->d_name + name_len - suffix_len, suffix) != 0)
            continue;
        char path[512];
        struct stat info;
        testing_dir_path(dir, entry->d_name, path, sizeof path);
        assert_int_equal(stat(path, &info), 0);
        if (info.st_size > largest) {
            largest = info.st_size;
            snprintf(path_out, size, "%s", path);
        }
    }
    closedir(open);
    return largest;
}

/* Flips the lowest bit of the last one of these bytes, if the file has the others before it and is
 * a data file of `rows`: its properties say so. */
static inline bool testing_flip_in(const char *path, kal_bytes bytes)
{
    static const char family[] = "namerows"; /* rocksdb.column.family.id goes before */
    FILE *file = fopen(path, "r+b");         /* owned */
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    uint8_t *all = malloc(size + 1); /* owned */
    assert_non_null(all);
    assert_int_equal(fread(all, 1, size, file), size);
    const uint8_t *found = memmem(all, size, bytes.ptr, bytes.len - 1);
    bool is_right = found != NULL && memmem(all, size, family, sizeof family - 1) != NULL;
    if (is_right) {
        fseek(file, found - all + (long)bytes.len - 1, SEEK_SET);
        fputc(found[bytes.len - 1] ^ 1, file);
    }
    fclose(file);
    free(all);
    return is_right;
}

/* Makes the block of `rows` that has these bytes unreadable; once more: as it was. False: there is
 * none. */
static inline bool testing_flip(const testing_dir *dir, kal_bytes bytes)
{
    bool found = false;
    DIR *open = opendir(dir->path); /* owned */
    assert_non_null(open);
    for (struct dirent *entry = readdir(open); entry != NULL && !found; entry = readdir(open)) {
        char path[512];
        testing_dir_path(dir, entry->d_name, path, sizeof path);
        found = strstr(entry->d_name, ".sst") != NULL && testing_flip_in(path, bytes);
    }
    closedir(open);
    return found;
}

static inline kal_kv *testing_open_rocks(const testing_dir *dir)
{
    kal_kv *kv = NULL;
    kal_error err = KAL_ERROR_INIT;
    kal_kv_options options = {.block_cache_bytes = 4u << 20, .write_buffer_bytes = 64u << 10};
    testing_ok(kal_kv_open_rocks(dir->path, &options, &kv, &err), &err);
    return kv;
}

static inline void testing_put(kal_kv *kv, kal_kv_family family, const char *key, const char *value,
                               bool sync)
{
    kal_error err = KAL_ERROR_INIT;
    kal_kv_batch *batch = kal_kv_batch_open(kv);
    kal_kv_batch_put(batch, family, kal_cstr(key), kal_cstr(value));
    kal_status status = kal_kv_write(kv, batch, sync, &err);
    kal_kv_batch_close(batch);
    testing_ok(status, &err);
}

/* value NULL: the key is not there. */
static inline void testing_expect(kal_kv *kv, const kal_kv_snapshot *snapshot, kal_kv_family family,
                                  const char *key, const char *value)
{
    kal_error err = KAL_ERROR_INIT;
    kal_bytes found = {0};
    kal_arena arena;
    kal_arena_init(&arena, NULL);
    kal_status status = kal_kv_get(kv, snapshot, family, kal_cstr(key), &arena, &found, &err);
    if (value == NULL) {
        assert_int_equal(status, KAL_NOT_FOUND);
    } else {
        testing_ok(status, &err);
        if (!kal_bytes_equal(found, kal_cstr(value)))
            fail_msg("key '%s': found '%.*s', expected '%s'", key, KAL_FMT(found), value);
    }
    kal_arena_release(&arena);
}

#endif
