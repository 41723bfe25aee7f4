/*
 * SELECT count(*) FROM t, which is answered without reading rows.
 *
 * Goal: it says what DuckDB says, under the same name and type, of hot, cold and dead rows of every
 * kind of table, to every user; and no other SELECT is taken for one.
 */
#include "sql/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const char *const STATEMENTS[] = {
    "SELECT count(*) FROM app.%s",
    "SELECT COUNT(*) FROM app.%s",
    "select Count( * ) from app.%s;",
    "SELECT count(*) AS n FROM app.%s",
    "SELECT count(*) \"a b\" FROM app.%s t",
    "SELECT count() FROM app.%s",
    "SELECT count(*), 1 FROM app.%s",
    "SELECT count(id) FROM app.%s",
    "SELECT count(DISTINCT id) FROM app.%s",
    "SELECT DISTINCT count(*) FROM app.%s",
    "SELECT count(*) FILTER (WHERE id > 3) FROM app.%s",
    "SELECT count(*) OVER () FROM app.%s ORDER BY 1",
    "SELECT count(*) FROM app.%s WHERE id > 3",
    "SELECT count(*) FROM app.%s GROUP BY id % 2 ORDER BY 1",
    "SELECT count(*) FROM app.%s GROUP BY ALL",
    "SELECT count(*) FROM app.%s HAVING count(*) > 1000",
    "SELECT count(*) FROM app.%s ORDER BY 1",
    "SELECT count(*) FROM app.%s LIMIT 0",
    "SELECT count(*) FROM app.%s LIMIT 1 OFFSET 1",
    "SELECT count(*) + 1 FROM app.%s",
    "SELECT -count(*) FROM app.%s",
    "SELECT count(*) FROM app.%s a CROSS JOIN range(2)",
    "SELECT count(*) FROM app.%s UNION ALL SELECT 7",
    "SELECT (SELECT count(*) FROM app.%s) AS n",
    "EXPLAIN SELECT count(*) FROM app.%s",
};
static const char *const TABLES[] = {"u", "s", "e", "nothing"};
static const char *const USERS[] = {"ann", "bob", "cy", NULL};

/* The reply but for how long it took, which is its last part. */
static kal_bytes body_of(const test_reply *reply)
{
    kal_bytes text = reply->text;
    static const char TOOK[] = ",\"took\":";
    for (size_t i = text.len; i-- > 0;) {
        if (text.len - i >= sizeof TOOK - 1 && memcmp(text.ptr + i, TOOK, sizeof TOOK - 1) == 0)
            return kal_bytes_of(text.ptr, i);
    }
    return text;
}

static void compare(test_db *db, const char *user, const char *statement, const char *table)
{
    char sql[256];
    snprintf(sql, sizeof sql, statement, table);
    test_query query = {.user = user, .sql = sql};
    test_reply ours = test_db_query(db, &query);
    query.path = KAL_PATH_ENGINE;
    test_reply duckdb = test_db_query(db, &query);
    if (!kal_bytes_equal(body_of(&ours), body_of(&duckdb)))
        fail_msg("%s, for %s\nsays    %.*s\ninstead %.*s", sql, user == NULL ? "root" : user,
                 KAL_FMT(ours.text), KAL_FMT(duckdb.text));
    test_reply_release(&ours);
    test_reply_release(&duckdb);
}

static void compare_all(test_db *db)
{
    for (size_t u = 0; u < KAL_ARRAY_LEN(USERS); u++) {
        for (size_t t = 0; t < KAL_ARRAY_LEN(TABLES); t++) {
            for (size_t s = 0; s < KAL_ARRAY_LEN(STATEMENTS); s++)
                compare(db, USERS[u], STATEMENTS[s], TABLES[t]);
        }
    }
}

static void run_as(test_db *db, const char *user, const char *sql)
{
    test_reply reply = test_db_query(db, &(test_query){.user = user, .sql = sql});
    if (reply.code != NULL)
        fail_msg("%s: %s", sql, reply.message);
    test_reply_release(&reply);
}

static test_db *open_with_rows(void)
{
    test_db *db = test_db_open(false);

    test_db_add_user(db, "ann", KAL_ROLE_USER);
    test_db_add_user(db, "bob", KAL_ROLE_USER);
    test_db_add_user(db, "cy", KAL_ROLE_USER);
    test_db_run(db, "CREATE NAMESPACE app");
    test_db_run(db, "CREATE USER TABLE app.u (id BIGINT PRIMARY KEY)");
    test_db_run(db,
                "CREATE SHARED TABLE app.s (id BIGINT PRIMARY KEY) WITH (ACCESS_LEVEL = 'public')");
    test_db_run(db,
                "CREATE SHARED TABLE app.e (id BIGINT PRIMARY KEY) WITH (ACCESS_LEVEL = 'public')");
    run_as(db, "ann", "INSERT INTO app.u SELECT i FROM range(10) r(i)");
    run_as(db, "bob", "INSERT INTO app.u SELECT i FROM range(4) r(i)");
    test_db_run(db, "INSERT INTO app.s SELECT i FROM range(12) r(i)");
    return db;
}

static void it_says_what_duckdb_says(void **state)
{
    test_db *db = open_with_rows();
    (void)state;

    compare_all(db);
    test_db_run(db, "FLUSH TABLE app.u");
    test_db_run(db, "FLUSH TABLE app.s");
    compare_all(db);
    run_as(db, "ann", "DELETE FROM app.u WHERE id IN (1, 3)");
    run_as(db, "ann", "INSERT INTO app.u VALUES (100)");
    test_db_run(db, "DELETE FROM app.s WHERE id IN (2, 4, 5)");
    test_db_run(db, "INSERT INTO app.s VALUES (100), (101)");
    compare_all(db);
    test_db_expect(db, NULL, "SELECT count(*) FROM app.s", "[[\"11\"]]");
    test_db_expect(db, "ann", "SELECT count(*) FROM app.u", "[[\"9\"]]");
    test_db_close(db);
}

/* What a transaction has written counts in it, and nowhere else before its end. */
static void a_transaction_counts_its_own_rows(void **state)
{
    test_db *db = open_with_rows();
    (void)state;

    test_db_run(db, "FLUSH TABLE app.s");
    test_query query = {.sql = "BEGIN; INSERT INTO app.s VALUES (50), (51); DELETE FROM app.s "
                               "WHERE id = 1; SELECT count(*) FROM app.s; ROLLBACK; "
                               "SELECT count(*) FROM app.s"};
    test_reply reply = test_db_query(db, &query);
    assert_null(reply.code);
    assert_non_null(strstr((const char *)reply.text.ptr, "[[\"13\"]]"));
    assert_non_null(strstr((const char *)reply.text.ptr, "[[\"12\"]]"));
    test_reply_release(&reply);
    test_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_what_duckdb_says),
        cmocka_unit_test(a_transaction_counts_its_own_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
