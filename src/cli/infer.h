/*
 * infer.h: the type of a column, from all its values.
 *
 * Each value says which types could hold it without loss; a column takes the narrowest type that
 * every value allows, and TEXT when there is none:
 *
 *   true, false              BOOLEAN
 *   42, -7                   BIGINT; also DOUBLE up to 2^53, beyond which a double would round
 *   1.5, 2e10, NaN           DOUBLE
 *   2024-02-29               DATE, TIMESTAMP
 *   2024-02-29 13:14:15      TIMESTAMP; with Z or an offset DATETIME, which keeps the moment
 *   JSON arrays and objects  JSON, which takes anything else along
 *   007, +1, over-long integers, "42" quoted in JSON, and all else: TEXT
 *
 * NULLs fit everywhere; a column of NULLs is TEXT. Threads: one at a time.
 */
#ifndef KAL_CLI_INFER_H
#define KAL_CLI_INFER_H

#include "cli/records.h"
#include "types/type.h"

typedef struct kal_infer {
    unsigned possible; /* bits: types that hold every value so far */
    uint64_t values;   /* not NULL */
    uint64_t nulls;
    int64_t last;   /* while ascending: the last value, an integer */
    bool ascending; /* every value is an integer and greater than the one before */
} kal_infer;

void kal_infer_init(kal_infer *infer);
void kal_infer_add(kal_infer *infer, const kal_cell *cell);
kal_type kal_infer_type(const kal_infer *infer);
/* True when the values are proven to be a key: integers, strictly ascending, never NULL. */
bool kal_infer_is_key(const kal_infer *infer);

#endif
