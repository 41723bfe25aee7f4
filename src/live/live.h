/*
 * live.h: queries whose answers stay live: a subscription gets the rows that match now, and then
 * every change, in commit order, each once.
 *
 *     lane --commit--> feed --blocks--> worker of each event loop --bodies--> clients' connections
 *                                        |  index: which queries can a change concern
 *                                        |  one body per shape and change, shared by all
 *                                        +--tasks--> pool: first rows, changes out of the log
 *
 * A subscription is of one SELECT over one (table, user), whose changes have one increasing seq (of
 * the shard). Its life:
 *
 *     LOADING --rows as of one snapshot--> BATCHES --all were asked for--> LIVE
 *     REPLAYING --changes after a seq, out of the log--> LIVE <--> BEHIND (slow client) -->
 * REPLAYING
 *
 * It is in the index before its snapshot is taken, so a change is in the snapshot or comes to the
 * worker, and its seq says which. What comes while it is not LIVE waits, in bounded memory; beyond
 * it the subscription is BEHIND and goes on from the log. What the log does not have any more ends
 * it with RESYNC_REQUIRED. Nothing is left out silently.
 *
 * Threads: a worker, its clients and their subscriptions belong to one thread at a time (an event
 * loop); the rest says so.
 * Source: design section 10; protocol: reference kalamdb-original.md sections 7.2 and 8.
 */
#ifndef KAL_LIVE_LIVE_H
#define KAL_LIVE_LIVE_H

#include "base/message.h"
#include "base/metrics.h"
#include "catalog/role.h"
#include "table/table.h"

#include "sql/binder.h"

typedef struct kal_live kal_live;               /* opaque: kal_live_close */
typedef struct kal_live_worker kal_live_worker; /* of one event loop */
typedef struct kal_live_client kal_live_client; /* opaque: kal_live_client_close */
typedef struct kal_live_task kal_live_task;

typedef kal_status (*kal_live_visit)(void *context, const kal_row *row, kal_error *err);

/* What the folders above do for this one. */
typedef struct kal_live_ops {
    /* May this principal read the table? */
    kal_status (*may_read)(const kal_principal *principal, const kal_table *table, kal_error *err);
    /* Runs kal_live_task_run(task) on a thread that may block. KAL_BUSY. Any thread. */
    kal_status (*submit)(void *context, uint64_t user_no, kal_live_task *task, kal_error *err);
    /* A view at this moment, which knows what definitions it has. */
    void (*open_view)(void *context, kal_view *view, uint64_t user_no);
    /* Every row of the table that the view's user has and that may meet `where` (a bound tree, or
     * NULL), in no order, with the columns of `wanted`. */
    kal_status (*scan)(void *context, kal_view *view, kal_table *table, const kal_expr *where,
                       const uint64_t *wanted, kal_live_visit visit, void *visit_context,
                       kal_error *err);
    /* Makes the worker's loop call kal_live_worker_step(). Any thread. */
    void (*wake)(void *context, unsigned worker);
} kal_live_ops;

typedef struct kal_live_options {
    kal_tables *tables; /* borrowed, as the next ones */
    kal_catalog *catalog;
    const kal_clock *clock;
    kal_budget *budget; /* of first rows, waiting changes, states of aggregates */
    const kal_live_ops *ops;
    void *context;               /* of ops */
    unsigned workers;            /* event loops, at least 1 */
    size_t first_rows_bytes_max; /* of one subscription; 0 = 64 MiB */
    size_t waiting_bytes_max;    /* of one that is not LIVE; 0 = 1 MiB */
    size_t inbox_bytes_max;      /* of one worker; 0 = 64 MiB */
    unsigned per_client_max;     /* subscriptions; 0 = 100 */
    unsigned per_user_max;       /* 0 = 1000 */
} kal_live_options;

/* Watches the tables from now on. */
KAL_MUST_CHECK kal_status kal_live_open(const kal_live_options *options, kal_live **live_out,
                                        kal_error *err);
/* Every client is closed, and so are the tables. NULL is allowed. */
void kal_live_close(kal_live *live);
kal_live_worker *kal_live_worker_of(kal_live *live, unsigned index);

/* Does a bounded piece of what is waiting; true: there is more. */
bool kal_live_worker_step(kal_live_worker *worker);
/* A few times a second: rights that were lost end subscriptions. */
void kal_live_worker_tick(kal_live_worker *worker);
/* On a thread that may block. */
void kal_live_task_run(kal_live_task *task, kal_catalog_worker *worker);

/* ---- what there is ---- */

#define KAL_LIVE_ID_BYTES 32

typedef struct kal_live_info {
    char live_id[KAL_LIVE_ID_BYTES]; /* names it for kal_live_kill() */
    uint64_t connection;
    uint64_t user_no;
    const char *user_id;  /* borrowed for the call, as the next ones */
    const char *query_id; /* the client's */
    kal_bytes query;
    kal_bytes namespace_id; /* empty: of all */
    kal_bytes table_name;   /* empty: of all */
    const char *state;      /* "loading", "live", "behind", ... */
    const char *on_slow;
    uint64_t batch_size;
    uint64_t last_rows; /* 0: all */
    int64_t created_at_us;
    int64_t last_update_us; /* when it was last told of a change, or created */
    uint64_t changes;       /* that it was told of */
    uint64_t tested;  /* changes that its query, with others of the same text, was held against */
    uint64_t matched; /* and was concerned by */
    uint64_t cost_ns; /* of one such test, about; 0: not known yet */
    uint64_t lag;     /* changes that it is yet to be told of, when behind; about */
} kal_live_info;

/* Every subscription, or those of one user (0: of all); any thread. visit must be short: clients
 * come and go meanwhile only afterwards. */
typedef kal_status (*kal_live_info_visit)(void *context, const kal_live_info *info, kal_error *err);
KAL_MUST_CHECK kal_status kal_live_each(kal_live *live, uint64_t user_no, kal_live_info_visit visit,
                                        void *context, kal_error *err);
/* Subscriptions there are, and the most there were. */
const kal_gauge *kal_live_subscriptions(const kal_live *live);
/* What a live query of this text would be, and what those of this text are that the principal may
 * see (his own, or as dba everybody's). Errors as kal_live_subscribe(). Any thread. */
typedef struct kal_live_explanation {
    const char *kind; /* "rows", "groups", "first rows", "schema", "polled" */
    char index[160];  /* "equality on room", ...: the condition by which it is looked up */
    bool has_rest;    /* the condition is not all of WHERE */
    bool is_shared;   /* subscribers of the text share it, whoever they are; else each his own */
    uint64_t subscribers;
    uint64_t tested;
    uint64_t matched;
    uint64_t cost_ns;
    uint64_t lag; /* the greatest */
} kal_live_explanation;
KAL_MUST_CHECK kal_status kal_live_explain(kal_live *live, kal_catalog_worker *catalog,
                                           const kal_principal *principal, kal_bytes sql,
                                           kal_live_explanation *out, kal_error *err);
/* Ends it soon, its client is told why; one of this user's (0: anybody's). false: there is none of
 * this id. Any thread. */
bool kal_live_kill(kal_live *live, kal_bytes live_id, uint64_t user_no);

/* ---- clients ---- */

/* A connection, as far as live queries see it. Its functions are called on the worker's thread, and
 * may not close the client. */
typedef struct kal_live_client_ops {
    kal_wire (*wire)(void *connection);
    /* Queues a message, in order. false: so much is queued that no more should follow until
     * kal_live_client_writable(). */
    bool (*send)(void *connection, const kal_message_head *head, kal_message_body *body);
    /* The principal may not be here any more: the connection is to be closed, later. */
    void (*expel)(void *connection, const kal_error *err);
} kal_live_client_ops;

/* ops is borrowed, principal copied. generation: of the tokens of the principal. */
kal_live_client *kal_live_client_open(kal_live_worker *worker, const kal_principal *principal,
                                      uint32_t token_generation, const kal_live_client_ops *ops,
                                      void *connection);
/* The same principal has another token. false: it is another principal. */
bool kal_live_client_renew(kal_live_client *client, const kal_principal *principal,
                           uint32_t token_generation);
/* Ends its subscriptions; the connection is not called any more. NULL is allowed. */
void kal_live_client_close(kal_live_client *client);
/* The connection's queue is short again. */
void kal_live_client_writable(kal_live_client *client);

typedef enum kal_live_slow {
    KAL_LIVE_PAUSE,    /* every change, once the client reads again */
    KAL_LIVE_COALESCE, /* then only the last state of each row */
    KAL_LIVE_CLOSE,    /* the subscription ends with SLOW_CONSUMER */
} kal_live_slow;

typedef struct kal_live_request {
    kal_bytes id; /* the client's, 1 to 128 bytes, unique among its subscriptions */
    kal_bytes sql;
    /* What is not given here is taken from the options in the text. */
    bool has_batch_size;
    bool has_last_rows;
    bool has_from;
    bool has_on_slow;
    bool has_hash;
    uint64_t batch_size; /* 0: 1000 */
    uint64_t last_rows;  /* the newest so many only; 0: all */
    uint64_t from;       /* the seq up to which the client has all */
    kal_live_slow on_slow;
    bool wants_hash;
} kal_live_request;

/* What follows is told by messages: subscription_ack, initial_data_batch, change, error. An error
 * that is found at once is returned instead: codes INVALID_SUBSCRIPTION_ID,
 * SUBSCRIPTION_LIMIT_EXCEEDED, INVALID_SQL, UNSUPPORTED, TABLE_NOT_FOUND, PERMISSION_DENIED. */
KAL_MUST_CHECK kal_status kal_live_subscribe(kal_live_client *client, kal_catalog_worker *catalog,
                                             const kal_live_request *request, kal_error *err);
/* The next batch of the first rows. KAL_NOT_FOUND; asking too early or too often is harmless. */
KAL_MUST_CHECK kal_status kal_live_next_batch(kal_live_client *client, kal_bytes id,
                                              kal_error *err);
/* KAL_NOT_FOUND. */
KAL_MUST_CHECK kal_status kal_live_unsubscribe(kal_live_client *client, kal_bytes id,
                                               kal_error *err);

#endif
