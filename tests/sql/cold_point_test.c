/*
 * One row by its key, whatever the key is like.
 *
 * Goal: of a segment only the rows that may be it are read: each column of the key narrows what is
 * asked of the file; and a key of the greatest length is found by every way that there is to ask.
 * Method: the opening of segments is watched; the same question on the fast path and in DuckDB.
 */
#include "segment/backend.h"
#include "sql/database.h"
#include "table/table_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- the opening of segments, watched ---- */

static const kal_segment_backend_ops *real_ops;
static size_t filters_of_last;
static size_t openings;

static kal_status watch_open(kal_segment_backend *backend, const kal_segment_place *place,
                             const kal_segment_written *expected, const kal_parquet_scan_args *args,
                             kal_segment_reader **reader_out, kal_error *err)
{
    filters_of_last = args->filter_count;
    openings++;
    return real_ops->open(backend, place, expected, args, reader_out, err);
}

static size_t filters_of(test_db *db, const char *sql, const char *expected)
{
    filters_of_last = 0;
    test_reply reply = test_db_query(db, &(test_query){.sql = sql});
    if (reply.code != NULL || strstr((const char *)reply.text.ptr, expected) == NULL)
        fail_msg("%s: %.*s", sql, KAL_FMT(reply.text));
    test_reply_release(&reply);
    return filters_of_last;
}

static void test_each_column_of_the_key_narrows(void **state)
{
    test_db *db = test_db_open(false);
    kal_segment_backend *backend = test_db_exec(db)->tables->options.segments;
    kal_segment_backend_ops ops = *backend->ops;

    (void)state;
    test_db_run(db, "CREATE NAMESPACE n");
    test_db_run(db, "CREATE SHARED TABLE n.t (room INT, day DATE, id BIGINT, body TEXT, "
                    "PRIMARY KEY (room, day, id))");
    test_db_run(db, "INSERT INTO n.t SELECT i % 3, DATE '2026-01-01', i, 'b' || i "
                    "FROM range(3000) AS r(i)");
    test_db_run(db, "FLUSH TABLE n.t");
    real_ops = backend->ops;
    ops.open = watch_open;
    backend->ops = &ops;
    assert_int_equal(filters_of(db,
                                "SELECT body FROM n.t WHERE room = 1 AND day = DATE '2026-01-01' "
                                "AND id = 1000",
                                "b1000"),
                     6);
    /* Of a range: of the columns before it. */
    assert_int_equal(filters_of(db,
                                "UPDATE n.t SET body = 'x' WHERE room = 1 AND day = DATE "
                                "'2026-01-01' AND id > 2990",
                                "Updated 3 rows"),
                     4);
    backend->ops = real_ops;
    test_db_close(db);
}

/* Goal: a statement in a transaction does not read cold rows one by one, nor those of which it only
 * has to know that they are there. */
static void test_transactions_read_together(void **state)
{
    test_db *db = test_db_open(false);
    kal_segment_backend *backend = test_db_exec(db)->tables->options.segments;
    kal_segment_backend_ops ops = *backend->ops;
    static const struct {
        const char *conflict;
        size_t openings_max;
        const char *expected;
    } CASES[] = {
        {"DO NOTHING", 1, "Inserted 0 rows"}, /* the SELECT's own */
        {"DO UPDATE SET v = n.t.v + excluded.v", 4, "Inserted 1000 rows"},
    };

    (void)state;
    test_db_run(db, "CREATE NAMESPACE n");
    test_db_run(db, "CREATE USER TABLE n.t (id INT PRIMARY KEY, v INT)");
    test_db_run(db, "INSERT INTO n.t SELECT i, 1 FROM range(100) AS r(i)");
    test_db_run(db, "FLUSH TABLE n.t");
    real_ops = backend->ops;
    ops.open = watch_open;
    backend->ops = &ops;
    for (size_t i = 0; i < KAL_ARRAY_LEN(CASES); i++) {
        char sql[256];
        /* Each key ten times: what the statement itself has changed is seen. */
        snprintf(sql, sizeof sql,
                 "BEGIN; INSERT INTO n.t SELECT i %% 100, 1 FROM range(1000) AS r(i) ON CONFLICT "
                 "(id) %s; SELECT sum(v) AS s FROM n.t; COMMIT",
                 CASES[i].conflict);
        openings = 0;
        (void)filters_of(db, sql, CASES[i].expected);
        if (openings > CASES[i].openings_max + 1) /* of the SELECT behind it */
            fail_msg("%s: %zu openings", CASES[i].conflict, openings);
    }
    backend->ops = real_ops;
    test_reply reply = test_db_query(db, &(test_query){.sql = "SELECT sum(v) AS s FROM n.t"});
    if (strstr((const char *)reply.text.ptr, "1100") == NULL)
        fail_msg("%.*s", KAL_FMT(reply.text));
    test_reply_release(&reply);
    test_db_close(db);
}

/* ---- long keys ---- */

static void ask_long(test_db *db, const char *format, const char *key, const char *expected)
{
    char sql[2 * KAL_PRIMARY_KEY_BYTES_MAX];
    char *mark = strchr(format, '?');

    snprintf(sql, sizeof sql, "%.*s'%s'%s", (int)(mark - format), format, key, mark + 1);
    test_reply reply = test_db_query(db, &(test_query){.sql = sql});
    if (reply.code != NULL || strstr((const char *)reply.text.ptr, expected) == NULL)
        fail_msg("%.60s: %.*s", sql, KAL_FMT(reply.text));
    test_reply_release(&reply);
}

static void test_the_longest_key(void **state)
{
    enum { END_BYTES = 2 }; /* of a text in a key */
    char key[KAL_PRIMARY_KEY_BYTES_MAX - END_BYTES + 1];
    test_db *db = test_db_open(false);

    (void)state;
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    test_db_run(db, "CREATE NAMESPACE n");
    test_db_run(db, "CREATE SHARED TABLE n.t (id TEXT PRIMARY KEY, j JSON, v INT)");
    for (int is_cold = 0; is_cold < 2; is_cold++) {
        ask_long(db, "INSERT INTO n.t VALUES (?, '{\"a\":1}', 7)", key, "");
        if (is_cold)
            test_db_run(db, "FLUSH TABLE n.t");
        ask_long(db, "SELECT v FROM n.t WHERE id = ?", key, "7");
        ask_long(db, "SELECT max(v) AS m FROM n.t WHERE id = ?", key, "7");
        ask_long(db, "UPDATE n.t SET v = v + 1 WHERE id = ? AND j ->> 'a' = '1'", key, "1");
        ask_long(db, "SELECT max(v) AS m FROM n.t WHERE id = ?", key, "8");
        ask_long(db, "DELETE FROM n.t WHERE id = ?  AND j ->> 'a' = '1'", key, "1");
    }
    test_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_column_of_the_key_narrows),
        cmocka_unit_test(test_transactions_read_together),
        cmocka_unit_test(test_the_longest_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
