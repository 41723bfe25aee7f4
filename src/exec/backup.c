/*
 * backup.c: BACKUP DATABASE ALL TO 'path' and SHOW BACKUP 'path', for dba and system.
 *
 * They take as long as the files take to read, so the statement's time limit is not theirs.
 *
 * BACKUP is a job that its statement waits for. A client that leaves does not end it: who asked for
 * a backup wants it although a proxy gave up waiting, and KILL JOB is there. It is not tried again
 * and not resumed: its moment would be another one than the one that was asked for.
 */
#include "backup/backup.h"
#include "exec/cold.h"
#include "exec/jobs.h"

#define PATH_PARAMETER "path"

static kal_status go_on(void *context, kal_error *err)
{
    return kal_run_check_stop(context, err);
}

static kal_status failed(kal_run *run, kal_status status, kal_error *err)
{
    if (status == KAL_NOT_FOUND)
        kal_error_code(err, "BACKUP_NOT_FOUND");
    kal_error_at(err, run->statement->backup.position);
    return status;
}

/* ---- BACKUP ---- */

static kal_status check_job(void *context, kal_error *err)
{
    return kal_job_check(context, err);
}

static kal_status run_backup_job(kal_job_run *job, void *context, kal_error *err)
{
    kal_exec *exec = context;
    const kal_backup_source source = {
        .kv = exec->kv,
        .catalog = exec->catalog,
        .tables = exec->tables,
        .actor = &KAL_PRINCIPAL_SERVER,
        .data_dir = exec->options.data_dir,
        .open_store = kal_cold_open_store,
        .context = exec->cold,
        .clock = exec->options.clock,
    };
    const kal_backup_poll poll = {check_job, job};
    kal_bytes path = kal_job_text(job, PATH_PARAMETER);
    kal_backup backup;

    KAL_TRY(kal_backup_make(&source, path, &poll, job->arena, &backup, err));
    kal_job_result(job, "Backup written to '%.*s': %zu files, %llu bytes", KAL_FMT(path),
                   backup.file_count, (unsigned long long)backup.size_bytes);
    return KAL_OK;
}

void kal_backup_register(kal_exec *exec)
{
    kal_jobs_register(exec->jobs, KAL_JOB_BACKUP, run_backup_job, exec, KAL_JOB_NEVER_RESUME);
}

static void write_parameters(kal_bytes path, kal_buf *out)
{
    kal_json_writer w;

    kal_json_writer_init(&w, out);
    kal_json_begin_object(&w);
    kal_json_key(&w, PATH_PARAMETER);
    kal_json_string(&w, path);
    kal_json_end_object(&w);
}

kal_status kal_run_backup(kal_run *run, kal_error *err)
{
    const kal_job_poll poll = {go_on, run};
    kal_bytes result;
    kal_buf parameters; /* owned */

    KAL_TRY(kal_may_manage(run->principal, "backups", err));
    kal_buf_init(&parameters, run->budget);
    write_parameters(run->statement->backup.path, &parameters);
    const kal_job_spec spec = {.type = KAL_JOB_BACKUP,
                               .actor = kal_cstr(run->principal->user_id),
                               .parameters = kal_buf_bytes(&parameters),
                               .never_retry = true};
    kal_status status =
        kal_buf_failed(&parameters)
            ? kal_error_set(err, KAL_LIMIT, "the statement's memory is used up")
            : kal_jobs_run(run->exec->jobs, &spec, false, &poll, run->arena, &result, err);
    kal_buf_release(&parameters);
    if (status != KAL_OK)
        return failed(run, status, err);
    kal_result_message(run->result, 0, "%.*s", (int)result.len, (const char *)result.ptr);
    return KAL_OK;
}

/* ---- SHOW BACKUP ---- */

static kal_status write_files(kal_run *run, const kal_backup *backup, kal_error *err)
{
    const kal_type text = kal_type_of(KAL_TYPE_TEXT);
    const kal_result_column columns[] = {
        {.name = KAL_STR("file"), .type = text},
        {.name = KAL_STR("bytes"), .type = kal_type_of(KAL_TYPE_BIGINT)},
        {.name = KAL_STR("sha256"), .type = text},
        {.name = KAL_STR("state"), .type = text},
        {.name = KAL_STR("backup_time"), .type = kal_type_of(KAL_TYPE_TIMESTAMP)},
        {.name = KAL_STR("server_version"), .type = text},
    };

    kal_result_begin(run->result, columns, KAL_ARRAY_LEN(columns));
    for (size_t i = 0; i < backup->file_count; i++) {
        const kal_backup_file *f = &backup->files[i];
        const kal_value row[] = {
            kal_value_text(f->name),
            kal_value_integer(KAL_TYPE_BIGINT, (int64_t)f->size_bytes),
            kal_value_text(f->sha256),
            kal_value_text(kal_cstr(kal_backup_state_name(f->state))),
            kal_value_integer(KAL_TYPE_TIMESTAMP, backup->created_at_us),
            kal_value_text(backup->version),
        };
        KAL_TRY(kal_result_row(run->result, row, KAL_ARRAY_LEN(row), err));
    }
    kal_result_end(run->result);
    return KAL_OK;
}

kal_status kal_run_show_backup(kal_run *run, kal_error *err)
{
    const kal_backup_poll poll = {go_on, run};
    bool running = false;
    kal_backup backup;

    KAL_TRY(kal_may_manage(run->principal, "backups", err));
    if (!atomic_compare_exchange_strong(&run->exec->backup_check_runs, &running, true))
        return kal_error_set(err, KAL_BUSY, "another backup is being checked");
    kal_status status =
        kal_backup_check(run->statement->backup.path, &poll, run->arena, &backup, err);
    atomic_store(&run->exec->backup_check_runs, false);
    return status == KAL_OK ? write_files(run, &backup, err) : failed(run, status, err);
}
