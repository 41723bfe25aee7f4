/*
 * The vector kernels.
 *
 * Goal: every implementation gives the same bits, they are as accurate as vector.h says, and the
 * cases that have a definition (zero vectors, NaN, infinity, overflow) keep to it. Method: vectors
 * of every length from 1 to 100 and of some up to 8192, at any alignment, of several natures
 * (ordinary, cancelling, tiny, huge, mixed); a reference in long double, in which products of
 * floats are exact, summed with compensation.
 */
#include "unit/base/seed.h"

#include "types/type.h"
#include "types/vector.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { DIM_MAX = KAL_EMBEDDING_DIM_MAX, ROUNDS = 4000 };

typedef struct vectors {
    uint8_t memory[2][DIM_MAX * sizeof(float) + sizeof(float)];
    uint8_t *a; /* at any alignment */
    uint8_t *b;
    size_t dim;
} vectors;

static float get(const uint8_t *v, size_t i)
{
    float f;
    memcpy(&f, v + i * sizeof f, sizeof f);
    return f;
}

static void set(uint8_t *v, size_t i, float f)
{
    memcpy(v + i * sizeof f, &f, sizeof f);
}

/* ---- the reference ---- */

typedef struct long_sum {
    long double sum;
    long double lost;
    long double magnitude;
} long_sum;

static void add(long_sum *s, long double term)
{
    long double next = s->sum + term;
    s->lost += fabsl(s->sum) >= fabsl(term) ? (s->sum - next) + term : (term - next) + s->sum;
    s->sum = next;
    s->magnitude += fabsl(term);
}

typedef struct reference {
    long double result;
    long double error_max; /* that vector.h allows, before rounding to float */
} reference;

static reference reference_of(kal_vector_function function, const vectors *v)
{
    long_sum ab = {0};
    long_sum aa = {0};
    long_sum bb = {0};
    long double unit = ldexpl(1, -53) * ((long double)v->dim / 16 + 5);

    for (size_t i = 0; i < v->dim; i++) {
        long double x = get(v->a, i);
        long double y = get(v->b, i);
        long double d = x - y;
        add(&ab, function == KAL_VECTOR_L2_DISTANCE ? d * d : x * y);
        add(&aa, x * x);
        add(&bb, y * y);
    }
    long double sum = ab.sum + ab.lost;
    if (function == KAL_VECTOR_DOT_PRODUCT)
        return (reference){sum, unit * ab.magnitude};
    if (function == KAL_VECTOR_L2_DISTANCE) /* the difference and its square are rounded too */
        return (reference){sqrtl(sum), (unit + 4 * ldexpl(1, -53)) * sqrtl(sum)};
    if (aa.sum == 0 || bb.sum == 0)
        return (reference){1, 0};
    long double norms = sqrtl((aa.sum + aa.lost) * (bb.sum + bb.lost));
    return (reference){1 - sum / norms, 2 * unit + unit * ab.magnitude / norms};
}

/* Within the error, and half a step of float. */
static bool close_enough(float found, reference wanted)
{
    if (isinf(found)) /* by rounding only */
        return fabsl(wanted.result) + wanted.error_max >= (long double)FLT_MAX;
    long double step = fmaxl(fabsl(wanted.result) * ldexpl(1, -24), ldexpl(1, -150));
    return fabsl((long double)found - wanted.result) <= wanted.error_max * 1.001L + step * 1.001L;
}

/* ---- vectors of several natures ---- */

static float uniform(kal_rng *rng)
{
    return (float)kal_rng_below(rng, 1u << 24) / (float)(1u << 23) - 1.0f;
}

/* Any finite float, also below the smallest normal one. */
static float any_finite(kal_rng *rng)
{
    for (;;) {
        uint32_t bits = (uint32_t)kal_rng_next(rng);
        float f;
        memcpy(&f, &bits, sizeof f);
        if (isfinite(f))
            return f;
    }
}

static float make_number(kal_rng *rng, unsigned nature)
{
    switch (nature) {
    case 0:
        return uniform(rng);
    case 1:
        return any_finite(rng);
    case 2: /* below the smallest normal float */
        return uniform(rng) * FLT_MIN;
    case 3: /* near the greatest one */
        return uniform(rng) * FLT_MAX;
    case 4:
        return kal_rng_below(rng, 4) == 0 ? uniform(rng) : 0.0f;
    default:
        return ldexpf(uniform(rng), (int)kal_rng_below(rng, 40) - 20);
    }
}

static size_t make_dim(kal_rng *rng)
{
    static const size_t LARGE[] = {384, 768, 1024, 1536, 3072, 8191, DIM_MAX};
    return kal_rng_below(rng, 20) == 0 ? LARGE[kal_rng_below(rng, KAL_ARRAY_LEN(LARGE))]
                                       : 1 + (size_t)kal_rng_below(rng, 100);
}

/* b may be a, near it, opposite to it, or such that a.b cancels out. */
static void relate(vectors *v, kal_rng *rng)
{
    uint64_t relation = kal_rng_below(rng, 8);
    for (size_t i = 0; i < v->dim && relation < 4; i++) {
        float x = get(v->a, i);
        if (relation == 0)
            set(v->b, i, x);
        else if (relation == 1)
            set(v->b, i, x * (1.0f + uniform(rng) * 1e-6f));
        else if (relation == 2)
            set(v->b, i, -x);
        else if (i % 2 == 1) { /* a pair's products are equal but for the sign */
            set(v->a, i, get(v->a, i - 1));
            set(v->b, i, -get(v->b, i - 1));
        }
    }
}

static void make_vectors(vectors *v, kal_rng *rng)
{
    unsigned nature = (unsigned)kal_rng_below(rng, 6);
    v->dim = make_dim(rng);
    v->a = v->memory[0] + kal_rng_below(rng, sizeof(float));
    v->b = v->memory[1] + kal_rng_below(rng, sizeof(float));
    for (size_t i = 0; i < v->dim; i++) {
        set(v->a, i, make_number(rng, nature));
        set(v->b, i, make_number(rng, nature));
    }
    relate(v, rng);
}

/* ---- tests ---- */

static bool same_bits(float x, float y)
{
    return memcmp(&x, &y, sizeof x) == 0;
}

static void check_pair(const vectors *v, kal_vector_function f)
{
    const kal_vector_implementation *all;
    size_t count = kal_vector_implementations(&all);
    reference wanted = reference_of(f, v);
    float first = kal_vector_compute_by(&all[0], f, v->a, v->b, v->dim);

    for (size_t i = 0; i < count; i++) {
        float found = kal_vector_compute_by(&all[i], f, v->a, v->b, v->dim);
        float turned = kal_vector_compute_by(&all[i], f, v->b, v->a, v->dim);
        if (!same_bits(found, first) || !same_bits(turned, first) || !close_enough(found, wanted))
            fail_msg("%s by %s, %zu numbers: %.9g, turned %.9g, by %s %.9g, wanted %.12Lg (+-%Lg)",
                     kal_vector_function_name(f), all[i].name, v->dim, (double)found,
                     (double)turned, all[0].name, (double)first, wanted.result, wanted.error_max);
    }
}

static void as_the_reference(void **state)
{
    (void)state;
    static vectors v;
    kal_rng rng;

    kal_test_seed(&rng);
    for (unsigned round = 0; round < ROUNDS; round++) {
        make_vectors(&v, &rng);
        for (kal_vector_function f = 0; f < KAL_VECTOR_FUNCTION_COUNT; f++)
            check_pair(&v, f);
    }
}

static float compute(kal_vector_function f, const float *a, const float *b, size_t dim)
{
    const kal_vector_implementation *all;
    size_t count = kal_vector_implementations(&all);
    kal_error err = KAL_ERROR_INIT;
    float result = 0;

    assert_int_equal(kal_vector_compute(f, kal_bytes_of(a, dim * sizeof *a),
                                        kal_bytes_of(b, dim * sizeof *b), &result, &err),
                     KAL_OK);
    for (size_t i = 0; i < count; i++)
        assert_true(same_bits(result, kal_vector_compute_by(&all[i], f, (const uint8_t *)a,
                                                            (const uint8_t *)b, dim)));
    return result;
}

/* One number of `value` at `at` among ones. */
static float with(kal_vector_function f, float value, size_t at, size_t dim, const float *other)
{
    float a[64];
    for (size_t i = 0; i < dim; i++)
        a[i] = i == at ? value : 1.0f;
    return compute(f, a, other, dim);
}

static void defined_cases(void **state)
{
    (void)state;
    float zeros[64] = {0};
    float ones[64];
    float huge[2] = {FLT_MAX, FLT_MAX};
    float minus[2] = {-FLT_MAX, -FLT_MAX};
    float tiny[2] = {FLT_TRUE_MIN, 0};
    float up[2] = {0, FLT_TRUE_MIN};

    for (size_t i = 0; i < 64; i++)
        ones[i] = 1.0f;
    assert_true(compute(KAL_VECTOR_COSINE_DISTANCE, zeros, ones, 64) == 1.0f);
    assert_true(compute(KAL_VECTOR_COSINE_DISTANCE, zeros, zeros, 3) == 1.0f);
    assert_true(compute(KAL_VECTOR_COSINE_DISTANCE, ones, ones, 33) == 0.0f);
    assert_true(compute(KAL_VECTOR_COSINE_DISTANCE, huge, minus, 2) == 2.0f);
    assert_true(compute(KAL_VECTOR_COSINE_DISTANCE, tiny, up, 2) == 1.0f);
    assert_true(compute(KAL_VECTOR_COSINE_DISTANCE, tiny, tiny, 2) == 0.0f);
    assert_true(compute(KAL_VECTOR_L2_DISTANCE, huge, minus, 2) == INFINITY);
    assert_true(compute(KAL_VECTOR_L2_DISTANCE, tiny, up, 2) == FLT_TRUE_MIN);
    assert_true(compute(KAL_VECTOR_DOT_PRODUCT, huge, huge, 2) == INFINITY);
    assert_true(compute(KAL_VECTOR_DOT_PRODUCT, huge, minus, 2) == -INFINITY);
    assert_true(compute(KAL_VECTOR_DOT_PRODUCT, ones, ones, 64) == 64.0f);
    /* In the blocks and in the rest. */
    for (size_t at = 0; at < 40; at++) {
        assert_true(isnan(with(KAL_VECTOR_COSINE_DISTANCE, NAN, at, 40, ones)));
        assert_true(isnan(with(KAL_VECTOR_COSINE_DISTANCE, INFINITY, at, 40, ones)));
        assert_true(isnan(with(KAL_VECTOR_COSINE_DISTANCE, NAN, at, 40, zeros)));
        assert_true(isnan(with(KAL_VECTOR_L2_DISTANCE, NAN, at, 40, ones)));
        assert_true(with(KAL_VECTOR_L2_DISTANCE, -INFINITY, at, 40, ones) == INFINITY);
        assert_true(isnan(with(KAL_VECTOR_DOT_PRODUCT, NAN, at, 40, ones)));
        assert_true(with(KAL_VECTOR_DOT_PRODUCT, -INFINITY, at, 40, ones) == -INFINITY);
        assert_true(isnan(with(KAL_VECTOR_DOT_PRODUCT, INFINITY, at, 40, zeros)));
    }
}

static void different_dimensions(void **state)
{
    (void)state;
    float a[3] = {1, 2, 3};
    float result = 0;
    kal_error err = KAL_ERROR_INIT;

    assert_int_equal(kal_vector_compute(KAL_VECTOR_L2_DISTANCE, kal_bytes_of(a, sizeof a),
                                        kal_bytes_of(a, 2 * sizeof *a), &result, &err),
                     KAL_INVALID);
    assert_string_equal(err.message,
                        "L2_DISTANCE needs two embeddings of one dimension, got 3 and 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_reference),
        cmocka_unit_test(defined_cases),
        cmocka_unit_test(different_dimensions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
