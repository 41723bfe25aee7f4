/*
 * schema_change.h: what one schema version changed, item by item, and the difference of any two
 * versions of a table.
 *
 * Changes are found by comparing definitions, never told by whoever made them: so the history, the
 * answer of ALTER TABLE and SHOW SCHEMA DIFF cannot disagree. Columns are matched by column_id, so
 * a renamed column is renamed, and a dropped and re-added one is dropped and added.
 *
 * Source: design section 6.
 */
#ifndef KAL_SCHEMA_SCHEMA_CHANGE_H
#define KAL_SCHEMA_SCHEMA_CHANGE_H

#include "base/buf.h"
#include "base/json_reader.h"
#include "base/json_writer.h"
#include "base/vec.h"

/* kind, name in JSON and in SHOW SCHEMA DIFF */
#define KAL_SCHEMA_CHANGE_LIST(X)                                                                  \
    X(INITIAL, "initial") /* version 1 */                                                          \
    X(UPGRADE, "upgrade") /* a system table, by a newer server */                                  \
    X(RENAME_TABLE, "rename_table")                                                                \
    X(ADD_COLUMN, "add_column") /* after: the column as CREATE TABLE spells it */                  \
    X(DROP_COLUMN, "drop_column")                                                                  \
    X(RENAME_COLUMN, "rename_column")                                                              \
    X(CHANGE_TYPE, "change_type")                                                                  \
    X(SET_NOT_NULL, "set_not_null")                                                                \
    X(DROP_NOT_NULL, "drop_not_null")                                                              \
    X(SET_DEFAULT, "set_default")                                                                  \
    X(DROP_DEFAULT, "drop_default")                                                                \
    X(COMMENT_COLUMN, "comment_column")                                                            \
    X(COMMENT_TABLE, "comment_table")                                                              \
    X(SET_OPTION, "set_option")                                                                    \
    X(SET_QUERY, "set_query") /* of a view */

typedef enum kal_schema_change_kind {
#define KAL_SCHEMA_CHANGE_ENUM(name, text) KAL_SCHEMA_##name,
    KAL_SCHEMA_CHANGE_LIST(KAL_SCHEMA_CHANGE_ENUM)
#undef KAL_SCHEMA_CHANGE_ENUM
        KAL_SCHEMA_CHANGE_KINDS
} kal_schema_change_kind;

typedef struct kal_schema_change {
    kal_schema_change_kind kind;
    uint32_t column_id; /* 0: of the table */
    kal_bytes name;     /* the column's (before, when renamed) or the option's; ptr NULL = none */
    kal_bytes before;   /* as SQL spells it: a type, default, name, comment; ptr NULL = none */
    kal_bytes after;
} kal_schema_change;

typedef KAL_VEC(kal_schema_change) kal_schema_changes; /* arena */

struct kal_table_definition;

/* What leads from one version of a table to another (also backwards), in a fixed order: the table,
 * dropped columns, changed columns in ordinal order, added columns, options. Lives in the arena. */
void kal_schema_diff(const struct kal_table_definition *from, const struct kal_table_definition *to,
                     kal_arena *arena, kal_schema_changes *out);
/* A list of one change of the table as a whole: INITIAL or UPGRADE. */
kal_schema_changes kal_schema_changes_of(kal_schema_change_kind kind, kal_arena *arena);

const char *kal_schema_change_name(kal_schema_change_kind kind);
/* "ADD COLUMN age INT NOT NULL DEFAULT 0" */
void kal_schema_change_to_text(const kal_schema_change *change, kal_buf *out);
/* All of them with "; " between. */
void kal_schema_changes_to_text(const kal_schema_changes *changes, kal_buf *out);

/* [{"kind":"rename_column","column_id":2,"name":"a","before":"a","after":"b"}, ...] */
void kal_schema_changes_write_json(const kal_schema_changes *changes, kal_json_writer *w);
KAL_MUST_CHECK kal_status kal_schema_changes_from_json(const kal_json *json, kal_arena *arena,
                                                       kal_schema_changes *out, kal_error *err);
void kal_schema_changes_encode(const kal_schema_changes *changes, kal_buf *out);
/* Copies into the arena. KAL_CORRUPT. */
KAL_MUST_CHECK kal_status kal_schema_changes_decode(kal_bytes *input, kal_arena *arena,
                                                    kal_schema_changes *out, kal_error *err);
/* No unknown kind, texts in UTF-8. KAL_INVALID. */
KAL_MUST_CHECK kal_status kal_schema_changes_validate(const kal_schema_changes *changes,
                                                      kal_error *err);

#endif
