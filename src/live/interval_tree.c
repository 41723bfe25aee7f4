#include "live/interval_tree.h"
#include "base/assert.h"

#include <stdlib.h>

struct kal_interval_node {
    kal_interval_node *left;
    kal_interval_node *right;
    const kal_interval_node *last; /* of this sub-tree: the node with the greatest upper end */
    void *value;
    uint64_t priority;   /* a parent's is not less than its children's */
    uint64_t lower_head; /* the first 8 bytes, big-endian: most comparisons end there */
    uint64_t upper_head;
    uint64_t last_head; /* upper_head of `last`, UINT64_MAX when that is open */
    uint32_t lower_len;
    uint32_t upper_len;
    bool is_open;    /* no upper end */
    uint8_t bytes[]; /* lower, upper */
};

static uint64_t head_of(kal_bytes b)
{
    uint8_t head[8] = {0};
    if (b.len > 0)
        memcpy(head, b.ptr, b.len < sizeof head ? b.len : sizeof head);
    return kal_load_be64(head);
}

static kal_bytes lower_of(const kal_interval_node *n)
{
    return kal_bytes_of(n->bytes, n->lower_len);
}

static kal_bytes upper_of(const kal_interval_node *n)
{
    return kal_bytes_of(n->bytes + n->lower_len, n->upper_len);
}

/* Equal heads say nothing: "a" and "a\0" have the same. */
static int compare_bytes(uint64_t head_a, kal_bytes a, uint64_t head_b, kal_bytes b)
{
    if (head_a != head_b)
        return head_a < head_b ? -1 : 1;
    return kal_bytes_compare(a, b);
}

static int compare_upper(const kal_interval_node *a, const kal_interval_node *b)
{
    if (a->is_open || b->is_open)
        return (int)a->is_open - (int)b->is_open;
    return compare_bytes(a->upper_head, upper_of(a), b->upper_head, upper_of(b));
}

/* A total order: by lower bound, upper end, value. */
static int compare_nodes(const kal_interval_node *a, const kal_interval_node *b)
{
    int order = compare_bytes(a->lower_head, lower_of(a), b->lower_head, lower_of(b));
    if (order == 0)
        order = compare_upper(a, b);
    if (order == 0)
        order = ((uintptr_t)a->value > (uintptr_t)b->value) -
                ((uintptr_t)a->value < (uintptr_t)b->value);
    return order;
}

static void update(kal_interval_node *n)
{
    n->last = n;
    if (n->left != NULL && compare_upper(n->left->last, n->last) > 0)
        n->last = n->left->last;
    if (n->right != NULL && compare_upper(n->right->last, n->last) > 0)
        n->last = n->right->last;
    n->last_head = n->last->is_open ? UINT64_MAX : n->last->upper_head;
}

static kal_interval_node *rotate_right(kal_interval_node *n)
{
    kal_interval_node *up = n->left;
    n->left = up->right;
    up->right = n;
    update(n);
    update(up);
    return up;
}

static kal_interval_node *rotate_left(kal_interval_node *n)
{
    kal_interval_node *up = n->right;
    n->right = up->left;
    up->left = n;
    update(n);
    update(up);
    return up;
}

static kal_interval_node *insert(kal_interval_node *at, kal_interval_node *added)
{
    if (at == NULL) {
        update(added);
        return added;
    }
    int order = compare_nodes(added, at);
    KAL_ASSERT(order != 0);
    if (order < 0) {
        at->left = insert(at->left, added);
        if (at->left->priority > at->priority)
            return rotate_right(at);
    } else {
        at->right = insert(at->right, added);
        if (at->right->priority > at->priority)
            return rotate_left(at);
    }
    update(at);
    return at;
}

/* Both together; everything in `low` is before everything in `high`. */
static kal_interval_node *join(kal_interval_node *low, kal_interval_node *high)
{
    if (low == NULL)
        return high;
    if (high == NULL)
        return low;
    if (low->priority > high->priority) {
        low->right = join(low->right, high);
        update(low);
        return low;
    }
    high->left = join(low, high->left);
    update(high);
    return high;
}

static kal_interval_node *take_out(kal_interval_node *at, const kal_interval_node *wanted,
                                   kal_interval_node **taken)
{
    if (at == NULL)
        return NULL;
    int order = compare_nodes(wanted, at);
    if (order == 0) {
        *taken = at;
        return join(at->left, at->right);
    }
    if (order < 0)
        at->left = take_out(at->left, wanted, taken);
    else
        at->right = take_out(at->right, wanted, taken);
    update(at);
    return at;
}

static kal_interval_node *make_node(kal_interval interval, void *value)
{
    size_t len = interval.lower.len + interval.upper.len;
    kal_interval_node *n = calloc(1, sizeof *n + len);

    if (n == NULL)
        kal_die("out of memory: interval");
    n->value = value;
    n->lower_len = (uint32_t)interval.lower.len;
    n->upper_len = (uint32_t)interval.upper.len;
    n->is_open = interval.upper.ptr == NULL;
    n->lower_head = head_of(interval.lower);
    n->upper_head = head_of(interval.upper);
    if (interval.lower.len > 0)
        memcpy(n->bytes, interval.lower.ptr, interval.lower.len);
    if (interval.upper.len > 0)
        memcpy(n->bytes + interval.lower.len, interval.upper.ptr, interval.upper.len);
    return n;
}

void kal_interval_tree_init(kal_interval_tree *tree)
{
    uint64_t seed = 0;
    kal_random_bytes(&seed, sizeof seed);
    *tree = (kal_interval_tree){0};
    kal_rng_seed(&tree->rng, seed);
}

static void free_nodes(kal_interval_node *n)
{
    if (n == NULL)
        return;
    free_nodes(n->left);
    free_nodes(n->right);
    free(n);
}

void kal_interval_tree_release(kal_interval_tree *tree)
{
    free_nodes(tree->root);
    tree->root = NULL;
    tree->len = 0;
}

void kal_interval_tree_add(kal_interval_tree *tree, kal_interval interval, void *value)
{
    kal_interval_node *n = make_node(interval, value); /* owned by the tree */
    n->priority = kal_rng_next(&tree->rng);
    tree->root = insert(tree->root, n);
    tree->len++;
}

bool kal_interval_tree_remove(kal_interval_tree *tree, kal_interval interval, void *value)
{
    kal_interval_node *wanted = make_node(interval, value); /* owned */
    kal_interval_node *taken = NULL;

    tree->root = take_out(tree->root, wanted, &taken);
    free(wanted);
    if (taken == NULL)
        return false;
    free(taken);
    tree->len--;
    return true;
}

typedef struct stab {
    kal_bytes point;
    uint64_t head;
    kal_interval_visit visit;
    void *context;
} stab;

static bool ends_after(const kal_interval_node *n, const stab *s)
{
    return n->is_open || compare_bytes(s->head, s->point, n->upper_head, upper_of(n)) < 0;
}

/* Does any interval of the sub-tree? Mostly told without a look at another node. */
static bool any_ends_after(const kal_interval_node *n, const stab *s)
{
    return s->head != n->last_head ? s->head < n->last_head : ends_after(n->last, s);
}

static void stab_nodes(const kal_interval_node *n, const stab *s)
{
    while (n != NULL && any_ends_after(n, s)) {
        __builtin_prefetch(n->right); /* they lie anywhere in memory */
        __builtin_prefetch(n->value);
        stab_nodes(n->left, s);
        if (compare_bytes(n->lower_head, lower_of(n), s->head, s->point) > 0)
            return; /* all to the right begin later still */
        if (ends_after(n, s))
            s->visit(s->context, n->value);
        n = n->right;
    }
}

void kal_interval_tree_stab(const kal_interval_tree *tree, kal_bytes point,
                            kal_interval_visit visit, void *context)
{
    stab s = {point, head_of(point), visit, context};
    stab_nodes(tree->root, &s);
}
