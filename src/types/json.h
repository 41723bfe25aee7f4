/*
 * json.h: values as cells of JSON replies and requests.
 *
 * Out (the protocol's rules): BIGINT -> string; SMALLINT, INT, FLOAT, DOUBLE -> number (NaN and
 * infinities as strings); TIMESTAMP, DATETIME, TIME -> number of us; DATE -> number of days;
 * DECIMAL
 * -> string with its scale; UUID -> text; BYTES -> array of byte numbers; JSON -> string holding
 * the JSON text; FILE -> object; EMBEDDING -> array of numbers; NULL -> null.
 *
 * In accepts what goes out, and what a person would send: numbers for BIGINT and DECIMAL, text for
 * times ("2024-02-29T13:14:15Z"), JSON values as they are for JSON columns (a string is taken as
 * JSON text when it parses, else refused), any JSON value for TEXT (what is not a string as it is
 * written), text "[0.1, 2]" for EMBEDDING; for BYTES text 0x and hex digits, else base64. Integer
 * columns take whole numbers only, and no number becomes an infinity.
 */
#ifndef KAL_TYPES_JSON_H
#define KAL_TYPES_JSON_H

#include "base/json_reader.h"
#include "base/json_writer.h"
#include "types/value.h"

void kal_value_write_json(const kal_value *v, kal_json_writer *w);
/* KAL_INVALID when the JSON value cannot be one of `type`. Bytes live in the arena. */
KAL_MUST_CHECK kal_status kal_value_from_json(kal_type type, const kal_json *json, kal_arena *arena,
                                              kal_value *value_out, kal_error *err);
/* The "data_type" member: "BigInt", {"Embedding":384}, {"Decimal":{"precision":10,"scale":2}}. */
void kal_type_write_json(kal_type type, kal_json_writer *w);
/* A column of a result as the protocol's "schema" lists it: name, data_type, index, and the flags
 * "pk", "nn", "uq" where there are any. */
void kal_result_column_write_json(kal_bytes name, kal_type type, size_t index, bool is_key,
                                  bool is_not_null, kal_json_writer *w);
KAL_MUST_CHECK kal_status kal_type_from_json(const kal_json *json, kal_type *type_out,
                                             kal_error *err);
/* Without a target type: a request parameter. null, BOOLEAN, integers that fit BIGINT, other
 * numbers as the same SQL literal (DECIMAL of their digits; DOUBLE with an exponent or more than 38
 * digits), strings TEXT, arrays and objects JSON. */
KAL_MUST_CHECK kal_status kal_value_from_json_param(const kal_json *json, kal_arena *arena,
                                                    kal_value *value_out, kal_error *err);
/* A request parameter beside a value of `type` (a comparison, an argument): BYTES in any of its
 * forms, counts for times, numbers for FLOAT and DOUBLE become that type; everything else stays
 * `param`, what kal_value_from_json_param() made of it. KAL_INVALID as for kal_value_from_json. */
KAL_MUST_CHECK kal_status kal_value_from_json_peer(kal_type type, const kal_json *json,
                                                   const kal_value *param, kal_arena *arena,
                                                   kal_value *value_out, kal_error *err);

#endif
