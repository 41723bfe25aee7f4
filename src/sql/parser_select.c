/*
 * parser_select.c: the single-table SELECT; every other SELECT is kept as text.
 *
 * Nothing here reports a syntax error to the client: DuckDB, whose grammar decides, does. So the
 * functions fail softly with a reason, and kal_parse_select() turns that into is_simple = false.
 */
#include "base/assert.h"
#include "sql/parser_internal.h"

bool kal_parser_at_select(const kal_parser *p)
{
    switch (p->token.keyword) {
    case KAL_KW_SELECT:
    case KAL_KW_WITH:
    case KAL_KW_FROM:
    case KAL_KW_VALUES:
    case KAL_KW_TABLE:
        return true;
    default:
        return kal_parser_at(p, KAL_TOKEN_LEFT);
    }
}

/* The next token as written: DuckDB names a column as its alias was typed. */
static bool take_alias(kal_parser *p, kal_sql_item *item)
{
    kal_bytes raw = kal_bytes_of(p->lexer.text + p->token.start, p->token.end - p->token.start);
    if (!kal_parser_name_or_string(p, "an alias", &item->alias))
        return false;
    item->alias_raw = item->alias.quoted ? item->alias.text : raw;
    return true;
}

bool kal_parse_item_alias(kal_parser *p, kal_sql_item *item)
{
    if (kal_parser_at_keyword(p, KAL_KW_AS)) {
        kal_parser_advance(p);
        /* after AS every word is a name */
        if (kal_parser_at(p, KAL_TOKEN_WORD))
            p->token.keyword = KAL_KW_NONE;
        return take_alias(p, item);
    }
    if (kal_parser_at(p, KAL_TOKEN_QUOTED) ||
        (kal_parser_at(p, KAL_TOKEN_WORD) && kal_sql_keyword_may_alias(p->token.keyword)))
        return take_alias(p, item);
    return p->status == KAL_OK;
}

static bool parse_items(kal_parser *p, kal_sql_items *items_out, bool *has_star_out)
{
    KAL_VEC(kal_sql_item) items = {0};
    do {
        kal_sql_item item = {.expr = kal_parse_item_expr(p)};
        if (item.expr == NULL)
            return false;
        if (item.expr->kind == KAL_SQL_EXPR_STAR)
            *has_star_out = true;
        else if (!kal_parse_item_alias(p, &item))
            return false;
        if (!kal_vec_try_push_in(p->arena, &items, item))
            return kal_parser_fail_memory(p);
    } while (kal_parser_accept(p, KAL_TOKEN_COMMA));
    *items_out = (kal_sql_items){items.items, items.len};
    return p->status == KAL_OK;
}

/* Of a live query. Anywhere else a list of names after an alias, which no simple SELECT has. */
static bool at_options(const kal_parser *p)
{
    return kal_parser_at_word(p, "OPTIONS") && p->next.kind == KAL_TOKEN_LEFT;
}

bool kal_parse_select_table(kal_parser *p, kal_sql_select *select)
{
    select->has_from = true;
    if (!kal_parser_object(p, "a table name after FROM", &select->table))
        return false;
    if (kal_parser_accept_keyword(p, KAL_KW_AS))
        return kal_parser_name(p, "an alias", &select->alias);
    if (kal_parser_at(p, KAL_TOKEN_QUOTED) ||
        (kal_parser_at(p, KAL_TOKEN_WORD) && kal_sql_keyword_may_alias(p->token.keyword) &&
         !at_options(p)))
        return kal_parser_name(p, "an alias", &select->alias);
    return p->status == KAL_OK;
}

bool kal_parse_select_where(kal_parser *p, kal_sql_select *select)
{
    if (!kal_parser_accept_keyword(p, KAL_KW_WHERE))
        return p->status == KAL_OK;
    select->where = kal_parse_expr(p);
    return select->where != NULL;
}

static bool parse_order(kal_parser *p, kal_sql_order *order)
{
    order->expr = kal_parse_expr(p);
    if (order->expr == NULL)
        return false;
    if (kal_parser_accept_keyword(p, KAL_KW_DESC))
        order->descending = true;
    else
        kal_parser_accept_keyword(p, KAL_KW_ASC);
    if (kal_parser_accept_keyword(p, KAL_KW_NULLS)) {
        if (kal_parser_accept_keyword(p, KAL_KW_FIRST))
            order->nulls = KAL_SQL_NULLS_FIRST;
        else if (kal_parser_accept_keyword(p, KAL_KW_LAST))
            order->nulls = KAL_SQL_NULLS_LAST;
        else
            return kal_parser_expected(p, "FIRST or LAST after NULLS");
    }
    return p->status == KAL_OK;
}

static bool parse_order_by(kal_parser *p, kal_sql_select *select)
{
    KAL_VEC(kal_sql_order) orders = {0};
    if (!kal_parser_expect_keyword(p, KAL_KW_BY, "after ORDER"))
        return false;
    do {
        kal_sql_order order = {0};
        if (!parse_order(p, &order))
            return false;
        if (!kal_vec_try_push_in(p->arena, &orders, order))
            return kal_parser_fail_memory(p);
    } while (kal_parser_accept(p, KAL_TOKEN_COMMA));
    select->order_by = orders.items;
    select->order_by_count = orders.len;
    return p->status == KAL_OK;
}

/* LIMIT n and OFFSET n, in either order, each at most once */
static bool parse_bounds(kal_parser *p, kal_sql_select *select)
{
    for (;;) {
        kal_sql_expr **slot = NULL;
        if (kal_parser_at_keyword(p, KAL_KW_LIMIT))
            slot = &select->limit;
        else if (kal_parser_at_keyword(p, KAL_KW_OFFSET))
            slot = &select->offset;
        if (slot == NULL || *slot != NULL)
            return p->status == KAL_OK;
        kal_parser_advance(p);
        *slot = kal_parse_expr(p);
        if (*slot == NULL)
            return false;
    }
}

bool kal_parse_select_rows(kal_parser *p, kal_sql_select *select)
{
    bool has_star = false;
    if (!kal_parser_expect_keyword(p, KAL_KW_SELECT, NULL) ||
        !parse_items(p, &select->items, &has_star))
        return false;
    if (kal_parser_accept_keyword(p, KAL_KW_FROM) && !kal_parse_select_table(p, select))
        return false;
    if (has_star && !select->has_from)
        return kal_parser_expected(p, "FROM after *");
    return kal_parse_select_where(p, select);
}

bool kal_parse_select_order(kal_parser *p, kal_sql_select *select)
{
    if (kal_parser_accept_keyword(p, KAL_KW_ORDER) && !parse_order_by(p, select))
        return false;
    return parse_bounds(p, select);
}

static bool parse_simple(kal_parser *p, kal_sql_select *select)
{
    return kal_parse_select_rows(p, select) && kal_parse_select_order(p, select) &&
           kal_parser_expect_end(p, NULL);
}

bool kal_parse_select(kal_parser *p, kal_sql_select *select)
{
    kal_parser_mark mark = kal_parser_mark_here(p);
    uint32_t start = p->token.start;
    kal_bytes reason = {0};
    uint32_t reason_position = 0;
    *select = (kal_sql_select){.is_simple = true};
    if (!parse_simple(p, select)) {
        if (!kal_parser_failed_soft(p))
            return false;
        KAL_ASSERT(p->error.position >= 0);
        reason_position = (uint32_t)p->error.position;
        if (!kal_arena_try_copy(p->arena, kal_cstr(p->error.message), &reason)) {
            kal_parser_go_back(p, &mark);
            return kal_parser_fail_memory(p);
        }
        *select = (kal_sql_select){.reason = reason, .reason_position = reason_position};
        kal_parser_go_back(p, &mark);
        if (!kal_parser_skip_rest(p, false))
            return false;
    }
    select->text = kal_bytes_of(p->lexer.text + start, p->last_end - start);
    select->position = kal_parser_position(p, start);
    return true;
}
