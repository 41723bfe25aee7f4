/*
 * flush.h: moving hot rows to segments, merging segments, and removing what is left of them.
 *
 * Threads: one flush or compaction of a table at a time; those of different tables at the same
 * time. They block, and read and write segments: not on a lane or an event loop.
 */
#ifndef KAL_TABLE_FLUSH_H
#define KAL_TABLE_FLUSH_H

#include "table/table.h"

/* One flush step ends at whichever comes first. */
#define KAL_SEGMENT_ROWS_DEFAULT  1000000u
#define KAL_SEGMENT_BYTES_DEFAULT (256u << 20)

typedef struct kal_flush_args {
    kal_tables *tables;
    const kal_principal *actor; /* of the change of the catalog */
    uint64_t segment_rows_max;  /* 0 = KAL_SEGMENT_ROWS_DEFAULT */
    uint64_t segment_bytes_max; /* about; 0 = KAL_SEGMENT_BYTES_DEFAULT */
    /* Asked every thousand rows or so; what it answers, but KAL_OK, ends it. NULL: nobody. */
    kal_status (*check)(void *context, kal_error *err);
    /* As often, and only while nothing is held that anybody waits for: the time to give way to
     * others, whose work is more urgent. NULL: never. */
    void (*give_way)(void *context);
    void *context; /* of both */
} kal_flush_args;

typedef struct kal_flush_result {
    uint64_t row_count;
    uint64_t segment_count;
    uint64_t size_bytes; /* of the segments' files */
} kal_flush_result;

/*
 * Moves all rows that the table has in hot spaces at this moment to new segments. What was moved
 * before a failure stays moved, the rest is where it was, and the next flush goes on with it.
 * KAL_STALE: the table was altered meanwhile; KAL_NOT_FOUND: dropped; KAL_INVALID: a kind of table
 * that has no segments; KAL_IO, KAL_CORRUPT, KAL_CANCELLED and what check says.
 */
KAL_MUST_CHECK kal_status kal_table_flush(const kal_flush_args *args, kal_table *table,
                                          kal_flush_result *result_out, kal_error *err);

/*
 * Merges segments of the table into new ones: those that are small, of about one size, and those
 * with many dead rows. By itself (forced = false) only where it is worth it: four of one size, or a
 * quarter of the rows dead; forced: whatever makes the segments fewer or takes dead rows away.
 * row_count of the result: live rows that were moved. As kal_table_flush().
 */
KAL_MUST_CHECK kal_status kal_table_compact(const kal_flush_args *args, kal_table *table,
                                            bool forced, kal_flush_result *result_out,
                                            kal_error *err);

/* Whether kal_table_compact() would do anything now. KAL_IO. */
KAL_MUST_CHECK kal_status kal_table_wants_compaction(kal_tables *tables, const kal_table *table,
                                                     bool forced, bool *wanted_out, kal_error *err);

/* What lies hot, for policies. */
typedef struct kal_hot_state {
    uint64_t row_count;  /* counted up to the limit */
    bool has_frozen;     /* a flush has not come to its end */
    int64_t moved_at_us; /* of the newest segment; without one, when the tables were opened */
} kal_hot_state;
KAL_MUST_CHECK kal_status kal_tables_hot_state(kal_tables *tables, const kal_table *table,
                                               uint64_t limit, kal_hot_state *out, kal_error *err);

/* Removes the files and index entries of doomed segments that no open view needs. KAL_BUSY: old
 * views are still open; the rest is for the next time. *removed_out: segments. */
KAL_MUST_CHECK kal_status kal_tables_sweep(const kal_flush_args *args, uint64_t *removed_out,
                                           kal_error *err);

#endif
