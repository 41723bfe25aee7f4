/*
 * feed.h: subscriptions to what has no log of changes: schemas, rows of system tables. What there
 * is now is read as a whole and compared with what was told before.
 *
 *     feed --task on the pool--> picture (items by key) --compared with the one before--> diff
 *     subscription: the picture it was told --diff's bodies--> the next one
 *
 * Subscriptions of the same feed share its pictures and, as long as they keep up, its diffs. One
 * whose client is slow keeps the picture that it was told; once the client reads again it gets
 * the difference to what is then, whatever happened between.
 *
 * Pictures and diffs are constant once they are made and shared by reference count; the rest is
 * the worker's thread's.
 */
#ifndef KAL_LIVE_FEED_H
#define KAL_LIVE_FEED_H

#include "live/live_internal.h"

typedef struct live_feed live_feed;
typedef struct live_feed_sub live_feed_sub;

/* What there was at a moment. */
typedef struct live_feed_item {
    kal_bytes key;     /* arena; unique */
    const void *value; /* the kind's */
} live_feed_item;

typedef struct live_picture {
    _Atomic uint32_t refs;
    const struct live_feed_kind *kind;
    kal_arena arena;
    KAL_VEC(live_feed_item) items; /* arena; ascending keys */
    uint64_t seq;                  /* of the last change that led here */
    uint64_t generation;           /* of the catalog, before it was read */
} live_picture;

/* before NULL: it is new; after NULL: it is gone. Values of the diff's pictures. */
typedef struct live_feed_change {
    const void *before;
    const void *after;
    uint64_t seq;
    kal_message_body *body; /* one reference */
} live_feed_change;

typedef struct live_diff {
    uint32_t refs;
    live_picture *from; /* one reference each */
    live_picture *to;
    KAL_VEC(live_feed_change) changes; /* heap, charged to the budget */
} live_diff;

/* What of a feed a subscription wants. */
typedef struct live_feed_target {
    kal_sql_live_kind kind;
    kal_bytes ns;      /* SCHEMA_NAMESPACE and SCHEMA_TABLE */
    kal_bytes name;    /* SCHEMA_TABLE */
    uint32_t table_id; /* SCHEMA_TABLE: of the table, also when it is renamed */
} live_feed_target;

/* What some subscription wants. */
typedef struct live_feed_wanted {
    live_feed_target target; /* without a name */
    bool is_told;            /* it has first rows, so it is told of changes */
} live_feed_wanted;

/* Work on the pool: read (sub NULL) or only compare what a subscription was told with what is. */
typedef struct live_feed_task {
    kal_live_task base;
    live_feed *feed; /* one reference */
    live_feed_sub *sub;
    bool is_reading;
    KAL_VEC(live_feed_wanted *) wanted; /* base.kept; of kinds that have wants() */
    live_picture *from;                 /* one reference; NULL: nothing was read yet */
    live_picture *to;                   /* one reference; reading: what came out */
    bool differs;                       /* an item, wanted or not */
    live_diff *diff;                    /* owned: what came out; NULL: the pictures are the same */
    uint64_t number;                    /* of the reading */
    uint64_t took_ns;
} live_feed_task;

/* Functions with a task run on the pool, and the feed's query and kind are constant there. */
typedef struct live_feed_kind {
    const char *name;
    const char *message; /* type of the messages about changes */
    bool is_polled;      /* else it is read after each change of the catalog */
    /* Items in any order; keys and values in the arena of `to`. */
    kal_status (*read)(live_feed_task *task, kal_catalog_worker *catalog, kal_error *err);
    kal_status (*is_same)(live_feed_task *task, const void *before, const void *after, bool *out,
                          kal_error *err);
    /* KAL_STALE: what is compared is gone since; a newer reading is told in its stead. */
    kal_status (*encode)(live_feed_task *task, const void *before, const void *after, uint64_t seq,
                         kal_message_body **body_out, kal_error *err);
    void (*release)(const void *value, kal_budget *budget); /* or NULL */
    /* The member "schema" of the acknowledgement. */
    void (*write_schema)(const live_feed *feed, kal_json_writer *w);
    kal_status (*write_row)(const live_feed *feed, const void *value, kal_arena *scratch,
                            kal_buf *out, kal_error *err);
    /* NULL: everything. */
    bool (*wants)(const live_feed_target *target, const void *value);
    /* After this change nothing more can come: says why. NULL: never. */
    bool (*is_last)(const live_feed_target *target, const live_feed_change *change, kal_error *err);
} live_feed_kind;

extern const live_feed_kind live_schema_feed;
extern const live_feed_kind live_polled_feed;

struct live_feed {
    kal_list link; /* worker->feeds */
    const live_feed_kind *kind;
    kal_live_worker *worker;
    uint32_t refs;     /* subscriptions and tasks */
    live_query *query; /* owned: polled */
    kal_bytes key;     /* heap, owned: what subscriptions share it by */
    kal_list subs;
    live_picture *picture; /* one reference; NULL: none yet */
    bool is_reading;
    bool is_due;        /* schemas: to be read (again) */
    uint64_t due_at_ns; /* polled: when */
    uint64_t readings;  /* begun */
};

struct live_feed_sub {
    kal_list link;        /* client->feed_subs */
    kal_list feed_link;   /* feed->subs */
    kal_list failed_link; /* worker->failed_feed_subs */
    kal_error *failure;   /* owned; NULL: none */
    kal_live_client *client;
    live_feed *feed; /* one reference */
    live_user *user; /* one reference */
    live_feed_target target;
    kal_message_head *head;
    char *id;      /* owned */
    kal_bytes sql; /* heap, owned; as are the texts of target */
    uint64_t number;
    bool counts; /* false: that it was told something would be something to tell it */
    kal_live_slow on_slow;
    bool owes_batch; /* BATCHES: one was asked for, and the client is full */
    uint64_t batch_size;
    uint64_t waits_for;   /* LOADING: the first reading that is new enough */
    live_picture *told;   /* one reference; NULL while LOADING */
    live_diff *telling;   /* one reference, or NULL */
    size_t next_row;      /* BATCHES: in `told` */
    size_t next_change;   /* in `telling` */
    live_feed_task *task; /* its own comparison, or NULL */
    uint32_t batch_num;
    int64_t created_at_us;
    _Atomic live_state state; /* read by other threads, as are the next ones */
    _Atomic int64_t last_update_us;
    _Atomic uint64_t changes;
    _Atomic uint64_t lag;
};

/* ---- for live.c, load.c, sub.c, registry.c ---- */

/* Finds out whether the request is for a feed (*is_feed_out), and if so begins it. */
KAL_MUST_CHECK kal_status live_feed_subscribe(kal_live_client *client, kal_catalog_worker *catalog,
                                              const kal_live_request *request, bool *is_feed_out,
                                              kal_error *err);
/* The same for kal_live_explain(). */
KAL_MUST_CHECK kal_status live_feed_explain(kal_live *live, kal_catalog_worker *catalog,
                                            const kal_principal *principal, kal_bytes sql,
                                            kal_live_explanation *out, bool *is_feed_out,
                                            kal_error *err);
bool live_feed_has(const kal_live_client *client, kal_bytes id);
/* False: there is none of this id. */
bool live_feed_next_batch(kal_live_client *client, kal_bytes id);
bool live_feed_unsubscribe(kal_live_client *client, kal_bytes id);
/* False: there is none of this number. */
bool live_feed_kill(kal_live_worker *worker, uint64_t number, const kal_error *err);
void live_feed_close_client(kal_live_client *client);
void live_feed_writable(kal_live_client *client);
KAL_MUST_CHECK kal_status live_feed_each(const kal_live_client *client, kal_live_info_visit visit,
                                         void *context, kal_error *err);
/* A catalog change was published. */
void live_feeds_altered(kal_live_worker *worker);
void live_feeds_tick(kal_live_worker *worker);
/* On the pool. */
void live_feed_task_run(kal_live_task *task, kal_catalog_worker *catalog);
void live_feed_task_done(kal_live_task *task);
void live_feed_task_free(kal_live_task *task);

/* ---- feed.c, for feed_sub.c ---- */

/* The feed of this kind and key; one reference. query: taken; freed when there is one already. */
live_feed *live_feed_get(kal_live_worker *worker, const live_feed_kind *kind, kal_bytes key,
                         live_query *query);
void live_feed_release(live_feed *feed);
live_picture *live_picture_retain(live_picture *picture);
void live_picture_release(live_picture *picture); /* NULL is allowed */
void live_diff_release(live_diff *diff);          /* NULL is allowed */
/* What the subscription wants is in the feed's picture, since others want it, too. */
bool live_feed_covers(const live_feed *feed, const live_feed_sub *sub);
/* It is read soon. */
void live_feed_need(live_feed *feed);
/* What the subscription was told is compared with the feed's picture. KAL_BUSY. */
KAL_MUST_CHECK kal_status live_feed_compare(live_feed_sub *sub, kal_error *err);

/* ---- feed_sub.c, for feed.c ---- */

/* The feed was read; diff (or NULL): what has changed. */
void live_feed_sub_read(live_feed_sub *sub, uint64_t number, live_diff *diff);
void live_feed_sub_compared(live_feed_sub *sub, live_feed_task *task);
/* Goes on with what it was not told yet, if it can. */
void live_feed_sub_catch_up(live_feed_sub *sub);
/* Later, by live_feed_subs_end_failed(). */
void live_feed_sub_fail(live_feed_sub *sub, const kal_error *err);
void live_feed_subs_end_failed(kal_live_worker *worker);

/* ---- for the kinds ---- */

/* Adds an item to what the task reads; the key is copied. KAL_LIMIT. */
KAL_MUST_CHECK kal_status live_feed_add(live_feed_task *task, kal_bytes key, const void *value,
                                        kal_error *err);
kal_status live_feed_memory(kal_error *err);

/* ---- schema_feed.c ---- */

/* Whether there is what it names; the arena's. KAL_NOT_FOUND. */
KAL_MUST_CHECK kal_status live_schema_target(kal_catalog *catalog, kal_catalog_worker *worker,
                                             const kal_sql_live *parsed,
                                             live_feed_target *target_out, kal_error *err);

/* ---- polled.c ---- */

/* A SELECT of a table that the server keeps itself. */
bool live_polled_is(const kal_sql_live *parsed);
/* Bound, unless the principal may not read the table; owned by the caller. */
KAL_MUST_CHECK kal_status live_polled_bind(kal_live *live, kal_catalog_worker *catalog,
                                           const kal_principal *principal, kal_bytes sql,
                                           live_query **query_out, kal_error *err);

#endif
