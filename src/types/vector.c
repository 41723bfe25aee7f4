/*
 * vector.c: the kernels, once for every processor (the compiler makes SSE2 or NEON of them), once
 * for AVX2 and FMA where the processor has both, which is asked once.
 *
 * Compiled with -ffp-contract=off: the square of a rounded difference (L2) must be rounded before
 * it is added, in every implementation. Where fusing cannot change the result, because the product
 * is exact, it is written out.
 */
#include "types/vector.h"
#include "base/assert.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { LANES = 16, BLOCK_BYTES = LANES * sizeof(float) };

static const char *const NAMES[] = {
#define VECTOR_NAME(name) [KAL_VECTOR_##name] = #name,
    KAL_VECTOR_FUNCTION_LIST(VECTOR_NAME)
#undef VECTOR_NAME
};

/* ---- 16 lanes ---- */

/* Fields and not an array: the compiler keeps them in registers. */
typedef float floats __attribute__((vector_size(16)));
typedef double quad __attribute__((vector_size(32)));
typedef struct lanes {
    quad q0, q1, q2, q3;
} lanes;

/* The last numbers of a vector, fewer than 16, filled up with zeros, which change no sum. */
static void fill_block(const uint8_t *from, size_t count, uint8_t block[BLOCK_BYTES])
{
    static const uint8_t ZEROS[BLOCK_BYTES];
    memcpy(block, ZEROS, BLOCK_BYTES);
    memcpy(block, from, count * sizeof(float));
}

/* ---- kernels ---- */

/* Runs a step with x and y being the next 16 numbers of a and b. */
#define FOR_BLOCKS(step)                                                                           \
    do {                                                                                           \
        const uint8_t *x = a;                                                                      \
        const uint8_t *y = b;                                                                      \
        for (size_t blocks = dim / LANES; blocks > 0; blocks--) {                                  \
            step;                                                                                  \
            x += BLOCK_BYTES;                                                                      \
            y += BLOCK_BYTES;                                                                      \
        }                                                                                          \
        if (dim % LANES != 0) {                                                                    \
            uint8_t last[2][BLOCK_BYTES];                                                          \
            fill_block(x, dim % LANES, last[0]);                                                   \
            fill_block(y, dim % LANES, last[1]);                                                   \
            x = last[0];                                                                           \
            y = last[1];                                                                           \
            step;                                                                                  \
        }                                                                                          \
    } while (0)

/* What a step does with four lanes, which start `at` bytes in the block; one after the other, so
 * that no more registers are in use than sums and two. */
#define COSINE_OF(load, add, q, at)                                                                \
    do {                                                                                           \
        quad u = load(x + (at));                                                                   \
        quad v = load(y + (at));                                                                   \
        ab.q = add(ab.q, u, v);                                                                    \
        aa.q = add(aa.q, u, u);                                                                    \
        bb.q = add(bb.q, v, v);                                                                    \
    } while (0)
#define L2_OF(load, add, q, at)                                                                    \
    do {                                                                                           \
        quad d = load(x + (at)) - load(y + (at));                                                  \
        ab.q += d * d;                                                                             \
    } while (0)
#define DOT_OF(load, add, q, at) ab.q = add(ab.q, load(x + (at)), load(y + (at)))
#define BY_FOUR(step, load, add)                                                                   \
    step(load, add, q0, 0);                                                                        \
    step(load, add, q1, sizeof(floats));                                                           \
    step(load, add, q2, 2 * sizeof(floats));                                                       \
    step(load, add, q3, 3 * sizeof(floats))

/* load(p) gives four floats at any alignment; add(sum, u, v) is sum + u * v for products that are
 * exact. All of it is compiled anew for each processor: GCC does not widen by inlining. */
#define KERNELS(prefix, attributes, load, add)                                                     \
    attributes static inline double prefix##_total(const lanes *l)                                 \
    {                                                                                              \
        quad four = (l->q0 + l->q2) + (l->q1 + l->q3);                                             \
        return (four[0] + four[2]) + (four[1] + four[3]);                                          \
    }                                                                                              \
    attributes static void prefix##_cosine(const uint8_t *a, const uint8_t *b, size_t dim,         \
                                           kal_vector_sums *out)                                   \
    {                                                                                              \
        lanes ab = {0};                                                                            \
        lanes aa = {0};                                                                            \
        lanes bb = {0};                                                                            \
        FOR_BLOCKS(BY_FOUR(COSINE_OF, load, add));                                                 \
        *out = (kal_vector_sums){prefix##_total(&ab), prefix##_total(&aa), prefix##_total(&bb)};   \
    }                                                                                              \
    attributes static void prefix##_l2(const uint8_t *a, const uint8_t *b, size_t dim,             \
                                       kal_vector_sums *out)                                       \
    {                                                                                              \
        lanes ab = {0};                                                                            \
        FOR_BLOCKS(BY_FOUR(L2_OF, load, add));                                                     \
        out->ab = prefix##_total(&ab);                                                             \
    }                                                                                              \
    attributes static void prefix##_dot(const uint8_t *a, const uint8_t *b, size_t dim,            \
                                        kal_vector_sums *out)                                      \
    {                                                                                              \
        lanes ab = {0};                                                                            \
        FOR_BLOCKS(BY_FOUR(DOT_OF, load, add));                                                    \
        out->ab = prefix##_total(&ab);                                                             \
    }

#if defined(__SSE2__)
#define BASE_NAME "sse2"
#elif defined(__ARM_NEON)
#define BASE_NAME "neon"
#else
#define BASE_NAME "portable"
#endif

static inline quad base_load(const uint8_t *p)
{
    floats f;
    memcpy(&f, p, sizeof f);
    return __builtin_convertvector(f, quad);
}

static inline quad base_add(quad sum, quad u, quad v)
{
    return sum + u * v;
}

KERNELS(base, , base_load, base_add)

#if defined(__x86_64__)
#define WITH_AVX2 __attribute__((target("avx2,fma")))

WITH_AVX2 static inline quad avx2_load(const uint8_t *p)
{
    return _mm256_cvtps_pd(_mm_loadu_ps((const float *)(const void *)p));
}

WITH_AVX2 static inline quad avx2_add(quad sum, quad u, quad v)
{
    return _mm256_fmadd_pd(u, v, sum);
}

KERNELS(avx2, WITH_AVX2, avx2_load, avx2_add)
#endif

/* ---- choosing ---- */

static const kal_vector_implementation IMPLEMENTATIONS[] = {
    {BASE_NAME, {base_cosine, base_l2, base_dot}},
#if defined(__x86_64__)
    {"avx2", {avx2_cosine, avx2_l2, avx2_dot}},
#endif
};

static size_t usable_count; /* written once */
static pthread_once_t usable_once = PTHREAD_ONCE_INIT;

static void find_usable(void)
{
    usable_count = 1;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        usable_count = 2;
#endif
}

size_t kal_vector_implementations(const kal_vector_implementation **first_out)
{
    pthread_once(&usable_once, find_usable);
    *first_out = IMPLEMENTATIONS;
    return usable_count;
}

/* ---- from sums to results ---- */

/* Squares of finite floats sum up to a finite double that is 0 only when all of them are 0, and the
 * product of two such sums neither overflows nor vanishes. */
static double cosine_distance(double ab, double aa, double bb)
{
    if (!isfinite(aa) || !isfinite(bb))
        return NAN;
    if (aa == 0 || bb == 0)
        return 1;
    double cosine = ab / sqrt(aa * bb);
    if (cosine > 1)
        cosine = 1;
    if (cosine < -1)
        cosine = -1;
    return 1 - cosine;
}

float kal_vector_compute_by(const kal_vector_implementation *implementation,
                            kal_vector_function function, const uint8_t *a, const uint8_t *b,
                            size_t dim)
{
    kal_vector_sums sums = {0};

    KAL_ASSERT(function < KAL_VECTOR_FUNCTION_COUNT);
    implementation->kernels[function](a, b, dim, &sums);
    double result = function == KAL_VECTOR_COSINE_DISTANCE
                        ? cosine_distance(sums.ab, sums.aa, sums.bb)
                    : function == KAL_VECTOR_L2_DISTANCE ? sqrt(sums.ab)
                                                         : sums.ab;
    return isnan(result) ? NAN : (float)result;
}

const char *kal_vector_function_name(kal_vector_function function)
{
    return NAMES[function];
}

kal_status kal_vector_compute(kal_vector_function function, kal_bytes a, kal_bytes b,
                              float *result_out, kal_error *err)
{
    const kal_vector_implementation *usable;
    size_t count = kal_vector_implementations(&usable);

    *result_out = 0;
    if (a.len == b.len) {
        *result_out = kal_vector_compute_by(&usable[count - 1], function, a.ptr, b.ptr,
                                            a.len / sizeof(float));
        return KAL_OK;
    }
    return kal_error_set(err, KAL_INVALID,
                         "%s needs two embeddings of one dimension, got %zu and %zu",
                         NAMES[function], a.len / sizeof(float), b.len / sizeof(float));
}
