/*
 * shown.h: the rows that a maintained result shows, each under a key, and since which seq.
 *
 * Rows that went are remembered for a while, with their last text: so who was told everything up to
 * some seq can be told the rest, as it is now.
 *
 * Threads: one at a time.
 */
#ifndef KAL_LIVE_SHOWN_H
#define KAL_LIVE_SHOWN_H

#include "base/buf.h"
#include "base/error.h"

typedef struct live_shown live_shown; /* opaque: live_shown_close */

typedef struct live_shown_change {
    kal_bytes key;    /* borrowed for the call, as the next two */
    kal_bytes before; /* JSON members of the row; empty: it was not there */
    kal_bytes after;  /* empty: it is not there any more */
    uint64_t seq;     /* of the change */
} live_shown_change;
typedef kal_status (*live_shown_visit)(void *context, const live_shown_change *change,
                                       kal_error *err);

live_shown *live_shown_open(kal_budget *budget);
void live_shown_close(live_shown *shown); /* NULL is allowed */

/* From seq on the row is `text` (empty: not there); visit is called if that is something else than
 * before, and may be NULL. KAL_LIMIT, or the error of visit. */
KAL_MUST_CHECK kal_status live_shown_set(live_shown *shown, kal_bytes key, kal_bytes text,
                                         uint64_t seq, live_shown_visit visit, void *context,
                                         kal_error *err);
/* Every row; `before` is empty. visit may not set, here and below. */
KAL_MUST_CHECK kal_status live_shown_each(const live_shown *shown, live_shown_visit visit,
                                          void *context, kal_error *err);
size_t live_shown_count(const live_shown *shown);
/* What changed after seq, as it is now: rows that are there (an insert if they came after it), rows
 * that went, perhaps some that came after it, too. */
KAL_MUST_CHECK kal_status live_shown_since(const live_shown *shown, uint64_t seq,
                                           live_shown_visit visit, void *context, kal_error *err);
/* From which seq on live_shown_since() can say. */
uint64_t live_shown_known_since(const live_shown *shown);
void live_shown_begin(live_shown *shown, uint64_t seq);
/* The row; false: it is not there. */
bool live_shown_find(const live_shown *shown, kal_bytes key, live_shown_change *out);
/* It went, and that is still known. */
bool live_shown_is_gone(const live_shown *shown, kal_bytes key);

#endif
