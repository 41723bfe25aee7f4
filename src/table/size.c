/*
 * size.c: how many rows a table has, for statistics.
 *
 * Rows are counted by a walk over their keys, through the view's snapshot. A table that has more of
 * them than are to be counted is estimated: the part that was walked and the whole are both
 * measured in data files, whose ratio is taken for the rows' too. While the part lies in write
 * buffers only there is no such ratio, and counting goes on: buffers are small. Rows of segments
 * are known from the manifest; of one user among others, from the index.
 */
#include "base/assert.h"
#include "table/table_internal.h"

enum { CHECK_ROWS = 1024 };

typedef struct size_walk {
    kal_kv *kv;        /* borrowed */
    kal_kv_iter *iter; /* owned */
    uint8_t lower[KAL_ROW_KEY_PREFIX_BYTES];
    uint8_t upper[KAL_ROW_KEY_PREFIX_BYTES];
    size_t prefix_len;
    const kal_table *table; /* borrowed */
    uint32_t hot_id;        /* the space that is walked */
    int64_t now_us;
    uint8_t partition[KAL_ROW_KEY_PREFIX_BYTES]; /* of the last row that was counted */
    uint64_t exact_max;
    kal_size_check check;
    void *context;
    kal_table_size size;
} size_walk;

/* All rows of the table, or what begins with its hot_id, shard and user. */
static void set_range(size_walk *walk, uint64_t user_no, bool all_users)
{
    if (all_users) {
        walk->prefix_len = KAL_ROW_SHARD_PREFIX_BYTES;
        kal_row_bounds(walk->table, walk->lower, walk->upper);
        kal_row_key_set_space(walk->lower, walk->hot_id);
        kal_row_key_set_space(walk->upper, walk->hot_id);
        return;
    }
    kal_row_key_prefix(walk->table, user_no, walk->lower);
    kal_row_key_set_space(walk->lower, walk->hot_id);
    memcpy(walk->upper, walk->lower, sizeof walk->upper);
    walk->prefix_len = KAL_ROW_KEY_PREFIX_BYTES;
    kal_bytes_increment(walk->upper, walk->prefix_len); /* hot_id never is all ones */
}

static kal_bytes lower_of(const size_walk *walk)
{
    return kal_bytes_of(walk->lower, walk->prefix_len);
}

static kal_bytes upper_of(const size_walk *walk)
{
    return kal_bytes_of(walk->upper, walk->prefix_len);
}

static uint64_t scaled(uint64_t count, uint64_t whole, uint64_t part)
{
    return (uint64_t)((double)count * ((double)whole / (double)part));
}

/* Estimates the rest from what was walked, up to `key`; KAL_NOT_FOUND when there is no measure. */
static kal_status estimate(size_walk *walk, kal_bytes key, kal_error *err)
{
    uint64_t part = 0;
    uint64_t whole = 0;
    kal_kv_family family = kal_row_family(walk->table);

    KAL_TRY(kal_kv_approximate_bytes(walk->kv, family, lower_of(walk), key, &part, err));
    KAL_TRY(
        kal_kv_approximate_bytes(walk->kv, family, lower_of(walk), upper_of(walk), &whole, err));
    if (part == 0 || whole < part)
        return KAL_NOT_FOUND;
    walk->size.row_count = scaled(walk->size.row_count, whole, part);
    walk->size.bytes = scaled(walk->size.bytes, whole, part);
    walk->size.stored_count = scaled(walk->size.stored_count, whole, part);
    walk->size.partition_count = scaled(walk->size.partition_count, whole, part);
    walk->size.is_estimate = true;
    return KAL_OK;
}

static kal_status is_visible(const size_walk *walk, kal_bytes value, bool *out, kal_error *err)
{
    int64_t inserted_us = 0;

    *out = true;
    if (!kal_table_is_stream(walk->table))
        return KAL_OK;
    KAL_TRY(kal_stream_take_time(&value, &inserted_us, err));
    *out = !kal_stream_is_expired(walk->table, inserted_us, walk->now_us);
    return KAL_OK;
}

/* KAL_END when all rows were counted or estimated. */
static kal_status count_row(size_walk *walk, kal_error *err)
{
    kal_bytes key;
    kal_bytes value;
    bool visible = true;

    KAL_TRY(kal_kv_iter_next(walk->iter, &key, &value, err));
    if (walk->size.stored_count % CHECK_ROWS == 0) {
        KAL_TRY(walk->check(walk->context, err));
        if (walk->size.stored_count >= walk->exact_max) {
            kal_status status = estimate(walk, key, err);
            if (status != KAL_NOT_FOUND)
                return status == KAL_OK ? KAL_END : status;
        }
    }
    walk->size.stored_count++;
    walk->size.bytes += key.len + value.len;
    KAL_TRY(is_visible(walk, value, &visible, err));
    if (!visible)
        return KAL_OK;
    walk->size.row_count++;
    KAL_ASSERT(key.len >= sizeof walk->partition);
    if (memcmp(walk->partition, key.ptr, sizeof walk->partition) != 0)
        walk->size.partition_count++;
    memcpy(walk->partition, key.ptr, sizeof walk->partition);
    return KAL_OK;
}

static kal_status count_space(size_walk *walk, const kal_view *view, const kal_manifest *manifest,
                              uint32_t hot_id, bool all_users, kal_error *err)
{
    kal_status status = KAL_OK;
    kal_rest_bound rest;

    walk->hot_id = hot_id;
    set_range(walk, view->user_no, all_users);
    kal_kv_range range = {
        .family = kal_row_family(walk->table), .lower = lower_of(walk), .upper = upper_of(walk)};
    kal_hot_range(manifest, hot_id, &range, &rest);
    KAL_TRY(kal_kv_iter_open(walk->kv, view->snapshot, &range, &walk->iter, err));
    while (status == KAL_OK)
        status = count_row(walk, err);
    kal_kv_iter_close(walk->iter);
    return status == KAL_END ? KAL_OK : status;
}

/* ---- rows of segments ---- */

/* The live rows of one user, by the index. */
static kal_status count_indexed(size_walk *walk, const kal_view *view, kal_segment *segment,
                                uint64_t *count_out, kal_error *err)
{
    kal_user_range of_user;
    kal_dead_rows *dead = NULL; /* owned */
    kal_kv_iter *iter = NULL;   /* owned */
    kal_bytes key;
    kal_bytes value;
    uint64_t walked = 0;

    const kal_kv_range range = kal_user_range_of(walk->table, view->user_no, KAL_KV_INDEX,
                                                 segment->info.segment_id, &of_user);
    KAL_TRY(kal_dead_rows_get(walk->kv, view->snapshot, segment, &dead, err));
    kal_status status = kal_kv_iter_open(walk->kv, view->snapshot, &range, &iter, err);
    while (status == KAL_OK) {
        uint32_t row = 0;
        uint64_t seq = 0;
        status = kal_kv_iter_next(iter, &key, &value, err);
        if (status == KAL_OK)
            status = kal_index_decode(value, &row, &seq, err);
        if (status == KAL_OK && walked++ % CHECK_ROWS == 0)
            status = walk->check(walk->context, err);
        if (status == KAL_OK && !kal_dead_rows_has(dead, row))
            (*count_out)++;
    }
    kal_kv_iter_close(iter);
    kal_dead_rows_release(dead);
    return status == KAL_END ? KAL_OK : status;
}

static kal_status count_segment(size_walk *walk, const kal_view *view, kal_segment *segment,
                                bool all_users, kal_error *err)
{
    const kal_segment_info *info = &segment->info;
    uint64_t user_no = kal_table_user_no(walk->table, view->user_no);
    uint64_t count = 0;
    uint64_t dead = 0;

    if (!kal_segment_may_hold(segment, all_users, user_no, (kal_bytes){0}, (kal_bytes){0}))
        return KAL_OK;
    if (all_users || (info->user_min == user_no && info->user_max == user_no)) {
        KAL_TRY(kal_dead_count(walk->kv, view->snapshot, info->segment_id, &dead, err));
        count = info->row_count - (dead < info->row_count ? dead : info->row_count);
    } else {
        KAL_TRY(count_indexed(walk, view, segment, &count, err));
    }
    walk->size.row_count += count;
    walk->size.stored_count += count;
    walk->size.cold_count += count;
    walk->size.bytes += scaled(count, info->size_bytes, info->row_count);
    return KAL_OK;
}

kal_status kal_view_size(kal_view *view, const kal_table *table, bool all_users, uint64_t exact_max,
                         kal_size_check check, void *context, kal_table_size *size_out,
                         kal_error *err)
{
    const kal_manifest *manifest = NULL;
    size_walk walk = {
        .kv = view->tables->kv,
        .table = table,
        .now_us = view->now_us,
        .exact_max = exact_max,
        .check = check,
        .context = context,
    };

    KAL_TRY(kal_view_manifest_of(view, table, false, &manifest, err));
    uint32_t active = manifest == NULL ? table->hot_id : manifest->head.active_hot_id;
    KAL_TRY(count_space(&walk, view, manifest, active, all_users, err));
    if (manifest != NULL && manifest->head.frozen_hot_id != 0)
        KAL_TRY(count_space(&walk, view, manifest, manifest->head.frozen_hot_id, all_users, err));
    for (size_t i = 0; manifest != NULL && i < manifest->segment_count; i++)
        KAL_TRY(count_segment(&walk, view, manifest->segments[i], all_users, err));
    if (walk.size.partition_count == 0 && walk.size.row_count > 0)
        walk.size.partition_count = 1;
    *size_out = walk.size;
    return KAL_OK;
}
