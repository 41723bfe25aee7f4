#include "backup/making.h"
#include "backup/manifest.h"
#include "base/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- paths ---- */

kal_status kal_backup_path(kal_bytes path, char out[KAL_TREE_PATH_BYTES], kal_error *err)
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

kal_status kal_backup_check_outside(const char *directory, const char *data_dir, kal_error *err)
{
    char *data = realpath(data_dir, NULL);      /* owned */
    char *resolved = realpath(directory, NULL); /* owned */
    int error = errno;
    bool known = data != NULL && resolved != NULL;
    bool overlaps = known && kal_path_holds(data, resolved);

    free(resolved);
    free(data);
    if (!known)
        return kal_tree_failed("resolve", directory, error, err);
    if (overlaps)
        return kal_error_set(err, KAL_INVALID,
                             "the directory '%s' overlaps the server's data directory", directory);
    return KAL_OK;
}

/* Nothing is there, but its parent is, which is none of the database's. */
static kal_status check_place(const char *path, const char *data_dir, kal_error *err)
{
    char parent[KAL_TREE_PATH_BYTES];
    struct stat info;
    size_t slash = (size_t)(strrchr(path, '/') - path);

    if (lstat(path, &info) == 0)
        return kal_error_set(err, KAL_EXISTS, "'%s' exists already", path);
    memcpy(parent, path, slash);
    parent[slash] = '\0';
    if (slash == 0)
        return KAL_OK;
    bool is_there = stat(parent, &info) == 0;
    if (!is_there && errno != ENOENT && errno != ENOTDIR)
        return kal_tree_failed("read", parent, errno, err);
    if (!is_there)
        return kal_error_set(
            err, KAL_INVALID,
            "the directory '%s', which the backup is to be made in, does not exist", parent);
    if (!S_ISDIR(info.st_mode))
        return kal_error_set(err, KAL_INVALID, "'%s' is no directory", parent);
    return kal_backup_check_outside(parent, data_dir, err);
}

kal_status kal_making_begin(kal_making *m, const char *data_dir, kal_bytes path, kal_error *err)
{
    KAL_TRY(kal_backup_path(path, m->path, err));
    KAL_TRY(check_place(m->path, data_dir, err));
    return kal_tree_make_beside(m->path, m->directory, err);
}

/* ---- files ---- */

static kal_status reserve(kal_making *m, kal_error *err)
{
    kal_backup *b = m->backup;
    size_t cap = m->file_cap == 0 ? 64 : m->file_cap * 2;

    if (b->file_count < m->file_cap)
        return KAL_OK;
    kal_backup_file *files = kal_arena_try_array(m->arena, cap, sizeof *files);
    if (files == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    if (b->file_count > 0)
        memcpy(files, b->files, b->file_count * sizeof *files);
    b->files = files;
    m->file_cap = cap;
    return KAL_OK;
}

kal_status kal_making_add(kal_making *m, const char *name, const char *from, const char *copy,
                          kal_error *err)
{
    char hash[KAL_DIGEST_HEX_LEN + 1];
    kal_backup_file file = {0};

    KAL_TRY(reserve(m, err));
    KAL_TRY(kal_tree_read(from, copy, KAL_BACKUP_FILE_MODE, m->poll, &file.size_bytes, hash, err));
    file.name = kal_arena_copy(m->arena, kal_cstr(name));
    file.sha256 = kal_arena_copy(m->arena, kal_cstr(hash));
    m->backup->size_bytes += file.size_bytes;
    m->backup->files[m->backup->file_count++] = file;
    return KAL_OK;
}

kal_status kal_making_add_text(kal_making *m, const char *name, kal_bytes content, kal_error *err)
{
    char path[KAL_TREE_PATH_BYTES];

    KAL_TRY(kal_tree_path(m->directory, name, path, err));
    KAL_TRY(kal_files_replace(kal_files_system(), path, content, KAL_BACKUP_FILE_MODE, err));
    return kal_making_add(m, name, path, NULL, err);
}

static int by_name(const void *a, const void *b)
{
    return kal_bytes_compare(((const kal_backup_file *)a)->name,
                             ((const kal_backup_file *)b)->name);
}

static kal_status finish(kal_making *m, kal_error *err)
{
    kal_backup *b = m->backup;
    char path[KAL_TREE_PATH_BYTES];
    kal_buf manifest; /* owned */

    if (b->file_count > 1)
        qsort(b->files, b->file_count, sizeof *b->files, by_name);
    KAL_TRY(kal_tree_path(m->directory, KAL_MANIFEST_NAME, path, err));
    kal_buf_init(&manifest, NULL);
    kal_manifest_write(b, &manifest);
    kal_status status = manifest.len > KAL_BACKUP_MANIFEST_BYTES_MAX
                            ? kal_error_set(err, KAL_LIMIT, "the backup has too many files")
                            : kal_files_replace(kal_files_system(), path, kal_buf_bytes(&manifest),
                                                KAL_BACKUP_FILE_MODE, err);
    kal_buf_release(&manifest);
    KAL_TRY(status);
    return kal_tree_rename(m->directory, m->path, err);
}

kal_status kal_making_end(kal_making *m, kal_status status, kal_error *err)
{
    if (status == KAL_OK)
        status = finish(m, err);
    if (status != KAL_OK)
        kal_tree_remove(m->directory);
    return status;
}

/* ---- reading the list ---- */

kal_status kal_backup_read_manifest(const char *directory, kal_arena *arena, kal_backup *out,
                                    kal_error *err)
{
    char path[KAL_TREE_PATH_BYTES];
    kal_buf text; /* owned */

    KAL_TRY(kal_tree_path(directory, KAL_MANIFEST_NAME, path, err));
    kal_buf_init(&text, NULL);
    kal_status status = kal_tree_read_text(path, KAL_BACKUP_MANIFEST_BYTES_MAX, &text, err);
    if (status == KAL_NOT_FOUND)
        kal_error_set(err, status, "'%s' is no backup: it has no " KAL_MANIFEST_NAME, directory);
    if (status == KAL_OK)
        status = kal_manifest_read(kal_buf_bytes(&text), arena, out, err);
    kal_buf_release(&text);
    return status;
}
