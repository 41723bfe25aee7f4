#include "cli/split.h"

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool is_word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c >= 0x80;
}

static bool starts(kal_bytes text, size_t at, const char *pair)
{
    return at + 1 < text.len && text.ptr[at] == (uint8_t)pair[0] &&
           text.ptr[at + 1] == (uint8_t)pair[1];
}

/* Behind the comment that begins at `at`, or `at` when there is none. *open_out: it has no end. */
static size_t skip_comment(kal_bytes text, size_t at, bool *open_out)
{
    if (starts(text, at, "--")) {
        while (at < text.len && text.ptr[at] != '\n')
            at++;
        return at;
    }
    if (!starts(text, at, "/*"))
        return at;
    size_t depth = 0;
    while (at < text.len) {
        if (starts(text, at, "/*")) {
            depth++;
            at += 2;
        } else if (starts(text, at, "*/")) {
            at += 2;
            if (--depth == 0)
                return at;
        } else {
            at++;
        }
    }
    *open_out = true;
    return at;
}

/* Behind the quoted text that begins at `at`. A doubled quote closes and opens again: the same. */
static size_t skip_quoted(kal_bytes text, size_t at, bool *open_out)
{
    const uint8_t *end = memchr(text.ptr + at + 1, text.ptr[at], text.len - at - 1);
    *open_out = end == NULL;
    return end == NULL ? text.len : (size_t)(end - text.ptr) + 1;
}

typedef enum token_kind {
    TOKEN_END,
    TOKEN_SEMICOLON,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_WORD,
    TOKEN_QUOTED,
    TOKEN_OTHER,
} token_kind;

typedef struct token {
    token_kind kind;
    size_t begin;
    size_t end;
    bool is_open; /* a quote or comment without its end */
} token;

static token next_token(kal_bytes text, size_t at)
{
    token t = {.kind = TOKEN_END};
    for (;;) {
        while (at < text.len && is_blank(text.ptr[at]))
            at++;
        size_t behind = skip_comment(text, at, &t.is_open);
        if (behind == at)
            break;
        at = behind;
    }
    t.begin = t.end = at;
    if (at >= text.len)
        return t;
    t.end = at + 1;
    switch (text.ptr[at]) {
    case ';':
        t.kind = TOKEN_SEMICOLON;
        return t;
    case '(':
        t.kind = TOKEN_OPEN;
        return t;
    case ')':
        t.kind = TOKEN_CLOSE;
        return t;
    case '\'':
    case '"':
        t.kind = TOKEN_QUOTED;
        t.end = skip_quoted(text, at, &t.is_open);
        return t;
    default:
        break;
    }
    t.kind = is_word(text.ptr[at]) ? TOKEN_WORD : TOKEN_OTHER;
    while (t.kind == TOKEN_WORD && t.end < text.len && is_word(text.ptr[t.end]))
        t.end++;
    return t;
}

static bool is_keyword(kal_bytes text, token t, const char *word)
{
    return t.kind == TOKEN_WORD &&
           kal_bytes_equal_nocase(kal_bytes_of(text.ptr + t.begin, t.end - t.begin),
                                  kal_cstr(word));
}

/* One statement from `at`: behind its semicolon, or the end of the text. */
typedef struct extent {
    size_t begin; /* of its first token; == end when there is none */
    size_t end;   /* behind its last token, the semicolon not counted */
    size_t next;  /* where to go on */
    bool closed;  /* by a semicolon */
    bool begins_transaction;
    bool ends_transaction;
} extent;

static extent find_extent(kal_bytes text, size_t at)
{
    extent e = {0};
    size_t depth = 0;
    bool first = true;
    for (;;) {
        token t = next_token(text, at);
        if (first) {
            e.begin = e.end = t.begin;
            e.begins_transaction = is_keyword(text, t, "BEGIN");
            e.ends_transaction = is_keyword(text, t, "COMMIT") || is_keyword(text, t, "ROLLBACK") ||
                                 is_keyword(text, t, "END");
            first = false;
        } else if (e.end > e.begin && is_keyword(text, t, "TRANSACTION") &&
                   kal_bytes_equal_nocase(kal_bytes_of(text.ptr + e.begin, e.end - e.begin),
                                          KAL_STR("START"))) {
            e.begins_transaction = true;
        }
        if (t.kind == TOKEN_END || (t.kind == TOKEN_SEMICOLON && depth == 0)) {
            e.closed = t.kind == TOKEN_SEMICOLON;
            e.next = t.end;
            return e;
        }
        depth += t.kind == TOKEN_OPEN;
        depth -= t.kind == TOKEN_CLOSE && depth > 0;
        e.end = t.end;
        at = t.end;
    }
}

bool kal_split_next(kal_split *split, kal_bytes *piece_out, size_t *offset_out)
{
    extent e = find_extent(split->text, split->at);
    while (e.begin == e.end && e.closed) /* empty statements */
        e = find_extent(split->text, e.next);
    split->at = e.next;
    if (e.begin == e.end)
        return false;
    size_t begin = e.begin;
    bool open = e.begins_transaction;
    while (open && e.closed) {
        extent following = find_extent(split->text, e.next);
        if (following.begin == following.end && !following.closed)
            break;
        e = following;
        split->at = e.next;
        open = !e.ends_transaction;
    }
    *piece_out = kal_bytes_of(split->text.ptr + begin, e.end - begin);
    *offset_out = begin;
    return true;
}

bool kal_split_is_complete(kal_bytes text)
{
    size_t at = 0;
    bool open = false;
    for (;;) {
        extent e = find_extent(text, at);
        token last = next_token(text, e.end);
        if (e.begin == e.end && !e.closed)
            return !open && !last.is_open;
        if (e.begins_transaction)
            open = true;
        if (e.ends_transaction)
            open = false;
        if (!e.closed)
            return false;
        at = e.next;
    }
}

kal_bytes kal_split_word(kal_bytes statement, size_t n)
{
    size_t at = 0;
    for (;;) {
        token t = next_token(statement, at);
        bool name = t.kind == TOKEN_QUOTED && !t.is_open && statement.ptr[t.begin] == '"';
        if (t.kind != TOKEN_WORD && !name)
            return (kal_bytes){0};
        if (n-- == 0)
            return name ? kal_bytes_of(statement.ptr + t.begin + 1, t.end - t.begin - 2)
                        : kal_bytes_of(statement.ptr + t.begin, t.end - t.begin);
        at = t.end;
    }
}
