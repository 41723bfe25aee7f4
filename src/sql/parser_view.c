/*
 * parser_view.c: CREATE [OR REPLACE] VIEW, DROP VIEW, and ALTER NAMESPACE. A view's SELECT is kept
 * as text: DuckDB reads it.
 */
#include "sql/parser_internal.h"

static bool parse_comment(kal_parser *p, kal_sql_create_view *view)
{
    if (!kal_parser_accept_keyword(p, KAL_KW_COMMENT))
        return true;
    kal_parser_accept(p, KAL_TOKEN_EQ);
    view->has_comment = true;
    return kal_parser_string(p, "a string after COMMENT", &view->comment);
}

bool kal_parse_create_view(kal_parser *p, bool or_replace, kal_sql_statement *statement)
{
    kal_sql_create_view *view = &statement->create_view;
    statement->kind = KAL_STMT_CREATE_VIEW;
    view->or_replace = or_replace;
    kal_parser_advance(p);
    if (!kal_parser_if_not_exists(p, &view->if_not_exists) ||
        !kal_parser_object(p, "a view name after CREATE VIEW", &view->view))
        return false;
    if (kal_parser_at(p, KAL_TOKEN_LEFT) &&
        !kal_parser_name_list(p, "a column name of the view", &view->columns))
        return false;
    if (!parse_comment(p, view) || !kal_parser_expect_keyword(p, KAL_KW_AS, "before the SELECT"))
        return false;
    if (!kal_parser_at_select(p))
        return kal_parser_expected(p, "a SELECT after AS");
    if (or_replace && view->if_not_exists)
        return kal_parser_fail(p, KAL_SYNTAX, view->view.position,
                               "OR REPLACE and IF NOT EXISTS exclude each other");
    uint32_t start = p->token.start;
    view->text_position = kal_parser_position(p, start);
    if (!kal_parser_skip_rest(p, false))
        return false;
    view->text = kal_bytes_of(p->lexer.text + start, p->last_end - start);
    return p->status == KAL_OK;
}

bool kal_parse_drop_view(kal_parser *p, kal_sql_statement *statement)
{
    kal_sql_table_stmt *view = &statement->table;
    statement->kind = KAL_STMT_DROP_VIEW;
    kal_parser_advance(p);
    return kal_parser_if_exists(p, &view->if_exists) &&
           kal_parser_object(p, "a view name after DROP VIEW", &view->table) &&
           kal_parser_expect_end(p, NULL);
}

/* SET OPTIONS (name = value, ...) | SET DESCRIPTION 'text' | NULL */
bool kal_parse_alter_namespace(kal_parser *p, kal_sql_statement *statement)
{
    static const char *const WORDS[] = {"OPTIONS", "DESCRIPTION", NULL};
    kal_sql_namespace_stmt *alter = &statement->namespace_stmt;
    statement->kind = KAL_STMT_ALTER_NAMESPACE;
    kal_parser_advance(p);
    if (!kal_parser_name(p, "a namespace name", &alter->name) ||
        !kal_parser_expect_keyword(p, KAL_KW_SET, "after the namespace's name"))
        return false;
    if (kal_parser_at_word(p, "OPTIONS")) {
        kal_parser_advance(p);
        return kal_parse_options(p, &alter->options, &alter->option_count) &&
               kal_parser_expect_end(p, NULL);
    }
    if (!kal_parser_at_word(p, "DESCRIPTION"))
        return kal_parser_expected_words(p, "OPTIONS (...) or DESCRIPTION after SET", WORDS);
    alter->options = kal_arena_try_alloc(p->arena, sizeof *alter->options);
    if (alter->options == NULL)
        return kal_parser_fail_memory(p);
    alter->option_count = 1;
    alter->options[0].name = KAL_STR("description");
    alter->options[0].position = kal_parser_position(p, p->token.start);
    kal_parser_advance(p);
    kal_parser_accept(p, KAL_TOKEN_EQ);
    return kal_parse_option_value(p, &alter->options[0]) && kal_parser_expect_end(p, NULL);
}
