/*
 * render.h: results and errors as text: a table for people, CSV and JSON for programs.
 *
 * Table and CSV show values as text (types/text.h: 2024-02-29 13:14:15 rather than microseconds);
 * JSON passes cells on as the reply has them, digit by digit. In a table control characters are
 * escaped, so that data cannot drive the terminal; CSV is RFC 4180 with LF, NULL as an empty field
 * and an empty text as "".
 */
#ifndef KAL_CLI_RENDER_H
#define KAL_CLI_RENDER_H

#include "base/buf.h"
#include "cli/options.h"
#include "client/reply.h"
#include "types/type.h"

typedef struct kal_render_options {
    kal_cli_format format;
    bool ascii;                /* table lines of + - | instead of box characters */
    bool color;                /* table: NULL and the footer dimmed, errors red */
    bool expanded;             /* table: one line a value, for wide rows */
    bool timing;               /* table: server's time in the footer */
    unsigned cell_columns_max; /* table: longer cells are cut; 0 = never */
} kal_render_options;

/* Appends one result. Results without columns have a message, which is appended for the table
 * format only. */
void kal_render_result(const kal_reply_result *result, double took_ms,
                       const kal_render_options *options, kal_buf *out);

/* Appends the text of a cell, NULL as nothing. type: tag KAL_TYPE_NULL when it is not known. */
void kal_render_cell(const kal_json *cell, kal_type type, kal_arena *scratch, kal_buf *out);

typedef struct kal_render_error {
    kal_bytes message;
    kal_bytes code;   /* may be empty */
    kal_bytes hint;   /* may be empty */
    kal_bytes sql;    /* may be empty */
    int64_t position; /* in sql, or -1 */
    const char *file; /* where the SQL is from, or NULL */
    uint64_t line;    /* in that file, of the first byte of sql */
} kal_render_error;

/* Appends message, the line of SQL with a caret below the position, and the hint. */
void kal_render_error_text(const kal_render_error *error, bool color, kal_buf *out);

/* Columns on a terminal. Broken UTF-8 counts one a byte. */
size_t kal_text_columns(kal_bytes text);

/* Appends value with commas between groups of three digits. */
void kal_render_count(uint64_t value, kal_buf *out);

#endif
