#include "cli/import.h"

#include "base/assert.h"
#include "base/json_writer.h"
#include "cli/infer.h"
#include "cli/names.h"
#include "types/json.h"
#include "types/text.h"

#include <stdarg.h>
#include <stdio.h>

/* How a column of the file meets a column of the table. */
typedef struct import_column {
    kal_bytes file_name;
    kal_bytes table_name; /* as SQL knows it */
    kal_type type;        /* of the table's column */
} import_column;

typedef struct import {
    const kal_import_spec *spec;
    const kal_import_host *host;
    kal_import_report *report;
    kal_records records;
    kal_arena arena;           /* names, columns */
    kal_arena scratch;         /* of one cell */
    KAL_VEC(kal_infer) infers; /* one a column of the file */
    import_column *columns;    /* arena */
    size_t column_count;
    uint64_t record_count;
    kal_buf sql;             /* the INSERT statement */
    kal_buf batch;           /* its parameters, as JSON */
    kal_buf cell;            /* text of one cell */
    kal_json_writer writer;  /* into batch */
    KAL_VEC(uint64_t) lines; /* of the batch's records: where they begin in the file */
    uint64_t batch_rows;
    uint64_t batch_first;      /* record */
    uint64_t batch_first_line; /* in the file */
} import;

#define PROGRESS_ROWS 2048u

static kal_status check_cancel(const import *in, kal_error *err)
{
    if (in->host->cancel == NULL || *in->host->cancel == 0)
        return KAL_OK;
    return kal_error_set(err, KAL_CANCELLED, "cancelled");
}

static void show_progress(const import *in, kal_import_phase phase, uint64_t rows)
{
    if (in->host->progress != NULL)
        in->host->progress(in->host->context, phase, rows, in->records.source.offset,
                           in->records.source.size);
}

KAL_PRINTF(2, 3) static void note(const import *in, const char *format, ...)
{
    char line[512];
    va_list args;
    if (in->host->note == NULL)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    in->host->note(in->host->context, line);
}

/* First pass: the columns, their types, and that every record can be read. */
static kal_status survey(import *in, kal_error *err)
{
    kal_status status;
    while ((status = kal_records_next(&in->records, err)) == KAL_OK) {
        for (size_t i = 0; i < in->records.cells.len; i++) {
            if (i == in->infers.len) {
                kal_infer fresh;
                kal_infer_init(&fresh);
                kal_vec_push(&in->infers, fresh);
            }
            kal_infer_add(&in->infers.items[i], &in->records.cells.items[i]);
        }
        if (in->records.number % PROGRESS_ROWS == 0) {
            show_progress(in, KAL_IMPORT_READING, in->records.number);
            KAL_TRY(check_cancel(in, err));
        }
    }
    if (status != KAL_END)
        return status;
    while (in->infers.len < in->records.names.len) { /* a header without records */
        kal_infer fresh;
        kal_infer_init(&fresh);
        kal_vec_push(&in->infers, fresh);
    }
    show_progress(in, KAL_IMPORT_READING, in->records.number);
    in->record_count = in->records.number;
    in->column_count = in->records.names.len;
    if (in->column_count == 0)
        return kal_error_set(err, KAL_INVALID, "'%.*s' holds no column", KAL_FMT(in->spec->path));
    return KAL_OK;
}

static kal_status make_columns(import *in, kal_error *err)
{
    kal_bytes *names = kal_arena_try_array(&in->arena, in->column_count, sizeof *names);
    in->columns = kal_arena_try_array(&in->arena, in->column_count, sizeof *in->columns);
    if (names == NULL || in->columns == NULL)
        return kal_error_set(err, KAL_LIMIT, "out of memory");
    kal_names_make(in->records.names.items, in->column_count, &in->arena, names);
    for (size_t i = 0; i < in->column_count; i++)
        in->columns[i] = (import_column){.file_name = in->records.names.items[i],
                                         .table_name = names[i],
                                         .type = kal_infer_type(&in->infers.items[i])};
    return KAL_OK;
}

static void append_table(const import *in, kal_buf *sql)
{
    if (in->spec->namespace_id.len > 0) {
        kal_name_quote(in->spec->namespace_id, sql);
        kal_buf_append_byte(sql, '.');
    }
    kal_name_quote(in->spec->table, sql);
}

static kal_status run(const import *in, const kal_buf *sql, kal_bytes params, kal_reply *reply_out,
                      kal_error *err)
{
    kal_client_statement statement = {.sql = kal_buf_bytes(sql), .params = params};
    return in->host->query(in->host->context, &statement, reply_out, err);
}

/* A statement whose reply does not matter. */
static kal_status run_plain(const import *in, const kal_buf *sql, kal_error *err)
{
    kal_reply reply;
    kal_status status = run(in, sql, (kal_bytes){0}, &reply, err);
    kal_reply_release(&reply);
    return status;
}

/* The column named id is the key when its values prove that it can be; else a new column is, whose
 * name must not be one of the file's. */
static bool is_proven_key(const import *in, size_t column)
{
    const kal_infer *infer = &in->infers.items[column];
    return kal_bytes_equal(in->columns[column].table_name, KAL_STR("id")) &&
           kal_infer_is_key(infer) && infer->values == in->record_count;
}

static const char *free_key_name(const import *in)
{
    for (size_t i = 0; i < in->column_count; i++) {
        if (kal_bytes_equal(in->columns[i].table_name, KAL_STR("id")))
            return "import_id";
    }
    return "id";
}

static void append_create_table(const import *in, kal_buf *sql)
{
    char type[KAL_TYPE_NAME_BYTES];
    bool has_key = false;
    for (size_t i = 0; i < in->column_count; i++)
        has_key = has_key || is_proven_key(in, i);
    kal_buf_append_cstr(sql, "CREATE TABLE ");
    append_table(in, sql);
    kal_buf_append_cstr(sql, " (");
    if (!has_key) {
        kal_name_quote(kal_cstr(free_key_name(in)), sql);
        kal_buf_printf(sql, " %s PRIMARY KEY DEFAULT SNOWFLAKE_ID()",
                       kal_type_name(kal_type_of(KAL_TYPE_BIGINT), type));
        note(in, "no column is proven to be a key: column %s is added", free_key_name(in));
    }
    for (size_t i = 0; i < in->column_count; i++) {
        kal_buf_append_cstr(sql, i == 0 && has_key ? "" : ", ");
        kal_name_quote(in->columns[i].table_name, sql);
        kal_buf_printf(sql, " %s", kal_type_name(in->columns[i].type, type));
        if (is_proven_key(in, i))
            kal_buf_append_cstr(sql, " PRIMARY KEY");
    }
    kal_buf_append_byte(sql, ')');
}

static kal_status create_table(const import *in, kal_error *err)
{
    kal_buf sql;
    kal_status status = KAL_OK;
    kal_buf_init(&sql, NULL);
    if (in->spec->namespace_id.len > 0) {
        kal_buf_append_cstr(&sql, "CREATE NAMESPACE IF NOT EXISTS ");
        kal_name_quote(in->spec->namespace_id, &sql);
        status = run_plain(in, &sql, err);
        kal_buf_clear(&sql);
    }
    if (status == KAL_OK) {
        append_create_table(in, &sql);
        status = run_plain(in, &sql, err);
    }
    kal_buf_release(&sql);
    return status;
}

static const kal_reply_column *find_column(const kal_reply_result *table, kal_bytes name)
{
    for (size_t i = 0; i < table->column_count; i++) {
        if (kal_bytes_equal_nocase(table->columns[i].name, name))
            return &table->columns[i];
    }
    return NULL;
}

/* Finds the table's column of a column of the file: by its own name, or by the valid form of it. */
static kal_status match_column(import *in, const kal_reply_result *table, import_column *column,
                               kal_error *err)
{
    /* In a table that we made the names are ours: of 'a' and 'A' one is a_2. */
    const kal_reply_column *found = in->spec->create ? NULL : find_column(table, column->file_name);
    if (found == NULL)
        found = find_column(table, column->table_name);
    if (found == NULL) {
        kal_buf names;
        kal_error_set(err, KAL_INVALID, "the table has no column for '%.*s' of the file",
                      KAL_FMT(column->file_name));
        kal_buf_init(&names, NULL);
        for (size_t i = 0; i < table->column_count; i++)
            kal_buf_printf(&names, "%s%.*s", i == 0 ? "" : ", ", KAL_FMT(table->columns[i].name));
        kal_error_hint(err, "its columns are %.*s", KAL_FMT(kal_buf_bytes(&names)));
        kal_buf_release(&names);
        return KAL_INVALID;
    }
    column->table_name = kal_arena_copy(&in->arena, found->name);
    return kal_type_from_json(found->data_type, &column->type, err);
}

/* Only in a table that was there: 'a' twice in the file, or 'a b' and 'a_b'. */
static kal_status check_distinct(const import *in, kal_error *err)
{
    for (size_t i = 0; i < in->column_count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (kal_bytes_equal(in->columns[i].table_name, in->columns[k].table_name))
                return kal_error_set(err, KAL_INVALID,
                                     "columns %zu and %zu of the file both go to column '%.*s'",
                                     k + 1, i + 1, KAL_FMT(in->columns[i].table_name));
        }
    }
    return KAL_OK;
}

static void note_names(const import *in)
{
    for (size_t i = 0; i < in->column_count; i++) {
        const import_column *column = &in->columns[i];
        if (!kal_bytes_equal_nocase(column->file_name, column->table_name))
            note(in, "column '%.*s' is %.*s", KAL_FMT(column->file_name),
                 KAL_FMT(column->table_name));
    }
}

/* Asks the table for its columns; also for one that was just made: the server has the last word. */
static kal_status match_table(import *in, kal_error *err)
{
    kal_reply reply;
    kal_buf sql;
    kal_buf_init(&sql, NULL);
    kal_buf_append_cstr(&sql, "SELECT * FROM ");
    append_table(in, &sql);
    kal_buf_append_cstr(&sql, " LIMIT 0");
    kal_status status = run(in, &sql, (kal_bytes){0}, &reply, err);
    if (status == KAL_OK && reply.result_count != 1)
        status = kal_error_set(err, KAL_INTERNAL, "the server did not describe the table");
    for (size_t i = 0; status == KAL_OK && i < in->column_count; i++)
        status = match_column(in, &reply.results[0], &in->columns[i], err);
    kal_reply_release(&reply);
    kal_buf_release(&sql);
    if (status == KAL_OK)
        status = check_distinct(in, err);
    if (status == KAL_OK)
        note_names(in);
    return status;
}

static void write_insert(import *in)
{
    kal_buf_append_cstr(&in->sql, "INSERT INTO ");
    append_table(in, &in->sql);
    kal_buf_append_cstr(&in->sql, " (");
    for (size_t i = 0; i < in->column_count; i++) {
        kal_buf_append_cstr(&in->sql, i == 0 ? "" : ", ");
        kal_name_quote(in->columns[i].table_name, &in->sql);
    }
    kal_buf_append_cstr(&in->sql, ") VALUES (");
    for (size_t i = 0; i < in->column_count; i++)
        kal_buf_printf(&in->sql, "%s$%zu", i == 0 ? "" : ", ", i + 1);
    kal_buf_append_byte(&in->sql, ')');
}

/* --- one cell, as a parameter ------------------------------------------------------------------*/

static bool takes_json_numbers(kal_type type)
{
    return kal_type_is_integer(type) || type.tag == KAL_TYPE_FLOAT || type.tag == KAL_TYPE_DOUBLE;
}

/* A number by the grammar of JSON, so that it can stand in the request as it is. */
static bool is_json_number(kal_bytes text)
{
    size_t at = text.len > 0 && text.ptr[0] == '-' ? 1 : 0;
    if (at >= text.len || text.ptr[at] < '0' || text.ptr[at] > '9')
        return false;
    if (text.ptr[at] == '0' && at + 1 < text.len && text.ptr[at + 1] != '.')
        return false;
    bool dot = false;
    for (; at < text.len; at++) {
        bool digit = text.ptr[at] >= '0' && text.ptr[at] <= '9';
        if (text.ptr[at] == '.' && !dot && at + 1 < text.len)
            dot = true;
        else if (!digit)
            return false; /* exponents travel as text */
    }
    return true;
}

static void write_cell_text(import *in)
{
    kal_json_string(&in->writer, kal_buf_bytes(&in->cell));
}

/* Text of a file for BYTES means what the SQL literal does; as a parameter it would be base64. */
static void write_bytes_text(import *in, kal_bytes text)
{
    static const char DIGITS[] = "0123456789abcdef";
    kal_value value;

    if (kal_value_from_text(kal_type_of(KAL_TYPE_BYTES), text, &in->scratch, &value, NULL) !=
        KAL_OK) {
        kal_json_string(&in->writer, text); /* the server says what is wrong with it */
        return;
    }
    kal_buf_append_cstr(&in->cell, "0x");
    for (size_t i = 0; i < value.bytes.len; i++) {
        kal_buf_append_byte(&in->cell, (uint8_t)DIGITS[value.bytes.ptr[i] >> 4]);
        kal_buf_append_byte(&in->cell, (uint8_t)DIGITS[value.bytes.ptr[i] & 15]);
    }
    write_cell_text(in);
}

/* What a JSON reply of ours holds (days, microseconds) as text; false when it is none. */
static bool write_as_exported(import *in, const kal_json *json, kal_type type)
{
    kal_value value;
    if (kal_value_from_json(type, json, &in->scratch, &value, NULL) != KAL_OK)
        return false;
    kal_value_to_text(&value, &in->cell);
    write_cell_text(in);
    return true;
}

static void write_number(import *in, kal_bytes text, kal_type type)
{
    kal_json json = {.kind = KAL_JSON_NUMBER, .text = text};
    bool is_time = type.tag == KAL_TYPE_DATE || type.tag == KAL_TYPE_TIME ||
                   type.tag == KAL_TYPE_TIMESTAMP || type.tag == KAL_TYPE_DATETIME;
    if (takes_json_numbers(type))
        kal_json_raw(&in->writer, text);
    else if (!is_time || !write_as_exported(in, &json, type))
        kal_json_string(&in->writer, text);
}

static void write_nested(import *in, const kal_json *json, kal_type type)
{
    kal_json_writer inner;
    if (type.tag == KAL_TYPE_BYTES) {
        kal_json_write_tree(json, &in->writer);
        return;
    }
    kal_json_writer_init(&inner, &in->cell);
    kal_json_write_tree(json, &inner);
    write_cell_text(in);
}

/* A JSON column that we made holds the file's values, so a string becomes a JSON string; one that
 * was there before is given JSON text, as the server's replies show it. */
static void write_string(import *in, kal_bytes text, kal_type type)
{
    kal_json_writer inner;
    if (type.tag == KAL_TYPE_BYTES) {
        write_bytes_text(in, text);
        return;
    }
    if (type.tag != KAL_TYPE_JSON || !in->spec->create) {
        kal_json_string(&in->writer, text);
        return;
    }
    kal_json_writer_init(&inner, &in->cell);
    kal_json_string(&inner, text);
    write_cell_text(in);
}

static void write_cell(import *in, const kal_cell *cell, kal_type type)
{
    kal_buf_clear(&in->cell);
    switch (cell->kind) {
    case KAL_CELL_NULL:
        kal_json_null(&in->writer);
        break;
    case KAL_CELL_FIELD:
        if (type.tag == KAL_TYPE_BYTES)
            write_bytes_text(in, cell->text);
        else if (takes_json_numbers(type) && is_json_number(cell->text))
            kal_json_raw(&in->writer, cell->text);
        else
            kal_json_string(&in->writer, cell->text);
        break;
    case KAL_CELL_NUMBER:
        write_number(in, cell->text, type);
        break;
    case KAL_CELL_BOOL:
        if (type.tag == KAL_TYPE_BOOLEAN)
            kal_json_raw(&in->writer, cell->text);
        else
            kal_json_string(&in->writer, cell->text);
        break;
    case KAL_CELL_STRING:
        write_string(in, cell->text, type);
        break;
    case KAL_CELL_NESTED:
        write_nested(in, cell->json, type);
        break;
    }
}

/* --- second pass -------------------------------------------------------------------------------*/

static void begin_batch(import *in)
{
    kal_buf_clear(&in->batch);
    kal_json_writer_init(&in->writer, &in->batch);
    kal_json_begin_array(&in->writer);
    in->batch_rows = 0;
    in->lines.len = 0;
}

/* The server names the row of the batch; people look for the record of their file. */
static void name_record(const import *in, uint64_t row, kal_error *err)
{
    char suffix[48];
    char message[KAL_ERROR_MESSAGE_BYTES];

    if (err == NULL || row == 0 || row > in->lines.len)
        return;
    int len = snprintf(suffix, sizeof suffix, " (row %llu of the batch)", (unsigned long long)row);
    size_t all = strlen(err->message);
    if (all >= (size_t)len && strcmp(err->message + all - (size_t)len, suffix) == 0)
        all -= (size_t)len;
    snprintf(message, sizeof message, "record %llu (line %llu): %.*s",
             (unsigned long long)(in->batch_first + row - 1),
             (unsigned long long)in->lines.items[row - 1], (int)all, err->message);
    snprintf(err->message, sizeof err->message, "%s", message);
}

static kal_status send_batch(import *in, kal_error *err)
{
    kal_reply reply;
    if (in->batch_rows == 0)
        return KAL_OK;
    kal_json_end_array(&in->writer);
    kal_status status = run(in, &in->sql, kal_buf_bytes(&in->batch), &reply, err);
    if (status == KAL_OK) {
        in->report->rows += in->batch_rows;
        in->report->batches++;
    } else {
        in->report->failed_first = in->batch_first;
        in->report->failed_last = in->batch_first + in->batch_rows - 1;
        in->report->failed_first_line = in->batch_first_line;
        in->report->failed_last_line = in->records.line;
        in->report->outcome_unknown = !reply.refused;
        name_record(in, reply.row, err);
    }
    kal_reply_release(&reply);
    begin_batch(in);
    return status;
}

static kal_status add_record(import *in, kal_error *err)
{
    if (in->records.cells.len > in->column_count)
        return kal_error_set(err, KAL_INVALID, "the file changed while it was read");
    if (in->batch_rows == 0) {
        in->batch_first = in->records.number;
        in->batch_first_line = in->records.line;
    }
    kal_vec_push(&in->lines, in->records.line);
    kal_json_begin_array(&in->writer);
    for (size_t i = 0; i < in->column_count; i++) {
        if (i < in->records.cells.len)
            write_cell(in, &in->records.cells.items[i], in->columns[i].type);
        else
            kal_json_null(&in->writer);
    }
    kal_json_end_array(&in->writer);
    kal_arena_reset(&in->scratch);
    in->batch_rows++;
    return KAL_OK;
}

static kal_status send_all(import *in, kal_error *err)
{
    kal_status status;
    KAL_TRY(kal_records_rewind(&in->records, err));
    begin_batch(in);
    while ((status = kal_records_next(&in->records, err)) == KAL_OK) {
        KAL_TRY(add_record(in, err));
        if (in->batch_rows < KAL_IMPORT_BATCH_ROWS && in->batch.len < KAL_IMPORT_BATCH_BYTES)
            continue;
        KAL_TRY(check_cancel(in, err));
        KAL_TRY(send_batch(in, err));
        show_progress(in, KAL_IMPORT_SENDING, in->report->rows);
    }
    if (status != KAL_END)
        return status;
    KAL_TRY(send_batch(in, err));
    show_progress(in, KAL_IMPORT_SENDING, in->report->rows);
    return KAL_OK;
}

static kal_status import_file(import *in, kal_error *err)
{
    in->report->bytes = in->records.source.size;
    KAL_TRY(survey(in, err));
    KAL_TRY(make_columns(in, err));
    if (in->spec->create)
        KAL_TRY(create_table(in, err));
    KAL_TRY(match_table(in, err));
    write_insert(in);
    return send_all(in, err);
}

kal_status kal_import_run(const kal_import_spec *spec, const kal_import_host *host,
                          kal_import_report *report_out, kal_error *err)
{
import in = {.spec = spec, .host = host, .report = report_out };
    *report_out = (kal_import_report){0};
    KAL_TRY(kal_records_open(spec->path, &in.records, err));
    kal_arena_init(&in.arena, NULL);
    kal_arena_init(&in.scratch, NULL);
    kal_buf_init(&in.sql, NULL);
    kal_buf_init(&in.batch, NULL);
    kal_buf_init(&in.cell, NULL);
    kal_status status = import_file(&in, err);
    kal_vec_release(&in.infers);
    kal_vec_release(&in.lines);
    kal_arena_release(&in.arena);
    kal_arena_release(&in.scratch);
    kal_buf_release(&in.sql);
    kal_buf_release(&in.batch);
    kal_buf_release(&in.cell);
    kal_records_release(&in.records);
    return status;
}
