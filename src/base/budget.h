/*
 * budget.h: how much memory a client's work may take.
 *
 * Every allocation whose size a client chose is charged to a budget before it is made: a statement
 * has one, its parent is the server's. Charging fails cleanly; the caller answers KAL_LIMIT.
 * Threads: a budget may be charged from several threads.
 */
#ifndef KAL_BASE_BUDGET_H
#define KAL_BASE_BUDGET_H

#include "base/defs.h"

#include <stdatomic.h>

typedef struct kal_budget {
    struct kal_budget *parent; /* borrowed, NULL at the top */
    size_t limit;              /* bytes */
    _Atomic size_t used;       /* bytes */
} kal_budget;

void kal_budget_init(kal_budget *budget, kal_budget *parent, size_t limit);

/* Takes `bytes` from the budget and all its parents, or from none. A NULL budget never refuses. */
KAL_MUST_CHECK bool kal_budget_charge(kal_budget *budget, size_t bytes);
/* Gives back what was charged. */
void kal_budget_release(kal_budget *budget, size_t bytes);

#endif
