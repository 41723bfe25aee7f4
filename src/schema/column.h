/*
 * column.h: one column of one version of a table.
 *
 * column_id is its identity: never reused within the table, so a dropped and re-added name never
 * sees old data. ordinal_position is its place in listings: 1-based, unique, stable; gaps appear
 * when a column is dropped. Source: design section 6, reference 2.3.
 */
#ifndef KAL_SCHEMA_COLUMN_H
#define KAL_SCHEMA_COLUMN_H

#include "schema/column_default.h"

#define KAL_NAME_BYTES_MAX 64
#define KAL_COLUMNS_MAX    1600 /* of a table */

typedef struct kal_column {
    kal_bytes name;            /* definition's arena */
    uint32_t column_id;        /* >= 1 */
    uint32_t ordinal_position; /* >= 1 */
    kal_type type;
    bool is_nullable;
    bool is_primary_key; /* then not nullable */
    bool is_partition_key;
    const kal_column_default
        *default_value; /* what new rows get; NULL = none; definition's arena */
    /* What rows read as that were written before the column was added: decided once, by ALTER
     * TABLE. NULL: NULL, and always NULL for columns of the first version. Of the column's type,
     * not a NULL value; definition's arena. */
    const kal_value *initial_default;
    kal_bytes comment; /* ptr NULL = none */
} kal_column;

/* Never NULL: a column without DEFAULT has one of kind NONE. */
const kal_column_default *kal_column_default_of(const kal_column *column);
static inline bool kal_column_has_default(const kal_column *column)
{
    return kal_column_default_of(column)->kind != KAL_DEFAULT_NONE;
}

/* Of a namespace, table or column (`what`): not empty, at most KAL_NAME_BYTES_MAX, UTF-8 without
 * NUL. KAL_INVALID. */
KAL_MUST_CHECK kal_status kal_name_validate(const char *what, kal_bytes name, kal_error *err);

/* A nullable column without key, default or comment. */
kal_column kal_column_simple(const char *name, uint32_t ordinal, kal_type type);

KAL_MUST_CHECK kal_status kal_column_validate(const kal_column *column, kal_error *err);
void kal_column_write_json(const kal_column *column, kal_json_writer *w);
KAL_MUST_CHECK kal_status kal_column_from_json(const kal_json *json, kal_arena *arena,
                                               kal_column *out, kal_error *err);
/* A deep copy in the arena, but for the name, which the copy borrows. KAL_LIMIT when its budget
 * refuses. */
KAL_MUST_CHECK kal_status kal_column_copy(const kal_column *column, kal_arena *arena,
                                          kal_column *out, kal_error *err);
void kal_column_encode(const kal_column *column, kal_buf *out);
KAL_MUST_CHECK kal_status kal_column_decode(kal_bytes *input, kal_arena *arena, kal_column *out,
                                            kal_error *err);
/* The column as CREATE TABLE spells it: name TYPE [NOT NULL] [DEFAULT …] [COMMENT '…'] */
void kal_column_to_sql(const kal_column *column, kal_buf *out);
/* An identifier as SQL spells it: quoted when it has to be, so also when it is a reserved word. */
void kal_identifier_to_sql(kal_bytes name, kal_buf *out);

#endif
