/*
 * pace_test.c: when a job pauses for statements, and for how long.
 *
 * Method: the rule by itself; then a thread that counts statements and the job's on one processor,
 * where each must wait for the other; then the job's on a processor of its own.
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

static unsigned pause_of(uint64_t ran_ms, uint64_t waited_ms, uint64_t ended, unsigned processors)
{
    const kal_pace_counts seen = {
        .ns = 40 * MS, .ran_ns = ran_ms * MS, .waited_ns = waited_ms * MS, .ended = ended};
    return kal_pace_of(seen, processors);
}

static void the_rule(void **state)
{
    (void)state;
    assert_int_equal(pause_of(40, 10, 5, 2), 160);
    assert_int_equal(pause_of(40, 10, 0, 2), 0); /* nobody to give way to */
    assert_int_equal(pause_of(40, 0, 5, 2), 0);  /* a processor was free */
    assert_int_equal(pause_of(40, 4, 5, 2), 0);
    assert_int_equal(pause_of(40, 5, 5, 2), 160);
    assert_int_equal(pause_of(40, 2, 5, 1), 0);
    assert_int_equal(pause_of(40, 3, 5, 1), 160);
    assert_int_equal(pause_of(40, 159, 5, 64), 0); /* among so many some always wait */
    assert_int_equal(pause_of(40, 160, 5, 64), 160);
    assert_int_equal(pause_of(20, 10, 5, 2), 80); /* as long as it worked itself counts */
    assert_int_equal(pause_of(0, 10, 5, 2), 0);
    assert_int_equal(pause_of(UINT64_MAX / MS, UINT64_MAX / MS, 5, 2), 1000);
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

/* On the nth of the processors that this thread may use; the caller's threads inherit it. Returns
 * those that it might use before. */
static cpu_set_t stay_on(unsigned nth)
{
    cpu_set_t before;
    cpu_set_t one;

    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (size_t cpu = 0; CPU_COUNT(&one) == 0; cpu++) {
        if (CPU_ISSET(cpu, &before) && nth-- == 0)
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
            fail_msg("nobody had to wait for a processor");
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
    uint64_t waited = 0;

    (void)state;
    if (!kal_process_waited_ns(&waited))
        skip();
    cpu_set_t before = stay_on(0);
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

/* Two that share a processor, and the job with one of its own: it never has to wait. */
static void others_wait(void **state)
{
    rival rivals[2] = {0};
    pthread_t threads[2];
    kal_pace pace;

    (void)state;
    if (kal_processors_allowed() < 2)
        skip();
    cpu_set_t all = stay_on(0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &rivals[i]), 0);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    stay_on(1);
    kal_pace_init(&pace, kal_clock_system(), (kal_job_statements){ended, &rivals[0]});
    assert_true(wait_for_due(&pace) > 0);
    for (size_t i = 0; i < 2; i++) {
        atomic_store(&rivals[i].stop, true);
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
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
        cmocka_unit_test(others_wait),
        cmocka_unit_test(without_statements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
