/*
 * clock.h: the time seam. Nothing outside clock.c asks the operating system for the time, so that
 * a simulation decides it.
 */
#ifndef KAL_BASE_CLOCK_H
#define KAL_BASE_CLOCK_H

#include "base/defs.h"

typedef struct kal_clock {
    int64_t (*wall_us)(void *context);  /* microseconds since 1970-01-01 UTC; may step */
    uint64_t (*mono_ns)(void *context); /* nanoseconds since an arbitrary start; never steps back */
    void *context;                      /* borrowed */
} kal_clock;

/* The operating system's clocks; static, never freed. */
const kal_clock *kal_clock_system(void);

/* A clock that stands still until it is moved. */
typedef struct kal_sim_clock {
    kal_clock clock; /* use &sim->clock; its context points at this struct, so do not move it */
    int64_t now_us;
} kal_sim_clock;
void kal_sim_clock_init(kal_sim_clock *sim, int64_t start_us);
void kal_sim_clock_advance(kal_sim_clock *sim, int64_t us);

static inline int64_t kal_clock_wall_us(const kal_clock *clock)
{
    return clock->wall_us(clock->context);
}
static inline uint64_t kal_clock_mono_ns(const kal_clock *clock)
{
    return clock->mono_ns(clock->context);
}

#endif
