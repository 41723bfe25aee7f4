/*
 * match.c: one change: which queries it concerns, and what they are told.
 *
 * A row that did not match before and does now is an insert, one that does not match any more a
 * delete, whatever the statement was.
 */
#include "base/assert.h"
#include "live/live_internal.h"
#include "sql/row_values.h"

enum { SAMPLE_EVERY = 64, PREFETCH_AHEAD = 4 };

/* A change being matched, with its rows decoded when somebody asks. */
typedef struct matching {
    kal_live_worker *worker;
    const kal_change *change;
    kal_table *table;
    const kal_row *before; /* NULL: there is none */
    const kal_row *after;
    kal_value *before_values; /* scratch; NULL: not decoded yet */
    kal_value *after_values;
} matching;

kal_status live_row_values(kal_table *table, const kal_row *row, const uint64_t *bits,
                           kal_arena *arena, kal_value **values_out, kal_error *err)
{
    size_t count = kal_row_value_count(table);
    kal_value *values = kal_arena_try_array(arena, count, sizeof *values);

    if (values == NULL)
        return kal_error_set(err, KAL_LIMIT, "the memory of live queries is used up");
    kal_row_values(table, row, bits, values);
    *values_out = values;
    return KAL_OK;
}

kal_status live_stored_values(const live_query *q, kal_bytes bytes, kal_arena *arena,
                              kal_value **values_out, kal_error *err)
{
    kal_row row;

    *values_out = NULL;
    if (bytes.len == 0)
        return KAL_OK;
    KAL_TRY(kal_table_row_open(q->table, NULL, bytes, false, &row, err));
    return live_row_values(q->table, &row, q->wanted, arena, values_out, err);
}

static kal_status decode(matching *m, const kal_row *row, kal_value **values, kal_error *err)
{
    if (row == NULL || *values != NULL)
        return KAL_OK;
    return live_row_values(m->table, row, kal_column_bits(m->table, &m->worker->scratch, true),
                           &m->worker->scratch, values, err);
}

static kal_status test(matching *m, const live_query *q, const kal_row *row, kal_value **values,
                       bool is_hit, bool *out, kal_error *err)
{
    *out = is_hit;
    if (!is_hit || !q->has_rest)
        return KAL_OK;
    KAL_TRY(decode(m, row, values, err));
    return kal_expr_test(q->plan.where, *values, &q->session, &m->worker->scratch, out, err);
}

/* The body for this kind of event, made by the first query of the shape that needs it. */
static kal_status body_of(matching *m, live_query *q, bool was_in, bool is_in,
                          kal_message_body **out, kal_error *err)
{
    kal_budget *budget = m->worker->live->options.budget;
    live_shape *shape = q->shape;
    size_t kind = !was_in ? LIVE_INSERT : is_in ? LIVE_UPDATE : LIVE_DELETE;

    if (shape->stamp != m->worker->stamp) {
        for (size_t i = 0; i < LIVE_BODIES; i++) {
            kal_message_body_release(shape->bodies[i]);
            shape->bodies[i] = NULL;
        }
        shape->stamp = m->worker->stamp;
    }
    if (shape->bodies[kind] == NULL || q->hash_subs > 0) {
        KAL_TRY(decode(m, m->before, &m->before_values, err));
        KAL_TRY(decode(m, m->after, &m->after_values, err));
    }
    const kal_value *before = was_in ? m->before_values : NULL;
    const kal_value *after = is_in ? m->after_values : NULL;
    if (shape->bodies[kind] == NULL)
        KAL_TRY(live_encode_change(q, before, after, m->change->seq, m->change->seq,
                                   &m->worker->scratch, budget, &shape->bodies[kind], err));
    *out = shape->bodies[kind];
    return q->hash_subs == 0
               ? KAL_OK
               : live_note_delta(q, before, after, &m->worker->scratch, budget, *out, err);
}

static void fail_subs(live_query *q, uint64_t seq, const kal_error *err)
{
    KAL_LIST_FOR_EACH (link, &q->subs)
        live_sub_fail(KAL_CONTAINER_OF(link, live_sub, query_link), seq, err);
}

static void count(_Atomic uint64_t *counter, uint64_t by)
{
    /* One thread writes: no need for a locked addition. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
                          memory_order_relaxed);
}

static kal_status test_both(matching *m, live_query *q, bool *was_in, bool *is_in, kal_error *err)
{
    KAL_TRY(test(m, q, m->before, &m->before_values, q->indexed.is_hit_before, was_in, err));
    return test(m, q, m->after, &m->after_values, q->indexed.is_hit_after, is_in, err);
}

/* Now and then with a look at the clock. */
static kal_status test_counted(matching *m, live_query *q, bool *was_in, bool *is_in,
                               kal_error *err)
{
    const kal_clock *clock = m->worker->live->options.clock;
    uint64_t tested = atomic_load_explicit(&q->tested, memory_order_relaxed);
    bool is_sample = tested % SAMPLE_EVERY == 0;
    uint64_t begun = is_sample ? kal_clock_mono_ns(clock) : 0;

    kal_status status = test_both(m, q, was_in, is_in, err);
    count(&q->tested, 1);
    if (*was_in || *is_in)
        count(&q->matched, 1);
    if (is_sample) {
        count(&q->samples, 1);
        count(&q->sampled_ns, kal_clock_mono_ns(clock) - begun);
    }
    return status;
}

static void match_result(matching *m, live_query *q, bool was_in, bool is_in)
{
    kal_error err = KAL_ERROR_INIT;
    kal_status status = decode(m, was_in ? m->before : NULL, &m->before_values, &err);

    if (status == KAL_OK)
        status = decode(m, is_in ? m->after : NULL, &m->after_values, &err);
    if (status != KAL_OK) {
        fail_subs(q, m->change->seq, &err);
        return;
    }
    live_images images = {
        .before = was_in ? m->before_values : NULL,
        .after = is_in ? m->after_values : NULL,
        .before_bytes = m->change->before,
        .after_bytes = m->change->after,
        .seq = m->change->seq,
    };
    live_result_change(m->worker, q, &images);
}

static void match_query(matching *m, live_query *q)
{
    kal_error err = KAL_ERROR_INIT;
    kal_message_body *body = NULL;
    bool was_in = false;
    bool is_in = false;

    kal_status status = test_counted(m, q, &was_in, &is_in, &err);
    if (status == KAL_OK && !was_in && !is_in)
        return;
    if (status != KAL_OK) {
        fail_subs(q, m->change->seq, &err);
        return;
    }
    if (q->has_result) {
        match_result(m, q, was_in, is_in);
        return;
    }
    KAL_LIST_FOR_EACH (link, &q->subs) {
        live_sub *sub = KAL_CONTAINER_OF(link, live_sub, query_link);
        live_sub_prefetch(KAL_CONTAINER_OF(link->next, live_sub, query_link));
        if (!live_sub_wants(sub, m->change->seq))
            continue;
        if (body == NULL) {
            status = body_of(m, q, was_in, is_in, &body, &err);
            if (status != KAL_OK) {
                fail_subs(q, m->change->seq, &err);
                return;
            }
        }
        live_sub_change(sub, m->change->seq, body);
    }
}

static live_query *hit_query(const kal_condition_index *index, size_t i)
{
    return KAL_CONTAINER_OF(index->hits.items[i], live_query, indexed);
}

/* With many queries nearly everything a hit looks at is out of the cache: it is asked for ahead. */
static void match_hits(matching *m, const kal_condition_index *index)
{
    size_t count = index->hits.len;

    for (size_t i = 0; i < count; i++) {
        if (i + 2 * PREFETCH_AHEAD < count)
            __builtin_prefetch(&hit_query(index, i + 2 * PREFETCH_AHEAD)->tested);
        if (i + PREFETCH_AHEAD < count) {
            const live_query *q = hit_query(index, i + PREFETCH_AHEAD);
            live_sub_prefetch(KAL_CONTAINER_OF(q->subs.next, live_sub, query_link));
        }
        match_query(m, hit_query(index, i));
    }
}

static kal_status open_row(matching *m, kal_bytes bytes, kal_row *row, const kal_row **out,
                           kal_error *err)
{
    if (bytes.len == 0)
        return KAL_OK;
    KAL_TRY(kal_table_row_open(m->table, NULL, bytes, false, row, err));
    *out = row;
    return KAL_OK;
}

static void fail_partition(live_partition *p, uint64_t seq, const kal_error *err)
{
    KAL_LIST_FOR_EACH (link, &p->table->queries) {
        live_query *q = KAL_CONTAINER_OF(link, live_query, link);
        if (q->partition == p)
            fail_subs(q, seq, err);
    }
}

static void match_partition(kal_live_worker *w, live_partition *p, const kal_change *change)
{
    kal_error err = KAL_ERROR_INIT;
    matching m = {.worker = w, .change = change, .table = p->table->table};
    kal_row before;
    kal_row after;

    w->stamp++;
    kal_status status = open_row(&m, change->before, &before, &m.before, &err);
    if (status == KAL_OK)
        status = open_row(&m, change->after, &after, &m.after, &err);
    if (status != KAL_OK) {
        fail_partition(p, change->seq, &err);
    } else {
        kal_condition_index_find(&p->index, m.before, m.after);
        match_hits(&m, &p->index);
    }
    kal_arena_reset(&w->scratch);
    live_subs_end_failed(w); /* not before: the hits are theirs */
}

void live_match(kal_live_worker *w, const kal_change *change)
{
    uint8_t bytes[LIVE_NUMBER_BYTES];
    uint32_t version = change->table->def->schema_version;
    live_table *next = NULL;

    const kal_bytes user = live_number_key(change->user_no, bytes);
    for (live_table *t = live_tables_of(w, change->table_id); t != NULL; t = next) {
        next = t->next; /* subscriptions that end may take t away */
        live_partition *p = kal_map_find(&t->partitions, user);
        if (p != NULL && t->table->def->schema_version >= version)
            match_partition(w, p, change);
    }
    w->seqs[change->shard] = change->seq;
}
