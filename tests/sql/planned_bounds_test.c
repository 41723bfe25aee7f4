/*
 * What DuckDB's planner is told of our tables: it must hold of every row, and of no rows.
 *
 * Goal: no plan leaves out a row, a check or a whole side of a join by it. Method: statements whose
 * plan once went wrong, over rows that are hot, in one file, in two, dead, and not there.
 */
#include "sql/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

/* Of small integers, whose sum DuckDB computes without checks when it believes that rows are few.
 */
static void a_sum_of_many_rows_does_not_wrap(void **state)
{
    test_db *db = test_db_open_still();

    (void)state;
    test_db_run(db, "CREATE NAMESPACE app");
    test_db_run(db, "CREATE SHARED TABLE app.s (id BIGINT PRIMARY KEY)");
    test_db_run(db, "CREATE USER TABLE app.u (id BIGINT PRIMARY KEY)");
    test_db_run(db, "INSERT INTO app.s SELECT i FROM range(3000) r(i)");
    test_db_run(db, "INSERT INTO app.u SELECT i FROM range(3000) r(i)");
    for (int flushed = 0; flushed < 2; flushed++) {
        test_db_expect(db, NULL, "SELECT sum(9000000000000000) FROM app.s WHERE id >= 0",
                       "[[\"27000000000000000000\"]]");
        test_db_expect(db, NULL, "SELECT sum(9000000000000000) FROM app.u WHERE id >= 0",
                       "[[\"27000000000000000000\"]]");
        test_db_run(db, "FLUSH TABLE app.s");
        test_db_run(db, "FLUSH TABLE app.u");
    }
    test_db_close(db);
}

static test_db *open_two_tables(void)
{
    test_db *db = test_db_open_still();

    test_db_run(db, "CREATE NAMESPACE app");
    test_db_run(db, "CREATE SHARED TABLE app.a (id BIGINT PRIMARY KEY, n INT NOT NULL)");
    test_db_run(db, "CREATE SHARED TABLE app.b (id BIGINT PRIMARY KEY, n INT NOT NULL)");
    test_db_run(db, "INSERT INTO app.a SELECT i, i FROM range(1, 4) r(i)");
    test_db_run(db, "INSERT INTO app.b SELECT i, i FROM range(100, 200) r(i)");
    return db;
}

/* By the bounds every row of b is above every row of a, but b has no row. */
static void expect_anti_join(test_db *db, const char *none)
{
    char sql[256];

    snprintf(sql, sizeof sql, "SELECT a.n FROM app.a ANTI JOIN %s b ON b.n > a.n ORDER BY 1", none);
    test_db_expect(db, NULL, sql, "[[1],[2],[3]]");
    snprintf(sql, sizeof sql, /* these conditions also exclude NULL */
             "SELECT a.n FROM app.a ANTI JOIN (SELECT n FROM %s WHERE n > 50) b ON b.n > a.n "
             "WHERE a.n < 50 ORDER BY 1",
             none);
    test_db_expect(db, NULL, sql, "[[1],[2],[3]]");
    snprintf(sql, sizeof sql, "SELECT n FROM (FROM app.a anti join %s b USING (n)) ORDER BY 1",
             none);
    test_db_expect(db, NULL, sql, "[[1],[2],[3]]");
    snprintf(sql, sizeof sql,
             "SELECT n FROM app.a WHERE NOT EXISTS (SELECT 1 FROM %s b WHERE b.n > a.n) ORDER BY 1",
             none);
    test_db_expect(db, NULL, sql, "[[1],[2],[3]]");
    snprintf(sql, sizeof sql, "SELECT a.n FROM app.a LEFT JOIN %s b ON b.n > a.n ORDER BY 1", none);
    test_db_expect(db, NULL, sql, "[[1],[2],[3]]");
    snprintf(sql, sizeof sql, "SELECT a.n FROM app.a SEMI JOIN %s b ON b.n > a.n", none);
    test_db_expect(db, NULL, sql, "[]");
    snprintf(sql, sizeof sql, "SELECT a.n FROM app.a JOIN %s b ON b.n > a.n", none);
    test_db_expect(db, NULL, sql, "[]");
    snprintf(sql, sizeof sql, "SELECT n FROM app.a WHERE n < ALL (SELECT n FROM %s b) ORDER BY 1",
             none);
    test_db_expect(db, NULL, sql, "[[1],[2],[3]]");
}

static void a_side_without_rows_joins_nothing(void **state)
{
    test_db *db = open_two_tables();

    (void)state;
    for (int files = 0; files < 3; files++) {
        expect_anti_join(db, "(SELECT n FROM app.b WHERE id % 200 = 25)");
        test_db_expect(db, NULL, "SELECT a.n FROM app.a ANTI JOIN app.b ON b.n > a.n", "[]");
        test_db_run(db, "FLUSH TABLE app.a");
        test_db_run(db, "FLUSH TABLE app.b");
        if (files == 1)
            test_db_run(db, "INSERT INTO app.b SELECT i, i FROM range(200, 201) r(i)");
    }
    test_db_run(db, "DELETE FROM app.b WHERE id >= 0");
    expect_anti_join(db, "app.b");
    test_db_close(db);
}

static void a_file_of_dead_rows_joins_nothing(void **state)
{
    test_db *db = open_two_tables();

    (void)state;
    test_db_run(db, "FLUSH TABLE app.a");
    test_db_run(db, "FLUSH TABLE app.b");
    test_db_run(db, "DELETE FROM app.b WHERE id >= 0");
    expect_anti_join(db, "app.b");
    test_db_run(db, "CREATE VIEW app.v AS SELECT a.n FROM app.a ANTI JOIN app.b ON b.n > a.n");
    test_db_expect(db, NULL, "SELECT n FROM app.v ORDER BY n", "[[1],[2],[3]]");
    test_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sum_of_many_rows_does_not_wrap),
        cmocka_unit_test(a_side_without_rows_joins_nothing),
        cmocka_unit_test(a_file_of_dead_rows_joins_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
