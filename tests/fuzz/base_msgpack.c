/*
 * base_msgpack.c: any bytes into the reader of MessagePack. Errors lie inside the input, what is
 * made is bounded by it, and what is accepted comes back the same from a trip over JSON text.
 */
#include "base/assert.h"
#include "base/msgpack.h"
#include "unit/base/random_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_tree(kal_json_writer *w, const kal_json *json)
{
    switch (json->kind) {
    case KAL_JSON_NULL:
        kal_json_null(w);
        return;
    case KAL_JSON_BOOL:
        kal_json_bool(w, json->boolean);
        return;
    case KAL_JSON_NUMBER:
        kal_json_raw(w, json->text);
        return;
    case KAL_JSON_STRING:
        kal_json_string(w, json->text);
        return;
    case KAL_JSON_ARRAY:
        kal_json_begin_array(w);
        for (size_t i = 0; i < json->len; i++)
            write_tree(w, &json->items[i]);
        kal_json_end_array(w);
        return;
    case KAL_JSON_OBJECT:
        kal_json_begin_object(w);
        for (size_t i = 0; i < json->len; i++) {
            kal_json_key_bytes(w, json->keys[i]);
            write_tree(w, &json->items[i]);
        }
        kal_json_end_object(w);
    }
}

static void check_round_trip(const kal_json *json, kal_arena *arena)
{
    kal_buf text, packed;
    kal_json_writer w;
    kal_json *again = NULL;
    uint32_t count = 0;

    kal_buf_init(&text, NULL);
    kal_buf_init(&packed, NULL);
    kal_buf_append_cstr(&text, "\"x\":");
    kal_json_writer_init(&w, &text);
    write_tree(&w, json);
    KAL_ASSERT(kal_msgpack_members(kal_buf_bytes(&text), &packed, &count, NULL) == KAL_OK);
    KAL_ASSERT(count == 1 && packed.len > 2);
    kal_bytes value = kal_bytes_of(packed.ptr + 2, packed.len - 2); /* behind the key */
    KAL_ASSERT(kal_msgpack_parse(value, arena, &again, NULL) == KAL_OK);
    KAL_ASSERT(json_same(json, again));
    kal_buf_release(&text);
    kal_buf_release(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kal_budget budget;
    kal_arena arena;
    kal_json *json = NULL;
    kal_error err = KAL_ERROR_INIT;

    kal_budget_init(&budget, NULL, 256 * size + 65536);
    kal_arena_init(&arena, &budget);
    kal_status status = kal_msgpack_parse(kal_bytes_of(data, size), &arena, &json, &err);
    if (status == KAL_OK) {
        arena.budget = NULL;
        size_t charged = arena.size_bytes;
        check_round_trip(json, &arena);
        kal_arena_release(&arena);
        kal_budget_release(&budget, charged);
        return 0;
    }
    KAL_ASSERT(status == KAL_INVALID || status == KAL_LIMIT || status == KAL_UNSUPPORTED);
    KAL_ASSERT(err.status == status && err.message[0] != '\0');
    KAL_ASSERT(err.position >= 0 && (size_t)err.position <= size);
    kal_arena_release(&arena);
    return 0;
}
