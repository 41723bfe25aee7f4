/*
 * pace_test.c: when a job pauses for statements, and for how long.
 *
 * Method: the rule by itself; then a thread that counts statements and the job's on one processor,
 * where each must wait for the other.
 */
#include "base/process.h"
#include "jobs/pace.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MS = 1000000, PATIENCE_S = 60 };

static void the_rule(void **state)
{
    (void)state;
    assert_int_equal(kal_pace_of(40 * MS, 10 * MS, 5), 120);
    assert_int_equal(kal_pace_of(40 * MS, 10 * MS, 0), 0); /* nobody to give way to */
    assert_int_equal(kal_pace_of(40 * MS, 0, 5), 0);       /* a processor was free */
    assert_int_equal(kal_pace_of(40 * MS, 2 * MS, 5), 0);
    assert_int_equal(kal_pace_of(40 * MS, 3 * MS, 5), 120);
    assert_int_equal(kal_pace_of(0, 10 * MS, 5), 0); /* it has not worked */
    assert_int_equal(kal_pace_of(UINT64_MAX, UINT64_MAX, 5), 1000);
}

typedef struct rival {
    _Atomic uint64_t ended;
    _Atomic bool stop;
} rival;

static uint64_t ended(void *context)
{
    rival *r = context;
    return atomic_load(&r->ended);
}

static void *work(void *context)
{
    rival *r = context;
    while (!atomic_load(&r->stop))
        atomic_fetch_add(&r->ended, 1);
    return NULL;
}

/* On one of the processors that this thread may use; the caller's threads inherit it. */
static cpu_set_t stay_on_one(void)
{
    cpu_set_t before;
    cpu_set_t one;

    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (size_t cpu = 0; CPU_COUNT(&one) == 0; cpu++) {
        if (CPU_ISSET(cpu, &before))
            CPU_SET(cpu, &one);
    }
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    return before;
}

/* Works until a pause is due. */
static unsigned wait_for_due(kal_pace *pace)
{
    uint64_t start = kal_clock_mono_ns(kal_clock_system());
    unsigned due = 0;

    while (due == 0) {
        due = kal_pace_due_ms(pace);
        if (kal_clock_mono_ns(kal_clock_system()) - start > PATIENCE_S * UINT64_C(1000000000))
            fail_msg("it never had to wait for the processor");
    }
    return due;
}

static void *ask(void *pace)
{
    static _Thread_local unsigned due;
    uint64_t start = kal_clock_mono_ns(kal_clock_system());

    while (due == 0 && kal_clock_mono_ns(kal_clock_system()) - start < 100 * UINT64_C(1000000))
        due = kal_pace_due_ms(pace);
    return due == 0 ? NULL : pace;
}

static bool is_to_end(void *context)
{
    int *asked = context;
    return (*asked)++ > 0;
}

static void it_gives_way(void **state)
{
    rival r = {0};
    kal_pace pace;
    pthread_t thread;
    void *answer = NULL;
    uint64_t ran = 0;
    uint64_t waited = 0;

    (void)state;
    if (!kal_thread_times(&ran, &waited))
        skip();
    cpu_set_t before = stay_on_one();
    assert_int_equal(pthread_create(&thread, NULL, work, &r), 0);
    kal_pace_init(&pace, kal_clock_system(), (kal_job_statements){ended, &r});
    wait_for_due(&pace);
    assert_int_equal(kal_pace_pause(&pace, 100), 90); /* statements end: the rest */
    assert_int_equal(kal_pace_pause(&pace, 5), 0);
    unsigned due = 0;
    int asked = 0;
    while (due == 0) {
        asked = 0;
        due = kal_pace_give_way(&pace, is_to_end, &asked);
    }
    assert_int_equal(asked, due > 10 ? 2 : 1); /* once more behind the first part: to its end */
    atomic_store(&r.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(kal_pace_pause(&pace, 100), 0); /* none ended */

    /* Another thread is not the job's: its times are others. */
    atomic_store(&r.stop, false);
    assert_int_equal(pthread_create(&thread, NULL, work, &r), 0);
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, ask, &pace), 0);
    pthread_join(other, &answer);
    assert_null(answer);
    atomic_store(&r.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

static void without_statements(void **state)
{
    kal_pace pace;

    (void)state;
    kal_pace_init(&pace, kal_clock_system(), (kal_job_statements){0});
    assert_int_equal(kal_pace_due_ms(&pace), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rule),
        cmocka_unit_test(it_gives_way),
        cmocka_unit_test(without_statements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
