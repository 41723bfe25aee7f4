#include "engine/duckdb_api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t loaded_lock = PTHREAD_MUTEX_INITIALIZER;
static kal_duckdb loaded; /* written once, under the lock, before any callback is registered */
static bool is_loaded;

const kal_duckdb *kal_duckdb_loaded(void)
{
    return &loaded;
}

static void keep_loaded(const kal_duckdb *api)
{
    pthread_mutex_lock(&loaded_lock);
    if (!is_loaded)
        loaded = *api;
    is_loaded = true;
    pthread_mutex_unlock(&loaded_lock);
}

static kal_status open_library(const char *path, int when, const char *what, void **handle_out,
                               kal_error *err)
{
    *handle_out = dlopen(path, when | RTLD_LOCAL);
    if (*handle_out != NULL)
        return KAL_OK;
    kal_error_set(err, KAL_IO, "cannot load %s '%s'", what, path);
    kal_error_hint(err, "%s", dlerror());
    return KAL_IO;
}

static kal_status find_function(void *handle, const char *name, void *slot_out, kal_error *err)
{
    void *symbol = dlsym(handle, name);
    if (symbol == NULL)
        return kal_error_set(err, KAL_IO, "the library for DuckDB has no function '%s'", name);
    memcpy(slot_out, &symbol, sizeof symbol); /* C has no cast from object to function pointer */
    return KAL_OK;
}

kal_status kal_duckdb_load(const char *path, kal_duckdb *api_out, kal_error *err)
{
    void *handle = NULL;
    KAL_TRY(open_library(path, RTLD_LAZY, "the DuckDB library", &handle, err));
#define KAL_DUCKDB_FIND(name) KAL_TRY(find_function(handle, "duckdb_" #name, &api_out->name, err));
    KAL_DUCKDB_FUNCTIONS(KAL_DUCKDB_FIND)
#undef KAL_DUCKDB_FIND
    const char *version = api_out->library_version();
    if (strcmp(version, KAL_DUCKDB_VERSION) != 0)
        return kal_error_set(err, KAL_IO, "the DuckDB library '%s' is %s, needed is %s", path,
                             version, KAL_DUCKDB_VERSION);
    keep_loaded(api_out);
    return KAL_OK;
}

/* The module finds its DuckDB by the library's own name; another one than ours would read our
 * objects as its own. */
static kal_status check_same_duckdb(void *module, const char *path, kal_error *err)
{
    const char *(*library_version)(void) = NULL;
    KAL_TRY(find_function(module, "duckdb_library_version", &library_version, err));
    if (library_version == loaded.library_version)
        return KAL_OK;
    return kal_error_set(err, KAL_IO,
                         "the module '%s' has found another DuckDB than the one in use", path);
}

/* Its symbols are bound at once: what this DuckDB does not have shows here, not in a statement. */
kal_status kal_duckdb_register_module(const char *path, duckdb_connection connection,
                                      const kal_duckdb_module_ops *ops, kal_error *err)
{
    __typeof__(kal_duckdb_module_register) *register_module = NULL;
    void *module = NULL;
    char message[256] = "";

    KAL_TRY(open_library(path, RTLD_NOW, "the module for DuckDB", &module, err));
    KAL_TRY(check_same_duckdb(module, path, err));
    KAL_TRY(find_function(module, "kal_duckdb_module_register", &register_module, err));
    if (register_module(connection, ops, message, sizeof message))
        return KAL_OK;
    return kal_error_set(err, KAL_INTERNAL, "cannot use the module '%s': %s", path, message);
}

static kal_status configure(const kal_duckdb *api, const kal_duckdb_options *options,
                            duckdb_config config, kal_error *err)
{
    char threads[16];
    char memory[32];
    const char *const settings[][2] = {
        {"autoinstall_known_extensions", "false"},
        {"autoload_known_extensions", "false"},
        {"allow_community_extensions", "false"},
        {"temp_directory", ""},
        {"threads", threads},
        {"memory_limit", memory},
    };

    snprintf(threads, sizeof threads, "%u", options->threads);
    snprintf(memory, sizeof memory, "%zuMB", options->memory_limit_bytes / 1000000);
    for (size_t i = 0; i < KAL_ARRAY_LEN(settings); i++) {
        if (api->set_config(config, settings[i][0], settings[i][1]) != DuckDBSuccess)
            return kal_error_set(err, KAL_INTERNAL, "DuckDB does not know the setting '%s'",
                                 settings[i][0]);
    }
    return KAL_OK;
}

kal_status kal_duckdb_open(const kal_duckdb *api, const kal_duckdb_options *options,
                           duckdb_database *database_out, kal_error *err)
{
    duckdb_config config = NULL; /* owned */
    char *message = NULL;        /* owned */

    if (api->create_config(&config) != DuckDBSuccess)
        return kal_error_set(err, KAL_INTERNAL, "DuckDB cannot be configured");
    kal_status status = configure(api, options, config, err);
    if (status == KAL_OK && api->open_ext(NULL, database_out, config, &message) != DuckDBSuccess)
        status = kal_error_set(err, KAL_INTERNAL, "DuckDB does not open: %s",
                               message == NULL ? "" : message);
    api->free(message);
    api->destroy_config(&config);
    return status;
}

kal_status kal_duckdb_run(const kal_duckdb *api, duckdb_connection connection, const char *sql,
                          kal_error *err)
{
    duckdb_result result;
    kal_status status = KAL_OK;
    if (api->query(connection, sql, &result) != DuckDBSuccess)
        status = kal_error_set(err, KAL_INTERNAL, "DuckDB refuses '%s': %s", sql,
                               api->result_error(&result));
    api->destroy_result(&result);
    return status;
}
