/*
 * job_rows.c: the rows of system.jobs: as of the statement's moment, but for what running jobs say
 * of their progress, which is not stored.
 */
#include "catalog/system_tables.h"
#include "jobs/jobs_internal.h"

#include <stdio.h>

typedef struct row_writer {
    kal_jobs *jobs;
    kal_system_sink *sink;
} row_writer;

static kal_value text_or_null(kal_bytes text)
{
    return text.len == 0 ? kal_value_null(kal_type_of(KAL_TYPE_TEXT)) : kal_value_text(text);
}

static kal_value time_or_null(int64_t us)
{
    return us == 0 ? kal_value_null(kal_type_of(KAL_TYPE_TIMESTAMP))
                   : kal_value_integer(KAL_TYPE_TIMESTAMP, us);
}

static kal_value json_or_null(kal_bytes json)
{
    kal_value v = text_or_null(json);
    v.type = kal_type_of(KAL_TYPE_JSON);
    return v;
}

/* What a running job says now. */
static kal_bytes progress_now(kal_jobs *jobs, const kal_job *job, char text[KAL_JOB_PROGRESS_BYTES])
{
    kal_bytes progress = job->progress;

    pthread_mutex_lock(&jobs->lock);
    const kal_job_entry *entry = kal_job_queue_find(jobs->queue, job->number);
    if (entry != NULL && entry->job.status == KAL_JOB_RUNNING) {
        snprintf(text, KAL_JOB_PROGRESS_BYTES, "%s", entry->progress);
        progress = kal_cstr(text);
    }
    pthread_mutex_unlock(&jobs->lock);
    return progress;
}

static kal_status add_row(void *context, const kal_job *job, kal_error *err)
{
    const row_writer *w = context;
    char id[KAL_JOB_ID_LEN + 1];
    char node[16];
    char progress[KAL_JOB_PROGRESS_BYTES];
    kal_bytes shown = job->progress;

    kal_job_id_format(job->type, job->number, id);
    snprintf(node, sizeof node, "%u", w->jobs->options.node_id);
    if (job->status == KAL_JOB_RUNNING)
        shown = progress_now(w->jobs, job, progress);
    const kal_value row[] = {
        [KAL_JOBS_JOB_ID] = kal_value_text(kal_cstr(id)),
        [KAL_JOBS_JOB_TYPE] = kal_value_text(kal_cstr(kal_job_type_name(job->type))),
        [KAL_JOBS_NAMESPACE_ID] = text_or_null(job->namespace_id),
        [KAL_JOBS_TABLE_NAME] = text_or_null(job->table_name),
        [KAL_JOBS_STATUS] = kal_value_text(kal_cstr(kal_job_status_name(job->status))),
        [KAL_JOBS_PARAMETERS] = json_or_null(job->parameters),
        [KAL_JOBS_RESULT] = text_or_null(job->result),
        [KAL_JOBS_TRACE] = kal_value_null(kal_type_of(KAL_TYPE_TEXT)),
        [KAL_JOBS_MEMORY_USED] = kal_value_null(kal_type_of(KAL_TYPE_BIGINT)),
        [KAL_JOBS_CPU_USED] = kal_value_bigint((int64_t)(job->cpu_ns / 1000)),
        [KAL_JOBS_CREATED_AT] = kal_value_integer(KAL_TYPE_TIMESTAMP, job->created_at_us),
        [KAL_JOBS_STARTED_AT] = time_or_null(job->started_at_us),
        [KAL_JOBS_COMPLETED_AT] = time_or_null(job->finished_at_us),
        [KAL_JOBS_NODE_ID] = kal_value_text(kal_cstr(node)),
        [KAL_JOBS_ERROR_MESSAGE] = text_or_null(job->error_text),
        [KAL_JOBS_PROGRESS] = text_or_null(shown),
        [KAL_JOBS_RETRY_COUNT] = kal_value_integer(KAL_TYPE_INT, (int32_t)job->retry_count),
        [KAL_JOBS_MAX_RETRIES] = kal_value_integer(KAL_TYPE_INT, (int32_t)job->retries_max),
        [KAL_JOBS_START_COUNT] = kal_value_integer(KAL_TYPE_INT, (int32_t)job->start_count),
        [KAL_JOBS_IDEMPOTENCY_KEY] = kal_value_text(job->key),
        [KAL_JOBS_ACTOR] = text_or_null(job->actor),
        [KAL_JOBS_UPDATED_AT] = kal_value_integer(KAL_TYPE_TIMESTAMP, job->updated_at_us),
        [KAL_JOBS_DUE_AT] = time_or_null(job->due_us),
    };
    _Static_assert(KAL_ARRAY_LEN(row) == KAL_JOBS_END_OF_COLUMNS, "one value per column");
    return kal_system_sink_add(w->sink, row, KAL_ARRAY_LEN(row), err);
}

kal_status kal_jobs_get(kal_jobs *jobs, uint64_t number, kal_arena *arena, kal_job *out,
                        kal_error *err)
{
    return kal_job_queue_get(jobs->queue, NULL, number, arena, out, err);
}

kal_status kal_jobs_scan(kal_jobs *jobs, kal_job_visit visit, void *context, kal_error *err)
{
    return kal_job_queue_scan(jobs->queue, NULL, visit, context, err);
}

kal_status kal_jobs_rows(void *context, const kal_kv_snapshot *snapshot, kal_system_sink *sink,
                         kal_error *err)
{
    row_writer w = {context, sink};
    return kal_job_queue_scan(w.jobs->queue, snapshot, add_row, &w, err);
}
