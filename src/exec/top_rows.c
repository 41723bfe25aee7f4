#include "exec/top_rows.h"
#include "base/assert.h"

#include <stdlib.h>

/* A row's bytes are given back when the next one needs so much less. */
enum { SPARE_BYTES = 4096, SPARE_FACTOR = 4 };

void kal_top_rows_init(kal_top_rows *top, const kal_sql_order *order_by, size_t order_count,
                       size_t item_count, size_t capacity, kal_budget *budget)
{
    KAL_ASSERT(capacity > 0);
    *top = (kal_top_rows){.order_by = order_by,
                          .order_count = order_count,
                          .item_count = item_count,
                          .capacity = capacity,
                          .budget = budget};
    kal_arena_init(&top->arena, budget);
}

void kal_top_rows_release(kal_top_rows *top)
{
    for (size_t i = 0; i < top->rows.len; i++)
        kal_buf_release(&top->rows.items[i]->bytes);
    kal_arena_release(&top->arena);
    *top = (kal_top_rows){0};
}

/* ---- order ---- */

static int compare_values(const kal_top_rows *top, const kal_value *a, const kal_value *b)
{
    for (size_t i = 0; i < top->order_count; i++) {
        bool nulls_first = top->order_by[i].nulls == KAL_SQL_NULLS_FIRST;
        if (a[i].is_null != b[i].is_null)
            return a[i].is_null == nulls_first ? -1 : 1;
        int order = a[i].is_null ? 0 : kal_value_compare(&a[i], &b[i]);
        if (order != 0)
            return top->order_by[i].descending ? -order : order;
    }
    return 0;
}

static int compare_rows(const kal_top_rows *top, const kal_top_row *a, const kal_top_row *b)
{
    int order = compare_values(top, a->values, b->values);
    return order != 0 ? order : (a->arrival > b->arrival) - (a->arrival < b->arrival);
}

static void swap(kal_top_rows *top, size_t i, size_t k)
{
    kal_top_row *row = top->rows.items[i];
    top->rows.items[i] = top->rows.items[k];
    top->rows.items[k] = row;
}

static void move_up(kal_top_rows *top, size_t i)
{
    while (i > 0) {
        size_t parent = (i - 1) / 2;
        if (compare_rows(top, top->rows.items[i], top->rows.items[parent]) <= 0)
            return;
        swap(top, i, parent);
        i = parent;
    }
}

static void move_down(kal_top_rows *top, size_t i)
{
    for (;;) {
        size_t last = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < top->rows.len; child++) {
            if (compare_rows(top, top->rows.items[child], top->rows.items[last]) > 0)
                last = child;
        }
        if (last == i)
            return;
        swap(top, i, last);
        i = last;
    }
}

/* ---- rows ---- */

static kal_status no_memory(kal_error *err)
{
    return kal_error_set(err, KAL_LIMIT, "the sorted rows exceed the statement's memory");
}

static kal_status new_row(kal_top_rows *top, kal_top_row **row_out, kal_error *err)
{
    kal_top_row *row = kal_arena_try_alloc(&top->arena, sizeof *row);
    if (row == NULL)
        return no_memory(err);
    row->values =
        kal_arena_try_array(&top->arena, top->order_count + top->item_count, sizeof *row->values);
    if (row->values == NULL || !kal_vec_try_push_in(&top->arena, &top->rows, row))
        return no_memory(err);
    kal_buf_init(&row->bytes, top->budget);
    *row_out = row;
    return KAL_OK;
}

static bool has_bytes(const kal_value *v)
{
    return !v->is_null && kal_type_is_bytes(v->type);
}

/* False when the budget refuses. */
static bool copy_values(kal_top_row *row, const kal_value *values, size_t count)
{
    size_t needed = 0;
    for (size_t i = 0; i < count; i++)
        needed += has_bytes(&values[i]) ? values[i].bytes.len : 0;
    if (row->bytes.cap > SPARE_BYTES + SPARE_FACTOR * needed) {
        kal_budget *budget = row->bytes.budget;
        kal_buf_release(&row->bytes);
        kal_buf_init(&row->bytes, budget);
    }
    kal_buf_clear(&row->bytes);
    if (!kal_buf_reserve(&row->bytes, needed)) /* all at once: what was copied stays in place */
        return false;
    for (size_t i = 0; i < count; i++) {
        row->values[i] = values[i];
        if (!has_bytes(&values[i]) || values[i].bytes.len == 0)
            continue;
        size_t at = row->bytes.len;
        kal_buf_append_bytes(&row->bytes, values[i].bytes);
        row->values[i].bytes = kal_bytes_of(row->bytes.ptr + at, values[i].bytes.len);
    }
    return true;
}

bool kal_top_rows_admits(const kal_top_rows *top, const kal_value *order_values)
{
    return top->rows.len < top->capacity ||
           compare_values(top, order_values, top->rows.items[0]->values) < 0;
}

kal_status kal_top_rows_add(kal_top_rows *top, const kal_value *values, kal_error *err)
{
    bool is_full = top->rows.len == top->capacity;
    kal_top_row *row = is_full ? top->rows.items[0] : NULL;

    if (!is_full)
        KAL_TRY(new_row(top, &row, err));
    if (!copy_values(row, values, top->order_count + top->item_count))
        return no_memory(err);
    row->arrival = top->arrivals++;
    if (is_full)
        move_down(top, 0);
    else
        move_up(top, top->rows.len - 1);
    return KAL_OK;
}

static int compare_for_sort(const void *a, const void *b, void *top)
{
    return compare_rows(top, *(kal_top_row *const *)a, *(kal_top_row *const *)b);
}

size_t kal_top_rows_sort(kal_top_rows *top)
{
    if (top->rows.len > 0)
        qsort_r(top->rows.items, top->rows.len, sizeof *top->rows.items, compare_for_sort, top);
    return top->rows.len;
}

const kal_value *kal_top_rows_items(const kal_top_rows *top, size_t i)
{
    return top->rows.items[i]->values + top->order_count;
}
