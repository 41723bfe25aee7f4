#include "jobs/job.h"
#include "base/assert.h"
#include "base/json_reader.h"

#include <stdio.h>

enum { ID_PREFIX_LEN = 2, ID_DIGITS = 13, FLAG_CANCEL_ASKED = 1 };

static const char *const TYPE_NAMES[] = {
#define TYPE_NAME(name, text, prefix) text,
    KAL_JOB_TYPE_LIST(TYPE_NAME)
#undef TYPE_NAME
};

static const char *const TYPE_PREFIXES[] = {
#define TYPE_PREFIX(name, text, prefix) prefix,
    KAL_JOB_TYPE_LIST(TYPE_PREFIX)
#undef TYPE_PREFIX
};

static const char *const STATUS_NAMES[] = {
#define STATUS_NAME(name, text) text,
    KAL_JOB_STATUS_LIST(STATUS_NAME)
#undef STATUS_NAME
};

const char *kal_job_type_name(kal_job_type type)
{
    KAL_ASSERT(type < KAL_JOB_TYPE_COUNT);
    return TYPE_NAMES[type];
}

const char *kal_job_status_name(kal_job_status status)
{
    KAL_ASSERT(status < KAL_JOB_STATUS_COUNT);
    return STATUS_NAMES[status];
}

bool kal_job_is_finished(kal_job_status status)
{
    return status == KAL_JOB_COMPLETED || status == KAL_JOB_FAILED || status == KAL_JOB_CANCELLED;
}

bool kal_job_may_become(kal_job_status from, kal_job_status to)
{
    switch (from) {
    case KAL_JOB_QUEUED:
    case KAL_JOB_RETRYING: /* FAILED: nobody here can run it */
        return to == KAL_JOB_RUNNING || to == KAL_JOB_CANCELLED || to == KAL_JOB_FAILED;
    case KAL_JOB_RUNNING:
        return to != KAL_JOB_RUNNING;
    case KAL_JOB_COMPLETED:
    case KAL_JOB_FAILED:
    case KAL_JOB_CANCELLED:
    case KAL_JOB_STATUS_COUNT:
        break;
    }
    return false;
}

bool kal_job_may_pass(kal_status status)
{
    return status == KAL_IO || status == KAL_BUSY || status == KAL_CONFLICT || status == KAL_STALE;
}

/* ---- job_id ---- */

void kal_job_id_format(kal_job_type type, uint64_t number, char out[KAL_JOB_ID_LEN + 1])
{
    KAL_ASSERT(type < KAL_JOB_TYPE_COUNT);
    KAL_ASSERT(number >= KAL_JOB_NUMBER_MIN && number <= KAL_JOB_NUMBER_MAX);
    snprintf(out, KAL_JOB_ID_LEN + 1, "%s-%013llx", TYPE_PREFIXES[type],
             (unsigned long long)number);
}

static bool parse_digits(kal_bytes text, uint64_t *number_out)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = kal_ascii_lower((char)text.ptr[i]);
        if (c >= '0' && c <= '9')
            number = number * 16 + (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            number = number * 16 + (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *number_out = number;
    return number >= KAL_JOB_NUMBER_MIN;
}

bool kal_job_id_parse(kal_bytes text, kal_job_type *type_out, uint64_t *number_out)
{
    if (text.len != KAL_JOB_ID_LEN || text.ptr[ID_PREFIX_LEN] != '-')
        return false;
    for (size_t i = 0; i < KAL_JOB_TYPE_COUNT; i++) {
        if (!kal_bytes_equal_nocase(kal_bytes_of(text.ptr, ID_PREFIX_LEN),
                                    kal_cstr(TYPE_PREFIXES[i])))
            continue;
        *type_out = (kal_job_type)i;
        return parse_digits(kal_bytes_of(text.ptr + ID_PREFIX_LEN + 1, ID_DIGITS), number_out);
    }
    return false;
}

/* ---- records ---- */

void kal_job_encode(const kal_job *job, kal_buf *out)
{
    kal_buf_append_byte(out, (uint8_t)job->type);
    kal_buf_append_byte(out, (uint8_t)job->status);
    kal_buf_append_byte(out, job->cancel_asked ? FLAG_CANCEL_ASKED : 0);
    kal_buf_append_byte(out, (uint8_t)job->error);
    kal_buf_append_le32(out, job->table_id);
    kal_buf_append_le32(out, job->start_count);
    kal_buf_append_le32(out, job->retry_count);
    kal_buf_append_le32(out, job->retries_max);
    kal_buf_append_le32(out, job->crash_count);
    kal_buf_append_le64(out, (uint64_t)job->created_at_us);
    kal_buf_append_le64(out, (uint64_t)job->started_at_us);
    kal_buf_append_le64(out, (uint64_t)job->finished_at_us);
    kal_buf_append_le64(out, (uint64_t)job->updated_at_us);
    kal_buf_append_le64(out, (uint64_t)job->due_us);
    kal_buf_append_le64(out, job->cpu_ns);
    kal_buf_append_text(out, job->namespace_id);
    kal_buf_append_text(out, job->table_name);
    kal_buf_append_text(out, job->key);
    kal_buf_append_text(out, job->actor);
    kal_buf_append_text(out, job->parameters);
    kal_buf_append_text(out, job->progress);
    kal_buf_append_text(out, job->result);
    kal_buf_append_text(out, job->error_text);
}

static kal_status corrupt(kal_error *err)
{
    return kal_error_set(err, KAL_CORRUPT, "the record of a job is damaged");
}

static bool take_time(kal_bytes *record, int64_t *out)
{
    uint64_t v = 0;
    if (!kal_bytes_take_le64(record, &v) || v > INT64_MAX)
        return false;
    *out = (int64_t)v;
    return true;
}

/* The numbers in front of the texts. */
static bool take_numbers(kal_bytes *record, kal_job *job)
{
    uint8_t type = 0;
    uint8_t status = 0;
    uint8_t flags = 0;
    uint8_t error = 0;

    if (!kal_bytes_take_u8(record, &type) || type >= KAL_JOB_TYPE_COUNT ||
        !kal_bytes_take_u8(record, &status) || status >= KAL_JOB_STATUS_COUNT ||
        !kal_bytes_take_u8(record, &flags) || flags > FLAG_CANCEL_ASKED ||
        !kal_bytes_take_u8(record, &error) || error > KAL_INTERNAL)
        return false;
    job->type = (kal_job_type)type;
    job->status = (kal_job_status)status;
    job->cancel_asked = flags != 0;
    job->error = (kal_status)error;
    return kal_bytes_take_le32(record, &job->table_id) &&
           kal_bytes_take_le32(record, &job->start_count) &&
           kal_bytes_take_le32(record, &job->retry_count) &&
           kal_bytes_take_le32(record, &job->retries_max) &&
           kal_bytes_take_le32(record, &job->crash_count) &&
           take_time(record, &job->created_at_us) && take_time(record, &job->started_at_us) &&
           take_time(record, &job->finished_at_us) && take_time(record, &job->updated_at_us) &&
           take_time(record, &job->due_us) && kal_bytes_take_le64(record, &job->cpu_ns);
}

static kal_status take_text(kal_bytes *record, size_t bytes_max, kal_arena *arena, kal_bytes *out,
                            kal_error *err)
{
    kal_bytes text;
    if (!kal_bytes_take_text(record, &text) || text.len > bytes_max || !kal_utf8_valid(text))
        return corrupt(err);
    if (!kal_arena_try_copy(arena, text, out))
        return kal_error_set(err, KAL_LIMIT, "the jobs' memory is used up");
    return KAL_OK;
}

/* They are shown as JSON, and the handler reads them. */
static kal_status check_parameters(kal_bytes parameters, kal_error *err)
{
    kal_arena scratch;

    if (parameters.len == 0)
        return KAL_OK;
    kal_arena_init(&scratch, NULL);
    kal_status status = kal_json_check(parameters, &scratch, NULL);
    kal_arena_release(&scratch);
    return status == KAL_OK ? KAL_OK : corrupt(err);
}

kal_status kal_job_decode(uint64_t number, kal_bytes record, kal_arena *arena, kal_job *out,
                          kal_error *err)
{
    const size_t text_max = KAL_JOB_TEXT_BYTES_MAX;

    *out = (kal_job){.number = number};
    if (number < KAL_JOB_NUMBER_MIN || number > KAL_JOB_NUMBER_MAX || !take_numbers(&record, out))
        return corrupt(err);
    KAL_TRY(take_text(&record, text_max, arena, &out->namespace_id, err));
    KAL_TRY(take_text(&record, text_max, arena, &out->table_name, err));
    KAL_TRY(take_text(&record, text_max, arena, &out->key, err));
    KAL_TRY(take_text(&record, text_max, arena, &out->actor, err));
    KAL_TRY(take_text(&record, KAL_JOB_PARAMETERS_BYTES_MAX, arena, &out->parameters, err));
    KAL_TRY(take_text(&record, text_max, arena, &out->progress, err));
    KAL_TRY(take_text(&record, text_max, arena, &out->result, err));
    KAL_TRY(take_text(&record, text_max, arena, &out->error_text, err));
    if (record.len != 0)
        return corrupt(err);
    return check_parameters(out->parameters, err);
}
