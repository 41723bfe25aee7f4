/*
 * parser_table.c: CREATE TABLE in both spellings, clauses and WITH (...). Clauses are turned into
 * the options of the WITH form, so that nobody behind the parser knows there were two.
 */
#include "base/assert.h"
#include "sql/parser_internal.h"

#include <stdio.h>

typedef KAL_VEC(kal_sql_option) option_vec;
typedef KAL_VEC(kal_sql_column_def) column_vec;

/* --- columns --- */

static const char *const COLUMN_WORDS[] = {"NOT",     "NULL",           "PRIMARY", "DEFAULT",
                                           "COMMENT", "AUTO_INCREMENT", NULL};

static bool refuse_unenforced(kal_parser *p, const char *what, const kal_sql_name *column)
{
    uint32_t position = kal_parser_position(p, p->token.start);
    if (column != NULL)
        return kal_parser_fail(p, KAL_UNSUPPORTED, position,
                               "%s on column '%.*s' is refused: it would not be enforced", what,
                               KAL_PARSER_SHOWN(column->text));
    return kal_parser_fail(p, KAL_UNSUPPORTED, position,
                           "%s constraint is refused: it would not be enforced", what);
}

static bool given_twice(kal_parser *p, const char *what, const kal_sql_column_def *column)
{
    return kal_parser_fail(p, KAL_SYNTAX, kal_parser_position(p, p->token.start),
                           "%s is given twice for column '%.*s'", what,
                           KAL_PARSER_SHOWN(column->name.text));
}

static bool parse_nullable(kal_parser *p, kal_sql_column_def *column, bool not_null)
{
    if (column->nullable_given && column->not_null != not_null)
        return kal_parser_fail(p, KAL_SYNTAX, kal_parser_position(p, p->token.start),
                               "column '%.*s' is both NULL and NOT NULL",
                               KAL_PARSER_SHOWN(column->name.text));
    if (column->nullable_given)
        return given_twice(p, not_null ? "NOT NULL" : "NULL", column);
    column->nullable_given = true;
    column->not_null = not_null;
    kal_parser_advance(p);
    return !not_null || kal_parser_expect_keyword(p, KAL_KW_NULL, "after NOT");
}

static bool parse_column_primary_key(kal_parser *p, kal_sql_column_def *column)
{
    if (column->primary_key)
        return given_twice(p, "PRIMARY KEY", column);
    column->primary_key = true;
    kal_parser_advance(p);
    return kal_parser_expect_keyword(p, KAL_KW_KEY, "after PRIMARY");
}

static bool parse_column_default(kal_parser *p, kal_sql_column_def *column)
{
    if (column->default_value != NULL)
        return given_twice(p, "DEFAULT", column);
    kal_parser_advance(p);
    column->default_value = kal_parse_default(p, &column->name);
    return column->default_value != NULL;
}

static bool parse_column_comment(kal_parser *p, kal_sql_column_def *column)
{
    if (column->has_comment)
        return given_twice(p, "COMMENT", column);
    column->has_comment = true;
    kal_parser_advance(p);
    return kal_parser_string(p, "a string after COMMENT", &column->comment);
}

/* One constraint; *more_out is false when the column is over. */
static bool parse_column_constraint(kal_parser *p, kal_sql_column_def *column, bool *more_out)
{
    *more_out = true;
    switch (p->token.keyword) {
    case KAL_KW_NOT:
        return parse_nullable(p, column, true);
    case KAL_KW_NULL:
        return parse_nullable(p, column, false);
    case KAL_KW_PRIMARY:
        return parse_column_primary_key(p, column);
    case KAL_KW_DEFAULT:
        return parse_column_default(p, column);
    case KAL_KW_COMMENT:
        return parse_column_comment(p, column);
    case KAL_KW_AUTO_INCREMENT:
    case KAL_KW_AUTOINCREMENT:
        if (column->auto_increment)
            return given_twice(p, "AUTO_INCREMENT", column);
        column->auto_increment = true;
        kal_parser_advance(p);
        return p->status == KAL_OK;
    case KAL_KW_UNIQUE:
        return refuse_unenforced(p, "UNIQUE", &column->name);
    case KAL_KW_CHECK:
        return refuse_unenforced(p, "CHECK", &column->name);
    case KAL_KW_REFERENCES:
        return refuse_unenforced(p, "REFERENCES", &column->name);
    case KAL_KW_GENERATED:
    case KAL_KW_COLLATE:
    case KAL_KW_CONSTRAINT:
        return kal_parser_fail(p, KAL_UNSUPPORTED, kal_parser_position(p, p->token.start),
                               "%s on column '%.*s' is not supported",
                               kal_sql_keyword_name(p->token.keyword),
                               KAL_PARSER_SHOWN(column->name.text));
    default:
        *more_out = false;
        return p->status == KAL_OK;
    }
}

static bool near_column_word(kal_bytes word)
{
    for (const char *const *known = COLUMN_WORDS; *known != NULL; known++)
        if (kal_edit_distance(word, kal_cstr(*known)) <= 2)
            return true;
    return false;
}

/* A word that belongs neither to the type nor to the constraints: a slip, or a longer type that we
 * do not have, whose error then lists those we do. */
static bool parse_column_end(kal_parser *p, const kal_sql_column_def *column)
{
    char what[128];
    kal_bytes word = kal_bytes_of(p->lexer.text + p->token.start, p->token.end - p->token.start);
    if (kal_parser_at(p, KAL_TOKEN_COMMA) || kal_parser_at(p, KAL_TOKEN_RIGHT))
        return true;
    if (kal_parser_at(p, KAL_TOKEN_LEFT_BRACKET)) {
        kal_parser_fail(p, KAL_UNSUPPORTED, kal_parser_position(p, p->token.start),
                        "column '%.*s' has an array type, which tables cannot hold",
                        KAL_PARSER_SHOWN(column->name.text));
        kal_error_hint(&p->error, "use %s(n) for vectors, %s for other lists",
                       kal_type_base_name(KAL_TYPE_EMBEDDING), kal_type_base_name(KAL_TYPE_JSON));
        return false;
    }
    bool only_type = !column->nullable_given && !column->primary_key && !column->has_comment &&
                     column->default_value == NULL && column->type.arg_count == 0;
    if (only_type && kal_parser_at(p, KAL_TOKEN_WORD) && !near_column_word(word)) {
        kal_error error = KAL_ERROR_INIT;
        kal_type ignored;
        char name[160];
        int len = snprintf(name, sizeof name, "%.*s %.*s", KAL_FMT(column->type.name),
                           KAL_PARSER_SHOWN(word));
        if (len < (int)sizeof name &&
            kal_type_from_sql(kal_cstr(name), NULL, 0, &ignored, NULL, &error) != KAL_OK) {
            kal_parser_fail(p, KAL_SYNTAX, column->type.position, "%s", error.message);
            if (error.hint[0] != '\0')
                kal_error_hint(&p->error, "%s", error.hint);
            return false;
        }
    }
    snprintf(what, sizeof what, "',' or ')' after column '%.*s'",
             KAL_PARSER_SHOWN(column->name.text));
    return kal_parser_expected_words(p, what, COLUMN_WORDS);
}

bool kal_parse_column_type(kal_parser *p, kal_sql_type *type_out)
{
    p->column_type = true;
    bool has_type = kal_parse_type(p, type_out);
    p->column_type = false;
    return has_type;
}

bool kal_parse_column_def(kal_parser *p, kal_sql_column_def *column)
{
    bool more = true;
    if (!kal_parser_name(p, "a column name", &column->name))
        return false;
    if (!kal_parser_at(p, KAL_TOKEN_WORD)) {
        char what[128];
        snprintf(what, sizeof what, "the type of column '%.*s'",
                 KAL_PARSER_SHOWN(column->name.text));
        return kal_parser_expected(p, what);
    }
    if (!kal_parse_column_type(p, &column->type))
        return false;
    while (more)
        if (!parse_column_constraint(p, column, &more))
            return false;
    return true;
}

static bool parse_column(kal_parser *p, kal_sql_column_def *column)
{
    return kal_parse_column_def(p, column) && parse_column_end(p, column);
}

/* --- table constraints --- */

static bool fail_second_key(kal_parser *p, uint32_t position)
{
    kal_parser_fail(p, KAL_SYNTAX, position, "a table has one PRIMARY KEY");
    kal_error_hint(&p->error, "for a key of several columns write PRIMARY KEY (a, b)");
    return false;
}

/* [CONSTRAINT n] PRIMARY KEY (a, b) */
static bool parse_table_constraint(kal_parser *p, kal_sql_create_table *table)
{
    kal_sql_name ignored = {0};
    uint32_t position = kal_parser_position(p, p->token.start);
    if (kal_parser_accept_keyword(p, KAL_KW_CONSTRAINT)) {
        if (!kal_parser_name(p, "a name after CONSTRAINT", &ignored))
            return false;
        position = kal_parser_position(p, p->token.start);
    }
    switch (p->token.keyword) {
    case KAL_KW_UNIQUE:
        return refuse_unenforced(p, "a UNIQUE", NULL);
    case KAL_KW_CHECK:
        return refuse_unenforced(p, "a CHECK", NULL);
    case KAL_KW_FOREIGN:
        return refuse_unenforced(p, "a FOREIGN KEY", NULL);
    default:
        break;
    }
    if (!kal_parser_expect_keyword(p, KAL_KW_PRIMARY, "after CONSTRAINT") ||
        !kal_parser_expect_keyword(p, KAL_KW_KEY, "after PRIMARY"))
        return false;
    if (table->primary_key.count > 0)
        return fail_second_key(p, position);
    table->primary_key_position = position;
    return kal_parser_name_list(p, "a column name of the primary key", &table->primary_key);
}

static bool at_table_constraint(const kal_parser *p)
{
    switch (p->token.keyword) {
    case KAL_KW_PRIMARY:
    case KAL_KW_CONSTRAINT:
    case KAL_KW_UNIQUE:
    case KAL_KW_CHECK:
    case KAL_KW_FOREIGN:
        return true;
    default:
        return false;
    }
}

static bool check_one_key(kal_parser *p, const kal_sql_create_table *table)
{
    bool seen = table->primary_key.count > 0;
    for (size_t i = 0; i < table->column_count; i++) {
        if (!table->columns[i].primary_key)
            continue;
        if (seen)
            return fail_second_key(p, table->columns[i].name.position);
        seen = true;
    }
    return true;
}

static bool parse_elements(kal_parser *p, kal_sql_create_table *table)
{
    column_vec columns = {0};
    if (!kal_parser_expect(p, KAL_TOKEN_LEFT, "'(' before the columns"))
        return false;
    do {
        if (at_table_constraint(p)) {
            if (!parse_table_constraint(p, table))
                return false;
            continue;
        }
        kal_sql_column_def column = {0};
        if (!parse_column(p, &column))
            return false;
        if (!kal_vec_try_push_in(p->arena, &columns, column))
            return kal_parser_fail_memory(p);
    } while (kal_parser_accept(p, KAL_TOKEN_COMMA));
    table->columns = columns.items;
    table->column_count = columns.len;
    if (!kal_parser_expect(p, KAL_TOKEN_RIGHT, "',' or ')' in the list of columns"))
        return false;
    if (columns.len == 0)
        return kal_parser_fail(p, KAL_SYNTAX, table->primary_key_position,
                               "a table needs at least one column");
    return check_one_key(p, table);
}

/* --- options --- */

/* Far more than there are, and few enough to look for one given twice. */
enum { OPTIONS_MAX = 64 };

static bool add_option(kal_parser *p, option_vec *options, kal_sql_option option)
{
    if (options->len == OPTIONS_MAX)
        return kal_parser_fail(p, KAL_LIMIT, option.position, "more than %d options", OPTIONS_MAX);
    for (size_t i = 0; i < options->len; i++)
        if (kal_bytes_equal(options->items[i].name, option.name))
            return kal_parser_fail(p, KAL_SYNTAX, option.position, "option '%.*s' is given twice",
                                   KAL_PARSER_SHOWN(option.name));
    return kal_vec_try_push_in(p->arena, options, option) || kal_parser_fail_memory(p);
}

static bool read_integer(kal_bytes text, int64_t *value_out)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    int64_t value = 0;
    for (size_t i = negative; i < text.len; i++) {
        int64_t digit = text.ptr[i] - '0';
        if (!kal_try_mul(value, 10, &value) ||
            !(negative ? kal_try_sub(value, digit, &value) : kal_try_add(value, digit, &value)))
            return false;
    }
    *value_out = value;
    return true;
}

static bool parse_option_number(kal_parser *p, kal_sql_option *option)
{
    uint32_t start = p->token.start;
    bool negative = kal_parser_accept(p, KAL_TOKEN_MINUS);
    if (!kal_parser_at(p, KAL_TOKEN_NUMBER))
        return kal_parser_expected(p, "a number");
    bool is_integer = p->token.is_integer;
    if (negative && p->token.start != start + 1)
        return kal_parser_expected(p, "a number directly after '-'");
    option->text = kal_bytes_of(p->lexer.text + start, p->token.end - start);
    option->kind = is_integer && read_integer(option->text, &option->integer)
                       ? KAL_SQL_OPTION_INTEGER
                       : KAL_SQL_OPTION_NUMBER;
    kal_parser_advance(p);
    return p->status == KAL_OK;
}

/* A string, number, TRUE, FALSE, NULL or word. */
bool kal_parse_option_value(kal_parser *p, kal_sql_option *option)
{
    option->value_position = kal_parser_position(p, p->token.start);
    if (kal_parser_at(p, KAL_TOKEN_NUMBER) || kal_parser_at(p, KAL_TOKEN_MINUS))
        return parse_option_number(p, option);
    if (kal_parser_at(p, KAL_TOKEN_STRING)) {
        option->kind = KAL_SQL_OPTION_STRING;
    } else if (kal_parser_at_keyword(p, KAL_KW_TRUE) || kal_parser_at_keyword(p, KAL_KW_FALSE)) {
        option->kind = KAL_SQL_OPTION_BOOLEAN;
        option->boolean = kal_parser_at_keyword(p, KAL_KW_TRUE);
    } else if (kal_parser_at_keyword(p, KAL_KW_NULL)) {
        option->kind = KAL_SQL_OPTION_NULL;
    } else if (kal_parser_at(p, KAL_TOKEN_WORD)) {
        option->kind = KAL_SQL_OPTION_WORD;
    } else {
        char what[128];
        snprintf(what, sizeof what, "a value for option '%.*s'", KAL_PARSER_SHOWN(option->name));
        return kal_parser_expected(p, what);
    }
    if (!kal_parser_token_value(p, &option->text))
        return false;
    kal_parser_advance(p);
    return p->status == KAL_OK;
}

/* ( name = value, ... ) */
static bool parse_option_list(kal_parser *p, option_vec *options)
{
    if (!kal_parser_expect(p, KAL_TOKEN_LEFT, "'(' before the options"))
        return false;
    do {
        kal_sql_option option = {.position = kal_parser_position(p, p->token.start)};
        if (!kal_parser_at(p, KAL_TOKEN_WORD))
            return kal_parser_expected(p, "the name of an option");
        if (!kal_parser_token_value(p, &option.name))
            return false;
        kal_parser_advance(p);
        if (!kal_parser_expect(p, KAL_TOKEN_EQ, "'=' after the name of the option") ||
            !kal_parse_option_value(p, &option) || !add_option(p, options, option))
            return false;
    } while (kal_parser_accept(p, KAL_TOKEN_COMMA));
    return kal_parser_expect(p, KAL_TOKEN_RIGHT, "',' or ')' in the list of options");
}

static bool parse_with(kal_parser *p, option_vec *options)
{
    kal_parser_advance(p);
    if (!kal_parser_at(p, KAL_TOKEN_LEFT))
        return kal_parser_expected(p, "'(' after WITH");
    return parse_option_list(p, options);
}

bool kal_parse_options(kal_parser *p, kal_sql_option **options_out, size_t *count_out)
{
    option_vec options = {0};
    if (!parse_option_list(p, &options))
        return false;
    *options_out = options.items;
    *count_out = options.len;
    return true;
}

/* A clause of the form WORD value, under the name of the WITH form. */
static bool parse_clause(kal_parser *p, const char *name, option_vec *options)
{
    kal_sql_option option = {.name = kal_cstr(name),
                             .position = kal_parser_position(p, p->token.start)};
    kal_parser_advance(p);
    return kal_parse_option_value(p, &option) && add_option(p, options, option);
}

/* A clause that may stand alone, meaning TRUE. */
static bool parse_flag_clause(kal_parser *p, const char *name, option_vec *options)
{
    kal_sql_option option = {.name = kal_cstr(name),
                             .kind = KAL_SQL_OPTION_BOOLEAN,
                             .boolean = true,
                             .text = KAL_STR("true"),
                             .position = kal_parser_position(p, p->token.start)};
    option.value_position = option.position;
    kal_parser_advance(p);
    bool has_value = kal_parser_at(p, KAL_TOKEN_STRING) || kal_parser_at_keyword(p, KAL_KW_TRUE) ||
                     kal_parser_at_keyword(p, KAL_KW_FALSE);
    if (has_value && !kal_parse_option_value(p, &option))
        return false;
    return p->status == KAL_OK && add_option(p, options, option);
}

/* --- FLUSH: every spelling becomes 'rows:N', 'interval:N' or 'rows:N,interval:M' --- */

typedef struct flush_policy {
    kal_bytes rows;     /* digits; empty when not given */
    kal_bytes interval; /* seconds */
} flush_policy;

/* digits, with an s behind them when seconds are meant (300, 300s, 300 s) */
static bool parse_count(kal_parser *p, const char *what, bool seconds, kal_bytes *digits_out)
{
    kal_bytes text = kal_bytes_of(p->lexer.text + p->token.start, p->token.end - p->token.start);
    if (digits_out->len > 0)
        return kal_parser_expected(p, "one row count and one interval after FLUSH");
    if (seconds && kal_parser_at(p, KAL_TOKEN_SUFFIXED) && (text.ptr[text.len - 1] | 0x20) == 's') {
        text.len--;
        for (size_t i = 0; i < text.len; i++)
            if (text.ptr[i] < '0' || text.ptr[i] > '9')
                return kal_parser_expected(p, what);
    } else if (!kal_parser_at(p, KAL_TOKEN_NUMBER) || !p->token.is_integer) {
        return kal_parser_expected(p, what);
    }
    if (text.len > 18)
        return kal_parser_expected(p, what);
    *digits_out = text;
    kal_parser_advance(p);
    if (seconds && kal_parser_at_word(p, "s"))
        kal_parser_advance(p);
    return p->status == KAL_OK;
}

/* ROW_THRESHOLD n, ROW_LIMIT n, ROWS n, INTERVAL n[s], TIME_INTERVAL n, SECONDS n; none: false in
 * *found_out */
static bool parse_flush_part(kal_parser *p, flush_policy *policy, bool *found_out)
{
    *found_out = true;
    switch (p->token.keyword) {
    case KAL_KW_ROW_THRESHOLD:
    case KAL_KW_ROW_LIMIT:
    case KAL_KW_ROWS:
        kal_parser_advance(p);
        return parse_count(p, "a number of rows", false, &policy->rows);
    case KAL_KW_INTERVAL:
    case KAL_KW_TIME_INTERVAL:
    case KAL_KW_SECONDS:
        kal_parser_advance(p);
        return parse_count(p, "a number of seconds, such as 300s", true, &policy->interval);
    default:
        *found_out = false;
        return p->status == KAL_OK;
    }
}

static bool parse_flush(kal_parser *p, option_vec *options)
{
    static const char *const WORDS[] = {"ROW_THRESHOLD", "INTERVAL", "ROWS",
                                        "SECONDS",       "POLICY",   NULL};
    kal_sql_option option = {.name = KAL_STR("flush_policy"),
                             .kind = KAL_SQL_OPTION_STRING,
                             .position = kal_parser_position(p, p->token.start)};
    flush_policy policy = {0};
    bool found = false;
    char text[64];
    kal_parser_advance(p);
    if (kal_parser_accept_keyword(p, KAL_KW_POLICY))
        kal_parser_accept_keyword(p, KAL_KW_COMBINED);
    option.value_position = kal_parser_position(p, p->token.start);
    do {
        if (!parse_flush_part(p, &policy, &found))
            return false;
    } while (found);
    if (policy.rows.len > 0 && policy.interval.len > 0)
        snprintf(text, sizeof text, "rows:%.*s,interval:%.*s", KAL_FMT(policy.rows),
                 KAL_FMT(policy.interval));
    else if (policy.rows.len > 0)
        snprintf(text, sizeof text, "rows:%.*s", KAL_FMT(policy.rows));
    else if (policy.interval.len > 0)
        snprintf(text, sizeof text, "interval:%.*s", KAL_FMT(policy.interval));
    else
        return kal_parser_expected_words(p, "ROW_THRESHOLD n or INTERVAL n after FLUSH", WORDS);
    if (!kal_arena_try_copy(p->arena, kal_cstr(text), &option.text))
        return kal_parser_fail_memory(p);
    return add_option(p, options, option);
}

/* --- what follows the columns --- */

static const char *const TABLE_WORDS[] = {"WITH",
                                          "PARTITION",
                                          "COMMENT",
                                          "STORAGE",
                                          "USE_USER_STORAGE",
                                          "FLUSH",
                                          "TTL",
                                          "ACCESS",
                                          "TABLE_TYPE",
                                          "RETENTION",
                                          "EPHEMERAL",
                                          "MAX_BUFFER",
                                          "DELETED_RETENTION_HOURS",
                                          NULL};

static bool parse_partition_by(kal_parser *p, kal_sql_create_table *table)
{
    if (table->partition_by.count > 0)
        return kal_parser_fail(p, KAL_SYNTAX, kal_parser_position(p, p->token.start),
                               "PARTITION BY is given twice");
    kal_parser_advance(p);
    return kal_parser_expect_keyword(p, KAL_KW_BY, "after PARTITION") &&
           kal_parser_name_list(p, "a column name of PARTITION BY", &table->partition_by);
}

static bool parse_table_comment(kal_parser *p, kal_sql_create_table *table)
{
    if (table->has_comment)
        return kal_parser_fail(p, KAL_SYNTAX, kal_parser_position(p, p->token.start),
                               "COMMENT is given twice for the table");
    kal_parser_advance(p);
    kal_parser_accept(p, KAL_TOKEN_EQ);
    table->has_comment = true;
    return kal_parser_string(p, "a string after COMMENT", &table->comment);
}

static bool parse_table_part(kal_parser *p, kal_sql_create_table *table, option_vec *options)
{
    switch (p->token.keyword) {
    case KAL_KW_WITH:
        return parse_with(p, options);
    case KAL_KW_PARTITION:
        return parse_partition_by(p, table);
    case KAL_KW_COMMENT:
        return parse_table_comment(p, table);
    case KAL_KW_STORAGE:
        return parse_clause(p, "storage_id", options);
    case KAL_KW_USE_USER_STORAGE:
        return parse_flag_clause(p, "use_user_storage", options);
    case KAL_KW_FLUSH:
        return parse_flush(p, options);
    case KAL_KW_TTL:
        return parse_clause(p, "ttl_seconds", options);
    case KAL_KW_ACCESS:
        kal_parser_advance(p);
        if (!kal_parser_at_keyword(p, KAL_KW_LEVEL))
            return kal_parser_expect_keyword(p, KAL_KW_LEVEL, "after ACCESS");
        return parse_clause(p, "access_level", options);
    case KAL_KW_TABLE_TYPE:
        return parse_clause(p, "type", options);
    case KAL_KW_RETENTION:
        return parse_clause(p, "retention", options);
    case KAL_KW_EPHEMERAL:
        return parse_flag_clause(p, "ephemeral", options);
    case KAL_KW_MAX_BUFFER:
        return parse_clause(p, "max_buffer", options);
    case KAL_KW_DELETED_RETENTION_HOURS:
        return parse_clause(p, "deleted_retention_hours", options);
    default:
        return kal_parser_expected_words(p, "a table option or the end of the statement",
                                         TABLE_WORDS);
    }
}

bool kal_parse_create_table(kal_parser *p, kal_sql_table_type type, kal_sql_statement *statement)
{
    kal_sql_create_table *table = &statement->create_table;
    option_vec options = {0};
    statement->kind = KAL_STMT_CREATE_TABLE;
    table->table_type = type;
    kal_parser_advance(p);
    if (!kal_parser_if_not_exists(p, &table->if_not_exists) ||
        !kal_parser_object(p, "a table name after CREATE TABLE", &table->table))
        return false;
    if (kal_parser_at_keyword(p, KAL_KW_AS)) {
        kal_parser_fail(p, KAL_UNSUPPORTED, kal_parser_position(p, p->token.start),
                        "CREATE TABLE ... AS is not available in this version");
        kal_error_hint(&p->error, "create the table, then INSERT INTO it ... SELECT");
        return false;
    }
    if (!parse_elements(p, table))
        return false;
    while (p->status == KAL_OK && !kal_parser_at(p, KAL_TOKEN_END))
        if (!parse_table_part(p, table, &options))
            return false;
    table->options = options.items;
    table->option_count = options.len;
    return p->status == KAL_OK;
}
