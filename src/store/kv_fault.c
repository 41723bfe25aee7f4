/*
 * kv_fault.c: a store that fails on a seed, wrapped around one that does not.
 *
 * A failing write takes one of the three ways a real one can go wrong, in which the caller is told
 * the same: nothing was written; the batch was applied but is not on stable storage (fsync failed);
 * it even reached stable storage (the error came after it). Whether it survives a crash is thus
 * unknown to the caller, as it must be. Writes without sync only fail in the first way.
 * kv.c stops further writes after any of them; kal_kv_mem_crash() on the inner store lifts that.
 *
 * Failing reads answer KAL_IO; reads from the cache alone answer KAL_BUSY half of the time instead.
 * Snapshots and batches are the inner store's own.
 *
 * Threads: any; the order in which threads draw from the seed is theirs.
 */
#include "store/kv_internal.h"

#include "base/rng.h"

#include <stdlib.h>

typedef struct fault_kv {
    kal_kv base;
    kal_kv *inner;         /* owned */
    pthread_mutex_t mutex; /* rng */
    kal_rng rng;
    unsigned write_fail_per_1000;
    unsigned read_fail_per_1000;
    _Atomic bool enabled;
} fault_kv;

typedef struct fault_iter {
    kal_kv_iter base;
    kal_kv_iter *inner; /* owned */
    bool cached_only;
} fault_iter;

typedef enum write_fault { FAULT_NONE, FAULT_BEFORE, FAULT_UNSYNCED, FAULT_DURABLE } write_fault;

static fault_kv *fault_of(kal_kv *kv)
{
    return (fault_kv *)kv;
}

static uint64_t draw(fault_kv *fault, uint64_t bound)
{
    pthread_mutex_lock(&fault->mutex);
    uint64_t drawn = kal_rng_below(&fault->rng, bound);
    pthread_mutex_unlock(&fault->mutex);
    return drawn;
}

static bool draw_fault(fault_kv *fault, unsigned fail_per_1000)
{
    return atomic_load(&fault->enabled) && draw(fault, 1000) < fail_per_1000;
}

static write_fault draw_write_fault(fault_kv *fault, bool sync)
{
    if (!draw_fault(fault, fault->write_fail_per_1000))
        return FAULT_NONE;
    uint64_t way = draw(fault, 4);
    if (!sync || way < 2)
        return FAULT_BEFORE;
    return way == 2 ? FAULT_UNSYNCED : FAULT_DURABLE;
}

static kal_status read_fault(fault_kv *fault, bool cached_only, kal_error *err)
{
    if (!draw_fault(fault, fault->read_fail_per_1000))
        return KAL_OK;
    if (cached_only && draw(fault, 2) == 0)
        return kal_error_set(err, KAL_BUSY, "the read needs the disk (injected)");
    return kal_error_set(err, KAL_IO, "cannot read the store (injected)");
}

static void fault_close(kal_kv *kv)
{
    fault_kv *fault = fault_of(kv);
    kal_kv_close(fault->inner);
    pthread_mutex_destroy(&fault->mutex);
    free(fault);
}

static kal_status fault_get(kal_kv *kv, const kal_kv_snapshot *snapshot, kal_kv_family family,
                            kal_bytes key, bool cached_only, kal_arena *arena, kal_bytes *value_out,
                            kal_error *err)
{
    fault_kv *fault = fault_of(kv);
    KAL_TRY(read_fault(fault, cached_only, err));
    if (cached_only)
        return kal_kv_get_cached(fault->inner, snapshot, family, key, arena, value_out, err);
    return kal_kv_get(fault->inner, snapshot, family, key, arena, value_out, err);
}

static kal_status fault_iter_open(kal_kv *kv, const kal_kv_snapshot *snapshot,
                                  const kal_kv_range *range, kal_kv_iter **iter_out, kal_error *err)
{
    fault_kv *fault = fault_of(kv);
    kal_kv_iter *inner = NULL;
    KAL_TRY(read_fault(fault, range->cached_only, err));
    KAL_TRY(kal_kv_iter_open(fault->inner, snapshot, range, &inner, err));
    fault_iter *iter = kal_kv_alloc(sizeof *iter);
    iter->inner = inner;
    iter->cached_only = range->cached_only;
    *iter_out = &iter->base;
    return KAL_OK;
}

static kal_status fault_iter_next(kal_kv_iter *base, kal_bytes *key_out, kal_bytes *value_out,
                                  kal_error *err)
{
    fault_iter *iter = (fault_iter *)base;
    KAL_TRY(read_fault(fault_of(base->kv), iter->cached_only, err));
    return kal_kv_iter_next(iter->inner, key_out, value_out, err);
}

static void fault_iter_close(kal_kv_iter *base)
{
    kal_kv_iter_close(((fault_iter *)base)->inner);
    free(base);
}

static kal_status fault_write(kal_kv *kv, kal_kv_batch *batch, bool sync, kal_error *err)
{
    fault_kv *fault = fault_of(kv);
    write_fault way = draw_write_fault(fault, sync);
    if (way == FAULT_NONE)
        return kal_kv_write(fault->inner, batch, sync, err);
    if (way == FAULT_BEFORE)
        return kal_error_set(err, KAL_IO, "cannot write the store (injected)");
    KAL_TRY(kal_kv_write(fault->inner, batch, way == FAULT_DURABLE, err));
    return kal_error_set(err, KAL_IO, "cannot sync the store (injected)");
}

static kal_status fault_sync(kal_kv *kv, kal_error *err)
{
    fault_kv *fault = fault_of(kv);
    write_fault way = draw_write_fault(fault, true);
    if (way == FAULT_NONE || way == FAULT_DURABLE)
        KAL_TRY(kal_kv_sync(fault->inner, err));
    if (way == FAULT_NONE)
        return KAL_OK;
    return kal_error_set(err, KAL_IO, "cannot sync the store (injected)");
}

static kal_status fault_approximate_bytes(kal_kv *kv, kal_kv_family family, kal_bytes lower,
                                          kal_bytes upper, uint64_t *bytes_out, kal_error *err)
{
    fault_kv *fault = fault_of(kv);
    KAL_TRY(read_fault(fault, false, err));
    return kal_kv_approximate_bytes(fault->inner, family, lower, upper, bytes_out, err);
}

static void fault_compact(kal_kv *kv, kal_kv_family family, kal_bytes lower, kal_bytes upper)
{
    kal_kv *inner = fault_of(kv)->inner;
    inner->ops->compact(inner, family, lower, upper);
}

static kal_status fault_drop_files(kal_kv *kv, kal_kv_family family, kal_bytes lower,
                                   kal_bytes upper, kal_error *err)
{
    fault_kv *fault = fault_of(kv);
    if (draw_fault(fault, fault->write_fail_per_1000))
        return kal_error_set(err, KAL_IO, "cannot write the store (injected)");
    return kal_kv_drop_files(fault->inner, family, lower, upper, err);
}

/* --- loads ------------------------------------------------------------------------------------ */

typedef struct fault_load {
    kal_kv_load base;
    kal_kv_load *inner; /* owned */
} fault_load;

static kal_status fault_load_open(kal_kv *kv, kal_kv_family family, const char *path,
                                  kal_kv_load **load_out, kal_error *err)
{
    fault_kv *fault = fault_of(kv);
    kal_kv_load *inner = NULL;

    if (draw_fault(fault, fault->write_fail_per_1000))
        return kal_error_set(err, KAL_IO, "cannot write '%s' (injected)", path);
    KAL_TRY(kal_kv_load_open(fault->inner, family, path, &inner, err));
    fault_load *load = kal_kv_alloc(sizeof *load);
    load->inner = inner;
    *load_out = &load->base;
    return KAL_OK;
}

static kal_status fault_load_add(kal_kv_load *base, kal_bytes key, kal_bytes value, kal_error *err)
{
    return kal_kv_load_add(((fault_load *)base)->inner, key, value, err);
}

/* Also in the way that matters: the entries are there and the caller is told that they are not. */
static kal_status fault_load_finish(kal_kv_load *base, kal_error *err)
{
    fault_load *load = (fault_load *)base;
    write_fault way = draw_write_fault(fault_of(base->kv), true);
    if (way == FAULT_NONE || way == FAULT_DURABLE)
        KAL_TRY(kal_kv_load_finish(load->inner, err));
    if (way == FAULT_NONE)
        return KAL_OK;
    return kal_error_set(err, KAL_IO, "cannot load into the store (injected)");
}

static void fault_load_close(kal_kv_load *base)
{
    fault_load *load = (fault_load *)base;
    kal_kv_load_close(load->inner);
    free(load);
}

static const kal_kv_ops FAULT_OPS = {
    .close = fault_close,
    .get = fault_get,
    .iter_open = fault_iter_open,
    .iter_next = fault_iter_next,
    .iter_close = fault_iter_close,
    .approximate_bytes = fault_approximate_bytes,
    .compact = fault_compact,
    .write = fault_write,
    .sync = fault_sync,
    .drop_files = fault_drop_files,
    .load_open = fault_load_open,
    .load_add = fault_load_add,
    .load_finish = fault_load_finish,
    .load_close = fault_load_close,
};

kal_kv *kal_kv_open_fault(kal_kv *inner, uint64_t seed, unsigned write_fail_per_1000,
                          unsigned read_fail_per_1000)
{
    KAL_ASSERT(write_fail_per_1000 <= 1000);
    KAL_ASSERT(read_fail_per_1000 <= 1000);
    fault_kv *fault = kal_kv_alloc(sizeof *fault);
    kal_kv_init(&fault->base, &FAULT_OPS, inner->bottom);
    pthread_mutex_init(&fault->mutex, NULL);
    kal_rng_seed(&fault->rng, seed);
    fault->inner = inner;
    fault->write_fail_per_1000 = write_fail_per_1000;
    fault->read_fail_per_1000 = read_fail_per_1000;
    atomic_store(&fault->enabled, true);
    return &fault->base;
}

kal_kv *kal_kv_fault_inner(kal_kv *kv)
{
    KAL_ASSERT(kv->ops == &FAULT_OPS);
    return fault_of(kv)->inner;
}

void kal_kv_fault_enable(kal_kv *kv, bool enabled)
{
    KAL_ASSERT(kv->ops == &FAULT_OPS);
    atomic_store(&fault_of(kv)->enabled, enabled);
}
