/*
 * groups.h: the rows of a grouped live query, kept up to date by taking rows in and out.
 *
 * Sums of integers and decimals are exact in 128 bits, sums of doubles exact altogether
 * (base/exact_sum.h: a fresh sum by DuckDB, which depends on the order of the rows, may differ in
 * the last bits). MIN and MAX keep how often each value is there. A group goes when its last row
 * does; without GROUP BY there is one group, always.
 *
 * Threads: one at a time. Source: design section 10.
 */
#ifndef KAL_LIVE_GROUPS_H
#define KAL_LIVE_GROUPS_H

#include "live/shown.h"
#include "sql/bind_live.h"

typedef struct live_groups live_groups; /* opaque: live_groups_close */

live_groups *live_groups_open(kal_budget *budget);
void live_groups_close(live_groups *groups); /* NULL is allowed */

/* Takes the row (values as the plan's expressions want them) in, or out again. KAL_LIMIT, errors of
 * expressions, KAL_INVALID: a sum that does not fit its type. */
KAL_MUST_CHECK kal_status live_groups_add(live_groups *groups, const kal_live_plan *plan,
                                          const kal_expr_session *session, const kal_value *values,
                                          bool take_out, uint64_t seq, kal_arena *scratch,
                                          kal_error *err);
/* The key of the row's group, into `out`. */
KAL_MUST_CHECK kal_status live_groups_key(const kal_live_plan *plan,
                                          const kal_expr_session *session, const kal_value *values,
                                          kal_arena *scratch, kal_buf *out, kal_error *err);
/* What such a row's group shows without its aggregates, as JSON members, into `out`. */
KAL_MUST_CHECK kal_status live_groups_members(const kal_live_plan *plan,
                                              const kal_expr_session *session,
                                              const kal_value *values, kal_arena *scratch,
                                              kal_buf *out, kal_error *err);
/* Sets the rows of all groups that changed since the last time in `shown`. */
KAL_MUST_CHECK kal_status live_groups_show(live_groups *groups, const kal_live_plan *plan,
                                           live_shown *shown, live_shown_visit visit, void *context,
                                           kal_error *err);

#endif
