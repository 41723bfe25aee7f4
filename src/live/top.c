#include "live/top.h"
#include "base/assert.h"
#include "base/map.h"
#include "base/ordered_map.h"
#include "base/vec.h"
#include "types/key.h"

#include <stdlib.h>

enum { SLACK_MIN = 64 };

struct live_top {
    kal_budget *budget;
    kal_ordered_map *rows; /* key -> u32 length of the name, name, text */
    size_t limit;
    size_t kept_max;
    bool is_complete; /* there are no others */
};

live_top *live_top_open(const kal_live_plan *plan, kal_budget *budget)
{
    live_top *top = calloc(1, sizeof *top);

    if (top == NULL)
        kal_die("out of memory: live queries");
    top->budget = budget;
    top->rows = kal_ordered_map_open(budget);
    top->limit = (size_t)plan->limit;
    top->kept_max = top->limit + (top->limit > SLACK_MIN ? top->limit : SLACK_MIN);
    top->is_complete = true;
    return top;
}

void live_top_close(live_top *top)
{
    if (top == NULL)
        return;
    kal_ordered_map_close(top->rows);
    free(top);
}

/* NULL before or behind all others; what descends has its bits turned, which turns its order, since
 * no key is a prefix of another. */
static void append_term(kal_buf *out, const kal_value *v, const kal_live_order *order)
{
    if (v->is_null) {
        kal_buf_append_byte(out, order->nulls_first ? 0 : 2);
        return;
    }
    kal_buf_append_byte(out, 1);
    size_t start = out->len;
    kal_key_append(out, v);
    for (size_t i = start; order->descending && i < out->len; i++)
        out->ptr[i] = (uint8_t)~out->ptr[i];
}

static void append_primary_key(const kal_live_plan *plan, const kal_value *values, kal_buf *out)
{
    for (uint32_t i = 0; i < plan->def->key_column_count; i++)
        kal_key_append(out, &values[plan->def->key_columns[i]]);
}

void live_top_name(const kal_live_plan *plan, const kal_value *values, kal_buf *out)
{
    kal_buf_clear(out);
    append_primary_key(plan, values, out);
}

kal_status live_top_key(const kal_live_plan *plan, const kal_expr_session *session,
                        const kal_value *values, kal_arena *scratch, kal_buf *out, kal_error *err)
{
    kal_buf_clear(out);
    for (size_t i = 0; i < plan->order_count; i++) {
        kal_value v;
        KAL_TRY(kal_expr_eval(plan->order_by[i].expr, values, session, scratch, &v, err));
        append_term(out, &v, &plan->order_by[i]);
    }
    append_primary_key(plan, values, out);
    return kal_buf_failed(out)
               ? kal_error_set(err, KAL_LIMIT, "the memory of live queries is used up")
               : KAL_OK;
}

static const kal_ordered_entry *last_row(const live_top *top)
{
    const kal_ordered_entry *last = NULL;
    uint8_t most[64];

    memset(most, 0xff, sizeof most); /* keys begin with 0, 1 or 2 */
    last = kal_ordered_map_below(top->rows, kal_bytes_of(most, sizeof most));
    return last;
}

bool live_top_admits(const live_top *top, kal_bytes key)
{
    const kal_ordered_entry *last = last_row(top);

    if (top->is_complete && kal_ordered_map_len(top->rows) < top->kept_max)
        return true;
    return last != NULL && kal_bytes_compare(key, kal_ordered_entry_key(last)) < 0;
}

void live_top_pass(live_top *top)
{
    top->is_complete = false;
}

static kal_status used_up(kal_error *err)
{
    return kal_error_set(err, KAL_LIMIT, "the result of the live query takes too much memory");
}

kal_status live_top_add(live_top *top, kal_bytes key, kal_bytes name, kal_bytes text,
                        kal_error *err)
{
    kal_buf value; /* owned */

    kal_buf_init(&value, top->budget);
    kal_buf_append_text(&value, name);
    kal_buf_append_bytes(&value, text);
    bool fits =
        !kal_buf_failed(&value) && kal_ordered_map_put(top->rows, key, kal_buf_bytes(&value));
    kal_buf_release(&value);
    if (!fits)
        return used_up(err);
    if (kal_ordered_map_len(top->rows) > top->kept_max) {
        top->is_complete = false;
        kal_ordered_map_remove(top->rows, kal_ordered_entry_key(last_row(top)));
    }
    return KAL_OK;
}

void live_top_remove(live_top *top, kal_bytes key)
{
    kal_ordered_map_remove(top->rows, key);
}

bool live_top_is_known(const live_top *top)
{
    return top->is_complete || kal_ordered_map_len(top->rows) >= top->limit;
}

kal_status live_top_each(const live_top *top, live_shown_visit visit, void *context, kal_error *err)
{
    const kal_ordered_entry *entry = kal_ordered_map_at_least(top->rows, (kal_bytes){0});

    for (size_t i = 0; i < top->limit && entry != NULL; i++) {
        live_shown_change row = {.after = kal_ordered_entry_value(entry)};
        if (!kal_bytes_take_text(&row.after, &row.key))
            return kal_error_set(err, KAL_CORRUPT, "a row of a live query is damaged");
        KAL_TRY(visit(context, &row, err));
        entry = kal_ordered_map_next(entry);
    }
    return KAL_OK;
}

/* ---- showing ---- */

typedef struct showing {
    live_shown *shown;
    uint64_t seq;
    live_shown_visit visit;
    void *context;
    kal_map first;              /* names of the first rows */
    KAL_VEC(kal_bytes) leaving; /* arena: names that are shown and not among them */
    kal_arena arena;
} showing;

static kal_status note_first(void *context, const live_shown_change *row, kal_error *err)
{
    showing *s = context;
    (void)err;
    kal_map_put(&s->first, row->key, s);
    return KAL_OK;
}

static kal_status note_leaving(void *context, const live_shown_change *row, kal_error *err)
{
    showing *s = context;
    kal_bytes copy;

    if (kal_map_find(&s->first, row->key) != NULL)
        return KAL_OK;
    return kal_arena_try_copy(&s->arena, row->key, &copy) &&
                   kal_vec_try_push_in(&s->arena, &s->leaving, copy)
               ? KAL_OK
               : used_up(err);
}

static kal_status show_first(void *context, const live_shown_change *row, kal_error *err)
{
    showing *s = context;
    return live_shown_set(s->shown, row->key, row->after, s->seq, s->visit, s->context, err);
}

static kal_status show_all(const live_top *top, showing *s, kal_error *err)
{
    KAL_TRY(live_top_each(top, note_first, s, err));
    KAL_TRY(live_shown_each(s->shown, note_leaving, s, err));
    for (size_t i = 0; i < s->leaving.len; i++)
        KAL_TRY(live_shown_set(s->shown, s->leaving.items[i], (kal_bytes){0}, s->seq, s->visit,
                               s->context, err));
    return live_top_each(top, show_first, s, err);
}

kal_status live_top_show(const live_top *top, live_shown *shown, uint64_t seq,
                         live_shown_visit visit, void *context, kal_error *err)
{
    showing s = {.shown = shown, .seq = seq, .visit = visit, .context = context};

    kal_map_init(&s.first);
    kal_arena_init(&s.arena, top->budget);
    kal_status status = show_all(top, &s, err);
    kal_arena_release(&s.arena);
    kal_map_release(&s.first);
    return status;
}
