/*
 * live_stamp.c: how long it takes from a commit that is on the disk to the frame that tells of it.
 * Loaded into the unchanged server (LD_PRELOAD), it notes the time when fdatasync() returned and
 * when sendmsg() has written a message about a change:
 *
 *     lane: write, fdatasync() --> block, inbox, wake --> loop: match, encode, queue, send()
 *                              ^---------------------- measured -------------------------^
 *
 * One change at a time, so which commit a frame is of is known. Microseconds are written, one a
 * line, to the file that BENCH_STAMPS names, when the server ends.
 */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { STAMPS_MAX = 1 << 20 };

static _Atomic uint64_t synced_ns;
static _Atomic uint32_t stamp_count;
static uint32_t stamps[STAMPS_MAX]; /* ns */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

typedef int (*sync_function)(int fd);
typedef ssize_t (*sendmsg_function)(int fd, const struct msghdr *message, int flags);
typedef ssize_t (*send_function)(int fd, const void *bytes, size_t len, int flags);

/* POSIX has functions as pointers to data, C has not. */
static void find_next(const char *name, void *out)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(out, &found, sizeof found);
}

int fdatasync(int fd); /* not declared by the headers that are included */

int fdatasync(int fd)
{
    static _Atomic(sync_function) next;
    sync_function function = atomic_load(&next);

    if (function == NULL) {
        find_next("fdatasync", &function);
        atomic_store(&next, function);
    }
    int result = function(fd);
    atomic_store(&synced_ns, now_ns());
    return result;
}

static int is_change(const void *bytes, size_t len)
{
    static const char BEGIN[] = "{\"type\":\"change\"";
    return memmem(bytes, len, BEGIN, sizeof BEGIN - 1) != NULL;
}

static void stamp(void)
{
    uint32_t at = atomic_fetch_add(&stamp_count, 1);
    if (at < STAMPS_MAX)
        stamps[at] = (uint32_t)(now_ns() - atomic_load(&synced_ns));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    static _Atomic(sendmsg_function) next;
    sendmsg_function function = atomic_load(&next);

    if (function == NULL) {
        find_next("sendmsg", &function);
        atomic_store(&next, function);
    }
    int is_told = message->msg_iovlen > 0 &&
                  is_change(message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
    ssize_t result = function(fd, message, flags);
    if (is_told)
        stamp();
    return result;
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    static _Atomic(send_function) next;
    send_function function = atomic_load(&next);

    if (function == NULL) {
        find_next("send", &function);
        atomic_store(&next, function);
    }
    int is_told = is_change(bytes, len);
    ssize_t result = function(fd, bytes, len, flags);
    if (is_told)
        stamp();
    return result;
}

__attribute__((destructor)) static void write_stamps(void)
{
    const char *path = getenv("BENCH_STAMPS");
    uint32_t count = atomic_load(&stamp_count);
    FILE *file = path == NULL ? NULL : fopen(path, "w");

    if (file == NULL)
        return;
    for (uint32_t i = 0; i < count && i < STAMPS_MAX; i++)
        fprintf(file, "%.1f\n", stamps[i] / 1000.0);
    fclose(file);
}
