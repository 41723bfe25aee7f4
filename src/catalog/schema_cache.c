/*
 * schema_cache.c: the index of live tables, and which of them the cache keeps.
 *
 * Life of a reference: whoever holds a table has counted himself in `refs`. The index holds none:
 * a look-up takes one from it only while the count is not 0 (try_retain). The one who gives back
 * the last takes the table out of the index, then frees it. So an object in the index may be dying,
 * but memory found there under the shard's lock is valid.
 *
 * Locks: one at a time, but for workers_lock, which nothing is taken under.
 */
#include "catalog/schema_cache.h"
#include "base/assert.h"
#include "base/cache_line.h"
#include "base/list.h"
#include "catalog/catalog_internal.h"
#include "catalog/schema_slots.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdlib.h>

enum { SHARD_COUNT = 16, USES_FOLDED = 64 };

/* By name. Invariant: a table that somebody holds and whose fate is CURRENT is in here, and by its
 * id in the other. */
typedef struct name_shard {
    alignas(KAL_CACHE_LINE_BYTES) pthread_mutex_t lock;
    kal_table **buckets; /* owned; chained by cached.next_by_name */
    kal_list clock;      /* tables that the cache keeps, the next candidate first */
    uint64_t evictions;
} name_shard;

typedef struct id_shard {
    alignas(KAL_CACHE_LINE_BYTES) pthread_mutex_t lock;
    kal_table **buckets; /* owned; chained by cached.next_by_id */
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
    /* Read at each look-up, written hardly ever: in a line of their own. */
    alignas(KAL_CACHE_LINE_BYTES) _Atomic uint64_t generation;
    _Atomic uint32_t now_s;  /* moved by kal_schema_cache_tick() */
    _Atomic bool is_failing; /* on purpose */
    _Atomic uint64_t epoch;  /* see kal_catalog_epoch() */
    size_t tables_max;
    size_t bucket_mask;                                /* of each shard */
    alignas(KAL_CACHE_LINE_BYTES) _Atomic size_t kept; /* in all clocks */
    _Atomic unsigned hand;                             /* the shard at which CLOCK stands */
    name_shard names[SHARD_COUNT];
    id_shard ids[SHARD_COUNT];
    pthread_mutex_t workers_lock; /* protects the rest */
    kal_list workers;
    uint64_t closed[TALLIES]; /* of workers that are gone */
};

struct kal_catalog_worker {
    /* written by the worker only */
    alignas(KAL_CACHE_LINE_BYTES) _Atomic uint64_t tallies[TALLIES];
    kal_schema_cache *cache;
    kal_slots by_name;
    kal_slots by_id;
    kal_catalog *catalog;
    kal_table *borrowed; /* retained: what the last look-up gave and no slot holds */
    kal_list link;
};

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

/* ---- life cycle ---- */

static kal_table **new_buckets(size_t mask)
{
    kal_table **buckets = calloc(mask + 1, sizeof(kal_table *));
    if (buckets == NULL)
        kal_die("out of memory: schema cache");
    return buckets;
}

kal_schema_cache *kal_schema_cache_open(size_t tables_max)
{
    kal_schema_cache *cache = kal_cache_lines_alloc(sizeof *cache, "schema cache");
    size_t buckets = 16;

    while (buckets * SHARD_COUNT < tables_max)
        buckets *= 2;
    cache->generation = 1;
    cache->tables_max = tables_max;
    cache->bucket_mask = buckets - 1;
    pthread_mutex_init(&cache->workers_lock, NULL);
    kal_list_init(&cache->workers);
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        pthread_mutex_init(&cache->names[i].lock, NULL);
        kal_list_init(&cache->names[i].clock);
        cache->names[i].buckets = new_buckets(cache->bucket_mask);
        pthread_mutex_init(&cache->ids[i].lock, NULL);
        cache->ids[i].buckets = new_buckets(cache->bucket_mask);
    }
    return cache;
}

kal_catalog_worker *kal_schema_cache_worker(kal_schema_cache *cache, kal_catalog *catalog)
{
    kal_catalog_worker *worker = kal_cache_lines_alloc(sizeof *worker, "schema cache");
    worker->catalog = catalog;
    worker->cache = cache;
    kal_slots_init(&worker->by_name, false, cache->tables_max);
    kal_slots_init(&worker->by_id, true, cache->tables_max);
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
    kal_slots_release(&worker->by_name);
    kal_slots_release(&worker->by_id);
    kal_table_release(worker->borrowed);
    free(worker);
}

kal_catalog *kal_schema_cache_worker_catalog(kal_catalog_worker *worker)
{
    return worker->catalog;
}

/* ---- the index ---- */

static name_shard *names_of(kal_schema_cache *cache, uint64_t hash)
{
    return &cache->names[(hash >> 56) % SHARD_COUNT];
}

static kal_table **name_bucket(kal_schema_cache *cache, uint64_t hash)
{
    return &names_of(cache, hash)->buckets[hash & cache->bucket_mask];
}

static id_shard *ids_of(kal_schema_cache *cache, uint32_t table_id)
{
    return &cache->ids[table_id % SHARD_COUNT];
}

static kal_table **id_bucket(kal_schema_cache *cache, uint32_t table_id)
{
    return &ids_of(cache, table_id)->buckets[table_id / SHARD_COUNT & cache->bucket_mask];
}

static inline bool is_named(const kal_table *table, kal_bytes ns, kal_bytes name)
{
    const kal_cache_entry *e = &table->cached;
    if (e->ns_len != ns.len || e->name_len != name.len)
        return false;
    if (KAL_UNLIKELY(ns.len + name.len > sizeof e->key))
        return kal_bytes_equal(table->def->table_name, name) &&
               kal_bytes_equal(table->def->namespace_id, ns);
    return kal_slot_same_text(kal_bytes_of(e->key + ns.len, name.len), name) &&
           kal_slot_same_text(kal_bytes_of(e->key, ns.len), ns);
}

/* false: whoever gave back the last reference is about to free it. */
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

/* Retained, or NULL; the shard is locked. */
static kal_table *find_name_locked(kal_schema_cache *cache, uint64_t hash, kal_bytes ns,
                                   kal_bytes name)
{
    kal_table *table = *name_bucket(cache, hash);
    for (; table != NULL; table = table->cached.next_by_name) {
        if (table->cached.name_hash == hash && is_named(table, ns, name) && try_retain(table))
            return table;
    }
    return NULL;
}

static kal_table *find_id_locked(kal_schema_cache *cache, uint32_t table_id)
{
    kal_table *table = *id_bucket(cache, table_id);
    for (; table != NULL; table = table->cached.next_by_id) {
        if (table->def->table_id == table_id && try_retain(table))
            return table;
    }
    return NULL;
}

static void link_name(kal_schema_cache *cache, kal_table *table)
{
    kal_table **bucket = name_bucket(cache, table->cached.name_hash);
    table->cached.next_by_name = *bucket;
    *bucket = table;
}

static void unlink_name(kal_schema_cache *cache, kal_table *table)
{
    kal_table **at = name_bucket(cache, table->cached.name_hash);
    while (*at != NULL && *at != table)
        at = &(*at)->cached.next_by_name;
    if (*at != NULL)
        *at = table->cached.next_by_name;
}

static void unlink_id(kal_schema_cache *cache, kal_table *table)
{
    kal_table **at = id_bucket(cache, table->def->table_id);
    while (*at != NULL && *at != table)
        at = &(*at)->cached.next_by_id;
    if (*at != NULL)
        *at = table->cached.next_by_id;
}

/* From now on this is what is found by its id. */
static void index_id(kal_schema_cache *cache, kal_table *table)
{
    id_shard *shard = ids_of(cache, table->def->table_id);
    kal_table **bucket = id_bucket(cache, table->def->table_id);

    pthread_mutex_lock(&shard->lock);
    unlink_id(cache, table);
    table->cached.next_by_id = *bucket;
    *bucket = table;
    pthread_mutex_unlock(&shard->lock);
}

static void forget_id(kal_schema_cache *cache, kal_table *table)
{
    id_shard *shard = ids_of(cache, table->def->table_id);
    pthread_mutex_lock(&shard->lock);
    unlink_id(cache, table);
    pthread_mutex_unlock(&shard->lock);
}

/* ---- references ---- */

static void free_table(kal_table *table)
{
    kal_row_versions_free(table);
    free(atomic_load(&table->note));
    kal_arena_release(&table->arena);
    free(table);
}

kal_table *kal_table_retain(kal_table *table)
{
    atomic_fetch_add_explicit(&table->refs, 1, memory_order_relaxed);
    return table;
}

void kal_table_release(kal_table *table)
{
    if (table == NULL || atomic_fetch_sub_explicit(&table->refs, 1, memory_order_acq_rel) != 1)
        return;
    kal_schema_cache *cache = table->cached.cache;
    if (cache != NULL) {
        name_shard *shard = names_of(cache, table->cached.name_hash);
        pthread_mutex_lock(&shard->lock);
        unlink_name(cache, table);
        pthread_mutex_unlock(&shard->lock);
        forget_id(cache, table);
    }
    free_table(table);
}

/* ---- what the cache keeps; the name shard is locked ---- */

static bool is_pinned(const kal_table *table)
{
    return table->enforced_count > 0;
}

static bool is_cacheable(const kal_table *table)
{
    return table->def->table_type != KAL_TABLE_SHARED ||
           kal_table_options_is_cache_enabled(&table->def->options);
}

static uint32_t now_of(const kal_schema_cache *cache)
{
    return atomic_load_explicit(&cache->now_s, memory_order_relaxed);
}

/* When a table that is right now has to be compared with the store. */
static uint32_t expiry(const kal_schema_cache *cache, const kal_table *table)
{
    uint64_t ttl = 0;
    uint64_t at = 0;
    if (!kal_table_options_cache_ttl_seconds(&table->def->options, &ttl) || ttl == 0 ||
        !kal_try_add(ttl, (uint64_t)now_of(cache), &at) || at > KAL_CACHE_NO_LIMIT)
        return KAL_CACHE_NO_LIMIT;
    return (uint32_t)at;
}

static void keep(kal_schema_cache *cache, name_shard *shard, kal_table *table)
{
    kal_cache_entry *e = &table->cached;
    if (e->is_held || !(is_cacheable(table) || is_pinned(table)))
        return;
    kal_table_retain(table);
    e->is_held = true;
    kal_list_push_back(&shard->clock, &e->clock);
    atomic_fetch_add(&cache->kept, 1);
    atomic_store_explicit(&e->was_used, true, memory_order_relaxed);
    atomic_store_explicit(&e->good_until_s, is_cacheable(table) ? e->expires_s : 0,
                          memory_order_relaxed);
}

/* The cache's reference is the caller's then; NULL when it had none. */
static kal_table *let_go(kal_schema_cache *cache, kal_table *table)
{
    kal_cache_entry *e = &table->cached;
    if (!e->is_held)
        return NULL;
    e->is_held = false;
    kal_list_remove(&e->clock);
    atomic_fetch_sub(&cache->kept, 1);
    atomic_store_explicit(&e->good_until_s, 0, memory_order_relaxed);
    return table;
}

/* One step of CLOCK: a table that was used since the hand passed stays for another round. */
static kal_table *examine_one(kal_schema_cache *cache, name_shard *shard)
{
    if (kal_list_empty(&shard->clock))
        return NULL;
    kal_table *table = KAL_CONTAINER_OF(shard->clock.next, kal_table, cached.clock);
    if (!is_pinned(table) &&
        !atomic_exchange_explicit(&table->cached.was_used, false, memory_order_relaxed)) {
        shard->evictions++;
        return let_go(cache, table);
    }
    kal_list_remove(&table->cached.clock);
    kal_list_push_back(&shard->clock, &table->cached.clock);
    return NULL;
}

/* The hand goes from shard to shard, one table in each; no lock is held. Two rounds find a table
 * unless all are pinned, or used faster than the hand goes. */
static void evict_over_capacity(kal_schema_cache *cache)
{
    size_t steps = 2 * (atomic_load(&cache->kept) + SHARD_COUNT) * 2;
    for (; steps > 0 && atomic_load(&cache->kept) > cache->tables_max; steps--) {
        name_shard *shard = &cache->names[atomic_fetch_add(&cache->hand, 1) % SHARD_COUNT];
        pthread_mutex_lock(&shard->lock);
        kal_table *evicted = examine_one(cache, shard);
        pthread_mutex_unlock(&shard->lock);
        kal_table_release(evicted);
    }
}

void kal_schema_cache_close(kal_schema_cache *cache)
{
    KAL_ASSERT(kal_list_empty(&cache->workers));
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        name_shard *shard = &cache->names[i];
        while (!kal_list_empty(&shard->clock)) {
            kal_table *table = KAL_CONTAINER_OF(shard->clock.next, kal_table, cached.clock);
            pthread_mutex_lock(&shard->lock);
            kal_table *kept = let_go(cache, table);
            pthread_mutex_unlock(&shard->lock);
            KAL_ASSERT(kept->refs == 1); /* nobody else holds it */
            kal_table_release(kept);
        }
    }
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        for (size_t b = 0; b <= cache->bucket_mask; b++) {
            KAL_ASSERT(cache->names[i].buckets[b] == NULL);
            KAL_ASSERT(cache->ids[i].buckets[b] == NULL);
        }
        free(cache->names[i].buckets);
        free(cache->ids[i].buckets);
        pthread_mutex_destroy(&cache->names[i].lock);
        pthread_mutex_destroy(&cache->ids[i].lock);
    }
    pthread_mutex_destroy(&cache->workers_lock);
    free(cache);
}

/* ---- looking up ---- */

static inline kal_table *hit(kal_catalog_worker *worker, kal_slot *slot)
{
    kal_cache_entry *e = &slot->table->cached;
    count(worker, TALLY_HITS);
    if (KAL_UNLIKELY(!atomic_load_explicit(&e->was_used, memory_order_relaxed)))
        atomic_store_explicit(&e->was_used, true, memory_order_relaxed);
    if (KAL_UNLIKELY(++slot->uses >= USES_FOLDED)) {
        atomic_fetch_add_explicit(&e->uses, slot->uses, memory_order_relaxed);
        slot->uses = 0;
    }
    return slot->table;
}

/* Takes over the reference. generation: read before the index was asked. */
static void lend(kal_catalog_worker *worker, kal_table *table, bool by_id, uint64_t generation)
{
    if (is_cacheable(table)) {
        kal_slots_put(by_id ? &worker->by_id : &worker->by_name, table, generation);
        return;
    }
    kal_table_release(worker->borrowed);
    worker->borrowed = table;
}

/* Keeps a table that was evicted while it was in use. */
static void keep_again(kal_catalog_worker *worker, kal_table *table)
{
    kal_schema_cache *cache = worker->cache;
    name_shard *shard = names_of(cache, table->cached.name_hash);

    lock_counted(worker, &shard->lock);
    if (atomic_load(&table->fate) == KAL_TABLE_CURRENT)
        keep(cache, shard, table);
    pthread_mutex_unlock(&shard->lock);
    evict_over_capacity(cache);
}

/* What was found in the index, retained, or NULL: to the caller, or to be read from the store. */
static kal_cache_answer answer(kal_catalog_worker *worker, kal_table *table, bool by_id,
                               uint64_t generation, kal_table **table_out)
{
    if (table == NULL || !is_cacheable(table)) {
        kal_table_release(table);
        count(worker, TALLY_MISSES);
        return KAL_CACHE_MISS;
    }
    atomic_store_explicit(&table->cached.was_used, true, memory_order_relaxed);
    if (atomic_load_explicit(&table->cached.good_until_s, memory_order_relaxed) == 0)
        keep_again(worker, table);
    lend(worker, table, by_id, generation);
    *table_out = table;
    if (now_of(worker->cache) <
        atomic_load_explicit(&table->cached.expires_s, memory_order_relaxed)) {
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

static kal_cache_answer find_in_index(kal_catalog_worker *worker, uint64_t hash, kal_bytes ns,
                                      kal_bytes name, uint64_t generation, kal_table **table_out)
{
    name_shard *shard = names_of(worker->cache, hash);

    if (fails(worker))
        return KAL_CACHE_FAILED;
    lock_counted(worker, &shard->lock);
    kal_table *table = find_name_locked(worker->cache, hash, ns, name);
    pthread_mutex_unlock(&shard->lock);
    return answer(worker, table, false, generation, table_out);
}

/* The cache vouches for what the slot holds without being asked. */
static inline bool is_good(uint32_t now_s, const kal_slot *slot)
{
    return now_s < atomic_load_explicit(&slot->table->cached.good_until_s, memory_order_relaxed);
}

kal_cache_answer kal_schema_cache_find(kal_catalog_worker *worker, kal_bytes ns, kal_bytes name,
                                       kal_table **table_out)
{
    const kal_schema_cache *cache = worker->cache;
    /* Before the index is asked: if a change comes in between, the slot is outdated at once. */
    uint64_t generation = atomic_load_explicit(&cache->generation, memory_order_acquire);
    uint64_t hash = kal_slot_hash(ns, name);
    kal_slot *slot = &worker->by_name.items[(uint32_t)hash & worker->by_name.mask];

    *table_out = NULL;
    for (unsigned i = 0; i < KAL_SLOT_WINDOW; i++, slot++) {
        if (slot->tag == kal_slot_tag(hash) && slot->generation == generation &&
            is_named(slot->table, ns, name) && is_good(now_of(cache), slot)) {
            *table_out = hit(worker, slot);
            return KAL_CACHE_HIT;
        }
    }
    return find_in_index(worker, hash, ns, name, generation, table_out);
}

static kal_cache_answer find_id_in_index(kal_catalog_worker *worker, uint32_t table_id,
                                         uint64_t generation, kal_table **table_out)
{
    id_shard *shard = ids_of(worker->cache, table_id);

    if (fails(worker))
        return KAL_CACHE_FAILED;
    lock_counted(worker, &shard->lock);
    kal_table *table = find_id_locked(worker->cache, table_id);
    pthread_mutex_unlock(&shard->lock);
    return answer(worker, table, true, generation, table_out);
}

kal_cache_answer kal_schema_cache_find_id(kal_catalog_worker *worker, uint32_t table_id,
                                          kal_table **table_out)
{
    const kal_schema_cache *cache = worker->cache;
    uint64_t generation = atomic_load_explicit(&cache->generation, memory_order_acquire);
    kal_slot *slot = &worker->by_id.items[table_id & worker->by_id.mask];

    *table_out = NULL;
    for (unsigned i = 0; i < KAL_SLOT_WINDOW; i++, slot++) {
        if (slot->tag == table_id && slot->generation == generation &&
            is_good(now_of(cache), slot)) {
            *table_out = hit(worker, slot);
            return KAL_CACHE_HIT;
        }
    }
    return find_id_in_index(worker, table_id, generation, table_out);
}

void kal_schema_cache_validated(kal_catalog_worker *worker, kal_table *table)
{
    kal_schema_cache *cache = worker->cache;
    name_shard *shard = names_of(cache, table->cached.name_hash);

    lock_counted(worker, &shard->lock);
    atomic_store(&table->cached.expires_s, expiry(cache, table));
    if (table->cached.is_held)
        atomic_store(&table->cached.good_until_s, table->cached.expires_s);
    pthread_mutex_unlock(&shard->lock);
}

/* ---- changing ---- */

/* Before the table can be found. */
static void prepare(kal_schema_cache *cache, kal_table *table)
{
    const kal_table_definition *def = table->def;
    kal_cache_entry *e = &table->cached;
    KAL_ASSERT(def->namespace_id.len <= KAL_NAME_BYTES_MAX);
    KAL_ASSERT(def->table_name.len <= KAL_NAME_BYTES_MAX);
    e->cache = cache;
    e->ns_len = (uint8_t)def->namespace_id.len;
    e->name_len = (uint8_t)def->table_name.len;
    if ((size_t)e->ns_len + e->name_len <= sizeof e->key) {
        memcpy(e->key, def->namespace_id.ptr, e->ns_len);
        memcpy(e->key + e->ns_len, def->table_name.ptr, e->name_len);
    }
    e->name_hash = kal_slot_hash(def->namespace_id, def->table_name);
    e->expires_s = expiry(cache, table);
    kal_list_init(&e->clock);
}

static bool is_same_version(const kal_table *a, const kal_table *b)
{
    return a->def->table_id == b->def->table_id &&
           a->def->schema_version == b->def->schema_version && a->hot_id == b->hot_id;
}

/* Puts `table` in the place of `old` (or of nothing); the shard is locked. Returns the reference to
 * old that the cache had. */
static kal_table *take_place(kal_schema_cache *cache, kal_table *old, kal_table *table)
{
    kal_table *kept = NULL;
    if (old != NULL) {
        atomic_store(&old->fate, KAL_TABLE_REPLACED);
        unlink_name(cache, old);
        kept = let_go(cache, old);
    }
    link_name(cache, table);
    return kept;
}

/* Makes `table` known unless this very version is: returns which one is, retained, and takes over
 * the reference to the other. */
static kal_table *make_known(kal_schema_cache *cache, kal_table *table)
{
    kal_table *old_kept = NULL;

    prepare(cache, table);
    table->epoch = atomic_fetch_add(&cache->epoch, 1) + 1; /* its definition is in the store */
    name_shard *shard = names_of(cache, table->cached.name_hash);
    pthread_mutex_lock(&shard->lock);
    kal_table *old = find_name_locked(cache, table->cached.name_hash, table->def->namespace_id,
                                      table->def->table_name);
    bool is_known = old != NULL && is_same_version(old, table);
    if (!is_known)
        old_kept = take_place(cache, old, table);
    keep(cache, shard, is_known ? old : table);
    pthread_mutex_unlock(&shard->lock);
    if (is_known) {
        table->cached.cache = NULL; /* it never was in the index */
        kal_table_release(table);
    } else {
        index_id(cache, table);
        if (old != NULL)
            forget_id(cache, old);
        kal_table_release(old_kept);
        kal_table_release(old);
    }
    evict_over_capacity(cache);
    return is_known ? old : table;
}

kal_table *kal_schema_cache_add(kal_catalog_worker *worker, kal_table *table, bool by_id)
{
    /* The caller keeps changes from being published between the store and here. */
    uint64_t generation = atomic_load_explicit(&worker->cache->generation, memory_order_acquire);

    if (atomic_load_explicit(&worker->cache->is_failing, memory_order_relaxed))
        generation = 0; /* of no moment: the slot will not answer */
    count(worker, TALLY_LOCKS);
    table = make_known(worker->cache, table);
    lend(worker, table, by_id, generation);
    return table;
}

bool kal_schema_cache_warm(kal_schema_cache *cache, kal_table *table)
{
    kal_schema_cache_put(cache, table);
    return atomic_load(&cache->kept) < cache->tables_max;
}

void kal_schema_cache_put(kal_schema_cache *cache, kal_table *table)
{
    kal_table_release(make_known(cache, table));
}

void kal_schema_cache_remove(kal_schema_cache *cache, kal_bytes ns, kal_bytes name,
                             kal_table_fate fate)
{
    uint64_t hash = kal_slot_hash(ns, name);
    name_shard *shard = names_of(cache, hash);
    kal_table *kept = NULL;

    pthread_mutex_lock(&shard->lock);
    kal_table *table = find_name_locked(cache, hash, ns, name);
    if (table != NULL) {
        atomic_store(&table->fate, fate);
        unlink_name(cache, table);
        kept = let_go(cache, table);
    }
    pthread_mutex_unlock(&shard->lock);
    if (table != NULL)
        forget_id(cache, table);
    kal_table_release(kept);
    kal_table_release(table);
}

uint64_t kal_schema_cache_epoch(const kal_schema_cache *cache)
{
    return atomic_load(&cache->epoch);
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
    kal_schema_cache_next_generation(cache); /* so that the slots do not answer instead */
}

/* ---- telling ---- */

void kal_schema_cache_each(kal_schema_cache *cache, kal_cache_visit visit, void *context)
{
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        pthread_mutex_lock(&cache->names[i].lock);
        KAL_LIST_FOR_EACH (link, &cache->names[i].clock)
            visit(context, KAL_CONTAINER_OF(link, kal_table, cached.clock));
        pthread_mutex_unlock(&cache->names[i].lock);
    }
}

/* The shard is locked. */
static uint64_t kept_bytes(const name_shard *shard)
{
    uint64_t bytes = 0;
    KAL_LIST_FOR_EACH (link, &shard->clock) {
        const kal_table *table = KAL_CONTAINER_OF(link, kal_table, cached.clock);
        const kal_table_note *note = kal_table_note_get(table);
        bytes += table->bytes + (note == NULL ? 0 : sizeof *note + note->len);
    }
    return bytes;
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
        .size = atomic_load(&cache->kept),
        .capacity = cache->tables_max,
    };
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        pthread_mutex_lock(&cache->names[i].lock);
        stats.evictions += cache->names[i].evictions;
        stats.bytes += kept_bytes(&cache->names[i]);
        pthread_mutex_unlock(&cache->names[i].lock);
    }
    return stats;
}
