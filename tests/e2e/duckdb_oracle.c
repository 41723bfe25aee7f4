/*
 * duckdb_oracle: runs the statements given as arguments in one plain in-memory DuckDB and prints
 * the rows of the last one as a JSON array of arrays of texts; NULL is null.
 */
#include <duckdb.h>
#include <stdio.h>
#include <stdlib.h>

static void fail(const char *what, const char *detail)
{
    fprintf(stderr, "%s: %s\n", what, detail == NULL ? "" : detail);
    exit(1);
}

static void print_text(const char *text)
{
    putchar('"');
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else if (*c < 0x20)
            printf("\\u%04x", *c);
        else
            putchar(*c);
    }
    putchar('"');
}

static void print_rows(duckdb_result *result)
{
    idx_t columns = duckdb_column_count(result);
    idx_t rows = duckdb_row_count(result);

    putchar('[');
    for (idx_t r = 0; r < rows; r++) {
        printf("%s[", r == 0 ? "" : ",\n");
        for (idx_t c = 0; c < columns; c++) {
            char *text = duckdb_value_varchar(result, c, r);
            fputs(c == 0 ? "" : ",", stdout);
            if (text == NULL)
                fputs("null", stdout);
            else
                print_text(text);
            duckdb_free(text);
        }
        putchar(']');
    }
    puts("]");
}

int main(int argc, char **argv)
{
    duckdb_database db;
    duckdb_connection connection;

    if (duckdb_open(NULL, &db) != DuckDBSuccess || duckdb_connect(db, &connection) != DuckDBSuccess)
        fail("cannot open DuckDB", NULL);
    for (int i = 1; i < argc; i++) {
        duckdb_result result;
        if (duckdb_query(connection, argv[i], &result) != DuckDBSuccess)
            fail(argv[i], duckdb_result_error(&result));
        if (i == argc - 1)
            print_rows(&result);
        duckdb_destroy_result(&result);
    }
    duckdb_disconnect(&connection);
    duckdb_close(&db);
    return 0;
}
