/*
 * namespace_restore.c: a namespace out of its backup: check, read, load, make known. See
 * namespace.h.
 */
#include "backup/namespace.h"
#include "backup/rows.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

enum {
    DESCRIPTION_BYTES_MAX = 64 * 1024 * 1024, /* of one table's NAME.json */
    USERS_BYTES_MAX = 512 * 1024 * 1024,
};
#define DESCRIPTIONS_MEMORY_MAX                                                                    \
    ((size_t)1024 * 1024 * 1024) /* of all tables, as they were parsed */

typedef struct restored_table {
    kal_table_file file; /* arena */
    kal_table *table;    /* owned reference; NULL: it has no numbers yet */
} restored_table;

typedef struct restoring {
    const kal_restore_target *target;
    const kal_backup_poll *poll;
    kal_backup backup;
    kal_bytes name; /* that the namespace will have */
    kal_namespace_info info;
    kal_budget budget;
    kal_arena arena; /* owned; of all but backup */
    restored_table *tables;
    size_t table_count;
    kal_restored *out;
    kal_owners owners; /* owned, if has_owners */
    bool has_owners;
    char directory[KAL_TREE_PATH_BYTES];
} restoring;

/* ---- what is there ---- */

static kal_status read_text(restoring *r, kal_bytes name, size_t bytes_max, kal_buf *out,
                            kal_error *err)
{
    char path[KAL_TREE_PATH_BYTES];
    char file[KAL_NAME_BYTES_MAX + 32];

    snprintf(file, sizeof file, "%.*s", KAL_FMT(name));
    KAL_TRY(kal_tree_path(r->directory, file, path, err));
    return kal_tree_read_text(path, bytes_max, out, err);
}

static const kal_backup_file *find_file(const restoring *r, kal_bytes name)
{
    for (size_t i = 0; i < r->backup.file_count; i++) {
        if (kal_bytes_equal(r->backup.files[i].name, name))
            return &r->backup.files[i];
    }
    return NULL;
}

static kal_status not_whole(kal_bytes file, const char *what, kal_error *err)
{
    return kal_error_set(err, KAL_CORRUPT, "file '%.*s' of the backup: %s", KAL_FMT(file), what);
}

/* Every file, before anything is done with one. */
static kal_status check_files(restoring *r, kal_bytes path, kal_arena *arena, kal_error *err)
{
    KAL_TRY(kal_backup_path(path, r->directory, err));
    KAL_TRY(kal_backup_check(path, r->poll, arena, &r->backup, err));
    if (r->backup.namespace_id.len == 0) {
        kal_error_set(err, KAL_INVALID, "'%s' is a backup of the whole database", r->directory);
        kal_error_hint(err, "`kalamdb-server --restore PATH --data DIR` makes a new data directory "
                            "out of it");
        return KAL_INVALID;
    }
    for (size_t i = 0; i < r->backup.file_count; i++) {
        const kal_backup_file *f = &r->backup.files[i];
        if (f->state != KAL_BACKUP_GOOD)
            return not_whole(f->name, kal_backup_state_name(f->state), err);
    }
    if (find_file(r, KAL_STR(KAL_BACKUP_NAMESPACE)) == NULL)
        return not_whole(KAL_STR(KAL_BACKUP_NAMESPACE), "missing", err);
    if (find_file(r, KAL_STR(KAL_BACKUP_USERS)) == NULL)
        return not_whole(KAL_STR(KAL_BACKUP_USERS), "missing", err);
    return KAL_OK;
}

static bool is_description(kal_bytes name)
{
    const kal_bytes end = KAL_STR(".json");
    return kal_bytes_starts_with(name, KAL_STR(KAL_BACKUP_TABLES "/")) && name.len > end.len &&
           memcmp(name.ptr + name.len - end.len, end.ptr, end.len) == 0;
}

static kal_status read_table(restoring *r, kal_bytes name, size_t *files_left, kal_error *err)
{
    restored_table *t = &r->tables[r->table_count];
    kal_buf text; /* owned */

    kal_buf_init(&text, NULL);
    kal_status status = read_text(r, name, DESCRIPTION_BYTES_MAX, &text, err);
    if (status == KAL_OK)
        status = kal_table_file_read(kal_buf_bytes(&text), name, r->backup.namespace_id, &r->arena,
                                     &t->file, err);
    kal_buf_release(&text);
    KAL_TRY(status);
    r->table_count++;
    for (size_t i = 0; i < t->file.file_count; i++) {
        if (find_file(r, t->file.files[i]) == NULL)
            return not_whole(t->file.files[i], "missing", err);
    }
    *files_left -= t->file.file_count < *files_left ? t->file.file_count : *files_left;
    return KAL_OK;
}

static kal_status read_tables(restoring *r, kal_error *err)
{
    size_t others = 0;

    r->tables = kal_arena_try_array(&r->arena, r->backup.file_count + 1, sizeof *r->tables);
    if (r->tables == NULL)
        return kal_error_set(err, KAL_LIMIT, "the backup has too many tables");
    for (size_t i = 0; i < r->backup.file_count; i++)
        others += !is_description(r->backup.files[i].name);
    others -= 2; /* namespace.json, users.txt */
    for (size_t i = 0; i < r->backup.file_count; i++) {
        if (is_description(r->backup.files[i].name))
            KAL_TRY(read_table(r, r->backup.files[i].name, &others, err));
    }
    if (others > 0)
        return kal_error_set(err, KAL_CORRUPT, "the backup has files that belong to no table");
    return KAL_OK;
}

static kal_status read_namespace(restoring *r, kal_error *err)
{
    kal_buf text; /* owned */

    kal_buf_init(&text, NULL);
    kal_status status = read_text(r, KAL_STR(KAL_BACKUP_NAMESPACE), 1024 * 1024, &text, err);
    if (status == KAL_OK)
        status = kal_namespace_file_read(kal_buf_bytes(&text), r->backup.namespace_id, &r->arena,
                                         &r->info, err);
    kal_buf_release(&text);
    return status;
}

/* ---- users ---- */

static kal_status missing_users(const kal_owners *o, kal_error *err)
{
    kal_error_set(err, KAL_INVALID, "%zu user%s with rows in the backup %s not exist here: %.*s",
                  o->missing_count, o->missing_count == 1 ? "" : "s",
                  o->missing_count == 1 ? "does" : "do", KAL_FMT(kal_buf_bytes(&o->missing_names)));
    kal_error_code(err, "USER_NOT_FOUND");
    kal_error_hint(err, "create them first, or say SKIP MISSING USERS to leave their rows out");
    return KAL_INVALID;
}

/* Their rows must not come to somebody who has only taken the name. */
static kal_status other_users(const kal_owners *o, kal_error *err)
{
    kal_error_set(err, KAL_INVALID,
                  "%zu user%s of this server %s not the account%s of that name in the backup: %.*s",
                  o->other_count, o->other_count == 1 ? "" : "s",
                  o->other_count == 1 ? "is" : "are", o->other_count == 1 ? "" : "s",
                  KAL_FMT(kal_buf_bytes(&o->other_names)));
    kal_error_code(err, "USER_NOT_FOUND");
    kal_error_hint(err, "if they are the same people, say USERS BY NAME; SKIP MISSING USERS leaves "
                        "their rows out");
    return KAL_INVALID;
}

static kal_status check_users(restoring *r, kal_error *err)
{
    const kal_restore_target *target = r->target;
    kal_buf text; /* owned */

    kal_buf_init(&text, NULL);
    kal_status status = read_text(r, KAL_STR(KAL_BACKUP_USERS), USERS_BYTES_MAX, &text, err);
    r->has_owners = status == KAL_OK;
    if (status == KAL_OK)
        status = kal_owners_open(&r->owners, target->catalog, kal_buf_bytes(&text),
                                 target->users_by_name, err);
    kal_buf_release(&text);
    if (status != KAL_OK || target->skip_missing_users)
        return status;
    if (r->owners.other_count > 0)
        return other_users(&r->owners, err);
    return r->owners.missing_count > 0 ? missing_users(&r->owners, err) : KAL_OK;
}

/* ---- under another name ---- */

static kal_status rename_all(restoring *r, kal_error *err)
{
    if (kal_bytes_equal(r->name, r->backup.namespace_id))
        return KAL_OK;
    for (size_t i = 0; i < r->table_count; i++) {
        kal_table_file *file = &r->tables[i].file;
        for (size_t v = 0; v < file->version_count; v++) {
            const kal_table_definition *def = file->versions[v].def;
            if (def->table_type == KAL_TABLE_VIEW) {
                kal_error_set(err, KAL_UNSUPPORTED,
                              "view '%.*s' names its tables by namespace '%.*s': a backup with "
                              "views is restored under its own name",
                              KAL_FMT(def->table_name), KAL_FMT(def->namespace_id));
                return KAL_UNSUPPORTED;
            }
            kal_table_definition *renamed = kal_table_definition_copy(def, 0, &r->arena);
            renamed->namespace_id = r->name;
            file->versions[v].def = renamed;
        }
    }
    return KAL_OK;
}

/* ---- rows ---- */

static kal_status begin_table(restoring *r, restored_table *t, kal_error *err)
{
    kal_catalog_change *change =
        kal_catalog_begin(r->target->catalog, r->target->actor); /* owned */

    kal_status status =
        kal_catalog_begin_restored(change, kal_table_file_def(&t->file), &t->table, err);
    if (status == KAL_OK)
        status = kal_catalog_commit(change, err);
    kal_catalog_end(change);
    return status;
}

static kal_status load_table(restoring *r, restored_table *t, kal_error *err)
{
    const kal_rows_load_args rows = {
        .directory = r->directory,
        .poll = r->poll,
        .parquet = r->target->parquet,
        .tables = r->target->tables,
        .table = t->table,
        .file = &t->file,
        .owners = &r->owners,
    };
    uint64_t loaded = 0;
    uint64_t skipped = 0;

    KAL_TRY(kal_rows_load(&rows, &loaded, &skipped, err));
    r->out->row_count += loaded;
    r->out->skipped_count += skipped;
    return KAL_OK;
}

/* ---- the end ---- */

/* poll as for kal_restore_commit(). */
static kal_status commit_change(restoring *r, kal_catalog_change *change,
                                const kal_backup_poll *poll, kal_error *err)
{
    kal_write *write = kal_write_open(r->target->tables, NULL); /* owned */

    kal_write_set_change(write, change);
    kal_status status = kal_restore_commit(write, poll, err);
    kal_write_close(write);
    return status;
}

static kal_status publish(restoring *r, kal_error *err)
{
    kal_catalog_change *change =
        kal_catalog_begin(r->target->catalog, r->target->actor); /* owned */

    /* Whoever is dropped from now on is dropped after there is this namespace. */
    kal_status status = kal_owners_check(&r->owners, r->target->catalog, err);
    if (status == KAL_OK)
        status = kal_catalog_restore_namespace(change, r->name, &r->info, err);
    for (size_t i = 0; i < r->table_count && status == KAL_OK; i++) {
        const restored_table *t = &r->tables[i];
        status = kal_catalog_publish_restored(change, t->table, t->file.versions,
                                              t->file.version_count, err);
    }
    if (status == KAL_OK)
        status = commit_change(r, change, r->poll, err);
    kal_catalog_end(change);
    return status;
}

/* Also after it was told to end. What cannot be removed now is when the server starts. */
static void forget(restoring *r)
{
    kal_error err = KAL_ERROR_INIT;
    kal_catalog_change *change =
        kal_catalog_begin(r->target->catalog, r->target->actor); /* owned */
    kal_status status = KAL_OK;

    for (size_t i = 0; i < r->table_count && status == KAL_OK; i++) {
        if (r->tables[i].table != NULL)
            status = kal_catalog_forget_restored(change, r->tables[i].table, &err);
    }
    if (status == KAL_OK)
        status = commit_change(r, change, NULL, &err);
    kal_catalog_end(change);
    if (status != KAL_OK)
        kal_log_warn("backup", "rows of a restoration that failed stay until the next start: %s",
                     err.message);
}

/* There could be a namespace of this name: asked before the work is done, and again at its end. */
static kal_status check_name(restoring *r, kal_error *err)
{
    bool existed = false;
    kal_catalog_change *change =
        kal_catalog_begin(r->target->catalog, r->target->actor); /* owned */

    kal_status status = kal_catalog_create_namespace(change, r->name, false, &existed, err);
    kal_catalog_end(change);
    return status;
}

static kal_status prepare(restoring *r, kal_bytes path, kal_arena *arena, kal_error *err)
{
    KAL_TRY(check_files(r, path, arena, err));
    if (r->name.len == 0)
        r->name = r->backup.namespace_id;
    KAL_TRY(check_name(r, err));
    KAL_TRY(read_namespace(r, err));
    KAL_TRY(read_tables(r, err));
    KAL_TRY(check_users(r, err));
    return rename_all(r, err);
}

static kal_status load(restoring *r, kal_error *err)
{
    kal_status status = KAL_OK;

    for (size_t i = 0; i < r->table_count && status == KAL_OK; i++) {
        status = begin_table(r, &r->tables[i], err);
        if (status == KAL_OK)
            status = load_table(r, &r->tables[i], err);
    }
    if (status == KAL_OK)
        status = publish(r, err);
    if (status != KAL_OK)
        forget(r);
    return status;
}

kal_status kal_backup_restore_namespace(const kal_restore_target *target, kal_bytes path,
                                        kal_bytes name, const kal_backup_poll *poll,
                                        kal_arena *arena, kal_restored *out, kal_error *err)
{
    restoring r = {.target = target, .poll = poll, .name = name, .out = out};

    *out = (kal_restored){0};
    kal_budget_init(&r.budget, NULL, DESCRIPTIONS_MEMORY_MAX);
    kal_arena_init(&r.arena, &r.budget);
    kal_status status = prepare(&r, path, arena, err);
    if (status == KAL_OK)
        status = load(&r, err);
    out->table_count = r.table_count;
    for (size_t i = 0; i < r.table_count; i++)
        kal_table_release(r.tables[i].table);
    if (r.has_owners)
        kal_owners_close(&r.owners);
    kal_arena_release(&r.arena);
    return status;
}
