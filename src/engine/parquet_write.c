/*
 * parquet_write.c: a source of rows becomes a Parquet file: COPY of a table function of ours.
 *
 * The function is read by one thread at a time and COPY keeps the order, so row i stays row i. Its
 * chunks are filled to the last row as long as there are any, so row groups have the size asked
 * for.
 */
#include "base/assert.h"
#include "base/file_io.h"
#include "engine/parquet_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_ROWS = 2048,              /* a vector of DuckDB */
    CHUNK_BYTES = 16 * 1024 * 1024, /* of texts: a chunk of large rows ends before its last row */
    BATCH_VALUES = 4096 /* of one call of the source: 128 KiB, what stays in a core's cache */
};

#define ROW_GROUP_BYTES "67108864"

struct kal_parquet_writing {
    const kal_parquet_write_args *args;
    const kal_parquet_source *source;
    size_t batch_rows;
    kal_value *values; /* owned: batch_rows * column_count */
    kal_arena bytes;   /* what the current chunk points to */
    uint64_t row_count;
    kal_error failure; /* of the source, or our own; status KAL_OK: none */
};

/* ---- kal_rows(): the rows of the session's write ---- */

/* Embeddings as lists: of a NULL array DuckDB writes as many entries as it has numbers, for which
 * other readers see as many rows. */
static duckdb_logical_type written_type(const kal_duckdb *api, kal_type type)
{
    if (type.tag != KAL_TYPE_EMBEDDING)
        return kal_duckdb_type(api, type);
    duckdb_logical_type number = api->create_logical_type(DUCKDB_TYPE_FLOAT); /* owned */
    duckdb_logical_type list = api->create_list_type(number);
    api->destroy_logical_type(&number);
    return list;
}

static void bind_rows(duckdb_bind_info info)
{
    const kal_duckdb *api = kal_duckdb_loaded();
    kal_parquet_instance *instance = api->bind_get_extra_info(info);
    duckdb_client_context context = NULL;

    api->table_function_get_client_context(info, &context);
    kal_parquet_session *session = kal_parquet_session_of(instance, context);
    if (session == NULL || session->writing == NULL) {
        api->bind_set_error(info, "nothing is being written");
        return;
    }
    const kal_parquet_write_args *args = session->writing->args;
    for (size_t i = 0; i < args->column_count; i++) {
        kal_buf name;                                                        /* owned */
        duckdb_logical_type type = written_type(api, args->columns[i].type); /* owned */
        kal_buf_init(&name, NULL);
        kal_parquet_file_name(args->columns[i].name, &name);
        kal_buf_append_byte(&name, '\0');
        api->bind_add_result_column(info, (const char *)name.ptr, type);
        api->destroy_logical_type(&type);
        kal_buf_release(&name);
    }
    api->bind_set_bind_data(info, session->writing, NULL);
}

static void init_rows(duckdb_init_info info)
{
    const kal_duckdb *api = kal_duckdb_loaded();
    api->init_set_init_data(info, api->init_get_bind_data(info), NULL);
    api->init_set_max_threads(info, 1);
}

static kal_status store_batch(const kal_duckdb *api, kal_parquet_writing *w,
                              duckdb_data_chunk chunk, size_t start, size_t rows, kal_error *err)
{
    const kal_parquet_write_args *args = w->args;
    for (size_t c = 0; c < args->column_count; c++) {
        const kal_parquet_cells cells = {w->values + c, args->column_count, rows};
        if (!kal_parquet_store(api, api->data_chunk_get_vector(chunk, c), start, &args->columns[c],
                               cells, &w->bytes))
            return kal_error_set(err, KAL_INVALID, "column '%.*s' must not be NULL",
                                 KAL_FMT(args->columns[c].name));
    }
    return KAL_OK;
}

static kal_status fill_chunk(const kal_duckdb *api, kal_parquet_writing *w, duckdb_data_chunk chunk,
                             size_t *filled_out, kal_error *err)
{
    const _Atomic bool *cancelled = w->args->cancelled;
    size_t filled = 0;

    if (cancelled != NULL && atomic_load(cancelled))
        return kal_error_set(err, KAL_CANCELLED, "writing '%s' was cancelled", w->args->path);
    while (filled < CHUNK_ROWS && w->bytes.size_bytes < CHUNK_BYTES) {
        size_t room = CHUNK_ROWS - filled;
        size_t rows = 0;
        KAL_TRY(w->source->next(w->source->context, room < w->batch_rows ? room : w->batch_rows,
                                w->values, &rows, err));
        if (rows == 0)
            break;
        KAL_ASSERT(rows <= room);
        KAL_TRY(store_batch(api, w, chunk, filled, rows, err));
        filled += rows;
    }
    *filled_out = filled;
    return KAL_OK;
}

static void next_rows(duckdb_function_info info, duckdb_data_chunk chunk)
{
    const kal_duckdb *api = kal_duckdb_loaded();
    kal_parquet_writing *w = api->function_get_init_data(info);
    size_t filled = 0;

    kal_arena_reset(&w->bytes); /* the chunk before this one was copied */
    kal_status status = fill_chunk(api, w, chunk, &filled, &w->failure);
    if (status != KAL_OK) {
        w->failure.status = status;
        api->function_set_error(info, w->failure.message);
        return;
    }
    w->row_count += filled;
    api->data_chunk_set_size(chunk, filled);
}

kal_status kal_parquet_rows_register(kal_parquet_instance *instance, duckdb_connection connection,
                                     kal_error *err)
{
    const kal_duckdb *api = &instance->parquet->api;
    duckdb_table_function function = api->create_table_function(); /* owned */

    api->table_function_set_name(function, "kal_rows");
    api->table_function_set_extra_info(function, instance, NULL);
    api->table_function_set_bind(function, bind_rows);
    api->table_function_set_init(function, init_rows);
    api->table_function_set_function(function, next_rows);
    duckdb_state state = api->register_table_function(connection, function);
    api->destroy_table_function(&function);
    if (state == DuckDBSuccess)
        return KAL_OK;
    return kal_error_set(err, KAL_INTERNAL, "DuckDB refuses the function kal_rows");
}

/* ---- COPY ---- */

static bool is_storable(kal_bytes name)
{
    return name.len > 0 && memchr(name.ptr, '\0', name.len) == NULL;
}

static kal_status check_names(const kal_parquet_write_args *args, kal_error *err)
{
    KAL_ASSERT(args->column_count > 0);
    for (size_t i = 0; i < args->column_count; i++) {
        kal_bytes name = args->columns[i].name;
        if (!is_storable(name))
            return kal_error_set(err, KAL_INVALID,
                                 "a Parquet file cannot have a column named '%.*s'", KAL_FMT(name));
    }
    for (size_t i = 0; i < args->metadata_count; i++) {
        if (!is_storable(args->metadata[i].key))
            return kal_error_set(err, KAL_INVALID,
                                 "a key of a Parquet file's metadata is empty or has a NUL");
    }
    return KAL_OK;
}

static const char *codec_of(kal_compression compression)
{
    return compression == KAL_COMPRESSION_NONE ? "uncompressed" : kal_compression_name(compression);
}

static bool is_floating(const kal_parquet_write_args *args)
{
    for (size_t i = 0; i < args->column_count; i++) {
        uint8_t tag = args->columns[i].type.tag;
        if (tag == KAL_TYPE_FLOAT || tag == KAL_TYPE_DOUBLE || tag == KAL_TYPE_EMBEDDING)
            return true;
    }
    return false;
}

/* As text where it is some, which is a constant for DuckDB and no expression to be bound: a tenth
 * of what a small file takes. */
static void append_metadata_value(kal_bytes value, kal_buf *sql)
{
    bool is_text = true;

    for (size_t i = 0; i < value.len; i++)
        is_text = is_text && value.ptr[i] >= ' ' && value.ptr[i] <= '~';
    if (is_text)
        kal_parquet_append_text(value, sql);
    else
        kal_parquet_append_hex(value, sql);
}

/* V2: integers are packed deltas, floats split streams, where V1 has plain values for the codec to
 * find something in. A third smaller, written with half of the work, read with half to a quarter.
 */
static void append_copy(const kal_parquet_write_args *args, int fd, kal_buf *sql)
{
    uint32_t rows = args->row_group_rows == 0 ? KAL_PARQUET_ROW_GROUP_ROWS : args->row_group_rows;

    kal_buf_printf(sql,
                   "COPY (SELECT * FROM kal_rows()) TO '" KAL_PARQUET_FD_PATH
                   "' (FORMAT parquet, USE_TMP_FILE false, PRESERVE_ORDER true, "
                   "PARQUET_VERSION V2, COMPRESSION %s, "
                   "ROW_GROUP_SIZE %u, ROW_GROUP_SIZE_BYTES " ROW_GROUP_BYTES,
                   fd, codec_of(args->compression), rows);
    if (is_floating(args))
        kal_buf_append_cstr(sql, ", DICTIONARY_SIZE_LIMIT 0");
    kal_buf_append_cstr(sql, ", FIELD_IDS {");
    for (size_t i = 0; i < args->column_count; i++) {
        kal_buf_append_cstr(sql, i == 0 ? "" : ", ");
        kal_parquet_append_name(args->columns[i].name, '\'', sql);
        kal_buf_printf(sql, ": %u", args->columns[i].field_id);
    }
    kal_buf_append_cstr(sql, "}");
    for (size_t i = 0; i < args->metadata_count; i++) {
        kal_buf_append_cstr(sql, i == 0 ? ", KV_METADATA {" : ", ");
        kal_parquet_append_text(args->metadata[i].key, sql);
        kal_buf_append_cstr(sql, ": ");
        append_metadata_value(args->metadata[i].value, sql);
    }
    kal_buf_append_cstr(sql, args->metadata_count == 0 ? ")" : "})");
    kal_buf_append_byte(sql, '\0');
}

static kal_status create_file(kal_parquet_session *session, kal_error *err)
{
    session->fd = kal_file_open(session->path, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (session->fd >= 0)
        return KAL_OK;
    return kal_error_set(err, errno == EEXIST ? KAL_EXISTS : KAL_IO, "cannot create '%s': %s",
                         session->path, strerror(errno));
}

static kal_status run_copy(kal_parquet_session *session, kal_error *err)
{
    const kal_duckdb *api = &session->parquet->api;
    kal_parquet_writing *w = session->writing;
    duckdb_result result = {0}; /* owned */
    kal_status status = KAL_OK;
    kal_buf sql; /* owned */

    kal_buf_init(&sql, NULL);
    append_copy(w->args, session->fd, &sql);
    if (api->query(session->connection, (const char *)sql.ptr, &result) != DuckDBSuccess) {
        status = kal_parquet_failed(session, api->result_error(&result), err);
        if (w->failure.status != KAL_OK) {
            status = w->failure.status;
            if (err != NULL)
                *err = w->failure;
        }
    }
    api->destroy_result(&result);
    kal_buf_release(&sql);
    return status;
}

kal_status kal_parquet_write(kal_parquet *parquet, const kal_parquet_write_args *args,
                             const kal_parquet_source *source, kal_parquet_written *out,
                             kal_error *err)
{
    kal_parquet_writing w = {.args = args, .source = source, .failure = KAL_ERROR_INIT};
    kal_parquet_session session = {0};

    *out = (kal_parquet_written){0};
    KAL_TRY(check_names(args, err));
    KAL_TRY(kal_parquet_session_begin_write(parquet, &w, args->path, &session, err));
    w.batch_rows = args->column_count >= BATCH_VALUES ? 1 : BATCH_VALUES / args->column_count;
    if (w.batch_rows > CHUNK_ROWS)
        w.batch_rows = CHUNK_ROWS;
    w.values = calloc(w.batch_rows * args->column_count, sizeof *w.values);
    if (w.values == NULL)
        kal_die("out of memory: parquet");
    kal_arena_init(&w.bytes, NULL);
    kal_status status = create_file(&session, err);
    if (status == KAL_OK)
        status = run_copy(&session, err);
    if (status == KAL_OK)
        status = kal_parquet_seal(&session, &out->checksum, err);
    session.is_over = status == KAL_OK;
    kal_parquet_session_end(&session);
    kal_arena_release(&w.bytes);
    free(w.values);
    out->row_count = w.row_count;
    return status;
}
