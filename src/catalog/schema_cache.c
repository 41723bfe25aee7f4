#include "catalog/schema_cache.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/map.h"
#include "base/vec.h"
#include "catalog/catalog_internal.h"

#include <pthread.h>
#include <stdlib.h>

enum { SHARD_COUNT = 16, SLOT_COUNT = 1024, WAYS = 2, KEY_BYTES_MAX = 2 * KAL_NAME_BYTES_MAX + 1 };
enum { USES_FOLDED = 1024 }; /* a slot's hits are added to its table's uses so many at a time */

/* Invariant: a table that is alive and current is in `live` of its shard, and in `ids` of the shard
 * of its number. Locks: a shard's of a name, then one of a number. */
typedef struct cache_shard {
    pthread_mutex_t lock; /* protects all of it, and cached and clock of its tables */
    kal_map live;         /* "ns.name" -> kal_table, without a reference */
    kal_list clock;       /* tables the cache holds a reference to, next candidate first */
    size_t cached;
    uint64_t evictions;
} cache_shard;

typedef struct id_shard {
    pthread_mutex_t lock;
    kal_map ids; /* be32 table_id -> kal_table, without a reference */
} id_shard;

/* What look-ups of a worker have come to. */
typedef enum tally {
    TALLY_HITS,
    TALLY_MISSES,
    TALLY_REVALIDATIONS,
    TALLY_FAILURES,
    TALLY_LOCKS,
    TALLIES
} tally;

struct kal_schema_cache {
    _Atomic uint64_t generation;
    _Atomic uint32_t now_s;  /* moved by kal_schema_cache_tick() */
    _Atomic bool is_failing; /* on purpose */
    size_t shard_tables_max;
    cache_shard shards[SHARD_COUNT];
    id_shard id_shards[SHARD_COUNT];
    pthread_mutex_t workers_lock; /* protects the rest */
    kal_list workers;
    uint64_t closed[TALLIES]; /* of workers that are gone */
};

typedef struct worker_slot {
    kal_table *table; /* retained, or NULL */
    uint64_t generation;
    uint32_t valid_until_s; /* by cache_ttl_seconds; 0: enable_cache is false */
    uint32_t uses;          /* not yet added to the table's */
} worker_slot;

struct kal_catalog_worker {
    kal_list link;
    kal_catalog *catalog;
    kal_schema_cache *cache;
    kal_table *borrowed;               /* retained: what the last look-up gave and no slot holds */
    _Atomic uint64_t tallies[TALLIES]; /* written by the worker only */
    worker_slot slots[SLOT_COUNT];     /* by name */
    worker_slot id_slots[SLOT_COUNT];  /* by number */
};

/* What the cached tables of a shard take; the shard is locked. */
static uint64_t cached_bytes(const cache_shard *shard)
{
    uint64_t bytes = 0;
    KAL_LIST_FOR_EACH (link, &shard->clock) {
        const kal_table *table = KAL_CONTAINER_OF(link, kal_table, clock);
        const kal_table_note *note = kal_table_note_get(table);
        bytes += sizeof *table + table->arena.size_bytes;
        bytes += note == NULL ? 0 : sizeof *note + note->len;
    }
    return bytes;
}

static inline void count(kal_catalog_worker *worker, tally what)
{
    _Atomic uint64_t *counter = &worker->tallies[what];
    uint64_t before = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, before + 1, memory_order_relaxed);
}

static void lock_counted(kal_catalog_worker *worker, pthread_mutex_t *lock)
{
    count(worker, TALLY_LOCKS);
    pthread_mutex_lock(lock);
}

/* ---- names ---- */

typedef struct cache_key {
    uint8_t bytes[KEY_BYTES_MAX];
    size_t len;
    uint64_t hash;
} cache_key;

/* Of a name's length and its first and last bytes: where it goes among a worker's slots. Names that
 * agree in all of these push each other out, and are found in the shards. */
static inline uint64_t mix_ends(kal_bytes text, uint64_t factor)
{
    uint64_t head = 0;
    uint64_t tail = 0;
    if (text.len >= 8) {
        memcpy(&head, text.ptr, 8);
        memcpy(&tail, text.ptr + text.len - 8, 8);
    } else if (text.len >= 4) {
        uint32_t part = 0;
        memcpy(&part, text.ptr, 4);
        head = part;
        memcpy(&part, text.ptr + text.len - 4, 4);
        tail = part;
    } else if (text.len > 0) {
        head = text.ptr[0];
        tail = (uint64_t)text.ptr[text.len / 2] << 8 | text.ptr[text.len - 1];
    }
    return (head ^ (tail << 29 | tail >> 35) ^ text.len) * factor;
}

/* The first of WAYS slots. */
static inline size_t slot_number(kal_bytes ns, kal_bytes name)
{
    uint64_t mixed =
        mix_ends(ns, UINT64_C(0x9E3779B97F4A7C15)) ^ mix_ends(name, UINT64_C(0xD6E8FEB86659FD93));
    return (size_t)(mixed >> 40) % SLOT_COUNT / WAYS * WAYS;
}

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

/* ---- numbers ---- */

static id_shard *id_shard_of(kal_schema_cache *cache, uint32_t table_id)
{
    return &cache->id_shards[table_id % SHARD_COUNT];
}

static kal_bytes id_key(uint32_t table_id, uint8_t bytes[4])
{
    kal_store_be32(bytes, table_id);
    return kal_bytes_of(bytes, 4);
}

static void id_put(kal_schema_cache *cache, kal_table *table)
{
    uint8_t bytes[4];
    id_shard *shard = id_shard_of(cache, table->def->table_id);
    pthread_mutex_lock(&shard->lock);
    kal_map_put(&shard->ids, id_key(table->def->table_id, bytes), table);
    pthread_mutex_unlock(&shard->lock);
}

/* Unless another version is known by it already. */
static void id_remove(kal_schema_cache *cache, const kal_table *table)
{
    uint8_t bytes[4];
    id_shard *shard = id_shard_of(cache, table->def->table_id);
    kal_bytes key = id_key(table->def->table_id, bytes);
    pthread_mutex_lock(&shard->lock);
    if (kal_map_find(&shard->ids, key) == table)
        kal_map_remove(&shard->ids, key);
    pthread_mutex_unlock(&shard->lock);
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
        pthread_mutex_init(&cache->id_shards[i].lock, NULL);
        kal_map_init(&cache->id_shards[i].ids);
    }
    return cache;
}

static void free_table(kal_table *table)
{
    kal_row_versions_free(table);
    free(atomic_load(&table->note));
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
    id_remove(table->cache, table);
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
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        KAL_ASSERT(cache->id_shards[i].ids.len == 0);
        kal_map_release(&cache->id_shards[i].ids);
        pthread_mutex_destroy(&cache->id_shards[i].lock);
    }
    pthread_mutex_destroy(&cache->workers_lock);
    free(cache);
}

static void fold_uses(worker_slot *slot)
{
    atomic_fetch_add_explicit(&slot->table->uses, slot->uses, memory_order_relaxed);
    slot->uses = 0;
}

static void empty_slot(worker_slot *slot)
{
    if (slot->table == NULL)
        return;
    fold_uses(slot);
    kal_table_release(slot->table);
    slot->table = NULL;
}

kal_catalog_worker *kal_schema_cache_worker(kal_schema_cache *cache, kal_catalog *catalog)
{
    kal_catalog_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL)
        kal_die("out of memory: catalog worker");
    worker->catalog = catalog;
    worker->cache = cache;
    pthread_mutex_lock(&cache->workers_lock);
    kal_list_push_back(&cache->workers, &worker->link);
    pthread_mutex_unlock(&cache->workers_lock);
    return worker;
}

void kal_schema_cache_worker_close(kal_schema_cache *cache, kal_catalog_worker *worker)
{
    pthread_mutex_lock(&cache->workers_lock);
    kal_list_remove(&worker->link);
    for (size_t i = 0; i < TALLIES; i++)
        cache->closed[i] += worker->tallies[i];
    pthread_mutex_unlock(&cache->workers_lock);
    for (size_t i = 0; i < SLOT_COUNT; i++) {
        empty_slot(&worker->slots[i]);
        empty_slot(&worker->id_slots[i]);
    }
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
    if (gone)
        id_remove(table->cache, table);
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

static bool is_cacheable(const kal_table *table)
{
    return table->def->table_type != KAL_TABLE_SHARED ||
           kal_table_options_is_cache_enabled(&table->def->options);
}

/* Seconds after which the table is compared with the store; 0: never. */
static uint64_t ttl_of(const kal_table *table)
{
    uint64_t ttl = 0;
    return kal_table_options_cache_ttl_seconds(&table->def->options, &ttl) ? ttl : 0;
}

static uint32_t now_of(const kal_schema_cache *cache)
{
    return atomic_load_explicit(&cache->now_s, memory_order_relaxed);
}

/* When a slot that is filled now has to ask again. */
static uint32_t valid_until(const kal_table *table)
{
    uint64_t ttl = ttl_of(table);
    if (!is_cacheable(table))
        return 0;
    uint64_t until = atomic_load_explicit(&table->validated_s, memory_order_relaxed) + ttl;
    return ttl == 0 || until > UINT32_MAX ? UINT32_MAX : (uint32_t)until;
}

static bool is_named(const kal_table *table, kal_bytes ns, kal_bytes name)
{
    return kal_bytes_equal(table->def->table_name, name) &&
           kal_bytes_equal(table->def->namespace_id, ns);
}

/* The slot still tells the truth. */
static inline bool is_valid(const kal_schema_cache *cache, const worker_slot *slot,
                            uint64_t generation)
{
    return slot->table != NULL && slot->generation == generation &&
           now_of(cache) < slot->valid_until_s;
}

static inline kal_table *hit(kal_catalog_worker *worker, worker_slot *slot)
{
    count(worker, TALLY_HITS);
    if (++slot->uses == USES_FOLDED)
        fold_uses(slot);
    return slot->table;
}

/* Takes over the reference. */
static kal_table *lend(kal_catalog_worker *worker, worker_slot *slot, kal_table *table,
                       uint64_t generation)
{
    if (slot->table != NULL)
        fold_uses(slot);
    kal_table_release(worker->borrowed);
    worker->borrowed = slot->table; /* may be what the caller still looks at: kept for one more */
    slot->table = table;
    slot->generation = generation;
    slot->valid_until_s = valid_until(table);
    slot->uses = 1;
    return table;
}

/* The slot among WAYS that is outdated, else the one that has answered less. */
static worker_slot *way_to_fill(worker_slot *slots, uint64_t generation)
{
    worker_slot *least = &slots[0];
    for (size_t way = 0; way < WAYS; way++) {
        if (slots[way].table == NULL || slots[way].generation != generation)
            return &slots[way];
        if (slots[way].uses < least->uses)
            least = &slots[way];
    }
    return least;
}

/* A table that nobody holds any more is on its way out, although it can still be found by its
 * number. */
static bool try_retain(kal_table *table)
{
    uint32_t refs = atomic_load_explicit(&table->refs, memory_order_relaxed);
    while (refs > 0) {
        if (atomic_compare_exchange_weak_explicit(&table->refs, &refs, refs + 1,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    }
    return false;
}

/* Retained, or NULL. */
static kal_table *find_in_shard(kal_catalog_worker *worker, const cache_key *key)
{
    cache_shard *shard = shard_of(worker->cache, key);
    lock_counted(worker, &shard->lock);
    kal_table *table = kal_map_find(&shard->live, key_bytes(key));
    if (table != NULL) {
        kal_table_retain(table);
        table->was_used = true;
    }
    pthread_mutex_unlock(&shard->lock);
    return table;
}

static kal_table *find_by_id(kal_catalog_worker *worker, uint32_t table_id)
{
    uint8_t bytes[4];
    id_shard *shard = id_shard_of(worker->cache, table_id);
    lock_counted(worker, &shard->lock);
    kal_table *table = kal_map_find(&shard->ids, id_key(table_id, bytes));
    if (table != NULL && !try_retain(table))
        table = NULL;
    pthread_mutex_unlock(&shard->lock);
    return table;
}

/* What was found in the maps: to the caller, or to be read from the store again. */
static kal_cache_answer answer(kal_catalog_worker *worker, worker_slot *slot, kal_table *table,
                               uint64_t generation, kal_table **table_out)
{
    *table_out = NULL;
    if (table == NULL || !is_cacheable(table)) {
        kal_table_release(table);
        count(worker, TALLY_MISSES);
        return KAL_CACHE_MISS;
    }
    *table_out = lend(worker, slot, table, generation);
    if (now_of(worker->cache) < slot->valid_until_s) {
        count(worker, TALLY_HITS);
        return KAL_CACHE_HIT;
    }
    count(worker, TALLY_REVALIDATIONS);
    return KAL_CACHE_EXPIRED;
}

static bool fails(kal_catalog_worker *worker)
{
    if (!atomic_load_explicit(&worker->cache->is_failing, memory_order_relaxed))
        return false;
    count(worker, TALLY_FAILURES);
    return true;
}

kal_cache_answer kal_schema_cache_find(kal_catalog_worker *worker, kal_bytes ns, kal_bytes name,
                                       kal_table **table_out)
{
    kal_schema_cache *cache = worker->cache;
    cache_key key;
    /* Before the shard is asked: if a change comes in between, the slot is outdated at once. */
    uint64_t generation = atomic_load_explicit(&cache->generation, memory_order_acquire);

    worker_slot *slot = &worker->slots[slot_number(ns, name)];
    for (size_t way = 0; way < WAYS; way++) {
        if (is_valid(cache, &slot[way], generation) && is_named(slot[way].table, ns, name)) {
            *table_out = hit(worker, &slot[way]);
            return KAL_CACHE_HIT;
        }
    }
    *table_out = NULL;
    if (fails(worker))
        return KAL_CACHE_FAILED;
    if (!make_key(ns, name, &key)) {
        count(worker, TALLY_MISSES);
        return KAL_CACHE_MISS;
    }
    return answer(worker, way_to_fill(slot, generation), find_in_shard(worker, &key), generation,
                  table_out);
}

kal_cache_answer kal_schema_cache_find_id(kal_catalog_worker *worker, uint32_t table_id,
                                          kal_table **table_out)
{
    kal_schema_cache *cache = worker->cache;
    uint64_t generation = atomic_load_explicit(&cache->generation, memory_order_acquire);
    worker_slot *slot = &worker->id_slots[table_id % SLOT_COUNT];

    if (KAL_LIKELY(is_valid(cache, slot, generation) && slot->table->def->table_id == table_id)) {
        *table_out = hit(worker, slot);
        return KAL_CACHE_HIT;
    }
    *table_out = NULL;
    if (fails(worker))
        return KAL_CACHE_FAILED;
    return answer(worker, slot, find_by_id(worker, table_id), generation, table_out);
}

void kal_schema_cache_validated(kal_catalog_worker *worker, kal_table *table)
{
    kal_schema_cache *cache = worker->cache;
    atomic_store_explicit(&table->validated_s, now_of(cache), memory_order_relaxed);
    for (size_t i = 0; i < SLOT_COUNT; i++) { /* the one or two of it */
        if (worker->slots[i].table == table)
            worker->slots[i].valid_until_s = valid_until(table);
        if (worker->id_slots[i].table == table)
            worker->id_slots[i].valid_until_s = valid_until(table);
    }
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
    if (!is_cacheable(table))
        return NULL;
    if (shard->cached >= cache->shard_tables_max)
        evicted = evict_one(shard);
    kal_table_retain(table);
    table->is_cached = true;
    kal_list_push_back(&shard->clock, &table->clock);
    shard->cached++;
    return evicted;
}

/* The object to use, retained: another one when it is known already. Takes over the reference. */
static kal_table *make_known(kal_schema_cache *cache, kal_table *table)
{
    cache_key key;
    kal_table *unused = NULL;
    kal_table *evicted = NULL;

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
        atomic_store(&table->validated_s, now_of(cache));
        kal_map_put(&shard->live, key_bytes(&key), table);
        id_put(cache, table);
    }
    if (!table->is_cached)
        evicted = cache_table(cache, shard, table);
    pthread_mutex_unlock(&shard->lock);
    kal_table_release(unused);
    if (evicted != NULL)
        free_table(evicted);
    return table;
}

kal_table *kal_schema_cache_add(kal_catalog_worker *worker, kal_table *table)
{
    kal_schema_cache *cache = worker->cache;
    uint64_t generation = atomic_load_explicit(&cache->generation, memory_order_acquire);

    if (atomic_load_explicit(&cache->is_failing, memory_order_relaxed))
        generation = 0; /* of no moment: the slot will not answer */
    count(worker, TALLY_LOCKS);
    table = make_known(cache, table);
    size_t slot = slot_number(table->def->namespace_id, table->def->table_name);
    return lend(worker, way_to_fill(&worker->slots[slot], generation), table, generation);
}

bool kal_schema_cache_warm(kal_schema_cache *cache, kal_table *table)
{
    kal_table_release(make_known(cache, table));
    size_t cached = 0;
    for (size_t i = 0; i < SHARD_COUNT; i++)
        cached += cache->shards[i].cached; /* nobody else is there yet */
    return cached < (cache->shard_tables_max - 1) * SHARD_COUNT;
}

/* Takes what is known by this name out; the shard is locked. Returns a table to free, or NULL. */
static kal_table *retire(cache_shard *shard, const cache_key *key, kal_table_fate fate)
{
    kal_table *old = kal_map_find(&shard->live, key_bytes(key));
    if (old == NULL)
        return NULL;
    atomic_store(&old->fate, fate);
    kal_map_remove(&shard->live, key_bytes(key));
    id_remove(old->cache, old);
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
        atomic_store(&table->validated_s, now_of(cache));
        kal_map_put(&shard->live, key_bytes(&key), table);
        id_put(cache, table);
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

uint64_t kal_schema_cache_generation(kal_schema_cache *cache)
{
    return atomic_load_explicit(&cache->generation, memory_order_acquire);
}

void kal_schema_cache_next_generation(kal_schema_cache *cache)
{
    atomic_fetch_add_explicit(&cache->generation, 1, memory_order_release);
}

void kal_schema_cache_tick(kal_schema_cache *cache, uint32_t now_s)
{
    atomic_store_explicit(&cache->now_s, now_s, memory_order_relaxed);
}

void kal_schema_cache_fail(kal_schema_cache *cache, bool failing)
{
    atomic_store(&cache->is_failing, failing);
    kal_schema_cache_next_generation(cache);
}

/* ---- telling ---- */

void kal_schema_cache_each(kal_schema_cache *cache, kal_cache_visit visit, void *context)
{
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        pthread_mutex_lock(&cache->shards[i].lock);
        KAL_LIST_FOR_EACH (link, &cache->shards[i].clock)
            visit(context, KAL_CONTAINER_OF(link, kal_table, clock));
        pthread_mutex_unlock(&cache->shards[i].lock);
    }
}

static void sum_tallies(kal_schema_cache *cache, uint64_t sums[TALLIES])
{
    pthread_mutex_lock(&cache->workers_lock);
    memcpy(sums, cache->closed, sizeof cache->closed);
    KAL_LIST_FOR_EACH (link, &cache->workers) {
        kal_catalog_worker *worker = KAL_CONTAINER_OF(link, kal_catalog_worker, link);
        for (size_t i = 0; i < TALLIES; i++)
            sums[i] += atomic_load_explicit(&worker->tallies[i], memory_order_relaxed);
    }
    pthread_mutex_unlock(&cache->workers_lock);
}

kal_cache_stats kal_schema_cache_stats(kal_schema_cache *cache)
{
    uint64_t sums[TALLIES];
    sum_tallies(cache, sums);
    kal_cache_stats stats = {
        .hits = sums[TALLY_HITS],
        .misses = sums[TALLY_MISSES],
        .revalidations = sums[TALLY_REVALIDATIONS],
        .failures = sums[TALLY_FAILURES],
        .slow_path_locks = sums[TALLY_LOCKS],
        .capacity = (cache->shard_tables_max - 1) * SHARD_COUNT,
    };
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        pthread_mutex_lock(&cache->shards[i].lock);
        stats.size += cache->shards[i].cached;
        stats.evictions += cache->shards[i].evictions;
        stats.bytes += cached_bytes(&cache->shards[i]);
        pthread_mutex_unlock(&cache->shards[i].lock);
    }
    return stats;
}
