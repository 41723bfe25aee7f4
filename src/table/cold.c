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

static kal_status wrong_index(const kal_segment *segment, kal_error *err)
{
    return kal_error_set(err, KAL_CORRUPT, "segment '%.*s' is not what its index says",
                         KAL_FMT(segment->info.object));
}

/* The view's rows of one segment from primary key `first` to `last`. */
static kal_cold_scan_args rows_between(const kal_view *view, kal_table *table,
                                       const kal_manifest *manifest, const kal_segment *segment,
                                       kal_bytes first, kal_bytes last,
                                       uint8_t after[KAL_PRIMARY_KEY_BYTES_MAX + 1])
{
    memcpy(after, last.ptr, last.len);
    after[last.len] = 0;
    return (kal_cold_scan_args){
        .backend = view->tables->options.segments,
        .kv = view->tables->kv,
        .snapshot = view->snapshot,
        .table = table,
        .manifest = manifest,
        .segment_id = segment->info.segment_id,
        .user_no = kal_table_user_no(table, view->user_no),
        .lower = first,
        .upper = kal_bytes_of(after, last.len + 1),
        .check = view->check,
        .check_context = view->check_context,
    };
}

/* Where the index has found it there is the row, or the segment is not what was written. */
static kal_status read_place(kal_view *view, kal_table *table, const kal_manifest *manifest,
                             const kal_cold_place *place, kal_bytes key, kal_arena *arena,
                             kal_row *row_out, kal_error *err)
{
    uint8_t after[KAL_PRIMARY_KEY_BYTES_MAX + 1];
    kal_cold_scan_args args = rows_between(view, table, manifest, place->segment, key, key, after);
    kal_cold_row found;

    args.few_rows = true;
    args.budget = arena->budget;
    kal_cold_scan *scan = kal_cold_scan_open(&args); /* owned */
    kal_status status = kal_cold_scan_next(scan, &found, err);
    if (status == KAL_END || (status == KAL_OK && found.row != place->row))
        status = wrong_index(place->segment, err);
    if (status == KAL_OK)
        status = copy_values(table, &found, arena, row_out, err);
    kal_cold_scan_close(scan);
    return status;
}

/* place_out->segment NULL: no segment has a live row with this key. */
static kal_status find_place(const kal_view *view, const kal_table *table,
                             const kal_manifest *manifest, kal_bytes key, kal_cold_place *place_out,
                             kal_error *err)
{
    uint8_t bytes[KAL_ROW_KEY_BYTES_MAX];
    kal_bytes row_key = kal_row_key(table, view->user_no, key, bytes);

    return kal_index_find(view->tables->kv, view->snapshot, manifest, kal_row_key_cold(row_key),
                          place_out, err);
}

kal_status kal_cold_has(const kal_view *view, const kal_table *table, const kal_manifest *manifest,
                        kal_bytes key, bool *out, kal_error *err)
{
    kal_cold_place place;

    KAL_TRY(find_place(view, table, manifest, key, &place, err));
    *out = place.segment != NULL;
    return KAL_OK;
}

kal_status kal_cold_get(kal_view *view, kal_table *table, const kal_manifest *manifest,
                        kal_bytes key, kal_arena *arena, kal_row *row_out, kal_error *err)
{
    kal_cold_place place;

    KAL_TRY(find_place(view, table, manifest, key, &place, err));
    if (place.segment == NULL)
        return KAL_NOT_FOUND;
    return read_place(view, table, manifest, &place, key, arena, row_out, err);
}

/* ---- many rows ---- */

enum { POINT_READS_MAX = 8 }; /* of one segment; more of them are picked out of one scan */

typedef struct wanted_place {
    kal_view_wanted *wanted;
    kal_cold_place place;
} wanted_place;

static int compare_places(const void *a, const void *b)
{
    const kal_cold_place *x = &((const wanted_place *)a)->place;
    const kal_cold_place *y = &((const wanted_place *)b)->place;
    uint32_t first = x->segment->info.segment_id;
    uint32_t second = y->segment->info.segment_id;
    if (first != second)
        return first < second ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* Rows of one segment, by ascending number, in one pass from the first to the last of them. */
static kal_status pick_rows(kal_view *view, kal_table *table, const kal_manifest *manifest,
                            wanted_place *places, size_t count, kal_arena *arena, kal_error *err)
{
    const kal_segment *segment = places[0].place.segment;
    uint8_t after[KAL_PRIMARY_KEY_BYTES_MAX + 1];
    size_t next = 0;
    kal_cold_row found;

    /* Rows are in the order of keys, those of one user too. */
    kal_cold_scan_args args = rows_between(view, table, manifest, segment, places[0].wanted->key,
                                           places[count - 1].wanted->key, after);
    args.budget = arena->budget;
    kal_cold_scan *scan = kal_cold_scan_open(&args); /* owned */
    kal_status status = KAL_OK;
    while (status == KAL_OK && next < count) {
        status = kal_cold_scan_next(scan, &found, err);
        if (status == KAL_END || (status == KAL_OK && found.row > places[next].place.row))
            status = wrong_index(segment, err);
        /* One key may be wanted several times. */
        while (status == KAL_OK && next < count && found.row == places[next].place.row) {
            places[next].wanted->found = true;
            status = copy_values(table, &found, arena, &places[next].wanted->row, err);
            next++;
        }
    }
    kal_cold_scan_close(scan);
    return status;
}

static kal_status read_segment_rows(kal_view *view, kal_table *table, const kal_manifest *manifest,
                                    wanted_place *places, size_t count, kal_arena *arena,
                                    kal_error *err)
{
    if (count > POINT_READS_MAX)
        return pick_rows(view, table, manifest, places, count, arena, err);
    for (size_t i = 0; i < count; i++) {
        KAL_TRY(read_place(view, table, manifest, &places[i].place, places[i].wanted->key, arena,
                           &places[i].wanted->row, err));
        places[i].wanted->found = true;
    }
    return KAL_OK;
}

kal_status kal_cold_get_many(kal_view *view, kal_table *table, const kal_manifest *manifest,
                             kal_view_wanted **wanted, size_t count, kal_arena *arena,
                             kal_error *err)
{
    wanted_place *places = kal_arena_try_array(arena, count + 1, sizeof *places);
    size_t len = 0;

    if (places == NULL)
        return kal_error_set(err, KAL_LIMIT, "the rows exceed the statement's memory");
    for (size_t i = 0; i < count; i++) {
        places[len].wanted = wanted[i];
        KAL_TRY(find_place(view, table, manifest, wanted[i]->key, &places[len].place, err));
        len += places[len].place.segment != NULL;
    }
    if (len > 1)
        qsort(places, len, sizeof *places, compare_places);
    for (size_t first = 0, end = 0; first < len; first = end) {
        while (end < len && places[end].place.segment == places[first].place.segment)
            end++;
        KAL_TRY(read_segment_rows(view, table, manifest, places + first, end - first, arena, err));
    }
    return KAL_OK;
}

/* ---- writes ---- */

static bool needs_row(const kal_write_op *op)
{
    return !op->evict && !op->erase && !op->existence_only && !kal_table_is_stream(op->table);
}

/* What the lane is to know of the row: it may be another one by then. */
static kal_status keep_cold(kal_write *write, kal_write_op *op, const kal_view_wanted *wanted,
                            kal_error *err)
{
    kal_buf bytes; /* owned */

    if (!wanted->found || wanted->row.values == NULL ||
        (op->cold_row.len > 0 && op->cold_seq == wanted->row.seq))
        return KAL_OK;
    kal_buf_init(&bytes, write->arena.budget);
    kal_status status = kal_cold_encode(op->table, &wanted->row, &bytes, err);
    op->cold_seq = wanted->row.seq;
    if (status == KAL_OK &&
        !kal_arena_try_copy(&write->arena, kal_buf_bytes(&bytes), &op->cold_row))
        status = kal_error_set(err, KAL_LIMIT, "the changes exceed the statement's memory");
    kal_buf_release(&bytes);
    return status;
}

/* The operations from `first` on that are of the same table and user; *end_out: the first other. */
static kal_status read_ops(kal_view *view, kal_write *write, size_t first, size_t *end_out,
                           kal_arena *arena, kal_error *err)
{
    kal_write_op *ops = write->ops.items;
    size_t end = first;
    size_t count = 0;

    while (end < write->ops.len && ops[end].table == ops[first].table &&
           ops[end].user_no == ops[first].user_no)
        end++;
    *end_out = end;
    kal_view_wanted *wanted = kal_arena_try_array(arena, end - first, sizeof *wanted);
    if (wanted == NULL)
        return kal_error_set(err, KAL_LIMIT, "the changes exceed the statement's memory");
    for (size_t i = first; i < end; i++) {
        if (needs_row(&ops[i]))
            wanted[count++] = (kal_view_wanted){.key = ops[i].key};
    }
    if (count == 0)
        return KAL_OK;
    view->user_no = ops[first].user_no;
    KAL_TRY(kal_view_get_many(view, ops[first].table, wanted, count, arena, err));
    count = 0;
    for (size_t i = first; i < end; i++) {
        if (needs_row(&ops[i]))
            KAL_TRY(keep_cold(write, &ops[i], &wanted[count++], err));
    }
    return KAL_OK;
}

kal_status kal_write_read_cold(kal_write *write, kal_error *err)
{
    kal_status status = KAL_OK;
    kal_arena arena; /* owned */
    kal_view view;

    kal_arena_init(&arena, write->arena.budget);
    kal_view_open(&view, write->tables, 0, NULL);
    for (size_t i = 0; i < write->ops.len && status == KAL_OK;)
        status = read_ops(&view, write, i, &i, &arena, err);
    kal_view_close(&view);
    kal_arena_release(&arena);
    return status;
}
