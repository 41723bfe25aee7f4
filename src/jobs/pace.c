#include "jobs/pace.h"
#include "base/process.h"
#include "base/thread.h"

#define MS_NS UINT64_C(1000000)

enum {
    LOOK_MS = 10,  /* as often as this the kernel is asked */
    SLICE_MS = 10, /* of a pause: then it looks whether statements still end */
    PAUSE_MAX_MS = 1000,
    PAUSE_FACTOR = 3,    /* pauses : work */
    CONTENDED_PART = 16, /* contended: it waited for a sixteenth of the time that it ran */
};

static uint64_t ended(const kal_pace *pace)
{
    return pace->statements.ended(pace->statements.context);
}

/* Counts from here on; false where the kernel does not say. */
static bool begin(kal_pace *pace)
{
    pace->since_ns = kal_clock_mono_ns(pace->clock);
    pace->ended = ended(pace);
    return kal_thread_times(&pace->ran_ns, &pace->waited_ns);
}

void kal_pace_init(kal_pace *pace, const kal_clock *clock, kal_job_statements statements)
{
    *pace = (kal_pace){.clock = clock, .statements = statements, .thread = pthread_self()};
    if (statements.ended != NULL && !begin(pace))
        pace->statements.ended = NULL;
}

unsigned kal_pace_of(uint64_t ran_ns, uint64_t waited_ns, uint64_t ended)
{
    if (ended == 0 || waited_ns < ran_ns / CONTENDED_PART)
        return 0;
    uint64_t ms = ran_ns / MS_NS;
    return ms < PAUSE_MAX_MS / PAUSE_FACTOR ? (unsigned)ms * PAUSE_FACTOR : PAUSE_MAX_MS;
}

unsigned kal_pace_due_ms(kal_pace *pace)
{
    if (pace->statements.ended == NULL || !pthread_equal(pace->thread, pthread_self()) ||
        kal_clock_mono_ns(pace->clock) - pace->since_ns < LOOK_MS * MS_NS)
        return 0;
    const kal_pace before = *pace;
    if (!begin(pace))
        return 0;
    return kal_pace_of(pace->ran_ns - before.ran_ns, pace->waited_ns - before.waited_ns,
                       pace->ended - before.ended);
}

unsigned kal_pace_pause(kal_pace *pace, unsigned ms)
{
    const unsigned slice = ms < SLICE_MS ? ms : SLICE_MS;
    const uint64_t before = ended(pace);

    kal_thread_pause(slice);
    if (ended(pace) != before && slice < ms)
        return ms - slice;
    (void)begin(pace); /* what else wanted the processor meanwhile does not count */
    return 0;
}

unsigned kal_pace_give_way(kal_pace *pace, bool (*is_to_end)(void *context), void *context)
{
    const unsigned due = kal_pace_due_ms(pace);

    for (unsigned ms = due; ms > 0 && !is_to_end(context);)
        ms = kal_pace_pause(pace, ms);
    return due;
}
