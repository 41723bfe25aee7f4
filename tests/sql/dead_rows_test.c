/*
 * SELECTs over SHARED tables whose segments have dead rows, which DuckDB reads itself.
 *
 * Goal: a row that was deleted or changed is seen by no plan of DuckDB's, whichever way it reads a
 * file. Method: two tables of one definition and the same rows, hot.t and cold.t; cold.t lies in
 * segments of several row groups; rows die one by one, as whole vectors, at both ends, all of a
 * file; SELECTs of every shape that reads files differently must answer the same of both.
 * KAL_TEST_SEED repeats a run.
 */
#include "unit/base/seed.h"

#include "sql/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 70000, FIRST_FILE = 50000, ROUNDS = 6 };

/* @ is the namespace, # a random row's number. Ordered, or of one row. */
static const char *const SELECTS[] = {
    "SELECT count(*) FROM @.t",
    "SELECT count(*), 1 FROM @.t",
    "SELECT count(n), count(t), sum(n), min(id), max(id), min(d), max(t) FROM @.t",
    "SELECT sum(n) FROM @.t WHERE id BETWEEN # AND # + 3000",
    "SELECT sum(id) FROM @.t WHERE id >= #",
    "SELECT sum(id) FROM @.t WHERE n = # % 1000",
    "SELECT sum(id) FROM @.t WHERE n IS NULL",
    "SELECT sum(id) FROM @.t WHERE n IN (1, 2, 3, # % 1000) OR d > 0.9",
    "SELECT sum(id) FROM @.t WHERE t = 'text ' || (# % 20000) || ' of it'",
    "SELECT sum(id) FROM @.t WHERE t LIKE 'text 1%'",
    "SELECT sum(id), max(w) FROM @.t WHERE w = 'b' AND n < 500",
    "SELECT * FROM @.t WHERE id = #",
    "SELECT * FROM @.t WHERE id > # ORDER BY id LIMIT 40",
    "SELECT * FROM @.t ORDER BY d DESC, id LIMIT 25",
    "SELECT id, t FROM @.t ORDER BY t, id LIMIT 25 OFFSET 1000",
    "SELECT id FROM @.t WHERE n < 10 ORDER BY n DESC NULLS LAST, id LIMIT 30",
    "SELECT n % 10, count(*), sum(id) FROM @.t WHERE d < 0.3 GROUP BY 1 ORDER BY 1",
    "SELECT w, count(DISTINCT n), sum(id) FROM @.t GROUP BY w ORDER BY w",
    "SELECT count(*) FROM (SELECT DISTINCT n, w FROM @.t)",
    "SELECT count(*), sum(a.id) FROM @.t a JOIN @.t b ON a.id = b.id + 1",
    "SELECT count(*), sum(a.id) FROM @.t a LEFT JOIN @.t b ON a.id = b.n WHERE b.id IS NULL",
    "SELECT sum(id) FROM @.t a WHERE EXISTS (SELECT 1 FROM @.t b WHERE b.id = a.n)",
    "SELECT sum(id) FROM @.t WHERE id NOT IN (SELECT id FROM @.t WHERE d < 0.5)",
    "WITH x AS (SELECT id, n FROM @.t WHERE n < 300) "
    "SELECT count(*), sum(a.id) FROM x a JOIN x b ON a.n = b.n AND a.id = b.id",
    "SELECT id, sum(n) OVER (ORDER BY id ROWS 5 PRECEDING) AS s FROM @.t WHERE n < 20 ORDER BY id",
    "SELECT count(*) FROM @.t WHERE _seq > 0",
    "SELECT max(id) - min(id) FROM (SELECT id FROM @.t UNION ALL SELECT id FROM @.t WHERE n > 5)",
    "SELECT count(*) FROM @.t WHERE id < 0",
};

typedef struct fixture {
    test_db *db;
    kal_rng rng;
} fixture;

/* The text for one of the two tables. */
static void fill_in(const char *pattern, const char *ns, uint64_t row, char *out, size_t size)
{
    size_t len = 0;
    for (const char *p = pattern; *p != '\0' && len + 32 < size; p++) {
        if (*p == '@')
            len += (size_t)snprintf(out + len, size - len, "%s", ns);
        else if (*p == '#')
            len += (size_t)snprintf(out + len, size - len, "%llu", (unsigned long long)row);
        else
            out[len++] = *p;
    }
    out[len] = '\0';
}

static test_reply ask(fixture *f, const char *pattern, const char *ns, uint64_t row)
{
    char sql[1024];
    fill_in(pattern, ns, row, sql, sizeof sql);
    test_reply reply = test_db_query(f->db, &(test_query){.sql = sql, .path = KAL_PATH_ENGINE});
    if (reply.code != NULL)
        fail_msg("%s: %s", sql, reply.message);
    return reply;
}

static kal_bytes rows_of(test_reply *reply)
{
    kal_buf text;
    kal_json_writer writer;

    kal_buf_init(&text, NULL);
    kal_json_writer_init(&writer, &text);
    kal_json_write_tree(reply->rows, &writer);
    kal_bytes rows = kal_arena_copy(&reply->arena, kal_buf_bytes(&text));
    kal_buf_release(&text);
    return rows;
}

static void compare(fixture *f, const char *pattern)
{
    uint64_t row = kal_rng_below(&f->rng, ROWS);
    test_reply hot = ask(f, pattern, "hot", row);
    test_reply cold = ask(f, pattern, "cold", row);
    kal_bytes expected = rows_of(&hot);
    kal_bytes got = rows_of(&cold);

    if (!kal_bytes_equal(expected, got))
        fail_msg("%s (# is %llu)\nsays    %.*s\ninstead %.*s", pattern, (unsigned long long)row,
                 KAL_FMT(got), KAL_FMT(expected));
    test_reply_release(&hot);
    test_reply_release(&cold);
}

static void change_both(fixture *f, const char *pattern, uint64_t row)
{
    char sql[1024];
    fill_in(pattern, "hot", row, sql, sizeof sql);
    test_db_run(f->db, sql);
    fill_in(pattern, "cold", row, sql, sizeof sql);
    test_db_run(f->db, sql);
}

static void insert_both(fixture *f, unsigned from, unsigned to)
{
    char sql[1024];
    snprintf(sql, sizeof sql,
             "INSERT INTO @.t SELECT i, nullif(i * 7919 %% 1000, 17), i * 7919 %% 10007 / 10007.0, "
             "'text ' || (i * 31 %% 20000) || ' of it', "
             "CASE i %% 3 WHEN 0 THEN 'a' WHEN 1 THEN 'b' END FROM range(%u, %u) r(i)",
             from, to);
    change_both(f, sql, 0);
}

static void open_both(fixture *f)
{
    f->db = test_db_open(false);
    test_db_run(f->db, "CREATE NAMESPACE hot");
    test_db_run(f->db, "CREATE NAMESPACE cold");
    change_both(f,
                "CREATE SHARED TABLE @.t (id BIGINT PRIMARY KEY, n INT, d DOUBLE NOT NULL, "
                "t TEXT NOT NULL, w TEXT)",
                0);
    insert_both(f, 0, FIRST_FILE);
    test_db_run(f->db, "FLUSH TABLE cold.t");
    insert_both(f, FIRST_FILE, ROWS - 5);
    test_db_run(f->db, "FLUSH TABLE cold.t");
    insert_both(f, ROWS - 5, ROWS);
}

static void compare_all(fixture *f)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(SELECTS); i++)
        compare(f, SELECTS[i]);
}

static void no_plan_sees_a_dead_row(void **state)
{
    static const char *const DEATHS[ROUNDS] = {
        "DELETE FROM @.t WHERE id % 100 = 7",
        "UPDATE @.t SET n = 5, t = 'changed' WHERE id % 331 = 3",
        "DELETE FROM @.t WHERE id BETWEEN # % 40000 AND # % 40000 + 9000", /* whole vectors */
        "DELETE FROM @.t WHERE id < 64 OR id IN (2047, 2048, 20479, 20480, 49999, 50000)",
        "DELETE FROM @.t WHERE id % 2 = 0",
        "DELETE FROM @.t WHERE id >= 50000 AND id < 69995", /* the second file, all of it */
    };
    fixture f = {0};

    (void)state;
    kal_test_seed(&f.rng);
    open_both(&f);
    compare_all(&f);
    for (size_t i = 0; i < ROUNDS; i++) {
        change_both(&f, DEATHS[i], kal_rng_below(&f.rng, ROWS));
        compare_all(&f);
    }
    test_db_close(f.db);
}

/* One statement over the same file as two moments of it: what a transaction has deleted is dead in
 * it, and to nobody else. */
static void a_transaction_has_its_own_dead_rows(void **state)
{
    fixture f = {0};
    (void)state;

    kal_test_seed(&f.rng);
    open_both(&f);
    test_query query = {.path = KAL_PATH_ENGINE,
                        .sql = "BEGIN; DELETE FROM cold.t WHERE id < 1000; "
                               "SELECT count(*), min(id) FROM cold.t; ROLLBACK; "
                               "SELECT count(*), min(id) FROM cold.t"};
    test_reply reply = test_db_query(f.db, &query);
    assert_null(reply.code);
    assert_non_null(strstr((const char *)reply.text.ptr, "[[\"69000\",\"1000\"]]"));
    assert_non_null(strstr((const char *)reply.text.ptr, "[[\"70000\",\"0\"]]"));
    test_reply_release(&reply);
    test_db_close(f.db);
}

/* Nobody but the engine itself names the function that reads files. */
static void it_cannot_be_called(void **state)
{
    test_db *db = test_db_open(false);
    (void)state;

    test_db_expect_error(db, NULL, "SELECT * FROM kal_parquet('/etc/passwd')", "UNSUPPORTED",
                         "kal_parquet");
    test_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_plan_sees_a_dead_row),
        cmocka_unit_test(a_transaction_has_its_own_dead_rows),
        cmocka_unit_test(it_cannot_be_called),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
