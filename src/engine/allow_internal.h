/*
 * allow_internal.h: what allow_list.c (queries, tables) and allow_expr.c (expressions) share.
 */
#ifndef KAL_ENGINE_ALLOW_INTERNAL_H
#define KAL_ENGINE_ALLOW_INTERNAL_H

#include "engine/allow_list.h"
#include "engine/ast.h"

/* A CTE that is visible; a list from the innermost outwards, on the walker's arena. */
typedef struct allow_cte {
    const struct allow_cte *outer;
    kal_bytes name;
    uint64_t tables; /* references to tables that one use of it stands for */
} allow_cte;

typedef struct allow_walk {
    kal_bytes text;
    kal_arena *arena;
    kal_plan *plan;
    kal_error *err;
    const allow_cte *ctes;
    uint32_t scope;
    unsigned depth;
    unsigned copies; /* nesting of macros that repeat their argument */
    unsigned arms;
    unsigned leaves;     /* of FROM clauses */
    uint64_t tables;     /* references, CTEs expanded; saturates */
    uint64_t stars;      /* product of the numbers of * */
    uint64_t repetition; /* product of the sizes given to repeat() */
    size_t position;     /* of the nearest node that has one */
    bool in_order_by;    /* ORDER BY ALL is a star without text */
} allow_walk;

/* Members of a node: key and how to walk it. */
typedef struct allow_member {
    const char *key;
    kal_status (*walk)(allow_walk *w, const kal_json *value);
} allow_member;

/* Every member of node is listed in `common` or `members` (both end with key NULL) and passes. */
kal_status allow_members(allow_walk *w, const kal_json *node, const allow_member *common,
                         const allow_member *members);

kal_status allow_any(allow_walk *w, const kal_json *value);  /* harmless whatever it is */
kal_status allow_skip(allow_walk *w, const kal_json *value); /* walked by the caller */
kal_status allow_none(allow_walk *w, const kal_json *value); /* must be empty or false */

kal_status allow_expr(allow_walk *w, const kal_json *node);
kal_status allow_exprs(allow_walk *w, const kal_json *array);
kal_status allow_orders(allow_walk *w, const kal_json *array);        /* of OrderByNode */
kal_status allow_select(allow_walk *w, const kal_json *statement);    /* {"node": ...} */
kal_status allow_type(allow_walk *w, const kal_json *type);           /* of a cast */
kal_status allow_value(allow_walk *w, const kal_json *value);         /* a constant */
kal_status allow_table_function(allow_walk *w, const kal_json *call); /* in FROM */

kal_status allow_enter(allow_walk *w); /* one level deeper: KAL_LIMIT; leave by w->depth-- */
kal_status allow_refuse(allow_walk *w, const char *format, ...) KAL_PRINTF(2, 3); /* UNSUPPORTED */
kal_status allow_limit(allow_walk *w, const char *format, ...) KAL_PRINTF(2, 3);
kal_status allow_memory(allow_walk *w);
/* Notes where a node is, if it says so; false when it does not. */
bool allow_locate(allow_walk *w, const kal_json *node, size_t *position_out);

#endif
