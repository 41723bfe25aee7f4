/*
 * ws.h: WebSockets on the event loops of http_server.h: a request becomes one, messages come and
 * go.
 *
 * A handler that got a request calls kal_exchange_upgrade() instead of kal_exchange_respond(). What
 * HTTP needed is freed, the socket stays on the same loop.
 *
 *   WS_OPEN -> close is queued -> close was written -> both sides have closed -> gone (on_close)
 *
 * Sending only queues: the loop writes after its callbacks, a bounded number of sockets a turn, all
 * that waits for a socket at once. Whoever sends faster than a client reads is told so by
 * kal_ws_send() and called when there is room again; a client that reads nothing at all for the
 * server's write_timeout_ms is cut.
 *
 * Threads: all of it on the thread of the WebSocket's loop. Who has something for WebSockets of
 * another loop keeps it and wakes that loop (kal_http_server_wake_loop), which then calls on_turn.
 */
#ifndef KAL_SERVER_WS_H
#define KAL_SERVER_WS_H

#include "base/message.h"
#include "server/http_server.h"
#include "server/ws_codec.h"

typedef struct kal_ws kal_ws; /* opaque; gone after on_close */

typedef struct kal_ws_options {
    size_t message_bytes_max;  /* of what clients send, decompressed too */
    size_t queue_bytes_max;    /* high mark of what waits to be written */
    size_t queue_bytes_low;    /* low mark */
    unsigned ping_interval_ms; /* nothing was received for so long: a ping; 0 = none */
    unsigned timeout_ms;       /* nothing was received for so long: closed with 1008; 0 = never */
    unsigned close_timeout_ms; /* for what is queued and the client's answer */
    bool deflate;              /* permessage-deflate is agreed to */
    kal_budget *budget; /* borrowed: what comes in and what is queued, but for shared bodies */
    /* The payload is valid during the call; text is UTF-8. Not called after kal_ws_close(). */
    void (*on_message)(void *context, kal_ws *ws, kal_bytes payload, bool is_text);
    /* What is queued fell to the low mark after kal_ws_send() had said false. NULL is allowed. */
    void (*on_writable)(void *context, kal_ws *ws);
    /* The last call, exactly once, and never from within another function of this header. */
    void (*on_close)(void *context, kal_ws *ws);
    void *context; /* borrowed, until on_close; may be this connection's alone */
} kal_ws_options;

#define KAL_WS_OPTIONS_DEFAULT                                                                     \
    ((kal_ws_options){.message_bytes_max = 1024 * 1024,                                            \
                      .queue_bytes_max = 1024 * 1024,                                              \
                      .queue_bytes_low = 256 * 1024,                                               \
                      .ping_interval_ms = 20000,                                                   \
                      .timeout_ms = 60000,                                                         \
                      .close_timeout_ms = 5000,                                                    \
                      .deflate = true})

/* From within the handler, instead of kal_exchange_respond(); the exchange is then over, its first
 * message comes after the handler has returned. NULL: nothing has happened and the handler responds
 * with the error. KAL_UNSUPPORTED: no WebSocket or another version (kal_ws_refuse() answers with
 * 426); KAL_INVALID: a handshake that is wrong; KAL_BUSY: the server is stopping; KAL_IO. */
KAL_MUST_CHECK kal_ws *kal_exchange_upgrade(kal_exchange *exchange, const kal_ws_options *options,
                                            kal_error *err);
/* Status and headers of the reply to a refused upgrade; the body is the caller's. */
void kal_ws_refuse(const kal_error *err, kal_http_reply *reply);

/* Queues a message for the client in its format; head and body may be NULL, the body is retained.
 *
 * True: it is queued and there is room for more. False, and
 *   - it is queued, but more than queue_bytes_max waits: on_writable will be called; or
 *   - it is lost, because twice queue_bytes_max waits already, a budget refuses or the message is
 * no JSON. The connection is then closed, behind what was queued, with 1013 (1011: no JSON):
 * nothing is ever left out in the middle; or
 *   - it is lost because the connection is closing: kal_ws_is_open() is false and on_close follows.
 */
bool kal_ws_send(kal_ws *ws, const kal_message_head *head, kal_message_body *body);
/* The same with bytes as they are, in a text or binary frame; never gzip. Text must be UTF-8. */
bool kal_ws_send_bytes(kal_ws *ws, kal_bytes payload, bool is_text);

/* The format of what is sent from now on. gzip: messages of KAL_MESSAGE_PACK_BYTES_MIN and more
 * that get shorter by it go as binary frames that hold a gzip file, and permessage-deflate is not
 * used. MessagePack goes in binary frames, JSON in text frames. At first: JSON, no gzip. */
void kal_ws_set_format(kal_ws *ws, kal_wire wire, bool gzip);

/* Sends what is queued, then a close frame; the socket is closed when the client has answered or
 * after close_timeout_ms. Nothing can be sent afterwards. The first call counts. */
void kal_ws_close(kal_ws *ws, uint16_t code, const char *reason);

/* While it is paused nothing is read: the client's messages wait in the network, time-outs for
 * silence do not run. What was read already waits, too. A client that hangs up meanwhile is gone
 * with what it had sent. */
void kal_ws_pause(kal_ws *ws, bool is_paused);

bool kal_ws_is_open(const kal_ws *ws); /* neither side has begun to close */
size_t kal_ws_queued_bytes(const kal_ws *ws);
unsigned kal_ws_loop_index(const kal_ws *ws);
const char *kal_ws_peer(const kal_ws *ws);          /* "127.0.0.1" */
uint64_t kal_ws_last_received_ms(const kal_ws *ws); /* of the loop's clock */
uint64_t kal_ws_now_ms(const kal_ws *ws);           /* the loop's clock */
bool kal_ws_deflates(const kal_ws *ws);             /* permessage-deflate was agreed on */
/* Why it was closed: the client's code if it closed first, else ours; KAL_WS_CLOSE_ABNORMAL when
 * there was no close frame. */
uint16_t kal_ws_close_code(const kal_ws *ws);
void *kal_ws_context(const kal_ws *ws); /* of its options */

#endif
