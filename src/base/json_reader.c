/*
 * json_reader.c: simdjson finds and unescapes the parts, this file builds the tree.
 *
 * The text is copied into the arena, with padding behind it and put between '[' and ']': so any
 * document is an array of one element, and scalars at the top need no path of their own. Items of
 * containers that are still open wait on one stack; when a container closes, its items move from
 * the top of the stack into an array of exactly their number.
 */
#include "base/json_reader.h"
#include "base/assert.h"
#include "base/buf.h"
#include "shims/simdjson_shim.h"

#include <stdlib.h>

typedef struct open_item {
    kal_json value;
    kal_bytes key; /* in an object */
    size_t offset; /* of the key, or of the value in an array */
} open_item;

typedef struct open_container {
    size_t first_item; /* index on the stack */
    kal_bytes key;     /* of the container itself, in the object around it */
    size_t offset;
} open_container;

typedef struct builder {
    kal_arena *arena; /* borrowed */
    kal_error *err;   /* borrowed, may be NULL */
    kal_status status;
    kal_buf items;     /* open_item ..., owned */
    kal_bytes key;     /* read last, waits for its value */
    size_t key_offset; /* of that key */
    bool has_key;
    size_t depth; /* open containers, the outer '[' included */
    open_container open[KAL_JSON_READ_DEPTH_MAX + 1];
    kal_json *root; /* what stood in the outer '[': one value, if all is well */
    size_t root_count;
    size_t second_root_offset;
} builder;

enum { WRAP_BYTES = 1 }; /* the '[' before the text */

static bool fail_at(builder *b, kal_status status, size_t offset, const char *message)
{
    b->status = kal_error_set(b->err, status, "%s", message);
    if (status == KAL_INVALID)
        kal_error_at(b->err, offset - WRAP_BYTES);
    return false;
}

static bool fail_memory(builder *b)
{
    return fail_at(b, KAL_LIMIT, 0, "JSON text exceeds the memory of its statement");
}

static size_t item_count(const builder *b)
{
    return b->items.len / sizeof(open_item);
}

static bool push_item(builder *b, kal_json value, size_t offset)
{
    open_item item = {.value = value, .key = b->key, .offset = offset};
    if (b->has_key)
        item.offset = b->key_offset;
    b->has_key = false;
    b->key = (kal_bytes){0};
    kal_buf_append(&b->items, &item, sizeof item);
    return kal_buf_failed(&b->items) ? fail_memory(b) : true;
}

static bool on_begin(void *context, bool is_object, size_t offset)
{
    builder *b = context;
    (void)is_object;
    KAL_ASSERT(b->depth < KAL_ARRAY_LEN(b->open));
    b->open[b->depth++] = (open_container){
        .first_item = item_count(b), .key = b->key, .offset = b->has_key ? b->key_offset : offset};
    b->has_key = false;
    b->key = (kal_bytes){0};
    return true;
}

static int compare_keys(const void *a, const void *b)
{
    const open_item *const *left = a;
    const open_item *const *right = b;
    int order = kal_bytes_compare((*left)->key, (*right)->key);
    if (order != 0)
        return order;
    return ((*left)->offset > (*right)->offset) - ((*left)->offset < (*right)->offset);
}

enum { FEW_KEYS = 16 };

/* Few keys are compared in pairs, many are sorted: hashing would let a client choose collisions. */
static bool check_duplicates(builder *b, const open_item *items, size_t count)
{
    if (count <= FEW_KEYS) {
        for (size_t i = 1; i < count; i++) {
            for (size_t j = 0; j < i; j++) {
                if (kal_bytes_equal(items[i].key, items[j].key))
                    return fail_at(b, KAL_INVALID, items[i].offset, "duplicate key in JSON object");
            }
        }
        return true;
    }
    kal_buf sorted;
    kal_buf_init(&sorted, b->arena->budget);
    if (!kal_buf_reserve(&sorted, count * sizeof(open_item *)))
        return fail_memory(b);
    const open_item **order = (const open_item **)(void *)sorted.ptr;
    for (size_t i = 0; i < count; i++)
        order[i] = &items[i];
    qsort(order, count, sizeof *order, compare_keys);
    bool unique = true;
    for (size_t i = 1; i < count && unique; i++) {
        if (kal_bytes_equal(order[i]->key, order[i - 1]->key))
            unique = fail_at(b, KAL_INVALID, order[i]->offset, "duplicate key in JSON object");
    }
    kal_buf_release(&sorted);
    return unique;
}

static bool move_items(builder *b, const open_item *items, kal_json *container)
{
    bool is_object = container->kind == KAL_JSON_OBJECT;
    container->items = kal_arena_try_array(b->arena, container->len, sizeof(kal_json));
    if (container->items == NULL)
        return fail_memory(b);
    if (is_object) {
        container->keys = kal_arena_try_array(b->arena, container->len, sizeof(kal_bytes));
        if (container->keys == NULL)
            return fail_memory(b);
    }
    for (size_t i = 0; i < container->len; i++) {
        container->items[i] = items[i].value;
        if (is_object)
            container->keys[i] = items[i].key;
    }
    return true;
}

static bool on_end(void *context, bool is_object)
{
    builder *b = context;
    KAL_ASSERT(b->depth > 0);
    open_container open = b->open[--b->depth];
    kal_json container = {.kind = is_object ? KAL_JSON_OBJECT : KAL_JSON_ARRAY,
                          .len = item_count(b) - open.first_item};
    if (container.len > 0) {
        const open_item *items = (const open_item *)(void *)b->items.ptr + open.first_item;
        if (is_object && !check_duplicates(b, items, container.len))
            return false;
        if (!move_items(b, items, &container))
            return false;
        if (b->depth == 0 && container.len > 1)
            b->second_root_offset = items[1].offset;
        kal_buf_truncate(&b->items, open.first_item * sizeof(open_item));
    }
    if (b->depth == 0) { /* the wrapping array */
        b->root = container.items;
        b->root_count = container.len;
        return true;
    }
    b->key = open.key;
    b->has_key = open.key.ptr != NULL;
    b->key_offset = open.offset;
    return push_item(b, container, open.offset);
}

static bool on_key(void *context, const char *text, size_t len, size_t offset)
{
    builder *b = context;
    if (!kal_arena_try_copy(b->arena, kal_bytes_of(text, len), &b->key))
        return fail_memory(b);
    b->key_offset = offset;
    b->has_key = true;
    return true;
}

static bool on_string(void *context, const char *text, size_t len, size_t offset)
{
    builder *b = context;
    kal_json value = {.kind = KAL_JSON_STRING};
    if (!kal_arena_try_copy(b->arena, kal_bytes_of(text, len), &value.text))
        return fail_memory(b);
    return push_item(b, value, offset);
}

static size_t skip_digits(kal_bytes text, size_t at)
{
    while (at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9')
        at++;
    return at;
}

/* RFC 8259, section 6: -? (0 | [1-9][0-9]*) (.[0-9]+)? ([eE][+-]?[0-9]+)? */
static bool number_valid(kal_bytes text)
{
    size_t at = text.len > 0 && text.ptr[0] == '-' ? 1 : 0;
    size_t start = at;
    at = skip_digits(text, at);
    if (at == start || (text.ptr[start] == '0' && at > start + 1))
        return false;
    if (at < text.len && text.ptr[at] == '.') {
        start = ++at;
        at = skip_digits(text, at);
        if (at == start)
            return false;
    }
    if (at < text.len && (text.ptr[at] == 'e' || text.ptr[at] == 'E')) {
        at++;
        if (at < text.len && (text.ptr[at] == '+' || text.ptr[at] == '-'))
            at++;
        start = at;
        at = skip_digits(text, at);
        if (at == start)
            return false;
    }
    return at == text.len;
}

static bool on_scalar(void *context, const char *text, size_t len, size_t offset)
{
    builder *b = context;
    kal_bytes token = kal_bytes_of(text, len);
    kal_json value = {.kind = KAL_JSON_NULL};
    if (kal_bytes_equal(token, KAL_STR("true")) || kal_bytes_equal(token, KAL_STR("false"))) {
        value.kind = KAL_JSON_BOOL;
        value.boolean = len == 4;
    } else if (number_valid(token)) {
        value.kind = KAL_JSON_NUMBER;
        value.text = token;
    } else if (!kal_bytes_equal(token, KAL_STR("null"))) {
        bool numeric = text[0] == '-' || (text[0] >= '0' && text[0] <= '9');
        return fail_at(b, KAL_INVALID, offset,
                       numeric ? "malformed number in JSON text" : "unexpected word in JSON text");
    }
    return push_item(b, value, offset);
}

static size_t first_bad_utf8(kal_bytes text)
{
    size_t at = 0;
    while (at < text.len) {
        size_t left = text.len - at;
        size_t len = 1;
        while (len <= 4 && len <= left && !kal_utf8_valid(kal_bytes_of(text.ptr + at, len)))
            len++;
        if (len > 4 || len > left)
            break;
        at += len;
    }
    return at;
}

/* The control character inside a string, or the opening quote of the string that never closes. */
static size_t first_bad_string(kal_bytes text)
{
    size_t open_quote = 0;
    bool inside = false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"') {
            inside = !inside;
            open_quote = i;
        } else if (inside && text.ptr[i] == '\\') {
            i++;
        } else if (inside && text.ptr[i] < 0x20) {
            return i;
        }
    }
    return open_quote;
}

/* A ']' of the text closed our own '[': the last token before the one at which the walk ended. */
static size_t stray_bracket(kal_bytes text, size_t walk_end)
{
    size_t at = walk_end < WRAP_BYTES ? 0 : walk_end - WRAP_BYTES;
    if (at > text.len)
        at = text.len;
    do {
        at -= at > 0 ? 1 : 0;
    } while (at > 0 && text.ptr[at] != ']');
    return at;
}

/* Turns what simdjson found into our error; what a handler found is there already. */
static void report(builder *b, kal_bytes text, kal_simdjson_result result, size_t offset)
{
    switch (result) {
    case KAL_SIMDJSON_OK:
        if (b->root_count == 0)
            fail_at(b, KAL_INVALID, WRAP_BYTES, "JSON text is empty");
        else if (b->root_count > 1)
            fail_at(b, KAL_INVALID, b->second_root_offset, "something follows the JSON value");
        return;
    case KAL_SIMDJSON_STOPPED:
        return;
    case KAL_SIMDJSON_DEPTH:
        b->status = kal_error_set(b->err, KAL_LIMIT, "JSON text is nested deeper than %d levels",
                                  KAL_JSON_READ_DEPTH_MAX);
        kal_error_at(b->err, offset - WRAP_BYTES);
        return;
    case KAL_SIMDJSON_MEMORY:
        fail_memory(b);
        return;
    case KAL_SIMDJSON_SIZE:
        fail_at(b, KAL_LIMIT, 0, "JSON text is larger than 4 GiB");
        return;
    case KAL_SIMDJSON_UTF8:
        fail_at(b, KAL_INVALID, first_bad_utf8(text) + WRAP_BYTES, "JSON text is not UTF-8");
        return;
    case KAL_SIMDJSON_CONTROL_CHAR:
        fail_at(b, KAL_INVALID, first_bad_string(text) + WRAP_BYTES,
                "control character in JSON string");
        return;
    case KAL_SIMDJSON_UNCLOSED:
        fail_at(b, KAL_INVALID, first_bad_string(text) + WRAP_BYTES, "JSON string is not closed");
        return;
    case KAL_SIMDJSON_STRING:
        fail_at(b, KAL_INVALID, offset, "bad escape in JSON string");
        return;
    case KAL_SIMDJSON_TRAILING:
        fail_at(b, KAL_INVALID, stray_bracket(text, offset) + WRAP_BYTES,
                "something follows the JSON value");
        return;
    case KAL_SIMDJSON_SYNTAX:
        break;
    }
    size_t end = text.len + WRAP_BYTES;
    if (offset < WRAP_BYTES)
        offset = WRAP_BYTES;
    if (offset > end)
        offset = end;
    fail_at(b, KAL_INVALID, offset,
            offset == end ? "JSON text ends too early" : "unexpected token in JSON text");
}

/* "[text]" followed by padding, in the arena; NULL when the budget refuses. */
static char *wrap(kal_bytes text, kal_arena *arena)
{
    size_t size = 0;
    if (!kal_try_add(text.len, (size_t)(2 * WRAP_BYTES + KAL_SIMDJSON_PADDING), &size))
        return NULL;
    char *copy = kal_arena_try_alloc(arena, size);
    if (copy == NULL)
        return NULL;
    copy[0] = '[';
    if (text.len > 0)
        memcpy(copy + WRAP_BYTES, text.ptr, text.len);
    copy[WRAP_BYTES + text.len] = ']';
    return copy;
}

kal_status kal_json_parse(kal_bytes text, kal_arena *arena, kal_json **json_out, kal_error *err)
{
    builder b = {.arena = arena, .err = err, .status = KAL_OK};
    *json_out = NULL;
    kal_buf_init(&b.items, arena->budget);

    char *copy = wrap(text, arena);
    if (copy == NULL) {
        fail_memory(&b);
        return b.status;
    }
    size_t len = text.len + 2 * WRAP_BYTES;
    size_t parser_bytes = kal_simdjson_memory(len);
    if (!kal_budget_charge(arena->budget, parser_bytes)) {
        fail_memory(&b);
        return b.status;
    }
    kal_simdjson_events events = {.context = &b,
                                  .begin = on_begin,
                                  .end = on_end,
                                  .key = on_key,
                                  .string = on_string,
                                  .scalar = on_scalar};
    size_t offset = 0;
    kal_simdjson_result result =
        kal_simdjson_walk(copy, len, KAL_JSON_READ_DEPTH_MAX + 1, &events, &offset);
    kal_budget_release(arena->budget, parser_bytes);
    kal_buf_release(&b.items);
    report(&b, text, result, offset);
    if (b.status == KAL_OK)
        *json_out = b.root;
    return b.status;
}

kal_status kal_json_check(kal_bytes text, kal_arena *scratch, kal_error *err)
{
    kal_json *json = NULL;
    return kal_json_parse(text, scratch, &json, err);
}

const kal_json *kal_json_find(const kal_json *json, const char *key)
{
    if (json == NULL || json->kind != KAL_JSON_OBJECT)
        return NULL;
    kal_bytes wanted = kal_cstr(key);
    for (size_t i = 0; i < json->len; i++) {
        if (kal_bytes_equal(json->keys[i], wanted))
            return &json->items[i];
    }
    return NULL;
}

const char *kal_json_kind_name(kal_json_kind kind)
{
    switch (kind) {
    case KAL_JSON_NULL:
        return "null";
    case KAL_JSON_BOOL:
        return "boolean";
    case KAL_JSON_NUMBER:
        return "number";
    case KAL_JSON_STRING:
        return "string";
    case KAL_JSON_ARRAY:
        return "array";
    case KAL_JSON_OBJECT:
        return "object";
    }
    KAL_ASSERT(false);
}
