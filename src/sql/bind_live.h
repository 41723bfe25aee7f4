/*
 * bind_live.h: from the syntax of a live query to a plan that a change is held against.
 *
 * A live query is answered by the evaluator alone: a row that changed is tested and projected, or
 * counted into its group, without a query engine. So everything in it has to be what the binder
 * admits; what is not is KAL_UNSUPPORTED with the text of the expression, never guessed.
 *
 * Without aggregates and GROUP BY a row of the result is a row of the table. With them a row of the
 * result is a group: all rows that are equal in all of group_by (none: one group, which exists
 * without rows, too). Equal is by kal_value_compare(), NULL equals NULL.
 *
 * Expressions speak of a row as a SELECT's do (binder.h): the table's columns in ordinal order,
 * then the hidden ones. They are immutable and may be used by several threads.
 *
 * Protocol: kal_sql_parse_live(), kal_live_bind(), kal_expr_fold() of what is evaluated often with
 * one session, kal_live_index_of() of the folded WHERE. NOW() is folded as well: in a live query it
 * is the moment the session says, that of subscribing.
 *
 * Source: design section 10.
 */
#ifndef KAL_SQL_BIND_LIVE_H
#define KAL_SQL_BIND_LIVE_H

#include "sql/binder.h"

#define KAL_LIVE_TERMS_MAX 32 /* of GROUP BY, and of ORDER BY */

/* name, as it is written in SQL and in the names of columns */
#define KAL_LIVE_FN_LIST(X)                                                                        \
    X(COUNT, "count") /* BIGINT: rows, or rows whose argument is not NULL */                       \
    X(SUM, "sum")     /* DECIMAL(38,0) of integers, DECIMAL(38,s), DOUBLE; NULL of no value */     \
    X(AVG, "avg")     /* DOUBLE; NULL of no value */                                               \
    X(MIN, "min")     /* of the argument's type, by kal_value_compare(); NULL of no value */       \
    X(MAX, "max")

typedef enum kal_live_fn {
    KAL_LIVE_NONE, /* no aggregate: a projection */
#define KAL_LIVE_FN_ENUM(name, text) KAL_LIVE_##name,
    KAL_LIVE_FN_LIST(KAL_LIVE_FN_ENUM)
#undef KAL_LIVE_FN_ENUM
} kal_live_fn;

/* A column of the result; of a star one for each of the table's columns. */
typedef struct kal_live_item {
    kal_bytes name; /* as DuckDB would show it */
    kal_type type;  /* of the result's cells */
    kal_live_fn fn;
    kal_expr *expr; /* NONE: the cell, in a grouped query the same for all rows of a group;
                       otherwise the argument, NULL for COUNT(*) */
    int column;     /* NONE, and a column of the table as it is: its index, as binder.h numbers;
                       otherwise -1 */
    bool is_key;    /* a column of the PRIMARY KEY as it is */
    bool is_not_null;
} kal_live_item;

typedef struct kal_live_order {
    kal_expr *expr; /* over a row; NULL: the aggregate items[item] */
    size_t item;    /* index of the item that is ordered by, or item_count: of none */
    bool descending;
    bool nulls_first;
} kal_live_order;

typedef struct kal_live_plan {
    const kal_table_definition *def; /* the binder's */
    kal_expr *where;                 /* BOOLEAN; NULL: every row */
    kal_live_item *items;
    size_t item_count;
    bool is_grouped; /* has aggregates or GROUP BY */
    kal_expr **group_by;
    size_t group_count;
    kal_live_order *order_by; /* with a limit, and only then */
    size_t order_count;
    bool has_limit;
    uint64_t limit;
} kal_live_plan;

/*
 * Binds a live query of kind SELECT. The binder has def, params and arena, and is given the alias;
 * the plan lives in that arena. A plan borrows names from the definition and literals from the SQL
 * text.
 *
 * KAL_UNSUPPORTED (code UNSUPPORTED): "a live query cannot evaluate '...': ...", COUNT(DISTINCT),
 * an item that needs an alias; KAL_SYNTAX: unknown column, an item that is neither grouped nor
 * aggregated, an ordinal without item; KAL_INVALID as kal_bind_expr(); KAL_LIMIT.
 */
KAL_MUST_CHECK kal_status kal_live_bind(const kal_sql_live *live, kal_binder *binder,
                                        kal_live_plan *plan_out, kal_error *err);

/* Sets bit i of bits[] (def->column_count + KAL_HIDDEN_COUNT bits) for every column that the plan
 * looks at, whether to test, to group, to order or to show. */
void kal_live_plan_columns(const kal_live_plan *plan, uint64_t *bits);

typedef enum kal_live_index_kind {
    KAL_LIVE_INDEX_NONE,  /* no condition: every row has to be tested */
    KAL_LIVE_INDEX_NEVER, /* no row can match */
    KAL_LIVE_INDEX_KEYS,  /* the column is one of keys */
    KAL_LIVE_INDEX_RANGE  /* the column lies between lower and upper */
} kal_live_index_kind;

/*
 * A condition on one column which every row that WHERE accepts meets. Keys are those of
 * types/key.h: a column that is NULL meets no condition, any other is compared by memcmp() of its
 * own key.
 */
typedef struct kal_live_index {
    kal_live_index_kind kind;
    uint32_t column; /* KEYS, RANGE: index into def->columns */
    kal_bytes *keys; /* KEYS: ascending, no two equal; arena */
    size_t key_count;
    bool has_lower; /* RANGE: at least one of both */
    bool has_upper;
    bool lower_inclusive;
    bool upper_inclusive;
    kal_bytes lower; /* arena */
    kal_bytes upper;
    bool exact; /* every row that meets it is accepted, too: nothing is left to test. NONE: there is
                   no WHERE */
} kal_live_index;

/* The best condition in WHERE (folded; NULL: none), looked for in its top-level AND: few keys
 * rather than many, keys rather than a range, both bounds rather than one. KAL_LIMIT. */
KAL_MUST_CHECK kal_status kal_live_index_of(const kal_table_definition *def, const kal_expr *where,
                                            kal_arena *arena, kal_live_index *index_out,
                                            kal_error *err);
/* Does the column's value meet the condition? key: of the value, empty when it is NULL. For NONE
 * true, for NEVER false. */
bool kal_live_index_meets(const kal_live_index *index, kal_bytes key);

#endif
