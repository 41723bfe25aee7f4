/*
 * kv_mem.c: kal_kv in memory, for unit tests and simulation: correctness before speed.
 *
 * Each family is an ordered map from key to a cell; a cell is a chain of versions, newest first.
 * A write gives all its changes one sequence number; a reader at number s sees, of each key, the
 * newest version numbered s or less.
 *
 *   cell "k" --> [9 "c"] --> [7 deleted] --> [4 "a"]      a reader at 8 sees nothing, at 5 "a"
 *                             replaced at 9   replaced at 7
 *
 * 1. `replaced` lists the versions that are not newest, in the order they were replaced. A version
 *    replaced at n is freed once no reader stands below n; then it is the oldest of its cell.
 * 2. Durability is one more reader: it stands at the last synced number, so what a power loss would
 *    bring back is still there. A crash removes the versions above it.
 * 3. A cell whose only version is a deletion is removed.
 * 4. An iterator holds no pointer into the maps between calls, only a copy of its key, and seeks
 *    again: writes may go on meanwhile.
 *
 * Threads: one mutex around everything.
 */
#include "store/kv_internal.h"

#include "base/list.h"
#include "base/ordered_map.h"
#include "base/vec.h"

#include <stdlib.h>

typedef struct mem_version {
    kal_list link;             /* in mem_kv.replaced unless newest */
    struct mem_cell *cell;     /* borrowed */
    struct mem_version *newer; /* NULL when newest */
    struct mem_version *older; /* owned, NULL at the end */
    uint64_t seq;
    uint64_t replaced_seq; /* of the next newer version */
    bool deleted;
    size_t len;
    uint8_t value[];
} mem_version;

typedef struct mem_cell {
    mem_version *newest; /* owned; NULL only inside one call */
    kal_kv_family family;
    size_t key_len;
    uint8_t key[];
} mem_cell;

typedef struct mem_reader {
    kal_list link; /* in mem_kv.readers */
    uint64_t seq;
} mem_reader;

typedef struct mem_kv {
    kal_kv base;
    pthread_mutex_t mutex;                      /* everything below */
    kal_ordered_map *maps[KAL_KV_FAMILY_COUNT]; /* owned; a value is a mem_cell * (owned) */
    uint64_t seq;                               /* of the last write */
    uint64_t synced_seq;                        /* <= seq */
    kal_list readers;                           /* of mem_reader, ascending seq */
    kal_list replaced;                          /* of mem_version, ascending replaced_seq */
} mem_kv;

typedef struct mem_snapshot {
    kal_kv_snapshot base;
    mem_reader reader;
} mem_snapshot;

/* One change in mem_batch.log: this header, then key (or lower), then value (or upper). */
typedef enum mem_op { MEM_PUT, MEM_DELETE, MEM_DELETE_RANGE } mem_op;
typedef struct mem_change {
    mem_op op;
    kal_kv_family family;
    size_t key_len;
    size_t value_len;
} mem_change;

typedef struct mem_save_point {
    size_t log_len;
    size_t change_count;
} mem_save_point;

typedef struct mem_batch {
    kal_kv_batch base;
    kal_buf log;
    size_t change_count;
    KAL_VEC(mem_save_point) save_points;
} mem_batch;

typedef struct mem_iter {
    kal_kv_iter base;
    mem_reader reader;
    kal_kv_family family;
    bool reverse;
    bool started;
    kal_buf lower;
    kal_buf upper; /* empty = none */
    kal_buf key;   /* of the current entry */
    kal_buf value;
} mem_iter;

static mem_kv *mem_of(kal_kv *kv)
{
    return (mem_kv *)kv;
}

/* --- versions --------------------------------------------------------------------------------- */

static mem_cell *cell_of(const kal_ordered_entry *entry)
{
    mem_cell *cell;
    kal_bytes value = kal_ordered_entry_value(entry);
    KAL_ASSERT(value.len == sizeof cell);
    memcpy(&cell, value.ptr, sizeof cell); /* the map does not promise alignment */
    return cell;
}

static mem_cell *add_cell(mem_kv *mem, kal_kv_family family, kal_bytes key)
{
    mem_cell *cell = kal_kv_alloc(sizeof *cell + key.len);
    cell->family = family;
    cell->key_len = key.len;
    memcpy(cell->key, key.ptr, key.len);
    if (!kal_ordered_map_put(mem->maps[family], key, kal_bytes_of(&cell, sizeof cell)))
        kal_die("out of memory"); /* the map has no budget */
    return cell;
}

static void remove_cell(mem_kv *mem, mem_cell *cell)
{
    kal_bytes key = kal_bytes_of(cell->key, cell->key_len);
    bool removed = kal_ordered_map_remove(mem->maps[cell->family], key);
    KAL_ASSERT(removed);
    free(cell);
}

static void free_versions(mem_cell *cell)
{
    while (cell->newest != NULL) {
        mem_version *older = cell->newest->older;
        free(cell->newest);
        cell->newest = older;
    }
}

/* The number below which no reader needs anything but the newest version. */
static uint64_t oldest_reader_seq(const mem_kv *mem)
{
    if (kal_list_empty(&mem->readers))
        return mem->synced_seq;
    uint64_t seq = KAL_CONTAINER_OF(mem->readers.next, mem_reader, link)->seq;
    return seq < mem->synced_seq ? seq : mem->synced_seq;
}

static void remove_if_only_deleted(mem_kv *mem, mem_cell *cell)
{
    mem_version *newest = cell->newest;
    if (!newest->deleted || newest->older != NULL)
        return;
    free(newest);
    remove_cell(mem, cell);
}

/* Invariant 1. */
static void prune(mem_kv *mem)
{
    uint64_t oldest = oldest_reader_seq(mem);
    while (!kal_list_empty(&mem->replaced)) {
        mem_version *version = KAL_CONTAINER_OF(mem->replaced.next, mem_version, link);
        if (version->replaced_seq > oldest)
            return;
        KAL_ASSERT(version->older == NULL);
        KAL_ASSERT(version->newer != NULL);
        kal_list_remove(&version->link);
        version->newer->older = NULL;
        mem_cell *cell = version->cell;
        free(version);
        remove_if_only_deleted(mem, cell);
    }
}

/* The version a reader at seq sees, or NULL when there is none or it is deleted. */
static const mem_version *visible_version(const mem_cell *cell, uint64_t seq)
{
    const mem_version *version = cell->newest;
    while (version != NULL && version->seq > seq)
        version = version->older;
    return version == NULL || version->deleted ? NULL : version;
}

static mem_version *make_version(mem_cell *cell, uint64_t seq, bool deleted, kal_bytes value)
{
    mem_version *version = kal_kv_alloc(sizeof *version + value.len);
    kal_list_init(&version->link);
    version->cell = cell;
    version->seq = seq;
    version->deleted = deleted;
    version->len = value.len;
    if (value.len > 0)
        memcpy(version->value, value.ptr, value.len);
    return version;
}

/* Puts a version on top of the cell; within one write the last change to a key wins. */
static void set_newest(mem_kv *mem, mem_cell *cell, mem_version *version)
{
    mem_version *before = cell->newest;
    if (before != NULL && before->seq == version->seq) {
        version->older = before->older;
        free(before);
        if (version->older != NULL)
            version->older->newer = version;
    } else if (before != NULL) {
        version->older = before;
        before->newer = version;
        before->replaced_seq = version->seq;
        kal_list_push_back(&mem->replaced, &before->link);
    }
    cell->newest = version;
    remove_if_only_deleted(mem, cell);
}

static void apply_put(mem_kv *mem, kal_kv_family family, kal_bytes key, kal_bytes value)
{
    const kal_ordered_entry *entry = kal_ordered_map_find(mem->maps[family], key);
    mem_cell *cell = entry == NULL ? add_cell(mem, family, key) : cell_of(entry);
    set_newest(mem, cell, make_version(cell, mem->seq, false, value));
}

static void apply_delete(mem_kv *mem, mem_cell *cell)
{
    if (!cell->newest->deleted)
        set_newest(mem, cell, make_version(cell, mem->seq, true, (kal_bytes){0}));
}

static void apply_delete_range(mem_kv *mem, kal_kv_family family, kal_bytes lower, kal_bytes upper)
{
    const kal_ordered_entry *entry = kal_ordered_map_at_least(mem->maps[family], lower);
    while (entry != NULL && kal_bytes_compare(kal_ordered_entry_key(entry), upper) < 0) {
        const kal_ordered_entry *next = kal_ordered_map_next(entry);
        apply_delete(mem, cell_of(entry)); /* may remove the entry */
        entry = next;
    }
}

/* --- opening, closing, crashing --------------------------------------------------------------- */

static void mem_close(kal_kv *kv)
{
    mem_kv *mem = mem_of(kv);
    for (int i = 0; i < KAL_KV_FAMILY_COUNT; i++) {
        const kal_ordered_entry *entry = kal_ordered_map_at_least(mem->maps[i], (kal_bytes){0});
        for (; entry != NULL; entry = kal_ordered_map_next(entry)) {
            mem_cell *cell = cell_of(entry);
            free_versions(cell);
            free(cell);
        }
        kal_ordered_map_close(mem->maps[i]);
    }
    pthread_mutex_destroy(&mem->mutex);
    free(mem);
}

/* Takes a cell back to what a reader at the synced number sees. */
static void roll_back_cell(mem_kv *mem, mem_cell *cell)
{
    while (cell->newest != NULL && cell->newest->seq > mem->synced_seq) {
        mem_version *lost = cell->newest;
        cell->newest = lost->older;
        kal_list_remove(&lost->link);
        free(lost);
    }
    if (cell->newest == NULL) {
        remove_cell(mem, cell);
        return;
    }
    /* Without readers everything replaced up to the synced number has been pruned. */
    KAL_ASSERT(cell->newest->older == NULL);
    cell->newest->newer = NULL;
    kal_list_remove(&cell->newest->link);
    remove_if_only_deleted(mem, cell);
}

static kal_status mem_get(kal_kv *kv, const kal_kv_snapshot *snapshot, kal_kv_family family,
                          kal_bytes key, bool cached_only, kal_arena *arena, kal_bytes *value_out,
                          kal_error *err)
{
    (void)cached_only; /* everything is in memory */
    mem_kv *mem = mem_of(kv);
    kal_status status = KAL_NOT_FOUND;
    pthread_mutex_lock(&mem->mutex);
    uint64_t seq = snapshot == NULL ? mem->seq : ((const mem_snapshot *)snapshot)->reader.seq;
    const kal_ordered_entry *entry = kal_ordered_map_find(mem->maps[family], key);
    const mem_version *version = entry == NULL ? NULL : visible_version(cell_of(entry), seq);
    if (version != NULL) {
        status = KAL_OK;
        if (!kal_arena_try_copy(arena, kal_bytes_of(version->value, version->len), value_out))
            status = kal_error_set(err, KAL_LIMIT, "a value of %zu bytes exceeds the memory limit",
                                   version->len);
    }
    pthread_mutex_unlock(&mem->mutex);
    return status;
}

/* --- readers ---------------------------------------------------------------------------------- */

/* Readers mostly arrive in order; an iterator at an old snapshot looks for its place. */
static void add_reader(mem_kv *mem, mem_reader *reader, const kal_kv_snapshot *snapshot)
{
    reader->seq = snapshot == NULL ? mem->seq : ((const mem_snapshot *)snapshot)->reader.seq;
    kal_list *after = mem->readers.prev;
    while (after != &mem->readers && KAL_CONTAINER_OF(after, mem_reader, link)->seq > reader->seq)
        after = after->prev;
    /* Pushing to the back of the list that starts at `after->next` puts it behind `after`. */
    kal_list_push_back(after->next, &reader->link);
}

static void remove_reader(mem_kv *mem, mem_reader *reader)
{
    kal_list_remove(&reader->link);
    prune(mem);
}

static kal_kv_snapshot *mem_snapshot_take(kal_kv *kv)
{
    mem_kv *mem = mem_of(kv);
    mem_snapshot *snapshot = kal_kv_alloc(sizeof *snapshot);
    pthread_mutex_lock(&mem->mutex);
    add_reader(mem, &snapshot->reader, NULL);
    pthread_mutex_unlock(&mem->mutex);
    return &snapshot->base;
}

static void mem_snapshot_release(kal_kv *kv, kal_kv_snapshot *snapshot)
{
    mem_kv *mem = mem_of(kv);
    pthread_mutex_lock(&mem->mutex);
    remove_reader(mem, &((mem_snapshot *)snapshot)->reader);
    pthread_mutex_unlock(&mem->mutex);
    free(snapshot);
}

static kal_status mem_iter_open(kal_kv *kv, const kal_kv_snapshot *snapshot,
                                const kal_kv_range *range, kal_kv_iter **iter_out, kal_error *err)
{
    (void)err;
    mem_kv *mem = mem_of(kv);
    mem_iter *iter = kal_kv_alloc(sizeof *iter);
    iter->family = range->family;
    iter->reverse = range->reverse;
    kal_buf_append_bytes(&iter->lower, range->lower);
    kal_buf_append_bytes(&iter->upper, range->upper);
    pthread_mutex_lock(&mem->mutex);
    add_reader(mem, &iter->reader, snapshot);
    pthread_mutex_unlock(&mem->mutex);
    *iter_out = &iter->base;
    return KAL_OK;
}

static const kal_ordered_entry *step_up(mem_iter *iter, const kal_ordered_map *map)
{
    kal_bytes from = kal_buf_bytes(&iter->lower);
    if (iter->started) {
        kal_buf_append_byte(&iter->key, 0); /* the smallest key above the current one */
        from = kal_buf_bytes(&iter->key);
    }
    const kal_ordered_entry *entry = kal_ordered_map_at_least(map, from);
    while (entry != NULL && visible_version(cell_of(entry), iter->reader.seq) == NULL)
        entry = kal_ordered_map_next(entry);
    if (entry == NULL || iter->upper.len == 0)
        return entry;
    bool inside = kal_bytes_compare(kal_ordered_entry_key(entry), kal_buf_bytes(&iter->upper)) < 0;
    return inside ? entry : NULL;
}

static const kal_ordered_entry *step_down(mem_iter *iter, const kal_ordered_map *map)
{
    uint8_t above_all[KAL_KV_KEY_BYTES_MAX + 1]; /* greater than any key */
    kal_bytes below = kal_buf_bytes(iter->started ? &iter->key : &iter->upper);
    if (below.len == 0) {
        memset(above_all, 0xFF, sizeof above_all);
        below = kal_bytes_of(above_all, sizeof above_all);
    }
    const kal_ordered_entry *entry = kal_ordered_map_below(map, below);
    while (entry != NULL && visible_version(cell_of(entry), iter->reader.seq) == NULL)
        entry = kal_ordered_map_prev(map, entry);
    if (entry == NULL)
        return NULL;
    bool inside = kal_bytes_compare(kal_ordered_entry_key(entry), kal_buf_bytes(&iter->lower)) >= 0;
    return inside ? entry : NULL;
}

static kal_status mem_iter_next(kal_kv_iter *base, kal_bytes *key_out, kal_bytes *value_out,
                                kal_error *err)
{
    (void)err;
    mem_kv *mem = mem_of(base->kv);
    mem_iter *iter = (mem_iter *)base;
    kal_status status = KAL_END;
    pthread_mutex_lock(&mem->mutex);
    const kal_ordered_map *map = mem->maps[iter->family];
    const kal_ordered_entry *entry = iter->reverse ? step_down(iter, map) : step_up(iter, map);
    iter->started = true;
    if (entry != NULL) {
        const mem_version *version = visible_version(cell_of(entry), iter->reader.seq);
        kal_buf_clear(&iter->key);
        kal_buf_append_bytes(&iter->key, kal_ordered_entry_key(entry));
        kal_buf_clear(&iter->value);
        kal_buf_append(&iter->value, version->value, version->len);
        *key_out = kal_buf_bytes(&iter->key);
        *value_out = kal_buf_bytes(&iter->value);
        status = KAL_OK;
    }
    pthread_mutex_unlock(&mem->mutex);
    return status;
}

static void mem_iter_close(kal_kv_iter *base)
{
    mem_kv *mem = mem_of(base->kv);
    mem_iter *iter = (mem_iter *)base;
    pthread_mutex_lock(&mem->mutex);
    remove_reader(mem, &iter->reader);
    pthread_mutex_unlock(&mem->mutex);
    kal_buf_release(&iter->lower);
    kal_buf_release(&iter->upper);
    kal_buf_release(&iter->key);
    kal_buf_release(&iter->value);
    free(iter);
}

/* --- writing ---------------------------------------------------------------------------------- */

static kal_kv_batch *mem_batch_open(kal_kv *kv)
{
    (void)kv;
    mem_batch *batch = kal_kv_alloc(sizeof *batch);
    kal_buf_init(&batch->log, NULL);
    return &batch->base;
}

static void mem_batch_close(kal_kv_batch *base)
{
    mem_batch *batch = (mem_batch *)base;
    kal_vec_release(&batch->save_points);
    kal_buf_release(&batch->log);
    free(batch);
}

static void mem_batch_clear(kal_kv_batch *base)
{
    mem_batch *batch = (mem_batch *)base;
    kal_buf_clear(&batch->log);
    batch->change_count = 0;
    batch->save_points.len = 0;
}

static void add_change(kal_kv_batch *base, mem_op op, kal_kv_family family, kal_bytes key,
                       kal_bytes value)
{
    mem_batch *batch = (mem_batch *)base;
    mem_change change = {op, family, key.len, value.len};
    kal_buf_append(&batch->log, &change, sizeof change);
    kal_buf_append_bytes(&batch->log, key);
    kal_buf_append_bytes(&batch->log, value);
    batch->change_count++;
}

static void mem_batch_put(kal_kv_batch *batch, kal_kv_family family, kal_bytes key, kal_bytes value)
{
    add_change(batch, MEM_PUT, family, key, value);
}

static void mem_batch_delete(kal_kv_batch *batch, kal_kv_family family, kal_bytes key)
{
    add_change(batch, MEM_DELETE, family, key, (kal_bytes){0});
}

static void mem_batch_delete_range(kal_kv_batch *batch, kal_kv_family family, kal_bytes lower,
                                   kal_bytes upper)
{
    add_change(batch, MEM_DELETE_RANGE, family, lower, upper);
}

static void mem_batch_save(kal_kv_batch *base)
{
    mem_batch *batch = (mem_batch *)base;
    mem_save_point point = {batch->log.len, batch->change_count};
    kal_vec_push(&batch->save_points, point);
}

static void mem_batch_rollback(kal_kv_batch *base)
{
    mem_batch *batch = (mem_batch *)base;
    mem_save_point point = batch->save_points.items[--batch->save_points.len];
    kal_buf_truncate(&batch->log, point.log_len);
    batch->change_count = point.change_count;
}

static void mem_batch_commit_save(kal_kv_batch *base)
{
    ((mem_batch *)base)->save_points.len--;
}

static size_t mem_batch_bytes(const kal_kv_batch *base)
{
    return ((const mem_batch *)base)->log.len;
}

static size_t mem_batch_count(const kal_kv_batch *base)
{
    return ((const mem_batch *)base)->change_count;
}

static void apply_change(mem_kv *mem, const mem_change *change, kal_bytes key, kal_bytes value)
{
    switch (change->op) {
    case MEM_PUT:
        apply_put(mem, change->family, key, value);
        break;
    case MEM_DELETE: {
        const kal_ordered_entry *entry = kal_ordered_map_find(mem->maps[change->family], key);
        if (entry != NULL)
            apply_delete(mem, cell_of(entry));
        break;
    }
    case MEM_DELETE_RANGE:
        apply_delete_range(mem, change->family, key, value);
        break;
    }
}

static void apply_batch(mem_kv *mem, const mem_batch *batch)
{
    size_t offset = 0;
    while (offset < batch->log.len) {
        mem_change change;
        memcpy(&change, batch->log.ptr + offset, sizeof change);
        offset += sizeof change;
        kal_bytes key = kal_bytes_of(batch->log.ptr + offset, change.key_len);
        offset += change.key_len;
        kal_bytes value = kal_bytes_of(batch->log.ptr + offset, change.value_len);
        offset += change.value_len;
        apply_change(mem, &change, key, value);
    }
    KAL_ASSERT(offset == batch->log.len);
}

static kal_status mem_write(kal_kv *kv, kal_kv_batch *batch, bool sync, kal_error *err)
{
    (void)err;
    mem_kv *mem = mem_of(kv);
    pthread_mutex_lock(&mem->mutex);
    mem->seq++;
    apply_batch(mem, (const mem_batch *)batch);
    if (sync)
        mem->synced_seq = mem->seq;
    prune(mem);
    pthread_mutex_unlock(&mem->mutex);
    return KAL_OK;
}

static kal_status mem_sync(kal_kv *kv, kal_error *err)
{
    (void)err;
    mem_kv *mem = mem_of(kv);
    pthread_mutex_lock(&mem->mutex);
    mem->synced_seq = mem->seq;
    prune(mem);
    pthread_mutex_unlock(&mem->mutex);
    return KAL_OK;
}

static kal_status mem_approximate_bytes(kal_kv *kv, kal_kv_family family, kal_bytes lower,
                                        kal_bytes upper, uint64_t *bytes_out, kal_error *err)
{
    (void)err;
    mem_kv *mem = mem_of(kv);
    pthread_mutex_lock(&mem->mutex);
    const kal_ordered_entry *entry = kal_ordered_map_at_least(mem->maps[family], lower);
    while (entry != NULL && kal_bytes_compare(kal_ordered_entry_key(entry), upper) < 0) {
        const mem_cell *cell = cell_of(entry);
        if (!cell->newest->deleted)
            *bytes_out += cell->key_len + cell->newest->len;
        entry = kal_ordered_map_next(entry);
    }
    pthread_mutex_unlock(&mem->mutex);
    return KAL_OK;
}

/* What is removed and seen by no snapshot is gone already. */
static void mem_compact(kal_kv *kv, kal_kv_family family, kal_bytes lower, kal_bytes upper)
{
    (void)kv, (void)family, (void)lower, (void)upper;
}

static kal_status mem_drop_files(kal_kv *kv, kal_kv_family family, kal_bytes lower, kal_bytes upper,
                                 kal_error *err)
{
    (void)kv, (void)family, (void)lower, (void)upper, (void)err;
    return KAL_OK;
}

/* --- loads: a batch of its own, synced -------------------------------------------------------- */

typedef struct mem_load {
    kal_kv_load base;
    kal_kv_batch *batch; /* owned */
} mem_load;

static kal_status mem_load_open(kal_kv *kv, kal_kv_family family, const char *path,
                                kal_kv_load **load_out, kal_error *err)
{
    (void)family, (void)path, (void)err;
    mem_load *load = kal_kv_alloc(sizeof *load);
    load->batch = kal_kv_batch_open(kv);
    *load_out = &load->base;
    return KAL_OK;
}

static kal_status mem_load_add(kal_kv_load *base, kal_bytes key, kal_bytes value, kal_error *err)
{
    (void)err;
    kal_kv_batch_put(((mem_load *)base)->batch, base->family, key, value);
    return KAL_OK;
}

static kal_status mem_load_finish(kal_kv_load *base, kal_error *err)
{
    return mem_write(base->kv, ((mem_load *)base)->batch, true, err);
}

static void mem_load_close(kal_kv_load *base)
{
    kal_kv_batch_close(((mem_load *)base)->batch);
    free(base);
}

static const kal_kv_ops MEM_OPS = {
    .close = mem_close,
    .get = mem_get,
    .iter_open = mem_iter_open,
    .iter_next = mem_iter_next,
    .iter_close = mem_iter_close,
    .approximate_bytes = mem_approximate_bytes,
    .compact = mem_compact,
    .write = mem_write,
    .sync = mem_sync,
    .drop_files = mem_drop_files,
    .load_open = mem_load_open,
    .load_add = mem_load_add,
    .load_finish = mem_load_finish,
    .load_close = mem_load_close,
    .snapshot_take = mem_snapshot_take,
    .snapshot_release = mem_snapshot_release,
    .batch_open = mem_batch_open,
    .batch_close = mem_batch_close,
    .batch_clear = mem_batch_clear,
    .batch_put = mem_batch_put,
    .batch_delete = mem_batch_delete,
    .batch_delete_range = mem_batch_delete_range,
    .batch_save = mem_batch_save,
    .batch_rollback = mem_batch_rollback,
    .batch_commit_save = mem_batch_commit_save,
    .batch_bytes = mem_batch_bytes,
    .batch_count = mem_batch_count,
};

kal_kv *kal_kv_open_mem(void)
{
    mem_kv *mem = kal_kv_alloc(sizeof *mem);
    kal_kv_init(&mem->base, &MEM_OPS, NULL);
    pthread_mutex_init(&mem->mutex, NULL);
    kal_list_init(&mem->readers);
    kal_list_init(&mem->replaced);
    for (int i = 0; i < KAL_KV_FAMILY_COUNT; i++)
        mem->maps[i] = kal_ordered_map_open(NULL);
    return &mem->base;
}

void kal_kv_mem_crash(kal_kv *kv)
{
    KAL_ASSERT(kv->ops == &MEM_OPS);
    KAL_ASSERT(atomic_load(&kv->open_snapshots) == 0);
    KAL_ASSERT(atomic_load(&kv->open_iters) == 0);
    mem_kv *mem = mem_of(kv);
    pthread_mutex_lock(&mem->mutex);
    for (int i = 0; i < KAL_KV_FAMILY_COUNT; i++) {
        const kal_ordered_entry *entry = kal_ordered_map_at_least(mem->maps[i], (kal_bytes){0});
        while (entry != NULL) {
            const kal_ordered_entry *next = kal_ordered_map_next(entry);
            roll_back_cell(mem, cell_of(entry)); /* may remove the entry */
            entry = next;
        }
    }
    KAL_ASSERT(kal_list_empty(&mem->replaced));
    mem->synced_seq = mem->seq;
    pthread_mutex_unlock(&mem->mutex);
    kal_kv_resume_writes(kv);
}
