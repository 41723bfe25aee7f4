/*
 * ast_dump.h: a statement's tree as one line of text, for tests and for the fuzz target.
 *
 * Prefix notation: (+ a (* b 2)), (and (= t.a 1) (is-null "B")), (insert ns.t (a b) (values (row 1
 * 'x'))). Strings are quoted as in SQL, quoted names too; RAW text stands in raw{...}.
 */
#ifndef KAL_TESTS_SQL_AST_DUMP_H
#define KAL_TESTS_SQL_AST_DUMP_H

#include "base/assert.h"
#include "base/buf.h"
#include "sql/ast.h"

#include <inttypes.h>

static const char *const EXPR_NAMES[] = {
#define KAL_SQL_EXPR_NAME(name, text) [KAL_SQL_EXPR_##name] = text,
    KAL_SQL_EXPR_LIST(KAL_SQL_EXPR_NAME)
#undef KAL_SQL_EXPR_NAME
};

/* --- leaves --- */

static void dump_quoted(kal_buf *out, kal_bytes text, char quote)
{
    kal_buf_append_byte(out, (uint8_t)quote);
    for (size_t i = 0; i < text.len; i++) {
        kal_buf_append_byte(out, text.ptr[i]);
        if (text.ptr[i] == quote)
            kal_buf_append_byte(out, (uint8_t)quote);
    }
    kal_buf_append_byte(out, (uint8_t)quote);
}

static void dump_name(kal_buf *out, kal_sql_name name)
{
    if (name.quoted)
        dump_quoted(out, name.text, '"');
    else
        kal_buf_append_bytes(out, name.text);
}

static void dump_object(kal_buf *out, const kal_sql_object *object)
{
    if (kal_sql_name_given(object->namespace_name)) {
        dump_name(out, object->namespace_name);
        kal_buf_append_byte(out, '.');
    }
    dump_name(out, object->name);
}

static void dump_names(kal_buf *out, kal_sql_names names)
{
    kal_buf_append_byte(out, '(');
    for (size_t i = 0; i < names.count; i++) {
        kal_buf_append_cstr(out, i == 0 ? "" : " ");
        dump_name(out, names.items[i]);
    }
    kal_buf_append_byte(out, ')');
}

static void dump_type(kal_buf *out, const kal_sql_type *type)
{
    char name[KAL_TYPE_NAME_BYTES];
    kal_buf_append_cstr(out, kal_type_name(type->type, name));
    if (type->serial)
        kal_buf_append_cstr(out, " serial");
}

static void dump_column(kal_buf *out, const kal_sql_expr *expr)
{
    for (size_t i = 0; i < expr->column.qualifier_count; i++) {
        dump_name(out, expr->column.qualifiers[i]);
        kal_buf_append_byte(out, '.');
    }
    if (expr->kind == KAL_SQL_EXPR_STAR)
        kal_buf_append_byte(out, '*');
    else
        dump_name(out, expr->column.name);
}

/* --- expressions --- */

typedef struct dumper {
    const kal_sql_statement *statement;
    kal_buf *out;
} dumper;

static void dump(dumper d, const kal_sql_expr *expr);

static void open_node(dumper d, const kal_sql_expr *expr, const char *name)
{
    kal_buf_printf(d.out, "(%s%s", expr->negated ? "not-" : "", name);
}

static void dump_child(dumper d, const kal_sql_expr *child)
{
    if (child == NULL)
        return;
    kal_buf_append_byte(d.out, ' ');
    dump(d, child);
}

static void dump_children(dumper d, kal_sql_exprs list)
{
    for (size_t i = 0; i < list.count; i++)
        dump_child(d, list.items[i]);
}

static void dump_call(dumper d, const kal_sql_expr *expr)
{
    kal_buf_append_cstr(d.out, expr->call.bare ? "(bare " : "(call ");
    dump_name(d.out, expr->call.name);
    if (expr->call.star)
        kal_buf_append_cstr(d.out, " *");
    dump_children(d, expr->call.args);
    kal_buf_append_byte(d.out, ')');
}

static void dump_case(dumper d, const kal_sql_expr *expr)
{
    kal_buf_append_cstr(d.out, "(case");
    dump_child(d, expr->case_when.operand);
    for (size_t i = 0; i < expr->case_when.whens.count; i++) {
        kal_buf_append_cstr(d.out, i % 2 == 0 ? " when" : " then");
        dump_child(d, expr->case_when.whens.items[i]);
    }
    if (expr->case_when.otherwise != NULL)
        kal_buf_append_cstr(d.out, " else");
    dump_child(d, expr->case_when.otherwise);
    kal_buf_append_byte(d.out, ')');
}

static void dump_leaf(dumper d, const kal_sql_expr *expr)
{
    switch ((kal_sql_expr_kind)expr->kind) {
    case KAL_SQL_EXPR_NULL:
        kal_buf_append_cstr(d.out, "NULL");
        break;
    case KAL_SQL_EXPR_BOOLEAN:
        kal_buf_append_cstr(d.out, expr->boolean ? "TRUE" : "FALSE");
        break;
    case KAL_SQL_EXPR_NUMBER:
        kal_buf_append_bytes(d.out, expr->number.text);
        break;
    case KAL_SQL_EXPR_STRING:
        dump_quoted(d.out, expr->text, '\'');
        break;
    case KAL_SQL_EXPR_TYPED:
        dump_type(d.out, expr->typed.type);
        dump_quoted(d.out, expr->typed.text, '\'');
        break;
    case KAL_SQL_EXPR_PARAM:
        kal_buf_printf(d.out, "$%" PRIu32, expr->param);
        break;
    case KAL_SQL_EXPR_RAW:
        kal_buf_append_cstr(d.out, "raw{");
        kal_buf_append_bytes(d.out, kal_sql_expr_source(d.statement, expr));
        kal_buf_append_byte(d.out, '}');
        break;
    case KAL_SQL_EXPR_DEFAULT:
        kal_buf_append_cstr(d.out, "DEFAULT");
        break;
    default:
        dump_column(d.out, expr);
        break;
    }
}

/* A node of the form (name child child ...). */
static void dump_node(dumper d, const kal_sql_expr *expr)
{
    switch ((kal_sql_expr_kind)expr->kind) {
    case KAL_SQL_EXPR_UNARY:
        open_node(d, expr, expr->unary_op == KAL_SQL_UNARY_MINUS ? "neg" : "pos");
        dump_child(d, expr->operand);
        break;
    case KAL_SQL_EXPR_NOT:
    case KAL_SQL_EXPR_IS_NULL:
        open_node(d, expr, EXPR_NAMES[expr->kind]);
        dump_child(d, expr->operand);
        break;
    case KAL_SQL_EXPR_BINARY:
    case KAL_SQL_EXPR_IS_DISTINCT:
        open_node(d, expr,
                  expr->kind == KAL_SQL_EXPR_BINARY
                      ? kal_sql_binary_sign((kal_sql_binary_op)expr->binary_op)
                      : EXPR_NAMES[expr->kind]);
        dump_child(d, expr->binary.left);
        dump_child(d, expr->binary.right);
        break;
    case KAL_SQL_EXPR_IN:
        open_node(d, expr, "in");
        dump_child(d, expr->in.subject);
        dump_children(d, expr->in.list);
        break;
    case KAL_SQL_EXPR_BETWEEN:
        open_node(d, expr, "between");
        dump_child(d, expr->between.subject);
        dump_child(d, expr->between.low);
        dump_child(d, expr->between.high);
        break;
    case KAL_SQL_EXPR_LIKE:
        open_node(d, expr, expr->nocase ? "ilike" : "like");
        dump_child(d, expr->like.subject);
        dump_child(d, expr->like.pattern);
        dump_child(d, expr->like.escape);
        break;
    case KAL_SQL_EXPR_CAST:
        open_node(d, expr, "cast");
        dump_child(d, expr->cast.operand);
        kal_buf_append_byte(d.out, ' ');
        dump_type(d.out, expr->cast.type);
        break;
    default: /* AND, OR, ARRAY */
        open_node(d, expr, EXPR_NAMES[expr->kind]);
        dump_children(d, expr->list);
        break;
    }
    kal_buf_append_byte(d.out, ')');
}

static void dump(dumper d, const kal_sql_expr *expr)
{
    KAL_ASSERT(expr->kind < KAL_ARRAY_LEN(EXPR_NAMES));
    switch ((kal_sql_expr_kind)expr->kind) {
    case KAL_SQL_EXPR_NULL:
    case KAL_SQL_EXPR_BOOLEAN:
    case KAL_SQL_EXPR_NUMBER:
    case KAL_SQL_EXPR_STRING:
    case KAL_SQL_EXPR_TYPED:
    case KAL_SQL_EXPR_PARAM:
    case KAL_SQL_EXPR_RAW:
    case KAL_SQL_EXPR_DEFAULT:
    case KAL_SQL_EXPR_COLUMN:
    case KAL_SQL_EXPR_STAR:
        dump_leaf(d, expr);
        break;
    case KAL_SQL_EXPR_CALL:
        dump_call(d, expr);
        break;
    case KAL_SQL_EXPR_CASE:
        dump_case(d, expr);
        break;
    default:
        dump_node(d, expr);
        break;
    }
}

static inline void kal_sql_dump_expr(const kal_sql_statement *statement, const kal_sql_expr *expr,
                                     kal_buf *out)
{
    dump((dumper){statement, out}, expr);
}

/* --- parts of statements --- */

static void dump_clause(dumper d, const char *name, const kal_sql_expr *expr)
{
    if (expr == NULL)
        return;
    kal_buf_printf(d.out, " (%s", name);
    dump_child(d, expr);
    kal_buf_append_byte(d.out, ')');
}

static void dump_alias(dumper d, kal_sql_name alias)
{
    if (!kal_sql_name_given(alias))
        return;
    kal_buf_append_cstr(d.out, " as ");
    dump_name(d.out, alias);
}

static void dump_items(dumper d, const char *name, kal_sql_items items)
{
    if (items.count == 0)
        return;
    kal_buf_printf(d.out, " (%s", name);
    for (size_t i = 0; i < items.count; i++) {
        dump_child(d, items.items[i].expr);
        dump_alias(d, items.items[i].alias);
    }
    kal_buf_append_byte(d.out, ')');
}

static void dump_assignments(dumper d, kal_sql_assignments set)
{
    kal_buf_append_cstr(d.out, " (set");
    for (size_t i = 0; i < set.count; i++) {
        kal_buf_append_cstr(d.out, " (");
        dump_name(d.out, set.items[i].column);
        dump_child(d, set.items[i].value);
        kal_buf_append_byte(d.out, ')');
    }
    kal_buf_append_byte(d.out, ')');
}

static void dump_flag(dumper d, bool flag, const char *name)
{
    if (flag)
        kal_buf_printf(d.out, " %s", name);
}

static void dump_text(dumper d, bool given, const char *name, kal_bytes text)
{
    if (!given)
        return;
    kal_buf_printf(d.out, " (%s ", name);
    dump_quoted(d.out, text, '\'');
    kal_buf_append_byte(d.out, ')');
}

static void dump_table_type(dumper d, kal_sql_table_type type)
{
    static const char *const NAMES[] = {"", " user", " shared", " stream"};
    kal_buf_append_cstr(d.out, NAMES[type]);
}

/* --- statements --- */

static void dump_select(dumper d, const kal_sql_select *select)
{
    if (!select->is_simple) {
        kal_buf_append_cstr(d.out, "(select text{");
        kal_buf_append_bytes(d.out, select->text);
        kal_buf_append_cstr(d.out, "})");
        return;
    }
    kal_buf_append_cstr(d.out, "(select");
    dump_items(d, "items", select->items);
    if (select->has_from) {
        kal_buf_append_cstr(d.out, " (from ");
        dump_object(d.out, &select->table);
        dump_alias(d, select->alias);
        kal_buf_append_byte(d.out, ')');
    }
    dump_clause(d, "where", select->where);
    for (size_t i = 0; i < select->order_by_count; i++) {
        static const char *const NULLS[] = {"", " nulls-first", " nulls-last"};
        const kal_sql_order *order = &select->order_by[i];
        kal_buf_append_cstr(d.out, i == 0 ? " (order" : "");
        dump_child(d, order->expr);
        kal_buf_printf(d.out, "%s%s", order->descending ? " desc" : "", NULLS[order->nulls]);
        kal_buf_append_cstr(d.out, i + 1 == select->order_by_count ? ")" : "");
    }
    dump_clause(d, "limit", select->limit);
    dump_clause(d, "offset", select->offset);
    kal_buf_append_byte(d.out, ')');
}

static void dump_rows(dumper d, const kal_sql_insert *insert)
{
    kal_buf_append_cstr(d.out, " (values");
    for (size_t i = 0; i < insert->row_count; i++) {
        kal_buf_append_cstr(d.out, " (row");
        dump_children(d, (kal_sql_exprs){insert->rows[i].values, insert->rows[i].count});
        kal_buf_append_byte(d.out, ')');
    }
    kal_buf_append_byte(d.out, ')');
}

static void dump_insert(dumper d, const kal_sql_insert *insert)
{
    kal_buf_append_cstr(d.out, "(insert ");
    dump_object(d.out, &insert->table);
    dump_alias(d, insert->alias);
    if (insert->columns.count > 0) {
        kal_buf_append_byte(d.out, ' ');
        dump_names(d.out, insert->columns);
    }
    if (insert->source == KAL_SQL_INSERT_VALUES) {
        dump_rows(d, insert);
    } else if (insert->source == KAL_SQL_INSERT_SELECT) {
        kal_buf_append_byte(d.out, ' ');
        dump_select(d, insert->select);
    } else {
        kal_buf_append_cstr(d.out, " default-values");
    }
    if (insert->conflict != KAL_SQL_CONFLICT_FAIL) {
        kal_buf_append_cstr(d.out, " (on-conflict ");
        dump_names(d.out, insert->conflict_columns);
        if (insert->conflict == KAL_SQL_CONFLICT_NOTHING)
            kal_buf_append_cstr(d.out, " nothing");
        else
            dump_assignments(d, insert->conflict_set);
        dump_clause(d, "where", insert->conflict_where);
        kal_buf_append_byte(d.out, ')');
    }
    dump_items(d, "returning", insert->returning);
    kal_buf_append_byte(d.out, ')');
}

static void dump_update(dumper d, const kal_sql_update *update)
{
    kal_buf_append_cstr(d.out, "(update ");
    dump_object(d.out, &update->table);
    dump_alias(d, update->alias);
    dump_assignments(d, update->set);
    dump_clause(d, "where", update->where);
    dump_items(d, "returning", update->returning);
    kal_buf_append_byte(d.out, ')');
}

static void dump_delete(dumper d, const kal_sql_delete *delete_from)
{
    kal_buf_append_cstr(d.out, "(delete ");
    dump_object(d.out, &delete_from->table);
    dump_alias(d, delete_from->alias);
    dump_clause(d, "where", delete_from->where);
    dump_items(d, "returning", delete_from->returning);
    kal_buf_append_byte(d.out, ')');
}

static void dump_column_def(dumper d, const kal_sql_column_def *column)
{
    kal_buf_append_cstr(d.out, " (");
    dump_name(d.out, column->name);
    kal_buf_append_byte(d.out, ' ');
    dump_type(d.out, &column->type);
    dump_flag(d, column->nullable_given, column->not_null ? "not-null" : "null");
    dump_flag(d, column->primary_key, "key");
    dump_flag(d, column->auto_increment, "auto");
    dump_clause(d, "default", column->default_value);
    dump_text(d, column->has_comment, "comment", column->comment);
    kal_buf_append_byte(d.out, ')');
}

static void dump_option(dumper d, const kal_sql_option *option)
{
    kal_buf_append_cstr(d.out, " (");
    kal_buf_append_bytes(d.out, option->name);
    kal_buf_append_byte(d.out, ' ');
    switch (option->kind) {
    case KAL_SQL_OPTION_STRING:
        dump_quoted(d.out, option->text, '\'');
        break;
    case KAL_SQL_OPTION_INTEGER:
        kal_buf_append_i64_text(d.out, option->integer);
        break;
    case KAL_SQL_OPTION_BOOLEAN:
        kal_buf_append_cstr(d.out, option->boolean ? "TRUE" : "FALSE");
        break;
    case KAL_SQL_OPTION_NULL:
        kal_buf_append_cstr(d.out, "NULL");
        break;
    default: /* WORD, NUMBER */
        kal_buf_append_bytes(d.out, option->text);
        break;
    }
    kal_buf_append_byte(d.out, ')');
}

static void dump_create_table(dumper d, const kal_sql_create_table *table)
{
    kal_buf_append_cstr(d.out, "(create-table");
    dump_table_type(d, table->table_type);
    dump_flag(d, table->if_not_exists, "if-not-exists");
    kal_buf_append_byte(d.out, ' ');
    dump_object(d.out, &table->table);
    for (size_t i = 0; i < table->column_count; i++)
        dump_column_def(d, &table->columns[i]);
    if (table->primary_key.count > 0) {
        kal_buf_append_cstr(d.out, " primary-key");
        dump_names(d.out, table->primary_key);
    }
    if (table->partition_by.count > 0) {
        kal_buf_append_cstr(d.out, " partition-by");
        dump_names(d.out, table->partition_by);
    }
    dump_text(d, table->has_comment, "comment", table->comment);
    for (size_t i = 0; i < table->option_count; i++) {
        kal_buf_append_cstr(d.out, i == 0 ? " (with" : "");
        dump_option(d, &table->options[i]);
        kal_buf_append_cstr(d.out, i + 1 == table->option_count ? ")" : "");
    }
    kal_buf_append_byte(d.out, ')');
}

static void dump_step(dumper d, const kal_sql_alter *step)
{
    static const char *const KINDS[] = {
        [KAL_SQL_ALTER_ADD] = "add",
        [KAL_SQL_ALTER_DROP] = "drop",
        [KAL_SQL_ALTER_RENAME_COLUMN] = "rename",
        [KAL_SQL_ALTER_SET_TYPE] = "type",
        [KAL_SQL_ALTER_SET_NOT_NULL] = "set-not-null",
        [KAL_SQL_ALTER_DROP_NOT_NULL] = "drop-not-null",
        [KAL_SQL_ALTER_SET_DEFAULT] = "set-default",
        [KAL_SQL_ALTER_COMMENT_COLUMN] = "comment-column",
        [KAL_SQL_ALTER_COMMENT_TABLE] = "comment-table",
        [KAL_SQL_ALTER_RENAME_TABLE] = "rename-table",
        [KAL_SQL_ALTER_SET_OPTION] = "option",
    };
    kal_buf_printf(d.out, " (%s", KINDS[step->kind]);
    dump_flag(d, step->if_exists, "if");
    if (kal_sql_name_given(step->column)) {
        kal_buf_append_byte(d.out, ' ');
        dump_name(d.out, step->column);
    }
    if (kal_sql_name_given(step->new_name)) {
        kal_buf_append_cstr(d.out, " to ");
        dump_name(d.out, step->new_name);
    }
    if (step->kind == KAL_SQL_ALTER_ADD)
        dump_column_def(d, &step->def);
    if (step->kind == KAL_SQL_ALTER_SET_TYPE) {
        kal_buf_append_byte(d.out, ' ');
        dump_type(d.out, &step->type);
    }
    if (step->kind == KAL_SQL_ALTER_SET_DEFAULT)
        dump_clause(d, "default", step->default_value);
    dump_text(d, step->comment.ptr != NULL, "comment", step->comment);
    if (step->kind == KAL_SQL_ALTER_SET_OPTION)
        dump_option(d, &step->option);
    kal_buf_append_byte(d.out, ')');
}

static void dump_alter_table(dumper d, const kal_sql_alter_table *alter)
{
    kal_buf_append_cstr(d.out, "(alter-table");
    dump_table_type(d, alter->table_type);
    dump_flag(d, alter->if_exists, "if-exists");
    kal_buf_append_byte(d.out, ' ');
    dump_object(d.out, &alter->table);
    for (size_t i = 0; i < alter->step_count; i++)
        dump_step(d, &alter->steps[i]);
    dump_flag(d, alter->dry_run, "dry-run");
    kal_buf_append_byte(d.out, ')');
}

static void dump_schema_diff(dumper d, const kal_sql_schema_diff *diff)
{
    kal_buf_append_cstr(d.out, "(schema-diff ");
    dump_object(d.out, &diff->table);
    kal_buf_printf(d.out, " %lld %lld)", (long long)diff->from, (long long)diff->to);
}

static void dump_user(dumper d, const kal_sql_user_stmt *user, const char *verb)
{
    static const char *const AUTH[] = {"", "password", "oauth", "internal"};
    kal_buf_printf(d.out, "(%s-user", verb);
    dump_flag(d, user->if_exists, "if-exists");
    dump_flag(d, user->if_not_exists, "if-not-exists");
    kal_buf_append_byte(d.out, ' ');
    dump_name(d.out, user->name);
    dump_text(d, user->auth != KAL_SQL_AUTH_NONE, AUTH[user->auth], user->secret);
    if (user->has_role) {
        kal_buf_append_cstr(d.out, " (role ");
        kal_buf_append_bytes(d.out, user->role.text);
        kal_buf_append_byte(d.out, ')');
    }
    dump_text(d, user->has_email, "email", user->email);
    dump_flag(d, user->erase, "erase");
    kal_buf_append_byte(d.out, ')');
}

static void dump_namespace(dumper d, const kal_sql_namespace_stmt *stmt, const char *verb)
{
    kal_buf_printf(d.out, "(%s", verb);
    dump_flag(d, stmt->if_exists, "if-exists");
    dump_flag(d, stmt->if_not_exists, "if-not-exists");
    kal_buf_append_byte(d.out, ' ');
    dump_name(d.out, stmt->name);
    dump_flag(d, stmt->cascade, "cascade");
    kal_buf_append_byte(d.out, ')');
}

static void dump_table(dumper d, const kal_sql_table_stmt *stmt, const char *verb)
{
    kal_buf_printf(d.out, "(%s", verb);
    dump_table_type(d, stmt->table_type);
    dump_flag(d, stmt->if_exists, "if-exists");
    kal_buf_append_byte(d.out, ' ');
    dump_object(d.out, &stmt->table);
    dump_flag(d, stmt->history, "history");
    if (stmt->at_version)
        kal_buf_printf(d.out, " at %lld", (long long)stmt->version);
    kal_buf_append_byte(d.out, ')');
}

static void dump_show_tables(dumper d, const kal_sql_show_tables *show)
{
    kal_buf_append_cstr(d.out, "(show-tables");
    if (kal_sql_name_given(show->namespace_name)) {
        kal_buf_append_byte(d.out, ' ');
        dump_name(d.out, show->namespace_name);
    }
    kal_buf_append_byte(d.out, ')');
}

static void dump_live_options(dumper d, const kal_sql_live_options *options)
{
    static const char *const ON_SLOW[] = {"", "pause", "coalesce", "close"};
    if (options->has_last_rows)
        kal_buf_printf(d.out, " (last-rows %llu)", (unsigned long long)options->last_rows);
    if (options->has_batch_size)
        kal_buf_printf(d.out, " (batch-size %llu)", (unsigned long long)options->batch_size);
    if (options->has_from)
        kal_buf_printf(d.out, " (from %llu)", (unsigned long long)options->from);
    if (options->on_slow != KAL_SQL_ON_SLOW_UNSPECIFIED)
        kal_buf_printf(d.out, " (on-slow %s)", ON_SLOW[options->on_slow]);
    dump_flag(d, options->hash, "hash");
}

static void dump_live(dumper d, const kal_sql_live *live, const char *verb)
{
    kal_buf_printf(d.out, "(%s ", verb);
    switch (live->kind) {
    case KAL_SQL_LIVE_SELECT:
        dump_select(d, &live->select);
        break;
    case KAL_SQL_LIVE_SCHEMA_TABLE:
        kal_buf_append_cstr(d.out, "schema table ");
        dump_object(d.out, &live->target);
        break;
    case KAL_SQL_LIVE_SCHEMA_NAMESPACE:
        kal_buf_append_cstr(d.out, "schema namespace ");
        dump_object(d.out, &live->target);
        break;
    case KAL_SQL_LIVE_SCHEMA_ALL:
        kal_buf_append_cstr(d.out, "schema all");
        break;
    }
    if (live->group_by.count > 0) {
        kal_buf_append_cstr(d.out, " (group");
        dump_children(d, live->group_by);
        kal_buf_append_byte(d.out, ')');
    }
    dump_live_options(d, &live->options);
    kal_buf_append_byte(d.out, ')');
}

static inline void kal_sql_dump(const kal_sql_statement *statement, kal_buf *out)
{
    dumper d = {statement, out};
    switch (statement->kind) {
    case KAL_STMT_CREATE_NAMESPACE:
        dump_namespace(d, &statement->namespace_stmt, "create-namespace");
        break;
    case KAL_STMT_ALTER_NAMESPACE:
        dump_namespace(d, &statement->namespace_stmt, "alter-namespace");
        break;
    case KAL_STMT_DROP_NAMESPACE:
        dump_namespace(d, &statement->namespace_stmt, "drop-namespace");
        break;
    case KAL_STMT_USE_NAMESPACE:
        dump_namespace(d, &statement->namespace_stmt, "use");
        break;
    case KAL_STMT_CREATE_USER:
        dump_user(d, &statement->user, "create");
        break;
    case KAL_STMT_ALTER_USER:
        dump_user(d, &statement->user, "alter");
        break;
    case KAL_STMT_DROP_USER:
        dump_user(d, &statement->user, "drop");
        break;
    case KAL_STMT_CREATE_TABLE:
        dump_create_table(d, &statement->create_table);
        break;
    case KAL_STMT_ALTER_TABLE:
        dump_alter_table(d, &statement->alter_table);
        break;
    case KAL_STMT_SHOW_SCHEMA_DIFF:
        dump_schema_diff(d, &statement->schema_diff);
        break;
    case KAL_STMT_DROP_TABLE:
        dump_table(d, &statement->table, "drop-table");
        break;
    case KAL_STMT_SHOW_CREATE_TABLE:
        dump_table(d, &statement->table, "show-create-table");
        break;
    case KAL_STMT_SHOW_STATS:
        dump_table(d, &statement->table, "show-stats");
        break;
    case KAL_STMT_DESCRIBE_TABLE:
        dump_table(d, &statement->table, "describe");
        break;
    case KAL_STMT_SHOW_TABLES:
        dump_show_tables(d, &statement->show_tables);
        break;
    case KAL_STMT_INSERT:
        dump_insert(d, &statement->insert);
        break;
    case KAL_STMT_UPDATE:
        dump_update(d, &statement->update);
        break;
    case KAL_STMT_DELETE:
        dump_delete(d, &statement->delete_from);
        break;
    case KAL_STMT_SELECT:
        dump_select(d, &statement->select);
        break;
    case KAL_STMT_SUBSCRIBE:
        dump_live(d, &statement->live, "subscribe");
        break;
    case KAL_STMT_EXPLAIN_LIVE:
        dump_live(d, &statement->live, "explain-live");
        break;
    case KAL_STMT_KILL_LIVE_QUERY:
        kal_buf_append_cstr(out, "(kill-live-query ");
        dump_quoted(out, statement->kill_job.id, '\'');
        kal_buf_append_byte(out, ')');
        break;
    case KAL_STMT_NOT_BUILT:
        kal_buf_printf(out, "(not-built %s)", statement->not_built);
        break;
    default: /* SHOW NAMESPACES, SHOW LIVE QUERIES, BEGIN, COMMIT, ROLLBACK, EXPLAIN */
        kal_buf_printf(out, "(%s)", kal_stmt_name(statement->kind));
        break;
    }
}

#endif
