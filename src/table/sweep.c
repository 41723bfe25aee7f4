/*
 * sweep.c: removing what no manifest has.
 *
 *   look      doomed segments that nobody is writing
 *   wait      the era of the views that may know of them ends; else KAL_BUSY
 *   remove    their files, many together; durable before their records go
 *   forget    records and what is visible of their index entries            (batch, synced)
 *   drop      data files of the index that hold nothing else
 *   compact   where what is left of dropped entries in files with others' has become much
 *
 * A file of index entries may have those of many segments (new_segments.c), and purging mixes all
 * of them, so dropping whole files is not enough.
 */
#include "base/assert.h"
#include "segment/key_index.h"
#include "table/flush_internal.h"

#include <stdlib.h>

enum {
    FAILURES_MAX = 3,      /* of a storage, in one sweep */
    REMOVED_TOGETHER = 256 /* segments */
};
#define LEFT_BYTES_MIN ((uint64_t)1 << 20) /* of index entries: less is not worth a compaction */
#define LEFT_PART      4                   /* of the whole index: one of so many bytes */

typedef enum item_state {
    ITEM_STAYS,
    ITEM_REMOVED,   /* its file */
    ITEM_PUBLISHED, /* it is in a manifest by now */
} item_state;

typedef struct doomed_item {
    kal_doomed_segment segment; /* arena */
    item_state state;
} doomed_item;

/* Of a storage. */
typedef struct removal_failure {
    kal_bytes storage_id; /* arena */
    kal_status status;
    kal_error why;
} removal_failure;

typedef struct doomed_list {
    const kal_flush_args *args;
    uint64_t user_no; /* only what may have rows of his; 0: all */
    kal_arena arena;
    KAL_VEC(doomed_item) items;        /* arena */
    KAL_VEC(removal_failure) failures; /* arena; of each storage about FAILURES_MAX at most */
} doomed_list;

static bool is_wanted(const doomed_list *list, const kal_doomed_segment *doomed)
{
    return list->user_no == 0 ||
           (doomed->user_min <= list->user_no && list->user_no <= doomed->user_max);
}

static kal_status note_doomed(void *context, const kal_doomed_segment *doomed, kal_error *err)
{
    doomed_list *list = context;
    doomed_item item = {.segment = *doomed};

    (void)err;
    /* No era ends for the sake of what is being written. */
    if (!is_wanted(list, doomed) ||
        kal_flush_is_being_written(list->args->tables, doomed->segment_id))
        return KAL_OK;
    item.segment.storage_id = kal_arena_copy(&list->arena, doomed->storage_id);
    item.segment.object = kal_arena_copy(&list->arena, doomed->object);
    if (!kal_vec_try_push_in(&list->arena, &list->items, item))
        kal_die("out of memory: sweep");
    return KAL_OK;
}

/* ---- index entries ---- */

/* Of numbers without a gap. */
typedef struct id_range {
    uint8_t lower[4];
    uint8_t upper[4];
} id_range;

static id_range range_of(const uint32_t *ids, size_t count)
{
    id_range range;
    kal_store_be32(range.lower, ids[0]);
    kal_store_be32(range.upper, ids[count - 1] + 1);
    return range;
}

static kal_bytes lower_of(const id_range *range)
{
    return kal_bytes_of(range->lower, sizeof range->lower);
}

static kal_bytes upper_of(const id_range *range)
{
    return kal_bytes_of(range->upper, sizeof range->upper);
}

/* Of segments that no manifest ever had, the entries are still there; of others they were deleted.
 */
static kal_status delete_visible(kal_kv *kv, const id_range *ids, kal_kv_batch *batch,
                                 kal_error *err)
{
    const kal_kv_range range = {
        .family = KAL_KV_INDEX, .lower = lower_of(ids), .upper = upper_of(ids)};
    kal_kv_iter *iter = NULL; /* owned */
    kal_bytes key;
    kal_bytes value;

    KAL_TRY(kal_kv_iter_open(kv, NULL, &range, &iter, err));
    kal_status status = kal_kv_iter_next(iter, &key, &value, err);
    kal_kv_iter_close(iter);
    if (status == KAL_OK)
        kal_kv_batch_delete_range(batch, KAL_KV_INDEX, lower_of(ids), upper_of(ids));
    return status == KAL_END ? KAL_OK : status;
}

static kal_status forget(const kal_flush_args *args, const uint32_t *ids, size_t count,
                         kal_error *err)
{
    kal_catalog_change *change =
        kal_catalog_begin(args->tables->options.catalog, args->actor); /* owned */
    kal_status status = KAL_OK;

    for (size_t at = 0, n = 0; at < count && status == KAL_OK; at += n) {
        n = kal_segment_run(ids + at, count - at);
        const id_range range = range_of(ids + at, n);
        status = delete_visible(args->tables->kv, &range, kal_catalog_change_batch(change), err);
    }
    for (size_t i = 0; i < count && status == KAL_OK; i++)
        status = kal_catalog_delete_doomed(change, ids[i], err);
    if (status == KAL_OK)
        status = kal_catalog_commit(change, err);
    kal_catalog_end(change);
    return status;
}

/* Whole files at once; what is left in files that have other entries too is counted. */
static kal_status drop_entries(kal_tables *tables, const uint32_t *ids, size_t count,
                               kal_error *err)
{
    for (size_t at = 0, n = 0; at < count; at += n) {
        uint64_t left = 0;
        n = kal_segment_run(ids + at, count - at);
        const id_range range = range_of(ids + at, n);
        KAL_TRY(
            kal_kv_drop_files(tables->kv, KAL_KV_INDEX, lower_of(&range), upper_of(&range), err));
        KAL_TRY(kal_kv_approximate_bytes(tables->kv, KAL_KV_INDEX, lower_of(&range),
                                         upper_of(&range), &left, err));
        atomic_fetch_add(&tables->index_left_bytes, left);
    }
    return KAL_OK;
}

/* What it costs is bounded by what it gives back. What was left before the start is not known, and
 * waits until there is as much again. */
static kal_status compact_index(kal_tables *tables, kal_error *err)
{
    static const uint32_t ALL[] = {0, UINT32_MAX - 1};
    const id_range all = range_of(ALL, KAL_ARRAY_LEN(ALL));
    uint64_t left = atomic_load(&tables->index_left_bytes);
    uint64_t bytes = 0;

    if (left < LEFT_BYTES_MIN)
        return KAL_OK;
    KAL_TRY(kal_kv_approximate_bytes(tables->kv, KAL_KV_INDEX, lower_of(&all), upper_of(&all),
                                     &bytes, err));
    if (left < bytes / LEFT_PART)
        return KAL_OK;
    KAL_TRY(kal_kv_compact(tables->kv, KAL_KV_INDEX, lower_of(&all), upper_of(&all), err));
    atomic_fetch_sub(&tables->index_left_bytes, left);
    return KAL_OK;
}

/* ---- files ---- */

/* The scan looked at the records of one moment, and at who is writing a little later: a segment
 * that was published between the two looks doomed and abandoned. Asked in this order it cannot:
 * whoever publishes stops being its writer after the record is gone, and no record comes back. */
static kal_status is_abandoned(kal_tables *tables, uint32_t segment_id, bool *out, kal_error *err)
{
    *out = false;
    if (kal_flush_is_being_written(tables, segment_id))
        return KAL_OK;
    return kal_catalog_is_doomed(tables->options.catalog, segment_id, out, err);
}

/* A storage that cannot be reached takes its time to say so for every object. */
static bool is_given_up(const doomed_list *list, kal_bytes storage_id)
{
    size_t failures = 0;
    for (size_t i = 0; i < list->failures.len; i++)
        failures += kal_bytes_equal(list->failures.items[i].storage_id, storage_id);
    return failures >= FAILURES_MAX;
}

static void note_failure(doomed_list *list, kal_bytes storage_id, kal_status status,
                         const kal_error *why)
{
    const removal_failure failure = {storage_id, status, *why};
    if (!kal_vec_try_push_in(&list->arena, &list->failures, failure))
        kal_die("out of memory: sweep");
}

static kal_status remove_file(const doomed_list *list, kal_segment_group *group, doomed_item *item,
                              kal_error *err)
{
    kal_segment_backend *backend = list->args->tables->options.segments;
    const kal_segment_place place = {item->segment.storage_id, item->segment.object};
    bool abandoned = false;

    KAL_TRY(is_abandoned(list->args->tables, item->segment.segment_id, &abandoned, err));
    if (abandoned)
        KAL_TRY(backend->ops->remove(backend, group, &place, err));
    item->state = abandoned ? ITEM_REMOVED : ITEM_PUBLISHED;
    return KAL_OK;
}

static void sync_removals(doomed_list *list, kal_segment_group *group, doomed_item *items,
                          size_t count)
{
    kal_error why = KAL_ERROR_INIT;
    kal_status status =
        group == NULL ? KAL_OK : list->args->tables->options.segments->ops->group_sync(group, &why);

    if (status == KAL_OK)
        return;
    note_failure(list, items[0].segment.storage_id, status, &why);
    for (size_t i = 0; i < count; i++) {
        if (items[i].state == ITEM_REMOVED)
            items[i].state = ITEM_STAYS;
    }
}

/* Items of one storage. Those whose files are gone, durably, are REMOVED. One that cannot be
 * removed does not keep the others. */
static void remove_files(doomed_list *list, doomed_item *items, size_t count)
{
    kal_segment_backend *backend = list->args->tables->options.segments;
    kal_bytes storage_id = items[0].segment.storage_id;
    kal_segment_group *group = NULL; /* owned */
    kal_error why = KAL_ERROR_INIT;
    kal_status status =
        count == 1 ? KAL_OK : backend->ops->group_open(backend, storage_id, &group, &why);

    if (status != KAL_OK) /* then each by itself, which tells what is wrong with it */
        group = NULL;
    for (size_t i = 0; i < count && !is_given_up(list, storage_id); i++) {
        why = (kal_error)KAL_ERROR_INIT;
        status = remove_file(list, group, &items[i], &why);
        if (status != KAL_OK)
            note_failure(list, storage_id, status, &why);
    }
    sync_removals(list, group, items, count);
    backend->ops->group_close(group);
}

/* A failure of a storage is noted; what this returns is one of the store itself. */
static kal_status remove_some(doomed_list *list, doomed_item *items, size_t count,
                              uint64_t *removed_out, kal_error *err)
{
    uint32_t ids[REMOVED_TOGETHER]; /* ascending, as the records come */
    size_t removed = 0;

    if (is_given_up(list, items[0].segment.storage_id))
        return KAL_OK;
    remove_files(list, items, count);
    for (size_t i = 0; i < count; i++) {
        if (items[i].state == ITEM_REMOVED)
            ids[removed++] = items[i].segment.segment_id;
    }
    if (removed == 0)
        return KAL_OK;
    KAL_TRY(forget(list->args, ids, removed, err));
    *removed_out += removed;
    return drop_entries(list->args->tables, ids, removed, err);
}

/* From `at` on, of one storage. */
static size_t count_together(const doomed_list *list, size_t at)
{
    const doomed_item *items = list->items.items + at;
    size_t n = 1;
    while (at + n < list->items.len && n < REMOVED_TOGETHER &&
           kal_bytes_equal(items[n].segment.storage_id, items[0].segment.storage_id))
        n++;
    return n;
}

/* ---- what stays ---- */

static kal_status explain(const doomed_list *list, const removal_failure *failure, kal_error *err)
{
    if (err == NULL)
        return failure->status;
    *err = failure->why;
    if (list->user_no != 0) {
        kal_error_set(err, failure->status,
                      "storage '%.*s' keeps a segment that may have rows of the user: %s",
                      KAL_FMT(failure->storage_id), failure->why.message);
        if (failure->why.hint[0] != '\0')
            kal_error_hint(err, "%s", failure->why.hint);
    }
    return failure->status;
}

/* Why the first item that stays was not removed: it failed, or its storage was given up. */
static kal_status tell_what_stays(const doomed_list *list, kal_error *err)
{
    for (size_t i = 0; i < list->items.len; i++) {
        const doomed_item *item = &list->items.items[i];
        for (size_t k = 0; item->state == ITEM_STAYS && k < list->failures.len; k++) {
            const removal_failure *failure = &list->failures.items[k];
            if (kal_bytes_equal(failure->storage_id, item->segment.storage_id))
                return explain(list, failure, err);
        }
    }
    return KAL_OK;
}

/* Whatever is doomed now was taken out of its manifest before the era ended, so no view of a later
 * era knows of it. A storage that cannot be reached does not keep those of others. */
static kal_status remove_all(doomed_list *list, uint64_t era, uint64_t *removed_out, kal_error *err)
{
    if (!kal_tables_era_is_over(list->args->tables, era))
        return kal_error_set(err, KAL_BUSY, "old statements are still reading");
    for (size_t at = 0, n = 0; at < list->items.len; at += n) {
        n = count_together(list, at);
        KAL_TRY(remove_some(list, list->items.items + at, n, removed_out, err));
    }
    KAL_TRY(compact_index(list->args->tables, err));
    return tell_what_stays(list, err);
}

kal_status kal_sweep_for_user(const kal_flush_args *args, uint64_t user_no, uint64_t *removed_out,
                              kal_error *err)
{
    doomed_list list = {.args = args, .user_no = user_no};
    uint64_t era = 0;

    *removed_out = 0;
    kal_arena_init(&list.arena, NULL);
    kal_status status =
        kal_catalog_scan_doomed(args->tables->options.catalog, note_doomed, &list, err);
    if (status == KAL_OK && list.items.len > 0)
        status = kal_tables_next_era(args->tables, &era, err);
    if (status == KAL_OK && list.items.len > 0)
        status = remove_all(&list, era, removed_out, err);
    kal_arena_release(&list.arena);
    return status;
}

kal_status kal_tables_sweep(const kal_flush_args *args, uint64_t *removed_out, kal_error *err)
{
    return kal_sweep_for_user(args, 0, removed_out, err);
}
