#include "types/key.h"
#include "unit/types/random_value.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct fixture {
    kal_rng rng;
    kal_arena arena;
    kal_buf a;
    kal_buf b;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    test_seed_rng(&f.rng);
    kal_arena_init(&f.arena, NULL);
    kal_buf_init(&f.a, NULL);
    kal_buf_init(&f.b, NULL);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    kal_arena_release(&f->arena);
    kal_buf_release(&f->a);
    kal_buf_release(&f->b);
    return 0;
}

static int sign(int v)
{
    return (v > 0) - (v < 0);
}

/* memcmp() of the two keys has the sign of the comparison of the values, and neither key is a
 * prefix of the other unless they are the same. */
static void check_keys(const kal_value *a, kal_bytes key_a, const kal_value *b, kal_bytes key_b)
{
    int by_value = sign(kal_value_compare(a, b));
    size_t shared = key_a.len < key_b.len ? key_a.len : key_b.len;
    assert_int_equal(sign(memcmp(key_a.ptr, key_b.ptr, shared)), by_value);
    if (by_value == 0)
        assert_int_equal(key_a.len, key_b.len);
}

static void check_order(fixture *f, const kal_value *a, const kal_value *b)
{
    kal_buf_clear(&f->a);
    kal_buf_clear(&f->b);
    kal_key_append(&f->a, a);
    kal_key_append(&f->b, b);
    check_keys(a, kal_buf_bytes(&f->a), b, kal_buf_bytes(&f->b));
}

static kal_bytes key_of(fixture *f, const kal_value *v)
{
    kal_buf_clear(&f->a);
    kal_key_append(&f->a, v);
    return kal_arena_copy(&f->arena, kal_buf_bytes(&f->a));
}

/* What a key cannot tell: -0.0 reads as 0.0, any NaN as the canonical one. */
static kal_value canonical(const kal_value *v, kal_arena *arena)
{
    kal_value c = *v;
    if (v->type.tag == KAL_TYPE_DOUBLE) {
        c.f64 = isnan(v->f64) ? (double)NAN : v->f64 == 0 ? 0.0 : v->f64;
    } else if (v->type.tag == KAL_TYPE_FLOAT) {
        c.f32 = isnan(v->f32) ? NAN : v->f32 == 0 ? 0.0f : v->f32;
    } else if (v->type.tag == KAL_TYPE_EMBEDDING) {
        uint8_t *p = kal_arena_alloc(arena, v->bytes.len);
        for (size_t i = 0; i < v->bytes.len; i += sizeof(float)) {
            float x;
            memcpy(&x, v->bytes.ptr + i, sizeof x);
            x = isnan(x) ? NAN : x == 0 ? 0.0f : x;
            memcpy(p + i, &x, sizeof x);
        }
        c.bytes = kal_bytes_of(p, v->bytes.len);
    }
    return c;
}

static void check_round_trip(fixture *f, const kal_value *v)
{
    kal_error err = KAL_ERROR_INIT;
    kal_value back;
    kal_value expected = canonical(v, &f->arena);
    kal_buf_clear(&f->a);
    kal_key_append(&f->a, v);
    size_t len = f->a.len;
    kal_buf_append_byte(&f->a, 0xEE);
    uint8_t *copy = test_exact_copy(f->a.ptr, f->a.len);
    kal_bytes input = kal_bytes_of(copy, f->a.len);
    assert_int_equal(kal_key_decode(&input, v->type, &f->arena, &back, &err), KAL_OK);
    free(copy); /* the value lives in the arena */
    assert_int_equal(input.len, 1);
    assert_true(kal_value_identical(&expected, &back));
    assert_int_equal(kal_value_compare(v, &back), 0);
    for (size_t cut = 0; cut < len; cut = test_next_cut(&f->rng, cut, len)) {
        copy = test_exact_copy(f->a.ptr, cut);
        input = kal_bytes_of(copy, cut);
        assert_int_equal(kal_key_decode(&input, v->type, &f->arena, &back, &err), KAL_CORRUPT);
        assert_int_equal(input.len, cut);
        assert_true(back.is_null);
        free(copy);
    }
}

/* Every type: all pairs of its extremes and random values are in the same order as keys and as
 * values, so keys are order-exact, NaN, zeros and infinities included. */
static void test_order(void **state)
{
    fixture *f = *state;
    enum { RANDOM = 24, EXTREMES = 24 };
    static kal_value values[RANDOM + EXTREMES];
    static kal_bytes keys[RANDOM + EXTREMES];
    kal_type type;
    for (size_t i = 0; test_type_at(i, &type); i++) {
        size_t count = 0;
        while (count < EXTREMES && test_extreme_value(type, count, &f->arena, &values[count]))
            count++;
        for (size_t k = 0; k < RANDOM; k++)
            values[count++] = random_value(&f->rng, type, &f->arena);
        for (size_t a = 0; a < count; a++)
            keys[a] = key_of(f, &values[a]);
        for (size_t a = 0; a < count; a++) {
            for (size_t b = 0; b < count; b++)
                check_keys(&values[a], keys[a], &values[b], keys[b]);
        }
        kal_arena_reset(&f->arena);
    }
}

/* Close relatives, where an encoding goes wrong first: neighbours of a number, floats a bit apart,
 * texts over the alphabet of the escape bytes. */
static void test_order_of_neighbours(void **state)
{
    fixture *f = *state;
    for (unsigned i = 0; i < 20000; i++) {
        kal_value a = kal_value_bigint(random_i64(&f->rng));
        kal_value b = kal_value_bigint((int64_t)((uint64_t)a.integer + kal_rng_below(&f->rng, 3)));
        check_order(f, &a, &b);

        a = kal_value_decimal(kal_type_decimal(38, 5), random_decimal(&f->rng, 38));
        b = kal_value_decimal(a.type, a.decimal / 2);
        check_order(f, &a, &b);
        b.decimal = a.decimal - 1;
        check_order(f, &a, &b);

        uint64_t bits = kal_rng_next(&f->rng); /* also NaN with payloads, of both signs */
        a = b = kal_value_double(0);
        memcpy(&a.f64, &bits, sizeof bits);
        bits ^= UINT64_C(1) << kal_rng_below(&f->rng, 64);
        memcpy(&b.f64, &bits, sizeof bits);
        check_order(f, &a, &b);

        static const uint8_t ALPHABET[] = {0x00, 0x01, 0xFE, 0xFF};
        uint8_t left[5];
        uint8_t right[5];
        for (size_t k = 0; k < sizeof left; k++) {
            left[k] = ALPHABET[kal_rng_below(&f->rng, sizeof ALPHABET)];
            right[k] = ALPHABET[kal_rng_below(&f->rng, sizeof ALPHABET)];
        }
        kal_type bytes = kal_type_of(KAL_TYPE_BYTES);
        a = kal_value_bytes(bytes, kal_bytes_of(left, kal_rng_below(&f->rng, 6)));
        b = kal_value_bytes(bytes, kal_bytes_of(right, kal_rng_below(&f->rng, 6)));
        check_order(f, &a, &b);
    }
}

/* Composite keys sort column by column, whatever the types; and decode column by column. */
static void test_composite(void **state)
{
    fixture *f = *state;
    enum { COLUMNS = 3 };
    for (unsigned i = 0; i < 10000; i++) {
        kal_value left[COLUMNS];
        kal_value right[COLUMNS];
        int expected = 0;
        kal_buf_clear(&f->a);
        kal_buf_clear(&f->b);
        for (size_t k = 0; k < COLUMNS; k++) {
            kal_type type = random_type(&f->rng);
            left[k] = random_value(&f->rng, type, &f->arena);
            /* equal columns first, or only the first would ever decide */
            right[k] =
                kal_rng_chance(&f->rng, 2, 3) ? left[k] : random_value(&f->rng, type, &f->arena);
            if (type.tag == KAL_TYPE_DOUBLE && kal_rng_chance(&f->rng, 1, 2)) {
                left[k].f64 = 0.0; /* equal, and different bits */
                right[k].f64 = -0.0;
            }
            kal_key_append(&f->a, &left[k]);
            kal_key_append(&f->b, &right[k]);
            if (expected == 0)
                expected = sign(kal_value_compare(&left[k], &right[k]));
        }
        assert_int_equal(sign(kal_bytes_compare(kal_buf_bytes(&f->a), kal_buf_bytes(&f->b))),
                         expected);
        kal_bytes input = kal_buf_bytes(&f->a);
        for (size_t k = 0; k < COLUMNS; k++) {
            kal_value back;
            assert_int_equal(kal_key_decode(&input, left[k].type, &f->arena, &back, NULL), KAL_OK);
            assert_int_equal(kal_value_compare(&back, &left[k]), 0);
        }
        assert_int_equal(input.len, 0);
        kal_arena_reset(&f->arena);
    }
}

/* Every type comes back from its key, bit by bit where a key keeps the bits; truncations do not. */
static void test_round_trip(void **state)
{
    fixture *f = *state;
    kal_type type;
    for (size_t i = 0; test_type_at(i, &type); i++) {
        kal_value v;
        for (size_t k = 0; test_extreme_value(type, k, &f->arena, &v); k++)
            check_round_trip(f, &v);
        for (size_t k = 0; k < 20; k++) {
            v = random_value(&f->rng, type, &f->arena);
            check_round_trip(f, &v);
        }
        kal_arena_reset(&f->arena);
    }
}

/* A damaged key is KAL_CORRUPT, or the key of another valid value: appended again it gives exactly
 * the bytes that were taken, so no value has two keys. */
static void test_mutations(void **state)
{
    fixture *f = *state;
    size_t refused = 0;
    size_t accepted = 0;
    for (unsigned i = 0; i < 30000; i++) {
        kal_type type = random_type(&f->rng);
        kal_value v = random_value(&f->rng, type, &f->arena);
        kal_buf_clear(&f->a);
        kal_key_append(&f->a, &v);
        size_t len = f->a.len;
        uint8_t *copy = test_exact_copy(f->a.ptr, len);
        random_mutate(&f->rng, copy, len);
        kal_bytes input = kal_bytes_of(copy, len);
        kal_value back;
        kal_status status = kal_key_decode(&input, type, &f->arena, &back, NULL);
        if (status == KAL_OK) {
            accepted++;
            assert_int_equal(kal_value_validate(&back, NULL), KAL_OK);
            kal_buf_clear(&f->a);
            kal_key_append(&f->a, &back);
            assert_int_equal(f->a.len, len - input.len);
            assert_memory_equal(f->a.ptr, copy, f->a.len);
        } else {
            refused++;
            assert_int_equal(status, KAL_CORRUPT);
        }
        free(copy);
        kal_arena_reset(&f->arena);
    }
    assert_true(refused > 1000);
    assert_true(accepted > 1000);
}

/* The encodings byte by byte: they are on disk. */
static void test_bytes(void **state)
{
    fixture *f = *state;
    uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    float floats[2] = {1.0f, -1.0f};
    const struct {
        kal_value v;
        kal_bytes expected;
    } table[] = {
        {kal_value_boolean(true), KAL_STR("\x01")},
        {kal_value_integer(KAL_TYPE_SMALLINT, -1), KAL_STR("\x7F\xFF")},
        {kal_value_integer(KAL_TYPE_INT, 1), KAL_STR("\x80\x00\x00\x01")},
        {kal_value_bigint(INT64_MIN), KAL_STR("\0\0\0\0\0\0\0\0")},
        {kal_value_integer(KAL_TYPE_DATE, 0), KAL_STR("\x80\0\0\0")},
        {kal_value_integer(KAL_TYPE_TIME, 2), KAL_STR("\x80\0\0\0\0\0\0\x02")},
        {kal_value_double(1), KAL_STR("\xBF\xF0\0\0\0\0\0\0")},
        {kal_value_double(-0.0), KAL_STR("\x80\0\0\0\0\0\0\0")},
        {kal_value_double((double)NAN), KAL_STR("\xFF\xF8\0\0\0\0\0\0")},
        {kal_value_float(-1), KAL_STR("\x40\x7F\xFF\xFF")},
        {kal_value_text(KAL_STR("a\0b")), KAL_STR("a\0\xFF"
                                                  "b\0\x01")},
        {kal_value_text(KAL_STR("")), KAL_STR("\0\x01")},
        {kal_value_bytes(kal_type_of(KAL_TYPE_UUID), kal_bytes_of(uuid, 16)),
         KAL_STR("\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20")},
        {kal_value_bytes(kal_type_embedding(2), kal_bytes_of(floats, sizeof floats)),
         KAL_STR("\xBF\x80\0\0\x40\x7F\xFF\xFF")},
        {kal_value_decimal(kal_type_decimal(38, 2), -1),
         KAL_STR("\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF")},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(table); i++) {
        kal_buf_clear(&f->a);
        kal_key_append(&f->a, &table[i].v);
        assert_int_equal(f->a.len, table[i].expected.len);
        assert_memory_equal(f->a.ptr, table[i].expected.ptr, f->a.len);
    }
}

/* Bytes that no value has as its key are refused: a second spelling would be a second row. */
static void test_malformed(void **state)
{
    fixture *f = *state;
    const struct {
        kal_type type;
        kal_bytes input;
    } table[] = {
        {kal_type_of(KAL_TYPE_BOOLEAN), KAL_STR("\x02")},
        {kal_type_of(KAL_TYPE_TEXT), KAL_STR("abc")},
        {kal_type_of(KAL_TYPE_TEXT), KAL_STR("abc\0")},
        {kal_type_of(KAL_TYPE_TEXT), KAL_STR("abc\0\x02")},
        {kal_type_of(KAL_TYPE_TEXT), KAL_STR("\xC3\0\x01")},
        {kal_type_of(KAL_TYPE_TIME), KAL_STR("\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF")},
        {kal_type_of(KAL_TYPE_DATE), KAL_STR("\0\0\0\0")},
        {kal_type_of(KAL_TYPE_FLOAT), KAL_STR("\x7F\xFF\xFF\xFF")}, /* -0.0 */
        {kal_type_of(KAL_TYPE_FLOAT), KAL_STR("\xFF\xC0\x00\x01")}, /* another NaN */
        {kal_type_of(KAL_TYPE_DOUBLE), KAL_STR("\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF")},
        {kal_type_embedding(1), KAL_STR("\x7F\xFF\xFF\xFF")},
        {kal_type_decimal(1, 0), KAL_STR("\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0A")},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(table); i++) {
        kal_bytes input = table[i].input;
        kal_value v;
        kal_error err = KAL_ERROR_INIT;
        char name[KAL_TYPE_NAME_BYTES];
        char expected[96];
        snprintf(expected, sizeof expected, "key of type %s is malformed",
                 kal_type_name(table[i].type, name));
        assert_int_equal(kal_key_decode(&input, table[i].type, &f->arena, &v, &err), KAL_CORRUPT);
        assert_string_equal(err.message, expected);
        assert_int_equal(input.len, table[i].input.len);
    }
}

/* A budget that is too small for the unescaped text is KAL_LIMIT, and the input stays. */
static void test_budget(void **state)
{
    fixture *f = *state;
    kal_budget budget;
    kal_arena small;
    kal_value back;
    kal_error err = KAL_ERROR_INIT;
    kal_budget_init(&budget, NULL, 2048);
    kal_arena_init(&small, &budget);
    kal_value v = kal_value_text(test_fill('x', 8192, &f->arena));
    kal_key_append(&f->a, &v);
    kal_bytes input = kal_buf_bytes(&f->a);
    assert_int_equal(kal_key_decode(&input, v.type, &small, &back, &err), KAL_LIMIT);
    assert_string_equal(err.message, "key of 8192 bytes exceeds the memory limit");
    assert_int_equal(input.len, f->a.len);
    kal_arena_release(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_order_of_neighbours, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_composite, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mutations, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_malformed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_budget, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
