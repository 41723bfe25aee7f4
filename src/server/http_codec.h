/*
 * http_codec.h: HTTP/1.1 messages as bytes: a strict incremental request reader, a response head.
 *
 * The reader owns the bytes of one connection's input. It is fed pieces of any size and answers
 * with events; where the pieces are cut never changes the outcome. One request at a time: after
 * KAL_HTTP_REQUEST the bytes behind it (pipelining) rest until kal_http_reader_finish().
 *
 *   feed -> next -> NEED_MORE | CONTINUE (write "100 Continue") | REQUEST | REFUSED
 *                   ^-------------------- finish --------------------|        |
 *                   '-------------------- finish, if refusal.resumable ------'
 *
 * Strict means: what two parsers could read in two ways is refused. Lines end in CRLF; no blank
 * before a colon, no folded header, exactly one Host in HTTP/1.1, one Content-Length of digits or
 * one "Transfer-Encoding: chunked", never both; no control characters. Everything is bounded by
 * kal_http_limits. A body that is too long is still read past (up to discard_bytes) without being
 * kept, so that the client gets its answer on a connection that stays usable.
 *
 * Invariants:
 *   1. state depends only on the bytes fed since the last finish, not on how they were cut
 *   2. the input buffer never holds more than head_bytes + body_bytes + one piece
 *   3. a request's texts lie in the input buffer and stay in place until finish: the reader must
 *      not be fed while a request is in flight
 *
 * Threads: one at a time.
 * Source:  RFC 9110, RFC 9112
 */
#ifndef KAL_SERVER_HTTP_CODEC_H
#define KAL_SERVER_HTTP_CODEC_H

#include "base/buf.h"
#include "base/bytes.h"

#define KAL_HTTP_METHOD_LIST(X)                                                                    \
    X(GET)                                                                                         \
    X(HEAD)                                                                                        \
    X(POST)                                                                                        \
    X(PUT)                                                                                         \
    X(PATCH)                                                                                       \
    X(DELETE)                                                                                      \
    X(OPTIONS)

typedef enum kal_http_method {
#define KAL_HTTP_METHOD_ENUM(name) KAL_HTTP_##name,
    KAL_HTTP_METHOD_LIST(KAL_HTTP_METHOD_ENUM)
#undef KAL_HTTP_METHOD_ENUM
        KAL_HTTP_METHOD_COUNT,
} kal_http_method;

const char *kal_http_method_name(kal_http_method method); /* "GET", static */

typedef struct kal_http_limits {
    size_t head_bytes;    /* request line and headers; at most 1 MiB */
    size_t target_bytes;  /* the request target */
    size_t header_count;  /* headers, and trailers likewise */
    size_t body_bytes;    /* a decoded body; at most 1 GiB */
    size_t discard_bytes; /* a longer body is read past up to here; beyond, we hang up */
} kal_http_limits;

#define KAL_HTTP_LIMITS_DEFAULT                                                                    \
    ((kal_http_limits){.head_bytes = 16u * 1024,                                                   \
                       .target_bytes = 8u * 1024,                                                  \
                       .header_count = 100,                                                        \
                       .body_bytes = 2u * 1024 * 1024,                                             \
                       .discard_bytes = 16u * 1024 * 1024})

/* One header as offsets into kal_http_request.bytes. */
typedef struct kal_http_header {
    uint32_t name_at;
    uint32_t name_len;
    uint32_t value_at; /* without blanks around it */
    uint32_t value_len;
} kal_http_header;

typedef struct kal_http_request {
    kal_http_method method;
    unsigned minor;   /* HTTP/1.minor: 0 or 1 */
    kal_bytes target; /* as sent; this and what follows is valid until finish */
    kal_bytes path;   /* of the target, not decoded, begins with '/' ("*" for OPTIONS *) */
    kal_bytes query;  /* behind '?', not decoded, may be empty */
    kal_bytes body;   /* decoded */
    bool keep_alive;  /* the client wants to go on after this request */
    const uint8_t *bytes;
    const kal_http_header *headers; /* borrowed from the reader */
    size_t header_count;
} kal_http_request;

kal_bytes kal_http_header_name(const kal_http_request *request, size_t index);
kal_bytes kal_http_header_value(const kal_http_request *request, size_t index);
/* The value of the first header of that name (any case); false when there is none. */
bool kal_http_header_find(const kal_http_request *request, const char *name, kal_bytes *value_out);
/* How many headers have that name. */
size_t kal_http_header_times(const kal_http_request *request, const char *name);

typedef enum kal_http_event {
    KAL_HTTP_NEED_MORE,
    KAL_HTTP_CONTINUE, /* the client waits for "100 Continue"; call next again */
    KAL_HTTP_REQUEST,  /* reader->request is complete */
    KAL_HTTP_REFUSED,  /* reader->refusal says why */
} kal_http_event;

typedef struct kal_http_refusal {
    int status;          /* 400, 405, 413, 414, 417, 431, 501, 503, 505 */
    const char *message; /* static text */
    bool has_target;     /* the request line was understood: request.method and path are valid */
    bool resumable;      /* the whole message was read: the connection may go on after finish */
} kal_http_refusal;

typedef enum kal_http_reader_state {
    KAL_HTTP_AT_START, /* nothing of a message has come, except perhaps one empty line */
    KAL_HTTP_IN_REQUEST_LINE,
    KAL_HTTP_IN_HEADERS,
    KAL_HTTP_IN_FIXED_BODY,
    KAL_HTTP_IN_CHUNK_SIZE,
    KAL_HTTP_IN_CHUNK_DATA,
    KAL_HTTP_IN_CHUNK_END,
    KAL_HTTP_IN_TRAILERS,
    KAL_HTTP_COMPLETE,
    KAL_HTTP_FAILED,
} kal_http_reader_state;

typedef struct kal_http_reader {
    const kal_http_limits *limits; /* borrowed */
    kal_buf in;                    /* [consumed | head | body | bytes not looked at] */
    kal_http_reader_state state;
    kal_http_request request; /* its pointers are set when the event is given out */
    kal_http_refusal refusal;

    size_t start;     /* where this message begins in `in` */
    size_t at;        /* first byte that was not parsed */
    size_t scan;      /* no LF between `at` and here */
    size_t target_at; /* offsets of the parts of the request line */
    size_t target_len;
    size_t path_at;
    size_t path_len;
    size_t body_at;
    size_t body_len;     /* decoded and kept so far */
    uint64_t body_left;  /* of the fixed body, or of the chunk */
    uint64_t body_total; /* announced (fixed) or decoded (chunked), also what is not kept */
    size_t extra_bytes;  /* chunk extensions and trailers, bounded by head_bytes */
    size_t trailer_count;

    kal_http_header *headers; /* owned, free() */
    size_t header_count;
    size_t header_cap;

    bool skipped_empty_line;
    bool has_length;
    bool chunked;
    bool has_host;
    bool wants_close;
    bool wants_keep_alive;
    bool expects_continue;
    bool discarding; /* the body is too long: read past it, answer 413 */
} kal_http_reader;

/* budget: what the input buffer is charged to; NULL = unlimited. */
void kal_http_reader_init(kal_http_reader *reader, const kal_http_limits *limits,
                          kal_budget *budget);
void kal_http_reader_release(kal_http_reader *reader);
/* Gives back memory while nothing is buffered: for idle connections. */
void kal_http_reader_trim(kal_http_reader *reader);

/* Appends input; not between a REQUEST or REFUSED event and finish. When the budget refuses, the
 * next event is a refusal with status 503. */
void kal_http_reader_feed(kal_http_reader *reader, kal_bytes input);
kal_http_event kal_http_reader_next(kal_http_reader *reader);
/* Ends the request (or resumable refusal) that was given out and goes on behind it. */
void kal_http_reader_finish(kal_http_reader *reader);

/* Some of a message was read, and it is not complete: hanging up now would cut it. */
bool kal_http_reader_in_message(const kal_http_reader *reader);
/* The head is complete and the body is not. */
bool kal_http_reader_in_body(const kal_http_reader *reader);
/* Bytes of further messages lie behind the complete one. */
bool kal_http_reader_has_more(const kal_http_reader *reader);

/* One more response header. Neither text may hold CR, LF or NUL (asserted): they are ours. */
typedef struct kal_http_field {
    const char *name;
    const char *value;
} kal_http_field;

typedef struct kal_http_head {
    int status;
    unsigned minor;           /* of the request: HTTP/1.0 clients are told about keep-alive */
    bool keep_alive;          /* false: "Connection: close" */
    const char *date;         /* as kal_http_date() formats it, or NULL */
    const char *content_type; /* or NULL */
    size_t content_length;
    const kal_http_field *fields;
    size_t field_count;
} kal_http_head;

/* Appends status line and headers, with the empty line. */
void kal_http_head_write(const kal_http_head *head, kal_buf *out);
const char *kal_http_status_text(int status); /* "OK"; "Error" for codes we do not use */

#define KAL_HTTP_DATE_BYTES 30
/* "Sun, 06 Nov 1994 08:49:37 GMT" and a NUL. */
void kal_http_date(int64_t unix_seconds, char out[KAL_HTTP_DATE_BYTES]);

#endif
