/*
 * scan.c: kal_scan(i): the i-th table reference of the statement that runs on this connection, as a
 * table function. Rows come from the caller's cursor, so a statement sees one moment and one user
 * whatever it joins.
 *
 * bind finds the slot by the connection, which init and the function itself do not know; it is kept
 * in the bind data, which never leaves the connection. init runs on any of DuckDB's threads, once
 * per reference and once per step of a recursive CTE.
 */
#include "base/assert.h"
#include "engine/engine_internal.h"
#include "engine/parquet_internal.h"

#include <stdlib.h>

enum { CHUNK_ROWS = KAL_ENGINE_CHUNK_ROWS, VALUES_MAX = 64 * 1024 };

typedef struct scan_bind {
    kal_slot *slot;
    uint64_t index;
} scan_bind;

typedef struct scan_state {
    kal_slot *slot;
    kal_engine_cursor *cursor; /* owned */
    size_t column_count;
    size_t rows_max;
    kal_value *values; /* owned: rows_max * column_count */
    kal_type *types;   /* owned: one per column */
} scan_state;

/* ---- bind ---- */

static uint64_t index_of(const kal_duckdb *api, duckdb_bind_info info)
{
    duckdb_value parameter = api->bind_get_parameter(info, 0); /* owned */
    uint64_t index = (uint64_t)api->get_int64(parameter);
    api->destroy_value(&parameter);
    return index;
}

static void add_columns(kal_slot *slot, duckdb_bind_info info, const kal_scan_table *t)
{
    for (size_t i = 0; i < kal_scan_column_count(t); i++) {
        char name[256];
        kal_bytes text = t->table.columns[i].name;
        KAL_ASSERT(text.len < sizeof name);
        memcpy(name, text.ptr, text.len);
        name[text.len] = '\0';
        slot->engine->api.bind_add_result_column(info, name,
                                                 kal_slot_type_of(slot, t->table.columns[i].type));
    }
}

static void bind_scan(duckdb_bind_info info)
{
    const kal_duckdb *api = kal_duckdb_loaded();
    kal_engine *engine = api->bind_get_extra_info(info);
    duckdb_client_context context = NULL;
    uint64_t index = index_of(api, info);

    api->table_function_get_client_context(info, &context);
    kal_slot *slot = kal_slot_of(engine, context);
    if (slot == NULL || slot->statement == NULL || index >= slot->table_count) {
        api->bind_set_error(info, "there is no such table in this statement");
        return;
    }
    add_columns(slot, info, &slot->tables[index]);
    scan_bind *bound = calloc(1, sizeof *bound); /* owned by DuckDB: free() */
    if (bound == NULL)
        kal_die("out of memory: scan");
    *bound = (scan_bind){slot, index};
    api->bind_set_bind_data(info, bound, free);
    /* is_exact: DuckDB 1.4 has the two cases the wrong way round, and the other one would make the
     * estimate a limit, by which sum() leaves out its checks for overflow. */
    api->bind_set_cardinality(info, (idx_t)slot->tables[index].table.row_estimate, true);
}

/* ---- init ---- */

static void close_state(void *data)
{
    scan_state *state = data;
    if (state->cursor != NULL)
        state->slot->engine->ops->close(state->cursor);
    free(state->values);
    free(state->types);
    free(state);
}

static kal_status open_cursor(const kal_duckdb *api, duckdb_init_info info, const scan_bind *bound,
                              scan_state *state, kal_error *err)
{
    const kal_engine_ops *ops = bound->slot->engine->ops;
    idx_t count = api->init_get_column_count(info);
    uint32_t *columns = calloc(count + 1, sizeof *columns); /* owned */

    state->types = calloc(count + 1, sizeof *state->types);
    if (columns == NULL || state->types == NULL)
        kal_die("out of memory: scan");
    const kal_scan_table *t = &bound->slot->tables[bound->index];
    for (idx_t i = 0; i < count; i++) {
        uint32_t column = (uint32_t)api->init_get_column_index(info, i);
        columns[i] = t->shown == NULL ? column : t->shown[column];
        state->types[i] = t->table.columns[column].type;
    }
    kal_status status = ops->open(bound->slot->statement, t->table.id, columns, count, t->by_files,
                                  &state->cursor, err);
    free(columns);
    state->column_count = count;
    state->rows_max = count == 0 ? CHUNK_ROWS : VALUES_MAX / count;
    if (state->rows_max > CHUNK_ROWS)
        state->rows_max = CHUNK_ROWS;
    if (state->rows_max == 0)
        state->rows_max = 1;
    return status;
}

static void init_scan(duckdb_init_info info)
{
    const kal_duckdb *api = kal_duckdb_loaded();
    const scan_bind *bound = api->init_get_bind_data(info);
    kal_error err = KAL_ERROR_INIT;
    scan_state *state = calloc(1, sizeof *state);

    if (state == NULL)
        kal_die("out of memory: scan");
    state->slot = bound->slot;
    kal_status status = open_cursor(api, info, bound, state, &err);
    state->values = calloc(state->rows_max * (state->column_count + 1), sizeof *state->values);
    if (state->values == NULL)
        kal_die("out of memory: scan");
    api->init_set_init_data(info, state, close_state);
    api->init_set_max_threads(info, 1);
    if (status == KAL_OK)
        return;
    kal_slot_fail(bound->slot, &err);
    api->init_set_error(info, err.message);
}

/* ---- rows ---- */

/* Texts and embeddings are handed over one by one, what has a fixed size in one loop. */
static bool is_fixed(kal_type type)
{
    return type.tag == KAL_TYPE_UUID || !kal_type_is_bytes(type);
}

/* stride 0: one value in all rows. */
static void store_column(kal_engine_chunk *chunk, size_t column, const kal_value *values,
                         size_t stride, size_t rows)
{
    const kal_duckdb *api = chunk->api;
    duckdb_vector vector = api->data_chunk_get_vector(chunk->chunk, column);
    const kal_parquet_column described = {.type = chunk->types[column]};

    if (is_fixed(described.type)) {
        const kal_parquet_cells cells = {(kal_value *)(uintptr_t)values, stride, rows};
        (void)kal_parquet_store(api, vector, 0, &described, cells, NULL); /* no NULL is refused */
        return;
    }
    for (size_t r = 0; r < rows; r++)
        kal_duckdb_store(api, vector, r, &values[r * stride]);
}

void kal_engine_chunk_store(kal_engine_chunk *chunk, const kal_value *values, size_t row_count)
{
    for (size_t c = 0; c < chunk->column_count; c++)
        store_column(chunk, c, values + c, chunk->column_count, row_count);
}

void kal_engine_chunk_fill(kal_engine_chunk *chunk, size_t column, const kal_value *value,
                           size_t row_count)
{
    store_column(chunk, column, value, 0, row_count);
}

/* Rows as values first, then those that come as chunks. */
static kal_status next_rows(scan_state *state, kal_engine_chunk *chunk, size_t *rows_out,
                            kal_error *err)
{
    const kal_engine_ops *ops = state->slot->engine->ops;

    KAL_TRY(ops->next(state->cursor, state->rows_max, state->values, rows_out, err));
    if (*rows_out > 0)
        kal_engine_chunk_store(chunk, state->values, *rows_out);
    else if (ops->next_chunk != NULL)
        return ops->next_chunk(state->cursor, chunk, rows_out, err);
    return KAL_OK;
}

static void next_chunk(duckdb_function_info info, duckdb_data_chunk chunk)
{
    const kal_duckdb *api = kal_duckdb_loaded();
    scan_state *state = api->function_get_init_data(info);
    kal_engine_chunk target = {api, chunk, state->types, state->column_count};
    kal_error err = KAL_ERROR_INIT;
    size_t rows = 0;

    kal_status status = next_rows(state, &target, &rows, &err);
    if (status != KAL_OK) {
        kal_slot_fail(state->slot, &err);
        api->function_set_error(info, err.message);
        return;
    }
    api->data_chunk_set_size(chunk, rows);
}

kal_status kal_scan_register(kal_engine *engine, duckdb_connection connection, kal_error *err)
{
    const kal_duckdb *api = &engine->api;
    duckdb_table_function function = api->create_table_function(); /* owned */
    duckdb_logical_type number = api->create_logical_type(DUCKDB_TYPE_BIGINT);

    api->table_function_set_name(function, "kal_scan");
    api->table_function_add_parameter(function, number);
    api->destroy_logical_type(&number);
    api->table_function_set_extra_info(function, engine, NULL);
    api->table_function_set_bind(function, bind_scan);
    api->table_function_set_init(function, init_scan);
    api->table_function_set_function(function, next_chunk);
    api->table_function_supports_projection_pushdown(function, true);
    duckdb_state state = api->register_table_function(connection, function);
    api->destroy_table_function(&function);
    if (state == DuckDBSuccess)
        return KAL_OK;
    return kal_error_set(err, KAL_INTERNAL, "DuckDB refuses the function kal_scan");
}
