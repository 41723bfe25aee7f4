/*
 * expr.h: typed expression trees and the one evaluator that fast path, DML, CHECKs and live filters
 * share.
 *
 * DuckDB's semantics are normative. What the evaluator cannot do exactly like DuckDB is not built
 * here: the binder (sql/binder.h) then says so and the statement goes to DuckDB. Trees are
 * immutable once bound and may be used by several threads at once.
 *
 * Admitted: literals, columns, session functions; = <> < <= > >= with NULL logic, IS [NOT] DISTINCT
 * FROM, AND, OR, NOT, IN, BETWEEN, LIKE/ILIKE, IS NULL; + - * % on
 * integers and + - * on DECIMAL (overflow is an error), + - * / % on FLOAT and DOUBLE; unary minus;
 * || on TEXT; CASE; the casts of types/text.h that a differential test has admitted; -> and ->> on
 * JSON with a constant path; LOWER, UPPER, LENGTH, STARTS_WITH, ENDS_WITH, CONTAINS, COALESCE, ABS;
 * COSINE_DISTANCE.
 *
 * Source: design section 9.
 */
#ifndef KAL_EXPR_EXPR_H
#define KAL_EXPR_EXPR_H

#include "base/ids.h"

#include "expr/json_path.h"
#include "types/text.h"
#include "types/vector.h"

#define KAL_EXPR_KIND_LIST(X)                                                                      \
    X(LITERAL)  /* literal */                                                                      \
    X(COLUMN)   /* column: index into the row given to kal_expr_eval */                            \
    X(COMPARE)  /* op, 2 children of one type */                                                   \
    X(DISTINCT) /* IS [NOT] DISTINCT FROM: negated, 2 children */                                  \
    X(AND)      /* 2 or more children */                                                           \
    X(OR)                                                                                          \
    X(NOT)                                                                                         \
    X(IS_NULL)    /* negated */                                                                    \
    X(IN)         /* negated; child 0 among the others, all of one type */                         \
    X(BETWEEN)    /* negated; 3 children of one type */                                            \
    X(LIKE)       /* negated; nocase: of both in lower case; child 0 text, child 1 pattern,        \
                     escape (0 = none) */                                                          \
    X(ARITHMETIC) /* op, 2 children of the result's type; DECIMAL: of any DECIMAL or integer */    \
    X(NEGATE)                                                                                      \
    X(CONCAT)   /* || on TEXT: NULL if either is */                                                \
    X(CAST)     /* to type */                                                                      \
    X(CASE)     /* when, then, when, then, ..., else */                                            \
    X(JSON)     /* what path finds in child 0, a JSON: as JSON, or as TEXT by type */              \
    X(FUNCTION) /* function, children */

typedef enum kal_expr_kind {
#define KAL_EXPR_ENUM(name) KAL_EXPR_##name,
    KAL_EXPR_KIND_LIST(KAL_EXPR_ENUM)
#undef KAL_EXPR_ENUM
} kal_expr_kind;

typedef enum kal_expr_op {
    KAL_OP_EQ,
    KAL_OP_NE,
    KAL_OP_LT,
    KAL_OP_LE,
    KAL_OP_GT,
    KAL_OP_GE,
    KAL_OP_ADD,
    KAL_OP_SUB,
    KAL_OP_MUL,
    KAL_OP_DIV, /* FLOAT, DOUBLE: integers divide to DOUBLE, as in DuckDB */
    KAL_OP_MOD,
} kal_expr_op;

typedef enum kal_expr_function {
    KAL_EXPR_VECTOR, /* vector: two EMBEDDINGs of one dimension -> FLOAT */
    KAL_EXPR_NOW,    /* statement time: TIMESTAMP */
    KAL_EXPR_CURRENT_USER,
    KAL_EXPR_CURRENT_ROLE,
    KAL_EXPR_SNOWFLAKE_ID, /* a new one per call */
    KAL_EXPR_UUID_V7,
    KAL_EXPR_ULID,
    KAL_EXPR_LOWER, /* of a TEXT, as the next */
    KAL_EXPR_UPPER,
    KAL_EXPR_LENGTH,      /* characters of a TEXT: BIGINT */
    KAL_EXPR_STARTS_WITH, /* two TEXTs: BOOLEAN, as the next two */
    KAL_EXPR_ENDS_WITH,
    KAL_EXPR_CONTAINS,
    KAL_EXPR_COALESCE, /* one or more of one type: the first that is not NULL */
    KAL_EXPR_ABS,      /* of any number, of its type */
} kal_expr_function;

typedef struct kal_expr {
    kal_expr_kind kind;
    kal_type type; /* of the result */
    kal_expr_op op;
    kal_expr_function function;
    kal_vector_function vector;
    const kal_json_path *path; /* JSON; arena */
    bool negated;
    bool nocase;
    uint8_t escape;
    uint32_t column;
    kal_value literal; /* arena */
    struct kal_expr **children;
    uint32_t child_count;
    uint32_t position; /* in the SQL text, for run-time errors */
} kal_expr;

/* What session functions answer; fixed for a statement. */
typedef struct kal_expr_session {
    int64_t now_us;
    kal_bytes user_id;
    kal_bytes role;
    kal_ids *ids; /* borrowed; NULL: generating functions are refused */
} kal_expr_session;

/* Evaluates over one row: columns[i] is column i. Bytes in the result borrow from the row, the tree
 * or the arena. KAL_INVALID for run-time errors (overflow, failed cast, dimension mismatch), with
 * the position; KAL_LIMIT when the arena's budget refuses. */
KAL_MUST_CHECK kal_status kal_expr_eval(const kal_expr *expr, const kal_value *columns,
                                        const kal_expr_session *session, kal_arena *arena,
                                        kal_value *value_out, kal_error *err);
/* For WHERE: true only when the value is TRUE (NULL is not). expr is BOOLEAN or NULL-typed. */
KAL_MUST_CHECK kal_status kal_expr_test(const kal_expr *expr, const kal_value *columns,
                                        const kal_expr_session *session, kal_arena *arena,
                                        bool *true_out, kal_error *err);
/* Sets bit i of bits[] (column_count bits) for every column used; expr may be NULL. */
void kal_expr_columns(const kal_expr *expr, uint64_t *bits, size_t column_count);
/* Nodes of this kind in the tree; NULL has none. */
uint32_t kal_expr_count(const kal_expr *expr, kal_expr_kind kind);
/* No column, no generating function: the value is the same for every row. */
bool kal_expr_is_constant(const kal_expr *expr);

/*
 * The tree with every part that is the same for all rows of this session replaced by its value:
 * CURRENT_USER(), NOW(), 1 + 1. What fails to evaluate stays, so that it fails when, and only when,
 * it is needed. Nothing in the result borrows from the session; unchanged parts are shared with
 * `expr`. NULL gives NULL. KAL_LIMIT when the arena's budget refuses.
 */
KAL_MUST_CHECK kal_status kal_expr_fold(kal_expr *expr, const kal_expr_session *session,
                                        kal_arena *arena, kal_expr **folded_out, kal_error *err);
/* Same tree, same literals (bit for bit): positions aside. NULL equals NULL only. */
bool kal_expr_equal(const kal_expr *a, const kal_expr *b);

/* LIKE by bytes with '%' and '_' (one UTF-8 character), linear in practice: no backtracking beyond
 * the last '%'. */
bool kal_like_match(kal_bytes text, kal_bytes pattern, uint8_t escape);

#endif
