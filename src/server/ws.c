/*
 * ws.c: one WebSocket: what comes, what goes, how it ends.
 *
 * Invariants:
 *   1. a connection with something to write is on the dirty list or is_blocked
 *   2. sockets are read and written from callbacks of the loop only, never from a call of the
 *      application: so nothing is freed or called back while it is in here
 *   3. after WS_DEAD the memory of messages is gone; on_close follows once libuv has let go
 */
#include "base/assert.h"
#include "server/ws_internal.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PIECES_MAX = 256, /* of what is written to one socket at once */
    READ_CALLS_MAX = 4,
    EVENT_BYTES = 32,             /* what an event counts beside its payload */
    FEED_BYTES_MAX = 1024 * 1024, /* given to the application in a turn; then others have theirs */
    LINGER_MS = 2000,
};

static uint64_t now_ms(const kal_ws *ws)
{
    return uv_now(ws->loop->o.uv);
}

/* ---- the socket's end ---- */

static void on_closed(uv_handle_t *handle)
{
    kal_ws *ws = handle->data;
    if (ws->options.on_close != NULL)
        ws->options.on_close(ws->options.context, ws);
    kal_list_remove(&ws->link);
    ws->loop->open_count--;
    kal_gauge_remove(ws->loop->o.connections);
    kal_gauge_remove(ws->loop->o.websockets);
    free(ws);
}

void kal_ws_cut(kal_ws *ws)
{
    if (ws->phase == WS_DEAD)
        return;
    ws->phase = WS_DEAD;
    kal_list_remove(&ws->dirty);
    kal_ws_queue_release(&ws->queue);
    kal_ws_reader_release(&ws->reader);
    kal_buf_release(&ws->rest);
    uv_close((uv_handle_t *)&ws->poll, on_closed);
    close(ws->fd);
    ws->fd = -1;
}

/* ---- writing ---- */

/* In this turn of the loop kal_ws_work() is called. */
static void want_work(kal_ws *ws)
{
    if (ws->phase == WS_DEAD || !kal_list_empty(&ws->dirty))
        return;
    bool first = kal_list_empty(&ws->loop->dirty);
    kal_list_push_back(&ws->loop->dirty, &ws->dirty);
    if (first)
        kal_ws_loop_update(ws->loop);
}

static void mark_dirty(kal_ws *ws)
{
    if (!ws->is_blocked)
        want_work(ws);
}

/* Before something is queued: if nothing is, waiting begins now. */
static void note_wait(kal_ws *ws)
{
    if (ws->queue.bytes == 0)
        ws->progress_ms = now_ms(ws);
}

static void linger(kal_ws *ws)
{
    ws->phase = WS_LINGERING;
    ws->deadline_ms = now_ms(ws) + LINGER_MS;
    shutdown(ws->fd, SHUT_WR);
}

static void queue_close(kal_ws *ws, uint16_t code, const char *reason)
{
    uint8_t payload[KAL_WS_CONTROL_BYTES_MAX];
    size_t len = kal_ws_close_payload(code, reason, payload);

    note_wait(ws);
    kal_ws_queue_control(&ws->queue, KAL_WS_OP_CLOSE, kal_bytes_of(payload, len));
    ws->phase = WS_CLOSING;
    ws->close_code = code;
    ws->deadline_ms = now_ms(ws) + ws->options.close_timeout_ms;
    want_work(ws); /* a pause ends with this */
}

static bool has_output(const kal_ws *ws)
{
    return ws->phase != WS_DEAD && !ws->is_blocked && ws->queue.bytes > 0;
}

/* What is next for the socket, in at most so many pieces. */
static kal_send gather(const kal_ws *ws, struct iovec *pieces, unsigned max)
{
    kal_send s = {.fd = ws->fd, .pieces = pieces};
    s.piece_count = kal_ws_queue_gather(&ws->queue, pieces, max, &s.bytes);
    return s;
}

/* Calls nobody back. */
static void take_result(kal_ws *ws, const kal_send *s)
{
    if (s->sent < 0 && s->sent != -EAGAIN && s->sent != -EWOULDBLOCK && s->sent != -ENOBUFS) {
        kal_ws_cut(ws);
        return;
    }
    if (s->sent > 0) {
        kal_ws_queue_sent(&ws->queue, (size_t)s->sent);
        ws->progress_ms = now_ms(ws);
    }
    ws->is_blocked = s->sent < 0 || (size_t)s->sent < s->bytes;
}

static void after_writing(kal_ws *ws)
{
    if (ws->queue.bytes == 0 && ws->phase == WS_CLOSING) {
        if (ws->peer_closed)
            linger(ws);
        else
            ws->phase = WS_AWAITING;
    }
    if (ws->was_full && ws->phase == WS_OPEN && ws->queue.bytes <= ws->options.queue_bytes_low) {
        ws->was_full = false;
        if (ws->options.on_writable != NULL)
            ws->options.on_writable(ws->options.context, ws);
    }
}

/* What is left keeps the connection dirty or blocked. */
static void end_writing(kal_ws *ws)
{
    if (ws->phase == WS_DEAD)
        return;
    if (ws->queue.bytes > 0)
        mark_dirty(ws);
    after_writing(ws);
}

/* The socket takes bytes again. */
static void write_queue(kal_ws *ws)
{
    struct iovec pieces[PIECES_MAX];

    if (has_output(ws)) {
        kal_send one = gather(ws, pieces, PIECES_MAX);
        kal_send_one(&one);
        take_result(ws, &one);
    }
    end_writing(ws);
}

/* Of as many as have room for their pieces; returns how many those are. */
static unsigned write_batch(kal_ws_loop *loop, kal_ws *const *some, unsigned count)
{
    kal_send sends[WS_SOCKETS_PER_TURN];
    kal_ws *senders[WS_SOCKETS_PER_TURN];
    unsigned send_count = 0;
    unsigned piece_count = 0;
    unsigned looked_at = 0;

    for (; looked_at < count && piece_count + KAL_WS_PIECES_PER_ENTRY <= WS_PIECES_PER_BATCH;
         looked_at++) {
        kal_ws *ws = some[looked_at];
        unsigned room = WS_PIECES_PER_BATCH - piece_count;
        if (!has_output(ws))
            continue;
        senders[send_count] = ws;
        sends[send_count] =
            gather(ws, &loop->pieces[piece_count], room < PIECES_MAX ? room : PIECES_MAX);
        piece_count += sends[send_count++].piece_count;
    }
    kal_send_batch_run(loop->batch, sends, send_count);
    for (unsigned i = 0; i < send_count; i++)
        take_result(senders[i], &sends[i]);
    return looked_at;
}

/* ---- reading ---- */

static void on_closing_frame(kal_ws *ws, uint16_t code, const char *reason)
{
    ws->peer_closed = true;
    if (ws->phase == WS_OPEN)
        queue_close(ws, code, reason);
    else if (ws->phase == WS_AWAITING)
        linger(ws);
}

static void on_event(kal_ws *ws, kal_ws_event event)
{
    const kal_ws_reader *r = &ws->reader;

    switch (event) {
    case KAL_WS_MESSAGE:
        if (ws->phase == WS_OPEN)
            ws->options.on_message(ws->options.context, ws, r->payload, r->is_text);
        return;
    case KAL_WS_PING:
        if (ws->phase != WS_OPEN)
            return;
        note_wait(ws);
        kal_ws_queue_control(&ws->queue, KAL_WS_OP_PONG, r->payload);
        mark_dirty(ws);
        return;
    case KAL_WS_CLOSE:
        on_closing_frame(ws, r->code, NULL);
        return;
    case KAL_WS_FAILED:
        on_closing_frame(ws, r->code, r->reason);
        return;
    case KAL_WS_PONG:
    case KAL_WS_NEED_MORE:
        return;
    }
}

static void keep_rest(kal_ws *ws, const uint8_t *bytes, size_t len)
{
    kal_buf_append(&ws->rest, bytes, len);
    if (kal_buf_failed(&ws->rest))
        kal_ws_close(ws, KAL_WS_CLOSE_TRY_LATER, "no memory left for messages");
    if (!ws->is_paused)
        want_work(ws);
}

/* A few bytes can hold a megabyte each, compressed: so what comes out of them is counted. */
void kal_ws_feed(kal_ws *ws, uint8_t *bytes, size_t len)
{
    kal_ws_event event = KAL_WS_NEED_MORE;
    size_t given = 0;

    do {
        bool must_wait = (ws->is_paused && ws->phase == WS_OPEN) || given >= FEED_BYTES_MAX;
        if (must_wait && len > 0) {
            keep_rest(ws, bytes, len);
            return;
        }
        event = kal_ws_reader_next(&ws->reader, &bytes, &len);
        given += ws->reader.payload.len + EVENT_BYTES;
        on_event(ws, event);
    } while (event != KAL_WS_NEED_MORE);
}

/* What was left over in an earlier turn, or came before a pause that is over. */
static void take_rest(kal_ws *ws)
{
    kal_buf rest = ws->rest;

    if (rest.len == 0 || (ws->is_paused && ws->phase == WS_OPEN))
        return;
    kal_buf_init(&ws->rest, rest.budget);
    kal_ws_feed(ws, rest.ptr, rest.len);
    kal_buf_release(&rest);
}

static void read_socket(kal_ws *ws)
{
    const kal_ws_loop_options *o = &ws->loop->o;

    for (unsigned i = 0; i < READ_CALLS_MAX; i++) {
        ssize_t len = recv(ws->fd, o->read_buffer, o->read_bytes, MSG_DONTWAIT);
        if (len < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (len <= 0) {
            kal_ws_cut(ws);
            return;
        }
        ws->received_ms = now_ms(ws);
        if (ws->phase != WS_LINGERING)
            kal_ws_feed(ws, o->read_buffer, (size_t)len);
        if ((size_t)len < o->read_bytes || ws->rest.len > 0 ||
            (ws->is_paused && ws->phase == WS_OPEN))
            return;
    }
}

/* ---- events of the loop ---- */

static void on_poll(uv_poll_t *poll, int status, int events);

/* A paused connection is still looked at for its end. */
static void watch(kal_ws *ws)
{
    bool paused = ws->is_paused && ws->phase == WS_OPEN;
    int events = (paused ? UV_DISCONNECT : UV_READABLE) | (ws->is_blocked ? UV_WRITABLE : 0);

    if (ws->phase == WS_DEAD || ws->watching == events)
        return;
    if (uv_poll_start(&ws->poll, events, on_poll) != 0) {
        kal_ws_cut(ws);
        return;
    }
    ws->watching = (uint8_t)events;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    kal_ws *ws = poll->data;

    if (status < 0 || (events & (UV_DISCONNECT | UV_READABLE)) == UV_DISCONNECT) {
        kal_ws_cut(ws);
        return;
    }
    if ((events & UV_WRITABLE) != 0) {
        ws->is_blocked = false;
        write_queue(ws);
    }
    if ((events & UV_READABLE) != 0 && ws->phase != WS_DEAD && ws->rest.len == 0)
        read_socket(ws); /* else kal_ws_work() comes first */
    watch(ws);
}

/* Whoever is called back may queue something or close a connection, so nobody is while a batch is
 * under way. */
void kal_ws_work(kal_ws_loop *loop, kal_ws *const *some, unsigned count)
{
    KAL_ASSERT(count <= WS_SOCKETS_PER_TURN);
    for (unsigned i = 0; i < count; i++)
        take_rest(some[i]);
    for (unsigned done = 0; done < count;)
        done += write_batch(loop, some + done, count - done);
    for (unsigned i = 0; i < count; i++) {
        end_writing(some[i]);
        watch(some[i]);
    }
}

static void expire_open(kal_ws *ws, uint64_t now)
{
    const kal_ws_options *o = &ws->options;
    uint64_t silent_ms = now - ws->received_ms;

    if (ws->is_paused)
        return;
    if (o->timeout_ms > 0 && silent_ms >= o->timeout_ms) {
        kal_ws_close(ws, KAL_WS_CLOSE_POLICY, "nothing was received for too long");
    } else if (o->ping_interval_ms > 0 && silent_ms >= o->ping_interval_ms &&
               now - ws->pinged_ms >= o->ping_interval_ms && ws->queue.bytes == 0) {
        ws->pinged_ms = now;
        note_wait(ws);
        kal_ws_queue_control(&ws->queue, KAL_WS_OP_PING, (kal_bytes){0});
        mark_dirty(ws);
    }
}

void kal_ws_expire(kal_ws *ws, uint64_t now)
{
    bool is_stuck = ws->queue.bytes > 0 && now - ws->progress_ms >= ws->loop->o.write_timeout_ms;

    switch ((ws_phase)ws->phase) {
    case WS_OPEN:
        if (!is_stuck) {
            expire_open(ws, now);
            return;
        }
        atomic_fetch_add_explicit(ws->loop->o.slow_count, 1, memory_order_relaxed);
        kal_ws_cut(ws);
        return;
    case WS_CLOSING:
    case WS_AWAITING:
    case WS_LINGERING:
        if (now >= ws->deadline_ms)
            kal_ws_cut(ws);
        return;
    case WS_DEAD:
        return;
    }
}

kal_ws *kal_ws_open(kal_ws_loop *loop, int fd, const kal_ws_handshake *handshake,
                    const kal_ws_options *options, const char *peer, kal_error *err)
{
    kal_ws *ws = calloc(1, sizeof *ws); /* owned by itself until on_closed */
    kal_buf reply;

    if (ws == NULL)
        kal_die("out of memory: WebSocket");
    int code = uv_poll_init(loop->o.uv, &ws->poll, fd);
    if (code != 0) {
        close(fd);
        free(ws);
        kal_error_set(err, KAL_IO, "cannot watch a socket: %s", uv_strerror(code));
        return NULL;
    }
    ws->loop = loop;
    ws->fd = fd;
    ws->poll.data = ws;
    ws->options = *options;
    ws->deflate = handshake->deflate;
    ws->window_bits = (uint8_t)handshake->server_window_bits;
    ws->close_code = KAL_WS_CLOSE_ABNORMAL;
    ws->received_ms = now_ms(ws);
    ws->pinged_ms = ws->received_ms;
    snprintf(ws->peer, sizeof ws->peer, "%s", peer);
    kal_list_init(&ws->dirty);
    kal_list_push_back(&loop->open, &ws->link);
    loop->open_count++;
    kal_gauge_add(loop->o.websockets);
    kal_ws_queue_init(&ws->queue, options->budget);
    kal_ws_reader_init(&ws->reader, options->message_bytes_max, ws->deflate, options->budget);
    kal_buf_init(&ws->rest, options->budget);
    kal_buf_init(&reply, NULL);
    kal_ws_handshake_reply(handshake, &reply);
    note_wait(ws);
    kal_ws_queue_raw(&ws->queue, kal_buf_bytes(&reply));
    kal_buf_release(&reply);
    mark_dirty(ws);
    return ws;
}

/* ---- what the application calls ---- */

void kal_ws_refuse(const kal_error *err, kal_http_reply *reply)
{
    reply->status = kal_status_http(err->status);
    if (err->status != KAL_UNSUPPORTED)
        return;
    reply->status = 426;
    reply->fields = kal_ws_refusal_fields;
    reply->field_count = KAL_WS_REFUSAL_FIELDS;
}

/* False when nothing more may be queued; the connection is then closing. */
static bool may_queue(kal_ws *ws)
{
    if (ws->phase != WS_OPEN)
        return false;
    if (ws->was_full && ws->queue.bytes >= ws->full_bytes + ws->options.queue_bytes_max) {
        kal_ws_close(ws, KAL_WS_CLOSE_TRY_LATER, "messages are not read fast enough");
        return false;
    }
    note_wait(ws);
    return true;
}

static bool after_queuing(kal_ws *ws, bool is_queued)
{
    if (!is_queued) {
        kal_ws_close(ws, KAL_WS_CLOSE_TRY_LATER, "no memory left for messages");
        return false;
    }
    mark_dirty(ws);
    if (ws->queue.bytes <= ws->options.queue_bytes_max)
        return true;
    if (!ws->was_full)
        ws->full_bytes = ws->queue.bytes;
    ws->was_full = true;
    return false;
}

bool kal_ws_send(kal_ws *ws, const kal_message_head *head, kal_message_body *body)
{
    kal_wire wire = (kal_wire)ws->wire;
    kal_packing packing = ws->gzip      ? KAL_PACK_GZIP
                          : ws->deflate ? KAL_PACK_DEFLATE
                                        : KAL_PACK_PLAIN;
    kal_message message;

    if (!may_queue(ws))
        return false;
    kal_status status =
        kal_message_make(head, body, wire, packing, (size_t)1 << ws->window_bits, &message, NULL);
    if (status == KAL_INVALID) {
        kal_ws_close(ws, KAL_WS_CLOSE_INTERNAL, "a message could not be encoded");
        return false;
    }
    if (status != KAL_OK)
        return after_queuing(ws, false);
    bool is_text = wire == KAL_WIRE_JSON && message.packing != KAL_PACK_GZIP;
    unsigned first = KAL_WS_FIN | (unsigned)(is_text ? KAL_WS_TEXT : KAL_WS_BINARY) |
                     (message.packing == KAL_PACK_DEFLATE ? KAL_WS_RSV1 : 0u);
    return after_queuing(ws, kal_ws_queue_message(&ws->queue, (uint8_t)first, &message, body));
}

/* Compressed, without its end, into out; false when that is no gain or not allowed. */
static bool deflate_payload(kal_ws *ws, kal_bytes payload, kal_buf *out)
{
    if (!ws->deflate || payload.len < KAL_MESSAGE_PACK_BYTES_MIN ||
        (ws->window_bits < 15 && payload.len > (size_t)1 << ws->window_bits) ||
        kal_deflate(payload, out, NULL) != KAL_OK)
        return false;
    kal_buf_truncate(out, out->len - KAL_DEFLATE_END.len);
    return out->len < payload.len;
}

bool kal_ws_send_bytes(kal_ws *ws, kal_bytes payload, bool is_text)
{
    unsigned first = KAL_WS_FIN | (unsigned)(is_text ? KAL_WS_TEXT : KAL_WS_BINARY);
    kal_buf packed;

    if (!may_queue(ws))
        return false;
    kal_buf_init(&packed, ws->options.budget);
    if (deflate_payload(ws, payload, &packed)) {
        first |= KAL_WS_RSV1;
        payload = kal_buf_bytes(&packed);
    }
    bool is_queued = kal_ws_queue_bytes(&ws->queue, (uint8_t)first, payload);
    kal_buf_release(&packed);
    return after_queuing(ws, is_queued);
}

void kal_ws_set_format(kal_ws *ws, kal_wire wire, bool gzip)
{
    ws->wire = (uint8_t)wire;
    ws->gzip = gzip;
}

void kal_ws_close(kal_ws *ws, uint16_t code, const char *reason)
{
    if (ws->phase == WS_OPEN)
        queue_close(ws, code, reason);
}

void kal_ws_pause(kal_ws *ws, bool is_paused)
{
    if (ws->is_paused == is_paused)
        return;
    ws->is_paused = is_paused;
    ws->received_ms = now_ms(ws);
    want_work(ws); /* which takes what waits, and watches anew */
}

bool kal_ws_is_open(const kal_ws *ws)
{
    return ws->phase == WS_OPEN;
}

size_t kal_ws_queued_bytes(const kal_ws *ws)
{
    return ws->queue.bytes;
}

unsigned kal_ws_loop_index(const kal_ws *ws)
{
    return ws->loop->o.index;
}

const char *kal_ws_peer(const kal_ws *ws)
{
    return ws->peer;
}

uint64_t kal_ws_last_received_ms(const kal_ws *ws)
{
    return ws->received_ms;
}

uint64_t kal_ws_now_ms(const kal_ws *ws)
{
    return now_ms(ws);
}

bool kal_ws_deflates(const kal_ws *ws)
{
    return ws->deflate;
}

uint16_t kal_ws_close_code(const kal_ws *ws)
{
    return ws->close_code;
}

void *kal_ws_context(const kal_ws *ws)
{
    return ws->options.context;
}
