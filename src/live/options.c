/*
 * options.c: what a subscription asks for: the options of its message, then those of its text, then
 * defaults.
 */
#include "live/live_internal.h"

static kal_live_slow slow_of(kal_sql_on_slow on_slow)
{
    switch (on_slow) {
    case KAL_SQL_ON_SLOW_COALESCE:
        return KAL_LIVE_COALESCE;
    case KAL_SQL_ON_SLOW_CLOSE:
        return KAL_LIVE_CLOSE;
    case KAL_SQL_ON_SLOW_UNSPECIFIED:
    case KAL_SQL_ON_SLOW_PAUSE:
        break;
    }
    return KAL_LIVE_PAUSE;
}

live_options live_options_of(const kal_live_request *r, const kal_sql_live_options *sql)
{
    live_options o = {
        .batch_size = LIVE_BATCH_SIZE_DEFAULT,
        .last_rows = r->has_last_rows     ? r->last_rows
                     : sql->has_last_rows ? sql->last_rows
                                          : 0,
        .has_from = r->has_from || sql->has_from,
        .from = r->has_from ? r->from : sql->from,
        .on_slow = r->has_on_slow ? r->on_slow : slow_of(sql->on_slow),
        .wants_hash = r->has_hash ? r->wants_hash : sql->hash,
    };

    if (r->has_batch_size && r->batch_size > 0)
        o.batch_size = r->batch_size;
    else if (!r->has_batch_size && sql->has_batch_size)
        o.batch_size = sql->batch_size;
    if (o.batch_size > LIVE_BATCH_SIZE_MAX)
        o.batch_size = LIVE_BATCH_SIZE_MAX;
    return o;
}
