/*
 * sigv4.h: signatures of HTTP requests by AWS Signature Version 4, as S3 and its kin want them.
 *
 * Pure functions of their arguments. What is signed is what is sent: the caller builds the URL from
 * kal_sigv4_encode() and kal_sigv4_query(), and sends exactly the headers it names here and
 * Authorization. A path is encoded once and not normalised, as S3 has it (other services differ).
 *
 * Source: "Signature Version 4 signing process" and "Authenticating Requests: Using the
 * Authorization Header" of the Amazon S3 API reference, whose examples are the unit test's.
 */
#ifndef KAL_STORAGE_SIGV4_H
#define KAL_STORAGE_SIGV4_H

#include "base/buf.h"
#include "base/digest.h"

#define KAL_SIGV4_FIELDS_MAX   16u /* headers, or parameters of the query */
#define KAL_SIGV4_TIME_LEN     16  /* 20130524T000000Z */
#define KAL_SIGV4_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* Nothing of it is kept or shown. */
typedef struct kal_sigv4_credentials {
    kal_bytes access_key_id;
    kal_bytes secret_access_key;
    kal_bytes session_token; /* empty: none. Goes into a header, not into the signature's key */
} kal_sigv4_credentials;

typedef struct kal_sigv4_field {
    kal_bytes name;
    kal_bytes value;
} kal_sigv4_field;

typedef struct kal_sigv4_request {
    const char *method;
    kal_bytes path;               /* not encoded, begins with '/' */
    const kal_sigv4_field *query; /* not encoded; at most KAL_SIGV4_FIELDS_MAX */
    size_t query_count;
    const kal_sigv4_field *headers; /* all that are signed, names in lower case, "host" among them;
                                       at most KAL_SIGV4_FIELDS_MAX */
    size_t header_count;
    const char *payload_sha256; /* in hex */
    const char *time;           /* KAL_SIGV4_TIME_LEN characters: that of the header x-amz-date */
    kal_bytes region;
    kal_bytes service; /* "s3" */
} kal_sigv4_request;

/* Every byte but A-Z a-z 0-9 - . _ ~ as %XX; '/' too unless keep_slash. */
void kal_sigv4_encode(kal_bytes text, bool keep_slash, kal_buf *out);
/* a=1&b=2: encoded and in order; a parameter without a value has its '='. */
void kal_sigv4_query(const kal_sigv4_field *fields, size_t count, kal_buf *out);
/* As the header x-amz-date has it, of microseconds since 1970. */
void kal_sigv4_time(int64_t wall_us, char out[KAL_SIGV4_TIME_LEN + 1]);

/* The steps, for tests: what is signed, and the key it is signed with. */
void kal_sigv4_canonical_request(const kal_sigv4_request *request, kal_buf *out);
void kal_sigv4_signing_key(kal_bytes secret, kal_bytes date, kal_bytes region, kal_bytes service,
                           uint8_t out[KAL_DIGEST_BYTES]);
/* The value of the header Authorization. */
void kal_sigv4_authorization(const kal_sigv4_request *request,
                             const kal_sigv4_credentials *credentials, kal_buf *out);

#endif
