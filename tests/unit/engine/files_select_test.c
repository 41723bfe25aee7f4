/*
 * The SELECT that kal_files(i) stands for.
 *
 * Goal: exactly the files, the columns as the table has them today, and hot rows where there may be
 * some. Method: the texts.
 */
#include "engine/files_select.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { COLUMNS = 5, SHOWN = 3 };

static const kal_engine_file_column OLD[] = {
    {.name = KAL_STR("id"), .type = {KAL_TYPE_INT}},
    {.name = KAL_STR("it's"), .type = {KAL_TYPE_TEXT}},
    {.name = {0}}, /* added since, NULL in old rows */
};
static const kal_engine_file_column NEW[] = {
    {.name = KAL_STR("id"), .type = {KAL_TYPE_BIGINT}},
    {.name = KAL_STR("it's"), .type = {KAL_TYPE_TEXT}},
    {.name = KAL_STR("s"), .type = {KAL_TYPE_SMALLINT}},
};
static const kal_engine_file FILES[] = {
    {.path = "/d/1", .columns = OLD, .seq_name = KAL_STR("_seq"), .version = 1},
    {.path = "/d/it's 2", .columns = NEW, .seq_name = KAL_STR("_seq"), .version = 2},
    {.path = "/d/3", .columns = OLD, .seq_name = KAL_STR("_seq"), .version = 1},
};
static const kal_engine_column TABLE[] = {
    {.name = KAL_STR("id"), .type = {KAL_TYPE_BIGINT}},
    {.name = KAL_STR("name"), .type = {KAL_TYPE_TEXT}}, /* was it's */
    {.name = KAL_STR("s"), .type = {KAL_TYPE_SMALLINT}},
    {.name = KAL_STR("_seq"), .type = {KAL_TYPE_BIGINT}},
    {.name = KAL_STR("_deleted"), .type = {KAL_TYPE_BOOLEAN}},
};

/* Over the first so many files. */
static kal_scan_table over(size_t file_count)
{
    return (kal_scan_table){.table = {.columns = TABLE,
                                      .column_count = COLUMNS,
                                      .hidden_count = COLUMNS - SHOWN,
                                      .files = FILES,
                                      .file_count = file_count}};
}

static void expect(const kal_scan_table *table, kal_files_rows rows, const char *expected)
{
    kal_buf text;

    kal_buf_init(&text, NULL);
    kal_files_select(table, 7, rows, &text);
    kal_buf_append_byte(&text, '\0');
    assert_string_equal((const char *)text.ptr, expected);
    kal_buf_release(&text);
}

#define SELECT_OLD                                                                                 \
    "(SELECT 1::TINYINT AS \"kal k\", CAST(\"id\" AS BIGINT) AS \"id\", \"it's\" AS \"name\", "    \
    "CAST(NULL AS SMALLINT) AS \"s\" FROM kal_parquet(['/d/1'"
#define SELECT_NEW                                                                                 \
    "(SELECT 1::TINYINT AS \"kal k\", \"id\" AS \"id\", \"it's\" AS \"name\", \"s\" AS \"s\" "     \
    "FROM kal_parquet(['/d/it''s 2'"
#define SELECT_HOT                                                                                 \
    "(SELECT 1::TINYINT AS \"kal k\", kal_bounded(\"id\"), \"name\", kal_bounded(\"s\") "          \
    "FROM kal_scan(7))"
#define NAMES "SELECT \"id\", \"name\", \"s\" FROM ("
#define END   "], hive_partitioning = false)"

static void files_of_one_version_are_one_list(void **state)
{
    kal_scan_table table = over(3);

    (void)state;
    expect(&table, KAL_FILES_ALL,
           NAMES SELECT_OLD ", '/d/3'" END ") UNION ALL " SELECT_NEW END "))");
    table = over(1);
    expect(&table, KAL_FILES_ALL, NAMES SELECT_OLD END "))");
}

static void hot_rows_are_read_where_there_may_be_some(void **state)
{
    kal_scan_table table = over(1);

    (void)state;
    expect(&table, KAL_FILES_SOME, NAMES SELECT_OLD END ") UNION ALL " SELECT_HOT ")");
    expect(&table, KAL_FILES_UNBOUNDED,
           NAMES SELECT_OLD END ") UNION ALL (SELECT 1::TINYINT AS \"kal k\", \"id\", \"name\", "
                                "\"s\" FROM kal_scan(7)))");
}

static void hidden_columns_are_read_where_they_are_named(void **state)
{
    kal_scan_table table = over(0);

    (void)state;
    table.shows_hidden = true;
    table.table.files = &FILES[1];
    table.table.file_count = 1;
    expect(&table, KAL_FILES_SOME,
           "SELECT \"id\", \"name\", \"s\", \"_seq\", \"_deleted\" FROM ("
           "(SELECT 1::TINYINT AS \"kal k\", \"id\" AS \"id\", \"it's\" AS \"name\", "
           "\"s\" AS \"s\", \"_seq\" AS \"_seq\", FALSE AS \"_deleted\" "
           "FROM kal_parquet(['/d/it''s 2'" END
           ") UNION ALL (SELECT 1::TINYINT AS \"kal k\", kal_bounded(\"id\"), \"name\", "
           "kal_bounded(\"s\"), kal_bounded(\"_seq\"), \"_deleted\" FROM kal_scan(7)))");
}

static void each_list_has_the_first_rows_in_order(void **state)
{
    static const kal_engine_order ORDER[] = {
        {.column = 2, .descending = true, .nulls = KAL_STR("LAST")}, {.column = 0}};
    kal_scan_table table = over(1);

    (void)state;
    table.table.order = ORDER;
    table.table.order_count = 2;
    table.table.top_rows = 20;
    expect(&table, KAL_FILES_SOME,
           NAMES SELECT_OLD END
           " ORDER BY \"s\" DESC NULLS LAST, \"id\" ASC LIMIT 20) UNION ALL " SELECT_HOT ")");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_one_version_are_one_list),
        cmocka_unit_test(hot_rows_are_read_where_there_may_be_some),
        cmocka_unit_test(hidden_columns_are_read_where_they_are_named),
        cmocka_unit_test(each_list_has_the_first_rows_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
