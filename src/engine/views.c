/*
 * views.c: views are put in place of their names as sub-selects, before anything else is decided
 * about a statement.
 *
 *     SELECT * FROM app.v WHERE a > 1    ->    SELECT * FROM (SELECT ...) AS v WHERE a > 1
 *
 * The result is planned like any text of a user: the allow-list, the caps and the rights on each
 * table hold for what a view reads as for what its reader wrote himself. A view's own text has
 * qualified names and no parameters, so it means the same wherever it stands.
 */
#include "base/assert.h"
#include "engine/engine_internal.h"
#include "engine/lex.h"

#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 16 };

typedef struct expansion {
    kal_views_place place;
    kal_arena *arena;
    kal_plan *plan;              /* of the last text that had nothing to replace */
    const kal_engine_name *self; /* the view being made; NULL: none */
} expansion;

static kal_status too_large(kal_error *err)
{
    return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
}

static kal_status add_edit(expansion *x, kal_rewrite *out, kal_edit edit, kal_error *err)
{
    return kal_vec_try_push_in(x->arena, &out->edits, edit) ? KAL_OK : too_large(err);
}

static kal_status copy_text(expansion *x, kal_buf *text, kal_bytes *copy_out, kal_error *err)
{
    bool kept =
        !kal_buf_failed(text) && kal_arena_try_copy(x->arena, kal_buf_bytes(text), copy_out);
    kal_buf_release(text);
    return kept ? KAL_OK : too_large(err);
}

static kal_status expand(expansion *x, kal_bytes text, unsigned depth, kal_rewrite *edits,
                         kal_bytes *text_out, kal_error *err);

kal_status kal_views_error(kal_bytes view, size_t position, kal_status status, kal_error *err)
{
    kal_error inner;
    if (err == NULL)
        return status;
    inner = *err;
    if (strncmp(inner.message, "view '", 6) == 0) { /* one in it has said so */
        kal_error_at(err, position);
        return status;
    }
    kal_error_set(err, status, "view '%.*s': %s", KAL_FMT(view), inner.message);
    kal_error_code(err, inner.code);
    if (inner.hint[0] != '\0')
        kal_error_hint(err, "%s", inner.hint);
    kal_error_at(err, position);
    return status;
}

static kal_status check_alone(expansion *x, const kal_plan_table *t, kal_bytes sql, kal_error *err)
{
    const kal_views_place *p = &x->place;
    const kal_engine_ops *ops = p->slot->engine->ops;

    if (ops->is_view_checked(p->statement, t->schema, t->name, p->moment))
        return KAL_OK;
    KAL_TRY(kal_query_check(p->slot, p->statement, sql, x->arena, err));
    if (ops->moment(p->statement) == p->moment)
        ops->set_view_checked(p->statement, t->schema, t->name, p->moment);
    return KAL_OK;
}

static kal_status edit_view(expansion *x, const kal_plan_table *t, kal_bytes sql, unsigned depth,
                            kal_rewrite *edits, kal_error *err)
{
    kal_rewrite inner_edits;
    kal_bytes inner;
    kal_bytes copy;
    kal_buf text; /* owned */

    kal_status status = expand(x, sql, depth + 1, &inner_edits, &inner, err);
    if (status == KAL_OK)
        status = check_alone(x, t, inner, err);
    if (status != KAL_OK)
        return kal_views_error(t->name, t->start, status, err);
    kal_buf_init(&text, x->arena->budget);
    kal_buf_append_byte(&text, '(');
    kal_buf_append_bytes(&text, inner);
    kal_buf_append_byte(&text, ')');
    if (t->alias.len == 0) {
        kal_buf_append_cstr(&text, " AS ");
        kal_lex_quote(&text, t->name);
    }
    KAL_TRY(copy_text(x, &text, &copy, err));
    return add_edit(x, edits, (kal_edit){t->start, t->end, copy, t->name}, err);
}

/* schema.view.column: a sub-select has no schema. */
static kal_status edit_columns(expansion *x, kal_bytes text, const kal_plan *plan,
                               const kal_plan_table *t, kal_rewrite *edits, kal_error *err)
{
    for (size_t i = 0; i < plan->columns.len; i++) {
        const kal_plan_column *c = &plan->columns.items[i];
        size_t position = c->end;
        if (t->alias.len > 0 || !kal_bytes_equal_nocase(t->name, c->table) ||
            !kal_bytes_equal_nocase(t->schema, c->schema) ||
            !kal_plan_within(plan, c->scope, t->scope))
            continue;
        kal_lex_token dot = kal_lex_next(text, &position);
        if (dot.kind == KAL_LEX_OTHER && text.ptr[dot.start] == '.')
            KAL_TRY(add_edit(x, edits, (kal_edit){.start = c->start, .end = dot.end}, err));
    }
    return KAL_OK;
}

static int compare_edits(const void *a, const void *b)
{
    const kal_edit *p = a;
    const kal_edit *q = b;
    return (p->start > q->start) - (p->start < q->start);
}

static kal_status apply_edits(expansion *x, kal_bytes text, kal_rewrite *edits, kal_bytes *text_out,
                              kal_error *err)
{
    kal_buf out; /* owned */
    if (edits->edits.len > 1)
        qsort(edits->edits.items, edits->edits.len, sizeof *edits->edits.items, compare_edits);
    kal_buf_init(&out, x->arena->budget);
    kal_rewrite_apply(edits, text, &out);
    return copy_text(x, &out, text_out, err);
}

static bool is_table_at(const kal_plan *plan, size_t start)
{
    for (size_t i = 0; i < plan->tables.len; i++) {
        if (plan->tables.items[i].start == start)
            return true;
    }
    return false;
}

/* TABLE t, which is short for SELECT * FROM t: what is put in place of t is no name. TABLE is a
 * reserved word, so before a table it is nothing else. */
static kal_status edit_short_forms(expansion *x, kal_bytes text, const kal_plan *plan,
                                   kal_rewrite *edits, kal_error *err)
{
    size_t position = 0;
    kal_lex_token token = kal_lex_next(text, &position);
    while (token.kind != KAL_LEX_END) {
        kal_lex_token next = kal_lex_next(text, &position);
        if (token.kind == KAL_LEX_WORD &&
            kal_bytes_equal_nocase(kal_lex_text(text, token), KAL_STR("TABLE")) &&
            is_table_at(plan, next.start))
            KAL_TRY(add_edit(x, edits,
                             (kal_edit){.start = token.start,
                                        .end = token.end,
                                        .text = KAL_STR("SELECT * FROM")},
                             err));
        token = next;
    }
    return KAL_OK;
}

static bool is_self(const expansion *x, const kal_plan_table *t)
{
    return x->self != NULL && kal_bytes_equal_nocase(t->schema, x->self->schema) &&
           kal_bytes_equal_nocase(t->name, x->self->name);
}

/* *text_out: text without views, which is text itself when there are none. */
static kal_status expand(expansion *x, kal_bytes text, unsigned depth, kal_rewrite *edits,
                         kal_bytes *text_out, kal_error *err)
{
    kal_plan *plan = NULL;

    *edits = (kal_rewrite){0};
    *text_out = text;
    if (depth > DEPTH_MAX)
        return kal_error_set(err, KAL_LIMIT,
                             "views stand in one another more than %d deep, or in themselves",
                             DEPTH_MAX);
    KAL_TRY(
        kal_query_plan(x->place.slot, text, x->place.is_admin || depth > 0, x->arena, &plan, err));
    KAL_TRY(edit_short_forms(x, text, plan, edits, err));
    for (size_t i = 0; i < plan->tables.len; i++) {
        const kal_plan_table *t = &plan->tables.items[i];
        kal_bytes sql;
        kal_status status =
            x->place.slot->engine->ops->view(x->place.statement, t->schema, t->name, &sql, err);
        if (is_self(x, t)) {
            kal_error_set(err, KAL_INVALID, "view '%.*s' would read itself", KAL_FMT(t->name));
            kal_error_at(err, t->start);
            return KAL_INVALID;
        }
        if (status == KAL_NOT_FOUND)
            continue;
        KAL_TRY(status);
        KAL_TRY(edit_view(x, t, sql, depth, edits, err));
        KAL_TRY(edit_columns(x, text, plan, t, edits, err));
    }
    if (edits->edits.len == 0) {
        x->plan = plan;
        return KAL_OK;
    }
    return apply_edits(x, text, edits, text_out, err);
}

kal_status kal_views_expand(const kal_views_place *place, kal_bytes text, kal_arena *arena,
                            kal_rewrite *edits_out, kal_bytes *text_out, kal_plan **plan_out,
                            kal_error *err)
{
    expansion x = {.place = *place, .arena = arena};
    KAL_TRY(expand(&x, text, 0, edits_out, text_out, err));
    *plan_out = edits_out->edits.len == 0 ? x.plan : NULL;
    return KAL_OK;
}

/* ---- the text of a new view ---- */

static kal_status qualify(expansion *x, kal_bytes text, kal_bytes default_schema,
                          kal_bytes *text_out, kal_error *err)
{
    kal_plan *plan = NULL;
    kal_rewrite edits = {0};

    KAL_TRY(kal_query_plan(x->place.slot, text, x->place.is_admin, x->arena, &plan, err));
    if (plan->param_max > 0)
        return kal_error_set(err, KAL_INVALID, "a view cannot have parameters");
    for (size_t i = 0; i < plan->tables.len; i++) {
        const kal_plan_table *t = &plan->tables.items[i];
        kal_bytes copy;
        kal_buf prefix; /* owned */
        if (t->schema.len > 0)
            continue;
        kal_buf_init(&prefix, NULL);
        kal_lex_quote(&prefix, default_schema);
        kal_buf_append_byte(&prefix, '.');
        KAL_TRY(copy_text(x, &prefix, &copy, err));
        KAL_TRY(
            add_edit(x, &edits, (kal_edit){.start = t->start, .end = t->start, .text = copy}, err));
    }
    return apply_edits(x, text, &edits, text_out, err);
}

/* As one view deep, so that who reads the new view is not too deep. */
static kal_status qualify_and_check(expansion *x, const kal_engine_query_args *query,
                                    kal_bytes *text_out, kal_error *err)
{
    kal_rewrite edits;
    kal_bytes expanded;

    KAL_TRY(qualify(x, query->sql, query->default_schema, text_out, err));
    kal_status status = expand(x, *text_out, 1, &edits, &expanded, err);
    if (status != KAL_OK && err != NULL)
        err->position = -1; /* it is in the qualified text */
    return status;
}

kal_status kal_engine_qualify(kal_engine *engine, void *statement,
                              const kal_engine_query_args *query, const kal_engine_name *view,
                              kal_arena *arena, kal_bytes *text_out, kal_error *err)
{
    kal_slot *slot = NULL;
    kal_arena scratch; /* owned */

    *text_out = (kal_bytes){0};
    KAL_TRY(kal_slot_acquire(engine, query, &slot, err));
    kal_arena_init(&scratch, query->budget);
    const kal_views_place place = {slot, statement, query->is_admin,
                                   engine->ops->moment(statement)};
    expansion x = {.place = place, .arena = &scratch, .self = view};
    kal_status status = qualify_and_check(&x, query, text_out, err);
    if (status == KAL_OK && !kal_arena_try_copy(arena, *text_out, text_out))
        status = too_large(err);
    kal_slot_release(slot);
    kal_arena_release(&scratch);
    return status;
}
