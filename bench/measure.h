/*
 * measure.h: the clock of the C benchmarks: CPU of this thread, and medians of rounds.
 */
#ifndef KAL_BENCH_MEASURE_H
#define KAL_BENCH_MEASURE_H

#include <stdlib.h>
#include <time.h>

static inline double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the values. */
static inline double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

#endif
