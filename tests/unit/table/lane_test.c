/*
 * lane_test.c: the write lane at its end.
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closing_finishes_the_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
