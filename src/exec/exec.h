/*
 * exec.h: from a request's SQL text to its JSON reply.
 *
 * kal_exec owns the open database: catalog, lanes, engine, pools. A request holds one or more
 * statements and the identity they run under. Where it runs depends on what it is (design section
 * 2): reads and writes bound to keys finish on the caller's thread or on a write lane, everything
 * else on the query pool.
 *
 * Threads: kal_exec_submit() from event loops or any other thread. `done` is called exactly once,
 * possibly before kal_exec_submit() returns and possibly on another thread.
 */
#ifndef KAL_EXEC_EXEC_H
#define KAL_EXEC_EXEC_H

#include "auth/auth.h"
#include "base/buf.h"
#include "base/json_reader.h"
#include "base/metrics.h"
#include "base/sched.h"
#include "live/live.h"
#include "store/kv.h"

#define KAL_SQL_BYTES_MAX   (1024u * 1024u)
#define KAL_PARAM_COUNT_MAX 50u
#define KAL_PARAM_BYTES_MAX (512u * 1024u)

typedef struct kal_exec kal_exec; /* opaque: kal_exec_close */

typedef struct kal_exec_options {
    const char *data_dir;
    const char *duckdb_library;    /* path of libduckdb.so */
    const char *duckdb_module;     /* of libkal_duckdb_module.so; NULL: where it was built */
    const kal_files *files;        /* borrowed */
    const kal_clock *clock;        /* borrowed */
    unsigned query_threads;        /* statements in DuckDB at a time; 0 = cores - 1, at least 2 */
    size_t memory_limit_bytes;     /* of all statements together; 0 = half of the machine's */
    size_t statement_limit_bytes;  /* of one statement; 0 = 256 MiB */
    uint64_t timeout_ms;           /* of one statement; 0 = 30,000 */
    uint32_t node_id;              /* of SNOWFLAKE_ID(), 0..1023 */
    size_t schema_cache_tables;    /* definitions in memory; 0 = 10,000 */
    size_t type_cache_size;        /* types with parameters whose forms are kept; 0 = 1024 */
    uint64_t eviction_interval_ms; /* between passes over STREAM tables; 0 = 10,000 */
    unsigned job_threads;          /* jobs at a time; 0 = 2 */
    uint64_t job_retention_hours;  /* of finished jobs in system.jobs; 0 = 720 */
    size_t job_records_max;        /* finished ones kept; 0 = 10,000 */
    unsigned job_retries_max;      /* after failures that may pass; 0 = 3 */
    uint64_t flush_interval_ms;    /* between looks at which tables are due; 0 = 5,000 */
    uint64_t export_retention_s;   /* until an export of user data is removed; 0 = a day */
    uint64_t export_bytes_max;     /* of one export; 0 = 1 GiB */
    unsigned exports_max;          /* of one user at a time; 0 = 3 */
    const char *backup_dir;        /* of backups the server makes itself; NULL or empty: none */
    uint64_t backup_interval_s;    /* between two of them; 0 = a day */
    unsigned backups_kept;         /* of them; 0 = 7 */
    uint64_t s3_cache_bytes;       /* of S3 objects kept as files; 0 = 10 GiB */
    const char *websocket_url;     /* that SUBSCRIBE TO answers with; NULL or empty: a path */
    unsigned live_workers;         /* threads that have clients of live queries; 0 = 1 */
    unsigned live_per_connection_max; /* subscriptions; 0 = 100 */
    unsigned live_per_user_max;       /* 0 = 1000 */
    bool sync_commits;                /* fsync before the answer */
    const char *root_password;        /* NULL or from the environment */
} kal_exec_options;

KAL_MUST_CHECK kal_status kal_exec_open(const kal_exec_options *options, kal_exec **exec_out,
                                        kal_error *err);
/* Refuses what is new, waits for what is running (after 10 s queries are stopped), syncs, closes.
 * Every request must be released before or meanwhile by another thread. NULL is allowed. */
void kal_exec_close(kal_exec *exec);
kal_auth *kal_exec_auth(kal_exec *exec); /* borrowed */
/* What is in effect: the defaults are filled in. Borrowed. */
const kal_exec_options *kal_exec_options_in_effect(const kal_exec *exec);
/* The server's own numbers are added here, to be shown in system.stats. Borrowed. */
kal_metrics *kal_exec_metrics(kal_exec *exec);

/* A row of system.settings. */
typedef struct kal_setting {
    const char *name;
    const char *value; /* NULL: not set; never a secret */
    const char *description;
    const char *category;
} kal_setting;
/* Before the first request; the rows are borrowed until close. */
void kal_exec_set_settings(kal_exec *exec, const kal_setting *settings, size_t count);

/* How SELECT is to run; tests compare the two ways. */
typedef enum kal_path {
    KAL_PATH_AUTO,
    KAL_PATH_FAST,   /* KAL_UNSUPPORTED when the fast path does not take it */
    KAL_PATH_ENGINE, /* DuckDB in any case */
} kal_path;

typedef struct kal_exec_reply {
    kal_buf body;    /* owned by the request; complete JSON, also for errors */
    int http_status; /* 200, 400, ... */
} kal_exec_reply;

typedef struct kal_exec_request kal_exec_request;
typedef void (*kal_exec_done)(kal_exec_request *request);

struct kal_exec_request {
    /* filled by the caller, valid until done */
    kal_bytes sql;
    const kal_json *params; /* NULL, or an array: of values, or of arrays (a batch of rows) */
    kal_bytes namespace_id; /* empty: the default namespace */
    kal_principal principal;
    const char *peer; /* the client's address, for the audit */
    kal_path path;    /* KAL_PATH_AUTO but in tests */
    kal_exec_done done;
    void *context;
    /* filled by exec before done */
    kal_exec_reply reply;
    /* exec's own */
    struct kal_exec_job *job;
};

/* The memory of `request` stays the caller's; it must outlive done. */
void kal_exec_submit(kal_exec *exec, kal_exec_request *request);
/* Nobody waits for the answer: what reads ends soon with KAL_CANCELLED, running or waiting; a write
 * that was submitted is carried out. After submit and before release; `done` is called all the
 * same. */
void kal_exec_cancel(kal_exec_request *request);
/* Releases reply and what exec kept; call once, after done. */
void kal_exec_request_release(kal_exec_request *request);

/* Of all statements and live queries; what clients send is charged to it, too. Borrowed. */
kal_budget *kal_exec_budget(kal_exec *exec);

/* ---- live queries ---- */

/* Borrowed; worker i belongs to the thread that calls kal_live_worker_step() for it. */
kal_live *kal_exec_live(kal_exec *exec);
/* wake(context, i) is to make that happen soon; any thread. NULL: nobody is there any more. */
void kal_exec_watch_live(kal_exec *exec, void (*wake)(void *context, unsigned worker),
                         void *context);
/* kal_live_subscribe() from the worker's thread. */
KAL_MUST_CHECK kal_status kal_exec_subscribe(kal_exec *exec, kal_live_client *client,
                                             const kal_live_request *request, kal_error *err);

/* ---- exports of user data ---- */

typedef struct kal_exec_download kal_exec_download;

struct kal_exec_download {
    /* filled by the caller, valid until done */
    kal_principal principal;
    kal_bytes id; /* as the client sent it */
    void (*done)(kal_exec_download *download);
    void *context;
    /* filled by exec before done */
    kal_status status; /* KAL_NOT_FOUND: there is none for this principal */
    kal_error error;
    int fd; /* the caller's to close; -1 unless status is KAL_OK */
    uint64_t size_bytes;
    char name[32];
    /* exec's own */
    kal_exec *exec;
};
/* Opens the file of an export for its owner (or dba, system). done is called once, possibly before
 * this returns and possibly on another thread. */
void kal_exec_open_download(kal_exec *exec, kal_exec_download *download);

/* The error shape of the SQL endpoint, for errors found before exec is asked:
 * {"status":"error","results":[],"took":0.0,"error":{"code","message","details"?,...}}. */
void kal_exec_write_error(const kal_error *err, double took_ms, kal_buf *body);

#endif
