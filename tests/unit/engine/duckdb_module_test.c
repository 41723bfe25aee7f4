/*
 * What DuckDB plans by with kal_parquet(), kal_bounded() and kal_files().
 *
 * Goal: a join over several files, or over files and other rows, looks a dense key up by position;
 * no bounds are told that a value is beyond; a statement is planned once, or with its parameters.
 * Method: DuckDB's log of joins, which counts matches only where it looked up hashes, stats(), and
 * how often it asks; files that DuckDB wrote itself.
 */
#include "unit/engine/plain_duckdb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MATCHES = 2000 }; /* of every join below */

typedef struct fixture {
    plain duckdb;
    char directory[32];
    char files[128]; /* what kal_files() is */
    bool has_parameters;
    unsigned plannings; /* of a statement with kal_files() */
} fixture;

static const char *select_files(void *context, uint64_t connection_id, uint64_t table)
{
    fixture *f = context;
    (void)connection_id;
    f->plannings++;
    return table == 7 ? f->files : NULL;
}

static bool find_file(void *context, uint64_t connection_id, const char *path,
                      const void **found_out)
{
    (void)context, (void)connection_id, (void)path;
    *found_out = NULL;
    return true;
}

static bool has_parameters(void *context, uint64_t connection_id)
{
    const fixture *f = context;
    (void)connection_id;
    return f->has_parameters;
}

static size_t all_live(const void *found, uint64_t first, size_t count, uint32_t *live_out)
{
    (void)found, (void)first, (void)live_out;
    return count;
}

/* @ in the text is the directory. */
static void fill_in(const fixture *f, const char *pattern, char *out, size_t size)
{
    size_t len = 0;
    for (const char *p = pattern; *p != '\0' && len + 1 < size; p++) {
        if (*p == '@')
            len += (size_t)snprintf(out + len, size - len, "%s", f->directory);
        else
            out[len++] = *p;
        assert_true(len < size);
    }
    out[len] = '\0';
}

static void run(fixture *f, const char *pattern)
{
    char sql[1024];
    kal_error err = KAL_ERROR_INIT;
    fill_in(f, pattern, sql, sizeof sql);
    if (kal_duckdb_run(&f->duckdb.api, f->duckdb.connection, sql, &err) != KAL_OK)
        fail_msg("%s", err.message);
}

static void expect(fixture *f, const char *pattern, const char *expected)
{
    char sql[1024];
    fill_in(f, pattern, sql, sizeof sql);
    plain_expect(&f->duckdb, sql, expected);
}

static void open_fixture(fixture *f)
{
    const kal_duckdb_module_ops ops = {
        .duckdb_version = KAL_DUCKDB_VERSION,
        .struct_size = sizeof ops,
        .context = f,
        .select = select_files,
        .has_parameters = has_parameters,
        .find = find_file,
        .live = all_live,
    };
    snprintf(f->directory, sizeof f->directory, "/tmp/kal-bounds-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    plain_open(&f->duckdb);
    assert_int_equal(
        kal_duckdb_register_module(KAL_TEST_DUCKDB_MODULE, f->duckdb.connection, &ops, NULL),
        KAL_OK);
    run(f, "COPY (SELECT (i % 10 + 5)::SMALLINT AS s, (i % 10 + 5)::INT AS n, i % 10 + 5 AS b, "
           "DATE '2026-01-01' AS d FROM range(1000) r(i)) TO '@/probe.parquet'");
    run(f, "COPY (SELECT i::SMALLINT AS s, i::INT AS n, i AS b, i * 2 AS v FROM range(100) r(i)) "
           "TO '@/build.parquet'");
    snprintf(f->files, sizeof f->files, "SELECT b FROM kal_parquet('%s/build.parquet')",
             f->directory);
    run(f, "CALL enable_logging('PhysicalOperator', level = 'debug')");
}

static void close_fixture(fixture *f)
{
    char command[64];
    plain_close(&f->duckdb);
    snprintf(command, sizeof command, "rm -rf '%s'", f->directory);
    assert_int_equal(system(command), 0);
}

/* Joins the rows on a key of each type. */
static void expect_join(fixture *f, const char *probe, const char *build, bool by_position)
{
    static const char *const KEYS[] = {"s", "n", "b"};

    for (size_t i = 0; i < KAL_ARRAY_LEN(KEYS); i++) {
        char sql[1024];
        run(f, "CALL truncate_duckdb_logs()");
        snprintf(sql, sizeof sql,
                 "SELECT (count(*) || ' ' || sum(v))::VARCHAR FROM %s p JOIN %s b ON p.%s = b.%s",
                 probe, build, KEYS[i], KEYS[i]);
        expect(f, sql, "2000 38000\n");
        snprintf(sql, sizeof sql,
                 "SELECT (count(*) FILTER (message LIKE '%%total_probe_matches=%d}%%'))::VARCHAR "
                 "FROM duckdb_logs WHERE message LIKE '%%total_probe_matches%%'",
                 MATCHES);
        expect(f, sql, by_position ? "0\n" : "1\n");
    }
}

#define PROBE_FILES "(['@/probe.parquet', '@/probe.parquet'])"
#define BUILD_FILE  "('@/build.parquet')"
#define NO_ROWS(f)  "SELECT " f("range::SMALLINT") ", " f("range::INT") ", " f("range")
#define AS_IS(x)    x
#define BOUNDED(x)  "kal_bounded(" x ")"
#define MORE(f)                                                                                    \
    "(SELECT s, n, b FROM kal_parquet" PROBE_FILES                                                 \
    " UNION ALL " NO_ROWS(f) " FROM range(random()::INT * 0))"

static void dense_keys_are_looked_up_by_position(void **state)
{
    fixture f = {0};

    (void)state;
    open_fixture(&f);
    expect_join(&f, "kal_parquet" PROBE_FILES, "kal_parquet" BUILD_FILE, true);
    expect_join(&f, MORE(BOUNDED), "kal_parquet" BUILD_FILE, true);
    /* if these are, too, DuckDB does it by itself now */
    expect_join(&f, "read_parquet" PROBE_FILES, "read_parquet" BUILD_FILE, false);
    expect_join(&f, MORE(AS_IS), "kal_parquet" BUILD_FILE, false);
    close_fixture(&f);
}

static void no_bounds_are_told_that_a_value_is_beyond(void **state)
{
    fixture f = {0};

    (void)state;
    open_fixture(&f);
    expect(&f, "SELECT stats(n) FROM kal_parquet('@/probe.parquet') LIMIT 1",
           "[Min: 5, Max: 14][Has Null: false, Has No Null: true]\n");
    expect(&f, "SELECT stats(s) FROM kal_parquet" PROBE_FILES " LIMIT 1",
           "[Min: -32768, Max: 32767][Has Null: true, Has No Null: true]\n");
    expect(&f, "SELECT stats(n) FROM kal_parquet" PROBE_FILES " LIMIT 1",
           "[Min: NULL, Max: NULL][Has Null: true, Has No Null: true]\n");
    expect(&f, "SELECT stats(d) FROM kal_parquet" PROBE_FILES " LIMIT 1",
           "[Min: NULL, Max: NULL][Has Null: true, Has No Null: true]\n");
    expect(&f, "SELECT stats(kal_bounded(x)) FROM (VALUES (1::SMALLINT)) v(x)",
           "[Min: -32768, Max: 32767][Has Null: true, Has No Null: true]\n");
    expect(&f, "SELECT stats(kal_bounded(x)) FROM (VALUES (1::BIGINT)) v(x)",
           "[Min: NULL, Max: NULL][Has Null: true, Has No Null: true]\n");
    close_fixture(&f);
}

/* Also of NULL, of vectors that are constant or a selection, and of other types. */
static void a_bounded_value_is_as_it_is(void **state)
{
    fixture f = {0};

    (void)state;
    open_fixture(&f);
    expect(&f,
           "SELECT (count(*) FILTER (kal_bounded(x) IS NOT DISTINCT FROM x "
           "AND kal_bounded(t) IS NOT DISTINCT FROM t))::VARCHAR "
           "FROM (SELECT nullif(i % 7, 3)::INT AS x, nullif('text ' || i % 5, 'text 2') AS t "
           "FROM range(5000) r(i)) WHERE x IS NULL OR x > 1",
           "3570\n");
    expect(&f, "SELECT typeof(kal_bounded(1::SMALLINT)) || kal_bounded('x') || kal_bounded(7)",
           "SMALLINTx7\n");
    expect(&f, "SELECT coalesce(kal_bounded(NULL::INT), 5)::VARCHAR", "5\n");
    close_fixture(&f);
}

/* Prepared and run once, with 5 for a parameter. */
static void run_prepared(fixture *f, const char *sql, bool has_parameter)
{
    const kal_duckdb *api = &f->duckdb.api;
    duckdb_prepared_statement prepared = NULL; /* owned */
    duckdb_value five = api->create_int64(5);  /* owned */
    duckdb_result result;

    f->plannings = 0;
    f->has_parameters = has_parameter;
    assert_int_equal(api->prepare(f->duckdb.connection, sql, &prepared), DuckDBSuccess);
    if (has_parameter)
        assert_int_equal(api->bind_value(prepared, 1, five), DuckDBSuccess);
    assert_int_equal(api->execute_prepared(prepared, &result), DuckDBSuccess);
    api->destroy_result(&result);
    api->destroy_value(&five);
    api->destroy_prepare(&prepared);
}

/* Of LIMIT $1 DuckDB makes a top-n only when it knows the value. */
static void a_statement_is_planned_once_or_with_its_parameters(void **state)
{
    fixture f = {0};

    (void)state;
    open_fixture(&f);
    run_prepared(&f, "SELECT sum(b) FROM kal_files(7)", false);
    assert_int_equal(f.plannings, 1);
    run_prepared(&f, "SELECT b FROM kal_files(7) ORDER BY b LIMIT $1", true);
    assert_int_equal(f.plannings, 2);
    close_fixture(&f);
}

static void a_table_that_is_not_there_is_an_error(void **state)
{
    fixture f = {0};
    duckdb_result result;

    (void)state;
    open_fixture(&f);
    expect(&f, "SELECT sum(b)::VARCHAR FROM kal_files(7)", "4950\n");
    assert_int_equal(f.duckdb.api.query(f.duckdb.connection, "SELECT * FROM kal_files(8)", &result),
                     DuckDBError);
    assert_non_null(strstr(f.duckdb.api.result_error(&result), "no such table"));
    f.duckdb.api.destroy_result(&result);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_keys_are_looked_up_by_position),
        cmocka_unit_test(no_bounds_are_told_that_a_value_is_beyond),
        cmocka_unit_test(a_bounded_value_is_as_it_is),
        cmocka_unit_test(a_statement_is_planned_once_or_with_its_parameters),
        cmocka_unit_test(a_table_that_is_not_there_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
