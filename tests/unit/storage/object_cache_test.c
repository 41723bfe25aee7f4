/*
 * The cache of far objects: what is fetched, how often, what is removed, what failures leave.
 */
#include "base/files.h"
#include "base/rng.h"
#include "base/thread.h"
#include "storage/object_cache.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { SIZE = 1000, BIG = 9 * 1024 * 1024 + 5 };

typedef struct world {
    char directory[64];
    kal_object_store *store;
    kal_object_cache *cache;
} world;

static void world_open(world *w, uint64_t bytes_max)
{
    char path[80];
    FILE *f;

    snprintf(w->directory, sizeof w->directory, "/tmp/kal-cache-XXXXXX");
    assert_non_null(mkdtemp(w->directory));
    snprintf(path, sizeof path, "%s/left-by-a-crash", w->directory);
    f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    w->store = kal_object_store_open_mem(1, 0);
    assert_int_equal(kal_object_cache_open(w->directory, bytes_max, &w->cache, NULL), KAL_OK);
    assert_int_equal(access(path, F_OK), -1);
}

static void world_close(world *w)
{
    kal_object_cache_close(w->cache);
    kal_object_store_close(w->store);
    assert_int_equal(rmdir(w->directory), 0); /* nothing is left */
}

static void put(world *w, const char *key, size_t size)
{
    uint8_t *bytes = malloc(size);
    kal_rng rng;
    kal_rng_seed(&rng, (uint64_t)key[0]);
    kal_rng_fill(&rng, bytes, size);
    assert_int_equal(kal_object_put(w->store, kal_cstr(key), kal_bytes_of(bytes, size), NULL),
                     KAL_OK);
    free(bytes);
}

static kal_object_cache_name name_of(const char *key)
{
    return (kal_object_cache_name){KAL_STR("far"), kal_cstr(key)};
}

static kal_status get(world *w, const char *key, uint64_t size, const kal_object_poll *poll,
                      kal_cached_object **out, kal_error *err)
{
    const kal_object_cache_name name = name_of(key);
    return kal_object_cache_get(w->cache, w->store, &name, size, poll, out, err);
}

static void check_content(const kal_cached_object *object, const char *key, size_t size)
{
    uint8_t *expected = malloc(size);
    kal_buf found; /* owned */
    kal_rng rng;

    kal_rng_seed(&rng, (uint64_t)key[0]);
    kal_rng_fill(&rng, expected, size);
    kal_buf_init(&found, NULL);
    assert_int_equal(
        kal_files_read(kal_files_system(), kal_cached_object_path(object), &found, NULL), KAL_OK);
    assert_true(kal_bytes_equal(kal_buf_bytes(&found), kal_bytes_of(expected, size)));
    kal_buf_release(&found);
    free(expected);
}

static void use(world *w, const char *key, size_t size)
{
    kal_cached_object *object = NULL;
    kal_error err = KAL_ERROR_INIT;
    if (get(w, key, size, NULL, &object, &err) != KAL_OK)
        fail_msg("%s", err.message);
    check_content(object, key, size);
    kal_cached_object_release(object);
}

static kal_object_cache_counts counts(world *w)
{
    return kal_object_cache_get_counts(w->cache);
}

/* Goal: an object is fetched once, and the one that was used least recently goes first. */
static void test_least_recently_used(void **state)
{
    world w;

    (void)state;
    world_open(&w, 3 * SIZE);
    put(&w, "a", SIZE);
    put(&w, "b", SIZE);
    put(&w, "c", SIZE);
    put(&w, "d", SIZE);
    use(&w, "a", SIZE);
    use(&w, "b", SIZE);
    use(&w, "c", SIZE);
    use(&w, "a", SIZE);
    assert_int_equal(counts(&w).hits, 1);
    assert_int_equal(counts(&w).misses, 3);
    use(&w, "d", SIZE); /* instead of b */
    assert_int_equal(counts(&w).evictions, 1);
    use(&w, "a", SIZE);
    use(&w, "c", SIZE);
    assert_int_equal(counts(&w).hits, 3);
    use(&w, "b", SIZE); /* instead of d */
    assert_int_equal(counts(&w).misses, 5);
    assert_int_equal(counts(&w).bytes, 3 * SIZE);
    assert_int_equal(counts(&w).fetched_bytes, 5 * SIZE);
    world_close(&w);
}

/* Goal: what is in use stays, beyond the limit if it must, and goes when it is given back. */
static void test_pins(void **state)
{
    kal_cached_object *a = NULL;
    kal_cached_object *b = NULL;
    kal_cached_object *again = NULL;
    const kal_object_cache_name name = name_of("a");
    world w;

    (void)state;
    world_open(&w, SIZE);
    put(&w, "a", SIZE);
    put(&w, "b", SIZE);
    assert_int_equal(get(&w, "a", SIZE, NULL, &a, NULL), KAL_OK);
    assert_int_equal(get(&w, "b", SIZE, NULL, &b, NULL), KAL_OK);
    assert_int_equal(counts(&w).bytes, 2 * SIZE);
    assert_int_equal(counts(&w).pinned_bytes, 2 * SIZE);
    check_content(a, "a", SIZE);
    check_content(b, "b", SIZE);
    kal_cached_object_release(b);
    assert_int_equal(counts(&w).bytes, SIZE);
    check_content(a, "a", SIZE);
    /* Dropped while it is pinned: the next one has another file, of the same name. */
    kal_object_cache_drop(w.cache, &name);
    assert_int_equal(get(&w, "a", SIZE, NULL, &again, NULL), KAL_OK);
    assert_ptr_not_equal(a, again);
    kal_cached_object_release(a);
    check_content(again, "a", SIZE);
    kal_cached_object_release(again);
    kal_object_cache_drop(w.cache, &name);
    assert_int_equal(counts(&w).bytes, 0);
    assert_int_equal(counts(&w).pinned_bytes, 0);
    world_close(&w);
}

static void test_adopt(void **state)
{
    char path[80];
    const kal_object_cache_name name = name_of("a");
    world w;

    (void)state;
    world_open(&w, SIZE);
    put(&w, "a", SIZE);
    for (int i = 0; i < 2; i++) {
        kal_cached_object *object = NULL;
        snprintf(path, sizeof path, "%s-made", w.directory);
        use(&w, "a", SIZE); /* as a source of the right bytes */
        assert_int_equal(get(&w, "a", SIZE, NULL, &object, NULL), KAL_OK);
        assert_int_equal(link(kal_cached_object_path(object), path), 0);
        kal_cached_object_release(object);
        kal_object_cache_adopt(w.cache, &name, path, SIZE); /* is there already */
        assert_int_equal(access(path, F_OK), 0);
        kal_object_cache_drop(w.cache, &name);
        kal_object_cache_adopt(w.cache, &name, path, i == 0 ? SIZE : SIZE + 1);
        assert_int_equal(access(path, F_OK), i == 0 ? -1 : 0); /* too large */
        (void)unlink(path);
    }
    assert_int_equal(counts(&w).misses, 1);
    world_close(&w);
}

/* Goal: what is not as it should be is an error that names it, and leaves nothing. */
static void test_failures(void **state)
{
    static const struct {
        uint64_t size;
        const char *part;
    } CASES[] = {{SIZE + 1, "has 1000 bytes instead of 1001"},
                 {SIZE - 1, "has at least 1000 bytes instead of 999"}};
    kal_cached_object *object = NULL;
    world w;

    (void)state;
    world_open(&w, 10 * SIZE);
    put(&w, "a", SIZE);
    for (size_t i = 0; i < KAL_ARRAY_LEN(CASES); i++) {
        kal_error err = KAL_ERROR_INIT;
        assert_int_equal(get(&w, "a", CASES[i].size, NULL, &object, &err), KAL_CORRUPT);
        assert_non_null(strstr(err.message, "'a' in storage 'far'"));
        assert_non_null(strstr(err.message, CASES[i].part));
    }
    kal_error err = KAL_ERROR_INIT;
    assert_int_equal(get(&w, "z", SIZE, NULL, &object, &err), KAL_CORRUPT);
    assert_non_null(strstr(err.message, "'z' is missing in storage 'far'"));
    kal_object_store_break(w.store, KAL_OBJECT_GET);
    assert_int_equal(get(&w, "a", SIZE, NULL, &object, &err), KAL_IO);
    assert_int_equal(counts(&w).bytes, 0);
    kal_object_store_break(w.store, 0);
    use(&w, "a", SIZE);
    world_close(&w);
}

/* Goal: a full disk is an error that says so, of this object only. Method: the system's limit of a
 * file's size. */
static void test_no_room(void **state)
{
    struct rlimit before;
    kal_cached_object *object = NULL;
    kal_error err = KAL_ERROR_INIT;
    world w;

    (void)state;
    world_open(&w, UINT64_C(1) << 40);
    put(&w, "a", SIZE);
    put(&w, "b", BIG);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){BIG - 9, before.rlim_max}), 0);
    assert_int_equal(get(&w, "b", BIG, NULL, &object, &err), KAL_IO);
    assert_non_null(strstr(err.message, "cannot keep segment 'b' of storage 'far'"));
    use(&w, "a", SIZE);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    use(&w, "b", BIG);
    world_close(&w);
}

/* ---- threads ---- */

typedef struct asker {
    world *w;
    unsigned failures;
} asker;

static void ask(void *context)
{
    asker *me = context;
    for (int i = 0; i < 200; i++) {
        const char key[2] = {(char)('a' + i % 5), '\0'};
        kal_cached_object *object = NULL;
        if (get(me->w, key, SIZE, NULL, &object, NULL) != KAL_OK) {
            me->failures++;
            continue;
        }
        check_content(object, key, SIZE);
        kal_cached_object_release(object);
    }
}

/* Goal: many threads over a cache that is too small for them always have the right bytes. */
static void test_threads(void **state)
{
    asker askers[4];
    pthread_t threads[4];
    world w;

    (void)state;
    world_open(&w, 2 * SIZE);
    for (int k = 0; k < 5; k++) {
        const char key[2] = {(char)('a' + k), '\0'};
        put(&w, key, SIZE);
    }
    for (size_t i = 0; i < 4; i++) {
        askers[i] = (asker){.w = &w};
        assert_int_equal(kal_thread_start(&threads[i], "asker", 0, ask, &askers[i], NULL), KAL_OK);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(askers[i].failures, 0);
    }
    assert_true(counts(&w).bytes <= 2 * SIZE);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_least_recently_used),
        cmocka_unit_test(test_pins),
        cmocka_unit_test(test_adopt),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_threads),
    };
    signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
