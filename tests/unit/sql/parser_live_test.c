/*
 * parser_live_test.c: live queries as statements and as the text of a subscription, by tables: each
 * row is an SQL text and the dump of its tree, or the error.
 */
#include "unit/sql/parser_support.h"

#include <stdio.h>

/* Goal: all forms of SUBSCRIBE arrive in the tree. Method: table. */
static void subscribe_is_understood(void **state)
{
    static const parse_case CASES[] = {
        {"SUBSCRIBE TO app.t", "(subscribe (select (items *) (from app.t)))"},
        {"subscribe to app.t where a = 1 and b like 'x%' options (last_rows = 10)",
         "(subscribe (select (items *) (from app.t) (where (and (= a 1) (like b 'x%')))) "
         "(last-rows "
         "10))"},
        {"SUBSCRIBE TO t OPTIONS (batch_size=100, from=7, on_slow='Coalesce', hash=true)",
         "(subscribe (select (items *) (from t)) (batch-size 100) (from 7) (on-slow coalesce) "
         "hash)"},
        {"SUBSCRIBE TO t WITH (from_seq_id = 9007199254740992, on_slow = close)",
         "(subscribe (select (items *) (from t)) (from 9007199254740992) (on-slow close))"},
        {"SUBSCRIBE TO SELECT a, b AS c FROM app.t x WHERE x.a > 1 OPTIONS (last_rows = 0)",
         "(subscribe (select (items a b as c) (from app.t as x) (where (> x.a 1))) (last-rows "
         "0))"},
        {"SUBSCRIBE SCHEMA app.t", "(subscribe schema table app.t)"},
        {"SUBSCRIBE SCHEMA app", "(subscribe schema namespace app)"},
        {"SUBSCRIBE SCHEMA * OPTIONS (from = 3)", "(subscribe schema all (from 3))"},
        {"SHOW LIVE QUERIES", "(SHOW LIVE QUERIES)"},
        {"KILL LIVE QUERY 'u-1-t-2'", "(kill-live-query 'u-1-t-2')"},
        {"KILL LIVE QUERY u-1-t-2", "(kill-live-query 'u-1-t-2')"},
        {"KILL LIVE QUERY 17-ab-t-2", "(kill-live-query '17-ab-t-2')"},
        {"EXPLAIN LIVE SELECT a FROM t", "(explain-live (select (items a) (from t)))"},
        {"EXPLAIN SELECT a FROM t", "(EXPLAIN)"},
    };
    (void)state;
    check_cases(CASES, KAL_ARRAY_LEN(CASES));
}

/* Goal: what a live query cannot have is told by name and place. Method: table. */
static void clauses_are_refused_by_name(void **state)
{
    static const char *const REFUSED[][2] = {
        {"SELECT a FROM t JOIN u ON t.a = u.a", "@16: a live query cannot have a JOIN"},
        {"SELECT a FROM t LEFT JOIN u USING (a)", "@16: a live query cannot have a JOIN"},
        {"SELECT a FROM t, u", "@15: a live query cannot have a JOIN"},
        {"WITH x AS (SELECT 1) SELECT * FROM x", "@0: a live query cannot have a WITH"},
        {"SELECT DISTINCT a FROM t", "@7: a live query cannot have a DISTINCT"},
        {"SELECT count(DISTINCT a) FROM t",
         "@13: a live query cannot have an aggregate of DISTINCT values"},
        {"SELECT a FROM t GROUP BY a HAVING a > 1", "@27: a live query cannot have a HAVING"},
        {"SELECT a FROM t UNION SELECT 1", "@16: a live query cannot have a UNION"},
        {"SELECT a FROM t WHERE a IN (SELECT 1)", "@28: a live query cannot have a sub-select"},
        {"SELECT a FROM t WHERE a = (SELECT 1)", "@27: a live query cannot have a sub-select"},
        {"SELECT a FROM (SELECT 1) t", "@14: a live query cannot have a sub-select"},
        {"SELECT a FROM t WHERE exists(SELECT 1)", "@28: a live query cannot have a sub-select"},
        {"SELECT a FROM t ORDER BY a LIMIT 1 OFFSET 2", "@42: a live query cannot have an OFFSET"},
        {"SELECT a FROM t ORDER BY a", "@25: a live query cannot have an ORDER BY without a LIMIT"},
        {"SELECT a FROM t LIMIT 3", "@22: a live query cannot have a LIMIT without an ORDER BY"},
        {"SELECT row_number() OVER () FROM t", "@20: a live query cannot have a window function"},
        {"SELECT count(*) FILTER (WHERE a > 1) FROM t", "@16: a live query cannot have a FILTER"},
        {"SELECT a FROM t GROUP BY ALL", "@25: a live query cannot have a GROUP BY ALL"},
        {"SELECT 1", "@8: expected FROM after the items, got the end of the statement"},
        {"INSERT INTO t VALUES (1)", "@0: expected SELECT, got 'INSERT'"},
        {"SELECT 1 FROM t; SELECT 2 FROM t", "@17: a live query is one statement, the text has 2"},
        {" -- nothing", "@0: a live query is one statement, the text has 0"},
        {"SELECT a FROM t OPTIONS (lastrows = 1)",
         "@25: unknown option 'lastrows' of a live query"},
        {"SELECT a FROM t OPTIONS (last_rows = -1)",
         "@37: option last_rows takes a whole number from 0 to 4294967295"},
        {"SELECT a FROM t OPTIONS (batch_size = 0)",
         "@38: option batch_size takes a whole number from 1 to 4294967295"},
        {"SELECT a FROM t OPTIONS (on_slow = 'wait')",
         "@35: option on_slow is 'pause', 'coalesce' or 'close'"},
        {"SELECT a FROM t OPTIONS (hash = 1)", "@32: option hash is TRUE or FALSE"},
        {"SELECT a FROM t OPTIONS (from = 1, from_seq_id = 2)",
         "@35: option 'from' is given twice"},
        {"SUBSCRIBE t", "@10: expected TO or SCHEMA after SUBSCRIBE, got 't'"},
        {"SUBSCRIBE SCHEMA a.b.c", "@20: a table is named [namespace.]table, got a third part"},
    };
    (void)state;
    size_t wrong = 0;
    for (size_t i = 0; i < KAL_ARRAY_LEN(REFUSED); i++) {
        kal_arena arena;
        kal_sql_live live;
        kal_error err = KAL_ERROR_INIT;
        char got[KAL_ERROR_MESSAGE_BYTES + 32];
        kal_arena_init(&arena, NULL);
        kal_status status = kal_sql_parse_live(kal_cstr(REFUSED[i][0]), &arena, &live, &err);
        snprintf(got, sizeof got, "@%lld: %s", (long long)err.position, err.message);
        bool is_distinct = strstr(REFUSED[i][1], "aggregate of DISTINCT") != NULL;
        if (status != (is_distinct ? KAL_UNSUPPORTED : KAL_SYNTAX) ||
            strcmp(got, REFUSED[i][1]) != 0) {
            print_error("%s\n  expected %s\n  got      %s %s\n", REFUSED[i][0], REFUSED[i][1],
                        kal_status_name(status), got);
            wrong++;
        }
        kal_arena_release(&arena);
    }
    assert_int_equal(wrong, 0);
}

/* Goal: the text of a subscription, with everything it can have, becomes its parts. */
static void live_text_is_understood(void **state)
{
    static const struct {
        const char *sql;
        const char *text;
        size_t groups;
        size_t orders;
    } CASES[] = {
        {"SELECT * FROM app.t WHERE a = CURRENT_USER();",
         "SELECT * FROM app.t WHERE a = CURRENT_USER()", 0, 0},
        {"  SELECT kind, count(*) AS n, sum(x) AS s FROM t GROUP BY kind, 1, x + 1 ORDER BY n DESC "
         "NULLS LAST, kind LIMIT 10 OPTIONS (last_rows = 3) ;",
         "SELECT kind, count(*) AS n, sum(x) AS s FROM t GROUP BY kind, 1, x + 1 ORDER BY n DESC "
         "NULLS LAST, kind LIMIT 10",
         3, 2},
        {"SELECT t.*, data->>'n' AS n FROM t options", "SELECT t.*, data->>'n' AS n FROM t options",
         0, 0},
        {"SUBSCRIBE TO app.t WHERE a > 1 OPTIONS (last_rows = 1)",
         "SELECT * FROM app.t WHERE a > 1", 0, 0},
        {"SUBSCRIBE SCHEMA app.t WITH (from = 2);", "SUBSCRIBE SCHEMA app.t", 0, 0},
        {"SUBSCRIBE TO SELECT a FROM t WHERE a = $3", "SELECT a FROM t WHERE a = $3", 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < KAL_ARRAY_LEN(CASES); i++) {
        kal_arena arena;
        kal_sql_live live;
        kal_error err = KAL_ERROR_INIT;
        kal_arena_init(&arena, NULL);
        kal_status status = kal_sql_parse_live(kal_cstr(CASES[i].sql), &arena, &live, &err);
        if (status != KAL_OK)
            fail_msg("%s: %s", CASES[i].sql, err.message);
        char *text = kal_arena_cstr(&arena, live.text);
        assert_string_equal(text, CASES[i].text);
        assert_int_equal(live.group_by.count, CASES[i].groups);
        assert_int_equal(live.select.order_by_count, CASES[i].orders);
        assert_int_equal(live.param_max, strstr(CASES[i].sql, "$3") != NULL ? 3 : 0);
        kal_arena_release(&arena);
    }
}

/* Goal: a budget that is too small ends with LIMIT at every allocation, nothing else. */
static void memory_is_bounded(void **state)
{
    static const char SQL[] =
        "SUBSCRIBE TO SELECT kind, count(*) AS n FROM app.t WHERE a IN (1, 2) "
        "GROUP BY kind ORDER BY n LIMIT 3 OPTIONS (last_rows = 1)";
    (void)state;
    bool done = false;
    for (size_t limit = 0; !done; limit += 512) {
        kal_budget budget;
        kal_arena arena;
        kal_sql_live live;
        kal_error err = KAL_ERROR_INIT;
        kal_budget_init(&budget, NULL, limit);
        kal_arena_init(&arena, &budget);
        kal_status status = kal_sql_parse_live(kal_cstr(SQL), &arena, &live, &err);
        assert_true(status == KAL_OK || status == KAL_LIMIT);
        done = status == KAL_OK;
        kal_arena_release(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subscribe_is_understood),
        cmocka_unit_test(clauses_are_refused_by_name),
        cmocka_unit_test(live_text_is_understood),
        cmocka_unit_test(memory_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
