/*
 * split.h: where one statement ends and the next begins, for a prompt and for files.
 *
 * A semicolon ends a statement unless it stands in a string ('..', "..") , a comment (-- to the end
 * of the line, block comments, which nest) or parentheses: the rules of the server's parser. What
 * lies between BEGIN and COMMIT or ROLLBACK stays together, because a transaction is one request.
 */
#ifndef KAL_CLI_SPLIT_H
#define KAL_CLI_SPLIT_H

#include "base/bytes.h"

typedef struct kal_split {
    kal_bytes text; /* borrowed */
    size_t at;      /* where the next statement begins */
} kal_split;

/* The next piece to send, blanks at its ends removed; false when only blanks, comments and
 * semicolons are left. The last piece may lack its semicolon. *offset_out: of piece in text. */
bool kal_split_next(kal_split *split, kal_bytes *piece_out, size_t *offset_out);

/* True when text ends with a semicolon that ends a statement and no transaction is open, or holds
 * nothing but blanks and comments: the prompt may send it. */
bool kal_split_is_complete(kal_bytes text);

/* The n-th word (0-based) of a statement in front of any other token; empty when there is none.
 * Comments are skipped; quotes are taken off a quoted name. */
kal_bytes kal_split_word(kal_bytes statement, size_t n);

#endif
