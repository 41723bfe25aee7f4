/*
 * parquet.c: writing and reading Parquet files: rows a second, and what a point read costs beside
 * plain DuckDB on the same file.
 *
 *   bench_parquet LIBDUCKDB DIRECTORY [THREADS]
 */
#include "engine/parquet.h"
#include "engine/duckdb_api.h"
#include "measure.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 1000000, SMALL_ROWS = 10000, COLUMNS = 8, BATCH = 2048, POINTS = 101 };

static const kal_parquet_column TABLE[COLUMNS] = {
    {{(const uint8_t *)"id", 2}, {.tag = KAL_TYPE_BIGINT}, true, 1},
    {{(const uint8_t *)"a", 1}, {.tag = KAL_TYPE_INT}, false, 2},
    {{(const uint8_t *)"b", 1}, {.tag = KAL_TYPE_DOUBLE}, false, 3},
    {{(const uint8_t *)"ts", 2}, {.tag = KAL_TYPE_TIMESTAMP}, false, 4},
    {{(const uint8_t *)"s", 1}, {.tag = KAL_TYPE_TEXT}, false, 5},
    {{(const uint8_t *)"_shard", 6}, {.tag = KAL_TYPE_BIGINT}, true, 6},
    {{(const uint8_t *)"_user_no", 8}, {.tag = KAL_TYPE_BIGINT}, true, 7},
    {{(const uint8_t *)"_seq", 4}, {.tag = KAL_TYPE_BIGINT}, true, 8},
};

typedef struct rows {
    uint64_t next;
    uint64_t end;
    char texts[BATCH][32];
} rows;

static kal_status next_rows(void *context, size_t rows_max, kal_value *values, size_t *rows_out,
                            kal_error *err)
{
    rows *source = context;
    size_t count = 0;
    (void)err;
    for (; count < rows_max && count < BATCH && source->next < source->end;
         count++, source->next++) {
        kal_value *v = values + count * COLUMNS;
        uint64_t id = source->next;
        uint64_t mixed = id * UINT64_C(0x9E3779B97F4A7C15);
        char *text = source->texts[count];
        memcpy(text, "message number ", 15);
        for (int i = 0; i < 8; i++)
            text[15 + i] = "0123456789abcdef"[mixed >> (32 + 4 * i) & 15];
        v[0] = kal_value_bigint((int64_t)id);
        v[1] = kal_value_integer(KAL_TYPE_INT, (int64_t)(mixed >> 54));
        v[2] = kal_value_double((double)(mixed >> 40) / 100);
        v[3] = kal_value_integer(KAL_TYPE_TIMESTAMP, 1700000000000000 + (int64_t)id * 1013);
        v[4] = kal_value_text(kal_bytes_of(text, 23));
        v[5] = kal_value_bigint((int64_t)(id / 100000));
        v[6] = kal_value_bigint((int64_t)(id / 10000));
        v[7] = kal_value_bigint((int64_t)id + 1);
    }
    *rows_out = count;
    return KAL_OK;
}

static double wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double process_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void must(kal_status status, const kal_error *err)
{
    if (status == KAL_OK)
        return;
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

static void bench_write(kal_parquet *parquet, const char *path, kal_compression compression)
{
    static rows source;
    const kal_parquet_source rows_source = {&source, next_rows};
    const kal_parquet_write_args args = {
        .path = path, .columns = TABLE, .column_count = COLUMNS, .compression = compression};
    kal_error err = KAL_ERROR_INIT;
    kal_parquet_written written;
    double walls[5];
    double cpus[5];

    for (int i = 0; i < 5; i++) {
        source.next = 0;
        source.end = ROWS;
        unlink(path);
        double wall = wall_ns();
        double cpu = process_ns();
        must(kal_parquet_write(parquet, &args, &rows_source, &written, &err), &err);
        walls[i] = wall_ns() - wall;
        cpus[i] = process_ns() - cpu;
    }
    printf("write %-6s %9.0f rows/s, CPU %4.0f ms a million rows\n",
           kal_compression_name(compression), ROWS / (median(walls, 5) / 1e9),
           median(cpus, 5) / 1e6);
}

static uint64_t read_rows(kal_parquet *parquet, const kal_parquet_scan_args *args,
                          kal_value *values)
{
    kal_parquet_scan *scan = NULL;
    kal_error err = KAL_ERROR_INIT;
    uint64_t total = 0;
    size_t count = 0;

    must(kal_parquet_scan_open(parquet, args, &scan, &err), &err);
    do {
        must(kal_parquet_scan_next(scan, BATCH, values, NULL, &count, &err), &err);
        total += count;
    } while (count > 0);
    kal_parquet_scan_close(scan);
    return total;
}

/* What a file costs by itself. */
static void bench_small(kal_parquet *parquet, kal_parquet_scan_args *args, kal_value *values)
{
    static rows source;
    const kal_parquet_source rows_source = {&source, next_rows};
    const kal_parquet_write_args write = {.path = args->path,
                                          .columns = TABLE,
                                          .column_count = COLUMNS,
                                          .compression = KAL_COMPRESSION_ZSTD};
    kal_error err = KAL_ERROR_INIT;
    kal_parquet_written written;
    double writes[21];
    double streams[21];
    double at_once[21];

    args->column_count = 2;
    for (int i = 0; i < 21; i++) {
        source.next = 0;
        source.end = SMALL_ROWS;
        unlink(args->path);
        double start = process_ns();
        must(kal_parquet_write(parquet, &write, &rows_source, &written, &err), &err);
        writes[i] = process_ns() - start;
        for (int k = 0; k < 2; k++) {
            args->few_rows = k == 1;
            start = process_ns();
            if (read_rows(parquet, args, values) != SMALL_ROWS)
                exit(1);
            *(k == 0 ? &streams[i] : &at_once[i]) = process_ns() - start;
        }
    }
    args->few_rows = false;
    printf(
        "a file of %d rows: written in %.2f ms CPU, 2 columns read in %.2f ms, at once in %.2f\n",
        SMALL_ROWS, median(writes, 21) / 1e6, median(streams, 21) / 1e6, median(at_once, 21) / 1e6);
}

static void bench_read(kal_parquet *parquet, kal_parquet_scan_args *args, kal_value *values)
{
    static const size_t WIDTHS[] = {COLUMNS, 1, 0};
    double walls[5];
    for (size_t w = 0; w < KAL_ARRAY_LEN(WIDTHS); w++) {
        args->column_count = WIDTHS[w];
        for (int i = 0; i < 5; i++) {
            double wall = wall_ns();
            if (read_rows(parquet, args, values) != ROWS)
                exit(1);
            walls[i] = wall_ns() - wall;
        }
        printf("read %zu columns %9.0f rows/s\n", WIDTHS[w], ROWS / (median(walls, 5) / 1e9));
    }
}

static void plain_point(const kal_duckdb *api, duckdb_connection connection, const char *path,
                        uint64_t id)
{
    char sql[512];
    duckdb_result result;
    snprintf(sql, sizeof sql, "SELECT id, a, b, ts, s FROM read_parquet('%s') WHERE id = %llu",
             path, (unsigned long long)id);
    if (api->query(connection, sql, &result) != DuckDBSuccess)
        exit(1);
    api->destroy_result(&result);
}

static void bench_point(kal_parquet *parquet, kal_parquet_scan_args *args, kal_value *values,
                        const char *library)
{
    kal_parquet_filter filter = {.name = TABLE[0].name, .op = KAL_PARQUET_EQ};
    kal_duckdb_options options = {1000000000, 1};
    kal_error err = KAL_ERROR_INIT;
    kal_duckdb api;
    duckdb_database database = NULL;
    duckdb_connection connection = NULL;
    double ours[POINTS];
    double plain[POINTS];

    must(kal_duckdb_load(library, &api, &err), &err);
    must(kal_duckdb_open(&api, &options, &database, &err), &err);
    if (api.connect(database, &connection) != DuckDBSuccess)
        exit(1);
    args->column_count = 5;
    args->filters = &filter;
    args->filter_count = 1;
    args->few_rows = true;
    for (uint64_t i = 0; i < POINTS; i++) {
        uint64_t id = i * 9901 % ROWS;
        filter.value = kal_value_bigint((int64_t)id);
        double start = process_ns();
        if (read_rows(parquet, args, values) != 1)
            exit(1);
        ours[i] = process_ns() - start;
        start = process_ns();
        plain_point(&api, connection, args->path, id);
        plain[i] = process_ns() - start;
    }
    double mine = median(ours, POINTS);
    double theirs = median(plain, POINTS);
    printf("point read %.2f ms CPU, plain DuckDB %.2f ms: %.2f of its speed\n", mine / 1e6,
           theirs / 1e6, theirs / mine);
    api.disconnect(&connection);
    api.close(&database);
}

int main(int argc, char **argv)
{
    char path[512];
    kal_parquet *parquet = NULL;
    kal_error err = KAL_ERROR_INIT;
    kal_parquet_read_column columns[COLUMNS];
    kal_value *values = calloc((size_t)BATCH * COLUMNS, sizeof *values);

    if (argc < 3 || values == NULL)
        return 2;
    snprintf(path, sizeof path, "%s/bench.parquet", argv[2]);
    const kal_parquet_options options = {argv[1], 1000000000,
                                         argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1};
    must(kal_parquet_open(&options, &parquet, &err), &err);
    for (int c = KAL_COMPRESSION_NONE; c <= KAL_COMPRESSION_ZSTD; c++)
        bench_write(parquet, path, (kal_compression)c);
    for (size_t c = 0; c < COLUMNS; c++)
        columns[c] = (kal_parquet_read_column){TABLE[c].name, TABLE[c].type, TABLE[c].type};
    kal_parquet_scan_args args = {.path = path, .columns = columns};
    bench_read(parquet, &args, values);
    bench_point(parquet, &args, values, argv[1]);
    args.filter_count = 0;
    bench_small(parquet, &args, values);
    kal_parquet_close(parquet);
    unlink(path);
    free(values);
    return 0;
}
