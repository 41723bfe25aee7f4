/*
 * ws_internal.h: what ws.c, ws_loop.c and http_server.c share: a loop's part in its WebSockets.
 *
 * A turn of the loop: libuv's callbacks queue messages and mark connections dirty; after them
 * on_turn is called if it is due, and dirty connections are written together, at most so many
 * sockets and bytes. While any are left the loop does not wait for events, it only looks whether
 * there are some.
 */
#ifndef KAL_SERVER_WS_INTERNAL_H
#define KAL_SERVER_WS_INTERNAL_H

#include "base/list.h"
#include "base/metrics.h"
#include "server/send_batch.h"
#include "server/ws.h"
#include "server/ws_handshake.h"
#include "server/ws_queue.h"

#include <netinet/in.h>
#include <uv.h>

enum { WS_SOCKETS_PER_TURN = 256, WS_PIECES_PER_BATCH = 2048 };

typedef struct kal_ws_loop_options {
    uv_loop_t *uv;        /* borrowed, as all here */
    uint8_t *read_buffer; /* for the time of a callback */
    size_t read_bytes;
    kal_gauge *connections; /* WebSockets are among them */
    kal_gauge *websockets;
    _Atomic uint64_t *slow_count; /* clients that were cut because they did not read */
    unsigned write_timeout_ms;
    unsigned index;
    bool may_ring;                                 /* messages may be sent through io_uring */
    bool (*on_turn)(void *context, unsigned loop); /* or NULL */
    void *context;
} kal_ws_loop_options;

typedef struct kal_ws_loop {
    kal_ws_loop_options o;
    kal_list open; /* all of them, closing ones too */
    size_t open_count;
    kal_list dirty; /* have something to write, and the socket may take it */
    uv_check_t check;
    uv_idle_t idle;  /* active while there is more to do: the loop must not wait */
    bool wants_turn; /* on_turn has more to do */
    kal_send_batch *batch;
    struct iovec pieces[WS_PIECES_PER_BATCH];
} kal_ws_loop;

KAL_MUST_CHECK kal_status kal_ws_loop_open(kal_ws_loop *loop, const kal_ws_loop_options *options,
                                           kal_error *err);
void kal_ws_loop_close_handles(kal_ws_loop *loop);
void kal_ws_loop_release(kal_ws_loop *loop); /* the handles are closed, or were never opened */
/* A turn with on_turn, now instead of after libuv's callbacks. From a callback of the loop. */
void kal_ws_loop_wake(kal_ws_loop *loop);
/* Pings and time-outs. */
void kal_ws_loop_tick(kal_ws_loop *loop);
/* Begins to close all of them; with force their sockets are closed at once. */
void kal_ws_loop_drain(kal_ws_loop *loop, bool force);
void kal_ws_loop_update(kal_ws_loop *loop); /* waits, or does not */

typedef enum ws_phase {
    WS_OPEN,
    WS_CLOSING,   /* our close frame is queued */
    WS_AWAITING,  /* it was written: the client's is awaited */
    WS_LINGERING, /* both have said all: what still comes is thrown away until the client hangs up
                   */
    WS_DEAD,      /* the socket is closed, on_close is due */
} ws_phase;

struct kal_ws {
    kal_list link;  /* loop->open */
    kal_list dirty; /* loop->dirty */
    kal_ws_loop *loop;
    int fd;
    uint8_t phase;   /* ws_phase */
    bool is_blocked; /* the socket takes no more: writability is waited for */
    bool was_full;   /* on_writable is owed */
    bool is_paused;
    bool peer_closed; /* nothing more is expected: it closed, or broke the protocol */
    bool deflate;
    bool gzip;
    uint8_t wire;     /* kal_wire */
    uint8_t watching; /* events of poll */
    uint8_t window_bits;
    uint16_t close_code;
    uint64_t received_ms;
    uint64_t pinged_ms;
    uint64_t progress_ms; /* last time that bytes were written, or began to wait */
    uint64_t deadline_ms; /* of closing */
    kal_ws_queue queue;
    size_t full_bytes; /* that were queued when it became full */
    kal_ws_options options;
    kal_ws_reader reader;
    kal_buf rest; /* input that waits: for the next turn, or the end of a pause */
    uv_poll_t poll;
    char peer[INET6_ADDRSTRLEN];
};

/* Takes over the descriptor, also on failure. The answer to the handshake is the first thing that
 * it writes. */
KAL_MUST_CHECK kal_ws *kal_ws_open(kal_ws_loop *loop, int fd, const kal_ws_handshake *handshake,
                                   const kal_ws_options *options, const char *peer, kal_error *err);
/* Bytes that came; they are written to. */
void kal_ws_feed(kal_ws *ws, uint8_t *bytes, size_t len);
/* Of the dirty list: takes the input that a pause kept, then writes; at most WS_SOCKETS_PER_TURN.
 */
void kal_ws_work(kal_ws_loop *loop, kal_ws *const *some, unsigned count);
void kal_ws_expire(kal_ws *ws, uint64_t now_ms);
void kal_ws_cut(kal_ws *ws); /* closes the socket */

#endif
