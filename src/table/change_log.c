/*
 * change_log.c: one record a changed row, under be16 shard | be64 seq; the shard's head under
 * be16 shard | ff..ff. The head is written in every commit of the shard, so a snapshot that holds a
 * row also holds the seq that wrote it. Head: u64 applied, u64 first, u64 last delete.
 *
 * Record: u8 format (1), u8 action, u8 flags (1: ends its commit), u64 first seq of the commit, u32
 * table_id, u64 user_no, then key, row before and row after, each u32 length + bytes.
 */
#include "base/assert.h"
#include "table/table_internal.h"

enum { FORMAT = 1, FLAG_ENDS_COMMIT = 1, KEY_BYTES = 10 };

static kal_bytes log_key(uint16_t shard, uint64_t seq, uint8_t out[KEY_BYTES])
{
    kal_store_be16(out, shard);
    kal_store_be64(out + 2, seq);
    return kal_bytes_of(out, KEY_BYTES);
}

/* A store from before the last delete was recorded may have had one with each change. */
static bool take_head(kal_bytes value, kal_shard_head *head_out)
{
    if (!kal_bytes_take_le64(&value, &head_out->applied) ||
        !kal_bytes_take_le64(&value, &head_out->first))
        return false;
    head_out->last_delete = head_out->applied;
    return value.len == 0 ||
           (kal_bytes_take_le64(&value, &head_out->last_delete) && value.len == 0);
}

kal_status kal_shard_head_read(kal_kv *kv, const kal_kv_snapshot *snapshot, uint16_t shard,
                               kal_shard_head *head_out, kal_error *err)
{
    uint8_t key[KEY_BYTES];
    kal_bytes value;
    kal_arena arena; /* owned */

    *head_out = (kal_shard_head){.applied = 0, .first = 1};
    kal_arena_init(&arena, NULL);
    kal_status status = kal_kv_get(kv, snapshot, KAL_KV_CHANGES, log_key(shard, UINT64_MAX, key),
                                   &arena, &value, err);
    if (status == KAL_NOT_FOUND)
        status = KAL_OK;
    else if (status == KAL_OK && !take_head(value, head_out))
        status = kal_error_set(err, KAL_CORRUPT, "change log of shard %u is damaged", shard);
    kal_arena_release(&arena);
    return status;
}

void kal_shard_head_put(kal_kv_batch *batch, uint16_t shard, const kal_shard_head *head)
{
    uint8_t key[KEY_BYTES];
    uint8_t value[24];
    kal_store_le64(value, head->applied);
    kal_store_le64(value + 8, head->first);
    kal_store_le64(value + 16, head->last_delete);
    kal_kv_batch_put(batch, KAL_KV_CHANGES, log_key(shard, UINT64_MAX, key),
                     kal_bytes_of(value, sizeof value));
}

void kal_change_record_put(kal_kv_batch *batch, uint16_t shard, uint64_t seq,
                           const kal_change_record *record, kal_buf *scratch)
{
    uint8_t key[KEY_BYTES];
    kal_buf_clear(scratch);
    kal_buf_append_byte(scratch, FORMAT);
    kal_buf_append_byte(scratch, (uint8_t)record->action);
    kal_buf_append_byte(scratch, record->ends_commit ? FLAG_ENDS_COMMIT : 0);
    kal_buf_append_le64(scratch, record->commit_first);
    kal_buf_append_le32(scratch, record->table_id);
    kal_buf_append_le64(scratch, record->user_no);
    kal_buf_append_text(scratch, record->primary_key);
    kal_buf_append_text(scratch, record->before);
    kal_buf_append_text(scratch, record->after);
    kal_kv_batch_put(batch, KAL_KV_CHANGES, log_key(shard, seq, key), kal_buf_bytes(scratch));
}

kal_status kal_change_record_decode(kal_bytes value, kal_change_record *record_out, kal_error *err)
{
    uint8_t format = 0;
    uint8_t action = 0;
    uint8_t flags = 0;

    *record_out = (kal_change_record){0};
    if (!kal_bytes_take_u8(&value, &format) || format != FORMAT ||
        !kal_bytes_take_u8(&value, &action) || action > KAL_WRITE_DELETE ||
        !kal_bytes_take_u8(&value, &flags) ||
        !kal_bytes_take_le64(&value, &record_out->commit_first) ||
        !kal_bytes_take_le32(&value, &record_out->table_id) ||
        !kal_bytes_take_le64(&value, &record_out->user_no) ||
        !kal_bytes_take_text(&value, &record_out->primary_key) ||
        !kal_bytes_take_text(&value, &record_out->before) ||
        !kal_bytes_take_text(&value, &record_out->after) || value.len != 0)
        return kal_error_set(err, KAL_CORRUPT, "a change record is damaged");
    record_out->action = (kal_write_action)action;
    record_out->ends_commit = (flags & FLAG_ENDS_COMMIT) != 0;
    return KAL_OK;
}

void kal_change_log_trim(kal_kv_batch *batch, uint16_t shard, kal_shard_head *head,
                         uint64_t rows_max)
{
    uint8_t lower[KEY_BYTES];
    uint8_t upper[KEY_BYTES];
    uint64_t kept = head->applied - head->first + 1;

    KAL_ASSERT(head->applied + 1 >= head->first);
    if (kept <= rows_max + rows_max / 4)
        return;
    uint64_t first = head->applied - rows_max + 1;
    kal_kv_batch_delete_range(batch, KAL_KV_CHANGES, log_key(shard, head->first, lower),
                              log_key(shard, first, upper));
    head->first = first;
}

/* ---- reading ---- */

kal_status kal_view_log_bounds(const kal_view *view, uint16_t shard, kal_log_bounds *bounds_out,
                               kal_error *err)
{
    kal_shard_head head;
    KAL_TRY(kal_shard_head_read(view->tables->kv, view->snapshot, shard, &head, err));
    *bounds_out = (kal_log_bounds){head.applied, head.first, head.last_delete};
    return KAL_OK;
}

static kal_status visit_record(uint16_t shard, uint64_t seq, kal_bytes value,
                               kal_change_visit visit, void *context, kal_error *err)
{
    kal_change_record record;

    KAL_TRY(kal_change_record_decode(value, &record, err));
    kal_change change = {
        .table_id = record.table_id,
        .shard = shard,
        .ends_commit = record.ends_commit,
        .action = record.action,
        .seq = seq,
        .user_no = record.user_no,
        .key = record.primary_key,
        .before = record.before,
        .after = record.after,
    };
    return visit(context, &change, err);
}

kal_status kal_view_log_scan(const kal_view *view, uint16_t shard, uint64_t after,
                             kal_change_visit visit, void *context, kal_error *err)
{
    uint8_t lower[KEY_BYTES];
    uint8_t upper[KEY_BYTES];
    kal_kv_iter *iter = NULL; /* owned */
    kal_bytes key;
    kal_bytes value;
    uint64_t expected = after + 1;

    kal_kv_range range = {.family = KAL_KV_CHANGES,
                          .lower = log_key(shard, expected, lower),
                          .upper = log_key(shard, UINT64_MAX, upper)};
    KAL_TRY(kal_kv_iter_open(view->tables->kv, view->snapshot, &range, &iter, err));
    kal_status status = KAL_OK;
    while (status == KAL_OK) {
        status = kal_kv_iter_next(iter, &key, &value, err);
        if (status != KAL_OK)
            break;
        if (key.len != KEY_BYTES || kal_load_be64(key.ptr + 2) != expected)
            status = kal_error_set(err, KAL_CORRUPT, "change log of shard %u has a gap", shard);
        else
            status = visit_record(shard, expected++, value, visit, context, err);
    }
    kal_kv_iter_close(iter);
    return status == KAL_END ? KAL_OK : status;
}

static kal_status restart_shard(kal_kv *kv, kal_kv_batch *batch, uint16_t shard, uint64_t distance,
                                kal_error *err)
{
    kal_shard_head head;
    uint8_t lower[KEY_BYTES];
    uint8_t upper[KEY_BYTES];

    KAL_TRY(kal_shard_head_read(kv, NULL, shard, &head, err));
    if (head.applied == 0)
        return KAL_OK;
    kal_kv_batch_delete_range(batch, KAL_KV_CHANGES, log_key(shard, head.first, lower),
                              log_key(shard, head.applied + 1, upper));
    head.applied += distance;
    head.first = head.applied + 1;
    head.last_delete =
        head.applied; /* whoever has seen the other copy saw rows that this has not */
    kal_shard_head_put(batch, shard, &head);
    return KAL_OK;
}

kal_status kal_change_log_restart(kal_kv *kv, uint64_t distance, kal_error *err)
{
    kal_kv_batch *batch = kal_kv_batch_open(kv); /* owned */
    kal_status status = KAL_OK;

    for (uint32_t shard = 0; shard < KAL_SHARD_COUNT && status == KAL_OK; shard++)
        status = restart_shard(kv, batch, (uint16_t)shard, distance, err);
    if (status == KAL_OK)
        status = kal_kv_write(kv, batch, true, err);
    kal_kv_batch_close(batch);
    return status;
}
