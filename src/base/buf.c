#include "base/buf.h"
#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_CAP = 64 };

void kal_buf_init(kal_buf *buf, kal_budget *budget)
{
    *buf = (kal_buf){.budget = budget};
}

void kal_buf_release(kal_buf *buf)
{
    free(buf->ptr);
    kal_budget_release(buf->budget, buf->cap);
    *buf = (kal_buf){.budget = buf->budget};
}

void kal_buf_clear(kal_buf *buf)
{
    buf->len = 0;
    buf->failed = false;
}

static bool grow(kal_buf *buf, size_t needed)
{
    size_t cap = buf->cap < FIRST_CAP ? FIRST_CAP : buf->cap;
    while (cap < needed) {
        if (!kal_try_mul(cap, (size_t)2, &cap))
            cap = needed;
    }
    if (!kal_budget_charge(buf->budget, cap - buf->cap)) {
        cap = needed; /* doubling may be what is too much */
        if (!kal_budget_charge(buf->budget, cap - buf->cap))
            return false;
    }
    uint8_t *ptr = realloc(buf->ptr, cap);
    if (ptr == NULL) {
        kal_budget_release(buf->budget, cap - buf->cap);
        if (buf->budget == NULL)
            kal_die("out of memory: %zu bytes", cap);
        return false;
    }
    buf->ptr = ptr;
    buf->cap = cap;
    return true;
}

bool kal_buf_reserve(kal_buf *buf, size_t more)
{
    size_t needed = 0;
    if (buf->failed)
        return false;
    if (!kal_try_add(buf->len, more, &needed) || (needed > buf->cap && !grow(buf, needed))) {
        buf->failed = true;
        return false;
    }
    return true;
}

void kal_buf_append(kal_buf *buf, const void *bytes, size_t len)
{
    if (len == 0 || !kal_buf_reserve(buf, len))
        return;
    memcpy(buf->ptr + buf->len, bytes, len);
    buf->len += len;
}

void kal_buf_append_bytes(kal_buf *buf, kal_bytes bytes)
{
    kal_buf_append(buf, bytes.ptr, bytes.len);
}

void kal_buf_append_cstr(kal_buf *buf, const char *text)
{
    kal_buf_append(buf, text, strlen(text));
}

void kal_buf_append_byte(kal_buf *buf, uint8_t byte)
{
    if (!kal_buf_reserve(buf, 1))
        return;
    buf->ptr[buf->len++] = byte;
}

void kal_buf_append_le16(kal_buf *buf, uint16_t v)
{
    kal_buf_append(buf, &v, sizeof v);
}

void kal_buf_append_le32(kal_buf *buf, uint32_t v)
{
    kal_buf_append(buf, &v, sizeof v);
}

void kal_buf_append_le64(kal_buf *buf, uint64_t v)
{
    kal_buf_append(buf, &v, sizeof v);
}

void kal_buf_append_be16(kal_buf *buf, uint16_t v)
{
    kal_buf_append_le16(buf, __builtin_bswap16(v));
}

void kal_buf_append_be32(kal_buf *buf, uint32_t v)
{
    kal_buf_append_le32(buf, __builtin_bswap32(v));
}

void kal_buf_append_be64(kal_buf *buf, uint64_t v)
{
    kal_buf_append_le64(buf, __builtin_bswap64(v));
}

void kal_buf_append_u64_text(kal_buf *buf, uint64_t v)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    kal_buf_append(buf, digits + at, sizeof digits - at);
}

void kal_buf_append_i64_text(kal_buf *buf, int64_t v)
{
    if (v < 0)
        kal_buf_append_byte(buf, '-');
    kal_buf_append_u64_text(buf, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void kal_buf_printf(kal_buf *buf, const char *format, ...)
{
    va_list args;
    va_list again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    KAL_ASSERT(len >= 0);
    if (kal_buf_reserve(buf, (size_t)len + 1)) {
        vsnprintf((char *)buf->ptr + buf->len, (size_t)len + 1, format, again);
        buf->len += (size_t)len;
    }
    va_end(again);
    va_end(args);
}

void kal_buf_truncate(kal_buf *buf, size_t len)
{
    KAL_ASSERT(len <= buf->len);
    buf->len = len;
}

uint8_t *kal_buf_take(kal_buf *buf, size_t *len_out)
{
    uint8_t *ptr = buf->ptr;
    *len_out = buf->len;
    kal_budget_release(buf->budget, buf->cap);
    *buf = (kal_buf){.budget = buf->budget};
    return ptr;
}

void kal_buf_append_text(kal_buf *buf, kal_bytes text)
{
    kal_buf_append_le32(buf, (uint32_t)text.len);
    kal_buf_append_bytes(buf, text);
}
