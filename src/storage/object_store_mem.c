/*
 * object_store_mem.c: objects in memory, failing by a seed or because they are told to.
 */
#include "base/assert.h"
#include "base/files.h"
#include "base/map.h"
#include "base/rng.h"
#include "storage/storage_internal.h"

#include <pthread.h>
#include <stdlib.h>

enum { SPACE_TOTAL_BYTES = 1 << 30 };

typedef struct content {
    size_t len;
    uint8_t bytes[];
} content;

typedef struct mem_store {
    kal_object_store base;
    pthread_mutex_t lock; /* protects the rest */
    kal_map objects;      /* key -> content, owned */
    kal_rng rng;
    unsigned fail_per_1000;
    unsigned broken; /* operations that always fail */
} mem_store;

static mem_store *locked(kal_object_store *store)
{
    mem_store *m = (mem_store *)store;
    pthread_mutex_lock(&m->lock);
    return m;
}

static kal_status unlocked(mem_store *m, kal_status status)
{
    pthread_mutex_unlock(&m->lock);
    return status;
}

static kal_status failure(const char *verb, kal_bytes key, kal_error *err)
{
    return kal_error_set(err, KAL_IO, "cannot %s object '%.*s': injected failure", verb,
                         KAL_FMT(key));
}

static bool fails(mem_store *m)
{
    return m->fail_per_1000 > 0 && kal_rng_chance(&m->rng, m->fail_per_1000, 1000);
}

/* One of the two keys is a folder on the path of the other. */
static bool in_the_way(kal_bytes a, kal_bytes b)
{
    kal_bytes shorter = a.len < b.len ? a : b;
    kal_bytes longer = a.len < b.len ? b : a;
    return a.len != b.len && kal_bytes_starts_with(longer, shorter) &&
           longer.ptr[shorter.len] == '/';
}

static bool is_blocked(const mem_store *m, kal_bytes key)
{
    size_t position = 0;
    kal_bytes other;
    while (kal_map_next(&m->objects, &position, &other) != NULL) {
        if (in_the_way(key, other))
            return true;
    }
    return false;
}

static void store_content(mem_store *m, kal_bytes key, kal_bytes bytes)
{
    content *c = malloc(sizeof *c + bytes.len);
    if (c == NULL)
        kal_die("out of memory: object");
    c->len = bytes.len;
    if (bytes.len > 0)
        memcpy(c->bytes, bytes.ptr, bytes.len);
    free(kal_map_put(&m->objects, key, c));
}

static kal_status mem_put(kal_object_store *store, kal_bytes key, kal_bytes bytes, kal_error *err)
{
    mem_store *m = locked(store);

    if ((m->broken & KAL_OBJECT_PUT) != 0)
        return unlocked(m, failure("write", key, err));
    if (is_blocked(m, key))
        return unlocked(m, kal_object_in_the_way(key, err));
    bool failed = fails(m);
    if (!failed || kal_rng_chance(&m->rng, 1, 2))
        store_content(m, key, bytes);
    return unlocked(m, failed ? failure("write", key, err) : KAL_OK);
}

static kal_status mem_put_file(kal_object_store *store, kal_bytes key, const char *path,
                               kal_error *err)
{
    kal_buf bytes; /* owned */
    kal_buf_init(&bytes, NULL);
    kal_status status = kal_files_read(kal_files_system(), path, &bytes, err);
    if (status == KAL_NOT_FOUND)
        status = kal_error_set(err, KAL_IO, "cannot write object '%.*s': there is no file '%s'",
                               KAL_FMT(key), path);
    if (status == KAL_OK)
        status = mem_put(store, key, kal_buf_bytes(&bytes), err);
    kal_buf_release(&bytes);
    return status;
}

static kal_status find(mem_store *m, kal_bytes key, content **out, kal_error *err)
{
    if ((m->broken & KAL_OBJECT_GET) != 0 || fails(m))
        return failure("read", key, err);
    *out = kal_map_find(&m->objects, key);
    return *out == NULL ? KAL_NOT_FOUND : KAL_OK;
}

static kal_status mem_get(kal_object_store *store, kal_bytes key, uint64_t offset, size_t len,
                          kal_buf *out, kal_error *err)
{
    mem_store *m = locked(store);
    content *c = NULL;
    kal_status status = find(m, key, &c, err);
    if (status == KAL_OK && offset < c->len) {
        size_t rest = c->len - (size_t)offset;
        kal_buf_append(out, c->bytes + offset, len < rest ? len : rest);
    }
    return unlocked(m, status);
}

static kal_status mem_size(kal_object_store *store, kal_bytes key, uint64_t *size_out,
                           kal_error *err)
{
    mem_store *m = locked(store);
    content *c = NULL;
    kal_status status = find(m, key, &c, err);
    if (status == KAL_OK)
        *size_out = c->len;
    return unlocked(m, status);
}

static kal_status mem_list(kal_object_store *store, kal_bytes prefix, kal_arena *arena,
                           kal_object_vec *objects, kal_error *err)
{
    mem_store *m = locked(store);
    kal_status status = KAL_OK;
    size_t position = 0;
    kal_bytes key;
    content *c = NULL;

    if ((m->broken & KAL_OBJECT_LIST) != 0 || fails(m))
        return unlocked(m, failure("list", prefix, err));
    while (status == KAL_OK && (c = kal_map_next(&m->objects, &position, &key)) != NULL) {
        if (kal_bytes_starts_with(key, prefix))
            status = kal_object_vec_add(objects, arena, key, c->len, err);
    }
    return unlocked(m, status);
}

static kal_status mem_remove(kal_object_store *store, kal_bytes key, kal_error *err)
{
    mem_store *m = locked(store);

    if ((m->broken & KAL_OBJECT_DELETE) != 0)
        return unlocked(m, failure("delete", key, err));
    bool failed = fails(m);
    if (!failed || kal_rng_chance(&m->rng, 1, 2))
        free(kal_map_remove(&m->objects, key));
    return unlocked(m, failed ? failure("delete", key, err) : KAL_OK);
}

static kal_status mem_space(kal_object_store *store, kal_object_space *space_out, kal_error *err)
{
    mem_store *m = locked(store);
    size_t position = 0;
    kal_bytes key;
    content *c = NULL;

    if ((m->broken & KAL_OBJECT_SPACE) != 0 || fails(m))
        return unlocked(m, kal_error_set(err, KAL_IO, "cannot measure: injected failure"));
    *space_out = (kal_object_space){.total_bytes = SPACE_TOTAL_BYTES};
    while ((c = kal_map_next(&m->objects, &position, &key)) != NULL)
        space_out->used_bytes += c->len;
    return unlocked(m, KAL_OK);
}

static void mem_close(kal_object_store *store)
{
    mem_store *m = (mem_store *)store;
    size_t position = 0;
    kal_bytes key;
    content *c = NULL;

    while ((c = kal_map_next(&m->objects, &position, &key)) != NULL)
        free(c);
    kal_map_release(&m->objects);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static const kal_object_ops MEM_OPS = {
    .put = mem_put,
    .put_file = mem_put_file,
    .get = mem_get,
    .size = mem_size,
    .list = mem_list,
    .remove = mem_remove,
    .space = mem_space,
    .close = mem_close,
};

kal_object_store *kal_object_store_open_mem(uint64_t seed, unsigned fail_per_1000)
{
    mem_store *m = calloc(1, sizeof *m);
    if (m == NULL)
        kal_die("out of memory: object store");
    m->base.ops = &MEM_OPS;
    m->fail_per_1000 = fail_per_1000;
    kal_rng_seed(&m->rng, seed);
    kal_map_init(&m->objects);
    pthread_mutex_init(&m->lock, NULL);
    return &m->base;
}

void kal_object_store_break(kal_object_store *store, unsigned operations)
{
    KAL_ASSERT(store->ops == &MEM_OPS);
    mem_store *m = locked(store);
    m->broken = operations;
    pthread_mutex_unlock(&m->lock);
}
