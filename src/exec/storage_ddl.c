/*
 * storage_ddl.c: CREATE, ALTER and DROP STORAGE, SHOW STORAGES.
 *
 * CREATE makes and tries the directory, or tries the bucket, before it takes the DDL lock, which
 * nobody shall hold while a disk is slow; whether the id is free and the directory nobody else's is
 * decided under the lock. A statement that fails there leaves the directory it made.
 */
#include "catalog/system_tables.h"
#include "exec/ddl.h"
#include "exec/storages.h"
#include "storage/path_template.h"
#include "storage/probe.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const kal_sql_storage_text *text_of(const kal_run *run, kal_sql_storage_clause clause)
{
    return &run->statement->storage.texts[clause];
}

static kal_status fail_at(kal_run *run, kal_sql_storage_clause clause, kal_status status,
                          kal_error *err)
{
    if (status != KAL_OK && text_of(run, clause)->given)
        kal_error_at(err, text_of(run, clause)->position);
    return status;
}

/* ---- the type ---- */

static kal_status check_type(kal_run *run, bool *is_s3_out, kal_error *err)
{
    const kal_sql_storage_text *type = text_of(run, KAL_SQL_STORAGE_TYPE);

    if (!type->given)
        return kal_error_set(err, KAL_INVALID, "TYPE is missing: filesystem or s3");
    *is_s3_out = kal_bytes_equal_nocase(type->text, KAL_STR(KAL_STORAGE_TYPE_S3));
    if (*is_s3_out || kal_bytes_equal_nocase(type->text, KAL_STR(KAL_STORAGE_TYPE_FILESYSTEM)))
        return KAL_OK;
    size_t shown = type->text.len < 64 ? type->text.len : 64;
    return fail_at(run, KAL_SQL_STORAGE_TYPE,
                   kal_error_set(err, KAL_INVALID,
                                 "unknown storage type '%.*s', valid types: %s, %s", (int)shown,
                                 (const char *)type->text.ptr, KAL_STORAGE_TYPE_FILESYSTEM,
                                 KAL_STORAGE_TYPE_S3),
                   err);
}

static kal_status refuse_clauses_of_s3(kal_run *run, kal_error *err)
{
    static const struct {
        kal_sql_storage_clause clause;
        const char *word;
    } OF_S3[] = {{KAL_SQL_STORAGE_BUCKET, "BUCKET"},
                 {KAL_SQL_STORAGE_REGION, "REGION"},
                 {KAL_SQL_STORAGE_ENDPOINT, "ENDPOINT"},
                 {KAL_SQL_STORAGE_CREDENTIALS, "CREDENTIALS"}};

    for (size_t i = 0; i < KAL_ARRAY_LEN(OF_S3); i++) {
        if (text_of(run, OF_S3[i].clause)->given)
            return fail_at(
                run, OF_S3[i].clause,
                kal_error_set(err, KAL_INVALID, "%s is of storages of type s3", OF_S3[i].word),
                err);
    }
    return KAL_OK;
}

/* ---- the directory ---- */

/* Segments among the database's own files, or the other way round, would be each other's end. */
static kal_status check_outside_data(kal_run *run, const char *directory, kal_error *err)
{
    char *data = realpath(run->exec->options.data_dir, NULL); /* owned */
    if (data == NULL)
        return kal_error_set(err, KAL_IO, "cannot resolve the data directory: %s", strerror(errno));
    bool overlaps = kal_path_holds(data, directory) || kal_path_holds(directory, data);
    free(data);
    if (overlaps)
        return kal_error_set(err, KAL_INVALID,
                             "the directory '%s' overlaps the server's data directory", directory);
    return KAL_OK;
}

/* A file where a directory is wanted is a wrong PATH, not a failure of the disk. */
static kal_status make_directory(kal_run *run, const char *path, kal_error *err)
{
    struct stat info;

    kal_status status = kal_files_make_dir(run->exec->options.files, path, err);
    if (status != KAL_IO)
        return status;
    bool is_file = stat(path, &info) == 0 ? !S_ISDIR(info.st_mode) : errno == ENOTDIR;
    return is_file
               ? kal_error_set(err, KAL_INVALID, "PATH '%s' is a file, or leads through one", path)
               : status;
}

/* Makes it, resolves it, writes and deletes something in it. */
static kal_status prepare_directory(kal_run *run, kal_bytes path, kal_bytes *canonical_out,
                                    kal_error *err)
{
    kal_object_store *store = NULL; /* owned */
    kal_storage_probe probe;

    if (path.len == 0 || path.len >= PATH_MAX || memchr(path.ptr, 0, path.len) != NULL)
        return kal_error_set(err, KAL_INVALID, "PATH must be the path of a directory");
    if (path.ptr[0] != '/')
        return kal_error_set(err, KAL_INVALID,
                             "PATH must begin with '/': it is a directory of the server's");
    char *given = kal_arena_cstr(run->arena, path);
    KAL_TRY(make_directory(run, given, err));
    char *resolved = realpath(given, NULL); /* owned */
    if (resolved == NULL)
        return kal_error_set(err, KAL_IO, "cannot resolve '%s': %s", given, strerror(errno));
    *canonical_out = kal_arena_copy(run->arena, kal_cstr(resolved));
    free(resolved);
    KAL_TRY(check_outside_data(run, (const char *)canonical_out->ptr, err));
    KAL_TRY(kal_object_store_open_files((const char *)canonical_out->ptr, &store, err));
    kal_storage_probe_run(store, run->exec->options.clock, false, &probe);
    kal_object_store_close(store);
    if (probe.error.status == KAL_OK)
        return KAL_OK;
    kal_error_set(err, KAL_IO, "the directory '%s' cannot be used: %s",
                  (const char *)canonical_out->ptr, probe.error.message);
    return KAL_IO;
}

/* ---- the bucket ---- */

/* A place in the JSON as one in the statement, as far as quotes in it allow. */
static kal_status fail_in_credentials(kal_run *run, kal_error *err)
{
    const kal_sql_storage_text *text = text_of(run, KAL_SQL_STORAGE_CREDENTIALS);
    if (err != NULL && err->position >= 0)
        err->position += text->position + 1;
    return fail_at(run, KAL_SQL_STORAGE_CREDENTIALS, KAL_INVALID, err);
}

static kal_status parse_credentials(kal_run *run, kal_s3_credentials *out, kal_error *err)
{
    const kal_sql_storage_text *text = text_of(run, KAL_SQL_STORAGE_CREDENTIALS);

    if (!text->given) {
        kal_error_set(err, KAL_INVALID, "CREDENTIALS is missing");
        kal_error_hint(err,
                       "CREDENTIALS '{\"access_key_id\":\"..\",\"secret_access_key\":\"..\"}'");
        return KAL_INVALID;
    }
    kal_status status = kal_s3_parse_credentials(text->text, run->arena, out, err);
    return status == KAL_OK ? KAL_OK : fail_in_credentials(run, err);
}

/* BUCKET or PATH, whichever is given. */
static kal_status parse_place(kal_run *run, kal_s3_location *out, kal_error *err)
{
    const kal_sql_storage_text *bucket = text_of(run, KAL_SQL_STORAGE_BUCKET);
    const kal_sql_storage_text *path = text_of(run, KAL_SQL_STORAGE_PATH);
    kal_sql_storage_clause clause = bucket->given ? KAL_SQL_STORAGE_BUCKET : KAL_SQL_STORAGE_PATH;

    if (!bucket->given && !path->given)
        return kal_error_set(err, KAL_INVALID, "BUCKET is missing: BUCKET 'name[/prefix]'");
    if (bucket->given && path->given)
        return fail_at(run, KAL_SQL_STORAGE_PATH,
                       kal_error_set(err, KAL_INVALID, "BUCKET and PATH say the same: give one"),
                       err);
    if (path->given && !kal_bytes_starts_with(path->text, KAL_STR(KAL_S3_SCHEME)))
        return fail_at(
            run, KAL_SQL_STORAGE_PATH,
            kal_error_set(err, KAL_INVALID, "PATH of a storage of type s3 begins with s3://"), err);
    return fail_at(run, clause, kal_s3_parse_bucket(text_of(run, clause)->text, out, err), err);
}

static kal_status parse_endpoint(kal_run *run, kal_bytes in_credentials, kal_s3_location *out,
                                 kal_error *err)
{
    const kal_sql_storage_text *clause = text_of(run, KAL_SQL_STORAGE_ENDPOINT);

    if (clause->given && in_credentials.ptr != NULL)
        return fail_at(
            run, KAL_SQL_STORAGE_ENDPOINT,
            kal_error_set(err, KAL_INVALID, "ENDPOINT is given in CREDENTIALS, too: give one"),
            err);
    if (!clause->given)
        return fail_at(run, KAL_SQL_STORAGE_CREDENTIALS,
                       kal_s3_parse_endpoint(in_credentials, run->arena, out, err), err);
    kal_bytes text = clause->text.ptr == NULL ? KAL_STR("") : clause->text;
    return fail_at(run, KAL_SQL_STORAGE_ENDPOINT, kal_s3_parse_endpoint(text, run->arena, out, err),
                   err);
}

static kal_status plan_s3(kal_run *run, kal_storage *s, kal_error *err)
{
    const kal_sql_storage_text *region = text_of(run, KAL_SQL_STORAGE_REGION);
    kal_s3_location *location = &s->s3.location;
    kal_s3_credentials credentials;
    kal_bytes given = region->text;

    if (region->given && given.ptr == NULL)
        given = KAL_STR("");
    KAL_TRY(parse_place(run, location, err));
    KAL_TRY(fail_at(run, KAL_SQL_STORAGE_REGION, kal_s3_parse_region(given, location, err), err));
    KAL_TRY(parse_credentials(run, &credentials, err));
    KAL_TRY(parse_endpoint(run, credentials.endpoint, location, err));
    s->s3.credentials = credentials.signing;
    s->base_directory =
        kal_cstr(kal_arena_printf(run->arena, KAL_S3_SCHEME "%.*s%s%.*s", KAL_FMT(location->bucket),
                                  location->prefix.len > 0 ? "/" : "", KAL_FMT(location->prefix)));
    return KAL_OK;
}

/* Writes, reads, lists and deletes something in it. */
static kal_status try_bucket(kal_run *run, const kal_storage *s, kal_error *err)
{
    const kal_object_poll poll = {kal_run_time_hook, run};
    kal_object_store *store = NULL; /* owned */
    kal_storage_probe probe;

    KAL_TRY(kal_exec_open_storage(run->exec, s, &store, err));
    kal_object_store_watch(store, &poll);
    kal_storage_probe_run(store, run->exec->options.clock, false, &probe);
    kal_object_store_close(store);
    if (probe.error.status == KAL_OK)
        return KAL_OK;
    kal_error_set(err, probe.error.status, "storage '%.*s' cannot be used: %s",
                  KAL_FMT(s->storage_id), probe.error.message);
    if (probe.error.hint[0] != '\0')
        kal_error_hint(err, "%s", probe.error.hint);
    return probe.error.status;
}

/* ---- CREATE ---- */

static kal_bytes text_or(kal_run *run, kal_sql_storage_clause clause, const char *otherwise)
{
    const kal_sql_storage_text *text = text_of(run, clause);
    return text->given ? text->text : kal_cstr(otherwise);
}

/* Everything that can be said without the disk and the lock. */
static kal_status plan_storage(kal_run *run, kal_storage *s, kal_error *err)
{
    bool is_s3 = false;

    KAL_TRY(check_type(run, &is_s3, err));
    *s = (kal_storage){
        .storage_id = run->statement->storage.name.text,
        .name = text_of(run, KAL_SQL_STORAGE_NAME)->text,
        .description = text_of(run, KAL_SQL_STORAGE_DESCRIPTION)->text,
        .type = is_s3 ? KAL_STR(KAL_STORAGE_TYPE_S3) : KAL_STR(KAL_STORAGE_TYPE_FILESYSTEM),
        .shared_template =
            text_or(run, KAL_SQL_STORAGE_SHARED_TEMPLATE, KAL_SHARED_TEMPLATE_DEFAULT),
        .user_template = text_or(run, KAL_SQL_STORAGE_USER_TEMPLATE, KAL_USER_TEMPLATE_DEFAULT),
    };
    if (!text_of(run, KAL_SQL_STORAGE_NAME)->given)
        return kal_error_set(err, KAL_INVALID, "NAME is missing: NAME 'for people'");
    if (is_s3) {
        KAL_TRY(plan_s3(run, s, err));
    } else {
        KAL_TRY(refuse_clauses_of_s3(run, err));
        if (!text_of(run, KAL_SQL_STORAGE_PATH)->given)
            return kal_error_set(err, KAL_INVALID, "PATH is missing: PATH '/a/directory'");
    }
    KAL_TRY(fail_at(run, KAL_SQL_STORAGE_SHARED_TEMPLATE,
                    kal_path_template_check(s->shared_template, KAL_PATH_TEMPLATE_SHARED, err),
                    err));
    return fail_at(run, KAL_SQL_STORAGE_USER_TEMPLATE,
                   kal_path_template_check(s->user_template, KAL_PATH_TEMPLATE_USER, err), err);
}

static kal_status prepare_place(kal_run *run, kal_storage *s, kal_error *err)
{
    const kal_sql_storage_text *path = text_of(run, KAL_SQL_STORAGE_PATH);

    if (kal_storage_is_s3(s))
        return try_bucket(run, s, err);
    return fail_at(run, KAL_SQL_STORAGE_PATH,
                   prepare_directory(run, path->text, &s->base_directory, err), err);
}

static kal_status create_storage(kal_run *run, kal_storage *s, bool *existed_out, kal_error *err)
{
    bool if_not_exists = run->statement->storage.if_not_exists;
    kal_storage existing;

    kal_status status =
        kal_catalog_get_storage(run->exec->catalog, s->storage_id, run->arena, &existing, NULL);
    if (status == KAL_NOT_FOUND)
        KAL_TRY(prepare_place(run, s, err));
    else if (status != KAL_OK)
        return kal_error_set(err, status, "storage '%.*s' cannot be read", KAL_FMT(s->storage_id));
    else if (!if_not_exists)
        return kal_error_set(err, KAL_EXISTS, "storage '%.*s' already exists",
                             KAL_FMT(s->storage_id));
    else {
        *existed_out = true;
        return KAL_OK;
    }
    kal_catalog_change *change = kal_catalog_begin(run->exec->catalog, run->principal);
    status = kal_catalog_create_storage(change, s, if_not_exists, existed_out, err);
    if (status == KAL_OK && !*existed_out)
        status = kal_run_commit_change(run, change, err);
    kal_catalog_end(change);
    return status;
}

kal_status kal_run_create_storage(kal_run *run, kal_error *err)
{
    kal_storage s;
    bool existed = false;

    KAL_TRY(kal_may_manage(run->principal, "storage operations", err));
    kal_status status = plan_storage(run, &s, err);
    if (status == KAL_OK)
        status = create_storage(run, &s, &existed, err);
    if (status != KAL_OK) {
        kal_error_at(err, run->statement->storage.name.position);
        return status;
    }
    kal_result_message(run->result, 0, "Storage '%.*s' %s", KAL_FMT(s.storage_id),
                       existed ? "already exists" : "created successfully");
    return KAL_OK;
}

/* ---- ALTER, DROP ---- */

static kal_bytes altered_text(const kal_run *run, kal_sql_storage_clause clause)
{
    const kal_sql_storage_text *text = text_of(run, clause);
    if (!text->given)
        return (kal_bytes){0};
    return text->text.ptr == NULL ? KAL_STR("") : text->text;
}

/* The new ones are tried before they take the place of those that may still work. The endpoint is
 * where the segments are: it stays. */
static kal_status plan_credentials(kal_run *run, kal_bytes id, kal_s3_credentials *out,
                                   kal_error *err)
{
    kal_storage s;
    kal_s3_location location = {0};

    KAL_TRY(parse_credentials(run, out, err));
    KAL_TRY(kal_catalog_get_storage(run->exec->catalog, id, run->arena, &s, err));
    if (!kal_storage_is_s3(&s))
        return KAL_OK; /* is refused below */
    if (out->endpoint.ptr != NULL) {
        KAL_TRY(fail_at(run, KAL_SQL_STORAGE_CREDENTIALS,
                        kal_s3_parse_endpoint(out->endpoint, run->arena, &location, err), err));
        if (!kal_bytes_equal(location.endpoint, s.s3.location.endpoint))
            return fail_at(
                run, KAL_SQL_STORAGE_CREDENTIALS,
                kal_error_set(err, KAL_INVALID, "the endpoint of a storage cannot be changed"),
                err);
    }
    s.s3.credentials = out->signing;
    return try_bucket(run, &s, err);
}

kal_status kal_run_alter_storage(kal_run *run, kal_error *err)
{
    const kal_sql_name *name = &run->statement->storage.name;
    kal_s3_credentials credentials;
    kal_storage_alter alter = {
        .name = altered_text(run, KAL_SQL_STORAGE_NAME),
        .description = altered_text(run, KAL_SQL_STORAGE_DESCRIPTION),
        .shared_template = altered_text(run, KAL_SQL_STORAGE_SHARED_TEMPLATE),
        .user_template = altered_text(run, KAL_SQL_STORAGE_USER_TEMPLATE),
    };

    KAL_TRY(kal_may_manage(run->principal, "storage operations", err));
    if (text_of(run, KAL_SQL_STORAGE_CREDENTIALS)->given) {
        kal_status planned = plan_credentials(run, name->text, &credentials, err);
        if (planned != KAL_OK) {
            kal_error_at(err, name->position);
            return planned;
        }
        alter.credentials = &credentials.signing;
    }
    kal_catalog_change *change = kal_catalog_begin(run->exec->catalog, run->principal);
    kal_status status = kal_catalog_alter_storage(change, name->text, &alter, err);
    KAL_TRY(kal_ddl_finish(run, change, status, true, name->position, err));
    kal_result_message(run->result, 0, "Storage '%.*s' updated successfully", KAL_FMT(name->text));
    return KAL_OK;
}

kal_status kal_run_drop_storage(kal_run *run, kal_error *err)
{
    const kal_sql_storage_stmt *s = &run->statement->storage;
    bool existed = false;

    KAL_TRY(kal_may_manage(run->principal, "storage operations", err));
    kal_catalog_change *change = kal_catalog_begin(run->exec->catalog, run->principal);
    kal_status status = kal_catalog_drop_storage(change, s->name.text, s->if_exists, &existed, err);
    KAL_TRY(kal_ddl_finish(run, change, status, existed, s->name.position, err));
    kal_result_message(run->result, 0, "Storage '%.*s' %s", KAL_FMT(s->name.text),
                       existed ? "deleted successfully" : "does not exist (skipped)");
    return KAL_OK;
}

/* ---- SHOW ---- */

static bool is_local(const kal_value *row)
{
    return kal_bytes_equal(row[KAL_STORAGES_STORAGE_ID].bytes, KAL_STR(KAL_STORAGE_LOCAL));
}

/* `local` first, then by id, as the rows come. */
kal_status kal_run_show_storages(kal_run *run, kal_error *err)
{
    static const uint32_t COLUMNS[] = {KAL_STORAGES_STORAGE_ID,   KAL_STORAGES_STORAGE_NAME,
                                       KAL_STORAGES_STORAGE_TYPE, KAL_STORAGES_BASE_DIRECTORY,
                                       KAL_STORAGES_CREDENTIALS,  KAL_STORAGES_DESCRIPTION};
    kal_result_column columns[KAL_ARRAY_LEN(COLUMNS)];
    kal_value cells[KAL_ARRAY_LEN(COLUMNS)];
    kal_system_rows rows;
    kal_table *table = NULL;
    kal_status status = KAL_OK;

    KAL_TRY(kal_may_manage(run->principal, "storage operations", err));
    KAL_TRY(kal_run_table_named(run, kal_system_table_namespace(KAL_SYSTEM_STORAGES),
                                kal_system_table_name(KAL_SYSTEM_STORAGES), &table, err));
    KAL_TRY(kal_run_system_rows(run, table, &rows, err));
    for (size_t i = 0; i < KAL_ARRAY_LEN(COLUMNS); i++) {
        const kal_column *c = &table->def->columns[COLUMNS[i]];
        columns[i] = (kal_result_column){.name = c->name, .type = c->type};
    }
    kal_result_begin(run->result, columns, KAL_ARRAY_LEN(COLUMNS));
    for (int others = 0; others <= 1; others++) {
        for (size_t r = 0; r < rows.row_count && status == KAL_OK; r++) {
            const kal_value *row = rows.values + r * rows.column_count;
            if (is_local(row) == (others == 1))
                continue;
            for (size_t i = 0; i < KAL_ARRAY_LEN(COLUMNS); i++)
                cells[i] = row[COLUMNS[i]];
            status = kal_result_row(run->result, cells, KAL_ARRAY_LEN(COLUMNS), err);
        }
    }
    if (status == KAL_OK)
        kal_result_end(run->result);
    return status;
}
