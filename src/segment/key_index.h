/*
 * key_index.h: where a key is among the cold rows, and which cold rows are dead.
 *
 *   index    be32 segment | be16 shard | be64 user_no | primary key  ->  le32 row, le64 seq
 *   deleted  be32 segment | be32 row                                 ->  one byte, 0
 *            be32 segment                                            ->  le64 number of dead rows
 *
 * The index of a segment is loaded at once and never changes. The seq says which change the row is
 * from, so that writers can tell whether it is the row they saw without opening the segment.
 */
#ifndef KAL_SEGMENT_KEY_INDEX_H
#define KAL_SEGMENT_KEY_INDEX_H

#include "segment/manifest.h"

#define KAL_INDEX_KEY_BYTES_MAX  (4 + KAL_COLD_KEY_BYTES_MAX)
#define KAL_INDEX_VALUE_BYTES    12
#define KAL_DEAD_KEY_BYTES       8
#define KAL_DEAD_COUNT_KEY_BYTES 4

typedef struct kal_cold_place {
    const kal_segment *segment; /* of the manifest; NULL: the key is not there */
    uint32_t row;
    uint64_t seq;
} kal_cold_place;

/* Whether rows of the user between the bounds (of primary keys, empty: none) may be in it. */
bool kal_segment_may_hold(const kal_segment *segment, bool all_users, uint64_t user_no,
                          kal_bytes lower, kal_bytes upper);

/* The live row with this key (be16 shard | be64 user_no | primary key) at the snapshot (NULL: now).
 * KAL_IO, KAL_CORRUPT. */
KAL_MUST_CHECK kal_status kal_index_find(kal_kv *kv, const kal_kv_snapshot *snapshot,
                                         const kal_manifest *manifest, kal_bytes cold_key,
                                         kal_cold_place *place_out, kal_error *err);

kal_bytes kal_index_key(uint32_t segment_id, kal_bytes cold_key,
                        uint8_t out[KAL_INDEX_KEY_BYTES_MAX]);
void kal_index_value(uint32_t row, uint64_t seq, uint8_t out[KAL_INDEX_VALUE_BYTES]);
KAL_MUST_CHECK kal_status kal_index_decode(kal_bytes value, uint32_t *row_out, uint64_t *seq_out,
                                           kal_error *err);

/* ---- dead rows ---- */

kal_bytes kal_dead_key(uint32_t segment_id, uint32_t row, uint8_t out[KAL_DEAD_KEY_BYTES]);
void kal_dead_put(kal_kv_batch *batch, uint32_t segment_id, uint32_t row);
void kal_dead_count_put(kal_kv_batch *batch, uint32_t segment_id, uint64_t count);
KAL_MUST_CHECK kal_status kal_dead_count(kal_kv *kv, const kal_kv_snapshot *snapshot,
                                         uint32_t segment_id, uint64_t *count_out, kal_error *err);

/* All dead rows of a segment at the snapshot, from memory when they are known; a reference, or
 * NULL: none is dead. */
KAL_MUST_CHECK kal_status kal_dead_rows_get(kal_kv *kv, const kal_kv_snapshot *snapshot,
                                            kal_segment *segment, kal_dead_rows **dead_out,
                                            kal_error *err);
void kal_dead_rows_release(kal_dead_rows *dead); /* NULL is allowed */

static inline bool kal_dead_rows_has(const kal_dead_rows *dead, uint64_t row)
{
    return dead != NULL && (dead->bits[row / 64] >> (row % 64) & 1) != 0;
}

#endif
