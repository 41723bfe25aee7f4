/*
 * base_json.c: any bytes into the JSON reader. It must agree with the oracle on what is JSON, put
 * errors inside the text, and what it accepts must come back the same after a trip through the
 * writer.
 */
#include "base/assert.h"
#include "base/json_reader.h"
#include "base/json_writer.h"
#include "unit/base/json_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same_tree(const kal_json *a, const kal_json *b)
{
    if (a->kind != b->kind || a->boolean != b->boolean || a->len != b->len ||
        !kal_bytes_equal(a->text, b->text))
        return false;
    for (size_t i = 0; i < a->len; i++) {
        if (a->kind == KAL_JSON_OBJECT && !kal_bytes_equal(a->keys[i], b->keys[i]))
            return false;
        if (!same_tree(&a->items[i], &b->items[i]))
            return false;
    }
    return true;
}

static void check_round_trip(const kal_json *json, kal_arena *arena)
{
    kal_buf out;
    kal_json_writer w;
    kal_json *again = NULL;
    kal_buf_init(&out, NULL);
    kal_json_writer_init(&w, &out);
    kal_json_write_tree(json, &w);
    KAL_ASSERT(kal_json_parse(kal_buf_bytes(&out), arena, &again, NULL) == KAL_OK);
    KAL_ASSERT(same_tree(json, again));
    kal_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kal_bytes text = kal_bytes_of(data, size);
    kal_arena arena;
    kal_json *json = NULL;
    kal_error err = KAL_ERROR_INIT;
    if (size > 2048) /* the oracle's limit of members */
        return 0;
    kal_arena_init(&arena, NULL);
    kal_status status = kal_json_parse(text, &arena, &json, &err);
    KAL_ASSERT((status == KAL_OK) == json_oracle_accepts(text, KAL_JSON_READ_DEPTH_MAX));
    if (status == KAL_OK) {
        check_round_trip(json, &arena);
    } else {
        KAL_ASSERT(status == KAL_INVALID || status == KAL_LIMIT);
        KAL_ASSERT(err.status == status && err.message[0] != '\0');
        KAL_ASSERT(err.position >= 0 && (size_t)err.position <= size);
    }
    kal_arena_release(&arena);
    return 0;
}
