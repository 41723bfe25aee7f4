#include "unit/engine/parquet_model.h"
#include "types/text.h"
#include "types/widen.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t test_seed(void)
{
    const char *given = getenv("KAL_TEST_SEED");
    return given == NULL ? 1 : strtoull(given, NULL, 10);
}

unsigned test_count(unsigned usual)
{
    const char *given = getenv("KAL_TEST_COUNT");
    return given == NULL ? usual : (unsigned)strtoul(given, NULL, 10);
}

/* ---- the model: a table in memory ---- */

static void world_open_with(world *w, unsigned threads)
{
    const kal_parquet_options options = {KAL_TEST_DUCKDB, (size_t)1024 * 1024 * 1024, threads};
    snprintf(w->directory, sizeof w->directory, "/tmp/kal-parquet-XXXXXX");
    assert_non_null(mkdtemp(w->directory));
    snprintf(w->path, sizeof w->path, "%s/f.parquet", w->directory);
    assert_int_equal(kal_parquet_open(&options, &w->parquet, NULL), KAL_OK);
}

void world_open(world *w)
{
    world_open_with(w, 2);
}

void world_close(world *w)
{
    char command[128];
    kal_parquet_close(w->parquet);
    snprintf(command, sizeof command, "rm -rf '%s'", w->directory);
    assert_int_equal(system(command), 0);
}

void model_init(model *m, uint64_t seed)
{
    *m = (model){0};
    kal_rng_seed(&m->rng, seed);
    kal_arena_init(&m->arena, NULL);
}

void model_release(model *m)
{
    free(m->rows);
    kal_arena_release(&m->arena);
}

/* ---- random values ---- */

static kal_bytes random_text(model *m)
{
    static const char *const PIECES[] = {"a", "Z", "\0", "'", "\"", "ü", "€", "𝄞", " ", "\n", "0"};
    static const size_t LENGTHS[] = {1, 1, 1, 1, 1, 2, 3, 4, 1, 1, 1};
    size_t pieces = kal_rng_chance(&m->rng, 1, 200) ? 20000 : kal_rng_below(&m->rng, 20);
    kal_buf text;

    kal_buf_init(&text, NULL);
    for (size_t i = 0; i < pieces; i++) {
        size_t p = kal_rng_below(&m->rng, KAL_ARRAY_LEN(PIECES));
        kal_buf_append(&text, PIECES[p], LENGTHS[p]);
    }
    kal_bytes copy = kal_arena_copy(&m->arena, kal_buf_bytes(&text));
    kal_buf_release(&text);
    return copy;
}

static kal_bytes random_json(model *m)
{
    static const char *const TEXTS[] = {"null", "{}", "{ \"b\":1,  \"a\" : [1.0,2e5]}",
                                        "\"\\u0000 ü\"", "12345678901234567890.000"};
    return kal_cstr(TEXTS[kal_rng_below(&m->rng, KAL_ARRAY_LEN(TEXTS))]);
}

kal_bytes random_bytes(model *m, size_t len)
{
    uint8_t *bytes = kal_arena_alloc(&m->arena, len);
    kal_rng_fill(&m->rng, bytes, len);
    if (kal_rng_chance(&m->rng, 1, 8))
        memset(bytes, kal_rng_chance(&m->rng, 1, 2) ? 0 : 0xFF, len);
    return kal_bytes_of(bytes, len);
}

static double random_double(kal_rng *rng)
{
    static const double EXTREMES[] = {0.0,     -0.0,     1.0,     -1.0,   INFINITY, -INFINITY,
                                      DBL_MAX, -DBL_MAX, DBL_MIN, 5e-324, 0.1};
    uint64_t bits = kal_rng_next(rng);
    double v;

    switch (kal_rng_below(rng, 4)) {
    case 0:
        memcpy(&v, &bits, sizeof v);
        return v;
    case 1: /* a NaN with something in it */
        bits |= UINT64_C(0x7FF0000000000001);
        memcpy(&v, &bits, sizeof v);
        return v;
    default:
        return EXTREMES[kal_rng_below(rng, KAL_ARRAY_LEN(EXTREMES))];
    }
}

static float random_float(kal_rng *rng)
{
    static const float EXTREMES[] = {0.0F,    -0.0F,    1.0F,    -1.0F,  INFINITY, -INFINITY,
                                     FLT_MAX, -FLT_MAX, FLT_MIN, 1e-45F, 0.1F};
    uint32_t bits = (uint32_t)kal_rng_next(rng);
    float v;

    switch (kal_rng_below(rng, 4)) {
    case 0:
        memcpy(&v, &bits, sizeof v);
        return v;
    case 1:
        bits |= UINT32_C(0x7F800001);
        memcpy(&v, &bits, sizeof v);
        return v;
    default:
        return EXTREMES[kal_rng_below(rng, KAL_ARRAY_LEN(EXTREMES))];
    }
}

static kal_bytes random_embedding(model *m, uint32_t dim)
{
    uint8_t *at = kal_arena_alloc(&m->arena, dim * sizeof(float) + 1);
    at += kal_rng_below(&m->rng, 2); /* at any alignment */
    for (uint32_t i = 0; i < dim; i++) {
        float v = random_float(&m->rng);
        memcpy(at + i * sizeof v, &v, sizeof v);
    }
    return kal_bytes_of(at, dim * sizeof(float));
}

static int64_t random_integer(kal_rng *rng, int64_t min, int64_t max)
{
    switch (kal_rng_below(rng, 5)) {
    case 0:
        return min;
    case 1:
        return max;
    case 2: {
        uint64_t span = (uint64_t)max - (uint64_t)min; /* of all 64 bits: span + 1 is 0 */
        return (int64_t)((uint64_t)min +
                         (span == UINT64_MAX ? kal_rng_next(rng) : kal_rng_below(rng, span + 1)));
    }
    default: {
        int64_t near = (int64_t)kal_rng_below(rng, 2000) - 1000;
        return near < min ? min : near > max ? max : near;
    }
    }
}

static kal_i128 random_decimal(kal_rng *rng, unsigned precision)
{
    kal_i128 bound = kal_pow10(precision);
    kal_i128 v = (kal_i128)((kal_u128)kal_rng_next(rng) << 64 | kal_rng_next(rng));
    switch (kal_rng_below(rng, 4)) {
    case 0:
        return bound - 1;
    case 1:
        return -(bound - 1);
    default:
        return v % bound;
    }
}

static int64_t random_instant(kal_rng *rng)
{
    switch (kal_rng_below(rng, 6)) {
    case 0:
        return INT64_MAX;
    case 1:
        return -INT64_MAX;
    case 2:
        return INT64_MAX - 1;
    case 3:
        return -9223372022400000000L;
    default:
        return 1700000000000000L + (int64_t)kal_rng_below(rng, 100000000) * 1001;
    }
}

kal_value random_value(model *m, kal_type type)
{
    kal_rng *rng = &m->rng;

    switch ((kal_type_tag)type.tag) {
    case KAL_TYPE_BOOLEAN:
        return kal_value_boolean(kal_rng_chance(rng, 1, 2));
    case KAL_TYPE_SMALLINT:
        return kal_value_integer(KAL_TYPE_SMALLINT, random_integer(rng, INT16_MIN, INT16_MAX));
    case KAL_TYPE_INT:
        return kal_value_integer(KAL_TYPE_INT, random_integer(rng, INT32_MIN, INT32_MAX));
    case KAL_TYPE_BIGINT:
        return kal_value_bigint(random_integer(rng, INT64_MIN, INT64_MAX));
    case KAL_TYPE_DATE:
        return kal_value_integer(KAL_TYPE_DATE, random_integer(rng, -INT32_MAX, INT32_MAX));
    case KAL_TYPE_TIME:
        return kal_value_integer(KAL_TYPE_TIME, random_integer(rng, 0, 86400000000));
    case KAL_TYPE_TIMESTAMP:
    case KAL_TYPE_DATETIME:
        return kal_value_integer((kal_type_tag)type.tag, random_instant(rng));
    case KAL_TYPE_DOUBLE:
        return kal_value_double(random_double(rng));
    case KAL_TYPE_FLOAT:
        return kal_value_float(random_float(rng));
    case KAL_TYPE_DECIMAL:
        return kal_value_decimal(type, random_decimal(rng, type.precision));
    case KAL_TYPE_TEXT:
        return kal_value_text(random_text(m));
    case KAL_TYPE_JSON:
    case KAL_TYPE_FILE:
        return kal_value_bytes(type, random_json(m));
    case KAL_TYPE_BYTES:
        return kal_value_bytes(type, random_bytes(m, kal_rng_below(rng, 40)));
    case KAL_TYPE_UUID:
        return kal_value_bytes(type, random_bytes(m, 16));
    case KAL_TYPE_EMBEDDING:
        return kal_value_bytes(type, random_embedding(m, type.dim));
    case KAL_TYPE_NULL:
        break;
    }
    fail();
    return kal_value_null(type);
}

static kal_type random_type(kal_rng *rng)
{
    kal_type_tag tag = (kal_type_tag)(1 + kal_rng_below(rng, KAL_TYPE_TAG_MAX));
    if (tag == KAL_TYPE_EMBEDDING)
        return kal_type_embedding(
            (uint32_t)(kal_rng_chance(rng, 1, 20) ? 1536 : 1 + kal_rng_below(rng, 20)));
    if (tag == KAL_TYPE_DECIMAL) {
        unsigned precision = (unsigned)(1 + kal_rng_below(rng, 38));
        return kal_type_decimal(precision, (unsigned)kal_rng_below(rng, precision + 1));
    }
    return kal_type_of(tag);
}

/* ---- random tables ---- */

void add_column(model *m, const char *name, kal_type type)
{
    m->columns[m->column_count] = (kal_parquet_column){
        .name = kal_cstr(kal_arena_cstr(&m->arena, kal_cstr(name))),
        .type = type,
        .field_id = (uint32_t)(m->column_count * 7 + 3),
    };
    m->column_count++;
}

void random_columns(model *m)
{
    static const char *const ODD[] = {"a b",
                                      "select",
                                      "it's",
                                      "qu\"ote",
                                      "ünï",
                                      "_seq",
                                      "a.b",
                                      "file_index",
                                      "filename",
                                      "rowid",
                                      "{}",
                                      "list",
                                      "element",
                                      "File_Row_Number",
                                      "file_row_number_",
                                      "__duckdb_field_id"};
    size_t count = 1 + kal_rng_below(&m->rng, 10);
    size_t first = kal_rng_below(&m->rng, KAL_ARRAY_LEN(ODD)); /* so that none comes twice */
    for (size_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "c%zu", i);
        const char *odd =
            kal_rng_chance(&m->rng, 1, 2) ? ODD[(first + i) % KAL_ARRAY_LEN(ODD)] : name;
        add_column(m, odd, random_type(&m->rng));
        m->columns[i].not_null = kal_rng_chance(&m->rng, 1, 4);
        m->is_pooled[i] = kal_rng_chance(&m->rng, 1, 2);
        for (size_t p = 0; p < KAL_ARRAY_LEN(m->pool[i]); p++)
            m->pool[i][p] = random_value(m, m->columns[i].type);
    }
}

void random_rows(model *m, size_t count)
{
    m->rows = calloc(count * m->column_count + 1, sizeof *m->rows);
    assert_non_null(m->rows);
    m->row_count = count;
    for (size_t r = 0; r < count; r++) {
        for (size_t c = 0; c < m->column_count; c++) {
            kal_value *v = &m->rows[r * m->column_count + c];
            if (!m->columns[c].not_null && kal_rng_chance(&m->rng, 1, 6))
                *v = kal_value_null(m->columns[c].type);
            else if (m->is_pooled[c])
                *v = m->pool[c][kal_rng_below(&m->rng, KAL_ARRAY_LEN(m->pool[c]))];
            else
                *v = random_value(m, m->columns[c].type);
        }
    }
}

const kal_value *cell(const model *m, size_t row, size_t column)
{
    return &m->rows[row * m->column_count + column];
}

/* ---- writing the model ---- */

kal_status next_rows(void *context, size_t rows_max, kal_value *values, size_t *rows_out,
                     kal_error *err)
{
    model *m = context;
    size_t rows = m->row_count - m->next;

    (void)err;
    if (rows > rows_max)
        rows = rows_max;
    if (rows > 1)
        rows = 1 + kal_rng_below(&m->rng, rows);
    if (rows > 0)
        memcpy(values, cell(m, m->next, 0), rows * m->column_count * sizeof *values);
    m->next += rows;
    *rows_out = rows;
    return KAL_OK;
}

kal_status write_model(world *w, model *m, kal_compression compression, uint32_t group_rows,
                       kal_error *err)
{
    static const uint8_t BINARY[] = {0, 1, 0xFF, '\''};
    const kal_parquet_metadata metadata[] = {
        {kal_cstr("kalam:schema"), kal_cstr("{\"it's\": \"ü\"}")},
        {kal_cstr("it's \"odd\""), kal_bytes_of(BINARY, sizeof BINARY)},
        {kal_cstr("empty"), kal_cstr("")},
    };
    const kal_parquet_write_args args = {
        .path = w->path,
        .columns = m->columns,
        .column_count = m->column_count,
        .compression = compression,
        .row_group_rows = group_rows,
        .metadata = metadata,
        .metadata_count = KAL_ARRAY_LEN(metadata),
    };
    const kal_parquet_source source = {m, next_rows};
    kal_parquet_written written;

    m->next = 0;
    kal_status status = kal_parquet_write(w->parquet, &args, &source, &written, err);
    if (status == KAL_OK)
        assert_int_equal(written.row_count, m->row_count);
    return status;
}

void must_write(world *w, model *m, kal_compression compression, uint32_t group_rows)
{
    kal_error err = KAL_ERROR_INIT;
    if (write_model(w, m, compression, group_rows, &err) != KAL_OK)
        fail_msg("%s", err.message);
}

/* ---- reading it ---- */

void read_all(const model *m, reading *r)
{
    *r = (reading){.column_count = m->column_count};
    for (size_t c = 0; c < m->column_count; c++) {
        r->from[c] = c;
        r->columns[c] =
            (kal_parquet_read_column){m->columns[c].name, m->columns[c].type, m->columns[c].type};
    }
}

static kal_type random_wider(model *m, kal_type type)
{
    kal_type wider = random_type(&m->rng);
    if (type.tag == KAL_TYPE_DECIMAL && type.precision < 38)
        wider = kal_type_decimal(
            type.precision + 1 + (unsigned)kal_rng_below(&m->rng, 38 - type.precision), type.scale);
    return kal_type_widens(type, wider) ? wider : type;
}

void random_reading(model *m, reading *r)
{
    *r = (reading){.few_rows = kal_rng_chance(&m->rng, 1, 2)};
    for (size_t c = 0; c < m->column_count; c++) {
        if (kal_rng_chance(&m->rng, 1, 3))
            continue;
        r->from[r->column_count] = c;
        r->columns[r->column_count++] = (kal_parquet_read_column){
            m->columns[c].name, m->columns[c].type, random_wider(m, m->columns[c].type)};
    }
    size_t filters = kal_rng_below(&m->rng, 3);
    for (size_t f = 0; f < filters; f++) {
        size_t c = kal_rng_below(&m->rng, m->column_count);
        kal_type type = m->columns[c].type;
        if (type.tag == KAL_TYPE_EMBEDDING)
            continue;
        kal_value v = random_value(m, type);
        if (m->row_count > 0 && kal_rng_chance(&m->rng, 2, 3))
            v = *cell(m, kal_rng_below(&m->rng, m->row_count), c); /* may be NULL */
        r->filter_from[r->filter_count] = c;
        r->filters[r->filter_count++] =
            (kal_parquet_filter){m->columns[c].name, (kal_parquet_op)kal_rng_below(&m->rng, 5), v};
    }
}

static bool holds(const kal_parquet_filter *filter, const kal_value *v)
{
    if (v->is_null || filter->value.is_null)
        return false;
    int order = kal_value_compare(v, &filter->value);
    switch (filter->op) {
    case KAL_PARQUET_EQ:
        return order == 0;
    case KAL_PARQUET_GE:
        return order >= 0;
    case KAL_PARQUET_GT:
        return order > 0;
    case KAL_PARQUET_LE:
        return order <= 0;
    case KAL_PARQUET_LT:
        return order < 0;
    }
    return false;
}

static bool is_chosen(const model *m, const reading *r, size_t row)
{
    for (size_t f = 0; f < r->filter_count; f++) {
        if (!holds(&r->filters[f], cell(m, row, r->filter_from[f])))
            return false;
    }
    return true;
}

static void print_value(const char *what, const kal_value *v)
{
    kal_buf text;
    char name[KAL_TYPE_NAME_BYTES];
    kal_buf_init(&text, NULL);
    kal_value_to_text(v, &text);
    print_message("%s %s: %.*s\n", what, kal_type_name(v->type, name),
                  KAL_FMT(kal_buf_bytes(&text)));
    kal_buf_release(&text);
}

static void check_row(const model *m, const reading *r, size_t row, const kal_value *values)
{
    for (size_t c = 0; c < r->column_count; c++) {
        kal_value expected;
        kal_value_widen(cell(m, row, r->from[c]), r->columns[c].type, &expected);
        if (kal_type_equal(values[c].type, r->columns[c].type) &&
            kal_value_identical(&values[c], &expected))
            continue;
        print_value("expected", &expected);
        print_value("read", &values[c]);
        fail_msg("row %zu, column '%.*s'", row, KAL_FMT(r->columns[c].name));
    }
}

kal_status open_reading(world *w, const reading *r, kal_parquet_scan **scan, kal_error *err)
{
    const kal_parquet_scan_args args = {
        .path = w->path,
        .columns = r->columns,
        .column_count = r->column_count,
        .filters = r->filters,
        .filter_count = r->filter_count,
        .few_rows = r->few_rows,
    };
    return kal_parquet_scan_open(w->parquet, &args, scan, err);
}

/* What the file has is what the model has. */
void compare(world *w, model *m, const reading *r)
{
    kal_parquet_scan *scan;
    kal_error err = KAL_ERROR_INIT;
    kal_value *values = calloc(BATCH_MAX * (r->column_count + 1), sizeof *values);
    uint64_t numbers[BATCH_MAX];
    size_t row = 0;
    size_t rows = 0;

    if (open_reading(w, r, &scan, &err) != KAL_OK)
        fail_msg("%s", err.message);
    do {
        size_t rows_max = 1 + kal_rng_below(&m->rng, BATCH_MAX);
        if (kal_parquet_scan_next(scan, rows_max, values, numbers, &rows, &err) != KAL_OK)
            fail_msg("%s", err.message);
        assert_true(rows <= rows_max);
        for (size_t i = 0; i < rows; i++, row++) {
            while (row < m->row_count && !is_chosen(m, r, row))
                row++;
            assert_int_equal(numbers[i], row);
            check_row(m, r, row, values + i * r->column_count);
        }
    } while (rows > 0);
    while (row < m->row_count && !is_chosen(m, r, row))
        row++;
    assert_int_equal(row, m->row_count);
    kal_parquet_scan_close(scan);
    free(values);
}

/* Reads on until the end or an error. */
kal_status read_whatever(world *w, const reading *r, kal_error *err)
{
    kal_parquet_scan *scan = NULL;
    kal_value *values = calloc(BATCH_MAX * (r->column_count + 1), sizeof *values);
    size_t rows = 0;

    kal_status status = open_reading(w, r, &scan, err);
    do {
        if (status == KAL_OK)
            status = kal_parquet_scan_next(scan, BATCH_MAX, values, NULL, &rows, err);
    } while (status == KAL_OK && rows > 0);
    kal_parquet_scan_close(scan);
    free(values);
    return status;
}

void small_model(model *m, size_t rows)
{
    model_init(m, 5);
    add_column(m, "id", kal_type_of(KAL_TYPE_BIGINT));
    add_column(m, "noise", kal_type_of(KAL_TYPE_BYTES));
    random_rows(m, rows);
}
