/*
 * The catalog as its users see it: over the in-memory store, with restarts.
 */
#include "base/assert.h"
#include "catalog/catalog.h"
#include "catalog/segments.h"
#include "catalog/storages.h"
#include "catalog/system_tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct fixture {
    kal_kv *kv;
    kal_sim_clock sim;
    kal_catalog *catalog;
    kal_catalog_worker *worker;
} fixture;

static const kal_principal ROOT = {.user_no = 1, .user_id = "root", .role = KAL_ROLE_SYSTEM};

static void open_catalog(fixture *f)
{
    kal_error err = KAL_ERROR_INIT;
    if (kal_catalog_open(f->kv, &f->sim.clock, NULL, &f->catalog, &err) != KAL_OK)
        fail_msg("cannot open: %s", err.message);
    f->worker = kal_catalog_worker_open(f->catalog);
}

static void close_catalog(fixture *f)
{
    kal_catalog_worker_close(f->worker);
    kal_catalog_close(f->catalog);
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->kv = kal_kv_open_mem();
    kal_sim_clock_init(&f->sim, 1700000000000000);
    open_catalog(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    close_catalog(f);
    kal_kv_close(f->kv);
    free(f);
    return 0;
}

/* Loses what was not synced, and opens again. */
static void crash(fixture *f)
{
    close_catalog(f);
    kal_kv_mem_crash(f->kv);
    open_catalog(f);
}

static kal_status create_table(fixture *f, const char *ns, const char *name, kal_error *err)
{
    kal_arena arena;
    kal_table_definition *def = NULL;
    bool existed = false;
    kal_table_options options = kal_table_options_user();
    kal_column columns[2] = {kal_column_simple("id", 1, kal_type_of(KAL_TYPE_BIGINT)),
                             kal_column_simple("name", 2, kal_type_of(KAL_TYPE_TEXT))};

    columns[0].is_nullable = false;
    columns[0].is_primary_key = true;
    kal_arena_init(&arena, NULL);
    kal_status status =
        kal_table_definition_create(kal_cstr(ns), kal_cstr(name), KAL_TABLE_USER, columns, 2, NULL,
                                    0, &options, 1, &arena, &def, err);
    assert_int_equal(status, KAL_OK);
    kal_catalog_change *change = kal_catalog_begin(f->catalog, &ROOT);
    status = kal_catalog_create_table(change, def, false, &existed, err);
    if (status == KAL_OK)
        status = kal_catalog_commit(change, err);
    kal_catalog_end(change);
    kal_arena_release(&arena);
    return status;
}

static kal_status drop_table(fixture *f, const char *ns, const char *name, kal_error *err)
{
    bool existed = false;
    kal_catalog_change *change = kal_catalog_begin(f->catalog, &ROOT);
    kal_status status =
        kal_catalog_drop_table(change, kal_cstr(ns), kal_cstr(name), false, &existed, err);
    if (status == KAL_OK)
        status = kal_catalog_commit(change, err);
    kal_catalog_end(change);
    return status;
}

static kal_status create_namespace(fixture *f, const char *name, kal_error *err)
{
    bool existed = false;
    kal_catalog_change *change = kal_catalog_begin(f->catalog, &ROOT);
    kal_status status = kal_catalog_create_namespace(change, kal_cstr(name), false, &existed, err);
    if (status == KAL_OK)
        status = kal_catalog_commit(change, err);
    kal_catalog_end(change);
    return status;
}

static kal_table *get(fixture *f, const char *ns, const char *name, kal_error *err)
{
    kal_table *table = NULL;
    kal_status status = kal_catalog_get_table(f->worker, kal_cstr(ns), kal_cstr(name), &table, err);
    return status == KAL_OK ? table : NULL;
}

static void system_tables_are_warm(void **state)
{
    /* Goal: no look-up of a system table misses after opening. Method: look all up, count. */
    fixture *f = *state;
    for (int again = 0; again < 2; again++) {
        uint64_t before = kal_catalog_cache_stats(f->catalog).misses;
        for (uint32_t id = KAL_SYSTEM_NONE + 1; id < KAL_SYSTEM_TABLE_END; id++) {
            kal_table *table = NULL;
            kal_status status =
                kal_catalog_get_table(f->worker, kal_system_table_namespace((kal_system_table)id),
                                      kal_system_table_name((kal_system_table)id), &table, NULL);
            assert_int_equal(status, KAL_OK);
            assert_int_equal(table->def->table_id, id);
            assert_int_equal(table->def->table_type, KAL_TABLE_SYSTEM);
            assert_int_equal(table->def->schema_version, 1);
        }
        assert_int_equal(kal_catalog_cache_stats(f->catalog).misses, before);
        crash(f);
    }
}

static void system_tables_have_a_history(void **state)
{
    /* Goal: each is stored with version 1, and opening again adds none. */
    fixture *f = *state;
    crash(f);
    for (uint32_t id = KAL_SYSTEM_NONE + 1; id < KAL_SYSTEM_TABLE_END; id++) {
        kal_arena arena;
        kal_schema_version *versions = NULL;
        size_t count = 0;
        kal_arena_init(&arena, NULL);
        assert_int_equal(
            kal_catalog_table_history(f->catalog, NULL, id, &arena, &versions, &count, NULL),
            KAL_OK);
        assert_int_equal(count, 1);
        assert_int_equal(versions[0].version, 1);
        assert_int_equal(versions[0].changes.items[0].kind, KAL_SCHEMA_INITIAL);
        kal_arena_release(&arena);
    }
}

static void tables_survive(void **state)
{
    /* Goal: a table needs its namespace, is there once, and is found after a crash. */
    fixture *f = *state;
    kal_error err = KAL_ERROR_INIT;

    assert_int_equal(create_table(f, "app", "t", &err), KAL_NOT_FOUND);
    assert_string_equal(err.code, "NAMESPACE_NOT_FOUND");
    assert_int_equal(create_namespace(f, "app", &err), KAL_OK);
    assert_int_equal(create_namespace(f, "app", &err), KAL_EXISTS);
    assert_null(get(f, "app", "t", NULL));
    assert_int_equal(create_table(f, "app", "t", &err), KAL_OK);
    assert_int_equal(create_table(f, "app", "t", &err), KAL_EXISTS);
    uint32_t table_id = get(f, "app", "t", &err)->def->table_id;
    crash(f);
    kal_table *table = get(f, "app", "t", &err);
    assert_non_null(table);
    assert_int_equal(table->def->table_id, table_id);
    assert_int_equal(table->def->column_count, 2);
}

static void a_dropped_table_is_retired(void **state)
{
    /* Goal: whoever still holds a dropped table can see that it is one. */
    fixture *f = *state;
    kal_error err = KAL_ERROR_INIT;

    assert_int_equal(create_table(f, "default", "t", &err), KAL_OK);
    kal_table *first = kal_table_retain(get(f, "default", "t", &err));
    uint32_t table_id = first->def->table_id;
    uint32_t hot_id = first->hot_id;
    assert_int_equal(first->fate, KAL_TABLE_CURRENT);
    assert_int_equal(drop_table(f, "default", "t", &err), KAL_OK);
    assert_int_equal(first->fate, KAL_TABLE_DROPPED);
    assert_null(get(f, "default", "t", &err));
    assert_string_equal(err.code, "TABLE_NOT_FOUND");
    assert_int_equal(drop_table(f, "default", "t", &err), KAL_NOT_FOUND);
    assert_int_equal(create_table(f, "default", "t", &err), KAL_OK);
    kal_table *second = get(f, "default", "t", &err);
    assert_true(second != first);
    assert_true(second->def->table_id > table_id);
    assert_true(second->hot_id > hot_id);
    kal_table_release(first);
    assert_int_equal(drop_table(f, "default", "t", &err), KAL_OK);
    crash(f);
    assert_null(get(f, "default", "t", NULL));
}

static void a_forgotten_change_leaves_nothing(void **state)
{
    /* Goal: end without publish: names stay free, numbers are used again, nothing leaks. */
    fixture *f = *state;
    bool existed = true;
    kal_catalog_change *change = kal_catalog_begin(f->catalog, &ROOT);
    assert_int_equal(kal_catalog_create_namespace(change, KAL_STR("app"), false, &existed, NULL),
                     KAL_OK);
    assert_false(existed);
    kal_catalog_end(change);
    assert_false(kal_catalog_has_namespace(f->catalog, KAL_STR("app")));
}

static void errors_suggest_the_near_name(void **state)
{
    fixture *f = *state;
    kal_error err = KAL_ERROR_INIT;

    assert_int_equal(create_table(f, "default", "messages", &err), KAL_OK);
    assert_null(get(f, "default", "mesages", &err));
    assert_string_equal(err.message, "table 'default.mesages' does not exist");
    assert_string_equal(err.hint, "did you mean 'default.messages'?");
    assert_null(get(f, "nowhere", "messages", &err));
    assert_string_equal(err.message, "namespace 'nowhere' does not exist");
}

static void names_are_checked(void **state)
{
    fixture *f = *state;
    static const char *const BAD[] = {"",    "1a",  "_a",         "Ab",   "a-b",
                                      "a b", "sys", "pg_catalog", "kalam"};
    for (size_t i = 0; i < KAL_ARRAY_LEN(BAD); i++)
        assert_int_equal(create_namespace(f, BAD[i], NULL), KAL_INVALID);
    assert_int_equal(create_namespace(f, "system", NULL), KAL_EXISTS);
    kal_error err = KAL_ERROR_INIT;
    assert_int_equal(create_table(f, "system", "mine", &err), KAL_DENIED);
    assert_int_equal(drop_table(f, "system", "users", &err), KAL_DENIED);
}

static void a_namespace_with_tables_needs_cascade(void **state)
{
    fixture *f = *state;
    kal_error err = KAL_ERROR_INIT;
    bool existed = false;

    assert_int_equal(create_namespace(f, "app", &err), KAL_OK);
    assert_int_equal(create_table(f, "app", "a", &err), KAL_OK);
    assert_int_equal(create_table(f, "app", "b", &err), KAL_OK);
    kal_catalog_change *change = kal_catalog_begin(f->catalog, &ROOT);
    assert_int_equal(
        kal_catalog_drop_namespace(change, KAL_STR("app"), false, false, &existed, &err),
        KAL_INVALID);
    kal_catalog_end(change);
    change = kal_catalog_begin(f->catalog, &ROOT);
    assert_int_equal(
        kal_catalog_drop_namespace(change, KAL_STR("app"), false, true, &existed, &err), KAL_OK);
    assert_int_equal(kal_catalog_commit(change, &err), KAL_OK);
    kal_catalog_end(change);
    assert_null(get(f, "app", "a", NULL));
    assert_null(get(f, "app", "b", NULL));
    assert_false(kal_catalog_has_namespace(f->catalog, KAL_STR("app")));
    crash(f);
    assert_null(get(f, "app", "a", NULL));
}

static kal_status change_user(fixture *f, kal_user *user, bool create, kal_error *err)
{
    kal_catalog_change *change = kal_catalog_begin(f->catalog, &ROOT);
    kal_status status = create ? kal_catalog_create_user(change, user, err)
                               : kal_catalog_alter_user(change, user, err);
    if (status == KAL_OK)
        status = kal_catalog_commit(change, err);
    kal_catalog_end(change);
    return status;
}

static void users_keep_numbers_and_generations(void **state)
{
    /* Goal: numbers are not reused, a change ends earlier tokens, the last manager stays. */
    fixture *f = *state;
    kal_arena arena;
    kal_user ann = {.user_id = KAL_STR("ann"),
                    .role = KAL_ROLE_DBA,
                    .auth_type = KAL_STR("password"),
                    .password_hash = KAL_STR("hash")};
    kal_user found;
    uint32_t generation = 0;
    kal_role role = KAL_ROLE_USER;
    kal_error err = KAL_ERROR_INIT;

    kal_arena_init(&arena, NULL);
    assert_false(kal_catalog_any_password(f->catalog));
    assert_int_equal(change_user(f, &ann, true, &err), KAL_OK);
    assert_int_equal(change_user(f, &ann, true, &err), KAL_EXISTS);
    assert_true(kal_catalog_any_password(f->catalog));
    assert_true(kal_catalog_user_state(f->catalog, ann.user_no, &generation, &role));
    assert_int_equal(generation, 1);
    assert_int_equal(role, KAL_ROLE_DBA);
    kal_user less = ann;
    less.role = KAL_ROLE_USER;
    assert_int_equal(change_user(f, &less, false, &err), KAL_INVALID); /* the last manager */
    kal_user root = {0};
    assert_int_equal(kal_catalog_get_user(f->catalog, KAL_STR("root"), &arena, &root, &err),
                     KAL_OK);
    root.password_hash = KAL_STR("root's");
    assert_int_equal(change_user(f, &root, false, &err), KAL_OK);
    assert_int_equal(change_user(f, &less, false, &err), KAL_OK);
    crash(f);
    assert_true(kal_catalog_user_state(f->catalog, ann.user_no, &generation, &role));
    assert_int_equal(generation, 2);
    assert_int_equal(role, KAL_ROLE_USER);
    kal_catalog_change *change = kal_catalog_begin(f->catalog, &ROOT);
    assert_int_equal(kal_catalog_drop_user(change, KAL_STR("ann"), &err), KAL_OK);
    assert_int_equal(kal_catalog_commit(change, &err), KAL_OK);
    kal_catalog_end(change);
    assert_false(kal_catalog_user_state(f->catalog, ann.user_no, &generation, &role));
    assert_int_equal(kal_catalog_get_user(f->catalog, KAL_STR("ann"), &arena, &found, &err),
                     KAL_NOT_FOUND);
    assert_int_equal(change_user(f, &ann, true, &err), KAL_EXISTS); /* its rows are still there */
    kal_arena_release(&arena);
}

/* Two rows of system.stats. */
static kal_status provide_stats(void *context, const kal_kv_snapshot *snapshot,
                                kal_system_sink *sink, kal_error *err)
{
    (void)snapshot;
    for (int i = 0; i < 2; i++) {
        char name[16]; /* copied: the second row overwrites it */
        snprintf(name, sizeof name, "metric %d", i);
        const kal_value row[] = {kal_value_text(kal_cstr(name)), kal_value_text(kal_cstr(context))};
        KAL_TRY(kal_system_sink_add(sink, row, KAL_ARRAY_LEN(row), err));
    }
    return KAL_OK;
}

static kal_status provide_setting(void *context, const kal_kv_snapshot *snapshot,
                                  kal_system_sink *sink, kal_error *err)
{
    const kal_value row[] = {kal_value_text(KAL_STR("a")),
                             kal_value_null(kal_type_of(KAL_TYPE_TEXT)),
                             kal_value_text(KAL_STR("b")), kal_value_text(KAL_STR("c"))};
    (void)context;
    (void)snapshot;
    return kal_system_sink_add(sink, row, KAL_ARRAY_LEN(row), err);
}

static void set_providers(fixture *f)
{
    static char value[] = "value";
    kal_catalog_set_provider(f->catalog, KAL_SYSTEM_STATS, provide_stats, value);
    kal_catalog_set_provider(f->catalog, KAL_SYSTEM_SETTINGS, provide_setting, NULL);
}

static kal_table *system_table(fixture *f, kal_system_table id)
{
    kal_table *table = NULL;
    kal_error err = KAL_ERROR_INIT;
    assert_int_equal(kal_catalog_get_table(f->worker, kal_system_table_namespace(id),
                                           kal_system_table_name(id), &table, &err),
                     KAL_OK);
    return table;
}

static void providers_give_rows(void **state)
{
    fixture *f = *state;
    const kal_table *table = system_table(f, KAL_SYSTEM_STATS);
    kal_system_rows rows;
    kal_arena arena;
    kal_budget budget;
    kal_error err = KAL_ERROR_INIT;

    kal_budget_init(&budget, NULL, 1 << 20);
    kal_arena_init(&arena, &budget);
    assert_int_equal(kal_catalog_system_rows(f->catalog, NULL, table, &arena, &rows, &err), KAL_OK);
    assert_int_equal(rows.row_count, 0);
    set_providers(f);
    assert_int_equal(kal_catalog_system_rows(f->catalog, NULL, table, &arena, &rows, &err), KAL_OK);
    assert_int_equal(rows.row_count, 2);
    assert_true(kal_bytes_equal(rows.values[0].bytes, KAL_STR("metric 0")));
    assert_true(kal_bytes_equal(rows.values[1].bytes, KAL_STR("value")));
    assert_true(kal_bytes_equal(rows.values[2].bytes, KAL_STR("metric 1")));
    /* Rows are charged to who reads them. */
    kal_arena_reset(&arena);
    kal_budget_init(&budget, NULL, 8);
    assert_int_equal(kal_catalog_system_rows(f->catalog, NULL, table, &arena, &rows, &err),
                     KAL_LIMIT);
    kal_arena_release(&arena);
}

static uint64_t count_rows(fixture *f, const kal_kv_snapshot *snapshot, kal_system_table id,
                           uint32_t column, const char *text)
{
    uint64_t count = 0;
    kal_error err = KAL_ERROR_INIT;
    assert_int_equal(
        kal_catalog_system_count(f->catalog, snapshot, id, column, kal_cstr(text), &count, &err),
        KAL_OK);
    return count;
}

static void counts_are_the_rows(void **state)
{
    /* Goal: the count of a system table is its number of rows, now and as of a snapshot. */
    fixture *f = *state;
    kal_arena arena;
    kal_error err = KAL_ERROR_INIT;

    kal_arena_init(&arena, NULL);
    set_providers(f);
    assert_int_equal(create_table(f, "default", "t", &err), KAL_OK);
    kal_kv_snapshot *snapshot = kal_kv_snapshot_take(f->kv);
    uint64_t tables_then = count_rows(f, NULL, KAL_SYSTEM_TABLES, 0, "");
    assert_int_equal(create_table(f, "default", "u", &err), KAL_OK);
    assert_int_equal(count_rows(f, NULL, KAL_SYSTEM_TABLES, 0, ""), tables_then + 1);
    const kal_kv_snapshot *const moments[] = {NULL, snapshot};
    for (size_t i = 0; i < 2; i++) {
        for (uint32_t id = KAL_SYSTEM_NONE + 1; id < KAL_SYSTEM_TABLE_END; id++) {
            kal_system_rows rows;
            const kal_table *table = system_table(f, (kal_system_table)id);
            assert_int_equal(
                kal_catalog_system_rows(f->catalog, moments[i], table, &arena, &rows, &err),
                KAL_OK);
            assert_int_equal(count_rows(f, moments[i], (kal_system_table)id, 0, ""),
                             rows.row_count);
        }
    }
    assert_int_equal(count_rows(f, NULL, KAL_SYSTEM_TABLES, KAL_TABLES_NAMESPACE, "default"), 2);
    assert_int_equal(count_rows(f, snapshot, KAL_SYSTEM_TABLES, KAL_TABLES_NAMESPACE, "default"),
                     1);
    assert_int_equal(count_rows(f, NULL, KAL_SYSTEM_TABLES, KAL_TABLES_NAMESPACE, "nowhere"), 0);
    assert_int_equal(count_rows(f, NULL, KAL_SYSTEM_JOBS, KAL_JOBS_STATUS, "running"), 0);
    kal_kv_snapshot_release(f->kv, snapshot);
    kal_arena_release(&arena);
}

static void rows_follow_the_definitions(void **state)
{
    /* Goal: every provider makes rows of its definition's types, NULL only where allowed. */
    fixture *f = *state;
    kal_arena arena;
    kal_error err = KAL_ERROR_INIT;

    kal_arena_init(&arena, NULL);
    set_providers(f);
    assert_int_equal(create_table(f, "default", "t", &err), KAL_OK);
    for (uint32_t id = KAL_SYSTEM_NONE + 1; id < KAL_SYSTEM_TABLE_END; id++) {
        kal_system_rows rows;
        kal_table *table = NULL;
        assert_int_equal(
            kal_catalog_get_table(f->worker, kal_system_table_namespace((kal_system_table)id),
                                  kal_system_table_name((kal_system_table)id), &table, &err),
            KAL_OK);
        assert_int_equal(kal_catalog_system_rows(f->catalog, NULL, table, &arena, &rows, &err),
                         KAL_OK);
        if (id != KAL_SYSTEM_JOBS && id != KAL_SYSTEM_LIVE_QUERIES && id != KAL_SYSTEM_SEGMENTS &&
            id != KAL_SYSTEM_LIVE)
            assert_true(rows.row_count > 0);
        for (size_t i = 0; i < rows.row_count * rows.column_count; i++) {
            const kal_column *c = &table->def->columns[i % rows.column_count];
            const kal_value *v = &rows.values[i];
            assert_true(kal_type_equal(v->type, c->type));
            assert_true(!v->is_null || c->is_nullable);
            if (!v->is_null)
                assert_int_equal(kal_value_validate(v, &err), KAL_OK);
        }
    }
    kal_arena_release(&arena);
}

/* A directory with segments says so, and one that says more than is known is refused. */
static void features_are_said(void **state)
{
    fixture *f = *state;
    static const uint8_t KEY[] = {1};
    static const uint8_t NONE[] = {1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t SEGMENTS[] = {1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t MORE[] = {1, 1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0};
    const kal_bytes key = kal_bytes_of(KEY, sizeof KEY);
    const kal_manifest_head head = {.version = 1, .active_hot_id = 7};
    kal_error err = KAL_ERROR_INIT;
    kal_catalog *catalog = NULL;
    kal_arena arena;
    kal_bytes value;

    kal_arena_init(&arena, NULL);
    assert_int_equal(kal_kv_get(f->kv, NULL, KAL_KV_CATALOG, key, &arena, &value, &err), KAL_OK);
    assert_true(kal_bytes_equal(value, kal_bytes_of(NONE, sizeof NONE)));
    kal_catalog_change *change = kal_catalog_begin(f->catalog, &ROOT);
    assert_int_equal(kal_catalog_put_manifest(change, 2000, &head, &err), KAL_OK);
    assert_int_equal(kal_catalog_commit(change, &err), KAL_OK);
    kal_catalog_end(change);
    assert_int_equal(kal_kv_get(f->kv, NULL, KAL_KV_CATALOG, key, &arena, &value, &err), KAL_OK);
    assert_true(kal_bytes_equal(value, kal_bytes_of(SEGMENTS, sizeof SEGMENTS)));
    close_catalog(f);
    open_catalog(f); /* what is known is opened */
    close_catalog(f);
    kal_kv_batch *batch = kal_kv_batch_open(f->kv);
    kal_kv_batch_put(batch, KAL_KV_CATALOG, key, kal_bytes_of(MORE, sizeof MORE));
    assert_int_equal(kal_kv_write(f->kv, batch, true, &err), KAL_OK);
    kal_kv_batch_close(batch);
    assert_int_equal(kal_catalog_open(f->kv, &f->sim.clock, NULL, &catalog, &err), KAL_UNSUPPORTED);
    kal_arena_release(&arena);
    kal_kv_close(f->kv);
    f->kv = kal_kv_open_mem();
    open_catalog(f);
}

static void a_newer_format_is_refused(void **state)
{
    fixture *f = *state;
    static const uint8_t KEY[] = {1};
    static const uint8_t RECORD[] = {1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    kal_error err = KAL_ERROR_INIT;
    kal_catalog *catalog = NULL;

    close_catalog(f);
    kal_kv_batch *batch = kal_kv_batch_open(f->kv);
    kal_kv_batch_put(batch, KAL_KV_CATALOG, kal_bytes_of(KEY, sizeof KEY),
                     kal_bytes_of(RECORD, sizeof RECORD));
    assert_int_equal(kal_kv_write(f->kv, batch, true, &err), KAL_OK);
    kal_kv_batch_close(batch);
    assert_int_equal(kal_catalog_open(f->kv, &f->sim.clock, NULL, &catalog, &err), KAL_UNSUPPORTED);
    assert_non_null(strstr(err.message, "format 9"));
    kal_kv_close(f->kv);
    f->kv = kal_kv_open_mem();
    open_catalog(f);
}

static kal_status create_storage(fixture *f, const kal_storage *storage, kal_error *err)
{
    bool existed = false;
    kal_catalog_change *change = kal_catalog_begin(f->catalog, &ROOT);
    kal_status status = kal_catalog_create_storage(change, storage, false, &existed, err);
    if (status == KAL_OK)
        status = kal_catalog_commit(change, err);
    kal_catalog_end(change);
    return status;
}

/* Records of a kind as the format before `format` had them: without the last bytes. */
static unsigned age_records(fixture *f, uint8_t kind, uint8_t format, size_t last_bytes)
{
    const uint8_t lower[] = {kind};
    const uint8_t upper[] = {(uint8_t)(kind + 1)};
    const kal_kv_range range = {
        .family = KAL_KV_CATALOG, .lower = kal_bytes_of(lower, 1), .upper = kal_bytes_of(upper, 1)};
    kal_kv_iter *iter = NULL;
    kal_kv_batch *batch = kal_kv_batch_open(f->kv);
    kal_bytes key;
    kal_bytes value;
    unsigned count = 0;

    assert_int_equal(kal_kv_iter_open(f->kv, NULL, &range, &iter, NULL), KAL_OK);
    while (kal_kv_iter_next(iter, &key, &value, NULL) == KAL_OK) {
        uint8_t older[512];
        assert_int_equal(value.ptr[0], format);
        assert_true(value.len > last_bytes && value.len <= sizeof older);
        memcpy(older, value.ptr, value.len);
        older[0] = (uint8_t)(format - 1);
        kal_kv_batch_put(batch, KAL_KV_CATALOG, key, kal_bytes_of(older, value.len - last_bytes));
        count++;
    }
    kal_kv_iter_close(iter);
    assert_int_equal(kal_kv_write(f->kv, batch, true, NULL), KAL_OK);
    kal_kv_batch_close(batch);
    return count;
}

/* Format 2 had not the five texts of S3 at the end. */
static unsigned age_storages(fixture *f)
{
    enum { KIND = 8, FORMAT = 3, TEXTS_BYTES = 5 * 4 };
    return age_records(f, KIND, FORMAT, TEXTS_BYTES);
}

/* Format 1 had no checksum of the file: nothing is compared then. */
static void older_segments_are_read(void **state)
{
    enum { KIND = 18, FORMAT = 2, TABLE = 2000 };
    fixture *f = *state;
    const kal_segment_info made = {.segment_id = 7,
                                   .table_id = TABLE,
                                   .schema_version = 1,
                                   .row_count = 3,
                                   .size_bytes = 100,
                                   .checksum = UINT64_C(0x123456789abcdef0),
                                   .storage_id = KAL_STR("local"),
                                   .object = KAL_STR("a/b")};
    kal_segment_info *found = NULL;
    size_t count = 0;
    kal_arena arena;

    kal_arena_init(&arena, NULL);
    kal_catalog_change *change = kal_catalog_begin(f->catalog, &ROOT);
    assert_int_equal(kal_catalog_put_segment(change, &made, NULL), KAL_OK);
    assert_int_equal(kal_catalog_commit(change, NULL), KAL_OK);
    kal_catalog_end(change);
    for (int is_old = 0; is_old < 2; is_old++) {
        assert_int_equal(
            kal_catalog_segments(f->catalog, NULL, TABLE, &arena, &found, &count, NULL), KAL_OK);
        assert_int_equal(count, 1);
        assert_int_equal(found[0].checksum, is_old ? 0 : made.checksum);
        assert_int_equal(found[0].size_bytes, made.size_bytes);
        assert_true(kal_bytes_equal(found[0].object, made.object));
        if (!is_old)
            assert_int_equal(age_records(f, KIND, FORMAT, sizeof made.checksum), 1);
    }
    kal_arena_release(&arena);
}

static void older_storages_are_read(void **state)
{
    fixture *f = *state;
    const kal_storage made = {.storage_id = KAL_STR("old"),
                              .name = KAL_STR("Old"),
                              .type = KAL_STR(KAL_STORAGE_TYPE_FILESYSTEM),
                              .base_directory = KAL_STR("/old"),
                              .shared_template = KAL_STR("{namespace}/{tableName}"),
                              .user_template = KAL_STR("{namespace}/{tableName}/{userId}")};
    kal_storage found;
    kal_arena arena;

    assert_int_equal(create_storage(f, &made, NULL), KAL_OK);
    close_catalog(f);
    assert_int_equal(age_storages(f), 2); /* and `local` */
    open_catalog(f);
    kal_arena_init(&arena, NULL);
    assert_int_equal(kal_catalog_get_storage(f->catalog, KAL_STR("old"), &arena, &found, NULL),
                     KAL_OK);
    assert_true(kal_bytes_equal(found.base_directory, made.base_directory));
    assert_true(kal_bytes_equal(found.user_template, made.user_template));
    assert_false(kal_storage_is_s3(&found));
    assert_int_equal(found.s3.credentials.secret_access_key.len, 0);
    assert_int_equal(kal_catalog_get_storage(f->catalog, KAL_STR("local"), &arena, &found, NULL),
                     KAL_OK);
    kal_arena_release(&arena);
}

static kal_status take_doomed(void *context, const kal_doomed_segment *doomed, kal_error *err)
{
    kal_doomed_segment *out = context;

    (void)err;
    out->segment_id = doomed->segment_id;
    out->user_min = doomed->user_min;
    out->user_max = doomed->user_max;
    return KAL_OK;
}

/* Records of format 1 do not say whose rows the segment may have: then it may be anybody's. */
static void older_doomed_segments_are_read(void **state)
{
    fixture *f = *state;
    static const uint8_t KEY[] = {0x13, 0, 0, 0, 7};
    static const char *const VALUES[] = {
        "\1\1\0\0\0s\2\0\0\0ob",
        "\2\1\0\0\0s\2\0\0\0ob\3\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0",
    };
    static const size_t LENS[] = {12, 28};

    for (size_t i = 0; i < 2; i++) {
        kal_kv_batch *batch = kal_kv_batch_open(f->kv); /* owned */
        kal_doomed_segment found = {0};
        kal_error err = KAL_ERROR_INIT;
        kal_kv_batch_put(batch, KAL_KV_CATALOG, kal_bytes_of(KEY, sizeof KEY),
                         kal_bytes_of((const uint8_t *)VALUES[i], LENS[i]));
        assert_int_equal(kal_kv_write(f->kv, batch, true, &err), KAL_OK);
        kal_kv_batch_close(batch);
        if (kal_catalog_scan_doomed(f->catalog, take_doomed, &found, &err) != KAL_OK)
            fail_msg("%s", err.message);
        assert_int_equal(found.segment_id, 7);
        assert_true(found.user_min == (i == 0 ? 0 : 3));
        assert_true(found.user_max == (i == 0 ? UINT64_MAX : 5));
    }
}

static void storages_of_s3_survive(void **state)
{
    fixture *f = *state;
    kal_storage made = {.storage_id = KAL_STR("far"),
                        .name = KAL_STR("Far"),
                        .type = KAL_STR(KAL_STORAGE_TYPE_S3),
                        .base_directory = KAL_STR("s3://bucket/a/b"),
                        .s3 = {.location = {.endpoint = KAL_STR("http://h:1"),
                                            .region = KAL_STR("eu"),
                                            .bucket = KAL_STR("bucket"),
                                            .prefix = KAL_STR("a/b")},
                               .credentials = {.access_key_id = KAL_STR("id"),
                                               .secret_access_key = KAL_STR("key"),
                                               .session_token = KAL_STR("token")}},
                        .shared_template = KAL_STR("{namespace}/{tableName}"),
                        .user_template = KAL_STR("{namespace}/{tableName}/{userId}")};
    kal_storage found;
    kal_arena arena;
    kal_error err = KAL_ERROR_INIT;

    assert_int_equal(create_storage(f, &made, NULL), KAL_OK);
    crash(f);
    kal_arena_init(&arena, NULL);
    assert_int_equal(kal_catalog_get_storage(f->catalog, KAL_STR("far"), &arena, &found, NULL),
                     KAL_OK);
    assert_true(kal_storage_is_s3(&found));
    assert_true(kal_bytes_equal(found.s3.location.endpoint, made.s3.location.endpoint));
    assert_true(kal_bytes_equal(found.s3.location.region, made.s3.location.region));
    assert_true(kal_bytes_equal(found.s3.location.bucket, made.s3.location.bucket));
    assert_true(kal_bytes_equal(found.s3.location.prefix, made.s3.location.prefix));
    assert_true(kal_bytes_equal(found.s3.credentials.secret_access_key, KAL_STR("key")));
    assert_true(kal_bytes_equal(found.s3.credentials.session_token, KAL_STR("token")));
    made.storage_id = KAL_STR("within");
    made.s3.location.prefix = KAL_STR("a");
    assert_int_equal(create_storage(f, &made, &err), KAL_INVALID);
    assert_non_null(strstr(err.message, "of storage 'far'"));
    made.s3.location.endpoint = KAL_STR("http://h:2");
    assert_int_equal(create_storage(f, &made, &err), KAL_OK);
    kal_arena_release(&arena);
}

static void opening_fails_where_a_read_fails(void **state)
{
    /* Goal: a store that cannot be read is an error of the opening, never the end of the process.
     * Method: opened with seeded read faults until both outcomes were seen. */
    fixture *f = *state;
    unsigned opened = 0;
    unsigned failed = 0;

    close_catalog(f);
    for (uint64_t seed = 1; seed <= 100; seed++) {
        kal_error err = KAL_ERROR_INIT;
        kal_kv *faults = kal_kv_open_fault(kal_kv_open_mem(), seed, 0, 0);
        kal_catalog *catalog = NULL;
        assert_int_equal(kal_catalog_open(faults, &f->sim.clock, NULL, &catalog, &err), KAL_OK);
        kal_catalog_close(catalog);
        faults = kal_kv_open_fault(faults, seed, 0, 10);
        kal_status status = kal_catalog_open(faults, &f->sim.clock, NULL, &catalog, &err);
        if (status != KAL_OK) {
            assert_int_equal(status, KAL_IO);
            assert_non_null(strstr(err.message, "cannot read the store"));
            assert_null(catalog);
        }
        *(status == KAL_OK ? &opened : &failed) += 1;
        kal_catalog_close(catalog);
        kal_kv_close(faults);
    }
    assert_true(opened > 0);
    assert_true(failed > 0);
    open_catalog(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(system_tables_are_warm),
        TEST(system_tables_have_a_history),
        TEST(tables_survive),
        TEST(a_dropped_table_is_retired),
        TEST(a_forgotten_change_leaves_nothing),
        TEST(errors_suggest_the_near_name),
        TEST(names_are_checked),
        TEST(a_namespace_with_tables_needs_cascade),
        TEST(users_keep_numbers_and_generations),
        TEST(providers_give_rows),
        TEST(counts_are_the_rows),
        TEST(rows_follow_the_definitions),
        TEST(features_are_said),
        TEST(a_newer_format_is_refused),
        TEST(older_segments_are_read),
        TEST(older_storages_are_read),
        TEST(older_doomed_segments_are_read),
        TEST(storages_of_s3_survive),
        TEST(opening_fails_where_a_read_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
