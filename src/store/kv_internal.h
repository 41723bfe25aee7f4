/*
 * kv_internal.h: what the backends of kv.h share; only for files of this folder.
 *
 * Each opaque type of kv.h starts with the struct below; a backend embeds it as its first member
 * `base` and casts. kv.c checks arguments, counts what is open and keeps the rule that a store
 * which failed to write refuses further writes; then it calls the backend's table of functions.
 *
 * A wrapper (kv_fault.c) has no snapshots and batches of its own: they belong to the store at the
 * bottom, kv->bottom, and kv.c sends them there directly.
 */
#ifndef KAL_STORE_KV_INTERNAL_H
#define KAL_STORE_KV_INTERNAL_H

#include "base/assert.h"
#include "base/buf.h"
#include "store/kv.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct kal_kv_ops {
    void (*close)(kal_kv *kv);
    kal_status (*get)(kal_kv *kv, const kal_kv_snapshot *snapshot, kal_kv_family family,
                      kal_bytes key, bool cached_only, kal_arena *arena, kal_bytes *value_out,
                      kal_error *err);
    kal_status (*iter_open)(kal_kv *kv, const kal_kv_snapshot *snapshot, const kal_kv_range *range,
                            kal_kv_iter **iter_out, kal_error *err);
    /* Called again only after KAL_OK. */
    kal_status (*iter_next)(kal_kv_iter *iter, kal_bytes *key_out, kal_bytes *value_out,
                            kal_error *err);
    void (*iter_close)(kal_kv_iter *iter);
    kal_status (*approximate_bytes)(kal_kv *kv, kal_kv_family family, kal_bytes lower,
                                    kal_bytes upper, uint64_t *bytes_out, kal_error *err);
    void (*compact)(kal_kv *kv, kal_kv_family family, kal_bytes lower, kal_bytes upper);
    /* NULL: nothing of what was removed is left anywhere. */
    kal_status (*purge)(kal_kv *kv, unsigned families, kal_kv_check check, void *context,
                        kal_error *err);
    kal_status (*write)(kal_kv *kv, kal_kv_batch *batch, bool sync, kal_error *err);
    kal_status (*sync)(kal_kv *kv, kal_error *err);
    /* NULL: the backend has none. */
    kal_status (*checkpoint)(kal_kv *kv, const char *directory, kal_error *err);
    kal_status (*drop_files)(kal_kv *kv, kal_kv_family family, kal_bytes lower, kal_bytes upper,
                             kal_error *err);
    kal_status (*load_open)(kal_kv *kv, kal_kv_family family, const char *path,
                            kal_kv_load **load_out, kal_error *err);
    kal_status (*load_add)(kal_kv_load *load, kal_bytes key, kal_bytes value, kal_error *err);
    /* Not called without an entry. */
    kal_status (*load_finish)(kal_kv_load *load, kal_error *err);
    void (*load_close)(kal_kv_load *load);

    /* NULL in a wrapper, from here on. */
    kal_kv_snapshot *(*snapshot_take)(kal_kv *kv);
    void (*snapshot_release)(kal_kv *kv, kal_kv_snapshot *snapshot);
    kal_kv_batch *(*batch_open)(kal_kv *kv);
    void (*batch_close)(kal_kv_batch *batch);
    void (*batch_clear)(kal_kv_batch *batch);
    void (*batch_put)(kal_kv_batch *batch, kal_kv_family family, kal_bytes key, kal_bytes value);
    void (*batch_delete)(kal_kv_batch *batch, kal_kv_family family, kal_bytes key);
    void (*batch_delete_range)(kal_kv_batch *batch, kal_kv_family family, kal_bytes lower,
                               kal_bytes upper);
    void (*batch_save)(kal_kv_batch *batch);
    void (*batch_rollback)(kal_kv_batch *batch);
    void (*batch_commit_save)(kal_kv_batch *batch);
    size_t (*batch_bytes)(const kal_kv_batch *batch);
    size_t (*batch_count)(const kal_kv_batch *batch);
} kal_kv_ops;

struct kal_kv {
    const kal_kv_ops *ops;
    kal_kv *bottom; /* borrowed: the store that holds the data; itself unless this is a wrapper */
    _Atomic size_t open_snapshots;
    _Atomic size_t open_iters;
    _Atomic size_t open_batches;
    _Atomic bool stopped;       /* a write failed; set after stop_reason is complete */
    pthread_mutex_t stop_mutex; /* the first failure wins */
    char stop_reason[KAL_ERROR_MESSAGE_BYTES];
};

struct kal_kv_snapshot {
    kal_kv *kv; /* borrowed */
};

struct kal_kv_batch {
    kal_kv *kv;            /* borrowed */
    size_t save_point_len; /* open save points */
};

struct kal_kv_load {
    kal_kv *kv; /* borrowed */
    kal_kv_family family;
    kal_buf last_key; /* owned */
    bool finished;
};

struct kal_kv_iter {
    kal_kv *kv;       /* borrowed */
    kal_status state; /* KAL_OK while there may be a next entry, else what ended the walk */
};

/* bottom NULL: the store holds its own data. */
void kal_kv_init(kal_kv *kv, const kal_kv_ops *ops, kal_kv *bottom);
/* Writes are possible again: the store is as if it had just been opened. */
void kal_kv_resume_writes(kal_kv *kv);

/* Zeroed memory for the small structs of this folder; ends the process when there is none. */
void *kal_kv_alloc(size_t size);

#endif
