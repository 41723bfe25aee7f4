/*
 * vector.c: what one computation of the vector functions costs, by each implementation that this
 * processor runs and by a plain loop over doubles.
 *
 * Prints one JSON object of figures; vector.mjs runs it. CPU time of the thread in nanoseconds per
 * vector; each is the median of several rounds, which alternate. The vectors lie one behind the
 * other, about 512 KiB of them, as in a cache that a scan has filled.
 */
#include "types/vector.h"
#include "base/assert.h"
#include "base/rng.h"
#include "measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 15, BYTES = 512 * 1024, NUMBERS = 20 * 1000 * 1000, CONTENDERS_MAX = 4 };

static const size_t DIMS[] = {100, 384, 768, 1536};
static volatile float sink; /* results are used */

/* ---- the peer: what one writes first; the compiler may not reorder its sums into vectors ---- */

__attribute__((noinline)) static float plain_cosine(const float *a, const float *b, size_t dim)
{
    double ab = 0;
    double aa = 0;
    double bb = 0;
    for (size_t i = 0; i < dim; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return (float)(1 - ab / sqrt(aa * bb));
}

__attribute__((noinline)) static float plain_l2(const float *a, const float *b, size_t dim)
{
    double sum = 0;
    for (size_t i = 0; i < dim; i++) {
        double d = (double)a[i] - (double)b[i];
        sum += d * d;
    }
    return (float)sqrt(sum);
}

__attribute__((noinline)) static float plain_dot(const float *a, const float *b, size_t dim)
{
    double sum = 0;
    for (size_t i = 0; i < dim; i++)
        sum += (double)a[i] * (double)b[i];
    return (float)sum;
}

static float (*const PLAIN[])(const float *, const float *, size_t) = {plain_cosine, plain_l2,
                                                                       plain_dot};

/* ---- measuring ---- */

typedef struct load {
    float *vectors;
    float *wanted;
    size_t count;
    size_t dim;
} load;

/* ns per vector; implementation NULL: the plain loop. */
static double measure(const load *l, kal_vector_function f,
                      const kal_vector_implementation *implementation)
{
    size_t passes = NUMBERS / (l->count * l->dim);
    double start = cpu_ns();
    for (size_t pass = 0; pass < passes; pass++) {
        for (size_t i = 0; i < l->count; i++) {
            const float *v = l->vectors + i * l->dim;
            sink = implementation == NULL
                       ? PLAIN[f](v, l->wanted, l->dim)
                       : kal_vector_compute_by(implementation, f, (const uint8_t *)v,
                                               (const uint8_t *)l->wanted, l->dim);
        }
    }
    return (cpu_ns() - start) / (double)(passes * l->count);
}

static void compare(const load *l, kal_vector_function f, bool *first)
{
    const kal_vector_implementation *all;
    size_t count = kal_vector_implementations(&all);
    double times[CONTENDERS_MAX][ROUNDS];

    KAL_ASSERT(count < CONTENDERS_MAX);
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i <= count; i++)
            times[i][round] = measure(l, f, i == 0 ? NULL : &all[i - 1]);
    }
    for (size_t i = 0; i <= count; i++) {
        printf("%s\n  \"%s of %zu numbers, %s, ns\": %.4g", *first ? "" : ",",
               kal_vector_function_name(f), l->dim, i == 0 ? "plain loop" : all[i - 1].name,
               median(times[i], ROUNDS));
        *first = false;
    }
}

int main(void)
{
    bool first = true;
    kal_rng rng;

    kal_rng_seed(&rng, 1);
    printf("{");
    for (size_t d = 0; d < KAL_ARRAY_LEN(DIMS); d++) {
        load l = {.dim = DIMS[d], .count = BYTES / sizeof(float) / DIMS[d]};
        l.vectors = malloc((l.count + 1) * l.dim * sizeof(float)); /* owned */
        if (l.vectors == NULL)
            kal_die("out of memory");
        for (size_t i = 0; i < (l.count + 1) * l.dim; i++)
            l.vectors[i] = (float)kal_rng_below(&rng, 1000) / 500.0f - 1.0f;
        l.wanted = l.vectors + l.count * l.dim;
        for (kal_vector_function f = 0; f < KAL_VECTOR_FUNCTION_COUNT; f++)
            compare(&l, f, &first);
        free(l.vectors);
    }
    printf("\n}\n");
    return 0;
}
