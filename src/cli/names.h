/*
 * names.h: identifiers: quoting them, and making valid ones out of a file's column names.
 */
#ifndef KAL_CLI_NAMES_H
#define KAL_CLI_NAMES_H

#include "base/arena.h"
#include "base/buf.h"

#define KAL_NAME_BYTES_MAX 64

/* Appends "name", folded to lower case as every identifier of the dialect is. */
void kal_name_quote(kal_bytes name, kal_buf *out);

/*
 * Makes count valid, distinct column names: lower case, letters, digits and underscores, at most 64
 * characters, no digit or underscore in front, no reserved word of SQL.
 *
 *   "US Gross" -> us_gross    "2nd" -> c_2nd    "Größe" -> gr_e    "order" -> order_
 *   ""         -> column_3    a second "a b" -> a_b_2
 *
 * names_out: array of count, both from the arena.
 */
void kal_names_make(const kal_bytes *names, size_t count, kal_arena *arena, kal_bytes *names_out);

#endif
