/*
 * cast.c: casts, by target type; assignment to columns refuses some of them (assign.c).
 *
 * What DuckDB 1.4 does, as tried on it: DOUBLE and FLOAT round to integers half to even, and to
 * DECIMAL half away from zero after scaling in floating point; DECIMAL rounds half away from zero
 * everywhere. Where it is better to differ: a rounded value beyond an integer's range is refused
 * (it wraps for 2147483647.5), DECIMAL becomes the nearest DOUBLE (it is off by one place in 0.1 of
 * DECIMAL(38,38)), DATETIME also converts to TIME.
 */
#include "base/assert.h"
#include "base/json_writer.h"
#include "types/json.h"
#include "types/text.h"
#include "types/text_internal.h"

#include <math.h>

static kal_status cannot_convert(const kal_value *v, kal_type type, kal_error *err)
{
    char from[KAL_TYPE_NAME_BYTES];
    char to[KAL_TYPE_NAME_BYTES];
    return kal_error_set(err, KAL_INVALID, "cannot convert %s to %s", kal_type_name(v->type, from),
                         kal_type_name(type, to));
}

static kal_status value_out_of_range(const kal_value *v, kal_type type, kal_error *err)
{
    kal_buf text;
    kal_status status;

    kal_buf_init(&text, NULL); /* numbers and times only: small */
    kal_value_to_text(v, &text);
    status = kal_out_of_range(type, kal_buf_bytes(&text), err);
    kal_buf_release(&text);
    return status;
}

static bool is_floating(const kal_value *v)
{
    return v->type.tag == KAL_TYPE_DOUBLE || v->type.tag == KAL_TYPE_FLOAT;
}

static double floating_of(const kal_value *v)
{
    return v->type.tag == KAL_TYPE_FLOAT ? (double)v->f32 : v->f64;
}

/* v / 10^exponent, half away from zero. */
static kal_i128 divide_rounded(kal_i128 v, unsigned exponent)
{
    kal_i128 divisor = kal_pow10(exponent);
    kal_i128 quotient = v / divisor;
    kal_i128 rest = v % divisor;

    if (rest < 0)
        rest = -rest;
    if (exponent > 0 && rest >= divisor / 2)
        quotient += v < 0 ? -1 : 1;
    return quotient;
}

static kal_status to_boolean(const kal_value *v, kal_type type, kal_value *value_out,
                             kal_error *err)
{
    if (kal_type_is_integer(v->type))
        *value_out = kal_value_boolean(v->integer != 0);
    else if (is_floating(v))
        *value_out = kal_value_boolean(floating_of(v) != 0);
    else if (v->type.tag == KAL_TYPE_DECIMAL)
        *value_out = kal_value_boolean(v->decimal != 0);
    else
        return cannot_convert(v, type, err);
    return KAL_OK;
}

static kal_status to_integer(const kal_value *v, kal_type type, kal_value *value_out,
                             kal_error *err)
{
    kal_i128 wide;
    int64_t min;
    int64_t max;

    kal_integer_range((kal_type_tag)type.tag, &min, &max);
    if (kal_type_is_integer(v->type)) {
        wide = v->integer;
    } else if (v->type.tag == KAL_TYPE_BOOLEAN) {
        wide = v->boolean;
    } else if (v->type.tag == KAL_TYPE_DECIMAL) {
        wide = divide_rounded(v->decimal, v->type.scale);
    } else if (is_floating(v)) {
        double rounded = nearbyint(floating_of(v));
        /* 2^63 is exact as a double, its predecessor is not: hence < on one side. NaN fails. */
        if (!(rounded >= -0x1p63 && rounded < 0x1p63))
            return value_out_of_range(v, type, err);
        wide = (kal_i128)rounded;
    } else {
        return cannot_convert(v, type, err);
    }
    if (wide < min || wide > max)
        return value_out_of_range(v, type, err);
    *value_out = kal_value_integer((kal_type_tag)type.tag, (int64_t)wide);
    return KAL_OK;
}

/* Through its text, so that the result is the nearest one. */
static bool double_of_decimal(const kal_value *v, double *f64_out, float *f32_out)
{
    kal_buf text;
    bool parsed;

    kal_buf_init(&text, NULL); /* 41 bytes at most */
    kal_decimal_format(v->decimal, v->type.scale, &text);
    parsed = kal_parse_double(kal_buf_bytes(&text), f64_out) &&
             kal_parse_float(kal_buf_bytes(&text), f32_out);
    kal_buf_release(&text);
    return parsed;
}

static kal_status to_floating(const kal_value *v, kal_type type, kal_value *value_out,
                              kal_error *err)
{
    double f64 = 0;
    float f32 = 0;

    if (kal_type_is_integer(v->type) || v->type.tag == KAL_TYPE_BOOLEAN) {
        int64_t integer = v->type.tag == KAL_TYPE_BOOLEAN ? v->boolean : v->integer;
        f64 = (double)integer;
        f32 = (float)integer;
    } else if (is_floating(v)) {
        f64 = floating_of(v);
        if (isfinite(f64) && type.tag == KAL_TYPE_FLOAT && isinf((float)f64))
            return value_out_of_range(v, type, err);
        f32 = (float)f64;
    } else if (v->type.tag != KAL_TYPE_DECIMAL) {
        return cannot_convert(v, type, err);
    } else if (!double_of_decimal(v, &f64, &f32)) {
        return value_out_of_range(v, type, err);
    }
    *value_out = type.tag == KAL_TYPE_FLOAT ? kal_value_float(f32) : kal_value_double(f64);
    return KAL_OK;
}

/* The power as a double, 10^38 included: the nearest one. */
static double pow10_double(unsigned exponent)
{
    return (double)kal_pow10(exponent);
}

static kal_status decimal_of_floating(const kal_value *v, kal_type type, kal_i128 *out,
                                      kal_error *err)
{
    double scaled = round(floating_of(v) * pow10_double(type.scale));

    if (!(fabs(scaled) < pow10_double(type.precision)))
        return value_out_of_range(v, type, err);
    /* DuckDB keeps the precision of the source: a FLOAT's digits end where a float's do. */
    *out = v->type.tag == KAL_TYPE_FLOAT ? (kal_i128)(float)scaled : (kal_i128)scaled;
    return KAL_OK;
}

static kal_status to_decimal(const kal_value *v, kal_type type, kal_value *value_out,
                             kal_error *err)
{
    kal_i128 unscaled = 0;
    unsigned from_scale = 0;

    if (kal_type_is_integer(v->type)) {
        unscaled = v->integer;
    } else if (v->type.tag == KAL_TYPE_BOOLEAN) {
        unscaled = v->boolean;
    } else if (v->type.tag == KAL_TYPE_DECIMAL) {
        unscaled = v->decimal;
        from_scale = v->type.scale;
    } else if (is_floating(v)) {
        KAL_TRY(decimal_of_floating(v, type, &unscaled, err));
        from_scale = type.scale;
    } else {
        return cannot_convert(v, type, err);
    }
    if (from_scale > type.scale)
        unscaled = divide_rounded(unscaled, from_scale - type.scale);
    else if (!kal_try_mul(unscaled, kal_pow10(type.scale - from_scale), &unscaled))
        return value_out_of_range(v, type, err);
    if (unscaled >= kal_pow10(type.precision) || unscaled <= -kal_pow10(type.precision))
        return value_out_of_range(v, type, err);
    *value_out = kal_value_decimal(type, unscaled);
    return KAL_OK;
}

static bool is_instant(kal_type type)
{
    return type.tag == KAL_TYPE_TIMESTAMP || type.tag == KAL_TYPE_DATETIME;
}

static kal_status to_temporal(const kal_value *v, kal_type type, kal_value *value_out,
                              kal_error *err)
{
    int64_t integer;

    if (is_instant(type) && is_instant(v->type)) {
        integer = v->integer;
    } else if (is_instant(type) && v->type.tag == KAL_TYPE_DATE) {
        if (!kal_instant_from_date(v->integer, &integer))
            return value_out_of_range(v, type, err);
    } else if (type.tag == KAL_TYPE_DATE && is_instant(v->type)) {
        integer = kal_date_from_instant(v->integer);
    } else if (type.tag == KAL_TYPE_TIME && is_instant(v->type)) {
        if (!kal_instant_is_finite(v->integer))
            return value_out_of_range(v, type, err);
        integer = kal_time_from_instant(v->integer);
    } else {
        return cannot_convert(v, type, err);
    }
    *value_out = kal_value_integer((kal_type_tag)type.tag, integer);
    return KAL_OK;
}

static kal_status to_text(const kal_value *v, kal_type type, kal_arena *arena, kal_value *value_out,
                          kal_error *err)
{
    kal_buf text;

    if (v->type.tag == KAL_TYPE_JSON || v->type.tag == KAL_TYPE_FILE) {
        *value_out = kal_value_bytes(type, v->bytes);
        return KAL_OK;
    }
    kal_buf_init(&text, arena->budget);
    kal_value_to_text(v, &text);
    return kal_value_finish(&text, arena, type, value_out, err);
}

static kal_status to_json(const kal_value *v, kal_type type, kal_arena *arena, kal_value *value_out,
                          kal_error *err)
{
    kal_buf text;
    kal_json_writer w;

    if (v->type.tag == KAL_TYPE_FILE) {
        *value_out = kal_value_bytes(type, v->bytes);
        return KAL_OK;
    }
    kal_buf_init(&text, arena->budget);
    kal_json_writer_init(&w, &text);
    kal_value_write_json_cast(v, &w);
    return kal_value_finish(&text, arena, type, value_out, err);
}

/* UUID and BYTES: the same 16 bytes. */
static kal_status to_bytes(const kal_value *v, kal_type type, kal_value *value_out, kal_error *err)
{
    bool from_uuid = v->type.tag == KAL_TYPE_UUID && type.tag == KAL_TYPE_BYTES;
    bool to_uuid = v->type.tag == KAL_TYPE_BYTES && type.tag == KAL_TYPE_UUID;

    if (!from_uuid && !to_uuid)
        return cannot_convert(v, type, err);
    if (to_uuid && v->bytes.len != 16)
        return kal_error_set(err, KAL_INVALID, "expected 16 bytes for a UUID, got %zu",
                             v->bytes.len);
    *value_out = kal_value_bytes(type, v->bytes);
    return KAL_OK;
}

/* JSON text as the value it holds; a JSON null is a NULL. */
static kal_status from_json_text(const kal_value *v, kal_type type, kal_arena *arena,
                                 kal_value *value_out, kal_error *err)
{
    kal_json *json;
    kal_error inner = KAL_ERROR_INIT;

    if (kal_json_parse(v->bytes, arena, &json, &inner) != KAL_OK)
        return kal_json_text_failed(&inner, err);
    return kal_value_from_json(type, json, arena, value_out, err);
}

static kal_status cast_by_target(const kal_value *v, kal_type type, kal_arena *arena,
                                 kal_value *value_out, kal_error *err)
{
    switch ((kal_type_tag)type.tag) {
    case KAL_TYPE_BOOLEAN:
        return to_boolean(v, type, value_out, err);
    case KAL_TYPE_SMALLINT:
    case KAL_TYPE_INT:
    case KAL_TYPE_BIGINT:
        return to_integer(v, type, value_out, err);
    case KAL_TYPE_FLOAT:
    case KAL_TYPE_DOUBLE:
        return to_floating(v, type, value_out, err);
    case KAL_TYPE_DECIMAL:
        return to_decimal(v, type, value_out, err);
    case KAL_TYPE_DATE:
    case KAL_TYPE_TIME:
    case KAL_TYPE_TIMESTAMP:
    case KAL_TYPE_DATETIME:
        return to_temporal(v, type, value_out, err);
    case KAL_TYPE_TEXT:
        return to_text(v, type, arena, value_out, err);
    case KAL_TYPE_JSON:
        return to_json(v, type, arena, value_out, err);
    case KAL_TYPE_UUID:
    case KAL_TYPE_BYTES:
        return to_bytes(v, type, value_out, err);
    case KAL_TYPE_EMBEDDING:
        if (v->type.tag == KAL_TYPE_EMBEDDING)
            return kal_embedding_length_wrong(type, v->type.dim, err);
        return cannot_convert(v, type, err);
    case KAL_TYPE_FILE:
    case KAL_TYPE_NULL:
        return cannot_convert(v, type, err);
    }
    return cannot_convert(v, type, err);
}

kal_status kal_value_cast(const kal_value *v, kal_type type, kal_arena *arena, kal_value *value_out,
                          kal_error *err)
{
    KAL_ASSERT(kal_type_valid(type));
    if (v->is_null) {
        *value_out = kal_value_null(type);
        return KAL_OK;
    }
    if (kal_type_equal(v->type, type)) {
        *value_out = *v;
        return KAL_OK;
    }
    if (v->type.tag == KAL_TYPE_TEXT)
        return kal_value_from_text(type, v->bytes, arena, value_out, err);
    if (v->type.tag == KAL_TYPE_JSON && type.tag != KAL_TYPE_TEXT)
        return from_json_text(v, type, arena, value_out, err);
    return cast_by_target(v, type, arena, value_out, err);
}
