/*
 * object_cache.h: objects of far stores as files of this machine: fetched as a whole when they are
 * first asked for, kept as long as there is room.
 *
 * Objects are never changed in place, so what is here is right. An entry is pinned while somebody
 * reads its file; the others are removed, least recently used first, when the limit is passed. Only
 * what is pinned at the same time can pass it. Several who ask for one object at a time have it
 * fetched once: one of them fetches, the others wait and share what comes of it. A fetch that was
 * given up (a deadline, a broken connection) is gone on with by the next one.
 *
 * The directory is the cache's own, and empty when it is opened: nothing of a crash is believed.
 *
 * Threads: any. Fetching blocks for as long as the store does, and holds no lock meanwhile.
 */
#ifndef KAL_STORAGE_OBJECT_CACHE_H
#define KAL_STORAGE_OBJECT_CACHE_H

#include "storage/object_store.h"

typedef struct kal_object_cache kal_object_cache;   /* opaque: kal_object_cache_close */
typedef struct kal_cached_object kal_cached_object; /* pinned: kal_cached_object_release */

/* Makes and empties the directory (absolute, copied). KAL_IO, KAL_INVALID. */
KAL_MUST_CHECK kal_status kal_object_cache_open(const char *directory, uint64_t bytes_max,
                                                kal_object_cache **cache_out, kal_error *err);
void kal_object_cache_close(kal_object_cache *cache); /* NULL is allowed; nothing is pinned */

typedef struct kal_object_cache_name {
    kal_bytes storage_id;
    kal_bytes key;
} kal_object_cache_name;

/*
 * The object as a file. store: to fetch it from; size: what it must have; poll: of who asks (NULL:
 * nobody), also while another one fetches. KAL_CORRUPT: missing, or of another size; KAL_IO: from
 * the store, or when there is no room on the disk; what poll says.
 */
KAL_MUST_CHECK kal_status kal_object_cache_get(kal_object_cache *cache, kal_object_store *store,
                                               const kal_object_cache_name *name, uint64_t size,
                                               const kal_object_poll *poll,
                                               kal_cached_object **object_out, kal_error *err);
/* Valid while it is pinned, and not dropped. The same whenever the object is here. */
const char *kal_cached_object_path(const kal_cached_object *object);
void kal_cached_object_release(kal_cached_object *object); /* NULL is allowed */

/* Takes in the file of an object that was just put: it is moved, unless there is no room. */
void kal_object_cache_adopt(kal_object_cache *cache, const kal_object_cache_name *name,
                            const char *path, uint64_t size);
/* The object is deleted, or its file here is not what it was: the next one fetches it anew. */
void kal_object_cache_drop(kal_object_cache *cache, const kal_object_cache_name *name);

typedef struct kal_object_cache_counts {
    uint64_t hits;
    uint64_t misses; /* also those that waited for another one's fetch */
    uint64_t evictions;
    uint64_t fetched_bytes;
    uint64_t bytes; /* now, those of fetches under way included */
    uint64_t pinned_bytes;
    uint64_t bytes_max;
} kal_object_cache_counts;
kal_object_cache_counts kal_object_cache_get_counts(kal_object_cache *cache);

#endif
