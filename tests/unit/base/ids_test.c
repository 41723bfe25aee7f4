#include "base/bytes.h"
#include "base/ids.h"
#include "unit/base/seed.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define START_US ((KAL_SNOWFLAKE_EPOCH_MS + 1000) * 1000)

static uint64_t uuid_ms(const uint8_t uuid[16])
{
    return kal_load_be64(uuid) >> 16;
}

/* Goal: the bits are where the formats put them. Method: a clock that stands still. */
static void test_layout(void **state)
{
    kal_sim_clock sim;
    kal_ids ids;
    uint8_t uuid[16];
    char text[KAL_UUID_TEXT_LEN + 1] = "";
    char ulid[KAL_ULID_TEXT_LEN + 1] = "";
    (void)state;
    kal_sim_clock_init(&sim, START_US);
    kal_ids_init(&ids, &sim.clock, 1023);
    assert_int_equal(kal_ids_snowflake(&ids), INT64_C(1000) << 22 | 1023 << 12);
    assert_int_equal(kal_ids_snowflake(&ids), INT64_C(1000) << 22 | 1023 << 12 | 1);

    kal_ids_uuid_v7(&ids, uuid);
    assert_int_equal(uuid_ms(uuid), KAL_SNOWFLAKE_EPOCH_MS + 1000);
    assert_int_equal(uuid[6] >> 4, 7);
    assert_int_equal((uuid[6] & 15) << 8 | uuid[7], 2); /* the sequence */
    assert_int_equal(uuid[8] >> 6, 2);

    kal_ids_ulid(&ids, ulid);
    static const char CROCKFORD[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint64_t ms = 0;
    for (size_t i = 0; i < KAL_ULID_TEXT_LEN; i++) {
        const char *digit = strchr(CROCKFORD, ulid[i]);
        assert_true(digit != NULL && *digit != 0);
        if (i < 10)
            ms = ms * 32 + (uint64_t)(digit - CROCKFORD);
    }
    assert_int_equal(ms, KAL_SNOWFLAKE_EPOCH_MS + 1000);

    static const uint8_t KNOWN[16] = {0x01, 0x7F, 0x22, 0xE2, 0x79, 0xB0, 0x7C, 0xC3,
                                      0x98, 0xC4, 0xDC, 0x0C, 0x0C, 0x07, 0x39, 0x8F};
    kal_uuid_format(KNOWN, text);
    assert_string_equal(text, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"); /* RFC 9562, A.6 */
}

/* Hands out one id of a kind, as a key whose byte order is the id's order. */
static void make_id(kal_ids *ids, int kind, uint8_t key_out[KAL_ULID_TEXT_LEN])
{
    memset(key_out, 0, KAL_ULID_TEXT_LEN);
    if (kind == 0)
        kal_store_be64(key_out, (uint64_t)kal_ids_snowflake(ids));
    else if (kind == 1)
        kal_ids_uuid_v7(ids, key_out);
    else
        kal_ids_ulid(ids, (char *)key_out);
}

/* Goal: ids ascend whatever the clock does: stands, runs, steps back by up to an hour, or lies
 * before the epoch; and more than 4096 fit into a millisecond. */
static void test_ascending_under_a_bad_clock(void **state)
{
    kal_rng rng;
    (void)state;
    kal_test_seed(&rng);
    for (int kind = 0; kind < 3; kind++) {
        kal_sim_clock sim;
        kal_ids ids;
        uint8_t last[KAL_ULID_TEXT_LEN] = {0};
        uint8_t next[KAL_ULID_TEXT_LEN];
        kal_sim_clock_init(&sim, 0); /* 1970 */
        kal_ids_init(&ids, &sim.clock, 5);
        for (int i = 0; i < 50000; i++) {
            if (i == 10000)
                sim.now_us = START_US;
            if (i > 10000 && kal_rng_chance(&rng, 1, 10))
                sim.now_us += (int64_t)kal_rng_below(&rng, 5000);
            if (i > 10000 && kal_rng_chance(&rng, 1, 1000))
                sim.now_us -= (int64_t)kal_rng_below(&rng, INT64_C(3600) * 1000000);
            make_id(&ids, kind, next);
            if (memcmp(last, next, sizeof last) >= 0)
                fail_msg("kind %d, id %d does not ascend", kind, i);
            memcpy(last, next, sizeof last);
        }
    }
}

/* Goal: after a step back the last seen millisecond goes on being used, and the clock's own time
 * again once it has caught up. */
static void test_time_after_a_step_back(void **state)
{
    kal_sim_clock sim;
    kal_ids ids;
    (void)state;
    kal_sim_clock_init(&sim, START_US);
    kal_ids_init(&ids, &sim.clock, 0);
    kal_ids_snowflake(&ids);
    sim.now_us -= 500 * 1000;
    assert_int_equal(kal_ids_snowflake(&ids) >> 22, 1000);
    sim.now_us = START_US + 7000;
    assert_int_equal(kal_ids_snowflake(&ids), INT64_C(1007) << 22);
}

enum { THREADS = 4, PER_THREAD = 30000 };

typedef struct worker {
    pthread_t thread;
    kal_ids *ids;
    int64_t made[PER_THREAD];
} worker;

static void *make_many(void *context)
{
    worker *w = context;
    for (size_t i = 0; i < PER_THREAD; i++)
        w->made[i] = kal_ids_snowflake(w->ids);
    return NULL;
}

static int compare_ids(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* Goal: threads never share an id, and each sees its own ascend. Method: four threads on the real
 * clock, then all ids sorted. */
static void test_threads(void **state)
{
    static worker workers[THREADS];
    static int64_t all[THREADS * PER_THREAD];
    kal_ids ids;
    (void)state;
    kal_ids_init(&ids, kal_clock_system(), 1);
    for (size_t i = 0; i < THREADS; i++) {
        workers[i].ids = &ids;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, make_many, &workers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        for (size_t k = 1; k < PER_THREAD; k++)
            assert_true(workers[i].made[k - 1] < workers[i].made[k]);
        memcpy(&all[i * PER_THREAD], workers[i].made, sizeof workers[i].made);
    }
    qsort(all, KAL_ARRAY_LEN(all), sizeof all[0], compare_ids);
    for (size_t i = 1; i < KAL_ARRAY_LEN(all); i++)
        assert_true(all[i - 1] < all[i]);
}

/* Goal: two ids of one process that share time and sequence bits with another process' ids still
 * differ. Method: two generators on the same still clock; only random bits tell them apart. */
static void test_random_part(void **state)
{
    kal_sim_clock sim;
    kal_ids a;
    kal_ids b;
    uint8_t left[16];
    uint8_t right[16];
    char left_text[KAL_ULID_TEXT_LEN];
    char right_text[KAL_ULID_TEXT_LEN];
    (void)state;
    kal_sim_clock_init(&sim, START_US);
    kal_ids_init(&a, &sim.clock, 0);
    kal_ids_init(&b, &sim.clock, 0);
    kal_ids_uuid_v7(&a, left);
    kal_ids_uuid_v7(&b, right);
    assert_memory_equal(left, right, 8);
    assert_memory_not_equal(left + 8, right + 8, 8);
    kal_ids_ulid(&a, left_text);
    kal_ids_ulid(&b, right_text);
    assert_memory_equal(left_text, right_text, 12);
    assert_memory_not_equal(left_text + 12, right_text + 12, 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_ascending_under_a_bad_clock),
        cmocka_unit_test(test_time_after_a_step_back),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_random_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
