#include "base/bytes.h"

bool kal_bytes_equal_nocase(kal_bytes a, kal_bytes b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (kal_ascii_lower((char)a.ptr[i]) != kal_ascii_lower((char)b.ptr[i]))
            return false;
    }
    return true;
}

/* Length of the well-formed sequence at p, or 0. The bounds are table 3-7 of the Unicode standard.
 */
static size_t utf8_sequence_len(const uint8_t *p, size_t left)
{
    uint8_t lead = p[0];
    uint8_t low = 0x80;
    uint8_t high = 0xBF;
    size_t len = 0;

    if (lead < 0x80)
        return 1;
    if (lead >= 0xC2 && lead <= 0xDF) {
        len = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        len = 3;
        low = lead == 0xE0 ? 0xA0 : 0x80;
        high = lead == 0xED ? 0x9F : 0xBF;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        len = 4;
        low = lead == 0xF0 ? 0x90 : 0x80;
        high = lead == 0xF4 ? 0x8F : 0xBF;
    } else {
        return 0;
    }
    if (left < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    }
    return len;
}

bool kal_utf8_valid(kal_bytes text)
{
    size_t i = 0;
    while (i < text.len) {
        if (text.len - i >= 8 && (kal_load_le64(text.ptr + i) & 0x8080808080808080u) == 0) {
            i += 8;
            continue;
        }
        size_t len = utf8_sequence_len(text.ptr + i, text.len - i);
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}

enum { EDIT_LEN_MAX = 64 };

size_t kal_edit_distance(kal_bytes a, kal_bytes b)
{
    size_t row[EDIT_LEN_MAX + 1];

    if (a.len > EDIT_LEN_MAX || b.len > EDIT_LEN_MAX)
        return EDIT_LEN_MAX + 1;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            bool same = kal_ascii_lower((char)a.ptr[i - 1]) == kal_ascii_lower((char)b.ptr[j - 1]);
            size_t best = diagonal + (same ? 0 : 1);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[b.len];
}
