/*
 * hash.h: a hash of a set of rows that does not depend on their order, so that a client can prove
 * that it has what the server thinks it has.
 *
 * The hash of a row is the first 16 bytes of the SHA-256 of its cells, in the order of the schema;
 * that of a set is the sum of its rows' as little-endian numbers of 128 bits, so rows can come and
 * go. A cell is what the client reads out of the JSON:
 *
 *     null 00, false 01, true 02, number 03 and the double little-endian, string 04, u32 length and
 *     UTF-8, array 05, u32 count and cells, object 06, u32 count and for each member its name (as a
 *     string without the 04) and its cell; counts and lengths little-endian
 *
 * Source: docs/websocket.md
 */
#ifndef KAL_LIVE_HASH_H
#define KAL_LIVE_HASH_H

#include "base/message.h"
#include "sql/bind_live.h"

typedef struct live_hash {
    uint64_t low;
    uint64_t high;
} live_hash;

void live_hash_add(live_hash *sum, live_hash row);
void live_hash_remove(live_hash *sum, live_hash row);
#define LIVE_HASH_HEX_LEN 32
/* The number, most significant digit first, and a NUL. */
void live_hash_hex(live_hash hash, char out[LIVE_HASH_HEX_LEN + 1]);
/* Of a row as it is sent: JSON members, of which those of the plan's items count. KAL_LIMIT. */
KAL_MUST_CHECK kal_status live_hash_row(const kal_live_plan *plan, kal_bytes members,
                                        kal_budget *budget, live_hash *out, kal_error *err);

#endif
