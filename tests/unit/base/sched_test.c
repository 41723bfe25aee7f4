#include "base/clock.h"
#include "base/sched.h"
#include "base/thread.h"
#include "unit/base/seed.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { TASKS = 5, TRACE_MAX = 1000 };

/* What simulated tasks did, in order. */
typedef struct trace {
    char letters[TRACE_MAX];
    size_t len;
} trace;

typedef struct actor {
    trace *trace;
    char letter;
    int steps_left;
    kal_task *wakes; /* woken by every step, may be NULL */
} actor;

static kal_step act(void *context)
{
    actor *a = context;
    if (a->trace->len < TRACE_MAX)
        a->trace->letters[a->trace->len++] = a->letter;
    if (a->wakes != NULL)
        kal_task_wake(a->wakes);
    return --a->steps_left > 0 ? KAL_STEP_AGAIN : KAL_STEP_IDLE;
}

static void run_simulation(uint64_t seed, trace *t)
{
    kal_sched *sched = kal_sched_sim(seed);
    actor actors[TASKS];
    kal_task *tasks[TASKS];
    t->len = 0;
    for (int i = 0; i < TASKS; i++) {
        actors[i] = (actor){.trace = t, .letter = (char)('a' + i), .steps_left = 20};
        assert_int_equal(kal_sched_spawn(sched, "actor", act, &actors[i], &tasks[i], NULL), KAL_OK);
    }
    assert_false(kal_sched_sim_step(sched)); /* idle until woken */
    for (int i = 0; i < TASKS; i++)
        kal_task_wake(tasks[i]);
    while (kal_sched_sim_step(sched)) {
    }
    for (int i = 0; i < TASKS; i++)
        kal_task_stop(tasks[i]);
    kal_sched_close(sched);
}

/* Goal: the seed alone decides the order; different seeds give different orders; every task gets
 * all its steps. */
static void test_sim_is_deterministic(void **state)
{
    static trace first;
    static trace again;
    kal_rng rng;
    size_t different = 0;
    (void)state;
    uint64_t seed = kal_test_seed(&rng);
    run_simulation(seed, &first);
    assert_int_equal(first.len, TASKS * 20);
    for (int i = 0; i < 20; i++) {
        run_simulation(seed, &again);
        assert_int_equal(again.len, first.len);
        assert_memory_equal(first.letters, again.letters, first.len);
        run_simulation(seed + 1 + (uint64_t)i, &again);
        assert_int_equal(again.len, first.len);
        different += memcmp(first.letters, again.letters, first.len) != 0 ? 1 : 0;
    }
    assert_true(different >= 19);
}

static kal_step wake_self_once(void *context)
{
    actor *a = context;
    a->trace->letters[a->trace->len++] = a->letter;
    if (a->steps_left-- > 0)
        kal_task_wake(a->wakes);
    return KAL_STEP_IDLE;
}

/* Goal: a wake that arrives during the step is not lost, and none is invented. */
static void test_sim_wake_during_step(void **state)
{
    trace t = {.len = 0};
    actor a = {.trace = &t, .letter = 'x', .steps_left = 1};
    kal_sched *sched = kal_sched_sim(1);
    (void)state;
    assert_true(kal_sched_is_sim(sched));
    assert_int_equal(kal_sched_spawn(sched, "self", wake_self_once, &a, &a.wakes, NULL), KAL_OK);
    kal_task_wake(a.wakes);
    kal_task_wake(a.wakes); /* two wakes before a step are one */
    assert_true(kal_sched_sim_step(sched));
    assert_true(kal_sched_sim_step(sched));
    assert_false(kal_sched_sim_step(sched));
    assert_int_equal(t.len, 2);
    kal_task_stop(a.wakes);
    kal_sched_close(sched);
}

/* Goal: a time to wake comes with the tick that reaches it, once; 0 cancels it. */
static void test_sim_wake_at(void **state)
{
    trace t = {.len = 0};
    actor a = {.trace = &t, .letter = 'x', .steps_left = 1};
    kal_task *task = NULL;
    kal_sched *sched = kal_sched_sim(1);
    (void)state;
    assert_int_equal(kal_sched_spawn(sched, "timer", act, &a, &task, NULL), KAL_OK);
    kal_task_wake_at(task, 100);
    kal_sched_sim_tick(sched, 99);
    assert_false(kal_sched_sim_step(sched));
    kal_sched_sim_tick(sched, 100);
    assert_true(kal_sched_sim_step(sched));
    kal_sched_sim_tick(sched, 200);
    assert_false(kal_sched_sim_step(sched));
    kal_task_wake_at(task, 300);
    kal_task_wake_at(task, 0);
    kal_sched_sim_tick(sched, 400);
    assert_false(kal_sched_sim_step(sched));
    kal_task_stop(task);
    kal_sched_close(sched);
}

/* A task that waits for another by running the simulation itself. */
typedef struct nested {
    kal_sched *sched;
    kal_task *self;
    int entered;
    int depth;
    int depth_max;
} nested;

static kal_step run_others(void *context)
{
    nested *n = context;
    n->entered++;
    n->depth++;
    n->depth_max = n->depth > n->depth_max ? n->depth : n->depth_max;
    kal_task_wake(n->self);
    while (n->entered == 1 && kal_sched_sim_step(n->sched)) {
    }
    n->depth--;
    return KAL_STEP_IDLE;
}

/* Goal: a task is never entered while it runs, also when its step runs steps. */
static void test_sim_nested(void **state)
{
    trace t = {.len = 0};
    actor other = {.trace = &t, .letter = 'o', .steps_left = 3};
    kal_task *other_task = NULL;
    nested n = {.sched = kal_sched_sim(3)};
    (void)state;
    assert_int_equal(kal_sched_spawn(n.sched, "outer", run_others, &n, &n.self, NULL), KAL_OK);
    kal_task_wake(n.self);
    assert_int_equal(kal_sched_spawn(n.sched, "other", act, &other, &other_task, NULL), KAL_OK);
    kal_task_wake(other_task);
    while (n.entered < 2)
        assert_true(kal_sched_sim_step(n.sched));
    assert_int_equal(n.depth_max, 1);
    assert_int_equal(t.len, 3);
    kal_task_stop(n.self);
    kal_task_stop(other_task);
    kal_sched_close(n.sched);
}

/* A task on a thread that takes from a counter what others put there. */
typedef struct consumer {
    _Atomic int waiting;
    _Atomic int taken;
    _Atomic int inside;
    _Atomic bool overlapped;
} consumer;

static kal_step consume_one(void *context)
{
    consumer *c = context;
    if (atomic_fetch_add(&c->inside, 1) != 0)
        atomic_store(&c->overlapped, true);
    kal_step more = KAL_STEP_IDLE;
    if (atomic_load(&c->waiting) > 0) {
        atomic_fetch_sub(&c->waiting, 1);
        atomic_fetch_add(&c->taken, 1);
        more = KAL_STEP_AGAIN;
    }
    atomic_fetch_sub(&c->inside, 1);
    return more;
}

static bool wait_until(const _Atomic int *counter, int wanted)
{
    for (int i = 0; i < 10000; i++) { /* 10 s */
        if (atomic_load(counter) >= wanted)
            return true;
        usleep(1000);
    }
    return false;
}

typedef struct producer {
    pthread_t thread;
    consumer *consumer;
    kal_task *task;
} producer;

enum { PRODUCERS = 3, PRODUCED = 2000 };

static void produce(void *context)
{
    producer *p = context;
    for (int i = 0; i < PRODUCED; i++) {
        atomic_fetch_add(&p->consumer->waiting, 1);
        kal_task_wake(p->task);
    }
}

/* Goal: no wake is lost between threads, and a task is never in two steps at once. Method: three
 * threads put work and wake; all of it must be taken without any later wake. */
static void test_threads_lose_no_wake(void **state)
{
    consumer c = {0};
    producer producers[PRODUCERS];
    kal_task *task = NULL;
    kal_sched *sched = kal_sched_threads();
    (void)state;
    assert_false(kal_sched_is_sim(sched));
    assert_int_equal(kal_sched_spawn(sched, "consumer", consume_one, &c, &task, NULL), KAL_OK);
    for (size_t i = 0; i < PRODUCERS; i++) {
        producers[i] = (producer){.consumer = &c, .task = task};
        assert_int_equal(
            kal_thread_start(&producers[i].thread, "producer", 0, produce, &producers[i], NULL),
            KAL_OK);
    }
    for (size_t i = 0; i < PRODUCERS; i++)
        assert_int_equal(pthread_join(producers[i].thread, NULL), 0);
    assert_true(wait_until(&c.taken, PRODUCERS * PRODUCED));
    kal_task_stop(task);
    assert_int_equal(c.taken, PRODUCERS * PRODUCED);
    assert_int_equal(c.waiting, 0);
    assert_false(c.overlapped);
    kal_sched_close(sched);
}

static kal_step count_step(void *context)
{
    atomic_fetch_add((_Atomic int *)context, 1);
    return KAL_STEP_IDLE;
}

/* Goal: a task wakes by time, not before it, and once. */
static void test_threads_wake_at(void **state)
{
    _Atomic int steps = 0;
    kal_task *task = NULL;
    kal_sched *sched = kal_sched_threads();
    const kal_clock *clock = kal_clock_system();
    (void)state;
    assert_int_equal(kal_sched_spawn(sched, "timer", count_step, &steps, &task, NULL), KAL_OK);
    uint64_t wake_at = kal_clock_mono_ns(clock) + 30 * 1000000;
    kal_task_wake_at(task, wake_at);
    while (atomic_load(&steps) == 0)
        usleep(500);
    assert_true(kal_clock_mono_ns(clock) >= wake_at);
    usleep(20000);
    assert_int_equal(steps, 1);
    kal_task_wake_at(task, kal_clock_mono_ns(clock) + 30 * 1000000);
    kal_task_wake_at(task, 0); /* cancelled */
    usleep(60000);
    assert_int_equal(steps, 1);
    kal_task_wake_at(task, 1); /* long past: at once */
    assert_true(wait_until(&steps, 2));
    kal_task_stop(task);
    kal_sched_close(sched);
}

typedef struct slow {
    _Atomic int began;
    _Atomic int ended;
} slow;

static kal_step slow_step(void *context)
{
    slow *s = context;
    atomic_fetch_add(&s->began, 1);
    usleep(30000);
    atomic_fetch_add(&s->ended, 1);
    return KAL_STEP_AGAIN;
}

/* Goal: stopping waits for the running step and none follows. */
static void test_threads_stop(void **state)
{
    slow s = {0};
    kal_task *task = NULL;
    kal_sched *sched = kal_sched_threads();
    (void)state;
    assert_int_equal(kal_sched_spawn(sched, "slow", slow_step, &s, &task, NULL), KAL_OK);
    kal_task_wake(task);
    assert_true(wait_until(&s.began, 1));
    kal_task_stop(task);
    assert_int_equal(s.began, s.ended);
    int ended = s.ended;
    usleep(50000);
    assert_int_equal(s.ended, ended);
    kal_sched_close(sched);
}

typedef struct thread_facts {
    char name[16];
    size_t stack_bytes;
    bool term_blocked;
} thread_facts;

static void look_around(void *context)
{
    thread_facts *facts = context;
    pthread_attr_t attributes;
    sigset_t mask;
    pthread_getname_np(pthread_self(), facts->name, sizeof facts->name);
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        pthread_attr_getstacksize(&attributes, &facts->stack_bytes);
        pthread_attr_destroy(&attributes);
    }
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    facts->term_blocked = sigismember(&mask, SIGTERM) == 1;
}

/* Goal: a thread has its name, its stack and no signals; its maker's mask is as before. */
static void test_thread_facts(void **state)
{
    thread_facts facts = {0};
    pthread_t thread;
    sigset_t mask;
    kal_error err = KAL_ERROR_INIT;
    (void)state;
    assert_int_equal(
        kal_thread_start(&thread, "fifteen-letters", 1 << 20, look_around, &facts, &err), KAL_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(facts.name, "fifteen-letters");
    assert_in_range(facts.stack_bytes, 1 << 20, 2 << 20);
    assert_true(facts.term_blocked);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_int_equal(sigismember(&mask, SIGTERM), 0);
    /* More than the address space: refused in words. */
    assert_int_equal(kal_thread_start(&thread, "vast", SIZE_MAX / 4, look_around, &facts, &err),
                     KAL_IO);
    assert_non_null(strstr(err.message, "cannot start thread 'vast'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sim_is_deterministic), cmocka_unit_test(test_sim_wake_during_step),
        cmocka_unit_test(test_sim_wake_at),          cmocka_unit_test(test_sim_nested),
        cmocka_unit_test(test_threads_lose_no_wake), cmocka_unit_test(test_threads_wake_at),
        cmocka_unit_test(test_threads_stop),         cmocka_unit_test(test_thread_facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
