/*
 * digest.h: SHA-256 of bytes that come in pieces, and its HMAC.
 *
 * Threads: a digest is one thread's at a time.
 */
#ifndef KAL_BASE_DIGEST_H
#define KAL_BASE_DIGEST_H

#include "base/bytes.h"

#define KAL_DIGEST_BYTES   32
#define KAL_DIGEST_HEX_LEN 64

typedef struct kal_digest {
    _Alignas(16) uint8_t state[128]; /* the library's */
} kal_digest;

void kal_digest_init(kal_digest *digest);
void kal_digest_add(kal_digest *digest, kal_bytes bytes);
/* Lower-case hex and a NUL. */
void kal_digest_hex(kal_digest *digest, char out[KAL_DIGEST_HEX_LEN + 1]);
/* Of bytes that are all there, as they are and in hex. */
void kal_digest_of(kal_bytes bytes, uint8_t out[KAL_DIGEST_BYTES]);
void kal_digest_hex_of(kal_bytes bytes, char out[KAL_DIGEST_HEX_LEN + 1]);

/* HMAC-SHA-256 of the message under a key of any length. out may be the key's own memory. */
void kal_digest_hmac(kal_bytes key, kal_bytes message, uint8_t out[KAL_DIGEST_BYTES]);
/* Overwrites what nobody shall find in memory later. */
void kal_digest_forget(void *secret, size_t len);

#endif
