/*
 * sched.c: tasks on threads, or on nothing but a seed.
 *
 * A task of the threads scheduler is a thread that loops: wait for a reason to run, take it, step
 * without the lock. In simulation a task is a flag; kal_sched_sim_step() draws among those whose
 * flag is set, in the order in which they were spawned, so the draw depends on the seed and on what
 * was woken, never on addresses or threads.
 */
#include "base/sched.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/rng.h"
#include "base/thread.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

struct kal_sched {
    bool simulated;
    _Atomic size_t task_count;
    kal_list tasks; /* simulation: kal_task.link, in spawn order */
    kal_rng rng;    /* simulation */
};

struct kal_task {
    kal_sched *sched; /* borrowed */
    kal_step_fn step;
    void *context; /* borrowed */

    /* Simulation */
    kal_list link;
    _Atomic bool runnable;
    _Atomic uint64_t sim_wake_at_ns;
    bool running;

    /* Threads */
    pthread_t thread;
    pthread_mutex_t lock; /* protects what follows */
    pthread_cond_t changed;
    bool woken;
    bool stopping;
    uint64_t wake_at_ns; /* 0 = never */
};

static kal_sched *sched_open(bool simulated)
{
    kal_sched *sched = calloc(1, sizeof *sched);
    if (sched == NULL)
        kal_die("out of memory: scheduler");
    sched->simulated = simulated;
    kal_list_init(&sched->tasks);
    return sched;
}

kal_sched *kal_sched_threads(void)
{
    return sched_open(false);
}

kal_sched *kal_sched_sim(uint64_t seed)
{
    kal_sched *sched = sched_open(true);
    kal_rng_seed(&sched->rng, seed);
    return sched;
}

void kal_sched_close(kal_sched *sched)
{
    if (sched == NULL)
        return;
    KAL_ASSERT(atomic_load(&sched->task_count) == 0);
    free(sched);
}

bool kal_sched_is_sim(const kal_sched *sched)
{
    return sched->simulated;
}

/* Returns when there is a reason to run; false when the task is to end. The lock is held. */
static bool wait_for_reason(kal_task *task)
{
    while (!task->stopping && !task->woken) {
        if (task->wake_at_ns == 0) {
            pthread_cond_wait(&task->changed, &task->lock);
            continue;
        }
        struct timespec until = {.tv_sec = (time_t)(task->wake_at_ns / 1000000000),
                                 .tv_nsec = (long)(task->wake_at_ns % 1000000000)};
        uint64_t waited_for = task->wake_at_ns;
        int error = pthread_cond_timedwait(&task->changed, &task->lock, &until);
        if (error == ETIMEDOUT && task->wake_at_ns == waited_for) {
            task->wake_at_ns = 0;
            task->woken = true;
        }
    }
    return !task->stopping;
}

static void run_task(void *context)
{
    kal_task *task = context;
    pthread_mutex_lock(&task->lock);
    while (wait_for_reason(task)) {
        task->woken = false; /* a wake from here on belongs to the next step */
        pthread_mutex_unlock(&task->lock);
        kal_step more = task->step(task->context);
        pthread_mutex_lock(&task->lock);
        if (more == KAL_STEP_AGAIN)
            task->woken = true;
    }
    pthread_mutex_unlock(&task->lock);
}

static void init_thread_parts(kal_task *task)
{
    pthread_condattr_t attributes;
    KAL_ASSERT(pthread_condattr_init(&attributes) == 0);
    KAL_ASSERT(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    KAL_ASSERT(pthread_cond_init(&task->changed, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
    KAL_ASSERT(pthread_mutex_init(&task->lock, NULL) == 0);
}

static void free_thread_task(kal_task *task)
{
    pthread_cond_destroy(&task->changed);
    pthread_mutex_destroy(&task->lock);
    free(task);
}

kal_status kal_sched_spawn(kal_sched *sched, const char *name, kal_step_fn step, void *context,
                           kal_task **task_out, kal_error *err)
{
    *task_out = NULL;
    kal_task *task = calloc(1, sizeof *task);
    if (task == NULL)
        kal_die("out of memory: task '%s'", name);
    task->sched = sched;
    task->step = step;
    task->context = context;
    if (sched->simulated) {
        kal_list_push_back(&sched->tasks, &task->link);
    } else {
        init_thread_parts(task);
        kal_status status = kal_thread_start(&task->thread, name, 0, run_task, task, err);
        if (status != KAL_OK) {
            free_thread_task(task);
            return status;
        }
    }
    atomic_fetch_add(&sched->task_count, 1);
    *task_out = task;
    return KAL_OK;
}

void kal_task_wake(kal_task *task)
{
    if (task->sched->simulated) {
        atomic_store(&task->runnable, true);
        return;
    }
    pthread_mutex_lock(&task->lock);
    bool is_first = !task->woken;
    task->woken = true;
    pthread_mutex_unlock(&task->lock);
    if (is_first) /* without the lock: who wakes up would only wait for it */
        pthread_cond_signal(&task->changed);
}

void kal_task_wake_at(kal_task *task, uint64_t mono_ns)
{
    if (task->sched->simulated) {
        atomic_store(&task->sim_wake_at_ns, mono_ns);
        return;
    }
    pthread_mutex_lock(&task->lock);
    task->wake_at_ns = mono_ns;
    pthread_cond_signal(&task->changed);
    pthread_mutex_unlock(&task->lock);
}

void kal_task_stop(kal_task *task)
{
    kal_sched *sched = task->sched;
    if (sched->simulated) {
        KAL_ASSERT(!task->running);
        kal_list_remove(&task->link);
        free(task);
    } else {
        KAL_ASSERT(!pthread_equal(task->thread, pthread_self()));
        pthread_mutex_lock(&task->lock);
        task->stopping = true;
        pthread_cond_signal(&task->changed);
        pthread_mutex_unlock(&task->lock);
        KAL_ASSERT(pthread_join(task->thread, NULL) == 0);
        free_thread_task(task);
    }
    atomic_fetch_sub(&sched->task_count, 1);
}

static kal_task *task_of(kal_list *link)
{
    return KAL_CONTAINER_OF(link, kal_task, link);
}

/* A step may itself run steps (a simulated client that waits for an answer); a task is then not
 * entered a second time. */
static bool can_run(kal_task *task)
{
    return atomic_load(&task->runnable) && !task->running;
}

bool kal_sched_sim_step(kal_sched *sched)
{
    KAL_ASSERT(sched->simulated);
    size_t count = 0;
    KAL_LIST_FOR_EACH (link, &sched->tasks) {
        count += can_run(task_of(link)) ? 1 : 0;
    }
    if (count == 0)
        return false;
    uint64_t chosen = kal_rng_below(&sched->rng, count);
    kal_task *task = NULL;
    KAL_LIST_FOR_EACH (link, &sched->tasks) {
        task = task_of(link);
        if (can_run(task) && chosen-- == 0)
            break;
    }
    atomic_store(&task->runnable, false);
    task->running = true;
    kal_step more = task->step(task->context);
    task->running = false;
    if (more == KAL_STEP_AGAIN)
        atomic_store(&task->runnable, true);
    return true;
}

void kal_sched_sim_tick(kal_sched *sched, uint64_t mono_ns)
{
    KAL_ASSERT(sched->simulated);
    KAL_LIST_FOR_EACH (link, &sched->tasks) {
        kal_task *task = task_of(link);
        uint64_t wake_at = atomic_load(&task->sim_wake_at_ns);
        if (wake_at == 0 || wake_at > mono_ns)
            continue;
        atomic_store(&task->sim_wake_at_ns, 0);
        atomic_store(&task->runnable, true);
    }
}
