/*
 * random_definition.h: valid table definitions from a seed, of any version and with gaps.
 */
#ifndef KAL_TESTS_SCHEMA_RANDOM_DEFINITION_H
#define KAL_TESTS_SCHEMA_RANDOM_DEFINITION_H

#include "schema/table_alter.h"
#include "unit/types/random_value.h"

/* A name that SQL may have to quote, unique by its number. */
static inline kal_bytes random_name(kal_rng *rng, uint32_t number, kal_arena *arena)
{
    static const char *const STEMS[] = {
        "a", "order", "Mixed", "two words", "\xC3\xA9t\xC3\xA9", "quo\"te", "_x", "9"};
    const char *stem = STEMS[kal_rng_below(rng, KAL_ARRAY_LEN(STEMS))];
    return kal_cstr(kal_arena_printf(arena, "%s%u", stem, number));
}

static inline kal_bytes random_comment(kal_rng *rng, kal_arena *arena)
{
    if (kal_rng_chance(rng, 2, 3))
        return (kal_bytes){0};
    kal_bytes text = random_text(rng, (size_t)kal_rng_below(rng, 12), arena);
    return text.ptr != NULL ? text : kal_arena_copy(arena, text);
}

static inline kal_column_default random_default(kal_rng *rng, kal_type type, kal_arena *arena)
{
    kal_column_default def = {0};
    switch (kal_rng_below(rng, 3)) {
    case 0:
        break;
    case 1:
        def.kind = KAL_DEFAULT_LITERAL;
        def.literal = random_value(rng, type, arena);
        break;
    default:
        def.kind = KAL_DEFAULT_FUNCTION;
        def.function = (kal_default_function)kal_rng_below(rng, KAL_FUNCTION_CURRENT_USER + 1);
        if (def.function == KAL_FUNCTION_CURRENT_TIMESTAMP && kal_rng_chance(rng, 1, 2)) {
            def.arg_count = 1;
            def.args[0] = (int64_t)kal_rng_below(rng, 7);
        }
        if (kal_column_default_validate(&def, type, KAL_STR("c"), NULL) != KAL_OK)
            def = (kal_column_default){0};
        break;
    }
    return def;
}

static inline kal_column random_column(kal_rng *rng, uint32_t number, kal_arena *arena)
{
    kal_column column = {0};
    column.name = random_name(rng, number, arena);
    column.type = random_type(rng);
    column.is_nullable = kal_rng_chance(rng, 1, 2);
    column.is_partition_key = kal_rng_chance(rng, 1, 4);
    kal_column_default *def = KAL_NEW(arena, kal_column_default);
    *def = random_default(rng, column.type, arena);
    column.default_value = def;
    column.comment = random_comment(rng, arena);
    return column;
}

static inline kal_table_options random_options(kal_rng *rng, kal_table_type type)
{
    kal_table_options o = kal_table_options_default(type);
    o.compression = type == KAL_TABLE_SYSTEM ? 0 : kal_rng_below(rng, 4);
    if (type == KAL_TABLE_USER || type == KAL_TABLE_SHARED) {
        snprintf(o.storage_id, sizeof o.storage_id, "s%llu",
                 (unsigned long long)kal_rng_below(rng, 1000));
        o.flush_policy.row_limit = (uint32_t)kal_rng_below(rng, 1000000);
        o.flush_policy.interval_seconds = 1 + (uint32_t)kal_rng_below(rng, 86399);
        o.deleted_retention_hours = kal_rng_below(rng, (uint64_t)INT64_MAX);
    }
    if (type == KAL_TABLE_USER) {
        o.max_rows_per_user = kal_rng_below(rng, 1000);
        o.partition_by_user = kal_rng_below(rng, 2);
        o.use_user_storage = kal_rng_below(rng, 2);
    }
    if (type == KAL_TABLE_SHARED)
        o.access_level = kal_rng_below(rng, 4);
    if (type == KAL_TABLE_SHARED || type == KAL_TABLE_SYSTEM)
        o.cache_ttl_seconds = kal_rng_below(rng, 5000);
    if (type == KAL_TABLE_STREAM) {
        o.ttl_seconds = 1 + kal_rng_below(rng, 100000);
        o.eviction_strategy = kal_rng_below(rng, 3);
        o.max_stream_size_bytes = kal_rng_below(rng, 1u << 30);
    }
    return o;
}

/* A first version with up to `columns_max` columns, a key of up to three in any order. */
static inline kal_table_definition *random_first_version(kal_rng *rng, uint32_t columns_max,
                                                         kal_arena *arena, kal_error *err)
{
    uint32_t count = 1 + (uint32_t)kal_rng_below(rng, columns_max);
    kal_table_type type = (kal_table_type)kal_rng_below(rng, 4);
    kal_column *columns = kal_arena_alloc(arena, count * sizeof *columns);
    kal_table_options options = random_options(rng, type);
    kal_bytes keys[3];
    size_t key_count = 0;
    kal_table_definition *def = NULL;

    for (uint32_t i = 0; i < count; i++) {
        columns[i] = random_column(rng, i, arena);
        columns[i].ordinal_position = i + 1;
    }
    for (uint32_t i = 0; i < count && key_count < KAL_ARRAY_LEN(keys); i++) {
        if (i > 0 && (!kal_type_may_be_key(columns[i].type) || kal_rng_chance(rng, 1, 2)))
            continue;
        if (!kal_type_may_be_key(columns[i].type)) {
            columns[i].type = kal_type_of(KAL_TYPE_BIGINT);
            columns[i].default_value = NULL;
        }
        columns[i].is_nullable = false;
        keys[key_count++] = columns[i].name;
    }
    for (size_t i = key_count; i > 1; i--) { /* key order is not column order */
        size_t k = (size_t)kal_rng_below(rng, i);
        kal_bytes swapped = keys[i - 1];
        keys[i - 1] = keys[k];
        keys[k] = swapped;
    }
    for (uint32_t i = count; i > 1; i--) { /* columns may come in any order */
        uint32_t k = (uint32_t)kal_rng_below(rng, i);
        kal_column swapped = columns[i - 1];
        columns[i - 1] = columns[k];
        columns[k] = swapped;
    }
    if (kal_table_definition_create(random_name(rng, 0, arena), random_name(rng, 1, arena), type,
                                    columns, count, keys, key_count, &options,
                                    (int64_t)kal_rng_next(rng), arena, &def, err) != KAL_OK)
        return NULL;
    def->table_id = (uint32_t)kal_rng_next(rng);
    def->comment = random_comment(rng, arena);
    return def;
}

static inline kal_view_query random_view_query(kal_rng *rng, kal_arena *arena)
{
    kal_view_query view = {.text = kal_arena_copy(arena, random_text(rng, 20, arena)),
                           .sql = kal_arena_copy(arena, random_text(rng, 40, arena)),
                           .table_count = (uint32_t)kal_rng_below(rng, 4)};
    view.tables = kal_arena_alloc(arena, (view.table_count + 1) * sizeof *view.tables);
    for (uint32_t i = 0; i < view.table_count; i++) {
        kal_view_table *t = &view.tables[i];
        t->namespace_id = random_name(rng, i, arena);
        t->table_name = random_name(rng, i, arena);
        t->column_count = (uint32_t)kal_rng_below(rng, 5);
        t->columns = kal_arena_alloc(arena, (t->column_count + 1) * sizeof *t->columns);
        for (uint32_t c = 0; c < t->column_count; c++)
            t->columns[c] = random_name(rng, c, arena);
    }
    return view;
}

static inline kal_table_definition *random_view(kal_rng *rng, uint32_t columns_max,
                                                kal_arena *arena, kal_error *err)
{
    uint32_t count = 1 + (uint32_t)kal_rng_below(rng, columns_max);
    kal_column *columns = kal_arena_alloc(arena, count * sizeof *columns);
    kal_view_query view = random_view_query(rng, arena);
    kal_table_definition *def = NULL;

    for (uint32_t i = 0; i < count; i++)
        columns[i] = (kal_column){.name = random_name(rng, i, arena),
                                  .ordinal_position = i + 1,
                                  .type = random_type(rng),
                                  .is_nullable = true};
    if (kal_view_definition_create(random_name(rng, 0, arena), random_name(rng, 1, arena), columns,
                                   count, &view, (int64_t)kal_rng_next(rng), arena, &def,
                                   err) != KAL_OK)
        return NULL;
    def->table_id = (uint32_t)kal_rng_next(rng);
    def->comment = random_comment(rng, arena);
    return def;
}

/* Any version: columns were added and dropped up to `steps_max` times. NULL with err set on
 * failure, which is a bug of the code under test. */
static inline kal_table_definition *random_definition(kal_rng *rng, uint32_t columns_max,
                                                      unsigned steps_max, kal_arena *arena,
                                                      kal_error *err)
{
    kal_table_definition *def = random_first_version(rng, columns_max, arena, err);
    for (uint64_t steps = kal_rng_below(rng, steps_max + 1u); def != NULL && steps > 0; steps--) {
        kal_table_definition *next = NULL;
        uint32_t at = (uint32_t)kal_rng_below(rng, def->column_count);
        if (kal_rng_chance(rng, 1, 2) && !def->columns[at].is_primary_key) {
            if (kal_table_definition_drop_column(def, def->columns[at].name, def->updated_at_us,
                                                 arena, &next, err) != KAL_OK)
                return NULL;
        } else {
            kal_column column = random_column(rng, def->column_id_max + 1, arena);
            if (kal_table_definition_add_column(def, &column, def->updated_at_us, arena, &next,
                                                err) != KAL_OK)
                return NULL;
        }
        def = next;
    }
    return def;
}

#endif
