/*
 * columns.h: which columns a segment's file has, and where a table's columns of today stand in it.
 *
 * A file begins with the hidden columns _user_no and _seq; then come the columns of the schema
 * version it was written with, in their order, with their column_id as field id.
 */
#ifndef KAL_SEGMENT_COLUMNS_H
#define KAL_SEGMENT_COLUMNS_H

#include "catalog/catalog.h"
#include "engine/parquet.h"

#define KAL_SEGMENT_USER_COLUMN   0
#define KAL_SEGMENT_SEQ_COLUMN    1
#define KAL_SEGMENT_HIDDEN_COUNT  2
#define KAL_SEGMENT_FIELD_USER_NO 0x7fff0001u /* field ids; column_ids are below */
#define KAL_SEGMENT_FIELD_SEQ     0x7fff0002u

/* The columns of a file of this definition; names in the arena. */
kal_parquet_column *kal_segment_columns(const kal_table_definition *def, kal_arena *arena,
                                        size_t *count_out);

/* A column of today in a file: */
typedef struct kal_segment_column_source {
    uint32_t file_column;     /* its place in kal_segment_columns(), or KAL_ROW_NO_COLUMN */
    const kal_value *initial; /* when it is not there: what it reads as; NULL = NULL; borrowed */
} kal_segment_column_source;
/* One per column of table->def, in the arena. KAL_CORRUPT: the versions do not fit together. */
KAL_MUST_CHECK kal_status kal_segment_sources(const kal_table *table,
                                              const kal_table_definition *file_def,
                                              kal_arena *arena,
                                              kal_segment_column_source **sources_out,
                                              kal_error *err);

#endif
