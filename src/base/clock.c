#include "base/clock.h"
#include "base/assert.h"

#include <time.h>

static int64_t system_wall_us(void *context)
{
    struct timespec now;
    (void)context;
    KAL_ASSERT(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static uint64_t system_mono_ns(void *context)
{
    struct timespec now;
    (void)context;
    KAL_ASSERT(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

const kal_clock *kal_clock_system(void)
{
    static const kal_clock SYSTEM = {.wall_us = system_wall_us, .mono_ns = system_mono_ns};
    return &SYSTEM;
}

static int64_t sim_wall_us(void *context)
{
    const kal_sim_clock *sim = context;
    return sim->now_us;
}

/* The monotonic clock of a simulation is its wall clock: it never steps back because advance()
 * refuses to; a test that wants a stepping wall clock sets now_us itself. */
static uint64_t sim_mono_ns(void *context)
{
    const kal_sim_clock *sim = context;
    return (uint64_t)sim->now_us * 1000;
}

void kal_sim_clock_init(kal_sim_clock *sim, int64_t start_us)
{
    *sim = (kal_sim_clock){
        .clock = {.wall_us = sim_wall_us, .mono_ns = sim_mono_ns, .context = sim},
        .now_us = start_us,
    };
}

void kal_sim_clock_advance(kal_sim_clock *sim, int64_t us)
{
    KAL_ASSERT(us >= 0);
    KAL_ASSERT(kal_try_add(sim->now_us, us, &sim->now_us));
}
