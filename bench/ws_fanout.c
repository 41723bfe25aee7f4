/*
 * ws_fanout.c: what WebSockets cost: memory of an idle connection, and CPU of the event loop for a
 * delivered message, beside plain write() calls of the same bytes to the same sockets, in turns.
 *
 *   bench_ws_fanout [IDLE FAN BURST_SOCKETS BURST]      20000 10000 1000 100
 *
 * The clients are another process, which reads and throws away. CPU is that of the loop's thread,
 * in the kernel too; each figure is the median of ROUNDS rounds.
 */
#include "base/assert.h"
#include "server/ws_internal.h"

#include "measure.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 15, BODY_TEXT = 220, READ_BYTES = 256 * 1024, PAUSE_US = 150000 };

typedef enum order_kind { ORDER_NONE, ORDER_SEND, ORDER_PLAIN, ORDER_WAIT } order_kind;

typedef struct member {
    kal_ws *ws;
    kal_message_head *head;
} member;

static struct {
    kal_http_server *server;
    member *members;
    unsigned count;
    pthread_mutex_t lock;
    pthread_cond_t done;
    order_kind order; /* under the lock */
    unsigned sockets;
    unsigned burst;
    size_t text_len;
    double from_ns;
    double took_ns;
} bench = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

/* ---- clients: another process ---- */

static int connect_one(uint16_t port, unsigned i, const char *extra)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    char text[512];
    char reply[1024];
    size_t len = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + i / 20000);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        kal_die("cannot connect client %u", i);
    int n = snprintf(text, sizeof text,
                     "GET /%u HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                     "%s\r\n",
                     i, extra);
    if (write(fd, text, (size_t)n) != n)
        kal_die("cannot write to the server");
    while (memmem(reply, len, "\r\n\r\n", 4) == NULL) {
        ssize_t got = read(fd, reply + len, sizeof reply - len);
        if (got <= 0)
            kal_die("client %u became no WebSocket", i);
        len += (size_t)got;
    }
    return fd;
}

/* Connects, says so with a byte, reads until it is killed. */
static void be_clients(uint16_t port, unsigned count, const char *extra, int ready)
{
    static char bytes[READ_BYTES];
    struct epoll_event events[256];
    int epoll = epoll_create1(0);

    for (unsigned i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN};
        event.data.fd = connect_one(port, i, extra);
        epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
    }
    if (write(ready, "x", 1) != 1)
        _exit(1);
    for (;;) {
        int n = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            if (recv(events[i].data.fd, bytes, sizeof bytes, MSG_DONTWAIT) == 0)
                _exit(0);
        }
    }
}

/* ---- the server ---- */

static void on_message(void *context, kal_ws *ws, kal_bytes payload, bool is_text)
{
    (void)context;
    (void)ws;
    (void)payload;
    (void)is_text;
}

static void handle(void *context, kal_exchange *exchange)
{
    kal_ws_options options = KAL_WS_OPTIONS_DEFAULT;

    (void)context;
    options.on_message = on_message;
    options.ping_interval_ms = 0;
    options.timeout_ms = 0;
    options.queue_bytes_max = (size_t)64 << 20;
    kal_ws *ws = kal_exchange_upgrade(exchange, &options, NULL);
    if (ws == NULL)
        kal_die("no WebSocket");
    bench.members[bench.count++].ws = ws;
}

/* After memory was measured: they are the application's. */
static void make_heads(void)
{
    for (unsigned i = 0; i < bench.count; i++) {
        char text[80];
        snprintf(text, sizeof text, "\"type\":\"change\",\"subscription_id\":\"s%u\"", i);
        if (kal_message_head_make(kal_cstr(text), NULL, &bench.members[i].head, NULL) != KAL_OK)
            kal_die("no head");
    }
}

static kal_message_body *make_body(size_t text_len)
{
    static const char WORDS[] = "a row of some columns with words in it, as rows have them; ";
    kal_buf members;
    kal_buf_init(&members, NULL);
    kal_buf_append_cstr(&members, "\"change_type\":\"insert\",\"rows\":[{\"id\":1234,\"title\":\"");
    for (size_t i = 0; i < text_len; i++)
        kal_buf_append_byte(&members, (uint8_t)WORDS[(i * i / 7 + i) % (sizeof WORDS - 1)]);
    kal_buf_append_cstr(&members, "\"}]");
    return kal_message_body_make(&members, 2);
}

static void send_all(void)
{
    for (unsigned n = 0; n < bench.burst; n++) {
        kal_message_body *body = make_body(bench.text_len);
        for (unsigned i = 0; i < bench.sockets; i++)
            kal_ws_send(bench.members[i].ws, bench.members[i].head, body);
        kal_message_body_release(body);
    }
}

/* A write() for each message, of the same length: what nobody can do for less, one by one. */
static void write_all(void)
{
    static uint8_t bytes[65536];
    for (unsigned n = 0; n < bench.burst; n++) {
        kal_message_body *body = make_body(bench.text_len);
        for (unsigned i = 0; i < bench.sockets; i++) {
            kal_message m;
            if (i == 0 && kal_message_make(bench.members[i].head, body, KAL_WIRE_JSON,
                                           KAL_PACK_PLAIN, 0, &m, NULL) != KAL_OK)
                kal_die("no message");
            if (i == 0)
                kal_ws_head_write(0x81, m.len, bytes);
            if (write(bench.members[i].ws->fd, bytes, m.len + 4) != (ssize_t)m.len + 4)
                kal_die("a socket takes no more");
        }
        kal_message_body_release(body);
    }
}

static void finish(void)
{
    bench.took_ns = cpu_ns() - bench.from_ns;
    for (unsigned i = 0; i < bench.sockets; i++) {
        if (bench.members[i].ws->queue.bytes > 0)
            kal_die("a socket takes no more");
    }
    pthread_mutex_lock(&bench.lock);
    bench.order = ORDER_NONE;
    pthread_cond_signal(&bench.done);
    pthread_mutex_unlock(&bench.lock);
}

static bool on_turn(void *context, unsigned loop)
{
    (void)context;
    (void)loop;
    switch (bench.order) {
    case ORDER_NONE:
        return false;
    case ORDER_SEND:
        bench.from_ns = cpu_ns();
        send_all();
        bench.order = ORDER_WAIT;
        return true;
    case ORDER_PLAIN:
        bench.from_ns = cpu_ns();
        write_all();
        finish();
        return false;
    case ORDER_WAIT:
        if (!kal_list_empty(&bench.members[0].ws->loop->dirty))
            return true;
        finish();
        return false;
    }
    return false;
}

/* ---- measuring ---- */

static double round_ns(order_kind order)
{
    pthread_mutex_lock(&bench.lock);
    bench.order = order;
    kal_http_server_wake_loop(bench.server, 0);
    while (bench.order != ORDER_NONE)
        pthread_cond_wait(&bench.done, &bench.lock);
    pthread_mutex_unlock(&bench.lock);
    usleep(PAUSE_US); /* the clients read */
    return bench.took_ns / bench.sockets / bench.burst;
}

static void compare(const char *what, unsigned sockets, unsigned burst, size_t text_len)
{
    double sent[ROUNDS];
    double plain[ROUNDS];

    bench.sockets = sockets;
    bench.burst = burst;
    bench.text_len = text_len;
    for (unsigned i = 0; i < ROUNDS; i++) {
        sent[i] = round_ns(ORDER_SEND);
        plain[i] = round_ns(ORDER_PLAIN);
    }
    double a = median(sent, ROUNDS);
    double b = median(plain, ROUNDS);
    printf("%-34s %6u sockets x %3u: %6.0f ns a message, write() %6.0f ns, ratio %.2f\n", what,
           sockets, burst, a, b, a / b);
    fflush(stdout);
}

static size_t rss_bytes(void)
{
    unsigned long total = 0;
    unsigned long resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%lu %lu", &total, &resident) != 2)
        kal_die("cannot read statm");
    fclose(file);
    return resident * 4096;
}

static void *run_server(void *context)
{
    (void)context;
    if (kal_http_server_run(bench.server, NULL) != KAL_OK)
        kal_die("the server does not run");
    return NULL;
}

static pid_t start_clients(unsigned count, const char *extra)
{
    int ready[2];
    char byte;
    if (pipe(ready) != 0)
        kal_die("no pipe");
    pid_t pid = fork();
    if (pid == 0)
        be_clients(kal_http_server_port(bench.server), count, extra, ready[1]);
    if (read(ready[0], &byte, 1) != 1)
        kal_die("the clients are gone");
    usleep(1000000);
    return pid;
}

static unsigned argument(int argc, char **argv, int index, unsigned fallback)
{
    return argc > index ? (unsigned)strtoul(argv[index], NULL, 10) : fallback;
}

int main(int argc, char **argv)
{
    unsigned idle = argument(argc, argv, 1, 20000);
    unsigned fan = argument(argc, argv, 2, 10000);
    unsigned burst_sockets = argument(argc, argv, 3, 1000);
    unsigned burst = argument(argc, argv, 4, 100);
    kal_http_server_options options = KAL_HTTP_SERVER_OPTIONS_DEFAULT;
    struct rlimit files = {.rlim_cur = idle + 1000, .rlim_max = idle + 1000};
    pthread_t thread;

    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        kal_die("cannot have %u open files", idle);
    bench.members = calloc(idle + 1, sizeof *bench.members);
    memset(bench.members, 0, (idle + 1) * sizeof *bench.members);
    options.port = 0;
    options.loops = 1;
    options.connections_max = idle + 100;
    options.handler = handle;
    options.on_turn = on_turn;
    if (kal_http_server_open(&options, &bench.server, NULL) != KAL_OK)
        kal_die("no server");
    pthread_create(&thread, NULL, run_server, NULL);

    size_t before = rss_bytes();
    pid_t pid = start_clients(idle, "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    printf("%u idle: %zu bytes each, struct kal_ws %zu\n", idle, (rss_bytes() - before) / idle,
           sizeof(kal_ws));
    make_heads();
    compare("small (280 bytes)", fan, 1, BODY_TEXT);
    compare("small, in bursts", burst_sockets, burst, BODY_TEXT);
    compare("tiny (110 bytes)", fan, 1, 50);
    compare("1.5 KB, permessage-deflate", fan, 1, 1500);
    compare("1.5 KB, permessage-deflate, bursts", burst_sockets, burst / 4, 1500);
    for (unsigned i = 0; i < bench.count; i++) {
        bench.members[i].ws->deflate = false;
    }
    compare("1.5 KB plain", fan, 1, 1500);
    for (unsigned i = 0; i < bench.count; i++) {
        kal_ws_set_format(bench.members[i].ws, KAL_WIRE_JSON, true);
    }
    compare("1.5 KB gzip", fan, 1, 1500);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    kal_http_server_stop(bench.server);
    pthread_join(thread, NULL);
    kal_http_server_close(bench.server);
    for (unsigned i = 0; i < bench.count; i++)
        kal_message_head_free(bench.members[i].head);
    free(bench.members);
    return 0;
}
