/*
 * allow_list.c: queries, FROM clauses and CTEs; expressions are in allow_expr.c.
 *
 * The walk follows DuckDB's serialisation member by member. DuckDB repeats parts of the tree (a
 * materialized CTE appears in the map, in its CTE_NODE and in the map of the node's child), so the
 * same place in the text may be met several times; plans keep one entry per place. When one visit
 * takes a name for a CTE and another for a table, it is a table: rewriting then spells out the
 * view, so DuckDB cannot see it otherwise.
 */
#include "engine/allow_internal.h"
#include "engine/lex.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { LEAVES_MAX = 256, GROUPING_SETS_MAX = 256, PIVOT_COLUMNS_MAX = 1000 };

static const uint64_t SATURATED = 1u << 20;

static kal_status walk_query(allow_walk *w, const kal_json *node);
static kal_status walk_table(allow_walk *w, const kal_json *node);

static kal_status refuse(allow_walk *w, kal_status status, const char *format, va_list args)
{
    char message[KAL_ERROR_MESSAGE_BYTES];
    vsnprintf(message, sizeof message, format, args);
    kal_error_set(w->err, status, "%s", message);
    kal_error_at(w->err, w->position);
    return status;
}

kal_status allow_refuse(allow_walk *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    kal_status status = refuse(w, KAL_UNSUPPORTED, format, args);
    va_end(args);
    return status;
}

kal_status allow_limit(allow_walk *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    kal_status status = refuse(w, KAL_LIMIT, format, args);
    va_end(args);
    return status;
}

kal_status allow_memory(allow_walk *w)
{
    return allow_limit(w, "the statement is too large");
}

kal_status allow_enter(allow_walk *w)
{
    if (++w->depth > KAL_ALLOW_DEPTH_MAX)
        return allow_limit(w, "the statement is nested deeper than %d levels", KAL_ALLOW_DEPTH_MAX);
    return KAL_OK;
}

bool allow_locate(allow_walk *w, const kal_json *node, size_t *position_out)
{
    int64_t location;
    if (!kal_ast_number(node, "query_location", &location) || (size_t)location > w->text.len)
        return false;
    w->position = (size_t)location;
    if (position_out != NULL)
        *position_out = w->position;
    return true;
}

kal_status allow_any(allow_walk *w, const kal_json *value)
{
    (void)w;
    (void)value;
    return KAL_OK;
}

kal_status allow_skip(allow_walk *w, const kal_json *value)
{
    return allow_any(w, value);
}

kal_status allow_none(allow_walk *w, const kal_json *value)
{
    bool empty =
        (value->kind == KAL_JSON_BOOL && !value->boolean) ||
        (value->kind == KAL_JSON_STRING && value->text.len == 0) ||
        ((value->kind == KAL_JSON_ARRAY || value->kind == KAL_JSON_OBJECT) && value->len == 0);
    return empty ? KAL_OK : allow_refuse(w, "this form of the statement is not supported");
}

static const allow_member *find_member(const allow_member *members, kal_bytes key)
{
    for (; members->key != NULL; members++) {
        if (kal_ast_equals(key, members->key))
            return members;
    }
    return NULL;
}

kal_status allow_members(allow_walk *w, const kal_json *node, const allow_member *common,
                         const allow_member *members)
{
    for (size_t i = 0; i < node->len; i++) {
        if (node->items[i].kind == KAL_JSON_NULL)
            continue;
        const allow_member *member = find_member(common, node->keys[i]);
        if (member == NULL)
            member = find_member(members, node->keys[i]);
        if (member == NULL)
            return allow_refuse(w, "this form of the statement is not supported (%.*s)",
                                KAL_FMT(node->keys[i]));
        KAL_TRY(member->walk(w, &node->items[i]));
    }
    return KAL_OK;
}

bool kal_plan_within(const kal_plan *plan, uint32_t inner, uint32_t outer)
{
    while (inner != outer && inner != 0)
        inner = plan->scopes.items[inner].outer;
    return inner == outer;
}

/* --- FROM --- */

static bool same_word(kal_bytes a, const char *b)
{
    return kal_bytes_equal_nocase(a, kal_cstr(b));
}

static const allow_cte *find_cte(const allow_walk *w, kal_bytes name)
{
    for (const allow_cte *cte = w->ctes; cte != NULL; cte = cte->outer) {
        if (kal_bytes_equal_nocase(cte->name, name))
            return cte;
    }
    return NULL;
}

static kal_status count_tables(allow_walk *w, uint64_t more)
{
    w->tables += more;
    if (w->tables > SATURATED)
        w->tables = SATURATED;
    if (w->tables > KAL_ALLOW_TABLES_MAX)
        return allow_limit(w, "the statement refers to more than %d tables, CTEs expanded",
                           KAL_ALLOW_TABLES_MAX);
    return KAL_OK;
}

/* The end of schema.name at `start`; 0 when the text there does not spell it. */
static size_t find_name_end(allow_walk *w, size_t start, kal_bytes schema, kal_bytes name)
{
    size_t position = start;
    kal_lex_token token = kal_lex_next(w->text, &position);
    if (token.start != start)
        return 0;
    if (schema.len > 0) {
        kal_lex_token dot = kal_lex_next(w->text, &position);
        if (!kal_bytes_equal(kal_lex_name(w->text, token, w->arena), schema) ||
            !kal_ast_equals(kal_lex_text(w->text, dot), "."))
            return 0;
        token = kal_lex_next(w->text, &position);
    }
    return kal_bytes_equal(kal_lex_name(w->text, token, w->arena), name) ? token.end : 0;
}

static kal_status walk_base_table(allow_walk *w, const kal_json *node)
{
    kal_plan_table table = {
        .schema = kal_ast_text(node, "schema_name"),
        .name = kal_ast_text(node, "table_name"),
        .alias = kal_ast_text(node, "alias"),
        .scope = w->scope,
    };
    if (kal_ast_text(node, "catalog_name").len > 0)
        return allow_refuse(w, "a table is named namespace.table, not by three parts");
    const allow_cte *cte = table.schema.len == 0 ? find_cte(w, table.name) : NULL;
    if (cte != NULL)
        return count_tables(w, cte->tables);
    KAL_TRY(count_tables(w, 1));
    if (!allow_locate(w, node, &table.start))
        return allow_refuse(w, "table '%.*s' cannot be used here", KAL_FMT(table.name));
    table.end = find_name_end(w, table.start, table.schema, table.name);
    if (table.end == 0)
        return allow_refuse(w, "the name of table '%.*s' is spelled in an unusual way",
                            KAL_FMT(table.name));
    return kal_vec_try_push_in(w->arena, &w->plan->tables, table) ? KAL_OK : allow_memory(w);
}

static kal_status walk_join_type(allow_walk *w, const kal_json *type)
{
    if (kal_ast_equals(type->text, "ANTI"))
        w->plan->has_anti_join = true;
    return KAL_OK;
}

static kal_status walk_join_kind(allow_walk *w, const kal_json *value)
{
    if (kal_ast_equals(value->text, "NATURAL"))
        w->plan->scopes.items[w->scope].merges = true;
    return KAL_OK;
}

static kal_status walk_using(allow_walk *w, const kal_json *names)
{
    for (size_t i = 0; i < names->len; i++) {
        kal_plan_name name = {names->items[i].text, w->position, w->scope};
        if (name.name.len > 0 && name.name.ptr[0] == '_' &&
            !kal_vec_try_push_in(w->arena, &w->plan->names, name))
            return allow_memory(w);
    }
    return KAL_OK;
}

static kal_status walk_rows(allow_walk *w, const kal_json *rows)
{
    if (rows->len > KAL_ALLOW_LIST_MAX)
        return allow_limit(w, "VALUES has %zu rows, %d are allowed", rows->len, KAL_ALLOW_LIST_MAX);
    for (size_t i = 0; i < rows->len; i++)
        KAL_TRY(allow_exprs(w, &rows->items[i]));
    return KAL_OK;
}

static kal_status walk_pivot_entry(allow_walk *w, const kal_json *entry)
{
    static const allow_member MEMBERS[] = {
        {"values", allow_skip}, {"star_expr", allow_expr}, {"alias", allow_any}, {NULL, NULL}};
    static const allow_member NONE[] = {{NULL, NULL}};
    KAL_TRY(allow_members(w, entry, NONE, MEMBERS));
    const kal_json *values = kal_ast_get(entry, "values");
    for (size_t i = 0; values != NULL && i < values->len; i++)
        KAL_TRY(allow_value(w, &values->items[i]));
    return KAL_OK;
}

static kal_status walk_pivot_entries(allow_walk *w, const kal_json *entries)
{
    for (size_t i = 0; i < entries->len; i++)
        KAL_TRY(walk_pivot_entry(w, &entries->items[i]));
    return KAL_OK;
}

static kal_status walk_pivots(allow_walk *w, const kal_json *pivots)
{
    static const allow_member MEMBERS[] = {{"pivot_expressions", allow_exprs},
                                           {"unpivot_names", allow_any},
                                           {"entries", walk_pivot_entries},
                                           {"pivot_enum", allow_none},
                                           {NULL, NULL}};
    static const allow_member NONE[] = {{NULL, NULL}};
    uint64_t columns = 1;
    w->plan->scopes.items[w->scope].merges = true;
    for (size_t i = 0; i < pivots->len; i++) {
        size_t entries = kal_ast_count(&pivots->items[i], "entries");
        if (!kal_try_mul(columns, entries == 0 ? 1 : entries, &columns) ||
            columns > PIVOT_COLUMNS_MAX)
            return allow_limit(w, "PIVOT makes more than %d columns", PIVOT_COLUMNS_MAX);
        KAL_TRY(allow_members(w, &pivots->items[i], NONE, MEMBERS));
    }
    return KAL_OK;
}

static const allow_member TABLE_COMMON[] = {
    {"type", allow_any},           {"alias", allow_any}, {"sample", allow_any},
    {"query_location", allow_any}, {NULL, NULL},
};

/* type, its members, and what is done beside walking them */
static const struct table_kind {
    const char *type;
    allow_member members[10];
    kal_status (*also)(allow_walk *w, const kal_json *node);
} TABLE_KINDS[] = {
    {"BASE_TABLE",
     {{"schema_name", allow_any},
      {"table_name", allow_any},
      {"column_name_alias", allow_any},
      {"catalog_name", allow_any}},
     walk_base_table},
    {"SUBQUERY", {{"subquery", allow_select}, {"column_name_alias", allow_any}}, NULL},
    {"JOIN",
     {{"left", walk_table},
      {"right", walk_table},
      {"condition", allow_expr},
      {"join_type", walk_join_type},
      {"ref_type", walk_join_kind},
      {"using_columns", walk_using},
      {"delim_flipped", allow_none},
      {"duplicate_eliminated_columns", allow_none},
      {"is_implicit", allow_any}},
     NULL},
    {"EXPRESSION_LIST",
     {{"expected_names", allow_any}, {"expected_types", allow_none}, {"values", walk_rows}},
     NULL},
    {"EMPTY", {{NULL, NULL}}, NULL},
    {"TABLE_FUNCTION",
     {{"function", allow_table_function},
      {"column_name_alias", allow_any},
      {"with_ordinality", allow_any}},
     NULL},
    {"PIVOT",
     {{"source", walk_table},
      {"aggregates", allow_exprs},
      {"unpivot_names", allow_any},
      {"pivots", walk_pivots},
      {"groups", allow_any},
      {"column_name_alias", allow_any},
      {"include_nulls", allow_any}},
     NULL},
};

static kal_status walk_table(allow_walk *w, const kal_json *node)
{
    kal_bytes type = kal_ast_text(node, "type");
    allow_locate(w, node, NULL);
    if (++w->leaves > LEAVES_MAX)
        return allow_limit(w, "the statement has more than %d parts in FROM clauses", LEAVES_MAX);
    if (kal_ast_get(node, "at_clause") != NULL)
        return allow_refuse(w, "AT (VERSION or TIMESTAMP) is not supported");
    if (kal_ast_equals(type, "SHOW_REF"))
        return allow_refuse(w, "DESCRIBE, SHOW and SUMMARIZE are not supported inside a query");
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE_KINDS); i++) {
        const struct table_kind *kind = &TABLE_KINDS[i];
        if (!kal_ast_equals(type, kind->type))
            continue;
        KAL_TRY(allow_members(w, node, TABLE_COMMON, kind->members));
        return kind->also == NULL ? KAL_OK : kind->also(w, node);
    }
    return allow_refuse(w, "this kind of FROM clause is not supported");
}

/* --- ORDER BY, LIMIT, DISTINCT --- */

kal_status allow_orders(allow_walk *w, const kal_json *array)
{
    static const allow_member MEMBERS[] = {
        {"type", allow_any}, {"null_order", allow_any}, {"expression", allow_expr}, {NULL, NULL}};
    static const allow_member NONE[] = {{NULL, NULL}};
    bool outer = w->in_order_by;
    w->in_order_by = true;
    for (size_t i = 0; i < array->len; i++)
        KAL_TRY(allow_members(w, &array->items[i], NONE, MEMBERS));
    w->in_order_by = outer;
    return KAL_OK;
}

static kal_status walk_modifiers(allow_walk *w, const kal_json *modifiers)
{
    static const char *const TYPES[] = {"ORDER_MODIFIER", "LIMIT_MODIFIER",
                                        "LIMIT_PERCENT_MODIFIER", "DISTINCT_MODIFIER"};
    static const allow_member MEMBERS[] = {{"type", allow_any},
                                           {"orders", allow_orders},
                                           {"limit", allow_expr},
                                           {"offset", allow_expr},
                                           {"distinct_on_targets", allow_exprs},
                                           {NULL, NULL}};
    static const allow_member NONE[] = {{NULL, NULL}};
    for (size_t i = 0; i < modifiers->len; i++) {
        bool known = false;
        for (size_t t = 0; t < KAL_ARRAY_LEN(TYPES); t++)
            known = known || kal_ast_is(&modifiers->items[i], "type", TYPES[t]);
        if (!known)
            return allow_refuse(w, "this clause is not supported");
        KAL_TRY(allow_members(w, &modifiers->items[i], NONE, MEMBERS));
    }
    return KAL_OK;
}

/* --- WITH --- */

/* Walks a CTE's query; counts how many references to tables one use of it stands for. */
static kal_status walk_cte_body(allow_walk *w, const kal_json *info, uint64_t *tables_out)
{
    static const allow_member MEMBERS[] = {{"aliases", allow_any},
                                           {"query", allow_select},
                                           {"materialized", allow_any},
                                           {"key_targets", allow_exprs},
                                           {NULL, NULL}};
    static const allow_member NONE[] = {{NULL, NULL}};
    uint64_t before = w->tables;
    w->tables = 0;
    KAL_TRY(allow_members(w, info, NONE, MEMBERS));
    *tables_out = w->tables == 0 ? 1 : w->tables;
    w->tables = before;
    return KAL_OK;
}

/* Names under which DuckDB has tables of its own: a CTE must not be mistaken for one. */
static bool is_reserved_name(kal_bytes name)
{
    static const char *const PREFIXES[] = {"duckdb_", "pg_", "sqlite_", "pragma_", "kal_"};
    for (size_t i = 0; i < KAL_ARRAY_LEN(PREFIXES); i++) {
        size_t len = strlen(PREFIXES[i]);
        if (name.len >= len && same_word(kal_bytes_of(name.ptr, len), PREFIXES[i]))
            return true;
    }
    return false;
}

/* Each CTE sees those before it, and itself only when it is recursive (see walk_recursive). */
static kal_status walk_ctes(allow_walk *w, const kal_json *map)
{
    const kal_json *entries = kal_ast_get(map, "map");
    for (size_t i = 0; entries != NULL && i < entries->len; i++) {
        const kal_json *entry = &entries->items[i];
        allow_cte *cte = kal_arena_try_alloc(w->arena, sizeof *cte);
        if (cte == NULL)
            return allow_memory(w);
        cte->name = kal_ast_text(entry, "key");
        if (is_reserved_name(cte->name))
            return allow_refuse(w, "a CTE cannot be named '%.*s'", KAL_FMT(cte->name));
        KAL_TRY(walk_cte_body(w, kal_ast_get(entry, "value"), &cte->tables));
        cte->outer = w->ctes;
        w->ctes = cte;
    }
    return KAL_OK;
}

/* --- query nodes --- */

static kal_status walk_queries(allow_walk *w, const kal_json *nodes)
{
    for (size_t i = 0; i < nodes->len; i++)
        KAL_TRY(walk_query(w, &nodes->items[i]));
    return KAL_OK;
}

static kal_status walk_group_sets(allow_walk *w, const kal_json *sets)
{
    return sets->len <= GROUPING_SETS_MAX
               ? KAL_OK
               : allow_limit(w, "GROUP BY has more than %d grouping sets", GROUPING_SETS_MAX);
}

static kal_status walk_select_list(allow_walk *w, const kal_json *list)
{
    if (list->len > KAL_ALLOW_COLUMNS_MAX)
        return allow_limit(w, "the SELECT list has %zu entries, %d are allowed", list->len,
                           KAL_ALLOW_COLUMNS_MAX);
    size_t before = w->plan->stars.len;
    for (size_t i = 0; i < list->len; i++)
        KAL_TRY(allow_expr(w, &list->items[i]));
    size_t stars = w->plan->stars.len - before;
    if (stars > 1)
        w->stars *= stars;
    if (w->stars > KAL_ALLOW_STARS_MAX)
        return allow_limit(w, "the statement repeats * too often");
    return KAL_OK;
}

static kal_status walk_arm(allow_walk *w, const kal_json *node)
{
    if (!kal_ast_is(node, "type", "SET_OPERATION_NODE") && ++w->arms > KAL_ALLOW_ARMS_MAX)
        return allow_limit(w, "the statement has more than %d arms of set operations",
                           KAL_ALLOW_ARMS_MAX);
    return walk_query(w, node);
}

/* The recursive arm sees the CTE under its own name. */
static kal_status walk_recursive(allow_walk *w, const kal_json *node)
{
    allow_cte *self = kal_arena_try_alloc(w->arena, sizeof *self);
    if (self == NULL)
        return allow_memory(w);
    const kal_json *left = kal_ast_get(node, "left");
    const kal_json *right = kal_ast_get(node, "right");
    if (left == NULL || right == NULL)
        return allow_refuse(w, "this form of WITH RECURSIVE is not supported");
    KAL_TRY(walk_query(w, left));
    *self = (allow_cte){w->ctes, kal_ast_text(node, "cte_name"), 1};
    const allow_cte *before = w->ctes;
    w->ctes = self;
    KAL_TRY(walk_query(w, right));
    w->ctes = before;
    return KAL_OK;
}

/* Its query is a repetition of the map's entry, so it is checked but not counted again. */
static kal_status walk_cte_query(allow_walk *w, const kal_json *query)
{
    uint64_t before = w->tables;
    w->tables = 0;
    KAL_TRY(walk_query(w, query));
    w->tables = before;
    return KAL_OK;
}

static const allow_member QUERY_COMMON[] = {
    {"type", allow_any}, {"modifiers", walk_modifiers}, {"cte_map", allow_skip}, {NULL, NULL}};

static const struct query_kind {
    const char *type;
    allow_member members[10];
    kal_status (*also)(allow_walk *w, const kal_json *node);
} QUERY_KINDS[] = {
    {"SELECT_NODE",
     {{"select_list", walk_select_list},
      {"from_table", walk_table},
      {"where_clause", allow_expr},
      {"group_expressions", allow_exprs},
      {"group_sets", walk_group_sets},
      {"aggregate_handling", allow_any},
      {"having", allow_expr},
      {"sample", allow_any},
      {"qualify", allow_expr}},
     NULL},
    {"SET_OPERATION_NODE",
     {{"setop_type", allow_any},
      {"left", walk_arm},
      {"right", walk_arm},
      {"setop_all", allow_any},
      {"children", walk_queries}},
     NULL},
    {"RECURSIVE_CTE_NODE",
     {{"cte_name", allow_any},
      {"union_all", allow_any},
      {"left", allow_skip},
      {"right", allow_skip},
      {"aliases", allow_any},
      {"key_targets", allow_exprs}},
     walk_recursive},
    {"CTE_NODE",
     {{"cte_name", allow_any},
      {"query", walk_cte_query},
      {"child", walk_query},
      {"aliases", allow_any},
      {"materialized", allow_any}},
     NULL},
};

static kal_status walk_query_kind(allow_walk *w, const kal_json *node)
{
    kal_bytes type = kal_ast_text(node, "type");
    const kal_json *ctes = kal_ast_get(node, "cte_map");
    if (ctes != NULL)
        KAL_TRY(walk_ctes(w, ctes));
    for (size_t i = 0; i < KAL_ARRAY_LEN(QUERY_KINDS); i++) {
        const struct query_kind *kind = &QUERY_KINDS[i];
        if (!kal_ast_equals(type, kind->type))
            continue;
        KAL_TRY(allow_members(w, node, QUERY_COMMON, kind->members));
        return kind->also == NULL ? KAL_OK : kind->also(w, node);
    }
    return allow_refuse(w, "this kind of query is not supported");
}

/* Each query node is a scope of its own; its CTEs are visible in it alone. */
static kal_status walk_query(allow_walk *w, const kal_json *node)
{
    const allow_cte *ctes = w->ctes;
    uint32_t scope = w->scope;
    bool in_order_by = w->in_order_by;
    kal_plan_scope inner = {.outer = scope};
    if (!kal_vec_try_push_in(w->arena, &w->plan->scopes, inner))
        return allow_memory(w);
    w->scope = (uint32_t)(w->plan->scopes.len - 1);
    w->in_order_by = false;
    KAL_TRY(walk_query_kind(w, node));
    w->ctes = ctes;
    w->scope = scope;
    w->in_order_by = in_order_by;
    return KAL_OK;
}

kal_status allow_select(allow_walk *w, const kal_json *statement)
{
    static const allow_member MEMBERS[] = {
        {"node", walk_query}, {"named_param_map", allow_any}, {NULL, NULL}};
    static const allow_member NONE[] = {{NULL, NULL}};
    KAL_TRY(allow_enter(w));
    KAL_TRY(allow_members(w, statement, NONE, MEMBERS));
    w->depth--;
    return KAL_OK;
}

/* --- the whole --- */

static kal_status parse_failure(const kal_json *tree, kal_error *err)
{
    kal_bytes message = kal_ast_text(tree, "error_message");
    if (kal_ast_is(tree, "error_type", "not implemented") &&
        !kal_bytes_starts_with(message, KAL_STR("Mixing")))
        return kal_error_set(err, KAL_UNSUPPORTED, "only SELECT statements can be queried");
    kal_error_set(err, KAL_SYNTAX, "%.*s", KAL_FMT(message));
    kal_bytes position = kal_ast_text(tree, "position");
    size_t offset = 0;
    for (size_t i = 0; i < position.len && offset < SATURATED; i++)
        offset = offset * 10 + (size_t)(position.ptr[i] - '0');
    if (position.len > 0)
        kal_error_at(err, offset);
    return KAL_SYNTAX;
}

kal_status kal_allow_envelope(const kal_json *tree, const kal_json **node_out, kal_error *err)
{
    *node_out = NULL;
    if (kal_ast_flag(tree, "error"))
        return parse_failure(tree, err);
    const kal_json *statements = kal_ast_get(tree, "statements");
    if (statements == NULL || statements->kind != KAL_JSON_ARRAY || statements->len == 0)
        return kal_error_set(err, KAL_SYNTAX, "the statement is empty");
    if (statements->len != 1)
        return kal_error_set(err, KAL_UNSUPPORTED, "a query is one SELECT, these are %zu",
                             statements->len);
    *node_out = &statements->items[0];
    return KAL_OK;
}

/* By place; of several visits to a place the outermost scope first, so that a table and the stars
 * beside it keep the same one. */
#define SORT_BY(function, type, member)                                                            \
    static int function(const void *a, const void *b)                                              \
    {                                                                                              \
        const type *x = a;                                                                         \
        const type *y = b;                                                                         \
        if (x->member != y->member)                                                                \
            return x->member < y->member ? -1 : 1;                                                 \
        return (x->scope > y->scope) - (x->scope < y->scope);                                      \
    }
SORT_BY(by_table, kal_plan_table, start)
SORT_BY(by_column, kal_plan_column, start)
SORT_BY(by_star, kal_plan_star, position)

/* Sorts a vector and keeps the first entry of each place. */
#define SORT_UNIQUE(vec, compare, member)                                                          \
    do {                                                                                           \
        size_t kept = 0;                                                                           \
        if ((vec)->len > 1)                                                                        \
            qsort((vec)->items, (vec)->len, sizeof *(vec)->items, compare);                        \
        for (size_t i = 0; i < (vec)->len; i++) {                                                  \
            if (kept == 0 || (vec)->items[kept - 1].member != (vec)->items[i].member)              \
                (vec)->items[kept++] = (vec)->items[i];                                            \
        }                                                                                          \
        (vec)->len = kept;                                                                         \
    } while (0)

kal_status kal_allow_check(kal_bytes text, const kal_json *tree, kal_arena *arena,
                           kal_plan **plan_out, kal_error *err)
{
    const kal_json *statement;
    *plan_out = NULL;
    KAL_TRY(kal_allow_envelope(tree, &statement, err));
    kal_plan *plan = KAL_NEW(arena, kal_plan);
    allow_walk w = {.text = text,
                    .arena = arena,
                    .plan = plan,
                    .err = err,
                    .stars = 1,
                    .repetition = 1,
                    .position = 0};
    kal_plan_scope outside = {0};
    if (!kal_vec_try_push_in(arena, &plan->scopes, outside))
        return allow_memory(&w);
    KAL_TRY(allow_select(&w, statement));
    SORT_UNIQUE(&plan->tables, by_table, start);
    SORT_UNIQUE(&plan->columns, by_column, start);
    SORT_UNIQUE(&plan->stars, by_star, position);
    *plan_out = plan;
    return KAL_OK;
}
