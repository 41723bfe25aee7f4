/* Goal: counts are exact under any number of threads, and the windows are what they say. Method: a
 * simulated clock walks through seconds; threads race on one gauge, meter and registry. */
#include "base/metrics.h"
#include "base/thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { THREADS = 8, ROUNDS = 20000, SECOND_US = 1000000 };

#define MS_NS UINT64_C(1000000)

static void a_gauge_knows_its_peak(void **state)
{
    kal_gauge gauge = {0};

    (void)state;
    assert_int_equal(kal_gauge_add(&gauge), 1);
    assert_int_equal(kal_gauge_add(&gauge), 2);
    kal_gauge_remove(&gauge);
    assert_int_equal(kal_gauge_now(&gauge), 1);
    assert_int_equal(kal_gauge_peak(&gauge), 2);
    assert_int_equal(kal_gauge_add(&gauge), 2);
    assert_int_equal(kal_gauge_peak(&gauge), 2);
}

static void record(kal_meter *meter, kal_sim_clock *sim, unsigned count, uint64_t duration_ns)
{
    for (unsigned i = 0; i < count; i++)
        kal_meter_record(meter, kal_clock_mono_ns(&sim->clock), duration_ns, i == 0);
}

static void assert_near(double actual, double expected)
{
    double difference = actual - expected;
    if (difference > 1e-9 || difference < -1e-9)
        fail_msg("%f instead of %f", actual, expected);
}

static void a_meter_counts_a_minute(void **state)
{
    kal_sim_clock sim;

    (void)state;
    kal_sim_clock_init(&sim, 1234567890);
    kal_meter *meter = kal_meter_open(&sim.clock);
    kal_meter_reading r = kal_meter_read(meter);
    assert_int_equal(r.total, 0);
    assert_near(r.per_second, 0);
    assert_near(r.mean_ms, 0);
    assert_near(r.window_seconds, 1); /* not less: a rate of the first instant would be endless */

    record(meter, &sim, 10, 2 * MS_NS);
    kal_sim_clock_advance(&sim, 4 * SECOND_US);
    record(meter, &sim, 30, 6 * MS_NS);
    r = kal_meter_read(meter);
    assert_int_equal(r.total, 40);
    assert_int_equal(r.failed, 2);
    assert_int_equal(r.window_total, 40);
    assert_near(r.window_seconds, 4);
    assert_near(r.per_second, 10);
    assert_near(r.mean_ms, 5);

    /* In second 59 the first events are in the window, in second 60 they are not. */
    kal_sim_clock_advance(&sim, 55 * SECOND_US + 500000);
    r = kal_meter_read(meter);
    assert_int_equal(r.window_total, 40);
    assert_near(r.window_seconds, 59.5);
    kal_sim_clock_advance(&sim, SECOND_US);
    r = kal_meter_read(meter);
    assert_int_equal(r.window_total, 30);
    assert_near(r.window_seconds, 59.5);
    assert_near(r.mean_ms, 6);

    /* The bucket of second 0 serves second 60. */
    record(meter, &sim, 5, MS_NS);
    assert_int_equal(kal_meter_read(meter).window_total, 35);

    /* After an idle hour nothing is left of it but the totals. */
    kal_sim_clock_advance(&sim, INT64_C(3600) * SECOND_US);
    r = kal_meter_read(meter);
    assert_int_equal(r.total, 45);
    assert_int_equal(r.window_total, 0);
    assert_near(r.per_second, 0);
    assert_near(r.mean_ms, 0);
    kal_meter_close(meter);
}

static void late_events_count_in_the_total_only(void **state)
{
    kal_sim_clock sim;

    (void)state;
    kal_sim_clock_init(&sim, 0);
    kal_meter *meter = kal_meter_open(&sim.clock);
    kal_sim_clock_advance(&sim, 61 * SECOND_US);
    kal_meter_record(meter, kal_clock_mono_ns(&sim.clock), MS_NS, false);
    kal_meter_record(meter, SECOND_US * UINT64_C(1000), MS_NS,
                     false); /* its bucket is second 61's */
    kal_meter_record(meter, 0, MS_NS, false);
    kal_meter_reading r = kal_meter_read(meter);
    assert_int_equal(r.total, 3);
    assert_int_equal(r.window_total, 1);
    kal_meter_close(meter);
}

/* ---- names ---- */

static uint64_t read_number(void *context)
{
    return *(const uint64_t *)context;
}

typedef struct seen {
    char text[256];
} seen;

static void note(void *context, const char *name, uint64_t value)
{
    seen *s = context;
    size_t len = strlen(s->text);
    snprintf(s->text + len, sizeof s->text - len, "%s=%llu ", name, (unsigned long long)value);
}

static void names_come_and_go(void **state)
{
    uint64_t a = 1;
    uint64_t b = 2;
    seen s = {0};

    (void)state;
    kal_metrics *metrics = kal_metrics_open();
    kal_metrics_each(metrics, note, &s);
    assert_string_equal(s.text, "");
    kal_metrics_add(metrics, "x", read_number, &a);
    kal_metrics_add(metrics, "y", read_number, &b);
    kal_metrics_add(metrics, "z", read_number, &a);
    kal_metrics_each(metrics, note, &s);
    assert_string_equal(s.text, "x=1 y=2 z=1 ");
    a = 7;
    s = (seen){0};
    kal_metrics_remove(metrics, &b);
    kal_metrics_remove(metrics, &s); /* nobody's */
    kal_metrics_each(metrics, note, &s);
    assert_string_equal(s.text, "x=7 z=7 ");
    kal_metrics_close(metrics);
    kal_metrics_close(NULL);
}

/* ---- threads ---- */

typedef struct shared {
    kal_gauge gauge;
    kal_meter *meter;
    kal_metrics *metrics;
    _Atomic uint64_t reads;
} shared;

static void count_read(void *context, const char *name, uint64_t value)
{
    (void)name;
    (void)value;
    atomic_fetch_add((_Atomic uint64_t *)context, 1);
}

static void work(void *context)
{
    shared *s = context;
    uint64_t own = 1;

    for (int i = 0; i < ROUNDS; i++) {
        uint64_t now = kal_gauge_add(&s->gauge);
        if (now > THREADS)
            fail_msg("%llu at a time", (unsigned long long)now);
        kal_meter_record(s->meter, kal_clock_mono_ns(kal_clock_system()), 1000, i % 10 == 0);
        if (i % 1000 == 0) {
            kal_metrics_add(s->metrics, "own", read_number, &own);
            kal_metrics_each(s->metrics, count_read, &s->reads);
            (void)kal_meter_read(s->meter);
            kal_metrics_remove(s->metrics, &own);
        }
        kal_gauge_remove(&s->gauge);
    }
}

static void threads_lose_nothing(void **state)
{
    shared s = {0};
    pthread_t threads[THREADS];
    kal_error err = KAL_ERROR_INIT;

    (void)state;
    s.meter = kal_meter_open(kal_clock_system());
    s.metrics = kal_metrics_open();
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(kal_thread_start(&threads[i], "worker", 0, work, &s, &err), KAL_OK);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    kal_meter_reading r = kal_meter_read(s.meter);
    assert_int_equal(r.total, THREADS * ROUNDS);
    assert_int_equal(r.failed, THREADS * ROUNDS / 10);
    assert_int_equal(kal_gauge_now(&s.gauge), 0);
    assert_in_range(kal_gauge_peak(&s.gauge), 1, THREADS);
    assert_true(atomic_load(&s.reads) >= THREADS * ROUNDS / 1000);
    kal_meter_close(s.meter);
    kal_meter_close(NULL);
    kal_metrics_close(s.metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gauge_knows_its_peak),
        cmocka_unit_test(a_meter_counts_a_minute),
        cmocka_unit_test(late_events_count_in_the_total_only),
        cmocka_unit_test(names_come_and_go),
        cmocka_unit_test(threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
