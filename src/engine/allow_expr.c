/*
 * allow_expr.c: the expressions, types and constants of the allow-list.
 */
#include "engine/allow_internal.h"
#include "engine/allow_names.h"
#include "engine/lex.h"
#include "types/duckdb_ids.h"
#include "types/type.h"

enum { COPIES_MAX = 4, TYPE_DEPTH_MAX = 16, EMBEDDING_MAX = 8192 };

static const uint64_t REPETITION_MAX = 1000000;

static const allow_member NO_MEMBERS[] = {{NULL, NULL}};

static const allow_member EXPR_COMMON[] = {{"class", allow_any},
                                           {"type", allow_any},
                                           {"alias", allow_any},
                                           {"query_location", allow_any},
                                           {NULL, NULL}};

kal_status allow_exprs(allow_walk *w, const kal_json *array)
{
    for (size_t i = 0; i < array->len; i++)
        KAL_TRY(allow_expr(w, &array->items[i]));
    return KAL_OK;
}

/* A name in lower case for a message. */
static const char *lowered(allow_walk *w, kal_bytes name)
{
    kal_bytes cut = kal_bytes_of(name.ptr, name.len > 64 ? 64 : name.len);
    char *text = kal_arena_cstr(w->arena, cut);
    for (char *c = text; *c != 0; c++)
        *c = kal_ascii_lower(*c);
    return text;
}

/* --- types and constants --- */

static kal_status walk_type_at(allow_walk *w, const kal_json *type, unsigned depth);

static kal_status walk_children_types(allow_walk *w, const kal_json *info, unsigned depth)
{
    const kal_json *child = kal_ast_get(info, "child_type");
    const kal_json *children = kal_ast_get(info, "child_types");
    if (child != NULL)
        KAL_TRY(walk_type_at(w, child, depth + 1));
    for (size_t i = 0; children != NULL && i < children->len; i++) {
        const kal_json *field = kal_ast_get(&children->items[i], "second");
        if (field == NULL)
            return allow_refuse(w, "this type is not supported");
        KAL_TRY(walk_type_at(w, field, depth + 1));
    }
    return KAL_OK;
}

/* JSON is a type of DuckDB's JSON extension and so looks like a user's own. */
static bool is_json_type(const kal_json *info)
{
    return kal_bytes_equal_nocase(kal_ast_text(info, "user_type_name"), KAL_STR("json")) &&
           kal_ast_get(info, "catalog") == NULL && kal_ast_get(info, "schema") == NULL &&
           kal_ast_get(info, "user_type_modifiers") == NULL;
}

/* So does a type of ours that DuckDB does not know; type_names.c renames it. */
static bool is_our_type(const kal_json *info)
{
    kal_type_tag tag;
    return kal_type_is_only_ours(kal_ast_text(info, "user_type_name"), &tag) &&
           kal_ast_get(info, "catalog") == NULL && kal_ast_get(info, "schema") == NULL;
}

static kal_status refuse_type(allow_walk *w, kal_bytes id, const kal_json *info)
{
    kal_bytes name = kal_ast_equals(id, "USER") ? kal_ast_text(info, "user_type_name") : id;
    return allow_refuse(w, "type '%s' is not supported", lowered(w, name));
}

static kal_status walk_type_at(allow_walk *w, const kal_json *type, unsigned depth)
{
    kal_bytes id = kal_ast_text(type, "id");
    const kal_json *info = kal_ast_get(type, "type_info");
    if (depth > TYPE_DEPTH_MAX)
        return allow_limit(w, "a type is nested deeper than %d levels", TYPE_DEPTH_MAX);
    if (kal_ast_equals(id, "USER"))
        return is_json_type(info) || is_our_type(info) ? KAL_OK : refuse_type(w, id, info);
    int64_t size;
    if (kal_ast_number(info, "size", &size) && size > EMBEDDING_MAX)
        return allow_limit(w, "an array type may have %d elements", EMBEDDING_MAX);
    if (kal_ast_text(info, "collation").len > 0 || kal_ast_text(info, "alias").len > 0)
        return refuse_type(w, id, info);
    return kal_duckdb_id_is_known(id) ? walk_children_types(w, info, depth)
                                      : refuse_type(w, id, info);
}

kal_status allow_type(allow_walk *w, const kal_json *type)
{
    return walk_type_at(w, type, 0);
}

kal_status allow_value(allow_walk *w, const kal_json *value)
{
    static const allow_member MEMBERS[] = {
        {"type", allow_type}, {"is_null", allow_any}, {"value", allow_any}, {NULL, NULL}};
    return allow_members(w, value, NO_MEMBERS, MEMBERS);
}

static kal_status walk_collation(allow_walk *w, const kal_json *value)
{
    static const char *const NAMES[] = {"nocase", "noaccent", "nfc", "binary", "c", "posix"};
    kal_bytes rest = value->text;
    while (rest.len > 0) {
        const uint8_t *dot = memchr(rest.ptr, '.', rest.len);
        size_t len = dot == NULL ? rest.len : (size_t)(dot - rest.ptr);
        kal_bytes name = kal_bytes_of(rest.ptr, len);
        bool known = false;
        for (size_t i = 0; i < KAL_ARRAY_LEN(NAMES); i++)
            known = known || kal_bytes_equal_nocase(name, kal_cstr(NAMES[i]));
        if (!known)
            return allow_refuse(w, "collation '%s' is not supported", lowered(w, name));
        size_t used = dot == NULL ? len : len + 1;
        rest = kal_bytes_of(rest.ptr + used, rest.len - used);
    }
    return KAL_OK;
}

/* --- functions --- */

/* An integer constant, also with a minus sign in front or inside a cast to an integer type. */
static bool integer_constant(const kal_json *node, int64_t *out)
{
    if (kal_ast_is(node, "class", "FUNCTION") && kal_ast_is(node, "function_name", "-") &&
        kal_ast_count(node, "children") == 1) {
        int64_t v;
        if (!integer_constant(&kal_ast_get(node, "children")->items[0], &v))
            return false;
        return kal_try_sub((int64_t)0, v, out);
    }
    if (!kal_ast_is(node, "class", "CONSTANT"))
        return false;
    const kal_json *value = kal_ast_get(kal_ast_get(node, "value"), "value");
    if (value == NULL || value->kind != KAL_JSON_NUMBER || value->text.len == 0)
        return false;
    kal_bytes id = kal_ast_text(kal_ast_get(kal_ast_get(node, "value"), "type"), "id");
    bool negative = value->text.ptr[0] == '-';
    int64_t v = 0;
    for (size_t i = negative ? 1 : 0; i < value->text.len; i++) {
        uint8_t c = value->text.ptr[i];
        if (c < '0' || c > '9' || !kal_try_mul(v, 10, &v) || !kal_try_add(v, c - '0', &v))
            return false;
    }
    *out = negative ? -v : v;
    return kal_duckdb_id_is_integer(id);
}

static const kal_json *argument(const kal_json *call, size_t i)
{
    const kal_json *children = kal_ast_get(call, "children");
    return children != NULL && i < children->len ? &children->items[i] : NULL;
}

static kal_status rule_size(allow_walk *w, const kal_json *call, const kal_fn *fn)
{
    int64_t size;
    if (!integer_constant(argument(call, 1), &size))
        return allow_refuse(w, "the size given to %s() must be an integer constant", fn->name);
    if (size > KAL_SIZE_ARGUMENT_MAX)
        return allow_limit(w, "the size given to %s() is %lld, %d is allowed", fn->name,
                           (long long)size, KAL_SIZE_ARGUMENT_MAX);
    if (strcmp(fn->name, "repeat") == 0 && size > 1)
        w->repetition *= (uint64_t)size;
    if (w->repetition > REPETITION_MAX)
        return allow_limit(w, "the statement multiplies text by repeat() too often");
    return KAL_OK;
}

static kal_status rule_last_count(allow_walk *w, const kal_json *call, const kal_fn *fn)
{
    int64_t count;
    for (size_t i = fn->args; i < kal_ast_count(call, "children"); i++) {
        if (!integer_constant(argument(call, i), &count) || count > KAL_SIZE_ARGUMENT_MAX)
            return allow_refuse(w, "the count given to %s() must be an integer constant up to %d",
                                fn->name, KAL_SIZE_ARGUMENT_MAX);
    }
    return KAL_OK;
}

static kal_status rule_quantiles(allow_walk *w, const kal_json *call, const kal_fn *fn)
{
    const kal_json *quantiles = argument(call, 1);
    if (quantiles == NULL || kal_ast_is(quantiles, "class", "CONSTANT"))
        return KAL_OK;
    if (kal_ast_is(quantiles, "class", "PARAMETER"))
        return KAL_OK; /* parameters are single values */
    if (!kal_ast_is(quantiles, "function_name", "list_value") ||
        kal_ast_count(quantiles, "children") > KAL_QUANTILES_MAX)
        return allow_refuse(w, "%s() takes a number or a list of up to %d numbers", fn->name,
                            KAL_QUANTILES_MAX);
    return KAL_OK;
}

/* How many values from 0, or from a, to b: range() without b, generate_series() with it. False: not
 * bounded by constants. */
static bool series_length(const kal_json *call, const kal_fn *fn, uint64_t *length_out)
{
    bool is_range = strcmp(fn->name, "range") == 0;
    int64_t v[3] = {0, 0, 1};
    size_t count = kal_ast_count(call, "children");
    if (count == 0 || count > 3)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!integer_constant(argument(call, i), &v[i]))
            return false;
    }
    if (count == 1) {
        v[1] = v[0];
        v[0] = 0;
    }
    if (v[2] == 0)
        return true; /* DuckDB refuses it */
    kal_i128 distance = v[2] > 0 ? (kal_i128)v[1] - v[0] : (kal_i128)v[0] - v[1];
    kal_i128 step = v[2] > 0 ? v[2] : -(kal_i128)v[2];
    if (is_range)
        distance--;
    kal_i128 length = distance < 0 ? 0 : distance / step + 1;
    *length_out = length > INT64_MAX ? INT64_MAX : (uint64_t)length;
    return true;
}

static kal_status rule_series(allow_walk *w, const kal_json *call, const kal_fn *fn)
{
    uint64_t length = 0;
    if (!series_length(call, fn, &length))
        return allow_refuse(w, "%s() takes integer constants", fn->name);
    if (length > KAL_SERIES_SCALAR_MAX)
        return allow_limit(w, "%s() makes %llu elements, %d are allowed", fn->name,
                           (unsigned long long)length, KAL_SERIES_SCALAR_MAX);
    return KAL_OK;
}

static kal_status check_names_of_arguments(allow_walk *w, const kal_json *call, const kal_fn *fn)
{
    for (size_t i = 0; i < kal_ast_count(call, "children"); i++) {
        if (kal_ast_text(argument(call, i), "alias").len > 0)
            return allow_refuse(w, "%s() takes no named arguments", fn->name);
    }
    return KAL_OK;
}

static kal_status check_rule(allow_walk *w, const kal_json *call, const kal_fn *fn)
{
    if (fn->rule != KAL_RULE_FIELDS)
        KAL_TRY(check_names_of_arguments(w, call, fn));
    switch ((kal_fn_rule)fn->rule) {
    case KAL_RULE_SIZE:
        return rule_size(w, call, fn);
    case KAL_RULE_LAST_COUNT:
        return rule_last_count(w, call, fn);
    case KAL_RULE_SERIES:
        return rule_series(w, call, fn);
    case KAL_RULE_QUANTILES:
        return rule_quantiles(w, call, fn);
    case KAL_RULE_NO_ARGS:
        return argument(call, 0) == NULL ? KAL_OK
                                         : allow_refuse(w, "%s() takes no arguments", fn->name);
    case KAL_RULE_FIELDS:
        if (kal_ast_count(call, "children") > KAL_ALLOW_LIST_MAX)
            return allow_limit(w, "a list or row has more than %d elements", KAL_ALLOW_LIST_MAX);
        return KAL_OK;
    case KAL_RULE_COPIES:
        return w->copies <= COPIES_MAX
                   ? KAL_OK
                   : allow_limit(w, "%s() is nested deeper than %d levels", fn->name, COPIES_MAX);
    case KAL_RULE_NONE:
        break;
    }
    return KAL_OK;
}

static kal_status unknown_function(allow_walk *w, kal_bytes name, uint8_t kinds)
{
    const char *near = kal_fn_near(name, kinds);
    allow_refuse(w, "function '%s' is not supported", lowered(w, name));
    if (near != NULL)
        kal_error_hint(w->err, "did you mean '%s'?", near);
    return KAL_UNSUPPORTED;
}

/* Finds the listed function of one of these kinds; refuses others by name. */
static kal_status find_function(allow_walk *w, const kal_json *call, uint8_t kinds,
                                const kal_fn **fn_out)
{
    kal_bytes name = kal_ast_text(call, "function_name");
    kal_bytes schema = kal_ast_text(call, "schema");
    if (kal_ast_text(call, "catalog").len > 0 ||
        (schema.len > 0 && !kal_ast_equals(schema, "main"))) {
        allow_refuse(w, "function '%s' cannot be called with a qualified name", lowered(w, name));
        kal_error_hint(w->err, "write %s(value) instead of value.%s()", lowered(w, name),
                       lowered(w, name));
        return KAL_UNSUPPORTED;
    }
    *fn_out = kal_fn_find(name);
    if (*fn_out == NULL || ((*fn_out)->kinds & kinds) == 0)
        return unknown_function(w, name, kinds);
    return KAL_OK;
}

/* --- session functions --- */

const char *const kal_session_names[KAL_SESSION_COUNT] = {
#define SESSION_NAME(name) #name,
    KAL_SESSION_LIST(SESSION_NAME)
#undef SESSION_NAME
};

/* Which session function it is, or KAL_SESSION_COUNT. */
static size_t session_index(kal_bytes name)
{
    size_t i = 0;
    while (i < KAL_SESSION_COUNT && !kal_bytes_equal_nocase(name, kal_cstr(kal_session_names[i])))
        i++;
    return i;
}

/* DuckDB falls back to a function when there is no such column. */
static void note_session(allow_walk *w, kal_bytes name)
{
    size_t i = session_index(name);
    if (i < KAL_SESSION_COUNT)
        w->plan->session_used[i] = true;
}

/* --- one function per class of expression that needs more than its members --- */

static kal_status also_column(allow_walk *w, const kal_json *node)
{
    const kal_json *parts = kal_ast_get(node, "column_names");
    if (parts == NULL || parts->len == 0)
        return allow_refuse(w, "this column reference is not supported");
    if (parts->len == 1)
        note_session(w, parts->items[0].text);
    size_t position = w->position;
    allow_locate(w, node, &position);
    for (size_t i = 0; i < parts->len; i++) {
        kal_plan_name name = {parts->items[i].text, position, w->scope};
        if (name.name.len > 0 && name.name.ptr[0] == '_' &&
            !kal_vec_try_push_in(w->arena, &w->plan->names, name))
            return allow_memory(w);
    }
    if (parts->len < 3)
        return KAL_OK;
    kal_lex_token first = kal_lex_next(w->text, &(size_t){position});
    kal_plan_column column = {.start = position,
                              .end = first.end,
                              .schema = parts->items[0].text,
                              .table = parts->items[1].text,
                              .scope = w->scope};
    if (first.start != position ||
        !kal_bytes_equal(kal_lex_name(w->text, first, w->arena), column.schema))
        return KAL_OK; /* not at a place we know: left as it is, DuckDB resolves it or not */
    return kal_vec_try_push_in(w->arena, &w->plan->columns, column) ? KAL_OK : allow_memory(w);
}

static kal_status also_parameter(allow_walk *w, const kal_json *node)
{
    kal_bytes name = kal_ast_text(node, "identifier");
    uint32_t number = 0;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        if (c < '0' || c > '9')
            return allow_refuse(w, "named parameters are not supported, use $1, $2, ...");
        number = number * 10 + (uint32_t)(c - '0');
        if (number > KAL_ALLOW_PARAM_MAX)
            return allow_limit(w, "a statement may have %d parameters", KAL_ALLOW_PARAM_MAX);
    }
    if (number == 0)
        return allow_refuse(w, "parameters are numbered from $1");
    w->plan->params_used[number] = true;
    if (number > w->plan->param_max)
        w->plan->param_max = number;
    return KAL_OK;
}

static bool star_is_plain(const kal_json *node)
{
    return kal_ast_count(node, "exclude_list") == 0 && kal_ast_count(node, "replace_list") == 0 &&
           kal_ast_count(node, "qualified_exclude_list") == 0 &&
           kal_ast_count(node, "rename_list") == 0 && !kal_ast_flag(node, "columns") &&
           kal_ast_get(node, "expr") == NULL;
}

static kal_status also_star(allow_walk *w, const kal_json *node)
{
    if (w->in_order_by)
        return KAL_OK;
    kal_plan_star star = {.position = w->text.len,
                          .relation = kal_ast_text(node, "relation_name"),
                          .scope = w->scope,
                          .plain = star_is_plain(node)};
    if (allow_locate(w, node, &star.position)) {
        size_t position = star.position;
        kal_lex_token token = kal_lex_next(w->text, &position);
        if (star.relation.len > 0) {
            kal_lex_next(w->text, &position);
            token = kal_lex_next(w->text, &position);
        }
        if (kal_ast_equals(kal_lex_text(w->text, token), "*"))
            star.end = token.end;
    }
    return kal_vec_try_push_in(w->arena, &w->plan->stars, star) ? KAL_OK : allow_memory(w);
}

static kal_status walk_replacements(allow_walk *w, const kal_json *list)
{
    static const allow_member MEMBERS[] = {{"key", allow_any}, {"value", allow_expr}, {NULL, NULL}};
    for (size_t i = 0; i < list->len; i++)
        KAL_TRY(allow_members(w, &list->items[i], NO_MEMBERS, MEMBERS));
    return KAL_OK;
}

static kal_status walk_case_checks(allow_walk *w, const kal_json *list)
{
    static const allow_member MEMBERS[] = {
        {"when_expr", allow_expr}, {"then_expr", allow_expr}, {NULL, NULL}};
    for (size_t i = 0; i < list->len; i++)
        KAL_TRY(allow_members(w, &list->items[i], NO_MEMBERS, MEMBERS));
    return KAL_OK;
}

static kal_status walk_order_modifier(allow_walk *w, const kal_json *modifier)
{
    static const allow_member MEMBERS[] = {
        {"type", allow_any}, {"orders", allow_orders}, {NULL, NULL}};
    return allow_members(w, modifier, NO_MEMBERS, MEMBERS);
}

static kal_status also_operator(allow_walk *w, const kal_json *node)
{
    if (kal_ast_count(node, "children") > KAL_ALLOW_IN_MAX + 1)
        return allow_limit(w, "IN has more than %d values", KAL_ALLOW_IN_MAX);
    return KAL_OK;
}

static const allow_member FUNCTION_MEMBERS[] = {{"function_name", allow_any},
                                                {"schema", allow_any},
                                                {"children", allow_exprs},
                                                {"filter", allow_expr},
                                                {"order_bys", walk_order_modifier},
                                                {"distinct", allow_any},
                                                {"is_operator", allow_any},
                                                {"export_state", allow_none},
                                                {"catalog", allow_any},
                                                {NULL, NULL}};

static kal_status walk_function(allow_walk *w, const kal_json *node)
{
    const kal_fn *fn;
    KAL_TRY(find_function(w, node, KAL_FN_SCALAR | KAL_FN_AGGREGATE, &fn));
    note_session(w, kal_cstr(fn->name));
    if (fn->rule == KAL_RULE_COPIES)
        w->copies++;
    KAL_TRY(check_rule(w, node, fn));
    KAL_TRY(allow_members(w, node, EXPR_COMMON, FUNCTION_MEMBERS));
    if (fn->rule == KAL_RULE_COPIES)
        w->copies--;
    return KAL_OK;
}

static kal_status also_window(allow_walk *w, const kal_json *node)
{
    const kal_fn *fn;
    allow_locate(w, node, NULL);
    KAL_TRY(find_function(w, node, KAL_FN_AGGREGATE | KAL_FN_WINDOW, &fn));
    return check_rule(w, node, fn);
}

/* A date or time written as a constant. */
static bool time_constant(const kal_json *node)
{
    kal_bytes id = kal_ast_text(kal_ast_get(node, "cast_type"), "id");
    return kal_ast_is(node, "class", "CAST") &&
           kal_ast_is(kal_ast_get(node, "child"), "class", "CONSTANT") && kal_duckdb_id_is_day(id);
}

/* Rows stream here and can be interrupted, so a span of time needs no count. */
static kal_status rule_table_series(allow_walk *w, const kal_json *call, const kal_fn *fn)
{
    uint64_t length = 0;
    if (kal_ast_count(call, "children") == 3 && time_constant(argument(call, 0)) &&
        time_constant(argument(call, 1)))
        return KAL_OK;
    if (!series_length(call, fn, &length))
        return allow_refuse(w, "%s() takes constants", fn->name);
    if (length > KAL_SERIES_TABLE_MAX)
        return allow_limit(w, "%s() makes %llu rows, %d are allowed", fn->name,
                           (unsigned long long)length, KAL_SERIES_TABLE_MAX);
    return KAL_OK;
}

/* In FROM: no named arguments (they hide in the alias), no FILTER, nothing from elsewhere. */
kal_status allow_table_function(allow_walk *w, const kal_json *call)
{
    const kal_fn *fn;
    allow_locate(w, call, NULL);
    if (!kal_ast_is(call, "class", "FUNCTION"))
        return allow_refuse(w, "this kind of FROM clause is not supported");
    if (kal_fn_find(kal_ast_text(call, "function_name")) == NULL)
        return allow_refuse(w, "table function '%s' is not supported",
                            lowered(w, kal_ast_text(call, "function_name")));
    KAL_TRY(find_function(w, call, KAL_FN_TABLE, &fn));
    KAL_TRY(check_names_of_arguments(w, call, fn));
    if (fn->rule == KAL_RULE_SERIES)
        KAL_TRY(rule_table_series(w, call, fn));
    return allow_members(w, call, EXPR_COMMON, FUNCTION_MEMBERS);
}

static kal_status also_cast(allow_walk *w, const kal_json *node)
{
    kal_plan_cast cast = {0};
    cast.is_literal = !allow_locate(w, node, &cast.position);
    if (cast.is_literal && !allow_locate(w, kal_ast_get(node, "child"), &cast.position))
        return KAL_OK; /* made by DuckDB, not written */
    return kal_vec_try_push_in(w->arena, &w->plan->casts, cast) ? KAL_OK : allow_memory(w);
}

/* class, the types it may have (NULL: its own name), members, more */
static const struct expr_kind {
    const char *class;
    const char *types[16];
    allow_member members[19];
    kal_status (*also)(allow_walk *w, const kal_json *node);
} EXPR_KINDS[] = {
    {"COLUMN_REF", {"COLUMN_REF"}, {{"column_names", allow_any}}, also_column},
    {"CONSTANT", {"VALUE_CONSTANT"}, {{"value", allow_value}}, NULL},
    {"COMPARISON",
     {"COMPARE_EQUAL", "COMPARE_NOTEQUAL", "COMPARE_LESSTHAN", "COMPARE_GREATERTHAN",
      "COMPARE_LESSTHANOREQUALTO", "COMPARE_GREATERTHANOREQUALTO", "COMPARE_DISTINCT_FROM",
      "COMPARE_NOT_DISTINCT_FROM"},
     {{"left", allow_expr}, {"right", allow_expr}},
     NULL},
    {"CONJUNCTION", {"CONJUNCTION_AND", "CONJUNCTION_OR"}, {{"children", allow_exprs}}, NULL},
    {"CAST",
     {"OPERATOR_CAST"},
     {{"child", allow_expr}, {"cast_type", allow_type}, {"try_cast", allow_any}},
     also_cast},
    {"CASE", {"CASE_EXPR"}, {{"case_checks", walk_case_checks}, {"else_expr", allow_expr}}, NULL},
    {"OPERATOR",
     {"OPERATOR_NOT", "OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL", "OPERATOR_COALESCE", "COMPARE_IN",
      "COMPARE_NOT_IN", "ARRAY_EXTRACT", "ARRAY_SLICE", "STRUCT_EXTRACT", "GROUPING_FUNCTION",
      "OPERATOR_UNPACK", "OPERATOR_TRY"},
     {{"children", allow_exprs}},
     also_operator},
    {"BETWEEN",
     {"COMPARE_BETWEEN"},
     {{"input", allow_expr}, {"lower", allow_expr}, {"upper", allow_expr}},
     NULL},
    {"SUBQUERY",
     {"SUBQUERY"},
     {{"subquery_type", allow_any},
      {"subquery", allow_select},
      {"child", allow_expr},
      {"comparison_type", allow_any}},
     NULL},
    {"STAR",
     {"STAR"},
     {{"relation_name", allow_any},
      {"exclude_list", allow_any},
      {"replace_list", walk_replacements},
      {"columns", allow_any},
      {"expr", allow_expr},
      {"qualified_exclude_list", allow_any},
      {"rename_list", allow_any}},
     also_star},
    {"WINDOW",
     {"WINDOW_AGGREGATE", "WINDOW_ROW_NUMBER", "WINDOW_RANK", "WINDOW_RANK_DENSE",
      "WINDOW_PERCENT_RANK", "WINDOW_CUME_DIST", "WINDOW_NTILE", "WINDOW_LAG", "WINDOW_LEAD",
      "WINDOW_FIRST_VALUE", "WINDOW_LAST_VALUE", "WINDOW_NTH_VALUE"},
     {{"function_name", allow_any},
      {"schema", allow_any},
      {"catalog", allow_any},
      {"children", allow_exprs},
      {"partitions", allow_exprs},
      {"orders", allow_orders},
      {"start", allow_any},
      {"end", allow_any},
      {"start_expr", allow_expr},
      {"end_expr", allow_expr},
      {"offset_expr", allow_expr},
      {"default_expr", allow_expr},
      {"ignore_nulls", allow_any},
      {"filter_expr", allow_expr},
      {"exclude_clause", allow_any},
      {"distinct", allow_any},
      {"arg_orders", allow_orders}},
     also_window},
    {"LAMBDA",
     {"LAMBDA"},
     {{"lhs", allow_expr}, {"expr", allow_expr}, {"syntax_type", allow_any}},
     NULL},
    {"COLLATE", {"COLLATE"}, {{"child", allow_expr}, {"collation", walk_collation}}, NULL},
    {"PARAMETER", {"VALUE_PARAMETER"}, {{"identifier", allow_any}}, also_parameter},
    {"POSITIONAL_REFERENCE", {"POSITIONAL_REFERENCE"}, {{"index", allow_any}}, NULL},
};

static bool has_type(const struct expr_kind *kind, kal_bytes type)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(kind->types) && kind->types[i] != NULL; i++) {
        if (kal_ast_equals(type, kind->types[i]))
            return true;
    }
    return false;
}

static kal_status walk_expr(allow_walk *w, const kal_json *node)
{
    kal_bytes class = kal_ast_text(node, "class");
    kal_bytes type = kal_ast_text(node, "type");
    allow_locate(w, node, NULL);
    if (kal_ast_equals(class, "FUNCTION") && kal_ast_equals(type, "FUNCTION"))
        return walk_function(w, node);
    for (size_t i = 0; i < KAL_ARRAY_LEN(EXPR_KINDS); i++) {
        const struct expr_kind *kind = &EXPR_KINDS[i];
        if (!kal_ast_equals(class, kind->class) || !has_type(kind, type))
            continue;
        KAL_TRY(allow_members(w, node, EXPR_COMMON, kind->members));
        return kind->also == NULL ? KAL_OK : kind->also(w, node);
    }
    if (kal_ast_equals(class, "DEFAULT"))
        return allow_refuse(w, "DEFAULT cannot be used in a query");
    return allow_refuse(w, "an expression of kind '%s' is not supported", lowered(w, type));
}

kal_status allow_expr(allow_walk *w, const kal_json *node)
{
    KAL_TRY(allow_enter(w));
    KAL_TRY(walk_expr(w, node));
    w->depth--;
    return KAL_OK;
}
