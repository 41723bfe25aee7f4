/*
 * describe.c: DESCRIBE TABLE as it is, at a version, and its HISTORY; SHOW SCHEMA DIFF and SHOW
 * CREATE TABLE. Everybody who is logged in may
 * read schemas.
 */
#include "exec/exec_internal.h"
#include "types/type_forms.h"

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
    X("column_count", INT)                                                                         \
    X("actor", TEXT)                                                                               \
    X("commit_seq", BIGINT)

#define DIFF_COLUMNS(X)                                                                            \
    X("change", TEXT)                                                                              \
    X("kind", TEXT)                                                                                \
    X("column_id", INT)                                                                            \
    X("name", TEXT) /* of the column or option */                                                  \
    X("before", TEXT)                                                                              \
    X("after", TEXT)

#define RESULT_COLUMN(text, type_tag)                                                              \
    {.name = {(const uint8_t *)(text), sizeof(text) - 1}, .type = {.tag = KAL_TYPE_##type_tag}},

static const kal_result_column DESCRIBE[] = {DESCRIBE_COLUMNS(RESULT_COLUMN)};
static const kal_result_column HISTORY[] = {HISTORY_COLUMNS(RESULT_COLUMN)};
static const kal_result_column DIFF[] = {DIFF_COLUMNS(RESULT_COLUMN)};

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
    kal_type_forms scratch;
    kal_buf text; /* owned */

    kal_buf_init(&text, NULL);
    kal_column_default_to_sql(kal_column_default_of(c), &text);
    bool has_default = kal_column_has_default(c);
    const kal_value row[] = {
        kal_value_text(c->name),
        whole(c->ordinal_position),
        kal_value_text(kal_cstr(kal_type_forms_of(c->type, &scratch)->sql)),
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

static kal_status describe_columns(kal_run *run, const kal_table_definition *def, kal_error *err)
{
    kal_status status = KAL_OK;
    kal_result_begin(run->result, DESCRIBE, KAL_ARRAY_LEN(DESCRIBE));
    for (uint32_t i = 0; i < def->column_count && status == KAL_OK; i++)
        status = describe_column(run, def, &def->columns[i], err);
    return end_result(run, status);
}

/* The answer is kept with the table's version, from which alone it follows. */
static kal_status describe_now(kal_run *run, kal_table *table, kal_error *err)
{
    const kal_table_note *note = kal_table_note_get(table);
    kal_status status = KAL_OK;

    if (note != NULL) {
        kal_result_again(run->result, kal_bytes_of(note->text, note->len), note->number);
        return KAL_OK;
    }
    kal_result_begin(run->result, DESCRIBE, KAL_ARRAY_LEN(DESCRIBE));
    for (uint32_t i = 0; i < table->def->column_count && status == KAL_OK; i++)
        status = describe_column(run, table->def, &table->def->columns[i], err);
    if (status == KAL_OK)
        kal_table_note_set(table, kal_result_written(run->result), table->def->column_count);
    return end_result(run, status);
}

static kal_status history_row(kal_run *run, const kal_schema_version *v, kal_error *err)
{
    kal_buf changes; /* owned */

    kal_buf_init(&changes, run->budget);
    kal_schema_version_text(v, &changes);
    const kal_value row[] = {
        whole(v->version),
        kal_value_integer(KAL_TYPE_TIMESTAMP, v->created_at_us),
        kal_value_text(kal_buf_bytes(&changes)),
        whole(v->column_count),
        kal_value_text(v->actor),
        kal_value_bigint((int64_t)v->commit_seq),
    };
    _Static_assert(KAL_ARRAY_LEN(row) == KAL_ARRAY_LEN(HISTORY), "one value per column");
    kal_status status = kal_buf_failed(&changes)
                            ? kal_error_set(err, KAL_LIMIT, "the statement's memory is used up")
                            : kal_result_row(run->result, row, KAL_ARRAY_LEN(row), err);
    kal_buf_release(&changes);
    return status;
}

static kal_status describe_history(kal_run *run, const kal_table *table, kal_error *err)
{
    kal_schema_version *versions = NULL;
    size_t count = 0;
    kal_status status = KAL_OK;

    KAL_TRY(kal_catalog_table_history(run->exec->catalog, run->view->snapshot, table->def->table_id,
                                      run->arena, &versions, &count, err));
    kal_result_begin(run->result, HISTORY, KAL_ARRAY_LEN(HISTORY));
    for (size_t i = 0; i < count && status == KAL_OK; i++)
        status = history_row(run, &versions[i], err);
    return end_result(run, status);
}

/* ---- versions ---- */

static kal_status definition_at(kal_run *run, const kal_table *table, int64_t version,
                                kal_table_definition **out, kal_error *err)
{
    const kal_table_definition *def = table->def;
    kal_status status = KAL_NOT_FOUND;

    if (version >= 1 && version <= def->schema_version)
        status = kal_catalog_table_version(run->exec->catalog, run->view->snapshot, def->table_id,
                                           (uint32_t)version, run->arena, out, err);
    if (status != KAL_NOT_FOUND)
        return status;
    kal_error_set(err, KAL_INVALID, "table '%.*s.%.*s' has no version %lld, it has 1 to %u",
                  KAL_FMT(def->namespace_id), KAL_FMT(def->table_name), (long long)version,
                  def->schema_version);
    return KAL_INVALID;
}

static kal_status describe_at_version(kal_run *run, const kal_table *table, kal_error *err)
{
    const kal_sql_table_stmt *s = &run->statement->table;
    kal_table_definition *def = NULL;
    kal_status status = definition_at(run, table, s->version, &def, err);
    if (status == KAL_OK)
        return describe_columns(run, def, err);
    kal_error_at(err, s->version_position);
    return status;
}

static kal_status diff_row(kal_run *run, const kal_schema_change *change, kal_error *err)
{
    kal_buf text; /* owned */

    kal_buf_init(&text, NULL);
    kal_schema_change_to_text(change, &text);
    const kal_value row[] = {
        kal_value_text(kal_buf_bytes(&text)),
        kal_value_text(kal_cstr(kal_schema_change_name(change->kind))),
        change->column_id == 0 ? kal_value_null(kal_type_of(KAL_TYPE_INT))
                               : whole(change->column_id),
        text_or_null(change->name),
        text_or_null(change->before),
        text_or_null(change->after),
    };
    _Static_assert(KAL_ARRAY_LEN(row) == KAL_ARRAY_LEN(DIFF), "one value per column");
    kal_status status = kal_result_row(run->result, row, KAL_ARRAY_LEN(row), err);
    kal_buf_release(&text);
    return status;
}

kal_status kal_run_show_schema_diff(kal_run *run, kal_error *err)
{
    const kal_sql_schema_diff *s = &run->statement->schema_diff;
    kal_table *table = NULL;
    kal_table_definition *from = NULL;
    kal_table_definition *to = NULL;
    kal_schema_changes changes;
    kal_arena arena; /* owned; definitions are bounded */
    kal_status status = KAL_OK;

    KAL_TRY(kal_run_table(run, &s->table, &table, err));
    KAL_TRY(definition_at(run, table, s->from, &from, err));
    KAL_TRY(definition_at(run, table, s->to, &to, err));
    kal_arena_init(&arena, NULL);
    kal_schema_diff(from, to, &arena, &changes);
    kal_result_begin(run->result, DIFF, KAL_ARRAY_LEN(DIFF));
    for (size_t i = 0; i < changes.len && status == KAL_OK; i++)
        status = diff_row(run, &changes.items[i], err);
    kal_arena_release(&arena);
    return end_result(run, status);
}

/* ---- entry points ---- */

kal_status kal_run_describe(kal_run *run, kal_error *err)
{
    const kal_sql_table_stmt *s = &run->statement->table;
    kal_table *table = NULL;

    KAL_TRY(kal_run_table(run, &s->table, &table, err));
    if (s->at_version)
        return describe_at_version(run, table, err);
    if (s->history)
        return describe_history(run, table, err);
    return describe_now(run, table, err);
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
