/*
 * token_cache.c: tokens whose signature was checked: a direct-mapped table by hash, compared in
 * whole, so a token that is not exactly a verified one is never taken for it.
 */
#include "auth/auth_internal.h"
#include "base/assert.h"

#include <stdlib.h>

typedef struct cached_token {
    uint8_t *token; /* owned; NULL = free */
    size_t len;
    kal_token_claims claims;
} cached_token;

enum { STRIPES = 16 };

struct kal_token_cache {
    pthread_mutex_t locks[STRIPES]; /* entry i belongs to stripe i % STRIPES */
    cached_token *entries;          /* owned */
    size_t count;
};

kal_token_cache *kal_token_cache_open(size_t tokens_max)
{
    kal_token_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        kal_die("out of memory: token cache");
    cache->entries = calloc(tokens_max, sizeof *cache->entries);
    if (cache->entries == NULL)
        kal_die("out of memory: token cache");
    cache->count = tokens_max;
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_init(&cache->locks[i], NULL);
    return cache;
}

void kal_token_cache_close(kal_token_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < cache->count; i++)
        free(cache->entries[i].token);
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_destroy(&cache->locks[i]);
    free(cache->entries);
    free(cache);
}

bool kal_token_cache_find(kal_token_cache *cache, kal_bytes token, kal_token_claims *claims_out)
{
    size_t i = kal_hash(token) % cache->count;
    cached_token *entry = &cache->entries[i];

    pthread_mutex_lock(&cache->locks[i % STRIPES]);
    bool found =
        entry->token != NULL && kal_bytes_equal(kal_bytes_of(entry->token, entry->len), token);
    if (found)
        *claims_out = entry->claims;
    pthread_mutex_unlock(&cache->locks[i % STRIPES]);
    return found;
}

void kal_token_cache_add(kal_token_cache *cache, kal_bytes token, const kal_token_claims *claims)
{
    size_t i = kal_hash(token) % cache->count;
    cached_token *entry = &cache->entries[i];
    uint8_t *copy = malloc(token.len + 1);

    if (copy == NULL)
        kal_die("out of memory: token cache");
    memcpy(copy, token.ptr, token.len);
    pthread_mutex_lock(&cache->locks[i % STRIPES]);
    free(entry->token);
    entry->token = copy;
    entry->len = token.len;
    entry->claims = *claims;
    pthread_mutex_unlock(&cache->locks[i % STRIPES]);
}
