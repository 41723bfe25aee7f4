/*
 * rng.h: the randomness seam.
 *
 * kal_rng is a small seeded generator (xoshiro256**) for tests, simulation and sampling: the same
 * seed gives the same stream on every machine. Secrets, tokens and identifiers take
 * kal_random_bytes(), which is the operating system's unless a simulation put a seed under it.
 */
#ifndef KAL_BASE_RNG_H
#define KAL_BASE_RNG_H

#include "base/defs.h"

typedef struct kal_rng {
    uint64_t state[4];
} kal_rng;

void kal_rng_seed(kal_rng *rng, uint64_t seed);
uint64_t kal_rng_next(kal_rng *rng);
/* Uniform in [0, bound); bound must not be 0. */
uint64_t kal_rng_below(kal_rng *rng, uint64_t bound);
/* true with probability numerator / denominator */
bool kal_rng_chance(kal_rng *rng, uint64_t numerator, uint64_t denominator);
void kal_rng_fill(kal_rng *rng, void *out, size_t len);

/* Unpredictable bytes from the kernel, buffered per thread (a system call costs 0.6 us). The buffer
 * is wiped as it is used. Ends the process when the kernel has no randomness to give. */
void kal_random_bytes(void *out, size_t len);
/* Simulation only: kal_random_bytes() of this thread draws from rng (borrowed) until it is given
 * another one, or NULL for the kernel again. */
void kal_random_simulate(kal_rng *rng);

#endif
