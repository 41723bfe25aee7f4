/*
 * json_oracle.h: a second opinion on what is JSON: RFC 8259 by hand, byte by byte, plus our own
 * rules (duplicate keys, depth, UTF-8). Slow and simple; shares no code with json_reader.c but the
 * UTF-8 check, which has its own tests.
 */
#ifndef KAL_TESTS_JSON_ORACLE_H
#define KAL_TESTS_JSON_ORACLE_H

#include "base/arena.h"
#include "base/bytes.h"

typedef struct json_oracle {
    const uint8_t *p;
    const uint8_t *end;
    kal_arena *arena; /* for unescaped keys */
} json_oracle;

static bool json_oracle_value(json_oracle *o, int depth);

static inline void json_oracle_space(json_oracle *o)
{
    while (o->p < o->end && strchr(" \t\r\n", *o->p) != NULL && *o->p != 0)
        o->p++;
}

static inline bool json_oracle_take(json_oracle *o, const char *text)
{
    size_t len = strlen(text);
    if ((size_t)(o->end - o->p) < len || memcmp(o->p, text, len) != 0)
        return false;
    o->p += len;
    return true;
}

static inline int json_oracle_hex4(json_oracle *o)
{
    int v = 0;
    for (int i = 0; i < 4; i++, o->p++) {
        if (o->p == o->end)
            return -1;
        int c = *o->p;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        v = v * 16 + digit;
    }
    return v;
}

static inline size_t json_oracle_utf8(int c, uint8_t *out)
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xC0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xE0 | c >> 12);
        out[1] = (uint8_t)(0x80 | (c >> 6 & 63));
        out[2] = (uint8_t)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 63));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 63));
    out[3] = (uint8_t)(0x80 | (c & 63));
    return 4;
}

static inline int json_oracle_unicode(json_oracle *o)
{
    int c = json_oracle_hex4(o);
    if (c >= 0xDC00 && c <= 0xDFFF)
        return -1;
    if (c < 0xD800 || c > 0xDBFF)
        return c;
    if (!json_oracle_take(o, "\\u"))
        return -1;
    int low = json_oracle_hex4(o);
    if (low < 0xDC00 || low > 0xDFFF)
        return -1;
    return 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
}

static inline bool json_oracle_string(json_oracle *o, kal_bytes *out)
{
    if (!json_oracle_take(o, "\""))
        return false;
    uint8_t *text = kal_arena_alloc(o->arena, (size_t)(o->end - o->p) + 4);
    size_t len = 0;
    while (o->p < o->end && *o->p != '"') {
        if (*o->p < 0x20)
            return false;
        if (*o->p != '\\') {
            text[len++] = *o->p++;
            continue;
        }
        o->p++;
        static const char ESCAPES[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
        int c = -1;
        if (json_oracle_take(o, "u")) {
            c = json_oracle_unicode(o);
        } else if (o->p < o->end) {
            for (size_t i = 0; ESCAPES[i] != 0; i += 2)
                c = ESCAPES[i] == (char)*o->p ? ESCAPES[i + 1] : c;
            o->p++;
        }
        if (c < 0)
            return false;
        len += json_oracle_utf8(c, text + len);
    }
    *out = kal_bytes_of(text, len);
    return json_oracle_take(o, "\"");
}

static inline bool json_oracle_digits(json_oracle *o)
{
    const uint8_t *start = o->p;
    while (o->p < o->end && *o->p >= '0' && *o->p <= '9')
        o->p++;
    return o->p > start;
}

static inline bool json_oracle_number(json_oracle *o)
{
    json_oracle_take(o, "-");
    if (!json_oracle_take(o, "0") && !json_oracle_digits(o))
        return false;
    if (json_oracle_take(o, ".") && !json_oracle_digits(o))
        return false;
    if (json_oracle_take(o, "e") || json_oracle_take(o, "E")) {
        if (!json_oracle_take(o, "+"))
            json_oracle_take(o, "-");
        return json_oracle_digits(o);
    }
    return true;
}

static inline bool json_oracle_object(json_oracle *o, int depth)
{
    kal_bytes keys[256];
    size_t count = 0;
    json_oracle_space(o);
    if (json_oracle_take(o, "}"))
        return true;
    do {
        kal_bytes key;
        json_oracle_space(o);
        if (count == KAL_ARRAY_LEN(keys) || !json_oracle_string(o, &key))
            return false;
        for (size_t i = 0; i < count; i++) {
            if (kal_bytes_equal(keys[i], key))
                return false;
        }
        keys[count++] = key;
        json_oracle_space(o);
        if (!json_oracle_take(o, ":") || !json_oracle_value(o, depth))
            return false;
        json_oracle_space(o);
    } while (json_oracle_take(o, ","));
    return json_oracle_take(o, "}");
}

static inline bool json_oracle_array(json_oracle *o, int depth)
{
    json_oracle_space(o);
    if (json_oracle_take(o, "]"))
        return true;
    do {
        if (!json_oracle_value(o, depth))
            return false;
        json_oracle_space(o);
    } while (json_oracle_take(o, ","));
    return json_oracle_take(o, "]");
}

static bool json_oracle_value(json_oracle *o, int depth)
{
    kal_bytes text;
    json_oracle_space(o);
    if (o->p == o->end)
        return false;
    switch (*o->p) {
    case '{':
        o->p++;
        return depth > 0 && json_oracle_object(o, depth - 1);
    case '[':
        o->p++;
        return depth > 0 && json_oracle_array(o, depth - 1);
    case '"':
        return json_oracle_string(o, &text);
    default:
        return json_oracle_take(o, "true") || json_oracle_take(o, "false") ||
               json_oracle_take(o, "null") || json_oracle_number(o);
    }
}

/* Objects of more than 256 members are refused here: keep inputs below that. */
static inline bool json_oracle_accepts(kal_bytes text, int depth_max)
{
    kal_arena arena;
    kal_arena_init(&arena, NULL);
    json_oracle o = {.p = text.ptr, .end = text.ptr + text.len, .arena = &arena};
    bool accepted = kal_utf8_valid(text) && json_oracle_value(&o, depth_max);
    json_oracle_space(&o);
    accepted = accepted && o.p == o.end;
    kal_arena_release(&arena);
    return accepted;
}

#endif
