/*
 * routes.h: which path answers what: health, set-up and login, SQL, WebSockets.
 *
 * Logins cost 25 ms of CPU each, so they run one after another on a thread of their own, with a
 * bounded queue; tokens are verified on the event loop.
 * Source: docs/http-api.md
 */
#ifndef KAL_SERVER_ROUTES_H
#define KAL_SERVER_ROUTES_H

#include "exec/exec.h"
#include "server/http_server.h"
#include "server/ws_session.h"

typedef struct kal_routes kal_routes; /* opaque: kal_routes_close */

KAL_MUST_CHECK kal_status kal_routes_open(kal_exec *exec, const kal_ws_sessions_options *websockets,
                                          kal_routes **routes_out, kal_error *err);
void kal_routes_close(kal_routes *routes); /* NULL is allowed */
/* A kal_http_handler; context is the kal_routes. */
void kal_routes_handle(void *context, kal_exchange *exchange);
/* What the loops of the server call between requests (http_server.h): live queries. */
bool kal_routes_turn(void *context, unsigned loop);
void kal_routes_tick(void *context, unsigned loop);

#endif
