/*
 * Jobs as SQL shows them: system.jobs, SHOW JOBS, KILL JOB; BACKUP, FLUSH, STORAGE COMPACT as jobs.
 *
 * Method: statements and the rows that they leave; what needs a job that is running is in e2e/jobs
 * and, with handlers of the test's own, in jobs/jobs.
 */
#include "sql/database.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct fixture {
    kal_sim_clock clock;
    test_db *db;
} fixture;

static int open_db(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -1;
    kal_sim_clock_init(&f->clock, INT64_C(1800000000000000));
    f->db = test_db_open_at(&f->clock.clock);
    test_db_add_user(f->db, "ann", KAL_ROLE_USER);
    test_db_add_user(f->db, "sam", KAL_ROLE_SERVICE);
    test_db_add_user(f->db, "dora", KAL_ROLE_DBA);
    *state = f;
    return 0;
}

static int close_db(void **state)
{
    fixture *f = *state;
    test_db_close(f->db);
    free(f);
    return 0;
}

/* The one cell of an answer, as text; static. */
static const char *cell(fixture *f, const char *sql)
{
    static char text[256];
    test_reply reply = test_db_query(f->db, &(test_query){.sql = sql});

    assert_non_null(reply.rows);
    assert_int_equal(reply.rows->len, 1);
    const kal_json *value = &reply.rows->items[0].items[0];
    snprintf(text, sizeof text, "%.*s", KAL_FMT(value->text));
    test_reply_release(&reply);
    return text;
}

static const char *backup_path(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "/tmp/kalamdb-jobs-test-%d-%s", (int)getpid(), name);
    return path;
}

static void remove_backup(const char *name)
{
    char command[192];
    snprintf(command, sizeof command, "rm -rf '%s'", backup_path(name));
    assert_int_equal(system(command), 0);
}

/* Goal: BACKUP leaves a record of its success or failure, and answers as a statement does. */
static void a_backup_is_a_job(void **state)
{
    fixture *f = *state;
    char sql[512];

    test_db_expect(f->db, NULL, "SELECT count(*) FROM system.jobs", "[[\"0\"]]");
    snprintf(sql, sizeof sql, "BACKUP DATABASE ALL TO '%s'", backup_path("one"));
    test_db_run(f->db, sql);
    test_db_expect(f->db, "dora",
                   "SELECT job_type, status, namespace_id, table_name, actor, start_count, "
                   "retry_count, max_retries, idempotency_key, error_message, node_id "
                   "FROM system.jobs",
                   "[[\"backup\",\"completed\",null,null,\"root\",1,0,0,\"backup\",null,\"0\"]]");
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM system.jobs WHERE parameters = '{\"path\":\"%s\"}' AND result "
             "LIKE 'Backup written to ''%s'': %% files, %% bytes' AND job_id LIKE 'BK-a%%' AND "
             "started_at >= created_at AND completed_at >= started_at",
             backup_path("one"), backup_path("one"));
    test_db_expect(f->db, NULL, sql, "[[\"1\"]]");
    snprintf(sql, sizeof sql, "BACKUP DATABASE ALL TO '%s'", backup_path("one"));
    test_db_expect_error(f->db, NULL, sql, "ALREADY_EXISTS", "exists already");
    test_db_expect_error(f->db, NULL, "BACKUP DATABASE ALL TO '/no/such/place'", "INVALID_INPUT",
                         "/no/such");
    test_db_expect(f->db, NULL,
                   "SELECT status, count(*) FROM system.jobs GROUP BY status ORDER BY 1",
                   "[[\"completed\",\"1\"],[\"failed\",\"2\"]]");
    test_db_expect(f->db, NULL,
                   "SELECT metric_name, metric_value FROM system.stats WHERE metric_name IN "
                   "('total_jobs', 'jobs_running', 'jobs_queued', 'jobs_failed', 'job_starts', "
                   "'job_completions', 'job_failures') ORDER BY metric_name",
                   "[[\"job_completions\",\"1\"],[\"job_failures\",\"2\"],[\"job_starts\",\"3\"],"
                   "[\"jobs_failed\",\"2\"],[\"jobs_queued\",\"0\"],[\"jobs_running\",\"0\"],"
                   "[\"total_jobs\",\"3\"]]");
    test_db_reopen(f->db);
    test_db_expect(f->db, NULL,
                   "SELECT status, count(*) FROM system.jobs GROUP BY status ORDER BY 1",
                   "[[\"completed\",\"1\"],[\"failed\",\"2\"]]");
    remove_backup("one");
}

/* Goal: what KILL JOB and SHOW JOBS refuse, by whom and of what. */
static void refusals(void **state)
{
    fixture *f = *state;
    char sql[512];
    char id[64];

    snprintf(sql, sizeof sql, "BACKUP DATABASE ALL TO '%s'", backup_path("two"));
    test_db_run(f->db, sql);
    remove_backup("two");
    snprintf(id, sizeof id, "%s", cell(f, "SELECT job_id FROM system.jobs"));

    snprintf(sql, sizeof sql, "KILL JOB '%s'", id);
    test_db_expect_error(f->db, NULL, sql, "JOB_FINISHED", "is completed already");
    test_db_expect_error(f->db, "ann", sql, "PERMISSION_DENIED", "Admin");
    test_db_expect_error(f->db, "sam", sql, "PERMISSION_DENIED", "Admin");
    snprintf(sql, sizeof sql, "KILL JOB %s", id); /* and without quotes, in any case */
    test_db_expect_error(f->db, "dora", sql, "JOB_FINISHED", "is completed already");
    snprintf(sql, sizeof sql, "kill job bk%s", id + 2);
    test_db_expect_error(f->db, "dora", sql, "JOB_FINISHED", "is completed already");
    /* The right number under another type is another job. */
    snprintf(sql, sizeof sql, "KILL JOB 'FL%s'", id + 2);
    test_db_expect_error(f->db, NULL, sql, "JOB_NOT_FOUND", "does not exist");

    test_db_expect_error(f->db, NULL, "KILL JOB 'FL-a000000000000'", "JOB_NOT_FOUND",
                         "job 'FL-a000000000000' does not exist");
    test_db_expect_error(f->db, NULL, "KILL JOB FL-a000000000000", "JOB_NOT_FOUND",
                         "job 'FL-a000000000000' does not exist");
    test_db_expect_error(f->db, NULL, "KILL JOB 'x'", "JOB_NOT_FOUND", "job 'x' does not exist");
    test_db_expect_error(f->db, NULL, "KILL JOB ''", "JOB_NOT_FOUND", "job '' does not exist");
    test_db_expect_error(f->db, NULL, "KILL JOB nothing at all", "JOB_NOT_FOUND",
                         "job 'nothing at all' does not exist");
    test_db_expect_error(f->db, NULL, "KILL JOB 'FL-0000000000000'", "JOB_NOT_FOUND", "not exist");
    test_db_expect_error(f->db, NULL, "KILL JOB 'FL-fffffffffffff'", "JOB_NOT_FOUND", "not exist");
    test_db_expect_error(f->db, NULL, "KILL JOB 'FL-zfffffffffff0'", "JOB_NOT_FOUND", "not exist");
    test_db_expect_error(f->db, NULL, "KILL JOB", "INVALID_SQL", "job_id");
    test_db_expect_error(f->db, NULL, "KILL JOB 5", "INVALID_SQL", "job_id");
    test_db_expect_error(f->db, NULL, "KILL JOB 'a' 'b'", "INVALID_SQL", "");
    test_db_expect_error(f->db, NULL, "KILL LIVE QUERY 'x'", "LIVE_QUERY_NOT_FOUND",
                         "does not exist");
    test_db_expect_error(f->db, NULL, "SHOW JOBS now", "INVALID_SQL", "");
    test_db_expect_error(f->db, "ann", "SHOW JOBS", "PERMISSION_DENIED", "Admin");
    test_db_expect_error(f->db, "ann", "SELECT * FROM system.jobs", "PERMISSION_DENIED", "");
}

static void show_jobs_shows_them(void **state)
{
    fixture *f = *state;
    char sql[512];

    test_db_expect(f->db, "dora", "SHOW JOBS", "[]");
    snprintf(sql, sizeof sql, "BACKUP DATABASE ALL TO '%s'", backup_path("three"));
    test_db_run(f->db, sql);
    remove_backup("three");
    test_reply reply = test_db_query(f->db, &(test_query){.sql = "SHOW JOBS"});
    assert_non_null(reply.rows);
    assert_int_equal(reply.rows->len, 1);
    assert_int_equal(reply.rows->items[0].len, 11);
    assert_true(kal_bytes_equal(reply.rows->items[0].items[4].text, KAL_STR("completed")));
    test_reply_release(&reply);
}

/* Goal: moving rows is seen as jobs, of the tables that have some. */
static void flushes_and_compactions_are_jobs(void **state)
{
    fixture *f = *state;

    test_db_run(f->db, "CREATE NAMESPACE app");
    test_db_run(f->db, "CREATE SHARED TABLE app.t (id BIGINT PRIMARY KEY)");
    test_db_run(f->db, "CREATE SHARED TABLE app.empty (id BIGINT PRIMARY KEY)");
    test_db_run(f->db, "INSERT INTO app.t VALUES (1), (2), (3)");
    test_db_run(f->db, "FLUSH TABLE app.t");
    test_db_expect(f->db, NULL,
                   "SELECT job_type, namespace_id, table_name, status, actor, max_retries, "
                   "split_part(result, ',', 1) FROM system.jobs",
                   "[[\"flush\",\"app\",\"t\",\"completed\",\"root\",0,\"3 rows\"]]");
    test_db_run(f->db, "INSERT INTO app.t VALUES (4), (5)");
    test_db_run(f->db, "FLUSH ALL");
    test_db_run(f->db, "STORAGE FLUSH ALL IN app"); /* nothing is left */
    test_db_run(f->db, "STORAGE COMPACT ALL");
    test_db_run(f->db, "STORAGE COMPACT ALL"); /* one segment is left */
    test_db_expect(f->db, NULL,
                   "SELECT job_type, table_name, status, split_part(result, ',', 1) "
                   "FROM system.jobs ORDER BY substr(job_id, 4)",
                   "[[\"flush\",\"t\",\"completed\",\"3 rows\"],"
                   "[\"flush\",\"t\",\"completed\",\"2 rows\"],"
                   "[\"compact\",\"t\",\"completed\",\"5 rows\"]]");
    test_db_expect(f->db, NULL, "SELECT id FROM app.t ORDER BY id",
                   "[[\"1\"],[\"2\"],[\"3\"],[\"4\"],[\"5\"]]");
    test_db_expect_error(f->db, "ann", "FLUSH TABLE app.t", "PERMISSION_DENIED", "flush");
    test_db_expect_error(f->db, NULL, "FLUSH TABLE app.none", "TABLE_NOT_FOUND", "app.none");
}

/* As damage would: no statement drops a storage that a table uses. */
static void lose_storages(fixture *f)
{
    static const uint8_t KINDS[] = {8, 9}; /* storages, and what follows them */
    kal_kv *kv = test_db_exec(f->db)->kv;
    kal_kv_batch *batch = kal_kv_batch_open(kv); /* owned */
    kal_error err = KAL_ERROR_INIT;

    kal_kv_batch_delete_range(batch, KAL_KV_CATALOG, kal_bytes_of(KINDS, 1),
                              kal_bytes_of(KINDS + 1, 1));
    assert_int_equal(kal_kv_write(kv, batch, true, &err), KAL_OK);
    kal_kv_batch_close(batch);
}

/* Goal: what was not moved is not said to be: only a table that is gone has nothing to be moved. */
static void a_lost_storage_is_not_a_dropped_table(void **state)
{
    fixture *f = *state;

    test_db_run(f->db, "CREATE NAMESPACE app");
    test_db_run(f->db, "CREATE SHARED TABLE app.t (id BIGINT PRIMARY KEY)");
    test_db_run(f->db, "INSERT INTO app.t VALUES (1)");
    test_db_run(f->db, "FLUSH TABLE app.t");
    test_db_run(f->db, "INSERT INTO app.t VALUES (2)");
    test_db_run(f->db, "FLUSH TABLE app.t");
    test_db_run(f->db, "INSERT INTO app.t VALUES (3)");
    lose_storages(f);
    test_db_expect_error(f->db, NULL, "FLUSH TABLE app.t", "STORAGE_NOT_FOUND", "local");
    test_db_expect_error(f->db, NULL, "STORAGE COMPACT TABLE app.t", "STORAGE_NOT_FOUND", "local");
    test_db_expect(f->db, NULL, "SELECT job_type, status FROM system.jobs WHERE status = 'failed'",
                   "[[\"flush\",\"failed\"],[\"compact\",\"failed\"]]");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, open_db, close_db)
    const struct CMUnitTest tests[] = {
        TEST(a_backup_is_a_job),
        TEST(refusals),
        TEST(show_jobs_shows_them),
        TEST(flushes_and_compactions_are_jobs),
        TEST(a_lost_storage_is_not_a_dropped_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
