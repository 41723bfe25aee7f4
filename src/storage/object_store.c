/*
 * object_store.c: what all backends of object_store.h share: keys, order, dispatch.
 */
#include "base/assert.h"
#include "storage/storage_internal.h"

#include <stdlib.h>
#include <unistd.h>

/* ---- keys ---- */

static bool part_is_valid(kal_bytes part)
{
    return part.len > 0 && part.len <= KAL_OBJECT_PART_BYTES_MAX &&
           !kal_bytes_equal(part, KAL_STR(".")) && !kal_bytes_equal(part, KAL_STR("..")) &&
           !kal_bytes_starts_with(part, KAL_STR(KAL_OBJECT_TEMPORARY));
}

/* is_prefix: the last part may be empty or unfinished, so what it is does not matter yet. */
static bool parts_are_valid(kal_bytes key, bool is_prefix)
{
    size_t start = 0;
    for (size_t i = 0; i <= key.len; i++) {
        if (i < key.len && key.ptr[i] != '/')
            continue;
        if (i == key.len && is_prefix)
            return i - start <= KAL_OBJECT_PART_BYTES_MAX;
        if (!part_is_valid(kal_bytes_of(key.ptr + start, i - start)))
            return false;
        start = i + 1;
    }
    return true;
}

static bool is_valid(kal_bytes key, bool is_prefix)
{
    return key.len <= KAL_OBJECT_KEY_BYTES_MAX &&
           (key.len == 0 || memchr(key.ptr, 0, key.len) == NULL) && parts_are_valid(key, is_prefix);
}

static kal_status invalid_key(kal_bytes key, const char *what, kal_error *err)
{
    size_t shown = key.len < 100 ? key.len : 100;
    kal_error_set(err, KAL_INVALID, "'%.*s' cannot be the %s of an object", (int)shown,
                  (const char *)key.ptr, what);
    kal_error_hint(err, "a relative path without '..', empty parts and NUL, %u bytes at most",
                   KAL_OBJECT_KEY_BYTES_MAX);
    return KAL_INVALID;
}

kal_status kal_object_key_check(kal_bytes key, kal_error *err)
{
    return is_valid(key, false) ? KAL_OK : invalid_key(key, "key", err);
}

/* ---- for the backends ---- */

kal_status kal_object_memory_used_up(kal_error *err)
{
    return kal_error_set(err, KAL_LIMIT, "the objects exceed the memory they may take");
}

kal_status kal_object_in_the_way(kal_bytes key, kal_error *err)
{
    return kal_error_set(err, KAL_INVALID,
                         "cannot put object '%.*s': an object cannot be a folder of others",
                         KAL_FMT(key));
}

kal_status kal_object_vec_add(kal_object_vec *objects, kal_arena *arena, kal_bytes key,
                              uint64_t size, kal_error *err)
{
    kal_object object = {.size = size};
    if (!kal_arena_try_copy(arena, key, &object.key) ||
        !kal_vec_try_push_in(arena, objects, object))
        return kal_object_memory_used_up(err);
    return KAL_OK;
}

/* ---- dispatch ---- */

void kal_object_store_close(kal_object_store *store)
{
    if (store != NULL)
        store->ops->close(store);
}

void kal_object_store_watch(kal_object_store *store, const kal_object_poll *poll)
{
    store->poll = poll;
}

kal_status kal_object_put(kal_object_store *store, kal_bytes key, kal_bytes content, kal_error *err)
{
    KAL_TRY(kal_object_key_check(key, err));
    return store->ops->put(store, key, content, err);
}

kal_status kal_object_put_file(kal_object_store *store, kal_bytes key, const char *path,
                               kal_error *err)
{
    KAL_TRY(kal_object_key_check(key, err));
    return store->ops->put_file(store, key, path, err);
}

kal_status kal_object_get(kal_object_store *store, kal_bytes key, uint64_t offset, size_t len,
                          kal_buf *out, kal_error *err)
{
    size_t before = out->len;
    KAL_TRY(kal_object_key_check(key, err));
    kal_status status = store->ops->get(store, key, offset, len, out, err);
    if (status == KAL_OK && kal_buf_failed(out))
        status = kal_object_memory_used_up(err);
    if (status != KAL_OK && !kal_buf_failed(out))
        kal_buf_truncate(out, before);
    return status;
}

kal_status kal_object_size(kal_object_store *store, kal_bytes key, uint64_t *size_out,
                           kal_error *err)
{
    KAL_TRY(kal_object_key_check(key, err));
    return store->ops->size(store, key, size_out, err);
}

static int by_key(const void *a, const void *b)
{
    return kal_bytes_compare(((const kal_object *)a)->key, ((const kal_object *)b)->key);
}

kal_status kal_object_list(kal_object_store *store, kal_bytes prefix, kal_arena *arena,
                           kal_object **objects_out, size_t *count_out, kal_error *err)
{
    kal_object_vec objects = {0};

    if (!is_valid(prefix, true))
        return invalid_key(prefix, "beginning of the keys", err);
    KAL_TRY(store->ops->list(store, prefix, arena, &objects, err));
    if (objects.len > 1)
        qsort(objects.items, objects.len, sizeof *objects.items, by_key);
    *objects_out = objects.items;
    *count_out = objects.len;
    return KAL_OK;
}

kal_status kal_object_delete(kal_object_store *store, kal_bytes key, kal_error *err)
{
    KAL_TRY(kal_object_key_check(key, err));
    return store->ops->remove(store, key, err);
}

kal_status kal_object_space_of(kal_object_store *store, kal_object_space *space_out, kal_error *err)
{
    return store->ops->space(store, space_out, err);
}

kal_status kal_object_local_path(const kal_object_store *store, kal_bytes key, char *path_out,
                                 kal_error *err)
{
    KAL_TRY(kal_object_key_check(key, err));
    if (store->ops->local_path == NULL)
        return kal_error_set(err, KAL_UNSUPPORTED, "object '%.*s' is not a file of this machine",
                             KAL_FMT(key));
    store->ops->local_path(store, key, path_out);
    return KAL_OK;
}

/* ---- groups ---- */

kal_status kal_object_group_open(kal_object_store *store, kal_object_group **group_out,
                                 kal_error *err)
{
    kal_object_group *group = calloc(1, sizeof *group);

    *group_out = NULL;
    if (group == NULL)
        kal_die("out of memory: objects");
    *group = (kal_object_group){.store = store, .fd = -1};
    kal_status status =
        store->ops->group_open == NULL ? KAL_OK : store->ops->group_open(group, err);
    if (status == KAL_OK)
        *group_out = group;
    else
        free(group);
    return status;
}

kal_status kal_object_group_move_file(kal_object_group *group, kal_bytes key, const char *path,
                                      kal_error *err)
{
    const kal_object_ops *ops = group->store->ops;

    KAL_TRY(kal_object_key_check(key, err));
    if (ops->group_move_file == NULL)
        return ops->put_file(group->store, key, path, err);
    return ops->group_move_file(group, key, path, err);
}

kal_status kal_object_group_delete(kal_object_group *group, kal_bytes key, kal_error *err)
{
    const kal_object_ops *ops = group->store->ops;

    KAL_TRY(kal_object_key_check(key, err));
    if (ops->group_remove == NULL)
        return ops->remove(group->store, key, err);
    return ops->group_remove(group, key, err);
}

kal_status kal_object_group_sync(kal_object_group *group, kal_error *err)
{
    const kal_object_ops *ops = group->store->ops;
    return ops->group_sync == NULL ? KAL_OK : ops->group_sync(group, err);
}

void kal_object_group_close(kal_object_group *group)
{
    if (group == NULL)
        return;
    if (group->fd >= 0)
        close(group->fd);
    free(group->tidy_folder);
    free(group);
}
