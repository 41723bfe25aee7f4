#include "types/row.h"
#include "unit/types/random_value.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { COLUMNS_MAX = 1600 };

typedef struct fixture {
    kal_rng rng;
    kal_arena arena;
    kal_buf buf;
    kal_row_layout layout;
    kal_type types[COLUMNS_MAX];
    kal_value values[COLUMNS_MAX];
    size_t count;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    memset(&f, 0, sizeof f);
    test_seed_rng(&f.rng);
    kal_arena_init(&f.arena, NULL);
    kal_buf_init(&f.buf, NULL);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    kal_arena_release(&f->arena);
    kal_buf_release(&f->buf);
    return 0;
}

static void encode_row(fixture *f, uint32_t version, uint64_t seq)
{
    kal_error err = KAL_ERROR_INIT;
    kal_row_layout_init(&f->layout, f->types, f->count, &f->arena);
    kal_buf_clear(&f->buf);
    assert_int_equal(kal_row_encode(&f->layout, version, seq, f->values, &f->buf, &err), KAL_OK);
}

/* A row of random types, NULLs and values, encoded. */
static void make_random_row(fixture *f, size_t count)
{
    f->count = count;
    for (size_t i = 0; i < count; i++) {
        f->types[i] = random_type(&f->rng);
        f->values[i] = random_value_or_null(&f->rng, f->types[i], &f->arena);
    }
    encode_row(f, 7, UINT64_C(0x1122334455667788));
}

/* Opens an exact copy of the bytes and compares every column bit by bit, from the last to the
 * first, since no column may depend on another having been read. */
static void check_row(fixture *f)
{
    uint8_t *copy = test_exact_copy(f->buf.ptr, f->buf.len);
    kal_row row;
    kal_error err = KAL_ERROR_INIT;
    assert_int_equal(kal_row_open(&f->layout, kal_bytes_of(copy, f->buf.len), &row, &err), KAL_OK);
    assert_string_equal(err.message, "");
    for (size_t i = f->count; i-- > 0;) {
        kal_value v;
        kal_row_get(&row, i, &v);
        assert_true(kal_type_equal(v.type, f->types[i]));
        assert_int_equal(v.is_null, f->values[i].is_null);
        assert_true(kal_value_identical(&v, &f->values[i]));
    }
    free(copy);
}

/* Reads every byte that a row hands out, so that ASan sees one outside. */
static void touch(const kal_row *row, size_t count)
{
    volatile uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        kal_value v;
        kal_row_get(row, i, &v);
        if (v.is_null || !kal_type_is_bytes(v.type))
            continue;
        for (size_t k = 0; k < v.bytes.len; k++)
            sum += v.bytes.ptr[k];
        if (v.type.tag == KAL_TYPE_EMBEDDING)
            assert_int_equal(v.bytes.len, (size_t)v.type.dim * sizeof(float));
    }
}

/* The stored form byte by byte: header, bitmap, fixed part, ends, bytes. */
static void test_bytes(void **state)
{
    fixture *f = *state;
    f->count = 5;
    f->types[0] = kal_type_of(KAL_TYPE_INT);
    f->types[1] = kal_type_of(KAL_TYPE_TEXT);
    f->types[2] = kal_type_of(KAL_TYPE_SMALLINT);
    f->types[3] = kal_type_embedding(1);
    f->types[4] = kal_type_of(KAL_TYPE_BYTES);
    f->values[0] = kal_value_integer(KAL_TYPE_INT, 258);
    f->values[1] = kal_value_text(KAL_STR("ab"));
    f->values[2] = kal_value_null(f->types[2]);
    f->values[3] = kal_value_null(f->types[3]);
    f->values[4] = kal_value_bytes(f->types[4], KAL_STR("\xFF"));
    encode_row(f, 3, 9);
    static const uint8_t EXPECTED[] = {3, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0x0C, 2, 1,   0,   0,
                                       0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0,    0, 'a', 'b', 0xFF};
    assert_int_equal(f->buf.len, sizeof EXPECTED);
    assert_memory_equal(f->buf.ptr, EXPECTED, sizeof EXPECTED);
    check_row(f);
}

/* Every type x extremes, random values and NULL round-trips alone in a row, bit by bit. */
static void test_every_type(void **state)
{
    fixture *f = *state;
    f->count = 1;
    for (size_t i = 0; test_type_at(i, &f->types[0]); i++) {
        for (size_t k = 0; test_extreme_value(f->types[0], k, &f->arena, &f->values[0]); k++) {
            encode_row(f, 1, k);
            check_row(f);
        }
        for (size_t k = 0; k < 20; k++) {
            f->values[0] = random_value_or_null(&f->rng, f->types[0], &f->arena);
            encode_row(f, 1, k);
            check_row(f);
        }
        kal_arena_reset(&f->arena);
    }
}

/* Random rows of up to 40 columns round-trip; so does the empty row, and one of 1,600 columns. */
static void test_random_rows(void **state)
{
    fixture *f = *state;
    for (unsigned i = 0; i < 1000; i++) {
        make_random_row(f, kal_rng_below(&f->rng, 41));
        check_row(f);
        kal_arena_reset(&f->arena);
    }
    make_random_row(f, COLUMNS_MAX);
    check_row(f);
    for (size_t i = 0; i < COLUMNS_MAX; i++)
        f->values[i] = kal_value_null(f->types[i]);
    encode_row(f, 1, 1);
    check_row(f);
}

/* Rows append behind what is in the buffer and can be opened there. */
static void test_append(void **state)
{
    fixture *f = *state;
    make_random_row(f, 10);
    size_t len = f->buf.len;
    assert_int_equal(kal_row_encode(&f->layout, 8, 5, f->values, &f->buf, NULL), KAL_OK);
    assert_int_equal(f->buf.len, 2 * len);
    kal_row row;
    assert_int_equal(kal_row_open(&f->layout, kal_bytes_of(f->buf.ptr + len, len), &row, NULL),
                     KAL_OK);
    assert_int_equal(row.schema_version, 8);
    assert_int_equal(row.seq, 5);
}

/* The header is readable without a layout, and seq can be written in place. */
static void test_header(void **state)
{
    fixture *f = *state;
    uint32_t version = 0;
    uint64_t seq = 0;
    make_random_row(f, 5);
    assert_int_equal(kal_row_peek(kal_buf_bytes(&f->buf), &version, &seq, NULL), KAL_OK);
    assert_int_equal(version, 7);
    assert_true(seq == UINT64_C(0x1122334455667788));
    kal_row_set_seq(f->buf.ptr, UINT64_MAX);
    assert_int_equal(kal_row_peek(kal_buf_bytes(&f->buf), &version, &seq, NULL), KAL_OK);
    assert_int_equal(version, 7);
    assert_true(seq == UINT64_MAX);
    check_row(f);
    for (size_t len = 0; len < KAL_ROW_HEADER_BYTES; len++) {
        kal_error err = KAL_ERROR_INIT;
        kal_bytes bytes = kal_bytes_of(f->buf.ptr, len);
        assert_int_equal(kal_row_peek(bytes, &version, &seq, &err), KAL_CORRUPT);
    }
}

/* No truncation and no extension of a row opens. */
static void test_truncations(void **state)
{
    fixture *f = *state;
    for (unsigned i = 0; i < 100; i++) {
        make_random_row(f, 1 + kal_rng_below(&f->rng, 20));
        for (size_t cut = 0; cut < f->buf.len; cut = test_next_cut(&f->rng, cut, f->buf.len)) {
            uint8_t *copy = test_exact_copy(f->buf.ptr, cut);
            kal_row row;
            kal_error err = KAL_ERROR_INIT;
            assert_int_equal(kal_row_open(&f->layout, kal_bytes_of(copy, cut), &row, &err),
                             KAL_CORRUPT);
            assert_true(err.message[0] != '\0');
            free(copy);
        }
        kal_row row;
        kal_buf_append_byte(&f->buf, 0);
        assert_int_equal(kal_row_open(&f->layout, kal_buf_bytes(&f->buf), &row, NULL), KAL_CORRUPT);
        kal_arena_reset(&f->arena);
    }
}

/* A damaged row is refused, or all its columns can be read without leaving it. */
static void test_mutations(void **state)
{
    fixture *f = *state;
    size_t refused = 0;
    for (unsigned i = 0; i < 20000; i++) {
        if (i % 10 == 0) {
            kal_arena_reset(&f->arena);
            make_random_row(f, 1 + kal_rng_below(&f->rng, 20));
        }
        uint8_t *copy = test_exact_copy(f->buf.ptr, f->buf.len);
        random_mutate(&f->rng, copy, f->buf.len);
        kal_row row;
        kal_status status = kal_row_open(&f->layout, kal_bytes_of(copy, f->buf.len), &row, NULL);
        if (status == KAL_OK)
            touch(&row, f->count);
        else
            refused++;
        assert_true(status == KAL_OK || status == KAL_CORRUPT);
        free(copy);
    }
    assert_true(refused > 1000);
}

/* A row opened with the layout of other columns is refused or read without leaving it: a mix-up of
 * versions must not become a crash. */
static void test_wrong_layout(void **state)
{
    fixture *f = *state;
    for (unsigned i = 0; i < 2000; i++) {
        make_random_row(f, 1 + kal_rng_below(&f->rng, 12));
        size_t count = kal_rng_below(&f->rng, 12);
        kal_row_layout other;
        for (size_t k = 0; k < count; k++)
            f->types[k] = random_type(&f->rng);
        kal_row_layout_init(&other, f->types, count, &f->arena);
        uint8_t *copy = test_exact_copy(f->buf.ptr, f->buf.len);
        kal_row row;
        if (kal_row_open(&other, kal_bytes_of(copy, f->buf.len), &row, NULL) == KAL_OK)
            touch(&row, count);
        free(copy);
        kal_arena_reset(&f->arena);
    }
}

/* Each check of kal_row_open() by one damage made for it. */
static void test_open_checks(void **state)
{
    fixture *f = *state;
    kal_row row;
    f->count = 3;
    f->types[0] = kal_type_of(KAL_TYPE_TEXT);
    f->types[1] = kal_type_embedding(2);
    f->types[2] = kal_type_of(KAL_TYPE_TEXT);
    f->values[0] = kal_value_text(KAL_STR("abc"));
    f->values[1] = kal_value_bytes(f->types[1], test_embedding_of(1, 2, &f->arena));
    f->values[2] = kal_value_text(KAL_STR("xyz"));
    encode_row(f, 1, 1);
    uint8_t *ends = f->buf.ptr + KAL_ROW_HEADER_BYTES + 1;
    static const uint32_t GOOD[] = {3, 11, 14};
    static const uint32_t BAD[][3] = {
        {4, 11, 14},  /* the embedding is short */
        {3, 3, 14},   /* an embedding of nothing that is not NULL */
        {3, 11, 13},  /* bytes behind the last column */
        {3, 11, 15},  /* beyond the row */
        {14, 11, 14}, /* descending */
        {3, 11, UINT32_MAX}, {UINT32_MAX, 11, 14},
    };
    for (size_t k = 0; k < 3; k++)
        assert_int_equal(kal_load_le32(ends + 4 * k), GOOD[k]);
    for (size_t i = 0; i < KAL_ARRAY_LEN(BAD); i++) {
        for (size_t k = 0; k < 3; k++)
            kal_store_le32(ends + 4 * k, BAD[i][k]);
        assert_int_equal(kal_row_open(&f->layout, kal_buf_bytes(&f->buf), &row, NULL), KAL_CORRUPT);
    }
    for (size_t k = 0; k < 3; k++)
        kal_store_le32(ends + 4 * k, GOOD[k]);
    check_row(f);
    f->buf.ptr[KAL_ROW_HEADER_BYTES] = 0x01; /* a NULL that has bytes */
    assert_int_equal(kal_row_open(&f->layout, kal_buf_bytes(&f->buf), &row, NULL), KAL_CORRUPT);
    f->buf.ptr[KAL_ROW_HEADER_BYTES] = 0x08; /* a fourth column is NULL */
    assert_int_equal(kal_row_open(&f->layout, kal_buf_bytes(&f->buf), &row, NULL), KAL_CORRUPT);
}

/* Too large is an error before anything is copied: by total, by overflow of the sum, by budget. The
 * buffer keeps what it had. */
static void test_limits(void **state)
{
    fixture *f = *state;
    kal_error err = KAL_ERROR_INIT;
    f->count = 2;
    f->types[0] = f->types[1] = kal_type_of(KAL_TYPE_TEXT);
    kal_row_layout_init(&f->layout, f->types, f->count, &f->arena);
    f->values[0] = kal_value_text(kal_bytes_of("x", (size_t)1 << 31)); /* never read */
    f->values[1] = kal_value_text(KAL_STR(""));
    assert_int_equal(kal_row_encode(&f->layout, 1, 1, f->values, &f->buf, &err), KAL_LIMIT);
    assert_string_equal(err.message,
                        "row of 2147483669 bytes exceeds the limit of 2147483648 bytes");
    f->values[0].bytes.len = f->values[1].bytes.len = SIZE_MAX / 2;
    assert_int_equal(kal_row_encode(&f->layout, 1, 1, f->values, &f->buf, &err), KAL_LIMIT);
    assert_false(kal_buf_failed(&f->buf));

    kal_budget budget;
    kal_buf small;
    kal_budget_init(&budget, NULL, 4096);
    kal_buf_init(&small, &budget);
    kal_buf_append_byte(&small, 1);
    f->values[0] = kal_value_text(test_fill('x', 8192, &f->arena));
    f->values[1] = kal_value_text(KAL_STR(""));
    assert_int_equal(kal_row_encode(&f->layout, 1, 1, f->values, &small, &err), KAL_LIMIT);
    assert_string_equal(err.message, "row of 8213 bytes exceeds the memory limit");
    assert_int_equal(small.len, 1);
    kal_buf_release(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_type, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_random_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_append, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_header, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_truncations, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mutations, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_layout, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_open_checks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
