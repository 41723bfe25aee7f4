/*
 * What refused statements say: each message must name what is wrong and where, so that nobody has
 * to search 500 rows or guess a name.
 */
#include "sql/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int set_up(void **state)
{
    test_db *db = test_db_open(false);
    test_db_run(db, "CREATE NAMESPACE app");
    test_db_run(db, "CREATE SHARED TABLE app.notes (id BIGINT PRIMARY KEY, s SMALLINT, "
                    "t TEXT NOT NULL)");
    *state = db;
    return 0;
}

static int tear_down(void **state)
{
    test_db_close(*state);
    return 0;
}

/* The message is exactly this, and the hint (NULL: none). */
static test_reply refuse(test_db *db, const char *sql, const char *params, const char *message,
                         const char *hint)
{
    test_reply reply = test_db_query(db, &(test_query){.sql = sql, .params = params});
    if (reply.code == NULL)
        fail_msg("should have failed: %s", sql);
    assert_string_equal(reply.message, message);
    if (hint == NULL && reply.hint != NULL && reply.hint[0] != '\0')
        fail_msg("%s: unexpected hint: %s", sql, reply.hint);
    if (hint != NULL) {
        if (reply.hint == NULL)
            fail_msg("%s: no hint", sql);
        assert_string_equal(reply.hint, hint);
    }
    return reply;
}

static void expect(test_db *db, const char *sql, const char *message, const char *hint)
{
    test_reply reply = refuse(db, sql, NULL, message, hint);
    test_reply_release(&reply);
}

static void a_key_names_a_column_twice(void **state)
{
    expect(*state, "CREATE TABLE app.x (a INT, b INT, PRIMARY KEY (a, b, a))",
           "column 'a' stands twice in the primary key", NULL);
    expect(*state, "CREATE TABLE app.x (a INT, b INT, PRIMARY KEY (a, a))",
           "column 'a' stands twice in the primary key", NULL);
    expect(*state, "CREATE TABLE app.x (a INT, b INT, PRIMARY KEY (a, b, c))",
           "the primary key names 'c', which is no column", NULL);
}

static void refuse_row(test_db *db, const char *sql, const char *params, const char *message,
                       const char *row)
{
    test_reply reply = refuse(db, sql, params, message, NULL);
    const kal_json *found = kal_json_find(kal_json_find(reply.json, "error"), "row");
    if (found == NULL)
        fail_msg("%s: the error names no row", sql);
    assert_true(kal_bytes_equal(found->text, kal_cstr(row)));
    test_reply_release(&reply);
    test_db_expect(db, NULL, "SELECT count(*) FROM app.notes WHERE id > 100", "[[\"0\"]]");
}

static void an_error_in_a_batch_names_its_row(void **state)
{
    const char *insert = "INSERT INTO app.notes VALUES ($1, $2, $3)";
    test_db *db = *state;
    test_db_run(db, "INSERT INTO app.notes VALUES (1, 1, 'one'), (2, 2, 'two')");
    refuse_row(db, insert, "[[101,1,\"a\"],[102,\"x\",\"b\"],[103,1,\"c\"]]",
               "column 's': 'x' is not a valid SMALLINT (row 2 of the batch)", "2");
    refuse_row(db, insert, "[[101,1,\"a\"],[102,1,\"b\"],[103,1,null]]",
               "column 't' of table 'app.notes' cannot be NULL (row 3 of the batch)", "3");
    refuse_row(db, insert, "[[101,1,\"a\"],[2,1,\"b\"]]",
               "duplicate key in table 'app.notes': (id) = (2) exists (row 2 of the batch)", "2");
    refuse_row(db, "INSERT INTO app.notes VALUES ($1, strlen('abc'), $3)",
               "[[101,0,\"a\"],[102,0,null]]",
               "column 't' of table 'app.notes' cannot be NULL (row 2 of the batch)", "2");
    refuse_row(db, "UPDATE app.notes SET s = $2 WHERE id = $1", "[[1,5],[2,70000]]",
               "column 's': value 70000 is out of range for SMALLINT (-32768 to 32767) "
               "(row 2 of the batch)",
               "2");
    refuse_row(db, "UPDATE app.notes SET s = $2 WHERE t = $1", "[[\"one\",5],[\"two\",70000]]",
               "column 's': value 70000 is out of range for SMALLINT (-32768 to 32767) "
               "(row 2 of the batch)",
               "2");
    /* a single row is no batch */
    test_reply reply =
        refuse(db, insert, "[101,\"x\",\"a\"]", "column 's': 'x' is not a valid SMALLINT", NULL);
    assert_null(kal_json_find(kal_json_find(reply.json, "error"), "row"));
    test_reply_release(&reply);
}

static void a_number_does_not_run_into_a_word(void **state)
{
    const char *decimal = "numbers are written in decimal; bytes as '0x…', in quotes";
    const char *blank = "a name behind a number is parted from it by a blank";
    test_db *db = *state;
    expect(db, "INSERT INTO app.notes SELECT 150, 0x10, 'x'", "'0x10' is not a number", decimal);
    expect(db, "INSERT INTO app.notes VALUES (150, 0x10, 'x')", "'0x10' is not a number", decimal);
    expect(db, "SELECT 0x10", "'0x10' is not a number", decimal);
    expect(db, "SELECT id FROM app.notes WHERE s = 0B1", "'0B1' is not a number", decimal);
    expect(db, "SELECT 5x", "'5x' is not a number", blank);
    expect(db, "SELECT 1.5x", "'5x' is not a number", blank);
    expect(db, "SELECT 1e", "'1e' is not a number", blank);
    expect(db, "SELECT 1__0", "'1__0' is not a number", blank);
    test_db_expect(db, NULL,
                   "SELECT 1_000 + 1e1 + 1e+1 + 1E-1 + 1.5e1 + .5 + 1. AS v, '0x10' AS \"5x\"",
                   "[[1036.6,\"0x10\"]]");
}

static void unknown_names_suggest_near_ones(void **state)
{
    test_db *db = *state;
    expect(db, "SELECT * FROM ap.notes", "namespace 'ap' does not exist", "did you mean 'app'?");
    expect(db, "SELECT count(*) FROM ap.notes a JOIN app.notes b USING (id)",
           "namespace 'ap' does not exist", "did you mean 'app'?");
    expect(db, "USE apq", "namespace 'apq' does not exist", "did you mean 'app'?");
    expect(db, "DROP NAMESPACE ap", "namespace 'ap' does not exist", "did you mean 'app'?");
    expect(db, "SELECT * FROM elsewhere.notes", "namespace 'elsewhere' does not exist", NULL);
    expect(db, "SELECT * FROM notes", "table 'default.notes' does not exist",
           "did you mean 'app.notes'?");
    expect(db, "SELECT * FROM app.nots", "table 'app.nots' does not exist",
           "did you mean 'app.notes'?");
    expect(db, "SELECT * FROM nothing_like_it", "table 'default.nothing_like_it' does not exist",
           NULL);
    expect(db, "CREATE TABLE app.x (id INT PRIMARY KEY) WITH (COMPRESION = 'zstd')",
           "unknown table option 'compresion', SHARED tables have: storage_id, flush_policy, "
           "deleted_retention_hours, access_level, enable_cache, cache_ttl_seconds, "
           "enable_replication, compression",
           "did you mean 'compression'?");
}

static void a_question_mark_is_told_to_be_a_number(void **state)
{
    static const char *const statements[] = {
        "SELECT ?",
        "SELECT id FROM app.notes WHERE id = ?",
        "INSERT INTO app.notes VALUES (?, 1, 'x')",
        "INSERT INTO app.notes SELECT ?, 1, 'x'",
        "UPDATE app.notes SET s = ? WHERE id = 1",
        "DELETE FROM app.notes WHERE id = ?",
    };
    const char *hint = "parameters are written $1, $2 and so on";
    for (size_t i = 0; i < KAL_ARRAY_LEN(statements); i++) {
        expect(*state, statements[i], "'?' is not a parameter", hint);
        test_reply reply = refuse(*state, statements[i], "[1]",
                                  "the statement has 0 parameters, the request gives 1", hint);
        test_reply_release(&reply);
    }
    test_db_expect(*state, NULL, "SELECT '?' AS \"?\" /* ? */ -- ?", "[[\"?\"]]");
}

/* Under ASan: DuckDB keeps a stream that was not read to its end; its scan must not outlive the
 * statement. The second statement runs on the same connection. */
static void a_refused_row_ends_its_scan(void **state)
{
    test_db *db = *state;
    test_db_run(db, "INSERT INTO app.notes VALUES (201, 1, 'x'), (202, 1, 'x'), (203, 1, 'x')");
    for (int i = 0; i < 4; i++) {
        expect(db, "UPDATE app.notes SET s = strlen(t) * 40000 WHERE id > 200",
               "column 's': value 40000 is out of range for SMALLINT (-32768 to 32767)", NULL);
        expect(db, "INSERT INTO app.notes SELECT id + 300, 40000, t FROM app.notes WHERE id > 200",
               "column 's': value 40000 is out of range for SMALLINT (-32768 to 32767)", NULL);
        test_db_expect(db, NULL, "SELECT sum(s) AS s FROM app.notes WHERE id > 200", "[[\"3\"]]");
    }
    test_db_run(db, "DELETE FROM app.notes WHERE id > 200");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_names_a_column_twice),
        cmocka_unit_test(an_error_in_a_batch_names_its_row),
        cmocka_unit_test(a_number_does_not_run_into_a_word),
        cmocka_unit_test(unknown_names_suggest_near_ones),
        cmocka_unit_test(a_refused_row_ends_its_scan),
        cmocka_unit_test(a_question_mark_is_told_to_be_a_number),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
