/*
 * writer.h: from rows in key order to a segment: its file, its index, what the manifest says of it.
 */
#ifndef KAL_SEGMENT_WRITER_H
#define KAL_SEGMENT_WRITER_H

#include "segment/backend.h"
#include "segment/key_index.h"

typedef struct kal_segment_row {
    kal_bytes cold_key; /* be16 shard | be64 user_no | primary key */
    uint64_t seq;
    const kal_value *values; /* one per column of the table */
} kal_segment_row;

typedef struct kal_segment_source {
    void *context;
    /* The next row, keys strictly ascending; borrowed until the next call. KAL_END. */
    kal_status (*next)(void *context, kal_segment_row *row_out, kal_error *err);
} kal_segment_source;

/*
 * The index entries of segments that are written one after the other: they become data files of the
 * store, one for all segments whose numbers ascend. A file each would cost more than all else where
 * segments are small.
 */
typedef struct kal_index_load {
    kal_kv *kv;
    const char *directory; /* as kal_kv_load_open(): where the file is made; borrowed */
    kal_kv_load *load;     /* owned; NULL: no entry is waiting */
    uint32_t segment_id;   /* of the last entry */
} kal_index_load;
/* What was added is on stable storage and visible when it answers KAL_OK; no manifest knows of it.
 */
KAL_MUST_CHECK kal_status kal_index_load_finish(kal_index_load *load, kal_error *err);
void kal_index_load_close(kal_index_load *load); /* forgets what was not finished */

typedef struct kal_segment_write_args {
    kal_segment_backend *backend;
    kal_segment_group *group; /* or NULL: the file is durable by itself */
    kal_index_load *index;
    const kal_table *table; /* whose columns the rows have */
    uint32_t segment_id;
    kal_segment_place place;
    uint64_t rows_max;  /* then the segment ends; the source may have more. 0: no limit */
    uint64_t bytes_max; /* about, of values. 0: no limit */
    int64_t now_us;
    const _Atomic bool *cancelled; /* or NULL */
} kal_segment_write_args;

/* The file is durable as the group says, the index once the load is finished; no manifest knows of
 * them yet. info_out's bytes are in the arena. KAL_END: the source has no row, nothing was written.
 * After any other failure parts may be there. */
KAL_MUST_CHECK kal_status kal_segment_write(const kal_segment_write_args *args,
                                            const kal_segment_source *source, kal_arena *arena,
                                            kal_segment_info *info_out, kal_error *err);

#endif
