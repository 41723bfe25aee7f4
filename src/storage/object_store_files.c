/*
 * object_store_files.c: objects as files below a directory; the key is the path.
 *
 * Putting, and what a crash leaves at each arrow:
 *
 *     make folders, syncing each one's parent -> [empty folders] -> write
 *     FOLDER/.tmp-HASH-RANDOM -> fsync it -> [a stray temporary] -> rename over the key ->
 *     [old or new] -> fsync FOLDER -> [new]
 *
 * A group's files are moved to their keys and synced with all that the file system has (syncfs): a
 * quarter of a millisecond each instead of three syncs of one or two. Their folders are made
 * without a sync, but for the first one, so that what several share is durable. A file that would
 * be copied and removed costs ext4 a search for an inode that was not removed lately.
 *
 * Deleting removes the file and what puts of the key left unfinished (HASH is the name's), syncs
 * the folder, and then takes away the folders that became empty, so that a key may later be the
 * folder of others. A put whose folder or temporary is taken away meanwhile begins again. Folders
 * are 0700, files 0600. Links are followed: the directory is its owner's.
 */
#include "base/assert.h"
#include "base/file_io.h"
#include "base/files.h"
#include "base/map.h"
#include "base/rng.h"
#include "storage/storage_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { PATH_BYTES = PATH_MAX, COPY_BYTES = 256 * 1024, PUT_ATTEMPTS = 16 };
enum { TEMPORARY_PREFIX_BYTES = sizeof KAL_OBJECT_TEMPORARY + 17 }; /* hash, "-" and the end */

typedef struct file_store {
    kal_object_store base;
    size_t directory_len;
    char directory[]; /* without a '/' at the end */
} file_store;

static kal_status io_error(kal_error *err, const char *verb, const file_store *f, kal_bytes key,
                           int error)
{
    return kal_error_set(err, KAL_IO, "cannot %s object '%.*s' in '%s': %s", verb, KAL_FMT(key),
                         f->directory, strerror(error));
}

/* KAL_OBJECT_KEY_BYTES_MAX and the directory fit: kal_object_store_open_files() saw to it. */
static void path_of(const file_store *f, kal_bytes key, char path[PATH_BYTES])
{
    int len =
        snprintf(path, PATH_BYTES, "%s/%.*s", f->directory, (int)key.len, (const char *)key.ptr);
    KAL_ASSERT(len > 0 && len < PATH_BYTES);
}

/* The folder of an object's path. */
static void folder_of(const char *path, char folder[PATH_BYTES])
{
    snprintf(folder, PATH_BYTES, "%s", path);
    *strrchr(folder, '/') = '\0';
}

/* How the temporary names of the object begin. */
static void temporary_prefix(const char *path, char prefix[TEMPORARY_PREFIX_BYTES])
{
    uint64_t hash = kal_hash(kal_cstr(strrchr(path, '/') + 1));
    snprintf(prefix, TEMPORARY_PREFIX_BYTES, KAL_OBJECT_TEMPORARY "%016llx-",
             (unsigned long long)hash);
}

/* ---- putting ---- */

/* Where the bytes come from: memory, or a file. */
typedef struct source {
    kal_bytes content;
    int fd; /* -1: content */
} source;

/* 0 or errno. */
static int copy_file(int fd, int from)
{
    int error = 0;
    uint8_t *chunk = malloc(COPY_BYTES); /* owned */
    if (chunk == NULL)
        kal_die("out of memory: copying an object");
    for (off_t offset = 0; error == 0;) {
        ssize_t n = pread(from, chunk, COPY_BYTES, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            error = n < 0 ? errno : 0;
            break;
        }
        error = kal_file_write_all(fd, kal_bytes_of(chunk, (size_t)n));
        offset += n;
    }
    free(chunk);
    return error;
}

/* 0 or errno: a new file, written and synced. */
static int write_temporary(const char *path, const source *from)
{
    int fd = kal_file_open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        return errno;
    int error = from->fd >= 0 ? copy_file(fd, from->fd) : kal_file_write_all(fd, from->content);
    return kal_file_sync_close(fd, error);
}

/* One attempt. 0 or errno; ENOENT: the folder or the temporary was taken away meanwhile. */
static int put_into_folder(const char *folder, const char *path, const source *from)
{
    char temporary[PATH_BYTES];
    char prefix[TEMPORARY_PREFIX_BYTES];
    uint64_t random = 0;

    temporary_prefix(path, prefix);
    kal_random_bytes(&random, sizeof random);
    if (snprintf(temporary, sizeof temporary, "%s/%s%016llx", folder, prefix,
                 (unsigned long long)random) >= (int)sizeof temporary)
        return ENAMETOOLONG;
    int error = write_temporary(temporary, from);
    if (error == 0 && rename(temporary, path) != 0)
        error = errno;
    if (error == 0)
        return kal_file_sync_directory(folder);
    if (error != EEXIST)
        unlink(temporary); /* ours; if this fails too, a stray temporary remains */
    return error;
}

/* A file stands where the key needs a folder. */
static bool folder_is_blocked(const file_store *f, const char *path)
{
    char part[PATH_BYTES];
    struct stat info;

    snprintf(part, sizeof part, "%s", path);
    for (size_t i = f->directory_len + 1; part[i] != '\0'; i++) {
        if (part[i] != '/')
            continue;
        part[i] = '\0';
        if (stat(part, &info) == 0 && !S_ISDIR(info.st_mode))
            return true;
        part[i] = '/';
    }
    return false;
}

/* The directory itself is not made: when it is gone, so may be the disk that was mounted there. */
static kal_status check_directory(const file_store *f, kal_bytes key, kal_error *err)
{
    struct stat info;
    if (stat(f->directory, &info) != 0)
        return io_error(err, "write", f, key, errno);
    return S_ISDIR(info.st_mode) ? KAL_OK : io_error(err, "write", f, key, ENOTDIR);
}

static kal_status put(file_store *f, kal_bytes key, const source *from, kal_error *err)
{
    char path[PATH_BYTES];
    char folder[PATH_BYTES];
    int error = ENOENT;

    KAL_TRY(check_directory(f, key, err));
    path_of(f, key, path);
    folder_of(path, folder);
    for (int i = 0; i < PUT_ATTEMPTS && error == ENOENT; i++) {
        kal_error why = KAL_ERROR_INIT;
        if (kal_files_make_dir(kal_files_system(), folder, &why) != KAL_OK) {
            if (folder_is_blocked(f, path))
                return kal_object_in_the_way(key, err);
            if (i + 1 < PUT_ATTEMPTS)
                continue; /* somebody may be taking empty folders away */
            return kal_error_set(err, KAL_IO, "%s", why.message);
        }
        error = put_into_folder(folder, path, from);
    }
    if (error == EISDIR || error == ENOTDIR)
        return kal_object_in_the_way(key, err);
    return error == 0 ? KAL_OK : io_error(err, "write", f, key, error);
}

static kal_status file_put(kal_object_store *store, kal_bytes key, kal_bytes content,
                           kal_error *err)
{
    source from = {.content = content, .fd = -1};
    return put((file_store *)store, key, &from, err);
}

static kal_status file_put_file(kal_object_store *store, kal_bytes key, const char *path,
                                kal_error *err)
{
    source from = {.fd = kal_file_open(path, O_RDONLY, 0)};
    if (from.fd < 0)
        return kal_error_set(err, KAL_IO, "cannot open '%s': %s", path, strerror(errno));
    kal_status status = put((file_store *)store, key, &from, err);
    close(from.fd);
    return status;
}

/* ---- reading ---- */

static bool is_missing(int error)
{
    return error == ENOENT || error == ENOTDIR;
}

/* KAL_NOT_FOUND also for a folder. */
static kal_status stat_object(file_store *f, kal_bytes key, const char *path, uint64_t *size_out,
                              kal_error *err)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return is_missing(errno) ? KAL_NOT_FOUND : io_error(err, "look at", f, key, errno);
    if (!S_ISREG(info.st_mode))
        return KAL_NOT_FOUND;
    *size_out = (uint64_t)info.st_size;
    return KAL_OK;
}

static kal_status file_size(kal_object_store *store, kal_bytes key, uint64_t *size_out,
                            kal_error *err)
{
    char path[PATH_BYTES];
    path_of((file_store *)store, key, path);
    return stat_object((file_store *)store, key, path, size_out, err);
}

/* 0 or errno. */
static int read_range(int fd, uint64_t offset, size_t len, kal_buf *out)
{
    while (len > 0 && offset <= INT64_MAX) {
        size_t wanted = len < COPY_BYTES ? len : COPY_BYTES;
        if (!kal_buf_reserve(out, wanted))
            return 0;
        ssize_t n = pread(fd, out->ptr + out->len, wanted, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : 0;
        out->len += (size_t)n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

static kal_status file_get(kal_object_store *store, kal_bytes key, uint64_t offset, size_t len,
                           kal_buf *out, kal_error *err)
{
    file_store *f = (file_store *)store;
    char path[PATH_BYTES];
    struct stat info;

    path_of(f, key, path);
    int fd = kal_file_open(path, O_RDONLY, 0);
    if (fd < 0)
        return is_missing(errno) ? KAL_NOT_FOUND : io_error(err, "open", f, key, errno);
    int error = fstat(fd, &info) != 0 ? errno : 0;
    bool is_file = error == 0 && S_ISREG(info.st_mode);
    if (is_file)
        error = read_range(fd, offset, len, out);
    close(fd);
    if (error != 0)
        return io_error(err, "read", f, key, error);
    return is_file ? KAL_OK : KAL_NOT_FOUND;
}

/* ---- listing ---- */

typedef struct listing {
    file_store *store;
    kal_bytes prefix;
    kal_arena *arena;
    kal_object_vec *objects;
    kal_error *err;
} listing;

static kal_status list_folder(listing *l, kal_bytes folder);

/* Nothing below the key can begin with the prefix unless one is the beginning of the other. */
static bool may_match(const listing *l, kal_bytes key)
{
    return kal_bytes_starts_with(key, l->prefix) || kal_bytes_starts_with(l->prefix, key);
}

static kal_status list_entry(listing *l, kal_bytes folder, const char *name)
{
    char path[PATH_BYTES];
    char text[KAL_OBJECT_KEY_BYTES_MAX + 1];
    struct stat info;

    int len = snprintf(text, sizeof text, "%.*s%s%s", (int)folder.len, (const char *)folder.ptr,
                       folder.len == 0 ? "" : "/", name);
    kal_bytes key = kal_bytes_of(text, (size_t)len);
    /* What put would not have made is not ours. */
    if (len >= (int)sizeof text || kal_object_key_check(key, NULL) != KAL_OK || !may_match(l, key))
        return KAL_OK;
    path_of(l->store, key, path);
    if (stat(path, &info) != 0)
        return is_missing(errno) ? KAL_OK : io_error(l->err, "look at", l->store, key, errno);
    if (S_ISDIR(info.st_mode))
        return list_folder(l, key);
    if (!S_ISREG(info.st_mode) || !kal_bytes_starts_with(key, l->prefix))
        return KAL_OK;
    return kal_object_vec_add(l->objects, l->arena, key, (uint64_t)info.st_size, l->err);
}

/* As deep as a key has parts. */
static kal_status list_folder(listing *l, kal_bytes folder) /* NOLINT(misc-no-recursion) */
{
    char path[PATH_BYTES];
    kal_status status = KAL_OK;

    path_of(l->store, folder, path);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return folder.len > 0 && is_missing(errno)
                   ? KAL_OK
                   : io_error(l->err, "list", l->store, folder, errno);
    while (status == KAL_OK) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (entry == NULL && errno != 0)
            status = io_error(l->err, "list", l->store, folder, errno);
        if (entry == NULL)
            break;
        status = list_entry(l, folder, entry->d_name);
    }
    closedir(dir);
    return status;
}

static kal_status file_list(kal_object_store *store, kal_bytes prefix, kal_arena *arena,
                            kal_object_vec *objects, kal_error *err)
{
    listing l = {(file_store *)store, prefix, arena, objects, err};
    return list_folder(&l, (kal_bytes){0});
}

/* ---- deleting ---- */

static void remove_empty_folders(const file_store *f, char *path)
{
    for (;;) {
        char *slash = strrchr(path, '/');
        if (slash <= path + f->directory_len)
            return;
        *slash = '\0';
        if (rmdir(path) != 0)
            return;
    }
}

/* What puts that never ended have left. *none_out: there is nothing unfinished of any object. 0 or
 * errno. */
static int remove_temporaries(const char *path, const char *folder, bool *none_out)
{
    char prefix[TEMPORARY_PREFIX_BYTES];
    int error = 0;

    *none_out = true;
    DIR *dir = opendir(folder); /* owned */

    if (dir == NULL)
        return is_missing(errno) ? 0 : errno;
    temporary_prefix(path, prefix);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (strncmp(entry->d_name, KAL_OBJECT_TEMPORARY, strlen(KAL_OBJECT_TEMPORARY)) == 0)
            *none_out = false;
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 &&
            unlinkat(dirfd(dir), entry->d_name, 0) != 0 && errno != ENOENT)
            error = errno;
    }
    closedir(dir);
    return error;
}

/* Removes what is unfinished. In a group a folder is searched once for several objects: what is to
 * be found was there before. */
static kal_status tidy(file_store *f, kal_object_group *group, kal_bytes key, const char *path,
                       const char *folder, kal_error *err)
{
    bool none = false;

    if (group != NULL && group->tidy_folder != NULL && strcmp(group->tidy_folder, folder) == 0)
        return KAL_OK;
    int error = remove_temporaries(path, folder, &none);
    if (error != 0)
        return io_error(err, "delete what is unfinished of", f, key, error);
    if (group != NULL && none) {
        free(group->tidy_folder);
        group->tidy_folder = strdup(folder);
    }
    return KAL_OK;
}

/* 0 or errno: the folder, or the next one above it that is there: one that is gone went with all
 * its names. Also for an object that was not there: whoever removed it may not have synced that.
 * Without the store's own directory a disk may be missing, on which the object still is: ENOENT. */
static int sync_nearest_folder(const file_store *f, char *folder)
{
    for (;;) {
        int error = kal_file_sync_directory(folder);
        char *slash = strrchr(folder, '/');
        if (!is_missing(error) || slash == NULL || slash < folder + f->directory_len)
            return error;
        *slash = '\0';
    }
}

/* group NULL: durably. */
static kal_status remove_object(file_store *f, kal_object_group *group, kal_bytes key,
                                kal_error *err)
{
    char path[PATH_BYTES];
    char folder[PATH_BYTES];
    uint64_t size = 0;

    path_of(f, key, path);
    folder_of(path, folder);
    KAL_TRY(tidy(f, group, key, path, folder, err));
    kal_status status = stat_object(f, key, path, &size, err);
    if (status != KAL_OK && status != KAL_NOT_FOUND)
        return status;
    if (status == KAL_OK && unlink(path) != 0 && !is_missing(errno))
        return io_error(err, "delete", f, key, errno);
    int error = group == NULL ? sync_nearest_folder(f, folder) : 0;
    if (error != 0) {
        io_error(err, "delete", f, key, error);
        if (is_missing(error))
            kal_error_hint(err, "if '%s' is gone for good, make it again, empty", f->directory);
        return KAL_IO;
    }
    remove_empty_folders(f, path);
    return KAL_OK;
}

static kal_status file_remove(kal_object_store *store, kal_bytes key, kal_error *err)
{
    return remove_object((file_store *)store, NULL, key, err);
}

/* ---- groups ---- */

static kal_status group_open(kal_object_group *group, kal_error *err)
{
    const file_store *f = (const file_store *)group->store;

    group->fd = kal_file_open(f->directory, O_RDONLY | O_DIRECTORY, 0);
    if (group->fd >= 0)
        return KAL_OK;
    return kal_error_set(err, KAL_IO, "cannot open '%s': %s", f->directory, strerror(errno));
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* 0 or errno: a new file with the bytes of another one. */
static int copy_new(const char *path, const char *from)
{
    int source_fd = kal_file_open(from, O_RDONLY, 0);
    if (source_fd < 0)
        return errno;
    int fd = kal_file_open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    int error = fd < 0 ? errno : copy_file(fd, source_fd);
    if (error == EEXIST && is_folder(path))
        error = EISDIR;
    if (fd >= 0 && close(fd) != 0 && error == 0)
        error = errno;
    if (fd >= 0 && error != 0)
        unlink(path);
    close(source_fd);
    return error;
}

/* 0 or errno. ENOENT: the object's folder is not there. */
static int move_new(const char *path, const char *from)
{
    if (rename(from, path) == 0)
        return 0;
    return errno == EXDEV ? copy_new(path, from) : errno;
}

/* Those on the way to the object that are not there yet. What goes wrong the file will tell. */
static void make_folders(const file_store *f, char *path)
{
    for (size_t i = f->directory_len + 1; path[i] != '\0'; i++) {
        if (path[i] != '/')
            continue;
        path[i] = '\0';
        (void)mkdir(path, 0700);
        path[i] = '/';
    }
}

static kal_status make_durable_folder(kal_object_group *group, kal_bytes key, kal_error *err)
{
    const file_store *f = (const file_store *)group->store;
    char path[PATH_BYTES];
    char folder[PATH_BYTES];

    KAL_TRY(check_directory(f, key, err));
    path_of(f, key, path);
    folder_of(path, folder);
    if (folder_is_blocked(f, path))
        return kal_object_in_the_way(key, err);
    KAL_TRY(kal_files_make_dir(kal_files_system(), folder, err));
    group->has_folder = true;
    return KAL_OK;
}

static kal_status group_move_file(kal_object_group *group, kal_bytes key, const char *from,
                                  kal_error *err)
{
    const file_store *f = (const file_store *)group->store;
    char path[PATH_BYTES];

    if (!group->has_folder)
        KAL_TRY(make_durable_folder(group, key, err));
    path_of(f, key, path);
    int error = move_new(path, from);
    for (int i = 0; i < PUT_ATTEMPTS && error == ENOENT; i++) {
        make_folders(f, path); /* somebody may be taking empty folders away */
        error = move_new(path, from);
    }
    if (error == EISDIR || error == ENOTDIR)
        return kal_object_in_the_way(key, err);
    return error == 0 ? KAL_OK : io_error(err, "write", f, key, error);
}

static kal_status group_remove(kal_object_group *group, kal_bytes key, kal_error *err)
{
    return remove_object((file_store *)group->store, group, key, err);
}

static kal_status group_sync(kal_object_group *group, kal_error *err)
{
    const file_store *f = (const file_store *)group->store;
    int error = kal_file_sync_system(group->fd);

    if (error == 0)
        return KAL_OK;
    return kal_error_set(err, KAL_IO, "cannot sync '%s': %s", f->directory, strerror(error));
}

/* ---- space ---- */

static kal_status file_space(kal_object_store *store, kal_object_space *space_out, kal_error *err)
{
    file_store *f = (file_store *)store;
    struct statvfs info;

    if (statvfs(f->directory, &info) != 0)
        return kal_error_set(err, KAL_IO, "cannot measure '%s': %s", f->directory, strerror(errno));
    space_out->total_bytes = (uint64_t)info.f_blocks * info.f_frsize;
    space_out->used_bytes = (uint64_t)(info.f_blocks - info.f_bfree) * info.f_frsize;
    return KAL_OK;
}

static void file_close(kal_object_store *store)
{
    free(store);
}

static void file_local_path(const kal_object_store *store, kal_bytes key, char *path_out)
{
    path_of((const file_store *)store, key, path_out);
}

static const kal_object_ops FILE_OPS = {
    .put = file_put,
    .put_file = file_put_file,
    .get = file_get,
    .size = file_size,
    .list = file_list,
    .remove = file_remove,
    .local_path = file_local_path,
    .space = file_space,
    .close = file_close,
    .group_open = group_open,
    .group_move_file = group_move_file,
    .group_remove = group_remove,
    .group_sync = group_sync,
};

kal_status kal_object_store_open_files(const char *directory, kal_object_store **store_out,
                                       kal_error *err)
{
    size_t len = strlen(directory);
    while (len > 1 && directory[len - 1] == '/')
        len--;
    if (directory[0] != '/' || len == 1)
        return kal_error_set(err, KAL_INVALID,
                             "'%s' cannot hold objects: an absolute path of a directory is needed",
                             directory);
    /* The temporary name, too, must fit behind a folder. */
    if (len + KAL_OBJECT_KEY_BYTES_MAX + TEMPORARY_PREFIX_BYTES + 17 > PATH_BYTES)
        return kal_error_set(err, KAL_INVALID, "the path of the directory has %zu bytes: too long",
                             len);
    file_store *f = malloc(sizeof *f + len + 1);
    if (f == NULL)
        kal_die("out of memory: object store");
    f->base = (kal_object_store){.ops = &FILE_OPS};
    f->directory_len = len;
    memcpy(f->directory, directory, len);
    f->directory[len] = '\0';
    *store_out = &f->base;
    return KAL_OK;
}
