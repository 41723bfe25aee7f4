/*
 * table_testing.h: a database in memory for the tests of table/: the lane runs when it is asked to.
 */
#ifndef KAL_TESTS_TABLE_TESTING_H
#define KAL_TESTS_TABLE_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "table/table_internal.h"
#include "unit/store/store_testing.h"

typedef struct testing_db {
    kal_kv *kv;
    kal_sim_clock clock;
    kal_sched *sched;
    kal_catalog *catalog;
    kal_catalog_worker *worker;
    kal_tables *tables; /* may be closed, and set to NULL, by the test */
} testing_db;

static inline void testing_open(testing_db *db, const kal_tables_options *options)
{
    kal_error err = KAL_ERROR_INIT;
    *db = (testing_db){.kv = kal_kv_open_mem(), .sched = kal_sched_sim(1)};
    kal_sim_clock_init(&db->clock, 1700000000000000);
    testing_ok(kal_catalog_open(db->kv, &db->clock.clock, NULL, &db->catalog, &err), &err);
    db->worker = kal_catalog_worker_open(db->catalog);
    testing_ok(kal_tables_open(db->kv, db->sched, &db->clock.clock, options, &db->tables, &err),
               &err);
}

static inline void testing_close(testing_db *db)
{
    kal_tables_close(db->tables);
    kal_catalog_worker_close(db->worker);
    kal_catalog_close(db->catalog);
    kal_sched_close(db->sched);
    kal_kv_close(db->kv);
}

/* default.NAME (id BIGINT PRIMARY KEY); borrowed from the worker. */
static inline kal_table *testing_table(testing_db *db, const char *name, kal_table_type type)
{
    static const kal_principal ROOT = {.user_no = 1, .user_id = "root", .role = KAL_ROLE_SYSTEM};
    kal_error err = KAL_ERROR_INIT;
    kal_table_options options = kal_table_options_default(type);
    kal_column id = kal_column_simple("id", 1, kal_type_of(KAL_TYPE_BIGINT));
    kal_table_definition *def = NULL;
    kal_table *table = NULL;
    bool existed = false;
    kal_arena arena;

    id.is_nullable = false;
    id.is_primary_key = true;
    kal_arena_init(&arena, NULL);
    testing_ok(kal_table_definition_create(KAL_STR("default"), kal_cstr(name), type, &id, 1, NULL,
                                           0, &options, 1, &arena, &def, &err),
               &err);
    kal_catalog_change *change = kal_catalog_begin(db->catalog, &ROOT);
    testing_ok(kal_catalog_create_table(change, def, false, &existed, &err), &err);
    testing_ok(kal_catalog_commit(change, &err), &err);
    kal_catalog_end(change);
    kal_arena_release(&arena);
    testing_ok(kal_catalog_get_table(db->worker, KAL_STR("default"), kal_cstr(name), &table, &err),
               &err);
    return table;
}

static inline kal_bytes testing_key(const kal_table *table, int64_t id, kal_buf *buf)
{
    kal_error err = KAL_ERROR_INIT;
    kal_value value = kal_value_bigint(id);
    kal_buf_clear(buf);
    testing_ok(kal_table_key(table, &value, buf, &err), &err);
    return kal_buf_bytes(buf);
}

#endif
