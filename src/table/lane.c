/*
 * lane.c: the write lane: the only place that changes rows.
 *
 * One step = one group: take waiting writes, resolve and check each against the store and what the
 * group has already done, collect all changes in one batch, write and sync it once, answer.
 *
 *     queue --take--> resolve -> [pending map + batch] --write, fsync--> publish --> done
 *
 * Invariants:
 *   1. A write is in the batch with all its changes or with none: save point and undo list.
 *   2. Nobody is answered before the batch that holds his changes is as durable as configured.
 *   3. seqs of a shard have no gaps: they are handed out here only, and taken back on failure.
 *   4. rows, change records and the shard's head travel in one batch.
 *   5. A failed write to the store leaves an unknown state: the group's seqs are forgotten (re-read
 *      from the store) and the store itself refuses what follows.
 *   6. A write with a catalog change is a group of its own; the change is published before anybody
 *      is answered and before the next write is looked at, so a dropped table takes no row.
 *   7. A group has one moment: it is the time of insertion of its rows in STREAM tables, and
 * decides which rows there are too old to be met. A row, its place in the order of insertion and
 * the table's total change in one batch. Eviction removes exactly the row it saw (by its seq); it
 *      is no change: it takes no seq and leaves no record.
 *   8. A key is looked for in the active hot space, the frozen one, then the segments. What a write
 *      replaces or deletes in the frozen space is removed there, and noted for the flush that is
 *      moving the space out (after the batch is written: flush.c reads the notes on this thread). A
 *      row of a segment becomes dead; its segment's number of dead rows travels in the same batch.
 *   9. The lane opens no segment. Which seq a cold row has, the index says.
 *  10. A user who was dropped changes nothing any more, whatever he had under way: only eviction
 * and erasing (erase.c) touch his rows. Erasing is no change either.
 *  11. Rows of a user in a table that limits them are counted when a write first touches them, and
 * from then on in memory; a change of the catalog or a failed write makes the lane count again.
 */
#include "base/assert.h"
#include "base/map.h"
#include "table/table_internal.h"

#include <stdlib.h>

enum {
    GROUP_WRITES_MAX = 1024,
    GROUP_BYTES_MAX = 8 * 1024 * 1024,
    COUNTS_MAX = 256 * 1024, /* partitions whose rows are known; about 25 MB */
};

typedef enum row_space { SPACE_ACTIVE, SPACE_FROZEN, SPACE_COLD } row_space;

/* A row as the group sees it before it is committed. */
typedef struct pending_row {
    bool present;
    row_space space;
    kal_bytes row;       /* encoded, in the group's arena; empty when it is cold and not known */
    int64_t inserted_us; /* STREAM */
    kal_cold_place cold; /* SPACE_COLD */
} pending_row;

typedef struct pending_undo {
    kal_bytes key;
    pending_row *before; /* NULL = the group had not touched it */
} pending_undo;

/* One change that will get a record, collected per write so that the last one can be marked. */
typedef struct change {
    kal_write_op *op;
    uint16_t shard;
    uint64_t seq;
    kal_bytes primary_key;
    kal_bytes before;
    kal_bytes after;
} change;

/* The total of a STREAM table that the group changes. */
typedef struct stream_state {
    kal_stream_total now;
    kal_stream_total before_write; /* of the current write */
    kal_stream_total stored;
} stream_state;

/* The dead rows of a segment that the group adds to. */
typedef struct dead_state {
    uint32_t segment_id;
    uint64_t now;
    uint64_t before_write; /* of the current write */
    uint64_t stored;
} dead_state;

/* The rows of a user in a table with a limit. */
typedef struct partition_state {
    uint32_t table_id;
    uint64_t user_no;
    uint64_t now;
    uint64_t before_write;    /* of the current write */
    const kal_table *changed; /* by the current write, which holds it; NULL: not by it, or only by
                                 rows that the limit is not for */
} partition_state;

/* A row of a frozen space that the group removes there. */
typedef struct frozen_removal {
    uint32_t hot_id;
    kal_bytes cold_key; /* arena */
} frozen_removal;

typedef struct group_manifest {
    uint32_t table_id;
    kal_manifest *manifest; /* one reference, or NULL: the table has none */
} group_manifest;

typedef struct group {
    kal_tables *tables;
    kal_kv_batch *batch; /* owned, or borrowed from a catalog change */
    kal_arena arena;
    int64_t now_us;
    kal_map pending; /* row key -> pending_row */
    kal_buf row;
    kal_buf record;
    uint64_t applied_before[KAL_SHARD_COUNT]; /* valid where shard_touched */
    bool shard_touched[KAL_SHARD_COUNT];
    KAL_VEC(uint16_t) shards;            /* touched ones; arena */
    KAL_VEC(pending_undo) undo;          /* of the current write; arena */
    KAL_VEC(change) changes;             /* of the current write; arena */
    KAL_VEC(kal_change) committed;       /* of all writes, when somebody watches; arena */
    KAL_VEC(stream_state) streams;       /* arena */
    KAL_VEC(group_manifest) manifests;   /* arena */
    KAL_VEC(dead_state) dead;            /* arena */
    KAL_VEC(frozen_removal) removals;    /* arena */
    KAL_VEC(partition_state) partitions; /* arena */
    size_t removals_before_write;
} group;

static void group_init(group *g, kal_tables *tables, kal_kv_batch *batch)
{
    *g = (group){.tables = tables, .batch = batch, .now_us = kal_clock_wall_us(tables->clock)};
    kal_arena_init(&g->arena, NULL);
    kal_map_init(&g->pending);
    kal_buf_init(&g->row, NULL);
    kal_buf_init(&g->record, NULL);
}

static void group_release(group *g)
{
    for (size_t i = 0; i < g->manifests.len; i++)
        kal_manifest_release(g->manifests.items[i].manifest);
    kal_map_release(&g->pending);
    kal_buf_release(&g->row);
    kal_buf_release(&g->record);
    kal_arena_release(&g->arena);
}

/* Pushing into an arena without a budget only fails when the machine is out of memory. */
#define PUSH(g, vec, item)                                                                         \
    do {                                                                                           \
        if (!kal_vec_try_push_in(&(g)->arena, vec, item))                                          \
            kal_die("out of memory: write group");                                                 \
    } while (0)

static kal_status touch_shard(group *g, uint16_t shard, kal_error *err)
{
    kal_tables *t = g->tables;
    if (!t->head_known[shard]) {
        KAL_TRY(kal_shard_head_read(t->kv, NULL, shard, &t->heads[shard], err));
        t->head_known[shard] = true;
    }
    if (!g->shard_touched[shard]) {
        g->shard_touched[shard] = true;
        g->applied_before[shard] = t->heads[shard].applied;
        PUSH(g, &g->shards, shard);
    }
    return KAL_OK;
}

static kal_status find_stream(group *g, const kal_table *table, size_t *index_out, kal_error *err)
{
    stream_state state;

    for (size_t i = 0; i < g->streams.len; i++) {
        *index_out = i;
        if (g->streams.items[i].now.hot_id == table->hot_id)
            return KAL_OK;
    }
    KAL_TRY(kal_stream_total_read(g->tables->kv, NULL, table, &state.now, err));
    state.before_write = state.now;
    state.stored = state.now;
    *index_out = g->streams.len;
    PUSH(g, &g->streams, state);
    return KAL_OK;
}

/* *out NULL: the table has none. */
static kal_status manifest_of(group *g, const kal_table *table, const kal_manifest **out,
                              kal_error *err)
{
    group_manifest found = {.table_id = table->def->table_id};

    *out = NULL;
    if (g->tables->manifests == NULL || kal_table_is_stream(table))
        return KAL_OK;
    for (size_t i = 0; i < g->manifests.len; i++) {
        if (g->manifests.items[i].table_id == found.table_id) {
            *out = g->manifests.items[i].manifest;
            return KAL_OK;
        }
    }
    KAL_TRY(kal_manifests_newest(g->tables->manifests, found.table_id, &found.manifest, err));
    PUSH(g, &g->manifests, found);
    *out = found.manifest;
    return KAL_OK;
}

static kal_status find_dead(group *g, uint32_t segment_id, dead_state **out, kal_error *err)
{
    dead_state state = {.segment_id = segment_id};

    for (size_t i = 0; i < g->dead.len; i++) {
        *out = &g->dead.items[i];
        if ((*out)->segment_id == segment_id)
            return KAL_OK;
    }
    KAL_TRY(kal_dead_count(g->tables->kv, NULL, segment_id, &state.stored, err));
    state.now = state.stored;
    state.before_write = state.stored;
    PUSH(g, &g->dead, state);
    *out = &g->dead.items[g->dead.len - 1];
    return KAL_OK;
}

/* `key` in another hot space. KAL_NOT_FOUND. */
static kal_status get_from_space(group *g, kal_kv_family family, kal_bytes key, uint32_t hot_id,
                                 kal_bytes *out, kal_error *err)
{
    uint8_t bytes[KAL_ROW_KEY_BYTES_MAX];
    memcpy(bytes, key.ptr, key.len);
    kal_row_key_set_space(bytes, hot_id);
    return kal_kv_get(g->tables->kv, NULL, family, kal_bytes_of(bytes, key.len), &g->arena, out,
                      err);
}

static kal_status find_cold(group *g, const kal_manifest *manifest, kal_bytes key, pending_row *out,
                            kal_error *err)
{
    KAL_TRY(kal_index_find(g->tables->kv, NULL, manifest, kal_row_key_cold(key), &out->cold, err));
    out->present = out->cold.segment != NULL;
    out->space = SPACE_COLD;
    return KAL_OK;
}

/* The row as it stands after what the group has done so far; key in the table's own space. */
static kal_status stored_row(group *g, const kal_table *table, const kal_manifest *manifest,
                             kal_bytes key, pending_row *out, kal_error *err)
{
    const pending_row *own = kal_map_find(&g->pending, key);
    kal_kv_family family = kal_row_family(table);
    uint32_t active = manifest == NULL ? table->hot_id : manifest->head.active_hot_id;
    uint32_t frozen = manifest == NULL ? 0 : manifest->head.frozen_hot_id;

    *out = (pending_row){0};
    if (own != NULL) {
        *out = *own;
        return KAL_OK;
    }
    kal_status status = get_from_space(g, family, key, active, &out->row, err);
    if (status == KAL_NOT_FOUND && frozen != 0) {
        status = get_from_space(g, family, key, frozen, &out->row, err);
        out->space = SPACE_FROZEN;
    }
    if (status == KAL_NOT_FOUND && manifest != NULL && manifest->segment_count > 0)
        return find_cold(g, manifest, key, out, err);
    if (status != KAL_OK)
        return status == KAL_NOT_FOUND ? KAL_OK : status;
    out->present = true;
    return kal_table_is_stream(table) ? kal_stream_take_time(&out->row, &out->inserted_us, err)
                                      : KAL_OK;
}

/* A cold row's contents are those that the operation brought along, if they are of this very row.
 */
static kal_status know_contents(const kal_write_op *op, pending_row *stored, kal_error *err)
{
    if (!stored->present || stored->space != SPACE_COLD || stored->row.len > 0)
        return KAL_OK;
    if (op->cold_row.len > 0 && op->cold_seq == stored->cold.seq) {
        stored->row = op->cold_row;
        return KAL_OK;
    }
    if (op->existence_only || (op->resolve == NULL && op->seq_seen != stored->cold.seq))
        return KAL_OK; /* contents do not matter, or it is a conflict anyway */
    return kal_error_set(err, KAL_COLD, "a row of table '%.*s' has moved to a segment meanwhile",
                         KAL_FMT(op->table->def->table_name));
}

static void set_pending(group *g, kal_bytes key, pending_row row)
{
    pending_row *now = KAL_NEW(&g->arena, pending_row);
    *now = row;
    pending_undo undo = {kal_arena_copy(&g->arena, key), NULL};
    undo.before = kal_map_put(&g->pending, key, now);
    PUSH(g, &g->undo, undo);
}

static void undo_pending(group *g)
{
    while (g->undo.len > 0) {
        pending_undo undo = g->undo.items[--g->undo.len];
        if (undo.before == NULL)
            kal_map_remove(&g->pending, undo.key);
        else
            kal_map_put(&g->pending, undo.key, undo.before);
    }
}

static kal_status conflict(const kal_write_op *op, kal_error *err)
{
    return kal_error_set(err, KAL_CONFLICT,
                         "a row of table '%.*s' was changed by somebody else meanwhile",
                         KAL_FMT(op->table->def->table_name));
}

/* What the operation does to the row that stands there, and the encoded new row in g->row. A row
 * that is too old is nothing to be met; but who saw it when it was not yet may delete it. */
static kal_status resolve(group *g, kal_write *write, kal_write_op *op, const pending_row *stored,
                          bool expired, kal_write_action *action_out, kal_error *err)
{
    bool is_there = stored->present && !expired;
    kal_row row = {.seq = stored->cold.seq};
    kal_write_effect effect = {0};

    kal_buf_clear(&g->row);
    if (stored->present && stored->row.len > 0)
        KAL_TRY(kal_table_row_open(op->table, NULL, stored->row, false, &row, err));
    if (op->resolve == NULL) {
        uint64_t seq = stored->present ? row.seq : 0;
        if (seq != op->seq_seen && !(expired && op->seq_seen == 0))
            return conflict(op, err);
        *action_out = op->action;
        kal_buf_append_bytes(&g->row, op->row);
        return KAL_OK;
    }
    KAL_TRY(op->resolve(op->context, is_there ? &row : NULL, &write->arena, &effect, err));
    *action_out = effect.action;
    KAL_ASSERT(!is_there || stored->row.len > 0 || effect.action == KAL_WRITE_NONE);
    if (effect.action != KAL_WRITE_PUT)
        return KAL_OK;
    return kal_row_encode(&op->table->layout, op->table->def->schema_version, 0, effect.values,
                          &g->row, err);
}

static kal_status keep_result(kal_write *write, kal_write_op *op, kal_bytes row, kal_error *err)
{
    if (!op->keep_row)
        return KAL_OK;
    if (!kal_arena_try_copy(&write->arena, row, &op->row_out))
        return kal_error_set(err, KAL_LIMIT, "the returned rows exceed the statement's memory");
    return KAL_OK;
}

kal_status kal_table_altered(const kal_table *table, kal_error *err)
{
    return kal_error_set(err, KAL_STALE, "table '%.*s.%.*s' was altered meanwhile",
                         KAL_FMT(table->def->namespace_id), KAL_FMT(table->def->table_name));
}

kal_status kal_table_check_fate(const kal_table *table, kal_error *err)
{
    const kal_table_definition *def = table->def;
    switch (atomic_load(&table->fate)) {
    case KAL_TABLE_CURRENT:
        return KAL_OK;
    case KAL_TABLE_REPLACED:
        return kal_table_altered(table, err);
    case KAL_TABLE_DROPPED:
        break;
    }
    kal_error_set(err, KAL_NOT_FOUND, "table '%.*s.%.*s' was dropped meanwhile",
                  KAL_FMT(def->namespace_id), KAL_FMT(def->table_name));
    kal_error_code(err, "TABLE_NOT_FOUND");
    return KAL_NOT_FOUND;
}

/* Removes the row if it is the one that was seen: whoever inserted another one under its key since
 * then keeps it. */
static kal_status evict_row(group *g, kal_write_op *op, kal_bytes key, size_t stream,
                            kal_error *err)
{
    pending_row stored;
    uint32_t version = 0;
    uint64_t seq = 0;

    op->applied = KAL_WRITE_NONE;
    KAL_TRY(stored_row(g, op->table, NULL, key, &stored, err));
    if (stored.present)
        KAL_TRY(kal_row_peek(stored.row, &version, &seq, err));
    if (!stored.present || seq != op->seq_seen)
        return KAL_OK;
    kal_stream_row row = {key, stored.row, stored.inserted_us};
    kal_stream_remove(g->batch, &g->streams.items[stream].now, &row);
    set_pending(g, key, (pending_row){0});
    op->applied = KAL_WRITE_DELETE;
    return KAL_OK;
}

/* What stands in another place than the active space goes from there. */
static kal_status remove_elsewhere(group *g, const kal_manifest *manifest, kal_bytes key,
                                   const pending_row *stored, kal_error *err)
{
    uint8_t bytes[KAL_ROW_KEY_BYTES_MAX];
    dead_state *dead = NULL;

    if (!stored->present || stored->space == SPACE_ACTIVE)
        return KAL_OK;
    if (stored->space == SPACE_FROZEN) {
        frozen_removal removal = {manifest->head.frozen_hot_id,
                                  kal_arena_copy(&g->arena, kal_row_key_cold(key))};
        memcpy(bytes, key.ptr, key.len);
        kal_row_key_set_space(bytes, removal.hot_id);
        kal_kv_batch_delete(g->batch, KAL_KV_ROWS, kal_bytes_of(bytes, key.len));
        PUSH(g, &g->removals, removal);
        return KAL_OK;
    }
    uint32_t segment_id = stored->cold.segment->info.segment_id;
    KAL_TRY(find_dead(g, segment_id, &dead, err));
    kal_dead_put(g->batch, segment_id, stored->cold.row);
    dead->now++;
    return KAL_OK;
}

static void write_active(group *g, const kal_manifest *manifest, kal_bytes key,
                         const pending_row *stored, const pending_row *next)
{
    uint8_t bytes[KAL_ROW_KEY_BYTES_MAX];
    memcpy(bytes, key.ptr, key.len);
    if (manifest != NULL)
        kal_row_key_set_space(bytes, manifest->head.active_hot_id);
    if (next->present)
        kal_kv_batch_put(g->batch, KAL_KV_ROWS, kal_bytes_of(bytes, key.len), next->row);
    else if (stored->space == SPACE_ACTIVE)
        kal_kv_batch_delete(g->batch, KAL_KV_ROWS, kal_bytes_of(bytes, key.len));
}

/* Into the batch: what stands there gives way to the new row, if there is one. */
static kal_status write_row(group *g, const kal_table *table, const kal_manifest *manifest,
                            size_t stream, kal_bytes key, const pending_row *stored,
                            const pending_row *next, kal_error *err)
{
    if (!kal_table_is_stream(table)) {
        KAL_TRY(remove_elsewhere(g, manifest, key, stored, err));
        write_active(g, manifest, key, stored, next);
    } else {
        kal_stream_total *total = &g->streams.items[stream].now;
        kal_stream_row old_row = {key, stored->row, stored->inserted_us};
        kal_stream_row new_row = {key, next->row, next->inserted_us};
        if (stored->present)
            kal_stream_remove(g->batch, total, &old_row);
        if (next->present)
            kal_stream_put(g->batch, total, &new_row, &g->record);
    }
    set_pending(g, key, *next);
    return KAL_OK;
}

/* ---- max_rows_per_user ---- */

#define PARTITION_KEY_BYTES 12

static kal_bytes partition_key(uint32_t table_id, uint64_t user_no,
                               uint8_t out[PARTITION_KEY_BYTES])
{
    kal_store_be32(out, table_id);
    kal_store_be64(out + 4, user_no);
    return kal_bytes_of(out, PARTITION_KEY_BYTES);
}

void kal_lane_forget_counts(kal_tables *t)
{
    size_t at = 0;
    void *count;
    while ((count = kal_map_next(&t->partition_counts, &at, NULL)) != NULL)
        free(count);
    kal_map_release(&t->partition_counts);
    kal_map_init(&t->partition_counts);
}

static kal_status go_on_counting(void *context, kal_error *err)
{
    (void)context, (void)err;
    return KAL_OK;
}

/* As it is committed: the group has not changed the partition yet. */
static kal_status count_partition(group *g, kal_table *table, uint64_t user_no, uint64_t *count_out,
                                  kal_error *err)
{
    uint8_t key[PARTITION_KEY_BYTES];
    const uint64_t *known = kal_map_find(&g->tables->partition_counts,
                                         partition_key(table->def->table_id, user_no, key));
    kal_table_size size = {0};
    kal_view view;

    if (known != NULL) {
        *count_out = *known;
        return KAL_OK;
    }
    kal_view_open(&view, g->tables, user_no, NULL);
    kal_status status =
        kal_view_size(&view, table, false, UINT64_MAX, go_on_counting, NULL, &size, err);
    kal_view_close(&view);
    *count_out = size.row_count;
    return status;
}

static kal_status find_partition(group *g, kal_table *table, uint64_t user_no,
                                 partition_state **out, kal_error *err)
{
    partition_state state = {.table_id = table->def->table_id, .user_no = user_no};

    for (size_t i = 0; i < g->partitions.len; i++) {
        *out = &g->partitions.items[i];
        if ((*out)->table_id == state.table_id && (*out)->user_no == user_no)
            return KAL_OK;
    }
    KAL_TRY(count_partition(g, table, user_no, &state.now, err));
    state.before_write = state.now;
    PUSH(g, &g->partitions, state);
    *out = &g->partitions.items[g->partitions.len - 1];
    return KAL_OK;
}

/* A row comes (+1), goes (-1) or stays. */
static kal_status count_row(group *g, const kal_write_op *op, bool was_there, bool is_there,
                            kal_error *err)
{
    const kal_table_definition *def = op->table->def;
    uint64_t limit = def->options.max_rows_per_user;
    partition_state *partition = NULL;

    if (def->table_type != KAL_TABLE_USER || limit == 0 || was_there == is_there)
        return KAL_OK;
    KAL_TRY(find_partition(g, op->table, op->user_no, &partition, err));
    if (!op->restored)
        partition->changed = op->table;
    if (was_there)
        partition->now -= partition->now > 0;
    else
        partition->now++;
    return KAL_OK;
}

/* What counts is how the write leaves the partition. */
static kal_status check_limits(const group *g, kal_error *err)
{
    for (size_t i = 0; i < g->partitions.len; i++) {
        const partition_state *p = &g->partitions.items[i];
        if (p->changed == NULL || p->now <= p->before_write)
            continue;
        const kal_table_definition *def = p->changed->def;
        if (p->now <= def->options.max_rows_per_user)
            continue;
        kal_error_set(err, KAL_LIMIT, "table '%.*s.%.*s' takes %llu rows per user at most",
                      KAL_FMT(def->namespace_id), KAL_FMT(def->table_name),
                      (unsigned long long)def->options.max_rows_per_user);
        kal_error_code(err, "ROW_LIMIT_EXCEEDED");
        return KAL_LIMIT;
    }
    return KAL_OK;
}

static void keep_counts(group *g)
{
    if (g->tables->partition_counts.len > COUNTS_MAX)
        kal_lane_forget_counts(g->tables);
    for (size_t i = 0; i < g->partitions.len; i++) {
        const partition_state *p = &g->partitions.items[i];
        uint8_t key[PARTITION_KEY_BYTES];
        uint64_t *count = malloc(sizeof *count); /* owned by the map */
        if (count == NULL)
            kal_die("out of memory: write group");
        *count = p->now;
        free(kal_map_put(&g->tables->partition_counts, partition_key(p->table_id, p->user_no, key),
                         count));
    }
}

/* Whatever stands there goes: the contents of a cold row do not matter. */
static kal_status erase_row(group *g, kal_write_op *op, kal_bytes key, size_t stream,
                            kal_error *err)
{
    const kal_manifest *manifest = NULL;
    pending_row stored;
    const pending_row none = {0};

    op->applied = KAL_WRITE_NONE;
    KAL_TRY(manifest_of(g, op->table, &manifest, err));
    KAL_TRY(stored_row(g, op->table, manifest, key, &stored, err));
    if (!stored.present)
        return KAL_OK;
    KAL_TRY(count_row(g, op, true, false, err));
    op->applied = KAL_WRITE_DELETE;
    return write_row(g, op->table, manifest, stream, key, &stored, &none, err);
}

static kal_status check_user(const kal_write_op *op, kal_error *err)
{
    if (op->user_no == 0 || !kal_catalog_user_is_dropped(op->table->catalog, op->user_no))
        return KAL_OK;
    return kal_error_set(err, KAL_DENIED, "the user was dropped meanwhile");
}

/* The key of a row that comes without one: its seq. */
static kal_bytes arrival_key(group *g, uint64_t seq)
{
    uint8_t bytes[8];
    kal_store_be64(bytes, seq);
    return kal_arena_copy(&g->arena, kal_bytes_of(bytes, sizeof bytes));
}

static kal_status apply_op(group *g, kal_write *write, kal_write_op *op, kal_error *err)
{
    uint8_t key_bytes[KAL_ROW_KEY_BYTES_MAX];
    kal_bytes primary_key = op->key;
    kal_bytes key = kal_row_key(op->table, op->user_no, primary_key, key_bytes);
    uint16_t shard = kal_row_shard(op->table, op->user_no);
    bool is_stream = kal_table_is_stream(op->table);
    bool is_open = is_stream && kal_stream_key_is_open(op->table, op->key);
    size_t stream = 0;
    const kal_manifest *manifest = NULL;
    pending_row stored = {0};
    pending_row next = {.inserted_us = op->inserted_us != 0 ? op->inserted_us : g->now_us};
    kal_write_action action = KAL_WRITE_NONE;

    KAL_TRY(kal_table_check_fate(op->table, err));
    if (is_stream)
        KAL_TRY(find_stream(g, op->table, &stream, err));
    if (op->evict)
        return evict_row(g, op, key, stream, err);
    if (op->erase)
        return erase_row(g, op, key, stream, err);
    KAL_TRY(check_user(op, err));
    KAL_TRY(touch_shard(g, shard, err));
    KAL_TRY(manifest_of(g, op->table, &manifest, err));
    if (!is_open)
        KAL_TRY(stored_row(g, op->table, manifest, key, &stored, err));
    bool expired = is_stream && stored.present &&
                   kal_stream_is_expired(op->table, stored.inserted_us, g->now_us);
    bool is_there = stored.present && !expired;
    KAL_TRY(know_contents(op, &stored, err));
    kal_bytes current = expired ? (kal_bytes){0} : stored.row;
    KAL_TRY(resolve(g, write, op, &stored, expired, &action, err));
    if (action == KAL_WRITE_DELETE && !is_there)
        action = KAL_WRITE_NONE;
    op->applied = action;
    op->was_update = action == KAL_WRITE_PUT && is_there;
    if (action == KAL_WRITE_NONE)
        return KAL_OK;
    KAL_TRY(count_row(g, op, is_there, action == KAL_WRITE_PUT, err));
    uint64_t seq = g->tables->heads[shard].applied + 1;
    if (is_open) {
        primary_key = arrival_key(g, seq);
        key = kal_row_key(op->table, op->user_no, primary_key, key_bytes);
    }
    if (action == KAL_WRITE_PUT) {
        kal_row_set_seq(g->row.ptr, seq);
        next.row = kal_arena_copy(&g->arena, kal_buf_bytes(&g->row));
        next.present = true;
    }
    KAL_TRY(write_row(g, op->table, manifest, stream, key, &stored, &next, err));
    /* Taken together with the change, which is what undo_seqs() goes by. */
    g->tables->heads[shard].applied = seq;
    change made = {op, shard, seq, primary_key, current, next.row};
    PUSH(g, &g->changes, made);
    return keep_result(write, op, action == KAL_WRITE_PUT ? next.row : current, err);
}

static void note_for_observer(group *g, const change *c, const kal_change_record *record)
{
    kal_change made = {
        .table = c->op->table,
        .table_id = record->table_id,
        .shard = c->shard,
        .ends_commit = record->ends_commit,
        .action = record->action,
        .seq = c->seq,
        .user_no = record->user_no,
        .key = record->primary_key,
        .before = record->before,
        .after = record->after,
    };
    if (g->tables->observer != NULL)
        PUSH(g, &g->committed, made);
}

/* One record per change; the last one of each shard ends the commit there. */
static void append_records(group *g)
{
    uint64_t last[KAL_SHARD_COUNT] = {0};
    uint64_t first[KAL_SHARD_COUNT] = {0};
    for (size_t i = 0; i < g->changes.len; i++) {
        const change *c = &g->changes.items[i];
        if (first[c->shard] == 0)
            first[c->shard] = c->seq;
        last[c->shard] = c->seq;
    }
    for (size_t i = 0; i < g->changes.len; i++) {
        const change *c = &g->changes.items[i];
        kal_change_record record = {
            .action = c->op->applied,
            .ends_commit = c->seq == last[c->shard],
            .commit_first = first[c->shard],
            .table_id = c->op->table->def->table_id,
            .user_no = c->op->user_no,
            .primary_key = c->primary_key,
            .before = c->before,
            .after = c->after,
        };
        kal_change_record_put(g->batch, c->shard, c->seq, &record, &g->record);
        note_for_observer(g, c, &record);
        if (record.action == KAL_WRITE_DELETE)
            g->tables->heads[c->shard].last_delete = c->seq;
    }
}

/* Takes back the seqs of the current write, newest first. */
static void undo_seqs(group *g)
{
    for (size_t i = g->changes.len; i-- > 0;)
        g->tables->heads[g->changes.items[i].shard].applied = g->changes.items[i].seq - 1;
}

/* KAL_END: no row in this hot space. */
static kal_status find_any(group *g, const kal_table *table, const kal_manifest *manifest,
                           uint32_t hot_id, kal_error *err)
{
    uint8_t lower[KAL_ROW_SHARD_PREFIX_BYTES];
    uint8_t upper[KAL_ROW_SHARD_PREFIX_BYTES];
    kal_kv_iter *iter = NULL; /* owned */
    kal_rest_bound rest;
    kal_bytes key;
    kal_bytes value;

    kal_row_bounds(table, lower, upper);
    kal_row_key_set_space(lower, hot_id);
    kal_row_key_set_space(upper, hot_id);
    kal_kv_range range = {.family = kal_row_family(table),
                          .lower = kal_bytes_of(lower, sizeof lower),
                          .upper = kal_bytes_of(upper, sizeof upper)};
    kal_hot_range(manifest, hot_id, &range, &rest);
    KAL_TRY(kal_kv_iter_open(g->tables->kv, NULL, &range, &iter, err));
    kal_status status = kal_kv_iter_next(iter, &key, &value, err);
    kal_kv_iter_close(iter);
    return status;
}

/* KAL_END: no live row in any segment. */
static kal_status find_any_cold(group *g, const kal_manifest *manifest, kal_error *err)
{
    for (size_t i = 0; i < manifest->segment_count; i++) {
        const kal_segment_info *info = &manifest->segments[i]->info;
        uint64_t dead = 0;
        KAL_TRY(kal_dead_count(g->tables->kv, NULL, info->segment_id, &dead, err));
        if (dead < info->row_count)
            return KAL_OK;
    }
    return KAL_END;
}

static kal_status check_empty(group *g, const kal_table *table, kal_error *err)
{
    const kal_manifest *manifest = NULL;

    if (table == NULL)
        return KAL_OK;
    KAL_TRY(manifest_of(g, table, &manifest, err));
    uint32_t active = manifest == NULL ? table->hot_id : manifest->head.active_hot_id;
    kal_status status = find_any(g, table, manifest, active, err);
    if (status == KAL_END && manifest != NULL && manifest->head.frozen_hot_id != 0)
        status = find_any(g, table, manifest, manifest->head.frozen_hot_id, err);
    if (status == KAL_END && manifest != NULL)
        status = find_any_cold(g, manifest, err);
    if (status != KAL_OK)
        return status == KAL_END ? KAL_OK : status;
    return kal_error_set(err, KAL_INVALID, "table '%.*s.%.*s' holds rows",
                         KAL_FMT(table->def->namespace_id), KAL_FMT(table->def->table_name));
}

static void apply_write(group *g, kal_write *write)
{
    write->status = check_empty(g, write->must_be_empty, &write->error);
    g->undo.len = 0;
    g->changes.len = 0;
    for (size_t i = 0; i < g->streams.len; i++)
        g->streams.items[i].before_write = g->streams.items[i].now;
    for (size_t i = 0; i < g->dead.len; i++)
        g->dead.items[i].before_write = g->dead.items[i].now;
    for (size_t i = 0; i < g->partitions.len; i++) {
        g->partitions.items[i].before_write = g->partitions.items[i].now;
        g->partitions.items[i].changed = NULL;
    }
    g->removals_before_write = g->removals.len;
    kal_kv_batch_save(g->batch);
    for (size_t i = 0; i < write->ops.len && write->status == KAL_OK; i++)
        write->status = apply_op(g, write, &write->ops.items[i], &write->error);
    if (write->status == KAL_OK)
        write->status = check_limits(g, &write->error);
    if (write->status != KAL_OK) {
        undo_seqs(g);
        undo_pending(g);
        for (size_t i = 0; i < g->streams.len; i++)
            g->streams.items[i].now = g->streams.items[i].before_write;
        for (size_t i = 0; i < g->dead.len; i++)
            g->dead.items[i].now = g->dead.items[i].before_write;
        for (size_t i = 0; i < g->partitions.len; i++)
            g->partitions.items[i].now = g->partitions.items[i].before_write;
        g->removals.len = g->removals_before_write;
        kal_kv_batch_rollback(g->batch);
        return;
    }
    append_records(g);
    kal_kv_batch_commit_save(g->batch);
}

static void put_heads(group *g)
{
    for (size_t i = 0; i < g->shards.len; i++) {
        uint16_t shard = g->shards.items[i];
        kal_shard_head *head = &g->tables->heads[shard];
        if (head->applied == g->applied_before[shard])
            continue;
        kal_change_log_trim(g->batch, shard, head, g->tables->options.change_log_rows_max);
        kal_shard_head_put(g->batch, shard, head);
    }
}

static void put_totals(group *g)
{
    for (size_t i = 0; i < g->streams.len; i++) {
        const stream_state *s = &g->streams.items[i];
        if (s->now.row_count != s->stored.row_count || s->now.bytes != s->stored.bytes)
            kal_stream_total_put(g->batch, &s->now);
    }
}

static void put_dead_counts(group *g)
{
    for (size_t i = 0; i < g->dead.len; i++) {
        const dead_state *d = &g->dead.items[i];
        if (d->now != d->stored)
            kal_dead_count_put(g->batch, d->segment_id, d->now);
    }
}

/* Into the journals of the flushes that are moving the rows' spaces out; without one, whoever moves
 * the space out later does not find the rows any more. */
static void note_removals(group *g)
{
    kal_tables *t = g->tables;

    if (g->removals.len == 0)
        return;
    pthread_mutex_lock(&t->flush_lock);
    KAL_LIST_FOR_EACH (link, &t->journals) {
        kal_flush_journal *journal = KAL_CONTAINER_OF(link, kal_flush_journal, link);
        pthread_mutex_lock(&journal->lock);
        for (size_t i = 0; i < g->removals.len; i++) {
            if (g->removals.items[i].hot_id == journal->hot_id)
                kal_buf_append_text(&journal->keys, g->removals.items[i].cold_key);
        }
        pthread_mutex_unlock(&journal->lock);
    }
    pthread_mutex_unlock(&t->flush_lock);
}

/* While closing there is no task to wake any more, and kal_tables_close() syncs itself. */
static void sync_later(kal_tables *t)
{
    if (t->task != NULL)
        kal_task_wake_at(t->task, t->sync_due_ns);
}

static kal_status write_batch(group *g, bool sync, kal_error *err)
{
    kal_tables *t = g->tables;
    if (kal_kv_batch_count(g->batch) == 0)
        return KAL_OK;
    kal_status status = kal_kv_write(t->kv, g->batch, sync, err);
    if (status != KAL_OK) {
        for (size_t i = 0; i < g->shards.len; i++)
            t->head_known[g->shards.items[i]] = false;
        kal_lane_forget_counts(t);
        return status;
    }
    if (!sync && !t->unsynced) {
        t->unsynced = true;
        t->sync_due_ns =
            kal_clock_mono_ns(t->clock) + t->options.sync_interval_ms * UINT64_C(1000000);
        sync_later(t);
    }
    return KAL_OK;
}

static void answer(kal_list *writes, kal_status status, const kal_error *err)
{
    kal_list *link;
    while ((link = kal_list_pop_front(writes)) != NULL) {
        kal_write *write = KAL_CONTAINER_OF(link, kal_write, link);
        if (status != KAL_OK && write->status == KAL_OK) {
            write->status = status;
            write->error = *err;
        }
        write->done(write, write->context);
    }
}

/* The manifests that the change writes may be newer in the records than in memory meanwhile. */
static kal_status write_change(group *g, kal_catalog_change *catalog_change, kal_error *err)
{
    kal_manifests *manifests = g->tables->manifests;
    const uint32_t *ids = NULL;
    size_t count = manifests == NULL ? 0 : kal_catalog_change_manifests(catalog_change, &ids);

    for (size_t i = 0; i < count; i++)
        kal_manifests_begin(manifests, ids[i]);
    kal_status status = write_batch(g, true, err);
    for (size_t i = 0; i < count; i++)
        kal_manifests_end(manifests, ids[i]);
    if (status == KAL_OK)
        kal_catalog_publish(catalog_change);
    return status;
}

static kal_status commit_group(group *g, kal_catalog_change *catalog_change, kal_error *err)
{
    put_heads(g);
    put_totals(g);
    put_dead_counts(g);
    KAL_TRY(catalog_change != NULL ? write_change(g, catalog_change, err)
                                   : write_batch(g, g->tables->options.sync, err));
    note_removals(g);
    if (catalog_change != NULL)
        kal_lane_forget_counts(g->tables); /* a limit may have come or gone */
    else
        keep_counts(g);
    return KAL_OK;
}

/* Who watches is told here, once it is durable: who begins to watch before he takes a snapshot
 * finds every change in the one or hears of it. */
static void tell_observer(group *g, const kal_catalog_change *catalog_change)
{
    const kal_tables_observer *observer = g->tables->observer;

    if (observer == NULL)
        return;
    if (g->committed.len > 0)
        observer->committed(observer->context, g->committed.items, g->committed.len);
    if (catalog_change != NULL)
        observer->altered(observer->context);
}

/* Applies the writes (all of them without a change, or one with) and answers them. */
static void run_group(kal_tables *tables, kal_list *writes, kal_catalog_change *catalog_change)
{
    kal_error err = KAL_ERROR_INIT;
    kal_status status = KAL_OK;
    kal_kv_batch *own = catalog_change == NULL ? kal_kv_batch_open(tables->kv) : NULL; /* owned */
    group *g = calloc(1, sizeof *g); /* owned; too large for small stacks */

    if (g == NULL)
        kal_die("out of memory: write group");
    group_init(g, tables, own != NULL ? own : kal_catalog_change_batch(catalog_change));
    bool apply = true;
    KAL_LIST_FOR_EACH (link, writes) {
        kal_write *write = KAL_CONTAINER_OF(link, kal_write, link);
        apply_write(g, write);
        if (write->hook != NULL && write->status == KAL_OK)
            write->status = write->hook(write->hook_context, g->batch, &write->error);
        if (catalog_change != NULL && write->status != KAL_OK)
            apply = false; /* the change stands or falls with its rows */
    }
    if (apply)
        status = commit_group(g, catalog_change, &err);
    if (apply && status == KAL_OK)
        tell_observer(g, catalog_change);
    group_release(g);
    free(g);
    kal_kv_batch_close(own);
    answer(writes, status, &err);
}

/* Moves the next group from the queue into `writes`; *change_out is set when it is one write with a
 * catalog change. False when the queue is empty. */
static bool take_group(kal_tables *tables, kal_list *writes, kal_catalog_change **change_out)
{
    size_t count = 0;
    size_t bytes = 0;

    kal_list_init(writes);
    *change_out = NULL;
    pthread_mutex_lock(&tables->lock);
    while (!kal_list_empty(&tables->queue) && count < GROUP_WRITES_MAX && bytes < GROUP_BYTES_MAX) {
        kal_write *write = KAL_CONTAINER_OF(tables->queue.next, kal_write, link);
        if (write->change != NULL && count > 0)
            break;
        kal_list_remove(&write->link);
        kal_list_push_back(writes, &write->link);
        count++;
        bytes += write->size_bytes;
        if (write->change != NULL) {
            *change_out = write->change;
            break;
        }
    }
    KAL_ASSERT(tables->queue_bytes >= bytes);
    tables->queue_bytes -= bytes;
    pthread_mutex_unlock(&tables->lock);
    return count > 0;
}

static void sync_if_due(kal_tables *t)
{
    kal_error err = KAL_ERROR_INIT;
    if (!t->unsynced || kal_clock_mono_ns(t->clock) < t->sync_due_ns)
        return;
    if (kal_kv_sync(t->kv, &err) == KAL_OK)
        t->unsynced = false;
    else
        t->sync_due_ns += t->options.sync_interval_ms * UINT64_C(1000000);
    if (t->unsynced)
        sync_later(t);
}

kal_step kal_lane_step(void *context)
{
    kal_tables *tables = context;
    kal_catalog_change *catalog_change = NULL;
    kal_list writes;

    sync_if_due(tables);
    if (!take_group(tables, &writes, &catalog_change))
        return KAL_STEP_IDLE;
    run_group(tables, &writes, catalog_change);
    return KAL_STEP_AGAIN;
}
