/*
 * text_internal.h: what text.c, decimal.c, temporal.c, cast.c and json.c share; nobody else needs
 * it.
 *
 * The parsers here know nothing of errors: they say how a text failed, and the caller, who knows
 * the column type, words the message (kal_parse_failed).
 */
#ifndef KAL_TYPES_TEXT_INTERNAL_H
#define KAL_TYPES_TEXT_INTERNAL_H

#include "base/json_writer.h"
#include "types/value.h"

typedef enum kal_parse {
    KAL_PARSE_OK,
    KAL_PARSE_FORMAT, /* not of this form at all */
    KAL_PARSE_RANGE,  /* well formed, but no value of the type */
    KAL_PARSE_ZONE,   /* a time zone by name, other than UTC */
    KAL_PARSE_MEMORY, /* the arena's budget refused */
} kal_parse;

/* DATE, TIMESTAMP and DATETIME hold two infinities beside their days and microseconds, as DuckDB
 * stores them; the lowest integer of the width is no value. */
#define KAL_DATE_INFINITY     INT32_MAX
#define KAL_DATE_MAX          (INT32_MAX - 1) /* 5881580-07-10 */
#define KAL_DATE_MIN          (-KAL_DATE_MAX) /* 5877642-06-25 (BC) */
#define KAL_INSTANT_INFINITY  INT64_MAX
#define KAL_INSTANT_MAX       (INT64_MAX - 1)         /* 294247-01-10 04:00:54.775806 */
#define KAL_INSTANT_MIN       (-9223372022400000000L) /* 290309-12-22 (BC) 00:00:00 */
#define KAL_MICROS_PER_SECOND 1000000L
#define KAL_MICROS_PER_DAY    (86400 * KAL_MICROS_PER_SECOND)

static inline bool kal_is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}
static inline bool kal_is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}
/* The value of a hex digit, or -1. */
int kal_hex_digit(uint8_t c);

/* decimal.c: a number as written, taken apart: sign, digits, power of ten. */
typedef struct kal_number {
    kal_bytes whole;    /* digits before the point; single '_' between digits are part of it */
    kal_bytes fraction; /* digits after it, likewise */
    int32_t exponent;   /* saturates beyond +-KAL_NUMBER_EXPONENT_MAX */
    bool negative;
} kal_number;

#define KAL_NUMBER_EXPONENT_MAX 32767

/* [spaces][+-]digits[.digits][e[+-]digits][spaces]; borrows from text. plus_minus also lets "+-1"
 * pass, which DuckDB reads as a double but not as an integer. */
bool kal_number_scan(kal_bytes text, bool plus_minus, kal_number *number_out);
/* number * 10^scale, rounded half away from zero, when it has at most 38 digits. */
kal_parse kal_number_scaled(const kal_number *number, unsigned scale, kal_i128 *out);
/* True when nothing but zeros follows the point. */
bool kal_number_is_integral(const kal_number *number);
/* Integers of all widths, also 0x1F and 0b101: what DuckDB casts to an integer. */
kal_parse kal_integer_parse(kal_bytes text, int64_t min, int64_t max, int64_t *out);
/* Too large is an infinity, too small is zero, as in DuckDB; finite_only makes an overflow
 * KAL_PARSE_RANGE. "nan", "inf", "infinity" in any case. Needs arena only for texts with '_'. */
kal_parse kal_double_parse(kal_bytes text, bool finite_only, kal_arena *arena, double *out);
kal_parse kal_float_parse(kal_bytes text, bool finite_only, kal_arena *arena, float *out);
/* As DuckDB prints them: 1.0, 0.1, 1e-05, 1e+16, nan, -inf. */
void kal_double_format(double v, kal_buf *out);
void kal_float_format(float v, kal_buf *out);
/* Signed decimal digits. */
void kal_i128_format(kal_i128 v, kal_buf *out);

/* temporal.c */
kal_parse kal_date_parse(kal_bytes text, int64_t *days_out);
kal_parse kal_time_parse(kal_bytes text, int64_t *micros_out);
/* use_offset: a trailing +02:00 is subtracted (DATETIME); otherwise it is read and dropped. */
kal_parse kal_instant_parse(kal_bytes text, bool use_offset, int64_t *micros_out);
void kal_date_format(int64_t days, kal_buf *out);
void kal_time_format(int64_t micros, kal_buf *out);
void kal_instant_format(int64_t micros, bool utc, kal_buf *out);
/* The integer is a value of this type; true for tags that are not temporal. */
bool kal_temporal_in_range(kal_type_tag tag, int64_t v);
bool kal_instant_is_finite(int64_t micros);
bool kal_date_is_finite(int64_t days);
/* Midnight of the day; infinities stay. false: no instant holds it. */
bool kal_instant_from_date(int64_t days, int64_t *micros_out);
int64_t kal_date_from_instant(int64_t micros);
/* Time of day of a finite instant. */
int64_t kal_time_from_instant(int64_t micros);

/* text.c: errors and pieces which casts and JSON use too. */
void kal_integer_range(kal_type_tag tag, int64_t *min_out, int64_t *max_out);
/* Words the failure of reading `text` as `type`. */
kal_status kal_parse_failed(kal_parse failure, kal_type type, kal_bytes text, kal_error *err);
/* "value 40000 is out of range for SMALLINT (-32768 to 32767)" */
kal_status kal_out_of_range(kal_type type, kal_bytes value_text, kal_error *err);
kal_status kal_embedding_length_wrong(kal_type type, size_t count, kal_error *err);
kal_status kal_no_memory_for(size_t size_bytes, kal_error *err);
/* Room for a value of `size` bytes in the arena, or KAL_LIMIT. */
KAL_MUST_CHECK kal_status kal_value_room(kal_arena *arena, size_t size, uint8_t **out,
                                         kal_error *err);
/* Moves what a temporary buffer holds into the arena and releases the buffer. */
KAL_MUST_CHECK kal_status kal_value_finish(kal_buf *buf, kal_arena *arena, kal_type type,
                                           kal_value *value_out, kal_error *err);
/* An even, non-empty run of hex digits; bytes land in the arena. */
kal_parse kal_base16_parse(kal_bytes digits, kal_arena *arena, kal_bytes *out);
float kal_embedding_get(kal_bytes embedding, size_t i);

/* json.c */
/* JSON text is checked and kept as given (JSON), or must be an object and is made compact (FILE).
 */
KAL_MUST_CHECK kal_status kal_json_value_from_text(kal_type type, kal_bytes text, kal_arena *arena,
                                                   kal_value *value_out, kal_error *err);
/* Passes on a reader's error: its position is one in the JSON text, err's would be one in the SQL.
 */
kal_status kal_json_text_failed(const kal_error *inner, kal_error *err);
/* The JSON value of a cast to JSON: numbers, true, arrays; everything else its text in quotes. */
void kal_value_write_json_cast(const kal_value *v, kal_json_writer *w);

#endif
