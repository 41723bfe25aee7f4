/*
 * live_internal.h: what the files of live/ share.
 *
 * Objects of a worker and who holds them:
 *
 *     table (id) -> partition (user_no) -> condition index -> queries -> subscriptions -> client
 *     query: SQL text under an identity, bound to one version of its table; subscriptions of the
 *            same text share it
 *     shape: what is shown of a row; queries that show the same share the bodies of a change
 *     task:  work on the pool for one subscription; holds its query
 */
#ifndef KAL_LIVE_LIVE_INTERNAL_H
#define KAL_LIVE_LIVE_INTERNAL_H

#include "base/cache_line.h"
#include "base/message_writer.h"
#include "live/condition_index.h"
#include "live/groups.h"
#include "live/hash.h"
#include "live/live.h"
#include "live/top.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct live_table live_table;
typedef struct live_query live_query;
typedef struct live_sub live_sub;
typedef struct live_user live_user;

/* ---- what comes to a worker ---- */

/* Changes of one commit group, shared by the workers that want them. */
typedef struct live_block {
    _Atomic uint32_t refs;
    size_t size_bytes;
    size_t count;
    kal_change changes[]; /* their tables are retained; bytes follow */
} live_block;

typedef enum live_item_kind {
    LIVE_ITEM_BLOCK,
    LIVE_ITEM_ALTERED, /* a catalog change was published */
    LIVE_ITEM_LOST,    /* changes from here on did not fit */
    LIVE_ITEM_TASK,    /* a task has ended */
    LIVE_ITEM_KILL,    /* a subscription is to end */
} live_item_kind;

typedef struct live_item {
    kal_list link;
    live_item_kind kind;
    live_block *block; /* one reference */
    kal_live_task *task;
    uint64_t sub_number; /* KILL */
} live_item;

enum { LIVE_NUMBER_BYTES = 8 };

/* The key of a number in a map. */
static inline kal_bytes live_number_key(uint64_t number, uint8_t out[LIVE_NUMBER_BYTES])
{
    kal_store_be64(out, number);
    return kal_bytes_of(out, LIVE_NUMBER_BYTES);
}

/* ---- queries ---- */

enum { LIVE_INSERT, LIVE_UPDATE, LIVE_DELETE, LIVE_BODIES };

typedef struct live_shape {
    uint32_t refs;
    kal_bytes key;                         /* heap, owned */
    uint64_t stamp;                        /* of the change whose bodies these are */
    kal_message_body *bodies[LIVE_BODIES]; /* one reference each, or NULL */
} live_shape;

typedef struct live_partition {
    live_table *table;
    uint64_t user_no; /* 0: SHARED */
    kal_condition_index index;
} live_partition;

/* One version of a table. A change is matched with the queries that are bound to the version that
 * wrote it or a later one, whose columns its rows are then read as: queries are bound again as soon
 * as an ALTER is known, which can be before all that was written before it has been matched. */
struct live_table {
    live_table *next;   /* another version of the same table */
    kal_table *table;   /* retained: of this version */
    kal_map partitions; /* be64 user_no -> live_partition (owned) */
    kal_list queries;
    size_t query_count;
};

/* ---- maintained results ---- */

typedef enum live_result_state {
    LIVE_RESULT_NONE,
    LIVE_RESULT_LOADING,
    LIVE_RESULT_READY,
} live_result_state;

/* A change that came while the result was loaded: stored rows that matched. */
typedef struct live_queued {
    uint64_t seq;
    const uint8_t *bytes; /* owned: before, after */
    size_t before_len;
    size_t after_len;
} live_queued;

/* Of a query with groups or with ORDER BY ... LIMIT (result.c). */
typedef struct live_result {
    live_result_state state;
    live_groups *groups; /* owned; READY, as the next one: either of them */
    live_top *top;
    live_shown *shown;          /* owned; what subscriptions were told */
    uint64_t seq;               /* up to which changes are in it */
    uint64_t told_seq;          /* up to which they were told; behind it while it is loaded again */
    bool has_hash;              /* the next one is kept */
    live_hash hash;             /* of what is shown */
    kal_list dirty_link;        /* worker->dirty: something changed that was not told */
    KAL_VEC(live_queued) queue; /* LOADING; heap */
    size_t queue_bytes;         /* charged to the budget */
    bool is_lost;               /* the queue is not all that came */
} live_result;

/* A group that the log says was changed; or one of the first rows, as it was. */
typedef struct live_touched {
    kal_bytes key;     /* in shown; task->kept */
    kal_bytes members; /* a group's row without aggregates, or the row; JSON members */
    bool was_between;  /* only after the seq: who has part of a commit may have it */
} live_touched;

/* A change as far as it concerns one query: rows that do not match are NULL. */
typedef struct live_images {
    const kal_value *before;
    const kal_value *after;
    kal_bytes before_bytes;
    kal_bytes after_bytes;
    uint64_t seq;
} live_images;

/* Its result is maintained as a whole. */
static inline bool live_plan_has_result(const kal_live_plan *plan)
{
    return plan->is_grouped || plan->has_limit;
}

/* What each hit of a change looks at comes first, in few cache lines; live_sub and kal_live_client
 * likewise. */
struct live_query {
    kal_indexed indexed;
    uint32_t hash_subs; /* subscriptions that want the hash of the state */
    bool has_rest;      /* rows that meet the index's condition have to be tested */
    bool has_result;    /* live_plan_has_result() */
    kal_list subs;
    live_shape *shape;
    _Atomic uint64_t tested; /* written by the worker, read by any thread */
    _Atomic uint64_t matched;
    _Atomic uint64_t sampled_ns; /* of samples tests */
    _Atomic uint64_t samples;
    kal_list link;        /* table->queries */
    kal_list rebind_link; /* worker->rebinding */
    uint32_t refs;        /* subscriptions and tasks */
    bool is_detached;     /* another one has taken its place, or its table is gone */
    live_table *in;       /* NULL once detached */
    live_partition *partition;
    kal_bytes share_key; /* in the arena */
    live_result result;  /* live_plan_has_result() */
    /* constant, also for tasks */
    kal_arena arena;
    live_user *payer; /* of the arena; one reference */
    kal_table *table; /* retained */
    kal_bytes sql;
    kal_principal principal; /* whose session functions it was bound with */
    kal_sql_live parsed;
    kal_live_plan plan;
    kal_live_index condition;
    uint64_t user_no; /* partition; 0: SHARED */
    uint16_t shard;
    kal_expr_session session;
    uint64_t *wanted;   /* bits of columns that are looked at, for first rows */
    bool is_whole_row;  /* every item is a column */
    uint32_t *identity; /* key columns that are not items, but told with every row; arena */
    uint32_t identity_count;
    bool adds_seq; /* likewise _seq */
};

/* ---- subscriptions ---- */

/* What one asks for (options.c). */
typedef struct live_options {
    uint64_t batch_size;
    uint64_t last_rows; /* 0: all */
    bool has_from;
    uint64_t from;
    kal_live_slow on_slow;
    bool wants_hash;
} live_options;
live_options live_options_of(const kal_live_request *request, const kal_sql_live_options *sql);

typedef enum live_state {
    LIVE_LOADING,    /* first rows are being read */
    LIVE_BATCHES,    /* and wait to be asked for */
    LIVE_REPLAYING,  /* changes are being read from the log */
    LIVE_DELIVERING, /* and are told as the client takes them */
    LIVE_LIVE,
    LIVE_BEHIND, /* the client is slow, or too much came meanwhile: the log has it */
} live_state;

/* A change that waits until its subscription is LIVE. */
typedef struct live_waiting {
    uint64_t seq;
    kal_message_body *body; /* one reference */
    bool is_schema;         /* a whole message: the shape of what follows */
} live_waiting;

/* A first row, or a change out of the log. */
typedef struct live_row {
    uint64_t seq;
    uint32_t offset; /* in the task's text */
    uint32_t len;
} live_row;

struct live_sub {
    kal_list query_link; /* query->subs */
    kal_live_client *client;
    kal_message_head *head;
    kal_error *failure;       /* owned; NULL: none */
    uint64_t seq;             /* everything up to it was delivered, or waits in batches */
    _Atomic live_state state; /* read by other threads, as are the next three */
    bool has_acked;
    bool has_lost_waiting; /* since `seq` */
    bool owes_batch;       /* BATCHES: one was asked for, and the client is full */
    bool wants_hash;
    _Atomic int64_t last_update_us;
    _Atomic uint64_t changes;
    _Atomic uint64_t lag;
    kal_list link;        /* client->subs */
    kal_list failed_link; /* worker->failed */
    live_query *query;
    live_user *user; /* one reference */
    char *id;        /* owned */
    uint64_t number; /* names it in system.live_queries */
    kal_live_slow on_slow;
    uint64_t batch_size;
    uint64_t last_rows;
    live_hash hash;                /* of what it was told */
    bool takes_groups;             /* what is being told of a result */
    KAL_VEC(live_waiting) waiting; /* heap */
    size_t waiting_bytes;          /* charged to the budget */
    kal_live_task *task;           /* under way, or NULL */
    kal_live_task *ready;          /* owned: what was read and is not told yet; or NULL */
    size_t next_row;               /* in it */
    size_t next_body;
    uint32_t batch_num;
    int64_t created_at_us;
};

struct kal_live_client {
    const kal_live_client_ops *ops;
    void *connection;
    kal_live_worker *worker;
    bool is_full;
    bool is_expelled;
    kal_list link; /* worker->clients */
    kal_list subs;
    kal_list feed_subs; /* of live_feed_sub (feed.h) */
    size_t sub_count;   /* of both */
    uint64_t number;
    uint32_t token_generation;
    kal_principal principal;
};

/* ---- tasks ---- */

typedef enum live_task_kind {
    LIVE_TASK_FIRST_ROWS,
    LIVE_TASK_REPLAY, /* of a grouped query: which groups were changed */
    LIVE_TASK_STATE,  /* the groups, for all subscriptions of the query */
    LIVE_TASK_FEED,   /* a live_feed_task (feed.h) */
} live_task_kind;

struct kal_live_task {
    live_task_kind kind;
    kal_live_worker *worker;
    live_query *query;  /* one reference */
    live_user *payer;   /* of what comes out; one reference */
    live_sub *sub;      /* NULL: it is gone */
    uint64_t last_rows; /* 0: all */
    uint64_t from;      /* REPLAY: changes after it */
    bool coalesce;      /* only the last state of each row */
    bool wants_hash;
    bool hashes_all;   /* REPLAY: the hash of what the client has is not known */
    live_hash hash;    /* of all rows as of seq */
    bool is_changed;   /* REPLAY of first rows: the log has changes after `from` */
    bool may_use_rows; /* when the log does not reach back: stored rows after `from` */
    _Atomic bool is_cancelled;
    /* what came out */
    kal_status status;
    kal_error error;
    uint64_t seq;  /* as of which it is */
    bool has_rows; /* texts are rows, else bodies of changes */
    kal_buf text;
    KAL_VEC(live_row) rows; /* heap, charged to the budget */
    size_t rows_bytes;
    kal_arena scratch;
    KAL_VEC(live_waiting) bodies; /* changes, in order */
    size_t bodies_bytes;
    live_groups *groups; /* owned: STATE, as the next two */
    live_top *top;
    live_shown *shown;
    kal_map touched_by_key; /* grouped REPLAY */
    kal_arena kept;         /* of the next two */
    KAL_VEC(live_touched) touched;
    KAL_VEC(live_shown_change) shown_changes;
};

/* ---- workers ---- */

struct kal_live_worker {
    kal_live *live;
    unsigned index;
    /* any thread, under lock */
    pthread_mutex_t lock;
    kal_list inbox; /* of live_item */
    size_t inbox_bytes;
    bool is_lost; /* a LOST item is the last one of the changes */
    /* the worker's thread */
    kal_list taken;   /* what was the inbox, being worked off */
    size_t at_change; /* of the block in front */
    kal_map tables;   /* be64 table_id -> live_table (owned), a chain of its versions */
    kal_map queries;  /* share key -> live_query that is not detached */
    kal_map shapes;   /* key -> live_shape */
    kal_list clients;
    kal_list rebinding;             /* queries whose table was altered */
    kal_list failed;                /* subscriptions that are to end */
    kal_list dirty;                 /* grouped queries whose changes are to be told */
    kal_list feeds;                 /* of live_feed (feed.h) */
    kal_list failed_feed_subs;      /* likewise to end */
    uint64_t users_version;         /* at which the clients' tokens were last looked at */
    bool is_polling;                /* one feed at a time */
    uint64_t poll_after_ns;         /* not before */
    uint64_t stamp;                 /* of the change that is being matched */
    int64_t now_us;                 /* wall clock, of the step or call that is under way */
    kal_arena scratch;              /* of one change */
    uint64_t seqs[KAL_SHARD_COUNT]; /* up to which changes of wanted tables were matched */
    kal_catalog_worker *catalog;    /* for binding again */
    pthread_mutex_t registry_lock; /* held to add and remove subscriptions, and by who lists them */
    uint64_t sub_count;
};

/* A table that somebody is subscribed to. */
typedef struct live_interest {
    uint32_t subs[64]; /* per worker */
} live_interest;

struct kal_live {
    kal_live_options options;
    kal_tables_observer observer;
    kal_gauge subs;
    pthread_mutex_t interest_lock;
    kal_map interests; /* be32 table_id -> live_interest (owned) */
    pthread_mutex_t users_lock;
    kal_map users; /* be64 user_no -> live_user */
    _Atomic uint64_t interest_count;
    _Atomic uint64_t next_number;
    kal_live_worker *workers; /* owned; options.workers of them */
};

/* ---- users.c ---- */

/* A user who has, or pays for, live queries: all that has to do with them and whose size he chose
 * is charged to his budget, a part of everybody's. Whoever has such memory has a reference. Any
 * thread. */
typedef struct live_user {
    kal_live *live;
    uint64_t user_no;
    size_t refs; /* under users_lock, as the next one */
    size_t subs;
    kal_budget budget;
} live_user;

live_user *live_user_get(kal_live *live, uint64_t user_no); /* one reference */
live_user *live_user_retain(live_user *user);               /* returns user */
void live_user_release(live_user *user);                    /* NULL is allowed */
/* With one subscription more, and one reference; NULL: he has as many as he may. */
live_user *live_user_enter(kal_live *live, uint64_t user_no);
void live_user_leave(live_user *user);
/* KAL_LIMIT */
kal_status live_too_many(const char *whose, unsigned most, kal_error *err);

/* ---- registry.c ---- */

const char *live_state_name(live_state state);
const char *live_slow_name(kal_live_slow slow);
void live_format_id(uint64_t sub_number, char out[KAL_LIVE_ID_BYTES]);

/* ---- live.c ---- */

/* From now on changes of the table come to the worker, also those that are in no snapshot that is
 * taken later. */
void live_interest_add(kal_live *live, uint32_t table_id, unsigned worker);
void live_interest_remove(kal_live *live, uint32_t table_id, unsigned worker);
void live_inbox_add(kal_live_worker *worker, live_item *item);
void live_block_release(live_block *block);
/* Sets now_us: reading the clock for each of many messages would cost more than telling it. */
void live_worker_look_at_clock(kal_live_worker *w);
/* From any thread: the task has ended. */
void live_inbox_add_task(kal_live_task *task);
void live_inbox_add_kill(kal_live_worker *worker, uint64_t sub_number);

/* ---- query.c ---- */

/* The query of this text, bound to the table as it is now; one that is there already is shared. One
 * reference. */
KAL_MUST_CHECK kal_status live_query_get(kal_live_worker *worker, kal_catalog_worker *catalog,
                                         const kal_principal *principal, kal_bytes sql,
                                         live_query **query_out, kal_sql_live_options *options_out,
                                         kal_error *err);
/* One that no worker knows, to look at; any thread. */
KAL_MUST_CHECK kal_status live_query_bind_alone(kal_live *live, kal_catalog_worker *catalog,
                                                const kal_principal *principal, kal_bytes sql,
                                                live_query **query_out, kal_error *err);
void live_query_free_alone(live_query *query);
live_query *live_query_retain(live_query *query);
/* The versions of a table that somebody is subscribed to; NULL: none. */
live_table *live_tables_of(const kal_live_worker *worker, uint32_t table_id);
void live_query_release(kal_live_worker *worker, live_query *query);
/* Takes it out of the index: it hears of no change any more. */
void live_query_detach(kal_live_worker *worker, live_query *query);
/* A catalog change was published: every query whose table has another version now is to be bound
 * again. */
void live_rebind_begin(kal_live_worker *worker);
/* Some of them; true: there are more. */
bool live_rebind_step(kal_live_worker *worker, unsigned most);
/* Both of a text, of two versions of the table: the result of the one can go on as that of the
 * other. */
bool live_query_results_alike(const live_query *a, const live_query *b);
/* Clients see the same columns. */
bool live_query_has_same_schema(const live_query *a, const live_query *b);
/* The member "schema" of an acknowledgement. */
void live_query_write_schema(const live_query *query, kal_json_writer *w);
/* The member "changes" of a schema message: what became of the items, in the order in which a
 * client applies it to the rows it has: removed, added with the value that rows have there,
 * renamed, of another type (which loses nothing). */
void live_query_write_changes(const live_query *before, const live_query *after,
                              kal_json_writer *w);

/* ---- encode.c ---- */

/* One row as a JSON object: the items, then key columns and _seq that are not among them. values:
 * of the table's row, hidden ones too. Errors are those of expressions. */
KAL_MUST_CHECK kal_status live_encode_row(const live_query *query, const kal_value *values,
                                          kal_arena *scratch, kal_buf *out, kal_error *err);
/* The shared part of a message about a change: before NULL: insert; after NULL: delete. seq: of the
 * row; told_seq: up to which the client has everything once it has the message. */
KAL_MUST_CHECK kal_status live_encode_change(const live_query *query, const kal_value *before,
                                             const kal_value *after, uint64_t seq,
                                             uint64_t told_seq, kal_arena *scratch,
                                             kal_budget *budget, kal_message_body **body_out,
                                             kal_error *err);

/* What the note of a body says. */
enum { LIVE_NOTE_NONE, LIVE_NOTE_DELTA, LIVE_NOTE_HASH };
/* Notes with the body by how much the change changes the hash of the state. */
KAL_MUST_CHECK kal_status live_note_delta(const live_query *query, const kal_value *before,
                                          const kal_value *after, kal_arena *scratch,
                                          kal_budget *budget, kal_message_body *body,
                                          kal_error *err);

/* ---- match.c ---- */

void live_match(kal_live_worker *worker, const kal_change *change);
/* The values of a row that stand in bits, in the arena. */
KAL_MUST_CHECK kal_status live_row_values(kal_table *table, const kal_row *row,
                                          const uint64_t *bits, kal_arena *arena,
                                          kal_value **values_out, kal_error *err);
/* What the query looks at of a row as it was written; bytes empty: there is none, *values_out NULL.
 */
KAL_MUST_CHECK kal_status live_stored_values(const live_query *query, kal_bytes bytes,
                                             kal_arena *arena, kal_value **values_out,
                                             kal_error *err);

/* ---- messages.c ---- */

/* What a batch of the most bytes has, and how many rows unless the client says. */
#define LIVE_BATCH_SIZE_DEFAULT 1000u
#define LIVE_BATCH_SIZE_MAX     100000u
#define LIVE_BATCH_BYTES_MAX    (1024u * 1024u) /* but for a row that is longer */

void live_client_send(kal_live_client *client, const kal_message_head *head,
                      kal_message_body *body);
/* The member "batch_control"; seq NULL: of an acknowledgement, before the first batch. */
void live_write_batch_control(kal_message_writer *m, uint32_t batch_num, bool has_more,
                              const uint64_t *seq);

/* ---- sub.c ---- */

/* Its first cache lines: the subscriptions of a change lie anywhere. */
static inline void live_sub_prefetch(const live_sub *sub)
{
    __builtin_prefetch(sub);
    __builtin_prefetch((const char *)sub + 64);
}

/* False: it has the change already, or will read it from the log. */
bool live_sub_wants(live_sub *sub, uint64_t seq);
void live_sub_change(live_sub *sub, uint64_t seq, kal_message_body *body);
/* Says why, and removes it. */
void live_sub_end(live_sub *sub, const kal_error *err);
/* The same, but later, by live_subs_end_failed(); unless it has the change already. */
void live_sub_fail(live_sub *sub, uint64_t seq, const kal_error *err);
void live_subs_end_failed(kal_live_worker *worker);
/* Changes after what it has are missing. */
void live_sub_lost(live_sub *sub);
void live_sub_task_done(kal_live_worker *worker, kal_live_task *task);
/* Its query was bound again: from now on it is of `query`. */
void live_sub_move(live_sub *sub, live_query *query, bool with_result);

/* One of several changes of groups that belong together, with seqs from first to last. */
void live_sub_group_change(live_sub *sub, uint64_t first, uint64_t last, bool is_first,
                           kal_message_body *body);
/* The result of its query is READY. */
void live_sub_result_ready(live_sub *sub);

/* ---- result.c ---- */

/* Loads it unless it is there or under way. */
void live_result_need(kal_live_worker *worker, live_query *query);
void live_result_change(kal_live_worker *worker, live_query *query, const live_images *images);
/* At the end of a commit: tells what became of groups. */
void live_results_flush(kal_live_worker *worker);
/* Changes are missing. */
void live_result_lost(kal_live_worker *worker, live_query *query);
void live_result_loaded(kal_live_worker *worker, kal_live_task *task);
void live_result_release(kal_live_worker *worker, live_query *query);
/* The query was bound again and its result goes on. False: the other one has its own already. */
bool live_result_move(live_query *from, live_query *to);
/* For a subscription, as tasks would: all groups; what changed after sub->seq, which the result
 * knows itself or, with the help of `touched`, when it is older than the result. */
bool live_result_knows(const live_sub *sub);
kal_live_task *live_result_rows(live_sub *sub, kal_status *status, kal_error *err);
kal_live_task *live_result_changes(live_sub *sub, const kal_live_task *touched, kal_status *status,
                                   kal_error *err);
/* Takes a row in, or out again. */
KAL_MUST_CHECK kal_status live_top_take(live_top *top, const live_query *query,
                                        const kal_value *values, bool take_out, kal_arena *scratch,
                                        kal_error *err);

/* ---- load.c ---- */

kal_live_task *live_task_make(live_sub *sub, live_task_kind kind);
/* For no subscription in particular. */
kal_live_task *live_task_make_for(kal_live_worker *worker, live_query *query, live_user *payer,
                                  live_task_kind kind);
/* The row's text was appended to task->text at row.offset. */
KAL_MUST_CHECK kal_status live_task_add_row(kal_live_task *task, live_row row, kal_error *err);
/* Takes the reference; body NULL: KAL_LIMIT. */
KAL_MUST_CHECK kal_status live_task_add_body(kal_live_task *task, kal_message_body *body,
                                             uint64_t seq, kal_error *err);
void live_task_free(kal_live_worker *worker, kal_live_task *task);

#endif
