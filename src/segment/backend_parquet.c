/*
 * backend_parquet.c: segments as Parquet files in the objects of storages.
 *
 * A file is made in the scratch directory and put into its storage as a whole, which is durable. It
 * has a checksum inside (engine/parquet.h); what is compared here is that it is the file that was
 * written under this name: its size.
 */
#include "base/assert.h"
#include "segment/backend.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct parquet_backend {
    kal_segment_backend base;
    kal_parquet *parquet;    /* borrowed */
    const char *scratch_dir; /* borrowed */
    kal_segment_open_store open_store;
    void *context;
} parquet_backend;

typedef struct parquet_reader {
    kal_segment_reader base;
    kal_parquet_scan *scan; /* owned */
    char path[PATH_MAX];
} parquet_reader;

/* ---- writing ---- */

static kal_status scratch_path(const parquet_backend *b, const kal_segment_place *place,
                               char path[PATH_MAX], kal_error *err)
{
    size_t slash = place->object.len;
    while (slash > 0 && place->object.ptr[slash - 1] != '/')
        slash--;
    int len = snprintf(path, PATH_MAX, "%s/%.*s", b->scratch_dir, (int)(place->object.len - slash),
                       (const char *)place->object.ptr + slash);
    if (len < 0 || len >= PATH_MAX)
        return kal_error_set(err, KAL_INVALID, "the data directory's path is too long");
    return KAL_OK;
}

static kal_status put(const parquet_backend *b, const kal_segment_place *place, const char *path,
                      uint64_t *size_out, kal_error *err)
{
    kal_object_store *store = NULL; /* owned */
    struct stat info;

    if (stat(path, &info) != 0)
        return kal_error_set(err, KAL_IO, "cannot look at '%s': %s", path, strerror(errno));
    *size_out = (uint64_t)info.st_size;
    KAL_TRY(b->open_store(b->context, place->storage_id, &store, err));
    kal_status status = kal_object_put_file(store, place->object, path, err);
    kal_object_store_close(store);
    return status;
}

static kal_status parquet_write(kal_segment_backend *backend, const kal_segment_place *place,
                                const kal_parquet_write_args *args,
                                const kal_parquet_source *source, kal_segment_written *out,
                                kal_error *err)
{
    const parquet_backend *b = (const parquet_backend *)backend;
    kal_parquet_write_args here = *args;
    char path[PATH_MAX];

    KAL_TRY(scratch_path(b, place, path, err));
    here.path = path;
    kal_status status = kal_parquet_write(b->parquet, &here, source, &out->row_count, err);
    if (status == KAL_OK)
        status = put(b, place, path, &out->size_bytes, err);
    if (status != KAL_EXISTS)
        (void)unlink(path);
    return status;
}

/* ---- reading ---- */

static kal_status check_file(const kal_segment_place *place, const kal_segment_written *expected,
                             const char *path, kal_error *err)
{
    struct stat info;

    if (stat(path, &info) != 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? kal_error_set(err, KAL_CORRUPT,
                                   "segment '%.*s' is missing in storage '%.*s': no file '%s'",
                                   KAL_FMT(place->object), KAL_FMT(place->storage_id), path)
                   : kal_error_set(err, KAL_IO, "cannot look at '%s': %s", path, strerror(errno));
    if ((uint64_t)info.st_size == expected->size_bytes)
        return KAL_OK;
    return kal_error_set(
        err, KAL_CORRUPT, "segment '%.*s' in storage '%.*s' has %llu bytes instead of %llu",
        KAL_FMT(place->object), KAL_FMT(place->storage_id), (unsigned long long)info.st_size,
        (unsigned long long)expected->size_bytes);
}

static kal_status find_file(const parquet_backend *b, const kal_segment_place *place,
                            char path[PATH_MAX], kal_error *err)
{
    kal_object_store *store = NULL; /* owned */

    KAL_TRY(b->open_store(b->context, place->storage_id, &store, err));
    kal_status status = kal_object_local_path(store, place->object, path, err);
    kal_object_store_close(store);
    return status;
}

static kal_status parquet_local_file(kal_segment_backend *backend, const kal_segment_place *place,
                                     const kal_segment_written *expected, char *path_out,
                                     kal_error *err)
{
    const parquet_backend *b = (const parquet_backend *)backend;

    KAL_TRY(find_file(b, place, path_out, err));
    KAL_TRY(check_file(place, expected, path_out, err));
    return kal_parquet_check(b->parquet, path_out, err);
}

static kal_status parquet_open(kal_segment_backend *backend, const kal_segment_place *place,
                               const kal_segment_written *expected,
                               const kal_parquet_scan_args *args, kal_segment_reader **reader_out,
                               kal_error *err)
{
    const parquet_backend *b = (const parquet_backend *)backend;
    kal_parquet_scan_args here = *args;
    parquet_reader *reader = calloc(1, sizeof *reader);

    *reader_out = NULL;
    if (reader == NULL)
        kal_die("out of memory: segment");
    reader->base.backend = backend;
    here.path = reader->path;
    kal_status status = find_file(b, place, reader->path, err);
    if (status == KAL_OK)
        status = check_file(place, expected, reader->path, err);
    if (status == KAL_OK)
        status = kal_parquet_scan_open(b->parquet, &here, &reader->scan, err);
    if (status != KAL_OK) {
        free(reader);
        return status;
    }
    *reader_out = &reader->base;
    return KAL_OK;
}

static kal_status parquet_next(kal_segment_reader *reader, size_t rows_max, kal_value *values,
                               uint64_t *row_numbers_out, size_t *rows_out, kal_error *err)
{
    return kal_parquet_scan_next(((parquet_reader *)reader)->scan, rows_max, values,
                                 row_numbers_out, rows_out, err);
}

static kal_parquet_scan *parquet_scan(kal_segment_reader *reader)
{
    return ((parquet_reader *)reader)->scan;
}

static void parquet_reader_close(kal_segment_reader *reader)
{
    kal_parquet_scan_close(((parquet_reader *)reader)->scan);
    free(reader);
}

/* ---- removing, opening, closing ---- */

static kal_status parquet_remove(kal_segment_backend *backend, const kal_segment_place *place,
                                 kal_error *err)
{
    const parquet_backend *b = (const parquet_backend *)backend;
    kal_object_store *store = NULL; /* owned */
    char path[PATH_MAX];

    KAL_TRY(scratch_path(b, place, path, err));
    (void)unlink(path); /* of a write that a crash ended */
    KAL_TRY(b->open_store(b->context, place->storage_id, &store, err));
    kal_status status = kal_object_delete(store, place->object, err);
    kal_object_store_close(store);
    return status;
}

static void parquet_close(kal_segment_backend *backend)
{
    free(backend);
}

static const kal_segment_backend_ops PARQUET_OPS = {
    .close = parquet_close,
    .write = parquet_write,
    .open = parquet_open,
    .next = parquet_next,
    .parquet_scan = parquet_scan,
    .reader_close = parquet_reader_close,
    .local_file = parquet_local_file,
    .remove = parquet_remove,
};

kal_segment_backend *kal_segment_backend_open_parquet(kal_parquet *parquet, const char *scratch_dir,
                                                      kal_segment_open_store open_store,
                                                      void *context)
{
    parquet_backend *b = calloc(1, sizeof *b);
    if (b == NULL)
        kal_die("out of memory: segments");
    *b = (parquet_backend){{&PARQUET_OPS}, parquet, scratch_dir, open_store, context};
    return &b->base;
}
