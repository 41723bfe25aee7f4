/*
 * duckdb_queries.c: plain DuckDB as a peer: makes its tables or views, then runs each line of
 * standard input as a query, and prints its wall time and the CPU time of the process in
 * microseconds, and the first value of the result.
 *
 *   bench_duckdb THREADS CREATE_SQL
 */
#include <duckdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why == NULL ? "" : why);
    exit(1);
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Fetches every value as text, as a client would read it; gives the first one. */
static void run(duckdb_connection connection, const char *sql, char first[64])
{
    duckdb_result result;

    first[0] = '\0';

    if (duckdb_query(connection, sql, &result) != DuckDBSuccess)
        fail(sql, duckdb_result_error(&result));
    idx_t rows = duckdb_row_count(&result);
    idx_t columns = duckdb_column_count(&result);
    for (idx_t r = 0; r < rows; r++) {
        for (idx_t c = 0; c < columns; c++) {
            char *text = duckdb_value_varchar(&result, c, r); /* owned */
            if (r == 0 && c == 0 && text != NULL)
                snprintf(first, 64, "%s", text);
            duckdb_free(text);
        }
    }
    duckdb_destroy_result(&result);
}

int main(int argc, char **argv)
{
    duckdb_database database;
    duckdb_connection connection;
    char set[64];
    char first[64];
    char *line = NULL; /* owned */
    size_t capacity = 0;

    if (argc != 3)
        fail("usage", "bench_duckdb THREADS CREATE_SQL");
    if (duckdb_open(NULL, &database) != DuckDBSuccess ||
        duckdb_connect(database, &connection) != DuckDBSuccess)
        fail("open", "");
    snprintf(set, sizeof set, "SET threads = %s", argv[1]);
    run(connection, set, first);
    run(connection, argv[2], first);
    puts("ready");
    fflush(stdout);
    while (getline(&line, &capacity, stdin) > 0) {
        double wall = seconds(CLOCK_MONOTONIC);
        double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
        run(connection, line, first);
        printf("%.0f %.0f %s\n", (seconds(CLOCK_MONOTONIC) - wall) * 1e6,
               (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e6, first);
        fflush(stdout);
    }
    free(line);
    duckdb_disconnect(&connection);
    duckdb_close(&database);
    return 0;
}
