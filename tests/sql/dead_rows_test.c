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

#include "base/thread.h"
#include "sql/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 45000, FIRST_FILE = 30000 };

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
    "SELECT count(*), sum(id) FROM @.t WHERE f",
    "SELECT f, count(*), max(x), min(u), max(m), min(y) FROM @.t GROUP BY f ORDER BY f NULLS LAST",
    "SELECT sum(id) FROM @.t WHERE u < '80000000-0000-0000-0000-000000000000' AND m > 50.5",
    "SELECT sum(id) FROM @.t WHERE y >= '2026-01-01 10:00:00' AND x <> '0x00'",
    "SELECT count(*), sum(added), min(added) FROM @.t WHERE added IS NOT NULL",
    "WITH x AS (SELECT id, added FROM @.t WHERE n < 300) " /* copies the plan of x */
    "SELECT a.id, b.added FROM x a JOIN x b ON a.id = b.id ORDER BY a.id LIMIT 10",
    "SELECT id, f, u FROM @.t WHERE w = 'a' ORDER BY m DESC, id LIMIT 12",
    "SELECT s, count(*), sum(id) FROM @.t GROUP BY s ORDER BY s NULLS FIRST",
    "SELECT count(*), sum(a.id), sum(b.s) FROM @.t a JOIN @.t b ON a.n = b.id", /* by position */
    "SELECT count(*), sum(a.id) FROM @.t a JOIN (SELECT s, id FROM @.t WHERE id < 150) b "
    "ON a.s = b.s WHERE a.id > #",
    "SELECT count(*), sum(a.id) FROM @.t a JOIN @.t b ON a.id = b.n AND a.s = b.s",
    "SELECT max(id), min(n), max(s) FROM @.t WHERE n BETWEEN 100 AND 900 AND s > -140",
    "SELECT count(*) FROM @.t a ANTI JOIN (SELECT id FROM @.t WHERE n = 5000) b ON b.id > a.s - "
    "900",
    "SELECT count(*) FROM @.t a SEMI JOIN (SELECT n FROM @.t WHERE id % 999 = 5) b ON a.id = b.n",
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
             "INSERT INTO @.t (id, n, d, t, w, f, x, u, m, y, s) "
             "SELECT i, nullif(i * 7919 %% 1000, 17), i * 7919 %% 10007 / 10007.0, "
             "'text ' || (i * 31 %% 20000) || ' of it', "
             "CASE i %% 3 WHEN 0 THEN 'a' WHEN 1 THEN 'b' END, nullif(i * 7919 %% 7, 0) > 3, "
             "('0x0' || i %% 10)::BYTES, (md5(i::TEXT))::UUID, i * 7919 %% 9973 / 100.0, "
             "TIMESTAMP '2026-01-01 00:00:00' + INTERVAL (i) SECOND, nullif(i %% 300 - 150, 4) "
             "FROM range(%u, %u) r(i)",
             from, to);
    change_both(f, sql, 0);
}

#define COLUMNS                                                                                    \
    "id BIGINT PRIMARY KEY, d DOUBLE NOT NULL, t TEXT NOT NULL, w TEXT, f BOOLEAN, x BYTES, "      \
    "u UUID, m DECIMAL(12,2), y TIMESTAMP, s SMALLINT"

/* The one lies in two files and a few hot rows, the other in none. The files are of two versions of
 * the schema, which DuckDB reads as two lists, or of one. */
static void open_both(fixture *f, bool two_versions)
{
    f->db = test_db_open_still();
    test_db_run(f->db, "CREATE NAMESPACE hot");
    test_db_run(f->db, "CREATE NAMESPACE cold");
    change_both(f,
                two_versions ? "CREATE SHARED TABLE @.t (" COLUMNS ", n INT)"
                             : "CREATE SHARED TABLE @.t (" COLUMNS
                               ", n BIGINT, added INT DEFAULT 7)",
                0);
    insert_both(f, 0, FIRST_FILE);
    test_db_run(f->db, "FLUSH TABLE cold.t");
    if (two_versions) {
        change_both(f, "ALTER TABLE @.t ADD COLUMN added INT DEFAULT 7", 0);
        change_both(f, "ALTER TABLE @.t ALTER COLUMN n TYPE BIGINT", 0);
    }
    insert_both(f, FIRST_FILE, ROWS - 5);
    test_db_run(f->db, "FLUSH TABLE cold.t");
    insert_both(f, ROWS - 5, ROWS);
}

/* That the two lie where they are meant to, with so many dead rows. */
static void check_places(fixture *f, const char *dead_rows)
{
    test_db_expect(f->db, NULL, "SELECT count(*) FROM system.segments WHERE namespace_id = 'hot'",
                   "[[\"0\"]]");
    test_db_expect(f->db, NULL,
                   "SELECT dead_rows FROM system.segments WHERE namespace_id = 'cold' "
                   "ORDER BY row_count DESC",
                   dead_rows);
}

/* One in so many of the SELECTs. */
static void compare_some(fixture *f, uint64_t one_in)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(SELECTS); i++) {
        if (kal_rng_below(&f->rng, one_in) == 0)
            compare(f, SELECTS[i]);
    }
}

static void look_for_dead_rows(bool two_versions, uint64_t one_in)
{
    static const struct {
        const char *statement;
        const char *dead_rows;
    } DEATHS[] = {
        {"DELETE FROM @.t WHERE id % 100 = 7 AND id < 44995", "[[\"300\"],[\"150\"]]"},
        {"UPDATE @.t SET n = 5, t = 'changed' WHERE id % 331 = 3", NULL},
        {"DELETE FROM @.t WHERE id BETWEEN # % 20000 AND # % 20000 + 6000", NULL}, /* vectors */
        {"DELETE FROM @.t WHERE id < 64 OR id IN (2047, 2048, 20479, 20480, 29999, 30000)", NULL},
        {"DELETE FROM @.t WHERE id % 2 = 0", NULL},
        {"DELETE FROM @.t WHERE id >= 30000 AND id < 44995", NULL}, /* all of a file */
    };
    fixture f = {0};

    kal_test_seed(&f.rng);
    open_both(&f, two_versions);
    check_places(&f, "[[\"0\"],[\"0\"]]");
    compare_some(&f, one_in);
    for (size_t i = 0; i < KAL_ARRAY_LEN(DEATHS); i++) {
        change_both(&f, DEATHS[i].statement, kal_rng_below(&f.rng, ROWS));
        if (DEATHS[i].dead_rows != NULL)
            check_places(&f, DEATHS[i].dead_rows);
        compare_some(&f, one_in);
        if (i % 2 == 1) { /* no row beside the files, and then one more */
            test_db_run(f.db, "FLUSH TABLE cold.t");
            compare_some(&f, one_in);
            insert_both(&f, ROWS + (unsigned)i, ROWS + (unsigned)i + 1);
            compare(&f, "SELECT count(*), sum(id), max(id), max(t) FROM @.t");
        }
    }
    test_db_close(f.db);
}

static void no_plan_sees_a_dead_row(void **state)
{
    (void)state;
    look_for_dead_rows(true, 1);
}

static void no_plan_over_one_list_sees_a_dead_row(void **state)
{
    (void)state;
    look_for_dead_rows(false, 2);
}

/* ---- several moments of one file at once ---- */

enum { PAIRS = 60, READERS = 3 };

typedef struct race {
    test_db *db;
    _Atomic unsigned begun; /* pairs whose deletion has begun; those that are done */
    _Atomic unsigned done;
} race;

static int64_t number_at(const kal_json *rows, size_t column)
{
    const kal_json *cell = &rows->items[0].items[column];
    return strtoll((const char *)cell->text.ptr, NULL, 10);
}

/* Whoever reads sees a moment: as many pairs as were dead then, in both files. */
static void read_moments(void *argument)
{
    race *r = argument;
    const test_query query = {.path = KAL_PATH_ENGINE,
                              .sql = "SELECT count(*), sum(id), count(t) FROM cold.t"};

    while (atomic_load(&r->done) < PAIRS) {
        unsigned least = atomic_load(&r->done);
        test_reply reply = test_db_query(r->db, &query);
        unsigned most = atomic_load(&r->begun);
        if (reply.code != NULL)
            fail_msg("%s", reply.message);
        int64_t count = number_at(reply.rows, 0);
        if (number_at(reply.rows, 1) * 2 != count * (ROWS - 1) ||
            number_at(reply.rows, 2) != count || count > ROWS - 2 * (int64_t)least ||
            count < ROWS - 2 * (int64_t)most)
            fail_msg("%u to %u pairs are dead: %.*s", least, most, KAL_FMT(reply.text));
        test_reply_release(&reply);
    }
}

/* Statements that run at once over the same files, each with the dead rows of its own moment. */
static void each_statement_has_its_own_dead_rows(void **state)
{
    fixture f = {0};
    pthread_t readers[READERS];
    race r = {0};

    (void)state;
    kal_test_seed(&f.rng);
    open_both(&f, true);
    r.db = f.db;
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(kal_thread_start(&readers[i], "reader", 0, read_moments, &r, NULL),
                         KAL_OK);
    for (unsigned i = 0; i < PAIRS; i++) {
        char sql[96];
        snprintf(sql, sizeof sql, "DELETE FROM cold.t WHERE id IN (%u, %u)", i * 199,
                 ROWS - 1 - i * 199);
        atomic_fetch_add(&r.begun, 1);
        test_db_run(f.db, sql);
        atomic_fetch_add(&r.done, 1);
    }
    for (size_t i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
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
        cmocka_unit_test(no_plan_over_one_list_sees_a_dead_row),
        cmocka_unit_test(each_statement_has_its_own_dead_rows),
        cmocka_unit_test(it_cannot_be_called),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
