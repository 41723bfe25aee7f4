/*
 * change.c: changes of the catalog: collected into a batch, made durable by the write lane, then
 * published to everybody at once.
 */
#include "base/assert.h"
#include "catalog/catalog_internal.h"

#include <stdlib.h>

/* ---- records ---- */

kal_status kal_record_corrupt(const char *what, kal_error *err)
{
    return kal_error_set(err, KAL_CORRUPT, "the catalog's record of a %s is damaged", what);
}

kal_status kal_counter_take(kal_catalog_change *change, const char *counter, uint64_t count,
                            uint64_t *first_out, kal_error *err)
{
    kal_catalog *c = change->catalog;
    kal_entity_key key;
    kal_entity entity;
    uint64_t last = 0;
    uint8_t record[8];

    kal_entity_key_init(&key, &c->counters);
    kal_entity_key_text(&key, kal_cstr(counter));
    kal_status status = kal_entity_get(&c->counters, NULL, &key, &change->arena, &entity, err);
    if (status == KAL_OK && !kal_bytes_take_le64(&entity.record, &last))
        return kal_record_corrupt("counter", err);
    if (status != KAL_OK && status != KAL_NOT_FOUND)
        return status;
    *first_out = last + 1;
    kal_store_le64(record, last + count);
    return kal_entity_put(&c->counters, change->batch, &key, kal_bytes_of(record, sizeof record),
                          err);
}

kal_status kal_counter_next(kal_catalog_change *change, const char *counter, uint64_t *number_out,
                            kal_error *err)
{
    return kal_counter_take(change, counter, 1, number_out, err);
}

kal_status kal_change_commit_seq(kal_catalog_change *change, uint64_t *seq_out, kal_error *err)
{
    if (change->commit_seq == 0)
        KAL_TRY(kal_counter_next(change, "commit_seq", &change->commit_seq, err));
    *seq_out = change->commit_seq;
    return KAL_OK;
}

/* ---- life of a change ---- */

/* The DDL lock is held. */
static kal_catalog_change *new_change(kal_catalog *catalog, const kal_principal *actor)
{
    kal_catalog_change *change = calloc(1, sizeof *change);
    if (change == NULL)
        kal_die("out of memory: catalog change");
    change->catalog = catalog;
    change->actor = *actor;
    change->now_us = kal_clock_wall_us(catalog->clock);
    change->batch = kal_kv_batch_open(catalog->kv);
    kal_arena_init(&change->arena, NULL);
    return change;
}

kal_catalog_change *kal_catalog_begin(kal_catalog *catalog, const kal_principal *actor)
{
    pthread_mutex_lock(&catalog->ddl_lock);
    return new_change(catalog, actor);
}

kal_catalog_change *kal_catalog_try_begin(kal_catalog *catalog, const kal_principal *actor)
{
    return pthread_mutex_trylock(&catalog->ddl_lock) == 0 ? new_change(catalog, actor) : NULL;
}

kal_catalog *kal_catalog_change_catalog(kal_catalog_change *change)
{
    return change->catalog;
}

kal_kv_batch *kal_catalog_change_batch(kal_catalog_change *change)
{
    return change->batch;
}

void kal_change_add(kal_catalog_change *change, kal_change_step step)
{
    if (!kal_vec_try_push_in(&change->arena, &change->steps, step))
        kal_die("out of memory: catalog change");
}

static void publish_step(kal_catalog *c, kal_change_step *step)
{
    switch (step->kind) {
    case KAL_CHANGE_CREATE_TABLE:
        kal_schema_cache_put(c->cache, step->table);
        step->table = NULL;
        return;
    case KAL_CHANGE_REPLACE_TABLE:
        kal_schema_cache_remove(c->cache, step->ns, step->name, KAL_TABLE_REPLACED);
        kal_schema_cache_put(c->cache, step->table);
        step->table = NULL;
        return;
    case KAL_CHANGE_DROP_TABLE:
        kal_schema_cache_remove(c->cache, step->ns, step->name, KAL_TABLE_DROPPED);
        return;
    case KAL_CHANGE_CREATE_NAMESPACE:
    case KAL_CHANGE_DROP_NAMESPACE:
        kal_namespaces_publish(c, step);
        return;
    case KAL_CHANGE_PUT_USER:
        kal_users_publish(c, step);
        return;
    }
}

void kal_catalog_publish(kal_catalog_change *change)
{
    kal_catalog *c = change->catalog;
    pthread_rwlock_wrlock(&c->publish_lock);
    for (size_t i = 0; i < change->steps.len; i++)
        publish_step(c, &change->steps.items[i]);
    kal_schema_cache_next_generation(c->cache);
    pthread_rwlock_unlock(&c->publish_lock);
    kal_catalog_forget(change);
}

uint64_t kal_catalog_epoch(kal_catalog *c)
{
    return kal_schema_cache_epoch(c->cache);
}

uint64_t kal_catalog_generation(kal_catalog *c)
{
    pthread_rwlock_rdlock(&c->publish_lock);
    uint64_t generation = kal_schema_cache_generation(c->cache);
    pthread_rwlock_unlock(&c->publish_lock);
    return generation;
}

void kal_catalog_forget(kal_catalog_change *change)
{
    for (size_t i = 0; i < change->steps.len; i++)
        kal_table_release(change->steps.items[i].table); /* published ones are not there any more */
    change->steps.len = 0;
    change->manifests.len = 0;
    change->commit_seq = 0;
    kal_kv_batch_clear(change->batch);
}

kal_status kal_catalog_commit(kal_catalog_change *change, kal_error *err)
{
    KAL_TRY(kal_kv_write(change->catalog->kv, change->batch, true, err));
    kal_catalog_publish(change);
    return KAL_OK;
}

void kal_catalog_end(kal_catalog_change *change)
{
    kal_catalog *c = change->catalog;
    kal_catalog_forget(change);
    kal_kv_batch_close(change->batch);
    kal_arena_release(&change->arena);
    free(change);
    pthread_mutex_unlock(&c->ddl_lock);
}

/* ---- tables ---- */

static kal_status table_exists(kal_bytes ns, kal_bytes name, kal_error *err)
{
    kal_error_set(err, KAL_EXISTS, "table '%.*s.%.*s' already exists", KAL_FMT(ns), KAL_FMT(name));
    kal_error_code(err, "TABLE_EXISTS");
    return KAL_EXISTS;
}

static kal_status check_new_table(kal_catalog *c, const kal_table_definition *def, kal_error *err)
{
    KAL_TRY(kal_name_check(def->table_name, "table", err));
    if (kal_namespace_is_system(def->namespace_id))
        return kal_error_set(err, KAL_DENIED, "namespace '%.*s' is the server's own",
                             KAL_FMT(def->namespace_id));
    if (kal_catalog_has_namespace(c, def->namespace_id))
        return KAL_OK;
    kal_error_set(err, KAL_NOT_FOUND, "namespace '%.*s' does not exist",
                  KAL_FMT(def->namespace_id));
    kal_error_code(err, "NAMESPACE_NOT_FOUND");
    kal_error_hint(err, "create it first with CREATE NAMESPACE %.*s", KAL_FMT(def->namespace_id));
    return KAL_NOT_FOUND;
}

kal_status kal_change_new_table_numbers(kal_catalog_change *change, kal_table_definition *def,
                                        kal_table_record *record, kal_error *err)
{
    uint64_t table_id = 0;
    uint64_t hot_id = 0;

    KAL_TRY(kal_counter_next(change, "table_id", &table_id, err));
    KAL_TRY(kal_counter_next(change, "hot_id", &hot_id, err));
    table_id += KAL_TABLE_ID_FIRST - 1;
    /* All ones is no hot space: every one needs a successor as its upper bound. */
    if (table_id >= UINT32_MAX || hot_id >= UINT32_MAX)
        return kal_error_set(err, KAL_LIMIT, "there are no table numbers left");
    def->table_id = (uint32_t)table_id;
    *record = (kal_table_record){
        .version = def->schema_version,
        .hot_id = (uint32_t)hot_id,
        .shard = (uint16_t)(kal_hash(def->namespace_id) % KAL_SHARD_COUNT),
    };
    return KAL_OK;
}

kal_status kal_catalog_create_table(kal_catalog_change *change, const kal_table_definition *def,
                                    bool if_not_exists, bool *existed_out, kal_error *err)
{
    kal_catalog *c = change->catalog;
    kal_table_record record;
    uint32_t existing = 0;

    *existed_out = false;
    KAL_TRY(check_new_table(c, def, err));
    kal_status status =
        kal_table_store_id(c, NULL, def->namespace_id, def->table_name, &existing, err);
    if (status != KAL_OK && status != KAL_NOT_FOUND)
        return status;
    *existed_out = status == KAL_OK;
    if (*existed_out)
        return if_not_exists ? KAL_OK : table_exists(def->namespace_id, def->table_name, err);
    kal_table_definition *own = kal_table_definition_copy(def, 0, &change->arena);
    own->created_at_us = change->now_us;
    own->updated_at_us = change->now_us;
    KAL_TRY(kal_change_new_table_numbers(change, own, &record, err));
    KAL_TRY(kal_table_definition_validate(own, err));
    KAL_TRY(kal_storage_of_table_exists(change, own, err));
    kal_schema_changes changes = kal_schema_changes_of(KAL_SCHEMA_INITIAL, &change->arena);
    KAL_TRY(kal_table_store_put(change, own, &record, &changes, err));
    kal_change_add(change,
                   (kal_change_step){.kind = KAL_CHANGE_CREATE_TABLE,
                                     .table = kal_table_make(c, own, record.hot_id, record.shard)});
    return KAL_OK;
}

/* ---- altering ---- */

static kal_status check_new_name(kal_catalog_change *change, const kal_table *current,
                                 const kal_table_definition *def, kal_error *err)
{
    kal_catalog *c = change->catalog;
    uint32_t existing = 0;

    if (kal_bytes_equal(current->def->table_name, def->table_name))
        return KAL_OK;
    KAL_TRY(kal_name_check(def->table_name, "table", err));
    kal_status status =
        kal_table_store_id(c, NULL, def->namespace_id, def->table_name, &existing, err);
    if (status == KAL_OK)
        return table_exists(def->namespace_id, def->table_name, err);
    if (status != KAL_NOT_FOUND)
        return status;
    return kal_table_store_delete_name(c, change->batch, def->namespace_id,
                                       current->def->table_name, err);
}

static void add_replacement(kal_catalog_change *change, const kal_table *current, kal_table *next)
{
    const kal_table_definition *def = current->def;
    kal_change_add(change,
                   (kal_change_step){.kind = KAL_CHANGE_REPLACE_TABLE,
                                     .ns = kal_arena_copy(&change->arena, def->namespace_id),
                                     .name = kal_arena_copy(&change->arena, def->table_name),
                                     .table = next});
}

kal_status kal_catalog_alter_table(kal_catalog_change *change, const kal_table *current,
                                   const kal_altered *altered, kal_table **next_out, kal_error *err)
{
    const kal_table_definition *def = altered->def;
    kal_table_record record = {
        .version = def->schema_version, .hot_id = current->hot_id, .shard = current->shard};

    KAL_ASSERT(altered->changes.len > 0);
    KAL_ASSERT(def->table_id == current->def->table_id);
    KAL_ASSERT(def->schema_version == current->def->schema_version + 1);
    if (def->table_type == KAL_TABLE_SYSTEM)
        return kal_error_set(err, KAL_DENIED, "system tables cannot be altered");
    KAL_TRY(check_new_name(change, current, def, err));
    /* A table that names one since before storages could be made may go on without it. */
    if (strcmp(current->def->options.storage_id, def->options.storage_id) != 0)
        KAL_TRY(kal_storage_of_table_exists(change, def, err));
    KAL_TRY(kal_table_store_put(change, def, &record, &altered->changes, err));
    kal_table *next = kal_table_make(change->catalog, def, record.hot_id, record.shard);
    add_replacement(change, current, next);
    if (next_out != NULL)
        *next_out = next;
    return KAL_OK;
}

kal_status kal_catalog_replace_view(kal_catalog_change *change, const kal_table *current,
                                    const kal_table_definition *def, kal_error *err)
{
    kal_altered altered = {.def = kal_table_definition_copy(def, 0, &change->arena)};

    altered.def->table_id = current->def->table_id;
    altered.def->schema_version = current->def->schema_version + 1;
    altered.def->created_at_us = current->def->created_at_us;
    altered.def->updated_at_us = change->now_us;
    kal_schema_diff(current->def, altered.def, &change->arena, &altered.changes);
    if (altered.changes.len == 0)
        return KAL_OK;
    return kal_catalog_alter_table(change, current, &altered, NULL, err);
}

void kal_catalog_enforce_not_null(kal_catalog_change *change, const kal_table *current,
                                  const uint32_t *column_ids, uint32_t count)
{
    kal_table *next =
        kal_table_make(change->catalog, current->def, current->hot_id, current->shard);
    uint32_t *ids = kal_arena_alloc(&next->arena, (count + 1) * sizeof *ids);
    if (count > 0)
        memcpy(ids, column_ids, count * sizeof *ids);
    next->enforced_ids = ids;
    next->enforced_count = count;
    add_replacement(change, current, next);
}

/* ---- dropping ---- */

/* One range over all rows of the hot space; of a STREAM table also over their order and total. */
static void delete_rows(kal_catalog_change *change, kal_table_type type, uint32_t hot_id)
{
    kal_change_delete_number(change, type == KAL_TABLE_STREAM ? KAL_KV_STREAM : KAL_KV_ROWS,
                             hot_id);
}

kal_status kal_catalog_drop_table(kal_catalog_change *change, kal_bytes ns, kal_bytes name,
                                  bool if_exists, bool *existed_out, kal_error *err)
{
    kal_catalog *c = change->catalog;
    kal_table_record record;
    kal_version_record version;
    uint32_t table_id = 0;

    *existed_out = false;
    if (kal_namespace_is_system(ns))
        return kal_error_set(err, KAL_DENIED, "namespace '%.*s' is the server's own", KAL_FMT(ns));
    kal_status status = kal_table_store_id(c, NULL, ns, name, &table_id, err);
    if (status == KAL_NOT_FOUND)
        return if_exists ? KAL_OK : kal_table_not_found(c, ns, name, err);
    KAL_TRY(status);
    KAL_TRY(kal_table_store_record(c, NULL, table_id, &record, err));
    KAL_TRY(
        kal_table_store_version(c, NULL, table_id, record.version, &change->arena, &version, err));
    KAL_TRY(kal_table_store_delete(c, change->batch, version.def, err));
    delete_rows(change, version.def->table_type, record.hot_id);
    KAL_TRY(kal_segments_drop_table(change, table_id, err));
    *existed_out = true;
    kal_change_add(change, (kal_change_step){.kind = KAL_CHANGE_DROP_TABLE,
                                             .ns = version.def->namespace_id,
                                             .name = version.def->table_name});
    return KAL_OK;
}
