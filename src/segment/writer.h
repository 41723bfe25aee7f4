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

typedef struct kal_segment_write_args {
    kal_segment_backend *backend;
    kal_kv *kv;
    const kal_table *table; /* whose columns the rows have */
    uint32_t segment_id;
    kal_segment_place place;
    const char *load_path; /* as kal_kv_load_open(): of the index, while it is made */
    uint64_t rows_max;     /* then the segment ends; the source may have more. 0: no limit */
    uint64_t bytes_max;    /* about, of values. 0: no limit */
    int64_t now_us;
    const _Atomic bool *cancelled; /* or NULL */
} kal_segment_write_args;

/* When it answers KAL_OK, file and index are on stable storage, and no manifest knows of them yet.
 * info_out's bytes are in the arena. KAL_END: the source has no row, nothing was written. After any
 * other failure parts may be there. */
KAL_MUST_CHECK kal_status kal_segment_write(const kal_segment_write_args *args,
                                            const kal_segment_source *source, kal_arena *arena,
                                            kal_segment_info *info_out, kal_error *err);

#endif
