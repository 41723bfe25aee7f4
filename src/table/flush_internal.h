/*
 * flush_internal.h: what flush.c and compact.c share: new segments, and changes of the catalog that
 * go through the lane.
 */
#ifndef KAL_TABLE_FLUSH_INTERNAL_H
#define KAL_TABLE_FLUSH_INTERNAL_H

#include "segment/writer.h"
#include "table/flush.h"
#include "table/table_internal.h"

enum { KAL_FLUSH_CHECK_ROWS = 1024, KAL_SCRATCH_PATH_BYTES = 4096 };

/* Commits the change with the hook (NULL: none) and ends it, whatever comes of it. */
KAL_MUST_CHECK kal_status kal_flush_commit(kal_tables *tables, kal_catalog_change *change,
                                           kal_write_hook hook, void *context, kal_error *err);
/* Asks args->check now and then: call it for each row. */
KAL_MUST_CHECK kal_status kal_flush_check(const kal_flush_args *args, uint64_t row, kal_error *err);

/* A segment that is going to be written: numbered and doomed durably, and not swept until
 * kal_flush_segment_end(). */
typedef struct kal_flush_segment {
    kal_segment_write_args write; /* ready for kal_segment_write() */
    char load_path[KAL_SCRATCH_PATH_BYTES];
} kal_flush_segment;
/* user_no: whose rows alone are in it; 0: of all users. Names are in the arena. */
KAL_MUST_CHECK kal_status kal_flush_segment_begin(const kal_flush_args *args,
                                                  const kal_table *table, uint64_t user_no,
                                                  kal_arena *arena, kal_flush_segment *segment,
                                                  kal_error *err);
/* Whether the table's new segments have rows of one user each: partition_by_user. */
bool kal_table_is_by_user(const kal_table *table);
/* Writes one segment anew that has rows of the user, dead ones too, without its dead rows.
 * *found_out false: none has. As kal_table_compact(). */
KAL_MUST_CHECK kal_status kal_table_rewrite_with_user(const kal_flush_args *args, kal_table *table,
                                                      uint64_t user_no, bool *found_out,
                                                      kal_error *err);
void kal_flush_segment_end(const kal_flush_args *args, const kal_flush_segment *segment);
/* What is being written at this moment, for kal_flush_is_over(): the caller's vector. */
typedef KAL_VEC(uint32_t) kal_segment_numbers;
void kal_flush_under_way(kal_tables *tables, kal_segment_numbers *out);
/* Whether none of them is being written any more. */
bool kal_flush_is_over(kal_tables *tables, const kal_segment_numbers *numbers);

#endif
