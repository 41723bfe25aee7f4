/*
 * lexer.h: SQL text as tokens, one at a time, without memory.
 *
 * A kal_sql_lexer is a place in a text; copying it is how the parser looks ahead and goes back.
 * Token boundaries are those of DuckDB's scanner, since the same text may be handed to it: '' is
 * the only escape in a string, block comments nest, $tag$ quotes, runs of operator signs are one
 * operator, and a few Unicode blanks count as blanks. What DuckDB would accept and this lexer does
 * not understand is a token of kind OTHER; only what cannot be delimited safely (an unterminated
 * string, name or comment, E'..' strings) is an ERROR.
 *
 * Offsets are relative to the text. Threads: no state but the struct.
 */
#ifndef KAL_SQL_LEXER_H
#define KAL_SQL_LEXER_H

#include "base/arena.h"
#include "base/bytes.h"

/*
 * Words with a meaning, in strcmp() order. Class R: reserved in DuckDB, F: its function-like words;
 * neither can be an unquoted name of a column, table, alias or function. P: may be a name, but
 * reads as part of the expression after an operand, so it is no alias without AS. N: a plain word.
 */
#define KAL_SQL_KEYWORD_LIST(X)                                                                    \
    X(ABORT, N)                                                                                    \
    X(ACCESS, N)                                                                                   \
    X(ALL, R)                                                                                      \
    X(ALTER, N)                                                                                    \
    X(ANALYSE, R)                                                                                  \
    X(ANALYZE, R)                                                                                  \
    X(AND, R)                                                                                      \
    X(ANTI, F)                                                                                     \
    X(ANY, R)                                                                                      \
    X(ARRAY, R)                                                                                    \
    X(AS, R)                                                                                       \
    X(ASC, R)                                                                                      \
    X(ASOF, F)                                                                                     \
    X(ASYMMETRIC, R)                                                                               \
    X(AT, F)                                                                                       \
    X(AUTHORIZATION, F)                                                                            \
    X(AUTOINCREMENT, N)                                                                            \
    X(AUTO_INCREMENT, N)                                                                           \
    X(BEGIN, N)                                                                                    \
    X(BETWEEN, P)                                                                                  \
    X(BINARY, F)                                                                                   \
    X(BOTH, R)                                                                                     \
    X(BY, F)                                                                                       \
    X(CASCADE, N)                                                                                  \
    X(CASE, R)                                                                                     \
    X(CAST, R)                                                                                     \
    X(CHECK, R)                                                                                    \
    X(COLLATE, R)                                                                                  \
    X(COLLATION, F)                                                                                \
    X(COLUMN, R)                                                                                   \
    X(COLUMNS, F)                                                                                  \
    X(COMBINED, N)                                                                                 \
    X(COMMENT, N)                                                                                  \
    X(COMMIT, N)                                                                                   \
    X(CONCURRENTLY, F)                                                                             \
    X(CONFLICT, N)                                                                                 \
    X(CONSTRAINT, R)                                                                               \
    X(CREATE, R)                                                                                   \
    X(CROSS, F)                                                                                    \
    X(DEFAULT, R)                                                                                  \
    X(DEFERRABLE, R)                                                                               \
    X(DELETE, N)                                                                                   \
    X(DELETED_RETENTION_HOURS, N)                                                                  \
    X(DESC, R)                                                                                     \
    X(DESCRIBE, R)                                                                                 \
    X(DISTINCT, R)                                                                                 \
    X(DO, R)                                                                                       \
    X(DROP, N)                                                                                     \
    X(ELSE, R)                                                                                     \
    X(EMAIL, N)                                                                                    \
    X(END, R)                                                                                      \
    X(EPHEMERAL, N)                                                                                \
    X(ERASE, N)                                                                                    \
    X(ESCAPE, P)                                                                                   \
    X(EXCEPT, R)                                                                                   \
    X(EXISTS, N)                                                                                   \
    X(EXPLAIN, N)                                                                                  \
    X(FALSE, R)                                                                                    \
    X(FETCH, R)                                                                                    \
    X(FILTER, P)                                                                                   \
    X(FIRST, N)                                                                                    \
    X(FLUSH, N)                                                                                    \
    X(FOR, R)                                                                                      \
    X(FOREIGN, R)                                                                                  \
    X(FREEZE, F)                                                                                   \
    X(FROM, R)                                                                                     \
    X(FULL, F)                                                                                     \
    X(GENERATED, F)                                                                                \
    X(GLOB, F)                                                                                     \
    X(GROUP, R)                                                                                    \
    X(HAVING, R)                                                                                   \
    X(HISTORY, N)                                                                                  \
    X(IF, N)                                                                                       \
    X(IGNORE, P)                                                                                   \
    X(ILIKE, F)                                                                                    \
    X(IN, R)                                                                                       \
    X(INITIALLY, R)                                                                                \
    X(INNER, F)                                                                                    \
    X(INSERT, N)                                                                                   \
    X(INTERNAL, N)                                                                                 \
    X(INTERSECT, R)                                                                                \
    X(INTERVAL, P)                                                                                 \
    X(INTO, R)                                                                                     \
    X(IS, F)                                                                                       \
    X(ISNULL, F)                                                                                   \
    X(JOIN, F)                                                                                     \
    X(KEY, N)                                                                                      \
    X(LAMBDA, R)                                                                                   \
    X(LAST, N)                                                                                     \
    X(LATERAL, R)                                                                                  \
    X(LEADING, R)                                                                                  \
    X(LEFT, F)                                                                                     \
    X(LEVEL, N)                                                                                    \
    X(LIKE, F)                                                                                     \
    X(LIMIT, R)                                                                                    \
    X(MAP, F)                                                                                      \
    X(MAX_BUFFER, N)                                                                               \
    X(NAMESPACE, N)                                                                                \
    X(NAMESPACES, N)                                                                               \
    X(NATURAL, F)                                                                                  \
    X(NOT, R)                                                                                      \
    X(NOTHING, N)                                                                                  \
    X(NOTNULL, F)                                                                                  \
    X(NULL, R)                                                                                     \
    X(NULLS, N)                                                                                    \
    X(OAUTH, N)                                                                                    \
    X(OFFSET, R)                                                                                   \
    X(ON, R)                                                                                       \
    X(ONLY, R)                                                                                     \
    X(OPERATOR, P)                                                                                 \
    X(OR, R)                                                                                       \
    X(ORDER, R)                                                                                    \
    X(OUTER, F)                                                                                    \
    X(OVER, P)                                                                                     \
    X(OVERLAPS, F)                                                                                 \
    X(PARTITION, N)                                                                                \
    X(PASSWORD, N)                                                                                 \
    X(PIVOT, R)                                                                                    \
    X(PIVOT_LONGER, R)                                                                             \
    X(PIVOT_WIDER, R)                                                                              \
    X(PLACING, R)                                                                                  \
    X(POLICY, N)                                                                                   \
    X(POSITIONAL, F)                                                                               \
    X(PRIMARY, R)                                                                                  \
    X(QUALIFY, R)                                                                                  \
    X(REFERENCES, R)                                                                               \
    X(RESPECT, P)                                                                                  \
    X(RESTRICT, N)                                                                                 \
    X(RETENTION, N)                                                                                \
    X(RETURNING, R)                                                                                \
    X(RIGHT, F)                                                                                    \
    X(ROLE, N)                                                                                     \
    X(ROLLBACK, N)                                                                                 \
    X(ROWS, N)                                                                                     \
    X(ROW_LIMIT, N)                                                                                \
    X(ROW_THRESHOLD, N)                                                                            \
    X(SECONDS, N)                                                                                  \
    X(SELECT, R)                                                                                   \
    X(SEMI, F)                                                                                     \
    X(SET, N)                                                                                      \
    X(SHARED, N)                                                                                   \
    X(SHOW, R)                                                                                     \
    X(SIMILAR, F)                                                                                  \
    X(SOME, R)                                                                                     \
    X(START, N)                                                                                    \
    X(STORAGE, N)                                                                                  \
    X(STREAM, N)                                                                                   \
    X(STRUCT, F)                                                                                   \
    X(SUMMARIZE, R)                                                                                \
    X(SYMMETRIC, R)                                                                                \
    X(TABLE, R)                                                                                    \
    X(TABLES, N)                                                                                   \
    X(TABLESAMPLE, F)                                                                              \
    X(TABLE_TYPE, N)                                                                               \
    X(THEN, R)                                                                                     \
    X(TIME_INTERVAL, N)                                                                            \
    X(TO, R)                                                                                       \
    X(TRAILING, R)                                                                                 \
    X(TRANSACTION, N)                                                                              \
    X(TRUE, R)                                                                                     \
    X(TRY_CAST, F)                                                                                 \
    X(TTL, N)                                                                                      \
    X(UNION, R)                                                                                    \
    X(UNIQUE, R)                                                                                   \
    X(UNPACK, F)                                                                                   \
    X(UNPIVOT, R)                                                                                  \
    X(UPDATE, N)                                                                                   \
    X(USE, N)                                                                                      \
    X(USER, N)                                                                                     \
    X(USE_USER_STORAGE, N)                                                                         \
    X(USING, R)                                                                                    \
    X(VALUES, N)                                                                                   \
    X(VARIADIC, R)                                                                                 \
    X(VERBOSE, F)                                                                                  \
    X(WHEN, R)                                                                                     \
    X(WHERE, R)                                                                                    \
    X(WINDOW, R)                                                                                   \
    X(WITH, R)                                                                                     \
    X(WITHIN, P)                                                                                   \
    X(WORK, N)

typedef enum kal_sql_keyword {
    KAL_KW_NONE, /* not a word, a quoted name, or a word without a meaning */
#define KAL_SQL_KEYWORD_ENUM(name, class) KAL_KW_##name,
    KAL_SQL_KEYWORD_LIST(KAL_SQL_KEYWORD_ENUM)
#undef KAL_SQL_KEYWORD_ENUM
        KAL_KW_COUNT
} kal_sql_keyword;

typedef enum kal_sql_token_kind {
    KAL_TOKEN_END,
    KAL_TOKEN_WORD,     /* unquoted; .keyword */
    KAL_TOKEN_QUOTED,   /* "name" */
    KAL_TOKEN_STRING,   /* 'text' or $tag$text$tag$ */
    KAL_TOKEN_NUMBER,   /* 1, 1.5, .5, 1e-3; .is_integer */
    KAL_TOKEN_SUFFIXED, /* digits and letters without a blank: 300s, 0xFF, 1_000 */
    KAL_TOKEN_PARAM,    /* $n; .param */
    KAL_TOKEN_LEFT,     /* ( */
    KAL_TOKEN_RIGHT,    /* ) */
    KAL_TOKEN_LEFT_BRACKET,
    KAL_TOKEN_RIGHT_BRACKET,
    KAL_TOKEN_COMMA,
    KAL_TOKEN_DOT,
    KAL_TOKEN_SEMICOLON,
    KAL_TOKEN_CAST, /* :: */
    KAL_TOKEN_PLUS,
    KAL_TOKEN_MINUS,
    KAL_TOKEN_STAR,
    KAL_TOKEN_SLASH,
    KAL_TOKEN_PERCENT,
    KAL_TOKEN_CONCAT,
    KAL_TOKEN_EQ,
    KAL_TOKEN_NE, /* <> or != */
    KAL_TOKEN_LT,
    KAL_TOKEN_LE,
    KAL_TOKEN_GT,
    KAL_TOKEN_GE,
    KAL_TOKEN_ARROW,      /* -> */
    KAL_TOKEN_ARROW_TEXT, /* ->> */
    KAL_TOKEN_OTHER,      /* a sign or operator without a meaning here */
    KAL_TOKEN_ERROR       /* .error; the text ends here */
} kal_sql_token_kind;

typedef struct kal_sql_token {
    kal_sql_token_kind kind;
    kal_sql_keyword keyword;
    bool is_integer;
    uint32_t param;
    uint32_t start; /* [start, end) in the text */
    uint32_t end;
    const char *error; /* static */
} kal_sql_token;

typedef struct kal_sql_lexer {
    const uint8_t *text; /* borrowed */
    uint32_t len;        /* <= KAL_SQL_TEXT_BYTES_MAX */
    uint32_t next;       /* offset of the next unread byte */
} kal_sql_lexer;

/* text: valid UTF-8 without NUL bytes, at most KAL_SQL_TEXT_BYTES_MAX. */
void kal_sql_lexer_init(kal_sql_lexer *lexer, kal_bytes text);
/* Always moves forward; at the end and after an ERROR it keeps answering END. */
kal_sql_token kal_sql_lexer_next(kal_sql_lexer *lexer);

/* "SELECT"; static. keyword is not NONE. */
const char *kal_sql_keyword_name(kal_sql_keyword keyword);
/* KAL_KW_NONE for other words; any case. */
kal_sql_keyword kal_sql_keyword_find(kal_bytes word);
/* May stand unquoted as the name of a column, table or function. */
bool kal_sql_keyword_may_name(kal_sql_keyword keyword);
/* May stand unquoted as an alias without AS. */
bool kal_sql_keyword_may_alias(kal_sql_keyword keyword);

/* What a STRING or QUOTED token holds, escapes resolved; a WORD folded to lower case. Borrowed from
 * the text when nothing had to change, else from the arena; false when its budget refuses. */
KAL_MUST_CHECK bool kal_sql_token_value(const kal_sql_lexer *lexer, const kal_sql_token *token,
                                        kal_arena *arena, kal_bytes *value_out);

#endif
