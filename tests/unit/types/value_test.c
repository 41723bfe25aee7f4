#include "types/value.h"
#include "unit/types/random_value.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct fixture {
    kal_rng rng;
    kal_arena arena;
    kal_buf buf;
} fixture;

static int set_up(void **state)
{
    static fixture f;
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

/* Encodes, decodes from an exact copy followed by one foreign byte, compares bit by bit. */
static void check_round_trip(fixture *f, const kal_value *v)
{
    kal_value back;
    kal_error err = KAL_ERROR_INIT;
    kal_buf_clear(&f->buf);
    kal_value_encode(v, &f->buf);
    kal_buf_append_byte(&f->buf, 0xEE);
    assert_false(kal_buf_failed(&f->buf));
    uint8_t *copy = test_exact_copy(f->buf.ptr, f->buf.len);
    kal_bytes input = kal_bytes_of(copy, f->buf.len);
    kal_status status = kal_value_decode(&input, &back, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(status, KAL_OK);
    assert_int_equal(input.len, 1);
    assert_true(kal_value_identical(v, &back));
    if (!v->is_null)
        assert_true(kal_type_equal(v->type, back.type));
    free(copy);
}

/* Cuts the encoding everywhere, or at samples when it is long: an error that takes nothing. */
static void check_truncations(fixture *f, const kal_value *v)
{
    kal_buf_clear(&f->buf);
    kal_value_encode(v, &f->buf);
    for (size_t cut = 0; cut < f->buf.len; cut = test_next_cut(&f->rng, cut, f->buf.len)) {
        kal_value back;
        kal_error err = KAL_ERROR_INIT;
        uint8_t *copy = test_exact_copy(f->buf.ptr, cut);
        kal_bytes input = kal_bytes_of(copy, cut);
        assert_int_equal(kal_value_decode(&input, &back, &err), KAL_CORRUPT);
        assert_true(back.is_null);
        assert_int_equal(input.len, cut);
        assert_true(err.message[0] != '\0');
        free(copy);
    }
}

/* Every type x its extremes and random values survives the wire bit by bit, and no truncation is
 * taken for a value. */
static void test_wire_round_trip(void **state)
{
    fixture *f = *state;
    kal_type type;
    for (size_t i = 0; test_type_at(i, &type); i++) {
        kal_value v;
        for (size_t k = 0; test_extreme_value(type, k, &f->arena, &v); k++) {
            assert_int_equal(kal_value_validate(&v, NULL), KAL_OK);
            check_round_trip(f, &v);
            check_truncations(f, &v);
        }
        for (size_t k = 0; k < 40; k++) {
            v = random_value(&f->rng, type, &f->arena);
            assert_int_equal(kal_value_validate(&v, NULL), KAL_OK);
            check_round_trip(f, &v);
            check_truncations(f, &v);
        }
        v = kal_value_null(type);
        check_round_trip(f, &v);
        kal_arena_reset(&f->arena);
    }
}

/* Bits that no text keeps: NaN of every payload, the infinities of the time types. */
static void test_wire_bits(void **state)
{
    fixture *f = *state;
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t bits = kal_rng_next(&f->rng) | UINT64_C(0x7FF0000000000001);
        uint32_t bits32 = (uint32_t)kal_rng_next(&f->rng) | 0x7F800001u;
        kal_value d = kal_value_double(0);
        kal_value s = kal_value_float(0);
        memcpy(&d.f64, &bits, sizeof bits);
        memcpy(&s.f32, &bits32, sizeof bits32);
        check_round_trip(f, &d);
        check_round_trip(f, &s);
    }
    for (int sign = -1; sign <= 1; sign += 2) {
        kal_value date = kal_value_integer(KAL_TYPE_DATE, sign * (int64_t)INT32_MAX);
        kal_value timestamp = kal_value_integer(KAL_TYPE_TIMESTAMP, sign * INT64_MAX);
        kal_value datetime = kal_value_integer(KAL_TYPE_DATETIME, sign * INT64_MAX);
        check_round_trip(f, &date);
        check_round_trip(f, &timestamp);
        check_round_trip(f, &datetime);
    }
}

/* Damaged encodings are an error or another valid value whose encoding is exactly the bytes that
 * were taken; nothing is read out of bounds (ASan). */
static void test_wire_mutations(void **state)
{
    fixture *f = *state;
    size_t refused = 0;
    size_t accepted = 0;
    for (unsigned i = 0; i < 30000; i++) {
        kal_value v = random_value_or_null(&f->rng, random_type(&f->rng), &f->arena);
        kal_buf_clear(&f->buf);
        kal_value_encode(&v, &f->buf);
        size_t len = f->buf.len;
        uint8_t *copy = test_exact_copy(f->buf.ptr, len);
        random_mutate(&f->rng, copy, len);
        kal_bytes input = kal_bytes_of(copy, len);
        kal_value back;
        kal_status status = kal_value_decode(&input, &back, NULL);
        if (status == KAL_OK) {
            accepted++;
            assert_int_equal(kal_value_validate(&back, NULL), KAL_OK);
            kal_buf_clear(&f->buf);
            kal_value_encode(&back, &f->buf);
            assert_int_equal(f->buf.len, len - input.len);
            assert_memory_equal(f->buf.ptr, copy, f->buf.len);
        } else {
            refused++;
            assert_int_equal(status, KAL_CORRUPT);
            assert_int_equal(input.len, len);
        }
        free(copy);
        kal_arena_reset(&f->arena);
    }
    assert_true(refused > 1000);
    assert_true(accepted > 1000);
}

/* The wire form byte by byte, as the documentation gives it. */
static void test_wire_bytes(void **state)
{
    fixture *f = *state;
    float floats[2] = {1.0f, -0.0f};
    uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    const struct {
        kal_value v;
        kal_bytes expected;
    } table[] = {
        {kal_value_null(kal_type_of(KAL_TYPE_TEXT)), KAL_STR("\x00")},
        {kal_value_null(kal_type_of(KAL_TYPE_NULL)), KAL_STR("\x00")},
        {kal_value_boolean(true), KAL_STR("\x01\x01")},
        {kal_value_integer(KAL_TYPE_INT, -2), KAL_STR("\x02\xFE\xFF\xFF\xFF")},
        {kal_value_bigint(258), KAL_STR("\x03\x02\x01\0\0\0\0\0\0")},
        {kal_value_double(1), KAL_STR("\x04\0\0\0\0\0\0\xF0\x3F")},
        {kal_value_float(1), KAL_STR("\x05\0\0\x80\x3F")},
        {kal_value_text(KAL_STR("h\xC3\xA9")), KAL_STR("\x06\x03\0\0\0h\xC3\xA9")},
        {kal_value_integer(KAL_TYPE_TIMESTAMP, -1),
         KAL_STR("\x07\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF")},
        {kal_value_integer(KAL_TYPE_DATE, 1), KAL_STR("\x08\x01\0\0\0")},
        {kal_value_integer(KAL_TYPE_DATETIME, 1), KAL_STR("\x09\x01\0\0\0\0\0\0\0")},
        {kal_value_integer(KAL_TYPE_TIME, 1), KAL_STR("\x0A\x01\0\0\0\0\0\0\0")},
        {kal_value_bytes(kal_type_of(KAL_TYPE_JSON), KAL_STR("{}")), KAL_STR("\x0B\x02\0\0\0{}")},
        {kal_value_bytes(kal_type_of(KAL_TYPE_BYTES), KAL_STR("\xFF")),
         KAL_STR("\x0C\x01\0\0\0\xFF")},
        {kal_value_bytes(kal_type_embedding(2), kal_bytes_of(floats, sizeof floats)),
         KAL_STR("\x0D\x02\0\0\0\0\0\x80\x3F\0\0\0\x80")},
        {kal_value_bytes(kal_type_of(KAL_TYPE_UUID), kal_bytes_of(uuid, sizeof uuid)),
         KAL_STR("\x0E\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20")},
        {kal_value_decimal(kal_type_decimal(10, 2), -1),
         KAL_STR("\x0F\x0A\x02\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF")},
        {kal_value_integer(KAL_TYPE_SMALLINT, 258), KAL_STR("\x10\x02\x01")},
        {kal_value_bytes(kal_type_of(KAL_TYPE_FILE), KAL_STR("{}")), KAL_STR("\x11\x02\0\0\0{}")},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(table); i++) {
        kal_buf_clear(&f->buf);
        kal_value_encode(&table[i].v, &f->buf);
        assert_int_equal(f->buf.len, table[i].expected.len);
        assert_memory_equal(f->buf.ptr, table[i].expected.ptr, f->buf.len);
    }
}

/* Malformed wire input of each kind is KAL_CORRUPT with a message that names the trouble. */
static void test_wire_malformed(void **state)
{
    (void)state;
    static const struct {
        kal_bytes input;
        const char *message;
    } TABLE[] = {
        {{0}, "encoded type is cut short"},
        {KAL_STR("\x12"), "unknown type tag 0x12"},
        {KAL_STR("\xFF"), "unknown type tag 0xFF"},
        {KAL_STR("\x01\x02"), "encoded BOOLEAN is 2, not 0 or 1"},
        {KAL_STR("\x02\x00"), "encoded INT is cut short"},
        {KAL_STR("\x06\xFF\xFF\xFF\xFFxx"), "encoded TEXT is cut short"},
        {KAL_STR("\x06\x01\0\0\0\xFF"), "TEXT is not valid UTF-8"},
        {KAL_STR("\x06\x03\0\0\0\xED\xA0\x80"), "TEXT is not valid UTF-8"},
        {KAL_STR("\x0B\x01\0\0\0\xC3"), "JSON is not valid UTF-8"},
        {KAL_STR("\x08\0\0\0\x80"), "value is out of range for DATE"},
        {KAL_STR("\x07\0\0\0\0\0\0\0\x80"), "value is out of range for TIMESTAMP"},
        {KAL_STR("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), "value is out of range for TIME"},
        {KAL_STR("\x0A\x01\x60\xE5\x1D\x14\0\0\0"), "value is out of range for TIME"}, /* max + 1 */
        {KAL_STR("\x0D\0\0\0\0"), "EMBEDDING dimension must be between 1 and 8192, got: 0"},
        {KAL_STR("\x0D\x01\x20\0\0"), "EMBEDDING dimension must be between 1 and 8192, got: 8193"},
        {KAL_STR("\x0F\0\0"), "DECIMAL precision must be between 1 and 38, got: 0"},
        {KAL_STR("\x0F\x27\0"), "DECIMAL precision must be between 1 and 38, got: 39"},
        {KAL_STR("\x0F\x01\x02"), "DECIMAL scale must be between 0 and its precision 1, got: 2"},
        {KAL_STR("\x0F\x01\0\x0A\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
         "value is out of range for DECIMAL(1,0)"},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        kal_bytes input = TABLE[i].input;
        kal_value v;
        kal_error err = KAL_ERROR_INIT;
        assert_int_equal(kal_value_decode(&input, &v, &err), KAL_CORRUPT);
        assert_string_equal(err.message, TABLE[i].message);
        assert_int_equal(input.len, TABLE[i].input.len);
    }
}

/* What a value must not be is refused by name; the neighbours within range are not. */
static void test_validate(void **state)
{
    (void)state;
    kal_value v = kal_value_integer(KAL_TYPE_SMALLINT, 40000);
    kal_error err = KAL_ERROR_INIT;
    assert_int_equal(kal_value_validate(&v, &err), KAL_INVALID);
    assert_string_equal(err.message, "value is out of range for SMALLINT");
    static const struct {
        kal_type_tag tag;
        int64_t good, bad;
    } RANGES[] = {
        {KAL_TYPE_SMALLINT, 32767, 32768},
        {KAL_TYPE_SMALLINT, -32768, -32769},
        {KAL_TYPE_INT, INT32_MAX, (int64_t)INT32_MAX + 1},
        {KAL_TYPE_INT, INT32_MIN, (int64_t)INT32_MIN - 1},
        {KAL_TYPE_DATE, INT32_MAX, (int64_t)INT32_MAX + 1},
        {KAL_TYPE_DATE, -INT32_MAX, INT32_MIN},
        {KAL_TYPE_TIME, 0, -1},
        {KAL_TYPE_TIME, INT64_C(86400000000), INT64_C(86400000001)},
        {KAL_TYPE_TIMESTAMP, -INT64_MAX, INT64_MIN},
        {KAL_TYPE_DATETIME, TEST_TIMESTAMP_MIN, TEST_TIMESTAMP_MIN - 1},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(RANGES); i++) {
        kal_value good = kal_value_integer(RANGES[i].tag, RANGES[i].good);
        kal_value bad = kal_value_integer(RANGES[i].tag, RANGES[i].bad);
        assert_int_equal(kal_value_validate(&good, NULL), KAL_OK);
        assert_int_equal(kal_value_validate(&bad, NULL), KAL_INVALID);
    }
    v = kal_value_decimal(kal_type_decimal(2, 1), 99);
    assert_int_equal(kal_value_validate(&v, NULL), KAL_OK);
    v.decimal = 100;
    assert_int_equal(kal_value_validate(&v, NULL), KAL_INVALID);
    v.decimal = -100;
    assert_int_equal(kal_value_validate(&v, NULL), KAL_INVALID);
    v = kal_value_bytes(kal_type_of(KAL_TYPE_UUID), KAL_STR("short"));
    assert_int_equal(kal_value_validate(&v, NULL), KAL_INVALID);
    static const uint8_t NUMBERS[385 * sizeof(float)];
    v = kal_value_bytes(kal_type_embedding(384), kal_bytes_of(NUMBERS, sizeof NUMBERS));
    assert_int_equal(kal_value_validate(&v, &err), KAL_INVALID);
    assert_string_equal(err.message, "expected an embedding of 384 numbers, got 385");
    v = kal_value_text(KAL_STR("\xC0\x80"));
    assert_int_equal(kal_value_validate(&v, NULL), KAL_INVALID);
    v = kal_value_null(kal_type_of(KAL_TYPE_NULL));
    assert_int_equal(kal_value_validate(&v, NULL), KAL_OK);
    v.is_null = false;
    assert_int_equal(kal_value_validate(&v, NULL), KAL_INVALID);
    v = kal_value_null(kal_type_embedding(0));
    assert_int_equal(kal_value_validate(&v, NULL), KAL_INVALID);
}

/* Identity is of bits and types; SQL's equality is not. */
static void test_identical(void **state)
{
    (void)state;
    kal_value zero = kal_value_double(0.0);
    kal_value minus_zero = kal_value_double(-0.0);
    kal_value nan = kal_value_double((double)NAN);
    kal_value other_nan = nan;
    uint64_t bits = UINT64_C(0x7FF8000000000001);
    memcpy(&other_nan.f64, &bits, sizeof bits);
    assert_true(kal_value_identical(&zero, &zero));
    assert_false(kal_value_identical(&zero, &minus_zero));
    assert_true(kal_value_identical(&nan, &nan));
    assert_false(kal_value_identical(&nan, &other_nan));
    kal_value a = kal_value_integer(KAL_TYPE_INT, 1);
    kal_value b = kal_value_bigint(1);
    assert_false(kal_value_identical(&a, &b));
    a = kal_value_null(kal_type_of(KAL_TYPE_INT));
    assert_false(kal_value_identical(&a, &b));
    b = kal_value_null(kal_type_of(KAL_TYPE_TEXT));
    assert_true(kal_value_identical(&a, &b));
    a = kal_value_text(KAL_STR("x"));
    b = kal_value_bytes(kal_type_of(KAL_TYPE_JSON), KAL_STR("x"));
    assert_false(kal_value_identical(&a, &b));
}

static int sign(int v)
{
    return (v > 0) - (v < 0);
}

static void check_order(const kal_value *a, const kal_value *b, int expected)
{
    assert_int_equal(sign(kal_value_compare(a, b)), expected);
    assert_int_equal(sign(kal_value_compare(b, a)), -expected);
}

/* Known orders, DuckDB's: NaN, zeros, text by bytes, embeddings element by element. */
static void test_compare(void **state)
{
    fixture *f = *state;
    static const double ASCENDING[] = {
        -(double)INFINITY, -1e300, -5e-324, 0.0, 5e-324, 1.0, 1e300, (double)INFINITY, (double)NAN};
    for (size_t i = 0; i < KAL_ARRAY_LEN(ASCENDING); i++) {
        for (size_t k = 0; k < KAL_ARRAY_LEN(ASCENDING); k++) {
            int expected = (i > k) - (i < k);
            kal_value a = kal_value_double(ASCENDING[i]);
            kal_value b = kal_value_double(ASCENDING[k]);
            check_order(&a, &b, expected);
        }
    }
    static const float FLOATS[] = {-INFINITY, -FLT_MAX, -1e-45f, 0.0f, 1e-45f, 1, INFINITY, NAN};
    for (size_t i = 0; i < KAL_ARRAY_LEN(FLOATS); i++) {
        for (size_t k = 0; k < KAL_ARRAY_LEN(FLOATS); k++) {
            kal_type type = kal_type_embedding(2);
            int expected = (i > k) - (i < k);
            kal_value a = kal_value_float(FLOATS[i]);
            kal_value b = kal_value_float(FLOATS[k]);
            check_order(&a, &b, expected);
            a = kal_value_bytes(type, test_embedding_of(FLOATS[i], 2, &f->arena));
            b = kal_value_bytes(type, test_embedding_of(FLOATS[k], 2, &f->arena));
            check_order(&a, &b, expected);
        }
    }
    kal_value a = kal_value_double(0.0);
    kal_value b = kal_value_double(-0.0);
    check_order(&a, &b, 0);
    a = kal_value_float(-NAN);
    b = kal_value_float(NAN);
    check_order(&a, &b, 0);
    a = kal_value_boolean(false);
    b = kal_value_boolean(true);
    check_order(&a, &b, -1);
    a = kal_value_text(KAL_STR("a"));
    b = kal_value_text(KAL_STR("a\0"));
    check_order(&a, &b, -1);
    b = kal_value_text(KAL_STR("\xC3\xA9"));
    check_order(&a, &b, -1);
    a = kal_value_bigint(INT64_MIN);
    b = kal_value_bigint(INT64_MAX);
    check_order(&a, &b, -1);
    float left[3] = {1, -0.0f, 5};
    float right[3] = {1, 0.0f, 4};
    a = kal_value_bytes(kal_type_embedding(3), kal_bytes_of(left, sizeof left));
    b = kal_value_bytes(kal_type_embedding(3), kal_bytes_of(right, sizeof right));
    check_order(&a, &b, 1);
}

/* DECIMALs of two scales compare as numbers, also where the common scale exceeds 128 bits: v/10^s
 * is compared with itself at another scale, with its neighbours, and with random others by long
 * division. */
static void test_compare_decimal(void **state)
{
    fixture *f = *state;
    for (unsigned i = 0; i < 20000; i++) {
        unsigned shift = (unsigned)kal_rng_below(&f->rng, 39);
        unsigned digits = 38 - shift;
        kal_i128 v = digits == 0 ? 0 : random_decimal(&f->rng, digits);
        kal_value a = kal_value_decimal(kal_type_decimal(38, 0), v);
        kal_value b = kal_value_decimal(kal_type_decimal(38, shift), v * test_pow10(shift));
        check_order(&a, &b, 0);
        b.decimal += 1;
        check_order(&a, &b, -1);
        b.decimal -= 2;
        check_order(&a, &b, 1);

        unsigned sa = (unsigned)kal_rng_below(&f->rng, 39);
        unsigned sb = (unsigned)kal_rng_below(&f->rng, 39);
        a = kal_value_decimal(kal_type_decimal(38, sa), random_decimal(&f->rng, 38));
        b = kal_value_decimal(kal_type_decimal(38, sb), random_decimal(&f->rng, 38));
        kal_i128 whole_a = a.decimal / test_pow10(sa);
        kal_i128 whole_b = b.decimal / test_pow10(sb);
        if (whole_a != whole_b)
            check_order(&a, &b, whole_a < whole_b ? -1 : 1);
    }
    kal_value a = kal_value_decimal(kal_type_decimal(38, 0), test_pow10(38) - 1);
    kal_value b = kal_value_decimal(kal_type_decimal(38, 38), test_pow10(38) - 1);
    check_order(&a, &b, 1);
    a.decimal = -a.decimal;
    check_order(&a, &b, -1);
    a.decimal = 1;
    check_order(&a, &b, 1);
}

static int compare_for_qsort(const void *a, const void *b)
{
    return kal_value_compare(a, b);
}

/* Compare is a total preorder on every type: random values and extremes, sorted, are pairwise in
 * order, which a non-transitive comparison would break. */
static void test_compare_total(void **state)
{
    fixture *f = *state;
    enum { COUNT = 48 };
    static kal_value values[COUNT + 24];
    kal_type type;
    for (size_t i = 0; test_type_at(i, &type); i++) {
        size_t count = 0;
        while (count < 24 && test_extreme_value(type, count, &f->arena, &values[count]))
            count++;
        for (size_t k = 0; k < COUNT; k++)
            values[count++] = random_value(&f->rng, type, &f->arena);
        qsort(values, count, sizeof values[0], compare_for_qsort);
        for (size_t a = 0; a < count; a++) {
            for (size_t b = a; b < count; b++) {
                int order = kal_value_compare(&values[a], &values[b]);
                assert_true(order <= 0);
                assert_int_equal(sign(kal_value_compare(&values[b], &values[a])), -sign(order));
            }
        }
        kal_arena_reset(&f->arena);
    }
}

/* A copy is identical and independent; a budget that is too small refuses instead of crashing. */
static void test_copy(void **state)
{
    fixture *f = *state;
    kal_type type;
    for (size_t i = 0; test_type_at(i, &type); i++) {
        kal_value v = random_value(&f->rng, type, &f->arena);
        kal_value copy;
        assert_true(kal_value_copy(&v, &f->arena, &copy));
        assert_true(kal_value_identical(&v, &copy));
        if (kal_type_is_bytes(type) && v.bytes.len > 0)
            assert_ptr_not_equal(v.bytes.ptr, copy.bytes.ptr);
    }
    kal_budget budget;
    kal_arena small;
    kal_value copy;
    kal_budget_init(&budget, NULL, 4096);
    kal_arena_init(&small, &budget);
    kal_value large = kal_value_text(test_fill('x', 8192, &f->arena));
    assert_false(kal_value_copy(&large, &small, &copy));
    kal_value null = kal_value_null(kal_type_of(KAL_TYPE_TEXT));
    assert_true(kal_value_copy(&null, &small, &copy));
    assert_true(copy.is_null);
    kal_arena_release(&small);
}

/* An output that its budget refuses is failed, not short. */
static void test_encode_budget(void **state)
{
    fixture *f = *state;
    kal_budget budget;
    kal_buf small;
    kal_budget_init(&budget, NULL, 1024);
    kal_buf_init(&small, &budget);
    kal_value v = kal_value_text(test_fill('x', 8192, &f->arena));
    kal_value_encode(&v, &small);
    assert_true(kal_buf_failed(&small));
    kal_buf_clear(&small);
    v.bytes.len = (size_t)UINT32_MAX + 1; /* never read: its length has no wire form */
    kal_value_encode(&v, &small);
    assert_true(kal_buf_failed(&small));
    kal_buf_release(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_wire_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wire_bits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wire_mutations, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wire_bytes, set_up, tear_down),
        cmocka_unit_test(test_wire_malformed),
        cmocka_unit_test(test_validate),
        cmocka_unit_test(test_identical),
        cmocka_unit_test_setup_teardown(test_compare, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_compare_decimal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_compare_total, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_copy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_encode_budget, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
