/*
 * parser_alter.c: ALTER TABLE with its actions, and COMMENT ON. Every spelling of an action becomes
 * the same few steps, so that nobody behind the parser knows there were several.
 */
#include "base/assert.h"
#include "sql/parser_internal.h"

typedef KAL_VEC(kal_sql_alter) alter_vec;

/* Far more than columns and options together. */
enum { STEPS_MAX = 4096 };

static const char *const ACTIONS[] = {"ADD",   "DROP", "RENAME",  "MODIFY",
                                      "ALTER", "SET",  "COMMENT", NULL};

static bool accept_word(kal_parser *p, const char *word)
{
    if (!kal_parser_at_word(p, word))
        return false;
    kal_parser_advance(p);
    return true;
}

static uint32_t here(const kal_parser *p)
{
    return kal_parser_position(p, p->token.start);
}

static bool add_step(kal_parser *p, alter_vec *steps, kal_sql_alter step)
{
    if (steps->len == STEPS_MAX)
        return kal_parser_fail(p, KAL_LIMIT, step.position, "more than %d changes in one statement",
                               STEPS_MAX);
    return kal_vec_try_push_in(p->arena, steps, step) || kal_parser_fail_memory(p);
}

static bool refuse(kal_parser *p, uint32_t position, const char *what)
{
    return kal_parser_fail(p, KAL_UNSUPPORTED, position, "%s is not available in this version",
                           what);
}

/* What an existing table cannot take on. */
static bool check_later_column(kal_parser *p, const kal_sql_column_def *column)
{
    if (!column->primary_key)
        return true;
    return kal_parser_fail(p, KAL_INVALID, column->name.position,
                           "column '%.*s' cannot join the primary key of an existing table",
                           KAL_PARSER_SHOWN(column->name.text));
}

/* --- ADD, DROP, RENAME --- */

static bool parse_add(kal_parser *p, alter_vec *steps)
{
    kal_sql_alter step = {.kind = KAL_SQL_ALTER_ADD, .position = here(p)};
    kal_parser_advance(p);
    if (kal_parser_at_keyword(p, KAL_KW_CONSTRAINT) || kal_parser_at_keyword(p, KAL_KW_PRIMARY) ||
        kal_parser_at_keyword(p, KAL_KW_UNIQUE) || kal_parser_at_keyword(p, KAL_KW_CHECK) ||
        kal_parser_at_keyword(p, KAL_KW_FOREIGN))
        return refuse(p, step.position, "ADD of a constraint");
    kal_parser_accept_keyword(p, KAL_KW_COLUMN);
    if (!kal_parser_if_not_exists(p, &step.if_exists))
        return false;
    step.position = here(p);
    if (!kal_parse_column_def(p, &step.def) || !check_later_column(p, &step.def))
        return false;
    step.column = step.def.name;
    return add_step(p, steps, step);
}

static bool parse_drop(kal_parser *p, alter_vec *steps)
{
    kal_sql_alter step = {.kind = KAL_SQL_ALTER_DROP, .position = here(p)};
    kal_parser_advance(p);
    if (kal_parser_at_word(p, "INDEX") || kal_parser_at_word(p, "VECTOR"))
        return refuse(p, step.position, "DROP INDEX");
    if (kal_parser_at_keyword(p, KAL_KW_CONSTRAINT) || kal_parser_at_keyword(p, KAL_KW_PRIMARY))
        return refuse(p, step.position, "DROP of a constraint");
    kal_parser_accept_keyword(p, KAL_KW_COLUMN);
    if (!kal_parser_if_exists(p, &step.if_exists))
        return false;
    step.position = here(p);
    return kal_parser_name(p, "a column name after DROP COLUMN", &step.column) &&
           add_step(p, steps, step);
}

/* RENAME TO t | RENAME [COLUMN] [IF EXISTS] a TO b */
static bool parse_rename(kal_parser *p, alter_vec *steps)
{
    kal_sql_alter step = {.kind = KAL_SQL_ALTER_RENAME_TABLE, .position = here(p)};
    kal_parser_advance(p);
    if (kal_parser_accept_keyword(p, KAL_KW_TO)) {
        step.position = here(p);
        if (!kal_parser_name(p, "the table's new name after RENAME TO", &step.new_name))
            return false;
        if (kal_parser_at(p, KAL_TOKEN_DOT))
            return kal_parser_fail(
                p, KAL_UNSUPPORTED, step.position,
                "a table cannot move to another namespace: its new name is given "
                "without one");
        return add_step(p, steps, step);
    }
    step.kind = KAL_SQL_ALTER_RENAME_COLUMN;
    kal_parser_accept_keyword(p, KAL_KW_COLUMN);
    if (!kal_parser_if_exists(p, &step.if_exists))
        return false;
    step.position = here(p);
    return kal_parser_name(p, "TO or a column name after RENAME", &step.column) &&
           kal_parser_expect_keyword(p, KAL_KW_TO, "after the column's name") &&
           kal_parser_name(p, "the column's new name", &step.new_name) && add_step(p, steps, step);
}

/* --- MODIFY: the whole column again; what is not said stays --- */

static bool parse_modify(kal_parser *p, alter_vec *steps)
{
    kal_sql_alter step = {.kind = KAL_SQL_ALTER_SET_TYPE};
    kal_sql_column_def def = {0};
    kal_parser_advance(p);
    kal_parser_accept_keyword(p, KAL_KW_COLUMN);
    if (!kal_parser_if_exists(p, &step.if_exists))
        return false;
    step.position = here(p);
    if (!kal_parse_column_def(p, &def) || !check_later_column(p, &def))
        return false;
    if (def.auto_increment || def.type.serial)
        return kal_parser_fail(p, KAL_UNSUPPORTED, step.position,
                               "a column cannot become AUTO_INCREMENT: set its default");
    step.column = def.name;
    step.type = def.type;
    if (!add_step(p, steps, step))
        return false;
    if (def.default_value != NULL) {
        step.kind = KAL_SQL_ALTER_SET_DEFAULT;
        step.default_value = def.default_value;
        if (!add_step(p, steps, step))
            return false;
    }
    if (def.nullable_given) {
        step.kind = def.not_null ? KAL_SQL_ALTER_SET_NOT_NULL : KAL_SQL_ALTER_DROP_NOT_NULL;
        if (!add_step(p, steps, step))
            return false;
    }
    step.kind = KAL_SQL_ALTER_COMMENT_COLUMN;
    step.comment = def.comment;
    return !def.has_comment || add_step(p, steps, step);
}

/* --- ALTER [COLUMN] c ... --- */

static bool parse_set_default(kal_parser *p, kal_sql_alter *step)
{
    step->kind = KAL_SQL_ALTER_SET_DEFAULT;
    kal_parser_advance(p);
    step->default_value = kal_parse_default(p, &step->column);
    return step->default_value != NULL;
}

static bool parse_alter_set(kal_parser *p, kal_sql_alter *step)
{
    static const char *const WORDS[] = {"NOT", "DEFAULT", "DATA", "TYPE", NULL};
    if (kal_parser_at_keyword(p, KAL_KW_DEFAULT))
        return parse_set_default(p, step);
    if (kal_parser_accept_keyword(p, KAL_KW_NOT)) {
        step->kind = KAL_SQL_ALTER_SET_NOT_NULL;
        return kal_parser_expect_keyword(p, KAL_KW_NULL, "after NOT");
    }
    accept_word(p, "DATA");
    if (!accept_word(p, "TYPE"))
        return kal_parser_expected_words(p, "NOT NULL, DEFAULT or DATA TYPE after SET", WORDS);
    step->kind = KAL_SQL_ALTER_SET_TYPE;
    return kal_parse_column_type(p, &step->type);
}

static bool parse_alter_drop(kal_parser *p, kal_sql_alter *step)
{
    static const char *const WORDS[] = {"NOT", "DEFAULT", NULL};
    if (kal_parser_accept_keyword(p, KAL_KW_DEFAULT)) {
        step->kind = KAL_SQL_ALTER_SET_DEFAULT; /* without a value */
        return true;
    }
    if (!kal_parser_accept_keyword(p, KAL_KW_NOT))
        return kal_parser_expected_words(p, "NOT NULL or DEFAULT after DROP", WORDS);
    step->kind = KAL_SQL_ALTER_DROP_NOT_NULL;
    return kal_parser_expect_keyword(p, KAL_KW_NULL, "after NOT");
}

static bool parse_comment_text(kal_parser *p, kal_sql_alter *step)
{
    if (kal_parser_accept_keyword(p, KAL_KW_NULL))
        return true;
    return kal_parser_string(p, "a string or NULL as the comment", &step->comment);
}

static bool parse_alter_column(kal_parser *p, alter_vec *steps)
{
    static const char *const WORDS[] = {"SET", "DROP", "TYPE", "COMMENT", NULL};
    kal_sql_alter step = {0};
    bool parsed = false;
    kal_parser_advance(p);
    kal_parser_accept_keyword(p, KAL_KW_COLUMN);
    if (!kal_parser_if_exists(p, &step.if_exists))
        return false;
    step.position = here(p);
    if (!kal_parser_name(p, "a column name after ALTER COLUMN", &step.column))
        return false;
    if (kal_parser_accept_keyword(p, KAL_KW_SET)) {
        parsed = parse_alter_set(p, &step);
    } else if (kal_parser_accept_keyword(p, KAL_KW_DROP)) {
        parsed = parse_alter_drop(p, &step);
    } else if (kal_parser_accept_keyword(p, KAL_KW_COMMENT)) {
        step.kind = KAL_SQL_ALTER_COMMENT_COLUMN;
        parsed = parse_comment_text(p, &step);
    } else if (accept_word(p, "TYPE")) {
        step.kind = KAL_SQL_ALTER_SET_TYPE;
        parsed = kal_parse_column_type(p, &step.type);
    } else {
        return kal_parser_expected_words(p, "SET, DROP, TYPE or COMMENT after the column", WORDS);
    }
    return parsed && add_step(p, steps, step);
}

/* --- SET ... of the table --- */

static bool parse_set_options(kal_parser *p, alter_vec *steps)
{
    kal_sql_option *options = NULL;
    size_t count = 0;
    if (!kal_parse_options(p, &options, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        kal_sql_alter step = {.kind = KAL_SQL_ALTER_SET_OPTION,
                              .position = options[i].position,
                              .option = options[i]};
        if (!add_step(p, steps, step))
            return false;
    }
    return true;
}

static bool parse_set_access_level(kal_parser *p, alter_vec *steps)
{
    kal_sql_alter step = {.kind = KAL_SQL_ALTER_SET_OPTION, .position = here(p)};
    kal_parser_advance(p);
    if (!kal_parser_expect_keyword(p, KAL_KW_LEVEL, "after ACCESS"))
        return false;
    step.option.name = KAL_STR("access_level");
    step.option.position = step.position;
    return kal_parse_option_value(p, &step.option) && add_step(p, steps, step);
}

static bool parse_set(kal_parser *p, alter_vec *steps)
{
    static const char *const WORDS[] = {"TBLPROPERTIES", "OPTIONS", "ACCESS", "COMMENT", NULL};
    kal_sql_alter step = {.kind = KAL_SQL_ALTER_COMMENT_TABLE, .position = here(p)};
    kal_parser_advance(p);
    if (kal_parser_at_keyword(p, KAL_KW_ACCESS))
        return parse_set_access_level(p, steps);
    if (kal_parser_accept_keyword(p, KAL_KW_COMMENT)) {
        kal_parser_accept(p, KAL_TOKEN_EQ);
        return parse_comment_text(p, &step) && add_step(p, steps, step);
    }
    if (!accept_word(p, "TBLPROPERTIES"))
        accept_word(p, "OPTIONS");
    if (!kal_parser_at(p, KAL_TOKEN_LEFT))
        return kal_parser_expected_words(
            p, "TBLPROPERTIES (...), ACCESS LEVEL or COMMENT after SET", WORDS);
    return parse_set_options(p, steps);
}

/* --- the statement --- */

static bool parse_action(kal_parser *p, alter_vec *steps)
{
    kal_sql_alter comment = {.kind = KAL_SQL_ALTER_COMMENT_TABLE, .position = here(p)};
    if (kal_parser_at_word(p, "ADD"))
        return parse_add(p, steps);
    if (kal_parser_at_keyword(p, KAL_KW_DROP))
        return parse_drop(p, steps);
    if (kal_parser_at_word(p, "RENAME"))
        return parse_rename(p, steps);
    if (kal_parser_at_word(p, "MODIFY"))
        return parse_modify(p, steps);
    if (kal_parser_at_keyword(p, KAL_KW_ALTER))
        return parse_alter_column(p, steps);
    if (kal_parser_at_keyword(p, KAL_KW_SET))
        return parse_set(p, steps);
    if (kal_parser_at_keyword(p, KAL_KW_CREATE))
        return refuse(p, comment.position, "CREATE INDEX");
    if (kal_parser_accept_keyword(p, KAL_KW_COMMENT))
        return parse_comment_text(p, &comment) && add_step(p, steps, comment);
    return kal_parser_expected_words(p, "ADD, DROP, RENAME, MODIFY, ALTER, SET or COMMENT",
                                     ACTIONS);
}

bool kal_parse_alter_table(kal_parser *p, kal_sql_table_type type, kal_sql_statement *statement)
{
    static const char *const WORDS[] = {"DRY", NULL};
    kal_sql_alter_table *alter = &statement->alter_table;
    alter_vec steps = {0};
    statement->kind = KAL_STMT_ALTER_TABLE;
    alter->table_type = type;
    kal_parser_advance(p);
    if (!kal_parser_if_exists(p, &alter->if_exists) ||
        !kal_parser_object(p, "a table name after ALTER TABLE", &alter->table))
        return false;
    do {
        if (!parse_action(p, &steps))
            return false;
    } while (kal_parser_accept(p, KAL_TOKEN_COMMA));
    if (accept_word(p, "DRY")) {
        if (!accept_word(p, "RUN"))
            return kal_parser_expected(p, "RUN after DRY");
        alter->dry_run = true;
    }
    alter->steps = steps.items;
    alter->step_count = steps.len;
    return kal_parser_expect_end(p, WORDS);
}

/* --- COMMENT ON --- */

/* [ns.]t.c: the last part is the column. */
static bool parse_column_object(kal_parser *p, kal_sql_object *table, kal_sql_name *column)
{
    kal_sql_name parts[3] = {0};
    size_t count = 0;
    table->position = here(p);
    do {
        if (count == KAL_ARRAY_LEN(parts))
            return kal_parser_expected(p, "[namespace.]table.column");
        if (count > 0 && kal_parser_at(p, KAL_TOKEN_WORD))
            p->token.keyword = KAL_KW_NONE; /* after a dot every word is a name */
        if (!kal_parser_name(p, "[namespace.]table.column", &parts[count++]))
            return false;
    } while (kal_parser_accept(p, KAL_TOKEN_DOT));
    if (count < 2)
        return kal_parser_expected(p, "'.' and the column's name after the table");
    *column = parts[count - 1];
    table->name = parts[count - 2];
    if (count == 3)
        table->namespace_name = parts[0];
    return true;
}

/* COMMENT ON TABLE t IS 'x' | COMMENT ON COLUMN t.c IS NULL: an ALTER TABLE of one step. */
bool kal_parse_comment_on(kal_parser *p, kal_sql_statement *statement)
{
    static const char *const WORDS[] = {"TABLE", "COLUMN", NULL};
    kal_sql_alter_table *alter = &statement->alter_table;
    kal_sql_alter step = {.kind = KAL_SQL_ALTER_COMMENT_TABLE};
    alter_vec steps = {0};
    statement->kind = KAL_STMT_ALTER_TABLE;
    kal_parser_advance(p);
    if (!kal_parser_expect_keyword(p, KAL_KW_ON, "after COMMENT"))
        return false;
    if (kal_parser_accept_keyword(p, KAL_KW_TABLE)) {
        if (!kal_parser_object(p, "a table name after COMMENT ON TABLE", &alter->table))
            return false;
    } else if (kal_parser_accept_keyword(p, KAL_KW_COLUMN)) {
        step.kind = KAL_SQL_ALTER_COMMENT_COLUMN;
        if (!parse_column_object(p, &alter->table, &step.column))
            return false;
    } else {
        return kal_parser_expected_words(p, "TABLE or COLUMN after COMMENT ON", WORDS);
    }
    step.position = step.column.text.len > 0 ? step.column.position : alter->table.position;
    if (!kal_parser_expect_keyword(p, KAL_KW_IS, "before the comment") ||
        !parse_comment_text(p, &step) || !add_step(p, &steps, step))
        return false;
    alter->steps = steps.items;
    alter->step_count = steps.len;
    return kal_parser_expect_end(p, NULL);
}
