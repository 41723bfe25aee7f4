/*
 * parser.h: SQL text to statements: a pure function of the text, no catalog.
 *
 * Protocol: kal_sql_split() once per request, then kal_sql_parse() on each piece. Both take memory
 * only from the arena; the results live as long as the arena and the text.
 *
 * The text is a client's. Size, nesting and height are bounded (ast.h), every malformed input is an
 * error with a position, and the work is linear in the length of the text.
 *
 * Threads: no state; any. Source: design section 9.
 */
#ifndef KAL_SQL_PARSER_H
#define KAL_SQL_PARSER_H

#include "base/arena.h"
#include "base/error.h"
#include "sql/ast.h"

/* One statement's text, without leading and closing blanks, comments and semicolon. */
typedef struct kal_sql_piece {
    kal_bytes text;
    uint32_t position; /* of its first byte in the request */
} kal_sql_piece;

typedef struct kal_sql_pieces {
    kal_sql_piece *items; /* arena */
    size_t count;         /* 0: nothing but blanks, comments and semicolons */
} kal_sql_pieces;

/*
 * Splits a request at its semicolons; those in strings, quoted names, comments (block comments
 * nest) and parentheses do not count. Empty statements are dropped.
 *
 * KAL_LIMIT: "SQL text of N bytes exceeds the limit of 1048576", or the arena's budget refuses.
 * KAL_SYNTAX: not UTF-8, a NUL byte, an unterminated string, name or comment.
 */
KAL_MUST_CHECK kal_status kal_sql_split(kal_bytes text, kal_arena *arena,
                                        kal_sql_pieces *pieces_out, kal_error *err);

/*
 * Parses one statement.
 *
 *   statement_out  arena; NULL unless KAL_OK; borrows from piece.text
 *
 * KAL_SYNTAX with position, often with a hint; KAL_UNSUPPORTED for what the dialect knows but would
 * not keep (CHECK, UNIQUE, REFERENCES, UPDATE ... FROM); KAL_LIMIT: size, nesting, height or the
 * arena's budget. Kinds marked "not built" parse: the executor refuses them by .not_built.
 */
KAL_MUST_CHECK kal_status kal_sql_parse(kal_sql_piece piece, kal_arena *arena,
                                        kal_sql_statement **statement_out, kal_error *err);

/*
 * Parses a live query: exactly one SELECT of one table, SUBSCRIBE TO ... or SUBSCRIBE SCHEMA ...,
 * perhaps with OPTIONS (...) and a semicolon. live_out borrows from text and arena.
 *
 * As kal_sql_parse(); a clause that a SELECT could have and a live query cannot is KAL_SYNTAX (code
 * INVALID_SQL): "a live query cannot have a JOIN", with the clause's position.
 */
KAL_MUST_CHECK kal_status kal_sql_parse_live(kal_bytes text, kal_arena *arena,
                                             kal_sql_live *live_out, kal_error *err);

#endif
