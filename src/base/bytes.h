/*
 * bytes.h: a borrowed run of bytes; text is the same thing, in UTF-8 and without a closing NUL.
 *
 * A kal_bytes owns nothing. Whoever hands one out says how long it lives.
 */
#ifndef KAL_BASE_BYTES_H
#define KAL_BASE_BYTES_H

#include "base/defs.h"

#include <string.h>

typedef struct kal_bytes {
    const uint8_t *ptr; /* borrowed; may be NULL when len is 0 */
    size_t len;         /* bytes */
} kal_bytes;

/* A string literal as kal_bytes, usable in static initialisers. */
#define KAL_STR(literal) ((kal_bytes){(const uint8_t *)("" literal), sizeof(literal) - 1})
/* printf arguments for "%.*s". */
#define KAL_FMT(b) (int)((b).len > 4096 ? 4096 : (b).len), (const char *)((b).ptr)

static inline kal_bytes kal_bytes_of(const void *ptr, size_t len)
{
    return (kal_bytes){(const uint8_t *)ptr, len};
}

static inline kal_bytes kal_cstr(const char *text)
{
    return (kal_bytes){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
}

static inline bool kal_bytes_equal(kal_bytes a, kal_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Unsigned byte order, a shorter prefix first. <0, 0 or >0. */
static inline int kal_bytes_compare(kal_bytes a, kal_bytes b)
{
    size_t shared = a.len < b.len ? a.len : b.len;
    int order = shared == 0 ? 0 : memcmp(a.ptr, b.ptr, shared);
    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

static inline bool kal_bytes_starts_with(kal_bytes b, kal_bytes prefix)
{
    return b.len >= prefix.len && (prefix.len == 0 || memcmp(b.ptr, prefix.ptr, prefix.len) == 0);
}

static inline char kal_ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Equal when ASCII letters are folded: for keywords and identifiers, never for data. */
bool kal_bytes_equal_nocase(kal_bytes a, kal_bytes b);

/* Valid UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF). NUL is valid. */
bool kal_utf8_valid(kal_bytes text);

/* Edit distance, ASCII case folded, of names up to 64 bytes; a larger number for longer ones. */
size_t kal_edit_distance(kal_bytes a, kal_bytes b);

/* The next byte string of this length, in unsigned byte order; after all ones come all zeros. */
static inline void kal_bytes_increment(uint8_t *p, size_t len)
{
    while (len > 0 && ++p[len - 1] == 0)
        len--;
}

/* Fixed-width integers at any address, as stored: little-endian by default, be where said. */
static inline void kal_store_le16(uint8_t *p, uint16_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline void kal_store_le32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline void kal_store_le64(uint8_t *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline uint16_t kal_load_le16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint32_t kal_load_le32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint64_t kal_load_le64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void kal_store_be16(uint8_t *p, uint16_t v)
{
    kal_store_le16(p, __builtin_bswap16(v));
}
static inline void kal_store_be32(uint8_t *p, uint32_t v)
{
    kal_store_le32(p, __builtin_bswap32(v));
}
static inline void kal_store_be64(uint8_t *p, uint64_t v)
{
    kal_store_le64(p, __builtin_bswap64(v));
}
static inline uint16_t kal_load_be16(const uint8_t *p)
{
    return __builtin_bswap16(kal_load_le16(p));
}
static inline uint32_t kal_load_be32(const uint8_t *p)
{
    return __builtin_bswap32(kal_load_le32(p));
}
static inline uint64_t kal_load_be64(const uint8_t *p)
{
    return __builtin_bswap64(kal_load_le64(p));
}

/* Reading fields off the front of *input, which moves past them; false when it is too short. */
static inline bool kal_bytes_take(kal_bytes *input, size_t len, kal_bytes *out)
{
    if (input->len < len)
        return false;
    *out = kal_bytes_of(input->ptr, len);
    input->ptr += len;
    input->len -= len;
    return true;
}
static inline bool kal_bytes_take_u8(kal_bytes *input, uint8_t *out)
{
    kal_bytes field;
    if (!kal_bytes_take(input, 1, &field))
        return false;
    *out = field.ptr[0];
    return true;
}
static inline bool kal_bytes_take_le32(kal_bytes *input, uint32_t *out)
{
    kal_bytes field;
    if (!kal_bytes_take(input, 4, &field))
        return false;
    *out = kal_load_le32(field.ptr);
    return true;
}
static inline bool kal_bytes_take_le64(kal_bytes *input, uint64_t *out)
{
    kal_bytes field;
    if (!kal_bytes_take(input, 8, &field))
        return false;
    *out = kal_load_le64(field.ptr);
    return true;
}
/* u32 length, then so many bytes. */
static inline bool kal_bytes_take_text(kal_bytes *input, kal_bytes *out)
{
    uint32_t len;
    return kal_bytes_take_le32(input, &len) && kal_bytes_take(input, len, out);
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "KalamDB stores little-endian and has only been built on little-endian machines"
#endif

#endif
