/*
 * files.c: tables whose rows lie partly in Parquet files, as DuckDB reads them best: by itself.
 *
 * In the text that runs, such a table is kal_files(0) instead of kal_scan(0): DuckDB puts a SELECT
 * (files_select.h) in its place, over kal_parquet([files]), which is read_parquet() without the
 * dead rows (shims/duckdb_module.h).
 *
 * Only an instance of its own does this: it may read the directory of such files and nothing else,
 * so a hole in the allow-list would not show a private row, either.
 *
 * Source: design section 9; reference duckdb-scan-prototype.md sections 3 and 5.
 */
#include "base/assert.h"
#include "engine/files_select.h"
#include "types/widen.h"

#include <stdlib.h>
#include <string.h>

/* ---- which tables ---- */

/* Types that come out of read_parquet() as kal_scan() gives them. */
static bool is_plain(kal_type type)
{
    switch ((kal_type_tag)type.tag) {
    case KAL_TYPE_BOOLEAN:
    case KAL_TYPE_SMALLINT:
    case KAL_TYPE_INT:
    case KAL_TYPE_BIGINT:
    case KAL_TYPE_FLOAT:
    case KAL_TYPE_DOUBLE:
    case KAL_TYPE_DECIMAL:
    case KAL_TYPE_TEXT:
    case KAL_TYPE_BYTES:
    case KAL_TYPE_DATE:
    case KAL_TYPE_TIME:
    case KAL_TYPE_TIMESTAMP:
    case KAL_TYPE_DATETIME:
    case KAL_TYPE_UUID:
        return true;
    default:
        return false;
    }
}

/* DATE as TIMESTAMP: DuckDB refuses what lies beyond the end of the one, ours is its infinity. */
static bool widens_alike(kal_type from, kal_type to)
{
    return kal_type_equal(from, to) || from.tag != KAL_TYPE_DATE;
}

static bool is_readable(const kal_engine_table *t, const kal_engine_file *file)
{
    for (size_t i = 0; i < t->column_count - t->hidden_count; i++) {
        const kal_engine_file_column *c = &file->columns[i];
        if (!is_plain(t->columns[i].type))
            return false;
        if (c->name.len > 0 && !widens_alike(c->type, t->columns[i].type))
            return false;
    }
    return true;
}

bool kal_files_may_read(const kal_engine_table *t)
{
    if (t->file_count == 0)
        return false;
    for (size_t i = 0; i < t->file_count; i++) {
        if (!is_readable(t, &t->files[i]))
            return false;
    }
    return true;
}

bool kal_files_wanted(const kal_rewrite *rewrite)
{
    for (size_t i = 0; i < rewrite->table_count; i++) {
        if (rewrite->tables[i].by_files)
            return true;
    }
    return false;
}

/* ---- a statement ---- */

static kal_files_rows rows_of(const kal_slot *slot, const kal_engine_table *t, const kal_plan *plan)
{
    if (plan->has_anti_join)
        return KAL_FILES_UNBOUNDED;
    return slot->engine->ops->is_all_in_files(slot->statement, t->id) ? KAL_FILES_ALL
                                                                      : KAL_FILES_SOME;
}

static kal_status prepare_table(kal_slot *slot, kal_scan_table *tables, size_t index,
                                const kal_plan *plan, kal_arena *arena, kal_error *err)
{
    kal_scan_table *table = &tables[index];
    const kal_engine_table *t = &table->table;
    kal_bytes kept;
    kal_buf text; /* owned */

    kal_buf_init(&text, NULL);
    kal_files_select(table, index, rows_of(slot, t, plan), &text);
    kal_buf_append_byte(&text, '\0');
    bool fits = kal_arena_try_copy(arena, kal_buf_bytes(&text), &kept);
    kal_buf_release(&text);
    if (!fits)
        return kal_engine_too_large(err);
    table->files_select = (const char *)kept.ptr;
    for (size_t i = 0; i < t->file_count; i++)
        kal_vec_push(&slot->files,
                     ((kal_file_rows){t->files[i].path, t->files[i].dead, t->files[i].row_count}));
    return KAL_OK;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(((const kal_file_rows *)a)->path, ((const kal_file_rows *)b)->path);
}

kal_status kal_files_prepare(kal_slot *slot, kal_scan_table *tables, const kal_plan *plan,
                             kal_arena *arena, kal_error *err)
{
    slot->files.len = 0;
    slot->has_parameters = plan->param_max > 0;
    for (size_t i = 0; i < slot->table_count; i++) {
        if (tables[i].by_files)
            KAL_TRY(prepare_table(slot, tables, i, plan, arena, err));
    }
    if (slot->files.len > 0)
        qsort(slot->files.items, slot->files.len, sizeof *slot->files.items, compare_paths);
    return KAL_OK;
}

/* ---- kal_files(i), kal_parquet(files) ---- */

static const char *select_of(void *engine, uint64_t connection_id, uint64_t table)
{
    const kal_slot *slot = kal_slot_of_connection(engine, connection_id);
    return slot == NULL || table >= slot->table_count ? NULL : slot->tables[table].files_select;
}

static bool has_parameters(void *engine, uint64_t connection_id)
{
    const kal_slot *slot = kal_slot_of_connection(engine, connection_id);
    return slot == NULL || slot->has_parameters;
}

static bool find_file(void *engine, uint64_t connection_id, const char *path, const void **file_out)
{
    const kal_slot *slot = kal_slot_of_connection(engine, connection_id);
    const kal_file_rows wanted = {.path = path};

    if (slot == NULL || slot->files.len == 0)
        return false;
    const kal_file_rows *found = bsearch(&wanted, slot->files.items, slot->files.len,
                                         sizeof *slot->files.items, compare_paths);
    if (found == NULL)
        return false;
    *file_out = found->dead == NULL ? NULL : found;
    return true;
}

static size_t live_rows(const void *file, uint64_t first, size_t count, uint32_t *live_out)
{
    return kal_file_rows_live(file, first, count, live_out);
}

kal_status kal_files_register(kal_engine *engine, duckdb_connection connection, kal_error *err)
{
    const kal_duckdb_module_ops ops = {
        .duckdb_version = KAL_DUCKDB_VERSION,
        .struct_size = sizeof ops,
        .context = engine,
        .select = select_of,
        .has_parameters = has_parameters,
        .find = find_file,
        .live = live_rows,
    };
    return kal_duckdb_register_module(engine->module_path, connection, &ops, err);
}
