#include "expr/expr.h"

/* Bytes of the UTF-8 character that starts at p; text columns are valid UTF-8. */
static size_t character_bytes(const uint8_t *p, const uint8_t *end)
{
    size_t len = *p < 0x80 ? 1 : *p < 0xE0 ? 2 : *p < 0xF0 ? 3 : 4;
    return len <= (size_t)(end - p) ? len : (size_t)(end - p);
}

/*
 * Greedy match with one remembered '%': when a later byte does not fit, the text under the last '%'
 * grows by one. Earlier '%' never need to be tried again, since the shortest match of what stood
 * between them is as good as any.
 */
bool kal_like_match(kal_bytes text, kal_bytes pattern, uint8_t escape)
{
    const uint8_t *t = text.ptr;
    const uint8_t *t_end = text.ptr + text.len;
    const uint8_t *p = pattern.ptr;
    const uint8_t *p_end = pattern.ptr + pattern.len;
    const uint8_t *retry_t = NULL;
    const uint8_t *retry_p = NULL;

    while (t < t_end || p < p_end) {
        if (p < p_end) {
            bool escaped = escape != 0 && *p == escape && p + 1 < p_end;
            if (!escaped && *p == '%') {
                retry_p = ++p;
                retry_t = t;
                continue;
            }
            const uint8_t *wanted = escaped ? p + 1 : p;
            if (t < t_end && !escaped && *p == '_') {
                t += character_bytes(t, t_end);
                p++;
                continue;
            }
            if (t < t_end && *t == *wanted) {
                t++;
                p = wanted + 1;
                continue;
            }
        }
        if (retry_p == NULL || retry_t >= t_end)
            return false;
        retry_t += character_bytes(retry_t, t_end);
        t = retry_t;
        p = retry_p;
    }
    return true;
}
