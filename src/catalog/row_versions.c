/*
 * row_versions.c: rows of older versions of a table, read as its columns of today.
 *
 * ALTER TABLE rewrites no row: a row says which version wrote it. The first time such a row is met,
 * the definition of that version is read and turned into a projection (types/row.h), which stays
 * with the table object. Definitions never change, so whichever thread comes first is right.
 */
#include "base/assert.h"
#include "catalog/catalog_internal.h"
#include "types/widen.h"

#include <stdlib.h>

typedef struct row_version {
    kal_row_projection projection;
    bool same; /* laid out like today's rows: no projection needed */
    kal_arena arena;
} row_version;

/* One entry per older version, NULL until it is met. */
struct kal_row_versions {
    uint32_t count;
    _Atomic(row_version *) items[];
};

static void free_version(row_version *v)
{
    if (v == NULL)
        return;
    kal_arena_release(&v->arena);
    free(v);
}

void kal_row_versions_free(kal_table *table)
{
    struct kal_row_versions *versions = atomic_load(&table->row_versions);
    if (versions == NULL)
        return;
    for (uint32_t i = 0; i < versions->count; i++)
        free_version(atomic_load(&versions->items[i]));
    free(versions);
}

static struct kal_row_versions *versions_of(kal_table *table)
{
    struct kal_row_versions *known =
        atomic_load_explicit(&table->row_versions, memory_order_acquire);
    uint32_t count = table->def->schema_version - 1;

    if (known != NULL)
        return known;
    struct kal_row_versions *made = calloc(1, sizeof *made + (size_t)count * sizeof made->items[0]);
    if (made == NULL)
        kal_die("out of memory: row versions");
    made->count = count;
    if (atomic_compare_exchange_strong(&table->row_versions, &known, made))
        return made;
    free(made);
    return known;
}

/* ---- making a projection ---- */

static const kal_column *find_id(const kal_table_definition *def, uint32_t column_id,
                                 uint32_t *at_out)
{
    for (uint32_t i = 0; i < def->column_count; i++) {
        if (def->columns[i].column_id == column_id) {
            *at_out = i;
            return &def->columns[i];
        }
    }
    return NULL;
}

static void init_layout(row_version *v, const kal_table_definition *def)
{
    kal_type *types = kal_arena_alloc(&v->arena, def->column_count * sizeof *types);
    for (uint32_t i = 0; i < def->column_count; i++)
        types[i] = def->columns[i].type;
    kal_row_layout_init(&v->projection.layout, types, def->column_count, &v->arena);
}

/* KAL_CORRUPT: the versions of one table do not fit together. */
static kal_status init_sources(row_version *v, const kal_table *table,
                               const kal_table_definition *old, kal_error *err)
{
    const kal_table_definition *now = table->def;
    kal_row_source *sources = kal_arena_alloc(&v->arena, now->column_count * sizeof *sources);

    v->same = now->column_count == old->column_count;
    for (uint32_t i = 0; i < now->column_count; i++) {
        const kal_column *column = &now->columns[i];
        uint32_t at = KAL_ROW_NO_COLUMN;
        const kal_column *was = find_id(old, column->column_id, &at);
        sources[i] = (kal_row_source){at, column->type, column->initial_default};
        v->same = v->same && at == i && kal_type_equal(was->type, column->type);
        if (was != NULL && !kal_type_widens(was->type, column->type))
            return kal_record_corrupt("version of a table", err);
    }
    v->projection.sources = sources;
    v->projection.column_count = now->column_count;
    return KAL_OK;
}

static kal_status load_version(kal_table *table, const kal_kv_snapshot *snapshot, uint32_t version,
                               row_version **out, kal_error *err)
{
    kal_version_record record;
    kal_arena scratch; /* owned */
    row_version *v = calloc(1, sizeof *v);

    if (v == NULL)
        kal_die("out of memory: row version");
    kal_arena_init(&scratch, NULL);
    kal_arena_init(&v->arena, NULL);
    kal_status status = kal_table_store_version(table->catalog, snapshot, table->def->table_id,
                                                version, &scratch, &record, err);
    if (status == KAL_NOT_FOUND)
        status = kal_record_corrupt("version of a table", err);
    if (status == KAL_OK) {
        init_layout(v, record.def);
        status = init_sources(v, table, record.def, err);
    }
    kal_arena_release(&scratch);
    *out = status == KAL_OK ? v : NULL;
    if (status != KAL_OK)
        free_version(v);
    return status;
}

static kal_status version_of(kal_table *table, const kal_kv_snapshot *snapshot, uint32_t version,
                             bool cached_only, row_version **out, kal_error *err)
{
    struct kal_row_versions *versions = versions_of(table);
    _Atomic(row_version *) *slot = &versions->items[version - 1];
    row_version *known = atomic_load_explicit(slot, memory_order_acquire);
    row_version *made = NULL;

    *out = known;
    if (KAL_LIKELY(known != NULL))
        return KAL_OK;
    if (cached_only)
        return KAL_BUSY;
    KAL_TRY(load_version(table, snapshot, version, &made, err));
    *out = made;
    if (atomic_compare_exchange_strong(slot, &known, made))
        return KAL_OK;
    free_version(made); /* somebody was faster */
    *out = known;
    return KAL_OK;
}

/* ---- entry point ---- */

kal_status kal_table_row_open(kal_table *table, const kal_kv_snapshot *snapshot, kal_bytes bytes,
                              bool cached_only, kal_row *row_out, kal_error *err)
{
    uint32_t version = 0;
    uint64_t seq = 0;
    row_version *v = NULL;

    KAL_TRY(kal_row_peek(bytes, &version, &seq, err));
    if (KAL_LIKELY(version == table->def->schema_version))
        return kal_row_open(&table->layout, bytes, row_out, err);
    /* Whoever looked the table up before an ALTER may read rows that were written after it. */
    if (version > table->def->schema_version && atomic_load(&table->fate) != KAL_TABLE_CURRENT)
        return kal_error_set(err, KAL_STALE, "table '%.*s' was altered meanwhile, try again",
                             KAL_FMT(table->def->table_name));
    if (version == 0 || version > table->def->schema_version)
        return kal_error_set(err, KAL_CORRUPT,
                             "a row of table '%.*s' has schema version %u, the table has %u",
                             KAL_FMT(table->def->table_name), version, table->def->schema_version);
    KAL_TRY(version_of(table, snapshot, version, cached_only, &v, err));
    if (v->same)
        return kal_row_open(&table->layout, bytes, row_out, err);
    return kal_row_open_projected(&v->projection, bytes, row_out, err);
}
