#include "live/interval_tree.h"
#include "base/assert.h"
#include "base/cache_line.h"

#include <stdlib.h>

enum { RUN_MIN = 4, RUN_MAX = 32, PREFETCH_AHEAD = 8 };

/* The whole bounds: asked for when heads are equal. */
typedef struct interval_bounds {
    uint32_t lower_len;
    uint32_t upper_len;
    bool is_open;    /* no upper end */
    uint8_t bytes[]; /* lower, upper */
} interval_bounds;

/* Heads are the first 8 bytes, big-endian: most comparisons end there. */
typedef struct interval_entry {
    uint64_t lower_head;
    uint64_t upper_head; /* UINT64_MAX: open, or it begins with that */
    void *value;
    interval_bounds *bounds; /* owned */
} interval_entry;

/* The greatest upper end of several entries. */
typedef struct interval_end {
    uint64_t head;
    const interval_bounds *bounds;
} interval_end;

/* A run of entries that follow each other: they are looked through in one go, where a node for each
 * would be looked for in memory one by one. It begins small, since many trees have one entry, and
 * gives room back; so it moves, and whoever points to it is told. */
struct kal_interval_node {
    interval_end last;     /* of this sub-tree */
    interval_end own_last; /* of the run */
    kal_interval_node *left;
    kal_interval_node *right;
    uint64_t priority; /* a parent's is not less than its children's */
    uint32_t len;      /* at least 1 */
    uint32_t room;     /* RUN_MIN to RUN_MAX */
    interval_entry run[];
};

static uint64_t head_of(kal_bytes b)
{
    uint8_t head[8] = {0};
    if (b.len > 0)
        memcpy(head, b.ptr, b.len < sizeof head ? b.len : sizeof head);
    return kal_load_be64(head);
}

static kal_bytes lower_of(const interval_bounds *b)
{
    return kal_bytes_of(b->bytes, b->lower_len);
}

static kal_bytes upper_of(const interval_bounds *b)
{
    return kal_bytes_of(b->bytes + b->lower_len, b->upper_len);
}

/* ---- order ---- */

static int compare_ends(interval_end a, interval_end b)
{
    if (a.head != b.head) /* an open one has the greatest head there is */
        return a.head < b.head ? -1 : 1;
    if (a.bounds->is_open || b.bounds->is_open)
        return (int)a.bounds->is_open - (int)b.bounds->is_open;
    return kal_bytes_compare(upper_of(a.bounds), upper_of(b.bounds));
}

static interval_end end_of(const interval_entry *e)
{
    return (interval_end){e->upper_head, e->bounds};
}

/* A total order: by lower bound, upper end, value. Equal heads say nothing: "a" and "a\0" have the
 * same. */
static int compare_entries(const interval_entry *a, const interval_entry *b)
{
    int order = (a->lower_head > b->lower_head) - (a->lower_head < b->lower_head);
    if (order == 0)
        order = kal_bytes_compare(lower_of(a->bounds), lower_of(b->bounds));
    if (order == 0)
        order = compare_ends(end_of(a), end_of(b));
    if (order == 0)
        order = ((uintptr_t)a->value > (uintptr_t)b->value) -
                ((uintptr_t)a->value < (uintptr_t)b->value);
    return order;
}

/* How many entries of the run come before this one. */
static uint32_t place_in_run(const kal_interval_node *n, const interval_entry *e)
{
    uint32_t low = 0;
    uint32_t high = n->len;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (compare_entries(&n->run[middle], e) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- the tree ---- */

static interval_end later_end(interval_end a, interval_end b)
{
    return compare_ends(b, a) > 0 ? b : a;
}

static interval_end last_of(const kal_interval_node *n)
{
    interval_end last = n->own_last;
    if (n->left != NULL)
        last = later_end(last, n->left->last);
    return n->right == NULL ? last : later_end(last, n->right->last);
}

static interval_end last_of_run(const kal_interval_node *n)
{
    interval_end last = end_of(&n->run[0]);
    for (uint32_t i = 1; i < n->len; i++)
        last = later_end(last, end_of(&n->run[i]));
    return last;
}

static void update(kal_interval_node *n)
{
    n->last = last_of(n);
}

static void update_run(kal_interval_node *n)
{
    n->own_last = last_of_run(n);
    update(n);
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

/* Owned by the tree. */
static kal_interval_node *make_node(uint64_t priority, uint32_t room)
{
    kal_interval_node *n = kal_cache_lines_alloc(sizeof *n + room * sizeof n->run[0], "interval");
    n->priority = priority;
    n->room = room;
    return n;
}

static kal_interval_node *resize(kal_interval_node *n, uint32_t room)
{
    kal_interval_node *moved = make_node(n->priority, room);

    memcpy(moved, n, sizeof *n + n->len * sizeof n->run[0]);
    moved->room = room;
    free(n);
    return moved;
}

/* A node that comes before all others of the sub-tree. */
static kal_interval_node *add_first(kal_interval_node *at, kal_interval_node *added)
{
    if (at == NULL)
        return added;
    at->left = add_first(at->left, added);
    if (at->left->priority > at->priority)
        return rotate_right(at);
    update(at);
    return at;
}

static kal_interval_node *put_in_run(kal_interval_node *n, const interval_entry *e)
{
    uint32_t at = place_in_run(n, e);

    KAL_ASSERT(n->len < RUN_MAX);
    if (n->len == n->room)
        n = resize(n, 2 * n->room);
    memmove(&n->run[at + 1], &n->run[at], (n->len - at) * sizeof n->run[0]);
    n->run[at] = *e;
    n->len++;
    update_run(n);
    return n;
}

/* The upper half of a full run becomes a node of its own, the entry goes where it belongs. */
static kal_interval_node *split(kal_interval_tree *tree, kal_interval_node *n,
                                const interval_entry *e)
{
    kal_interval_node *high = make_node(kal_rng_next(&tree->rng), RUN_MAX);

    n->len = RUN_MAX / 2;
    high->len = RUN_MAX - n->len;
    memcpy(high->run, &n->run[n->len], high->len * sizeof n->run[0]);
    bool is_high = compare_entries(e, &high->run[0]) > 0;
    update_run(high);
    update_run(n);
    kal_interval_node *taker = put_in_run(is_high ? high : n, e);
    KAL_ASSERT(taker == (is_high ? high : n)); /* there is room */
    n->right = add_first(n->right, high);
    if (n->right->priority > n->priority)
        return rotate_left(n);
    update(n);
    return n;
}

static kal_interval_node *insert(kal_interval_tree *tree, kal_interval_node *at,
                                 const interval_entry *e)
{
    if (at->left != NULL && compare_entries(e, &at->run[0]) < 0) {
        at->left = insert(tree, at->left, e);
        if (at->left->priority > at->priority)
            return rotate_right(at);
    } else if (at->right != NULL && compare_entries(e, &at->run[at->len - 1]) > 0) {
        at->right = insert(tree, at->right, e);
        if (at->right->priority > at->priority)
            return rotate_left(at);
    } else if (at->len == RUN_MAX) {
        return split(tree, at, e);
    } else {
        return put_in_run(at, e);
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

/* The entry leaves its run, and an empty run the tree. */
static kal_interval_node *take_from_run(kal_interval_node *at, uint32_t place)
{
    free(at->run[place].bounds);
    at->len--;
    memmove(&at->run[place], &at->run[place + 1], (at->len - place) * sizeof at->run[0]);
    if (at->len > 0) {
        if (at->room > RUN_MIN && at->len <= at->room / 4)
            at = resize(at, at->room / 2);
        update_run(at);
        return at;
    }
    kal_interval_node *rest = join(at->left, at->right);
    free(at);
    return rest;
}

static kal_interval_node *take_out(kal_interval_node *at, const interval_entry *e, bool *found)
{
    if (at == NULL)
        return NULL;
    if (compare_entries(e, &at->run[0]) < 0) {
        at->left = take_out(at->left, e, found);
    } else if (compare_entries(e, &at->run[at->len - 1]) > 0) {
        at->right = take_out(at->right, e, found);
    } else {
        uint32_t place = place_in_run(at, e);
        *found = compare_entries(&at->run[place], e) == 0;
        return *found ? take_from_run(at, place) : at;
    }
    update(at);
    return at;
}

/* ---- from outside ---- */

static interval_entry make_entry(kal_interval interval, void *value)
{
    size_t len = interval.lower.len + interval.upper.len;
    interval_bounds *b = malloc(sizeof *b + len); /* owned by the entry */

    if (b == NULL)
        kal_die("out of memory: interval");
    b->lower_len = (uint32_t)interval.lower.len;
    b->upper_len = (uint32_t)interval.upper.len;
    b->is_open = interval.upper.ptr == NULL;
    if (interval.lower.len > 0)
        memcpy(b->bytes, interval.lower.ptr, interval.lower.len);
    if (interval.upper.len > 0)
        memcpy(b->bytes + interval.lower.len, interval.upper.ptr, interval.upper.len);
    return (interval_entry){.lower_head = head_of(interval.lower),
                            .upper_head = b->is_open ? UINT64_MAX : head_of(interval.upper),
                            .value = value,
                            .bounds = b};
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
    for (uint32_t i = 0; i < n->len; i++)
        free(n->run[i].bounds);
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
    interval_entry e = make_entry(interval, value);

    if (tree->root == NULL)
        tree->root = put_in_run(make_node(kal_rng_next(&tree->rng), RUN_MIN), &e);
    else
        tree->root = insert(tree, tree->root, &e);
    tree->len++;
}

bool kal_interval_tree_remove(kal_interval_tree *tree, kal_interval interval, void *value)
{
    interval_entry wanted = make_entry(interval, value);
    bool found = false;

    tree->root = take_out(tree->root, &wanted, &found);
    free(wanted.bounds);
    tree->len -= found;
    return found;
}

/* ---- looking up ---- */

typedef struct stab {
    kal_bytes point;
    uint64_t head;
    kal_interval_visit visit;
    void *context;
} stab;

static bool begins_after(const interval_entry *e, const stab *s)
{
    if (e->lower_head != s->head)
        return e->lower_head > s->head;
    return kal_bytes_compare(lower_of(e->bounds), s->point) > 0;
}

static bool ends_after(interval_end end, const stab *s)
{
    if (end.head != s->head)
        return end.head > s->head;
    return end.bounds->is_open || kal_bytes_compare(upper_of(end.bounds), s->point) > 0;
}

/* False when all that follows begins later. */
static bool stab_run(const kal_interval_node *n, const stab *s)
{
    for (uint32_t i = 0; i < n->len; i++) {
        const interval_entry *e = &n->run[i];
        if (i + PREFETCH_AHEAD < n->len)
            __builtin_prefetch(n->run[i + PREFETCH_AHEAD].value);
        if (begins_after(e, s))
            return false;
        if (ends_after(end_of(e), s))
            s->visit(s->context, e->value);
    }
    return true;
}

static void stab_nodes(const kal_interval_node *n, const stab *s)
{
    while (n != NULL && ends_after(n->last, s)) {
        __builtin_prefetch(n->right); /* it lies anywhere in memory */
        stab_nodes(n->left, s);
        if (ends_after(n->own_last, s) ? !stab_run(n, s) : begins_after(&n->run[0], s))
            return;
        n = n->right;
    }
}

void kal_interval_tree_stab(const kal_interval_tree *tree, kal_bytes point,
                            kal_interval_visit visit, void *context)
{
    stab s = {point, head_of(point), visit, context};
    stab_nodes(tree->root, &s);
}

/* ---- checking ---- */

/* Of the sub-tree; *before: the entry that comes before it, or NULL, then its last one. */
static bool is_valid_node(const kal_interval_node *n, const interval_entry **before, size_t *count)
{
    if (n->len == 0 || n->len > n->room || n->room > RUN_MAX ||
        (n->left != NULL && n->left->priority > n->priority) ||
        (n->right != NULL && n->right->priority > n->priority) ||
        (n->left != NULL && !is_valid_node(n->left, before, count)))
        return false;
    for (uint32_t i = 0; i < n->len; i++) {
        if (*before != NULL && compare_entries(*before, &n->run[i]) >= 0)
            return false;
        *before = &n->run[i];
    }
    *count += n->len;
    if (n->right != NULL && !is_valid_node(n->right, before, count))
        return false;
    return compare_ends(n->own_last, last_of_run(n)) == 0 && compare_ends(n->last, last_of(n)) == 0;
}

bool kal_interval_tree_is_valid(const kal_interval_tree *tree)
{
    const interval_entry *before = NULL;
    size_t count = 0;

    return (tree->root == NULL || is_valid_node(tree->root, &before, &count)) && count == tree->len;
}
