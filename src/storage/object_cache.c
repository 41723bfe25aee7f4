/*
 * object_cache.c: an entry's life, under the cache's lock:
 *
 *     (none) --get--> FETCHING --all is there--> READY
 *                      |    ^
 *              failed  v    | get: goes on where it ended
 *                     PARTIAL
 *
 * READY and PARTIAL entries that nobody pins stand in `unused`, the least recently used one first.
 * The bytes of an entry count from its beginning on. Whoever fetches writes the file without the
 * lock: it is the only one.
 */
#include "storage/object_cache.h"
#include "base/assert.h"
#include "base/digest.h"
#include "base/file_io.h"
#include "base/files.h"
#include "base/list.h"
#include "base/map.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIECE_BYTES = 4 * 1024 * 1024, FILE_MODE = 0600 };
#define POLL_NS UINT64_C(50000000)

typedef enum entry_state {
    PARTIAL,
    FETCHING,
    READY,
} entry_state;

struct kal_cached_object {
    kal_object_cache *cache;
    entry_state state;
    bool is_dropped;   /* not in the map any more: gone with the last pin */
    unsigned pins;     /* who reads, fetches or waits */
    kal_list link;     /* in unused, when pins is 0 */
    uint64_t size;     /* of the object */
    uint64_t fetched;  /* bytes in the file */
    uint64_t attempts; /* fetches that ended */
    kal_error why;     /* of the last one that failed */
    kal_buf map_key;   /* owned */
    char path[PATH_MAX];
};

struct kal_object_cache {
    char *directory; /* owned */
    uint64_t bytes_max;
    pthread_mutex_t lock; /* the rest */
    pthread_cond_t ended; /* a fetch */
    kal_map entries;
    kal_list unused;
    kal_object_cache_counts counts;
};

/* ---- opening and closing ---- */

kal_status kal_object_cache_open(const char *directory, uint64_t bytes_max,
                                 kal_object_cache **cache_out, kal_error *err)
{
    *cache_out = NULL;
    if (strlen(directory) + 1 + KAL_DIGEST_HEX_LEN >= PATH_MAX)
        return kal_error_set(err, KAL_INVALID, "the data directory's path is too long");
    KAL_TRY(kal_files_make_dir(kal_files_system(), directory, err));
    KAL_TRY(kal_files_empty_dir(directory, err));
    kal_object_cache *cache = calloc(1, sizeof *cache);
    char *copy = strdup(directory);
    if (cache == NULL || copy == NULL)
        kal_die("out of memory: object cache");
    cache->directory = copy;
    cache->bytes_max = bytes_max;
    cache->counts.bytes_max = bytes_max;
    pthread_mutex_init(&cache->lock, NULL);
    pthread_cond_init(&cache->ended, NULL);
    kal_map_init(&cache->entries);
    kal_list_init(&cache->unused);
    *cache_out = cache;
    return KAL_OK;
}

/* Not in the map, not in unused, not pinned. */
static void free_entry(kal_cached_object *e)
{
    KAL_ASSERT(e->pins == 0);
    e->cache->counts.bytes -= e->size;
    kal_buf_release(&e->map_key);
    free(e);
}

/* The name of its file is free for another entry; whoever has opened it reads on. */
static void forget_entry(kal_cached_object *e)
{
    KAL_ASSERT(kal_map_remove(&e->cache->entries, kal_buf_bytes(&e->map_key)) == e);
    (void)unlink(e->path);
    e->is_dropped = true;
}

/* The one that was not used for the longest time. */
static void remove_unused(kal_object_cache *cache)
{
    kal_list *link = kal_list_pop_front(&cache->unused);
    kal_cached_object *e = KAL_CONTAINER_OF(link, kal_cached_object, link);

    forget_entry(e);
    free_entry(e);
}

void kal_object_cache_close(kal_object_cache *cache)
{
    if (cache == NULL)
        return;
    while (!kal_list_empty(&cache->unused))
        remove_unused(cache);
    KAL_ASSERT(cache->entries.len == 0);
    KAL_ASSERT(cache->counts.bytes == 0);
    kal_map_release(&cache->entries);
    pthread_cond_destroy(&cache->ended);
    pthread_mutex_destroy(&cache->lock);
    free(cache->directory);
    free(cache);
}

/* ---- entries; the lock is held ---- */

/* No storage's id has a NUL. */
static void append_map_key(const kal_object_cache_name *name, kal_buf *out)
{
    kal_buf_append_bytes(out, name->storage_id);
    kal_buf_append_byte(out, '\0');
    kal_buf_append_bytes(out, name->key);
}

static kal_cached_object *find_entry(const kal_object_cache *cache,
                                     const kal_object_cache_name *name)
{
    kal_buf key; /* owned */

    kal_buf_init(&key, NULL);
    append_map_key(name, &key);
    kal_cached_object *e = kal_map_find(&cache->entries, kal_buf_bytes(&key));
    kal_buf_release(&key);
    return e;
}

static void make_room(kal_object_cache *cache)
{
    while (cache->counts.bytes > cache->bytes_max && !kal_list_empty(&cache->unused)) {
        remove_unused(cache);
        cache->counts.evictions++;
    }
}

/* Of its size, which counts from now on; pinned once. */
static kal_cached_object *add_entry(kal_object_cache *cache, const kal_object_cache_name *name,
                                    uint64_t size)
{
    kal_cached_object *e = calloc(1, sizeof *e);
    char digest[KAL_DIGEST_HEX_LEN + 1];

    if (e == NULL)
        kal_die("out of memory: object cache");
    e->cache = cache;
    e->size = size;
    e->pins = 1;
    e->why = KAL_ERROR_INIT;
    kal_buf_init(&e->map_key, NULL);
    append_map_key(name, &e->map_key);
    kal_digest_hex_of(kal_buf_bytes(&e->map_key), digest);
    snprintf(e->path, sizeof e->path, "%s/%s", cache->directory, digest);
    kal_map_put(&cache->entries, kal_buf_bytes(&e->map_key), e);
    cache->counts.bytes += size;
    cache->counts.pinned_bytes += size;
    make_room(cache);
    return e;
}

static void pin(kal_cached_object *e)
{
    if (e->pins++ > 0)
        return;
    kal_list_remove(&e->link);
    e->cache->counts.pinned_bytes += e->size;
}

static void unpin(kal_cached_object *e)
{
    kal_object_cache *cache = e->cache;

    KAL_ASSERT(e->pins > 0);
    if (--e->pins > 0)
        return;
    cache->counts.pinned_bytes -= e->size;
    if (!e->is_dropped && e->fetched == 0 && e->size > 0)
        forget_entry(e);
    if (e->is_dropped)
        free_entry(e);
    else
        kal_list_push_back(&cache->unused, &e->link);
    make_room(cache);
}

/* ---- fetching; without the lock ---- */

static kal_status wrong_size(const kal_object_cache_name *name, uint64_t size, uint64_t found,
                             kal_error *err)
{
    return kal_error_set(
        err, KAL_CORRUPT, "segment '%.*s' in storage '%.*s' has %s%llu bytes instead of %llu",
        KAL_FMT(name->key), KAL_FMT(name->storage_id), found > size ? "at least " : "",
        (unsigned long long)found, (unsigned long long)size);
}

/* One byte more than should be there is asked for: an object that is too long is found out. */
static kal_status fetch_piece(kal_cached_object *e, kal_object_store *store,
                              const kal_object_cache_name *name, int fd, kal_buf *piece,
                              kal_error *err)
{
    uint64_t rest = e->size - e->fetched;
    size_t wanted = rest < PIECE_BYTES ? (size_t)rest + 1 : PIECE_BYTES;

    kal_buf_clear(piece);
    kal_status status = kal_object_get(store, name->key, e->fetched, wanted, piece, err);
    if (status == KAL_NOT_FOUND)
        return kal_error_set(err, KAL_CORRUPT,
                             "segment '%.*s' is missing in storage '%.*s': no such object",
                             KAL_FMT(name->key), KAL_FMT(name->storage_id));
    KAL_TRY(status);
    if (piece->len > rest || (piece->len < rest && piece->len < wanted))
        return wrong_size(name, e->size, e->fetched + piece->len, err);
    int error = kal_file_write_all(fd, kal_buf_bytes(piece));
    if (error != 0)
        return kal_error_set(
            err, KAL_IO, "cannot keep segment '%.*s' of storage '%.*s' in '%s': %s",
            KAL_FMT(name->key), KAL_FMT(name->storage_id), e->cache->directory, strerror(error));
    e->fetched += piece->len;
    return KAL_OK;
}

static kal_status fetch(kal_cached_object *e, kal_object_store *store,
                        const kal_object_cache_name *name, kal_error *err)
{
    kal_status status = KAL_OK;
    kal_buf piece; /* owned */
    int fd = kal_file_open(e->path, O_WRONLY | O_CREAT, FILE_MODE);

    if (fd < 0 || ftruncate(fd, (off_t)e->fetched) != 0 || lseek(fd, 0, SEEK_END) < 0)
        status = kal_error_set(err, KAL_IO, "cannot write '%s': %s", e->path, strerror(errno));
    kal_buf_init(&piece, NULL);
    bool begun = false;
    while (status == KAL_OK && (e->fetched < e->size || !begun)) {
        begun = true;
        status = fetch_piece(e, store, name, fd, &piece, err);
    }
    kal_buf_release(&piece);
    if (fd >= 0)
        close(fd);
    if (status == KAL_CORRUPT)
        e->fetched = 0;
    return status;
}

/* The lock is held, and left for the time of the fetch. */
static kal_status fetch_entry(kal_cached_object *e, kal_object_store *store,
                              const kal_object_cache_name *name, kal_error *err)
{
    kal_object_cache *cache = e->cache;
    uint64_t before = e->fetched;
    kal_error why = KAL_ERROR_INIT;

    e->state = FETCHING;
    pthread_mutex_unlock(&cache->lock);
    kal_status status = fetch(e, store, name, &why);
    pthread_mutex_lock(&cache->lock);
    e->state = status == KAL_OK ? READY : PARTIAL;
    e->why = why;
    e->attempts++;
    if (e->fetched > before)
        cache->counts.fetched_bytes += e->fetched - before;
    pthread_cond_broadcast(&cache->ended);
    if (status != KAL_OK && err != NULL)
        *err = why;
    return status;
}

/* ---- getting ---- */

/* The error of another one's fetch is ours, unless it was about that one only. */
static bool is_of_the_asker(kal_status status)
{
    return status == KAL_CANCELLED || status == KAL_TIMEOUT || status == KAL_LIMIT;
}

/* Pinned; until it is READY, or a fetch of another one has failed for us, too. */
static kal_status wait_or_fetch(kal_cached_object *e, kal_object_store *store,
                                const kal_object_cache_name *name, const kal_object_poll *poll,
                                kal_error *err)
{
    kal_object_cache *cache = e->cache;

    while (e->state != READY) {
        uint64_t attempts = e->attempts;
        if (e->state == PARTIAL)
            return fetch_entry(e, store, name, err);
        while (e->attempts == attempts) {
            kal_cond_wait_for(&cache->ended, &cache->lock, POLL_NS);
            if (e->attempts == attempts && poll != NULL)
                KAL_TRY(poll->go_on(poll->context, err));
        }
        if (e->state == PARTIAL && !is_of_the_asker(e->why.status)) {
            if (err != NULL)
                *err = e->why;
            return e->why.status;
        }
    }
    return KAL_OK;
}

kal_status kal_object_cache_get(kal_object_cache *cache, kal_object_store *store,
                                const kal_object_cache_name *name, uint64_t size,
                                const kal_object_poll *poll, kal_cached_object **object_out,
                                kal_error *err)
{
    *object_out = NULL;
    kal_object_store_watch(store, poll);
    pthread_mutex_lock(&cache->lock);
    kal_cached_object *e = find_entry(cache, name);
    if (e != NULL && e->size != size) {
        uint64_t found = e->size;
        pthread_mutex_unlock(&cache->lock);
        return wrong_size(name, size, found, err);
    }
    if (e != NULL)
        pin(e);
    else
        e = add_entry(cache, name, size);
    if (e->state == READY)
        cache->counts.hits++;
    else
        cache->counts.misses++;
    kal_status status = wait_or_fetch(e, store, name, poll, err);
    if (status != KAL_OK)
        unpin(e);
    pthread_mutex_unlock(&cache->lock);
    *object_out = status == KAL_OK ? e : NULL;
    return status;
}

const char *kal_cached_object_path(const kal_cached_object *object)
{
    return object->path;
}

void kal_cached_object_release(kal_cached_object *object)
{
    if (object == NULL)
        return;
    kal_object_cache *cache = object->cache;
    pthread_mutex_lock(&cache->lock);
    unpin(object);
    pthread_mutex_unlock(&cache->lock);
}

/* ---- adopting and dropping ---- */

void kal_object_cache_adopt(kal_object_cache *cache, const kal_object_cache_name *name,
                            const char *path, uint64_t size)
{
    pthread_mutex_lock(&cache->lock);
    if (size <= cache->bytes_max && find_entry(cache, name) == NULL) {
        kal_cached_object *e = add_entry(cache, name, size);
        if (cache->counts.bytes <= cache->bytes_max && rename(path, e->path) == 0) {
            e->state = READY;
            e->fetched = size;
        }
        unpin(e);
    }
    pthread_mutex_unlock(&cache->lock);
}

void kal_object_cache_drop(kal_object_cache *cache, const kal_object_cache_name *name)
{
    pthread_mutex_lock(&cache->lock);
    kal_cached_object *e = find_entry(cache, name);
    if (e != NULL && (e->state == READY || e->pins == 0)) { /* else it is being fetched anew */
        pin(e);
        forget_entry(e);
        unpin(e);
    }
    pthread_mutex_unlock(&cache->lock);
}

kal_object_cache_counts kal_object_cache_get_counts(kal_object_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    kal_object_cache_counts counts = cache->counts;
    pthread_mutex_unlock(&cache->lock);
    return counts;
}
