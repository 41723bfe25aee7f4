/*
 * jobs.c: opening the jobs, KILL JOB. (SHOW JOBS is in show.c, each kind of job in its own file.)
 */
#include "exec/jobs.h"
#include "base/log.h"
#include "base/rng.h"
#include "exec/stats.h"

enum { RETRY_DELAY_MS = 1000 };

static uint64_t statements_ended(void *stats)
{
    return kal_stats_ended(stats);
}

kal_status kal_exec_open_jobs(kal_exec *exec, kal_error *err)
{
    const kal_exec_options *o = &exec->options;
    kal_jobs_options options = {
        .threads = o->job_threads,
        .node_id = o->node_id,
        .statements = {statements_ended, exec->stats},
        .queue =
            {
                .retries_max = o->job_retries_max,
                .retry_delay_ms = RETRY_DELAY_MS,
                .retention_us = (int64_t)o->job_retention_hours * 3600 * 1000000,
                .finished_max = o->job_records_max,
            },
    };

    kal_random_bytes(&options.queue.seed, sizeof options.queue.seed);
    KAL_TRY(
        kal_jobs_open(exec->kv, exec->catalog, exec->sched, o->clock, &options, &exec->jobs, err));
    kal_jobs_add_metrics(exec->jobs, kal_exec_metrics(exec));
    kal_erase_register(exec);
    return kal_backup_register(exec, err);
}

/* It was told to end: now it does, or it was faster. */
static kal_status wait_for_end(kal_run *run, const char *id, uint64_t number, kal_error *err)
{
    const kal_job_poll poll = {kal_run_time_hook, run};
    kal_bytes result;

    kal_status status = kal_jobs_wait(run->exec->jobs, number, &poll, run->arena, &result, err);
    if (status == KAL_OK)
        status =
            kal_error_set(err, KAL_INVALID, "job '%s' was completed before it was cancelled", id);
    else if (status != KAL_CANCELLED)
        return status;
    else
        return kal_run_check_stop(run, err); /* or nobody waits for this statement */
    kal_error_code(err, "JOB_FINISHED");
    return status;
}

kal_status kal_run_kill_job(kal_run *run, kal_error *err)
{
    const kal_sql_kill_job *kill = &run->statement->kill_job;
    char id[KAL_JOB_ID_LEN + 1];
    kal_job_type type = KAL_JOB_FLUSH;
    uint64_t number = 0;

    KAL_TRY(kal_may_manage(run->principal, "jobs", err));
    if (!kal_job_id_parse(kill->id, &type, &number)) {
        kal_error_set(err, KAL_NOT_FOUND, "job '%.*s' does not exist",
                      (int)(kill->id.len < 100 ? kill->id.len : 100), (const char *)kill->id.ptr);
        kal_error_code(err, "JOB_NOT_FOUND");
        kal_error_hint(err, "SHOW JOBS lists them");
        kal_error_at(err, kill->position);
        return KAL_NOT_FOUND;
    }
    kal_job_id_format(type, number, id);
    kal_status status = kal_jobs_cancel(run->exec->jobs, type, number, err);
    if (status == KAL_OK)
        kal_log_info("jobs", "%s is cancelled by '%s' from %s", id, run->principal->user_id,
                     run->peer == NULL ? "?" : run->peer);
    if (status == KAL_OK)
        status = wait_for_end(run, id, number, err);
    if (status != KAL_OK) {
        kal_error_at(err, kill->position);
        return status;
    }
    kal_result_message(run->result, 0, "Job '%s' cancelled successfully", id);
    return KAL_OK;
}
