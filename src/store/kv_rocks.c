/*
 * kv_rocks.c: kal_kv on RocksDB. The only file that includes <rocksdb/c.h>: its malloc'ed values
 * and error strings become arena memory and a kal_error before they leave this file.
 *
 * Debian builds RocksDB with assertions, so misuse ends the server. Hence:
 *   1. an iterator is asked whether it is valid before each step (kv.c stops calling after the end)
 *   2. family handles go before the database, options and cache after it
 *   3. the char ** of an error is NULL before each call
 *
 * All table files are kept open (their index and filter blocks are in the bounded block cache, so
 * an open file costs a descriptor and little memory). With a bounded number, which is usual,
 * RocksDB 7.8 goes wrong when a read from the cache alone, or one that the system refuses, meets a
 * file that is not open:
 *   4. a get answers "found" with an empty value, meaning "may exist". An empty value from the
 * cache is therefore no answer here, in case a file could not be opened after all
 *   5. an iterator takes the range tombstones of the file before twice, and frees them twice
 *      (fixed upstream in 2024, pull request 12805)
 *
 * Deleted ranges. An iterator of 7.8 that looks for range tombstones forgets that one of its files
 * could not be read when it passes a deleted row or the end of a file at that moment; it then walks
 * on without the rows of that file. So:
 *   6. a walk whose range meets no deleted range ignores tombstones altogether. Ranges deleted
 *      since the opening are kept in a list; those in the files at opening are not known, but the
 *      caller may know (kal_kv_range.undeleted)
 *   7. a walk in the cache alone, which meets blocks that cannot be read all the time, and one that
 *      has to be complete, ignore them always; where their range may meet a deleted one they look
 *      up each row instead: a get tells every error
 *   8. other walks over deleted ranges look for tombstones as usual: they go wrong only on a disk
 *      that cannot be read, and looking up each row would cost them ten times their work. So
 *      nothing may be removed, or called a copy, on their word. (Of rows: a table that was never
 *      flushed, and spaces that an older server began to move.)
 *
 * Work on files.
 *   9. an exclusive compaction, which waits for those that RocksDB does by itself, ends the process
 *      (an assertion) when it meets a file that another compaction or the dropping of files has
 *      taken at our request: one of these at a time (files_mutex)
 *
 * The log. Recovery tolerates a torn tail, what a crash in mid-write leaves, and refuses a record
 * whose checksum is wrong; RocksDB's default would cut the log there and go on without a word. A
 * directory that has data files but lost its CURRENT file is refused as well, since RocksDB would
 * start an empty database in it.
 */
#include "store/kv_internal.h"

#include "base/log.h"
#include "base/thread.h"
#include "base/vec.h"

#include <dirent.h>
#include <errno.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    ROWS_PREFIX_BYTES = 14, /* be32 hot_id | be16 shard | be64 user_no */
    BLOOM_BITS_PER_KEY = 10,
    TABLE_FORMAT_VERSION = 5,
    OPEN_FILES_ALL = -1,
    BACKGROUND_JOBS_MAX = 2,
    INFO_LOG_WARN_LEVEL = 2,
    INFO_LOG_FILES = 4,
    DELETED_RANGES_MAX = 128, /* remembered per family; beyond it any row may be a deleted one */
    DELETED_ROWS_MAX = 256,   /* passed by one walk in the cache, which is an event loop's */
    INFO_LOG_BYTES_MAX = 4 << 20,
    /* The record of files and their first and last keys is begun anew after so much. Beginning
     * anew writes all that there are, so what is much smaller than that takes quadratic time; and
     * purge() fills it up to make it forget old keys. Of 100 bytes a file: 80,000 files. */
    MANIFEST_BYTES_MAX = 8 << 20,
    READ_TIER_BLOCK_CACHE = 1,
    /* One family may fill its write buffer a few times while others idle. */
    DB_WRITE_BUFFER_FACTOR = 4,
    WAL_FACTOR = 8, /* of one family's write buffer */
};
#define DEFAULT_BLOCK_CACHE_BYTES  ((size_t)256 << 20)
#define DEFAULT_WRITE_BUFFER_BYTES ((size_t)32 << 20)

/* RocksDB's families are ours after its obligatory "default", which stays empty. */
enum { DEFAULT_FAMILY = KAL_KV_FAMILY_COUNT, HANDLE_COUNT };

typedef struct deleted_range {
    uint8_t *bytes; /* owned, free: lower, then upper */
    size_t lower_len;
    size_t upper_len;
} deleted_range;

/* What invariants 6 to 8 need to know of one family. */
typedef struct deleted_ranges {
    bool anywhere; /* also ranges that are not in the list */
    size_t len;
    deleted_range items[DELETED_RANGES_MAX];
} deleted_ranges;

typedef struct rocks_kv {
    kal_kv base;
    char *path;                                             /* owned, free */
    rocksdb_t *db;                                          /* owned, rocksdb_close */
    rocksdb_column_family_handle_t *families[HANDLE_COUNT]; /* owned, destroyed before db */
    rocksdb_cache_t *cache;                                 /* owned */
    rocksdb_options_t *options;                             /* owned */
    rocksdb_options_t *rows_options;                        /* owned */
    rocksdb_readoptions_t *read;                            /* owned */
    rocksdb_readoptions_t *read_cached;                     /* owned */
    rocksdb_writeoptions_t *write;                          /* owned */
    rocksdb_writeoptions_t *write_synced;                   /* owned */
    pthread_mutex_t files_mutex; /* held by whoever asks RocksDB to rewrite or drop data files */
    pthread_mutex_t deleted_mutex;
    deleted_ranges deleted[KAL_KV_FAMILY_COUNT]; /* under deleted_mutex */
} rocks_kv;

typedef struct rocks_snapshot {
    kal_kv_snapshot base;
    const rocksdb_snapshot_t *snapshot; /* owned, rocksdb_release_snapshot */
    rocksdb_readoptions_t *read;        /* owned */
    rocksdb_readoptions_t *read_cached; /* owned */
    _Atomic unsigned references;        /* its own and those of iterators that look up rows */
} rocks_snapshot;

typedef struct rocks_batch {
    kal_kv_batch base;
    rocksdb_writebatch_t *batch; /* owned */
} rocks_batch;

typedef struct rocks_iter {
    kal_kv_iter base;
    rocksdb_iterator_t *iter;    /* owned */
    rocksdb_readoptions_t *read; /* owned */
    uint8_t *lower;              /* owned, free: both bounds in one piece */
    size_t lower_len;
    kal_kv_family family;
    rocks_snapshot *check; /* owned: one reference; where to look up each row, NULL = nowhere */
    unsigned passed;       /* deleted rows */
    bool cached_only;
    bool started;
    bool reverse;
} rocks_iter;

static rocks_kv *rocks_of(kal_kv *kv)
{
    return (rocks_kv *)kv;
}

/* --- errors ----------------------------------------------------------------------------------- */

static const struct {
    const char *prefix;
    kal_status status;
} STATUS_PREFIXES[] = {
    {"Corruption: ", KAL_CORRUPT},          {"IO error: ", KAL_IO},
    {"Resource busy: ", KAL_BUSY},          {"Result incomplete: ", KAL_BUSY},
    {"Operation timed out: ", KAL_TIMEOUT}, {"Not implemented: ", KAL_UNSUPPORTED},
};

/* The one place where RocksDB's status strings are understood. Takes rocks_error (owned) and
 * returns the status; `doing` is what could not be done: "read", "write". */
static kal_status take_error(const char *doing, const char *path, char *rocks_error, kal_error *err)
{
    if (rocks_error == NULL)
        return KAL_OK;
    kal_status status = KAL_INTERNAL;
    const char *detail = rocks_error;
    for (size_t i = 0; i < KAL_ARRAY_LEN(STATUS_PREFIXES); i++) {
        size_t len = strlen(STATUS_PREFIXES[i].prefix);
        if (strncmp(rocks_error, STATUS_PREFIXES[i].prefix, len) == 0) {
            status = STATUS_PREFIXES[i].status;
            detail = rocks_error + len;
            break;
        }
    }
    kal_error_set(err, status, "cannot %s data directory '%s': %s", doing, path, detail);
    rocksdb_free(rocks_error);
    return status;
}

/* Failures of opening that deserve words of their own. Takes rocks_error as take_error() does. */
static kal_status take_open_error(const char *path, char *rocks_error, kal_error *err)
{
    KAL_ASSERT(rocks_error != NULL);
    kal_status status = KAL_OK;
    if (strstr(rocks_error, "lock hold by current process") != NULL)
        status = kal_error_set(err, KAL_BUSY, "data directory '%s' is already open in this process",
                               path);
    else if (strstr(rocks_error, "While lock file") != NULL &&
             strstr(rocks_error, strerror(EAGAIN)) != NULL)
        status =
            kal_error_set(err, KAL_BUSY, "data directory '%s' is in use by another process", path);
    else if (strstr(rocks_error, "Column families not opened") != NULL)
        status = kal_error_set(err, KAL_UNSUPPORTED,
                               "data directory '%s' was written by a newer version", path);
    if (status == KAL_OK)
        return take_error("open", path, rocks_error, err);
    rocksdb_free(rocks_error);
    return status;
}

/* --- opening and closing ---------------------------------------------------------------------- */

static bool has_suffix(const char *name, const char *suffix)
{
    size_t name_len = strlen(name);
    size_t suffix_len = strlen(suffix);
    return name_len > suffix_len && strcmp(name + name_len - suffix_len, suffix) == 0;
}

/* RocksDB makes CURRENT before any .log or .sst: those without it are a damaged directory. */
static kal_status check_directory(const char *path, kal_error *err)
{
    DIR *dir = opendir(path); /* owned */
    if (dir == NULL) {
        if (errno == ENOENT)
            return KAL_OK;
        return kal_error_set(err, KAL_IO, "cannot open data directory '%s': %s", path,
                             strerror(errno));
    }
    bool has_current = false;
    bool has_data = false;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        has_current |= strcmp(entry->d_name, "CURRENT") == 0;
        has_data |= has_suffix(entry->d_name, ".log") || has_suffix(entry->d_name, ".sst");
    }
    closedir(dir);
    if (has_data && !has_current)
        return kal_error_set(err, KAL_CORRUPT,
                             "data directory '%s' has data files but no file CURRENT", path);
    return KAL_OK;
}

static rocksdb_block_based_table_options_t *table_options(rocksdb_cache_t *cache)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_format_version(table, TABLE_FORMAT_VERSION);
    rocksdb_block_based_options_set_whole_key_filtering(table, 1);
    /* The table takes the policy. */
    rocksdb_block_based_options_set_filter_policy(
        table, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS_PER_KEY));
    rocksdb_block_based_options_set_block_cache(table, cache);
    /* Index and filter blocks count against the cache: memory stays bounded however many files. */
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
    return table;
}

static rocksdb_options_t *family_options(rocksdb_cache_t *cache, size_t write_buffer_bytes)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_compression(options, rocksdb_lz4_compression);
    rocksdb_options_set_write_buffer_size(options, write_buffer_bytes);
    rocksdb_block_based_table_options_t *table = table_options(cache);
    rocksdb_options_set_block_based_table_factory(options, table); /* copies */
    rocksdb_block_based_options_destroy(table);
    return options;
}

static void set_database_options(rocksdb_options_t *options, size_t write_buffer_bytes)
{
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_create_missing_column_families(options, 1);
    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_options_set_max_open_files(options, OPEN_FILES_ALL);
    rocksdb_options_set_max_background_jobs(options, BACKGROUND_JOBS_MAX);
    rocksdb_options_set_db_write_buffer_size(options, write_buffer_bytes * DB_WRITE_BUFFER_FACTOR);
    rocksdb_options_set_max_total_wal_size(options, write_buffer_bytes * WAL_FACTOR);
    rocksdb_options_set_recycle_log_file_num(options, 0); /* purge(): old logs go */
    rocksdb_options_set_max_manifest_file_size(options, MANIFEST_BYTES_MAX);
    rocksdb_options_set_wal_recovery_mode(options,
                                          rocksdb_tolerate_corrupted_tail_records_recovery);
    rocksdb_options_set_info_log_level(options, INFO_LOG_WARN_LEVEL);
    rocksdb_options_set_keep_log_file_num(options, INFO_LOG_FILES);
    rocksdb_options_set_max_log_file_size(options, INFO_LOG_BYTES_MAX);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_stats_persist_period_sec(options, 0);
}

static void make_options(rocks_kv *kv, const kal_kv_options *given)
{
    kal_kv_options sizes = given == NULL ? (kal_kv_options){0} : *given;
    if (sizes.block_cache_bytes == 0)
        sizes.block_cache_bytes = DEFAULT_BLOCK_CACHE_BYTES;
    if (sizes.write_buffer_bytes == 0)
        sizes.write_buffer_bytes = DEFAULT_WRITE_BUFFER_BYTES;

    kv->cache = rocksdb_cache_create_lru(sizes.block_cache_bytes);
    kv->options = family_options(kv->cache, sizes.write_buffer_bytes);
    set_database_options(kv->options, sizes.write_buffer_bytes);
    kv->rows_options = family_options(kv->cache, sizes.write_buffer_bytes);
    rocksdb_options_set_prefix_extractor(
        kv->rows_options, rocksdb_slicetransform_create_fixed_prefix(ROWS_PREFIX_BYTES));

    kv->read = rocksdb_readoptions_create();
    kv->read_cached = rocksdb_readoptions_create();
    rocksdb_readoptions_set_read_tier(kv->read_cached, READ_TIER_BLOCK_CACHE);
    kv->write = rocksdb_writeoptions_create();
    kv->write_synced = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(kv->write_synced, 1);
}

static char *open_database(rocks_kv *kv)
{
    const char *names[HANDLE_COUNT];
    const rocksdb_options_t *options[HANDLE_COUNT];
    for (int i = 0; i < KAL_KV_FAMILY_COUNT; i++) {
        names[i] = kal_kv_family_name((kal_kv_family)i);
        options[i] = i == KAL_KV_ROWS ? kv->rows_options : kv->options;
    }
    names[DEFAULT_FAMILY] = "default";
    options[DEFAULT_FAMILY] = kv->options;
    char *rocks_error = NULL;
    kv->db = rocksdb_open_column_families(kv->options, kv->path, HANDLE_COUNT, names, options,
                                          kv->families, &rocks_error);
    return rocks_error;
}

/* Tombstones that are in the files already: how many is known, where is not. */
static bool files_hold_deleted_ranges(rocks_kv *kv, int family)
{
    static const char label[] = "# range deletions=";
    char *properties = rocksdb_property_value_cf(kv->db, kv->families[family], /* owned */
                                                 "rocksdb.aggregated-table-properties");
    const char *count = properties == NULL ? NULL : strstr(properties, label);
    bool none = count != NULL && count[sizeof label - 1] == '0';
    rocksdb_free(properties);
    return !none;
}

static void init_deleted_ranges(rocks_kv *kv)
{
    for (int i = 0; i < KAL_KV_FAMILY_COUNT; i++)
        kv->deleted[i].anywhere = files_hold_deleted_ranges(kv, i);
}

static void forget_deleted_ranges(deleted_ranges *deleted)
{
    while (deleted->len > 0)
        free(deleted->items[--deleted->len].bytes);
}

/* Frees whatever has been made so far: also the way out of a failed open. */
static void release(rocks_kv *kv)
{
    if (kv->db != NULL) {
        for (int i = 0; i < HANDLE_COUNT; i++)
            rocksdb_column_family_handle_destroy(kv->families[i]);
        rocksdb_close(kv->db);
    }
    rocksdb_writeoptions_destroy(kv->write_synced);
    rocksdb_writeoptions_destroy(kv->write);
    rocksdb_readoptions_destroy(kv->read_cached);
    rocksdb_readoptions_destroy(kv->read);
    rocksdb_options_destroy(kv->rows_options);
    rocksdb_options_destroy(kv->options);
    rocksdb_cache_destroy(kv->cache);
    for (int i = 0; i < KAL_KV_FAMILY_COUNT; i++)
        forget_deleted_ranges(&kv->deleted[i]);
    pthread_mutex_destroy(&kv->files_mutex);
    pthread_mutex_destroy(&kv->deleted_mutex);
    free(kv->path);
    free(kv);
}

static kal_status rocks_sync(kal_kv *kv, kal_error *err)
{
    rocks_kv *rocks = rocks_of(kv);
    char *rocks_error = NULL;
    rocksdb_flush_wal(rocks->db, 1, &rocks_error);
    return take_error("sync", rocks->path, rocks_error, err);
}

static void rocks_close(kal_kv *kv)
{
    /* An orderly end keeps unsynced writes too; one that cannot still closes. */
    kal_error err = KAL_ERROR_INIT;
    if (!atomic_load(&kv->stopped) && rocks_sync(kv, &err) != KAL_OK)
        kal_log_error("store", "%s", err.message);
    release(rocks_of(kv));
}

/* --- reading ---------------------------------------------------------------------------------- */

static kal_status not_in_memory(const rocks_kv *rocks, kal_error *err)
{
    return kal_error_set(err, KAL_BUSY, "cannot read data directory '%s': not in memory",
                         rocks->path);
}

static kal_status rocks_get(kal_kv *kv, const kal_kv_snapshot *snapshot, kal_kv_family family,
                            kal_bytes key, bool cached_only, kal_arena *arena, kal_bytes *value_out,
                            kal_error *err)
{
    rocks_kv *rocks = rocks_of(kv);
    const rocks_snapshot *at = (const rocks_snapshot *)snapshot;
    const rocksdb_readoptions_t *read = cached_only ? rocks->read_cached : rocks->read;
    if (at != NULL)
        read = cached_only ? at->read_cached : at->read;

    char *rocks_error = NULL;
    rocksdb_pinnableslice_t *pinned = /* owned */
        rocksdb_get_pinned_cf(rocks->db, read, rocks->families[family], (const char *)key.ptr,
                              key.len, &rocks_error);
    if (rocks_error != NULL) {
        KAL_ASSERT(pinned == NULL);
        return take_error("read", rocks->path, rocks_error, err);
    }
    if (pinned == NULL)
        return KAL_NOT_FOUND;
    size_t len = 0;
    const char *value = rocksdb_pinnableslice_value(pinned, &len);
    kal_status status = KAL_OK;
    if (cached_only && len == 0) /* invariant 4 */
        status = not_in_memory(rocks, err);
    else if (!kal_arena_try_copy(arena, kal_bytes_of(value, len), value_out))
        status =
            kal_error_set(err, KAL_LIMIT, "a value of %zu bytes exceeds the memory limit", len);
    rocksdb_pinnableslice_destroy(pinned);
    return status;
}

/* --- deleted ranges --------------------------------------------------------------------------- */

static kal_bytes deleted_lower(const deleted_range *range)
{
    return kal_bytes_of(range->bytes, range->lower_len);
}

static kal_bytes deleted_upper(const deleted_range *range)
{
    return kal_bytes_of(range->bytes + range->lower_len, range->upper_len);
}

static void remember_deleted_range(deleted_ranges *deleted, kal_bytes lower, kal_bytes upper)
{
    for (size_t i = 0; i < deleted->len; i++) {
        if (kal_bytes_compare(deleted_lower(&deleted->items[i]), lower) <= 0 &&
            kal_bytes_compare(deleted_upper(&deleted->items[i]), upper) >= 0)
            return;
    }
    if (deleted->len == DELETED_RANGES_MAX) {
        deleted->anywhere = true;
        forget_deleted_ranges(deleted);
        return;
    }
    deleted_range *added = &deleted->items[deleted->len++];
    *added = (deleted_range){.lower_len = lower.len, .upper_len = upper.len};
    added->bytes = kal_kv_alloc(lower.len + upper.len);
    if (lower.len > 0)
        memcpy(added->bytes, lower.ptr, lower.len);
    memcpy(added->bytes + lower.len, upper.ptr, upper.len);
}

/* Before the write, so that no walk sees a deletion which is not in the list. A batch that is not
 * written leaves an entry that does no harm. */
static void note_deleted_range(rocks_kv *kv, kal_kv_family family, kal_bytes lower, kal_bytes upper)
{
    pthread_mutex_lock(&kv->deleted_mutex);
    if (!kv->deleted[family].anywhere)
        remember_deleted_range(&kv->deleted[family], lower, upper);
    pthread_mutex_unlock(&kv->deleted_mutex);
}

static bool may_meet_deleted_range(rocks_kv *kv, const kal_kv_range *range)
{
    pthread_mutex_lock(&kv->deleted_mutex);
    const deleted_ranges *deleted = &kv->deleted[range->family];
    bool meets = deleted->anywhere;
    for (size_t i = 0; i < deleted->len && !meets; i++)
        meets = kal_bytes_compare(range->lower, deleted_upper(&deleted->items[i])) < 0 &&
                (range->upper.len == 0 ||
                 kal_bytes_compare(deleted_lower(&deleted->items[i]), range->upper) < 0);
    pthread_mutex_unlock(&kv->deleted_mutex);
    return meets;
}

/* --- snapshots and walks ---------------------------------------------------------------------- */

static rocks_snapshot *take_snapshot(rocks_kv *rocks)
{
    rocks_snapshot *taken = kal_kv_alloc(sizeof *taken);
    atomic_store(&taken->references, 1);
    taken->snapshot = rocksdb_create_snapshot(rocks->db);
    taken->read = rocksdb_readoptions_create();
    taken->read_cached = rocksdb_readoptions_create();
    rocksdb_readoptions_set_snapshot(taken->read, taken->snapshot);
    rocksdb_readoptions_set_snapshot(taken->read_cached, taken->snapshot);
    rocksdb_readoptions_set_read_tier(taken->read_cached, READ_TIER_BLOCK_CACHE);
    return taken;
}

static void drop_snapshot(rocks_kv *rocks, rocks_snapshot *taken)
{
    if (atomic_fetch_sub(&taken->references, 1) > 1)
        return;
    rocksdb_readoptions_destroy(taken->read_cached);
    rocksdb_readoptions_destroy(taken->read);
    rocksdb_release_snapshot(rocks->db, taken->snapshot);
    free(taken);
}

static kal_kv_snapshot *rocks_snapshot_take(kal_kv *kv)
{
    return &take_snapshot(rocks_of(kv))->base;
}

static void rocks_snapshot_release(kal_kv *kv, kal_kv_snapshot *snapshot)
{
    drop_snapshot(rocks_of(kv), (rocks_snapshot *)snapshot);
}

/* True when every key of the range starts with the first 14 bytes of `lower`, so that the prefix
 * filters of the files may answer: upper has the same prefix, or is the end of that prefix. */
static bool range_has_one_prefix(const kal_kv_range *range)
{
    const uint8_t *lower = range->lower.ptr;
    const uint8_t *upper = range->upper.ptr;
    if (range->lower.len < ROWS_PREFIX_BYTES || range->upper.len == 0)
        return false;
    if (range->upper.len >= ROWS_PREFIX_BYTES && memcmp(lower, upper, ROWS_PREFIX_BYTES) == 0)
        return true;
    size_t len = ROWS_PREFIX_BYTES;
    while (len > 0 && lower[len - 1] == 0xFF)
        len--;
    return len > 0 && range->upper.len == len && memcmp(lower, upper, len - 1) == 0 &&
           upper[len - 1] == lower[len - 1] + 1;
}

/* Where a walk that looks up each row does so: the caller's snapshot, or one of its own. The
 * snapshot may be released before the walk ends, so it is counted. */
static rocks_snapshot *snapshot_to_check(rocks_kv *rocks, const kal_kv_snapshot *snapshot)
{
    rocks_snapshot *at = (rocks_snapshot *)(uintptr_t)snapshot;
    if (at == NULL)
        return take_snapshot(rocks);
    atomic_fetch_add(&at->references, 1);
    return at;
}

static rocksdb_readoptions_t *iter_read_options(const rocks_iter *iter,
                                                const kal_kv_snapshot *snapshot,
                                                const kal_kv_range *range, bool ignore_tombstones)
{
    rocksdb_readoptions_t *read = rocksdb_readoptions_create();
    if (snapshot != NULL)
        rocksdb_readoptions_set_snapshot(read, ((const rocks_snapshot *)snapshot)->snapshot);
    rocksdb_readoptions_set_ignore_range_deletions(read, ignore_tombstones);
    if (range->cached_only)
        rocksdb_readoptions_set_read_tier(read, READ_TIER_BLOCK_CACHE);
    rocksdb_readoptions_set_fill_cache(read, !range->passing);
    /* RocksDB keeps pointers to the bounds, so they live in the iterator. */
    const char *bounds = (const char *)iter->lower;
    if (range->lower.len > 0)
        rocksdb_readoptions_set_iterate_lower_bound(read, bounds, range->lower.len);
    if (range->upper.len > 0)
        rocksdb_readoptions_set_iterate_upper_bound(read, bounds + range->lower.len,
                                                    range->upper.len);
    /* A walk downward starts at upper, whose prefix may be another one. */
    bool prefix_mode =
        range->family == KAL_KV_ROWS && !range->reverse && range_has_one_prefix(range);
    rocksdb_readoptions_set_total_order_seek(read, !prefix_mode);
    return read;
}

static kal_status rocks_iter_open(kal_kv *kv, const kal_kv_snapshot *snapshot,
                                  const kal_kv_range *range, kal_kv_iter **iter_out, kal_error *err)
{
    (void)err;
    rocks_kv *rocks = rocks_of(kv);
    rocks_iter *iter = kal_kv_alloc(sizeof *iter);
    iter->reverse = range->reverse;
    iter->lower_len = range->lower.len;
    iter->lower = kal_kv_alloc(range->lower.len + range->upper.len + 1);
    if (range->lower.len > 0)
        memcpy(iter->lower, range->lower.ptr, range->lower.len);
    if (range->upper.len > 0)
        memcpy(iter->lower + range->lower.len, range->upper.ptr, range->upper.len);
    iter->family = range->family;
    iter->cached_only = range->cached_only;
    bool meets_deleted = !range->undeleted && may_meet_deleted_range(rocks, range);
    bool looks_up = meets_deleted && (range->cached_only || range->complete);
    if (looks_up) {
        iter->check = snapshot_to_check(rocks, snapshot);
        snapshot = &iter->check->base;
    }
    iter->read = iter_read_options(iter, snapshot, range, !meets_deleted || looks_up);
    iter->iter = rocksdb_create_iterator_cf(rocks->db, iter->read, rocks->families[range->family]);
    *iter_out = &iter->base;
    return KAL_OK;
}

/* Only called while the iterator is at an entry or has not started. */
static void iter_step(rocks_iter *iter)
{
    if (iter->started) {
        KAL_ASSERT(rocksdb_iter_valid(iter->iter));
        if (iter->reverse)
            rocksdb_iter_prev(iter->iter);
        else
            rocksdb_iter_next(iter->iter);
        return;
    }
    iter->started = true;
    if (iter->reverse)
        rocksdb_iter_seek_to_last(iter->iter); /* the last entry below the upper bound */
    else
        rocksdb_iter_seek(iter->iter, (const char *)iter->lower, iter->lower_len);
}

/* KAL_OK when the row the walk stands on was not deleted by a range (invariant 7), KAL_NOT_FOUND,
 * or why that is not known. */
static kal_status check_row(rocks_kv *rocks, rocks_iter *iter, kal_error *err)
{
    size_t len = 0;
    const char *key = rocksdb_iter_key(iter->iter, &len);
    const rocksdb_readoptions_t *read =
        iter->cached_only ? iter->check->read_cached : iter->check->read;
    char *rocks_error = NULL;
    rocksdb_pinnableslice_t *pinned = /* owned */
        rocksdb_get_pinned_cf(rocks->db, read, rocks->families[iter->family], key, len,
                              &rocks_error);
    if (rocks_error != NULL)
        return take_error("read", rocks->path, rocks_error, err);
    if (pinned == NULL) {
        bool too_many = iter->cached_only && ++iter->passed > DELETED_ROWS_MAX;
        return too_many ? not_in_memory(rocks, err) : KAL_NOT_FOUND;
    }
    (void)rocksdb_pinnableslice_value(pinned, &len);
    rocksdb_pinnableslice_destroy(pinned);
    bool unknown = iter->cached_only && len == 0; /* invariant 4 */
    return unknown ? not_in_memory(rocks, err) : KAL_OK;
}

/* To the next row that is there. */
static kal_status advance(rocks_kv *rocks, rocks_iter *iter, kal_error *err)
{
    kal_status status;
    do {
        iter_step(iter);
        if (!rocksdb_iter_valid(iter->iter)) {
            char *rocks_error = NULL;
            rocksdb_iter_get_error(iter->iter, &rocks_error);
            if (rocks_error == NULL)
                return KAL_END;
            return take_error("read", rocks->path, rocks_error, err);
        }
        status = iter->check == NULL ? KAL_OK : check_row(rocks, iter, err);
    } while (status == KAL_NOT_FOUND);
    return status;
}

static kal_status rocks_iter_next(kal_kv_iter *base, kal_bytes *key_out, kal_bytes *value_out,
                                  kal_error *err)
{
    rocks_iter *iter = (rocks_iter *)base;
    KAL_TRY(advance(rocks_of(base->kv), iter, err));
    size_t len = 0;
    const char *key = rocksdb_iter_key(iter->iter, &len);
    *key_out = kal_bytes_of(key, len);
    const char *value = rocksdb_iter_value(iter->iter, &len);
    *value_out = kal_bytes_of(value, len);
    return KAL_OK;
}

static void rocks_iter_close(kal_kv_iter *base)
{
    rocks_iter *iter = (rocks_iter *)base;
    rocksdb_iter_destroy(iter->iter);
    rocksdb_readoptions_destroy(iter->read);
    if (iter->check != NULL)
        drop_snapshot(rocks_of(base->kv), iter->check);
    free(iter->lower);
    free(iter);
}

static kal_status rocks_approximate_bytes(kal_kv *kv, kal_kv_family family, kal_bytes lower,
                                          kal_bytes upper, uint64_t *bytes_out, kal_error *err)
{
    rocks_kv *rocks = rocks_of(kv);
    const char *lower_key = (const char *)lower.ptr;
    const char *upper_key = (const char *)upper.ptr;
    char *rocks_error = NULL;
    rocksdb_approximate_sizes_cf(rocks->db, rocks->families[family], 1, &lower_key, &lower.len,
                                 &upper_key, &upper.len, bytes_out, &rocks_error);
    return take_error("read", rocks->path, rocks_error, err);
}

/* It says nothing of errors: those of writing stop the writes that follow. */
static void rocks_compact(kal_kv *kv, kal_kv_family family, kal_bytes lower, kal_bytes upper)
{
    rocks_kv *rocks = rocks_of(kv);
    pthread_mutex_lock(&rocks->files_mutex);
    rocksdb_compact_range_cf(rocks->db, rocks->families[family], (const char *)lower.ptr, lower.len,
                             (const char *)upper.ptr, upper.len);
    pthread_mutex_unlock(&rocks->files_mutex);
}

/* --- writing ---------------------------------------------------------------------------------- */

static rocksdb_writebatch_t *batch_of(const kal_kv_batch *batch)
{
    return ((const rocks_batch *)batch)->batch;
}

static rocksdb_column_family_handle_t *family_of(const kal_kv_batch *batch, kal_kv_family family)
{
    return rocks_of(batch->kv)->families[family];
}

static kal_kv_batch *rocks_batch_open(kal_kv *kv)
{
    (void)kv;
    rocks_batch *batch = kal_kv_alloc(sizeof *batch);
    batch->batch = rocksdb_writebatch_create();
    return &batch->base;
}

static void rocks_batch_close(kal_kv_batch *batch)
{
    rocksdb_writebatch_destroy(batch_of(batch));
    free(batch);
}

static void rocks_batch_clear(kal_kv_batch *batch)
{
    rocksdb_writebatch_clear(batch_of(batch));
}

static void rocks_batch_put(kal_kv_batch *batch, kal_kv_family family, kal_bytes key,
                            kal_bytes value)
{
    rocksdb_writebatch_put_cf(batch_of(batch), family_of(batch, family), (const char *)key.ptr,
                              key.len, (const char *)value.ptr, value.len);
}

static void rocks_batch_delete(kal_kv_batch *batch, kal_kv_family family, kal_bytes key)
{
    rocksdb_writebatch_delete_cf(batch_of(batch), family_of(batch, family), (const char *)key.ptr,
                                 key.len);
}

static void rocks_batch_delete_range(kal_kv_batch *batch, kal_kv_family family, kal_bytes lower,
                                     kal_bytes upper)
{
    note_deleted_range(rocks_of(batch->kv), family, lower, upper);
    rocksdb_writebatch_delete_range_cf(batch_of(batch), family_of(batch, family),
                                       (const char *)lower.ptr, lower.len, (const char *)upper.ptr,
                                       upper.len);
}

static void rocks_batch_save(kal_kv_batch *batch)
{
    rocksdb_writebatch_set_save_point(batch_of(batch));
}

/* Both calls below fail only without a save point, which kv.c has ruled out. */
static void rocks_batch_rollback(kal_kv_batch *batch)
{
    char *rocks_error = NULL;
    rocksdb_writebatch_rollback_to_save_point(batch_of(batch), &rocks_error);
    KAL_ASSERT(rocks_error == NULL);
}

static void rocks_batch_commit_save(kal_kv_batch *batch)
{
    char *rocks_error = NULL;
    rocksdb_writebatch_pop_save_point(batch_of(batch), &rocks_error);
    KAL_ASSERT(rocks_error == NULL);
}

static size_t rocks_batch_bytes(const kal_kv_batch *batch)
{
    size_t bytes = 0;
    (void)rocksdb_writebatch_data(batch_of(batch), &bytes);
    return bytes;
}

static size_t rocks_batch_count(const kal_kv_batch *batch)
{
    return (size_t)rocksdb_writebatch_count(batch_of(batch));
}

static kal_status rocks_write(kal_kv *kv, kal_kv_batch *batch, bool sync, kal_error *err)
{
    rocks_kv *rocks = rocks_of(kv);
    char *rocks_error = NULL;
    rocksdb_write(rocks->db, sync ? rocks->write_synced : rocks->write, batch_of(batch),
                  &rocks_error);
    return take_error("write", rocks->path, rocks_error, err);
}

static kal_status rocks_checkpoint(kal_kv *kv, const char *directory, kal_error *err)
{
    enum { FLUSH_ALWAYS = 0 };
    rocks_kv *rocks = rocks_of(kv);
    char *rocks_error = NULL;
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(rocks->db, &rocks_error);

    if (checkpoint == NULL)
        return take_error("copy", rocks->path, rocks_error, err);
    rocksdb_checkpoint_create(checkpoint, directory, FLUSH_ALWAYS, &rocks_error);
    rocksdb_checkpoint_object_destroy(checkpoint);
    return take_error("copy", rocks->path, rocks_error, err);
}

/* Ignores snapshots and leaves no trace in the log: see kv.h for when it may be called. */
static kal_status rocks_drop_files(kal_kv *kv, kal_kv_family family, kal_bytes lower,
                                   kal_bytes upper, kal_error *err)
{
    rocks_kv *rocks = rocks_of(kv);
    char *rocks_error = NULL;
    pthread_mutex_lock(&rocks->files_mutex);
    rocksdb_delete_file_in_range_cf(rocks->db, rocks->families[family], (const char *)lower.ptr,
                                    lower.len, (const char *)upper.ptr, upper.len, &rocks_error);
    pthread_mutex_unlock(&rocks->files_mutex);
    return take_error("write", rocks->path, rocks_error, err);
}

/* --- purging ---------------------------------------------------------------------------------- */

/*
 * What was removed is still in old logs, in data files below the removal, and in the MANIFEST,
 * which records the first and last key of each data file. So: switch the log, flush all families,
 * rewrite the data files of the wanted ones, begin a new MANIFEST, and wait until all files are
 * gone that were there before. An old file that a reader still has open goes when he closes it.
 */
enum {
    PURGE_ROUNDS_MAX = 5,
    PURGE_POLL_MS = 20,
    BOTTOMMOST_FORCE = 2,
    FILLING_KEY_BYTES = MANIFEST_BYTES_MAX / 8,
    FILLING_ROUNDS_MAX = 8, /* each writes such a key four times: twice as much as is needed */
};

typedef KAL_VEC(uint64_t) file_numbers; /* of .sst, .log and MANIFEST files: unique among all */

static bool has_number(const file_numbers *numbers, uint64_t number)
{
    for (size_t i = 0; i < numbers->len; i++) {
        if (numbers->items[i] == number)
            return true;
    }
    return false;
}

/* 0: not a file that has a number. */
static uint64_t file_number(const char *name)
{
    if (strncmp(name, "MANIFEST-", 9) == 0)
        name += 9;
    else if (!has_suffix(name, ".sst") && !has_suffix(name, ".log"))
        return 0;
    return strtoull(name, NULL, 10);
}

static kal_status list_files(const rocks_kv *rocks, file_numbers *out, kal_error *err)
{
    DIR *dir = opendir(rocks->path); /* owned */
    if (dir == NULL)
        return kal_error_set(err, KAL_IO, "cannot open data directory '%s': %s", rocks->path,
                             strerror(errno));
    out->len = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        uint64_t number = file_number(entry->d_name);
        struct stat st;
        /* An empty log holds nothing, and one that a crash left may stay until the next opening. */
        if (number > 0 && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 && st.st_size > 0)
            kal_vec_push(out, number);
    }
    closedir(dir);
    return KAL_OK;
}

static kal_status purge_wait(kal_kv_check check, void *context, kal_error *err)
{
    KAL_TRY(check(context, err));
    kal_thread_pause(PURGE_POLL_MS);
    return KAL_OK;
}

/* An old snapshot would keep in the new files what was removed since. */
static kal_status wait_for_snapshots(rocks_kv *rocks, kal_kv_check check, void *context,
                                     kal_error *err)
{
    uint64_t now = rocksdb_get_latest_sequence_number(rocks->db);
    uint64_t oldest = 0;
    for (;;) {
        if (rocksdb_property_int_cf(rocks->db, rocks->families[DEFAULT_FAMILY],
                                    "rocksdb.oldest-snapshot-sequence", &oldest) != 0)
            return kal_error_set(err, KAL_INTERNAL, "RocksDB does not tell its oldest snapshot");
        if (oldest == 0 || oldest >= now)
            return KAL_OK;
        KAL_TRY(purge_wait(check, context, err));
    }
}

static kal_status flush_family(rocks_kv *rocks, int family, kal_error *err)
{
    char *rocks_error = NULL;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create(); /* waits */
    rocksdb_flush_cf(rocks->db, options, rocks->families[family], &rocks_error);
    rocksdb_flushoptions_destroy(options);
    return take_error("write", rocks->path, rocks_error, err);
}

/* An entry of the family that is otherwise empty, and its data file: so the log is switched, and
 * the MANIFEST is written. */
static kal_status flush_something(rocks_kv *rocks, kal_error *err)
{
    char *rocks_error = NULL;
    rocksdb_put_cf(rocks->db, rocks->write, rocks->families[DEFAULT_FAMILY], "purge", 5, "", 0,
                   &rocks_error);
    KAL_TRY(take_error("write", rocks->path, rocks_error, err));
    return flush_family(rocks, DEFAULT_FAMILY, err);
}

static bool is_wanted(unsigned families, int family)
{
    return family == DEFAULT_FAMILY || (families >> family & 1) != 0;
}

/* It says nothing of errors: the caller looks whether the files are gone. */
static void rewrite_family(rocks_kv *rocks, int family)
{
    rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_exclusive_manual_compaction(options, 1);
    rocksdb_compactoptions_set_bottommost_level_compaction(options, BOTTOMMOST_FORCE);
    pthread_mutex_lock(&rocks->files_mutex);
    rocksdb_compact_range_cf_opt(rocks->db, rocks->families[family], options, NULL, 0, NULL, 0);
    pthread_mutex_unlock(&rocks->files_mutex);
    rocksdb_compactoptions_destroy(options);
}

static kal_status current_manifest(const rocks_kv *rocks, uint64_t *number_out, kal_error *err)
{
    char path[4096];
    char name[64] = {0};
    int len = snprintf(path, sizeof path, "%s/CURRENT", rocks->path);
    FILE *file = len < (int)sizeof path ? fopen(path, "re") : NULL; /* owned */
    bool read = file != NULL && fgets(name, sizeof name, file) != NULL;

    if (file != NULL)
        fclose(file);
    name[strcspn(name, "\n")] = 0;
    *number_out = read ? file_number(name) : 0;
    if (*number_out > 0)
        return KAL_OK;
    return kal_error_set(err, KAL_IO, "cannot read '%s'", path);
}

/* Grows the MANIFEST by a data file's first and last key that are long, and takes the file away
 * again. What a crash leaves of it is a file that the next purge takes away. */
static kal_status fill_manifest(rocks_kv *rocks, const char *key, kal_error *err)
{
    char *rocks_error = NULL;

    rocksdb_put_cf(rocks->db, rocks->write, rocks->families[DEFAULT_FAMILY], key, FILLING_KEY_BYTES,
                   "", 0, &rocks_error);
    KAL_TRY(take_error("write", rocks->path, rocks_error, err));
    KAL_TRY(flush_family(rocks, DEFAULT_FAMILY, err));
    rocksdb_delete_cf(rocks->db, rocks->write, rocks->families[DEFAULT_FAMILY], key,
                      FILLING_KEY_BYTES, &rocks_error);
    KAL_TRY(take_error("write", rocks->path, rocks_error, err));
    KAL_TRY(flush_family(rocks, DEFAULT_FAMILY, err));
    rewrite_family(rocks, DEFAULT_FAMILY);
    return KAL_OK;
}

/* RocksDB 7.8 begins a new MANIFEST when it is opened and when the old one is long enough; the
 * length cannot be changed while it is open. */
static kal_status roll_manifest(rocks_kv *rocks, kal_error *err)
{
    char *key = malloc(FILLING_KEY_BYTES); /* owned */
    uint64_t before = 0;
    uint64_t now = 0;

    if (key == NULL)
        kal_die("out of memory: purge");
    memset(key, 'p', FILLING_KEY_BYTES);
    kal_status status = current_manifest(rocks, &before, err);
    now = before;
    for (int i = 0; status == KAL_OK && now == before && i < FILLING_ROUNDS_MAX; i++) {
        status = fill_manifest(rocks, key, err);
        if (status == KAL_OK)
            status = current_manifest(rocks, &now, err);
    }
    free(key);
    if (status == KAL_OK && now == before)
        return kal_error_set(err, KAL_BUSY, "the record of data files cannot be begun anew");
    return status;
}

static int family_by_name(const char *name)
{
    for (int i = 0; i < KAL_KV_FAMILY_COUNT; i++) {
        if (strcmp(name, kal_kv_family_name((kal_kv_family)i)) == 0)
            return i;
    }
    return DEFAULT_FAMILY;
}

/* Takes data files off the list that belong to families that are not wanted; tells whether one of
 * the others still belongs to its family. */
static bool sort_out(rocks_kv *rocks, unsigned families, file_numbers *before)
{
    const rocksdb_livefiles_t *files = rocksdb_livefiles(rocks->db); /* owned */
    bool found = false;

    for (int i = 0; i < rocksdb_livefiles_count(files); i++) {
        uint64_t number = file_number(rocksdb_livefiles_name(files, i) + 1); /* behind a slash */
        int family = family_by_name(rocksdb_livefiles_column_family_name(files, i));
        if (!has_number(before, number))
            continue;
        found = found || is_wanted(families, family);
        for (size_t k = 0; k < before->len && !is_wanted(families, family); k++) {
            if (before->items[k] == number)
                before->items[k] = 0;
        }
    }
    rocksdb_livefiles_destroy(files);
    return found;
}

/* RocksDB forgets a log that it read when it was opened, and removes it at the next opening. What
 * ends a time without removals looks through the directory. */
static kal_status remove_forgotten(const rocks_kv *rocks, kal_error *err)
{
    char *rocks_error = NULL; /* owned, rocksdb_free() */

    rocksdb_disable_file_deletions(rocks->db, &rocks_error);
    KAL_TRY(take_error("tidy", rocks->path, rocks_error, err));
    rocksdb_enable_file_deletions(rocks->db, 0, &rocks_error);
    return take_error("tidy", rocks->path, rocks_error, err);
}

static kal_status wait_for_files(const rocks_kv *rocks, const file_numbers *before,
                                 kal_kv_check check, void *context, kal_error *err)
{
    file_numbers now = {0}; /* owned */
    bool gone = false;

    kal_status status = list_files(rocks, &now, err);
    while (status == KAL_OK && !gone) {
        gone = true;
        for (size_t i = 0; i < now.len; i++)
            gone = gone && !has_number(before, now.items[i]);
        if (!gone)
            status = remove_forgotten(rocks, err);
        if (!gone && status == KAL_OK)
            status = purge_wait(check, context, err);
        if (!gone && status == KAL_OK)
            status = list_files(rocks, &now, err);
    }
    kal_vec_release(&now);
    return status;
}

static kal_status rewrite_families(rocks_kv *rocks, unsigned families, file_numbers *before,
                                   kal_kv_check check, void *context, kal_error *err)
{
    for (int round = 0; round < PURGE_ROUNDS_MAX; round++) {
        for (int i = 0; i < HANDLE_COUNT; i++) {
            KAL_TRY(check(context, err));
            if (is_wanted(families, i))
                rewrite_family(rocks, i);
        }
        if (!sort_out(rocks, families, before))
            return KAL_OK;
    }
    return kal_error_set(err, KAL_BUSY, "data files of '%s' cannot be rewritten now", rocks->path);
}

static kal_status rocks_purge(kal_kv *kv, unsigned families, kal_kv_check check, void *context,
                              kal_error *err)
{
    rocks_kv *rocks = rocks_of(kv);
    file_numbers before = {0}; /* owned */

    KAL_TRY(wait_for_snapshots(rocks, check, context, err));
    kal_status status = list_files(rocks, &before, err);
    if (status == KAL_OK)
        status = flush_something(rocks, err);
    for (int i = 0; i < KAL_KV_FAMILY_COUNT && status == KAL_OK; i++)
        status = flush_family(rocks, i, err);
    if (status == KAL_OK)
        status = rewrite_families(rocks, families, &before, check, context, err);
    if (status == KAL_OK)
        status = roll_manifest(rocks, err);
    if (status == KAL_OK)
        status = wait_for_files(rocks, &before, check, context, err);
    kal_vec_release(&before);
    return status;
}

/* --- loads ------------------------------------------------------------------------------------ */

typedef struct rocks_load {
    kal_kv_load base;
    char *path;                      /* owned, free */
    rocksdb_envoptions_t *env;       /* owned */
    rocksdb_sstfilewriter_t *writer; /* owned */
} rocks_load;

static void rocks_load_close(kal_kv_load *base)
{
    rocks_load *load = (rocks_load *)base;
    rocksdb_sstfilewriter_destroy(load->writer);
    rocksdb_envoptions_destroy(load->env);
    (void)remove(load->path); /* gone already when it became the store's */
    free(load->path);
    free(load);
}

static kal_status rocks_load_open(kal_kv *kv, kal_kv_family family, const char *path,
                                  kal_kv_load **load_out, kal_error *err)
{
    rocks_kv *rocks = rocks_of(kv);
    rocks_load *load = kal_kv_alloc(sizeof *load);
    char *rocks_error = NULL;

    load->path = strdup(path);
    if (load->path == NULL)
        kal_die("out of memory");
    load->env = rocksdb_envoptions_create();
    load->writer = rocksdb_sstfilewriter_create(
        load->env, family == KAL_KV_ROWS ? rocks->rows_options : rocks->options);
    rocksdb_sstfilewriter_open(load->writer, path, &rocks_error);
    if (rocks_error != NULL) {
        rocks_load_close(&load->base);
        return take_error("write", path, rocks_error, err);
    }
    *load_out = &load->base;
    return KAL_OK;
}

static kal_status rocks_load_add(kal_kv_load *base, kal_bytes key, kal_bytes value, kal_error *err)
{
    rocks_load *load = (rocks_load *)base;
    char *rocks_error = NULL;
    rocksdb_sstfilewriter_put(load->writer, (const char *)key.ptr, key.len, (const char *)value.ptr,
                              value.len, &rocks_error);
    return take_error("write", load->path, rocks_error, err);
}

static kal_status rocks_load_finish(kal_kv_load *base, kal_error *err)
{
    rocks_load *load = (rocks_load *)base;
    rocks_kv *rocks = rocks_of(base->kv->bottom);
    const char *path = load->path;
    char *rocks_error = NULL;

    rocksdb_sstfilewriter_finish(load->writer, &rocks_error);
    if (rocks_error != NULL)
        return take_error("write", path, rocks_error, err);
    rocksdb_ingestexternalfileoptions_t *options = rocksdb_ingestexternalfileoptions_create();
    rocksdb_ingestexternalfileoptions_set_move_files(options, 1);
    rocksdb_ingest_external_file_cf(rocks->db, rocks->families[base->family], &path, 1, options,
                                    &rocks_error);
    rocksdb_ingestexternalfileoptions_destroy(options);
    return take_error("write", rocks->path, rocks_error, err);
}

static const kal_kv_ops ROCKS_OPS = {
    .close = rocks_close,
    .get = rocks_get,
    .iter_open = rocks_iter_open,
    .iter_next = rocks_iter_next,
    .iter_close = rocks_iter_close,
    .approximate_bytes = rocks_approximate_bytes,
    .compact = rocks_compact,
    .purge = rocks_purge,
    .write = rocks_write,
    .sync = rocks_sync,
    .checkpoint = rocks_checkpoint,
    .drop_files = rocks_drop_files,
    .load_open = rocks_load_open,
    .load_add = rocks_load_add,
    .load_finish = rocks_load_finish,
    .load_close = rocks_load_close,
    .snapshot_take = rocks_snapshot_take,
    .snapshot_release = rocks_snapshot_release,
    .batch_open = rocks_batch_open,
    .batch_close = rocks_batch_close,
    .batch_clear = rocks_batch_clear,
    .batch_put = rocks_batch_put,
    .batch_delete = rocks_batch_delete,
    .batch_delete_range = rocks_batch_delete_range,
    .batch_save = rocks_batch_save,
    .batch_rollback = rocks_batch_rollback,
    .batch_commit_save = rocks_batch_commit_save,
    .batch_bytes = rocks_batch_bytes,
    .batch_count = rocks_batch_count,
};

kal_status kal_kv_open_rocks(const char *path, const kal_kv_options *options, kal_kv **kv_out,
                             kal_error *err)
{
    *kv_out = NULL;
    KAL_TRY(check_directory(path, err));
    rocks_kv *kv = kal_kv_alloc(sizeof *kv);
    kv->path = strdup(path);
    if (kv->path == NULL)
        kal_die("out of memory");
    pthread_mutex_init(&kv->files_mutex, NULL);
    pthread_mutex_init(&kv->deleted_mutex, NULL);
    make_options(kv, options);
    char *rocks_error = open_database(kv);
    if (rocks_error != NULL) {
        KAL_ASSERT(kv->db == NULL);
        kal_status status = take_open_error(path, rocks_error, err);
        release(kv);
        return status;
    }
    init_deleted_ranges(kv);
    kal_kv_init(&kv->base, &ROCKS_OPS, NULL);
    *kv_out = &kv->base;
    return KAL_OK;
}
