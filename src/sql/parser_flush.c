/*
 * parser_flush.c: [STORAGE] FLUSH and STORAGE COMPACT of one table or of all.
 */
#include "sql/parser_internal.h"

/* ALL [TABLES] [IN [NAMESPACE] ns] */
static bool parse_all(kal_parser *p, kal_sql_flush *flush)
{
    static const char *const WORDS[] = {"TABLES", "IN", NULL};

    kal_parser_advance(p);
    flush->all = true;
    if (kal_parser_at_keyword(p, KAL_KW_TABLES))
        kal_parser_advance(p);
    if (kal_parser_accept_keyword(p, KAL_KW_IN)) {
        if (kal_parser_at_keyword(p, KAL_KW_NAMESPACE) && p->next.kind != KAL_TOKEN_END)
            kal_parser_advance(p);
        if (!kal_parser_name(p, "a namespace name", &flush->namespace_name))
            return false;
    }
    return kal_parser_expect_end(p, WORDS);
}

static bool parse_target(kal_parser *p, kal_sql_flush *flush, const char *after)
{
    static const char *const WORDS[] = {"TABLE", "ALL", NULL};

    if (kal_parser_at_word(p, "ALL"))
        return parse_all(p, flush);
    if (!kal_parser_accept_keyword(p, KAL_KW_TABLE))
        return kal_parser_expected_words(p, after, WORDS);
    return kal_parser_object(p, "the name of a table", &flush->table) &&
           kal_parser_expect_end(p, NULL);
}

bool kal_parse_flush(kal_parser *p, kal_sql_statement *statement)
{
    kal_sql_flush *flush = &statement->flush;
    kal_sql_lexer ahead = kal_parser_look_ahead(p);
    kal_bytes next = kal_bytes_of(ahead.text + p->next.start, p->next.end - p->next.start);
    bool storage = kal_parser_at_keyword(p, KAL_KW_STORAGE);
    bool compact = storage && kal_bytes_equal_nocase(next, KAL_STR("COMPACT"));

    if (storage ? !compact && !kal_bytes_equal_nocase(next, KAL_STR("FLUSH"))
                : !kal_parser_at_keyword(p, KAL_KW_FLUSH))
        return false;
    statement->kind = compact ? KAL_STMT_COMPACT : KAL_STMT_FLUSH;
    kal_parser_advance(p);
    if (storage)
        kal_parser_advance(p);
    (void)parse_target(p, flush,
                       compact ? "TABLE or ALL after COMPACT" : "TABLE or ALL after FLUSH");
    return true; /* what is wrong is in p */
}
