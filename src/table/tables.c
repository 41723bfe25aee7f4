#include "base/assert.h"
#include "base/log.h"
#include "table/table_internal.h"

#include <stdlib.h>

enum {
    SYNC_INTERVAL_MS_DEFAULT = 200,
    CHANGE_LOG_ROWS_DEFAULT = 10000,
    QUEUE_BYTES_DEFAULT = 64 * 1024 * 1024,
};

static kal_tables_options with_defaults(const kal_tables_options *given)
{
    kal_tables_options options = *given;
    if (options.sync_interval_ms == 0)
        options.sync_interval_ms = SYNC_INTERVAL_MS_DEFAULT;
    if (options.change_log_rows_max == 0)
        options.change_log_rows_max = CHANGE_LOG_ROWS_DEFAULT;
    if (options.queue_bytes_max == 0)
        options.queue_bytes_max = QUEUE_BYTES_DEFAULT;
    return options;
}

static void release(kal_tables *tables)
{
    kal_lane_forget_counts(tables);
    kal_map_release(&tables->partition_counts);
    kal_manifests_close(tables->manifests);
    kal_vec_release(&tables->segments_being_written);
    pthread_mutex_destroy(&tables->flush_lock);
    pthread_mutex_destroy(&tables->lock);
    free(tables);
}

kal_status kal_tables_open(kal_kv *kv, kal_sched *sched, const kal_clock *clock,
                           const kal_tables_options *options, kal_tables **tables_out,
                           kal_error *err)
{
    kal_tables *tables = calloc(1, sizeof *tables);

    *tables_out = NULL;
    if (tables == NULL)
        kal_die("out of memory: tables");
    tables->kv = kv;
    tables->sched = sched;
    tables->clock = clock;
    tables->opened_at_us = kal_clock_wall_us(clock);
    tables->options = with_defaults(options);
    pthread_mutex_init(&tables->lock, NULL);
    pthread_mutex_init(&tables->flush_lock, NULL);
    kal_list_init(&tables->queue);
    kal_list_init(&tables->journals);
    kal_map_init(&tables->partition_counts);
    kal_status status = KAL_OK;
    if (tables->options.catalog != NULL)
        status = kal_manifests_open(tables->options.catalog, &tables->manifests, err);
    if (status == KAL_OK)
        status = kal_sched_spawn(sched, "write-lane", kal_lane_step, tables, &tables->task, err);
    if (status != KAL_OK) {
        release(tables);
        return status;
    }
    *tables_out = tables;
    return KAL_OK;
}

void kal_tables_set_observer(kal_tables *tables, const kal_tables_observer *observer)
{
    tables->observer = observer;
}

void kal_tables_close(kal_tables *tables)
{
    kal_error err = KAL_ERROR_INIT;
    if (tables == NULL)
        return;
    pthread_mutex_lock(&tables->lock);
    tables->closing = true;
    pthread_mutex_unlock(&tables->lock);
    kal_task_stop(tables->task);
    tables->task = NULL;
    while (kal_lane_step(tables) == KAL_STEP_AGAIN)
        ;
    if (tables->unsynced && kal_kv_sync(tables->kv, &err) != KAL_OK)
        kal_log_error("lane", "last commits may not be durable: %s", err.message);
    release(tables);
}
