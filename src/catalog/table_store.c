/*
 * table_store.c: tables in the store: names, current versions, and every version there was.
 */
#include "base/assert.h"
#include "catalog/catalog_internal.h"

#include <stdlib.h>

/* ---- names ---- */

static void name_key(kal_catalog *c, kal_bytes ns, kal_bytes name, kal_entity_key *key)
{
    kal_entity_key_init(key, &c->table_names);
    kal_entity_key_text(key, ns);
    kal_entity_key_text(key, name);
}

kal_status kal_table_store_id(kal_catalog *c, const kal_kv_snapshot *snapshot, kal_bytes ns,
                              kal_bytes name, uint32_t *id_out, kal_error *err)
{
    kal_entity_key key;
    kal_entity entity;
    kal_arena arena;

    if (ns.len > KAL_NAME_BYTES_MAX || name.len > KAL_NAME_BYTES_MAX)
        return KAL_NOT_FOUND;
    kal_arena_init(&arena, NULL);
    name_key(c, ns, name, &key);
    kal_status status = kal_entity_get(&c->table_names, snapshot, &key, &arena, &entity, err);
    if (status == KAL_OK && !kal_bytes_take_le32(&entity.record, id_out))
        status = kal_record_corrupt("name of a table", err);
    kal_arena_release(&arena);
    return status;
}

typedef struct name_scan {
    kal_catalog *catalog;
    kal_table_visit visit;
    void *context;
} name_scan;

static kal_status visit_name(void *context, kal_bytes parts, const kal_entity *entity,
                             kal_error *err)
{
    name_scan *scan = context;
    kal_entity_store *store = &scan->catalog->table_names;
    kal_bytes record = entity->record;
    kal_bytes ns = {0};
    kal_bytes name = {0};
    uint32_t table_id = 0;
    kal_arena arena;

    kal_arena_init(&arena, NULL);
    kal_status status = kal_entity_take_text(store, &parts, &arena, &ns, err);
    if (status == KAL_OK)
        status = kal_entity_take_text(store, &parts, &arena, &name, err);
    if (status == KAL_OK && !kal_bytes_take_le32(&record, &table_id))
        status = kal_record_corrupt("name of a table", err);
    if (status == KAL_OK)
        status = scan->visit(scan->context, ns, name, table_id, err);
    kal_arena_release(&arena);
    return status;
}

kal_status kal_table_store_scan(kal_catalog *c, const kal_kv_snapshot *snapshot, kal_bytes ns,
                                kal_table_visit visit, void *context, kal_error *err)
{
    kal_entity_key prefix;
    name_scan scan = {c, visit, context};

    kal_entity_key_init(&prefix, &c->table_names);
    if (ns.len > 0)
        kal_entity_key_text(&prefix, ns);
    return kal_entity_scan(&c->table_names, snapshot, &prefix, visit_name, &scan, err);
}

kal_status kal_catalog_scan_tables(kal_catalog *c, kal_bytes ns, kal_table_visit visit,
                                   void *context, kal_error *err)
{
    return kal_table_store_scan(c, NULL, ns, visit, context, err);
}

typedef struct id_list {
    kal_arena *arena;
    KAL_VEC(uint32_t) ids; /* arena */
} id_list;

static kal_status note_id(void *context, kal_bytes ns, kal_bytes name, uint32_t table_id,
                          kal_error *err)
{
    id_list *list = context;
    (void)ns, (void)name;
    if (!kal_vec_try_push_in(list->arena, &list->ids, table_id))
        return kal_error_set(err, KAL_LIMIT, "the list of tables exceeds the memory");
    return KAL_OK;
}

kal_status kal_catalog_table_ids(kal_catalog *c, kal_bytes ns, kal_arena *arena, uint32_t **ids_out,
                                 size_t *count_out, kal_error *err)
{
    id_list list = {.arena = arena};

    KAL_TRY(kal_catalog_scan_tables(c, ns, note_id, &list, err));
    *ids_out = list.ids.items;
    *count_out = list.ids.len;
    return KAL_OK;
}

/* ---- current versions ---- */

static void table_key(kal_catalog *c, uint32_t table_id, kal_entity_key *key)
{
    kal_entity_key_init(key, &c->tables);
    kal_entity_key_u32(key, table_id);
}

kal_status kal_table_store_record(kal_catalog *c, const kal_kv_snapshot *snapshot,
                                  uint32_t table_id, kal_table_record *out, kal_error *err)
{
    kal_entity_key key;
    kal_entity entity;
    kal_arena arena;
    kal_bytes shard = {0};

    kal_arena_init(&arena, NULL);
    table_key(c, table_id, &key);
    kal_status status = kal_entity_get(&c->tables, snapshot, &key, &arena, &entity, err);
    if (status == KAL_OK && (!kal_bytes_take_le32(&entity.record, &out->version) ||
                             !kal_bytes_take_le32(&entity.record, &out->hot_id) ||
                             !kal_bytes_take(&entity.record, 2, &shard)))
        status = kal_record_corrupt("table", err);
    if (status == KAL_OK)
        out->shard = kal_load_le16(shard.ptr);
    if (status == KAL_OK && out->shard >= KAL_SHARD_COUNT)
        status = kal_record_corrupt("table", err);
    kal_arena_release(&arena);
    return status;
}

/* ---- versions ---- */

static void version_key(kal_catalog *c, uint32_t table_id, kal_entity_key *key)
{
    kal_entity_key_init(key, &c->versions);
    kal_entity_key_u32(key, table_id);
}

static kal_status decode_version(kal_bytes record, uint8_t format, kal_arena *arena,
                                 kal_version_record *out, kal_error *err)
{
    KAL_TRY(kal_schema_version_decode(&record, format, arena, &out->step, err));
    return kal_table_definition_decode(record, arena, &out->def, err);
}

kal_status kal_table_store_version(kal_catalog *c, const kal_kv_snapshot *snapshot,
                                   uint32_t table_id, uint32_t version, kal_arena *arena,
                                   kal_version_record *out, kal_error *err)
{
    kal_entity_key key;
    kal_entity entity;

    version_key(c, table_id, &key);
    kal_entity_key_u32(&key, version);
    KAL_TRY(kal_entity_get(&c->versions, snapshot, &key, arena, &entity, err));
    return decode_version(entity.record, entity.format, arena, out, err);
}

kal_status kal_catalog_table_version(kal_catalog *c, const kal_kv_snapshot *snapshot,
                                     uint32_t table_id, uint32_t version, kal_arena *arena,
                                     kal_table_definition **def_out, kal_error *err)
{
    kal_version_record record;
    KAL_TRY(kal_table_store_version(c, snapshot, table_id, version, arena, &record, err));
    *def_out = record.def;
    return KAL_OK;
}

typedef struct history_scan {
    kal_arena *arena;
    KAL_VEC(kal_schema_version) steps; /* arena */
} history_scan;

static kal_status visit_version(void *context, kal_bytes parts, const kal_entity *entity,
                                kal_error *err)
{
    history_scan *scan = context;
    kal_bytes record = entity->record;
    kal_schema_version step;

    (void)parts;
    KAL_TRY(kal_schema_version_decode(&record, entity->format, scan->arena, &step, err));
    if (!kal_vec_try_push_in(scan->arena, &scan->steps, step))
        return kal_error_set(err, KAL_LIMIT, "the history exceeds the statement's memory");
    return KAL_OK;
}

kal_status kal_catalog_table_history(kal_catalog *c, const kal_kv_snapshot *snapshot,
                                     uint32_t table_id, kal_arena *arena,
                                     kal_schema_version **versions_out, size_t *count_out,
                                     kal_error *err)
{
    kal_entity_key prefix;
    history_scan scan = {.arena = arena};

    version_key(c, table_id, &prefix);
    KAL_TRY(kal_entity_scan(&c->versions, snapshot, &prefix, visit_version, &scan, err));
    *versions_out = scan.steps.items;
    *count_out = scan.steps.len;
    return KAL_OK;
}

/* ---- table objects ---- */

const kal_table_note *kal_table_note_get(const kal_table *table)
{
    return atomic_load_explicit(&table->note, memory_order_acquire);
}

void kal_table_note_set(kal_table *table, kal_bytes text, uint64_t number)
{
    kal_table_note *none = NULL;
    kal_table_note *note = malloc(sizeof *note + text.len); /* owned by the table */

    if (note == NULL)
        kal_die("out of memory: note of a table");
    note->number = number;
    note->len = text.len;
    memcpy(note->text, text.ptr, text.len);
    if (!atomic_compare_exchange_strong(&table->note, &none, note))
        free(note);
}

static size_t layout_bytes(const kal_table_definition *def)
{
    size_t variables = 0;
    for (uint32_t i = 0; i < def->column_count; i++)
        variables += kal_type_fixed_bytes(def->columns[i].type) == 0;
    return def->column_count * sizeof(kal_row_column) + variables * sizeof(kal_row_variable) + 64;
}

kal_table *kal_table_make(kal_catalog *c, const kal_table_definition *def, uint32_t hot_id,
                          uint16_t shard)
{
    kal_table *table = aligned_alloc(alignof(kal_table), sizeof *table); /* by its references */
    if (table == NULL)
        kal_die("out of memory: table");
    memset(table, 0, sizeof *table);
    kal_arena_init(&table->arena, NULL);
    kal_arena_reserve(&table->arena, kal_table_definition_bytes(def) + layout_bytes(def));
    kal_table_definition *copy = kal_table_definition_copy(def, 0, &table->arena);
    kal_type types[KAL_COLUMNS_MAX];
    for (uint32_t i = 0; i < copy->column_count; i++)
        types[i] = copy->columns[i].type;
    kal_row_layout_init(&table->layout, types, copy->column_count, &table->arena);
    table->def = copy;
    table->bytes = (uint32_t)(sizeof *table + table->arena.size_bytes);
    table->catalog = c;
    table->hot_id = hot_id;
    table->shard = shard;
    table->refs = 1;
    return table;
}

static kal_status load(kal_catalog *c, kal_bytes ns, kal_bytes name, kal_arena *arena,
                       kal_table **table_out, kal_error *err)
{
    uint32_t table_id = 0;
    kal_table_record record = {0};
    kal_version_record version;

    KAL_TRY(kal_table_store_id(c, NULL, ns, name, &table_id, err));
    kal_status status = kal_table_store_record(c, NULL, table_id, &record, err);
    if (status == KAL_OK)
        status = kal_table_store_version(c, NULL, table_id, record.version, arena, &version, err);
    if (status == KAL_NOT_FOUND) /* a name without its table */
        return kal_record_corrupt("table", err);
    KAL_TRY(status);
    *table_out = kal_table_make(c, version.def, record.hot_id, record.shard);
    return KAL_OK;
}

kal_status kal_table_store_load(kal_catalog *c, kal_bytes ns, kal_bytes name, kal_table **table_out,
                                kal_error *err)
{
    kal_arena arena;
    kal_arena_init(&arena, NULL);
    kal_status status = load(c, ns, name, &arena, table_out, err);
    kal_arena_release(&arena);
    return status;
}

/* ---- writing ---- */

kal_status kal_table_store_put_past(kal_catalog_change *change, const kal_table_definition *def,
                                    const kal_schema_version *step, kal_error *err)
{
    kal_catalog *c = change->catalog;
    kal_entity_key key;
    kal_buf record; /* owned */
    kal_schema_version numbered = *step;

    KAL_TRY(kal_change_commit_seq(change, &numbered.commit_seq, err));
    kal_buf_init(&record, NULL);
    kal_schema_version_encode(&numbered, &record);
    kal_table_definition_encode(def, &record);
    version_key(c, def->table_id, &key);
    kal_entity_key_u32(&key, def->schema_version);
    kal_status status =
        kal_entity_put(&c->versions, change->batch, &key, kal_buf_bytes(&record), err);
    kal_buf_release(&record);
    return status;
}

kal_status kal_table_store_put_names(kal_catalog_change *change, const kal_table_definition *def,
                                     const kal_table_record *record, kal_error *err)
{
    kal_catalog *c = change->catalog;
    kal_entity_key key;
    uint8_t id[4];
    uint8_t current[10];

    kal_store_le32(id, def->table_id);
    name_key(c, def->namespace_id, def->table_name, &key);
    KAL_TRY(kal_entity_put(&c->table_names, change->batch, &key, kal_bytes_of(id, sizeof id), err));
    kal_store_le32(current, def->schema_version);
    kal_store_le32(current + 4, record->hot_id);
    kal_store_le16(current + 8, record->shard);
    table_key(c, def->table_id, &key);
    return kal_entity_put(&c->tables, change->batch, &key, kal_bytes_of(current, sizeof current),
                          err);
}

kal_status kal_table_store_put(kal_catalog_change *change, const kal_table_definition *def,
                               const kal_table_record *record, const kal_schema_changes *changes,
                               kal_error *err)
{
    const kal_schema_version step = {
        .version = def->schema_version,
        .created_at_us = def->updated_at_us,
        .changes = *changes,
        .column_count = def->column_count,
        .actor = kal_cstr(change->actor.user_id),
    };

    KAL_TRY(kal_table_store_put_names(change, def, record, err));
    return kal_table_store_put_past(change, def, &step, err);
}

kal_status kal_table_store_delete_name(kal_catalog *c, kal_kv_batch *batch, kal_bytes ns,
                                       kal_bytes name, kal_error *err)
{
    kal_entity_key key;
    name_key(c, ns, name, &key);
    return kal_entity_delete(&c->table_names, batch, &key, err);
}

kal_status kal_table_store_delete(kal_catalog *c, kal_kv_batch *batch,
                                  const kal_table_definition *def, kal_error *err)
{
    kal_entity_key key;

    KAL_TRY(kal_table_store_delete_name(c, batch, def->namespace_id, def->table_name, err));
    table_key(c, def->table_id, &key);
    KAL_TRY(kal_entity_delete(&c->tables, batch, &key, err));
    version_key(c, def->table_id, &key);
    return kal_entity_delete_all(&c->versions, batch, &key, err);
}
