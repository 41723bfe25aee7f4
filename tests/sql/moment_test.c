/*
 * Rows of one moment are read by the definitions of that moment: who may not read a row while it
 * exists never reads it, whatever is allowed later.
 */
#include "base/thread.h"
#include "sql/database.h"
#include "table/flush_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

typedef struct reader {
    test_db *db;
    const char *sql;
    _Atomic bool stop;
    char text[4096]; /* of the last reply */
    unsigned leaks;
} reader;

static void ask(reader *r)
{
    test_query query = {.user = "ann", .sql = r->sql};
    test_reply reply = test_db_query(r->db, &query);
    snprintf(r->text, sizeof r->text, "%.*s", KAL_FMT(reply.text));
    if (strstr(r->text, "hidden row") != NULL)
        r->leaks++;
    test_reply_release(&reply);
}

static void ask_once(void *context)
{
    ask(context);
}

static void ask_again_and_again(void *context)
{
    reader *r = context;
    while (!atomic_load(&r->stop))
        ask(r);
}

static test_db *open_with_secret(void)
{
    test_db *db = test_db_open(false);
    test_db_run(db, "CREATE NAMESPACE n");
    test_db_add_user(db, "ann", KAL_ROLE_USER);
    test_db_run(db, "CREATE SHARED TABLE n.s (id INT PRIMARY KEY, s TEXT)");
    return db;
}

/* Goal: a transaction reads no row that its user might not read at BEGIN. Method: while its first
 * statement computes, the rows are deleted and the table is made public. */
static void test_transaction(void **state)
{
    test_db *db = open_with_secret();
    (void)state;
    test_db_run(db, "INSERT INTO n.s VALUES (1, 'hidden row')");
    reader r = {.db = db,
                .sql = "BEGIN; SELECT count(*) FROM range(20000) a, range(4000) b "
                       "WHERE sin(a.range + b.range) > 2; SELECT s FROM n.s WHERE id = 1; COMMIT"};
    pthread_t thread;
    kal_error err = KAL_ERROR_INIT;
    assert_int_equal(kal_thread_start(&thread, "reader", 1024 * 1024, ask_once, &r, &err), KAL_OK);
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    test_db_run(db, "DELETE FROM n.s");
    test_db_run(db, "ALTER TABLE n.s SET ACCESS LEVEL public");
    pthread_join(thread, NULL);
    assert_int_equal(r.leaks, 0);
    if (strstr(r.text, "TRANSACTION_CONFLICT") == NULL && strstr(r.text, "DENIED") == NULL &&
        strstr(r.text, "\"rows\":[]") == NULL)
        fail_msg("%s", r.text);
    test_db_close(db);
}

/* Goal: the same of single statements, on each path and through a view. Method: the table holds the
 * row only while it is private; readers ask all the time. */
static void test_statements(void **state)
{
    static const char *const TEXTS[] = {"SELECT s FROM n.s WHERE id = 1", "SELECT max(s) FROM n.s",
                                        "SELECT x.s FROM n.s x JOIN n.s y USING (id)",
                                        "SELECT s FROM n.v"};
    enum { READERS = KAL_ARRAY_LEN(TEXTS), ROUNDS = 60 };
    test_db *db = open_with_secret();
    static reader readers[READERS];
    pthread_t threads[READERS];
    kal_error err = KAL_ERROR_INIT;
    (void)state;

    test_db_run(db, "CREATE VIEW n.v AS SELECT s FROM n.s");
    for (size_t i = 0; i < READERS; i++) {
        readers[i] = (reader){.db = db, .sql = TEXTS[i]};
        assert_int_equal(kal_thread_start(&threads[i], "reader", 1024 * 1024, ask_again_and_again,
                                          &readers[i], &err),
                         KAL_OK);
    }
    for (size_t i = 0; i < ROUNDS; i++) {
        test_db_run(db, "INSERT INTO n.s VALUES (1, 'hidden row')");
        test_db_run(db, "DELETE FROM n.s");
        test_db_run(db, "ALTER TABLE n.s SET ACCESS LEVEL public");
        test_db_run(db, "ALTER TABLE n.s SET ACCESS LEVEL private");
    }
    for (size_t i = 0; i < READERS; i++)
        atomic_store(&readers[i].stop, true);
    for (size_t i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        if (readers[i].leaks > 0)
            fail_msg("%s showed the row %u times", TEXTS[i], readers[i].leaks);
    }
    test_db_close(db);
}

/* Goal: whoever looked a table up before an ALTER and meets a row that was written after it starts
 * over; the row is not called damaged. */
static void test_row_of_a_later_version(void **state)
{
    test_db *db = test_db_open(false);
    kal_exec *exec = test_db_exec(db);
    kal_catalog_worker *worker = kal_catalog_worker_open(exec->catalog); /* owned */
    kal_error err = KAL_ERROR_INIT;
    kal_scan_range all = {0};
    kal_table *table = NULL;
    kal_scan *scan = NULL; /* owned */
    kal_view view;
    kal_row row;

    (void)state;
    test_db_run(db, "CREATE NAMESPACE n");
    test_db_run(db, "CREATE SHARED TABLE n.t (id INT PRIMARY KEY)");
    assert_int_equal(kal_catalog_get_table(worker, KAL_STR("n"), KAL_STR("t"), &table, &err),
                     KAL_OK);
    kal_table_retain(table);
    test_db_run(db, "ALTER TABLE n.t ADD COLUMN a INT");
    test_db_run(db, "INSERT INTO n.t VALUES (1, 2)");
    kal_view_open(&view, exec->tables, 1, NULL);
    assert_int_equal(kal_scan_open(&view, table, &all, &scan, &err), KAL_OK);
    assert_int_equal(kal_scan_next(scan, &row, NULL, &err), KAL_STALE);
    kal_scan_close(scan);
    kal_view_close(&view);
    kal_table_release(table);
    kal_catalog_worker_close(worker);
    test_db_close(db);
}

/* Goal: the same of segments: neither does their reader call them damaged, nor are they merged by a
 * definition without the columns that their rows have. */
static void test_segment_of_a_later_version(void **state)
{
    test_db *db = test_db_open(false);
    kal_exec *exec = test_db_exec(db);
    kal_catalog_worker *worker = kal_catalog_worker_open(exec->catalog); /* owned */
    kal_error err = KAL_ERROR_INIT;
    const kal_flush_args args = {.tables = exec->tables, .actor = &KAL_PRINCIPAL_SERVER};
    kal_scan_range all = {0};
    kal_flush_result result;
    kal_table *table = NULL;
    kal_scan *scan = NULL; /* owned */
    kal_view view;
    kal_row row;
    bool found = false;

    (void)state;
    test_db_run(db, "CREATE NAMESPACE n");
    test_db_run(db, "CREATE USER TABLE n.t (id INT PRIMARY KEY)");
    assert_int_equal(kal_catalog_get_table(worker, KAL_STR("n"), KAL_STR("t"), &table, &err),
                     KAL_OK);
    kal_table_retain(table);
    test_db_run(db, "ALTER TABLE n.t ADD COLUMN a INT");
    for (int id = 1; id <= 2; id++) {
        char sql[80];
        snprintf(sql, sizeof sql, "INSERT INTO n.t VALUES (%d, 700)", id);
        test_db_run(db, sql);
        test_db_run(db, "FLUSH TABLE n.t");
    }
    kal_run_view_open(exec, &view, 1, NULL);
    kal_status status = kal_scan_open(&view, table, &all, &scan, &err);
    assert_int_equal(status == KAL_OK ? kal_scan_next(scan, &row, NULL, &err) : status, KAL_STALE);
    kal_scan_close(scan);
    kal_view_close(&view);
    assert_int_equal(kal_table_compact(&args, table, true, &result, &err), KAL_STALE);
    assert_int_equal(kal_table_rewrite_with_user(&args, table, 1, &found, &err), KAL_STALE);
    test_reply reply = test_db_query(db, &(test_query){.sql = "SELECT sum(a) AS a FROM n.t"});
    if (strstr((const char *)reply.text.ptr, "1400") == NULL)
        fail_msg("%.*s", KAL_FMT(reply.text));
    test_reply_release(&reply);
    kal_table_release(table);
    kal_catalog_worker_close(worker);
    test_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transaction),
        cmocka_unit_test(test_statements),
        cmocka_unit_test(test_row_of_a_later_version),
        cmocka_unit_test(test_segment_of_a_later_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
