/*
 * json_reader.h: JSON text into a tree in an arena.
 *
 * Numbers keep their text, so big integers and decimals lose nothing. Refused: anything RFC 8259
 * refuses, duplicate keys, text that is not UTF-8, nesting beyond KAL_JSON_READ_DEPTH_MAX, trailing
 * bytes. Every part of the input is checked, also parts nobody looks at.
 */
#ifndef KAL_BASE_JSON_READER_H
#define KAL_BASE_JSON_READER_H

#include "base/arena.h"
#include "base/error.h"

#define KAL_JSON_READ_DEPTH_MAX 64

typedef enum kal_json_kind {
    KAL_JSON_NULL,
    KAL_JSON_BOOL,
    KAL_JSON_NUMBER,
    KAL_JSON_STRING,
    KAL_JSON_ARRAY,
    KAL_JSON_OBJECT,
} kal_json_kind;

typedef struct kal_json {
    kal_json_kind kind;
    bool boolean;
    kal_bytes text;         /* NUMBER: as written; STRING: unescaped UTF-8. In the arena */
    struct kal_json *items; /* ARRAY: elements; OBJECT: values, beside keys */
    kal_bytes *keys;        /* OBJECT only */
    size_t len;             /* number of items */
} kal_json;

/* Parses text; the tree and its texts live in the arena. KAL_INVALID with the byte offset as the
 * error's position, KAL_LIMIT when the arena's budget or the depth refuses. */
KAL_MUST_CHECK kal_status kal_json_parse(kal_bytes text, kal_arena *arena, kal_json **json_out,
                                         kal_error *err);
/* True when text is one valid JSON value by the rules above. */
KAL_MUST_CHECK kal_status kal_json_check(kal_bytes text, kal_arena *scratch, kal_error *err);

/* The member with this key, or NULL; json may be of any kind. */
const kal_json *kal_json_find(const kal_json *json, const char *key);
const char *kal_json_kind_name(kal_json_kind kind); /* "object", ... */

#endif
