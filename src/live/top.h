/*
 * top.h: the first rows of a live query in an order (ORDER BY ... LIMIT n), kept up to date by
 * taking rows in and out.
 *
 * Kept are the first n and as many again, so that rows can leave. When so many have left that the
 * first n are not known any more, it has to be loaded again.
 *
 * Rows that the order does not tell apart are in the order of their keys.
 * Threads: one at a time. Source: design section 10.
 */
#ifndef KAL_LIVE_TOP_H
#define KAL_LIVE_TOP_H

#include "live/shown.h"
#include "sql/bind_live.h"

#define LIVE_TOP_ROWS_MAX 1000 /* LIMIT at most */

typedef struct live_top live_top; /* opaque: live_top_close */

live_top *live_top_open(const kal_live_plan *plan, kal_budget *budget);
void live_top_close(live_top *top); /* NULL is allowed */

/* Where a row stands, into `out`: bytes that sort as the order does, the row's primary key at the
 * end. */
KAL_MUST_CHECK kal_status live_top_key(const kal_live_plan *plan, const kal_expr_session *session,
                                       const kal_value *values, kal_arena *scratch, kal_buf *out,
                                       kal_error *err);
/* The row's primary key alone: its name in what is shown. */
void live_top_name(const kal_live_plan *plan, const kal_value *values, kal_buf *out);
/* Would it be among the rows that are kept? If not, it has to be told with live_top_pass(). */
bool live_top_admits(const live_top *top, kal_bytes key);
void live_top_pass(live_top *top);
/* A row that is admitted; text: its JSON members. */
KAL_MUST_CHECK kal_status live_top_add(live_top *top, kal_bytes key, kal_bytes name, kal_bytes text,
                                       kal_error *err);
void live_top_remove(live_top *top, kal_bytes key);
/* False: the first n rows are not known any more. */
bool live_top_is_known(const live_top *top);
/* Sets the first n rows in `shown`, and those that are not among them any more as gone. */
KAL_MUST_CHECK kal_status live_top_show(const live_top *top, live_shown *shown, uint64_t seq,
                                        live_shown_visit visit, void *context, kal_error *err);
/* The first n rows in order: name and text (`after`). */
KAL_MUST_CHECK kal_status live_top_each(const live_top *top, live_shown_visit visit, void *context,
                                        kal_error *err);

#endif
