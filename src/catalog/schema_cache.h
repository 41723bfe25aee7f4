/*
 * schema_cache.h: the tables that are in memory, by name.
 *
 *     worker's slots --miss--> shard: map of names, CLOCK --miss--> store (the caller)
 *
 * A worker belongs to one thread. Its direct-mapped slots are valid while the global generation has
 * not moved, so an unchanged catalog costs no lock and no shared write: a load of the generation
 * and a comparison of names. A change is put into the shards first, then the generation moves.
 *
 * There is one kal_table object per version of a table, however often it is looked up: one that was
 * evicted but is still in use is found again, so that marking its fate reaches everybody.
 *
 * Threads: a worker by its own; the rest by any.
 */
#ifndef KAL_CATALOG_SCHEMA_CACHE_H
#define KAL_CATALOG_SCHEMA_CACHE_H

#include "catalog/catalog.h"

typedef struct kal_schema_cache kal_schema_cache; /* opaque: kal_schema_cache_close */

#define KAL_SCHEMA_CACHE_TABLES_MAX 10000

kal_schema_cache *kal_schema_cache_open(size_t tables_max);
/* Asserts that nobody holds a table any more. */
void kal_schema_cache_close(kal_schema_cache *cache);

kal_catalog_worker *kal_schema_cache_worker(kal_schema_cache *cache, kal_catalog *catalog);
void kal_schema_cache_worker_close(kal_schema_cache *cache, kal_catalog_worker *worker);
kal_catalog *kal_schema_cache_worker_catalog(kal_catalog_worker *worker);

/* From the worker's slot or the shards; NULL: not in memory (counted as a miss). Borrowed from the
 * worker until its next look-up. */
kal_table *kal_schema_cache_find(kal_schema_cache *cache, kal_catalog_worker *worker, kal_bytes ns,
                                 kal_bytes name);
/* Makes a table found in the store known; takes over the reference. Returns the object to use,
 * which is another one when somebody was faster; borrowed from the worker. */
kal_table *kal_schema_cache_add(kal_schema_cache *cache, kal_catalog_worker *worker,
                                kal_table *table);
/* Replaces what is known under the table's name (publish); takes over the reference. */
void kal_schema_cache_put(kal_schema_cache *cache, kal_table *table);
/* Forgets what is known under this name and marks it with its fate (publish). */
void kal_schema_cache_remove(kal_schema_cache *cache, kal_bytes ns, kal_bytes name,
                             kal_table_fate fate);
/* After put and remove, before anybody is told: no slot is valid any more. */
void kal_schema_cache_next_generation(kal_schema_cache *cache);

kal_cache_stats kal_schema_cache_stats(kal_schema_cache *cache);

#endif
