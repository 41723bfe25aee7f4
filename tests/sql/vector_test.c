/*
 * The functions of vectors in SQL.
 *
 * Goal: COSINE_DISTANCE, L2_DISTANCE and DOT_PRODUCT give the same answers on the fast path and in
 * DuckDB, in every form of their arguments.
 */
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers), cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
