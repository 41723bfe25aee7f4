/*
 * parser_internal.h: what the parser's files share: tokens, failure, names, lists.
 *
 * Recursive descent. A function that parses returns false (or NULL) after it has set the parser's
 * status; nobody reports twice. Failures are of two kinds: a *soft* one (KAL_SYNTAX) says that this
 * grammar does not understand, and whoever may keep text for DuckDB goes back and does so; a *hard*
 * one (limits, memory, text that cannot be delimited, KAL_UNSUPPORTED) ends the statement.
 *
 * Files: parser_core.c (this header), parser_expr.c, parser_select.c, parser_dml.c,
 * parser_table.c (CREATE TABLE), parser_live.c (live queries), parser_admin.c (the other small
 * statements), parser.c (entry).
 */
#ifndef KAL_SQL_PARSER_INTERNAL_H
#define KAL_SQL_PARSER_INTERNAL_H

#include "base/arena.h"
#include "base/error.h"
#include "base/vec.h"
#include "sql/ast.h"
#include "sql/lexer.h"
#include "sql/parser.h"

typedef struct kal_parser {
    kal_sql_lexer lexer; /* behind `next` */
    kal_sql_token token; /* the one being looked at */
    kal_sql_token next;  /* the one after it: kept, so that looking ahead costs nothing */
    uint32_t last_end;   /* where the token before it ended, in the text */
    uint32_t base;       /* the text's position in the request */
    kal_arena *arena;
    kal_error error; /* once status != KAL_OK */
    kal_status status;
    bool hard; /* the failure may not be answered by keeping text */
    unsigned nesting;
    bool column_type; /* the type being read is a column's: its error helps */
    uint32_t param_max;
    KAL_VEC(void *) stack; /* lists being collected, innermost on top; arena */
} kal_parser;

/* A place to go back to. */
typedef struct kal_parser_mark {
    kal_sql_lexer lexer;
    kal_sql_token token;
    kal_sql_token next;
    uint32_t last_end;
    unsigned nesting;
    size_t stack_len;
} kal_parser_mark;

void kal_parser_init(kal_parser *p, kal_bytes text, uint32_t base, kal_arena *arena);
kal_parser_mark kal_parser_mark_here(const kal_parser *p);
/* Forgets a soft failure and goes back. */
void kal_parser_go_back(kal_parser *p, const kal_parser_mark *mark);
bool kal_parser_failed_soft(const kal_parser *p);

/* --- tokens --- */

void kal_parser_advance(kal_parser *p);
/* A lexer that stands behind `token`, to look further ahead. */
kal_sql_lexer kal_parser_look_ahead(const kal_parser *p);
uint32_t kal_parser_position(const kal_parser *p, uint32_t offset);
static inline bool kal_parser_at(const kal_parser *p, kal_sql_token_kind kind)
{
    return p->token.kind == kind;
}
static inline bool kal_parser_at_keyword(const kal_parser *p, kal_sql_keyword keyword)
{
    return p->token.keyword == keyword;
}
/* Moves on when the token is the given one. */
bool kal_parser_accept(kal_parser *p, kal_sql_token_kind kind);
bool kal_parser_accept_keyword(kal_parser *p, kal_sql_keyword keyword);
/* The same, or a failure: "expected <what>, got '...'", `what` such as "')' after the columns". */
bool kal_parser_expect(kal_parser *p, kal_sql_token_kind kind, const char *what);
/* "expected KEY after PRIMARY, got 'KEYS'" with a hint when the word is near. after: NULL or the
 * rest of the sentence, such as "after PRIMARY". */
bool kal_parser_expect_keyword(kal_parser *p, kal_sql_keyword keyword, const char *after);
/* The whole word, any case, for words that are no keywords. */
bool kal_parser_at_word(const kal_parser *p, const char *word);

/* Skips to the end of the text, checking that it can be delimited and does not nest too deeply. */
bool kal_parser_skip_rest(kal_parser *p, bool semicolons_allowed);
/* Where an expression or a SELECT inside a statement is over. */
typedef enum kal_parser_stop {
    KAL_STOP_EXPR,  /* a comma or a word that begins the next clause (FROM, WHERE, ORDER, ...) */
    KAL_STOP_SELECT /* of INSERT: RETURNING or ON CONFLICT */
} kal_parser_stop;
/* Also true at a closing parenthesis and at the end. */
bool kal_parser_at_stop(const kal_parser *p, kal_parser_stop stop);
/* Skips up to the stop, not looking into parentheses, brackets and CASE. */
bool kal_parser_skip_until(kal_parser *p, kal_parser_stop stop);

/* --- failure: each returns false --- */

bool kal_parser_fail(kal_parser *p, kal_status status, uint32_t position, const char *format, ...)
    KAL_PRINTF(4, 5);
bool kal_parser_fail_memory(kal_parser *p);
/* "expected <what>, got '...'" */
bool kal_parser_expected(kal_parser *p, const char *what);
/* The same with a hint when the token is near one of the words (NULL-terminated list). */
bool kal_parser_expected_words(kal_parser *p, const char *what, const char *const *words);
/* Adds the hint "did you mean X?" to an error that was set, if a word is near. */
void kal_parser_hint_near(kal_parser *p, kal_bytes got, const char *const *words);
/* Fails unless the statement is over. `words`: what else might have come, for hints; or NULL. */
bool kal_parser_expect_end(kal_parser *p, const char *const *words);

/* The bytes of a client's text that an error repeats: 64 at most, cut between characters. */
int kal_parser_shown(kal_bytes text);
#define KAL_PARSER_SHOWN(text) kal_parser_shown(text), (const char *)(text).ptr

/* One level deeper, until kal_parser_leave(). */
bool kal_parser_enter(kal_parser *p, uint32_t position);
void kal_parser_leave(kal_parser *p);

/* --- names, literals, lists --- */

bool kal_parser_token_value(kal_parser *p, kal_bytes *value_out);
/* An unquoted word that may be a name, or a quoted name. what: "a column name". */
bool kal_parser_name(kal_parser *p, const char *what, kal_sql_name *name_out);
bool kal_parser_at_name(const kal_parser *p);
/* [ns.]name. what: "a table name". */
bool kal_parser_object(kal_parser *p, const char *what, kal_sql_object *object_out);
/* A name or a 'string' (then quoted). */
bool kal_parser_name_or_string(kal_parser *p, const char *what, kal_sql_name *name_out);
bool kal_parser_string(kal_parser *p, const char *what, kal_bytes *text_out);
/* (a, b, ...) from the opening parenthesis on. */
bool kal_parser_name_list(kal_parser *p, const char *what, kal_sql_names *names_out);
bool kal_parser_if_not_exists(kal_parser *p, bool *given_out);
bool kal_parser_if_exists(kal_parser *p, bool *given_out);

size_t kal_parser_list_begin(const kal_parser *p);
bool kal_parser_list_push(kal_parser *p, void *item);
/* Moves what was pushed since begin into an array of its own. */
bool kal_parser_list_end(kal_parser *p, size_t begin, void ***items_out, size_t *count_out);

/* --- expressions (parser_expr.c) --- */

kal_sql_expr *kal_parse_expr(kal_parser *p);
/* As kal_parse_expr(), but what is not understood up to KAL_STOP_EXPR comes back as RAW. */
kal_sql_expr *kal_parse_expr_or_raw(kal_parser *p, const char *what);
/* A literal, an array of literals or a function of literals: what DEFAULT takes. */
kal_sql_expr *kal_parse_default(kal_parser *p, const kal_sql_name *column);
/* * or t.* or an expression */
kal_sql_expr *kal_parse_item_expr(kal_parser *p);
/* A type's words and arguments; soft failure when it is unknown. */
bool kal_parse_type(kal_parser *p, kal_sql_type *type_out);
kal_sql_expr *kal_parser_new_expr(kal_parser *p, kal_sql_expr_kind kind, uint32_t start);

/* --- statements: the first words are behind us unless said otherwise --- */

/* From the first token of the SELECT to the end of the text. Never fails softly. */
bool kal_parse_select(kal_parser *p, kal_sql_select *select);
/* Parts of it, which fail softly: SELECT items [FROM table] [WHERE]; table [alias]; [WHERE];
 * [ORDER BY] [LIMIT] [OFFSET]. */
bool kal_parse_select_rows(kal_parser *p, kal_sql_select *select);
bool kal_parse_select_table(kal_parser *p, kal_sql_select *select);
bool kal_parse_select_where(kal_parser *p, kal_sql_select *select);
bool kal_parse_select_order(kal_parser *p, kal_sql_select *select);
/* [AS] alias of an item */
bool kal_parse_item_alias(kal_parser *p, kal_sql_item *item);
/* At a token that begins a SELECT: SELECT, WITH, FROM, VALUES, TABLE or a parenthesis. */
bool kal_parser_at_select(const kal_parser *p);

bool kal_parse_insert(kal_parser *p, kal_sql_statement *statement);
bool kal_parse_update(kal_parser *p, kal_sql_statement *statement);
bool kal_parse_delete(kal_parser *p, kal_sql_statement *statement);
/* From TABLE on. */
bool kal_parse_create_table(kal_parser *p, kal_sql_table_type type, kal_sql_statement *statement);
bool kal_parse_alter_table(kal_parser *p, kal_sql_table_type type, kal_sql_statement *statement);
/* From VIEW on; or_replace: those words came before. */
bool kal_parse_create_view(kal_parser *p, bool or_replace, kal_sql_statement *statement);
bool kal_parse_drop_view(kal_parser *p, kal_sql_statement *statement);
/* From STORAGE on, SHOW from STORAGES on. */
bool kal_parse_create_storage(kal_parser *p, kal_sql_statement *statement);
bool kal_parse_alter_storage(kal_parser *p, kal_sql_statement *statement);
bool kal_parse_drop_storage(kal_parser *p, kal_sql_statement *statement);
bool kal_parse_show_storages(kal_parser *p, kal_sql_statement *statement);
bool kal_parse_storage_check(kal_parser *p, kal_sql_statement *statement);
/* From BACKUP, BACKUPS, EXPORT on. */
bool kal_parse_show_backup(kal_parser *p, kal_sql_statement *statement);
bool kal_parse_show_export(kal_parser *p, kal_sql_statement *statement);
/* From NAMESPACE on. */
bool kal_parse_alter_namespace(kal_parser *p, kal_sql_statement *statement);
/* From COMMENT on. */
bool kal_parse_comment_on(kal_parser *p, kal_sql_statement *statement);
/* name TYPE [constraints], as in CREATE TABLE; what follows is the caller's to check. */
bool kal_parse_column_def(kal_parser *p, kal_sql_column_def *column);
/* A column's type, whose error lists the types there are. */
bool kal_parse_column_type(kal_parser *p, kal_sql_type *type_out);
/* (name = value, ...) from the opening parenthesis on. */
bool kal_parse_options(kal_parser *p, kal_sql_option **options_out, size_t *count_out);
/* The value of the option whose name is set. */
bool kal_parse_option_value(kal_parser *p, kal_sql_option *option);
/* These look at the first token of the statement themselves. */
bool kal_parse_create(kal_parser *p, kal_sql_statement *statement);
bool kal_parse_alter(kal_parser *p, kal_sql_statement *statement);
bool kal_parse_drop(kal_parser *p, kal_sql_statement *statement);
bool kal_parse_show(kal_parser *p, kal_sql_statement *statement);
bool kal_parse_describe(kal_parser *p, kal_sql_statement *statement);
bool kal_parse_use(kal_parser *p, kal_sql_statement *statement);
bool kal_parse_subscribe(kal_parser *p, kal_sql_statement *statement);
bool kal_parse_flush(kal_parser *p, kal_sql_statement *statement);   /* false: none of these */
bool kal_parse_backup(kal_parser *p, kal_sql_statement *statement);  /* false: another BACKUP */
bool kal_parse_restore(kal_parser *p, kal_sql_statement *statement); /* false: another RESTORE */
bool kal_parse_export(kal_parser *p, kal_sql_statement *statement);  /* false: another EXPORT */
bool kal_parse_kill(kal_parser *p, kal_sql_statement *statement);    /* false: another KILL */
bool kal_parse_transaction(kal_parser *p, kal_sql_statement *statement);
bool kal_parse_explain(kal_parser *p, kal_sql_statement *statement);
/* From the SELECT of EXPLAIN LIVE on. */
bool kal_parse_explain_live(kal_parser *p, kal_sql_statement *statement);
/* Recognises a statement that is not built by its first words and skips it; true when it did (look
 * at the status). */
bool kal_parse_not_built(kal_parser *p, kal_sql_statement *statement);

#endif
