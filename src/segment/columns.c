#include "segment/columns.h"
#include "types/widen.h"

/* A name that no column of the table has, in any case of letters. */
static kal_bytes free_name(const kal_table_definition *def, const char *wanted, kal_arena *arena)
{
    kal_bytes name = kal_cstr(wanted);
    while (kal_table_definition_find(def, name) >= 0)
        name = kal_cstr(kal_arena_printf(arena, "_%.*s", KAL_FMT(name)));
    return name;
}

kal_parquet_column *kal_segment_columns(const kal_table_definition *def, kal_arena *arena,
                                        size_t *count_out)
{
    size_t count = KAL_SEGMENT_HIDDEN_COUNT + def->column_count;
    kal_parquet_column *columns = kal_arena_alloc(arena, count * sizeof *columns);
    const kal_type number = kal_type_of(KAL_TYPE_BIGINT);

    columns[KAL_SEGMENT_USER_COLUMN] = (kal_parquet_column){
        free_name(def, "_user_no", arena), number, true, KAL_SEGMENT_FIELD_USER_NO};
    columns[KAL_SEGMENT_SEQ_COLUMN] =
        (kal_parquet_column){free_name(def, "_seq", arena), number, true, KAL_SEGMENT_FIELD_SEQ};
    for (uint32_t i = 0; i < def->column_count; i++) {
        const kal_column *c = &def->columns[i];
        columns[KAL_SEGMENT_HIDDEN_COUNT + i] =
            (kal_parquet_column){c->name, c->type, false, c->column_id};
    }
    *count_out = count;
    return columns;
}

static uint32_t find_id(const kal_table_definition *def, uint32_t column_id)
{
    for (uint32_t i = 0; i < def->column_count; i++) {
        if (def->columns[i].column_id == column_id)
            return i;
    }
    return KAL_ROW_NO_COLUMN;
}

kal_status kal_segment_sources(const kal_table *table, const kal_table_definition *file_def,
                               kal_arena *arena, kal_segment_column_source **sources_out,
                               kal_error *err)
{
    const kal_table_definition *now = table->def;
    kal_segment_column_source *sources =
        kal_arena_alloc(arena, now->column_count * sizeof *sources);

    /* By an older definition than the file's, columns would be missing: in what is read, and, when
     * the segment is merged, for ever. */
    if (file_def->schema_version > now->schema_version)
        return kal_error_set(err, KAL_STALE, "table '%.*s' was altered meanwhile, try again",
                             KAL_FMT(now->table_name));
    for (uint32_t i = 0; i < now->column_count; i++) {
        const kal_column *column = &now->columns[i];
        uint32_t at = find_id(file_def, column->column_id);
        sources[i] = (kal_segment_column_source){at, column->initial_default};
        if (at == KAL_ROW_NO_COLUMN)
            continue;
        if (!kal_type_widens(file_def->columns[at].type, column->type))
            return kal_error_set(err, KAL_CORRUPT,
                                 "column '%.*s' of a segment of table '%.*s' has another type",
                                 KAL_FMT(column->name), KAL_FMT(now->table_name));
        sources[i].file_column = KAL_SEGMENT_HIDDEN_COUNT + at;
    }
    *sources_out = sources;
    return KAL_OK;
}
