/*
 * table_alter.h: from one version of a table to the next: the rules of ALTER TABLE, as a pure
 * function of the definition.
 *
 * No rule looks at rows. What rows have to fulfil for the new version to be true is told to the
 * caller (kal_altered), who checks it: columns that must hold no NULL, or a table that must be
 * empty.
 *
 * Source: design section 6; reference section 1.2.
 */
#ifndef KAL_SCHEMA_TABLE_ALTER_H
#define KAL_SCHEMA_TABLE_ALTER_H

#include "schema/schema_change.h"
#include "schema/table_definition.h"

typedef enum kal_alter_kind {
    KAL_ALTER_ADD_COLUMN,
    KAL_ALTER_DROP_COLUMN,
    KAL_ALTER_RENAME_COLUMN,
    KAL_ALTER_SET_TYPE,
    KAL_ALTER_SET_NOT_NULL,
    KAL_ALTER_DROP_NOT_NULL,
    KAL_ALTER_SET_DEFAULT, /* kind NONE: drops it */
    KAL_ALTER_COMMENT_COLUMN,
    KAL_ALTER_COMMENT_TABLE,
    KAL_ALTER_RENAME_TABLE,
    KAL_ALTER_SET_OPTION,
} kal_alter_kind;

/* One step, as asked for. Which fields count follows from kind; all are borrowed. */
typedef struct kal_alter {
    kal_alter_kind kind;
    kal_bytes column;                 /* *_COLUMN but ADD, SET_*, DROP_NOT_NULL */
    kal_bytes new_name;               /* RENAME_* */
    kal_column added;                 /* ADD_COLUMN; ordinal and id are assigned */
    bool if_exists;                   /* of the column; ADD_COLUMN: if not exists */
    kal_type type;                    /* SET_TYPE */
    kal_column_default default_value; /* SET_DEFAULT: a literal may be of any type */
    kal_bytes comment;                /* COMMENT_*; ptr NULL removes it */
    kal_bytes option;                 /* SET_OPTION, any case */
    kal_value option_value;
} kal_alter;

typedef struct kal_altered {
    kal_table_definition *def;  /* the next version; the old one's number when nothing changed */
    kal_schema_changes changes; /* empty: nothing changed */
    /* Columns (ids) that existed and were nullable: existing rows must not hold NULL there. */
    uint32_t *not_null_ids;
    uint32_t not_null_count;
    bool needs_empty; /* a NOT NULL column without initial default was added: no row may exist */
} kal_altered;

/*
 * Carries out the steps in order on a copy. Everything in *out lives in the arena.
 * *failed_out: index of the step that was refused, or `count` when the result as a whole was.
 * KAL_NOT_FOUND: unknown column; KAL_EXISTS: name taken; KAL_INVALID: the rules, among them: a type
 * that the old one does not widen to (types/widen.h), a key column dropped, retyped or made
 * nullable, the last column dropped, an option that the kind of table does not have;
 * KAL_UNSUPPORTED: an option whose effect is not built.
 */
KAL_MUST_CHECK kal_status kal_table_alter(const kal_table_definition *def, const kal_alter *steps,
                                          size_t count, int64_t now_us, kal_arena *arena,
                                          kal_altered *out, size_t *failed_out, kal_error *err);

/* One step each. */
KAL_MUST_CHECK kal_status kal_table_definition_add_column(const kal_table_definition *def,
                                                          const kal_column *column, int64_t now_us,
                                                          kal_arena *arena,
                                                          kal_table_definition **out,
                                                          kal_error *err);
KAL_MUST_CHECK kal_status kal_table_definition_drop_column(const kal_table_definition *def,
                                                           kal_bytes name, int64_t now_us,
                                                           kal_arena *arena,
                                                           kal_table_definition **out,
                                                           kal_error *err);

#endif
