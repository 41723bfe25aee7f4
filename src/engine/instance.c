/*
 * instance.c: the DuckDB instance: opened by the first query, locked down, with its connections.
 *
 * Order matters: extensions off, functions registered, connections made and set up, then external
 * access is switched off and the configuration locked; nothing can be set after that.
 */
#include "base/assert.h"
#include "base/thread.h"
#include "engine/engine_internal.h"
#include "engine/parquet_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MEMORY_LIMIT_MIN = 64 * 1024 * 1024, WAIT_NS = 20 * 1000 * 1000 };

static char *copy_text(const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL)
        kal_die("out of memory: engine");
    return copy;
}

/* The instance that reads files; they share the memory. */
static kal_engine *open_files_engine(kal_engine *engine, const kal_engine_options *options,
                                     const kal_engine_ops *ops)
{
    kal_engine_options of_files = *options;
    kal_engine *files = NULL;

    engine->memory_limit_bytes /= 2;
    of_files.memory_limit_bytes = engine->memory_limit_bytes;
    of_files.files_dir = NULL;
    if (kal_engine_open(&of_files, ops, &files, NULL) != KAL_OK)
        kal_die("out of memory: engine");
    files->files_dir = copy_text(options->files_dir);
    return files;
}

kal_status kal_engine_open(const kal_engine_options *options, const kal_engine_ops *ops,
                           kal_engine **engine_out, kal_error *err)
{
    kal_engine *engine = calloc(1, sizeof *engine);

    (void)err;
    if (engine == NULL)
        kal_die("out of memory: engine");
    engine->ops = ops;
    engine->clock = options->clock;
    engine->library_path = copy_text(options->library_path);
    engine->module_path =
        copy_text(options->module_path == NULL ? KAL_DUCKDB_MODULE : options->module_path);
    engine->memory_limit_bytes = options->memory_limit_bytes < MEMORY_LIMIT_MIN
                                     ? MEMORY_LIMIT_MIN
                                     : options->memory_limit_bytes;
    engine->threads = options->threads == 0 ? 1 : options->threads;
    if (options->files_dir != NULL)
        engine->files_engine = open_files_engine(engine, options, ops);
    engine->slot_count = options->concurrent_max == 0 ? 1 : options->concurrent_max;
    if (engine->slot_count > KAL_ENGINE_SLOTS_MAX)
        engine->slot_count = KAL_ENGINE_SLOTS_MAX;
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->slot_free, NULL);
    pthread_cond_init(&engine->watch_changed, NULL);
    *engine_out = engine;
    return KAL_OK;
}

/* ---- opening DuckDB ---- */

static kal_status prepare_serialize(kal_slot *slot, kal_error *err)
{
    static const char SQL[] =
        "SELECT json_serialize_sql($1::VARCHAR, skip_null := true, " /* check: type-names (DuckDB)
                                                                      */
        "skip_empty := true, skip_default := true)";
    const kal_duckdb *api = &slot->engine->api;
    if (api->prepare(slot->connection, SQL, &slot->serialize) == DuckDBSuccess)
        return KAL_OK;
    return kal_error_set(err, KAL_INTERNAL, "DuckDB cannot serialise: %s",
                         api->prepare_error(slot->serialize));
}

static kal_status connect_slot(kal_engine *engine, kal_slot *slot, kal_error *err)
{
    duckdb_client_context context = NULL;

    slot->engine = engine;
    if (engine->api.connect(engine->database, &slot->connection) != DuckDBSuccess)
        return kal_error_set(err, KAL_INTERNAL, "DuckDB does not connect");
    engine->api.connection_get_client_context(slot->connection, &context);
    slot->connection_id = engine->api.client_context_get_connection_id(context);
    engine->api.destroy_client_context(&context);
    pthread_mutex_init(&slot->lock, NULL);
    KAL_TRY(kal_duckdb_run(&engine->api, slot->connection, "SET TimeZone = 'UTC'", err));
    KAL_TRY(kal_duckdb_run(&engine->api, slot->connection, "SET errors_as_json = true", err));
    return prepare_serialize(slot, err);
}

/* Files never change under their names. */
static kal_status allow_files(kal_engine *engine, duckdb_connection connection, kal_error *err)
{
    kal_buf directory; /* owned */
    kal_buf sql;       /* owned */

    kal_buf_init(&directory, NULL);
    kal_buf_printf(&directory, "%s/", engine->files_dir);
    kal_buf_init(&sql, NULL);
    kal_buf_append_cstr(&sql, "SET allowed_directories = [");
    kal_parquet_append_text(kal_buf_bytes(&directory), &sql);
    kal_buf_append_cstr(&sql, "]");
    kal_buf_append_byte(&sql, '\0');
    kal_buf_release(&directory);
    kal_status status = kal_duckdb_run(&engine->api, connection, (const char *)sql.ptr, err);
    kal_buf_release(&sql);
    return status == KAL_OK
               ? kal_duckdb_run(&engine->api, connection, "SET parquet_metadata_cache = true", err)
               : status;
}

static kal_status lock_down(kal_engine *engine, kal_error *err)
{
    duckdb_connection connection = engine->slots[0].connection;
    KAL_TRY(kal_scan_register(engine, connection, err));
    KAL_TRY(kal_functions_register(engine, connection, err));
    KAL_TRY(kal_casts_register(engine, connection, err));
    if (engine->files_dir != NULL) {
        KAL_TRY(kal_files_register(engine, connection, err));
        KAL_TRY(allow_files(engine, connection, err));
    }
    KAL_TRY(kal_duckdb_run(&engine->api, connection, "SET enable_external_access = false", err));
    return kal_duckdb_run(&engine->api, connection, "SET lock_configuration = true", err);
}

static void close_database(kal_engine *engine)
{
    for (unsigned i = 0; i < engine->slot_count; i++) {
        kal_slot *slot = &engine->slots[i];
        if (slot->connection == NULL)
            continue;
        kal_slot_types_release(slot);
        kal_vec_release(&slot->files);
        engine->api.destroy_prepare(&slot->serialize);
        engine->api.disconnect(&slot->connection);
        pthread_mutex_destroy(&slot->lock);
    }
    memset(engine->slots, 0, sizeof engine->slots);
    if (engine->database != NULL)
        engine->api.close(&engine->database);
}

/* engine->lock is held. */
static kal_status open_once(kal_engine *engine, kal_error *err)
{
    if (engine->opened)
        return KAL_OK;
    KAL_TRY(kal_duckdb_load(engine->library_path, &engine->api, err));
    kal_duckdb_options options = {engine->memory_limit_bytes, engine->threads};
    kal_status status = kal_duckdb_open(&engine->api, &options, &engine->database, err);
    for (unsigned i = 0; i < engine->slot_count && status == KAL_OK; i++)
        status = connect_slot(engine, &engine->slots[i], err);
    if (status == KAL_OK)
        status = lock_down(engine, err);
    if (status == KAL_OK)
        status = kal_watchdog_start(engine, err);
    if (status != KAL_OK)
        close_database(engine);
    engine->opened = status == KAL_OK;
    return status;
}

void kal_engine_stop(kal_engine *engine)
{
    if (engine == NULL)
        return;
    atomic_store(&engine->stopping, true);
    kal_engine_stop(engine->files_engine);
}

void kal_engine_close(kal_engine *engine)
{
    if (engine == NULL)
        return;
    KAL_ASSERT(engine->busy_count == 0);
    kal_engine_close(engine->files_engine);
    kal_watchdog_stop(engine);
    if (engine->opened)
        close_database(engine);
    pthread_cond_destroy(&engine->watch_changed);
    pthread_cond_destroy(&engine->slot_free);
    pthread_mutex_destroy(&engine->lock);
    free(engine->library_path);
    free(engine->module_path);
    free(engine->files_dir);
    free(engine);
}

const char *kal_engine_library_version(kal_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    const char *version = engine->opened ? engine->api.library_version() : NULL;
    pthread_mutex_unlock(&engine->lock);
    return version;
}

/* ---- slots ---- */

static kal_slot *take_free(kal_engine *engine)
{
    for (unsigned i = 0; i < engine->slot_count; i++) {
        kal_slot *slot = &engine->slots[i];
        if (!slot->busy) {
            slot->busy = true;
            engine->busy_count++;
            return slot;
        }
    }
    return NULL;
}

static kal_status still_wanted(kal_engine *engine, const kal_engine_query_args *query,
                               kal_error *err)
{
    if (atomic_load(&engine->stopping) ||
        (query->cancelled != NULL && atomic_load(query->cancelled)))
        return kal_error_set(err, KAL_CANCELLED, "the statement was cancelled");
    if (query->deadline_mono_ns != 0 && kal_clock_mono_ns(engine->clock) >= query->deadline_mono_ns)
        return kal_error_set(err, KAL_TIMEOUT,
                             "the statement waited too long for the query engine");
    return KAL_OK;
}

/* Short waits, so that deadline and cancellation are seen. engine->lock is held. */
static void wait_a_little(kal_engine *engine)
{
    kal_cond_wait_for(&engine->slot_free, &engine->lock, WAIT_NS);
}

kal_status kal_slot_acquire(kal_engine *engine, const kal_engine_query_args *query,
                            kal_slot **slot_out, kal_error *err)
{
    *slot_out = NULL;
    pthread_mutex_lock(&engine->lock);
    kal_status status = open_once(engine, err);
    if (status == KAL_OK)
        status = still_wanted(engine, query, err);
    while (status == KAL_OK && (*slot_out = take_free(engine)) == NULL) {
        wait_a_little(engine);
        status = still_wanted(engine, query, err);
    }
    pthread_mutex_unlock(&engine->lock);
    return status;
}

void kal_slot_release(kal_slot *slot)
{
    kal_engine *engine = slot->engine;

    slot->statement = NULL;
    slot->tables = NULL;
    slot->table_count = 0;
    slot->files.len = 0;
    slot->failure = KAL_ERROR_INIT;
    pthread_mutex_lock(&engine->lock);
    slot->busy = false;
    engine->busy_count--;
    pthread_cond_signal(&engine->slot_free);
    pthread_mutex_unlock(&engine->lock);
}

kal_slot *kal_slot_of(kal_engine *engine, duckdb_client_context context)
{
    idx_t id = engine->api.client_context_get_connection_id(context);
    engine->api.destroy_client_context(&context);
    return kal_slot_of_connection(engine, id);
}

kal_slot *kal_slot_of_connection(kal_engine *engine, idx_t connection_id)
{
    for (unsigned i = 0; i < engine->slot_count; i++) {
        if (engine->slots[i].connection_id == connection_id)
            return &engine->slots[i];
    }
    return NULL;
}

void kal_slot_fail(kal_slot *slot, const kal_error *failure)
{
    pthread_mutex_lock(&slot->lock);
    if (slot->failure.status == KAL_OK)
        slot->failure = *failure;
    pthread_mutex_unlock(&slot->lock);
}
