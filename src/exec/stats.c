#include "exec/stats.h"
#include "base/assert.h"
#include "base/process.h"
#include "catalog/system_tables.h"
#include "types/type_forms.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { VALUE_BYTES = 64, MIB = 1024 * 1024 };

#define SECOND_NS UINT64_C(1000000000)

struct kal_stats {
    kal_exec *exec; /* borrowed */
    uint64_t opened_ns;
    kal_meter *statements;    /* owned */
    kal_metrics *metrics;     /* owned */
    kal_task *sampler;        /* owned */
    pthread_mutex_t cpu_lock; /* protects the next one */
    kal_cpu_window cpu;
    const kal_setting *settings; /* borrowed */
    size_t setting_count;
};

static kal_cpu_sample sample_now(const kal_stats *stats)
{
    return (kal_cpu_sample){.mono_ns = kal_clock_mono_ns(stats->exec->options.clock),
                            .cpu_ns = kal_process_cpu_ns()};
}

/* ---- writing rows ---- */

/* After the first failure the rest is ignored. */
typedef struct stats_writer {
    kal_stats *stats;
    const kal_kv_snapshot *snapshot;
    kal_system_sink *sink;
    kal_status status;
    kal_error *err;
} stats_writer;

static void add_text(stats_writer *w, const char *name, const char *text)
{
    const kal_value row[] = {
        [KAL_STATS_METRIC_NAME] = kal_value_text(kal_cstr(name)),
        [KAL_STATS_METRIC_VALUE] = kal_value_text(kal_cstr(text)),
    };
    _Static_assert(KAL_ARRAY_LEN(row) == KAL_STATS_END_OF_COLUMNS, "one value per column");
    if (w->status == KAL_OK)
        w->status = kal_system_sink_add(w->sink, row, KAL_ARRAY_LEN(row), w->err);
}

static void add_count(stats_writer *w, const char *name, uint64_t count)
{
    char text[VALUE_BYTES];
    snprintf(text, sizeof text, "%" PRIu64, count);
    add_text(w, name, text);
}

static void add_number(stats_writer *w, const char *name, double number)
{
    char text[VALUE_BYTES];
    snprintf(text, sizeof text, "%.6f", number);
    add_text(w, name, text);
}

static void add_ratio(stats_writer *w, const char *name, uint64_t part, uint64_t other_part)
{
    uint64_t whole = part + other_part;
    add_number(w, name, whole == 0 ? 0 : (double)part / (double)whole);
}

/* ---- one function per group ---- */

static void add_server(stats_writer *w)
{
    const kal_exec_options *o = &w->stats->exec->options;
    uint64_t seconds = (kal_clock_mono_ns(o->clock) - w->stats->opened_ns) / SECOND_NS;
    char human[VALUE_BYTES];

    snprintf(human, sizeof human, "%" PRIu64 "d %" PRIu64 "h %" PRIu64 "m %" PRIu64 "s",
             seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    add_text(w, "server_version", KAL_VERSION);
    add_count(w, "server_uptime_seconds", seconds);
    add_text(w, "server_uptime_human", human);
    add_count(w, "node_id", o->node_id); /* check: system-columns (a metric) */
}

static double cpu_percent(kal_stats *stats)
{
    kal_cpu_sample now = sample_now(stats);
    pthread_mutex_lock(&stats->cpu_lock);
    double percent = kal_cpu_window_percent(&stats->cpu, now);
    pthread_mutex_unlock(&stats->cpu_lock);
    return percent;
}

static void add_process(stats_writer *w)
{
    kal_process_info p;

    if (w->status == KAL_OK)
        w->status = kal_process_read(&p, w->err);
    if (w->status != KAL_OK)
        return;
    add_count(w, "memory_usage_bytes", p.resident_bytes);
    add_count(w, "memory_usage_mb", p.resident_bytes / MIB);
    add_count(w, "memory_rss_bytes", p.resident_bytes);
    add_count(w, "memory_rss_mb", p.resident_bytes / MIB);
    add_number(w, "cpu_usage_percent", cpu_percent(w->stats));
    add_count(w, "cpu_logical_cores", p.processor_count);
    add_count(w, "thread_count", p.thread_count);
    add_count(w, "open_files_total", p.open_files);
    add_count(w, "open_files_regular", p.open_regular);
    add_count(w, "open_files_directories", p.open_directories);
    add_count(w, "open_files_sockets", p.open_sockets);
    add_count(w, "open_files_other", p.open_other);
    add_count(w, "open_files_limit", p.open_files_limit);
}

static void add_disk(stats_writer *w)
{
    kal_disk_info disk;

    if (w->status == KAL_OK)
        w->status = kal_disk_read(w->stats->exec->options.data_dir, &disk, w->err);
    if (w->status != KAL_OK)
        return;
    add_count(w, "disk_space_used_bytes", disk.used_bytes);
    add_count(w, "disk_space_available_bytes", disk.available_bytes);
    add_count(w, "storage_partition_count", KAL_KV_FAMILY_COUNT);
}

/* How many rows a system table has; of its column, only those that say `text`. */
static void add_rows_where(stats_writer *w, const char *name, kal_system_table table,
                           uint32_t column, const char *text)
{
    uint64_t count = 0;
    if (w->status == KAL_OK)
        w->status = kal_catalog_system_count(w->stats->exec->catalog, w->snapshot, table, column,
                                             kal_cstr(text), &count, w->err);
    add_count(w, name, count);
}

static void add_rows(stats_writer *w, const char *name, kal_system_table table)
{
    add_rows_where(w, name, table, 0, "");
}

static void add_objects(stats_writer *w)
{
    add_rows(w, "total_namespaces", KAL_SYSTEM_NAMESPACES);
    add_rows(w, "total_tables", KAL_SYSTEM_TABLES);
    add_rows(w, "total_storages", KAL_SYSTEM_STORAGES);
    add_rows(w, "total_users", KAL_SYSTEM_USERS);
    add_rows(w, "total_jobs", KAL_SYSTEM_JOBS);
    add_rows_where(w, "jobs_running", KAL_SYSTEM_JOBS, KAL_JOBS_STATUS, "running");
    add_rows_where(w, "jobs_queued", KAL_SYSTEM_JOBS, KAL_JOBS_STATUS, "queued");
    add_rows_where(w, "jobs_failed", KAL_SYSTEM_JOBS, KAL_JOBS_STATUS, "failed");
}

/* The server says how many WebSockets there are. */
static void add_live(stats_writer *w)
{
    const kal_gauge *subscriptions = kal_live_subscriptions(w->stats->exec->live);

    add_rows(w, "total_live_queries", KAL_SYSTEM_LIVE_QUERIES);
    add_count(w, "active_subscriptions", kal_gauge_now(subscriptions));
    add_count(w, "active_subscriptions_peak", kal_gauge_peak(subscriptions));
}

static void add_statements(stats_writer *w)
{
    kal_meter_reading r = kal_meter_read(w->stats->statements);
    add_count(w, "total_queries", r.total);
    add_count(w, "total_query_errors", r.failed);
    add_count(w, "query_window_total", r.window_total);
    add_number(w, "query_window_seconds", r.window_seconds);
    add_number(w, "queries_per_second", r.per_second);
    add_number(w, "avg_query_latency_ms", r.mean_ms);
}

static void add_schema_cache(stats_writer *w)
{
    kal_cache_stats s = kal_catalog_cache_stats(w->stats->exec->catalog);
    add_ratio(w, "schema_cache_hit_rate", s.hits, s.misses);
    add_count(w, "schema_cache_size", s.size);
    add_count(w, "schema_cache_hits", s.hits);
    add_count(w, "schema_cache_misses", s.misses);
    add_count(w, "schema_cache_evictions", s.evictions);
    add_count(w, "schema_cache_bytes", s.bytes);
    add_count(w, "schema_cache_capacity", s.capacity);
    add_count(w, "schema_cache_revalidations", s.revalidations);
    add_count(w, "schema_cache_failures", s.failures);
    add_count(w, "schema_cache_slow_path_locks", s.slow_path_locks);
}

static void add_type_conversion_cache(stats_writer *w)
{
    kal_type_cache_stats s = kal_type_cache_get_stats();
    add_ratio(w, "type_conversion_cache_hit_rate", s.hits, s.misses);
    add_count(w, "type_conversion_cache_size", s.size);
    add_count(w, "type_conversion_cache_hits", s.hits);
    add_count(w, "type_conversion_cache_misses", s.misses);
    add_count(w, "type_conversion_cache_capacity", s.capacity);
}

static void add_registered(void *context, const char *name, uint64_t value)
{
    add_count(context, name, value);
}

static kal_status provide_stats(void *context, const kal_kv_snapshot *snapshot,
                                kal_system_sink *sink, kal_error *err)
{
    kal_stats *stats = context;
    stats_writer w = {.stats = stats, .snapshot = snapshot, .sink = sink, .err = err};

    add_server(&w);
    add_process(&w);
    add_disk(&w);
    add_objects(&w);
    add_live(&w);
    add_statements(&w);
    add_schema_cache(&w);
    add_type_conversion_cache(&w);
    kal_metrics_each(stats->metrics, add_registered, &w);
    return w.status;
}

static kal_value text_or_null(const char *text)
{
    return text == NULL ? kal_value_null(kal_type_of(KAL_TYPE_TEXT))
                        : kal_value_text(kal_cstr(text));
}

static kal_status provide_settings(void *context, const kal_kv_snapshot *snapshot,
                                   kal_system_sink *sink, kal_error *err)
{
    const kal_stats *stats = context;

    (void)snapshot;
    for (size_t i = 0; i < stats->setting_count; i++) {
        const kal_setting *s = &stats->settings[i];
        const kal_value row[] = {
            [KAL_SETTINGS_NAME] = kal_value_text(kal_cstr(s->name)),
            [KAL_SETTINGS_VALUE] = text_or_null(s->value),
            [KAL_SETTINGS_DESCRIPTION] = kal_value_text(kal_cstr(s->description)),
            [KAL_SETTINGS_CATEGORY] = kal_value_text(kal_cstr(s->category)),
        };
        _Static_assert(KAL_ARRAY_LEN(row) == KAL_SETTINGS_END_OF_COLUMNS, "one value per column");
        KAL_TRY(kal_system_sink_add(sink, row, KAL_ARRAY_LEN(row), err));
    }
    return KAL_OK;
}

/* ---- life cycle ---- */

static kal_step take_sample(void *context)
{
    kal_stats *stats = context;
    kal_cpu_sample now = sample_now(stats);

    pthread_mutex_lock(&stats->cpu_lock);
    kal_cpu_window_add(&stats->cpu, now);
    pthread_mutex_unlock(&stats->cpu_lock);
    kal_catalog_tick(stats->exec->catalog);
    kal_task_wake_at(stats->sampler, now.mono_ns + SECOND_NS);
    return KAL_STEP_IDLE;
}

kal_status kal_stats_open(kal_exec *exec, kal_stats **stats_out, kal_error *err)
{
    kal_stats *stats = calloc(1, sizeof *stats);

    *stats_out = NULL;
    if (stats == NULL)
        kal_die("out of memory: statistics");
    stats->exec = exec;
    stats->opened_ns = kal_clock_mono_ns(exec->options.clock);
    stats->statements = kal_meter_open(exec->options.clock);
    stats->metrics = kal_metrics_open();
    pthread_mutex_init(&stats->cpu_lock, NULL);
    kal_catalog_set_provider(exec->catalog, KAL_SYSTEM_STATS, provide_stats, stats);
    kal_catalog_set_provider(exec->catalog, KAL_SYSTEM_SETTINGS, provide_settings, stats);
    kal_status status =
        kal_sched_spawn(exec->sched, "stats", take_sample, stats, &stats->sampler, err);
    if (status != KAL_OK) {
        kal_stats_close(stats);
        return status;
    }
    kal_task_wake(stats->sampler);
    *stats_out = stats;
    return KAL_OK;
}

void kal_stats_close(kal_stats *stats)
{
    if (stats == NULL)
        return;
    kal_catalog_set_provider(stats->exec->catalog, KAL_SYSTEM_STATS, NULL, NULL);
    kal_catalog_set_provider(stats->exec->catalog, KAL_SYSTEM_SETTINGS, NULL, NULL);
    if (stats->sampler != NULL)
        kal_task_stop(stats->sampler);
    kal_metrics_close(stats->metrics);
    kal_meter_close(stats->statements);
    pthread_mutex_destroy(&stats->cpu_lock);
    free(stats);
}

void kal_stats_count(kal_stats *stats, uint64_t mono_ns, uint64_t duration_ns, bool failed)
{
    kal_meter_record(stats->statements, mono_ns, duration_ns, failed);
}

uint64_t kal_stats_ended(kal_stats *stats)
{
    return kal_meter_total(stats->statements);
}

kal_metrics *kal_stats_metrics(kal_stats *stats)
{
    return stats->metrics;
}

void kal_stats_set_settings(kal_stats *stats, const kal_setting *settings, size_t count)
{
    stats->settings = settings;
    stats->setting_count = count;
}
