/*
 * load.c: what the pool does for a subscription: first rows as of one snapshot, and changes that
 * lie in the log.
 *
 * First rows come in the order of their _seq, so that whoever has some of them has everything up to
 * the last one's and can go on from there. Changes of the log are matched as the worker would have:
 * by the query as it is bound now, which reads rows of older versions as today's.
 */
#include "base/assert.h"
#include "live/feed.h"
#include "sql/row_values.h"

#include <stdlib.h>

enum {
    SCRATCH_BYTES_MAX = 64 * 1024,
    ROWS_SLACK = 1024, /* beyond last_rows, before older ones are let go */
};

/* ---- a task ---- */

kal_live_task *live_task_make_for(kal_live_worker *worker, live_query *query, live_user *payer,
                                  live_task_kind kind)
{
    kal_live_task *task = calloc(1, sizeof *task);

    if (task == NULL)
        kal_die("out of memory: live queries");
    task->kind = kind;
    task->worker = worker;
    task->query = live_query_retain(query);
    task->payer = live_user_retain(payer);
    task->error = KAL_ERROR_INIT;
    kal_buf_init(&task->text, &payer->budget);
    kal_arena_init(&task->scratch, &payer->budget);
    kal_arena_init(&task->kept, &payer->budget);
    kal_map_init(&task->touched_by_key);
    return task;
}

kal_live_task *live_task_make(live_sub *sub, live_task_kind kind)
{
    kal_live_task *task = live_task_make_for(sub->client->worker, sub->query, sub->user, kind);
    task->sub = sub;
    task->last_rows = sub->last_rows;
    task->wants_hash = sub->wants_hash;
    return task;
}

void live_task_free(kal_live_worker *worker, kal_live_task *task)
{
    if (task == NULL)
        return;
    if (task->kind == LIVE_TASK_FEED) {
        live_feed_task_free(task);
        return;
    }
    for (size_t i = 0; i < task->bodies.len; i++)
        kal_message_body_release(task->bodies.items[i].body);
    kal_budget_release(&task->payer->budget, task->rows_bytes + task->bodies_bytes);
    live_groups_close(task->groups);
    live_top_close(task->top);
    live_shown_close(task->shown);
    kal_map_release(&task->touched_by_key);
    kal_vec_release(&task->bodies);
    kal_vec_release(&task->rows);
    kal_buf_release(&task->text);
    kal_arena_release(&task->scratch);
    kal_arena_release(&task->kept);
    live_user_release(task->payer);
    live_query_release(worker, task->query);
    free(task);
}

static kal_status memory_used_up(kal_error *err)
{
    kal_error_set(err, KAL_LIMIT, "the first rows of the live query take too much memory");
    kal_error_hint(err, "narrow it with WHERE, or ask for the newest rows with last_rows");
    return KAL_LIMIT;
}

static const kal_live_options *options_of(const kal_live_task *task)
{
    return &task->worker->live->options;
}

/* ---- first rows ---- */

static int by_seq(const void *a, const void *b)
{
    const live_row *x = a;
    const live_row *y = b;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

/* Only the newest last_rows stay; the text is written anew without the others. */
static kal_status keep_newest(kal_live_task *task, kal_error *err)
{
    kal_buf kept; /* moved into the task */
    size_t first = task->rows.len > task->last_rows ? task->rows.len - (size_t)task->last_rows : 0;

    if (task->rows.len == 0)
        return KAL_OK;
    qsort(task->rows.items, task->rows.len, sizeof *task->rows.items, by_seq);
    kal_buf_init(&kept, task->text.budget);
    for (size_t i = first; i < task->rows.len; i++) {
        live_row row = task->rows.items[i];
        uint32_t offset = (uint32_t)kept.len;
        kal_buf_append(&kept, task->text.ptr + row.offset, row.len);
        row.offset = offset;
        task->rows.items[i - first] = row;
    }
    task->rows.len -= first;
    if (kal_buf_failed(&kept)) {
        kal_buf_release(&kept);
        return memory_used_up(err);
    }
    kal_buf_release(&task->text);
    task->text = kept;
    return KAL_OK;
}

kal_status live_task_add_row(kal_live_task *task, live_row row, kal_error *err)
{
    if (kal_buf_failed(&task->text) || task->text.len > options_of(task)->first_rows_bytes_max ||
        !kal_budget_charge(&task->payer->budget, sizeof row))
        return memory_used_up(err);
    task->rows_bytes += sizeof row;
    row.len = (uint32_t)(task->text.len - row.offset);
    kal_vec_push(&task->rows, row);
    return KAL_OK;
}

static kal_status hash_last_row(kal_live_task *task, kal_error *err)
{
    const live_row *row = &task->rows.items[task->rows.len - 1];
    live_hash hash;

    KAL_TRY(live_hash_row(&task->query->plan,
                          kal_bytes_of(task->text.ptr + row->offset + 1, row->len - 2),
                          options_of(task)->budget, &hash, err));
    live_hash_add(&task->hash, hash);
    return KAL_OK;
}

static kal_status add_row(kal_live_task *task, const kal_value *values, uint64_t seq,
                          kal_error *err)
{
    live_row row = {.seq = seq, .offset = (uint32_t)task->text.len};

    KAL_TRY(live_encode_row(task->query, values, &task->scratch, &task->text, err));
    KAL_TRY(live_task_add_row(task, row, err));
    if (task->wants_hash)
        KAL_TRY(hash_last_row(task, err));
    if (task->last_rows > 0 && task->rows.len >= task->last_rows * 2 + ROWS_SLACK)
        return keep_newest(task, err);
    return KAL_OK;
}

kal_status live_task_add_body(kal_live_task *task, kal_message_body *body, uint64_t seq,
                              kal_error *err)
{
    live_waiting made = {.seq = seq, .body = body};
    size_t bytes = sizeof made + (body == NULL ? 0 : kal_message_body_members(body).len);

    if (body == NULL || !kal_budget_charge(&task->payer->budget, bytes)) {
        kal_message_body_release(body);
        return memory_used_up(err);
    }
    task->bodies_bytes += bytes;
    kal_vec_push(&task->bodies, made);
    return KAL_OK;
}

static kal_status add_change(kal_live_task *task, const kal_value *before, const kal_value *after,
                             uint64_t seq, uint64_t told_seq, kal_error *err)
{
    kal_message_body *body = NULL; /* the task's */

    KAL_TRY(live_encode_change(task->query, before, after, seq, told_seq, &task->scratch,
                               options_of(task)->budget, &body, err));
    if (task->wants_hash) {
        kal_status status = live_note_delta(task->query, before, after, &task->scratch,
                                            options_of(task)->budget, body, err);
        if (status != KAL_OK) {
            kal_message_body_release(body);
            return status;
        }
    }
    return live_task_add_body(task, body, told_seq, err);
}

static kal_status test_values(const kal_live_task *task, const kal_value *values, bool *out,
                              kal_error *err)
{
    const live_query *q = task->query;
    *out = true;
    if (q->plan.where == NULL)
        return KAL_OK;
    return kal_expr_test(q->plan.where, values, &q->session, (kal_arena *)&task->scratch, out, err);
}

static void trim_scratch(kal_live_task *task)
{
    if (task->scratch.size_bytes > SCRATCH_BYTES_MAX)
        kal_arena_reset(&task->scratch);
}

static kal_status check_cancelled(const kal_live_task *task, kal_error *err)
{
    return atomic_load(&task->is_cancelled)
               ? kal_error_set(err, KAL_CANCELLED, "the client has left")
               : KAL_OK;
}

/* A row that a scan gives: its values, and whether the query has it. */
static kal_status look_at(kal_live_task *task, const kal_row *row, kal_value **values_out,
                          bool *is_in_out, kal_error *err)
{
    const live_query *q = task->query;

    KAL_TRY(check_cancelled(task, err));
    trim_scratch(task);
    KAL_TRY(live_row_values(q->table, row, q->wanted, &task->scratch, values_out, err));
    return test_values(task, *values_out, is_in_out, err);
}

static kal_status take_row(kal_live_task *task, const kal_value *values, uint64_t seq,
                           kal_error *err)
{
    const live_query *q = task->query;
    return q->plan.is_grouped ? live_groups_add(task->groups, &q->plan, &q->session, values, false,
                                                seq, &task->scratch, err)
                              : live_top_take(task->top, q, values, false, &task->scratch, err);
}

static kal_status visit_row(void *context, const kal_row *row, kal_error *err)
{
    kal_live_task *task = context;
    kal_value *values = NULL;
    bool is_in = false;

    if (row->seq <= task->from) /* the client has it */
        return check_cancelled(task, err);
    KAL_TRY(look_at(task, row, &values, &is_in, err));
    if (task->kind == LIVE_TASK_STATE)
        return is_in ? take_row(task, values, row->seq, err) : KAL_OK;
    if (is_in)
        return add_row(task, values, row->seq, err);
    /* It may have matched when the client last saw it. These come in no order, so none of them says
     * that the client has all up to it. */
    return task->kind == LIVE_TASK_REPLAY
               ? add_change(task, values, NULL, task->from, task->from, err)
               : KAL_OK;
}

/* Rows after task->from; 0: all. */
static kal_status read_rows(kal_live_task *task, kal_view *view, kal_error *err)
{
    const kal_live_options *o = options_of(task);
    const live_query *q = task->query;
    /* What does not match now has to be looked at, too. */
    const kal_expr *where = task->kind == LIVE_TASK_REPLAY ? NULL : q->plan.where;

    task->has_rows = true;
    KAL_TRY(o->ops->scan(o->context, view, q->table, where, q->wanted, visit_row, task, err));
    if (task->last_rows > 0)
        return keep_newest(task, err);
    if (task->rows.len > 1)
        qsort(task->rows.items, task->rows.len, sizeof *task->rows.items, by_seq);
    return KAL_OK;
}

/* The whole result, and what is shown of it. */
static kal_status read_result(kal_live_task *task, kal_view *view, kal_error *err)
{
    const kal_live_options *o = options_of(task);
    const live_query *q = task->query;

    task->shown = live_shown_open(&task->payer->budget);
    if (q->plan.is_grouped)
        task->groups = live_groups_open(&task->payer->budget);
    else
        task->top = live_top_open(&q->plan, &task->payer->budget);
    KAL_TRY(
        o->ops->scan(o->context, view, q->table, q->plan.where, q->wanted, visit_row, task, err));
    return q->plan.is_grouped
               ? live_groups_show(task->groups, &q->plan, task->shown, NULL, NULL, err)
               : live_top_show(task->top, task->shown, task->seq, NULL, NULL, err);
}

/* ---- the log ---- */

/* Its values when the query has it, else NULL. */
static kal_status values_in(kal_live_task *task, kal_bytes stored, kal_value **values_out,
                            kal_error *err)
{
    bool is_in = false;

    KAL_TRY(live_stored_values(task->query, stored, &task->scratch, values_out, err));
    if (*values_out != NULL)
        KAL_TRY(test_values(task, *values_out, &is_in, err));
    if (!is_in)
        *values_out = NULL;
    return KAL_OK;
}

static kal_status replay_rows(kal_live_task *task, kal_bytes before_bytes, kal_bytes after_bytes,
                              uint64_t seq, uint64_t told_seq, kal_error *err)
{
    kal_value *before = NULL;
    kal_value *after = NULL;

    trim_scratch(task);
    KAL_TRY(values_in(task, before_bytes, &before, err));
    KAL_TRY(values_in(task, after_bytes, &after, err));
    if (before == NULL && after == NULL)
        return KAL_OK;
    return add_change(task, before, after, seq, told_seq, err);
}

/* Which groups the row was or is in; each is noted once. */
static kal_status touch(kal_live_task *task, const kal_value *values, kal_error *err)
{
    const live_query *q = task->query;
    live_touched touched = {0};
    bool is_in = false;

    KAL_TRY(test_values(task, values, &is_in, err));
    if (!is_in)
        return KAL_OK;
    KAL_TRY(live_groups_key(&q->plan, &q->session, values, &task->scratch, &task->text, err));
    if (kal_map_find(&task->touched_by_key, kal_buf_bytes(&task->text)) != NULL)
        return KAL_OK;
    if (!kal_arena_try_copy(&task->kept, kal_buf_bytes(&task->text), &touched.key))
        return memory_used_up(err);
    KAL_TRY(live_groups_members(&q->plan, &q->session, values, &task->scratch, &task->text, err));
    if (!kal_arena_try_copy(&task->kept, kal_buf_bytes(&task->text), &touched.members) ||
        !kal_vec_try_push_in(&task->kept, &task->touched, touched))
        return memory_used_up(err);
    kal_map_put(&task->touched_by_key, touched.key, task);
    return KAL_OK;
}

static kal_status touch_groups(kal_live_task *task, const kal_change *c, kal_error *err)
{
    kal_value *values = NULL;

    trim_scratch(task);
    KAL_TRY(live_stored_values(task->query, c->before, &task->scratch, &values, err));
    if (values != NULL)
        KAL_TRY(touch(task, values, err));
    KAL_TRY(live_stored_values(task->query, c->after, &task->scratch, &values, err));
    return values == NULL ? KAL_OK : touch(task, values, err);
}

/* The state of a row before the first change and after the last one. */
typedef struct net_change {
    kal_bytes before; /* in the arena */
    kal_bytes after;
    uint64_t seq; /* of the last change */
} net_change;

typedef struct replay {
    kal_live_task *task;
    kal_arena arena;
    kal_buf name;              /* of the row being looked at */
    kal_map by_key;            /* key -> net_change, when only the last state counts */
    KAL_VEC(net_change *) net; /* arena; in the order of their first changes */
} replay;

static kal_status note_net(replay *r, const kal_change *c, kal_error *err)
{
    net_change *net = kal_map_find(&r->by_key, c->key);

    if (net == NULL) {
        net = kal_arena_try_alloc(&r->arena, sizeof *net);
        if (net == NULL || !kal_arena_try_copy(&r->arena, c->before, &net->before) ||
            !kal_vec_try_push_in(&r->arena, &r->net, net))
            return memory_used_up(err);
        kal_map_put(&r->by_key, c->key, net);
    }
    net->seq = c->seq;
    if (!kal_arena_try_copy(&r->arena, c->after, &net->after))
        return memory_used_up(err);
    return KAL_OK;
}

/* A row that the first rows may have had for a while. */
static kal_status note_between(kal_live_task *task, const kal_change *c, kal_error *err)
{
    kal_value *values = NULL;
    live_touched row = {.was_between = true};
    bool is_in = false;

    trim_scratch(task);
    KAL_TRY(live_stored_values(task->query, c->after, &task->scratch, &values, err));
    if (values != NULL)
        KAL_TRY(test_values(task, values, &is_in, err));
    if (!is_in || kal_map_find(&task->touched_by_key, c->key) != NULL)
        return KAL_OK;
    kal_buf_clear(&task->text);
    KAL_TRY(live_encode_row(task->query, values, &task->scratch, &task->text, err));
    if (kal_buf_failed(&task->text) || !kal_arena_try_copy(&task->kept, c->key, &row.key) ||
        !kal_arena_try_copy(&task->kept, kal_bytes_of(task->text.ptr + 1, task->text.len - 2),
                            &row.members) ||
        !kal_vec_try_push_in(&task->kept, &task->touched, row))
        return memory_used_up(err);
    kal_map_put(&task->touched_by_key, row.key, task);
    return KAL_OK;
}

static kal_status visit_change(void *context, const kal_change *c, kal_error *err)
{
    replay *r = context;
    kal_live_task *task = r->task;

    KAL_TRY(check_cancelled(task, err));
    if (c->table_id != task->query->table->def->table_id || c->user_no != task->query->user_no)
        return KAL_OK;
    if (task->query->plan.is_grouped)
        return touch_groups(task, c, err);
    if (task->query->plan.has_limit)
        KAL_TRY(note_between(task, c, err));
    return task->coalesce || task->query->plan.has_limit
               ? note_net(r, c, err)
               : replay_rows(task, c->before, c->after, c->seq, c->seq, err);
}

static int by_net_seq(const void *a, const void *b)
{
    const net_change *x = *(net_change *const *)a;
    const net_change *y = *(net_change *const *)b;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

/* A row that was not changed since: it is as it was. */
static kal_status visit_unchanged(void *context, const kal_row *row, kal_error *err)
{
    replay *r = context;
    kal_live_task *task = r->task;
    kal_value *values = NULL;
    bool is_in = false;

    KAL_TRY(look_at(task, row, &values, &is_in, err));
    live_top_name(&task->query->plan, values, &r->name);
    if (kal_map_find(&r->by_key, kal_buf_bytes(&r->name)) != NULL)
        return KAL_OK;
    return is_in ? live_top_take(task->top, task->query, values, false, &task->scratch, err)
                 : KAL_OK;
}

static kal_status keep_past(void *context, const live_shown_change *row, kal_error *err)
{
    kal_live_task *task = context;
    live_touched past = {0};

    return kal_arena_try_copy(&task->kept, row->key, &past.key) &&
                   kal_arena_try_copy(&task->kept, row->after, &past.members) &&
                   kal_vec_try_push_in(&task->kept, &task->touched, past)
               ? KAL_OK
               : memory_used_up(err);
}

/* The first rows as they were at task->from: of what was not changed since, and of what was changed
 * as it was before. */
static kal_status read_past(replay *r, kal_view *view, kal_error *err)
{
    kal_live_task *task = r->task;
    const kal_live_options *o = options_of(task);
    const live_query *q = task->query;

    task->is_changed = r->net.len > 0;
    task->top = live_top_open(&q->plan, &task->payer->budget);
    KAL_TRY(o->ops->scan(o->context, view, q->table, q->plan.where, q->wanted, visit_unchanged, r,
                         err));
    for (size_t i = 0; i < r->net.len; i++) {
        kal_value *values = NULL;
        trim_scratch(task);
        KAL_TRY(values_in(task, r->net.items[i]->before, &values, err));
        if (values != NULL)
            KAL_TRY(live_top_take(task->top, q, values, false, &task->scratch, err));
    }
    return live_top_each(task->top, keep_past, task, err);
}

/* How many there are up to the last one that the client is told. */
static kal_status count_told(replay *r, size_t *count_out, kal_error *err)
{
    kal_live_task *task = r->task;

    for (*count_out = r->net.len; *count_out > 0; --*count_out) {
        const net_change *net = r->net.items[*count_out - 1];
        kal_value *before = NULL;
        kal_value *after = NULL;
        trim_scratch(task);
        KAL_TRY(values_in(task, net->before, &before, err));
        KAL_TRY(values_in(task, net->after, &after, err));
        if (before != NULL || after != NULL)
            break;
    }
    return KAL_OK;
}

/* Who has a part of them has rows as they never were together: only with the last one he has
 * everything, up to where the log was read, and before it he has what he had, so that after a cut
 * he is told everything again. */
static kal_status replay_net(replay *r, kal_error *err)
{
    kal_live_task *task = r->task;
    size_t count = 0;

    if (r->net.len > 1)
        qsort(r->net.items, r->net.len, sizeof *r->net.items, by_net_seq);
    KAL_TRY(count_told(r, &count, err));
    for (size_t i = 0; i < count; i++) {
        const net_change *net = r->net.items[i];
        uint64_t told_seq = i + 1 < count ? task->from : task->seq;
        KAL_TRY(replay_rows(task, net->before, net->after, net->seq, told_seq, err));
    }
    return KAL_OK;
}

static kal_status read_log(kal_live_task *task, kal_view *view, kal_error *err)
{
    replay r = {.task = task};

    kal_arena_init(&r.arena, &task->payer->budget);
    kal_map_init(&r.by_key);
    kal_buf_init(&r.name, NULL);
    kal_status status =
        kal_view_log_scan(view, task->query->shard, task->from, visit_change, &r, err);
    if (status == KAL_OK)
        status = task->query->plan.has_limit ? read_past(&r, view, err) : replay_net(&r, err);
    kal_buf_release(&r.name);
    kal_map_release(&r.by_key);
    kal_arena_release(&r.arena);
    return status;
}

static kal_status resync(const char *why, kal_error *err)
{
    kal_error_set(err, KAL_CONFLICT, "%s: subscribe again without 'from'", why);
    kal_error_code(err, "RESYNC_REQUIRED");
    return KAL_CONFLICT;
}

/* Everything after task->from: out of the log, or, when that does not reach back, the rows that
 * have changed since, which is all there is to know as long as none was deleted. */
static kal_status replay_from(kal_live_task *task, kal_view *view, const kal_log_bounds *bounds,
                              kal_error *err)
{
    if (task->from > bounds->applied)
        return resync("the server does not know this seq", err);
    if (task->from + 1 >= bounds->first)
        return read_log(task, view, err);
    if (task->may_use_rows && !task->query->has_result && bounds->last_delete <= task->from)
        return read_rows(task, view, err);
    return resync("the change log does not reach back to this seq", err);
}

/* ---- the hash of the state ---- */

static kal_status visit_hashed(void *context, const kal_row *row, kal_error *err)
{
    kal_live_task *task = context;
    kal_value *values = NULL;
    bool is_in = false;

    KAL_TRY(look_at(task, row, &values, &is_in, err));
    if (!is_in)
        return KAL_OK;
    task->rows.len = 0;
    kal_buf_clear(&task->text);
    return add_row(task, values, row->seq, err);
}

/* Of all rows as they are now: what the client has, and the changes that it is going to be told. */
static kal_status hash_all(kal_live_task *task, kal_view *view, kal_error *err)
{
    const kal_live_options *o = options_of(task);
    const live_query *q = task->query;

    KAL_TRY(o->ops->scan(o->context, view, q->table, q->plan.where, q->wanted, visit_hashed, task,
                         err));
    task->rows.len = 0;
    kal_buf_clear(&task->text);
    return KAL_OK;
}

/* ---- running ---- */

static kal_status run(kal_live_task *task, kal_view *view, kal_error *err)
{
    kal_log_bounds bounds;

    KAL_TRY(kal_view_log_bounds(view, task->query->shard, &bounds, err));
    task->seq = bounds.applied;
    if (task->kind == LIVE_TASK_STATE)
        return read_result(task, view, err);
    if (task->kind == LIVE_TASK_REPLAY && task->hashes_all)
        KAL_TRY(hash_all(task, view, err));
    return task->kind == LIVE_TASK_REPLAY ? replay_from(task, view, &bounds, err)
                                          : read_rows(task, view, err);
}

void kal_live_task_run(kal_live_task *task, kal_catalog_worker *worker)
{
    const kal_live_options *o = options_of(task);
    kal_view view;

    if (task->kind == LIVE_TASK_FEED) {
        live_feed_task_run(task, worker);
        return;
    }
    o->ops->open_view(o->context, &view, task->query->principal.user_no);
    task->status = run(task, &view, &task->error);
    kal_view_close(&view);
    kal_arena_reset(&task->scratch);
    live_inbox_add_task(task);
}
