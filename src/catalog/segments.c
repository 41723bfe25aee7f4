/*
 * segments.c: manifests, segments and what is doomed, one record each. See segments.h.
 */
#include "catalog/segments.h"
#include "base/assert.h"
#include "catalog/catalog_internal.h"

#include <stdlib.h>

/* ---- manifests ---- */

static void note_manifest(kal_catalog_change *change, uint32_t table_id)
{
    for (size_t i = 0; i < change->manifests.len; i++) {
        if (change->manifests.items[i] == table_id)
            return;
    }
    if (!kal_vec_try_push_in(&change->arena, &change->manifests, table_id))
        kal_die("out of memory: catalog change");
}

static void manifest_key(kal_catalog *c, uint32_t table_id, kal_entity_key *key)
{
    kal_entity_key_init(key, &c->manifests);
    kal_entity_key_u32(key, table_id);
}

/* moved_to is borrowed from the record. */
static kal_status decode_head(const kal_entity *entity, kal_manifest_head *out, kal_error *err)
{
    kal_bytes record = entity->record;
    uint8_t knows_moved = 0;

    *out = (kal_manifest_head){0};
    bool is_whole =
        kal_bytes_take_le64(&record, &out->version) &&
        kal_bytes_take_le32(&record, &out->active_hot_id) &&
        kal_bytes_take_le32(&record, &out->frozen_hot_id) &&
        (entity->format == 1 || (kal_bytes_take_u8(&record, &knows_moved) && knows_moved <= 1 &&
                                 kal_bytes_take_text(&record, &out->moved_to)));
    out->knows_moved = knows_moved == 1;
    if (is_whole && record.len == 0 && out->active_hot_id != 0 &&
        out->active_hot_id != out->frozen_hot_id &&
        out->moved_to.len <= (out->frozen_hot_id == 0 ? 0 : KAL_COLD_KEY_BYTES_MAX))
        return KAL_OK;
    return kal_record_corrupt("manifest", err);
}

kal_status kal_catalog_manifest_head(kal_catalog *c, const kal_kv_snapshot *snapshot,
                                     uint32_t table_id, kal_arena *arena,
                                     kal_manifest_head *head_out, kal_error *err)
{
    kal_entity_key key;
    kal_entity entity;

    manifest_key(c, table_id, &key);
    KAL_TRY(kal_entity_get(&c->manifests, snapshot, &key, arena, &entity, err));
    return decode_head(&entity, head_out, err);
}

kal_status kal_catalog_put_manifest(kal_catalog_change *change, uint32_t table_id,
                                    const kal_manifest_head *head, kal_error *err)
{
    kal_catalog *c = change->catalog;
    kal_entity_key key;
    kal_buf record; /* owned */

    KAL_ASSERT(head->active_hot_id != 0 && head->active_hot_id != head->frozen_hot_id);
    KAL_ASSERT(head->frozen_hot_id != 0 || head->moved_to.len == 0);
    kal_buf_init(&record, NULL);
    kal_buf_append_le64(&record, head->version);
    kal_buf_append_le32(&record, head->active_hot_id);
    kal_buf_append_le32(&record, head->frozen_hot_id);
    kal_buf_append_byte(&record, head->knows_moved);
    kal_buf_append_text(&record, head->moved_to);
    manifest_key(c, table_id, &key);
    note_manifest(change, table_id);
    kal_status status = kal_format_put(change, KAL_FEATURE_SEGMENTS, err);
    if (status == KAL_OK)
        status = kal_entity_put(&c->manifests, change->batch, &key, kal_buf_bytes(&record), err);
    kal_buf_release(&record);
    return status;
}

typedef struct manifest_scan {
    kal_catalog *catalog;
    kal_manifest_visit visit;
    void *context;
} manifest_scan;

static kal_status visit_manifest(void *context, kal_bytes parts, const kal_entity *entity,
                                 kal_error *err)
{
    manifest_scan *scan = context;
    kal_manifest_head head;
    uint32_t table_id = 0;

    KAL_TRY(kal_entity_take_u32(&scan->catalog->manifests, &parts, &table_id, err));
    KAL_TRY(decode_head(entity, &head, err));
    return scan->visit(scan->context, table_id, &head, err);
}

kal_status kal_catalog_scan_manifests(kal_catalog *c, const kal_kv_snapshot *snapshot,
                                      kal_manifest_visit visit, void *context, kal_error *err)
{
    manifest_scan scan = {c, visit, context};
    kal_entity_key all;

    kal_entity_key_init(&all, &c->manifests);
    return kal_entity_scan(&c->manifests, snapshot, &all, visit_manifest, &scan, err);
}

/* ---- segments ---- */

static void segment_key(kal_catalog *c, uint32_t table_id, kal_entity_key *key)
{
    kal_entity_key_init(key, &c->segments);
    kal_entity_key_u32(key, table_id);
}

static bool take_texts(kal_bytes *record, kal_segment_info *out)
{
    return kal_bytes_take_text(record, &out->key_min) &&
           kal_bytes_take_text(record, &out->key_max) &&
           kal_bytes_take_text(record, &out->primary_min) &&
           kal_bytes_take_text(record, &out->primary_max) &&
           kal_bytes_take_text(record, &out->storage_id) &&
           kal_bytes_take_text(record, &out->object) &&
           kal_bytes_take_text(record, &out->statistics);
}

/* record: the entity's, where it stays. Format 1 has no checksum. */
static kal_status decode_segment(const kal_entity *entity, kal_bytes record, kal_segment_info *out,
                                 kal_error *err)
{
    uint64_t created = 0;

    if (kal_bytes_take_le32(&record, &out->schema_version) &&
        kal_bytes_take_le64(&record, &out->row_count) &&
        kal_bytes_take_le64(&record, &out->size_bytes) &&
        kal_bytes_take_le64(&record, &out->seq_min) &&
        kal_bytes_take_le64(&record, &out->seq_max) &&
        kal_bytes_take_le64(&record, &out->user_min) &&
        kal_bytes_take_le64(&record, &out->user_max) && kal_bytes_take_le64(&record, &created) &&
        take_texts(&record, out) &&
        (entity->format == 1 || kal_bytes_take_le64(&record, &out->checksum)) && record.len == 0 &&
        out->row_count > 0 && out->row_count < UINT32_MAX) {
        out->created_at_us = (int64_t)created;
        return KAL_OK;
    }
    return kal_record_corrupt("segment", err);
}

typedef struct segment_scan {
    kal_catalog *catalog;
    uint32_t table_id;
    kal_arena *arena;
    KAL_VEC(kal_segment_info) infos; /* arena */
} segment_scan;

static kal_status visit_segment(void *context, kal_bytes parts, const kal_entity *entity,
                                kal_error *err)
{
    segment_scan *scan = context;
    const kal_entity_store *store = &scan->catalog->segments;
    kal_segment_info info = {.table_id = scan->table_id};
    uint32_t table_id = 0;
    kal_bytes record;

    KAL_TRY(kal_entity_take_u32(store, &parts, &table_id, err));
    KAL_TRY(kal_entity_take_u32(store, &parts, &info.segment_id, err));
    if (!kal_arena_try_copy(scan->arena, entity->record, &record))
        return kal_error_set(err, KAL_LIMIT, "the list of segments exceeds the memory");
    KAL_TRY(decode_segment(entity, record, &info, err));
    if (!kal_vec_try_push_in(scan->arena, &scan->infos, info))
        return kal_error_set(err, KAL_LIMIT, "the list of segments exceeds the memory");
    return KAL_OK;
}

kal_status kal_catalog_segments(kal_catalog *c, const kal_kv_snapshot *snapshot, uint32_t table_id,
                                kal_arena *arena, kal_segment_info **infos_out, size_t *count_out,
                                kal_error *err)
{
    segment_scan scan = {.catalog = c, .table_id = table_id, .arena = arena};
    kal_entity_key prefix;

    segment_key(c, table_id, &prefix);
    KAL_TRY(kal_entity_scan(&c->segments, snapshot, &prefix, visit_segment, &scan, err));
    *infos_out = scan.infos.items;
    *count_out = scan.infos.len;
    return KAL_OK;
}

kal_status kal_catalog_put_segment(kal_catalog_change *change, const kal_segment_info *info,
                                   kal_error *err)
{
    kal_catalog *c = change->catalog;
    kal_entity_key key;
    kal_buf record; /* owned */

    kal_buf_init(&record, NULL);
    kal_buf_append_le32(&record, info->schema_version);
    kal_buf_append_le64(&record, info->row_count);
    kal_buf_append_le64(&record, info->size_bytes);
    kal_buf_append_le64(&record, info->seq_min);
    kal_buf_append_le64(&record, info->seq_max);
    kal_buf_append_le64(&record, info->user_min);
    kal_buf_append_le64(&record, info->user_max);
    kal_buf_append_le64(&record, (uint64_t)info->created_at_us);
    kal_buf_append_text(&record, info->key_min);
    kal_buf_append_text(&record, info->key_max);
    kal_buf_append_text(&record, info->primary_min);
    kal_buf_append_text(&record, info->primary_max);
    kal_buf_append_text(&record, info->storage_id);
    kal_buf_append_text(&record, info->object);
    kal_buf_append_text(&record, info->statistics);
    kal_buf_append_le64(&record, info->checksum);
    segment_key(c, info->table_id, &key);
    kal_entity_key_u32(&key, info->segment_id);
    kal_status status =
        kal_entity_put(&c->segments, change->batch, &key, kal_buf_bytes(&record), err);
    kal_buf_release(&record);
    if (status == KAL_OK)
        status = kal_catalog_delete_doomed(change, info->segment_id, err);
    return status;
}

void kal_change_delete_number(kal_catalog_change *change, kal_kv_family family, uint32_t number)
{
    uint8_t bytes[8];
    kal_bytes lower;
    kal_bytes upper;

    KAL_ASSERT(number != 0);
    kal_kv_number_bounds(number, bytes, &lower, &upper);
    kal_kv_batch_delete_range(change->batch, family, lower, upper);
}

size_t kal_segment_run(const uint32_t *ids, size_t count)
{
    size_t len = count > 0;
    while (len < count && ids[len] == ids[len - 1] + 1)
        len++;
    return len;
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* All entries of these segments. Sorts the numbers. */
static void delete_entries(kal_catalog_change *change, uint32_t *ids, size_t count)
{
    uint8_t lower[4];
    uint8_t upper[4];

    if (count > 1)
        qsort(ids, count, sizeof *ids, compare_ids);
    for (size_t at = 0, n = 0; at < count; at += n) {
        n = kal_segment_run(ids + at, count - at);
        kal_store_be32(lower, ids[at]);
        kal_store_be32(upper, ids[at + n - 1] + 1);
        kal_kv_batch_delete_range(change->batch, KAL_KV_INDEX, kal_bytes_of(lower, sizeof lower),
                                  kal_bytes_of(upper, sizeof upper));
        kal_kv_batch_delete_range(change->batch, KAL_KV_DELETED, kal_bytes_of(lower, sizeof lower),
                                  kal_bytes_of(upper, sizeof upper));
    }
}

static kal_status drop_segment(kal_catalog_change *change, const kal_segment_info *info,
                               kal_error *err)
{
    kal_catalog *c = change->catalog;
    const kal_doomed_segment doomed = {info->segment_id, info->storage_id, info->object,
                                       info->user_min, info->user_max};
    kal_entity_key key;

    segment_key(c, info->table_id, &key);
    kal_entity_key_u32(&key, info->segment_id);
    KAL_TRY(kal_entity_delete(&c->segments, change->batch, &key, err));
    return kal_catalog_put_doomed(change, &doomed, err);
}

kal_status kal_catalog_drop_segments(kal_catalog_change *change,
                                     const kal_segment_info *const *infos, size_t count,
                                     kal_error *err)
{
    uint32_t *ids = kal_arena_alloc(&change->arena, (count + 1) * sizeof *ids);

    for (size_t i = 0; i < count; i++) {
        KAL_TRY(drop_segment(change, infos[i], err));
        ids[i] = infos[i]->segment_id;
    }
    delete_entries(change, ids, count);
    return KAL_OK;
}

/* ---- doomed segments ---- */

static void doomed_key(kal_catalog *c, uint32_t segment_id, kal_entity_key *key)
{
    kal_entity_key_init(key, &c->doomed);
    kal_entity_key_u32(key, segment_id);
}

kal_status kal_catalog_put_doomed(kal_catalog_change *change, const kal_doomed_segment *doomed,
                                  kal_error *err)
{
    kal_catalog *c = change->catalog;
    kal_entity_key key;
    kal_buf record; /* owned */

    kal_buf_init(&record, NULL);
    kal_buf_append_text(&record, doomed->storage_id);
    kal_buf_append_text(&record, doomed->object);
    kal_buf_append_le64(&record, doomed->user_min);
    kal_buf_append_le64(&record, doomed->user_max);
    doomed_key(c, doomed->segment_id, &key);
    kal_status status =
        kal_entity_put(&c->doomed, change->batch, &key, kal_buf_bytes(&record), err);
    kal_buf_release(&record);
    return status;
}

kal_status kal_catalog_delete_doomed(kal_catalog_change *change, uint32_t segment_id,
                                     kal_error *err)
{
    kal_entity_key key;
    doomed_key(change->catalog, segment_id, &key);
    return kal_entity_delete(&change->catalog->doomed, change->batch, &key, err);
}

kal_status kal_catalog_is_doomed(kal_catalog *c, uint32_t segment_id, bool *out, kal_error *err)
{
    kal_entity_key key;
    kal_entity entity;
    kal_arena arena; /* owned */

    doomed_key(c, segment_id, &key);
    kal_arena_init(&arena, NULL);
    kal_status status = kal_entity_get(&c->doomed, NULL, &key, &arena, &entity, err);
    kal_arena_release(&arena);
    *out = status == KAL_OK;
    return status == KAL_NOT_FOUND ? KAL_OK : status;
}

typedef struct doomed_scan {
    kal_catalog *catalog;
    kal_doomed_visit visit;
    void *context;
} doomed_scan;

/* Format 1 does not say whose rows it may have: anybody's. */
static bool decode_doomed(const kal_entity *entity, kal_doomed_segment *out)
{
    kal_bytes record = entity->record;

    out->user_min = 0;
    out->user_max = UINT64_MAX;
    return kal_bytes_take_text(&record, &out->storage_id) &&
           kal_bytes_take_text(&record, &out->object) &&
           (entity->format == 1 || (kal_bytes_take_le64(&record, &out->user_min) &&
                                    kal_bytes_take_le64(&record, &out->user_max))) &&
           record.len == 0;
}

static kal_status visit_doomed(void *context, kal_bytes parts, const kal_entity *entity,
                               kal_error *err)
{
    doomed_scan *scan = context;
    kal_doomed_segment doomed = {0};

    KAL_TRY(kal_entity_take_u32(&scan->catalog->doomed, &parts, &doomed.segment_id, err));
    if (!decode_doomed(entity, &doomed))
        return kal_record_corrupt("doomed segment", err);
    return scan->visit(scan->context, &doomed, err);
}

kal_status kal_catalog_scan_doomed(kal_catalog *c, kal_doomed_visit visit, void *context,
                                   kal_error *err)
{
    doomed_scan scan = {c, visit, context};
    kal_entity_key all;

    kal_entity_key_init(&all, &c->doomed);
    return kal_entity_scan(&c->doomed, NULL, &all, visit_doomed, &scan, err);
}

/* ---- numbers, hot spaces, drops ---- */

static kal_status next_numbers(kal_catalog_change *change, const char *counter, uint32_t count,
                               uint32_t *first_out, kal_error *err)
{
    uint64_t first = 0;

    KAL_TRY(kal_counter_take(change, counter, count, &first, err));
    /* All ones is no number: every one needs a successor as its upper bound. */
    if (first + count > UINT32_MAX)
        return kal_error_set(err, KAL_LIMIT,
                             "there are no numbers for hot spaces or segments left");
    *first_out = (uint32_t)first;
    return KAL_OK;
}

kal_status kal_catalog_new_hot_id(kal_catalog_change *change, uint32_t *hot_id_out, kal_error *err)
{
    return next_numbers(change, "hot_id", 1, hot_id_out, err);
}

kal_status kal_catalog_new_segment_ids(kal_catalog_change *change, uint32_t count,
                                       uint32_t *first_out, kal_error *err)
{
    return next_numbers(change, "segment_id", /* check: system-columns (a counter) */
                        count, first_out, err);
}

void kal_catalog_delete_hot_space(kal_catalog_change *change, uint32_t hot_id)
{
    kal_change_delete_number(change, KAL_KV_ROWS, hot_id);
}

size_t kal_catalog_change_manifests(const kal_catalog_change *change, const uint32_t **ids_out)
{
    *ids_out = change->manifests.items;
    return change->manifests.len;
}

/* All that a table which is dropped has in its manifest. */
kal_status kal_segments_drop_table(kal_catalog_change *change, uint32_t table_id, kal_error *err)
{
    kal_catalog *c = change->catalog;
    kal_manifest_head head;
    kal_segment_info *infos = NULL;
    size_t count = 0;
    kal_entity_key key;

    kal_status status = kal_catalog_manifest_head(c, NULL, table_id, &change->arena, &head, err);
    if (status == KAL_NOT_FOUND)
        return KAL_OK;
    KAL_TRY(status);
    KAL_TRY(kal_catalog_segments(c, NULL, table_id, &change->arena, &infos, &count, err));
    const kal_segment_info **all = kal_arena_alloc(&change->arena, (count + 1) * sizeof *all);
    for (size_t i = 0; i < count; i++)
        all[i] = &infos[i];
    KAL_TRY(kal_catalog_drop_segments(change, all, count, err));
    kal_catalog_delete_hot_space(change, head.active_hot_id);
    if (head.frozen_hot_id != 0)
        kal_catalog_delete_hot_space(change, head.frozen_hot_id);
    manifest_key(c, table_id, &key);
    note_manifest(change, table_id);
    return kal_entity_delete(&c->manifests, change->batch, &key, err);
}
