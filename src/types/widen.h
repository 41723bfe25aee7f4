/*
 * widen.h: which column types can become which others without looking at the rows.
 *
 * A row keeps the types it was written with; when it is read through a later schema its values are
 * widened. So a widening must be total and lossless, and cost no memory: SMALLINT to INT to BIGINT,
 * FLOAT to DOUBLE, DATE to TIMESTAMP, a DECIMAL of more digits before the point.
 *
 * One corner: dates reach further than timestamps. A DATE beyond year 294246 (or before -290307)
 * reads as TIMESTAMP infinity (or -infinity).
 *
 * Source: design section 6.
 */
#ifndef KAL_TYPES_WIDEN_H
#define KAL_TYPES_WIDEN_H

#include "types/value.h"

/* True also for equal types. */
bool kal_type_widens(kal_type from, kal_type to);
/* *out is v as a value of type `to`, to which v's type widens; bytes stay borrowed. out may be v.
 */
void kal_value_widen(const kal_value *v, kal_type to, kal_value *out);

#endif
