/*
 * main.c: kalamdb-server: reads the configuration, opens the database, serves until told to stop.
 */
#include "backup/backup.h"
#include "base/log.h"
#include "exec/exec.h"
#include "server/config.h"
#include "server/http_server.h"
#include "server/routes.h"
#include "types/text.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BODY_BYTES_MAX = 10 * 1024 * 1024, MIB = 1024 * 1024 };

static kal_http_server *_Atomic running;

/* The first signal drains; a second one ends the process as it would have without a handler. */
static void on_signal(int signal_number)
{
    kal_http_server *server = running;
    signal(signal_number, SIG_DFL);
    if (server != NULL)
        kal_http_server_stop(server);
}

static void handle_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int fail(const kal_error *err)
{
    fprintf(stderr, "kalamdb-server: %s\n", err->message);
    if (err->hint[0] != '\0')
        fprintf(stderr, "  %s\n", err->hint);
    return 1;
}

static void announce(const kal_config *config, kal_exec *exec, const kal_http_server *server)
{
    const char *token_path = kal_auth_setup_token_path(kal_exec_auth(exec));

    kal_log_info("server", "KalamDB %s serves on http://%s:%u, data in %s", KAL_VERSION,
                 config->host, kal_http_server_port(server), config->data_dir);
    if (token_path != NULL)
        kal_log_warn("server",
                     "not set up yet: run `kalam --url http://%s:%u setup --data %s`, which finds "
                     "the one-time set-up token in %s",
                     config->host, kal_http_server_port(server), config->data_dir, token_path);
}

static uint64_t connections_now(void *context)
{
    return kal_gauge_now(kal_http_server_connections(context));
}

static uint64_t connections_peak(void *context)
{
    return kal_gauge_peak(kal_http_server_connections(context));
}

static uint64_t connections_max(void *context)
{
    return kal_http_server_connections_max(context);
}

static uint64_t sessions_now(void *context)
{
    return kal_gauge_now(kal_http_server_websockets(context));
}

static uint64_t sessions_peak(void *context)
{
    return kal_gauge_peak(kal_http_server_websockets(context));
}

static uint64_t slow_clients(void *context)
{
    return kal_http_server_slow_clients(context);
}

/* What system.stats and system.settings say of the server: values in effect, not "0: any". */
static void show(const kal_config *config, kal_exec *exec, kal_http_server *server,
                 kal_arena *arena)
{
    const kal_exec_options *o = kal_exec_options_in_effect(exec);
    kal_metrics *metrics = kal_exec_metrics(exec);
    kal_setting *settings = NULL;
    kal_config effective = *config;
    size_t count = 0;

    effective.port = kal_http_server_port(server);
    effective.loops = kal_http_server_loops(server);
    effective.duckdb_library = o->duckdb_library;
    effective.duckdb_module = o->duckdb_module;
    effective.query_threads = o->query_threads;
    effective.memory_limit_mb = (int64_t)(o->memory_limit_bytes / MIB);
    kal_config_settings(&effective, arena, &settings, &count);
    kal_exec_set_settings(exec, settings, count);
    kal_metrics_add(metrics, "active_connections", connections_now, server);
    kal_metrics_add(metrics, "active_connections_peak", connections_peak, server);
    kal_metrics_add(metrics, "max_connections", connections_max, server);
    kal_metrics_add(metrics, "websocket_sessions", sessions_now, server);
    kal_metrics_add(metrics, "websocket_sessions_peak", sessions_peak, server);
    kal_metrics_add(metrics, "websocket_slow_clients", slow_clients, server);
}

static void wake_loop(void *server, unsigned loop)
{
    kal_http_server_wake_loop(server, loop);
}

static kal_ws_sessions_options websocket_options(const kal_config *config)
{
    return (kal_ws_sessions_options){
        .auth_timeout_ms = (unsigned)config->ws_auth_timeout_ms,
        .messages_per_second = (unsigned)config->ws_messages_per_second,
        .queue_bytes_max = (size_t)config->ws_queue_kb * 1024,
        .ping_interval_ms = (unsigned)config->ws_ping_interval_ms,
        .timeout_ms = (unsigned)config->ws_timeout_ms,
    };
}

static kal_status serve(const kal_config *config, kal_exec *exec, kal_arena *arena, kal_error *err)
{
    kal_http_server_options options = KAL_HTTP_SERVER_OPTIONS_DEFAULT;
    kal_http_server *server = NULL; /* owned */
    kal_routes *routes = NULL;      /* owned */

    kal_ws_sessions_options websockets = websocket_options(config);
    KAL_TRY(kal_routes_open(exec, &websockets, &routes, err));
    options.host = config->host;
    options.port = (uint16_t)config->port;
    options.loops = (unsigned)config->loops;
    options.may_ring = config->io_uring != 0;
    options.connections_max = (unsigned)config->connections_max;
    options.idle_timeout_ms = (unsigned)config->idle_timeout_ms;
    options.body_timeout_ms = (unsigned)config->body_timeout_ms;
    options.drain_timeout_ms = (unsigned)config->drain_timeout_ms;
    options.limits.body_bytes = BODY_BYTES_MAX;
    options.handler = kal_routes_handle;
    options.on_turn = kal_routes_turn;
    options.on_tick = kal_routes_tick;
    options.context = routes;
    kal_status status = kal_http_server_open(&options, &server, err);
    if (status == KAL_OK) {
        running = server;
        kal_exec_watch_live(exec, wake_loop, server);
        show(config, exec, server, arena);
        announce(config, exec, server);
        status = kal_http_server_run(server, err);
        running = NULL;
        kal_exec_watch_live(exec, NULL, NULL);
        kal_metrics_remove(kal_exec_metrics(exec), server);
    }
    kal_routes_close(routes);
    kal_http_server_close(server);
    return status;
}

/* They are loaded by the first statement that needs them: too late to learn that they are missing.
 */
static void warn_unless_readable(const char *library)
{
    if (access(library, R_OK) != 0)
        kal_log_warn("server", "cannot read '%s', which some statements need", library);
}

static kal_status run(const kal_config *config, kal_arena *arena, kal_error *err)
{
    kal_exec *exec = NULL; /* owned */
    kal_exec_options options = {
        .data_dir = config->data_dir,
        .duckdb_library =
            config->duckdb_library[0] != '\0' ? config->duckdb_library : KAL_DUCKDB_LIBRARY,
        .duckdb_module =
            config->duckdb_module[0] != '\0' ? config->duckdb_module : KAL_DUCKDB_MODULE,
        .files = kal_files_system(),
        .clock = kal_clock_system(),
        .query_threads = (unsigned)config->query_threads,
        .memory_limit_bytes = (size_t)config->memory_limit_mb * MIB,
        .statement_limit_bytes = (size_t)config->statement_limit_mb * MIB,
        .timeout_ms = (uint64_t)config->timeout_ms,
        .node_id = (uint32_t)config->node_id,
        .type_cache_size = (size_t)config->type_cache_size,
        .schema_cache_tables = (size_t)config->schema_cache_tables,
        .eviction_interval_ms = (uint64_t)config->eviction_interval_ms,
        .job_threads = (unsigned)config->job_threads,
        .job_retention_hours = (uint64_t)config->job_retention_hours,
        .job_records_max = (size_t)config->job_records_max,
        .job_retries_max = (unsigned)config->job_retries_max,
        .flush_interval_ms = (uint64_t)config->flush_interval_ms,
        .export_retention_s = (uint64_t)config->export_retention_s,
        .export_bytes_max = (uint64_t)config->export_size_limit_mb * MIB,
        .exports_max = (unsigned)config->exports_max,
        .backup_dir = config->backup_dir,
        .backup_interval_s = (uint64_t)config->backup_interval_s,
        .backups_kept = (unsigned)config->backups_kept,
        .s3_cache_bytes = (uint64_t)config->s3_cache_mb << 20,
        .websocket_url = config->websocket_url,
        .live_workers = kal_http_loop_count((unsigned)config->loops),
        .live_per_connection_max = (unsigned)config->live_per_connection_max,
        .live_per_user_max = (unsigned)config->live_per_user_max,
        .sync_commits = strcmp(config->durability, "commit") == 0,
        .root_password = config->root_password,
    };
    warn_unless_readable(options.duckdb_library);
    warn_unless_readable(options.duckdb_module);
    KAL_TRY(kal_exec_open(&options, &exec, err));
    kal_status status = serve(config, exec, arena, err);
    kal_exec_close(exec);
    if (status == KAL_OK)
        kal_log_info("server", "stopped");
    return status;
}

static kal_status restore(const kal_config *config, kal_arena *arena, kal_error *err)
{
    kal_buf time; /* owned */
    kal_backup backup;

    KAL_TRY(kal_backup_restore(config->restore_path, config->data_dir, arena, &backup, err));
    kal_buf_init(&time, NULL);
    kal_value created = kal_value_integer(KAL_TYPE_TIMESTAMP, backup.created_at_us);
    kal_value_to_text(&created, &time);
    printf("restored '%s' to '%s': the database of %.*s UTC, %zu files, %llu bytes\n",
           config->restore_path, config->data_dir, KAL_FMT(kal_buf_bytes(&time)), backup.file_count,
           (unsigned long long)backup.size_bytes);
    kal_buf_release(&time);
    return KAL_OK;
}

static void print_help(void)
{
    kal_buf text; /* owned */
    kal_buf_init(&text, NULL);
    kal_config_help(&text);
    fwrite(text.ptr, 1, text.len, stdout);
    kal_buf_release(&text);
}

static void configure_log(const kal_config *config)
{
    kal_log_level level = KAL_LOG_INFO;
    bool known = kal_log_level_parse(config->log_level, &level);
    (void)known; /* the configuration was checked */
    kal_log_configure(level, strcmp(config->log_format, "json") == 0, STDERR_FILENO,
                      kal_clock_system());
}

static const char *environment(const char *name)
{
    return getenv(name);
}

int main(int argc, char **argv)
{
    kal_error err = KAL_ERROR_INIT;
    kal_arena arena;
    kal_config config;

    kal_arena_init(&arena, NULL);
    kal_status status =
        kal_config_read(argc, argv, environment, kal_files_system(), &arena, &config, &err);
    if (status == KAL_OK && config.action == KAL_CONFIG_SERVE) {
        handle_signals();
        configure_log(&config);
        status = run(&config, &arena, &err);
    } else if (status == KAL_OK && config.action == KAL_CONFIG_RESTORE) {
        configure_log(&config);
        status = restore(&config, &arena, &err);
    } else if (status == KAL_OK && config.action == KAL_CONFIG_HELP) {
        print_help();
    } else if (status == KAL_OK) {
        printf("kalamdb-server %s\n", KAL_VERSION);
    }
    kal_arena_release(&arena);
    return status == KAL_OK ? 0 : fail(&err);
}
