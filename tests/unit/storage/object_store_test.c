/*
 * The object stores: random operations against both backends and a model; which keys are refused;
 * failures; threads; probes.
 */
#include "base/clock.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/thread.h"
#include "storage/object_store.h"
#include "storage/probe.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const KEYS[] = {"a",   "a/b",     "a.b",     "a/b/c",   "a/b/d.x",
                                   "b/c", "b/c.tmp", "%41/u=x", "b/cc/dd", "z/z/z/z"};
enum { KEY_COUNT = KAL_ARRAY_LEN(KEYS), CONTENT_MAX = 3000 };

typedef struct world {
    char directory[64];
    kal_object_store *files;
    kal_object_store *mem;
    kal_bytes model[KEY_COUNT]; /* ptr NULL: not there; owned */
} world;

static uint64_t test_seed(void)
{
    const char *given = getenv("KAL_TEST_SEED");
    return given == NULL ? 1 : strtoull(given, NULL, 10);
}

static void make_directory(char directory[64])
{
    snprintf(directory, 64, "/tmp/kal-objects-XXXXXX");
    assert_non_null(mkdtemp(directory));
}

static void remove_directory(const char *directory)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    assert_int_equal(system(command), 0);
}

static void world_open(world *w)
{
    *w = (world){0};
    make_directory(w->directory);
    assert_int_equal(kal_object_store_open_files(w->directory, &w->files, NULL), KAL_OK);
    w->mem = kal_object_store_open_mem(1, 0);
}

static void forget(world *w, size_t k)
{
    free((void *)(uintptr_t)w->model[k].ptr);
    w->model[k] = (kal_bytes){0};
}

static void world_close(world *w)
{
    for (size_t k = 0; k < KEY_COUNT; k++)
        forget(w, k);
    kal_object_store_close(w->files);
    kal_object_store_close(w->mem);
    remove_directory(w->directory);
}

static bool is_folder_of(const char *a, const char *b)
{
    size_t len = strlen(a);
    return strncmp(a, b, len) == 0 && b[len] == '/';
}

static bool is_blocked(const world *w, size_t k)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (w->model[i].ptr != NULL &&
            (is_folder_of(KEYS[i], KEYS[k]) || is_folder_of(KEYS[k], KEYS[i])))
            return true;
    }
    return false;
}

static kal_status put_through_file(kal_object_store *store, const world *w, kal_bytes key,
                                   kal_bytes content)
{
    char path[80];
    snprintf(path, sizeof path, "%s.source", w->directory);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(content.ptr, 1, content.len, f), content.len);
    assert_int_equal(fclose(f), 0);
    kal_status status = kal_object_put_file(store, key, path, NULL);
    assert_int_equal(unlink(path), 0);
    return status;
}

static void do_put(world *w, kal_rng *rng, size_t k)
{
    size_t len = kal_rng_below(rng, CONTENT_MAX);
    uint8_t *bytes = malloc(len + 1);
    kal_rng_fill(rng, bytes, len);
    kal_bytes content = kal_bytes_of(bytes, len);
    kal_status expected = is_blocked(w, k) ? KAL_INVALID : KAL_OK;
    kal_object_store *stores[] = {w->files, w->mem};
    bool through_file = kal_rng_chance(rng, 1, 3);

    for (size_t s = 0; s < 2; s++) {
        kal_status status = through_file
                                ? put_through_file(stores[s], w, kal_cstr(KEYS[k]), content)
                                : kal_object_put(stores[s], kal_cstr(KEYS[k]), content, NULL);
        assert_int_equal(status, expected);
    }
    if (expected == KAL_OK) {
        forget(w, k);
        w->model[k] = content;
    } else {
        free(bytes);
    }
}

static void do_get(world *w, kal_rng *rng, size_t k)
{
    uint64_t offset = kal_rng_below(rng, CONTENT_MAX + 10);
    size_t len = kal_rng_below(rng, CONTENT_MAX + 10);
    kal_bytes whole = w->model[k];
    size_t start = offset < whole.len ? (size_t)offset : whole.len;
    size_t rest = whole.len - start;
    kal_object_store *stores[] = {w->files, w->mem};

    for (size_t s = 0; s < 2; s++) {
        kal_buf out; /* owned */
        uint64_t size = 0;
        kal_status expected = whole.ptr == NULL ? KAL_NOT_FOUND : KAL_OK;
        kal_buf_init(&out, NULL);
        kal_buf_append_cstr(&out, "before");
        assert_int_equal(kal_object_get(stores[s], kal_cstr(KEYS[k]), offset, len, &out, NULL),
                         expected);
        size_t got = whole.ptr == NULL ? 0 : (len < rest ? len : rest);
        assert_int_equal(out.len, 6 + got);
        if (got > 0)
            assert_memory_equal(out.ptr + 6, whole.ptr + start, got);
        assert_int_equal(kal_object_size(stores[s], kal_cstr(KEYS[k]), &size, NULL), expected);
        assert_int_equal(size, whole.len);
        kal_buf_release(&out);
    }
}

static void do_list(world *w, kal_rng *rng)
{
    static const char *const PREFIXES[] = {"", "a", "a/", "a/b", "a/b/", "b/c", "zz", "b", "%4"};
    const char *prefix = PREFIXES[kal_rng_below(rng, KAL_ARRAY_LEN(PREFIXES))];
    kal_object_store *stores[] = {w->files, w->mem};
    size_t expected = 0;

    for (size_t k = 0; k < KEY_COUNT; k++)
        expected += w->model[k].ptr != NULL && strncmp(KEYS[k], prefix, strlen(prefix)) == 0;
    for (size_t s = 0; s < 2; s++) {
        kal_object *objects = NULL;
        size_t count = 0;
        kal_arena arena;
        kal_arena_init(&arena, NULL);
        assert_int_equal(
            kal_object_list(stores[s], kal_cstr(prefix), &arena, &objects, &count, NULL), KAL_OK);
        assert_int_equal(count, expected);
        for (size_t i = 0; i < count; i++) {
            size_t k = 0;
            while (k < KEY_COUNT && !kal_bytes_equal(kal_cstr(KEYS[k]), objects[i].key))
                k++;
            assert_true(k < KEY_COUNT);
            assert_int_equal(objects[i].size, w->model[k].len);
            if (i > 0)
                assert_true(kal_bytes_compare(objects[i - 1].key, objects[i].key) < 0);
        }
        kal_arena_release(&arena);
    }
}

/* Goal: both backends answer as the model, whatever was done before. */
static void test_against_model(void **state)
{
    world w;
    kal_rng rng;
    uint64_t seed = test_seed();

    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    kal_rng_seed(&rng, seed);
    world_open(&w);
    for (int i = 0; i < 4000; i++) {
        size_t k = kal_rng_below(&rng, KEY_COUNT);
        switch (kal_rng_below(&rng, 5)) {
        case 0:
            do_put(&w, &rng, k);
            break;
        case 1:
            assert_int_equal(kal_object_delete(w.files, kal_cstr(KEYS[k]), NULL), KAL_OK);
            assert_int_equal(kal_object_delete(w.mem, kal_cstr(KEYS[k]), NULL), KAL_OK);
            forget(&w, k);
            break;
        case 2:
            do_list(&w, &rng);
            break;
        default:
            do_get(&w, &rng, k);
            break;
        }
    }
    world_close(&w);
}

/* Goal: no operation takes a key that could leave the directory. */
static void test_keys(void **state)
{
    const kal_bytes bad[] = {KAL_STR(""),       KAL_STR("/a"),        KAL_STR("a/"),
                             KAL_STR("a//b"),   KAL_STR(".."),        KAL_STR("a/../b"),
                             KAL_STR("./a"),    KAL_STR("a/."),       KAL_STR("a\0b"),
                             KAL_STR(".tmp-1"), KAL_STR("a/.tmp-1/b")};
    char longest[KAL_OBJECT_KEY_BYTES_MAX + 2];
    world w;

    (void)state;
    world_open(&w);
    kal_object_store *stores[] = {w.files, w.mem};
    for (size_t i = 0; i < KAL_ARRAY_LEN(bad); i++) {
        for (size_t s = 0; s < 2; s++) {
            uint64_t size = 0;
            assert_int_equal(kal_object_put(stores[s], bad[i], KAL_STR("x"), NULL), KAL_INVALID);
            assert_int_equal(kal_object_size(stores[s], bad[i], &size, NULL), KAL_INVALID);
            assert_int_equal(kal_object_delete(stores[s], bad[i], NULL), KAL_INVALID);
        }
    }
    memset(longest, 'a', sizeof longest);
    assert_int_equal(kal_object_key_check(kal_bytes_of(longest, 256), NULL), KAL_INVALID);
    for (size_t i = 200; i < sizeof longest; i += 200)
        longest[i] = '/';
    assert_int_equal(kal_object_key_check(kal_bytes_of(longest, 1024), NULL), KAL_OK);
    assert_int_equal(kal_object_key_check(kal_bytes_of(longest, 1025), NULL), KAL_INVALID);
    assert_int_equal(kal_object_put(w.files, kal_bytes_of(longest, 1024), KAL_STR("x"), NULL),
                     KAL_OK);
    assert_int_equal(kal_object_store_open_files("relative", &w.files, NULL), KAL_INVALID);
    world_close(&w);
}

/* Goal: a failed operation leaves the old object or the new one. */
static void test_failing(void **state)
{
    kal_object_store *store = kal_object_store_open_mem(test_seed(), 300);
    unsigned failures = 0;
    uint8_t may_be[2] = {0, 0}; /* the object is one of these bytes; 0: not there */

    (void)state;
    for (uint8_t i = 1; i < 250; i++) {
        kal_error err = KAL_ERROR_INIT;
        kal_buf out; /* owned */
        kal_status status = kal_object_put(store, KAL_STR("k"), kal_bytes_of(&i, 1), &err);
        if (status == KAL_OK)
            may_be[0] = i;
        else
            failures++;
        may_be[1] = i;
        kal_buf_init(&out, NULL);
        do {
            status = kal_object_get(store, KAL_STR("k"), 0, 10, &out, &err);
        } while (status == KAL_IO);
        uint8_t found = status == KAL_NOT_FOUND ? 0 : out.ptr[0];
        assert_true(found == may_be[0] || found == may_be[1]);
        may_be[0] = found;
        kal_buf_release(&out);
    }
    assert_true(failures > 10);
    kal_object_store_close(store);
}

/* ---- threads ---- */

typedef struct worker {
    kal_object_store *store;
    unsigned number;
    unsigned failures;
} worker;

static void put_and_delete(void *context)
{
    worker *w = context;
    char key[32];
    for (unsigned i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "same/folder/%u", w->number);
        if (kal_object_put(w->store, kal_cstr(key), KAL_STR("content"), NULL) != KAL_OK ||
            kal_object_delete(w->store, kal_cstr(key), NULL) != KAL_OK)
            w->failures++;
    }
}

/* Goal: who deletes the last object of a folder, and the folder, does not disturb who puts one. */
static void test_threads(void **state)
{
    world w;
    worker workers[3];
    pthread_t threads[3];

    (void)state;
    world_open(&w);
    for (unsigned i = 0; i < 3; i++) {
        workers[i] = (worker){.store = w.files, .number = i};
        assert_int_equal(
            kal_thread_start(&threads[i], "objects", 0, put_and_delete, &workers[i], NULL), KAL_OK);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(workers[i].failures, 0);
    }
    assert_int_equal(rmdir(w.directory), 0); /* nothing is left */
    assert_int_equal(mkdir(w.directory, 0700), 0);
    world_close(&w);
}

/* ---- probes ---- */

static kal_storage_probe probe(kal_object_store *store, bool extended)
{
    kal_storage_probe p;
    kal_storage_probe_run(store, kal_clock_system(), extended, &p);
    return p;
}

/* 0 or 1. */
static int stray_files(const char *folder)
{
    int count = 0;
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return 0;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        count += strncmp(entry->d_name, ".tmp-", 5) == 0;
    closedir(dir);
    return count;
}

/* Goal: what a crash leaves of a put goes with the object, and with it only. Method: a process that
 * the system ends while it writes. */
static void test_crash_in_put(void **state)
{
    static uint8_t content[100000];
    kal_object_store *store = NULL;
    char directory[64];
    char folder[80];
    int ended = 0;

    (void)state;
    make_directory(directory);
    snprintf(folder, sizeof folder, "%s/t", directory);
    assert_int_equal(kal_object_store_open_files(directory, &store, NULL), KAL_OK);
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){1000, 1000});
        signal(SIGXFSZ, SIG_DFL);
        (void)!kal_object_put(store, KAL_STR("t/half"), kal_bytes_of(content, sizeof content),
                              NULL);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFSIGNALED(ended));
    assert_int_equal(stray_files(folder), 1);
    assert_int_equal(kal_object_put(store, KAL_STR("t/other"), KAL_STR("x"), NULL), KAL_OK);
    assert_int_equal(kal_object_delete(store, KAL_STR("t/other"), NULL), KAL_OK);
    assert_int_equal(stray_files(folder), 1);
    assert_int_equal(kal_object_delete(store, KAL_STR("t/half"), NULL), KAL_OK);
    assert_int_equal(access(folder, F_OK), -1);
    kal_object_store_close(store);
    remove_directory(directory);
}

static void test_probe(void **state)
{
    world w;

    (void)state;
    world_open(&w);
    for (int extended = 0; extended <= 1; extended++) {
        kal_storage_probe p = probe(w.files, extended == 1);
        assert_string_equal(kal_storage_probe_status(&p), "healthy");
        assert_true(p.is_writable && p.is_readable && p.is_listable && p.is_deletable);
        assert_true(p.has_space && p.space.total_bytes >= p.space.used_bytes);
        assert_true(p.latency_ns > 0);
    }
    static const unsigned BROKEN[] = {KAL_OBJECT_PUT, KAL_OBJECT_GET, KAL_OBJECT_LIST,
                                      KAL_OBJECT_DELETE, KAL_OBJECT_SPACE};
    for (size_t i = 0; i < KAL_ARRAY_LEN(BROKEN); i++) {
        kal_object_store_break(w.mem, BROKEN[i]);
        kal_storage_probe p = probe(w.mem, i % 2 == 1);
        assert_string_equal(kal_storage_probe_status(&p), "degraded");
        assert_non_null(strstr(p.error.message, "injected failure"));
        assert_int_equal(p.is_writable, BROKEN[i] != KAL_OBJECT_PUT);
        assert_int_equal(p.is_listable, BROKEN[i] != KAL_OBJECT_LIST);
        assert_int_equal(p.has_space, BROKEN[i] != KAL_OBJECT_SPACE);
        kal_object_store_break(w.mem, 0);
    }
    assert_int_equal(rmdir(w.directory), 0); /* probes leave nothing */
    kal_storage_probe gone = probe(w.files, false);
    assert_string_equal(kal_storage_probe_status(&gone), "unreachable");
    assert_non_null(strstr(gone.error.message, w.directory));
    assert_int_equal(mkdir(w.directory, 0700), 0);
    world_close(&w);
}

/* Goal: what is not there can be deleted, wherever on its way something is missing; but without the
 * directory nobody knows what is there. */
static void test_delete_missing(void **state)
{
    static const char *const MISSING[] = {"none", "folder/none", "no/folder/none", "object/none"};
    kal_error err = KAL_ERROR_INIT;
    world w;

    (void)state;
    world_open(&w);
    assert_int_equal(kal_object_put(w.files, KAL_STR("folder/a"), KAL_STR("a"), NULL), KAL_OK);
    assert_int_equal(kal_object_put(w.files, KAL_STR("object"), KAL_STR("o"), NULL), KAL_OK);
    for (size_t i = 0; i < KAL_ARRAY_LEN(MISSING); i++)
        assert_int_equal(kal_object_delete(w.files, kal_cstr(MISSING[i]), NULL), KAL_OK);
    assert_int_equal(kal_object_delete(w.files, KAL_STR("folder/a"), NULL), KAL_OK);
    assert_int_equal(kal_object_delete(w.files, KAL_STR("object"), NULL), KAL_OK);
    assert_int_equal(rmdir(w.directory), 0);
    assert_int_equal(kal_object_delete(w.files, KAL_STR("folder/a"), &err), KAL_IO);
    assert_non_null(strstr(err.hint, w.directory));
    assert_int_equal(mkdir(w.directory, 0700), 0);
    assert_int_equal(kal_object_delete(w.files, KAL_STR("folder/a"), NULL), KAL_OK);
    world_close(&w);
}

/* ---- groups ---- */

static void write_source(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void assert_object(kal_object_store *store, const char *key, const char *text)
{
    kal_buf got;
    kal_buf_init(&got, NULL);
    assert_int_equal(kal_object_get(store, kal_cstr(key), 0, 1000, &got, NULL), KAL_OK);
    assert_true(kal_bytes_equal(kal_buf_bytes(&got), kal_cstr(text)));
    kal_buf_release(&got);
}

/* What is moved and deleted in a group is as if each were put and deleted by itself, whether the
 * file lies on the store's file system or on another one. */
static void test_groups(void **state)
{
    static const char *const SOURCES[] = {"%s.source", "/dev/shm/kal-objects-%d.source"};
    world w;
    kal_error err = KAL_ERROR_INIT;

    (void)state;
    world_open(&w);
    kal_object_store *stores[] = {w.files, w.mem};
    for (size_t i = 0; i < 4; i++) {
        kal_object_store *store = stores[i % 2];
        kal_object_group *group = NULL;
        char source[80];
        char text[20];
        if (i < 2)
            snprintf(source, sizeof source, SOURCES[0], w.directory);
        else
            snprintf(source, sizeof source, "/dev/shm/kal-objects-%d.source", (int)getpid());
        assert_int_equal(kal_object_group_open(store, &group, &err), KAL_OK);
        for (int k = 0; k < 20; k++) {
            char key[40];
            snprintf(key, sizeof key, "t%d/user%d/s=%d/object", (int)i, k / 2, k);
            snprintf(text, sizeof text, "text %d", k);
            write_source(source, text);
            assert_int_equal(kal_object_group_move_file(group, kal_cstr(key), source, &err),
                             KAL_OK);
            (void)unlink(source);
            assert_object(store, key, text);
        }
        write_source(source, "x");
        assert_int_equal(kal_object_group_move_file(group, KAL_STR("../outside"), source, &err),
                         KAL_INVALID);
        snprintf(text, sizeof text, "t%d/user0", (int)i);
        assert_int_equal(kal_object_group_move_file(group, kal_cstr(text), source, &err),
                         KAL_INVALID); /* a folder of others */
        (void)unlink(source);
        assert_int_equal(kal_object_group_sync(group, &err), KAL_OK);
        for (int k = 0; k < 20; k++) {
            char key[40];
            uint64_t size = 0;
            snprintf(key, sizeof key, "t%d/user%d/s=%d/object", (int)i, k / 2, k);
            assert_int_equal(kal_object_group_delete(group, kal_cstr(key), &err), KAL_OK);
            assert_int_equal(kal_object_group_delete(group, kal_cstr(key), &err), KAL_OK);
            assert_int_equal(kal_object_size(store, kal_cstr(key), &size, &err), KAL_NOT_FOUND);
        }
        assert_int_equal(kal_object_group_sync(group, &err), KAL_OK);
        kal_object_group_close(group);
    }
    assert_int_equal(rmdir(w.directory), 0); /* no folder is left */
    kal_object_group *none = NULL;
    assert_int_equal(kal_object_group_open(w.files, &none, &err), KAL_IO);
    assert_int_equal(mkdir(w.directory, 0700), 0);
    world_close(&w);
}

/* An unfinished temporary is removed also where its folder was searched for another object. */
static void test_groups_remove_what_is_unfinished(void **state)
{
    world w;
    kal_error err = KAL_ERROR_INIT;
    kal_object_group *group = NULL;
    char path[160];

    (void)state;
    world_open(&w);
    assert_int_equal(kal_object_put(w.files, KAL_STR("f/keep"), KAL_STR("x"), &err), KAL_OK);
    static const char *const NAMES[] = {"a", "b"};
    for (size_t i = 0; i < 2; i++) {
        uint64_t hash = kal_hash(kal_cstr(NAMES[i]));
        snprintf(path, sizeof path, "%s/f/.tmp-%016llx-1", w.directory, (unsigned long long)hash);
        write_source(path, "unfinished");
    }
    assert_int_equal(kal_object_group_open(w.files, &group, &err), KAL_OK);
    assert_int_equal(kal_object_group_delete(group, KAL_STR("f/other"), &err), KAL_OK);
    assert_int_equal(kal_object_group_delete(group, KAL_STR("f/a"), &err), KAL_OK);
    assert_int_equal(kal_object_group_delete(group, KAL_STR("f/b"), &err), KAL_OK);
    assert_int_equal(kal_object_group_delete(group, KAL_STR("f/keep"), &err), KAL_OK);
    kal_object_group_close(group);
    assert_int_equal(rmdir(w.directory), 0);
    assert_int_equal(mkdir(w.directory, 0700), 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_failing),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_crash_in_put),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_delete_missing),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_groups_remove_what_is_unfinished),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
