/*
 * SHOW STATS FOR TABLE, and what system.stats counts.
 *
 * Goal: sizes are those of the rows, nobody learns of other people's rows, a big table costs a
 * bounded walk, and statements are counted one by one.
 */
#include "base/assert.h"
#include "sql/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* The value of one statistic or metric; "NULL". In the reply's arena. */
static const char *value_in(test_reply *reply, const char *name)
{
    for (size_t i = 0; reply->rows != NULL && i < reply->rows->len; i++) {
        const kal_json *row = &reply->rows->items[i];
        if (kal_bytes_equal(row->items[0].text, kal_cstr(name)))
            return row->items[1].kind == KAL_JSON_NULL
                       ? "NULL"
                       : kal_arena_cstr(&reply->arena, row->items[1].text);
    }
    fail_msg("'%s' is not in %s", name, (const char *)reply->text.ptr);
    return "";
}

static void expect_stat(test_db *db, const char *user, const char *table, const char *statistic,
                        const char *expected)
{
    char sql[128];
    snprintf(sql, sizeof sql, "SHOW STATS FOR TABLE %s", table);
    test_reply reply = test_db_query(db, &(test_query){.user = user, .sql = sql});
    const char *value = value_in(&reply, statistic);
    if (strcmp(value, expected) != 0)
        fail_msg("%s of %s for %s is %s, not %s", statistic, table, user, value, expected);
    test_reply_release(&reply);
}

static uint64_t metric(test_db *db, const char *name)
{
    test_reply reply = test_db_query(db, &(test_query){.sql = "SELECT * FROM system.stats"});
    uint64_t value = strtoull(value_in(&reply, name), NULL, 10);
    test_reply_release(&reply);
    return value;
}

static void add_rows(test_db *db, const char *user, const char *table, int first, int count)
{
    char sql[256];
    snprintf(sql, sizeof sql, "INSERT INTO %s SELECT r, 'row ' || r FROM range(%d, %d) t(r)", table,
             first, first + count);
    test_reply reply = test_db_query(db, &(test_query){.user = user, .sql = sql});
    if (reply.code != NULL)
        fail_msg("%s: %s", sql, reply.message);
    test_reply_release(&reply);
}

static test_db *open_with_users(void)
{
    test_db *db = test_db_open(false);
    test_db_add_user(db, "ann", KAL_ROLE_USER);
    test_db_add_user(db, "bob", KAL_ROLE_USER);
    test_db_add_user(db, "sam", KAL_ROLE_SERVICE);
    test_db_add_user(db, "dba", KAL_ROLE_DBA);
    test_db_run(db, "CREATE NAMESPACE app");
    test_db_run(db, "CREATE USER TABLE app.own (id BIGINT PRIMARY KEY, t TEXT)");
    test_db_run(db, "CREATE SHARED TABLE app.open (id BIGINT PRIMARY KEY, t TEXT) "
                    "WITH (ACCESS_LEVEL = 'public')");
    test_db_run(db, "CREATE SHARED TABLE app.closed (id BIGINT PRIMARY KEY, t TEXT)");
    return db;
}

static void everybody_sees_his_own_size(void **state)
{
    test_db *db = open_with_users();

    (void)state;
    add_rows(db, "ann", "app.own", 0, 30);
    add_rows(db, "bob", "app.own", 0, 5);
    add_rows(db, "sam", "app.own", 0, 2);
    expect_stat(db, "ann", "app.own", "buffered_rows", "30");
    expect_stat(db, "ann", "app.own", "logical_rows", "30");
    expect_stat(db, "ann", "app.own", "scope", "own partition");
    expect_stat(db, "bob", "app.own", "buffered_rows", "5");
    expect_stat(db, "sam", "app.own", "buffered_rows", "2");
    expect_stat(db, "dba", "app.own", "buffered_rows", "37");
    expect_stat(db, "dba", "app.own", "scope", "table");
    /* 14 bytes of prefix and 8 of key a row at least; no more for ann than for all. */
    test_reply ann =
        test_db_query(db, &(test_query){.user = "ann", .sql = "SHOW STATS FOR TABLE app.own"});
    test_reply dba =
        test_db_query(db, &(test_query){.user = "dba", .sql = "SHOW STATS FOR TABLE app.own"});
    uint64_t own = strtoull(value_in(&ann, "storage_bytes"), NULL, 10);
    uint64_t all = strtoull(value_in(&dba, "storage_bytes"), NULL, 10);
    assert_in_range(own, UINT64_C(30) * 22, UINT64_C(30) * 200);
    assert_in_range(all, own + UINT64_C(7) * 22, own + UINT64_C(7) * 200);
    test_reply_release(&ann);
    test_reply_release(&dba);
    /* A user whose partition is empty, and one whose rows are gone again. */
    test_db_run(db, "DELETE FROM app.own");
    expect_stat(db, NULL, "app.own", "buffered_rows", "37"); /* root's own were none */
    test_reply gone =
        test_db_query(db, &(test_query){.user = "bob", .sql = "DELETE FROM app.own WHERE id < 3"});
    test_reply_release(&gone);
    expect_stat(db, "bob", "app.own", "buffered_rows", "2");
    expect_stat(db, "dba", "app.own", "buffered_rows", "34");
    test_db_close(db);
}

static void who_may_not_read_may_not_ask(void **state)
{
    test_db *db = open_with_users();

    (void)state;
    add_rows(db, NULL, "app.open", 0, 12);
    add_rows(db, NULL, "app.closed", 0, 3);
    expect_stat(db, "ann", "app.open", "buffered_rows", "12");
    expect_stat(db, "ann", "app.open", "scope", "table");
    expect_stat(db, "sam", "app.closed", "buffered_rows", "3");
    test_db_expect_error(db, "ann", "SHOW STATS FOR TABLE app.closed", "PERMISSION_DENIED",
                         "app.closed");
    test_db_expect_error(db, "ann", "SHOW STATS FOR TABLE system.users", "PERMISSION_DENIED",
                         "system.users");
    test_db_expect_error(db, "ann", "SHOW STATS FOR TABLE app.opne", "TABLE_NOT_FOUND", "opne");
    test_db_expect_error(db, NULL, "SHOW STATS", "INVALID_SQL", "FOR TABLE");
    test_db_expect_error(db, NULL, "BEGIN; SHOW STATS FOR TABLE app.open; COMMIT", "UNSUPPORTED",
                         "inside a transaction");
    test_db_expect_error(db, "ann", "SELECT * FROM system.stats", "PERMISSION_DENIED",
                         "system.stats");
    test_db_expect_error(db, "sam", "SELECT * FROM system.settings", "PERMISSION_DENIED",
                         "system.settings");
    test_db_close(db);
}

static void statistics_have_their_names(void **state)
{
    test_db *db = open_with_users();

    (void)state;
    static const char *const NAMES[] = {
        "table_name", "namespace",     "table_type",      "schema_version", "storage_location",
        "created_at", "buffered_rows", "last_flush_rows", "storage_bytes",  "last_flush_timestamp"};
    test_reply reply = test_db_query(db, &(test_query){.sql = "SHOW STATS FOR TABLE app.own"});
    for (size_t i = 0; i < KAL_ARRAY_LEN(NAMES); i++) /* the original's, in its order */
        assert_true(kal_bytes_equal(reply.rows->items[i].items[0].text, kal_cstr(NAMES[i])));
    assert_string_equal(value_in(&reply, "table_name"), "own");
    assert_string_equal(value_in(&reply, "namespace"), "app");
    assert_string_equal(value_in(&reply, "table_type"), "user");
    assert_string_equal(value_in(&reply, "schema_version"), "1");
    assert_string_equal(value_in(&reply, "storage_location"), "app/own");
    assert_string_equal(value_in(&reply, "last_flush_timestamp"), "never");
    assert_string_equal(value_in(&reply, "row_count_is"), "exact");
    test_db_expect(db, NULL,
                   "SELECT count(*) FROM system.tables WHERE table_name = 'own' AND "
                   "storage_location = 'app/own'",
                   "[[\"1\"]]");
    test_reply_release(&reply);
    /* System tables have rows and no storage. */
    expect_stat(db, NULL, "system.storages", "logical_rows", "1");
    expect_stat(db, NULL, "system.storages", "buffered_rows", "0");
    expect_stat(db, NULL, "system.storages", "storage_location", "NULL");
    expect_stat(db, "ann", "system.datatypes", "storage_bytes", "0");
    test_db_close(db);
}

/* ---- big tables ---- */

typedef struct asked {
    unsigned times;
    unsigned refuse_at; /* 0: never */
} asked;

static kal_status count_asked(void *context, kal_error *err)
{
    asked *a = context;
    if (++a->times == a->refuse_at)
        return kal_error_set(err, KAL_TIMEOUT, "the time is up");
    return KAL_OK;
}

static void a_big_table_is_estimated(void **state)
{
    enum { ROWS = 60000, EXACT = 10240 };
    test_db *db = test_db_open(false);
    kal_error err = KAL_ERROR_INIT;
    kal_table *table = NULL;
    kal_table_size size;
    kal_view view;
    asked a = {0};

    (void)state;
    test_db_run(db, "CREATE SHARED TABLE big (id BIGINT PRIMARY KEY, t TEXT)");
    add_rows(db, NULL, "big", 0, ROWS);
    for (int in_files = 0; in_files < 2; in_files++) {
        if (in_files)
            test_db_reopen(db); /* write buffers become files */
        kal_exec *exec = test_db_exec(db);
        kal_catalog_worker *worker = kal_catalog_worker_open(exec->catalog);
        assert_int_equal(
            kal_catalog_get_table(worker, KAL_STR("default"), KAL_STR("big"), &table, &err),
            KAL_OK);
        kal_view_open(&view, exec->tables, 1, NULL);
        a = (asked){0};
        assert_int_equal(
            kal_view_size(&view, table, true, UINT64_MAX, count_asked, &a, &size, &err), KAL_OK);
        assert_int_equal(size.row_count, ROWS);
        assert_false(size.is_estimate);
        assert_in_range(a.times, ROWS / 1024, ROWS / 1024 + 1);
        uint64_t bytes = size.bytes;

        a = (asked){0};
        assert_int_equal(kal_view_size(&view, table, true, EXACT, count_asked, &a, &size, &err),
                         KAL_OK);
        if (in_files) {
            assert_true(size.is_estimate);
            assert_int_equal(a.times, EXACT / 1024 + 1); /* the walk ended there */
            assert_in_range(size.row_count, ROWS * 8 / 10, ROWS * 12 / 10);
            assert_in_range(size.bytes, bytes * 8 / 10, bytes * 12 / 10);
        } else {
            assert_int_equal(size.row_count, ROWS); /* nothing to measure by: all are counted */
            assert_false(size.is_estimate);
        }

        a = (asked){.refuse_at = 3};
        assert_int_equal(
            kal_view_size(&view, table, true, UINT64_MAX, count_asked, &a, &size, &err),
            KAL_TIMEOUT);
        assert_int_equal(a.times, 3);
        kal_view_close(&view);
        kal_catalog_worker_close(worker);
    }
    test_db_close(db);
}

/* ---- counting statements ---- */

static void statements_are_counted(void **state)
{
    test_db *db = open_with_users();

    (void)state;
    uint64_t before = metric(db, "total_queries");
    uint64_t errors = metric(db, "total_query_errors"); /* itself the one query since */
    assert_int_equal(metric(db, "total_queries"), before + 2);
    add_rows(db, NULL, "app.open", 0, 5);                              /* on the pool */
    test_db_run(db, "INSERT INTO app.open VALUES (100, 'x')");         /* on the lane */
    test_db_run(db, "INSERT INTO app.open SELECT 1, 'x' WHERE FALSE"); /* nothing to write */
    test_db_expect(db, NULL, "SELECT id FROM app.open WHERE id = 3", "[[\"3\"]]"); /* inline */
    test_db_run(db, "BEGIN; UPDATE app.open SET t = 'y' WHERE id = 1; SELECT 1; COMMIT");
    assert_int_equal(metric(db, "total_queries"), before + 3 + 4 + 4);
    assert_int_equal(metric(db, "total_query_errors"), errors);

    /* A request that does not parse, one that fails in its second statement, one that lacks COMMIT,
     * and a write that is refused on the lane. */
    uint64_t then = metric(db, "total_queries");
    test_db_expect_error(db, NULL, "SELEC 1; SELECT 2", "BATCH_PARSE_ERROR", "");
    test_db_expect_error(db, NULL, "SELECT 1; SELECT * FROM nowhere; SELECT 2", "TABLE_NOT_FOUND",
                         "");
    test_db_expect_error(db, NULL, "BEGIN; SELECT 1", "INVALID_INPUT", "COMMIT is missing");
    test_db_expect_error(db, NULL, "INSERT INTO app.open VALUES (100, 'again')", "DUPLICATE_KEY",
                         "");
    assert_int_equal(metric(db, "total_query_errors"), errors + 4);
    assert_int_equal(metric(db, "total_queries"), then + 1 + 1 + 1 + 2 + 2 + 1);
    assert_true(metric(db, "query_window_total") <= metric(db, "total_queries"));
    test_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_sees_his_own_size),
        cmocka_unit_test(who_may_not_read_may_not_ask),
        cmocka_unit_test(statistics_have_their_names),
        cmocka_unit_test(a_big_table_is_estimated),
        cmocka_unit_test(statements_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
