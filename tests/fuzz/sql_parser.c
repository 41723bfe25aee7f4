/*
 * sql_parser.c: any bytes as a request of SQL. What does not parse must fail with a message of one
 * line and a position inside the text; what parses must keep what ast.h promises, and printed and
 * parsed again give the same tree. The same input is a live query, too.
 */
#include "base/assert.h"
#include "sql/parser.h"
#include "unit/sql/ast_check.h"
#include "unit/sql/ast_dump.h"
#include "unit/sql/ast_print.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_BYTES_MAX = 16 * 1024, MEMORY_BYTES_MAX = 64 * 1024 * 1024 };

static void check_error(kal_status status, const kal_error *err, size_t size)
{
    KAL_ASSERT(status == KAL_SYNTAX || status == KAL_UNSUPPORTED || status == KAL_LIMIT);
    KAL_ASSERT(err->status == status);
    KAL_ASSERT(err->message[0] != '\0');
    KAL_ASSERT(strpbrk(err->message, "\r\n\t") == NULL);
    KAL_ASSERT(kal_utf8_valid(kal_cstr(err->message)));
    KAL_ASSERT(err->position >= 0);
    KAL_ASSERT((size_t)err->position <= size);
}

static void check_round_trip(const kal_sql_statement *statement, kal_arena *arena)
{
    kal_buf sql;
    kal_buf dump;
    kal_buf dump_again;
    kal_sql_statement *again = NULL;
    kal_buf_init(&sql, NULL);
    kal_buf_init(&dump, NULL);
    kal_buf_init(&dump_again, NULL);
    kal_sql_print(statement, &sql);
    kal_sql_dump(statement, &dump);
    kal_status status = kal_sql_parse((kal_sql_piece){kal_buf_bytes(&sql), 0}, arena, &again, NULL);
    /* parentheses around every operator may nest deeper than the client's text did */
    KAL_ASSERT(status == KAL_OK || status == KAL_LIMIT);
    if (status == KAL_OK) {
        kal_sql_dump(again, &dump_again);
        KAL_ASSERT(kal_bytes_equal(kal_buf_bytes(&dump), kal_buf_bytes(&dump_again)));
    }
    kal_buf_release(&sql);
    kal_buf_release(&dump);
    kal_buf_release(&dump_again);
}

static void check_piece(kal_sql_piece piece, kal_arena *arena, size_t size)
{
    kal_sql_statement *statement = NULL;
    kal_error err = KAL_ERROR_INIT;
    kal_status status = kal_sql_parse(piece, arena, &statement, &err);
    KAL_ASSERT((status == KAL_OK) == (statement != NULL));
    if (status != KAL_OK) {
        check_error(status, &err, size);
        return;
    }
    check_statement(statement);
    check_round_trip(statement, arena);
}

/* The whole input as the query of a subscription. The text that is kept of it is one, too. */
static void check_as_live(kal_bytes text, kal_arena *arena)
{
    kal_sql_live live;
    kal_sql_live again;
    kal_error err = KAL_ERROR_INIT;
    kal_status status = kal_sql_parse_live(text, arena, &live, &err);
    if (status != KAL_OK) {
        check_error(status, &err, text.len);
        return;
    }
    kal_sql_statement around = {
        .text = live.source, .position = live.source_position, .param_max = live.param_max};
    check_live(&around, &live);
    KAL_ASSERT(kal_sql_parse_live(live.text, arena, &again, NULL) == KAL_OK);
    KAL_ASSERT(again.kind == live.kind);
    KAL_ASSERT(again.options.position == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kal_budget budget;
    kal_arena arena;
    kal_sql_pieces pieces;
    kal_error err = KAL_ERROR_INIT;
    if (size > INPUT_BYTES_MAX)
        return 0;
    kal_budget_init(&budget, NULL, MEMORY_BYTES_MAX);
    kal_arena_init(&arena, &budget);
    kal_status status = kal_sql_split(kal_bytes_of(data, size), &arena, &pieces, &err);
    if (status != KAL_OK)
        check_error(status, &err, size);
    for (size_t i = 0; i < pieces.count; i++)
        check_piece(pieces.items[i], &arena, size);
    check_as_live(kal_bytes_of(data, size), &arena);
    kal_arena_release(&arena);
    return 0;
}
