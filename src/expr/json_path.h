/*
 * json_path.h: a place in a JSON document, and what is found there as text, both as DuckDB does it.
 *
 * Understood are the paths of -> and ->> that have one meaning only: a key; '$' with .key, ."key"
 * and [n], [-n], [#-n] behind it; a JSON pointer '/a/0' without escapes; a number. Wildcards,
 * escapes and what is malformed are not: DuckDB judges those.
 *
 * Text of a value: as short as JSON can be; integers of 64 bits, and larger numbers as they were
 * written; other numbers as the shortest text of the double they are.
 */
#ifndef KAL_EXPR_JSON_PATH_H
#define KAL_EXPR_JSON_PATH_H

#include "base/buf.h"
#include "base/json_reader.h"

typedef enum kal_json_step_kind {
    KAL_JSON_STEP_KEY,   /* of an object */
    KAL_JSON_STEP_INDEX, /* of an array */
    KAL_JSON_STEP_TOKEN  /* of a pointer: of an array, when it is a number, or of an object */
} kal_json_step_kind;

typedef struct kal_json_step {
    kal_json_step_kind kind;
    kal_bytes key;  /* KEY, TOKEN; borrowed from the path's text */
    uint64_t index; /* INDEX, and TOKEN when it is a number */
    bool from_end;  /* INDEX: index 1 is the last element */
    bool is_number; /* TOKEN */
} kal_json_step;

typedef struct kal_json_path {
    kal_json_step *steps; /* arena */
    size_t count;
} kal_json_path;

/* False: not understood here. KAL_LIMIT does not occur: the caller bounds the text by its own. */
bool kal_json_path_parse(kal_bytes text, kal_arena *arena, kal_json_path *path_out);
/* The path of an integer: an element, from the end when it is negative. */
void kal_json_path_of_index(int64_t index, kal_arena *arena, kal_json_path *path_out);
bool kal_json_path_equal(const kal_json_path *a, const kal_json_path *b);

/* NULL: there is nothing. */
const kal_json *kal_json_path_find(const kal_json_path *path, const kal_json *document);
/* Appends the value as compact JSON text. */
void kal_json_text_append(const kal_json *json, kal_buf *out);

#endif
