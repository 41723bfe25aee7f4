#include "types/widen.h"
#include "base/assert.h"
#include "types/text_internal.h"

/* SMALLINT, INT and BIGINT by width. */
static int integer_rank(kal_type type)
{
    switch (type.tag) {
    case KAL_TYPE_SMALLINT:
        return 1;
    case KAL_TYPE_INT:
        return 2;
    case KAL_TYPE_BIGINT:
        return 3;
    default:
        return 0;
    }
}

bool kal_type_widens(kal_type from, kal_type to)
{
    if (kal_type_equal(from, to))
        return true;
    if (from.tag == KAL_TYPE_DECIMAL && to.tag == KAL_TYPE_DECIMAL)
        return from.scale == to.scale && from.precision < to.precision;
    if (integer_rank(from) != 0 && integer_rank(to) != 0)
        return integer_rank(from) < integer_rank(to);
    return (from.tag == KAL_TYPE_FLOAT && to.tag == KAL_TYPE_DOUBLE) ||
           (from.tag == KAL_TYPE_DATE && to.tag == KAL_TYPE_TIMESTAMP);
}

static int64_t widen_date(int64_t days)
{
    int64_t instant = 0;
    if (kal_instant_from_date(days, &instant))
        return instant;
    return days < 0 ? -KAL_INSTANT_INFINITY : KAL_INSTANT_INFINITY;
}

void kal_value_widen(const kal_value *v, kal_type to, kal_value *out)
{
    kal_type from = v->type;

    KAL_ASSERT(kal_type_widens(from, to));
    *out = *v;
    out->type = to;
    if (v->is_null)
        return;
    if (from.tag == KAL_TYPE_FLOAT && to.tag == KAL_TYPE_DOUBLE)
        out->f64 = (double)v->f32;
    else if (from.tag == KAL_TYPE_DATE && to.tag == KAL_TYPE_TIMESTAMP)
        out->integer = widen_date(v->integer);
    /* Integers and decimals are held the same way at every width. */
}
