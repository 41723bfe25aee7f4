/*
 * functions.c: our scalar functions inside DuckDB: who asks (CURRENT_USER and the like), new
 * identifiers, and the distance of embeddings.
 *
 * Session functions are volatile, so that no plan keeps an answer of another session.
 */
#include "base/assert.h"
#include "base/json_writer.h"
#include "engine/engine_internal.h"

#include <ctype.h>
#include <math.h>
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

/* ---- COSINE_DISTANCE ---- */

typedef struct numbers {
    const float *ptr;
    size_t len;
} numbers;

static float distance(numbers a, numbers b)
{
    double dot = 0;
    double norm_a = 0;
    double norm_b = 0;
    for (size_t i = 0; i < a.len; i++) {
        dot += (double)a.ptr[i] * (double)b.ptr[i];
        norm_a += (double)a.ptr[i] * (double)a.ptr[i];
        norm_b += (double)b.ptr[i] * (double)b.ptr[i];
    }
    if (norm_a == 0 || norm_b == 0)
        return 1;
    double cosine = dot / (sqrt(norm_a) * sqrt(norm_b));
    if (cosine > 1)
        cosine = 1;
    if (cosine < -1)
        cosine = -1;
    return (float)(1 - cosine);
}

static bool is_valid(const uint64_t *validity, idx_t row)
{
    return validity == NULL || (validity[row / 64] >> (row % 64) & 1) != 0;
}

/* Row `row` of a FLOAT[] vector; false when it or one of its numbers is NULL. */
static bool list_numbers(const kal_duckdb *api, duckdb_vector vector, idx_t row, numbers *out)
{
    const duckdb_list_entry *entries = api->vector_get_data(vector);
    duckdb_vector child = api->list_vector_get_child(vector);
    const uint64_t *validity = api->vector_get_validity(child);

    if (!is_valid(api->vector_get_validity(vector), row))
        return false;
    for (uint64_t i = 0; i < entries[row].length; i++) {
        if (!is_valid(validity, entries[row].offset + i))
            return false;
    }
    *out = (numbers){(const float *)api->vector_get_data(child) + entries[row].offset,
                     entries[row].length};
    return true;
}

/* "[0.1, 2, -3e5]" into buf; false when it is something else. */
static bool parse_numbers(kal_bytes text, kal_buf *buf)
{
    size_t i = 0;
    kal_buf_clear(buf);
    while (i < text.len && isspace(text.ptr[i]))
        i++;
    if (i == text.len || text.ptr[i++] != '[')
        return false;
    for (;;) {
        size_t start = i;
        float v = 0;
        while (i < text.len && text.ptr[i] != ',' && text.ptr[i] != ']')
            i++;
        if (i == text.len)
            return false;
        kal_bytes word = kal_bytes_of(text.ptr + start, i - start);
        while (word.len > 0 && isspace(word.ptr[0]))
            word = kal_bytes_of(word.ptr + 1, word.len - 1);
        while (word.len > 0 && isspace(word.ptr[word.len - 1]))
            word.len--;
        if (!kal_parse_float(word, &v) || !isfinite(v))
            return false;
        kal_buf_append(buf, &v, sizeof v);
        if (text.ptr[i++] == ']')
            break;
    }
    while (i < text.len && isspace(text.ptr[i]))
        i++;
    return i == text.len;
}

static bool text_numbers(const kal_duckdb *api, duckdb_vector vector, idx_t row, kal_buf *buf,
                         numbers *out, bool *malformed)
{
    duckdb_string_t *texts = api->vector_get_data(vector);
    if (!is_valid(api->vector_get_validity(vector), row))
        return false;
    const duckdb_string_t *text = &texts[row];
    uint32_t len = text->value.inlined.length;
    const char *ptr = len <= 12 ? text->value.inlined.inlined : text->value.pointer.ptr;
    *malformed = !parse_numbers(kal_bytes_of(ptr, len), buf);
    *out = (numbers){(const float *)(const void *)buf->ptr, buf->len / sizeof(float)};
    return !*malformed;
}

static void set_distance(duckdb_function_info info, duckdb_vector output, idx_t row, numbers a,
                         numbers b)
{
    const kal_duckdb *api = kal_duckdb_loaded();
    char message[128];
    if (a.len == b.len) {
        ((float *)api->vector_get_data(output))[row] = distance(a, b);
        return;
    }
    snprintf(message, sizeof message, "embeddings of %zu and %zu numbers have no distance", a.len,
             b.len);
    api->scalar_function_set_error(info, message);
}

static void cosine_lists(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    const kal_duckdb *api = kal_duckdb_loaded();
    duckdb_vector left = api->data_chunk_get_vector(input, 0);
    duckdb_vector right = api->data_chunk_get_vector(input, 1);
    kal_value null = kal_value_null(kal_type_of(KAL_TYPE_FLOAT));
    idx_t rows = api->data_chunk_get_size(input);

    for (idx_t r = 0; r < rows; r++) {
        numbers a;
        numbers b;
        if (list_numbers(api, left, r, &a) && list_numbers(api, right, r, &b))
            set_distance(info, output, r, a, b);
        else
            kal_duckdb_store(api, output, r, &null);
    }
}

static void cosine_text(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    const kal_duckdb *api = kal_duckdb_loaded();
    duckdb_vector left = api->data_chunk_get_vector(input, 0);
    duckdb_vector right = api->data_chunk_get_vector(input, 1);
    kal_value null = kal_value_null(kal_type_of(KAL_TYPE_FLOAT));
    idx_t rows = api->data_chunk_get_size(input);
    kal_buf parsed; /* owned */

    kal_buf_init(&parsed, NULL);
    for (idx_t r = 0; r < rows; r++) {
        numbers a;
        numbers b = {0};
        bool malformed = false;
        if (list_numbers(api, left, r, &a) && text_numbers(api, right, r, &parsed, &b, &malformed))
            set_distance(info, output, r, a, b);
        else
            kal_duckdb_store(api, output, r, &null);
        if (malformed) {
            api->scalar_function_set_error(info, "the text is no embedding: [1, 0.5, ...]");
            break;
        }
    }
    kal_buf_release(&parsed);
}

static duckdb_scalar_function cosine_of(const kal_duckdb *api, duckdb_logical_type second,
                                        duckdb_scalar_function_t fn)
{
    duckdb_scalar_function function = api->create_scalar_function();
    duckdb_logical_type number = api->create_logical_type(DUCKDB_TYPE_FLOAT);
    duckdb_logical_type list = api->create_list_type(number);

    api->scalar_function_set_name(function, "cosine_distance");
    api->scalar_function_add_parameter(function, list);
    api->scalar_function_add_parameter(function, second);
    api->scalar_function_set_return_type(function, number);
    api->scalar_function_set_function(function, fn);
    api->destroy_logical_type(&list);
    api->destroy_logical_type(&number);
    return function;
}

static kal_status register_cosine(kal_engine *engine, duckdb_connection connection, kal_error *err)
{
    const kal_duckdb *api = &engine->api;
    duckdb_scalar_function_set set = api->create_scalar_function_set("cosine_distance");
    duckdb_logical_type number = api->create_logical_type(DUCKDB_TYPE_FLOAT);
    duckdb_logical_type list = api->create_list_type(number);
    duckdb_logical_type text = api->create_logical_type(DUCKDB_TYPE_VARCHAR);
    duckdb_scalar_function lists = cosine_of(api, list, cosine_lists);
    duckdb_scalar_function texts = cosine_of(api, text, cosine_text);

    api->add_scalar_function_to_set(set, lists);
    api->add_scalar_function_to_set(set, texts);
    duckdb_state state = api->register_scalar_function_set(connection, set);
    api->destroy_scalar_function(&lists);
    api->destroy_scalar_function(&texts);
    api->destroy_scalar_function_set(&set);
    api->destroy_logical_type(&text);
    api->destroy_logical_type(&list);
    api->destroy_logical_type(&number);
    if (state == DuckDBSuccess)
        return KAL_OK;
    return kal_error_set(err, KAL_INTERNAL, "DuckDB refuses the function cosine_distance");
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
    return register_cosine(engine, connection, err);
}
