#include "engine/ast.h"
#include "base/assert.h"

#include <stdlib.h>

typedef struct reader {
    const uint8_t *next;
    const uint8_t *end;
    kal_arena *arena;
    unsigned depth;
    kal_error *err;
} reader;

/* Elements of an array or object while their number is unknown; the arena gets them at the end. */
typedef struct stack {
    kal_json *items;
    kal_bytes *keys;
    size_t len;
    size_t cap;
} stack;

static kal_status read_value(reader *r, kal_json *out);

static kal_status broken(reader *r)
{
    return kal_error_set(r->err, KAL_INTERNAL, "the syntax tree of the query engine is malformed");
}

static kal_status too_large(reader *r)
{
    return kal_error_set(r->err, KAL_LIMIT, "the statement is too large");
}

static void skip_space(reader *r)
{
    while (r->next < r->end &&
           (*r->next == ' ' || *r->next == '\n' || *r->next == '\t' || *r->next == '\r'))
        r->next++;
}

static bool take_byte(reader *r, uint8_t byte)
{
    skip_space(r);
    if (r->next == r->end || *r->next != byte)
        return false;
    r->next++;
    return true;
}

static bool hex4(const uint8_t *p, const uint8_t *end, uint32_t *out)
{
    if (end - p < 4)
        return false;
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = p[i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16)
            return false;
        v = v << 4 | digit;
    }
    *out = v;
    return true;
}

static size_t put_utf8(uint8_t *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xC0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xE0 | c >> 12);
        out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (c & 0x3F));
    return 4;
}

/* One escape after its backslash; *p is moved past it. Returns the bytes written, 0 if malformed.
 */
static size_t unescape_one(const uint8_t **p, const uint8_t *end, uint8_t *out)
{
    static const char FROM[] = "\"\\/bfnrt";
    static const char TO[] = "\"\\/\b\f\n\r\t";
    if (*p == end)
        return 0;
    uint8_t c = *(*p)++;
    const char *plain = c == 0 ? NULL : strchr(FROM, c);
    if (plain != NULL) {
        out[0] = (uint8_t)TO[plain - FROM];
        return 1;
    }
    uint32_t code;
    if (c != 'u' || !hex4(*p, end, &code))
        return 0;
    *p += 4;
    uint32_t low;
    if (code >= 0xD800 && code < 0xDC00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u' &&
        hex4(*p + 2, end, &low) && low >= 0xDC00 && low < 0xE000) {
        *p += 6;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    return put_utf8(out, code);
}

static kal_status unescape(reader *r, const uint8_t *from, const uint8_t *to, kal_bytes *out)
{
    uint8_t *text = kal_arena_try_alloc(r->arena, (size_t)(to - from)); /* escapes only shrink */
    if (text == NULL)
        return too_large(r);
    size_t len = 0;
    while (from < to) {
        if (*from != '\\') {
            text[len++] = *from++;
            continue;
        }
        from++;
        size_t written = unescape_one(&from, to, text + len);
        if (written == 0)
            return broken(r);
        len += written;
    }
    *out = kal_bytes_of(text, len);
    return KAL_OK;
}

static kal_status read_string(reader *r, kal_bytes *out)
{
    if (!take_byte(r, '"'))
        return broken(r);
    const uint8_t *start = r->next;
    bool escaped = false;
    while (r->next < r->end && *r->next != '"') {
        if (*r->next == '\\') {
            escaped = true;
            r->next++;
            if (r->next == r->end)
                return broken(r);
        }
        r->next++;
    }
    if (r->next == r->end)
        return broken(r);
    const uint8_t *stop = r->next++;
    if (escaped)
        return unescape(r, start, stop, out);
    *out = kal_bytes_of(start, (size_t)(stop - start));
    return KAL_OK;
}

static void stack_push(stack *s, kal_json item, kal_bytes key, bool with_keys)
{
    if (s->len == s->cap) {
        s->cap = s->cap == 0 ? 8 : s->cap * 2;
        s->items = realloc(s->items, s->cap * sizeof *s->items);
        s->keys = with_keys ? realloc(s->keys, s->cap * sizeof *s->keys) : NULL;
        if (s->items == NULL || (with_keys && s->keys == NULL))
            kal_die("out of memory: syntax tree");
    }
    s->items[s->len] = item;
    if (with_keys)
        s->keys[s->len] = key;
    s->len++;
}

static kal_status keep(reader *r, const stack *s, bool with_keys, kal_json *out)
{
    out->len = s->len;
    if (s->len == 0)
        return KAL_OK;
    out->items = kal_arena_try_array(r->arena, s->len, sizeof *s->items);
    out->keys = with_keys ? kal_arena_try_array(r->arena, s->len, sizeof *s->keys) : NULL;
    if (out->items == NULL || (with_keys && out->keys == NULL))
        return too_large(r);
    memcpy(out->items, s->items, s->len * sizeof *s->items);
    if (with_keys)
        memcpy(out->keys, s->keys, s->len * sizeof *s->keys);
    return KAL_OK;
}

static kal_status read_members(reader *r, bool with_keys, stack *s)
{
    uint8_t close = with_keys ? '}' : ']';
    if (take_byte(r, close))
        return KAL_OK;
    do {
        kal_bytes key = {0};
        kal_json item = {0};
        if (with_keys) {
            KAL_TRY(read_string(r, &key));
            if (!take_byte(r, ':'))
                return broken(r);
        }
        KAL_TRY(read_value(r, &item));
        stack_push(s, item, key, with_keys);
    } while (take_byte(r, ','));
    return take_byte(r, close) ? KAL_OK : broken(r);
}

static kal_status read_container(reader *r, bool with_keys, kal_json *out)
{
    if (++r->depth > KAL_AST_DEPTH_MAX)
        return kal_error_set(r->err, KAL_LIMIT, "the statement is nested too deeply");
    stack s = {0};
    r->next++;
    out->kind = with_keys ? KAL_JSON_OBJECT : KAL_JSON_ARRAY;
    kal_status status = read_members(r, with_keys, &s);
    if (status == KAL_OK)
        status = keep(r, &s, with_keys, out);
    free(s.items);
    free(s.keys);
    r->depth--;
    return status;
}

/* null, true, false, and numbers including NaN, Infinity and -Infinity, which yyjson writes. */
static kal_status read_word(reader *r, kal_json *out)
{
    const uint8_t *start = r->next;
    while (r->next < r->end && strchr(",]} \n\t\r", *r->next) == NULL)
        r->next++;
    out->text = kal_bytes_of(start, (size_t)(r->next - start));
    if (out->text.len == 0)
        return broken(r);
    if (kal_ast_equals(out->text, "null"))
        out->kind = KAL_JSON_NULL;
    else if (kal_ast_equals(out->text, "true") || kal_ast_equals(out->text, "false")) {
        out->kind = KAL_JSON_BOOL;
        out->boolean = out->text.len == 4;
    } else {
        out->kind = KAL_JSON_NUMBER;
    }
    return KAL_OK;
}

static kal_status read_value(reader *r, kal_json *out)
{
    skip_space(r);
    if (r->next == r->end)
        return broken(r);
    switch (*r->next) {
    case '{':
        return read_container(r, true, out);
    case '[':
        return read_container(r, false, out);
    case '"':
        out->kind = KAL_JSON_STRING;
        return read_string(r, &out->text);
    default:
        return read_word(r, out);
    }
}

kal_status kal_ast_parse(kal_bytes text, kal_arena *arena, kal_json **tree_out, kal_error *err)
{
    *tree_out = NULL;
    if (text.len > KAL_AST_BYTES_MAX)
        return kal_error_set(err, KAL_LIMIT, "the statement is too large");
    reader r = {.next = text.ptr, .end = text.ptr + text.len, .arena = arena, .err = err};
    kal_json *tree = kal_arena_try_alloc(arena, sizeof *tree);
    if (tree == NULL)
        return too_large(&r);
    KAL_TRY(read_value(&r, tree));
    skip_space(&r);
    if (r.next != r.end)
        return broken(&r);
    *tree_out = tree;
    return KAL_OK;
}

const kal_json *kal_ast_get(const kal_json *node, const char *key)
{
    if (node == NULL || node->kind != KAL_JSON_OBJECT)
        return NULL;
    kal_bytes wanted = kal_cstr(key);
    for (size_t i = 0; i < node->len; i++) {
        if (kal_bytes_equal(node->keys[i], wanted))
            return node->items[i].kind == KAL_JSON_NULL ? NULL : &node->items[i];
    }
    return NULL;
}

kal_bytes kal_ast_text(const kal_json *node, const char *key)
{
    const kal_json *member = kal_ast_get(node, key);
    return member != NULL && member->kind == KAL_JSON_STRING ? member->text : (kal_bytes){0};
}

bool kal_ast_is(const kal_json *node, const char *key, const char *text)
{
    return kal_ast_equals(kal_ast_text(node, key), text);
}

bool kal_ast_flag(const kal_json *node, const char *key)
{
    const kal_json *member = kal_ast_get(node, key);
    return member != NULL && member->kind == KAL_JSON_BOOL && member->boolean;
}

bool kal_ast_number(const kal_json *node, const char *key, int64_t *out)
{
    const kal_json *member = kal_ast_get(node, key);
    if (member == NULL || member->kind != KAL_JSON_NUMBER || member->text.len == 0)
        return false;
    int64_t v = 0;
    for (size_t i = 0; i < member->text.len; i++) {
        uint8_t c = member->text.ptr[i];
        if (c < '0' || c > '9' || !kal_try_mul(v, 10, &v) || !kal_try_add(v, c - '0', &v))
            return false;
    }
    *out = v;
    return true;
}

size_t kal_ast_count(const kal_json *node, const char *key)
{
    const kal_json *member = kal_ast_get(node, key);
    return member != NULL && member->kind == KAL_JSON_ARRAY ? member->len : 0;
}
