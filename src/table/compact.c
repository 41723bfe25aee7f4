/*
 * compact.c: several segments become one.
 *
 *   choose    from the newest manifest; of a table by users, among each user's
 *   number    as in flush.c
 *   merge     the live rows of a snapshot, in key order, into new segments
 *   publish   new segments in, old ones out, rows that died since are dead in the new ones (lane)
 *
 * Of a table by users many users' segments go through these steps together, as in a flush.
 *
 * Invariants, besides those of flush.c:
 *   1. A live row is in one of the chosen segments only, so merging compares no versions.
 *   2. Each row that was copied is in the map from (old segment, old row) to its new number; what
 *      dies in the old ones after the snapshot is looked up there, on the lane, when nobody writes.
 *   3. If one of the chosen segments is not in the manifest any more, nothing is published.
 */
#include "base/assert.h"
#include "segment/cold_scan.h"
#include "table/flush_internal.h"

#include <stdlib.h>

enum {
    INPUTS_MAX = 16,
    SAME_SIZE_MIN = 4, /* segments of one size class that are merged by themselves */
    SIZE_CLASS = 4,    /* a class holds sizes up to so many times its least */
    DEAD_PART = 4,     /* a segment is rewritten when one of so many rows is dead */
    OUTPUTS_MAX = 64,  /* of one merge */
};
#define NO_ROW UINT32_MAX

typedef struct compact_input {
    kal_segment *segment; /* borrowed from the manifest that was chosen from */
    uint64_t group;       /* group_of() */
    uint64_t dead_count;
    kal_dead_rows *dead; /* at the snapshot; owned reference or NULL */
    kal_cold_scan *scan; /* owned */
    kal_cold_row row;    /* the next one */
    bool has_row;
    uint32_t *new_rows; /* owned: old row -> number among all copied rows, or NO_ROW */
} compact_input;

/* Segments of one group that become new ones. */
typedef struct compact_merge {
    uint64_t group; /* of the inputs: group_of() */
    compact_input inputs[INPUTS_MAX];
    size_t input_count;
    uint64_t copied;
    size_t first_output; /* of the compaction's */
    size_t output_count;
} compact_merge;

typedef struct compaction {
    const kal_flush_args *args;
    kal_table *table;
    const char *storage_id; /* where the table's segments go now */
    bool forced;
    bool by_user;
    kal_manifest *manifest;            /* owned reference: the one that was chosen from */
    KAL_VEC(compact_merge *) merges;   /* each owned; published together */
    uint64_t rows;                     /* live ones, of their inputs */
    KAL_VEC(kal_segment_info) outputs; /* owned; bytes in segments' arena */
    kal_new_segments segments;         /* from merging to publishing */
} compaction;

/* ---- choosing ---- */

static uint64_t live_rows(const compact_input *input)
{
    uint64_t rows = input->segment->info.row_count;
    return rows - (input->dead_count < rows ? input->dead_count : rows);
}

static unsigned size_class(uint64_t rows)
{
    unsigned class = 0;
    for (; rows >= SIZE_CLASS; rows /= SIZE_CLASS)
        class ++;
    return class;
}

/* Many rows are dead; or it is forced, and any is, or it lies where the table's segments went once.
 */
static bool is_worth_rewriting(const compaction *c, const compact_input *input)
{
    const kal_segment_info *info = &input->segment->info;

    if (!c->forced)
        return input->dead_count * DEAD_PART >= info->row_count;
    return input->dead_count > 0 || !kal_bytes_equal(info->storage_id, kal_cstr(c->storage_id));
}

/* Segments are merged with others of their group only. Of a table by users that is the user whose
 * rows alone the segment has. 0: all others; what had many users' rows before goes on having them.
 */
static uint64_t group_of(const compaction *c, const kal_segment *segment)
{
    const kal_segment_info *info = &segment->info;
    return c->by_user && info->user_min == info->user_max ? info->user_min : 0;
}

/* By group, and in it smallest first. */
static int compare_inputs(const void *a, const void *b)
{
    const compact_input *x = a;
    const compact_input *y = b;
    uint64_t x_rows = live_rows(x);
    uint64_t y_rows = live_rows(y);

    if (x->group != y->group)
        return (x->group > y->group) - (x->group < y->group);
    return (x_rows > y_rows) - (x_rows < y_rows);
}

/* All segments, with what is dead of them, in order; the caller frees them. */
static kal_status load_candidates(const compaction *c, compact_input **all_out, size_t *count_out,
                                  kal_error *err)
{
    size_t count = c->manifest == NULL ? 0 : c->manifest->segment_count;
    compact_input *all = calloc(count + 1, sizeof *all);

    if (all == NULL)
        kal_die("out of memory: compaction");
    *all_out = all;
    *count_out = count;
    for (size_t i = 0; i < count; i++) {
        kal_segment *segment = c->manifest->segments[i];
        all[i] = (compact_input){.segment = segment, .group = group_of(c, segment)};
        KAL_TRY(kal_dead_count(c->args->tables->kv, NULL, segment->info.segment_id,
                               &all[i].dead_count, err));
    }
    qsort(all, count, sizeof *all, compare_inputs);
    return KAL_OK;
}

/* So many from `first` on fit into one new segment. */
static size_t fitting(const compaction *c, const compact_input *all, size_t first, size_t count)
{
    uint64_t rows_max = kal_flush_rows_max(c->args);
    uint64_t rows = 0;
    size_t n = 0;
    while (first + n < count && n < INPUTS_MAX && rows + live_rows(&all[first + n]) <= rows_max)
        rows += live_rows(&all[first + n++]);
    return n;
}

/* The smallest size class that has enough of them to be merged: how many, from *first_out on. */
static size_t choose_class(const compaction *c, const compact_input *all, size_t count,
                           size_t *first_out)
{
    for (size_t first = 0; first < count; first++) {
        size_t same = 1;
        while (first + same < count &&
               size_class(live_rows(&all[first + same])) == size_class(live_rows(&all[first])))
            same++;
        size_t n = fitting(c, all, first, first + same);
        *first_out = first;
        if (n >= SAME_SIZE_MIN)
            return n;
    }
    return 0;
}

/* all: of one group. A merge without inputs: there is nothing to do. */
static void choose(const compaction *c, const compact_input *all, size_t count, compact_merge *m)
{
    size_t first = 0;
    size_t n = c->forced ? fitting(c, all, 0, count) : choose_class(c, all, count, &first);

    m->group = all[0].group;
    if (n < 2)
        n = 0;
    for (size_t i = 0; i < n; i++)
        m->inputs[m->input_count++] = all[first + i];
    /* What is worth it by itself comes along, or is rewritten alone. */
    for (size_t i = 0; i < count && m->input_count < INPUTS_MAX; i++) {
        bool chosen = i >= first && i < first + n;
        if (!chosen && is_worth_rewriting(c, &all[i]))
            m->inputs[m->input_count++] = all[i];
    }
}

/* How many of the candidates from `at` on are of one group. */
static size_t group_len(const compact_input *all, size_t count, size_t at)
{
    size_t n = 1;
    while (at + n < count && all[at + n].group == all[at].group)
        n++;
    return n;
}

static void add_merge(compaction *c, const compact_merge *chosen)
{
    compact_merge *m = malloc(sizeof *m);

    if (m == NULL)
        kal_die("out of memory: compaction");
    *m = *chosen;
    kal_vec_push(&c->merges, m);
    for (size_t i = 0; i < m->input_count; i++)
        c->rows += live_rows(&m->inputs[i]);
}

/* Whether the segment has rows of the user, dead ones too. */
static kal_status holds_user(const compaction *c, const kal_segment *segment, uint64_t user_no,
                             bool *out, kal_error *err)
{
    kal_user_range of_user;
    kal_kv_iter *iter = NULL; /* owned */
    kal_bytes key;
    kal_bytes value;

    *out = false;
    if (user_no < segment->info.user_min || user_no > segment->info.user_max)
        return KAL_OK;
    kal_kv_range range =
        kal_user_range_of(c->table, user_no, KAL_KV_INDEX, segment->info.segment_id, &of_user);
    range.complete = true; /* a segment that is said to have none stays as it is */
    KAL_TRY(kal_kv_iter_open(c->args->tables->kv, NULL, &range, &iter, err));
    kal_status status = kal_kv_iter_next(iter, &key, &value, err);
    kal_kv_iter_close(iter);
    *out = status == KAL_OK;
    return status == KAL_END ? KAL_OK : status;
}

/* The first segment that has rows of the user, however few. */
static kal_status choose_with_user(compaction *c, uint64_t user_no, kal_error *err)
{
    size_t count = c->manifest == NULL ? 0 : c->manifest->segment_count;

    for (size_t i = 0; i < count && c->merges.len == 0; i++) {
        compact_merge m = {.input_count = 1};
        compact_input *input = &m.inputs[0];
        bool found = false;
        input->segment = c->manifest->segments[i];
        KAL_TRY(holds_user(c, input->segment, user_no, &found, err));
        if (!found)
            continue;
        m.group = group_of(c, input->segment);
        KAL_TRY(kal_dead_count(c->args->tables->kv, NULL, input->segment->info.segment_id,
                               &input->dead_count, err));
        add_merge(c, &m);
    }
    return KAL_OK;
}

/* ---- merging ---- */

/* While an object is fetched, for others too. */
static kal_status check_now(const void *args, kal_error *err)
{
    return kal_flush_ask(args, err);
}

static kal_status open_input(compaction *c, const kal_view *view, compact_input *input,
                             kal_error *err)
{
    const kal_segment_info *info = &input->segment->info;
    kal_tables *tables = c->args->tables;
    const kal_cold_scan_args args = {
        .backend = tables->options.segments,
        .kv = tables->kv,
        .snapshot = view->snapshot,
        .table = c->table,
        .manifest = c->manifest,
        .segment_id = info->segment_id,
        .all_users = true,
        .wants_keys = true,
        .check = check_now,
        .check_context = c->args,
    };

    KAL_TRY(kal_dead_rows_get(tables->kv, view->snapshot, input->segment, &input->dead, err));
    input->new_rows = malloc(info->row_count * sizeof *input->new_rows);
    if (input->new_rows == NULL)
        kal_die("out of memory: compaction");
    memset(input->new_rows, 0xff, info->row_count * sizeof *input->new_rows); /* NO_ROW */
    input->scan = kal_cold_scan_open(&args);
    return KAL_OK;
}

/* The input with the least key, or NULL. */
static kal_status least_input(compact_merge *m, compact_input **out, kal_error *err)
{
    *out = NULL;
    for (size_t i = 0; i < m->input_count; i++) {
        compact_input *input = &m->inputs[i];
        if (!input->has_row && input->scan != NULL) {
            kal_status status = kal_cold_scan_next(input->scan, &input->row, err);
            input->has_row = status == KAL_OK;
            if (status == KAL_END) {
                kal_cold_scan_close(input->scan);
                input->scan = NULL;
            } else {
                KAL_TRY(status);
            }
        }
        if (input->has_row &&
            (*out == NULL || kal_bytes_compare(input->row.cold_key, (*out)->row.cold_key) < 0))
            *out = input;
    }
    return KAL_OK;
}

typedef struct merge_source {
    const kal_flush_args *args;
    compact_merge *merge;
} merge_source;

static kal_status next_merged(void *context, kal_segment_row *row_out, kal_error *err)
{
    const merge_source *source = context;
    compact_input *input = NULL;

    KAL_TRY(kal_flush_check(source->args, source->merge->copied, err));
    KAL_TRY(least_input(source->merge, &input, err));
    if (input == NULL)
        return KAL_END;
    input->has_row = false;
    input->new_rows[input->row.row] = (uint32_t)source->merge->copied++;
    *row_out = (kal_segment_row){input->row.cold_key, input->row.seq, input->row.values};
    return KAL_OK;
}

/* Segment after segment, until all rows of the merge are copied. The first one was numbered with
 * those of the other merges. */
static kal_status write_outputs(compaction *c, size_t index, kal_error *err)
{
    compact_merge *m = c->merges.items[index];
    merge_source context = {c->args, m};
    const kal_segment_source source = {&context, next_merged};
    kal_status status = KAL_OK;
    size_t number = index;

    m->first_output = c->outputs.len;
    while (status == KAL_OK) {
        kal_segment_info info;
        if (m->output_count == OUTPUTS_MAX)
            return kal_error_set(err, KAL_LIMIT, "a compaction makes more than %d segments",
                                 OUTPUTS_MAX);
        if (m->output_count > 0) {
            number = c->segments.items.len;
            KAL_TRY(kal_new_segments_add(&c->segments, &m->group, 1, err));
        }
        status = kal_new_segments_write(&c->segments, number, &source, &info, err);
        if (status != KAL_OK)
            break;
        kal_vec_push(&c->outputs, info);
        m->output_count++;
    }
    return status == KAL_END ? KAL_OK : status;
}

static void close_scans(compact_merge *m)
{
    for (size_t i = 0; i < m->input_count; i++) {
        kal_cold_scan_close(m->inputs[i].scan);
        m->inputs[i].scan = NULL;
    }
}

static kal_status merge_all(compaction *c, const kal_view *view, kal_error *err)
{
    KAL_VEC(uint64_t) groups = {0}; /* owned */

    for (size_t i = 0; i < c->merges.len; i++)
        kal_vec_push(&groups, c->merges.items[i]->group);
    kal_status status = kal_new_segments_add(&c->segments, groups.items, groups.len, err);
    kal_vec_release(&groups);
    for (size_t i = 0; i < c->merges.len && status == KAL_OK; i++) {
        compact_merge *m = c->merges.items[i];
        for (size_t k = 0; k < m->input_count && status == KAL_OK; k++)
            status = open_input(c, view, &m->inputs[k], err);
        if (status == KAL_OK)
            status = write_outputs(c, i, err);
        close_scans(m);
    }
    return status == KAL_OK ? kal_new_segments_sync(&c->segments, err) : status;
}

/* ---- publishing ---- */

/* *counts: of dead rows, one for each output. */
static void put_dead_row(const compaction *c, const compact_merge *m, uint64_t *counts,
                         kal_kv_batch *batch, uint32_t new_row)
{
    uint64_t row = new_row;
    size_t i = m->first_output;
    while (row >= c->outputs.items[i].row_count)
        row -= c->outputs.items[i++].row_count;
    KAL_ASSERT(i < m->first_output + m->output_count);
    kal_dead_put(batch, c->outputs.items[i].segment_id, (uint32_t)row);
    counts[i]++;
}

static kal_status put_dead_of(const compaction *c, const compact_merge *m, uint64_t *counts,
                              kal_kv_batch *batch, kal_error *err)
{
    for (size_t i = 0; i < m->input_count; i++) {
        const compact_input *input = &m->inputs[i];
        kal_dead_rows *now = NULL; /* owned */
        KAL_TRY(kal_dead_rows_get(c->args->tables->kv, NULL, input->segment, &now, err));
        uint64_t before = input->dead == NULL ? 0 : input->dead->count;
        for (uint64_t row = 0;
             now != NULL && now->count != before && row < input->segment->info.row_count; row++) {
            if (kal_dead_rows_has(now, row) && input->new_rows[row] != NO_ROW)
                put_dead_row(c, m, counts, batch, input->new_rows[row]);
        }
        kal_dead_rows_release(now);
    }
    return KAL_OK;
}

/* On the lane: what died in the old segments since the snapshot is dead in the new ones. */
static kal_status put_dead(void *context, kal_kv_batch *batch, kal_error *err)
{
    const compaction *c = context;
    uint64_t *counts = calloc(c->outputs.len + 1, sizeof *counts); /* owned */
    kal_status status = KAL_OK;

    if (counts == NULL)
        kal_die("out of memory: compaction");
    for (size_t i = 0; i < c->merges.len && status == KAL_OK; i++)
        status = put_dead_of(c, c->merges.items[i], counts, batch, err);
    for (size_t i = 0; i < c->outputs.len; i++) {
        if (counts[i] > 0)
            kal_dead_count_put(batch, c->outputs.items[i].segment_id, counts[i]);
    }
    free(counts);
    return status;
}

static kal_status check_inputs(const compaction *c, const kal_manifest *manifest, kal_error *err)
{
    for (size_t i = 0; i < c->merges.len; i++) {
        const compact_merge *m = c->merges.items[i];
        for (size_t k = 0; k < m->input_count; k++) {
            if (kal_manifest_find(manifest, m->inputs[k].segment->info.segment_id) == NULL)
                return kal_error_set(err, KAL_STALE,
                                     "the segments of table '%.*s' changed meanwhile",
                                     KAL_FMT(c->table->def->table_name));
        }
    }
    return KAL_OK;
}

/* *manifest_out: the caller's reference, of KAL_OK never NULL. Nobody but the holder of the DDL
 * lock changes it. */
static kal_status newest_with_inputs(const compaction *c, kal_manifest **manifest_out,
                                     kal_error *err)
{
    KAL_TRY(kal_manifests_newest(c->args->tables->manifests, c->table->def->table_id, manifest_out,
                                 err));
    kal_status status = check_inputs(c, *manifest_out, err);
    if (status != KAL_OK)
        kal_manifest_release(*manifest_out);
    return status;
}

static kal_status drop_inputs(const compaction *c, kal_catalog_change *change, kal_error *err)
{
    KAL_VEC(const kal_segment_info *) infos = {0}; /* owned */

    for (size_t i = 0; i < c->merges.len; i++) {
        const compact_merge *m = c->merges.items[i];
        for (size_t k = 0; k < m->input_count; k++)
            kal_vec_push(&infos, &m->inputs[k].segment->info);
    }
    kal_status status = kal_catalog_drop_segments(change, infos.items, infos.len, err);
    kal_vec_release(&infos);
    return status;
}

static kal_status collect_change(compaction *c, kal_catalog_change *change, kal_error *err)
{
    kal_manifest *manifest = NULL; /* owned */

    if (atomic_load(&c->table->fate) == KAL_TABLE_DROPPED)
        return kal_table_check_fate(c->table, err);
    KAL_TRY(newest_with_inputs(c, &manifest, err));
    kal_manifest_head head = manifest->head;
    kal_status status = KAL_OK;
    head.version++;
    for (size_t i = 0; i < c->outputs.len && status == KAL_OK; i++)
        status = kal_catalog_put_segment(change, &c->outputs.items[i], err);
    if (status == KAL_OK)
        status = drop_inputs(c, change, err);
    if (status == KAL_OK)
        status = kal_catalog_put_manifest(change, c->table->def->table_id, &head, err);
    kal_manifest_release(manifest);
    return status;
}

static kal_status publish(compaction *c, kal_error *err)
{
    kal_catalog_change *change =
        kal_catalog_begin(c->args->tables->options.catalog, c->args->actor); /* owned */
    kal_status status = collect_change(c, change, err);
    if (status == KAL_OK)
        return kal_flush_commit(c->args->tables, change, put_dead, c, err);
    kal_catalog_end(change);
    return status;
}

/* ---- from choosing to publishing ---- */

static void add_result(const compaction *c, kal_flush_result *result)
{
    for (size_t i = 0; i < c->merges.len; i++) {
        result->row_count += c->merges.items[i]->copied;
        result->segment_count += c->merges.items[i]->input_count;
    }
    for (size_t i = 0; i < c->outputs.len; i++)
        result->size_bytes += c->outputs.items[i].size_bytes;
}

static void forget_merges(compaction *c)
{
    for (size_t i = 0; i < c->merges.len; i++) {
        compact_merge *m = c->merges.items[i];
        close_scans(m);
        for (size_t k = 0; k < m->input_count; k++) {
            kal_dead_rows_release(m->inputs[k].dead);
            free(m->inputs[k].new_rows);
        }
        free(m);
    }
    c->merges.len = 0;
    c->rows = 0;
    c->outputs.len = 0;
}

/* Merges and publishes what was chosen, which is forgotten then, and adds to the result. */
static kal_status run_merges(compaction *c, kal_flush_result *result, kal_error *err)
{
    kal_view view; /* while it is open, no segment is removed that the manifest has now */
    kal_manifest *manifest = NULL; /* owned */

    kal_new_segments_open(&c->segments, c->args, c->table);
    kal_view_open(&view, c->args->tables, 0, NULL);
    kal_status status = newest_with_inputs(c, &manifest, err);
    if (status == KAL_OK) {
        kal_manifest_release(manifest);
        status = merge_all(c, &view, err);
    }
    if (status == KAL_OK)
        status = publish(c, err);
    if (status == KAL_OK)
        add_result(c, result);
    forget_merges(c);
    kal_new_segments_close(&c->segments);
    kal_view_close(&view);
    return status;
}

static kal_status open(const kal_flush_args *args, kal_table *table, bool forced, compaction *c,
                       kal_error *err)
{
    *c = (compaction){
        .args = args,
        .table = table,
        .storage_id = table->def->options.storage_id,
        .forced = forced,
        .by_user = kal_table_is_by_user(table),
    };
    return kal_manifests_newest(args->tables->manifests, table->def->table_id, &c->manifest, err);
}

static void release(compaction *c)
{
    forget_merges(c);
    kal_vec_release(&c->merges);
    kal_vec_release(&c->outputs);
    kal_manifest_release(c->manifest);
}

/* Whether no more should be published together. */
static bool is_full(const compaction *c)
{
    return c->merges.len == KAL_FLUSH_PARTS_MAX || c->rows >= kal_flush_rows_max(c->args);
}

static kal_status compact_groups(compaction *c, kal_flush_result *result, kal_error *err)
{
    compact_input *all = NULL; /* owned */
    size_t count = 0;

    kal_status status = load_candidates(c, &all, &count, err);
    for (size_t at = 0, n = 0; at < count && status == KAL_OK; at += n) {
        compact_merge m = {0};
        n = group_len(all, count, at);
        choose(c, all + at, n, &m);
        if (m.input_count > 0)
            add_merge(c, &m);
        if (is_full(c))
            status = run_merges(c, result, err);
    }
    if (status == KAL_OK && c->merges.len > 0)
        status = run_merges(c, result, err);
    free(all);
    return status;
}

kal_status kal_table_compact(const kal_flush_args *args, kal_table *table, bool forced,
                             kal_flush_result *result_out, kal_error *err)
{
    compaction c; /* owned */

    *result_out = (kal_flush_result){0};
    kal_status status = open(args, table, forced, &c, err);
    if (status == KAL_OK)
        status = compact_groups(&c, result_out, err);
    release(&c);
    return status;
}

kal_status kal_table_rewrite_with_user(const kal_flush_args *args, kal_table *table,
                                       uint64_t user_no, bool *found_out, kal_error *err)
{
    compaction c; /* owned */
    kal_flush_result result = {0};

    kal_status status = open(args, table, true, &c, err);
    if (status == KAL_OK)
        status = choose_with_user(&c, user_no, err);
    if (status == KAL_OK && c.merges.len > 0)
        status = run_merges(&c, &result, err);
    *found_out = result.segment_count > 0;
    release(&c);
    return status;
}

kal_status kal_table_wants_compaction(kal_tables *tables, const kal_table *table, bool forced,
                                      bool *wanted_out, kal_error *err)
{
    const kal_flush_args args = {.tables = tables};
    compaction c;              /* owned */
    compact_input *all = NULL; /* owned */
    size_t count = 0;

    *wanted_out = false;
    kal_status status = open(&args, (kal_table *)(uintptr_t)table, forced, &c, err);
    if (status == KAL_OK)
        status = load_candidates(&c, &all, &count, err);
    for (size_t at = 0, n = 0; at < count && status == KAL_OK && !*wanted_out; at += n) {
        compact_merge m = {0};
        n = group_len(all, count, at);
        choose(&c, all + at, n, &m);
        *wanted_out = m.input_count > 0;
    }
    free(all);
    release(&c);
    return status;
}
