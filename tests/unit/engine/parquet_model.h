/*
 * parquet_model.h: a table in memory, random or small, that is written to a Parquet file and
 * compared with what is read of it. For the tests of engine/parquet.h.
 */
#ifndef KAL_TESTS_PARQUET_MODEL_H
#define KAL_TESTS_PARQUET_MODEL_H

#include "base/rng.h"
#include "engine/parquet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { COLUMNS_MAX = 20, BATCH_MAX = 3000 };

typedef struct model {
    kal_rng rng;
    kal_arena arena;
    kal_parquet_column columns[COLUMNS_MAX];
    kal_value pool[COLUMNS_MAX][8]; /* of a column with few values */
    bool is_pooled[COLUMNS_MAX];
    size_t column_count;
    kal_value *rows;
    size_t row_count;
    size_t next; /* of the source */
} model;

typedef struct world {
    char directory[64];
    char path[128];
    kal_parquet *parquet;
} world;

/* Columns of the model to be read, with what they are widened to, and filters. */
typedef struct reading {
    size_t from[COLUMNS_MAX]; /* of the model's columns */
    kal_parquet_read_column columns[COLUMNS_MAX];
    size_t column_count;
    size_t filter_from[4];
    kal_parquet_filter filters[4];
    size_t filter_count;
    bool few_rows;
} reading;

uint64_t test_seed(void);
unsigned test_count(unsigned usual);
void world_open(world *w);
void world_close(world *w);
void model_init(model *m, uint64_t seed);
void model_release(model *m);
kal_value random_value(model *m, kal_type type);
kal_bytes random_bytes(model *m, size_t len);
void add_column(model *m, const char *name, kal_type type);
void random_columns(model *m);
void random_rows(model *m, size_t count);
const kal_value *cell(const model *m, size_t row, size_t column);
kal_status next_rows(void *context, size_t rows_max, kal_value *values, size_t *rows_out,
                     kal_error *err);
kal_status write_model(world *w, model *m, kal_compression compression, uint32_t group_rows,
                       kal_error *err);
void must_write(world *w, model *m, kal_compression compression, uint32_t group_rows);
void read_all(const model *m, reading *r);
void random_reading(model *m, reading *r);
kal_status open_reading(world *w, const reading *r, kal_parquet_scan **scan, kal_error *err);
void compare(world *w, model *m, const reading *r);
kal_status read_whatever(world *w, const reading *r, kal_error *err);
void small_model(model *m, size_t rows);

#endif
