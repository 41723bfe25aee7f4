/*
 * backup.c: BACKUP DATABASE ALL|ns TO 'path', RESTORE DATABASE ns FROM 'path' and SHOW BACKUP
 * 'path', for dba and system.
 *
 * They take as long as the files take to read, so the statement's time limit is not theirs.
 *
 * BACKUP and RESTORE are jobs that their statements wait for. A client that leaves does not end
 * them: who asked for a backup wants it although a proxy gave up waiting, and KILL JOB is there.
 * They are not tried again and not resumed: a backup's moment would be another one than the one
 * that was asked for, and what a restoration has begun is removed when the server starts.
 */
#include "backup/namespace.h"
#include "base/log.h"
#include "catalog/restored.h"
#include "exec/cold.h"
#include "exec/jobs.h"

#define PATH_PARAMETER      "path"
#define BY_NAME_PARAMETER   "users_by_name"
#define SKIP_PARAMETER      "skip_missing_users"
#define SCHEDULED_PARAMETER "scheduled"

static kal_status failed(kal_run *run, kal_status status, kal_error *err)
{
    if (status == KAL_NOT_FOUND && strcmp(err->code, kal_status_code(status)) == 0)
        kal_error_code(err, "BACKUP_NOT_FOUND");
    kal_error_at(err, run->statement->backup.position);
    return status;
}

/* ---- BACKUP ---- */

static void note_rows(void *context, kal_bytes table_name, uint64_t rows)
{
    kal_job_progress(context, "table '%.*s', %llu rows", KAL_FMT(table_name),
                     (unsigned long long)rows);
}

static bool job_says(const kal_job_run *job, const char *parameter)
{
    const kal_json *said =
        job->parameters == NULL ? NULL : kal_json_find(job->parameters, parameter);
    return said != NULL && said->kind == KAL_JSON_BOOL && said->boolean;
}

static kal_status run_backup_job(kal_job_run *job, void *context, kal_error *err)
{
    kal_exec *exec = context;
    kal_bytes namespace_id = job->job->namespace_id;
    const kal_backup_source source = {
        .kv = exec->kv,
        .catalog = exec->catalog,
        .tables = exec->tables,
        .actor = &KAL_PRINCIPAL_SERVER,
        .data_dir = exec->options.data_dir,
        .open_store = kal_cold_open_store,
        .context = exec->cold,
        .clock = exec->options.clock,
        .parquet = kal_cold_parquet(exec->cold),
        .is_scheduled = job_says(job, SCHEDULED_PARAMETER),
    };
    const kal_backup_poll poll = {kal_job_hook, job, note_rows};
    kal_bytes path = kal_job_text(job, PATH_PARAMETER);
    kal_backup backup;

    KAL_TRY(namespace_id.len == 0 ? kal_backup_make(&source, path, &poll, job->arena, &backup, err)
                                  : kal_backup_make_namespace(&source, namespace_id, path, &poll,
                                                              job->arena, &backup, err));
    kal_job_result(job, "Backup written to '%.*s': %zu files, %llu bytes", KAL_FMT(path),
                   backup.file_count, (unsigned long long)backup.size_bytes);
    return KAL_OK;
}

/* ---- RESTORE ---- */

/* Who asked for it, as far as the history of the catalog is concerned. */
static kal_principal actor_of(const kal_job *job)
{
    kal_principal actor = KAL_PRINCIPAL_SERVER;
    size_t len = job->actor.len < KAL_USER_ID_BYTES_MAX ? job->actor.len : KAL_USER_ID_BYTES_MAX;

    if (len > 0) {
        memcpy(actor.user_id, job->actor.ptr, len);
        actor.user_id[len] = '\0';
    }
    return actor;
}

static kal_status run_restore_job(kal_job_run *job, void *context, kal_error *err)
{
    kal_exec *exec = context;
    const kal_principal actor = actor_of(job->job);
    const kal_restore_target target = {
        .catalog = exec->catalog,
        .tables = exec->tables,
        .parquet = kal_cold_parquet(exec->cold),
        .actor = &actor,
        .users_by_name = job_says(job, BY_NAME_PARAMETER),
        .skip_missing_users = job_says(job, SKIP_PARAMETER),
    };
    const kal_backup_poll poll = {kal_job_hook, job, note_rows};
    kal_bytes path = kal_job_text(job, PATH_PARAMETER);
    kal_restored restored;

    KAL_TRY(kal_backup_restore_namespace(&target, path, job->job->namespace_id, &poll, job->arena,
                                         &restored, err));
    if (restored.skipped_count > 0)
        kal_job_result(job,
                       "Namespace '%.*s' restored: %zu tables and views, %llu rows; %llu rows of "
                       "users who are not here were left out",
                       KAL_FMT(job->job->namespace_id), restored.table_count,
                       (unsigned long long)restored.row_count,
                       (unsigned long long)restored.skipped_count);
    else
        kal_job_result(job, "Namespace '%.*s' restored: %zu tables and views, %llu rows",
                       KAL_FMT(job->job->namespace_id), restored.table_count,
                       (unsigned long long)restored.row_count);
    return KAL_OK;
}

/* ---- as jobs ---- */

kal_status kal_backup_register(kal_exec *exec, kal_error *err)
{
    size_t left_behind = 0;

    KAL_TRY(kal_catalog_sweep_restored(exec->catalog, &left_behind, err));
    if (left_behind > 0)
        kal_log_info("backup", "%zu tables of a restoration that was interrupted are removed",
                     left_behind);
    kal_jobs_register(exec->jobs, KAL_JOB_BACKUP, run_backup_job, exec, KAL_JOB_NEVER_RESUME);
    kal_jobs_register(exec->jobs, KAL_JOB_RESTORE, run_restore_job, exec, KAL_JOB_NEVER_RESUME);
    return KAL_OK;
}

static void write_parameters(const kal_sql_backup *backup, kal_buf *out)
{
    kal_json_writer w;

    kal_json_writer_init(&w, out);
    kal_json_begin_object(&w);
    kal_json_key(&w, PATH_PARAMETER);
    kal_json_string(&w, backup->path);
    if (backup->users_by_name) {
        kal_json_key(&w, BY_NAME_PARAMETER);
        kal_json_bool(&w, true);
    }
    if (backup->skip_missing_users) {
        kal_json_key(&w, SKIP_PARAMETER);
        kal_json_bool(&w, true);
    }
    kal_json_end_object(&w);
}

kal_status kal_backup_schedule(kal_exec *exec, kal_bytes path, kal_error *err)
{
    kal_json_writer w;
    kal_buf parameters; /* owned */

    kal_buf_init(&parameters, NULL);
    kal_json_writer_init(&w, &parameters);
    kal_json_begin_object(&w);
    kal_json_key(&w, PATH_PARAMETER);
    kal_json_string(&w, path);
    kal_json_key(&w, SCHEDULED_PARAMETER);
    kal_json_bool(&w, true);
    kal_json_end_object(&w);
    const kal_job_spec spec = {
        .type = KAL_JOB_BACKUP, .parameters = kal_buf_bytes(&parameters), .never_retry = true};
    kal_status status = kal_jobs_submit(exec->jobs, &spec, NULL, err);
    kal_buf_release(&parameters);
    return status;
}

/* Submits the job and waits for it: its result is the statement's. */
static kal_status run_job(kal_run *run, kal_job_type type, kal_error *err)
{
    const kal_sql_backup *backup = &run->statement->backup;
    const kal_job_poll poll = {kal_run_stop_hook, run};
    kal_bytes result;
    kal_buf parameters; /* owned */

    kal_buf_init(&parameters, run->budget);
    write_parameters(backup, &parameters);
    const kal_job_spec spec = {.type = type,
                               .namespace_id = backup->namespace_name.text,
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

kal_status kal_run_backup(kal_run *run, kal_error *err)
{
    const kal_sql_backup *backup = &run->statement->backup;
    kal_bytes name = backup->namespace_name.text;
    kal_catalog *catalog = run->exec->catalog;

    KAL_TRY(kal_may_manage(run->principal, "backups", err));
    if (!backup->all && !kal_catalog_has_namespace(catalog, name)) {
        if (!backup->if_exists) {
            kal_status status = kal_catalog_unknown_namespace(catalog, name, err);
            kal_error_at(err, backup->namespace_name.position);
            return status;
        }
        kal_result_message(run->result, 0, "Namespace '%.*s' does not exist (skipped)",
                           KAL_FMT(name));
        return KAL_OK;
    }
    return run_job(run, KAL_JOB_BACKUP, err);
}

kal_status kal_run_restore(kal_run *run, kal_error *err)
{
    const kal_sql_backup *backup = &run->statement->backup;
    kal_bytes name = backup->namespace_name.text;

    KAL_TRY(kal_may_manage(run->principal, "backups", err));
    if (backup->all) {
        kal_error_set(err, KAL_UNSUPPORTED, "a running server's whole database cannot be restored");
        kal_error_hint(err, "`kalamdb-server --restore PATH --data DIR` makes a new data directory "
                            "out of a backup");
        return KAL_UNSUPPORTED;
    }
    if (backup->if_not_exists && kal_catalog_has_namespace(run->exec->catalog, name)) {
        kal_result_message(run->result, 0, "Namespace '%.*s' already exists (skipped)",
                           KAL_FMT(name));
        return KAL_OK;
    }
    return run_job(run, KAL_JOB_RESTORE, err);
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
    const kal_backup_poll poll = {kal_run_stop_hook, run, NULL};
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
