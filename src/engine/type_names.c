/*
 * type_names.c: the type names of casts that are ours alone: DuckDB does not know BYTES and
 * EMBEDDING(n), and takes DATETIME for a TIMESTAMP. Its syntax tree has forgotten the word that
 * stood there, so the words are found in the text, at the places that the tree names:
 *
 *     CAST(x AS DATETIME)   TRY_CAST(x AS STRUCT(a DATETIME[]))   x::EMBEDDING(3)   DATETIME '...'
 */
#include "base/json_writer.h"
#include "engine/engine_internal.h"
#include "engine/lex.h"

#include <stdlib.h>

typedef struct renaming {
    kal_bytes text;
    kal_arena *arena;
    kal_rewrite *out;
} renaming;

static kal_bytes word_of(const renaming *r, kal_lex_token token)
{
    return token.kind == KAL_LEX_WORD ? kal_lex_text(r->text, token) : (kal_bytes){0};
}

static bool is_byte(const renaming *r, kal_lex_token token, char byte)
{
    return token.kind == KAL_LEX_OTHER && r->text.ptr[token.start] == (uint8_t)byte;
}

/* Puts DuckDB's name of the type in place of bytes [start, end). */
static kal_status add_name(renaming *r, kal_type type, size_t start, size_t end, kal_error *err)
{
    char name[KAL_TYPE_NAME_BYTES];
    kal_edit edit = {.start = start, .end = end};

    if (!kal_arena_try_copy(r->arena, kal_cstr(kal_type_duckdb_name(type, name)), &edit.text) ||
        !kal_vec_try_push_in(r->arena, &r->out->edits, edit))
        return kal_engine_too_large(err);
    return KAL_OK;
}

/* EMBEDDING(n): the word was read, *position is behind it. */
static kal_status rename_embedding(renaming *r, kal_lex_token word, size_t *position,
                                   kal_error *err)
{
    kal_type type;
    int64_t dim = 0;
    kal_lex_token open = kal_lex_next(r->text, position);
    kal_lex_token number = kal_lex_next(r->text, position);
    kal_lex_token close = kal_lex_next(r->text, position);
    bool has_number = is_byte(r, open, '(') && is_byte(r, close, ')') &&
                      kal_parse_i64(kal_lex_text(r->text, number), &dim);
    kal_status status =
        kal_type_from_sql(word_of(r, word), &dim, has_number ? 1 : 0, &type, NULL, err);
    if (status != KAL_OK) {
        kal_error_at(err, word.start);
        return status;
    }
    return add_name(r, type, word.start, close.end, err);
}

/* A type, which starts at *position: a word, perhaps with something in brackets. What is ours in it
 * is renamed; a word before another word is the name of a field. */
static kal_status rename_type(renaming *r, size_t position, kal_error *err)
{
    unsigned depth = 0;
    kal_lex_token token = kal_lex_next(r->text, &position);

    for (bool is_first = true; token.kind != KAL_LEX_END; is_first = false) {
        kal_type_tag tag;
        size_t behind = position;
        kal_lex_token next = kal_lex_next(r->text, &position);
        bool closes = is_byte(r, token, ')') || is_byte(r, token, ']');
        if (closes && depth == 0)
            return KAL_OK;
        depth += is_byte(r, token, '(') || is_byte(r, token, '[');
        depth -= closes;
        bool is_type = next.kind != KAL_LEX_WORD && next.kind != KAL_LEX_QUOTED;
        if ((is_first || depth > 0) && (is_type || depth == 0) &&
            kal_type_is_only_ours(word_of(r, token), &tag)) {
            if (tag == KAL_TYPE_EMBEDDING) {
                KAL_TRY(rename_embedding(r, token, &behind, err));
                position = behind;
                next = kal_lex_next(r->text, &position);
            } else {
                KAL_TRY(add_name(r, kal_type_of(tag), token.start, token.end, err));
            }
        }
        if (depth == 0 && !is_byte(r, next, '(') && !is_byte(r, next, '['))
            return KAL_OK;
        token = next;
    }
    return KAL_OK;
}

/* Behind the AS of CAST(x AS type); the bracket comes next. */
static bool find_as(const renaming *r, size_t position, size_t *type_out)
{
    unsigned depth = 0;
    bool found = false;

    do {
        kal_lex_token token = kal_lex_next(r->text, &position);
        if (token.kind == KAL_LEX_END)
            return false;
        depth += is_byte(r, token, '(');
        depth -= is_byte(r, token, ')');
        if (depth == 1 && kal_bytes_equal_nocase(word_of(r, token), KAL_STR("AS"))) {
            *type_out = position; /* the last one counts */
            found = true;
        }
    } while (depth > 0);
    return found;
}

static kal_status rename_cast(renaming *r, kal_lex_token before, kal_lex_token token,
                              size_t position, const kal_plan_cast *cast, kal_error *err)
{
    size_t type = 0;

    if (cast->is_literal)
        return before.kind == KAL_LEX_WORD ? rename_type(r, before.start, err) : KAL_OK;
    if (is_byte(r, token, ':')) {
        (void)kal_lex_next(r->text, &position); /* the second one */
        return rename_type(r, position, err);
    }
    return find_as(r, position, &type) ? rename_type(r, type, err) : KAL_OK;
}

static int by_position(const void *a, const void *b)
{
    const kal_plan_cast *x = a;
    const kal_plan_cast *y = b;
    return (x->position > y->position) - (x->position < y->position);
}

kal_status kal_rewrite_types(kal_bytes text, kal_plan *plan, kal_arena *arena, kal_rewrite *out,
                             kal_error *err)
{
    renaming r = {text, arena, out};
    size_t position = 0;
    size_t at = 0;
    kal_lex_token before = {.kind = KAL_LEX_END};

    if (plan->casts.len == 0)
        return KAL_OK;
    qsort(plan->casts.items, plan->casts.len, sizeof *plan->casts.items, by_position);
    while (at < plan->casts.len) {
        kal_lex_token token = kal_lex_next(text, &position);
        if (token.kind == KAL_LEX_END)
            return KAL_OK;
        while (at < plan->casts.len && plan->casts.items[at].position < token.start)
            at++;
        for (; at < plan->casts.len && plan->casts.items[at].position == token.start; at++)
            KAL_TRY(rename_cast(&r, before, token, position, &plan->casts.items[at], err));
        before = token;
    }
    return KAL_OK;
}
