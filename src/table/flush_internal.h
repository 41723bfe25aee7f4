/*
 * flush_internal.h: what flush.c, compact.c and sweep.c share: new segments, and changes of the
 * catalog that go through the lane.
 */
#ifndef KAL_TABLE_FLUSH_INTERNAL_H
#define KAL_TABLE_FLUSH_INTERNAL_H

#include "segment/writer.h"
#include "table/flush.h"
#include "table/table_internal.h"

enum {
    KAL_FLUSH_CHECK_ROWS = 1024,
    KAL_FLUSH_PARTS_MAX = 256, /* users whose segments are published together */
};

/* Commits the change with the hook (NULL: none) and ends it, whatever comes of it. */
KAL_MUST_CHECK kal_status kal_flush_commit(kal_tables *tables, kal_catalog_change *change,
                                           kal_write_hook hook, void *context, kal_error *err);
/* Asks args->check, at once and without giving way. */
KAL_MUST_CHECK kal_status kal_flush_ask(const kal_flush_args *args, kal_error *err);
/* Gives way and asks args->check now and then: call it for each row, holding nothing. */
KAL_MUST_CHECK kal_status kal_flush_check(const kal_flush_args *args, uint64_t row, kal_error *err);
/* Where the manifest says up to which row a frozen space was moved, and that is one of the user's:
 * puts the end of all his rows in its place. He has none in the space any more, nor will have. */
KAL_MUST_CHECK kal_status kal_flush_forget_user(const kal_flush_args *args, const kal_table *table,
                                                uint64_t user_no, kal_error *err);
/* Of one segment. */
uint64_t kal_flush_rows_max(const kal_flush_args *args);
uint64_t kal_flush_bytes_max(const kal_flush_args *args);
/* Whether the table's new segments have rows of one user each: partition_by_user. */
bool kal_table_is_by_user(const kal_table *table);

/* ---- new segments (new_segments.c) ---- */

typedef struct kal_new_segment {
    uint64_t user_no; /* whose rows alone are in it; 0: of all users */
    uint32_t segment_id;
    kal_segment_place place;
} kal_new_segment;

/*
 * Segments that are written one after the other and published together. They are numbered and
 * doomed in one batch, synced together, and have one file of index entries: one by one each of
 * these would take longer than writing a small segment.
 */
typedef struct kal_new_segments {
    const kal_flush_args *args;     /* borrowed */
    const kal_table *table;         /* borrowed */
    kal_arena arena;                /* owned: names, and what segments say of themselves */
    KAL_VEC(kal_new_segment) items; /* owned; numbered, ascending */
    kal_segment_group *group;       /* owned; NULL: each file is durable by itself */
    kal_index_load index;
} kal_new_segments;
void kal_new_segments_open(kal_new_segments *segments, const kal_flush_args *args,
                           const kal_table *table);
/* Numbers one more for each of these users, durably; until kal_new_segments_close() none of them is
 * swept. One that is not written stays doomed. */
KAL_MUST_CHECK kal_status kal_new_segments_add(kal_new_segments *segments, const uint64_t *user_nos,
                                               size_t count, kal_error *err);
/* Writes items[i]: kal_segment_write(). info_out's bytes live until the close. */
KAL_MUST_CHECK kal_status kal_new_segments_write(kal_new_segments *segments, size_t i,
                                                 const kal_segment_source *source,
                                                 kal_segment_info *info_out, kal_error *err);
/* All that was written is on stable storage, files and index, when it answers KAL_OK. */
KAL_MUST_CHECK kal_status kal_new_segments_sync(kal_new_segments *segments, kal_error *err);
void kal_new_segments_close(kal_new_segments *segments);

bool kal_flush_is_being_written(kal_tables *tables, uint32_t segment_id);
/* What is being written at this moment, for kal_flush_is_over(): the caller's vector. */
typedef KAL_VEC(uint32_t) kal_segment_numbers;
void kal_flush_under_way(kal_tables *tables, kal_segment_numbers *out);
/* Whether none of them is being written any more. */
bool kal_flush_is_over(kal_tables *tables, const kal_segment_numbers *numbers);

/* ---- sweeping (sweep.c) ---- */

/* kal_tables_sweep() for whoever erases a user (0: of all): only of what may have rows of his, so
 * that no other storage can keep him; the error names the storage. */
KAL_MUST_CHECK kal_status kal_sweep_for_user(const kal_flush_args *args, uint64_t user_no,
                                             uint64_t *removed_out, kal_error *err);

/* ---- compaction (compact.c) ---- */

/* Writes one segment anew that has rows of the user, dead ones too, without its dead rows.
 * *found_out false: none has. As kal_table_compact(). */
KAL_MUST_CHECK kal_status kal_table_rewrite_with_user(const kal_flush_args *args, kal_table *table,
                                                      uint64_t user_no, bool *found_out,
                                                      kal_error *err);

#endif
