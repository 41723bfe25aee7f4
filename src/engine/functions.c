/*
 * functions.c: our scalar functions inside DuckDB: who asks (CURRENT_USER and the like) and
 * new identifiers.
 *
 * Session functions are volatile, so that no plan keeps an answer of another session.
 */
#include "base/assert.h"
#include "engine/engine_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* Which function of whom; owned by DuckDB. */
typedef struct bound_name {
    kal_engine *engine;
    const char *name; /* static */
} bound_name;

typedef struct bound_slot {
    kal_slot *slot;
    const char *name;
} bound_slot;

static void *copy_slot(void *data)
{
    bound_slot *copy = malloc(sizeof *copy);
    if (copy == NULL)
        kal_die("out of memory: function");
    *copy = *(bound_slot *)data;
    return copy;
}

static void bind_session(duckdb_bind_info info)
{
    const kal_duckdb *api = kal_duckdb_loaded();
    const bound_name *name = api->scalar_function_bind_get_extra_info(info);
    duckdb_client_context context = NULL;

    api->scalar_function_get_client_context(info, &context);
    kal_slot *slot = kal_slot_of(name->engine, context);
    if (slot == NULL) {
        api->scalar_function_bind_set_error(info, "this function needs a session");
        return;
    }
    bound_slot found = {slot, name->name};
    api->scalar_function_set_bind_data(info, copy_slot(&found), free);
    api->scalar_function_set_bind_data_copy(info, copy_slot);
}

static void store_all(duckdb_data_chunk input, duckdb_vector output, const kal_value *value)
{
    const kal_duckdb *api = kal_duckdb_loaded();
    idx_t rows = api->data_chunk_get_size(input);
    for (idx_t r = 0; r < rows; r++)
        kal_duckdb_store(api, output, r, value);
}

static void session_value(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    const kal_duckdb *api = kal_duckdb_loaded();
    const bound_slot *bound = api->scalar_function_get_bind_data(info);
    kal_value value = kal_value_null(kal_type_of(KAL_TYPE_TEXT));

    if (bound->slot->statement != NULL)
        bound->slot->engine->ops->session_value(bound->slot->statement, kal_cstr(bound->name),
                                                &value);
    store_all(input, output, &value);
}

static void generated_value(duckdb_function_info info, duckdb_data_chunk input,
                            duckdb_vector output)
{
    const kal_duckdb *api = kal_duckdb_loaded();
    const bound_slot *bound = api->scalar_function_get_bind_data(info);
    idx_t rows = api->data_chunk_get_size(input);
    kal_arena arena;

    kal_arena_init(&arena, NULL);
    for (idx_t r = 0; r < rows; r++) {
        kal_value value = {0};
        if (bound->slot->statement == NULL ||
            !bound->slot->engine->ops->generate(bound->slot->statement, kal_cstr(bound->name),
                                                &arena, &value)) {
            api->scalar_function_set_error(info, "no identifier can be made here");
            break;
        }
        kal_duckdb_store(api, output, r, &value);
    }
    kal_arena_release(&arena);
}

/* `as` is the name in SQL, `name` the one our callbacks ask for. */
static kal_status register_name(kal_engine *engine, duckdb_connection connection, const char *as,
                                const char *name, duckdb_type result, duckdb_scalar_function_t fn,
                                kal_error *err)
{
    const kal_duckdb *api = &engine->api;
    duckdb_scalar_function function = api->create_scalar_function(); /* owned */
    duckdb_logical_type type = api->create_logical_type(result);
    bound_name *extra = malloc(sizeof *extra); /* owned by DuckDB */

    if (extra == NULL)
        kal_die("out of memory: function");
    *extra = (bound_name){engine, name};
    api->scalar_function_set_name(function, as);
    api->scalar_function_set_return_type(function, type);
    api->destroy_logical_type(&type);
    api->scalar_function_set_volatile(function);
    api->scalar_function_set_extra_info(function, extra, free);
    api->scalar_function_set_bind(function, bind_session);
    api->scalar_function_set_function(function, fn);
    duckdb_state state = api->register_scalar_function(connection, function);
    api->destroy_scalar_function(&function);
    if (state == DuckDBSuccess)
        return KAL_OK;
    return kal_error_set(err, KAL_INTERNAL, "DuckDB refuses the function %s", name);
}

/*
 * DuckDB has most of these names already, and refuses a second function of the name. So ours get
 * names of their own, which no user's text may use, and a macro in the default catalog, which is
 * looked at before DuckDB's own.
 */
static kal_status register_session(kal_engine *engine, duckdb_connection connection,
                                   const char *name, kal_error *err)
{
    char own[64];
    char macro[160];
    duckdb_result result;
    kal_status status = KAL_OK;

    snprintf(own, sizeof own, "kal_%s", name);
    KAL_TRY(register_name(engine, connection, own, name, DUCKDB_TYPE_VARCHAR, session_value, err));
    snprintf(macro, sizeof macro, "CREATE MACRO \"%s\"() AS %s()", name, own);
    if (engine->api.query(connection, macro, &result) != DuckDBSuccess)
        status = kal_error_set(err, KAL_INTERNAL, "DuckDB refuses the macro %s: %s", name,
                               engine->api.result_error(&result));
    engine->api.destroy_result(&result);
    return status;
}

static const struct {
    const char *name;
    duckdb_type result;
} GENERATED[] = {
    {"snowflake_id", DUCKDB_TYPE_BIGINT},
    {"uuid_v7", DUCKDB_TYPE_VARCHAR},
    {"ulid", DUCKDB_TYPE_VARCHAR},
};

kal_status kal_functions_register(kal_engine *engine, duckdb_connection connection, kal_error *err)
{
    for (size_t i = 0; i < KAL_SESSION_COUNT; i++)
        KAL_TRY(register_session(engine, connection, kal_session_names[i], err));
    for (size_t i = 0; i < KAL_ARRAY_LEN(GENERATED); i++)
        KAL_TRY(register_name(engine, connection, GENERATED[i].name, GENERATED[i].name,
                              GENERATED[i].result, generated_value, err));
    return kal_vector_functions_register(engine, connection, err);
}
