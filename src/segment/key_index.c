#include "segment/key_index.h"
#include "base/assert.h"
#include "segment/statistics.h"

#include <stdlib.h>

/* ---- pruning ---- */

bool kal_segment_may_hold(const kal_segment *segment, bool all_users, uint64_t user_no,
                          kal_bytes lower, kal_bytes upper)
{
    const kal_segment_info *info = &segment->info;

    if (!all_users && (user_no < info->user_min || user_no > info->user_max ||
                       !kal_statistics_may_have_user(info, user_no)))
        return false;
    if (upper.len > 0 && kal_bytes_compare(upper, info->primary_min) <= 0)
        return false;
    return kal_bytes_compare(lower, info->primary_max) <= 0;
}

static bool may_hold_key(const kal_segment_info *info, kal_bytes cold_key)
{
    kal_bytes primary = kal_bytes_of(cold_key.ptr + KAL_COLD_KEY_PREFIX_BYTES,
                                     cold_key.len - KAL_COLD_KEY_PREFIX_BYTES);
    return kal_bytes_compare(primary, info->primary_min) >= 0 &&
           kal_bytes_compare(primary, info->primary_max) <= 0 &&
           kal_bytes_compare(cold_key, info->key_min) >= 0 &&
           kal_bytes_compare(cold_key, info->key_max) <= 0 &&
           kal_statistics_may_have_user(info, kal_load_be64(cold_key.ptr + 2));
}

/* ---- the index ---- */

kal_bytes kal_index_key(uint32_t segment_id, kal_bytes cold_key,
                        uint8_t out[KAL_INDEX_KEY_BYTES_MAX])
{
    KAL_ASSERT(cold_key.len >= KAL_COLD_KEY_PREFIX_BYTES && cold_key.len <= KAL_COLD_KEY_BYTES_MAX);
    kal_store_be32(out, segment_id);
    memcpy(out + 4, cold_key.ptr, cold_key.len);
    return kal_bytes_of(out, 4 + cold_key.len);
}

void kal_index_value(uint32_t row, uint64_t seq, uint8_t out[KAL_INDEX_VALUE_BYTES])
{
    kal_store_le32(out, row);
    kal_store_le64(out + 4, seq);
}

kal_status kal_index_decode(kal_bytes value, uint32_t *row_out, uint64_t *seq_out, kal_error *err)
{
    if (kal_bytes_take_le32(&value, row_out) && kal_bytes_take_le64(&value, seq_out) &&
        value.len == 0)
        return KAL_OK;
    return kal_error_set(err, KAL_CORRUPT, "an entry of the index of cold rows is damaged");
}

static kal_status is_dead(kal_kv *kv, const kal_kv_snapshot *snapshot, uint32_t segment_id,
                          uint32_t row, kal_arena *arena, bool *out, kal_error *err)
{
    uint8_t key[KAL_DEAD_KEY_BYTES];
    kal_bytes value;
    kal_status status = kal_kv_get(kv, snapshot, KAL_KV_DELETED, kal_dead_key(segment_id, row, key),
                                   arena, &value, err);
    *out = status == KAL_OK;
    return status == KAL_NOT_FOUND ? KAL_OK : status;
}

/* KAL_NOT_FOUND: the segment has no live row with that key. */
static kal_status find_in(kal_kv *kv, const kal_kv_snapshot *snapshot, const kal_segment *segment,
                          kal_bytes cold_key, kal_arena *arena, kal_cold_place *out, kal_error *err)
{
    uint8_t key[KAL_INDEX_KEY_BYTES_MAX];
    uint32_t id = segment->info.segment_id;
    kal_bytes value;
    bool dead = false;

    if (!may_hold_key(&segment->info, cold_key))
        return KAL_NOT_FOUND;
    KAL_TRY(kal_kv_get(kv, snapshot, KAL_KV_INDEX, kal_index_key(id, cold_key, key), arena, &value,
                       err));
    KAL_TRY(kal_index_decode(value, &out->row, &out->seq, err));
    if (out->row >= segment->info.row_count)
        return kal_error_set(err, KAL_CORRUPT, "an entry of the index of cold rows is damaged");
    KAL_TRY(is_dead(kv, snapshot, id, out->row, arena, &dead, err));
    if (dead)
        return KAL_NOT_FOUND;
    out->segment = segment;
    return KAL_OK;
}

/* KAL_NOT_FOUND: none of them has it. */
static kal_status find_among(kal_kv *kv, const kal_kv_snapshot *snapshot,
                             kal_segment *const *segments, size_t count, kal_bytes cold_key,
                             kal_cold_place *out, kal_error *err)
{
    kal_status status = KAL_NOT_FOUND;
    kal_arena arena; /* owned */

    kal_arena_init(&arena, NULL);
    for (size_t i = 0; i < count && status == KAL_NOT_FOUND; i++)
        status = find_in(kv, snapshot, segments[i], cold_key, &arena, out, err);
    kal_arena_release(&arena);
    return status;
}

/* Not one by one through the segments of all other users: there may be ten thousand, and this is
 * asked on the lane for each row that is inserted. */
kal_status kal_index_find(kal_kv *kv, const kal_kv_snapshot *snapshot, const kal_manifest *manifest,
                          kal_bytes cold_key, kal_cold_place *place_out, kal_error *err)
{
    kal_segment *const *single = NULL;

    *place_out = (kal_cold_place){0};
    size_t count = kal_manifest_single(manifest, kal_load_be64(cold_key.ptr + 2), &single);
    kal_status status = find_among(kv, snapshot, single, count, cold_key, place_out, err);
    if (status == KAL_NOT_FOUND)
        status = find_among(kv, snapshot, manifest->mixed, manifest->mixed_count, cold_key,
                            place_out, err);
    return status == KAL_NOT_FOUND ? KAL_OK : status;
}

/* ---- dead rows ---- */

kal_bytes kal_dead_key(uint32_t segment_id, uint32_t row, uint8_t out[KAL_DEAD_KEY_BYTES])
{
    kal_store_be32(out, segment_id);
    kal_store_be32(out + 4, row);
    return kal_bytes_of(out, KAL_DEAD_KEY_BYTES);
}

void kal_dead_put(kal_kv_batch *batch, uint32_t segment_id, uint32_t row)
{
    static const uint8_t ZERO[1];
    uint8_t key[KAL_DEAD_KEY_BYTES];
    kal_kv_batch_put(batch, KAL_KV_DELETED, kal_dead_key(segment_id, row, key),
                     kal_bytes_of(ZERO, sizeof ZERO));
}

void kal_dead_count_put(kal_kv_batch *batch, uint32_t segment_id, uint64_t count)
{
    uint8_t key[KAL_DEAD_COUNT_KEY_BYTES];
    uint8_t value[8];
    kal_store_be32(key, segment_id);
    kal_store_le64(value, count);
    kal_kv_batch_put(batch, KAL_KV_DELETED, kal_bytes_of(key, sizeof key),
                     kal_bytes_of(value, sizeof value));
}

static kal_status damaged(uint32_t segment_id, kal_error *err)
{
    return kal_error_set(err, KAL_CORRUPT, "the dead rows of segment %u are damaged", segment_id);
}

kal_status kal_dead_count(kal_kv *kv, const kal_kv_snapshot *snapshot, uint32_t segment_id,
                          uint64_t *count_out, kal_error *err)
{
    uint8_t key[KAL_DEAD_COUNT_KEY_BYTES];
    kal_bytes value;
    kal_arena arena; /* owned */

    *count_out = 0;
    kal_store_be32(key, segment_id);
    kal_arena_init(&arena, NULL);
    kal_status status = kal_kv_get(kv, snapshot, KAL_KV_DELETED, kal_bytes_of(key, sizeof key),
                                   &arena, &value, err);
    if (status == KAL_OK && (!kal_bytes_take_le64(&value, count_out) || value.len != 0))
        status = damaged(segment_id, err);
    kal_arena_release(&arena);
    return status == KAL_NOT_FOUND ? KAL_OK : status;
}

void kal_dead_rows_release(kal_dead_rows *dead)
{
    if (dead != NULL && atomic_fetch_sub(&dead->refs, 1) == 1)
        free(dead);
}

static kal_status read_rows(kal_kv *kv, const kal_kv_snapshot *snapshot, const kal_segment *segment,
                            kal_dead_rows *dead, kal_error *err)
{
    uint32_t id = segment->info.segment_id;
    uint8_t lower[KAL_DEAD_KEY_BYTES];
    uint8_t upper[KAL_DEAD_COUNT_KEY_BYTES];
    kal_kv_iter *iter = NULL; /* owned */
    kal_bytes key;
    kal_bytes value;
    uint64_t count = 0;

    kal_store_be32(upper, id + 1);
    kal_kv_range range = {.family = KAL_KV_DELETED,
                          .lower = kal_dead_key(id, 0, lower),
                          .upper = kal_bytes_of(upper, sizeof upper)};
    KAL_TRY(kal_kv_iter_open(kv, snapshot, &range, &iter, err));
    kal_status status = kal_kv_iter_next(iter, &key, &value, err);
    for (; status == KAL_OK; status = kal_kv_iter_next(iter, &key, &value, err)) {
        uint32_t row = key.len == KAL_DEAD_KEY_BYTES ? kal_load_be32(key.ptr + 4) : UINT32_MAX;
        if (row >= segment->info.row_count) {
            status = damaged(id, err);
            break;
        }
        dead->bits[row / 64] |= UINT64_C(1) << (row % 64);
        count++;
    }
    kal_kv_iter_close(iter);
    if (status == KAL_END)
        status = count == dead->count ? KAL_OK : damaged(id, err);
    return status;
}

/* Rows only ever die, so two sets of one segment with the same number of rows are the same. */
static kal_dead_rows *find_known(kal_segment *segment, uint64_t count)
{
    kal_dead_rows *known = NULL;
    pthread_mutex_lock(&segment->lock);
    if (segment->dead != NULL && segment->dead->count == count) {
        known = segment->dead;
        atomic_fetch_add(&known->refs, 1);
    }
    pthread_mutex_unlock(&segment->lock);
    return known;
}

static void keep(kal_segment *segment, kal_dead_rows *dead)
{
    kal_dead_rows *before = dead;
    pthread_mutex_lock(&segment->lock);
    if (segment->dead == NULL || segment->dead->count < dead->count) {
        before = segment->dead;
        atomic_fetch_add(&dead->refs, 1);
        segment->dead = dead;
    }
    pthread_mutex_unlock(&segment->lock);
    if (before != dead)
        kal_dead_rows_release(before);
}

kal_status kal_dead_rows_get(kal_kv *kv, const kal_kv_snapshot *snapshot, kal_segment *segment,
                             kal_dead_rows **dead_out, kal_error *err)
{
    uint64_t count = 0;

    *dead_out = NULL;
    KAL_TRY(kal_dead_count(kv, snapshot, segment->info.segment_id, &count, err));
    if (count == 0)
        return KAL_OK;
    *dead_out = find_known(segment, count);
    if (*dead_out != NULL)
        return KAL_OK;
    size_t words = (size_t)((segment->info.row_count + 63) / 64);
    kal_dead_rows *dead = calloc(1, sizeof *dead + words * sizeof dead->bits[0]);
    if (dead == NULL)
        kal_die("out of memory: dead rows");
    dead->refs = 1;
    dead->count = count;
    kal_status status = read_rows(kv, snapshot, segment, dead, err);
    if (status != KAL_OK) {
        kal_dead_rows_release(dead);
        return status;
    }
    keep(segment, dead);
    *dead_out = dead;
    return KAL_OK;
}
