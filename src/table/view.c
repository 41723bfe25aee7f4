#include "base/assert.h"
#include "segment/cold_scan.h"
#include "table/table_internal.h"

#include <stdlib.h>

enum { PASSED_OVER_MAX = 256, CHECK_ROWS = 1024 };

void kal_view_open(kal_view *view, kal_tables *tables, uint64_t user_no, kal_overlay *overlay)
{
    *view = (kal_view){.tables = tables,
                       .overlay = overlay,
                       .user_no = user_no,
                       .now_us = kal_clock_wall_us(tables->clock)};
    kal_tables_enter_era(tables, &view->era);
    if (tables->manifests != NULL)
        view->manifest_epoch = kal_manifests_epoch(tables->manifests);
    view->snapshot = kal_kv_snapshot_take(tables->kv);
}

void kal_view_close(kal_view *view)
{
    if (view->snapshot != NULL) {
        kal_kv_snapshot_release(view->tables->kv, view->snapshot);
        kal_view_forget_manifests(view);
        kal_tables_leave_era(view->tables, view->era);
    }
    *view = (kal_view){0};
}

/* The row of a stored value; KAL_NOT_FOUND when its time is over at the view's moment. */
static kal_status take_row(const kal_view *view, const kal_table *table, kal_bytes *value,
                           int64_t *inserted_us_out, kal_error *err)
{
    *inserted_us_out = 0;
    if (!kal_table_is_stream(table))
        return KAL_OK;
    KAL_TRY(kal_stream_take_time(value, inserted_us_out, err));
    return kal_stream_is_expired(table, *inserted_us_out, view->now_us) ? KAL_NOT_FOUND : KAL_OK;
}

/* A row of the own transaction that has its key from its order only has it as its seq, too. */
static void set_own_seq(const kal_table *table, kal_bytes key, kal_row *row)
{
    if (kal_table_keyed_by_arrival(table))
        row->seq = kal_load_be64(key.ptr);
}

static uint32_t active_space(const kal_table *table, const kal_manifest *manifest)
{
    return manifest == NULL ? table->hot_id : manifest->head.active_hot_id;
}

static kal_status get_stored(const kal_view *view, const kal_table *table, kal_bytes row_key,
                             bool cached_only, kal_arena *arena, kal_bytes *out, kal_error *err)
{
    kal_kv *kv = view->tables->kv;
    kal_kv_family family = kal_row_family(table);
    return cached_only ? kal_kv_get_cached(kv, view->snapshot, family, row_key, arena, out, err)
                       : kal_kv_get(kv, view->snapshot, family, row_key, arena, out, err);
}

/* KAL_COLD: it may be in a segment. */
static kal_status get_hot(kal_view *view, kal_table *table, const kal_manifest *manifest,
                          uint8_t *row_key, size_t len, bool cached_only, kal_arena *arena,
                          kal_row *row_out, kal_error *err)
{
    int64_t inserted_us = 0;
    kal_bytes bytes;

    kal_row_key_set_space(row_key, active_space(table, manifest));
    kal_bytes key = kal_bytes_of(row_key, len);
    kal_status status = get_stored(view, table, key, cached_only, arena, &bytes, err);
    if (status == KAL_NOT_FOUND && manifest != NULL && manifest->head.frozen_hot_id != 0) {
        kal_row_key_set_space(row_key, manifest->head.frozen_hot_id);
        status = get_stored(view, table, key, cached_only, arena, &bytes, err);
    }
    if (status == KAL_NOT_FOUND && manifest != NULL && manifest->segment_count > 0)
        return KAL_COLD;
    KAL_TRY(status);
    KAL_TRY(take_row(view, table, &bytes, &inserted_us, err));
    return kal_table_row_open(table, view->snapshot, bytes, cached_only, row_out, err);
}

/* Of the own transaction, or hot. KAL_COLD: it may be in a segment of *manifest_out. */
static kal_status get_but_cold(kal_view *view, kal_table *table, kal_bytes key, bool cached_only,
                               kal_arena *arena, const kal_manifest **manifest_out,
                               kal_row *row_out, kal_error *err)
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
    KAL_TRY(kal_view_manifest_of(view, table, cached_only, manifest_out, err));
    return get_hot(view, table, *manifest_out, row_key_bytes, row_key.len, cached_only, arena,
                   row_out, err);
}

kal_status kal_view_get(kal_view *view, kal_table *table, kal_bytes key, bool cached_only,
                        kal_arena *arena, kal_row *row_out, kal_error *err)
{
    const kal_manifest *manifest = NULL;

    kal_status status = get_but_cold(view, table, key, cached_only, arena, &manifest, row_out, err);
    if (status != KAL_COLD)
        return status;
    if (cached_only)
        return KAL_BUSY;
    return kal_cold_get(view, table, manifest, key, arena, row_out, err);
}

kal_status kal_view_has(kal_view *view, kal_table *table, kal_bytes key, kal_arena *arena,
                        bool *out, kal_error *err)
{
    const kal_manifest *manifest = NULL;
    kal_row row;

    kal_status status = get_but_cold(view, table, key, false, arena, &manifest, &row, err);
    if (status == KAL_COLD)
        return kal_cold_has(view, table, manifest, key, out, err);
    *out = status == KAL_OK;
    return status == KAL_NOT_FOUND ? KAL_OK : status;
}

kal_status kal_view_get_many(kal_view *view, kal_table *table, kal_view_wanted *wanted,
                             size_t count, kal_arena *arena, kal_error *err)
{
    const kal_manifest *manifest = NULL;
    size_t cold_count = 0;
    kal_view_wanted **cold = kal_arena_try_array(arena, count + 1, sizeof(kal_view_wanted *));

    if (cold == NULL)
        return kal_error_set(err, KAL_LIMIT, "the rows exceed the statement's memory");
    for (size_t i = 0; i < count; i++) {
        kal_status status =
            get_but_cold(view, table, wanted[i].key, false, arena, &manifest, &wanted[i].row, err);
        wanted[i].found = status == KAL_OK;
        if (status == KAL_COLD)
            cold[cold_count++] = &wanted[i];
        else if (status != KAL_OK && status != KAL_NOT_FOUND)
            return status;
    }
    return cold_count == 0 ? KAL_OK
                           : kal_cold_get_many(view, table, manifest, cold, cold_count, arena, err);
}

/*
 * A scan merges ordered runs: the store's, from the active and the frozen hot space, and the
 * overlay's. On equal keys the overlay wins; its deletions hide what lies below. When they are at
 * their end come the rows of segments that the overlay has nothing to say about. The overlay must
 * not change while a scan is open. Rows of the overlay have no time of insertion yet: they never
 * are too old. Keys of different spaces are compared without their space.
 */
typedef struct hot_run {
    kal_kv_iter *iter; /* owned; NULL: none */
    kal_bytes key;     /* borrowed from iter */
    kal_bytes value;
    bool ready;
    bool ended;
} hot_run;

struct kal_scan {
    kal_view *view;
    kal_table *table;
    bool reverse;
    bool cached_only;
    bool complete;
    bool shows_expired;           /* rows of STREAM tables that are too old, too */
    uint64_t passed_over;         /* rows that are too old */
    hot_run runs[2];              /* active, frozen */
    hot_run *base;                /* the run whose row comes next; NULL: neither has one */
    kal_cold_scan *cold;          /* owned; NULL: no segment may have rows */
    uint64_t row_user_no;         /* of the last row, unless it is the overlay's */
    int64_t row_inserted_us;      /* likewise; STREAM */
    const kal_ordered_entry *own; /* next entry of the overlay, NULL at its end */
    kal_bytes own_bound;          /* upper (forward) or lower (reverse) bound */
    uint8_t lower[KAL_ROW_KEY_BYTES_MAX];
    uint8_t upper[KAL_ROW_KEY_BYTES_MAX];
};

static kal_scan *new_scan(kal_view *view, kal_table *table)
{
    kal_scan *scan = calloc(1, sizeof *scan);
    if (scan == NULL)
        kal_die("out of memory: scan");
    scan->view = view;
    scan->table = table;
    scan->runs[0].ended = true;
    scan->runs[1].ended = true;
    return scan;
}

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
    kal_bytes_increment(scan->upper, KAL_ROW_KEY_PREFIX_BYTES);
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

/* One hot space between the bounds, which are in scan->lower and scan->upper. */
static kal_status open_run(kal_scan *scan, hot_run *run, const kal_manifest *manifest,
                           uint32_t hot_id, kal_bytes lower, kal_bytes upper, kal_error *err)
{
    /* The upper bound may have carried into the number of the space. */
    uint32_t carry = kal_load_be32(scan->upper) - kal_load_be32(scan->lower);
    kal_row_key_set_space(scan->lower, hot_id);
    kal_row_key_set_space(scan->upper, hot_id + carry);
    kal_kv_range range = {.family = kal_row_family(scan->table),
                          .lower = lower,
                          .upper = upper,
                          .reverse = scan->reverse,
                          .cached_only = scan->cached_only,
                          .complete = scan->complete};
    kal_rest_bound rest;
    kal_hot_range(manifest, hot_id, &range, &rest);
    run->ended = false;
    return kal_kv_iter_open(scan->view->tables->kv, scan->view->snapshot, &range, &run->iter, err);
}

static kal_status open_runs(kal_scan *scan, const kal_manifest *manifest, kal_bytes lower,
                            kal_bytes upper, kal_error *err)
{
    KAL_TRY(open_run(scan, &scan->runs[0], manifest, active_space(scan->table, manifest), lower,
                     upper, err));
    if (manifest != NULL && manifest->head.frozen_hot_id != 0)
        KAL_TRY(open_run(scan, &scan->runs[1], manifest, manifest->head.frozen_hot_id, lower, upper,
                         err));
    /* The overlay's keys have the space that the table was made with. */
    uint32_t carry = kal_load_be32(scan->upper) - kal_load_be32(scan->lower);
    kal_row_key_set_space(scan->lower, scan->table->hot_id);
    kal_row_key_set_space(scan->upper, scan->table->hot_id + carry);
    return KAL_OK;
}

static bool has_overlay(const kal_view *view)
{
    return view->overlay != NULL && kal_ordered_map_len(view->overlay->entries) > 0;
}

static kal_status open_cold(kal_scan *scan, const kal_manifest *manifest,
                            const kal_scan_range *range, bool all_users, kal_error *err)
{
    kal_view *view = scan->view;
    const kal_cold_scan_args args = {
        .backend = view->tables->options.segments,
        .kv = view->tables->kv,
        .snapshot = view->snapshot,
        .table = scan->table,
        .manifest = manifest,
        .all_users = all_users,
        .user_no = kal_table_user_no(scan->table, view->user_no),
        .lower = range->lower,
        .upper = range->upper,
        .conditions = range->conditions,
        .wanted = range->wanted,
        .wants_keys = !range->no_keys || has_overlay(view),
        .by_chunks = range->by_chunks,
        .no_seq = range->no_seq,
        .check = view->check,
        .check_context = view->check_context,
    };

    if (!kal_cold_scan_may_find(&args))
        return KAL_OK;
    if (range->cached_only)
        return KAL_BUSY;
    if (range->in_order)
        return kal_error_set(err, KAL_COLD, "rows of segments are in no order");
    scan->cold = kal_cold_scan_open(&args);
    return KAL_OK;
}

static kal_status open_scan(kal_scan *scan, const kal_scan_range *range, kal_error *err)
{
    const kal_manifest *manifest = NULL;
    kal_bytes lower;
    kal_bytes upper;

    KAL_TRY(scan_bounds(scan, range, &lower, &upper, err));
    if (kal_bytes_compare(lower, upper) >= 0)
        return KAL_OK; /* an empty range, such as k > 5 AND k < 3 */
    KAL_TRY(kal_view_manifest_of(scan->view, scan->table, range->cached_only, &manifest, err));
    if (!range->hot_only)
        KAL_TRY(open_cold(scan, manifest, range, false, err));
    KAL_TRY(open_runs(scan, manifest, lower, upper, err));
    position_overlay(scan, lower, upper);
    return KAL_OK;
}

kal_status kal_scan_open(kal_view *view, kal_table *table, const kal_scan_range *range,
                         kal_scan **scan_out, kal_error *err)
{
    kal_scan *scan = new_scan(view, table);

    *scan_out = NULL;
    scan->reverse = range->reverse;
    scan->cached_only = range->cached_only;
    scan->complete = range->complete;
    kal_status status = open_scan(scan, range, err);
    if (status != KAL_OK) {
        kal_scan_close(scan);
        return status;
    }
    *scan_out = scan;
    return KAL_OK;
}

static kal_status open_all_users(kal_scan *scan, kal_error *err)
{
    const kal_manifest *manifest = NULL;
    const kal_scan_range all = {.no_keys = true};
    kal_bytes lower = kal_bytes_of(scan->lower, KAL_ROW_SHARD_PREFIX_BYTES);
    kal_bytes upper = kal_bytes_of(scan->upper, KAL_ROW_SHARD_PREFIX_BYTES);

    kal_row_bounds(scan->table, scan->lower, scan->upper);
    KAL_TRY(kal_view_manifest_of(scan->view, scan->table, false, &manifest, err));
    KAL_TRY(open_cold(scan, manifest, &all, true, err));
    return open_runs(scan, manifest, lower, upper, err);
}

kal_status kal_scan_open_all_users(kal_view *view, kal_table *table, bool expired_too,
                                   kal_scan **scan_out, kal_error *err)
{
    kal_scan *scan = new_scan(view, table);

    *scan_out = NULL;
    KAL_ASSERT(view->overlay == NULL);
    scan->shows_expired = expired_too;
    scan->complete = true;
    kal_status status = open_all_users(scan, err);
    if (status != KAL_OK) {
        kal_scan_close(scan);
        return status;
    }
    *scan_out = scan;
    return KAL_OK;
}

uint64_t kal_scan_user_no(const kal_scan *scan)
{
    return scan->row_user_no;
}

int64_t kal_scan_inserted_us(const kal_scan *scan)
{
    return scan->row_inserted_us;
}

void kal_scan_close(kal_scan *scan)
{
    if (scan == NULL)
        return;
    kal_kv_iter_close(scan->runs[0].iter);
    kal_kv_iter_close(scan->runs[1].iter);
    kal_cold_scan_close(scan->cold);
    free(scan);
}

static kal_status load_run(hot_run *run, kal_error *err)
{
    if (run->ready || run->ended)
        return KAL_OK;
    kal_status status = kal_kv_iter_next(run->iter, &run->key, &run->value, err);
    run->ready = status == KAL_OK;
    run->ended = status == KAL_END;
    return status == KAL_END ? KAL_OK : status;
}

static int compare_keys(kal_bytes a, kal_bytes b)
{
    return kal_bytes_compare(kal_row_key_cold(a), kal_row_key_cold(b));
}

static kal_status load_base(kal_scan *scan, kal_error *err)
{
    hot_run *active = &scan->runs[0];
    hot_run *frozen = &scan->runs[1];

    KAL_TRY(load_run(active, err));
    KAL_TRY(load_run(frozen, err));
    if (active->ready && frozen->ready) {
        int order = compare_keys(active->key, frozen->key);
        scan->base = (scan->reverse ? -order : order) < 0 ? active : frozen;
        return KAL_OK;
    }
    scan->base = active->ready ? active : frozen->ready ? frozen : NULL;
    return KAL_OK;
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
    if (scan->base == NULL)
        return -1;
    int order = compare_keys(own, scan->base->key);
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

static kal_bytes primary_of(kal_bytes row_key)
{
    return kal_bytes_of(row_key.ptr + KAL_ROW_KEY_PREFIX_BYTES,
                        row_key.len - KAL_ROW_KEY_PREFIX_BYTES);
}

/* Of the store and the overlay. KAL_END: both are at their end. */
static kal_status next_hot(kal_scan *scan, kal_row *row_out, kal_bytes *key_out, kal_error *err)
{
    for (;;) {
        kal_bytes own;
        kal_bytes bytes;

        KAL_TRY(load_base(scan, err));
        bool has_own = own_key(scan, &own);
        if (!has_own && scan->base == NULL)
            return KAL_END;
        int first = which_first(scan, has_own, own);
        bool is_own = first <= 0;
        if (is_own) {
            kal_overlay_entry entry;
            kal_overlay_decode(kal_ordered_entry_value(scan->own), &entry);
            step_own(scan);
            if (first == 0)
                scan->base->ready = false;
            if (entry.action == KAL_WRITE_DELETE)
                continue;
            *key_out = primary_of(own);
            bytes = entry.row;
        } else {
            *key_out = primary_of(scan->base->key);
            bytes = scan->base->value;
            scan->base->ready = false;
            scan->row_user_no = kal_load_be64(scan->base->key.ptr + KAL_ROW_SHARD_PREFIX_BYTES);
            kal_status status =
                take_row(scan->view, scan->table, &bytes, &scan->row_inserted_us, err);
            if (status == KAL_NOT_FOUND && !scan->shows_expired) {
                KAL_TRY(pass_over(scan, err));
                continue;
            }
            if (status != KAL_OK && status != KAL_NOT_FOUND)
                return status;
        }
        KAL_TRY(kal_table_row_open(scan->table, scan->view->snapshot, bytes, scan->cached_only,
                                   row_out, err));
        if (is_own)
            set_own_seq(scan->table, *key_out, row_out);
        return KAL_OK;
    }
}

static bool is_in_overlay(const kal_scan *scan, kal_bytes cold_key)
{
    uint8_t key[KAL_ROW_KEY_BYTES_MAX];

    if (!has_overlay(scan->view))
        return false;
    kal_row_key_set_space(key, scan->table->hot_id);
    memcpy(key + 4, cold_key.ptr, cold_key.len);
    return kal_ordered_map_find(scan->view->overlay->entries,
                                kal_bytes_of(key, 4 + cold_key.len)) != NULL;
}

static kal_status next_cold(kal_scan *scan, kal_row *row_out, kal_bytes *key_out, kal_error *err)
{
    const kal_view *view = scan->view;
    kal_cold_row row;

    do {
        if (view->check != NULL && scan->passed_over++ % CHECK_ROWS == 0)
            KAL_TRY(view->check(view->check_context, err));
        KAL_TRY(kal_cold_scan_next(scan->cold, &row, err));
    } while (is_in_overlay(scan, row.cold_key));
    *row_out = kal_row_of_values(row.values, row.seq);
    scan->row_user_no = row.user_no;
    *key_out = row.cold_key.len > 0 ? kal_bytes_of(row.cold_key.ptr + KAL_COLD_KEY_PREFIX_BYTES,
                                                   row.cold_key.len - KAL_COLD_KEY_PREFIX_BYTES)
                                    : (kal_bytes){0};
    return KAL_OK;
}

kal_status kal_scan_next_chunk(kal_scan *scan, const uint32_t *columns, size_t column_count,
                               kal_engine_chunk *target, size_t *rows_out, kal_error *err)
{
    const kal_view *view = scan->view;
    kal_status status = KAL_OK;

    *rows_out = 0;
    if (scan->cold == NULL || !kal_cold_scan_is_by_chunks(scan->cold))
        return KAL_END;
    while (status == KAL_OK && *rows_out == 0) {
        if (view->check != NULL)
            KAL_TRY(view->check(view->check_context, err));
        status = kal_cold_scan_next_chunk(scan->cold, columns, column_count, target, rows_out, err);
    }
    return status;
}

kal_status kal_scan_next(kal_scan *scan, kal_row *row_out, kal_bytes *key_out, kal_error *err)
{
    kal_bytes key;
    kal_status status = next_hot(scan, row_out, &key, err);

    if (status == KAL_END && scan->cold != NULL && !kal_cold_scan_is_by_chunks(scan->cold))
        status = next_cold(scan, row_out, &key, err);
    if (key_out != NULL)
        *key_out = key;
    return status;
}

kal_status kal_view_count(kal_view *view, kal_table *table, uint64_t limit, uint64_t *count_out,
                          kal_error *err)
{
    const uint64_t none[KAL_COLUMNS_MAX / 64 + 1] = {0};
    kal_scan_range all = {.no_keys = true, .wanted = none};
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
