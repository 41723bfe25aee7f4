#include "cli/names.h"

#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>

void kal_name_quote(kal_bytes name, kal_buf *out)
{
    kal_buf_append_byte(out, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '"')
            kal_buf_append_byte(out, '"');
        kal_buf_append_byte(out, (uint8_t)kal_ascii_lower((char)name.ptr[i]));
    }
    kal_buf_append_byte(out, '"');
}

/* Words that cannot be typed as a column's name without quotes. */
static const char *const RESERVED[] = {
    "all",    "and",      "any",       "as",         "asc",    "between", "by",      "case",
    "cast",   "check",    "collate",   "column",     "create", "cross",   "default", "delete",
    "desc",   "distinct", "drop",      "else",       "end",    "except",  "exists",  "false",
    "fetch",  "for",      "foreign",   "from",       "full",   "group",   "having",  "in",
    "inner",  "insert",   "intersect", "into",       "is",     "join",    "left",    "like",
    "limit",  "natural",  "not",       "null",       "offset", "on",      "or",      "order",
    "outer",  "primary",  "qualify",   "references", "right",  "select",  "set",     "some",
    "table",  "then",     "to",        "true",       "union",  "unique",  "update",  "using",
    "values", "when",     "where",     "window",     "with",
};

static bool is_reserved(kal_bytes name)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(RESERVED); i++) {
        if (kal_bytes_equal(name, kal_cstr(RESERVED[i])))
            return true;
    }
    return false;
}

static bool is_letter(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Leaves room for a suffix that makes the name distinct. */
enum { STEM_BYTES_MAX = KAL_NAME_BYTES_MAX - 6 };

/* The name's letters and digits, runs of all else as one underscore. out holds STEM_BYTES_MAX. */
static size_t make_stem(kal_bytes name, char *out)
{
    size_t len = 0;
    bool gap = false;
    for (size_t i = 0; i < name.len && len + 3 < STEM_BYTES_MAX; i++) {
        char c = kal_ascii_lower((char)name.ptr[i]);
        if (!is_letter(c) && !is_digit(c)) {
            gap = true;
            continue;
        }
        if (len == 0 && is_digit(c)) {
            out[len++] = 'c';
            gap = true;
        }
        if (gap && len > 0)
            out[len++] = '_';
        gap = false;
        out[len++] = c;
    }
    return len;
}

void kal_names_make(const kal_bytes *names, size_t count, kal_arena *arena, kal_bytes *names_out)
{
    kal_map taken;
    kal_map_init(&taken);
    for (size_t i = 0; i < count; i++) {
        char stem[STEM_BYTES_MAX];
        size_t len = make_stem(names[i], stem);
        if (len == 0)
            len = (size_t)snprintf(stem, sizeof stem, "column_%zu", i + 1);
        else if (is_reserved(kal_bytes_of(stem, len)))
            stem[len++] = '_';
        kal_bytes name = kal_arena_copy(arena, kal_bytes_of(stem, len));
        for (size_t n = 2; kal_map_find(&taken, name) != NULL; n++)
            name = kal_cstr(kal_arena_printf(arena, "%.*s_%zu", (int)len, stem, n));
        kal_map_put(&taken, name, (void *)(uintptr_t)1);
        names_out[i] = name;
    }
    kal_map_release(&taken);
}
