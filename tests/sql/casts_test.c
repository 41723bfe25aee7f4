/*
 * The type names of casts: those of the dialect mean in a SELECT what they mean in CREATE TABLE,
 * whether DuckDB knows them or not.
 */
#include "base/assert.h"
#include "sql/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int set_up(void **state)
{
    test_db *db = test_db_open(false);
    test_db_run(db, "CREATE NAMESPACE app");
    test_db_run(db,
                "CREATE TABLE app.t (id INT PRIMARY KEY, a TEXT, datetime TEXT, e EMBEDDING(2))");
    test_db_run(db, "INSERT INTO app.t VALUES (1, '2024-02-29 13:14:15', 'x', '[1, 0]')");
    *state = db;
    return 0;
}

static int tear_down(void **state)
{
    test_db_close(*state);
    return 0;
}

/* Goal: names that DuckDB does not know or takes for another type are ours in every form of a cast,
 * and the same words as names of columns, fields and in texts stay what they are. Method: typeof()
 * of each form. */
static void test_names(void **state)
{
    static const struct {
        const char *expression;
        const char *type;
    } CASES[] = {
        {"CAST(a AS DATETIME)", "TIMESTAMP WITH TIME ZONE"},
        {"CAST ( a AS\n-- remark\n DateTime )", "TIMESTAMP WITH TIME ZONE"},
        {"a::DATETIME", "TIMESTAMP WITH TIME ZONE"},
        {"a :: /* remark */ datetime", "TIMESTAMP WITH TIME ZONE"},
        {"TRY_CAST(a AS DATETIME)", "TIMESTAMP WITH TIME ZONE"},
        {"TRY_CAST('nothing' AS DATETIME)", "TIMESTAMP WITH TIME ZONE"},
        {"DATETIME '2024-02-29 13:14:15'", "TIMESTAMP WITH TIME ZONE"},
        {"datetime /* remark */ '2024-02-29'", "TIMESTAMP WITH TIME ZONE"},
        {"CAST(a AS TIMESTAMP)", "TIMESTAMP"},
        {"TIMESTAMP '2024-02-29 13:14:15'", "TIMESTAMP"},
        {"a::TIMESTAMP::DATETIME::DATE", "DATE"},
        {"CAST(CAST(a AS DATETIME) AS TIMESTAMP)", "TIMESTAMP"},
        {"CAST([a] AS DATETIME[])", "TIMESTAMP WITH TIME ZONE[]"},
        {"[a]::DATETIME[1]", "TIMESTAMP WITH TIME ZONE[1]"},
        {"CAST({'datetime': a} AS STRUCT(datetime DATETIME))",
         "STRUCT(datetime TIMESTAMP WITH TIME ZONE)"},
        {"{'datetime': a}::STRUCT(datetime TIMESTAMP)", "STRUCT(datetime TIMESTAMP)"},
        {"CAST(CASE WHEN a = 'AS DATETIME' THEN a ELSE (SELECT max(a) AS datetime FROM app.t) END "
         "AS DATETIME)",
         "TIMESTAMP WITH TIME ZONE"},
        {"(SELECT a AS datetime FROM app.t)", "VARCHAR"},
        {"datetime", "VARCHAR"},
        {"t.datetime", "VARCHAR"},
        {"CAST(datetime AS TEXT)", "VARCHAR"},
        {"'CAST(a AS DATETIME)'", "VARCHAR"},
        {"CAST('abc' AS BYTES)", "BLOB"},
        {"a::bytes", "BLOB"},
        {"TRY_CAST(a AS BYTES)", "BLOB"},
        {"CAST([1, 2] AS EMBEDDING(2))", "FLOAT[2]"},
        {"[1, 2, 3] :: embedding ( 3 )", "FLOAT[3]"},
        {"CAST([[1, 2]] AS EMBEDDING(2)[])", "FLOAT[2][]"},
        {"CAST(e AS EMBEDDING(2))", "FLOAT[2]"},
    };
    test_db *db = *state;
    char sql[512];
    char rows[128];
    for (size_t i = 0; i < KAL_ARRAY_LEN(CASES); i++) {
        snprintf(sql, sizeof sql, "SELECT typeof(%s) FROM app.t", CASES[i].expression);
        snprintf(rows, sizeof rows, "[[\"%s\"]]", CASES[i].type);
        test_db_expect(db, NULL, sql, rows);
    }
    test_db_expect(db, NULL,
                   "SELECT a::DATETIME AS datetime FROM app.t WHERE a::DATETIME > "
                   "DATETIME '2024-02-29 13:14:14'",
                   "[[1709212455000000]]");
}

/* Goal: one literal, one answer: the own evaluator and DuckDB agree on what a cast to each type
 * gives. Method: literals that fit, by both ways, with the types of the reply. */
static void test_both_ways(void **state)
{
    static const char *const CASTS[] = {
        "CAST('2024-02-29 13:14:15' AS DATETIME)",
        "CAST('2024-02-29 13:14:15' AS TIMESTAMP)",
        "CAST('2024-02-29' AS DATE)",
        "CAST('13:14:15' AS TIME)",
        "CAST('12' AS SMALLINT)",
        "CAST('12.50' AS DECIMAL(5, 2))",
        "CAST('abc' AS BYTES)",
        "'2024-02-29 13:14:15+02:00'::DATETIME",
    };
    char sql[256];
    unsigned compared = 0;
    for (size_t i = 0; i < KAL_ARRAY_LEN(CASTS); i++) {
        snprintf(sql, sizeof sql, "SELECT %s AS r FROM app.t WHERE id = 1", CASTS[i]);
        test_reply fast = test_db_query(*state, &(test_query){.sql = sql, .path = KAL_PATH_FAST});
        test_reply engine =
            test_db_query(*state, &(test_query){.sql = sql, .path = KAL_PATH_ENGINE});
        assert_null(engine.code);
        if (fast.code == NULL) {
            const kal_bytes a = kal_json_find(&fast.schema->items[0], "data_type")->text;
            const kal_bytes b = kal_json_find(&engine.schema->items[0], "data_type")->text;
            if (!kal_bytes_equal(a, b) || !kal_bytes_equal(fast.rows->items[0].items[0].text,
                                                           engine.rows->items[0].items[0].text))
                fail_msg("%s\n%.*s\n%.*s", sql, KAL_FMT(fast.text), KAL_FMT(engine.text));
            compared++;
        } else {
            assert_string_equal(fast.code, "UNSUPPORTED");
        }
        test_reply_release(&fast);
        test_reply_release(&engine);
    }
    assert_true(compared >= KAL_ARRAY_LEN(CASTS) / 2);
}

/* Goal: what is no type is refused with its name and place. Method: one of each. */
static void test_refused(void **state)
{
    test_db *db = *state;
    test_db_expect_error(db, NULL, "SELECT CAST(a AS NOTHING) FROM app.t", "UNSUPPORTED",
                         "nothing");
    test_db_expect_error(db, NULL, "SELECT CAST(e AS EMBEDDING) FROM app.t", "INVALID_SQL",
                         "EMBEDDING");
    test_db_expect_error(db, NULL, "SELECT e::EMBEDDING(0) FROM app.t", "INVALID_SQL", "dimension");
    test_db_expect_error(db, NULL, "SELECT e::EMBEDDING(99999) FROM app.t", "INVALID_SQL",
                         "dimension");
    test_db_expect_error(db, NULL, "SELECT e::EMBEDDING(3) FROM app.t", "INVALID_INPUT", "");
    test_db_expect_error(db, NULL, "SELECT a::app.BYTES FROM app.t", "UNSUPPORTED", "bytes");
    test_db_expect_error(db, NULL, "SELECT 'no time'::DATETIME AS r FROM app.t", "INVALID_INPUT",
                         "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
