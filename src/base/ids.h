/*
 * ids.h: identifiers made by the server: Snowflake (BIGINT), UUID version 7, ULID.
 *
 * All are unique within the process and ascend within one millisecond too (a counter), also when
 * the wall clock steps back: then the last seen millisecond goes on being used.
 * Source: RFC 9562 (UUIDv7), the ULID specification; Snowflake: 41 bits of ms since
 * 2024-01-01T00:00:00Z << 22 | 10 bits node << 12 | 12 bits sequence.
 * Threads: any.
 */
#ifndef KAL_BASE_IDS_H
#define KAL_BASE_IDS_H

#include "base/clock.h"

#include <stdatomic.h>

#define KAL_SNOWFLAKE_EPOCH_MS INT64_C(1704067200000)
#define KAL_UUID_TEXT_LEN      36
#define KAL_ULID_TEXT_LEN      26

typedef struct kal_ids {
    const kal_clock *clock; /* borrowed */
    uint16_t node;          /* 0..1023 */
    _Atomic uint64_t last; /* ms since the epoch above << 12 | sequence of the last id handed out */
} kal_ids;

void kal_ids_init(kal_ids *ids, const kal_clock *clock, uint16_t node);

int64_t kal_ids_snowflake(kal_ids *ids);
/* 16 bytes, big-endian as in RFC 9562. */
void kal_ids_uuid_v7(kal_ids *ids, uint8_t out[16]);
/* 26 characters of Crockford base32, no NUL. */
void kal_ids_ulid(kal_ids *ids, char out[KAL_ULID_TEXT_LEN]);

/* 8-4-4-4-12 lower-case hex, no NUL. */
void kal_uuid_format(const uint8_t uuid[16], char out[KAL_UUID_TEXT_LEN]);

#endif
