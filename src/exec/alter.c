/*
 * alter.c: ALTER TABLE and COMMENT ON: from the statement to the next version of the table.
 *
 * An alteration writes one version record and no row: its cost does not depend on the rows. Two
 * kinds say something about rows that exist:
 *
 *   ADD COLUMN ... NOT NULL without DEFAULT   the table must be empty: the lane looks, in the
 *                                             moment of the change
 *   SET NOT NULL                              1. new writes must not put NULL there (published, not
 *                                                stored: after a crash it never was)
 *                                             2. every row is looked at, while writers go on
 *                                             3. the new version is published, or 1. taken back
 */
#include "base/assert.h"
#include "exec/ddl.h"
#include "exec/dml.h"

enum { CHECK_TIME_ROWS = 1024 };

typedef struct alter_run {
    kal_run *run;
    const kal_sql_alter_table *sql;
    kal_alter *steps; /* arena */
    kal_table *table; /* as it is */
    kal_altered altered;
    kal_catalog_change *change;
    kal_arena arena;     /* of altered: definitions are bounded, so without a budget */
    uint64_t *null_rows; /* one per altered.not_null_ids */
    uint64_t failing_rows;
} alter_run;

/* ---- from syntax to steps ---- */

/* What rows read as that are there already: the default, evaluated now, once for all of them. */
static kal_status initial_default(kal_run *run, kal_column *column, kal_error *err)
{
    kal_value *initial = kal_arena_try_alloc(run->arena, sizeof *initial);
    if (initial == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    KAL_TRY(kal_dml_default(run, column, initial, err));
    column->initial_default = initial->is_null ? NULL : initial;
    return KAL_OK;
}

static kal_status make_step(kal_run *run, const kal_sql_alter *s, kal_alter *out, kal_error *err)
{
    static const kal_alter_kind KINDS[] = {
        [KAL_SQL_ALTER_ADD] = KAL_ALTER_ADD_COLUMN,
        [KAL_SQL_ALTER_DROP] = KAL_ALTER_DROP_COLUMN,
        [KAL_SQL_ALTER_RENAME_COLUMN] = KAL_ALTER_RENAME_COLUMN,
        [KAL_SQL_ALTER_SET_TYPE] = KAL_ALTER_SET_TYPE,
        [KAL_SQL_ALTER_SET_NOT_NULL] = KAL_ALTER_SET_NOT_NULL,
        [KAL_SQL_ALTER_DROP_NOT_NULL] = KAL_ALTER_DROP_NOT_NULL,
        [KAL_SQL_ALTER_SET_DEFAULT] = KAL_ALTER_SET_DEFAULT,
        [KAL_SQL_ALTER_COMMENT_COLUMN] = KAL_ALTER_COMMENT_COLUMN,
        [KAL_SQL_ALTER_COMMENT_TABLE] = KAL_ALTER_COMMENT_TABLE,
        [KAL_SQL_ALTER_RENAME_TABLE] = KAL_ALTER_RENAME_TABLE,
        [KAL_SQL_ALTER_SET_OPTION] = KAL_ALTER_SET_OPTION,
    };
    *out = (kal_alter){
        .kind = KINDS[s->kind],
        .column = s->column.text,
        .new_name = s->new_name.text,
        .if_exists = s->if_exists,
        .type = s->type.type,
        .comment = s->comment,
        .option = s->option.name,
    };
    switch (s->kind) {
    case KAL_SQL_ALTER_ADD:
        KAL_TRY(kal_ddl_column(run, &s->def, 1, &out->added, err));
        out->added.ordinal_position = 0; /* the table assigns it */
        return initial_default(run, &out->added, err);
    case KAL_SQL_ALTER_RENAME_COLUMN:
        return kal_ddl_check_column_name(&s->new_name, err);
    case KAL_SQL_ALTER_SET_DEFAULT:
        if (s->default_value == NULL)
            return KAL_OK;
        return kal_ddl_default(run, s->default_value, &out->default_value, err);
    case KAL_SQL_ALTER_SET_OPTION:
        return kal_ddl_option_value(&s->option, &out->option_value, err);
    default:
        return KAL_OK;
    }
}

static kal_status make_steps(alter_run *a, kal_error *err)
{
    a->steps = kal_arena_try_array(a->run->arena, a->sql->step_count, sizeof *a->steps);
    if (a->steps == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    for (size_t i = 0; i < a->sql->step_count; i++) {
        kal_status status = make_step(a->run, &a->sql->steps[i], &a->steps[i], err);
        if (status != KAL_OK) {
            kal_error_at(err, a->sql->steps[i].position);
            return status;
        }
    }
    return KAL_OK;
}

/* ---- what rows say ---- */

static void count_nulls(alter_run *a, const kal_table *next, const kal_row *row)
{
    bool failing = false;
    for (uint32_t i = 0; i < a->altered.not_null_count; i++) {
        for (uint32_t c = 0; c < next->def->column_count; c++) {
            kal_value value;
            if (next->def->columns[c].column_id != a->altered.not_null_ids[i])
                continue;
            kal_row_get(row, c, &value);
            a->null_rows[i] += value.is_null;
            failing = failing || value.is_null;
        }
    }
    a->failing_rows += failing || a->altered.needs_empty;
}

/* Looks at every row there is now, through the eyes of the next version. */
static kal_status check_rows(alter_run *a, kal_table *next, kal_error *err)
{
    kal_view view;
    kal_scan *scan = NULL; /* owned */
    kal_row row;
    uint64_t scanned = 0;

    a->failing_rows = 0;
    a->null_rows =
        kal_arena_alloc(&a->arena, (a->altered.not_null_count + 1) * sizeof *a->null_rows);
    kal_view_open(&view, a->run->exec->tables, 0, NULL);
    kal_status status = kal_scan_open_all_users(&view, next, true, &scan, err);
    while (status == KAL_OK) {
        status = kal_scan_next(scan, &row, NULL, err);
        if (status == KAL_OK)
            count_nulls(a, next, &row);
        if (status == KAL_OK && ++scanned % CHECK_TIME_ROWS == 0)
            status = kal_run_check_time(a->run, err);
    }
    kal_scan_close(scan);
    kal_view_close(&view);
    return status == KAL_END ? KAL_OK : status;
}

static kal_bytes column_name(const kal_table_definition *def, uint32_t column_id)
{
    for (uint32_t i = 0; i < def->column_count; i++) {
        if (def->columns[i].column_id == column_id)
            return def->columns[i].name;
    }
    return (kal_bytes){0};
}

static kal_status nulls_exist(const alter_run *a, kal_error *err)
{
    for (uint32_t i = 0; i < a->altered.not_null_count; i++) {
        if (a->null_rows[i] == 0)
            continue;
        kal_error_set(err, KAL_INVALID,
                      "column '%.*s' cannot become NOT NULL: it is NULL in %llu row%s",
                      KAL_FMT(column_name(a->altered.def, a->altered.not_null_ids[i])),
                      (unsigned long long)a->null_rows[i], a->null_rows[i] == 1 ? "" : "s");
        kal_error_code(err, "NOT_NULL_VIOLATION");
        return KAL_INVALID;
    }
    return KAL_OK;
}

/* Of a column that is new, NOT NULL and without a default. */
static kal_status not_empty(const alter_run *a, kal_error *err)
{
    const kal_table_definition *def = a->altered.def;
    for (uint32_t i = 0; i < def->column_count; i++) {
        const kal_column *column = &def->columns[i];
        if (column->column_id <= a->table->def->column_id_max || column->is_nullable ||
            column->initial_default != NULL)
            continue;
        kal_error_set(
            err, KAL_INVALID,
            "column '%.*s' is NOT NULL without a DEFAULT, and table '%.*s.%.*s' holds rows",
            KAL_FMT(column->name), KAL_FMT(def->namespace_id), KAL_FMT(def->table_name));
        kal_error_code(err, "NOT_NULL_VIOLATION");
        kal_error_hint(err, "give a DEFAULT, which existing rows then read as");
        return KAL_INVALID;
    }
    return kal_error_set(err, KAL_INTERNAL, "the table is not empty");
}

/* ---- committing ---- */

static kal_status commit(alter_run *a, kal_error *err)
{
    kal_write *write = kal_write_open(a->run->exec->tables, a->run->budget); /* owned */

    kal_write_set_change(write, a->change);
    if (a->altered.needs_empty)
        kal_write_require_empty(write, a->table);
    kal_status status = kal_write_commit(write, err);
    kal_write_close(write);
    if (status == KAL_INVALID && a->altered.needs_empty)
        return not_empty(a, err);
    return status;
}

/* Makes writers keep NULL out of the columns, or (count 0) lets them again. */
static kal_status enforce(alter_run *a, uint32_t count, kal_error *err)
{
    kal_catalog_enforce_not_null(a->change, a->table, a->altered.not_null_ids, count);
    return kal_run_commit_change(a->run, a->change, err);
}

static kal_status check_and_commit(alter_run *a, kal_error *err)
{
    kal_table *next = NULL;
    KAL_TRY(kal_catalog_alter_table(a->change, a->table, &a->altered, &next, err));
    if (a->altered.not_null_count > 0) {
        KAL_TRY(check_rows(a, next, err));
        KAL_TRY(nulls_exist(a, err));
    }
    return commit(a, err);
}

static kal_status carry_out(alter_run *a, kal_error *err)
{
    if (a->altered.not_null_count == 0)
        return check_and_commit(a, err);
    KAL_TRY(enforce(a, a->altered.not_null_count, err));
    kal_status status = check_and_commit(a, err);
    if (status != KAL_OK) {
        kal_error ignored = KAL_ERROR_INIT; /* the first failure is the answer */
        kal_catalog_forget(a->change);
        /* Stores nothing, and a full queue takes it: it fails only where no write is possible until
         * the server is started anew, which knows nothing of it. */
        if (enforce(a, 0, &ignored) != KAL_OK)
            return status;
    }
    return status;
}

/* ---- answers ---- */

static void altered_message(const alter_run *a)
{
    const kal_table_definition *def = a->altered.def;
    kal_buf text; /* owned */

    kal_buf_init(&text, NULL);
    kal_schema_changes_to_text(&a->altered.changes, &text);
    if (text.len == 0)
        kal_buf_append_cstr(&text, "nothing to change");
    kal_result_message(a->run->result, 0, "Table %.*s.%.*s altered successfully: %.*s (version %u)",
                       KAL_FMT(def->namespace_id), KAL_FMT(a->table->def->table_name),
                       KAL_FMT(kal_buf_bytes(&text)), def->schema_version);
    kal_buf_release(&text);
}

static kal_value text_or_null(kal_bytes text)
{
    return text.ptr == NULL ? kal_value_null(kal_type_of(KAL_TYPE_TEXT)) : kal_value_text(text);
}

static uint64_t failing_rows_of(const alter_run *a, const kal_schema_change *change)
{
    for (uint32_t i = 0; i < a->altered.not_null_count; i++) {
        if (change->kind == KAL_SCHEMA_SET_NOT_NULL &&
            change->column_id == a->altered.not_null_ids[i])
            return a->null_rows[i];
    }
    return change->kind == KAL_SCHEMA_ADD_COLUMN && a->altered.needs_empty ? a->failing_rows : 0;
}

static kal_status dry_run_row(const alter_run *a, const kal_schema_change *change, kal_error *err)
{
    kal_buf text; /* owned */
    kal_buf_init(&text, NULL);
    kal_schema_change_to_text(change, &text);
    const kal_value row[] = {
        kal_value_text(kal_buf_bytes(&text)),
        change->column_id == 0 ? text_or_null((kal_bytes){0}) : text_or_null(change->name),
        text_or_null(change->before),
        text_or_null(change->after),
        kal_value_bigint((int64_t)failing_rows_of(a, change)),
    };
    kal_status status = kal_result_row(a->run->result, row, KAL_ARRAY_LEN(row), err);
    kal_buf_release(&text);
    return status;
}

/* The table as a whole: its definitions before and after, and all rows that stand against it. */
static kal_status dry_run_table(const alter_run *a, kal_error *err)
{
    kal_buf before; /* owned */
    kal_buf after;  /* owned */

    kal_buf_init(&before, NULL);
    kal_buf_init(&after, NULL);
    kal_table_definition_to_sql(a->table->def, &before);
    kal_table_definition_to_sql(a->altered.def, &after);
    const kal_value row[] = {
        kal_value_text(KAL_STR("definition")),      text_or_null((kal_bytes){0}),
        kal_value_text(kal_buf_bytes(&before)),     kal_value_text(kal_buf_bytes(&after)),
        kal_value_bigint((int64_t)a->failing_rows),
    };
    kal_status status = kal_result_row(a->run->result, row, KAL_ARRAY_LEN(row), err);
    kal_buf_release(&before);
    kal_buf_release(&after);
    return status;
}

/* What would happen, and nothing happens. */
static kal_status dry_run(alter_run *a, kal_error *err)
{
    const kal_type text = kal_type_of(KAL_TYPE_TEXT);
    const kal_result_column columns[] = {
        {.name = KAL_STR("change"), .type = text},
        {.name = KAL_STR("column_name"), .type = text},
        {.name = KAL_STR("before"), .type = text},
        {.name = KAL_STR("after"), .type = text},
        {.name = KAL_STR("failing_rows"), .type = kal_type_of(KAL_TYPE_BIGINT)},
    };
    kal_table *next = NULL;
    kal_status status = KAL_OK;

    if (a->altered.changes.len > 0)
        KAL_TRY(kal_catalog_alter_table(a->change, a->table, &a->altered, &next, err));
    if (a->altered.not_null_count > 0 || a->altered.needs_empty)
        KAL_TRY(check_rows(a, next, err));
    kal_result_begin(a->run->result, columns, KAL_ARRAY_LEN(columns));
    for (size_t i = 0; i < a->altered.changes.len && status == KAL_OK; i++)
        status = dry_run_row(a, &a->altered.changes.items[i], err);
    if (status == KAL_OK)
        status = dry_run_table(a, err);
    if (status == KAL_OK)
        kal_result_end(a->run->result);
    else
        kal_result_restart(a->run->result);
    return status;
}

/* ---- the statement ---- */

/* The DDL lock is held: what is looked up now stays current. */
static kal_status alter_locked(alter_run *a, kal_error *err)
{
    kal_run *run = a->run;
    size_t failed = 0;

    KAL_TRY(kal_run_table(run, &a->sql->table, &a->table, err));
    if (a->table->def->table_type == KAL_TABLE_SYSTEM)
        return kal_error_set(err, KAL_DENIED, "namespace '%.*s' is the server's own",
                             KAL_FMT(a->table->def->namespace_id));
    KAL_TRY(kal_ddl_check_is_table(a->table, a->sql->table.position, err));
    KAL_TRY(kal_ddl_check_kind(a->table, a->sql->table_type, a->sql->table.position, err));
    kal_status status = kal_table_alter(a->table->def, a->steps, a->sql->step_count,
                                        run->session.now_us, &a->arena, &a->altered, &failed, err);
    if (status != KAL_OK) {
        if (failed < a->sql->step_count)
            kal_error_at(err, a->sql->steps[failed].position);
        return status;
    }
    if (a->sql->dry_run)
        return dry_run(a, err);
    if (a->altered.changes.len > 0)
        KAL_TRY(carry_out(a, err));
    altered_message(a);
    return KAL_OK;
}

static kal_status skip_missing(kal_run *run, const kal_sql_object *name)
{
    kal_bytes ns = kal_sql_name_given(name->namespace_name) ? name->namespace_name.text
                                                            : run->default_namespace;
    kal_result_message(run->result, 0, "Table %.*s.%.*s does not exist (skipped)", KAL_FMT(ns),
                       KAL_FMT(name->name.text));
    return KAL_OK;
}

kal_status kal_run_alter_table(kal_run *run, kal_error *err)
{
    alter_run a = {.run = run, .sql = &run->statement->alter_table};

    KAL_TRY(kal_may_change_schema(run->principal, err));
    KAL_TRY(make_steps(&a, err));
    kal_arena_init(&a.arena, NULL);
    a.change = kal_catalog_begin(run->exec->catalog, run->principal);
    kal_status status = alter_locked(&a, err);
    kal_catalog_end(a.change);
    kal_arena_release(&a.arena);
    if (status == KAL_NOT_FOUND && a.table == NULL && a.sql->if_exists)
        return skip_missing(run, &a.sql->table);
    return status;
}
