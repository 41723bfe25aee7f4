/*
 * files.c: tables whose rows lie partly in Parquet files, as DuckDB reads them best: by itself.
 *
 * In the text that runs, such a table is query(getvariable('kal_t0')) instead of kal_scan(0), and
 * the variable of the connection holds a SELECT over exactly the files that the statement's view
 * has, and over kal_scan(0), which then gives the other rows:
 *
 *     SELECT a, b FROM (
 *         (SELECT 1::TINYINT AS k, a, b FROM read_parquet([files without dead rows]))
 *         UNION ALL (SELECT 1::TINYINT, a, b FROM read_parquet([files with dead rows])
 *                    WHERE kal_live(0 + file_index, file_row_number))
 *         UNION ALL (SELECT 1::TINYINT, a, b FROM kal_scan(0)))
 *
 * Files of one schema version stand in one list. The column k is what count(*) reads. When only the
 * first rows in some order matter, each of the first two has ORDER BY and LIMIT of its own: a scan
 * that knows the bound skips row groups, which DuckDB does not do through the UNION ALL.
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

#include <stdio.h>
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

/* Files that are read by the same text: of one version, with dead rows or without. */
static bool are_alike(const kal_engine_file *a, const kal_engine_file *b)
{
    return a->version == b->version && (a->dead == NULL) == (b->dead == NULL);
}

static bool is_first_alike(const kal_engine_table *t, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (are_alike(&t->files[k], &t->files[i]))
            return false;
    }
    return true;
}

static void add_dead(kal_slot *slot, const kal_engine_file *file)
{
    kal_vec_push(&slot->dead, ((kal_dead_set){file->dead, file->row_count}));
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
    size_t dead_base = b->slot->dead.len;

    begin_arm(b);
    for (size_t i = 0; i < shown_columns(b->table); i++) {
        kal_buf_append_cstr(b->out, ", ");
        append_column(b, file, i);
    }
    append_hidden(b, file);
    kal_buf_append_cstr(b->out, " FROM read_parquet([");
    for (size_t i = first; i < t->file_count; i++) {
        if (!are_alike(file, &t->files[i]))
            continue;
        kal_buf_append_cstr(b->out, i == first ? "" : ", ");
        kal_parquet_append_text(kal_cstr(t->files[i].path), b->out);
        if (file->dead != NULL)
            add_dead(b->slot, &t->files[i]);
    }
    kal_buf_append_cstr(b->out, "], hive_partitioning = false)");
    if (file->dead != NULL)
        kal_buf_printf(b->out, " WHERE kal_live(%zu + file_index, file_row_number)", dead_base);
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

static void append_body(body *b)
{
    const kal_engine_table *t = &b->table->table;

    kal_buf_append_cstr(b->out, "SELECT ");
    append_names(b);
    kal_buf_append_cstr(b->out, " FROM (");
    for (size_t i = 0; i < t->file_count; i++) {
        if (is_first_alike(t, i))
            append_file_arm(b, i);
    }
    begin_arm(b);
    kal_buf_append_cstr(b->out, ", ");
    append_names(b);
    kal_buf_printf(b->out, " FROM kal_scan(%zu)))", b->index);
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

kal_status kal_files_prepare(kal_slot *slot, kal_error *err)
{
    slot->dead.len = 0;
    for (size_t i = 0; i < slot->table_count; i++) {
        kal_buf text; /* owned */
        body b = {&slot->tables[i], i, slot, &text, false};
        if (!slot->tables[i].by_files)
            continue;
        kal_buf_init(&text, NULL);
        append_body(&b);
        kal_status status = set_variable(slot, i, kal_buf_bytes(&text), err);
        kal_buf_release(&text);
        if (status != KAL_OK)
            return status;
    }
    return KAL_OK;
}

/* ---- kal_live(file, row) ---- */

/* DuckDB copies a condition with what was bound to it: the slot is the session's. */
static void *same_slot(void *slot)
{
    return slot;
}

static void bind_live(duckdb_bind_info info)
{
    const kal_duckdb *api = kal_duckdb_loaded();
    kal_engine **engine = api->scalar_function_bind_get_extra_info(info);
    duckdb_client_context context = NULL;

    api->scalar_function_get_client_context(info, &context);
    kal_slot *slot = kal_slot_of(*engine, context);
    if (slot == NULL) {
        api->scalar_function_bind_set_error(info, "this function needs a session");
        return;
    }
    api->scalar_function_set_bind_data(info, slot, NULL);
    api->scalar_function_set_bind_data_copy(info, same_slot);
}

/* A row that the manifest's file does not have is not alive. */
static bool is_live(const kal_dead_set *dead, uint64_t row)
{
    return row < dead->row_count && (dead->bits[row / 64] >> (row % 64) & 1) == 0;
}

static kal_dead_set dead_of(const kal_slot *slot, uint64_t file)
{
    return file < slot->dead.len ? slot->dead.items[file] : (kal_dead_set){0};
}

/* Several in one instruction, on any processor. */
typedef uint64_t lanes __attribute__((vector_size(32)));
enum { LANES = sizeof(lanes) / sizeof(uint64_t) };

/* first, first + 1, ... */
static bool is_ascending(const int64_t *rows, idx_t count)
{
    const uint64_t first = (uint64_t)rows[0];
    lanes expected = {first, first + 1, first + 2, first + 3};
    lanes differs = {0};
    uint64_t differ = 0;
    idx_t i = 0;

    for (; i + LANES <= count; i += LANES, expected += LANES) {
        lanes row;
        memcpy(&row, rows + i, sizeof row);
        differs |= row ^ expected;
    }
    for (; i < count; i++)
        differ |= (uint64_t)rows[i] ^ (first + i);
    return (differs[0] | differs[1] | differs[2] | differs[3] | differ) == 0;
}

/* Rows of one file, one after the other, as a scan without a condition of its own gives them. */
static bool is_run(const kal_dead_set *dead, const uint64_t *files, const int64_t *rows,
                   idx_t count)
{
    return count > 0 && (uint64_t)rows[0] < dead->row_count &&
           count <= dead->row_count - (uint64_t)rows[0] &&
           memcmp(files, files + 1, (count - 1) * sizeof *files) == 0 && /* each as its next */
           is_ascending(rows, count);
}

/* Most of them are alive: the dead ones are looked up, not the others. */
static void mark_run(const kal_dead_set *dead, uint64_t first, idx_t count, bool *out)
{
    uint64_t end = first + count;

    memset(out, true, count);
    for (uint64_t row = first - first % 64; row < end; row += 64) {
        uint64_t bits = dead->bits[row / 64];
        if (row < first)
            bits &= ~UINT64_C(0) << (first - row);
        for (; bits != 0; bits &= bits - 1) {
            uint64_t at = row + (uint64_t)__builtin_ctzll(bits);
            if (at >= end)
                break;
            out[at - first] = false;
        }
    }
}

static void live(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    const kal_duckdb *api = kal_duckdb_loaded();
    const kal_slot *slot = api->scalar_function_get_bind_data(info);
    const uint64_t *files = api->vector_get_data(api->data_chunk_get_vector(input, 0));
    const int64_t *rows = api->vector_get_data(api->data_chunk_get_vector(input, 1));
    bool *out = api->vector_get_data(output);
    idx_t count = api->data_chunk_get_size(input);
    kal_dead_set dead = {0};

    if (count > 0)
        dead = dead_of(slot, files[0]);
    if (is_run(&dead, files, rows, count)) {
        mark_run(&dead, (uint64_t)rows[0], count, out);
        return;
    }
    for (idx_t i = 0; i < count; i++) {
        if (i > 0 && files[i] != files[i - 1]) /* rarely: a chunk comes from one file */
            dead = dead_of(slot, files[i]);
        out[i] = is_live(&dead, (uint64_t)rows[i]);
    }
}

kal_status kal_files_register(kal_engine *engine, duckdb_connection connection, kal_error *err)
{
    const kal_duckdb *api = &engine->api;
    duckdb_scalar_function function = api->create_scalar_function(); /* owned */
    duckdb_logical_type number = api->create_logical_type(DUCKDB_TYPE_BIGINT);
    duckdb_logical_type file_number = api->create_logical_type(DUCKDB_TYPE_UBIGINT);
    duckdb_logical_type truth = api->create_logical_type(DUCKDB_TYPE_BOOLEAN);
    kal_engine **extra = malloc(sizeof *extra); /* owned by DuckDB */

    if (extra == NULL)
        kal_die("out of memory: function");
    *extra = engine;
    api->scalar_function_set_name(function, "kal_live");
    api->scalar_function_add_parameter(function, file_number);
    api->scalar_function_add_parameter(function, number);
    api->scalar_function_set_return_type(function, truth);
    api->scalar_function_set_extra_info(function, extra, free);
    api->scalar_function_set_bind(function, bind_live);
    api->scalar_function_set_function(function, live);
    duckdb_state state = api->register_scalar_function(connection, function);
    api->destroy_scalar_function(&function);
    api->destroy_logical_type(&number);
    api->destroy_logical_type(&file_number);
    api->destroy_logical_type(&truth);
    if (state == DuckDBSuccess)
        return KAL_OK;
    return kal_error_set(err, KAL_INTERNAL, "DuckDB refuses the function kal_live");
}
