/*
 * lane_test.c: the write lane at its end, and when too much waits for it.
 */
#include "unit/table/table_testing.h"

static kal_status put_one(void *context, const kal_row *current, kal_arena *arena,
                          kal_write_effect *effect_out, kal_error *err)
{
    static const kal_value ONE = {.type = {.tag = KAL_TYPE_BIGINT}, .integer = 1};
    (void)context, (void)current, (void)arena, (void)err;
    *effect_out = (kal_write_effect){KAL_WRITE_PUT, &ONE};
    return KAL_OK;
}

static void note_done(kal_write *write, void *context)
{
    (void)write;
    *(bool *)context = true;
}

static void closing_finishes_the_queue(void **state)
{
    /* Goal: a write that waits when the lane is closed is carried out, answered and, also where
     * answers do not wait for the disk, durable. Method: the lane never runs before it is closed;
     * then the power goes. */
    (void)state;
    for (int sync = 0; sync <= 1; sync++) {
        kal_tables_options options = {.sync = sync == 1};
        kal_error err = KAL_ERROR_INIT;
        testing_db db;
        bool done = false;
        kal_buf key; /* owned */
        kal_arena arena;
        kal_bytes row;
        uint8_t row_key[KAL_ROW_KEY_BYTES_MAX];

        kal_buf_init(&key, NULL);
        kal_arena_init(&arena, NULL);
        testing_open(&db, &options);
        kal_table *table = testing_table(&db, "a", KAL_TABLE_SHARED);
        kal_write_op op = {.table = table, .resolve = put_one, .key = testing_key(table, 1, &key)};
        kal_write *write = kal_write_open(db.tables, NULL);
        testing_ok(kal_write_add(write, &op, NULL, &err), &err);
        kal_write_submit(write, note_done, &done);
        assert_false(done);
        kal_tables_close(db.tables);
        db.tables = NULL;
        assert_true(done);
        testing_ok(kal_write_status(write, &err), &err);
        kal_write_close(write);
        kal_kv_mem_crash(db.kv);
        testing_ok(kal_kv_get(db.kv, NULL, KAL_KV_ROWS, kal_row_key(table, 0, op.key, row_key),
                              &arena, &row, &err),
                   &err);
        testing_close(&db);
        kal_arena_release(&arena);
        kal_buf_release(&key);
    }
}

/* Makes writers keep NULL out of the column (count 1), or lets them again, as ALTER TABLE does. */
static kal_status enforce(testing_db *db, kal_table *table, uint32_t count, kal_error *err)
{
    static const kal_principal ROOT = {.user_no = 1, .user_id = "root", .role = KAL_ROLE_SYSTEM};
    const uint32_t column_id = 1;
    kal_catalog_change *change = kal_catalog_begin(db->catalog, &ROOT); /* owned */
    kal_write *write = kal_write_open(db->tables, NULL);                /* owned */

    kal_catalog_enforce_not_null(change, table, &column_id, count);
    kal_write_set_change(write, change);
    kal_status status = kal_write_commit(write, err);
    kal_write_close(write);
    kal_catalog_end(change);
    return status;
}

static kal_write *submit_put(testing_db *db, kal_table *table, int64_t id, bool *done)
{
    kal_error err = KAL_ERROR_INIT;
    kal_buf key; /* owned */

    kal_buf_init(&key, NULL);
    kal_write_op op = {.table = table, .resolve = put_one, .key = testing_key(table, id, &key)};
    kal_write *write = kal_write_open(db->tables, NULL);
    testing_ok(kal_write_add(write, &op, NULL, &err), &err);
    kal_write_submit(write, note_done, done);
    kal_buf_release(&key);
    return write;
}

static void a_full_queue_takes_changes(void **state)
{
    /* Goal: a change of the catalog is not refused because too many writes are waiting: an ALTER
     * that failed must be able to take back what it made writers enforce. Method: the queue has
     * room for one write, which waits there. */
    kal_tables_options options = {.sync = true, .queue_bytes_max = 1};
    kal_error err = KAL_ERROR_INIT;
    testing_db db;
    kal_table *found = NULL;
    bool done[2] = {false};

    (void)state;
    testing_open(&db, &options);
    kal_table *table = kal_table_retain(testing_table(&db, "a", KAL_TABLE_SHARED)); /* owned */
    kal_table *other = kal_table_retain(testing_table(&db, "b", KAL_TABLE_SHARED)); /* owned */
    testing_ok(enforce(&db, table, 1, &err), &err);
    kal_write *waiting = submit_put(&db, other, 1, &done[0]); /* owned */
    kal_write *refused = submit_put(&db, other, 2, &done[1]); /* owned */
    assert_false(done[0]);
    assert_true(done[1]);
    assert_int_equal(kal_write_status(refused, &err), KAL_BUSY);
    testing_ok(enforce(&db, table, 0, &err), &err);
    assert_true(done[0]); /* it was before it in the queue */
    testing_ok(kal_write_status(waiting, &err), &err);
    testing_ok(kal_catalog_get_table(db.worker, KAL_STR("default"), KAL_STR("a"), &found, &err),
               &err);
    assert_int_equal(found->enforced_count, 0);
    kal_write_close(waiting);
    kal_write_close(refused);
    kal_table_release(other);
    kal_table_release(table);
    testing_close(&db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closing_finishes_the_queue),
        cmocka_unit_test(a_full_queue_takes_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
