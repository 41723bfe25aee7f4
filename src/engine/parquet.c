/*
 * parquet.c: the instance of DuckDB that reads and writes files, its sessions, its errors.
 */
#include "base/assert.h"
#include "engine/parquet_internal.h"
#include "types/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MEMORY_LIMIT_MIN = 64 * 1024 * 1024 };

kal_status kal_parquet_open(const kal_parquet_options *options, kal_parquet **parquet_out,
                            kal_error *err)
{
    kal_parquet *parquet = calloc(1, sizeof *parquet);

    (void)err;
    if (parquet == NULL || (parquet->library_path = strdup(options->library_path)) == NULL)
        kal_die("out of memory: parquet");
    parquet->options = *options;
    parquet->options.library_path = parquet->library_path;
    if (parquet->options.memory_limit_bytes < MEMORY_LIMIT_MIN)
        parquet->options.memory_limit_bytes = MEMORY_LIMIT_MIN;
    if (parquet->options.threads == 0)
        parquet->options.threads = 1;
    pthread_mutex_init(&parquet->lock, NULL);
    *parquet_out = parquet;
    return KAL_OK;
}

/* ---- instances ---- */

static void close_instance(kal_parquet_instance *instance)
{
    if (instance == NULL)
        return;
    if (instance->writer != NULL)
        instance->parquet->api.disconnect(&instance->writer);
    instance->parquet->api.close(&instance->database);
    free(instance);
}

void kal_parquet_close(kal_parquet *parquet)
{
    if (parquet == NULL)
        return;
    KAL_ASSERT(parquet->sessions == NULL);
    close_instance(parquet->current);
    pthread_mutex_destroy(&parquet->lock);
    free(parquet->library_path);
    free(parquet);
}

static kal_status set_up(kal_parquet_instance *instance, kal_error *err)
{
    static const char *const SETTINGS[] = {
        "SET GLOBAL TimeZone = 'UTC'",
        /* By name: but here one name stands for many files. */
        "SET GLOBAL parquet_metadata_cache = false",
        "SET GLOBAL enable_external_file_cache = false",
        /* There is nothing to rearrange in our SELECTs: a tenth of a point read. */
        "SET GLOBAL disabled_optimizers = 'join_order,statistics_propagation,column_lifetime,"
        "common_subexpressions,build_side_probe_side,compressed_materialization,reorder_filter,"
        "join_filter_pushdown,late_materialization,limit_pushdown,top_n'",
    };
    const kal_duckdb *api = &instance->parquet->api;
    duckdb_connection connection = NULL; /* owned */
    kal_status status = KAL_OK;

    if (api->connect(instance->database, &connection) != DuckDBSuccess)
        return kal_error_set(err, KAL_INTERNAL, "DuckDB does not connect");
    for (size_t i = 0; i < KAL_ARRAY_LEN(SETTINGS) && status == KAL_OK; i++)
        status = kal_duckdb_run(api, connection, SETTINGS[i], err);
    if (status == KAL_OK)
        status = kal_parquet_rows_register(instance, connection, err);
    api->disconnect(&connection);
    return status;
}

/* parquet->lock is held. */
static kal_status open_current(kal_parquet *parquet, kal_error *err)
{
    kal_duckdb_options options = {parquet->options.memory_limit_bytes, parquet->options.threads};

    if (parquet->current != NULL)
        return KAL_OK;
    if (!parquet->loaded)
        KAL_TRY(kal_duckdb_load(parquet->library_path, &parquet->api, err));
    parquet->loaded = true;
    kal_parquet_instance *instance = calloc(1, sizeof *instance);
    if (instance == NULL)
        kal_die("out of memory: parquet");
    instance->parquet = parquet;
    kal_status status = kal_duckdb_open(&parquet->api, &options, &instance->database, err);
    if (status == KAL_OK)
        status = set_up(instance, err);
    if (status == KAL_OK)
        parquet->current = instance;
    else
        close_instance(instance);
    return status;
}

static void give_up(kal_parquet_instance *instance)
{
    kal_parquet *parquet = instance->parquet;
    pthread_mutex_lock(&parquet->lock);
    if (parquet->current == instance)
        parquet->current = NULL; /* the sessions in it close it */
    pthread_mutex_unlock(&parquet->lock);
}

/* ---- sessions ---- */

/* parquet->lock is held. */
static kal_status connect_session(kal_parquet_session *session, kal_error *err)
{
    const kal_duckdb *api = &session->parquet->api;
    kal_parquet_instance *instance = session->instance;
    duckdb_client_context context = NULL;

    if (session->writing != NULL && instance->writer != NULL) {
        session->connection = instance->writer;
        session->is_set_up = true;
        instance->writer = NULL;
    } else if (api->connect(instance->database, &session->connection) != DuckDBSuccess) {
        return kal_error_set(err, KAL_INTERNAL, "DuckDB does not connect");
    }
    api->connection_get_client_context(session->connection, &context);
    session->connection_id = api->client_context_get_connection_id(context);
    api->destroy_client_context(&context);
    return KAL_OK;
}

static kal_status begin(kal_parquet *parquet, kal_parquet_writing *writing, const char *path,
                        kal_parquet_session *session, kal_error *err)
{
    *session = (kal_parquet_session){.path = path, .fd = -1, .writing = writing};
    pthread_mutex_lock(&parquet->lock);
    kal_status status = open_current(parquet, err);
    if (status == KAL_OK) {
        session->parquet = parquet;
        session->instance = parquet->current;
        session->instance->connection_count++;
        status = connect_session(session, err);
        session->next = parquet->sessions;
        parquet->sessions = session;
    }
    pthread_mutex_unlock(&parquet->lock);
    if (status != KAL_OK)
        kal_parquet_session_end(session);
    return status;
}

kal_status kal_parquet_session_begin(kal_parquet *parquet, const char *path,
                                     kal_parquet_session *session, kal_error *err)
{
    return begin(parquet, NULL, path, session, err);
}

kal_status kal_parquet_session_begin_write(kal_parquet *parquet, kal_parquet_writing *writing,
                                           const char *path, kal_parquet_session *session,
                                           kal_error *err)
{
    static const char *const SETTINGS[] = {
        "SET SESSION preserve_insertion_order = false",
        "PRAGMA disable_optimizer", /* there is nothing to optimise in SELECT * */
    };
    kal_status status = KAL_OK;

    KAL_TRY(begin(parquet, writing, path, session, err));
    if (session->is_set_up)
        return KAL_OK;
    for (size_t i = 0; i < KAL_ARRAY_LEN(SETTINGS) && status == KAL_OK; i++)
        status = kal_duckdb_run(&parquet->api, session->connection, SETTINGS[i], err);
    session->is_set_up = status == KAL_OK;
    if (status != KAL_OK)
        kal_parquet_session_end(session);
    return status;
}

/* parquet->lock is held. After a failure DuckDB's connection may not be what it was. */
static bool keep_writer(kal_parquet_session *session)
{
    kal_parquet_instance *instance = session->instance;

    if (!session->is_over || instance->writer != NULL || instance != session->parquet->current)
        return false;
    instance->writer = session->connection;
    session->connection = NULL;
    return true;
}

static void unlink_session(kal_parquet *parquet, const kal_parquet_session *session)
{
    kal_parquet_session **at = &parquet->sessions;
    while (*at != session)
        at = &(*at)->next;
    *at = session->next;
}

void kal_parquet_session_end(kal_parquet_session *session)
{
    kal_parquet *parquet = session->parquet;
    kal_parquet_instance *last = NULL;

    if (parquet == NULL)
        return;
    pthread_mutex_lock(&parquet->lock);
    bool kept = keep_writer(session);
    if (kept)
        unlink_session(parquet, session);
    pthread_mutex_unlock(&parquet->lock);
    if (session->connection != NULL)
        parquet->api.disconnect(&session->connection);
    if (session->fd >= 0)
        close(session->fd);
    pthread_mutex_lock(&parquet->lock);
    if (!kept)
        unlink_session(parquet, session);
    if (--session->instance->connection_count == 0 && session->instance != parquet->current)
        last = session->instance;
    pthread_mutex_unlock(&parquet->lock);
    close_instance(last);
    *session = (kal_parquet_session){.fd = -1};
}

kal_parquet_session *kal_parquet_session_of(kal_parquet_instance *instance,
                                            duckdb_client_context context)
{
    kal_parquet *parquet = instance->parquet;
    idx_t id = parquet->api.client_context_get_connection_id(context);
    parquet->api.destroy_client_context(&context);

    pthread_mutex_lock(&parquet->lock);
    kal_parquet_session *found = parquet->sessions;
    while (found != NULL && (found->instance != instance || found->connection_id != id))
        found = found->next;
    pthread_mutex_unlock(&parquet->lock);
    return found;
}

/* ---- errors ---- */

static bool starts_with(const char *message, const char *prefix)
{
    return strncmp(message, prefix, strlen(prefix)) == 0;
}

/* The first line without its kind: "IO Error: ". */
static kal_bytes reason_of(const char *message)
{
    const char *kind = strstr(message, "Error: ");
    const char *reason = kind == NULL ? message : kind + strlen("Error: ");
    return kal_bytes_of(reason, strcspn(reason, "\n"));
}

/* For DuckDB the file has another name: what stands for it is the last part of its own. */
static void append_reason(const kal_parquet_session *session, kal_bytes reason, kal_buf *out)
{
    const char *slash = strrchr(session->path, '/');
    kal_bytes inner;
    char text[64];

    snprintf(text, sizeof text, KAL_PARQUET_FD_PATH, session->fd);
    inner = kal_cstr(text);
    while (reason.len > 0) {
        if (kal_bytes_starts_with(reason, inner)) {
            kal_buf_append_cstr(out, slash == NULL ? session->path : slash + 1);
            reason = kal_bytes_of(reason.ptr + inner.len, reason.len - inner.len);
        } else {
            kal_buf_append_byte(out, *reason.ptr);
            reason = kal_bytes_of(reason.ptr + 1, reason.len - 1);
        }
    }
}

static bool is_broken(const char *message)
{
    return starts_with(message, "INTERNAL") || starts_with(message, "FATAL");
}

/* What is read was verified before: what the system says of it is no damage. */
static kal_status status_of(const char *message, bool writes)
{
    if (starts_with(message, "Out of Memory"))
        return KAL_LIMIT;
    if (starts_with(message, "IO Error"))
        return KAL_IO;
    return writes || is_broken(message) ? KAL_INTERNAL : KAL_CORRUPT;
}

kal_status kal_parquet_failed(kal_parquet_session *session, const char *message, kal_error *err)
{
    bool writes = session->writing != NULL;
    kal_buf reason; /* owned */

    if (message == NULL || message[0] == '\0')
        message = "the query engine failed";
    kal_status status = status_of(message, writes);
    if (is_broken(message))
        give_up(session->instance);
    kal_buf_init(&reason, NULL);
    append_reason(session, reason_of(message), &reason);
    if (status == KAL_CORRUPT)
        kal_error_set(err, status, "the Parquet file '%s' is damaged: %.*s", session->path,
                      KAL_FMT(kal_buf_bytes(&reason)));
    else
        kal_error_set(err, status, "cannot %s '%s': %.*s", writes ? "write" : "read", session->path,
                      KAL_FMT(kal_buf_bytes(&reason)));
    kal_buf_release(&reason);
    return status;
}

/* ---- SQL ---- */

/* DuckDB's own words: of row numbers, and of field ids. */
static bool is_reserved(kal_bytes name)
{
    while (name.len > 0 && name.ptr[name.len - 1] == '_')
        name.len--;
    return kal_bytes_equal_nocase(name, kal_cstr("file_row_number")) ||
           kal_bytes_equal_nocase(name, kal_cstr("__duckdb_field_id"));
}

static void append_quoted(kal_bytes text, char quote, kal_buf *out)
{
    kal_buf_append_byte(out, (uint8_t)quote);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == quote)
            kal_buf_append_byte(out, (uint8_t)quote);
        kal_buf_append_byte(out, text.ptr[i]);
    }
    kal_buf_append_byte(out, (uint8_t)quote);
}

void kal_parquet_file_name(kal_bytes name, kal_buf *out)
{
    kal_buf_append_bytes(out, name);
    if (is_reserved(name))
        kal_buf_append_byte(out, '_');
}

void kal_parquet_append_name(kal_bytes name, char quote, kal_buf *out)
{
    kal_buf in_file; /* owned */
    kal_buf_init(&in_file, NULL);
    kal_parquet_file_name(name, &in_file);
    append_quoted(kal_buf_bytes(&in_file), quote, out);
    kal_buf_release(&in_file);
}

void kal_parquet_append_text(kal_bytes text, kal_buf *out)
{
    append_quoted(text, '\'', out);
}

void kal_parquet_append_hex(kal_bytes bytes, kal_buf *out)
{
    static const char DIGITS[] = "0123456789ABCDEF";

    kal_buf_append_cstr(out, "from_hex('");
    for (size_t i = 0; i < bytes.len; i++) {
        kal_buf_append_byte(out, (uint8_t)DIGITS[bytes.ptr[i] >> 4]);
        kal_buf_append_byte(out, (uint8_t)DIGITS[bytes.ptr[i] & 15]);
    }
    kal_buf_append_cstr(out, "')");
}

static void append_cast(const kal_value *v, kal_buf *out)
{
    char name[KAL_TYPE_NAME_BYTES];

    kal_buf_append_cstr(out, "CAST(");
    if (v->is_null) {
        kal_buf_append_cstr(out, "NULL");
    } else {
        kal_buf_append_byte(out, '\'');
        kal_value_to_text(v, out); /* of no type that comes here does it hold a quote */
        kal_buf_append_byte(out, '\'');
    }
    kal_buf_printf(out, " AS %s)", kal_type_duckdb_name(v->type, name));
}

void kal_parquet_append_literal(const kal_value *v, kal_buf *out)
{
    if (!v->is_null && v->type.tag == KAL_TYPE_BYTES) {
        kal_parquet_append_hex(v->bytes, out);
    } else if (!v->is_null && (v->type.tag == KAL_TYPE_TEXT || v->type.tag == KAL_TYPE_JSON ||
                               v->type.tag == KAL_TYPE_FILE)) {
        kal_buf_append_cstr(out, "decode(");
        kal_parquet_append_hex(v->bytes, out);
        kal_buf_append_cstr(out, ")");
    } else {
        append_cast(v, out);
    }
}
