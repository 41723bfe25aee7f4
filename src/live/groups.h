/*
 * groups.h: the rows of a grouped live query, kept up to date by taking rows in and out.
 *
 * Sums of integers and decimals are exact in 128 bits, sums of doubles exact altogether
 * (base/exact_sum.h: a fresh sum by DuckDB, which depends on the order of the rows, may differ in
 * the last bits). MIN and MAX keep how often each value is there. A group goes when its last row
 * does; without GROUP BY there is one group, always. Groups that went are remembered for a while,
 * for who was behind.
 *
 * Threads: one at a time. Source: design section 10.
 */
#ifndef KAL_LIVE_GROUPS_H
#define KAL_LIVE_GROUPS_H

#include "base/list.h"
#include "base/map.h"
#include "sql/bind_live.h"

typedef struct live_groups live_groups; /* opaque: live_groups_close */

/* What became of a group since it was last shown. */
typedef struct live_group_change {
    kal_bytes key;    /* of the group; borrowed for the call, as the next two */
    kal_bytes before; /* its row as JSON members; empty: it was not there */
    kal_bytes after;  /* empty: it is not there any more */
    uint64_t seq;     /* of the change */
} live_group_change;
typedef kal_status (*live_group_visit)(void *context, const live_group_change *change,
                                       kal_error *err);

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
/* Every group whose row is another one than was shown last, which is shown thereby. */
KAL_MUST_CHECK kal_status live_groups_show(live_groups *groups, const kal_live_plan *plan,
                                           live_group_visit visit, void *context, kal_error *err);
/* Every group, as shown last; `before` is empty. */
KAL_MUST_CHECK kal_status live_groups_each(const live_groups *groups, live_group_visit visit,
                                           void *context, kal_error *err);
size_t live_groups_count(const live_groups *groups);
/* What became of the groups that changed after `seq`, as it is now: those that are there (before
 * and after), those that went (before). */
KAL_MUST_CHECK kal_status live_groups_since(const live_groups *groups, uint64_t seq,
                                            live_group_visit visit, void *context, kal_error *err);
/* From which seq on live_groups_since() can say. */
uint64_t live_groups_known_since(const live_groups *groups);
void live_groups_set_known_since(live_groups *groups, uint64_t seq);
/* It went, and that is still known. */
bool live_groups_is_gone(const live_groups *groups, kal_bytes key);
/* The group as shown last; false: there is none. */
bool live_groups_find(const live_groups *groups, kal_bytes key, live_group_change *out);

#endif
