/*
 * key.c: order-preserving bytes.
 *
 * A number becomes an unsigned integer of the same order, stored big-endian: signed ones by
 * flipping the sign bit; floats likewise when positive, with all bits flipped when negative, after
 * -0.0 became 0.0 and every NaN the positive quiet one, which is above +infinity.
 *
 * The encoding is canonical and decoding refuses anything else: two keys of one value would be two
 * rows of one primary key.
 */
#include "types/key.h"
#include "base/assert.h"

#include <math.h>

enum { ESCAPE = 0x00, ESCAPED_ZERO = 0xFF, TERMINATOR = 0x01 };

#define SIGN_16 UINT16_C(0x8000)
#define SIGN_32 UINT32_C(0x80000000)
#define SIGN_64 UINT64_C(0x8000000000000000)

#define CANONICAL_NAN_32 UINT32_C(0x7FC00000)
#define CANONICAL_NAN_64 UINT64_C(0x7FF8000000000000)

static uint32_t float_to_ordered(float v)
{
    uint32_t bits = CANONICAL_NAN_32;
    if (v == 0)
        bits = 0;
    else if (!isnan(v))
        memcpy(&bits, &v, sizeof bits);
    return (bits & SIGN_32) != 0 ? ~bits : bits | SIGN_32;
}

static uint64_t double_to_ordered(double v)
{
    uint64_t bits = CANONICAL_NAN_64;
    if (v == 0)
        bits = 0;
    else if (!isnan(v))
        memcpy(&bits, &v, sizeof bits);
    return (bits & SIGN_64) != 0 ? ~bits : bits | SIGN_64;
}

/* false when no float has this image: -0.0 or another NaN. */
static bool float_from_ordered(uint32_t ordered, float *out)
{
    uint32_t bits = (ordered & SIGN_32) != 0 ? ordered & ~SIGN_32 : ~ordered;
    memcpy(out, &bits, sizeof bits);
    return float_to_ordered(*out) == ordered;
}

static bool double_from_ordered(uint64_t ordered, double *out)
{
    uint64_t bits = (ordered & SIGN_64) != 0 ? ordered & ~SIGN_64 : ~ordered;
    memcpy(out, &bits, sizeof bits);
    return double_to_ordered(*out) == ordered;
}

/* 00 becomes 00 FF and 00 01 closes: a shorter text, then 00 01, sorts before any longer one. */
static void append_escaped(kal_buf *out, kal_bytes bytes)
{
    const uint8_t *p = bytes.ptr;
    size_t left = bytes.len;
    while (left > 0) {
        const uint8_t *zero = memchr(p, ESCAPE, left);
        size_t plain = zero == NULL ? left : (size_t)(zero - p) + 1;
        kal_buf_append(out, p, plain);
        if (zero != NULL)
            kal_buf_append_byte(out, ESCAPED_ZERO);
        p += plain;
        left -= plain;
    }
    kal_buf_append(out, (const uint8_t[]){ESCAPE, TERMINATOR}, 2);
}

static void append_decimal(kal_buf *out, kal_i128 v)
{
    kal_u128 bits = (kal_u128)v;
    kal_buf_append_be64(out, (uint64_t)(bits >> 64) ^ SIGN_64);
    kal_buf_append_be64(out, (uint64_t)bits);
}

static void append_embedding(kal_buf *out, kal_bytes bytes)
{
    if (!kal_buf_reserve(out, bytes.len))
        return;
    for (size_t i = 0; i + sizeof(float) <= bytes.len; i += sizeof(float)) {
        float v;
        memcpy(&v, bytes.ptr + i, sizeof v);
        kal_buf_append_be32(out, float_to_ordered(v));
    }
}

void kal_key_append(kal_buf *out, const kal_value *v)
{
    KAL_ASSERT(!v->is_null);
    KAL_ASSERT(kal_type_valid(v->type));
    switch (v->type.tag) {
    case KAL_TYPE_BOOLEAN:
        kal_buf_append_byte(out, v->boolean ? 1 : 0);
        break;
    case KAL_TYPE_SMALLINT:
        kal_buf_append_be16(out, (uint16_t)v->integer ^ SIGN_16);
        break;
    case KAL_TYPE_INT:
    case KAL_TYPE_DATE:
        kal_buf_append_be32(out, (uint32_t)v->integer ^ SIGN_32);
        break;
    case KAL_TYPE_BIGINT:
    case KAL_TYPE_TIMESTAMP:
    case KAL_TYPE_DATETIME:
    case KAL_TYPE_TIME:
        kal_buf_append_be64(out, (uint64_t)v->integer ^ SIGN_64);
        break;
    case KAL_TYPE_DOUBLE:
        kal_buf_append_be64(out, double_to_ordered(v->f64));
        break;
    case KAL_TYPE_FLOAT:
        kal_buf_append_be32(out, float_to_ordered(v->f32));
        break;
    case KAL_TYPE_DECIMAL:
        append_decimal(out, v->decimal);
        break;
    case KAL_TYPE_UUID:
        KAL_ASSERT(v->bytes.len == 16);
        kal_buf_append_bytes(out, v->bytes);
        break;
    case KAL_TYPE_EMBEDDING:
        KAL_ASSERT(v->bytes.len == (size_t)v->type.dim * sizeof(float));
        append_embedding(out, v->bytes);
        break;
    default:
        append_escaped(out, v->bytes);
        break;
    }
}

static kal_status malformed(kal_type type, kal_error *err)
{
    char name[KAL_TYPE_NAME_BYTES];
    return kal_error_set(err, KAL_CORRUPT, "key of type %s is malformed",
                         kal_type_name(type, name));
}

static kal_status too_large(size_t bytes, kal_error *err)
{
    return kal_error_set(err, KAL_LIMIT, "key of %zu bytes exceeds the memory limit", bytes);
}

/* Measures an escaped text: the bytes up to its terminator, and how many it holds. */
static bool measure_escaped(kal_bytes input, size_t *encoded_out, size_t *plain_out)
{
    size_t at = 0;
    size_t escapes = 0;
    for (;;) {
        const uint8_t *zero =
            input.len > at ? memchr(input.ptr + at, ESCAPE, input.len - at) : NULL;
        if (zero == NULL)
            return false;
        at = (size_t)(zero - input.ptr) + 1;
        if (at == input.len)
            return false;
        if (input.ptr[at] == TERMINATOR)
            break;
        if (input.ptr[at] != ESCAPED_ZERO)
            return false;
        at++;
        escapes++;
    }
    *encoded_out = at - 1;
    *plain_out = at - 1 - escapes;
    return true;
}

static void unescape(kal_bytes escaped, uint8_t *out)
{
    const uint8_t *p = escaped.ptr;
    size_t left = escaped.len;
    while (left > 0) {
        const uint8_t *zero = memchr(p, ESCAPE, left);
        size_t plain = zero == NULL ? left : (size_t)(zero - p) + 1;
        memcpy(out, p, plain);
        out += plain;
        size_t taken = zero == NULL ? plain : plain + 1;
        p += taken;
        left -= taken;
    }
}

static kal_status decode_escaped(kal_bytes *input, kal_arena *arena, kal_value *v, kal_error *err)
{
    size_t encoded = 0;
    size_t plain = 0;
    if (!measure_escaped(*input, &encoded, &plain))
        return malformed(v->type, err);
    uint8_t *bytes = kal_arena_try_alloc(arena, plain);
    if (bytes == NULL)
        return too_large(plain, err);
    unescape(kal_bytes_of(input->ptr, encoded), bytes);
    v->bytes = kal_bytes_of(bytes, plain);
    if (v->type.tag != KAL_TYPE_BYTES && !kal_utf8_valid(v->bytes))
        return malformed(v->type, err);
    size_t taken = encoded + 2;
    *input = kal_bytes_of(input->ptr + taken, input->len - taken);
    return KAL_OK;
}

static kal_status decode_embedding(const uint8_t *p, kal_arena *arena, kal_value *v, kal_error *err)
{
    size_t bytes = (size_t)v->type.dim * sizeof(float);
    uint8_t *out = kal_arena_try_alloc(arena, bytes);
    if (out == NULL)
        return too_large(bytes, err);
    for (size_t i = 0; i < bytes; i += sizeof(float)) {
        float element;
        if (!float_from_ordered(kal_load_be32(p + i), &element))
            return malformed(v->type, err);
        memcpy(out + i, &element, sizeof element);
    }
    v->bytes = kal_bytes_of(out, bytes);
    return KAL_OK;
}

/* A key of constant length, all of it at p. */
static kal_status decode_fixed(const uint8_t *p, kal_arena *arena, kal_value *v, kal_error *err)
{
    bool ok = true;
    switch (v->type.tag) {
    case KAL_TYPE_BOOLEAN:
        ok = *p <= 1;
        v->boolean = *p == 1;
        break;
    case KAL_TYPE_SMALLINT:
        v->integer = (int16_t)(kal_load_be16(p) ^ SIGN_16);
        break;
    case KAL_TYPE_INT:
    case KAL_TYPE_DATE:
        v->integer = (int32_t)(kal_load_be32(p) ^ SIGN_32);
        break;
    case KAL_TYPE_DOUBLE:
        ok = double_from_ordered(kal_load_be64(p), &v->f64);
        break;
    case KAL_TYPE_FLOAT:
        ok = float_from_ordered(kal_load_be32(p), &v->f32);
        break;
    case KAL_TYPE_DECIMAL:
        v->decimal =
            (kal_i128)((kal_u128)(kal_load_be64(p) ^ SIGN_64) << 64 | kal_load_be64(p + 8));
        break;
    case KAL_TYPE_UUID:
        if (!kal_arena_try_copy(arena, kal_bytes_of(p, 16), &v->bytes))
            return too_large(16, err);
        break;
    case KAL_TYPE_EMBEDDING:
        return decode_embedding(p, arena, v, err);
    default: /* BIGINT, TIMESTAMP, DATETIME, TIME */
        v->integer = (int64_t)(kal_load_be64(p) ^ SIGN_64);
        break;
    }
    /* Times and DECIMAL have bounds narrower than their bytes. */
    if (!ok || kal_value_validate(v, NULL) != KAL_OK)
        return malformed(v->type, err);
    return KAL_OK;
}

kal_status kal_key_decode(kal_bytes *input, kal_type type, kal_arena *arena, kal_value *value_out,
                          kal_error *err)
{
    KAL_ASSERT(kal_type_valid(type));
    kal_value v = {.type = type};
    size_t bytes = type.tag == KAL_TYPE_EMBEDDING ? (size_t)type.dim * sizeof(float)
                                                  : kal_type_fixed_bytes(type);

    *value_out = kal_value_null(type);
    if (bytes == 0) {
        KAL_TRY(decode_escaped(input, arena, &v, err));
    } else {
        if (input->len < bytes)
            return malformed(type, err);
        KAL_TRY(decode_fixed(input->ptr, arena, &v, err));
        *input = kal_bytes_of(input->ptr + bytes, input->len - bytes);
    }
    *value_out = v;
    return KAL_OK;
}
