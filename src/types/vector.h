/*
 * vector.h: what two embeddings have to do with each other: COSINE_DISTANCE, L2_DISTANCE and
 * DOT_PRODUCT, one implementation for the evaluator and for DuckDB.
 *
 *   COSINE_DISTANCE  1 - cos of the angle, 0 to 2; 1 when either vector is all zeros; NaN when a
 *                    number of either is NaN or infinite
 *   L2_DISTANCE      sqrt(sum (a - b)^2)
 *   DOT_PRODUCT      sum a * b
 *
 * The last two follow IEEE 754: infinity and NaN come through, and a result that no float holds is
 * infinite. All three are symmetric to the bit, and there is one NaN.
 *
 * Sums are kept in double over 16 lanes: number i goes to lane i % 16, and lanes are added in one
 * order (k to k + 8, then k to k + 4, ...). A product of two floats is exact in double, so every
 * implementation (SSE2 or NEON, AVX2) gives the same bits. With n numbers a sum is off by at most
 * (n / 16 + 5) * 2^-53 times the sum of the terms' magnitudes: below 6e-14 of it at 8192. Nothing
 * overflows or is lost below the smallest float before the result is rounded to float. Identical
 * vectors have distance 0.
 *
 * Threads: any.
 */
#ifndef KAL_TYPES_VECTOR_H
#define KAL_TYPES_VECTOR_H

#include "base/bytes.h"
#include "base/error.h"

#define KAL_VECTOR_FUNCTION_LIST(X) X(COSINE_DISTANCE) X(L2_DISTANCE) X(DOT_PRODUCT)

typedef enum kal_vector_function {
#define KAL_VECTOR_ENUM(name) KAL_VECTOR_##name,
    KAL_VECTOR_FUNCTION_LIST(KAL_VECTOR_ENUM)
#undef KAL_VECTOR_ENUM
        KAL_VECTOR_FUNCTION_COUNT
} kal_vector_function;

/* "COSINE_DISTANCE"; static. */
const char *kal_vector_function_name(kal_vector_function function);

/* a and b: little-endian floats at any alignment. KAL_INVALID when they are not equally many. */
KAL_MUST_CHECK kal_status kal_vector_compute(kal_vector_function function, kal_bytes a, kal_bytes b,
                                             float *result_out, kal_error *err);

/* ---- implementations: for tests and benchmarks ---- */

typedef struct kal_vector_sums {
    double ab; /* of a * b; L2_DISTANCE: of (a - b)^2 */
    double aa; /* COSINE_DISTANCE only */
    double bb;
} kal_vector_sums;
typedef void (*kal_vector_kernel)(const uint8_t *a, const uint8_t *b, size_t dim,
                                  kal_vector_sums *sums_out);

typedef struct kal_vector_implementation {
    const char *name; /* static: "sse2", "neon", "portable", "avx2" */
    kal_vector_kernel kernels[KAL_VECTOR_FUNCTION_COUNT];
} kal_vector_implementation;

/* Those that this processor can run; the last one is what kal_vector_compute() uses. */
size_t kal_vector_implementations(const kal_vector_implementation **first_out);
/* dim floats each. */
float kal_vector_compute_by(const kal_vector_implementation *implementation,
                            kal_vector_function function, const uint8_t *a, const uint8_t *b,
                            size_t dim);

#endif
