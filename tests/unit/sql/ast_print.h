/*
 * ast_print.h: a statement's tree as SQL again, every operator in its own parentheses: parsed once
 * more it must give the same tree. Clauses of CREATE TABLE come back in the WITH form; what the
 * parser kept as text comes back as that text.
 */
#ifndef KAL_TESTS_SQL_AST_PRINT_H
#define KAL_TESTS_SQL_AST_PRINT_H

#include "base/assert.h"
#include "base/buf.h"
#include "sql/ast.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct printer {
    const kal_sql_statement *statement;
    kal_buf *out;
} printer;

static void print_expr(printer p, const kal_sql_expr *expr);

/* --- words --- */

static void put(printer p, const char *text)
{
    kal_buf_append_cstr(p.out, text);
}

static void put_quoted(printer p, kal_bytes text, char quote)
{
    kal_buf_append_byte(p.out, (uint8_t)quote);
    for (size_t i = 0; i < text.len; i++) {
        kal_buf_append_byte(p.out, text.ptr[i]);
        if (text.ptr[i] == quote)
            kal_buf_append_byte(p.out, (uint8_t)quote);
    }
    kal_buf_append_byte(p.out, (uint8_t)quote);
}

static void put_name(printer p, kal_sql_name name)
{
    if (name.quoted)
        put_quoted(p, name.text, '"');
    else
        kal_buf_append_bytes(p.out, name.text);
}

static void put_object(printer p, const kal_sql_object *object)
{
    if (kal_sql_name_given(object->namespace_name)) {
        put_name(p, object->namespace_name);
        put(p, ".");
    }
    put_name(p, object->name);
}

static void put_names(printer p, kal_sql_names names)
{
    put(p, "(");
    for (size_t i = 0; i < names.count; i++) {
        put(p, i == 0 ? "" : ", ");
        put_name(p, names.items[i]);
    }
    put(p, ")");
}

static void put_type(printer p, const kal_sql_type *type)
{
    kal_buf_append_bytes(p.out, type->name);
    for (size_t i = 0; i < type->arg_count; i++)
        kal_buf_printf(p.out, "%s%" PRId64 "%s", i == 0 ? "(" : ", ", type->args[i],
                       i + 1 == type->arg_count ? ")" : "");
}

static void put_alias(printer p, kal_sql_name alias)
{
    if (!kal_sql_name_given(alias))
        return;
    put(p, " AS ");
    put_name(p, alias);
}

/* --- expressions --- */

static void print_list(printer p, kal_sql_exprs list)
{
    for (size_t i = 0; i < list.count; i++) {
        put(p, i == 0 ? "" : ", ");
        print_expr(p, list.items[i]);
    }
}

static void print_joined(printer p, kal_sql_exprs list, const char *word)
{
    put(p, "(");
    for (size_t i = 0; i < list.count; i++) {
        put(p, i == 0 ? "" : word);
        print_expr(p, list.items[i]);
    }
    put(p, ")");
}

static void print_column(printer p, const kal_sql_expr *expr)
{
    for (size_t i = 0; i < expr->column.qualifier_count; i++) {
        put_name(p, expr->column.qualifiers[i]);
        put(p, ".");
    }
    if (expr->kind == KAL_SQL_EXPR_STAR)
        put(p, "*");
    else
        put_name(p, expr->column.name);
}

static void print_call(printer p, const kal_sql_expr *expr)
{
    put_name(p, expr->call.name);
    if (expr->call.bare)
        return;
    put(p, expr->call.star ? "(*" : "(");
    print_list(p, expr->call.args);
    put(p, ")");
}

static void print_case(printer p, const kal_sql_expr *expr)
{
    put(p, "CASE ");
    if (expr->case_when.operand != NULL)
        print_expr(p, expr->case_when.operand);
    for (size_t i = 0; i < expr->case_when.whens.count; i++) {
        put(p, i % 2 == 0 ? " WHEN " : " THEN ");
        print_expr(p, expr->case_when.whens.items[i]);
    }
    if (expr->case_when.otherwise != NULL) {
        put(p, " ELSE ");
        print_expr(p, expr->case_when.otherwise);
    }
    put(p, " END");
}

/* TYPE 'text' is read for types of one word; DEFAULT makes the others from a cast. */
static void print_typed(printer p, const kal_sql_type *type, kal_bytes text)
{
    bool plain = type->arg_count == 0 && memchr(type->name.ptr, ' ', type->name.len) == NULL;
    if (plain) {
        put_type(p, type);
        put(p, " ");
        put_quoted(p, text, '\'');
        return;
    }
    put(p, "CAST(");
    put_quoted(p, text, '\'');
    put(p, " AS ");
    put_type(p, type);
    put(p, ")");
}

/* (left sign right) */
static void print_infix(printer p, const kal_sql_expr *left, const char *sign,
                        const kal_sql_expr *right)
{
    put(p, "(");
    print_expr(p, left);
    put(p, sign);
    print_expr(p, right);
    put(p, ")");
}

static void print_in(printer p, const kal_sql_expr *expr)
{
    put(p, "(");
    print_expr(p, expr->in.subject);
    put(p, expr->negated ? " NOT IN (" : " IN (");
    print_list(p, expr->in.list);
    put(p, "))");
}

static void print_between(printer p, const kal_sql_expr *expr)
{
    put(p, "(");
    print_expr(p, expr->between.subject);
    put(p, expr->negated ? " NOT BETWEEN " : " BETWEEN ");
    print_expr(p, expr->between.low);
    put(p, " AND ");
    print_expr(p, expr->between.high);
    put(p, ")");
}

static void print_like(printer p, const kal_sql_expr *expr)
{
    put(p, "(");
    print_expr(p, expr->like.subject);
    put(p, expr->negated ? " NOT " : " ");
    put(p, expr->nocase ? "ILIKE " : "LIKE ");
    print_expr(p, expr->like.pattern);
    if (expr->like.escape != NULL) {
        put(p, " ESCAPE ");
        print_expr(p, expr->like.escape);
    }
    put(p, ")");
}

/* Parentheses around the operand keep the sign of -(7) out of the number. */
static void print_prefix(printer p, const char *sign, const kal_sql_expr *operand)
{
    put(p, "(");
    put(p, sign);
    put(p, "(");
    print_expr(p, operand);
    put(p, "))");
}

static void print_operator(printer p, const kal_sql_expr *expr)
{
    char sign[8];
    switch ((kal_sql_expr_kind)expr->kind) {
    case KAL_SQL_EXPR_UNARY:
        print_prefix(p, expr->unary_op == KAL_SQL_UNARY_MINUS ? "- " : "+ ", expr->operand);
        break;
    case KAL_SQL_EXPR_NOT:
        print_prefix(p, "NOT ", expr->operand);
        break;
    case KAL_SQL_EXPR_BINARY:
        snprintf(sign, sizeof sign, " %s ",
                 kal_sql_binary_sign((kal_sql_binary_op)expr->binary_op));
        print_infix(p, expr->binary.left, sign, expr->binary.right);
        break;
    case KAL_SQL_EXPR_AND:
        print_joined(p, expr->list, " AND ");
        break;
    case KAL_SQL_EXPR_OR:
        print_joined(p, expr->list, " OR ");
        break;
    case KAL_SQL_EXPR_IS_NULL:
        put(p, "(");
        print_expr(p, expr->operand);
        put(p, expr->negated ? " IS NOT NULL)" : " IS NULL)");
        break;
    case KAL_SQL_EXPR_IS_DISTINCT:
        print_infix(p, expr->binary.left,
                    expr->negated ? " IS NOT DISTINCT FROM " : " IS DISTINCT FROM ",
                    expr->binary.right);
        break;
    case KAL_SQL_EXPR_IN:
        print_in(p, expr);
        break;
    case KAL_SQL_EXPR_BETWEEN:
        print_between(p, expr);
        break;
    default:
        KAL_ASSERT(expr->kind == KAL_SQL_EXPR_LIKE);
        print_like(p, expr);
        break;
    }
}

static void print_expr(printer p, const kal_sql_expr *expr)
{
    switch ((kal_sql_expr_kind)expr->kind) {
    case KAL_SQL_EXPR_NULL:
        put(p, "NULL");
        break;
    case KAL_SQL_EXPR_BOOLEAN:
        put(p, expr->boolean ? "TRUE" : "FALSE");
        break;
    case KAL_SQL_EXPR_NUMBER:
        kal_buf_append_bytes(p.out, expr->number.text);
        break;
    case KAL_SQL_EXPR_STRING:
        put_quoted(p, expr->text, '\'');
        break;
    case KAL_SQL_EXPR_TYPED:
        print_typed(p, expr->typed.type, expr->typed.text);
        break;
    case KAL_SQL_EXPR_PARAM:
        kal_buf_printf(p.out, "$%" PRIu32, expr->param);
        break;
    case KAL_SQL_EXPR_COLUMN:
    case KAL_SQL_EXPR_STAR:
        print_column(p, expr);
        break;
    case KAL_SQL_EXPR_DEFAULT:
        put(p, "DEFAULT");
        break;
    case KAL_SQL_EXPR_CAST:
        put(p, "CAST(");
        print_expr(p, expr->cast.operand);
        put(p, " AS ");
        put_type(p, expr->cast.type);
        put(p, ")");
        break;
    case KAL_SQL_EXPR_CALL:
        print_call(p, expr);
        break;
    case KAL_SQL_EXPR_CASE:
        print_case(p, expr);
        break;
    case KAL_SQL_EXPR_ARRAY:
        put(p, "[");
        print_list(p, expr->list);
        put(p, "]");
        break;
    case KAL_SQL_EXPR_RAW:
        kal_buf_append_bytes(p.out, kal_sql_expr_source(p.statement, expr));
        break;
    default:
        print_operator(p, expr);
        break;
    }
}

/* --- SELECT and the statements that write rows --- */

static void print_clause(printer p, const char *word, const kal_sql_expr *expr)
{
    if (expr == NULL)
        return;
    put(p, word);
    print_expr(p, expr);
}

static void print_items(printer p, const char *word, kal_sql_items items)
{
    for (size_t i = 0; i < items.count; i++) {
        put(p, i == 0 ? word : ", ");
        print_expr(p, items.items[i].expr);
        put_alias(p, items.items[i].alias);
    }
}

static void print_select(printer p, const kal_sql_select *select)
{
    static const char *const NULLS[] = {"", " NULLS FIRST", " NULLS LAST"};
    if (!select->is_simple) {
        kal_buf_append_bytes(p.out, select->text);
        return;
    }
    print_items(p, "SELECT ", select->items);
    if (select->has_from) {
        put(p, " FROM ");
        put_object(p, &select->table);
        put_alias(p, select->alias);
    }
    print_clause(p, " WHERE ", select->where);
    for (size_t i = 0; i < select->order_by_count; i++) {
        put(p, i == 0 ? " ORDER BY " : ", ");
        print_expr(p, select->order_by[i].expr);
        put(p, select->order_by[i].descending ? " DESC" : "");
        put(p, NULLS[select->order_by[i].nulls]);
    }
    print_clause(p, " LIMIT ", select->limit);
    print_clause(p, " OFFSET ", select->offset);
}

static void print_assignments(printer p, kal_sql_assignments set)
{
    for (size_t i = 0; i < set.count; i++) {
        put(p, i == 0 ? " SET " : ", ");
        put_name(p, set.items[i].column);
        put(p, " = ");
        print_expr(p, set.items[i].value);
    }
}

static void print_source(printer p, const kal_sql_insert *insert)
{
    if (insert->source == KAL_SQL_INSERT_DEFAULT_VALUES) {
        put(p, " DEFAULT VALUES");
        return;
    }
    if (insert->source == KAL_SQL_INSERT_SELECT) {
        put(p, " ");
        print_select(p, insert->select);
        return;
    }
    for (size_t i = 0; i < insert->row_count; i++) {
        put(p, i == 0 ? " VALUES (" : ", (");
        print_list(p, (kal_sql_exprs){insert->rows[i].values, insert->rows[i].count});
        put(p, ")");
    }
}

static void print_insert(printer p, const kal_sql_insert *insert)
{
    put(p, "INSERT INTO ");
    put_object(p, &insert->table);
    put_alias(p, insert->alias);
    if (insert->columns.count > 0) {
        put(p, " ");
        put_names(p, insert->columns);
    }
    print_source(p, insert);
    if (insert->conflict != KAL_SQL_CONFLICT_FAIL) {
        put(p, " ON CONFLICT ");
        if (insert->conflict_columns.count > 0)
            put_names(p, insert->conflict_columns);
        put(p, insert->conflict == KAL_SQL_CONFLICT_NOTHING ? " DO NOTHING" : " DO UPDATE");
        print_assignments(p, insert->conflict_set);
        print_clause(p, " WHERE ", insert->conflict_where);
    }
    print_items(p, " RETURNING ", insert->returning);
}

static void print_update(printer p, const kal_sql_update *update)
{
    put(p, "UPDATE ");
    put_object(p, &update->table);
    put_alias(p, update->alias);
    print_assignments(p, update->set);
    print_clause(p, " WHERE ", update->where);
    print_items(p, " RETURNING ", update->returning);
}

static void print_delete(printer p, const kal_sql_delete *delete_from)
{
    put(p, "DELETE FROM ");
    put_object(p, &delete_from->table);
    put_alias(p, delete_from->alias);
    print_clause(p, " WHERE ", delete_from->where);
    print_items(p, " RETURNING ", delete_from->returning);
}

/* --- CREATE TABLE --- */

static void print_column_def(printer p, const kal_sql_column_def *column)
{
    put_name(p, column->name);
    put(p, " ");
    put_type(p, &column->type);
    if (column->nullable_given)
        put(p, column->not_null ? " NOT NULL" : " NULL");
    put(p, column->primary_key ? " PRIMARY KEY" : "");
    put(p, column->auto_increment ? " AUTO_INCREMENT" : "");
    print_clause(p, " DEFAULT ", column->default_value);
    if (column->has_comment) {
        put(p, " COMMENT ");
        put_quoted(p, column->comment, '\'');
    }
}

static void print_option(printer p, const kal_sql_option *option)
{
    kal_buf_append_bytes(p.out, option->name);
    put(p, " = ");
    if (option->kind == KAL_SQL_OPTION_STRING)
        put_quoted(p, option->text, '\'');
    else
        kal_buf_append_bytes(p.out, option->text);
}

static const char *table_word(kal_sql_table_type type)
{
    static const char *const WORDS[] = {"TABLE ", "USER TABLE ", "SHARED TABLE ", "STREAM TABLE "};
    return WORDS[type];
}

static void print_create_table(printer p, const kal_sql_create_table *table)
{
    put(p, "CREATE ");
    put(p, table_word(table->table_type));
    put(p, table->if_not_exists ? "IF NOT EXISTS " : "");
    put_object(p, &table->table);
    for (size_t i = 0; i < table->column_count; i++) {
        put(p, i == 0 ? " (" : ", ");
        print_column_def(p, &table->columns[i]);
    }
    if (table->primary_key.count > 0) {
        put(p, ", PRIMARY KEY ");
        put_names(p, table->primary_key);
    }
    put(p, ")");
    if (table->partition_by.count > 0) {
        put(p, " PARTITION BY ");
        put_names(p, table->partition_by);
    }
    if (table->has_comment) {
        put(p, " COMMENT ");
        put_quoted(p, table->comment, '\'');
    }
    for (size_t i = 0; i < table->option_count; i++) {
        put(p, i == 0 ? " WITH (" : ", ");
        print_option(p, &table->options[i]);
        put(p, i + 1 == table->option_count ? ")" : "");
    }
}

static void print_step(printer p, const kal_sql_alter *step)
{
    static const char *const BEFORE[] = {
        [KAL_SQL_ALTER_ADD] = "ADD ",
        [KAL_SQL_ALTER_DROP] = "DROP ",
        [KAL_SQL_ALTER_RENAME_COLUMN] = "RENAME ",
        [KAL_SQL_ALTER_RENAME_TABLE] = "RENAME TO ",
        [KAL_SQL_ALTER_COMMENT_TABLE] = "COMMENT ",
        [KAL_SQL_ALTER_SET_OPTION] = "SET (",
        [KAL_SQL_ALTER_SET_TYPE] = "ALTER ",
        [KAL_SQL_ALTER_SET_NOT_NULL] = "ALTER ",
        [KAL_SQL_ALTER_DROP_NOT_NULL] = "ALTER ",
        [KAL_SQL_ALTER_SET_DEFAULT] = "ALTER ",
        [KAL_SQL_ALTER_COMMENT_COLUMN] = "ALTER ",
    };
    bool is_add = step->kind == KAL_SQL_ALTER_ADD;
    put(p, BEFORE[step->kind]);
    if (is_add || kal_sql_name_given(step->column))
        put(p, "COLUMN ");
    put(p, step->if_exists ? (is_add ? "IF NOT EXISTS " : "IF EXISTS ") : "");
    if (is_add)
        print_column_def(p, &step->def);
    else if (kal_sql_name_given(step->column))
        put_name(p, step->column);
    switch (step->kind) {
    case KAL_SQL_ALTER_RENAME_COLUMN:
        put(p, " TO ");
        put_name(p, step->new_name);
        break;
    case KAL_SQL_ALTER_RENAME_TABLE:
        put_name(p, step->new_name);
        break;
    case KAL_SQL_ALTER_SET_TYPE:
        put(p, " SET DATA TYPE ");
        put_type(p, &step->type);
        break;
    case KAL_SQL_ALTER_SET_NOT_NULL:
        put(p, " SET NOT NULL");
        break;
    case KAL_SQL_ALTER_DROP_NOT_NULL:
        put(p, " DROP NOT NULL");
        break;
    case KAL_SQL_ALTER_SET_DEFAULT:
        put(p, step->default_value == NULL ? " DROP DEFAULT" : " SET");
        print_clause(p, " DEFAULT ", step->default_value);
        break;
    case KAL_SQL_ALTER_COMMENT_COLUMN:
        put(p, " COMMENT ");
        break;
    case KAL_SQL_ALTER_SET_OPTION:
        print_option(p, &step->option);
        put(p, ")");
        break;
    default:
        break;
    }
    if (step->kind != KAL_SQL_ALTER_COMMENT_COLUMN && step->kind != KAL_SQL_ALTER_COMMENT_TABLE)
        return;
    if (step->comment.ptr == NULL)
        put(p, "NULL");
    else
        put_quoted(p, step->comment, '\'');
}

static void print_alter_table(printer p, const kal_sql_alter_table *alter)
{
    put(p, "ALTER ");
    put(p, table_word(alter->table_type));
    put(p, alter->if_exists ? "IF EXISTS " : "");
    put_object(p, &alter->table);
    for (size_t i = 0; i < alter->step_count; i++) {
        put(p, i == 0 ? " " : ", ");
        print_step(p, &alter->steps[i]);
    }
    put(p, alter->dry_run ? " DRY RUN" : "");
}

/* --- the small statements --- */

static void print_user(printer p, const char *verb, const kal_sql_user_stmt *user)
{
    static const char *const AUTH[] = {"", "PASSWORD", "OAUTH", "INTERNAL"};
    bool alters = p.statement->kind == KAL_STMT_ALTER_USER;
    put(p, verb);
    put(p, user->if_exists ? "IF EXISTS " : "");
    put(p, user->if_not_exists ? "IF NOT EXISTS " : "");
    put_name(p, user->name);
    put(p, alters ? " SET" : "");
    if (user->auth != KAL_SQL_AUTH_NONE)
        kal_buf_printf(p.out, "%s %s ", alters ? "" : " WITH", AUTH[user->auth]);
    if (user->secret_end > user->secret_start)
        put_quoted(p, user->secret, '\'');
    if (user->has_role) {
        put(p, " ROLE ");
        put_quoted(p, user->role.text, '"');
    }
    if (user->has_email) {
        put(p, " EMAIL ");
        put_quoted(p, user->email, '\'');
    }
    put(p, user->erase ? " ERASE" : "");
}

static void print_namespace(printer p, const char *verb, const kal_sql_namespace_stmt *stmt)
{
    put(p, verb);
    put(p, stmt->if_exists ? "IF EXISTS " : "");
    put(p, stmt->if_not_exists ? "IF NOT EXISTS " : "");
    put_name(p, stmt->name);
    put(p, stmt->cascade ? " CASCADE" : "");
}

static void print_table(printer p, const char *verb, const kal_sql_table_stmt *stmt)
{
    put(p, verb);
    put(p, table_word(stmt->table_type));
    put(p, stmt->if_exists ? "IF EXISTS " : "");
    put_object(p, &stmt->table);
    put(p, stmt->history ? " HISTORY" : "");
    if (stmt->at_version)
        kal_buf_printf(p.out, " AT VERSION %lld", (long long)stmt->version);
}

static void print_live_options(printer p, const kal_sql_live_options *options)
{
    static const char *const ON_SLOW[] = {"", "'pause'", "'coalesce'", "'close'"};
    if (options->position == 0)
        return;
    kal_buf_printf(p.out, " OPTIONS (hash = %s", options->hash ? "TRUE" : "FALSE");
    if (options->has_last_rows)
        kal_buf_printf(p.out, ", last_rows = %llu", (unsigned long long)options->last_rows);
    if (options->has_batch_size)
        kal_buf_printf(p.out, ", batch_size = %llu", (unsigned long long)options->batch_size);
    if (options->has_from)
        kal_buf_printf(p.out, ", from = %llu", (unsigned long long)options->from);
    if (options->on_slow != KAL_SQL_ON_SLOW_UNSPECIFIED)
        kal_buf_printf(p.out, ", on_slow = %s", ON_SLOW[options->on_slow]);
    put(p, ")");
}

/* The SELECT with GROUP BY in its place. */
static void print_live_select(printer p, const kal_sql_live *live)
{
    kal_sql_select rows = live->select;
    kal_sql_select order = live->select;
    rows.order_by_count = 0;
    rows.limit = NULL;
    print_select(p, &rows);
    if (live->group_by.count > 0) {
        put(p, " GROUP BY ");
        print_list(p, live->group_by);
    }
    order.items.count = 0;
    order.has_from = false;
    order.where = NULL;
    print_select(p, &order);
}

static void print_live(printer p, const kal_sql_live *live)
{
    switch (live->kind) {
    case KAL_SQL_LIVE_SELECT:
        print_live_select(p, live);
        break;
    case KAL_SQL_LIVE_SCHEMA_TABLE:
    case KAL_SQL_LIVE_SCHEMA_NAMESPACE:
        put_object(p, &live->target);
        break;
    case KAL_SQL_LIVE_SCHEMA_ALL:
        put(p, "*");
        break;
    }
    print_live_options(p, &live->options);
}

static inline void kal_sql_print(const kal_sql_statement *statement, kal_buf *out)
{
    printer p = {statement, out};
    switch (statement->kind) {
    case KAL_STMT_CREATE_NAMESPACE:
        print_namespace(p, "CREATE NAMESPACE ", &statement->namespace_stmt);
        break;
    case KAL_STMT_DROP_NAMESPACE:
        print_namespace(p, "DROP NAMESPACE ", &statement->namespace_stmt);
        break;
    case KAL_STMT_USE_NAMESPACE:
        print_namespace(p, "USE NAMESPACE ", &statement->namespace_stmt);
        break;
    case KAL_STMT_CREATE_USER:
        print_user(p, "CREATE USER ", &statement->user);
        break;
    case KAL_STMT_ALTER_USER:
        print_user(p, "ALTER USER ", &statement->user);
        break;
    case KAL_STMT_DROP_USER:
        print_user(p, "DROP USER ", &statement->user);
        break;
    case KAL_STMT_CREATE_TABLE:
        print_create_table(p, &statement->create_table);
        break;
    case KAL_STMT_ALTER_TABLE:
        print_alter_table(p, &statement->alter_table);
        break;
    case KAL_STMT_SHOW_SCHEMA_DIFF:
        put(p, "SHOW SCHEMA DIFF ");
        put_object(p, &statement->schema_diff.table);
        kal_buf_printf(p.out, " FROM %lld TO %lld", (long long)statement->schema_diff.from,
                       (long long)statement->schema_diff.to);
        break;
    case KAL_STMT_DROP_TABLE:
        print_table(p, "DROP ", &statement->table);
        break;
    case KAL_STMT_SHOW_CREATE_TABLE:
        print_table(p, "SHOW CREATE ", &statement->table);
        break;
    case KAL_STMT_SHOW_STATS:
        print_table(p, "SHOW STATS FOR ", &statement->table);
        break;
    case KAL_STMT_DESCRIBE_TABLE:
        print_table(p, "DESCRIBE ", &statement->table);
        break;
    case KAL_STMT_SHOW_TABLES:
        put(p, "SHOW TABLES");
        if (kal_sql_name_given(statement->show_tables.namespace_name)) {
            put(p, " IN NAMESPACE ");
            put_name(p, statement->show_tables.namespace_name);
        }
        break;
    case KAL_STMT_INSERT:
        print_insert(p, &statement->insert);
        break;
    case KAL_STMT_UPDATE:
        print_update(p, &statement->update);
        break;
    case KAL_STMT_DELETE:
        print_delete(p, &statement->delete_from);
        break;
    case KAL_STMT_SELECT:
        print_select(p, &statement->select);
        break;
    case KAL_STMT_SUBSCRIBE:
        put(p, statement->live.kind == KAL_SQL_LIVE_SELECT ? "SUBSCRIBE TO " : "SUBSCRIBE SCHEMA ");
        print_live(p, &statement->live);
        break;
    case KAL_STMT_EXPLAIN_LIVE:
        put(p, "EXPLAIN LIVE ");
        print_live(p, &statement->live);
        break;
    case KAL_STMT_SHOW_LIVE_QUERIES:
    case KAL_STMT_SHOW_NAMESPACES:
    case KAL_STMT_BEGIN:
    case KAL_STMT_COMMIT:
    case KAL_STMT_ROLLBACK:
        put(p, kal_stmt_name(statement->kind));
        break;
    default: /* what is not built keeps no more than its first words */
        kal_buf_append_bytes(out, statement->text);
        break;
    }
}

#endif
