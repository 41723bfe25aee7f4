#include "base/assert.h"
#include "table/table_internal.h"

#include <stdlib.h>

enum { PASSED_OVER_MAX = 256, CHECK_ROWS = 1024 };

void kal_view_open(kal_view *view, kal_tables *tables, uint64_t user_no, kal_overlay *overlay)
{
    *view = (kal_view){.tables = tables,
                       .snapshot = kal_kv_snapshot_take(tables->kv),
                       .overlay = overlay,
                       .user_no = user_no,
                       .now_us = kal_clock_wall_us(tables->clock)};
}

void kal_view_close(kal_view *view)
{
    if (view->snapshot != NULL)
        kal_kv_snapshot_release(view->tables->kv, view->snapshot);
    *view = (kal_view){0};
}

/* The row of a stored value; KAL_NOT_FOUND when its time is over at the view's moment. */
static kal_status take_row(const kal_view *view, const kal_table *table, kal_bytes *value,
                           kal_error *err)
{
    int64_t inserted_us = 0;
    if (!kal_table_is_stream(table))
        return KAL_OK;
    KAL_TRY(kal_stream_take_time(value, &inserted_us, err));
    return kal_stream_is_expired(table, inserted_us, view->now_us) ? KAL_NOT_FOUND : KAL_OK;
}

/* A row of the own transaction that has its key from its order only has it as its seq, too. */
static void set_own_seq(const kal_table *table, kal_bytes key, kal_row *row)
{
    if (kal_table_keyed_by_arrival(table))
        row->seq = kal_load_be64(key.ptr);
}

kal_status kal_view_get(kal_view *view, kal_table *table, kal_bytes key, bool cached_only,
                        kal_arena *arena, kal_row *row_out, kal_error *err)
{
    uint8_t row_key_bytes[KAL_ROW_KEY_BYTES_MAX];
    kal_bytes row_key = kal_row_key(table, view->user_no, key, row_key_bytes);
    kal_bytes bytes;

    if (view->overlay != NULL) {
        const kal_ordered_entry *own = kal_ordered_map_find(view->overlay->entries, row_key);
        if (own != NULL) {
            kal_overlay_entry entry;
            kal_overlay_decode(kal_ordered_entry_value(own), &entry);
            if (entry.action == KAL_WRITE_DELETE)
                return KAL_NOT_FOUND;
            if (!kal_arena_try_copy(arena, entry.row, &bytes))
                return kal_error_set(err, KAL_LIMIT, "row exceeds the statement's memory");
            KAL_TRY(kal_table_row_open(table, view->snapshot, bytes, cached_only, row_out, err));
            set_own_seq(table, key, row_out);
            return KAL_OK;
        }
    }
    kal_kv *kv = view->tables->kv;
    kal_kv_family family = kal_row_family(table);
    KAL_TRY(cached_only ? kal_kv_get_cached(kv, view->snapshot, family, row_key, arena, &bytes, err)
                        : kal_kv_get(kv, view->snapshot, family, row_key, arena, &bytes, err));
    KAL_TRY(take_row(view, table, &bytes, err));
    return kal_table_row_open(table, view->snapshot, bytes, cached_only, row_out, err);
}

/*
 * A scan merges two ordered runs: the store's and the overlay's. On equal keys the overlay wins;
 * its deletions hide what lies below. The overlay must not change while a scan is open. Rows of
 * the overlay have no time of insertion yet: they never are too old.
 */
struct kal_scan {
    kal_view *view;
    kal_table *table;
    bool reverse;
    bool cached_only;
    uint64_t passed_over; /* rows that are too old */
    bool shows_expired;   /* rows of STREAM tables that are too old, too */
    kal_kv_iter *base;    /* owned */
    kal_bytes base_key;   /* borrowed from base */
    kal_bytes base_value;
    bool base_ready;
    bool base_ended;
    const kal_ordered_entry *own; /* next entry of the overlay, NULL at its end */
    kal_bytes own_bound;          /* upper (forward) or lower (reverse) bound */
    uint8_t lower[KAL_ROW_KEY_BYTES_MAX];
    uint8_t upper[KAL_ROW_KEY_BYTES_MAX];
};

/* Bounds are prefixes of primary keys and at most as long as one. */
static kal_status scan_bounds(kal_scan *scan, const kal_scan_range *range, kal_bytes *lower_out,
                              kal_bytes *upper_out, kal_error *err)
{
    if (range->lower.len > KAL_PRIMARY_KEY_BYTES_MAX ||
        range->upper.len > KAL_PRIMARY_KEY_BYTES_MAX)
        return kal_error_set(err, KAL_LIMIT, "a key bound exceeds %d bytes",
                             KAL_PRIMARY_KEY_BYTES_MAX);
    uint64_t user_no = scan->view->user_no;
    *lower_out = kal_row_key(scan->table, user_no, range->lower, scan->lower);
    *upper_out = kal_row_key(scan->table, user_no, range->upper, scan->upper);
    if (range->upper.len > 0)
        return KAL_OK;
    /* Unbounded: the smallest prefix above this one. It has carry room: hot_id never is all ones.
     */
    for (size_t i = KAL_ROW_KEY_PREFIX_BYTES; i-- > 0;) {
        if (++scan->upper[i] != 0)
            break;
    }
    return KAL_OK;
}

static void position_overlay(kal_scan *scan, kal_bytes lower, kal_bytes upper)
{
    if (scan->view->overlay == NULL)
        return;
    kal_ordered_map *entries = scan->view->overlay->entries;
    scan->own = scan->reverse ? kal_ordered_map_below(entries, upper)
                              : kal_ordered_map_at_least(entries, lower);
    scan->own_bound = scan->reverse ? lower : upper;
}

kal_status kal_scan_open(kal_view *view, kal_table *table, const kal_scan_range *range,
                         kal_scan **scan_out, kal_error *err)
{
    kal_bytes lower;
    kal_bytes upper;
    kal_scan *scan = calloc(1, sizeof *scan);

    *scan_out = NULL;
    if (scan == NULL)
        kal_die("out of memory: scan");
    scan->view = view;
    scan->table = table;
    scan->reverse = range->reverse;
    scan->cached_only = range->cached_only;
    kal_status status = scan_bounds(scan, range, &lower, &upper, err);
    if (status == KAL_OK && kal_bytes_compare(lower, upper) >= 0) {
        scan->base_ended = true; /* an empty range, such as k > 5 AND k < 3 */
        *scan_out = scan;
        return KAL_OK;
    }
    if (status == KAL_OK) {
        kal_kv_range kv_range = {kal_row_family(table), lower, upper, range->reverse,
                                 range->cached_only};
        status = kal_kv_iter_open(view->tables->kv, view->snapshot, &kv_range, &scan->base, err);
    }
    if (status != KAL_OK) {
        kal_scan_close(scan);
        return status;
    }
    position_overlay(scan, lower, upper);
    *scan_out = scan;
    return KAL_OK;
}

kal_status kal_scan_open_all_users(kal_view *view, kal_table *table, kal_scan **scan_out,
                                   kal_error *err)
{
    kal_scan *scan = calloc(1, sizeof *scan);

    *scan_out = NULL;
    if (scan == NULL)
        kal_die("out of memory: scan");
    KAL_ASSERT(view->overlay == NULL);
    scan->view = view;
    scan->table = table;
    scan->shows_expired = true;
    kal_row_bounds(table, scan->lower, scan->upper);
    kal_kv_range range = {.family = kal_row_family(table),
                          .lower = kal_bytes_of(scan->lower, KAL_ROW_SHARD_PREFIX_BYTES),
                          .upper = kal_bytes_of(scan->upper, KAL_ROW_SHARD_PREFIX_BYTES)};
    kal_status status =
        kal_kv_iter_open(view->tables->kv, view->snapshot, &range, &scan->base, err);
    if (status != KAL_OK) {
        kal_scan_close(scan);
        return status;
    }
    *scan_out = scan;
    return KAL_OK;
}

void kal_scan_close(kal_scan *scan)
{
    if (scan == NULL)
        return;
    kal_kv_iter_close(scan->base);
    free(scan);
}

static kal_status load_base(kal_scan *scan, kal_error *err)
{
    if (scan->base_ready || scan->base_ended)
        return KAL_OK;
    kal_status status = kal_kv_iter_next(scan->base, &scan->base_key, &scan->base_value, err);
    scan->base_ready = status == KAL_OK;
    scan->base_ended = status == KAL_END;
    return status == KAL_END ? KAL_OK : status;
}

/* The overlay's next key, or false when it has none in range. */
static bool own_key(const kal_scan *scan, kal_bytes *key_out)
{
    if (scan->own == NULL)
        return false;
    *key_out = kal_ordered_entry_key(scan->own);
    int order = kal_bytes_compare(*key_out, scan->own_bound);
    return scan->reverse ? order >= 0 : order < 0;
}

static void step_own(kal_scan *scan)
{
    scan->own = scan->reverse ? kal_ordered_map_prev(scan->view->overlay->entries, scan->own)
                              : kal_ordered_map_next(scan->own);
}

/* <0: the overlay's entry comes first, 0: same key, >0: the store's comes first. */
static int which_first(const kal_scan *scan, bool has_own, kal_bytes own)
{
    if (!has_own)
        return 1;
    if (!scan->base_ready)
        return -1;
    int order = kal_bytes_compare(own, scan->base_key);
    return scan->reverse ? -order : order;
}

/* Rows that are too old are no rows to whoever counts them, so the scan itself has to see to it
 * that an event loop's work is bounded and that nobody's query runs for nobody. */
static kal_status pass_over(kal_scan *scan, kal_error *err)
{
    const kal_view *view = scan->view;

    scan->passed_over++;
    if (scan->cached_only && scan->passed_over > PASSED_OVER_MAX)
        return KAL_BUSY;
    if (view->check != NULL && scan->passed_over % CHECK_ROWS == 0)
        return view->check(view->check_context, err);
    return KAL_OK;
}

kal_status kal_scan_next(kal_scan *scan, kal_row *row_out, kal_bytes *key_out, kal_error *err)
{
    for (;;) {
        kal_bytes key;
        kal_bytes own;
        kal_bytes bytes;

        KAL_TRY(load_base(scan, err));
        bool has_own = own_key(scan, &own);
        if (!has_own && !scan->base_ready)
            return KAL_END;
        int first = which_first(scan, has_own, own);
        bool is_own = first <= 0;
        if (is_own) {
            kal_overlay_entry entry;
            kal_overlay_decode(kal_ordered_entry_value(scan->own), &entry);
            step_own(scan);
            if (first == 0)
                scan->base_ready = false;
            if (entry.action == KAL_WRITE_DELETE)
                continue;
            key = own;
            bytes = entry.row;
        } else {
            key = scan->base_key;
            bytes = scan->base_value;
            scan->base_ready = false;
            kal_status status = take_row(scan->view, scan->table, &bytes, err);
            if (status == KAL_NOT_FOUND && !scan->shows_expired) {
                KAL_TRY(pass_over(scan, err));
                continue;
            }
            if (status != KAL_OK && status != KAL_NOT_FOUND)
                return status;
        }
        key = kal_bytes_of(key.ptr + KAL_ROW_KEY_PREFIX_BYTES, key.len - KAL_ROW_KEY_PREFIX_BYTES);
        if (key_out != NULL)
            *key_out = key;
        KAL_TRY(kal_table_row_open(scan->table, scan->view->snapshot, bytes, scan->cached_only,
                                   row_out, err));
        if (is_own)
            set_own_seq(scan->table, key, row_out);
        return KAL_OK;
    }
}

kal_status kal_view_count(kal_view *view, kal_table *table, uint64_t limit, uint64_t *count_out,
                          kal_error *err)
{
    kal_scan_range all = {0};
    kal_scan *scan = NULL; /* owned */
    kal_row row;
    kal_status status = kal_scan_open(view, table, &all, &scan, err);

    *count_out = 0;
    while (status == KAL_OK && *count_out < limit) {
        status = kal_scan_next(scan, &row, NULL, err);
        *count_out += status == KAL_OK;
    }
    kal_scan_close(scan);
    return status == KAL_END ? KAL_OK : status;
}
