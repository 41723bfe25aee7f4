/*
 * duckdb_queries.c: plain DuckDB as a peer: loads a CSV file into a table of its own, then runs a
 * query each time a line comes on standard input, and prints its wall time and the CPU time of the
 * process in microseconds.
 *
 *   bench_duckdb THREADS CREATE_SQL QUERY
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

/* Fetches every value as text, as a client would read it. */
static unsigned long run(duckdb_connection connection, const char *sql)
{
    duckdb_result result;
    unsigned long bytes = 0;

    if (duckdb_query(connection, sql, &result) != DuckDBSuccess)
        fail(sql, duckdb_result_error(&result));
    idx_t rows = duckdb_row_count(&result);
    idx_t columns = duckdb_column_count(&result);
    for (idx_t r = 0; r < rows; r++) {
        for (idx_t c = 0; c < columns; c++) {
            char *text = duckdb_value_varchar(&result, c, r); /* owned */
            for (const char *p = text; p != NULL && *p != '\0'; p++)
                bytes++;
            duckdb_free(text);
        }
    }
    duckdb_destroy_result(&result);
    return bytes;
}

int main(int argc, char **argv)
{
    duckdb_database database;
    duckdb_connection connection;
    char set[64];
    char line[16];

    if (argc != 4)
        fail("usage", "bench_duckdb THREADS CREATE_SQL QUERY");
    if (duckdb_open(NULL, &database) != DuckDBSuccess ||
        duckdb_connect(database, &connection) != DuckDBSuccess)
        fail("open", "");
    snprintf(set, sizeof set, "SET threads = %s", argv[1]);
    run(connection, set);
    run(connection, argv[2]);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        double wall = seconds(CLOCK_MONOTONIC);
        double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
        run(connection, argv[3]);
        printf("%.0f %.0f\n", (seconds(CLOCK_MONOTONIC) - wall) * 1e6,
               (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e6);
        fflush(stdout);
    }
    duckdb_disconnect(&connection);
    duckdb_close(&database);
    return 0;
}
