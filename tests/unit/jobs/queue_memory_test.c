/*
 * queue_memory_test.c: a job that is tried again for ever takes no more memory than one that was
 * tried once.
 *
 * Goal: jobs that cannot be done (tables whose bucket is gone) do not keep others from being
 * submitted, however long it lasts. Method: over a store in memory, one job fails until the texts
 * of all its failures together would be more than all jobs may take.
 */
#include "jobs/job_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define MESSAGE_BYTES (KAL_ERROR_MESSAGE_BYTES - 1)
#define HINT_BYTES    (KAL_ERROR_HINT_BYTES - 1)

typedef struct fixture {
    kal_sim_clock clock;
    kal_kv *kv;
    kal_job_queue *queue;
} fixture;

static void ok(kal_status status, const kal_error *err)
{
    if (status != KAL_OK)
        fail_msg("%s: %s", kal_status_name(status), err->message);
}

static void open_queue(fixture *f)
{
    const kal_job_queue_options options = {
        .retries_max = 3, .retry_delay_ms = 1, .retention_us = 1, .finished_max = 1, .seed = 1};
    kal_error err = KAL_ERROR_INIT;

    kal_sim_clock_init(&f->clock, INT64_C(1800000000000000));
    f->kv = kal_kv_open_mem();
    ok(kal_job_queue_open(f->kv, &f->clock.clock, &options, &f->queue, &err), &err);
}

static void close_queue(fixture *f)
{
    kal_job_queue_close(f->queue);
    kal_kv_close(f->kv);
}

static kal_job_entry *submit(fixture *f, uint32_t table_id, kal_bytes parameters)
{
    const kal_job_spec spec = {
        .type = KAL_JOB_FLUSH, .table_id = table_id, .parameters = parameters, .keep_trying = true};
    kal_job_entry *entry = NULL;
    kal_error err = KAL_ERROR_INIT;

    ok(kal_job_queue_submit(f->queue, &spec, &entry, &err), &err);
    return entry;
}

/* The one job that there is runs and fails. number: in its error, so that each is another one. */
static kal_job_entry *fail_once(fixture *f, unsigned number)
{
    kal_job_entry *entry = NULL;
    kal_error how = KAL_ERROR_INIT;
    kal_error err = KAL_ERROR_INIT;
    int64_t due_us = 0;

    kal_sim_clock_advance(&f->clock, 2 * KAL_JOB_RETRY_DELAY_MAX_US);
    ok(kal_job_queue_take(f->queue, &entry, &due_us, &err), &err);
    snprintf(entry->progress, sizeof entry->progress, "%0*u", (int)sizeof entry->progress - 1,
             number);
    kal_error_set(&how, KAL_IO, "%0*u", MESSAGE_BYTES, number);
    kal_error_hint(&how, "%0*u", HINT_BYTES, number);
    const kal_job_end end = {.status = KAL_IO, .error = &how, .can_resume = true};
    ok(kal_job_queue_end(f->queue, entry, &end, &err), &err);
    assert_int_equal(entry->job.status, KAL_JOB_RETRYING);
    return entry;
}

static void retries_take_no_more_memory(void **state)
{
    const unsigned tries = KAL_JOBS_MEMORY_BYTES / (MESSAGE_BYTES + HINT_BYTES);
    fixture f;

    (void)state;
    open_queue(&f);
    submit(&f, 1, (kal_bytes){0});
    for (unsigned i = 1; i <= tries; i++) {
        const kal_job_entry *entry = fail_once(&f, i);
        char wanted[32];
        snprintf(wanted, sizeof wanted, "%u", i);
        if (entry->job.error_text.len == 0)
            fail_msg("after %u of %u tries there is no memory for the error's text", i, tries);
        assert_non_null(strstr((const char *)entry->job.error_text.ptr, wanted));
    }
    submit(&f, 2, KAL_STR("{\"x\":1}"));
    close_queue(&f);
}

/* What the last run said is kept by a run that says nothing: the server stopped it. */
static void a_stop_keeps_what_was_said(void **state)
{
    fixture f;
    kal_job_entry *entry = NULL;
    kal_error how = KAL_ERROR_INIT;
    kal_error err = KAL_ERROR_INIT;
    int64_t due_us = 0;
    const kal_job_end end = {
        .status = KAL_CANCELLED, .error = &how, .stopped = true, .can_resume = true};

    (void)state;
    open_queue(&f);
    submit(&f, 1, (kal_bytes){0});
    fail_once(&f, 7);
    for (int i = 0; i < 2; i++) {
        kal_sim_clock_advance(&f.clock, 2 * KAL_JOB_RETRY_DELAY_MAX_US);
        ok(kal_job_queue_take(f.queue, &entry, &due_us, &err), &err);
        ok(kal_job_queue_end(f.queue, entry, &end, &err), &err);
        assert_int_equal(entry->job.status, KAL_JOB_QUEUED);
        assert_int_equal(entry->job.error_text.len, MESSAGE_BYTES + HINT_BYTES + 3);
        assert_int_equal(entry->job.error_text.ptr[MESSAGE_BYTES - 1], '7');
    }
    close_queue(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retries_take_no_more_memory),
        cmocka_unit_test(a_stop_keeps_what_was_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
