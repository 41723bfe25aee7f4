/*
 * Goal: what is deflated comes out again, in whatever pieces; a bomb ends at its limit; damage and
 * memory are errors; crc32 of a whole out of its parts.
 */
#include "base/deflate.h"
#include "unit/base/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Bytes that compress: few letters, repeated pieces. */
static void random_text(kal_rng *rng, size_t len, kal_buf *out)
{
    while (out->len < len) {
        if (out->len > 8 && kal_rng_chance(rng, 1, 3)) {
            size_t from = (size_t)kal_rng_below(rng, out->len - 8);
            uint8_t copy[8];
            memcpy(copy, out->ptr + from, sizeof copy);
            kal_buf_append(out, copy, sizeof copy);
        } else {
            kal_buf_append_byte(out, (uint8_t)('a' + kal_rng_below(rng, 26)));
        }
    }
    kal_buf_truncate(out, len);
}

static void inflate_in_pieces(kal_rng *rng, kal_bytes packed, size_t max, kal_buf *out)
{
    kal_inflater *inflater = kal_inflater_open(NULL);
    while (packed.len > 0) {
        kal_bytes piece = {0};
        size_t len = 1 + (size_t)kal_rng_below(rng, packed.len);
        assert_true(kal_bytes_take(&packed, len, &piece));
        assert_int_equal(kal_inflater_add(inflater, piece, max, out, NULL), KAL_OK);
    }
    assert_true(kal_inflater_at_block_end(inflater));
    kal_inflater_close(inflater);
}

static void round_trips(void **state)
{
    kal_rng rng;
    (void)state;
    kal_test_seed(&rng);
    for (int i = 0; i < 300; i++) {
        kal_buf text, packed, again;
        kal_buf_init(&text, NULL);
        kal_buf_init(&packed, NULL);
        kal_buf_init(&again, NULL);
        random_text(&rng, (size_t)kal_rng_below(&rng, i % 10 == 0 ? 200000 : 3000), &text);
        assert_int_equal(kal_deflate(kal_buf_bytes(&text), &packed, NULL), KAL_OK);
        assert_true(packed.len >= 4);
        assert_memory_equal(packed.ptr + packed.len - 4, KAL_DEFLATE_END.ptr, 4);
        inflate_in_pieces(&rng, kal_buf_bytes(&packed), text.len, &again);
        assert_true(kal_bytes_equal(kal_buf_bytes(&text), kal_buf_bytes(&again)));
        kal_buf_release(&text);
        kal_buf_release(&packed);
        kal_buf_release(&again);
    }
}

static void a_bomb_ends_at_its_limit(void **state)
{
    kal_buf zeros, packed, out;
    kal_budget budget;
    (void)state;
    kal_buf_init(&zeros, NULL);
    kal_buf_init(&packed, NULL);
    assert_true(kal_buf_reserve(&zeros, 10000000));
    memset(zeros.ptr, 0, 10000000);
    zeros.len = 10000000;
    assert_int_equal(kal_deflate(kal_buf_bytes(&zeros), &packed, NULL), KAL_OK);
    assert_true(packed.len < 100000);

    kal_inflater *inflater = kal_inflater_open(NULL);
    kal_buf_init(&out, NULL);
    assert_int_equal(kal_inflater_add(inflater, kal_buf_bytes(&packed), 9999999, &out, NULL),
                     KAL_LIMIT);
    assert_false(kal_buf_failed(&out));
    assert_true(out.cap <= 20000000);
    kal_buf_release(&out);
    kal_inflater_close(inflater);

    kal_budget_init(&budget, NULL, 200000);
    inflater = kal_inflater_open(&budget);
    assert_non_null(inflater);
    kal_buf_init(&out, &budget);
    assert_int_equal(kal_inflater_add(inflater, kal_buf_bytes(&packed), 10000000, &out, NULL),
                     KAL_LIMIT);
    assert_true(kal_buf_failed(&out));
    kal_buf_release(&out);
    kal_inflater_close(inflater);
    assert_int_equal(budget.used, 0);

    kal_budget_init(&budget, NULL, 1000);
    assert_null(kal_inflater_open(&budget));
    kal_buf_init(&out, &budget);
    assert_int_equal(kal_deflate(kal_buf_bytes(&zeros), &out, NULL), KAL_LIMIT);
    assert_int_equal(budget.used, 0);
    kal_buf_release(&zeros);
    kal_buf_release(&packed);
}

static kal_status inflate_once(const char *bytes, size_t len, kal_buf *out, bool *at_end)
{
    kal_inflater *inflater = kal_inflater_open(NULL);
    kal_buf_init(out, NULL);
    kal_status status = kal_inflater_add(inflater, kal_bytes_of(bytes, len), 1000, out, NULL);
    *at_end = kal_inflater_at_block_end(inflater);
    kal_inflater_close(inflater);
    return status;
}

/* The examples of RFC 7692 section 7.2.3, with what the sender cuts off. */
static void rfc_examples(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *text;
    } examples[] = {
        {"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff", 11, "Hello"},
        {"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00\x00\x00\xff\xff", 15, "Hello"},
        {"\xf3\x48\xcd\xc9\xc9\x07\x00\x00\x00\x00\xff\xff", 12, "Hello"}, /* a final block */
        {"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00\x00\x00\xff\xff", 17, "Hello"},
        {"\x00\x00\x00\xff\xff", 5, ""},
    };
    (void)state;
    for (size_t i = 0; i < KAL_ARRAY_LEN(examples); i++) {
        kal_buf out;
        bool at_end = false;
        assert_int_equal(inflate_once(examples[i].bytes, examples[i].len, &out, &at_end), KAL_OK);
        assert_true(at_end);
        assert_true(kal_bytes_equal(kal_buf_bytes(&out), kal_cstr(examples[i].text)));
        kal_buf_release(&out);
    }
}

static void damage_is_an_error(void **state)
{
    kal_buf out;
    bool at_end = false;
    (void)state;
    assert_int_equal(inflate_once("\xff\xff\xff", 3, &out, &at_end), KAL_INVALID);
    kal_buf_release(&out);
    /* looks back before the beginning */
    assert_int_equal(inflate_once("\x02\x13\x00\x00\x00\xff\xff", 7, &out, &at_end), KAL_INVALID);
    kal_buf_release(&out);
    /* ends within a block */
    assert_int_equal(inflate_once("\xf2\x48\xcd", 3, &out, &at_end), KAL_OK);
    assert_false(at_end);
    kal_buf_release(&out);
}

static void crc32_of_parts(void **state)
{
    kal_rng rng;
    (void)state;
    kal_test_seed(&rng);
    assert_int_equal(kal_crc32(KAL_STR("123456789")), 0xCBF43926);
    for (int i = 0; i < 200; i++) {
        uint8_t bytes[600];
        size_t a = (size_t)kal_rng_below(&rng, 300);
        size_t b = (size_t)kal_rng_below(&rng, 300);
        kal_rng_fill(&rng, bytes, sizeof bytes);
        assert_int_equal(kal_crc32_combine(kal_crc32(kal_bytes_of(bytes, a)),
                                           kal_crc32(kal_bytes_of(bytes + a, b)),
                                           kal_crc32_operator_of(b)),
                         kal_crc32(kal_bytes_of(bytes, a + b)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),    cmocka_unit_test(a_bomb_ends_at_its_limit),
        cmocka_unit_test(rfc_examples),   cmocka_unit_test(damage_is_an_error),
        cmocka_unit_test(crc32_of_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
