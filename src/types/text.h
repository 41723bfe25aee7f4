/*
 * text.h: values as people write them, in both directions, plus casts and assignment.
 *
 * Formats are DuckDB's: DATE 2024-02-29, with five and more digits beyond year 9999, (BC) before
 * year 1, infinity; TIMESTAMP 2024-02-29 13:14:15.5 (also T; a trailing Z or +02:00 is subtracted
 * for DATETIME and, as in DuckDB, ignored for TIMESTAMP); DATETIME prints with +00; UUID
 * 8-4-4-4-12; DECIMAL plain digits with its scale; DOUBLE 1.0, 1e-05, 1e+16, nan, inf; BYTES as
 * \xAB for bytes that are not printable ASCII; EMBEDDING [0.1, 2.0, 3.0]; BOOLEAN true/false.
 *
 * The text of a value reads back as the value, bit for bit (NaN payloads aside; FILE in compact
 * JSON).
 */
#ifndef KAL_TYPES_TEXT_H
#define KAL_TYPES_TEXT_H

#include "types/value.h"

/* Parses text as a value of `type`; bytes live in the arena or borrow from text. KAL_INVALID with a
 * message such as: 'abc' is not a valid INT; KAL_LIMIT when the arena's budget refuses. BYTES that
 * begin with 0x are base16 and nothing else. JSON is checked and kept as it is, FILE (an object) is
 * made compact. An embedding's number that no float holds is refused; nan and inf are accepted. */
KAL_MUST_CHECK kal_status kal_value_from_text(kal_type type, kal_bytes text, kal_arena *arena,
                                              kal_value *value_out, kal_error *err);
/* Appends the text form; NULL as NULL. */
void kal_value_to_text(const kal_value *v, kal_buf *out);
/* Appends a literal that this server's SQL reads back: NULL, true, 42, 1.50 (DECIMAL), 1.5e0
 * (DOUBLE), 'it''s'; for every other type its name before its text: TIMESTAMP '…', FLOAT '0.1',
 * EMBEDDING(2) '[0.5, 1.0]'. */
void kal_value_to_sql(const kal_value *v, kal_buf *out);

/*
 * The value as `type`, as DuckDB's explicit CAST does: integers change width within range, to
 * DECIMAL, FLOAT, DOUBLE; DOUBLE rounds to integers half to even, DECIMAL half away from zero; text
 * is parsed; anything becomes TEXT or JSON; TEXT is checked when it becomes JSON; JSON becomes what
 * it holds; TIMESTAMP and DATETIME convert as UTC, DATE to both; UUID and 16 BYTES; numbers and
 * BOOLEAN. A NULL stays NULL. KAL_INVALID: "value 40000 is out of range for SMALLINT (-32768 to
 * 32767)", "expected an embedding of 384 numbers, got 385", "cannot convert BOOLEAN to UUID".
 */
KAL_MUST_CHECK kal_status kal_value_cast(const kal_value *v, kal_type type, kal_arena *arena,
                                         kal_value *value_out, kal_error *err);

/*
 * The value as `type`, by the rules of assignment to a column: as kal_value_cast(), but refused
 * (KAL_INVALID) where digits would be lost: a fraction into an integer, places beyond the scale of
 * a DECIMAL, also from TEXT. BOOLEAN and numbers are not assigned to each other, but for 0 and 1.
 */
KAL_MUST_CHECK kal_status kal_value_assign(const kal_value *v, kal_type type, kal_arena *arena,
                                           kal_value *value_out, kal_error *err);

/* Calendar, proleptic Gregorian. */
int64_t kal_days_from_civil(int64_t year, unsigned month, unsigned day);
void kal_civil_from_days(int64_t days, int64_t *year_out, unsigned *month_out, unsigned *day_out);

/* A decimal number times 10^scale as an integer; false when it is no decimal number or the result
 * has more than 38 digits. Extra fraction digits are rounded half away from zero. */
bool kal_decimal_parse(kal_bytes text, unsigned scale, kal_i128 *out);
/* Appends with exactly `scale` fraction digits. */
void kal_decimal_format(kal_i128 v, unsigned scale, kal_buf *out);
kal_i128 kal_pow10(unsigned exponent); /* 0..38 */

#endif
