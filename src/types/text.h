/*
 * text.h: values as people write them, in both directions, plus the assignment casts of INSERT.
 *
 * Formats are DuckDB's: DATE 2024-02-29, years beyond 9999 and BC as DuckDB prints them; TIMESTAMP
 * 2024-02-29 13:14:15.5 (also T, also a trailing Z or +02:00, which DATETIME honours and TIMESTAMP
 * ignores by conversion to UTC as DuckDB does); DATETIME prints with +00; UUID 8-4-4-4-12; DECIMAL
 * plain digits with its scale; BYTES as \xAB for bytes that are not printable ASCII; EMBEDDING
 * [0.1, 2, 3]; BOOLEAN true/false.
 */
#ifndef KAL_TYPES_TEXT_H
#define KAL_TYPES_TEXT_H

#include "types/value.h"

/* Parses text as a value of `type`; bytes live in the arena or borrow from text. KAL_INVALID with a
 * message such as: 'abc' is not a valid INT. BYTES also accepts base16 with a leading 0x. */
KAL_MUST_CHECK kal_status kal_value_from_text(kal_type type, kal_bytes text, kal_arena *arena,
                                              kal_value *value_out, kal_error *err);
/* Appends the text form; NULL as NULL. */
void kal_value_to_text(const kal_value *v, kal_buf *out);
/* Appends a literal that this server's SQL reads back: 42, 'it''s', TIMESTAMP '…', NULL. */
void kal_value_to_sql(const kal_value *v, kal_buf *out);

/*
 * The value as `type`, by the rules of assignment to a column (DuckDB's implicit and assignment
 * casts): integers change width within range, to DECIMAL, FLOAT, DOUBLE; DOUBLE and DECIMAL round
 * to integers; text is parsed; anything becomes TEXT; TEXT is checked when it becomes JSON;
 * TIMESTAMP and DATETIME convert as UTC, DATE to both. A NULL stays NULL. KAL_INVALID: "value 40000
 * is out of range for SMALLINT (-32768 to 32767)", "expected an embedding of 384 numbers, got 385",
 * "cannot convert BOOLEAN to UUID".
 */
KAL_MUST_CHECK kal_status kal_value_cast(const kal_value *v, kal_type type, kal_arena *arena,
                                         kal_value *value_out, kal_error *err);

/* Calendar, proleptic Gregorian. */
int64_t kal_days_from_civil(int64_t year, unsigned month, unsigned day);
void kal_civil_from_days(int64_t days, int64_t *year_out, unsigned *month_out, unsigned *day_out);

/* DECIMAL text with this scale into digits of 128 bits; *digits_out = significant digits needed.
 * false when it is no decimal number or has more than 38 digits. Extra fraction digits are rounded
 * half away from zero. */
bool kal_decimal_parse(kal_bytes text, unsigned scale, kal_i128 *out);
/* Appends with exactly `scale` fraction digits. */
void kal_decimal_format(kal_i128 v, unsigned scale, kal_buf *out);
kal_i128 kal_pow10(unsigned exponent); /* 0..38 */

#endif
