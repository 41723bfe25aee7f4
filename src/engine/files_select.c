#include "engine/files_select.h"

#include "engine/lex.h"
#include "engine/parquet_internal.h"

#define COUNTED "kal k" /* the name of the column that count(*) reads: no column is called so */

typedef struct body {
    const kal_scan_table *table;
    size_t index; /* of the table in the statement */
    bool bounded;
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
    }
    kal_buf_append_cstr(b->out, "], hive_partitioning = false)");
    append_top(b);
    kal_buf_append_byte(b->out, ')');
}

static void append_names(body *b)
{
    const kal_engine_table *t = &b->table->table;
    for (size_t i = 0; i < kal_scan_column_count(b->table); i++) {
        kal_buf_append_cstr(b->out, i == 0 ? "" : ", ");
        kal_lex_quote(b->out, t->columns[i].name);
    }
}

static void append_scan_arm(body *b)
{
    const kal_engine_table *t = &b->table->table;

    begin_arm(b);
    for (size_t i = 0; i < kal_scan_column_count(b->table); i++) {
        bool bounded = b->bounded && kal_type_is_integer(t->columns[i].type);
        kal_buf_append_cstr(b->out, bounded ? ", kal_bounded(" : ", ");
        kal_lex_quote(b->out, t->columns[i].name);
        kal_buf_append_cstr(b->out, bounded ? ")" : "");
    }
    kal_buf_printf(b->out, " FROM kal_scan(%zu))", b->index);
}

void kal_files_select(const kal_scan_table *table, size_t index, kal_files_rows rows, kal_buf *out)
{
    const kal_engine_table *t = &table->table;
    body b = {table, index, rows != KAL_FILES_UNBOUNDED, out, false};

    kal_buf_append_cstr(out, "SELECT ");
    append_names(&b);
    kal_buf_append_cstr(out, " FROM (");
    for (size_t i = 0; i < t->file_count; i++) {
        if (is_first_of_version(t, i))
            append_file_arm(&b, i);
    }
    if (rows != KAL_FILES_ALL)
        append_scan_arm(&b);
    kal_buf_append_byte(out, ')');
}
