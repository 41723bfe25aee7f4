/*
 * deflate.h: raw deflate (RFC 1951) of whole buffers, inflate of pieces, and crc32; the one wrapper
 * of zlib.
 *
 * What is deflated here ends at a byte boundary with an empty stored block (a sync flush): the four
 * bytes KAL_DEFLATE_END. So such texts can be put one behind the other, or behind a stored block of
 * somebody else's, and cutting the four bytes off gives what permessage-deflate sends.
 *
 * Threads: an inflater is one thread's at a time; the functions may be called by any.
 */
#ifndef KAL_BASE_DEFLATE_H
#define KAL_BASE_DEFLATE_H

#include "base/buf.h"
#include "base/error.h"

#define KAL_DEFLATE_END ((kal_bytes){(const uint8_t *)"\x00\x00\xFF\xFF", 4})

#define KAL_DEFLATE_WINDOW_BYTES 32768 /* the farthest that deflate can look back */

/* Appends the deflated input. A copy at distance d is only made when d <= input.len, so a receiver
 * whose window is not smaller than the input can always read it. KAL_LIMIT when out's budget
 * refuses the output or the memory of the work; out is then as before, but for its failure. */
KAL_MUST_CHECK kal_status kal_deflate(kal_bytes input, kal_buf *out, kal_error *err);

typedef struct kal_inflater kal_inflater; /* opaque: kal_inflater_close */

/* NULL when the budget refuses. */
KAL_MUST_CHECK kal_inflater *kal_inflater_open(kal_budget *budget);
void kal_inflater_close(kal_inflater *inflater); /* NULL is allowed */

/* Appends what the next piece of deflated bytes says, out->len never passing out_len_max. A final
 * block may be followed by further ones (RFC 7692 section 7.2.3.4). KAL_INVALID: this is no
 * deflate; KAL_LIMIT: too much comes out of it, or the budget refuses. Not to be used further after
 * that. */
KAL_MUST_CHECK kal_status kal_inflater_add(kal_inflater *inflater, kal_bytes piece,
                                           size_t out_len_max, kal_buf *out, kal_error *err);
/* All blocks that were begun are complete. */
bool kal_inflater_at_block_end(const kal_inflater *inflater);
/* What comes next is a stream of its own. */
void kal_inflater_reset(kal_inflater *inflater);

uint32_t kal_crc32(kal_bytes bytes);

/* The crc32 of A followed by B out of theirs. The operator depends only on B's length and is worth
 * keeping: making it costs several times as much as using it. */
typedef uint32_t kal_crc32_operator;
kal_crc32_operator kal_crc32_operator_of(size_t b_len);
uint32_t kal_crc32_combine(uint32_t a, uint32_t b, kal_crc32_operator operator_of_b);

#endif
