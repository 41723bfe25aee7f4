/*
 * key.h: values as bytes whose unsigned byte order is the values' order: primary keys.
 *
 * Integers big-endian with the sign bit flipped; floats by the usual bit trick, NaN (one canonical
 * bit pattern) greatest and -0.0 as 0.0; DECIMAL as a 16-byte integer; text and bytes with 00
 * escaped as 00 FF and closed by 00 01, so that no key is a prefix of another and composite keys
 * sort column by column; UUID its 16 bytes; EMBEDDING its floats in turn. Every type has an
 * encoding, though not every type may be a PRIMARY KEY (kal_type_may_be_key). NULL is not
 * encodable.
 *
 * The order is exact, also in composites: for values of one column, memcmp() of two keys has the
 * sign of kal_value_compare(), and equal values have equal keys. So the bits that SQL's equality
 * does not see (the sign of zero, the payload of NaN) are not in a key.
 */
#ifndef KAL_TYPES_KEY_H
#define KAL_TYPES_KEY_H

#include "types/value.h"

#define KAL_PRIMARY_KEY_BYTES_MAX 1024

/* Appends; v must not be NULL. */
void kal_key_append(kal_buf *out, const kal_value *v);
/* Reads a value of `type` from the front of *input and moves *input past it. Text is unescaped into
 * the arena. Everything comes back bit-exact, but -0.0 as 0.0 and every NaN as the canonical one.
 * KAL_CORRUPT for what kal_key_append() does not write; KAL_LIMIT when the arena refuses. */
KAL_MUST_CHECK kal_status kal_key_decode(kal_bytes *input, kal_type type, kal_arena *arena,
                                         kal_value *value_out, kal_error *err);

#endif
