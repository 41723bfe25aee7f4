/*
 * flush.c: hot rows become segments.
 *
 *   freeze    new rows go to a new hot space; the old one is frozen      (batch, lane)
 *   plan      of a table by users: whose rows come next                  (reads keys)
 *   number    the segments' numbers and their doom                      (batch, synced)
 *   write     a file each, by itself durable or in a group              (backend)
 *   sync      the group's files; then the index entries of all of them,
 *             loaded into the family `index` as one file, durable       (new_segments.c)
 *   publish   manifest entries, dead rows, the end of the frozen rows   (batch, lane, synced)
 *   again     from `plan`, until the frozen space is empty
 *
 * Invariants:
 *   1. A row is in exactly one place for every snapshot: freeze changes names only; publish adds
 * the segment and removes its rows from the frozen space in one batch, and so does a write that
 *      replaces a frozen row.
 *   2. Numbers of hot spaces and segments are in a synced batch before anything carries them, and
 *      are never used again. After a crash a frozen space is flushed under a new number.
 *   3. What is written under a number that no manifest has is doomed from before it was written; so
 *      a crash at any arrow leaves nothing but doomed things, and sweeping needs no list of files.
 *   4. A row of the frozen space that is replaced or deleted while its segment is being written is
 * in the journal before the publish looks: the lane writes the journal after its batch and is the
 *      thread that publishes. The journal is open before the segment's snapshot is taken.
 *   5. Nothing is removed from disk before the batch that takes it out of the manifest is synced
 * and every view that was open then is closed.
 *   6. Freeze and publish hold the DDL lock: no table is dropped or altered between looking and
 *      writing.
 *   7. The frozen space is removed up to the last row that was read, or as a whole when there was
 *      none behind it: so the walk over it is a complete one, which ends with an error rather than
 *      without rows that could not be read.
 *   8. What was removed of it ends with the manifest's moved_to, and walks over it begin behind
 * that: so they meet no deleted range, where RocksDB may forget that a file could not be read.
 * (That of an erasing does not; it looks up each row.)
 */
#include "base/assert.h"
#include "catalog/storages.h"
#include "table/flush_internal.h"

#include <stdlib.h>

/* ---- changes of the catalog ---- */

kal_status kal_flush_commit(kal_tables *tables, kal_catalog_change *change, kal_write_hook hook,
                            void *context, kal_error *err)
{
    kal_write *write = kal_write_open(tables, NULL); /* owned */
    kal_write_set_change(write, change);
    kal_write_set_hook(write, hook, context);
    kal_status status = kal_write_commit(write, err);
    kal_write_close(write);
    kal_catalog_end(change);
    return status;
}

kal_status kal_flush_ask(const kal_flush_args *args, kal_error *err)
{
    return args->check == NULL ? KAL_OK : args->check(args->context, err);
}

kal_status kal_flush_check(const kal_flush_args *args, uint64_t row, kal_error *err)
{
    if (row % KAL_FLUSH_CHECK_ROWS != 0)
        return KAL_OK;
    if (args->give_way != NULL)
        args->give_way(args->context);
    return kal_flush_ask(args, err);
}

/* ---- freeze ---- */

/* All rows of a hot space. */
static kal_status open_space(kal_kv *kv, uint32_t hot_id, kal_kv_iter **iter_out, kal_error *err)
{
    uint8_t bytes[8];
    kal_kv_range range = {.family = KAL_KV_ROWS};

    kal_kv_number_bounds(hot_id, bytes, &range.lower, &range.upper);
    return kal_kv_iter_open(kv, NULL, &range, iter_out, err);
}

/* KAL_END: the hot space of new rows is empty. */
static kal_status find_active_row(kal_tables *tables, uint32_t hot_id, kal_error *err)
{
    kal_kv_iter *iter = NULL; /* owned */
    kal_bytes key;
    kal_bytes value;

    KAL_TRY(open_space(tables->kv, hot_id, &iter, err));
    kal_status status = kal_kv_iter_next(iter, &key, &value, err);
    kal_kv_iter_close(iter);
    return status;
}

static kal_status freeze_under_lock(kal_tables *tables, kal_table *table,
                                    kal_catalog_change *change, kal_error *err)
{
    kal_manifest *manifest = NULL; /* owned */
    kal_manifest_head head = {0};

    KAL_TRY(kal_table_check_fate(table, err));
    KAL_TRY(kal_manifests_newest(tables->manifests, table->def->table_id, &manifest, err));
    head.active_hot_id = table->hot_id;
    if (manifest != NULL)
        head = manifest->head;
    kal_manifest_release(manifest);
    KAL_ASSERT(head.frozen_hot_id == 0); /* one flush of a table at a time */
    KAL_TRY(find_active_row(tables, head.active_hot_id, err));
    head.version++;
    head.frozen_hot_id = head.active_hot_id;
    head.knows_moved = true;
    KAL_TRY(kal_catalog_new_hot_id(change, &head.active_hot_id, err));
    return kal_catalog_put_manifest(change, table->def->table_id, &head, err);
}

/* KAL_END: there is nothing to be flushed. */
static kal_status freeze(const kal_flush_args *args, kal_table *table, kal_error *err)
{
    kal_catalog_change *change =
        kal_catalog_begin(args->tables->options.catalog, args->actor); /* owned */
    kal_status status = freeze_under_lock(args->tables, table, change, err);
    if (status == KAL_OK)
        return kal_flush_commit(args->tables, change, NULL, NULL, err);
    kal_catalog_end(change);
    return status;
}

kal_status kal_tables_hot_state(kal_tables *tables, const kal_table *table, uint64_t limit,
                                kal_hot_state *out, kal_error *err)
{
    kal_manifest *manifest = NULL; /* owned */
    kal_kv_iter *iter = NULL;      /* owned */
    uint32_t hot_id = table->hot_id;
    kal_bytes key;
    kal_bytes value;

    *out = (kal_hot_state){.moved_at_us = tables->opened_at_us};
    KAL_TRY(kal_manifests_newest(tables->manifests, table->def->table_id, &manifest, err));
    if (manifest != NULL) {
        hot_id = manifest->head.active_hot_id;
        out->has_frozen = manifest->head.frozen_hot_id != 0;
        if (manifest->segment_count > 0)
            out->moved_at_us = manifest->segments[0]->info.created_at_us;
    }
    kal_manifest_release(manifest);
    KAL_TRY(open_space(tables->kv, hot_id, &iter, err));
    kal_status status = KAL_OK;
    while (status == KAL_OK && out->row_count < limit) {
        status = kal_kv_iter_next(iter, &key, &value, err);
        out->row_count += status == KAL_OK;
    }
    kal_kv_iter_close(iter);
    return status == KAL_END ? KAL_OK : status;
}

/* ---- limits ---- */

uint64_t kal_flush_rows_max(const kal_flush_args *args)
{
    return args->segment_rows_max == 0 ? KAL_SEGMENT_ROWS_DEFAULT : args->segment_rows_max;
}

uint64_t kal_flush_bytes_max(const kal_flush_args *args)
{
    return args->segment_bytes_max == 0 ? KAL_SEGMENT_BYTES_DEFAULT : args->segment_bytes_max;
}

bool kal_table_is_by_user(const kal_table *table)
{
    return table->def->table_type == KAL_TABLE_USER && table->def->options.partition_by_user != 0;
}

/* ---- writing: the rows of the frozen space ---- */

typedef struct frozen_source {
    const kal_flush_args *args;
    kal_table *table;
    const kal_view *view;
    kal_kv_iter *iter; /* owned */
    kal_value *values; /* owned; one per column */
    uint64_t rows;
    bool by_user;
    uint64_t user_no; /* by_user: whose rows are given */
    bool has_row;     /* the next two, not given yet; valid until the iterator goes on */
    kal_bytes key;
    kal_bytes value;
} frozen_source;

static uint64_t user_of(kal_bytes row_key)
{
    return kal_load_be64(kal_row_key_cold(row_key).ptr + 2);
}

/* KAL_END: no row is left. */
static kal_status look_ahead(frozen_source *s, kal_error *err)
{
    if (s->has_row)
        return KAL_OK;
    KAL_TRY(kal_kv_iter_next(s->iter, &s->key, &s->value, err));
    s->has_row = true;
    return KAL_OK;
}

static kal_status next_frozen(void *context, kal_segment_row *row_out, kal_error *err)
{
    frozen_source *s = context;
    kal_row row;

    KAL_TRY(kal_flush_check(s->args, s->rows++, err));
    KAL_TRY(look_ahead(s, err));
    if (s->by_user && user_of(s->key) != s->user_no)
        return KAL_END;
    s->has_row = false;
    KAL_TRY(kal_table_row_open(s->table, s->view->snapshot, s->value, false, &row, err));
    for (uint32_t i = 0; i < s->table->def->column_count; i++)
        kal_row_get(&row, i, &s->values[i]);
    *row_out = (kal_segment_row){kal_row_key_cold(s->key), row.seq, s->values};
    return KAL_OK;
}

/* ---- a step: the next segment; of a table by users the next users' ---- */

typedef struct flush_part {
    kal_segment_info info;
    KAL_VEC(uint32_t) dead; /* rows that died while the step went on; owned */
} flush_part;

/* A frozen space that is being moved out. */
typedef struct flush_frozen {
    const kal_flush_args *args;
    kal_table *table;
    uint32_t hot_id;
} flush_frozen;

typedef struct flush_step {
    const flush_frozen *frozen;
    kal_new_segments segments;
    KAL_VEC(flush_part) parts; /* owned; in key order: what was written of segments.items */
    bool is_last;              /* behind them the frozen space has no rows */
    kal_flush_journal journal;
    size_t translated; /* bytes of journal.keys */
} flush_step;

/* The rows of the frozen space that are left. When the manifest does not have that any more, what
 * is read here will not be published. */
static kal_status open_rest(const flush_step *s, kal_view *view, kal_kv_iter **iter_out,
                            kal_error *err)
{
    const kal_manifest *manifest = NULL;
    uint8_t bounds[8];
    kal_rest_bound rest;
    kal_kv_range range = {.family = KAL_KV_ROWS, .passing = true, .complete = true};

    KAL_TRY(kal_view_manifest_of(view, s->frozen->table, false, &manifest, err));
    kal_kv_number_bounds(s->frozen->hot_id, bounds, &range.lower, &range.upper);
    kal_hot_range(manifest, s->frozen->hot_id, &range, &rest);
    return kal_kv_iter_open(s->frozen->args->tables->kv, view->snapshot, &range, iter_out, err);
}

typedef KAL_VEC(uint64_t) user_list;

/* Users whose rows come next, each as often as he has segments of them: as many as are published
 * together, and as rows are in a step. Where values are large a segment ends earlier; then the step
 * does. */
static kal_status plan_users(const flush_step *s, kal_kv_iter *iter, user_list *users,
                             kal_error *err)
{
    const kal_flush_args *args = s->frozen->args;
    uint64_t rows = 0;
    uint64_t bytes = 0;
    uint64_t rows_of_part = 0;
    kal_bytes key;
    kal_bytes value;

    while (rows < kal_flush_rows_max(args) && bytes < kal_flush_bytes_max(args)) {
        KAL_TRY(kal_flush_check(args, rows, err));
        KAL_TRY(kal_kv_iter_next(iter, &key, &value, err));
        uint64_t user_no = user_of(key);
        if (users->len == 0 || users->items[users->len - 1] != user_no ||
            rows_of_part == kal_flush_rows_max(args)) {
            if (users->len == KAL_FLUSH_PARTS_MAX)
                return KAL_OK;
            kal_vec_push(users, user_no);
            rows_of_part = 0;
        }
        rows_of_part++;
        rows++;
        bytes += value.len;
    }
    return KAL_OK;
}

static kal_status number_parts(flush_step *s, kal_view *view, kal_error *err)
{
    static const uint64_t all_users = 0;
    kal_kv_iter *iter = NULL; /* owned */
    user_list users = {0};    /* owned */

    if (!kal_table_is_by_user(s->frozen->table))
        return kal_new_segments_add(&s->segments, &all_users, 1, err);
    KAL_TRY(open_rest(s, view, &iter, err));
    kal_status status = plan_users(s, iter, &users, err);
    kal_kv_iter_close(iter);
    if ((status == KAL_OK || status == KAL_END) && users.len > 0)
        status = kal_new_segments_add(&s->segments, users.items, users.len, err);
    kal_vec_release(&users);
    return status == KAL_END ? KAL_OK : status;
}

/* The source has a row. */
static kal_status write_part(flush_step *s, const kal_segment_source *rows, kal_error *err)
{
    flush_part part = {0};

    KAL_TRY(kal_flush_check(s->frozen->args, 0, err));
    kal_status status = kal_new_segments_write(&s->segments, s->parts.len, rows, &part.info, err);
    KAL_ASSERT(status != KAL_END);
    if (status == KAL_OK)
        kal_vec_push(&s->parts, part);
    return status;
}

/* Until the source, what was planned, or a step ends. */
static kal_status write_planned(flush_step *s, frozen_source *source, kal_error *err)
{
    const kal_segment_source rows = {source, next_frozen};
    kal_status status = look_ahead(source, err);

    while (status == KAL_OK && s->parts.len < s->segments.items.len) {
        source->user_no = s->segments.items.items[s->parts.len].user_no;
        if (source->by_user && source->user_no != user_of(source->key))
            break;
        status = write_part(s, &rows, err);
        if (status == KAL_OK)
            status = look_ahead(source, err);
    }
    s->is_last = status == KAL_END;
    return status == KAL_END ? KAL_OK : status;
}

static kal_status write_parts(flush_step *s, kal_view *view, kal_error *err)
{
    kal_table *table = s->frozen->table;
    frozen_source source = {.args = s->frozen->args,
                            .table = table,
                            .view = view,
                            .by_user = kal_table_is_by_user(table)};

    source.values = calloc(table->def->column_count + 1, sizeof *source.values);
    if (source.values == NULL)
        kal_die("out of memory: flush");
    kal_status status = open_rest(s, view, &source.iter, err);
    if (status == KAL_OK)
        status = look_ahead(&source, err);
    if (status == KAL_OK) /* else nothing is numbered */
        status = number_parts(s, view, err);
    if (status == KAL_OK || status == KAL_END)
        status = write_planned(s, &source, err);
    kal_kv_iter_close(source.iter);
    free(source.values);
    return status;
}

/* ---- publishing ---- */

/* The part whose rows the key is among, or NULL. */
static flush_part *part_of(flush_step *s, kal_bytes cold_key)
{
    size_t low = 0;
    size_t high = s->parts.len;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (kal_bytes_compare(s->parts.items[middle].info.key_max, cold_key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->parts.len ? &s->parts.items[low] : NULL;
}

/* KAL_OK also when no segment has the key: the row had gone before the snapshot, or is of a later
 * step. */
static kal_status translate_key(flush_step *s, kal_bytes cold_key, kal_error *err)
{
    uint8_t key[KAL_INDEX_KEY_BYTES_MAX];
    flush_part *part = part_of(s, cold_key);
    kal_bytes value;
    uint32_t row = 0;
    uint64_t seq = 0;
    kal_arena arena; /* owned */

    if (part == NULL)
        return KAL_OK;
    kal_arena_init(&arena, NULL);
    kal_status status =
        kal_kv_get(s->frozen->args->tables->kv, NULL, KAL_KV_INDEX,
                   kal_index_key(part->info.segment_id, cold_key, key), &arena, &value, err);
    if (status == KAL_OK)
        status = kal_index_decode(value, &row, &seq, err);
    if (status == KAL_OK)
        kal_vec_push(&part->dead, row);
    kal_arena_release(&arena);
    return status == KAL_NOT_FOUND ? KAL_OK : status;
}

/* A key is in the journal once: a row leaves the frozen space once. */
static kal_status translate(flush_step *s, kal_error *err)
{
    kal_buf keys; /* owned: a copy, so that the lane does not wait */
    kal_status status = KAL_OK;

    kal_buf_init(&keys, NULL);
    pthread_mutex_lock(&s->journal.lock);
    kal_buf_append_bytes(&keys, kal_bytes_of(s->journal.keys.ptr + s->translated,
                                             s->journal.keys.len - s->translated));
    pthread_mutex_unlock(&s->journal.lock);
    kal_bytes rest = kal_buf_bytes(&keys);
    s->translated += rest.len;
    while (rest.len > 0 && status == KAL_OK) {
        kal_bytes key;
        bool taken = kal_bytes_take_text(&rest, &key);
        KAL_ASSERT(taken); /* our own memory */
        status = translate_key(s, key, err);
    }
    kal_buf_release(&keys);
    return status;
}

/* On the lane: what the journal got since translate() was called before, and all of it into the
 * batch. */
static kal_status put_dead(void *context, kal_kv_batch *batch, kal_error *err)
{
    flush_step *s = context;

    KAL_TRY(translate(s, err));
    for (size_t i = 0; i < s->parts.len; i++) {
        const flush_part *part = &s->parts.items[i];
        for (size_t j = 0; j < part->dead.len; j++)
            kal_dead_put(batch, part->info.segment_id, part->dead.items[j]);
        if (part->dead.len > 0)
            kal_dead_count_put(batch, part->info.segment_id, part->dead.len);
    }
    return KAL_OK;
}

/* Removes the rows that are in segments now, or when these are the last of them the whole space. */
static void end_frozen_rows(const flush_step *s, kal_catalog_change *change,
                            kal_manifest_head *head)
{
    uint8_t lower[4];
    kal_rest_bound rest;

    if (s->is_last) {
        head->frozen_hot_id = 0;
        head->moved_to = (kal_bytes){0};
        kal_catalog_delete_hot_space(change, s->frozen->hot_id);
        return;
    }
    KAL_ASSERT(s->parts.len > 0);
    head->knows_moved = true; /* whoever moved the rows before these: they are gone too */
    head->moved_to = s->parts.items[s->parts.len - 1].info.key_max;
    kal_store_be32(lower, s->frozen->hot_id);
    kal_kv_batch_delete_range(kal_catalog_change_batch(change), KAL_KV_ROWS,
                              kal_bytes_of(lower, sizeof lower),
                              kal_row_key_behind(s->frozen->hot_id, head->moved_to, &rest));
}

/* Also when the frozen space was found empty. */
static kal_status publish_under_lock(const flush_step *s, kal_catalog_change *change,
                                     kal_error *err)
{
    const kal_table *table = s->frozen->table;
    kal_manifest *manifest = NULL; /* owned */
    uint32_t table_id = table->def->table_id;

    if (atomic_load(&table->fate) == KAL_TABLE_DROPPED)
        return kal_table_check_fate(table, err);
    KAL_TRY(kal_manifests_newest(s->frozen->args->tables->manifests, table_id, &manifest, err));
    kal_manifest_head head = manifest == NULL ? (kal_manifest_head){0} : manifest->head;
    kal_manifest_release(manifest);
    if (head.frozen_hot_id != s->frozen->hot_id) /* dropped since this object was replaced */
        return kal_table_altered(table, err);
    head.version++;
    for (size_t i = 0; i < s->parts.len; i++)
        KAL_TRY(kal_catalog_put_segment(change, &s->parts.items[i].info, err));
    end_frozen_rows(s, change, &head);
    return kal_catalog_put_manifest(change, table_id, &head, err);
}

static kal_status publish(flush_step *s, kal_error *err)
{
    const kal_flush_args *args = s->frozen->args;

    KAL_TRY(kal_new_segments_sync(&s->segments, err));
    KAL_TRY(translate(s, err)); /* most of them, while the lane goes on */
    kal_catalog_change *change =
        kal_catalog_begin(args->tables->options.catalog, args->actor); /* owned */
    kal_status status = publish_under_lock(s, change, err);
    if (status == KAL_OK)
        return kal_flush_commit(args->tables, change, s->parts.len == 0 ? NULL : put_dead, s, err);
    kal_catalog_end(change);
    return status;
}

/* ---- from freezing to publishing ---- */

static void journal_open(kal_tables *t, kal_flush_journal *journal, uint32_t hot_id)
{
    *journal = (kal_flush_journal){.hot_id = hot_id};
    pthread_mutex_init(&journal->lock, NULL);
    kal_buf_init(&journal->keys, NULL);
    pthread_mutex_lock(&t->flush_lock);
    kal_list_push_back(&t->journals, &journal->link);
    pthread_mutex_unlock(&t->flush_lock);
}

static void journal_close(kal_tables *t, kal_flush_journal *journal)
{
    pthread_mutex_lock(&t->flush_lock);
    kal_list_remove(&journal->link);
    pthread_mutex_unlock(&t->flush_lock);
    pthread_mutex_destroy(&journal->lock);
    kal_buf_release(&journal->keys);
}

static void step_open(flush_step *s, const flush_frozen *frozen)
{
    *s = (flush_step){.frozen = frozen};
    kal_new_segments_open(&s->segments, frozen->args, frozen->table);
    /* Before the snapshot: invariant 4. */
    journal_open(frozen->args->tables, &s->journal, frozen->hot_id);
}

static void step_close(flush_step *s)
{
    journal_close(s->frozen->args->tables, &s->journal);
    kal_new_segments_close(&s->segments);
    for (size_t i = 0; i < s->parts.len; i++)
        kal_vec_release(&s->parts.items[i].dead);
    kal_vec_release(&s->parts);
}

static void add_result(const flush_step *s, kal_flush_result *result)
{
    for (size_t i = 0; i < s->parts.len; i++) {
        const flush_part *part = &s->parts.items[i];
        result->row_count += part->info.row_count - part->dead.len;
        result->size_bytes += part->info.size_bytes;
        result->segment_count++;
    }
}

static kal_status step(const flush_frozen *frozen, bool *is_last_out, kal_flush_result *result,
                       kal_error *err)
{
    flush_step s;
    kal_view view;

    step_open(&s, frozen);
    kal_view_open(&view, frozen->args->tables, 0, NULL);
    kal_status status = write_parts(&s, &view, err);
    kal_view_close(&view);
    if (status == KAL_OK)
        status = publish(&s, err);
    if (status == KAL_OK)
        add_result(&s, result);
    *is_last_out = s.is_last;
    step_close(&s);
    return status;
}

/* ---- erasing ---- */

/* KAL_END: moved_to is no key of the user's. */
static kal_status forget_under_lock(const kal_flush_args *args, const kal_table *table,
                                    uint64_t user_no, kal_catalog_change *change, kal_error *err)
{
    uint8_t end[KAL_COLD_KEY_PREFIX_BYTES]; /* of the user's rows */
    kal_manifest *manifest = NULL;          /* owned */
    kal_status status = KAL_END;

    KAL_TRY(kal_manifests_newest(args->tables->manifests, table->def->table_id, &manifest, err));
    if (manifest != NULL && manifest->head.moved_to.len >= sizeof end &&
        kal_load_be64(manifest->head.moved_to.ptr + 2) == user_no) {
        kal_manifest_head head = manifest->head;
        memcpy(end, head.moved_to.ptr, sizeof end);
        kal_bytes_increment(end, sizeof end);
        head.version++;
        head.moved_to = kal_bytes_of(end, sizeof end);
        status = kal_catalog_put_manifest(change, table->def->table_id, &head, err);
    }
    kal_manifest_release(manifest);
    return status;
}

kal_status kal_flush_forget_user(const kal_flush_args *args, const kal_table *table,
                                 uint64_t user_no, kal_error *err)
{
    kal_catalog_change *change =
        kal_catalog_begin(args->tables->options.catalog, args->actor); /* owned */
    kal_status status = forget_under_lock(args, table, user_no, change, err);

    if (status == KAL_OK)
        return kal_flush_commit(args->tables, change, NULL, NULL, err);
    kal_catalog_end(change);
    return status == KAL_END ? KAL_OK : status;
}

/* ---- all of it ---- */

/* hot_id 0: there is none. */
static kal_status find_frozen(kal_tables *tables, const kal_table *table, uint32_t *hot_id_out,
                              kal_error *err)
{
    kal_manifest *manifest = NULL; /* owned */

    KAL_TRY(kal_manifests_newest(tables->manifests, table->def->table_id, &manifest, err));
    *hot_id_out = manifest == NULL ? 0 : manifest->head.frozen_hot_id;
    kal_manifest_release(manifest);
    return KAL_OK;
}

static kal_status move_out(const kal_flush_args *args, kal_table *table, uint32_t hot_id,
                           kal_flush_result *result, kal_error *err)
{
    const flush_frozen frozen = {.args = args, .table = table, .hot_id = hot_id};
    kal_status status = KAL_OK;
    bool is_last = false;

    while (status == KAL_OK && !is_last)
        status = step(&frozen, &is_last, result, err);
    return status;
}

kal_status kal_table_flush(const kal_flush_args *args, kal_table *table,
                           kal_flush_result *result_out, kal_error *err)
{
    kal_tables *tables = args->tables;
    uint32_t hot_id = 0;

    *result_out = (kal_flush_result){0};
    if (tables->manifests == NULL || !kal_storage_is_used_by(table->def))
        return kal_error_set(err, KAL_INVALID, "table '%.*s.%.*s' has no segments",
                             KAL_FMT(table->def->namespace_id), KAL_FMT(table->def->table_name));
    /* Of an earlier flush that did not come to its end: what was written since is not in it. */
    KAL_TRY(find_frozen(tables, table, &hot_id, err));
    if (hot_id != 0)
        KAL_TRY(move_out(args, table, hot_id, result_out, err));
    kal_status status = freeze(args, table, err);
    if (status != KAL_OK)
        return status == KAL_END ? KAL_OK : status;
    KAL_TRY(find_frozen(tables, table, &hot_id, err));
    return move_out(args, table, hot_id, result_out, err);
}
