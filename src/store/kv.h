/*
 * kv.h: the ordered byte store under everything that is durable.
 *
 * A kal_kv is one directory of sorted key/value bytes in a fixed handful of families. Tables, users
 * and types are unknown here: keys arrive encoded and values are opaque. Three backends share this
 * header: kv_rocks.c (production), kv_mem.c (unit tests, simulation) and kv_fault.c, which wraps
 * another backend and makes its calls fail on a seed.
 *
 * Rules that the backends enforce, so that callers cannot trip over Debian's assertions:
 *   - every iterator on `rows` has a lower and an upper bound (checked: an assertion)
 *   - an iterator knows whether it is valid and refuses to step when it is not
 *   - close asserts that snapshots and iterators are gone
 *
 * Threads: a kal_kv is shared by all threads; one batch, iterator or snapshot at a time by one.
 * Source: design sections 6-7; reference hot-cold-prototype.md, c-libraries.md section 1.
 */
#ifndef KAL_STORE_KV_H
#define KAL_STORE_KV_H

#include "base/arena.h"
#include "base/assert.h"
#include "base/error.h"

#define KAL_KV_KEY_BYTES_MAX 4096u

/* The column families; their order is stored nowhere, their names are. */
#define KAL_KV_FAMILY_LIST(X)                                                                      \
    X(CATALOG, "catalog") /* definitions, namespaces, users, counters, settings */                 \
    X(ROWS, "rows")       /* hot rows: be32 hot_id | be16 shard | be64 user_no | primary key */    \
    X(INDEX, "index")     /* keys of cold rows */                                                  \
    X(DELETED, "deleted") /* dead cold rows */                                                     \
    X(CHANGES, "changes") /* change log: be16 shard | be64 seq */                                  \
    X(STREAM, "stream")   /* rows of STREAM tables */                                              \
    X(JOBS, "jobs")

typedef enum kal_kv_family {
#define KAL_KV_FAMILY_ENUM(name, text) KAL_KV_##name,
    KAL_KV_FAMILY_LIST(KAL_KV_FAMILY_ENUM)
#undef KAL_KV_FAMILY_ENUM
        KAL_KV_FAMILY_COUNT
} kal_kv_family;

typedef struct kal_kv kal_kv;                   /* opaque; kal_kv_close */
typedef struct kal_kv_batch kal_kv_batch;       /* opaque; kal_kv_batch_close */
typedef struct kal_kv_snapshot kal_kv_snapshot; /* opaque; kal_kv_snapshot_release */
typedef struct kal_kv_iter kal_kv_iter;         /* opaque; kal_kv_iter_close */
typedef struct kal_kv_load kal_kv_load;         /* opaque; kal_kv_load_close */

typedef struct kal_kv_options {
    size_t block_cache_bytes;  /* 0 = 256 MiB */
    size_t write_buffer_bytes; /* 0 = 32 MiB a family */
} kal_kv_options;

/* Opens or creates the directory (not its parents). KAL_BUSY when another process has it open,
 * KAL_CORRUPT when the log is damaged other than by a torn tail or data files lack their CURRENT,
 * KAL_UNSUPPORTED when a newer version made families of its own, KAL_IO. */
KAL_MUST_CHECK kal_status kal_kv_open_rocks(const char *path, const kal_kv_options *options,
                                            kal_kv **kv_out, kal_error *err);
/* An empty store in memory. "Power loss" for simulations: what was written without sync since the
 * last sync is dropped by kal_kv_mem_crash(). */
kal_kv *kal_kv_open_mem(void);
/* The store as it would be found after a power loss: unsynced batches are gone, in whole, and
 * writes that had been stopped are possible again. Asserts that no snapshot and no iterator is
 * open. */
void kal_kv_mem_crash(kal_kv *kv);

/* Wraps `inner` (taken: closed with the wrapper): each write fails with KAL_IO with probability
 * write_fail_per_1000, before anything is written, or (half of the synced ones) after the write was
 * applied: then half of these will survive a crash and half not, as after a failed fsync. Each read
 * fails with read_fail_per_1000: KAL_IO, or KAL_BUSY for half of the cached ones. */
kal_kv *kal_kv_open_fault(kal_kv *inner, uint64_t seed, unsigned write_fail_per_1000,
                          unsigned read_fail_per_1000);
/* The wrapped store, for kal_kv_mem_crash() in the middle of a simulation; the wrapper stays
 * usable, and takes writes again. Snapshots and batches of the wrapper count as the wrapped
 * store's. */
kal_kv *kal_kv_fault_inner(kal_kv *kv);
/* Turns faults off and on again (set-up and checking phases of a simulation). */
void kal_kv_fault_enable(kal_kv *kv, bool enabled);

/* Unsynced writes are synced first. Asserts that no snapshot, iterator or batch is open. NULL is
 * allowed. */
void kal_kv_close(kal_kv *kv);

/* snapshot may be NULL: the newest state. value_out lives in the arena. KAL_NOT_FOUND (err is left
 * alone), KAL_LIMIT (arena's budget), KAL_IO, KAL_CORRUPT. */
KAL_MUST_CHECK kal_status kal_kv_get(kal_kv *kv, const kal_kv_snapshot *snapshot,
                                     kal_kv_family family, kal_bytes key, kal_arena *arena,
                                     kal_bytes *value_out, kal_error *err);
/* As kal_kv_get, reading from memory and block cache only: KAL_BUSY when the answer would need the
 * disk, and for any empty value, which RocksDB cannot tell from that. For event loops. */
KAL_MUST_CHECK kal_status kal_kv_get_cached(kal_kv *kv, const kal_kv_snapshot *snapshot,
                                            kal_kv_family family, kal_bytes key, kal_arena *arena,
                                            kal_bytes *value_out, kal_error *err);

/* A snapshot may be read by several threads at once. */
kal_kv_snapshot *kal_kv_snapshot_take(kal_kv *kv);
/* NULL is allowed. Iterators opened under the snapshot may outlive it. */
void kal_kv_snapshot_release(kal_kv *kv, kal_kv_snapshot *snapshot);

/* Walks [lower, upper) upward, or downward when `reverse`. Both bounds are copied; upper may be
 * empty (no bound) for families other than ROWS. snapshot NULL = the state at opening. cached_only:
 * as kal_kv_get_cached. */
typedef struct kal_kv_range {
    kal_kv_family family;
    kal_bytes lower;
    kal_bytes upper;
    bool reverse;
    bool cached_only;
    bool passing;   /* a walk over much that is read once: it takes no place in the block cache */
    bool complete;  /* KAL_END means all there was, also on a disk that cannot be read: whoever
                       removes what he has not seen, or says that he has copied all, needs it. Where
                       a range of the family was deleted it takes up to ten times as long */
    bool undeleted; /* the caller knows that no batch which the walk can see deleted a range that
                       meets this one: it need not be looked for, so the walk is complete and takes
                       no longer */
} kal_kv_range;
KAL_MUST_CHECK kal_status kal_kv_iter_open(kal_kv *kv, const kal_kv_snapshot *snapshot,
                                           const kal_kv_range *range, kal_kv_iter **iter_out,
                                           kal_error *err);
/* The next entry (the first one on the first call); key and value are borrowed until the next call.
 * KAL_END at the end, KAL_BUSY (cached_only), KAL_IO, KAL_CORRUPT; whatever ended the walk is the
 * answer to all later calls too. */
KAL_MUST_CHECK kal_status kal_kv_iter_next(kal_kv_iter *iter, kal_bytes *key_out,
                                           kal_bytes *value_out, kal_error *err);
void kal_kv_iter_close(kal_kv_iter *iter); /* NULL is allowed */

/* About how many bytes the entries with lower <= key < upper take where they lie for good, without
 * reading them. RocksDB: compressed, in data files; what is still in write buffers and in the log
 * does not count. Memory: the keys and newest values. KAL_IO. */
KAL_MUST_CHECK kal_status kal_kv_approximate_bytes(kal_kv *kv, kal_kv_family family,
                                                   kal_bytes lower, kal_bytes upper,
                                                   uint64_t *bytes_out, kal_error *err);

/* Gives back the space that removed entries with lower <= key < upper take, at once instead of some
 * time: rewrites the data files that hold such keys, while others go on reading and writing. What
 * an open snapshot needs stays. Nothing but space depends on it. Memory: does nothing. */
KAL_MUST_CHECK kal_status kal_kv_compact(kal_kv *kv, kal_kv_family family, kal_bytes lower,
                                         kal_bytes upper, kal_error *err);

/* Asked some times a second by who waits; anything but KAL_OK ends the waiting with that. */
typedef kal_status (*kal_kv_check)(void *context, kal_error *err);

/*
 * Rewrites all that these families (bits: 1 << kal_kv_family) hold, and the log, so that no file of
 * the store has a byte of what was removed from them before the call: not in data files, the log,
 * or the record of which key lies in which file. Waits for snapshots that are older than the call,
 * and for readers of the files that were there before. It takes as long as reading and writing the
 * families does, while others go on. What ends it early leaves some of it undone, nothing else.
 * Memory: does nothing. KAL_IO; KAL_BUSY: files stay although nobody should need them; what check
 * says.
 */
KAL_MUST_CHECK kal_status kal_kv_purge(kal_kv *kv, unsigned families, kal_kv_check check,
                                       void *context, kal_error *err);

/* A batch is applied as a whole or not at all. Keys and values are copied in. Save points nest. */
kal_kv_batch *kal_kv_batch_open(kal_kv *kv);
void kal_kv_batch_close(kal_kv_batch *batch); /* NULL is allowed */
void kal_kv_batch_clear(kal_kv_batch *batch);
void kal_kv_batch_put(kal_kv_batch *batch, kal_kv_family family, kal_bytes key, kal_bytes value);
void kal_kv_batch_delete(kal_kv_batch *batch, kal_kv_family family, kal_bytes key);
/* Removes [lower, upper). */
void kal_kv_batch_delete_range(kal_kv_batch *batch, kal_kv_family family, kal_bytes lower,
                               kal_bytes upper);
void kal_kv_batch_save(kal_kv_batch *batch);        /* sets a save point */
void kal_kv_batch_rollback(kal_kv_batch *batch);    /* back to the last one, which goes */
void kal_kv_batch_commit_save(kal_kv_batch *batch); /* forgets the last one, keeps what follows */
size_t kal_kv_batch_bytes(const kal_kv_batch *batch);
size_t kal_kv_batch_count(const kal_kv_batch *batch);

/* Applies the batch, which stays as it is; with sync it is on stable storage when this returns.
 * After any failure the outcome is unknown: the store refuses further writes (KAL_IO, "writes are
 * stopped: ...") until it is opened again; reads go on. */
KAL_MUST_CHECK kal_status kal_kv_write(kal_kv *kv, kal_kv_batch *batch, bool sync, kal_error *err);
/* Makes earlier unsynced writes durable. */
KAL_MUST_CHECK kal_status kal_kv_sync(kal_kv *kv, kal_error *err);

/*
 * Many entries at once, past write buffers and log: they are collected in a file, sorted, which
 * then becomes a data file of the store. `path` must not exist and lie on the store's file system
 * (memory ignores it). No other write may touch keys between the first and the last one: a load is
 * for ranges of keys that nobody knows of yet.
 */
KAL_MUST_CHECK kal_status kal_kv_load_open(kal_kv *kv, kal_kv_family family, const char *path,
                                           kal_kv_load **load_out, kal_error *err);
/* Keys strictly ascending (checked: an assertion). KAL_IO. */
KAL_MUST_CHECK kal_status kal_kv_load_add(kal_kv_load *load, kal_bytes key, kal_bytes value,
                                          kal_error *err);
/* All entries become visible at once, to readers that come later, and are on stable storage when
 * this returns; earlier writes without sync are not. KAL_IO: then none of them is there, or all. */
KAL_MUST_CHECK kal_status kal_kv_load_finish(kal_kv_load *load, kal_error *err);
/* Forgets what was not finished. NULL is allowed. */
void kal_kv_load_close(kal_kv_load *load);

/* Removes, at once and without a trace in the log, data files that hold only entries with lower <=
 * key < upper. For ranges that a batch, synced since, has deleted: open snapshots lose the entries,
 * too, so none may need them. Nothing but space depends on it. Memory: does nothing. */
KAL_MUST_CHECK kal_status kal_kv_drop_files(kal_kv *kv, kal_kv_family family, kal_bytes lower,
                                            kal_bytes upper, kal_error *err);

/* Makes a copy of the store as it is at one moment, which can be opened as a store: every batch
 * that was written before the call is in it, each later one is in it whole or not at all. Data
 * files are hard links where the file system allows that. `directory` must not exist, its parent
 * must. KAL_UNSUPPORTED: a store in memory; KAL_IO. */
KAL_MUST_CHECK kal_status kal_kv_checkpoint(kal_kv *kv, const char *directory, kal_error *err);

/* Bounds of all keys that begin with this big-endian number, which must not be all ones; they point
 * into `bytes`. */
static inline void kal_kv_number_bounds(uint32_t number, uint8_t bytes[8], kal_bytes *lower_out,
                                        kal_bytes *upper_out)
{
    KAL_ASSERT(number != UINT32_MAX);
    kal_store_be32(bytes, number);
    kal_store_be32(bytes + 4, number + 1);
    *lower_out = kal_bytes_of(bytes, 4);
    *upper_out = kal_bytes_of(bytes + 4, 4);
}

/* Smallest key above every key that starts with prefix (empty when there is none), in the arena:
 * the upper bound of a prefix walk. */
kal_bytes kal_kv_prefix_end(kal_bytes prefix, kal_arena *arena);

const char *kal_kv_family_name(kal_kv_family family);

#endif
