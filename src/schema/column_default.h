/*
 * column_default.h: what a column gets when INSERT does not name it: nothing (NULL), a literal, or
 * the value of a function.
 *
 * JSON: "None" | {"Literal":42} | {"FunctionCall":{"name":"NOW","args":[]}}.
 * Source: reference section 2.2.
 */
#ifndef KAL_SCHEMA_COLUMN_DEFAULT_H
#define KAL_SCHEMA_COLUMN_DEFAULT_H

#include "base/json_reader.h"
#include "base/json_writer.h"
#include "types/value.h"

/* enum, name, most arguments (each a whole number in the given range), result type's tag */
#define KAL_DEFAULT_FUNCTION_LIST(X)                                                               \
    X(NOW, "NOW", 0, 0, 0, KAL_TYPE_TIMESTAMP)                                                     \
    X(CURRENT_TIMESTAMP, "CURRENT_TIMESTAMP", 1, 0, 6, KAL_TYPE_TIMESTAMP) /* (fraction digits) */ \
    X(SNOWFLAKE_ID, "SNOWFLAKE_ID", 0, 0, 0, KAL_TYPE_BIGINT)                                      \
    X(UUID_V7, "UUID_V7", 0, 0, 0, KAL_TYPE_TEXT)                                                  \
    X(ULID, "ULID", 0, 0, 0, KAL_TYPE_TEXT)                                                        \
    X(CURRENT_USER, "CURRENT_USER", 0, 0, 0, KAL_TYPE_TEXT)

typedef enum kal_default_function {
#define KAL_DEFAULT_FUNCTION_ENUM(name, text, args, low, high, tag) KAL_FUNCTION_##name,
    KAL_DEFAULT_FUNCTION_LIST(KAL_DEFAULT_FUNCTION_ENUM)
#undef KAL_DEFAULT_FUNCTION_ENUM
} kal_default_function;

#define KAL_DEFAULT_ARGS_MAX 1

typedef enum kal_default_kind {
    KAL_DEFAULT_NONE,
    KAL_DEFAULT_LITERAL,
    KAL_DEFAULT_FUNCTION,
} kal_default_kind;

typedef struct kal_column_default {
    kal_default_kind kind;
    kal_default_function function; /* FUNCTION */
    uint32_t arg_count;
    union {
        int64_t args[KAL_DEFAULT_ARGS_MAX]; /* FUNCTION */
        kal_value literal; /* LITERAL: of the column's type, not NULL; definition's arena */
    };
} kal_column_default;

/* Name in any case; KAL_SYNTAX lists the known functions. */
KAL_MUST_CHECK kal_status kal_default_function_parse(kal_bytes name, kal_default_function *out,
                                                     kal_error *err);
const char *kal_default_function_name(kal_default_function function);
kal_type kal_default_function_type(kal_default_function function);

/* Refuses a literal of another type, a wrong number or range of arguments, and a function whose
 * result does not fit the column: times only on TIMESTAMP and DATETIME, SNOWFLAKE_ID only on
 * BIGINT, UUID_V7 on TEXT and UUID, ULID and CURRENT_USER only on TEXT. */
KAL_MUST_CHECK kal_status kal_column_default_validate(const kal_column_default *def,
                                                      kal_type column_type, kal_bytes column_name,
                                                      kal_error *err);
/* "" | 42 | 'it''s' | NOW() | CURRENT_TIMESTAMP(3) */
void kal_column_default_to_sql(const kal_column_default *def, kal_buf *out);
void kal_column_default_write_json(const kal_column_default *def, kal_json_writer *w);
KAL_MUST_CHECK kal_status kal_column_default_from_json(const kal_json *json, kal_type column_type,
                                                       kal_arena *arena, kal_column_default *out,
                                                       kal_error *err);
void kal_column_default_encode(const kal_column_default *def, kal_buf *out);
KAL_MUST_CHECK kal_status kal_column_default_decode(kal_bytes *input, kal_arena *arena,
                                                    kal_column_default *out, kal_error *err);
bool kal_column_default_equal(const kal_column_default *a, const kal_column_default *b);

#endif
