/*
 * types_map.c: our 17 types as DuckDB's, in parameters and in the rows that kal_scan hands over.
 */
#include "base/assert.h"
#include "engine/engine_internal.h"
#include "types/type_forms.h"

#include <stdlib.h>

static const duckdb_type SIMPLE[KAL_TYPE_TAG_MAX + 1] = {
    [KAL_TYPE_NULL] = DUCKDB_TYPE_VARCHAR,
    [KAL_TYPE_BOOLEAN] = DUCKDB_TYPE_BOOLEAN,
    [KAL_TYPE_SMALLINT] = DUCKDB_TYPE_SMALLINT,
    [KAL_TYPE_INT] = DUCKDB_TYPE_INTEGER,
    [KAL_TYPE_BIGINT] = DUCKDB_TYPE_BIGINT,
    [KAL_TYPE_DOUBLE] = DUCKDB_TYPE_DOUBLE,
    [KAL_TYPE_FLOAT] = DUCKDB_TYPE_FLOAT,
    [KAL_TYPE_TEXT] = DUCKDB_TYPE_VARCHAR,
    [KAL_TYPE_TIMESTAMP] = DUCKDB_TYPE_TIMESTAMP,
    [KAL_TYPE_DATE] = DUCKDB_TYPE_DATE,
    [KAL_TYPE_DATETIME] = DUCKDB_TYPE_TIMESTAMP_TZ,
    [KAL_TYPE_TIME] = DUCKDB_TYPE_TIME,
    [KAL_TYPE_JSON] = DUCKDB_TYPE_VARCHAR, /* with the alias JSON */
    [KAL_TYPE_BYTES] = DUCKDB_TYPE_BLOB,
    [KAL_TYPE_UUID] = DUCKDB_TYPE_UUID,
    [KAL_TYPE_FILE] = DUCKDB_TYPE_VARCHAR, /* with the alias FILE */
};

duckdb_logical_type kal_duckdb_type(const kal_duckdb *api, kal_type type)
{
    if (type.tag == KAL_TYPE_DECIMAL)
        return api->create_decimal_type(type.precision, type.scale);
    if (type.tag == KAL_TYPE_EMBEDDING) {
        duckdb_logical_type number = api->create_logical_type(DUCKDB_TYPE_FLOAT); /* owned */
        duckdb_logical_type array = api->create_array_type(number, type.dim);
        api->destroy_logical_type(&number);
        return array;
    }
    duckdb_logical_type simple = api->create_logical_type(SIMPLE[type.tag]);
    if (type.tag == KAL_TYPE_JSON || type.tag == KAL_TYPE_FILE)
        api->logical_type_set_alias(simple, kal_type_base_name((kal_type_tag)type.tag));
    return simple;
}

static size_t place_of(kal_type type)
{
    const size_t PLAIN = KAL_TYPE_TAG_MAX + 1;
    if (type.tag != KAL_TYPE_DECIMAL && type.tag != KAL_TYPE_EMBEDDING)
        return type.tag;
    return PLAIN + (type.precision * 39u + type.scale + type.dim) % (KAL_SLOT_TYPES - PLAIN);
}

duckdb_logical_type kal_slot_type_of(kal_slot *slot, kal_type type)
{
    const kal_duckdb *api = &slot->engine->api;
    kal_slot_type *kept = &slot->types[place_of(type)];
    bool hit = kept->logical != NULL && kal_type_equal(kept->type, type);

    kal_type_cache_count(hit);
    if (hit)
        return kept->logical;
    if (kept->logical != NULL)
        api->destroy_logical_type(&kept->logical);
    *kept = (kal_slot_type){.type = type, .logical = kal_duckdb_type(api, type)};
    return kept->logical;
}

void kal_slot_types_release(kal_slot *slot)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(slot->types); i++) {
        if (slot->types[i].logical != NULL)
            slot->engine->api.destroy_logical_type(&slot->types[i].logical);
    }
}

static duckdb_hugeint hugeint_of(kal_i128 v)
{
    return (duckdb_hugeint){.lower = (uint64_t)v, .upper = (int64_t)(v >> 64)};
}

duckdb_hugeint kal_duckdb_uuid(kal_bytes bytes)
{
    uint64_t upper = kal_load_be64(bytes.ptr) ^ (UINT64_C(1) << 63);
    return (duckdb_hugeint){.lower = kal_load_be64(bytes.ptr + 8), .upper = (int64_t)upper};
}

/* ---- parameters ---- */

static duckdb_value decimal_value(const kal_duckdb *api, const kal_value *v)
{
    duckdb_decimal decimal = {
        .width = v->type.precision, .scale = v->type.scale, .value = hugeint_of(v->decimal)};
    return api->create_decimal(decimal);
}

static duckdb_value embedding_value(const kal_duckdb *api, const kal_value *v)
{
    duckdb_logical_type number = api->create_logical_type(DUCKDB_TYPE_FLOAT); /* owned */
    duckdb_value *values = calloc(v->type.dim, sizeof(duckdb_value));         /* owned */

    if (values == NULL)
        kal_die("out of memory: parameter");
    for (uint32_t i = 0; i < v->type.dim; i++) {
        float f;
        memcpy(&f, v->bytes.ptr + i * sizeof f, sizeof f);
        values[i] = api->create_float(f);
    }
    duckdb_value array = api->create_array_value(number, values, v->type.dim);
    for (uint32_t i = 0; i < v->type.dim; i++)
        api->destroy_value(&values[i]);
    free(values);
    api->destroy_logical_type(&number);
    return array;
}

static duckdb_value uuid_value(const kal_duckdb *api, const kal_value *v)
{
    duckdb_uhugeint uuid = {.lower = kal_load_be64(v->bytes.ptr + 8),
                            .upper = kal_load_be64(v->bytes.ptr)};
    return api->create_uuid(uuid);
}

duckdb_value kal_duckdb_value(const kal_duckdb *api, const kal_value *v)
{
    if (v->is_null)
        return api->create_null_value();
    switch ((kal_type_tag)v->type.tag) {
    case KAL_TYPE_BOOLEAN:
        return api->create_bool(v->boolean);
    case KAL_TYPE_SMALLINT:
        return api->create_int16((int16_t)v->integer);
    case KAL_TYPE_INT:
        return api->create_int32((int32_t)v->integer);
    case KAL_TYPE_BIGINT:
        return api->create_int64(v->integer);
    case KAL_TYPE_DOUBLE:
        return api->create_double(v->f64);
    case KAL_TYPE_FLOAT:
        return api->create_float(v->f32);
    case KAL_TYPE_TIMESTAMP:
        return api->create_timestamp((duckdb_timestamp){v->integer});
    case KAL_TYPE_DATETIME:
        return api->create_timestamp_tz((duckdb_timestamp){v->integer});
    case KAL_TYPE_DATE:
        return api->create_date((duckdb_date){(int32_t)v->integer});
    case KAL_TYPE_TIME:
        return api->create_time((duckdb_time){v->integer});
    case KAL_TYPE_DECIMAL:
        return decimal_value(api, v);
    case KAL_TYPE_EMBEDDING:
        return embedding_value(api, v);
    case KAL_TYPE_UUID:
        return uuid_value(api, v);
    case KAL_TYPE_BYTES:
        return api->create_blob(v->bytes.ptr, v->bytes.len);
    case KAL_TYPE_TEXT:
    case KAL_TYPE_JSON:
    case KAL_TYPE_FILE:
        return api->create_varchar_length((const char *)v->bytes.ptr, v->bytes.len);
    case KAL_TYPE_NULL:
        break;
    }
    return api->create_null_value();
}

/* ---- vectors ---- */

#define STORE(type, v) (((type *)data)[row] = (type)(v))

static void store_decimal(void *data, idx_t row, const kal_value *v)
{
    if (v->type.precision <= 4)
        STORE(int16_t, v->decimal);
    else if (v->type.precision <= 9)
        STORE(int32_t, v->decimal);
    else if (v->type.precision <= 18)
        STORE(int64_t, v->decimal);
    else
        ((duckdb_hugeint *)data)[row] = hugeint_of(v->decimal);
}

static void store_null(const kal_duckdb *api, duckdb_vector vector, idx_t row)
{
    api->vector_ensure_validity_writable(vector);
    api->validity_set_row_invalid(api->vector_get_validity(vector), row);
}

void kal_duckdb_store(const kal_duckdb *api, duckdb_vector vector, idx_t row, const kal_value *v)
{
    if (v->is_null) {
        store_null(api, vector, row);
        return;
    }
    if (v->type.tag == KAL_TYPE_EMBEDDING) {
        float *numbers = api->vector_get_data(api->array_vector_get_child(vector));
        memcpy(numbers + row * v->type.dim, v->bytes.ptr, v->bytes.len);
        return;
    }
    void *data = api->vector_get_data(vector);
    switch ((kal_type_tag)v->type.tag) {
    case KAL_TYPE_BOOLEAN:
        STORE(bool, v->boolean);
        return;
    case KAL_TYPE_SMALLINT:
        STORE(int16_t, v->integer);
        return;
    case KAL_TYPE_INT:
    case KAL_TYPE_DATE:
        STORE(int32_t, v->integer);
        return;
    case KAL_TYPE_BIGINT:
    case KAL_TYPE_TIMESTAMP:
    case KAL_TYPE_DATETIME:
    case KAL_TYPE_TIME:
        STORE(int64_t, v->integer);
        return;
    case KAL_TYPE_DOUBLE:
        STORE(double, v->f64);
        return;
    case KAL_TYPE_FLOAT:
        STORE(float, v->f32);
        return;
    case KAL_TYPE_DECIMAL:
        store_decimal(data, row, v);
        return;
    case KAL_TYPE_UUID:
        ((duckdb_hugeint *)data)[row] = kal_duckdb_uuid(v->bytes);
        return;
    case KAL_TYPE_TEXT:
    case KAL_TYPE_JSON:
    case KAL_TYPE_FILE:
    case KAL_TYPE_BYTES:
        api->vector_assign_string_element_len(vector, row, (const char *)v->bytes.ptr,
                                              v->bytes.len);
        return;
    case KAL_TYPE_EMBEDDING:
    case KAL_TYPE_NULL:
        break;
    }
    kal_assert_fail("a stored value has one of the 17 types", __FILE__, __LINE__);
}
