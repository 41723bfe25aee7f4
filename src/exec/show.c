/*
 * show.c: SHOW NAMESPACES, SHOW TABLES and SHOW JOBS: chosen columns of the system tables; the
 * first two may be seen in this form by everybody who is logged in.
 */
#include "catalog/system_tables.h"
#include "exec/exec_internal.h"

static kal_status system_rows(kal_run *run, kal_system_table id, kal_table **table_out,
                              kal_system_rows *rows_out, kal_error *err)
{
    KAL_TRY(kal_run_table_named(run, kal_system_table_namespace(id), kal_system_table_name(id),
                                table_out, err));
    return kal_run_system_rows(run, *table_out, rows_out, err);
}

/* A TEXT column must have this text, or none. */
typedef struct show_filter {
    uint32_t column;
    kal_bytes text; /* empty: anything */
    bool is_null;
} show_filter;

static bool passes(const kal_value *row, const show_filter *filters, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const kal_value *v = &row[filters[i].column];
        if (filters[i].is_null && !v->is_null)
            return false;
        if (filters[i].text.len > 0 && (v->is_null || !kal_bytes_equal(v->bytes, filters[i].text)))
            return false;
    }
    return true;
}

/* Writes `columns` of the rows that pass all filters. */
static kal_status show_columns(kal_run *run, kal_system_table id, const uint32_t *columns,
                               size_t count, const show_filter *filters, size_t filter_count,
                               kal_error *err)
{
    kal_table *table = NULL;
    kal_system_rows rows;
    kal_status status = KAL_OK;
    kal_result_column *out = kal_arena_alloc(run->arena, count * sizeof *out);
    kal_value *cells = kal_arena_alloc(run->arena, count * sizeof *cells);

    KAL_TRY(system_rows(run, id, &table, &rows, err));
    for (size_t i = 0; i < count; i++) {
        const kal_column *c = &table->def->columns[columns[i]];
        out[i] = (kal_result_column){.name = c->name, .type = c->type};
    }
    kal_result_begin(run->result, out, count);
    for (size_t r = 0; r < rows.row_count && status == KAL_OK; r++) {
        const kal_value *row = rows.values + r * rows.column_count;
        if (!passes(row, filters, filter_count))
            continue;
        for (size_t i = 0; i < count; i++)
            cells[i] = row[columns[i]];
        status = kal_result_row(run->result, cells, count, err);
    }
    if (status == KAL_OK)
        kal_result_end(run->result);
    return status;
}

kal_status kal_run_show_namespaces(kal_run *run, kal_error *err)
{
    static const uint32_t COLUMNS[] = {KAL_NAMESPACES_NAME, KAL_NAMESPACES_TABLE_COUNT,
                                       KAL_NAMESPACES_CREATED_AT};
    return show_columns(run, KAL_SYSTEM_NAMESPACES, COLUMNS, KAL_ARRAY_LEN(COLUMNS), NULL, 0, err);
}

kal_status kal_run_show_jobs(kal_run *run, kal_error *err)
{
    static const uint32_t COLUMNS[] = {
        KAL_JOBS_JOB_ID,       KAL_JOBS_JOB_TYPE, KAL_JOBS_NAMESPACE_ID, KAL_JOBS_TABLE_NAME,
        KAL_JOBS_STATUS,       KAL_JOBS_PROGRESS, KAL_JOBS_CREATED_AT,   KAL_JOBS_STARTED_AT,
        KAL_JOBS_COMPLETED_AT, KAL_JOBS_RESULT,   KAL_JOBS_ERROR_MESSAGE};
    KAL_TRY(kal_may_manage(run->principal, "jobs", err));
    return show_columns(run, KAL_SYSTEM_JOBS, COLUMNS, KAL_ARRAY_LEN(COLUMNS), NULL, 0, err);
}

/* Of the whole database: those without a namespace. */
kal_status kal_run_show_backups(kal_run *run, kal_error *err)
{
    static const uint32_t COLUMNS[] = {
        KAL_JOBS_JOB_ID,       KAL_JOBS_STATUS, KAL_JOBS_PARAMETERS,   KAL_JOBS_CREATED_AT,
        KAL_JOBS_COMPLETED_AT, KAL_JOBS_RESULT, KAL_JOBS_ERROR_MESSAGE};
    const kal_sql_backup *backup = &run->statement->backup;
    const show_filter filters[] = {
        {.column = KAL_JOBS_JOB_TYPE, .text = kal_cstr(kal_job_type_name(KAL_JOB_BACKUP))},
        {.column = KAL_JOBS_NAMESPACE_ID,
         .text = backup->namespace_name.text,
         .is_null = backup->all},
    };

    KAL_TRY(kal_may_manage(run->principal, "backups", err));
    return show_columns(run, KAL_SYSTEM_JOBS, COLUMNS, KAL_ARRAY_LEN(COLUMNS), filters,
                        KAL_ARRAY_LEN(filters), err);
}

kal_status kal_run_show_tables(kal_run *run, kal_error *err)
{
    static const uint32_t COLUMNS[] = {KAL_TABLES_NAMESPACE, KAL_TABLES_TABLE_NAME,
                                       KAL_TABLES_TABLE_TYPE, KAL_TABLES_CREATED_AT,
                                       KAL_TABLES_SCHEMA_VERSION};
    const kal_sql_name *ns = &run->statement->show_tables.namespace_name;

    if (kal_sql_name_given(*ns) && !kal_catalog_has_namespace(run->exec->catalog, ns->text)) {
        kal_status status = kal_catalog_unknown_namespace(run->exec->catalog, ns->text, err);
        kal_error_at(err, ns->position);
        return status;
    }
    const show_filter of_namespace = {.column = KAL_TABLES_NAMESPACE, .text = ns->text};
    return show_columns(run, KAL_SYSTEM_TABLES, COLUMNS, KAL_ARRAY_LEN(COLUMNS), &of_namespace, 1,
                        err);
}
