/*
 * bind_live.c: items, groups and order of a live query, by the binder. The conditions it can be
 * looked up by are live_index.c.
 */
#include "sql/bind_live.h"

#include "base/assert.h"
#include "sql/parser_internal.h"
#include "types/duckdb_words.h"

#include <stdio.h>

typedef struct live_binding {
    const kal_sql_live *live;
    const kal_sql_select *select;
    kal_binder *binder;
    kal_live_plan *plan;
    kal_error *err;
} live_binding;

/* ---- refusals ---- */

static kal_status no_memory(live_binding *l)
{
    return kal_error_set(l->err, KAL_LIMIT, "the statement's memory is used up");
}

/* "a live query cannot evaluate 'sum(t)': <why>" */
static kal_status refuse(live_binding *l, const kal_sql_expr *e, const char *why)
{
    kal_bytes source = kal_sql_live_source(l->live, e);
    const char *more = (size_t)kal_parser_shown(source) < source.len ? ".." : "";
    kal_error_set(l->err, KAL_UNSUPPORTED, "a live query cannot evaluate '%.*s%s': %s",
                  KAL_PARSER_SHOWN(source), more, why);
    kal_error_at(l->err, e->position);
    return KAL_UNSUPPORTED;
}

static kal_status wrong(live_binding *l, const kal_sql_expr *e, const char *message)
{
    kal_error_set(l->err, KAL_SYNTAX, "%s", message);
    kal_error_at(l->err, e->position);
    return KAL_SYNTAX;
}

static kal_status check_terms(live_binding *l, size_t count, const kal_sql_expr *last,
                              const char *clause)
{
    if (count <= KAL_LIVE_TERMS_MAX)
        return KAL_OK;
    kal_error_set(l->err, KAL_LIMIT, "the %s of a live query has more than %d terms", clause,
                  KAL_LIVE_TERMS_MAX);
    kal_error_at(l->err, last->position);
    return KAL_LIMIT;
}

/* What the binder has sent to the engine, which does not help here. */
static kal_status explain(live_binding *l, const kal_sql_expr *e, kal_status status)
{
    if (status != KAL_UNSUPPORTED || !l->binder->for_engine)
        return status;
    const kal_sql_expr *refused = l->binder->refused == NULL ? e : l->binder->refused;
    l->binder->for_engine = false;
    if (l->err != NULL)
        *l->err = KAL_ERROR_INIT;
    return refuse(l, refused, "only queries that run once can");
}

/* SNOWFLAKE_ID() and the like would give another answer each time the row is looked at. */
static bool generates(const kal_expr *e)
{
    if (e->kind == KAL_EXPR_FUNCTION &&
        (e->function == KAL_EXPR_SNOWFLAKE_ID || e->function == KAL_EXPR_UUID_V7 ||
         e->function == KAL_EXPR_ULID))
        return true;
    for (uint32_t i = 0; i < e->child_count; i++) {
        if (generates(e->children[i]))
            return true;
    }
    return false;
}

static kal_status check_generates(live_binding *l, const kal_sql_expr *e, const kal_expr *bound)
{
    return bound != NULL && generates(bound) ? refuse(l, e, "its value is a new one each time")
                                             : KAL_OK;
}

static kal_status bind_scalar(live_binding *l, const kal_sql_expr *e, kal_expr **out)
{
    kal_status status = kal_bind_expr(l->binder, e, out, l->err);
    if (status != KAL_OK)
        return explain(l, e, status);
    if ((*out)->type.tag == KAL_TYPE_NULL)
        return refuse(l, e, "its type is not known, cast it");
    return check_generates(l, e, *out);
}

/* Values that are compared: grouped and ordered by, or the least and greatest of. */
static bool has_order(kal_type type)
{
    return type.tag != KAL_TYPE_JSON && type.tag != KAL_TYPE_FILE && type.tag != KAL_TYPE_EMBEDDING;
}

/* ---- aggregates ---- */

static kal_bytes fn_name(kal_live_fn fn)
{
    switch (fn) {
#define KAL_LIVE_FN_NAME(name, text)                                                               \
    case KAL_LIVE_##name:                                                                          \
        return KAL_STR(text);
        KAL_LIVE_FN_LIST(KAL_LIVE_FN_NAME)
#undef KAL_LIVE_FN_NAME
    case KAL_LIVE_NONE:
        break;
    }
    return KAL_STR("");
}

static kal_live_fn fn_of(const kal_sql_expr *e)
{
    if (e->kind != KAL_SQL_EXPR_CALL || e->call.bare)
        return KAL_LIVE_NONE;
    for (kal_live_fn fn = KAL_LIVE_COUNT; fn <= KAL_LIVE_MAX; fn++) {
        if (kal_bytes_equal_nocase(e->call.name.text, fn_name(fn)))
            return fn;
    }
    return KAL_LIVE_NONE;
}

/* False: there is no such aggregate of the type. */
static bool aggregate_type(kal_live_fn fn, kal_type argument, kal_type *out)
{
    switch (fn) {
    case KAL_LIVE_SUM:
        if (kal_type_is_integer(argument) || argument.tag == KAL_TYPE_DECIMAL)
            *out = kal_type_decimal(KAL_DECIMAL_PRECISION_MAX, argument.scale);
        else
            *out = kal_type_of(KAL_TYPE_DOUBLE);
        return kal_type_is_numeric(argument);
    case KAL_LIVE_AVG:
        *out = kal_type_of(KAL_TYPE_DOUBLE);
        return kal_type_is_numeric(argument);
    case KAL_LIVE_MIN:
    case KAL_LIVE_MAX:
        *out = argument;
        return has_order(argument);
    default:
        *out = kal_type_of(KAL_TYPE_BIGINT);
        return true;
    }
}

static kal_status bind_aggregate(live_binding *l, const kal_sql_expr *e, kal_live_item *item)
{
    char why[96];
    char type[KAL_TYPE_NAME_BYTES];

    item->fn = fn_of(e);
    item->column = -1;
    if (e->call.star && item->fn == KAL_LIVE_COUNT) {
        item->type = kal_type_of(KAL_TYPE_BIGINT);
        item->is_not_null = true;
        return KAL_OK;
    }
    if (e->call.star || e->call.args.count != 1)
        return refuse(l, e, "it takes one argument");
    KAL_TRY(bind_scalar(l, e->call.args.items[0], &item->expr));
    item->is_not_null = item->fn == KAL_LIVE_COUNT;
    if (aggregate_type(item->fn, item->expr->type, &item->type))
        return KAL_OK;
    snprintf(why, sizeof why, "there is none of a %s", kal_type_name(item->expr->type, type));
    return refuse(l, e, why);
}

/* ---- items ---- */

/* What DuckDB calls an aggregate depends on how it would write the argument: known for a plain
 * column only. */
static bool name_aggregate(live_binding *l, const kal_sql_expr *e, kal_live_item *item)
{
    if (e->call.star) {
        item->name = KAL_STR("count(*)");
        return true;
    }
    const kal_sql_expr *argument = e->call.args.items[0];
    kal_bytes column = argument->column.name.text;
    if (argument->kind != KAL_SQL_EXPR_COLUMN || argument->column.qualifier_count > 0 ||
        argument->column.name.quoted ||
        !kal_bytes_equal(kal_sql_live_source(l->live, argument), column))
        return false;
    const char *quote = kal_duckdb_is_keyword(column) ? "\"" : "";
    item->name = kal_cstr(kal_arena_printf(l->binder->arena, "%s(%s%.*s%s)",
                                           (const char *)fn_name(item->fn).ptr, quote,
                                           KAL_FMT(column), quote));
    return true;
}

static bool name_item(live_binding *l, const kal_sql_item *sql, kal_live_item *item)
{
    if (kal_sql_name_given(sql->alias)) {
        item->name = sql->alias_raw;
        return true;
    }
    if (item->fn != KAL_LIVE_NONE)
        return name_aggregate(l, sql->expr, item);
    item->name = sql->expr->column.name.text;
    return sql->expr->kind == KAL_SQL_EXPR_COLUMN;
}

static void note_column(const live_binding *l, kal_live_item *item)
{
    const kal_table_definition *def = l->plan->def;
    item->column = item->expr->kind == KAL_EXPR_COLUMN ? (int)item->expr->column : -1;
    if (item->column < 0 || (uint32_t)item->column >= def->column_count)
        return;
    item->is_key = def->columns[item->column].is_primary_key;
    item->is_not_null = !def->columns[item->column].is_nullable;
}

static kal_status bind_item(live_binding *l, const kal_sql_item *sql)
{
    kal_live_item item = {.column = -1};
    if (fn_of(sql->expr) != KAL_LIVE_NONE) {
        KAL_TRY(bind_aggregate(l, sql->expr, &item));
        l->plan->is_grouped = true;
    } else {
        KAL_TRY(bind_scalar(l, sql->expr, &item.expr));
        item.type = item.expr->type;
        note_column(l, &item);
    }
    if (!name_item(l, sql, &item)) {
        kal_bytes source = kal_sql_live_source(l->live, sql->expr);
        kal_error_set(l->err, KAL_UNSUPPORTED, "an item of a live query needs a name: '%.*s'",
                      KAL_PARSER_SHOWN(source));
        kal_error_hint(l->err, "add AS and a name");
        kal_error_at(l->err, sql->expr->position);
        return KAL_UNSUPPORTED;
    }
    l->plan->items[l->plan->item_count++] = item;
    return KAL_OK;
}

/* * or t.*: all columns but the hidden ones */
static kal_status bind_star(live_binding *l, const kal_sql_expr *star)
{
    const kal_table_definition *def = l->plan->def;
    kal_sql_expr named = *star;
    named.column.name.text = def->columns[0].name; /* qualified like any of the table's columns */
    if (star->column.qualifier_count > 0 && kal_bind_column(l->binder, &named) != 0)
        return wrong(l, star, "the table of the star is not that of the live query");
    for (uint32_t i = 0; i < def->column_count; i++) {
        kal_expr *e = KAL_NEW(l->binder->arena, kal_expr);
        *e = (kal_expr){.kind = KAL_EXPR_COLUMN,
                        .type = def->columns[i].type,
                        .column = i,
                        .position = star->position};
        kal_live_item item = {.name = def->columns[i].name, .type = e->type, .expr = e};
        note_column(l, &item);
        l->plan->items[l->plan->item_count++] = item;
    }
    return KAL_OK;
}

static kal_status bind_items(live_binding *l)
{
    const kal_sql_items *sql = &l->select->items;
    size_t most = sql->count;
    for (size_t i = 0; i < sql->count; i++)
        most += sql->items[i].expr->kind == KAL_SQL_EXPR_STAR ? l->plan->def->column_count : 0;
    l->plan->items = kal_arena_try_array(l->binder->arena, most, sizeof *l->plan->items);
    if (l->plan->items == NULL)
        return no_memory(l);
    for (size_t i = 0; i < sql->count; i++) {
        const kal_sql_item *item = &sql->items[i];
        bool is_star = item->expr->kind == KAL_SQL_EXPR_STAR;
        KAL_TRY(is_star ? bind_star(l, item->expr) : bind_item(l, item));
    }
    return KAL_OK;
}

/* ---- GROUP BY ---- */

/* The item that an ordinal or a bare name means; item_count: none. */
static kal_status find_item(live_binding *l, const kal_sql_expr *e, size_t *out)
{
    int64_t ordinal = 0;
    const kal_live_plan *plan = l->plan;
    *out = plan->item_count;
    if (e->kind == KAL_SQL_EXPR_NUMBER) {
        if (!e->number.is_integer || !kal_parse_i64(e->number.text, &ordinal) || ordinal < 1 ||
            (uint64_t)ordinal > plan->item_count)
            return wrong(l, e, "an ordinal is that of an item, counted from 1");
        *out = (size_t)ordinal - 1;
        return KAL_OK;
    }
    if (e->kind != KAL_SQL_EXPR_COLUMN || e->column.qualifier_count > 0)
        return KAL_OK;
    size_t at = 0; /* in plan->items, where a star is many */
    for (size_t i = 0; i < l->select->items.count; i++) {
        const kal_sql_item *item = &l->select->items.items[i];
        bool is_star = item->expr->kind == KAL_SQL_EXPR_STAR;
        if (!is_star && kal_sql_name_given(item->alias) &&
            kal_bytes_equal_nocase(item->alias.text, e->column.name.text)) {
            if (*out != plan->item_count)
                return refuse(l, e, "two items have this name");
            *out = at;
        }
        at += is_star ? plan->def->column_count : 1;
    }
    return KAL_OK;
}

/* A bare name is a column before it is an alias. */
static kal_status bind_group(live_binding *l, const kal_sql_expr *e, kal_expr **out)
{
    size_t item = l->plan->item_count;
    if (fn_of(e) != KAL_LIVE_NONE)
        return wrong(l, e, "GROUP BY cannot contain aggregates");
    if (e->kind == KAL_SQL_EXPR_CALL &&
        (kal_bytes_equal_nocase(e->call.name.text, KAL_STR("cube")) ||
         kal_bytes_equal_nocase(e->call.name.text, KAL_STR("rollup"))))
        return wrong(l, e, "a live query cannot have several grouping sets");
    if (e->kind != KAL_SQL_EXPR_COLUMN || kal_bind_column(l->binder, e) < 0)
        KAL_TRY(find_item(l, e, &item));
    if (item == l->plan->item_count)
        KAL_TRY(bind_scalar(l, e, out));
    else if (l->plan->items[item].fn != KAL_LIVE_NONE)
        return wrong(l, e, "GROUP BY cannot contain aggregates");
    else
        *out = l->plan->items[item].expr;
    if ((*out)->kind == KAL_EXPR_LITERAL)
        return refuse(l, e, "it groups by a constant");
    return has_order((*out)->type) ? KAL_OK : refuse(l, e, "values of its type are not grouped by");
}

static kal_status bind_groups(live_binding *l)
{
    size_t n = l->live->group_by.count;
    if (n == 0)
        return KAL_OK;
    KAL_TRY(check_terms(l, n, l->live->group_by.items[n - 1], "GROUP BY"));
    l->plan->is_grouped = true;
    l->plan->group_by = kal_arena_try_array(l->binder->arena, n, sizeof *l->plan->group_by);
    if (l->plan->group_by == NULL)
        return no_memory(l);
    for (size_t i = 0; i < n; i++) {
        KAL_TRY(bind_group(l, l->live->group_by.items[i], &l->plan->group_by[i]));
        l->plan->group_count++;
    }
    return KAL_OK;
}

/* The first column that does not have the same value in all rows of a group; NULL: there is none.
 */
static const kal_expr *ungrouped(const kal_live_plan *plan, const kal_expr *e)
{
    for (size_t i = 0; i < plan->group_count; i++) {
        if (kal_expr_equal(plan->group_by[i], e))
            return NULL;
    }
    if (e->kind == KAL_EXPR_COLUMN)
        return e;
    for (uint32_t i = 0; i < e->child_count; i++) {
        const kal_expr *found = ungrouped(plan, e->children[i]);
        if (found != NULL)
            return found;
    }
    return NULL;
}

static kal_status check_grouped(live_binding *l, const kal_expr *e)
{
    const kal_expr *found = l->plan->is_grouped ? ungrouped(l->plan, e) : NULL;
    if (found == NULL)
        return KAL_OK;
    const kal_table_definition *def = l->plan->def;
    kal_bytes name = found->column < def->column_count
                         ? def->columns[found->column].name
                         : kal_hidden_name(found->column - def->column_count);
    kal_error_set(l->err, KAL_SYNTAX,
                  "column '%.*s' must appear in the GROUP BY clause or be used in an aggregate",
                  KAL_FMT(name));
    kal_error_at(l->err, found->position);
    return KAL_SYNTAX;
}

static kal_status check_items(live_binding *l)
{
    for (size_t i = 0; i < l->plan->item_count; i++) {
        if (l->plan->items[i].fn == KAL_LIVE_NONE)
            KAL_TRY(check_grouped(l, l->plan->items[i].expr));
    }
    return KAL_OK;
}

/* ---- ORDER BY, LIMIT ---- */

static size_t equal_item(const kal_live_plan *plan, kal_live_fn fn, const kal_expr *e)
{
    size_t i = 0;
    while (i < plan->item_count &&
           (plan->items[i].fn != fn ||
            !(plan->items[i].expr == e || kal_expr_equal(plan->items[i].expr, e))))
        i++;
    return i;
}

static kal_status order_by_aggregate(live_binding *l, const kal_sql_expr *e, kal_live_order *order)
{
    kal_live_item wanted = {0};
    KAL_TRY(bind_aggregate(l, e, &wanted));
    order->item = equal_item(l->plan, wanted.fn, wanted.expr);
    return order->item < l->plan->item_count
               ? KAL_OK
               : refuse(l, e, "it is ordered by, but is none of the items");
}

/* An ordinal, the alias of an item, an aggregate among the items, or any expression. */
static kal_status bind_order(live_binding *l, const kal_sql_expr *e, kal_live_order *order)
{
    kal_live_plan *plan = l->plan;
    if (fn_of(e) != KAL_LIVE_NONE)
        return order_by_aggregate(l, e, order);
    KAL_TRY(find_item(l, e, &order->item));
    if (order->item < plan->item_count) {
        const kal_live_item *item = &plan->items[order->item];
        bool is_name = e->kind == KAL_SQL_EXPR_COLUMN;
        if (is_name && kal_bind_is_column_name(l->binder, e->column.name.text) &&
            (item->fn != KAL_LIVE_NONE || item->column != kal_bind_column(l->binder, e)))
            return refuse(l, e, "it is a column and the name of another item");
        order->expr = item->fn == KAL_LIVE_NONE ? item->expr : NULL;
    } else {
        KAL_TRY(bind_scalar(l, e, &order->expr));
        order->item = equal_item(plan, KAL_LIVE_NONE, order->expr);
    }
    if (order->expr == NULL)
        return KAL_OK;
    if (order->expr->kind == KAL_EXPR_LITERAL)
        return refuse(l, e, "it orders by a constant");
    if (!has_order(order->expr->type))
        return refuse(l, e, "values of its type are not ordered by");
    return check_grouped(l, order->expr);
}

static kal_status bind_orders(live_binding *l)
{
    size_t n = l->select->order_by_count;
    if (n == 0)
        return KAL_OK;
    KAL_TRY(check_terms(l, n, l->select->order_by[n - 1].expr, "ORDER BY"));
    l->plan->order_by = kal_arena_try_array(l->binder->arena, n, sizeof *l->plan->order_by);
    if (l->plan->order_by == NULL)
        return no_memory(l);
    for (size_t i = 0; i < n; i++) {
        const kal_sql_order *sql = &l->select->order_by[i];
        kal_live_order order = {.descending = sql->descending,
                                .nulls_first = sql->nulls == KAL_SQL_NULLS_FIRST};
        KAL_TRY(bind_order(l, sql->expr, &order));
        l->plan->order_by[l->plan->order_count++] = order;
    }
    return KAL_OK;
}

static kal_status bind_limit(live_binding *l)
{
    const kal_sql_expr *e = l->select->limit;
    kal_expr *bound = NULL;
    if (e == NULL)
        return KAL_OK;
    KAL_TRY(bind_scalar(l, e, &bound));
    if (bound->kind != KAL_EXPR_LITERAL || bound->literal.is_null ||
        !kal_type_is_integer(bound->literal.type) || bound->literal.integer < 0)
        return wrong(l, e, "the LIMIT of a live query is a whole number");
    l->plan->has_limit = true;
    l->plan->limit = (uint64_t)bound->literal.integer;
    return KAL_OK;
}

/* ---- the whole ---- */

static kal_status bind_where(live_binding *l)
{
    const kal_sql_expr *where = l->select->where;
    kal_status status = kal_bind_where(l->binder, where, &l->plan->where, l->err);
    if (status != KAL_OK)
        return explain(l, where, status);
    return check_generates(l, where, l->plan->where);
}

kal_status kal_live_bind(const kal_sql_live *live, kal_binder *binder, kal_live_plan *plan_out,
                         kal_error *err)
{
    live_binding l = {live, &live->select, binder, plan_out, err};
    KAL_ASSERT(live->kind == KAL_SQL_LIVE_SELECT);
    KAL_ASSERT(binder->def != NULL);
    *plan_out = (kal_live_plan){.def = binder->def};
    binder->alias = live->select.alias.text;
    binder->items = &live->select.items;
    KAL_TRY(bind_where(&l));
    KAL_TRY(bind_items(&l));
    KAL_TRY(bind_groups(&l));
    KAL_TRY(check_items(&l));
    KAL_TRY(bind_orders(&l));
    return bind_limit(&l);
}

void kal_live_plan_columns(const kal_live_plan *plan, uint64_t *bits)
{
    size_t count = plan->def->column_count + KAL_HIDDEN_COUNT;
    kal_expr_columns(plan->where, bits, count);
    for (size_t i = 0; i < plan->item_count; i++)
        kal_expr_columns(plan->items[i].expr, bits, count);
    for (size_t i = 0; i < plan->group_count; i++)
        kal_expr_columns(plan->group_by[i], bits, count);
    for (size_t i = 0; i < plan->order_count; i++)
        kal_expr_columns(plan->order_by[i].expr, bits, count);
}
