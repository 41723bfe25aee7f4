/*
 * key.h: values as bytes whose unsigned byte order is the values' order: primary keys.
 *
 * Integers big-endian with the sign bit flipped; floats by the usual bit trick, NaN (one canonical
 * bit pattern) greatest; DECIMAL as a 16-byte integer; text and bytes with 00 escaped as 00 FF and
 * closed by 00 01, so that no key is a prefix of another and composite keys sort column by column;
 * UUID its 16 bytes; EMBEDDING its floats in turn. Every type has an encoding, though not every
 * type may be a PRIMARY KEY (kal_type_may_be_key). NULL is not encodable.
 */
#ifndef KAL_TYPES_KEY_H
#define KAL_TYPES_KEY_H

#include "types/value.h"

#define KAL_PRIMARY_KEY_BYTES_MAX 1024

/* Appends; v must not be NULL. */
void kal_key_append(kal_buf *out, const kal_value *v);
/* Reads a value of `type` from the front of *input and moves *input past it. Text is unescaped into
 * the arena. KAL_CORRUPT. -0.0 and NaN come back bit-exact except for NaN payloads. */
KAL_MUST_CHECK kal_status kal_key_decode(kal_bytes *input, kal_type type, kal_arena *arena,
                                         kal_value *value_out, kal_error *err);

#endif
