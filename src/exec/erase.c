/*
 * erase.c: DROP USER ... ERASE: the user goes, and every byte of the rows with him.
 *
 * The statement locks the user out, durably, then submits a job and waits for it; who stops waiting
 * ends nothing. The user's record says that he is being erased until all is gone, and goes last: so
 * an erasing whose server died, or whose job failed or was killed, is found again at the next
 * start, and by the same statement at any time. Job and record name the user by number, not by
 * name.
 */
#include "table/erase.h"
#include "base/thread.h"
#include "exec/cold.h"
#include "exec/exports.h"
#include "exec/jobs.h"

#include <stdio.h>

#define USER_PARAMETER "user_no"
enum { KEY_BYTES = 40, PARAMETER_BYTES = 60, RESTORATION_POLL_MS = 50 };

/* ---- the job ---- */

static void show_progress(void *job, const char *what)
{
    kal_job_progress(job, "%s", what);
}

/* *user_out NULL: an earlier run of the job has come that far. */
static kal_status find_user(kal_exec *exec, kal_job_run *job, uint64_t *user_no_out,
                            kal_user **user_out, kal_error *err)
{
    kal_user *users = NULL;
    size_t count = 0;
    int64_t user_no = 0;

    *user_out = NULL;
    if (!kal_parse_i64(kal_job_text(job, USER_PARAMETER), &user_no) || user_no <= 0)
        return kal_error_set(err, KAL_CORRUPT, "the job does not say which user");
    *user_no_out = (uint64_t)user_no;
    KAL_TRY(kal_catalog_erasing_users(exec->catalog, job->arena, &users, &count, err));
    for (size_t i = 0; i < count; i++) {
        if (users[i].user_no == (uint64_t)user_no)
            *user_out = &users[i];
    }
    return KAL_OK;
}

static kal_status forget_user(kal_exec *exec, kal_bytes user_id, kal_error *err)
{
    kal_catalog_change *change =
        kal_catalog_begin(exec->catalog, &KAL_PRINCIPAL_SERVER); /* owned */
    kal_status status = kal_catalog_forget_user(change, user_id, err);
    if (status == KAL_OK)
        status = kal_catalog_commit(change, err);
    kal_catalog_end(change);
    return status;
}

static kal_status note_restoration(void *found, const kal_job *job, kal_error *err)
{
    (void)err;
    if (job->type == KAL_JOB_RESTORE && job->status == KAL_JOB_RUNNING)
        *(bool *)found = true;
    return KAL_OK;
}

/* One that began before the user was locked out may have written rows of his to tables that have no
 * name yet. It fails, and removes them; one that begins now finds that he is not there. */
static kal_status wait_for_restorations(kal_exec *exec, kal_job_run *job, kal_error *err)
{
    for (;;) {
        bool found = false;
        KAL_TRY(kal_jobs_scan(exec->jobs, note_restoration, &found, err));
        if (!found)
            return KAL_OK;
        kal_job_progress(job, "waiting for a restoration");
        KAL_TRY(kal_job_check(job, err));
        kal_thread_pause(RESTORATION_POLL_MS);
    }
}

static kal_status erase_user(kal_exec *exec, kal_job_run *job, const kal_user *user, kal_error *err)
{
    const kal_erase_args args = {
        .flush = {.tables = exec->tables,
                  .actor = &KAL_PRINCIPAL_SERVER,
                  .check = kal_job_hook,
                  .give_way = kal_job_give_way,
                  .context = job},
        .worker = job->worker,
        .user_no = user->user_no,
        .progress = show_progress,
        .progress_context = job,
    };
    kal_erase_result result;

    KAL_TRY(wait_for_restorations(exec, job, err));
    KAL_TRY(kal_erase_rows(&args, &result, err));
    KAL_TRY(kal_exports_clean(exec->exports, err));
    KAL_TRY(kal_jobs_forget_actor(exec->jobs, user->user_id, err));
    KAL_TRY(forget_user(exec, user->user_id, err));
    kal_job_result(job, "%llu rows erased, %llu segments written anew, %llu changes cleared",
                   (unsigned long long)result.row_count, (unsigned long long)result.segment_count,
                   (unsigned long long)result.change_count);
    return KAL_OK;
}

static kal_status run_erase(kal_job_run *job, void *context, kal_error *err)
{
    kal_exec *exec = context;
    uint64_t user_no = 0;
    kal_user *user = NULL;

    KAL_TRY(find_user(exec, job, &user_no, &user, err));
    kal_job_result(job, "the user was erased");
    if (user != NULL)
        KAL_TRY(erase_user(exec, job, user, err));
    kal_job_progress(job, "rewriting the catalog");
    return kal_kv_purge(exec->kv, 1u << KAL_KV_CATALOG | 1u << KAL_KV_JOBS, kal_job_hook, job, err);
}

static kal_job_spec make_spec(uint64_t user_no, char key[KEY_BYTES],
                              char parameters[PARAMETER_BYTES])
{
    unsigned long long number = user_no;

    snprintf(key, KEY_BYTES, "erase user %llu", number);
    snprintf(parameters, PARAMETER_BYTES, "{\"" USER_PARAMETER "\":\"%llu\"}", number);
    return (kal_job_spec){
        .type = KAL_JOB_USER_CLEANUP, .key = kal_cstr(key), .parameters = kal_cstr(parameters)};
}

void kal_erase_register(kal_exec *exec)
{
    kal_jobs_register(exec->jobs, KAL_JOB_USER_CLEANUP, run_erase, exec, 0);
}

kal_status kal_erase_resume(kal_exec *exec, kal_error *err)
{
    kal_user *users = NULL;
    size_t count = 0;
    kal_arena arena; /* owned */

    kal_arena_init(&arena, NULL);
    kal_status status = kal_catalog_erasing_users(exec->catalog, &arena, &users, &count, err);
    for (size_t i = 0; i < count && status == KAL_OK; i++) {
        char key[KEY_BYTES];
        char parameters[PARAMETER_BYTES];
        kal_job_spec spec = make_spec(users[i].user_no, key, parameters);
        spec.keep_trying = true;
        status = kal_jobs_submit(exec->jobs, &spec, NULL, err);
        if (status == KAL_EXISTS)
            status = KAL_OK;
    }
    kal_arena_release(&arena);
    return status;
}

/* ---- the statement ---- */

static kal_status lock_out(kal_run *run, kal_bytes user_id, kal_error *err)
{
    kal_catalog_change *change = kal_catalog_begin(run->exec->catalog, run->principal); /* owned */
    kal_status status = kal_catalog_begin_erasing(change, user_id, err);
    if (status == KAL_OK)
        status = kal_run_commit_change(run, change, err);
    kal_catalog_end(change);
    return status;
}

/* The answer is the job's; one that goes on says so. */
static void explain(const kal_run *run, kal_status status, kal_error *err)
{
    if (status == KAL_OK || err == NULL)
        return;
    kal_error_hint(err, "the user is locked out, the erasing is not finished: DROP USER ... ERASE "
                        "again or a restart goes on with it");
    kal_error_at(err, run->statement->user.name.position);
}

kal_status kal_run_erase_user(kal_run *run, const kal_user *user, kal_error *err)
{
    const kal_job_poll poll = {kal_run_stop_hook, run};
    char key[KEY_BYTES];
    char parameters[PARAMETER_BYTES];
    kal_bytes result;

    if (user->user_no == run->principal->user_no)
        return kal_error_set(err, KAL_DENIED, "nobody erases the own user");
    KAL_TRY(lock_out(run, user->user_id, err));
    kal_job_spec spec = make_spec(user->user_no, key, parameters);
    spec.actor = kal_cstr(run->principal->user_id);
    kal_status status = kal_jobs_run(run->exec->jobs, &spec, true, &poll, run->arena, &result, err);
    explain(run, status, err);
    KAL_TRY(status);
    kal_result_message(run->result, 0,
                       "User '%.*s' erased: %.*s. Backups and exports that were downloaded are "
                       "not changed",
                       KAL_FMT(user->user_id), KAL_FMT(result));
    return KAL_OK;
}
