/*
 * wake.c: the least that telling of a commit can take: one thread writes and syncs a file, wakes
 * another, which sleeps in epoll_wait() and sends a frame, and goes on for a moment, as a write
 * lane does. What is measured lies between sync and send, as in live_stamp.c.
 *
 *   bench_wake FILE COUNT        prints p50, p90, p99 and p99.9 in microseconds, as JSON
 */
#include "measure.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { COUNT_MAX = 100000, ROW_BYTES = 400, FRAME_BYTES = 300, PAUSE_US = 200, BUSY_US = 100 };

static int wake_fd;
static int socket_fd;
static double synced_us[COUNT_MAX];
static double sent_us[COUNT_MAX];
static unsigned count;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void *tell(void *context)
{
    char frame[FRAME_BYTES] = {0};
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(0);
    uint64_t value = 0;

    (void)context;
    epoll_ctl(epoll, EPOLL_CTL_ADD, wake_fd, &event);
    for (unsigned i = 0; i < count; i++) {
        if (epoll_wait(epoll, &event, 1, -1) != 1 || read(wake_fd, &value, sizeof value) < 0 ||
            send(socket_fd, frame, sizeof frame, 0) != sizeof frame)
            fail("cannot tell");
        sent_us[i] = now_us();
    }
    return NULL;
}

/* Both ends of a connection over loopback; nobody waits at the other. */
static int connect_pair(int *other_out)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, len) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &len) != 0 ||
        connect(fd, (struct sockaddr *)&address, len) != 0)
        fail("cannot connect");
    *other_out = accept(listener, NULL, NULL);
    close(listener);
    return fd;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    char row[ROW_BYTES] = {0};
    char taken[FRAME_BYTES];
    pthread_t teller;
    int other = -1;

    if (argc != 3 || (count = (unsigned)strtoul(argv[2], NULL, 10)) == 0 || count > COUNT_MAX) {
        fprintf(stderr, "usage: bench_wake FILE COUNT\n");
        return 2;
    }
    int file = open(argv[1], O_CREAT | O_WRONLY | O_APPEND, 0600);
    wake_fd = eventfd(0, 0);
    socket_fd = connect_pair(&other);
    pthread_create(&teller, NULL, tell, NULL);
    for (unsigned i = 0; i < count; i++) {
        uint64_t one = 1;
        if (write(file, row, sizeof row) != sizeof row || fdatasync(file) != 0)
            fail("cannot write");
        synced_us[i] = now_us();
        if (write(wake_fd, &one, sizeof one) != sizeof one)
            fail("cannot wake");
        while (now_us() < synced_us[i] + BUSY_US)
            ;
        if (recv(other, taken, sizeof taken, MSG_WAITALL) != sizeof taken)
            fail("cannot read");
        usleep(PAUSE_US);
    }
    pthread_join(teller, NULL);
    for (unsigned i = 0; i < count; i++)
        sent_us[i] -= synced_us[i];
    qsort(sent_us, count, sizeof sent_us[0], by_size);
    printf("{\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p99.9\": %.1f}\n", sent_us[count / 2],
           sent_us[count * 9 / 10], sent_us[count * 99 / 100], sent_us[count * 999 / 1000]);
    return 0;
}
