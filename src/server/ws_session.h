/*
 * ws_session.h: what is said on a WebSocket: authenticate, subscribe, next_batch, unsubscribe,
 * ping.
 *
 * A connection is nobody's until it has authenticated, by a header of the upgrade or by its first
 * message, for which it has auth_timeout_ms. It ends when its token does, unless it authenticates
 * again. Everything else is live/live.h.
 *
 * Source: docs/websocket.md; reference kalamdb-original.md section 7.
 */
#ifndef KAL_SERVER_WS_SESSION_H
#define KAL_SERVER_WS_SESSION_H

#include "exec/exec.h"
#include "server/ws.h"

typedef struct kal_ws_sessions kal_ws_sessions; /* opaque: kal_ws_sessions_close */

typedef struct kal_ws_sessions_options {
    unsigned auth_timeout_ms;     /* 0 = 3,000 */
    unsigned messages_per_second; /* of one connection; 0 = 50 */
    size_t message_bytes_max;     /* 0 = 1 MiB */
    size_t queue_bytes_max;       /* waiting for one connection; 0 = 1 MiB */
    unsigned ping_interval_ms;    /* 0 = 20,000 */
    unsigned timeout_ms;          /* of silence; 0 = 60,000 */
} kal_ws_sessions_options;

/* exec is borrowed. */
kal_ws_sessions *kal_ws_sessions_open(kal_exec *exec, const kal_ws_sessions_options *options);
/* Every connection is closed. NULL is allowed. */
void kal_ws_sessions_close(kal_ws_sessions *sessions);
/* GET /v1/ws. */
void kal_ws_sessions_handle(kal_ws_sessions *sessions, kal_exchange *exchange);
/* A few times a second, on each loop's thread: deadlines. */
void kal_ws_sessions_tick(kal_ws_sessions *sessions, unsigned loop);

#endif
