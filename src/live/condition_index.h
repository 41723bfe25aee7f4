/*
 * condition_index.h: which of many queries a changed row can concern.
 *
 * Each query is in it under the best condition of its WHERE (sql/bind_live.h): keys of one column
 * (equality, IN) in a hash table, a range of one column in an interval tree, or none, which every
 * row meets. A look-up costs one hash per column that is asked for by keys, one descent per column
 * that is asked for by ranges, and the hits.
 *
 * Threads: one at a time.
 */
#ifndef KAL_LIVE_CONDITION_INDEX_H
#define KAL_LIVE_CONDITION_INDEX_H

#include "base/list.h"
#include "base/map.h"
#include "base/vec.h"
#include "catalog/catalog.h"
#include "live/interval_tree.h"
#include "sql/bind_live.h"

/* What stands in the index; part of a query. */
typedef struct kal_indexed {
    kal_list link;                   /* NONE: of the index's list */
    const kal_live_index *condition; /* borrowed for as long as it is in */
    uint64_t stamp;                  /* of the look-up that last found it */
    bool is_hit_before;              /* valid with the stamp: the old row meets the condition */
    bool is_hit_after;
} kal_indexed;

/* How many conditions of one kind there are on a column. */
typedef struct kal_indexed_column {
    uint32_t column;
    size_t key_count;
    size_t range_count;
    kal_interval_tree ranges;
} kal_indexed_column;

typedef struct kal_condition_index {
    kal_list every;                        /* queries without a condition */
    kal_map keys;                          /* le32 column, key -> kal_indexed_set (owned) */
    KAL_VEC(kal_indexed_column *) columns; /* owned, heap */
    size_t len;                            /* queries */
    uint64_t stamp;
    KAL_VEC(kal_indexed *) hits; /* of the last look-up; heap */
    kal_buf key_before;          /* kept for their memory */
    kal_buf key_after;
} kal_condition_index;

void kal_condition_index_init(kal_condition_index *index);
void kal_condition_index_release(kal_condition_index *index); /* it is empty */
/* indexed->condition is set. */
void kal_condition_index_add(kal_condition_index *index, kal_indexed *indexed);
void kal_condition_index_remove(kal_condition_index *index, kal_indexed *indexed);
/* Everything whose condition one of the two rows (NULL: there is none) meets, into index->hits:
 * each once, in no order, with is_hit_before and is_hit_after. */
void kal_condition_index_find(kal_condition_index *index, const kal_row *before,
                              const kal_row *after);

#endif
