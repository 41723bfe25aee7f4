/*
 * describe.c: DESCRIBE TABLE, its HISTORY, and SHOW CREATE TABLE. Everybody who is logged in may
 * read schemas.
 */
#include "exec/exec_internal.h"

/* name, type; the original's eight first, in its order */
#define DESCRIBE_COLUMNS(X)                                                                        \
    X("column_name", TEXT)                                                                         \
    X("ordinal_position", INT)                                                                     \
    X("data_type", TEXT)                                                                           \
    X("is_nullable", BOOLEAN)                                                                      \
    X("is_primary_key", BOOLEAN)                                                                   \
    X("is_partition_key", BOOLEAN)                                                                 \
    X("default_value", TEXT)                                                                       \
    X("column_comment", TEXT)                                                                      \
    X("column_id", INT)                                                                            \
    X("schema_version", INT)

#define HISTORY_COLUMNS(X)                                                                         \
    X("version", INT)                                                                              \
    X("created_at", TIMESTAMP)                                                                     \
    X("changes", TEXT)                                                                             \
    X("column_count", INT)

#define RESULT_COLUMN(text, type_tag)                                                              \
    {.name = {(const uint8_t *)(text), sizeof(text) - 1}, .type = {.tag = KAL_TYPE_##type_tag}},

static const kal_result_column DESCRIBE[] = {DESCRIBE_COLUMNS(RESULT_COLUMN)};
static const kal_result_column HISTORY[] = {HISTORY_COLUMNS(RESULT_COLUMN)};

static kal_value text_or_null(kal_bytes text)
{
    return text.ptr == NULL ? kal_value_null(kal_type_of(KAL_TYPE_TEXT)) : kal_value_text(text);
}

static kal_value whole(uint32_t v)
{
    return kal_value_integer(KAL_TYPE_INT, v);
}

static kal_status describe_column(kal_run *run, const kal_table_definition *def,
                                  const kal_column *c, kal_error *err)
{
    char type_name[KAL_TYPE_NAME_BYTES];
    kal_buf text; /* owned */

    kal_buf_init(&text, NULL);
    kal_column_default_to_sql(&c->default_value, &text);
    bool has_default = c->default_value.kind != KAL_DEFAULT_NONE;
    const kal_value row[] = {
        kal_value_text(c->name),
        whole(c->ordinal_position),
        kal_value_text(kal_cstr(kal_type_name(c->type, type_name))),
        kal_value_boolean(c->is_nullable),
        kal_value_boolean(c->is_primary_key),
        kal_value_boolean(c->is_partition_key),
        text_or_null(has_default ? kal_buf_bytes(&text) : (kal_bytes){0}),
        text_or_null(c->comment),
        whole(c->column_id),
        whole(def->schema_version),
    };
    _Static_assert(KAL_ARRAY_LEN(row) == KAL_ARRAY_LEN(DESCRIBE), "one value per column");
    kal_status status = kal_result_row(run->result, row, KAL_ARRAY_LEN(row), err);
    kal_buf_release(&text);
    return status;
}

static kal_status end_result(kal_run *run, kal_status status)
{
    if (status == KAL_OK)
        kal_result_end(run->result);
    else
        kal_result_restart(run->result);
    return status;
}

static kal_status describe_columns(kal_run *run, const kal_table *table, kal_error *err)
{
    kal_status status = KAL_OK;
    kal_result_begin(run->result, DESCRIBE, KAL_ARRAY_LEN(DESCRIBE));
    for (uint32_t i = 0; i < table->def->column_count && status == KAL_OK; i++)
        status = describe_column(run, table->def, &table->def->columns[i], err);
    return end_result(run, status);
}

static kal_status describe_history(kal_run *run, const kal_table *table, kal_error *err)
{
    kal_schema_version *versions = NULL;
    size_t count = 0;
    kal_status status = KAL_OK;

    KAL_TRY(kal_catalog_table_history(run->exec->catalog, run->view->snapshot, table->def->table_id,
                                      run->arena, &versions, &count, err));
    kal_result_begin(run->result, HISTORY, KAL_ARRAY_LEN(HISTORY));
    for (size_t i = 0; i < count && status == KAL_OK; i++) {
        const kal_value row[] = {
            whole(versions[i].version),
            kal_value_integer(KAL_TYPE_TIMESTAMP, versions[i].created_at_us),
            kal_value_text(versions[i].changes),
            whole(versions[i].column_count),
        };
        _Static_assert(KAL_ARRAY_LEN(row) == KAL_ARRAY_LEN(HISTORY), "one value per column");
        status = kal_result_row(run->result, row, KAL_ARRAY_LEN(row), err);
    }
    return end_result(run, status);
}

kal_status kal_run_describe(kal_run *run, kal_error *err)
{
    const kal_sql_table_stmt *s = &run->statement->table;
    kal_table *table = NULL;

    KAL_TRY(kal_run_table(run, &s->table, &table, err));
    return s->history ? describe_history(run, table, err) : describe_columns(run, table, err);
}

kal_status kal_run_show_create_table(kal_run *run, kal_error *err)
{
    const kal_result_column columns[] = {
        {.name = KAL_STR("table_name"), .type = kal_type_of(KAL_TYPE_TEXT)},
        {.name = KAL_STR("create_statement"), .type = kal_type_of(KAL_TYPE_TEXT)},
    };
    kal_table *table = NULL;
    kal_buf sql; /* owned */

    KAL_TRY(kal_run_table(run, &run->statement->table.table, &table, err));
    kal_buf_init(&sql, run->budget);
    kal_table_definition_to_sql(table->def, &sql);
    kal_bytes name = kal_table_definition_qualified_name(table->def, run->arena);
    const kal_value row[] = {kal_value_text(name), kal_value_text(kal_buf_bytes(&sql))};
    kal_result_begin(run->result, columns, KAL_ARRAY_LEN(columns));
    kal_status status = kal_result_row(run->result, row, KAL_ARRAY_LEN(row), err);
    kal_buf_release(&sql);
    return end_result(run, status);
}
