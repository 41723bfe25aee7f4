/*
 * live_support.h: a table and a live query of it, bound.
 */
#ifndef KAL_TESTS_SQL_LIVE_SUPPORT_H
#define KAL_TESTS_SQL_LIVE_SUPPORT_H

#include "base/assert.h"
#include "sql/bind_live.h"
#include "sql/parser.h"
#include "types/key.h"

#define LIVE_COLUMNS 12

/* app.t: id BIGINT PRIMARY KEY and a nullable column of many types */
static inline kal_table_definition *live_table(kal_arena *arena)
{
    static const struct {
        const char *name;
        kal_type_tag tag;
    } COLUMNS[LIVE_COLUMNS] = {
        {"id", KAL_TYPE_BIGINT}, {"b", KAL_TYPE_BOOLEAN}, {"s", KAL_TYPE_SMALLINT},
        {"i", KAL_TYPE_INT},     {"l", KAL_TYPE_BIGINT},  {"d", KAL_TYPE_DOUBLE},
        {"f", KAL_TYPE_FLOAT},   {"t", KAL_TYPE_TEXT},    {"de", KAL_TYPE_DECIMAL},
        {"da", KAL_TYPE_DATE},   {"j", KAL_TYPE_JSON},    {"ts", KAL_TYPE_TIMESTAMP},
    };
    kal_column columns[LIVE_COLUMNS];
    kal_table_definition *def = NULL;
    kal_error err = KAL_ERROR_INIT;
    kal_table_options options = kal_table_options_default(KAL_TABLE_USER);
    for (uint32_t i = 0; i < LIVE_COLUMNS; i++) {
        kal_type type = COLUMNS[i].tag == KAL_TYPE_DECIMAL ? kal_type_decimal(10, 2)
                                                           : kal_type_of(COLUMNS[i].tag);
        columns[i] = kal_column_simple(COLUMNS[i].name, i + 1, type);
    }
    columns[0].is_primary_key = true;
    columns[0].is_nullable = false;
    kal_status status =
        kal_table_definition_create(KAL_STR("app"), KAL_STR("t"), KAL_TABLE_USER, columns,
                                    LIVE_COLUMNS, NULL, 0, &options, 0, arena, &def, &err);
    KAL_ASSERT(status == KAL_OK);
    return def;
}

static inline kal_status live_bind(kal_bytes sql, const kal_table_definition *def, kal_arena *arena,
                                   kal_live_plan *plan, kal_error *err)
{
    kal_sql_live *live = KAL_NEW(arena, kal_sql_live);
    kal_binder binder = {.def = def, .arena = arena};
    KAL_TRY(kal_sql_parse_live(sql, arena, live, err));
    return kal_live_bind(live, &binder, plan, err);
}

#endif
