/*
 * storages.c: where segments will live. There is one storage, `local`: the data directory.
 *
 * Record: i64 created, then the texts name, type, base directory, template of SHARED tables,
 * template of USER tables.
 */
#include "catalog/catalog_internal.h"

kal_status kal_storage_create_local(kal_catalog_change *change, kal_error *err)
{
    kal_catalog *c = change->catalog;
    kal_entity_key key;
    kal_buf record; /* owned */

    kal_buf_init(&record, NULL);
    kal_buf_append_le64(&record, (uint64_t)change->now_us);
    kal_record_put_text(&record, KAL_STR("Local storage"));
    kal_record_put_text(&record, KAL_STR("filesystem"));
    kal_record_put_text(&record, KAL_STR(""));
    kal_record_put_text(&record, KAL_STR("{namespace}/{tableName}"));
    kal_record_put_text(&record, KAL_STR("{namespace}/{tableName}/{userId}"));
    kal_entity_key_init(&key, &c->storages);
    kal_entity_key_text(&key, KAL_STR("local"));
    kal_status status =
        kal_entity_put(&c->storages, change->batch, &key, kal_buf_bytes(&record), err);
    kal_buf_release(&record);
    return status;
}

typedef struct storage_scan {
    kal_catalog *catalog;
    kal_storage_visit visit;
    void *context;
} storage_scan;

static bool decode_storage(kal_bytes record, kal_storage *storage)
{
    uint64_t created = 0;
    bool whole = kal_bytes_take_le64(&record, &created) &&
                 kal_bytes_take_text(&record, &storage->name) &&
                 kal_bytes_take_text(&record, &storage->type) &&
                 kal_bytes_take_text(&record, &storage->base_directory) &&
                 kal_bytes_take_text(&record, &storage->shared_template) &&
                 kal_bytes_take_text(&record, &storage->user_template);
    storage->created_at_us = (int64_t)created;
    return whole && record.len == 0;
}

static kal_status visit_storage(void *context, kal_bytes parts, const kal_entity *entity,
                                kal_error *err)
{
    storage_scan *scan = context;
    kal_storage storage = {0};
    kal_arena arena;

    kal_arena_init(&arena, NULL);
    kal_status status =
        kal_entity_take_text(&scan->catalog->storages, &parts, &arena, &storage.storage_id, err);
    if (status == KAL_OK && !decode_storage(entity->record, &storage))
        status = kal_record_corrupt("storage", err);
    if (status == KAL_OK)
        status = scan->visit(scan->context, &storage, err);
    kal_arena_release(&arena);
    return status;
}

kal_status kal_storages_scan(kal_catalog *c, const kal_kv_snapshot *snapshot,
                             kal_storage_visit visit, void *context, kal_error *err)
{
    kal_entity_key prefix;
    storage_scan scan = {c, visit, context};
    kal_entity_key_init(&prefix, &c->storages);
    return kal_entity_scan(&c->storages, snapshot, &prefix, visit_storage, &scan, err);
}
