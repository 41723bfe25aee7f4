#include "engine/duckdb_api.h"

#include <dlfcn.h>
#include <pthread.h>
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

static kal_status find_function(void *handle, const char *name, void *slot_out, kal_error *err)
{
    void *symbol = dlsym(handle, name);
    if (symbol == NULL)
        return kal_error_set(err, KAL_IO, "the DuckDB library has no function '%s'", name);
    memcpy(slot_out, &symbol, sizeof symbol); /* C has no cast from object to function pointer */
    return KAL_OK;
}

kal_status kal_duckdb_load(const char *path, kal_duckdb *api_out, kal_error *err)
{
    void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    if (handle == NULL) {
        kal_error_set(err, KAL_IO, "cannot load the DuckDB library '%s'", path);
        kal_error_hint(err, "%s", dlerror());
        return KAL_IO;
    }
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
