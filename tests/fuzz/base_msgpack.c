/*
 * base_msgpack.c: any bytes into the reader of MessagePack. Errors lie inside the input, what is
 * made is bounded by it, and what is accepted comes back the same from a trip over JSON text.
 */
#include "base/assert.h"
#include "base/msgpack.h"
#include "unit/base/random_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    kal_json_write_tree(json, &w);
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
