/*
 * vector.c: the kernels, twice: once in the compiler's own 16-byte vectors, which are SSE2 or NEON,
 * once in AVX2 and FMA where the processor has them (asked once).
 *
 * Compiled with -ffp-contract=off: a square of a rounded difference (L2) must be rounded before it
 * is added, in every implementation. Where a fused step cannot change the result, because the
 * product is exact, it is written out.
 */
#include "types/vector.h"
#include "base/assert.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

enum { LANES = KAL_VECTOR_LANES, BLOCK_BYTES = LANES * sizeof(float) };

static const char *const NAMES[] = {
#define VECTOR_NAME(name) [KAL_VECTOR_##name] = #name,
    KAL_VECTOR_FUNCTION_LIST(VECTOR_NAME)
#undef VECTOR_NAME
};

/* ---- 16-byte vectors ---- */

typedef float pair32 __attribute__((vector_size(8)));
typedef double pair __attribute__((vector_size(16)));

/* 16 lanes of one sum take half of 16 registers, so the three of a cosine go by halves. */
enum { PAIRS = LANES / 2, HALF = PAIRS / 2 };

#if defined(__SSE2__)
#define BASE_NAME "sse2"
#elif defined(__ARM_NEON)
#define BASE_NAME "neon"
#else
#define BASE_NAME "portable"
#endif

static inline pair load_pair(const uint8_t *p, size_t index)
{
    pair32 narrow;
    memcpy(&narrow, p + index * sizeof narrow, sizeof narrow);
    return __builtin_convertvector(narrow, pair);
}

static inline void store_pairs(const pair *from, size_t count, double *lanes)
{
    memcpy(lanes, from, count * sizeof *from);
}

static inline void cosine_half(const uint8_t *a, const uint8_t *b, size_t block_count, size_t first,
                               kal_vector_sums *sums)
{
    pair ab[HALF] = {0};
    pair aa[HALF] = {0};
    pair bb[HALF] = {0};
    for (size_t block = 0; block < block_count; block++) {
#pragma GCC unroll 4
        for (size_t k = 0; k < HALF; k++) {
            pair x = load_pair(a + block * BLOCK_BYTES, first + k);
            pair y = load_pair(b + block * BLOCK_BYTES, first + k);
            ab[k] += x * y;
            aa[k] += x * x;
            bb[k] += y * y;
        }
    }
    store_pairs(ab, HALF, sums->ab + 2 * first);
    store_pairs(aa, HALF, sums->aa + 2 * first);
    store_pairs(bb, HALF, sums->bb + 2 * first);
}

static void base_cosine(const uint8_t *a, const uint8_t *b, size_t block_count,
                        kal_vector_sums *sums)
{
    cosine_half(a, b, block_count, 0, sums);
    cosine_half(a, b, block_count, HALF, sums);
}

static void base_l2(const uint8_t *a, const uint8_t *b, size_t block_count, kal_vector_sums *sums)
{
    pair dd[PAIRS] = {0};
    for (size_t block = 0; block < block_count; block++) {
#pragma GCC unroll 8
        for (size_t k = 0; k < PAIRS; k++) {
            pair d = load_pair(a + block * BLOCK_BYTES, k) - load_pair(b + block * BLOCK_BYTES, k);
            dd[k] += d * d;
        }
    }
    store_pairs(dd, PAIRS, sums->ab);
}

static void base_dot(const uint8_t *a, const uint8_t *b, size_t block_count, kal_vector_sums *sums)
{
    pair ab[PAIRS] = {0};
    for (size_t block = 0; block < block_count; block++) {
#pragma GCC unroll 8
        for (size_t k = 0; k < PAIRS; k++)
            ab[k] += load_pair(a + block * BLOCK_BYTES, k) * load_pair(b + block * BLOCK_BYTES, k);
    }
    store_pairs(ab, PAIRS, sums->ab);
}

/* ---- 32-byte vectors ---- */

#if defined(__x86_64__)
#include <immintrin.h>

#define WITH_AVX2 __attribute__((target("avx2,fma")))
enum { QUADS = LANES / 4 };

WITH_AVX2 static inline __m256d load_quad(const uint8_t *p, size_t index)
{
    return _mm256_cvtps_pd(_mm_loadu_ps((const float *)(const void *)(p + index * sizeof(__m128))));
}

WITH_AVX2 static inline void store_quads(const __m256d *from, double *lanes)
{
    for (size_t k = 0; k < QUADS; k++)
        _mm256_storeu_pd(lanes + 4 * k, from[k]);
}

WITH_AVX2 static void avx2_cosine(const uint8_t *a, const uint8_t *b, size_t block_count,
                                  kal_vector_sums *sums)
{
    __m256d ab[QUADS] = {0};
    __m256d aa[QUADS] = {0};
    __m256d bb[QUADS] = {0};
    for (size_t block = 0; block < block_count; block++) {
#pragma GCC unroll 4
        for (size_t k = 0; k < QUADS; k++) {
            __m256d x = load_quad(a + block * BLOCK_BYTES, k);
            __m256d y = load_quad(b + block * BLOCK_BYTES, k);
            ab[k] = _mm256_fmadd_pd(x, y, ab[k]);
            aa[k] = _mm256_fmadd_pd(x, x, aa[k]);
            bb[k] = _mm256_fmadd_pd(y, y, bb[k]);
        }
    }
    store_quads(ab, sums->ab);
    store_quads(aa, sums->aa);
    store_quads(bb, sums->bb);
}

WITH_AVX2 static void avx2_l2(const uint8_t *a, const uint8_t *b, size_t block_count,
                              kal_vector_sums *sums)
{
    __m256d dd[QUADS] = {0};
    for (size_t block = 0; block < block_count; block++) {
#pragma GCC unroll 4
        for (size_t k = 0; k < QUADS; k++) {
            __m256d x = load_quad(a + block * BLOCK_BYTES, k);
            __m256d y = load_quad(b + block * BLOCK_BYTES, k);
            __m256d d = _mm256_sub_pd(x, y);
            dd[k] = _mm256_add_pd(dd[k], _mm256_mul_pd(d, d));
        }
    }
    store_quads(dd, sums->ab);
}

WITH_AVX2 static void avx2_dot(const uint8_t *a, const uint8_t *b, size_t block_count,
                               kal_vector_sums *sums)
{
    __m256d ab[QUADS] = {0};
    for (size_t block = 0; block < block_count; block++) {
#pragma GCC unroll 4
        for (size_t k = 0; k < QUADS; k++) {
            __m256d x = load_quad(a + block * BLOCK_BYTES, k);
            __m256d y = load_quad(b + block * BLOCK_BYTES, k);
            ab[k] = _mm256_fmadd_pd(x, y, ab[k]);
        }
    }
    store_quads(ab, sums->ab);
}
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

static double load(const uint8_t *p, size_t i)
{
    float f;
    memcpy(&f, p + i * sizeof f, sizeof f);
    return f;
}

/* The numbers after the last whole block, each in its lane. */
static void add_rest(kal_vector_function function, const uint8_t *a, const uint8_t *b, size_t from,
                     size_t dim, kal_vector_sums *sums)
{
    for (size_t i = from; i < dim; i++) {
        double x = load(a, i);
        double y = load(b, i);
        if (function == KAL_VECTOR_L2_DISTANCE) {
            double d = x - y;
            sums->ab[i % LANES] += d * d;
            continue;
        }
        sums->ab[i % LANES] += x * y;
        if (function == KAL_VECTOR_COSINE_DISTANCE) {
            sums->aa[i % LANES] += x * x;
            sums->bb[i % LANES] += y * y;
        }
    }
}

static double total(double lanes[LANES])
{
    for (size_t width = LANES / 2; width > 0; width /= 2) {
        for (size_t k = 0; k < width; k++)
            lanes[k] += lanes[k + width];
    }
    return lanes[0];
}

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

static double result_of(kal_vector_function function, kal_vector_sums *sums)
{
    switch (function) {
    case KAL_VECTOR_COSINE_DISTANCE:
        return cosine_distance(total(sums->ab), total(sums->aa), total(sums->bb));
    case KAL_VECTOR_L2_DISTANCE:
        return sqrt(total(sums->ab));
    default:
        return total(sums->ab);
    }
}

float kal_vector_compute_by(const kal_vector_implementation *implementation,
                            kal_vector_function function, const uint8_t *a, const uint8_t *b,
                            size_t dim)
{
    kal_vector_sums sums;
    size_t block_count = dim / LANES;

    KAL_ASSERT(function < KAL_VECTOR_FUNCTION_COUNT);
    implementation->kernels[function](a, b, block_count, &sums);
    add_rest(function, a, b, block_count * LANES, dim, &sums);
    double result = result_of(function, &sums);
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
