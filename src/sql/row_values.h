/*
 * row_values.h: a stored row as the values that bound expressions are evaluated over: the table's
 * columns in ordinal order, then the hidden ones (sql/binder.h).
 */
#ifndef KAL_SQL_ROW_VALUES_H
#define KAL_SQL_ROW_VALUES_H

#include "catalog/catalog.h"
#include "sql/binder.h"

size_t kal_row_value_count(const kal_table *table); /* columns and hidden ones */
/* One bit per value, none or all of them set. */
uint64_t *kal_column_bits(const kal_table *table, kal_arena *arena, bool all);
/* Decodes the columns set in bits of a row into values[]; hidden ones always. They borrow from the
 * row. */
void kal_row_values(const kal_table *table, const kal_row *row, const uint64_t *bits,
                    kal_value *values);

#endif
