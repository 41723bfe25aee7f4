/*
 * jobs_record.c: any bytes as the record of a job. They are refused as damaged, or encoding what
 * was read gives the same bytes, every text in it is UTF-8, and the parameters are JSON.
 */
#include "base/assert.h"
#include "base/json_reader.h"
#include "jobs/job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const kal_job *job, kal_bytes record, kal_arena *arena)
{
    kal_buf again; /* owned */

    kal_buf_init(&again, NULL);
    kal_job_encode(job, &again);
    KAL_ASSERT(kal_bytes_equal(kal_buf_bytes(&again), record));
    KAL_ASSERT(kal_utf8_valid(job->result) && kal_utf8_valid(job->error_text));
    KAL_ASSERT(job->parameters.len == 0 || kal_json_check(job->parameters, arena, NULL) == KAL_OK);
    KAL_ASSERT(kal_job_type_name(job->type) != NULL && kal_job_status_name(job->status) != NULL);
    kal_buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kal_bytes record = kal_bytes_of(data, size);
    kal_job_type type = KAL_JOB_TYPE_COUNT;
    uint64_t number = 0;
    kal_arena arena; /* owned */
    kal_job job;
    kal_error err = KAL_ERROR_INIT;

    kal_arena_init(&arena, NULL);
    kal_status status = kal_job_decode(KAL_JOB_NUMBER_MIN, record, &arena, &job, &err);
    if (status == KAL_OK)
        check(&job, record, &arena);
    else
        KAL_ASSERT(err.status == KAL_CORRUPT && err.message[0] != '\0');
    if (kal_job_id_parse(record, &type, &number)) {
        char id[KAL_JOB_ID_LEN + 1];
        kal_job_id_format(type, number, id);
        KAL_ASSERT(kal_bytes_equal_nocase(kal_cstr(id), record));
    }
    kal_arena_release(&arena);
    return 0;
}
