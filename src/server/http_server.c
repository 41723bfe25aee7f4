#include "server/http_server.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/log.h"
#include "base/thread.h"
#include "server/ws_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

enum {
    READ_BYTES = 64 * 1024,
    BACKLOG = 1024,
    TICK_MS = 250,
    FIELDS_MAX = 8,
    LOOPS_MAX = 64,
    ADDRESS_BYTES = 64,
    BODY_RATE_MIN = 1024, /* bytes a second */
    PIECE_BYTES = 64 * 1024,
};

typedef struct http_loop http_loop;

typedef enum connection_phase {
    PHASE_READING,   /* waits for a request or is in the middle of one */
    PHASE_IN_FLIGHT, /* the handler has it */
    PHASE_WRITING,   /* the reply is on its way */
    PHASE_UPGRADED,  /* the socket is a WebSocket's; what is left here is to be freed */
} connection_phase;

struct kal_exchange { /* a connection */
    uv_tcp_t tcp;
    http_loop *loop;
    kal_list link;      /* loop->connections */
    kal_list mail_link; /* loop->mail: answered by another thread */
    kal_budget budget;
    kal_http_reader reader;
    kal_arena arena;
    char peer[ADDRESS_BYTES];
    connection_phase phase;
    bool is_reading;
    bool is_closing;               /* uv_close was called */
    bool is_closed;                /* and is over */
    bool in_handler;               /* the loop's thread only: the handler is on the stack */
    bool in_head;                  /* the deadline of a head was set */
    bool in_body;                  /* body_start_ms and body_bytes are of this body */
    bool hang_up;                  /* after the reply */
    bool is_head;                  /* HEAD: no body in the reply */
    bool has_left;                 /* in flight: the client was gone at the last tick */
    void (*cancel)(void *context); /* in flight; NULL: nobody wants to know, or was told */
    void *cancel_context;
    uint64_t deadline_ms;
    uint64_t body_start_ms;
    uint64_t body_bytes; /* that came since, as sent */
    kal_http_reply reply;
    kal_http_field fields[FIELDS_MAX];
    kal_buf head; /* kept for its memory */
    uv_write_t write;
    uv_fs_t read;       /* of the reply's file */
    bool is_file_read;  /* it is under way: the connection must stay */
    uint8_t *piece;     /* of the file; arena */
    uint64_t file_left; /* bytes of it that are not read yet */
    kal_ws *ws;         /* PHASE_UPGRADED: borrowed */
};

struct http_loop {
    kal_http_server *server;
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_async_t wake;
    uv_timer_t tick;
    pthread_t thread;
    bool has_thread;
    bool is_open;
    bool is_draining;
    uint64_t drain_deadline_ms;
    kal_list connections;
    char date[KAL_HTTP_DATE_BYTES];
    pthread_mutex_t lock; /* protects mail */
    kal_list mail;
    uint8_t *read_buffer; /* owned, READ_BYTES */
    kal_ws_loop ws;
    _Atomic bool is_woken; /* by kal_http_server_wake_loop() */
};

struct kal_http_server {
    kal_http_server_options options;
    int fd; /* listening; -1 once the loops have it */
    uint16_t port;
    unsigned loop_count;
    http_loop loops[LOOPS_MAX];
    kal_gauge connections;
    kal_gauge websockets;
    _Atomic uint64_t slow_clients;
    _Atomic bool stopping;
};

static void process(kal_exchange *c);

/* ---- connections ---- */

static void set_deadline(kal_exchange *c, unsigned timeout_ms)
{
    c->deadline_ms = uv_now(&c->loop->loop) + timeout_ms;
}

/* A byte now and then is not enough: on average a body comes at BODY_RATE_MIN, but for the time
 * that it may be silent. */
static void body_deadline(kal_exchange *c)
{
    unsigned timeout_ms = c->loop->server->options.body_timeout_ms;

    if (!c->in_body) {
        c->body_start_ms = uv_now(&c->loop->loop);
        c->body_bytes = 0;
    }
    uint64_t whole_ms = c->body_start_ms + timeout_ms + c->body_bytes * 1000 / BODY_RATE_MIN;
    set_deadline(c, timeout_ms);
    if (c->deadline_ms > whole_ms)
        c->deadline_ms = whole_ms;
}

static void reading_deadline(kal_exchange *c)
{
    const kal_http_server_options *o = &c->loop->server->options;
    bool in_message = kal_http_reader_in_message(&c->reader);
    bool in_body = kal_http_reader_in_body(&c->reader);
    bool in_head = in_message && !in_body;

    if (!in_message)
        set_deadline(c, o->idle_timeout_ms);
    else if (in_body)
        body_deadline(c);
    else if (!c->in_head) /* once, not for every byte of a head */
        set_deadline(c, o->head_timeout_ms);
    c->in_head = in_head;
    c->in_body = in_body;
}

static void release_reply(kal_exchange *c)
{
    if (c->reply.release != NULL)
        c->reply.release(c->reply.release_context);
    else
        kal_buf_release(&c->reply.body);
    if (c->reply.is_file)
        close(c->reply.fd);
    c->reply = (kal_http_reply){0};
    c->file_left = 0;
}

static void free_connection(kal_exchange *c)
{
    kal_http_reader_release(&c->reader);
    kal_arena_release(&c->arena);
    kal_buf_release(&c->head);
    if (c->phase != PHASE_UPGRADED) /* else it still is one */
        kal_gauge_remove(&c->loop->server->connections);
    free(c);
}

static void on_closed(uv_handle_t *handle)
{
    kal_exchange *c = handle->data;
    c->is_closed = true;
    kal_list_remove(&c->link);
    if (c->is_file_read) /* on_piece() finds it closed, and frees it */
        return;
    if (c->phase == PHASE_WRITING)
        release_reply(c);
    if (c->phase != PHASE_IN_FLIGHT) /* else the reply finds it closed, and frees it */
        free_connection(c);
}

static void hang_up(kal_exchange *c)
{
    if (c->is_closing)
        return;
    c->is_closing = true;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

/* ---- writing ---- */

static void after_reply(kal_exchange *c)
{
    release_reply(c);
    if (c->hang_up || c->loop->is_draining) {
        hang_up(c);
        c->phase = PHASE_READING;
        return;
    }
    kal_arena_reset(&c->arena);
    c->piece = NULL;
    kal_http_reader_finish(&c->reader);
    c->phase = PHASE_READING;
    c->in_head = false;
    c->in_body = false;
}

static void read_piece(kal_exchange *c);

static void on_written(uv_write_t *request, int status)
{
    kal_exchange *c = request->data;
    if (c->is_closing)
        return; /* on_closed releases */
    if (status >= 0 && c->file_left > 0) {
        read_piece(c);
        return;
    }
    if (status < 0)
        c->hang_up = true;
    after_reply(c);
    process(c);
}

/* What was promised cannot be sent: the client sees that the body is short. */
static void on_piece(uv_fs_t *request)
{
    kal_exchange *c = request->data;
    ssize_t len = request->result;

    uv_fs_req_cleanup(request);
    c->is_file_read = false;
    if (c->is_closed) {
        release_reply(c);
        free_connection(c);
        return;
    }
    if (c->is_closing)
        return;
    if (len <= 0) {
        hang_up(c);
        return;
    }
    c->file_left -= (uint64_t)len;
    uv_buf_t buf = uv_buf_init((char *)c->piece, (unsigned)len);
    c->write.data = c;
    set_deadline(c, c->loop->server->options.write_timeout_ms);
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written) < 0)
        hang_up(c);
}

/* The next piece of the reply's file: read, then written, then the next. */
static void read_piece(kal_exchange *c)
{
    if (c->piece == NULL)
        c->piece = kal_arena_try_alloc(&c->arena, PIECE_BYTES);
    if (c->piece == NULL) {
        hang_up(c);
        return;
    }
    unsigned len = c->file_left < PIECE_BYTES ? (unsigned)c->file_left : PIECE_BYTES;
    uv_buf_t buf = uv_buf_init((char *)c->piece, len);
    c->read.data = c;
    set_deadline(c, c->loop->server->options.write_timeout_ms);
    if (uv_fs_read(&c->loop->loop, &c->read, c->reply.fd, &buf, 1, -1, on_piece) == 0)
        c->is_file_read = true;
    else
        hang_up(c);
}

/* The rest that the socket did not take at once. */
static void write_rest(kal_exchange *c, uv_buf_t *bufs, unsigned count, size_t written)
{
    while (count > 0 && written >= bufs->len) {
        written -= bufs->len;
        bufs++;
        count--;
    }
    if (count > 0) {
        bufs->base += written;
        bufs->len -= written;
    }
    c->write.data = c;
    set_deadline(c, c->loop->server->options.write_timeout_ms);
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, bufs, count, on_written) < 0) {
        c->hang_up = true;
        after_reply(c);
    }
}

/* True when the reply is out already. */
static bool write_reply(kal_exchange *c)
{
    const kal_http_request *request = &c->reader.request;
    kal_http_head head = {
        .status = c->reply.status,
        .minor = request->minor,
        .keep_alive = !c->hang_up && !c->loop->is_draining,
        .date = c->loop->date,
        .content_type = c->reply.content_type == NULL ? "application/json" : c->reply.content_type,
        .content_length = c->reply.is_file ? c->reply.file_bytes : c->reply.body.len,
        .fields = c->fields,
        .field_count = c->reply.field_count,
    };
    uv_buf_t bufs[2];
    unsigned count = 1;

    c->phase = PHASE_WRITING;
    c->file_left = c->reply.is_file && !c->is_head ? c->reply.file_bytes : 0;
    kal_buf_clear(&c->head);
    kal_http_head_write(&head, &c->head);
    bufs[0] = uv_buf_init((char *)c->head.ptr, (unsigned)c->head.len);
    size_t total = c->head.len;
    if (c->reply.body.len > 0 && !c->is_head) {
        bufs[1] = (uv_buf_t){.base = (char *)c->reply.body.ptr, .len = c->reply.body.len};
        total += c->reply.body.len;
        count = 2;
    }
    int written = uv_try_write((uv_stream_t *)&c->tcp, bufs, count);
    if (written == UV_EAGAIN)
        written = 0;
    if (written >= 0 && (size_t)written < total) {
        write_rest(c, bufs, count, (size_t)written);
        return c->phase == PHASE_READING;
    }
    if (written >= 0 && c->file_left > 0) {
        read_piece(c);
        return false;
    }
    if (written < 0)
        c->hang_up = true;
    after_reply(c);
    return true;
}

/* On the loop's thread. */
static void deliver(kal_exchange *c)
{
    if (c->is_closed) {
        release_reply(c);
        free_connection(c);
        return;
    }
    if (c->is_closing) {
        release_reply(c);
        c->phase = PHASE_READING;
        return;
    }
    if (write_reply(c))
        process(c);
}

void kal_exchange_respond(kal_exchange *c, const kal_http_reply *reply)
{
    http_loop *loop = c->loop;
    KAL_ASSERT(reply->field_count <= FIELDS_MAX);
    c->reply = *reply;
    if (reply->field_count > 0)
        memcpy(c->fields, reply->fields, reply->field_count * sizeof *c->fields);
    if (pthread_equal(pthread_self(), loop->thread) && c->in_handler) {
        c->in_handler = false; /* process() writes it */
        return;
    }
    pthread_mutex_lock(&loop->lock);
    bool first = kal_list_empty(&loop->mail);
    kal_list_push_back(&loop->mail, &c->mail_link);
    pthread_mutex_unlock(&loop->lock);
    if (first)
        uv_async_send(&loop->wake);
}

static void deliver_mail(http_loop *loop)
{
    kal_list mail;
    kal_list *link;

    kal_list_init(&mail);
    pthread_mutex_lock(&loop->lock);
    while ((link = kal_list_pop_front(&loop->mail)) != NULL)
        kal_list_push_back(&mail, link);
    pthread_mutex_unlock(&loop->lock);
    while ((link = kal_list_pop_front(&mail)) != NULL)
        deliver(KAL_CONTAINER_OF(link, kal_exchange, mail_link));
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    kal_exchange *c = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)c->loop->read_buffer, READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    kal_exchange *c = stream->data;
    if (len < 0) {
        hang_up(c);
        return;
    }
    if (len == 0)
        return;
    c->body_bytes += (uint64_t)len;
    kal_http_reader_feed(&c->reader, kal_bytes_of(buf->base, (size_t)len));
    process(c);
}

static void start_reading(kal_exchange *c)
{
    if (c->is_reading || c->is_closing)
        return;
    if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) == 0)
        c->is_reading = true;
    else
        hang_up(c);
}

static void stop_reading(kal_exchange *c)
{
    if (!c->is_reading)
        return;
    uv_read_stop((uv_stream_t *)&c->tcp);
    c->is_reading = false;
}

/* Says no before the handler is asked; true when the reply is out. */
static bool refuse(kal_exchange *c)
{
    const kal_http_refusal *refusal = &c->reader.refusal;
    kal_http_reply reply = {.status = refusal->status};
    const char *code = refusal->status == 413 ? "LIMIT_EXCEEDED" : "BAD_REQUEST";

    kal_buf_init(&reply.body, NULL);
    kal_buf_printf(&reply.body,
                   "{\"status\":\"error\",\"results\":[],\"took\":0.000,\"error\":{\"code\":\"%s\","
                   "\"message\":\"%s\"}}",
                   code, refusal->message);
    c->reply = reply;
    c->hang_up = !refusal->resumable;
    return write_reply(c);
}

/* What came behind the request's head is the WebSocket's first input. */
static void hand_over(kal_exchange *c)
{
    kal_http_reader *r = &c->reader;
    size_t at = r->start + r->at;

    c->in_handler = false;
    stop_reading(c);
    if (at < r->in.len)
        kal_ws_feed(c->ws, r->in.ptr + at, r->in.len - at);
    hang_up(c);
}

/* The socket is duplicated, since a handle of libuv cannot be let go of without closing its own. */
kal_ws *kal_exchange_upgrade(kal_exchange *c, const kal_ws_options *options, kal_error *err)
{
    kal_ws_handshake handshake;
    uv_os_fd_t fd = -1;

    KAL_ASSERT(c->in_handler && pthread_equal(pthread_self(), c->loop->thread));
    if (kal_ws_handshake_check(&c->reader.request, options->deflate, &handshake, err) != KAL_OK)
        return NULL;
    if (c->loop->is_draining) {
        kal_error_set(err, KAL_BUSY, "the server is stopping");
        return NULL;
    }
    if (uv_fileno((uv_handle_t *)&c->tcp, &fd) == 0)
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        kal_error_set(err, KAL_IO, "cannot take over a socket: %s", strerror(errno));
        return NULL;
    }
    c->ws = kal_ws_open(&c->loop->ws, fd, &handshake, options, c->peer, err);
    if (c->ws != NULL)
        c->phase = PHASE_UPGRADED;
    return c->ws;
}

/* True when the reply is out. */
static bool handle(kal_exchange *c)
{
    const kal_http_server_options *o = &c->loop->server->options;
    const kal_http_request *request = &c->reader.request;

    c->is_head = request->method == KAL_HTTP_HEAD;
    c->hang_up = !request->keep_alive;
    c->phase = PHASE_IN_FLIGHT;
    c->has_left = false;
    c->cancel = NULL;
    c->in_handler = true;
    o->handler(o->context, c);
    if (c->phase == PHASE_UPGRADED) {
        hand_over(c);
        return false;
    }
    if (!c->in_handler) /* it answered at once */
        return write_reply(c);
    c->in_handler = false;
    return false;
}

static void send_continue(kal_exchange *c)
{
    static char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    uv_buf_t buf = uv_buf_init(text, sizeof text - 1);
    if (uv_try_write((uv_stream_t *)&c->tcp, &buf, 1) != (int)buf.len)
        hang_up(c);
}

/* Takes requests from the reader until it needs more bytes or one is in flight. */
static void process(kal_exchange *c)
{
    while (c->phase == PHASE_READING && !c->is_closing) {
        kal_http_event event = kal_http_reader_next(&c->reader);
        if (event == KAL_HTTP_CONTINUE) {
            send_continue(c);
            continue;
        }
        if (event == KAL_HTTP_NEED_MORE) {
            if (!kal_http_reader_in_message(&c->reader))
                kal_http_reader_trim(&c->reader);
            reading_deadline(c);
            start_reading(c);
            return;
        }
        if (!(event == KAL_HTTP_REQUEST ? handle(c) : refuse(c)))
            break;
    }
    if (c->phase != PHASE_READING && !c->is_closing)
        stop_reading(c);
}

/* ---- accepting ---- */

static void name_peer(kal_exchange *c)
{
    struct sockaddr_storage address = {0};
    int len = sizeof address;

    snprintf(c->peer, sizeof c->peer, "unknown");
    if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&address, &len) != 0)
        return;
    if (address.ss_family == AF_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)&address)->sin_addr, c->peer, sizeof c->peer);
    else if (address.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&address)->sin6_addr, c->peer, sizeof c->peer);
}

static void on_connection(uv_stream_t *listener, int status)
{
    http_loop *loop = listener->data;
    kal_http_server *server = loop->server;

    if (status < 0)
        return;
    kal_exchange *c = calloc(1, sizeof *c); /* owned by itself until on_closed */
    if (c == NULL)
        kal_die("out of memory: connection");
    c->loop = loop;
    kal_budget_init(&c->budget, server->options.budget, server->options.exchange_bytes_max);
    kal_http_reader_init(&c->reader, &server->options.limits, &c->budget);
    kal_arena_init(&c->arena, &c->budget);
    kal_buf_init(&c->head, NULL);
    kal_list_push_back(&loop->connections, &c->link);
    uint64_t open = kal_gauge_add(&server->connections);
    if (uv_tcp_init(&loop->loop, &c->tcp) != 0)
        kal_die("libuv cannot make a socket");
    c->tcp.data = c;
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0 ||
        open > server->options.connections_max || loop->is_draining) {
        hang_up(c);
        return;
    }
    uv_tcp_nodelay(&c->tcp, 1);
    name_peer(c);
    process(c);
}

/* ---- loops ---- */

static void set_date(http_loop *loop)
{
    uv_timeval64_t now;
    if (uv_gettimeofday(&now) == 0)
        kal_http_date(now.tv_sec, loop->date);
}

static void close_handles(http_loop *loop)
{
    if (!uv_is_closing((uv_handle_t *)&loop->tick))
        uv_close((uv_handle_t *)&loop->tick, NULL);
    if (!uv_is_closing((uv_handle_t *)&loop->wake))
        uv_close((uv_handle_t *)&loop->wake, NULL);
    kal_ws_loop_close_handles(&loop->ws);
}

static void begin_drain(http_loop *loop)
{
    loop->is_draining = true;
    loop->drain_deadline_ms = uv_now(&loop->loop) + loop->server->options.drain_timeout_ms;
    uv_close((uv_handle_t *)&loop->listener, NULL);
    KAL_LIST_FOR_EACH (link, &loop->connections) {
        kal_exchange *c = KAL_CONTAINER_OF(link, kal_exchange, link);
        if (c->phase == PHASE_READING && !kal_http_reader_in_message(&c->reader))
            hang_up(c);
    }
    kal_ws_loop_drain(&loop->ws, false);
}

/* The connection is not read while a request is in flight, so its end is asked for. Seen twice: a
 * client that only ended its sending side still gets the answers that are quick. */
static bool has_left(kal_exchange *c)
{
    struct pollfd p = {.events = POLLRDHUP};
    bool before = c->has_left;

    if (uv_fileno((uv_handle_t *)&c->tcp, &p.fd) != 0)
        return false;
    c->has_left = poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
    return before && c->has_left;
}

static void cancel_exchange(kal_exchange *c)
{
    void (*fn)(void *context) = c->cancel;
    c->cancel = NULL;
    fn(c->cancel_context);
}

static void expire(http_loop *loop)
{
    uint64_t now = uv_now(&loop->loop);
    bool force = loop->is_draining && now >= loop->drain_deadline_ms;
    KAL_LIST_FOR_EACH (link, &loop->connections) {
        kal_exchange *c = KAL_CONTAINER_OF(link, kal_exchange, link);
        if (c->phase == PHASE_IN_FLIGHT) {
            if (c->cancel != NULL && (force || has_left(c)))
                cancel_exchange(c);
            continue;
        }
        if (force || (c->deadline_ms != 0 && now >= c->deadline_ms))
            hang_up(c);
    }
    kal_ws_loop_tick(&loop->ws);
    if (force)
        kal_ws_loop_drain(&loop->ws, true);
}

/* The loop ends when all its handles are closed. */
static void end_if_drained(http_loop *loop)
{
    if (loop->is_draining && kal_list_empty(&loop->connections) && kal_list_empty(&loop->ws.open))
        close_handles(loop);
}

static void on_wake(uv_async_t *wake)
{
    http_loop *loop = wake->data;
    /* Before the answers that came along: to write one takes as long as to tell of a change. */
    if (atomic_exchange(&loop->is_woken, false))
        kal_ws_loop_wake(&loop->ws);
    deliver_mail(loop);
    if (atomic_load(&loop->server->stopping) && !loop->is_draining)
        begin_drain(loop);
    end_if_drained(loop);
}

static void on_tick(uv_timer_t *tick)
{
    http_loop *loop = tick->data;
    const kal_http_server_options *o = &loop->server->options;
    set_date(loop);
    expire(loop);
    if (o->on_tick != NULL)
        o->on_tick(o->context, loop->ws.o.index);
    end_if_drained(loop);
}

static kal_status uv_failed(const char *what, int code, kal_error *err)
{
    return kal_error_set(err, KAL_IO, "cannot %s: %s", what, uv_strerror(code));
}

static kal_status open_ws_loop(kal_http_server *server, http_loop *loop, kal_error *err)
{
    kal_ws_loop_options options = {
        .uv = &loop->loop,
        .read_buffer = loop->read_buffer,
        .read_bytes = READ_BYTES,
        .connections = &server->connections,
        .websockets = &server->websockets,
        .slow_count = &server->slow_clients,
        .write_timeout_ms = server->options.write_timeout_ms,
        .index = (unsigned)(loop - server->loops),
        .may_ring = server->options.may_ring,
        .on_turn = server->options.on_turn,
        .context = server->options.context,
    };
    return kal_ws_loop_open(&loop->ws, &options, err);
}

static kal_status open_loop(kal_http_server *server, http_loop *loop, kal_error *err)
{
    int fd = dup(server->fd);
    int code = 0;

    loop->server = server;
    kal_list_init(&loop->connections);
    kal_list_init(&loop->mail);
    pthread_mutex_init(&loop->lock, NULL);
    loop->read_buffer = malloc(READ_BYTES);
    if (loop->read_buffer == NULL || fd < 0)
        kal_die("out of memory: event loop");
    if ((code = uv_loop_init(&loop->loop)) != 0)
        return uv_failed("make an event loop", code, err);
    uv_tcp_init(&loop->loop, &loop->listener);
    uv_timer_init(&loop->loop, &loop->tick);
    loop->listener.data = loop;
    loop->tick.data = loop;
    loop->wake.data = loop;
    loop->is_open = true;
    if ((code = uv_async_init(&loop->loop, &loop->wake, on_wake)) != 0 ||
        (code = uv_tcp_open(&loop->listener, fd)) != 0 ||
        (code = uv_listen((uv_stream_t *)&loop->listener, BACKLOG, on_connection)) != 0 ||
        (code = uv_timer_start(&loop->tick, on_tick, TICK_MS, TICK_MS)) != 0)
        return uv_failed("listen", code, err);
    set_date(loop);
    return open_ws_loop(server, loop, err);
}

static void run_loop(void *context)
{
    http_loop *loop = context;
    loop->thread = pthread_self();
    uv_run(&loop->loop, UV_RUN_DEFAULT);
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* After its run, or when opening failed. */
static void close_loop(http_loop *loop)
{
    if (loop->server == NULL)
        return;
    if (loop->is_open) {
        uv_walk(&loop->loop, close_handle, NULL);
        uv_run(&loop->loop, UV_RUN_DEFAULT);
        int code = uv_loop_close(&loop->loop);
        KAL_ASSERT(code == 0);
    }
    pthread_mutex_destroy(&loop->lock);
    kal_ws_loop_release(&loop->ws);
    free(loop->read_buffer);
}

/* ---- the server ---- */

static kal_status bind_address(const kal_http_server_options *o, int *fd_out, kal_error *err)
{
    struct sockaddr_storage address = {0};
    socklen_t len = 0;
    int on = 1;

    if (uv_ip4_addr(o->host, o->port, (struct sockaddr_in *)&address) == 0)
        len = sizeof(struct sockaddr_in);
    else if (uv_ip6_addr(o->host, o->port, (struct sockaddr_in6 *)&address) == 0)
        len = sizeof(struct sockaddr_in6);
    else
        return kal_error_set(err, KAL_INVALID, "'%s' is not an IP address to listen on", o->host);
    *fd_out = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd_out < 0)
        return kal_error_set(err, KAL_IO, "cannot make a socket: %s", strerror(errno));
    setsockopt(*fd_out, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(*fd_out, (struct sockaddr *)&address, len) == 0 && listen(*fd_out, BACKLOG) == 0)
        return KAL_OK;
    kal_status status = errno == EADDRINUSE ? KAL_BUSY : KAL_IO;
    kal_error_set(err, status, "cannot listen on %s port %u: %s", o->host, o->port,
                  strerror(errno));
    close(*fd_out);
    *fd_out = -1;
    return status;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

unsigned kal_http_loop_count(unsigned loops)
{
    unsigned count = loops == 0 ? uv_available_parallelism() : loops;
    return count < LOOPS_MAX ? count : LOOPS_MAX;
}

kal_status kal_http_server_open(const kal_http_server_options *options,
                                kal_http_server **server_out, kal_error *err)
{
    kal_http_server *server = calloc(1, sizeof *server);
    kal_status status = KAL_OK;

    *server_out = NULL;
    if (server == NULL)
        kal_die("out of memory: server");
    server->options = *options;
    server->fd = -1;
    server->loop_count = kal_http_loop_count(options->loops);
    status = bind_address(options, &server->fd, err);
    if (status == KAL_OK)
        server->port = bound_port(server->fd);
    for (unsigned i = 0; i < server->loop_count && status == KAL_OK; i++)
        status = open_loop(server, &server->loops[i], err);
    if (status != KAL_OK) {
        kal_http_server_close(server);
        return status;
    }
    *server_out = server;
    return KAL_OK;
}

uint16_t kal_http_server_port(const kal_http_server *server)
{
    return server->port;
}

unsigned kal_http_server_connections_max(const kal_http_server *server)
{
    return server->options.connections_max;
}

unsigned kal_http_server_loops(const kal_http_server *server)
{
    return server->loop_count;
}

void kal_http_server_wake_loop(kal_http_server *server, unsigned loop)
{
    KAL_ASSERT(loop < server->loop_count);
    if (!atomic_exchange(&server->loops[loop].is_woken, true))
        uv_async_send(&server->loops[loop].wake);
}

uint64_t kal_http_server_slow_clients(const kal_http_server *server)
{
    return atomic_load_explicit(&server->slow_clients, memory_order_relaxed);
}

const kal_gauge *kal_http_server_websockets(const kal_http_server *server)
{
    return &server->websockets;
}

const kal_gauge *kal_http_server_connections(const kal_http_server *server)
{
    return &server->connections;
}

kal_status kal_http_server_run(kal_http_server *server, kal_error *err)
{
    kal_status status = KAL_OK;
    for (unsigned i = 1; i < server->loop_count && status == KAL_OK; i++) {
        http_loop *loop = &server->loops[i];
        status = kal_thread_start(&loop->thread, "http", 0, run_loop, loop, err);
        loop->has_thread = status == KAL_OK;
    }
    if (status == KAL_OK)
        run_loop(&server->loops[0]);
    else
        kal_http_server_stop(server);
    for (unsigned i = 1; i < server->loop_count; i++) {
        if (server->loops[i].has_thread)
            pthread_join(server->loops[i].thread, NULL);
        server->loops[i].has_thread = false;
    }
    return status;
}

void kal_http_server_stop(kal_http_server *server)
{
    atomic_store(&server->stopping, true);
    for (unsigned i = 0; i < server->loop_count; i++)
        uv_async_send(&server->loops[i].wake);
}

void kal_http_server_close(kal_http_server *server)
{
    if (server == NULL)
        return;
    for (unsigned i = 0; i < server->loop_count; i++)
        close_loop(&server->loops[i]);
    if (server->fd >= 0)
        close(server->fd);
    free(server);
}

const kal_http_request *kal_exchange_request(const kal_exchange *exchange)
{
    return &exchange->reader.request;
}

const char *kal_exchange_peer(const kal_exchange *exchange)
{
    return exchange->peer;
}

kal_arena *kal_exchange_arena(kal_exchange *exchange)
{
    return &exchange->arena;
}

void kal_exchange_on_cancel(kal_exchange *exchange, void (*cancel)(void *context), void *context)
{
    exchange->cancel = cancel;
    exchange->cancel_context = context;
}
