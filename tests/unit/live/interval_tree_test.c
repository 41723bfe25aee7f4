/* The interval tree against a list that is looked through. */
#include "live/interval_tree.h"
#include "unit/base/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    ROUNDS = 6,
    INTERVALS = 2000,
    STEPS = 40000,
    PHASE = 7000, /* growing, then shrinking */
    CHECK_EVERY = 16,
    BYTES = 10,
};

typedef struct model_interval {
    uint8_t lower[BYTES];
    uint8_t upper[BYTES];
    size_t lower_len;
    size_t upper_len;
    bool is_open;
    bool is_in;
    unsigned hits;
} model_interval;

static kal_interval interval_of(const model_interval *m)
{
    kal_interval interval = {.lower = kal_bytes_of(m->lower, m->lower_len)};
    if (!m->is_open)
        interval.upper = kal_bytes_of(m->upper, m->upper_len);
    return interval;
}

/* Few different bytes, so that bounds meet; short ones and equal ones, too; often the same first
 * eight, which the tree compares first. */
static size_t random_bytes(kal_rng *rng, uint8_t out[BYTES])
{
    size_t len = kal_rng_below(rng, BYTES + 1);
    size_t alike = kal_rng_chance(rng, 1, 2) ? 8 : kal_rng_below(rng, 3);
    uint8_t first = kal_rng_chance(rng, 1, 3) ? 0xFF : 0;
    for (size_t i = 0; i < BYTES; i++)
        out[i] = i < alike ? first : (uint8_t)(kal_rng_below(rng, 4) * 85);
    return len;
}

static void count_hit(void *context, void *value)
{
    (void)context;
    ((model_interval *)value)->hits++;
}

static void check_point(const kal_interval_tree *tree, model_interval *all, kal_bytes point)
{
    for (size_t i = 0; i < INTERVALS; i++)
        all[i].hits = 0;
    kal_interval_tree_stab(tree, point, count_hit, NULL);
    for (size_t i = 0; i < INTERVALS; i++) {
        kal_interval v = interval_of(&all[i]);
        bool holds = all[i].is_in && kal_bytes_compare(v.lower, point) <= 0 &&
                     (all[i].is_open || kal_bytes_compare(point, v.upper) < 0);
        assert_int_equal(all[i].hits, holds ? 1 : 0);
    }
}

static void one_round(kal_rng *rng)
{
    static model_interval all[INTERVALS];
    kal_interval_tree tree;

    memset(all, 0, sizeof all);
    kal_interval_tree_init(&tree);
    for (size_t i = 0; i < INTERVALS; i++) {
        all[i].lower_len = random_bytes(rng, all[i].lower);
        all[i].upper_len = random_bytes(rng, all[i].upper);
        all[i].is_open = kal_rng_chance(rng, 1, 5);
    }
    for (size_t step = 0; step < STEPS; step++) {
        model_interval *m = &all[kal_rng_below(rng, INTERVALS)];
        bool grows = step / PHASE % 2 == 0;
        uint8_t bytes[BYTES];
        if (m->is_in == grows && kal_rng_below(rng, 8) > 0)
            continue;
        if (!m->is_in)
            kal_interval_tree_add(&tree, interval_of(m), m);
        else
            assert_true(kal_interval_tree_remove(&tree, interval_of(m), m));
        m->is_in = !m->is_in;
        if (step % CHECK_EVERY != 0)
            continue;
        assert_true(kal_interval_tree_is_valid(&tree));
        size_t len = random_bytes(rng, bytes);
        check_point(&tree, all, kal_bytes_of(bytes, len));
    }
    for (size_t i = 0; i < INTERVALS; i++) {
        if (!all[i].is_in)
            assert_false(kal_interval_tree_remove(&tree, interval_of(&all[i]), &all[i]));
    }
    kal_interval_tree_release(&tree);
}

static void stabs_find_what_a_list_finds(void **state)
{
    kal_rng rng;
    (void)state;
    kal_test_seed(&rng);
    for (int round = 0; round < ROUNDS; round++)
        one_round(&rng);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stabs_find_what_a_list_finds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
