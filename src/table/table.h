/*
 * table.h: the rows of all tables: reading them as of one moment, and changing them durably.
 *
 * Reading goes through a statement view: a snapshot of the store, plus the uncommitted changes of
 * the statement's own transaction (overlay), under one identity. A USER or STREAM table is the
 * caller's own partition: user_no is part of every key, so isolation is a key range, not a filter.
 *
 * Writing is append -> apply: a kal_write is a list of row operations that commit together or not
 * at all. A write lane takes writes from a queue, resolves each operation against the newest row,
 * gives every change its seq, builds one batch {rows, change records, applied seq}, syncs it, and
 * only then answers. Writes that wait while another batch is synced share the next one.
 *
 *   key-bound   the operation carries a function; the lane calls it with the row as it stands
 *   prepared    the operation carries the seq that was seen (or absence) and the new image; the
 *               lane refuses with KAL_CONFLICT when the row has moved on
 *
 * Hot key: be32 hot_id | be16 shard | be64 user_no (0 = shared) | ordered primary key.
 *
 * A row of a USER or SHARED table lies in exactly one place: in the table's active hot space, in
 * the frozen one while that is being moved out (flush.c), or in a segment, where it is not dead.
 * Which spaces and segments there are, the manifest says that belongs to the view's snapshot. The
 * lane never reads a segment: what needs the contents of a cold row ends with KAL_COLD, and is
 * tried again with the row (kal_write_commit() does that).
 *
 * Rows of STREAM tables lie in a family of their own, with the time of their insertion, and are
 * seen until they are ttl_seconds old by the view's moment; eviction removes them later (stream.c).
 *
 * Threads: kal_tables by any; a view, scan or write by one at a time.
 * Source: design section 7; reference hot-cold-prototype.md sections 7 and 8.
 */
#ifndef KAL_TABLE_TABLE_H
#define KAL_TABLE_TABLE_H

#include "base/sched.h"
#include "segment/backend.h"
#include "segment/key_index.h"
#include "segment/statistics.h"

typedef struct kal_tables kal_tables; /* opaque: kal_tables_close */
typedef struct kal_overlay kal_overlay;

typedef struct kal_tables_options {
    bool sync;                    /* fsync before the answer */
    uint64_t sync_interval_ms;    /* when not: at the latest after so long; 0 = 200 */
    uint64_t change_log_rows_max; /* kept per shard; 0 = 10,000 */
    size_t queue_bytes_max;       /* waiting writes; 0 = 64 MiB; beyond it KAL_BUSY, but for changes
                                     of the catalog */
    /* Cold rows: all NULL = no table has any. Borrowed. */
    kal_catalog *catalog;
    kal_segment_backend *segments;
    const char *scratch_dir; /* on the store's file system; of files while they are made */
} kal_tables_options;

/* All are borrowed. */
KAL_MUST_CHECK kal_status kal_tables_open(kal_kv *kv, kal_sched *sched, const kal_clock *clock,
                                          const kal_tables_options *options,
                                          kal_tables **tables_out, kal_error *err);
/* Finishes queued writes, syncs, stops the lane. NULL is allowed. */
void kal_tables_close(kal_tables *tables);

/* ---- reading ---- */

/* Asked every thousand rows or so; what it answers, but KAL_OK, ends the reading. */
typedef kal_status (*kal_view_check)(const void *context, kal_error *err);

typedef struct kal_view_manifest kal_view_manifest; /* view.c */

typedef struct kal_view {
    kal_tables *tables;
    kal_kv_snapshot *snapshot;
    uint64_t era;                           /* among the open views; see kal_tables_next_era() */
    uint64_t manifest_epoch;                /* before the snapshot */
    _Atomic(kal_view_manifest *) manifests; /* owned: of the tables that were read so far */
    kal_overlay *overlay;                   /* NULL outside a transaction; borrowed */
    uint64_t user_no;                       /* whose partition USER and STREAM tables show */
    uint64_t epoch;                         /* of the catalog before the snapshot; set by exec */
    kal_view_check check; /* set by exec, or NULL; any thread that reads the view asks it */
    const void *check_context;
    int64_t now_us; /* the moment; decides which rows of STREAM tables are too old */
} kal_view;

/* The number in the keys of the rows that this user has in the table; SHARED rows are nobody's. */
static inline uint64_t kal_table_user_no(const kal_table *table, uint64_t user_no)
{
    return table->def->table_type == KAL_TABLE_SHARED ? 0 : user_no;
}

/* One moment for a whole statement. overlay may be NULL. */
void kal_view_open(kal_view *view, kal_tables *tables, uint64_t user_no, kal_overlay *overlay);
void kal_view_close(kal_view *view);

/* The ordered primary key of a row: values of def->key_columns in key order. KAL_LIMIT beyond
 * KAL_PRIMARY_KEY_BYTES_MAX, KAL_INVALID for NULL. */
KAL_MUST_CHECK kal_status kal_table_key(const kal_table *table, const kal_value *key_values,
                                        kal_buf *key_out, kal_error *err);

/* One row by its ordered primary key; row and its bytes live in the arena. cached_only: KAL_BUSY
 * rather than a disk read, or a segment's. KAL_NOT_FOUND. row_out->seq is 0 for a change of the own
 * transaction. */
KAL_MUST_CHECK kal_status kal_view_get(kal_view *view, kal_table *table, kal_bytes key,
                                       bool cached_only, kal_arena *arena, kal_row *row_out,
                                       kal_error *err);

/* Whether kal_view_get() finds a row: of a cold one its index alone is read. */
KAL_MUST_CHECK kal_status kal_view_has(kal_view *view, kal_table *table, kal_bytes key,
                                       kal_arena *arena, bool *out, kal_error *err);

/* Many rows by their keys, each at most once read however many lie in one segment. */
typedef struct kal_view_wanted {
    kal_bytes key; /* ordered primary key; borrowed */
    bool found;
    kal_row row; /* when found; in the arena */
} kal_view_wanted;
KAL_MUST_CHECK kal_status kal_view_get_many(kal_view *view, kal_table *table,
                                            kal_view_wanted *wanted, size_t count, kal_arena *arena,
                                            kal_error *err);

typedef struct kal_scan kal_scan; /* opaque: kal_scan_close */

/* Rows with lower <= key < upper in key order. Bounds are prefixes of ordered primary keys; empty
 * means unbounded. */
typedef struct kal_scan_range {
    kal_bytes lower;
    kal_bytes upper;
    bool reverse;
    bool cached_only; /* also KAL_BUSY rather than to pass over many rows that are too old, or when
                         there are segments to be read */
    bool in_order;    /* KAL_COLD from opening when there are segments to be read: their rows come
                         after all others */
    bool hot_only;    /* without the rows of segments: they are read otherwise */
    bool no_keys;     /* key_out will be NULL */
    bool by_chunks;   /* rows of segments come by kal_scan_next_chunk(), after all others */
    bool no_seq;      /* which is not asked for _seq */
    bool complete;    /* as kal_kv_range has it: for what is called a copy */
    const uint64_t *wanted; /* bits of the table's columns that are needed; NULL: all; borrowed */
    kal_conditions conditions; /* rows that do not meet them may be missing; borrowed */
} kal_scan_range;
KAL_MUST_CHECK kal_status kal_scan_open(kal_view *view, kal_table *table,
                                        const kal_scan_range *range, kal_scan **scan_out,
                                        kal_error *err);
/* The next row; borrowed until the next call, as is its ordered primary key (key_out may be NULL).
 * KAL_END, KAL_BUSY, KAL_IO, KAL_CORRUPT. */
KAL_MUST_CHECK kal_status kal_scan_next(kal_scan *scan, kal_row *row_out, kal_bytes *key_out,
                                        kal_error *err);
/* After KAL_END of kal_scan_next(): the rows of segments, as kal_cold_scan_next_chunk() gives them
 * (segment/cold_scan.h), but never 0 rows. KAL_END also when kal_scan_next() has given them. */
KAL_MUST_CHECK kal_status kal_scan_next_chunk(kal_scan *scan, const uint32_t *columns,
                                              size_t column_count, kal_engine_chunk *target,
                                              size_t *rows_out, kal_error *err);
void kal_scan_close(kal_scan *scan); /* NULL is allowed */
/* Every row of the table, whoever's partition it is in: for checks that the server makes itself
 * (SET NOT NULL) and for backups, never for what a statement shows; complete. expired_too: also
 * rows of STREAM tables that are too old. The view has no overlay. */
KAL_MUST_CHECK kal_status kal_scan_open_all_users(kal_view *view, kal_table *table,
                                                  bool expired_too, kal_scan **scan_out,
                                                  kal_error *err);
/* Of the row that kal_scan_next() gave last: whose it is (0: SHARED), and in a STREAM table when it
 * was inserted. Without an overlay. */
uint64_t kal_scan_user_no(const kal_scan *scan);
int64_t kal_scan_inserted_us(const kal_scan *scan);

/* The segments that hold rows of the table, as the view's manifest has them; borrowed from the
 * view. *count_out 0: none. */
KAL_MUST_CHECK kal_status kal_view_segments(kal_view *view, const kal_table *table,
                                            kal_segment *const **segments_out, size_t *count_out,
                                            kal_error *err);

/* A rough number of rows the view's user has in the table, for planning; counts at most `limit`. */
KAL_MUST_CHECK kal_status kal_view_count(kal_view *view, kal_table *table, uint64_t limit,
                                         uint64_t *count_out, kal_error *err);

/* ---- size ---- */

typedef struct kal_table_size {
    uint64_t row_count;    /* that a SELECT can see */
    uint64_t bytes;        /* of the rows and their keys, before compression; of a STREAM table also
                              of rows that are too old and not removed yet */
    uint64_t stored_count; /* of the rows whose bytes these are */
    uint64_t cold_count;   /* of these, rows of segments */
    uint64_t partition_count; /* users with a row_count; 1 for SHARED tables with rows */
    bool is_estimate;         /* all of the above: there were more rows than are counted */
} kal_table_size;

/* Asked every thousand rows or so; what it answers, but KAL_OK, ends the counting. */
typedef kal_status (*kal_size_check)(void *context, kal_error *err);

/* How many committed rows the view's user has in the table, or all users together; a SHARED table
 * has one set. Up to `exact_max` rows are counted; beyond it the rest is estimated from the sizes
 * of data files. The transaction's own changes do not count. */
KAL_MUST_CHECK kal_status kal_view_size(kal_view *view, const kal_table *table, bool all_users,
                                        uint64_t exact_max, kal_size_check check, void *context,
                                        kal_table_size *size_out, kal_error *err);

/* ---- writing ---- */

typedef enum kal_write_action {
    KAL_WRITE_NONE, /* leave the row as it is */
    KAL_WRITE_PUT,
    KAL_WRITE_DELETE,
} kal_write_action;

typedef struct kal_write_effect {
    kal_write_action action;
    const kal_value *values; /* PUT: one per column of the table, of its type or NULL; arena */
} kal_write_effect;

/*
 * Decides what happens to one row. current is NULL when there is none. Called on a lane: it may
 * only compute, from current, context and the arena (which lives as long as the write). It may be
 * called again when a commit is retried. An error fails the whole write and is its answer; the
 * lane never shows it to others.
 */
typedef kal_status (*kal_resolve_fn)(void *context, const kal_row *current, kal_arena *arena,
                                     kal_write_effect *effect_out, kal_error *err);

typedef struct kal_write_op {
    kal_table *table; /* retained by the write */
    uint64_t user_no; /* partition; 0 for SHARED */
    kal_bytes key;    /* ordered primary key; copied by kal_write_add. Empty for a PUT into a table
                         without a primary key: the lane takes the row's seq */
    /* key-bound */
    kal_resolve_fn resolve; /* NULL: prepared */
    void *context;
    bool existence_only; /* resolve asks only whether there is a row: it is called for a cold one
                            without its columns */
    /* prepared */
    uint64_t seq_seen; /* 0 = the row was absent */
    kal_write_action action;
    kal_bytes row;       /* PUT: encoded row (its seq is overwritten); copied by kal_write_add */
    int64_t inserted_us; /* STREAM: of a row that comes back from a backup; 0: now */
    bool restored;       /* it comes back from a backup: max_rows_per_user may be lower by now */
    bool evict;          /* STREAM: removes the row of seq_seen, if it is still there; no change */
    bool erase;          /* removes whatever stands there, of a user who was dropped; no change */
    /* the row as it lies in a segment, if whoever prepares the write knows it; copied by
       kal_write_add */
    uint64_t cold_seq;
    kal_bytes cold_row; /* encoded, of the table's version */
    /* result, valid from done on */
    bool keep_row;            /* in: fill row_out */
    kal_write_action applied; /* what happened */
    bool was_update;          /* PUT over an existing row */
    kal_bytes row_out;        /* new image, or the old one for DELETE; the write's arena */
} kal_write_op;

typedef struct kal_write kal_write;
typedef void (*kal_write_done)(kal_write *write, void *context);

/* budget is the statement's (borrowed). */
kal_write *kal_write_open(kal_tables *tables, kal_budget *budget);
/* Memory that lives as long as the write: for contexts of resolve functions. */
kal_arena *kal_write_arena(kal_write *write);
/* Adds one operation; several on one key apply in order. KAL_LIMIT: more than 64 MiB in one commit
 * (code TRANSACTION_TOO_LARGE). index_out may be NULL. */
KAL_MUST_CHECK kal_status kal_write_add(kal_write *write, const kal_write_op *op, size_t *index_out,
                                        kal_error *err);
/* With a change: called on the lane before the change's batch is written, when no other write runs;
 * it may add to the batch. Its error is the write's. */
typedef kal_status (*kal_write_hook)(void *context, kal_kv_batch *batch, kal_error *err);
void kal_write_set_hook(kal_write *write, kal_write_hook hook, void *context);
/* A catalog change that commits with this write: its batch is written in the same commit, then it
 * is published, before done. Borrowed. */
void kal_write_set_change(kal_write *write, kal_catalog_change *change);
/* With a change: it fails with KAL_INVALID when the table holds a row at that moment. Borrowed. */
void kal_write_require_empty(kal_write *write, const kal_table *table);

/* Hands the write to its lane. done is called once, on the lane's thread, after the commit is
 * durable or the write has failed; it must be short. */
void kal_write_submit(kal_write *write, kal_write_done done, void *context);
/* Submits and waits; reads cold rows where the lane needs them, and submits again. Not on a lane or
 * an event loop. Over the simulated scheduler it runs steps. */
KAL_MUST_CHECK kal_status kal_write_commit(kal_write *write, kal_error *err);

/* After done. KAL_CONFLICT: a prepared row moved on; KAL_STALE: a table was altered after the
 * operation was bound to it, so it has to be bound again; KAL_NOT_FOUND: it was dropped. KAL_COLD:
 * contents of cold rows are needed. */
kal_status kal_write_status(const kal_write *write, kal_error *err);
/* Results are read here; before submit an operation may be carried out elsewhere (overlay). */
kal_write_op *kal_write_op_at(kal_write *write, size_t index);
size_t kal_write_op_count(const kal_write *write);
void kal_write_close(kal_write *write); /* NULL is allowed; not between submit and done */

/* ---- transactions ---- */

/* Changes of a transaction that is not committed: seen by its own views, then turned into prepared
 * operations. Charged to the budget. */
kal_overlay *kal_overlay_open(kal_budget *budget);
void kal_overlay_close(kal_overlay *overlay); /* NULL is allowed */
/* Records one change on top of what the view shows: current is that row (NULL = absent). values: as
 * kal_write_effect. KAL_LIMIT with code TRANSACTION_TOO_LARGE. */
KAL_MUST_CHECK kal_status kal_overlay_put(kal_overlay *overlay, kal_view *view, kal_table *table,
                                          kal_bytes key, const kal_row *current,
                                          const kal_value *values, kal_error *err);
KAL_MUST_CHECK kal_status kal_overlay_delete(kal_overlay *overlay, kal_view *view, kal_table *table,
                                             kal_bytes key, const kal_row *current, kal_error *err);
/* A mark to come back to when a statement inside the transaction fails. */
size_t kal_overlay_mark(const kal_overlay *overlay);
void kal_overlay_rollback(kal_overlay *overlay, size_t mark);
/* Whether the view's own transaction has changed the row. */
bool kal_overlay_has(const kal_view *view, const kal_table *table, kal_bytes key);
size_t kal_overlay_len(const kal_overlay *overlay);
/* Adds everything as prepared operations to the write; keep_rows as in kal_write_op. */
KAL_MUST_CHECK kal_status kal_overlay_into_write(kal_overlay *overlay, kal_write *write,
                                                 bool keep_rows, kal_error *err);

/* ---- STREAM tables ---- */

/* True when the table has no primary key: a row's seq is its key. */
bool kal_table_keyed_by_arrival(const kal_table *table);
/* The key of a row that a transaction inserts into such a table, after all that are there. */
kal_bytes kal_overlay_arrival_key(kal_overlay *overlay, kal_arena *arena);

typedef struct kal_stream_total {
    uint32_t hot_id;
    uint32_t table_id;
    uint64_t row_count; /* stored, too old ones included */
    uint64_t bytes;     /* of these rows and their keys */
} kal_stream_total;

/* The total of the first STREAM table with stored rows whose hot_id is hot_id_min or more; KAL_END.
 */
KAL_MUST_CHECK kal_status kal_stream_next(kal_tables *tables, uint32_t hot_id_min,
                                          kal_stream_total *total_out, kal_error *err);

/* Removes, oldest first and durably, up to rows_max rows that the table's eviction strategy gives
 * up at this moment; *removed_out < rows_max: that was all. KAL_STALE, KAL_NOT_FOUND: the table was
 * altered or dropped meanwhile. */
KAL_MUST_CHECK kal_status kal_stream_evict(kal_tables *tables, kal_table *table, size_t rows_max,
                                           size_t *removed_out, kal_error *err);
/* Gives back the space that the removed rows of the table take in data files. */
KAL_MUST_CHECK kal_status kal_stream_compact(kal_tables *tables, const kal_table *table,
                                             kal_error *err);

/* ---- watching commits ---- */

/* One change of one row, as it is in the change log. */
typedef struct kal_change {
    kal_table *table; /* committed now: of the version that was written to; from the log: NULL */
    uint32_t table_id;
    uint16_t shard;
    bool ends_commit; /* the last change of its commit in this shard */
    kal_write_action action;
    uint64_t seq;
    uint64_t user_no; /* whose row; 0: SHARED */
    kal_bytes key;    /* ordered primary key */
    kal_bytes before; /* encoded rows; empty: there was none, or is none */
    kal_bytes after;
} kal_change;

/*
 * Hears of what commits, on the lane's thread, after it is durable and before anybody is answered.
 * Changes come in the order of their seqs, and a catalog change between the rows written before and
 * after it. What is called must be short.
 */
typedef struct kal_tables_observer {
    void *context;
    void (*committed)(void *context, const kal_change *changes, size_t count); /* borrowed */
    void (*altered)(void *context); /* a catalog change was published */
} kal_tables_observer;
/* Before the first write. Borrowed until the tables are closed. */
void kal_tables_set_observer(kal_tables *tables, const kal_tables_observer *observer);

/* Where the changes of these rows are logged. */
uint16_t kal_row_shard(const kal_table *table, uint64_t user_no);
/* Seqs that the view's moment has of a shard. The log keeps [first, applied]. */
typedef struct kal_log_bounds {
    uint64_t applied;     /* of the last change */
    uint64_t first;       /* oldest one that is kept; applied + 1: none */
    uint64_t last_delete; /* of the last DELETE in any table of the shard; 0: never */
} kal_log_bounds;
KAL_MUST_CHECK kal_status kal_view_log_bounds(const kal_view *view, uint16_t shard,
                                              kal_log_bounds *bounds_out, kal_error *err);
/* The changes of a shard after `after` as of the view, oldest first. KAL_END from visit stops and
 * is KAL_OK. KAL_CORRUPT: also for a gap in the log. */
typedef kal_status (*kal_change_visit)(void *context, const kal_change *change, kal_error *err);
KAL_MUST_CHECK kal_status kal_view_log_scan(const kal_view *view, uint16_t shard, uint64_t after,
                                            kal_change_visit visit, void *context, kal_error *err);

/* Begins the change log of every shard anew, `distance` seqs beyond its last one: for a store that
 * is a copy of an earlier moment, so that no seq that somebody has seen comes twice. Nothing else
 * uses the store. KAL_IO, KAL_CORRUPT. */
KAL_MUST_CHECK kal_status kal_change_log_restart(kal_kv *kv, uint64_t distance, kal_error *err);

#endif
