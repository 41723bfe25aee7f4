/*
 * digest.h: SHA-256 of bytes that come in pieces.
 *
 * Threads: a digest is one thread's at a time.
 */
#ifndef KAL_AUTH_DIGEST_H
#define KAL_AUTH_DIGEST_H

#include "base/bytes.h"

#define KAL_DIGEST_HEX_LEN 64

typedef struct kal_digest {
    _Alignas(16) uint8_t state[128]; /* the library's */
} kal_digest;

void kal_digest_init(kal_digest *digest);
void kal_digest_add(kal_digest *digest, kal_bytes bytes);
/* Lower-case hex and a NUL. */
void kal_digest_hex(kal_digest *digest, char out[KAL_DIGEST_HEX_LEN + 1]);

#endif
