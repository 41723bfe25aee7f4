#include "catalog/system_tables.h"
#include "base/assert.h"
#include "catalog/catalog_internal.h"

typedef struct system_column {
    const char *name;
    kal_type_tag tag;
    bool is_nullable;
    bool is_key;
} system_column;

#define N                                               true, false
#define R                                               false, false
#define K                                               false, true
#define COLUMN_ROW(table, column, text, type, nullable) {text, KAL_TYPE_##type, nullable},
#define COLUMN_ROWS(table, ns, name, role)                                                         \
    static const system_column table##_ROWS[] = {KAL_##table##_COLUMNS(COLUMN_ROW)};
KAL_SYSTEM_TABLE_LIST(COLUMN_ROWS)
#undef COLUMN_ROWS
#undef COLUMN_ROW
#undef N
#undef R
#undef K

static const struct {
    const char *ns;
    const char *name;
    kal_role reader; /* the least role that may read it */
    const system_column *columns;
    size_t column_count;
} TABLES[] = {
#define TABLE_ROW(table, ns, name, role)                                                           \
    [KAL_SYSTEM_##table] = {ns, name, KAL_ROLE_##role, table##_ROWS, KAL_ARRAY_LEN(table##_ROWS)},
    KAL_SYSTEM_TABLE_LIST(TABLE_ROW)
#undef TABLE_ROW
};

kal_bytes kal_system_table_namespace(kal_system_table table)
{
    return kal_cstr(TABLES[table].ns);
}

kal_bytes kal_system_table_name(kal_system_table table)
{
    return kal_cstr(TABLES[table].name);
}

size_t kal_system_column_count(kal_system_table table)
{
    return TABLES[table].column_count;
}

const char *kal_system_column_name(kal_system_table table, size_t column)
{
    KAL_ASSERT(column < TABLES[table].column_count);
    return TABLES[table].columns[column].name;
}

bool kal_system_column_is_key(kal_system_table table, size_t column)
{
    KAL_ASSERT(column < TABLES[table].column_count);
    return TABLES[table].columns[column].is_key;
}

kal_table_definition *kal_system_table_definition(kal_system_table table, int64_t now_us,
                                                  kal_arena *arena)
{
    kal_error err = KAL_ERROR_INIT;
    kal_table_options options = kal_table_options_system();
    kal_table_definition *def = NULL;
    size_t count = TABLES[table].column_count;
    kal_column *columns = kal_arena_alloc(arena, count * sizeof *columns);

    for (size_t i = 0; i < count; i++) {
        const system_column *c = &TABLES[table].columns[i];
        columns[i] = kal_column_simple(c->name, (uint32_t)i + 1, kal_type_of(c->tag));
        columns[i].is_nullable = c->is_nullable;
    }
    kal_status status = kal_table_definition_create(
        kal_system_table_namespace(table), kal_system_table_name(table), KAL_TABLE_SYSTEM, columns,
        count, NULL, 0, &options, now_us, arena, &def, &err);
    if (status != KAL_OK)
        kal_die("system table %s: %s", TABLES[table].name, err.message);
    def->table_id = table;
    return def;
}

bool kal_catalog_may_read_system(const kal_table *table, const kal_principal *principal)
{
    uint32_t id = table->def->table_id;
    KAL_ASSERT(id > KAL_SYSTEM_NONE && id < KAL_SYSTEM_TABLE_END);
    return principal->role >= TABLES[id].reader;
}

/* ---- in the store ---- */

static bool same_definition(const kal_table_definition *a, const kal_table_definition *b)
{
    kal_buf x;
    kal_buf y;
    kal_buf_init(&x, NULL);
    kal_buf_init(&y, NULL);
    kal_table_definition_encode(a, &x);
    kal_table_definition_encode(b, &y);
    bool same = kal_bytes_equal(kal_buf_bytes(&x), kal_buf_bytes(&y));
    kal_buf_release(&x);
    kal_buf_release(&y);
    return same;
}

static kal_status put(kal_catalog_change *change, const kal_table_definition *def,
                      kal_schema_change_kind kind, kal_error *err)
{
    kal_table_record record = {.version = def->schema_version};
    kal_schema_changes changes = kal_schema_changes_of(kind, &change->arena);
    return kal_table_store_put(change, def, &record, &changes, err);
}

/* This build's definition as the next version when it differs from the stored one, which an older
 * build wrote. */
static kal_status update_stored(kal_catalog_change *change, kal_table_definition *def,
                                uint32_t version, kal_error *err)
{
    kal_version_record stored;

    KAL_TRY(kal_table_store_version(change->catalog, NULL, def->table_id, version, &change->arena,
                                    &stored, err));
    def->created_at_us = stored.def->created_at_us;
    def->updated_at_us = stored.def->updated_at_us;
    def->schema_version = version;
    if (same_definition(def, stored.def))
        return KAL_OK;
    def->schema_version = version + 1;
    def->updated_at_us = change->now_us;
    return put(change, def, KAL_SCHEMA_UPGRADE, err);
}

kal_status kal_system_tables_store(kal_catalog_change *change, kal_error *err)
{
    for (uint32_t id = KAL_SYSTEM_NONE + 1; id < KAL_SYSTEM_TABLE_END; id++) {
        kal_table_definition *def =
            kal_system_table_definition((kal_system_table)id, change->now_us, &change->arena);
        kal_table_record record;
        kal_status status = kal_table_store_record(change->catalog, NULL, id, &record, err);
        if (status == KAL_NOT_FOUND)
            status = put(change, def, KAL_SCHEMA_INITIAL, err);
        else if (status == KAL_OK)
            status = update_stored(change, def, record.version, err);
        KAL_TRY(status);
    }
    return KAL_OK;
}

kal_status kal_system_tables_warm(kal_catalog *c, kal_error *err)
{
    for (uint32_t id = KAL_SYSTEM_NONE + 1; id < KAL_SYSTEM_TABLE_END; id++) {
        kal_table *table = NULL;
        kal_status status =
            kal_table_store_load(c, kal_system_table_namespace((kal_system_table)id),
                                 kal_system_table_name((kal_system_table)id), &table, err);
        if (status == KAL_NOT_FOUND) /* it was written or compared a moment ago */
            return kal_error_set(err, KAL_CORRUPT, "the definition of system table %s is gone",
                                 TABLES[id].name);
        KAL_TRY(status);
        kal_schema_cache_put(c->cache, table);
    }
    return KAL_OK;
}
