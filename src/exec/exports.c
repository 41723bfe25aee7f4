/*
 * exports.c: EXPORT USER DATA, SHOW EXPORT, fetching and removing exports.
 *
 * Who an export belongs to is in its job's parameters by number, which no other user ever gets, and
 * not by name. Whoever may not have it is told the same as of an export that does not exist.
 */
#include "exec/exports.h"
#include "backup/user_export.h"
#include "base/file_io.h"
#include "base/files.h"
#include "base/log.h"
#include "exec/jobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY      "exports"
#define ARCHIVE_END    ".zip"
#define PARTIAL_END    ".zip.partial"
#define USER_PARAMETER "user"
#define USER_NUMBER    "user_number"
#define OWNER_NUMBER   "owner_number"
#define SECOND_US      INT64_C(1000000)
#define URL            "/v1/exports/"

enum { CLEAN_INTERVAL_MS = 30 * 1000, PATH_BYTES = PATH_MAX };

struct kal_exports {
    kal_exec *exec; /* borrowed */
    char directory[PATH_BYTES];
};

/* What a job's parameters say. */
typedef struct export_job {
    kal_bytes user_id;
    uint64_t user_no;  /* whose rows */
    uint64_t owner_no; /* who asked */
} export_job;

static bool take_number(const kal_json *json, const char *member, uint64_t *out)
{
    const kal_json *found = kal_json_find(json, member);
    int64_t number = 0;
    if (found == NULL || found->kind != KAL_JSON_NUMBER || !kal_parse_i64(found->text, &number) ||
        number <= 0)
        return false;
    *out = (uint64_t)number;
    return true;
}

/* False: it is no export. */
static bool read_parameters(const kal_json *json, export_job *out)
{
    const kal_json *user = json == NULL ? NULL : kal_json_find(json, USER_PARAMETER);
    if (user == NULL || user->kind != KAL_JSON_STRING)
        return false;
    out->user_id = user->text;
    return take_number(json, USER_NUMBER, &out->user_no) &&
           take_number(json, OWNER_NUMBER, &out->owner_no);
}

static bool read_job(const kal_job *job, kal_arena *arena, export_job *out)
{
    kal_json *json = NULL;
    return job->type == KAL_JOB_USER_EXPORT &&
           kal_json_parse(job->parameters, arena, &json, NULL) == KAL_OK &&
           read_parameters(json, out);
}

static bool user_exists(kal_exec *exec, uint64_t user_no)
{
    uint32_t generation = 0;
    kal_role role = KAL_ROLE_USER;
    return kal_catalog_user_state(exec->catalog, user_no, &generation, &role);
}

/* There is a file to be fetched, or there will be. */
static bool is_kept(kal_exec *exec, const kal_job *job, const export_job *x)
{
    int64_t kept_us = (int64_t)exec->options.export_retention_s * SECOND_US;

    if (!user_exists(exec, x->user_no) || !user_exists(exec, x->owner_no))
        return false;
    if (!kal_job_is_finished(job->status))
        return true;
    return job->status == KAL_JOB_COMPLETED &&
           kal_clock_wall_us(exec->options.clock) - job->finished_at_us < kept_us;
}

static kal_status path_of(const kal_exports *exports, const char *id, const char *end,
                          char out[PATH_BYTES], kal_error *err)
{
    int len = snprintf(out, PATH_BYTES, "%s/%s%s", exports->directory, id, end);
    return len > 0 && len < PATH_BYTES
               ? KAL_OK
               : kal_error_set(err, KAL_INVALID, "the path of the data directory is too long");
}

/* ---- the job ---- */

typedef struct export_run {
    kal_exec *exec;
    kal_job_run *job;
    const export_job *x;
} export_run;

/* Whose user is dropped meanwhile, his rows are not to be written anywhere. */
static kal_status check_job(void *context, kal_error *err)
{
    const export_run *run = context;

    KAL_TRY(kal_job_check(run->job, err));
    if (user_exists(run->exec, run->x->user_no))
        return KAL_OK;
    return kal_error_set(err, KAL_NOT_FOUND, "user '%.*s' does not exist",
                         KAL_FMT(run->x->user_id));
}

static void note_rows(void *context, kal_bytes table_name, uint64_t rows)
{
    const export_run *run = context;
    kal_job_progress(run->job, "table '%.*s', %llu rows", KAL_FMT(table_name),
                     (unsigned long long)rows);
}

static kal_status make_file(kal_exports *exports, kal_job_run *job, const export_job *x,
                            const char *partial, const char *path, kal_error *err)
{
    kal_exec *exec = exports->exec;
    export_run run = {exec, job, x};
    const kal_backup_poll poll = {check_job, &run, note_rows};
    const kal_user_export_args args = {
        .catalog = exec->catalog,
        .tables = exec->tables,
        .user_no = x->user_no,
        .user_id = x->user_id,
        .path = partial,
        .bytes_max = exec->options.export_bytes_max,
        .poll = &poll,
    };
    kal_user_exported made;

    KAL_TRY(check_job(&run, err));
    KAL_TRY(kal_user_export(&args, &made, err));
    KAL_TRY(check_job(&run, err));
    if (rename(partial, path) != 0)
        return kal_error_set(err, KAL_IO, "cannot make '%s': %s", path, strerror(errno));
    int error = kal_file_sync_directory_of(path);
    if (error != 0)
        return kal_error_set(err, KAL_IO, "cannot write '%s': %s", path, strerror(error));
    if (!user_exists(exec, x->user_no)) { /* dropped, and perhaps erased, meanwhile */
        unlink(path);
        return kal_error_set(err, KAL_NOT_FOUND, "user '%.*s' was dropped", KAL_FMT(x->user_id));
    }
    kal_job_result(job, "%llu rows of %zu tables, %llu bytes", (unsigned long long)made.row_count,
                   made.table_count, (unsigned long long)made.size_bytes);
    return KAL_OK;
}

static kal_status run_export_job(kal_job_run *job, void *context, kal_error *err)
{
    kal_exports *exports = context;
    char id[KAL_JOB_ID_LEN + 1];
    char partial[PATH_BYTES];
    char path[PATH_BYTES];
    export_job x = {0};

    if (!read_parameters(job->parameters, &x))
        return kal_error_set(err, KAL_INVALID, "the job says no user");
    kal_job_id_format(job->job->type, job->job->number, id);
    KAL_TRY(path_of(exports, id, PARTIAL_END, partial, err));
    KAL_TRY(path_of(exports, id, ARCHIVE_END, path, err));
    unlink(partial); /* of a run that a crash ended */
    kal_status status = make_file(exports, job, &x, partial, path, err);
    if (status != KAL_OK)
        unlink(partial);
    return status;
}

/* ---- cleaning up ---- */

/* A name in the directory, made by us: "UX-....zip" or partial. */
static bool parse_name(const char *name, uint64_t *number_out, bool *partial_out)
{
    kal_job_type type = KAL_JOB_FLUSH;
    size_t len = strlen(name);

    if (len < KAL_JOB_ID_LEN ||
        !kal_job_id_parse(kal_bytes_of(name, KAL_JOB_ID_LEN), &type, number_out) ||
        type != KAL_JOB_USER_EXPORT)
        return false;
    *partial_out = strcmp(name + KAL_JOB_ID_LEN, PARTIAL_END) == 0;
    return *partial_out || strcmp(name + KAL_JOB_ID_LEN, ARCHIVE_END) == 0;
}

static bool is_wanted(kal_exports *exports, uint64_t number, bool partial)
{
    kal_exec *exec = exports->exec;
    export_job x = {0};
    kal_job job;
    kal_arena arena; /* owned */

    kal_arena_init(&arena, NULL);
    kal_status status = kal_jobs_get(exec->jobs, number, &arena, &job, NULL);
    /* What cannot be read now is left for the next time. */
    bool wanted = status != KAL_NOT_FOUND;
    if (status == KAL_OK)
        wanted = read_job(&job, &arena, &x) && is_kept(exec, &job, &x) &&
                 (!partial || job.status == KAL_JOB_RUNNING);
    kal_arena_release(&arena);
    return wanted;
}

kal_status kal_exports_clean(kal_exports *exports, kal_error *err)
{
    char path[PATH_BYTES];
    uint64_t number = 0;
    bool partial = false;
    DIR *open = opendir(exports->directory);

    if (open == NULL)
        return kal_error_set(err, KAL_IO, "cannot read '%s': %s", exports->directory,
                             strerror(errno));
    for (struct dirent *entry = readdir(open); entry != NULL; entry = readdir(open)) {
        if (parse_name(entry->d_name, &number, &partial) && !is_wanted(exports, number, partial) &&
            path_of(exports, entry->d_name, "", path, NULL) == KAL_OK)
            unlink(path);
    }
    closedir(open);
    return KAL_OK;
}

static kal_status clean(kal_jobs *jobs, void *context, kal_error *err)
{
    (void)jobs;
    return kal_exports_clean(context, err);
}

kal_status kal_exports_open(kal_exec *exec, kal_exports **exports_out, kal_error *err)
{
    kal_exports *exports = calloc(1, sizeof *exports);

    if (exports == NULL)
        kal_die("out of memory: exports");
    *exports_out = exports;
    exports->exec = exec;
    int len = snprintf(exports->directory, PATH_BYTES, "%s/" DIRECTORY, exec->options.data_dir);
    if (len < 0 || len >= PATH_BYTES - 64)
        return kal_error_set(err, KAL_INVALID, "the path of the data directory is too long");
    KAL_TRY(kal_files_make_dir(kal_files_system(), exports->directory, err));
    kal_jobs_register(exec->jobs, KAL_JOB_USER_EXPORT, run_export_job, exports, 0);
    uint64_t kept_ms = exec->options.export_retention_s * 1000;
    return kal_jobs_every(exec->jobs, "exports",
                          kept_ms < CLEAN_INTERVAL_MS ? kept_ms : CLEAN_INTERVAL_MS, clean, exports,
                          err);
}

void kal_exports_close(kal_exports *exports)
{
    free(exports);
}

/* ---- EXPORT USER DATA ---- */

typedef struct export_count {
    kal_exec *exec;
    uint64_t owner_no;
    size_t count;
} export_count;

static kal_status count_own(void *context, const kal_job *job, kal_error *err)
{
    export_count *c = context;
    export_job x = {0};
    kal_arena arena; /* owned */

    (void)err;
    kal_arena_init(&arena, NULL);
    c->count += read_job(job, &arena, &x) && x.owner_no == c->owner_no && is_kept(c->exec, job, &x);
    kal_arena_release(&arena);
    return KAL_OK;
}

static kal_status check_count(kal_run *run, kal_error *err)
{
    kal_exec *exec = run->exec;
    export_count own = {.exec = exec, .owner_no = run->principal->user_no};

    KAL_TRY(kal_jobs_scan(exec->jobs, count_own, &own, err));
    if (own.count < exec->options.exports_max)
        return KAL_OK;
    kal_error_set(err, KAL_LIMIT, "you have %zu exports, the limit is %u", own.count,
                  exec->options.exports_max);
    kal_error_hint(err, "each is removed %llu seconds after it was made",
                   (unsigned long long)exec->options.export_retention_s);
    return KAL_LIMIT;
}

/* Whose data: the caller's own, or for dba and system another user's. */
static kal_status find_subject(kal_run *run, export_job *out, kal_error *err)
{
    const kal_principal *p = run->principal;
    const kal_sql_name *name = &run->statement->user.name;
    kal_user user;

    *out = (export_job){
        .user_id = kal_cstr(p->user_id), .user_no = p->user_no, .owner_no = p->user_no};
    if (!kal_sql_name_given(*name) || kal_bytes_equal(name->text, out->user_id))
        return KAL_OK;
    KAL_TRY(kal_may_manage(p, "exports of other users", err));
    kal_status status =
        kal_catalog_get_user(run->exec->catalog, name->text, run->arena, &user, err);
    if (status == KAL_NOT_FOUND) {
        kal_error_set(err, KAL_NOT_FOUND, "user '%.*s' does not exist", KAL_FMT(name->text));
        kal_error_code(err, "USER_NOT_FOUND");
        kal_error_at(err, name->position);
        return KAL_NOT_FOUND;
    }
    KAL_TRY(status);
    out->user_id = name->text;
    out->user_no = user.user_no;
    return KAL_OK;
}

static void write_parameters(const export_job *x, kal_buf *out)
{
    kal_json_writer w;

    kal_json_writer_init(&w, out);
    kal_json_begin_object(&w);
    kal_json_key(&w, USER_PARAMETER);
    kal_json_string(&w, x->user_id);
    kal_json_key(&w, USER_NUMBER);
    kal_json_u64(&w, x->user_no);
    kal_json_key(&w, OWNER_NUMBER);
    kal_json_u64(&w, x->owner_no);
    kal_json_end_object(&w);
}

static kal_status submit(kal_run *run, const export_job *x, char id[KAL_JOB_ID_LEN + 1],
                         kal_error *err)
{
    uint64_t number = 0;
    kal_buf parameters; /* owned */

    kal_buf_init(&parameters, NULL);
    write_parameters(x, &parameters);
    const kal_job_spec spec = {
        .type = KAL_JOB_USER_EXPORT,
        .key = kal_cstr(
            kal_arena_printf(run->arena, "user_export:%llu", (unsigned long long)x->owner_no)),
        .actor = kal_cstr(run->principal->user_id),
        .parameters = kal_buf_bytes(&parameters),
        .never_retry = true,
    };
    kal_status status = kal_jobs_submit(run->exec->jobs, &spec, &number, err);
    kal_buf_release(&parameters);
    kal_job_id_format(KAL_JOB_USER_EXPORT, number, id);
    if (status == KAL_EXISTS) {
        kal_error_set(err, KAL_BUSY, "your export '%s' is not finished yet", id);
        kal_error_hint(err, "SHOW EXPORT says how far it is");
        return KAL_BUSY;
    }
    return status;
}

kal_status kal_run_export(kal_run *run, kal_error *err)
{
    char id[KAL_JOB_ID_LEN + 1];
    export_job x;

    KAL_TRY(find_subject(run, &x, err));
    KAL_TRY(check_count(run, err));
    KAL_TRY(submit(run, &x, id, err));
    if (x.user_no != x.owner_no)
        kal_log_info("audit", "'%s' exports the data of user '%.*s' as %s from %s",
                     run->principal->user_id, KAL_FMT(x.user_id), id,
                     run->peer == NULL ? "?" : run->peer);
    kal_result_message(run->result, 0, "User data export started. Job ID: %s", id);
    return KAL_OK;
}

/* ---- SHOW EXPORT ---- */

typedef struct export_rows {
    kal_run *run;
} export_rows;

static kal_status show_own(void *context, const kal_job *job, kal_error *err)
{
    const export_rows *rows = context;
    kal_run *run = rows->run;
    char id[KAL_JOB_ID_LEN + 1];
    export_job x = {0};

    if (!read_job(job, run->arena, &x) || x.owner_no != run->principal->user_no)
        return KAL_OK;
    bool ready = job->status == KAL_JOB_COMPLETED && is_kept(run->exec, job, &x);
    kal_bytes message = job->status != KAL_JOB_COMPLETED ? job->error_text
                        : ready                          ? job->result
                                                         : KAL_STR("expired");
    const kal_value no_text = kal_value_null(kal_type_of(KAL_TYPE_TEXT));
    kal_job_id_format(job->type, job->number, id);
    const kal_value row[] = {
        kal_value_text(kal_cstr(id)),
        kal_value_text(kal_cstr(kal_job_status_name(job->status))),
        kal_value_integer(KAL_TYPE_TIMESTAMP, job->created_at_us),
        message.len == 0 ? no_text : kal_value_text(message),
        ready ? kal_value_text(kal_cstr(kal_arena_printf(run->arena, URL "%s", id))) : no_text,
    };
    return kal_result_row(run->result, row, KAL_ARRAY_LEN(row), err);
}

kal_status kal_run_show_export(kal_run *run, kal_error *err)
{
    const kal_type text = kal_type_of(KAL_TYPE_TEXT);
    const kal_result_column columns[] = {
        {.name = KAL_STR("job_id"), .type = text},
        {.name = KAL_STR("status"), .type = text},
        {.name = KAL_STR("created_at"), .type = kal_type_of(KAL_TYPE_TIMESTAMP)},
        {.name = KAL_STR("message"), .type = text},
        {.name = KAL_STR("download_url"), .type = text},
    };
    export_rows rows = {run};

    kal_result_begin(run->result, columns, KAL_ARRAY_LEN(columns));
    KAL_TRY(kal_jobs_scan(run->exec->jobs, show_own, &rows, err));
    kal_result_end(run->result);
    return KAL_OK;
}

/* ---- fetching ---- */

static kal_status no_export(kal_error *err)
{
    kal_error_set(err, KAL_NOT_FOUND, "there is no such export");
    kal_error_code(err, "EXPORT_NOT_FOUND");
    return KAL_NOT_FOUND;
}

static bool may_fetch(kal_exec *exec, const kal_principal *p, uint64_t number, kal_arena *arena)
{
    export_job x = {0};
    kal_job job;

    return kal_jobs_get(exec->jobs, number, arena, &job, NULL) == KAL_OK &&
           read_job(&job, arena, &x) && job.status == KAL_JOB_COMPLETED &&
           is_kept(exec, &job, &x) && (x.owner_no == p->user_no || p->role >= KAL_ROLE_DBA);
}

static kal_status open_file(kal_exec *exec, kal_exec_download *d, kal_error *err)
{
    char id[KAL_JOB_ID_LEN + 1];
    char path[PATH_BYTES];
    struct stat info;
    kal_job_type type = KAL_JOB_FLUSH;
    uint64_t number = 0;
    kal_arena arena; /* owned */

    if (!kal_job_id_parse(d->id, &type, &number) || type != KAL_JOB_USER_EXPORT)
        return no_export(err);
    kal_arena_init(&arena, NULL);
    bool may = may_fetch(exec, &d->principal, number, &arena);
    kal_arena_release(&arena);
    if (!may)
        return no_export(err);
    kal_job_id_format(type, number, id);
    KAL_TRY(path_of(exec->exports, id, ARCHIVE_END, path, err));
    d->fd = kal_file_open(path, O_RDONLY | O_NOFOLLOW, 0);
    if (d->fd < 0 || fstat(d->fd, &info) != 0)
        return no_export(err);
    d->size_bytes = (uint64_t)info.st_size;
    snprintf(d->name, sizeof d->name, "%s" ARCHIVE_END, id);
    return KAL_OK;
}

static void open_download(void *context, kal_catalog_worker *worker)
{
    kal_exec_download *d = context;
    kal_exec *exec = d->exec;

    (void)worker;
    d->status = open_file(exec, d, &d->error);
    d->done(d);
    kal_exec_leave(exec);
}

void kal_exec_open_download(kal_exec *exec, kal_exec_download *d)
{
    d->exec = exec;
    d->fd = -1;
    d->error = KAL_ERROR_INIT;
    if (!kal_exec_enter(exec)) {
        d->status = kal_error_set(&d->error, KAL_CANCELLED, "the server is shutting down");
        d->done(d);
        return;
    }
    d->status = kal_pool_submit(exec->pool, d->principal.user_no, open_download, d, &d->error);
    if (d->status != KAL_OK) {
        d->done(d);
        kal_exec_leave(exec);
    }
}
