/*
 * lex.h: just enough of DuckDB's lexical rules to find the words of a statement at the places its
 * syntax tree names, and to bound a text before DuckDB parses it.
 *
 * Nothing is decided by these tokens alone: a replacement made with their help is checked against
 * the syntax tree of the finished text (rewrite.h).
 */
#ifndef KAL_ENGINE_LEX_H
#define KAL_ENGINE_LEX_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

typedef enum kal_lex_kind {
    KAL_LEX_END,
    KAL_LEX_WORD,   /* keyword or plain name */
    KAL_LEX_QUOTED, /* "name" */
    KAL_LEX_STRING, /* 'text', also E'...' and $tag$...$tag$ */
    KAL_LEX_OTHER,  /* one byte of anything else, or a whole number */
} kal_lex_kind;

typedef struct kal_lex_token {
    kal_lex_kind kind;
    size_t start; /* byte offsets in the text */
    size_t end;
} kal_lex_token;

/* The token at or after *position, past blanks and comments; *position moves behind it. */
kal_lex_token kal_lex_next(kal_bytes text, size_t *position);
static inline kal_bytes kal_lex_text(kal_bytes text, kal_lex_token token)
{
    return kal_bytes_of(text.ptr + token.start, token.end - token.start);
}
/* The name that a WORD, QUOTED or plain STRING token spells: quotes removed, doubled ones halved.
 */
kal_bytes kal_lex_name(kal_bytes text, kal_lex_token token, kal_arena *arena);
/* Appends a name in double quotes. */
void kal_lex_quote(kal_buf *out, kal_bytes name);

typedef struct kal_lex_caps {
    size_t text_bytes_max;
    unsigned depth_max; /* of brackets */
} kal_lex_caps;

/* Refuses what would be expensive or unsafe to parse at all: KAL_LIMIT for texts too long or nested
 * too deeply, and for materialized CTEs, which DuckDB's tree repeats three times a level;
 * KAL_SYNTAX for bytes that are not UTF-8 text, for numbers that run into a
 * word (0x10), and for ? as a parameter. */
KAL_MUST_CHECK kal_status kal_lex_check(kal_bytes text, const kal_lex_caps *caps, kal_error *err);

#endif
