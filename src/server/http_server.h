/*
 * http_server.h: HTTP/1.1 over libuv: connections in, requests to a handler, replies out.
 *
 * Some event loops share one listening socket. A connection has one request in flight: the handler
 * gets it on the loop's thread and answers with kal_exchange_respond(), at once or later and from
 * any thread; meanwhile the connection is not read, so pipelined requests wait in order.
 *
 *     accept -> read -> kal_http_reader -> handler -> kal_exchange_respond -> one writev -> read
 *
 * A reply whose body is a file is written piece by piece: libuv's threads read the file, the loop
 * never waits for a disk, and one piece is in memory.
 *
 * While a request is in flight its client is looked after: when it has left, the handler is told
 * (kal_exchange_on_cancel), since nobody waits for the answer.
 *
 * Time-outs: a head or body that does not come, an idle connection, a reply that is not read. Stop
 * drains: no new connections, idle ones are closed, what is in flight is answered with
 * "Connection: close".
 *
 * A request may become a WebSocket instead of being answered: ws.h. Those count as connections, are
 * told to go when the server stops, and have time-outs of their own.
 *
 * Knows nothing of SQL: the handler is routes.c, in tests and benchmarks another one.
 * Threads: open, run, close on one; stop and respond on any.
 */
#ifndef KAL_SERVER_HTTP_SERVER_H
#define KAL_SERVER_HTTP_SERVER_H

#include "base/arena.h"
#include "base/error.h"
#include "base/metrics.h"
#include "server/http_codec.h"

typedef struct kal_http_server kal_http_server; /* opaque: kal_http_server_close */
typedef struct kal_exchange kal_exchange;       /* one request and its reply */

typedef void (*kal_http_handler)(void *context, kal_exchange *exchange);

typedef struct kal_http_server_options {
    const char *host; /* an address, not a name */
    uint16_t port;    /* 0 = any free one */
    unsigned loops;   /* 0 = number of cores */
    kal_http_limits limits;
    unsigned connections_max;
    unsigned head_timeout_ms;  /* from the first byte of a request to the end of its head */
    unsigned body_timeout_ms;  /* without a byte of the body, or behind 1 KiB/s by so much */
    unsigned idle_timeout_ms;  /* between requests */
    unsigned write_timeout_ms; /* for a reply to be taken */
    unsigned drain_timeout_ms; /* after stop; then what is in flight is cancelled */
    kal_http_handler handler;
    /* On the thread of each loop; NULL is allowed. on_turn: once after kal_http_server_wake_loop(),
     * and again in the next turn, when other connections had theirs, for as long as it says true.
     * on_tick: about four times a second. */
    bool (*on_turn)(void *context, unsigned loop);
    void (*on_tick)(void *context, unsigned loop);
    void *context;             /* of handler, on_turn and on_tick */
    bool may_ring;             /* messages to WebSockets may be sent through io_uring */
    size_t exchange_bytes_max; /* memory of one connection: input and exchange arena */
    kal_budget *budget;        /* of all connections; NULL = unlimited */
} kal_http_server_options;

#define KAL_HTTP_SERVER_OPTIONS_DEFAULT                                                            \
    ((kal_http_server_options){.host = "127.0.0.1",                                                \
                               .port = 8080,                                                       \
                               .limits = KAL_HTTP_LIMITS_DEFAULT,                                  \
                               .connections_max = 10000,                                           \
                               .may_ring = true,                                                   \
                               .exchange_bytes_max = 256u * 1024 * 1024,                           \
                               .head_timeout_ms = 10000,                                           \
                               .body_timeout_ms = 30000,                                           \
                               .idle_timeout_ms = 75000,                                           \
                               .write_timeout_ms = 30000,                                          \
                               .drain_timeout_ms = 10000})

/* Binds and listens; answers nothing yet. KAL_INVALID: host is no address; KAL_BUSY: the address is
 * in use; KAL_IO. */
KAL_MUST_CHECK kal_status kal_http_server_open(const kal_http_server_options *options,
                                               kal_http_server **server_out, kal_error *err);
uint16_t kal_http_server_port(const kal_http_server *server);
unsigned kal_http_server_connections_max(const kal_http_server *server);
unsigned kal_http_server_loops(const kal_http_server *server);
/* How many a server opens for this number in its options. */
unsigned kal_http_loop_count(unsigned loops);
/* on_turn is called soon on the thread of this loop; several calls may become one. Any thread,
 * until kal_http_server_close(); a loop that has stopped does nothing. */
void kal_http_server_wake_loop(kal_http_server *server, unsigned loop);
/* WebSockets that were cut because their client did not read. */
uint64_t kal_http_server_slow_clients(const kal_http_server *server);
/* Connections that are open, WebSockets too, and the most that were at a time. */
const kal_gauge *kal_http_server_connections(const kal_http_server *server);
const kal_gauge *kal_http_server_websockets(const kal_http_server *server);
/* Serves until stop and drain are over; the calling thread is the first loop. */
KAL_MUST_CHECK kal_status kal_http_server_run(kal_http_server *server, kal_error *err);
/* Also from a signal handler. */
void kal_http_server_stop(kal_http_server *server);
void kal_http_server_close(kal_http_server *server); /* after run; NULL is allowed */

/* Valid until respond. */
const kal_http_request *kal_exchange_request(const kal_exchange *exchange);
const char *kal_exchange_peer(const kal_exchange *exchange); /* "127.0.0.1" */
/* Memory of this exchange: gone after respond. */
kal_arena *kal_exchange_arena(kal_exchange *exchange);
/* From the handler: cancel is called at most once, on the loop's thread and before the reply is
 * written, when nobody waits for it any more: the client has closed the connection or its sending
 * side, or draining took too long. The reply is owed all the same. */
void kal_exchange_on_cancel(kal_exchange *exchange, void (*cancel)(void *context), void *context);

typedef struct kal_http_reply {
    int status;
    const char *content_type; /* static; NULL: application/json */
    kal_buf body;             /* moved into the exchange */
    bool is_file; /* instead: the next file_bytes bytes of fd, which is the exchange's */
    int fd;
    uint64_t file_bytes;
    const kal_http_field *fields;
    size_t field_count; /* copied by respond */
    /* Called with release_context on the loop's thread once the body is not needed any more,
     * instead of kal_buf_release(); NULL: the body is released. */
    void (*release)(void *release_context);
    void *release_context;
} kal_http_reply;

/* Once per request. */
void kal_exchange_respond(kal_exchange *exchange, const kal_http_reply *reply);

#endif
