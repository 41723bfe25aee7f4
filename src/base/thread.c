#include "base/thread.h"
#include "base/assert.h"

#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { NAME_BYTES = 16 }; /* with NUL: a limit of the kernel */

typedef struct start {
    kal_thread_fn fn;
    void *context;
    char name[NAME_BYTES];
} start;

static void *run(void *argument)
{
    start s = *(start *)argument;
    free(argument);
    pthread_setname_np(pthread_self(), s.name);
    s.fn(s.context);
    return NULL;
}

/* The thread inherits the mask of its maker, so all signals are blocked around its making: there
 * is no moment in which it could be chosen for one. */
static int create_masked(pthread_t *thread_out, const pthread_attr_t *attributes, start *s)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    KAL_ASSERT(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    int error = pthread_create(thread_out, attributes, run, s);
    KAL_ASSERT(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return error;
}

kal_status kal_thread_start(pthread_t *thread_out, const char *name, size_t stack_bytes,
                            kal_thread_fn fn, void *context, kal_error *err)
{
    pthread_attr_t attributes;
    KAL_ASSERT(strlen(name) < NAME_BYTES);
    start *s = malloc(sizeof *s); /* owned by the new thread once it runs */
    if (s == NULL)
        kal_die("out of memory: thread '%s'", name);
    *s = (start){.fn = fn, .context = context};
    snprintf(s->name, sizeof s->name, "%s", name);

    KAL_ASSERT(pthread_attr_init(&attributes) == 0);
    if (stack_bytes != 0 && stack_bytes < (size_t)PTHREAD_STACK_MIN)
        stack_bytes = (size_t)PTHREAD_STACK_MIN;
    int error = stack_bytes == 0 ? 0 : pthread_attr_setstacksize(&attributes, stack_bytes);
    if (error == 0)
        error = create_masked(thread_out, &attributes, s);
    pthread_attr_destroy(&attributes);
    if (error == 0)
        return KAL_OK;
    free(s);
    return kal_error_set(err, KAL_IO, "cannot start thread '%s': %s", name, strerror(error));
}

/* The kernel's struct sched_attr in its first size: linux/sched/types.h and sched.h exclude each
 * other. Source: sched_setattr(2). */
typedef struct scheduling {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns; /* of SCHED_OTHER: the slice; ignored before Linux 6.12 */
    uint64_t deadline_ns;
    uint64_t period_ns;
} scheduling;

/* If it is refused, nothing is lost. */
void kal_thread_lower_priority(void)
{
    enum { NICE = 10, SLICE_NS = 100000 };
    const id_t self = (id_t)syscall(SYS_gettid);
    if (sched_getscheduler(0) != SCHED_OTHER || getpriority(PRIO_PROCESS, self) > NICE)
        return; /* the whole server has a lower one */
    scheduling attributes = {
        .size = sizeof attributes, .policy = SCHED_OTHER, .nice = NICE, .runtime_ns = SLICE_NS};
    (void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

void kal_thread_pause(unsigned ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L};
    nanosleep(&pause, NULL);
}

void kal_cond_wait_for(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t ns)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec += (long)(ns % 1000000000);
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(condition, lock, &until);
}
