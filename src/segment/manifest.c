#include "segment/manifest.h"
#include "base/assert.h"
#include "base/map.h"
#include "segment/key_index.h"

#include <stdlib.h>

/* What is known of one table. It stays when the table is dropped: views of an earlier moment may
 * still ask. */
typedef struct manifest_entry {
    kal_manifest *newest; /* one reference; NULL: none, or not known while `changing` */
    bool changing;        /* the records may be newer */
} manifest_entry;

struct kal_manifests {
    kal_catalog *catalog; /* borrowed */
    _Atomic uint64_t epoch;
    pthread_rwlock_t lock; /* the rest */
    kal_map entries;       /* be32 table_id -> manifest_entry, owned */
};

/* ---- references ---- */

static void release_segment(kal_segment *segment)
{
    if (atomic_fetch_sub(&segment->refs, 1) > 1)
        return;
    kal_dead_rows_release(segment->dead);
    pthread_mutex_destroy(&segment->lock);
    kal_arena_release(&segment->arena);
    free(segment);
}

static kal_manifest *retain(kal_manifest *manifest)
{
    if (manifest != NULL)
        atomic_fetch_add(&manifest->refs, 1);
    return manifest;
}

void kal_manifest_release(kal_manifest *manifest)
{
    if (manifest == NULL || atomic_fetch_sub(&manifest->refs, 1) > 1)
        return;
    for (size_t i = 0; i < manifest->segment_count; i++)
        release_segment(manifest->segments[i]);
    free(manifest->segments);
    free(manifest->mixed);
    free(manifest->single);
    free(manifest->moved_to);
    free(manifest);
}

/* ---- from records ---- */

static kal_segment *make_segment(const kal_segment_info *info)
{
    kal_segment *segment = calloc(1, sizeof *segment);
    if (segment == NULL)
        kal_die("out of memory: segment");
    segment->refs = 1;
    pthread_mutex_init(&segment->lock, NULL);
    kal_arena *arena = &segment->arena;
    kal_arena_init(arena, NULL);
    segment->info = *info;
    segment->info.key_min = kal_arena_copy(arena, info->key_min);
    segment->info.key_max = kal_arena_copy(arena, info->key_max);
    segment->info.primary_min = kal_arena_copy(arena, info->primary_min);
    segment->info.primary_max = kal_arena_copy(arena, info->primary_max);
    segment->info.storage_id = kal_arena_copy(arena, info->storage_id);
    segment->info.object = kal_arena_copy(arena, info->object);
    segment->info.statistics = kal_arena_copy(arena, info->statistics);
    return segment;
}

kal_segment *kal_manifest_find(const kal_manifest *manifest, uint32_t segment_id)
{
    size_t low = 0;
    size_t high = manifest == NULL ? 0 : manifest->segment_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint32_t there = manifest->segments[middle]->info.segment_id;
        if (there == segment_id)
            return manifest->segments[middle];
        if (there > segment_id) /* newest first */
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* The same segment of a manifest that is known, so that what is cached with it lives on. */
static kal_segment *find_known(const kal_manifest *known, uint32_t segment_id)
{
    kal_segment *segment = kal_manifest_find(known, segment_id);
    if (segment != NULL)
        atomic_fetch_add(&segment->refs, 1);
    return segment;
}

static bool is_single(const kal_segment *segment)
{
    return segment->info.user_min == segment->info.user_max;
}

/* By user, newest first among one user's. */
static int compare_single(const void *a, const void *b)
{
    const kal_segment_info *x = &(*(kal_segment *const *)a)->info;
    const kal_segment_info *y = &(*(kal_segment *const *)b)->info;

    if (x->user_min != y->user_min)
        return (x->user_min > y->user_min) - (x->user_min < y->user_min);
    return (x->segment_id < y->segment_id) - (x->segment_id > y->segment_id);
}

static void sort_by_user(kal_manifest *manifest)
{
    size_t count = manifest->segment_count;

    manifest->mixed = calloc(count + 1, sizeof(kal_segment *));
    manifest->single = calloc(count + 1, sizeof(kal_segment *));
    if (manifest->mixed == NULL || manifest->single == NULL)
        kal_die("out of memory: manifest");
    for (size_t i = 0; i < count; i++) {
        kal_segment *segment = manifest->segments[i];
        if (is_single(segment))
            manifest->single[manifest->single_count++] = segment;
        else
            manifest->mixed[manifest->mixed_count++] = segment;
    }
    qsort(manifest->single, manifest->single_count, sizeof(kal_segment *), compare_single);
}

size_t kal_manifest_single(const kal_manifest *manifest, uint64_t user_no,
                           kal_segment *const **first_out)
{
    size_t low = 0;
    size_t high = manifest->single_count;
    size_t len = 0;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (manifest->single[middle]->info.user_min < user_no)
            low = middle + 1;
        else
            high = middle;
    }
    while (low + len < manifest->single_count &&
           manifest->single[low + len]->info.user_min == user_no)
        len++;
    *first_out = manifest->single + low;
    return len;
}

static void copy_head(const kal_manifest_head *head, kal_manifest *out)
{
    kal_bytes from = head->moved_to;

    out->head = *head;
    out->moved_to = malloc(from.len + 1);
    if (out->moved_to == NULL)
        kal_die("out of memory: manifest");
    if (from.len > 0)
        memcpy(out->moved_to, from.ptr, from.len);
    out->head.moved_to = kal_bytes_of(out->moved_to, from.len);
}

static kal_manifest *make_manifest(uint32_t table_id, const kal_manifest_head *head,
                                   const kal_segment_info *infos, size_t count,
                                   const kal_manifest *known)
{
    kal_manifest *manifest = calloc(1, sizeof *manifest);
    if (manifest == NULL)
        kal_die("out of memory: manifest");
    manifest->table_id = table_id;
    copy_head(head, manifest);
    manifest->refs = 1;
    manifest->segments = calloc(count + 1, sizeof(kal_segment *));
    if (manifest->segments == NULL)
        kal_die("out of memory: manifest");
    manifest->segment_count = count;
    for (size_t i = 0; i < count; i++) { /* records come by number, ascending */
        kal_segment *segment = find_known(known, infos[i].segment_id);
        manifest->segments[count - 1 - i] = segment != NULL ? segment : make_segment(&infos[i]);
        manifest->row_count += infos[i].row_count;
    }
    sort_by_user(manifest);
    return manifest;
}

/* *out NULL: the table has none. */
static kal_status load(kal_manifests *m, const kal_kv_snapshot *snapshot, uint32_t table_id,
                       const kal_manifest *known, kal_manifest **out, kal_error *err)
{
    kal_manifest_head head;
    kal_segment_info *infos = NULL;
    size_t count = 0;
    kal_arena arena; /* owned */

    *out = NULL;
    kal_arena_init(&arena, NULL);
    kal_status status =
        kal_catalog_manifest_head(m->catalog, snapshot, table_id, &arena, &head, err);
    if (status == KAL_OK && known != NULL && known->head.version == head.version) {
        atomic_fetch_add(&((kal_manifest *)(uintptr_t)known)->refs, 1);
        *out = (kal_manifest *)(uintptr_t)known;
    } else if (status == KAL_OK) {
        status = kal_catalog_segments(m->catalog, snapshot, table_id, &arena, &infos, &count, err);
        if (status == KAL_OK)
            *out = make_manifest(table_id, &head, infos, count, known);
    }
    kal_arena_release(&arena);
    return status == KAL_NOT_FOUND ? KAL_OK : status;
}

/* ---- entries ---- */

static manifest_entry *find_entry(kal_manifests *m, uint32_t table_id)
{
    uint8_t key[4];
    kal_store_be32(key, table_id);
    return kal_map_find(&m->entries, kal_bytes_of(key, sizeof key));
}

/* The lock is held for writing. */
static manifest_entry *add_entry(kal_manifests *m, uint32_t table_id)
{
    uint8_t key[4];
    manifest_entry *entry = find_entry(m, table_id);

    if (entry != NULL)
        return entry;
    entry = calloc(1, sizeof *entry);
    if (entry == NULL)
        kal_die("out of memory: manifest");
    kal_store_be32(key, table_id);
    kal_map_put(&m->entries, kal_bytes_of(key, sizeof key), entry);
    return entry;
}

uint64_t kal_manifests_epoch(const kal_manifests *m)
{
    return atomic_load(&m->epoch);
}

kal_status kal_manifests_get(kal_manifests *m, const kal_kv_snapshot *snapshot, uint64_t epoch,
                             uint32_t table_id, bool cached_only, kal_manifest **manifest_out,
                             kal_error *err)
{
    kal_manifest *newest = NULL;
    bool is_exact = true;

    pthread_rwlock_rdlock(&m->lock);
    const manifest_entry *entry = find_entry(m, table_id);
    if (entry != NULL) {
        newest = retain(entry->newest);
        is_exact = !entry->changing && newest != NULL && newest->epoch <= epoch;
    }
    pthread_rwlock_unlock(&m->lock);
    *manifest_out = newest;
    if (KAL_LIKELY(is_exact))
        return KAL_OK;
    *manifest_out = NULL;
    kal_status status =
        cached_only ? KAL_BUSY : load(m, snapshot, table_id, newest, manifest_out, err);
    kal_manifest_release(newest);
    return status;
}

kal_status kal_manifests_newest(kal_manifests *m, uint32_t table_id, kal_manifest **manifest_out,
                                kal_error *err)
{
    bool is_exact = true;

    *manifest_out = NULL;
    pthread_rwlock_rdlock(&m->lock);
    const manifest_entry *entry = find_entry(m, table_id);
    if (entry != NULL) {
        is_exact = !entry->changing;
        *manifest_out = is_exact ? retain(entry->newest) : NULL;
    }
    pthread_rwlock_unlock(&m->lock);
    return is_exact ? KAL_OK : load(m, NULL, table_id, NULL, manifest_out, err);
}

void kal_manifests_begin(kal_manifests *m, uint32_t table_id)
{
    pthread_rwlock_wrlock(&m->lock);
    add_entry(m, table_id)->changing = true;
    pthread_rwlock_unlock(&m->lock);
}

void kal_manifests_end(kal_manifests *m, uint32_t table_id)
{
    kal_manifest *made = NULL;
    kal_error ignored = KAL_ERROR_INIT; /* whoever asks the records next hears of it */

    pthread_rwlock_wrlock(&m->lock);
    manifest_entry *entry = find_entry(m, table_id);
    KAL_ASSERT(entry != NULL && entry->changing);
    kal_status status = load(m, NULL, table_id, entry->newest, &made, &ignored);
    if (status == KAL_OK) {
        uint64_t epoch = atomic_load(&m->epoch) + 1;
        if (made != NULL && made != entry->newest)
            made->epoch = epoch;
        kal_manifest_release(entry->newest);
        entry->newest = made;
        entry->changing = false;
        atomic_store(&m->epoch, epoch);
    }
    pthread_rwlock_unlock(&m->lock);
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

size_t kal_manifests_tables(kal_manifests *m, uint32_t **table_ids_out)
{
    size_t at = 0;
    size_t count = 0;
    kal_bytes key;
    const manifest_entry *entry;

    pthread_rwlock_rdlock(&m->lock);
    uint32_t *ids = calloc(m->entries.len + 1, sizeof *ids); /* the caller's */
    if (ids == NULL)
        kal_die("out of memory: manifests");
    while ((entry = kal_map_next(&m->entries, &at, &key)) != NULL) {
        if (entry->newest != NULL || entry->changing)
            ids[count++] = kal_load_be32(key.ptr);
    }
    pthread_rwlock_unlock(&m->lock);
    qsort(ids, count, sizeof *ids, compare_ids);
    *table_ids_out = ids;
    return count;
}

/* ---- opening ---- */

static kal_status visit(void *context, uint32_t table_id, const kal_manifest_head *head,
                        kal_error *err)
{
    kal_manifests *m = context;
    (void)head;
    return load(m, NULL, table_id, NULL, &add_entry(m, table_id)->newest, err);
}

kal_status kal_manifests_open(kal_catalog *catalog, kal_manifests **manifests_out, kal_error *err)
{
    kal_manifests *m = calloc(1, sizeof *m);

    *manifests_out = NULL;
    if (m == NULL)
        kal_die("out of memory: manifests");
    m->catalog = catalog;
    pthread_rwlock_init(&m->lock, NULL);
    kal_map_init(&m->entries);
    kal_status status = kal_catalog_scan_manifests(catalog, NULL, visit, m, err);
    if (status != KAL_OK) {
        kal_manifests_close(m);
        return status;
    }
    *manifests_out = m;
    return KAL_OK;
}

void kal_manifests_close(kal_manifests *m)
{
    size_t at = 0;
    manifest_entry *entry;

    if (m == NULL)
        return;
    while ((entry = kal_map_next(&m->entries, &at, NULL)) != NULL) {
        kal_manifest_release(entry->newest);
        free(entry);
    }
    kal_map_release(&m->entries);
    pthread_rwlock_destroy(&m->lock);
    free(m);
}
