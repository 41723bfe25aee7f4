/*
 * Parquet files: what was written is read, bit for bit, by random schemas, rows, projections,
 * widenings and filters against a model, also by many threads; extremes of the 17 types; what a
 * plain reader sees. KAL_TEST_SEED chooses another seed, KAL_TEST_COUNT more rounds.
 */
#include "base/thread.h"
#include "types/text.h"
#include "unit/engine/parquet_model.h"
#include "unit/engine/plain_duckdb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_random_files(void **state)
{
    static const uint32_t GROUPS[] = {0, 2048, 4096, 20480, 1, 3000};
    static const kal_compression CODECS[] = {KAL_COMPRESSION_NONE, KAL_COMPRESSION_SNAPPY,
                                             KAL_COMPRESSION_LZ4, KAL_COMPRESSION_ZSTD};
    uint64_t seed = test_seed();
    unsigned count = test_count(40);
    world w;

    (void)state;
    world_open(&w);
    for (unsigned i = 0; i < count; i++, seed++) {
        model m;
        reading r;
        print_message("seed %llu\n", (unsigned long long)seed);
        model_init(&m, seed);
        random_columns(&m);
        random_rows(&m, kal_rng_chance(&m.rng, 1, 8) ? kal_rng_below(&m.rng, 3)
                                                     : kal_rng_below(&m.rng, 7000));
        must_write(&w, &m, CODECS[kal_rng_below(&m.rng, 4)], GROUPS[kal_rng_below(&m.rng, 6)]);
        read_all(&m, &r);
        compare(&w, &m, &r);
        for (int k = 0; k < 6; k++) {
            random_reading(&m, &r);
            compare(&w, &m, &r);
        }
        unlink(w.path);
        model_release(&m);
    }
    world_close(&w);
}

/* ---- extremes, one by one ---- */

/* A column of each type with all its extremes and a NULL, in one file; also as one row group a
 * value, so that statistics are of that value alone. */
static void test_extremes(void **state)
{
    static const char *const JSONS[] = {
        "null",
        "\"\"",
        "1e999",
        "-0",
        "-0.0",
        "1E400",
        "\"\\ud83d\\ude00\"",
        "\"\\u0000\"",
        "\"\\/\"",
        "123456789012345678901234567890123456789012345678901234567890",
        "[[[[[[[[[[]]]]]]]]]]",
        " { \"a\" :  1 }\n",
        "\"\\ud800\"",
        "\"\\udc00x\"",
        "[1,]",
        "NaN",
        "Infinity"};
    world w;
    model m;
    reading r;

    (void)state;
    world_open(&w);
    model_init(&m, 7);
    for (int tag = 1; tag <= KAL_TYPE_TAG_MAX; tag++) {
        kal_type type = tag == KAL_TYPE_DECIMAL     ? kal_type_decimal(38, 19)
                        : tag == KAL_TYPE_EMBEDDING ? kal_type_embedding(3)
                                                    : kal_type_of((kal_type_tag)tag);
        add_column(&m, kal_type_base_name((kal_type_tag)tag), type);
    }
    random_rows(&m, 3000);
    for (size_t i = 0; i < KAL_ARRAY_LEN(JSONS); i++) { /* those that a client can store */
        kal_value *v = &m.rows[(i + 20) * m.column_count + KAL_TYPE_JSON - 1];
        kal_value text = kal_value_text(kal_cstr(JSONS[i]));
        assert_int_equal(m.columns[KAL_TYPE_JSON - 1].type.tag, KAL_TYPE_JSON);
        if (kal_value_cast(&text, m.columns[KAL_TYPE_JSON - 1].type, &m.arena, v, NULL) != KAL_OK)
            *v = kal_value_null(m.columns[KAL_TYPE_JSON - 1].type);
    }
    must_write(&w, &m, KAL_COMPRESSION_ZSTD, 0);
    read_all(&m, &r);
    compare(&w, &m, &r);
    for (int i = 0; i < 100; i++) {
        random_reading(&m, &r);
        compare(&w, &m, &r);
    }
    model_release(&m);
    world_close(&w);
}

/* The largest vectors, and texts of which a chunk cannot hold many, in little memory. */
static void test_large_values(void **state)
{
    enum { TEXT_BYTES = 300 * 1000, ROWS = 2500 };
    const kal_parquet_options options = {KAL_TEST_DUCKDB, (size_t)512 * 1024 * 1024, 1};
    world w;
    model m;
    reading r;

    (void)state;
    world_open(&w);
    kal_parquet_close(w.parquet);
    assert_int_equal(kal_parquet_open(&options, &w.parquet, NULL), KAL_OK);
    for (int round = 0; round < 2; round++) {
        model_init(&m, 11);
        add_column(&m, "id", kal_type_of(KAL_TYPE_BIGINT));
        add_column(&m, "large",
                   round == 0 ? kal_type_embedding(KAL_EMBEDDING_DIM_MAX)
                              : kal_type_of(KAL_TYPE_BYTES));
        m.is_pooled[1] = true;
        for (size_t p = 0; p < KAL_ARRAY_LEN(m.pool[1]); p++)
            m.pool[1][p] = round == 0
                               ? random_value(&m, m.columns[1].type)
                               : kal_value_bytes(m.columns[1].type, random_bytes(&m, TEXT_BYTES));
        random_rows(&m, ROWS);
        must_write(&w, &m, KAL_COMPRESSION_ZSTD, 0);
        read_all(&m, &r);
        compare(&w, &m, &r);
        unlink(w.path);
        model_release(&m);
    }
    world_close(&w);
}

/* ---- what others see ---- */

static void test_plain_reader(void **state)
{
    char sql[1024];
    world w;
    model m;
    plain p;

    (void)state;
    world_open(&w);
    plain_open(&p);
    model_init(&m, 3);
    for (int tag = 1; tag <= KAL_TYPE_TAG_MAX; tag++) {
        char name[8];
        snprintf(name, sizeof name, "c%d", tag);
        add_column(&m, name,
                   tag == KAL_TYPE_DECIMAL     ? kal_type_decimal(10, 2)
                   : tag == KAL_TYPE_EMBEDDING ? kal_type_embedding(3)
                                               : kal_type_of((kal_type_tag)tag));
        m.columns[tag - 1].not_null = true;
    }
    random_rows(&m, 5000);
    must_write(&w, &m, KAL_COMPRESSION_ZSTD, 2048);

    snprintf(sql, sizeof sql, "SELECT column_type FROM (DESCRIBE SELECT * FROM read_parquet('%s'))",
             w.path);
    plain_expect(&p, sql,
                 "BOOLEAN\nINTEGER\nBIGINT\nDOUBLE\nFLOAT\nVARCHAR\nTIMESTAMP\nDATE\n"
                 "TIMESTAMP WITH TIME ZONE\nTIME\nJSON\nBLOB\nFLOAT[]\nUUID\nDECIMAL(10,2)\n"
                 "SMALLINT\nVARCHAR\n");
    snprintf(sql, sizeof sql,
             "SELECT count(*)::VARCHAR || ' ' || count(DISTINCT row_group_id)::VARCHAR FROM "
             "parquet_metadata('%s') WHERE path_in_schema IN ('c2', 'c3', 'c6', 'c7', 'c8', 'c9', "
             "'c16') AND stats_min_value IS NOT NULL AND stats_max_value IS NOT NULL",
             w.path);
    plain_expect(&p, sql, "21 3\n"); /* 7 columns, row groups of 2048, 2048 and 904 rows */
    snprintf(sql, sizeof sql,
             "SELECT string_agg(DISTINCT row_group_num_rows::VARCHAR, ' ' ORDER BY "
             "row_group_num_rows::VARCHAR) FROM parquet_metadata('%s')",
             w.path);
    plain_expect(&p, sql, "2048 904\n");
    snprintf(sql, sizeof sql,
             "SELECT field_id::VARCHAR FROM parquet_schema('%s') WHERE name IN ('c1', 'c2', 'c17')",
             w.path);
    plain_expect(&p, sql, "3\n10\n115\n");
    snprintf(sql, sizeof sql,
             "SELECT decode(key) || '=' || hex(value) FROM parquet_kv_metadata('%s')", w.path);
    plain_expect(&p, sql,
                 "kalam:schema=7B2269742773223A2022C3BC227D\nit's \"odd\"=0001FF27\nempty=\n");
    model_release(&m);
    plain_close(&p);
    world_close(&w);
}

/* ---- threads ---- */

typedef struct worker {
    world w; /* its own path in the shared directory and instance */
    uint64_t seed;
    unsigned rounds;
} worker;

static void work(void *context)
{
    worker *one = context;
    for (unsigned i = 0; i < one->rounds; i++) {
        model m;
        reading r;
        model_init(&m, one->seed + i);
        random_columns(&m);
        random_rows(&m, kal_rng_below(&m.rng, 5000));
        must_write(&one->w, &m, KAL_COMPRESSION_ZSTD, 2048);
        read_all(&m, &r);
        compare(&one->w, &m, &r);
        for (int k = 0; k < 4; k++) {
            random_reading(&m, &r);
            compare(&one->w, &m, &r);
        }
        unlink(one->w.path);
        model_release(&m);
    }
}

static void test_threads(void **state)
{
    enum { WORKERS = 6 };
    pthread_t threads[WORKERS];
    worker workers[WORKERS];
    uint64_t seed = test_seed();
    world w;

    (void)state;
    world_open(&w);
    print_message("seed %llu\n", (unsigned long long)seed);
    for (size_t i = 0; i < WORKERS; i++) {
        workers[i] = (worker){.w = w, .seed = seed + 1000 * i, .rounds = test_count(8)};
        snprintf(workers[i].w.path, sizeof workers[i].w.path, "%s/f%zu", w.directory, i);
        assert_int_equal(kal_thread_start(&threads[i], "worker", 8u << 20, work, &workers[i], NULL),
                         KAL_OK);
    }
    for (size_t i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_files), cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_large_values), cmocka_unit_test(test_plain_reader),
        cmocka_unit_test(test_threads),
    };
    setvbuf(stdout, NULL, _IOLBF, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
