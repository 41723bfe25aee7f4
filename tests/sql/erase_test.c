/*
 * erase_test.c: what DROP USER ... ERASE promises inside the process: whom the lane refuses, whom
 * the erasing waits for, what the change log says afterwards. What is left on disk:
 * tests/e2e/erase.test.mjs.
 */
#include "sql/database.h"
#include "table/erase.h"
#include "table/table_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static uint64_t number_of(kal_exec *exec, const char *name)
{
    kal_error err = KAL_ERROR_INIT;
    kal_arena arena; /* owned */
    kal_user user = {0};

    kal_arena_init(&arena, NULL);
    assert_int_equal(kal_catalog_get_any_user(exec->catalog, kal_cstr(name), &arena, &user, &err),
                     KAL_OK);
    kal_arena_release(&arena);
    return user.user_no;
}

static test_db *open_with_rows(void)
{
    test_db *db = test_db_open(false);
    test_db_run(db, "CREATE NAMESPACE app");
    test_db_run(db, "CREATE USER TABLE app.t (id BIGINT PRIMARY KEY, v TEXT)");
    test_db_add_user(db, "ann", KAL_ROLE_USER);
    test_db_add_user(db, "bob", KAL_ROLE_USER);
    test_db_expect(db, "bob", "INSERT INTO app.t VALUES (1, 'b') RETURNING id", "[[\"1\"]]");
    test_db_expect(db, "ann", "INSERT INTO app.t VALUES (1, 'a') RETURNING id", "[[\"1\"]]");
    test_db_run(db, "FLUSH TABLE app.t");
    test_db_expect(db, "ann", "INSERT INTO app.t VALUES (2, 'a') RETURNING id", "[[\"2\"]]");
    return db;
}

/* What was checked when a request began may be long ago. */
static void the_lane_refuses_who_was_dropped(void **state)
{
    test_db *db = open_with_rows();
    kal_exec *exec = test_db_exec(db);
    uint64_t ann = number_of(exec, "ann");
    kal_error err = KAL_ERROR_INIT;
    kal_table *table = NULL;

    (void)state;
    test_db_run(db, "DROP USER 'ann'");
    kal_catalog_worker *worker = kal_catalog_worker_open(exec->catalog); /* owned */
    assert_int_equal(kal_catalog_get_table(worker, KAL_STR("app"), KAL_STR("t"), &table, &err),
                     KAL_OK);
    for (int erase = 0; erase < 2; erase++) {
        uint8_t key[8] = {0x80, 0, 0, 0, 0, 0, 0, 2};
        kal_write *write = kal_write_open(exec->tables, NULL); /* owned */
        const kal_write_op op = {.table = table,
                                 .user_no = ann,
                                 .key = kal_bytes_of(key, sizeof key),
                                 .action = KAL_WRITE_DELETE,
                                 .erase = erase == 1};
        assert_int_equal(kal_write_add(write, &op, NULL, &err), KAL_OK);
        err = KAL_ERROR_INIT;
        assert_int_equal(kal_write_commit(write, &err), erase == 1 ? KAL_OK : KAL_DENIED);
        assert_int_equal(kal_write_op_at(write, 0)->applied,
                         erase == 1 ? KAL_WRITE_DELETE : KAL_WRITE_NONE);
        kal_write_close(write);
    }
    kal_catalog_worker_close(worker);
    test_db_expect(db, "bob", "SELECT id, v FROM app.t", "[[\"1\",\"b\"]]");
    test_db_close(db);
}

static kal_status ask_some_times(void *context, kal_error *err)
{
    unsigned *left = context;
    return (*left)-- > 0 ? KAL_OK : kal_error_set(err, KAL_CANCELLED, "asked often enough");
}

/* A statement that began before reads to its end what it has begun to read. */
static void it_waits_for_who_still_reads(void **state)
{
    test_db *db = open_with_rows();
    kal_exec *exec = test_db_exec(db);
    uint64_t ann = number_of(exec, "ann");
    kal_catalog_worker *worker = kal_catalog_worker_open(exec->catalog); /* owned */
    unsigned left = 60;
    kal_erase_args args = {
        .flush = {.tables = exec->tables,
                  .actor = &KAL_PRINCIPAL_SERVER,
                  .check = ask_some_times,
                  .context = &left},
        .worker = worker,
        .user_no = ann,
    };
    kal_erase_result result;
    kal_error err = KAL_ERROR_INIT;
    kal_table *table = NULL;
    kal_table_size size;
    kal_view view;

    (void)state;
    kal_view_open(&view, exec->tables, ann, NULL);
    test_db_run(db, "DROP USER 'ann'");
    assert_int_equal(kal_erase_rows(&args, &result, &err), KAL_CANCELLED);
    assert_int_equal(result.row_count, 2);
    assert_int_equal(result.segment_count, 0); /* that comes after waiting */
    assert_int_equal(kal_catalog_get_table(worker, KAL_STR("app"), KAL_STR("t"), &table, &err),
                     KAL_OK);
    left = UINT32_MAX;
    assert_int_equal(
        kal_view_size(&view, table, false, UINT64_MAX, ask_some_times, &left, &size, &err), KAL_OK);
    assert_int_equal(size.row_count, 2);
    kal_view_close(&view);

    err = KAL_ERROR_INIT;
    assert_int_equal(kal_erase_rows(&args, &result, &err), KAL_OK);
    assert_int_equal(result.row_count, 0); /* were deleted before */
    assert_int_equal(result.segment_count, 1);
    assert_int_equal(result.change_count, 2);
    assert_int_equal(kal_erase_rows(&args, &result, &err), KAL_OK);
    assert_int_equal(result.segment_count + result.change_count, 0); /* all is done */
    kal_catalog_worker_close(worker);
    test_db_expect(db, "bob", "SELECT id, v FROM app.t", "[[\"1\",\"b\"]]");
    test_db_close(db);
}

/* Seqs have no gaps, and nobody learns whose or what the change was. */
static void the_change_log_keeps_its_seqs(void **state)
{
    test_db *db = open_with_rows();
    kal_exec *exec = test_db_exec(db);
    uint16_t shard = kal_shard_of_user(number_of(exec, "ann"));
    kal_error err = KAL_ERROR_INIT;
    kal_shard_head head;
    kal_arena arena; /* owned */

    (void)state;
    test_db_run(db, "DROP USER 'ann' ERASE");
    kal_arena_init(&arena, NULL);
    assert_int_equal(kal_shard_head_read(exec->kv, NULL, shard, &head, &err), KAL_OK);
    assert_int_equal(head.applied, 2);
    for (uint64_t seq = head.first; seq <= head.applied; seq++) {
        uint8_t key[10];
        kal_change_record record;
        kal_bytes value;
        kal_store_be16(key, shard);
        kal_store_be64(key + 2, seq);
        assert_int_equal(kal_kv_get(exec->kv, NULL, KAL_KV_CHANGES, kal_bytes_of(key, sizeof key),
                                    &arena, &value, &err),
                         KAL_OK);
        assert_int_equal(kal_change_record_decode(value, &record, &err), KAL_OK);
        assert_int_equal(record.user_no, 0);
        assert_int_equal(record.primary_key.len + record.before.len + record.after.len, 0);
        assert_true(record.ends_commit);
    }
    kal_arena_release(&arena);
    test_db_close(db);
}

/* ---- storages that cannot be reached ---- */

static const char *away_path(const char *end)
{
    static _Thread_local char path[2][128];
    static _Thread_local int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "/tmp/kalamdb-erase-test-%d%s", (int)getpid(), end);
    return path[turn];
}

static kal_view reader; /* from open_with_doomed() to unplug(): until then nothing is swept */

static void unplug(void)
{
    assert_int_equal(rename(away_path(""), away_path("-unplugged")), 0);
    kal_view_close(&reader);
}

static void plug_in(void)
{
    assert_int_equal(rename(away_path("-unplugged"), away_path("")), 0);
}

/* open_with_rows(), where the storage `away` has a segment of the table app.left that is doomed,
 * and nothing else: the table's rows are in `local` by now. create: of app.left, with a %s for its
 * options. */
static test_db *open_with_doomed(const char *create, const char *user)
{
    test_db *db = open_with_rows();
    char sql[512];

    snprintf(sql, sizeof sql, "CREATE STORAGE away TYPE filesystem NAME 'Away' PATH '%s'",
             away_path(""));
    test_db_run(db, sql);
    snprintf(sql, sizeof sql, create, "STORAGE_ID = 'away'");
    test_db_run(db, sql);
    test_db_expect(db, user, "INSERT INTO app.left VALUES (1, 'l') RETURNING id", "[[\"1\"]]");
    test_db_run(db, "FLUSH TABLE app.left");
    test_db_expect(db, user, "INSERT INTO app.left VALUES (2, 'l') RETURNING id", "[[\"2\"]]");
    test_db_run(db, "FLUSH TABLE app.left");
    test_db_run(db, "ALTER TABLE app.left SET TBLPROPERTIES (storage_id = 'local')");
    kal_view_open(&reader, test_db_exec(db)->tables, 0, NULL);
    test_db_run(db, "STORAGE COMPACT TABLE app.left");
    return db;
}

static void close_with_away(test_db *db)
{
    char command[192];
    test_db_close(db);
    snprintf(command, sizeof command, "rm -rf '%s'", away_path(""));
    assert_int_equal(system(command), 0);
}

static kal_status erase(test_db *db, uint64_t user_no, kal_erase_result *result, kal_error *err)
{
    kal_exec *exec = test_db_exec(db);
    kal_catalog_worker *worker = kal_catalog_worker_open(exec->catalog); /* owned */
    const kal_erase_args args = {
        .flush = {.tables = exec->tables, .actor = &KAL_PRINCIPAL_SERVER},
        .worker = worker,
        .user_no = user_no,
    };

    *err = (kal_error)KAL_ERROR_INIT;
    kal_status status = kal_erase_rows(&args, result, err);
    kal_catalog_worker_close(worker);
    return status;
}

/* Goal: what cannot have rows of the user keeps nobody from being erased. */
static void what_cannot_have_rows_of_the_user_may_stay(void **state)
{
    static const char *const TABLES[] = {
        "CREATE SHARED TABLE app.left (id BIGINT PRIMARY KEY, v TEXT) WITH (%s)",
        "CREATE USER TABLE app.left (id BIGINT PRIMARY KEY, v TEXT) WITH (PARTITION_BY_USER = "
        "true, %s)",
        "CREATE USER TABLE app.left (id BIGINT PRIMARY KEY, v TEXT) WITH (%s)",
    };

    (void)state;
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLES); i++) {
        test_db *db = open_with_doomed(TABLES[i], i == 0 ? NULL : "bob");
        uint64_t ann = number_of(test_db_exec(db), "ann");
        kal_error err = KAL_ERROR_INIT;
        kal_erase_result result;
        unplug();
        test_db_run(db, "DROP USER 'ann'");
        if (erase(db, ann, &result, &err) != KAL_OK)
            fail_msg("table %zu: %s", i, err.message);
        assert_int_equal(result.segment_count, 1);
        assert_int_equal(result.change_count, 2);
        test_db_expect(db, "bob", "SELECT id, v FROM app.t", "[[\"1\",\"b\"]]");
        plug_in();
        close_with_away(db);
    }
}

/* Goal: what may have rows of the user is named, and all the rest of his is gone meanwhile. */
static void what_may_have_rows_of_the_user_is_named(void **state)
{
    test_db *db = open_with_doomed(
        "CREATE USER TABLE app.left (id BIGINT PRIMARY KEY, v TEXT) WITH (%s)", "ann");
    uint64_t ann = number_of(test_db_exec(db), "ann");
    kal_error err = KAL_ERROR_INIT;
    kal_erase_result result;

    (void)state;
    unplug();
    test_db_run(db, "DROP USER 'ann'");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(erase(db, ann, &result, &err), KAL_IO);
        assert_non_null(strstr(err.message, "storage 'away'"));
        assert_int_equal(result.segment_count, i == 0 ? 2 : 0);
        assert_int_equal(result.change_count, i == 0 ? 4 : 0);
    }
    plug_in();
    assert_int_equal(erase(db, ann, &result, &err), KAL_OK);
    assert_int_equal(result.change_count, 0);
    test_db_expect(db, "bob", "SELECT id, v FROM app.t", "[[\"1\",\"b\"]]");
    close_with_away(db);
}

/* Goal: likewise for a segment that cannot be written anew; that of the other table is. */
static void what_cannot_be_written_anew_keeps_nothing_else(void **state)
{
    test_db *db = open_with_doomed(
        "CREATE USER TABLE app.left (id BIGINT PRIMARY KEY, v TEXT) WITH (%s)", "bob");
    uint64_t ann = number_of(test_db_exec(db), "ann");
    kal_error err = KAL_ERROR_INIT;
    kal_erase_result result;

    (void)state;
    test_db_run(db, "CREATE USER TABLE app.a (id BIGINT PRIMARY KEY) WITH (STORAGE_ID = 'away')");
    test_db_expect(db, "ann", "INSERT INTO app.a VALUES (1) RETURNING id", "[[\"1\"]]");
    test_db_run(db, "FLUSH TABLE app.a");
    unplug();
    test_db_run(db, "DROP USER 'ann'");
    assert_int_equal(erase(db, ann, &result, &err), KAL_CORRUPT); /* its file is missing */
    assert_non_null(strstr(err.message, "storage 'away'"));
    assert_int_equal(result.segment_count, 1);
    assert_int_equal(result.change_count, 3);
    plug_in();
    assert_int_equal(erase(db, ann, &result, &err), KAL_OK);
    assert_int_equal(result.segment_count, 1);
    assert_int_equal(result.change_count, 0);
    close_with_away(db);
}

/* Goal: a table whose storage has no record is not one that was dropped: its rows are there. */
static void a_lost_storage_is_no_success(void **state)
{
    static const uint8_t KINDS[] = {8, 9}; /* storages, and what follows them */
    test_db *db = open_with_rows();
    kal_kv *kv = test_db_exec(db)->kv;
    uint64_t ann = number_of(test_db_exec(db), "ann");
    kal_kv_batch *batch = kal_kv_batch_open(kv); /* owned */
    kal_error err = KAL_ERROR_INIT;
    kal_erase_result result;

    (void)state;
    test_db_run(db, "DROP USER 'ann'");
    kal_kv_batch_delete_range(batch, KAL_KV_CATALOG, kal_bytes_of(KINDS, 1),
                              kal_bytes_of(KINDS + 1, 1));
    assert_int_equal(kal_kv_write(kv, batch, true, &err), KAL_OK);
    kal_kv_batch_close(batch);
    assert_int_equal(erase(db, ann, &result, &err), KAL_NOT_FOUND);
    assert_non_null(strstr(err.message, "storage 'local'"));
    test_db_close(db);
}

static void who_and_when(void **state)
{
    test_db *db = open_with_rows();

    (void)state;
    test_db_expect_error(db, "bob", "DROP USER 'ann' ERASE", "PERMISSION_DENIED", "");
    test_db_expect_error(db, NULL, "BEGIN; DROP USER 'ann' ERASE; COMMIT", "UNSUPPORTED",
                         "transaction");
    test_db_expect_error(db, NULL, "DROP USER 'root' ERASE", "PERMISSION_DENIED", "");
    test_db_expect_error(db, NULL, "DROP USER 'nobody' ERASE", "USER_NOT_FOUND", "nobody");
    test_db_run(db, "DROP USER IF EXISTS 'nobody' ERASE");
    test_db_run(db, "DROP USER 'ann'");
    test_db_run(db, "DROP USER 'ann' ERASE");
    test_db_expect_error(db, NULL, "DROP USER 'ann' ERASE", "USER_NOT_FOUND", "ann");
    test_db_reopen(db);
    test_db_expect(db, NULL, "SELECT count(*) FROM system.users WHERE user_id = 'ann'",
                   "[[\"0\"]]");
    test_db_expect(db, "bob", "SELECT id, v FROM app.t", "[[\"1\",\"b\"]]");
    test_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lane_refuses_who_was_dropped),
        cmocka_unit_test(it_waits_for_who_still_reads),
        cmocka_unit_test(the_change_log_keeps_its_seqs),
        cmocka_unit_test(what_cannot_have_rows_of_the_user_may_stay),
        cmocka_unit_test(what_may_have_rows_of_the_user_is_named),
        cmocka_unit_test(what_cannot_be_written_anew_keeps_nothing_else),
        cmocka_unit_test(a_lost_storage_is_no_success),
        cmocka_unit_test(who_and_when),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
