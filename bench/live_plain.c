/*
 * live_plain.c: the least that telling many sockets can cost: WebSockets in name only, and a
 * write() for each message.
 *
 *   bench_live_plain PORT
 *
 * A line "BYTES COUNT" on standard input writes COUNT messages of BYTES payload to every client,
 * one after the other, then prints "sent".
 */
#include "measure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS_MAX = 60000, PAYLOAD_MAX = 65535, READ_BYTES = 4096, EVENTS = 64 };

static int clients[CLIENTS_MAX];
static unsigned client_count;

static void fail(const char *what)
{
    fprintf(stderr, "live_plain: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4096) != 0)
        fail("cannot listen");
    return fd;
}

/* The request is small and comes at once. */
static void take_client(int listener)
{
    static const char ANSWER[] = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
    char request[READ_BYTES];
    int on = 1;
    int fd = accept(listener, NULL, NULL);

    if (fd < 0 || client_count == CLIENTS_MAX || recv(fd, request, sizeof request, 0) <= 0)
        fail("cannot accept a client");
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
    if (write(fd, ANSWER, sizeof ANSWER - 1) < 0)
        fail("cannot answer");
    clients[client_count++] = fd;
}

static void write_all(unsigned payload, unsigned count)
{
    static uint8_t frame[PAYLOAD_MAX + 4];
    size_t head = payload < 126 ? 2 : 4;

    memset(frame, 'x', sizeof frame);
    frame[0] = 0x81;
    frame[1] = payload < 126 ? (uint8_t)payload : 126;
    if (head == 4) {
        frame[2] = (uint8_t)(payload >> 8);
        frame[3] = (uint8_t)payload;
    }
    for (unsigned n = 0; n < count; n++) {
        for (unsigned i = 0; i < client_count; i++) {
            if (write(clients[i], frame, head + payload) != (ssize_t)(head + payload))
                fail("cannot write");
        }
    }
}

/* One line; false at the end of standard input. */
static bool answer(void)
{
    unsigned payload = 0;
    unsigned count = 0;
    char line[80];

    if (fgets(line, sizeof line, stdin) == NULL || sscanf(line, "%u %u", &payload, &count) != 2 ||
        payload > PAYLOAD_MAX)
        return false;
    write_all(payload, count);
    printf("sent\n");
    return true;
}

int main(int argc, char **argv)
{
    struct rlimit files;
    struct epoll_event events[EVENTS];
    struct epoll_event event = {.events = EPOLLIN};

    if (argc != 2 || getrlimit(RLIMIT_NOFILE, &files) != 0)
        fail("usage: bench_live_plain PORT");
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int listener = listen_on((uint16_t)strtoul(argv[1], NULL, 10));
    int epoll = epoll_create1(0);
    setvbuf(stdin, NULL, _IONBF, 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    event.data.fd = listener;
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = STDIN_FILENO;
    epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event);
    printf("ready\n");
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                take_client(listener);
            else if (!answer())
                return 0;
        }
    }
}
