/*
 * parser_test.c: statements and the trees they become, by tables: each row is an SQL text and the
 * dump of its tree (ast_dump.h).
 */
#include "unit/sql/parser_support.h"

/* Goal: every clause of CREATE TABLE arrives in the tree, in both spellings. Method: table. */
static void create_table_is_understood(void **state)
{
    static const parse_case CASES[] = {
        {"CREATE TABLE t (id BIGINT PRIMARY KEY)", "(create-table t (id BIGINT key))"},
        {"CREATE USER TABLE IF NOT EXISTS app.t (id BIGINT PRIMARY KEY AUTO_INCREMENT, v "
         "EMBEDDING(384) NOT NULL COMMENT 'x') FLUSH INTERVAL 300s ROW_THRESHOLD 100 STORAGE local",
         "(create-table user if-not-exists app.t (id BIGINT key auto) (v EMBEDDING(384) not-null "
         "(comment 'x')) (with (flush_policy 'rows:100,interval:300') (storage_id local)))"},
        {"CREATE TABLE t (a INT, b DOUBLE PRECISION, PRIMARY KEY (a,b)) WITH (TYPE='USER', "
         "FLUSH_POLICY='rows:10', ACCESS_LEVEL=PUBLIC) PARTITION BY (a) COMMENT 'hi'",
         "(create-table t (a INT) (b DOUBLE) primary-key(a b) partition-by(a) (comment 'hi') (with "
         "(type 'USER') (flush_policy 'rows:10') (access_level public)))"},
    };
    (void)state;
    check_cases(CASES, KAL_ARRAY_LEN(CASES));
}

static void show_stats_is_understood(void **state)
{
    static const parse_case CASES[] = {
        {"SHOW STATS FOR TABLE t", "(show-stats t)"},
        {"show stats for table \"App\".\"T\"", "(show-stats \"App\".\"T\")"},
    };
    (void)state;
    check_cases(CASES, KAL_ARRAY_LEN(CASES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_table_is_understood),
        cmocka_unit_test(show_stats_is_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
