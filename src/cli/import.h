/*
 * import.h: a CSV or JSON file into a table.
 *
 * Two passes. The first reads the whole file, finds its columns and their types and that it is well
 * formed, so that nothing is written when line 90,000 is broken. The second sends the rows as
 * INSERT statements with many rows of parameters each; every such batch is one atomic statement.
 * The column types of the table decide how a value travels: numbers as they are written, what a
 * JSON number cannot hold exactly (DECIMAL) and all else as text, which the server converts and
 * checks.
 *
 * When a batch is refused, the ones before it stay: the report says how many rows are in and which
 * records of the file the refused batch held.
 *
 * Threads: one at a time.
 */
#ifndef KAL_CLI_IMPORT_H
#define KAL_CLI_IMPORT_H

#include "cli/options.h"
#include "client/client.h"

#include <signal.h>

#define KAL_IMPORT_BATCH_ROWS  2000u
#define KAL_IMPORT_BATCH_BYTES (1024u * 1024u)

typedef enum kal_import_phase {
    KAL_IMPORT_READING, /* first pass */
    KAL_IMPORT_SENDING, /* second pass */
} kal_import_phase;

/* What an import needs from its surroundings. */
typedef struct kal_import_host {
    /* as kal_client_query(): the reply is released by the caller in every case */
    kal_status (*query)(void *context, const kal_client_statement *statement, kal_reply *reply_out,
                        kal_error *err);
    /* bytes of the file done; called every few thousand rows. May be NULL */
    void (*progress)(void *context, kal_import_phase phase, uint64_t rows, uint64_t bytes,
                     uint64_t bytes_total);
    /* a remark for the user, one line. May be NULL */
    void (*note)(void *context, const char *text);
    void *context;
    const volatile sig_atomic_t *cancel; /* borrowed; may be NULL; not 0: stop */
} kal_import_host;

typedef struct kal_import_report {
    uint64_t rows;    /* acknowledged by the server */
    uint64_t batches; /* acknowledged by the server */
    uint64_t bytes;   /* size of the file */
    /* the batch that failed; 0 when none did */
    uint64_t failed_first; /* records of the file, 1-based */
    uint64_t failed_last;
    uint64_t failed_first_line;
    uint64_t failed_last_line;
    bool outcome_unknown; /* the connection broke: the failed batch may be in */
} kal_import_report;

/* report_out is filled in every case. KAL_CANCELLED by host->cancel. */
KAL_MUST_CHECK kal_status kal_import_run(const kal_import_spec *spec, const kal_import_host *host,
                                         kal_import_report *report_out, kal_error *err);

#endif
