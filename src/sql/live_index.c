/*
 * live_index.c: the condition of a WHERE by which its live query is looked up.
 *
 * The parts of the top-level AND are gathered by column: a set of keys, of which each further part
 * leaves those that it has, too, and bounds, of which the tighter one stays. A part that says
 * exactly this and nothing else is counted; when all parts belong to the chosen column, the
 * condition is the whole WHERE.
 *
 * Bounds and keys are ordered keys, so values of any type are compared by memcmp().
 */
#include "base/assert.h"
#include "base/vec.h"
#include "sql/bind_live.h"
#include "types/key.h"

#include <stdlib.h>

typedef KAL_VEC(kal_bytes) key_vec;

typedef struct candidate {
    bool has_keys;
    key_vec keys; /* ascending, distinct */
    bool has_lower;
    bool has_upper;
    bool lower_inclusive;
    bool upper_inclusive;
    kal_bytes lower;
    kal_bytes upper;
    size_t parts; /* of WHERE, that it stands for */
} candidate;

typedef struct search {
    const kal_table_definition *def;
    kal_arena *arena;
    candidate *columns; /* one per column */
    size_t parts;       /* of WHERE; without those that are TRUE */
    bool never;
    kal_error *err;
} search;

static kal_status no_memory(search *s)
{
    return kal_error_set(s->err, KAL_LIMIT, "the statement's memory is used up");
}

/* ---- constants ---- */

/* A column of the table, perhaps as a wider integer; -1: something else. */
static int column_of(const search *s, const kal_expr *e)
{
    if (e->kind == KAL_EXPR_CAST && kal_type_is_integer(e->type) &&
        kal_type_is_integer(e->children[0]->type))
        e = e->children[0];
    return e->kind == KAL_EXPR_COLUMN && e->column < s->def->column_count ? (int)e->column : -1;
}

/* A literal that a value of the column can be compared with. */
static bool is_constant(const search *s, int column, const kal_expr *e)
{
    kal_type type = s->def->columns[column].type;
    return e->kind == KAL_EXPR_LITERAL &&
           (e->literal.is_null || kal_type_equal(e->literal.type, type) ||
            (kal_type_is_integer(e->literal.type) && kal_type_is_integer(type)));
}

/* The literal as a value of the column's own type; false: it is none. */
static bool narrow_literal(const search *s, int column, const kal_value *v, kal_value *out)
{
    kal_error ignored = KAL_ERROR_INIT;
    kal_type type = s->def->columns[column].type;
    if (v->is_null)
        return false;
    *out = *v;
    return kal_type_equal(v->type, type) ||
           kal_value_cast(v, type, s->arena, out, &ignored) == KAL_OK;
}

static kal_status key_of(search *s, const kal_value *v, kal_bytes *out)
{
    kal_buf key; /* owned */
    kal_buf_init(&key, s->arena->budget);
    kal_key_append(&key, v);
    bool ok = !kal_buf_failed(&key) && kal_arena_try_copy(s->arena, kal_buf_bytes(&key), out);
    kal_buf_release(&key);
    return ok ? KAL_OK : no_memory(s);
}

/* Of a literal that is NULL, or no value of the column's type, there is no key: nothing equals it.
 */
static kal_status add_key(search *s, int column, const kal_expr *literal, key_vec *keys)
{
    kal_value v;
    kal_bytes key;
    if (!narrow_literal(s, column, &literal->literal, &v))
        return KAL_OK;
    KAL_TRY(key_of(s, &v, &key));
    return kal_vec_try_push_in(s->arena, keys, key) ? KAL_OK : no_memory(s);
}

/* ---- sets of keys ---- */

static int compare_keys(const void *a, const void *b)
{
    return kal_bytes_compare(*(const kal_bytes *)a, *(const kal_bytes *)b);
}

static void sort_keys(key_vec *keys)
{
    size_t kept = 0;
    if (keys->len == 0)
        return;
    qsort(keys->items, keys->len, sizeof *keys->items, compare_keys);
    for (size_t i = 1; i < keys->len; i++) {
        if (!kal_bytes_equal(keys->items[i], keys->items[kept]))
            keys->items[++kept] = keys->items[i];
    }
    keys->len = kept + 1;
}

/* Both sorted; a keeps what is in b, too. */
static void intersect_keys(key_vec *a, const key_vec *b)
{
    size_t kept = 0;
    size_t j = 0;
    for (size_t i = 0; i < a->len; i++) {
        while (j < b->len && kal_bytes_compare(b->items[j], a->items[i]) < 0)
            j++;
        if (j < b->len && kal_bytes_equal(b->items[j], a->items[i]))
            a->items[kept++] = a->items[i];
    }
    a->len = kept;
}

static void require_keys(search *s, int column, key_vec *keys)
{
    candidate *c = &s->columns[column];
    sort_keys(keys);
    if (c->has_keys)
        intersect_keys(&c->keys, keys);
    else
        c->keys = *keys;
    c->has_keys = true;
    c->parts++;
    s->never = s->never || c->keys.len == 0;
}

/* ---- bounds ---- */

static void require_lower(candidate *c, kal_bytes key, bool inclusive)
{
    int order = c->has_lower ? kal_bytes_compare(key, c->lower) : 1;
    if (order > 0 || (order == 0 && !inclusive)) {
        c->lower = key;
        c->lower_inclusive = inclusive;
    }
    c->has_lower = true;
}

static void require_upper(candidate *c, kal_bytes key, bool inclusive)
{
    int order = c->has_upper ? kal_bytes_compare(key, c->upper) : -1;
    if (order < 0 || (order == 0 && !inclusive)) {
        c->upper = key;
        c->upper_inclusive = inclusive;
    }
    c->has_upper = true;
}

/* used_out: the bound says all that the comparison does. One that is no value of the column's type
 * would have to be rounded: it is left to the test of WHERE. */
static kal_status require_bound(search *s, int column, kal_expr_op op, const kal_expr *literal,
                                bool *used_out)
{
    kal_value v;
    kal_bytes key;
    candidate *c = &s->columns[column];
    *used_out = false;
    if (literal->literal.is_null) {
        s->never = true;
        return KAL_OK;
    }
    if (!narrow_literal(s, column, &literal->literal, &v))
        return KAL_OK;
    KAL_TRY(key_of(s, &v, &key));
    if (op == KAL_OP_GT || op == KAL_OP_GE)
        require_lower(c, key, op == KAL_OP_GE);
    else
        require_upper(c, key, op == KAL_OP_LE);
    *used_out = true;
    return KAL_OK;
}

/* ---- parts of WHERE ---- */

/* A comparison with a constant, turned so that the column stands left. */
static bool split_compare(const search *s, const kal_expr *e, int *column_out, kal_expr_op *op_out,
                          const kal_expr **literal_out)
{
    static const kal_expr_op TURNED[] = {KAL_OP_EQ, KAL_OP_NE, KAL_OP_GT,
                                         KAL_OP_GE, KAL_OP_LT, KAL_OP_LE};
    for (int side = 0; side < 2; side++) {
        const kal_expr *other = e->children[1 - side];
        int column = column_of(s, e->children[side]);
        if (column < 0 || !is_constant(s, column, other))
            continue;
        *column_out = column;
        *literal_out = other;
        *op_out = e->kind == KAL_EXPR_DISTINCT ? KAL_OP_EQ : side == 0 ? e->op : TURNED[e->op];
        return true;
    }
    return false;
}

static bool is_in_list(const search *s, const kal_expr *e, int *column_out)
{
    *column_out = column_of(s, e->children[0]);
    for (uint32_t i = 1; i < e->child_count && *column_out >= 0; i++) {
        if (!is_constant(s, *column_out, e->children[i]))
            return false;
    }
    return *column_out >= 0 && !e->negated;
}

/* Gathers the values that e says the column is one of. found_out false: e says something else; what
 * was gathered is of no use then. *column is -1 until the first. */
static kal_status gather_equal(search *s, const kal_expr *e, int *column, key_vec *keys,
                               bool *found_out)
{
    int mine = -1;
    const kal_expr *literal = NULL;
    kal_expr_op op = KAL_OP_NE;
    bool same_as_null = e->kind == KAL_EXPR_DISTINCT && e->negated;

    *found_out = false;
    if (e->kind == KAL_EXPR_OR) {
        for (uint32_t i = 0; i < e->child_count; i++) {
            KAL_TRY(gather_equal(s, e->children[i], column, keys, found_out));
            if (!*found_out)
                return KAL_OK;
        }
        return KAL_OK;
    }
    bool is_list = e->kind == KAL_EXPR_IN && is_in_list(s, e, &mine);
    bool is_equal = (e->kind == KAL_EXPR_COMPARE || same_as_null) &&
                    split_compare(s, e, &mine, &op, &literal) && op == KAL_OP_EQ &&
                    !(same_as_null && literal->literal.is_null);
    if ((!is_list && !is_equal) || (*column >= 0 && *column != mine))
        return KAL_OK;
    *column = mine;
    *found_out = true;
    if (is_equal)
        return add_key(s, mine, literal, keys);
    for (uint32_t i = 1; i < e->child_count; i++)
        KAL_TRY(add_key(s, mine, e->children[i], keys));
    return KAL_OK;
}

/* A BOOLEAN column by itself, or NOT of it. */
static kal_status take_boolean(search *s, const kal_expr *e)
{
    bool wanted = e->kind != KAL_EXPR_NOT;
    const kal_expr *column = wanted ? e : e->children[0];
    kal_value v = kal_value_boolean(wanted);
    key_vec keys = {0};
    kal_bytes key;

    if (column->kind != KAL_EXPR_COLUMN || column->column >= s->def->column_count)
        return KAL_OK;
    KAL_TRY(key_of(s, &v, &key));
    if (!kal_vec_try_push_in(s->arena, &keys, key))
        return no_memory(s);
    require_keys(s, (int)column->column, &keys);
    return KAL_OK;
}

static kal_status take_compare(search *s, const kal_expr *e)
{
    int column = -1;
    kal_expr_op op = KAL_OP_NE;
    const kal_expr *literal = NULL;
    bool used = false;
    if (!split_compare(s, e, &column, &op, &literal))
        return KAL_OK;
    if (literal->literal.is_null) {
        s->never = true;
        return KAL_OK;
    }
    if (op == KAL_OP_NE || op == KAL_OP_EQ)
        return KAL_OK;
    KAL_TRY(require_bound(s, column, op, literal, &used));
    s->columns[column].parts += used;
    return KAL_OK;
}

static kal_status take_between(search *s, const kal_expr *e)
{
    int column = column_of(s, e->children[0]);
    bool lower = false;
    bool upper = false;
    if (e->negated || column < 0 || !is_constant(s, column, e->children[1]) ||
        !is_constant(s, column, e->children[2]))
        return KAL_OK;
    KAL_TRY(require_bound(s, column, KAL_OP_GE, e->children[1], &lower));
    KAL_TRY(require_bound(s, column, KAL_OP_LE, e->children[2], &upper));
    s->columns[column].parts += lower && upper;
    return KAL_OK;
}

static kal_status take_literal(search *s, const kal_value *v)
{
    if (v->is_null || !v->boolean)
        s->never = true;
    else
        s->parts--; /* TRUE: nothing to test */
    return KAL_OK;
}

static kal_status take_part(search *s, const kal_expr *e)
{
    int column = -1;
    key_vec keys = {0};
    bool found = false;

    s->parts++;
    KAL_TRY(gather_equal(s, e, &column, &keys, &found));
    if (found) {
        require_keys(s, column, &keys);
        return KAL_OK;
    }
    switch (e->kind) {
    case KAL_EXPR_LITERAL:
        return take_literal(s, &e->literal);
    case KAL_EXPR_COLUMN:
    case KAL_EXPR_NOT:
        return take_boolean(s, e);
    case KAL_EXPR_COMPARE:
        return take_compare(s, e);
    case KAL_EXPR_BETWEEN:
        return take_between(s, e);
    default:
        return KAL_OK;
    }
}

static kal_status take_all(search *s, const kal_expr *e)
{
    if (e->kind != KAL_EXPR_AND)
        return take_part(s, e);
    for (uint32_t i = 0; i < e->child_count; i++)
        KAL_TRY(take_all(s, e->children[i]));
    return KAL_OK;
}

/* ---- the best ---- */

static bool within(const candidate *c, kal_bytes key)
{
    int above = c->has_lower ? kal_bytes_compare(key, c->lower) : 1;
    int below = c->has_upper ? kal_bytes_compare(key, c->upper) : -1;
    return (above > 0 || (above == 0 && c->lower_inclusive)) &&
           (below < 0 || (below == 0 && c->upper_inclusive));
}

/* Keys that the bounds exclude go; bounds of one value become a key; none is left: no row matches.
 */
static kal_status settle(search *s, candidate *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->keys.len; i++) {
        if (within(c, c->keys.items[i]))
            c->keys.items[kept++] = c->keys.items[i];
    }
    c->keys.len = kept;
    if (!c->has_keys && c->has_lower && c->has_upper) {
        int order = kal_bytes_compare(c->lower, c->upper);
        bool one = order == 0 && c->lower_inclusive && c->upper_inclusive;
        s->never = s->never || (order >= 0 && !one);
        if (one && !kal_vec_try_push_in(s->arena, &c->keys, c->lower))
            return no_memory(s);
        c->has_keys = one;
    }
    s->never = s->never || (c->has_keys && c->keys.len == 0);
    return KAL_OK;
}

/* Smaller is better. */
static size_t cost(const candidate *c)
{
    if (c->has_keys)
        return c->keys.len;
    if (c->has_lower && c->has_upper)
        return SIZE_MAX - 2;
    return c->has_lower || c->has_upper ? SIZE_MAX - 1 : SIZE_MAX;
}

static void to_index(const search *s, uint32_t column, kal_live_index *out)
{
    const candidate *c = &s->columns[column];
    *out = (kal_live_index){.column = column, .exact = c->parts == s->parts};
    if (c->has_keys) {
        out->kind = KAL_LIVE_INDEX_KEYS;
        out->keys = c->keys.items;
        out->key_count = c->keys.len;
        return;
    }
    out->kind = KAL_LIVE_INDEX_RANGE;
    out->has_lower = c->has_lower;
    out->has_upper = c->has_upper;
    out->lower_inclusive = c->lower_inclusive;
    out->upper_inclusive = c->upper_inclusive;
    out->lower = c->lower;
    out->upper = c->upper;
}

kal_status kal_live_index_of(const kal_table_definition *def, const kal_expr *where,
                             kal_arena *arena, kal_live_index *index_out, kal_error *err)
{
    search s = {.def = def, .arena = arena, .err = err};
    uint32_t best = 0;

    *index_out = (kal_live_index){.exact = where == NULL};
    if (where == NULL)
        return KAL_OK;
    s.columns = kal_arena_try_array(arena, def->column_count, sizeof *s.columns);
    if (s.columns == NULL)
        return no_memory(&s);
    KAL_TRY(take_all(&s, where));
    for (uint32_t i = 0; i < def->column_count; i++) {
        KAL_TRY(settle(&s, &s.columns[i]));
        if (cost(&s.columns[i]) < cost(&s.columns[best]))
            best = i;
    }
    if (s.never)
        *index_out = (kal_live_index){.kind = KAL_LIVE_INDEX_NEVER, .exact = true};
    else if (cost(&s.columns[best]) < SIZE_MAX)
        to_index(&s, best, index_out);
    else
        index_out->exact = s.parts == 0; /* WHERE TRUE */
    return KAL_OK;
}

static bool has_key(const kal_live_index *index, kal_bytes key)
{
    return bsearch(&key, index->keys, index->key_count, sizeof key, compare_keys) != NULL;
}

bool kal_live_index_meets(const kal_live_index *index, kal_bytes key)
{
    switch (index->kind) {
    case KAL_LIVE_INDEX_NONE:
        return true;
    case KAL_LIVE_INDEX_NEVER:
        return false;
    case KAL_LIVE_INDEX_KEYS:
        return key.len > 0 && has_key(index, key);
    case KAL_LIVE_INDEX_RANGE:
        break;
    }
    candidate range = {.has_lower = index->has_lower,
                       .has_upper = index->has_upper,
                       .lower_inclusive = index->lower_inclusive,
                       .upper_inclusive = index->upper_inclusive,
                       .lower = index->lower,
                       .upper = index->upper};
    return key.len > 0 && within(&range, key);
}
