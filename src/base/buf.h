/*
 * buf.h: a growing run of bytes; the string builder, the encoder's output and the reply body.
 *
 * Failure is sticky: when the budget refuses to let it grow, the buffer remembers it and ignores
 * what follows; the writer asks once, at the end, with kal_buf_failed(). len never exceeds what was
 * written in full. Threads: one at a time.
 */
#ifndef KAL_BASE_BUF_H
#define KAL_BASE_BUF_H

#include "base/budget.h"
#include "base/bytes.h"

typedef struct kal_buf {
    uint8_t *ptr; /* owned, malloc */
    size_t len;
    size_t cap;
    kal_budget *budget; /* borrowed, NULL = unlimited (then out of memory ends the process) */
    bool failed;
} kal_buf;

void kal_buf_init(kal_buf *buf, kal_budget *budget);
void kal_buf_release(kal_buf *buf);
/* Empties the buffer and its failure; keeps the memory. */
void kal_buf_clear(kal_buf *buf);

/* Room for `more` further bytes, to be filled by the caller; false (and failed) when refused. */
bool kal_buf_reserve(kal_buf *buf, size_t more);
void kal_buf_append(kal_buf *buf, const void *bytes, size_t len);
void kal_buf_append_bytes(kal_buf *buf, kal_bytes bytes);
void kal_buf_append_cstr(kal_buf *buf, const char *text);
void kal_buf_append_byte(kal_buf *buf, uint8_t byte);
void kal_buf_append_le16(kal_buf *buf, uint16_t v);
void kal_buf_append_le32(kal_buf *buf, uint32_t v);
void kal_buf_append_le64(kal_buf *buf, uint64_t v);
/* What kal_bytes_take_text() reads: u32 length, then the bytes. */
void kal_buf_append_text(kal_buf *buf, kal_bytes text);
void kal_buf_append_be16(kal_buf *buf, uint16_t v);
void kal_buf_append_be32(kal_buf *buf, uint32_t v);
void kal_buf_append_be64(kal_buf *buf, uint64_t v);
void kal_buf_append_i64_text(kal_buf *buf, int64_t v);
void kal_buf_append_u64_text(kal_buf *buf, uint64_t v);
void kal_buf_printf(kal_buf *buf, const char *format, ...) KAL_PRINTF(2, 3);
/* Shortens to len, e.g. to take back a half-written record. */
void kal_buf_truncate(kal_buf *buf, size_t len);

static inline kal_bytes kal_buf_bytes(const kal_buf *buf)
{
    return kal_bytes_of(buf->ptr, buf->len);
}
static inline bool kal_buf_failed(const kal_buf *buf)
{
    return buf->failed;
}
/* Moves the bytes out: the caller frees ptr with free(); the charge to the budget is released. */
uint8_t *kal_buf_take(kal_buf *buf, size_t *len_out);

#endif
