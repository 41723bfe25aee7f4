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
#include <stdlib.h>

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
                  .check_context = &left},
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
        cmocka_unit_test(who_and_when),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
