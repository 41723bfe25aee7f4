#include "jobs/pace.h"
#include "base/process.h"
#include "base/thread.h"

#define MS_NS UINT64_C(1000000)

enum {
    LOOK_MS = 10,  /* as often as this the kernel is asked */
    SLICE_MS = 10, /* of a pause: then it looks whether statements still end */
    PAUSE_MAX_MS = 1000,
    PAUSE_FACTOR = 4,     /* pauses : work */
    PER_WAITING = 16,     /* contended: one thread waits for as many processors */
    LOOK_COST_PART = 100, /* of a processor, to look */
};

static uint64_t ended(const kal_pace *pace)
{
    return pace->statements.ended(pace->statements.context);
}

/* Counts from here on; false where the kernel does not say. */
static bool begin(kal_pace *pace)
{
    kal_pace_counts now = {.ns = kal_clock_mono_ns(pace->clock)};
    const bool said = kal_process_waited_ns(&now.waited_ns);
    const uint64_t cost_ns = (kal_clock_mono_ns(pace->clock) - now.ns) * LOOK_COST_PART;

    now.ran_ns = kal_thread_cpu_ns();
    now.ended = ended(pace);
    pace->look_ns = cost_ns > LOOK_MS * MS_NS ? cost_ns : LOOK_MS * MS_NS;
    pace->begun = now;
    return said;
}

void kal_pace_init(kal_pace *pace, const kal_clock *clock, kal_job_statements statements)
{
    *pace = (kal_pace){.clock = clock,
                       .statements = statements,
                       .thread = pthread_self(),
                       .processors = kal_processors_allowed()};
    if (statements.ended != NULL && !begin(pace))
        pace->statements.ended = NULL;
}

unsigned kal_pace_of(kal_pace_counts seen, unsigned processors)
{
    if (seen.ended == 0 || seen.waited_ns / processors < seen.ns / PER_WAITING)
        return 0;
    uint64_t ms = seen.ran_ns / MS_NS;
    return ms < PAUSE_MAX_MS / PAUSE_FACTOR ? (unsigned)ms * PAUSE_FACTOR : PAUSE_MAX_MS;
}

static kal_pace_counts between(kal_pace_counts from, kal_pace_counts until)
{
    return (kal_pace_counts){
        .ns = until.ns - from.ns,
        .ran_ns = until.ran_ns - from.ran_ns,
        /* A thread that ended took its part of the sum with it. */
        .waited_ns = until.waited_ns > from.waited_ns ? until.waited_ns - from.waited_ns : 0,
        .ended = until.ended - from.ended,
    };
}

unsigned kal_pace_due_ms(kal_pace *pace)
{
    const kal_pace_counts before = pace->begun;

    if (pace->statements.ended == NULL || !pthread_equal(pace->thread, pthread_self()) ||
        kal_clock_mono_ns(pace->clock) - before.ns < pace->look_ns)
        return 0;
    return begin(pace) ? kal_pace_of(between(before, pace->begun), pace->processors) : 0;
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
