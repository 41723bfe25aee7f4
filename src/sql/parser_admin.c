/*
 * parser_admin.c: namespaces, users, SHOW, DESCRIBE, USE, transactions, and the statements that the
 * dialect knows but this version does not run, which are recognised by their first words.
 */
#include "base/assert.h"
#include "base/json_writer.h"
#include "sql/parser_internal.h"

#include <stdio.h>

/* --- namespaces --- */

static bool parse_create_namespace(kal_parser *p, kal_sql_statement *statement)
{
    kal_sql_namespace_stmt *namespace_stmt = &statement->namespace_stmt;
    statement->kind = KAL_STMT_CREATE_NAMESPACE;
    kal_parser_advance(p);
    return kal_parser_if_not_exists(p, &namespace_stmt->if_not_exists) &&
           kal_parser_name(p, "a namespace name", &namespace_stmt->name) &&
           kal_parser_expect_end(p, NULL);
}

static bool parse_drop_namespace(kal_parser *p, kal_sql_statement *statement)
{
    static const char *const WORDS[] = {"CASCADE", "RESTRICT", NULL};
    kal_sql_namespace_stmt *namespace_stmt = &statement->namespace_stmt;
    statement->kind = KAL_STMT_DROP_NAMESPACE;
    kal_parser_advance(p);
    if (!kal_parser_if_exists(p, &namespace_stmt->if_exists) ||
        !kal_parser_name(p, "a namespace name", &namespace_stmt->name))
        return false;
    if (kal_parser_accept_keyword(p, KAL_KW_CASCADE))
        namespace_stmt->cascade = true;
    else
        kal_parser_accept_keyword(p, KAL_KW_RESTRICT);
    return kal_parser_expect_end(p, WORDS);
}

bool kal_parse_use(kal_parser *p, kal_sql_statement *statement)
{
    statement->kind = KAL_STMT_USE_NAMESPACE;
    kal_parser_advance(p);
    /* USE namespace, of a namespace with that name, has nothing behind the word */
    if (kal_parser_at_keyword(p, KAL_KW_NAMESPACE) && p->next.kind != KAL_TOKEN_END)
        kal_parser_advance(p);
    return kal_parser_name(p, "a namespace name", &statement->namespace_stmt.name) &&
           kal_parser_expect_end(p, NULL);
}

/* --- users --- */

static bool parse_secret(kal_parser *p, const char *what, kal_sql_user_stmt *user)
{
    user->secret_start = kal_parser_position(p, p->token.start);
    /* what stands here without quotes may be the secret itself: it is not repeated */
    if (!kal_parser_at(p, KAL_TOKEN_STRING) && !kal_parser_at(p, KAL_TOKEN_END))
        return kal_parser_fail(p, KAL_SYNTAX, user->secret_start, "expected %s in single quotes",
                               what);
    if (!kal_parser_string(p, what, &user->secret))
        return false;
    user->secret_end = kal_parser_position(p, p->last_end);
    return true;
}

/* WITH PASSWORD 'p' | OAUTH ['..'] | INTERNAL */
static bool parse_with_auth(kal_parser *p, kal_sql_user_stmt *user)
{
    static const char *const WORDS[] = {"PASSWORD", "OAUTH", "INTERNAL", NULL};
    if (user->auth != KAL_SQL_AUTH_NONE)
        return kal_parser_fail(p, KAL_SYNTAX, kal_parser_position(p, p->token.start),
                               "WITH is given twice");
    kal_parser_advance(p);
    if (kal_parser_accept_keyword(p, KAL_KW_PASSWORD)) {
        user->auth = KAL_SQL_AUTH_PASSWORD;
        return parse_secret(p, "the password as a string", user);
    }
    if (kal_parser_accept_keyword(p, KAL_KW_OAUTH)) {
        user->auth = KAL_SQL_AUTH_OAUTH;
        return !kal_parser_at(p, KAL_TOKEN_STRING)
                   ? p->status == KAL_OK
                   : parse_secret(p, "the identity as a string", user);
    }
    if (kal_parser_accept_keyword(p, KAL_KW_INTERNAL)) {
        user->auth = KAL_SQL_AUTH_INTERNAL;
        return p->status == KAL_OK;
    }
    return kal_parser_expected_words(p, "PASSWORD, OAUTH or INTERNAL after WITH", WORDS);
}

static bool parse_role(kal_parser *p, kal_sql_user_stmt *user)
{
    if (user->has_role)
        return kal_parser_fail(p, KAL_SYNTAX, kal_parser_position(p, p->token.start),
                               "ROLE is given twice");
    kal_parser_advance(p);
    user->has_role = true;
    if (!kal_parser_name_or_string(p, "a role after ROLE", &user->role))
        return false;
    if (!user->role.quoted)
        return true;
    uint8_t *folded = kal_arena_try_alloc(p->arena, user->role.text.len);
    if (folded == NULL)
        return kal_parser_fail_memory(p);
    for (size_t i = 0; i < user->role.text.len; i++)
        folded[i] = (uint8_t)kal_ascii_lower((char)user->role.text.ptr[i]);
    user->role.text.ptr = folded;
    return true;
}

static bool parse_email(kal_parser *p, kal_sql_user_stmt *user)
{
    if (user->has_email)
        return kal_parser_fail(p, KAL_SYNTAX, kal_parser_position(p, p->token.start),
                               "EMAIL is given twice");
    kal_parser_advance(p);
    user->has_email = true;
    user->email_position = kal_parser_position(p, p->token.start);
    return kal_parser_string(p, "a string after EMAIL", &user->email);
}

static bool parse_create_user(kal_parser *p, kal_sql_statement *statement)
{
    static const char *const WORDS[] = {"WITH", "ROLE", "EMAIL", NULL};
    kal_sql_user_stmt *user = &statement->user;
    statement->kind = KAL_STMT_CREATE_USER;
    kal_parser_advance(p);
    if (!kal_parser_if_not_exists(p, &user->if_not_exists) ||
        !kal_parser_name_or_string(p, "a user name", &user->name))
        return false;
    while (p->status == KAL_OK && !kal_parser_at(p, KAL_TOKEN_END)) {
        bool done = false;
        if (kal_parser_at_keyword(p, KAL_KW_WITH))
            done = parse_with_auth(p, user);
        else if (kal_parser_at_keyword(p, KAL_KW_ROLE))
            done = parse_role(p, user);
        else if (kal_parser_at_keyword(p, KAL_KW_EMAIL))
            done = parse_email(p, user);
        else
            done = kal_parser_expected_words(p, "WITH, ROLE, EMAIL or the end of the statement",
                                             WORDS);
        if (!done)
            return false;
    }
    return p->status == KAL_OK;
}

static bool parse_alter_user(kal_parser *p, kal_sql_statement *statement)
{
    static const char *const WORDS[] = {"PASSWORD", "ROLE", "EMAIL", NULL};
    kal_sql_user_stmt *user = &statement->user;
    bool done = false;
    statement->kind = KAL_STMT_ALTER_USER;
    kal_parser_advance(p);
    if (!kal_parser_if_exists(p, &user->if_exists) ||
        !kal_parser_name_or_string(p, "a user name", &user->name) ||
        !kal_parser_expect_keyword(p, KAL_KW_SET, "after the user name"))
        return false;
    if (kal_parser_accept_keyword(p, KAL_KW_PASSWORD)) {
        user->auth = KAL_SQL_AUTH_PASSWORD;
        done = parse_secret(p, "the password as a string", user);
    } else if (kal_parser_at_keyword(p, KAL_KW_ROLE)) {
        done = parse_role(p, user);
    } else if (kal_parser_at_keyword(p, KAL_KW_EMAIL)) {
        done = parse_email(p, user);
    } else {
        done = kal_parser_expected_words(p, "PASSWORD, ROLE or EMAIL after SET", WORDS);
    }
    return done && kal_parser_expect_end(p, NULL);
}

static bool parse_drop_user(kal_parser *p, kal_sql_statement *statement)
{
    static const char *const WORDS[] = {"ERASE", NULL};
    kal_sql_user_stmt *user = &statement->user;
    statement->kind = KAL_STMT_DROP_USER;
    kal_parser_advance(p);
    if (!kal_parser_if_exists(p, &user->if_exists) ||
        !kal_parser_name_or_string(p, "a user name", &user->name))
        return false;
    user->erase = kal_parser_accept_keyword(p, KAL_KW_ERASE);
    return kal_parser_expect_end(p, WORDS);
}

/* --- tables, except CREATE TABLE --- */

static bool parse_drop_table(kal_parser *p, kal_sql_table_type type, kal_sql_statement *statement)
{
    kal_sql_table_stmt *table = &statement->table;
    statement->kind = KAL_STMT_DROP_TABLE;
    table->table_type = type;
    kal_parser_advance(p);
    if (!kal_parser_if_exists(p, &table->if_exists) ||
        !kal_parser_object(p, "a table name after DROP TABLE", &table->table))
        return false;
    if (kal_parser_at(p, KAL_TOKEN_COMMA))
        return kal_parser_fail(p, KAL_UNSUPPORTED, kal_parser_position(p, p->token.start),
                               "DROP TABLE takes one table");
    return kal_parser_expect_end(p, NULL);
}

/* A whole number, the last thing that matters of a statement: limits are the executor's. */
static bool parse_version(kal_parser *p, int64_t *version_out)
{
    kal_bytes text = kal_bytes_of(p->lexer.text + p->token.start, p->token.end - p->token.start);
    if (!kal_parser_at(p, KAL_TOKEN_NUMBER) || !p->token.is_integer ||
        !kal_parse_i64(text, version_out))
        return kal_parser_expected(p, "the number of a schema version");
    kal_parser_advance(p);
    return p->status == KAL_OK;
}

/* [TABLE] t [HISTORY | AT VERSION n]; a table named `table` needs quotes */
bool kal_parse_describe(kal_parser *p, kal_sql_statement *statement)
{
    static const char *const WORDS[] = {"HISTORY", "AT", NULL};
    kal_sql_table_stmt *table = &statement->table;
    statement->kind = KAL_STMT_DESCRIBE_TABLE;
    kal_parser_advance(p);
    kal_parser_accept_keyword(p, KAL_KW_TABLE);
    if (!kal_parser_object(p, "a table name after DESCRIBE TABLE", &table->table))
        return false;
    table->history = kal_parser_accept_keyword(p, KAL_KW_HISTORY);
    if (!table->history && kal_parser_accept_keyword(p, KAL_KW_AT)) {
        if (!kal_parser_at_word(p, "VERSION"))
            return kal_parser_expected(p, "VERSION after AT");
        kal_parser_advance(p);
        table->at_version = true;
        table->version_position = kal_parser_position(p, p->token.start);
        if (!parse_version(p, &table->version))
            return false;
    }
    return kal_parser_expect_end(p, WORDS);
}

/* --- SHOW --- */

static bool parse_show_tables(kal_parser *p, kal_sql_statement *statement)
{
    static const char *const WORDS[] = {"IN", NULL};
    statement->kind = KAL_STMT_SHOW_TABLES;
    kal_parser_advance(p);
    if (kal_parser_accept_keyword(p, KAL_KW_IN) || kal_parser_accept_keyword(p, KAL_KW_FROM)) {
        if (kal_parser_at_keyword(p, KAL_KW_NAMESPACE) && p->next.kind != KAL_TOKEN_END)
            kal_parser_advance(p);
        if (!kal_parser_name(p, "a namespace name", &statement->show_tables.namespace_name))
            return false;
    }
    return kal_parser_expect_end(p, WORDS);
}

/* SHOW STATS FOR TABLE t */
static bool parse_show_stats(kal_parser *p, kal_sql_statement *statement)
{
    statement->kind = KAL_STMT_SHOW_STATS;
    kal_parser_advance(p);
    if (!kal_parser_accept_keyword(p, KAL_KW_FOR)) {
        kal_parser_expected(p, "FOR TABLE after SHOW STATS");
        kal_error_hint(&p->error, "the server's own numbers: SELECT * FROM system.stats");
        return false;
    }
    return kal_parser_expect_keyword(p, KAL_KW_TABLE, "after SHOW STATS FOR") &&
           kal_parser_object(p, "a table name after SHOW STATS FOR TABLE",
                             &statement->table.table) &&
           kal_parser_expect_end(p, NULL);
}

/* SCHEMA DIFF t FROM a TO b */
static bool parse_show_schema_diff(kal_parser *p, kal_sql_statement *statement)
{
    kal_sql_schema_diff *diff = &statement->schema_diff;
    statement->kind = KAL_STMT_SHOW_SCHEMA_DIFF;
    kal_parser_advance(p);
    if (!kal_parser_at_word(p, "DIFF"))
        return kal_parser_expected(p, "DIFF after SHOW SCHEMA");
    kal_parser_advance(p);
    return kal_parser_object(p, "a table name after SHOW SCHEMA DIFF", &diff->table) &&
           kal_parser_expect_keyword(p, KAL_KW_FROM, "before the older version") &&
           parse_version(p, &diff->from) &&
           kal_parser_expect_keyword(p, KAL_KW_TO, "before the newer version") &&
           parse_version(p, &diff->to) && kal_parser_expect_end(p, NULL);
}

static bool parse_show_live_queries(kal_parser *p, kal_sql_statement *statement)
{
    static const char *const WORDS[] = {"QUERIES", NULL};
    statement->kind = KAL_STMT_SHOW_LIVE_QUERIES;
    kal_parser_advance(p);
    if (!kal_parser_at_word(p, "QUERIES"))
        return kal_parser_expected_words(p, "QUERIES after SHOW LIVE", WORDS);
    kal_parser_advance(p);
    return kal_parser_expect_end(p, NULL);
}

bool kal_parse_show(kal_parser *p, kal_sql_statement *statement)
{
    static const char *const WORDS[] = {"NAMESPACES", "TABLES",   "CREATE", "STATS",
                                        "SCHEMA",     "STORAGES", "BACKUP", "MANIFEST",
                                        "JOBS",       "EXPORT",   "LIVE",   NULL};
    if (kal_parse_not_built(p, statement))
        return p->status == KAL_OK;
    kal_parser_advance(p);
    if (kal_parser_at_keyword(p, KAL_KW_TABLES))
        return parse_show_tables(p, statement);
    if (kal_parser_at_word(p, "BACKUP") || kal_parser_at_word(p, "BACKUPS"))
        return kal_parse_show_backup(p, statement);
    if (kal_parser_at_word(p, "EXPORT") || kal_parser_at_word(p, "EXPORTS"))
        return kal_parse_show_export(p, statement);
    if (kal_parser_at_word(p, "LIVE"))
        return parse_show_live_queries(p, statement);
    if (kal_parser_at_word(p, "JOBS")) {
        kal_parser_advance(p);
        statement->kind = KAL_STMT_SHOW_JOBS;
        return kal_parser_expect_end(p, NULL);
    }
    if (kal_parser_at_word(p, "STATS"))
        return parse_show_stats(p, statement);
    if (kal_parser_at_word(p, "MANIFEST")) {
        kal_parser_advance(p);
        statement->kind = KAL_STMT_SHOW_MANIFEST;
        return kal_parser_expect_end(p, NULL);
    }
    if (kal_parser_accept_keyword(p, KAL_KW_NAMESPACES)) {
        statement->kind = KAL_STMT_SHOW_NAMESPACES;
        return kal_parser_expect_end(p, NULL);
    }
    if (kal_parser_at_word(p, "STORAGES"))
        return kal_parse_show_storages(p, statement);
    if (kal_parser_at_word(p, "SCHEMA"))
        return parse_show_schema_diff(p, statement);
    if (kal_parser_accept_keyword(p, KAL_KW_CREATE)) {
        statement->kind = KAL_STMT_SHOW_CREATE_TABLE;
        if (kal_parser_at_word(p, "VIEW"))
            kal_parser_advance(p);
        else if (!kal_parser_expect_keyword(p, KAL_KW_TABLE, "after SHOW CREATE"))
            return false;
        return kal_parser_object(p, "a table name after SHOW CREATE TABLE",
                                 &statement->table.table) &&
               kal_parser_expect_end(p, NULL);
    }
    return kal_parser_expected_words(
        p,
        "NAMESPACES, TABLES, CREATE TABLE, STATS, STORAGES, SCHEMA DIFF, MANIFEST, BACKUP, JOBS, "
        "LIVE QUERIES or EXPORT after SHOW",
        WORDS);
}

/* --- transactions, EXPLAIN --- */

/* BEGIN | START TRANSACTION | COMMIT | END | ROLLBACK | ABORT, with [TRANSACTION | WORK] */
bool kal_parse_transaction(kal_parser *p, kal_sql_statement *statement)
{
    static const char *const WORDS[] = {"TRANSACTION", "WORK", NULL};
    kal_sql_keyword first = p->token.keyword;
    kal_parser_advance(p);
    switch (first) {
    case KAL_KW_START:
        statement->kind = KAL_STMT_BEGIN;
        return kal_parser_expect_keyword(p, KAL_KW_TRANSACTION, "after START") &&
               kal_parser_expect_end(p, NULL);
    case KAL_KW_BEGIN:
        statement->kind = KAL_STMT_BEGIN;
        break;
    case KAL_KW_COMMIT:
    case KAL_KW_END:
        statement->kind = KAL_STMT_COMMIT;
        break;
    default:
        statement->kind = KAL_STMT_ROLLBACK;
        break;
    }
    if (!kal_parser_accept_keyword(p, KAL_KW_TRANSACTION))
        kal_parser_accept_keyword(p, KAL_KW_WORK);
    if (statement->kind == KAL_STMT_ROLLBACK && kal_parser_at_keyword(p, KAL_KW_TO)) {
        statement->kind = KAL_STMT_NOT_BUILT;
        statement->not_built = "SAVEPOINT";
        return kal_parser_skip_rest(p, false);
    }
    return kal_parser_expect_end(p, WORDS);
}

bool kal_parse_explain(kal_parser *p, kal_sql_statement *statement)
{
    kal_bytes next = kal_bytes_of(p->lexer.text + p->next.start, p->next.end - p->next.start);
    if (kal_bytes_equal_nocase(next, KAL_STR("LIVE"))) {
        kal_parser_advance(p);
        kal_parser_advance(p);
        return kal_parse_explain_live(p, statement);
    }
    statement->kind = KAL_STMT_EXPLAIN;
    statement->not_built = "EXPLAIN";
    return kal_parser_skip_rest(p, false);
}

/* --- CREATE, ALTER, DROP --- */

/* [USER|SHARED|STREAM] before TABLE; USER alone begins a user statement and stays. */
static kal_sql_table_type accept_table_type(kal_parser *p)
{
    static const struct {
        kal_sql_keyword keyword;
        kal_sql_table_type type;
    } TYPES[] = {{KAL_KW_USER, KAL_SQL_TABLE_USER},
                 {KAL_KW_SHARED, KAL_SQL_TABLE_SHARED},
                 {KAL_KW_STREAM, KAL_SQL_TABLE_STREAM}};
    for (size_t i = 0; i < KAL_ARRAY_LEN(TYPES); i++) {
        bool before_table = p->next.keyword == KAL_KW_TABLE;
        if (!kal_parser_at_keyword(p, TYPES[i].keyword))
            continue;
        if (TYPES[i].keyword == KAL_KW_USER && !before_table)
            continue;
        kal_parser_advance(p);
        return TYPES[i].type;
    }
    return KAL_SQL_TABLE_UNSPECIFIED;
}

static bool expected_object(kal_parser *p, kal_sql_table_type type, const char *after)
{
    static const char *const WORDS[] = {"NAMESPACE", "USER",  "TABLE", "SHARED",  "STREAM",
                                        "VIEW",      "TOPIC", "INDEX", "STORAGE", NULL};
    char what[96];
    if (type != KAL_SQL_TABLE_UNSPECIFIED)
        return kal_parser_expect_keyword(p, KAL_KW_TABLE, "after the table's type");
    bool is_schema = kal_parser_at_word(p, "SCHEMA") || kal_parser_at_word(p, "DATABASE");
    snprintf(what, sizeof what, "NAMESPACE, USER or TABLE after %s", after);
    kal_parser_expected_words(p, what, WORDS);
    if (is_schema && p->error.hint[0] == '\0')
        kal_error_hint(&p->error, "it is called NAMESPACE here");
    return false;
}

/* Only views are replaced. */
static bool parse_create_or_replace(kal_parser *p, kal_sql_statement *statement)
{
    kal_parser_advance(p);
    if (!kal_parser_at_word(p, "REPLACE"))
        return kal_parser_expected(p, "REPLACE after OR");
    kal_parser_advance(p);
    if (!kal_parser_at_word(p, "VIEW"))
        return kal_parser_expected(p, "VIEW after CREATE OR REPLACE");
    return kal_parse_create_view(p, true, statement);
}

bool kal_parse_create(kal_parser *p, kal_sql_statement *statement)
{
    if (kal_parse_not_built(p, statement))
        return p->status == KAL_OK;
    kal_parser_advance(p);
    if (kal_parser_at_keyword(p, KAL_KW_OR))
        return parse_create_or_replace(p, statement);
    if (kal_parser_at_word(p, "VIEW"))
        return kal_parse_create_view(p, false, statement);
    kal_sql_table_type type = accept_table_type(p);
    if (kal_parser_at_keyword(p, KAL_KW_TABLE))
        return kal_parse_create_table(p, type, statement);
    if (type == KAL_SQL_TABLE_UNSPECIFIED && kal_parser_at_keyword(p, KAL_KW_NAMESPACE))
        return parse_create_namespace(p, statement);
    if (type == KAL_SQL_TABLE_UNSPECIFIED && kal_parser_at_keyword(p, KAL_KW_USER))
        return parse_create_user(p, statement);
    if (type == KAL_SQL_TABLE_UNSPECIFIED && kal_parser_at_keyword(p, KAL_KW_STORAGE))
        return kal_parse_create_storage(p, statement);
    return expected_object(p, type, "CREATE");
}

bool kal_parse_alter(kal_parser *p, kal_sql_statement *statement)
{
    if (kal_parse_not_built(p, statement))
        return p->status == KAL_OK;
    kal_parser_advance(p);
    kal_sql_table_type type = accept_table_type(p);
    if (kal_parser_at_keyword(p, KAL_KW_TABLE))
        return kal_parse_alter_table(p, type, statement);
    if (type == KAL_SQL_TABLE_UNSPECIFIED && kal_parser_at_keyword(p, KAL_KW_NAMESPACE))
        return kal_parse_alter_namespace(p, statement);
    if (type == KAL_SQL_TABLE_UNSPECIFIED && kal_parser_at_keyword(p, KAL_KW_USER))
        return parse_alter_user(p, statement);
    if (type == KAL_SQL_TABLE_UNSPECIFIED && kal_parser_at_keyword(p, KAL_KW_STORAGE))
        return kal_parse_alter_storage(p, statement);
    return expected_object(p, type, "ALTER");
}

bool kal_parse_drop(kal_parser *p, kal_sql_statement *statement)
{
    if (kal_parse_not_built(p, statement))
        return p->status == KAL_OK;
    kal_parser_advance(p);
    if (kal_parser_at_word(p, "VIEW"))
        return kal_parse_drop_view(p, statement);
    kal_sql_table_type type = accept_table_type(p);
    if (kal_parser_at_keyword(p, KAL_KW_TABLE))
        return parse_drop_table(p, type, statement);
    if (type == KAL_SQL_TABLE_UNSPECIFIED && kal_parser_at_keyword(p, KAL_KW_NAMESPACE))
        return parse_drop_namespace(p, statement);
    if (type == KAL_SQL_TABLE_UNSPECIFIED && kal_parser_at_keyword(p, KAL_KW_USER))
        return parse_drop_user(p, statement);
    if (type == KAL_SQL_TABLE_UNSPECIFIED && kal_parser_at_keyword(p, KAL_KW_STORAGE))
        return kal_parse_drop_storage(p, statement);
    return expected_object(p, type, "DROP");
}

/* --- known, not built --- */

/* The first words, which are also what the refusal calls it; of two with the same beginning the
 * longer comes first. */
static const char *const NOT_BUILT[] = {
    "CREATE TEMPORARY TABLE",
    "CREATE TEMP TABLE",
    "CREATE TOPIC",
    "CREATE UNIQUE INDEX",
    "CREATE VECTOR INDEX",
    "CREATE INDEX",
    "CREATE FUNCTION",
    "CREATE MACRO",
    "CREATE ROLE",
    "CREATE SECRET",
    "CREATE SEQUENCE",
    "CREATE TRIGGER",
    "CREATE TYPE",
    "ALTER VIEW",
    "ALTER TOPIC",
    "DROP TOPIC",
    "DROP INDEX",
    "CLEAR TOPIC",
    "SHOW COLUMNS",
    "SHOW TOPICS",
    "SHOW VIEWS",
    "SHOW USERS",
    "SHOW ALL",
    "IMPORT",
    "EXECUTE AS USER",
    "EXECUTE",
    "CONSUME",
    "ACK",
    "CLUSTER",
    "TRUNCATE",
    "ANALYZE",
    "ATTACH",
    "CALL",
    "CHECKPOINT",
    "COPY",
    "DEALLOCATE",
    "DETACH",
    "GRANT",
    "INSTALL",
    "LOAD",
    "LOCK",
    "MERGE",
    "PIVOT",
    "PRAGMA",
    "PREPARE",
    "RELEASE",
    "RESET",
    "REVOKE",
    "SAVEPOINT",
    "SET",
    "SUMMARIZE",
    "UNPIVOT",
    "VACUUM",
};

/* The text's words from the current token on are those of `words`. */
static bool begins_with(const kal_parser *p, const char *words)
{
    kal_sql_lexer ahead = kal_parser_look_ahead(p);
    kal_sql_token token = p->token;
    while (*words != '\0') {
        size_t len = strcspn(words, " ");
        kal_bytes word = kal_bytes_of(ahead.text + token.start, token.end - token.start);
        if (token.kind != KAL_TOKEN_WORD || !kal_bytes_equal_nocase(word, kal_bytes_of(words, len)))
            return false;
        words += len + (words[len] == ' ');
        token = kal_sql_lexer_next(&ahead);
    }
    return true;
}

bool kal_parse_not_built(kal_parser *p, kal_sql_statement *statement)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(NOT_BUILT); i++) {
        if (!begins_with(p, NOT_BUILT[i]))
            continue;
        statement->kind = KAL_STMT_NOT_BUILT;
        statement->not_built = NOT_BUILT[i];
        kal_parser_skip_rest(p, true);
        return true;
    }
    return false;
}

/* The words of an id without quotes: FL-a53f2c81d00e4 is a word, a minus and a word; a live query's
 * may begin with digits. */
static void parse_bare_id(kal_parser *p, bool is_live, const char *what, kal_sql_kill_job *kill)
{
    uint32_t start = p->token.start;
    bool digits = kal_parser_at(p, KAL_TOKEN_NUMBER) || kal_parser_at(p, KAL_TOKEN_SUFFIXED);

    if (!kal_parser_at(p, KAL_TOKEN_WORD) && !(is_live && digits)) {
        (void)kal_parser_expected(p, what);
        return;
    }
    if (!kal_parser_skip_rest(p, false))
        return;
    kill->id = kal_bytes_of(p->lexer.text + start, p->last_end - start);
}

/* KILL JOB id | KILL LIVE QUERY id */
bool kal_parse_kill(kal_parser *p, kal_sql_statement *statement)
{
    bool is_live = begins_with(p, "KILL LIVE QUERY");
    const char *what = is_live ? "the id of a live query" : "the job_id of a job";

    if (!is_live && !begins_with(p, "KILL JOB"))
        return false;
    for (int words = is_live ? 3 : 2; words > 0; words--)
        kal_parser_advance(p);
    statement->kind = is_live ? KAL_STMT_KILL_LIVE_QUERY : KAL_STMT_KILL_JOB;
    statement->kill_job.position = kal_parser_position(p, p->token.start);
    if (!kal_parser_at(p, KAL_TOKEN_STRING))
        parse_bare_id(p, is_live, what, &statement->kill_job);
    else
        (void)(kal_parser_string(p, what, &statement->kill_job.id) &&
               kal_parser_expect_end(p, NULL)); /* what is wrong is in p */
    return true;
}
