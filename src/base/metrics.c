#include "base/metrics.h"
#include "base/assert.h"
#include "base/cache_line.h"
#include "base/vec.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* ---- gauges ---- */

uint64_t kal_gauge_add(kal_gauge *gauge)
{
    uint64_t now = atomic_fetch_add(&gauge->now, 1) + 1;
    uint64_t peak = atomic_load(&gauge->peak);
    while (now > peak && !atomic_compare_exchange_weak(&gauge->peak, &peak, now)) {
    }
    return now;
}

void kal_gauge_remove(kal_gauge *gauge)
{
    uint64_t before = atomic_fetch_sub(&gauge->now, 1);
    KAL_ASSERT(before > 0);
}

uint64_t kal_gauge_now(const kal_gauge *gauge)
{
    return atomic_load(&gauge->now);
}

uint64_t kal_gauge_peak(const kal_gauge *gauge)
{
    return atomic_load(&gauge->peak);
}

/* ---- meters ---- */

enum { CELL_COUNT = 16 };

#define SECOND_NS UINT64_C(1000000000)

/* The events that ended in one second. */
typedef struct meter_bucket {
    uint64_t second; /* since opening; a bucket serves every 60th one */
    uint64_t total;
    uint64_t duration_ns;
} meter_bucket;

typedef struct meter_cell {
    _Alignas(KAL_CACHE_LINE_BYTES) pthread_mutex_t lock; /* protects the rest */
    uint64_t total;
    uint64_t failed;
    meter_bucket buckets[KAL_METER_WINDOW_SECONDS];
} meter_cell;

struct kal_meter {
    const kal_clock *clock; /* borrowed */
    uint64_t opened_ns;
    meter_cell cells[CELL_COUNT];
};

kal_meter *kal_meter_open(const kal_clock *clock)
{
    kal_meter *meter = kal_cache_lines_alloc(sizeof *meter, "meter");
    meter->clock = clock;
    meter->opened_ns = kal_clock_mono_ns(clock);
    for (size_t i = 0; i < CELL_COUNT; i++)
        pthread_mutex_init(&meter->cells[i].lock, NULL);
    return meter;
}

void kal_meter_close(kal_meter *meter)
{
    if (meter == NULL)
        return;
    for (size_t i = 0; i < CELL_COUNT; i++)
        pthread_mutex_destroy(&meter->cells[i].lock);
    free(meter);
}

static meter_cell *own_cell(kal_meter *meter)
{
    int processor = sched_getcpu();
    return &meter->cells[processor < 0 ? 0 : (unsigned)processor % CELL_COUNT];
}

static uint64_t second_of(const kal_meter *meter, uint64_t mono_ns)
{
    return mono_ns < meter->opened_ns ? 0 : (mono_ns - meter->opened_ns) / SECOND_NS;
}

static void count_in_second(meter_cell *cell, uint64_t second, uint64_t duration_ns)
{
    meter_bucket *bucket = &cell->buckets[second % KAL_METER_WINDOW_SECONDS];
    if (bucket->second > second)
        return; /* the caller was held up for a minute: it is out of the window */
    if (bucket->second < second)
        *bucket = (meter_bucket){.second = second};
    bucket->total++;
    bucket->duration_ns += duration_ns;
}

void kal_meter_record(kal_meter *meter, uint64_t mono_ns, uint64_t duration_ns, bool failed)
{
    meter_cell *cell = own_cell(meter);
    uint64_t second = second_of(meter, mono_ns);
    pthread_mutex_lock(&cell->lock);
    cell->total++;
    cell->failed += failed;
    count_in_second(cell, second, duration_ns);
    pthread_mutex_unlock(&cell->lock);
}

static void read_cell(meter_cell *cell, uint64_t first, uint64_t last, kal_meter_reading *reading,
                      uint64_t *duration_ns)
{
    pthread_mutex_lock(&cell->lock);
    reading->total += cell->total;
    reading->failed += cell->failed;
    for (size_t i = 0; i < KAL_METER_WINDOW_SECONDS; i++) {
        const meter_bucket *bucket = &cell->buckets[i];
        if (bucket->second < first || bucket->second > last)
            continue;
        reading->window_total += bucket->total;
        *duration_ns += bucket->duration_ns;
    }
    pthread_mutex_unlock(&cell->lock);
}

kal_meter_reading kal_meter_read(kal_meter *meter)
{
    kal_meter_reading reading = {0};
    uint64_t duration_ns = 0;
    uint64_t now_ns = kal_clock_mono_ns(meter->clock);
    uint64_t last = second_of(meter, now_ns);
    uint64_t first = last < KAL_METER_WINDOW_SECONDS ? 0 : last - (KAL_METER_WINDOW_SECONDS - 1);

    for (size_t i = 0; i < CELL_COUNT; i++)
        read_cell(&meter->cells[i], first, last, &reading, &duration_ns);
    reading.window_seconds = (double)(now_ns - meter->opened_ns - first * SECOND_NS) / 1e9;
    if (reading.window_seconds < 1)
        reading.window_seconds = 1; /* the first second says little of a rate */
    reading.per_second = (double)reading.window_total / reading.window_seconds;
    if (reading.window_total > 0)
        reading.mean_ms = (double)duration_ns / 1e6 / (double)reading.window_total;
    return reading;
}

uint64_t kal_meter_total(kal_meter *meter)
{
    uint64_t total = 0;
    for (size_t i = 0; i < CELL_COUNT; i++) {
        meter_cell *cell = &meter->cells[i];
        pthread_mutex_lock(&cell->lock);
        total += cell->total;
        pthread_mutex_unlock(&cell->lock);
    }
    return total;
}

/* ---- names ---- */

typedef struct named_metric {
    const char *name; /* borrowed */
    kal_metric_read read;
    void *context; /* borrowed */
} named_metric;

struct kal_metrics {
    pthread_mutex_t lock; /* protects the list; held while a metric is read */
    KAL_VEC(named_metric) list;
};

kal_metrics *kal_metrics_open(void)
{
    kal_metrics *metrics = calloc(1, sizeof *metrics);
    if (metrics == NULL)
        kal_die("out of memory: metrics");
    pthread_mutex_init(&metrics->lock, NULL);
    return metrics;
}

void kal_metrics_close(kal_metrics *metrics)
{
    if (metrics == NULL)
        return;
    kal_vec_release(&metrics->list);
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

void kal_metrics_add(kal_metrics *metrics, const char *name, kal_metric_read read, void *context)
{
    named_metric added = {.name = name, .read = read, .context = context};
    pthread_mutex_lock(&metrics->lock);
    kal_vec_push(&metrics->list, added);
    pthread_mutex_unlock(&metrics->lock);
}

void kal_metrics_remove(kal_metrics *metrics, const void *context)
{
    size_t kept = 0;
    pthread_mutex_lock(&metrics->lock);
    for (size_t i = 0; i < metrics->list.len; i++) {
        if (metrics->list.items[i].context != context)
            metrics->list.items[kept++] = metrics->list.items[i];
    }
    metrics->list.len = kept;
    pthread_mutex_unlock(&metrics->lock);
}

void kal_metrics_each(kal_metrics *metrics, kal_metric_visit visit, void *context)
{
    pthread_mutex_lock(&metrics->lock);
    for (size_t i = 0; i < metrics->list.len; i++) {
        const named_metric *m = &metrics->list.items[i];
        visit(context, m->name, m->read(m->context));
    }
    pthread_mutex_unlock(&metrics->lock);
}
