/*
 * cold_scan.h: the live cold rows of a table as a snapshot has them, as columns of today.
 *
 * Isolation: the user's number is an argument, becomes a filter of the file where the segment has
 * rows of others, and is compared again with each row that comes back. Segments without such rows,
 * by what the manifest says of users, keys and columns, are not opened.
 *
 * Threads: a scan by one at a time.
 */
#ifndef KAL_SEGMENT_COLD_SCAN_H
#define KAL_SEGMENT_COLD_SCAN_H

#include "segment/backend.h"
#include "segment/key_index.h"
#include "segment/statistics.h"

typedef struct kal_cold_scan_args {
    kal_segment_backend *backend;
    kal_kv *kv;
    const kal_kv_snapshot *snapshot;
    kal_table *table;
    const kal_manifest *manifest; /* borrowed while the scan is open */
    uint32_t segment_id;          /* only this one; 0: all of the manifest */
    bool all_users;
    uint64_t user_no; /* 0 for SHARED tables */
    kal_bytes lower;  /* of primary keys, as in kal_scan_range; borrowed */
    kal_bytes upper;
    kal_conditions conditions; /* rows that do not meet them may be missing; borrowed */
    const uint64_t *wanted;    /* bits of the table's columns; NULL: all. Others read as NULL */
    bool wants_keys;           /* cold_key is filled; else only when there are bounds */
    bool by_chunks;            /* to be read by kal_cold_scan_next_chunk() */
    bool no_seq;               /* which then does not ask for KAL_COLD_COLUMN_SEQ */
    bool dead_too;
    bool few_rows; /* are expected */
    /* Asked between batches and while a far segment is fetched; what it answers, but KAL_OK, ends
     * the scan. NULL: nobody. */
    kal_status (*check)(const void *context, kal_error *err);
    const void *check_context;
    kal_budget *budget;
} kal_cold_scan_args;

typedef struct kal_cold_row {
    const kal_value *values; /* one per column of the table */
    uint64_t seq;
    uint64_t user_no;
    kal_bytes cold_key;
    const kal_segment *segment;
    uint32_t row;
} kal_cold_row;

typedef struct kal_cold_scan kal_cold_scan; /* opaque: kal_cold_scan_close */

/* Opens no file yet. */
kal_cold_scan *kal_cold_scan_open(const kal_cold_scan_args *args);
/* In key order within each segment, segments in no order; borrowed until the next call. KAL_END,
 * KAL_IO, KAL_CORRUPT (by the name of the object), KAL_CANCELLED, KAL_TIMEOUT, KAL_LIMIT. */
KAL_MUST_CHECK kal_status kal_cold_scan_next(kal_cold_scan *scan, kal_cold_row *row_out,
                                             kal_error *err);
/* Many rows at once, straight into DuckDB's vectors; column i of the target: columns[i] of the
 * table, or one of the next two. KAL_OK with 0 rows: call again; else as kal_cold_scan_next(). */
#define KAL_COLD_COLUMN_SEQ   UINT32_MAX       /* BIGINT */
#define KAL_COLD_COLUMN_FALSE (UINT32_MAX - 1) /* BOOLEAN */
KAL_MUST_CHECK kal_status kal_cold_scan_next_chunk(kal_cold_scan *scan, const uint32_t *columns,
                                                   size_t column_count, kal_engine_chunk *target,
                                                   size_t *rows_out, kal_error *err);
/* Whether the scan is read so: opened by_chunks, without keys and bounds. */
bool kal_cold_scan_is_by_chunks(const kal_cold_scan *scan);
void kal_cold_scan_close(kal_cold_scan *scan); /* NULL is allowed */

/* Whether there may be such rows at all, by the manifest alone. */
bool kal_cold_scan_may_find(const kal_cold_scan_args *args);

#endif
