#include "sql/binder.h"
#include "base/assert.h"
#include "base/json_writer.h"

/* Digits up to which a decimal literal becomes the same double or float in every way of converting
 * it, and the integers that every way makes the same float. */
enum { EXACT_DOUBLE_DIGITS = 15, EXACT_FLOAT_DIGITS = 7, EXACT_FLOAT_INTEGER = 1 << 24 };

kal_bytes kal_hidden_name(size_t hidden)
{
    return hidden == KAL_HIDDEN_SEQ ? KAL_STR("_seq") : KAL_STR("_deleted");
}

kal_type kal_hidden_type(size_t hidden)
{
    return kal_type_of(hidden == KAL_HIDDEN_SEQ ? KAL_TYPE_BIGINT : KAL_TYPE_BOOLEAN);
}

/* A bound node and whether its type is still open: literals take the type of their peer. */
typedef struct operand {
    kal_expr *expr;
    bool open;
    const kal_json *json; /* of a parameter: what was sent */
} operand;

static kal_status bind(kal_binder *b, const kal_sql_expr *e, operand *out, kal_error *err);

static kal_status to_engine(kal_binder *b, kal_error *err)
{
    b->for_engine = true;
    return kal_error_set(err, KAL_UNSUPPORTED, "this expression needs the query engine");
}

static kal_expr *new_node(kal_binder *b, const kal_sql_expr *e, kal_expr_kind kind, kal_type type,
                          uint32_t child_count)
{
    kal_expr *node = KAL_NEW(b->arena, kal_expr);
    node->kind = kind;
    node->type = type;
    node->position = e->position;
    node->child_count = child_count;
    if (child_count > 0)
        node->children = kal_arena_alloc(b->arena, child_count * sizeof *node->children);
    return node;
}

static operand literal(kal_binder *b, const kal_sql_expr *e, kal_value v, bool open)
{
    kal_expr *node = new_node(b, e, KAL_EXPR_LITERAL, v.type, 0);
    node->literal = v;
    return (operand){.expr = node, .open = open};
}

static kal_type boolean_type(void)
{
    return kal_type_of(KAL_TYPE_BOOLEAN);
}

/* ---- leaves ---- */

static kal_status bind_number(kal_binder *b, const kal_sql_expr *e, operand *out, kal_error *err)
{
    int64_t integer = 0;
    double real = 0;
    kal_bytes text = e->number.text;

    if (e->number.is_integer) {
        if (!kal_parse_i64(text, &integer))
            return to_engine(b, err);
        bool is_int = integer >= INT32_MIN && integer <= INT32_MAX;
        kal_value v = kal_value_integer(is_int ? KAL_TYPE_INT : KAL_TYPE_BIGINT, integer);
        *out = literal(b, e, v, true);
        return KAL_OK;
    }
    if (memchr(text.ptr, 'e', text.len) != NULL || memchr(text.ptr, 'E', text.len) != NULL) {
        if (!kal_parse_double(text, &real))
            return to_engine(b, err);
        *out = literal(b, e, kal_value_double(real), true);
        return KAL_OK;
    }
    const uint8_t *point = memchr(text.ptr, '.', text.len);
    if (point == NULL)
        return to_engine(b, err);
    unsigned scale = (unsigned)(text.len - (size_t)(point - text.ptr) - 1);
    unsigned digits = (unsigned)text.len - 1 - (text.ptr[0] == '-');
    kal_i128 decimal = 0;
    if (digits == 0 || digits > 18 || !kal_decimal_parse(text, scale, &decimal))
        return to_engine(b, err);
    *out = literal(b, e, kal_value_decimal(kal_type_decimal(digits, scale), decimal), true);
    return KAL_OK;
}

static kal_status bind_param(kal_binder *b, const kal_sql_expr *e, operand *out, kal_error *err)
{
    if (e->param > b->param_count) {
        kal_error_set(err, KAL_INVALID, "parameter $%u is not given, the request has %zu", e->param,
                      b->param_count);
        kal_error_code(err, "INVALID_PARAMETER");
        kal_error_at(err, e->position);
        return KAL_INVALID;
    }
    *out = literal(b, e, b->params[e->param - 1], true);
    out->json = b->param_json == NULL ? NULL : &b->param_json[e->param - 1];
    return KAL_OK;
}

static bool qualifies(const kal_binder *b, const kal_sql_expr *e)
{
    size_t n = e->column.qualifier_count;
    const kal_sql_name *q = e->column.qualifiers;
    if (n == 0)
        return true;
    if (b->alias.len > 0)
        return n == 1 && kal_bytes_equal(q[0].text, b->alias);
    if (n == 1)
        return kal_bytes_equal(q[0].text, b->def->table_name);
    return kal_bytes_equal(q[0].text, b->def->namespace_id) &&
           kal_bytes_equal(q[1].text, b->def->table_name);
}

int kal_bind_column(const kal_binder *b, const kal_sql_expr *e)
{
    if (b->def == NULL)
        return -1;
    kal_bytes name = e->column.name.text;
    if (b->allow_excluded && e->column.qualifier_count == 1 &&
        kal_bytes_equal(e->column.qualifiers[0].text, KAL_STR("excluded"))) {
        int at = kal_table_definition_find(b->def, name);
        return at < 0 ? -1 : (int)b->def->column_count + KAL_HIDDEN_COUNT + at;
    }
    if (!qualifies(b, e))
        return -1;
    int at = kal_table_definition_find(b->def, name);
    if (at >= 0)
        return at;
    for (size_t h = 0; h < KAL_HIDDEN_COUNT && b->def->table_type != KAL_TABLE_SYSTEM; h++) {
        if (kal_bytes_equal(name, kal_hidden_name(h)))
            return (int)(b->def->column_count + h);
    }
    return -1;
}

bool kal_bind_is_column_name(const kal_binder *b, kal_bytes name)
{
    for (uint32_t i = 0; i < b->def->column_count; i++) {
        if (kal_bytes_equal_nocase(b->def->columns[i].name, name))
            return true;
    }
    for (size_t h = 0; h < KAL_HIDDEN_COUNT; h++) {
        if (kal_bytes_equal_nocase(kal_hidden_name(h), name))
            return true;
    }
    return false;
}

/* DuckDB lets an item's alias stand in WHERE, ORDER BY and later items. */
static bool is_alias(const kal_binder *b, kal_bytes name)
{
    for (size_t i = 0; b->items != NULL && i < b->items->count; i++) {
        const kal_sql_item *item = &b->items->items[i];
        if (kal_sql_name_given(item->alias) && kal_bytes_equal_nocase(item->alias.text, name))
            return true;
    }
    return false;
}

kal_status kal_bind_unknown_column(const kal_binder *b, kal_bytes name, size_t position,
                                   kal_error *err)
{
    kal_bytes near = b->def == NULL ? (kal_bytes){0} : kal_table_definition_near(b->def, name);
    if (b->def == NULL)
        kal_error_set(err, KAL_SYNTAX, "column '%.*s' cannot be used here, there is no table",
                      KAL_FMT(name));
    else
        kal_error_set(err, KAL_SYNTAX, "column '%.*s' does not exist in table '%.*s.%.*s'",
                      KAL_FMT(name), KAL_FMT(b->def->namespace_id), KAL_FMT(b->def->table_name));
    kal_error_code(err, "COLUMN_NOT_FOUND");
    if (near.len > 0)
        kal_error_hint(err, "did you mean '%.*s'?", KAL_FMT(near));
    kal_error_at(err, position);
    return KAL_SYNTAX;
}

static kal_type column_type(const kal_binder *b, int at)
{
    int n = (int)b->def->column_count;
    if (at < n)
        return b->def->columns[at].type;
    if (at < n + KAL_HIDDEN_COUNT)
        return kal_hidden_type((size_t)(at - n));
    return b->def->columns[at - n - KAL_HIDDEN_COUNT].type;
}

static kal_status bind_column_ref(kal_binder *b, const kal_sql_expr *e, operand *out,
                                  kal_error *err)
{
    int at = kal_bind_column(b, e);
    if (at < 0) {
        if (b->def != NULL && !qualifies(b, e) && !b->allow_excluded)
            return to_engine(b, err); /* its binder knows best what the qualifier may be */
        if (e->column.qualifier_count == 0 && is_alias(b, e->column.name.text))
            return to_engine(b, err);
        return kal_bind_unknown_column(b, e->column.name.text, e->column.name.position, err);
    }
    out->expr = new_node(b, e, KAL_EXPR_COLUMN, column_type(b, at), 0);
    out->expr->column = (uint32_t)at;
    out->open = false;
    return KAL_OK;
}

static kal_status bind_typed(kal_binder *b, const kal_sql_expr *e, operand *out, kal_error *err)
{
    kal_value v;
    kal_status status = kal_value_from_text(e->typed.type->type, e->typed.text, b->arena, &v, err);
    if (status != KAL_OK) {
        kal_error_at(err, e->position);
        return status;
    }
    *out = literal(b, e, v, false);
    return KAL_OK;
}

/* ---- types that agree ---- */

static kal_expr *cast_node(kal_binder *b, kal_expr *from, kal_type type)
{
    kal_expr *node = KAL_NEW(b->arena, kal_expr);
    node->kind = KAL_EXPR_CAST;
    node->type = type;
    node->position = from->position;
    node->child_count = 1;
    node->children = kal_arena_alloc(b->arena, sizeof *node->children);
    node->children[0] = from;
    return node;
}

/* A literal may become `type` as DuckDB's implicit cast of that literal would. */
static bool literal_may_become(const kal_value *v, kal_type type)
{
    if (v->is_null)
        return true;
    switch (v->type.tag) {
    case KAL_TYPE_TEXT:
        return type.tag != KAL_TYPE_JSON && type.tag != KAL_TYPE_FILE &&
               type.tag != KAL_TYPE_EMBEDDING;
    case KAL_TYPE_INT:
    case KAL_TYPE_BIGINT:
        return kal_type_is_integer(type) || type.tag == KAL_TYPE_DOUBLE ||
               (type.tag == KAL_TYPE_FLOAT && v->integer >= -EXACT_FLOAT_INTEGER &&
                v->integer <= EXACT_FLOAT_INTEGER);
    case KAL_TYPE_DECIMAL:
        return (type.tag == KAL_TYPE_DOUBLE && v->type.precision <= EXACT_DOUBLE_DIGITS) ||
               (type.tag == KAL_TYPE_FLOAT && v->type.precision <= EXACT_FLOAT_DIGITS);
    case KAL_TYPE_DOUBLE:
        return type.tag == KAL_TYPE_DOUBLE;
    default:
        return kal_type_equal(v->type, type);
    }
}

/* A DOUBLE literal, or parameter too large for a FLOAT, does not become a FLOAT: its peer becomes a
 * DOUBLE. */
static bool widens_float(kal_type literal, kal_type peer)
{
    return literal.tag == KAL_TYPE_DOUBLE && peer.tag == KAL_TYPE_FLOAT;
}

/* A parameter in those forms that only the type of its peer explains. */
static kal_status settle_param(kal_binder *b, const operand *x, kal_type type, kal_error *err)
{
    kal_expr *e = x->expr;
    kal_value param = e->literal;
    kal_status status = kal_value_from_json_peer(type, x->json, &param, b->arena, &e->literal, err);
    if (status != KAL_OK)
        kal_error_at(err, e->position);
    e->type = e->literal.type;
    return status;
}

/* Gives a literal the type of its peer. An integer too large for the peer's type widens the peer
 * instead, which the caller sees by the type that is left. */
static kal_status settle_literal(kal_binder *b, const operand *x, kal_type type, kal_error *err)
{
    kal_expr *e = x->expr;
    kal_value v;
    if (e->literal.is_null) {
        e->literal = kal_value_null(type);
        e->type = type;
        return KAL_OK;
    }
    if (x->json != NULL) {
        KAL_TRY(settle_param(b, x, type, err));
        if (kal_type_equal(e->type, type))
            return KAL_OK;
    }
    if (widens_float(e->type, type))
        return KAL_OK;
    if (!literal_may_become(&e->literal, type))
        return to_engine(b, err);
    if (kal_type_is_integer(e->type) && kal_type_is_integer(type)) {
        kal_error ignored = KAL_ERROR_INIT;
        if (kal_value_cast(&e->literal, type, b->arena, &v, &ignored) != KAL_OK)
            return KAL_OK; /* stays wider */
    } else {
        kal_status status = kal_value_cast(&e->literal, type, b->arena, &v, err);
        if (status != KAL_OK) {
            kal_error_at(err, e->position);
            return status;
        }
    }
    e->literal = v;
    e->type = type;
    return KAL_OK;
}

static bool is_double_mix(kal_type a, kal_type b)
{
    return a.tag == KAL_TYPE_DOUBLE && (kal_type_is_integer(b) || b.tag == KAL_TYPE_FLOAT);
}

/* Makes two operands one type, or sends them to the engine. */
static kal_status unify(kal_binder *b, operand *x, operand *y, kal_error *err)
{
    if (x->open && y->open) /* two literals: DuckDB's literal rules are its own */
        return to_engine(b, err);
    if (x->open)
        KAL_TRY(settle_literal(b, x, y->expr->type, err));
    if (y->open)
        KAL_TRY(settle_literal(b, y, x->expr->type, err));
    kal_type tx = x->expr->type;
    kal_type ty = y->expr->type;
    if (kal_type_equal(tx, ty))
        return KAL_OK;
    if (kal_type_is_integer(tx) && kal_type_is_integer(ty)) {
        kal_type wide = kal_type_of(KAL_TYPE_BIGINT);
        if (tx.tag != KAL_TYPE_BIGINT && ty.tag != KAL_TYPE_BIGINT)
            wide = kal_type_of(KAL_TYPE_INT);
        if (!kal_type_equal(tx, wide))
            x->expr = cast_node(b, x->expr, wide);
        if (!kal_type_equal(ty, wide))
            y->expr = cast_node(b, y->expr, wide);
        return KAL_OK;
    }
    if (is_double_mix(tx, ty)) {
        y->expr = cast_node(b, y->expr, tx);
        return KAL_OK;
    }
    if (is_double_mix(ty, tx)) {
        x->expr = cast_node(b, x->expr, ty);
        return KAL_OK;
    }
    return to_engine(b, err);
}

static bool comparable(kal_type type)
{
    return type.tag != KAL_TYPE_JSON && type.tag != KAL_TYPE_FILE &&
           type.tag != KAL_TYPE_EMBEDDING && type.tag != KAL_TYPE_NULL;
}

/* ---- operators ---- */

static kal_status bind_pair(kal_binder *b, const kal_sql_expr *left, const kal_sql_expr *right,
                            operand pair[2], kal_error *err)
{
    KAL_TRY(bind(b, left, &pair[0], err));
    KAL_TRY(bind(b, right, &pair[1], err));
    return unify(b, &pair[0], &pair[1], err);
}

static kal_expr *binary_node(kal_binder *b, const kal_sql_expr *e, kal_expr_kind kind,
                             kal_type type, const operand pair[2])
{
    kal_expr *node = new_node(b, e, kind, type, 2);
    node->children[0] = pair[0].expr;
    node->children[1] = pair[1].expr;
    return node;
}

static kal_status bind_compare(kal_binder *b, const kal_sql_expr *e, kal_expr_op op, operand *out,
                               kal_error *err)
{
    operand pair[2];
    KAL_TRY(bind_pair(b, e->binary.left, e->binary.right, pair, err));
    if (!comparable(pair[0].expr->type))
        return to_engine(b, err);
    out->expr = binary_node(b, e, KAL_EXPR_COMPARE, boolean_type(), pair);
    out->expr->op = op;
    return KAL_OK;
}

/* The digits that decimal arithmetic counts on; false: not a type for it. */
static bool decimal_digits(kal_type type, unsigned *precision, unsigned *scale)
{
    *scale = type.tag == KAL_TYPE_DECIMAL ? type.scale : 0;
    *precision = type.tag == KAL_TYPE_DECIMAL    ? type.precision
                 : type.tag == KAL_TYPE_SMALLINT ? 5
                 : type.tag == KAL_TYPE_INT      ? 10
                                                 : 19;
    return type.tag == KAL_TYPE_DECIMAL || kal_type_is_integer(type);
}

static unsigned larger(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

/* The type that DuckDB gives: with room for every result while that is at most 18 digits, or more
 * than 18 went in; what has no room then is an error of evaluation. False: it is for DuckDB. */
static bool decimal_result(kal_expr_op op, kal_type a, kal_type b, kal_type *out)
{
    enum { INT64_DIGITS = 18, DIGITS_MAX = 38 };
    unsigned pa, sa, pb, sb; /* precision and scale of each */
    unsigned precision;
    unsigned scale;

    if (!decimal_digits(a, &pa, &sa) || !decimal_digits(b, &pb, &sb) ||
        (a.tag != KAL_TYPE_DECIMAL && b.tag != KAL_TYPE_DECIMAL))
        return false;
    if (op == KAL_OP_MUL) {
        precision = pa + pb;
        scale = sa + sb;
    } else if (op == KAL_OP_ADD || op == KAL_OP_SUB) {
        scale = larger(sa, sb);
        precision = larger(scale + larger(pa - sa, pb - sb), larger(pa, pb)) + 1;
    } else {
        return false;
    }
    bool is_small = larger(pa, pb) <= INT64_DIGITS && scale < INT64_DIGITS + (op != KAL_OP_MUL);
    if (precision > INT64_DIGITS && is_small)
        precision = INT64_DIGITS;
    if (precision > DIGITS_MAX)
        precision = DIGITS_MAX;
    *out = kal_type_decimal(precision, scale);
    return scale <= precision;
}

/* Numbers of one type as DuckDB types them. */
static bool is_arithmetic(kal_type type)
{
    return kal_type_is_integer(type) || type.tag == KAL_TYPE_DOUBLE || type.tag == KAL_TYPE_FLOAT;
}

static kal_status bind_arithmetic(kal_binder *b, const kal_sql_expr *e, kal_expr_op op,
                                  operand *out, kal_error *err)
{
    operand pair[2];
    kal_type type;

    KAL_TRY(bind(b, e->binary.left, &pair[0], err));
    KAL_TRY(bind(b, e->binary.right, &pair[1], err));
    bool is_decimal = !(pair[0].open && pair[1].open) &&
                      decimal_result(op, pair[0].expr->type, pair[1].expr->type, &type);
    if (!is_decimal) {
        KAL_TRY(unify(b, &pair[0], &pair[1], err));
        type = pair[0].expr->type;
        if (!is_arithmetic(type))
            return to_engine(b, err);
    }
    if (kal_type_is_integer(type) && op == KAL_OP_DIV) {
        type = kal_type_of(KAL_TYPE_DOUBLE);
        pair[0].expr = cast_node(b, pair[0].expr, type);
        pair[1].expr = cast_node(b, pair[1].expr, type);
    }
    out->expr = binary_node(b, e, KAL_EXPR_ARITHMETIC, type, pair);
    out->expr->op = op;
    return KAL_OK;
}

static kal_status bind_concat(kal_binder *b, const kal_sql_expr *e, operand *out, kal_error *err)
{
    operand pair[2];
    KAL_TRY(bind_pair(b, e->binary.left, e->binary.right, pair, err));
    if (pair[0].expr->type.tag != KAL_TYPE_TEXT)
        return to_engine(b, err);
    out->expr = binary_node(b, e, KAL_EXPR_CONCAT, pair[0].expr->type, pair);
    return KAL_OK;
}

/* What stands right of an arrow: a key, a path or an index, as a literal. A parameter has no value
 * yet when DuckDB reads a path, so paths that are computed follow other rules. */
static bool bind_path(kal_binder *b, const kal_sql_expr *e, kal_json_path *out)
{
    int64_t index = 0;
    if (e->kind == KAL_SQL_EXPR_STRING)
        return kal_json_path_parse(e->text, b->arena, out);
    if (e->kind != KAL_SQL_EXPR_NUMBER || !e->number.is_integer ||
        !kal_parse_i64(e->number.text, &index))
        return false;
    kal_json_path_of_index(index, b->arena, out);
    return true;
}

/* TEXT that is no JSON is an error in DuckDB, and it reads more than our reader does: only JSON. */
static kal_status bind_extract(kal_binder *b, const kal_sql_expr *e, const kal_sql_expr *document,
                               const kal_sql_expr *path, bool as_text, operand *out, kal_error *err)
{
    operand x;
    kal_json_path *bound = KAL_NEW(b->arena, kal_json_path);
    KAL_TRY(bind(b, document, &x, err));
    if (x.open || x.expr->type.tag != KAL_TYPE_JSON || !bind_path(b, path, bound) ||
        b->json_count++ >= KAL_BIND_JSON_MAX)
        return to_engine(b, err);
    out->expr =
        new_node(b, e, KAL_EXPR_JSON, kal_type_of(as_text ? KAL_TYPE_TEXT : KAL_TYPE_JSON), 1);
    out->expr->children[0] = x.expr;
    out->expr->path = bound;
    return KAL_OK;
}

static kal_status bind_binary(kal_binder *b, const kal_sql_expr *e, operand *out, kal_error *err)
{
    switch ((kal_sql_binary_op)e->binary_op) {
    case KAL_SQL_BINARY_EQ:
        return bind_compare(b, e, KAL_OP_EQ, out, err);
    case KAL_SQL_BINARY_NE:
        return bind_compare(b, e, KAL_OP_NE, out, err);
    case KAL_SQL_BINARY_LT:
        return bind_compare(b, e, KAL_OP_LT, out, err);
    case KAL_SQL_BINARY_LE:
        return bind_compare(b, e, KAL_OP_LE, out, err);
    case KAL_SQL_BINARY_GT:
        return bind_compare(b, e, KAL_OP_GT, out, err);
    case KAL_SQL_BINARY_GE:
        return bind_compare(b, e, KAL_OP_GE, out, err);
    case KAL_SQL_BINARY_ADD:
        return bind_arithmetic(b, e, KAL_OP_ADD, out, err);
    case KAL_SQL_BINARY_SUBTRACT:
        return bind_arithmetic(b, e, KAL_OP_SUB, out, err);
    case KAL_SQL_BINARY_MULTIPLY:
        return bind_arithmetic(b, e, KAL_OP_MUL, out, err);
    case KAL_SQL_BINARY_DIVIDE:
        return bind_arithmetic(b, e, KAL_OP_DIV, out, err);
    case KAL_SQL_BINARY_MODULO:
        return bind_arithmetic(b, e, KAL_OP_MOD, out, err);
    case KAL_SQL_BINARY_CONCAT:
        return bind_concat(b, e, out, err);
    case KAL_SQL_BINARY_ARROW:
        return bind_extract(b, e, e->binary.left, e->binary.right, false, out, err);
    case KAL_SQL_BINARY_ARROW_TEXT:
        return bind_extract(b, e, e->binary.left, e->binary.right, true, out, err);
    }
    return to_engine(b, err);
}

/* A child that must be BOOLEAN. */
static kal_status bind_condition(kal_binder *b, const kal_sql_expr *e, kal_expr **out,
                                 kal_error *err)
{
    operand x;
    KAL_TRY(bind(b, e, &x, err));
    if (x.open)
        KAL_TRY(settle_literal(b, &x, boolean_type(), err));
    if (x.expr->type.tag != KAL_TYPE_BOOLEAN)
        return to_engine(b, err);
    *out = x.expr;
    return KAL_OK;
}

static kal_status bind_logic(kal_binder *b, const kal_sql_expr *e, kal_expr_kind kind, operand *out,
                             kal_error *err)
{
    out->expr = new_node(b, e, kind, boolean_type(), (uint32_t)e->list.count);
    for (size_t i = 0; i < e->list.count; i++)
        KAL_TRY(bind_condition(b, e->list.items[i], &out->expr->children[i], err));
    return KAL_OK;
}

static kal_status bind_not(kal_binder *b, const kal_sql_expr *e, operand *out, kal_error *err)
{
    out->expr = new_node(b, e, KAL_EXPR_NOT, boolean_type(), 1);
    return bind_condition(b, e->operand, &out->expr->children[0], err);
}

static kal_status bind_is_null(kal_binder *b, const kal_sql_expr *e, operand *out, kal_error *err)
{
    operand x;
    KAL_TRY(bind(b, e->operand, &x, err));
    out->expr = new_node(b, e, KAL_EXPR_IS_NULL, boolean_type(), 1);
    out->expr->children[0] = x.expr;
    out->expr->negated = e->negated;
    return KAL_OK;
}

static kal_status bind_distinct(kal_binder *b, const kal_sql_expr *e, operand *out, kal_error *err)
{
    operand pair[2];
    KAL_TRY(bind_pair(b, e->binary.left, e->binary.right, pair, err));
    if (!comparable(pair[0].expr->type))
        return to_engine(b, err);
    out->expr = binary_node(b, e, KAL_EXPR_DISTINCT, boolean_type(), pair);
    out->expr->negated = e->negated;
    return KAL_OK;
}

/* The subject against a list of others, all of the subject's type. DuckDB unifies the whole list,
 * so anything that would change the subject's type goes there. */
static kal_status bind_against(kal_binder *b, const kal_sql_expr *e, const kal_sql_expr *subject,
                               kal_sql_expr *const *others, size_t count, kal_expr_kind kind,
                               operand *out, kal_error *err)
{
    operand x;
    KAL_TRY(bind(b, subject, &x, err));
    if (x.open || !comparable(x.expr->type))
        return to_engine(b, err);
    out->expr = new_node(b, e, kind, boolean_type(), (uint32_t)count + 1);
    out->expr->negated = e->negated;
    out->expr->children[0] = x.expr;
    for (size_t i = 0; i < count; i++) {
        operand y;
        KAL_TRY(bind(b, others[i], &y, err));
        if (y.open)
            KAL_TRY(settle_literal(b, &y, x.expr->type, err));
        if (!kal_type_equal(y.expr->type, x.expr->type))
            return to_engine(b, err);
        out->expr->children[i + 1] = y.expr;
    }
    return KAL_OK;
}

static kal_status bind_like(kal_binder *b, const kal_sql_expr *e, operand *out, kal_error *err)
{
    operand pair[2];
    if (e->nocase && e->like.escape != NULL)
        return to_engine(b, err);
    KAL_TRY(bind_pair(b, e->like.subject, e->like.pattern, pair, err));
    if (pair[0].expr->type.tag != KAL_TYPE_TEXT)
        return to_engine(b, err);
    out->expr = binary_node(b, e, KAL_EXPR_LIKE, boolean_type(), pair);
    out->expr->negated = e->negated;
    out->expr->nocase = e->nocase;
    if (e->like.escape == NULL)
        return KAL_OK;
    if (e->like.escape->kind != KAL_SQL_EXPR_STRING || e->like.escape->text.len != 1 ||
        e->like.escape->text.ptr[0] >= 0x80 || pair[1].expr->kind != KAL_EXPR_LITERAL)
        return to_engine(b, err);
    out->expr->escape = e->like.escape->text.ptr[0];
    /* A pattern that ends in its escape character is an error in DuckDB. */
    kal_bytes pattern = pair[1].expr->literal.bytes;
    if (!pair[1].expr->literal.is_null && pattern.len > 0 &&
        pattern.ptr[pattern.len - 1] == out->expr->escape)
        return to_engine(b, err);
    return KAL_OK;
}

static kal_status bind_minus(kal_binder *b, const kal_sql_expr *e, operand *out, kal_error *err)
{
    operand x;
    KAL_TRY(bind(b, e->operand, &x, err));
    kal_type_tag tag = (kal_type_tag)x.expr->type.tag;
    if (x.open || (tag != KAL_TYPE_INT && tag != KAL_TYPE_BIGINT && tag != KAL_TYPE_DOUBLE &&
                   tag != KAL_TYPE_FLOAT))
        return to_engine(b, err);
    if (e->unary_op == KAL_SQL_UNARY_PLUS) {
        *out = x;
        return KAL_OK;
    }
    out->expr = new_node(b, e, KAL_EXPR_NEGATE, x.expr->type, 1);
    out->expr->children[0] = x.expr;
    return KAL_OK;
}

/* A TEXT that is no literal, such as j ->> 'n', as one of these. */
static bool reads_text(const operand *x, kal_type to)
{
    switch (to.tag) {
    case KAL_TYPE_SMALLINT:
    case KAL_TYPE_INT:
    case KAL_TYPE_BIGINT:
    case KAL_TYPE_DOUBLE:
    case KAL_TYPE_FLOAT:
    case KAL_TYPE_BOOLEAN:
    case KAL_TYPE_DATE:
    case KAL_TYPE_TIMESTAMP:
    case KAL_TYPE_DATETIME:
    case KAL_TYPE_TIME:
    case KAL_TYPE_UUID:
        return !x->open && x->expr->type.tag == KAL_TYPE_TEXT;
    default: /* DECIMAL: DuckDB makes 0.01 of 5e-324 */
        return false;
    }
}

/* Text literals into any type, other TEXT into most, and integers into wider ones; what else there
 * is DuckDB does. */
static kal_status bind_cast(kal_binder *b, const kal_sql_expr *e, operand *out, kal_error *err)
{
    operand x;
    kal_type to = e->cast.type->type;
    KAL_TRY(bind(b, e->cast.operand, &x, err));
    if (x.json != NULL && !x.expr->literal.is_null) {
        KAL_TRY(settle_param(b, &x, to, err));
        if (kal_type_equal(x.expr->type, to)) {
            *out = literal(b, e, x.expr->literal, false);
            return KAL_OK;
        }
    }
    bool literal_text =
        x.open && (x.expr->literal.is_null || x.expr->literal.type.tag == KAL_TYPE_TEXT);
    if (literal_text && to.tag != KAL_TYPE_JSON && to.tag != KAL_TYPE_FILE) {
        kal_value v;
        kal_status status = kal_value_cast(&x.expr->literal, to, b->arena, &v, err);
        if (status != KAL_OK) {
            kal_error_at(err, e->position);
            return status;
        }
        v.type = to;
        *out = literal(b, e, v, false);
        return KAL_OK;
    }
    bool widens = kal_type_is_integer(x.expr->type) && to.tag == KAL_TYPE_BIGINT;
    if (!widens && !reads_text(&x, to) && !kal_type_equal(x.expr->type, to))
        return to_engine(b, err);
    out->expr = kal_type_equal(x.expr->type, to) ? x.expr : cast_node(b, x.expr, to);
    return KAL_OK;
}

static kal_status bind_case(kal_binder *b, const kal_sql_expr *e, operand *out, kal_error *err)
{
    size_t n = e->case_when.whens.count;
    kal_type type = kal_type_of(KAL_TYPE_NULL);
    if (e->case_when.operand != NULL)
        return to_engine(b, err);
    out->expr = new_node(b, e, KAL_EXPR_CASE, type, (uint32_t)n + 1);
    for (size_t i = 0; i < n; i += 2) {
        operand then;
        KAL_TRY(bind_condition(b, e->case_when.whens.items[i], &out->expr->children[i], err));
        KAL_TRY(bind(b, e->case_when.whens.items[i + 1], &then, err));
        if (then.open || (type.tag != KAL_TYPE_NULL && !kal_type_equal(type, then.expr->type)))
            return to_engine(b, err);
        type = then.expr->type;
        out->expr->children[i + 1] = then.expr;
    }
    if (e->case_when.otherwise == NULL) {
        out->expr->children[n] = literal(b, e, kal_value_null(type), false).expr;
    } else {
        operand otherwise;
        KAL_TRY(bind(b, e->case_when.otherwise, &otherwise, err));
        if (otherwise.open || !kal_type_equal(type, otherwise.expr->type))
            return to_engine(b, err);
        out->expr->children[n] = otherwise.expr;
    }
    out->expr->type = type;
    return KAL_OK;
}

/* ---- functions ---- */

static const struct {
    const char *name;
    kal_expr_function function;
    kal_type_tag result;
    uint32_t args;
    bool may_be_bare;
} FUNCTIONS[] = {
    {"now", KAL_EXPR_NOW, KAL_TYPE_DATETIME, 0, false},
    {"current_timestamp", KAL_EXPR_NOW, KAL_TYPE_DATETIME, 0, true},
    {"current_user", KAL_EXPR_CURRENT_USER, KAL_TYPE_TEXT, 0, true},
    {"current_role", KAL_EXPR_CURRENT_ROLE, KAL_TYPE_TEXT, 0, true},
    {"snowflake_id", KAL_EXPR_SNOWFLAKE_ID, KAL_TYPE_BIGINT, 0, false},
    {"uuid_v7", KAL_EXPR_UUID_V7, KAL_TYPE_TEXT, 0, false},
    {"ulid", KAL_EXPR_ULID, KAL_TYPE_TEXT, 0, false},
};

/* Embeddings, or a text literal of the other argument's dimension. */
static kal_status bind_vector(kal_binder *b, const kal_sql_expr *e, kal_vector_function function,
                              operand *out, kal_error *err)
{
    operand x[2];
    if (e->call.star || e->call.bare || e->call.args.count != 2)
        return to_engine(b, err);
    for (size_t i = 0; i < 2; i++)
        KAL_TRY(bind(b, e->call.args.items[i], &x[i], err));
    for (size_t i = 0; i < 2; i++) {
        kal_type type = x[1 - i].expr->type;
        if (!x[i].open)
            continue;
        if (x[1 - i].open || type.tag != KAL_TYPE_EMBEDDING)
            return to_engine(b, err);
        kal_value v;
        kal_status status = kal_value_cast(&x[i].expr->literal, type, b->arena, &v, err);
        if (status != KAL_OK) {
            kal_error_at(err, x[i].expr->position);
            return status;
        }
        v.type = type;
        x[i].expr->literal = v;
        x[i].expr->type = type;
    }
    if (x[0].expr->type.tag != KAL_TYPE_EMBEDDING || x[1].expr->type.tag != KAL_TYPE_EMBEDDING)
        return to_engine(b, err);
    out->expr = binary_node(b, e, KAL_EXPR_FUNCTION, kal_type_of(KAL_TYPE_FLOAT), x);
    out->expr->function = KAL_EXPR_VECTOR;
    out->expr->vector = function;
    return KAL_OK;
}

static kal_expr *function_node(kal_binder *b, const kal_sql_expr *e, kal_expr_function function,
                               kal_type type, uint32_t child_count)
{
    kal_expr *node = new_node(b, e, KAL_EXPR_FUNCTION, type, child_count);
    node->function = function;
    return node;
}

/* Of one TEXT: LENGTH gives a number, LOWER and UPPER a TEXT. */
static kal_status bind_of_text(kal_binder *b, const kal_sql_expr *e, kal_expr_function function,
                               operand *out, kal_error *err)
{
    operand x;
    kal_type_tag result = function == KAL_EXPR_LENGTH ? KAL_TYPE_BIGINT : KAL_TYPE_TEXT;
    KAL_TRY(bind(b, e->call.args.items[0], &x, err));
    if (x.open || x.expr->type.tag != KAL_TYPE_TEXT)
        return to_engine(b, err);
    out->expr = function_node(b, e, function, kal_type_of(result), 1);
    out->expr->children[0] = x.expr;
    return KAL_OK;
}

static kal_status bind_abs(kal_binder *b, const kal_sql_expr *e, kal_expr_function function,
                           operand *out, kal_error *err)
{
    operand x;
    KAL_TRY(bind(b, e->call.args.items[0], &x, err));
    if (x.open || !kal_type_is_numeric(x.expr->type))
        return to_engine(b, err);
    out->expr = function_node(b, e, function, x.expr->type, 1);
    out->expr->children[0] = x.expr;
    return KAL_OK;
}

static kal_status bind_text_pair(kal_binder *b, const kal_sql_expr *e, kal_expr_function function,
                                 operand *out, kal_error *err)
{
    operand pair[2];
    KAL_TRY(bind_pair(b, e->call.args.items[0], e->call.args.items[1], pair, err));
    if (pair[0].expr->type.tag != KAL_TYPE_TEXT)
        return to_engine(b, err);
    out->expr = function_node(b, e, function, boolean_type(), 2);
    out->expr->children[0] = pair[0].expr;
    out->expr->children[1] = pair[1].expr;
    return KAL_OK;
}

/* All of one type; literals take it, too. */
static kal_status bind_coalesce(kal_binder *b, const kal_sql_expr *e, kal_expr_function function,
                                operand *out, kal_error *err)
{
    uint32_t n = (uint32_t)e->call.args.count;
    operand *x = kal_arena_alloc(b->arena, n * sizeof *x);
    const kal_type *type = NULL;
    for (uint32_t i = 0; i < n; i++) {
        KAL_TRY(bind(b, e->call.args.items[i], &x[i], err));
        if (!x[i].open && type == NULL)
            type = &x[i].expr->type;
    }
    if (type == NULL)
        return to_engine(b, err);
    out->expr = function_node(b, e, function, *type, n);
    for (uint32_t i = 0; i < n; i++) {
        if (x[i].open)
            KAL_TRY(settle_literal(b, &x[i], *type, err));
        if (!kal_type_equal(x[i].expr->type, *type))
            return to_engine(b, err);
        out->expr->children[i] = x[i].expr;
    }
    return KAL_OK;
}

static kal_status bind_json_call(kal_binder *b, const kal_sql_expr *e, bool as_text, operand *out,
                                 kal_error *err)
{
    return bind_extract(b, e, e->call.args.items[0], e->call.args.items[1], as_text, out, err);
}

/* Functions of arguments. */
static const struct {
    const char *name;
    kal_status (*bind)(kal_binder *b, const kal_sql_expr *e, kal_expr_function function,
                       operand *out, kal_error *err); /* NULL: extraction from JSON */
    kal_expr_function function;
    uint32_t args; /* 0: one or more */
    bool as_text;  /* of extraction */
} CALLS[] = {
    {"lower", bind_of_text, KAL_EXPR_LOWER, 1, false},
    {"lcase", bind_of_text, KAL_EXPR_LOWER, 1, false},
    {"upper", bind_of_text, KAL_EXPR_UPPER, 1, false},
    {"ucase", bind_of_text, KAL_EXPR_UPPER, 1, false},
    {"length", bind_of_text, KAL_EXPR_LENGTH, 1, false},
    {"abs", bind_abs, KAL_EXPR_ABS, 1, false},
    {"starts_with", bind_text_pair, KAL_EXPR_STARTS_WITH, 2, false},
    {"prefix", bind_text_pair, KAL_EXPR_STARTS_WITH, 2, false},
    {"ends_with", bind_text_pair, KAL_EXPR_ENDS_WITH, 2, false},
    {"suffix", bind_text_pair, KAL_EXPR_ENDS_WITH, 2, false},
    {"contains", bind_text_pair, KAL_EXPR_CONTAINS, 2, false},
    {"coalesce", bind_coalesce, KAL_EXPR_COALESCE, 0, false},
    {"json_extract", NULL, 0, 2, false},
    {"json_extract_path", NULL, 0, 2, false},
    {"json_extract_string", NULL, 0, 2, true},
    {"json_extract_path_text", NULL, 0, 2, true},
};

/* KAL_NOT_FOUND: it is none of CALLS. */
static kal_status bind_call_with_args(kal_binder *b, const kal_sql_expr *e, operand *out,
                                      kal_error *err)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(CALLS); i++) {
        size_t args = e->call.args.count;
        if (!kal_bytes_equal_nocase(e->call.name.text, kal_cstr(CALLS[i].name)))
            continue;
        if (e->call.star || (CALLS[i].args == 0 ? args == 0 : args != CALLS[i].args))
            return to_engine(b, err);
        if (CALLS[i].bind == NULL)
            return bind_json_call(b, e, CALLS[i].as_text, out, err);
        return CALLS[i].bind(b, e, CALLS[i].function, out, err);
    }
    return KAL_NOT_FOUND;
}

static kal_status bind_call(kal_binder *b, const kal_sql_expr *e, operand *out, kal_error *err)
{
    kal_status status = bind_call_with_args(b, e, out, err);
    if (status != KAL_NOT_FOUND)
        return status;
    for (kal_vector_function f = 0; f < KAL_VECTOR_FUNCTION_COUNT; f++) {
        if (kal_bytes_equal_nocase(e->call.name.text, kal_cstr(kal_vector_function_name(f))))
            return bind_vector(b, e, f, out, err);
    }
    for (size_t i = 0; i < KAL_ARRAY_LEN(FUNCTIONS); i++) {
        if (!kal_bytes_equal_nocase(e->call.name.text, kal_cstr(FUNCTIONS[i].name)))
            continue;
        if (e->call.star || e->call.args.count != FUNCTIONS[i].args ||
            (e->call.bare && !FUNCTIONS[i].may_be_bare))
            return to_engine(b, err);
        out->expr =
            new_node(b, e, KAL_EXPR_FUNCTION, kal_type_of(FUNCTIONS[i].result), FUNCTIONS[i].args);
        out->expr->function = FUNCTIONS[i].function;
        return KAL_OK;
    }
    return to_engine(b, err);
}

static kal_status bind_node(kal_binder *b, const kal_sql_expr *e, operand *out, kal_error *err)
{
    *out = (operand){0};
    switch ((kal_sql_expr_kind)e->kind) {
    case KAL_SQL_EXPR_NULL:
        *out = literal(b, e, kal_value_null(kal_type_of(KAL_TYPE_NULL)), true);
        return KAL_OK;
    case KAL_SQL_EXPR_BOOLEAN:
        *out = literal(b, e, kal_value_boolean(e->boolean), false);
        return KAL_OK;
    case KAL_SQL_EXPR_NUMBER:
        return bind_number(b, e, out, err);
    case KAL_SQL_EXPR_STRING:
        *out = literal(b, e, kal_value_text(e->text), true);
        return KAL_OK;
    case KAL_SQL_EXPR_TYPED:
        return bind_typed(b, e, out, err);
    case KAL_SQL_EXPR_PARAM:
        return bind_param(b, e, out, err);
    case KAL_SQL_EXPR_COLUMN:
        return bind_column_ref(b, e, out, err);
    case KAL_SQL_EXPR_UNARY:
        return bind_minus(b, e, out, err);
    case KAL_SQL_EXPR_NOT:
        return bind_not(b, e, out, err);
    case KAL_SQL_EXPR_BINARY:
        return bind_binary(b, e, out, err);
    case KAL_SQL_EXPR_AND:
        return bind_logic(b, e, KAL_EXPR_AND, out, err);
    case KAL_SQL_EXPR_OR:
        return bind_logic(b, e, KAL_EXPR_OR, out, err);
    case KAL_SQL_EXPR_IS_NULL:
        return bind_is_null(b, e, out, err);
    case KAL_SQL_EXPR_IS_DISTINCT:
        return bind_distinct(b, e, out, err);
    case KAL_SQL_EXPR_IN:
        return bind_against(b, e, e->in.subject, e->in.list.items, e->in.list.count, KAL_EXPR_IN,
                            out, err);
    case KAL_SQL_EXPR_BETWEEN: {
        kal_sql_expr *others[2] = {e->between.low, e->between.high};
        return bind_against(b, e, e->between.subject, others, 2, KAL_EXPR_BETWEEN, out, err);
    }
    case KAL_SQL_EXPR_LIKE:
        return bind_like(b, e, out, err);
    case KAL_SQL_EXPR_CAST:
        return bind_cast(b, e, out, err);
    case KAL_SQL_EXPR_CALL:
        return bind_call(b, e, out, err);
    case KAL_SQL_EXPR_CASE:
        return bind_case(b, e, out, err);
    case KAL_SQL_EXPR_STAR:
    case KAL_SQL_EXPR_DEFAULT:
    case KAL_SQL_EXPR_ARRAY:
    case KAL_SQL_EXPR_RAW:
        break;
    }
    return to_engine(b, err);
}

static kal_status bind(kal_binder *b, const kal_sql_expr *e, operand *out, kal_error *err)
{
    kal_status status = bind_node(b, e, out, err);
    if (status == KAL_UNSUPPORTED && b->refused == NULL)
        b->refused = e;
    return status;
}

kal_status kal_bind_expr(kal_binder *binder, const kal_sql_expr *expr, kal_expr **out,
                         kal_error *err)
{
    operand x;
    *out = NULL;
    binder->for_engine = false;
    binder->refused = NULL;
    KAL_TRY(bind(binder, expr, &x, err));
    *out = x.expr;
    return KAL_OK;
}

kal_status kal_bind_where(kal_binder *binder, const kal_sql_expr *where, kal_expr **out,
                          kal_error *err)
{
    *out = NULL;
    binder->for_engine = false;
    binder->refused = NULL;
    if (where == NULL)
        return KAL_OK;
    kal_status status = bind_condition(binder, where, out, err);
    if (status == KAL_UNSUPPORTED && binder->refused == NULL)
        binder->refused = where;
    return status;
}

/* ---- key bounds ---- */

/* A comparison of `column` with a constant, turned so that the column stands left; NULL if it is
 * something else. A cast around the column (integer widening) is looked through when the constant
 * is of a type that can be compared with the column's own after the narrowing. */
static const kal_value *constant_against(const kal_expr *e, uint32_t column, kal_expr_op *op_out)
{
    static const kal_expr_op TURNED[] = {KAL_OP_EQ, KAL_OP_NE, KAL_OP_GT,
                                         KAL_OP_GE, KAL_OP_LT, KAL_OP_LE};
    if (e->kind != KAL_EXPR_COMPARE)
        return NULL;
    for (int side = 0; side < 2; side++) {
        const kal_expr *mine = e->children[side];
        const kal_expr *other = e->children[1 - side];
        if (mine->kind == KAL_EXPR_COLUMN && mine->column == column &&
            other->kind == KAL_EXPR_LITERAL) {
            *op_out = side == 0 ? e->op : TURNED[e->op];
            return &other->literal;
        }
    }
    return NULL;
}

static void narrow(kal_key_bounds *bounds, kal_expr_op op, const kal_value *v)
{
    bool is_lower = op == KAL_OP_GT || op == KAL_OP_GE;
    bool inclusive = op == KAL_OP_GE || op == KAL_OP_LE;
    const kal_value **bound = is_lower ? &bounds->lower : &bounds->upper;
    bool *bound_inclusive = is_lower ? &bounds->lower_inclusive : &bounds->upper_inclusive;
    if (*bound != NULL) {
        int order = kal_value_compare(v, *bound);
        bool tighter = is_lower ? order > 0 : order < 0;
        if (!tighter && !(order == 0 && !inclusive))
            return;
    }
    *bound = v;
    *bound_inclusive = inclusive;
}

static const kal_value *find_equal(const kal_expr *where, uint32_t column, kal_key_bounds *out)
{
    uint32_t count = where->kind == KAL_EXPR_AND ? where->child_count : 1;
    for (uint32_t i = 0; i < count; i++) {
        const kal_expr *part = where->kind == KAL_EXPR_AND ? where->children[i] : where;
        kal_expr_op op;
        const kal_value *v = constant_against(part, column, &op);
        if (v == NULL)
            continue;
        if (v->is_null)
            out->never = true;
        else if (op == KAL_OP_EQ)
            return v;
    }
    return NULL;
}

static void find_range(const kal_expr *where, uint32_t column, kal_key_bounds *out)
{
    uint32_t count = where->kind == KAL_EXPR_AND ? where->child_count : 1;
    for (uint32_t i = 0; i < count; i++) {
        const kal_expr *part = where->kind == KAL_EXPR_AND ? where->children[i] : where;
        kal_expr_op op;
        const kal_value *v = constant_against(part, column, &op);
        if (v != NULL && !v->is_null && op != KAL_OP_NE && op != KAL_OP_EQ)
            narrow(out, op, v);
        if (part->kind == KAL_EXPR_BETWEEN && !part->negated &&
            part->children[0]->kind == KAL_EXPR_COLUMN && part->children[0]->column == column &&
            part->children[1]->kind == KAL_EXPR_LITERAL &&
            part->children[2]->kind == KAL_EXPR_LITERAL && !part->children[1]->literal.is_null &&
            !part->children[2]->literal.is_null) {
            narrow(out, KAL_OP_GE, &part->children[1]->literal);
            narrow(out, KAL_OP_LE, &part->children[2]->literal);
        }
    }
}

void kal_bind_key_bounds(const kal_table_definition *def, const kal_expr *where,
                         kal_key_bounds *out)
{
    *out = (kal_key_bounds){0};
    if (where == NULL)
        return;
    while (out->equal_count < def->key_column_count &&
           out->equal_count < KAL_ARRAY_LEN(out->equal)) {
        const kal_value *v = find_equal(where, def->key_columns[out->equal_count], out);
        if (v == NULL)
            break;
        out->equal[out->equal_count++] = v;
    }
    if (out->equal_count < def->key_column_count && out->equal_count < KAL_ARRAY_LEN(out->equal))
        find_range(where, def->key_columns[out->equal_count], out);
}
