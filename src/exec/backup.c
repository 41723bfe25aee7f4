/*
 * backup.c: BACKUP DATABASE ALL TO 'path' and SHOW BACKUP 'path', for dba and system.
 *
 * They take as long as the files take to read, so the statement's time limit is not theirs; the
 * client that leaves and the server that stops end them. One at a time.
 */
#include "backup/backup.h"
#include "exec/cold.h"

#include <string.h>

static kal_status go_on(void *context, kal_error *err)
{
    return kal_run_check_stop(context, err);
}

static kal_status begin(kal_run *run, kal_error *err)
{
    bool running = false;
    KAL_TRY(kal_may_manage(run->principal, "backups", err));
    if (!atomic_compare_exchange_strong(&run->exec->backup_runs, &running, true))
        return kal_error_set(err, KAL_BUSY, "another backup is being made or checked");
    return KAL_OK;
}

static void end(kal_run *run)
{
    atomic_store(&run->exec->backup_runs, false);
}

static kal_status failed(kal_run *run, kal_status status, kal_error *err)
{
    if (status == KAL_NOT_FOUND)
        kal_error_code(err, "BACKUP_NOT_FOUND");
    kal_error_at(err, run->statement->backup.position);
    return status;
}

kal_status kal_run_backup(kal_run *run, kal_error *err)
{
    kal_exec *exec = run->exec;
    const kal_backup_source source = {
        .kv = exec->kv,
        .catalog = exec->catalog,
        .tables = exec->tables,
        .actor = run->principal,
        .data_dir = exec->options.data_dir,
        .open_store = kal_cold_open_store,
        .context = exec->cold,
        .clock = exec->options.clock,
    };
    const kal_backup_poll poll = {go_on, run};
    kal_backup backup;

    KAL_TRY(begin(run, err));
    kal_status status =
        kal_backup_make(&source, run->statement->backup.path, &poll, run->arena, &backup, err);
    end(run);
    if (status != KAL_OK)
        return failed(run, status, err);
    kal_result_message(run->result, 0, "Backup written to '%.*s': %zu files, %llu bytes",
                       KAL_FMT(run->statement->backup.path), backup.file_count,
                       (unsigned long long)backup.size_bytes);
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
    kal_backup backup;

    KAL_TRY(begin(run, err));
    kal_status status =
        kal_backup_check(run->statement->backup.path, &poll, run->arena, &backup, err);
    end(run);
    return status == KAL_OK ? write_files(run, &backup, err) : failed(run, status, err);
}
