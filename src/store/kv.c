/*
 * kv.c: the front of the byte store: checks what callers owe, counts what is open, stops writes
 * after the first one that failed, and hands over to the backend.
 */
#include "store/kv_internal.h"

#include <stdlib.h>

static const char *const FAMILY_NAMES[] = {
#define KAL_KV_FAMILY_TEXT(name, text) text,
    KAL_KV_FAMILY_LIST(KAL_KV_FAMILY_TEXT)
#undef KAL_KV_FAMILY_TEXT
};
_Static_assert(KAL_ARRAY_LEN(FAMILY_NAMES) == KAL_KV_FAMILY_COUNT, "one name per family");

const char *kal_kv_family_name(kal_kv_family family)
{
    KAL_ASSERT(family < KAL_KV_FAMILY_COUNT);
    return FAMILY_NAMES[family];
}

void *kal_kv_alloc(size_t size)
{
    void *memory = calloc(1, size);
    if (memory == NULL)
        kal_die("out of memory: %zu bytes", size);
    return memory;
}

void kal_kv_init(kal_kv *kv, const kal_kv_ops *ops, kal_kv *bottom)
{
    kv->ops = ops;
    kv->bottom = bottom == NULL ? kv : bottom;
    pthread_mutex_init(&kv->stop_mutex, NULL);
}

void kal_kv_close(kal_kv *kv)
{
    if (kv == NULL)
        return;
    KAL_ASSERT(atomic_load(&kv->open_snapshots) == 0);
    KAL_ASSERT(atomic_load(&kv->open_iters) == 0);
    KAL_ASSERT(atomic_load(&kv->open_batches) == 0);
    pthread_mutex_destroy(&kv->stop_mutex);
    kv->ops->close(kv);
}

static void count_closed(_Atomic size_t *open)
{
    size_t before = atomic_fetch_sub(open, 1);
    KAL_ASSERT(before > 0);
}

static void check_key(kal_kv_family family, kal_bytes key)
{
    KAL_ASSERT(family < KAL_KV_FAMILY_COUNT);
    KAL_ASSERT(key.len > 0);
    KAL_ASSERT(key.len <= KAL_KV_KEY_BYTES_MAX);
}

/* Bounds may be one byte longer than a key: the successor of the longest key. */
static void check_bound(kal_bytes bound)
{
    KAL_ASSERT(bound.len <= KAL_KV_KEY_BYTES_MAX + 1);
}

static kal_status get(kal_kv *kv, const kal_kv_snapshot *snapshot, kal_kv_family family,
                      kal_bytes key, bool cached_only, kal_arena *arena, kal_bytes *value_out,
                      kal_error *err)
{
    check_key(family, key);
    KAL_ASSERT(snapshot == NULL || snapshot->kv == kv->bottom);
    *value_out = (kal_bytes){0};
    return kv->ops->get(kv, snapshot, family, key, cached_only, arena, value_out, err);
}

kal_status kal_kv_get(kal_kv *kv, const kal_kv_snapshot *snapshot, kal_kv_family family,
                      kal_bytes key, kal_arena *arena, kal_bytes *value_out, kal_error *err)
{
    return get(kv, snapshot, family, key, false, arena, value_out, err);
}

kal_status kal_kv_get_cached(kal_kv *kv, const kal_kv_snapshot *snapshot, kal_kv_family family,
                             kal_bytes key, kal_arena *arena, kal_bytes *value_out, kal_error *err)
{
    return get(kv, snapshot, family, key, true, arena, value_out, err);
}

kal_kv_snapshot *kal_kv_snapshot_take(kal_kv *kv)
{
    kal_kv *bottom = kv->bottom;
    kal_kv_snapshot *snapshot = bottom->ops->snapshot_take(bottom);
    snapshot->kv = bottom;
    atomic_fetch_add(&bottom->open_snapshots, 1);
    return snapshot;
}

void kal_kv_snapshot_release(kal_kv *kv, kal_kv_snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    kal_kv *bottom = kv->bottom;
    KAL_ASSERT(snapshot->kv == bottom);
    bottom->ops->snapshot_release(bottom, snapshot);
    count_closed(&bottom->open_snapshots);
}

kal_status kal_kv_iter_open(kal_kv *kv, const kal_kv_snapshot *snapshot, const kal_kv_range *range,
                            kal_kv_iter **iter_out, kal_error *err)
{
    KAL_ASSERT(range->family < KAL_KV_FAMILY_COUNT);
    KAL_ASSERT(range->family != KAL_KV_ROWS || (range->lower.len > 0 && range->upper.len > 0));
    KAL_ASSERT(snapshot == NULL || snapshot->kv == kv->bottom);
    check_bound(range->lower);
    check_bound(range->upper);
    *iter_out = NULL;
    KAL_TRY(kv->ops->iter_open(kv, snapshot, range, iter_out, err));
    kal_kv_iter *iter = *iter_out;
    iter->kv = kv;
    /* No backend sees a walk whose bounds are the wrong way round. */
    bool empty = range->upper.len > 0 && kal_bytes_compare(range->lower, range->upper) >= 0;
    iter->state = empty ? KAL_END : KAL_OK;
    atomic_fetch_add(&kv->open_iters, 1);
    return KAL_OK;
}

kal_status kal_kv_iter_next(kal_kv_iter *iter, kal_bytes *key_out, kal_bytes *value_out,
                            kal_error *err)
{
    *key_out = (kal_bytes){0};
    *value_out = (kal_bytes){0};
    if (iter->state == KAL_END)
        return KAL_END;
    if (iter->state != KAL_OK)
        return kal_error_set(err, iter->state, "the walk was ended by an earlier error");
    iter->state = iter->kv->ops->iter_next(iter, key_out, value_out, err);
    return iter->state;
}

void kal_kv_iter_close(kal_kv_iter *iter)
{
    if (iter == NULL)
        return;
    kal_kv *kv = iter->kv;
    kv->ops->iter_close(iter);
    count_closed(&kv->open_iters);
}

kal_status kal_kv_approximate_bytes(kal_kv *kv, kal_kv_family family, kal_bytes lower,
                                    kal_bytes upper, uint64_t *bytes_out, kal_error *err)
{
    KAL_ASSERT(family < KAL_KV_FAMILY_COUNT);
    KAL_ASSERT(upper.len > 0);
    check_bound(lower);
    check_bound(upper);
    *bytes_out = 0;
    if (kal_bytes_compare(lower, upper) >= 0)
        return KAL_OK;
    return kv->ops->approximate_bytes(kv, family, lower, upper, bytes_out, err);
}

kal_kv_batch *kal_kv_batch_open(kal_kv *kv)
{
    kal_kv *bottom = kv->bottom;
    kal_kv_batch *batch = bottom->ops->batch_open(bottom);
    batch->kv = bottom;
    atomic_fetch_add(&bottom->open_batches, 1);
    return batch;
}

void kal_kv_batch_close(kal_kv_batch *batch)
{
    if (batch == NULL)
        return;
    kal_kv *kv = batch->kv;
    kv->ops->batch_close(batch);
    count_closed(&kv->open_batches);
}

void kal_kv_batch_clear(kal_kv_batch *batch)
{
    batch->kv->ops->batch_clear(batch);
    batch->save_point_len = 0;
}

void kal_kv_batch_put(kal_kv_batch *batch, kal_kv_family family, kal_bytes key, kal_bytes value)
{
    check_key(family, key);
    KAL_ASSERT(value.len <= UINT32_MAX); /* RocksDB refuses more, and its C API hides that */
    batch->kv->ops->batch_put(batch, family, key, value);
}

void kal_kv_batch_delete(kal_kv_batch *batch, kal_kv_family family, kal_bytes key)
{
    check_key(family, key);
    batch->kv->ops->batch_delete(batch, family, key);
}

void kal_kv_batch_delete_range(kal_kv_batch *batch, kal_kv_family family, kal_bytes lower,
                               kal_bytes upper)
{
    KAL_ASSERT(family < KAL_KV_FAMILY_COUNT);
    KAL_ASSERT(upper.len > 0);
    check_bound(lower);
    check_bound(upper);
    if (kal_bytes_compare(lower, upper) < 0)
        batch->kv->ops->batch_delete_range(batch, family, lower, upper);
}

void kal_kv_batch_save(kal_kv_batch *batch)
{
    batch->kv->ops->batch_save(batch);
    batch->save_point_len++;
}

void kal_kv_batch_rollback(kal_kv_batch *batch)
{
    KAL_ASSERT(batch->save_point_len > 0);
    batch->kv->ops->batch_rollback(batch);
    batch->save_point_len--;
}

void kal_kv_batch_commit_save(kal_kv_batch *batch)
{
    KAL_ASSERT(batch->save_point_len > 0);
    batch->kv->ops->batch_commit_save(batch);
    batch->save_point_len--;
}

size_t kal_kv_batch_bytes(const kal_kv_batch *batch)
{
    return batch->kv->ops->batch_bytes(batch);
}

size_t kal_kv_batch_count(const kal_kv_batch *batch)
{
    return batch->kv->ops->batch_count(batch);
}

/* A write that failed may be on disk, or half of it, or not at all, and a later write that succeeds
 * would be acknowledged on top of that. Only recovery, which reads what is really there, may go on.
 */
static void stop_writes(kal_kv *kv, const kal_error *why)
{
    pthread_mutex_lock(&kv->stop_mutex);
    if (!atomic_load(&kv->stopped)) {
        memcpy(kv->stop_reason, why->message, sizeof kv->stop_reason);
        atomic_store(&kv->stopped, true);
    }
    pthread_mutex_unlock(&kv->stop_mutex);
}

void kal_kv_resume_writes(kal_kv *kv)
{
    pthread_mutex_lock(&kv->stop_mutex);
    atomic_store(&kv->stopped, false);
    pthread_mutex_unlock(&kv->stop_mutex);
}

static kal_status refuse_if_stopped(kal_kv *kv, kal_error *err)
{
    if (KAL_LIKELY(!atomic_load(&kv->stopped)))
        return KAL_OK;
    return kal_error_set(err, KAL_IO, "writes are stopped: %s", kv->stop_reason);
}

static kal_status finish_write(kal_kv *kv, kal_status status, const kal_error *why, kal_error *err)
{
    if (KAL_LIKELY(status == KAL_OK))
        return KAL_OK;
    stop_writes(kv, why);
    if (err != NULL)
        *err = *why;
    return status;
}

kal_status kal_kv_write(kal_kv *kv, kal_kv_batch *batch, bool sync, kal_error *err)
{
    KAL_ASSERT(batch->kv == kv->bottom);
    KAL_TRY(refuse_if_stopped(kv->bottom, err));
    kal_error why = KAL_ERROR_INIT;
    kal_status status = kv->ops->write(kv, batch, sync, &why);
    return finish_write(kv->bottom, status, &why, err);
}

kal_status kal_kv_compact(kal_kv *kv, kal_kv_family family, kal_bytes lower, kal_bytes upper,
                          kal_error *err)
{
    KAL_ASSERT(family < KAL_KV_FAMILY_COUNT);
    KAL_ASSERT(upper.len > 0);
    check_bound(lower);
    check_bound(upper);
    KAL_TRY(refuse_if_stopped(kv->bottom, err));
    kv->ops->compact(kv, family, lower, upper);
    return KAL_OK;
}

kal_status kal_kv_purge(kal_kv *kv, unsigned families, kal_kv_check check, void *context,
                        kal_error *err)
{
    KAL_ASSERT(families < 1u << KAL_KV_FAMILY_COUNT);
    KAL_TRY(refuse_if_stopped(kv->bottom, err));
    if (kv->bottom->ops->purge == NULL)
        return KAL_OK;
    return kv->bottom->ops->purge(kv->bottom, families, check, context, err);
}

kal_status kal_kv_sync(kal_kv *kv, kal_error *err)
{
    KAL_TRY(refuse_if_stopped(kv->bottom, err));
    kal_error why = KAL_ERROR_INIT;
    kal_status status = kv->ops->sync(kv, &why);
    return finish_write(kv->bottom, status, &why, err);
}

kal_status kal_kv_drop_files(kal_kv *kv, kal_kv_family family, kal_bytes lower, kal_bytes upper,
                             kal_error *err)
{
    KAL_ASSERT(family < KAL_KV_FAMILY_COUNT);
    KAL_ASSERT(upper.len > 0);
    check_bound(lower);
    check_bound(upper);
    KAL_TRY(refuse_if_stopped(kv->bottom, err));
    return kv->ops->drop_files(kv, family, lower, upper, err);
}

/* --- loads ------------------------------------------------------------------------------------ */

kal_status kal_kv_load_open(kal_kv *kv, kal_kv_family family, const char *path,
                            kal_kv_load **load_out, kal_error *err)
{
    KAL_ASSERT(family < KAL_KV_FAMILY_COUNT);
    *load_out = NULL;
    KAL_TRY(refuse_if_stopped(kv->bottom, err));
    KAL_TRY(kv->ops->load_open(kv, family, path, load_out, err));
    kal_kv_load *load = *load_out;
    load->kv = kv;
    load->family = family;
    kal_buf_init(&load->last_key, NULL);
    atomic_fetch_add(&kv->open_batches, 1);
    return KAL_OK;
}

kal_status kal_kv_load_add(kal_kv_load *load, kal_bytes key, kal_bytes value, kal_error *err)
{
    check_key(load->family, key);
    KAL_ASSERT(!load->finished);
    KAL_ASSERT(kal_bytes_compare(kal_buf_bytes(&load->last_key), key) < 0);
    kal_buf_clear(&load->last_key);
    kal_buf_append_bytes(&load->last_key, key);
    return load->kv->ops->load_add(load, key, value, err);
}

kal_status kal_kv_load_finish(kal_kv_load *load, kal_error *err)
{
    KAL_ASSERT(!load->finished);
    load->finished = true;
    if (load->last_key.len == 0)
        return KAL_OK;
    KAL_TRY(refuse_if_stopped(load->kv->bottom, err));
    return load->kv->ops->load_finish(load, err);
}

void kal_kv_load_close(kal_kv_load *load)
{
    if (load == NULL)
        return;
    kal_kv *kv = load->kv;
    kal_buf_release(&load->last_key);
    kv->ops->load_close(load);
    count_closed(&kv->open_batches);
}

kal_bytes kal_kv_prefix_end(kal_bytes prefix, kal_arena *arena)
{
    size_t len = prefix.len;
    while (len > 0 && prefix.ptr[len - 1] == 0xFF)
        len--;
    if (len == 0)
        return (kal_bytes){0};
    uint8_t *end = kal_arena_alloc(arena, len);
    memcpy(end, prefix.ptr, len);
    end[len - 1]++;
    return kal_bytes_of(end, len);
}

kal_status kal_kv_checkpoint(kal_kv *kv, const char *directory, kal_error *err)
{
    kal_kv *bottom = kv->bottom;
    if (bottom->ops->checkpoint == NULL)
        return kal_error_set(err, KAL_UNSUPPORTED, "a store in memory has no copies on disk");
    return bottom->ops->checkpoint(bottom, directory, err);
}
