#include "engine/lex.h"

enum {
    MATERIALIZED_DEPTH_MAX = 3, /* the tree grows 3 times a level */
    MATERIALIZED_COUNT_MAX = 16,
    LEVELS_MAX = 1024, /* >= any depth_max */
};

static bool is_name_start(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_byte(uint8_t c)
{
    return is_name_start(c) || is_digit(c) || c == '$';
}

static uint8_t byte_at(kal_bytes text, size_t i)
{
    return i < text.len ? text.ptr[i] : 0;
}

/* Past a comment that starts at i; an open one ends with the text. */
static size_t skip_comment(kal_bytes text, size_t i)
{
    if (text.ptr[i] == '-') {
        while (i < text.len && text.ptr[i] != '\n')
            i++;
        return i;
    }
    unsigned depth = 0;
    do {
        if (byte_at(text, i) == '/' && byte_at(text, i + 1) == '*') {
            depth++;
            i += 2;
        } else if (byte_at(text, i) == '*' && byte_at(text, i + 1) == '/') {
            depth--;
            i += 2;
        } else {
            i++;
        }
    } while (depth > 0 && i < text.len);
    return i < text.len ? i : text.len;
}

static size_t skip_blanks(kal_bytes text, size_t i)
{
    for (;;) {
        uint8_t c = byte_at(text, i);
        uint8_t d = byte_at(text, i + 1);
        if (i < text.len && (c == ' ' || (c >= '\t' && c <= '\r')))
            i++;
        else if ((c == '-' && d == '-') || (c == '/' && d == '*'))
            i = skip_comment(text, i);
        else
            return i;
    }
}

/* Past a quoted run whose opening quote is at i. A doubled quote stands for itself. */
static size_t skip_quoted(kal_bytes text, size_t i, bool backslash)
{
    uint8_t quote = text.ptr[i++];
    while (i < text.len) {
        if (backslash && text.ptr[i] == '\\') {
            i += 2;
        } else if (text.ptr[i] != quote) {
            i++;
        } else if (byte_at(text, i + 1) == quote) {
            i += 2;
        } else {
            return i + 1;
        }
    }
    return text.len;
}

/* Past $tag$...$tag$ that starts at i; i when it is none (a parameter such as $1). */
static size_t skip_dollar(kal_bytes text, size_t i)
{
    size_t open = i + 1;
    while (open < text.len && is_name_byte(text.ptr[open]) && text.ptr[open] != '$')
        open++;
    if (byte_at(text, open) != '$' || is_digit(byte_at(text, i + 1)))
        return i;
    size_t tag_len = open + 1 - i;
    for (size_t j = open + 1; j + tag_len <= text.len; j++) {
        if (memcmp(text.ptr + j, text.ptr + i, tag_len) == 0)
            return j + tag_len;
    }
    return text.len;
}

static size_t skip_name(kal_bytes text, size_t i)
{
    while (i < text.len && is_name_byte(text.ptr[i]))
        i++;
    return i;
}

kal_lex_token kal_lex_next(kal_bytes text, size_t *position)
{
    size_t i = skip_blanks(text, *position);
    kal_lex_token token = {.kind = KAL_LEX_OTHER, .start = i, .end = i + 1};
    uint8_t c = byte_at(text, i);
    if (i >= text.len) {
        token = (kal_lex_token){.kind = KAL_LEX_END, .start = text.len, .end = text.len};
    } else if (c == '"') {
        token.kind = KAL_LEX_QUOTED;
        token.end = skip_quoted(text, i, false);
    } else if (c == '\'') {
        token.kind = KAL_LEX_STRING;
        token.end = skip_quoted(text, i, false);
    } else if ((c == 'e' || c == 'E') && byte_at(text, i + 1) == '\'') {
        token.kind = KAL_LEX_STRING;
        token.end = skip_quoted(text, i + 1, true);
    } else if (is_name_start(c)) {
        token.kind = KAL_LEX_WORD;
        token.end = skip_name(text, i);
    } else if (is_digit(c)) {
        token.end = skip_name(text, i);
    } else if (c == '$' && skip_dollar(text, i) > i) {
        token.kind = KAL_LEX_STRING;
        token.end = skip_dollar(text, i);
    }
    if (token.end > text.len)
        token.end = text.len;
    *position = token.end;
    return token;
}

kal_bytes kal_lex_name(kal_bytes text, kal_lex_token token, kal_arena *arena)
{
    kal_bytes raw = kal_lex_text(text, token);
    if (token.kind == KAL_LEX_WORD || raw.len < 2)
        return raw;
    uint8_t quote = raw.ptr[0];
    uint8_t *name = kal_arena_alloc(arena, raw.len);
    size_t len = 0;
    for (size_t i = 1; i + 1 < raw.len; i++) {
        name[len++] = raw.ptr[i];
        if (raw.ptr[i] == quote)
            i++;
    }
    return kal_bytes_of(name, len);
}

void kal_lex_quote(kal_buf *out, kal_bytes name)
{
    kal_buf_append_byte(out, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '"')
            kal_buf_append_byte(out, '"');
        kal_buf_append_byte(out, name.ptr[i]);
    }
    kal_buf_append_byte(out, '"');
}

typedef struct scan {
    bool materialized[LEVELS_MAX]; /* the bracket of this level is the body of such a CTE */
    unsigned depth;
    unsigned materialized_depth;
    unsigned materialized_count;
    bool after_materialized;
} scan;

static kal_status scan_open(scan *s, const kal_lex_caps *caps, size_t position, kal_error *err)
{
    if (s->depth >= caps->depth_max || s->depth + 1 >= LEVELS_MAX) {
        kal_error_set(err, KAL_LIMIT, "the statement is nested deeper than %u levels",
                      caps->depth_max);
        kal_error_at(err, position);
        return KAL_LIMIT;
    }
    s->depth++;
    s->materialized[s->depth] = s->after_materialized;
    if (s->after_materialized && ++s->materialized_depth > MATERIALIZED_DEPTH_MAX) {
        kal_error_set(err, KAL_LIMIT, "materialized CTEs are nested deeper than %d levels",
                      MATERIALIZED_DEPTH_MAX);
        kal_error_at(err, position);
        return KAL_LIMIT;
    }
    return KAL_OK;
}

static void scan_close(scan *s)
{
    if (s->depth == 0)
        return; /* unbalanced: the parser says so */
    if (s->materialized[s->depth])
        s->materialized_depth--;
    s->depth--;
}

/* Digits, perhaps parted by single _, perhaps with an exponent, whose sign and digits may follow
 * the token: DuckDB would take what else stands behind a number for an alias, so that 0x10 is 0. */
static bool is_number(kal_bytes text, kal_lex_token token)
{
    size_t i = token.start;
    while (is_digit(byte_at(text, i)) ||
           (byte_at(text, i) == '_' && is_digit(text.ptr[i - 1]) && is_digit(byte_at(text, i + 1))))
        i++;
    if (i == token.end)
        return true;
    if ((text.ptr[i] | 0x20) != 'e')
        return false;
    if (++i == token.end)
        return (byte_at(text, i) == '+' || byte_at(text, i) == '-') &&
               is_digit(byte_at(text, i + 1));
    while (i < token.end && is_digit(text.ptr[i]))
        i++;
    return i == token.end;
}

static kal_status not_a_number(kal_bytes text, kal_lex_token token, kal_error *err)
{
    uint8_t base = byte_at(text, token.start + 1) | 0x20;
    kal_bytes shown = kal_lex_text(text, token);
    if (shown.len > 40)
        shown.len = 40;
    kal_error_set(err, KAL_SYNTAX, "'%.*s' is not a number", KAL_FMT(shown));
    if (text.ptr[token.start] == '0' && (base == 'x' || base == 'b' || base == 'o'))
        kal_error_hint(err, "numbers are written in decimal; bytes as '0x…', in quotes");
    else
        kal_error_hint(err, "a name behind a number is parted from it by a blank");
    kal_error_at(err, token.start);
    return KAL_SYNTAX;
}

static kal_status no_question_mark(kal_lex_token token, kal_error *err)
{
    kal_error_set(err, KAL_SYNTAX, "'?' is not a parameter");
    kal_error_hint(err, "parameters are written $1, $2 and so on");
    kal_error_at(err, token.start);
    return KAL_SYNTAX;
}

static kal_status scan_token(scan *s, kal_bytes text, kal_lex_token token, const kal_lex_caps *caps,
                             kal_error *err)
{
    uint8_t c = text.ptr[token.start];
    if (token.kind == KAL_LEX_OTHER && (c == '(' || c == '[' || c == '{'))
        KAL_TRY(scan_open(s, caps, token.start, err));
    else if (token.kind == KAL_LEX_OTHER && (c == ')' || c == ']' || c == '}'))
        scan_close(s);
    else if (is_digit(c) && !is_number(text, token))
        return not_a_number(text, token, err);
    else if (c == '?')
        return no_question_mark(token, err);
    s->after_materialized =
        token.kind == KAL_LEX_WORD &&
        kal_bytes_equal_nocase(kal_lex_text(text, token), KAL_STR("materialized"));
    if (s->after_materialized && ++s->materialized_count > MATERIALIZED_COUNT_MAX)
        return kal_error_set(err, KAL_LIMIT, "the statement has more than %d materialized CTEs",
                             MATERIALIZED_COUNT_MAX);
    return KAL_OK;
}

kal_status kal_lex_check(kal_bytes text, const kal_lex_caps *caps, kal_error *err)
{
    if (text.len > caps->text_bytes_max)
        return kal_error_set(err, KAL_LIMIT, "the statement has %zu bytes, a query may have %zu",
                             text.len, caps->text_bytes_max);
    const uint8_t *nul = text.len == 0 ? NULL : memchr(text.ptr, 0, text.len);
    if (nul != NULL || !kal_utf8_valid(text))
        return kal_error_set(err, KAL_SYNTAX, "the statement is not valid UTF-8 text");
    scan s = {0};
    size_t position = 0;
    for (;;) {
        kal_lex_token token = kal_lex_next(text, &position);
        if (token.kind == KAL_LEX_END)
            return KAL_OK;
        KAL_TRY(scan_token(&s, text, token, caps, err));
    }
}
