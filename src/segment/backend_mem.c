/*
 * backend_mem.c: segments in memory, for simulations: rows as values, read in their order.
 *
 * Of what a group has written or removed and not synced, a power loss leaves what it likes: all of
 * a segment, its first rows, or nothing; removed or not.
 */
#include "base/assert.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/vec.h"
#include "segment/backend.h"
#include "types/widen.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct mem_segment {
    kal_arena arena; /* owns the rest */
    kal_bytes *names;
    size_t column_count;
    KAL_VEC(kal_value) values; /* arena */
    uint64_t row_count;
    unsigned refs;                     /* under the backend's lock, as the next one */
    const kal_segment_group *unsynced; /* that wrote or removed it; NULL: durable */
    bool is_whole;                     /* of a removed one: it had been durable */
} mem_segment;

typedef struct mem_backend {
    kal_segment_backend base;
    pthread_mutex_t lock; /* the rest */
    kal_map segments;     /* object -> mem_segment, owned */
    kal_map removed;      /* likewise: those that a power loss may bring back */
    kal_rng rng;
    unsigned fail_per_1000;
} mem_backend;

typedef struct mem_reader {
    kal_segment_reader base;
    mem_segment *segment;
    kal_arena arena;
    size_t *columns; /* arena; places in the segment */
    kal_type *types; /* arena */
    size_t column_count;
    kal_parquet_filter *filters; /* arena; values are copies */
    size_t *filter_columns;
    size_t filter_count;
    uint64_t row;
} mem_reader;

static mem_backend *mem_of(kal_segment_backend *backend)
{
    return (mem_backend *)backend;
}

static bool draw_failure(mem_backend *mem)
{
    pthread_mutex_lock(&mem->lock);
    bool fails = kal_rng_below(&mem->rng, 1000) < mem->fail_per_1000;
    pthread_mutex_unlock(&mem->lock);
    return fails;
}

static kal_status injected(const char *what, const kal_segment_place *place, kal_error *err)
{
    return kal_error_set(err, KAL_IO, "cannot %s segment '%.*s' (injected)", what,
                         KAL_FMT(place->object));
}

/* The lock is held. */
static void release_segment(mem_segment *segment)
{
    if (segment == NULL || --segment->refs > 0)
        return;
    kal_arena_release(&segment->arena);
    free(segment);
}

/* ---- groups ---- */

static kal_status mem_group_open(kal_segment_backend *backend, kal_bytes storage_id,
                                 kal_segment_group **group_out, kal_error *err)
{
    kal_segment_group *group = malloc(sizeof *group);

    (void)storage_id;
    (void)err;
    if (group == NULL)
        kal_die("out of memory: segments");
    group->backend = backend;
    *group_out = group;
    return KAL_OK;
}

/* A segment that the group did not sync; NULL: there is none (more). */
static mem_segment *next_unsynced(const kal_map *map, const kal_segment_group *group, size_t *at,
                                  kal_bytes *object_out)
{
    mem_segment *segment;
    while ((segment = kal_map_next(map, at, object_out)) != NULL) {
        if (segment->unsynced == group)
            return segment;
    }
    return NULL;
}

/* The lock is held. */
static void forget_removed(mem_backend *mem, const kal_segment_group *group)
{
    kal_bytes object;
    size_t at = 0;

    while (next_unsynced(&mem->removed, group, &at, &object) != NULL) {
        release_segment(kal_map_remove(&mem->removed, object));
        at = 0;
    }
}

static kal_status mem_group_sync(kal_segment_group *group, kal_error *err)
{
    mem_backend *mem = mem_of(group->backend);
    mem_segment *segment;
    size_t at = 0;

    bool fails = draw_failure(mem);

    pthread_mutex_lock(&mem->lock);
    while ((segment = next_unsynced(&mem->segments, group, &at, NULL)) != NULL) {
        if (!fails || kal_rng_below(&mem->rng, 2) == 0)
            segment->unsynced = NULL;
    }
    if (!fails)
        forget_removed(mem, group);
    pthread_mutex_unlock(&mem->lock);
    return fails ? kal_error_set(err, KAL_IO, "cannot sync segments (injected)") : KAL_OK;
}

/* In place of a group that is gone and had not synced. */
static const kal_segment_group GONE;

static void mem_group_close(kal_segment_group *group)
{
    mem_segment *segment;
    size_t at = 0;

    if (group == NULL)
        return;
    mem_backend *mem = mem_of(group->backend);
    pthread_mutex_lock(&mem->lock);
    while ((segment = next_unsynced(&mem->segments, group, &at, NULL)) != NULL)
        segment->unsynced = &GONE;
    for (at = 0; (segment = next_unsynced(&mem->removed, group, &at, NULL)) != NULL;)
        segment->unsynced = &GONE;
    pthread_mutex_unlock(&mem->lock);
    free(group);
}

/* ---- writing ---- */

static mem_segment *new_segment(const kal_parquet_write_args *args)
{
    mem_segment *segment = calloc(1, sizeof *segment);
    if (segment == NULL)
        kal_die("out of memory: segment");
    segment->refs = 1;
    kal_arena_init(&segment->arena, NULL);
    segment->column_count = args->column_count;
    segment->names = kal_arena_alloc(&segment->arena, args->column_count * sizeof(kal_bytes));
    for (size_t i = 0; i < args->column_count; i++)
        segment->names[i] = kal_arena_copy(&segment->arena, args->columns[i].name);
    return segment;
}

static kal_status fill(mem_segment *segment, const kal_parquet_source *source, kal_error *err)
{
    enum { ROWS = 7 }; /* no divisor of anything: batches end anywhere */
    kal_value *values = malloc(ROWS * segment->column_count * sizeof *values); /* owned */
    size_t rows = 1;
    kal_status status = KAL_OK;

    while (status == KAL_OK && rows > 0) {
        status = source->next(source->context, ROWS, values, &rows, err);
        if (status != KAL_OK)
            break;
        for (size_t i = 0; i < rows * segment->column_count; i++) {
            kal_value copy;
            if (!kal_value_copy(&values[i], &segment->arena, &copy) ||
                !kal_vec_try_push_in(&segment->arena, &segment->values, copy))
                kal_die("out of memory: segment");
        }
        segment->row_count += rows;
    }
    free(values);
    return status;
}

/* Only its first rows are there. The lock is held. */
static void tear(mem_backend *mem, mem_segment *segment)
{
    if (segment->row_count > 0)
        segment->row_count = kal_rng_below(&mem->rng, segment->row_count);
}

static kal_status mem_write(kal_segment_backend *backend, kal_segment_group *group,
                            const kal_segment_place *place, const kal_parquet_write_args *args,
                            const kal_parquet_source *source, kal_segment_written *out,
                            kal_error *err)
{
    mem_backend *mem = mem_of(backend);
    bool fails = draw_failure(mem);
    mem_segment *segment = new_segment(args);
    kal_status status = fill(segment, source, err);

    pthread_mutex_lock(&mem->lock);
    segment->unsynced = group;
    if (status == KAL_OK && fails && kal_rng_below(&mem->rng, 3) == 0)
        status = injected("write", place, err);
    if (status == KAL_OK && fails && kal_rng_below(&mem->rng, 2) == 0)
        tear(mem, segment);
    if (status == KAL_OK) {
        mem_segment *before = kal_map_put(&mem->segments, place->object, segment);
        KAL_ASSERT(before == NULL); /* names are never used twice */
        *out = (kal_segment_written){.row_count = segment->row_count,
                                     .size_bytes = segment->values.len};
    } else {
        release_segment(segment);
    }
    pthread_mutex_unlock(&mem->lock);
    return status == KAL_OK && fails ? injected("write", place, err) : status;
}

/* ---- reading ---- */

static size_t find_column(const mem_segment *segment, kal_bytes name)
{
    for (size_t i = 0; i < segment->column_count; i++) {
        if (kal_bytes_equal(segment->names[i], name))
            return i;
    }
    kal_die("a segment has no column '%.*s'", KAL_FMT(name));
}

static kal_status mem_open(kal_segment_backend *backend, const kal_segment_place *place,
                           const kal_segment_written *expected, const kal_parquet_scan_args *args,
                           kal_segment_reader **reader_out, kal_error *err)
{
    mem_backend *mem = mem_of(backend);
    *reader_out = NULL;
    if (draw_failure(mem))
        return injected("read", place, err);
    pthread_mutex_lock(&mem->lock);
    mem_segment *segment = kal_map_find(&mem->segments, place->object);
    if (segment != NULL)
        segment->refs++;
    pthread_mutex_unlock(&mem->lock);
    if (segment == NULL)
        return kal_error_set(err, KAL_CORRUPT, "segment '%.*s' is missing", KAL_FMT(place->object));
    KAL_ASSERT(expected->row_count == segment->row_count);
    mem_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        kal_die("out of memory: segment");
    reader->base.backend = backend;
    reader->segment = segment;
    kal_arena_init(&reader->arena, NULL);
    reader->column_count = args->column_count;
    reader->columns = kal_arena_alloc(&reader->arena, args->column_count * sizeof(size_t));
    reader->types = kal_arena_alloc(&reader->arena, args->column_count * sizeof(kal_type));
    for (size_t i = 0; i < args->column_count; i++) {
        reader->columns[i] = find_column(segment, args->columns[i].name);
        reader->types[i] = args->columns[i].type;
    }
    reader->filter_count = args->filter_count;
    reader->filters = kal_arena_alloc(&reader->arena, args->filter_count * sizeof *reader->filters);
    reader->filter_columns = kal_arena_alloc(&reader->arena, args->filter_count * sizeof(size_t));
    for (size_t i = 0; i < args->filter_count; i++) {
        reader->filters[i] = args->filters[i];
        reader->filter_columns[i] = find_column(segment, args->filters[i].name);
        if (!kal_value_copy(&args->filters[i].value, &reader->arena, &reader->filters[i].value))
            kal_die("out of memory: segment");
    }
    *reader_out = &reader->base;
    return KAL_OK;
}

static bool passes(const kal_parquet_filter *filter, const kal_value *value)
{
    if (value->is_null)
        return false;
    int order = kal_value_compare(value, &filter->value);
    switch (filter->op) {
    case KAL_PARQUET_EQ:
        return order == 0;
    case KAL_PARQUET_GE:
        return order >= 0;
    case KAL_PARQUET_GT:
        return order > 0;
    case KAL_PARQUET_LE:
        return order <= 0;
    case KAL_PARQUET_LT:
        return order < 0;
    }
    return false;
}

static kal_status mem_next(kal_segment_reader *base, size_t rows_max, kal_value *values,
                           uint64_t *row_numbers_out, size_t *rows_out, kal_error *err)
{
    mem_reader *reader = (mem_reader *)base;
    const mem_segment *segment = reader->segment;
    (void)err;
    *rows_out = 0;
    while (*rows_out < rows_max && reader->row < segment->row_count) {
        const kal_value *row = segment->values.items + reader->row * segment->column_count;
        bool wanted = true;
        for (size_t i = 0; i < reader->filter_count; i++)
            wanted = wanted && passes(&reader->filters[i], &row[reader->filter_columns[i]]);
        if (wanted) {
            for (size_t i = 0; i < reader->column_count; i++)
                kal_value_widen(&row[reader->columns[i]], reader->types[i],
                                &values[*rows_out * reader->column_count + i]);
            if (row_numbers_out != NULL)
                row_numbers_out[*rows_out] = reader->row;
            (*rows_out)++;
        }
        reader->row++;
    }
    return KAL_OK;
}

static void mem_reader_close(kal_segment_reader *base)
{
    mem_reader *reader = (mem_reader *)base;
    mem_backend *mem = mem_of(base->backend);
    pthread_mutex_lock(&mem->lock);
    release_segment(reader->segment);
    pthread_mutex_unlock(&mem->lock);
    kal_arena_release(&reader->arena);
    free(reader);
}

/* ---- removing, opening, closing ---- */

/* The lock is held. */
static void take_away(mem_backend *mem, const kal_segment_group *group, kal_bytes object)
{
    mem_segment *segment = kal_map_remove(&mem->segments, object);

    if (segment == NULL) /* somebody removed it, perhaps without syncing that */
        segment = kal_map_remove(&mem->removed, object);
    if (segment == NULL)
        return;
    if (group == NULL) {
        release_segment(segment);
        return;
    }
    segment->is_whole = segment->is_whole || segment->unsynced == NULL;
    segment->unsynced = group;
    kal_map_put(&mem->removed, object, segment);
}

static kal_status mem_remove(kal_segment_backend *backend, kal_segment_group *group,
                             const kal_segment_place *place, kal_error *err)
{
    mem_backend *mem = mem_of(backend);
    bool fails = draw_failure(mem);
    pthread_mutex_lock(&mem->lock);
    if (!fails || kal_rng_below(&mem->rng, 2) == 0)
        take_away(mem, group, place->object);
    pthread_mutex_unlock(&mem->lock);
    return fails ? injected("remove", place, err) : KAL_OK;
}

static void mem_close(kal_segment_backend *backend)
{
    mem_backend *mem = mem_of(backend);
    size_t at = 0;
    mem_segment *segment;
    while ((segment = kal_map_next(&mem->segments, &at, NULL)) != NULL)
        release_segment(segment);
    kal_map_release(&mem->segments);
    for (at = 0; (segment = kal_map_next(&mem->removed, &at, NULL)) != NULL;)
        release_segment(segment);
    kal_map_release(&mem->removed);
    pthread_mutex_destroy(&mem->lock);
    free(mem);
}

static const kal_segment_backend_ops MEM_OPS = {
    .close = mem_close,
    .group_open = mem_group_open,
    .group_sync = mem_group_sync,
    .group_close = mem_group_close,
    .write = mem_write,
    .open = mem_open,
    .next = mem_next,
    .reader_close = mem_reader_close,
    .remove = mem_remove,
};

kal_segment_backend *kal_segment_backend_open_mem(uint64_t seed, unsigned fail_per_1000)
{
    mem_backend *mem = calloc(1, sizeof *mem);
    if (mem == NULL)
        kal_die("out of memory: segments");
    mem->base.ops = &MEM_OPS;
    pthread_mutex_init(&mem->lock, NULL);
    kal_map_init(&mem->segments);
    kal_map_init(&mem->removed);
    kal_rng_seed(&mem->rng, seed);
    mem->fail_per_1000 = fail_per_1000;
    return &mem->base;
}

/* The lock is held. */
static void bring_back_removed(mem_backend *mem)
{
    mem_segment *segment;
    kal_bytes object;
    size_t at = 0;

    while ((segment = kal_map_next(&mem->removed, &at, &object)) != NULL) {
        if (kal_rng_below(&mem->rng, 2) > 0)
            continue;
        segment->refs++;
        segment->unsynced = NULL;
        if (!segment->is_whole)
            tear(mem, segment);
        kal_map_put(&mem->segments, object, segment);
    }
    for (at = 0; (segment = kal_map_next(&mem->removed, &at, NULL)) != NULL;)
        release_segment(segment);
    kal_map_release(&mem->removed);
    kal_map_init(&mem->removed);
}

void kal_segment_backend_mem_lose_power(kal_segment_backend *backend)
{
    mem_backend *mem = mem_of(backend);
    mem_segment *segment;
    kal_bytes object;
    size_t at = 0;

    pthread_mutex_lock(&mem->lock);
    while ((segment = kal_map_next(&mem->segments, &at, &object)) != NULL) {
        if (segment->unsynced == NULL)
            continue;
        segment->unsynced = NULL;
        if (kal_rng_below(&mem->rng, 2) == 0)
            tear(mem, segment);
        if (kal_rng_below(&mem->rng, 3) == 0) {
            release_segment(kal_map_remove(&mem->segments, object));
            at = 0;
        }
    }
    bring_back_removed(mem);
    pthread_mutex_unlock(&mem->lock);
}

size_t kal_segment_backend_mem_count(kal_segment_backend *backend)
{
    mem_backend *mem = mem_of(backend);
    pthread_mutex_lock(&mem->lock);
    size_t count = mem->segments.len;
    pthread_mutex_unlock(&mem->lock);
    return count;
}

void kal_segment_backend_close(kal_segment_backend *backend)
{
    if (backend != NULL)
        backend->ops->close(backend);
}
