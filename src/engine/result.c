/*
 * result.c: DuckDB's chunks as rows of our values.
 *
 * Types that are not among the 17 become the next one that loses nothing: small and unsigned
 * integers the next wider one, HUGEINT DECIMAL(38,0) or an error, lists, structs and maps JSON,
 * everything that has only a text form TEXT (docs/types.md has the table).
 */
#include "base/assert.h"
#include "base/json_writer.h"
#include "engine/engine_internal.h"
#include "types/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NESTING_MAX = 32 };

typedef struct result_column {
    duckdb_logical_type logical; /* owned */
    duckdb_type id;
    kal_type type;
    bool is_nested; /* read as JSON */
} result_column;

typedef struct reader {
    const kal_duckdb *api;
    kal_arena *arena; /* of the chunk */
    kal_error *err;
} reader;

/* ---- types ---- */

static bool is_nested_type(duckdb_type id)
{
    return id == DUCKDB_TYPE_LIST || id == DUCKDB_TYPE_STRUCT || id == DUCKDB_TYPE_MAP ||
           id == DUCKDB_TYPE_UNION || id == DUCKDB_TYPE_ARRAY;
}

static bool is_float_array(const kal_duckdb *api, duckdb_logical_type type)
{
    duckdb_logical_type child = api->array_type_child_type(type); /* owned */
    bool floats = api->get_type_id(child) == DUCKDB_TYPE_FLOAT;
    api->destroy_logical_type(&child);
    return floats && api->array_type_array_size(type) <= KAL_EMBEDDING_DIM_MAX;
}

static kal_type text_type(const kal_duckdb *api, duckdb_logical_type type)
{
    char *alias = api->logical_type_get_alias(type); /* owned */
    kal_type_tag tag = KAL_TYPE_TEXT;
    if (alias != NULL && strcmp(alias, kal_type_base_name(KAL_TYPE_JSON)) == 0)
        tag = KAL_TYPE_JSON;
    else if (alias != NULL && strcmp(alias, kal_type_base_name(KAL_TYPE_FILE)) == 0)
        tag = KAL_TYPE_FILE;
    api->free(alias);
    return kal_type_of(tag);
}

/* Tag NULL: there is no such value here. */
static kal_type type_of(const kal_duckdb *api, duckdb_logical_type type, duckdb_type id)
{
    switch (id) {
    case DUCKDB_TYPE_BOOLEAN:
        return kal_type_of(KAL_TYPE_BOOLEAN);
    case DUCKDB_TYPE_TINYINT:
    case DUCKDB_TYPE_UTINYINT:
    case DUCKDB_TYPE_SMALLINT:
        return kal_type_of(KAL_TYPE_SMALLINT);
    case DUCKDB_TYPE_USMALLINT:
    case DUCKDB_TYPE_INTEGER:
        return kal_type_of(KAL_TYPE_INT);
    case DUCKDB_TYPE_UINTEGER:
    case DUCKDB_TYPE_BIGINT:
        return kal_type_of(KAL_TYPE_BIGINT);
    case DUCKDB_TYPE_UBIGINT:
        return kal_type_decimal(20, 0);
    case DUCKDB_TYPE_HUGEINT:
    case DUCKDB_TYPE_UHUGEINT:
        return kal_type_decimal(38, 0);
    case DUCKDB_TYPE_FLOAT:
        return kal_type_of(KAL_TYPE_FLOAT);
    case DUCKDB_TYPE_DOUBLE:
        return kal_type_of(KAL_TYPE_DOUBLE);
    case DUCKDB_TYPE_DECIMAL:
        return kal_type_decimal(api->decimal_width(type), api->decimal_scale(type));
    case DUCKDB_TYPE_DATE:
        return kal_type_of(KAL_TYPE_DATE);
    case DUCKDB_TYPE_TIME:
        return kal_type_of(KAL_TYPE_TIME);
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_S:
    case DUCKDB_TYPE_TIMESTAMP_MS:
    case DUCKDB_TYPE_TIMESTAMP_NS:
        return kal_type_of(KAL_TYPE_TIMESTAMP);
    case DUCKDB_TYPE_TIMESTAMP_TZ:
        return kal_type_of(KAL_TYPE_DATETIME);
    case DUCKDB_TYPE_UUID:
        return kal_type_of(KAL_TYPE_UUID);
    case DUCKDB_TYPE_BLOB:
        return kal_type_of(KAL_TYPE_BYTES);
    case DUCKDB_TYPE_VARCHAR:
        return text_type(api, type);
    case DUCKDB_TYPE_ENUM:
    case DUCKDB_TYPE_INTERVAL:
    case DUCKDB_TYPE_TIME_TZ:
    case DUCKDB_TYPE_SQLNULL:
        return kal_type_of(KAL_TYPE_TEXT);
    case DUCKDB_TYPE_ARRAY:
        if (is_float_array(api, type))
            return kal_type_embedding((uint32_t)api->array_type_array_size(type));
        return kal_type_of(KAL_TYPE_JSON);
    case DUCKDB_TYPE_LIST:
    case DUCKDB_TYPE_STRUCT:
    case DUCKDB_TYPE_MAP:
        return kal_type_of(KAL_TYPE_JSON);
    default:
        return kal_type_of(KAL_TYPE_NULL);
    }
}

/* ---- single values ---- */

static bool is_valid(const kal_duckdb *api, duckdb_vector vector, idx_t row)
{
    return kal_duckdb_is_valid(api->vector_get_validity(vector), row);
}

static kal_bytes string_at(const void *data, idx_t row)
{
    const duckdb_string_t *text = &((const duckdb_string_t *)data)[row];
    uint32_t len = text->value.inlined.length;
    return kal_bytes_of(len <= 12 ? text->value.inlined.inlined : text->value.pointer.ptr, len);
}

static kal_i128 i128_at(const void *data, idx_t row)
{
    duckdb_hugeint v = ((const duckdb_hugeint *)data)[row];
    return (kal_i128)((kal_u128)(uint64_t)v.upper << 64 | v.lower);
}

static kal_bytes keep_text(reader *r, const kal_buf *text)
{
    return kal_arena_copy(r->arena, kal_buf_bytes(text));
}

static kal_status decimal_38(kal_i128 v, kal_value *out, kal_error *err)
{
    kal_i128 limit = 1;
    for (int i = 0; i < 38; i++)
        limit *= 10;
    if (v >= limit || v <= -limit)
        return kal_error_set(err, KAL_INVALID, "a whole number of more than 38 digits");
    *out = kal_value_decimal(kal_type_decimal(38, 0), v);
    return KAL_OK;
}

static kal_i128 decimal_at(const kal_duckdb *api, const result_column *c, const void *data,
                           idx_t row)
{
    switch (api->decimal_internal_type(c->logical)) {
    case DUCKDB_TYPE_SMALLINT:
        return ((const int16_t *)data)[row];
    case DUCKDB_TYPE_INTEGER:
        return ((const int32_t *)data)[row];
    case DUCKDB_TYPE_BIGINT:
        return ((const int64_t *)data)[row];
    default:
        return i128_at(data, row);
    }
}

/* Seconds, milliseconds or nanoseconds as us; the infinities stay what they are. */
static int64_t scaled_time(int64_t v, duckdb_type id)
{
    if (v == INT64_MAX || v == -INT64_MAX)
        return v;
    if (id == DUCKDB_TYPE_TIMESTAMP_S)
        return v * 1000000;
    if (id == DUCKDB_TYPE_TIMESTAMP_MS)
        return v * 1000;
    if (id == DUCKDB_TYPE_TIMESTAMP_NS)
        return v / 1000 - (v % 1000 < 0);
    return v;
}

static void interval_text(const void *data, idx_t row, kal_buf *out)
{
    duckdb_interval v = ((const duckdb_interval *)data)[row];
    int64_t us = v.micros < 0 ? -v.micros : v.micros;
    const char *blank = "";
    if (v.months != 0) {
        kal_buf_printf(out, "%d month%s", v.months, v.months == 1 ? "" : "s");
        blank = " ";
    }
    if (v.days != 0) {
        kal_buf_printf(out, "%s%d day%s", blank, v.days, v.days == 1 ? "" : "s");
        blank = " ";
    }
    if (us != 0 || out->len == 0) {
        kal_buf_printf(out, "%s%s%02lld:%02d:%02d", blank, v.micros < 0 ? "-" : "",
                       (long long)(us / 3600000000), (int)(us / 60000000 % 60),
                       (int)(us / 1000000 % 60));
        if (us % 1000000 != 0)
            kal_buf_printf(out, ".%06d", (int)(us % 1000000));
    }
}

static void time_tz_text(const void *data, idx_t row, kal_buf *out)
{
    /* us << 24 | 15:59:59 - offset in seconds */
    uint64_t bits = ((const uint64_t *)data)[row];
    int64_t us = (int64_t)(bits >> 24);
    int offset = 57599 - (int)(bits & 0xFFFFFF);
    int minutes = (offset < 0 ? -offset : offset) / 60;
    kal_value time = kal_value_integer(KAL_TYPE_TIME, us);
    kal_value_to_text(&time, out);
    kal_buf_printf(out, "%c%02d:%02d", offset < 0 ? '-' : '+', minutes / 60, minutes % 60);
}

static void enum_text(const kal_duckdb *api, const result_column *c, const void *data, idx_t row,
                      kal_buf *out)
{
    idx_t index = 0;
    switch (api->enum_internal_type(c->logical)) {
    case DUCKDB_TYPE_UTINYINT:
        index = ((const uint8_t *)data)[row];
        break;
    case DUCKDB_TYPE_USMALLINT:
        index = ((const uint16_t *)data)[row];
        break;
    default:
        index = ((const uint32_t *)data)[row];
        break;
    }
    char *name = api->enum_dictionary_value(c->logical, index); /* owned */
    kal_buf_append_cstr(out, name);
    api->free(name);
}

static kal_value text_form(reader *r, const result_column *c, const void *data, idx_t row)
{
    kal_buf text; /* owned */
    kal_buf_init(&text, NULL);
    if (c->id == DUCKDB_TYPE_INTERVAL)
        interval_text(data, row, &text);
    else if (c->id == DUCKDB_TYPE_TIME_TZ)
        time_tz_text(data, row, &text);
    else if (c->id == DUCKDB_TYPE_ENUM)
        enum_text(r->api, c, data, row, &text);
    kal_value v = kal_value_text(keep_text(r, &text));
    kal_buf_release(&text);
    return v;
}

static kal_value uuid_at(reader *r, const void *data, idx_t row)
{
    uint8_t *bytes = kal_arena_alloc(r->arena, 16);
    duckdb_hugeint v = ((const duckdb_hugeint *)data)[row];
    kal_store_be64(bytes, (uint64_t)v.upper ^ (UINT64_C(1) << 63));
    kal_store_be64(bytes + 8, v.lower);
    return kal_value_bytes(kal_type_of(KAL_TYPE_UUID), kal_bytes_of(bytes, 16));
}

static kal_status json_of(reader *r, const result_column *c, duckdb_vector vector, idx_t row,
                          kal_value *out);

static kal_status embedding_at(reader *r, const result_column *c, duckdb_vector vector, idx_t row,
                               kal_value *out)
{
    duckdb_vector child = r->api->array_vector_get_child(vector);
    uint32_t dim = c->type.dim;
    for (idx_t i = 0; i < dim; i++) {
        if (!is_valid(r->api, child, row * dim + i))
            return kal_error_set(r->err, KAL_INVALID, "an embedding holds no NULL");
    }
    const float *numbers = r->api->vector_get_data(child);
    *out = kal_value_bytes(c->type, kal_bytes_of(numbers + row * dim, dim * sizeof(float)));
    return KAL_OK;
}

static kal_status value_at(reader *r, const result_column *c, duckdb_vector vector, idx_t row,
                           kal_value *out)
{
    kal_type_tag tag = (kal_type_tag)c->type.tag;

    if (!is_valid(r->api, vector, row)) {
        *out = kal_value_null(c->type);
        return KAL_OK;
    }
    if (c->is_nested)
        return json_of(r, c, vector, row, out);
    if (tag == KAL_TYPE_EMBEDDING)
        return embedding_at(r, c, vector, row, out);
    const void *data = r->api->vector_get_data(vector);
    switch (c->id) {
    case DUCKDB_TYPE_BOOLEAN:
        *out = kal_value_boolean(((const bool *)data)[row]);
        return KAL_OK;
    case DUCKDB_TYPE_TINYINT:
        *out = kal_value_integer(tag, ((const int8_t *)data)[row]);
        return KAL_OK;
    case DUCKDB_TYPE_UTINYINT:
        *out = kal_value_integer(tag, ((const uint8_t *)data)[row]);
        return KAL_OK;
    case DUCKDB_TYPE_SMALLINT:
        *out = kal_value_integer(tag, ((const int16_t *)data)[row]);
        return KAL_OK;
    case DUCKDB_TYPE_USMALLINT:
        *out = kal_value_integer(tag, ((const uint16_t *)data)[row]);
        return KAL_OK;
    case DUCKDB_TYPE_INTEGER:
    case DUCKDB_TYPE_DATE:
        *out = kal_value_integer(tag, ((const int32_t *)data)[row]);
        return KAL_OK;
    case DUCKDB_TYPE_UINTEGER:
        *out = kal_value_integer(tag, ((const uint32_t *)data)[row]);
        return KAL_OK;
    case DUCKDB_TYPE_BIGINT:
    case DUCKDB_TYPE_TIME:
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_S:
    case DUCKDB_TYPE_TIMESTAMP_MS:
    case DUCKDB_TYPE_TIMESTAMP_NS:
    case DUCKDB_TYPE_TIMESTAMP_TZ:
        *out = kal_value_integer(tag, scaled_time(((const int64_t *)data)[row], c->id));
        return KAL_OK;
    case DUCKDB_TYPE_UBIGINT:
        *out = kal_value_decimal(c->type, ((const uint64_t *)data)[row]);
        return KAL_OK;
    case DUCKDB_TYPE_HUGEINT:
        return decimal_38(i128_at(data, row), out, r->err);
    case DUCKDB_TYPE_UHUGEINT:
        if (((const duckdb_uhugeint *)data)[row].upper >> 63 != 0)
            return kal_error_set(r->err, KAL_INVALID, "a whole number of more than 38 digits");
        return decimal_38(i128_at(data, row), out, r->err);
    case DUCKDB_TYPE_FLOAT:
        *out = kal_value_float(((const float *)data)[row]);
        return KAL_OK;
    case DUCKDB_TYPE_DOUBLE:
        *out = kal_value_double(((const double *)data)[row]);
        return KAL_OK;
    case DUCKDB_TYPE_DECIMAL:
        *out = kal_value_decimal(c->type, decimal_at(r->api, c, data, row));
        return KAL_OK;
    case DUCKDB_TYPE_UUID:
        *out = uuid_at(r, data, row);
        return KAL_OK;
    case DUCKDB_TYPE_VARCHAR:
    case DUCKDB_TYPE_BLOB:
        *out = kal_value_bytes(c->type, string_at(data, row));
        return KAL_OK;
    default:
        *out = text_form(r, c, data, row);
        return KAL_OK;
    }
}

/* ---- columns ---- */

static kal_status column_open(const kal_duckdb *api, duckdb_logical_type logical, bool inner,
                              result_column *c, kal_error *err)
{
    *c = (result_column){.logical = logical, .id = api->get_type_id(logical)};
    c->type = type_of(api, logical, c->id);
    c->is_nested = is_nested_type(c->id) && (inner || c->type.tag == KAL_TYPE_JSON);
    if (c->type.tag != KAL_TYPE_NULL)
        return KAL_OK;
    kal_error_set(err, KAL_UNSUPPORTED, "a column of the result has a type without a counterpart");
    kal_error_hint(err, "cast it, for example to text");
    return KAL_UNSUPPORTED;
}

/* ---- JSON of nested values ---- */

static kal_status write_vector_json(reader *r, duckdb_vector vector, duckdb_logical_type logical,
                                    idx_t row, unsigned depth, kal_json_writer *w);

static kal_status write_elements(reader *r, duckdb_vector child, duckdb_logical_type type,
                                 idx_t start, idx_t count, unsigned depth, kal_json_writer *w)
{
    kal_status status = KAL_OK;
    kal_json_begin_array(w);
    for (idx_t i = 0; i < count && status == KAL_OK; i++)
        status = write_vector_json(r, child, type, start + i, depth, w);
    kal_json_end_array(w);
    return status;
}

static kal_status write_struct(reader *r, duckdb_vector vector, duckdb_logical_type type, idx_t row,
                               unsigned depth, kal_json_writer *w)
{
    kal_status status = KAL_OK;
    idx_t count = r->api->struct_type_child_count(type);

    kal_json_begin_object(w);
    for (idx_t i = 0; i < count && status == KAL_OK; i++) {
        char *name = r->api->struct_type_child_name(type, i);                /* owned */
        duckdb_logical_type child = r->api->struct_type_child_type(type, i); /* owned */
        kal_json_key(w, name == NULL ? "" : name);
        status =
            write_vector_json(r, r->api->struct_vector_get_child(vector, i), child, row, depth, w);
        r->api->destroy_logical_type(&child);
        r->api->free(name);
    }
    kal_json_end_object(w);
    return status;
}

/* {"key": value}: keys as text. */
static kal_status write_map(reader *r, duckdb_vector vector, duckdb_logical_type type, idx_t row,
                            unsigned depth, kal_json_writer *w)
{
    const duckdb_list_entry entry = ((duckdb_list_entry *)r->api->vector_get_data(vector))[row];
    duckdb_vector pairs = r->api->list_vector_get_child(vector);
    duckdb_logical_type key_type = r->api->map_type_key_type(type);     /* owned */
    duckdb_logical_type value_type = r->api->map_type_value_type(type); /* owned */
    result_column key;
    kal_status status = column_open(r->api, key_type, true, &key, r->err);

    kal_json_begin_object(w);
    for (idx_t i = entry.offset; i < entry.offset + entry.length && status == KAL_OK; i++) {
        kal_value v;
        kal_buf text; /* owned */
        status = value_at(r, &key, r->api->struct_vector_get_child(pairs, 0), i, &v);
        if (status != KAL_OK)
            break;
        kal_buf_init(&text, NULL);
        kal_value_to_text(&v, &text);
        kal_json_key_bytes(w, kal_buf_bytes(&text));
        kal_buf_release(&text);
        status = write_vector_json(r, r->api->struct_vector_get_child(pairs, 1), value_type, i,
                                   depth, w);
    }
    kal_json_end_object(w);
    r->api->destroy_logical_type(&key_type);
    r->api->destroy_logical_type(&value_type);
    return status;
}

static kal_status write_list(reader *r, duckdb_vector vector, duckdb_logical_type type,
                             duckdb_type id, idx_t row, unsigned depth, kal_json_writer *w)
{
    const kal_duckdb *api = r->api;
    bool is_array = id == DUCKDB_TYPE_ARRAY;
    duckdb_logical_type child =
        is_array ? api->array_type_child_type(type) : api->list_type_child_type(type); /* owned */
    idx_t size = is_array ? api->array_type_array_size(type) : 0;
    duckdb_list_entry entry = {row * size, size};
    if (!is_array)
        entry = ((duckdb_list_entry *)api->vector_get_data(vector))[row];
    kal_status status = write_elements(
        r, is_array ? api->array_vector_get_child(vector) : api->list_vector_get_child(vector),
        child, entry.offset, entry.length, depth, w);
    api->destroy_logical_type(&child);
    return status;
}

/* A leaf as JSON knows it: numbers as numbers, JSON as it is, everything else as text. */
static void write_leaf(const kal_value *v, kal_json_writer *w)
{
    kal_buf text; /* owned */

    if (v->is_null) {
        kal_json_null(w);
        return;
    }
    switch ((kal_type_tag)v->type.tag) {
    case KAL_TYPE_BOOLEAN:
        kal_json_bool(w, v->boolean);
        return;
    case KAL_TYPE_SMALLINT:
    case KAL_TYPE_INT:
    case KAL_TYPE_BIGINT:
        kal_json_i64(w, v->integer);
        return;
    case KAL_TYPE_DOUBLE:
        kal_json_double(w, v->f64);
        return;
    case KAL_TYPE_FLOAT:
        kal_json_float(w, v->f32);
        return;
    case KAL_TYPE_JSON:
        kal_json_raw(w, v->bytes);
        return;
    default:
        break;
    }
    kal_buf_init(&text, NULL);
    kal_value_to_text(v, &text);
    if (v->type.tag == KAL_TYPE_DECIMAL)
        kal_json_raw(w, kal_buf_bytes(&text));
    else
        kal_json_string(w, kal_buf_bytes(&text));
    kal_buf_release(&text);
}

static kal_status write_vector_json(reader *r, duckdb_vector vector, duckdb_logical_type logical,
                                    idx_t row, unsigned depth, kal_json_writer *w)
{
    result_column c;
    kal_value v;

    if (depth >= NESTING_MAX)
        return kal_error_set(r->err, KAL_LIMIT, "a value is nested deeper than %d levels",
                             NESTING_MAX);
    if (!is_valid(r->api, vector, row)) {
        kal_json_null(w);
        return KAL_OK;
    }
    switch (r->api->get_type_id(logical)) {
    case DUCKDB_TYPE_LIST:
        return write_list(r, vector, logical, DUCKDB_TYPE_LIST, row, depth + 1, w);
    case DUCKDB_TYPE_ARRAY:
        return write_list(r, vector, logical, DUCKDB_TYPE_ARRAY, row, depth + 1, w);
    case DUCKDB_TYPE_STRUCT:
        return write_struct(r, vector, logical, row, depth + 1, w);
    case DUCKDB_TYPE_MAP:
        return write_map(r, vector, logical, row, depth + 1, w);
    default:
        KAL_TRY(column_open(r->api, logical, true, &c, r->err));
        KAL_TRY(value_at(r, &c, vector, row, &v));
        write_leaf(&v, w);
        return KAL_OK;
    }
}

static kal_status json_of(reader *r, const result_column *c, duckdb_vector vector, idx_t row,
                          kal_value *out)
{
    kal_buf text; /* owned */
    kal_json_writer w;
    kal_bytes copy;

    kal_buf_init(&text, r->arena->budget);
    kal_json_writer_init(&w, &text);
    kal_status status = write_vector_json(r, vector, c->logical, row, 0, &w);
    if (status == KAL_OK &&
        (kal_buf_failed(&text) || !kal_arena_try_copy(r->arena, kal_buf_bytes(&text), &copy)))
        status = kal_error_set(r->err, KAL_LIMIT, "a value exceeds the statement's memory");
    if (status == KAL_OK)
        *out = kal_value_bytes(kal_type_of(KAL_TYPE_JSON), copy);
    kal_buf_release(&text);
    return status;
}

/* ---- the whole result ---- */

typedef struct delivery {
    kal_slot *slot;
    duckdb_result *result;
    const kal_engine_sink *sink;
    result_column *columns; /* owned */
    size_t column_count;
    kal_value *row; /* owned */
    kal_arena arena;
    kal_error *err;
} delivery;

/* In the arena of names, or DuckDB's own. */
static kal_bytes column_name(delivery *d, const char *name, size_t index)
{
    kal_bytes restored = kal_cstr(name);
    kal_buf text; /* owned */

    if (strchr(name, '(') != NULL && strstr(name, KAL_VIEW_BODY ".") != NULL)
        return kal_cstr(kal_arena_printf(&d->arena, "column_%zu", index + 1));
    kal_buf_init(&text, NULL);
    if (kal_rewrite_restore(d->slot->tables, d->slot->table_count, name, &text))
        restored = kal_arena_copy(&d->arena, kal_buf_bytes(&text));
    kal_buf_release(&text);
    return restored;
}

static kal_status open_columns(delivery *d)
{
    const kal_duckdb *api = &d->slot->engine->api;
    kal_engine_column *columns = calloc(d->column_count + 1, sizeof *columns); /* owned */
    kal_status status = KAL_OK;

    if (columns == NULL)
        kal_die("out of memory: result");
    for (size_t i = 0; i < d->column_count; i++) {
        kal_status one =
            column_open(api, api->column_logical_type(d->result, i), false, &d->columns[i], d->err);
        columns[i].name = column_name(d, api->column_name(d->result, i), i);
        columns[i].inner_name = kal_cstr(api->column_name(d->result, i));
        columns[i].type = d->columns[i].type;
        if (status == KAL_OK)
            status = one;
    }
    if (status == KAL_OK)
        status = d->sink->begin(d->sink->context, columns, d->column_count, d->err);
    free(columns);
    return status;
}

static kal_status deliver_chunk(delivery *d, duckdb_data_chunk chunk)
{
    const kal_duckdb *api = &d->slot->engine->api;
    reader r = {api, &d->arena, d->err};
    idx_t rows = api->data_chunk_get_size(chunk);

    for (idx_t row = 0; row < rows; row++) {
        for (size_t c = 0; c < d->column_count; c++)
            KAL_TRY(value_at(&r, &d->columns[c], api->data_chunk_get_vector(chunk, c), row,
                             &d->row[c]));
        KAL_TRY(d->sink->row(d->sink->context, d->row, d->err));
    }
    kal_arena_reset(&d->arena);
    return kal_watch_check(d->slot, d->err);
}

static kal_status deliver_all(delivery *d)
{
    const kal_duckdb *api = &d->slot->engine->api;
    kal_status status = open_columns(d);

    while (status == KAL_OK) {
        duckdb_data_chunk chunk = api->fetch_chunk(*d->result); /* owned */
        if (chunk == NULL)
            break;
        status = deliver_chunk(d, chunk);
        api->destroy_data_chunk(&chunk);
    }
    return status;
}

kal_status kal_result_deliver(kal_slot *slot, duckdb_result *result,
                              const kal_engine_query_args *query, const kal_engine_sink *sink,
                              kal_error *err)
{
    const kal_duckdb *api = &slot->engine->api;
    delivery d = {.slot = slot, .result = result, .sink = sink, .err = err};

    d.column_count = api->column_count(result);
    d.columns = calloc(d.column_count + 1, sizeof *d.columns);
    d.row = calloc(d.column_count + 1, sizeof *d.row);
    if (d.columns == NULL || d.row == NULL)
        kal_die("out of memory: result");
    kal_arena_init(&d.arena, query->budget);
    kal_status status = deliver_all(&d);
    for (size_t i = 0; i < d.column_count; i++) {
        if (d.columns[i].logical != NULL)
            api->destroy_logical_type(&d.columns[i].logical);
    }
    kal_arena_release(&d.arena);
    free(d.columns);
    free(d.row);
    return status;
}
