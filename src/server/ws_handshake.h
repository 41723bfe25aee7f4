/*
 * ws_handshake.h: the HTTP request that becomes a WebSocket, and its answer.
 *
 * permessage-deflate is taken in the first offer whose parameters are right, always without context
 * takeover on either side: so no connection keeps a window, and what is compressed can be shared. A
 * smaller window for what we send is agreed to; messages that need a larger one go as they are.
 * Sub-protocols are ignored.
 *
 * Source: RFC 6455 section 4, RFC 7692 section 7.1
 */
#ifndef KAL_SERVER_WS_HANDSHAKE_H
#define KAL_SERVER_WS_HANDSHAKE_H

#include "base/error.h"
#include "server/http_codec.h"

#define KAL_WS_ACCEPT_LEN 28

typedef struct kal_ws_handshake {
    char accept[KAL_WS_ACCEPT_LEN + 1];
    bool deflate;                /* permessage-deflate was agreed on */
    unsigned server_window_bits; /* 8 to 15: how far back the client can look */
    bool names_server_window;    /* it asked for that */
} kal_ws_handshake;

/* KAL_UNSUPPORTED: no WebSocket, or of another version: to be answered with 426. KAL_INVALID: the
 * request is not a right one. */
KAL_MUST_CHECK kal_status kal_ws_handshake_check(const kal_http_request *request,
                                                 bool allow_deflate, kal_ws_handshake *out,
                                                 kal_error *err);
/* Appends the answer "101 Switching Protocols". */
void kal_ws_handshake_reply(const kal_ws_handshake *handshake, kal_buf *out);

/* The two headers of an answer 426. */
#define KAL_WS_REFUSAL_FIELDS 2
extern const kal_http_field kal_ws_refusal_fields[KAL_WS_REFUSAL_FIELDS];

/* base64(SHA-1(key and the GUID of RFC 6455)) and a NUL. */
void kal_ws_accept_of(kal_bytes key, char out[KAL_WS_ACCEPT_LEN + 1]);

#endif
