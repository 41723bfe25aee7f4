/*
 * jobs_test.c: jobs on real threads: waiting, cancelling, retries, one at a time of a table, what a
 * stop does, schedulers.
 *
 * Method: handlers that wait until the test lets them go on, over a store in memory; no step
 * depends on how long something takes.
 */
#include "jobs/jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <pthread.h>

typedef struct fixture {
    kal_kv *kv;
    kal_sched *sched;
    kal_jobs *jobs;
    _Atomic bool gate;       /* handlers that wait may go on */
    _Atomic int entered;     /* handlers that have begun */
    _Atomic int inside;      /* and have not ended */
    _Atomic int inside_most; /* at a time */
    _Atomic int failures;    /* the next so many runs fail */
    _Atomic int ticks;
    kal_status failure;
} fixture;

static void ok(kal_status status, const kal_error *err)
{
    if (status != KAL_OK)
        fail_msg("%s: %s", kal_status_name(status), err->message);
}

/* Waits at the gate, asking whether it is to end. */
static kal_status wait_at_gate(kal_job_run *run, void *context, kal_error *err)
{
    fixture *f = context;
    kal_status status = KAL_OK;

    int inside = atomic_fetch_add(&f->inside, 1) + 1;
    if (inside > atomic_load(&f->inside_most))
        atomic_store(&f->inside_most, inside);
    kal_job_progress(run, "waits with '%.*s'", KAL_FMT(kal_job_text(run, "x")));
    atomic_fetch_add(&f->entered, 1);
    while (status == KAL_OK && !atomic_load(&f->gate)) {
        usleep(1000);
        status = kal_job_check(run, err);
    }
    kal_job_result(run, "start %u of table %u", run->job->start_count, run->job->table_id);
    atomic_fetch_sub(&f->inside, 1);
    return status;
}

static kal_status fail_sometimes(kal_job_run *run, void *context, kal_error *err)
{
    fixture *f = context;

    kal_job_result(run, "start %u", run->job->start_count);
    if (atomic_fetch_sub(&f->failures, 1) > 0)
        return kal_error_set(err, f->failure, "failure of start %u", run->job->start_count);
    return KAL_OK;
}

static void open_jobs(fixture *f, unsigned threads)
{
    const kal_jobs_options options = {.threads = threads,
                                      .queue = {.retries_max = 3,
                                                .retry_delay_ms = 1,
                                                .retention_us = INT64_C(1) << 50,
                                                .finished_max = 1000}};
    kal_error err = KAL_ERROR_INIT;

    f->sched = kal_sched_threads();
    ok(kal_jobs_open(f->kv, NULL, f->sched, kal_clock_system(), &options, &f->jobs, &err), &err);
    kal_jobs_register(f->jobs, KAL_JOB_FLUSH, wait_at_gate, f, 0);
    kal_jobs_register(f->jobs, KAL_JOB_BACKUP, wait_at_gate, f, KAL_JOB_NEVER_RESUME);
    kal_jobs_register(f->jobs, KAL_JOB_COMPACT, fail_sometimes, f, 0);
    ok(kal_jobs_start(f->jobs, &err), &err);
}

static void close_jobs(fixture *f)
{
    kal_jobs_close(f->jobs);
    kal_sched_close(f->sched);
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -1;
    f->kv = kal_kv_open_mem();
    f->failure = KAL_IO;
    open_jobs(f, 2);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    close_jobs(f);
    kal_kv_close(f->kv);
    free(f);
    return 0;
}

static kal_status always(void *context, kal_error *err)
{
    (void)context;
    (void)err;
    return KAL_OK;
}

static kal_status never(void *context, kal_error *err)
{
    (void)context;
    return kal_error_set(err, KAL_TIMEOUT, "nobody waits");
}

static const kal_job_poll ALWAYS = {always, NULL};
static const kal_job_poll NEVER = {never, NULL};

static uint64_t submit(fixture *f, kal_job_type type, uint32_t table_id)
{
    const kal_job_spec spec = {.type = type,
                               .table_id = table_id,
                               .namespace_id = KAL_STR("app"),
                               .table_name = KAL_STR("t"),
                               .parameters = KAL_STR("{\"x\":\"y\"}")};
    kal_error err = KAL_ERROR_INIT;
    uint64_t number = 0;
    ok(kal_jobs_submit(f->jobs, &spec, &number, &err), &err);
    return number;
}

static void until_entered(const fixture *f, int count)
{
    while (atomic_load(&f->entered) < count)
        usleep(1000);
}

/* How a job ended: its result, or the text of its error. */
static kal_status outcome(fixture *f, uint64_t number, char text[256])
{
    kal_arena arena;
    kal_bytes result;
    kal_error err = KAL_ERROR_INIT;

    kal_arena_init(&arena, NULL);
    kal_status status = kal_jobs_wait(f->jobs, number, &ALWAYS, &arena, &result, &err);
    snprintf(text, 256, "%.*s", KAL_FMT(status == KAL_OK ? result : kal_cstr(err.message)));
    kal_arena_release(&arena);
    return status;
}

static void expect(fixture *f, uint64_t number, kal_status status, const char *wanted)
{
    char text[256];
    assert_int_equal(outcome(f, number, text), status);
    assert_string_equal(text, wanted);
}

/* Goal: a job runs once, and its result is found while it is awaited and afterwards. */
static void results_are_found(void **state)
{
    fixture *f = *state;
    uint64_t number = submit(f, KAL_JOB_FLUSH, 7);

    atomic_store(&f->gate, true);
    expect(f, number, KAL_OK, "start 1 of table 7");
    expect(f, number, KAL_OK, "start 1 of table 7");
    assert_int_equal(atomic_load(&f->entered), 1);
    expect(f, number + 1, KAL_NOT_FOUND, "there is no such job");
}

/* Goal: who stops waiting stops nothing else. */
static void waiting_can_end_before_the_job(void **state)
{
    fixture *f = *state;
    const kal_job_spec spec = {.type = KAL_JOB_FLUSH, .table_id = 7};
    kal_arena arena;
    kal_bytes result;
    kal_error err = KAL_ERROR_INIT;

    kal_arena_init(&arena, NULL);
    assert_int_equal(kal_jobs_run(f->jobs, &spec, false, &NEVER, &arena, &result, &err),
                     KAL_TIMEOUT);
    uint64_t number = 0;
    assert_int_equal(kal_jobs_submit(f->jobs, &spec, &number, &err), KAL_EXISTS);
    assert_string_equal(err.code, "JOB_EXISTS");
    atomic_store(&f->gate, true);
    expect(f, number, KAL_OK, "start 1 of table 7");
    /* Then the key is free again. */
    assert_int_equal(kal_jobs_run(f->jobs, &spec, false, &ALWAYS, &arena, &result, &err), KAL_OK);
    kal_arena_release(&arena);
}

/* Goal: who queues up comes after the one that runs, but not after one that may be long in trying.
 */
static void queueing_up_waits_for_the_key(void **state)
{
    fixture *f = *state;
    kal_job_spec spec = {.type = KAL_JOB_FLUSH, .table_id = 7};
    kal_arena arena;
    kal_bytes result;
    kal_error err = KAL_ERROR_INIT;

    kal_arena_init(&arena, NULL);
    uint64_t first = submit(f, KAL_JOB_FLUSH, 7);
    assert_int_equal(kal_jobs_run(f->jobs, &spec, true, &NEVER, &arena, &result, &err),
                     KAL_TIMEOUT);
    assert_int_equal(kal_jobs_get_counts(f->jobs).completed, 0);
    atomic_store(&f->gate, true);
    assert_int_equal(kal_jobs_run(f->jobs, &spec, true, &ALWAYS, &arena, &result, &err), KAL_OK);
    assert_int_equal(kal_jobs_get_counts(f->jobs).completed, 2);
    expect(f, first, KAL_OK, "start 1 of table 7");

    atomic_store(&f->failures, 1000000);
    spec = (kal_job_spec){.type = KAL_JOB_COMPACT, .table_id = 7, .keep_trying = true};
    uint64_t number = 0;
    ok(kal_jobs_submit(f->jobs, &spec, &number, &err), &err);
    while (kal_jobs_get_counts(f->jobs).retried < 4)
        usleep(1000);
    assert_int_equal(kal_jobs_run(f->jobs, &spec, true, &ALWAYS, &arena, &result, &err),
                     f->failure);
    assert_non_null(strstr(err.message, "failure of start"));
    ok(kal_jobs_cancel(f->jobs, KAL_JOB_COMPACT, number, &err), &err);
    kal_arena_release(&arena);
}

static void one_of_a_table_runs_at_a_time(void **state)
{
    fixture *f = *state;

    atomic_store(&f->gate, false);
    uint64_t first = submit(f, KAL_JOB_FLUSH, 7);
    until_entered(f, 1);
    uint64_t same_table = submit(f, KAL_JOB_BACKUP, 7);
    uint64_t other = submit(f, KAL_JOB_FLUSH, 8);
    until_entered(f, 2); /* the other one: two threads, and the first still runs */
    atomic_store(&f->gate, true);
    expect(f, other, KAL_OK, "start 1 of table 8");
    expect(f, first, KAL_OK, "start 1 of table 7");
    expect(f, same_table, KAL_OK, "start 1 of table 7");
    assert_int_equal(atomic_load(&f->inside_most), 2);
}

static void running_and_waiting_jobs_are_cancelled(void **state)
{
    fixture *f = *state;
    kal_error err = KAL_ERROR_INIT;
    uint64_t running = submit(f, KAL_JOB_FLUSH, 7);

    until_entered(f, 1);
    uint64_t waiting = submit(f, KAL_JOB_BACKUP, 7);
    ok(kal_jobs_cancel(f->jobs, KAL_JOB_BACKUP, waiting, &err), &err);
    expect(f, waiting, KAL_CANCELLED, "the job was cancelled");
    assert_int_equal(kal_jobs_cancel(f->jobs, KAL_JOB_BACKUP, waiting, &err), KAL_INVALID);
    assert_string_equal(err.code, "JOB_FINISHED");
    /* The right number under another type is no job. */
    assert_int_equal(kal_jobs_cancel(f->jobs, KAL_JOB_BACKUP, running, &err), KAL_NOT_FOUND);
    assert_string_equal(err.code, "JOB_NOT_FOUND");
    ok(kal_jobs_cancel(f->jobs, KAL_JOB_FLUSH, running, &err), &err);
    expect(f, running, KAL_CANCELLED, "the job was cancelled");
    assert_int_equal(kal_jobs_get_counts(f->jobs).cancelled, 2);
}

static void what_may_pass_is_tried_again(void **state)
{
    fixture *f = *state;

    atomic_store(&f->failures, 3);
    expect(f, submit(f, KAL_JOB_COMPACT, 1), KAL_OK, "start 4");
    assert_int_equal(kal_jobs_get_counts(f->jobs).retried, 3);
    atomic_store(&f->failures, 4);
    expect(f, submit(f, KAL_JOB_COMPACT, 1), KAL_IO, "failure of start 4");
    f->failure = KAL_CORRUPT;
    atomic_store(&f->failures, 1);
    expect(f, submit(f, KAL_JOB_COMPACT, 1), KAL_CORRUPT, "failure of start 1");
}

static void what_nobody_can_do_is_refused(void **state)
{
    fixture *f = *state;
    kal_error err = KAL_ERROR_INIT;
    kal_job_spec spec = {.type = KAL_JOB_RESTORE};

    assert_int_equal(kal_jobs_submit(f->jobs, &spec, NULL, &err), KAL_UNSUPPORTED);
    assert_non_null(strstr(err.message, "restore jobs are not available"));
    spec = (kal_job_spec){.type = KAL_JOB_FLUSH, .parameters = KAL_STR("{")};
    assert_int_equal(kal_jobs_submit(f->jobs, &spec, NULL, &err), KAL_INVALID);
    static char long_text[KAL_JOB_PARAMETERS_BYTES_MAX + 2];
    memset(long_text, ' ', sizeof long_text - 1);
    spec.parameters = kal_cstr(long_text);
    assert_int_equal(kal_jobs_submit(f->jobs, &spec, NULL, &err), KAL_LIMIT);
}

/* Goal: a stop ends what runs; what can resume does so after the next start, the other has failed;
 * what waited waits still. */
static void a_stop_is_resumed_from(void **state)
{
    fixture *f = *state;
    uint64_t flush = submit(f, KAL_JOB_FLUSH, 7);
    uint64_t backup = submit(f, KAL_JOB_BACKUP, 0);

    until_entered(f, 2);
    uint64_t waits = submit(f, KAL_JOB_FLUSH, 8);
    kal_jobs_stop(f->jobs);
    assert_int_equal(atomic_load(&f->inside), 0);
    kal_error err = KAL_ERROR_INIT;
    const kal_job_spec spec = {.type = KAL_JOB_FLUSH, .table_id = 9};
    assert_int_equal(kal_jobs_submit(f->jobs, &spec, NULL, &err), KAL_CANCELLED);
    close_jobs(f);

    atomic_store(&f->gate, true);
    open_jobs(f, 2);
    expect(f, flush, KAL_OK, "start 2 of table 7");
    expect(f, waits, KAL_OK, "start 1 of table 8");
    expect(f, backup, KAL_CANCELLED, "the server was stopped");
}

static kal_status count_tick(kal_jobs *jobs, void *context, kal_error *err)
{
    fixture *f = context;
    (void)jobs;
    /* A failure is no reason to stop. */
    if (atomic_fetch_add(&f->ticks, 1) == 1)
        return kal_error_set(err, KAL_IO, "the second tick fails");
    return KAL_OK;
}

static void schedulers_tick(void **state)
{
    fixture *f = *state;
    kal_error err = KAL_ERROR_INIT;

    ok(kal_jobs_every(f->jobs, "counting", 1, count_tick, f, &err), &err);
    while (atomic_load(&f->ticks) < 4)
        usleep(1000);
    kal_jobs_stop(f->jobs);
    int ticks = atomic_load(&f->ticks);
    usleep(5000);
    assert_int_equal(atomic_load(&f->ticks), ticks);
}

/* Goal: many submit, cancel and wait at a time (for the thread sanitizer), and each job ends. */
typedef struct client {
    fixture *f;
    uint32_t table_id;
} client;

static void *be_a_client(void *context)
{
    const client *c = context;
    for (int i = 0; i < 20; i++) {
        char text[256];
        kal_error err = KAL_ERROR_INIT;
        uint64_t number = submit(c->f, KAL_JOB_FLUSH, c->table_id);
        kal_status cancelled = KAL_OK;
        if (i % 3 == 0)
            cancelled = kal_jobs_cancel(c->f->jobs, KAL_JOB_FLUSH, number, &err);
        assert_true(cancelled == KAL_OK || cancelled == KAL_INVALID);
        kal_status status = outcome(c->f, number, text);
        assert_true(status == KAL_OK || (i % 3 == 0 && status == KAL_CANCELLED));
    }
    return NULL;
}

static void many_clients(void **state)
{
    fixture *f = *state;
    client clients[4];
    pthread_t threads[4];

    atomic_store(&f->gate, true);
    for (uint32_t i = 0; i < 4; i++) {
        clients[i] = (client){f, i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, be_a_client, &clients[i]), 0);
    }
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    kal_jobs_counts counts = kal_jobs_get_counts(f->jobs);
    assert_int_equal(counts.completed + counts.cancelled, 80);
    assert_int_equal(counts.failed, 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(results_are_found),
        TEST(waiting_can_end_before_the_job),
        TEST(queueing_up_waits_for_the_key),
        TEST(one_of_a_table_runs_at_a_time),
        TEST(running_and_waiting_jobs_are_cancelled),
        TEST(what_may_pass_is_tried_again),
        TEST(what_nobody_can_do_is_refused),
        TEST(a_stop_is_resumed_from),
        TEST(schedulers_tick),
        TEST(many_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
