/*
 * config.h: what the server is told: command line over environment over server.toml over defaults.
 *
 * One list says every setting: its key in server.toml, its option, its environment variable, its
 * kind and range and default. Unknown keys are refused with their line and a near name.
 */
#ifndef KAL_SERVER_CONFIG_H
#define KAL_SERVER_CONFIG_H

#include "base/arena.h"
#include "base/error.h"
#include "base/files.h"
#include "exec/exec.h"

/* member, key, option, environment, default, help */
#define KAL_CONFIG_TEXT_LIST(X)                                                                    \
    X(host, "server.host", "--host", "KALAMDB_SERVER_HOST", "127.0.0.1", "address to listen on")   \
    X(data_dir, "storage.data_dir", "--data", "KALAMDB_DATA_DIR", "./data", "data directory")      \
    X(durability, "storage.durability", "--durability", "KALAMDB_DURABILITY", "commit",            \
      "commit: on disk before the answer; interval: at most 200 ms later")                         \
    X(duckdb_library, "engine.duckdb_library", "--duckdb", "KALAMDB_DUCKDB_LIBRARY", "",           \
      "path of libduckdb.so")                                                                      \
    X(duckdb_module, "engine.duckdb_module", "--duckdb-module", "KALAMDB_DUCKDB_MODULE", "",       \
      "path of libkal_duckdb_module.so")                                                           \
    X(websocket_url, "websocket.url", "--websocket-url", "WEBSOCKET_URL", "",                      \
      "what SUBSCRIBE TO tells clients to connect to; empty: the path /v1/ws")                     \
    X(backup_dir, "backup.directory", "--backup-dir", "KALAMDB_BACKUP_DIR", "",                    \
      "where the server makes backups by itself; empty: it makes none")                            \
    X(log_level, "log.level", "--log-level", "KALAMDB_LOG_LEVEL", "info",                          \
      "error, warn, info or debug")                                                                \
    X(log_format, "log.format", "--log-format", "KALAMDB_LOG_FORMAT", "text", "text or json")

/* member, key, option, environment, least, most, default, help */
#define KAL_CONFIG_NUMBER_LIST(X)                                                                  \
    X(port, "server.port", "--port", "KALAMDB_SERVER_PORT", 0, 65535, 8080,                        \
      "port to listen on; 0: any free one")                                                        \
    X(loops, "server.loops", "--loops", "KALAMDB_LOOPS", 0, 64, 0,                                 \
      "event loops; 0: number of cores")                                                           \
    X(io_uring, "server.io_uring", "--io-uring", "KALAMDB_IO_URING", 0, 1, 1,                      \
      "1: messages to many WebSockets in one system call, where the kernel has it; 0: never")      \
    X(connections_max, "server.connections_max", "--connections-max", "KALAMDB_CONNECTIONS_MAX",   \
      1, 1000000, 10000, "connections at a time")                                                  \
    X(idle_timeout_ms, "server.idle_timeout_ms", "--idle-timeout-ms", "KALAMDB_IDLE_TIMEOUT_MS",   \
      100, 86400000, 75000, "connection without a request")                                        \
    X(body_timeout_ms, "server.body_timeout_ms", "--body-timeout-ms", "KALAMDB_BODY_TIMEOUT_MS",   \
      100, 86400000, 30000, "request body: without a byte, or slower than 1 KiB/s for so long")    \
    X(drain_timeout_ms, "server.drain_timeout_ms", "--drain-timeout-ms",                           \
      "KALAMDB_DRAIN_TIMEOUT_MS", 0, 86400000, 10000, "after SIGTERM, until queries are stopped")  \
    X(query_threads, "engine.query_threads", "--query-threads", "KALAMDB_QUERY_THREADS", 0, 256,   \
      0, "statements in DuckDB at a time; 0: number of cores less one, at least 2")                \
    X(timeout_ms, "engine.timeout_ms", "--timeout-ms", "KALAMDB_TIMEOUT_MS", 100, 86400000, 30000, \
      "time of one statement")                                                                     \
    X(memory_limit_mb, "engine.memory_limit_mb", "--memory-limit-mb", "KALAMDB_MEMORY_LIMIT_MB",   \
      0, 1048576, 0, "memory of all statements; 0: half of the machine's")                         \
    X(statement_limit_mb, "engine.statement_limit_mb", "--statement-limit-mb",                     \
      "KALAMDB_STATEMENT_LIMIT_MB", 16, 1048576, 256, "memory of one statement")                   \
    X(eviction_interval_ms, "stream.eviction_interval_ms", "--eviction-interval-ms",               \
      "KALAMDB_EVICTION_INTERVAL_MS", 100, 86400000, 10000,                                        \
      "between removals of rows that STREAM tables give up")                                       \
    X(job_threads, "jobs.threads", "--job-threads", "KALAMDB_JOB_THREADS", 1, 64, 2,               \
      "jobs that run at a time")                                                                   \
    X(job_retries_max, "jobs.retries_max", "--job-retries-max", "KALAMDB_JOB_RETRIES_MAX", 1, 100, \
      3, "new starts of a job after failures that may pass")                                       \
    X(job_retention_hours, "jobs.retention_hours", "--job-retention-hours",                        \
      "KALAMDB_JOB_RETENTION_HOURS", 1, 876000, 720, "how long finished jobs are shown")           \
    X(job_records_max, "jobs.records_max", "--job-records-max", "KALAMDB_JOB_RECORDS_MAX", 10,     \
      100000, 10000, "finished jobs that are shown at most")                                       \
    X(flush_interval_ms, "flush.interval_ms", "--flush-interval-ms", "KALAMDB_FLUSH_INTERVAL_MS",  \
      100, 86400000, 5000, "between looks at which tables are to be flushed")                      \
    X(backup_interval_s, "backup.interval_seconds", "--backup-interval-seconds",                   \
      "KALAMDB_BACKUP_INTERVAL_SECONDS", 1, 31536000, 86400, "between two of these backups")       \
    X(backups_kept, "backup.keep", "--backup-keep", "KALAMDB_BACKUP_KEEP", 1, 10000, 7,            \
      "how many of these backups are kept; older ones are removed")                                \
    X(export_retention_s, "export.retention_seconds", "--export-retention-seconds",                \
      "KALAMDB_EXPORT_RETENTION_SECONDS", 1, 31536000, 86400,                                      \
      "how long an export of user data can be downloaded")                                         \
    X(export_size_limit_mb, "export.size_limit_mb", "--export-size-limit-mb",                      \
      "KALAMDB_EXPORT_SIZE_LIMIT_MB", 1, 1048576, 1024, "of one export of user data")              \
    X(exports_max, "export.max_per_user", "--export-max-per-user", "KALAMDB_EXPORT_MAX_PER_USER",  \
      1, 1000, 3, "exports of user data that a user has at a time")                                \
    X(ws_auth_timeout_ms, "websocket.auth_timeout_ms", "--ws-auth-timeout-ms",                     \
      "KALAMDB_WS_AUTH_TIMEOUT_MS", 100, 86400000, 3000, "WebSocket without authentication")       \
    X(ws_ping_interval_ms, "websocket.ping_interval_ms", "--ws-ping-interval-ms",                  \
      "KALAMDB_WS_PING_INTERVAL_MS", 100, 86400000, 20000, "silent WebSocket, until it is pinged") \
    X(ws_timeout_ms, "websocket.timeout_ms", "--ws-timeout-ms", "KALAMDB_WS_TIMEOUT_MS", 100,      \
      86400000, 60000, "silent WebSocket, until it is closed")                                     \
    X(ws_messages_per_second, "websocket.messages_per_second", "--ws-messages-per-second",         \
      "KALAMDB_WS_MESSAGES_PER_SECOND", 1, 1000000, 50, "from one WebSocket")                      \
    X(ws_queue_kb, "websocket.queue_kb", "--ws-queue-kb", "KALAMDB_WS_QUEUE_KB", 16, 1048576,      \
      1024, "waiting for a client that reads slowly, before its subscriptions pause")              \
    X(live_per_connection_max, "live.per_connection_max", "--live-per-connection-max",             \
      "KALAMDB_LIVE_PER_CONNECTION_MAX", 1, 1000000, 100, "subscriptions of a WebSocket")          \
    X(live_per_user_max, "live.per_user_max", "--live-per-user-max", "KALAMDB_LIVE_PER_USER_MAX",  \
      1, 10000000, 1000, "subscriptions of a user")                                                \
    X(s3_cache_mb, "storage.s3_cache_mb", "--s3-cache-mb", "KALAMDB_S3_CACHE_MB", 1, 1048576,      \
      10240, "segments of S3 storages kept as files")                                              \
    X(schema_cache_tables, "schema.cache_tables", "--schema-cache-tables",                         \
      "KALAMDB_SCHEMA_CACHE_TABLES", 16, 10000000, 10000, "table definitions kept in memory")      \
    X(type_cache_size, "schema.type_cache_size", "--type-cache-size", "KALAMDB_TYPE_CACHE_SIZE",   \
      16, 9000, 1024, "types with parameters whose other forms are kept")                          \
    X(node_id, "server.node_id", /* check: system-columns (a setting) */                           \
      "--node-id", "KALAMDB_NODE_ID", 0, 1023, 0, "of SNOWFLAKE_ID()")

typedef enum kal_config_action {
    KAL_CONFIG_SERVE,
    KAL_CONFIG_HELP,
    KAL_CONFIG_VERSION,
    KAL_CONFIG_RESTORE,
} kal_config_action;

typedef struct kal_config {
    kal_config_action action;
    const char *restore_path;  /* RESTORE: of the backup */
    const char *root_password; /* of the environment; NULL when not given */
    const char *file;          /* that was read; NULL: none */
#define KAL_CONFIG_TEXT_MEMBER(member, key, option, env, by_default, help) const char *member;
    KAL_CONFIG_TEXT_LIST(KAL_CONFIG_TEXT_MEMBER)
#undef KAL_CONFIG_TEXT_MEMBER
#define KAL_CONFIG_NUMBER_MEMBER(member, key, option, env, least, most, by_default, help)          \
    int64_t member;
    KAL_CONFIG_NUMBER_LIST(KAL_CONFIG_NUMBER_MEMBER)
#undef KAL_CONFIG_NUMBER_MEMBER
} kal_config;

/* Looks up an environment variable: getenv, or a test's. */
typedef const char *(*kal_config_env)(const char *name);

/* Texts live in the arena. The file is --config, or server.toml in the working directory if there
 * is one. KAL_INVALID with the option, variable, or file and line. */
KAL_MUST_CHECK kal_status kal_config_read(int argc, char **argv, kal_config_env env,
                                          const kal_files *files, kal_arena *arena,
                                          kal_config *config_out, kal_error *err);
/* Reads one file's text over what is set; name is for messages. */
KAL_MUST_CHECK kal_status kal_config_parse_toml(kal_bytes text, const char *name, kal_arena *arena,
                                                kal_config *config, kal_error *err);
void kal_config_help(kal_buf *out);
/* Every setting with its value, as system.settings shows it: by the same list, and what is given
 * otherwise (the file, root's password as ***). In the arena. */
void kal_config_settings(const kal_config *config, kal_arena *arena, kal_setting **settings_out,
                         size_t *count_out);

#endif
