/*
 * parquet_vectors.c: values to and from DuckDB's vectors, a column at a time.
 *
 * The type is looked at once for a column, and no function of the library is called for a value:
 * a million rows of eight columns are eight million values.
 */
#include "base/assert.h"
#include "engine/parquet_internal.h"
#include "types/widen.h"

#define VALUE(cells, r) (&(cells).values[(r) * (cells).stride])

/* ---- to a vector ---- */

/* Marks the NULLs; false: there is one that must not be. */
static bool store_nulls(const kal_duckdb *api, duckdb_vector vector, size_t start, bool not_null,
                        kal_parquet_cells cells)
{
    uint64_t *validity = NULL;
    for (size_t r = 0; r < cells.rows; r++) {
        if (!VALUE(cells, r)->is_null)
            continue;
        if (not_null)
            return false;
        if (validity == NULL) {
            api->vector_ensure_validity_writable(vector);
            validity = api->vector_get_validity(vector);
        }
        validity[(start + r) / 64] &= ~(UINT64_C(1) << ((start + r) % 64));
    }
    return true;
}

/* The loop over one kind of value; a NULL leaves its place as it is. */
#define STORE_EACH(ctype, expression)                                                              \
    do {                                                                                           \
        ctype *to = (ctype *)data + start;                                                         \
        for (size_t r = 0; r < cells.rows; r++) {                                                  \
            const kal_value *v = VALUE(cells, r);                                                  \
            if (!v->is_null)                                                                       \
                to[r] = (ctype)(expression);                                                       \
        }                                                                                          \
    } while (0)

static duckdb_hugeint hugeint_of(kal_i128 v)
{
    return (duckdb_hugeint){.lower = (uint64_t)v, .upper = (int64_t)(v >> 64)};
}

static void store_decimals(void *data, size_t start, unsigned precision, kal_parquet_cells cells)
{
    if (precision <= 4) {
        STORE_EACH(int16_t, v->decimal);
    } else if (precision <= 9) {
        STORE_EACH(int32_t, v->decimal);
    } else if (precision <= 18) {
        STORE_EACH(int64_t, v->decimal);
    } else {
        STORE_EACH(duckdb_hugeint, hugeint_of(v->decimal));
    }
}

/* Up to 12 bytes stand in the vector, of more it has the first four and a pointer. */
static duckdb_string_t string_of(kal_bytes bytes, kal_arena *arena)
{
    duckdb_string_t string = {0};
    uint32_t len = (uint32_t)bytes.len;

    KAL_ASSERT(bytes.len <= UINT32_MAX);
    if (len <= sizeof string.value.inlined.inlined) {
        string.value.inlined.length = len;
        if (len > 0)
            memcpy(string.value.inlined.inlined, bytes.ptr, len);
        return string;
    }
    char *copy = (char *)(uintptr_t)kal_arena_copy(arena, bytes).ptr;
    string.value.pointer.length = len;
    memcpy(string.value.pointer.prefix, copy, sizeof string.value.pointer.prefix);
    string.value.pointer.ptr = copy;
    return string;
}

/* Lists, whose numbers are one after the other in the child. */
static void store_embeddings(const kal_duckdb *api, duckdb_vector vector, size_t start,
                             uint32_t dim, kal_parquet_cells cells)
{
    uint64_t count = start == 0 ? 0 : api->list_vector_get_size(vector);

    api->list_vector_reserve(vector, count + cells.rows * dim); /* may move the numbers */
    duckdb_list_entry *lists = api->vector_get_data(vector);
    float *numbers = api->vector_get_data(api->list_vector_get_child(vector));
    for (size_t r = 0; r < cells.rows; r++) {
        const kal_value *v = VALUE(cells, r);
        lists[start + r] = (duckdb_list_entry){.offset = count, .length = v->is_null ? 0 : dim};
        if (v->is_null)
            continue;
        KAL_ASSERT(v->bytes.len == dim * sizeof(float));
        memcpy(numbers + count, v->bytes.ptr, v->bytes.len);
        count += dim;
    }
    api->list_vector_set_size(vector, count);
}

bool kal_parquet_store(const kal_duckdb *api, duckdb_vector vector, size_t start,
                       const kal_parquet_column *column, kal_parquet_cells cells, kal_arena *arena)
{
    if (!store_nulls(api, vector, start, column->not_null, cells))
        return false;
    if (column->type.tag == KAL_TYPE_EMBEDDING) {
        store_embeddings(api, vector, start, column->type.dim, cells);
        return true;
    }
    void *data = api->vector_get_data(vector);
    switch ((kal_type_tag)column->type.tag) {
    case KAL_TYPE_BOOLEAN:
        STORE_EACH(bool, v->boolean);
        return true;
    case KAL_TYPE_SMALLINT:
        STORE_EACH(int16_t, v->integer);
        return true;
    case KAL_TYPE_INT:
    case KAL_TYPE_DATE:
        STORE_EACH(int32_t, v->integer);
        return true;
    case KAL_TYPE_BIGINT:
    case KAL_TYPE_TIMESTAMP:
    case KAL_TYPE_DATETIME:
    case KAL_TYPE_TIME:
        STORE_EACH(int64_t, v->integer);
        return true;
    case KAL_TYPE_DOUBLE:
        STORE_EACH(double, v->f64);
        return true;
    case KAL_TYPE_FLOAT:
        STORE_EACH(float, v->f32);
        return true;
    case KAL_TYPE_DECIMAL:
        store_decimals(data, start, column->type.precision, cells);
        return true;
    case KAL_TYPE_UUID:
        STORE_EACH(duckdb_hugeint, kal_duckdb_uuid(v->bytes));
        return true;
    case KAL_TYPE_TEXT:
    case KAL_TYPE_JSON:
    case KAL_TYPE_FILE:
    case KAL_TYPE_BYTES:
        STORE_EACH(duckdb_string_t, string_of(v->bytes, arena));
        return true;
    case KAL_TYPE_EMBEDDING:
    case KAL_TYPE_NULL:
        break;
    }
    kal_assert_fail("a stored column has one of the 17 types", __FILE__, __LINE__);
}

/* ---- from a vector ---- */

/* The loop over one kind of value: `expression` makes it of from[r]. */
#define LOAD_EACH(ctype, expression)                                                               \
    do {                                                                                           \
        const ctype *from = (const ctype *)data + start;                                           \
        for (size_t r = 0; r < cells.rows; r++)                                                    \
            *VALUE(cells, r) = kal_duckdb_is_valid(validity, start + r) ? (expression) : null;     \
    } while (0)

static kal_value integer_of(kal_type type, int64_t v)
{
    return (kal_value){.type = type, .integer = v};
}

static kal_i128 i128_of(duckdb_hugeint v)
{
    return (kal_i128)((kal_u128)(uint64_t)v.upper << 64 | v.lower);
}

static void load_decimals(const void *data, const uint64_t *validity, size_t start, kal_type type,
                          kal_parquet_cells cells)
{
    const kal_value null = kal_value_null(type);
    if (type.precision <= 4)
        LOAD_EACH(int16_t, kal_value_decimal(type, from[r]));
    else if (type.precision <= 9)
        LOAD_EACH(int32_t, kal_value_decimal(type, from[r]));
    else if (type.precision <= 18)
        LOAD_EACH(int64_t, kal_value_decimal(type, from[r]));
    else
        LOAD_EACH(duckdb_hugeint, kal_value_decimal(type, i128_of(from[r])));
}

static kal_bytes bytes_of(const duckdb_string_t *string)
{
    uint32_t len = string->value.inlined.length;
    return kal_bytes_of(len <= sizeof string->value.inlined.inlined ? string->value.inlined.inlined
                                                                    : string->value.pointer.ptr,
                        len);
}

static kal_status no_memory(kal_error *err)
{
    return kal_error_set(err, KAL_LIMIT, "rows of a Parquet file exceed the statement's memory");
}

static kal_status load_uuids(const duckdb_hugeint *from, const uint64_t *validity, size_t start,
                             kal_parquet_cells cells, kal_arena *arena, kal_error *err)
{
    kal_type type = kal_type_of(KAL_TYPE_UUID);
    uint8_t *to = kal_arena_try_array(arena, cells.rows, 16);

    if (to == NULL)
        return no_memory(err);
    for (size_t r = 0; r < cells.rows; r++, to += 16) {
        if (!kal_duckdb_is_valid(validity, start + r)) {
            *VALUE(cells, r) = kal_value_null(type);
            continue;
        }
        kal_store_be64(to, (uint64_t)from[start + r].upper ^ (UINT64_C(1) << 63));
        kal_store_be64(to + 8, from[start + r].lower);
        *VALUE(cells, r) = kal_value_bytes(type, kal_bytes_of(to, 16));
    }
    return KAL_OK;
}

bool kal_parquet_all_valid(const uint64_t *validity, uint64_t start, size_t count)
{
    for (size_t i = 0; validity != NULL && i < count; i++) {
        if (!kal_duckdb_is_valid(validity, start + i))
            return false;
    }
    return true;
}

/* Lists, whose numbers are one after the other in the child. */
static kal_status load_embeddings(const kal_duckdb *api, duckdb_vector vector, size_t start,
                                  kal_type type, kal_parquet_cells cells, kal_error *err)
{
    duckdb_vector child = api->list_vector_get_child(vector);
    const uint64_t *validity = api->vector_get_validity(vector);
    const uint64_t *child_validity = api->vector_get_validity(child);
    const duckdb_list_entry *lists = api->vector_get_data(vector);
    const float *numbers = api->vector_get_data(child);
    uint64_t number_count = api->list_vector_get_size(vector);

    for (size_t r = 0; r < cells.rows; r++) {
        const duckdb_list_entry *list = &lists[start + r];
        if (!kal_duckdb_is_valid(validity, start + r)) {
            *VALUE(cells, r) = kal_value_null(type);
            continue;
        }
        if (list->length != type.dim || list->offset > number_count ||
            number_count - list->offset < type.dim ||
            !kal_parquet_all_valid(child_validity, list->offset, type.dim))
            return kal_error_set(err, KAL_CORRUPT, "a vector has not %u numbers", type.dim);
        *VALUE(cells, r) =
            kal_value_bytes(type, kal_bytes_of(numbers + list->offset, type.dim * sizeof(float)));
    }
    return KAL_OK;
}

/* Times, dates and decimals do not use all bits that a file can hold. */
static kal_status check_values(kal_type type, kal_parquet_cells cells, kal_error *err)
{
    if (type.tag != KAL_TYPE_DATE && type.tag != KAL_TYPE_TIME && type.tag != KAL_TYPE_TIMESTAMP &&
        type.tag != KAL_TYPE_DATETIME && type.tag != KAL_TYPE_DECIMAL)
        return KAL_OK;
    for (size_t r = 0; r < cells.rows; r++) {
        if (kal_value_validate(VALUE(cells, r), err) != KAL_OK)
            return KAL_CORRUPT;
    }
    return KAL_OK;
}

static kal_status load_as_stored(const kal_duckdb *api, duckdb_vector vector, size_t start,
                                 kal_type type, kal_parquet_cells cells, kal_arena *arena,
                                 kal_error *err)
{
    const kal_value null = kal_value_null(type);
    const uint64_t *validity = api->vector_get_validity(vector);
    const void *data = api->vector_get_data(vector);

    switch ((kal_type_tag)type.tag) {
    case KAL_TYPE_BOOLEAN:
        LOAD_EACH(uint8_t, kal_value_boolean(from[r] != 0));
        return KAL_OK;
    case KAL_TYPE_SMALLINT:
        LOAD_EACH(int16_t, integer_of(type, from[r]));
        return KAL_OK;
    case KAL_TYPE_INT:
    case KAL_TYPE_DATE:
        LOAD_EACH(int32_t, integer_of(type, from[r]));
        return KAL_OK;
    case KAL_TYPE_BIGINT:
    case KAL_TYPE_TIMESTAMP:
    case KAL_TYPE_DATETIME:
    case KAL_TYPE_TIME:
        LOAD_EACH(int64_t, integer_of(type, from[r]));
        return KAL_OK;
    case KAL_TYPE_DOUBLE:
        LOAD_EACH(double, kal_value_double(from[r]));
        return KAL_OK;
    case KAL_TYPE_FLOAT:
        LOAD_EACH(float, kal_value_float(from[r]));
        return KAL_OK;
    case KAL_TYPE_DECIMAL:
        load_decimals(data, validity, start, type, cells);
        return KAL_OK;
    case KAL_TYPE_UUID:
        return load_uuids(data, validity, start, cells, arena, err);
    case KAL_TYPE_TEXT:
    case KAL_TYPE_JSON:
    case KAL_TYPE_FILE:
    case KAL_TYPE_BYTES:
        LOAD_EACH(duckdb_string_t, kal_value_bytes(type, bytes_of(&from[r])));
        return KAL_OK;
    case KAL_TYPE_EMBEDDING:
        return load_embeddings(api, vector, start, type, cells, err);
    case KAL_TYPE_NULL:
        break;
    }
    kal_assert_fail("a column has one of the 17 types", __FILE__, __LINE__);
}

kal_status kal_parquet_load(const kal_duckdb *api, duckdb_vector vector, size_t start,
                            const kal_parquet_read_column *column, kal_parquet_cells cells,
                            kal_arena *arena, kal_error *err)
{
    KAL_TRY(load_as_stored(api, vector, start, column->file_type, cells, arena, err));
    KAL_TRY(check_values(column->file_type, cells, err));
    if (kal_type_equal(column->file_type, column->type))
        return KAL_OK;
    for (size_t r = 0; r < cells.rows; r++)
        kal_value_widen(VALUE(cells, r), column->type, VALUE(cells, r));
    return KAL_OK;
}
