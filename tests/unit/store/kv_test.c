/*
 * kv_test.c: the promises of kv.h one by one, by small stories that are told to every backend.
 * What only one backend does is in fault_test.c and wal_test.c; the whole against a model in
 * model_test.c.
 */
#include "unit/store/store_testing.h"

#include "base/buf.h"
#include "base/rng.h"

#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>

typedef enum backend { BACKEND_MEM, BACKEND_FAULT, BACKEND_ROCKS, BACKEND_COUNT } backend;

typedef struct fixture {
    backend kind;
    testing_dir dir; /* BACKEND_ROCKS */
    kal_kv *kv;
    kal_arena arena;
} fixture;

static void open_store(fixture *f, backend kind)
{
    *f = (fixture){.kind = kind};
    kal_arena_init(&f->arena, NULL);
    if (kind == BACKEND_ROCKS) {
        f->dir = testing_dir_make();
        f->kv = testing_open_rocks(&f->dir);
        return;
    }
    f->kv = kal_kv_open_mem();
    if (kind == BACKEND_FAULT)
        f->kv = kal_kv_open_fault(f->kv, testing_seed(), 0, 0);
}

static void close_store(fixture *f)
{
    kal_kv_close(f->kv);
    if (f->kind == BACKEND_ROCKS)
        testing_dir_remove(&f->dir);
    kal_arena_release(&f->arena);
}

/* Tells a story to a new store of each backend. */
static void each_backend(void (*story)(fixture *f))
{
    for (int kind = 0; kind < BACKEND_COUNT; kind++) {
        fixture f;
        open_store(&f, (backend)kind);
        story(&f);
        close_store(&f);
    }
}

static void put(fixture *f, kal_kv_family family, const char *key, const char *value)
{
    testing_put(f->kv, family, key, value, false);
}

static void expect(fixture *f, const char *key, const char *value)
{
    testing_expect(f->kv, NULL, KAL_KV_CATALOG, key, value);
}

/* The keys of a walk, each followed by a blank. */
static const char *walk(fixture *f, const kal_kv_snapshot *snapshot, const kal_kv_range *range)
{
    kal_error err = KAL_ERROR_INIT;
    kal_kv_iter *iter = NULL;
    kal_bytes key;
    kal_bytes value;
    kal_buf keys;
    kal_status status;

    kal_buf_init(&keys, NULL);
    testing_ok(kal_kv_iter_open(f->kv, snapshot, range, &iter, &err), &err);
    while ((status = kal_kv_iter_next(iter, &key, &value, &err)) == KAL_OK) {
        kal_buf_append_bytes(&keys, key);
        kal_buf_append_byte(&keys, ' ');
    }
    assert_int_equal(status, KAL_END);
    assert_int_equal(kal_kv_iter_next(iter, &key, &value, &err), KAL_END); /* and stays there */
    assert_int_equal(key.len, 0);
    kal_kv_iter_close(iter);
    const char *text = kal_arena_cstr(&f->arena, kal_buf_bytes(&keys));
    kal_buf_release(&keys);
    return text;
}

static kal_kv_range catalog_range(const char *lower, const char *upper, bool reverse)
{
    return (kal_kv_range){.family = KAL_KV_CATALOG,
                          .lower = kal_cstr(lower),
                          .upper = kal_cstr(upper),
                          .reverse = reverse};
}

static void check_walk(fixture *f, const char *lower, const char *upper, const char *up,
                       const char *down)
{
    kal_kv_range range = catalog_range(lower, upper, false);
    assert_string_equal(walk(f, NULL, &range), up);
    range.reverse = true;
    assert_string_equal(walk(f, NULL, &range), down);
}

/* --- reading and walking ---------------------------------------------------------------------- */

/* Goal: a walk shows [lower, upper) of its own family, both ways. Method: bounds on a key, between
 * keys, equal, the wrong way round, missing. */
static void story_bounds(fixture *f)
{
    static const char *const KEYS[] = {"a", "b", "ba", "c", "d"};
    for (size_t i = 0; i < KAL_ARRAY_LEN(KEYS); i++)
        put(f, KAL_KV_CATALOG, KEYS[i], "v");
    put(f, KAL_KV_JOBS, "bb", "another family");
    check_walk(f, "", "", "a b ba c d ", "d c ba b a ");
    check_walk(f, "b", "", "b ba c d ", "d c ba b ");
    check_walk(f, "", "c", "a b ba ", "ba b a ");
    check_walk(f, "b", "d", "b ba c ", "c ba b ");
    check_walk(f, "bb", "cc", "c ", "c ");
    check_walk(f, "b", "b", "", "");
    check_walk(f, "d", "b", "", "");
    check_walk(f, "e", "", "", "");
    check_walk(f, "", "A", "", "");
}

static void walks_respect_their_bounds(void **state)
{
    (void)state;
    each_backend(story_bounds);
}

/* Goal: a walk without a snapshot shows the state at its opening. Method: change everything below
 * it while it stands on the first key. */
static void story_open_walk(fixture *f)
{
    kal_error err = KAL_ERROR_INIT;
    kal_kv_iter *iter = NULL;
    kal_bytes key;
    kal_bytes value;
    kal_kv_range range = catalog_range("", "", false);

    put(f, KAL_KV_CATALOG, "a", "1");
    put(f, KAL_KV_CATALOG, "c", "3");
    testing_ok(kal_kv_iter_open(f->kv, NULL, &range, &iter, &err), &err);
    testing_ok(kal_kv_iter_next(iter, &key, &value, &err), &err);
    put(f, KAL_KV_CATALOG, "b", "2");
    put(f, KAL_KV_CATALOG, "c", "changed");
    testing_ok(kal_kv_iter_next(iter, &key, &value, &err), &err);
    assert_true(kal_bytes_equal(key, KAL_STR("c")));
    assert_true(kal_bytes_equal(value, KAL_STR("3")));
    assert_int_equal(kal_kv_iter_next(iter, &key, &value, &err), KAL_END);
    kal_kv_iter_close(iter);
    kal_kv_iter_close(NULL);
    check_walk(f, "", "", "a b c ", "c b a ");
}

static void walks_keep_the_state_at_their_opening(void **state)
{
    (void)state;
    each_backend(story_open_walk);
}

/* Goal: a snapshot sees its moment, and an iterator opened under it outlives it. */
static void story_snapshot(fixture *f)
{
    kal_error err = KAL_ERROR_INIT;
    kal_kv_iter *iter = NULL;
    kal_bytes key;
    kal_bytes value;
    kal_kv_range range = catalog_range("", "", false);

    put(f, KAL_KV_CATALOG, "k", "old");
    kal_kv_snapshot *snapshot = kal_kv_snapshot_take(f->kv);
    put(f, KAL_KV_CATALOG, "k", "new");
    put(f, KAL_KV_CATALOG, "later", "x");
    testing_expect(f->kv, snapshot, KAL_KV_CATALOG, "k", "old");
    testing_expect(f->kv, snapshot, KAL_KV_CATALOG, "later", NULL);
    expect(f, "k", "new");
    assert_string_equal(walk(f, snapshot, &range), "k ");
    testing_ok(kal_kv_iter_open(f->kv, snapshot, &range, &iter, &err), &err);
    kal_kv_snapshot_release(f->kv, snapshot);
    kal_kv_snapshot_release(f->kv, NULL);
    testing_ok(kal_kv_iter_next(iter, &key, &value, &err), &err);
    assert_true(kal_bytes_equal(value, KAL_STR("old")));
    assert_int_equal(kal_kv_iter_next(iter, &key, &value, &err), KAL_END);
    kal_kv_iter_close(iter);
}

static void snapshots_see_their_moment(void **state)
{
    (void)state;
    each_backend(story_snapshot);
}

/* Goal: what a get answers beside the value: absent, empty, binary, too large for the budget. */
static void story_get(fixture *f)
{
    kal_error err = KAL_ERROR_INIT;
    kal_bytes value = KAL_STR("before");
    kal_budget budget;
    kal_arena small;
    char *large = kal_arena_alloc(&f->arena, 100001);

    memset(large, 'x', 100000);
    put(f, KAL_KV_CATALOG, "large", large);
    put(f, KAL_KV_CATALOG, "empty", "");
    assert_int_equal(
        kal_kv_get(f->kv, NULL, KAL_KV_CATALOG, KAL_STR("none"), &f->arena, &value, &err),
        KAL_NOT_FOUND);
    assert_int_equal(value.len, 0);
    assert_string_equal(err.message, ""); /* an answer, no failure */
    expect(f, "empty", "");
    testing_expect(f->kv, NULL, KAL_KV_JOBS, "empty", NULL);

    kal_budget_init(&budget, NULL, 50000);
    kal_arena_init(&small, &budget);
    assert_int_equal(
        kal_kv_get(f->kv, NULL, KAL_KV_CATALOG, KAL_STR("large"), &small, &value, &err), KAL_LIMIT);
    assert_non_null(strstr(err.message, "100000"));
    kal_arena_release(&small);
}

static void get_answers(void **state)
{
    (void)state;
    each_backend(story_get);
}

/* --- batches ---------------------------------------------------------------------------------- */

/* Goal: the operations of a batch apply in order, across families, and save points nest. */
static void story_batch(fixture *f)
{
    kal_error err = KAL_ERROR_INIT;
    kal_kv_batch *batch = kal_kv_batch_open(f->kv);

    put(f, KAL_KV_CATALOG, "gone", "x");
    kal_kv_batch_put(batch, KAL_KV_CATALOG, KAL_STR("a"), KAL_STR("1"));
    kal_kv_batch_put(batch, KAL_KV_CATALOG, KAL_STR("a"), KAL_STR("2"));
    kal_kv_batch_delete(batch, KAL_KV_CATALOG, KAL_STR("gone"));
    kal_kv_batch_delete(batch, KAL_KV_CATALOG, KAL_STR("never was"));
    kal_kv_batch_save(batch);
    kal_kv_batch_put(batch, KAL_KV_CATALOG, KAL_STR("kept"), KAL_STR("k"));
    kal_kv_batch_save(batch);
    kal_kv_batch_put(batch, KAL_KV_CATALOG, KAL_STR("a"), KAL_STR("rolled back"));
    kal_kv_batch_delete_range(batch, KAL_KV_CATALOG, KAL_STR("a"), KAL_STR("z"));
    assert_int_equal(kal_kv_batch_count(batch), 7);
    kal_kv_batch_rollback(batch);
    assert_int_equal(kal_kv_batch_count(batch), 5);
    kal_kv_batch_commit_save(batch);
    kal_kv_batch_put(batch, KAL_KV_JOBS, KAL_STR("j"), KAL_STR("other family"));
    assert_int_equal(kal_kv_batch_count(batch), 6);
    assert_true(kal_kv_batch_bytes(batch) > 0);
    expect(f, "a", NULL); /* nothing before the write */

    testing_ok(kal_kv_write(f->kv, batch, true, &err), &err);
    check_walk(f, "", "", "a kept ", "kept a ");
    expect(f, "a", "2");
    testing_expect(f->kv, NULL, KAL_KV_JOBS, "j", "other family");
    /* A batch stays as it is: it can be written again after something else happened. */
    put(f, KAL_KV_CATALOG, "a", "3");
    testing_ok(kal_kv_write(f->kv, batch, false, &err), &err);
    expect(f, "a", "2");
    kal_kv_batch_clear(batch);
    assert_int_equal(kal_kv_batch_count(batch), 0);
    testing_ok(kal_kv_write(f->kv, batch, true, &err), &err);
    check_walk(f, "", "", "a kept ", "kept a ");
    kal_kv_batch_close(batch);
    kal_kv_batch_close(NULL);
}

static void batches_apply_in_order(void **state)
{
    (void)state;
    each_backend(story_batch);
}

static void delete_range(fixture *f, const char *lower, const char *upper)
{
    kal_error err = KAL_ERROR_INIT;
    kal_kv_batch *batch = kal_kv_batch_open(f->kv);
    kal_kv_batch_delete_range(batch, KAL_KV_CATALOG, kal_cstr(lower), kal_cstr(upper));
    testing_ok(kal_kv_write(f->kv, batch, false, &err), &err);
    kal_kv_batch_close(batch);
}

/* Goal: delete_range takes [lower, upper) of one family, leaves snapshots alone, and later puts are
 * visible again. */
static void story_delete_range(fixture *f)
{
    static const char *const KEYS[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < KAL_ARRAY_LEN(KEYS); i++) {
        put(f, KAL_KV_CATALOG, KEYS[i], "v");
        put(f, KAL_KV_JOBS, KEYS[i], "v");
    }
    kal_kv_snapshot *snapshot = kal_kv_snapshot_take(f->kv);
    kal_kv_range all = catalog_range("", "", false);
    delete_range(f, "c", "b"); /* nothing lies between */
    check_walk(f, "", "", "a b c d ", "d c b a ");
    delete_range(f, "b", "d");
    check_walk(f, "", "", "a d ", "d a ");
    put(f, KAL_KV_CATALOG, "c", "again");
    check_walk(f, "", "", "a c d ", "d c a ");
    assert_string_equal(walk(f, snapshot, &all), "a b c d ");
    testing_expect(f->kv, NULL, KAL_KV_JOBS, "b", "v");
    kal_kv_snapshot_release(f->kv, snapshot);
}

static void delete_range_takes_its_range(void **state)
{
    (void)state;
    each_backend(story_delete_range);
}

/* Goal: compaction changes nothing that is read, now or under a snapshot, and only its family. */
static void story_compact(fixture *f)
{
    kal_error err = KAL_ERROR_INIT;
    kal_kv_range all = {.family = KAL_KV_CATALOG};

    put(f, KAL_KV_CATALOG, "a", "v");
    put(f, KAL_KV_CATALOG, "b", "v");
    put(f, KAL_KV_CATALOG, "c", "v");
    kal_kv_snapshot *snapshot = kal_kv_snapshot_take(f->kv);
    delete_range(f, "b", "c");
    testing_ok(kal_kv_compact(f->kv, KAL_KV_CATALOG, KAL_STR("a"), KAL_STR("z"), &err), &err);
    check_walk(f, "", "", "a c ", "c a ");
    assert_string_equal(walk(f, snapshot, &all), "a b c ");
    kal_kv_snapshot_release(f->kv, snapshot);
    testing_ok(kal_kv_compact(f->kv, KAL_KV_CATALOG, KAL_STR("a"), KAL_STR("z"), &err), &err);
    check_walk(f, "", "", "a c ", "c a ");
}

static void compaction_changes_nothing(void **state)
{
    (void)state;
    each_backend(story_compact);
}

static uint64_t bytes_between(fixture *f, kal_kv_family family, const char *lower,
                              const char *upper)
{
    uint64_t bytes = 0;
    kal_error err = KAL_ERROR_INIT;
    testing_ok(
        kal_kv_approximate_bytes(f->kv, family, kal_cstr(lower), kal_cstr(upper), &bytes, &err),
        &err);
    return bytes;
}

/* Goal: the approximate size follows range and family, and is nothing where nothing is. Memory is
 * exact; RocksDB's files are held against what was written in rows_have_a_size(). */
static void story_approximate_bytes(fixture *f)
{
    bool is_exact = f->kind != BACKEND_ROCKS;
    assert_int_equal(bytes_between(f, KAL_KV_CATALOG, "a", "z"), 0);
    put(f, KAL_KV_CATALOG, "b", "12345");
    put(f, KAL_KV_CATALOG, "c", "123");
    put(f, KAL_KV_CATALOG, "c", "1234567");
    if (is_exact) {
        assert_int_equal(bytes_between(f, KAL_KV_CATALOG, "a", "z"), 6 + 8);
        assert_int_equal(bytes_between(f, KAL_KV_CATALOG, "", "c"), 6);
        assert_int_equal(bytes_between(f, KAL_KV_CATALOG, "b", "ba"), 6);
    }
    assert_int_equal(bytes_between(f, KAL_KV_CATALOG, "c", "c"), 0);
    assert_int_equal(bytes_between(f, KAL_KV_CATALOG, "z", "a"), 0);
    assert_int_equal(bytes_between(f, KAL_KV_JOBS, "a", "z"), 0);
    kal_kv_snapshot *snapshot = kal_kv_snapshot_take(f->kv); /* keeps the deletion's version */
    delete_range(f, "a", "c");
    if (is_exact)
        assert_int_equal(bytes_between(f, KAL_KV_CATALOG, "a", "z"), 8);
    kal_kv_snapshot_release(f->kv, snapshot);
}

static void sizes_are_approximate(void **state)
{
    (void)state;
    each_backend(story_approximate_bytes);
}

/* Goal: keys of the greatest length, and those whose successor is one byte longer, work. */
static void story_long_keys(fixture *f)
{
    kal_error err = KAL_ERROR_INIT;
    uint8_t key[KAL_KV_KEY_BYTES_MAX + 1] = {0};
    kal_bytes longest = kal_bytes_of(key, KAL_KV_KEY_BYTES_MAX);
    kal_bytes value;
    kal_kv_batch *batch = kal_kv_batch_open(f->kv);

    memset(key, 0xFF, KAL_KV_KEY_BYTES_MAX);
    kal_kv_batch_put(batch, KAL_KV_CATALOG, longest, KAL_STR("v"));
    testing_ok(kal_kv_write(f->kv, batch, false, &err), &err);
    testing_ok(kal_kv_get(f->kv, NULL, KAL_KV_CATALOG, longest, &f->arena, &value, &err), &err);
    kal_kv_batch_clear(batch);
    kal_kv_batch_delete_range(batch, KAL_KV_CATALOG, longest, kal_bytes_of(key, sizeof key));
    testing_ok(kal_kv_write(f->kv, batch, false, &err), &err);
    assert_int_equal(kal_kv_get(f->kv, NULL, KAL_KV_CATALOG, longest, &f->arena, &value, &err),
                     KAL_NOT_FOUND);
    kal_kv_batch_close(batch);
}

static void longest_keys_fit(void **state)
{
    (void)state;
    each_backend(story_long_keys);
}

/* Goal: the end of a prefix is the first key beyond all that begin with it. Method: a table. */
static void prefix_ends(void **state)
{
    (void)state;
    static const struct {
        const char *prefix, *end;
    } TABLE[] = {{"a", "b"}, {"ab", "ac"}, {"a\xFF", "b"},       {"a\xFF\xFF", "b"},
                 {"", ""},   {"\xFF", ""}, {"\xFF\xFF\xFF", ""}, {"a\xFE\xFF", "a\xFF"}};
    kal_arena arena;
    kal_arena_init(&arena, NULL);
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        kal_bytes end = kal_kv_prefix_end(kal_cstr(TABLE[i].prefix), &arena);
        assert_true(kal_bytes_equal(end, kal_cstr(TABLE[i].end)));
    }
    kal_arena_release(&arena);
}

/* Goal: families have the names that are stored. */
static void family_names(void **state)
{
    (void)state;
    assert_string_equal(kal_kv_family_name(KAL_KV_CATALOG), "catalog");
    assert_string_equal(kal_kv_family_name(KAL_KV_ROWS), "rows");
    assert_string_equal(kal_kv_family_name(KAL_KV_JOBS), "jobs");
}

/* --- duration --------------------------------------------------------------------------------- */

/* Goal: an orderly close keeps everything, also what was never synced. */
static void rocks_keeps_what_was_written(void **state)
{
    (void)state;
    fixture f;
    open_store(&f, BACKEND_ROCKS);
    put(&f, KAL_KV_CATALOG, "a", "1");
    put(&f, KAL_KV_ROWS, "fourteen bytes and more", "row");
    delete_range(&f, "x", "z");
    kal_kv_close(f.kv);
    f.kv = testing_open_rocks(&f.dir);
    expect(&f, "a", "1");
    testing_expect(f.kv, NULL, KAL_KV_ROWS, "fourteen bytes and more", "row");
    close_store(&f);
}

/* Goal: a power loss in memory takes the unsynced batches in whole and no more. */
static void mem_loses_what_was_not_synced(void **state)
{
    (void)state;
    kal_error err = KAL_ERROR_INIT;
    kal_kv *kv = kal_kv_open_mem();

    testing_put(kv, KAL_KV_CATALOG, "a", "synced", true);
    testing_put(kv, KAL_KV_CATALOG, "b", "synced by the next", false);
    testing_put(kv, KAL_KV_CATALOG, "c", "synced", true);
    testing_put(kv, KAL_KV_CATALOG, "a", "lost", false);
    testing_put(kv, KAL_KV_CATALOG, "d", "lost", false);
    kal_kv_mem_crash(kv);
    testing_expect(kv, NULL, KAL_KV_CATALOG, "a", "synced");
    testing_expect(kv, NULL, KAL_KV_CATALOG, "b", "synced by the next");
    testing_expect(kv, NULL, KAL_KV_CATALOG, "c", "synced");
    testing_expect(kv, NULL, KAL_KV_CATALOG, "d", NULL);

    testing_put(kv, KAL_KV_CATALOG, "d", "kept", false);
    testing_ok(kal_kv_sync(kv, &err), &err);
    kal_kv_batch *batch = kal_kv_batch_open(kv);
    kal_kv_batch_delete_range(batch, KAL_KV_CATALOG, KAL_STR("a"), KAL_STR("z"));
    testing_ok(kal_kv_write(kv, batch, false, &err), &err);
    kal_kv_batch_close(batch);
    testing_expect(kv, NULL, KAL_KV_CATALOG, "d", NULL);
    kal_kv_mem_crash(kv);
    testing_expect(kv, NULL, KAL_KV_CATALOG, "d", "kept");
    testing_expect(kv, NULL, KAL_KV_CATALOG, "a", "synced");
    kal_kv_close(kv);
}

/* Fills `rows` with CACHED_ROWS rows over many blocks, whose keys are one prefix and a number. */
enum {
    CACHED_ROWS = 600,
    GONE_FIRST = 150,
    GONE_END = 300,
    PREFIX_BYTES = 14,
    NUMBER_BYTES = 4,
    VALUE_BYTES = 100
};
typedef enum way { WAY_USUAL, WAY_CACHED, WAY_COMPLETE } way;

static kal_bytes row_key(uint32_t number, uint8_t out[PREFIX_BYTES + NUMBER_BYTES])
{
    memset(out, 1, PREFIX_BYTES);
    kal_store_be32(out + PREFIX_BYTES, number);
    return kal_bytes_of(out, PREFIX_BYTES + NUMBER_BYTES);
}

/* Does not compress. */
static kal_bytes row_value(uint32_t number, uint8_t out[VALUE_BYTES])
{
    kal_rng rng;
    kal_rng_seed(&rng, number);
    for (size_t i = 0; i < VALUE_BYTES; i++)
        out[i] = (uint8_t)kal_rng_below(&rng, 256);
    return kal_bytes_of(out, VALUE_BYTES);
}

static void write_row(fixture *f, uint32_t number)
{
    uint8_t key[PREFIX_BYTES + NUMBER_BYTES];
    uint8_t value[VALUE_BYTES];
    kal_error err = KAL_ERROR_INIT;
    kal_kv_batch *batch = kal_kv_batch_open(f->kv);
    kal_kv_batch_put(batch, KAL_KV_ROWS, row_key(number, key), row_value(number, value));
    testing_ok(kal_kv_write(f->kv, batch, false, &err), &err);
    kal_kv_batch_close(batch);
}

static void delete_rows(fixture *f, uint32_t first, uint32_t end)
{
    uint8_t lower[PREFIX_BYTES + NUMBER_BYTES];
    uint8_t upper[PREFIX_BYTES + NUMBER_BYTES];
    kal_error err = KAL_ERROR_INIT;
    kal_kv_batch *batch = kal_kv_batch_open(f->kv);
    kal_kv_batch_delete_range(batch, KAL_KV_ROWS, row_key(first, lower), row_key(end, upper));
    testing_ok(kal_kv_write(f->kv, batch, false, &err), &err);
    kal_kv_batch_close(batch);
}

static void reopen(fixture *f)
{
    kal_kv_close(f->kv);
    f->kv = testing_open_rocks(&f->dir);
}

/* Reads one row into the cache. */
static void touch_row(fixture *f, uint32_t number, kal_status expected)
{
    uint8_t key[PREFIX_BYTES + NUMBER_BYTES];
    kal_error err = KAL_ERROR_INIT;
    kal_bytes value;
    kal_status status =
        kal_kv_get(f->kv, NULL, KAL_KV_ROWS, row_key(number, key), &f->arena, &value, &err);
    assert_int_equal(status, expected);
}

/* Walks the rows [first, end); every row shown must be the next one that is there. Returns how the
 * walk ended. */
static kal_status walk_rows(fixture *f, uint32_t first, uint32_t end, bool reverse, way how)
{
    uint8_t lower[PREFIX_BYTES + NUMBER_BYTES];
    uint8_t upper[PREFIX_BYTES + NUMBER_BYTES];
    kal_error err = KAL_ERROR_INIT;
    kal_kv_iter *iter = NULL;
    kal_bytes key;
    kal_bytes value;
    kal_status status;
    kal_kv_range range = {.family = KAL_KV_ROWS,
                          .lower = row_key(first, lower),
                          .upper = row_key(end, upper),
                          .reverse = reverse,
                          .cached_only = how == WAY_CACHED,
                          .complete = how == WAY_COMPLETE};
    uint32_t left = end - first;

    testing_ok(kal_kv_iter_open(f->kv, NULL, &range, &iter, &err), &err);
    do {
        status = kal_kv_iter_next(iter, &key, &value, &err);
        uint32_t next = reverse ? first + left - 1 : end - left;
        while (left > 0 && next >= GONE_FIRST && next < GONE_END) {
            left--;
            next = reverse ? next - 1 : next + 1;
        }
        if (status == KAL_OK && kal_load_be32(key.ptr + PREFIX_BYTES) != next)
            fail_msg("a walk shows row %u where %u is next", kal_load_be32(key.ptr + PREFIX_BYTES),
                     next);
        if (status == KAL_END && left > 0)
            fail_msg("a walk ends before row %u", next);
        left -= status == KAL_OK;
    } while (status == KAL_OK);
    kal_kv_iter_close(iter);
    return status;
}

/* The even rows in one file, the deletion of some in a second, the odd ones in a third. */
static void make_three_files(fixture *f)
{
    for (uint32_t i = 0; i < CACHED_ROWS; i += 2)
        write_row(f, i);
    reopen(f); /* which makes a file */
    delete_rows(f, GONE_FIRST, GONE_END);
    reopen(f);
    for (uint32_t i = 1; i < CACHED_ROWS; i += 2)
        if (i < GONE_FIRST || i >= GONE_END)
            write_row(f, i);
    reopen(f);
}

static uint64_t file_bytes(fixture *f)
{
    uint8_t lower[PREFIX_BYTES + NUMBER_BYTES];
    uint8_t upper[PREFIX_BYTES + NUMBER_BYTES];
    kal_error err = KAL_ERROR_INIT;
    uint64_t bytes = 0;
    testing_ok(kal_kv_approximate_bytes(f->kv, KAL_KV_ROWS, row_key(0, lower),
                                        row_key(CACHED_ROWS, upper), &bytes, &err),
               &err);
    return bytes;
}

/* A file below all others: RocksDB rewrites the lowest one when a snapshot is released. */
static void make_lowest_file(fixture *f)
{
    uint8_t lower[PREFIX_BYTES + NUMBER_BYTES];
    uint8_t upper[PREFIX_BYTES + NUMBER_BYTES];
    kal_error err = KAL_ERROR_INIT;
    write_row(f, 0);
    write_row(f, CACHED_ROWS);
    testing_ok(
        kal_kv_compact(f->kv, KAL_KV_ROWS, row_key(0, lower), row_key(CACHED_ROWS, upper), &err),
        &err);
}

/* Deleted rows and their deletion in one file, as a snapshot keeps them there. */
static void make_one_file(fixture *f)
{
    make_lowest_file(f);
    uint64_t before = file_bytes(f);
    for (uint32_t i = GONE_FIRST; i < GONE_END; i++)
        write_row(f, i);
    kal_kv_snapshot *snapshot = kal_kv_snapshot_take(f->kv);
    delete_rows(f, GONE_FIRST, GONE_END);
    for (uint32_t i = 0; i < CACHED_ROWS; i++)
        if (i < GONE_FIRST || i >= GONE_END)
            write_row(f, i);
    while (file_bytes(f) == before) /* the write buffer was full and is being written out */
        usleep(1000);
    kal_kv_snapshot_release(f->kv, snapshot);
    reopen(f);
}

/* Brings the rows into the cache one by one, with walks between: over everything, from the deleted
 * ones on, up to them. */
static void walk_as_the_cache_fills(fixture *f)
{
    static const uint32_t RANGES[][2] = {
        {0, CACHED_ROWS}, {GONE_FIRST, CACHED_ROWS}, {0, GONE_END}, {GONE_END, CACHED_ROWS}};
    unsigned complete = 0;
    unsigned busy = 0;
    for (uint32_t i = 0; i < CACHED_ROWS; i++) {
        uint32_t at = i * 2 < CACHED_ROWS ? i * 2 : i * 2 + 1 - CACHED_ROWS;
        touch_row(f, at, at >= GONE_FIRST && at < GONE_END ? KAL_NOT_FOUND : KAL_OK);
        for (size_t k = 0; i % 5 == 0 && k < 2 * KAL_ARRAY_LEN(RANGES); k++) {
            kal_status status =
                walk_rows(f, RANGES[k / 2][0], RANGES[k / 2][1], k % 2 != 0, WAY_CACHED);
            complete += status == KAL_END;
            busy += status == KAL_BUSY;
        }
    }
    assert_int_equal(walk_rows(f, 0, CACHED_ROWS, false, WAY_USUAL), KAL_END);
    /* Rows behind the deleted ones are complete in the end, after a compaction in the background
     * too. Those that are deleted by a newer file's range no read ever brings into the cache: a
     * walk over them may stay KAL_BUSY. */
    for (int tries = 0; tries < 100 && complete == 0; tries++) {
        for (uint32_t i = GONE_END; i < CACHED_ROWS; i++)
            touch_row(f, i, KAL_OK);
        complete += walk_rows(f, GONE_END, CACHED_ROWS, false, WAY_CACHED) == KAL_END;
        if (complete == 0)
            usleep(10000);
    }
    assert_true(busy > 0);
    assert_true(complete > 0);
}

/* Goal: a walk in the cache alone is complete or KAL_BUSY; it never passes over rows whose blocks
 * are not there, not even where a range was deleted. (RocksDB 7.8 does, see kv_rocks.c.) */
static void cached_walks_skip_nothing(void **state)
{
    (void)state;
    static void (*const LAYOUTS[])(fixture *) = {make_three_files, make_one_file};
    for (size_t i = 0; i < KAL_ARRAY_LEN(LAYOUTS); i++) {
        fixture f;
        open_store(&f, BACKEND_ROCKS);
        LAYOUTS[i](&f);
        walk_as_the_cache_fills(&f);
        close_store(&f);
    }
}

/* Flips a bit of the row's value in the data file that has it; again: as it was. */
static void flip_row(const testing_dir *dir, uint32_t number)
{
    uint8_t bytes[VALUE_BYTES];
    row_value(number, bytes);
    /* Where LZ4 found what is before the value, it may have found its first bytes, too. */
    assert_true(testing_flip(dir, kal_bytes_of(bytes + 8, VALUE_BYTES - 16)));
}

/* Goal: a walk that has to be complete ends with an error where a row cannot be read, and with all
 * rows when it can be read again; also while it passes deleted rows, where RocksDB 7.8 forgets the
 * error and walks on without the rows of that file. Method: a bit of a deleted row and of one
 * behind them is flipped, rows and deletion being in one file or in several. */
static void complete_walks_lose_no_error(void **state)
{
    (void)state;
    static void (*const LAYOUTS[])(fixture *) = {make_three_files, make_one_file};
    /* Both are even: make_three_files() writes no odd one that it deletes. */
    static const uint32_t DAMAGED[] = {GONE_FIRST + 80, GONE_END + 100};
    for (size_t i = 0; i < 8; i++) {
        fixture f;
        bool reverse = i % 2 != 0;
        uint32_t row = DAMAGED[i / 2 % 2];
        open_store(&f, BACKEND_ROCKS);
        LAYOUTS[i / 4](&f);
        flip_row(&f.dir, row);
        reopen(&f);
        /* It need not read a row that was deleted; if it ends, walk_rows() has seen all others. */
        kal_status status = walk_rows(&f, 0, CACHED_ROWS, reverse, WAY_COMPLETE);
        assert_true(status == KAL_CORRUPT || (status == KAL_END && row < GONE_END));
        flip_row(&f.dir, row);
        reopen(&f);
        assert_int_equal(walk_rows(&f, 0, CACHED_ROWS, reverse, WAY_COMPLETE), KAL_END);
        close_store(&f);
    }
}

/* --- opening ---------------------------------------------------------------------------------- */

static kal_status try_open(const char *path, kal_error *err)
{
    kal_kv *kv = NULL;
    kal_kv_options options = {.block_cache_bytes = 1u << 20, .write_buffer_bytes = 64u << 10};
    kal_status status = kal_kv_open_rocks(path, &options, &kv, err);
    assert_int_equal(status == KAL_OK, kv != NULL);
    kal_kv_close(kv);
    return status;
}

/* Goal: in RocksDB the size of a range of rows in files is near what was written, and halves with
 * the range. The rows do not compress. */
static void rows_have_a_size(void **state)
{
    enum { ROWS = 20000, ROW_BYTES = PREFIX_BYTES + NUMBER_BYTES + 100 };
    uint8_t lower[PREFIX_BYTES + NUMBER_BYTES];
    uint8_t upper[PREFIX_BYTES + NUMBER_BYTES];
    kal_error err = KAL_ERROR_INIT;
    uint64_t whole = 0;
    uint64_t half = 0;
    fixture f;

    (void)state;
    open_store(&f, BACKEND_ROCKS);
    for (uint32_t i = 0; i < ROWS; i++)
        write_row(&f, i);
    reopen(&f); /* which makes a file */
    testing_ok(kal_kv_approximate_bytes(f.kv, KAL_KV_ROWS, row_key(0, lower), row_key(ROWS, upper),
                                        &whole, &err),
               &err);
    testing_ok(kal_kv_approximate_bytes(f.kv, KAL_KV_ROWS, row_key(ROWS / 2, lower),
                                        row_key(ROWS, upper), &half, &err),
               &err);
    assert_in_range(whole, ROWS * 60, ROWS * ROW_BYTES * 2);
    assert_in_range(half, whole * 45 / 100, whole * 55 / 100);
    close_store(&f);
}

/* Goal: a directory that is open answers KAL_BUSY, in this process and to another one. Method: open
 * again; and open from a child while the parent holds it. */
static void open_directory_is_busy(void **state)
{
    (void)state;
    fixture f;
    kal_error err = KAL_ERROR_INIT;
    open_store(&f, BACKEND_ROCKS);
    assert_int_equal(try_open(f.dir.path, &err), KAL_BUSY);
    assert_non_null(strstr(err.message, "is already open in this process"));
    assert_non_null(strstr(err.message, f.dir.path));

    /* The other process is a program of its own, as RocksDB's threads do not survive a fork. */
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "kv_test", "--open", f.dir.path, (char *)NULL);
        _exit(99);
    }
    assert_true(child > 0);
    int exit_status = 0;
    assert_int_equal(waitpid(child, &exit_status, 0), child);
    assert_true(WIFEXITED(exit_status));
    assert_int_equal(WEXITSTATUS(exit_status), KAL_BUSY);
    /* and the holder is none the worse */
    put(&f, KAL_KV_CATALOG, "a", "1");
    expect(&f, "a", "1");
    close_store(&f);
}

/* The other process: its exit status is the status of opening. */
static int open_and_tell(const char *path)
{
    kal_error err = KAL_ERROR_INIT;
    kal_status status = try_open(path, &err);
    bool told = strstr(err.message, "is in use by another process") != NULL;
    return status != KAL_BUSY || told ? (int)status : 98;
}

/* Goal: what cannot be a data directory is an error that names it. */
static void impossible_directories(void **state)
{
    (void)state;
    testing_dir dir = testing_dir_make();
    kal_error err = KAL_ERROR_INIT;
    char path[512];

    testing_dir_path(&dir, "not/there", path, sizeof path);
    assert_int_equal(try_open(path, &err), KAL_IO); /* parents are not made */
    assert_non_null(strstr(err.message, path));
    testing_dir_path(&dir, "file", path, sizeof path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(try_open(path, &err), KAL_IO);
    assert_non_null(strstr(err.message, path));
    testing_dir_remove(&dir);
}

/* ---- purging ---- */

static bool file_holds(const char *path, const char *mark)
{
    FILE *file = fopen(path, "rb"); /* owned */
    size_t len = strlen(mark);
    bool found = false;

    if (file == NULL && errno == ENOENT)
        return false; /* the store removes what it needs no more, any time */
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(size + 1); /* owned */
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, size, file), size);
    for (size_t i = 0; i + len <= size && !found; i++)
        found = memcmp(bytes + i, mark, len) == 0;
    free(bytes);
    fclose(file);
    return found;
}

static unsigned files_with(const testing_dir *dir, const char *mark)
{
    char path[512];
    unsigned found = 0;
    DIR *open = opendir(dir->path); /* owned */

    assert_non_null(open);
    for (struct dirent *entry = readdir(open); entry != NULL; entry = readdir(open)) {
        testing_dir_path(dir, entry->d_name, path, sizeof path);
        found += entry->d_type != DT_DIR && file_holds(path, mark);
    }
    closedir(open);
    return found;
}

/* Until it has been asked often enough. */
static kal_status ask_some_times(void *context, kal_error *err)
{
    unsigned *left = context;
    return (*left)-- > 0 ? KAL_OK : kal_error_set(err, KAL_CANCELLED, "asked often enough");
}

/* Keys and values that were removed: in the log, below tombstones, first and last keys of files. */
static void purge_leaves_no_byte(void **state)
{
    static const char key[] = "marked-key-8f3a61c2";
    static const char value[] = "marked-value-77d0b5e9";
    const unsigned both = 1u << KAL_KV_CATALOG | 1u << KAL_KV_CHANGES;
    fixture f;
    kal_error err = KAL_ERROR_INIT;
    unsigned often = UINT32_MAX;
    unsigned some = 5;

    (void)state;
    open_store(&f, BACKEND_ROCKS);
    put(&f, KAL_KV_CATALOG, key, value);
    put(&f, KAL_KV_CATALOG, "zz-stays", "here");
    put(&f, KAL_KV_CHANGES, key, value);
    assert_int_equal(files_with(&f.dir, key), 1); /* the log */
    testing_ok(kal_kv_purge(f.kv, both, ask_some_times, &often, &err), &err);
    assert_true(files_with(&f.dir, key) >= 3); /* two data files, and as their first keys */
    put(&f, KAL_KV_CHANGES, key, value);

    kal_kv_snapshot *old = kal_kv_snapshot_take(f.kv);
    kal_kv_batch *batch = kal_kv_batch_open(f.kv);
    kal_kv_batch_delete(batch, KAL_KV_CATALOG, kal_cstr(key));
    kal_kv_batch_delete_range(batch, KAL_KV_CHANGES, kal_cstr("m"), kal_cstr("n"));
    testing_ok(kal_kv_write(f.kv, batch, true, &err), &err);
    kal_kv_batch_close(batch);
    assert_int_equal(kal_kv_purge(f.kv, both, ask_some_times, &some, &err), KAL_CANCELLED);
    testing_expect(f.kv, old, KAL_KV_CATALOG, key, value); /* whoever has a snapshot keeps it */
    kal_kv_snapshot_release(f.kv, old);
    assert_true(files_with(&f.dir, value) > 0);

    /* A crash may leave logs that RocksDB by itself does not remove before the next opening. */
    char stray[512];
    for (int i = 1; i <= 2; i++) {
        testing_dir_path(&f.dir, i == 1 ? "000001.log" : "000002.log", stray, sizeof stray);
        FILE *log = fopen(stray, "wx");
        assert_non_null(log);
        if (i == 2)
            fputs(key, log);
        fclose(log);
    }
    often = 1000;
    err = KAL_ERROR_INIT;
    testing_ok(kal_kv_purge(f.kv, both, ask_some_times, &often, &err), &err);
    assert_int_equal(files_with(&f.dir, key), 0);
    assert_int_equal(files_with(&f.dir, value), 0);
    expect(&f, "zz-stays", "here");
    kal_kv_close(f.kv);
    f.kv = testing_open_rocks(&f.dir);
    expect(&f, "zz-stays", "here");
    assert_int_equal(files_with(&f.dir, key), 0);
    close_store(&f);
}

static unsigned manifest_number(const testing_dir *dir)
{
    char path[512];
    unsigned number = 0;
    testing_dir_path(dir, "CURRENT", path, sizeof path);
    FILE *file = fopen(path, "r"); /* owned */
    assert_non_null(file);
    assert_int_equal(fscanf(file, "MANIFEST-%u", &number), 1);
    fclose(file);
    return number;
}

/* The record of data files is not begun anew for each of them, which would take quadratic time, but
 * for each purge. */
static void the_record_of_files_is_begun_anew_seldom(void **state)
{
    enum { FILES = 100 };
    char path[512];
    fixture f;
    kal_error err = KAL_ERROR_INIT;
    unsigned often = UINT32_MAX;

    (void)state;
    open_store(&f, BACKEND_ROCKS);
    unsigned before = manifest_number(&f.dir);
    testing_dir_path(&f.dir, "load.sst", path, sizeof path);
    for (uint32_t i = 1; i <= FILES; i++) {
        uint8_t key[100] = {0};
        kal_kv_load *load = NULL;
        kal_store_be32(key, i);
        testing_ok(kal_kv_load_open(f.kv, KAL_KV_INDEX, path, &load, &err), &err);
        testing_ok(kal_kv_load_add(load, kal_bytes_of(key, sizeof key), KAL_STR("v"), &err), &err);
        testing_ok(kal_kv_load_finish(load, &err), &err);
        kal_kv_load_close(load);
    }
    assert_int_equal(manifest_number(&f.dir), before);
    for (int i = 0; i < 3; i++) {
        testing_ok(kal_kv_purge(f.kv, 1u << KAL_KV_CATALOG, ask_some_times, &often, &err), &err);
        assert_true(manifest_number(&f.dir) > before);
        before = manifest_number(&f.dir);
    }
    close_store(&f);
}

/* ---- what rewrites and drops files, at the same time ---- */

typedef struct sweeping {
    fixture *f;
    _Atomic bool stop;
    bool compacts;  /* else drops files */
    uint32_t first; /* of the numbers it takes */
} sweeping;

static void load_number(fixture *f, uint32_t number)
{
    enum { ENTRIES = 500 };
    char name[32];
    char path[512];
    uint8_t key[8];
    kal_kv_load *load = NULL; /* owned */
    kal_error err = KAL_ERROR_INIT;

    snprintf(name, sizeof name, "load%u.sst", number);
    testing_dir_path(&f->dir, name, path, sizeof path);
    testing_ok(kal_kv_load_open(f->kv, KAL_KV_INDEX, path, &load, &err), &err);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        kal_store_be32(key, number);
        kal_store_be32(key + 4, i);
        testing_ok(kal_kv_load_add(load, kal_bytes_of(key, sizeof key), KAL_STR("value"), &err),
                   &err);
    }
    testing_ok(kal_kv_load_finish(load, &err), &err);
    kal_kv_load_close(load);
}

/* As what is left of a segment is removed. */
static void remove_number(fixture *f, uint32_t number)
{
    uint8_t bounds[8];
    kal_bytes lower;
    kal_bytes upper;
    kal_error err = KAL_ERROR_INIT;
    kal_kv_batch *batch = kal_kv_batch_open(f->kv); /* owned */

    kal_kv_number_bounds(number, bounds, &lower, &upper);
    kal_kv_batch_delete_range(batch, KAL_KV_INDEX, lower, upper);
    testing_ok(kal_kv_write(f->kv, batch, true, &err), &err);
    kal_kv_batch_close(batch);
    testing_ok(kal_kv_drop_files(f->kv, KAL_KV_INDEX, lower, upper, &err), &err);
}

static void *sweep(void *context)
{
    sweeping *s = context;
    kal_error err = KAL_ERROR_INIT;

    for (uint32_t n = s->first; !atomic_load(&s->stop); n++) {
        load_number(s->f, n);
        if (s->compacts)
            testing_ok(kal_kv_compact(s->f->kv, KAL_KV_INDEX, KAL_STR("a"), KAL_STR("b"), &err),
                       &err);
        else
            remove_number(s->f, n);
    }
    return NULL;
}

/* RocksDB ends the process when an exclusive compaction meets files that something else works on.
 */
static void purging_bears_company(void **state)
{
    enum { PURGES = 8 };
    fixture f;
    kal_error err = KAL_ERROR_INIT;
    unsigned often = UINT32_MAX;
    sweeping dropping = {.f = &f, .first = 1};
    sweeping compacting = {.f = &f, .compacts = true, .first = 0x61000000}; /* "a" */
    pthread_t threads[2];

    (void)state;
    open_store(&f, BACKEND_ROCKS);
    assert_int_equal(pthread_create(&threads[0], NULL, sweep, &dropping), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, sweep, &compacting), 0);
    for (int i = 0; i < PURGES; i++)
        testing_ok(kal_kv_purge(f.kv, 1u << KAL_KV_INDEX, ask_some_times, &often, &err), &err);
    atomic_store(&dropping.stop, true);
    atomic_store(&compacting.stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    close_store(&f);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--open") == 0)
        return open_and_tell(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_respect_their_bounds),
        cmocka_unit_test(walks_keep_the_state_at_their_opening),
        cmocka_unit_test(snapshots_see_their_moment),
        cmocka_unit_test(get_answers),
        cmocka_unit_test(batches_apply_in_order),
        cmocka_unit_test(delete_range_takes_its_range),
        cmocka_unit_test(compaction_changes_nothing),
        cmocka_unit_test(purge_leaves_no_byte),
        cmocka_unit_test(purging_bears_company),
        cmocka_unit_test(the_record_of_files_is_begun_anew_seldom),
        cmocka_unit_test(sizes_are_approximate),
        cmocka_unit_test(longest_keys_fit),
        cmocka_unit_test(prefix_ends),
        cmocka_unit_test(family_names),
        cmocka_unit_test(rocks_keeps_what_was_written),
        cmocka_unit_test(mem_loses_what_was_not_synced),
        cmocka_unit_test(cached_walks_skip_nothing),
        cmocka_unit_test(complete_walks_lose_no_error),
        cmocka_unit_test(rows_have_a_size),
        cmocka_unit_test(open_directory_is_busy),
        cmocka_unit_test(impossible_directories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
