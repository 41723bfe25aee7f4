/*
 * checksum.h: whether bytes are still what was written: XXH3, 64 bits, of what comes in pieces.
 *
 * Against disks, not against people: it is no signature.
 */
#ifndef KAL_BASE_CHECKSUM_H
#define KAL_BASE_CHECKSUM_H

#include "base/bytes.h"

typedef struct kal_checksum kal_checksum; /* opaque: kal_checksum_finish */

kal_checksum *kal_checksum_start(void);
void kal_checksum_add(kal_checksum *checksum, kal_bytes piece);
/* The checksum of all pieces; frees. */
uint64_t kal_checksum_finish(kal_checksum *checksum);

#endif
