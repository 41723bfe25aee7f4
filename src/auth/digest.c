#include "auth/digest.h"

#include <sodium.h>

_Static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(((kal_digest *)0)->state),
               "the library's state fits");

static crypto_hash_sha256_state *state_of(kal_digest *digest)
{
    return (crypto_hash_sha256_state *)(void *)digest->state;
}

void kal_digest_init(kal_digest *digest)
{
    crypto_hash_sha256_init(state_of(digest));
}

void kal_digest_add(kal_digest *digest, kal_bytes bytes)
{
    crypto_hash_sha256_update(state_of(digest), bytes.ptr, bytes.len);
}

void kal_digest_hex(kal_digest *digest, char out[KAL_DIGEST_HEX_LEN + 1])
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_final(state_of(digest), hash);
    sodium_bin2hex(out, KAL_DIGEST_HEX_LEN + 1, hash, sizeof hash);
}
