/*
 * result.c: the maintained result of a live query with groups or with ORDER BY ... LIMIT, shared by
 * its subscriptions.
 *
 *     NONE --first subscription--> LOADING --rows as of one snapshot, then what came since--> READY
 *
 * Changes that come while it loads are kept, in bounded memory, and applied afterwards. What one
 * commit does to the result is told at its end, each row once; of several messages only the last
 * one has the commit's seq, the others that before it: whoever goes on from there is told the rest.
 *
 * The first rows of an order are loaded again when too many have left; meanwhile what is shown
 * stays, and afterwards the difference is told.
 *
 * Who was behind or comes back is told the rows that changed since, as they are now. When that is
 * longer ago than the result, the log says which groups these are, or what the first rows were.
 */
#include "base/assert.h"
#include "base/json_writer.h"
#include "live/live_internal.h"

#include <stdlib.h>

enum { QUEUE_BYTES_MAX = 4 * 1024 * 1024 };

static kal_budget *budget_of(const kal_live_worker *w)
{
    return w->live->options.budget;
}

/* ---- messages ---- */

/* A group has no _seq among its members; a row has. */
static void write_rows(kal_message_writer *m, const char *key, kal_bytes members, uint64_t seq,
                       bool adds_seq)
{
    kal_value value = kal_value_bigint((int64_t)seq);

    kal_message_key(m, key);
    kal_buf_append_cstr(&m->members, "[{");
    kal_buf_append_bytes(&m->members, members);
    if (adds_seq) {
        kal_buf_append_cstr(&m->members, ",\"_seq\":");
        kal_value_write_json(&value, &m->json); /* the value of the key, as far as json knows */
    }
    kal_buf_append_cstr(&m->members, "}]");
    m->json.after_key = false;
}

/* The shared part of a message; NULL: no memory. */
static kal_message_body *make_body(kal_budget *budget, const live_query *q,
                                   const live_shown_change *change, uint64_t seq)
{
    kal_message_writer m; /* the body's */
    bool is_there = change->after.len > 0;
    bool was_there = change->before.len > 0;

    kal_message_begin(&m, NULL, budget);
    kal_message_text(&m, "change_type",
                     kal_cstr(!was_there ? "insert"
                              : is_there ? "update"
                                         : "delete"));
    if (is_there)
        write_rows(&m, "rows", change->after, seq, q->plan.is_grouped);
    if (was_there)
        write_rows(&m, "old_values", change->before, seq, q->plan.is_grouped);
    kal_message_key(&m, "seq");
    kal_json_u64(&m.json, seq);
    return kal_message_end(&m);
}

/* ---- the hash of what is shown ---- */

static kal_status change_hash(kal_live_worker *w, live_query *q, const live_shown_change *change,
                              kal_error *err)
{
    live_hash row;

    if (change->after.len > 0) {
        KAL_TRY(live_hash_row(&q->plan, change->after, budget_of(w), &row, err));
        live_hash_add(&q->result.hash, row);
    }
    if (change->before.len > 0) {
        KAL_TRY(live_hash_row(&q->plan, change->before, budget_of(w), &row, err));
        live_hash_remove(&q->result.hash, row);
    }
    return KAL_OK;
}

typedef struct hashing {
    kal_live_worker *worker;
    live_query *query;
} hashing;

static kal_status hash_shown(void *context, const live_shown_change *row, kal_error *err)
{
    const hashing *h = context;
    return change_hash(h->worker, h->query, row, err);
}

/* From the first subscription on that wants it. */
static kal_status need_hash(kal_live_worker *w, live_query *q, kal_error *err)
{
    live_result *r = &q->result;
    hashing h = {w, q};

    if (r->has_hash || q->hash_subs == 0)
        return KAL_OK;
    r->hash = (live_hash){0};
    r->has_hash = true;
    return live_shown_each(r->shown, hash_shown, &h, err);
}

static void note_hash(const live_result *r, kal_message_body *body)
{
    if (r->has_hash)
        *kal_message_body_note(body) =
            (kal_message_note){r->hash.low, r->hash.high, LIVE_NOTE_HASH};
}

/* ---- telling ---- */

typedef struct telling {
    kal_live_worker *worker;
    live_query *query;
    uint64_t first; /* behind what was told before */
    uint64_t last;
    KAL_VEC(live_shown_change) changes; /* texts in the worker's scratch */
} telling;

static kal_status collect(void *context, const live_shown_change *change, kal_error *err)
{
    telling *t = context;
    live_shown_change copy = {.seq = change->seq};

    if (t->query->result.has_hash)
        KAL_TRY(change_hash(t->worker, t->query, change, err));
    copy.before = kal_arena_copy(&t->worker->scratch, change->before);
    copy.after = kal_arena_copy(&t->worker->scratch, change->after);
    if (!kal_vec_try_push_in(&t->worker->scratch, &t->changes, copy))
        return kal_error_set(err, KAL_LIMIT, "the memory of live queries is used up");
    t->last = change->seq > t->last ? change->seq : t->last;
    return KAL_OK;
}

static kal_status tell_subs(telling *t, kal_error *err)
{
    for (size_t i = 0; i < t->changes.len; i++) {
        const live_shown_change *c = &t->changes.items[i];
        uint64_t seq = i + 1 == t->changes.len ? t->last : t->first - 1;
        kal_message_body *body = make_body(budget_of(t->worker), t->query, c, seq);
        if (body == NULL)
            return kal_error_set(err, KAL_LIMIT, "the memory of live queries is used up");
        if (i + 1 == t->changes.len)
            note_hash(&t->query->result, body);
        KAL_LIST_FOR_EACH (link, &t->query->subs) {
            live_sub *sub = KAL_CONTAINER_OF(link, live_sub, query_link);
            live_sub_group_change(sub, t->first, t->last, i == 0, body);
        }
        kal_message_body_release(body);
    }
    return KAL_OK;
}

static void drop_queue(kal_live_worker *w, live_result *r)
{
    for (size_t i = 0; i < r->queue.len; i++)
        free((void *)r->queue.items[i].bytes);
    kal_budget_release(budget_of(w), r->queue_bytes);
    r->queue_bytes = 0;
    kal_vec_release(&r->queue);
    r->is_lost = false;
}

/* What is shown stays. */
static void reset_state(kal_live_worker *w, live_result *r)
{
    kal_list_remove(&r->dirty_link);
    live_groups_close(r->groups);
    live_top_close(r->top);
    r->groups = NULL;
    r->top = NULL;
    r->state = LIVE_RESULT_NONE;
    drop_queue(w, r);
}

static void reset(kal_live_worker *w, live_result *r)
{
    reset_state(w, r);
    live_shown_close(r->shown);
    r->shown = NULL;
    r->has_hash = false;
}

void live_result_release(kal_live_worker *w, live_query *q)
{
    reset(w, &q->result);
}

bool live_result_move(live_query *from, live_query *to)
{
    if (from->result.state != LIVE_RESULT_READY || to->result.state != LIVE_RESULT_NONE ||
        from->payer != to->payer) /* what it takes is charged to him */
        return false;
    KAL_ASSERT(kal_list_empty(&from->result.dirty_link));
    to->result.state = LIVE_RESULT_READY;
    to->result.groups = from->result.groups;
    to->result.top = from->result.top;
    to->result.shown = from->result.shown;
    to->result.has_hash = from->result.has_hash;
    to->result.hash = from->result.hash;
    to->result.seq = from->result.seq;
    to->result.told_seq = from->result.told_seq;
    from->result.groups = NULL;
    from->result.top = NULL;
    from->result.shown = NULL;
    from->result.state = LIVE_RESULT_NONE;
    return true;
}

static void fail(kal_live_worker *w, live_query *q, const kal_error *err)
{
    reset(w, &q->result);
    KAL_LIST_FOR_EACH (link, &q->subs)
        live_sub_fail(KAL_CONTAINER_OF(link, live_sub, query_link), UINT64_MAX, err);
}

static kal_status show(kal_live_worker *w, live_query *q, kal_error *err)
{
    live_result *r = &q->result;
    telling t = {.worker = w, .query = q, .first = r->told_seq + 1};

    if (q->plan.is_grouped) {
        KAL_TRY(live_groups_show(r->groups, &q->plan, r->shown, collect, &t, err));
        r->told_seq = r->seq;
    } else if (live_top_is_known(r->top)) {
        KAL_TRY(live_top_show(r->top, r->shown, r->seq, collect, &t, err));
        r->told_seq = r->seq;
    } else {
        reset_state(w, r);
        live_result_need(w, q);
    }
    return tell_subs(&t, err);
}

void live_results_flush(kal_live_worker *w)
{
    kal_list *link;

    while ((link = kal_list_pop_front(&w->dirty)) != NULL) {
        live_query *q = KAL_CONTAINER_OF(link, live_query, result.dirty_link);
        kal_error err = KAL_ERROR_INIT;
        if (q->result.state == LIVE_RESULT_READY && show(w, q, &err) != KAL_OK)
            fail(w, q, &err);
        kal_arena_reset(&w->scratch);
    }
    live_subs_end_failed(w);
}

/* ---- changes ---- */

kal_status live_top_take(live_top *top, const live_query *q, const kal_value *values, bool take_out,
                         kal_arena *scratch, kal_error *err)
{
    kal_buf key; /* owned, as the next two */
    kal_buf name;
    kal_buf text;

    kal_buf_init(&key, scratch->budget);
    kal_buf_init(&name, scratch->budget);
    kal_buf_init(&text, scratch->budget);
    kal_status status = live_top_key(&q->plan, &q->session, values, scratch, &key, err);
    if (status == KAL_OK && take_out) {
        live_top_remove(top, kal_buf_bytes(&key));
    } else if (status == KAL_OK && !live_top_admits(top, kal_buf_bytes(&key))) {
        live_top_pass(top);
    } else if (status == KAL_OK) {
        live_top_name(&q->plan, values, &name);
        status = live_encode_row(q, values, scratch, &text, err);
        if (status == KAL_OK && (kal_buf_failed(&text) || kal_buf_failed(&name)))
            status = kal_error_set(err, KAL_LIMIT, "the memory of live queries is used up");
        if (status == KAL_OK) /* without the braces */
            status = live_top_add(top, kal_buf_bytes(&key), kal_buf_bytes(&name),
                                  kal_bytes_of(text.ptr + 1, text.len - 2), err);
    }
    kal_buf_release(&key);
    kal_buf_release(&name);
    kal_buf_release(&text);
    return status;
}

static kal_status take(kal_live_worker *w, live_query *q, const kal_value *values, bool take_out,
                       uint64_t seq, kal_error *err)
{
    live_result *r = &q->result;

    if (values == NULL)
        return KAL_OK;
    if (q->plan.is_grouped)
        return live_groups_add(r->groups, &q->plan, &q->session, values, take_out, seq, &w->scratch,
                               err);
    return live_top_take(r->top, q, values, take_out, &w->scratch, err);
}

static kal_status apply(kal_live_worker *w, live_query *q, const kal_value *before,
                        const kal_value *after, uint64_t seq, kal_error *err)
{
    live_result *r = &q->result;

    KAL_TRY(take(w, q, before, true, seq, err));
    KAL_TRY(take(w, q, after, false, seq, err));
    r->seq = seq;
    kal_list_remove(&r->dirty_link);
    kal_list_push_back(&w->dirty, &r->dirty_link);
    return KAL_OK;
}

/* Kept as it was written, until the result is there. */
static void enqueue(kal_live_worker *w, live_result *r, kal_bytes before, kal_bytes after,
                    uint64_t seq)
{
    size_t bytes = sizeof(live_queued) + before.len + after.len;

    if (r->is_lost)
        return;
    if (r->queue_bytes + bytes > QUEUE_BYTES_MAX || !kal_budget_charge(budget_of(w), bytes)) {
        r->is_lost = true;
        return;
    }
    uint8_t *copy = malloc(before.len + after.len + 1); /* owned by the queue */
    if (copy == NULL)
        kal_die("out of memory: live queries");
    if (before.len > 0)
        memcpy(copy, before.ptr, before.len);
    if (after.len > 0)
        memcpy(copy + before.len, after.ptr, after.len);
    live_queued queued = {seq, copy, before.len, after.len};
    kal_vec_push(&r->queue, queued);
    r->queue_bytes += bytes;
}

void live_result_change(kal_live_worker *w, live_query *q, const live_images *images)
{
    live_result *r = &q->result;
    kal_error err = KAL_ERROR_INIT;

    if (r->state == LIVE_RESULT_LOADING)
        enqueue(w, r, images->before != NULL ? images->before_bytes : (kal_bytes){0},
                images->after != NULL ? images->after_bytes : (kal_bytes){0}, images->seq);
    if (r->state != LIVE_RESULT_READY || images->seq <= r->seq)
        return;
    if (apply(w, q, images->before, images->after, images->seq, &err) != KAL_OK)
        fail(w, q, &err);
}

void live_result_lost(kal_live_worker *w, live_query *q)
{
    live_result *r = &q->result;

    if (r->state == LIVE_RESULT_LOADING)
        r->is_lost = true;
    if (r->state != LIVE_RESULT_READY)
        return;
    reset(w, r);
    live_result_need(w, q); /* its subscriptions are behind, and wait for it */
}

/* ---- loading ---- */

void live_result_need(kal_live_worker *w, live_query *q)
{
    const kal_live_options *o = &w->live->options;
    kal_error err = KAL_ERROR_INIT;

    if (q->result.state != LIVE_RESULT_NONE)
        return;
    kal_live_task *task = live_task_make_for(w, q, q->payer, LIVE_TASK_STATE);
    q->result.state = LIVE_RESULT_LOADING;
    if (o->ops->submit(o->context, q->principal.user_no, task, &err) == KAL_OK)
        return;
    live_task_free(w, task);
    fail(w, q, &err);
}

static kal_status apply_queue(kal_live_worker *w, live_query *q, kal_error *err)
{
    live_result *r = &q->result;

    for (size_t i = 0; i < r->queue.len; i++) {
        const live_queued *c = &r->queue.items[i];
        kal_value *before = NULL;
        kal_value *after = NULL;
        if (c->seq <= r->seq)
            continue;
        KAL_TRY(live_stored_values(q, kal_bytes_of(c->bytes, c->before_len), &w->scratch, &before,
                                   err));
        KAL_TRY(live_stored_values(q, kal_bytes_of(c->bytes + c->before_len, c->after_len),
                                   &w->scratch, &after, err));
        KAL_TRY(apply(w, q, before, after, c->seq, err));
    }
    return KAL_OK;
}

static kal_status install(kal_live_worker *w, live_query *q, kal_live_task *task, kal_error *err)
{
    live_result *r = &q->result;

    if (task->status != KAL_OK) {
        *err = task->error;
        return task->status;
    }
    r->groups = task->groups;
    r->top = task->top;
    task->groups = NULL;
    task->top = NULL;
    if (r->shown == NULL) {
        r->shown = task->shown;
        task->shown = NULL;
        live_shown_begin(r->shown, task->seq);
        r->told_seq = task->seq;
    }
    r->seq = task->seq;
    r->state = LIVE_RESULT_READY;
    KAL_TRY(apply_queue(w, q, err));
    drop_queue(w, r);
    kal_list_remove(&r->dirty_link);
    return show(w, q, err);
}

static void tell_ready(live_query *q)
{
    KAL_LIST_FOR_EACH (link, &q->subs) {
        if (q->result.state == LIVE_RESULT_READY)
            live_sub_result_ready(KAL_CONTAINER_OF(link, live_sub, query_link));
    }
}

void live_result_loaded(kal_live_worker *w, kal_live_task *task)
{
    live_query *q = task->query;
    kal_error err = KAL_ERROR_INIT;

    if (q->is_detached || kal_list_empty(&q->subs)) {
        reset(w, &q->result);
    } else if (q->result.is_lost) { /* more came meanwhile than is kept */
        reset_state(w, &q->result);
        live_result_need(w, q);
    } else if (install(w, q, task, &err) != KAL_OK) {
        fail(w, q, &err);
    } else {
        tell_ready(q);
    }
    kal_arena_reset(&w->scratch);
    live_task_free(w, task);
    live_subs_end_failed(w);
}

/* ---- what a subscription is given ---- */

/* Whoever has only some of these rows has nothing to go on from: their seq is 0. */
static kal_status add_row(void *context, const live_shown_change *change, kal_error *err)
{
    kal_live_task *out = context;
    kal_json_writer w;
    kal_value seq = kal_value_bigint((int64_t)out->seq);
    live_row row = {.offset = (uint32_t)out->text.len};

    kal_json_writer_init(&w, &out->text);
    kal_buf_append_byte(&out->text, '{');
    kal_buf_append_bytes(&out->text, change->after);
    if (out->query->plan.is_grouped) {
        kal_buf_append_cstr(&out->text, ",\"_seq\":");
        kal_value_write_json(&seq, &w);
    }
    kal_buf_append_byte(&out->text, '}');
    return live_task_add_row(out, row, err);
}

kal_live_task *live_result_rows(live_sub *sub, kal_status *status, kal_error *err)
{
    live_query *q = sub->query;
    kal_live_task *out =
        live_task_make_for(sub->client->worker, q, sub->user, LIVE_TASK_FIRST_ROWS);

    out->seq = q->result.seq;
    out->has_rows = true;
    *status = need_hash(sub->client->worker, q, err);
    out->hash = q->result.hash;
    if (*status == KAL_OK)
        *status = q->plan.is_grouped ? live_shown_each(q->result.shown, add_row, out, err)
                                     : live_top_each(q->result.top, add_row, out, err);
    return out;
}

static kal_status add_change(void *context, const live_shown_change *change, kal_error *err)
{
    kal_live_task *out = context;
    live_shown_change copy = {.seq = change->seq};

    if (!kal_arena_try_copy(&out->kept, change->before, &copy.before) ||
        !kal_arena_try_copy(&out->kept, change->after, &copy.after) ||
        !kal_vec_try_push_in(&out->kept, &out->shown_changes, copy))
        return kal_error_set(err, KAL_LIMIT, "the memory of live queries is used up");
    return KAL_OK;
}

/* Of a group that changed before the result was loaded; what changed later is told anyway. */
static kal_status add_touched(kal_live_task *out, const live_shown *shown,
                              const live_touched *touched, kal_error *err)
{
    live_shown_change change;

    if (live_shown_is_gone(shown, touched->key))
        return KAL_OK;
    if (live_shown_find(shown, touched->key, &change))
        return change.seq > live_shown_known_since(shown) ? KAL_OK : add_change(out, &change, err);
    change = (live_shown_change){.before = touched->members};
    return add_change(out, &change, err);
}

static kal_status add_touched_groups(kal_live_task *out, const live_shown *shown,
                                     const kal_live_task *touched, kal_error *err)
{
    for (size_t i = 0; i < touched->touched.len; i++)
        KAL_TRY(add_touched(out, shown, &touched->touched.items[i], err));
    return live_shown_since(shown, live_shown_known_since(shown), add_change, out, err);
}

/* From the first rows as they were to those that are shown. */
typedef struct difference {
    kal_live_task *out;
    kal_map past; /* name -> live_touched */
    bool tells_all;
} difference;

static kal_status add_difference(void *context, const live_shown_change *row, kal_error *err)
{
    difference *d = context;
    const live_touched *past = kal_map_find(&d->past, row->key);
    live_shown_change change = {.after = row->after};

    if (past != NULL)
        change.before = past->members;
    return kal_bytes_equal(change.before, change.after) && !d->tells_all
               ? KAL_OK
               : add_change(d->out, &change, err);
}

static kal_status add_difference_to(difference *d, const live_shown *shown,
                                    const kal_live_task *past, kal_error *err)
{
    for (size_t i = 0; i < past->touched.len; i++) {
        live_touched *row = &past->touched.items[i];
        live_shown_change change;
        if (!row->was_between)
            kal_map_put(&d->past, row->key, row);
        if (live_shown_find(shown, row->key, &change))
            continue;
        change = (live_shown_change){.before = row->members};
        KAL_TRY(add_change(d->out, &change, err));
    }
    return live_shown_each(shown, add_difference, d, err);
}

static kal_status add_top_changes(kal_live_task *out, const live_shown *shown,
                                  const kal_live_task *past, kal_error *err)
{
    /* Who has part of the commit after his seq may have been told that a row went which is there
     * again. */
    difference d = {.out = out, .tells_all = past->is_changed};

    kal_map_init(&d.past);
    kal_status status = add_difference_to(&d, shown, past, err);
    kal_map_release(&d.past);
    return status;
}

/* All of them together bring the client from one seq to another. Bodies are the task's, but not
 * charged to its payer: a connection may still have them when he has no subscription any more. */
static kal_status make_bodies(kal_live_task *out, kal_error *err)
{
    for (size_t i = 0; i < out->shown_changes.len; i++) {
        uint64_t seq = i + 1 == out->shown_changes.len ? out->seq : out->from;
        kal_message_body *body =
            make_body(budget_of(out->worker), out->query, &out->shown_changes.items[i], seq);
        if (body != NULL && i + 1 == out->shown_changes.len)
            note_hash(&out->query->result, body);
        KAL_TRY(live_task_add_body(out, body, out->from, err));
    }
    return KAL_OK;
}

bool live_result_knows(const live_sub *sub)
{
    const live_result *r = &sub->query->result;
    uint64_t matched = sub->client->worker->seqs[sub->query->shard];
    uint64_t newest = matched > r->seq ? matched : r->seq;

    return sub->seq >= live_shown_known_since(r->shown) && sub->seq <= newest;
}

kal_live_task *live_result_changes(live_sub *sub, const kal_live_task *touched, kal_status *status,
                                   kal_error *err)
{
    live_query *q = sub->query;
    const live_shown *shown = q->result.shown;
    kal_live_task *out = live_task_make_for(sub->client->worker, q, sub->user, LIVE_TASK_REPLAY);

    out->from = sub->seq;
    out->seq = q->result.seq > sub->seq ? q->result.seq : sub->seq;
    *status = need_hash(sub->client->worker, q, err);
    out->hash = q->result.hash;
    if (*status != KAL_OK)
        return out;
    if (touched == NULL)
        *status = live_shown_since(shown, out->from, add_change, out, err);
    else if (q->plan.is_grouped)
        *status = add_touched_groups(out, shown, touched, err);
    else
        *status = add_top_changes(out, shown, touched, err);
    if (*status == KAL_OK)
        *status = make_bodies(out, err);
    return out;
}
