/*
 * fold.c: parts of a tree that are the same for every row become their value; comparing trees.
 */
#include "base/assert.h"
#include "expr/expr.h"

typedef struct folder {
    const kal_expr_session *session;
    kal_arena *arena;
    kal_error *err;
} folder;

static kal_status no_memory(folder *f)
{
    return kal_error_set(f->err, KAL_LIMIT, "the statement's memory is used up");
}

/* What cannot be computed stays as it is: perhaps it never has to be. */
static kal_status to_literal(folder *f, kal_expr *expr, kal_expr **out)
{
    kal_error ignored = KAL_ERROR_INIT;
    kal_value value;
    kal_status status = kal_expr_eval(expr, NULL, f->session, f->arena, &value, &ignored);
    if (status != KAL_OK)
        return status == KAL_LIMIT ? no_memory(f) : KAL_OK;
    kal_expr *literal = kal_arena_try_alloc(f->arena, sizeof *literal);
    if (literal == NULL)
        return no_memory(f);
    literal->kind = KAL_EXPR_LITERAL;
    literal->type = expr->type;
    literal->position = expr->position;
    value.type = value.is_null ? expr->type : value.type;
    if (!kal_value_copy(&value, f->arena, &literal->literal))
        return no_memory(f);
    *out = literal;
    return KAL_OK;
}

static kal_status fold(folder *f, kal_expr *expr, kal_expr **out);

/* A copy of the node as soon as one child has become another. */
static kal_status fold_children(folder *f, kal_expr *expr, kal_expr **out)
{
    kal_expr *copy = NULL;
    for (uint32_t i = 0; i < expr->child_count; i++) {
        kal_expr *child = NULL;
        KAL_TRY(fold(f, expr->children[i], &child));
        if (child == expr->children[i])
            continue;
        if (copy == NULL) {
            size_t size = expr->child_count * sizeof *copy->children;
            copy = kal_arena_try_alloc(f->arena, sizeof *copy);
            kal_expr **children = kal_arena_try_alloc(f->arena, size);
            if (copy == NULL || children == NULL)
                return no_memory(f);
            *copy = *expr;
            copy->children = children;
            memcpy(children, expr->children, size);
        }
        copy->children[i] = child;
    }
    *out = copy == NULL ? expr : copy;
    return KAL_OK;
}

/* Of literals alone, and no new value at each call. */
static bool is_computable(const kal_expr *expr)
{
    if (expr->kind == KAL_EXPR_FUNCTION &&
        (expr->function == KAL_EXPR_SNOWFLAKE_ID || expr->function == KAL_EXPR_UUID_V7 ||
         expr->function == KAL_EXPR_ULID))
        return false;
    for (uint32_t i = 0; i < expr->child_count; i++) {
        if (expr->children[i]->kind != KAL_EXPR_LITERAL)
            return false;
    }
    return true;
}

static kal_status fold(folder *f, kal_expr *expr, kal_expr **out)
{
    *out = expr;
    if (expr->kind == KAL_EXPR_LITERAL || expr->kind == KAL_EXPR_COLUMN)
        return KAL_OK;
    KAL_TRY(fold_children(f, expr, out));
    return is_computable(*out) ? to_literal(f, *out, out) : KAL_OK;
}

kal_status kal_expr_fold(kal_expr *expr, const kal_expr_session *session, kal_arena *arena,
                         kal_expr **folded_out, kal_error *err)
{
    folder f = {session, arena, err};
    *folded_out = NULL;
    return expr == NULL ? KAL_OK : fold(&f, expr, folded_out);
}

static bool same_node(const kal_expr *a, const kal_expr *b)
{
    if (a->kind != b->kind || !kal_type_equal(a->type, b->type) || a->op != b->op ||
        a->function != b->function || a->vector != b->vector || a->negated != b->negated ||
        a->nocase != b->nocase || a->escape != b->escape || a->column != b->column ||
        a->child_count != b->child_count || (a->path == NULL) != (b->path == NULL))
        return false;
    if (a->path != NULL && !kal_json_path_equal(a->path, b->path))
        return false;
    return a->kind != KAL_EXPR_LITERAL || kal_value_identical(&a->literal, &b->literal);
}

bool kal_expr_equal(const kal_expr *a, const kal_expr *b)
{
    if (a == b)
        return true;
    if (a == NULL || b == NULL || !same_node(a, b))
        return false;
    for (uint32_t i = 0; i < a->child_count; i++) {
        if (!kal_expr_equal(a->children[i], b->children[i]))
            return false;
    }
    return true;
}
