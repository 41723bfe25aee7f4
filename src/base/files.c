/*
 * files.c: the file seam on the operating system, and in memory.
 *
 * Replacing on the system: write `path.tmp-RANDOM`, fsync, rename over `path`, fsync the directory.
 * What a crash leaves: before the rename the old file and a stray temporary; after it the new file.
 * An error after the rename (the directory's fsync) leaves the new file, perhaps not durably.
 *
 * The memory backend fails on a seed in the same ways: a replace that fails leaves the old file, or
 * the old file and a torn temporary, or the new file; each with KAL_IO.
 */
#include "base/files.h"
#include "base/assert.h"
#include "base/file_io.h"
#include "base/log.h"
#include "base/map.h"
#include "base/rng.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct kal_files {
    kal_status (*read)(const kal_files *files, const char *path, kal_buf *out, kal_error *err);
    kal_status (*replace)(const kal_files *files, const char *path, kal_bytes content,
                          unsigned mode, kal_error *err);
    kal_status (*mode)(const kal_files *files, const char *path, unsigned *mode_out,
                       kal_error *err);
    kal_status (*remove)(const kal_files *files, const char *path, kal_error *err);
    kal_status (*make_dir)(const kal_files *files, const char *path, kal_error *err);
    kal_status (*lock)(const kal_files *files, const char *path, int *lock_out, kal_error *err);
    void (*unlock)(const kal_files *files, int lock);
    struct memory *memory; /* owned, memory backend only */
};

static kal_status io_error(kal_error *err, const char *verb, const char *path, int error)
{
    return kal_error_set(err, KAL_IO, "cannot %s '%s': %s", verb, path, strerror(error));
}

/* ---- the operating system ---- */

/* 0 or errno. */
static int read_all(int fd, kal_buf *out)
{
    uint8_t chunk[16 * 1024];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return 0;
        kal_buf_append(out, chunk, (size_t)n);
        if (kal_buf_failed(out))
            return 0;
    }
}

static kal_status system_read(const kal_files *files, const char *path, kal_buf *out,
                              kal_error *err)
{
    (void)files;
    size_t before = out->len;
    int fd = kal_file_open(path, O_RDONLY, 0);
    if (fd < 0 && errno == ENOENT)
        return KAL_NOT_FOUND;
    if (fd < 0)
        return io_error(err, "open", path, errno);
    int error = read_all(fd, out);
    close(fd);
    if (error == 0 && !kal_buf_failed(out))
        return KAL_OK;
    kal_buf_truncate(out, before);
    if (error != 0)
        return io_error(err, "read", path, error);
    return kal_error_set(err, KAL_LIMIT, "file '%s' exceeds the memory it may take", path);
}

/* Writes and syncs a file that must not exist yet. 0 or errno. */
static int write_new_file(const char *path, kal_bytes content, unsigned mode)
{
    int fd = kal_file_open(path, O_WRONLY | O_CREAT | O_EXCL, mode);
    if (fd < 0)
        return errno;
    return kal_file_sync_close(fd, kal_file_write_all(fd, content));
}

static char *temporary_name(const char *path)
{
    char *name = NULL;
    uint32_t random = 0;
    kal_random_bytes(&random, sizeof random);
    if (asprintf(&name, "%s.tmp-%08x", path, random) < 0)
        kal_die("out of memory: path '%s'", path);
    return name;
}

static kal_status system_replace(const kal_files *files, const char *path, kal_bytes content,
                                 unsigned mode, kal_error *err)
{
    (void)files;
    char *temporary = temporary_name(path); /* owned */
    int error = write_new_file(temporary, content, mode);
    if (error == 0 && rename(temporary, path) != 0)
        error = errno;
    if (error == 0)
        error = kal_file_sync_directory_of(path);
    else if (error != EEXIST)
        unlink(temporary); /* ours; if this fails too, a stray temporary remains */
    free(temporary);
    return error == 0 ? KAL_OK : io_error(err, "write", path, error);
}

static kal_status system_mode(const kal_files *files, const char *path, unsigned *mode_out,
                              kal_error *err)
{
    struct stat info;
    (void)files;
    if (stat(path, &info) != 0)
        return errno == ENOENT ? KAL_NOT_FOUND : io_error(err, "look at", path, errno);
    *mode_out = info.st_mode & 07777u;
    return KAL_OK;
}

static kal_status system_remove(const kal_files *files, const char *path, kal_error *err)
{
    (void)files;
    if (unlink(path) != 0)
        return errno == ENOENT ? KAL_OK : io_error(err, "remove", path, errno);
    int error = kal_file_sync_directory_of(path);
    return error == 0 ? KAL_OK : io_error(err, "remove", path, error);
}

/* 0 or errno. */
static int make_or_find_dir(const char *path)
{
    struct stat info;

    if (mkdir(path, 0700) != 0) {
        int error = errno;
        if (stat(path, &info) == 0)
            return S_ISDIR(info.st_mode) ? 0 : ENOTDIR;
        return error;
    }
    int error = kal_file_sync_directory_of(path);
    if (error != 0)
        (void)rmdir(path); /* else the next one would believe in it */
    return error;
}

/* 0 or errno. One at a time: who finds a directory that another thread has just made may rely on
 * it as much as that one. */
static int make_one_dir(const char *path)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

    pthread_mutex_lock(&lock);
    int error = make_or_find_dir(path);
    pthread_mutex_unlock(&lock);
    return error;
}

static kal_status system_make_dir(const kal_files *files, const char *path, kal_error *err)
{
    (void)files;
    char *prefix = strdup(path); /* owned */
    if (prefix == NULL)
        kal_die("out of memory: path '%s'", path);
    size_t len = strlen(prefix);
    while (len > 1 && prefix[len - 1] == '/')
        prefix[--len] = '\0';
    int error = len == 0 ? ENOENT : 0;
    for (size_t i = 1; i < len && error == 0; i++) {
        if (prefix[i] != '/' || prefix[i - 1] == '/')
            continue;
        prefix[i] = '\0';
        error = make_one_dir(prefix);
        prefix[i] = '/';
    }
    if (error == 0)
        error = make_one_dir(prefix);
    free(prefix);
    return error == 0 ? KAL_OK : io_error(err, "make directory", path, error);
}

static kal_status remove_entry(int dir, const char *path, const char *name, kal_error *err)
{
    struct stat info;

    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return KAL_OK;
    int error = errno;
    if (fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode)) {
        kal_log_warn("files", "'%s/%s' is left there, but is no file of the server's", path, name);
        return KAL_OK;
    }
    return kal_error_set(err, KAL_IO, "cannot remove '%s' in '%s': %s", name, path,
                         strerror(error));
}

kal_status kal_files_empty_dir(const char *path, kal_error *err)
{
    DIR *dir = opendir(path); /* owned */
    kal_status status = KAL_OK;

    if (dir == NULL)
        return io_error(err, "read", path, errno);
    for (struct dirent *e = readdir(dir); e != NULL && status == KAL_OK; e = readdir(dir)) {
        if (e->d_name[0] != '.')
            status = remove_entry(dirfd(dir), path, e->d_name, err);
    }
    closedir(dir);
    return status;
}

bool kal_path_holds(const char *outer, const char *inner)
{
    size_t len = strlen(outer);
    return strncmp(outer, inner, len) == 0 &&
           (inner[len] == '\0' || inner[len] == '/' || strcmp(outer, "/") == 0);
}

static kal_status system_lock(const kal_files *files, const char *path, int *lock_out,
                              kal_error *err)
{
    (void)files;
    *lock_out = -1;
    int fd = kal_file_open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0)
        return io_error(err, "open lock file", path, errno);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        *lock_out = fd;
        return KAL_OK;
    }
    int error = errno;
    close(fd);
    if (error == EWOULDBLOCK)
        return kal_error_set(err, KAL_BUSY, "another process holds '%s'", path);
    return io_error(err, "lock", path, error);
}

static void system_unlock(const kal_files *files, int lock)
{
    (void)files;
    KAL_ASSERT(close(lock) == 0);
}

const kal_files *kal_files_system(void)
{
    static const kal_files SYSTEM = {
        .read = system_read,
        .replace = system_replace,
        .mode = system_mode,
        .remove = system_remove,
        .make_dir = system_make_dir,
        .lock = system_lock,
        .unlock = system_unlock,
    };
    return &SYSTEM;
}

/* ---- memory ---- */

typedef struct memory_file {
    kal_buf content;
    unsigned mode;
    bool is_dir;
} memory_file;

typedef struct memory_lock {
    char *path; /* owned; NULL = free slot */
} memory_lock;

enum { LOCKS_MAX = 16 };

struct memory {
    pthread_mutex_t mutex; /* protects the rest */
    kal_map files;         /* path -> memory_file, owned */
    kal_rng rng;
    unsigned fail_per_1000;
    memory_lock locks[LOCKS_MAX];
};

static bool should_fail(struct memory *m)
{
    return m->fail_per_1000 > 0 && kal_rng_chance(&m->rng, m->fail_per_1000, 1000);
}

static kal_status injected(kal_error *err, const char *verb, const char *path)
{
    return io_error(err, verb, path, EIO);
}

static void free_file(memory_file *file)
{
    if (file == NULL)
        return;
    kal_buf_release(&file->content);
    free(file);
}

static void memory_put(struct memory *m, const char *path, kal_bytes content, unsigned mode,
                       bool is_dir)
{
    memory_file *file = calloc(1, sizeof *file);
    if (file == NULL)
        kal_die("out of memory: file '%s'", path);
    kal_buf_init(&file->content, NULL);
    kal_buf_append_bytes(&file->content, content);
    file->mode = mode;
    file->is_dir = is_dir;
    free_file(kal_map_put(&m->files, kal_cstr(path), file));
}

static kal_status read_locked(struct memory *m, const char *path, kal_buf *out, kal_error *err)
{
    const memory_file *file = kal_map_find(&m->files, kal_cstr(path));
    size_t before = out->len;
    if (file == NULL)
        return KAL_NOT_FOUND;
    if (file->is_dir)
        return io_error(err, "read", path, EISDIR);
    if (should_fail(m))
        return injected(err, "read", path);
    kal_buf_append_bytes(out, kal_buf_bytes(&file->content));
    if (!kal_buf_failed(out))
        return KAL_OK;
    kal_buf_truncate(out, before);
    return kal_error_set(err, KAL_LIMIT, "file '%s' exceeds the memory it may take", path);
}

static kal_status memory_read(const kal_files *files, const char *path, kal_buf *out,
                              kal_error *err)
{
    pthread_mutex_lock(&files->memory->mutex);
    kal_status status = read_locked(files->memory, path, out, err);
    pthread_mutex_unlock(&files->memory->mutex);
    return status;
}

/* One of the three states that a failed replace may leave. */
static void leave_failed_replace(struct memory *m, const char *path, kal_bytes content,
                                 unsigned mode)
{
    uint64_t outcome = kal_rng_below(&m->rng, 3);
    if (outcome == 0)
        return;
    if (outcome == 1) {
        char *temporary = temporary_name(path); /* owned */
        size_t torn_len = (size_t)kal_rng_below(&m->rng, content.len + 1);
        memory_put(m, temporary, kal_bytes_of(content.ptr, torn_len), mode, false);
        free(temporary);
        return;
    }
    memory_put(m, path, content, mode, false);
}

static kal_status replace_locked(struct memory *m, const char *path, kal_bytes content,
                                 unsigned mode, kal_error *err)
{
    const memory_file *file = kal_map_find(&m->files, kal_cstr(path));
    if (file != NULL && file->is_dir)
        return io_error(err, "write", path, EISDIR);
    if (should_fail(m)) {
        leave_failed_replace(m, path, content, mode);
        return injected(err, "write", path);
    }
    memory_put(m, path, content, mode, false);
    return KAL_OK;
}

static kal_status memory_replace(const kal_files *files, const char *path, kal_bytes content,
                                 unsigned mode, kal_error *err)
{
    pthread_mutex_lock(&files->memory->mutex);
    kal_status status = replace_locked(files->memory, path, content, mode, err);
    pthread_mutex_unlock(&files->memory->mutex);
    return status;
}

static kal_status memory_mode(const kal_files *files, const char *path, unsigned *mode_out,
                              kal_error *err)
{
    (void)err;
    pthread_mutex_lock(&files->memory->mutex);
    const memory_file *file = kal_map_find(&files->memory->files, kal_cstr(path));
    if (file != NULL)
        *mode_out = file->mode;
    pthread_mutex_unlock(&files->memory->mutex);
    return file == NULL ? KAL_NOT_FOUND : KAL_OK;
}

static kal_status remove_locked(struct memory *m, const char *path, kal_error *err)
{
    const memory_file *file = kal_map_find(&m->files, kal_cstr(path));
    if (file == NULL)
        return KAL_OK;
    if (file->is_dir)
        return io_error(err, "remove", path, EISDIR);
    if (should_fail(m))
        return injected(err, "remove", path);
    free_file(kal_map_remove(&m->files, kal_cstr(path)));
    return KAL_OK;
}

static kal_status memory_remove(const kal_files *files, const char *path, kal_error *err)
{
    pthread_mutex_lock(&files->memory->mutex);
    kal_status status = remove_locked(files->memory, path, err);
    pthread_mutex_unlock(&files->memory->mutex);
    return status;
}

/* Parents are not asked for: paths of this backend are only names. */
static kal_status make_dir_locked(struct memory *m, const char *path, kal_error *err)
{
    const memory_file *file = kal_map_find(&m->files, kal_cstr(path));
    if (file != NULL)
        return file->is_dir ? KAL_OK : io_error(err, "make directory", path, ENOTDIR);
    if (should_fail(m))
        return injected(err, "make directory", path);
    memory_put(m, path, (kal_bytes){0}, 0700, true);
    return KAL_OK;
}

static kal_status memory_make_dir(const kal_files *files, const char *path, kal_error *err)
{
    pthread_mutex_lock(&files->memory->mutex);
    kal_status status = make_dir_locked(files->memory, path, err);
    pthread_mutex_unlock(&files->memory->mutex);
    return status;
}

static kal_status lock_locked(struct memory *m, const char *path, int *lock_out, kal_error *err)
{
    int free_slot = -1;
    for (int i = 0; i < LOCKS_MAX; i++) {
        if (m->locks[i].path == NULL)
            free_slot = i;
        else if (strcmp(m->locks[i].path, path) == 0)
            return kal_error_set(err, KAL_BUSY, "another process holds '%s'", path);
    }
    if (free_slot < 0)
        return io_error(err, "lock", path, ENOLCK);
    m->locks[free_slot].path = strdup(path);
    if (m->locks[free_slot].path == NULL)
        kal_die("out of memory: path '%s'", path);
    *lock_out = free_slot;
    return KAL_OK;
}

static kal_status memory_lock_file(const kal_files *files, const char *path, int *lock_out,
                                   kal_error *err)
{
    *lock_out = -1;
    pthread_mutex_lock(&files->memory->mutex);
    kal_status status = lock_locked(files->memory, path, lock_out, err);
    pthread_mutex_unlock(&files->memory->mutex);
    return status;
}

static void memory_unlock(const kal_files *files, int lock)
{
    struct memory *m = files->memory;
    KAL_ASSERT(lock >= 0 && lock < LOCKS_MAX);
    pthread_mutex_lock(&m->mutex);
    free(m->locks[lock].path);
    m->locks[lock].path = NULL;
    pthread_mutex_unlock(&m->mutex);
}

kal_files *kal_files_mem(uint64_t seed, unsigned fail_per_1000)
{
    KAL_ASSERT(fail_per_1000 <= 1000);
    kal_files *files = calloc(1, sizeof *files);
    struct memory *m = calloc(1, sizeof *m);
    if (files == NULL || m == NULL)
        kal_die("out of memory: files");
    KAL_ASSERT(pthread_mutex_init(&m->mutex, NULL) == 0);
    kal_map_init(&m->files);
    kal_rng_seed(&m->rng, seed);
    m->fail_per_1000 = fail_per_1000;
    *files = (kal_files){
        .read = memory_read,
        .replace = memory_replace,
        .mode = memory_mode,
        .remove = memory_remove,
        .make_dir = memory_make_dir,
        .lock = memory_lock_file,
        .unlock = memory_unlock,
        .memory = m,
    };
    return files;
}

void kal_files_close(kal_files *files)
{
    if (files == NULL)
        return;
    struct memory *m = files->memory;
    KAL_ASSERT(m != NULL); /* the system's are static */
    size_t position = 0;
    for (memory_file *file; (file = kal_map_next(&m->files, &position, NULL)) != NULL;)
        free_file(file);
    kal_map_release(&m->files);
    for (size_t i = 0; i < LOCKS_MAX; i++)
        free(m->locks[i].path);
    pthread_mutex_destroy(&m->mutex);
    free(m);
    free(files);
}

/* ---- the seam ---- */

kal_status kal_files_read(const kal_files *files, const char *path, kal_buf *out, kal_error *err)
{
    return files->read(files, path, out, err);
}

kal_status kal_files_replace(const kal_files *files, const char *path, kal_bytes content,
                             unsigned mode, kal_error *err)
{
    return files->replace(files, path, content, mode, err);
}

kal_status kal_files_mode(const kal_files *files, const char *path, unsigned *mode_out,
                          kal_error *err)
{
    *mode_out = 0;
    return files->mode(files, path, mode_out, err);
}

kal_status kal_files_remove(const kal_files *files, const char *path, kal_error *err)
{
    return files->remove(files, path, err);
}

kal_status kal_files_make_dir(const kal_files *files, const char *path, kal_error *err)
{
    return files->make_dir(files, path, err);
}

kal_status kal_files_lock(const kal_files *files, const char *path, int *lock_out, kal_error *err)
{
    return files->lock(files, path, lock_out, err);
}

void kal_files_unlock(const kal_files *files, int lock)
{
    files->unlock(files, lock);
}
