/*
 * ast.h: the syntax tree that DuckDB makes of a SELECT, as a tree of JSON values.
 *
 * json_serialize_sql() is DuckDB's own parse, so what is checked here is what runs. Its text is
 * machine-written but follows the user's nesting and holds the words NaN and Infinity, so it has a
 * reader of its own: deeper than base/json_reader.h allows a client to nest, and without the checks
 * that a client's text needs. Members that have their default value are left out by DuckDB.
 *
 * Threads: a tree is read-only once made.
 */
#ifndef KAL_ENGINE_AST_H
#define KAL_ENGINE_AST_H

#include "base/json_reader.h"

#define KAL_AST_DEPTH_MAX 1500                  /* JSON levels; about 6 for a nested sub-select */
#define KAL_AST_BYTES_MAX (32u * 1024u * 1024u) /* of JSON */

/* The tree lives in the arena; texts without escapes borrow from `text`. KAL_LIMIT: too deep or
 * beyond the arena's budget; KAL_INTERNAL: not what DuckDB writes. */
KAL_MUST_CHECK kal_status kal_ast_parse(kal_bytes text, kal_arena *arena, kal_json **tree_out,
                                        kal_error *err);

/* The member, or NULL. A JSON null counts as absent. node may be NULL. */
const kal_json *kal_ast_get(const kal_json *node, const char *key);
/* The text of a string member; empty when it is absent. */
kal_bytes kal_ast_text(const kal_json *node, const char *key);
bool kal_ast_is(const kal_json *node, const char *key, const char *text);
/* A boolean member; absent is false. */
bool kal_ast_flag(const kal_json *node, const char *key);
/* A non-negative number member; false when it is absent or beyond INT64_MAX. */
bool kal_ast_number(const kal_json *node, const char *key, int64_t *out);
/* Number of elements of an array member; absent is 0. */
size_t kal_ast_count(const kal_json *node, const char *key);

static inline bool kal_ast_equals(kal_bytes text, const char *word)
{
    return kal_bytes_equal(text, kal_cstr(word));
}

#endif
