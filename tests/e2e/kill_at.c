/*
 * kill_at.c: ends a process at its n-th change of the file system, for tests of what a crash
 * leaves.
 *
 * Preloaded (LD_PRELOAD) into a server, whose own code and libraries, RocksDB and DuckDB, then call
 * these functions instead of libc's. KAL_KILL_FILE names a file of 8 bytes, an int64 of the machine
 * that test and process share: 0 = nothing happens; n > 0 = it is counted down by each call, and
 * the call that makes it 0 is not carried out: the process kills itself before it.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static _Atomic int64_t *left; /* NULL: not asked for */

__attribute__((constructor)) static void open_counter(void)
{
    const char *path = getenv("KAL_KILL_FILE");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *shared = mmap(NULL, sizeof *left, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (shared != MAP_FAILED)
        left = shared;
}

static void step(void)
{
    if (left == NULL || atomic_load(left) <= 0)
        return;
    if (atomic_fetch_sub(left, 1) == 1)
        kill(getpid(), SIGKILL);
}

/* Sockets and pipes are not the file system. */
static void step_of(int fd)
{
    struct stat st;
    if (left != NULL && atomic_load(left) > 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        step();
}

/* libc's own function of this name. */
#define NEXT(name) ((__typeof__(&name))next(#name))

static void *next(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL)
        abort();
    return found;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    step_of(fd);
    return NEXT(write)(fd, bytes, len);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    step_of(fd);
    return NEXT(pwrite)(fd, bytes, len, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset)
{
    step_of(fd);
    return NEXT(pwrite64)(fd, bytes, len, offset);
}

int fsync(int fd)
{
    step();
    return NEXT(fsync)(fd);
}

int fdatasync(int fd)
{
    step();
    return NEXT(fdatasync)(fd);
}

int syncfs(int fd)
{
    step();
    return NEXT(syncfs)(fd);
}

int ftruncate(int fd, off_t len)
{
    step_of(fd);
    return NEXT(ftruncate)(fd, len);
}

int ftruncate64(int fd, off64_t len)
{
    step_of(fd);
    return NEXT(ftruncate64)(fd, len);
}

int rename(const char *from, const char *to)
{
    step();
    return NEXT(rename)(from, to);
}

int link(const char *from, const char *to)
{
    step();
    return NEXT(link)(from, to);
}

int unlink(const char *path)
{
    step();
    return NEXT(unlink)(path);
}

int unlinkat(int directory, const char *path, int flags)
{
    step();
    return NEXT(unlinkat)(directory, path, flags);
}

int remove(const char *path)
{
    step();
    return NEXT(remove)(path);
}

int mkdir(const char *path, mode_t mode)
{
    step();
    return NEXT(mkdir)(path, mode);
}

int rmdir(const char *path)
{
    step();
    return NEXT(rmdir)(path);
}
