/*
 * files.c: tables whose rows lie partly in Parquet files, as DuckDB reads them best: by itself.
 *
 * In the text that runs, such a table is query(getvariable('kal_t0')) instead of kal_scan(0), and
 * the variable of the connection holds a SELECT over exactly the files that the statement's view
 * has, and over kal_scan(0), which then gives the other rows, if there are any:
 *
 *     SELECT a, b FROM (
 *         (SELECT 1::TINYINT AS k, a, b FROM kal_parquet([files]))
 *         UNION ALL (SELECT 1::TINYINT, kal_bounded(a), b FROM kal_scan(0)))
 *
 * kal_parquet() is read_parquet() without the dead rows (shims/duckdb_deletes.h). Files of one
 * schema version stand in one list. The column k is what count(*) reads. kal_bounded() lets DuckDB
 * join by position (shims/duckdb_bounds.h); a UNION ALL less, too: it then knows all bounds that
 * the files have. When only the first rows
 * in some order matter, each list has ORDER BY and LIMIT of its own: a scan that knows the bound
 * skips row groups, which DuckDB does not do through the UNION ALL.
 *
 * Only an instance of its own does this: it may read the directory of such files and nothing else,
 * so a hole in the allow-list would not show a private row, either.
 *
 * Source: design section 9; reference duckdb-scan-prototype.md sections 3 and 5.
 */
#include "base/assert.h"
#include "engine/engine_internal.h"
#include "engine/lex.h"
#include "engine/parquet_internal.h"
#include "types/widen.h"

#include <stdlib.h>
#include <string.h>

#define VARIABLE "kal_t"
#define COUNTED  "kal k" /* the name of the column that count(*) reads: no column is called so */

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

/* ---- the SELECT of one table ---- */

typedef struct body {
    const kal_scan_table *table;
    size_t index; /* of the table in the statement */
    kal_slot *slot;
    kal_buf *out;
    bool has_arm;
} body;

static size_t shown_columns(const kal_scan_table *t)
{
    return t->table.column_count - t->table.hidden_count;
}

/* The number of a shown column among the file's columns. */
static uint32_t file_column(const kal_scan_table *t, size_t i)
{
    return t->shown == NULL ? (uint32_t)i : t->shown[i];
}

static void append_column(body *b, const kal_engine_file *file, size_t i)
{
    const kal_engine_column *column = &b->table->table.columns[i];
    const kal_engine_file_column *c = &file->columns[file_column(b->table, i)];
    kal_value none = kal_value_null(column->type);
    char name[KAL_TYPE_NAME_BYTES];

    if (c->name.len == 0) {
        kal_parquet_append_literal(c->initial == NULL ? &none : c->initial, b->out);
    } else if (kal_type_equal(c->type, column->type)) {
        kal_parquet_append_name(c->name, '"', b->out);
    } else {
        kal_buf_append_cstr(b->out, "CAST(");
        kal_parquet_append_name(c->name, '"', b->out);
        kal_buf_printf(b->out, " AS %s)", kal_type_duckdb_name(column->type, name));
    }
    kal_buf_append_cstr(b->out, " AS ");
    kal_lex_quote(b->out, column->name);
}

static void begin_arm(body *b)
{
    kal_buf_append_cstr(b->out, b->has_arm ? " UNION ALL (SELECT " : "(SELECT ");
    kal_buf_append_cstr(b->out, "1::TINYINT AS \"" COUNTED "\""); /* check: type-names (DuckDB) */
    b->has_arm = true;
}

/* The hidden columns are the row's seq, and FALSE. */
static void append_hidden(body *b, const kal_engine_file *file)
{
    const kal_engine_table *t = &b->table->table;
    for (size_t i = shown_columns(b->table); b->table->shows_hidden && i < t->column_count; i++) {
        kal_buf_append_cstr(b->out, ", ");
        if (t->columns[i].type.tag == KAL_TYPE_BOOLEAN)
            kal_buf_append_cstr(b->out, "FALSE");
        else
            kal_parquet_append_name(file->seq_name, '"', b->out);
        kal_buf_append_cstr(b->out, " AS ");
        kal_lex_quote(b->out, t->columns[i].name);
    }
}

/* Whether no file before has its version: files of one version are read by the same text. */
static bool is_first_of_version(const kal_engine_table *t, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (t->files[k].version == t->files[i].version)
            return false;
    }
    return true;
}

static void append_top(body *b)
{
    const kal_engine_table *t = &b->table->table;

    if (t->top_rows == 0)
        return;
    for (size_t i = 0; i < t->order_count; i++) {
        const kal_engine_order *o = &t->order[i];
        kal_buf_append_cstr(b->out, i == 0 ? " ORDER BY " : ", ");
        kal_lex_quote(b->out, t->columns[o->column].name);
        kal_buf_append_cstr(b->out, o->descending ? " DESC" : " ASC");
        if (o->nulls.len > 0)
            kal_buf_printf(b->out, " NULLS %.*s", KAL_FMT(o->nulls));
    }
    kal_buf_printf(b->out, " LIMIT %llu", (unsigned long long)t->top_rows);
}

static void append_file_arm(body *b, size_t first)
{
    const kal_engine_table *t = &b->table->table;
    const kal_engine_file *file = &t->files[first];

    begin_arm(b);
    for (size_t i = 0; i < shown_columns(b->table); i++) {
        kal_buf_append_cstr(b->out, ", ");
        append_column(b, file, i);
    }
    append_hidden(b, file);
    kal_buf_append_cstr(b->out, " FROM kal_parquet([");
    for (size_t i = first; i < t->file_count; i++) {
        const kal_engine_file *f = &t->files[i];
        if (f->version != file->version)
            continue;
        kal_buf_append_cstr(b->out, i == first ? "" : ", ");
        kal_parquet_append_text(kal_cstr(f->path), b->out);
        kal_vec_push(&b->slot->files, ((kal_file_rows){f->path, f->dead, f->row_count}));
    }
    kal_buf_append_cstr(b->out, "], hive_partitioning = false)");
    append_top(b);
    kal_buf_append_byte(b->out, ')');
}

static void append_names(body *b)
{
    const kal_engine_table *t = &b->table->table;
    size_t count = b->table->shows_hidden ? t->column_count : shown_columns(b->table);
    for (size_t i = 0; i < count; i++) {
        kal_buf_append_cstr(b->out, i == 0 ? "" : ", ");
        kal_lex_quote(b->out, t->columns[i].name);
    }
}

static void append_scan_arm(body *b)
{
    const kal_engine_table *t = &b->table->table;
    size_t count = b->table->shows_hidden ? t->column_count : shown_columns(b->table);

    begin_arm(b);
    for (size_t i = 0; i < count; i++) {
        bool bounded = kal_type_is_integer(t->columns[i].type);
        kal_buf_append_cstr(b->out, bounded ? ", kal_bounded(" : ", ");
        kal_lex_quote(b->out, t->columns[i].name);
        kal_buf_append_cstr(b->out, bounded ? ")" : "");
    }
    kal_buf_printf(b->out, " FROM kal_scan(%zu))", b->index);
}

static void append_body(body *b, bool has_others)
{
    const kal_engine_table *t = &b->table->table;

    kal_buf_append_cstr(b->out, "SELECT ");
    append_names(b);
    kal_buf_append_cstr(b->out, " FROM (");
    for (size_t i = 0; i < t->file_count; i++) {
        if (is_first_of_version(t, i))
            append_file_arm(b, i);
    }
    if (has_others)
        append_scan_arm(b);
    kal_buf_append_byte(b->out, ')');
}

/* ---- the connection's variables ---- */

static kal_status set_variable(kal_slot *slot, size_t index, kal_bytes body_text, kal_error *err)
{
    kal_buf sql; /* owned */

    kal_buf_init(&sql, NULL);
    kal_buf_printf(&sql, "SET VARIABLE " VARIABLE "%zu = ", index);
    kal_parquet_append_text(body_text, &sql);
    kal_buf_append_byte(&sql, '\0');
    kal_status status =
        kal_duckdb_run(&slot->engine->api, slot->connection, (const char *)sql.ptr, err);
    kal_buf_release(&sql);
    return status;
}

/* Whether the table has rows beside its files. */
static kal_status has_others(const kal_slot *slot, const kal_scan_table *t, bool *out,
                             kal_error *err)
{
    const kal_engine_ops *ops = slot->engine->ops;
    kal_engine_cursor *cursor = NULL; /* owned */
    kal_value none;
    size_t rows = 0;

    KAL_TRY(ops->open(slot->statement, t->table.id, NULL, 0, true, &cursor, err));
    kal_status status = ops->next(cursor, 1, &none, &rows, err);
    ops->close(cursor);
    *out = rows > 0;
    return status;
}

/* ---- a statement ---- */

static kal_status prepare_table(kal_slot *slot, size_t index, kal_error *err)
{
    kal_buf text; /* owned */
    body b = {&slot->tables[index], index, slot, &text, false};
    bool others = false;

    KAL_TRY(has_others(slot, b.table, &others, err));
    kal_buf_init(&text, NULL);
    append_body(&b, others);
    kal_status status = set_variable(slot, index, kal_buf_bytes(&text), err);
    kal_buf_release(&text);
    return status;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(((const kal_file_rows *)a)->path, ((const kal_file_rows *)b)->path);
}

kal_status kal_files_prepare(kal_slot *slot, kal_error *err)
{
    slot->files.len = 0;
    for (size_t i = 0; i < slot->table_count; i++) {
        if (slot->tables[i].by_files)
            KAL_TRY(prepare_table(slot, i, err));
    }
    if (slot->files.len > 0)
        qsort(slot->files.items, slot->files.len, sizeof *slot->files.items, compare_paths);
    return KAL_OK;
}

/* ---- kal_parquet(files) ---- */

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
    const kal_duckdb_deletes deletes = {
        .duckdb_version = KAL_DUCKDB_VERSION,
        .struct_size = sizeof deletes,
        .context = engine,
        .find = find_file,
        .live = live_rows,
    };
    return kal_duckdb_register_deletes(engine->deletes_path, connection, &deletes, err);
}
