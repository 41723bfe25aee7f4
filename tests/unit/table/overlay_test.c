/*
 * overlay_test.c: the changes of a transaction as operations.
 */
#include "unit/table/table_testing.h"

static void rows_of_shared_tables_belong_to_nobody(void **state)
{
    /* Goal: what a user changes in a SHARED table is recorded for user 0, in a USER table for him.
     * Method: one row of each, through an overlay. */
    static const struct {
        kal_table_type type;
        uint64_t user_no;
    } CASES[] = {{KAL_TABLE_SHARED, 0}, {KAL_TABLE_USER, 7}};
    kal_tables_options options = {.sync = true};
    testing_db db;
    kal_buf key; /* owned */

    (void)state;
    kal_buf_init(&key, NULL);
    testing_open(&db, &options);
    for (size_t i = 0; i < KAL_ARRAY_LEN(CASES); i++) {
        kal_error err = KAL_ERROR_INIT;
        kal_table *table = testing_table(&db, i == 0 ? "a" : "b", CASES[i].type);
        kal_value id = kal_value_bigint(1);
        kal_view view;
        kal_overlay *overlay = kal_overlay_open(NULL);
        kal_write *write = kal_write_open(db.tables, NULL);

        kal_view_open(&view, db.tables, 7, overlay);
        testing_ok(
            kal_overlay_put(overlay, &view, table, testing_key(table, 1, &key), NULL, &id, &err),
            &err);
        testing_ok(kal_overlay_into_write(overlay, write, false, &err), &err);
        assert_int_equal(kal_write_op_count(write), 1);
        assert_int_equal(kal_write_op_at(write, 0)->user_no, CASES[i].user_no);
        kal_write_close(write);
        kal_view_close(&view);
        kal_overlay_close(overlay);
    }
    testing_close(&db);
    kal_buf_release(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_shared_tables_belong_to_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
