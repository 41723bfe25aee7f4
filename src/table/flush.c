/*
 * flush.c: hot rows become segments.
 *
 *   freeze    new rows go to a new hot space; the old one is frozen      (batch, lane)
 *   number    a segment's number and its doom                           (batch, synced)
 *   write     file: temporary name, fsync, rename, fsync of the folder  (backend)
 *   index     loaded into the family `index`, durable                   (segment/writer.c)
 *   publish   manifest entry, dead rows, the end of the frozen rows     (batch, lane, synced)
 *   again     from `number`, until the frozen space is empty
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
 */
#include "base/assert.h"
#include "base/rng.h"
#include "catalog/storages.h"
#include "table/flush_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SWEEP_FAILURES_MAX = 3, /* of a storage, in one sweep */
    STEP_PARTS_MAX = 256,   /* segments of users that are published together */
};

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

kal_status kal_flush_check(const kal_flush_args *args, uint64_t row, kal_error *err)
{
    if (args->check == NULL || row % KAL_FLUSH_CHECK_ROWS != 0)
        return KAL_OK;
    return args->check(args->check_context, err);
}

/* ---- freeze ---- */

/* All rows of a hot space. */
static kal_status open_space(kal_kv *kv, const kal_kv_snapshot *snapshot, uint32_t hot_id,
                             bool passing, kal_kv_iter **iter_out, kal_error *err)
{
    uint8_t bytes[8];
    kal_kv_range range = {.family = KAL_KV_ROWS, .passing = passing};

    kal_kv_number_bounds(hot_id, bytes, &range.lower, &range.upper);
    return kal_kv_iter_open(kv, snapshot, &range, iter_out, err);
}

/* KAL_END: the hot space of new rows is empty. */
static kal_status find_active_row(kal_tables *tables, uint32_t hot_id, kal_error *err)
{
    kal_kv_iter *iter = NULL; /* owned */
    kal_bytes key;
    kal_bytes value;

    KAL_TRY(open_space(tables->kv, NULL, hot_id, false, &iter, err));
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
    KAL_TRY(open_space(tables->kv, NULL, hot_id, false, &iter, err));
    kal_status status = KAL_OK;
    while (status == KAL_OK && out->row_count < limit) {
        status = kal_kv_iter_next(iter, &key, &value, err);
        out->row_count += status == KAL_OK;
    }
    kal_kv_iter_close(iter);
    return status == KAL_END ? KAL_OK : status;
}

/* ---- numbers ---- */

/* The object's key in the table's storage; both in the arena. */
static kal_status object_name(kal_catalog *catalog, const kal_table *table, uint64_t user_no,
                              uint32_t segment_id, kal_arena *arena, kal_segment_place *out,
                              kal_error *err)
{
    uint8_t random[16];
    kal_bytes folder;
    char *hex = kal_arena_alloc(arena, 2 * sizeof random + 1);

    KAL_TRY(kal_catalog_table_folder(catalog, table->def, user_no, arena, &out->storage_id, &folder,
                                     err));
    kal_random_bytes(random, sizeof random); /* a copy of the database may write there, too */
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(hex + 2 * i, 3, "%02x", random[i]);
    out->object = kal_cstr(
        kal_arena_printf(arena, "%.*s/segment-%08x-%s.parquet", KAL_FMT(folder), segment_id, hex));
    return KAL_OK;
}

static void being_written(kal_tables *t, uint32_t segment_id, bool is)
{
    pthread_mutex_lock(&t->flush_lock);
    if (is)
        kal_vec_push(&t->segments_being_written, segment_id);
    for (size_t i = 0; !is && i < t->segments_being_written.len; i++) {
        if (t->segments_being_written.items[i] == segment_id)
            t->segments_being_written.items[i] =
                t->segments_being_written.items[--t->segments_being_written.len];
    }
    pthread_mutex_unlock(&t->flush_lock);
}

static bool is_being_written(kal_tables *t, uint32_t segment_id)
{
    bool found = false;
    pthread_mutex_lock(&t->flush_lock);
    for (size_t i = 0; i < t->segments_being_written.len; i++)
        found = found || t->segments_being_written.items[i] == segment_id;
    pthread_mutex_unlock(&t->flush_lock);
    return found;
}

void kal_flush_under_way(kal_tables *t, kal_segment_numbers *out)
{
    out->len = 0;
    pthread_mutex_lock(&t->flush_lock);
    for (size_t i = 0; i < t->segments_being_written.len; i++)
        kal_vec_push(out, t->segments_being_written.items[i]);
    pthread_mutex_unlock(&t->flush_lock);
}

bool kal_flush_is_over(kal_tables *t, const kal_segment_numbers *numbers)
{
    for (size_t i = 0; i < numbers->len; i++) {
        if (is_being_written(t, numbers->items[i]))
            return false;
    }
    return true;
}

static kal_status number(const kal_flush_args *args, const kal_table *table, uint64_t user_no,
                         kal_arena *arena, kal_catalog_change *change,
                         kal_segment_write_args *write, kal_error *err)
{
    KAL_TRY(kal_catalog_new_segment_id(change, &write->segment_id, err));
    KAL_TRY(object_name(args->tables->options.catalog, table, user_no, write->segment_id, arena,
                        &write->place, err));
    kal_doomed_segment doomed = {write->segment_id, write->place.storage_id, write->place.object};
    being_written(args->tables, write->segment_id, true); /* before the doom is known */
    kal_status status = kal_catalog_put_doomed(change, &doomed, err);
    if (status == KAL_OK)
        status = kal_catalog_commit(change, err);
    if (status != KAL_OK)
        being_written(args->tables, write->segment_id, false);
    return status;
}

/* A path for the index while it is made; nobody else uses the segment's number. */
static void set_load_path(const kal_tables *tables, kal_flush_segment *segment)
{
    const char *dir = tables->options.scratch_dir == NULL ? "." : tables->options.scratch_dir;
    int len = snprintf(segment->load_path, sizeof segment->load_path, "%s/index-%08x.sst", dir,
                       segment->write.segment_id);
    if (len < 0 || len >= (int)sizeof segment->load_path)
        kal_die("the data directory's path is too long");
    segment->write.load_path = segment->load_path;
}

bool kal_table_is_by_user(const kal_table *table)
{
    return table->def->table_type == KAL_TABLE_USER && table->def->options.partition_by_user != 0;
}

kal_status kal_flush_segment_begin(const kal_flush_args *args, const kal_table *table,
                                   uint64_t user_no, kal_arena *arena, kal_flush_segment *segment,
                                   kal_error *err)
{
    kal_tables *tables = args->tables;
    kal_catalog_change *change =
        kal_catalog_begin(tables->options.catalog, args->actor); /* owned */

    segment->write = (kal_segment_write_args){
        .backend = tables->options.segments,
        .kv = tables->kv,
        .table = table,
        .rows_max = args->segment_rows_max == 0 ? KAL_SEGMENT_ROWS_DEFAULT : args->segment_rows_max,
        .bytes_max =
            args->segment_bytes_max == 0 ? KAL_SEGMENT_BYTES_DEFAULT : args->segment_bytes_max,
        .now_us = kal_clock_wall_us(tables->clock),
    };
    kal_status status = number(args, table, user_no, arena, change, &segment->write, err);
    kal_catalog_end(change);
    if (status == KAL_OK)
        set_load_path(tables, segment);
    return status;
}

void kal_flush_segment_end(const kal_flush_args *args, const kal_flush_segment *segment)
{
    being_written(args->tables, segment->write.segment_id, false);
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

static kal_status open_frozen(frozen_source *s, uint32_t hot_id, kal_error *err)
{
    s->values = calloc(s->table->def->column_count + 1, sizeof *s->values);
    if (s->values == NULL)
        kal_die("out of memory: flush");
    return open_space(s->args->tables->kv, s->view->snapshot, hot_id, true, &s->iter, err);
}

/* ---- a step: the next segment; of a table by users the next users' ---- */

typedef struct flush_part {
    kal_flush_segment segment;
    kal_segment_info info;
    KAL_VEC(uint32_t) dead; /* rows that died while the step went on; owned */
} flush_part;

typedef struct flush_step {
    const kal_flush_args *args;
    kal_table *table;
    uint32_t hot_id;
    flush_part **parts; /* owned; in key order, each the arena's */
    size_t parts_max;
    size_t begun;
    size_t written;
    bool is_last; /* behind them the frozen space has no rows */
    kal_flush_journal journal;
    size_t translated; /* bytes of journal.keys */
    kal_arena arena;   /* owned: names, and what segments say of themselves */
} flush_step;

/* A step is no longer than one segment may be. */
static bool is_long(const flush_step *s)
{
    uint64_t rows = 0;
    uint64_t bytes = 0;

    for (size_t i = 0; i < s->written; i++) {
        rows += s->parts[i]->info.row_count;
        bytes += s->parts[i]->info.size_bytes;
    }
    if (s->written == 0)
        return false;
    const kal_segment_write_args *limits = &s->parts[0]->segment.write;
    return rows >= limits->rows_max || bytes >= limits->bytes_max;
}

/* The source has a row. */
static kal_status write_part(flush_step *s, frozen_source *source, kal_error *err)
{
    flush_part *part = KAL_NEW(&s->arena, flush_part);
    const kal_segment_source rows = {source, next_frozen};

    source->user_no = user_of(source->key);
    KAL_TRY(kal_flush_check(s->args, 0, err));
    KAL_TRY(kal_flush_segment_begin(s->args, s->table, source->by_user ? source->user_no : 0,
                                    &s->arena, &part->segment, err));
    s->parts[s->begun++] = part;
    kal_status status = kal_segment_write(&part->segment.write, &rows, &s->arena, &part->info, err);
    KAL_ASSERT(status != KAL_END);
    s->written += status == KAL_OK;
    return status;
}

static kal_status write_parts(flush_step *s, const kal_view *view, kal_error *err)
{
    frozen_source source = {.args = s->args,
                            .table = s->table,
                            .view = view,
                            .by_user = kal_table_is_by_user(s->table)};

    kal_status status = open_frozen(&source, s->hot_id, err);
    if (status == KAL_OK)
        status = look_ahead(&source, err);
    while (status == KAL_OK && s->written < s->parts_max && !is_long(s)) {
        status = write_part(s, &source, err);
        if (status == KAL_OK)
            status = look_ahead(&source, err);
    }
    s->is_last = status == KAL_END;
    kal_kv_iter_close(source.iter);
    free(source.values);
    return status == KAL_END ? KAL_OK : status;
}

/* ---- publishing ---- */

/* The part whose rows the key is among, or NULL. */
static flush_part *part_of(flush_step *s, kal_bytes cold_key)
{
    size_t low = 0;
    size_t high = s->written;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (kal_bytes_compare(s->parts[middle]->info.key_max, cold_key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->written ? s->parts[low] : NULL;
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
        kal_kv_get(s->args->tables->kv, NULL, KAL_KV_INDEX,
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
    for (size_t i = 0; i < s->written; i++) {
        const flush_part *part = s->parts[i];
        for (size_t j = 0; j < part->dead.len; j++)
            kal_dead_put(batch, part->info.segment_id, part->dead.items[j]);
        if (part->dead.len > 0)
            kal_dead_count_put(batch, part->info.segment_id, part->dead.len);
    }
    return KAL_OK;
}

/* Removes the rows that are in segments now, or when these are the last of them the whole space. */
static void end_frozen_rows(const flush_step *s, kal_catalog_change *change)
{
    uint8_t lower[4];
    uint8_t upper[KAL_ROW_KEY_BYTES_MAX + 1] = {0};

    if (s->is_last) {
        kal_catalog_delete_hot_space(change, s->hot_id);
        return;
    }
    kal_bytes key_max = s->parts[s->written - 1]->info.key_max;
    kal_store_be32(lower, s->hot_id);
    kal_store_be32(upper, s->hot_id);
    memcpy(upper + 4, key_max.ptr, key_max.len);
    kal_kv_batch_delete_range(kal_catalog_change_batch(change), KAL_KV_ROWS,
                              kal_bytes_of(lower, sizeof lower),
                              kal_bytes_of(upper, 4 + key_max.len + 1));
}

/* Also when the frozen space was found empty. */
static kal_status publish_under_lock(const flush_step *s, kal_catalog_change *change,
                                     kal_error *err)
{
    kal_manifest *manifest = NULL; /* owned */
    uint32_t table_id = s->table->def->table_id;

    if (atomic_load(&s->table->fate) == KAL_TABLE_DROPPED)
        return kal_table_check_fate(s->table, err);
    KAL_TRY(kal_manifests_newest(s->args->tables->manifests, table_id, &manifest, err));
    kal_manifest_head head = manifest == NULL ? (kal_manifest_head){0} : manifest->head;
    kal_manifest_release(manifest);
    if (head.frozen_hot_id != s->hot_id) /* dropped since this object was replaced */
        return kal_table_altered(s->table, err);
    head.version++;
    if (s->is_last)
        head.frozen_hot_id = 0;
    for (size_t i = 0; i < s->written; i++)
        KAL_TRY(kal_catalog_put_segment(change, &s->parts[i]->info, err));
    if (s->written > 0)
        end_frozen_rows(s, change);
    return kal_catalog_put_manifest(change, table_id, &head, err);
}

static kal_status publish(flush_step *s, kal_error *err)
{
    KAL_TRY(translate(s, err)); /* most of them, while the lane goes on */
    kal_catalog_change *change =
        kal_catalog_begin(s->args->tables->options.catalog, s->args->actor); /* owned */
    kal_status status = publish_under_lock(s, change, err);
    if (status == KAL_OK)
        return kal_flush_commit(s->args->tables, change, s->written == 0 ? NULL : put_dead, s, err);
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

static void step_open(flush_step *s, const kal_flush_args *args, kal_table *table, uint32_t hot_id)
{
    *s = (flush_step){.args = args, .table = table, .hot_id = hot_id};
    s->parts_max = kal_table_is_by_user(table) ? STEP_PARTS_MAX : 1;
    s->parts = calloc(s->parts_max, sizeof *s->parts);
    if (s->parts == NULL)
        kal_die("out of memory: flush");
    kal_arena_init(&s->arena, NULL);
    journal_open(args->tables, &s->journal, hot_id); /* before the snapshot: invariant 4 */
}

static void step_close(flush_step *s)
{
    journal_close(s->args->tables, &s->journal);
    for (size_t i = 0; i < s->begun; i++) {
        kal_flush_segment_end(s->args, &s->parts[i]->segment);
        kal_vec_release(&s->parts[i]->dead);
    }
    free(s->parts);
    kal_arena_release(&s->arena);
}

static kal_status step(const kal_flush_args *args, kal_table *table, uint32_t hot_id,
                       bool *is_last_out, kal_flush_result *result, kal_error *err)
{
    flush_step s;
    kal_view view;

    step_open(&s, args, table, hot_id);
    kal_view_open(&view, args->tables, 0, NULL);
    kal_status status = write_parts(&s, &view, err);
    kal_view_close(&view);
    if (status == KAL_OK)
        status = publish(&s, err);
    for (size_t i = 0; i < s.written && status == KAL_OK; i++) {
        result->row_count += s.parts[i]->info.row_count - s.parts[i]->dead.len;
        result->size_bytes += s.parts[i]->info.size_bytes;
        result->segment_count++;
    }
    *is_last_out = s.is_last;
    step_close(&s);
    return status;
}

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

static kal_status flush_frozen(const kal_flush_args *args, kal_table *table, uint32_t hot_id,
                               kal_flush_result *result, kal_error *err)
{
    kal_status status = KAL_OK;
    bool is_last = false;

    while (status == KAL_OK && !is_last)
        status = step(args, table, hot_id, &is_last, result, err);
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
        KAL_TRY(flush_frozen(args, table, hot_id, result_out, err));
    kal_status status = freeze(args, table, err);
    if (status != KAL_OK)
        return status == KAL_END ? KAL_OK : status;
    KAL_TRY(find_frozen(tables, table, &hot_id, err));
    return flush_frozen(args, table, hot_id, result_out, err);
}

/* ---- sweeping ---- */

typedef struct doomed_list {
    kal_tables *tables;
    kal_arena arena;
    KAL_VEC(kal_doomed_segment) items; /* arena */
    KAL_VEC(kal_bytes)
    failed; /* arena; the storages of removals that failed, as often as they did */
} doomed_list;

static kal_status note_doomed(void *context, const kal_doomed_segment *doomed, kal_error *err)
{
    doomed_list *list = context;
    kal_doomed_segment copy = *doomed;

    (void)err;
    if (is_being_written(list->tables, doomed->segment_id)) /* no era ends for its sake */
        return KAL_OK;
    copy.storage_id = kal_arena_copy(&list->arena, doomed->storage_id);
    copy.object = kal_arena_copy(&list->arena, doomed->object);
    if (!kal_vec_try_push_in(&list->arena, &list->items, copy))
        kal_die("out of memory: sweep");
    return KAL_OK;
}

static kal_status forget_doomed(const kal_flush_args *args, uint32_t segment_id, kal_error *err)
{
    uint8_t bytes[8];
    kal_bytes lower;
    kal_bytes upper;
    kal_catalog_change *change =
        kal_catalog_begin(args->tables->options.catalog, args->actor); /* owned */

    kal_kv_number_bounds(segment_id, bytes, &lower, &upper);
    /* Of a segment that no manifest ever had, the entries are still there. */
    kal_kv_batch_delete_range(kal_catalog_change_batch(change), KAL_KV_INDEX, lower, upper);
    kal_status status = kal_catalog_delete_doomed(change, segment_id, err);
    if (status == KAL_OK)
        status = kal_catalog_commit(change, err);
    kal_catalog_end(change);
    if (status == KAL_OK)
        status = kal_kv_drop_files(args->tables->kv, KAL_KV_INDEX, lower, upper, err);
    return status;
}

/* The scan looked at the records of one moment, and at who is writing a little later: a segment
 * that was published between the two looks doomed and abandoned. Asked in this order it cannot:
 * whoever publishes stops being its writer after the record is gone, and no record comes back. */
static kal_status is_abandoned(kal_tables *tables, uint32_t segment_id, bool *out, kal_error *err)
{
    *out = false;
    if (is_being_written(tables, segment_id))
        return KAL_OK;
    return kal_catalog_is_doomed(tables->options.catalog, segment_id, out, err);
}

static kal_status remove_doomed(const kal_flush_args *args, const kal_doomed_segment *doomed,
                                uint64_t *removed, kal_error *err)
{
    kal_segment_backend *backend = args->tables->options.segments;
    const kal_segment_place place = {doomed->storage_id, doomed->object};
    bool abandoned = false;

    KAL_TRY(is_abandoned(args->tables, doomed->segment_id, &abandoned, err));
    if (!abandoned)
        return KAL_OK;
    KAL_TRY(backend->ops->remove(backend, &place, err));
    KAL_TRY(forget_doomed(args, doomed->segment_id, err));
    (*removed)++;
    return KAL_OK;
}

/* A storage that cannot be reached takes its time to say so for every object. */
static bool is_given_up(const doomed_list *list, kal_bytes storage_id)
{
    size_t failures = 0;
    for (size_t i = 0; i < list->failed.len; i++)
        failures += kal_bytes_equal(list->failed.items[i], storage_id);
    return failures >= SWEEP_FAILURES_MAX;
}

static void note_failed(doomed_list *list, kal_bytes storage_id)
{
    if (!kal_vec_try_push_in(&list->arena, &list->failed, storage_id))
        kal_die("out of memory: sweep");
}

/* Whatever is doomed now was taken out of its manifest before the era ended, so no view of a later
 * era knows of it. One that cannot be removed does not keep the others. */
static kal_status sweep(const kal_flush_args *args, doomed_list *list, uint64_t era,
                        uint64_t *removed_out, kal_error *err)
{
    kal_status status = KAL_OK;

    if (!kal_tables_era_is_over(args->tables, era))
        return kal_error_set(err, KAL_BUSY, "old statements are still reading");
    for (size_t i = 0; i < list->items.len; i++) {
        kal_error one = KAL_ERROR_INIT;
        if (is_given_up(list, list->items.items[i].storage_id))
            continue;
        kal_status ended = remove_doomed(args, &list->items.items[i], removed_out, &one);
        if (ended != KAL_OK)
            note_failed(list, list->items.items[i].storage_id);
        if (ended != KAL_OK && status == KAL_OK) {
            status = ended;
            if (err != NULL)
                *err = one;
        }
    }
    return status;
}

kal_status kal_tables_sweep(const kal_flush_args *args, uint64_t *removed_out, kal_error *err)
{
    doomed_list list = {.tables = args->tables};
    uint64_t era = 0;

    *removed_out = 0;
    kal_arena_init(&list.arena, NULL);
    kal_status status =
        kal_catalog_scan_doomed(args->tables->options.catalog, note_doomed, &list, err);
    if (status == KAL_OK && list.items.len > 0)
        status = kal_tables_next_era(args->tables, &era, err);
    if (status == KAL_OK && list.items.len > 0)
        status = sweep(args, &list, era, removed_out, err);
    kal_arena_release(&list.arena);
    return status;
}
