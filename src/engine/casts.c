/*
 * casts.c: the cast of text to BYTES inside DuckDB, so that '0x00ff' means the same there as
 * everywhere else; DuckDB's own cast knows \xAB only.
 */
#include "base/assert.h"
#include "engine/engine_internal.h"
#include "types/text.h"

static kal_bytes text_of(const duckdb_string_t *text)
{
    uint32_t len = text->value.inlined.length;
    const char *ptr = len <= sizeof text->value.inlined.inlined ? text->value.inlined.inlined
                                                                : text->value.pointer.ptr;
    return kal_bytes_of(ptr, len);
}

static bool bytes_of_text(duckdb_function_info info, idx_t count, duckdb_vector input,
                          duckdb_vector output)
{
    const kal_duckdb *api = kal_duckdb_loaded();
    const duckdb_string_t *texts = api->vector_get_data(input);
    const uint64_t *validity = api->vector_get_validity(input);
    bool may_fail = api->cast_function_get_cast_mode(info) == DUCKDB_CAST_TRY;
    const kal_value null = kal_value_null(kal_type_of(KAL_TYPE_BYTES));
    bool all_cast = true;

    for (idx_t row = 0; row < count && (all_cast || may_fail); row++) {
        kal_arena arena; /* owned */
        kal_error err = KAL_ERROR_INIT;
        kal_value value = null;

        if (!kal_duckdb_is_valid(validity, row)) {
            kal_duckdb_store(api, output, row, &null);
            continue;
        }
        kal_arena_init(&arena, NULL);
        if (kal_value_from_text(null.type, text_of(&texts[row]), &arena, &value, &err) == KAL_OK) {
            kal_duckdb_store(api, output, row, &value);
        } else {
            all_cast = false;
            if (may_fail)
                api->cast_function_set_row_error(info, err.message, row, output);
            else
                api->cast_function_set_error(info, err.message);
        }
        kal_arena_release(&arena);
    }
    return all_cast;
}

kal_status kal_casts_register(kal_engine *engine, duckdb_connection connection, kal_error *err)
{
    const kal_duckdb *api = &engine->api;
    duckdb_cast_function cast = api->create_cast_function();                  /* owned */
    duckdb_logical_type text = api->create_logical_type(DUCKDB_TYPE_VARCHAR); /* owned */
    duckdb_logical_type bytes = api->create_logical_type(DUCKDB_TYPE_BLOB);   /* owned */

    api->cast_function_set_source_type(cast, text);
    api->cast_function_set_target_type(cast, bytes);
    api->cast_function_set_implicit_cast_cost(cast,
                                              -1); /* where DuckDB would cast, not elsewhere */
    api->cast_function_set_function(cast, bytes_of_text);
    duckdb_state state = api->register_cast_function(connection, cast);
    api->destroy_logical_type(&bytes);
    api->destroy_logical_type(&text);
    api->destroy_cast_function(&cast);
    if (state == DuckDBSuccess)
        return KAL_OK;
    return kal_error_set(err, KAL_INTERNAL, "DuckDB refuses the cast of text to bytes");
}
