/*
 * compact.c: several segments become one.
 *
 *   choose    from the newest manifest; of a table by users, among one user's
 *   number    as in flush.c
 *   merge     the live rows of a snapshot, in key order, into new segments
 *   publish   new segments in, old ones out, rows that died since are dead in the new ones (lane)
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
    OUTPUTS_MAX = 64,
};
#define NO_ROW UINT32_MAX

typedef struct compact_input {
    kal_segment *segment; /* borrowed from the manifest */
    uint64_t group;       /* group_of() */
    uint64_t dead_count;
    kal_dead_rows *dead; /* at the snapshot; owned reference or NULL */
    kal_cold_scan *scan; /* owned */
    kal_cold_row row;    /* the next one */
    bool has_row;
    uint32_t *new_rows; /* owned: old row -> number among all copied rows, or NO_ROW */
} compact_input;

typedef struct compaction {
    const kal_flush_args *args;
    kal_table *table;
    const char *storage_id; /* where the table's segments go now */
    bool forced;
    bool by_user;
    uint64_t group;         /* of the inputs: group_of() */
    kal_manifest *manifest; /* owned reference: the one that was chosen from */
    compact_input inputs[INPUTS_MAX];
    size_t input_count;
    uint64_t copied;
    kal_segment_info outputs[OUTPUTS_MAX]; /* bytes in arena */
    size_t output_count;
    kal_arena arena; /* owned */
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

static uint64_t rows_max(const compaction *c)
{
    return c->args->segment_rows_max == 0 ? KAL_SEGMENT_ROWS_DEFAULT : c->args->segment_rows_max;
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

/* The segments of all groups or of one, with what is dead of them, in order. */
static kal_status load_candidates(const compaction *c, bool all_groups, compact_input *all,
                                  size_t *count_out, kal_error *err)
{
    size_t count = 0;

    for (size_t i = 0; i < c->manifest->segment_count; i++) {
        kal_segment *segment = c->manifest->segments[i];
        uint64_t group = group_of(c, segment);
        if (!all_groups && group != c->group)
            continue;
        all[count] = (compact_input){.segment = segment, .group = group};
        KAL_TRY(kal_dead_count(c->args->tables->kv, NULL, segment->info.segment_id,
                               &all[count].dead_count, err));
        count++;
    }
    qsort(all, count, sizeof *all, compare_inputs);
    *count_out = count;
    return KAL_OK;
}

/* So many from `first` on fit into one new segment. */
static size_t fitting(const compaction *c, const compact_input *all, size_t first, size_t count)
{
    uint64_t rows = 0;
    size_t n = 0;
    while (first + n < count && n < INPUTS_MAX && rows + live_rows(&all[first + n]) <= rows_max(c))
        rows += live_rows(&all[first + n++]);
    return n;
}

/* all: of one group. */
static void choose(compaction *c, const compact_input *all, size_t count)
{
    size_t first = 0;
    size_t n = 0;

    if (c->forced) {
        n = fitting(c, all, 0, count);
    } else { /* the smallest class that has enough of them */
        for (first = 0; first < count; first++) {
            size_t same = 1;
            while (first + same < count &&
                   size_class(live_rows(&all[first + same])) == size_class(live_rows(&all[first])))
                same++;
            n = fitting(c, all, first, first + same);
            if (n >= SAME_SIZE_MIN)
                break;
            n = 0;
        }
    }
    if (n < 2)
        n = 0;
    for (size_t i = 0; i < n; i++)
        c->inputs[c->input_count++] = all[first + i];
    /* What is worth it by itself comes along, or is rewritten alone. */
    for (size_t i = 0; i < count && c->input_count < INPUTS_MAX; i++) {
        bool chosen = i >= first && i < first + n;
        if (!chosen && is_worth_rewriting(c, &all[i]))
            c->inputs[c->input_count++] = all[i];
    }
}

static compact_input *candidates_open(const compaction *c)
{
    size_t count = c->manifest == NULL ? 0 : c->manifest->segment_count;
    compact_input *all = calloc(count + 1, sizeof *all); /* the caller's */
    if (all == NULL)
        kal_die("out of memory: compaction");
    return all;
}

static kal_status choose_inputs(compaction *c, kal_error *err)
{
    compact_input *all = candidates_open(c); /* owned */
    size_t count = 0;

    kal_status status = c->manifest == NULL ? KAL_OK : load_candidates(c, false, all, &count, err);
    if (status == KAL_OK)
        choose(c, all, count);
    free(all);
    return status;
}

typedef KAL_VEC(uint64_t) group_list;

/* The groups in which there is something to do. */
static kal_status find_groups(compaction *c, group_list *groups, kal_error *err)
{
    compact_input *all = candidates_open(c); /* owned */
    size_t count = 0;

    kal_status status = c->manifest == NULL ? KAL_OK : load_candidates(c, true, all, &count, err);
    for (size_t i = 0, n = 0; status == KAL_OK && i < count; i += n) {
        for (n = 1; i + n < count && all[i + n].group == all[i].group;)
            n++;
        choose(c, all + i, n);
        if (c->input_count > 0)
            kal_vec_push(groups, all[i].group);
        c->input_count = 0;
    }
    free(all);
    return status;
}

/* Whether the segment has rows of the user, dead ones too. */
static kal_status holds_user(const compaction *c, const kal_segment *segment, uint64_t user_no,
                             bool *out, kal_error *err)
{
    kal_user_range of_user;
    kal_kv_iter *iter = NULL; /* owned */
    kal_bytes key;
    kal_bytes value;

    const kal_kv_range range =
        kal_user_range_of(c->table, user_no, KAL_KV_INDEX, segment->info.segment_id, &of_user);
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

    for (size_t i = 0; i < count && c->input_count == 0; i++) {
        bool found = false;
        compact_input *input = &c->inputs[0];
        KAL_TRY(holds_user(c, c->manifest->segments[i], user_no, &found, err));
        if (!found)
            continue;
        *input = (compact_input){.segment = c->manifest->segments[i]};
        c->input_count = 1;
        c->group = group_of(c, input->segment);
        KAL_TRY(kal_dead_count(c->args->tables->kv, NULL, input->segment->info.segment_id,
                               &input->dead_count, err));
    }
    return KAL_OK;
}

/* ---- merging ---- */

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
static kal_status least_input(compaction *c, compact_input **out, kal_error *err)
{
    *out = NULL;
    for (size_t i = 0; i < c->input_count; i++) {
        compact_input *input = &c->inputs[i];
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

static kal_status next_merged(void *context, kal_segment_row *row_out, kal_error *err)
{
    compaction *c = context;
    compact_input *input = NULL;

    KAL_TRY(kal_flush_check(c->args, c->copied, err));
    KAL_TRY(least_input(c, &input, err));
    if (input == NULL)
        return KAL_END;
    input->has_row = false;
    input->new_rows[input->row.row] = (uint32_t)c->copied++;
    *row_out = (kal_segment_row){input->row.cold_key, input->row.seq, input->row.values};
    return KAL_OK;
}

/* ---- publishing ---- */

static void put_dead_of(compaction *c, uint64_t counts[OUTPUTS_MAX], kal_kv_batch *batch,
                        uint32_t new_row)
{
    uint64_t row = new_row;
    size_t i = 0;
    while (row >= c->outputs[i].row_count)
        row -= c->outputs[i++].row_count;
    KAL_ASSERT(i < c->output_count);
    kal_dead_put(batch, c->outputs[i].segment_id, (uint32_t)row);
    counts[i]++;
}

/* On the lane: what died in the old segments since the snapshot is dead in the new ones. */
static kal_status put_dead(void *context, kal_kv_batch *batch, kal_error *err)
{
    compaction *c = context;
    kal_kv *kv = c->args->tables->kv;
    uint64_t counts[OUTPUTS_MAX] = {0};

    for (size_t i = 0; i < c->input_count; i++) {
        compact_input *input = &c->inputs[i];
        kal_dead_rows *now = NULL; /* owned */
        KAL_TRY(kal_dead_rows_get(kv, NULL, input->segment, &now, err));
        uint64_t before = input->dead == NULL ? 0 : input->dead->count;
        for (uint64_t row = 0;
             now != NULL && now->count != before && row < input->segment->info.row_count; row++) {
            if (kal_dead_rows_has(now, row) && input->new_rows[row] != NO_ROW)
                put_dead_of(c, counts, batch, input->new_rows[row]);
        }
        kal_dead_rows_release(now);
    }
    for (size_t i = 0; i < c->output_count; i++) {
        if (counts[i] > 0)
            kal_dead_count_put(batch, c->outputs[i].segment_id, counts[i]);
    }
    return KAL_OK;
}

static bool still_has(const kal_manifest *manifest, const kal_segment *segment)
{
    for (size_t i = 0; manifest != NULL && i < manifest->segment_count; i++) {
        if (manifest->segments[i]->info.segment_id == segment->info.segment_id)
            return true;
    }
    return false;
}

static kal_status collect_change(compaction *c, kal_catalog_change *change, kal_error *err)
{
    kal_manifest *manifest = NULL; /* owned */
    bool all = true;

    if (atomic_load(&c->table->fate) == KAL_TABLE_DROPPED)
        return kal_table_check_fate(c->table, err);
    KAL_TRY(
        kal_manifests_newest(c->args->tables->manifests, c->table->def->table_id, &manifest, err));
    for (size_t i = 0; i < c->input_count; i++)
        all = all && still_has(manifest, c->inputs[i].segment);
    kal_manifest_head head = manifest == NULL ? (kal_manifest_head){0} : manifest->head;
    kal_manifest_release(manifest);
    if (!all)
        return kal_error_set(err, KAL_STALE, "the segments of table '%.*s' changed meanwhile",
                             KAL_FMT(c->table->def->table_name));
    head.version++;
    for (size_t i = 0; i < c->output_count; i++)
        KAL_TRY(kal_catalog_put_segment(change, &c->outputs[i], err));
    for (size_t i = 0; i < c->input_count; i++)
        KAL_TRY(kal_catalog_drop_segment(change, &c->inputs[i].segment->info, err));
    return kal_catalog_put_manifest(change, c->table->def->table_id, &head, err);
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

/* Segment after segment, until all rows are copied. What was begun is in segments[0, *begun). */
static kal_status write_outputs(compaction *c, kal_flush_segment *segments, size_t *begun,
                                kal_error *err)
{
    const kal_segment_source source = {c, next_merged};
    kal_status status = KAL_OK;

    while (status == KAL_OK) {
        if (*begun == OUTPUTS_MAX)
            return kal_error_set(err, KAL_LIMIT, "a compaction makes more than %d segments",
                                 OUTPUTS_MAX);
        kal_flush_segment *segment = &segments[*begun];
        KAL_TRY(kal_flush_segment_begin(c->args, c->table, c->group, &c->arena, segment, err));
        (*begun)++;
        status = kal_segment_write(&segment->write, &source, &c->arena,
                                   &c->outputs[c->output_count], err);
        c->output_count += status == KAL_OK;
    }
    return status == KAL_END ? KAL_OK : status;
}

static kal_status merge(compaction *c, const kal_view *view, kal_error *err)
{
    kal_flush_segment *segments = calloc(OUTPUTS_MAX, sizeof *segments); /* owned */
    size_t begun = 0;
    kal_status status = KAL_OK;

    if (segments == NULL)
        kal_die("out of memory: compaction");
    for (size_t i = 0; i < c->input_count && status == KAL_OK; i++)
        status = open_input(c, view, &c->inputs[i], err);
    if (status == KAL_OK)
        status = write_outputs(c, segments, &begun, err);
    if (status == KAL_OK)
        status = publish(c, err);
    for (size_t i = 0; i < begun; i++)
        kal_flush_segment_end(c->args, &segments[i]);
    free(segments);
    return status;
}

static void release(compaction *c)
{
    for (size_t i = 0; i < c->input_count; i++) {
        kal_cold_scan_close(c->inputs[i].scan);
        kal_dead_rows_release(c->inputs[i].dead);
        free(c->inputs[i].new_rows);
    }
    kal_manifest_release(c->manifest);
    kal_arena_release(&c->arena);
    free(c);
}

static compaction *open(const kal_flush_args *args, kal_table *table, bool forced)
{
    compaction *c = calloc(1, sizeof *c); /* the caller's: release() */
    if (c == NULL)
        kal_die("out of memory: compaction");
    c->args = args;
    c->table = table;
    c->storage_id = table->def->options.storage_id;
    c->forced = forced;
    c->by_user = kal_table_is_by_user(table);
    kal_arena_init(&c->arena, NULL);
    return c;
}

static void add_result(const compaction *c, kal_flush_result *result)
{
    if (c->input_count == 0)
        return;
    result->row_count += c->copied;
    result->segment_count += c->input_count;
    for (size_t i = 0; i < c->output_count; i++)
        result->size_bytes += c->outputs[i].size_bytes;
}

/* user_no 0: the segments of the group that are worth it; else one that has rows of the user. Adds
 * to the result. */
static kal_status compact(const kal_flush_args *args, kal_table *table, bool forced, uint64_t group,
                          uint64_t user_no, kal_flush_result *result, kal_error *err)
{
    kal_manifests *manifests = args->tables->manifests;
    compaction *c = open(args, table, forced); /* owned */
    kal_view view; /* while it is open, no segment of the manifest is removed */

    c->group = group;
    kal_view_open(&view, args->tables, 0, NULL);
    kal_status status = kal_manifests_newest(manifests, table->def->table_id, &c->manifest, err);
    if (status == KAL_OK)
        status = user_no == 0 ? choose_inputs(c, err) : choose_with_user(c, user_no, err);
    if (status == KAL_OK && c->input_count > 0)
        status = merge(c, &view, err);
    if (status == KAL_OK)
        add_result(c, result);
    release(c);
    kal_view_close(&view);
    return status;
}

static kal_status groups_of(const kal_flush_args *args, kal_table *table, bool forced,
                            group_list *groups, kal_error *err)
{
    compaction *c = open(args, table, forced); /* owned */

    kal_status status =
        kal_manifests_newest(args->tables->manifests, table->def->table_id, &c->manifest, err);
    if (status == KAL_OK)
        status = find_groups(c, groups, err);
    release(c);
    return status;
}

kal_status kal_table_compact(const kal_flush_args *args, kal_table *table, bool forced,
                             kal_flush_result *result_out, kal_error *err)
{
    group_list groups = {0}; /* owned */

    *result_out = (kal_flush_result){0};
    kal_status status = groups_of(args, table, forced, &groups, err);
    for (size_t i = 0; i < groups.len && status == KAL_OK; i++)
        status = compact(args, table, forced, groups.items[i], 0, result_out, err);
    kal_vec_release(&groups);
    return status;
}

kal_status kal_table_rewrite_with_user(const kal_flush_args *args, kal_table *table,
                                       uint64_t user_no, bool *found_out, kal_error *err)
{
    kal_flush_result result = {0};

    kal_status status = compact(args, table, true, 0, user_no, &result, err);
    *found_out = result.segment_count > 0;
    return status;
}

kal_status kal_table_wants_compaction(kal_tables *tables, const kal_table *table, bool forced,
                                      bool *wanted_out, kal_error *err)
{
    const kal_flush_args args = {.tables = tables};
    group_list groups = {0}; /* owned */

    kal_status status = groups_of(&args, (kal_table *)(uintptr_t)table, forced, &groups, err);
    *wanted_out = status == KAL_OK && groups.len > 0;
    kal_vec_release(&groups);
    return status;
}
