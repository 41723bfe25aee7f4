/*
 * lexer.c: one function per kind of token, chosen by the first byte.
 *
 * Invariants: 0 <= next <= len; every call either moves next forward or answers END; no byte is
 * read twice but for the operators' last signs, so lexing is linear.
 */
#include "sql/lexer.h"
#include "base/assert.h"
#include "sql/ast.h"

enum { KEYWORD_BYTES_MAX = 24 };
enum keyword_class { R, F, P, N };

static const struct {
    const char *name;
    uint8_t len;
    uint8_t class;
} KEYWORDS[KAL_KW_COUNT] = {
#define KAL_SQL_KEYWORD_ROW(name, class) [KAL_KW_##name] = {#name, sizeof #name - 1, class},
    KAL_SQL_KEYWORD_LIST(KAL_SQL_KEYWORD_ROW)
#undef KAL_SQL_KEYWORD_ROW
};

/* --- words --- */

const char *kal_sql_keyword_name(kal_sql_keyword keyword)
{
    KAL_ASSERT(keyword > KAL_KW_NONE);
    KAL_ASSERT(keyword < KAL_KW_COUNT);
    return KEYWORDS[keyword].name;
}

kal_sql_keyword kal_sql_keyword_find(kal_bytes word)
{
    char upper[KEYWORD_BYTES_MAX + 1];
    if (word.len == 0 || word.len > KEYWORD_BYTES_MAX)
        return KAL_KW_NONE;
    for (size_t i = 0; i < word.len; i++) {
        uint8_t c = word.ptr[i];
        upper[i] = (char)(c >= 'a' && c <= 'z' ? c - ('a' - 'A') : c);
    }
    upper[word.len] = '\0';
    int low = KAL_KW_NONE + 1;
    int high = KAL_KW_COUNT - 1;
    while (low <= high) {
        int middle = (low + high) / 2;
        int order = strcmp(upper, KEYWORDS[middle].name);
        if (order == 0)
            return (kal_sql_keyword)middle;
        if (order < 0)
            high = middle - 1;
        else
            low = middle + 1;
    }
    return KAL_KW_NONE;
}

bool kal_sql_keyword_may_name(kal_sql_keyword keyword)
{
    return keyword == KAL_KW_NONE || KEYWORDS[keyword].class >= P;
}

bool kal_sql_keyword_may_alias(kal_sql_keyword keyword)
{
    return keyword == KAL_KW_NONE || KEYWORDS[keyword].class == N;
}

/* --- bytes --- */

static bool is_word_start(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_word_part(uint8_t c)
{
    return is_word_start(c) || is_digit(c) || c == '$';
}

static uint8_t byte_at(const kal_sql_lexer *lexer, uint32_t offset)
{
    return offset < lexer->len ? lexer->text[offset] : 0;
}

/* Bytes of the blank at offset, 0 when there is none. DuckDB turns these Unicode characters into
 * blanks before it scans: U+00A0, U+2000 to U+200B, U+202F, U+205F, U+2060, U+3000, U+FEFF. */
static uint32_t blank_bytes(const kal_sql_lexer *lexer, uint32_t offset)
{
    uint8_t a = byte_at(lexer, offset);
    if (a == ' ' || a == '\t' || a == '\n' || a == '\r' || a == '\f')
        return 1;
    if (a < 0x80)
        return 0;
    uint8_t b = byte_at(lexer, offset + 1);
    uint8_t c = byte_at(lexer, offset + 2);
    if (a == 0xC2)
        return b == 0xA0 ? 2 : 0;
    if (a == 0xE2 && b == 0x80)
        return (c >= 0x80 && c <= 0x8B) || c == 0xAF ? 3 : 0;
    if (a == 0xE2 && b == 0x81)
        return c == 0x9F || c == 0xA0 ? 3 : 0;
    if (a == 0xE3 && b == 0x80)
        return c == 0x80 ? 3 : 0;
    if (a == 0xEF && b == 0xBB)
        return c == 0xBF ? 3 : 0;
    return 0;
}

/* --- tokens --- */

static kal_sql_token token_to(kal_sql_lexer *lexer, kal_sql_token_kind kind, uint32_t start,
                              uint32_t end)
{
    KAL_ASSERT(end <= lexer->len);
    KAL_ASSERT(end >= start);
    lexer->next = end;
    return (kal_sql_token){.kind = kind, .start = start, .end = end};
}

static kal_sql_token error_at(kal_sql_lexer *lexer, uint32_t start, const char *error)
{
    kal_sql_token token = token_to(lexer, KAL_TOKEN_ERROR, start, lexer->len);
    token.error = error;
    return token;
}

/* Moves past a block comment, which may hold others; false when it does not end. */
static bool skip_block_comment(kal_sql_lexer *lexer)
{
    uint32_t at = lexer->next + 2;
    uint32_t depth = 1;
    while (depth > 0) {
        if (at + 1 >= lexer->len)
            return false;
        if (lexer->text[at] == '*' && lexer->text[at + 1] == '/') {
            depth--;
            at += 2;
        } else if (lexer->text[at] == '/' && lexer->text[at + 1] == '*') {
            depth++;
            at += 2;
        } else {
            at++;
        }
    }
    lexer->next = at;
    return true;
}

static void skip_line_comment(kal_sql_lexer *lexer)
{
    while (lexer->next < lexer->len && lexer->text[lexer->next] != '\n' &&
           lexer->text[lexer->next] != '\r')
        lexer->next++;
}

/* Moves to the next token's first byte; false when a comment does not end. */
static bool skip_blanks(kal_sql_lexer *lexer)
{
    for (;;) {
        uint8_t c = byte_at(lexer, lexer->next);
        uint32_t blank = blank_bytes(lexer, lexer->next);
        if (blank > 0) {
            lexer->next += blank;
        } else if (c == '-' && byte_at(lexer, lexer->next + 1) == '-') {
            skip_line_comment(lexer);
        } else if (c == '/' && byte_at(lexer, lexer->next + 1) == '*') {
            if (!skip_block_comment(lexer))
                return false;
        } else {
            return true;
        }
    }
}

/* 'text' or "name"; the quote doubled stands for itself. */
static kal_sql_token quoted_token(kal_sql_lexer *lexer, uint32_t start)
{
    uint8_t quote = lexer->text[start];
    uint32_t at = start + 1;
    for (;;) {
        const uint8_t *found =
            at < lexer->len ? memchr(lexer->text + at, quote, lexer->len - at) : NULL;
        if (found == NULL)
            return error_at(lexer, start,
                            quote == '"' ? "unterminated quoted name" : "unterminated string");
        at = (uint32_t)(found - lexer->text) + 1;
        if (byte_at(lexer, at) != quote)
            break;
        at++;
    }
    if (quote == '"' && at == start + 2)
        return error_at(lexer, start, "quoted name is empty");
    return token_to(lexer, quote == '"' ? KAL_TOKEN_QUOTED : KAL_TOKEN_STRING, start, at);
}

static uint32_t skip_digits(const kal_sql_lexer *lexer, uint32_t at)
{
    while (is_digit(byte_at(lexer, at)))
        at++;
    return at;
}

/* Bytes of $tag$ at offset, both signs included; 0 when it is not one. */
static uint32_t dollar_tag_bytes(const kal_sql_lexer *lexer, uint32_t offset)
{
    uint32_t at = offset + 1;
    while (is_word_start(byte_at(lexer, at)) && blank_bytes(lexer, at) == 0)
        at = skip_digits(lexer, at + 1);
    return byte_at(lexer, at) == '$' ? at + 1 - offset : 0;
}

static kal_sql_token dollar_string_token(kal_sql_lexer *lexer, uint32_t start, uint32_t tag_bytes)
{
    uint32_t from = start + tag_bytes;
    const uint8_t *found =
        memmem(lexer->text + from, lexer->len - from, lexer->text + start, tag_bytes);
    if (found == NULL)
        return error_at(lexer, start, "unterminated dollar-quoted string");
    return token_to(lexer, KAL_TOKEN_STRING, start, (uint32_t)(found - lexer->text) + tag_bytes);
}

static kal_sql_token param_token(kal_sql_lexer *lexer, uint32_t start)
{
    uint32_t at = start + 1;
    uint32_t number = 0;
    while (is_digit(byte_at(lexer, at))) {
        number = number * 10 + (uint32_t)(lexer->text[at] - '0');
        if (number > KAL_SQL_PARAM_MAX)
            return error_at(lexer, start, "parameter number is larger than 65535");
        at++;
    }
    if (number == 0)
        return error_at(lexer, start, "parameters are numbered from $1");
    kal_sql_token token = token_to(lexer, KAL_TOKEN_PARAM, start, at);
    token.param = number;
    return token;
}

static kal_sql_token dollar_token(kal_sql_lexer *lexer, uint32_t start)
{
    if (is_digit(byte_at(lexer, start + 1)))
        return param_token(lexer, start);
    uint32_t tag_bytes = dollar_tag_bytes(lexer, start);
    if (tag_bytes > 0)
        return dollar_string_token(lexer, start, tag_bytes);
    return token_to(lexer, KAL_TOKEN_OTHER, start, start + 1);
}

static kal_sql_token number_token(kal_sql_lexer *lexer, uint32_t start)
{
    uint32_t at = skip_digits(lexer, start);
    bool is_integer = true;
    if (byte_at(lexer, at) == '.') {
        is_integer = false;
        at = skip_digits(lexer, at + 1);
    }
    if ((byte_at(lexer, at) | 0x20) == 'e') {
        uint32_t digits = at + 1;
        if (byte_at(lexer, digits) == '+' || byte_at(lexer, digits) == '-')
            digits++;
        if (is_digit(byte_at(lexer, digits))) {
            is_integer = false;
            at = skip_digits(lexer, digits);
        }
    }
    if (is_word_part(byte_at(lexer, at)) && blank_bytes(lexer, at) == 0) {
        while (is_word_part(byte_at(lexer, at)) && blank_bytes(lexer, at) == 0)
            at++;
        return token_to(lexer, KAL_TOKEN_SUFFIXED, start, at);
    }
    kal_sql_token token = token_to(lexer, KAL_TOKEN_NUMBER, start, at);
    token.is_integer = is_integer;
    return token;
}

static kal_sql_token word_token(kal_sql_lexer *lexer, uint32_t start)
{
    uint32_t at = start + 1;
    while (is_word_part(byte_at(lexer, at)) && blank_bytes(lexer, at) == 0)
        at++;
    if (at == start + 1 && (lexer->text[start] | 0x20) == 'e' && byte_at(lexer, at) == '\'')
        return error_at(lexer, start, "strings with backslash escapes (E'..') are not supported");
    kal_sql_token token = token_to(lexer, KAL_TOKEN_WORD, start, at);
    token.keyword = kal_sql_keyword_find(kal_bytes_of(lexer->text + start, at - start));
    return token;
}

static bool is_operator_sign(uint8_t c)
{
    return c != 0 && strchr("~!@#^&|`?+-*/%<>=", c) != NULL;
}

/* A run of signs is one operator; but it stops before a comment, and it does not end in + or -
 * unless it holds one of ~!@#^&|`?%, so that a*-1 and a=-1 mean what they seem to. */
static uint32_t operator_end(const kal_sql_lexer *lexer, uint32_t start)
{
    uint32_t at = start;
    bool special = false;
    while (is_operator_sign(byte_at(lexer, at))) {
        uint8_t c = lexer->text[at];
        uint8_t following = byte_at(lexer, at + 1);
        if (at > start && ((c == '-' && following == '-') || (c == '/' && following == '*')))
            break;
        special = special || strchr("~!@#^&|`?%", c) != NULL;
        at++;
    }
    while (!special && at > start + 1 && (lexer->text[at - 1] == '+' || lexer->text[at - 1] == '-'))
        at--;
    return at;
}

static kal_sql_token operator_token(kal_sql_lexer *lexer, uint32_t start)
{
    static const struct {
        char sign[4];
        kal_sql_token_kind kind;
    } OPERATORS[] = {
        {"+", KAL_TOKEN_PLUS},  {"-", KAL_TOKEN_MINUS},   {"*", KAL_TOKEN_STAR},
        {"/", KAL_TOKEN_SLASH}, {"%", KAL_TOKEN_PERCENT}, {"||", KAL_TOKEN_CONCAT},
        {"=", KAL_TOKEN_EQ},    {"<>", KAL_TOKEN_NE},     {"!=", KAL_TOKEN_NE},
        {"<", KAL_TOKEN_LT},    {"<=", KAL_TOKEN_LE},     {">", KAL_TOKEN_GT},
        {">=", KAL_TOKEN_GE},   {"->", KAL_TOKEN_ARROW},  {"->>", KAL_TOKEN_ARROW_TEXT},
    };
    uint32_t end = operator_end(lexer, start);
    kal_bytes sign = kal_bytes_of(lexer->text + start, end - start);
    for (size_t i = 0; i < KAL_ARRAY_LEN(OPERATORS); i++)
        if (kal_bytes_equal(sign, kal_cstr(OPERATORS[i].sign)))
            return token_to(lexer, OPERATORS[i].kind, start, end);
    return token_to(lexer, KAL_TOKEN_OTHER, start, end);
}

static kal_sql_token sign_token(kal_sql_lexer *lexer, uint32_t start)
{
    switch (lexer->text[start]) {
    case '(':
        return token_to(lexer, KAL_TOKEN_LEFT, start, start + 1);
    case ')':
        return token_to(lexer, KAL_TOKEN_RIGHT, start, start + 1);
    case '[':
        return token_to(lexer, KAL_TOKEN_LEFT_BRACKET, start, start + 1);
    case ']':
        return token_to(lexer, KAL_TOKEN_RIGHT_BRACKET, start, start + 1);
    case ',':
        return token_to(lexer, KAL_TOKEN_COMMA, start, start + 1);
    case ';':
        return token_to(lexer, KAL_TOKEN_SEMICOLON, start, start + 1);
    case '.':
        return token_to(lexer, KAL_TOKEN_DOT, start, start + 1);
    case ':':
        if (byte_at(lexer, start + 1) == ':')
            return token_to(lexer, KAL_TOKEN_CAST, start, start + 2);
        return token_to(lexer, KAL_TOKEN_OTHER, start, start + 1);
    default:
        return token_to(lexer, KAL_TOKEN_OTHER, start, start + 1);
    }
}

void kal_sql_lexer_init(kal_sql_lexer *lexer, kal_bytes text)
{
    KAL_ASSERT(text.len <= KAL_SQL_TEXT_BYTES_MAX);
    *lexer = (kal_sql_lexer){.text = text.ptr, .len = (uint32_t)text.len};
}

kal_sql_token kal_sql_lexer_next(kal_sql_lexer *lexer)
{
    KAL_ASSERT(lexer->next <= lexer->len);
    if (!skip_blanks(lexer))
        return error_at(lexer, lexer->next, "unterminated comment");
    uint32_t start = lexer->next;
    if (start == lexer->len)
        return token_to(lexer, KAL_TOKEN_END, start, start);
    uint8_t c = lexer->text[start];
    if (is_word_start(c))
        return word_token(lexer, start);
    if (is_digit(c) || (c == '.' && is_digit(byte_at(lexer, start + 1))))
        return number_token(lexer, start);
    if (c == '\'' || c == '"')
        return quoted_token(lexer, start);
    if (c == '$')
        return dollar_token(lexer, start);
    if (is_operator_sign(c))
        return operator_token(lexer, start);
    return sign_token(lexer, start);
}

/* --- what a token holds --- */

static bool fold_word(kal_bytes word, kal_arena *arena, kal_bytes *value_out)
{
    bool folded = true;
    for (size_t i = 0; i < word.len && folded; i++)
        folded = word.ptr[i] < 'A' || word.ptr[i] > 'Z';
    *value_out = word;
    if (folded)
        return true;
    uint8_t *copy = kal_arena_try_alloc(arena, word.len);
    if (copy == NULL)
        return false;
    for (size_t i = 0; i < word.len; i++)
        copy[i] = (uint8_t)kal_ascii_lower((char)word.ptr[i]);
    *value_out = kal_bytes_of(copy, word.len);
    return true;
}

static bool undouble_quotes(kal_bytes inner, uint8_t quote, kal_arena *arena, kal_bytes *value_out)
{
    *value_out = inner;
    if (inner.len == 0 || memchr(inner.ptr, quote, inner.len) == NULL)
        return true;
    uint8_t *copy = kal_arena_try_alloc(arena, inner.len);
    if (copy == NULL)
        return false;
    size_t len = 0;
    for (size_t i = 0; i < inner.len; i++) {
        copy[len++] = inner.ptr[i];
        if (inner.ptr[i] == quote)
            i++; /* the second of a pair */
    }
    *value_out = kal_bytes_of(copy, len);
    return true;
}

bool kal_sql_token_value(const kal_sql_lexer *lexer, const kal_sql_token *token, kal_arena *arena,
                         kal_bytes *value_out)
{
    kal_bytes source = kal_bytes_of(lexer->text + token->start, token->end - token->start);
    if (token->kind == KAL_TOKEN_WORD)
        return fold_word(source, arena, value_out);
    KAL_ASSERT(token->kind == KAL_TOKEN_STRING || token->kind == KAL_TOKEN_QUOTED);
    if (source.ptr[0] == '$') {
        uint32_t tag_bytes = dollar_tag_bytes(lexer, token->start);
        *value_out = kal_bytes_of(source.ptr + tag_bytes, source.len - 2 * (size_t)tag_bytes);
        return true;
    }
    return undouble_quotes(kal_bytes_of(source.ptr + 1, source.len - 2), source.ptr[0], arena,
                           value_out);
}
