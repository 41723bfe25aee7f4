#include "expr/letter_case.h"

#include "base/assert.h"

#include <utf8proc.h>

enum { CHARACTER_BYTES_MAX = 4 };

static uint8_t map_ascii(uint8_t c, bool upper)
{
    bool changes = upper ? c >= 'a' && c <= 'z' : c >= 'A' && c <= 'Z';
    return changes ? c ^ 0x20 : c;
}

/* The character beyond ASCII at the front of text in the other case: its bytes in out, their
 * number; *len_out: of the character itself. */
static size_t map_character(kal_bytes text, bool upper, uint8_t out[CHARACTER_BYTES_MAX],
                            size_t *len_out)
{
    utf8proc_int32_t code = -1;
    utf8proc_ssize_t len = utf8proc_iterate(text.ptr, (utf8proc_ssize_t)text.len, &code);
    *len_out = len <= 0 ? 1 : (size_t)len;
    if (len <= 0) {
        out[0] = text.ptr[0];
        return 1;
    }
    return (size_t)utf8proc_encode_char(upper ? utf8proc_toupper(code) : utf8proc_tolower(code),
                                        out);
}

/* Bytes of the result; *same_out: it is the text itself. */
static size_t mapped_bytes(kal_bytes text, bool upper, bool *same_out)
{
    size_t bytes = 0;
    size_t len = 1;
    bool same = true;
    for (size_t at = 0; at < text.len; at += len) {
        uint8_t mapped[CHARACTER_BYTES_MAX];
        uint8_t c = text.ptr[at];
        if (c < 0x80) {
            same = same && map_ascii(c, upper) == c;
            len = 1;
            bytes++;
            continue;
        }
        size_t count =
            map_character(kal_bytes_of(text.ptr + at, text.len - at), upper, mapped, &len);
        same = same && count == len && memcmp(mapped, text.ptr + at, len) == 0;
        bytes += count;
    }
    *same_out = same;
    return bytes;
}

bool kal_letter_case(kal_bytes text, bool upper, kal_arena *arena, kal_bytes *out)
{
    bool same = false;
    size_t bytes = mapped_bytes(text, upper, &same);
    size_t len = 1;
    size_t filled = 0;
    *out = text;
    if (same)
        return true;
    uint8_t *copy = kal_arena_try_alloc(arena, bytes);
    if (copy == NULL)
        return false;
    for (size_t at = 0; at < text.len; at += len) {
        uint8_t mapped[CHARACTER_BYTES_MAX];
        size_t count = 1;
        len = 1;
        if (text.ptr[at] < 0x80)
            mapped[0] = map_ascii(text.ptr[at], upper);
        else
            count = map_character(kal_bytes_of(text.ptr + at, text.len - at), upper, mapped, &len);
        KAL_ASSERT(filled + count <= bytes);
        memcpy(copy + filled, mapped, count);
        filled += count;
    }
    *out = kal_bytes_of(copy, bytes);
    return true;
}
