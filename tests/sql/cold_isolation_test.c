/*
 * Rows of two users in one segment.
 *
 * Goal: no statement of one shows, changes or is disturbed by anything of the other's: points,
 * ranges, joins, sub-selects, counts, expressions that fail, uniqueness, writes. Method: ann and
 * bob have rows with the same keys and with keys of their own in one file; bob's values are such
 * that looking at them is an error. Everything is asked with and without DuckDB, before and after
 * bob's rows change, after ALTER TABLE, compaction and a restart.
 */
#include "base/assert.h"
#include "sql/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void run_as(test_db *db, const char *user, const char *sql)
{
    test_reply reply = test_db_query(db, &(test_query){.user = user, .sql = sql});
    if (reply.code != NULL)
        fail_msg("%s: %s: %s", user, sql, reply.message);
    test_reply_release(&reply);
}

/* The same rows both ways. */
static void expect_both(test_db *db, const char *user, const char *sql, const char *rows)
{
    static const kal_path PATHS[] = {KAL_PATH_AUTO, KAL_PATH_ENGINE};
    for (size_t i = 0; i < KAL_ARRAY_LEN(PATHS); i++) {
        const test_query query = {.user = user, .sql = sql, .path = PATHS[i]};
        test_reply reply = test_db_query(db, &query);
        kal_buf text;
        kal_json_writer w;
        if (reply.code != NULL)
            fail_msg("%s: %s: %s", user, sql, reply.message);
        kal_buf_init(&text, NULL);
        kal_json_writer_init(&w, &text);
        kal_json_write_tree(reply.rows, &w);
        if (!kal_bytes_equal(kal_buf_bytes(&text), kal_cstr(rows)))
            fail_msg("%s: %s (path %d)\n gave: %.*s\nwanted: %s", user, sql, (int)PATHS[i],
                     KAL_FMT(kal_buf_bytes(&text)), rows);
        kal_buf_release(&text);
        test_reply_release(&reply);
    }
}

/* ann: keys 1 to 5, n = 10 * key, numbers as texts. bob: keys 3 to 8, texts that are no numbers and
 * values whose sum is out of range. */
static test_db *open_filled(void)
{
    test_db *db = test_db_open(false);
    test_db_run(db, "CREATE NAMESPACE app");
    test_db_add_user(db, "ann", KAL_ROLE_USER);
    test_db_add_user(db, "bob", KAL_ROLE_USER);
    test_db_run(db, "CREATE USER TABLE app.t (id BIGINT PRIMARY KEY, n BIGINT, s TEXT)");
    run_as(db, "ann", "INSERT INTO app.t SELECT i, 10 * i, CAST(i AS TEXT) FROM range(1, 6) r(i)");
    run_as(db, "bob",
           "INSERT INTO app.t SELECT i, 9223372036854775807, 'of bob' FROM range(3, 9) r(i)");
    test_db_run(db, "FLUSH TABLE app.t");
    test_db_expect(db, NULL, "SELECT count(*), sum(row_count) FROM system.segments",
                   "[[\"1\",\"11\"]]");
    return db;
}

/* What ann sees, whatever bob does. */
static void check_reads_of_ann(test_db *db)
{
    expect_both(db, "ann", "SELECT id, n, s FROM app.t WHERE id >= 4 ORDER BY id",
                "[[\"4\",\"40\",\"4\"],[\"5\",\"50\",\"5\"]]");
    expect_both(db, "ann", "SELECT n FROM app.t WHERE id = 3", "[[\"30\"]]");
    expect_both(db, "ann", "SELECT n FROM app.t WHERE id = 7", "[]");
    expect_both(db, "ann", "SELECT n FROM app.t WHERE id IN (6, 7, 8)", "[]");
    expect_both(db, "ann", "SELECT count(*) FROM app.t", "[[\"5\"]]");
    expect_both(db, "ann", "SELECT count(*), sum(n), min(s), max(s), max(id) FROM app.t",
                "[[\"5\",\"150\",\"1\",\"5\",\"5\"]]");
    expect_both(db, "ann", "SELECT id FROM app.t WHERE s LIKE '%bob%' OR n > 1000", "[]");
    expect_both(db, "ann", "SELECT id FROM app.t ORDER BY id DESC LIMIT 1", "[[\"5\"]]");
    /* Looking at one of bob's values would be an error. */
    expect_both(db, "ann", "SELECT sum(CAST(s AS BIGINT)) FROM app.t", "[[\"15\"]]");
    expect_both(db, "ann", "SELECT sum(n + 1) FROM app.t", "[[\"155\"]]");
    expect_both(db, "ann", "SELECT id FROM app.t WHERE n + 1 = 11", "[[\"1\"]]");
    expect_both(db, "ann", "SELECT count(*) FROM app.t a JOIN app.t b ON a.id = b.id", "[[\"5\"]]");
    expect_both(db, "ann", "SELECT count(*) FROM app.t a, app.t b WHERE b.n > a.n", "[[\"10\"]]");
    expect_both(db, "ann",
                "SELECT id FROM app.t a WHERE NOT EXISTS (SELECT 1 FROM app.t b WHERE b.id > a.id)",
                "[[\"5\"]]");
    expect_both(db, "ann", "SELECT x.m FROM (SELECT max(n) AS m FROM app.t) x", "[[\"50\"]]");
    expect_both(db, "ann",
                "WITH RECURSIVE w AS (SELECT 1 AS i UNION ALL SELECT id + 1 FROM w JOIN app.t ON "
                "app.t.id = w.i) SELECT max(i) FROM w",
                "[[6]]");
    expect_both(db, "root", "SELECT count(*) FROM app.t", "[[\"0\"]]");
}

static void check_stat(test_db *db, const char *user, const char *statistic, const char *value)
{
    test_reply reply =
        test_db_query(db, &(test_query){.user = user, .sql = "SHOW STATS FOR TABLE app.t"});
    char wanted[64];
    snprintf(wanted, sizeof wanted, "[\"%s\",%s]", statistic, value);
    if (reply.code != NULL || strstr((const char *)reply.text.ptr, wanted) == NULL)
        fail_msg("%s: %s is not in %.*s", user, wanted, KAL_FMT(reply.text));
    test_reply_release(&reply);
}

static void check_stats(test_db *db, const char *user, const char *rows)
{
    char value[16];
    snprintf(value, sizeof value, "\"%s\"", rows);
    check_stat(db, user, "logical_rows", value);
}

/* What is hot and what was flushed; how many rows others have in a segment is not told. */
static void test_stats(void **state)
{
    test_db *db = open_filled();
    (void)state;
    run_as(db, "ann", "INSERT INTO app.t VALUES (100, 1, '1'), (101, 1, '1')");
    check_stat(db, "ann", "buffered_rows", "\"2\"");
    check_stat(db, "bob", "buffered_rows", "\"0\"");
    check_stat(db, "root", "buffered_rows", "\"2\"");
    check_stat(db, "ann", "flushed_segments", "\"1\"");
    check_stat(db, "root", "flushed_segments", "\"1\"");
    check_stat(db, "root", "last_flush_rows", "\"11\"");
    check_stat(db, "ann", "last_flush_rows", "\"0\"");
    check_stat(db, "root", "logical_rows", "\"13\"");
    test_db_run(db, "FLUSH TABLE app.t");
    check_stat(db, "ann", "buffered_rows", "\"0\"");
    check_stat(db, "ann", "flushed_segments", "\"2\"");
    check_stat(db, "bob", "flushed_segments", "\"1\"");
    test_db_close(db);
}

static void test_reads(void **state)
{
    test_db *db = open_filled();
    (void)state;
    check_reads_of_ann(db);
    check_stats(db, "ann", "5");
    check_stats(db, "bob", "6");
    test_db_reopen(db);
    check_reads_of_ann(db);
    test_db_run(db, "ALTER TABLE app.t ADD COLUMN x INT DEFAULT 7");
    test_db_run(db, "ALTER TABLE app.t RENAME COLUMN s TO was_s");
    test_db_run(db, "ALTER TABLE app.t ADD COLUMN s TEXT DEFAULT 'new'");
    expect_both(db, "ann", "SELECT id, was_s, s, x FROM app.t WHERE id > 4",
                "[[\"5\",\"5\",\"new\",7]]");
    test_db_run(db, "ALTER TABLE app.t DROP COLUMN s");
    test_db_run(db, "ALTER TABLE app.t RENAME COLUMN was_s TO s");
    check_reads_of_ann(db);
    test_db_close(db);
}

static void test_nobody_reads_files(void **state)
{
    test_db *db = open_filled();
    (void)state;
    test_db_expect_error(db, "ann", "SELECT * FROM system.segments", "PERMISSION_DENIED",
                         "may not read");
    test_db_expect_error(db, "ann", "SHOW MANIFEST", "PERMISSION_DENIED", "Admin");
    test_db_expect_error(db, "ann", "FLUSH TABLE app.t", "PERMISSION_DENIED", "may flush");
    test_db_expect_error(db, "ann", "FLUSH ALL", "PERMISSION_DENIED", "may flush");
    test_db_expect_error(db, "ann", "STORAGE COMPACT TABLE app.t", "PERMISSION_DENIED", "");
    test_db_expect_error(db, "ann", "SELECT _user_no FROM app.t", "COLUMN_NOT_FOUND", "_user_no");
    test_db_close(db);
}

/* Writes of one, and what both have afterwards. */
static void test_writes(void **state)
{
    static const char ANN[] = "[[\"1\",\"11\"],[\"2\",\"21\"],[\"4\",\"41\"],[\"5\",\"51\"],[\"7\","
                              "\"0\"]]";
    static const char BOB[] = "[[\"3\",\"b\"],[\"4\",\"b\"],[\"5\",\"b\"],[\"6\",\"b\"],[\"8\","
                              "\"of bob\"]]";
    test_db *db = open_filled();
    (void)state;
    test_db_expect(db, "ann", "UPDATE app.t SET n = 0 WHERE id = 8 RETURNING *", "[]");
    test_db_expect(db, "ann", "DELETE FROM app.t WHERE id = 6 RETURNING *", "[]");
    test_db_expect(db, "ann", "DELETE FROM app.t WHERE s = 'of bob' RETURNING id", "[]");
    run_as(db, "ann", "UPDATE app.t SET n = n + 1");
    test_db_expect(db, "ann", "INSERT INTO app.t VALUES (7, 0, '7') RETURNING id", "[[\"7\"]]");
    test_db_expect(db, "ann", "DELETE FROM app.t WHERE id = 3 RETURNING n", "[[\"31\"]]");
    run_as(db, "bob",
           "BEGIN; UPDATE app.t SET s = 'b' WHERE id < 7; DELETE FROM app.t WHERE id = 7; "
           "COMMIT");
    for (int round = 0; round < 4; round++) {
        expect_both(db, "ann", "SELECT id, n FROM app.t ORDER BY id", ANN);
        expect_both(db, "bob", "SELECT id, s FROM app.t ORDER BY id", BOB);
        check_stats(db, "ann", "5");
        check_stats(db, "bob", "5");
        test_db_run(db, round == 1 ? "STORAGE COMPACT TABLE app.t" : "FLUSH TABLE app.t");
        if (round == 2)
            test_db_reopen(db);
    }
    test_db_expect_error(db, "ann", "INSERT INTO app.t VALUES (7, 1, 'x')", "DUPLICATE_KEY", "7");
    test_db_expect(db, "ann",
                   "INSERT INTO app.t VALUES (8, 1, 'mine') ON CONFLICT DO UPDATE SET s = 'stolen' "
                   "RETURNING s",
                   "[[\"mine\"]]");
    test_db_expect(db, "bob", "SELECT s FROM app.t WHERE id = 8", "[[\"of bob\"]]");
    run_as(db, "ann", "DELETE FROM app.t");
    expect_both(db, "ann", "SELECT count(*) FROM app.t", "[[\"0\"]]");
    expect_both(db, "bob", "SELECT id, s FROM app.t ORDER BY id", BOB);
    test_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_stats),
        cmocka_unit_test(test_nobody_reads_files),
        cmocka_unit_test(test_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
