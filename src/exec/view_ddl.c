/*
 * view_ddl.c: CREATE [OR REPLACE] VIEW and DROP VIEW.
 *
 * A view is kept as two texts: what its creator wrote, and what runs:
 *
 *     SELECT CAST("kal_view"."a" AS INTEGER) AS "a", "kal_view"."b" AS "b" FROM (the SELECT, names
 * qualified) AS "v"
 *
 * So its columns are those it had when it was made, by name and type, whatever becomes of the
 * tables under it: DESCRIBE, information_schema and SELECT * cannot disagree, and a column that is
 * gone is an error, not another column. The columns of the tables are kept too: one that is added
 * later takes no name in the SELECT. Who reads a view needs the right to read what it reads; so
 * did its creator.
 */
#include "base/assert.h"
#include "engine/lex.h"
#include "exec/ddl.h"

#include <string.h>

typedef struct view_plan {
    kal_run *run;
    const kal_sql_create_view *sql;
    kal_bytes ns;
    kal_engine_qualified qualified;
    kal_column *columns; /* arena; as the view will have them */
    kal_bytes *inner;    /* arena; the names under them */
    size_t count;
    kal_view_query query; /* arena */
} view_plan;

static kal_status out_of_memory(kal_error *err)
{
    return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
}

/* ---- columns ---- */

/* Columns named in front stand for any names in the SELECT, but not for those that say how a table
 * is read, which differs from statement to statement. */
static kal_status check_inner_name(const view_plan *v, const kal_engine_column *column,
                                   size_t number, kal_error *err)
{
    bool renamed = v->sql->columns.count > 0;
    bool is_stable = memmem(column->inner_name.ptr, column->inner_name.len, "kal_", 4) == NULL;
    if (kal_ddl_is_column_name(column->inner_name) || (renamed && is_stable))
        return KAL_OK;
    kal_error_set(err, KAL_INVALID, "column %zu of the view's SELECT, '%.*s', has no name", number,
                  column->name.len > 80 ? 80 : (int)column->name.len,
                  (const char *)column->name.ptr);
    kal_error_hint(err, "give it one with AS");
    return KAL_INVALID;
}

static kal_status take_columns(void *context, const kal_engine_column *columns, size_t count,
                               kal_error *err)
{
    view_plan *v = context;
    kal_arena *arena = v->run->arena;

    v->count = count;
    v->columns = kal_arena_try_array(arena, count + 1, sizeof *v->columns);
    v->inner = kal_arena_try_array(arena, count + 1, sizeof *v->inner);
    if (v->columns == NULL || v->inner == NULL)
        return out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        KAL_TRY(check_inner_name(v, &columns[i], i + 1, err));
        if (!kal_arena_try_copy(arena, columns[i].inner_name, &v->inner[i]))
            return out_of_memory(err);
        v->columns[i] = (kal_column){.name = v->inner[i],
                                     .ordinal_position = (uint32_t)i + 1,
                                     .type = columns[i].type,
                                     .is_nullable = true};
    }
    return KAL_OK;
}

static kal_status no_row(void *context, const kal_value *values, kal_error *err)
{
    (void)context, (void)values, (void)err;
    return KAL_OK;
}

/* Binds the SELECT and asks for no row: names and types, and whether its creator may read it. */
static kal_status bind_columns(view_plan *v, kal_error *err)
{
    kal_engine_sink sink = {v, take_columns, no_row};
    kal_buf sql; /* owned */

    kal_buf_init(&sql, v->run->budget);
    kal_buf_append_cstr(&sql, "SELECT * FROM (");
    size_t before = sql.len;
    kal_buf_append_bytes(&sql, v->sql->text);
    kal_buf_append_cstr(&sql, "\n) AS \"" KAL_VIEW_BODY "\" LIMIT 0");
    kal_status status = kal_buf_failed(&sql)
                            ? out_of_memory(err)
                            : kal_run_engine(v->run, kal_buf_bytes(&sql), &sink, err);
    kal_buf_release(&sql);
    if (status != KAL_OK && err->position >= 0)
        err->position = err->position < (int64_t)before
                            ? (int64_t)v->sql->text_position
                            : err->position - (int64_t)before + v->sql->text_position;
    return status;
}

static kal_status rename_columns(view_plan *v, kal_error *err)
{
    const kal_sql_names *names = &v->sql->columns;
    if (names->count == 0)
        return KAL_OK;
    if (names->count != v->count) {
        kal_error_set(err, KAL_INVALID, "the view names %zu columns, its SELECT has %zu",
                      names->count, v->count);
        kal_error_at(err, names->items[0].position);
        return KAL_INVALID;
    }
    for (size_t i = 0; i < v->count; i++) {
        KAL_TRY(kal_ddl_check_column_name(&names->items[i], err));
        v->columns[i].name = names->items[i].text;
    }
    return KAL_OK;
}

/* ---- the text that runs ---- */

/* DuckDB has no name for FILE, which is a text to it. A cast to the type a column has costs
 * nothing. */
static bool is_cast(kal_type type)
{
    return type.tag != KAL_TYPE_FILE;
}

static kal_status make_sql(view_plan *v, kal_error *err)
{
    kal_buf sql; /* owned */

    kal_buf_init(&sql, v->run->budget);
    kal_buf_append_cstr(&sql, "SELECT ");
    for (size_t i = 0; i < v->count; i++) {
        char type[KAL_TYPE_NAME_BYTES];
        bool cast = is_cast(v->columns[i].type);
        kal_buf_append_cstr(&sql, i == 0 ? "" : ", ");
        kal_buf_append_cstr(&sql, cast ? "CAST(\"" KAL_VIEW_BODY "\"." : "\"" KAL_VIEW_BODY "\".");
        kal_lex_quote(&sql, v->inner[i]);
        if (cast)
            kal_buf_printf(&sql, " AS %s)", kal_type_duckdb_name(v->columns[i].type, type));
        kal_buf_append_cstr(&sql, " AS ");
        kal_lex_quote(&sql, v->columns[i].name);
    }
    kal_buf_append_cstr(&sql, " FROM (");
    kal_buf_append_bytes(&sql, v->qualified.text);
    kal_buf_append_cstr(&sql, "\n) AS \"" KAL_VIEW_BODY "\"");
    bool kept = !kal_buf_failed(&sql) &&
                kal_arena_try_copy(v->run->arena, kal_buf_bytes(&sql), &v->query.sql);
    kal_buf_release(&sql);
    return kept ? KAL_OK : out_of_memory(err);
}

static kal_status keep_columns(view_plan *v, const kal_engine_name *name, kal_view_table *out,
                               kal_error *err)
{
    kal_table *table = NULL;

    KAL_TRY(kal_run_table_named(v->run, name->schema, name->name, &table, err));
    const kal_table_definition *def = table->def;
    *out = (kal_view_table){.namespace_id = name->schema, .table_name = name->name};
    out->columns = kal_arena_try_array(v->run->arena, def->column_count + 1, sizeof *out->columns);
    if (out->columns == NULL)
        return out_of_memory(err);
    for (uint32_t i = 0; i < def->column_count; i++)
        out->columns[out->column_count++] = def->columns[i].name; /* the run retains the table */
    return KAL_OK;
}

static kal_status keep_tables(view_plan *v, kal_error *err)
{
    size_t count = v->qualified.table_count;

    v->query.tables = kal_arena_try_array(v->run->arena, count + 1, sizeof *v->query.tables);
    if (v->query.tables == NULL)
        return out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        const kal_engine_name *t = &v->qualified.tables[i];
        if (kal_view_query_find(&v->query, t->schema, t->name) == NULL)
            KAL_TRY(keep_columns(v, t, &v->query.tables[v->query.table_count++], err));
    }
    return KAL_OK;
}

static kal_status plan_view(view_plan *v, kal_error *err)
{
    const kal_engine_name name = {v->ns, v->sql->view.name.text};
    kal_status status = kal_run_qualify(v->run, v->sql->text, &name, &v->qualified, err);
    if (status != KAL_OK) {
        if (err->position >= 0)
            err->position += v->sql->text_position;
        return status;
    }
    KAL_TRY(keep_tables(v, err));
    KAL_TRY(bind_columns(v, err));
    KAL_TRY(rename_columns(v, err));
    return make_sql(v, err);
}

/* ---- the statements ---- */

static kal_status not_a_view(const kal_table *table, kal_error *err)
{
    return kal_error_set(err, KAL_INVALID, "'%.*s.%.*s' is a table, not a view",
                         KAL_FMT(table->def->namespace_id), KAL_FMT(table->def->table_name));
}

/* What stands under the name already: NULL when nothing does. The DDL lock is held. */
static kal_status existing(view_plan *v, kal_table **table_out, kal_error *err)
{
    kal_status status = kal_run_table_named(v->run, v->ns, v->sql->view.name.text, table_out, NULL);
    if (status == KAL_NOT_FOUND) {
        *table_out = NULL;
        return KAL_OK;
    }
    KAL_TRY(status);
    if ((*table_out)->def->table_type == KAL_TABLE_VIEW || !v->sql->or_replace)
        return KAL_OK;
    return not_a_view(*table_out, err);
}

static kal_status carry_out(view_plan *v, kal_catalog_change *change,
                            const kal_table_definition *def, bool *existed, kal_error *err)
{
    kal_table *before = NULL;

    KAL_TRY(existing(v, &before, err));
    if (before != NULL && v->sql->or_replace)
        KAL_TRY(kal_catalog_replace_view(change, before, def, err));
    else
        KAL_TRY(kal_catalog_create_table(change, def, v->sql->if_not_exists, existed, err));
    return *existed ? KAL_OK : kal_run_commit_change(v->run, change, err);
}

kal_status kal_run_create_view(kal_run *run, kal_error *err)
{
    const kal_sql_create_view *s = &run->statement->create_view;
    view_plan v = {
        .run = run, .sql = s, .ns = s->view.namespace_name.text, .query = {.text = s->text}};
    kal_table_definition *def = NULL;
    bool existed = false;

    if (v.ns.len == 0)
        v.ns = run->default_namespace;
    KAL_TRY(kal_may_change_schema(run->principal, err));
    KAL_TRY(plan_view(&v, err));
    KAL_TRY(kal_view_definition_create(v.ns, s->view.name.text, v.columns, v.count, &v.query,
                                       run->session.now_us, run->arena, &def, err));
    if (s->has_comment)
        def->comment = s->comment;
    kal_catalog_change *change = kal_catalog_begin(run->exec->catalog, run->principal);
    kal_status status = carry_out(&v, change, def, &existed, err);
    kal_catalog_end(change);
    if (status != KAL_OK) {
        kal_error_at(err, s->view.position);
        return status;
    }
    kal_result_message(run->result, 0, "View %.*s.%.*s %s", KAL_FMT(v.ns),
                       KAL_FMT(s->view.name.text),
                       existed ? "already exists (skipped)" : "created successfully");
    return KAL_OK;
}

static kal_status check_is_view(kal_run *run, const kal_sql_table_stmt *s, kal_error *err)
{
    kal_table *view = NULL;

    kal_status status = kal_run_table(run, &s->table, &view, err);
    if (status == KAL_OK && view->def->table_type != KAL_TABLE_VIEW)
        return not_a_view(view, err);
    return status == KAL_NOT_FOUND ? KAL_OK : status;
}

kal_status kal_run_drop_view(kal_run *run, kal_error *err)
{
    return kal_ddl_drop(run, "View", check_is_view, err);
}
