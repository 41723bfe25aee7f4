/*
 * parser_storage.c: CREATE, ALTER and DROP STORAGE, SHOW STORAGES, STORAGE CHECK.
 */
#include "sql/parser_internal.h"

#include <stdio.h>

static const struct {
    const char *word;
    kal_sql_storage_clause clause;
    bool alterable;
} CLAUSES[] = {
    {"TYPE", KAL_SQL_STORAGE_TYPE, false},
    {"NAME", KAL_SQL_STORAGE_NAME, true},
    {"DESCRIPTION", KAL_SQL_STORAGE_DESCRIPTION, true},
    {"PATH", KAL_SQL_STORAGE_PATH, false},
    {"BASE_DIRECTORY", KAL_SQL_STORAGE_PATH, false},
    {"BUCKET", KAL_SQL_STORAGE_BUCKET, false},
    {"REGION", KAL_SQL_STORAGE_REGION, false},
    {"ENDPOINT", KAL_SQL_STORAGE_ENDPOINT, false},
    {"SHARED_TABLES_TEMPLATE", KAL_SQL_STORAGE_SHARED_TEMPLATE, true},
    {"USER_TABLES_TEMPLATE", KAL_SQL_STORAGE_USER_TEMPLATE, true},
    {"CREDENTIALS", KAL_SQL_STORAGE_CREDENTIALS, true},
};

static bool fail_clause(kal_parser *p, bool altering)
{
    static const char *const CREATE_WORDS[] = {"TYPE",
                                               "NAME",
                                               "DESCRIPTION",
                                               "PATH",
                                               "BASE_DIRECTORY",
                                               "BUCKET",
                                               "REGION",
                                               "ENDPOINT",
                                               "SHARED_TABLES_TEMPLATE",
                                               "USER_TABLES_TEMPLATE",
                                               "CREDENTIALS",
                                               NULL};
    static const char *const ALTER_WORDS[] = {
        "NAME",        "DESCRIPTION", "SHARED_TABLES_TEMPLATE", "USER_TABLES_TEMPLATE",
        "CREDENTIALS", NULL};
    if (altering)
        return kal_parser_expected_words(
            p,
            "NAME, DESCRIPTION, SHARED_TABLES_TEMPLATE, USER_TABLES_TEMPLATE or CREDENTIALS after "
            "SET",
            ALTER_WORDS);
    return kal_parser_expected_words(
        p,
        "TYPE, NAME, DESCRIPTION, PATH, BUCKET, REGION, ENDPOINT, CREDENTIALS, "
        "SHARED_TABLES_TEMPLATE or USER_TABLES_TEMPLATE",
        CREATE_WORDS);
}

/* What stands here without quotes may be a secret: it is not repeated. */
static bool parse_credentials(kal_parser *p, kal_sql_storage_text *text)
{
    if (!kal_parser_at(p, KAL_TOKEN_STRING))
        return kal_parser_fail(p, KAL_SYNTAX, text->position,
                               "expected a JSON object in single quotes after CREDENTIALS");
    return kal_parser_string(p, "a JSON object", &text->text);
}

static bool parse_value(kal_parser *p, const char *word, kal_sql_storage_clause clause,
                        kal_sql_storage_text *text)
{
    char what[64];
    kal_parser_accept(p, KAL_TOKEN_EQ);
    text->given = true;
    text->position = kal_parser_position(p, p->token.start);
    if (clause == KAL_SQL_STORAGE_CREDENTIALS)
        return parse_credentials(p, text);
    if (clause != KAL_SQL_STORAGE_TYPE) {
        snprintf(what, sizeof what, "a string after %s", word);
        return kal_parser_string(p, what, &text->text);
    }
    kal_sql_name type = {0};
    if (!kal_parser_name_or_string(p, "filesystem or s3 after TYPE", &type))
        return false;
    text->text = type.text;
    return true;
}

/* One clause, from its word on. */
static bool parse_clause(kal_parser *p, bool altering, kal_sql_storage_stmt *storage)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(CLAUSES); i++) {
        kal_sql_storage_text *text = &storage->texts[CLAUSES[i].clause];
        if (!kal_parser_at_word(p, CLAUSES[i].word) || (altering && !CLAUSES[i].alterable))
            continue;
        if (text->given)
            return kal_parser_fail(p, KAL_SYNTAX, kal_parser_position(p, p->token.start),
                                   "%s is given twice", CLAUSES[i].word);
        kal_parser_advance(p);
        return parse_value(p, CLAUSES[i].word, CLAUSES[i].clause, text);
    }
    return fail_clause(p, altering);
}

bool kal_parse_create_storage(kal_parser *p, kal_sql_statement *statement)
{
    kal_sql_storage_stmt *storage = &statement->storage;
    statement->kind = KAL_STMT_CREATE_STORAGE;
    kal_parser_advance(p);
    if (!kal_parser_if_not_exists(p, &storage->if_not_exists) ||
        !kal_parser_name_or_string(p, "the id of a storage", &storage->name))
        return false;
    while (p->status == KAL_OK && !kal_parser_at(p, KAL_TOKEN_END)) {
        if (!parse_clause(p, false, storage))
            return false;
    }
    return p->status == KAL_OK;
}

/* SET NAME 'x' [[,] [SET] DESCRIPTION 'y' ...] */
bool kal_parse_alter_storage(kal_parser *p, kal_sql_statement *statement)
{
    kal_sql_storage_stmt *storage = &statement->storage;
    statement->kind = KAL_STMT_ALTER_STORAGE;
    kal_parser_advance(p);
    if (!kal_parser_name_or_string(p, "the id of a storage", &storage->name) ||
        !kal_parser_expect_keyword(p, KAL_KW_SET, "after the storage's id"))
        return false;
    do {
        if (!parse_clause(p, true, storage))
            return false;
        if (kal_parser_accept(p, KAL_TOKEN_COMMA) && kal_parser_at(p, KAL_TOKEN_END))
            return fail_clause(p, true);
        kal_parser_accept_keyword(p, KAL_KW_SET);
    } while (p->status == KAL_OK && !kal_parser_at(p, KAL_TOKEN_END));
    return p->status == KAL_OK;
}

bool kal_parse_drop_storage(kal_parser *p, kal_sql_statement *statement)
{
    kal_sql_storage_stmt *storage = &statement->storage;
    statement->kind = KAL_STMT_DROP_STORAGE;
    kal_parser_advance(p);
    return kal_parser_if_exists(p, &storage->if_exists) &&
           kal_parser_name_or_string(p, "the id of a storage", &storage->name) &&
           kal_parser_expect_end(p, NULL);
}

bool kal_parse_show_storages(kal_parser *p, kal_sql_statement *statement)
{
    statement->kind = KAL_STMT_SHOW_STORAGES;
    kal_parser_advance(p);
    return kal_parser_expect_end(p, NULL);
}

/* From STORAGE on; CHECK is next. */
bool kal_parse_storage_check(kal_parser *p, kal_sql_statement *statement)
{
    static const char *const WORDS[] = {"EXTENDED", NULL};
    kal_sql_storage_stmt *storage = &statement->storage;
    statement->kind = KAL_STMT_STORAGE_CHECK;
    kal_parser_advance(p);
    kal_parser_advance(p);
    if (!kal_parser_name_or_string(p, "the id of a storage", &storage->name))
        return false;
    storage->extended = kal_parser_at_word(p, "EXTENDED");
    if (storage->extended)
        kal_parser_advance(p);
    return kal_parser_expect_end(p, WORDS);
}
