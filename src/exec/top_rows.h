/*
 * top_rows.h: the first rows of an ORDER BY, in memory for so many rows however many are offered.
 *
 * A heap whose root is the last of the rows kept: a row that does not come before it is turned away
 * by its ORDER BY values alone. Rows that are equal by ORDER BY stand in the order they came.
 *
 *   init, { admits, add }, sort, item..., release
 *
 * Threads: one at a time.
 */
#ifndef KAL_EXEC_TOP_ROWS_H
#define KAL_EXEC_TOP_ROWS_H

#include "base/vec.h"
#include "sql/ast.h"
#include "types/value.h"

typedef struct kal_top_row {
    kal_value *values; /* ORDER BY values, then items; bytes borrow from `bytes` */
    kal_buf bytes;     /* owned; reused by the row that takes this one's place */
    uint64_t arrival;
} kal_top_row;

typedef struct kal_top_rows {
    const kal_sql_order *order_by; /* borrowed */
    size_t order_count;
    size_t item_count;
    size_t capacity;
    kal_budget *budget;          /* borrowed */
    kal_arena arena;             /* of rows and values */
    KAL_VEC(kal_top_row *) rows; /* arena; a heap until sorted */
    uint64_t arrivals;
} kal_top_rows;

/* Keeps `capacity` rows, at least 1; everything is charged to the budget. */
void kal_top_rows_init(kal_top_rows *top, const kal_sql_order *order_by, size_t order_count,
                       size_t item_count, size_t capacity, kal_budget *budget);
void kal_top_rows_release(kal_top_rows *top);

/* Would a row of these ORDER BY values be kept, if it came now? */
bool kal_top_rows_admits(const kal_top_rows *top, const kal_value *order_values);
/* Adds a row that is admitted: order_count values, then item_count; they are copied. KAL_LIMIT. */
KAL_MUST_CHECK kal_status kal_top_rows_add(kal_top_rows *top, const kal_value *values,
                                           kal_error *err);

/* Puts the rows into order; nothing may be added afterwards. Returns how many there are. */
size_t kal_top_rows_sort(kal_top_rows *top);
/* The items of row i, after kal_top_rows_sort(). */
const kal_value *kal_top_rows_items(const kal_top_rows *top, size_t i);

#endif
