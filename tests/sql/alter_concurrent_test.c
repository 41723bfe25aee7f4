/*
 * ALTER TABLE while others write.
 *
 * Goal: writers never wait for more than a moment, never meet an error that is not theirs, and lose
 * nothing; once SET NOT NULL has answered there is no NULL, whatever was on its way. Method:
 * threads that insert (some NULL, some with columns that come and go), and update and read the
 * newest rows, beside one that alters; what was acknowledged is counted and compared at the end.
 */
#include "base/assert.h"
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

/* ROWS: so that looking at every row takes a while. */
enum { WRITERS = 4, ROUNDS = 25, ROWS = 20000 };

typedef struct shared {
    test_db *db;
    _Atomic bool stop;
    _Atomic uint64_t acknowledged;
    _Atomic uint64_t refused_nulls;
    _Atomic uint64_t wrong; /* errors that nobody should see */
} shared;

typedef struct writer {
    shared *shared;
    int number;
} writer;

static bool may_happen(const char *code)
{
    /* The column that comes and goes is named by some inserts. */
    return strcmp(code, "NOT_NULL_VIOLATION") == 0 || strcmp(code, "COLUMN_NOT_FOUND") == 0;
}

static void write_rows(void *context)
{
    writer *w = context;
    shared *s = w->shared;
    for (uint64_t i = 0; !atomic_load(&s->stop); i++) {
        char sql[160];
        uint64_t id = i * WRITERS + (uint64_t)w->number;
        if (i % 5 == 4)
            snprintf(sql, sizeof sql, "INSERT INTO app.t (id, a, x) VALUES (%llu, 1, 'x')",
                     (unsigned long long)id);
        else if (i % 7 == 6 && i > 10)
            snprintf(sql, sizeof sql, "UPDATE app.t SET a = a + 1, b = 'u' WHERE id = %llu",
                     (unsigned long long)(id - WRITERS));
        else if (i % 9 == 5 && i > 10) /* the newest rows, of others too */
            snprintf(sql, sizeof sql, "UPDATE app.t SET b = 'r' WHERE id > %llu AND a < 0",
                     (unsigned long long)(id - 3 * WRITERS));
        else if (i % 9 == 7 && i > 10)
            snprintf(sql, sizeof sql, "SELECT id, a, b FROM app.t WHERE id > %llu",
                     (unsigned long long)(id - 3 * WRITERS));
        else
            snprintf(sql, sizeof sql, "INSERT INTO app.t (id, a) VALUES (%llu, %s)",
                     (unsigned long long)id, i % 3 == 0 ? "NULL" : "7");
        test_reply reply = test_db_query(s->db, &(test_query){.sql = sql});
        if (reply.code == NULL) {
            atomic_fetch_add(&s->acknowledged, sql[0] == 'I');
        } else if (!may_happen(reply.code)) {
            fprintf(stderr, "%s\n  %.*s\n", sql, KAL_FMT(reply.text));
            atomic_fetch_add(&s->wrong, 1);
        } else {
            atomic_fetch_add(&s->refused_nulls, strcmp(reply.code, "NOT_NULL_VIOLATION") == 0);
        }
        test_reply_release(&reply);
    }
}

/* The first cell as text, copied. */
static void first_cell(test_db *db, const char *sql, char out[32])
{
    test_reply reply = test_db_query(db, &(test_query){.sql = sql});
    assert_null(reply.code);
    snprintf(out, 32, "%.*s", KAL_FMT(reply.rows->items[0].items[0].text));
    test_reply_release(&reply);
}

static void alter_once(shared *s, int round)
{
    char nulls[32];
    /* Rows with NULL are there nearly always, so the first try tells how many, or works. */
    test_reply reply =
        test_db_query(s->db, &(test_query){.sql = "ALTER TABLE app.t ALTER a SET NOT NULL"});
    bool refused = reply.code != NULL;
    if (refused)
        assert_string_equal(reply.code, "NOT_NULL_VIOLATION");
    test_reply_release(&reply);
    /* Five times somebody else may be faster; that is an answer too. */
    reply = test_db_query(s->db, &(test_query){.sql = "UPDATE app.t SET a = 0 WHERE a IS NULL"});
    if (reply.code != NULL)
        assert_string_equal(reply.code, "TRANSACTION_CONFLICT");
    test_reply_release(&reply);
    reply = test_db_query(s->db, &(test_query){.sql = "ALTER TABLE app.t ALTER a SET NOT NULL"});
    if (reply.code == NULL) {
        first_cell(s->db, "SELECT count(*) FROM app.t WHERE a IS NULL", nulls);
        assert_string_equal(nulls, "0");
    }
    test_reply_release(&reply);
    if (round % 2 == 0)
        test_db_run(s->db, "ALTER TABLE app.t ADD COLUMN x TEXT NOT NULL DEFAULT 'was'");
    else
        test_db_run(s->db, "ALTER TABLE app.t DROP COLUMN IF EXISTS x");
    first_cell(s->db, "SELECT count(*) FROM app.t WHERE b IS NULL AND a < 0", nulls);
    assert_string_equal(nulls, "0");
    test_db_run(s->db, "ALTER TABLE app.t ALTER a DROP NOT NULL");
}

static void test_writers_go_on(void **state)
{
    shared s = {.db = test_db_open(false)};
    writer writers[WRITERS];
    pthread_t threads[WRITERS];
    char count[32];
    char wanted[32];

    (void)state;
    test_db_run(s.db, "CREATE NAMESPACE app");
    test_db_run(s.db, "CREATE TABLE app.t (id BIGINT PRIMARY KEY, a INT, b TEXT)");
    test_db_run(s.db, "INSERT INTO app.t SELECT -i, 1, 'b' FROM range(1, 20001) r(i)");
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (writer){&s, i};
        assert_int_equal(kal_thread_start(&threads[i], "writer", 0, write_rows, &writers[i], NULL),
                         KAL_OK);
    }
    for (int round = 0; round < ROUNDS; round++)
        alter_once(&s, round);
    atomic_store(&s.stop, true);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    first_cell(s.db, "SELECT count(*) FROM app.t", count);
    snprintf(wanted, sizeof wanted, "%llu",
             (unsigned long long)atomic_load(&s.acknowledged) + ROWS);
    assert_string_equal(count, wanted);
    assert_int_equal(s.wrong, 0);
    assert_true(s.refused_nulls > 0);
    assert_true(s.acknowledged > 100);
    test_db_close(s.db);
}

/* ---- views over tables that change ---- */

static void read_views(void *context)
{
    static const struct {
        const char *sql;
        const char *rows;
    } READS[] = {
        {"SELECT * FROM app.both ORDER BY id", "[[\"1\",\"x\"],[\"2\",\"y\"]]"},
        {"SELECT count(*) FROM app.both", "[[\"2\"]]"},
        {"SELECT n FROM app.outer_view", "[[\"2\"]]"},
    };
    shared *s = context;
    for (size_t i = 0; !atomic_load(&s->stop); i++) {
        size_t at = i % KAL_ARRAY_LEN(READS);
        test_reply reply = test_db_query(s->db, &(test_query){.sql = READS[at].sql});
        bool right = reply.code == NULL && memmem(reply.text.ptr, reply.text.len, READS[at].rows,
                                                  strlen(READS[at].rows)) != NULL;
        if (!right)
            fprintf(stderr, "%s\n  %.*s\n", READS[at].sql, KAL_FMT(reply.text));
        atomic_fetch_add(right ? &s->acknowledged : &s->wrong, 1);
        test_reply_release(&reply);
    }
}

/* Goal: a view has the same answer whatever columns come and go in the tables and views under it,
 * also while they do. Method: readers of views beside a thread that adds and drops columns whose
 * names stand in them. */
static void test_views_stay(void **state)
{
    enum { READERS = 2, CHANGES = 40 };
    shared s = {.db = test_db_open(false)};
    pthread_t threads[READERS];

    (void)state;
    test_db_run(s.db, "CREATE NAMESPACE app");
    test_db_run(s.db, "CREATE TABLE app.p (id BIGINT PRIMARY KEY, a TEXT)");
    test_db_run(s.db, "CREATE TABLE app.q (id BIGINT PRIMARY KEY, b TEXT)");
    test_db_run(s.db, "INSERT INTO app.p VALUES (1, 'x'), (2, 'y')");
    test_db_run(s.db, "INSERT INTO app.q VALUES (1, 'x'), (2, 'y')");
    test_db_run(s.db, "CREATE VIEW app.both AS SELECT id, b FROM app.p NATURAL JOIN app.q "
                      "WHERE a = b");
    test_db_run(s.db, "CREATE VIEW app.inner_view AS SELECT id FROM app.p");
    test_db_run(s.db, "CREATE VIEW app.outer_view AS SELECT count(*) AS n FROM app.q WHERE EXISTS "
                      "(SELECT 1 FROM app.inner_view i WHERE i.id = q.id AND b IS NOT NULL)");
    for (int i = 0; i < READERS; i++)
        assert_int_equal(kal_thread_start(&threads[i], "reader", 0, read_views, &s, NULL), KAL_OK);
    for (int i = 0; i < CHANGES; i++) {
        test_db_run(s.db, "ALTER TABLE app.p ADD COLUMN b TEXT");
        test_db_run(s.db, "CREATE OR REPLACE VIEW app.inner_view AS SELECT id, b FROM app.p");
        test_db_run(s.db, "ALTER TABLE app.q ADD COLUMN a TEXT DEFAULT 'no'");
        test_db_run(s.db, "CREATE OR REPLACE VIEW app.inner_view AS SELECT id FROM app.p");
        test_db_run(s.db, "ALTER TABLE app.p DROP COLUMN b");
        test_db_run(s.db, "ALTER TABLE app.q DROP COLUMN a");
    }
    atomic_store(&s.stop, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(s.wrong, 0);
    assert_true(s.acknowledged > 0);
    test_db_close(s.db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_writers_go_on),
                                       cmocka_unit_test(test_views_stay)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
