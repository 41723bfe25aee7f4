/*
 * pace.h: a job gives way to statements where there are too few processors for both.
 *
 * The kernel says how long each thread had to wait for a processor. While one of the server's
 * threads waits for every sixteen processors, on average, and statements end, the job pauses for
 * four times as long as it has worked, or until no statement ends any more: it takes a fifth of a
 * processor then, and never less. With a free processor, or without statements, it does not pause.
 *
 * How long the job itself had to wait says little: the kernel likes to leave one processor to it
 * and all statements on another. A low priority alone does not do, either: a thread that always
 * wants a processor still gets whatever others leave for a moment, and keeps it for its slice.
 *
 * A job pauses where it says so: while it holds nothing that anybody waits for.
 *
 * Threads: one.
 */
#ifndef KAL_JOBS_PACE_H
#define KAL_JOBS_PACE_H

#include "base/clock.h"

#include <pthread.h>

/* How many statements have ended since the start. */
typedef struct kal_job_statements {
    uint64_t (*ended)(void *context); /* NULL: there are none to give way to */
    void *context;
} kal_job_statements;

/* Since some moment. */
typedef struct kal_pace_counts {
    uint64_t ns;        /* that went by */
    uint64_t ran_ns;    /* the job's thread */
    uint64_t waited_ns; /* all threads, for a processor */
    uint64_t ended;     /* statements */
} kal_pace_counts;

typedef struct kal_pace {
    const kal_clock *clock; /* borrowed */
    kal_job_statements statements;
    pthread_t thread;
    unsigned processors;
    kal_pace_counts begun; /* what counts begins here */
    uint64_t look_ns;      /* not sooner behind it is it worth to look again */
} kal_pace;

/* Of the calling thread. clock is borrowed. */
void kal_pace_init(kal_pace *pace, const kal_clock *clock, kal_job_statements statements);

/* How long to pause now, in ms; mostly 0, as on any other thread and where the kernel does not
 * say. */
unsigned kal_pace_due_ms(kal_pace *pace);
/* Pauses for a part of that; returns what is left: 0 when no statement ended meanwhile. */
unsigned kal_pace_pause(kal_pace *pace, unsigned ms);

/* The same until nothing is left, or it is to end. Returns for how many ms it was due to pause. */
unsigned kal_pace_give_way(kal_pace *pace, bool (*is_to_end)(void *context), void *context);

/* The rule alone. */
unsigned kal_pace_of(kal_pace_counts seen, unsigned processors);

#endif
