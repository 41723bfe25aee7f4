/*
 * live_plan_test.c: what a live query says of its result is what the same SELECT answers.
 *
 * Goal: names and types of a plan's items (sql/bind_live.h) are DuckDB's as a reply shows them, and
 * what a plan refuses as wrong is wrong there, too. Method: the same text bound as a live query and
 * run by the engine.
 */
#include "base/assert.h"
#include "sql/bind_live.h"
#include "sql/database.h"
#include "sql/parser.h"
#include "types/duckdb_words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static kal_status bind(test_db *db, const char *sql, kal_arena *arena, kal_live_plan *plan,
                       kal_error *err)
{
    kal_catalog_worker *worker = kal_catalog_worker_open(test_db_exec(db)->catalog); /* owned */
    kal_sql_live *live = KAL_NEW(arena, kal_sql_live);
    kal_binder binder = {.arena = arena};
    kal_table *table = NULL; /* borrowed from the worker */
    kal_status status = kal_sql_parse_live(kal_cstr(sql), arena, live, err);
    if (status == KAL_OK)
        status = kal_catalog_get_table(worker, KAL_STR("app"), live->select.table.name.text, &table,
                                       err);
    if (status == KAL_OK) {
        binder.def = kal_table_definition_copy(table->def, 0, arena);
        status = kal_live_bind(live, &binder, plan, err);
    }
    kal_catalog_worker_close(worker);
    return status;
}

static const char *const RESULTS[] = {
    "SELECT * FROM t",
    "SELECT t.* FROM t",
    "SELECT id, t, _seq FROM t",
    "SELECT x.id, x.t AS Text FROM t x WHERE x.i > 1",
    "SELECT count(*) FROM t",
    "SELECT COUNT(*) FROM t",
    "SELECT count(t), sum(i), sum(s), sum(l), avg(i), min(t), max(da) FROM t",
    "SELECT SUM(de), AVG(de), MIN(de), MAX(de), sum(dx) FROM t",
    "SELECT sum(d), sum(f), avg(d), avg(f), avg(s), avg(l), min(f), max(d) FROM t",
    "SELECT min(b), max(ts), min(dt), max(tm), min(u), max(y), count(j), count(e) FROM t",
    "SELECT count(1) AS one, sum(1) AS s, sum(i + l) AS n, min(t || 'x') AS m FROM t",
    "SELECT sum(de * 2) AS a, avg(de + 1) AS b, sum(i / 2) AS c, max(s + 1) AS d FROM t",
    "SELECT max(name), min(\"value\") AS v, sum(date), min(key), max(year), sum(level) FROM w",
    "SELECT max(type), sum(row_count), min(text), max(role), sum(timestamp), min(first) FROM w",
    "SELECT t, count(*) AS n FROM t GROUP BY t",
    "SELECT i % 10 AS k, count(*) AS n FROM t GROUP BY k",
    "SELECT i % 10 AS k, count(*) AS n FROM t GROUP BY 1 ORDER BY n DESC, k LIMIT 3",
    "SELECT (i % 10) * 2 AS k FROM t GROUP BY i % 10",
    "SELECT j->>'a' AS a, count(*) AS n FROM t GROUP BY j->>'a'",
    "SELECT t, max(i) FROM t GROUP BY t ORDER BY max(i), length(t) LIMIT 1",
    "SELECT length(t) AS n, coalesce(t, 'x') AS c, abs(de) AS a, t LIKE 'a%' AS l FROM t",
    "SELECT CURRENT_USER() AS me, 1 AS one, 1.5 AS x, 'a' AS s, TRUE AS b FROM t",
    "SELECT j->'a' AS a, j->>'b' AS b, NOW() AS now FROM t",
};

static void check_result(test_db *db, const char *sql)
{
    kal_arena arena;
    kal_live_plan plan;
    kal_error err = KAL_ERROR_INIT;
    kal_arena_init(&arena, NULL);
    if (bind(db, sql, &arena, &plan, &err) != KAL_OK)
        fail_msg("%s: %.500s", err.message, sql);
    test_reply reply =
        test_db_query(db, &(test_query){.sql = sql, .ns = "app", .path = KAL_PATH_ENGINE});
    if (reply.code != NULL)
        fail_msg("%s: %.500s", reply.message, sql);
    assert_int_equal(reply.schema->len, plan.item_count);
    for (size_t c = 0; c < plan.item_count; c++) {
        const kal_json *column = &reply.schema->items[c];
        kal_bytes name = kal_json_find(column, "name")->text;
        char theirs[KAL_TYPE_NAME_BYTES];
        char ours[KAL_TYPE_NAME_BYTES];
        kal_type type = {0};
        assert_int_equal(kal_type_from_json(kal_json_find(column, "data_type"), &type, &err),
                         KAL_OK);
        if (!kal_bytes_equal(name, plan.items[c].name) || !kal_type_equal(type, plan.items[c].type))
            fail_msg("item %zu is %.*s %s, the plan says %.*s %s: %.500s", c + 1, KAL_FMT(name),
                     kal_type_name(type, theirs), KAL_FMT(plan.items[c].name),
                     kal_type_name(plan.items[c].type, ours), sql);
    }
    test_reply_release(&reply);
    kal_arena_release(&arena);
}

/* Goal: names and types are those of the reply. */
static void results_are_as_announced(void **state)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(RESULTS); i++)
        check_result(*state, RESULTS[i]);
}

/* Unquoted, to our grammar. No identifier begins with an underscore: hidden columns do. */
static bool may_be_column(const char *word)
{
    kal_arena arena;
    kal_sql_live live;
    kal_error err = KAL_ERROR_INIT;
    kal_arena_init(&arena, NULL);
    const char *sql = kal_arena_printf(&arena, "SELECT max(%s) FROM words", word);
    bool parses = kal_sql_parse_live(kal_cstr(sql), &arena, &live, &err) == KAL_OK;
    parses =
        parses && live.select.items.items[0].expr->call.args.items[0]->kind == KAL_SQL_EXPR_COLUMN;
    kal_arena_release(&arena);
    return parses && word[0] != '_';
}

/* Goal: an aggregate of a column that is called as a word of the grammar is named as DuckDB names
 * it. Method: a table with a column for each word that may be a name. */
static void words_are_named(void **state)
{
    test_db *db = *state;
    kal_buf create;
    kal_buf sql;
    const char *word = NULL;
    unsigned count = 0;
    kal_buf_init(&create, NULL);
    kal_buf_init(&sql, NULL);
    kal_buf_append_cstr(&create, "CREATE USER TABLE app.words (amount INT PRIMARY KEY");
    kal_buf_append_cstr(&sql, "SELECT max(amount)");
    for (size_t i = 0; (word = kal_duckdb_keyword_at(i)) != NULL; i++) {
        if (!may_be_column(word))
            continue;
        kal_buf_printf(&create, ", \"%s\" INT", word);
        kal_buf_printf(&sql, ", max(%s)", word);
        count++;
    }
    kal_buf_append_cstr(&create, ")");
    kal_buf_append_byte(&create, 0);
    kal_buf_append_cstr(&sql, " FROM words");
    kal_buf_append_byte(&sql, 0);
    test_db_run(db, (const char *)create.ptr);
    check_result(db, (const char *)sql.ptr);
    printf("%u words\n", count);
    assert_true(count > 300);
    kal_buf_release(&create);
    kal_buf_release(&sql);
}

/* Goal: what is INVALID_SQL as a live query is an error of the SELECT. Method: table. */
static void what_is_wrong_is_wrong_everywhere(void **state)
{
    static const char *const WRONG[] = {
        "SELECT i, count(*) AS n FROM t",
        "SELECT * FROM t GROUP BY id",
        "SELECT t FROM t GROUP BY t ORDER BY i LIMIT 1",
        "SELECT i, count(*) AS n FROM t GROUP BY n",
        "SELECT i FROM t GROUP BY count(*)",
        "SELECT i FROM t GROUP BY 2",
        "SELECT i + l AS x FROM t GROUP BY i",
        "SELECT nix FROM t",
    };
    test_db *db = *state;
    for (size_t i = 0; i < KAL_ARRAY_LEN(WRONG); i++) {
        kal_arena arena;
        kal_live_plan plan;
        kal_error err = KAL_ERROR_INIT;
        kal_arena_init(&arena, NULL);
        if (bind(db, WRONG[i], &arena, &plan, &err) != KAL_SYNTAX)
            fail_msg("%s: %s %s", WRONG[i], kal_status_name(err.status), err.message);
        test_reply reply = test_db_query(db, &(test_query){.sql = WRONG[i], .ns = "app"});
        if (reply.code == NULL)
            fail_msg("%s is answered", WRONG[i]);
        test_reply_release(&reply);
        kal_arena_release(&arena);
    }
}

static int set_up(void **state)
{
    test_db *db = test_db_open(false);
    test_db_run(db, "CREATE NAMESPACE app");
    test_db_run(db, "CREATE USER TABLE app.t (id BIGINT PRIMARY KEY, b BOOLEAN, s SMALLINT, i INT, "
                    "l BIGINT, d DOUBLE, f FLOAT, t TEXT, de DECIMAL(10,2), dx DECIMAL(38,4), da "
                    "DATE, ts TIMESTAMP, dt DATETIME, tm TIME, u UUID, y BYTES, j JSON, e "
                    "EMBEDDING(2))");
    test_db_run(db,
                "CREATE USER TABLE app.w (id BIGINT PRIMARY KEY, name TEXT, \"value\" INT, date "
                "INT, key TEXT, year INT, level INT, type TEXT, row_count INT, text TEXT, role "
                "TEXT, timestamp INT, first TEXT)");
    *state = db;
    return 0;
}

static int tear_down(void **state)
{
    test_db_close(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_as_announced),
        cmocka_unit_test(words_are_named),
        cmocka_unit_test(what_is_wrong_is_wrong_everywhere),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
