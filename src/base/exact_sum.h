/*
 * exact_sum.h: a sum of doubles without any rounding, until it is read.
 *
 * Whatever is added can be taken away again, and the order does not matter: what is read is the
 * double nearest to the true sum. 2^-1074 is the unit, digits are of 32 bits in 64, so that carries
 * wait. 600 bytes.
 */
#ifndef KAL_BASE_EXACT_SUM_H
#define KAL_BASE_EXACT_SUM_H

#include "base/defs.h"

#define KAL_EXACT_SUM_DIGITS 70

typedef struct kal_exact_sum { /* zeroed: 0 */
    int64_t digits[KAL_EXACT_SUM_DIGITS];
    uint32_t pending; /* additions since carries were settled */
    int64_t nans;     /* how many of each there are */
    int64_t infinities;
    int64_t negative_infinities;
} kal_exact_sum;

void kal_exact_sum_add(kal_exact_sum *sum, double v);
void kal_exact_sum_remove(kal_exact_sum *sum, double v); /* that was added before */
/* Rounded to nearest, ties to even; NaN and infinities as in arithmetic. */
double kal_exact_sum_read(kal_exact_sum *sum);

#endif
