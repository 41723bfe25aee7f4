/*
 * eval.c: one recursive walk over a typed tree. The binder has made children's types agree, so a
 * node only computes; depth is bounded by the parser.
 */
#include "base/assert.h"
#include "expr/expr.h"
#include "expr/letter_case.h"

#include <math.h>

typedef struct context {
    const kal_value *columns;
    const kal_expr_session *session;
    kal_arena *arena;
    kal_error *err;
} context;

static kal_status eval(const kal_expr *e, context *c, kal_value *out);

static kal_status fail(const kal_expr *e, context *c, const char *message)
{
    kal_error_set(c->err, KAL_INVALID, "%s", message);
    kal_error_at(c->err, e->position);
    return KAL_INVALID;
}

static kal_value unknown(void)
{
    return kal_value_null(kal_type_of(KAL_TYPE_BOOLEAN));
}

static bool apply_compare(kal_expr_op op, int order)
{
    switch (op) {
    case KAL_OP_EQ:
        return order == 0;
    case KAL_OP_NE:
        return order != 0;
    case KAL_OP_LT:
        return order < 0;
    case KAL_OP_LE:
        return order <= 0;
    case KAL_OP_GT:
        return order > 0;
    default:
        KAL_ASSERT(op == KAL_OP_GE);
        return order >= 0;
    }
}

static kal_status eval_compare(const kal_expr *e, context *c, kal_value *out)
{
    kal_value left;
    kal_value right;
    KAL_TRY(eval(e->children[0], c, &left));
    KAL_TRY(eval(e->children[1], c, &right));
    *out = left.is_null || right.is_null
               ? unknown()
               : kal_value_boolean(apply_compare(e->op, kal_value_compare(&left, &right)));
    return KAL_OK;
}

static kal_status eval_distinct(const kal_expr *e, context *c, kal_value *out)
{
    kal_value left;
    kal_value right;
    KAL_TRY(eval(e->children[0], c, &left));
    KAL_TRY(eval(e->children[1], c, &right));
    bool distinct =
        left.is_null != right.is_null || (!left.is_null && kal_value_compare(&left, &right) != 0);
    *out = kal_value_boolean(distinct != e->negated);
    return KAL_OK;
}

/* AND stops at the first FALSE, OR at the first TRUE; otherwise any NULL makes the result NULL. */
static kal_status eval_logic(const kal_expr *e, context *c, bool decisive, kal_value *out)
{
    bool any_null = false;
    for (uint32_t i = 0; i < e->child_count; i++) {
        kal_value v;
        KAL_TRY(eval(e->children[i], c, &v));
        if (v.is_null) {
            any_null = true;
        } else if (v.boolean == decisive) {
            *out = kal_value_boolean(decisive);
            return KAL_OK;
        }
    }
    *out = any_null ? unknown() : kal_value_boolean(!decisive);
    return KAL_OK;
}

static kal_status eval_in(const kal_expr *e, context *c, kal_value *out)
{
    kal_value subject;
    bool any_null = false;
    KAL_TRY(eval(e->children[0], c, &subject));
    if (subject.is_null) {
        *out = unknown();
        return KAL_OK;
    }
    for (uint32_t i = 1; i < e->child_count; i++) {
        kal_value v;
        KAL_TRY(eval(e->children[i], c, &v));
        if (v.is_null) {
            any_null = true;
        } else if (kal_value_compare(&subject, &v) == 0) {
            *out = kal_value_boolean(!e->negated);
            return KAL_OK;
        }
    }
    *out = any_null ? unknown() : kal_value_boolean(e->negated);
    return KAL_OK;
}

/* x BETWEEN a AND b is x >= a AND x <= b, with the logic of AND over NULLs. */
static kal_status eval_between(const kal_expr *e, context *c, kal_value *out)
{
    kal_value v[3];
    for (int i = 0; i < 3; i++)
        KAL_TRY(eval(e->children[i], c, &v[i]));
    bool low_false = !v[0].is_null && !v[1].is_null && kal_value_compare(&v[0], &v[1]) < 0;
    bool high_false = !v[0].is_null && !v[2].is_null && kal_value_compare(&v[0], &v[2]) > 0;
    if (low_false || high_false)
        *out = kal_value_boolean(e->negated);
    else if (v[0].is_null || v[1].is_null || v[2].is_null)
        *out = unknown();
    else
        *out = kal_value_boolean(!e->negated);
    return KAL_OK;
}

static kal_status to_case(context *c, bool upper, kal_value *v)
{
    if (kal_letter_case(v->bytes, upper, c->arena, &v->bytes))
        return KAL_OK;
    return kal_error_set(c->err, KAL_LIMIT, "text of %zu bytes exceeds the statement's memory",
                         v->bytes.len);
}

static kal_status eval_like(const kal_expr *e, context *c, kal_value *out)
{
    kal_value text;
    kal_value pattern;
    KAL_TRY(eval(e->children[0], c, &text));
    KAL_TRY(eval(e->children[1], c, &pattern));
    if (text.is_null || pattern.is_null) {
        *out = unknown();
        return KAL_OK;
    }
    if (e->nocase) {
        KAL_TRY(to_case(c, false, &text));
        KAL_TRY(to_case(c, false, &pattern));
    }
    bool match = kal_like_match(text.bytes, pattern.bytes, e->escape);
    *out = kal_value_boolean(match != e->negated);
    return KAL_OK;
}

static void integer_range(kal_type type, int64_t *low, int64_t *high)
{
    *low = type.tag == KAL_TYPE_SMALLINT ? INT16_MIN
           : type.tag == KAL_TYPE_INT    ? INT32_MIN
                                         : INT64_MIN;
    *high = type.tag == KAL_TYPE_SMALLINT ? INT16_MAX
            : type.tag == KAL_TYPE_INT    ? INT32_MAX
                                          : INT64_MAX;
}

static kal_status out_of_range(const kal_expr *e, context *c)
{
    char name[KAL_TYPE_NAME_BYTES];
    kal_error_set(c->err, KAL_INVALID, "result of the calculation is out of range for %s",
                  kal_type_name(e->type, name));
    kal_error_at(c->err, e->position);
    return KAL_INVALID;
}

static kal_status integer_arithmetic(const kal_expr *e, context *c, int64_t a, int64_t b,
                                     kal_value *out)
{
    int64_t low;
    int64_t high;
    int64_t r = 0;
    bool ok = true;

    integer_range(e->type, &low, &high);
    switch (e->op) {
    case KAL_OP_ADD:
        ok = kal_try_add(a, b, &r);
        break;
    case KAL_OP_SUB:
        ok = kal_try_sub(a, b, &r);
        break;
    case KAL_OP_MUL:
        ok = kal_try_mul(a, b, &r);
        break;
    default:
        KAL_ASSERT(e->op == KAL_OP_MOD);
        if (b == 0) { /* as DuckDB: NULL */
            *out = kal_value_null(e->type);
            return KAL_OK;
        }
        ok = b != -1 || a != low; /* as DuckDB, although 0 would do */
        r = b == -1 ? 0 : a % b;
        break;
    }
    if (!ok || r < low || r > high)
        return out_of_range(e, c);
    *out = kal_value_integer((kal_type_tag)e->type.tag, r);
    return KAL_OK;
}

static double double_arithmetic(kal_expr_op op, double a, double b)
{
    switch (op) {
    case KAL_OP_ADD:
        return a + b;
    case KAL_OP_SUB:
        return a - b;
    case KAL_OP_MUL:
        return a * b;
    case KAL_OP_DIV:
        return a / b;
    default:
        KAL_ASSERT(op == KAL_OP_MOD);
        return fmod(a, b);
    }
}

/* A DECIMAL or an integer, in units of 10^-scale. */
static bool in_units(const kal_value *v, unsigned scale, unsigned precision, kal_i128 *out)
{
    bool is_decimal = v->type.tag == KAL_TYPE_DECIMAL;
    kal_i128 units = is_decimal ? v->decimal : v->integer;
    unsigned own = is_decimal ? v->type.scale : 0;
    kal_i128 limit = kal_pow10(precision);
    return kal_try_mul(units, kal_pow10(scale - own), out) && *out > -limit && *out < limit;
}

static kal_status decimal_arithmetic(const kal_expr *e, context *c, const kal_value *a,
                                     const kal_value *b, kal_value *out)
{
    kal_i128 limit = kal_pow10(e->type.precision);
    unsigned scale_a = e->type.scale;
    unsigned scale_b = e->type.scale;
    kal_i128 x;
    kal_i128 y;
    kal_i128 r = 0;

    if (e->op == KAL_OP_MUL) { /* the scales add up */
        scale_a = a->type.tag == KAL_TYPE_DECIMAL ? a->type.scale : 0;
        scale_b = e->type.scale - scale_a;
    }
    bool ok =
        in_units(a, scale_a, e->type.precision, &x) && in_units(b, scale_b, e->type.precision, &y);
    if (ok && e->op == KAL_OP_MUL)
        ok = kal_try_mul(x, y, &r);
    else if (ok && e->op == KAL_OP_ADD)
        ok = kal_try_add(x, y, &r);
    else if (ok)
        ok = kal_try_sub(x, y, &r);
    if (!ok || r <= -limit || r >= limit)
        return out_of_range(e, c);
    *out = kal_value_decimal(e->type, r);
    return KAL_OK;
}

static kal_status eval_arithmetic(const kal_expr *e, context *c, kal_value *out)
{
    kal_value a;
    kal_value b;
    KAL_TRY(eval(e->children[0], c, &a));
    KAL_TRY(eval(e->children[1], c, &b));
    if (a.is_null || b.is_null) {
        *out = kal_value_null(e->type);
        return KAL_OK;
    }
    if (kal_type_is_integer(e->type))
        return integer_arithmetic(e, c, a.integer, b.integer, out);
    if (e->type.tag == KAL_TYPE_DECIMAL)
        return decimal_arithmetic(e, c, &a, &b, out);
    if (e->type.tag == KAL_TYPE_FLOAT) { /* a double holds twice the digits: rounded once */
        *out = kal_value_float((float)double_arithmetic(e->op, (double)a.f32, (double)b.f32));
        return KAL_OK;
    }
    KAL_ASSERT(e->type.tag == KAL_TYPE_DOUBLE);
    *out = kal_value_double(double_arithmetic(e->op, a.f64, b.f64));
    return KAL_OK;
}

static kal_status eval_negate(const kal_expr *e, context *c, kal_value *out)
{
    int64_t low;
    int64_t high;
    KAL_TRY(eval(e->children[0], c, out));
    if (out->is_null)
        return KAL_OK;
    switch (e->type.tag) {
    case KAL_TYPE_DOUBLE:
        out->f64 = -out->f64;
        return KAL_OK;
    case KAL_TYPE_FLOAT:
        out->f32 = -out->f32;
        return KAL_OK;
    case KAL_TYPE_DECIMAL:
        out->decimal = -out->decimal;
        return KAL_OK;
    default:
        integer_range(e->type, &low, &high);
        if (out->integer == low)
            return out_of_range(e, c);
        out->integer = -out->integer;
        return KAL_OK;
    }
}

static kal_status eval_concat(const kal_expr *e, context *c, kal_value *out)
{
    kal_value a;
    kal_value b;
    KAL_TRY(eval(e->children[0], c, &a));
    KAL_TRY(eval(e->children[1], c, &b));
    if (a.is_null || b.is_null) {
        *out = kal_value_null(e->type);
        return KAL_OK;
    }
    size_t len = a.bytes.len + b.bytes.len;
    uint8_t *joined = kal_arena_try_alloc(c->arena, len);
    if (joined == NULL)
        return kal_error_set(c->err, KAL_LIMIT, "text of %zu bytes exceeds the statement's memory",
                             len);
    if (a.bytes.len > 0)
        memcpy(joined, a.bytes.ptr, a.bytes.len);
    if (b.bytes.len > 0)
        memcpy(joined + a.bytes.len, b.bytes.ptr, b.bytes.len);
    *out = kal_value_text(kal_bytes_of(joined, len));
    return KAL_OK;
}

static kal_status eval_cast(const kal_expr *e, context *c, kal_value *out)
{
    kal_value v;
    KAL_TRY(eval(e->children[0], c, &v));
    if (v.is_null) {
        *out = kal_value_null(e->type);
        return KAL_OK;
    }
    kal_status status = kal_value_cast(&v, e->type, c->arena, out, c->err);
    if (status != KAL_OK)
        kal_error_at(c->err, e->position);
    return status;
}

static kal_status eval_case(const kal_expr *e, context *c, kal_value *out)
{
    for (uint32_t i = 0; i + 1 < e->child_count; i += 2) {
        kal_value when;
        KAL_TRY(eval(e->children[i], c, &when));
        if (!when.is_null && when.boolean)
            return eval(e->children[i + 1], c, out);
    }
    return eval(e->children[e->child_count - 1], c, out);
}

static kal_status eval_vector(const kal_expr *e, context *c, kal_value *out)
{
    kal_value a;
    kal_value b;
    float result;
    KAL_TRY(eval(e->children[0], c, &a));
    KAL_TRY(eval(e->children[1], c, &b));
    if (a.is_null || b.is_null) {
        *out = kal_value_null(e->type);
        return KAL_OK;
    }
    kal_status status = kal_vector_compute(e->vector, a.bytes, b.bytes, &result, c->err);
    if (status != KAL_OK) {
        kal_error_at(c->err, e->position);
        return status;
    }
    *out = kal_value_float(result);
    return KAL_OK;
}

static kal_status eval_generated(const kal_expr *e, context *c, kal_value *out)
{
    kal_ids *ids = c->session->ids;
    if (ids == NULL)
        return fail(e, c, "this function cannot be used here");
    if (e->function == KAL_EXPR_SNOWFLAKE_ID) {
        *out = kal_value_bigint(kal_ids_snowflake(ids));
        return KAL_OK;
    }
    char *text = kal_arena_try_alloc(c->arena, KAL_UUID_TEXT_LEN);
    if (text == NULL)
        return kal_error_set(c->err, KAL_LIMIT, "the statement's memory is used up");
    if (e->function == KAL_EXPR_ULID) {
        kal_ids_ulid(ids, text);
        *out = kal_value_text(kal_bytes_of(text, KAL_ULID_TEXT_LEN));
        return KAL_OK;
    }
    uint8_t uuid[16];
    kal_ids_uuid_v7(ids, uuid);
    kal_uuid_format(uuid, text);
    *out = kal_value_text(kal_bytes_of(text, KAL_UUID_TEXT_LEN));
    return KAL_OK;
}

/* ---- JSON ---- */

static kal_status json_memory(context *c)
{
    return kal_error_set(c->err, KAL_LIMIT, "JSON text exceeds the memory of its statement");
}

/* Copies what was found out of the document's tree: a string of ->> as it reads, everything else as
 * JSON text. */
static kal_status json_result(const kal_expr *e, context *c, const kal_json *found, kal_value *out)
{
    bool as_text = e->type.tag == KAL_TYPE_TEXT;
    kal_bytes copy = {0};
    bool copied;

    if (found == NULL || (as_text && found->kind == KAL_JSON_NULL)) {
        *out = kal_value_null(e->type);
        return KAL_OK;
    }
    if (as_text && found->kind == KAL_JSON_STRING) {
        copied = kal_arena_try_copy(c->arena, found->text, &copy);
    } else {
        kal_buf text; /* owned */
        kal_buf_init(&text, c->arena->budget);
        kal_json_text_append(found, &text);
        copied =
            !kal_buf_failed(&text) && kal_arena_try_copy(c->arena, kal_buf_bytes(&text), &copy);
        kal_buf_release(&text);
    }
    *out = kal_value_bytes(e->type, copy);
    return copied ? KAL_OK : json_memory(c);
}

/* The tree of a document may be large, and there is one for each row: it does not stay. */
static kal_status eval_json(const kal_expr *e, context *c, kal_value *out)
{
    kal_value document;
    kal_json *tree = NULL;
    kal_arena arena; /* owned */

    KAL_TRY(eval(e->children[0], c, &document));
    if (document.is_null) {
        *out = kal_value_null(e->type);
        return KAL_OK;
    }
    kal_arena_init(&arena, c->arena->budget);
    kal_status status = kal_json_parse(document.bytes, &arena, &tree, c->err);
    if (status == KAL_INVALID) /* its position is one in the document */
        status = fail(e, c, "malformed JSON");
    if (status == KAL_OK)
        status = json_result(e, c, kal_json_path_find(e->path, tree), out);
    kal_arena_release(&arena);
    return status;
}

/* ---- functions ---- */

static int64_t character_count(kal_bytes text)
{
    int64_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        count += (text.ptr[i] & 0xC0) != 0x80;
    return count;
}

static bool find_text(kal_expr_function function, kal_bytes text, kal_bytes part)
{
    if (part.len == 0)
        return true;
    if (part.len > text.len)
        return false;
    if (function == KAL_EXPR_STARTS_WITH)
        return kal_bytes_starts_with(text, part);
    if (function == KAL_EXPR_ENDS_WITH)
        return memcmp(text.ptr + (text.len - part.len), part.ptr, part.len) == 0;
    return memmem(text.ptr, text.len, part.ptr, part.len) != NULL;
}

static kal_status eval_text_function(const kal_expr *e, context *c, kal_value *out)
{
    kal_value v[2] = {0};
    for (uint32_t i = 0; i < e->child_count; i++)
        KAL_TRY(eval(e->children[i], c, &v[i]));
    if (v[0].is_null || v[1].is_null)
        *out = kal_value_null(e->type);
    else if (e->function == KAL_EXPR_LENGTH)
        *out = kal_value_bigint(character_count(v[0].bytes));
    else
        *out = kal_value_boolean(find_text(e->function, v[0].bytes, v[1].bytes));
    return KAL_OK;
}

static kal_status eval_coalesce(const kal_expr *e, context *c, kal_value *out)
{
    for (uint32_t i = 0; i < e->child_count; i++) {
        KAL_TRY(eval(e->children[i], c, out));
        if (!out->is_null)
            break;
    }
    return KAL_OK;
}

static kal_status eval_abs(const kal_expr *e, context *c, kal_value *out)
{
    int64_t low;
    int64_t high;
    KAL_TRY(eval(e->children[0], c, out));
    if (out->is_null)
        return KAL_OK;
    switch (e->type.tag) {
    case KAL_TYPE_DOUBLE:
        out->f64 = fabs(out->f64);
        return KAL_OK;
    case KAL_TYPE_FLOAT:
        out->f32 = fabsf(out->f32);
        return KAL_OK;
    case KAL_TYPE_DECIMAL:
        out->decimal = out->decimal < 0 ? -out->decimal : out->decimal;
        return KAL_OK;
    default:
        integer_range(e->type, &low, &high);
        if (out->integer == low)
            return out_of_range(e, c);
        out->integer = out->integer < 0 ? -out->integer : out->integer;
        return KAL_OK;
    }
}

static kal_status eval_function(const kal_expr *e, context *c, kal_value *out)
{
    switch (e->function) {
    case KAL_EXPR_VECTOR:
        return eval_vector(e, c, out);
    case KAL_EXPR_NOW:
        *out = kal_value_integer((kal_type_tag)e->type.tag, c->session->now_us);
        return KAL_OK;
    case KAL_EXPR_CURRENT_USER:
        *out = kal_value_text(c->session->user_id);
        return KAL_OK;
    case KAL_EXPR_CURRENT_ROLE:
        *out = kal_value_text(c->session->role);
        return KAL_OK;
    case KAL_EXPR_SNOWFLAKE_ID:
    case KAL_EXPR_UUID_V7:
    case KAL_EXPR_ULID:
        return eval_generated(e, c, out);
    case KAL_EXPR_LOWER:
    case KAL_EXPR_UPPER:
        KAL_TRY(eval(e->children[0], c, out));
        return out->is_null ? KAL_OK : to_case(c, e->function == KAL_EXPR_UPPER, out);
    case KAL_EXPR_LENGTH:
    case KAL_EXPR_STARTS_WITH:
    case KAL_EXPR_ENDS_WITH:
    case KAL_EXPR_CONTAINS:
        return eval_text_function(e, c, out);
    case KAL_EXPR_COALESCE:
        return eval_coalesce(e, c, out);
    case KAL_EXPR_ABS:
        return eval_abs(e, c, out);
    }
    return fail(e, c, "unknown function");
}

static kal_status eval(const kal_expr *e, context *c, kal_value *out)
{
    switch (e->kind) {
    case KAL_EXPR_LITERAL:
        *out = e->literal;
        return KAL_OK;
    case KAL_EXPR_COLUMN:
        *out = c->columns[e->column];
        return KAL_OK;
    case KAL_EXPR_COMPARE:
        return eval_compare(e, c, out);
    case KAL_EXPR_DISTINCT:
        return eval_distinct(e, c, out);
    case KAL_EXPR_AND:
        return eval_logic(e, c, false, out);
    case KAL_EXPR_OR:
        return eval_logic(e, c, true, out);
    case KAL_EXPR_NOT:
        KAL_TRY(eval(e->children[0], c, out));
        *out = out->is_null ? unknown() : kal_value_boolean(!out->boolean);
        return KAL_OK;
    case KAL_EXPR_IS_NULL:
        KAL_TRY(eval(e->children[0], c, out));
        *out = kal_value_boolean(out->is_null != e->negated);
        return KAL_OK;
    case KAL_EXPR_IN:
        return eval_in(e, c, out);
    case KAL_EXPR_BETWEEN:
        return eval_between(e, c, out);
    case KAL_EXPR_LIKE:
        return eval_like(e, c, out);
    case KAL_EXPR_ARITHMETIC:
        return eval_arithmetic(e, c, out);
    case KAL_EXPR_NEGATE:
        return eval_negate(e, c, out);
    case KAL_EXPR_CONCAT:
        return eval_concat(e, c, out);
    case KAL_EXPR_CAST:
        return eval_cast(e, c, out);
    case KAL_EXPR_CASE:
        return eval_case(e, c, out);
    case KAL_EXPR_JSON:
        return eval_json(e, c, out);
    case KAL_EXPR_FUNCTION:
        return eval_function(e, c, out);
    }
    return fail(e, c, "unknown expression");
}

kal_status kal_expr_eval(const kal_expr *expr, const kal_value *columns,
                         const kal_expr_session *session, kal_arena *arena, kal_value *value_out,
                         kal_error *err)
{
    context c = {columns, session, arena, err};
    return eval(expr, &c, value_out);
}

kal_status kal_expr_test(const kal_expr *expr, const kal_value *columns,
                         const kal_expr_session *session, kal_arena *arena, bool *true_out,
                         kal_error *err)
{
    kal_value v;
    *true_out = false;
    KAL_TRY(kal_expr_eval(expr, columns, session, arena, &v, err));
    *true_out = !v.is_null && v.boolean;
    return KAL_OK;
}

void kal_expr_columns(const kal_expr *expr, uint64_t *bits, size_t column_count)
{
    if (expr == NULL)
        return;
    if (expr->kind == KAL_EXPR_COLUMN) {
        KAL_ASSERT(expr->column < column_count);
        bits[expr->column / 64] |= UINT64_C(1) << (expr->column % 64);
    }
    for (uint32_t i = 0; i < expr->child_count; i++)
        kal_expr_columns(expr->children[i], bits, column_count);
}

uint32_t kal_expr_count(const kal_expr *expr, kal_expr_kind kind)
{
    if (expr == NULL)
        return 0;
    uint32_t count = expr->kind == kind;
    for (uint32_t i = 0; i < expr->child_count; i++)
        count += kal_expr_count(expr->children[i], kind);
    return count;
}

bool kal_expr_is_constant(const kal_expr *expr)
{
    if (expr->kind == KAL_EXPR_COLUMN)
        return false;
    if (expr->kind == KAL_EXPR_FUNCTION &&
        (expr->function == KAL_EXPR_SNOWFLAKE_ID || expr->function == KAL_EXPR_UUID_V7 ||
         expr->function == KAL_EXPR_ULID))
        return false;
    for (uint32_t i = 0; i < expr->child_count; i++) {
        if (!kal_expr_is_constant(expr->children[i]))
            return false;
    }
    return true;
}
