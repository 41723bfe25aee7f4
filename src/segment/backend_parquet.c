/*
 * backend_parquet.c: segments as Parquet files in the objects of storages.
 *
 * A file is made in the scratch directory and put into its storage as a whole, which is durable. It
 * has a checksum inside (engine/parquet.h); that it is the file that was written under this name
 * its size and this checksum say.
 *
 * An object that is no file of this machine is read through the cache, which a new file goes into
 * at once. One that turns out to be damaged leaves the cache: the damage may be here and not there.
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
    kal_object_cache *cache; /* borrowed */
    kal_segment_open_store open_store;
    void *context;
} parquet_backend;

typedef struct parquet_reader {
    kal_segment_reader base;
    kal_parquet_scan *scan; /* owned */
    kal_cached_object *pin; /* NULL, or of the cache */
    char path[PATH_MAX];
} parquet_reader;

typedef struct parquet_group {
    kal_segment_group base;
    kal_object_store *store;   /* owned */
    kal_object_group *objects; /* owned */
} parquet_group;

/* ---- groups ---- */

static void parquet_group_close(kal_segment_group *group)
{
    parquet_group *own = (parquet_group *)group;

    if (own == NULL)
        return;
    kal_object_group_close(own->objects);
    kal_object_store_close(own->store);
    free(own);
}

static kal_status parquet_group_open(kal_segment_backend *backend, kal_bytes storage_id,
                                     kal_segment_group **group_out, kal_error *err)
{
    const parquet_backend *b = (const parquet_backend *)backend;
    parquet_group *group = calloc(1, sizeof *group);

    *group_out = NULL;
    if (group == NULL)
        kal_die("out of memory: segments");
    group->base.backend = backend;
    kal_status status = b->open_store(b->context, storage_id, &group->store, err);
    if (status == KAL_OK)
        status = kal_object_group_open(group->store, &group->objects, err);
    if (status != KAL_OK) {
        parquet_group_close(&group->base);
        return status;
    }
    *group_out = &group->base;
    return KAL_OK;
}

static kal_status parquet_group_sync(kal_segment_group *group, kal_error *err)
{
    return kal_object_group_sync(((parquet_group *)group)->objects, err);
}

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

static bool is_far(const kal_object_store *store, const kal_segment_place *place)
{
    char path[PATH_MAX];
    return kal_object_local_path(store, place->object, path, NULL) == KAL_UNSUPPORTED;
}

static kal_status put_alone(const parquet_backend *b, const kal_segment_place *place,
                            const char *path, bool *far_out, kal_error *err)
{
    kal_object_store *store = NULL; /* owned */

    KAL_TRY(b->open_store(b->context, place->storage_id, &store, err));
    kal_status status = kal_object_put_file(store, place->object, path, err);
    *far_out = is_far(store, place);
    kal_object_store_close(store);
    return status;
}

static kal_status put_in(const parquet_group *group, const kal_segment_place *place,
                         const char *path, bool *far_out, kal_error *err)
{
    *far_out = is_far(group->store, place);
    return kal_object_group_move_file(group->objects, place->object, path, err);
}

static kal_status put(const parquet_backend *b, const parquet_group *group,
                      const kal_segment_place *place, const char *path, uint64_t *size_out,
                      kal_error *err)
{
    struct stat info;
    bool far = false;

    if (stat(path, &info) != 0)
        return kal_error_set(err, KAL_IO, "cannot look at '%s': %s", path, strerror(errno));
    *size_out = (uint64_t)info.st_size;
    if (group == NULL)
        KAL_TRY(put_alone(b, place, path, &far, err));
    else
        KAL_TRY(put_in(group, place, path, &far, err));
    if (far) {
        const kal_object_cache_name name = {place->storage_id, place->object};
        kal_object_cache_adopt(b->cache, &name, path, *size_out);
    }
    return KAL_OK;
}

static kal_status parquet_write(kal_segment_backend *backend, kal_segment_group *group,
                                const kal_segment_place *place, const kal_parquet_write_args *args,
                                const kal_parquet_source *source, kal_segment_written *out,
                                kal_error *err)
{
    const parquet_backend *b = (const parquet_backend *)backend;
    kal_parquet_write_args here = *args;
    char path[PATH_MAX];

    KAL_TRY(scratch_path(b, place, path, err));
    here.path = path;
    kal_parquet_written written;
    kal_status status = kal_parquet_write(b->parquet, &here, source, &written, err);
    out->row_count = written.row_count;
    out->checksum = written.checksum;
    if (status == KAL_OK)
        status = put(b, (parquet_group *)group, place, path, &out->size_bytes, err);
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

typedef struct found_file {
    char *path;             /* PATH_MAX bytes, the caller's */
    bool for_long;          /* will it be kept */
    kal_cached_object *pin; /* owned; NULL: of this machine anyway */
} found_file;

/* A statement keeps all its files until it ends: not so many that others could not read theirs. */
static bool fills_cache(const parquet_backend *b, uint64_t size)
{
    kal_object_cache_counts counts = kal_object_cache_get_counts(b->cache);
    return counts.pinned_bytes + size > counts.bytes_max / 2;
}

static kal_status fetch_file(const parquet_backend *b, kal_object_store *store,
                             const kal_segment_place *place, const kal_segment_written *expected,
                             const kal_object_poll *poll, found_file *out, kal_error *err)
{
    const kal_object_cache_name name = {place->storage_id, place->object};

    if (out->for_long && fills_cache(b, expected->size_bytes))
        return kal_error_set(err, KAL_UNSUPPORTED, "too much of the cache is in use");
    KAL_TRY(
        kal_object_cache_get(b->cache, store, &name, expected->size_bytes, poll, &out->pin, err));
    snprintf(out->path, PATH_MAX, "%s", kal_cached_object_path(out->pin));
    return KAL_OK;
}

/* As a file that has the right size. */
static kal_status find_file(const parquet_backend *b, const kal_segment_place *place,
                            const kal_segment_written *expected, const kal_object_poll *poll,
                            found_file *out, kal_error *err)
{
    kal_object_store *store = NULL; /* owned */

    out->pin = NULL;
    KAL_TRY(b->open_store(b->context, place->storage_id, &store, err));
    kal_status status = kal_object_local_path(store, place->object, out->path, err);
    if (status == KAL_UNSUPPORTED)
        status = fetch_file(b, store, place, expected, poll, out, err);
    kal_object_store_close(store);
    if (status == KAL_OK)
        status = check_file(place, expected, out->path, err);
    if (status != KAL_OK)
        kal_cached_object_release(out->pin);
    return status;
}

kal_status kal_segment_damaged(const kal_segment_place *place, kal_error *err)
{
    return kal_error_set(err, KAL_CORRUPT,
                         "segment '%.*s' in storage '%.*s' is damaged: its bytes are not those "
                         "that were written",
                         KAL_FMT(place->object), KAL_FMT(place->storage_id));
}

/* After a failure to read the file. The name of one in the cache tells nobody what it is. */
static void give_up(const parquet_backend *b, const kal_segment_place *place, kal_status status,
                    kal_cached_object *pin, kal_error *err)
{
    const kal_object_cache_name name = {place->storage_id, place->object};

    if (pin != NULL && status == KAL_CORRUPT) {
        kal_object_cache_drop(b->cache, &name);
        (void)kal_segment_damaged(place, err); /* the status is the caller's */
    }
    kal_cached_object_release(pin);
}

static kal_status parquet_local_file(kal_segment_backend *backend, const kal_segment_place *place,
                                     const kal_segment_written *expected,
                                     const kal_object_poll *poll, char *path_out,
                                     kal_cached_object **pin_out, kal_error *err)
{
    const parquet_backend *b = (const parquet_backend *)backend;
    found_file file = {.path = path_out, .for_long = true};

    *pin_out = NULL;
    KAL_TRY(find_file(b, place, expected, poll, &file, err));
    kal_status status = kal_parquet_check(b->parquet, path_out, expected->checksum, err);
    if (status != KAL_OK)
        give_up(b, place, status, file.pin, err);
    else
        *pin_out = file.pin;
    return status;
}

/* What ends a scan also ends the wait for its file. */
static kal_status go_on(void *context, kal_error *err)
{
    const kal_parquet_scan_args *args = context;
    return args->check == NULL ? KAL_OK : args->check(args->check_context, err);
}

static kal_status parquet_open(kal_segment_backend *backend, const kal_segment_place *place,
                               const kal_segment_written *expected,
                               const kal_parquet_scan_args *args, kal_segment_reader **reader_out,
                               kal_error *err)
{
    const parquet_backend *b = (const parquet_backend *)backend;
    kal_parquet_scan_args here = *args;
    const kal_object_poll poll = {go_on, &here};
    parquet_reader *reader = calloc(1, sizeof *reader);

    *reader_out = NULL;
    if (reader == NULL)
        kal_die("out of memory: segment");
    found_file file = {.path = reader->path};
    reader->base.backend = backend;
    here.path = reader->path;
    here.checksum = expected->checksum;
    kal_status status = find_file(b, place, expected, &poll, &file, err);
    if (status == KAL_OK) {
        status = kal_parquet_scan_open(b->parquet, &here, &reader->scan, err);
        if (status != KAL_OK)
            give_up(b, place, status, file.pin, err);
    }
    if (status != KAL_OK) {
        free(reader);
        return status;
    }
    reader->pin = file.pin;
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
    parquet_reader *own = (parquet_reader *)reader;
    kal_parquet_scan_close(own->scan);
    kal_cached_object_release(own->pin);
    free(own);
}

/* ---- removing, opening, closing ---- */

static kal_status remove_alone(const parquet_backend *b, const kal_segment_place *place,
                               kal_error *err)
{
    kal_object_store *store = NULL; /* owned */

    KAL_TRY(b->open_store(b->context, place->storage_id, &store, err));
    kal_status status = kal_object_delete(store, place->object, err);
    kal_object_store_close(store);
    return status;
}

static kal_status parquet_remove(kal_segment_backend *backend, kal_segment_group *group,
                                 const kal_segment_place *place, kal_error *err)
{
    const parquet_backend *b = (const parquet_backend *)backend;
    const kal_object_cache_name name = {place->storage_id, place->object};
    char path[PATH_MAX];

    KAL_TRY(scratch_path(b, place, path, err));
    (void)unlink(path); /* of a write that a crash ended */
    kal_status status = group == NULL ? remove_alone(b, place, err)
                                      : kal_object_group_delete(((parquet_group *)group)->objects,
                                                                place->object, err);
    if (status == KAL_OK)
        kal_object_cache_drop(b->cache, &name);
    return status;
}

static void parquet_close(kal_segment_backend *backend)
{
    free(backend);
}

static const kal_segment_backend_ops PARQUET_OPS = {
    .close = parquet_close,
    .group_open = parquet_group_open,
    .group_sync = parquet_group_sync,
    .group_close = parquet_group_close,
    .write = parquet_write,
    .open = parquet_open,
    .next = parquet_next,
    .parquet_scan = parquet_scan,
    .reader_close = parquet_reader_close,
    .local_file = parquet_local_file,
    .remove = parquet_remove,
};

kal_segment_backend *kal_segment_backend_open_parquet(kal_parquet *parquet, const char *scratch_dir,
                                                      kal_object_cache *cache,
                                                      kal_segment_open_store open_store,
                                                      void *context)
{
    parquet_backend *b = calloc(1, sizeof *b);
    if (b == NULL)
        kal_die("out of memory: segments");
    *b = (parquet_backend){.base = {&PARQUET_OPS},
                           .parquet = parquet,
                           .scratch_dir = scratch_dir,
                           .cache = cache,
                           .open_store = open_store,
                           .context = context};
    return &b->base;
}
