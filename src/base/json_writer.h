/*
 * json_writer.h: streaming JSON output into a kal_buf. Commas are the writer's business.
 *
 * Text must be UTF-8; what is not is written as U+FFFD, so the output is always valid JSON.
 * Doubles take the shortest text that reads back to the same bits (std::to_chars); NaN and the
 * infinities have no JSON number and are written as the strings "NaN", "Infinity", "-Infinity".
 * Depth is bounded by KAL_JSON_DEPTH_MAX (our own code nests; an assertion, not an error).
 */
#ifndef KAL_BASE_JSON_WRITER_H
#define KAL_BASE_JSON_WRITER_H

#include "base/buf.h"
#include "base/json_reader.h"

#define KAL_JSON_DEPTH_MAX 128

typedef struct kal_json_writer {
    kal_buf *out; /* borrowed */
    uint32_t depth;
    bool after_key;                    /* a key was just written */
    bool has_item[KAL_JSON_DEPTH_MAX]; /* per level: something precedes, so a comma is due */
} kal_json_writer;

void kal_json_writer_init(kal_json_writer *w, kal_buf *out);
void kal_json_begin_object(kal_json_writer *w);
void kal_json_end_object(kal_json_writer *w);
/* Right after init: what follows are members of an object whose braces somebody else writes. */
void kal_json_begin_members(kal_json_writer *w);
void kal_json_begin_array(kal_json_writer *w);
void kal_json_end_array(kal_json_writer *w);
void kal_json_key(kal_json_writer *w, const char *key);
void kal_json_key_bytes(kal_json_writer *w, kal_bytes key);
void kal_json_null(kal_json_writer *w);
void kal_json_bool(kal_json_writer *w, bool v);
void kal_json_i64(kal_json_writer *w, int64_t v);
void kal_json_u64(kal_json_writer *w, uint64_t v);
void kal_json_double(kal_json_writer *w, double v);
void kal_json_float(kal_json_writer *w, float v); /* shortest text for a float */
void kal_json_string(kal_json_writer *w, kal_bytes text);
void kal_json_cstr(kal_json_writer *w, const char *text);
/* What the reader has read, as compact text. */
void kal_json_write_tree(const kal_json *json, kal_json_writer *w);
/* A value that is JSON text already (not checked). */
void kal_json_raw(kal_json_writer *w, kal_bytes json);

/* Shortest decimal text of a double or float ("1e+30", "0.1", "nan", "inf"); returns its length.
 * No NUL is added; out holds at least 32 bytes. */
size_t kal_format_double(double v, char out[32]);
size_t kal_format_float(float v, char out[32]);
/* Whole text as a number, decimal or exponent form, "nan", "inf", "infinity", any case, signs;
 * false when anything is left over or out of range. Rounds correctly. */
bool kal_parse_double(kal_bytes text, double *out);
bool kal_parse_float(kal_bytes text, float *out);
bool kal_parse_i64(kal_bytes text, int64_t *out);

#endif
