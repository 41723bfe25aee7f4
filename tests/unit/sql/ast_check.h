/*
 * ast_check.h: what ast.h promises of every tree: heights that bound recursion, sources that lie
 * inside the statement and inside the source of the node above, parameters in range.
 */
#ifndef KAL_TESTS_SQL_AST_CHECK_H
#define KAL_TESTS_SQL_AST_CHECK_H

#include "base/assert.h"
#include "sql/ast.h"

static void check_expr(const kal_sql_statement *statement, const kal_sql_expr *expr);

static void check_child(const kal_sql_statement *statement, const kal_sql_expr *parent,
                        const kal_sql_expr *child)
{
    if (child == NULL)
        return;
    KAL_ASSERT(child->height < parent->height);
    KAL_ASSERT(child->start >= parent->start);
    KAL_ASSERT(child->end <= parent->end);
    check_expr(statement, child);
}

static void check_children(const kal_sql_statement *statement, const kal_sql_expr *parent,
                           kal_sql_exprs list)
{
    for (size_t i = 0; i < list.count; i++)
        check_child(statement, parent, list.items[i]);
}

static void check_expr(const kal_sql_statement *statement, const kal_sql_expr *expr)
{
    KAL_ASSERT(expr->height >= 1);
    KAL_ASSERT(expr->height <= KAL_SQL_HEIGHT_MAX);
    KAL_ASSERT(kal_sql_expr_source(statement, expr).len > 0);
    KAL_ASSERT(expr->position >= expr->start);
    KAL_ASSERT(expr->position < expr->end);
    switch ((kal_sql_expr_kind)expr->kind) {
    case KAL_SQL_EXPR_PARAM:
        KAL_ASSERT(expr->param >= 1);
        KAL_ASSERT(expr->param <= statement->param_max);
        break;
    case KAL_SQL_EXPR_RAW:
        KAL_ASSERT(expr->raw.reason.len > 0);
        KAL_ASSERT(expr->raw.reason_position >= statement->position);
        break;
    case KAL_SQL_EXPR_UNARY:
    case KAL_SQL_EXPR_NOT:
    case KAL_SQL_EXPR_IS_NULL:
        check_child(statement, expr, expr->operand);
        break;
    case KAL_SQL_EXPR_BINARY:
    case KAL_SQL_EXPR_IS_DISTINCT:
        check_child(statement, expr, expr->binary.left);
        check_child(statement, expr, expr->binary.right);
        break;
    case KAL_SQL_EXPR_AND:
    case KAL_SQL_EXPR_OR:
        KAL_ASSERT(expr->list.count >= 2);
        check_children(statement, expr, expr->list);
        break;
    case KAL_SQL_EXPR_ARRAY:
        check_children(statement, expr, expr->list);
        break;
    case KAL_SQL_EXPR_IN:
        KAL_ASSERT(expr->in.list.count >= 1);
        check_child(statement, expr, expr->in.subject);
        check_children(statement, expr, expr->in.list);
        break;
    case KAL_SQL_EXPR_BETWEEN:
        check_child(statement, expr, expr->between.subject);
        check_child(statement, expr, expr->between.low);
        check_child(statement, expr, expr->between.high);
        break;
    case KAL_SQL_EXPR_LIKE:
        check_child(statement, expr, expr->like.subject);
        check_child(statement, expr, expr->like.pattern);
        check_child(statement, expr, expr->like.escape);
        break;
    case KAL_SQL_EXPR_CAST:
        check_child(statement, expr, expr->cast.operand);
        break;
    case KAL_SQL_EXPR_CALL:
        check_children(statement, expr, expr->call.args);
        break;
    case KAL_SQL_EXPR_CASE:
        KAL_ASSERT(expr->case_when.whens.count >= 2);
        KAL_ASSERT(expr->case_when.whens.count % 2 == 0);
        check_child(statement, expr, expr->case_when.operand);
        check_children(statement, expr, expr->case_when.whens);
        check_child(statement, expr, expr->case_when.otherwise);
        break;
    default: /* leaves */
        KAL_ASSERT(expr->height == 1);
        break;
    }
}

static void check_optional(const kal_sql_statement *statement, const kal_sql_expr *expr)
{
    if (expr != NULL)
        check_expr(statement, expr);
}

static void check_items(const kal_sql_statement *statement, kal_sql_items items)
{
    for (size_t i = 0; i < items.count; i++)
        check_expr(statement, items.items[i].expr);
}

static void check_assignments(const kal_sql_statement *statement, kal_sql_assignments set)
{
    for (size_t i = 0; i < set.count; i++)
        check_expr(statement, set.items[i].value);
}

static void check_select(const kal_sql_statement *statement, const kal_sql_select *select)
{
    KAL_ASSERT(select->text.len > 0);
    KAL_ASSERT(select->position >= statement->position);
    if (!select->is_simple) {
        KAL_ASSERT(select->reason.len > 0);
        return;
    }
    KAL_ASSERT(select->items.count >= 1);
    check_items(statement, select->items);
    check_optional(statement, select->where);
    for (size_t i = 0; i < select->order_by_count; i++)
        check_expr(statement, select->order_by[i].expr);
    check_optional(statement, select->limit);
    check_optional(statement, select->offset);
}

static void check_insert(const kal_sql_statement *statement, const kal_sql_insert *insert)
{
    for (size_t i = 0; i < insert->row_count; i++) {
        KAL_ASSERT(insert->rows[i].count >= 1);
        for (size_t j = 0; j < insert->rows[i].count; j++)
            check_expr(statement, insert->rows[i].values[j]);
    }
    if (insert->source == KAL_SQL_INSERT_SELECT)
        check_select(statement, insert->select);
    check_assignments(statement, insert->conflict_set);
    check_optional(statement, insert->conflict_where);
    check_items(statement, insert->returning);
}

static void check_create_table(const kal_sql_statement *statement,
                               const kal_sql_create_table *table)
{
    KAL_ASSERT(table->column_count >= 1);
    for (size_t i = 0; i < table->column_count; i++)
        check_optional(statement, table->columns[i].default_value);
    for (size_t i = 0; i < table->option_count; i++) {
        KAL_ASSERT(table->options[i].name.len > 0);
        KAL_ASSERT(table->options[i].position >= statement->position);
    }
}

static inline void check_live(const kal_sql_statement *statement, const kal_sql_live *live)
{
    KAL_ASSERT(live->text.len > 0);
    KAL_ASSERT(live->param_max <= KAL_SQL_PARAM_MAX);
    if (live->kind != KAL_SQL_LIVE_SELECT) {
        KAL_ASSERT((live->kind == KAL_SQL_LIVE_SCHEMA_ALL) !=
                   kal_sql_name_given(live->target.name));
        return;
    }
    KAL_ASSERT(live->select.is_simple);
    KAL_ASSERT(live->select.has_from);
    KAL_ASSERT(live->select.offset == NULL);
    KAL_ASSERT((live->select.limit != NULL) == (live->select.order_by_count > 0));
    check_select(statement, &live->select);
    for (size_t i = 0; i < live->group_by.count; i++)
        check_expr(statement, live->group_by.items[i]);
    for (size_t i = 0; i < live->select.items.count; i++)
        KAL_ASSERT(kal_sql_live_source(live, live->select.items.items[i].expr).len > 0);
}

static inline void check_statement(const kal_sql_statement *statement)
{
    bool unbuilt = statement->kind == KAL_STMT_NOT_BUILT || statement->kind == KAL_STMT_EXPLAIN;
    KAL_ASSERT(unbuilt == (statement->not_built != NULL));
    switch (statement->kind) {
    case KAL_STMT_SELECT:
        check_select(statement, &statement->select);
        break;
    case KAL_STMT_SUBSCRIBE:
    case KAL_STMT_EXPLAIN_LIVE:
        check_live(statement, &statement->live);
        break;
    case KAL_STMT_INSERT:
        check_insert(statement, &statement->insert);
        break;
    case KAL_STMT_UPDATE:
        KAL_ASSERT(statement->update.set.count >= 1);
        check_assignments(statement, statement->update.set);
        check_optional(statement, statement->update.where);
        check_items(statement, statement->update.returning);
        break;
    case KAL_STMT_DELETE:
        check_optional(statement, statement->delete_from.where);
        check_items(statement, statement->delete_from.returning);
        break;
    case KAL_STMT_ALTER_TABLE:
        KAL_ASSERT(statement->alter_table.step_count >= 1);
        for (size_t i = 0; i < statement->alter_table.step_count; i++) {
            check_optional(statement, statement->alter_table.steps[i].default_value);
            check_optional(statement, statement->alter_table.steps[i].def.default_value);
        }
        break;
    case KAL_STMT_CREATE_TABLE:
        check_create_table(statement, &statement->create_table);
        break;
    default:
        break;
    }
}

#endif
