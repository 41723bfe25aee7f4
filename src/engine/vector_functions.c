/*
 * vector_functions.c: COSINE_DISTANCE, L2_DISTANCE and DOT_PRODUCT inside DuckDB, by the kernels
 * that the evaluator uses too.
 *
 * Either argument is a FLOAT[] (DuckDB casts arrays of any length to it) or a text '[0.1, 0.2]'.
 * NULL, or a NULL among the numbers, gives NULL.
 */
#include "engine/engine_internal.h"
#include "types/text.h"
#include "types/vector.h"

static const kal_vector_function FUNCTIONS[] = {
#define ITSELF(name) KAL_VECTOR_##name,
    KAL_VECTOR_FUNCTION_LIST(ITSELF)
#undef ITSELF
};

/* One argument of a chunk of rows. */
typedef struct argument {
    duckdb_vector vector;
    bool is_text;
    kal_arena arena;   /* of a text's numbers */
    kal_bytes text;    /* what they were read from, borrowed from the vector */
    kal_bytes numbers; /* of the current row: floats */
} argument;

/* Row `row` of a FLOAT[] vector; false when it or one of its numbers is NULL. */
static bool take_list(const kal_duckdb *api, argument *arg, idx_t row)
{
    const duckdb_list_entry *entries = api->vector_get_data(arg->vector);
    duckdb_vector child = api->list_vector_get_child(arg->vector);
    const uint64_t *validity = api->vector_get_validity(child);

    if (!kal_duckdb_is_valid(api->vector_get_validity(arg->vector), row))
        return false;
    for (uint64_t i = 0; validity != NULL && i < entries[row].length; i++) {
        if (!kal_duckdb_is_valid(validity, entries[row].offset + i))
            return false;
    }
    arg->numbers = kal_bytes_of((const float *)api->vector_get_data(child) + entries[row].offset,
                                entries[row].length * sizeof(float));
    return true;
}

static bool text_at(const kal_duckdb *api, const argument *arg, idx_t row, kal_bytes *out)
{
    const duckdb_string_t *texts = api->vector_get_data(arg->vector);
    if (!kal_duckdb_is_valid(api->vector_get_validity(arg->vector), row))
        return false;
    uint32_t len = texts[row].value.inlined.length;
    *out = kal_bytes_of(len <= 12 ? texts[row].value.inlined.inlined : texts[row].value.pointer.ptr,
                        len);
    return true;
}

static size_t count_numbers(kal_bytes text)
{
    size_t count = 1;
    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == ',';
    return count;
}

/* A constant is the same text in every row: it is read once. */
static kal_status read_text(argument *arg, kal_bytes text, size_t dim, kal_error *err)
{
    kal_value v;
    if (arg->text.len == text.len && arg->text.ptr == text.ptr &&
        arg->numbers.len == dim * sizeof(float))
        return KAL_OK;
    kal_arena_reset(&arg->arena);
    arg->text = (kal_bytes){0};
    if (dim < 1 || dim > KAL_EMBEDDING_DIM_MAX)
        return kal_error_set(err, KAL_INVALID, "an embedding has 1 to %d numbers, got %zu",
                             KAL_EMBEDDING_DIM_MAX, dim);
    KAL_TRY(kal_value_from_text(kal_type_embedding((uint32_t)dim), text, &arg->arena, &v, err));
    arg->text = text;
    arg->numbers = v.bytes;
    return KAL_OK;
}

/* Sets the numbers of both arguments; *null_out when one is NULL. A text has as many numbers as the
 * list beside it. */
static kal_status take_row(const kal_duckdb *api, argument args[2], idx_t row, bool *null_out,
                           kal_error *err)
{
    kal_bytes texts[2] = {0};
    *null_out = true;
    for (size_t i = 0; i < 2; i++) {
        if (args[i].is_text ? !text_at(api, &args[i], row, &texts[i])
                            : !take_list(api, &args[i], row))
            return KAL_OK;
    }
    *null_out = false;
    for (size_t i = 0; i < 2; i++) {
        const argument *other = &args[1 - i];
        if (args[i].is_text)
            KAL_TRY(read_text(&args[i], texts[i],
                              other->is_text ? count_numbers(texts[i])
                                             : other->numbers.len / sizeof(float),
                              err));
    }
    return KAL_OK;
}

static void compute(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output,
                    bool first_is_text, bool second_is_text)
{
    const kal_duckdb *api = kal_duckdb_loaded();
    const kal_vector_function *function = api->scalar_function_get_extra_info(info);
    idx_t rows = api->data_chunk_get_size(input);
    argument args[2] = {{.is_text = first_is_text}, {.is_text = second_is_text}};
    kal_error err = KAL_ERROR_INIT;
    kal_status status = KAL_OK;

    for (size_t i = 0; i < 2; i++) {
        args[i].vector = api->data_chunk_get_vector(input, i);
        kal_arena_init(&args[i].arena, NULL);
    }
    for (idx_t r = 0; r < rows && status == KAL_OK; r++) {
        kal_value v = kal_value_null(kal_type_of(KAL_TYPE_FLOAT));
        bool is_null = true;
        float result = 0;
        status = take_row(api, args, r, &is_null, &err);
        if (status == KAL_OK && !is_null) {
            status = kal_vector_compute(*function, args[0].numbers, args[1].numbers, &result, &err);
            v = kal_value_float(result);
        }
        kal_duckdb_store(api, output, r, &v);
    }
    for (size_t i = 0; i < 2; i++)
        kal_arena_release(&args[i].arena);
    if (status != KAL_OK)
        api->scalar_function_set_error(info, err.message);
}

static void list_list(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    compute(info, input, output, false, false);
}

static void list_text(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    compute(info, input, output, false, true);
}

static void text_list(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    compute(info, input, output, true, false);
}

static void text_text(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    compute(info, input, output, true, true);
}

/* ---- registering ---- */

static void add_form(const kal_duckdb *api, duckdb_scalar_function_set set,
                     const kal_vector_function *f, duckdb_logical_type first,
                     duckdb_logical_type second, duckdb_scalar_function_t run)
{
    duckdb_scalar_function function = api->create_scalar_function(); /* owned */
    duckdb_logical_type number = api->create_logical_type(DUCKDB_TYPE_FLOAT);

    api->scalar_function_set_name(function, kal_vector_function_name(*f));
    api->scalar_function_add_parameter(function, first);
    api->scalar_function_add_parameter(function, second);
    api->scalar_function_set_return_type(function, number);
    api->scalar_function_set_extra_info(function, (void *)f, NULL);
    api->scalar_function_set_function(function, run);
    api->add_scalar_function_to_set(set, function);
    api->destroy_scalar_function(&function);
    api->destroy_logical_type(&number);
}

static kal_status register_one(const kal_duckdb *api, duckdb_connection connection,
                               const kal_vector_function *f, kal_error *err)
{
    const char *name = kal_vector_function_name(*f);
    duckdb_scalar_function_set set = api->create_scalar_function_set(name); /* owned */
    duckdb_logical_type number = api->create_logical_type(DUCKDB_TYPE_FLOAT);
    duckdb_logical_type list = api->create_list_type(number);
    duckdb_logical_type text = api->create_logical_type(DUCKDB_TYPE_VARCHAR);

    add_form(api, set, f, list, list, list_list);
    add_form(api, set, f, list, text, list_text);
    add_form(api, set, f, text, list, text_list);
    add_form(api, set, f, text, text, text_text);
    duckdb_state state = api->register_scalar_function_set(connection, set);
    api->destroy_logical_type(&text);
    api->destroy_logical_type(&list);
    api->destroy_logical_type(&number);
    api->destroy_scalar_function_set(&set);
    if (state == DuckDBSuccess)
        return KAL_OK;
    return kal_error_set(err, KAL_INTERNAL, "DuckDB refuses the function %s", name);
}

kal_status kal_vector_functions_register(kal_engine *engine, duckdb_connection connection,
                                         kal_error *err)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(FUNCTIONS); i++)
        KAL_TRY(register_one(&engine->api, connection, &FUNCTIONS[i], err));
    return KAL_OK;
}
