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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_names_a_column_twice),
        cmocka_unit_test(an_error_in_a_batch_names_its_row),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
