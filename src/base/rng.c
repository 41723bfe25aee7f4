/*
 * rng.c: xoshiro256** (Blackman and Vigna, 2018), seeded through SplitMix64; the kernel's bytes.
 */
#include "base/rng.h"
#include "base/assert.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

static uint64_t rotate_left(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

static uint64_t splitmix_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

void kal_rng_seed(kal_rng *rng, uint64_t seed)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(rng->state); i++)
        rng->state[i] = splitmix_next(&seed);
}

uint64_t kal_rng_next(kal_rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/* The high half of a 128-bit product; draws again for the few values that would favour some
 * results (Lemire, 2019). */
uint64_t kal_rng_below(kal_rng *rng, uint64_t bound)
{
    KAL_ASSERT(bound != 0);
    uint64_t threshold = (0 - bound) % bound;
    for (;;) {
        kal_u128 product = (kal_u128)kal_rng_next(rng) * bound;
        if ((uint64_t)product >= threshold)
            return (uint64_t)(product >> 64);
    }
}

bool kal_rng_chance(kal_rng *rng, uint64_t numerator, uint64_t denominator)
{
    return kal_rng_below(rng, denominator) < numerator;
}

void kal_rng_fill(kal_rng *rng, void *out, size_t len)
{
    uint8_t *p = out;
    while (len > 0) {
        uint64_t word = kal_rng_next(rng);
        size_t part = len < sizeof word ? len : sizeof word;
        memcpy(p, &word, part);
        p += part;
        len -= part;
    }
}

static void kernel_bytes(void *out, size_t len)
{
    uint8_t *p = out;
    while (len > 0) {
        ssize_t got = getrandom(p, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            kal_die("the kernel gives no random bytes: %s", strerror(errno));
        p += got;
        len -= (size_t)got;
    }
}

enum { POOL_BYTES = 256 };

/* A child of fork() must not hand out what its parent hands out: it sees a new generation. */
static _Atomic unsigned process_generation = 1;
static pthread_once_t fork_hook_once = PTHREAD_ONCE_INIT;

static _Thread_local struct {
    kal_rng *simulated; /* borrowed, NULL in production */
    unsigned generation;
    size_t left; /* unused bytes, at the end of pool */
    uint8_t pool[POOL_BYTES];
} random_state;

static void enter_child(void)
{
    atomic_fetch_add(&process_generation, 1);
}

static void install_fork_hook(void)
{
    KAL_ASSERT(pthread_atfork(NULL, NULL, enter_child) == 0);
}

void kal_random_simulate(kal_rng *rng)
{
    random_state.simulated = rng;
}

void kal_random_bytes(void *out, size_t len)
{
    if (random_state.simulated != NULL) {
        kal_rng_fill(random_state.simulated, out, len);
        return;
    }
    if (len > POOL_BYTES) {
        kernel_bytes(out, len);
        return;
    }
    unsigned generation = atomic_load_explicit(&process_generation, memory_order_relaxed);
    if (random_state.generation != generation) {
        KAL_ASSERT(pthread_once(&fork_hook_once, install_fork_hook) == 0);
        random_state.generation = generation;
        random_state.left = 0;
    }
    if (random_state.left < len) {
        kernel_bytes(random_state.pool, POOL_BYTES);
        random_state.left = POOL_BYTES;
    }
    uint8_t *from = random_state.pool + POOL_BYTES - random_state.left;
    memcpy(out, from, len);
    explicit_bzero(from, len);
    random_state.left -= len;
}
