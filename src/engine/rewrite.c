/*
 * rewrite.c: from the user's text to the one DuckDB runs: each table becomes kal_scan(i) under the
 * same name, type names of ours become DuckDB's (type_names.c); everything else stays as it was
 * written.
 *
 * Hidden columns (_seq, _deleted) are part of a table only when the statement names one where that
 * table can be meant; then the stars of that SELECT leave them out explicitly.
 */
#include "engine/engine_internal.h"
#include "engine/lex.h"

#include <stdlib.h>

#define SCAN       "kal_scan("
#define FILES      "kal_files("   /* files.c */
#define COUNT_STAR "count_star()" /* DuckDB's own name of count(*) */

typedef struct rewriting {
    kal_engine *engine;
    void *statement;
    kal_bytes text;
    const kal_plan *plan;
    const kal_engine_reads *reads; /* NULL, or of each table of the plan */
    kal_arena *arena;
    kal_rewrite *out;
} rewriting;

static kal_status add_edit(rewriting *r, size_t start, size_t end, kal_bytes text, kal_error *err)
{
    kal_edit edit = {.start = start, .end = end, .text = text};
    return kal_vec_try_push_in(r->arena, &r->out->edits, edit) ? KAL_OK : kal_engine_too_large(err);
}

kal_status kal_engine_too_large(kal_error *err)
{
    return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
}

/* ---- tables ---- */

/* Leaves the columns that may be read, and the hidden ones. */
static kal_status narrow(rewriting *r, kal_scan_table *t, const kal_engine_reads *reads,
                         kal_error *err)
{
    size_t hidden = t->table.hidden_count;
    size_t count = reads->count + hidden;
    kal_engine_column *columns = kal_arena_try_array(r->arena, count + 1, sizeof *columns);
    uint32_t *shown = kal_arena_try_array(r->arena, count + 1, sizeof *shown);

    if (columns == NULL || shown == NULL)
        return kal_engine_too_large(err);
    if (t->table.id != reads->table_id)
        return kal_error_set(err, KAL_CONFLICT, "a table changed while the statement started");
    for (size_t i = 0; i < count; i++) {
        shown[i] = i < reads->count
                       ? reads->columns[i]
                       : (uint32_t)(t->table.column_count - hidden + (i - reads->count));
        columns[i] = t->table.columns[shown[i]];
    }
    t->table.columns = columns;
    t->table.column_count = count;
    t->shown = shown;
    t->shows_hidden = reads->count == 0; /* DuckDB has no table without columns */
    return KAL_OK;
}

static kal_status resolve_tables(rewriting *r, kal_error *err)
{
    size_t count = r->plan->tables.len;
    r->out->tables = kal_arena_try_array(r->arena, count + 1, sizeof *r->out->tables);
    r->out->table_count = count;
    if (r->out->tables == NULL)
        return kal_engine_too_large(err);
    for (size_t i = 0; i < count; i++) {
        const kal_plan_table *t = &r->plan->tables.items[i];
        kal_status status = r->engine->ops->resolve(r->statement, t->schema, t->name,
                                                    &r->out->tables[i].table, err);
        if (status != KAL_OK) {
            kal_error_at(err, t->start);
            return status;
        }
        if (r->reads != NULL && !r->reads[i].all)
            KAL_TRY(narrow(r, &r->out->tables[i], &r->reads[i], err));
    }
    return KAL_OK;
}

static kal_status edit_tables(rewriting *r, kal_error *err)
{
    for (size_t i = 0; i < r->plan->tables.len; i++) {
        const kal_plan_table *t = &r->plan->tables.items[i];
        kal_edit edit = {.start = t->start, .end = t->end, .scan = i + 1};
        kal_buf text; /* owned */
        r->out->tables[i].written = kal_bytes_of(r->text.ptr + t->start, t->end - t->start);
        r->out->tables[i].has_alias = t->alias.len > 0;
        kal_buf_init(&text, NULL);
        kal_buf_printf(&text, SCAN "%zu)", i);
        if (t->alias.len == 0) {
            kal_buf_append_cstr(&text, " AS ");
            kal_lex_quote(&text, t->name);
        }
        bool kept = kal_arena_try_copy(r->arena, kal_buf_bytes(&text), &edit.text) &&
                    kal_vec_try_push_in(r->arena, &r->out->edits, edit);
        kal_buf_release(&text);
        if (!kept)
            return kal_engine_too_large(err);
    }
    return KAL_OK;
}

kal_status kal_rewrite_to_files(kal_rewrite *rewrite, kal_arena *arena, kal_error *err)
{
    for (size_t i = 0; i < rewrite->edits.len; i++) {
        kal_edit *edit = &rewrite->edits.items[i];
        if (edit->scan == 0 || !kal_files_may_read(&rewrite->tables[edit->scan - 1].table))
            continue;
        rewrite->tables[edit->scan - 1].by_files = true;
        size_t closing = 0; /* of kal_scan(i) */
        while (edit->text.ptr[closing] != ')')
            closing++;
        kal_buf text; /* owned */
        kal_buf_init(&text, NULL);
        kal_buf_printf(&text, FILES "%zu)", edit->scan - 1);
        kal_buf_append(&text, edit->text.ptr + closing + 1, edit->text.len - closing - 1);
        bool kept = kal_arena_try_copy(arena, kal_buf_bytes(&text), &edit->text);
        kal_buf_release(&text);
        if (!kept)
            return kal_engine_too_large(err);
    }
    return KAL_OK;
}

/* ---- schema.table.column ---- */

static bool names_table(const rewriting *r, const kal_plan_column *c)
{
    for (size_t i = 0; i < r->plan->tables.len; i++) {
        const kal_plan_table *t = &r->plan->tables.items[i];
        if (t->alias.len == 0 && kal_bytes_equal_nocase(t->name, c->table) &&
            kal_bytes_equal_nocase(r->out->tables[i].table.schema, c->schema) &&
            kal_plan_within(r->plan, c->scope, t->scope))
            return true;
    }
    return false;
}

/* The schema goes: kal_scan has none. */
static kal_status edit_columns(rewriting *r, kal_error *err)
{
    for (size_t i = 0; i < r->plan->columns.len; i++) {
        const kal_plan_column *c = &r->plan->columns.items[i];
        size_t position = c->end;
        if (!names_table(r, c))
            continue;
        kal_lex_token dot = kal_lex_next(r->text, &position);
        if (dot.kind == KAL_LEX_OTHER && r->text.ptr[dot.start] == '.')
            KAL_TRY(add_edit(r, c->start, dot.end, (kal_bytes){0}, err));
    }
    return KAL_OK;
}

/* ---- hidden columns ---- */

static bool is_hidden_of(const kal_engine_table *t, kal_bytes name)
{
    for (size_t i = t->column_count - t->hidden_count; i < t->column_count; i++) {
        if (kal_bytes_equal_nocase(t->columns[i].name, name))
            return true;
    }
    return false;
}

static void find_hidden(rewriting *r)
{
    for (size_t n = 0; n < r->plan->names.len; n++) {
        const kal_plan_name *name = &r->plan->names.items[n];
        for (size_t i = 0; i < r->plan->tables.len; i++) {
            if (is_hidden_of(&r->out->tables[i].table, name->name) &&
                kal_plan_within(r->plan, name->scope, r->plan->tables.items[i].scope))
                r->out->tables[i].shows_hidden = true;
        }
    }
}

static kal_bytes known_as(const kal_plan_table *t)
{
    return t->alias.len > 0 ? t->alias : t->name;
}

static const kal_scan_table *hidden_in_star(const rewriting *r, const kal_plan_star *star)
{
    for (size_t i = 0; i < r->plan->tables.len; i++) {
        const kal_plan_table *t = &r->plan->tables.items[i];
        if (r->out->tables[i].shows_hidden && t->scope == star->scope &&
            (star->relation.len == 0 || kal_bytes_equal_nocase(star->relation, known_as(t))))
            return &r->out->tables[i];
    }
    return NULL;
}

static kal_status no_hidden_here(size_t position, kal_error *err)
{
    kal_error_set(err, KAL_UNSUPPORTED,
                  "hidden columns cannot be used together with this * or join");
    kal_error_hint(err, "name the columns that are wanted");
    kal_error_at(err, position);
    return KAL_UNSUPPORTED;
}

static kal_status edit_star(rewriting *r, const kal_plan_star *star, kal_error *err)
{
    const kal_scan_table *table = hidden_in_star(r, star);
    kal_buf text; /* owned */
    kal_bytes copy;

    if (table == NULL)
        return KAL_OK;
    if (star->end == 0 || !star->plain)
        return no_hidden_here(star->position, err);
    kal_buf_init(&text, NULL);
    kal_buf_append_cstr(&text, " EXCLUDE (");
    const kal_engine_table *t = &table->table;
    for (size_t i = t->column_count - t->hidden_count; i < t->column_count; i++) {
        if (i > t->column_count - t->hidden_count)
            kal_buf_append_cstr(&text, ", ");
        kal_lex_quote(&text, t->columns[i].name);
    }
    kal_buf_append_byte(&text, ')');
    bool kept = kal_arena_try_copy(r->arena, kal_buf_bytes(&text), &copy);
    kal_buf_release(&text);
    return kept ? add_edit(r, star->end, star->end, copy, err) : kal_engine_too_large(err);
}

static kal_status edit_hidden(rewriting *r, kal_error *err)
{
    find_hidden(r);
    for (size_t i = 0; i < r->plan->tables.len; i++) {
        const kal_plan_table *t = &r->plan->tables.items[i];
        if (r->out->tables[i].shows_hidden && r->plan->scopes.items[t->scope].merges)
            return no_hidden_here(t->start, err);
    }
    for (size_t i = 0; i < r->plan->stars.len; i++)
        KAL_TRY(edit_star(r, &r->plan->stars.items[i], err));
    return KAL_OK;
}

/* ---- entry points ---- */

static int compare_edits(const void *a, const void *b)
{
    const kal_edit *x = a;
    const kal_edit *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

void kal_rewrite_sort(kal_rewrite *rewrite)
{
    if (rewrite->edits.len > 1)
        qsort(rewrite->edits.items, rewrite->edits.len, sizeof *rewrite->edits.items,
              compare_edits);
}

kal_status kal_rewrite_plan(kal_engine *engine, void *statement, const kal_query_text *query,
                            kal_arena *arena, kal_rewrite *out, kal_error *err)
{
    rewriting r = {engine, statement, query->text, query->plan, query->reads, arena, out};

    *out = (kal_rewrite){0};
    if (query->reads != NULL && query->reads_count != query->plan->tables.len)
        return kal_error_set(err, KAL_INTERNAL, "%zu tables of views, %zu in their text",
                             query->reads_count, query->plan->tables.len);
    KAL_TRY(resolve_tables(&r, err));
    KAL_TRY(edit_tables(&r, err));
    KAL_TRY(edit_columns(&r, err));
    KAL_TRY(edit_hidden(&r, err));
    KAL_TRY(kal_rewrite_types(query->text, query->plan, arena, out, err));
    kal_rewrite_sort(out);
    return KAL_OK;
}

void kal_rewrite_apply(const kal_rewrite *rewrite, kal_bytes text, kal_buf *out)
{
    size_t at = 0;
    for (size_t i = 0; i < rewrite->edits.len; i++) {
        const kal_edit *edit = &rewrite->edits.items[i];
        if (edit->start < at) /* the same place twice */
            continue;
        kal_buf_append(out, text.ptr + at, edit->start - at);
        kal_buf_append_bytes(out, edit->text);
        at = edit->end;
    }
    kal_buf_append(out, text.ptr + at, text.len - at);
}

static bool begins_with(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

/* Behind `SCAN number )` or `FILES number )` at the start of text, or NULL. */
static const char *read_scan(const char *text, size_t count, size_t *index_out)
{
    char *end = NULL;
    unsigned long index = strtoul(strchr(text, '(') + 1, &end, 10);
    *index_out = index;
    return *end == ')' && index < count ? end + 1 : NULL;
}

/* Behind " AS name" at the start of text; text when that is not there. */
static const char *skip_alias(const char *text)
{
    static const char AS[] = " AS ";
    const char *at = text + strlen(AS);
    if (strncmp(text, AS, strlen(AS)) != 0)
        return text;
    if (*at != '"')
        return at + strcspn(at, " ,);");
    at++;
    while (*at != '\0' && (*at != '"' || at[1] == '"'))
        at += *at == '"' ? 2 : 1;
    return *at == '"' ? at + 1 : at;
}

/* The first of the texts that we put something else for; NULL when there is none. */
static const char *find_foreign(const char *name)
{
    static const char *const FOREIGN[] = {SCAN, FILES, COUNT_STAR};
    const char *first = NULL;
    for (size_t i = 0; i < KAL_ARRAY_LEN(FOREIGN); i++) {
        const char *found = strstr(name, FOREIGN[i]);
        if (found != NULL && (first == NULL || found < first))
            first = found;
    }
    return first;
}

bool kal_rewrite_restore(const kal_scan_table *tables, size_t count, const char *name, kal_buf *out)
{
    const char *found = find_foreign(name);
    if (found == NULL)
        return false;
    while (found != NULL) {
        size_t i = 0;
        kal_buf_append(out, name, (size_t)(found - name));
        if (strncmp(found, COUNT_STAR, strlen(COUNT_STAR)) == 0) {
            kal_buf_append_cstr(out, "count(*)");
            name = found + strlen(COUNT_STAR);
        } else if ((name = read_scan(found, count, &i)) != NULL) {
            kal_buf_append_bytes(out, tables[i].written);
            name = tables[i].has_alias ? name : skip_alias(name);
        } else {
            const char *foreign = begins_with(found, FILES) ? FILES : SCAN;
            kal_buf_append_cstr(out, foreign);
            name = found + strlen(foreign);
        }
        found = find_foreign(name);
    }
    kal_buf_append_cstr(out, name);
    return true;
}

size_t kal_rewrite_origin(const kal_rewrite *rewrite, size_t position)
{
    size_t old_at = 0; /* end of the last edit, in both texts */
    size_t new_at = 0;
    for (size_t i = 0; i < rewrite->edits.len; i++) {
        const kal_edit *edit = &rewrite->edits.items[i];
        if (edit->start < old_at)
            continue;
        size_t new_start = new_at + (edit->start - old_at);
        if (position < new_start)
            break;
        if (position < new_start + edit->text.len)
            return edit->start;
        new_at = new_start + edit->text.len;
        old_at = edit->end;
    }
    return old_at + (position - new_at);
}
