/*
 * progress.h: the bar of an import on standard error, when that is a terminal.
 *
 *   sending  [############----------------]  43%  86,000 rows  3.2 MB/s
 *
 * Threads: one at a time.
 */
#ifndef KAL_CLI_PROGRESS_H
#define KAL_CLI_PROGRESS_H

#include "cli/import.h"

typedef struct kal_progress {
    uint64_t started_ns; /* of the whole import */
    uint64_t phase_ns;   /* of its phase */
    uint64_t shown_ns;
    kal_import_phase phase;
    bool is_terminal;
    bool is_shown; /* something stands on the line */
} kal_progress;

void kal_progress_start(kal_progress *progress);
/* A kal_import_host.progress: context is the kal_progress. */
void kal_progress_show(void *context, kal_import_phase phase, uint64_t rows, uint64_t bytes,
                       uint64_t bytes_total);
/* Takes the bar away. */
void kal_progress_clear(kal_progress *progress);
/* Appends "100,000 rows in 2.1 s (47,619 rows/s, 3.2 MB/s)". */
void kal_progress_summary(const kal_progress *progress, uint64_t rows, uint64_t bytes,
                          kal_buf *out);

#endif
