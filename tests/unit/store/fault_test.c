/*
 * fault_test.c: the failing store fails as kv_fault.c says, and writes stop after a failure.
 */
#include "unit/store/store_testing.h"

#include "base/rng.h"

#include <inttypes.h>

static kal_status put(kal_kv *kv, const char *key, const char *value, bool sync, kal_error *err)
{
    kal_kv_batch *batch = kal_kv_batch_open(kv);
    kal_kv_batch_put(batch, KAL_KV_CATALOG, kal_cstr(key), kal_cstr(value));
    kal_status status = kal_kv_write(kv, batch, sync, err);
    kal_kv_batch_close(batch);
    return status;
}

static bool has(kal_kv *kv, const char *key)
{
    kal_arena arena;
    kal_bytes value;
    kal_error err = KAL_ERROR_INIT;
    kal_arena_init(&arena, NULL);
    kal_status status = kal_kv_get(kv, NULL, KAL_KV_CATALOG, kal_cstr(key), &arena, &value, &err);
    kal_arena_release(&arena);
    assert_true(status == KAL_OK || status == KAL_NOT_FOUND);
    return status == KAL_OK;
}

/* Goal: a failed synced write may be lost, applied and lost in a crash, or durable, and the caller
 * is told the same; all three happen. Method: many seeds, one write each, then look, crash, look.
 */
static void synced_writes_fail_in_three_ways(void **state)
{
    (void)state;
    unsigned lost = 0;
    unsigned applied = 0;
    unsigned durable = 0;
    for (uint64_t seed = testing_seed(), last = seed + 64; seed < last; seed++) {
        kal_error err = KAL_ERROR_INIT;
        kal_kv *kv = kal_kv_open_fault(kal_kv_open_mem(), seed, 1000, 0);
        assert_int_equal(put(kv, "k", "v", true, &err), KAL_IO);
        assert_non_null(strstr(err.message, "(injected)"));
        bool before = has(kv, "k");
        kal_kv_mem_crash(kal_kv_fault_inner(kv));
        bool after = has(kv, "k");
        if (after && !before)
            fail_msg("seed %" PRIu64 ": a crash brought a write back", seed);
        lost += !before;
        applied += before && !after;
        durable += after;
        kal_kv_close(kv);
    }
    assert_true(lost > 0);
    assert_true(applied > 0);
    assert_true(durable > 0);
}

/* Goal: an unsynced write that fails was not applied. */
static void unsynced_writes_fail_before_anything(void **state)
{
    (void)state;
    for (uint64_t seed = testing_seed(), last = seed + 32; seed < last; seed++) {
        kal_error err = KAL_ERROR_INIT;
        kal_kv *kv = kal_kv_open_fault(kal_kv_open_mem(), seed, 1000, 0);
        assert_int_equal(put(kv, "k", "v", false, &err), KAL_IO);
        assert_false(has(kv, "k"));
        kal_kv_close(kv);
    }
}

/* Goal: after a failed write nobody writes, whatever the faults do, until recovery; reads go on. */
static void writes_stop_after_a_failure(void **state)
{
    (void)state;
    kal_error err = KAL_ERROR_INIT;
    kal_kv *kv = kal_kv_open_fault(kal_kv_open_mem(), testing_seed(), 1000, 0);

    kal_kv_fault_enable(kv, false);
    assert_int_equal(put(kv, "before", "v", true, &err), KAL_OK);
    kal_kv_fault_enable(kv, true);
    assert_int_equal(put(kv, "k", "v", false, &err), KAL_IO);
    assert_string_equal(err.message, "cannot write the store (injected)");
    kal_kv_fault_enable(kv, false);
    assert_int_equal(put(kv, "k", "v", true, &err), KAL_IO);
    assert_string_equal(err.message, "writes are stopped: cannot write the store (injected)");
    assert_int_equal(kal_kv_sync(kv, &err), KAL_IO);
    assert_non_null(strstr(err.message, "writes are stopped"));
    /* The store below knows it too: nobody gets around the wrapper. */
    assert_int_equal(put(kal_kv_fault_inner(kv), "k", "v", true, &err), KAL_IO);
    assert_true(has(kv, "before"));
    assert_false(has(kv, "k"));

    kal_kv_mem_crash(kal_kv_fault_inner(kv));
    assert_int_equal(put(kv, "k", "v", true, &err), KAL_OK);
    assert_true(has(kv, "k"));
    kal_kv_close(kv);
}

/* Goal: a failed sync may have made things durable or not, and stops writes as a failed write. */
static void sync_fails_too(void **state)
{
    (void)state;
    unsigned durable = 0;
    unsigned lost = 0;
    for (uint64_t seed = testing_seed(), last = seed + 64; seed < last; seed++) {
        kal_error err = KAL_ERROR_INIT;
        kal_kv *kv = kal_kv_open_fault(kal_kv_open_mem(), seed, 1000, 0);
        kal_kv_fault_enable(kv, false);
        assert_int_equal(put(kv, "k", "v", false, &err), KAL_OK);
        kal_kv_fault_enable(kv, true);
        assert_int_equal(kal_kv_sync(kv, &err), KAL_IO);
        assert_string_equal(err.message, "cannot sync the store (injected)");
        kal_kv_fault_enable(kv, false);
        assert_int_equal(put(kv, "k2", "v", false, &err), KAL_IO);
        kal_kv_mem_crash(kal_kv_fault_inner(kv));
        if (has(kv, "k"))
            durable++;
        else
            lost++;
        kal_kv_close(kv);
    }
    assert_true(durable > 0);
    assert_true(lost > 0);
}

/* Goal: reads fail with KAL_IO, cached ones also with KAL_BUSY, and a walk that failed stays so;
 * a read that failed breaks nothing. */
static void reads_fail(void **state)
{
    (void)state;
    unsigned busy = 0;
    unsigned io = 0;
    kal_error err = KAL_ERROR_INIT;
    kal_kv *kv = kal_kv_open_fault(kal_kv_open_mem(), testing_seed(), 0, 1000);
    kal_kv_range range = {.family = KAL_KV_CATALOG};
    kal_kv_iter *iter = NULL;
    kal_bytes key;
    kal_bytes value;
    kal_arena arena;

    kal_arena_init(&arena, NULL);
    assert_int_equal(put(kv, "k", "v", true, &err), KAL_OK); /* reads fail, writes do not */
    for (int i = 0; i < 100; i++) {
        assert_int_equal(kal_kv_get(kv, NULL, KAL_KV_CATALOG, KAL_STR("k"), &arena, &value, &err),
                         KAL_IO);
        kal_status status =
            kal_kv_get_cached(kv, NULL, KAL_KV_CATALOG, KAL_STR("k"), &arena, &value, &err);
        busy += status == KAL_BUSY;
        io += status == KAL_IO;
    }
    assert_int_equal(busy + io, 100);
    assert_true(busy > 0 && io > 0);
    assert_int_equal(kal_kv_iter_open(kv, NULL, &range, &iter, &err), KAL_IO);
    assert_null(iter);

    kal_kv_fault_enable(kv, false);
    assert_int_equal(kal_kv_iter_open(kv, NULL, &range, &iter, &err), KAL_OK);
    kal_kv_fault_enable(kv, true);
    assert_int_equal(kal_kv_iter_next(iter, &key, &value, &err), KAL_IO);
    kal_kv_fault_enable(kv, false);
    assert_int_equal(kal_kv_iter_next(iter, &key, &value, &err), KAL_IO);
    assert_string_equal(err.message, "the walk was ended by an earlier error");
    kal_kv_iter_close(iter);
    assert_true(has(kv, "k"));
    kal_arena_release(&arena);
    kal_kv_close(kv);
}

/* Runs 200 writes; bit i of the result says whether write i failed. */
static void draw_failures(uint64_t seed, bool failed[200])
{
    kal_kv *kv = kal_kv_open_fault(kal_kv_open_mem(), seed, 100, 0);
    for (unsigned i = 0; i < 200; i++) {
        kal_error err = KAL_ERROR_INIT;
        failed[i] = put(kv, "k", "v", true, &err) != KAL_OK;
        if (failed[i])
            kal_kv_mem_crash(kal_kv_fault_inner(kv));
    }
    kal_kv_close(kv);
}

/* Goal: the seed decides: one seed gives the same failures again, another one others; about as many
 * as asked for. */
static void the_seed_decides(void **state)
{
    (void)state;
    bool first[200];
    bool again[200];
    bool other[200];
    unsigned count = 0;
    uint64_t seed = testing_seed();

    draw_failures(seed, first);
    draw_failures(seed, again);
    draw_failures(seed + 1, other);
    assert_memory_equal(first, again, sizeof first);
    assert_memory_not_equal(first, other, sizeof first);
    for (size_t i = 0; i < KAL_ARRAY_LEN(first); i++)
        count += first[i];
    assert_in_range(count, 4, 50); /* 20 expected */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(synced_writes_fail_in_three_ways),
        cmocka_unit_test(unsynced_writes_fail_before_anything),
        cmocka_unit_test(writes_stop_after_a_failure),
        cmocka_unit_test(sync_fails_too),
        cmocka_unit_test(reads_fail),
        cmocka_unit_test(the_seed_decides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
