/*
 * restore_test.c: RESTORE DATABASE of a namespace inside the process: what it may write that nobody
 * else may. What comes back: tests/e2e/namespace_backup.test.mjs.
 */
#include "sql/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const char *backup_path(void)
{
    static char path[128];
    snprintf(path, sizeof path, "/tmp/kalamdb-restore-test-%d", (int)getpid());
    return path;
}

static void remove_backup(void)
{
    char command[192];
    snprintf(command, sizeof command, "rm -rf '%s'", backup_path());
    assert_int_equal(system(command), 0);
}

static void run_with_path(test_db *db, const char *format)
{
    char sql[512];
    assert_in_range(snprintf(sql, sizeof sql, "%s '%s'", format, backup_path()), 1, sizeof sql - 1);
    test_db_run(db, sql);
}

/* Ann has three rows of app.t; of that there is a backup, and then nothing any more. */
static test_db *open_with_backup(const char *before_backup)
{
    test_db *db = test_db_open(false);

    test_db_add_user(db, "ann", KAL_ROLE_USER);
    test_db_run(db, "CREATE NAMESPACE app");
    test_db_run(db, "CREATE USER TABLE app.t (id BIGINT PRIMARY KEY)");
    test_db_expect(db, "ann", "INSERT INTO app.t VALUES (1), (2), (3) RETURNING id",
                   "[[\"1\"],[\"2\"],[\"3\"]]");
    test_db_run(db, before_backup);
    run_with_path(db, "BACKUP DATABASE app TO");
    test_db_run(db, "DROP NAMESPACE app CASCADE");
    return db;
}

static void expect_rows(test_db *db)
{
    test_db_expect(db, "ann", "SELECT id FROM app.t ORDER BY id", "[[\"1\"],[\"2\"],[\"3\"]]");
}

/* ---- more rows than a user may have ---- */

/* Goal: what was there may be there again, also when the limit was lowered below it; nothing else
 * may. */
static void rows_come_back_beyond_the_limit(void **state)
{
    test_db *db = open_with_backup("ALTER TABLE app.t SET TBLPROPERTIES (max_rows_per_user = 2)");

    (void)state;
    run_with_path(db, "RESTORE DATABASE app FROM");
    remove_backup();
    expect_rows(db);
    test_db_expect_error(db, "ann", "INSERT INTO app.t VALUES (4)", "ROW_LIMIT_EXCEEDED", "2 rows");
    test_db_expect(db, "ann", "DELETE FROM app.t WHERE id < 3 RETURNING id", "[[\"1\"],[\"2\"]]");
    test_db_expect_error(db, "ann", "INSERT INTO app.t VALUES (4), (5)", "ROW_LIMIT_EXCEEDED", "");
    test_db_expect(db, "ann", "INSERT INTO app.t VALUES (4) RETURNING id", "[[\"4\"]]");
    test_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back_beyond_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
