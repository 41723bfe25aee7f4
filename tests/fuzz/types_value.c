/*
 * types_value.c: any bytes as a run of encoded values, and as a run of encoded types. Each is
 * refused, or valid and canonical: encoded again it gives the bytes that were taken.
 */
#include "base/assert.h"
#include "types/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const kal_buf *buf, kal_bytes before, kal_bytes after)
{
    KAL_ASSERT(!kal_buf_failed(buf));
    KAL_ASSERT(buf->len == before.len - after.len);
    KAL_ASSERT(memcmp(buf->ptr, before.ptr, buf->len) == 0);
}

static void read_values(kal_bytes input, kal_buf *buf)
{
    while (input.len > 0) {
        kal_bytes before = input;
        kal_value v;
        kal_error err = KAL_ERROR_INIT;
        if (kal_value_decode(&input, &v, &err) != KAL_OK) {
            KAL_ASSERT(err.status == KAL_CORRUPT);
            KAL_ASSERT(err.message[0] != '\0');
            KAL_ASSERT(input.len == before.len);
            return;
        }
        KAL_ASSERT(kal_value_validate(&v, NULL) == KAL_OK);
        KAL_ASSERT(kal_value_identical(&v, &v));
        KAL_ASSERT(v.is_null || kal_value_compare(&v, &v) == 0);
        kal_buf_clear(buf);
        kal_value_encode(&v, buf);
        check_same(buf, before, input);
    }
}

static void read_types(kal_bytes input, kal_buf *buf)
{
    while (input.len > 0) {
        kal_bytes before = input;
        kal_type type;
        kal_type back;
        char name[KAL_TYPE_NAME_BYTES];
        if (kal_type_decode(&input, &type, NULL) != KAL_OK)
            return;
        KAL_ASSERT(kal_type_valid(type));
        KAL_ASSERT(kal_type_parse(kal_cstr(kal_type_name(type, name)), &back, NULL) == KAL_OK);
        KAL_ASSERT(kal_type_equal(type, back));
        kal_buf_clear(buf);
        kal_type_encode(type, buf);
        check_same(buf, before, input);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kal_buf buf;
    kal_type type;
    kal_buf_init(&buf, NULL);
    read_values(kal_bytes_of(data, size), &buf);
    read_types(kal_bytes_of(data, size), &buf);
    if (kal_type_parse(kal_bytes_of(data, size), &type, NULL) == KAL_OK)
        KAL_ASSERT(kal_type_valid(type));
    kal_buf_release(&buf);
    return 0;
}
