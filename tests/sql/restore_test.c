/*
 * restore_test.c: RESTORE DATABASE of a namespace inside the process: what it may write that nobody
 * else may, and what it waits for. What comes back: tests/e2e/namespace_backup.test.mjs.
 */
#include "backup/namespace.h"
#include "base/thread.h"
#include "catalog/restored.h"
#include "exec/cold.h"
#include "sql/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROWS = 3, BUSY_FOR_MS = 300, QUEUE_BYTES = 64 * 1024 * 1024 };

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

/* ---- a full queue ---- */

/* The lane stands still, and what waits for it is as much as may wait. */
typedef struct full_lane {
    kal_tables *tables;
    kal_write *standing; /* owned; the lane is inside */
    kal_write *waiting;  /* owned */
    _Atomic bool is_inside;
    _Atomic bool may_go_on;
    _Atomic unsigned answered;
    bool is_full;
    bool cancels; /* the restoration is told to end from then on */
    pthread_t opener;
} full_lane;

static kal_status stand_still(void *context, kal_kv_batch *batch, kal_error *err)
{
    full_lane *lane = context;

    (void)batch, (void)err;
    atomic_store(&lane->is_inside, true);
    while (!atomic_load(&lane->may_go_on))
        kal_thread_pause(1);
    return KAL_OK;
}

static void note_answer(kal_write *write, void *context)
{
    (void)write;
    atomic_fetch_add(&((full_lane *)context)->answered, 1);
}

static void *open_later(void *context)
{
    full_lane *lane = context;
    kal_thread_pause(BUSY_FOR_MS);
    atomic_store(&lane->may_go_on, true);
    return NULL;
}

static void fill(full_lane *lane)
{
    lane->standing = kal_write_open(lane->tables, NULL);
    kal_write_set_hook(lane->standing, stand_still, lane);
    kal_write_submit(lane->standing, note_answer, lane);
    while (!atomic_load(&lane->is_inside))
        kal_thread_pause(1);
    lane->waiting = kal_write_open(lane->tables, NULL);
    (void)kal_arena_alloc(kal_write_arena(lane->waiting), QUEUE_BYTES);
    kal_write_submit(lane->waiting, note_answer, lane);
    lane->is_full = true;
    assert_int_equal(pthread_create(&lane->opener, NULL, open_later, lane), 0);
}

static void close_lane(full_lane *lane)
{
    assert_true(lane->is_full);
    pthread_join(lane->opener, NULL);
    while (atomic_load(&lane->answered) < 2)
        kal_thread_pause(1);
    kal_write_close(lane->standing);
    kal_write_close(lane->waiting);
}

/* Other people's writes come in between the last row and the end. */
static void note_rows(void *context, kal_bytes table_name, uint64_t rows)
{
    full_lane *lane = context;

    (void)table_name;
    if (rows == ROWS && !lane->is_full)
        fill(lane);
}

static kal_status go_on(void *context, kal_error *err)
{
    const full_lane *lane = context;
    return lane->is_full && lane->cancels ? kal_error_set(err, KAL_CANCELLED, "told to end")
                                          : KAL_OK;
}

static kal_status restore(kal_exec *exec, full_lane *lane, kal_error *err)
{
    const kal_restore_target target = {
        .catalog = exec->catalog,
        .tables = exec->tables,
        .parquet = kal_cold_parquet(exec->cold),
        .actor = &KAL_PRINCIPAL_SERVER,
    };
    const kal_backup_poll poll = {go_on, lane, note_rows};
    kal_restored restored;
    kal_arena arena; /* owned */

    lane->tables = exec->tables;
    kal_arena_init(&arena, NULL);
    kal_status status = kal_backup_restore_namespace(&target, kal_cstr(backup_path()),
                                                     (kal_bytes){0}, &poll, &arena, &restored, err);
    kal_arena_release(&arena);
    close_lane(lane);
    remove_backup();
    return status;
}

/* Goal: the work is not lost at its last step because many others write. */
static void its_end_waits_for_the_lane(void **state)
{
    test_db *db = open_with_backup("SELECT 1");
    full_lane lane = {0};
    kal_error err = KAL_ERROR_INIT;

    (void)state;
    kal_status status = restore(test_db_exec(db), &lane, &err);
    if (status != KAL_OK)
        fail_msg("%s: %s", kal_status_name(status), err.message);
    expect_rows(db);
    test_db_close(db);
}

/* Goal: one that failed takes its rows away although many others write. */
static void its_failure_waits_for_the_lane(void **state)
{
    test_db *db = open_with_backup("SELECT 1");
    full_lane lane = {.cancels = true};
    kal_error err = KAL_ERROR_INIT;
    size_t left_behind = 0;

    (void)state;
    kal_status status = restore(test_db_exec(db), &lane, &err);
    assert_int_equal(kal_catalog_sweep_restored(test_db_exec(db)->catalog, &left_behind, &err),
                     KAL_OK);
    assert_int_equal(left_behind, 0);
    assert_int_equal(status, KAL_CANCELLED);
    test_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back_beyond_the_limit),
        cmocka_unit_test(its_end_waits_for_the_lane),
        cmocka_unit_test(its_failure_waits_for_the_lane),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
