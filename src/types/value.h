/*
 * value.h: one value of one of the 17 types, or NULL.
 *
 * 32 bytes, passed by pointer. Bytes are borrowed (from a row, an arena, the SQL text); whoever
 * makes a value says how long they live.
 */
#ifndef KAL_TYPES_VALUE_H
#define KAL_TYPES_VALUE_H

#include "base/arena.h"
#include "types/type.h"

typedef struct kal_value {
    kal_type type; /* of the value; tag KAL_TYPE_NULL for a NULL of unknown type */
    bool is_null;
    union {
        bool boolean;
        int64_t integer;  /* SMALLINT, INT, BIGINT; DATE: days, +-INT32_MAX are the infinities;
                             TIMESTAMP, DATETIME, TIME: us, +-INT64_MAX are the infinities */
        double f64;       /* DOUBLE */
        float f32;        /* FLOAT */
        kal_i128 decimal; /* DECIMAL: unscaled, |v| < 10^precision */
        kal_bytes bytes;  /* TEXT, JSON, FILE: UTF-8; BYTES; UUID: 16 bytes, big-endian as in RFC
                             9562; EMBEDDING: dim little-endian floats, at any alignment */
    };
} kal_value;

_Static_assert(sizeof(kal_value) == 32, "values are copied a lot");

static inline kal_value kal_value_null(kal_type type)
{
    return (kal_value){.type = type, .is_null = true};
}
static inline kal_value kal_value_boolean(bool v)
{
    return (kal_value){.type = kal_type_of(KAL_TYPE_BOOLEAN), .boolean = v};
}
/* For every type that is held in .integer. */
static inline kal_value kal_value_integer(kal_type_tag tag, int64_t v)
{
    return (kal_value){.type = kal_type_of(tag), .integer = v};
}
static inline kal_value kal_value_bigint(int64_t v)
{
    return kal_value_integer(KAL_TYPE_BIGINT, v);
}
static inline kal_value kal_value_double(double v)
{
    return (kal_value){.type = kal_type_of(KAL_TYPE_DOUBLE), .f64 = v};
}
static inline kal_value kal_value_float(float v)
{
    return (kal_value){.type = kal_type_of(KAL_TYPE_FLOAT), .f32 = v};
}
static inline kal_value kal_value_decimal(kal_type type, kal_i128 v)
{
    return (kal_value){.type = type, .decimal = v};
}
/* TEXT, JSON, BYTES, FILE, UUID by tag; borrowed. */
static inline kal_value kal_value_bytes(kal_type type, kal_bytes v)
{
    return (kal_value){.type = type, .bytes = v};
}
static inline kal_value kal_value_text(kal_bytes v)
{
    return kal_value_bytes(kal_type_of(KAL_TYPE_TEXT), v);
}

/* Holds what its type promises: ranges, lengths, UTF-8, valid JSON is NOT checked here. KAL_INVALID
 * with a message that names the type. */
KAL_MUST_CHECK kal_status kal_value_validate(const kal_value *v, kal_error *err);

/* Bit-exact equality, also of NaN and -0.0; NULL equals NULL. For tests and change detection. */
bool kal_value_identical(const kal_value *a, const kal_value *b);

/*
 * SQL order of two non-NULL values of the same type: <0, 0, >0. DuckDB's: NaN equals itself and is
 * the greatest, -0.0 = 0.0, text and bytes by unsigned bytes, false < true, EMBEDDING element by
 * element, DECIMAL of any two scales exactly.
 */
int kal_value_compare(const kal_value *a, const kal_value *b);

/* Copies borrowed bytes into the arena; false when its budget refuses. */
KAL_MUST_CHECK bool kal_value_copy(const kal_value *v, kal_arena *arena, kal_value *copy_out);

/*
 * Wire form (borders: defaults, catalog, change feed): the type's tag, then the payload,
 * little-endian: BOOLEAN 1 byte; INT i32; BIGINT, TIMESTAMP, DATETIME, TIME i64; DATE i32; SMALLINT
 * i16; DOUBLE f64; FLOAT f32; TEXT, JSON, BYTES, FILE u32 length + bytes; EMBEDDING u32 dim + f32s;
 * UUID 16 bytes; DECIMAL u8 precision, u8 scale, i128. NULL of any type is the one byte 00.
 */
void kal_value_encode(const kal_value *v, kal_buf *out);
/* Reads one value from the front of *input and moves *input past it; bytes borrow from the input.
 * Any malformed input (unknown tag, short, boolean 2, text not UTF-8, time out of range) is
 * KAL_CORRUPT, never a crash. */
KAL_MUST_CHECK kal_status kal_value_decode(kal_bytes *input, kal_value *value_out, kal_error *err);

#endif
