#include "backup/tree.h"
#include "base/assert.h"
#include "base/file_io.h"
#include "base/files.h"
#include "base/vec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_BYTES = 1024 * 1024 };

kal_status kal_tree_failed(const char *doing, const char *path, int error, kal_error *err)
{
    kal_status status = error == ENOENT || error == ENOTDIR     ? KAL_NOT_FOUND
                        : error == EACCES || error == EPERM     ? KAL_DENIED
                        : error == EEXIST || error == ENOTEMPTY ? KAL_EXISTS
                                                                : KAL_IO;
    return kal_error_set(err, status, "cannot %s '%s': %s", doing, path, strerror(error));
}

kal_status kal_tree_path(const char *directory, const char *name, char out[KAL_TREE_PATH_BYTES],
                         kal_error *err)
{
    int len = snprintf(out, KAL_TREE_PATH_BYTES, "%s/%s", directory, name);
    if (len < 0 || len >= KAL_TREE_PATH_BYTES)
        return kal_error_set(err, KAL_INVALID, "the path of '%s' is too long", name);
    return KAL_OK;
}

/* ---- listing ---- */

typedef KAL_VEC(kal_bytes) name_list;

static kal_status add_name(const char *directory, const char *name, kal_arena *arena,
                           name_list *names, kal_error *err)
{
    char path[KAL_TREE_PATH_BYTES];
    struct stat info;

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return KAL_OK;
    KAL_TRY(kal_tree_path(directory, name, path, err));
    if (lstat(path, &info) != 0)
        return kal_tree_failed("read", path, errno, err);
    if (!S_ISREG(info.st_mode))
        return kal_error_set(err, KAL_INVALID, "'%s' is not a plain file", path);
    kal_bytes copy = kal_arena_copy(arena, kal_cstr(name));
    if (!kal_vec_try_push_in(arena, names, copy))
        return kal_error_set(err, KAL_LIMIT, "'%s' holds too many files", directory);
    return KAL_OK;
}

static int compare_names(const void *a, const void *b)
{
    return kal_bytes_compare(*(const kal_bytes *)a, *(const kal_bytes *)b);
}

kal_status kal_tree_list(const char *directory, kal_arena *arena, kal_bytes **out,
                         size_t *count_out, kal_error *err)
{
    name_list names = {0};
    kal_status status = KAL_OK;
    DIR *open = opendir(directory);

    if (open == NULL)
        return kal_tree_failed("read", directory, errno, err);
    for (struct dirent *entry = readdir(open); entry != NULL && status == KAL_OK;
         entry = readdir(open))
        status = add_name(directory, entry->d_name, arena, &names, err);
    closedir(open);
    if (names.len > 1)
        qsort(names.items, names.len, sizeof *names.items, compare_names);
    *out = names.items;
    *count_out = names.len;
    return status;
}

/* ---- reading and copying ---- */

kal_status kal_tree_open(const char *path, int *fd_out, kal_error *err)
{
    struct stat info;
    int fd = kal_file_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0); /* a pipe would wait */

    if (fd < 0)
        return kal_tree_failed("read", path, errno, err);
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        return kal_error_set(err, KAL_INVALID, "'%s' is not a plain file", path);
    }
    *fd_out = fd;
    return KAL_OK;
}

kal_status kal_tree_read_text(const char *path, size_t bytes_max, kal_buf *out, kal_error *err)
{
    kal_budget budget;
    kal_buf text; /* owned */
    int fd = -1;

    KAL_TRY(kal_tree_open(path, &fd, err)); /* only to see what it is */
    close(fd);
    kal_budget_init(&budget, NULL, bytes_max);
    kal_buf_init(&text, &budget);
    kal_status status = kal_files_read(kal_files_system(), path, &text, err);
    if (status == KAL_OK)
        kal_buf_append_bytes(out, kal_buf_bytes(&text));
    kal_buf_release(&text);
    return status;
}

/* From fd, to its end; to: -1 when nothing is copied. */
static kal_status read_all(int fd, const char *path, int to, const char *copy,
                           const kal_backup_poll *poll, uint8_t *piece, uint64_t *size_out,
                           char hash_out[KAL_DIGEST_HEX_LEN + 1], kal_error *err)
{
    kal_digest digest;

    *size_out = 0;
    kal_digest_init(&digest);
    for (;;) {
        ssize_t got = read(fd, piece, PIECE_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return kal_tree_failed("read", path, errno, err);
        if (got == 0)
            break;
        if (poll != NULL)
            KAL_TRY(poll->go_on(poll->context, err));
        kal_digest_add(&digest, kal_bytes_of(piece, (size_t)got));
        *size_out += (uint64_t)got;
        int error = to < 0 ? 0 : kal_file_write_all(to, kal_bytes_of(piece, (size_t)got));
        if (error != 0)
            return kal_tree_failed("write", copy, error, err);
    }
    kal_digest_hex(&digest, hash_out);
    return KAL_OK;
}

static kal_status sync_and_close(int fd, const char *path, kal_status status, kal_error *err)
{
    if (status != KAL_OK) {
        close(fd);
        return status;
    }
    int error = kal_file_sync_close(fd, 0);
    return error == 0 ? KAL_OK : kal_tree_failed("write", path, error, err);
}

kal_status kal_tree_read(const char *path, const char *copy, unsigned mode,
                         const kal_backup_poll *poll, uint64_t *size_out,
                         char hash_out[KAL_DIGEST_HEX_LEN + 1], kal_error *err)
{
    kal_status status = KAL_OK;
    int to = -1;
    int fd = -1;

    KAL_TRY(kal_tree_open(path, &fd, err));
    if (copy != NULL) {
        to = kal_file_open(copy, O_WRONLY | O_CREAT | O_EXCL, mode);
        if (to < 0) {
            status = kal_tree_failed("write", copy, errno, err);
            close(fd);
            return status;
        }
    }
    uint8_t *piece = malloc(PIECE_BYTES); /* owned */
    if (piece == NULL)
        kal_die("out of memory: backup");
    status = read_all(fd, path, to, copy, poll, piece, size_out, hash_out, err);
    free(piece);
    if (to < 0)
        return sync_and_close(fd, path, status, err);
    close(fd);
    return sync_and_close(to, copy, status, err);
}

/* ---- directories ---- */

kal_status kal_tree_make_directory(const char *path, kal_error *err)
{
    return mkdir(path, 0700) == 0 ? KAL_OK : kal_tree_failed("make directory", path, errno, err);
}

static kal_status synced(const char *path, int error, kal_error *err)
{
    return error == 0 ? KAL_OK : kal_tree_failed("write", path, error, err);
}

kal_status kal_tree_sync_directory(const char *path, kal_error *err)
{
    return synced(path, kal_file_sync_directory(path), err);
}

kal_status kal_tree_make_beside(const char *path, char out[KAL_TREE_PATH_BYTES], kal_error *err)
{
    int len = snprintf(out, KAL_TREE_PATH_BYTES, "%s.partial-XXXXXX", path);
    if (len < 0 || len >= KAL_TREE_PATH_BYTES)
        return kal_error_set(err, KAL_INVALID, "the path is too long");
    if (mkdtemp(out) == NULL) /* 0700 */
        return kal_tree_failed("make a directory beside", path, errno, err);
    return KAL_OK;
}

kal_status kal_tree_rename(const char *from, const char *to, kal_error *err)
{
    if (rename(from, to) != 0)
        return kal_tree_failed("make", to, errno, err);
    return synced(to, kal_file_sync_directory_of(to), err);
}

static void remove_at(const char *directory, int levels) /* NOLINT(misc-no-recursion) */
{
    char path[KAL_TREE_PATH_BYTES];
    DIR *open = opendir(directory);

    if (open == NULL)
        return;
    for (struct dirent *entry = readdir(open); entry != NULL; entry = readdir(open)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            kal_tree_path(directory, entry->d_name, path, NULL) != KAL_OK)
            continue;
        if (unlink(path) != 0 && levels > 0)
            remove_at(path, levels - 1);
    }
    closedir(open);
    rmdir(directory);
}

void kal_tree_remove(const char *directory)
{
    enum { LEVELS = 2 }; /* storage/restored/ */
    remove_at(directory, LEVELS);
}
