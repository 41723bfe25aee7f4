/*
 * type.h: the 17 column types, one closed list.
 *
 * Everything that varies by type (tag, names, aliases, wire form, mappings) hangs on
 * KAL_TYPE_LIST. A kal_type is a tag and its parameters, 8 bytes, passed by value. No SQL type name
 * is spelled outside this folder (a test checks it): use kal_type_name() and kal_type_of().
 *
 * Source: design section 5; names and aliases as the original's clients write them.
 */
#ifndef KAL_TYPES_TYPE_H
#define KAL_TYPES_TYPE_H

#include "base/buf.h"
#include "base/error.h"

#define KAL_EMBEDDING_DIM_MAX         8192
#define KAL_DECIMAL_PRECISION_MAX     38
#define KAL_DECIMAL_PRECISION_DEFAULT 38
#define KAL_DECIMAL_SCALE_DEFAULT     10

/* enum, tag, SQL name, name in JSON replies ("data_type"), bytes of the fixed part in a stored row
 * (0: variable length), may be a primary key */
#define KAL_TYPE_LIST(X)                                                                           \
    X(BOOLEAN, 0x01, "BOOLEAN", "Boolean", 1, true)                                                \
    X(INT, 0x02, "INT", "Int", 4, true)                                                            \
    X(BIGINT, 0x03, "BIGINT", "BigInt", 8, true)                                                   \
    X(DOUBLE, 0x04, "DOUBLE", "Double", 8, false)                                                  \
    X(FLOAT, 0x05, "FLOAT", "Float", 4, false)                                                     \
    X(TEXT, 0x06, "TEXT", "Text", 0, true)                                                         \
    X(TIMESTAMP, 0x07, "TIMESTAMP", "Timestamp", 8, true) /* us since 1970, no zone */             \
    X(DATE, 0x08, "DATE", "Date", 4, true)                /* days since 1970 */                    \
    X(DATETIME, 0x09, "DATETIME", "DateTime", 8, true)    /* us since 1970, UTC */                 \
    X(TIME, 0x0A, "TIME", "Time", 8, true)                /* us since midnight, 0..86400000000 */  \
    X(JSON, 0x0B, "JSON", "Json", 0, false)                                                        \
    X(BYTES, 0x0C, "BYTES", "Bytes", 0, true)                                                      \
    X(EMBEDDING, 0x0D, "EMBEDDING", "Embedding", 0, false) /* parameter: dim */                    \
    X(UUID, 0x0E, "UUID", "Uuid", 16, true)                                                        \
    X(DECIMAL, 0x0F, "DECIMAL", "Decimal", 16, true) /* parameters: precision, scale */            \
    X(SMALLINT, 0x10, "SMALLINT", "SmallInt", 2, true)                                             \
    X(FILE, 0x11, "FILE", "File", 0, false) /* reference to a stored file, as JSON text */

typedef enum kal_type_tag {
    KAL_TYPE_NULL = 0x00, /* the type of a bare NULL; never of a column */
#define KAL_TYPE_ENUM(name, tag, sql, reply, fixed, key) KAL_TYPE_##name = tag,
    KAL_TYPE_LIST(KAL_TYPE_ENUM)
#undef KAL_TYPE_ENUM
} kal_type_tag;

#define KAL_TYPE_COUNT   17
#define KAL_TYPE_TAG_MAX 0x11

typedef struct kal_type {
    uint8_t tag;       /* kal_type_tag */
    uint8_t precision; /* DECIMAL: 1..38, else 0 */
    uint8_t scale;     /* DECIMAL: 0..precision, else 0 */
    uint8_t reserved;  /* 0 */
    uint32_t dim;      /* EMBEDDING: 1..8192, else 0 */
} kal_type;

_Static_assert(sizeof(kal_type) == 8, "a type is passed by value");

/* A type without parameters. */
static inline kal_type kal_type_of(kal_type_tag tag)
{
    return (kal_type){.tag = (uint8_t)tag};
}
static inline kal_type kal_type_decimal(unsigned precision, unsigned scale)
{
    return (kal_type){
        .tag = KAL_TYPE_DECIMAL, .precision = (uint8_t)precision, .scale = (uint8_t)scale};
}
static inline kal_type kal_type_embedding(uint32_t dim)
{
    return (kal_type){.tag = KAL_TYPE_EMBEDDING, .dim = dim};
}
static inline bool kal_type_equal(kal_type a, kal_type b)
{
    return a.tag == b.tag && a.precision == b.precision && a.scale == b.scale && a.dim == b.dim;
}

/* Tag known (not NULL) and parameters in range. */
bool kal_type_valid(kal_type type);
bool kal_type_is_integer(kal_type type); /* SMALLINT, INT, BIGINT */
bool kal_type_is_numeric(kal_type type); /* integers, FLOAT, DOUBLE, DECIMAL */
/* Values held as bytes: TEXT, JSON, BYTES, FILE, UUID (16 bytes), EMBEDDING (dim * 4 bytes). */
bool kal_type_is_bytes(kal_type type);
bool kal_type_may_be_key(kal_type type);
/* Bytes in the fixed part of a stored row; 0 = variable length. EMBEDDING: 0. */
size_t kal_type_fixed_bytes(kal_type type);

/* "BIGINT", "DECIMAL(10,2)", "EMBEDDING(384)"; "NULL" for the null tag. out: >= 32 bytes. Returns
 * out. */
#define KAL_TYPE_NAME_BYTES 32
const char *kal_type_name(kal_type type, char out[KAL_TYPE_NAME_BYTES]);
/* The name without parameters, static: "DECIMAL". */
const char *kal_type_base_name(kal_type_tag tag);
/* The "data_type" of a reply: "BigInt" (static, without parameters). */
const char *kal_type_reply_name(kal_type_tag tag);

/*
 * Resolves an SQL type as written: name is the words joined by single blanks, any case ("double
 * precision"), args its numbers. All names and aliases of the dialect are known; VARCHAR(n) and the
 * like take and ignore a length. serial_out (may be NULL) is true for SERIAL names, which imply a
 * SNOWFLAKE_ID() default.
 * KAL_SYNTAX: unknown name (the message lists the valid ones, the hint a near one), wrong argument
 * count or range: "EMBEDDING dimension must be between 1 and 8192, got: 0".
 */
KAL_MUST_CHECK kal_status kal_type_from_sql(kal_bytes name, const int64_t *args, size_t arg_count,
                                            kal_type *type_out, bool *serial_out, kal_error *err);
/* The same from one text such as "DECIMAL(10, 2)". */
KAL_MUST_CHECK kal_status kal_type_parse(kal_bytes text, kal_type *type_out, kal_error *err);

/* Walks the names and aliases: entry i, or false when i is past the end. */
bool kal_type_alias_at(size_t i, const char **name_out, kal_type_tag *tag_out);
/* Entry i, which exists, is a SERIAL name. */
bool kal_type_alias_is_serial(size_t i);

/* The type in DuckDB's SQL: "FLOAT[384]", "TIMESTAMPTZ", "DECIMAL(10,2)". out: >= 32 bytes. */
const char *kal_type_duckdb_name(kal_type type, char out[KAL_TYPE_NAME_BYTES]);

/* The name of a type that DuckDB does not know or takes for another one: DATETIME, BYTES,
 * EMBEDDING. */
bool kal_type_is_only_ours(kal_bytes name, kal_type_tag *tag_out);

/* Wire form of the type: the tag; EMBEDDING: + u32 dim; DECIMAL: + u8 precision, u8 scale. */
void kal_type_encode(kal_type type, kal_buf *out);
/* Reads a type from the front of *input and moves *input past it. KAL_CORRUPT. */
KAL_MUST_CHECK kal_status kal_type_decode(kal_bytes *input, kal_type *type_out, kal_error *err);

#endif
