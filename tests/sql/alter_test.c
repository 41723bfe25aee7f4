/*
 * ALTER TABLE, statement by statement: what it answers, what rows read as afterwards, what is
 * recorded, and what is refused. Each test asks on the fast path and, where it says so, by DuckDB.
 */
#include "base/assert.h"
#include "sql/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int set_up(void **state)
{
    test_db *db = test_db_open(false);
    test_db_run(db, "CREATE NAMESPACE app");
    test_db_add_user(db, "ann", KAL_ROLE_USER);
    test_db_add_user(db, "bob", KAL_ROLE_USER);
    *state = db;
    return 0;
}

static int tear_down(void **state)
{
    test_db_close(*state);
    return 0;
}

/* Runs it as root; the message must be this one. */
static void expect_message(test_db *db, const char *sql, const char *message)
{
    test_query query = {.sql = sql};
    test_reply reply = test_db_query(db, &query);
    const kal_json *results = kal_json_find(reply.json, "results");
    if (reply.code != NULL)
        fail_msg("%s: %s", sql, reply.message);
    const kal_json *said = kal_json_find(&results->items[0], "message");
    if (said == NULL || !kal_bytes_equal(said->text, kal_cstr(message)))
        fail_msg("%s\n said: %.*s\nwanted: %s", sql, KAL_FMT(reply.text), message);
    test_reply_release(&reply);
}

/* The same rows both ways. */
static void expect_both(test_db *db, const char *user, const char *sql, const char *rows)
{
    static const kal_path PATHS[] = {KAL_PATH_AUTO, KAL_PATH_ENGINE};
    for (size_t i = 0; i < KAL_ARRAY_LEN(PATHS); i++) {
        test_query query = {.user = user, .sql = sql, .path = PATHS[i]};
        test_reply reply = test_db_query(db, &query);
        kal_buf text;
        kal_json_writer w;
        if (reply.code != NULL)
            fail_msg("%s: %s", sql, reply.message);
        kal_buf_init(&text, NULL);
        kal_json_writer_init(&w, &text);
        kal_json_write_tree(reply.rows, &w);
        if (!kal_bytes_equal(kal_buf_bytes(&text), kal_cstr(rows)))
            fail_msg("%s (path %d)\n gave: %.*s\nwanted: %s", sql, (int)PATHS[i],
                     KAL_FMT(kal_buf_bytes(&text)), rows);
        kal_buf_release(&text);
        test_reply_release(&reply);
    }
}

/* Goal: each kind of change answers with what it changed and the new version, and old rows read
 * through it. Method: one change after the other over rows of two users. */
static void test_each_change(void **state)
{
    test_db *db = *state;
    test_db_run(db, "CREATE USER TABLE app.t (id BIGINT PRIMARY KEY, a INT, b TEXT)");
    test_db_expect(db, "ann", "INSERT INTO app.t VALUES (1, 10, 'x') RETURNING id", "[[\"1\"]]");
    test_db_expect(db, "bob", "INSERT INTO app.t VALUES (1, 20, 'y') RETURNING id", "[[\"1\"]]");

    expect_message(db, "ALTER TABLE app.t ADD COLUMN c INT DEFAULT 7",
                   "Table app.t altered successfully: ADD COLUMN c INT DEFAULT 7 (version 2)");
    expect_both(db, "ann", "SELECT * FROM app.t", "[[\"1\",10,\"x\",7]]");
    expect_message(db, "ALTER TABLE app.t ALTER COLUMN c SET DEFAULT 8",
                   "Table app.t altered successfully: ALTER COLUMN c SET DEFAULT 8 (version 3)");
    test_db_expect(db, "ann", "INSERT INTO app.t (id) VALUES (2) RETURNING c", "[[8]]");
    expect_both(db, "ann", "SELECT id, c FROM app.t ORDER BY id", "[[\"1\",7],[\"2\",8]]");
    expect_message(db, "ALTER TABLE app.t ALTER COLUMN c DROP DEFAULT",
                   "Table app.t altered successfully: ALTER COLUMN c DROP DEFAULT (version 4)");
    expect_message(db, "ALTER TABLE app.t RENAME COLUMN a TO amount",
                   "Table app.t altered successfully: RENAME COLUMN a TO amount (version 5)");
    expect_both(db, "bob", "SELECT amount FROM app.t", "[[20]]");
    expect_message(db, "ALTER TABLE app.t MODIFY COLUMN amount BIGINT",
                   "Table app.t altered successfully: ALTER COLUMN amount TYPE BIGINT (version 6)");
    expect_both(db, "bob", "SELECT amount FROM app.t", "[[\"20\"]]");
    test_db_run(db, "ALTER TABLE app.t DROP COLUMN b");
    expect_both(db, "ann", "SELECT * FROM app.t ORDER BY id", "[[\"1\",\"10\",7],[\"2\",null,8]]");
    test_db_run(db, "ALTER TABLE app.t ADD b TEXT");
    expect_both(db, "ann", "SELECT id, b FROM app.t WHERE id = 1", "[[\"1\",null]]");
    expect_message(db, "ALTER TABLE app.t RENAME TO notes",
                   "Table app.t altered successfully: RENAME TO notes (version 9)");
    expect_both(db, "ann", "SELECT count(*) AS n FROM app.notes", "[[\"2\"]]");
    test_db_expect_error(db, NULL, "SELECT * FROM app.t", "TABLE_NOT_FOUND", "does not exist");
    expect_message(
        db, "COMMENT ON TABLE app.notes IS 'what is noted'",
        "Table app.notes altered successfully: COMMENT ON TABLE IS 'what is noted' (version 10)");
    expect_message(
        db, "COMMENT ON COLUMN app.notes.amount IS 'cents'",
        "Table app.notes altered successfully: COMMENT ON COLUMN amount IS 'cents' (version 11)");
    expect_message(db, "ALTER TABLE app.notes ALTER COLUMN amount DROP NOT NULL",
                   "Table app.notes altered successfully: nothing to change (version 11)");
}

/* Goal: several changes are one version, or none. Method: a good list and one whose last step is
 * refused. */
static void test_atomic(void **state)
{
    test_db *db = *state;
    test_db_run(db, "CREATE TABLE app.t (id BIGINT PRIMARY KEY, a INT)");
    test_db_run(db, "INSERT INTO app.t VALUES (1, 5)");
    expect_message(db,
                   "ALTER TABLE app.t ADD COLUMN b TEXT DEFAULT 'n', RENAME COLUMN a TO c, "
                   "ALTER COLUMN c TYPE BIGINT, SET ACCESS LEVEL public",
                   "Table app.t altered successfully: RENAME COLUMN a TO c; ALTER COLUMN c TYPE "
                   "BIGINT; ADD COLUMN b TEXT DEFAULT 'n'; SET access_level = 'public' (version "
                   "2)");
    expect_both(db, NULL, "SELECT * FROM app.t", "[[\"1\",\"5\",\"n\"]]");
    test_db_expect_error(db, NULL, "ALTER TABLE app.t DROP COLUMN b, DROP COLUMN nope",
                         "COLUMN_NOT_FOUND", "column 'nope' does not exist");
    expect_both(db, NULL, "SELECT * FROM app.t", "[[\"1\",\"5\",\"n\"]]");
    test_db_run(db, "DESCRIBE TABLE app.t HISTORY");
    test_db_run(db, "ALTER TABLE app.t DROP COLUMN IF EXISTS nope, ADD COLUMN IF NOT EXISTS b INT");
    test_db_run(db, "ALTER TABLE IF EXISTS app.none ADD COLUMN x INT");
}

/* Goal: what could lose data or make no sense is refused with the reason. Method: one of each; the
 * version stays. */
static void test_refusals(void **state)
{
    test_db *db = *state;
    test_db_run(db, "CREATE TABLE app.t (id BIGINT, k TEXT, a INT, d DOUBLE, n DECIMAL(5,2), "
                    "PRIMARY KEY (id, k))");
    test_db_run(db, "INSERT INTO app.t VALUES (1, 'x', NULL, 1, 1), (2, 'x', 3, 1, 1), "
                    "(3, 'x', NULL, 1, 1)");
    static const char *const REFUSED[][3] = {
        {"MODIFY COLUMN a SMALLINT", "LOSSY_TYPE_CHANGE", "values could be lost"},
        {"MODIFY COLUMN a TEXT", "LOSSY_TYPE_CHANGE", "cannot change from INT to TEXT"},
        {"MODIFY COLUMN d FLOAT", "LOSSY_TYPE_CHANGE", "values could be lost"},
        {"MODIFY COLUMN n DECIMAL(4,2)", "LOSSY_TYPE_CHANGE", "values could be lost"},
        {"MODIFY COLUMN n DECIMAL(7,3)", "LOSSY_TYPE_CHANGE", "DECIMAL(5,2) to DECIMAL(7,3)"},
        {"MODIFY COLUMN a WHATEVER", "INVALID_SQL", "'whatever'"},
        {"DROP COLUMN id", "INVALID_INPUT", "key column 'id' cannot be dropped"},
        {"ALTER COLUMN id DROP NOT NULL", "INVALID_INPUT", "key column 'id' cannot be nullable"},
        {"ALTER COLUMN a SET NOT NULL", "NOT_NULL_VIOLATION", "it is NULL in 2 rows"},
        {"ADD COLUMN x INT NOT NULL", "NOT_NULL_VIOLATION", "holds rows"},
        {"ADD COLUMN A INT", "COLUMN_EXISTS", "already exists"},
        {"ADD COLUMN _seq INT", "INVALID_INPUT", "cannot be a column's name"},
        {"ADD COLUMN x INT DEFAULT 'abc'", "INVALID_INPUT", "column 'x'"},
        {"ADD COLUMN x INT PRIMARY KEY", "INVALID_INPUT", "cannot join the primary key"},
        {"RENAME COLUMN a TO d", "COLUMN_EXISTS", "already exists"},
        {"RENAME COLUMN a TO _x", "INVALID_INPUT", "cannot be a column's name"},
        {"RENAME COLUMN aa TO x", "COLUMN_NOT_FOUND", "'aa'"},
        {"RENAME TO system.x", "UNSUPPORTED", "another namespace"},
        {"RENAME TO \"Bad Name\"", "INVALID_INPUT", "cannot be the name of a table"},
        {"ALTER COLUMN a SET DEFAULT 99999999999", "INVALID_INPUT", "DEFAULT of column 'a'"},
        {"ALTER COLUMN a SET DEFAULT NOW()", "INVALID_INPUT", "cannot fill a column of type INT"},
        {"SET TBLPROPERTIES (colour = 'red')", "INVALID_INPUT", "SHARED tables have: storage_id"},
        {"SET TBLPROPERTIES (enable_rls = false)", "INVALID_INPUT", "enable_rls"},
        {"SET TBLPROPERTIES (compression = 'zip')", "INVALID_INPUT", "compression"},
        {"ADD UNIQUE (a)", "UNSUPPORTED", "constraint"},
        {"CREATE INDEX a", "UNSUPPORTED", "CREATE INDEX"},
        {"", "INVALID_SQL", "expected ADD"},
        {"ADD COLUMN x INT,", "INVALID_SQL", "expected ADD"},
        {"ADD COLUMN x INT DRY", "INVALID_SQL", "RUN"},
        {"MODIFI COLUMN a INT", "INVALID_SQL", "expected ADD"},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(REFUSED); i++) {
        char sql[256];
        snprintf(sql, sizeof sql, "ALTER TABLE app.t %s", REFUSED[i][0]);
        test_db_expect_error(db, NULL, sql, REFUSED[i][1], REFUSED[i][2]);
    }
    test_db_run(db, "CREATE TABLE app.other (id INT PRIMARY KEY)");
    test_db_expect_error(db, NULL, "ALTER TABLE app.t RENAME TO other", "TABLE_EXISTS",
                         "already exists");
    test_db_expect_error(db, NULL, "ALTER TABLE app.other DROP COLUMN id", "INVALID_INPUT",
                         "cannot be dropped");
    test_db_expect_error(db, NULL, "ALTER USER TABLE app.t ADD COLUMN x INT", "INVALID_INPUT",
                         "is of type SHARED");
    test_db_expect_error(db, NULL, "ALTER TABLE system.users ADD COLUMN x INT", "PERMISSION_DENIED",
                         "server's own");
    test_db_expect_error(db, "ann", "ALTER TABLE app.t ADD COLUMN x INT", "PERMISSION_DENIED", "");
    test_db_expect(db, NULL, "SELECT schema_version FROM system.tables WHERE table_name = 't'",
                   "[[1]]");
    /* NULL is taken again after the failed SET NOT NULL. */
    test_db_run(db, "INSERT INTO app.t (id, k) VALUES (9, 'x')");
}

/* Goal: NOT NULL holds for every row, old and new. Method: set it over rows of several users. */
static void test_not_null(void **state)
{
    test_db *db = *state;
    test_db_run(db, "CREATE USER TABLE app.t (id INT PRIMARY KEY, a INT)");
    expect_message(db, "ALTER TABLE app.t ADD COLUMN x TEXT NOT NULL",
                   "Table app.t altered successfully: ADD COLUMN x TEXT NOT NULL (version 2)");
    test_db_expect(db, "ann", "INSERT INTO app.t VALUES (1, 1, 'x') RETURNING id", "[[1]]");
    test_db_expect(db, "bob", "INSERT INTO app.t VALUES (1, NULL, 'x') RETURNING id", "[[1]]");
    test_db_expect_error(db, NULL, "ALTER TABLE app.t ALTER a SET NOT NULL", "NOT_NULL_VIOLATION",
                         "it is NULL in 1 row");
    test_db_expect(db, "bob", "UPDATE app.t SET a = 2 RETURNING a", "[[2]]");
    test_db_run(db, "ALTER TABLE app.t ALTER a SET NOT NULL");
    test_db_expect_error(db, "bob", "UPDATE app.t SET a = NULL", "NOT_NULL_VIOLATION", "'a'");
    test_db_run(db, "ALTER TABLE app.t ADD COLUMN y INT NOT NULL DEFAULT 3");
    expect_both(db, "ann", "SELECT y FROM app.t", "[[3]]");
    test_db_run(db, "ALTER TABLE app.t ADD COLUMN z INT");
    test_db_expect_error(db, NULL, "ALTER TABLE app.t ALTER z SET NOT NULL", "NOT_NULL_VIOLATION",
                         "it is NULL in 2 rows");
    test_db_run(db, "ALTER TABLE app.t ALTER a DROP NOT NULL");
    test_db_expect(db, "bob", "UPDATE app.t SET a = NULL RETURNING a", "[[null]]");
}

/* Goal: every widening reads old rows exactly. Method: extremes of each type, read both ways and
 * compared with new rows of the new type. */
static void test_widening(void **state)
{
    test_db *db = *state;
    test_db_run(db, "CREATE TABLE app.t (id INT PRIMARY KEY, s SMALLINT DEFAULT 3, i INT, f FLOAT, "
                    "d DATE, n DECIMAL(4,2))");
    test_db_run(db, "INSERT INTO app.t VALUES (1, -32768, -2147483648, 0.1, '0001-01-01', -99.99), "
                    "(2, 32767, 2147483647, 'nan', '9999-12-31', 99.99), "
                    "(3, NULL, NULL, '-inf', 'infinity', NULL)");
    test_db_run(db, "ALTER TABLE app.t MODIFY s INT, MODIFY i BIGINT, MODIFY f DOUBLE, "
                    "MODIFY d TIMESTAMP, MODIFY n DECIMAL(38,2)");
    test_db_run(db, "ALTER TABLE app.t MODIFY s BIGINT");
    test_db_run(db, "INSERT INTO app.t VALUES (4, -32768, -2147483648, 0.1::FLOAT, '0001-01-01', "
                    "-99.99), (5, 9223372036854775807, 9223372036854775807, 'nan', "
                    "'9999-12-31 01:02:03', 99.99)");
    expect_both(db, NULL,
                "SELECT a.id FROM app.t a JOIN app.t b ON a.s = b.s AND a.i = b.i AND a.f = b.f "
                "AND a.d = b.d AND a.n = b.n WHERE b.id = 4 ORDER BY a.id",
                "[[1],[4]]");
    expect_both(db, NULL, "SELECT s, i, n FROM app.t WHERE id = 2",
                "[[\"32767\",\"2147483647\",\"99.99\"]]");
    expect_both(db, NULL, "SELECT id FROM app.t WHERE f = 'nan' ORDER BY id", "[[2],[5]]");
    expect_both(db, NULL, "SELECT id FROM app.t WHERE d > '9999-12-31' ORDER BY id", "[[3],[5]]");
    test_db_expect(db, NULL, "INSERT INTO app.t (id) VALUES (6) RETURNING s", "[[\"3\"]]");
    test_db_expect(db, NULL, "UPDATE app.t SET s = s - 1 WHERE id = 1 RETURNING s",
                   "[[\"-32769\"]]");
    test_db_expect(db, NULL, "DELETE FROM app.t WHERE id = 2 RETURNING i", "[[\"2147483647\"]]");
}

/* Goal: the history says what happened, every version can be described, and the difference of any
 * two is what lies between. Method: some versions, literal answers. */
static void test_history(void **state)
{
    test_db *db = *state;
    test_db_run(db, "CREATE TABLE app.t (id INT PRIMARY KEY, a INT, b TEXT)");
    test_db_run(db, "ALTER TABLE app.t DROP COLUMN b");
    test_db_run(db, "ALTER TABLE app.t ADD COLUMN c TEXT, RENAME COLUMN a TO z");
    test_reply reply = test_db_query(db, &(test_query){.sql = "DESCRIBE TABLE app.t HISTORY"});
    assert_int_equal(reply.rows->len, 3);
    static const char *const CHANGES[] = {"Initial schema", "DROP COLUMN b",
                                          "RENAME COLUMN a TO z; ADD COLUMN c TEXT"};
    for (size_t i = 0; i < 3; i++) {
        const kal_json *row = &reply.rows->items[i];
        assert_true(kal_bytes_equal(row->items[2].text, kal_cstr(CHANGES[i])));
        assert_true(kal_bytes_equal(row->items[4].text, KAL_STR("root")));
    }
    test_reply_release(&reply);
    test_db_run(db, "DESCRIBE TABLE app.t AT VERSION 1");
    reply = test_db_query(db, &(test_query){.sql = "DESCRIBE app.t AT VERSION 2"});
    assert_int_equal(reply.rows->len, 2);
    test_reply_release(&reply);
    test_db_expect_error(db, NULL, "DESCRIBE TABLE app.t AT VERSION 4", "INVALID_INPUT",
                         "has no version 4, it has 1 to 3");
    test_db_expect_error(db, NULL, "DESCRIBE TABLE app.t AT VERSION 0", "INVALID_INPUT",
                         "no version 0");
    test_db_expect(db, NULL, "SHOW SCHEMA DIFF app.t FROM 1 TO 3",
                   "[[\"DROP COLUMN b\",\"drop_column\",3,\"b\",\"b TEXT\",null],"
                   "[\"RENAME COLUMN a TO z\",\"rename_column\",2,\"a\",\"a\",\"z\"],"
                   "[\"ADD COLUMN c TEXT\",\"add_column\",4,\"c\",null,\"c TEXT\"]]");
    test_db_expect(db, NULL, "SHOW SCHEMA DIFF app.t FROM 3 TO 2",
                   "[[\"DROP COLUMN c\",\"drop_column\",4,\"c\",\"c TEXT\",null],"
                   "[\"RENAME COLUMN z TO a\",\"rename_column\",2,\"z\",\"z\",\"a\"]]");
    test_db_expect(db, NULL, "SHOW SCHEMA DIFF app.t FROM 2 TO 2", "[]");
    test_db_expect(db, NULL,
                   "SELECT schema_version, changes, actor, column_count FROM system.table_schemas "
                   "WHERE table_id = (SELECT table_id FROM system.tables WHERE table_name = 't') "
                   "ORDER BY 1",
                   "[[1,\"Initial schema\",\"root\",3],[2,\"DROP COLUMN b\",\"root\",2],"
                   "[3,\"RENAME COLUMN a TO z; ADD COLUMN c TEXT\",\"root\",3]]");
}

/* Goal: DRY RUN tells everything and does nothing. Method: one that would fail and one that would
 * not; the table afterwards. */
static void test_dry_run(void **state)
{
    test_db *db = *state;
    test_db_run(db, "CREATE TABLE app.t (id INT PRIMARY KEY, a INT)");
    test_db_run(db, "INSERT INTO app.t VALUES (1, 1), (2, NULL)");
    test_reply reply = test_db_query(
        db,
        &(test_query){
            .sql = "ALTER TABLE app.t ALTER a SET NOT NULL, ADD COLUMN b INT NOT NULL DRY RUN"});
    assert_null(reply.code);
    assert_int_equal(reply.rows->len, 3);
    assert_true(kal_bytes_equal(reply.rows->items[0].items[4].text, KAL_STR("1")));
    assert_true(kal_bytes_equal(reply.rows->items[1].items[4].text, KAL_STR("2")));
    assert_true(kal_bytes_equal(reply.rows->items[2].items[0].text, KAL_STR("definition")));
    assert_true(kal_bytes_equal(reply.rows->items[2].items[4].text, KAL_STR("2")));
    test_reply_release(&reply);
    test_db_expect_error(db, NULL, "ALTER TABLE app.t MODIFY a SMALLINT DRY RUN",
                         "LOSSY_TYPE_CHANGE", "");
    test_db_expect(db, NULL, "SELECT schema_version FROM system.tables WHERE table_name = 't'",
                   "[[1]]");
    test_db_run(db, "INSERT INTO app.t VALUES (3, NULL)");
    test_db_run(db, "ALTER TABLE app.t RENAME TO u DRY RUN");
    test_db_run(db, "SELECT * FROM app.t");
}

/* Goal: transactions meet an ALTER cleanly, and a restart finds everything. Method: DDL inside a
 * transaction is refused; versions, old rows and defaults after a reopening. */
static void test_restart(void **state)
{
    test_db *db = *state;
    test_db_run(db, "CREATE USER TABLE app.t (id INT PRIMARY KEY, a TEXT)");
    test_db_expect(db, "ann", "INSERT INTO app.t VALUES (1, 'old') RETURNING id", "[[1]]");
    test_db_run(db, "ALTER TABLE app.t ADD COLUMN since TIMESTAMP NOT NULL DEFAULT NOW(), "
                    "ADD COLUMN who TEXT DEFAULT CURRENT_USER()");
    test_db_run(db, "ALTER TABLE app.t RENAME TO n");
    test_reply before =
        test_db_query(db, &(test_query){.user = "ann", .sql = "SELECT * FROM app.n"});
    test_db_reopen(db);
    test_reply after =
        test_db_query(db, &(test_query){.user = "ann", .sql = "SELECT * FROM app.n"});
    assert_null(after.code);
    assert_int_equal(after.rows->len, 1);
    for (size_t i = 0; i < 4; i++) {
        const kal_json *a = &before.rows->items[0].items[i];
        const kal_json *b = &after.rows->items[0].items[i];
        assert_int_equal(a->kind, b->kind);
        assert_true(kal_bytes_equal(a->text, b->text));
    }
    /* The initial default is of the moment and the person of the ALTER. */
    assert_true(kal_bytes_equal(after.rows->items[0].items[3].text, KAL_STR("root")));
    test_reply_release(&before);
    test_reply_release(&after);
    test_db_expect(db, "ann", "INSERT INTO app.n (id) VALUES (2) RETURNING who", "[[\"ann\"]]");
    test_db_expect_error(db, NULL, "BEGIN; ALTER TABLE app.n ADD COLUMN x INT; COMMIT",
                         "UNSUPPORTED", "inside a transaction");
    test_db_run(db, "DROP TABLE app.n");
    test_db_run(db, "CREATE USER TABLE app.n (id INT PRIMARY KEY)");
    test_db_expect(db, "ann", "SELECT * FROM app.n", "[]");
}

/* Goal: SHOW CREATE TABLE after many changes makes a table that is described the same. */
static void test_show_create(void **state)
{
    test_db *db = *state;
    test_db_run(db, "CREATE TABLE app.t (id INT PRIMARY KEY, a SMALLINT DEFAULT 1, b TEXT)");
    test_db_run(db, "ALTER TABLE app.t DROP b, MODIFY a INT NOT NULL DEFAULT 2 COMMENT 'it''s', "
                    "ADD c DECIMAL(10,2) DEFAULT 1.5, COMMENT 'x', SET ACCESS LEVEL restricted");
    test_reply reply = test_db_query(db, &(test_query){.sql = "SHOW CREATE TABLE app.t"});
    kal_bytes sql = reply.rows->items[0].items[1].text;
    char *again = kal_arena_printf(&reply.arena, "CREATE TABLE app.again%.*s",
                                   (int)(sql.len - strlen("CREATE TABLE app.t")),
                                   (const char *)sql.ptr + strlen("CREATE TABLE app.t"));
    test_db_run(db, again);
    test_reply_release(&reply);
    const char *columns = "SELECT column_name, data_type, is_nullable, column_default, "
                          "column_comment FROM information_schema.columns WHERE table_name = '%s' "
                          "ORDER BY ordinal_position";
    char first[512];
    char second[512];
    snprintf(first, sizeof first, columns, "t");
    snprintf(second, sizeof second, columns, "again");
    const char *wanted = "[[\"id\",\"INT\",false,null,null],[\"a\",\"INT\",false,\"2\",\"it's\"],"
                         "[\"c\",\"DECIMAL(10,2)\",true,\"1.50\",null]]";
    test_db_expect(db, NULL, first, wanted);
    test_db_expect(db, NULL, second, wanted);
}

int main(void)
{
#define DB_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        DB_TEST(test_each_change), DB_TEST(test_atomic),   DB_TEST(test_refusals),
        DB_TEST(test_not_null),    DB_TEST(test_widening), DB_TEST(test_history),
        DB_TEST(test_dry_run),     DB_TEST(test_restart),  DB_TEST(test_show_create),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
