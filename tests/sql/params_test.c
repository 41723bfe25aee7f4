/*
 * Request parameters: what is stored and found is what was sent.
 *
 * Goal: a value means the same as a parameter wherever it stands, on the lane, in the evaluator and
 * in DuckDB; numbers lose no digit; the cells of a reply can be sent back.
 */
#include "base/assert.h"
#include "sql/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void run_params(test_db *db, const char *sql, const char *params)
{
    test_reply reply = test_db_query(db, &(test_query){.sql = sql, .params = params});
    if (reply.code != NULL)
        fail_msg("%s with %s: %s", sql, params, reply.message);
    test_reply_release(&reply);
}

static void expect_on(test_db *db, kal_path path, const char *sql, const char *params,
                      const char *rows)
{
    test_reply reply = test_db_query(db, &(test_query){.sql = sql, .params = params, .path = path});
    kal_buf text;
    kal_json_writer w;

    if (reply.code != NULL)
        fail_msg("%s with %s: %s", sql, params, reply.message);
    kal_buf_init(&text, NULL);
    kal_json_writer_init(&w, &text);
    kal_json_write_tree(reply.rows, &w);
    kal_buf_append_byte(&text, '\0');
    if (strcmp((const char *)text.ptr, rows) != 0)
        fail_msg("%s with %s (path %d) gives %s, not %s", sql, params, path, (const char *)text.ptr,
                 rows);
    kal_buf_release(&text);
    test_reply_release(&reply);
}

/* The same from the evaluator and from DuckDB. */
static void expect_both(test_db *db, const char *sql, const char *params, const char *rows)
{
    expect_on(db, KAL_PATH_AUTO, sql, params, rows);
    expect_on(db, KAL_PATH_ENGINE, sql, params, rows);
}

static void expect_refused(test_db *db, const char *sql, const char *params, const char *part)
{
    test_reply reply = test_db_query(db, &(test_query){.sql = sql, .params = params});
    if (reply.code == NULL)
        fail_msg("%s with %s was accepted", sql, params);
    if (strstr(reply.message, part) == NULL)
        fail_msg("%s with %s: '%s' does not say '%s'", sql, params, reply.message, part);
    test_reply_release(&reply);
}

static test_db *open_with(const char *table)
{
    test_db *db = test_db_open(false);
    test_db_run(db, "CREATE NAMESPACE a1");
    test_db_run(db, table);
    return db;
}

/* ---- numbers ---- */

static const char LONG_NUMBERS[] = "[12345678901234567890.123456789,12345678901234567890.123456789,"
                                   "12345678901234567890.123456789]";
static const char LONG_CELLS[] =
    "[\"12345678901234567890.1234567890\",\"12345678901234567890.123456789\","
    "\"12345678901234567890.123456789\"]";

static void test_numbers_as_written(void **state)
{
    test_db *db =
        open_with("CREATE TABLE a1.dec (id INT PRIMARY KEY, d DECIMAL(38,10), j JSON, t TEXT)");
    char rows[512];
    (void)state;

    run_params(db, "INSERT INTO a1.dec VALUES (1, $1, $2, $3)", LONG_NUMBERS);
    run_params(db, "INSERT INTO a1.dec SELECT 2, $1, $2, $3", LONG_NUMBERS);
    test_db_run(db, "INSERT INTO a1.dec (id) VALUES (3), (4)");
    run_params(db, "UPDATE a1.dec SET d = $1, j = $2, t = $3 WHERE id = 3", LONG_NUMBERS);
    run_params(db, "UPDATE a1.dec SET d = $1, j = $2, t = $3 WHERE length(id::TEXT) = 1 AND id = 4",
               LONG_NUMBERS);
    snprintf(rows, sizeof rows, "[%s,%s,%s,%s]", LONG_CELLS, LONG_CELLS, LONG_CELLS, LONG_CELLS);
    test_db_expect(db, NULL, "SELECT d, j, t FROM a1.dec ORDER BY id", rows);
    expect_both(db, "SELECT id FROM a1.dec WHERE d = $1 ORDER BY id",
                "[12345678901234567890.123456789]", "[[1],[2],[3],[4]]");
    expect_both(db, "SELECT id FROM a1.dec WHERE d = $1", "[12345678901234567890.12345678]", "[]");
    test_db_close(db);
}

static void test_number_is_not_rounded(void **state)
{
    test_db *db =
        open_with("CREATE TABLE a1.money (id INT PRIMARY KEY, d DECIMAL(10,2), i INT, f DOUBLE)");
    (void)state;

    run_params(db, "INSERT INTO a1.money VALUES (1, $1, $2, $3)", "[1.15,1e3,0.1]");
    run_params(db, "INSERT INTO a1.money SELECT 2, $1, $2, $3", "[1.15,1e3,0.1]");
    test_db_expect(db, NULL, "SELECT d, i, f FROM a1.money ORDER BY id",
                   "[[\"1.15\",1000,0.1],[\"1.15\",1000,0.1]]");
    expect_refused(db, "INSERT INTO a1.money (id, d) VALUES (3, $1)", "[1.005]", "column 'd'");
    expect_refused(db, "INSERT INTO a1.money (id, d) SELECT 3, $1", "[1.005]", "column 'd'");
    expect_refused(db, "INSERT INTO a1.money (id, i) VALUES (3, $1)", "[1.5]", "column 'i'");
    expect_refused(db, "UPDATE a1.money SET i = $1 WHERE id = 1", "[1.5]", "column 'i'");
    expect_both(db, "SELECT id FROM a1.money WHERE f = $1 ORDER BY id", "[0.1]", "[[1],[2]]");
    expect_both(db, "SELECT id FROM a1.money WHERE i = $1", "[1000.5]", "[]");
    expect_both(db, "SELECT id FROM a1.money WHERE i < $1 ORDER BY id", "[1000.5]", "[[1],[2]]");
    test_db_close(db);
}

static void test_floats_found(void **state)
{
    test_db *db = open_with("CREATE TABLE a1.f (id INT PRIMARY KEY, f FLOAT, d DOUBLE)");
    static const char *const TENTHS[] = {"[0.1]", "[1e-1]", "[\"0.1\"]"};
    (void)state;

    test_db_run(db, "INSERT INTO a1.f VALUES (1, 0.1, 0.1), (2, 2, 2)");
    for (size_t i = 0; i < KAL_ARRAY_LEN(TENTHS); i++) {
        expect_both(db, "SELECT id FROM a1.f WHERE f = $1", TENTHS[i], "[[1]]");
        expect_both(db, "SELECT id FROM a1.f WHERE d = $1", TENTHS[i], "[[1]]");
        expect_both(db, "SELECT id FROM a1.f WHERE f > $1", TENTHS[i], "[[2]]");
    }
    expect_both(db, "SELECT id FROM a1.f WHERE f < $1 ORDER BY id", "[1e300]", "[[1],[2]]");
    test_db_close(db);
}

/* ---- BYTES ---- */

static void test_bytes_stored(void **state)
{
    test_db *db = open_with("CREATE TABLE a1.b (id INT PRIMARY KEY, bys BYTES)");
    static const char *const FORMS[] = {"[[1,2]]", "[\"0x0102\"]", "[\"AQI=\"]"};
    (void)state;

    test_db_run(db, "INSERT INTO a1.b (id) VALUES (1), (2)");
    for (size_t i = 0; i < KAL_ARRAY_LEN(FORMS); i++) {
        test_db_run(db, "UPDATE a1.b SET bys = NULL");
        run_params(db, "UPDATE a1.b SET bys = $1 WHERE id = 1", FORMS[i]);
        run_params(db, "UPDATE a1.b SET bys = $1 WHERE length(id::TEXT) > 100 OR id = 2", FORMS[i]);
        run_params(db, "INSERT INTO a1.b SELECT 3, $1", FORMS[i]);
        run_params(db, "INSERT INTO a1.b VALUES (4, $1)", FORMS[i]);
        test_db_expect(db, NULL, "SELECT id, bys FROM a1.b ORDER BY id",
                       "[[1,[1,2]],[2,[1,2]],[3,[1,2]],[4,[1,2]]]");
        test_db_run(db, "DELETE FROM a1.b WHERE id > 2");
    }
    test_db_close(db);
}

static void test_bytes_refused(void **state)
{
    test_db *db = open_with("CREATE TABLE a1.b (id INT PRIMARY KEY, bys BYTES)");
    static const char *const BAD[] = {"[{}]", "[[300,1]]", "[\"abc\"]", "[7]"};
    (void)state;

    test_db_run(db, "INSERT INTO a1.b VALUES (1, NULL)");
    for (size_t i = 0; i < KAL_ARRAY_LEN(BAD); i++) {
        expect_refused(db, "UPDATE a1.b SET bys = $1 WHERE id = 1", BAD[i], "column 'bys'");
        expect_refused(db, "UPDATE a1.b SET bys = $1 WHERE length(id::TEXT) = 1", BAD[i],
                       "column 'bys'");
        expect_refused(db, "INSERT INTO a1.b SELECT 2, $1", BAD[i], "column 'bys'");
        expect_refused(db, "INSERT INTO a1.b VALUES (2, $1)", BAD[i], "column 'bys'");
    }
    test_db_expect(db, NULL, "SELECT id, bys FROM a1.b", "[[1,null]]");
    test_db_close(db);
}

static void test_bytes_found(void **state)
{
    test_db *db = open_with("CREATE TABLE a1.b (id INT PRIMARY KEY, bys BYTES)");
    static const char *const FORMS[] = {"[[222,173,190,239]]", "[\"0xdeadbeef\"]",
                                        "[\"3q2+7w==\"]"};
    (void)state;

    test_db_run(db, "INSERT INTO a1.b VALUES (1, '0xdeadbeef'), (2, 'other')");
    for (size_t i = 0; i < KAL_ARRAY_LEN(FORMS); i++) {
        expect_both(db, "SELECT id FROM a1.b WHERE bys = $1", FORMS[i], "[[1]]");
        expect_both(db, "SELECT id FROM a1.b WHERE bys = $1 GROUP BY id", FORMS[i], "[[1]]");
        expect_both(db, "SELECT id FROM a1.b WHERE bys IN ($1)", FORMS[i], "[[1]]");
    }
    test_db_close(db);
}

static void test_bytes_literal_found(void **state)
{
    test_db *db = open_with("CREATE TABLE a1.b (id INT PRIMARY KEY, bys BYTES)");
    (void)state;

    test_db_run(db, "INSERT INTO a1.b VALUES (1, '0xdeadbeef'), (2, 'other'), (3, '\\x00z')");
    expect_both(db, "SELECT id FROM a1.b WHERE bys = '0xdeadbeef'", NULL, "[[1]]");
    expect_both(db, "SELECT id FROM a1.b WHERE bys = '0xdeadbeef' GROUP BY id", NULL, "[[1]]");
    expect_both(db, "SELECT id FROM a1.b WHERE bys = 'other'", NULL, "[[2]]");
    expect_both(db, "SELECT id FROM a1.b WHERE bys = '\\x00z'", NULL, "[[3]]");
    test_db_run(db, "UPDATE a1.b SET bys = '0xdeadbeef' WHERE length(id::TEXT) = 1 AND id = 2");
    test_db_expect(db, NULL, "SELECT bys FROM a1.b WHERE id = 2", "[[[222,173,190,239]]]");
    expect_refused(db, "SELECT id FROM a1.b WHERE bys = '0xabc'", NULL, "0xabc");
    expect_refused(db, "SELECT id FROM a1.b WHERE bys = '0xabc' GROUP BY id", NULL, "0xabc");
    expect_refused(db, "SELECT id FROM a1.b WHERE bys = $1", "[\"abc\"]", "abc");
    expect_refused(db, "SELECT id FROM a1.b WHERE bys = $1 GROUP BY id", "[\"abc\"]", "abc");
    test_db_close(db);
}

/* ---- cells of a reply ---- */

static void test_temporal_cells(void **state)
{
    test_db *db = open_with("CREATE TABLE a1.t (id INT PRIMARY KEY, ts TIMESTAMP, d DATE, "
                            "dt DATETIME, tm TIME)");
    static const char CELLS[] = "[1709212455000000,19782,1709212455000000,47655000000]";
    static const char *const COLUMNS[] = {"ts", "d", "dt", "tm"};
    static const char *const VALUES[] = {"[1709212455000000]", "[19782]", "[1709212455000000]",
                                         "[47655000000]"};
    char sql[160];
    char rows[512];
    (void)state;

    run_params(db, "INSERT INTO a1.t VALUES (1, $1, $2, $3, $4)", CELLS);
    run_params(db, "INSERT INTO a1.t SELECT 2, $1, $2, $3, $4", CELLS);
    test_db_run(db, "INSERT INTO a1.t (id) VALUES (3), (4)");
    run_params(db, "UPDATE a1.t SET ts = $1, d = $2, dt = $3, tm = $4 WHERE id = 3", CELLS);
    run_params(db,
               "UPDATE a1.t SET ts = $1, d = $2, dt = $3, tm = $4 WHERE length(id::TEXT) = 1 "
               "AND id = 4",
               CELLS);
    snprintf(rows, sizeof rows, "[%s,%s,%s,%s]", CELLS, CELLS, CELLS, CELLS);
    test_db_expect(db, NULL, "SELECT ts, d, dt, tm FROM a1.t ORDER BY id", rows);
    for (size_t i = 0; i < KAL_ARRAY_LEN(COLUMNS); i++) {
        snprintf(sql, sizeof sql, "SELECT id FROM a1.t WHERE %s = $1 ORDER BY id", COLUMNS[i]);
        expect_both(db, sql, VALUES[i], "[[1],[2],[3],[4]]");
        snprintf(sql, sizeof sql, "SELECT id FROM a1.t WHERE %s < $1 OR %s > $1", COLUMNS[i],
                 COLUMNS[i]);
        expect_both(db, sql, VALUES[i], "[]");
    }
    test_db_close(db);
}

static void test_temporal_key(void **state)
{
    test_db *db = open_with("CREATE TABLE a1.k (ts TIMESTAMP PRIMARY KEY, n INT)");
    (void)state;

    test_db_run(db, "INSERT INTO a1.k VALUES ('2024-02-29 13:14:15', 1)");
    run_params(db, "UPDATE a1.k SET n = 2 WHERE ts = $1", "[1709212455000000]");
    expect_both(db, "SELECT n FROM a1.k WHERE ts = $1", "[1709212455000000]", "[[2]]");
    run_params(db, "DELETE FROM a1.k WHERE ts = $1", "[1709212455000000]");
    test_db_expect(db, NULL, "SELECT n FROM a1.k", "[]");
    test_db_close(db);
}

/* ---- where the type is said ---- */

static void test_bytes_in_expressions(void **state)
{
    test_db *db = open_with("CREATE TABLE a1.b (id INT PRIMARY KEY, bys BYTES)");
    static const char *const FORMS[] = {"[[1,2]]", "[\"0x0102\"]", "[\"AQI=\"]"};
    (void)state;

    for (size_t i = 0; i < KAL_ARRAY_LEN(FORMS); i++) {
        run_params(db, "INSERT INTO a1.b VALUES (1, CAST($1 AS BLOB))", FORMS[i]);
        run_params(db, "INSERT INTO a1.b SELECT 2, $1::BLOB UNION ALL SELECT 3, $1::BLOB",
                   FORMS[i]);
        test_db_run(db, "INSERT INTO a1.b VALUES (4, NULL), (5, NULL)");
        run_params(db, "UPDATE a1.b SET bys = coalesce(bys, $1) WHERE id = 4", FORMS[i]);
        run_params(db, "INSERT INTO a1.b VALUES (5, NULL) ON CONFLICT (id) DO UPDATE SET bys = $1",
                   FORMS[i]);
        expect_both(db, "SELECT id, bys FROM a1.b WHERE bys = CAST($1 AS BLOB) ORDER BY id",
                    FORMS[i], "[[1,[1,2]],[2,[1,2]],[3,[1,2]],[4,[1,2]],[5,[1,2]]]");
        run_params(db, "DELETE FROM a1.b WHERE bys = $1 AND length(id::TEXT) = 1", FORMS[i]);
        test_db_expect(db, NULL, "SELECT id FROM a1.b", "[]");
    }
    test_db_close(db);
}

/* ---- several rows ---- */

static void test_batch(void **state)
{
    test_db *db = open_with(
        "CREATE TABLE a1.r (id INT PRIMARY KEY, a JSON, b JSON, d DECIMAL(38,10), bys BYTES)");
    (void)state;

    run_params(db, "INSERT INTO a1.r (id, a) VALUES ($1, $2)", "[[1,[3]],[2,{\"x\":1.50}]]");
    run_params(db, "INSERT INTO a1.r (id, d, bys) VALUES ($1, $2, $3)",
               "[[3,12345678901234567890.123456789,\"AQI=\"],[4,0.1,[1,2]]]");
    test_db_expect(db, NULL, "SELECT id, a, d, bys FROM a1.r ORDER BY id",
                   "[[1,\"[3]\",null,null],[2,\"{\\\"x\\\":1.50}\",null,null],"
                   "[3,null,\"12345678901234567890.1234567890\",[1,2]],"
                   "[4,null,\"0.1000000000\",[1,2]]]");
    run_params(db, "UPDATE a1.r SET a = $1 WHERE id = $2", "[[[7],1],[[8],2]]");
    test_db_expect(db, NULL, "SELECT a FROM a1.r WHERE id < 3 ORDER BY id",
                   "[[\"[7]\"],[\"[8]\"]]");
    test_db_close(db);
}

/* An UPDATE whose WHERE has no parameter changes the same rows for every row of parameters. */
static void test_update_takes_arrays(void **state)
{
    test_db *db = open_with("CREATE TABLE a1.jj (id INT PRIMARY KEY, a JSON, b JSON)");
    (void)state;

    test_db_run(db, "INSERT INTO a1.jj VALUES (1, NULL, NULL)");
    run_params(db, "UPDATE a1.jj SET a = $1, b = $2 WHERE id = 1", "[[1,2],[3,4]]");
    test_db_expect(db, NULL, "SELECT a, b FROM a1.jj", "[[\"[1,2]\",\"[3,4]\"]]");
    run_params(db, "UPDATE a1.jj SET a = $1 WHERE id = 1 AND '$2' <> ''", "[[5]]");
    test_db_expect(db, NULL, "SELECT a FROM a1.jj", "[[\"[5]\"]]");
    run_params(db, "UPDATE a1.jj SET a = $1", "[[6]]");
    test_db_expect(db, NULL, "SELECT a FROM a1.jj", "[[\"[6]\"]]");
    run_params(db, "INSERT INTO a1.jj (id, a) SELECT 2, $1", "[[7]]");
    run_params(db, "INSERT INTO a1.jj (id, a) VALUES (3, $1)", "[[[8]]]");
    test_db_expect(db, NULL, "SELECT a FROM a1.jj WHERE id > 1 ORDER BY id",
                   "[[\"[7]\"],[\"[8]\"]]");
    expect_refused(db, "UPDATE a1.jj SET a = $1 WHERE id = 1", "[[1],[2]]",
                   "1 parameter, the request gives 2");
    test_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_as_written),
        cmocka_unit_test(test_number_is_not_rounded),
        cmocka_unit_test(test_floats_found),
        cmocka_unit_test(test_bytes_stored),
        cmocka_unit_test(test_bytes_refused),
        cmocka_unit_test(test_bytes_found),
        cmocka_unit_test(test_bytes_literal_found),
        cmocka_unit_test(test_temporal_cells),
        cmocka_unit_test(test_temporal_key),
        cmocka_unit_test(test_bytes_in_expressions),
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_update_takes_arrays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
