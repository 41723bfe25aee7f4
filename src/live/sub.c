/*
 * sub.c: one subscription: what it is told, in which order, and what happens while its client is
 * slow.
 *
 *     LOADING -> BATCHES -> DELIVERING -> LIVE <-> BEHIND -> REPLAYING -> DELIVERING -> LIVE
 *
 * Invariants:
 *   1. Everything up to `seq` was told, or waits in `ready`; what comes later waits in `waiting`,
 * or has_lost_waiting says that it has to be read from the log.
 *   2. A schema message comes before the first row of the new shape, also when changes that waited
 *      with it were dropped.
 *   3. Whatever cannot be told any more ends the subscription, with a message.
 */
#include "base/assert.h"
#include "live/feed.h"

#include <stdlib.h>

enum {
    ID_BYTES_MAX = 128,
};

static const kal_live_options *options_of(const live_sub *sub)
{
    return &sub->client->worker->live->options;
}

/* ---- messages ---- */

static void message_begin(kal_message_writer *m, const live_sub *sub, const char *type)
{
    kal_message_begin(m, type, options_of(sub)->budget);
    kal_message_text(m, "subscription_id", kal_cstr(sub->id));
}

static void fail_memory(live_sub *sub)
{
    kal_error err = KAL_ERROR_INIT;
    kal_error_set(&err, KAL_LIMIT, "the memory of live queries is used up");
    live_sub_fail(sub, UINT64_MAX, &err);
}

/* One reference; NULL when there is no memory for it, then the subscription ends. */
static kal_message_body *message_end(kal_message_writer *m, live_sub *sub)
{
    kal_message_body *body = kal_message_end(m);
    if (body == NULL)
        fail_memory(sub);
    return body;
}

static void message_send(kal_message_writer *m, live_sub *sub)
{
    kal_message_body *body = message_end(m, sub);
    if (body == NULL)
        return;
    live_client_send(sub->client, NULL, body);
    kal_message_body_release(body);
}

static void send_ack(live_sub *sub, size_t total_rows)
{
    kal_message_writer m; /* owned */

    message_begin(&m, sub, "subscription_ack");
    kal_message_key(&m, "total_rows");
    kal_json_u64(&m.json, total_rows);
    live_write_batch_control(&m, sub->batch_num, total_rows > 0, NULL);
    live_query_write_schema(sub->query, &m.json);
    m.count++;
    kal_message_key(&m, "schema_version");
    kal_json_u64(&m.json, sub->query->table->def->schema_version);
    message_send(&m, sub);
    sub->has_acked = true;
}

/* From the shape that the client knows to that of its query; one reference, or NULL. */
static kal_message_body *make_schema_message(live_sub *sub, const live_query *before)
{
    kal_message_writer m; /* owned */

    message_begin(&m, sub, "schema_change");
    kal_message_key(&m, "schema_version");
    kal_json_u64(&m.json, sub->query->table->def->schema_version);
    live_query_write_changes(before, sub->query, &m.json);
    m.count++;
    live_query_write_schema(sub->query, &m.json);
    m.count++;
    return message_end(&m, sub);
}

/* ---- lag ---- */

/* In changes that its query is concerned by: seqs would say how much others write. */
static void set_lag(live_sub *sub, uint64_t lag)
{
    atomic_store_explicit(&sub->lag, lag, memory_order_relaxed);
}

static uint64_t lag_of(const live_sub *sub)
{
    return atomic_load_explicit(&sub->lag, memory_order_relaxed);
}

static void add_lag(live_sub *sub, uint64_t changes)
{
    set_lag(sub, lag_of(sub) + changes);
}

/* ---- what waits ---- */

/* Changes that wait are let go, schema messages never. */
static void drop_changes(live_sub *sub)
{
    size_t kept = 0;
    for (size_t i = 0; i < sub->waiting.len; i++) {
        live_waiting waiting = sub->waiting.items[i];
        if (waiting.is_schema)
            sub->waiting.items[kept++] = waiting;
        else
            kal_message_body_release(waiting.body);
    }
    add_lag(sub, sub->waiting.len - kept);
    sub->waiting.len = kept;
    size_t left = kept * sizeof(live_waiting);
    if (sub->waiting_bytes > left)
        kal_budget_release(&sub->user->budget, sub->waiting_bytes - left);
    sub->waiting_bytes = left;
}

static void drop_waiting(live_sub *sub)
{
    for (size_t i = 0; i < sub->waiting.len; i++)
        kal_message_body_release(sub->waiting.items[i].body);
    kal_budget_release(&sub->user->budget, sub->waiting_bytes);
    sub->waiting_bytes = 0;
    kal_vec_release(&sub->waiting);
}

/* Schema messages that wait go out before what is read again. */
static void send_schemas(live_sub *sub)
{
    for (size_t i = 0; i < sub->waiting.len; i++) {
        if (sub->waiting.items[i].is_schema)
            live_client_send(sub->client, NULL, sub->waiting.items[i].body);
    }
    drop_waiting(sub);
}

static void lose_waiting(live_sub *sub)
{
    drop_changes(sub);
    sub->has_lost_waiting = true;
}

static void add_waiting(live_sub *sub, uint64_t seq, kal_message_body *body, bool is_schema)
{
    size_t bytes = sizeof(live_waiting) + kal_message_body_members(body).len;
    live_waiting waiting = {.seq = seq, .body = body, .is_schema = is_schema};

    if (sub->waiting_bytes + bytes > options_of(sub)->waiting_bytes_max ||
        !kal_budget_charge(&sub->user->budget, bytes)) {
        lose_waiting(sub);
        if (!is_schema) {
            add_lag(sub, 1);
            return;
        }
        bytes = sizeof(live_waiting); /* few, and they have to be kept */
        if (!kal_budget_charge(&sub->user->budget, bytes)) {
            fail_memory(sub);
            return;
        }
    }
    kal_message_body_retain(body);
    kal_vec_push(&sub->waiting, waiting);
    sub->waiting_bytes += bytes;
}

/* ---- telling ---- */

static kal_status make_head(const live_sub *sub, const char *hash, kal_message_head **out,
                            kal_error *err)
{
    kal_message_writer m; /* owned */

    message_begin(&m, sub, "change");
    if (hash != NULL)
        kal_message_text(&m, "state_hash", kal_cstr(hash));
    kal_status status =
        kal_message_head_make(kal_buf_bytes(&m.members), options_of(sub)->budget, out, err);
    kal_message_drop(&m);
    return status;
}

/* With the hash of what it has been told once it has been told this, when that is known. */
static void send_hashed(live_sub *sub, kal_message_body *body)
{
    const kal_message_note *note = kal_message_body_note(body);
    live_hash number = {note->low, note->high};
    char hex[LIVE_HASH_HEX_LEN + 1];
    kal_message_head *head = NULL; /* owned */
    kal_error err = KAL_ERROR_INIT;

    if (note->kind == LIVE_NOTE_DELTA)
        live_hash_add(&sub->hash, number);
    else if (note->kind == LIVE_NOTE_HASH)
        sub->hash = number;
    live_hash_hex(sub->hash, hex);
    if (make_head(sub, note->kind == LIVE_NOTE_NONE ? NULL : hex, &head, &err) != KAL_OK) {
        fail_memory(sub);
        return;
    }
    live_client_send(sub->client, head, body);
    kal_message_head_free(head);
}

static void tell(live_sub *sub, uint64_t seq, kal_message_body *body)
{
    uint64_t changes = atomic_load_explicit(&sub->changes, memory_order_relaxed);

    if (sub->wants_hash)
        send_hashed(sub, body);
    else
        live_client_send(sub->client, sub->head, body);
    sub->seq = seq;
    /* One thread writes: no need for a locked addition. */
    atomic_store_explicit(&sub->changes, changes + 1, memory_order_relaxed);
    if (lag_of(sub) > 0)
        set_lag(sub, lag_of(sub) - 1);
    atomic_store_explicit(&sub->last_update_us, sub->client->worker->now_us, memory_order_relaxed);
}

static void submit_task(live_sub *sub, live_task_kind kind)
{
    const kal_live_options *o = options_of(sub);
    kal_error err = KAL_ERROR_INIT;

    sub->task = live_task_make(sub, kind);
    if (kind == LIVE_TASK_REPLAY) {
        sub->task->from = sub->seq;
        sub->task->coalesce = sub->has_acked && sub->on_slow == KAL_LIVE_COALESCE;
        sub->task->may_use_rows = !sub->has_acked && !sub->wants_hash;
        sub->task->hashes_all = sub->wants_hash && !sub->has_acked && !sub->query->has_result;
    }
    kal_status status = o->ops->submit(o->context, sub->client->principal.user_no, sub->task, &err);
    if (status == KAL_OK)
        return;
    live_task_free(sub->client->worker, sub->task);
    sub->task = NULL;
    live_sub_fail(sub, UINT64_MAX, &err);
}

static void start_task(live_sub *sub, live_task_kind kind)
{
    KAL_ASSERT(sub->task == NULL);
    sub->state = kind == LIVE_TASK_REPLAY ? LIVE_REPLAYING : LIVE_LOADING;
    drop_waiting(sub); /* what it reads is as of later */
    sub->has_lost_waiting = false;
    if (!sub->query->has_result)
        submit_task(sub, kind);
    else if (sub->query->result.state == LIVE_RESULT_READY)
        live_sub_result_ready(sub);
    else
        live_result_need(sub->client->worker, sub->query);
}

static void start_replay(live_sub *sub)
{
    send_schemas(sub);
    start_task(sub, LIVE_TASK_REPLAY);
}

/* Everything up to seq was told. */
static void fall_behind(live_sub *sub, uint64_t seq)
{
    kal_error err = KAL_ERROR_INIT;

    sub->seq = seq;
    sub->state = LIVE_BEHIND;
    drop_changes(sub);
    if (sub->on_slow != KAL_LIVE_CLOSE)
        return;
    kal_error_set(&err, KAL_LIMIT, "the client does not read as fast as rows change");
    kal_error_code(&err, "SLOW_CONSUMER");
    live_sub_fail(sub, UINT64_MAX, &err);
}

static void catch_up_if_possible(live_sub *sub)
{
    if (sub->state == LIVE_BEHIND && !sub->client->is_full && sub->failure == NULL)
        start_replay(sub);
}

/* What waits, then everything as it comes. */
static void go_live(live_sub *sub)
{
    size_t i = 0;
    uint64_t had = sub->seq;    /* several changes of a result may have one seq */
    uint64_t before = sub->seq; /* of those that are being told */

    sub->state = LIVE_LIVE;
    while (i < sub->waiting.len && !sub->client->is_full) {
        const live_waiting *waiting = &sub->waiting.items[i++];
        if (waiting->is_schema) {
            live_client_send(sub->client, NULL, waiting->body);
        } else if (waiting->seq > had) {
            before = waiting->seq == sub->seq ? before : sub->seq;
            tell(sub, waiting->seq, waiting->body);
        }
        kal_message_body_release(waiting->body);
    }
    bool is_whole = i == sub->waiting.len && !sub->has_lost_waiting;
    if (i > 0)
        memmove(sub->waiting.items, sub->waiting.items + i,
                (sub->waiting.len - i) * sizeof(live_waiting));
    sub->waiting.len -= i;
    /* Of changes that belong together none was told as long as not all were. */
    bool is_cut = sub->waiting.len > 0 && !sub->waiting.items[0].is_schema &&
                  sub->waiting.items[0].seq == sub->seq;
    if (is_whole) {
        drop_waiting(sub);
        set_lag(sub, 0);
    } else {
        fall_behind(sub, is_cut ? before : sub->seq);
    }
    catch_up_if_possible(sub);
}

/* The changes that a task found, as the client takes them. */
static void deliver(live_sub *sub)
{
    kal_live_task *ready = sub->ready;

    sub->state = LIVE_DELIVERING;
    while (sub->next_body < ready->bodies.len) {
        if (sub->client->is_full)
            return;
        const live_waiting *change = &ready->bodies.items[sub->next_body++];
        tell(sub, change->seq, change->body);
    }
    sub->seq = ready->seq;
    live_task_free(sub->client->worker, ready);
    sub->ready = NULL;
    go_live(sub);
}

/* Rows from next_row on that make up a batch. */
static size_t batch_end(const live_sub *sub)
{
    const kal_live_task *ready = sub->ready;
    size_t end = sub->next_row;
    size_t bytes = 0;

    while (end < ready->rows.len && end - sub->next_row < sub->batch_size) {
        bytes += ready->rows.items[end].len + 1;
        if (bytes > LIVE_BATCH_BYTES_MAX && end > sub->next_row)
            break;
        end++;
    }
    return end;
}

static void write_hash(kal_message_writer *m, const live_sub *sub)
{
    char hex[LIVE_HASH_HEX_LEN + 1];
    live_hash_hex(sub->hash, hex);
    kal_message_key(m, "state_hash");
    kal_json_cstr(&m->json, hex);
}

static void send_batch(live_sub *sub)
{
    const kal_live_task *ready = sub->ready;
    size_t end = batch_end(sub);
    bool has_more = end < ready->rows.len;
    uint64_t seq = has_more ? ready->rows.items[end - 1].seq : ready->seq;
    if (ready->bodies.len > 0) /* which come afterwards: without them it has what it had */
        seq = ready->from;
    kal_message_writer m; /* owned */

    message_begin(&m, sub, "initial_data_batch");
    kal_message_key(&m, "rows");
    kal_json_begin_array(&m.json);
    for (; sub->next_row < end; sub->next_row++) {
        const live_row *row = &ready->rows.items[sub->next_row];
        kal_json_raw(&m.json, kal_bytes_of(ready->text.ptr + row->offset, row->len));
    }
    kal_json_end_array(&m.json);
    /* What somebody has of a result who is about to be told what changed, only he knows. */
    if (sub->wants_hash && !has_more && !(sub->query->has_result && ready->bodies.len > 0))
        write_hash(&m, sub);
    live_write_batch_control(&m, sub->batch_num, has_more, &seq);
    sub->batch_num++;
    message_send(&m, sub);
    if (!has_more && sub->failure == NULL)
        deliver(sub);
}

/* Once the client has room for it: first rows of many subscriptions may come at once. */
static void give_batch(live_sub *sub)
{
    sub->owes_batch = sub->client->is_full;
    if (!sub->owes_batch)
        send_batch(sub);
}

/* ---- from the worker ---- */

bool live_sub_wants(live_sub *sub, uint64_t seq)
{
    if (seq <= sub->seq || sub->failure != NULL)
        return false;
    if (sub->state != LIVE_BEHIND && !sub->has_lost_waiting)
        return true;
    add_lag(sub, 1);
    return false;
}

void live_sub_change(live_sub *sub, uint64_t seq, kal_message_body *body)
{
    if (sub->state != LIVE_LIVE) {
        add_waiting(sub, seq, body, false);
    } else if (sub->client->is_full) {
        add_lag(sub, 1);
        fall_behind(sub, seq - 1);
    } else {
        tell(sub, seq, body);
    }
}

void live_sub_group_change(live_sub *sub, uint64_t first, uint64_t last, bool is_first,
                           kal_message_body *body)
{
    if (is_first)
        sub->takes_groups = live_sub_wants(sub, last);
    if (!sub->takes_groups)
        return;
    if (sub->state != LIVE_LIVE) {
        add_waiting(sub, last, body, false);
    } else if (!sub->client->is_full) {
        tell(sub, last, body);
    } else {
        sub->takes_groups = false;
        add_lag(sub, 1);
        fall_behind(sub, first - 1); /* it is told all of them again */
    }
}

void live_sub_lost(live_sub *sub)
{
    uint64_t matched = sub->client->worker->seqs[sub->query->shard];

    if (sub->state == LIVE_LIVE) {
        fall_behind(sub, matched > sub->seq ? matched : sub->seq);
        catch_up_if_possible(sub);
    } else if (sub->state != LIVE_BEHIND) {
        lose_waiting(sub);
    }
}

/* The task's query is not that of the subscription any more: its rows would be of the old shape. */
static void run_again(live_sub *sub, const kal_live_task *task)
{
    live_task_kind kind = task->kind;
    start_task(sub, kind);
}

/* Of what the client has before it is told the changes of the task. */
static live_hash hash_before(const kal_live_task *task)
{
    live_hash hash = task->hash;
    for (size_t i = 0; i < task->bodies.len; i++) {
        const kal_message_note *note = kal_message_body_note(task->bodies.items[i].body);
        if (note->kind == LIVE_NOTE_DELTA)
            live_hash_remove(&hash, (live_hash){note->low, note->high});
    }
    return hash;
}

/* What was read is there. */
static void take_ready(live_sub *sub, kal_live_task *task)
{
    sub->ready = task;
    sub->next_row = 0;
    sub->next_body = 0;
    if (sub->has_acked) {
        deliver(sub);
        return;
    }
    if (sub->wants_hash)
        sub->hash = hash_before(task);
    send_ack(sub, task->rows.len);
    sub->state = LIVE_BATCHES;
    if (sub->failure == NULL)
        give_batch(sub);
}

static void take_or_fail(live_sub *sub, kal_live_task *task, kal_status status,
                         const kal_error *err)
{
    if (status == KAL_OK) {
        take_ready(sub, task);
        return;
    }
    live_sub_fail(sub, UINT64_MAX, err);
    live_task_free(sub->client->worker, task);
}

/* touched: what the log said, or NULL. */
static void take_group_changes(live_sub *sub, const kal_live_task *touched)
{
    kal_error err = KAL_ERROR_INIT;
    kal_status status = KAL_OK;
    kal_live_task *task = live_result_changes(sub, touched, &status, &err); /* owned */
    take_or_fail(sub, task, status, &err);
}

void live_sub_result_ready(live_sub *sub)
{
    kal_error err = KAL_ERROR_INIT;
    kal_status status = KAL_OK;

    if (sub->failure != NULL || sub->task != NULL)
        return;
    if (sub->state == LIVE_LOADING) {
        kal_live_task *task = live_result_rows(sub, &status, &err); /* owned */
        take_or_fail(sub, task, status, &err);
    } else if (sub->state == LIVE_REPLAYING && live_result_knows(sub)) {
        take_group_changes(sub, NULL);
    } else if (sub->state == LIVE_REPLAYING) {
        submit_task(sub, LIVE_TASK_REPLAY);
    }
}

/* The log said which groups were changed; the result says what they are now. */
static void take_touched(live_sub *sub, const kal_live_task *touched)
{
    if (sub->query->result.state == LIVE_RESULT_READY)
        take_group_changes(sub, touched);
    else
        live_result_need(sub->client->worker, sub->query);
}

void live_sub_task_done(kal_live_worker *w, kal_live_task *task)
{
    live_sub *sub = task->sub;
    bool is_taken = false;

    if (sub != NULL) {
        sub->task = NULL;
        if (sub->query != task->query) {
            run_again(sub, task);
        } else if (task->status != KAL_OK) {
            live_sub_fail(sub, UINT64_MAX, &task->error);
        } else if (sub->query->has_result) {
            take_touched(sub, task);
        } else {
            is_taken = true;
            take_ready(sub, task);
        }
    }
    if (!is_taken)
        live_task_free(w, task);
    live_subs_end_failed(w);
}

static void tell_schema(live_sub *sub, const live_query *before)
{
    if (!sub->has_acked)
        return;                                                /* the acknowledgement will say it */
    kal_message_body *body = make_schema_message(sub, before); /* owned */
    if (body == NULL)
        return;
    if (sub->state == LIVE_BATCHES || sub->state == LIVE_DELIVERING)
        add_waiting(sub, 0, body, true); /* rows of the old shape come first */
    else
        live_client_send(sub->client, NULL, body);
    kal_message_body_release(body);
}

static void fail_shape(live_sub *sub)
{
    kal_error err = KAL_ERROR_INIT;

    kal_error_set(&err, KAL_CONFLICT,
                  "the rows of the live query have another shape now: subscribe "
                  "again without 'from'");
    kal_error_code(&err, "RESYNC_REQUIRED");
    live_sub_fail(sub, UINT64_MAX, &err);
}

/* The result of the query that it is of now is another one, as of a later seq: what was between has
 * to be read from the log. */
static void change_result(live_sub *sub)
{
    uint64_t matched = sub->client->worker->seqs[sub->query->shard];

    switch (atomic_load(&sub->state)) {
    case LIVE_LIVE:
        sub->seq = matched > sub->seq ? matched : sub->seq;
        start_task(sub, LIVE_TASK_REPLAY);
        break;
    case LIVE_BATCHES:
    case LIVE_DELIVERING:
        lose_waiting(sub);
        break;
    case LIVE_LOADING:
    case LIVE_REPLAYING:
        if (sub->query->result.state == LIVE_RESULT_READY)
            live_sub_result_ready(sub);
        break;
    case LIVE_BEHIND:
        break;
    }
    if (sub->query->result.state == LIVE_RESULT_NONE)
        live_result_need(sub->client->worker, sub->query);
}

/* A result goes on, unless its rows are of another shape now. */
static void move_result(live_sub *sub, const live_query *before, bool with_result)
{
    if (!live_query_results_alike(before, sub->query))
        fail_shape(sub);
    else if (!with_result)
        change_result(sub);
}

void live_sub_move(live_sub *sub, live_query *query, bool with_result)
{
    kal_live_worker *w = sub->client->worker;
    const kal_live_options *o = options_of(sub);
    live_query *old = sub->query;
    kal_error err = KAL_ERROR_INIT;

    pthread_mutex_lock(&w->registry_lock);
    kal_list_remove(&sub->query_link);
    old->hash_subs -= sub->wants_hash;
    query->hash_subs += sub->wants_hash;
    sub->query = live_query_retain(query);
    kal_list_push_back(&query->subs, &sub->query_link);
    pthread_mutex_unlock(&w->registry_lock);
    kal_status status = o->ops->may_read(&sub->client->principal, query->table, &err);
    if (status != KAL_OK)
        live_sub_fail(sub, UINT64_MAX, &err);
    else if (query->has_result)
        move_result(sub, old, with_result);
    else if (!live_query_has_same_schema(old, query) && sub->wants_hash)
        fail_shape(sub);
    else if (!live_query_has_same_schema(old, query))
        tell_schema(sub, old);
    live_query_release(w, old);
    live_subs_end_failed(w);
}

/* ---- beginning and ending ---- */

static void free_sub(live_sub *sub)
{
    kal_live_client *client = sub->client;
    kal_live_worker *w = client->worker;
    uint32_t table_id = sub->query->table->def->table_id;

    pthread_mutex_lock(&w->registry_lock);
    kal_list_remove(&sub->link);
    kal_list_remove(&sub->query_link);
    sub->query->hash_subs -= sub->wants_hash;
    client->sub_count--;
    w->sub_count--;
    pthread_mutex_unlock(&w->registry_lock);
    kal_list_remove(&sub->failed_link);
    if (sub->task != NULL) {
        atomic_store(&sub->task->is_cancelled, true);
        sub->task->sub = NULL; /* only the worker's thread looks at it */
    }
    live_task_free(w, sub->ready);
    drop_waiting(sub);
    live_interest_remove(w->live, table_id, w->index);
    kal_gauge_remove(&w->live->subs);
    live_query_release(w, sub->query);
    live_user_leave(sub->user);
    kal_message_head_free(sub->head);
    free(sub->failure);
    free(sub->id);
    free(sub);
}

void live_sub_end(live_sub *sub, const kal_error *err)
{
    kal_message_writer m; /* owned */

    message_begin(&m, sub, "error");
    kal_message_error(&m, err);
    kal_message_body *body = kal_message_end(&m); /* owned */
    if (body != NULL)
        live_client_send(sub->client, NULL, body);
    else /* without a word it would seem to go on */
        sub->client->ops->expel(sub->client->connection, err);
    kal_message_body_release(body);
    free_sub(sub);
}

void live_sub_fail(live_sub *sub, uint64_t seq, const kal_error *err)
{
    kal_live_worker *w = sub->client->worker;

    if (sub->failure != NULL || (seq <= sub->seq && sub->state == LIVE_LIVE))
        return;
    sub->failure = malloc(sizeof *sub->failure);
    if (sub->failure == NULL)
        kal_die("out of memory: live queries");
    *sub->failure = *err;
    kal_list_push_back(&w->failed, &sub->failed_link);
}

void live_subs_end_failed(kal_live_worker *w)
{
    kal_list *link;
    while ((link = kal_list_pop_front(&w->failed)) != NULL) {
        live_sub *sub = KAL_CONTAINER_OF(link, live_sub, failed_link);
        kal_error err = *sub->failure;
        live_sub_end(sub, &err);
    }
}

static live_sub *find_sub(const kal_live_client *client, kal_bytes id)
{
    KAL_LIST_FOR_EACH (link, &client->subs) {
        live_sub *sub = KAL_CONTAINER_OF(link, live_sub, link);
        if (kal_bytes_equal(kal_cstr(sub->id), id))
            return sub;
    }
    return NULL;
}

static kal_status check_id(const kal_live_client *client, kal_bytes id, kal_error *err)
{
    const char *why = NULL;

    if (id.len == 0)
        why = "a subscription has an id, which is a text";
    else if (id.len > ID_BYTES_MAX)
        why = "the id of a subscription has at most 128 bytes";
    else if (memchr(id.ptr, 0, id.len) != NULL || !kal_utf8_valid(id))
        why = "the id of a subscription is not a text";
    else if (find_sub(client, id) != NULL || live_feed_has(client, id))
        why = "there is a subscription with this id already";
    if (why == NULL)
        return KAL_OK;
    kal_error_set(err, KAL_INVALID, "%s", why);
    kal_error_code(err, "INVALID_SUBSCRIPTION_ID");
    return KAL_INVALID;
}

static live_sub *make_sub(kal_live_client *client, live_query *query, live_user *user, kal_bytes id)
{
    kal_live_worker *w = client->worker;
    live_sub *sub = kal_cache_lines_alloc(sizeof *sub, "live queries");

    sub->id = malloc(id.len + 1);
    if (sub->id == NULL)
        kal_die("out of memory: live queries");
    memcpy(sub->id, id.ptr, id.len);
    sub->id[id.len] = '\0';
    sub->client = client;
    sub->query = query;
    sub->user = user;
    sub->number = atomic_fetch_add(&w->live->next_number, 1) + 1;
    sub->created_at_us = kal_clock_wall_us(w->live->options.clock);
    atomic_init(&sub->last_update_us, sub->created_at_us);
    kal_list_init(&sub->link);
    kal_list_init(&sub->query_link);
    kal_list_init(&sub->failed_link);
    pthread_mutex_lock(&w->registry_lock);
    kal_list_push_back(&client->subs, &sub->link);
    kal_list_push_back(&query->subs, &sub->query_link);
    client->sub_count++;
    w->sub_count++;
    pthread_mutex_unlock(&w->registry_lock);
    live_interest_add(w->live, query->table->def->table_id, w->index);
    kal_gauge_add(&w->live->subs);
    return sub;
}

static kal_status want_hash(live_sub *sub, kal_error *err)
{
    if (sub->last_rows > 0) {
        kal_error_set(err, KAL_INVALID, "a hash is of all rows: it does not go with 'last_rows'");
        kal_error_code(err, "INVALID_OPTION");
        return KAL_INVALID;
    }
    if (sub->query->table->def->table_type == KAL_TABLE_STREAM)
        return kal_error_set(err, KAL_UNSUPPORTED,
                             "a live query of a STREAM table has no hash: its rows leave by age, "
                             "without a change");
    sub->wants_hash = true;
    sub->query->hash_subs++;
    return KAL_OK;
}

static kal_status begin(kal_live_client *client, kal_catalog_worker *catalog,
                        const kal_live_request *r, kal_error *err)
{
    kal_sql_live_options sql_options = {0};
    kal_live *live = client->worker->live;
    live_query *query = NULL; /* the subscription's */
    kal_status status = KAL_OK;

    KAL_TRY(live_query_get(client->worker, catalog, &client->principal, r->sql, &query,
                           &sql_options, err));
    live_user *user = live_user_enter(live, client->principal.user_no); /* the subscription's */
    if (user == NULL) {
        live_query_release(client->worker, query);
        return live_too_many("a user", live->options.per_user_max, err);
    }
    live_sub *sub = make_sub(client, query, user, r->id);
    live_options options = live_options_of(r, &sql_options);
    sub->batch_size = options.batch_size;
    sub->last_rows = options.last_rows;
    sub->on_slow = options.on_slow;
    status = make_head(sub, NULL, &sub->head, err);
    if (status == KAL_OK && options.wants_hash)
        status = want_hash(sub, err);
    if (status != KAL_OK) {
        free_sub(sub);
        return status;
    }
    if (options.has_from) {
        sub->seq = options.from;
        start_task(sub, LIVE_TASK_REPLAY);
    } else {
        start_task(sub, LIVE_TASK_FIRST_ROWS);
    }
    return KAL_OK;
}

kal_status kal_live_subscribe(kal_live_client *client, kal_catalog_worker *catalog,
                              const kal_live_request *r, kal_error *err)
{
    kal_live *live = client->worker->live;

    KAL_TRY(check_id(client, r->id, err));
    if (client->sub_count >= live->options.per_client_max)
        return live_too_many("a connection", live->options.per_client_max, err);
    bool is_feed = false;
    KAL_TRY(live_feed_subscribe(client, catalog, r, &is_feed, err));
    if (is_feed)
        return KAL_OK;
    kal_status status = begin(client, catalog, r, err);
    live_subs_end_failed(client->worker);
    return status;
}

static kal_status unknown_sub(kal_bytes id, kal_error *err)
{
    kal_error_set(err, KAL_NOT_FOUND, "there is no subscription '%.*s'", KAL_FMT(id));
    return KAL_NOT_FOUND;
}

kal_status kal_live_next_batch(kal_live_client *client, kal_bytes id, kal_error *err)
{
    live_sub *sub = find_sub(client, id);

    if (sub == NULL)
        return live_feed_next_batch(client, id) ? KAL_OK : unknown_sub(id, err);
    live_worker_look_at_clock(client->worker);
    if (sub->state == LIVE_BATCHES && !sub->owes_batch)
        give_batch(sub);
    live_subs_end_failed(client->worker);
    return KAL_OK;
}

kal_status kal_live_unsubscribe(kal_live_client *client, kal_bytes id, kal_error *err)
{
    live_sub *sub = find_sub(client, id);

    if (sub == NULL)
        return live_feed_unsubscribe(client, id) ? KAL_OK : unknown_sub(id, err);
    free_sub(sub);
    return KAL_OK;
}

/* ---- clients ---- */

kal_live_client *kal_live_client_open(kal_live_worker *w, const kal_principal *principal,
                                      uint32_t token_generation, const kal_live_client_ops *ops,
                                      void *connection)
{
    kal_live_client *client = kal_cache_lines_alloc(sizeof *client, "live queries");

    client->worker = w;
    client->principal = *principal;
    client->token_generation = token_generation;
    client->ops = ops;
    client->connection = connection;
    client->number = atomic_fetch_add(&w->live->next_number, 1) + 1;
    kal_list_init(&client->subs);
    kal_list_init(&client->feed_subs);
    pthread_mutex_lock(&w->registry_lock);
    kal_list_push_back(&w->clients, &client->link);
    pthread_mutex_unlock(&w->registry_lock);
    return client;
}

bool kal_live_client_renew(kal_live_client *client, const kal_principal *principal,
                           uint32_t token_generation)
{
    if (client->principal.user_no != principal->user_no ||
        client->principal.role != principal->role)
        return false;
    client->token_generation = token_generation;
    return true;
}

void kal_live_client_close(kal_live_client *client)
{
    if (client == NULL)
        return;
    while (!kal_list_empty(&client->subs))
        free_sub(KAL_CONTAINER_OF(client->subs.next, live_sub, link));
    live_feed_close_client(client);
    pthread_mutex_lock(&client->worker->registry_lock);
    kal_list_remove(&client->link);
    pthread_mutex_unlock(&client->worker->registry_lock);
    free(client);
}

void kal_live_client_writable(kal_live_client *client)
{
    client->is_full = false;
    live_worker_look_at_clock(client->worker);
    KAL_LIST_FOR_EACH (link, &client->subs) {
        live_sub *sub = KAL_CONTAINER_OF(link, live_sub, link);
        if (client->is_full)
            break;
        if (sub->owes_batch)
            give_batch(sub);
        else if (sub->state == LIVE_DELIVERING)
            deliver(sub);
        else
            catch_up_if_possible(sub);
    }
    live_feed_writable(client);
    live_subs_end_failed(client->worker);
}
