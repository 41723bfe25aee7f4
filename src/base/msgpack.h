/*
 * msgpack.h: MessagePack out of JSON text, and MessagePack into the tree of json_reader.h.
 *
 * Numbers: an integer that fits 64 bits, signed or unsigned, is an integer in both; any other
 * number is a double (so "-0", "1.0" and integers beyond 64 bits too; what is beyond a double is an
 * infinity). Everything is written in its shortest form.
 *
 * Read is what JSON can say: ext, bin, keys that are not strings, keys that repeat, text that is
 * not UTF-8, NaN and infinities are refused.
 *
 * Source: github.com/msgpack/msgpack/blob/master/spec.md
 */
#ifndef KAL_BASE_MSGPACK_H
#define KAL_BASE_MSGPACK_H

#include "base/buf.h"
#include "base/json_reader.h"

#define KAL_MSGPACK_DEPTH_MAX                                                                      \
    192 /* when writing: JSON cells of full depth, and what holds them                             \
         */

/* Appends the members of an object, given as JSON text without the braces around it, as keys and
 * values without a map before them; *count_out is how many members. What the text is charged to,
 * while it is worked on, is out's budget. KAL_INVALID: not JSON; KAL_LIMIT: depth or budget. */
KAL_MUST_CHECK kal_status kal_msgpack_members(kal_bytes members, kal_buf *out, uint32_t *count_out,
                                              kal_error *err);

#define KAL_MSGPACK_MAP_BYTES_MAX 5
/* What stands before the members of a map; returns its length. */
size_t kal_msgpack_map_head(uint32_t count, uint8_t out[KAL_MSGPACK_MAP_BYTES_MAX]);

/* One value, as kal_json_parse() gives it: the tree and its texts live in the arena, numbers are
 * text. Nesting is bounded by KAL_JSON_READ_DEPTH_MAX, the tree's size by the number of bytes read.
 * KAL_INVALID with the byte offset as the error's position; KAL_UNSUPPORTED: bin or ext;
 * KAL_LIMIT. */
KAL_MUST_CHECK kal_status kal_msgpack_parse(kal_bytes bytes, kal_arena *arena, kal_json **json_out,
                                            kal_error *err);

#endif
