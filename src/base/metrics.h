/*
 * metrics.h: numbers that the server keeps about itself while it works.
 *
 *   kal_gauge    how many there are now, and the most there have been: connections
 *   kal_meter    events that end, with their duration: since the start, and in the last minute
 *   kal_metrics  the names under which folders show such numbers (system.stats)
 *
 * The window of a meter is the current second and the 59 before it, counted from its opening: one
 * bucket a second, so an event leaves the window as a whole second at a time.
 *
 * Threads: any. A gauge is two atomics. A meter has cells with a lock each, picked by the caller's
 * processor, so that recording rarely waits; nothing is lost or counted twice.
 */
#ifndef KAL_BASE_METRICS_H
#define KAL_BASE_METRICS_H

#include "base/clock.h"

#include <stdatomic.h>

/* ---- gauges ---- */

typedef struct kal_gauge { /* zeroed: none */
    _Atomic uint64_t now;
    _Atomic uint64_t peak;
} kal_gauge;

/* One more; returns how many there are with it. */
uint64_t kal_gauge_add(kal_gauge *gauge);
void kal_gauge_remove(kal_gauge *gauge);
uint64_t kal_gauge_now(const kal_gauge *gauge);
uint64_t kal_gauge_peak(const kal_gauge *gauge);

/* ---- meters ---- */

#define KAL_METER_WINDOW_SECONDS 60

typedef struct kal_meter kal_meter; /* opaque: kal_meter_close */

/* clock is borrowed; its monotonic time decides which second it is. */
kal_meter *kal_meter_open(const kal_clock *clock);
void kal_meter_close(kal_meter *meter); /* NULL is allowed */

/* An event ended now, at mono_ns of the meter's clock, after duration_ns. */
void kal_meter_record(kal_meter *meter, uint64_t mono_ns, uint64_t duration_ns, bool failed);

typedef struct kal_meter_reading {
    uint64_t total; /* since opening, failed ones too */
    uint64_t failed;
    uint64_t window_total;
    double window_seconds; /* what the window covers so far: 1 to 60 */
    double per_second;     /* window_total / window_seconds */
    double mean_ms;        /* duration of the window's events; 0 without any */
} kal_meter_reading;

kal_meter_reading kal_meter_read(kal_meter *meter);
uint64_t kal_meter_total(kal_meter *meter); /* its total alone */

/* ---- names ---- */

typedef struct kal_metrics kal_metrics; /* opaque: kal_metrics_close */
typedef uint64_t (*kal_metric_read)(void *context);
typedef void (*kal_metric_visit)(void *context, const char *name, uint64_t value);

kal_metrics *kal_metrics_open(void);
void kal_metrics_close(kal_metrics *metrics); /* NULL is allowed */
/* name and context are borrowed until kal_metrics_remove(). read is called by any thread, one at a
 * time, and must not call back. */
void kal_metrics_add(kal_metrics *metrics, const char *name, kal_metric_read read, void *context);
/* Takes away everything with this context; when it returns, none of it is being read. */
void kal_metrics_remove(kal_metrics *metrics, const void *context);
/* In the order in which they were added. */
void kal_metrics_each(kal_metrics *metrics, kal_metric_visit visit, void *context);

#endif
