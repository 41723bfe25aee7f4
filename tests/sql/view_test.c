/*
 * Views and ALTER NAMESPACE, statement by statement: what they answer, what a view's columns are
 * and stay, who may read through one, and what is refused.
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
    test_db_run(db, "CREATE USER TABLE app.t (id BIGINT PRIMARY KEY, a INT, b TEXT)");
    test_db_add_user(db, "ann", KAL_ROLE_USER);
    test_db_add_user(db, "bob", KAL_ROLE_USER);
    test_db_run(db, "INSERT INTO app.t VALUES (1, 10, 'x'), (2, 20, 'y'), (3, NULL, 'z')");
    test_db_expect(db, "ann", "INSERT INTO app.t VALUES (7, 70, 'ann') RETURNING id", "[[\"7\"]]");
    *state = db;
    return 0;
}

static int tear_down(void **state)
{
    test_db_close(*state);
    return 0;
}

/* ---- making and using ---- */

/* Goal: a view is read like a table, in every place of a SELECT. Method: each place once. */
static void test_use(void **state)
{
    test_db *db = *state;
    test_db_run(db, "CREATE VIEW app.v AS SELECT id, a * 2 AS twice, b FROM app.t WHERE a > 5");
    test_db_expect(db, NULL, "SELECT * FROM app.v ORDER BY id",
                   "[[\"1\",20,\"x\"],[\"2\",40,\"y\"]]");
    test_db_expect(db, NULL, "SELECT v.twice FROM app.v WHERE app.v.id = 1", "[[20]]");
    test_db_expect(db, NULL, "SELECT v.* FROM app.v WHERE v.id = 1", "[[\"1\",20,\"x\"]]");
    test_db_expect(db, NULL, "SELECT w.b FROM app.v AS w WHERE w.id = 2", "[[\"y\"]]");
    test_db_expect(db, NULL,
                   "SELECT v.b, t.a FROM app.v JOIN app.t USING (id) ORDER BY t.id LIMIT 1",
                   "[[\"x\",10]]");
    test_db_expect(db, NULL, "SELECT id FROM app.t WHERE id NOT IN (SELECT id FROM app.v)",
                   "[[\"3\"]]");
    test_db_expect(db, NULL, "WITH c AS (SELECT max(twice) AS m FROM app.v) SELECT m FROM c",
                   "[[40]]");
    test_db_expect(db, NULL, "SELECT count(*) FROM app.v AS x, app.v AS y", "[[\"4\"]]");
    test_db_expect(db, NULL,
                   "SELECT id FROM app.v UNION ALL SELECT id + 100 FROM app.v ORDER BY id",
                   "[[\"1\"],[\"2\"],[\"101\"],[\"102\"]]");
    test_query named = {.sql = "SELECT b FROM v WHERE id = $1", .params = "[2]", .ns = "app"};
    test_reply reply = test_db_query(db, &named);
    assert_null(reply.code);
    assert_int_equal(reply.rows->len, 1);
    test_reply_release(&reply);
    /* a CTE of the same name hides it, a table of a sub-select does too */
    named.sql = "WITH v AS (SELECT 'mine' AS b) SELECT b FROM v WHERE b = $1";
    named.params = "[\"mine\"]";
    reply = test_db_query(db, &named);
    assert_null(reply.code);
    assert_int_equal(reply.rows->len, 1);
    test_reply_release(&reply);
    test_db_expect(db, NULL, "TABLE app.v ORDER BY id DESC LIMIT 1", "[[\"2\",40,\"y\"]]");
    test_db_expect(db, NULL, "SELECT count(*) FROM (TABLE app.t UNION ALL TABLE app.t)",
                   "[[\"6\"]]");
    test_db_run(db, "CREATE SHARED TABLE app.copy (id BIGINT PRIMARY KEY, twice BIGINT)");
    test_db_run(db, "INSERT INTO app.copy SELECT id, twice FROM app.v");
    test_db_expect(db, NULL, "SELECT count(*) FROM app.copy", "[[\"2\"]]");
}

/* Goal: names of the creator's namespace, columns named in front, comments and remarks in the text,
 * IF NOT EXISTS and OR REPLACE. Method: one view of each. */
static void test_create(void **state)
{
    test_db *db = *state;
    test_query in_app = {.sql = "CREATE VIEW v (x, y) COMMENT 'two' AS SELECT id, a FROM t -- end",
                         .ns = "app"};
    test_reply reply = test_db_query(db, &in_app);
    assert_null(reply.code);
    test_reply_release(&reply);
    test_db_expect(db, NULL, "SELECT x, y FROM app.v WHERE x = 1", "[[\"1\",10]]");
    test_db_expect(db, NULL,
                   "SELECT table_type, table_comment FROM system.tables "
                   "WHERE table_name = 'v'",
                   "[[\"view\",\"two\"]]");
    test_db_run(db, "CREATE VIEW IF NOT EXISTS app.v AS SELECT 1 AS other");
    test_db_expect(db, NULL, "SELECT x FROM app.v WHERE x = 1", "[[\"1\"]]");
    test_db_expect_error(db, NULL, "CREATE VIEW app.v AS SELECT 1 AS other", "TABLE_EXISTS",
                         "already exists");
    test_db_run(db, "CREATE OR REPLACE VIEW app.v AS WITH c AS (SELECT b FROM app.t) "
                    "SELECT b, length(b) AS n FROM c");
    test_db_expect(db, NULL, "SELECT * FROM app.v WHERE b = 'x'", "[[\"x\",\"1\"]]");
    test_db_run(db, "CREATE OR REPLACE VIEW app.v AS WITH c AS (SELECT b FROM app.t) "
                    "SELECT b, length(b) AS n FROM c");
    test_db_expect(db, NULL, "SELECT schema_version FROM system.tables WHERE table_name = 'v'",
                   "[[2]]");
    test_db_run(db, "CREATE OR REPLACE VIEW app.v AS SELECT id, id + 1 AS \"ID\" FROM app.t");
    test_db_expect(db, NULL,
                   "SELECT column_name FROM information_schema.columns "
                   "WHERE table_name = 'v' ORDER BY ordinal_position",
                   "[[\"id\"],[\"ID_1\"]]"); /* as DuckDB names them in a sub-select */
    test_db_run(db, "CREATE OR REPLACE VIEW app.v (n, s, q) AS "
                    "SELECT count(*), sum(id) + 1, 'a\"b' FROM app.t");
    test_db_expect(db, NULL, "SELECT n, s, q FROM app.v", "[[\"3\",\"7\",\"a\\\"b\"]]");
    test_db_run(db, "DROP VIEW app.v");
    test_db_expect_error(db, NULL, "SELECT * FROM app.v", "TABLE_NOT_FOUND", "app.v");
    test_db_run(db, "DROP VIEW IF EXISTS app.v");
    test_db_expect_error(db, NULL, "DROP VIEW app.v", "TABLE_NOT_FOUND", "v");
}

/* Goal: SHOW CREATE TABLE of a view gives a statement that makes the same view. Method: it is run
 * after a drop, the second text is the first. */
static void test_show_create(void **state)
{
    test_db *db = *state;
    char statements[2][512];
    test_db_run(db, "CREATE VIEW app.v (\"x\", y) COMMENT 'it''s' AS SELECT id, a FROM app.t");
    for (size_t i = 0; i < 2; i++) {
        test_query query = {.sql = "SHOW CREATE TABLE app.v"};
        test_reply reply = test_db_query(db, &query);
        assert_null(reply.code);
        const kal_json *row = &reply.rows->items[0];
        kal_bytes text = row->items[row->len - 1].text;
        assert_true(text.len < sizeof statements[i]);
        memcpy(statements[i], text.ptr, text.len);
        statements[i][text.len] = '\0';
        test_reply_release(&reply);
        test_db_run(db, "DROP VIEW app.v");
        test_db_run(db, statements[i]);
    }
    assert_string_equal(statements[0], statements[1]);
    test_db_expect(db, NULL, "SELECT x, y FROM app.v WHERE x = 2", "[[\"2\",20]]");
}

/* ---- its columns ---- */

/* Goal: the views of columns, DESCRIBE and SELECT * agree. Method: names and types of all three. */
static void test_one_truth(void **state)
{
    test_db *db = *state;
    test_db_run(db, "CREATE VIEW app.v AS SELECT id, a, b, a / 3 AS third, sum(a) OVER () AS total,"
                    " DATE '2020-01-01' AS d, a IS NULL AS none FROM app.t");
    static const char *const COLUMNS =
        "[[\"id\",\"BIGINT\"],[\"a\",\"INT\"],[\"b\",\"TEXT\"],[\"third\",\"DOUBLE\"],"
        "[\"total\",\"DECIMAL(38,0)\"],[\"d\",\"DATE\"],[\"none\",\"BOOLEAN\"]]";
    test_db_expect(db, NULL,
                   "SELECT column_name, data_type FROM information_schema.columns "
                   "WHERE table_name = 'v' ORDER BY ordinal_position",
                   COLUMNS);
    test_query query = {.sql = "SELECT * FROM app.v LIMIT 0"};
    test_reply reply = test_db_query(db, &query);
    assert_null(reply.code);
    test_reply described = test_db_query(db, &(test_query){.sql = "DESCRIBE TABLE app.v"});
    assert_null(described.code);
    assert_int_equal(described.rows->len, 7);
    assert_int_equal(reply.schema->len, 7);
    for (size_t i = 0; i < 7; i++) {
        const kal_json *name = kal_json_find(&reply.schema->items[i], "name");
        const kal_json *row = &described.rows->items[i];
        bool found = false;
        for (size_t k = 0; k < row->len; k++)
            found = found || (row->items[k].kind == KAL_JSON_STRING &&
                              kal_bytes_equal(row->items[k].text, name->text));
        assert_true(found);
    }
    test_reply_release(&reply);
    test_reply_release(&described);
}

/* Goal: a view's columns stay what they were when the tables under it change; a column that is gone
 * is an error that names the view. Method: widen, add, rename, drop under one view. */
static void test_tables_change(void **state)
{
    test_db *db = *state;
    test_db_run(db, "CREATE SHARED TABLE app.u (id BIGINT PRIMARY KEY, b TEXT)");
    test_db_run(db, "INSERT INTO app.u VALUES (9, 'of another')");
    test_db_run(db, "CREATE VIEW app.v AS SELECT * FROM app.t");
    test_db_run(db, "CREATE VIEW app.only_b AS SELECT b FROM app.t WHERE id = 1");
    test_db_run(db, "ALTER TABLE app.t ADD COLUMN c INT DEFAULT 5");
    test_db_run(db, "ALTER TABLE app.t ALTER COLUMN a TYPE BIGINT");
    test_db_expect(db, NULL, "SELECT * FROM app.v WHERE id = 1", "[[\"1\",10,\"x\"]]");
    test_db_run(db, "UPDATE app.t SET a = 3000000000 WHERE id = 1");
    test_db_expect_error(db, NULL, "SELECT * FROM app.v WHERE id = 1", "INVALID_INPUT", "INT32");
    test_db_expect(db, NULL, "SELECT b FROM app.v WHERE id = 1", "[[\"x\"]]");
    test_db_expect(db, NULL, "SELECT o.b, u.b FROM app.u, app.only_b o",
                   "[[\"x\",\"of another\"]]");
    test_db_run(db, "ALTER TABLE app.t RENAME COLUMN b TO bb");
    test_db_expect_error(db, NULL, "SELECT id FROM app.v", "COLUMN_NOT_FOUND",
                         "view 'v': column 'b' does not exist");
    /* not the column of the table next to it, which DuckDB would take */
    test_db_expect_error(db, NULL, "SELECT o.b FROM app.u, app.only_b o", "COLUMN_NOT_FOUND",
                         "view 'only_b': column 'b' does not exist");
    test_db_expect_error(db, NULL, "SELECT (SELECT max(o.b) FROM app.only_b o) AS m FROM app.u",
                         "COLUMN_NOT_FOUND", "view 'only_b': column 'b' does not exist");
    test_db_run(db, "ALTER TABLE app.t ADD COLUMN b UUID");
    test_db_run(db, "UPDATE app.t SET b = '0190d6a0-0000-7000-8000-000000000001' WHERE id = 2");
    test_db_expect(db, NULL, "SELECT typeof(b), b FROM app.v WHERE id = 2",
                   "[[\"VARCHAR\",\"0190d6a0-0000-7000-8000-000000000001\"]]");
    test_db_run(db, "DROP TABLE app.t");
    test_db_expect_error(db, NULL, "SELECT id FROM app.v", "TABLE_NOT_FOUND", "view 'v'");
}

/* Goal: a column that is added later takes no name inside a view, wherever it could. Method: a name
 * that meant another column, an alias, or nothing, in each kind of place; views read before and
 * after both tables get a column of that name. */
static void test_added_columns(void **state)
{
    static const struct {
        const char *name;
        const char *select;
        const char *rows;
    } CASES[] = {
        {"sub_select",
         "SELECT id FROM app.t WHERE EXISTS (SELECT 1 FROM app.q WHERE q.id = t.id AND cap = b)",
         "[[\"1\"]]"},
        {"natural", "SELECT id, cap FROM app.t NATURAL JOIN app.q",
         "[[\"1\",\"x\"],[\"2\",\"x\"]]"},
        {"in_join", "SELECT t.id, cap FROM app.t JOIN app.q ON q.id = t.id",
         "[[\"1\",\"x\"],[\"2\",\"x\"]]"},
        {"comma", "SELECT t.id FROM app.q, app.t WHERE q.id = t.id AND b = cap", "[[\"1\"]]"},
        {"by_alias", "SELECT id, a * 2 AS extra FROM app.t WHERE extra > 20", "[[\"2\",40]]"},
        {"by_group", "SELECT a > 5 AS extra, count(*) AS n FROM app.t WHERE a > 5 GROUP BY extra",
         "[[true,\"2\"]]"},
        {"by_order",
         "SELECT id, (SELECT count(*) FROM app.q) AS extra FROM app.t ORDER BY extra, id DESC "
         "LIMIT "
         "1",
         "[[\"3\",\"2\"]]"},
        {"qualified", "SELECT app.t.id, t.b FROM app.t WHERE app.t.a = 10", "[[\"1\",\"x\"]]"},
        {"alias", "SELECT w.id FROM app.t AS w (id, x) WHERE x = 10", "[[\"1\"]]"},
        {"short_form", "SELECT * FROM (TABLE app.q) WHERE id = 1", "[[\"1\",\"x\"]]"},
        {"set", "SELECT * FROM app.q UNION ALL SELECT id, b FROM app.t ORDER BY 1, 2 LIMIT 1",
         "[[\"1\",\"x\"]]"},
        {"hidden", "SELECT id, _seq > 0 AS extra FROM app.q WHERE _seq > 0 ORDER BY id",
         "[[\"1\",true],[\"2\",true]]"},
        {"hidden_star", "SELECT * FROM app.q WHERE _deleted = FALSE ORDER BY id",
         "[[\"1\",\"x\"],[\"2\",\"x\"]]"},
        {"count_all", "SELECT count(*) AS n FROM app.q", "[[\"2\"]]"},
        {"of_views",
         "SELECT o.id FROM app.t AS o WHERE EXISTS (SELECT 1 FROM app.base AS i WHERE i.id = o.id "
         "AND later = b)",
         "[[\"1\"]]"},
        {"twice",
         "SELECT x.id FROM app.q x JOIN app.q y USING (id) JOIN app.t ON t.id = y.id AND b "
         "= x.cap",
         "[[\"1\"]]"},
        {"cte",
         "WITH c AS (SELECT * FROM app.q) SELECT t.id FROM app.t, c WHERE c.id = t.id AND b = "
         "cap",
         "[[\"1\"]]"},
        {"system",
         "SELECT table_name FROM system.tables WHERE namespace = 'app' AND table_name "
         "= 'q'",
         "[[\"q\"]]"},
    };
    test_db *db = *state;
    char sql[512];
    test_db_run(db, "CREATE SHARED TABLE app.q (id BIGINT PRIMARY KEY, cap TEXT)");
    test_db_run(db, "INSERT INTO app.q VALUES (1, 'x'), (2, 'x')");
    test_db_run(db, "CREATE VIEW app.base AS SELECT id, cap AS later FROM app.q");
    for (size_t i = 0; i < KAL_ARRAY_LEN(CASES); i++) {
        snprintf(sql, sizeof sql, "CREATE VIEW app.%s AS %s", CASES[i].name, CASES[i].select);
        test_db_run(db, sql);
    }
    for (int round = 0; round < 4; round++) {
        for (size_t i = 0; i < KAL_ARRAY_LEN(CASES); i++) {
            snprintf(sql, sizeof sql, "SELECT * FROM app.%s ORDER BY 1", CASES[i].name);
            test_db_expect(db, NULL, sql, CASES[i].rows);
        }
        if (round == 0) {
            test_db_run(db, "ALTER TABLE app.t ADD COLUMN cap TEXT DEFAULT 'wrong'");
            test_db_run(db, "ALTER TABLE app.q ADD COLUMN b TEXT DEFAULT 'wrong'");
        } else if (round == 1) {
            test_db_run(db, "ALTER TABLE app.t ADD COLUMN extra INT DEFAULT -1");
            test_db_run(db, "ALTER TABLE app.q ADD COLUMN extra INT DEFAULT -1");
            test_db_run(db,
                        "CREATE OR REPLACE VIEW app.base AS SELECT id, cap AS later, 'wrong' AS "
                        "b FROM app.q");
        } else if (round == 2) {
            test_db_reopen(db);
        }
    }
    /* OR REPLACE with the same text sees today's columns */
    test_db_run(db, "CREATE OR REPLACE VIEW app.comma AS SELECT t.id FROM app.q, app.t WHERE q.id "
                    "= t.id AND t.b = t.cap");
    test_db_expect(db, NULL, "SELECT * FROM app.comma", "[]");
    test_db_expect_error(db, NULL,
                         "CREATE OR REPLACE VIEW app.in_join AS SELECT t.id, cap FROM app.t JOIN "
                         "app.q ON q.id = t.id",
                         "INVALID_SQL", "mbiguous");
}

/* Goal: all columns that a view knew may go, and its SELECT may still have an answer. Method: a
 * count over a table whose columns are all renamed; one over a view that is replaced so. */
static void test_all_columns_renamed(void **state)
{
    test_db *db = *state;
    test_db_run(db, "CREATE VIEW app.n AS SELECT count(*) AS n FROM app.t");
    test_db_run(db, "CREATE VIEW app.some AS SELECT a FROM app.t");
    test_db_run(db, "CREATE VIEW app.m AS SELECT count(*) AS m FROM app.some");
    test_db_run(db, "CREATE OR REPLACE VIEW app.some AS SELECT a AS aa FROM app.t");
    test_db_expect(db, NULL, "SELECT m FROM app.m", "[[\"3\"]]");
    test_db_run(db, "ALTER TABLE app.t RENAME COLUMN id TO id2, RENAME COLUMN a TO a2, "
                    "RENAME COLUMN b TO b2");
    test_db_expect(db, NULL, "SELECT n FROM app.n", "[[\"3\"]]");
}

/* Goal: the text of views does not count against what a reader may write, and is not shown as the
 * name of a column. Method: a view longer than a user's statement may be. */
static void test_long_view(void **state)
{
    test_db *db = *state;
    enum { BYTES = 200 * 1024 };
    kal_buf sql; /* owned */
    kal_buf_init(&sql, NULL);
    kal_buf_append_cstr(&sql, "CREATE VIEW app.long AS SELECT id, '");
    for (size_t i = 0; i < BYTES; i++)
        kal_buf_append_byte(&sql, 'x');
    kal_buf_append_cstr(&sql, "' AS x FROM app.t");
    kal_buf_append_byte(&sql, '\0');
    test_db_run(db, (const char *)sql.ptr);
    kal_buf_release(&sql);
    test_db_expect(db, "ann", "SELECT id, length(x) FROM app.long", "[[\"7\",\"204800\"]]");
    test_query query = {.user = "ann", .sql = "SELECT 1 AS one, (SELECT max(id) FROM app.long)"};
    test_reply reply = test_db_query(db, &query);
    assert_null(reply.code);
    const kal_json *name = kal_json_find(&reply.schema->items[1], "name");
    assert_true(kal_bytes_equal(name->text, KAL_STR("column_2")));
    test_reply_release(&reply);
}

/* ---- views of views ---- */

static void make_chain(test_db *db, unsigned count, const char *select)
{
    for (unsigned i = 1; i < count; i++) {
        char sql[256];
        snprintf(sql, sizeof sql, select, i, i - 1, i - 1);
        test_db_run(db, sql);
    }
}

/* Goal: views stand in one another up to a depth; cycles and explosions end with an error. Method:
 * chains of 16 and 17, a cycle made by OR REPLACE, and one that doubles at each step. */
static void test_nesting(void **state)
{
    test_db *db = *state;
    test_db_run(db, "CREATE VIEW app.v0 AS SELECT id, a FROM app.t");
    make_chain(db, 16, "CREATE VIEW app.v%u AS SELECT id, a FROM app.v%u WHERE id > 0");
    test_db_expect(db, NULL, "SELECT a FROM app.v15 WHERE id = 1", "[[10]]");
    test_db_expect_error(db, NULL, "CREATE VIEW app.v16 AS SELECT id, a FROM app.v15",
                         "LIMIT_EXCEEDED", "16 deep");
    test_db_expect_error(db, NULL, "CREATE OR REPLACE VIEW app.v0 AS SELECT id, a FROM app.v9",
                         "INVALID_INPUT", "would read itself");
    test_db_expect_error(db, NULL, "CREATE OR REPLACE VIEW app.v0 AS SELECT id, a FROM app.v0",
                         "INVALID_INPUT", "would read itself");
    test_db_run(db, "CREATE OR REPLACE VIEW app.v0 AS SELECT id, a FROM app.t WHERE a = 20");
    test_db_expect(db, NULL, "SELECT id FROM app.v15", "[[\"2\"]]");
    for (unsigned i = 15; i > 0; i--) {
        char sql[256];
        snprintf(sql, sizeof sql,
                 "CREATE OR REPLACE VIEW app.v%u AS SELECT x.id, y.a FROM app.v%u x "
                 "JOIN app.v%u y USING (id)",
                 i, i - 1, i - 1);
        test_db_run(db, sql);
    }
    test_db_expect(db, NULL, "SELECT a FROM app.v3", "[[20]]");
    test_db_expect_error(db, NULL, "SELECT a FROM app.v15", "LIMIT_EXCEEDED",
                         "view 'v6': the statement has more than 256 parts");
}

/* ---- rights ---- */

/* Goal: nobody reads through a view what he may not read himself. Method: a view over the USER
 * table, one over a private SHARED table, one over both, and system tables, read by a user. */
static void test_rights(void **state)
{
    test_db *db = *state;
    test_db_run(db, "CREATE VIEW app.mine AS SELECT id, b FROM app.t");
    test_db_expect(db, "ann", "SELECT * FROM app.mine", "[[\"7\",\"ann\"]]");
    test_db_expect(db, "bob", "SELECT * FROM app.mine", "[]");
    test_db_run(db, "CREATE SHARED TABLE app.secret (id BIGINT PRIMARY KEY, s TEXT)");
    test_db_run(db, "INSERT INTO app.secret VALUES (1, 'hidden')");
    test_db_run(db, "CREATE VIEW app.leak AS SELECT s FROM app.secret");
    test_db_expect(db, NULL, "SELECT s FROM app.leak", "[[\"hidden\"]]");
    test_db_expect_error(db, "ann", "SELECT * FROM app.leak", "PERMISSION_DENIED", "secret");
    test_db_expect_error(db, "ann", "SELECT count(*) FROM app.leak", "PERMISSION_DENIED", "secret");
    test_db_expect_error(db, "ann", "SELECT 1 FROM app.mine WHERE EXISTS (SELECT 1 FROM app.leak)",
                         "PERMISSION_DENIED", "secret");
    test_db_run(db, "CREATE VIEW app.users AS SELECT user_id FROM system.users");
    test_db_expect_error(db, "ann", "SELECT * FROM app.users", "PERMISSION_DENIED", "users");
    test_db_run(db, "CREATE VIEW app.who AS SELECT CURRENT_USER() AS u");
    test_db_expect(db, "bob", "SELECT u FROM app.who", "[[\"bob\"]]");
    test_db_expect_error(db, "ann", "CREATE VIEW app.own AS SELECT id FROM app.t",
                         "PERMISSION_DENIED", "");
    test_db_expect_error(db, "ann", "DROP VIEW app.mine", "PERMISSION_DENIED", "");
    test_db_expect_error(db, "ann", "CREATE OR REPLACE VIEW app.leak AS SELECT 1 AS s",
                         "PERMISSION_DENIED", "");
}

/* ---- what is refused ---- */

/* Goal: what a view cannot be or do is refused with the reason. Method: one of each. */
static void test_refused(void **state)
{
    static const struct {
        const char *sql;
        const char *code;
        const char *part;
    } CASES[] = {
        {"CREATE VIEW app.n AS SELECT a + 1 FROM app.t", "INVALID_INPUT", "has no name"},
        {"CREATE VIEW app.n (x, X) AS SELECT id, a FROM app.t", "INVALID_INPUT", "x"},
        {"CREATE VIEW app.n (x) AS SELECT (SELECT max(id) FROM app.t)", "INVALID_INPUT",
         "has no name"},
        {"CREATE VIEW app.n (x) AS SELECT id, a FROM app.t", "INVALID_INPUT", "names 1 columns"},
        {"CREATE VIEW app.n (_seq) AS SELECT id FROM app.t", "INVALID_INPUT", "_seq"},
        {"CREATE VIEW app.n AS SELECT id FROM app.missing", "TABLE_NOT_FOUND", "missing"},
        {"CREATE VIEW app.n AS SELECT nothing FROM app.t", "COLUMN_NOT_FOUND", "nothing"},
        {"CREATE VIEW app.n AS SELECT * FROM read_csv('/etc/passwd')", "UNSUPPORTED", "read_csv"},
        {"CREATE VIEW app.n AS SELECT 1 AS x) AS y, (SELECT 2", "INVALID_SQL", ""},
        {"CREATE VIEW app.n AS DELETE FROM app.t", "INVALID_SQL", "SELECT"},
        {"CREATE VIEW app.n", "INVALID_SQL", "AS"},
        {"CREATE VIEW nowhere.n AS SELECT 1 AS x", "NAMESPACE_NOT_FOUND", "nowhere"},
        {"CREATE VIEW system.n AS SELECT 1 AS x", "PERMISSION_DENIED", "system"},
        {"CREATE OR REPLACE VIEW app.t AS SELECT 1 AS x", "INVALID_INPUT", "is a table"},
        {"CREATE OR REPLACE VIEW IF NOT EXISTS app.n AS SELECT 1 AS x", "INVALID_SQL", "exclude"},
        {"CREATE OR REPLACE TABLE app.n (id INT PRIMARY KEY)", "INVALID_SQL", ""},
        {"DROP VIEW app.t", "INVALID_INPUT", "is a table"},
        {"DROP TABLE app.v", "INVALID_INPUT", "is a view"},
        {"DROP TABLE IF EXISTS app.v", "INVALID_INPUT", "is a view"},
        {"ALTER TABLE app.v ADD COLUMN c INT", "INVALID_INPUT", "is a view"},
        {"INSERT INTO app.v VALUES (1)", "INVALID_INPUT", "is a view"},
        {"UPDATE app.v SET id = 2", "INVALID_INPUT", "is a view"},
        {"DELETE FROM app.v WHERE id = 1", "INVALID_INPUT", "is a view"},
        {"SHOW STATS FOR TABLE app.v", "INVALID_INPUT", "is a view"},
        {"SELECT _seq FROM app.v", "COLUMN_NOT_FOUND", "_seq"},
        {"CREATE TABLE app.v (id INT PRIMARY KEY)", "TABLE_EXISTS", "app.v"},
        {"CREATE TABLE app.x (id INT PRIMARY KEY) WITH (TYPE = 'view')", "INVALID_INPUT",
         "unknown table type"},
    };
    test_db *db = *state;
    test_db_run(db, "CREATE VIEW app.v AS SELECT id FROM app.t");
    for (size_t i = 0; i < KAL_ARRAY_LEN(CASES); i++)
        test_db_expect_error(db, NULL, CASES[i].sql, CASES[i].code, CASES[i].part);
    test_reply reply = test_db_query(
        db, &(test_query){.sql = "CREATE VIEW app.n AS SELECT id FROM app.t WHERE id = $1",
                          .params = "[1]"});
    assert_non_null(reply.code);
    assert_non_null(strstr(reply.message, "a view cannot have parameters"));
    test_reply_release(&reply);
    test_db_expect(db, NULL, "SELECT count(*) FROM system.tables WHERE namespace = 'app'",
                   "[[\"2\"]]");
}

/* Goal: mistakes are pointed at where they stand, also behind what was put in place of a view.
 * Method: the position of an error after a view, inside one, and in the text of a new one. */
static void test_positions(void **state)
{
    static const char *const TEXTS[] = {
        "SELECT app.v.id FROM app.v WHERE ^nothing = 1",
        "CREATE VIEW app.n AS SELECT ^nothing FROM app.t",
        "SELECT 1 FROM app.t, ^app.broken",
    };
    test_db *db = *state;
    test_db_run(db, "CREATE VIEW app.v AS SELECT id FROM app.t");
    test_db_run(db, "CREATE SHARED TABLE app.gone (id INT PRIMARY KEY)");
    test_db_run(db, "CREATE VIEW app.broken AS SELECT id FROM app.gone");
    test_db_run(db, "DROP TABLE app.gone");
    for (size_t i = 0; i < KAL_ARRAY_LEN(TEXTS); i++) {
        char sql[256];
        size_t at = strcspn(TEXTS[i], "^");
        snprintf(sql, sizeof sql, "%.*s%s", (int)at, TEXTS[i], TEXTS[i] + at + 1);
        test_reply reply = test_db_query(db, &(test_query){.sql = sql});
        if (reply.code == NULL || reply.position != (int64_t)at)
            fail_msg("%s: position %lld, not %zu: %s", sql, (long long)reply.position, at,
                     reply.message);
        test_reply_release(&reply);
    }
}

/* ---- restart, namespaces ---- */

static void expect_options(test_db *db, const char *rows)
{
    test_db_expect(db, NULL, "SELECT options FROM system.namespaces WHERE name = 'app'", rows);
}

/* Goal: views and options of namespaces are kept; dropping a namespace takes its views. Method:
 * reopened once; DROP with and without CASCADE. */
static void test_kept(void **state)
{
    test_db *db = *state;
    test_db_run(db, "CREATE VIEW app.v AS SELECT id, a FROM app.t");
    test_db_run(db, "ALTER NAMESPACE app SET OPTIONS (owner = 'me', level = 3, on_call = TRUE)");
    test_db_reopen(db);
    test_db_expect(db, NULL, "SELECT a FROM app.v WHERE id = 2", "[[20]]");
    test_db_run(db, "DROP TABLE app.t");
    expect_options(db, "[[\"{\\\"owner\\\":\\\"me\\\",\\\"level\\\":3,\\\"on_call\\\":true}\"]]");
    test_db_expect_error(db, NULL, "DROP NAMESPACE app", "INVALID_INPUT", "app");
    test_db_run(db, "DROP NAMESPACE app CASCADE");
    test_db_run(db, "CREATE NAMESPACE app");
    expect_options(db, "[[null]]");
    test_db_expect_error(db, NULL, "SELECT * FROM app.v", "TABLE_NOT_FOUND", "v");
}

/* Goal: options are merged one by one, and bad ones refused. Method: set, change, remove, refuse.
 */
static void test_namespace_options(void **state)
{
    test_db *db = *state;
    expect_options(db, "[[null]]");
    test_db_run(db, "ALTER NAMESPACE app SET OPTIONS (a = 1, b = 'x')");
    test_db_run(db, "ALTER NAMESPACE app SET OPTIONS (a = 'one', c = FALSE)");
    expect_options(db, "[[\"{\\\"b\\\":\\\"x\\\",\\\"a\\\":\\\"one\\\",\\\"c\\\":false}\"]]");
    test_db_run(db, "ALTER NAMESPACE app SET DESCRIPTION 'the app''s'");
    test_db_run(db, "ALTER NAMESPACE app SET OPTIONS (a = NULL, b = NULL, c = NULL)");
    expect_options(db, "[[\"{\\\"description\\\":\\\"the app's\\\"}\"]]");
    test_db_run(db, "ALTER NAMESPACE app SET DESCRIPTION NULL");
    expect_options(db, "[[null]]");
    test_db_expect_error(db, NULL, "ALTER NAMESPACE none SET OPTIONS (a = 1)",
                         "NAMESPACE_NOT_FOUND", "none");
    test_db_expect_error(db, NULL, "ALTER NAMESPACE system SET OPTIONS (a = 1)",
                         "PERMISSION_DENIED", "system");
    test_db_expect_error(db, "ann", "ALTER NAMESPACE app SET OPTIONS (a = 1)", "PERMISSION_DENIED",
                         "");
    test_db_expect_error(db, NULL, "ALTER NAMESPACE app RENAME TO other", "INVALID_SQL", "SET");
    test_db_expect_error(db, NULL, "ALTER NAMESPACE app SET OPTIONS (\"A b\" = 1)", "INVALID_SQL",
                         "option");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_use, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_create, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_show_create, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_truth, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tables_change, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_added_columns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_all_columns_renamed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_view, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nesting, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rights, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_positions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_namespace_options, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
