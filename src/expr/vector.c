#include "expr/expr.h"

#include <math.h>

/* Sums are kept in double over blocks of eight independent lanes, so that the compiler can use
 * vector instructions and long vectors lose no digits. */
float kal_cosine_distance(const uint8_t *a, const uint8_t *b, size_t dim)
{
    double dot[8] = {0};
    double aa[8] = {0};
    double bb[8] = {0};
    size_t i = 0;

    for (; i + 8 <= dim; i += 8) {
        float x[8];
        float y[8];
        memcpy(x, a + i * sizeof(float), sizeof x);
        memcpy(y, b + i * sizeof(float), sizeof y);
        for (size_t k = 0; k < 8; k++) {
            dot[k] += (double)x[k] * (double)y[k];
            aa[k] += (double)x[k] * (double)x[k];
            bb[k] += (double)y[k] * (double)y[k];
        }
    }
    for (; i < dim; i++) {
        float x;
        float y;
        memcpy(&x, a + i * sizeof x, sizeof x);
        memcpy(&y, b + i * sizeof y, sizeof y);
        dot[0] += (double)x * (double)y;
        aa[0] += (double)x * (double)x;
        bb[0] += (double)y * (double)y;
    }
    for (size_t k = 1; k < 8; k++) {
        dot[0] += dot[k];
        aa[0] += aa[k];
        bb[0] += bb[k];
    }
    if (aa[0] == 0 || bb[0] == 0)
        return 1.0f;
    double cosine = dot[0] / sqrt(aa[0] * bb[0]);
    if (cosine > 1)
        cosine = 1;
    if (cosine < -1)
        cosine = -1;
    return (float)(1 - cosine);
}
