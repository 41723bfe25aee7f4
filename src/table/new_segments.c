/*
 * new_segments.c: numbers, names and places of segments before there is anything in them; see
 * flush_internal.h.
 */
#include "base/assert.h"
#include "base/rng.h"
#include "catalog/storages.h"
#include "table/flush_internal.h"

#include <stdio.h>

/* From so many on, the files are synced together, with the whole file system: what others wrote
 * there too. For one file that would be more. */
enum { GROUP_MIN = 2 };

/* ---- what is being written ---- */

static void being_written(kal_tables *t, uint32_t segment_id)
{
    pthread_mutex_lock(&t->flush_lock);
    kal_vec_push(&t->segments_being_written, segment_id);
    pthread_mutex_unlock(&t->flush_lock);
}

static void not_being_written(kal_tables *t, const kal_new_segments *segments)
{
    size_t kept = 0;

    pthread_mutex_lock(&t->flush_lock);
    for (size_t i = 0; i < t->segments_being_written.len; i++) {
        uint32_t id = t->segments_being_written.items[i];
        bool is_ours = false;
        for (size_t k = 0; k < segments->items.len && !is_ours; k++)
            is_ours = segments->items.items[k].segment_id == id;
        if (!is_ours)
            t->segments_being_written.items[kept++] = id;
    }
    t->segments_being_written.len = kept;
    pthread_mutex_unlock(&t->flush_lock);
}

bool kal_flush_is_being_written(kal_tables *t, uint32_t segment_id)
{
    bool found = false;
    pthread_mutex_lock(&t->flush_lock);
    for (size_t i = 0; i < t->segments_being_written.len; i++)
        found = found || t->segments_being_written.items[i] == segment_id;
    pthread_mutex_unlock(&t->flush_lock);
    return found;
}

void kal_flush_under_way(kal_tables *t, kal_segment_numbers *out)
{
    out->len = 0;
    pthread_mutex_lock(&t->flush_lock);
    for (size_t i = 0; i < t->segments_being_written.len; i++)
        kal_vec_push(out, t->segments_being_written.items[i]);
    pthread_mutex_unlock(&t->flush_lock);
}

bool kal_flush_is_over(kal_tables *t, const kal_segment_numbers *numbers)
{
    for (size_t i = 0; i < numbers->len; i++) {
        if (kal_flush_is_being_written(t, numbers->items[i]))
            return false;
    }
    return true;
}

/* ---- numbers ---- */

/* The object's key in the table's storage; both in the arena. */
static kal_status object_name(kal_catalog *catalog, const kal_table *table, uint64_t user_no,
                              uint32_t segment_id, kal_arena *arena, kal_segment_place *out,
                              kal_error *err)
{
    uint8_t random[16];
    kal_bytes folder;
    char *hex = kal_arena_alloc(arena, 2 * sizeof random + 1);

    KAL_TRY(kal_catalog_table_folder(catalog, table->def, user_no, arena, &out->storage_id, &folder,
                                     err));
    kal_random_bytes(random, sizeof random); /* a copy of the database may write there, too */
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(hex + 2 * i, 3, "%02x", random[i]);
    out->object = kal_cstr(
        kal_arena_printf(arena, "%.*s/segment-%08x-%s.parquet", KAL_FMT(folder), segment_id, hex));
    return KAL_OK;
}

static kal_status number(kal_new_segments *s, const uint64_t *user_nos, size_t count,
                         kal_catalog_change *change, kal_error *err)
{
    kal_tables *tables = s->args->tables;
    uint32_t first = 0;

    KAL_TRY(kal_catalog_new_segment_ids(change, (uint32_t)count, &first, err));
    for (size_t i = 0; i < count; i++) {
        kal_new_segment segment = {.user_no = user_nos[i], .segment_id = first + (uint32_t)i};
        KAL_TRY(object_name(tables->options.catalog, s->table, user_nos[i], segment.segment_id,
                            &s->arena, &segment.place, err));
        kal_doomed_segment doomed = {.segment_id = segment.segment_id,
                                     .storage_id = segment.place.storage_id,
                                     .object = segment.place.object,
                                     .user_min = user_nos[i],
                                     .user_max = user_nos[i]};
        if (user_nos[i] == 0 && s->table->def->table_type == KAL_TABLE_USER)
            doomed.user_max = UINT64_MAX;
        being_written(tables, segment.segment_id); /* before the doom is known */
        kal_vec_push(&s->items, segment);
        KAL_TRY(kal_catalog_put_doomed(change, &doomed, err));
    }
    return kal_catalog_commit(change, err);
}

kal_status kal_new_segments_add(kal_new_segments *s, const uint64_t *user_nos, size_t count,
                                kal_error *err)
{
    kal_segment_backend *backend = s->args->tables->options.segments;
    kal_catalog_change *change =
        kal_catalog_begin(s->args->tables->options.catalog, s->args->actor); /* owned */

    KAL_ASSERT(count > 0);
    kal_status status = number(s, user_nos, count, change, err);
    kal_catalog_end(change);
    if (status == KAL_OK && count >= GROUP_MIN && s->group == NULL)
        status =
            backend->ops->group_open(backend, s->items.items[0].place.storage_id, &s->group, err);
    return status;
}

/* ---- writing ---- */

kal_status kal_new_segments_write(kal_new_segments *s, size_t i, const kal_segment_source *source,
                                  kal_segment_info *info_out, kal_error *err)
{
    const kal_tables *tables = s->args->tables;
    const kal_segment_write_args args = {
        .backend = tables->options.segments,
        .group = s->group,
        .index = &s->index,
        .table = s->table,
        .segment_id = s->items.items[i].segment_id,
        .place = s->items.items[i].place,
        .rows_max = kal_flush_rows_max(s->args),
        .bytes_max = kal_flush_bytes_max(s->args),
        .now_us = kal_clock_wall_us(tables->clock),
    };

    return kal_segment_write(&args, source, &s->arena, info_out, err);
}

kal_status kal_new_segments_sync(kal_new_segments *s, kal_error *err)
{
    if (s->group != NULL)
        KAL_TRY(s->group->backend->ops->group_sync(s->group, err));
    return kal_index_load_finish(&s->index, err);
}

void kal_new_segments_open(kal_new_segments *s, const kal_flush_args *args, const kal_table *table)
{
    *s = (kal_new_segments){
        .args = args,
        .table = table,
        .index = {.kv = args->tables->kv, .directory = args->tables->options.scratch_dir},
    };
    kal_arena_init(&s->arena, NULL);
}

void kal_new_segments_close(kal_new_segments *s)
{
    kal_index_load_close(&s->index);
    if (s->group != NULL)
        s->group->backend->ops->group_close(s->group);
    not_being_written(s->args->tables, s);
    kal_vec_release(&s->items);
    kal_arena_release(&s->arena);
}
