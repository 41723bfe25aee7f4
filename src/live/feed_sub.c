/*
 * feed_sub.c: one subscription to a feed: what it is told, in which order, and what happens while
 * its client is slow.
 *
 *     LOADING --a reading that is new enough--> BATCHES --all were asked for--> LIVE
 *     LIVE --diff--> DELIVERING --the client took all--> LIVE
 *     LIVE, but told less than there is --> BEHIND --compared--> REPLAYING --> DELIVERING --> LIVE
 *
 * Invariant: `told` is what the client knows, or will once it has taken `telling`.
 */
#include "base/assert.h"
#include "base/json_writer.h"
#include "live/feed.h"

#include "catalog/system_tables.h"
#include "sql/parser.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SCHEMA_OF_SCHEMAS = 1, /* its version */
};

static const kal_live_options *options_of(const live_feed_sub *sub)
{
    return &sub->client->worker->live->options;
}

/* ---- messages ---- */

static void message_begin(kal_message_writer *m, const live_feed_sub *sub, const char *type)
{
    kal_message_begin(m, type, options_of(sub)->budget);
    kal_message_text(m, "subscription_id", kal_cstr(sub->id));
}

/* False: there was no memory for it. */
static bool send_message(kal_message_writer *m, live_feed_sub *sub)
{
    kal_message_body *body = kal_message_end(m); /* owned */
    if (body != NULL)
        live_client_send(sub->client, NULL, body);
    kal_message_body_release(body);
    return body != NULL;
}

static void fail_memory(live_feed_sub *sub)
{
    kal_error err = KAL_ERROR_INIT;
    (void)live_feed_memory(&err);
    live_feed_sub_fail(sub, &err);
}

/* ---- first rows ---- */

static bool wants(const live_feed_sub *sub, const void *value)
{
    const live_feed_kind *kind = sub->feed->kind;
    return value != NULL && (kind->wants == NULL || kind->wants(&sub->target, value));
}

/* The next item from `at` on that it wants; the count of items: none. */
static size_t next_wanted(const live_feed_sub *sub, size_t at)
{
    const live_picture *told = sub->told;
    while (at < told->items.len && !wants(sub, told->items.items[at].value))
        at++;
    return at;
}

static void send_ack(live_feed_sub *sub)
{
    const live_query *query = sub->feed->query;
    kal_message_writer m; /* owned */
    uint64_t total = 0;

    for (size_t i = next_wanted(sub, 0); i < sub->told->items.len; i = next_wanted(sub, i + 1))
        total++;
    message_begin(&m, sub, "subscription_ack");
    kal_message_key(&m, "total_rows");
    kal_json_u64(&m.json, total);
    live_write_batch_control(&m, sub->batch_num, total > 0, NULL);
    sub->feed->kind->write_schema(sub->feed, &m.json);
    m.count++;
    kal_message_key(&m, "schema_version");
    kal_json_u64(&m.json, query == NULL ? SCHEMA_OF_SCHEMAS : query->table->def->schema_version);
    if (!send_message(&m, sub))
        fail_memory(sub);
}

/* Rows from next_row on, as many as make a batch. */
static kal_status write_rows(live_feed_sub *sub, kal_buf *rows, kal_error *err)
{
    const live_picture *told = sub->told;
    kal_arena scratch; /* owned */
    kal_status status = KAL_OK;
    uint64_t count = 0;

    kal_arena_init(&scratch, options_of(sub)->budget);
    while (status == KAL_OK && sub->next_row < told->items.len && count < sub->batch_size &&
           rows->len < LIVE_BATCH_BYTES_MAX) {
        if (count++ > 0)
            kal_buf_append_bytes(rows, KAL_STR(","));
        status = sub->feed->kind->write_row(sub->feed, told->items.items[sub->next_row].value,
                                            &scratch, rows, err);
        sub->next_row = next_wanted(sub, sub->next_row + 1);
    }
    kal_arena_release(&scratch);
    return status == KAL_OK && kal_buf_failed(rows) ? live_feed_memory(err) : status;
}

static void send_batch(live_feed_sub *sub)
{
    kal_error err = KAL_ERROR_INIT;
    kal_buf rows;         /* owned */
    kal_message_writer m; /* owned */

    kal_buf_init(&rows, options_of(sub)->budget);
    kal_buf_append_bytes(&rows, KAL_STR("["));
    sub->next_row = next_wanted(sub, sub->next_row);
    kal_status status = write_rows(sub, &rows, &err);
    kal_buf_append_bytes(&rows, KAL_STR("]"));
    bool has_more = sub->next_row < sub->told->items.len;
    message_begin(&m, sub, "initial_data_batch");
    kal_message_key(&m, "rows");
    kal_json_raw(&m.json, kal_buf_bytes(&rows));
    live_write_batch_control(&m, sub->batch_num, has_more, &sub->told->seq);
    kal_buf_release(&rows);
    sub->batch_num++;
    if (status != KAL_OK) {
        kal_message_drop(&m);
        live_feed_sub_fail(sub, &err);
    } else if (!send_message(&m, sub)) {
        fail_memory(sub);
    } else if (!has_more) {
        sub->state = LIVE_LIVE;
        live_feed_sub_catch_up(sub);
    }
}

/* Once the client has room for it. */
static void give_batch(live_feed_sub *sub)
{
    sub->owes_batch = sub->client->is_full;
    if (!sub->owes_batch)
        send_batch(sub);
}

static void begin_batches(live_feed_sub *sub)
{
    sub->told = live_picture_retain(sub->feed->picture);
    sub->state = LIVE_BATCHES;
    send_ack(sub);
    if (sub->failure == NULL)
        give_batch(sub);
}

/* ---- changes ---- */

static void tell(live_feed_sub *sub, const live_feed_change *change)
{
    live_client_send(sub->client, sub->head, change->body);
    if (!sub->counts)
        return;
    atomic_fetch_add_explicit(&sub->changes, 1, memory_order_relaxed);
    atomic_store_explicit(&sub->last_update_us, kal_clock_wall_us(options_of(sub)->clock),
                          memory_order_relaxed);
}

static void note_lag(live_feed_sub *sub)
{
    atomic_store_explicit(&sub->lag, sub->feed->picture->seq - sub->told->seq,
                          memory_order_relaxed);
}

static void fail_slow(live_feed_sub *sub)
{
    kal_error err = KAL_ERROR_INIT;
    kal_error_set(&err, KAL_LIMIT, "the client does not read as fast as rows change");
    kal_error_code(&err, "SLOW_CONSUMER");
    live_feed_sub_fail(sub, &err);
}

/* What is being told, as the client takes it. */
static void deliver(live_feed_sub *sub)
{
    const live_feed_kind *kind = sub->feed->kind;
    live_diff *diff = sub->telling;
    kal_error err = KAL_ERROR_INIT;

    sub->state = LIVE_DELIVERING;
    while (sub->next_change < diff->changes.len) {
        const live_feed_change *change = &diff->changes.items[sub->next_change];
        if (wants(sub, change->before) || wants(sub, change->after)) {
            if (sub->client->is_full) {
                note_lag(sub);
                if (sub->on_slow == KAL_LIVE_CLOSE)
                    fail_slow(sub);
                return;
            }
            tell(sub, change);
            if (kind->is_last != NULL && kind->is_last(&sub->target, change, &err)) {
                live_feed_sub_fail(sub, &err);
                return;
            }
        }
        sub->next_change++;
    }
    live_picture_release(sub->told);
    sub->told = live_picture_retain(diff->to);
    sub->telling = NULL;
    live_diff_release(diff);
    sub->state = LIVE_LIVE;
    note_lag(sub);
}

static void take_diff(live_feed_sub *sub, live_diff *diff)
{
    sub->telling = diff;
    diff->refs++;
    sub->next_change = 0;
    deliver(sub);
    live_feed_sub_catch_up(sub);
}

void live_feed_sub_catch_up(live_feed_sub *sub)
{
    kal_error err = KAL_ERROR_INIT;

    if (sub->failure != NULL || sub->task != NULL ||
        (sub->state != LIVE_LIVE && sub->state != LIVE_BEHIND))
        return;
    note_lag(sub);
    if (sub->told == sub->feed->picture) {
        sub->state = LIVE_LIVE;
        return;
    }
    sub->state = LIVE_BEHIND;
    if (sub->client->is_full) {
        if (sub->on_slow == KAL_LIVE_CLOSE)
            fail_slow(sub);
        return;
    }
    if (live_feed_compare(sub, &err) == KAL_OK) /* else the next tick tries again */
        sub->state = LIVE_REPLAYING;
}

void live_feed_sub_read(live_feed_sub *sub, uint64_t number, live_diff *diff)
{
    if (sub->failure != NULL)
        return;
    if (sub->state == LIVE_LOADING && number >= sub->waits_for)
        begin_batches(sub);
    else if (sub->state == LIVE_LIVE && diff != NULL && sub->told == diff->from)
        take_diff(sub, diff);
    else if (sub->state != LIVE_LOADING)
        live_feed_sub_catch_up(sub);
}

void live_feed_sub_compared(live_feed_sub *sub, live_feed_task *task)
{
    sub->task = NULL;
    if (sub->failure != NULL)
        return;
    sub->state = LIVE_BEHIND;
    if (task->base.status == KAL_STALE) {
        if (sub->feed->picture != task->to) /* else the next one is on its way */
            live_feed_sub_catch_up(sub);
    } else if (task->base.status != KAL_OK) {
        live_feed_sub_fail(sub, &task->base.error);
    } else if (task->diff != NULL) {
        take_diff(sub, task->diff);
    } else {
        live_picture_release(sub->told);
        sub->told = live_picture_retain(task->to);
        live_feed_sub_catch_up(sub);
    }
}

/* ---- ending ---- */

static void free_sub(live_feed_sub *sub)
{
    kal_live_client *client = sub->client;
    kal_live_worker *w = client->worker;

    pthread_mutex_lock(&w->registry_lock);
    kal_list_remove(&sub->link);
    client->sub_count--;
    w->sub_count--;
    pthread_mutex_unlock(&w->registry_lock);
    kal_list_remove(&sub->feed_link);
    kal_list_remove(&sub->failed_link);
    if (sub->task != NULL) {
        atomic_store(&sub->task->base.is_cancelled, true);
        sub->task->sub = NULL; /* only the worker's thread looks at it */
    }
    kal_gauge_remove(&w->live->subs);
    live_user_leave(sub->user);
    live_diff_release(sub->telling);
    live_picture_release(sub->told);
    live_feed_release(sub->feed);
    kal_message_head_free(sub->head);
    free((void *)sub->target.ns.ptr);
    free((void *)sub->target.name.ptr);
    free((void *)sub->sql.ptr);
    free(sub->failure);
    free(sub->id);
    free(sub);
}

static void end_sub(live_feed_sub *sub, const kal_error *err)
{
    kal_message_writer m; /* owned */

    message_begin(&m, sub, "error");
    kal_message_error(&m, err);
    if (!send_message(&m, sub)) /* without a word it would seem to go on */
        sub->client->ops->expel(sub->client->connection, err);
    free_sub(sub);
}

void live_feed_sub_fail(live_feed_sub *sub, const kal_error *err)
{
    if (sub->failure != NULL)
        return;
    sub->failure = malloc(sizeof *sub->failure);
    if (sub->failure == NULL)
        kal_die("out of memory: live queries");
    *sub->failure = *err;
    kal_list_push_back(&sub->client->worker->failed_feed_subs, &sub->failed_link);
}

void live_feed_subs_end_failed(kal_live_worker *w)
{
    kal_list *link;
    while ((link = kal_list_pop_front(&w->failed_feed_subs)) != NULL) {
        live_feed_sub *sub = KAL_CONTAINER_OF(link, live_feed_sub, failed_link);
        kal_error err = *sub->failure;
        end_sub(sub, &err);
    }
}

static live_feed_sub *find_sub(const kal_live_client *client, kal_bytes id)
{
    KAL_LIST_FOR_EACH (link, &client->feed_subs) {
        live_feed_sub *sub = KAL_CONTAINER_OF(link, live_feed_sub, link);
        if (kal_bytes_equal(kal_cstr(sub->id), id))
            return sub;
    }
    return NULL;
}

bool live_feed_has(const kal_live_client *client, kal_bytes id)
{
    return find_sub(client, id) != NULL;
}

bool live_feed_next_batch(kal_live_client *client, kal_bytes id)
{
    live_feed_sub *sub = find_sub(client, id);

    if (sub != NULL && sub->state == LIVE_BATCHES && sub->failure == NULL && !sub->owes_batch)
        give_batch(sub);
    live_feed_subs_end_failed(client->worker);
    return sub != NULL;
}

bool live_feed_unsubscribe(kal_live_client *client, kal_bytes id)
{
    live_feed_sub *sub = find_sub(client, id);

    if (sub != NULL)
        free_sub(sub);
    return sub != NULL;
}

bool live_feed_kill(kal_live_worker *w, uint64_t number, const kal_error *err)
{
    KAL_LIST_FOR_EACH (client_link, &w->clients) {
        kal_live_client *client = KAL_CONTAINER_OF(client_link, kal_live_client, link);
        KAL_LIST_FOR_EACH (link, &client->feed_subs) {
            live_feed_sub *sub = KAL_CONTAINER_OF(link, live_feed_sub, link);
            if (sub->number != number)
                continue;
            end_sub(sub, err);
            return true;
        }
    }
    return false;
}

void live_feed_close_client(kal_live_client *client)
{
    while (!kal_list_empty(&client->feed_subs))
        free_sub(KAL_CONTAINER_OF(client->feed_subs.next, live_feed_sub, link));
}

void live_feed_writable(kal_live_client *client)
{
    KAL_LIST_FOR_EACH (link, &client->feed_subs) {
        live_feed_sub *sub = KAL_CONTAINER_OF(link, live_feed_sub, link);
        if (client->is_full)
            break;
        if (sub->owes_batch && sub->failure == NULL)
            give_batch(sub);
        else if (sub->state == LIVE_DELIVERING && sub->failure == NULL)
            deliver(sub);
        live_feed_sub_catch_up(sub);
    }
    live_feed_subs_end_failed(client->worker);
}

/* ---- what there is ---- */

static kal_live_info info_of(const live_feed_sub *sub)
{
    const live_query *query = sub->feed->query;
    kal_live_info info = {
        .connection = sub->client->number,
        .user_no = sub->client->principal.user_no,
        .user_id = sub->client->principal.user_id,
        .query_id = sub->id,
        .query = sub->sql,
        .namespace_id = query != NULL ? query->table->def->namespace_id : sub->target.ns,
        .table_name = query != NULL ? query->table->def->table_name : sub->target.name,
        .state = live_state_name(atomic_load(&sub->state)),
        .on_slow = live_slow_name(sub->on_slow),
        .batch_size = sub->batch_size,
        .created_at_us = sub->created_at_us,
        .last_update_us = atomic_load(&sub->last_update_us),
        .changes = atomic_load(&sub->changes),
        .lag = atomic_load(&sub->lag),
    };
    live_format_id(sub->number, info.live_id);
    return info;
}

kal_status live_feed_each(const kal_live_client *client, kal_live_info_visit visit, void *context,
                          kal_error *err)
{
    KAL_LIST_FOR_EACH (link, &client->feed_subs) {
        kal_live_info info = info_of(KAL_CONTAINER_OF(link, live_feed_sub, link));
        KAL_TRY(visit(context, &info, err));
    }
    return KAL_OK;
}

/* ---- beginning ---- */

static kal_status refuse_options(const live_options *o, kal_error *err)
{
    const char *option = o->has_from        ? "from"
                         : o->wants_hash    ? "hash"
                         : o->last_rows > 0 ? "last_rows"
                                            : NULL;
    if (option == NULL)
        return KAL_OK;
    kal_error_set(err, KAL_UNSUPPORTED,
                  "a live query of schemas or of a system table has no '%s': its changes are not "
                  "in the change log",
                  option);
    kal_error_hint(err, "subscribe without it and compare with the first rows");
    return KAL_UNSUPPORTED;
}

static kal_bytes copy_text(kal_bytes text)
{
    uint8_t *copy = malloc(text.len + 1);
    if (copy == NULL)
        kal_die("out of memory: live queries");
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return kal_bytes_of(copy, text.len);
}

static kal_status make_head(live_feed_sub *sub, kal_error *err)
{
    kal_message_writer m; /* owned */

    message_begin(&m, sub, sub->feed->kind->message);
    kal_status status =
        kal_message_head_make(kal_buf_bytes(&m.members), options_of(sub)->budget, &sub->head, err);
    kal_message_drop(&m);
    return status;
}

static bool is_of_live_queries(const live_feed *feed)
{
    uint32_t id = feed->query == NULL ? KAL_SYSTEM_NONE : feed->query->table->def->table_id;
    return id == KAL_SYSTEM_LIVE_QUERIES || id == KAL_SYSTEM_LIVE;
}

/* Takes the feed's reference. */
static live_feed_sub *make_sub(kal_live_client *client, live_feed *feed,
                               const live_feed_target *target, const kal_live_request *r,
                               kal_bytes sql)
{
    kal_live_worker *w = client->worker;
    live_feed_sub *sub = calloc(1, sizeof *sub);

    if (sub == NULL)
        kal_die("out of memory: live queries");
    sub->id = (char *)copy_text(r->id).ptr;
    sub->sql = copy_text(sql);
    sub->client = client;
    sub->feed = feed;
    sub->counts = !is_of_live_queries(feed);
    sub->target = *target;
    sub->target.ns = copy_text(target->ns);
    sub->target.name = copy_text(target->name);
    sub->number = atomic_fetch_add(&w->live->next_number, 1) + 1;
    sub->created_at_us = kal_clock_wall_us(options_of(sub)->clock);
    atomic_init(&sub->state, LIVE_LOADING);
    atomic_init(&sub->last_update_us, sub->created_at_us);
    kal_list_init(&sub->link);
    kal_list_init(&sub->feed_link);
    kal_list_init(&sub->failed_link);
    pthread_mutex_lock(&w->registry_lock);
    kal_list_push_back(&client->feed_subs, &sub->link);
    client->sub_count++;
    w->sub_count++;
    pthread_mutex_unlock(&w->registry_lock);
    kal_list_push_back(&feed->subs, &sub->feed_link);
    kal_gauge_add(&w->live->subs);
    return sub;
}

/* Takes the feed's reference. */
static kal_status begin(kal_live_client *client, live_feed *feed, const live_feed_target *target,
                        const kal_live_request *r, const kal_sql_live *parsed,
                        const live_options *options, kal_error *err)
{
    kal_live *live = client->worker->live;

    live_user *user = live_user_enter(live, client->principal.user_no); /* the subscription's */
    if (user == NULL) {
        live_feed_release(feed);
        return live_too_many("a user", live->options.per_user_max, err);
    }
    live_feed_sub *sub = make_sub(client, feed, target, r, parsed->text);
    sub->user = user;
    sub->batch_size = options->batch_size;
    sub->on_slow = options->on_slow;
    kal_status status = make_head(sub, err);
    if (status != KAL_OK) {
        free_sub(sub);
        return status;
    }
    sub->waits_for = feed->readings + 1;
    if (!feed->kind->is_polled && feed->picture != NULL &&
        feed->picture->generation == kal_catalog_generation(live->options.catalog) &&
        live_feed_covers(feed, sub))
        begin_batches(sub);
    else
        live_feed_need(feed);
    return KAL_OK;
}

/* ---- what is asked for ---- */

typedef struct asked {
    kal_arena arena; /* owned */
    kal_sql_live parsed;
    bool is_feed;
    live_feed_target target; /* of schemas; arena */
    live_query *query;       /* owned: of a system table */
} asked;

static void release_asked(asked *a)
{
    if (a->query != NULL)
        live_query_free_alone(a->query);
    kal_arena_release(&a->arena);
}

/* Errors in a text that is none of a feed are for others to find. */
static kal_status understand(kal_live *live, kal_catalog_worker *catalog,
                             const kal_principal *principal, kal_bytes sql, asked *a,
                             kal_error *err)
{
    kal_error ignored = KAL_ERROR_INIT;

    *a = (asked){0};
    kal_arena_init(&a->arena, live->options.budget);
    if (kal_sql_parse_live(sql, &a->arena, &a->parsed, &ignored) != KAL_OK)
        return KAL_OK;
    a->target.kind = a->parsed.kind;
    if (a->parsed.kind != KAL_SQL_LIVE_SELECT) {
        a->is_feed = true;
        return live_schema_target(live->options.catalog, catalog, &a->parsed, &a->target, err);
    }
    a->is_feed = live_polled_is(&a->parsed);
    return a->is_feed ? live_polled_bind(live, catalog, principal, sql, &a->query, err) : KAL_OK;
}

static live_feed *feed_of(kal_live_worker *w, asked *a)
{
    live_query *query = a->query;

    if (query == NULL)
        return live_feed_get(w, &live_schema_feed, (kal_bytes){0}, NULL);
    a->query = NULL;
    return live_feed_get(w, &live_polled_feed, query->share_key, query);
}

kal_status live_feed_subscribe(kal_live_client *client, kal_catalog_worker *catalog,
                               const kal_live_request *r, bool *is_feed_out, kal_error *err)
{
    kal_live_worker *w = client->worker;
    asked a; /* owned */

    kal_status status = understand(w->live, catalog, &client->principal, r->sql, &a, err);
    *is_feed_out = a.is_feed;
    live_options options = live_options_of(r, &a.parsed.options);
    if (status == KAL_OK && a.is_feed)
        status = refuse_options(&options, err);
    if (status == KAL_OK && a.is_feed)
        status = begin(client, feed_of(w, &a), &a.target, r, &a.parsed, &options, err);
    release_asked(&a);
    live_feed_subs_end_failed(w);
    return status;
}

typedef struct same_text {
    kal_bytes sql;
    kal_live_explanation *out;
} same_text;

static kal_status count_same_text(void *context, const kal_live_info *info, kal_error *err)
{
    same_text *s = context;
    (void)err;
    if (!kal_bytes_equal(info->query, s->sql))
        return KAL_OK;
    s->out->subscribers++;
    if (info->lag > s->out->lag)
        s->out->lag = info->lag;
    return KAL_OK;
}

kal_status live_feed_explain(kal_live *live, kal_catalog_worker *catalog,
                             const kal_principal *principal, kal_bytes sql,
                             kal_live_explanation *out, bool *is_feed_out, kal_error *err)
{
    asked a; /* owned */

    kal_status status = understand(live, catalog, principal, sql, &a, err);
    *is_feed_out = a.is_feed;
    if (status == KAL_OK && a.is_feed) {
        bool is_polled = a.query != NULL;
        out->kind = is_polled ? live_polled_feed.name : live_schema_feed.name;
        snprintf(out->index, sizeof out->index, "%s",
                 is_polled ? "none: read again about once a second"
                           : "none: compared after each change of the catalog");
        out->has_rest = is_polled && a.query->plan.where != NULL;
        out->is_shared = !is_polled || kal_load_be64(a.query->share_key.ptr) == 0;
        same_text same = {a.parsed.text, out};
        status = kal_live_each(live, principal->role >= KAL_ROLE_DBA ? 0 : principal->user_no,
                               count_same_text, &same, err);
    }
    release_asked(&a);
    return status;
}
