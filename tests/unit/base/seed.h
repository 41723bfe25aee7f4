/*
 * seed.h: the seed of a property test: KAL_TEST_SEED when set, else a fixed one; always printed, so
 * that a failure can be repeated.
 */
#ifndef KAL_TESTS_SEED_H
#define KAL_TESTS_SEED_H

#include "base/rng.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static inline uint64_t kal_test_seed(kal_rng *rng)
{
    const char *text = getenv("KAL_TEST_SEED");
    uint64_t seed = text == NULL ? 20261123 : strtoull(text, NULL, 10);
    fprintf(stderr, "KAL_TEST_SEED=%" PRIu64 "\n", seed);
    kal_rng_seed(rng, seed);
    return seed;
}

#endif
