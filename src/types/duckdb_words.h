/*
 * duckdb_words.h: all words that DuckDB's grammar has a meaning for, reserved or not (the names of
 * duckdb_keywords()). It quotes them when it writes an expression, as in the names of results:
 * max("name"), but max(amount).
 */
#ifndef KAL_TYPES_DUCKDB_WORDS_H
#define KAL_TYPES_DUCKDB_WORDS_H

#include "base/bytes.h"

#define KAL_DUCKDB_WORD_BYTES 32

/* word: in lower case */
bool kal_duckdb_is_keyword(kal_bytes word);
/* Walks them in order: word i, NULL behind the last. */
const char *kal_duckdb_keyword_at(size_t i);

#endif
