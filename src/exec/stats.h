/*
 * stats.h: the numbers of system.stats and the rows of system.settings.
 *
 * kal_stats counts statements, samples the use of the processors once a second, and gives the
 * catalog the rows of both tables. What is counted in the store (tables, users, jobs) is counted as
 * of the reading statement's snapshot, by the walks that make those tables' rows; the rest is true
 * when it is read. Which number means what: docs/system-tables.md.
 *
 * Threads: any, but for opening, closing and kal_stats_set_settings().
 */
#ifndef KAL_EXEC_STATS_H
#define KAL_EXEC_STATS_H

#include "base/metrics.h"
#include "exec/exec_internal.h"

/* Needs the catalog and the scheduler. */
KAL_MUST_CHECK kal_status kal_stats_open(kal_exec *exec, kal_stats **stats_out, kal_error *err);
void kal_stats_close(kal_stats *stats); /* NULL is allowed */

/* A statement ended now, after duration_ns; mono_ns is now. */
void kal_stats_count(kal_stats *stats, uint64_t mono_ns, uint64_t duration_ns, bool failed);
uint64_t kal_stats_ended(kal_stats *stats); /* how many so far */
/* Numbers of the folders above, under names of their own. */
kal_metrics *kal_stats_metrics(kal_stats *stats);
/* Borrowed until close. */
void kal_stats_set_settings(kal_stats *stats, const kal_setting *settings, size_t count);

#endif
