/*
 * statistics.h: what the manifest says of the values in a segment's columns, and which conditions
 * of a statement no row of the segment can meet, so that its file need not be opened.
 *
 * Of each column: how many rows are NULL, bounds of the others, and, of columns of the primary key
 * and of PARTITION BY whose values repeat, a Bloom filter of the values; besides one of the users.
 * Values stand as ordered keys (types/key.h), whose byte order is the order of SQL; bounds are cut
 * to KAL_STATISTICS_BOUND_BYTES, the lower one downwards, the upper one upwards. JSON, FILE and
 * EMBEDDING have no bounds. Filters hash the key of the widest type that a column can become, so
 * that they hold after ALTER COLUMN TYPE.
 *
 * In kal_segment_info.statistics, little-endian, a text being u32 length and bytes:
 *
 *     u8 KAL_STATISTICS_VERSION | text filter of users | u32 columns, then of each:
 *     u32 column_id | type | u32 NULLs | text least | text greatest | text filter
 *
 * An empty text: not known; a filter: u8 hash functions and its bits. Whatever is absent, of
 * another version or malformed counts as not known: then the segment is read.
 *
 * A segment costs in memory what these bytes are: about 100 per column with bounds of 32 bytes, and
 * per filter 10 bits per distinct value, at most 64 KiB.
 *
 * Threads: reading, any; a collector by one at a time.
 */
#ifndef KAL_SEGMENT_STATISTICS_H
#define KAL_SEGMENT_STATISTICS_H

#include "catalog/segments.h"

#define KAL_STATISTICS_VERSION     1
#define KAL_STATISTICS_COLUMNS_MAX 256 /* of a table with more the first ones only */
#define KAL_STATISTICS_BOUND_BYTES 32
#define KAL_STATISTICS_FILTERS_MAX 8 /* of columns */
#define KAL_FILTER_VALUES_MAX      50000
#define KAL_FILTER_BITS_PER_VALUE  10

/* ---- while a segment is written ---- */

typedef struct kal_statistics_collector kal_statistics_collector; /* opaque: ..._close */

/* The definition is borrowed. */
kal_statistics_collector *kal_statistics_open(const kal_table_definition *def);
/* A row: one value per column, of its type or NULL. */
void kal_statistics_add(kal_statistics_collector *collector, uint64_t user_no,
                        const kal_value *values);
/* What the manifest is to say, in the arena. */
kal_bytes kal_statistics_encode(kal_statistics_collector *collector, kal_arena *arena);
void kal_statistics_close(kal_statistics_collector *collector); /* NULL is allowed */

/* ---- conditions ---- */

typedef enum kal_condition_kind {
    KAL_CONDITION_BETWEEN, /* lower and upper; either may be empty: none */
    KAL_CONDITION_IN,      /* keys: equal to one of them */
    KAL_CONDITION_NULL,
    KAL_CONDITION_NOT_NULL,
} kal_condition_kind;

/* What a row's value must be for the statement to want the row. */
typedef struct kal_condition {
    kal_condition_kind kind;
    uint32_t column_id;
    kal_type type; /* of the column today */
    bool lower_excluded;
    bool upper_excluded;
    kal_bytes lower; /* ordered keys of the type, as the others; whole or cut as a bound */
    kal_bytes upper;
    const kal_bytes *keys;
    const uint64_t *hashes; /* of the keys: kal_condition_hash() */
    size_t key_count;
} kal_condition;

/* Of a value that is not NULL, and its ordered key: equal for equal values, also of types that
 * widen to one another. */
uint64_t kal_condition_hash(const kal_value *value, kal_bytes key);

typedef struct kal_conditions {
    const kal_condition *items; /* all of them must be met */
    size_t count;
} kal_conditions;

/* False: no row of the segment meets all conditions. */
bool kal_statistics_may_meet(const kal_segment_info *info, const kal_conditions *conditions);
/* False: no row is the user's. */
bool kal_statistics_may_have_user(const kal_segment_info *info, uint64_t user_no);

/* ---- to be shown ---- */

typedef struct kal_column_statistics {
    uint32_t column_id;
    kal_type type; /* of the column then */
    uint32_t null_count;
    kal_bytes least; /* borrowed */
    kal_bytes greatest;
    kal_bytes filter;
} kal_column_statistics;

typedef struct kal_statistics_reader {
    kal_bytes rest;
    uint32_t columns_left;
    kal_bytes user_filter;
} kal_statistics_reader;

/* False: nothing is known. */
bool kal_statistics_read(kal_bytes statistics, kal_statistics_reader *reader_out);
/* The next column; false: there is none, or what follows cannot be read. */
bool kal_statistics_next(kal_statistics_reader *reader, kal_column_statistics *out);

#endif
