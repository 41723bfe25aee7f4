/*
 * allow_names.h: the functions a query may call; everything else is refused.
 *
 * A name is on the list because it was looked at: it reads no file, no setting and no other
 * session, and its cost is bounded by its input, or its size arguments are checked (`rule`).
 *
 * Threads: any. Source: reference duckdb-scan-prototype.md section 7.
 */
#ifndef KAL_ENGINE_ALLOW_NAMES_H
#define KAL_ENGINE_ALLOW_NAMES_H

#include "base/bytes.h"

enum {
    KAL_FN_SCALAR = 1,
    KAL_FN_AGGREGATE = 2, /* also with OVER */
    KAL_FN_WINDOW = 4,    /* with OVER only */
    KAL_FN_TABLE = 8,     /* in FROM */
};

typedef enum kal_fn_rule {
    KAL_RULE_NONE,
    KAL_RULE_SIZE,       /* argument 2 is an integer constant up to KAL_SIZE_ARGUMENT_MAX */
    KAL_RULE_LAST_COUNT, /* an argument beyond `args` (the usual number) is such a constant */
    KAL_RULE_SERIES,     /* integer constants, bounded number of elements */
    KAL_RULE_QUANTILES,  /* argument 2 is a number or a short list of numbers */
    KAL_RULE_NO_ARGS,
    KAL_RULE_FIELDS, /* arguments may be named: struct_pack(a := 1) */
    KAL_RULE_COPIES, /* a macro that repeats its argument: bounded nesting */
} kal_fn_rule;

#define KAL_SIZE_ARGUMENT_MAX 1000
#define KAL_SERIES_SCALAR_MAX 100000
#define KAL_SERIES_TABLE_MAX  1000000
#define KAL_QUANTILES_MAX     100

typedef struct kal_fn {
    const char *name; /* lower case */
    uint8_t kinds;    /* KAL_FN_* */
    uint8_t rule;     /* kal_fn_rule */
    uint8_t args;     /* KAL_RULE_LAST_COUNT only */
} kal_fn;

/* ASCII case is ignored. NULL: not on the list. */
const kal_fn *kal_fn_find(kal_bytes name);
/* The listed name of that kind nearest to a misspelled one, or NULL when none is near. */
const char *kal_fn_near(kal_bytes name, uint8_t kinds);

#endif
