/*
 * routes.h: which path answers what: health, set-up and login, SQL.
 *
 * Logins cost 25 ms of CPU each, so they run one after another on a thread of their own, with a
 * bounded queue; tokens are verified on the event loop.
 * Source: docs/http-api.md
 */
#ifndef KAL_SERVER_ROUTES_H
#define KAL_SERVER_ROUTES_H

#include "exec/exec.h"
#include "server/http_server.h"

typedef struct kal_routes kal_routes; /* opaque: kal_routes_close */

KAL_MUST_CHECK kal_status kal_routes_open(kal_exec *exec, kal_routes **routes_out, kal_error *err);
void kal_routes_close(kal_routes *routes); /* NULL is allowed */
/* A kal_http_handler; context is the kal_routes. */
void kal_routes_handle(void *context, kal_exchange *exchange);

#endif
