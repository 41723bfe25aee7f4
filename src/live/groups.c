#include "live/groups.h"
#include "base/assert.h"
#include "base/exact_sum.h"
#include "base/list.h"
#include "base/map.h"
#include "base/ordered_map.h"
#include "types/json.h"
#include "types/key.h"

#include <stdlib.h>

enum { COUNT_BYTES = 8 };

/* One aggregate of one group. */
typedef struct aggregate {
    int64_t count;           /* of values that are not NULL; COUNT(*): of rows */
    kal_i128 sum;            /* SUM, AVG of integers and decimals */
    kal_exact_sum *exact;    /* owned: SUM, AVG of FLOAT and DOUBLE */
    kal_ordered_map *values; /* owned: MIN, MAX: key -> le64 how often */
} aggregate;

typedef struct group {
    kal_list link;       /* groups->all */
    kal_list dirty_link; /* groups->dirty */
    kal_bytes key;       /* owned */
    int64_t row_count;
    uint64_t dirty_seq;    /* of the last change */
    kal_arena arena;       /* of cells */
    kal_value *cells;      /* one per item that is no aggregate; arena */
    aggregate *aggregates; /* owned; one per item */
    size_t item_count;
    size_t charged;
} group;

struct live_groups {
    kal_budget *budget;
    kal_map by_key;
    kal_list all;
    kal_list dirty;
    kal_buf key; /* kept for their memory */
    kal_buf row;
    kal_buf value;
};

/* ---- opening and closing ---- */

live_groups *live_groups_open(kal_budget *budget)
{
    live_groups *g = calloc(1, sizeof *g);

    if (g == NULL)
        kal_die("out of memory: groups");
    g->budget = budget;
    kal_map_init(&g->by_key);
    kal_list_init(&g->all);
    kal_list_init(&g->dirty);
    kal_buf_init(&g->key, NULL);
    kal_buf_init(&g->row, budget);
    kal_buf_init(&g->value, NULL);
    return g;
}

static void free_aggregates(live_groups *g, group *one)
{
    for (size_t i = 0; one->aggregates != NULL && i < one->item_count; i++) {
        kal_ordered_map_close(one->aggregates[i].values);
        if (one->aggregates[i].exact != NULL)
            kal_budget_release(g->budget, sizeof(kal_exact_sum));
        free(one->aggregates[i].exact);
    }
    free(one->aggregates);
    one->aggregates = NULL;
}

static void free_group(live_groups *g, group *one)
{
    free_aggregates(g, one);
    kal_list_remove(&one->link);
    kal_list_remove(&one->dirty_link);
    kal_arena_release(&one->arena);
    kal_budget_release(g->budget, one->charged);
    free((void *)one->key.ptr);
    free(one);
}

void live_groups_close(live_groups *g)
{
    if (g == NULL)
        return;
    while (!kal_list_empty(&g->all))
        free_group(g, KAL_CONTAINER_OF(g->all.next, group, link));
    kal_map_release(&g->by_key);
    kal_buf_release(&g->key);
    kal_buf_release(&g->row);
    kal_buf_release(&g->value);
    free(g);
}

/* ---- a group ---- */

kal_status live_groups_key(const kal_live_plan *plan, const kal_expr_session *session,
                           const kal_value *values, kal_arena *scratch, kal_buf *out,
                           kal_error *err)
{
    kal_buf_clear(out);
    for (size_t i = 0; i < plan->group_count; i++) {
        kal_value v;
        KAL_TRY(kal_expr_eval(plan->group_by[i], values, session, scratch, &v, err));
        kal_buf_append_byte(out, !v.is_null);
        if (!v.is_null)
            kal_key_append(out, &v);
    }
    return KAL_OK;
}

static kal_status used_up(kal_error *err)
{
    kal_error_set(err, KAL_LIMIT, "the groups of the live query take too much memory");
    kal_error_hint(err, "narrow it with WHERE, or group by less");
    return KAL_LIMIT;
}

static bool is_exact_sum(const kal_live_item *item)
{
    return (item->fn == KAL_LIVE_SUM || item->fn == KAL_LIVE_AVG) &&
           (item->expr->type.tag == KAL_TYPE_DOUBLE || item->expr->type.tag == KAL_TYPE_FLOAT);
}

static bool make_aggregates(live_groups *g, const kal_live_plan *plan, group *one)
{
    one->aggregates = calloc(plan->item_count, sizeof *one->aggregates);
    if (one->aggregates == NULL)
        return false;
    for (size_t i = 0; i < plan->item_count; i++) {
        const kal_live_item *item = &plan->items[i];
        if (item->fn == KAL_LIVE_MIN || item->fn == KAL_LIVE_MAX)
            one->aggregates[i].values = kal_ordered_map_open(g->budget);
        if (!is_exact_sum(item))
            continue;
        if (!kal_budget_charge(g->budget, sizeof(kal_exact_sum)))
            return false;
        one->aggregates[i].exact = calloc(1, sizeof(kal_exact_sum));
        if (one->aggregates[i].exact == NULL)
            kal_die("out of memory: groups");
    }
    return true;
}

static kal_status set_cells(const kal_live_plan *plan, const kal_expr_session *session,
                            const kal_value *values, group *one, kal_arena *scratch, kal_error *err)
{
    one->cells = kal_arena_try_array(&one->arena, plan->item_count + 1, sizeof *one->cells);
    if (one->cells == NULL)
        return used_up(err);
    for (size_t i = 0; i < plan->item_count; i++) {
        kal_value v;
        if (plan->items[i].fn != KAL_LIVE_NONE)
            continue;
        KAL_TRY(kal_expr_eval(plan->items[i].expr, values, session, scratch, &v, err));
        if (!kal_value_copy(&v, &one->arena, &one->cells[i]))
            return used_up(err);
    }
    return KAL_OK;
}

/* values NULL: the group of a query without GROUP BY, which shows aggregates only. */
static kal_status make_group(live_groups *g, const kal_live_plan *plan,
                             const kal_expr_session *session, const kal_value *values,
                             kal_bytes key, kal_arena *scratch, group **out, kal_error *err)
{
    size_t bytes = sizeof(group) + plan->item_count * sizeof(aggregate) + 2 * key.len;

    if (!kal_budget_charge(g->budget, bytes))
        return used_up(err);
    group *one = calloc(1, sizeof *one); /* owned by g->all */
    uint8_t *key_copy = malloc(key.len + 1);
    if (one == NULL || key_copy == NULL)
        kal_die("out of memory: groups");
    if (key.len > 0)
        memcpy(key_copy, key.ptr, key.len);
    one->key = kal_bytes_of(key_copy, key.len);
    one->charged = bytes;
    one->item_count = plan->item_count;
    kal_list_init(&one->dirty_link);
    kal_list_push_back(&g->all, &one->link);
    kal_arena_init(&one->arena, g->budget);
    kal_status status = make_aggregates(g, plan, one) ? KAL_OK : used_up(err);
    if (status == KAL_OK && values != NULL)
        status = set_cells(plan, session, values, one, scratch, err);
    if (status != KAL_OK) {
        free_group(g, one);
        return status;
    }
    kal_map_put(&g->by_key, one->key, one);
    *out = one;
    return KAL_OK;
}

/* ---- rows in and out ---- */

static kal_status add_sum(aggregate *a, const kal_live_item *item, kal_i128 v, bool take_out,
                          kal_error *err)
{
    kal_i128 sum = 0;
    bool overflow = take_out ? __builtin_sub_overflow(a->sum, v, &sum)
                             : __builtin_add_overflow(a->sum, v, &sum);
    if (overflow)
        return kal_error_set(err, KAL_INVALID, "%.*s does not fit its type", KAL_FMT(item->name));
    a->sum = sum;
    return KAL_OK;
}

/* One more, or one less, of a value. */
static kal_status count_value(live_groups *g, aggregate *a, const kal_value *v, bool take_out,
                              kal_error *err)
{
    uint8_t bytes[COUNT_BYTES];

    kal_buf_clear(&g->value);
    kal_key_append(&g->value, v);
    kal_bytes key = kal_buf_bytes(&g->value);
    const kal_ordered_entry *entry = kal_ordered_map_find(a->values, key);
    uint64_t count = entry == NULL ? 0 : kal_load_le64(kal_ordered_entry_value(entry).ptr);
    count = take_out ? count - 1 : count + 1;
    if (count == 0 || count == UINT64_MAX) {
        kal_ordered_map_remove(a->values, key);
        return KAL_OK;
    }
    kal_store_le64(bytes, count);
    return kal_ordered_map_put(a->values, key, kal_bytes_of(bytes, sizeof bytes)) ? KAL_OK
                                                                                  : used_up(err);
}

static kal_status add_value(live_groups *g, aggregate *a, const kal_live_item *item,
                            const kal_value *v, bool take_out, kal_error *err)
{
    a->count += take_out ? -1 : 1;
    switch (item->fn) {
    case KAL_LIVE_NONE:
    case KAL_LIVE_COUNT:
        return KAL_OK;
    case KAL_LIVE_MIN:
    case KAL_LIVE_MAX:
        return count_value(g, a, v, take_out, err);
    case KAL_LIVE_SUM:
    case KAL_LIVE_AVG:
        break;
    }
    if (a->exact == NULL)
        return add_sum(a, item, v->type.tag == KAL_TYPE_DECIMAL ? v->decimal : (kal_i128)v->integer,
                       take_out, err);
    double d = v->type.tag == KAL_TYPE_FLOAT ? (double)v->f32 : v->f64;
    if (take_out)
        kal_exact_sum_remove(a->exact, d);
    else
        kal_exact_sum_add(a->exact, d);
    return KAL_OK;
}

static kal_status add_to_group(live_groups *g, const kal_live_plan *plan,
                               const kal_expr_session *session, const kal_value *values, group *one,
                               bool take_out, kal_arena *scratch, kal_error *err)
{
    one->row_count += take_out ? -1 : 1;
    for (size_t i = 0; i < plan->item_count; i++) {
        const kal_live_item *item = &plan->items[i];
        kal_value v = {0};
        if (item->fn == KAL_LIVE_NONE)
            continue;
        if (item->expr != NULL)
            KAL_TRY(kal_expr_eval(item->expr, values, session, scratch, &v, err));
        if (item->expr == NULL || !v.is_null)
            KAL_TRY(add_value(g, &one->aggregates[i], item, &v, take_out, err));
    }
    return KAL_OK;
}

kal_status live_groups_add(live_groups *g, const kal_live_plan *plan,
                           const kal_expr_session *session, const kal_value *values, bool take_out,
                           uint64_t seq, kal_arena *scratch, kal_error *err)
{
    KAL_TRY(live_groups_key(plan, session, values, scratch, &g->key, err));
    group *one = kal_map_find(&g->by_key, kal_buf_bytes(&g->key));
    if (one == NULL && take_out)
        return kal_error_set(err, KAL_CORRUPT, "a row leaves a group that is not there");
    if (one == NULL)
        KAL_TRY(make_group(g, plan, session, values, kal_buf_bytes(&g->key), scratch, &one, err));
    kal_list_remove(&one->dirty_link);
    kal_list_push_back(&g->dirty, &one->dirty_link);
    one->dirty_seq = seq;
    return add_to_group(g, plan, session, values, one, take_out, scratch, err);
}

/* ---- what a group shows ---- */

static kal_status read_sum(const kal_live_item *item, aggregate *a, kal_value *out, kal_error *err)
{
    if (a->exact != NULL) {
        *out = kal_value_double(kal_exact_sum_read(a->exact));
        return KAL_OK;
    }
    *out = kal_value_decimal(item->type, a->sum);
    return kal_value_validate(out, err);
}

/* As DuckDB: in long double, scale and all. */
static kal_value read_average(const kal_live_item *item, aggregate *a)
{
    long double divisor = (long double)a->count;

    if (a->exact != NULL)
        return kal_value_double(kal_exact_sum_read(a->exact) / (double)a->count);
    for (unsigned i = 0; item->expr->type.tag == KAL_TYPE_DECIMAL && i < item->expr->type.scale;
         i++)
        divisor *= 10;
    return kal_value_double((double)((long double)a->sum / divisor));
}

static kal_status read_extreme(live_groups *g, const kal_live_item *item, const aggregate *a,
                               kal_arena *scratch, kal_value *out, kal_error *err)
{
    uint8_t most[KAL_PRIMARY_KEY_BYTES_MAX];
    const kal_ordered_entry *entry = kal_ordered_map_at_least(a->values, (kal_bytes){0});

    (void)g;
    if (item->fn == KAL_LIVE_MAX) {
        memset(most, 0xff, sizeof most); /* above every key */
        entry = kal_ordered_map_below(a->values, kal_bytes_of(most, sizeof most));
    }
    KAL_ASSERT(entry != NULL);
    kal_bytes key = kal_ordered_entry_key(entry);
    return kal_key_decode(&key, item->expr->type, scratch, out, err);
}

static kal_status read_aggregate(live_groups *g, const kal_live_item *item, aggregate *a,
                                 kal_arena *scratch, kal_value *out, kal_error *err)
{
    if (item->fn == KAL_LIVE_COUNT) {
        *out = kal_value_bigint(a->count);
        return KAL_OK;
    }
    if (a->count == 0) {
        *out = kal_value_null(item->type);
        return KAL_OK;
    }
    if (item->fn == KAL_LIVE_SUM)
        return read_sum(item, a, out, err);
    if (item->fn == KAL_LIVE_AVG) {
        *out = read_average(item, a);
        return KAL_OK;
    }
    return read_extreme(g, item, a, scratch, out, err);
}

/* The members of the group's row, into g->row. */
static kal_status write_row(live_groups *g, const kal_live_plan *plan, group *one, kal_error *err)
{
    kal_json_writer w;
    kal_arena scratch; /* owned */
    kal_status status = KAL_OK;

    kal_arena_init(&scratch, g->budget);
    kal_buf_clear(&g->row);
    kal_json_writer_init(&w, &g->row);
    kal_json_begin_members(&w);
    for (size_t i = 0; i < plan->item_count && status == KAL_OK; i++) {
        const kal_live_item *item = &plan->items[i];
        kal_value v;
        if (item->fn == KAL_LIVE_NONE)
            v = one->cells[i];
        else
            status = read_aggregate(g, item, &one->aggregates[i], &scratch, &v, err);
        if (status != KAL_OK)
            break;
        kal_json_key_bytes(&w, item->name);
        kal_value_write_json(&v, &w);
    }
    kal_arena_release(&scratch);
    return status == KAL_OK && kal_buf_failed(&g->row) ? used_up(err) : status;
}

kal_status live_groups_members(const kal_live_plan *plan, const kal_expr_session *session,
                               const kal_value *values, kal_arena *scratch, kal_buf *out,
                               kal_error *err)
{
    kal_json_writer w;

    kal_buf_clear(out);
    kal_json_writer_init(&w, out);
    kal_json_begin_members(&w);
    for (size_t i = 0; i < plan->item_count; i++) {
        kal_value v;
        if (plan->items[i].fn != KAL_LIVE_NONE)
            continue;
        KAL_TRY(kal_expr_eval(plan->items[i].expr, values, session, scratch, &v, err));
        kal_json_key_bytes(&w, plan->items[i].name);
        kal_value_write_json(&v, &w);
    }
    return kal_buf_failed(out) ? used_up(err) : KAL_OK;
}

static kal_status show_group(live_groups *g, const kal_live_plan *plan, group *one,
                             live_shown *shown, live_shown_visit visit, void *context,
                             kal_error *err)
{
    if (one->row_count > 0 || plan->group_count == 0) {
        KAL_TRY(write_row(g, plan, one, err));
        return live_shown_set(shown, one->key, kal_buf_bytes(&g->row), one->dirty_seq, visit,
                              context, err);
    }
    KAL_TRY(live_shown_set(shown, one->key, (kal_bytes){0}, one->dirty_seq, visit, context, err));
    kal_map_remove(&g->by_key, one->key);
    free_group(g, one);
    return KAL_OK;
}

kal_status live_groups_show(live_groups *g, const kal_live_plan *plan, live_shown *shown,
                            live_shown_visit visit, void *context, kal_error *err)
{
    kal_list *link;
    group *only = NULL;

    if (plan->group_count == 0 && kal_list_empty(&g->all)) {
        KAL_TRY(make_group(g, plan, NULL, NULL, (kal_bytes){0}, NULL, &only, err));
        kal_list_push_back(&g->dirty, &only->dirty_link);
    }
    while ((link = kal_list_pop_front(&g->dirty)) != NULL)
        KAL_TRY(show_group(g, plan, KAL_CONTAINER_OF(link, group, dirty_link), shown, visit,
                           context, err));
    return KAL_OK;
}
