#include "backup/backup.h"
#include "backup/manifest.h"
#include "backup/tree.h"
#include "base/files.h"
#include "table/table.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE  "rocksdb"
#define SECRET "token-secret"

enum { MANIFEST_BYTES_MAX = 64 * 1024 * 1024, SECRET_MODE = 0600, STORE_MODE = 0600 };

const char *kal_backup_state_name(kal_backup_state state)
{
    static const char *const NAMES[] = {[KAL_BACKUP_GOOD] = "good",
                                        [KAL_BACKUP_MISSING] = "missing",
                                        [KAL_BACKUP_SIZE] = "another size",
                                        [KAL_BACKUP_CHECKSUM] = "another checksum"};
    return NAMES[state];
}

/* ---- paths ---- */

static kal_status check_path(kal_bytes path, char out[KAL_TREE_PATH_BYTES], kal_error *err)
{
    if (path.len == 0 || path.ptr[0] != '/')
        return kal_error_set(err, KAL_INVALID,
                             "the path of a backup begins with '/': it is one of the server's");
    if (memchr(path.ptr, '\0', path.len) != NULL || path.len >= KAL_TREE_PATH_BYTES / 2)
        return kal_error_set(err, KAL_INVALID, "the path is too long or holds a NUL");
    while (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    memcpy(out, path.ptr, path.len);
    out[path.len] = '\0';
    return KAL_OK;
}

/* Nothing is there, but its parent is. */
static kal_status check_free(const char *path, kal_error *err)
{
    char parent[KAL_TREE_PATH_BYTES];
    struct stat info;
    size_t slash = (size_t)(strrchr(path, '/') - path);

    if (lstat(path, &info) == 0)
        return kal_error_set(err, KAL_EXISTS, "'%s' exists already", path);
    memcpy(parent, path, slash);
    parent[slash] = '\0';
    if (slash > 0 && stat(parent, &info) != 0)
        return kal_tree_failed("read", parent, errno, err);
    if (slash > 0 && !S_ISDIR(info.st_mode))
        return kal_error_set(err, KAL_INVALID, "'%s' is no directory", parent);
    return KAL_OK;
}

/* ---- making ---- */

typedef struct making {
    const kal_backup_source *source;
    const kal_backup_poll *poll;
    kal_arena *arena;
    kal_backup *backup;
    char directory[KAL_TREE_PATH_BYTES]; /* under its passing name */
} making;

static kal_status add_file(making *m, const char *name, const char *from, const char *copy,
                           kal_error *err)
{
    char hash[KAL_DIGEST_HEX_LEN + 1];
    kal_backup_file *f = &m->backup->files[m->backup->file_count];

    KAL_TRY(kal_tree_read(from, copy, SECRET_MODE, m->poll, &f->size_bytes, hash, err));
    f->name = kal_arena_copy(m->arena, kal_cstr(name));
    f->sha256 = kal_arena_copy(m->arena, kal_cstr(hash));
    m->backup->size_bytes += f->size_bytes;
    m->backup->file_count++;
    return KAL_OK;
}

static kal_status add_store(making *m, kal_error *err)
{
    char store[KAL_TREE_PATH_BYTES];
    char path[KAL_TREE_PATH_BYTES];
    kal_bytes *names = NULL;
    size_t count = 0;

    KAL_TRY(kal_tree_path(m->directory, STORE, store, err));
    KAL_TRY(kal_kv_checkpoint(m->source->kv, store, err));
    KAL_TRY(kal_tree_list(store, m->arena, &names, &count, err));
    m->backup->files = kal_arena_try_array(m->arena, count + 1, sizeof *m->backup->files);
    if (m->backup->files == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    for (size_t i = 0; i < count; i++) {
        char *name = kal_arena_printf(m->arena, STORE "/%.*s", KAL_FMT(names[i]));
        KAL_TRY(kal_tree_path(m->directory, name, path, err));
        KAL_TRY(add_file(m, name, path, NULL, err));
    }
    return kal_tree_sync_directory(store, err);
}

static kal_status add_secret(making *m, kal_error *err)
{
    char from[KAL_TREE_PATH_BYTES];
    char copy[KAL_TREE_PATH_BYTES];

    KAL_TRY(kal_tree_path(m->source->data_dir, SECRET, from, err));
    KAL_TRY(kal_tree_path(m->directory, SECRET, copy, err));
    return add_file(m, SECRET, from, copy, err);
}

static kal_status fill(making *m, kal_error *err)
{
    char path[KAL_TREE_PATH_BYTES];
    kal_buf manifest; /* owned */

    KAL_TRY(add_store(m, err));
    KAL_TRY(add_secret(m, err)); /* last: by name it follows the store */
    KAL_TRY(kal_tree_path(m->directory, KAL_MANIFEST_NAME, path, err));
    kal_buf_init(&manifest, NULL);
    kal_manifest_write(m->backup, &manifest);
    kal_status status =
        kal_files_replace(kal_files_system(), path, kal_buf_bytes(&manifest), SECRET_MODE, err);
    kal_buf_release(&manifest);
    return status;
}

kal_status kal_backup_make(const kal_backup_source *source, kal_bytes path,
                           const kal_backup_poll *poll, kal_arena *arena, kal_backup *out,
                           kal_error *err)
{
    making m = {.source = source, .poll = poll, .arena = arena, .backup = out};
    char name[KAL_TREE_PATH_BYTES];

    *out = (kal_backup){.version = KAL_STR(KAL_VERSION),
                        .created_at_us = kal_clock_wall_us(source->clock)};
    KAL_TRY(check_path(path, name, err));
    KAL_TRY(check_free(name, err));
    KAL_TRY(kal_tree_make_beside(name, m.directory, err));
    kal_status status = fill(&m, err);
    if (status == KAL_OK)
        status = kal_tree_rename(m.directory, name, err);
    if (status != KAL_OK)
        kal_tree_remove(m.directory);
    return status;
}

/* ---- checking ---- */

static kal_status read_manifest(const char *directory, kal_arena *arena, kal_backup *out,
                                kal_error *err)
{
    char path[KAL_TREE_PATH_BYTES];
    int fd = -1;
    kal_budget budget;
    kal_buf text; /* owned */

    KAL_TRY(kal_tree_path(directory, KAL_MANIFEST_NAME, path, err));
    kal_status opens = kal_tree_open(path, &fd, err);
    if (opens == KAL_NOT_FOUND)
        kal_error_set(err, opens, "'%s' is no backup: it has no " KAL_MANIFEST_NAME, directory);
    KAL_TRY(opens);
    close(fd);
    kal_budget_init(&budget, NULL, MANIFEST_BYTES_MAX);
    kal_buf_init(&text, &budget);
    kal_status status = kal_files_read(kal_files_system(), path, &text, err);
    if (status == KAL_OK)
        status = kal_manifest_read(kal_buf_bytes(&text), arena, out, err);
    kal_buf_release(&text);
    return status;
}

/* One file, copied too when `copy` is not NULL. */
static kal_status check_file(const char *directory, const char *copy, kal_backup_file *f,
                             const kal_backup_poll *poll, kal_arena *arena, kal_error *err)
{
    char path[KAL_TREE_PATH_BYTES];
    char to[KAL_TREE_PATH_BYTES];
    char hash[KAL_DIGEST_HEX_LEN + 1];
    const char *name = kal_arena_cstr(arena, f->name);
    uint64_t size = 0;

    KAL_TRY(kal_tree_path(directory, name, path, err));
    if (copy != NULL)
        KAL_TRY(kal_tree_path(copy, name, to, err));
    kal_status status =
        kal_tree_read(path, copy == NULL ? NULL : to, STORE_MODE, poll, &size, hash, err);
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
    KAL_TRY(check_path(path, directory, err));
    KAL_TRY(read_manifest(directory, arena, out, err));
    for (size_t i = 0; i < out->file_count; i++)
        KAL_TRY(check_file(directory, NULL, &out->files[i], poll, arena, err));
    return KAL_OK;
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
    char store[KAL_TREE_PATH_BYTES];

    KAL_TRY(kal_tree_path(to, STORE, store, err));
    KAL_TRY(kal_tree_make_directory(store, err));
    for (size_t i = 0; i < backup->file_count; i++) {
        kal_backup_file *f = &backup->files[i];
        KAL_TRY(check_file(from, to, f, NULL, arena, err));
        if (f->state != KAL_BACKUP_GOOD)
            return kal_error_set(err, KAL_CORRUPT, "file '%.*s' of the backup: %s",
                                 KAL_FMT(f->name), kal_backup_state_name(f->state));
    }
    KAL_TRY(kal_tree_sync_directory(store, err));
    return kal_tree_sync_directory(to, err);
}

/* Seqs of after the backup are not used again: see KAL_BACKUP_SEQ_DISTANCE. */
static kal_status move_seqs(const char *directory, kal_error *err)
{
    char store[KAL_TREE_PATH_BYTES];
    kal_kv *kv = NULL; /* owned */

    KAL_TRY(kal_tree_path(directory, STORE, store, err));
    KAL_TRY(kal_kv_open_rocks(store, NULL, &kv, err));
    kal_status status = kal_change_log_restart(kv, KAL_BACKUP_SEQ_DISTANCE, err);
    kal_kv_close(kv);
    return status;
}

kal_status kal_backup_restore(const char *path, const char *data_dir, kal_arena *arena,
                              kal_backup *out, kal_error *err)
{
    char directory[KAL_TREE_PATH_BYTES];

    *out = (kal_backup){0};
    KAL_TRY(check_empty(data_dir, err));
    KAL_TRY(read_manifest(path, arena, out, err));
    KAL_TRY(kal_tree_make_beside(data_dir, directory, err));
    kal_status status = copy_files(path, directory, out, arena, err);
    if (status == KAL_OK)
        status = move_seqs(directory, err);
    if (status == KAL_OK)
        status = kal_tree_rename(directory, data_dir, err);
    if (status != KAL_OK)
        kal_tree_remove(directory);
    return status;
}
