/*
 * kal_file_rows_live().
 *
 * Goal: it lists exactly the rows that are alive, at every edge of words, windows and files.
 * Method: random files with few, many or only dead rows, random windows, against a loop over rows.
 */
#include "engine/file_rows.h"
#include "unit/base/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { ROWS_MAX = 5000, WINDOW_MAX = 2048, FILES = 400, WINDOWS = 50 };

static bool is_dead(const kal_file_rows *file, uint64_t row)
{
    return row >= file->row_count || (file->dead[row / 64] >> (row % 64) & 1) != 0;
}

static void check(const kal_file_rows *file, uint64_t first, size_t count)
{
    uint32_t got[WINDOW_MAX + 1];
    size_t expected = 0;

    got[count] = 0xabcdef;
    size_t live = kal_file_rows_live(file, first, count, got);
    for (size_t i = 0; i < count; i++) {
        if (is_dead(file, first + i))
            continue;
        assert_true(expected < live);
        assert_int_equal(got[expected], i);
        expected++;
    }
    assert_int_equal(live, expected);
    assert_int_equal(got[count], 0xabcdef);
    assert_int_equal(kal_file_rows_live(file, first, count, NULL), live);
}

/* Of the rows, one in so many is dead; 0: none. */
static void fill(kal_rng *rng, uint64_t *bits, uint64_t one_in)
{
    for (size_t i = 0; i < ROWS_MAX / 64 + 1; i++)
        bits[i] = 0;
    for (size_t row = 0; row < ROWS_MAX && one_in > 0; row++) {
        if (kal_rng_below(rng, one_in) == 0)
            bits[row / 64] |= UINT64_C(1) << (row % 64);
    }
}

static void it_lists_the_rows_that_are_alive(void **state)
{
    static const uint64_t ONE_IN[] = {0, 1, 2, 100, 5000};
    uint64_t bits[ROWS_MAX / 64 + 1];
    kal_rng rng;

    (void)state;
    kal_test_seed(&rng);
    for (int f = 0; f < FILES; f++) {
        fill(&rng, bits, ONE_IN[kal_rng_below(&rng, KAL_ARRAY_LEN(ONE_IN))]);
        kal_file_rows file = {"f", bits, kal_rng_below(&rng, ROWS_MAX + 1)};
        for (int w = 0; w < WINDOWS; w++)
            check(&file, kal_rng_below(&rng, ROWS_MAX + 100), kal_rng_below(&rng, WINDOW_MAX + 1));
        check(&file, 0, WINDOW_MAX);
        check(&file, UINT64_MAX / 2, WINDOW_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_lists_the_rows_that_are_alive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
