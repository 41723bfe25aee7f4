/*
 * duckdb_api.h: the functions of libduckdb.so that we use, as a table filled by dlopen.
 *
 * The library is 65 MB and takes 10-30 ms to open, and most servers answer most statements without
 * it, so nothing links against it: the table is filled by the first query. Types come from
 * duckdb.h, which only this folder includes.
 *
 * Threads: a filled table is read-only.
 * Source: reference duckdb-c-api.md section 0.
 */
#ifndef KAL_ENGINE_DUCKDB_API_H
#define KAL_ENGINE_DUCKDB_API_H

#include "base/error.h"
#include "shims/duckdb_module.h"

/* Its declarations without parameters are no prototypes in C17. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include <duckdb.h>
#pragma GCC diagnostic pop

/* name without the prefix duckdb_ */
#define KAL_DUCKDB_FUNCTIONS(X)                                                                    \
    X(library_version)                                                                             \
    X(create_config)                                                                               \
    X(set_config)                                                                                  \
    X(destroy_config)                                                                              \
    X(open_ext)                                                                                    \
    X(close)                                                                                       \
    X(connect)                                                                                     \
    X(disconnect)                                                                                  \
    X(interrupt)                                                                                   \
    X(connection_get_client_context)                                                               \
    X(client_context_get_connection_id)                                                            \
    X(destroy_client_context)                                                                      \
    X(query)                                                                                       \
    X(free)                                                                                        \
    X(prepare)                                                                                     \
    X(prepare_error)                                                                               \
    X(destroy_prepare)                                                                             \
    X(prepared_statement_type)                                                                     \
    X(execute_prepared)                                                                            \
    X(extract_statements)                                                                          \
    X(extract_statements_error)                                                                    \
    X(prepare_extracted_statement)                                                                 \
    X(destroy_extracted)                                                                           \
    X(bind_value)                                                                                  \
    X(bind_varchar_length)                                                                         \
    X(pending_prepared_streaming)                                                                  \
    X(pending_error)                                                                               \
    X(destroy_pending)                                                                             \
    X(execute_pending)                                                                             \
    X(fetch_chunk)                                                                                 \
    X(destroy_result)                                                                              \
    X(result_error)                                                                                \
    X(column_count)                                                                                \
    X(column_name)                                                                                 \
    X(column_logical_type)                                                                         \
    X(data_chunk_get_size)                                                                         \
    X(data_chunk_set_size)                                                                         \
    X(data_chunk_get_vector)                                                                       \
    X(destroy_data_chunk)                                                                          \
    X(vector_get_data)                                                                             \
    X(vector_get_validity)                                                                         \
    X(vector_get_column_type)                                                                      \
    X(vector_ensure_validity_writable)                                                             \
    X(vector_assign_string_element_len)                                                            \
    X(vector_reference_vector)                                                                     \
    X(slice_vector)                                                                                \
    X(create_selection_vector)                                                                     \
    X(destroy_selection_vector)                                                                    \
    X(selection_vector_get_data_ptr)                                                               \
    X(list_vector_get_child)                                                                       \
    X(struct_vector_get_child)                                                                     \
    X(array_vector_get_child)                                                                      \
    X(validity_set_row_invalid)                                                                    \
    X(create_logical_type)                                                                         \
    X(create_decimal_type)                                                                         \
    X(create_array_type)                                                                           \
    X(destroy_logical_type)                                                                        \
    X(logical_type_get_alias)                                                                      \
    X(logical_type_set_alias)                                                                      \
    X(get_type_id)                                                                                 \
    X(decimal_width)                                                                               \
    X(decimal_scale)                                                                               \
    X(decimal_internal_type)                                                                       \
    X(enum_internal_type)                                                                          \
    X(enum_dictionary_size)                                                                        \
    X(enum_dictionary_value)                                                                       \
    X(list_type_child_type)                                                                        \
    X(map_type_key_type)                                                                           \
    X(map_type_value_type)                                                                         \
    X(array_type_child_type)                                                                       \
    X(array_type_array_size)                                                                       \
    X(struct_type_child_count)                                                                     \
    X(struct_type_child_name)                                                                      \
    X(struct_type_child_type)                                                                      \
    X(union_type_member_count)                                                                     \
    X(union_type_member_type)                                                                      \
    X(create_null_value)                                                                           \
    X(create_bool)                                                                                 \
    X(create_int16)                                                                                \
    X(create_int32)                                                                                \
    X(create_int64)                                                                                \
    X(create_float)                                                                                \
    X(create_double)                                                                               \
    X(create_decimal)                                                                              \
    X(create_date)                                                                                 \
    X(create_time)                                                                                 \
    X(create_timestamp)                                                                            \
    X(create_timestamp_tz)                                                                         \
    X(create_varchar_length)                                                                       \
    X(create_blob)                                                                                 \
    X(create_uuid)                                                                                 \
    X(create_array_value)                                                                          \
    X(destroy_value)                                                                               \
    X(get_int64)                                                                                   \
    X(create_table_function)                                                                       \
    X(destroy_table_function)                                                                      \
    X(table_function_set_name)                                                                     \
    X(table_function_add_parameter)                                                                \
    X(table_function_set_extra_info)                                                               \
    X(table_function_set_bind)                                                                     \
    X(table_function_set_init)                                                                     \
    X(table_function_set_function)                                                                 \
    X(table_function_supports_projection_pushdown)                                                 \
    X(register_table_function)                                                                     \
    X(table_function_get_client_context)                                                           \
    X(bind_get_extra_info)                                                                         \
    X(bind_get_parameter)                                                                          \
    X(bind_add_result_column)                                                                      \
    X(bind_set_bind_data)                                                                          \
    X(bind_set_cardinality)                                                                        \
    X(bind_set_error)                                                                              \
    X(init_get_extra_info)                                                                         \
    X(init_get_bind_data)                                                                          \
    X(init_set_init_data)                                                                          \
    X(init_get_column_count)                                                                       \
    X(init_get_column_index)                                                                       \
    X(init_set_max_threads)                                                                        \
    X(init_set_error)                                                                              \
    X(function_get_init_data)                                                                      \
    X(function_set_error)                                                                          \
    X(create_scalar_function)                                                                      \
    X(destroy_scalar_function)                                                                     \
    X(scalar_function_set_name)                                                                    \
    X(scalar_function_set_volatile)                                                                \
    X(scalar_function_add_parameter)                                                               \
    X(scalar_function_set_return_type)                                                             \
    X(scalar_function_set_extra_info)                                                              \
    X(scalar_function_set_bind)                                                                    \
    X(scalar_function_set_bind_data)                                                               \
    X(scalar_function_set_bind_data_copy)                                                          \
    X(scalar_function_bind_set_error)                                                              \
    X(scalar_function_bind_get_extra_info)                                                         \
    X(scalar_function_get_client_context)                                                          \
    X(scalar_function_set_function)                                                                \
    X(scalar_function_get_extra_info)                                                              \
    X(scalar_function_get_bind_data)                                                               \
    X(scalar_function_set_error)                                                                   \
    X(register_scalar_function)                                                                    \
    X(create_scalar_function_set)                                                                  \
    X(add_scalar_function_to_set)                                                                  \
    X(register_scalar_function_set)                                                                \
    X(destroy_scalar_function_set)                                                                 \
    X(create_list_type)                                                                            \
    X(list_vector_get_size)                                                                        \
    X(list_vector_reserve)                                                                         \
    X(list_vector_set_size)                                                                        \
    X(result_error_type)                                                                           \
    X(bind_parameter_index)                                                                        \
    X(param_type)                                                                                  \
    X(create_cast_function)                                                                        \
    X(cast_function_set_source_type)                                                               \
    X(cast_function_set_target_type)                                                               \
    X(cast_function_set_implicit_cast_cost)                                                        \
    X(cast_function_set_function)                                                                  \
    X(cast_function_get_cast_mode)                                                                 \
    X(cast_function_set_error)                                                                     \
    X(cast_function_set_row_error)                                                                 \
    X(register_cast_function)                                                                      \
    X(destroy_cast_function)                                                                       \
    X(prepared_statement_column_count)

typedef struct kal_duckdb {
#define KAL_DUCKDB_MEMBER(name) __typeof__(&duckdb_##name) name;
    KAL_DUCKDB_FUNCTIONS(KAL_DUCKDB_MEMBER)
#undef KAL_DUCKDB_MEMBER
} kal_duckdb;

/* Loads the library at path and fills the table. It stays loaded for the life of the process: it
 * keeps threads and allocator state that do not survive an unload. KAL_IO with the reason: not
 * there, not the version above, a function missing. */
KAL_MUST_CHECK kal_status kal_duckdb_load(const char *path, kal_duckdb *api_out, kal_error *err);
/* What an instance of DuckDB is opened with: in memory, without extensions and without temporary
 * files. */
typedef struct kal_duckdb_options {
    size_t memory_limit_bytes;
    unsigned threads;
} kal_duckdb_options;

KAL_MUST_CHECK kal_status kal_duckdb_open(const kal_duckdb *api, const kal_duckdb_options *options,
                                          duckdb_database *database_out, kal_error *err);
/* Loads the module at path, whose needed DuckDB is the loaded one, and registers its functions.
 * KAL_IO: there is no such module; KAL_INTERNAL. */
KAL_MUST_CHECK kal_status kal_duckdb_register_module(const char *path, duckdb_connection connection,
                                                     const kal_duckdb_module_ops *ops,
                                                     kal_error *err);
/* Runs a statement of ours whose result does not matter. KAL_INTERNAL. */
KAL_MUST_CHECK kal_status kal_duckdb_run(const kal_duckdb *api, duckdb_connection connection,
                                         const char *sql, kal_error *err);
/* The table that was loaded first, for callbacks, which are given nothing to find theirs by. */
const kal_duckdb *kal_duckdb_loaded(void);

/* Whether a vector's row is not NULL; validity NULL: none is. */
static inline bool kal_duckdb_is_valid(const uint64_t *validity, uint64_t row)
{
    return validity == NULL || (validity[row / 64] >> (row % 64) & 1) != 0;
}

#endif
