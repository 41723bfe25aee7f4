/*
 * letter_case.h: LOWER and UPPER as DuckDB has them: character by character, by Unicode's simple
 * mappings. DuckDB brings the tables of utf8proc along; those of the system's say the same of every
 * character, which a test compares.
 */
#ifndef KAL_EXPR_LETTER_CASE_H
#define KAL_EXPR_LETTER_CASE_H

#include "base/arena.h"

/* text: UTF-8 (a byte that belongs to no character stays). out borrows from text when nothing
 * changes, else from the arena; false when its budget refuses. */
KAL_MUST_CHECK bool kal_letter_case(kal_bytes text, bool upper, kal_arena *arena, kal_bytes *out);

#endif
