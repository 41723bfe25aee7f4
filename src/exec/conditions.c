/*
 * conditions.c: what WHERE demands of single columns, for leaving out segments by their statistics.
 *
 * Only what holds for every wanted row is taken: comparisons of a column with constants that are
 * joined by AND. All else in WHERE narrows nothing.
 */
#include "base/assert.h"
#include "exec/exec_internal.h"

enum { CONDITIONS_MAX = 32, KEYS_MAX = 1000 };

typedef struct condition_list {
    kal_run *run;
    const kal_table_definition *def;
    KAL_VEC(kal_condition) items; /* arena */
} condition_list;

static const kal_column *column_of(const condition_list *list, const kal_expr *e)
{
    if (e->kind != KAL_EXPR_COLUMN || e->column >= list->def->column_count)
        return NULL; /* computed, or hidden */
    return &list->def->columns[e->column];
}

/* A constant whose key can be compared with keys of the column. */
static bool is_constant_of(const kal_expr *e, const kal_column *column)
{
    return e->kind == KAL_EXPR_LITERAL && !e->literal.is_null &&
           kal_type_equal(e->literal.type, column->type);
}

/* Empty when the statement's memory is used up; no key is. */
static kal_bytes key_of(const condition_list *list, const kal_value *value)
{
    kal_bytes copy = {0};
    kal_buf key; /* owned */

    kal_buf_init(&key, list->run->budget);
    kal_key_append(&key, value);
    if (kal_buf_failed(&key) || !kal_arena_try_copy(list->run->arena, kal_buf_bytes(&key), &copy))
        copy = (kal_bytes){0};
    kal_buf_release(&key);
    return copy;
}

/* One that does not fit into the memory any more is left out: it only would have narrowed. */
static void add(condition_list *list, const kal_column *column, kal_condition condition)
{
    condition.column_id = column->column_id;
    condition.type = column->type;
    (void)kal_vec_try_push_in(list->run->arena, &list->items, condition);
}

/* values[]: literals of the column's type. */
static void add_equal(condition_list *list, const kal_column *column, kal_expr *const *values,
                      size_t count)
{
    kal_bytes *keys = kal_arena_try_array(list->run->arena, count, sizeof *keys);
    uint64_t *hashes = kal_arena_try_array(list->run->arena, count, sizeof *hashes);

    if (keys == NULL || hashes == NULL)
        return;
    for (size_t i = 0; i < count; i++) {
        keys[i] = key_of(list, &values[i]->literal);
        if (keys[i].len == 0)
            return;
        hashes[i] = kal_condition_hash(&values[i]->literal, keys[i]);
    }
    add(list, column,
        (kal_condition){
            .kind = KAL_CONDITION_IN, .keys = keys, .hashes = hashes, .key_count = count});
}

static void add_compare(condition_list *list, const kal_expr *e)
{
    static const kal_expr_op TURNED[] = {KAL_OP_EQ, KAL_OP_NE, KAL_OP_GT,
                                         KAL_OP_GE, KAL_OP_LT, KAL_OP_LE};
    bool is_turned = e->children[0]->kind == KAL_EXPR_LITERAL;
    const kal_column *column = column_of(list, e->children[is_turned]);
    kal_expr *constant = e->children[!is_turned];
    kal_expr_op op = is_turned ? TURNED[e->op] : e->op;

    if (column == NULL || !is_constant_of(constant, column) || op == KAL_OP_NE)
        return;
    if (op == KAL_OP_EQ) {
        add_equal(list, column, &constant, 1);
        return;
    }
    kal_bytes key = key_of(list, &constant->literal);
    kal_condition c = {.kind = KAL_CONDITION_BETWEEN};
    if (op == KAL_OP_GT || op == KAL_OP_GE) {
        c.lower = key;
        c.lower_excluded = op == KAL_OP_GT;
    } else {
        c.upper = key;
        c.upper_excluded = op == KAL_OP_LT;
    }
    add(list, column, c);
}

static void add_between(condition_list *list, const kal_expr *e)
{
    const kal_column *column = column_of(list, e->children[0]);

    if (e->negated || column == NULL || !is_constant_of(e->children[1], column) ||
        !is_constant_of(e->children[2], column))
        return;
    kal_bytes lower = key_of(list, &e->children[1]->literal);
    kal_bytes upper = key_of(list, &e->children[2]->literal);
    add(list, column,
        (kal_condition){.kind = KAL_CONDITION_BETWEEN, .lower = lower, .upper = upper});
}

static void add_in(condition_list *list, const kal_expr *e)
{
    const kal_column *column = column_of(list, e->children[0]);

    if (e->negated || column == NULL || e->child_count - 1 > KEYS_MAX)
        return;
    for (uint32_t i = 1; i < e->child_count; i++) {
        if (!is_constant_of(e->children[i], column))
            return;
    }
    add_equal(list, column, e->children + 1, e->child_count - 1);
}

static void collect(condition_list *list, const kal_expr *e)
{
    const kal_column *column = NULL;

    if (list->items.len == CONDITIONS_MAX)
        return;
    switch (e->kind) {
    case KAL_EXPR_AND:
        for (uint32_t i = 0; i < e->child_count; i++)
            collect(list, e->children[i]);
        break;
    case KAL_EXPR_COMPARE:
        add_compare(list, e);
        break;
    case KAL_EXPR_BETWEEN:
        add_between(list, e);
        break;
    case KAL_EXPR_IN:
        add_in(list, e);
        break;
    case KAL_EXPR_IS_NULL:
        column = column_of(list, e->children[0]);
        if (column != NULL)
            add(list, column,
                (kal_condition){.kind = e->negated ? KAL_CONDITION_NOT_NULL : KAL_CONDITION_NULL});
        break;
    default:
        break;
    }
}

kal_conditions kal_run_conditions(kal_run *run, const kal_table *table, const kal_expr *where)
{
    condition_list list = {.run = run, .def = table->def};

    if (where != NULL)
        collect(&list, where);
    return (kal_conditions){list.items.items, list.items.len};
}
