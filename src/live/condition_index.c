#include "live/condition_index.h"
#include "base/assert.h"
#include "types/key.h"

#include <stdlib.h>

enum { COLUMN_BYTES = 4, PREFETCH_AHEAD = 8 };

/* The queries that ask for one key. */
typedef struct kal_indexed_set {
    KAL_VEC(kal_indexed *) items; /* heap */
} kal_indexed_set;

void kal_condition_index_init(kal_condition_index *index)
{
    *index = (kal_condition_index){0};
    kal_list_init(&index->every);
    kal_map_init(&index->keys);
    kal_buf_init(&index->key_before, NULL);
    kal_buf_init(&index->key_after, NULL);
}

void kal_condition_index_release(kal_condition_index *index)
{
    KAL_ASSERT(index->len == 0);
    KAL_ASSERT(index->columns.len == 0);
    kal_map_release(&index->keys);
    kal_vec_release(&index->columns);
    kal_vec_release(&index->hits);
    kal_buf_release(&index->key_before);
    kal_buf_release(&index->key_after);
}

/* ---- adding and removing ---- */

static kal_indexed_column *column_of(kal_condition_index *index, uint32_t column, size_t *at_out)
{
    for (size_t i = 0; i < index->columns.len; i++) {
        *at_out = i;
        if (index->columns.items[i]->column == column)
            return index->columns.items[i];
    }
    return NULL;
}

static kal_indexed_column *make_column(kal_condition_index *index, uint32_t column)
{
    size_t at = 0;
    kal_indexed_column *c = column_of(index, column, &at);
    if (c != NULL)
        return c;
    c = calloc(1, sizeof *c); /* owned by the index */
    if (c == NULL)
        kal_die("out of memory: condition index");
    c->column = column;
    kal_interval_tree_init(&c->ranges);
    kal_vec_push(&index->columns, c);
    return c;
}

static void drop_column_if_unused(kal_condition_index *index, size_t at)
{
    kal_indexed_column *c = index->columns.items[at];
    if (c->key_count > 0 || c->range_count > 0)
        return;
    kal_interval_tree_release(&c->ranges);
    free(c);
    index->columns.items[at] = index->columns.items[--index->columns.len];
}

/* le32 column | key, in `out`. */
static kal_bytes entry_key(kal_buf *out, uint32_t column, kal_bytes key)
{
    kal_buf_clear(out);
    kal_buf_append_le32(out, column);
    kal_buf_append_bytes(out, key);
    return kal_buf_bytes(out);
}

static void add_key(kal_condition_index *index, kal_bytes entry, kal_indexed *indexed)
{
    kal_indexed_set *set = kal_map_find(&index->keys, entry);
    if (set == NULL) {
        set = calloc(1, sizeof *set); /* owned by the map */
        if (set == NULL)
            kal_die("out of memory: condition index");
        kal_map_put(&index->keys, entry, set);
    }
    kal_vec_push(&set->items, indexed);
}

static void remove_key(kal_condition_index *index, kal_bytes entry, const kal_indexed *indexed)
{
    kal_indexed_set *set = kal_map_find(&index->keys, entry);

    KAL_ASSERT(set != NULL);
    for (size_t i = 0; i < set->items.len; i++) {
        if (set->items.items[i] == indexed) {
            set->items.items[i] = set->items.items[--set->items.len];
            break;
        }
    }
    if (set->items.len > 0)
        return;
    kal_map_remove(&index->keys, entry);
    kal_vec_release(&set->items);
    free(set);
}

/* The bounds as [lower, upper) of keys: "after the value" is its key and a byte 00. `upper_out`
 * and `lower_out` hold the bytes. */
static kal_interval interval_of(const kal_live_index *c, kal_buf *lower_out, kal_buf *upper_out)
{
    kal_interval interval = {0};

    kal_buf_clear(lower_out);
    kal_buf_clear(upper_out);
    kal_buf_append_bytes(lower_out, c->has_lower ? c->lower : (kal_bytes){0});
    if (c->has_lower && !c->lower_inclusive)
        kal_buf_append_byte(lower_out, 0);
    interval.lower = kal_buf_bytes(lower_out);
    if (!c->has_upper)
        return interval;
    kal_buf_append_bytes(upper_out, c->upper);
    if (c->upper_inclusive)
        kal_buf_append_byte(upper_out, 0);
    interval.upper = kal_buf_bytes(upper_out);
    return interval;
}

void kal_condition_index_add(kal_condition_index *index, kal_indexed *indexed)
{
    const kal_live_index *c = indexed->condition;

    kal_list_init(&indexed->link);
    indexed->stamp = 0;
    index->len++;
    switch (c->kind) {
    case KAL_LIVE_INDEX_NEVER:
        break;
    case KAL_LIVE_INDEX_NONE:
        kal_list_push_back(&index->every, &indexed->link);
        break;
    case KAL_LIVE_INDEX_KEYS:
        make_column(index, c->column)->key_count++;
        for (size_t i = 0; i < c->key_count; i++)
            add_key(index, entry_key(&index->key_after, c->column, c->keys[i]), indexed);
        break;
    case KAL_LIVE_INDEX_RANGE: {
        kal_indexed_column *column = make_column(index, c->column);
        column->range_count++;
        kal_interval_tree_add(&column->ranges,
                              interval_of(c, &index->key_before, &index->key_after), indexed);
        break;
    }
    }
}

void kal_condition_index_remove(kal_condition_index *index, kal_indexed *indexed)
{
    const kal_live_index *c = indexed->condition;
    size_t at = 0;

    KAL_ASSERT(index->len > 0);
    index->len--;
    kal_list_remove(&indexed->link);
    if (c->kind == KAL_LIVE_INDEX_KEYS) {
        for (size_t i = 0; i < c->key_count; i++)
            remove_key(index, entry_key(&index->key_after, c->column, c->keys[i]), indexed);
        column_of(index, c->column, &at)->key_count--;
        drop_column_if_unused(index, at);
    } else if (c->kind == KAL_LIVE_INDEX_RANGE) {
        kal_indexed_column *column = column_of(index, c->column, &at);
        bool was_there = kal_interval_tree_remove(
            &column->ranges, interval_of(c, &index->key_before, &index->key_after), indexed);
        KAL_ASSERT(was_there);
        column->range_count--;
        drop_column_if_unused(index, at);
    }
}

/* ---- looking up ---- */

typedef struct lookup {
    kal_condition_index *index;
    bool is_after; /* which of the two rows */
} lookup;

static void hit(void *context, void *value)
{
    lookup *l = context;
    kal_indexed *indexed = value;

    if (indexed->stamp != l->index->stamp) {
        indexed->stamp = l->index->stamp;
        indexed->is_hit_before = false;
        indexed->is_hit_after = false;
        kal_vec_push(&l->index->hits, indexed);
    }
    if (l->is_after)
        indexed->is_hit_after = true;
    else
        indexed->is_hit_before = true;
}

static void find_in_column(lookup *l, const kal_indexed_column *column, kal_bytes entry)
{
    if (column->key_count > 0) {
        const kal_indexed_set *set = kal_map_find(&l->index->keys, entry);
        for (size_t i = 0; set != NULL && i < set->items.len; i++) {
            if (i + PREFETCH_AHEAD < set->items.len)
                __builtin_prefetch(set->items.items[i + PREFETCH_AHEAD]);
            hit(l, set->items.items[i]);
        }
    }
    if (column->range_count > 0)
        kal_interval_tree_stab(&column->ranges,
                               kal_bytes_of(entry.ptr + COLUMN_BYTES, entry.len - COLUMN_BYTES),
                               hit, l);
}

/* The row's entry of the column, empty when it is NULL or there is no row. */
static kal_bytes row_entry(kal_buf *out, const kal_row *row, uint32_t column)
{
    kal_value value;

    kal_buf_clear(out);
    if (row == NULL)
        return (kal_bytes){0};
    kal_row_get(row, column, &value);
    if (value.is_null)
        return (kal_bytes){0};
    kal_buf_append_le32(out, column);
    kal_key_append(out, &value);
    return kal_buf_bytes(out);
}

static void find_row(kal_condition_index *index, const kal_row *row, bool is_after)
{
    lookup l = {index, is_after};

    if (row == NULL)
        return;
    KAL_LIST_FOR_EACH (link, &index->every)
        hit(&l, KAL_CONTAINER_OF(link, kal_indexed, link));
    for (size_t i = 0; i < index->columns.len; i++) {
        kal_bytes entry = row_entry(&index->key_after, row, index->columns.items[i]->column);
        if (entry.len > 0)
            find_in_column(&l, index->columns.items[i], entry);
    }
}

void kal_condition_index_find(kal_condition_index *index, const kal_row *before,
                              const kal_row *after)
{
    index->stamp++;
    index->hits.len = 0;
    find_row(index, before, false);
    find_row(index, after, true);
}
