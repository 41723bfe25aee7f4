#include "base/assert.h"
#include "sql/parser_internal.h"

#include <stdarg.h>
#include <stdio.h>

enum { SHOWN_BYTES_MAX = 64 };

void kal_parser_init(kal_parser *p, kal_bytes text, uint32_t base, kal_arena *arena)
{
    *p = (kal_parser){.base = base, .arena = arena, .error = KAL_ERROR_INIT};
    kal_sql_lexer_init(&p->lexer, text);
    p->next = kal_sql_lexer_next(&p->lexer);
    kal_parser_advance(p);
}

kal_parser_mark kal_parser_mark_here(const kal_parser *p)
{
    return (kal_parser_mark){p->lexer, p->token, p->next, p->last_end, p->nesting, p->stack.len};
}

bool kal_parser_failed_soft(const kal_parser *p)
{
    return p->status == KAL_SYNTAX && !p->hard;
}

void kal_parser_go_back(kal_parser *p, const kal_parser_mark *mark)
{
    KAL_ASSERT(p->status == KAL_OK || kal_parser_failed_soft(p));
    KAL_ASSERT(p->stack.len >= mark->stack_len);
    p->lexer = mark->lexer;
    p->token = mark->token;
    p->next = mark->next;
    p->last_end = mark->last_end;
    p->nesting = mark->nesting;
    p->stack.len = mark->stack_len;
    p->status = KAL_OK;
    p->error = KAL_ERROR_INIT;
}

/* --- failure --- */

uint32_t kal_parser_position(const kal_parser *p, uint32_t offset)
{
    return p->base + offset;
}

bool kal_parser_fail(kal_parser *p, kal_status status, uint32_t position, const char *format, ...)
{
    char message[KAL_ERROR_MESSAGE_BYTES];
    va_list args;
    if (p->status != KAL_OK)
        return false; /* the first failure is the one to tell */
    va_start(args, format);
    int written = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    KAL_ASSERT(written >= 0);
    /* a message is one line, whatever the client's quoted name holds */
    for (char *c = message; *c != '\0'; c++)
        if ((uint8_t)*c < ' ' || *c == 0x7F)
            *c = '?';
    p->status = kal_error_set(&p->error, status, "%s", message);
    p->hard = status != KAL_SYNTAX;
    kal_error_at(&p->error, position);
    return false;
}

bool kal_parser_fail_memory(kal_parser *p)
{
    return kal_parser_fail(p, KAL_LIMIT, kal_parser_position(p, p->token.start),
                           "SQL statement does not fit in its memory limit");
}

int kal_parser_shown(kal_bytes text)
{
    size_t len = text.len < SHOWN_BYTES_MAX ? text.len : SHOWN_BYTES_MAX;
    if (len < text.len)
        while (len > 0 && (text.ptr[len] & 0xC0) == 0x80)
            len--;
    return (int)len;
}

/* Strings are not repeated: one of them may be a password. */
static void describe_token(const kal_parser *p, char out[static SHOWN_BYTES_MAX + 8])
{
    kal_bytes text = kal_bytes_of(p->lexer.text + p->token.start, p->token.end - p->token.start);
    if (p->token.kind == KAL_TOKEN_END)
        snprintf(out, SHOWN_BYTES_MAX + 8, "the end of the statement");
    else if (p->token.kind == KAL_TOKEN_STRING)
        snprintf(out, SHOWN_BYTES_MAX + 8, "a string");
    else
        snprintf(out, SHOWN_BYTES_MAX + 8, "'%.*s'%s", kal_parser_shown(text),
                 (const char *)text.ptr, text.len > SHOWN_BYTES_MAX ? ".." : "");
}

bool kal_parser_expected(kal_parser *p, const char *what)
{
    char got[SHOWN_BYTES_MAX + 8];
    describe_token(p, got);
    return kal_parser_fail(p, KAL_SYNTAX, kal_parser_position(p, p->token.start),
                           "expected %s, got %s", what, got);
}

void kal_parser_hint_near(kal_parser *p, kal_bytes got, const char *const *words)
{
    const char *nearest = NULL;
    size_t best = 3;
    if (words == NULL || got.len < 2)
        return;
    for (; *words != NULL; words++) {
        kal_bytes word = kal_cstr(*words);
        size_t distance = kal_edit_distance(got, word);
        /* two of three letters wrong is not a slip of the finger */
        if (distance > 0 && distance < best && distance * 2 < word.len) {
            best = distance;
            nearest = *words;
        }
    }
    if (nearest != NULL)
        kal_error_hint(&p->error, "did you mean %s?", nearest);
}

bool kal_parser_expected_words(kal_parser *p, const char *what, const char *const *words)
{
    bool first = p->status == KAL_OK;
    kal_parser_expected(p, what);
    if (first && p->token.kind == KAL_TOKEN_WORD)
        kal_parser_hint_near(
            p, kal_bytes_of(p->lexer.text + p->token.start, p->token.end - p->token.start), words);
    return false;
}

bool kal_parser_expect_end(kal_parser *p, const char *const *words)
{
    if (p->status != KAL_OK)
        return false;
    if (kal_parser_at(p, KAL_TOKEN_END))
        return true;
    return kal_parser_expected_words(p, "the end of the statement", words);
}

bool kal_parser_enter(kal_parser *p, uint32_t position)
{
    if (p->nesting >= KAL_SQL_NESTING_MAX)
        return kal_parser_fail(p, KAL_LIMIT, position, "SQL nests deeper than %u levels",
                               KAL_SQL_NESTING_MAX);
    p->nesting++;
    return true;
}

void kal_parser_leave(kal_parser *p)
{
    KAL_ASSERT(p->nesting > 0);
    p->nesting--;
}

/* --- tokens --- */

void kal_parser_advance(kal_parser *p)
{
    p->last_end = p->token.end;
    p->token = p->next;
    p->next = kal_sql_lexer_next(&p->lexer);
    if (p->token.kind == KAL_TOKEN_PARAM && p->token.param > p->param_max)
        p->param_max = p->token.param;
    if (p->token.kind == KAL_TOKEN_ERROR) {
        kal_parser_fail(p, KAL_SYNTAX, kal_parser_position(p, p->token.start), "%s",
                        p->token.error);
        p->hard = true;
    }
}

kal_sql_lexer kal_parser_look_ahead(const kal_parser *p)
{
    return (kal_sql_lexer){p->lexer.text, p->lexer.len, p->token.end};
}

bool kal_parser_accept(kal_parser *p, kal_sql_token_kind kind)
{
    if (p->status != KAL_OK || p->token.kind != kind)
        return false;
    kal_parser_advance(p);
    return true;
}

bool kal_parser_accept_keyword(kal_parser *p, kal_sql_keyword keyword)
{
    KAL_ASSERT(keyword != KAL_KW_NONE);
    if (p->status != KAL_OK || p->token.keyword != keyword)
        return false;
    kal_parser_advance(p);
    return true;
}

bool kal_parser_expect(kal_parser *p, kal_sql_token_kind kind, const char *what)
{
    return kal_parser_accept(p, kind) || kal_parser_expected(p, what);
}

bool kal_parser_expect_keyword(kal_parser *p, kal_sql_keyword keyword, const char *after)
{
    const char *name = kal_sql_keyword_name(keyword);
    const char *const words[] = {name, NULL};
    char what[128];
    if (kal_parser_accept_keyword(p, keyword))
        return true;
    snprintf(what, sizeof what, "%s%s%s", name, after == NULL ? "" : " ",
             after == NULL ? "" : after);
    return kal_parser_expected_words(p, what, words);
}

bool kal_parser_at_word(const kal_parser *p, const char *word)
{
    return p->token.kind == KAL_TOKEN_WORD &&
           kal_bytes_equal_nocase(
               kal_bytes_of(p->lexer.text + p->token.start, p->token.end - p->token.start),
               kal_cstr(word));
}

/* --- skipping what is kept as text --- */

/*
 * How deep the text nests: brackets and CASE open a level; NOT and signs before an operand do so
 * too, until the operand is over. Each open bracket remembers how many of those it stands in.
 */
typedef struct depth_meter {
    unsigned depth;  /* all of them */
    unsigned prefix; /* NOTs and signs directly before the next operand */
    unsigned brackets;
    struct {
        uint8_t prefix;
        bool is_case; /* END closes it, and nothing else does */
    } open[KAL_SQL_NESTING_MAX];
    bool operand_next; /* a sign here would be a prefix */
    bool name_next;    /* after a dot or AS every word is a name */
} depth_meter;

static bool is_sign(kal_sql_token_kind kind)
{
    return kind == KAL_TOKEN_PLUS || kind == KAL_TOKEN_MINUS || kind == KAL_TOKEN_OTHER;
}

static bool meter_open(depth_meter *meter, bool is_case)
{
    if (meter->depth >= KAL_SQL_NESTING_MAX)
        return false;
    KAL_ASSERT(meter->brackets < KAL_SQL_NESTING_MAX);
    meter->open[meter->brackets].prefix = (uint8_t)meter->prefix;
    meter->open[meter->brackets].is_case = is_case;
    meter->brackets++;
    meter->depth++;
    meter->prefix = 0;
    meter->operand_next = true;
    return true;
}

static void meter_end_prefix(depth_meter *meter)
{
    KAL_ASSERT(meter->depth >= meter->prefix);
    meter->depth -= meter->prefix;
    meter->prefix = 0;
}

/* What closes nothing closes nothing: it is a syntax error, which DuckDB will report. */
static void meter_close(depth_meter *meter, bool is_case)
{
    meter_end_prefix(meter);
    meter->operand_next = false;
    if (meter->brackets == 0 || meter->open[meter->brackets - 1].is_case != is_case)
        return;
    meter->brackets--;
    meter->depth -= 1u + meter->open[meter->brackets].prefix;
}

static bool meter_prefix(depth_meter *meter)
{
    if (meter->depth >= KAL_SQL_NESTING_MAX)
        return false;
    meter->prefix++;
    meter->depth++;
    meter->operand_next = true;
    return true;
}

/* False when the token takes the text deeper than allowed. */
static bool meter_token(depth_meter *meter, const kal_sql_token *token, uint8_t first_byte)
{
    kal_sql_keyword keyword = meter->name_next ? KAL_KW_NONE : token->keyword;
    meter->name_next = token->kind == KAL_TOKEN_DOT || keyword == KAL_KW_AS;
    if (token->kind == KAL_TOKEN_LEFT || token->kind == KAL_TOKEN_LEFT_BRACKET || first_byte == '{')
        return meter_open(meter, false);
    if (keyword == KAL_KW_CASE)
        return meter_open(meter, true);
    if (keyword == KAL_KW_NOT || (is_sign(token->kind) && meter->operand_next))
        return meter_prefix(meter);
    if (token->kind == KAL_TOKEN_RIGHT || token->kind == KAL_TOKEN_RIGHT_BRACKET ||
        first_byte == '}') {
        meter_close(meter, false);
    } else if (keyword == KAL_KW_END) {
        meter_close(meter, true);
    } else {
        bool is_operand =
            token->kind == KAL_TOKEN_WORD ? keyword == KAL_KW_NONE : token->kind <= KAL_TOKEN_PARAM;
        meter_end_prefix(meter);
        meter->operand_next = !is_operand;
    }
    return true;
}

/* Words that no expression holds outside of parentheses, but for DISTINCT FROM and WITHIN GROUP. */
static bool begins_clause(kal_sql_keyword keyword)
{
    switch (keyword) {
    case KAL_KW_EXCEPT:
    case KAL_KW_FETCH:
    case KAL_KW_FROM:
    case KAL_KW_GROUP:
    case KAL_KW_HAVING:
    case KAL_KW_INTERSECT:
    case KAL_KW_INTO:
    case KAL_KW_LIMIT:
    case KAL_KW_OFFSET:
    case KAL_KW_ON:
    case KAL_KW_ORDER:
    case KAL_KW_QUALIFY:
    case KAL_KW_RETURNING:
    case KAL_KW_UNION:
    case KAL_KW_USING:
    case KAL_KW_WHERE:
    case KAL_KW_WINDOW:
        return true;
    default:
        return false;
    }
}

/* ON CONFLICT, unless it is the condition of a join: ON conflict.id = ... */
static bool at_on_conflict(const kal_parser *p)
{
    if (!kal_parser_at_keyword(p, KAL_KW_ON) || p->next.keyword != KAL_KW_CONFLICT)
        return false;
    kal_sql_lexer ahead = p->lexer;
    return kal_sql_lexer_next(&ahead).kind != KAL_TOKEN_DOT;
}

bool kal_parser_at_stop(const kal_parser *p, kal_parser_stop stop)
{
    switch (p->token.kind) {
    case KAL_TOKEN_END:
    case KAL_TOKEN_RIGHT:
    case KAL_TOKEN_ERROR:
        return true;
    case KAL_TOKEN_COMMA:
        return stop == KAL_STOP_EXPR;
    case KAL_TOKEN_WORD:
        return stop == KAL_STOP_EXPR
                   ? begins_clause(p->token.keyword)
                   : kal_parser_at_keyword(p, KAL_KW_RETURNING) || at_on_conflict(p);
    default:
        return false;
    }
}

/* One token of what is skipped. */
static bool skip_token(kal_parser *p, depth_meter *meter, bool semicolons_allowed)
{
    uint32_t position = kal_parser_position(p, p->token.start);
    if (kal_parser_at(p, KAL_TOKEN_SEMICOLON) && !semicolons_allowed) {
        kal_parser_fail(p, KAL_SYNTAX, position, "unexpected ';' inside a statement");
        p->hard = true;
        return false;
    }
    if (!meter_token(meter, &p->token, p->lexer.text[p->token.start]))
        return kal_parser_fail(p, KAL_LIMIT, position, "SQL nests deeper than %u levels",
                               KAL_SQL_NESTING_MAX);
    kal_parser_advance(p);
    return p->status == KAL_OK;
}

bool kal_parser_skip_rest(kal_parser *p, bool semicolons_allowed)
{
    depth_meter meter = {.depth = p->nesting, .operand_next = true};
    while (p->status == KAL_OK && !kal_parser_at(p, KAL_TOKEN_END))
        skip_token(p, &meter, semicolons_allowed);
    return p->status == KAL_OK;
}

bool kal_parser_skip_until(kal_parser *p, kal_parser_stop stop)
{
    depth_meter meter = {.depth = p->nesting, .operand_next = true};
    kal_sql_keyword before = KAL_KW_NONE;
    while (p->status == KAL_OK && !kal_parser_at(p, KAL_TOKEN_END)) {
        bool inside = meter.brackets > 0 || meter.name_next || before == KAL_KW_DISTINCT ||
                      before == KAL_KW_WITHIN;
        if (!inside && kal_parser_at_stop(p, stop))
            break;
        before = p->token.keyword;
        skip_token(p, &meter, false);
    }
    return p->status == KAL_OK;
}

/* --- names and literals --- */

bool kal_parser_token_value(kal_parser *p, kal_bytes *value_out)
{
    return kal_sql_token_value(&p->lexer, &p->token, p->arena, value_out) ||
           kal_parser_fail_memory(p);
}

bool kal_parser_at_name(const kal_parser *p)
{
    return p->token.kind == KAL_TOKEN_QUOTED ||
           (p->token.kind == KAL_TOKEN_WORD && kal_sql_keyword_may_name(p->token.keyword));
}

static bool take_name(kal_parser *p, kal_sql_name *name_out)
{
    name_out->position = kal_parser_position(p, p->token.start);
    name_out->quoted = p->token.kind != KAL_TOKEN_WORD;
    if (!kal_parser_token_value(p, &name_out->text))
        return false;
    kal_parser_advance(p);
    return p->status == KAL_OK;
}

bool kal_parser_name(kal_parser *p, const char *what, kal_sql_name *name_out)
{
    if (p->status != KAL_OK)
        return false;
    if (kal_parser_at_name(p))
        return take_name(p, name_out);
    kal_parser_expected(p, what);
    if (p->token.keyword != KAL_KW_NONE)
        kal_error_hint(&p->error, "%s is a reserved word; as a name it needs double quotes",
                       kal_sql_keyword_name(p->token.keyword));
    return false;
}

bool kal_parser_object(kal_parser *p, const char *what, kal_sql_object *object_out)
{
    *object_out = (kal_sql_object){.position = kal_parser_position(p, p->token.start)};
    if (!kal_parser_name(p, what, &object_out->name))
        return false;
    if (!kal_parser_accept(p, KAL_TOKEN_DOT))
        return p->status == KAL_OK;
    object_out->namespace_name = object_out->name;
    /* after a dot every word is a name: information_schema.columns */
    if (kal_parser_at(p, KAL_TOKEN_WORD))
        p->token.keyword = KAL_KW_NONE;
    if (!kal_parser_name(p, what, &object_out->name))
        return false;
    if (kal_parser_at(p, KAL_TOKEN_DOT))
        return kal_parser_fail(p, KAL_SYNTAX, kal_parser_position(p, p->token.start),
                               "a table is named [namespace.]table, got a third part");
    return true;
}

bool kal_parser_name_or_string(kal_parser *p, const char *what, kal_sql_name *name_out)
{
    if (p->status != KAL_OK)
        return false;
    if (!kal_parser_at(p, KAL_TOKEN_STRING))
        return kal_parser_name(p, what, name_out);
    if (!take_name(p, name_out))
        return false;
    if (name_out->text.len == 0)
        return kal_parser_fail(p, KAL_SYNTAX, name_out->position,
                               "expected %s, got an empty string", what);
    return true;
}

bool kal_parser_string(kal_parser *p, const char *what, kal_bytes *text_out)
{
    if (p->status != KAL_OK)
        return false;
    if (!kal_parser_at(p, KAL_TOKEN_STRING))
        return kal_parser_expected(p, what);
    if (!kal_parser_token_value(p, text_out))
        return false;
    kal_parser_advance(p);
    return p->status == KAL_OK;
}

bool kal_parser_name_list(kal_parser *p, const char *what, kal_sql_names *names_out)
{
    KAL_VEC(kal_sql_name) names = {0};
    if (!kal_parser_expect(p, KAL_TOKEN_LEFT, "'(' before the list of columns"))
        return false;
    do {
        kal_sql_name name = {0};
        if (!kal_parser_name(p, what, &name))
            return false;
        if (!kal_vec_try_push_in(p->arena, &names, name))
            return kal_parser_fail_memory(p);
    } while (kal_parser_accept(p, KAL_TOKEN_COMMA));
    *names_out = (kal_sql_names){names.items, names.len};
    return kal_parser_expect(p, KAL_TOKEN_RIGHT, "',' or ')' in the list of columns");
}

bool kal_parser_if_not_exists(kal_parser *p, bool *given_out)
{
    /* a thing named `if` stays possible: only IF NOT is taken */
    if (!kal_parser_at_keyword(p, KAL_KW_IF) || p->next.keyword != KAL_KW_NOT)
        return p->status == KAL_OK;
    kal_parser_advance(p);
    kal_parser_advance(p);
    *given_out = true;
    return kal_parser_expect_keyword(p, KAL_KW_EXISTS, "after IF NOT");
}

bool kal_parser_if_exists(kal_parser *p, bool *given_out)
{
    if (!kal_parser_at_keyword(p, KAL_KW_IF) || p->next.keyword != KAL_KW_EXISTS)
        return p->status == KAL_OK;
    kal_parser_advance(p);
    kal_parser_advance(p);
    *given_out = true;
    return p->status == KAL_OK;
}

/* --- lists --- */

size_t kal_parser_list_begin(const kal_parser *p)
{
    return p->stack.len;
}

bool kal_parser_list_push(kal_parser *p, void *item)
{
    if (item == NULL)
        return false; /* it was not made: the status says why */
    return kal_vec_try_push_in(p->arena, &p->stack, item) || kal_parser_fail_memory(p);
}

bool kal_parser_list_end(kal_parser *p, size_t begin, void ***items_out, size_t *count_out)
{
    KAL_ASSERT(p->stack.len >= begin);
    size_t count = p->stack.len - begin;
    void **items = kal_arena_try_array(p->arena, count, sizeof *items);
    if (items == NULL)
        return kal_parser_fail_memory(p);
    if (count > 0)
        memcpy(items, p->stack.items + begin, count * sizeof *items);
    p->stack.len = begin;
    *items_out = items;
    *count_out = count;
    return true;
}
