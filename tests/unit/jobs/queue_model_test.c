/*
 * queue_model_test.c: the queue does what a plain table of jobs does, also when writes fail and the
 * power goes.
 *
 * Goal: no job that was submitted is lost, none that is durably completed runs again, keys and
 * tables are exclusive, turns are taken, retries wait as long as they should, the bounds of
 * finished jobs hold. Method: seeded random steps over a store in memory that fails on purpose; a
 * step that failed may have happened or not, which is seen after the crash that follows.
 */
#include "base/rng.h"
#include "base/vec.h"
#include "jobs/job_queue.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
    SEEDS = 40,
    STEPS = 500,
    TABLES = 6,
    RETRIES_MAX = 2,
    RETRY_DELAY_MS = 100,
    FINISHED_MAX = 30,
    RETENTION_S = 4,
};

#define EPOCH_US INT64_C(1704067200000000) /* 2024-01-01: where numbers begin */

/* Kinds that the server of this test can run; BACKUP is not resumed, and the last is not done. */
static const kal_job_type TYPES[] = {KAL_JOB_FLUSH, KAL_JOB_COMPACT, KAL_JOB_BACKUP};

typedef struct model_job {
    uint64_t number;
    kal_job_type type;
    uint32_t table_id;
    kal_job_status status;
    kal_job_status maybe; /* what a step that failed may have made of it */
    bool cancel_asked;
    bool maybe_cancel_asked;
    bool is_there;
    bool maybe_there; /* likewise; or removed, not durably */
    bool seen;
    uint32_t retry_count;
    uint32_t crash_count;
    int64_t finished_at_us;
    int64_t due_us;
} model_job;

typedef struct run {
    kal_rng rng;
    kal_sim_clock clock;
    kal_kv *kv; /* fault over memory */
    kal_job_queue *queue;
    KAL_VEC(model_job) jobs; /* ascending numbers */
    uint64_t turns[TABLES + KAL_JOB_TYPE_COUNT];
    uint64_t turn;
    unsigned crashes;
    unsigned completed;
} run;

static void ok(kal_status status, const kal_error *err)
{
    if (status != KAL_OK)
        fail_msg("%s: %s", kal_status_name(status), err->message);
}

static model_job *model_of(run *r, uint64_t number)
{
    for (size_t i = 0; i < r->jobs.len; i++) {
        if (r->jobs.items[i].number == number)
            return &r->jobs.items[i];
    }
    fail_msg("job %" PRIx64 " is not in the model", number);
    return NULL;
}

static bool same_key(const model_job *job, kal_job_type type, uint32_t table_id)
{
    return job->type == type && job->table_id == table_id;
}

static bool unfinished(const model_job *job)
{
    return job->is_there && !kal_job_is_finished(job->status);
}

static void open_queue(run *r)
{
    const kal_job_queue_options options = {.retries_max = RETRIES_MAX,
                                           .retry_delay_ms = RETRY_DELAY_MS,
                                           .retention_us = RETENTION_S * INT64_C(1000000),
                                           .finished_max = FINISHED_MAX,
                                           .seed = kal_rng_next(&r->rng)};
    kal_error err = KAL_ERROR_INIT;
    ok(kal_job_queue_open(r->kv, &r->clock.clock, &options, &r->queue, &err), &err);
}

/* ---- the store after a crash ---- */

/* What the store has is what was durable, or what the step that failed was about to make. */
static kal_status compare_record(void *context, const kal_job *job, kal_error *err)
{
    run *r = context;
    model_job *m = model_of(r, job->number);

    (void)err;
    assert_true(m->is_there || m->maybe_there);
    assert_true(job->status == m->status || job->status == m->maybe);
    assert_true(job->cancel_asked == m->cancel_asked || job->cancel_asked == m->maybe_cancel_asked);
    assert_int_equal(job->type, m->type);
    assert_int_equal(job->table_id, m->table_id);
    m->seen = true;
    m->status = job->status;
    m->cancel_asked = job->cancel_asked;
    m->retry_count = job->retry_count;
    m->crash_count = job->crash_count;
    m->finished_at_us = job->finished_at_us;
    m->due_us = job->due_us;
    return KAL_OK;
}

static void compare_store(run *r)
{
    kal_error err = KAL_ERROR_INIT;

    for (size_t i = 0; i < r->jobs.len; i++)
        r->jobs.items[i].seen = false;
    ok(kal_job_queue_scan(r->queue, NULL, compare_record, r, &err), &err);
    for (size_t i = 0; i < r->jobs.len; i++) {
        model_job *m = &r->jobs.items[i];
        if (m->is_there && m->maybe_there && !m->seen)
            fail_msg("job %" PRIx64 " is lost", m->number);
        m->is_there = m->seen;
        m->maybe_there = m->seen;
        m->maybe = m->status;
        m->maybe_cancel_asked = m->cancel_asked;
    }
}

/* What recovering is to make of a job. */
static void model_recover(run *r, model_job *m)
{
    bool was_running = m->status == KAL_JOB_RUNNING;

    if (!unfinished(m))
        return;
    if (was_running && m->cancel_asked)
        m->status = KAL_JOB_CANCELLED;
    else if (was_running && (m->type == KAL_JOB_BACKUP || ++m->crash_count > KAL_JOB_CRASHES_MAX))
        m->status = KAL_JOB_FAILED;
    else if (was_running)
        m->status = KAL_JOB_QUEUED;
    m->maybe = m->status;
    if (kal_job_is_finished(m->status))
        m->finished_at_us = r->clock.now_us;
}

static kal_status compare_exactly(void *context, const kal_job *job, kal_error *err)
{
    run *r = context;
    const model_job *m = model_of(r, job->number);

    (void)err;
    assert_true(m->is_there);
    if (job->status != m->status)
        fail_msg("job %" PRIx64 " is %s, not %s", m->number, kal_job_status_name(job->status),
                 kal_job_status_name(m->status));
    assert_int_equal(job->retry_count, m->retry_count);
    return KAL_OK;
}

static void crash(run *r)
{
    kal_job_ability abilities[KAL_JOB_TYPE_COUNT] = {0};
    kal_error err = KAL_ERROR_INIT;

    r->crashes++;
    kal_job_queue_close(r->queue);
    kal_kv_fault_enable(r->kv, false);
    kal_kv_mem_crash(kal_kv_fault_inner(r->kv));
    open_queue(r);
    compare_store(r);
    for (size_t i = 0; i < KAL_ARRAY_LEN(TYPES); i++)
        abilities[TYPES[i]] =
            (kal_job_ability){.can_run = true, .can_resume = TYPES[i] != KAL_JOB_BACKUP};
    ok(kal_job_queue_recover(r->queue, abilities, &err), &err);
    for (size_t i = 0; i < r->jobs.len; i++)
        model_recover(r, &r->jobs.items[i]);
    ok(kal_job_queue_scan(r->queue, NULL, compare_exactly, r, &err), &err);
    memset(r->turns, 0, sizeof r->turns);
    r->turn = 0;
    kal_kv_fault_enable(r->kv, true);
}

/* A step wrote and synced: what was removed before stays so. */
static void durable(run *r)
{
    for (size_t i = 0; i < r->jobs.len; i++) {
        model_job *m = &r->jobs.items[i];
        m->maybe = m->status;
        m->maybe_cancel_asked = m->cancel_asked;
        m->maybe_there = m->is_there;
    }
}

/* ---- steps ---- */

static void step_submit(run *r)
{
    kal_job_spec spec = {.type = TYPES[kal_rng_below(&r->rng, KAL_ARRAY_LEN(TYPES))]};
    kal_job_entry *entry = NULL;
    const model_job *holder = NULL;
    kal_error err = KAL_ERROR_INIT;

    if (spec.type != KAL_JOB_BACKUP) {
        spec.table_id = 1 + (uint32_t)kal_rng_below(&r->rng, TABLES - 1);
        spec.namespace_id = KAL_STR("app");
        spec.table_name = KAL_STR("t");
        spec.parameters = KAL_STR("{\"x\":1}");
    }
    for (size_t i = 0; i < r->jobs.len; i++) {
        if (unfinished(&r->jobs.items[i]) && same_key(&r->jobs.items[i], spec.type, spec.table_id))
            holder = &r->jobs.items[i];
    }
    uint64_t last = r->jobs.len == 0 ? 0 : r->jobs.items[r->jobs.len - 1].number;
    uint64_t number = KAL_JOB_NUMBER_MIN + (uint64_t)(r->clock.now_us - EPOCH_US);
    kal_status status = kal_job_queue_submit(r->queue, &spec, &entry, &err);
    if (holder != NULL) {
        assert_int_equal(status, KAL_EXISTS);
        assert_int_equal(entry->job.number, holder->number);
        return;
    }
    model_job made = {
        .number = number, .type = spec.type, .table_id = spec.table_id, .maybe_there = true};
    assert_true(number > last); /* the clock moves between steps */
    if (status == KAL_OK) {
        assert_int_equal(entry->job.number, number);
        made.is_there = true;
        kal_vec_push(&r->jobs, made);
        durable(r);
        return;
    }
    assert_int_equal(status, KAL_IO);
    kal_vec_push(&r->jobs, made);
    crash(r);
}

static uint64_t *turn_of(run *r, const model_job *m)
{
    return m->table_id != 0 ? &r->turns[m->table_id] : &r->turns[TABLES + m->type];
}

static bool table_runs(const run *r, uint32_t table_id)
{
    for (size_t i = 0; i < r->jobs.len; i++) {
        const model_job *m = &r->jobs.items[i];
        if (table_id != 0 && m->table_id == table_id && unfinished(m) &&
            m->status == KAL_JOB_RUNNING)
            return true;
    }
    return false;
}

static model_job *model_next(run *r)
{
    model_job *best = NULL;
    for (size_t i = 0; i < r->jobs.len; i++) {
        model_job *m = &r->jobs.items[i];
        bool waits =
            unfinished(m) && (m->status == KAL_JOB_QUEUED ||
                              (m->status == KAL_JOB_RETRYING && m->due_us <= r->clock.now_us));
        if (waits && !table_runs(r, m->table_id) &&
            (best == NULL || *turn_of(r, m) < *turn_of(r, best)))
            best = m;
    }
    return best;
}

static void step_take(run *r)
{
    kal_job_entry *entry = NULL;
    kal_error err = KAL_ERROR_INIT;
    int64_t due_us = 0;
    model_job *next = model_next(r);

    kal_status status = kal_job_queue_take(r->queue, &entry, &due_us, &err);
    if (next == NULL) {
        assert_int_equal(status, KAL_END);
        return;
    }
    if (status == KAL_IO) {
        next->maybe = KAL_JOB_RUNNING;
        crash(r);
        return;
    }
    ok(status, &err);
    assert_int_equal(entry->job.number, next->number);
    assert_int_equal(entry->job.status, KAL_JOB_RUNNING);
    next->status = KAL_JOB_RUNNING;
    *turn_of(r, next) = ++r->turn;
    durable(r);
}

/* One that runs, or NULL. */
static model_job *pick_running(run *r)
{
    model_job *picked = NULL;
    uint64_t count = 0;
    for (size_t i = 0; i < r->jobs.len; i++) {
        model_job *m = &r->jobs.items[i];
        if (unfinished(m) && m->status == KAL_JOB_RUNNING && kal_rng_below(&r->rng, ++count) == 0)
            picked = m;
    }
    return picked;
}

static kal_job_status model_end(const model_job *m, kal_status status, bool stopped)
{
    if (status == KAL_OK)
        return KAL_JOB_COMPLETED;
    if (status == KAL_CANCELLED && m->cancel_asked)
        return KAL_JOB_CANCELLED;
    if (status == KAL_CANCELLED && stopped && m->type != KAL_JOB_BACKUP)
        return KAL_JOB_QUEUED;
    if ((status == KAL_BUSY || status == KAL_CONFLICT) && m->retry_count < RETRIES_MAX &&
        !m->cancel_asked)
        return KAL_JOB_RETRYING;
    return KAL_JOB_FAILED;
}

static void check_delay(const run *r, const model_job *m)
{
    int64_t first = RETRY_DELAY_MS * INT64_C(1000) << (m->retry_count - 1);
    assert_in_range(m->due_us - r->clock.now_us, first / 2, first / 2 + first);
}

static void step_end(run *r)
{
    static const kal_status STATUSES[] = {KAL_OK,       KAL_OK,        KAL_BUSY,
                                          KAL_CONFLICT, KAL_CANCELLED, KAL_INVALID};
    model_job *m = pick_running(r);
    kal_error how = KAL_ERROR_INIT;
    kal_error err = KAL_ERROR_INIT;

    if (m == NULL)
        return;
    kal_job_end end = {.status = STATUSES[kal_rng_below(&r->rng, KAL_ARRAY_LEN(STATUSES))],
                       .error = &how,
                       .result = KAL_STR("done"),
                       .stopped = kal_rng_chance(&r->rng, 1, 2),
                       .can_resume = m->type != KAL_JOB_BACKUP};
    if (end.status != KAL_OK)
        kal_error_set(&how, end.status, "as the seed wants it");
    kal_job_entry *entry = kal_job_queue_find(r->queue, m->number);
    assert_non_null(entry);
    kal_job_queue_hold(entry);
    kal_status status = kal_job_queue_end(r->queue, entry, &end, &err);
    kal_job_status after = model_end(m, end.status, end.stopped);
    assert_int_equal(entry->job.status, after);
    if (status == KAL_OK) {
        m->status = after;
        m->retry_count = entry->job.retry_count;
        m->due_us = entry->job.due_us;
        m->finished_at_us = entry->job.finished_at_us;
        if (after == KAL_JOB_RETRYING)
            check_delay(r, m);
        r->completed += after == KAL_JOB_COMPLETED;
    }
    kal_job_queue_release(entry);
    if (status == KAL_OK) {
        durable(r);
        return;
    }
    assert_int_equal(status, KAL_IO);
    m->maybe = after;
    crash(r);
}

static void step_cancel(run *r)
{
    kal_error err = KAL_ERROR_INIT;

    if (r->jobs.len == 0)
        return;
    model_job *m = &r->jobs.items[kal_rng_below(&r->rng, r->jobs.len)];
    kal_job_entry *entry = kal_job_queue_find(r->queue, m->number);
    assert_true((entry != NULL) == unfinished(m));
    if (entry == NULL)
        return;
    bool runs = m->status == KAL_JOB_RUNNING;
    kal_status status = kal_job_queue_cancel(r->queue, entry, &err);
    if (status == KAL_OK) {
        m->cancel_asked = true;
        if (!runs) {
            m->status = KAL_JOB_CANCELLED;
            m->finished_at_us = r->clock.now_us;
        }
        durable(r);
        return;
    }
    assert_int_equal(status, KAL_IO);
    m->maybe_cancel_asked = true;
    if (!runs)
        m->maybe = KAL_JOB_CANCELLED;
    crash(r);
}

static void model_clean(run *r)
{
    size_t finished = 0;
    for (size_t i = 0; i < r->jobs.len; i++)
        finished += r->jobs.items[i].is_there && !unfinished(&r->jobs.items[i]);
    for (size_t i = 0; i < r->jobs.len; i++) {
        model_job *m = &r->jobs.items[i];
        if (!m->is_there || unfinished(m))
            continue;
        if (finished > FINISHED_MAX ||
            m->finished_at_us < r->clock.now_us - RETENTION_S * INT64_C(1000000)) {
            m->is_there = false; /* maybe_there stays until something is synced */
            finished--;
        }
    }
}

static void step_clean(run *r)
{
    kal_error err = KAL_ERROR_INIT;
    size_t removed = 0;

    kal_status status = kal_job_queue_clean(r->queue, &removed, &err);
    if (status == KAL_OK) {
        model_clean(r);
        assert_true(kal_job_queue_finished_count(r->queue) <= FINISHED_MAX);
        ok(kal_job_queue_scan(r->queue, NULL, compare_exactly, r, &err), &err);
        return;
    }
    assert_int_equal(status, KAL_IO);
    model_clean(r);
    crash(r);
}

static void step(run *r)
{
    kal_sim_clock_advance(&r->clock, 1);
    switch (kal_rng_below(&r->rng, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
        step_submit(r);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
        step_take(r);
        break;
    case 9:
    case 10:
    case 11:
        step_end(r);
        break;
    case 12:
        step_cancel(r);
        break;
    case 13:
        step_clean(r);
        break;
    case 14:
        if (kal_rng_chance(&r->rng, 1, 4))
            crash(r);
        break;
    default:
        kal_sim_clock_advance(&r->clock, (int64_t)kal_rng_below(&r->rng, 1000000));
        break;
    }
}

/* Without faults every job that was submitted comes to an end. */
static void finish(run *r)
{
    kal_job_entry *entry = NULL;
    kal_error err = KAL_ERROR_INIT;
    const kal_job_end end = {.status = KAL_OK, .error = &err};
    int64_t due_us = 0;

    crash(r);
    kal_kv_fault_enable(r->kv, false);
    kal_sim_clock_advance(&r->clock, 10 * KAL_JOB_RETRY_DELAY_MAX_US);
    for (;;) {
        kal_status status = kal_job_queue_take(r->queue, &entry, &due_us, &err);
        if (status == KAL_END)
            break;
        ok(status, &err);
        model_job *m = model_of(r, entry->job.number);
        assert_int_not_equal(m->status, KAL_JOB_COMPLETED);
        m->status = KAL_JOB_COMPLETED;
        ok(kal_job_queue_end(r->queue, entry, &end, &err), &err);
    }
    for (size_t i = 0; i < r->jobs.len; i++)
        assert_true(!unfinished(&r->jobs.items[i]));
}

static void run_seed(uint64_t seed)
{
    run r = {0};

    kal_rng_seed(&r.rng, seed);
    kal_sim_clock_init(&r.clock, INT64_C(1800000000000000));
    r.kv = kal_kv_open_fault(kal_kv_open_mem(), seed, 20, 0);
    open_queue(&r);
    crash(&r);
    for (unsigned i = 0; i < STEPS; i++)
        step(&r);
    finish(&r);
    assert_true(r.crashes > 2);
    assert_true(r.completed > 0);
    kal_job_queue_close(r.queue);
    kal_kv_close(r.kv);
    kal_vec_release(&r.jobs);
}

static void the_queue_is_as_the_model(void **state)
{
    const char *given = getenv("KAL_TEST_SEED");
    const char *count = getenv("KAL_TEST_COUNT");
    uint64_t seed = given == NULL ? 20261126 : strtoull(given, NULL, 10);
    uint64_t seeds = given != NULL ? 1 : count != NULL ? strtoull(count, NULL, 10) : SEEDS;

    (void)state;
    for (uint64_t i = 0; i < seeds; i++) {
        printf("KAL_TEST_SEED=%" PRIu64 "\n", seed + i);
        fflush(stdout);
        run_seed(seed + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_queue_is_as_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
