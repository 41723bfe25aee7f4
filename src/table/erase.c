/*
 * erase.c: taking a user's rows away for good.
 *
 *   delete    each row of the user's, wherever it lies, without a change record  (lane)
 *   wait      for the views and flushes that began before that
 *   rewrite   each segment that has rows of the user in its index, without them; the key of his
 *             up to which a frozen space was moved
 *   sweep     the segments that were replaced: file, index entries
 *   blank     the user's records of the change log                              (lane)
 *   purge     what RocksDB still holds of all that
 *
 * Invariants:
 *   1. The user was dropped, so that the lane refuses what he has under way: once one snapshot has
 *      no row of his, no later one has.
 *   2. What began before that snapshot may carry rows of his into a new segment, as dead ones at
 *      best. A compaction has a view all along; a flush may have closed its view and still be about
 *      to publish, but is known as being written since before it closed the view. So: first wait
 *      for the views, then for what is being written.
 *   3. After that a row of the user's is only in segments whose index has its key.
 *   4. Each step leaves the database as good as before for everybody else; repeating one that is
 *      done finds nothing to do.
 *   5. A storage that cannot be reached keeps what it has, and nothing else: the other segments,
 * the change log and what RocksDB holds are done all the same, and then it is said what stays.
 */
#include "table/erase.h"
#include "base/assert.h"
#include "base/thread.h"
#include "catalog/storages.h"
#include "segment/key_index.h"
#include "table/flush_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    KEYS_PER_WRITE = 512,
    RECORDS_PER_WRITE = 256,
    TRIES_MAX = 100, /* a table may be altered, a segment be compacted meanwhile */
    POLL_MS = 20,
};

static kal_tables *tables_of(const kal_erase_args *args)
{
    return args->flush.tables;
}

static kal_status check(const kal_erase_args *args, kal_error *err)
{
    return kal_flush_ask(&args->flush, err);
}

/* For what asks with a pointer that it was given. */
static kal_status check_hook(void *args, kal_error *err)
{
    return check(args, err);
}

static kal_status pause_a_little(const kal_erase_args *args, kal_error *err)
{
    KAL_TRY(check(args, err));
    kal_thread_pause(POLL_MS);
    return KAL_OK;
}

static void tell(const kal_erase_args *args, const char *what)
{
    if (args->progress != NULL)
        args->progress(args->progress_context, what);
}

/* ---- delete ---- */

/* The user's entries under one number (of a hot space or a segment) in one family. */
typedef struct key_walk {
    const kal_erase_args *args;
    kal_table *table;
    kal_kv_family family;
    kal_kv_iter *iter; /* owned */
    kal_user_range range;
} key_walk;

static kal_status open_walk(key_walk *walk, uint32_t number, kal_error *err)
{
    kal_kv_range range =
        kal_user_range_of(walk->table, walk->args->user_no, walk->family, number, &walk->range);
    range.complete = true; /* what it does not find is said to be erased */
    return kal_kv_iter_open(tables_of(walk->args)->kv, NULL, &range, &walk->iter, err);
}

/* Up to KEYS_PER_WRITE rows. KAL_END: there were none. */
static kal_status erase_some(key_walk *walk, kal_erase_result *result, kal_error *err)
{
    kal_write *write = kal_write_open(tables_of(walk->args), NULL); /* owned */
    kal_status status = check(walk->args, err);

    while (status == KAL_OK && kal_write_op_count(write) < KEYS_PER_WRITE) {
        kal_bytes key;
        kal_bytes value;
        status = kal_kv_iter_next(walk->iter, &key, &value, err);
        if (status != KAL_OK)
            break;
        const kal_write_op op = {
            .table = walk->table,
            .user_no = walk->args->user_no,
            .key = kal_bytes_of(key.ptr + KAL_ROW_KEY_PREFIX_BYTES,
                                key.len - KAL_ROW_KEY_PREFIX_BYTES),
            .erase = true,
        };
        status = kal_write_add(write, &op, NULL, err);
    }
    if (kal_write_op_count(write) > 0 && (status == KAL_OK || status == KAL_END))
        status = kal_write_commit(write, err);
    for (size_t i = 0; status == KAL_OK && i < kal_write_op_count(write); i++)
        result->row_count += kal_write_op_at(write, i)->applied == KAL_WRITE_DELETE;
    kal_write_close(write);
    return status;
}

static kal_status erase_all_of(const kal_erase_args *args, kal_table *table, kal_kv_family family,
                               uint32_t number, kal_erase_result *result, kal_error *err)
{
    key_walk walk = {.args = args, .table = table, .family = family};

    kal_status status = open_walk(&walk, number, err);
    while (status == KAL_OK)
        status = erase_some(&walk, result, err);
    kal_kv_iter_close(walk.iter);
    return status == KAL_END ? KAL_OK : status;
}

/* Rows that lie there at one moment, also those of a STREAM table that are too old. */
static kal_status count_rows(const kal_erase_args *args, kal_table *table, uint64_t *count_out,
                             kal_error *err)
{
    kal_erase_args copy = *args;
    kal_table_size size = {0};
    kal_view view;

    kal_view_open(&view, tables_of(args), args->user_no, NULL);
    kal_status status =
        kal_view_size(&view, table, false, UINT64_MAX, check_hook, &copy, &size, err);
    kal_view_close(&view);
    *count_out = size.stored_count;
    return status;
}

/* Once through all places. A flush may carry rows to one that was looked at before. */
static kal_status erase_once(const kal_erase_args *args, kal_table *table, kal_erase_result *result,
                             kal_error *err)
{
    kal_tables *tables = tables_of(args);
    kal_kv_family family = kal_row_family(table);
    kal_manifest *manifest = NULL; /* owned */

    if (kal_table_is_stream(table) || tables->manifests == NULL)
        return erase_all_of(args, table, family, table->hot_id, result, err);
    KAL_TRY(kal_manifests_newest(tables->manifests, table->def->table_id, &manifest, err));
    if (manifest == NULL)
        return erase_all_of(args, table, family, table->hot_id, result, err);
    kal_status status =
        erase_all_of(args, table, family, manifest->head.active_hot_id, result, err);
    if (status == KAL_OK && manifest->head.frozen_hot_id != 0)
        status = erase_all_of(args, table, family, manifest->head.frozen_hot_id, result, err);
    for (size_t i = 0; i < manifest->segment_count && status == KAL_OK; i++) {
        const kal_segment_info *info = &manifest->segments[i]->info;
        if (args->user_no >= info->user_min && args->user_no <= info->user_max)
            status = erase_all_of(args, table, KAL_KV_INDEX, info->segment_id, result, err);
    }
    kal_manifest_release(manifest);
    return status;
}

static kal_status delete_rows(const kal_erase_args *args, kal_table *table,
                              kal_erase_result *result, kal_error *err)
{
    uint64_t count = 0;

    do {
        KAL_TRY(erase_once(args, table, result, err));
        KAL_TRY(count_rows(args, table, &count, err));
    } while (count > 0);
    return KAL_OK;
}

/* ---- all tables ---- */

typedef kal_status (*table_step)(const kal_erase_args *args, kal_table *table,
                                 kal_erase_result *result, kal_error *err);

static bool has_rows_of_users(const kal_table *table)
{
    kal_table_type type = table->def->table_type;
    return type == KAL_TABLE_USER || type == KAL_TABLE_STREAM;
}

/* By the newest definition; a table that was dropped has no rows. KAL_NOT_FOUND may also be that of
 * a storage, whose rows nobody has erased. */
static kal_status for_table(const kal_erase_args *args, uint32_t table_id, table_step step,
                            kal_erase_result *result, kal_error *err)
{
    kal_status status = KAL_STALE;
    bool is_gone = false;

    for (int i = 0; i < TRIES_MAX && status == KAL_STALE; i++) {
        kal_table *table = NULL;
        KAL_TRY(check(args, err));
        status = kal_catalog_get_table_by_id(args->worker, table_id, &table, err);
        is_gone = status == KAL_NOT_FOUND;
        if (status != KAL_OK || !has_rows_of_users(table))
            break;
        kal_table_retain(table);
        status = step(args, table, result, err);
        is_gone = status == KAL_NOT_FOUND && atomic_load(&table->fate) == KAL_TABLE_DROPPED;
        kal_table_release(table);
    }
    return is_gone ? KAL_OK : status;
}

/* The first failure is the one that is told. */
typedef struct first_failure {
    kal_status status;
    kal_error *err; /* NULL, or about it */
} first_failure;

static void note(first_failure *first, kal_status status, const kal_error *why)
{
    if (status == KAL_OK || first->status != KAL_OK)
        return;
    first->status = status;
    if (first->err != NULL)
        *first->err = *why;
}

/* One that fails keeps none of the others. */
static kal_status for_all_tables(const kal_erase_args *args, table_step step,
                                 kal_erase_result *result, kal_error *err)
{
    kal_catalog *catalog = tables_of(args)->options.catalog;
    first_failure first = {KAL_OK, err};
    uint32_t *ids = NULL;
    size_t count = 0;
    kal_arena arena; /* owned */

    kal_arena_init(&arena, NULL);
    kal_status status = kal_catalog_table_ids(catalog, (kal_bytes){0}, &arena, &ids, &count, err);
    for (size_t i = 0; i < count && status != KAL_CANCELLED; i++) {
        kal_error why = KAL_ERROR_INIT;
        status = for_table(args, ids[i], step, result, &why);
        note(&first, status, &why);
    }
    kal_arena_release(&arena);
    return first.status != KAL_OK ? first.status : status;
}

/* ---- wait ---- */

/* For all views that are open now. */
static kal_status wait_for_views(const kal_erase_args *args, kal_error *err)
{
    uint64_t era = 0;
    kal_status status = KAL_BUSY;

    while ((status = kal_tables_next_era(tables_of(args), &era, NULL)) == KAL_BUSY)
        KAL_TRY(pause_a_little(args, err));
    while (!kal_tables_era_is_over(tables_of(args), era))
        KAL_TRY(pause_a_little(args, err));
    return status;
}

static kal_status wait_for_flushes(const kal_erase_args *args, kal_error *err)
{
    kal_segment_numbers numbers = {0}; /* owned */
    kal_status status = KAL_OK;

    kal_flush_under_way(tables_of(args), &numbers);
    while (status == KAL_OK && !kal_flush_is_over(tables_of(args), &numbers))
        status = pause_a_little(args, err);
    kal_vec_release(&numbers);
    return status;
}

/* ---- rewrite and sweep ---- */

static kal_status rewrite_segments(const kal_erase_args *args, kal_table *table,
                                   kal_erase_result *result, kal_error *err)
{
    bool found = true;

    if (tables_of(args)->manifests == NULL || !kal_storage_is_used_by(table->def))
        return KAL_OK;
    KAL_TRY(kal_flush_forget_user(&args->flush, table, args->user_no, err));
    while (found) {
        KAL_TRY(check(args, err));
        KAL_TRY(kal_table_rewrite_with_user(&args->flush, table, args->user_no, &found, err));
        result->segment_count += found;
    }
    return KAL_OK;
}

/* All of the user's that is doomed now: replaced segments may have been so before, by a compaction.
 */
static kal_status sweep(const kal_erase_args *args, uint64_t *removed_out, kal_error *err)
{
    kal_status status = KAL_BUSY;

    *removed_out = 0;
    if (tables_of(args)->manifests == NULL)
        return KAL_OK;
    while ((status = kal_sweep_for_user(&args->flush, args->user_no, removed_out, err)) == KAL_BUSY)
        KAL_TRY(pause_a_little(args, err));
    return status;
}

/* ---- blank ---- */

/* Puts a record that says nothing in the place of each of those that were collected, unless the log
 * has dropped it meanwhile: on the lane, which is the one that does. */
typedef struct blank_records {
    kal_kv *kv;
    uint16_t shard;
    size_t len;
    uint64_t seqs[RECORDS_PER_WRITE];
    kal_change_record records[RECORDS_PER_WRITE]; /* without keys and rows */
} blank_records;

static kal_status put_blanks(void *context, kal_kv_batch *batch, kal_error *err)
{
    const blank_records *blanks = context;
    kal_shard_head head;
    kal_buf scratch; /* owned */

    KAL_TRY(kal_shard_head_read(blanks->kv, NULL, blanks->shard, &head, err));
    kal_buf_init(&scratch, NULL);
    for (size_t i = 0; i < blanks->len; i++) {
        if (blanks->seqs[i] >= head.first)
            kal_change_record_put(batch, blanks->shard, blanks->seqs[i], &blanks->records[i],
                                  &scratch);
    }
    kal_buf_release(&scratch);
    return KAL_OK;
}

static kal_status commit_blanks(const kal_erase_args *args, blank_records *blanks, kal_error *err)
{
    kal_write *write = kal_write_open(tables_of(args), NULL); /* owned */

    kal_write_set_hook(write, put_blanks, blanks);
    kal_status status = kal_write_commit(write, err);
    kal_write_close(write);
    return status;
}

/* The next records of the user's. KAL_END: that was all of them. */
static kal_status collect_blanks(const kal_erase_args *args, kal_kv_iter *iter,
                                 blank_records *blanks, kal_error *err)
{
    blanks->len = 0;
    while (blanks->len < RECORDS_PER_WRITE) {
        kal_change_record record;
        kal_bytes key;
        kal_bytes value;
        KAL_TRY(kal_kv_iter_next(iter, &key, &value, err));
        uint64_t seq = kal_load_be64(key.ptr + 2);
        if (seq == UINT64_MAX) /* the shard's head */
            continue;
        KAL_TRY(kal_change_record_decode(value, &record, err));
        if (record.user_no != args->user_no)
            continue;
        record.user_no = 0;
        record.primary_key = (kal_bytes){0};
        record.before = (kal_bytes){0};
        record.after = (kal_bytes){0};
        blanks->seqs[blanks->len] = seq;
        blanks->records[blanks->len++] = record;
    }
    return KAL_OK;
}

/* Seqs of a shard have no gaps, so the records stay and say nothing. */
static kal_status blank_changes(const kal_erase_args *args, kal_erase_result *result,
                                kal_error *err)
{
    uint8_t lower[2];
    uint8_t upper[2];
    kal_kv *kv = tables_of(args)->kv;
    kal_kv_iter *iter = NULL;                          /* owned */
    blank_records *blanks = calloc(1, sizeof *blanks); /* owned */

    if (blanks == NULL)
        kal_die("out of memory: erasing");
    *blanks = (blank_records){.kv = kv, .shard = kal_shard_of_user(args->user_no)};
    kal_store_be16(lower, blanks->shard);
    kal_store_be16(upper, (uint16_t)(blanks->shard + 1));
    const kal_kv_range range = {.family = KAL_KV_CHANGES,
                                .lower = kal_bytes_of(lower, sizeof lower),
                                .upper = kal_bytes_of(upper, sizeof upper),
                                .complete = true};
    kal_status status = kal_kv_iter_open(kv, NULL, &range, &iter, err);
    while (status == KAL_OK) {
        status = check(args, err);
        if (status == KAL_OK)
            status = collect_blanks(args, iter, blanks, err);
        result->change_count += blanks->len;
        if (blanks->len > 0 && (status == KAL_OK || status == KAL_END)) {
            kal_status committed = commit_blanks(args, blanks, err);
            status = committed == KAL_OK ? status : committed;
        }
    }
    kal_kv_iter_close(iter);
    free(blanks);
    return status == KAL_END ? KAL_OK : status;
}

/* ---- all of it ---- */

static kal_status clear_segments(const kal_erase_args *args, kal_erase_result *result,
                                 uint64_t *removed_out, kal_error *err)
{
    first_failure first = {KAL_OK, err};
    kal_error why = KAL_ERROR_INIT;

    *removed_out = 0;
    tell(args, "writing segments anew");
    kal_status status = for_all_tables(args, rewrite_segments, result, &why);
    note(&first, status, &why);
    if (status == KAL_CANCELLED)
        return status;
    tell(args, "removing old segments, waiting for statements that read them");
    why = (kal_error)KAL_ERROR_INIT;
    note(&first, sweep(args, removed_out, &why), &why);
    return first.status;
}

static kal_status purge(const kal_erase_args *args, kal_error *err)
{
    const unsigned families = 1u << KAL_KV_ROWS | 1u << KAL_KV_INDEX | 1u << KAL_KV_DELETED |
                              1u << KAL_KV_CHANGES | 1u << KAL_KV_STREAM;
    kal_erase_args copy = *args;

    tell(args, "rewriting the hot store");
    return kal_kv_purge(tables_of(args)->kv, families, check_hook, &copy, err);
}

static bool did_nothing(const kal_erase_result *result, uint64_t removed)
{
    return result->row_count + result->segment_count + result->change_count + removed == 0;
}

kal_status kal_erase_rows(const kal_erase_args *args, kal_erase_result *result_out, kal_error *err)
{
    first_failure first = {KAL_OK, err};
    kal_error why = KAL_ERROR_INIT;
    uint64_t removed = 0;

    *result_out = (kal_erase_result){0};
    KAL_ASSERT(args->user_no != 0);
    tell(args, "deleting rows");
    KAL_TRY(for_all_tables(args, delete_rows, result_out, err));
    tell(args, "waiting for statements that began before");
    KAL_TRY(wait_for_views(args, err));
    KAL_TRY(wait_for_flushes(args, err));
    note(&first, clear_segments(args, result_out, &removed, &why), &why);
    if (first.status == KAL_CANCELLED)
        return first.status;
    tell(args, "clearing the change log");
    why = (kal_error)KAL_ERROR_INIT;
    note(&first, blank_changes(args, result_out, &why), &why);
    /* A job that waits for a storage comes once a minute: it does not rewrite the whole hot store
     * each time. If it was stopped before it came to that, the one that succeeds makes up for it.
     */
    if (first.status != KAL_OK && did_nothing(result_out, removed))
        return first.status;
    why = (kal_error)KAL_ERROR_INIT;
    note(&first, purge(args, &why), &why);
    return first.status;
}
