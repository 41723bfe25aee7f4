/*
 * http.h: one HTTP request at a time over libcurl, on a connection that is kept open.
 *
 * Redirects are not followed (a token would travel with them) and only http and https are spoken.
 * Threads: one at a time.
 */
#ifndef KAL_CLIENT_HTTP_H
#define KAL_CLIENT_HTTP_H

#include "base/buf.h"
#include "base/error.h"

#include <signal.h>

typedef struct kal_http kal_http; /* opaque: kal_http_close */

typedef struct kal_http_options {
    const char *url;                     /* scheme, host, port; borrowed for the call */
    uint64_t connect_timeout_ms;         /* 0 = 5,000 */
    uint64_t timeout_ms;                 /* of a whole request; 0 = none */
    size_t reply_limit_bytes;            /* 0 = 256 MiB */
    const volatile sig_atomic_t *cancel; /* borrowed; may be NULL; not 0: stop */
} kal_http_options;

/* KAL_INVALID when the URL is none. Does not connect yet. */
KAL_MUST_CHECK kal_status kal_http_open(const kal_http_options *options, kal_http **http_out,
                                        kal_error *err);
void kal_http_close(kal_http *http); /* NULL is allowed */

/* The URL without a slash at its end; borrowed. */
const char *kal_http_url(const kal_http *http);

/*
 * GET when body is NULL, else POST of JSON.
 *
 *   token       bearer token, or NULL
 *   reply_out   appended to; KAL_LIMIT when it exceeds the limit
 *   code_out    HTTP status of the reply
 *
 * KAL_IO: no connection, or it broke; KAL_TIMEOUT; KAL_CANCELLED by options.cancel.
 */
KAL_MUST_CHECK kal_status kal_http_send(kal_http *http, const char *path, const char *token,
                                        const kal_bytes *body, kal_buf *reply_out, int *code_out,
                                        kal_error *err);

#endif
