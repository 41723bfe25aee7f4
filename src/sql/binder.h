/*
 * binder.h: from syntax to typed expressions over one table's columns.
 *
 * The binder admits exactly what the evaluator (expr/expr.h) does as DuckDB would, and makes the
 * types of operands agree: literals and parameters take the type of what they are compared with,
 * integers widen. Everything else is *for the engine*: KAL_UNSUPPORTED with binder->for_engine set,
 * which is no error but a direction; the statement then goes to DuckDB, which judges it.
 *
 * Columns are numbered as a row of values: the table's columns in ordinal order, then the hidden
 * ones (KAL_HIDDEN_LIST), then, when `excluded` is allowed, the proposed row of an upsert.
 *
 * Threads: one at a time; the trees it makes are immutable.
 */
#ifndef KAL_SQL_BINDER_H
#define KAL_SQL_BINDER_H

#include "expr/expr.h"
#include "schema/table_definition.h"
#include "sql/ast.h"
#include "types/json.h"

#define KAL_BIND_JSON_MAX 64 /* extractions from JSON in a statement: each parses its document */

/* Columns that every table has, selectable but not part of *. Their types come first. */
#define KAL_HIDDEN_COUNT   2
#define KAL_HIDDEN_SEQ     0 /* _seq: seq of the row's last change */
#define KAL_HIDDEN_DELETED 1 /* _deleted: always false */
kal_bytes kal_hidden_name(size_t hidden);
kal_type kal_hidden_type(size_t hidden);

typedef struct kal_binder {
    const kal_sql_statement *statement;
    const kal_table_definition *def; /* NULL: no table, so no columns */
    kal_bytes alias;                 /* of the table in this statement; empty: its name */
    const kal_value *params;         /* $1 is params[0] */
    const kal_json *param_json;      /* what was sent for each, or NULL */
    size_t param_count;
    bool allow_excluded;
    const kal_sql_items *items; /* of a SELECT, whose aliases only DuckDB resolves; or NULL */
    kal_arena *arena;
    uint32_t json_count;         /* of extractions from JSON so far */
    bool for_engine;             /* out: KAL_UNSUPPORTED means "ask DuckDB" */
    const kal_sql_expr *refused; /* out, with for_engine: the innermost that is not admitted */
} kal_binder;

/* KAL_UNSUPPORTED with for_engine; KAL_SYNTAX for an unknown column (code COLUMN_NOT_FOUND, near
 * name as hint) or parameter; KAL_INVALID for a literal that cannot be of the type it meets. */
KAL_MUST_CHECK kal_status kal_bind_expr(kal_binder *binder, const kal_sql_expr *expr,
                                        kal_expr **out, kal_error *err);
/* As above for WHERE: BOOLEAN, or for the engine. where NULL gives *out NULL. */
KAL_MUST_CHECK kal_status kal_bind_where(kal_binder *binder, const kal_sql_expr *where,
                                         kal_expr **out, kal_error *err);
/* Index of a column as numbered above, or -1. */
int kal_bind_column(const kal_binder *binder, const kal_sql_expr *column);
/* Does the table have a column of this name, hidden ones included? In any case of letters. */
bool kal_bind_is_column_name(const kal_binder *binder, kal_bytes name);
kal_status kal_bind_unknown_column(const kal_binder *binder, kal_bytes name, size_t position,
                                   kal_error *err);

/* Values that the first key columns must equal, and bounds of the next one, as WHERE (a bound tree)
 * demands of every row; the rest of WHERE still has to be tested. */
typedef struct kal_key_bounds {
    const kal_value *equal[32]; /* per key column; arena or tree */
    uint32_t equal_count;
    const kal_value *lower; /* of key column equal_count; NULL = none */
    const kal_value *upper;
    bool lower_inclusive;
    bool upper_inclusive;
    bool never; /* a key column is compared with NULL: no row can match */
} kal_key_bounds;
void kal_bind_key_bounds(const kal_table_definition *def, const kal_expr *where,
                         kal_key_bounds *out);

#endif
