/*
 * parser_support.h: what the parser's tests share: text in, one line of tree or of error out.
 */
#ifndef KAL_TESTS_SQL_PARSER_SUPPORT_H
#define KAL_TESTS_SQL_PARSER_SUPPORT_H

#include "sql/parser.h"
#include "unit/sql/ast_dump.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The tree of the only statement in `text`; status and err tell of a failure. arena: holds it. */
static inline kal_status parse_one(kal_bytes text, kal_arena *arena,
                                   kal_sql_statement **statement_out, kal_error *err)
{
    kal_sql_pieces pieces;
    *statement_out = NULL;
    KAL_TRY(kal_sql_split(text, arena, &pieces, err));
    if (pieces.count != 1)
        return kal_error_set(err, KAL_INVALID, "the text holds %zu statements", pieces.count);
    return kal_sql_parse(pieces.items[0], arena, statement_out, err);
}

/* out: the dump, or "STATUS @position: message [| hint]" */
static inline void describe_parse(kal_bytes text, kal_buf *out)
{
    kal_arena arena;
    kal_sql_statement *statement = NULL;
    kal_error err = KAL_ERROR_INIT;
    kal_arena_init(&arena, NULL);
    kal_buf_clear(out);
    if (parse_one(text, &arena, &statement, &err) == KAL_OK)
        kal_sql_dump(statement, out);
    else
        kal_buf_printf(out, "%s @%lld: %s%s%s", kal_status_name(err.status),
                       (long long)err.position, err.message, err.hint[0] == '\0' ? "" : " | ",
                       err.hint);
    kal_buf_append_byte(out, '\0');
    kal_arena_release(&arena);
}

typedef struct parse_case {
    const char *sql;
    const char *expected; /* as describe_parse() writes it */
} parse_case;

static inline void check_cases(const parse_case *cases, size_t count)
{
    kal_buf out;
    size_t wrong = 0;
    kal_buf_init(&out, NULL);
    for (size_t i = 0; i < count; i++) {
        describe_parse(kal_cstr(cases[i].sql), &out);
        if (strcmp((const char *)out.ptr, cases[i].expected) != 0) {
            print_error("%s\n  expected %s\n  got      %s\n", cases[i].sql, cases[i].expected,
                        (const char *)out.ptr);
            wrong++;
        }
    }
    kal_buf_release(&out);
    assert_int_equal(wrong, 0);
}

#endif
