/*
 * interval_tree.h: which of many intervals of byte strings hold a point, in O(log n + hits).
 *
 * An interval is [lower, upper) in unsigned byte order; without an upper end it has no end. Points
 * are ordered keys (types/key.h), of which none is a prefix of another: so "value excluded" and
 * "value included" are told apart by a byte 00 behind the value's key.
 *
 * A treap of runs of 1 to 32 intervals, ordered by lower bound; each node knows the greatest upper
 * end below it. An interval takes about 100 bytes; alone in a tree, or where many were removed,
 * 250.
 *
 * Threads: one at a time.
 */
#ifndef KAL_LIVE_INTERVAL_TREE_H
#define KAL_LIVE_INTERVAL_TREE_H

#include "base/buf.h"
#include "base/rng.h"

typedef struct kal_interval_node kal_interval_node;

typedef struct kal_interval_tree {
    kal_interval_node *root; /* owned */
    kal_rng rng;
    size_t len;
} kal_interval_tree;

typedef struct kal_interval {
    kal_bytes lower; /* empty: from the beginning */
    kal_bytes upper; /* ptr NULL: no end */
} kal_interval;

void kal_interval_tree_init(kal_interval_tree *tree);
void kal_interval_tree_release(kal_interval_tree *tree);
/* Copies the bounds. value: what a hit is told as, not NULL; an (interval, value) comes once. */
void kal_interval_tree_add(kal_interval_tree *tree, kal_interval interval, void *value);
/* false: it is not there. */
bool kal_interval_tree_remove(kal_interval_tree *tree, kal_interval interval, void *value);
/* Every interval that holds the point, in no order; the tree must not change meanwhile. */
typedef void (*kal_interval_visit)(void *context, void *value);
void kal_interval_tree_stab(const kal_interval_tree *tree, kal_bytes point,
                            kal_interval_visit visit, void *context);
/* For tests: its invariants hold. */
bool kal_interval_tree_is_valid(const kal_interval_tree *tree);

#endif
