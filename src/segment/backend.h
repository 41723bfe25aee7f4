/*
 * backend.h: where segments lie and in which form: Parquet files in object stores, or tables in
 * memory for simulations.
 *
 * A segment is written once, as a whole, under a name that was never used before, and read until it
 * is removed. What write has answered KAL_OK for is there after a power cut; in a group, once the
 * group was synced.
 *
 * Threads: any, also at the same time.
 */
#ifndef KAL_SEGMENT_BACKEND_H
#define KAL_SEGMENT_BACKEND_H

#include "engine/parquet.h"
#include "storage/object_cache.h"

typedef struct kal_segment_place {
    kal_bytes storage_id;
    kal_bytes object; /* its key in the storage */
} kal_segment_place;

typedef struct kal_segment_written {
    uint64_t row_count;
    uint64_t size_bytes;
    uint64_t checksum; /* 0: not known, nothing is compared */
} kal_segment_written;

typedef struct kal_segment_backend kal_segment_backend;
typedef struct kal_segment_reader kal_segment_reader; /* a backend's own */

typedef struct kal_segment_group kal_segment_group; /* a backend's own */

typedef struct kal_segment_backend_ops {
    void (*close)(kal_segment_backend *backend);
    /* Segments of one storage that are written, or removed, by one thread one after the other and
     * are durable together, when group_sync() has answered KAL_OK. */
    kal_status (*group_open)(kal_segment_backend *backend, kal_bytes storage_id,
                             kal_segment_group **group_out, kal_error *err);
    kal_status (*group_sync)(kal_segment_group *group, kal_error *err);
    void (*group_close)(kal_segment_group *group); /* NULL is allowed */
    /* group NULL: durable by itself. args->path is not used. After a failure something may be
     * there: remove() it. */
    kal_status (*write)(kal_segment_backend *backend, kal_segment_group *group,
                        const kal_segment_place *place, const kal_parquet_write_args *args,
                        const kal_parquet_source *source, kal_segment_written *out, kal_error *err);
    /* args->path is not used; expected is what write answered: KAL_CORRUPT when it is something
     * else, by the name of the object. */
    kal_status (*open)(kal_segment_backend *backend, const kal_segment_place *place,
                       const kal_segment_written *expected, const kal_parquet_scan_args *args,
                       kal_segment_reader **reader_out, kal_error *err);
    kal_status (*next)(kal_segment_reader *reader, size_t rows_max, kal_value *values,
                       uint64_t *row_numbers_out, size_t *rows_out, kal_error *err);
    /* NULL, or the scan of the Parquet file behind the reader, to be read by chunks instead. */
    kal_parquet_scan *(*parquet_scan)(kal_segment_reader *reader);
    void (*reader_close)(kal_segment_reader *reader); /* NULL is allowed */
    /* NULL, or: where the segment is as a file (PATH_MAX bytes), found to be whole, and what keeps
     * it there: NULL or to be released. poll may end the wait for a far one. KAL_UNSUPPORTED: it
     * should not be a file here now: too much of the cache is in use. */
    kal_status (*local_file)(kal_segment_backend *backend, const kal_segment_place *place,
                             const kal_segment_written *expected, const kal_object_poll *poll,
                             char *path_out, kal_cached_object **pin_out, kal_error *err);
    /* Removing what is not there is KAL_OK, and makes that durable likewise. group NULL: durable by
     * itself. */
    kal_status (*remove)(kal_segment_backend *backend, kal_segment_group *group,
                         const kal_segment_place *place, kal_error *err);
} kal_segment_backend_ops;

/* A backend begins with this. */
struct kal_segment_backend {
    const kal_segment_backend_ops *ops;
};
/* A group begins with this. */
struct kal_segment_group {
    kal_segment_backend *backend;
};
/* A reader begins with this. */
struct kal_segment_reader {
    kal_segment_backend *backend;
};

/* Opens the store of a storage; the caller closes it. */
typedef kal_status (*kal_segment_open_store)(void *context, kal_bytes storage_id,
                                             kal_object_store **store_out, kal_error *err);
/* Segments as Parquet files in the objects of storages. All are borrowed; scratch_dir: where a file
 * lies while it is made; cache: for objects that are no files of this machine, on scratch_dir's
 * file system. */
kal_segment_backend *kal_segment_backend_open_parquet(kal_parquet *parquet, const char *scratch_dir,
                                                      kal_object_cache *cache,
                                                      kal_segment_open_store open_store,
                                                      void *context);
/* KAL_CORRUPT: the file in this place is whole no more, or another one, by the segment's name. */
kal_status kal_segment_damaged(const kal_segment_place *place, kal_error *err);
/* Segments in memory. Each write, open and remove fails with KAL_IO in fail_per_1000 of 1000 cases,
 * by the seed; a write or removal that fails was carried out, in part or not at all. */
kal_segment_backend *kal_segment_backend_open_mem(uint64_t seed, unsigned fail_per_1000);
/* Of what was written and removed without group_sync() any part is there then. Nothing reads or
 * writes meanwhile. Memory only, as the next one. */
void kal_segment_backend_mem_lose_power(kal_segment_backend *backend);
/* How many segments there are. */
size_t kal_segment_backend_mem_count(kal_segment_backend *backend);
void kal_segment_backend_close(kal_segment_backend *backend); /* NULL is allowed */

#endif
