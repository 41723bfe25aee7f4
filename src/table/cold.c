/*
 * cold.c: cold rows as the rest of table/ sees them: manifests of a view, single rows, and what a
 * write needs to know of them.
 */
#include "base/assert.h"
#include "segment/cold_scan.h"
#include "table/table_internal.h"

#include <stdlib.h>

/* ---- the manifests of a view ---- */

struct kal_view_manifest {
    struct kal_view_manifest *next;
    uint32_t table_id;
    kal_manifest *manifest; /* one reference, or NULL: the table has none */
};

static const kal_view_manifest *find_manifest(const kal_view_manifest *first, uint32_t table_id)
{
    while (first != NULL && first->table_id != table_id)
        first = first->next;
    return first;
}

kal_status kal_view_manifest_of(kal_view *view, const kal_table *table, bool cached_only,
                                const kal_manifest **out, kal_error *err)
{
    kal_tables *tables = view->tables;
    uint32_t table_id = table->def->table_id;
    kal_view_manifest *first = atomic_load_explicit(&view->manifests, memory_order_acquire);

    *out = NULL;
    if (tables->manifests == NULL || kal_table_is_stream(table))
        return KAL_OK;
    const kal_view_manifest *known = find_manifest(first, table_id);
    if (known != NULL) {
        *out = known->manifest;
        return KAL_OK;
    }
    kal_manifest *manifest = NULL;
    KAL_TRY(kal_manifests_get(tables->manifests, view->snapshot, view->manifest_epoch, table_id,
                              cached_only, &manifest, err));
    kal_view_manifest *made = malloc(sizeof *made);
    if (made == NULL)
        kal_die("out of memory: view");
    *made = (kal_view_manifest){first, table_id, manifest};
    /* Two threads of one statement may both add it: both hold a reference, both are right. */
    while (!atomic_compare_exchange_weak_explicit(&view->manifests, &made->next, made,
                                                  memory_order_release, memory_order_acquire))
        ;
    *out = manifest;
    return KAL_OK;
}

kal_status kal_view_segments(kal_view *view, const kal_table *table,
                             kal_segment *const **segments_out, size_t *count_out, kal_error *err)
{
    const kal_manifest *manifest = NULL;

    KAL_TRY(kal_view_manifest_of(view, table, false, &manifest, err));
    *segments_out = manifest == NULL ? NULL : manifest->segments;
    *count_out = manifest == NULL ? 0 : manifest->segment_count;
    return KAL_OK;
}

void kal_view_forget_manifests(kal_view *view)
{
    kal_view_manifest *first = atomic_load(&view->manifests);
    while (first != NULL) {
        kal_view_manifest *next = first->next;
        kal_manifest_release(first->manifest);
        free(first);
        first = next;
    }
}

/* ---- eras ---- */

void kal_tables_enter_era(kal_tables *t, uint64_t *era_out)
{
    for (;;) {
        uint64_t era = atomic_load(&t->era);
        atomic_fetch_add(&t->views[era % KAL_VIEW_ERAS], 1);
        *era_out = era;
        if (atomic_load(&t->era) == era)
            return;
        atomic_fetch_sub(&t->views[era % KAL_VIEW_ERAS], 1);
    }
}

void kal_tables_leave_era(kal_tables *t, uint64_t era)
{
    uint64_t before = atomic_fetch_sub(&t->views[era % KAL_VIEW_ERAS], 1);
    KAL_ASSERT(before > 0);
}

kal_status kal_tables_next_era(kal_tables *t, uint64_t *era_out, kal_error *err)
{
    kal_status status = KAL_OK;

    pthread_mutex_lock(&t->flush_lock);
    uint64_t era = atomic_load(&t->era);
    if (atomic_load(&t->views[(era + 1) % KAL_VIEW_ERAS]) == 0)
        atomic_store(&t->era, era + 1);
    else
        status = kal_error_set(err, KAL_BUSY, "old statements are still reading");
    pthread_mutex_unlock(&t->flush_lock);
    *era_out = era;
    return status;
}

bool kal_tables_era_is_over(kal_tables *t, uint64_t era)
{
    uint64_t now = atomic_load(&t->era);
    uint64_t oldest = now < KAL_VIEW_ERAS ? 0 : now - KAL_VIEW_ERAS + 1;

    for (uint64_t e = oldest; e <= era; e++) {
        if (atomic_load(&t->views[e % KAL_VIEW_ERAS]) > 0)
            return false;
    }
    return true;
}

/* ---- single rows ---- */

kal_status kal_cold_encode(const kal_table *table, const kal_row *row, kal_buf *out, kal_error *err)
{
    KAL_ASSERT(row->values != NULL);
    return kal_row_encode(&table->layout, table->def->schema_version, row->seq, row->values, out,
                          err);
}

static kal_status copy_values(const kal_table *table, const kal_cold_row *found, kal_arena *arena,
                              kal_row *row_out, kal_error *err)
{
    size_t count = table->def->column_count;
    kal_value *values = kal_arena_try_array(arena, count + 1, sizeof *values);

    for (size_t i = 0; values != NULL && i < count; i++) {
        if (!kal_value_copy(&found->values[i], arena, &values[i]))
            values = NULL;
    }
    if (values == NULL)
        return kal_error_set(err, KAL_LIMIT, "row exceeds the statement's memory");
    *row_out = kal_row_of_values(values, found->seq);
    return KAL_OK;
}

/* Where the index has found it there is the row, or the segment is not what was written. */
static kal_status read_place(kal_view *view, kal_table *table, const kal_manifest *manifest,
                             const kal_cold_place *place, kal_bytes cold_key, kal_arena *arena,
                             kal_row *row_out, kal_error *err)
{
    uint8_t after[KAL_PRIMARY_KEY_BYTES_MAX + 1] = {0};
    size_t len = cold_key.len - KAL_COLD_KEY_PREFIX_BYTES;
    kal_bytes primary = kal_bytes_of(cold_key.ptr + KAL_COLD_KEY_PREFIX_BYTES, len);
    kal_cold_row found;

    memcpy(after, primary.ptr, len);
    kal_cold_scan_args args = {
        .backend = view->tables->options.segments,
        .kv = view->tables->kv,
        .snapshot = view->snapshot,
        .table = table,
        .manifest = manifest,
        .segment_id = place->segment->info.segment_id,
        .user_no = kal_load_be64(cold_key.ptr + 2),
        .lower = primary,
        .upper = kal_bytes_of(after, len + 1),
        .few_rows = true,
        .budget = arena->budget,
    };
    kal_cold_scan *scan = kal_cold_scan_open(&args); /* owned */
    kal_status status = kal_cold_scan_next(scan, &found, err);
    if (status == KAL_END || (status == KAL_OK && found.row != place->row))
        status = kal_error_set(err, KAL_CORRUPT, "segment '%.*s' is not what its index says",
                               KAL_FMT(place->segment->info.object));
    if (status == KAL_OK)
        status = copy_values(table, &found, arena, row_out, err);
    kal_cold_scan_close(scan);
    return status;
}

kal_status kal_cold_get(kal_view *view, kal_table *table, const kal_manifest *manifest,
                        kal_bytes cold_key, kal_arena *arena, kal_row *row_out, kal_error *err)
{
    kal_cold_place place;

    KAL_TRY(kal_index_find(view->tables->kv, view->snapshot, manifest, cold_key, &place, err));
    if (place.segment == NULL)
        return KAL_NOT_FOUND;
    return read_place(view, table, manifest, &place, cold_key, arena, row_out, err);
}

/* ---- writes ---- */

static kal_status read_op(kal_view *view, kal_write *write, kal_write_op *op, kal_error *err)
{
    kal_row row;
    kal_buf bytes; /* owned */

    if (op->evict || op->existence_only || kal_table_is_stream(op->table))
        return KAL_OK;
    view->user_no = op->user_no;
    kal_status status = kal_view_get(view, op->table, op->key, false, &write->arena, &row, err);
    if (status == KAL_NOT_FOUND || (status == KAL_OK && row.values == NULL))
        return KAL_OK; /* the lane will see what has become of it */
    KAL_TRY(status);
    if (op->cold_row.len > 0 && op->cold_seq == row.seq)
        return KAL_OK;
    kal_buf_init(&bytes, write->arena.budget);
    status = kal_cold_encode(op->table, &row, &bytes, err);
    op->cold_seq = row.seq;
    if (status == KAL_OK &&
        !kal_arena_try_copy(&write->arena, kal_buf_bytes(&bytes), &op->cold_row))
        status = kal_error_set(err, KAL_LIMIT, "the changes exceed the statement's memory");
    kal_buf_release(&bytes);
    return status;
}

kal_status kal_write_read_cold(kal_write *write, kal_error *err)
{
    kal_status status = KAL_OK;
    kal_view view;

    kal_view_open(&view, write->tables, 0, NULL);
    for (size_t i = 0; i < write->ops.len && status == KAL_OK; i++)
        status = read_op(&view, write, &write->ops.items[i], err);
    kal_view_close(&view);
    return status;
}
