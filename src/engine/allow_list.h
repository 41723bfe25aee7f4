/*
 * allow_list.h: which statements DuckDB gets to run, decided on its own syntax tree.
 *
 * Default deny: every node, member, function, type and column name that is not listed here is
 * refused, by name and with its position. What passes is one SELECT over tables that the caller
 * resolves, CTEs, sub-selects, VALUES, unnest() and short series; it can reach no file, no setting,
 * no catalog of DuckDB, and its size is bounded. The result is a plan: the places in the text that
 * rewrite.h fills in for each execution. A plan depends on nothing but the text and the caps.
 *
 * Scopes: each SELECT is one; scope 0 is outside of all. A column may come from its own scope or
 * from any that encloses it.
 *
 * Threads: a plan is read-only once made.
 * Source: design section 9; reference duckdb-scan-prototype.md section 7.
 */
#ifndef KAL_ENGINE_ALLOW_LIST_H
#define KAL_ENGINE_ALLOW_LIST_H

#include "base/arena.h"
#include "base/error.h"
#include "base/json_reader.h"
#include "base/vec.h"

#define KAL_ALLOW_DEPTH_MAX        100
#define KAL_ALLOW_IN_MAX           10000
#define KAL_ALLOW_LIST_MAX         10000 /* elements of a list literal, rows of VALUES */
#define KAL_ALLOW_COLUMNS_MAX      1000
#define KAL_ALLOW_ARMS_MAX         100 /* of set operations */
#define KAL_ALLOW_TABLES_MAX       64  /* references, after CTEs are expanded */
#define KAL_ALLOW_STARS_MAX        64  /* product over the selects of their numbers of * */
#define KAL_ALLOW_PARAM_MAX        1000
#define KAL_ALLOW_TEXT_BYTES       (64u * 1024u)
#define KAL_ALLOW_TEXT_BYTES_ADMIN (256u * 1024u)

/* Functions of the session, with or without (); the engine asks for their values (functions.h). */
#define KAL_SESSION_LIST(X)                                                                        \
    X(current_user)                                                                                \
    X(session_user)                                                                                \
    X(user)                                                                                        \
    X(current_role)                                                                                \
    X(current_user_id)                                                                             \
    X(current_catalog)                                                                             \
    X(current_schema)                                                                              \
    X(current_database)                                                                            \
    X(current_namespace)

enum {
#define KAL_SESSION_ENUM(name) KAL_SESSION_##name,
    KAL_SESSION_LIST(KAL_SESSION_ENUM)
#undef KAL_SESSION_ENUM
        KAL_SESSION_COUNT
};
extern const char *const kal_session_names[KAL_SESSION_COUNT];

/* A reference to a table of the database: bytes [start, end) of the text. */
typedef struct kal_plan_table {
    size_t start;
    size_t end;
    kal_bytes schema; /* as written, without quotes; empty: the default namespace */
    kal_bytes name;
    kal_bytes alias; /* empty: known by its own name */
    uint32_t scope;
} kal_plan_table;

/* A column reference of three or more parts, perhaps schema.table.column. */
typedef struct kal_plan_column {
    size_t start; /* of the first part */
    size_t end;   /* of the first part */
    kal_bytes schema;
    kal_bytes table;
    uint32_t scope;
} kal_plan_column;

/* A name with a leading underscore, which may be a hidden column. */
typedef struct kal_plan_name {
    kal_bytes name;
    size_t position;
    uint32_t scope;
} kal_plan_name;

/* A * or t.* of a select list. */
typedef struct kal_plan_star {
    size_t position;
    size_t end;         /* behind the '*'; 0 when it is implied (FROM t) */
    kal_bytes relation; /* empty: all */
    uint32_t scope;
    bool plain; /* neither EXCLUDE, REPLACE, RENAME nor COLUMNS */
} kal_plan_star;

/* A cast: position of CAST, TRY_CAST or ::, for TYPE 'text' of the text. */
typedef struct kal_plan_cast {
    size_t position;
    bool is_literal;
} kal_plan_cast;

typedef struct kal_plan_scope {
    uint32_t outer;
    bool merges; /* NATURAL JOIN, PIVOT: the set of columns changes the meaning */
} kal_plan_scope;

typedef struct kal_plan {
    KAL_VEC(kal_plan_table) tables; /* all sorted by position, each position once */
    KAL_VEC(kal_plan_column) columns;
    KAL_VEC(kal_plan_star) stars;
    KAL_VEC(kal_plan_name) names;   /* in any order */
    KAL_VEC(kal_plan_cast) casts;   /* in any order, some perhaps twice */
    KAL_VEC(kal_plan_scope) scopes; /* by number */
    uint32_t param_max;             /* the highest $n; 0 = none */
    bool params_used[KAL_ALLOW_PARAM_MAX + 1];
    bool has_anti_join;                   /* by name: ANTI JOIN */
    bool session_used[KAL_SESSION_COUNT]; /* named somewhere; columns of that name come first */
} kal_plan;

/*
 * Checks the tree of `text` and makes its plan. Everything lives in the arena, except that names
 * may borrow from tree and text: keep all three together. The tree is that of kal_ast_parse(), with
 * json_serialize_sql's envelope. KAL_SYNTAX, KAL_UNSUPPORTED, KAL_LIMIT, with positions.
 */
KAL_MUST_CHECK kal_status kal_allow_check(kal_bytes text, const kal_json *tree, kal_arena *arena,
                                          kal_plan **plan_out, kal_error *err);

/* The one query node of json_serialize_sql's envelope; KAL_SYNTAX, KAL_UNSUPPORTED when there is
 * another number of statements or none that serialises. */
KAL_MUST_CHECK kal_status kal_allow_envelope(const kal_json *tree, const kal_json **node_out,
                                             kal_error *err);

/* inner is scope itself or lies within it. */
bool kal_plan_within(const kal_plan *plan, uint32_t inner, uint32_t outer);

#endif
