/*
 * live_clients.c: many cheap clients for the benchmarks of live queries: they connect, subscribe,
 * and then only count messages.
 *
 *   bench_live_clients MODE PORT COUNT
 *
 *   kalamdb  WebSockets that log in with BENCH_TOKEN and subscribe to BENCH_SQL
 *   login    the same without a subscription
 *   plain    WebSockets that only listen
 *   nats     subscribers of the subject "bench" in NATS's text protocol
 *
 * While messages come they are looked for now and then, not waited for: else the server would pay
 * for waking a client of the same machine, for some contenders at each message, for others never.
 *
 * "ready" is printed when all of them are. Then a line "N SECONDS" on standard input answers with
 * the number of messages that came since the last one, as soon as they are N or the time is over.
 * The end of standard input ends it.
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

enum { READ_BYTES = 256 * 1024, EVENTS = 4096, HEAD_MAX = 128, TEXT_MAX = 8192, NAP_US = 1000 };
enum { WS_OP_CLOSE = 8, WS_OP_PING = 9 };

typedef enum mode { MODE_KALAMDB, MODE_LOGIN, MODE_PLAIN, MODE_NATS } mode;

typedef struct client {
    int fd;
    bool is_open;     /* WebSocket: the answer to the handshake was read */
    uint8_t head_len; /* bytes in `head`: of a frame's head, or of a line */
    uint8_t head[HEAD_MAX];
    uint64_t skip; /* bytes of the payload that are still to come */
} client;

static struct {
    mode mode;
    const char *token;
    const char *sql;
    client *clients;
    unsigned count;
    uint64_t messages; /* that came */
    uint64_t ready;    /* of the messages or answers that say that a client is ready */
} bench;

static void fail(const char *what)
{
    fprintf(stderr, "live_clients: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void send_all(int fd, const void *bytes, size_t len)
{
    if (send(fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
        fail("cannot write to the server");
}

/* A masked frame; the mask is zero. */
static void send_frame(int fd, uint8_t first, const char *text)
{
    uint8_t frame[TEXT_MAX + 8];
    size_t len = strlen(text);
    size_t at = 0;

    frame[at++] = first;
    if (len < 126) {
        frame[at++] = (uint8_t)(0x80 | len);
    } else {
        frame[at++] = 0x80 | 126;
        frame[at++] = (uint8_t)(len >> 8);
        frame[at++] = (uint8_t)len;
    }
    memset(frame + at, 0, 4);
    memcpy(frame + at + 4, text, len);
    send_all(fd, frame, at + 4 + len);
}

/* ---- what comes ---- */

static void subscribe(const client *c)
{
    char text[TEXT_MAX];
    if (bench.mode != MODE_KALAMDB)
        return;
    snprintf(text, sizeof text,
             "{\"type\":\"subscribe\",\"subscription\":{\"id\":\"s\",\"sql\":\"%s\"}}", bench.sql);
    send_frame(c->fd, 0x81, text);
}

/* The length of a frame's head by its first bytes; 0: not known yet. */
static size_t frame_head_len(const client *c)
{
    if (c->head_len < 2)
        return 0;
    uint8_t len = c->head[1] & 0x7F;
    return len < 126 ? 2 : len == 126 ? 4 : 10;
}

static uint64_t frame_payload_len(const client *c)
{
    uint64_t len = c->head[1] & 0x7F;
    size_t more = len < 126 ? 0 : len == 126 ? 2 : 8;

    if (more == 0)
        return len;
    len = 0;
    for (size_t i = 0; i < more; i++)
        len = len << 8 | c->head[2 + i];
    return len;
}

static void end_frame(client *c)
{
    uint8_t opcode = c->head[0] & 0x0F;

    if (opcode == WS_OP_CLOSE) {
        fprintf(stderr, "live_clients: the server closed a connection\n");
        exit(1);
    }
    if (opcode == WS_OP_PING)
        send_frame(c->fd, 0x8A, "");
    else
        bench.messages++;
    c->head_len = 0;
}

/* One byte of the answer to the handshake; true at its end. */
static bool take_answer(client *c, uint8_t byte)
{
    static const uint8_t END[] = "\r\n\r\n";
    c->head_len = byte == END[c->head_len] ? (uint8_t)(c->head_len + 1) : byte == '\r';
    if (c->head_len < 4)
        return false;
    c->head_len = 0;
    c->is_open = true;
    bench.ready += bench.mode == MODE_PLAIN;
    subscribe(c);
    return true;
}

static void take_ws(client *c, const uint8_t *bytes, size_t len)
{
    size_t at = 0;

    while (at < len && !c->is_open)
        take_answer(c, bytes[at++]);
    while (at < len) {
        size_t head = frame_head_len(c);
        if (head == 0 || c->head_len < head) {
            c->head[c->head_len++] = bytes[at++];
            head = frame_head_len(c);
            if (head == 0 || c->head_len < head)
                continue;
            c->skip = frame_payload_len(c);
        }
        size_t skipped = len - at < c->skip ? len - at : (size_t)c->skip;
        at += skipped;
        c->skip -= skipped;
        if (c->skip == 0)
            end_frame(c);
    }
}

static void take_line(client *c)
{
    unsigned long payload = 0;

    c->head[c->head_len] = '\0';
    if (sscanf((const char *)c->head, "MSG %*s %*s %lu", &payload) == 1) {
        c->skip = payload + 2;
        bench.messages++;
    } else if (strncmp((const char *)c->head, "PING", 4) == 0) {
        send_all(c->fd, "PONG\r\n", 6);
    } else if (strncmp((const char *)c->head, "PONG", 4) == 0) {
        bench.ready++;
    }
    c->head_len = 0;
}

static void take_nats(client *c, const uint8_t *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        if (c->skip > 0) {
            size_t skipped = len - at < c->skip ? len - at : (size_t)c->skip;
            at += skipped;
            c->skip -= skipped;
            continue;
        }
        uint8_t byte = bytes[at++];
        if (byte == '\n')
            take_line(c);
        else if (c->head_len < HEAD_MAX - 1)
            c->head[c->head_len++] = byte;
    }
}

static void read_client(client *c)
{
    static uint8_t bytes[READ_BYTES];
    ssize_t len = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (len <= 0)
        fail("the server hung up");
    if (bench.mode == MODE_NATS)
        take_nats(c, bytes, (size_t)len);
    else
        take_ws(c, bytes, (size_t)len);
}

/* ---- connecting ---- */

static int connect_one(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail("cannot connect");
    return fd;
}

static void greet(int fd)
{
    char text[TEXT_MAX];
    char login[TEXT_MAX / 2] = "";

    if (bench.mode == MODE_NATS) {
        const char *hello = "CONNECT {\"verbose\":false}\r\nSUB bench 1\r\nPING\r\n";
        send_all(fd, hello, strlen(hello));
        return;
    }
    if (bench.mode != MODE_PLAIN)
        snprintf(login, sizeof login, "Authorization: Bearer %s\r\n", bench.token);
    snprintf(text, sizeof text,
             "GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
             login);
    send_all(fd, text, strlen(text));
}

/* Messages that a client gets before the first that counts: that it is logged in, the
 * acknowledgement, the first rows. */
static unsigned messages_of_ready(void)
{
    return bench.mode == MODE_KALAMDB ? 3 : bench.mode == MODE_LOGIN ? 1 : 0;
}

static bool are_ready(unsigned count)
{
    unsigned each = messages_of_ready();
    return each > 0 ? bench.messages >= (uint64_t)each * count : bench.ready >= count;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Reads what is there; waits for it at most so long. False: a line is waiting. */
static bool step(int epoll, int timeout_ms)
{
    struct epoll_event events[EVENTS];
    bool has_line = false;
    int n = epoll_wait(epoll, events, EVENTS, timeout_ms);

    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == NULL)
            has_line = true;
        else
            read_client(events[i].data.ptr);
    }
    return !has_line;
}

static void watch(int epoll, int fd, client *c)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        fail("cannot watch a socket");
}

/* Some dozens at a time are under way. */
static void connect_all(int epoll, uint16_t port)
{
    for (unsigned i = 0; i < bench.count; i++) {
        client *c = &bench.clients[i];
        c->fd = connect_one(port);
        watch(epoll, c->fd, c);
        greet(c->fd);
        while (i >= 64 && !are_ready(i - 64))
            step(epoll, 100);
    }
    while (!are_ready(bench.count))
        step(epoll, 100);
    bench.messages = 0;
}

/* One line of standard input; false at its end. */
static bool answer(int epoll)
{
    unsigned long wanted = 0;
    double seconds = 0;
    char line[80];

    if (fgets(line, sizeof line, stdin) == NULL || sscanf(line, "%lu %lf", &wanted, &seconds) != 2)
        return false;
    double end = now_s() + seconds;
    while (bench.messages < wanted && now_s() < end) {
        usleep(NAP_US);
        step(epoll, 0);
    }
    printf("%llu\n", (unsigned long long)bench.messages);
    bench.messages = 0;
    return true;
}

static mode mode_of(const char *name)
{
    static const char *const NAMES[] = {"kalamdb", "login", "plain", "nats"};
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(name, NAMES[i]) == 0)
            return (mode)i;
    }
    fail("MODE is kalamdb, login, plain or nats");
    return MODE_PLAIN;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        fail("usage: bench_live_clients MODE PORT COUNT");
    bench.mode = mode_of(argv[1]);
    bench.count = (unsigned)strtoul(argv[3], NULL, 10);
    bench.token = getenv("BENCH_TOKEN");
    bench.sql = getenv("BENCH_SQL");
    bench.clients = calloc(bench.count, sizeof *bench.clients);
    struct rlimit files;
    if (bench.clients == NULL || getrlimit(RLIMIT_NOFILE, &files) != 0)
        fail("cannot have so many open files");
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int epoll = epoll_create1(0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);
    connect_all(epoll, (uint16_t)strtoul(argv[2], NULL, 10));
    printf("ready\n");
    watch(epoll, STDIN_FILENO, NULL);
    for (;;) {
        if (!step(epoll, -1) && !answer(epoll))
            return 0;
    }
}
