#include "base/digest.h"

#include <sodium.h>

_Static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(((kal_digest *)0)->state),
               "the library's state fits");
_Static_assert(crypto_hash_sha256_BYTES == KAL_DIGEST_BYTES, "a digest has 32 bytes");
_Static_assert(crypto_auth_hmacsha256_BYTES == KAL_DIGEST_BYTES, "an HMAC has 32 bytes");

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

void kal_digest_of(kal_bytes bytes, uint8_t out[KAL_DIGEST_BYTES])
{
    crypto_hash_sha256(out, bytes.ptr, bytes.len);
}

void kal_digest_hex_of(kal_bytes bytes, char out[KAL_DIGEST_HEX_LEN + 1])
{
    kal_digest digest;
    kal_digest_init(&digest);
    kal_digest_add(&digest, bytes);
    kal_digest_hex(&digest, out);
}

void kal_digest_hmac(kal_bytes key, kal_bytes message, uint8_t out[KAL_DIGEST_BYTES])
{
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, key.ptr, key.len);
    crypto_auth_hmacsha256_update(&state, message.ptr, message.len);
    crypto_auth_hmacsha256_final(&state, out);
    sodium_memzero(&state, sizeof state);
}

void kal_digest_forget(void *secret, size_t len)
{
    sodium_memzero(secret, len);
}
