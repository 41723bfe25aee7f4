/*
 * view_query.h: what a view keeps of its SELECT.
 *
 * Threads: read-only once made.
 */
#ifndef KAL_SCHEMA_VIEW_QUERY_H
#define KAL_SCHEMA_VIEW_QUERY_H

#include "base/arena.h"
#include "base/error.h"
#include "base/json_reader.h"
#include "base/json_writer.h"

#define KAL_VIEW_TABLES_MAX 256

/* A table or view that the SELECT names, with the columns it had then: those that were added since
 * take no name in the SELECT. */
typedef struct kal_view_table {
    kal_bytes namespace_id;
    kal_bytes table_name;
    kal_bytes *columns;
    uint32_t column_count;
} kal_view_table;

typedef struct kal_view_query {
    kal_bytes text; /* as its creator wrote it */
    kal_bytes sql;  /* as it runs: names qualified, columns by name and type */
    kal_view_table *tables;
    uint32_t table_count;
} kal_view_query;

/* NULL: the SELECT does not name it. */
const kal_view_table *kal_view_query_find(const kal_view_query *view, kal_bytes namespace_id,
                                          kal_bytes table_name);
/* Text and tables; the sql follows from them and from the view's columns. */
bool kal_view_query_equal(const kal_view_query *a, const kal_view_query *b);
/* About what a copy takes in an arena. */
size_t kal_view_query_bytes(const kal_view_query *view);
kal_view_query *kal_view_query_copy(const kal_view_query *view, kal_arena *arena);
/* KAL_INVALID: text that is not UTF-8, too many tables or columns. */
KAL_MUST_CHECK kal_status kal_view_query_validate(const kal_view_query *view, kal_error *err);

/* The members of an open object: view_text, view_sql, view_tables. */
void kal_view_query_write_json(const kal_view_query *view, kal_json_writer *w);
KAL_MUST_CHECK kal_status kal_view_query_from_json(const kal_json *object, kal_arena *arena,
                                                   kal_view_query **out, kal_error *err);
void kal_view_query_encode(const kal_view_query *view, kal_buf *out);
/* Takes it off the front of in. has_tables: false in records of format 2, which have none. */
KAL_MUST_CHECK bool kal_view_query_decode(kal_bytes *in, bool has_tables, kal_arena *arena,
                                          kal_view_query **out);

#endif
