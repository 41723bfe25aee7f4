/*
 * sched.h: the scheduler seam: who runs the server's background loops, and in which order.
 *
 * A task is a step function: it does one bounded piece of work and says whether there is more. In
 * production (kal_sched_threads) each task has its own thread and sleeps until it is woken. In
 * simulation (kal_sched_sim) nothing runs by itself: the test picks among runnable tasks by a seed,
 * so that every interleaving of lanes, jobs and matcher can be replayed.
 *
 *   step -> AGAIN: run me again soon     step -> IDLE: nothing to do until kal_task_wake()
 *
 * A wake that arrives while the step runs is not lost: the task runs once more.
 * Threads: kal_task_wake() from any thread; the rest from the owner.
 */
#ifndef KAL_BASE_SCHED_H
#define KAL_BASE_SCHED_H

#include "base/error.h"

typedef enum kal_step {
    KAL_STEP_IDLE,
    KAL_STEP_AGAIN,
} kal_step;

typedef kal_step (*kal_step_fn)(void *context);
typedef struct kal_task kal_task;
typedef struct kal_sched kal_sched;

kal_sched *kal_sched_threads(void);      /* owned: kal_sched_close */
kal_sched *kal_sched_sim(uint64_t seed); /* owned: kal_sched_close */
void kal_sched_close(kal_sched *sched);  /* asserts that every task was stopped */

/* Adds a task, idle until woken. name as in kal_thread_start(); context is borrowed. */
KAL_MUST_CHECK kal_status kal_sched_spawn(kal_sched *sched, const char *name, kal_step_fn step,
                                          void *context, kal_task **task_out, kal_error *err);
void kal_task_wake(kal_task *task);
/* Wakes the task at this monotonic time at the latest (production), or when the simulated clock is
 * advanced past it (simulation: see kal_sched_sim_tick). 0 cancels. */
void kal_task_wake_at(kal_task *task, uint64_t mono_ns);
/* Waits for a running step to end; the step is not called again. Frees the task: nobody is in
 * kal_task_wake() any more. */
void kal_task_stop(kal_task *task);

/* Simulation only: runs one step of a runnable task chosen by the seed; false if none is runnable.
 */
bool kal_sched_sim_step(kal_sched *sched);
/* Simulation only: marks tasks runnable whose wake_at time has come. */
void kal_sched_sim_tick(kal_sched *sched, uint64_t mono_ns);
bool kal_sched_is_sim(const kal_sched *sched);

#endif
