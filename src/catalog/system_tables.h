/*
 * system_tables.h: the one list of the tables that the server keeps itself.
 *
 * Definition, DESCRIBE, information_schema, the provider of the rows and the documentation all
 * follow from it. A column is reached by its index, KAL_<TABLE>_<COLUMN>; its name is spelled here
 * and nowhere else (a test checks it).
 */
#ifndef KAL_CATALOG_SYSTEM_TABLES_H
#define KAL_CATALOG_SYSTEM_TABLES_H

#include "schema/table_definition.h"

#define KAL_SYSTEM_NAMESPACE      "system"
#define KAL_INFORMATION_NAMESPACE "information_schema"

/* X(table, column, name, type, nullable); N: may be NULL, R: never, K: never, and part of what
 * names a row: by these columns live queries know it again */
#define KAL_USERS_COLUMNS(X)                                                                       \
    X(USERS, USER_ID, "user_id", TEXT, K)                                                          \
    X(USERS, USERNAME, "username", TEXT, R)                                                        \
    X(USERS, PASSWORD_HASH, "password_hash", TEXT, N) /* never shown: *** or NULL */               \
    X(USERS, ROLE, "role", TEXT, R)                                                                \
    X(USERS, EMAIL, "email", TEXT, N)                                                              \
    X(USERS, AUTH_TYPE, "auth_type", TEXT, R)                                                      \
    X(USERS, AUTH_DATA, "auth_data", JSON, N)                                                      \
    X(USERS, CREATED_AT, "created_at", TIMESTAMP, R)                                               \
    X(USERS, UPDATED_AT, "updated_at", TIMESTAMP, R)                                               \
    X(USERS, LAST_SEEN, "last_seen", TIMESTAMP, N)                                                 \
    X(USERS, DELETED_AT, "deleted_at", TIMESTAMP, N)

#define KAL_JOBS_COLUMNS(X)                                                                        \
    X(JOBS, JOB_ID, "job_id", TEXT, K)                                                             \
    X(JOBS, JOB_TYPE, "job_type", TEXT, R)                                                         \
    X(JOBS, NAMESPACE_ID, "namespace_id", TEXT, N)                                                 \
    X(JOBS, TABLE_NAME, "table_name", TEXT, N)                                                     \
    X(JOBS, STATUS, "status", TEXT, R)                                                             \
    X(JOBS, PARAMETERS, "parameters", JSON, N)                                                     \
    X(JOBS, RESULT, "result", TEXT, N)                                                             \
    X(JOBS, TRACE, "trace", TEXT, N)                                                               \
    X(JOBS, MEMORY_USED, "memory_used", BIGINT, N) /* bytes */                                     \
    X(JOBS, CPU_USED, "cpu_used", BIGINT, N)       /* us */                                        \
    X(JOBS, CREATED_AT, "created_at", TIMESTAMP, R)                                                \
    X(JOBS, STARTED_AT, "started_at", TIMESTAMP, N)                                                \
    X(JOBS, COMPLETED_AT, "completed_at", TIMESTAMP, N)                                            \
    X(JOBS, NODE_ID, "node_id", TEXT, R)                                                           \
    X(JOBS, ERROR_MESSAGE, "error_message", TEXT, N)                                               \
    X(JOBS, PROGRESS, "progress", TEXT, N)                                                         \
    X(JOBS, RETRY_COUNT, "retry_count", INT, R)                                                    \
    X(JOBS, MAX_RETRIES, "max_retries", INT, R)                                                    \
    X(JOBS, START_COUNT, "start_count", INT, R)                                                    \
    X(JOBS, IDEMPOTENCY_KEY, "idempotency_key", TEXT, R)                                           \
    X(JOBS, ACTOR, "actor", TEXT, N)                                                               \
    X(JOBS, UPDATED_AT, "updated_at", TIMESTAMP, R)                                                \
    X(JOBS, DUE_AT, "due_at", TIMESTAMP, N) /* of the next retry */

#define KAL_NAMESPACES_COLUMNS(X)                                                                  \
    X(NAMESPACES, NAMESPACE_ID, "namespace_id", TEXT, K)                                           \
    X(NAMESPACES, NAME, "name", TEXT, R)                                                           \
    X(NAMESPACES, CREATED_AT, "created_at", TIMESTAMP, R)                                          \
    X(NAMESPACES, OPTIONS, "options", JSON, N)                                                     \
    X(NAMESPACES, TABLE_COUNT, "table_count", INT, R)

#define KAL_STORAGES_COLUMNS(X)                                                                    \
    X(STORAGES, STORAGE_ID, "storage_id", TEXT, K)                                                 \
    X(STORAGES, STORAGE_NAME, "storage_name", TEXT, R)                                             \
    X(STORAGES, DESCRIPTION, "description", TEXT, N)                                               \
    X(STORAGES, STORAGE_TYPE, "storage_type", TEXT, R)                                             \
    X(STORAGES, BASE_DIRECTORY, "base_directory", TEXT, R)                                         \
    X(STORAGES, CREDENTIALS, "credentials", TEXT, N)                                               \
    X(STORAGES, SHARED_TABLES_TEMPLATE, "shared_tables_template", TEXT, R)                         \
    X(STORAGES, USER_TABLES_TEMPLATE, "user_tables_template", TEXT, R)                             \
    X(STORAGES, CREATED_AT, "created_at", TIMESTAMP, R)                                            \
    X(STORAGES, UPDATED_AT, "updated_at", TIMESTAMP, R)                                            \
    X(STORAGES, REGION, "region", TEXT, N)                                                         \
    X(STORAGES, ENDPOINT, "endpoint", TEXT, N)

/* Of both names of the live queries. */
#define KAL_LIVE_ROW_COLUMNS(X, TABLE)                                                             \
    X(TABLE, LIVE_ID, "live_id", TEXT, K)                                                          \
    X(TABLE, CONNECTION_ID, "connection_id", TEXT, R)                                              \
    X(TABLE, NAMESPACE_ID, "namespace_id", TEXT, R)                                                \
    X(TABLE, TABLE_NAME, "table_name", TEXT, R)                                                    \
    X(TABLE, QUERY_ID, "query_id", TEXT, R)                                                        \
    X(TABLE, USER_ID, "user_id", TEXT, R)                                                          \
    X(TABLE, QUERY, "query", TEXT, R)                                                              \
    X(TABLE, OPTIONS, "options", JSON, N)                                                          \
    X(TABLE, CREATED_AT, "created_at", TIMESTAMP, R)                                               \
    X(TABLE, LAST_UPDATE, "last_update", TIMESTAMP, R)                                             \
    X(TABLE, CHANGES, "changes", BIGINT, R)                                                        \
    X(TABLE, NODE, "node", TEXT, R)                                                                \
    X(TABLE, STATE, "state", TEXT, R)                                                              \
    X(TABLE, LAG, "lag", BIGINT, R)
#define KAL_LIVE_QUERIES_COLUMNS(X) KAL_LIVE_ROW_COLUMNS(X, LIVE_QUERIES)
#define KAL_LIVE_COLUMNS(X)         KAL_LIVE_ROW_COLUMNS(X, LIVE) /* the later name */

#define KAL_TABLES_COLUMNS(X)                                                                      \
    X(TABLES, TABLE_ID, "table_id", BIGINT, K)                                                     \
    X(TABLES, TABLE_NAME, "table_name", TEXT, R)                                                   \
    X(TABLES, NAMESPACE, "namespace", TEXT, R)                                                     \
    X(TABLES, TABLE_TYPE, "table_type", TEXT, R)                                                   \
    X(TABLES, CREATED_AT, "created_at", TIMESTAMP, R)                                              \
    X(TABLES, STORAGE_LOCATION, "storage_location", TEXT, N)                                       \
    X(TABLES, STORAGE_ID, "storage_id", TEXT, N)                                                   \
    X(TABLES, USE_USER_STORAGE, "use_user_storage", BOOLEAN, R)                                    \
    X(TABLES, FLUSH_POLICY, "flush_policy", JSON, N)                                               \
    X(TABLES, SCHEMA_VERSION, "schema_version", INT, R)                                            \
    X(TABLES, DELETED_RETENTION_HOURS, "deleted_retention_hours", BIGINT, N)                       \
    X(TABLES, ACCESS_LEVEL, "access_level", TEXT, N)                                               \
    X(TABLES, OPTIONS, "options", JSON, R) /* every option of the table's kind */                  \
    X(TABLES, TABLE_COMMENT, "table_comment", TEXT, N)

#define KAL_TABLE_SCHEMAS_COLUMNS(X)                                                               \
    X(TABLE_SCHEMAS, TABLE_ID, "table_id", BIGINT, K)                                              \
    X(TABLE_SCHEMAS, SCHEMA_VERSION, "schema_version", INT, K)                                     \
    X(TABLE_SCHEMAS, CHANGES, "changes", TEXT, R)                                                  \
    X(TABLE_SCHEMAS, CREATED_AT, "created_at", TIMESTAMP, R)                                       \
    X(TABLE_SCHEMAS, ACTOR, "actor", TEXT, R)                                                      \
    X(TABLE_SCHEMAS, COLUMN_COUNT, "column_count", INT, R)                                         \
    X(TABLE_SCHEMAS, TABLE_DEFINITION, "table_definition", JSON, R)                                \
    X(TABLE_SCHEMAS, ARROW_SCHEMA_JSON, "arrow_schema_json", JSON, R) /* derived when read */

#define KAL_INFO_TABLES_COLUMNS(X)                                                                 \
    X(INFO_TABLES, TABLE_CATALOG, "table_catalog", TEXT, R)                                        \
    X(INFO_TABLES, TABLE_SCHEMA, "table_schema", TEXT, R)                                          \
    X(INFO_TABLES, TABLE_NAME, "table_name", TEXT, R)                                              \
    X(INFO_TABLES, TABLE_TYPE, "table_type", TEXT, R)                                              \
    X(INFO_TABLES, TABLE_ID, "table_id", BIGINT, K)                                                \
    X(INFO_TABLES, CREATED_AT, "created_at", TIMESTAMP, R)                                         \
    X(INFO_TABLES, UPDATED_AT, "updated_at", TIMESTAMP, R)                                         \
    X(INFO_TABLES, SCHEMA_VERSION, "schema_version", INT, R)                                       \
    X(INFO_TABLES, STORAGE_ID, "storage_id", TEXT, N)                                              \
    X(INFO_TABLES, USE_USER_STORAGE, "use_user_storage", BOOLEAN, R)                               \
    X(INFO_TABLES, DELETED_RETENTION_HOURS, "deleted_retention_hours", BIGINT, N)                  \
    X(INFO_TABLES, TTL_SECONDS, "ttl_seconds", BIGINT, N)

#define KAL_INFO_COLUMNS_COLUMNS(X)                                                                \
    X(INFO_COLUMNS, TABLE_CATALOG, "table_catalog", TEXT, N)                                       \
    X(INFO_COLUMNS, TABLE_SCHEMA, "table_schema", TEXT, K)                                         \
    X(INFO_COLUMNS, TABLE_NAME, "table_name", TEXT, K)                                             \
    X(INFO_COLUMNS, COLUMN_NAME, "column_name", TEXT, R)                                           \
    X(INFO_COLUMNS, ORDINAL_POSITION, "ordinal_position", INT, R)                                  \
    X(INFO_COLUMNS, DATA_TYPE, "data_type", TEXT, R)                                               \
    X(INFO_COLUMNS, IS_NULLABLE, "is_nullable", BOOLEAN, R)                                        \
    X(INFO_COLUMNS, COLUMN_DEFAULT, "column_default", TEXT, N)                                     \
    X(INFO_COLUMNS, IS_PRIMARY_KEY, "is_primary_key", BOOLEAN, R)                                  \
    X(INFO_COLUMNS, IS_PARTITION_KEY, "is_partition_key", BOOLEAN, R)                              \
    X(INFO_COLUMNS, COLUMN_COMMENT, "column_comment", TEXT, N)                                     \
    X(INFO_COLUMNS, COLUMN_ID, "column_id", INT, K)                                                \
    X(INFO_COLUMNS, SCHEMA_VERSION, "schema_version", INT, R)

#define KAL_STATS_COLUMNS(X)                                                                       \
    X(STATS, METRIC_NAME, "metric_name", TEXT, K)                                                  \
    X(STATS, METRIC_VALUE, "metric_value", TEXT, R)

#define KAL_SETTINGS_COLUMNS(X)                                                                    \
    X(SETTINGS, NAME, "name", TEXT, K)                                                             \
    X(SETTINGS, VALUE, "value", TEXT, N) /* NULL: not set; *** for a secret */                     \
    X(SETTINGS, DESCRIPTION, "description", TEXT, R)                                               \
    X(SETTINGS, CATEGORY, "category", TEXT, R)

#define KAL_DATATYPES_COLUMNS(X)                                                                   \
    X(DATATYPES, ARROW_TYPE, "arrow_type", TEXT, R)                                                \
    X(DATATYPES, KALAM_TYPE, "kalam_type", TEXT, R)                                                \
    X(DATATYPES, SQL_NAME, "sql_name", TEXT, K)                                                    \
    X(DATATYPES, DESCRIPTION, "description", TEXT, R)

#define KAL_COLUMNS_COLUMNS(X)                                                                     \
    X(COLUMNS, NAMESPACE_ID, "namespace_id", TEXT, K)                                              \
    X(COLUMNS, TABLE_NAME, "table_name", TEXT, K)                                                  \
    X(COLUMNS, VERSION, "version", INT, R) /* the table's current schema version */                \
    X(COLUMNS, COLUMN_ID, "column_id", INT, K)                                                     \
    X(COLUMNS, COLUMN_NAME, "column_name", TEXT, R)                                                \
    X(COLUMNS, COMMENT, "comment", TEXT, N)                                                        \
    X(COLUMNS, DATA_TYPE, "data_type", TEXT, R)                                                    \
    X(COLUMNS, DEFAULT_VALUE, "default_value", TEXT, N)                                            \
    X(COLUMNS, ORDINAL, "ordinal", INT, R)                                                         \
    X(COLUMNS, NULLABLE, "nullable", BOOLEAN, R)                                                   \
    X(COLUMNS, PRIMARY_KEY, "primary_key", BOOLEAN, R)                                             \
    X(COLUMNS, PRIMARY_KEY_POS, "primary_key_pos", INT, N) /* from 1; NULL: not in the key */

#define KAL_SEGMENTS_COLUMNS(X)                                                                    \
    X(SEGMENTS, SEGMENT_ID, "segment_id", BIGINT, K)                                               \
    X(SEGMENTS, NAMESPACE_ID, "namespace_id", TEXT, R)                                             \
    X(SEGMENTS, TABLE_NAME, "table_name", TEXT, R)                                                 \
    X(SEGMENTS, STORAGE_ID, "storage_id", TEXT, R)                                                 \
    X(SEGMENTS, PATH, "path", TEXT, R)             /* in the storage */                            \
    X(SEGMENTS, ROW_COUNT, "row_count", BIGINT, R) /* dead ones included */                        \
    X(SEGMENTS, DEAD_ROWS, "dead_rows", BIGINT, R)                                                 \
    X(SEGMENTS, SIZE_BYTES, "size_bytes", BIGINT, R)                                               \
    X(SEGMENTS, SCHEMA_VERSION, "schema_version", INT, R)                                          \
    X(SEGMENTS, MIN_SEQ, "min_seq", BIGINT, R)                                                     \
    X(SEGMENTS, MAX_SEQ, "max_seq", BIGINT, R)                                                     \
    X(SEGMENTS, CREATED_AT, "created_at", TIMESTAMP, R)

/* The original's nine columns first; then whose column it is. */
#define KAL_DESCRIBE_COLUMNS(X)                                                                    \
    X(DESCRIBE, COLUMN_NAME, "column_name", TEXT, R)                                               \
    X(DESCRIBE, ORDINAL_POSITION, "ordinal_position", INT, R)                                      \
    X(DESCRIBE, COLUMN_ID, "column_id", INT, K)                                                    \
    X(DESCRIBE, DATA_TYPE, "data_type", TEXT, R)                                                   \
    X(DESCRIBE, IS_NULLABLE, "is_nullable", BOOLEAN, R)                                            \
    X(DESCRIBE, IS_PRIMARY_KEY, "is_primary_key", BOOLEAN, R)                                      \
    X(DESCRIBE, COLUMN_DEFAULT, "column_default", TEXT, N)                                         \
    X(DESCRIBE, COLUMN_COMMENT, "column_comment", TEXT, N)                                         \
    X(DESCRIBE, SCHEMA_VERSION, "schema_version", INT, R)                                          \
    X(DESCRIBE, NAMESPACE_ID, "namespace_id", TEXT, K)                                             \
    X(DESCRIBE, TABLE_NAME, "table_name", TEXT, K)

/* table, namespace, name, who may read: everybody who is logged in, or dba and system. The order is
 * the table_id, so new ones go to the end. */
#define KAL_SYSTEM_TABLE_LIST(X)                                                                   \
    X(USERS, KAL_SYSTEM_NAMESPACE, "users", DBA)                                                   \
    X(JOBS, KAL_SYSTEM_NAMESPACE, "jobs", DBA)                                                     \
    X(NAMESPACES, KAL_SYSTEM_NAMESPACE, "namespaces", DBA)                                         \
    X(STORAGES, KAL_SYSTEM_NAMESPACE, "storages", DBA)                                             \
    X(LIVE_QUERIES, KAL_SYSTEM_NAMESPACE, "live_queries", DBA)                                     \
    X(TABLES, KAL_SYSTEM_NAMESPACE, "tables", DBA)                                                 \
    X(TABLE_SCHEMAS, KAL_SYSTEM_NAMESPACE, "table_schemas", DBA)                                   \
    X(INFO_TABLES, KAL_INFORMATION_NAMESPACE, "tables", USER)                                      \
    X(INFO_COLUMNS, KAL_INFORMATION_NAMESPACE, "columns", USER)                                    \
    X(STATS, KAL_SYSTEM_NAMESPACE, "stats", DBA)                                                   \
    X(SETTINGS, KAL_SYSTEM_NAMESPACE, "settings", DBA)                                             \
    X(DATATYPES, KAL_SYSTEM_NAMESPACE, "datatypes", USER)                                          \
    X(COLUMNS, KAL_SYSTEM_NAMESPACE, "columns", USER)                                              \
    X(DESCRIBE, KAL_SYSTEM_NAMESPACE, "describe", USER)                                            \
    X(SEGMENTS, KAL_SYSTEM_NAMESPACE, "segments", DBA)                                             \
    X(LIVE, KAL_SYSTEM_NAMESPACE, "live", DBA)

typedef enum kal_system_table {
    KAL_SYSTEM_NONE, /* table_id of a system table is this enum */
#define KAL_SYSTEM_TABLE_ENUM(table, ns, name, role) KAL_SYSTEM_##table,
    KAL_SYSTEM_TABLE_LIST(KAL_SYSTEM_TABLE_ENUM)
#undef KAL_SYSTEM_TABLE_ENUM
        KAL_SYSTEM_TABLE_END
} kal_system_table;

#define KAL_SYSTEM_COLUMN_ENUM(table, column, name, type, nullable) KAL_##table##_##column,
#define KAL_SYSTEM_COLUMNS_ENUM(table, ns, name, role)                                             \
    enum { KAL_##table##_COLUMNS(KAL_SYSTEM_COLUMN_ENUM) KAL_##table##_END_OF_COLUMNS };
KAL_SYSTEM_TABLE_LIST(KAL_SYSTEM_COLUMNS_ENUM)
#undef KAL_SYSTEM_COLUMNS_ENUM
#undef KAL_SYSTEM_COLUMN_ENUM

/* The first version of a system table's definition, in the arena. */
kal_table_definition *kal_system_table_definition(kal_system_table table, int64_t now_us,
                                                  kal_arena *arena);
kal_bytes kal_system_table_namespace(kal_system_table table);
kal_bytes kal_system_table_name(kal_system_table table);
size_t kal_system_column_count(kal_system_table table);
/* One of those that name a row. */
bool kal_system_column_is_key(kal_system_table table, size_t column);
/* The name of a column, by its index. */
const char *kal_system_column_name(kal_system_table table, size_t column);

#endif
