/*
 * duckdb_ids.c: the list of DuckDB's types that queries may use.
 */
#include "types/duckdb_ids.h"

enum { PLAIN = 0, INTEGER = 1, DAY = 2 };

static const struct {
    const char *id;
    int kind;
} IDS[] = {
    {"NULL", PLAIN},
    {"BOOLEAN", PLAIN},
    {"TINYINT", INTEGER},
    {"SMALLINT", INTEGER},
    {"INTEGER", INTEGER},
    {"BIGINT", INTEGER},
    {"UTINYINT", PLAIN},
    {"USMALLINT", PLAIN},
    {"UINTEGER", PLAIN},
    {"UBIGINT", PLAIN},
    {"HUGEINT", PLAIN},
    {"UHUGEINT", PLAIN},
    {"FLOAT", PLAIN},
    {"DOUBLE", PLAIN},
    {"DECIMAL", PLAIN},
    {"VARCHAR", PLAIN},
    {"BLOB", PLAIN},
    {"DATE", DAY},
    {"TIME", PLAIN},
    {"TIMESTAMP", DAY},
    {"TIMESTAMP_S", DAY},
    {"TIMESTAMP_MS", DAY},
    {"TIMESTAMP_NS", DAY},
    {"TIMESTAMP WITH TIME ZONE", DAY},
    {"TIME WITH TIME ZONE", PLAIN},
    {"INTERVAL", PLAIN},
    {"UUID", PLAIN},
    {"LIST", PLAIN},
    {"ARRAY", PLAIN},
    {"STRUCT", PLAIN},
    {"MAP", PLAIN},
    {"INTEGER_LITERAL", INTEGER},
    {"STRING_LITERAL", PLAIN},
};

/* -1 when it is not in the list. */
static int kind_of(kal_bytes id)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(IDS); i++) {
        if (kal_bytes_equal(id, kal_cstr(IDS[i].id)))
            return IDS[i].kind;
    }
    return -1;
}

bool kal_duckdb_id_is_known(kal_bytes id)
{
    return kind_of(id) >= 0;
}

bool kal_duckdb_id_is_integer(kal_bytes id)
{
    return kind_of(id) == INTEGER;
}

bool kal_duckdb_id_is_day(kal_bytes id)
{
    return kind_of(id) == DAY;
}
