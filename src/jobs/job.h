/*
 * job.h: what is known of a job: its record, its states, its name.
 *
 *     queued --start--> running --success-------------------------------> completed
 *       ^  \               | \--failure that may pass--> retrying --+     failed
 *       |   +--KILL JOB----+---------------------------------|------+---> cancelled
 *       +--the server stopped or died-----------------------+  (started again when it is due)
 *
 * A job is known by its number: microseconds since 2024 above KAL_JOB_NUMBER_MIN, so numbers ascend
 * with the time of creation. Its job_id is the type's prefix and the number in hexadecimal,
 * `FL-a53f2c81d00e4`; it begins with a letter, so that SQL can name it without quotes.
 *
 * Threads: plain data.
 * Source: reference sections 4.1, 9.1 to 9.3.
 */
#ifndef KAL_JOBS_JOB_H
#define KAL_JOBS_JOB_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

/* name, text, prefix of the job_id; the order is stored, so new ones go to the end */
#define KAL_JOB_TYPE_LIST(X)                                                                       \
    X(FLUSH, "flush", "FL")                                                                        \
    X(COMPACT, "compact", "CO")                                                                    \
    X(CLEANUP, "cleanup", "CL")                                                                    \
    X(BACKUP, "backup", "BK")                                                                      \
    X(RESTORE, "restore", "RS")                                                                    \
    X(RETENTION, "retention", "RT")                                                                \
    X(STREAM_EVICTION, "stream_eviction", "SE")                                                    \
    X(USER_CLEANUP, "user_cleanup", "UC")                                                          \
    X(USER_EXPORT, "user_export", "UX")

typedef enum kal_job_type {
#define KAL_JOB_TYPE_ENUM(name, text, prefix) KAL_JOB_##name,
    KAL_JOB_TYPE_LIST(KAL_JOB_TYPE_ENUM)
#undef KAL_JOB_TYPE_ENUM
        KAL_JOB_TYPE_COUNT
} kal_job_type;

/* name, text; stored by its place, too */
#define KAL_JOB_STATUS_LIST(X)                                                                     \
    X(QUEUED, "queued")                                                                            \
    X(RUNNING, "running")                                                                          \
    X(RETRYING, "retrying") /* failed, will start again at due_us */                               \
    X(COMPLETED, "completed")                                                                      \
    X(FAILED, "failed")                                                                            \
    X(CANCELLED, "cancelled")

typedef enum kal_job_status {
#define KAL_JOB_STATUS_ENUM(name, text) KAL_JOB_##name,
    KAL_JOB_STATUS_LIST(KAL_JOB_STATUS_ENUM)
#undef KAL_JOB_STATUS_ENUM
        KAL_JOB_STATUS_COUNT
} kal_job_status;

#define KAL_JOB_NUMBER_MIN           UINT64_C(0xa000000000000)
#define KAL_JOB_NUMBER_MAX           UINT64_C(0xfffffffffffff)
#define KAL_JOB_ID_LEN               16 /* "FL-", 13 digits */
#define KAL_JOB_PARAMETERS_BYTES_MAX (32u * 1024u)
#define KAL_JOB_TEXT_BYTES_MAX       (8u * 1024u) /* of each other text */

typedef struct kal_job {
    uint64_t number;
    kal_job_type type;
    kal_job_status status;
    bool cancel_asked;      /* while it runs: KILL JOB was answered or is waiting for the end */
    uint32_t table_id;      /* 0: not about one table */
    kal_bytes namespace_id; /* as named when it was made; empty: none */
    kal_bytes table_name;
    kal_bytes key;        /* at most one unfinished job has it */
    kal_bytes actor;      /* user_id; empty: the server itself */
    kal_bytes parameters; /* a JSON object; empty: none */
    kal_bytes progress;   /* the handler's own words; empty: none */
    kal_bytes result;     /* COMPLETED */
    kal_bytes error_text; /* FAILED, RETRYING, CANCELLED: message and hint */
    kal_status error;     /* likewise */
    uint32_t start_count; /* how often it was started */
    uint32_t retry_count; /* after failures, of at most retries_max */
    uint32_t retries_max;
    uint32_t crash_count;  /* how often the process ended under it */
    int64_t created_at_us; /* since 1970, as the others */
    int64_t started_at_us; /* last; 0: never */
    int64_t finished_at_us;
    int64_t updated_at_us;
    int64_t due_us;  /* RETRYING: not before */
    uint64_t cpu_ns; /* of its thread, all starts together */
} kal_job;

bool kal_job_is_finished(kal_job_status status);
/* The drawing above. */
bool kal_job_may_become(kal_job_status from, kal_job_status to);
/* Of how a run ended: another one may go better. */
bool kal_job_may_pass(kal_status status);

const char *kal_job_type_name(kal_job_type type);       /* "flush" */
const char *kal_job_status_name(kal_job_status status); /* "queued" */

/* With a closing NUL. */
void kal_job_id_format(kal_job_type type, uint64_t number, char out[KAL_JOB_ID_LEN + 1]);
/* Upper and lower case are the same. */
bool kal_job_id_parse(kal_bytes text, kal_job_type *type_out, uint64_t *number_out);

/* The record, without its number, which is its key. */
void kal_job_encode(const kal_job *job, kal_buf *out);
/* Any bytes; the texts are copied into the arena. KAL_CORRUPT, KAL_LIMIT (arena's budget). */
KAL_MUST_CHECK kal_status kal_job_decode(uint64_t number, kal_bytes record, kal_arena *arena,
                                         kal_job *out, kal_error *err);

#endif
