/*
 * parser_expr.c: expressions, by precedence climbing.
 *
 * The levels are DuckDB's, loosest first (its grammar was probed, not copied):
 *
 *   ->              left; loosest of all, since DuckDB's lambdas share the sign
 *   OR              collected into one node
 *   AND             collected into one node
 *   NOT             prefix
 *   IS              IS NULL, IS DISTINCT FROM
 *   = <> < <= > >=  do not chain: a < b < c is an error
 *   BETWEEN IN LIKE do not chain either
 *   || ->>          left
 *   + -             left
 *   * / %           left
 *   - +             prefix
 *   ::              postfix
 *
 * Invariants: the C stack is bounded by the nesting limit times the number of levels; the height of
 * every node is known when it is made and bounded. Whatever does not fit is a soft failure.
 */
#include "base/assert.h"
#include "sql/parser_internal.h"

typedef enum level {
    LEVEL_NONE, /* not an operator */
    LEVEL_ARROW,
    LEVEL_OR,
    LEVEL_AND,
    LEVEL_NOT,
    LEVEL_IS,
    LEVEL_COMPARE,
    LEVEL_RANGE, /* BETWEEN IN LIKE */
    LEVEL_OTHER,
    LEVEL_ADD,
    LEVEL_MULTIPLY,
    LEVEL_SIGN,
    LEVEL_CAST
} level;

static kal_sql_expr *parse_level(kal_parser *p, level lowest);

/* --- making nodes --- */

kal_sql_expr *kal_parser_new_expr(kal_parser *p, kal_sql_expr_kind kind, uint32_t start)
{
    kal_sql_expr *expr = p->status != KAL_OK ? NULL : kal_arena_try_alloc(p->arena, sizeof *expr);
    if (expr == NULL) {
        kal_parser_fail_memory(p);
        return NULL;
    }
    expr->kind = (uint8_t)kind;
    expr->height = 1;
    expr->position = start;
    expr->start = start;
    expr->end = kal_parser_position(p, p->last_end);
    return expr;
}

/* Parent is now at least one higher than child. */
static bool grow_over(kal_parser *p, kal_sql_expr *parent, const kal_sql_expr *child)
{
    if (child == NULL || child->height < parent->height)
        return true;
    if (child->height >= KAL_SQL_HEIGHT_MAX)
        return kal_parser_fail(p, KAL_LIMIT, parent->position,
                               "expression chains more than %u operators", KAL_SQL_HEIGHT_MAX);
    parent->height = (uint16_t)(child->height + 1);
    return true;
}

static bool grow_over_list(kal_parser *p, kal_sql_expr *parent, kal_sql_exprs list)
{
    for (size_t i = 0; i < list.count; i++)
        if (!grow_over(p, parent, list.items[i]))
            return false;
    return true;
}

static kal_sql_expr *finish(kal_parser *p, kal_sql_expr *expr)
{
    if (p->status != KAL_OK)
        return NULL;
    expr->end = kal_parser_position(p, p->last_end);
    return expr;
}

static kal_sql_expr *not_understood(kal_parser *p)
{
    kal_parser_expected(p, "an expression");
    return NULL;
}

static bool list_end(kal_parser *p, size_t begin, kal_sql_exprs *list_out)
{
    void **items = NULL;
    if (!kal_parser_list_end(p, begin, &items, &list_out->count))
        return false;
    list_out->items = (kal_sql_expr **)items;
    return true;
}

/* expr [, expr ...] */
static bool parse_list(kal_parser *p, kal_sql_exprs *list_out)
{
    size_t begin = kal_parser_list_begin(p);
    do {
        if (!kal_parser_list_push(p, kal_parse_expr(p)))
            return false;
    } while (kal_parser_accept(p, KAL_TOKEN_COMMA));
    return p->status == KAL_OK && list_end(p, begin, list_out);
}

/* --- types --- */

static bool is_type_name(kal_bytes name)
{
    const char *alias = NULL;
    kal_type_tag tag = KAL_TYPE_NULL;
    for (size_t i = 0; kal_type_alias_at(i, &alias, &tag); i++)
        if (kal_bytes_equal_nocase(name, kal_cstr(alias)))
            return true;
    return false;
}

enum { TYPE_WORDS_MAX = 4, TYPE_NAME_BYTES = 64 };

/* Joins up to four words and tells how many of them make the longest known name (0: none). */
static size_t read_type_words(kal_parser *p, char name[static TYPE_NAME_BYTES], size_t *len_out)
{
    kal_sql_lexer ahead = kal_parser_look_ahead(p);
    kal_sql_token token = p->token;
    size_t len = 0;
    size_t known_words = 0;
    *len_out = 0;
    for (size_t words = 1; words <= TYPE_WORDS_MAX && token.kind == KAL_TOKEN_WORD; words++) {
        size_t word_len = token.end - token.start;
        if (len + 1 + word_len > TYPE_NAME_BYTES)
            break;
        if (words > 1)
            name[len++] = ' ';
        for (size_t i = 0; i < word_len; i++)
            name[len++] = kal_ascii_lower((char)ahead.text[token.start + i]);
        if (is_type_name(kal_bytes_of(name, len))) {
            known_words = words;
            *len_out = len;
        } else if (words == 1) {
            *len_out = len;
        }
        token = kal_sql_lexer_next(&ahead);
    }
    return known_words;
}

static bool parse_type_arg(kal_parser *p, kal_sql_type *type)
{
    int64_t value = 0;
    bool negative = kal_parser_accept(p, KAL_TOKEN_MINUS);
    if (!kal_parser_at(p, KAL_TOKEN_NUMBER) || !p->token.is_integer)
        return kal_parser_expected(p, "a whole number as the type's argument");
    if (type->arg_count == KAL_SQL_TYPE_ARGS_MAX)
        return kal_parser_expected(p, "')' after the type's arguments");
    for (uint32_t i = p->token.start; i < p->token.end; i++)
        if (!kal_try_mul(value, 10, &value) || !kal_try_add(value, p->lexer.text[i] - '0', &value))
            value = INT64_MAX; /* out of every type's range, which is all that matters */
    type->args[type->arg_count++] = negative ? -value : value;
    kal_parser_advance(p);
    return p->status == KAL_OK;
}

static bool parse_type_args(kal_parser *p, kal_sql_type *type)
{
    if (!kal_parser_accept(p, KAL_TOKEN_LEFT))
        return p->status == KAL_OK;
    do {
        if (!parse_type_arg(p, type))
            return false;
    } while (kal_parser_accept(p, KAL_TOKEN_COMMA));
    return kal_parser_expect(p, KAL_TOKEN_RIGHT, "')' after the type's arguments");
}

static bool resolve_type(kal_parser *p, kal_sql_type *type)
{
    kal_error error = KAL_ERROR_INIT;
    if (kal_type_from_sql(type->name, type->args, type->arg_count, &type->type, &type->serial,
                          NULL) == KAL_OK)
        return true;
    /* Inside an expression the type is DuckDB's to know, a million times if the client likes; the
     * list of ours and the search for a near name are for columns. */
    if (!p->column_type)
        return kal_parser_fail(p, KAL_SYNTAX, type->position, "unsupported type '%.*s'",
                               KAL_PARSER_SHOWN(type->name));
    kal_status status = kal_type_from_sql(type->name, type->args, type->arg_count, &type->type,
                                          &type->serial, &error);
    kal_parser_fail(p, status, type->position, "%s", error.message);
    if (error.hint[0] != '\0')
        kal_error_hint(&p->error, "%s", error.hint);
    return false;
}

bool kal_parse_type(kal_parser *p, kal_sql_type *type_out)
{
    char name[TYPE_NAME_BYTES];
    size_t len = 0;
    *type_out = (kal_sql_type){.position = kal_parser_position(p, p->token.start)};
    if (p->status != KAL_OK || !kal_parser_at(p, KAL_TOKEN_WORD))
        return kal_parser_expected(p, "a type");
    size_t words = read_type_words(p, name, &len);
    if (len == 0)
        return kal_parser_expected(p, "a type");
    kal_bytes copy = {0};
    if (!kal_arena_try_copy(p->arena, kal_bytes_of(name, len), &copy))
        return kal_parser_fail_memory(p);
    type_out->name = copy;
    for (size_t i = 0; i < (words == 0 ? 1 : words); i++)
        kal_parser_advance(p);
    if (p->status != KAL_OK || !parse_type_args(p, type_out))
        return false;
    return resolve_type(p, type_out);
}

/* --- operands --- */

static kal_sql_expr *parse_number(kal_parser *p)
{
    kal_sql_expr *expr =
        kal_parser_new_expr(p, KAL_SQL_EXPR_NUMBER, kal_parser_position(p, p->token.start));
    if (expr == NULL)
        return NULL;
    expr->number.text = kal_bytes_of(p->lexer.text + p->token.start, p->token.end - p->token.start);
    expr->number.is_integer = p->token.is_integer;
    kal_parser_advance(p);
    return finish(p, expr);
}

static kal_sql_expr *parse_string(kal_parser *p)
{
    kal_sql_expr *expr =
        kal_parser_new_expr(p, KAL_SQL_EXPR_STRING, kal_parser_position(p, p->token.start));
    if (expr == NULL || !kal_parser_token_value(p, &expr->text))
        return NULL;
    kal_parser_advance(p);
    return finish(p, expr);
}

static kal_sql_expr *parse_param(kal_parser *p)
{
    kal_sql_expr *expr =
        kal_parser_new_expr(p, KAL_SQL_EXPR_PARAM, kal_parser_position(p, p->token.start));
    if (expr == NULL)
        return NULL;
    expr->param = p->token.param;
    kal_parser_advance(p);
    return finish(p, expr);
}

static kal_sql_expr *parse_word_literal(kal_parser *p)
{
    bool is_null = kal_parser_at_keyword(p, KAL_KW_NULL);
    kal_sql_expr *expr = kal_parser_new_expr(p, is_null ? KAL_SQL_EXPR_NULL : KAL_SQL_EXPR_BOOLEAN,
                                             kal_parser_position(p, p->token.start));
    if (expr == NULL)
        return NULL;
    expr->boolean = kal_parser_at_keyword(p, KAL_KW_TRUE);
    kal_parser_advance(p);
    return finish(p, expr);
}

/* A type's name before a string. */
static kal_sql_expr *parse_typed(kal_parser *p)
{
    kal_sql_expr *expr =
        kal_parser_new_expr(p, KAL_SQL_EXPR_TYPED, kal_parser_position(p, p->token.start));
    kal_sql_type *type = expr == NULL ? NULL : kal_arena_try_alloc(p->arena, sizeof(kal_sql_type));
    if (type == NULL) {
        kal_parser_fail_memory(p);
        return NULL;
    }
    if (!kal_parse_type(p, type) || !kal_parser_at(p, KAL_TOKEN_STRING))
        return not_understood(p);
    expr->typed.type = type;
    if (!kal_parser_token_value(p, &expr->typed.text))
        return NULL;
    kal_parser_advance(p);
    return finish(p, expr);
}

static kal_sql_expr *parse_cast(kal_parser *p)
{
    uint32_t start = kal_parser_position(p, p->token.start);
    kal_sql_type *type = kal_arena_try_alloc(p->arena, sizeof *type);
    if (type == NULL) {
        kal_parser_fail_memory(p);
        return NULL;
    }
    kal_parser_advance(p);
    if (!kal_parser_expect(p, KAL_TOKEN_LEFT, "'(' after CAST") || !kal_parser_enter(p, start))
        return NULL;
    kal_sql_expr *operand = kal_parse_expr(p);
    kal_parser_leave(p);
    if (operand == NULL || !kal_parser_expect_keyword(p, KAL_KW_AS, "in CAST") ||
        !kal_parse_type(p, type) ||
        !kal_parser_expect(p, KAL_TOKEN_RIGHT, "')' after the type of CAST"))
        return NULL;
    kal_sql_expr *expr = kal_parser_new_expr(p, KAL_SQL_EXPR_CAST, start);
    if (expr == NULL || !grow_over(p, expr, operand))
        return NULL;
    expr->cast.operand = operand;
    expr->cast.type = type;
    return expr;
}

/* WHEN condition THEN result, one or more, then [ELSE result] END */
static kal_sql_expr *parse_case_arms(kal_parser *p, kal_sql_expr *expr)
{
    size_t begin = kal_parser_list_begin(p);
    while (kal_parser_accept_keyword(p, KAL_KW_WHEN)) {
        if (!kal_parser_list_push(p, kal_parse_expr(p)) ||
            !kal_parser_expect_keyword(p, KAL_KW_THEN, "after WHEN") ||
            !kal_parser_list_push(p, kal_parse_expr(p)))
            return NULL;
    }
    if (p->stack.len == begin) {
        kal_parser_expect_keyword(p, KAL_KW_WHEN, "in CASE");
        return NULL;
    }
    if (!list_end(p, begin, &expr->case_when.whens))
        return NULL;
    if (kal_parser_accept_keyword(p, KAL_KW_ELSE)) {
        expr->case_when.otherwise = kal_parse_expr(p);
        if (expr->case_when.otherwise == NULL)
            return NULL;
    }
    if (!kal_parser_expect_keyword(p, KAL_KW_END, "of CASE") ||
        !grow_over(p, expr, expr->case_when.operand) ||
        !grow_over_list(p, expr, expr->case_when.whens) ||
        !grow_over(p, expr, expr->case_when.otherwise))
        return NULL;
    return finish(p, expr);
}

static kal_sql_expr *parse_case(kal_parser *p)
{
    uint32_t start = kal_parser_position(p, p->token.start);
    kal_sql_expr *expr = kal_parser_new_expr(p, KAL_SQL_EXPR_CASE, start);
    if (expr == NULL || !kal_parser_enter(p, start))
        return NULL;
    kal_parser_advance(p);
    if (!kal_parser_at_keyword(p, KAL_KW_WHEN)) {
        expr->case_when.operand = kal_parse_expr(p);
        if (expr->case_when.operand == NULL)
            return NULL;
    }
    expr = parse_case_arms(p, expr);
    kal_parser_leave(p);
    return expr;
}

static kal_sql_expr *parse_parentheses(kal_parser *p)
{
    uint32_t start = kal_parser_position(p, p->token.start);
    if (!kal_parser_enter(p, start))
        return NULL;
    kal_parser_advance(p);
    kal_sql_expr *expr = kal_parse_expr(p);
    kal_parser_leave(p);
    if (expr == NULL || !kal_parser_expect(p, KAL_TOKEN_RIGHT, "')' after the expression"))
        return NULL;
    expr->start = start; /* so that a source slice is always balanced */
    return finish(p, expr);
}

/* [a, b]; `start` is where ARRAY or the bracket stands. */
static kal_sql_expr *parse_array(kal_parser *p, uint32_t start)
{
    kal_sql_expr *expr = kal_parser_new_expr(p, KAL_SQL_EXPR_ARRAY, start);
    if (expr == NULL || !kal_parser_enter(p, start))
        return NULL;
    if (!kal_parser_expect(p, KAL_TOKEN_LEFT_BRACKET, "'[' after ARRAY"))
        return NULL;
    if (!kal_parser_at(p, KAL_TOKEN_RIGHT_BRACKET) && !parse_list(p, &expr->list))
        return NULL;
    kal_parser_leave(p);
    if (!kal_parser_expect(p, KAL_TOKEN_RIGHT_BRACKET, "',' or ']' in the array") ||
        !grow_over_list(p, expr, expr->list))
        return NULL;
    return finish(p, expr);
}

/* The parenthesis and what is in it. */
static bool parse_call_args(kal_parser *p, kal_sql_expr *expr)
{
    if (!kal_parser_enter(p, expr->position))
        return false;
    kal_parser_advance(p);
    if (kal_parser_at(p, KAL_TOKEN_STAR) && p->next.kind == KAL_TOKEN_RIGHT) {
        expr->call.star = true;
        kal_parser_advance(p);
    } else if (!kal_parser_at(p, KAL_TOKEN_RIGHT)) {
        if (!parse_list(p, &expr->call.args) || !grow_over_list(p, expr, expr->call.args))
            return false;
    }
    kal_parser_leave(p);
    return kal_parser_expect(p, KAL_TOKEN_RIGHT, "',' or ')' in the arguments");
}

/* Words that look like functions but have a grammar of their own in DuckDB. */
static bool has_own_grammar(kal_bytes name)
{
    static const char *const NAMES[] = {"exists", "grouping", "grouping_id", "overlay", "position",
                                        "row",    "setof",    "treat",       "values"};
    for (size_t i = 0; i < KAL_ARRAY_LEN(NAMES); i++)
        if (kal_bytes_equal(name, kal_cstr(NAMES[i])))
            return true;
    return false;
}

static bool is_bare_function(kal_sql_name name)
{
    static const char *const NAMES[] = {"current_timestamp", "current_date", "current_time",
                                        "current_user", "current_role"};
    for (size_t i = 0; i < KAL_ARRAY_LEN(NAMES) && !name.quoted; i++)
        if (kal_bytes_equal(name.text, kal_cstr(NAMES[i])))
            return true;
    return false;
}

static kal_sql_expr *parse_call(kal_parser *p, kal_sql_name name)
{
    if (!name.quoted && has_own_grammar(name.text))
        return not_understood(p);
    kal_sql_expr *expr = kal_parser_new_expr(p, KAL_SQL_EXPR_CALL, name.position);
    if (expr == NULL)
        return NULL;
    expr->call.name = name;
    if (!parse_call_args(p, expr))
        return NULL;
    return finish(p, expr);
}

/* Up to three names with dots between them; name[0] is read. False: more, or something else. */
static bool parse_path(kal_parser *p, kal_sql_name names[static 3], size_t *count_out,
                       bool *star_out)
{
    *count_out = 1;
    *star_out = false;
    while (kal_parser_accept(p, KAL_TOKEN_DOT)) {
        if (kal_parser_at(p, KAL_TOKEN_STAR) && *count_out < 3) {
            *star_out = true;
            kal_parser_advance(p);
            return p->status == KAL_OK;
        }
        if (*count_out == 3)
            return kal_parser_expected(p, "at most [namespace.]table.column");
        /* after a dot every word is a name */
        if (kal_parser_at(p, KAL_TOKEN_WORD))
            p->token.keyword = KAL_KW_NONE;
        if (!kal_parser_name(p, "a name after '.'", &names[*count_out]))
            return false;
        (*count_out)++;
    }
    return p->status == KAL_OK;
}

static kal_sql_expr *make_column(kal_parser *p, const kal_sql_name names[static 3], size_t count,
                                 bool star)
{
    kal_sql_expr *expr =
        kal_parser_new_expr(p, star ? KAL_SQL_EXPR_STAR : KAL_SQL_EXPR_COLUMN, names[0].position);
    size_t qualifier_count = star ? count : count - 1;
    if (expr == NULL)
        return NULL;
    if (!star)
        expr->column.name = names[count - 1];
    if (qualifier_count > 0) {
        kal_sql_name *copy = kal_arena_try_array(p->arena, qualifier_count, sizeof *copy);
        if (copy == NULL) {
            kal_parser_fail_memory(p);
            return NULL;
        }
        memcpy(copy, names, qualifier_count * sizeof *copy);
        expr->column.qualifiers = copy;
        expr->column.qualifier_count = qualifier_count;
    }
    return expr;
}

/* A column, a function call, or (star_allowed) t.* */
static kal_sql_expr *parse_named(kal_parser *p, bool star_allowed)
{
    kal_sql_name names[3] = {0};
    size_t count = 0;
    bool star = false;
    if (!kal_parser_name(p, "an expression", &names[0]))
        return NULL;
    if (kal_parser_at(p, KAL_TOKEN_LEFT))
        return parse_call(p, names[0]);
    if (!kal_parser_at(p, KAL_TOKEN_DOT) && is_bare_function(names[0])) {
        kal_sql_expr *expr = kal_parser_new_expr(p, KAL_SQL_EXPR_CALL, names[0].position);
        if (expr == NULL)
            return NULL;
        expr->call.name = names[0];
        expr->call.bare = true;
        return expr;
    }
    if (!parse_path(p, names, &count, &star) || (star && !star_allowed) ||
        kal_parser_at(p, KAL_TOKEN_LEFT))
        return not_understood(p);
    return make_column(p, names, count, star);
}

static kal_sql_expr *parse_word(kal_parser *p)
{
    switch (p->token.keyword) {
    case KAL_KW_NULL:
    case KAL_KW_TRUE:
    case KAL_KW_FALSE:
        return parse_word_literal(p);
    case KAL_KW_CAST:
        return parse_cast(p);
    case KAL_KW_CASE:
        return parse_case(p);
    case KAL_KW_ARRAY: {
        uint32_t start = kal_parser_position(p, p->token.start);
        kal_parser_advance(p);
        return parse_array(p, start);
    }
    case KAL_KW_INTERVAL:
        return not_understood(p);
    default:
        break;
    }
    if (p->next.kind == KAL_TOKEN_STRING)
        return parse_typed(p);
    return parse_named(p, false);
}

static kal_sql_expr *parse_operand(kal_parser *p)
{
    switch (p->token.kind) {
    case KAL_TOKEN_WORD:
        return parse_word(p);
    case KAL_TOKEN_QUOTED:
        return parse_named(p, false);
    case KAL_TOKEN_STRING:
        return parse_string(p);
    case KAL_TOKEN_NUMBER:
        return parse_number(p);
    case KAL_TOKEN_PARAM:
        return parse_param(p);
    case KAL_TOKEN_LEFT:
        return parse_parentheses(p);
    case KAL_TOKEN_LEFT_BRACKET:
        return parse_array(p, kal_parser_position(p, p->token.start));
    default:
        return not_understood(p);
    }
}

/* --- prefixes --- */

/* -7 is one literal, as in DuckDB; -7::x is not, its operand being a CAST by now. */
static kal_sql_expr *fold_minus(kal_parser *p, kal_sql_expr *number, uint32_t start)
{
    kal_bytes text = number->number.text;
    uint8_t *copy = kal_arena_try_alloc(p->arena, text.len + 1);
    if (copy == NULL) {
        kal_parser_fail_memory(p);
        return NULL;
    }
    copy[0] = '-';
    memcpy(copy + 1, text.ptr, text.len);
    number->number.text = kal_bytes_of(copy, text.len + 1);
    number->start = start;
    number->position = start;
    return number;
}

static kal_sql_expr *parse_sign(kal_parser *p)
{
    uint32_t start = kal_parser_position(p, p->token.start);
    bool minus = kal_parser_at(p, KAL_TOKEN_MINUS);
    if (!kal_parser_enter(p, start))
        return NULL;
    kal_parser_advance(p);
    kal_sql_expr *operand = parse_level(p, LEVEL_SIGN);
    kal_parser_leave(p);
    if (operand == NULL)
        return NULL;
    /* not twice, and not what parentheses keep apart */
    if (minus && operand->kind == KAL_SQL_EXPR_NUMBER && operand->number.text.ptr[0] != '-' &&
        operand->start == operand->position)
        return fold_minus(p, operand, start);
    kal_sql_expr *expr = kal_parser_new_expr(p, KAL_SQL_EXPR_UNARY, start);
    if (expr == NULL || !grow_over(p, expr, operand))
        return NULL;
    expr->unary_op = minus ? KAL_SQL_UNARY_MINUS : KAL_SQL_UNARY_PLUS;
    expr->operand = operand;
    return expr;
}

static kal_sql_expr *parse_not(kal_parser *p)
{
    uint32_t start = kal_parser_position(p, p->token.start);
    if (!kal_parser_enter(p, start))
        return NULL;
    kal_parser_advance(p);
    kal_sql_expr *operand = parse_level(p, LEVEL_NOT);
    kal_parser_leave(p);
    kal_sql_expr *expr = operand == NULL ? NULL : kal_parser_new_expr(p, KAL_SQL_EXPR_NOT, start);
    if (expr == NULL || !grow_over(p, expr, operand))
        return NULL;
    expr->operand = operand;
    return expr;
}

static kal_sql_expr *parse_prefix(kal_parser *p, level lowest)
{
    if (p->status != KAL_OK)
        return NULL;
    if (kal_parser_at(p, KAL_TOKEN_MINUS) || kal_parser_at(p, KAL_TOKEN_PLUS))
        return parse_sign(p);
    /* a = NOT b is DuckDB's to read: its operand reaches further than the level says */
    if (kal_parser_at_keyword(p, KAL_KW_NOT))
        return lowest <= LEVEL_NOT ? parse_not(p) : not_understood(p);
    return parse_operand(p);
}

/* --- operators --- */

typedef struct infix {
    level level;
    bool is_word; /* IS, IN, LIKE, ..., perhaps after NOT; .binary_op has no meaning */
    kal_sql_binary_op binary_op;
} infix;

static infix word_infix(const kal_parser *p)
{
    kal_sql_keyword keyword = p->token.keyword;
    if (keyword == KAL_KW_NOT)
        keyword = p->next.keyword;
    else if (keyword == KAL_KW_OR)
        return (infix){.level = LEVEL_OR};
    else if (keyword == KAL_KW_AND)
        return (infix){.level = LEVEL_AND};
    else if (keyword == KAL_KW_IS || keyword == KAL_KW_ISNULL || keyword == KAL_KW_NOTNULL)
        return (infix){.level = LEVEL_IS, .is_word = true};
    if (keyword == KAL_KW_IN || keyword == KAL_KW_BETWEEN || keyword == KAL_KW_LIKE ||
        keyword == KAL_KW_ILIKE)
        return (infix){.level = LEVEL_RANGE, .is_word = true};
    return (infix){.level = LEVEL_NONE};
}

static infix infix_here(const kal_parser *p)
{
    switch (p->token.kind) {
    case KAL_TOKEN_WORD:
        return word_infix(p);
    case KAL_TOKEN_ARROW:
        return (infix){LEVEL_ARROW, false, KAL_SQL_BINARY_ARROW};
    case KAL_TOKEN_EQ:
        return (infix){LEVEL_COMPARE, false, KAL_SQL_BINARY_EQ};
    case KAL_TOKEN_NE:
        return (infix){LEVEL_COMPARE, false, KAL_SQL_BINARY_NE};
    case KAL_TOKEN_LT:
        return (infix){LEVEL_COMPARE, false, KAL_SQL_BINARY_LT};
    case KAL_TOKEN_LE:
        return (infix){LEVEL_COMPARE, false, KAL_SQL_BINARY_LE};
    case KAL_TOKEN_GT:
        return (infix){LEVEL_COMPARE, false, KAL_SQL_BINARY_GT};
    case KAL_TOKEN_GE:
        return (infix){LEVEL_COMPARE, false, KAL_SQL_BINARY_GE};
    case KAL_TOKEN_CONCAT:
        return (infix){LEVEL_OTHER, false, KAL_SQL_BINARY_CONCAT};
    case KAL_TOKEN_ARROW_TEXT:
        return (infix){LEVEL_OTHER, false, KAL_SQL_BINARY_ARROW_TEXT};
    case KAL_TOKEN_PLUS:
        return (infix){LEVEL_ADD, false, KAL_SQL_BINARY_ADD};
    case KAL_TOKEN_MINUS:
        return (infix){LEVEL_ADD, false, KAL_SQL_BINARY_SUBTRACT};
    case KAL_TOKEN_STAR:
        return (infix){LEVEL_MULTIPLY, false, KAL_SQL_BINARY_MULTIPLY};
    case KAL_TOKEN_SLASH:
        return (infix){LEVEL_MULTIPLY, false, KAL_SQL_BINARY_DIVIDE};
    case KAL_TOKEN_PERCENT:
        return (infix){LEVEL_MULTIPLY, false, KAL_SQL_BINARY_MODULO};
    case KAL_TOKEN_CAST:
        return (infix){.level = LEVEL_CAST};
    default:
        return (infix){.level = LEVEL_NONE};
    }
}

/* a AND b AND c: all operands of one run. */
static kal_sql_expr *parse_chain(kal_parser *p, kal_sql_expr *first, level at)
{
    kal_sql_keyword keyword = at == LEVEL_AND ? KAL_KW_AND : KAL_KW_OR;
    size_t begin = kal_parser_list_begin(p);
    uint32_t position = kal_parser_position(p, p->token.start);
    if (!kal_parser_list_push(p, first))
        return NULL;
    while (kal_parser_accept_keyword(p, keyword))
        if (!kal_parser_list_push(p, parse_level(p, (level)(at + 1))))
            return NULL;
    kal_sql_expr *expr =
        kal_parser_new_expr(p, at == LEVEL_AND ? KAL_SQL_EXPR_AND : KAL_SQL_EXPR_OR, first->start);
    if (expr == NULL || !list_end(p, begin, &expr->list))
        return NULL;
    expr->position = position;
    return grow_over_list(p, expr, expr->list) ? expr : NULL;
}

static kal_sql_expr *make_binary(kal_parser *p, kal_sql_expr_kind kind, uint32_t position,
                                 kal_sql_expr *left, kal_sql_expr *right)
{
    kal_sql_expr *expr = right == NULL ? NULL : kal_parser_new_expr(p, kind, left->start);
    if (expr == NULL)
        return NULL;
    expr->position = position;
    expr->binary.left = left;
    expr->binary.right = right;
    return grow_over(p, expr, left) && grow_over(p, expr, right) ? expr : NULL;
}

static kal_sql_expr *parse_binary(kal_parser *p, kal_sql_expr *left, infix op)
{
    uint32_t position = kal_parser_position(p, p->token.start);
    kal_parser_advance(p);
    kal_sql_expr *expr =
        make_binary(p, KAL_SQL_EXPR_BINARY, position, left, parse_level(p, (level)(op.level + 1)));
    if (expr != NULL)
        expr->binary_op = (uint8_t)op.binary_op;
    return expr;
}

static kal_sql_expr *make_is_null(kal_parser *p, kal_sql_expr *left, uint32_t position,
                                  bool negated)
{
    kal_sql_expr *expr = kal_parser_new_expr(p, KAL_SQL_EXPR_IS_NULL, left->start);
    if (expr == NULL || !grow_over(p, expr, left))
        return NULL;
    expr->position = position;
    expr->operand = left;
    expr->negated = negated;
    return expr;
}

/* open_out: the right side is an operand, so no further operator of the level may follow */
static kal_sql_expr *parse_is(kal_parser *p, kal_sql_expr *left, bool *open_out)
{
    uint32_t position = kal_parser_position(p, p->token.start);
    if (kal_parser_accept_keyword(p, KAL_KW_ISNULL))
        return make_is_null(p, left, position, false);
    if (kal_parser_accept_keyword(p, KAL_KW_NOTNULL))
        return make_is_null(p, left, position, true);
    kal_parser_advance(p);
    bool negated = kal_parser_accept_keyword(p, KAL_KW_NOT);
    if (kal_parser_accept_keyword(p, KAL_KW_NULL))
        return make_is_null(p, left, position, negated);
    if (!kal_parser_accept_keyword(p, KAL_KW_DISTINCT)) {
        kal_parser_expected(p, "NULL or DISTINCT FROM after IS");
        return NULL;
    }
    if (!kal_parser_expect_keyword(p, KAL_KW_FROM, "after IS DISTINCT"))
        return NULL;
    *open_out = true;
    kal_sql_expr *expr =
        make_binary(p, KAL_SQL_EXPR_IS_DISTINCT, position, left, parse_level(p, LEVEL_COMPARE));
    if (expr != NULL)
        expr->negated = negated;
    return expr;
}

static kal_sql_expr *parse_in(kal_parser *p, kal_sql_expr *left)
{
    kal_sql_expr *expr = kal_parser_new_expr(p, KAL_SQL_EXPR_IN, left->start);
    uint32_t parenthesis = kal_parser_position(p, p->token.start);
    if (expr == NULL || !kal_parser_expect(p, KAL_TOKEN_LEFT, "'(' after IN") ||
        !kal_parser_enter(p, parenthesis) || !parse_list(p, &expr->in.list))
        return NULL;
    kal_parser_leave(p);
    if (!kal_parser_expect(p, KAL_TOKEN_RIGHT, "',' or ')' in the list of IN") ||
        !grow_over(p, expr, left) || !grow_over_list(p, expr, expr->in.list))
        return NULL;
    expr->in.subject = left;
    return finish(p, expr);
}

static kal_sql_expr *parse_between(kal_parser *p, kal_sql_expr *left)
{
    if (p->token.keyword == KAL_KW_SYMMETRIC || p->token.keyword == KAL_KW_ASYMMETRIC)
        return not_understood(p);
    kal_sql_expr *low = parse_level(p, LEVEL_OTHER);
    if (low == NULL || !kal_parser_expect_keyword(p, KAL_KW_AND, "of BETWEEN"))
        return NULL;
    kal_sql_expr *high = parse_level(p, LEVEL_OTHER);
    kal_sql_expr *expr =
        high == NULL ? NULL : kal_parser_new_expr(p, KAL_SQL_EXPR_BETWEEN, left->start);
    if (expr == NULL || !grow_over(p, expr, left) || !grow_over(p, expr, low) ||
        !grow_over(p, expr, high))
        return NULL;
    expr->between.subject = left;
    expr->between.low = low;
    expr->between.high = high;
    return expr;
}

static kal_sql_expr *parse_like(kal_parser *p, kal_sql_expr *left, bool nocase)
{
    kal_sql_expr *escape = NULL;
    kal_sql_expr *pattern = parse_level(p, LEVEL_OTHER);
    if (pattern != NULL && kal_parser_accept_keyword(p, KAL_KW_ESCAPE)) {
        escape = parse_level(p, LEVEL_OTHER);
        if (escape == NULL)
            return NULL;
    }
    kal_sql_expr *expr =
        pattern == NULL ? NULL : kal_parser_new_expr(p, KAL_SQL_EXPR_LIKE, left->start);
    if (expr == NULL || !grow_over(p, expr, left) || !grow_over(p, expr, pattern) ||
        !grow_over(p, expr, escape))
        return NULL;
    expr->nocase = nocase;
    expr->like.subject = left;
    expr->like.pattern = pattern;
    expr->like.escape = escape;
    return expr;
}

/* [NOT] IN, BETWEEN, LIKE, ILIKE */
static kal_sql_expr *parse_range(kal_parser *p, kal_sql_expr *left, bool *open_out)
{
    uint32_t position = kal_parser_position(p, p->token.start);
    bool negated = kal_parser_accept_keyword(p, KAL_KW_NOT);
    kal_sql_keyword keyword = p->token.keyword;
    kal_sql_expr *expr = NULL;
    kal_parser_advance(p);
    *open_out = keyword != KAL_KW_IN;
    if (p->status != KAL_OK)
        return NULL;
    if (keyword == KAL_KW_IN)
        expr = parse_in(p, left);
    else if (keyword == KAL_KW_BETWEEN)
        expr = parse_between(p, left);
    else
        expr = parse_like(p, left, keyword == KAL_KW_ILIKE);
    if (expr != NULL) {
        expr->negated = negated;
        expr->position = position;
    }
    return expr;
}

static kal_sql_expr *parse_cast_sign(kal_parser *p, kal_sql_expr *left)
{
    uint32_t position = kal_parser_position(p, p->token.start);
    kal_sql_type *type = kal_arena_try_alloc(p->arena, sizeof *type);
    if (type == NULL) {
        kal_parser_fail_memory(p);
        return NULL;
    }
    kal_parser_advance(p);
    if (!kal_parse_type(p, type))
        return NULL;
    kal_sql_expr *expr = kal_parser_new_expr(p, KAL_SQL_EXPR_CAST, left->start);
    if (expr == NULL || !grow_over(p, expr, left))
        return NULL;
    expr->position = position;
    expr->cast.operand = left;
    expr->cast.type = type;
    return expr;
}

static kal_sql_expr *parse_infix(kal_parser *p, kal_sql_expr *left, infix op, bool *open_out)
{
    *open_out = false;
    switch (op.level) {
    case LEVEL_OR:
    case LEVEL_AND:
        return parse_chain(p, left, op.level);
    case LEVEL_IS:
        return parse_is(p, left, open_out);
    case LEVEL_RANGE:
        return parse_range(p, left, open_out);
    case LEVEL_CAST:
        return parse_cast_sign(p, left);
    default:
        *open_out = op.level == LEVEL_COMPARE;
        return parse_binary(p, left, op);
    }
}

/* An operand and all operators that bind at least as tightly as `lowest`. */
static kal_sql_expr *parse_level(kal_parser *p, level lowest)
{
    level closed = LEVEL_NONE; /* a level that may not go on: a < b < c */
    kal_sql_expr *left = parse_prefix(p, lowest);
    while (left != NULL) {
        infix op = infix_here(p);
        if (op.level < lowest || op.level == LEVEL_NONE)
            return left;
        if (op.level == closed)
            return not_understood(p);
        bool open = false;
        left = parse_infix(p, left, op, &open);
        closed = open ? op.level : LEVEL_NONE;
    }
    return NULL;
}

kal_sql_expr *kal_parse_expr(kal_parser *p)
{
    return parse_level(p, LEVEL_ARROW);
}

/* --- entry points of statements --- */

kal_sql_expr *kal_parse_item_expr(kal_parser *p)
{
    if (kal_parser_at(p, KAL_TOKEN_STAR)) {
        kal_sql_expr *star =
            kal_parser_new_expr(p, KAL_SQL_EXPR_STAR, kal_parser_position(p, p->token.start));
        if (star == NULL)
            return NULL;
        kal_parser_advance(p);
        return finish(p, star);
    }
    if (kal_parser_at_name(p) && p->next.kind == KAL_TOKEN_DOT) {
        kal_parser_mark mark = kal_parser_mark_here(p);
        kal_sql_expr *expr = parse_named(p, true);
        if (expr != NULL && expr->kind == KAL_SQL_EXPR_STAR)
            return expr;
        if (expr == NULL && !kal_parser_failed_soft(p))
            return NULL;
        kal_parser_go_back(p, &mark);
    }
    return kal_parse_expr(p);
}

/* Goes back to mark and keeps the text up to a stop; the soft failure becomes the reason. */
static kal_sql_expr *keep_raw(kal_parser *p, const kal_parser_mark *mark)
{
    kal_error why = p->error;
    kal_bytes reason = {0};
    kal_parser_go_back(p, mark);
    uint32_t start = kal_parser_position(p, p->token.start);
    if (!kal_arena_try_copy(p->arena, kal_cstr(why.message), &reason)) {
        kal_parser_fail_memory(p);
        return NULL;
    }
    if (!kal_parser_skip_until(p, KAL_STOP_EXPR))
        return NULL;
    kal_sql_expr *expr = kal_parser_new_expr(p, KAL_SQL_EXPR_RAW, start);
    if (expr == NULL)
        return NULL;
    expr->raw.reason = reason;
    expr->raw.reason_position = (uint32_t)why.position;
    return expr;
}

kal_sql_expr *kal_parse_expr_or_raw(kal_parser *p, const char *what)
{
    kal_parser_mark mark = kal_parser_mark_here(p);
    if (p->status != KAL_OK)
        return NULL;
    if (kal_parser_at_stop(p, KAL_STOP_EXPR)) {
        kal_parser_expected(p, what);
        return NULL;
    }
    kal_sql_expr *expr = kal_parse_expr(p);
    if (expr != NULL && kal_parser_at_stop(p, KAL_STOP_EXPR))
        return expr;
    if (expr != NULL)
        kal_parser_expected(p, "an operator or the end of the expression");
    if (!kal_parser_failed_soft(p))
        return NULL;
    return keep_raw(p, &mark);
}

static bool is_literal(const kal_sql_expr *expr)
{
    switch (expr->kind) {
    case KAL_SQL_EXPR_NULL:
    case KAL_SQL_EXPR_BOOLEAN:
    case KAL_SQL_EXPR_NUMBER:
    case KAL_SQL_EXPR_STRING:
    case KAL_SQL_EXPR_TYPED:
        return true;
    default:
        return false;
    }
}

static bool are_literals(kal_sql_exprs list)
{
    for (size_t i = 0; i < list.count; i++)
        if (!is_literal(list.items[i]))
            return false;
    return true;
}

kal_sql_expr *kal_parse_default(kal_parser *p, const kal_sql_name *column)
{
    kal_sql_expr *expr = parse_level(p, LEVEL_OTHER);
    if (expr == NULL)
        return NULL;
    if (expr->kind == KAL_SQL_EXPR_CAST && expr->cast.operand->kind == KAL_SQL_EXPR_STRING) {
        kal_bytes text = expr->cast.operand->text;
        const kal_sql_type *type = expr->cast.type;
        expr->kind = KAL_SQL_EXPR_TYPED;
        expr->height = 1;
        expr->position = expr->start;
        expr->typed.type = type;
        expr->typed.text = text;
    }
    if (is_literal(expr) || (expr->kind == KAL_SQL_EXPR_ARRAY && are_literals(expr->list)) ||
        (expr->kind == KAL_SQL_EXPR_CALL && !expr->call.star && are_literals(expr->call.args)))
        return expr;
    kal_parser_fail(p, KAL_SYNTAX, expr->start,
                    "DEFAULT of column '%.*s' must be a literal or a function of literals",
                    KAL_PARSER_SHOWN(column->text));
    return NULL;
}
