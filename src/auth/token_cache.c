/*
 * token_cache.c: tokens whose signature was checked: a direct-mapped table of fixed size.
 *
 * An entry is known by a keyed hash (BLAKE2b, 32 bytes) of the whole token, under a key that lives
 * as long as the cache. Whoever has no key cannot aim at an entry or learn by timing how much of a
 * guess is right, and no token is kept in memory. Two tokens of one slot drive each other out:
 * that costs a signature check and nothing else.
 */
#include "auth/auth_internal.h"
#include "base/assert.h"
#include "base/rng.h"

#include <sodium.h>
#include <stdlib.h>

enum { STRIPES = 16, DIGEST_BYTES = 32, KEY_BYTES = crypto_generichash_KEYBYTES };

typedef struct cached_token {
    uint8_t digest[DIGEST_BYTES];
    bool is_used;
    kal_token_claims claims;
} cached_token;

struct kal_token_cache {
    uint8_t key[KEY_BYTES];
    pthread_mutex_t locks[STRIPES]; /* slot i belongs to stripe i % STRIPES */
    cached_token *slots;            /* owned */
    size_t count;
};

kal_token_cache *kal_token_cache_open(size_t tokens_max)
{
    KAL_ASSERT(tokens_max > 0);
    kal_token_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        kal_die("out of memory: token cache");
    cache->slots = calloc(tokens_max, sizeof *cache->slots);
    if (cache->slots == NULL)
        kal_die("out of memory: token cache");
    cache->count = tokens_max;
    kal_random_bytes(cache->key, sizeof cache->key);
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_init(&cache->locks[i], NULL);
    return cache;
}

void kal_token_cache_close(kal_token_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_destroy(&cache->locks[i]);
    free(cache->slots);
    free(cache);
}

static size_t slot_of(const kal_token_cache *cache, kal_bytes token, uint8_t digest[DIGEST_BYTES])
{
    crypto_generichash(digest, DIGEST_BYTES, token.ptr, token.len, cache->key, KEY_BYTES);
    return kal_load_le64(digest) % cache->count;
}

bool kal_token_cache_find(kal_token_cache *cache, kal_bytes token, kal_token_claims *claims_out)
{
    uint8_t digest[DIGEST_BYTES];

    if (token.len > KAL_TOKEN_BYTES_MAX)
        return false;
    size_t i = slot_of(cache, token, digest);
    const cached_token *slot = &cache->slots[i];
    pthread_mutex_lock(&cache->locks[i % STRIPES]);
    bool found = slot->is_used && memcmp(slot->digest, digest, sizeof digest) == 0;
    if (found)
        *claims_out = slot->claims;
    pthread_mutex_unlock(&cache->locks[i % STRIPES]);
    return found;
}

void kal_token_cache_add(kal_token_cache *cache, kal_bytes token, const kal_token_claims *claims)
{
    uint8_t digest[DIGEST_BYTES];
    size_t i = slot_of(cache, token, digest);
    cached_token *slot = &cache->slots[i];

    pthread_mutex_lock(&cache->locks[i % STRIPES]);
    memcpy(slot->digest, digest, sizeof digest);
    slot->claims = *claims;
    slot->is_used = true;
    pthread_mutex_unlock(&cache->locks[i % STRIPES]);
}
