/*
 * types_key.c: an encoded type, then any bytes as a run of keys of it. Each is refused, or
 * canonical: appended again it gives the bytes that were taken; and keys that follow each other are
 * ordered as their values.
 */
#include "base/assert.h"
#include "types/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int sign(int v)
{
    return (v > 0) - (v < 0);
}

static void check_order(const kal_value *a, kal_bytes key_a, const kal_value *b, kal_bytes key_b)
{
    int by_key = sign(kal_bytes_compare(key_a, key_b));
    KAL_ASSERT(by_key == sign(kal_value_compare(a, b)));
    KAL_ASSERT(by_key == 0 || !kal_bytes_starts_with(key_b, key_a));
}

static void read_keys(kal_bytes input, kal_type type, kal_arena *arena, kal_buf *buf)
{
    kal_value previous = kal_value_null(type);
    kal_bytes previous_key = {0};
    while (input.len > 0) {
        kal_bytes before = input;
        kal_value v;
        kal_error err = KAL_ERROR_INIT;
        if (kal_key_decode(&input, type, arena, &v, &err) != KAL_OK) {
            KAL_ASSERT(err.status == KAL_CORRUPT);
            KAL_ASSERT(input.len == before.len);
            return;
        }
        kal_bytes key = kal_bytes_of(before.ptr, before.len - input.len);
        KAL_ASSERT(kal_value_validate(&v, NULL) == KAL_OK);
        kal_buf_clear(buf);
        kal_key_append(buf, &v);
        KAL_ASSERT(kal_bytes_equal(kal_buf_bytes(buf), key));
        if (!previous.is_null)
            check_order(&previous, previous_key, &v, key);
        previous = v;
        previous_key = key;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kal_bytes input = kal_bytes_of(data, size);
    kal_type type;
    kal_arena arena;
    kal_buf buf;
    kal_arena_init(&arena, NULL);
    kal_buf_init(&buf, NULL);
    if (kal_type_decode(&input, &type, NULL) == KAL_OK)
        read_keys(input, type, &arena, &buf);
    kal_buf_release(&buf);
    kal_arena_release(&arena);
    return 0;
}
