/*
 * restored.c: tables without a name, until their namespace is whole. See restored.h.
 */
#include "catalog/restored.h"
#include "base/assert.h"
#include "catalog/catalog_internal.h"

/* ---- the records ---- */

static void unnamed_key(kal_catalog *c, uint32_t hot_id, kal_entity_key *key)
{
    kal_entity_key_init(key, &c->unnamed);
    kal_entity_key_u32(key, hot_id);
}

static kal_status put_unnamed(kal_catalog_change *change, const kal_table_definition *def,
                              uint32_t hot_id, kal_error *err)
{
    kal_catalog *c = change->catalog;
    kal_entity_key key;
    uint8_t type = (uint8_t)def->table_type;

    unnamed_key(c, hot_id, &key);
    return kal_entity_put(&c->unnamed, change->batch, &key, kal_bytes_of(&type, 1), err);
}

static kal_status delete_unnamed(kal_catalog_change *change, uint32_t hot_id, kal_error *err)
{
    kal_entity_key key;

    unnamed_key(change->catalog, hot_id, &key);
    return kal_entity_delete(&change->catalog->unnamed, change->batch, &key, err);
}

static kal_status forget(kal_catalog_change *change, uint32_t hot_id, kal_table_type type,
                         kal_error *err)
{
    kal_change_delete_number(change, type == KAL_TABLE_STREAM ? KAL_KV_STREAM : KAL_KV_ROWS,
                             hot_id);
    return delete_unnamed(change, hot_id, err);
}

kal_status kal_catalog_forget_restored(kal_catalog_change *change, const kal_table *table,
                                       kal_error *err)
{
    return forget(change, table->hot_id, table->def->table_type, err);
}

typedef struct sweep {
    kal_catalog_change *change;
    size_t count;
} sweep;

static kal_status sweep_one(void *context, kal_bytes parts, const kal_entity *entity,
                            kal_error *err)
{
    sweep *s = context;
    kal_bytes record = entity->record;
    uint32_t hot_id = 0;
    uint8_t type = 0;

    KAL_TRY(kal_entity_take_u32(&s->change->catalog->unnamed, &parts, &hot_id, err));
    if (!kal_bytes_take_u8(&record, &type) || hot_id == 0)
        return kal_record_corrupt("table that was being restored", err);
    s->count++;
    return forget(s->change, hot_id, (kal_table_type)type, err);
}

kal_status kal_catalog_sweep_restored(kal_catalog *c, size_t *count_out, kal_error *err)
{
    sweep s = {.change = kal_catalog_begin(c, &KAL_PRINCIPAL_SERVER)}; /* owned */
    kal_entity_key all;

    kal_entity_key_init(&all, &c->unnamed);
    kal_status status = kal_entity_scan(&c->unnamed, NULL, &all, sweep_one, &s, err);
    if (status == KAL_OK && s.count > 0)
        status = kal_catalog_commit(s.change, err);
    kal_catalog_end(s.change);
    *count_out = s.count;
    return status;
}

/* ---- tables ---- */

static kal_status check_restorable(const kal_table_definition *def, kal_error *err)
{
    KAL_TRY(kal_name_check(def->table_name, "table", err));
    if (def->table_type == KAL_TABLE_SYSTEM)
        return kal_error_set(err, KAL_INVALID, "'%.*s' is a system table",
                             KAL_FMT(def->table_name));
    return kal_table_definition_validate(def, err);
}

kal_status kal_catalog_begin_restored(kal_catalog_change *change, const kal_table_definition *def,
                                      kal_table **table_out, kal_error *err)
{
    kal_table_record record = {0};
    kal_table_definition *own = kal_table_definition_copy(def, 0, &change->arena);

    KAL_TRY(check_restorable(own, err));
    KAL_TRY(kal_storage_of_table_exists(change, own, err));
    KAL_TRY(kal_change_new_table_numbers(change, own, &record, err));
    KAL_TRY(put_unnamed(change, own, record.hot_id, err));
    *table_out = kal_table_make(change->catalog, own, record.hot_id, record.shard);
    return KAL_OK;
}

static kal_status put_versions(kal_catalog_change *change, const kal_table *table,
                               const kal_restored_version *versions, size_t count, kal_error *err)
{
    const kal_table_definition *now = table->def;
    const kal_table_record record = {now->schema_version, table->hot_id, table->shard};

    for (size_t i = 0; i < count; i++) {
        kal_table_definition *def = kal_table_definition_copy(versions[i].def, 0, &change->arena);
        if (def->schema_version != i + 1 || versions[i].step.version != i + 1 ||
            def->table_type != now->table_type ||
            !kal_bytes_equal(def->namespace_id, now->namespace_id))
            return kal_error_set(err, KAL_INVALID, "the history of table '%.*s' has a gap",
                                 KAL_FMT(now->table_name));
        KAL_TRY(check_restorable(def, err));
        def->table_id = now->table_id;
        KAL_TRY(kal_table_store_put_past(change, def, &versions[i].step, err));
    }
    return kal_table_store_put_names(change, now, &record, err);
}

kal_status kal_catalog_publish_restored(kal_catalog_change *change, const kal_table *table,
                                        const kal_restored_version *versions, size_t count,
                                        kal_error *err)
{
    kal_catalog *c = change->catalog;

    if (count != table->def->schema_version)
        return kal_error_set(err, KAL_INVALID, "the history of table '%.*s' has %zu of %u versions",
                             KAL_FMT(table->def->table_name), count, table->def->schema_version);
    KAL_TRY(kal_storage_of_table_exists(change, table->def, err)); /* it may be gone since */
    KAL_TRY(put_versions(change, table, versions, count, err));
    KAL_TRY(delete_unnamed(change, table->hot_id, err));
    kal_change_add(change, (kal_change_step){.kind = KAL_CHANGE_CREATE_TABLE,
                                             .table = kal_table_make(c, table->def, table->hot_id,
                                                                     table->shard)});
    return KAL_OK;
}
