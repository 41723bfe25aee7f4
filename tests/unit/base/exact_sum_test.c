/* Sums of doubles: against integers of 128 bits where they can say, and against themselves in other
 * orders everywhere else. */
#include "base/exact_sum.h"
#include "unit/base/seed.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { ROUNDS = 2000, NUMBERS = 40 };

static double any_double(kal_rng *rng)
{
    double v;
    do {
        uint64_t bits = kal_rng_next(rng);
        if (kal_rng_chance(rng, 1, 2)) /* near one another: much cancels */
            bits = (bits & ~(UINT64_C(0x7ff) << 52)) | (1020 + kal_rng_below(rng, 8)) << 52;
        memcpy(&v, &bits, sizeof v);
    } while (!isfinite(v));
    return v;
}

static bool is_same(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static void single_numbers_come_back(void **state)
{
    const double edges[] = {0.0,
                            5e-324,
                            -5e-324,
                            2.2250738585072014e-308,
                            1.7976931348623157e308,
                            -1.7976931348623157e308,
                            1.0,
                            0.1,
                            9007199254740993.0};
    (void)state;
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        kal_exact_sum sum = {0};
        kal_exact_sum_add(&sum, edges[i]);
        assert_true(is_same(kal_exact_sum_read(&sum), edges[i]));
    }
}

/* Multiples of 1/1024 below 2^40: their sum is an integer that is known. */
static void sums_are_nearest(void **state)
{
    kal_rng rng;
    (void)state;
    kal_test_seed(&rng);
    for (int round = 0; round < ROUNDS; round++) {
        kal_exact_sum sum = {0};
        kal_i128 exact = 0;
        for (uint64_t n = kal_rng_below(&rng, NUMBERS); n > 0; n--) {
            int64_t v = (int64_t)kal_rng_below(&rng, UINT64_C(1) << 52) - (INT64_C(1) << 51);
            double shifted = ldexp((double)v, (int)kal_rng_below(&rng, 40));
            exact += (kal_i128)shifted;
            kal_exact_sum_add(&sum, shifted);
        }
        assert_true(is_same(kal_exact_sum_read(&sum), (double)exact));
    }
}

static void what_is_removed_is_gone(void **state)
{
    kal_rng rng;
    double numbers[NUMBERS];
    (void)state;
    kal_test_seed(&rng);
    for (int round = 0; round < ROUNDS; round++) {
        kal_exact_sum sum = {0};
        kal_exact_sum again = {0};
        size_t kept = kal_rng_below(&rng, NUMBERS);
        for (size_t i = 0; i < NUMBERS; i++) {
            numbers[i] = any_double(&rng);
            kal_exact_sum_add(&sum, numbers[i]);
            if (kal_rng_chance(&rng, 1, 4))
                (void)kal_exact_sum_read(&sum); /* reading changes nothing */
        }
        for (size_t i = NUMBERS; i-- > kept;)
            kal_exact_sum_remove(&sum, numbers[i]);
        for (size_t i = kept; i-- > 0;) /* in another order */
            kal_exact_sum_add(&again, numbers[i]);
        assert_true(is_same(kal_exact_sum_read(&sum), kal_exact_sum_read(&again)));
    }
}

static void special_numbers_come_and_go(void **state)
{
    kal_exact_sum sum = {0};
    (void)state;
    kal_exact_sum_add(&sum, 1.5);
    kal_exact_sum_add(&sum, INFINITY);
    assert_true(kal_exact_sum_read(&sum) == INFINITY);
    kal_exact_sum_add(&sum, -INFINITY);
    assert_true(isnan(kal_exact_sum_read(&sum)));
    kal_exact_sum_remove(&sum, INFINITY);
    assert_true(kal_exact_sum_read(&sum) == -INFINITY);
    kal_exact_sum_remove(&sum, -INFINITY);
    kal_exact_sum_add(&sum, NAN);
    assert_true(isnan(kal_exact_sum_read(&sum)));
    kal_exact_sum_remove(&sum, NAN);
    assert_true(kal_exact_sum_read(&sum) == 1.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_numbers_come_back),
        cmocka_unit_test(sums_are_nearest),
        cmocka_unit_test(what_is_removed_is_gone),
        cmocka_unit_test(special_numbers_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
