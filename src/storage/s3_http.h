/*
 * s3_http.h: requests to an S3 server: signed, sent, tried again.
 *
 * A client is what all S3 stores of a database share: idle connections (a TLS handshake costs more
 * than a small object), numbers, and whom to ask whether to go on at all. libcurl
 * only carries bytes: it follows no redirect, uses no proxy, knows no credentials.
 *
 * A request that failed for a reason that may pass (no connection, one that broke or stalled, 429,
 * 5xx) is sent again, newly signed, up to attempts_max times with growing pauses that differ by
 * chance. So no caller waits longer than attempts_max * (connect + stall) without a byte moving.
 *
 * Threads: any; a request runs on its caller's thread.
 */
#ifndef KAL_STORAGE_S3_HTTP_H
#define KAL_STORAGE_S3_HTTP_H

#include "base/clock.h"
#include "storage/object_store.h"
#include "storage/s3_config.h"

typedef struct kal_s3_client kal_s3_client; /* opaque: kal_s3_client_close */

typedef struct kal_s3_client_options {
    const kal_clock *clock; /* borrowed */
    const kal_object_poll
        *poll;             /* borrowed; NULL: nobody. Of all requests, e.g. a stop of the server */
    unsigned connect_ms;   /* 0 = 5,000 */
    unsigned stall_ms;     /* without 1 KiB/s for so long; 0 = 15,000 */
    unsigned attempts_max; /* 0 = 4 */
    unsigned pause_ms;     /* before the second attempt, four times as long before each further
                              one; 0 = 100 */
} kal_s3_client_options;

kal_s3_client *kal_s3_client_open(const kal_s3_client_options *options);
void kal_s3_client_close(kal_s3_client *client); /* NULL is allowed; asserts that nothing runs */

typedef struct kal_s3_counts { /* since opening */
    uint64_t requests;         /* sent, repeated ones too */
    uint64_t retries;
    uint64_t failures; /* requests that were given up */
} kal_s3_counts;
kal_s3_counts kal_s3_client_counts(kal_s3_client *client);

typedef struct kal_s3_request {
    const char *verb; /* for errors: "read", "write" */
    const char *method;
    kal_bytes object; /* for errors: the key in the storage; empty: the bucket */
    kal_bytes path;   /* /bucket or /bucket/key */
    kal_sigv4_field query[4];
    size_t query_count;
    kal_bytes range; /* the header; empty: none */
    /* the body: bytes, or of a file when fd >= 0 */
    kal_bytes content;
    int fd;
    uint64_t file_offset;
    uint64_t file_len;
    kal_buf *out;   /* NULL, or the body of a 2xx is appended */
    size_t out_max; /* bytes; more is an error */
} kal_s3_request;

enum { KAL_S3_CODE_BYTES = 65, KAL_S3_ETAG_BYTES = 129 };

typedef struct kal_s3_response {
    long http_status;
    char code[KAL_S3_CODE_BYTES]; /* the server's own: "NoSuchKey"; "" when it gave none */
    char etag[KAL_S3_ETAG_BYTES]; /* with its quotes; "" when there is none */
    bool has_length;
    uint64_t length;      /* content-length */
    bool has_range;       /* content-range */
    uint64_t range_first; /* of the bytes sent */
    uint64_t range_last;
} kal_s3_response;

/* KAL_OK for 2xx and 4xx that the caller may know what to do with: 404 and 416. Else the error
 * names object, bucket, endpoint and the server's code. KAL_IO; what one of the two polls says;
 * KAL_LIMIT: out's budget. out is as before unless the answer is 2xx. */
KAL_MUST_CHECK kal_status kal_s3_perform(kal_s3_client *client, const kal_s3_target *target,
                                         const kal_object_poll *poll, const kal_s3_request *request,
                                         kal_s3_response *out, kal_error *err);
/* An error about an answer that says no (or nothing that makes sense: reason). */
kal_status kal_s3_fail(const kal_s3_target *target, const kal_s3_request *request,
                       const kal_s3_response *response, const char *reason, kal_error *err);

#endif
