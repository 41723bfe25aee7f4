/*
 * engine_ops.c: what DuckDB asks of a running statement: which tables there are, and their rows as
 * the statement's view shows them.
 *
 * A cursor is used by one thread at a time, but several cursors of one statement run at once; they
 * share the view, which is only read.
 */
#include "base/assert.h"
#include "exec/exec_internal.h"
#include "segment/cold_scan.h"

#include <stdlib.h>

enum { ROW_ESTIMATE = 1000 };

struct kal_engine_cursor {
    kal_run *run;
    kal_table *table;
    kal_scan *scan; /* owned; NULL for system tables */
    kal_system_rows system;
    size_t system_next;
    const uint32_t *columns; /* as wanted, in kal_engine_table's numbering */
    size_t column_count;
    uint32_t *cold_columns; /* the same for kal_scan_next_chunk(); in the cursor's memory */
    bool wants_seq;         /* the column _seq is one of them */
    uint64_t wanted[KAL_COLUMNS_MAX / 64 + 1]; /* bits of these columns */
    kal_arena arena;                           /* owned: rows that `next` has handed out */
};

static uint64_t engine_id(const kal_table_definition *def)
{
    return (uint64_t)def->table_id << 32 | def->schema_version;
}

static kal_status ops_resolve(void *statement, kal_bytes schema, kal_bytes name,
                              kal_engine_table *table_out, kal_error *err)
{
    kal_run *run = statement;
    kal_table *table = NULL;

    KAL_TRY(kal_run_table_named(run, schema, name, &table, err));
    KAL_TRY(kal_may_read(run->principal, table, err));
    bool system = table->def->table_type == KAL_TABLE_SYSTEM;
    size_t hidden = system ? 0 : KAL_HIDDEN_COUNT;
    size_t count = table->def->column_count;
    kal_engine_column *columns = kal_arena_alloc(run->arena, (count + hidden) * sizeof *columns);
    for (size_t i = 0; i < count; i++)
        columns[i] = (kal_engine_column){.name = table->def->columns[i].name,
                                         .type = table->def->columns[i].type};
    for (size_t h = 0; h < hidden; h++)
        columns[count + h] =
            (kal_engine_column){.name = kal_hidden_name(h), .type = kal_hidden_type(h)};
    *table_out = (kal_engine_table){
        .id = engine_id(table->def),
        .schema = table->def->namespace_id,
        .name = table->def->table_name,
        .columns = columns,
        .column_count = count + hidden,
        .hidden_count = hidden,
        .row_estimate = ROW_ESTIMATE,
    };
    return kal_run_engine_files(run, table, table_out, err);
}

static kal_status ops_view(void *statement, kal_bytes schema, kal_bytes name, kal_bytes *sql_out,
                           kal_error *err)
{
    kal_run *run = statement;
    kal_table *table = NULL;

    kal_error local = KAL_ERROR_INIT;
    kal_status status = kal_run_table_named(run, schema, name, &table, &local);
    /* a name that is unknown is told when it is resolved as a table */
    if (status != KAL_OK && status != KAL_NOT_FOUND && err != NULL)
        *err = local;
    if (status == KAL_OK && table->def->table_type != KAL_TABLE_VIEW)
        return KAL_NOT_FOUND;
    if (status == KAL_OK)
        *sql_out = table->def->view->sql;
    return status;
}

/* *at: where the search starts; names mostly stand in the same order on both sides. */
static bool knows(const kal_view_table *known, kal_bytes column, uint32_t *at)
{
    for (uint32_t i = 0; i < known->column_count; i++) {
        uint32_t here = (*at + i) % known->column_count;
        if (kal_bytes_equal_nocase(known->columns[here], column)) {
            *at = here + 1;
            return true;
        }
    }
    return false;
}

/* Columns are known by name, as in everything a view keeps. */
static kal_status ops_view_reads(void *statement, const kal_engine_name *view,
                                 const kal_engine_name *name, kal_engine_reads *reads_out,
                                 kal_error *err)
{
    kal_run *run = statement;
    kal_table *reader = NULL;
    kal_table *table = NULL;

    *reads_out = (kal_engine_reads){.all = true};
    KAL_TRY(kal_run_table_named(run, view->schema, view->name, &reader, err));
    if (reader->def->view == NULL)
        return kal_error_set(err, KAL_CONFLICT, "a view changed while the statement started");
    const kal_view_table *known = kal_view_query_find(reader->def->view, name->schema, name->name);
    if (known == NULL || kal_run_table_named(run, name->schema, name->name, &table, NULL) != KAL_OK)
        return KAL_OK; /* a view of format 2; a table that is gone is told when it is resolved */
    size_t count = table->def->column_count;
    uint32_t *columns = kal_arena_try_array(run->arena, count + 1, sizeof *columns);
    uint32_t at = 0;

    if (columns == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    reads_out->table_id = engine_id(table->def);
    for (uint32_t i = 0; i < count; i++) {
        if (knows(known, table->def->columns[i].name, &at))
            columns[reads_out->count++] = i;
    }
    reads_out->all = reads_out->count == count;
    reads_out->columns = columns;
    return KAL_OK;
}

static uint64_t ops_moment(void *statement)
{
    return kal_catalog_generation(((kal_run *)statement)->exec->catalog);
}

static bool ops_is_view_checked(void *statement, kal_bytes schema, kal_bytes name, uint64_t moment)
{
    kal_table *view = NULL;
    return kal_run_table_named(statement, schema, name, &view, NULL) == KAL_OK &&
           atomic_load_explicit(&view->checked_at, memory_order_relaxed) == moment;
}

static void ops_set_view_checked(void *statement, kal_bytes schema, kal_bytes name, uint64_t moment)
{
    kal_table *view = NULL;
    if (kal_run_table_named(statement, schema, name, &view, NULL) == KAL_OK)
        atomic_store_explicit(&view->checked_at, moment, memory_order_relaxed);
}

static kal_table *find_table(kal_run *run, uint64_t table_id)
{
    for (size_t i = 0; i < run->tables.len; i++) {
        if (engine_id(run->tables.items[i]->def) == table_id)
            return run->tables.items[i];
    }
    return NULL;
}

/* In the cursor's memory, which lives longer than its scan; hidden columns always come along. */
static const uint64_t *wanted_bits(kal_engine_cursor *cursor)
{
    size_t n = cursor->table->def->column_count;
    uint64_t *bits = cursor->wanted;

    for (size_t i = 0; i < cursor->column_count; i++) {
        if (cursor->columns[i] < n)
            bits[cursor->columns[i] / 64] |= UINT64_C(1) << (cursor->columns[i] % 64);
    }
    return bits;
}

static void set_cold_columns(kal_engine_cursor *cursor)
{
    size_t n = cursor->table->def->column_count;
    for (size_t i = 0; i < cursor->column_count; i++) {
        uint32_t column = cursor->columns[i];
        cursor->cold_columns[i] = column < n                     ? column
                                  : column == n + KAL_HIDDEN_SEQ ? KAL_COLD_COLUMN_SEQ
                                                                 : KAL_COLD_COLUMN_FALSE;
        cursor->wants_seq = cursor->wants_seq || cursor->cold_columns[i] == KAL_COLD_COLUMN_SEQ;
    }
}

/* The rows of the table that the statement can need. */
static kal_scan_range range_of(const kal_run *run, const kal_table *table, bool without_files)
{
    kal_scan_range range = {.hot_only = without_files, .no_keys = true};

    if (run->ranged == table) {
        range.lower = run->range_lower;
        range.upper = run->range_upper;
        range.conditions = run->conditions;
    }
    return range;
}

static bool ops_is_all_in_files(void *statement, uint64_t table_id)
{
    kal_run *run = statement;
    kal_table *table = find_table(run, table_id);
    kal_scan *scan = NULL; /* owned */
    kal_row row;

    if (table == NULL)
        return false;
    kal_scan_range range = range_of(run, table, true);
    range.cached_only = true;
    kal_status status = kal_scan_open(run->view, table, &range, &scan, NULL);
    if (status == KAL_OK)
        status = kal_scan_next(scan, &row, NULL, NULL);
    kal_scan_close(scan);
    return status == KAL_END;
}

static kal_status ops_open(void *statement, uint64_t table_id, const uint32_t *columns,
                           size_t column_count, bool without_files, kal_engine_cursor **cursor_out,
                           kal_error *err)
{
    kal_run *run = statement;
    kal_table *table = find_table(run, table_id);
    kal_status status = KAL_OK;

    *cursor_out = NULL;
    if (table == NULL)
        return kal_error_set(err, KAL_CONFLICT, "a table changed while the statement started");
    kal_engine_cursor *cursor = calloc(1, sizeof *cursor + 2 * column_count * sizeof *columns);
    if (cursor == NULL)
        kal_die("out of memory: cursor");
    uint32_t *wanted = (uint32_t *)(void *)(cursor + 1);
    if (column_count > 0)
        memcpy(wanted, columns, column_count * sizeof *columns);
    cursor->run = run;
    cursor->table = table;
    cursor->columns = wanted;
    cursor->cold_columns = wanted + column_count;
    cursor->column_count = column_count;
    set_cold_columns(cursor);
    kal_arena_init(&cursor->arena, run->budget);
    if (table->def->table_type == KAL_TABLE_SYSTEM) {
        status = kal_run_system_rows(run, table, &cursor->system, err);
    } else {
        kal_scan_range all = range_of(run, table, without_files);
        all.by_chunks = true;
        all.no_seq = !cursor->wants_seq;
        all.wanted = wanted_bits(cursor);
        status = kal_scan_open(run->view, table, &all, &cursor->scan, err);
    }
    if (status != KAL_OK) {
        kal_arena_release(&cursor->arena);
        free(cursor);
        return status;
    }
    *cursor_out = cursor;
    return KAL_OK;
}

/* The scan's row is gone at the next step, so its bytes move into the cursor's arena. */
static kal_status fetch_row(kal_engine_cursor *cursor, kal_value *values, kal_error *err)
{
    kal_row row;
    size_t n = cursor->table->def->column_count;

    KAL_TRY(kal_scan_next(cursor->scan, &row, NULL, err));
    for (size_t i = 0; i < cursor->column_count; i++) {
        uint32_t column = cursor->columns[i];
        kal_value v;
        if (column < n) {
            kal_row_get(&row, column, &v);
            if (!kal_value_copy(&v, &cursor->arena, &values[i]))
                return kal_error_set(err, KAL_LIMIT, "rows exceed the statement's memory");
        } else if (column == n + KAL_HIDDEN_SEQ) {
            values[i] = row.seq == 0 ? kal_value_null(kal_hidden_type(KAL_HIDDEN_SEQ))
                                     : kal_value_bigint((int64_t)row.seq);
        } else {
            values[i] = kal_value_boolean(false);
        }
    }
    return KAL_OK;
}

static void system_row(kal_engine_cursor *cursor, kal_value *values)
{
    const kal_value *row =
        cursor->system.values + cursor->system_next * cursor->system.column_count;
    for (size_t i = 0; i < cursor->column_count; i++)
        values[i] = row[cursor->columns[i]];
    cursor->system_next++;
}

static kal_status ops_next(kal_engine_cursor *cursor, size_t rows_max, kal_value *values,
                           size_t *rows_out, kal_error *err)
{
    *rows_out = 0;
    kal_arena_reset(&cursor->arena);
    if (cursor->scan == NULL) {
        while (*rows_out < rows_max && cursor->system_next < cursor->system.row_count)
            system_row(cursor, values + (*rows_out)++ * cursor->column_count);
        return KAL_OK;
    }
    while (*rows_out < rows_max) {
        kal_status status = fetch_row(cursor, values + *rows_out * cursor->column_count, err);
        if (status == KAL_END)
            break;
        if (status != KAL_OK)
            return status;
        (*rows_out)++;
    }
    return KAL_OK;
}

/* The rows of segments. */
static kal_status ops_next_chunk(kal_engine_cursor *cursor, kal_engine_chunk *chunk,
                                 size_t *rows_out, kal_error *err)
{
    *rows_out = 0;
    if (cursor->scan == NULL)
        return KAL_OK;
    kal_status status = kal_scan_next_chunk(cursor->scan, cursor->cold_columns,
                                            cursor->column_count, chunk, rows_out, err);
    return status == KAL_END ? KAL_OK : status;
}

static void ops_close(kal_engine_cursor *cursor)
{
    kal_scan_close(cursor->scan);
    kal_arena_release(&cursor->arena);
    free(cursor);
}

static bool ops_session_value(void *statement, kal_bytes function, kal_value *value_out)
{
    kal_run *run = statement;
    const struct {
        kal_bytes name;
        kal_bytes value;
    } values[] = {
        {KAL_STR("current_user"), run->session.user_id},
        {KAL_STR("session_user"), run->session.user_id},
        {KAL_STR("user"), run->session.user_id},
        {KAL_STR("current_user_id"), run->session.user_id},
        {KAL_STR("current_role"), run->session.role},
        {KAL_STR("current_schema"), run->default_namespace},
        {KAL_STR("current_namespace"), run->default_namespace},
        {KAL_STR("current_catalog"), KAL_STR("kalam")},
        {KAL_STR("current_database"), KAL_STR("kalam")},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(values); i++) {
        if (kal_bytes_equal_nocase(function, values[i].name)) {
            *value_out = kal_value_text(values[i].value);
            return true;
        }
    }
    return false;
}

static bool ops_generate(void *statement, kal_bytes function, kal_arena *arena,
                         kal_value *value_out)
{
    kal_run *run = statement;
    if (kal_bytes_equal_nocase(function, KAL_STR("snowflake_id"))) {
        *value_out = kal_value_bigint(kal_ids_snowflake(&run->exec->ids));
        return true;
    }
    if (kal_bytes_equal_nocase(function, KAL_STR("ulid"))) {
        char *text = kal_arena_alloc(arena, KAL_ULID_TEXT_LEN);
        kal_ids_ulid(&run->exec->ids, text);
        *value_out = kal_value_text(kal_bytes_of(text, KAL_ULID_TEXT_LEN));
        return true;
    }
    if (kal_bytes_equal_nocase(function, KAL_STR("uuid_v7"))) {
        uint8_t uuid[16];
        char *text = kal_arena_alloc(arena, KAL_UUID_TEXT_LEN);
        kal_ids_uuid_v7(&run->exec->ids, uuid);
        kal_uuid_format(uuid, text);
        *value_out = kal_value_text(kal_bytes_of(text, KAL_UUID_TEXT_LEN));
        return true;
    }
    return false;
}

static const kal_engine_ops OPS = {
    .resolve = ops_resolve,
    .view = ops_view,
    .view_reads = ops_view_reads,
    .moment = ops_moment,
    .is_view_checked = ops_is_view_checked,
    .set_view_checked = ops_set_view_checked,
    .is_all_in_files = ops_is_all_in_files,
    .open = ops_open,
    .next = ops_next,
    .next_chunk = ops_next_chunk,
    .close = ops_close,
    .session_value = ops_session_value,
    .generate = ops_generate,
};

const kal_engine_ops *kal_exec_engine_ops(void)
{
    return &OPS;
}

static kal_engine_query_args query_args(const kal_run *run, kal_bytes sql)
{
    return (kal_engine_query_args){
        .sql = sql,
        .default_schema = run->default_namespace,
        .params = run->params,
        .param_json = run->param_json,
        .param_count = run->param_count,
        .deadline_mono_ns = run->deadline_ns,
        .is_admin = run->principal->role >= KAL_ROLE_DBA,
        .cancelled = run->cancelled,
        .budget = run->budget,
    };
}

/* KAL_BUSY: the statement starts over where it may wait for DuckDB. */
static kal_status enter_engine(kal_run *run, kal_error *err)
{
    if (!run->may_use_engine) {
        run->wants_engine = true;
        return KAL_BUSY;
    }
    return kal_run_check_time(run, err); /* it may have waited long */
}

kal_status kal_run_qualify(kal_run *run, kal_bytes sql, const kal_engine_name *view,
                           kal_engine_qualified *out, kal_error *err)
{
    const kal_engine_query_args query = query_args(run, sql);
    KAL_TRY(enter_engine(run, err));
    return kal_engine_qualify(run->exec->engine, run, &query, view, run->arena, out, err);
}

kal_status kal_run_engine(kal_run *run, kal_bytes sql, const kal_engine_sink *sink, kal_error *err)
{
    const kal_engine_query_args query = query_args(run, sql);
    KAL_TRY(enter_engine(run, err));
    return kal_engine_query(run->exec->engine, run, &query, sink, err);
}
