/*
 * parser_backup.c: BACKUP, RESTORE, EXPORT USER DATA, and what SHOW says of them.
 */
#include "sql/parser_internal.h"

/* The words after `word` are `second`; on the first of both. */
static bool at_words(const kal_parser *p, const char *word, const char *second)
{
    kal_sql_lexer ahead = kal_parser_look_ahead(p);
    kal_bytes next = kal_bytes_of(ahead.text + p->next.start, p->next.end - p->next.start);
    return kal_parser_at_word(p, word) && kal_bytes_equal_nocase(next, kal_cstr(second));
}

static void skip_words(kal_parser *p, int count)
{
    for (int i = 0; i < count; i++)
        kal_parser_advance(p);
}

static bool parse_path(kal_parser *p, kal_sql_backup *backup)
{
    backup->position = kal_parser_position(p, p->token.start);
    return kal_parser_string(p, "the path of the backup as a string", &backup->path);
}

/* ALL, or a namespace. */
static bool parse_database(kal_parser *p, kal_sql_backup *backup)
{
    backup->all = kal_parser_at_word(p, "ALL");
    if (backup->all) {
        kal_parser_advance(p);
        return p->status == KAL_OK;
    }
    return kal_parser_name(p, "a namespace or ALL after DATABASE", &backup->namespace_name);
}

bool kal_parse_backup(kal_parser *p, kal_sql_statement *statement)
{
    kal_sql_backup *backup = &statement->backup;

    if (!at_words(p, "BACKUP", "DATABASE"))
        return false;
    skip_words(p, 2);
    statement->kind = KAL_STMT_BACKUP;
    (void)(kal_parser_if_exists(p, &backup->if_exists) && parse_database(p, backup) &&
           kal_parser_expect_keyword(p, KAL_KW_TO, "before the path of the backup") &&
           parse_path(p, backup) && kal_parser_expect_end(p, NULL)); /* what is wrong is in p */
    return true;
}

static bool parse_by_name(kal_parser *p, kal_sql_backup *backup)
{
    kal_parser_advance(p);
    if (!at_words(p, "BY", "NAME"))
        return kal_parser_expected(p, "BY NAME after USERS");
    skip_words(p, 2);
    backup->users_by_name = true;
    return true;
}

static bool parse_skip(kal_parser *p, kal_sql_backup *backup)
{
    kal_parser_advance(p);
    if (!at_words(p, "MISSING", "USERS"))
        return kal_parser_expected(p, "MISSING USERS after SKIP");
    skip_words(p, 2);
    backup->skip_missing_users = true;
    return true;
}

/* [USERS BY NAME] [SKIP MISSING USERS], in either order */
static bool parse_users(kal_parser *p, kal_sql_backup *backup)
{
    static const char *const WORDS[] = {"USERS", "SKIP", NULL};

    for (;;) {
        if (!backup->users_by_name && kal_parser_at_word(p, "USERS")) {
            if (!parse_by_name(p, backup))
                return false;
        } else if (!backup->skip_missing_users && kal_parser_at_word(p, "SKIP")) {
            if (!parse_skip(p, backup))
                return false;
        } else {
            return kal_parser_expect_end(p, WORDS);
        }
    }
}

bool kal_parse_restore(kal_parser *p, kal_sql_statement *statement)
{
    kal_sql_backup *backup = &statement->backup;

    if (!at_words(p, "RESTORE", "DATABASE"))
        return false;
    skip_words(p, 2);
    statement->kind = KAL_STMT_RESTORE;
    (void)(kal_parser_if_not_exists(p, &backup->if_not_exists) && parse_database(p, backup) &&
           kal_parser_expect_keyword(p, KAL_KW_FROM, "before the path of the backup") &&
           parse_path(p, backup) && parse_users(p, backup)); /* what is wrong is in p */
    return true;
}

/* EXPORT USER DATA [FOR 'user'] */
bool kal_parse_export(kal_parser *p, kal_sql_statement *statement)
{
    static const char *const WORDS[] = {"FOR", NULL};
    kal_sql_user_stmt *user = &statement->user;

    if (!at_words(p, "EXPORT", "USER"))
        return false;
    skip_words(p, 2);
    statement->kind = KAL_STMT_EXPORT;
    if (!kal_parser_at_word(p, "DATA")) {
        (void)kal_parser_expected(p, "DATA after EXPORT USER");
        return true;
    }
    kal_parser_advance(p);
    if (kal_parser_accept_keyword(p, KAL_KW_FOR) &&
        !kal_parser_name_or_string(p, "a user name after FOR", &user->name))
        return true;
    (void)kal_parser_expect_end(p, WORDS); /* what is wrong is in p */
    return true;
}

bool kal_parse_show_backup(kal_parser *p, kal_sql_statement *statement)
{
    kal_sql_backup *backup = &statement->backup;
    bool plural = kal_parser_at_word(p, "BACKUPS");

    kal_parser_advance(p);
    if (!plural && !kal_parser_at_keyword(p, KAL_KW_FOR)) {
        statement->kind = KAL_STMT_SHOW_BACKUP;
        return parse_path(p, backup) && kal_parser_expect_end(p, NULL);
    }
    statement->kind = KAL_STMT_SHOW_BACKUPS;
    if (!kal_parser_expect_keyword(p, KAL_KW_FOR, "after SHOW BACKUPS"))
        return false;
    if (!kal_parser_at_word(p, "DATABASE"))
        return kal_parser_expected(p, "DATABASE after FOR");
    kal_parser_advance(p);
    return parse_database(p, backup) && kal_parser_expect_end(p, NULL);
}

bool kal_parse_show_export(kal_parser *p, kal_sql_statement *statement)
{
    statement->kind = KAL_STMT_SHOW_EXPORT;
    kal_parser_advance(p);
    return kal_parser_expect_end(p, NULL);
}
