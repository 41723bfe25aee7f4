/*
 * parser_dml.c: INSERT, UPDATE and DELETE. Their frame is understood in full or refused; each
 * expression inside may be kept as RAW text.
 */
#include "base/assert.h"
#include "sql/parser_internal.h"

/* --- shared parts --- */

static bool parse_table_alias(kal_parser *p, kal_sql_name *alias_out)
{
    if (kal_parser_accept_keyword(p, KAL_KW_AS))
        return kal_parser_name(p, "an alias after AS", alias_out);
    /* SET and VALUES may be names elsewhere; behind a table they are not */
    if (kal_parser_at_keyword(p, KAL_KW_SET))
        return true;
    if (kal_parser_at(p, KAL_TOKEN_QUOTED) ||
        (kal_parser_at(p, KAL_TOKEN_WORD) && p->token.keyword == KAL_KW_NONE))
        return kal_parser_name(p, "an alias", alias_out);
    return p->status == KAL_OK;
}

static kal_sql_expr *parse_value(kal_parser *p, const char *what)
{
    if (!kal_parser_at_keyword(p, KAL_KW_DEFAULT))
        return kal_parse_expr_or_raw(p, what);
    kal_sql_expr *expr =
        kal_parser_new_expr(p, KAL_SQL_EXPR_DEFAULT, kal_parser_position(p, p->token.start));
    if (expr == NULL)
        return NULL;
    kal_parser_advance(p);
    expr->end = kal_parser_position(p, p->last_end);
    return expr;
}

/* c = value [, ...] */
static bool parse_assignments(kal_parser *p, kal_sql_assignments *set_out)
{
    KAL_VEC(kal_sql_assignment) set = {0};
    do {
        kal_sql_assignment one = {0};
        if (kal_parser_at(p, KAL_TOKEN_LEFT))
            return kal_parser_fail(p, KAL_UNSUPPORTED, kal_parser_position(p, p->token.start),
                                   "SET (a, b) = ... is not supported, write SET a = .., b = ..");
        if (!kal_parser_name(p, "a column name after SET", &one.column))
            return false;
        if (kal_parser_at(p, KAL_TOKEN_DOT)) {
            kal_parser_expected(p, "'=' after the column");
            kal_error_hint(&p->error, "the column after SET takes no table name before it");
            return false;
        }
        if (!kal_parser_expect(p, KAL_TOKEN_EQ, "'=' after the column"))
            return false;
        one.value = parse_value(p, "a value after '='");
        if (one.value == NULL)
            return false;
        if (!kal_vec_try_push_in(p->arena, &set, one))
            return kal_parser_fail_memory(p);
    } while (kal_parser_accept(p, KAL_TOKEN_COMMA));
    *set_out = (kal_sql_assignments){set.items, set.len};
    return p->status == KAL_OK;
}

static bool parse_where(kal_parser *p, kal_sql_expr **where_out)
{
    if (!kal_parser_accept_keyword(p, KAL_KW_WHERE))
        return p->status == KAL_OK;
    *where_out = kal_parse_expr_or_raw(p, "a condition after WHERE");
    return *where_out != NULL;
}

/* An item that is not understood is RAW with its alias in the text. */
static bool parse_returning_item(kal_parser *p, kal_sql_item *item)
{
    kal_parser_mark mark = kal_parser_mark_here(p);
    item->expr = kal_parse_item_expr(p);
    if (item->expr != NULL && item->expr->kind != KAL_SQL_EXPR_STAR &&
        !kal_parse_item_alias(p, item))
        item->expr = NULL;
    if (item->expr != NULL && kal_parser_at_stop(p, KAL_STOP_EXPR))
        return true;
    if (item->expr != NULL)
        kal_parser_expected(p, "',' or the end of the RETURNING list");
    if (!kal_parser_failed_soft(p))
        return false;
    kal_parser_go_back(p, &mark);
    *item = (kal_sql_item){.expr = kal_parse_expr_or_raw(p, "a column after RETURNING")};
    return item->expr != NULL;
}

static bool parse_returning(kal_parser *p, kal_sql_items *items_out)
{
    KAL_VEC(kal_sql_item) items = {0};
    if (!kal_parser_accept_keyword(p, KAL_KW_RETURNING))
        return p->status == KAL_OK;
    do {
        kal_sql_item item = {0};
        if (!parse_returning_item(p, &item))
            return false;
        if (!kal_vec_try_push_in(p->arena, &items, item))
            return kal_parser_fail_memory(p);
    } while (kal_parser_accept(p, KAL_TOKEN_COMMA));
    *items_out = (kal_sql_items){items.items, items.len};
    return p->status == KAL_OK;
}

/* --- INSERT --- */

static bool parse_row(kal_parser *p, kal_sql_row *row)
{
    void **values = NULL;
    size_t begin = kal_parser_list_begin(p);
    row->position = kal_parser_position(p, p->token.start);
    if (!kal_parser_expect(p, KAL_TOKEN_LEFT, "'(' before a row of values"))
        return false;
    do {
        if (!kal_parser_list_push(p, parse_value(p, "a value")))
            return false;
    } while (kal_parser_accept(p, KAL_TOKEN_COMMA));
    if (p->status != KAL_OK || !kal_parser_list_end(p, begin, &values, &row->count))
        return false;
    row->values = (kal_sql_expr **)values;
    return kal_parser_expect(p, KAL_TOKEN_RIGHT, "',' or ')' in the row of values");
}

static bool parse_rows(kal_parser *p, kal_sql_insert *insert)
{
    KAL_VEC(kal_sql_row) rows = {0};
    do {
        kal_sql_row row = {0};
        if (!parse_row(p, &row))
            return false;
        if (!kal_vec_try_push_in(p->arena, &rows, row))
            return kal_parser_fail_memory(p);
    } while (kal_parser_accept(p, KAL_TOKEN_COMMA));
    insert->source = KAL_SQL_INSERT_VALUES;
    insert->rows = rows.items;
    insert->row_count = rows.len;
    return p->status == KAL_OK;
}

/* The SELECT reaches to ON CONFLICT, RETURNING or the end: found first, then parsed as a text. */
static bool parse_insert_select(kal_parser *p, kal_sql_insert *insert)
{
    uint32_t start = p->token.start;
    if (!kal_parser_skip_until(p, KAL_STOP_SELECT))
        return false;
    kal_parser inner;
    kal_parser_init(&inner, kal_bytes_of(p->lexer.text + start, p->last_end - start),
                    kal_parser_position(p, start), p->arena);
    insert->source = KAL_SQL_INSERT_SELECT;
    insert->select = kal_arena_try_alloc(p->arena, sizeof *insert->select);
    if (insert->select == NULL)
        return kal_parser_fail_memory(p);
    if (kal_parse_select(&inner, insert->select))
        return true;
    p->status = inner.status;
    p->error = inner.error;
    p->hard = inner.hard;
    return false;
}

static bool parse_source(kal_parser *p, kal_sql_insert *insert)
{
    static const char *const WORDS[] = {"VALUES", "SELECT", "DEFAULT", NULL};
    if (kal_parser_accept_keyword(p, KAL_KW_DEFAULT)) {
        insert->source = KAL_SQL_INSERT_DEFAULT_VALUES;
        return kal_parser_expect_keyword(p, KAL_KW_VALUES, "after DEFAULT");
    }
    if (kal_parser_accept_keyword(p, KAL_KW_VALUES))
        return parse_rows(p, insert);
    if (kal_parser_at_select(p))
        return parse_insert_select(p, insert);
    return kal_parser_expected_words(p, "VALUES, SELECT or DEFAULT VALUES", WORDS);
}

static bool parse_conflict(kal_parser *p, kal_sql_insert *insert)
{
    insert->conflict_position = kal_parser_position(p, p->token.start);
    if (!kal_parser_accept_keyword(p, KAL_KW_ON))
        return p->status == KAL_OK;
    if (!kal_parser_expect_keyword(p, KAL_KW_CONFLICT, "after ON"))
        return false;
    if (kal_parser_at(p, KAL_TOKEN_LEFT) &&
        !kal_parser_name_list(p, "a column name", &insert->conflict_columns))
        return false;
    if (kal_parser_at_keyword(p, KAL_KW_ON) || kal_parser_at_keyword(p, KAL_KW_WHERE))
        return kal_parser_fail(p, KAL_UNSUPPORTED, kal_parser_position(p, p->token.start),
                               "ON CONFLICT takes the columns of the primary key only");
    if (!kal_parser_expect_keyword(p, KAL_KW_DO, "after ON CONFLICT"))
        return false;
    if (kal_parser_accept_keyword(p, KAL_KW_NOTHING)) {
        insert->conflict = KAL_SQL_CONFLICT_NOTHING;
        return p->status == KAL_OK;
    }
    insert->conflict = KAL_SQL_CONFLICT_UPDATE;
    if (!kal_parser_accept_keyword(p, KAL_KW_UPDATE))
        return kal_parser_expected(p, "NOTHING or UPDATE after DO");
    return kal_parser_expect_keyword(p, KAL_KW_SET, "after DO UPDATE") &&
           parse_assignments(p, &insert->conflict_set) && parse_where(p, &insert->conflict_where);
}

static bool at_column_list(const kal_parser *p)
{
    kal_sql_token token = p->next;
    return kal_parser_at(p, KAL_TOKEN_LEFT) && token.kind != KAL_TOKEN_LEFT &&
           token.keyword != KAL_KW_SELECT && token.keyword != KAL_KW_WITH &&
           token.keyword != KAL_KW_FROM && token.keyword != KAL_KW_TABLE;
}

bool kal_parse_insert(kal_parser *p, kal_sql_statement *statement)
{
    static const char *const WORDS[] = {"ON CONFLICT", "RETURNING", NULL};
    kal_sql_insert *insert = &statement->insert;
    statement->kind = KAL_STMT_INSERT;
    kal_parser_advance(p);
    if (kal_parser_at_keyword(p, KAL_KW_OR)) {
        kal_parser_fail(p, KAL_UNSUPPORTED, kal_parser_position(p, p->token.start),
                        "INSERT OR ... is not supported");
        kal_error_hint(&p->error, "write INSERT ... ON CONFLICT DO NOTHING or DO UPDATE");
        return false;
    }
    if (!kal_parser_expect_keyword(p, KAL_KW_INTO, "after INSERT") ||
        !kal_parser_object(p, "a table name after INSERT INTO", &insert->table))
        return false;
    if (kal_parser_accept_keyword(p, KAL_KW_AS) &&
        !kal_parser_name(p, "an alias after AS", &insert->alias))
        return false;
    if (at_column_list(p) && !kal_parser_name_list(p, "a column name", &insert->columns))
        return false;
    return parse_source(p, insert) && parse_conflict(p, insert) &&
           parse_returning(p, &insert->returning) && kal_parser_expect_end(p, WORDS);
}

/* --- UPDATE, DELETE --- */

bool kal_parse_update(kal_parser *p, kal_sql_statement *statement)
{
    static const char *const WORDS[] = {"WHERE", "RETURNING", NULL};
    kal_sql_update *update = &statement->update;
    statement->kind = KAL_STMT_UPDATE;
    kal_parser_advance(p);
    if (!kal_parser_object(p, "a table name after UPDATE", &update->table) ||
        !parse_table_alias(p, &update->alias) ||
        !kal_parser_expect_keyword(p, KAL_KW_SET, "after the table of UPDATE") ||
        !parse_assignments(p, &update->set))
        return false;
    if (kal_parser_at_keyword(p, KAL_KW_FROM)) {
        kal_parser_fail(p, KAL_UNSUPPORTED, kal_parser_position(p, p->token.start),
                        "UPDATE ... FROM is not supported");
        kal_error_hint(&p->error, "use a sub-query in SET or WHERE");
        return false;
    }
    return parse_where(p, &update->where) && parse_returning(p, &update->returning) &&
           kal_parser_expect_end(p, WORDS);
}

bool kal_parse_delete(kal_parser *p, kal_sql_statement *statement)
{
    static const char *const WORDS[] = {"WHERE", "RETURNING", NULL};
    kal_sql_delete *delete_from = &statement->delete_from;
    statement->kind = KAL_STMT_DELETE;
    kal_parser_advance(p);
    if (!kal_parser_expect_keyword(p, KAL_KW_FROM, "after DELETE") ||
        !kal_parser_object(p, "a table name after DELETE FROM", &delete_from->table) ||
        !parse_table_alias(p, &delete_from->alias))
        return false;
    if (kal_parser_at_keyword(p, KAL_KW_USING)) {
        kal_parser_fail(p, KAL_UNSUPPORTED, kal_parser_position(p, p->token.start),
                        "DELETE ... USING is not supported");
        kal_error_hint(&p->error, "use a sub-query in WHERE");
        return false;
    }
    return parse_where(p, &delete_from->where) && parse_returning(p, &delete_from->returning) &&
           kal_parser_expect_end(p, WORDS);
}
