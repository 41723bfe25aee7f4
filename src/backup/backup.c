#include "backup/backup.h"
#include "backup/making.h"
#include "base/file_io.h"
#include "base/files.h"
#include "catalog/storages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE  "rocksdb"
#define SECRET "token-secret"

#define SEGMENT_NAME KAL_BACKUP_SEGMENTS "/%08x.parquet" /* of its number */
#define STORAGE      "storage"                           /* the folder of `local` */

enum { PIECE_BYTES = 1024 * 1024 };

const char *kal_backup_state_name(kal_backup_state state)
{
    static const char *const NAMES[] = {[KAL_BACKUP_GOOD] = "good",
                                        [KAL_BACKUP_MISSING] = "missing",
                                        [KAL_BACKUP_SIZE] = "another size",
                                        [KAL_BACKUP_CHECKSUM] = "another checksum"};
    return NAMES[state];
}

/* ---- making ---- */

typedef struct making {
    kal_making base;
    const kal_backup_source *source;
} making;

typedef struct segment_list {
    making *m;
    KAL_VEC(kal_segment_info) infos; /* arena */
} segment_list;

static kal_status list_table(void *context, uint32_t table_id, const kal_manifest_head *head,
                             kal_error *err)
{
    segment_list *list = context;
    making *m = list->m;
    kal_segment_info *infos = NULL;
    size_t count = 0;

    (void)head;
    KAL_TRY(kal_catalog_segments(m->source->catalog, NULL, table_id, m->base.arena, &infos, &count,
                                 err));
    for (size_t i = 0; i < count; i++) {
        if (!kal_vec_try_push_in(m->base.arena, &list->infos, infos[i]))
            return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    }
    return KAL_OK;
}

/* No manifest changes under the DDL lock, so the list is the checkpoint's. */
static kal_status checkpoint(making *m, const char *store, segment_list *list, kal_error *err)
{
    const kal_backup_source *source = m->source;
    kal_catalog_change *change = kal_catalog_begin(source->catalog, source->actor); /* owned */

    kal_status status = kal_catalog_scan_manifests(source->catalog, NULL, list_table, list, err);
    if (status == KAL_OK)
        status = kal_kv_checkpoint(source->kv, store, err);
    kal_catalog_end(change);
    return status;
}

static kal_status copy_pieces(making *m, kal_object_store *from, const kal_segment_info *info,
                              int fd, const char *path, kal_error *err)
{
    kal_buf piece; /* owned */
    kal_status status = KAL_OK;

    kal_buf_init(&piece, NULL);
    for (uint64_t at = 0; at < info->size_bytes && status == KAL_OK; at += piece.len) {
        kal_buf_clear(&piece);
        status = kal_object_get(from, info->object, at, PIECE_BYTES, &piece, err);
        if (status == KAL_NOT_FOUND || (status == KAL_OK && piece.len == 0))
            status = kal_error_set(err, KAL_CORRUPT,
                                   "segment '%.*s' is missing or short in storage '%.*s'",
                                   KAL_FMT(info->object), KAL_FMT(info->storage_id));
        int error = status == KAL_OK ? kal_file_write_all(fd, kal_buf_bytes(&piece)) : 0;
        if (error != 0)
            status = kal_tree_failed("write", path, error, err);
        if (status == KAL_OK)
            status = m->base.poll->go_on(m->base.poll->context, err);
    }
    kal_buf_release(&piece);
    return status;
}

/* A damaged one would look sound in the backup. */
static kal_status check_copy(const making *m, const kal_segment_info *info, const char *path,
                             kal_error *err)
{
    const kal_segment_place place = {info->storage_id, info->object};

    kal_status status = kal_parquet_check(m->source->parquet, path, info->checksum, err);
    return status == KAL_CORRUPT ? kal_segment_damaged(&place, err) : status;
}

static kal_status add_segment(making *m, const kal_segment_info *info, kal_error *err)
{
    const kal_backup_source *source = m->source;
    kal_object_store *from = NULL; /* owned */
    char path[KAL_TREE_PATH_BYTES];
    char *name = kal_arena_printf(m->base.arena, SEGMENT_NAME, info->segment_id);

    KAL_TRY(kal_tree_path(m->base.directory, name, path, err));
    KAL_TRY(source->open_store(source->context, info->storage_id, &from, err));
    int fd = kal_file_open(path, O_WRONLY | O_CREAT | O_EXCL, KAL_BACKUP_FILE_MODE);
    kal_status status = fd < 0 ? kal_tree_failed("write", path, errno, err)
                               : copy_pieces(m, from, info, fd, path, err);
    if (fd >= 0)
        close(fd);
    kal_object_store_close(from);
    if (status == KAL_OK)
        status = check_copy(m, info, path, err);
    return status == KAL_OK ? kal_making_add(&m->base, name, path, NULL, err) : status;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = ((const kal_segment_info *)a)->segment_id;
    uint32_t y = ((const kal_segment_info *)b)->segment_id;
    return (x > y) - (x < y);
}

static kal_status add_segments(making *m, segment_list *list, kal_error *err)
{
    char folder[KAL_TREE_PATH_BYTES];

    KAL_TRY(kal_tree_path(m->base.directory, KAL_BACKUP_SEGMENTS, folder, err));
    KAL_TRY(kal_tree_make_directory(folder, err));
    if (list->infos.len > 1)
        qsort(list->infos.items, list->infos.len, sizeof *list->infos.items, by_number);
    for (size_t i = 0; i < list->infos.len; i++)
        KAL_TRY(add_segment(m, &list->infos.items[i], err));
    return kal_tree_sync_directory(folder, err);
}

static kal_status add_store(making *m, segment_list *list, kal_error *err)
{
    char store[KAL_TREE_PATH_BYTES];
    char path[KAL_TREE_PATH_BYTES];
    kal_bytes *names = NULL;
    size_t count = 0;

    KAL_TRY(kal_tree_path(m->base.directory, STORE, store, err));
    KAL_TRY(checkpoint(m, store, list, err));
    KAL_TRY(kal_tree_list(store, m->base.arena, &names, &count, err));
    for (size_t i = 0; i < count; i++) {
        char *name = kal_arena_printf(m->base.arena, STORE "/%.*s", KAL_FMT(names[i]));
        KAL_TRY(kal_tree_path(m->base.directory, name, path, err));
        KAL_TRY(kal_making_add(&m->base, name, path, NULL, err));
    }
    return kal_tree_sync_directory(store, err);
}

static kal_status add_secret(making *m, kal_error *err)
{
    char from[KAL_TREE_PATH_BYTES];
    char copy[KAL_TREE_PATH_BYTES];

    KAL_TRY(kal_tree_path(m->source->data_dir, SECRET, from, err));
    KAL_TRY(kal_tree_path(m->base.directory, SECRET, copy, err));
    return kal_making_add(&m->base, SECRET, from, copy, err);
}

static kal_status fill(making *m, kal_error *err)
{
    segment_list list = {.m = m};

    KAL_TRY(add_store(m, &list, err));
    KAL_TRY(add_segments(m, &list, err));
    return add_secret(m, err);
}

kal_status kal_backup_make(const kal_backup_source *source, kal_bytes path,
                           const kal_backup_poll *poll, kal_arena *arena, kal_backup *out,
                           kal_error *err)
{
    making m = {.base = {.poll = poll, .arena = arena, .backup = out}, .source = source};
    kal_view view; /* while it is open, no segment is removed that a manifest has now */

    *out = (kal_backup){.version = KAL_STR(KAL_VERSION),
                        .created_at_us = kal_clock_wall_us(source->clock),
                        .is_scheduled = source->is_scheduled};
    KAL_TRY(kal_making_begin(&m.base, source->data_dir, path, err));
    kal_view_open(&view, source->tables, 0, NULL);
    kal_status status = fill(&m, err);
    kal_view_close(&view);
    return kal_making_end(&m.base, status, err);
}

/* ---- checking ---- */

/* One file, copied too when `copy`, a directory, is not NULL: under its name, a segment under
 * STORAGE. */
static kal_status check_file(const char *directory, const char *copy, kal_backup_file *f,
                             const kal_backup_poll *poll, kal_arena *arena, kal_error *err)
{
    char path[KAL_TREE_PATH_BYTES];
    char to[KAL_TREE_PATH_BYTES];
    char hash[KAL_DIGEST_HEX_LEN + 1];
    const char *name = kal_arena_cstr(arena, f->name);
    const char *segment =
        strncmp(name, KAL_BACKUP_SEGMENTS "/", strlen(KAL_BACKUP_SEGMENTS "/")) == 0
            ? name + strlen(KAL_BACKUP_SEGMENTS "/")
            : NULL;
    const char *new_name =
        segment == NULL ? name
                        : kal_arena_printf(arena, STORAGE "/" KAL_BACKUP_RESTORED "/%s", segment);
    uint64_t size = 0;

    KAL_TRY(kal_tree_path(directory, name, path, err));
    if (copy != NULL)
        KAL_TRY(kal_tree_path(copy, new_name, to, err));
    kal_status status =
        kal_tree_read(path, copy == NULL ? NULL : to, KAL_BACKUP_FILE_MODE, poll, &size, hash, err);
    if (status == KAL_NOT_FOUND) {
        f->state = KAL_BACKUP_MISSING;
        return KAL_OK;
    }
    KAL_TRY(status);
    f->state = size != f->size_bytes                         ? KAL_BACKUP_SIZE
               : !kal_bytes_equal(f->sha256, kal_cstr(hash)) ? KAL_BACKUP_CHECKSUM
                                                             : KAL_BACKUP_GOOD;
    return KAL_OK;
}

kal_status kal_backup_check(kal_bytes path, const kal_backup_poll *poll, kal_arena *arena,
                            kal_backup *out, kal_error *err)
{
    char directory[KAL_TREE_PATH_BYTES];

    *out = (kal_backup){0};
    KAL_TRY(kal_backup_path(path, directory, err));
    KAL_TRY(kal_backup_read_manifest(directory, arena, out, err));
    for (size_t i = 0; i < out->file_count; i++)
        KAL_TRY(check_file(directory, NULL, &out->files[i], poll, arena, err));
    return KAL_OK;
}

kal_status kal_backup_describe(kal_bytes path, kal_arena *arena, kal_backup *out, kal_error *err)
{
    char directory[KAL_TREE_PATH_BYTES];

    *out = (kal_backup){0};
    KAL_TRY(kal_backup_path(path, directory, err));
    return kal_backup_read_manifest(directory, arena, out, err);
}

void kal_backup_remove(const char *path)
{
    char passing[KAL_TREE_PATH_BYTES];
    int len = snprintf(passing, sizeof passing, "%s.removing", path);

    bool renamed = len > 0 && len < KAL_TREE_PATH_BYTES && rename(path, passing) == 0;
    kal_tree_remove(renamed ? passing : path);
}

/* ---- restoring ---- */

static kal_status check_empty(const char *data_dir, kal_error *err)
{
    kal_status status = KAL_OK;
    DIR *open = opendir(data_dir);

    if (open == NULL && errno == ENOENT)
        return KAL_OK;
    if (open == NULL)
        return kal_tree_failed("read", data_dir, errno, err);
    for (struct dirent *entry = readdir(open); entry != NULL; entry = readdir(open)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = KAL_EXISTS;
    }
    closedir(open);
    if (status != KAL_OK) {
        kal_error_set(err, status, "the data directory '%s' is not empty", data_dir);
        kal_error_hint(err, "a backup is restored into a new one");
    }
    return status;
}

static kal_status copy_files(const char *from, const char *to, kal_backup *backup, kal_arena *arena,
                             kal_error *err)
{
    static const char *const FOLDERS[] = {STORE, STORAGE, STORAGE "/" KAL_BACKUP_RESTORED};
    char path[KAL_TREE_PATH_BYTES];

    for (size_t i = 0; i < KAL_ARRAY_LEN(FOLDERS); i++) {
        KAL_TRY(kal_tree_path(to, FOLDERS[i], path, err));
        KAL_TRY(kal_tree_make_directory(path, err));
    }
    for (size_t i = 0; i < backup->file_count; i++) {
        kal_backup_file *f = &backup->files[i];
        KAL_TRY(check_file(from, to, f, NULL, arena, err));
        if (f->state != KAL_BACKUP_GOOD)
            return kal_error_set(err, KAL_CORRUPT, "file '%.*s' of the backup: %s",
                                 KAL_FMT(f->name), kal_backup_state_name(f->state));
    }
    for (size_t i = KAL_ARRAY_LEN(FOLDERS); i-- > 0;) {
        KAL_TRY(kal_tree_path(to, FOLDERS[i], path, err));
        KAL_TRY(kal_tree_sync_directory(path, err));
    }
    return kal_tree_sync_directory(to, err);
}

static kal_status relocate(void *context, uint32_t table_id, const kal_manifest_head *head,
                           kal_error *err)
{
    kal_catalog_change *change = context;
    kal_segment_info *infos = NULL;
    size_t count = 0;
    kal_status status = KAL_OK;
    kal_arena arena; /* owned */

    (void)head;
    kal_arena_init(&arena, NULL);
    status = kal_catalog_segments(kal_catalog_change_catalog(change), NULL, table_id, &arena,
                                  &infos, &count, err);
    for (size_t i = 0; i < count && status == KAL_OK; i++) {
        infos[i].storage_id = KAL_STR(KAL_STORAGE_LOCAL);
        infos[i].object = kal_cstr(
            kal_arena_printf(&arena, KAL_BACKUP_RESTORED "/%08x.parquet", infos[i].segment_id));
        status = kal_catalog_put_segment(change, &infos[i], err);
    }
    kal_arena_release(&arena);
    return status;
}

/* What is doomed lies in storages of the database that was backed up, and may be needed there. */
static kal_status spare(void *context, const kal_doomed_segment *doomed, kal_error *err)
{
    return kal_catalog_delete_doomed(context, doomed->segment_id, err);
}

static kal_status move_segments(kal_kv *kv, kal_error *err)
{
    kal_catalog *catalog = NULL; /* owned */

    KAL_TRY(kal_catalog_open(kv, kal_clock_system(), NULL, &catalog, err));
    kal_catalog_change *change = kal_catalog_begin(catalog, &KAL_PRINCIPAL_SERVER); /* owned */
    kal_status status = kal_catalog_scan_doomed(catalog, spare, change, err);
    if (status == KAL_OK)
        status = kal_catalog_scan_manifests(catalog, NULL, relocate, change, err);
    if (status == KAL_OK)
        status = kal_catalog_commit(change, err);
    kal_catalog_end(change);
    kal_catalog_close(catalog);
    return status;
}

/* Seqs of after the backup are not used again: see KAL_BACKUP_SEQ_DISTANCE. */
static kal_status make_own(const char *directory, kal_error *err)
{
    char store[KAL_TREE_PATH_BYTES];
    kal_kv *kv = NULL; /* owned */

    KAL_TRY(kal_tree_path(directory, STORE, store, err));
    KAL_TRY(kal_kv_open_rocks(store, NULL, &kv, err));
    kal_status status = kal_change_log_restart(kv, KAL_BACKUP_SEQ_DISTANCE, err);
    if (status == KAL_OK)
        status = move_segments(kv, err);
    kal_kv_close(kv);
    return status;
}

kal_status kal_backup_restore(const char *path, const char *data_dir, kal_arena *arena,
                              kal_backup *out, kal_error *err)
{
    char directory[KAL_TREE_PATH_BYTES];

    *out = (kal_backup){0};
    KAL_TRY(check_empty(data_dir, err));
    KAL_TRY(kal_backup_read_manifest(path, arena, out, err));
    if (out->namespace_id.len > 0) {
        kal_error_set(err, KAL_INVALID, "'%s' is the backup of one namespace, '%.*s'", path,
                      KAL_FMT(out->namespace_id));
        kal_error_hint(err, "RESTORE DATABASE %.*s FROM '...' restores it while a server runs",
                       KAL_FMT(out->namespace_id));
        return KAL_INVALID;
    }
    KAL_TRY(kal_tree_make_beside(data_dir, directory, err));
    kal_status status = copy_files(path, directory, out, arena, err);
    if (status == KAL_OK)
        status = make_own(directory, err);
    if (status == KAL_OK)
        status = kal_tree_rename(directory, data_dir, err);
    if (status != KAL_OK)
        kal_tree_remove(directory);
    return status;
}
