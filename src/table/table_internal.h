/*
 * table_internal.h: what the files of table/ share: keys, overlay entries, change records.
 */
#ifndef KAL_TABLE_TABLE_INTERNAL_H
#define KAL_TABLE_TABLE_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "base/ordered_map.h"
#include "base/vec.h"
#include "table/table.h"
#include "types/key.h"

#include <pthread.h>

/* be32 hot_id | be16 shard | be64 user_no */
#define KAL_ROW_KEY_PREFIX_BYTES 14
#define KAL_ROW_KEY_BYTES_MAX    (KAL_ROW_KEY_PREFIX_BYTES + KAL_PRIMARY_KEY_BYTES_MAX)
#define KAL_WRITE_BYTES_MAX      (64u * 1024u * 1024u)

/* Where the rows of (table, user) live; user_no is ignored for SHARED tables. */
void kal_row_key_prefix(const kal_table *table, uint64_t user_no,
                        uint8_t prefix_out[KAL_ROW_KEY_PREFIX_BYTES]);
/* Prefix and primary key in the caller's array; the key is at most KAL_PRIMARY_KEY_BYTES_MAX. */
kal_bytes kal_row_key(const kal_table *table, uint64_t user_no, kal_bytes primary_key,
                      uint8_t out[KAL_ROW_KEY_BYTES_MAX]);

/* The same key in another hot space of the table. */
void kal_row_key_set_space(uint8_t *row_key, uint32_t hot_id);
/* A user's entries under a number: of a hot space in the table's family, of a segment in `index`.
 * The range borrows from *bytes_out. */
typedef struct kal_user_range {
    uint8_t lower[KAL_ROW_KEY_PREFIX_BYTES];
    uint8_t upper[KAL_ROW_KEY_PREFIX_BYTES];
} kal_user_range;
kal_kv_range kal_user_range_of(const kal_table *table, uint64_t user_no, kal_kv_family family,
                               uint32_t number, kal_user_range *bytes_out);
typedef struct kal_rest_bound {
    uint8_t bytes[KAL_ROW_KEY_BYTES_MAX + 1];
} kal_rest_bound;
/* The first key of the space that can come behind this one; in *bytes_out. */
kal_bytes kal_row_key_behind(uint32_t hot_id, kal_bytes cold_key, kal_rest_bound *bytes_out);
/* Says what is known of a walk over rows in a hot space of the manifest (NULL: none), and lets one
 * over the frozen space begin behind the rows that were moved out of it; the others need not be
 * looked at. The batch that deletes a space takes it out of the manifest, which the reader's
 * snapshot has, and parts go from frozen ones only: so such a walk meets no deleted range. The
 * range borrows from *bytes_out. */
void kal_hot_range(const kal_manifest *manifest, uint32_t hot_id, kal_kv_range *range,
                   kal_rest_bound *bytes_out);
/* be16 shard | be64 user_no | primary key: what is left without the space; borrowed. */
kal_bytes kal_row_key_cold(kal_bytes row_key);

kal_kv_family kal_row_family(const kal_table *table);
/* [hot_id | shard 0, hot_id | KAL_SHARD_NONE): all rows of the table, whoever's. */
#define KAL_ROW_SHARD_PREFIX_BYTES 6
#define KAL_SHARD_NONE             0xffffu
void kal_row_bounds(const kal_table *table, uint8_t lower[KAL_ROW_SHARD_PREFIX_BYTES],
                    uint8_t upper[KAL_ROW_SHARD_PREFIX_BYTES]);

/* ---- STREAM tables ---- */

#define KAL_STREAM_TIME_BYTES      8
#define KAL_STREAM_KEY_OPEN        (UINT64_C(1) << 62)
#define KAL_STREAM_INDEX_KEY_BYTES (KAL_ROW_SHARD_PREFIX_BYTES + 8 + KAL_ROW_KEY_BYTES_MAX)

static inline bool kal_table_is_stream(const kal_table *table)
{
    return table->def->table_type == KAL_TABLE_STREAM;
}

/* Takes the time of insertion off a stored value: what is left is the row. KAL_CORRUPT. */
KAL_MUST_CHECK kal_status kal_stream_take_time(kal_bytes *value, int64_t *inserted_us_out,
                                               kal_error *err);
/* From the microsecond on at which the row is ttl_seconds old. */
bool kal_stream_is_expired(const kal_table *table, int64_t inserted_us, int64_t now_us);
/* A key made up by kal_overlay_arrival_key() (from KAL_STREAM_KEY_OPEN on), or none yet. */
bool kal_stream_key_is_open(const kal_table *table, kal_bytes key);

/* A stored row of a STREAM table. */
typedef struct kal_stream_row {
    kal_bytes key; /* whole row key */
    kal_bytes row; /* without its time */
    int64_t inserted_us;
} kal_stream_row;

/* The row with its time and its place in the order of insertion, in and out of the batch; the total
 * follows. */
void kal_stream_put(kal_kv_batch *batch, kal_stream_total *total, const kal_stream_row *row,
                    kal_buf *scratch);
void kal_stream_remove(kal_kv_batch *batch, kal_stream_total *total, const kal_stream_row *row);
KAL_MUST_CHECK kal_status kal_stream_total_read(kal_kv *kv, const kal_kv_snapshot *snapshot,
                                                const kal_table *table, kal_stream_total *total_out,
                                                kal_error *err);
void kal_stream_total_put(kal_kv_batch *batch, const kal_stream_total *total);

/* ---- overlay ---- */

typedef struct kal_overlay_entry {
    kal_table *table;
    uint64_t user_no;
    uint64_t seq_seen; /* 0 = absent below the overlay */
    kal_write_action action;
    kal_bytes cold_row; /* what the first change saw, when that was a cold row; else empty */
    kal_bytes row;      /* PUT */
} kal_overlay_entry;

struct kal_overlay {
    kal_budget *budget;
    kal_ordered_map *entries;    /* owned; row key -> encoded entry */
    KAL_VEC(kal_table *) tables; /* retained */
    kal_arena undo_arena;
    KAL_VEC(struct kal_overlay_undo) undo; /* in undo_arena */
    size_t size_bytes;
    uint64_t arrivals; /* keys that kal_overlay_arrival_key() made */
};

struct kal_overlay_undo {
    kal_bytes key;
    kal_bytes value; /* what stood there; ptr NULL = nothing */
};

void kal_overlay_decode(kal_bytes value, kal_overlay_entry *entry_out);

/* ---- writes ---- */

struct kal_write {
    kal_list link; /* in the lane's queue */
    kal_tables *tables;
    kal_arena arena;
    KAL_VEC(kal_write_op) ops; /* in arena */
    kal_catalog_change *change;
    kal_write_hook hook;
    void *hook_context;
    const kal_table *must_be_empty; /* borrowed, or NULL */
    size_t size_bytes;
    kal_status status;
    kal_error error;
    kal_write_done done;
    void *context;
};

/* ---- change log ---- */

/* The log of one shard: seqs [first, applied] are kept. */
typedef struct kal_shard_head {
    uint64_t applied;
    uint64_t first;
    uint64_t last_delete; /* seq of the last DELETE; 0: there was none */
} kal_shard_head;

typedef struct kal_change_record {
    kal_write_action action;
    bool ends_commit;
    uint64_t commit_first; /* seq of the commit's first change in this shard */
    uint32_t table_id;
    uint64_t user_no;
    kal_bytes primary_key;
    kal_bytes before; /* encoded row; empty when absent */
    kal_bytes after;
} kal_change_record;

KAL_MUST_CHECK kal_status kal_shard_head_read(kal_kv *kv, const kal_kv_snapshot *snapshot,
                                              uint16_t shard, kal_shard_head *head_out,
                                              kal_error *err);
void kal_shard_head_put(kal_kv_batch *batch, uint16_t shard, const kal_shard_head *head);
void kal_change_record_put(kal_kv_batch *batch, uint16_t shard, uint64_t seq,
                           const kal_change_record *record, kal_buf *scratch);
KAL_MUST_CHECK kal_status kal_change_record_decode(kal_bytes value, kal_change_record *record_out,
                                                   kal_error *err);
/* Drops what exceeds the limit, in steps of a quarter of it, and moves head->first. */
void kal_change_log_trim(kal_kv_batch *batch, uint16_t shard, kal_shard_head *head,
                         uint64_t rows_max);

/* ---- lane ---- */

/* A frozen hot space that is being moved out: which of its rows were replaced or deleted since. */
typedef struct kal_flush_journal {
    kal_list link;
    uint32_t hot_id;
    pthread_mutex_t lock;
    kal_buf keys; /* under lock: u32 length and bytes of each cold key */
} kal_flush_journal;

/* Open views by era: kal_tables_next_era(). */
#define KAL_VIEW_ERAS 64u

struct kal_tables {
    kal_kv *kv;
    kal_manifests *manifests; /* owned; NULL: there are no cold rows */
    int64_t opened_at_us;
    _Atomic uint64_t era;                     /* of views that open now */
    _Atomic uint64_t views[KAL_VIEW_ERAS];    /* open ones, of era e at e % KAL_VIEW_ERAS */
    pthread_mutex_t flush_lock;               /* the next two */
    kal_list journals;                        /* of kal_flush_journal */
    KAL_VEC(uint32_t) segments_being_written; /* not to be swept */
    _Atomic uint64_t index_left_bytes;        /* about: of removed entries in files with others */
    kal_sched *sched;
    const kal_clock *clock;
    kal_tables_options options;
    const kal_tables_observer *observer; /* borrowed, or NULL */
    kal_task *task;                      /* owned; NULL while closing */

    pthread_mutex_t lock; /* protects queue, queue_bytes, closing */
    kal_list queue;
    size_t queue_bytes;
    bool closing;

    /* the lane's own, touched by its step only */
    kal_map partition_counts; /* be32 table_id, be64 user_no -> uint64_t (owned): rows of users in
                                 tables that limit them, where known */
    kal_shard_head heads[KAL_SHARD_COUNT];
    bool head_known[KAL_SHARD_COUNT];
    bool unsynced;
    uint64_t sync_due_ns;
};

/* A table is what it was when an operation was bound to it, or the operation is not carried out:
 * KAL_STALE, KAL_NOT_FOUND. On the lane, or with the DDL lock held. */
KAL_MUST_CHECK kal_status kal_table_check_fate(const kal_table *table, kal_error *err);
kal_status kal_table_altered(const kal_table *table, kal_error *err); /* KAL_STALE */

kal_step kal_lane_step(void *tables);
/* Forgets all partition_counts. */
void kal_lane_forget_counts(kal_tables *tables);

/* ---- cold rows ---- */

/* The table's manifest at the view's moment, kept with the view; *out NULL: it has none. */
KAL_MUST_CHECK kal_status kal_view_manifest_of(kal_view *view, const kal_table *table,
                                               bool cached_only, const kal_manifest **out,
                                               kal_error *err);
void kal_view_forget_manifests(kal_view *view);
void kal_tables_enter_era(kal_tables *tables, uint64_t *era_out);
void kal_tables_leave_era(kal_tables *tables, uint64_t era);
/* The live cold row with this key; it lives in the arena. KAL_NOT_FOUND. */
KAL_MUST_CHECK kal_status kal_cold_get(kal_view *view, kal_table *table,
                                       const kal_manifest *manifest, kal_bytes key,
                                       kal_arena *arena, kal_row *row_out, kal_error *err);
/* Whether there is one, by the index alone. */
KAL_MUST_CHECK kal_status kal_cold_has(const kal_view *view, const kal_table *table,
                                       const kal_manifest *manifest, kal_bytes key, bool *out,
                                       kal_error *err);
/* As kal_view_get_many(), for keys that are not hot. */
KAL_MUST_CHECK kal_status kal_cold_get_many(kal_view *view, kal_table *table,
                                            const kal_manifest *manifest, kal_view_wanted **wanted,
                                            size_t count, kal_arena *arena, kal_error *err);
/* A row that lies in a segment, encoded as the table's version has it. */
KAL_MUST_CHECK kal_status kal_cold_encode(const kal_table *table, const kal_row *row, kal_buf *out,
                                          kal_error *err);
/* For each operation whose row is cold and not known yet: reads it. */
KAL_MUST_CHECK kal_status kal_write_read_cold(kal_write *write, kal_error *err);

/* Views that open from now on belong to a later era than all that are open. KAL_BUSY: views of 64
 * eras are open. *era_out: the last one of those before. */
KAL_MUST_CHECK kal_status kal_tables_next_era(kal_tables *tables, uint64_t *era_out,
                                              kal_error *err);
/* True when no view of this era or an earlier one is open any more. */
bool kal_tables_era_is_over(kal_tables *tables, uint64_t era);

#endif
