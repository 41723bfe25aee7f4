/*
 * parser.c: the entry points: a request into pieces, a piece into a statement.
 */
#include "sql/parser.h"
#include "base/assert.h"
#include "sql/parser_internal.h"

static const char *const KIND_NAMES[] = {
#define KAL_STMT_NAME(name, text) [KAL_STMT_##name] = text,
    KAL_STMT_LIST(KAL_STMT_NAME)
#undef KAL_STMT_NAME
};

const char *kal_stmt_name(kal_stmt_kind kind)
{
    KAL_ASSERT((size_t)kind < KAL_ARRAY_LEN(KIND_NAMES));
    return KIND_NAMES[kind];
}

const char *kal_sql_binary_sign(kal_sql_binary_op op)
{
    static const char *const SIGNS[] = {
#define KAL_SQL_BINARY_SIGN(name, text) [KAL_SQL_BINARY_##name] = text,
        KAL_SQL_BINARY_LIST(KAL_SQL_BINARY_SIGN)
#undef KAL_SQL_BINARY_SIGN
    };
    KAL_ASSERT((size_t)op < KAL_ARRAY_LEN(SIGNS));
    return SIGNS[op];
}

kal_bytes kal_sql_source(const kal_sql_statement *statement, uint32_t start, uint32_t end)
{
    KAL_ASSERT(start >= statement->position);
    KAL_ASSERT(end >= start);
    KAL_ASSERT(end - statement->position <= statement->text.len);
    return kal_bytes_of(statement->text.ptr + (start - statement->position), end - start);
}

/* Bytes before the first character that is not valid UTF-8. */
static size_t valid_prefix_bytes(kal_bytes text)
{
    size_t at = 0;
    for (;;) {
        size_t len = 1;
        while (len <= 4 && at + len <= text.len &&
               !kal_utf8_valid(kal_bytes_of(text.ptr + at, len)))
            len++;
        if (len > 4 || at + len > text.len)
            return at;
        at += len;
    }
}

/* What the lexer relies on. */
static kal_status check_text(kal_bytes text, kal_error *err)
{
    if (text.len > KAL_SQL_TEXT_BYTES_MAX)
        return kal_error_set(err, KAL_LIMIT, "SQL text of %zu bytes exceeds the limit of %u",
                             text.len, KAL_SQL_TEXT_BYTES_MAX);
    const uint8_t *nul = text.len == 0 ? NULL : memchr(text.ptr, 0, text.len);
    if (nul != NULL) {
        kal_status status = kal_error_set(err, KAL_SYNTAX, "SQL text contains a NUL byte");
        kal_error_at(err, (size_t)(nul - text.ptr));
        return status;
    }
    if (!kal_utf8_valid(text)) {
        kal_status status = kal_error_set(err, KAL_SYNTAX, "SQL text is not valid UTF-8");
        kal_error_at(err, valid_prefix_bytes(text));
        return status;
    }
    return KAL_OK;
}

/* --- split --- */

typedef KAL_VEC(kal_sql_piece) piece_vec;

static bool end_piece(kal_arena *arena, piece_vec *pieces, kal_bytes text, uint32_t start,
                      uint32_t end)
{
    if (start == end)
        return true;
    kal_sql_piece piece = {.text = kal_bytes_of(text.ptr + start, end - start), .position = start};
    return kal_vec_try_push_in(arena, pieces, piece);
}

kal_status kal_sql_split(kal_bytes text, kal_arena *arena, kal_sql_pieces *pieces_out,
                         kal_error *err)
{
    *pieces_out = (kal_sql_pieces){0};
    KAL_TRY(check_text(text, err));
    piece_vec pieces = {0};
    kal_sql_lexer lexer;
    uint32_t depth = 0; /* parentheses */
    uint32_t start = 0; /* of the statement; equal to end: none yet */
    uint32_t end = 0;
    kal_sql_lexer_init(&lexer, text);
    for (;;) {
        kal_sql_token token = kal_sql_lexer_next(&lexer);
        if (token.kind == KAL_TOKEN_ERROR) {
            kal_status status = kal_error_set(err, KAL_SYNTAX, "%s", token.error);
            kal_error_at(err, token.start);
            return status;
        }
        bool over =
            token.kind == KAL_TOKEN_END || (token.kind == KAL_TOKEN_SEMICOLON && depth == 0);
        if (over && !end_piece(arena, &pieces, text, start, end))
            return kal_error_set(err, KAL_LIMIT, "SQL text does not fit in its memory limit");
        if (token.kind == KAL_TOKEN_END)
            break;
        if (token.kind == KAL_TOKEN_LEFT)
            depth++;
        else if (token.kind == KAL_TOKEN_RIGHT && depth > 0)
            depth--;
        if (over)
            start = token.end;
        else if (start == end)
            start = token.start;
        end = token.end;
    }
    *pieces_out = (kal_sql_pieces){pieces.items, pieces.len};
    return KAL_OK;
}

/* --- parse --- */

static const char *const FIRST_WORDS[] = {
    "SELECT",   "INSERT",  "UPDATE",  "DELETE",   "CREATE",    "DROP",   "ALTER",    "SHOW",
    "DESCRIBE", "DESC",    "USE",     "BEGIN",    "START",     "COMMIT", "ROLLBACK", "WITH",
    "VALUES",   "FROM",    "EXPLAIN", "TRUNCATE", "SUBSCRIBE", "KILL",   "FLUSH",    "BACKUP",
    "RESTORE",  "STORAGE", "EXECUTE", "COMMENT",  "EXPORT",    NULL};

static bool unknown_statement(kal_parser *p)
{
    kal_bytes word = kal_bytes_of(p->lexer.text + p->token.start, p->token.end - p->token.start);
    if (p->status != KAL_OK)
        return false;
    if (kal_parser_at(p, KAL_TOKEN_WORD)) {
        kal_parser_fail(p, KAL_SYNTAX, kal_parser_position(p, p->token.start),
                        "unknown statement '%.*s'", KAL_PARSER_SHOWN(word));
        kal_parser_hint_near(p, word, FIRST_WORDS);
    } else {
        kal_parser_expected(p, "a statement");
    }
    if (p->error.hint[0] == '\0')
        kal_error_hint(&p->error, "a statement begins with SELECT, INSERT, UPDATE, DELETE, CREATE, "
                                  "ALTER, DROP, COMMENT, SHOW, DESCRIBE, EXPLAIN, USE, BEGIN, "
                                  "COMMIT, ROLLBACK, SUBSCRIBE, KILL, FLUSH, STORAGE, BACKUP, "
                                  "RESTORE or EXPORT");
    return false;
}

/* Statements that have another second word than those there are. */
static bool unknown_form(kal_parser *p)
{
    static const struct {
        const char *word;
        const char *forms;
    } FORMS[] = {
        {"STORAGE", "CHECK, FLUSH or COMPACT after STORAGE"},
        {"BACKUP", "DATABASE after BACKUP"},
        {"RESTORE", "DATABASE after RESTORE"},
        {"EXPORT", "USER DATA after EXPORT"},
        {"KILL", "JOB or LIVE QUERY after KILL"},
    };

    for (size_t i = 0; i < KAL_ARRAY_LEN(FORMS); i++) {
        if (!kal_parser_at_word(p, FORMS[i].word))
            continue;
        kal_parser_advance(p);
        (void)kal_parser_expected(p, FORMS[i].forms); /* what is wrong is in p */
        return true;
    }
    return false;
}

static bool parse_statement(kal_parser *p, kal_sql_statement *statement)
{
    if (kal_parser_at_select(p)) {
        statement->kind = KAL_STMT_SELECT;
        return kal_parse_select(p, &statement->select);
    }
    switch (p->token.keyword) {
    case KAL_KW_INSERT:
        return kal_parse_insert(p, statement);
    case KAL_KW_UPDATE:
        return kal_parse_update(p, statement);
    case KAL_KW_DELETE:
        return kal_parse_delete(p, statement);
    case KAL_KW_CREATE:
        return kal_parse_create(p, statement);
    case KAL_KW_ALTER:
        return kal_parse_alter(p, statement);
    case KAL_KW_COMMENT:
        return kal_parse_comment_on(p, statement);
    case KAL_KW_DROP:
        return kal_parse_drop(p, statement);
    case KAL_KW_SHOW:
        return kal_parse_show(p, statement);
    case KAL_KW_DESCRIBE:
    case KAL_KW_DESC:
        return kal_parse_describe(p, statement);
    case KAL_KW_USE:
        return kal_parse_use(p, statement);
    case KAL_KW_BEGIN:
    case KAL_KW_START:
    case KAL_KW_COMMIT:
    case KAL_KW_END:
    case KAL_KW_ROLLBACK:
    case KAL_KW_ABORT:
        return kal_parse_transaction(p, statement);
    case KAL_KW_EXPLAIN:
        return kal_parse_explain(p, statement);
    default:
        break;
    }
    if (kal_parser_at_keyword(p, KAL_KW_SET) && p->next.keyword == KAL_KW_NAMESPACE)
        return kal_parse_use(p, statement);
    if (kal_parser_at_keyword(p, KAL_KW_STORAGE) && p->next.keyword == KAL_KW_CHECK)
        return kal_parse_storage_check(p, statement);
    if (kal_parse_flush(p, statement))
        return p->status == KAL_OK;
    if (kal_parser_at_word(p, "BACKUP") && kal_parse_backup(p, statement))
        return p->status == KAL_OK;
    if (kal_parser_at_word(p, "RESTORE") && kal_parse_restore(p, statement))
        return p->status == KAL_OK;
    if (kal_parser_at_word(p, "EXPORT") && kal_parse_export(p, statement))
        return p->status == KAL_OK;
    if (kal_parser_at_word(p, "SUBSCRIBE"))
        return kal_parse_subscribe(p, statement);
    if (kal_parser_at_word(p, "KILL") && kal_parse_kill(p, statement))
        return p->status == KAL_OK;
    if (kal_parse_not_built(p, statement))
        return p->status == KAL_OK;
    return !unknown_form(p) && unknown_statement(p);
}

kal_status kal_sql_parse(kal_sql_piece piece, kal_arena *arena, kal_sql_statement **statement_out,
                         kal_error *err)
{
    kal_parser p;
    *statement_out = NULL;
    KAL_TRY(check_text(piece.text, err));
    kal_sql_statement *statement = kal_arena_try_alloc(arena, sizeof *statement);
    if (statement == NULL)
        return kal_error_set(err, KAL_LIMIT, "SQL statement does not fit in its memory limit");
    statement->text = piece.text;
    statement->position = piece.position;
    kal_parser_init(&p, piece.text, piece.position, arena);
    if (p.status == KAL_OK && parse_statement(&p, statement) && p.status == KAL_OK) {
        KAL_ASSERT(kal_parser_at(&p, KAL_TOKEN_END));
        KAL_ASSERT(p.nesting == 0);
        statement->param_max = p.param_max;
        *statement_out = statement;
        return KAL_OK;
    }
    KAL_ASSERT(p.status != KAL_OK);
    if (err != NULL)
        *err = p.error;
    return p.status;
}
