/*
 * stream.c: the rows of STREAM tables as they are stored, and their eviction.
 *
 * Family `stream`, of each table (docs/on-disk.md):
 *
 *     be32 hot_id                                         -> le32 table_id, le64 rows, le64 bytes
 *     be32 hot_id | be16 shard | be64 user_no | key       -> le64 inserted_us, the row
 *     be32 hot_id | be16 0xffff | be64 inserted_us | rest -> le64 seq, le32 bytes
 *
 * The third is the order of insertion: rest is the row's key from its shard on. All three change in
 * one batch (lane.c), so the total and the order never miss a row nor name one that is gone, and
 * dropping a table is one range. Times are ordered as unsigned numbers by their flipped sign.
 */
#include "base/assert.h"
#include "table/table_internal.h"

enum {
    HOT_ID_BYTES = 4,
    INDEX_PREFIX_BYTES = KAL_ROW_SHARD_PREFIX_BYTES + 8,
    SECOND_US = 1000000,
};
#define SIGN_BIT (UINT64_C(1) << 63)

/* ---- keys and times ---- */

bool kal_table_keyed_by_arrival(const kal_table *table)
{
    return kal_table_is_stream(table) && table->def->key_column_count == 0;
}

bool kal_stream_key_is_open(const kal_table *table, kal_bytes key)
{
    if (!kal_table_keyed_by_arrival(table))
        return false;
    return key.len == 0 ||
           (key.len == sizeof(uint64_t) && kal_load_be64(key.ptr) >= KAL_STREAM_KEY_OPEN);
}

kal_status kal_stream_take_time(kal_bytes *value, int64_t *inserted_us_out, kal_error *err)
{
    uint64_t time = 0;
    if (!kal_bytes_take_le64(value, &time))
        return kal_error_set(err, KAL_CORRUPT, "a row of a stream is damaged");
    *inserted_us_out = (int64_t)time;
    return KAL_OK;
}

/* In whole seconds, so that no ttl overflows; clocks may have stepped back: nothing is younger than
 * 0. */
static bool is_older(int64_t inserted_us, int64_t now_us, uint64_t seconds)
{
    int64_t age_us = 0;
    if (now_us <= inserted_us)
        return false;
    if (!kal_try_sub(now_us, inserted_us, &age_us))
        return true;
    return (uint64_t)age_us / SECOND_US >= seconds;
}

bool kal_stream_is_expired(const kal_table *table, int64_t inserted_us, int64_t now_us)
{
    return is_older(inserted_us, now_us, table->def->options.ttl_seconds);
}

static kal_bytes index_key(const kal_stream_row *row, uint8_t out[KAL_STREAM_INDEX_KEY_BYTES])
{
    size_t rest = row->key.len - HOT_ID_BYTES;
    KAL_ASSERT(row->key.len <= KAL_ROW_KEY_BYTES_MAX);
    memcpy(out, row->key.ptr, HOT_ID_BYTES);
    kal_store_be16(out + HOT_ID_BYTES, KAL_SHARD_NONE);
    kal_store_be64(out + KAL_ROW_SHARD_PREFIX_BYTES, (uint64_t)row->inserted_us ^ SIGN_BIT);
    memcpy(out + INDEX_PREFIX_BYTES, row->key.ptr + HOT_ID_BYTES, rest);
    return kal_bytes_of(out, INDEX_PREFIX_BYTES + rest);
}

/* ---- rows ---- */

static uint64_t stored_bytes(const kal_stream_row *row)
{
    return row->key.len + KAL_STREAM_TIME_BYTES + row->row.len;
}

void kal_stream_put(kal_kv_batch *batch, kal_stream_total *total, const kal_stream_row *row,
                    kal_buf *scratch)
{
    uint8_t key[KAL_STREAM_INDEX_KEY_BYTES];
    uint8_t value[12];
    uint32_t version = 0;
    uint64_t seq = 0;
    bool is_row = kal_row_peek(row->row, &version, &seq, NULL) == KAL_OK;

    KAL_ASSERT(is_row); /* it was encoded a moment ago */
    kal_buf_clear(scratch);
    kal_buf_append_le64(scratch, (uint64_t)row->inserted_us);
    kal_buf_append_bytes(scratch, row->row);
    kal_kv_batch_put(batch, KAL_KV_STREAM, row->key, kal_buf_bytes(scratch));
    kal_store_le64(value, seq);
    kal_store_le32(value + 8, (uint32_t)stored_bytes(row)); /* a row is below 2^31 bytes */
    kal_kv_batch_put(batch, KAL_KV_STREAM, index_key(row, key), kal_bytes_of(value, sizeof value));
    total->row_count++;
    total->bytes += stored_bytes(row);
}

void kal_stream_remove(kal_kv_batch *batch, kal_stream_total *total, const kal_stream_row *row)
{
    uint8_t key[KAL_STREAM_INDEX_KEY_BYTES];
    uint64_t bytes = stored_bytes(row);

    kal_kv_batch_delete(batch, KAL_KV_STREAM, row->key);
    kal_kv_batch_delete(batch, KAL_KV_STREAM, index_key(row, key));
    /* Bytes of the disk are not to be trusted with an assertion. */
    total->row_count -= total->row_count > 0;
    total->bytes -= bytes < total->bytes ? bytes : total->bytes;
}

/* ---- totals ---- */

static kal_status decode_total(uint32_t hot_id, kal_bytes value, kal_stream_total *out,
                               kal_error *err)
{
    *out = (kal_stream_total){.hot_id = hot_id};
    if (kal_bytes_take_le32(&value, &out->table_id) &&
        kal_bytes_take_le64(&value, &out->row_count) && kal_bytes_take_le64(&value, &out->bytes) &&
        value.len == 0)
        return KAL_OK;
    return kal_error_set(err, KAL_CORRUPT, "the total of a stream is damaged");
}

kal_status kal_stream_total_read(kal_kv *kv, const kal_kv_snapshot *snapshot,
                                 const kal_table *table, kal_stream_total *total_out,
                                 kal_error *err)
{
    uint8_t key[HOT_ID_BYTES];
    kal_bytes value;
    kal_arena arena; /* owned */

    *total_out = (kal_stream_total){.hot_id = table->hot_id, .table_id = table->def->table_id};
    kal_store_be32(key, table->hot_id);
    kal_arena_init(&arena, NULL);
    kal_status status =
        kal_kv_get(kv, snapshot, KAL_KV_STREAM, kal_bytes_of(key, sizeof key), &arena, &value, err);
    if (status == KAL_OK)
        status = decode_total(table->hot_id, value, total_out, err);
    kal_arena_release(&arena);
    return status == KAL_NOT_FOUND ? KAL_OK : status;
}

void kal_stream_total_put(kal_kv_batch *batch, const kal_stream_total *total)
{
    uint8_t key_bytes[HOT_ID_BYTES];
    uint8_t value[20];

    kal_store_be32(key_bytes, total->hot_id);
    kal_bytes key = kal_bytes_of(key_bytes, sizeof key_bytes);
    if (total->row_count == 0) {
        kal_kv_batch_delete(batch, KAL_KV_STREAM, key);
        return;
    }
    kal_store_le32(value, total->table_id);
    kal_store_le64(value + 4, total->row_count);
    kal_store_le64(value + 12, total->bytes);
    kal_kv_batch_put(batch, KAL_KV_STREAM, key, kal_bytes_of(value, sizeof value));
}

kal_status kal_stream_next(kal_tables *tables, uint32_t hot_id_min, kal_stream_total *total_out,
                           kal_error *err)
{
    uint8_t lower[HOT_ID_BYTES];
    kal_kv_iter *iter = NULL; /* owned */
    kal_bytes key;
    kal_bytes value;

    kal_store_be32(lower, hot_id_min);
    kal_kv_range range = {.family = KAL_KV_STREAM, .lower = kal_bytes_of(lower, sizeof lower)};
    KAL_TRY(kal_kv_iter_open(tables->kv, NULL, &range, &iter, err));
    kal_status status = kal_kv_iter_next(iter, &key, &value, err);
    if (status == KAL_OK && key.len != HOT_ID_BYTES)
        status = kal_error_set(err, KAL_CORRUPT, "a stream has no total");
    if (status == KAL_OK)
        status = decode_total(kal_load_be32(key.ptr), value, total_out, err);
    kal_kv_iter_close(iter);
    return status;
}

/* ---- eviction ---- */

/* A row in the order of insertion. */
typedef struct stream_place {
    int64_t inserted_us;
    uint64_t user_no;
    kal_bytes primary_key;
    uint64_t seq;
    uint32_t bytes;
} stream_place;

static kal_status decode_place(kal_bytes key, kal_bytes value, stream_place *out, kal_error *err)
{
    size_t head = INDEX_PREFIX_BYTES + KAL_ROW_KEY_PREFIX_BYTES - HOT_ID_BYTES;

    if (key.len < head || key.len - head > KAL_PRIMARY_KEY_BYTES_MAX ||
        !kal_bytes_take_le64(&value, &out->seq) || !kal_bytes_take_le32(&value, &out->bytes) ||
        value.len != 0)
        return kal_error_set(err, KAL_CORRUPT, "the order of a stream is damaged");
    out->inserted_us = (int64_t)(kal_load_be64(key.ptr + KAL_ROW_SHARD_PREFIX_BYTES) ^ SIGN_BIT);
    out->user_no = kal_load_be64(key.ptr + INDEX_PREFIX_BYTES + 2);
    out->primary_key = kal_bytes_of(key.ptr + head, key.len - head);
    if (out->user_no == 0)
        return kal_error_set(err, KAL_CORRUPT, "the order of a stream is damaged");
    return KAL_OK;
}

/* Whether the strategy gives up the oldest row when the stream has so many bytes. */
static bool is_given_up(const kal_table_options *o, const stream_place *oldest, uint64_t bytes,
                        int64_t now_us)
{
    bool by_time = o->eviction_strategy != KAL_EVICTION_SIZE_BASED;
    bool by_size = o->eviction_strategy != KAL_EVICTION_TIME_BASED && o->max_stream_size_bytes > 0;

    if (by_size && bytes > o->max_stream_size_bytes)
        return true;
    return by_time &&
           is_older(oldest->inserted_us, now_us, o->ttl_seconds + o->watermark_delay_seconds);
}

/* Adds the rows to give up, oldest first. The write is later than what is seen here: the lane looks
 * again whether each is still there. */
static kal_status add_evictions(kal_tables *tables, kal_table *table,
                                const kal_kv_snapshot *snapshot, size_t rows_max, kal_write *write,
                                kal_error *err)
{
    uint8_t lower[KAL_ROW_SHARD_PREFIX_BYTES];
    uint8_t upper[HOT_ID_BYTES];
    int64_t now_us = kal_clock_wall_us(tables->clock);
    kal_kv_iter *iter = NULL; /* owned */
    kal_stream_total total;

    kal_store_be32(lower, table->hot_id);
    kal_store_be16(lower + HOT_ID_BYTES, KAL_SHARD_NONE);
    kal_store_be32(upper, table->hot_id + 1);
    kal_kv_range range = {.family = KAL_KV_STREAM,
                          .lower = kal_bytes_of(lower, sizeof lower),
                          .upper = kal_bytes_of(upper, sizeof upper)};
    KAL_TRY(kal_stream_total_read(tables->kv, snapshot, table, &total, err));
    KAL_TRY(kal_kv_iter_open(tables->kv, snapshot, &range, &iter, err));
    kal_status status = KAL_OK;
    while (status == KAL_OK && kal_write_op_count(write) < rows_max) {
        kal_bytes key;
        kal_bytes value;
        stream_place oldest = {0};
        status = kal_kv_iter_next(iter, &key, &value, err);
        if (status == KAL_OK)
            status = decode_place(key, value, &oldest, err);
        if (status != KAL_OK || !is_given_up(&table->def->options, &oldest, total.bytes, now_us))
            break;
        kal_write_op op = {
            .table = table,
            .user_no = oldest.user_no,
            .key = oldest.primary_key,
            .seq_seen = oldest.seq,
            .evict = true,
        };
        total.bytes -= oldest.bytes < total.bytes ? oldest.bytes : total.bytes;
        status = kal_write_add(write, &op, NULL, err);
    }
    kal_kv_iter_close(iter);
    return status == KAL_END ? KAL_OK : status;
}

kal_status kal_stream_evict(kal_tables *tables, kal_table *table, size_t rows_max,
                            size_t *removed_out, kal_error *err)
{
    kal_write *write = kal_write_open(tables, NULL);              /* owned */
    kal_kv_snapshot *snapshot = kal_kv_snapshot_take(tables->kv); /* owned */

    *removed_out = 0;
    kal_status status = add_evictions(tables, table, snapshot, rows_max, write, err);
    kal_kv_snapshot_release(tables->kv, snapshot);
    if (status == KAL_OK && kal_write_op_count(write) > 0)
        status = kal_write_commit(write, err);
    for (size_t i = 0; status == KAL_OK && i < kal_write_op_count(write); i++)
        *removed_out += kal_write_op_at(write, i)->applied == KAL_WRITE_DELETE;
    kal_write_close(write);
    return status;
}

kal_status kal_stream_compact(kal_tables *tables, const kal_table *table, kal_error *err)
{
    uint8_t lower[HOT_ID_BYTES];
    uint8_t upper[HOT_ID_BYTES];

    kal_store_be32(lower, table->hot_id);
    kal_store_be32(upper, table->hot_id + 1);
    return kal_kv_compact(tables->kv, KAL_KV_STREAM, kal_bytes_of(lower, sizeof lower),
                          kal_bytes_of(upper, sizeof upper), err);
}
