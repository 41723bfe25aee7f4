#include "types/datatypes.h"

/* enum, Arrow's name, what it holds */
#define DATATYPE_LIST(X)                                                                           \
    X(BOOLEAN, "Boolean", "true or false")                                                         \
    X(INT, "Int32", "32-bit signed integer")                                                       \
    X(BIGINT, "Int64", "64-bit signed integer")                                                    \
    X(DOUBLE, "Float64", "64-bit floating point number")                                           \
    X(FLOAT, "Float32", "32-bit floating point number")                                            \
    X(TEXT, "Utf8", "UTF-8 text; a length is accepted and ignored")                                \
    X(TIMESTAMP, "Timestamp(Microsecond)", "date and time without a zone, in microseconds")        \
    X(DATE, "Date32", "calendar day")                                                              \
    X(DATETIME, "Timestamp(Microsecond, UTC)", "moment in UTC, in microseconds")                   \
    X(TIME, "Time64(Microsecond)", "time of day, in microseconds")                                 \
    X(JSON, "Utf8", "JSON value, kept as it was written")                                          \
    X(BYTES, "Binary", "bytes")                                                                    \
    X(EMBEDDING, "FixedSizeList(Float32, dimension)", "vector of 1 to 8192 32-bit floats")         \
    X(UUID, "FixedSizeBinary(16)", "universally unique identifier")                                \
    X(DECIMAL, "Decimal128(precision, scale)", "exact decimal number of up to 38 digits")          \
    X(SMALLINT, "Int16", "16-bit signed integer")                                                  \
    X(FILE, "Utf8", "reference to a stored file, as a JSON object")

static const struct {
    const char *arrow_name;
    const char *description;
} DATATYPES[KAL_TYPE_TAG_MAX + 1] = {
#define DATATYPE_ROW(name, arrow, text) [KAL_TYPE_##name] = {arrow, text},
    DATATYPE_LIST(DATATYPE_ROW)
#undef DATATYPE_ROW
};

#define DATATYPE_COUNT(name, arrow, text) +1
_Static_assert(DATATYPE_LIST(DATATYPE_COUNT) == KAL_TYPE_COUNT, "one entry per type");
#undef DATATYPE_COUNT

static const char *const ALIAS_TEXTS[KAL_TYPE_TAG_MAX + 1] = {
#define KAL_TYPE_ROW(name, tag, sql, reply, fixed, key) [tag] = "another name of " sql,
    KAL_TYPE_LIST(KAL_TYPE_ROW)
#undef KAL_TYPE_ROW
};

static const char SERIAL_TEXT[] = "BIGINT with DEFAULT SNOWFLAKE_ID()";

bool kal_datatype_at(size_t i, kal_datatype *out)
{
    const char *name = NULL;
    kal_type_tag tag = KAL_TYPE_NULL;

    if (!kal_type_alias_at(i, &name, &tag))
        return false;
    bool is_serial = kal_type_alias_is_serial(i);
    if (is_serial)
        tag = KAL_TYPE_BIGINT; /* the ids need 64 bits */
    *out = (kal_datatype){
        .arrow_name = DATATYPES[tag].arrow_name,
        .kalam_name = kal_type_base_name(tag),
        .sql_name = name,
        .description = is_serial            ? SERIAL_TEXT
                       : i < KAL_TYPE_COUNT ? DATATYPES[tag].description
                                            : ALIAS_TEXTS[tag],
    };
    return true;
}
