/*
 * s3_config.h: where an S3 storage is and with what it is signed: texts of SQL and JSON, checked.
 */
#ifndef KAL_STORAGE_S3_CONFIG_H
#define KAL_STORAGE_S3_CONFIG_H

#include "base/arena.h"
#include "base/error.h"
#include "storage/sigv4.h"

#define KAL_S3_REGION_DEFAULT       "us-east-1"
#define KAL_S3_SCHEME               "s3://"
#define KAL_S3_PREFIX_BYTES_MAX     512u  /* leaves room for an object's own key */
#define KAL_S3_CREDENTIAL_BYTES_MAX 4096u /* of each text: session tokens are long */

typedef struct kal_s3_location {
    kal_bytes endpoint; /* http[s]://host[:port], in lower case, no port that goes without saying */
    kal_bytes region;
    kal_bytes bucket;
    kal_bytes prefix; /* of all keys, without '/' at its ends; empty: none */
} kal_s3_location;

typedef struct kal_s3_target {
    kal_s3_location location;
    kal_sigv4_credentials credentials;
} kal_s3_target;

/* What CREDENTIALS says. Texts in the arena. */
typedef struct kal_s3_credentials {
    kal_sigv4_credentials signing;
    kal_bytes endpoint; /* as written; ptr NULL: not given */
} kal_s3_credentials;

/* `s3://bucket[/prefix][/]` or the same without `s3://`; borrows from text. KAL_INVALID. */
KAL_MUST_CHECK kal_status kal_s3_parse_bucket(kal_bytes text, kal_s3_location *out, kal_error *err);
/* ptr NULL: KAL_S3_REGION_DEFAULT. */
KAL_MUST_CHECK kal_status kal_s3_parse_region(kal_bytes text, kal_s3_location *out, kal_error *err);
/* ptr NULL: Amazon's of the region. In the arena. */
KAL_MUST_CHECK kal_status kal_s3_parse_endpoint(kal_bytes text, kal_arena *arena,
                                                kal_s3_location *out, kal_error *err);
/* {"access_key_id": .., "secret_access_key": .., "session_token"?: .., "endpoint"?: ..}. No message
 * repeats a value. KAL_INVALID, with the offset in the JSON as its position. */
KAL_MUST_CHECK kal_status kal_s3_parse_credentials(kal_bytes json, kal_arena *arena,
                                                   kal_s3_credentials *out, kal_error *err);

/* Whether one of the two may hold an object of the other: same endpoint (all of Amazon's are one),
 * same bucket, and one prefix is the other or a folder above it. */
bool kal_s3_overlap(const kal_s3_location *a, const kal_s3_location *b);

#endif
