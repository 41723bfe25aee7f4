/*
 * parquet_scan.c: rows of a Parquet file, by a SELECT that DuckDB streams, or answers at once when
 * few rows are expected.
 *
 * Chunks stay where DuckDB made them; values point into the chunk at hand. Row numbers are counted
 * when every row comes, and asked for when filters leave some out.
 */
#include "base/assert.h"
#include "base/file_io.h"
#include "engine/parquet_internal.h"
#include "types/widen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct kal_parquet_scan {
    kal_parquet_session session;
    kal_parquet_scan_args args; /* path, columns: borrowed */
    duckdb_prepared_statement prepared;
    duckdb_pending_result pending;
    duckdb_result result;
    bool has_result;
    bool asks_numbers; /* the result's last column is the row's number */

    duckdb_data_chunk chunk; /* owned; NULL: none at hand */
    size_t chunk_rows;
    size_t chunk_next;    /* of its rows, the first that was not handed out */
    uint64_t rows_before; /* rows handed out */
    size_t charged_bytes; /* to the budget, for the chunk */
    kal_arena bytes;      /* what values of the last call point to, where not into the chunk */
};

/* ---- opening ---- */

static kal_status open_file(kal_parquet_session *session, kal_error *err)
{
    struct stat info;

    session->fd = kal_file_open(session->path, O_RDONLY | O_NONBLOCK, 0); /* a pipe would wait */
    if (session->fd < 0 || fstat(session->fd, &info) != 0)
        return kal_error_set(err, KAL_IO, "cannot open '%s': %s", session->path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return kal_error_set(err, KAL_IO, "cannot open '%s': it is not a file", session->path);
    return KAL_OK;
}

static void append_select(const kal_parquet_scan *scan, kal_buf *sql)
{
    static const char *const OPERATORS[] = {" = ", " >= ", " > ", " <= ", " < "};
    const kal_parquet_scan_args *args = &scan->args;

    kal_buf_append_cstr(sql, "SELECT ");
    for (size_t i = 0; i < args->column_count; i++) {
        kal_buf_append_cstr(sql, i == 0 ? "" : ", ");
        kal_parquet_append_name(args->columns[i].name, '"', sql);
    }
    if (scan->asks_numbers)
        kal_buf_append_cstr(sql, args->column_count == 0 ? "file_row_number" : ", file_row_number");
    kal_buf_printf(sql, " FROM read_parquet('" KAL_PARQUET_FD_PATH "', hive_partitioning = false)",
                   scan->session.fd);
    for (size_t i = 0; i < args->filter_count; i++) {
        kal_buf_append_cstr(sql, i == 0 ? " WHERE " : " AND ");
        kal_parquet_append_name(args->filters[i].name, '"', sql);
        kal_buf_append_cstr(sql, OPERATORS[args->filters[i].op]);
        kal_parquet_append_literal(&args->filters[i].value, sql);
    }
    kal_buf_append_byte(sql, '\0');
}

static kal_status execute(kal_parquet_scan *scan, const char *sql, kal_error *err)
{
    const kal_duckdb *api = &scan->session.parquet->api;

    if (scan->args.few_rows) { /* what is prepared is bound twice: here and when it runs */
        scan->has_result = true;
        if (api->query(scan->session.connection, sql, &scan->result) != DuckDBSuccess)
            return kal_parquet_failed(&scan->session, api->result_error(&scan->result), err);
        return KAL_OK;
    }
    if (api->prepare(scan->session.connection, sql, &scan->prepared) != DuckDBSuccess)
        return kal_parquet_failed(&scan->session, api->prepare_error(scan->prepared), err);
    if (api->pending_prepared_streaming(scan->prepared, &scan->pending) != DuckDBSuccess)
        return kal_parquet_failed(&scan->session, api->pending_error(scan->pending), err);
    scan->has_result = true;
    if (api->execute_pending(scan->pending, &scan->result) != DuckDBSuccess)
        return kal_parquet_failed(&scan->session, api->result_error(&scan->result), err);
    return KAL_OK;
}

/* Of the result's column: what kal_parquet_load() reads as `type`. */
static bool is_of_type(const kal_duckdb *api, duckdb_logical_type logical, kal_type type)
{
    duckdb_logical_type own = kal_duckdb_type(api, type); /* owned */
    duckdb_type id = api->get_type_id(logical);
    bool same = id == api->get_type_id(own);

    if (type.tag == KAL_TYPE_EMBEDDING) { /* a file has no fixed length */
        same = id == DUCKDB_TYPE_LIST;
        if (same) {
            duckdb_logical_type child = api->list_type_child_type(logical); /* owned */
            same = api->get_type_id(child) == DUCKDB_TYPE_FLOAT;
            api->destroy_logical_type(&child);
        }
    } else if (same && type.tag == KAL_TYPE_DECIMAL) {
        same = api->decimal_width(logical) == type.precision &&
               api->decimal_scale(logical) == type.scale;
    }
    api->destroy_logical_type(&own);
    return same;
}

static kal_status check_types(kal_parquet_scan *scan, kal_error *err)
{
    const kal_duckdb *api = &scan->session.parquet->api;
    char name[KAL_TYPE_NAME_BYTES];

    for (size_t i = 0; i < scan->args.column_count; i++) {
        const kal_parquet_read_column *column = &scan->args.columns[i];
        duckdb_logical_type logical = api->column_logical_type(&scan->result, i); /* owned */
        bool same = is_of_type(api, logical, column->file_type);
        api->destroy_logical_type(&logical);
        if (!same)
            return kal_error_set(
                err, KAL_CORRUPT, "the Parquet file '%s' is damaged: column '%.*s' is not %s",
                scan->args.path, KAL_FMT(column->name), kal_type_name(column->file_type, name));
    }
    return KAL_OK;
}

static kal_status still_wanted(const kal_parquet_scan *scan, kal_error *err)
{
    const kal_parquet_scan_args *args = &scan->args;
    return args->check == NULL ? KAL_OK : args->check(args->check_context, err);
}

static kal_status start(kal_parquet_scan *scan, kal_error *err)
{
    kal_buf sql; /* owned */

    KAL_TRY(still_wanted(scan, err));
    KAL_TRY(open_file(&scan->session, err));
    KAL_TRY(kal_parquet_verify(&scan->session, scan->args.checksum, err));
    kal_buf_init(&sql, NULL);
    append_select(scan, &sql);
    kal_status status = execute(scan, (const char *)sql.ptr, err);
    kal_buf_release(&sql);
    return status == KAL_OK ? check_types(scan, err) : status;
}

kal_status kal_parquet_scan_open(kal_parquet *parquet, const kal_parquet_scan_args *args,
                                 kal_parquet_scan **scan_out, kal_error *err)
{
    kal_parquet_scan *scan = calloc(1, sizeof *scan);

    *scan_out = NULL;
    if (scan == NULL)
        kal_die("out of memory: parquet");
    for (size_t i = 0; i < args->column_count; i++)
        KAL_ASSERT(kal_type_widens(args->columns[i].file_type, args->columns[i].type));
    for (size_t i = 0; i < args->filter_count; i++)
        KAL_ASSERT(args->filters[i].value.type.tag != KAL_TYPE_EMBEDDING);
    scan->args = *args;
    scan->asks_numbers =
        !args->no_row_numbers && (args->filter_count > 0 || args->column_count == 0);
    kal_arena_init(&scan->bytes, args->budget);
    kal_status status = kal_parquet_session_begin(parquet, args->path, &scan->session, err);
    if (status == KAL_OK)
        status = start(scan, err);
    scan->args.filters = NULL; /* borrowed for this call only */
    scan->args.filter_count = 0;
    if (status == KAL_OK)
        *scan_out = scan;
    else
        kal_parquet_scan_close(scan);
    return status;
}

/* ---- rows ---- */

static void drop_chunk(kal_parquet_scan *scan)
{
    if (scan->chunk != NULL)
        scan->session.parquet->api.destroy_data_chunk(&scan->chunk);
    kal_budget_release(scan->args.budget, scan->charged_bytes);
    scan->charged_bytes = 0;
    scan->chunk_rows = 0;
    scan->chunk_next = 0;
}

/* What the chunk takes, roughly: 16 bytes a value, and what variable values point to. */
static size_t chunk_bytes(const kal_parquet_scan *scan)
{
    const kal_duckdb *api = &scan->session.parquet->api;
    size_t bytes = scan->chunk_rows * (scan->args.column_count + 1) * 16;

    for (size_t c = 0; c < scan->args.column_count; c++) {
        kal_type type = scan->args.columns[c].file_type;
        duckdb_vector vector = api->data_chunk_get_vector(scan->chunk, c);
        if (type.tag == KAL_TYPE_EMBEDDING) {
            bytes += api->list_vector_get_size(vector) * sizeof(float);
        } else if (kal_type_is_bytes(type) && type.tag != KAL_TYPE_UUID) {
            const duckdb_string_t *strings = api->vector_get_data(vector);
            const uint64_t *validity = api->vector_get_validity(vector);
            for (size_t r = 0; r < scan->chunk_rows; r++) {
                if (kal_duckdb_is_valid(validity, r))
                    bytes += strings[r].value.inlined.length;
            }
        }
    }
    return bytes;
}

/* The next chunk with rows, or none at the end. */
static kal_status fetch(kal_parquet_scan *scan, kal_error *err)
{
    const kal_duckdb *api = &scan->session.parquet->api;

    drop_chunk(scan);
    KAL_TRY(still_wanted(scan, err));
    scan->chunk = api->fetch_chunk(scan->result);
    if (scan->chunk == NULL) {
        const char *late = api->result_error(&scan->result);
        if (late != NULL && late[0] != '\0')
            return kal_parquet_failed(&scan->session, late, err);
        return KAL_OK;
    }
    scan->chunk_rows = api->data_chunk_get_size(scan->chunk);
    size_t bytes = chunk_bytes(scan);
    if (!kal_budget_charge(scan->args.budget, bytes))
        return kal_error_set(err, KAL_LIMIT,
                             "rows of a Parquet file exceed the statement's memory");
    scan->charged_bytes = bytes;
    return KAL_OK;
}

static void number_rows(const kal_parquet_scan *scan, size_t rows, uint64_t *out)
{
    const kal_duckdb *api = &scan->session.parquet->api;

    if (!scan->asks_numbers) {
        for (size_t r = 0; r < rows; r++)
            out[r] = scan->rows_before + r;
        return;
    }
    duckdb_vector vector = api->data_chunk_get_vector(scan->chunk, scan->args.column_count);
    memcpy(out, (const uint64_t *)api->vector_get_data(vector) + scan->chunk_next,
           rows * sizeof *out);
}

static kal_status load_column(kal_parquet_scan *scan, size_t c, kal_parquet_cells cells,
                              kal_error *err)
{
    const kal_duckdb *api = &scan->session.parquet->api;
    const kal_parquet_read_column *column = &scan->args.columns[c];
    kal_error why = KAL_ERROR_INIT;

    kal_status status = kal_parquet_load(api, api->data_chunk_get_vector(scan->chunk, c),
                                         scan->chunk_next, column, cells, &scan->bytes, &why);
    if (status == KAL_CORRUPT)
        return kal_error_set(err, KAL_CORRUPT,
                             "the Parquet file '%s' is damaged: column '%.*s': %s", scan->args.path,
                             KAL_FMT(column->name), why.message);
    return status == KAL_OK ? KAL_OK : kal_error_set(err, status, "%s", why.message);
}

static kal_status load_rows(kal_parquet_scan *scan, size_t rows, kal_value *values, kal_error *err)
{
    for (size_t c = 0; c < scan->args.column_count; c++) {
        const kal_parquet_cells cells = {values + c, scan->args.column_count, rows};
        KAL_TRY(load_column(scan, c, cells, err));
    }
    return KAL_OK;
}

kal_status kal_parquet_scan_next(kal_parquet_scan *scan, size_t rows_max, kal_value *values,
                                 uint64_t *row_numbers_out, size_t *rows_out, kal_error *err)
{
    KAL_ASSERT(rows_max > 0);
    *rows_out = 0;
    kal_arena_reset(&scan->bytes);
    if (scan->chunk_next == scan->chunk_rows)
        KAL_TRY(fetch(scan, err));
    size_t rows = scan->chunk_rows - scan->chunk_next;
    if (rows > rows_max)
        rows = rows_max;
    if (rows == 0)
        return KAL_OK;
    KAL_TRY(load_rows(scan, rows, values, err));
    if (row_numbers_out != NULL)
        number_rows(scan, rows, row_numbers_out);
    scan->chunk_next += rows;
    scan->rows_before += rows;
    *rows_out = rows;
    return KAL_OK;
}

/* ---- rows by chunks ---- */

kal_status kal_parquet_scan_next_chunk(kal_parquet_scan *scan, kal_parquet_chunk *out,
                                       kal_error *err)
{
    const kal_duckdb *api = &scan->session.parquet->api;

    *out = (kal_parquet_chunk){0};
    kal_arena_reset(&scan->bytes);
    scan->rows_before += scan->chunk_rows;
    KAL_TRY(fetch(scan, err));
    KAL_ASSERT(scan->chunk_rows <= KAL_ENGINE_CHUNK_ROWS); /* what DuckDB is built with */
    if (scan->chunk_rows == 0 || scan->args.no_row_numbers) {
        out->row_count = scan->chunk_rows;
        return KAL_OK;
    }
    int64_t *numbers = kal_arena_try_array(&scan->bytes, scan->chunk_rows, sizeof *numbers);
    if (numbers == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    if (scan->asks_numbers) {
        duckdb_vector vector = api->data_chunk_get_vector(scan->chunk, scan->args.column_count);
        memcpy(numbers, api->vector_get_data(vector), scan->chunk_rows * sizeof *numbers);
    }
    for (size_t r = 0; r < scan->chunk_rows && !scan->asks_numbers; r++)
        numbers[r] = (int64_t)(scan->rows_before + r);
    *out = (kal_parquet_chunk){scan->chunk_rows, numbers};
    return KAL_OK;
}

kal_status kal_parquet_scan_bigints(kal_parquet_scan *scan, size_t column, const int64_t **out,
                                    kal_error *err)
{
    const kal_duckdb *api = &scan->session.parquet->api;
    duckdb_vector vector = api->data_chunk_get_vector(scan->chunk, column);

    KAL_ASSERT(scan->args.columns[column].file_type.tag == KAL_TYPE_BIGINT);
    *out = api->vector_get_data(vector);
    if (kal_parquet_all_valid(api->vector_get_validity(vector), 0, scan->chunk_rows))
        return KAL_OK;
    return kal_error_set(err, KAL_CORRUPT,
                         "the Parquet file '%s' is damaged: column '%.*s' has a NULL",
                         scan->args.path, KAL_FMT(scan->args.columns[column].name));
}

/* The column's values one by one: they are to be widened, or are vectors of numbers. */
static kal_status give_values(kal_parquet_scan *scan, uint32_t column, const uint32_t *rows,
                              size_t row_count, duckdb_vector to, kal_error *err)
{
    const kal_duckdb *api = &scan->session.parquet->api;
    kal_value *values = kal_arena_try_array(&scan->bytes, scan->chunk_rows, sizeof *values);

    if (values == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    KAL_TRY(load_column(scan, column, (kal_parquet_cells){values, 1, scan->chunk_rows}, err));
    for (size_t r = 0; r < row_count; r++)
        kal_duckdb_store(api, to, r, &values[rows == NULL ? r : rows[r]]);
    return KAL_OK;
}

/* Which rows, for all columns; owned by the caller. */
static duckdb_selection_vector select_rows(const kal_duckdb *api, const uint32_t *rows,
                                           size_t row_count)
{
    duckdb_selection_vector selection = api->create_selection_vector(row_count);
    memcpy(api->selection_vector_get_data_ptr(selection), rows, row_count * sizeof *rows);
    return selection;
}

/* Vectors of these types are the same on both sides. */
static bool is_handed_over(const kal_parquet_read_column *column)
{
    return kal_type_equal(column->file_type, column->type) &&
           column->type.tag != KAL_TYPE_EMBEDDING;
}

kal_status kal_parquet_scan_give(kal_parquet_scan *scan, const uint32_t *columns,
                                 const uint32_t *rows, size_t row_count, kal_engine_chunk *target,
                                 kal_error *err)
{
    const kal_duckdb *api = &scan->session.parquet->api;
    duckdb_selection_vector selection = rows == NULL ? NULL : select_rows(api, rows, row_count);
    kal_status status = KAL_OK;

    for (size_t c = 0; c < target->column_count && status == KAL_OK; c++) {
        duckdb_vector to = api->data_chunk_get_vector(target->chunk, c);
        if (columns[c] == KAL_PARQUET_NO_COLUMN)
            continue;
        if (!is_handed_over(&scan->args.columns[columns[c]])) {
            status = give_values(scan, columns[c], rows, row_count, to, err);
            continue;
        }
        api->vector_reference_vector(to, api->data_chunk_get_vector(scan->chunk, columns[c]));
        if (selection != NULL)
            api->slice_vector(to, selection, row_count);
    }
    if (selection != NULL)
        api->destroy_selection_vector(selection);
    return status;
}

void kal_parquet_scan_close(kal_parquet_scan *scan)
{
    if (scan == NULL)
        return;
    if (scan->session.parquet != NULL) {
        const kal_duckdb *api = &scan->session.parquet->api;
        drop_chunk(scan);
        if (scan->has_result)
            api->destroy_result(&scan->result);
        if (scan->pending != NULL)
            api->destroy_pending(&scan->pending);
        if (scan->prepared != NULL)
            api->destroy_prepare(&scan->prepared);
    }
    kal_parquet_session_end(&scan->session);
    kal_arena_release(&scan->bytes);
    free(scan);
}

kal_status kal_parquet_check(kal_parquet *parquet, const char *path, uint64_t checksum,
                             kal_error *err)
{
    /* Not begun: DuckDB has no part in it. */
    kal_parquet_session session = {.parquet = parquet, .path = path, .fd = -1};

    kal_status status = open_file(&session, err);
    if (status == KAL_OK)
        status = kal_parquet_verify(&session, checksum, err);
    if (session.fd >= 0)
        close(session.fd);
    return status;
}
