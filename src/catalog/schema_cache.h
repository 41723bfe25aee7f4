/*
 * schema_cache.h: the tables that are in memory, by name and by number.
 *
 *     worker's slots --miss--> shards: index of live tables, CLOCK --miss--> store (the caller)
 *
 * A worker belongs to one thread. Its slots (schema_slots.h) are valid while the global generation
 * has not moved, so an unchanged catalog costs no lock and no shared write: a load of the
 * generation and a comparison of names. A change is put into the index first, then the generation
 * moves.
 *
 * Tables of `enable_cache = false` are never kept: each look-up reads the store. Those with
 * cache_ttl_seconds are compared with the store when that time has passed; since nothing but
 * publishing changes a table, it only ever finds them unchanged.
 *
 * There is one kal_table object per version of a table, however often it is looked up: every object
 * that somebody holds is in the index, so that marking its fate reaches everybody. Which of them
 * the cache keeps by a reference of its own is what the capacity and CLOCK decide. Tables whose NOT
 * NULL is enforced ahead of their definition are always kept: the store does not know of that.
 *
 * Threads: a worker by its own; the rest by any.
 */
#ifndef KAL_CATALOG_SCHEMA_CACHE_H
#define KAL_CATALOG_SCHEMA_CACHE_H

#include "catalog/catalog.h"

typedef struct kal_schema_cache kal_schema_cache; /* opaque: kal_schema_cache_close */

kal_schema_cache *kal_schema_cache_open(size_t tables_max);
/* Asserts that nobody holds a table any more. */
void kal_schema_cache_close(kal_schema_cache *cache);

kal_catalog_worker *kal_schema_cache_worker(kal_schema_cache *cache, kal_catalog *catalog);
void kal_schema_cache_worker_close(kal_schema_cache *cache, kal_catalog_worker *worker);
kal_catalog *kal_schema_cache_worker_catalog(kal_catalog_worker *worker);

typedef enum kal_cache_answer {
    KAL_CACHE_HIT,
    KAL_CACHE_EXPIRED, /* there is a table, but compare it with the store:
                          kal_schema_cache_validated */
    KAL_CACHE_MISS,    /* not in memory, or not to be kept there: read the store */
    KAL_CACHE_FAILED,  /* as a miss; say so in the log */
} kal_cache_answer;

/* From the worker's slot or the shards; *table_out is borrowed from the worker until its next
 * look-up, NULL unless there is one. */
kal_cache_answer kal_schema_cache_find(kal_catalog_worker *worker, kal_bytes ns, kal_bytes name,
                                       kal_table **table_out);
kal_cache_answer kal_schema_cache_find_id(kal_catalog_worker *worker, uint32_t table_id,
                                          kal_table **table_out);
/* The store says the same as this table: good for another cache_ttl_seconds. */
void kal_schema_cache_validated(kal_catalog_worker *worker, kal_table *table);
/* Makes a table found in the store known; takes over the reference. Returns the object to use,
 * which is another one when somebody was faster; borrowed from the worker. by_id: how it was looked
 * up. */
kal_table *kal_schema_cache_add(kal_catalog_worker *worker, kal_table *table, bool by_id);
/* The same at start, for nobody in particular. False when there is no room for more. */
bool kal_schema_cache_warm(kal_schema_cache *cache, kal_table *table);
/* Replaces what is known under the table's name (publish); takes over the reference. */
void kal_schema_cache_put(kal_schema_cache *cache, kal_table *table);
/* Forgets what is known under this name and marks it with its fate (publish). */
void kal_schema_cache_remove(kal_schema_cache *cache, kal_bytes ns, kal_bytes name,
                             kal_table_fate fate);
/* After put and remove, before anybody is told: no slot is valid any more. */
void kal_schema_cache_next_generation(kal_schema_cache *cache);
uint64_t kal_schema_cache_generation(kal_schema_cache *cache);
uint64_t kal_schema_cache_epoch(const kal_schema_cache *cache);
/* The time by which cache_ttl_seconds are measured; any seconds that do not go back. */
void kal_schema_cache_tick(kal_schema_cache *cache, uint32_t now_s);
/* From now on the cache answers nothing, as if it were broken; for tests. */
void kal_schema_cache_fail(kal_schema_cache *cache, bool failing);

/* Every table that is kept, in no order; visit must not look tables up. */
typedef void (*kal_cache_visit)(void *context, const kal_table *table);
void kal_schema_cache_each(kal_schema_cache *cache, kal_cache_visit visit, void *context);
kal_cache_stats kal_schema_cache_stats(kal_schema_cache *cache);

#endif
