#include "base/clock.h"
#include "base/rng.h"
#include "unit/base/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Goal: the stream is the published one, on every machine. Method: xoshiro256** from the state
 * 1, 2, 3, 4 (first values of the authors' reference code). */
static void test_reference_stream(void **state)
{
    static const uint64_t EXPECTED[] = {11520, 0, 1509978240, 1215971899390074240};
    kal_rng rng = {{1, 2, 3, 4}};
    (void)state;
    for (size_t i = 0; i < KAL_ARRAY_LEN(EXPECTED); i++)
        assert_true(kal_rng_next(&rng) == EXPECTED[i]);
}

/* Goal: a seed decides the stream, and seeds differ. */
static void test_seeds(void **state)
{
    kal_rng a;
    kal_rng b;
    kal_rng c;
    uint8_t left[37];
    uint8_t right[37];
    (void)state;
    kal_rng_seed(&a, 7);
    kal_rng_seed(&b, 7);
    kal_rng_seed(&c, 8);
    kal_rng_fill(&a, left, sizeof left);
    kal_rng_fill(&b, right, sizeof right);
    assert_memory_equal(left, right, sizeof left);
    kal_rng_fill(&c, right, sizeof right);
    assert_memory_not_equal(left, right, sizeof left);
}

/* Goal: draws stay below the bound and are even. Method: counts over 7 values lie within 5 percent
 * of the expected 20,000 (more than seven standard deviations). */
static void test_below(void **state)
{
    kal_rng rng;
    int counts[7] = {0};
    (void)state;
    kal_test_seed(&rng);
    for (int i = 0; i < 140000; i++)
        counts[kal_rng_below(&rng, 7)]++;
    for (size_t i = 0; i < 7; i++)
        assert_in_range(counts[i], 19000, 21000);
    assert_int_equal(kal_rng_below(&rng, 1), 0);
    for (int i = 0; i < 1000; i++)
        assert_true(kal_rng_below(&rng, (UINT64_C(1) << 63) + 1) <= UINT64_C(1) << 63);
    assert_true(kal_rng_chance(&rng, 5, 5));
    assert_false(kal_rng_chance(&rng, 0, 5));
}

/* Goal: random bytes do not repeat: within the pool, across its refills, and around it. */
static void test_random_bytes(void **state)
{
    enum { COUNT = 2000 };
    static uint8_t drawn[COUNT][16];
    uint8_t large[4096] = {0};
    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        kal_random_bytes(drawn[i], 16);
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t j = 0; j < i; j++) {
            if (memcmp(drawn[i], drawn[j], 16) == 0)
                fail_msg("draws %zu and %zu are equal", j, i);
        }
    }
    kal_random_bytes(large, sizeof large);
    size_t zeros = 0;
    for (size_t i = 0; i < sizeof large; i++)
        zeros += large[i] == 0 ? 1 : 0;
    assert_in_range(zeros, 0, 60); /* 16 expected */
    kal_random_bytes(large, 0);
}

/* Goal: a forked child does not draw what its parent draws. */
static void test_fork(void **state)
{
    uint8_t parent[32];
    uint8_t child[32] = {0};
    int ends[2];
    (void)state;
    kal_random_bytes(parent, sizeof parent); /* the pool is filled before the fork */
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        kal_random_bytes(child, sizeof child);
        ssize_t n = write(ends[1], child, sizeof child);
        _exit(n == (ssize_t)sizeof child ? 0 : 1);
    }
    assert_true(pid > 0);
    kal_random_bytes(parent, sizeof parent);
    assert_int_equal(read(ends[0], child, sizeof child), sizeof child);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_memory_not_equal(parent, child, sizeof parent);
    close(ends[0]);
    close(ends[1]);
}

/* Goal: a simulation decides also what is otherwise unpredictable, and gives it back. */
static void test_simulated_bytes(void **state)
{
    uint8_t first[300];
    uint8_t second[300];
    (void)state;
    for (int round = 0; round < 2; round++) {
        kal_rng rng;
        kal_rng_seed(&rng, 99);
        kal_random_simulate(&rng);
        kal_random_bytes(round == 0 ? first : second, sizeof first);
        kal_random_simulate(NULL);
    }
    assert_memory_equal(first, second, sizeof first);
    kal_random_bytes(second, sizeof second);
    assert_memory_not_equal(first, second, sizeof first);
}

/* Goal: the system's clocks run forward and know the century; the simulated one obeys. */
static void test_clocks(void **state)
{
    const kal_clock *system = kal_clock_system();
    kal_sim_clock sim;
    (void)state;
    uint64_t before = kal_clock_mono_ns(system);
    assert_true(kal_clock_wall_us(system) > INT64_C(1700000000) * 1000000);
    assert_true(kal_clock_mono_ns(system) >= before);

    kal_sim_clock_init(&sim, 1000);
    assert_int_equal(kal_clock_wall_us(&sim.clock), 1000);
    assert_int_equal(kal_clock_mono_ns(&sim.clock), 1000000);
    assert_int_equal(kal_clock_wall_us(&sim.clock), 1000);
    kal_sim_clock_advance(&sim, 5);
    assert_int_equal(kal_clock_wall_us(&sim.clock), 1005);
    assert_int_equal(kal_clock_mono_ns(&sim.clock), 1005000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_stream),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_below),
        cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_simulated_bytes),
        cmocka_unit_test(test_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
