#include "base/file_io.h"
#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int kal_file_open(const char *path, int flags, unsigned mode)
{
    int fd = -1;
    do {
        fd = open(path, flags | O_CLOEXEC, (mode_t)mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

int kal_file_write_all(int fd, kal_bytes content)
{
    size_t written = 0;
    while (written < content.len) {
        ssize_t n = write(fd, content.ptr + written, content.len - written);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        written += (size_t)n;
    }
    return 0;
}

int kal_file_sync_close(int fd, int error)
{
    if (error == 0 && fsync(fd) != 0)
        error = errno;
    if (close(fd) != 0 && error == 0)
        error = errno;
    return error;
}

int kal_file_sync_directory(const char *directory)
{
    int fd = kal_file_open(directory, O_RDONLY | O_DIRECTORY, 0);
    return fd < 0 ? errno : kal_file_sync_close(fd, 0);
}

int kal_file_sync_directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = NULL; /* owned */
    if (slash == NULL)
        directory = strdup(".");
    else
        directory = slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
    if (directory == NULL)
        kal_die("out of memory: path '%s'", path);
    int error = kal_file_sync_directory(directory);
    free(directory);
    return error;
}

int kal_file_sync_system(int fd)
{
    return syncfs(fd) == 0 ? 0 : errno;
}
