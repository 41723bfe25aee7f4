/*
 * writes.c: writes of rows, and what the lane answers to them.
 *
 * Writes are settled in the order in which they were submitted, which is the order in which the
 * lane decides them: each is carried out on the model as well, and the answers must be the same. Of
 * an answer that says that the store failed there are three kinds: a read failed, so this write did
 * not happen; the batch failed, so all of its group may or may not have happened; or the store had
 * stopped before.
 */
#include "sim.h"

#include "base/assert.h"

#include <stdlib.h>

typedef struct resolve_context {
    sim_op op;
    sim *sim;
} resolve_context;

/* What the model says of one operation. */
typedef struct outcome {
    kal_write_action applied;
    bool was_update;
    model_version row; /* new, or the old one of a DELETE */
} outcome;

static const char *const KIND_NAMES[] = {"insert", "insert-if-absent", "upsert",   "add",
                                         "delete", "refuse",           "put-seen", "delete-seen"};

/* ---- what a resolve function does ---- */

/* The row's own values with the number raised. */
static const kal_value *add_to_row(const sim_op *op, const kal_row *current, kal_arena *arena)
{
    unsigned shape = op->table->shape;
    unsigned key = 0;
    sim_image image;
    kal_value *values = kal_arena_alloc(arena, SIM_COLUMNS_MAX * sizeof *values);
    if (!sim_read(shape, current, &key, &image))
        return NULL;
    image.number = (image.has_number ? image.number : 0) + op->image.number;
    image.has_number = true;
    sim_values(shape, key, &image, arena, values);
    return values;
}

static kal_status resolve(void *context, const kal_row *current, kal_arena *arena,
                          kal_write_effect *effect_out, kal_error *err)
{
    const resolve_context *c = context;
    bool puts = c->op.kind == OP_UPSERT || (c->op.kind == OP_INSERT && current == NULL) ||
                (c->op.kind == OP_INSERT_IF_ABSENT && current == NULL);

    *effect_out = (kal_write_effect){.action = KAL_WRITE_NONE};
    if (c->op.kind == OP_REFUSE)
        return kal_error_set(err, KAL_INVALID, "refused by the expression");
    if (c->op.kind == OP_INSERT && current != NULL)
        return kal_error_set(err, KAL_EXISTS, "the row is there");
    if (puts) {
        kal_value *values = kal_arena_alloc(arena, SIM_COLUMNS_MAX * sizeof *values);
        sim_values(c->op.table->shape, c->op.key, &c->op.image, arena, values);
        *effect_out = (kal_write_effect){KAL_WRITE_PUT, values};
    } else if (c->op.kind == OP_ADD && current != NULL) {
        *effect_out = (kal_write_effect){KAL_WRITE_PUT, add_to_row(&c->op, current, arena)};
        if (effect_out->values == NULL)
            sim_fail(c->sim, "the lane shows a row that nobody wrote");
    } else if (c->op.kind == OP_DELETE) {
        effect_out->action = KAL_WRITE_DELETE; /* the lane makes nothing of it without a row */
    }
    return KAL_OK;
}

/* ---- the same on the model ---- */

/* A row's new image, NULL when it is to go; *acts_out false: it stays as it is. */
static kal_status decide(const sim_op *op, const model_version *current, bool *acts_out,
                         sim_image *image, const sim_image **image_out)
{
    *acts_out = true;
    *image = op->image;
    *image_out = image;
    switch (op->kind) {
    case OP_REFUSE:
        return KAL_INVALID;
    case OP_INSERT:
        return current != NULL ? KAL_EXISTS : KAL_OK;
    case OP_INSERT_IF_ABSENT:
        *acts_out = current == NULL;
        return KAL_OK;
    case OP_UPSERT:
        return KAL_OK;
    case OP_ADD:
        *acts_out = current != NULL;
        if (current == NULL)
            return KAL_OK;
        image->number += current->image.has_number ? current->image.number : 0;
        image->has_number = true;
        image->text = current->image.text;
        return KAL_OK;
    case OP_PUT_SEEN:
    case OP_DELETE_SEEN:
        if ((current != NULL ? current->seq : 0) != op->seq_seen)
            return KAL_CONFLICT;
        if (op->kind == OP_PUT_SEEN)
            return KAL_OK;
        break;
    case OP_DELETE:
        break;
    }
    *acts_out = current != NULL;
    *image_out = NULL;
    return KAL_OK;
}

static kal_status apply_op(sim *s, const sim_op *op, outcome *out)
{
    model *m = &s->model;
    sim_image image;
    const sim_image *after = NULL;
    bool acts = false;

    *out = (outcome){.applied = KAL_WRITE_NONE};
    if (!model_is_alive(&op->table->life, m->now))
        return KAL_NOT_FOUND;
    const model_version *current = model_row(op->table, op->user, op->key, m->now + 1);
    KAL_TRY(decide(op, current, &acts, &image, &after));
    if (!acts)
        return KAL_OK;
    model_version before = current != NULL ? *current : (model_version){0};
    model_version now = model_set_row(m, op->table, op->user, op->key, after);
    out->applied = after != NULL ? KAL_WRITE_PUT : KAL_WRITE_DELETE;
    out->was_update = after != NULL && before.present;
    out->row = after != NULL ? now : before;
    return KAL_OK;
}

/* All of it or nothing; the changes wait for model_commit(). */
static kal_status apply_write(sim *s, const sim_write *w, outcome *outcomes)
{
    kal_status status = KAL_OK;
    for (size_t i = 0; i < w->op_count && status == KAL_OK; i++)
        status = apply_op(s, &w->ops[i], &outcomes[i]);
    if (status != KAL_OK)
        model_abandon(&s->model);
    else if (w->ddl != NULL)
        sim_ddl_apply(s, w->ddl);
    return status;
}

/* ---- settling ---- */

static bool begins(const kal_error *err, const char *text)
{
    return strncmp(err->message, text, strlen(text)) == 0;
}

static void check_kept_row(sim *s, const sim_write *w, size_t i, const outcome *expected)
{
    const kal_write_op *op = kal_write_op_at(w->write, i);
    const sim_op *own = &w->ops[i];
    kal_row row;
    unsigned key = 0;
    sim_image image;

    if (!own->keeps_row || expected->applied == KAL_WRITE_NONE) {
        if (op->row_out.len != 0)
            sim_fail(s, "write %u, operation %zu: a row came back", w->number, i);
        return;
    }
    if (kal_row_open(&s->layouts[own->table->shape], op->row_out, &row, NULL) != KAL_OK ||
        !sim_read(own->table->shape, &row, &key, &image))
        sim_fail(s, "write %u, operation %zu: the row that came back is damaged", w->number, i);
    if (key != own->key || row.seq != expected->row.seq ||
        !sim_image_equal(&image, &expected->row.image))
        sim_fail(s,
                 "write %u, operation %zu: key %u, seq %llu, number %lld came back, expected key "
                 "%u, seq %llu, number %lld",
                 w->number, i, key, (unsigned long long)row.seq, (long long)image.number, own->key,
                 (unsigned long long)expected->row.seq, (long long)expected->row.image.number);
}

static void check_outcomes(sim *s, const sim_write *w, const outcome *outcomes)
{
    for (size_t i = 0; i < w->op_count; i++) {
        const kal_write_op *op = kal_write_op_at(w->write, i);
        const outcome *expected = &outcomes[i];
        if (op->applied != expected->applied || op->was_update != expected->was_update)
            sim_fail(s, "write %u, operation %zu: action %d%s, expected %d%s", w->number, i,
                     (int)op->applied, op->was_update ? " (update)" : "", (int)expected->applied,
                     expected->was_update ? " (update)" : "");
        check_kept_row(s, w, i, expected);
    }
}

/* In doubt nothing that changes rows may be acknowledged. */
static void check_in_doubt(sim *s, const sim_write *w, kal_status status)
{
    if (status != KAL_OK)
        return;
    if (w->ddl != NULL)
        sim_fail(s, "write %u: a catalog change is acknowledged after a failed write", w->number);
    for (size_t i = 0; i < w->op_count; i++) {
        if (kal_write_op_at(w->write, i)->applied != KAL_WRITE_NONE)
            sim_fail(s, "write %u is acknowledged after a failed write", w->number);
    }
}

static void acknowledge(sim *s, const sim_write *w, const outcome *outcomes)
{
    check_outcomes(s, w, outcomes);
    model_commit(&s->model);
    s->acknowledged = s->model.now;
    if (s->profile.options.sync || w->ddl != NULL)
        s->durable = s->model.now;
    s->count.commits++;
}

static void settle_answer(sim *s, const sim_write *w, kal_status status, const kal_error *err)
{
    outcome outcomes[SIM_OPS_MAX];
    bool batch_failed = status == KAL_IO && !begins(err, "cannot read");

    if (status == KAL_IO && begins(err, "writes are stopped")) {
        if (!sim_store_is_stopped(s))
            sim_fail(s, "write %u is refused by a store that takes writes", w->number);
        s->in_doubt = true;
        return;
    }
    if (s->in_doubt && !batch_failed) {
        check_in_doubt(s, w, status);
        return;
    }
    kal_status expected = apply_write(s, w, outcomes);
    if (expected != (batch_failed ? KAL_OK : status))
        sim_fail(s, "write %u: the answer is %s (%s), expected %s", w->number,
                 kal_status_name(status), err->message, kal_status_name(expected));
    s->count.conflicts += expected == KAL_CONFLICT;
    if (expected != KAL_OK)
        return;
    if (batch_failed) {
        model_commit(&s->model);
        s->in_doubt = true;
        s->count.doubts++;
    } else {
        acknowledge(s, w, outcomes);
    }
}

static void settle(sim *s, sim_write *w)
{
    kal_error err = KAL_ERROR_INIT;
    kal_status status = kal_write_status(w->write, &err);

    kal_list_remove(&w->link);
    s->write_count--;
    if (s->is_dead)
        return;
    sim_trace(s, "write %u: %s%s%s", w->number, kal_status_name(status),
              status == KAL_OK ? "" : ": ", status == KAL_OK ? "" : err.message);
    if (status == KAL_BUSY) {
        if (s->profile.options.queue_bytes_max == 0)
            sim_fail(s, "write %u is refused although the queue is short", w->number);
        s->count.refused++;
    } else if (status == KAL_IO && begins(&err, "cannot read")) {
        if (s->profile.read_fail_per_1000 == 0)
            sim_fail(s, "write %u: no read was made to fail: %s", w->number, err.message);
        s->count.read_faults++;
    } else {
        settle_answer(s, w, status, &err);
    }
    if (w->ddl != NULL)
        s->ddl_is_answered = true;
}

static bool is_settled(const sim_write *w)
{
    return kal_list_empty(&w->link);
}

/* Those before w were answered before it; who waits for one of them has not come to settle it. */
static void settle_through(sim *s, sim_write *w)
{
    sim_write *first;
    if (is_settled(w))
        sim_fail(s, "write %u is answered after a later one", w->number);
    do {
        first = KAL_CONTAINER_OF(s->writes.next, sim_write, link);
        settle(s, first);
    } while (first != w);
}

static void answered(kal_write *write, void *context)
{
    sim_write *w = context;
    /* What the queue refuses is answered at once, before those that are in it. */
    if (kal_write_status(write, NULL) == KAL_BUSY)
        settle(w->sim, w);
    else
        settle_through(w->sim, w);
    if (!w->is_waited_for)
        sim_write_close(w);
}

/* ---- making ---- */

sim_write *sim_write_open(sim *s)
{
    sim_write *w = calloc(1, sizeof *w); /* owned: sim_write_close */
    KAL_ASSERT(w != NULL);
    kal_list_init(&w->link);
    w->sim = s;
    w->write = kal_write_open(s->tables, NULL);
    w->number = ++s->writes_made;
    return w;
}

void sim_write_close(sim_write *w)
{
    kal_write_close(w->write);
    free(w);
}

static void fill_prepared(sim_write *w, const sim_op *own, kal_table *table, kal_write_op *op)
{
    kal_arena *arena = kal_write_arena(w->write);
    kal_value values[SIM_COLUMNS_MAX];
    kal_buf row; /* owned */

    op->seq_seen = own->seq_seen;
    op->action = own->kind == OP_PUT_SEEN ? KAL_WRITE_PUT : KAL_WRITE_DELETE;
    if (own->kind == OP_DELETE_SEEN)
        return;
    kal_buf_init(&row, NULL);
    sim_values(own->table->shape, own->key, &own->image, arena, values);
    kal_status status =
        kal_row_encode(&table->layout, table->def->schema_version, 0, values, &row, NULL);
    KAL_ASSERT(status == KAL_OK);
    op->row = kal_arena_copy(arena, kal_buf_bytes(&row));
    kal_buf_release(&row);
}

bool sim_write_add(sim_write *w, const sim_op *own)
{
    sim *s = w->sim;
    kal_table *table = sim_handle(s, own->table);
    kal_arena *arena = kal_write_arena(w->write);

    if (table == NULL)
        return false;
    KAL_ASSERT(w->op_count < SIM_OPS_MAX);
    bool shared = own->table->type == KAL_TABLE_SHARED;
    kal_write_op op = {.table = table,
                       .user_no = shared ? 0 : model_user_no(own->user),
                       .key = sim_key(table, own->table->shape, own->key, arena),
                       .keep_row = own->keeps_row};
    if (own->kind >= OP_PUT_SEEN) {
        fill_prepared(w, own, table, &op);
    } else {
        resolve_context *context = kal_arena_alloc(arena, sizeof *context);
        *context = (resolve_context){*own, s};
        op.resolve = resolve;
        op.context = context;
    }
    if (kal_write_add(w->write, &op, NULL, NULL) != KAL_OK)
        sim_fail(s, "write %u: an operation is refused", w->number);
    w->ops[w->op_count++] = *own;
    sim_trace(s, "write %u: %s %s.%s#%u user %u key %u number %lld seen %llu", w->number,
              KIND_NAMES[own->kind], SIM_NAMESPACE_NAMES[own->table->ns],
              SIM_TABLE_NAMES[own->table->name], own->table->table_id, own->user, own->key,
              (long long)own->image.number, (unsigned long long)own->seq_seen);
    return true;
}

void sim_write_submit(sim_write *w)
{
    kal_list_push_back(&w->sim->writes, &w->link);
    w->sim->write_count++;
    kal_write_submit(w->write, answered, w);
}

/* Other clients and the lane go on while this one waits. One waits at a time: it comes back in the
 * very step in which it is answered, so that the model learns of it before anybody reads. */
static void commit(sim_write *w)
{
    sim *s = w->sim;
    s->is_waiting = true;
    w->is_waited_for = true;
    kal_list_push_back(&s->writes, &w->link);
    s->write_count++;
    kal_status status = kal_write_commit(w->write, NULL);
    if (!is_settled(w) && status == KAL_BUSY)
        settle(s, w);
    else if (!is_settled(w))
        settle_through(s, w);
    sim_write_close(w);
    s->is_waiting = false;
}

void sim_write_send(sim_write *w)
{
    if (!w->sim->is_waiting && sim_chance(w->sim, 1, 8))
        commit(w);
    else
        sim_write_submit(w);
}

/* ---- by chance ---- */

static model_table *pick_table(sim *s)
{
    model *m = &s->model;
    model_table *alive[SIM_NAMESPACES * SIM_TABLES];
    unsigned count = 0;

    if (m->tables.len > 0 && sim_chance(s, 1, 20)) /* most likely one that is gone */
        return m->tables.items[sim_below(s, (unsigned)m->tables.len)];
    for (size_t i = 0; i < m->tables.len; i++) {
        if (model_is_alive(&m->tables.items[i]->life, m->now))
            alive[count++] = m->tables.items[i];
    }
    return count == 0 ? NULL : alive[sim_below(s, count)];
}

static sim_image random_image(sim *s)
{
    return (sim_image){.has_number = sim_chance(s, 7, 8),
                       .number = (int64_t)sim_below(s, 1000) - 500,
                       .text = sim_below(s, 4) == 0 ? 0 : 1 + sim_below(s, 5000)};
}

/* Mostly the newest seq, which a write in flight may change; else an older one or none. */
static uint64_t random_seq_seen(sim *s, const sim_op *op)
{
    const model_version *row = model_row(op->table, op->user, op->key, s->model.now);
    uint64_t seq = row != NULL ? row->seq : 0;
    unsigned dice = sim_below(s, 10);
    if (dice < 8)
        return seq;
    return dice == 8 && seq > 1 ? seq - 1 : 0;
}

bool sim_random_op(sim *s, sim_op *op)
{
    static const sim_op_kind KINDS[] = {OP_INSERT,   OP_INSERT,      OP_INSERT_IF_ABSENT,
                                        OP_UPSERT,   OP_UPSERT,      OP_UPSERT,
                                        OP_ADD,      OP_ADD,         OP_DELETE,
                                        OP_DELETE,   OP_PUT_SEEN,    OP_PUT_SEEN,
                                        OP_PUT_SEEN, OP_DELETE_SEEN, OP_REFUSE};
    *op = (sim_op){.table = pick_table(s)};
    if (op->table == NULL)
        return false;
    op->kind = KINDS[sim_below(s, KAL_ARRAY_LEN(KINDS) - !sim_chance(s, 1, 3))];
    op->user = sim_below(s, SIM_USERS);
    op->key = sim_below(s, SIM_KEYS);
    op->image = random_image(s);
    if (op->kind == OP_ADD)
        op->image.has_number = true;
    op->keeps_row = sim_chance(s, 1, 2);
    if (op->kind >= OP_PUT_SEEN)
        op->seq_seen = random_seq_seen(s, op);
    return true;
}

void sim_write_random(sim *s)
{
    sim_op op;
    if (s->write_count >= SIM_WRITES_MAX)
        return;
    sim_write *w = sim_write_open(s);
    for (unsigned i = 1 + (sim_chance(s, 1, 2) ? sim_below(s, SIM_OPS_MAX) : 0); i > 0; i--) {
        if (sim_random_op(s, &op) && !sim_write_add(w, &op))
            break;
    }
    if (w->op_count > 0)
        sim_write_send(w);
    else
        sim_write_close(w);
}
