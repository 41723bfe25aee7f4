/*
 * engine_files.c: the segments of a SHARED table as files that DuckDB may read itself.
 *
 * Of a USER table never: a file holds the rows of many users. Those of a far storage are fetched,
 * and stay until the statement ends; when that would be too much of the cache, all are read through
 * the view's scan, one after the other.
 */
#include "base/assert.h"
#include "exec/cold.h"
#include "segment/columns.h"

static kal_status out_of_memory(kal_error *err)
{
    return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
}

static kal_status dead_rows(kal_run *run, kal_segment *segment, const uint64_t **bits_out,
                            kal_error *err)
{
    kal_dead_rows *dead = NULL;

    KAL_TRY(kal_dead_rows_get(run->exec->kv, run->view->snapshot, segment, &dead, err));
    *bits_out = dead == NULL ? NULL : dead->bits;
    if (dead == NULL || kal_vec_try_push_in(run->arena, &run->dead, dead))
        return KAL_OK;
    kal_dead_rows_release(dead);
    return out_of_memory(err);
}

/* Where the table's columns stand in files of this version. */
static kal_status file_columns(kal_run *run, const kal_table *table, uint32_t version,
                               kal_engine_file *file, kal_error *err)
{
    const kal_table_definition *def = table->def;
    kal_table_definition *older = NULL;
    kal_segment_column_source *sources = NULL;
    size_t count = 0;

    if (version != def->schema_version)
        KAL_TRY(kal_catalog_table_version(table->catalog, run->view->snapshot, def->table_id,
                                          version, run->arena, &older, err));
    const kal_parquet_column *in_file =
        kal_segment_columns(older == NULL ? def : older, run->arena, &count);
    KAL_TRY(kal_segment_sources(table, older == NULL ? def : older, run->arena, &sources, err));
    kal_engine_file_column *columns =
        kal_arena_try_array(run->arena, def->column_count + 1, sizeof *columns);
    if (columns == NULL)
        return out_of_memory(err);
    for (uint32_t i = 0; i < def->column_count; i++) {
        columns[i] = (kal_engine_file_column){.initial = sources[i].initial};
        if (sources[i].file_column == KAL_ROW_NO_COLUMN)
            continue;
        columns[i].name = in_file[sources[i].file_column].name;
        columns[i].type = in_file[sources[i].file_column].type;
    }
    file->columns = columns;
    file->seq_name = in_file[KAL_SEGMENT_SEQ_COLUMN].name;
    file->version = version;
    return KAL_OK;
}

static kal_status add_path(kal_run *run, const kal_segment_info *info, const char **path_out,
                           kal_error *err)
{
    const kal_object_poll poll = {kal_run_time_hook, run};
    kal_cached_object *pin = NULL;

    KAL_TRY(kal_cold_file(run->exec->cold, info, &poll, run->arena, path_out, &pin, err));
    if (pin == NULL || kal_vec_try_push_in(run->arena, &run->pins, pin))
        return KAL_OK;
    kal_cached_object_release(pin);
    return out_of_memory(err);
}

static kal_status add_file(kal_run *run, const kal_table *table, kal_segment *segment,
                           kal_engine_file *files, size_t count, kal_error *err)
{
    const kal_segment_info *info = &segment->info;
    kal_engine_file *file = &files[count];
    kal_status status = KAL_NOT_FOUND;

    *file = (kal_engine_file){0};
    for (size_t i = 0; i < count && status != KAL_OK; i++) {
        if (files[i].version == info->schema_version) {
            *file = files[i];
            status = KAL_OK;
        }
    }
    if (status != KAL_OK)
        KAL_TRY(file_columns(run, table, info->schema_version, file, err));
    file->row_count = info->row_count;
    file->dead = NULL;
    KAL_TRY(dead_rows(run, segment, &file->dead, err));
    return add_path(run, info, &file->path, err);
}

kal_status kal_run_engine_files(kal_run *run, kal_table *table, kal_engine_table *out,
                                kal_error *err)
{
    kal_segment *const *segments = NULL;
    size_t count = 0;

    if (table->def->table_type != KAL_TABLE_SHARED || run->view == NULL ||
        run->view->overlay != NULL)
        return KAL_OK;
    KAL_TRY(kal_view_segments(run->view, table, &segments, &count, err));
    if (count == 0)
        return KAL_OK;
    kal_engine_file *files = kal_arena_try_array(run->arena, count, sizeof *files);
    if (files == NULL)
        return out_of_memory(err);
    bool ranged = run->ranged == table;
    kal_bytes lower = ranged ? run->range_lower : (kal_bytes){0};
    kal_bytes upper = ranged ? run->range_upper : (kal_bytes){0};
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (!kal_segment_may_hold(segments[i], true, 0, lower, upper) ||
            (ranged && !kal_statistics_may_meet(&segments[i]->info, &run->conditions)))
            continue;
        kal_status status = add_file(run, table, segments[i], files, used, err);
        if (status == KAL_UNSUPPORTED)
            return KAL_OK;
        KAL_TRY(status);
        used++;
    }
    out->files = files;
    out->file_count = used;
    if (run->topped == table) {
        out->order = run->top_order;
        out->order_count = run->top_order_count;
        out->top_rows = run->top_rows;
    }
    return KAL_OK;
}
