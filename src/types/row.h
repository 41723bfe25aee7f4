/*
 * row.h: how a row is stored: compact, and every column reached in O(1).
 *
 *   u32 schema_version | u64 seq | null bitmap | fixed part | u32 ends[variable columns] | bytes
 *
 * The layout follows from the column types of one schema version: fixed columns have constant
 * offsets; variable column k lies between ends[k-1] and ends[k]. EMBEDDING is fixed by its dim
 * (dim * 4 bytes) when NOT stored as NULL: it counts as variable here, so that NULLs cost nothing.
 * Bit i % 8 of bitmap byte i / 8 is set when column i is NULL; a NULL's fixed bytes are 0 and its
 * variable bytes are none. ends[] count from the start of the bytes; the last one is the row's end.
 *
 * A row of an older schema version is not rewritten: a projection says where each of today's
 * columns stands in it, by column_id, and values are widened as they are read (types/widen.h).
 *
 * Threads: layouts and projections are immutable once made.
 */
#ifndef KAL_TYPES_ROW_H
#define KAL_TYPES_ROW_H

#include "types/value.h"

#define KAL_ROW_HEADER_BYTES 12

typedef struct kal_row_column {
    kal_type type;
    /* fixed: from the start of the fixed part; variable: its index in ends[] */
    uint32_t offset : 31;
    uint32_t is_variable : 1;
} kal_row_column;

/* What kal_row_open() checks of one entry of ends[]. */
typedef struct kal_row_variable {
    uint32_t column; /* whose bytes these are */
    uint32_t bytes;  /* exact length when not NULL (EMBEDDING); 0 = any */
} kal_row_variable;

typedef struct kal_row_layout {
    kal_row_column *columns;     /* arena; column_count of them */
    kal_row_variable *variables; /* arena; variable_count of them, ascending by column */
    uint32_t column_count;
    uint32_t variable_count;
    uint32_t fixed_bytes;
    uint32_t bitmap_bytes;
} kal_row_layout;

#define KAL_ROW_NO_COLUMN UINT32_MAX

/* Where a column of today comes from in rows of an older schema version. */
typedef struct kal_row_source {
    uint32_t column;          /* of the older layout; KAL_ROW_NO_COLUMN: it did not exist yet */
    kal_type type;            /* the column's type today, to which the older one widens */
    const kal_value *initial; /* what it reads as when it did not exist; NULL = NULL; borrowed */
} kal_row_source;

/* How rows of an older schema version read as today's columns. */
typedef struct kal_row_projection {
    kal_row_layout layout;         /* of the older version */
    const kal_row_source *sources; /* arena; one per column of today */
    uint32_t column_count;
} kal_row_projection;

/* A row being read; borrows its bytes. */
typedef struct kal_row {
    const kal_row_layout *layout;         /* borrowed; of the version that wrote it */
    const kal_row_projection *projection; /* borrowed; NULL: that is today's version */
    const uint8_t *nulls;
    const uint8_t *fixed;
    const uint8_t *ends;
    const uint8_t *variable;
    uint64_t seq;
    uint32_t schema_version;
    const kal_value *values; /* borrowed; NULL, or the row's columns: it lies in a segment, and all
                                of the above but seq is unset */
} kal_row;

/* types[i] is column i; the layout's memory lives in the arena. */
void kal_row_layout_init(kal_row_layout *layout, const kal_type *types, size_t count,
                         kal_arena *arena);

/* Appends one row. values[i] must have column i's type or be NULL. KAL_LIMIT when the row would
 * exceed 2^31 bytes or the buffer's budget. */
KAL_MUST_CHECK kal_status kal_row_encode(const kal_row_layout *layout, uint32_t schema_version,
                                         uint64_t seq, const kal_value *values, kal_buf *out,
                                         kal_error *err);
/* Overwrites the seq of an encoded row in place. */
void kal_row_set_seq(uint8_t *row_bytes, uint64_t seq);

/* The header alone, before the layout of that version is known. KAL_CORRUPT when too short. */
KAL_MUST_CHECK kal_status kal_row_peek(kal_bytes bytes, uint32_t *schema_version_out,
                                       uint64_t *seq_out, kal_error *err);
/* Checks every length once, so that kal_row_get() needs no checks: ends[] ascend and the last one
 * is the end of bytes, a NULL has no bytes, an EMBEDDING has dim numbers. Contents (UTF-8, ranges)
 * are the store's checksums' business. KAL_CORRUPT. */
KAL_MUST_CHECK kal_status kal_row_open(const kal_row_layout *layout, kal_bytes bytes,
                                       kal_row *row_out, kal_error *err);
/* The same for a row of an older version: its columns are then today's. */
KAL_MUST_CHECK kal_status kal_row_open_projected(const kal_row_projection *projection,
                                                 kal_bytes bytes, kal_row *row_out, kal_error *err);
/* A row that does not lie in memory as bytes: values[] of all columns, borrowed. */
static inline kal_row kal_row_of_values(const kal_value *values, uint64_t seq)
{
    return (kal_row){.values = values, .seq = seq};
}
/* Column i of today; bytes borrow from the row's or from the projection. */
void kal_row_get(const kal_row *row, size_t i, kal_value *value_out);

#endif
