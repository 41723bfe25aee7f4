/*
 * types_row.c: a byte that counts columns, their encoded types, then any bytes as a row of them.
 * The row is refused, or every column can be read, and the values encoded again read back the same.
 */
#include "base/assert.h"
#include "types/row.h"

enum { COLUMNS_MAX = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The column types off the front of *input; how many. */
static size_t take_types(kal_bytes *input, kal_type types[COLUMNS_MAX])
{
    size_t count = 0;
    if (input->len == 0)
        return 0;
    size_t wanted = input->ptr[0] % (COLUMNS_MAX + 1);
    *input = kal_bytes_of(input->ptr + 1, input->len - 1);
    while (count < wanted && kal_type_decode(input, &types[count], NULL) == KAL_OK)
        count++;
    return count;
}

static void check_row(const kal_row_layout *layout, kal_bytes bytes)
{
    kal_row row;
    kal_row again;
    kal_value values[COLUMNS_MAX];
    kal_error err = KAL_ERROR_INIT;
    if (kal_row_open(layout, bytes, &row, &err) != KAL_OK) {
        KAL_ASSERT(err.status == KAL_CORRUPT);
        KAL_ASSERT(err.message[0] != '\0');
        return;
    }
    kal_buf buf;
    kal_buf_init(&buf, NULL);
    for (size_t i = 0; i < layout->column_count; i++)
        kal_row_get(&row, i, &values[i]);
    kal_status status = kal_row_encode(layout, row.schema_version, row.seq, values, &buf, NULL);
    KAL_ASSERT(status == KAL_OK);
    KAL_ASSERT(buf.len == bytes.len);
    KAL_ASSERT(kal_row_open(layout, kal_buf_bytes(&buf), &again, NULL) == KAL_OK);
    for (size_t i = 0; i < layout->column_count; i++) {
        kal_value v;
        kal_row_get(&again, i, &v);
        KAL_ASSERT(v.is_null == values[i].is_null);
        KAL_ASSERT(kal_value_identical(&v, &values[i]));
    }
    kal_buf_release(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kal_bytes input = kal_bytes_of(data, size);
    kal_type types[COLUMNS_MAX];
    kal_row_layout layout;
    kal_arena arena;
    kal_arena_init(&arena, NULL);
    size_t count = take_types(&input, types);
    kal_row_layout_init(&layout, types, count, &arena);
    check_row(&layout, input);
    kal_arena_release(&arena);
    return 0;
}
