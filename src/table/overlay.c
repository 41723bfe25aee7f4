/*
 * overlay.c: the uncommitted changes of one transaction, in row-key order.
 *
 * Value of an entry: the table (pointer; the overlay holds a reference), u64 user_no, u64 seq_seen,
 * u8 action, u32 length and bytes of the cold row that was seen, then the encoded row. seq_seen is
 * what the first change of that key saw below the overlay and stays, however often the row changes
 * again: it is what the lane checks at commit.
 */
#include "base/assert.h"
#include "table/table_internal.h"

#include <stdlib.h>

enum { ENTRY_HEADER_BYTES = 8 + 8 + 8 + 1 }; /* before the cold row */

kal_overlay *kal_overlay_open(kal_budget *budget)
{
    kal_overlay *overlay = calloc(1, sizeof *overlay);
    if (overlay == NULL)
        kal_die("out of memory: overlay");
    overlay->budget = budget;
    overlay->entries = kal_ordered_map_open(budget);
    kal_arena_init(&overlay->undo_arena, budget);
    return overlay;
}

void kal_overlay_close(kal_overlay *overlay)
{
    if (overlay == NULL)
        return;
    for (size_t i = 0; i < overlay->tables.len; i++)
        kal_table_release(overlay->tables.items[i]);
    kal_vec_release(&overlay->tables);
    kal_ordered_map_close(overlay->entries);
    kal_arena_release(&overlay->undo_arena);
    free(overlay);
}

void kal_overlay_decode(kal_bytes value, kal_overlay_entry *entry_out)
{
    uint64_t table = 0;
    uint8_t action = 0;
    bool ok =
        kal_bytes_take_le64(&value, &table) && kal_bytes_take_le64(&value, &entry_out->user_no) &&
        kal_bytes_take_le64(&value, &entry_out->seq_seen) && kal_bytes_take_u8(&value, &action) &&
        kal_bytes_take_text(&value, &entry_out->cold_row);
    KAL_ASSERT(ok); /* our own memory */
    entry_out->table = (kal_table *)(uintptr_t)table;
    entry_out->action = (kal_write_action)action;
    entry_out->row = value;
}

static void keep_table(kal_overlay *overlay, kal_table *table)
{
    for (size_t i = 0; i < overlay->tables.len; i++) {
        if (overlay->tables.items[i] == table)
            return;
    }
    kal_vec_push(&overlay->tables, kal_table_retain(table));
}

bool kal_overlay_has(const kal_view *view, const kal_table *table, kal_bytes key)
{
    uint8_t bytes[KAL_ROW_KEY_BYTES_MAX];
    return view->overlay != NULL &&
           kal_ordered_map_find(view->overlay->entries,
                                kal_row_key(table, view->user_no, key, bytes)) != NULL;
}

static kal_status too_large(kal_error *err)
{
    kal_error_set(err, KAL_LIMIT, "transaction exceeds %u MiB of changes",
                  KAL_WRITE_BYTES_MAX / (1024u * 1024u));
    kal_error_code(err, "TRANSACTION_TOO_LARGE");
    return KAL_LIMIT;
}

/* Remembers what stood under the key, so that a failing statement can be taken back alone. */
static bool push_undo(kal_overlay *overlay, kal_bytes key, const kal_ordered_entry *before)
{
    struct kal_overlay_undo undo = {0};
    if (!kal_arena_try_copy(&overlay->undo_arena, key, &undo.key))
        return false;
    if (before != NULL &&
        !kal_arena_try_copy(&overlay->undo_arena, kal_ordered_entry_value(before), &undo.value))
        return false;
    return kal_vec_try_push_in(&overlay->undo_arena, &overlay->undo, undo);
}

static kal_status record(kal_overlay *overlay, kal_view *view, kal_table *table, kal_bytes key,
                         const kal_row *current, kal_write_action action, kal_buf *value,
                         kal_error *err)
{
    uint8_t row_key_bytes[KAL_ROW_KEY_BYTES_MAX];
    kal_bytes row_key = kal_row_key(table, view->user_no, key, row_key_bytes);
    const kal_ordered_entry *before = kal_ordered_map_find(overlay->entries, row_key);
    uint64_t seq_seen = current == NULL ? 0 : current->seq;

    if (before != NULL) {
        kal_overlay_entry entry;
        kal_overlay_decode(kal_ordered_entry_value(before), &entry);
        seq_seen = entry.seq_seen;
    }
    size_t size = overlay->size_bytes + row_key.len + value->len;
    if (kal_buf_failed(value) || size > KAL_WRITE_BYTES_MAX)
        return too_large(err);
    kal_store_le64(value->ptr, (uint64_t)(uintptr_t)table);
    kal_store_le64(value->ptr + 8, kal_table_user_no(table, view->user_no));
    kal_store_le64(value->ptr + 16, seq_seen);
    value->ptr[24] = (uint8_t)action;
    if (!push_undo(overlay, row_key, before))
        return too_large(err);
    if (!kal_ordered_map_put(overlay->entries, row_key, kal_buf_bytes(value))) {
        overlay->undo.len--;
        return too_large(err);
    }
    keep_table(overlay, table);
    overlay->size_bytes = size;
    return KAL_OK;
}

/* The header, to be filled in, and the cold row: the one that the first change of the key saw. */
static kal_status append_header(const kal_overlay *overlay, const kal_view *view,
                                const kal_table *table, kal_bytes key, const kal_row *current,
                                kal_buf *value, kal_error *err)
{
    static const uint8_t ZEROS[ENTRY_HEADER_BYTES];
    uint8_t row_key_bytes[KAL_ROW_KEY_BYTES_MAX];
    kal_bytes row_key = kal_row_key(table, view->user_no, key, row_key_bytes);
    const kal_ordered_entry *before = kal_ordered_map_find(overlay->entries, row_key);
    kal_status status = KAL_OK;
    kal_buf cold; /* owned */

    kal_buf_append(value, ZEROS, sizeof ZEROS);
    if (before != NULL) {
        kal_overlay_entry entry;
        kal_overlay_decode(kal_ordered_entry_value(before), &entry);
        kal_buf_append_text(value, entry.cold_row);
        return KAL_OK;
    }
    kal_buf_init(&cold, overlay->budget);
    if (current != NULL && current->values != NULL)
        status = kal_cold_encode(table, current, &cold, err);
    kal_buf_append_text(value, kal_buf_bytes(&cold));
    kal_buf_release(&cold);
    return status;
}

kal_status kal_overlay_put(kal_overlay *overlay, kal_view *view, kal_table *table, kal_bytes key,
                           const kal_row *current, const kal_value *values, kal_error *err)
{
    kal_buf value; /* owned */
    kal_buf_init(&value, overlay->budget);
    kal_status status = append_header(overlay, view, table, key, current, &value, err);
    if (status == KAL_OK)
        status = kal_row_encode(&table->layout, table->def->schema_version, 0, values, &value, err);
    if (status == KAL_OK)
        status = record(overlay, view, table, key, current, KAL_WRITE_PUT, &value, err);
    kal_buf_release(&value);
    return status;
}

kal_status kal_overlay_delete(kal_overlay *overlay, kal_view *view, kal_table *table, kal_bytes key,
                              const kal_row *current, kal_error *err)
{
    kal_buf value; /* owned */
    kal_buf_init(&value, overlay->budget);
    kal_status status = append_header(overlay, view, table, key, current, &value, err);
    if (status == KAL_OK)
        status = record(overlay, view, table, key, current, KAL_WRITE_DELETE, &value, err);
    kal_buf_release(&value);
    return status;
}

/* Above every seq (below 2^53), in the order of the calls. */
kal_bytes kal_overlay_arrival_key(kal_overlay *overlay, kal_arena *arena)
{
    uint8_t bytes[8];
    kal_store_be64(bytes, KAL_STREAM_KEY_OPEN + overlay->arrivals++);
    return kal_arena_copy(arena, kal_bytes_of(bytes, sizeof bytes));
}

size_t kal_overlay_mark(const kal_overlay *overlay)
{
    return overlay->undo.len;
}

void kal_overlay_rollback(kal_overlay *overlay, size_t mark)
{
    KAL_ASSERT(mark <= overlay->undo.len);
    while (overlay->undo.len > mark) {
        struct kal_overlay_undo undo = overlay->undo.items[--overlay->undo.len];
        kal_ordered_map_remove(overlay->entries, undo.key);
        /* Putting back what was there a moment ago fits: the budget just got at least that back. */
        if (undo.value.ptr != NULL && !kal_ordered_map_put(overlay->entries, undo.key, undo.value))
            kal_die("out of memory: rollback of a statement");
    }
}

size_t kal_overlay_len(const kal_overlay *overlay)
{
    return kal_ordered_map_len(overlay->entries);
}

kal_status kal_overlay_into_write(kal_overlay *overlay, kal_write *write, bool keep_rows,
                                  kal_error *err)
{
    const kal_ordered_entry *entry = kal_ordered_map_at_least(overlay->entries, (kal_bytes){0});
    for (; entry != NULL; entry = kal_ordered_map_next(entry)) {
        kal_overlay_entry change;
        kal_bytes key = kal_ordered_entry_key(entry);
        kal_overlay_decode(kal_ordered_entry_value(entry), &change);
        kal_write_op op = {
            .table = change.table,
            .user_no = change.user_no,
            .key = kal_bytes_of(key.ptr + KAL_ROW_KEY_PREFIX_BYTES,
                                key.len - KAL_ROW_KEY_PREFIX_BYTES),
            .seq_seen = change.seq_seen,
            .action = change.action,
            .row = change.row,
            .cold_seq = change.cold_row.len > 0 ? change.seq_seen : 0,
            .cold_row = change.cold_row,
            .keep_row = keep_rows,
        };
        KAL_TRY(kal_write_add(write, &op, NULL, err));
    }
    return KAL_OK;
}
