#include "base/checksum.h"
#include "base/assert.h"

#include <stdlib.h>
#include <xxhash.h>

struct kal_checksum {
    XXH3_state_t *state; /* owned */
};

kal_checksum *kal_checksum_start(void)
{
    kal_checksum *checksum = calloc(1, sizeof *checksum);
    if (checksum == NULL || (checksum->state = XXH3_createState()) == NULL)
        kal_die("out of memory: checksum");
    XXH3_64bits_reset(checksum->state);
    return checksum;
}

void kal_checksum_add(kal_checksum *checksum, kal_bytes piece)
{
    if (piece.len > 0)
        XXH3_64bits_update(checksum->state, piece.ptr, piece.len);
}

uint64_t kal_checksum_finish(kal_checksum *checksum)
{
    uint64_t sum = XXH3_64bits_digest(checksum->state);
    XXH3_freeState(checksum->state);
    free(checksum);
    return sum;
}
