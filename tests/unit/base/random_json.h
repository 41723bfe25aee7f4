/*
 * random_json.h: random JSON values as text, members of an object without its braces, and trees
 * that are compared by value.
 */
#ifndef KAL_TESTS_RANDOM_JSON_H
#define KAL_TESTS_RANDOM_JSON_H

#include "base/json_reader.h"
#include "base/json_writer.h"
#include "base/rng.h"

static inline void random_json_string(kal_rng *rng, kal_json_writer *w, bool is_key, size_t index)
{
    static const char *const PARTS[] = {"a", "\"", "\\", "\n", "\x01", "ü", "€", "😀", "xyz", " "};
    kal_buf text;
    kal_buf_init(&text, NULL);
    size_t parts = (size_t)kal_rng_below(rng, kal_rng_chance(rng, 1, 20) ? 200 : 8);
    if (kal_rng_chance(rng, 1, 300))
        parts = 70000;
    for (size_t i = 0; i < parts; i++)
        kal_buf_append_cstr(&text, PARTS[kal_rng_below(rng, KAL_ARRAY_LEN(PARTS))]);
    if (is_key)
        kal_buf_printf(&text, "%zu", index); /* keys of one object differ */
    if (is_key)
        kal_json_key_bytes(w, kal_buf_bytes(&text));
    else
        kal_json_string(w, kal_buf_bytes(&text));
    kal_buf_release(&text);
}

static inline void random_json_number(kal_rng *rng, kal_json_writer *w)
{
    uint64_t bits = kal_rng_next(rng) >> kal_rng_below(rng, 64);
    double v = 0;
    switch (kal_rng_below(rng, 4)) {
    case 0:
        kal_json_u64(w, bits);
        return;
    case 1:
        kal_json_i64(w, -(int64_t)(bits >> 1));
        return;
    case 2:
        kal_json_double(w, (double)kal_rng_below(rng, 1000) / 8 + 0.1);
        return;
    default:
        bits = kal_rng_next(rng);
        memcpy(&v, &bits, sizeof v);
        if (v - v == 0) /* finite */
            kal_json_double(w, v);
        else
            kal_json_i64(w, INT64_MIN);
    }
}

static inline void random_json_value(kal_rng *rng, kal_json_writer *w, unsigned depth);

static inline void random_json_members(kal_rng *rng, kal_json_writer *w, unsigned depth,
                                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        random_json_string(rng, w, true, i);
        random_json_value(rng, w, depth);
    }
}

static inline void random_json_value(kal_rng *rng, kal_json_writer *w, unsigned depth)
{
    size_t count = (size_t)kal_rng_below(rng, kal_rng_chance(rng, 1, 30) ? 40 : 5);
    switch (kal_rng_below(rng, depth == 0 ? 5 : 8)) {
    case 0:
        kal_json_null(w);
        return;
    case 1:
        kal_json_bool(w, kal_rng_chance(rng, 1, 2));
        return;
    case 2:
    case 3:
        random_json_number(rng, w);
        return;
    case 4:
        random_json_string(rng, w, false, 0);
        return;
    case 5:
    case 6:
        kal_json_begin_object(w);
        random_json_members(rng, w, depth - 1, count);
        kal_json_end_object(w);
        return;
    default:
        kal_json_begin_array(w);
        for (size_t i = 0; i < count; i++)
            random_json_value(rng, w, depth - 1);
        kal_json_end_array(w);
    }
}

/* Appends members without braces; returns how many. */
static inline uint32_t random_json_object(kal_rng *rng, kal_buf *out, size_t count, unsigned depth)
{
    kal_buf text;
    kal_json_writer w;
    kal_buf_init(&text, NULL);
    kal_json_writer_init(&w, &text);
    kal_json_begin_object(&w);
    random_json_members(rng, &w, depth, count);
    kal_json_end_object(&w);
    kal_buf_append(out, text.ptr + 1, text.len - 2);
    kal_buf_release(&text);
    return (uint32_t)count;
}

/* Numbers are the same when their texts, or the doubles that they are, do not differ. */
static inline bool json_same(const kal_json *a, const kal_json *b)
{
    double x = 0, y = 0;
    if (a->kind != b->kind || a->len != b->len || a->boolean != b->boolean)
        return false;
    if (!kal_bytes_equal(a->text, b->text) &&
        (a->kind != KAL_JSON_NUMBER || !kal_parse_double(a->text, &x) ||
         !kal_parse_double(b->text, &y) || memcmp(&x, &y, sizeof x) != 0))
        return false;
    for (size_t i = 0; i < a->len; i++) {
        if (!json_same(&a->items[i], &b->items[i]) ||
            (a->kind == KAL_JSON_OBJECT && !kal_bytes_equal(a->keys[i], b->keys[i])))
            return false;
    }
    return true;
}

#endif
