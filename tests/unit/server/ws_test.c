/*
 * Goal: the promises of ws.h that a client cannot see: on_close comes once and last, on_turn and
 * on_tick on the loops' threads, what budgets and marks refuse ends the connection, and everything
 * is given back. A real server in this process, clients on plain sockets.
 */
#include "base/assert.h"
#include "server/ws.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { LOOPS = 2 };

static struct {
    kal_http_server *server;
    pthread_t thread;
    kal_budget budget;
    kal_ws_options options;
    _Atomic unsigned opened;
    _Atomic unsigned closed;
    _Atomic unsigned close_code;
    _Atomic unsigned turns[LOOPS];
    _Atomic unsigned turns_left; /* how often on_turn says that there is more */
    _Atomic unsigned ticks;
    _Atomic unsigned sent_false;
    _Atomic unsigned writable;
} world;

/* ---- the server ---- */

static void on_close(void *context, kal_ws *ws)
{
    KAL_ASSERT(context == &world);
    KAL_ASSERT(kal_ws_context(ws) == &world);
    KAL_ASSERT(!kal_ws_is_open(ws));
    KAL_ASSERT(!kal_ws_send_bytes(ws, KAL_STR("too late"), true));
    KAL_ASSERT(!kal_ws_send(ws, NULL, NULL));
    kal_ws_close(ws, 1000, NULL);
    kal_ws_pause(ws, true);
    KAL_ASSERT(strcmp(kal_ws_peer(ws), "127.0.0.1") == 0);
    KAL_ASSERT(kal_ws_loop_index(ws) < LOOPS);
    world.close_code = kal_ws_close_code(ws);
    world.closed++;
}

/* "fill": sends until it is told to stop, and a little more. "over": until it is closed. */
static void on_message(void *context, kal_ws *ws, kal_bytes payload, bool is_text)
{
    static const uint8_t PIECE[1000];
    (void)context;
    if (kal_bytes_equal(payload, KAL_STR("fill")) || kal_bytes_equal(payload, KAL_STR("over"))) {
        bool is_over = payload.ptr[0] == 'o';
        while (kal_ws_is_open(ws) && (is_over || world.sent_false == 0)) {
            if (!kal_ws_send_bytes(ws, kal_bytes_of(PIECE, sizeof PIECE), false))
                world.sent_false++;
        }
        return;
    }
    kal_ws_send_bytes(ws, payload, is_text);
}

static void on_writable(void *context, kal_ws *ws)
{
    (void)context;
    KAL_ASSERT(kal_ws_queued_bytes(ws) <= world.options.queue_bytes_low);
    world.writable++;
    kal_ws_send_bytes(ws, KAL_STR("more"), true);
}

static void handle(void *context, kal_exchange *exchange)
{
    kal_error err = KAL_ERROR_INIT;
    kal_http_reply reply = {.status = 500};
    (void)context;
    if (kal_exchange_upgrade(exchange, &world.options, &err) != NULL) {
        world.opened++;
        return;
    }
    kal_ws_refuse(&err, &reply);
    kal_buf_init(&reply.body, NULL);
    kal_exchange_respond(exchange, &reply);
}

static bool on_turn(void *context, unsigned loop)
{
    (void)context;
    world.turns[loop]++;
    return world.turns_left > 0 && world.turns_left-- > 1;
}

static void on_tick(void *context, unsigned loop)
{
    (void)context;
    KAL_ASSERT(loop < LOOPS);
    world.ticks++;
}

static void *run(void *context)
{
    (void)context;
    KAL_ASSERT(kal_http_server_run(world.server, NULL) == KAL_OK);
    return NULL;
}

static int start(void **state)
{
    kal_http_server_options options = KAL_HTTP_SERVER_OPTIONS_DEFAULT;
    (void)state;
    memset(&world, 0, sizeof world);
    kal_budget_init(&world.budget, NULL, (size_t)64 << 20);
    world.options = KAL_WS_OPTIONS_DEFAULT;
    world.options.budget = &world.budget;
    world.options.on_message = on_message;
    world.options.on_writable = on_writable;
    world.options.on_close = on_close;
    world.options.context = &world;
    world.options.close_timeout_ms = 1000;
    options.port = 0;
    options.loops = LOOPS;
    options.handler = handle;
    options.on_turn = on_turn;
    options.on_tick = on_tick;
    options.drain_timeout_ms = 2000;
    options.idle_timeout_ms = 300; /* of HTTP: not for WebSockets */
    assert_int_equal(kal_http_server_open(&options, &world.server, NULL), KAL_OK);
    return pthread_create(&world.thread, NULL, run, NULL);
}

static int stop(void **state)
{
    (void)state;
    kal_http_server_stop(world.server);
    pthread_join(world.thread, NULL);
    kal_http_server_wake_loop(world.server, 0); /* still allowed */
    assert_int_equal(kal_gauge_now(kal_http_server_connections(world.server)), 0);
    kal_http_server_close(world.server);
    assert_int_equal(world.opened, world.closed);
    assert_int_equal(world.budget.used, 0);
    return 0;
}

/* ---- clients ---- */

static void read_exactly(int fd, void *out, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t got = recv(fd, (char *)out + at, len - at, 0);
        assert_true(got > 0);
        at += (size_t)got;
    }
}

static int open_client(void)
{
    static const char REQUEST[] =
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(kal_http_server_port(world.server))};
    char reply[300] = "";
    struct timeval patience = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, REQUEST, sizeof REQUEST - 1, 0), sizeof REQUEST - 1);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    for (size_t at = 0; at < sizeof reply - 1 && strstr(reply, "\r\n\r\n") == NULL; at++)
        read_exactly(fd, reply + at, 1);
    assert_memory_equal(reply, "HTTP/1.1 101 ", 13);
    return fd;
}

static void send_frame(int fd, uint8_t first, const void *payload, size_t len)
{
    uint8_t frame[6 + 125] = {first, (uint8_t)(0x80 | len)};
    memcpy(frame + 6, payload, len);
    assert_int_equal(send(fd, frame, 6 + len, MSG_NOSIGNAL), 6 + (ssize_t)len);
}

/* First byte and payload of the next frame; the payload may be cut. Returns its length. */
static size_t read_frame(int fd, uint8_t *first_out, uint8_t payload[2000])
{
    uint8_t head[8];
    read_exactly(fd, head, 2);
    size_t len = head[1];
    *first_out = head[0];
    if (len == 126) {
        read_exactly(fd, head, 2);
        len = kal_load_be16(head);
    }
    assert_true(len <= 2000);
    read_exactly(fd, payload, len);
    return len;
}

static void wait_for(const _Atomic unsigned *what, unsigned count)
{
    for (int i = 0; i < 1000 && *what < count; i++)
        usleep(5000);
    assert_true(*what >= count);
}

/* ---- the tests ---- */

static void turns_and_ticks(void **state)
{
    (void)state;
    world.turns_left = 10;
    kal_http_server_wake_loop(world.server, 1);
    wait_for(&world.turns[1], 10);
    wait_for(&world.ticks, 2);
    assert_int_equal(world.turns[1], 10);
    assert_int_equal(world.turns[0], 0);
    for (int i = 0; i < 1000; i++)
        kal_http_server_wake_loop(world.server, 0);
    wait_for(&world.turns[0], 1);
    assert_true(world.turns[0] <= 1000);
}

static void nothing_of_http_times_out(void **state)
{
    uint8_t payload[2000];
    uint8_t first = 0;
    int fd = open_client();
    (void)state;
    usleep(900000); /* three times the idle time-out */
    send_frame(fd, 0x81, "still", 5);
    assert_int_equal(read_frame(fd, &first, payload), 5);
    assert_int_equal(first, 0x81);
    close(fd);
    wait_for(&world.closed, 1);
    assert_int_equal(world.close_code, KAL_WS_CLOSE_ABNORMAL);
}

static void marks(void **state)
{
    uint8_t payload[2000];
    uint8_t first = 0;
    size_t len = 0;
    int fd = -1;
    (void)state;
    world.options.queue_bytes_max = 30000000; /* more than sockets hold */
    world.options.queue_bytes_low = 1000000;
    fd = open_client();
    send_frame(fd, 0x81, "fill", 4);
    wait_for(&world.sent_false, 1);
    assert_int_equal(world.writable, 0);
    do {
        len = read_frame(fd, &first, payload);
    } while (first != 0x81); /* what on_writable sent is the last */
    assert_int_equal(len, 4);
    assert_int_equal(world.writable, 1);
    assert_int_equal(world.sent_false, 1);
    send_frame(fd, 0x88, "\x0F\xA0", 2);
    assert_int_equal(read_frame(fd, &first, payload), 2);
    assert_memory_equal(payload, "\x0F\xA0", 2);
    close(fd);
    wait_for(&world.closed, 1);
    assert_int_equal(world.close_code, 4000);
}

/* Reads to the close frame; the code in it. */
static unsigned read_to_close(int fd)
{
    uint8_t payload[2000];
    uint8_t first = 0;
    do {
        read_frame(fd, &first, payload);
    } while (first != 0x88);
    return kal_load_be16(payload);
}

static void limits_end_the_connection(void **state)
{
    int fd = -1;
    (void)state;
    world.options.queue_bytes_max =
        30000; /* twice that is the end, since nothing is written meanwhile */
    fd = open_client();
    send_frame(fd, 0x81, "over", 4);
    assert_int_equal(read_to_close(fd), KAL_WS_CLOSE_TRY_LATER);
    assert_true(world.sent_false >= 30);
    close(fd);
    wait_for(&world.closed, 1);

    world.options.queue_bytes_max = (size_t)1 << 30;
    world.budget.limit = 300000;
    fd = open_client();
    send_frame(fd, 0x81, "over", 4);
    assert_int_equal(read_to_close(fd), KAL_WS_CLOSE_TRY_LATER);
    close(fd);
    wait_for(&world.closed, 2);
    assert_int_equal(world.close_code, KAL_WS_CLOSE_TRY_LATER);

    world.budget.limit = 100; /* and what comes in */
    fd = open_client();
    send_frame(fd, 0x01, "0123456789012345678901234567890123456789", 40);
    send_frame(fd, 0x00, "0123456789012345678901234567890123456789", 40);
    send_frame(fd, 0x00, "0123456789012345678901234567890123456789", 40);
    assert_int_equal(read_to_close(fd), KAL_WS_CLOSE_TRY_LATER);
    close(fd);
    wait_for(&world.closed, 3);
}

static void many_come_and_go(void **state)
{
    enum { CLIENTS = 100 };
    int fds[CLIENTS];
    uint8_t payload[2000];
    uint8_t first = 0;
    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < CLIENTS; i++)
            fds[i] = open_client();
        for (int i = 0; i < CLIENTS; i++)
            send_frame(fds[i], 0x81, "hello", 5);
        for (int i = 0; i < CLIENTS; i++) {
            assert_int_equal(read_frame(fds[i], &first, payload), 5);
            if (i % 2 == 0)
                send_frame(fds[i], 0x88, "", 0);
            close(fds[i]);
        }
        wait_for(&world.closed, (unsigned)(round + 1) * CLIENTS);
    }
}

static void stops_with_open_ones(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        open_client(); /* left to the end of the process */
    wait_for(&world.opened, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(turns_and_ticks, start, stop),
        cmocka_unit_test_setup_teardown(nothing_of_http_times_out, start, stop),
        cmocka_unit_test_setup_teardown(marks, start, stop),
        cmocka_unit_test_setup_teardown(limits_end_the_connection, start, stop),
        cmocka_unit_test_setup_teardown(many_come_and_go, start, stop),
        cmocka_unit_test_setup_teardown(stops_with_open_ones, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
