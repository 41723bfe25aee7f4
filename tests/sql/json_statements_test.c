/*
 * json_statements_test.c: -> and ->> in statements that change rows, and on large documents.
 */
#include "base/assert.h"
#include "sql/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static int set_up(void **state)
{
    test_db *db = test_db_open(false);
    test_db_run(db, "CREATE USER TABLE t (id INT PRIMARY KEY, name TEXT, j JSON)");
    test_db_run(db, "INSERT INTO t VALUES (1, NULL, '{\"n\": 7, \"kind\": \"a\"}'), "
                    "(2, NULL, '{\"n\": \"x\", \"kind\": \"b\"}'), (3, 'c', NULL)");
    *state = db;
    return 0;
}

static int tear_down(void **state)
{
    test_db_close(*state);
    return 0;
}

/* Goal: UPDATE and DELETE read documents, by key and by scan. Method: the rows afterwards. */
static void changes_read_documents(void **state)
{
    test_db *db = *state;
    test_db_run(db, "UPDATE t SET name = j ->> 'kind' WHERE id = 1");
    test_db_run(db, "UPDATE t SET name = j ->> 'n' WHERE j ->> 'kind' = 'b'");
    test_db_run(db, "UPDATE t SET name = 'none' WHERE id = 2 AND (j ->> 'kind') = 'a'");
    test_db_expect(db, NULL, "SELECT id, name FROM t ORDER BY id",
                   "[[1,\"a\"],[2,\"x\"],[3,\"c\"]]");
    test_db_expect(db, NULL,
                   "UPDATE t SET name = upper(name) WHERE id = 1 RETURNING j ->> 'n' AS n",
                   "[[\"7\"]]");
    test_db_run(db, "DELETE FROM t WHERE (j -> 'n') IS NULL");
    test_db_expect(db, NULL, "SELECT id, name FROM t ORDER BY id", "[[1,\"A\"],[2,\"x\"]]");
    test_db_expect_error(
        db, NULL,
        "INSERT INTO t VALUES (1, 'x', NULL) ON CONFLICT (id) DO UPDATE SET name = t.j ->> 'n'",
        "UNSUPPORTED", "not available in ON CONFLICT");
}

/* Goal: a scan whose WHERE computes texts does not keep them. Method: more of them than a statement
 * may have memory. */
static void scans_free_what_they_compute(void **state)
{
    enum { ROWS = 60, TEXT_BYTES = 960 * 1024 };
    test_db *db = *state;
    kal_buf sql; /* owned */
    kal_buf_init(&sql, NULL);
    test_db_run(db, "CREATE USER TABLE big (id INT PRIMARY KEY, n INT, j JSON)");
    for (int i = 0; i < ROWS; i++) {
        kal_buf_clear(&sql);
        kal_buf_printf(&sql, "INSERT INTO big VALUES (%d, 0, '{\"a\": \"", i);
        for (int k = 0; k < TEXT_BYTES / 16; k++)
            kal_buf_append_cstr(&sql, "0123456789ABCDEF");
        kal_buf_append_cstr(&sql, "\"}')");
        kal_buf_append_byte(&sql, 0);
        test_db_run(db, (const char *)sql.ptr);
    }
    test_db_expect(db, NULL,
                   "UPDATE big SET n = 1 WHERE lower(j ->> 'a') LIKE '0123456789abcdef%f' AND "
                   "id >= 58 RETURNING id",
                   "[[58],[59]]");
    test_db_run(db, "UPDATE big SET n = 2 WHERE lower(upper(lower(j ->> 'a'))) || 'x' = 'y'");
    test_db_expect(db, NULL, "SELECT id FROM big WHERE n = 1 AND length(j ->> 'a') > 1000",
                   "[[58],[59]]");
    kal_buf_release(&sql);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_read_documents),
        cmocka_unit_test(scans_free_what_they_compute),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
