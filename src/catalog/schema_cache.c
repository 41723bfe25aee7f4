#include "catalog/schema_cache.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/map.h"
#include "base/vec.h"
#include "catalog/catalog_internal.h"

#include <pthread.h>
#include <stdlib.h>

enum { SHARD_COUNT = 16, SLOT_COUNT = 128, KEY_BYTES_MAX = 2 * KAL_NAME_BYTES_MAX + 1 };

/* Invariant: a table that is alive and current is in `live` of its shard. */
typedef struct cache_shard {
    pthread_mutex_t lock; /* protects all of it, and cached and clock of its tables */
    kal_map live;         /* "ns.name" -> kal_table, without a reference */
    kal_list clock;       /* tables the cache holds a reference to, next candidate first */
    size_t cached;
    uint64_t evictions;
} cache_shard;

struct kal_schema_cache {
    _Atomic uint64_t generation;
    size_t shard_tables_max;
    cache_shard shards[SHARD_COUNT];
    pthread_mutex_t workers_lock; /* protects the rest */
    kal_list workers;
    uint64_t closed_hits; /* of workers that are gone */
    uint64_t closed_misses;
};

typedef struct worker_slot {
    kal_table *table; /* retained, or NULL */
    uint64_t generation;
} worker_slot;

struct kal_catalog_worker {
    kal_list link;
    kal_catalog *catalog;
    kal_table *borrowed;   /* retained: what the last look-up gave and no slot holds */
    _Atomic uint64_t hits; /* written by the worker only */
    _Atomic uint64_t misses;
    worker_slot slots[SLOT_COUNT];
};

/* What the cached tables of a shard take; the shard is locked. */
static uint64_t cached_bytes(const cache_shard *shard)
{
    uint64_t bytes = 0;
    KAL_LIST_FOR_EACH (link, &shard->clock) {
        const kal_table *table = KAL_CONTAINER_OF(link, kal_table, clock);
        bytes += sizeof *table + table->arena.size_bytes;
    }
    return bytes;
}

static void count(_Atomic uint64_t *counter)
{
    uint64_t before = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, before + 1, memory_order_relaxed);
}

/* ---- names ---- */

typedef struct cache_key {
    uint8_t bytes[KEY_BYTES_MAX];
    size_t len;
    uint64_t hash;
} cache_key;

/* false: longer than any name can be, so nothing is known by it. */
static bool make_key(kal_bytes ns, kal_bytes name, cache_key *key)
{
    if (ns.len > KAL_NAME_BYTES_MAX || name.len > KAL_NAME_BYTES_MAX)
        return false;
    if (ns.len > 0)
        memcpy(key->bytes, ns.ptr, ns.len);
    key->bytes[ns.len] = '.';
    if (name.len > 0)
        memcpy(key->bytes + ns.len + 1, name.ptr, name.len);
    key->len = ns.len + 1 + name.len;
    key->hash = kal_hash(kal_bytes_of(key->bytes, key->len));
    return true;
}

static void key_of(const kal_table *table, cache_key *key)
{
    bool fits = make_key(table->def->namespace_id, table->def->table_name, key);
    KAL_ASSERT(fits);
}

static kal_bytes key_bytes(const cache_key *key)
{
    return kal_bytes_of(key->bytes, key->len);
}

static cache_shard *shard_of(kal_schema_cache *cache, const cache_key *key)
{
    return &cache->shards[(key->hash >> 32) % SHARD_COUNT];
}

/* ---- life cycle ---- */

kal_schema_cache *kal_schema_cache_open(size_t tables_max)
{
    kal_schema_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        kal_die("out of memory: schema cache");
    cache->generation = 1;
    cache->shard_tables_max = tables_max / SHARD_COUNT + 1;
    pthread_mutex_init(&cache->workers_lock, NULL);
    kal_list_init(&cache->workers);
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        pthread_mutex_init(&cache->shards[i].lock, NULL);
        kal_map_init(&cache->shards[i].live);
        kal_list_init(&cache->shards[i].clock);
    }
    return cache;
}

static void free_table(kal_table *table)
{
    kal_row_versions_free(table);
    kal_arena_release(&table->arena);
    free(table);
}

/* Gives the cache's own reference back; the shard is locked. Returns the table when that was the
 * last one: to be freed. */
static kal_table *uncache(cache_shard *shard, kal_table *table)
{
    cache_key key;

    kal_list_remove(&table->clock);
    table->is_cached = false;
    shard->cached--;
    if (atomic_fetch_sub(&table->refs, 1) != 1)
        return NULL;
    key_of(table, &key);
    if (kal_map_find(&shard->live, key_bytes(&key)) == table)
        kal_map_remove(&shard->live, key_bytes(&key));
    return table;
}

void kal_schema_cache_close(kal_schema_cache *cache)
{
    KAL_ASSERT(kal_list_empty(&cache->workers));
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        cache_shard *shard = &cache->shards[i];
        while (!kal_list_empty(&shard->clock)) {
            kal_table *table = KAL_CONTAINER_OF(shard->clock.next, kal_table, clock);
            kal_table *last = uncache(shard, table);
            KAL_ASSERT(last != NULL); /* nobody else holds it */
            free_table(last);
        }
        KAL_ASSERT(shard->live.len == 0);
        kal_map_release(&shard->live);
        pthread_mutex_destroy(&shard->lock);
    }
    pthread_mutex_destroy(&cache->workers_lock);
    free(cache);
}

kal_catalog_worker *kal_schema_cache_worker(kal_schema_cache *cache, kal_catalog *catalog)
{
    kal_catalog_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL)
        kal_die("out of memory: catalog worker");
    worker->catalog = catalog;
    pthread_mutex_lock(&cache->workers_lock);
    kal_list_push_back(&cache->workers, &worker->link);
    pthread_mutex_unlock(&cache->workers_lock);
    return worker;
}

void kal_schema_cache_worker_close(kal_schema_cache *cache, kal_catalog_worker *worker)
{
    pthread_mutex_lock(&cache->workers_lock);
    kal_list_remove(&worker->link);
    cache->closed_hits += worker->hits;
    cache->closed_misses += worker->misses;
    pthread_mutex_unlock(&cache->workers_lock);
    for (size_t i = 0; i < SLOT_COUNT; i++)
        kal_table_release(worker->slots[i].table);
    kal_table_release(worker->borrowed);
    free(worker);
}

kal_catalog *kal_schema_cache_worker_catalog(kal_catalog_worker *worker)
{
    return worker->catalog;
}

/* ---- references ---- */

kal_table *kal_table_retain(kal_table *table)
{
    atomic_fetch_add_explicit(&table->refs, 1, memory_order_relaxed);
    return table;
}

/* The last reference goes under the shard's lock, because a look-up may find the table there. */
static void release_last(kal_table *table)
{
    cache_key key;
    bool gone = false;

    if (table->cache == NULL) { /* never became known */
        if (atomic_fetch_sub(&table->refs, 1) == 1)
            free_table(table);
        return;
    }
    key_of(table, &key);
    cache_shard *shard = shard_of(table->cache, &key);
    pthread_mutex_lock(&shard->lock);
    gone = atomic_fetch_sub(&table->refs, 1) == 1;
    if (gone && kal_map_find(&shard->live, key_bytes(&key)) == table)
        kal_map_remove(&shard->live, key_bytes(&key));
    pthread_mutex_unlock(&shard->lock);
    if (gone)
        free_table(table);
}

void kal_table_release(kal_table *table)
{
    if (table == NULL)
        return;
    uint32_t refs = atomic_load_explicit(&table->refs, memory_order_relaxed);
    while (refs > 1) {
        if (atomic_compare_exchange_weak_explicit(&table->refs, &refs, refs - 1,
                                                  memory_order_release, memory_order_relaxed))
            return;
    }
    release_last(table);
}

/* ---- looking up ---- */

static worker_slot *slot_of(kal_catalog_worker *worker, const cache_key *key)
{
    return &worker->slots[key->hash % SLOT_COUNT];
}

/* Takes over the reference. */
static kal_table *lend(kal_catalog_worker *worker, const cache_key *key, kal_table *table,
                       uint64_t generation)
{
    worker_slot *slot = slot_of(worker, key);
    kal_table_release(worker->borrowed);
    worker->borrowed = slot->table; /* may be what the caller still looks at: kept for one more */
    slot->table = table;
    slot->generation = generation;
    return table;
}

static bool is_named(const kal_table *table, kal_bytes ns, kal_bytes name)
{
    return kal_bytes_equal(table->def->table_name, name) &&
           kal_bytes_equal(table->def->namespace_id, ns);
}

/* Retained, or NULL. */
static kal_table *find_in_shard(kal_schema_cache *cache, const cache_key *key)
{
    cache_shard *shard = shard_of(cache, key);
    pthread_mutex_lock(&shard->lock);
    kal_table *table = kal_map_find(&shard->live, key_bytes(key));
    if (table != NULL) {
        kal_table_retain(table);
        table->was_used = true;
    }
    pthread_mutex_unlock(&shard->lock);
    return table;
}

kal_table *kal_schema_cache_find(kal_schema_cache *cache, kal_catalog_worker *worker, kal_bytes ns,
                                 kal_bytes name)
{
    cache_key key;
    /* Before the shard is asked: if a change comes in between, the slot is outdated at once. */
    uint64_t generation = atomic_load_explicit(&cache->generation, memory_order_acquire);

    if (!make_key(ns, name, &key))
        return NULL;
    worker_slot *slot = slot_of(worker, &key);
    if (KAL_LIKELY(slot->table != NULL && slot->generation == generation &&
                   is_named(slot->table, ns, name))) {
        count(&worker->hits);
        return slot->table;
    }
    kal_table *table = find_in_shard(cache, &key);
    if (table == NULL) {
        count(&worker->misses);
        return NULL;
    }
    count(&worker->hits);
    return lend(worker, &key, table, generation);
}

/* ---- changing ---- */

/* Second chance: a table that was looked up since the hand passed stays for another round. Collects
 * what has to be freed after unlocking. */
static kal_table *evict_one(cache_shard *shard)
{
    for (;;) {
        kal_table *table = KAL_CONTAINER_OF(shard->clock.next, kal_table, clock);
        if (!table->was_used) {
            shard->evictions++;
            return uncache(shard, table);
        }
        table->was_used = false;
        kal_list_remove(&table->clock);
        kal_list_push_back(&shard->clock, &table->clock);
    }
}

/* The cache keeps a reference of its own; the shard is locked. Returns a table to free, or NULL. */
static kal_table *cache_table(kal_schema_cache *cache, cache_shard *shard, kal_table *table)
{
    kal_table *evicted = NULL;
    if (shard->cached >= cache->shard_tables_max)
        evicted = evict_one(shard);
    kal_table_retain(table);
    table->is_cached = true;
    kal_list_push_back(&shard->clock, &table->clock);
    shard->cached++;
    return evicted;
}

kal_table *kal_schema_cache_add(kal_schema_cache *cache, kal_catalog_worker *worker,
                                kal_table *table)
{
    cache_key key;
    kal_table *unused = NULL;
    kal_table *evicted = NULL;
    uint64_t generation = atomic_load_explicit(&cache->generation, memory_order_acquire);

    key_of(table, &key);
    cache_shard *shard = shard_of(cache, &key);
    pthread_mutex_lock(&shard->lock);
    kal_table *known = kal_map_find(&shard->live, key_bytes(&key));
    if (known != NULL) { /* somebody was faster, or it was evicted and is still in use */
        kal_table_retain(known);
        unused = table;
        table = known;
    } else {
        table->cache = cache;
        kal_map_put(&shard->live, key_bytes(&key), table);
    }
    if (!table->is_cached)
        evicted = cache_table(cache, shard, table);
    pthread_mutex_unlock(&shard->lock);
    kal_table_release(unused);
    if (evicted != NULL)
        free_table(evicted);
    return lend(worker, &key, table, generation);
}

/* Takes what is known by this name out; the shard is locked. Returns a table to free, or NULL. */
static kal_table *retire(cache_shard *shard, const cache_key *key, kal_table_fate fate)
{
    kal_table *old = kal_map_find(&shard->live, key_bytes(key));
    if (old == NULL)
        return NULL;
    atomic_store(&old->fate, fate);
    kal_map_remove(&shard->live, key_bytes(key));
    return old->is_cached ? uncache(shard, old) : NULL;
}

static bool is_same_version(const kal_table *a, const kal_table *b)
{
    return a->def->table_id == b->def->table_id && a->def->schema_version == b->def->schema_version;
}

void kal_schema_cache_put(kal_schema_cache *cache, kal_table *table)
{
    cache_key key;
    kal_table *old = NULL;
    kal_table *evicted = NULL;

    key_of(table, &key);
    cache_shard *shard = shard_of(cache, &key);
    pthread_mutex_lock(&shard->lock);
    kal_table *known = kal_map_find(&shard->live, key_bytes(&key));
    /* A look-up between the durable write and here has loaded this very version. */
    if (known == NULL || !is_same_version(known, table)) {
        old = retire(shard, &key, KAL_TABLE_REPLACED);
        table->cache = cache;
        kal_map_put(&shard->live, key_bytes(&key), table);
        evicted = cache_table(cache, shard, table);
    }
    pthread_mutex_unlock(&shard->lock);
    kal_table_release(table);
    if (old != NULL)
        free_table(old);
    if (evicted != NULL)
        free_table(evicted);
}

void kal_schema_cache_remove(kal_schema_cache *cache, kal_bytes ns, kal_bytes name,
                             kal_table_fate fate)
{
    cache_key key;

    if (!make_key(ns, name, &key))
        return;
    cache_shard *shard = shard_of(cache, &key);
    pthread_mutex_lock(&shard->lock);
    kal_table *old = retire(shard, &key, fate);
    pthread_mutex_unlock(&shard->lock);
    if (old != NULL)
        free_table(old);
}

void kal_schema_cache_next_generation(kal_schema_cache *cache)
{
    atomic_fetch_add_explicit(&cache->generation, 1, memory_order_release);
}

kal_cache_stats kal_schema_cache_stats(kal_schema_cache *cache)
{
    kal_cache_stats stats = {0};

    pthread_mutex_lock(&cache->workers_lock);
    stats.hits = cache->closed_hits;
    stats.misses = cache->closed_misses;
    KAL_LIST_FOR_EACH (link, &cache->workers) {
        kal_catalog_worker *worker = KAL_CONTAINER_OF(link, kal_catalog_worker, link);
        stats.hits += atomic_load_explicit(&worker->hits, memory_order_relaxed);
        stats.misses += atomic_load_explicit(&worker->misses, memory_order_relaxed);
    }
    pthread_mutex_unlock(&cache->workers_lock);
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        pthread_mutex_lock(&cache->shards[i].lock);
        stats.size += cache->shards[i].cached;
        stats.evictions += cache->shards[i].evictions;
        stats.bytes += cached_bytes(&cache->shards[i]);
        pthread_mutex_unlock(&cache->shards[i].lock);
    }
    return stats;
}
