#include "base/exact_sum.h"

#include <math.h>
#include <string.h>

enum {
    DIGIT_BITS = 32,
    FRACTION_BITS = 52,
    EXPONENT_MAX = 0x7ff,
    PENDING_MAX = 1 << 29, /* each adds less than 2^33 to a digit */
    MANTISSA_BITS = 53,
    UNIT_EXPONENT = -1074,
};

__extension__ typedef unsigned __int128 wide;

#define DIGIT_MASK ((INT64_C(1) << DIGIT_BITS) - 1)

/* All digits but the last one into [0, 2^32); the last one has the sign. */
static void settle(kal_exact_sum *sum)
{
    int64_t carry = 0;
    for (size_t i = 0; i < KAL_EXACT_SUM_DIGITS - 1; i++) {
        int64_t digit = sum->digits[i] + carry;
        carry = digit >> DIGIT_BITS; /* rounds down, also below 0 */
        sum->digits[i] = digit & DIGIT_MASK;
    }
    sum->digits[KAL_EXACT_SUM_DIGITS - 1] += carry;
    sum->pending = 0;
}

static void add_special(kal_exact_sum *sum, double v, int64_t count)
{
    if (isnan(v))
        sum->nans += count;
    else if (v > 0)
        sum->infinities += count;
    else
        sum->negative_infinities += count;
}

static void add_signed(kal_exact_sum *sum, double v, int64_t sign)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    unsigned exponent = (unsigned)(bits >> FRACTION_BITS) & EXPONENT_MAX;
    uint64_t mantissa = bits & ((UINT64_C(1) << FRACTION_BITS) - 1);

    if (exponent == EXPONENT_MAX) {
        add_special(sum, v, sign);
        return;
    }
    if (exponent > 0)
        mantissa |= UINT64_C(1) << FRACTION_BITS;
    unsigned shift = exponent > 0 ? exponent - 1 : 0; /* in units */
    wide shifted = (wide)mantissa << (shift % DIGIT_BITS);
    if ((bits >> 63) != 0)
        sign = -sign;
    for (size_t i = shift / DIGIT_BITS; shifted != 0; i++) {
        sum->digits[i] += sign * (int64_t)(uint64_t)(shifted & (wide)DIGIT_MASK);
        shifted >>= DIGIT_BITS;
    }
    if (++sum->pending >= PENDING_MAX)
        settle(sum);
}

void kal_exact_sum_add(kal_exact_sum *sum, double v)
{
    add_signed(sum, v, 1);
}

void kal_exact_sum_remove(kal_exact_sum *sum, double v)
{
    add_signed(sum, v, -1);
}

/* The digits of a positive number, from `top` down: the 53 bits that stay, rounded. */
static double round_digits(const int64_t *digits, size_t top)
{
    wide window = 0; /* the highest three digits that there are */
    size_t low = top >= 2 ? top - 2 : 0;
    bool is_inexact = false;

    for (size_t i = top + 1; i-- > low;)
        window = window << DIGIT_BITS | (wide)(uint64_t)digits[i];
    for (size_t i = 0; i < low; i++)
        is_inexact = is_inexact || digits[i] != 0;
    int exponent = UNIT_EXPONENT + (int)low * DIGIT_BITS;
    int excess = 0;
    while (window >> (MANTISSA_BITS + excess) != 0)
        excess++;
    if (excess > 0) {
        wide rest = window & (((wide)1 << excess) - 1);
        wide half = (wide)1 << (excess - 1);
        window >>= excess;
        if (rest > half || (rest == half && (is_inexact || (window & 1) != 0)))
            window++;
        exponent += excess;
    }
    return ldexp((double)(uint64_t)window, exponent);
}

double kal_exact_sum_read(kal_exact_sum *sum)
{
    int64_t digits[KAL_EXACT_SUM_DIGITS];

    if (sum->nans > 0 || (sum->infinities > 0 && sum->negative_infinities > 0))
        return (double)NAN;
    if (sum->infinities > 0 || sum->negative_infinities > 0)
        return sum->infinities > 0 ? (double)INFINITY : -(double)INFINITY;
    settle(sum);
    bool is_negative = sum->digits[KAL_EXACT_SUM_DIGITS - 1] < 0;
    kal_exact_sum positive = {0};
    for (size_t i = 0; i < KAL_EXACT_SUM_DIGITS; i++)
        positive.digits[i] = is_negative ? -sum->digits[i] : sum->digits[i];
    settle(&positive);
    memcpy(digits, positive.digits, sizeof digits);
    size_t top = KAL_EXACT_SUM_DIGITS - 1;
    while (top > 0 && digits[top] == 0)
        top--;
    double v = round_digits(digits, top);
    return is_negative ? -v : v;
}
