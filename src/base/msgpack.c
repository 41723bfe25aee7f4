/*
 * msgpack.c: the writer follows simdjson's walk. How many items a container has is known at its end
 * only, so one byte is kept free for its head and, if the head is longer, what follows is moved:
 * most containers have fewer than sixteen items.
 *
 * The reader goes down recursively. A count is believed only when there are bytes for that many
 * items beside those that the containers around it still wait for (`owed`), so what is allocated is
 * bounded by the input, not by what it claims.
 */
#include "base/msgpack.h"
#include "base/assert.h"
#include "base/json_writer.h"
#include "shims/simdjson_shim.h"

#include <math.h>
#include <stdlib.h>

/* ---- writing ---- */

typedef struct open_container {
    size_t head_at;
    uint32_t count;
    bool is_object;
} open_container;

enum { WRAP_DEPTH = 2 }; /* '[' and '{' around the members */

typedef struct packer {
    kal_buf *out; /* borrowed */
    kal_error *err;
    kal_status status;
    unsigned depth;
    uint32_t member_count;
    open_container open[KAL_MSGPACK_DEPTH_MAX + WRAP_DEPTH];
} packer;

static bool pack_failed(packer *p, kal_status status, const char *message)
{
    p->status = kal_error_set(p->err, status, "%s", message);
    return false;
}

static bool still_room(packer *p)
{
    return kal_buf_failed(p->out) ? pack_failed(p, KAL_LIMIT, "no memory left for MessagePack")
                                  : true;
}

/* A value begins in the innermost container; in an object its key was counted. */
static bool count_item(packer *p)
{
    if (p->depth == 0)
        return true;
    open_container *around = &p->open[p->depth - 1];
    if (around->is_object)
        return true;
    if (p->depth < WRAP_DEPTH) /* a second thing behind our own braces */
        return around->count++ == 0 ? true
                                    : pack_failed(p, KAL_INVALID, "members of JSON expected");
    return around->count++ < UINT32_MAX ? true : pack_failed(p, KAL_LIMIT, "too many items");
}

static bool on_begin(void *context, bool is_object, size_t offset)
{
    packer *p = context;
    (void)offset;
    KAL_ASSERT(p->depth < KAL_ARRAY_LEN(p->open));
    if (!count_item(p))
        return false;
    p->open[p->depth++] = (open_container){.head_at = p->out->len, .is_object = is_object};
    if (p->depth > WRAP_DEPTH)
        kal_buf_append_byte(p->out, 0);
    return still_room(p);
}

/* 1, 3 or 5 bytes; fix is the short form's first byte, wide that of 16 bits. */
static size_t container_head(uint32_t count, uint8_t fix, uint8_t wide, uint8_t out[5])
{
    if (count < 16) {
        out[0] = (uint8_t)(fix | count);
        return 1;
    }
    if (count <= UINT16_MAX) {
        out[0] = wide;
        kal_store_be16(out + 1, (uint16_t)count);
        return 3;
    }
    out[0] = (uint8_t)(wide + 1);
    kal_store_be32(out + 1, count);
    return 5;
}

size_t kal_msgpack_map_head(uint32_t count, uint8_t out[KAL_MSGPACK_MAP_BYTES_MAX])
{
    return container_head(count, 0x80, 0xDE, out);
}

static bool on_end(void *context, bool is_object)
{
    packer *p = context;
    uint8_t head[5];

    KAL_ASSERT(p->depth > 0);
    open_container closed = p->open[--p->depth];
    if (p->depth == WRAP_DEPTH - 1)
        p->member_count = closed.count;
    if (p->depth < WRAP_DEPTH)
        return true;
    size_t head_len = is_object ? kal_msgpack_map_head(closed.count, head)
                                : container_head(closed.count, 0x90, 0xDC, head);
    kal_buf *out = p->out;
    size_t behind = out->len - closed.head_at - 1;
    if (!kal_buf_reserve(out, head_len - 1))
        return still_room(p);
    uint8_t *at = out->ptr + closed.head_at;
    memmove(at + head_len, at + 1, behind);
    memcpy(at, head, head_len);
    out->len += head_len - 1;
    return true;
}

static bool append_string(packer *p, const char *text, size_t len)
{
    kal_buf *out = p->out;
    if (len < 32) {
        kal_buf_append_byte(out, (uint8_t)(0xA0 | len));
    } else if (len <= UINT8_MAX) {
        kal_buf_append_byte(out, 0xD9);
        kal_buf_append_byte(out, (uint8_t)len);
    } else if (len <= UINT16_MAX) {
        kal_buf_append_byte(out, 0xDA);
        kal_buf_append_be16(out, (uint16_t)len);
    } else if (len <= UINT32_MAX) {
        kal_buf_append_byte(out, 0xDB);
        kal_buf_append_be32(out, (uint32_t)len);
    } else {
        return pack_failed(p, KAL_LIMIT, "a text is too long for MessagePack");
    }
    kal_buf_append(out, text, len);
    return still_room(p);
}

static bool on_key(void *context, const char *text, size_t len, size_t offset)
{
    packer *p = context;
    (void)offset;
    KAL_ASSERT(p->depth > 0);
    if (p->open[p->depth - 1].count++ == UINT32_MAX)
        return pack_failed(p, KAL_LIMIT, "too many members");
    return append_string(p, text, len);
}

static bool on_string(void *context, const char *text, size_t len, size_t offset)
{
    packer *p = context;
    (void)offset;
    return count_item(p) && append_string(p, text, len);
}

static void append_unsigned(kal_buf *out, uint64_t v)
{
    if (v < 0x80) {
        kal_buf_append_byte(out, (uint8_t)v);
    } else if (v <= UINT8_MAX) {
        kal_buf_append_byte(out, 0xCC);
        kal_buf_append_byte(out, (uint8_t)v);
    } else if (v <= UINT16_MAX) {
        kal_buf_append_byte(out, 0xCD);
        kal_buf_append_be16(out, (uint16_t)v);
    } else if (v <= UINT32_MAX) {
        kal_buf_append_byte(out, 0xCE);
        kal_buf_append_be32(out, (uint32_t)v);
    } else {
        kal_buf_append_byte(out, 0xCF);
        kal_buf_append_be64(out, v);
    }
}

static void append_negative(kal_buf *out, int64_t v)
{
    if (v >= -32) {
        kal_buf_append_byte(out, (uint8_t)v);
    } else if (v >= INT8_MIN) {
        kal_buf_append_byte(out, 0xD0);
        kal_buf_append_byte(out, (uint8_t)v);
    } else if (v >= INT16_MIN) {
        kal_buf_append_byte(out, 0xD1);
        kal_buf_append_be16(out, (uint16_t)v);
    } else if (v >= INT32_MIN) {
        kal_buf_append_byte(out, 0xD2);
        kal_buf_append_be32(out, (uint32_t)v);
    } else {
        kal_buf_append_byte(out, 0xD3);
        kal_buf_append_be64(out, (uint64_t)v);
    }
}

/* Digits only, and not beyond 64 bits. */
static bool parse_unsigned(kal_bytes text, uint64_t *out)
{
    uint64_t v = 0;
    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        uint64_t digit = (uint64_t)text.ptr[i] - '0';
        if (digit > 9 || !kal_try_mul(v, (uint64_t)10, &v) || !kal_try_add(v, digit, &v))
            return false;
    }
    *out = v;
    return true;
}

/* text stands in a larger buffer, and what follows it is no part of a number: strtod() stops there.
 * It is asked when a number is beyond a double: then it says infinity, or zero. */
static bool append_double(packer *p, kal_bytes text)
{
    double v = 0;
    uint64_t bits = 0;
    if (!kal_parse_double(text, &v)) {
        char *end = NULL;
        v = strtod((const char *)text.ptr, &end);
        if ((const uint8_t *)end != text.ptr + text.len)
            return pack_failed(p, KAL_INVALID, "malformed number in JSON text");
    }
    memcpy(&bits, &v, sizeof bits);
    kal_buf_append_byte(p->out, 0xCB);
    kal_buf_append_be64(p->out, bits);
    return true;
}

static bool append_number(packer *p, kal_bytes text)
{
    int64_t i = 0;
    uint64_t u = 0;
    bool negative = text.ptr[0] == '-';

    if (!negative && parse_unsigned(text, &u))
        append_unsigned(p->out, u);
    else if (negative && kal_parse_i64(text, &i) && i < 0) /* not "-0" */
        append_negative(p->out, i);
    else
        return append_double(p, text) && still_room(p);
    return still_room(p);
}

static bool on_scalar(void *context, const char *text, size_t len, size_t offset)
{
    packer *p = context;
    kal_bytes token = kal_bytes_of(text, len);
    (void)offset;
    if (!count_item(p))
        return false;
    if (kal_bytes_equal(token, KAL_STR("null")))
        kal_buf_append_byte(p->out, 0xC0);
    else if (kal_bytes_equal(token, KAL_STR("false")))
        kal_buf_append_byte(p->out, 0xC2);
    else if (kal_bytes_equal(token, KAL_STR("true")))
        kal_buf_append_byte(p->out, 0xC3);
    else if (len > 0 && (text[0] == '-' || (text[0] >= '0' && text[0] <= '9')))
        return append_number(p, token);
    else
        return pack_failed(p, KAL_INVALID, "unexpected word in JSON text");
    return still_room(p);
}

static kal_status walk(packer *p, kal_buf *text, size_t len)
{
    kal_simdjson_events events = {.context = p,
                                  .begin = on_begin,
                                  .end = on_end,
                                  .key = on_key,
                                  .string = on_string,
                                  .scalar = on_scalar};
    size_t offset = 0;
    size_t parser_bytes = kal_simdjson_memory(len);
    if (!kal_budget_charge(text->budget, parser_bytes))
        return kal_error_set(p->err, KAL_LIMIT, "no memory left for MessagePack");
    kal_simdjson_result result = kal_simdjson_walk(
        (const char *)text->ptr, len, KAL_MSGPACK_DEPTH_MAX + WRAP_DEPTH, &events, &offset);
    kal_budget_release(text->budget, parser_bytes);
    if (p->status != KAL_OK || result == KAL_SIMDJSON_OK)
        return p->status;
    if (result == KAL_SIMDJSON_DEPTH)
        return kal_error_set(p->err, KAL_LIMIT, "JSON text is nested deeper than %d levels",
                             KAL_MSGPACK_DEPTH_MAX);
    if (result == KAL_SIMDJSON_MEMORY || result == KAL_SIMDJSON_SIZE)
        return kal_error_set(p->err, KAL_LIMIT, "no memory left for MessagePack");
    return kal_error_set(p->err, KAL_INVALID, "members of JSON expected");
}

kal_status kal_msgpack_members(kal_bytes members, kal_buf *out, uint32_t *count_out, kal_error *err)
{
    packer p = {.out = out, .err = err, .status = KAL_OK};
    kal_buf text;

    *count_out = 0;
    kal_buf_init(&text, out->budget);
    kal_buf_append(&text, "[{", 2);
    kal_buf_append_bytes(&text, members);
    kal_buf_append(&text, "}]", 2);
    kal_status status = KAL_OK;
    if (kal_buf_reserve(&text, KAL_SIMDJSON_PADDING)) {
        memset(text.ptr + text.len, 0, KAL_SIMDJSON_PADDING);
        status = walk(&p, &text, text.len);
    } else {
        status = kal_error_set(err, KAL_LIMIT, "no memory left for MessagePack");
    }
    kal_buf_release(&text);
    *count_out = p.member_count;
    return status;
}

/* ---- reading ---- */

typedef struct unpacker {
    kal_bytes rest;
    size_t size; /* of all */
    size_t owed; /* items that open containers still wait for, a byte each at least */
    kal_arena *arena;
    kal_error *err;
} unpacker;

static kal_status bad(const unpacker *u, kal_status status, const char *message)
{
    kal_error_set(u->err, status, "%s", message);
    kal_error_at(u->err, u->size - u->rest.len);
    return status;
}

static kal_status too_short(const unpacker *u)
{
    return bad(u, KAL_INVALID, "MessagePack ends too early");
}

static kal_status out_of_memory(const unpacker *u)
{
    return bad(u, KAL_LIMIT, "MessagePack exceeds the memory of its statement");
}

/* An unsigned big-endian number of 1, 2, 4 or 8 bytes. */
static kal_status take_number(unpacker *u, size_t width, uint64_t *out)
{
    kal_bytes field;
    *out = 0;
    if (!kal_bytes_take(&u->rest, width, &field))
        return too_short(u);
    for (size_t i = 0; i < width; i++)
        *out = *out << 8 | field.ptr[i];
    return KAL_OK;
}

static kal_status take_text(unpacker *u, uint64_t len, kal_bytes *text_out)
{
    kal_bytes text;
    if (len > u->rest.len)
        return too_short(u);
    if (!kal_utf8_valid(kal_bytes_of(u->rest.ptr, (size_t)len)))
        return bad(u, KAL_INVALID, "a text in MessagePack is not UTF-8");
    if (!kal_bytes_take(&u->rest, (size_t)len, &text))
        return too_short(u);
    return kal_arena_try_copy(u->arena, text, text_out) ? KAL_OK : out_of_memory(u);
}

/* Of a string whose first byte is taken; KAL_NOT_FOUND when it is something else. */
static kal_status string_len(unpacker *u, uint8_t lead, uint64_t *len_out)
{
    if ((lead & 0xE0) == 0xA0) {
        *len_out = lead & 0x1F;
        return KAL_OK;
    }
    if (lead >= 0xD9 && lead <= 0xDB)
        return take_number(u, (size_t)1 << (lead - 0xD9), len_out);
    return KAL_NOT_FOUND;
}

static kal_status set_number(unpacker *u, kal_json *json, const char *text, size_t len)
{
    json->kind = KAL_JSON_NUMBER;
    return kal_arena_try_copy(u->arena, kal_bytes_of(text, len), &json->text) ? KAL_OK
                                                                              : out_of_memory(u);
}

static kal_status set_integer(unpacker *u, kal_json *json, uint64_t magnitude, bool negative)
{
    char digits[24];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude != 0);
    if (negative)
        digits[--at] = '-';
    return set_number(u, json, digits + at, sizeof digits - at);
}

static kal_status set_signed(unpacker *u, kal_json *json, int64_t v)
{
    return set_integer(u, json, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0);
}

static kal_status set_double(unpacker *u, kal_json *json, double v)
{
    char text[32];
    if (!isfinite(v))
        return bad(u, KAL_INVALID, "NaN and infinities have no JSON form");
    return set_number(u, json, text, kal_format_double(v, text));
}

/* 0xCA to 0xD3. */
static kal_status parse_number(unpacker *u, uint8_t lead, kal_json *json)
{
    uint64_t raw = 0;
    if (lead == 0xCA) {
        float single = 0;
        KAL_TRY(take_number(u, 4, &raw));
        uint32_t bits = (uint32_t)raw;
        memcpy(&single, &bits, sizeof single);
        return set_double(u, json, (double)single);
    }
    if (lead == 0xCB) {
        double v = 0;
        KAL_TRY(take_number(u, 8, &raw));
        memcpy(&v, &raw, sizeof v);
        return set_double(u, json, v);
    }
    if (lead <= 0xCF) {
        KAL_TRY(take_number(u, (size_t)1 << (lead - 0xCC), &raw));
        return set_integer(u, json, raw, false);
    }
    KAL_TRY(take_number(u, (size_t)1 << (lead - 0xD0), &raw));
    switch (lead) {
    case 0xD0:
        return set_signed(u, json, (int8_t)raw);
    case 0xD1:
        return set_signed(u, json, (int16_t)raw);
    case 0xD2:
        return set_signed(u, json, (int32_t)raw);
    default:
        return set_signed(u, json, (int64_t)raw);
    }
}

static kal_status parse_value(unpacker *u, unsigned depth, kal_json *json);

static kal_status parse_key(unpacker *u, kal_bytes *key_out)
{
    uint8_t lead = 0;
    uint64_t len = 0;
    if (!kal_bytes_take_u8(&u->rest, &lead))
        return too_short(u);
    kal_status status = string_len(u, lead, &len);
    if (status == KAL_NOT_FOUND)
        return bad(u, KAL_INVALID, "a key of a MessagePack map is not a string");
    KAL_TRY(status);
    u->owed--;
    return take_text(u, len, key_out);
}

static int compare_keys(const void *a, const void *b)
{
    return kal_bytes_compare(*(const kal_bytes *)a, *(const kal_bytes *)b);
}

/* Sorted, since hashing would let a client choose collisions. */
static kal_status check_duplicates(unpacker *u, const kal_json *json)
{
    kal_buf sorted;
    kal_status status = KAL_OK;

    if (json->len < 2)
        return KAL_OK;
    kal_buf_init(&sorted, u->arena->budget);
    kal_buf_append(&sorted, json->keys, json->len * sizeof *json->keys);
    if (kal_buf_failed(&sorted)) {
        kal_buf_release(&sorted);
        return out_of_memory(u);
    }
    kal_bytes *keys = (kal_bytes *)(void *)sorted.ptr;
    qsort(keys, json->len, sizeof *keys, compare_keys);
    for (size_t i = 1; i < json->len && status == KAL_OK; i++) {
        if (kal_bytes_equal(keys[i - 1], keys[i]))
            status = bad(u, KAL_INVALID, "duplicate key in MessagePack map");
    }
    kal_buf_release(&sorted);
    return status;
}

static kal_status parse_container(unpacker *u, unsigned depth, bool is_map, uint64_t count,
                                  kal_json *json)
{
    size_t items = 0;
    json->kind = is_map ? KAL_JSON_OBJECT : KAL_JSON_ARRAY;
    if (depth >= KAL_JSON_READ_DEPTH_MAX)
        return bad(u, KAL_LIMIT, "MessagePack is nested too deeply");
    if (!kal_try_mul((size_t)count, is_map ? (size_t)2 : (size_t)1, &items) ||
        !kal_try_add(u->owed, items, &u->owed) || u->owed > u->rest.len)
        return too_short(u);
    json->len = (size_t)count;
    if (json->len == 0)
        return KAL_OK;
    json->items = kal_arena_try_array(u->arena, json->len, sizeof *json->items);
    if (is_map)
        json->keys = kal_arena_try_array(u->arena, json->len, sizeof *json->keys);
    if (json->items == NULL || (is_map && json->keys == NULL))
        return out_of_memory(u);
    for (size_t i = 0; i < json->len; i++) {
        if (is_map)
            KAL_TRY(parse_key(u, &json->keys[i]));
        u->owed--;
        KAL_TRY(parse_value(u, depth + 1, &json->items[i]));
    }
    return is_map ? check_duplicates(u, json) : KAL_OK;
}

/* 0xC0 to 0xDF, but for numbers and texts. */
static kal_status parse_other(unpacker *u, unsigned depth, uint8_t lead, kal_json *json)
{
    uint64_t count = 0;
    switch (lead) {
    case 0xC0:
        json->kind = KAL_JSON_NULL;
        return KAL_OK;
    case 0xC2:
    case 0xC3:
        json->kind = KAL_JSON_BOOL;
        json->boolean = lead == 0xC3;
        return KAL_OK;
    case 0xDC:
    case 0xDD:
        KAL_TRY(take_number(u, lead == 0xDC ? 2 : 4, &count));
        return parse_container(u, depth, false, count, json);
    case 0xDE:
    case 0xDF:
        KAL_TRY(take_number(u, lead == 0xDE ? 2 : 4, &count));
        return parse_container(u, depth, true, count, json);
    case 0xC4:
    case 0xC5:
    case 0xC6:
        return bad(u, KAL_UNSUPPORTED, "MessagePack bin is not supported: send text");
    case 0xC1:
        return bad(u, KAL_INVALID, "0xC1 is never used in MessagePack");
    default:
        return bad(u, KAL_UNSUPPORTED, "MessagePack ext is not supported");
    }
}

static kal_status parse_value(unpacker *u, unsigned depth, kal_json *json)
{
    uint8_t lead = 0;
    uint64_t len = 0;

    if (!kal_bytes_take_u8(&u->rest, &lead))
        return too_short(u);
    if (lead < 0x80)
        return set_integer(u, json, lead, false);
    if (lead >= 0xE0)
        return set_signed(u, json, (int8_t)lead);
    if (lead < 0xA0)
        return parse_container(u, depth, lead < 0x90, lead & 0x0F, json);
    if (lead >= 0xCA && lead <= 0xD3)
        return parse_number(u, lead, json);
    kal_status status = string_len(u, lead, &len);
    if (status == KAL_NOT_FOUND)
        return parse_other(u, depth, lead, json);
    KAL_TRY(status);
    json->kind = KAL_JSON_STRING;
    return take_text(u, len, &json->text);
}

kal_status kal_msgpack_parse(kal_bytes bytes, kal_arena *arena, kal_json **json_out, kal_error *err)
{
    unpacker u = {.rest = bytes, .size = bytes.len, .arena = arena, .err = err};
    kal_json *json = kal_arena_try_array(arena, 1, sizeof *json);

    *json_out = NULL;
    if (json == NULL)
        return out_of_memory(&u);
    KAL_TRY(parse_value(&u, 0, json));
    if (u.rest.len > 0)
        return bad(&u, KAL_INVALID, "something follows the MessagePack value");
    *json_out = json;
    return KAL_OK;
}
