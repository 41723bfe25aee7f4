/*
 * job_test.c: names of jobs, their states, and records there and back.
 */
#include "base/rng.h"
#include "jobs/job.h"
#include "unit/base/seed.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void ids_read_back(void **state)
{
    char id[KAL_JOB_ID_LEN + 1];
    kal_rng rng;

    (void)state;
    kal_test_seed(&rng);
    for (int i = 0; i < 2000; i++) {
        kal_job_type type = (kal_job_type)kal_rng_below(&rng, KAL_JOB_TYPE_COUNT);
        kal_job_type type_back = KAL_JOB_TYPE_COUNT;
        uint64_t number =
            KAL_JOB_NUMBER_MIN + kal_rng_below(&rng, KAL_JOB_NUMBER_MAX - KAL_JOB_NUMBER_MIN + 1);
        uint64_t number_back = 0;
        kal_job_id_format(type, number, id);
        assert_int_equal(strlen(id), KAL_JOB_ID_LEN);
        assert_true(id[3] >= 'a' && id[3] <= 'f'); /* so it is a word of SQL */
        assert_true(kal_job_id_parse(kal_cstr(id), &type_back, &number_back));
        assert_int_equal(type_back, type);
        assert_int_equal(number_back, number);
        /* Another byte anywhere is another job or none, never the same. */
        id[kal_rng_below(&rng, KAL_JOB_ID_LEN)] ^= (char)(1 + kal_rng_below(&rng, 31));
        bool parsed = kal_job_id_parse(kal_cstr(id), &type_back, &number_back);
        assert_false(parsed && type_back == type && number_back == number);
    }
    kal_job_type type;
    uint64_t number;
    assert_false(kal_job_id_parse(KAL_STR(""), &type, &number));
    assert_false(kal_job_id_parse(KAL_STR("FL-"), &type, &number));
    assert_false(kal_job_id_parse(KAL_STR("FL-a00000000000"), &type, &number));
    assert_false(kal_job_id_parse(KAL_STR("FL-a0000000000000"), &type, &number));
    assert_false(kal_job_id_parse(KAL_STR("XX-a000000000000"), &type, &number));
    assert_false(kal_job_id_parse(KAL_STR("FL-9fffffffffffff"), &type, &number));
    assert_true(kal_job_id_parse(KAL_STR("fl-A000000000000"), &type, &number));
}

/* Goal: a finished job stays as it is, and nothing waits that ran to an end. */
static void states_follow_the_drawing(void **state)
{
    (void)state;
    for (size_t from = 0; from < KAL_JOB_STATUS_COUNT; from++) {
        for (size_t to = 0; to < KAL_JOB_STATUS_COUNT; to++) {
            bool may = kal_job_may_become((kal_job_status)from, (kal_job_status)to);
            if (kal_job_is_finished((kal_job_status)from) || from == to)
                assert_false(may);
            if (to == KAL_JOB_COMPLETED || to == KAL_JOB_RETRYING || to == KAL_JOB_QUEUED)
                assert_true(may == (from == KAL_JOB_RUNNING));
        }
    }
}

static kal_bytes random_text(kal_rng *rng, kal_arena *arena, size_t max)
{
    size_t len = kal_rng_chance(rng, 1, 3) ? 0 : kal_rng_below(rng, max + 1);
    uint8_t *text = kal_arena_alloc(arena, len);
    for (size_t i = 0; i < len; i++)
        text[i] = (uint8_t)('a' + kal_rng_below(rng, 26));
    return kal_bytes_of(text, len);
}

static kal_job random_job(kal_rng *rng, kal_arena *arena)
{
    return (kal_job){
        .number = KAL_JOB_NUMBER_MIN + kal_rng_below(rng, 1000000),
        .type = (kal_job_type)kal_rng_below(rng, KAL_JOB_TYPE_COUNT),
        .status = (kal_job_status)kal_rng_below(rng, KAL_JOB_STATUS_COUNT),
        .cancel_asked = kal_rng_chance(rng, 1, 2),
        .table_id = (uint32_t)kal_rng_next(rng),
        .namespace_id = random_text(rng, arena, 64),
        .table_name = random_text(rng, arena, 64),
        .key = random_text(rng, arena, 100),
        .actor = random_text(rng, arena, 100),
        .parameters =
            kal_rng_chance(rng, 1, 2) ? KAL_STR("{\"a\":[1,\"b\",null]}") : (kal_bytes){0},
        .progress = random_text(rng, arena, 100),
        .result = random_text(rng, arena, 1000),
        .error_text = random_text(rng, arena, 500),
        .error = (kal_status)kal_rng_below(rng, KAL_INTERNAL + 1),
        .start_count = (uint32_t)kal_rng_next(rng),
        .retry_count = (uint32_t)kal_rng_next(rng),
        .retries_max = (uint32_t)kal_rng_next(rng),
        .crash_count = (uint32_t)kal_rng_next(rng),
        .created_at_us = (int64_t)(kal_rng_next(rng) >> 1),
        .started_at_us = (int64_t)(kal_rng_next(rng) >> 1),
        .finished_at_us = (int64_t)(kal_rng_next(rng) >> 1),
        .updated_at_us = (int64_t)(kal_rng_next(rng) >> 1),
        .due_us = (int64_t)(kal_rng_next(rng) >> 1),
        .cpu_ns = kal_rng_next(rng),
    };
}

static void assert_text(kal_bytes a, kal_bytes b)
{
    assert_int_equal(a.len, b.len);
    assert_true(kal_bytes_equal(a, b));
}

static void assert_same(const kal_job *a, const kal_job *b)
{
    assert_int_equal(a->number, b->number);
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->cancel_asked, b->cancel_asked);
    assert_int_equal(a->table_id, b->table_id);
    assert_text(a->namespace_id, b->namespace_id);
    assert_text(a->table_name, b->table_name);
    assert_text(a->key, b->key);
    assert_text(a->actor, b->actor);
    assert_text(a->parameters, b->parameters);
    assert_text(a->progress, b->progress);
    assert_text(a->result, b->result);
    assert_text(a->error_text, b->error_text);
    assert_int_equal(a->error, b->error);
    assert_int_equal(a->start_count, b->start_count);
    assert_int_equal(a->retry_count, b->retry_count);
    assert_int_equal(a->retries_max, b->retries_max);
    assert_int_equal(a->crash_count, b->crash_count);
    assert_int_equal(a->created_at_us, b->created_at_us);
    assert_int_equal(a->started_at_us, b->started_at_us);
    assert_int_equal(a->finished_at_us, b->finished_at_us);
    assert_int_equal(a->updated_at_us, b->updated_at_us);
    assert_int_equal(a->due_us, b->due_us);
    assert_int_equal(a->cpu_ns, b->cpu_ns);
}

/* Goal: a record reads back as it was, and no beginning of it is a record. */
static void records_read_back(void **state)
{
    kal_rng rng;

    (void)state;
    kal_test_seed(&rng);
    for (int i = 0; i < 300; i++) {
        kal_arena arena;
        kal_buf record;
        kal_job back;
        kal_error err = KAL_ERROR_INIT;

        kal_arena_init(&arena, NULL);
        kal_buf_init(&record, NULL);
        kal_job job = random_job(&rng, &arena);
        kal_job_encode(&job, &record);
        kal_status status = kal_job_decode(job.number, kal_buf_bytes(&record), &arena, &back, &err);
        if (status != KAL_OK)
            fail_msg("%s", err.message);
        assert_same(&job, &back);
        size_t len = kal_rng_below(&rng, record.len);
        assert_int_equal(
            kal_job_decode(job.number, kal_bytes_of(record.ptr, len), &arena, &back, &err),
            KAL_CORRUPT);
        kal_buf_release(&record);
        kal_arena_release(&arena);
    }
}

/* Goal: the limits of texts hold, and what is shown as JSON is JSON. */
static void damaged_records_are_refused(void **state)
{
    static char long_text[KAL_JOB_TEXT_BYTES_MAX + 2];
    const kal_job sound = {.number = KAL_JOB_NUMBER_MIN};
    kal_job jobs[] = {sound, sound, sound, sound, sound, sound};
    kal_arena arena;

    (void)state;
    memset(long_text, 'x', sizeof long_text - 1);
    jobs[0].parameters = KAL_STR("{\"a\":");
    jobs[1].result = kal_cstr(long_text);
    jobs[2].key = kal_bytes_of("\xff", 1);
    jobs[3].type = KAL_JOB_TYPE_COUNT;
    jobs[4].status = KAL_JOB_STATUS_COUNT;
    jobs[5].error = KAL_INTERNAL + 1;
    for (size_t i = 0; i < KAL_ARRAY_LEN(jobs); i++) {
        kal_buf record;
        kal_job back;
        kal_error err = KAL_ERROR_INIT;
        kal_arena_init(&arena, NULL);
        kal_buf_init(&record, NULL);
        kal_job_encode(&jobs[i], &record);
        assert_int_equal(
            kal_job_decode(KAL_JOB_NUMBER_MIN, kal_buf_bytes(&record), &arena, &back, &err),
            KAL_CORRUPT);
        assert_true(err.message[0] != '\0');
        kal_buf_release(&record);
        kal_arena_release(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_read_back),
        cmocka_unit_test(states_follow_the_drawing),
        cmocka_unit_test(records_read_back),
        cmocka_unit_test(damaged_records_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
