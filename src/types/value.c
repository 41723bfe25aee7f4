/*
 * value.c: values checked, compared, copied, and their tagged wire form.
 *
 * The wire form is canonical: what decodes encodes back to the same bytes. That is why decoding
 * refuses what a tolerant reader would normalise (boolean 2, DECIMAL beyond its precision), and
 * what lets the fuzzer check every accepted input by encoding it again.
 */
#include "types/value.h"
#include "base/assert.h"
#include "types/text.h"
#include "types/text_internal.h"

#include <math.h>

static kal_status out_of_range(kal_type type, kal_status status, kal_error *err)
{
    char name[KAL_TYPE_NAME_BYTES];
    return kal_error_set(err, status, "value is out of range for %s", kal_type_name(type, name));
}

static bool decimal_in_range(kal_i128 v, unsigned precision)
{
    kal_i128 bound = kal_pow10(precision);
    return v > -bound && v < bound;
}

static bool integer_in_range(int64_t v, unsigned tag)
{
    switch (tag) {
    case KAL_TYPE_SMALLINT:
        return v >= INT16_MIN && v <= INT16_MAX;
    case KAL_TYPE_INT:
        return v >= INT32_MIN && v <= INT32_MAX;
    case KAL_TYPE_DATE: /* the ends are the two infinities */
        return v >= -KAL_DATE_INFINITY && v <= KAL_DATE_INFINITY;
    case KAL_TYPE_TIMESTAMP:
    case KAL_TYPE_DATETIME:
        return v >= KAL_INSTANT_MIN || v == -KAL_INSTANT_INFINITY;
    case KAL_TYPE_TIME:
        return v >= 0 && v <= KAL_MICROS_PER_DAY; /* 24:00:00, which SQL allows */
    default:
        return true;
    }
}

static kal_status check_bytes(kal_type type, kal_bytes bytes, kal_status status, kal_error *err)
{
    switch (type.tag) {
    case KAL_TYPE_UUID:
        if (bytes.len != 16)
            return kal_error_set(err, status, "expected 16 bytes for UUID, got %zu", bytes.len);
        return KAL_OK;
    case KAL_TYPE_EMBEDDING:
        if (bytes.len != (size_t)type.dim * sizeof(float))
            return kal_error_set(err, status, "expected an embedding of %u numbers, got %zu",
                                 type.dim, bytes.len / sizeof(float));
        return KAL_OK;
    case KAL_TYPE_BYTES:
        break;
    default:
        if (!kal_utf8_valid(bytes))
            return kal_error_set(err, status, "%s is not valid UTF-8",
                                 kal_type_base_name((kal_type_tag)type.tag));
        break;
    }
    if (bytes.len > UINT32_MAX)
        return kal_error_set(err, status, "%s of %zu bytes exceeds the limit of %u bytes",
                             kal_type_base_name((kal_type_tag)type.tag), bytes.len, UINT32_MAX);
    return KAL_OK;
}

/* The one place that knows what a value of each type may be; status is INVALID for what a client
 * sent, CORRUPT for what was stored. */
static kal_status check_value(const kal_value *v, kal_status status, kal_error *err)
{
    if (kal_type_is_bytes(v->type))
        return check_bytes(v->type, v->bytes, status, err);
    switch (v->type.tag) {
    case KAL_TYPE_BOOLEAN:
    case KAL_TYPE_DOUBLE:
    case KAL_TYPE_FLOAT:
        return KAL_OK;
    case KAL_TYPE_DECIMAL:
        if (!decimal_in_range(v->decimal, v->type.precision))
            return out_of_range(v->type, status, err);
        return KAL_OK;
    default:
        if (!integer_in_range(v->integer, v->type.tag))
            return out_of_range(v->type, status, err);
        return KAL_OK;
    }
}

kal_status kal_value_validate(const kal_value *v, kal_error *err)
{
    if (v->is_null && v->type.tag == KAL_TYPE_NULL)
        return KAL_OK;
    if (!kal_type_valid(v->type))
        return kal_error_set(err, KAL_INVALID, "value has no valid type, its tag is 0x%02X",
                             v->type.tag);
    return v->is_null ? KAL_OK : check_value(v, KAL_INVALID, err);
}

bool kal_value_identical(const kal_value *a, const kal_value *b)
{
    if (a->is_null || b->is_null)
        return a->is_null && b->is_null;
    if (!kal_type_equal(a->type, b->type))
        return false;
    if (kal_type_is_bytes(a->type))
        return kal_bytes_equal(a->bytes, b->bytes);
    switch (a->type.tag) {
    case KAL_TYPE_BOOLEAN:
        return a->boolean == b->boolean;
    case KAL_TYPE_DOUBLE:
        return memcmp(&a->f64, &b->f64, sizeof a->f64) == 0;
    case KAL_TYPE_FLOAT:
        return memcmp(&a->f32, &b->f32, sizeof a->f32) == 0;
    case KAL_TYPE_DECIMAL:
        return a->decimal == b->decimal;
    default:
        return a->integer == b->integer;
    }
}

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

static int compare_double(double a, double b)
{
    if (isnan(a) || isnan(b))
        return COMPARE(isnan(a) != 0, isnan(b) != 0);
    return COMPARE(a, b);
}

static int compare_embedding(kal_bytes a, kal_bytes b)
{
    size_t shared = a.len < b.len ? a.len : b.len;
    for (size_t i = 0; i + sizeof(float) <= shared; i += sizeof(float)) {
        float x;
        float y;
        memcpy(&x, a.ptr + i, sizeof x);
        memcpy(&y, b.ptr + i, sizeof y);
        int order = compare_double(x, y); /* a float widens exactly */
        if (order != 0)
            return order;
    }
    return COMPARE(a.len, b.len);
}

/* v * 10^shift against other, without leaving 128 bits: a product that does not fit is beyond any
 * other, so the sign of v decides. */
static int compare_shifted(kal_i128 v, unsigned shift, kal_i128 other)
{
    kal_i128 factor = kal_pow10(shift);
    kal_i128 bound = (kal_i128)(~(kal_u128)0 >> 1) / factor;
    if (v > bound)
        return 1;
    if (v < -bound)
        return -1;
    /* Unsigned, because the checked signed product is missing from libgcc. */
    kal_i128 shifted = (kal_i128)((kal_u128)v * (kal_u128)factor);
    return COMPARE(shifted, other);
}

static int compare_decimal(const kal_value *a, const kal_value *b)
{
    if (a->type.scale == b->type.scale)
        return COMPARE(a->decimal, b->decimal);
    if (a->type.scale < b->type.scale)
        return compare_shifted(a->decimal, (unsigned)(b->type.scale - a->type.scale), b->decimal);
    return -compare_shifted(b->decimal, (unsigned)(a->type.scale - b->type.scale), a->decimal);
}

int kal_value_compare(const kal_value *a, const kal_value *b)
{
    KAL_ASSERT(a->type.tag == b->type.tag);
    KAL_ASSERT(!a->is_null);
    KAL_ASSERT(!b->is_null);
    switch (a->type.tag) {
    case KAL_TYPE_BOOLEAN:
        return COMPARE(a->boolean, b->boolean);
    case KAL_TYPE_DOUBLE:
        return compare_double(a->f64, b->f64);
    case KAL_TYPE_FLOAT:
        return compare_double(a->f32, b->f32);
    case KAL_TYPE_DECIMAL:
        return compare_decimal(a, b);
    case KAL_TYPE_EMBEDDING:
        return compare_embedding(a->bytes, b->bytes);
    case KAL_TYPE_TEXT:
    case KAL_TYPE_JSON:
    case KAL_TYPE_BYTES:
    case KAL_TYPE_FILE:
    case KAL_TYPE_UUID:
        return kal_bytes_compare(a->bytes, b->bytes);
    default:
        return COMPARE(a->integer, b->integer);
    }
}

bool kal_value_copy(const kal_value *v, kal_arena *arena, kal_value *copy_out)
{
    *copy_out = *v;
    if (v->is_null || !kal_type_is_bytes(v->type))
        return true;
    return kal_arena_try_copy(arena, v->bytes, &copy_out->bytes);
}

static void encode_long(kal_bytes bytes, kal_buf *out)
{
    if (bytes.len > UINT32_MAX) {
        out->failed = true; /* has no wire form; reported like any output that is too large */
        return;
    }
    kal_buf_append_le32(out, (uint32_t)bytes.len);
    kal_buf_append_bytes(out, bytes);
}

void kal_value_encode(const kal_value *v, kal_buf *out)
{
    if (v->is_null) {
        kal_buf_append_byte(out, KAL_TYPE_NULL);
        return;
    }
    kal_type_encode(v->type, out); /* also dim, and precision and scale */
    switch (v->type.tag) {
    case KAL_TYPE_BOOLEAN:
        kal_buf_append_byte(out, v->boolean ? 1 : 0);
        break;
    case KAL_TYPE_SMALLINT:
        kal_buf_append_le16(out, (uint16_t)v->integer);
        break;
    case KAL_TYPE_INT:
    case KAL_TYPE_DATE:
        kal_buf_append_le32(out, (uint32_t)v->integer);
        break;
    case KAL_TYPE_BIGINT:
    case KAL_TYPE_TIMESTAMP:
    case KAL_TYPE_DATETIME:
    case KAL_TYPE_TIME:
        kal_buf_append_le64(out, (uint64_t)v->integer);
        break;
    case KAL_TYPE_DOUBLE:
        kal_buf_append(out, &v->f64, sizeof v->f64);
        break;
    case KAL_TYPE_FLOAT:
        kal_buf_append(out, &v->f32, sizeof v->f32);
        break;
    case KAL_TYPE_DECIMAL:
        kal_buf_append(out, &v->decimal, sizeof v->decimal);
        break;
    case KAL_TYPE_UUID:
    case KAL_TYPE_EMBEDDING:
        kal_buf_append_bytes(out, v->bytes);
        break;
    default:
        encode_long(v->bytes, out);
        break;
    }
}

/* Bytes of the payload behind the type, for the types where the type alone says it; else 0. */
static size_t payload_bytes(kal_type type)
{
    if (type.tag == KAL_TYPE_EMBEDDING)
        return (size_t)type.dim * sizeof(float);
    return kal_type_fixed_bytes(type);
}

static kal_status cut_short(kal_type type, kal_error *err)
{
    return kal_error_set(err, KAL_CORRUPT, "encoded %s is cut short",
                         kal_type_base_name((kal_type_tag)type.tag));
}

/* Splits the payload off the front of *rest. */
static kal_status take_payload(kal_type type, kal_bytes *rest, kal_bytes *payload_out,
                               kal_error *err)
{
    size_t len = payload_bytes(type);
    if (len == 0) {
        if (rest->len < sizeof(uint32_t))
            return cut_short(type, err);
        len = kal_load_le32(rest->ptr);
        *rest = kal_bytes_of(rest->ptr + sizeof(uint32_t), rest->len - sizeof(uint32_t));
    }
    if (rest->len < len)
        return cut_short(type, err);
    *payload_out = kal_bytes_of(rest->ptr, len);
    *rest = kal_bytes_of(rest->ptr + len, rest->len - len);
    return KAL_OK;
}

static kal_status load_payload(kal_bytes payload, kal_value *v, kal_error *err)
{
    switch (v->type.tag) {
    case KAL_TYPE_BOOLEAN:
        if (payload.ptr[0] > 1)
            return kal_error_set(err, KAL_CORRUPT, "encoded BOOLEAN is %u, not 0 or 1",
                                 payload.ptr[0]);
        v->boolean = payload.ptr[0] == 1;
        return KAL_OK;
    case KAL_TYPE_SMALLINT:
        v->integer = (int16_t)kal_load_le16(payload.ptr);
        return KAL_OK;
    case KAL_TYPE_INT:
    case KAL_TYPE_DATE:
        v->integer = (int32_t)kal_load_le32(payload.ptr);
        return KAL_OK;
    case KAL_TYPE_BIGINT:
    case KAL_TYPE_TIMESTAMP:
    case KAL_TYPE_DATETIME:
    case KAL_TYPE_TIME:
        v->integer = (int64_t)kal_load_le64(payload.ptr);
        return KAL_OK;
    case KAL_TYPE_DOUBLE:
        memcpy(&v->f64, payload.ptr, sizeof v->f64);
        return KAL_OK;
    case KAL_TYPE_FLOAT:
        memcpy(&v->f32, payload.ptr, sizeof v->f32);
        return KAL_OK;
    case KAL_TYPE_DECIMAL:
        memcpy(&v->decimal, payload.ptr, sizeof v->decimal);
        return KAL_OK;
    default:
        v->bytes = payload;
        return KAL_OK;
    }
}

kal_status kal_value_decode(kal_bytes *input, kal_value *value_out, kal_error *err)
{
    kal_bytes rest = *input;
    kal_bytes payload = {0};
    kal_value v = kal_value_null(kal_type_of(KAL_TYPE_NULL));

    *value_out = v;
    if (rest.len > 0 && rest.ptr[0] == KAL_TYPE_NULL) {
        *input = kal_bytes_of(rest.ptr + 1, rest.len - 1);
        return KAL_OK;
    }
    KAL_TRY(kal_type_decode(&rest, &v.type, err));
    KAL_TRY(take_payload(v.type, &rest, &payload, err));
    v.is_null = false;
    KAL_TRY(load_payload(payload, &v, err));
    KAL_TRY(check_value(&v, KAL_CORRUPT, err));
    *input = rest;
    *value_out = v;
    return KAL_OK;
}
