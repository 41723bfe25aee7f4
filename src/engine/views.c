/*
 * views.c: views are put in place of their names as sub-selects, before anything else is decided
 * about a statement.
 *
 *     SELECT * FROM app.v WHERE a > 1    ->    SELECT * FROM (SELECT ...) AS v WHERE a > 1
 *
 * The result is planned like any text of a user: the allow-list, the caps and the rights on each
 * table hold for what a view reads as for what its reader wrote himself. A view's own text has
 * qualified names and no parameters, so it means the same wherever it stands; and what it names has
 * only the columns that it had when the view was made, so it means the same as then.
 */
#include "base/assert.h"
#include "engine/engine_internal.h"
#include "engine/lex.h"

#include <string.h>

enum { DEPTH_MAX = 16 };

typedef struct expansion {
    kal_views_place place;
    kal_arena *arena;
    kal_plan *plan; /* of the last text that had nothing to replace */
    /* What may be read of the tables met so far: as they stand in the text without views. */
    KAL_VEC(kal_engine_reads) reads;
    const kal_engine_name *self; /* the view being made; NULL: none */
} expansion;

static kal_status add_edit(expansion *x, kal_rewrite *out, kal_edit edit, kal_error *err)
{
    return kal_vec_try_push_in(x->arena, &out->edits, edit) ? KAL_OK : kal_engine_too_large(err);
}

static kal_status copy_text(expansion *x, kal_buf *text, kal_bytes *copy_out, kal_error *err)
{
    bool kept =
        !kal_buf_failed(text) && kal_arena_try_copy(x->arena, kal_buf_bytes(text), copy_out);
    kal_buf_release(text);
    return kept ? KAL_OK : kal_engine_too_large(err);
}

/* A text in which views are looked for. */
typedef struct body {
    kal_bytes text;
    unsigned depth;              /* of views around it */
    const kal_engine_name *view; /* whose SELECT it is; NULL: the statement's */
} body;

static kal_status expand(expansion *x, const body *b, kal_rewrite *edits, kal_bytes *text_out,
                         kal_error *err);

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

/* What the SELECT b may read of a table or view that it names. */
static kal_status reads_of(expansion *x, const body *b, const kal_plan_table *t,
                           kal_engine_reads *out, kal_error *err)
{
    const kal_engine_name name = {t->schema, t->name};
    const kal_views_place *p = &x->place;

    *out = (kal_engine_reads){.all = true};
    if (b->view == NULL)
        return KAL_OK;
    return p->slot->engine->ops->view_reads(p->statement, b->view, &name, out, err);
}

/* first_read: the view's own among the tables met so far. */
static kal_status check_alone(expansion *x, const kal_plan_table *t, kal_bytes sql,
                              size_t first_read, kal_error *err)
{
    const kal_views_place *p = &x->place;
    const kal_engine_ops *ops = p->slot->engine->ops;
    const kal_query_text query = {.text = sql,
                                  .reads = x->reads.items + first_read,
                                  .reads_count = x->reads.len - first_read};

    if (ops->is_view_checked(p->statement, t->schema, t->name, p->moment))
        return KAL_OK;
    KAL_TRY(kal_query_check(p->slot, p->statement, query, x->arena, err));
    if (ops->moment(p->statement) == p->moment)
        ops->set_view_checked(p->statement, t->schema, t->name, p->moment);
    return KAL_OK;
}

/* SELECT "a", "b" FROM: the columns that may be read; a constant when there are none. */
static kal_status append_narrowing(expansion *x, const kal_plan_table *t,
                                   const kal_engine_reads *reads, kal_buf *text, kal_error *err)
{
    const kal_views_place *p = &x->place;
    kal_engine_table view;

    KAL_TRY(p->slot->engine->ops->resolve(p->statement, t->schema, t->name, &view, err));
    if (view.id != reads->table_id)
        return kal_error_set(err, KAL_CONFLICT, "a view changed while the statement started");
    kal_buf_append_cstr(text, reads->count == 0 ? "SELECT 1 AS \"" KAL_VIEW_BODY "\"" : "SELECT ");
    for (size_t i = 0; i < reads->count; i++) {
        kal_buf_append_cstr(text, i == 0 ? "" : ", ");
        kal_lex_quote(text, view.columns[reads->columns[i]].name);
    }
    kal_buf_append_cstr(text, " FROM ");
    return KAL_OK;
}

/* In parentheses: the view's SELECT. */
static kal_status append_view(expansion *x, const body *b, const kal_plan_table *t, kal_bytes sql,
                              kal_buf *text, kal_error *err)
{
    kal_engine_reads reads;

    KAL_TRY(reads_of(x, b, t, &reads, err));
    kal_buf_append_byte(text, '(');
    if (!reads.all) {
        KAL_TRY(append_narrowing(x, t, &reads, text, err));
        kal_buf_append_byte(text, '(');
    }
    kal_buf_append_bytes(text, sql);
    kal_buf_append_cstr(text, reads.all ? ")" : ") AS \"" KAL_VIEW_BODY "\")");
    return KAL_OK;
}

static kal_status edit_view(expansion *x, const body *b, const kal_plan_table *t, kal_bytes sql,
                            kal_rewrite *edits, kal_error *err)
{
    const kal_engine_name name = {t->schema, t->name};
    const body inner = {sql, b->depth + 1, &name};
    size_t first_read = x->reads.len;
    kal_rewrite inner_edits;
    kal_bytes inner_sql;
    kal_bytes copy;
    kal_buf text; /* owned */

    kal_status status = expand(x, &inner, &inner_edits, &inner_sql, err);
    if (status == KAL_OK)
        status = check_alone(x, t, inner_sql, first_read, err);
    if (status != KAL_OK)
        return kal_views_error(t->name, t->start, status, err);
    kal_buf_init(&text, x->arena->budget);
    status = append_view(x, b, t, inner_sql, &text, err);
    if (status != KAL_OK) {
        kal_buf_release(&text);
        return status;
    }
    if (t->alias.len == 0) {
        kal_buf_append_cstr(&text, " AS ");
        kal_lex_quote(&text, t->name);
    }
    KAL_TRY(copy_text(x, &text, &copy, err));
    return add_edit(x, edits, (kal_edit){t->start, t->end, copy, t->name, 0}, err);
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

static kal_status apply_edits(expansion *x, kal_bytes text, kal_rewrite *edits, kal_bytes *text_out,
                              kal_error *err)
{
    kal_buf out; /* owned */
    kal_rewrite_sort(edits);
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

static kal_status expand_table(expansion *x, const body *b, const kal_plan *plan,
                               const kal_plan_table *t, kal_rewrite *edits, kal_error *err)
{
    kal_bytes sql;
    kal_engine_reads reads;

    kal_status status =
        x->place.slot->engine->ops->view(x->place.statement, t->schema, t->name, &sql, err);
    if (is_self(x, t)) {
        kal_error_set(err, KAL_INVALID, "view '%.*s' would read itself", KAL_FMT(t->name));
        kal_error_at(err, t->start);
        return KAL_INVALID;
    }
    if (status == KAL_NOT_FOUND) { /* a table, or nobody's name */
        KAL_TRY(reads_of(x, b, t, &reads, err));
        return kal_vec_try_push_in(x->arena, &x->reads, reads) ? KAL_OK : kal_engine_too_large(err);
    }
    KAL_TRY(status);
    KAL_TRY(edit_view(x, b, t, sql, edits, err));
    return edit_columns(x, b->text, plan, t, edits, err);
}

/* *text_out: the text without views, which is b's own when there are none. */
static kal_status expand(expansion *x, const body *b, kal_rewrite *edits, kal_bytes *text_out,
                         kal_error *err)
{
    kal_plan *plan = NULL;

    *edits = (kal_rewrite){0};
    *text_out = b->text;
    if (b->depth > DEPTH_MAX)
        return kal_error_set(err, KAL_LIMIT,
                             "views stand in one another more than %d deep, or in themselves",
                             DEPTH_MAX);
    KAL_TRY(kal_query_plan(x->place.slot, b->text, x->place.is_admin || b->depth > 0, x->arena,
                           &plan, err));
    KAL_TRY(edit_short_forms(x, b->text, plan, edits, err));
    for (size_t i = 0; i < plan->tables.len; i++)
        KAL_TRY(expand_table(x, b, plan, &plan->tables.items[i], edits, err));
    if (edits->edits.len == 0) {
        x->plan = plan;
        return KAL_OK;
    }
    return apply_edits(x, b->text, edits, text_out, err);
}

kal_status kal_views_expand(const kal_views_place *place, kal_bytes text, kal_arena *arena,
                            kal_expanded *out, kal_error *err)
{
    expansion x = {.place = *place, .arena = arena};
    const body statement = {.text = text};

    *out = (kal_expanded){0};
    KAL_TRY(expand(&x, &statement, &out->views, &out->query.text, err));
    if (out->views.edits.len == 0) {
        out->query.plan = x.plan;
    } else {
        out->query.reads = x.reads.items;
        out->query.reads_count = x.reads.len;
    }
    return KAL_OK;
}

/* ---- the text of a new view ---- */

static kal_status qualify(expansion *x, kal_bytes text, kal_bytes default_schema,
                          kal_engine_qualified *out, kal_error *err)
{
    kal_plan *plan = NULL;
    kal_rewrite edits = {0};

    KAL_TRY(kal_query_plan(x->place.slot, text, x->place.is_admin, x->arena, &plan, err));
    if (plan->param_max > 0)
        return kal_error_set(err, KAL_INVALID, "a view cannot have parameters");
    out->tables = kal_arena_try_array(x->arena, plan->tables.len + 1, sizeof *out->tables);
    if (out->tables == NULL)
        return kal_engine_too_large(err);
    for (size_t i = 0; i < plan->tables.len; i++) {
        const kal_plan_table *t = &plan->tables.items[i];
        kal_bytes copy;
        kal_buf prefix; /* owned */
        out->tables[out->table_count++] =
            (kal_engine_name){t->schema.len > 0 ? t->schema : default_schema, t->name};
        if (t->schema.len > 0)
            continue;
        kal_buf_init(&prefix, NULL);
        kal_lex_quote(&prefix, default_schema);
        kal_buf_append_byte(&prefix, '.');
        KAL_TRY(copy_text(x, &prefix, &copy, err));
        KAL_TRY(
            add_edit(x, &edits, (kal_edit){.start = t->start, .end = t->start, .text = copy}, err));
    }
    return apply_edits(x, text, &edits, &out->text, err);
}

/* As one view deep, so that who reads the new view is not too deep. */
static kal_status qualify_and_check(expansion *x, const kal_engine_query_args *query,
                                    kal_engine_qualified *out, kal_error *err)
{
    kal_rewrite edits;
    kal_bytes expanded;

    KAL_TRY(qualify(x, query->sql, query->default_schema, out, err));
    const body b = {.text = out->text, .depth = 1};
    kal_status status = expand(x, &b, &edits, &expanded, err);
    if (status != KAL_OK && err != NULL)
        err->position = -1; /* it is in the qualified text */
    return status;
}

/* From the arena of the moment to the one of the caller. */
static kal_status keep(kal_engine_qualified *q, kal_arena *arena, kal_error *err)
{
    kal_engine_name *tables = kal_arena_try_array(arena, q->table_count + 1, sizeof *tables);
    if (tables == NULL || !kal_arena_try_copy(arena, q->text, &q->text))
        return kal_engine_too_large(err);
    for (size_t i = 0; i < q->table_count; i++) {
        if (!kal_arena_try_copy(arena, q->tables[i].schema, &tables[i].schema) ||
            !kal_arena_try_copy(arena, q->tables[i].name, &tables[i].name))
            return kal_engine_too_large(err);
    }
    q->tables = tables;
    return KAL_OK;
}

kal_status kal_engine_qualify(kal_engine *engine, void *statement,
                              const kal_engine_query_args *query, const kal_engine_name *view,
                              kal_arena *arena, kal_engine_qualified *out, kal_error *err)
{
    kal_slot *slot = NULL;
    kal_arena scratch; /* owned */

    *out = (kal_engine_qualified){0};
    KAL_TRY(kal_slot_acquire(engine, query, &slot, err));
    kal_arena_init(&scratch, query->budget);
    const kal_views_place place = {slot, statement, query->is_admin,
                                   engine->ops->moment(statement)};
    expansion x = {.place = place, .arena = &scratch, .self = view};
    kal_status status = qualify_and_check(&x, query, out, err);
    if (status == KAL_OK)
        status = keep(out, arena, err);
    kal_slot_release(slot);
    kal_arena_release(&scratch);
    return status;
}
