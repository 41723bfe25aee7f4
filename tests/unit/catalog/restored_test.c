/*
 * Tables that are being restored: nobody sees them before they are published, and after a crash
 * neither they nor their rows are there. Over the in-memory store, which loses what was not synced.
 */
#include "base/assert.h"
#include "catalog/restored.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct fixture {
    kal_kv *kv;
    kal_sim_clock sim;
    kal_catalog *catalog;
    kal_catalog_worker *worker;
    kal_arena arena;
} fixture;

static const kal_principal ROOT = {.user_no = 1, .user_id = "root", .role = KAL_ROLE_SYSTEM};

static void open_catalog(fixture *f)
{
    assert_int_equal(kal_catalog_open(f->kv, &f->sim.clock, NULL, &f->catalog, NULL), KAL_OK);
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
    kal_arena_init(&f->arena, NULL);
    open_catalog(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    close_catalog(f);
    kal_kv_close(f->kv);
    kal_arena_release(&f->arena);
    free(f);
    return 0;
}

static void crash(fixture *f)
{
    close_catalog(f);
    kal_kv_mem_crash(f->kv);
    open_catalog(f);
}

static kal_table_definition *definition(fixture *f, const char *name, kal_table_type type)
{
    kal_table_options options =
        type == KAL_TABLE_STREAM ? kal_table_options_stream(60) : kal_table_options_user();
    kal_column columns[2] = {kal_column_simple("id", 1, kal_type_of(KAL_TYPE_BIGINT)),
                             kal_column_simple("name", 2, kal_type_of(KAL_TYPE_TEXT))};
    kal_table_definition *def = NULL;

    columns[0].is_nullable = false;
    columns[0].is_primary_key = true;
    assert_int_equal(kal_table_definition_create(KAL_STR("back"), kal_cstr(name), type, columns, 2,
                                                 NULL, 0, &options, 1, &f->arena, &def, NULL),
                     KAL_OK);
    return def;
}

static kal_table *begin(fixture *f, const kal_table_definition *def)
{
    kal_catalog_change *change = kal_catalog_begin(f->catalog, &ROOT);
    kal_table *table = NULL;

    assert_int_equal(kal_catalog_begin_restored(change, def, &table, NULL), KAL_OK);
    assert_int_equal(kal_catalog_commit(change, NULL), KAL_OK);
    kal_catalog_end(change);
    return table;
}

/* Some bytes in the table's hot space: as far as the catalog is concerned, rows. */
static void put_rows(fixture *f, const kal_table *table, kal_kv_family family)
{
    kal_kv_batch *batch = kal_kv_batch_open(f->kv);
    uint8_t key[16] = {0};

    kal_store_be32(key, table->hot_id);
    for (uint8_t i = 0; i < 10; i++) {
        key[15] = i;
        kal_kv_batch_put(batch, family, kal_bytes_of(key, sizeof key), KAL_STR("row"));
    }
    assert_int_equal(kal_kv_write(f->kv, batch, true, NULL), KAL_OK);
    kal_kv_batch_close(batch);
}

static size_t count_rows(fixture *f, kal_kv_family family)
{
    kal_kv_range all = {.family = family,
                        .lower = kal_bytes_of("\0", 1),
                        .upper = kal_bytes_of("\xff\xff\xff\xff", 4)};
    kal_kv_iter *iter = NULL;
    kal_bytes key;
    kal_bytes value;
    size_t count = 0;

    assert_int_equal(kal_kv_iter_open(f->kv, NULL, &all, &iter, NULL), KAL_OK);
    while (kal_kv_iter_next(iter, &key, &value, NULL) == KAL_OK)
        count++;
    kal_kv_iter_close(iter);
    return count;
}

static kal_status look_up(fixture *f, const char *name)
{
    kal_table *table = NULL;
    return kal_catalog_get_table(f->worker, KAL_STR("back"), kal_cstr(name), &table, NULL);
}

static size_t sweep(fixture *f)
{
    size_t count = 0;
    assert_int_equal(kal_catalog_sweep_restored(f->catalog, &count, NULL), KAL_OK);
    return count;
}

static kal_restored_version first_version(fixture *f, const kal_table_definition *def)
{
    return (kal_restored_version){
        .step = {.version = 1,
                 .created_at_us = 7,
                 .changes = kal_schema_changes_of(KAL_SCHEMA_INITIAL, &f->arena),
                 .column_count = 2,
                 .actor = KAL_STR("somebody")},
        .def = def,
    };
}

static kal_status publish(fixture *f, const kal_table *table, const kal_restored_version *versions,
                          size_t count)
{
    const kal_namespace_info info = {.created_at_us = 5,
                                     .options = KAL_STR("{\"colour\":\"red\"}")};
    kal_catalog_change *change = kal_catalog_begin(f->catalog, &ROOT);

    kal_status status = kal_catalog_restore_namespace(change, KAL_STR("back"), &info, NULL);
    if (status == KAL_OK)
        status = kal_catalog_publish_restored(change, table, versions, count, NULL);
    if (status == KAL_OK)
        status = kal_catalog_commit(change, NULL);
    kal_catalog_end(change);
    return status;
}

/* Goal: before it is published a table is nowhere, and a crash takes its rows. Method: tables of
 * both families of rows, a crash, the sweep of the start, twice. */
static void test_swept(void **state)
{
    fixture *f = *state;
    kal_table *user = begin(f, definition(f, "own", KAL_TABLE_USER));
    kal_table *stream = begin(f, definition(f, "feed", KAL_TABLE_STREAM));
    uint32_t hot_id = user->hot_id;
    uint32_t *ids = NULL;
    size_t count = 0;

    assert_int_not_equal(user->hot_id, stream->hot_id);
    assert_int_not_equal(user->def->table_id, stream->def->table_id);
    put_rows(f, user, KAL_KV_ROWS);
    put_rows(f, stream, KAL_KV_STREAM);
    assert_int_equal(look_up(f, "own"), KAL_NOT_FOUND);
    assert_false(kal_catalog_has_namespace(f->catalog, KAL_STR("back")));
    assert_int_equal(
        kal_catalog_table_ids(f->catalog, KAL_STR("back"), &f->arena, &ids, &count, NULL), KAL_OK);
    assert_int_equal(count, 0);
    kal_table_release(user);
    kal_table_release(stream);
    crash(f);
    assert_int_equal(count_rows(f, KAL_KV_ROWS), 10);
    assert_int_equal(sweep(f), 2);
    assert_int_equal(count_rows(f, KAL_KV_ROWS), 0);
    assert_int_equal(count_rows(f, KAL_KV_STREAM), 0);
    assert_int_equal(sweep(f), 0);
    crash(f);
    assert_int_equal(sweep(f), 0);
    kal_table *next = begin(f, definition(f, "own", KAL_TABLE_USER));
    assert_true(next->hot_id > hot_id); /* numbers are not used again */
    kal_table_release(next);
}

/* Goal: a published table is one like any other and no sweep touches it; a change that is not
 * committed leaves it as it was. Method: publish, look, crash, sweep, look. */
static void test_published(void **state)
{
    fixture *f = *state;
    kal_table *table = begin(f, definition(f, "own", KAL_TABLE_USER));
    const kal_restored_version version = first_version(f, table->def);
    kal_namespace_info info;
    kal_schema_version *steps = NULL;
    size_t count = 0;

    put_rows(f, table, KAL_KV_ROWS);
    assert_int_equal(publish(f, table, &version, 1), KAL_OK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(look_up(f, "own"), KAL_OK);
        assert_int_equal(sweep(f), 0);
        assert_int_equal(count_rows(f, KAL_KV_ROWS), 10);
        assert_int_equal(
            kal_catalog_get_namespace(f->catalog, NULL, KAL_STR("back"), &f->arena, &info, NULL),
            KAL_OK);
        assert_int_equal(info.created_at_us, 5);
        assert_true(kal_bytes_equal(info.options, KAL_STR("{\"colour\":\"red\"}")));
        assert_int_equal(kal_catalog_table_history(f->catalog, NULL, table->def->table_id,
                                                   &f->arena, &steps, &count, NULL),
                         KAL_OK);
        assert_int_equal(count, 1);
        assert_true(kal_bytes_equal(steps[0].actor, KAL_STR("somebody")));
        assert_int_equal(steps[0].created_at_us, 7);
        crash(f);
    }
    kal_table_release(table);
}

/* Goal: a history that cannot be is refused, and nothing of it is there. Method: too few versions,
 * a wrong number, another namespace, a namespace that exists. */
static void test_refused(void **state)
{
    fixture *f = *state;
    kal_table *table = begin(f, definition(f, "own", KAL_TABLE_USER));
    kal_restored_version version = first_version(f, table->def);
    kal_table_definition *def = kal_table_definition_copy(table->def, 0, &f->arena);

    assert_int_equal(publish(f, table, &version, 0), KAL_INVALID);
    version.step.version = 2;
    assert_int_equal(publish(f, table, &version, 1), KAL_INVALID);
    version = first_version(f, def);
    def->namespace_id = KAL_STR("other");
    assert_int_equal(publish(f, table, &version, 1), KAL_INVALID);
    assert_false(kal_catalog_has_namespace(f->catalog, KAL_STR("back")));
    version = first_version(f, table->def);
    assert_int_equal(publish(f, table, &version, 1), KAL_OK);
    assert_int_equal(publish(f, table, &version, 1), KAL_EXISTS);
    kal_table_release(table);
}

/* Goal: one that is given up is gone with its rows, others stay. Method: two, one is forgotten. */
static void test_forgotten(void **state)
{
    fixture *f = *state;
    kal_table *one = begin(f, definition(f, "one", KAL_TABLE_USER));
    kal_table *two = begin(f, definition(f, "two", KAL_TABLE_USER));
    kal_catalog_change *change = NULL;

    put_rows(f, one, KAL_KV_ROWS);
    put_rows(f, two, KAL_KV_ROWS);
    change = kal_catalog_begin(f->catalog, &ROOT);
    assert_int_equal(kal_catalog_forget_restored(change, one, NULL), KAL_OK);
    assert_int_equal(kal_catalog_commit(change, NULL), KAL_OK);
    kal_catalog_end(change);
    assert_int_equal(count_rows(f, KAL_KV_ROWS), 10);
    assert_int_equal(sweep(f), 1);
    assert_int_equal(count_rows(f, KAL_KV_ROWS), 0);
    kal_table_release(one);
    kal_table_release(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_swept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_published, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_forgotten, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
