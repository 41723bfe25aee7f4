/*
 * The functions of vectors in SQL, and the nearest vectors.
 *
 * Goal: COSINE_DISTANCE, L2_DISTANCE and DOT_PRODUCT give the same answers on the fast path and in
 * DuckDB, in every form of their arguments; ORDER BY with a LIMIT finds the same rows both ways in
 * a table of any size, and the fast path does it without opening DuckDB. Method: fixed answers; and
 * queries from a grammar and a printed seed over random vectors with ties, NULLs and NaN, run both
 * ways.
 */
#include "unit/base/seed.h"

#include "sql/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Rows as JSON text on one way; the error's message when there is one. */
static void expect_on(test_db *db, kal_path path, const char *sql, const char *params,
                      const char *wanted)
{
    test_reply reply = test_db_query(db, &(test_query){.sql = sql, .params = params, .path = path});
    kal_buf found;
    kal_json_writer w;

    kal_buf_init(&found, NULL);
    kal_json_writer_init(&w, &found);
    if (reply.code != NULL)
        kal_buf_append_cstr(&found, reply.message);
    else
        kal_json_write_tree(reply.rows, &w);
    kal_buf_append_byte(&found, 0);
    if (strcmp((const char *)found.ptr, wanted) != 0)
        fail_msg("%s (%s)\n  found:  %s\n  wanted: %s", sql,
                 path == KAL_PATH_FAST ? "fast path" : "engine", (const char *)found.ptr, wanted);
    kal_buf_release(&found);
    test_reply_release(&reply);
}

static void expect_both(test_db *db, const char *sql, const char *params, const char *wanted)
{
    expect_on(db, KAL_PATH_FAST, sql, params, wanted);
    expect_on(db, KAL_PATH_ENGINE, sql, params, wanted);
}

static void expect_engine(test_db *db, const char *sql, const char *wanted)
{
    expect_on(db, KAL_PATH_ENGINE, sql, NULL, wanted);
}

static test_db *open_table(void)
{
    test_db *db = test_db_open(false);
    test_db_run(db, "CREATE USER TABLE t (k INT PRIMARY KEY, v EMBEDDING(3))");
    test_db_run(db, "INSERT INTO t VALUES (1, '[1, 0, 0]'), (2, '[0, 3, 4]'), (3, NULL), "
                    "(4, '[-2, 0, 0]'), (5, '[0, 0, 0]'), (6, '[nan, 1, 1]'), "
                    "(7, '[-inf, 1, 1]'), (8, '[3e38, 3e38, 3e38]')");
    return db;
}

static void answers(void **state)
{
    (void)state;
    test_db *db = open_table();
    const char *cosine = "[[1,0],[2,1],[3,null],[4,2],[5,1],[6,\"NaN\"],[7,\"NaN\"],"
                         "[8,0.42264974]]";
    const char *l2 = "[[1,0],[2,5.0990195],[3,null],[4,3],[5,1],[6,\"NaN\"],[7,\"Infinity\"],"
                     "[8,\"Infinity\"]]";
    const char *dot = "[[1,1],[2,0],[3,null],[4,-2],[5,0],[6,\"NaN\"],[7,\"-Infinity\"],"
                      "[8,3e+38]]";

    expect_both(db, "SELECT k, COSINE_DISTANCE(v, '[1,0,0]') AS d FROM t ORDER BY k", NULL, cosine);
    expect_both(db, "SELECT k, cosine_distance(v, $1) AS d FROM t ORDER BY k", "[[1,0,0]]", cosine);
    expect_both(db, "SELECT k, L2_DISTANCE(v, '[1,0,0]') AS d FROM t ORDER BY k", NULL, l2);
    expect_both(db, "SELECT k, L2_Distance($1, v) AS d FROM t ORDER BY k", "[\"[1,0,0]\"]", l2);
    expect_both(db, "SELECT k, DOT_PRODUCT('[1, 0, 0]', v) AS d FROM t ORDER BY k", NULL, dot);
    expect_both(db, "SELECT k, dot_product(v, $1) AS d FROM t ORDER BY k", "[[1,0,0]]", dot);
    expect_both(db, "SELECT k, DOT_PRODUCT(v, v) AS d FROM t WHERE k IN (1, 2) ORDER BY k", NULL,
                "[[1,1],[2,25]]");
    expect_both(db, "SELECT k, DOT_PRODUCT(v, NULL) AS d FROM t WHERE k = 1", NULL, "[[1,null]]");
    expect_both(db, "SELECT k, DOT_PRODUCT(v, $1) AS d FROM t WHERE k = 1", "[null]", "[[1,null]]");
    expect_engine(db, "SELECT k, DOT_PRODUCT(v, [1, 0, 0]) AS d FROM t ORDER BY k", dot);
    expect_engine(db, "SELECT L2_DISTANCE('[1, 2]', '[4, 6]') AS d", "[[5]]");
    expect_engine(db, "SELECT L2_DISTANCE([1, 2], [4, 6]) AS d", "[[5]]");
    expect_engine(db, "SELECT L2_DISTANCE([1, NULL], [4, 6]) AS d", "[[null]]");
    expect_engine(db,
                  "SELECT a.k, b.k, L2_DISTANCE(a.v, b.v) FROM t a, t b WHERE a.k = 1 AND b.k = 2",
                  "[[1,2,5.0990195]]");
    expect_engine(db, "SELECT typeof(COSINE_DISTANCE(v, v)) FROM t WHERE k = 1", "[[\"FLOAT\"]]");
    test_db_close(db);
}

static void refusals(void **state)
{
    (void)state;
    test_db *db = open_table();

    expect_both(db, "SELECT k, COSINE_DISTANCE(v, '[1,0]') AS d FROM t", NULL,
                "expected an embedding of 3 numbers, got 2");
    expect_both(db, "SELECT k, COSINE_DISTANCE($1, v) AS d FROM t", "[[1,0,0,0]]",
                "expected an embedding of 3 numbers, got 4");
    expect_both(db, "SELECT k, L2_DISTANCE(v, 'x') AS d FROM t", NULL,
                "'x' is not a valid EMBEDDING(3)");
    expect_both(db, "SELECT k, L2_DISTANCE(v, '[1,x,0]') AS d FROM t", NULL,
                "'x' is not a valid FLOAT");
    expect_engine(db, "SELECT L2_DISTANCE(v, [1, 2]) FROM t",
                  "L2_DISTANCE needs two embeddings of one dimension, got 3 and 2");
    expect_engine(db, "SELECT L2_DISTANCE('[1]', '[1, 2]')",
                  "L2_DISTANCE needs two embeddings of one dimension, got 1 and 2");
    expect_on(db, KAL_PATH_FAST, "SELECT k, DOT_PRODUCT(v, $1) AS d FROM t", "[7]",
              "cannot convert BIGINT to EMBEDDING(3)");
    test_db_run(db, "CREATE USER TABLE two (k INT PRIMARY KEY, v EMBEDDING(3), w EMBEDDING(2))");
    test_db_run(db, "INSERT INTO two VALUES (1, '[1, 2, 3]', '[1, 2]')");
    expect_both(db, "SELECT DOT_PRODUCT(v, w) AS d FROM two", NULL,
                "DOT_PRODUCT needs two embeddings of one dimension, got 3 and 2");
    test_db_close(db);
}

/* ---- the nearest ---- */

enum { NEAREST_ROWS = 3000, NEAREST_DIM = 5, NEAREST_QUERIES = 200 };

/* Small whole numbers, so that many distances are equal; now and then something special. */
static void put_vector(kal_buf *out, kal_rng *rng, const char *quote)
{
    kal_buf_append_cstr(out, quote);
    for (unsigned i = 0; i < NEAREST_DIM; i++) {
        kal_buf_append_cstr(out, i == 0 ? "[" : ", ");
        kal_buf_append_i64_text(out, (int64_t)kal_rng_below(rng, 5) - 2);
        if (kal_rng_below(rng, 3) == 0)
            kal_buf_printf(out, ".%u", (unsigned)kal_rng_below(rng, 100000));
    }
    kal_buf_append_cstr(out, "]");
    kal_buf_append_cstr(out, quote);
}

static void put_cell(kal_buf *out, kal_rng *rng)
{
    switch (kal_rng_below(rng, 20)) {
    case 0:
        kal_buf_append_cstr(out, "NULL");
        return;
    case 1:
        kal_buf_append_cstr(out, "'[nan, 0, 0, 0, 0]'");
        return;
    case 2:
        kal_buf_append_cstr(out, "'[0, 0, 0, 0, 0]'");
        return;
    case 3:
        kal_buf_append_cstr(out, "'[0, 0, inf, 0, 1]'");
        return;
    default:
        put_vector(out, rng, "'");
        return;
    }
}

static test_db *open_nearest(kal_rng *rng)
{
    test_db *db = test_db_open(false);
    kal_buf sql;

    kal_buf_init(&sql, NULL);
    test_db_run(db, "CREATE USER TABLE t (k INT PRIMARY KEY, g INT, name TEXT, v EMBEDDING(5))");
    for (unsigned row = 0; row < NEAREST_ROWS; row++) {
        kal_buf_append_cstr(&sql, row % 500 == 0 ? "INSERT INTO t VALUES " : ", ");
        kal_buf_printf(&sql, "(%u, %u, 'name of %u', ", row, row % 7, row);
        put_cell(&sql, rng);
        kal_buf_append_cstr(&sql, ")");
        if (row % 500 != 499)
            continue;
        kal_buf_append_byte(&sql, 0);
        test_db_run(db, (const char *)sql.ptr);
        kal_buf_clear(&sql);
    }
    kal_buf_release(&sql);
    return db;
}

static const char *const DISTANCES[] = {"COSINE_DISTANCE", "L2_DISTANCE", "DOT_PRODUCT"};

/* The distance is the item d, spelled again, or its number; ties are broken by the key. */
static void make_nearest(kal_buf *sql, kal_rng *rng)
{
    static const char *const WHERES[] = {"",
                                         " WHERE g = 3",
                                         " WHERE g <> 3 AND name LIKE '%1%'",
                                         " WHERE k BETWEEN 100 AND 2900",
                                         " WHERE v IS NOT NULL",
                                         " WHERE L2_DISTANCE(v, $1) < 4.7",
                                         " WHERE COSINE_DISTANCE(v, $1) BETWEEN 0.3 AND 1",
                                         " WHERE k < 0"};
    static const char *const ITEMS[] = {"k", "k, name", "g, v, k"};
    static const char *const ENDS[] = {"", " ASC", " DESC", " NULLS FIRST", " DESC NULLS FIRST"};
    const char *distance = DISTANCES[kal_rng_below(rng, KAL_ARRAY_LEN(DISTANCES))];
    uint64_t spelling = kal_rng_below(rng, 3);

    kal_buf_clear(sql);
    kal_buf_printf(sql, "SELECT %s(v, $1) AS d, %s FROM t%s ORDER BY ", distance,
                   ITEMS[kal_rng_below(rng, KAL_ARRAY_LEN(ITEMS))],
                   WHERES[kal_rng_below(rng, KAL_ARRAY_LEN(WHERES))]);
    if (kal_rng_below(rng, 4) == 0)
        kal_buf_append_cstr(sql, "g DESC, ");
    if (spelling == 0)
        kal_buf_printf(sql, "%s($1, v)", distance);
    else
        kal_buf_append_cstr(sql, spelling == 1 ? "d" : "1");
    kal_buf_printf(sql, "%s, k LIMIT %u", ENDS[kal_rng_below(rng, KAL_ARRAY_LEN(ENDS))],
                   (unsigned)kal_rng_below(rng, kal_rng_below(rng, 4) == 0 ? 4000 : 20));
    if (kal_rng_below(rng, 3) == 0)
        kal_buf_printf(sql, " OFFSET %u", (unsigned)kal_rng_below(rng, 3100));
    kal_buf_append_byte(sql, 0);
}

static kal_bytes rows_text(const test_reply *reply, kal_buf *out)
{
    kal_json_writer w;
    kal_buf_clear(out);
    kal_json_writer_init(&w, out);
    if (reply->rows != NULL)
        kal_json_write_tree(reply->rows, &w);
    return kal_buf_bytes(out);
}

static void compare_nearest(test_db *db, const char *sql, const char *params)
{
    test_reply fast =
        test_db_query(db, &(test_query){.sql = sql, .params = params, .path = KAL_PATH_FAST});
    test_reply engine =
        test_db_query(db, &(test_query){.sql = sql, .params = params, .path = KAL_PATH_ENGINE});
    kal_buf texts[2];

    kal_buf_init(&texts[0], NULL);
    kal_buf_init(&texts[1], NULL);
    if (fast.code != NULL || engine.code != NULL ||
        !kal_bytes_equal(rows_text(&fast, &texts[0]), rows_text(&engine, &texts[1])))
        fail_msg("%s\nparams: %s\nfast:   %.2000s\nengine: %.2000s", sql, params,
                 (const char *)fast.text.ptr, (const char *)engine.text.ptr);
    kal_buf_release(&texts[0]);
    kal_buf_release(&texts[1]);
    test_reply_release(&fast);
    test_reply_release(&engine);
}

static void both_ways_find_the_nearest(void **state)
{
    (void)state;
    kal_rng rng;
    kal_buf sql;
    kal_buf params;

    kal_test_seed(&rng);
    kal_buf_init(&sql, NULL);
    kal_buf_init(&params, NULL);
    test_db *db = open_nearest(&rng);
    for (unsigned i = 0; i < NEAREST_QUERIES; i++) {
        make_nearest(&sql, &rng);
        kal_buf_clear(&params);
        kal_buf_append_cstr(&params, "[");
        put_vector(&params, &rng, "");
        kal_buf_append_cstr(&params, "]");
        kal_buf_append_byte(&params, 0);
        compare_nearest(db, (const char *)sql.ptr, (const char *)params.ptr);
    }
    kal_buf_release(&sql);
    kal_buf_release(&params);
    test_db_close(db);
}

static bool engine_is_open(test_db *db)
{
    return kal_engine_library_version(test_db_exec(db)->engine) != NULL;
}

static void query(test_db *db, const char *sql)
{
    test_reply reply = test_db_query(db, &(test_query){.sql = sql, .params = "[[1, 2, 3, 4, 5]]"});
    if (reply.code != NULL)
        fail_msg("%s: %s", sql, reply.message);
    test_reply_release(&reply);
}

static void without_opening_the_engine(void **state)
{
    (void)state;
    kal_rng rng;
    kal_test_seed(&rng);
    test_db *db = open_nearest(&rng);

    query(db, "SELECT k, name FROM t ORDER BY COSINE_DISTANCE(v, $1) LIMIT 10");
    query(db,
          "SELECT k, L2_DISTANCE(v, $1) AS d FROM t WHERE g = 2 ORDER BY d, k LIMIT 10 OFFSET 5");
    query(db, "SELECT *, DOT_PRODUCT(v, $1) AS score FROM t ORDER BY score DESC LIMIT 3");
    query(db, "SELECT k, v FROM t AS x ORDER BY DOT_PRODUCT($1, x.v) DESC NULLS LAST LIMIT 9999");
    assert_false(engine_is_open(db));
    /* More rows than are kept: DuckDB sorts them. */
    query(db, "SELECT k FROM t ORDER BY L2_DISTANCE(v, $1) LIMIT 9999 OFFSET 2");
    assert_true(engine_is_open(db));
    test_db_close(db);
}

/* An alias stands for its item in ORDER BY only where it can be nothing else. */
static void aliases(void **state)
{
    (void)state;
    test_db *db = test_db_open(false);
    test_db_run(db, "CREATE USER TABLE t (k INT PRIMARY KEY, i INT)");
    test_db_run(db, "INSERT INTO t VALUES (1, 30), (2, 10), (3, 20)");

    expect_both(db, "SELECT k, -i AS d FROM t ORDER BY d", NULL, "[[1,-30],[3,-20],[2,-10]]");
    expect_both(db, "SELECT k, -i AS \"D\" FROM t ORDER BY d LIMIT 1", NULL, "[[1,-30]]");
    expect_both(db, "SELECT *, -i AS d FROM t ORDER BY d LIMIT 1", NULL, "[[1,30,-30]]");
    expect_both(db, "SELECT -i AS d, * FROM t ORDER BY D DESC LIMIT 1", NULL, "[[-10,2,10]]");
    /* DuckDB's to decide, and so it does. */
    expect_on(db, KAL_PATH_AUTO, "SELECT k, -i AS i FROM t ORDER BY i", NULL,
              "[[1,-30],[3,-20],[2,-10]]");
    expect_on(db, KAL_PATH_AUTO, "SELECT k, -i AS _seq FROM t ORDER BY _seq", NULL,
              "[[1,-30],[3,-20],[2,-10]]");
    expect_on(db, KAL_PATH_AUTO, "SELECT k, -i AS d, i AS D FROM t ORDER BY d LIMIT 1", NULL,
              "[[2,-10,10]]");
    expect_on(db, KAL_PATH_AUTO, "SELECT k, i * 2 AS d FROM t WHERE d < 50 ORDER BY d + 1", NULL,
              "[[2,20],[3,40]]");
    expect_on(db, KAL_PATH_AUTO, "SELECT i * 2 AS d, d + 1 AS e FROM t WHERE k = 1", NULL,
              "[[60,61]]");
    expect_on(db, KAL_PATH_AUTO, "SELECT i AS d FROM t WHERE dd < 5", NULL,
              "column 'dd' does not exist in table 'default.t'");
    test_db_close(db);
}

/* One value, not one for the item and another one to sort by. */
static void an_item_is_computed_once(void **state)
{
    (void)state;
    test_db *db = test_db_open(false);
    test_db_run(db, "CREATE USER TABLE t (k INT PRIMARY KEY)");
    test_db_run(db, "INSERT INTO t VALUES (1), (2), (3)");
    test_reply reply = test_db_query(
        db, &(test_query){.sql = "SELECT SNOWFLAKE_ID() AS a, k FROM t ORDER BY a DESC",
                          .path = KAL_PATH_FAST});
    assert_null(reply.code);
    for (size_t i = 0; i < 3; i++) {
        const kal_json *row = &reply.rows->items[i];
        assert_true(kal_bytes_equal(row->items[1].text, kal_cstr(i == 0   ? "3"
                                                                 : i == 1 ? "2"
                                                                          : "1")));
        if (i > 0)
            assert_true(
                kal_bytes_compare(reply.rows->items[i - 1].items[0].text, row->items[0].text) > 0);
    }
    test_reply_release(&reply);
    test_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(refusals),
        cmocka_unit_test(both_ways_find_the_nearest),
        cmocka_unit_test(without_opening_the_engine),
        cmocka_unit_test(aliases),
        cmocka_unit_test(an_item_is_computed_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
