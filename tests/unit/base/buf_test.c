#include "base/buf.h"
#include "unit/base/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void assert_content(const kal_buf *buf, const char *expected)
{
    assert_int_equal(buf->len, strlen(expected));
    assert_memory_equal(buf->ptr, expected, buf->len);
}

/* Goal: each appender writes what its name says. */
static void test_appenders(void **state)
{
    static const uint8_t NUMBERS[] = {2, 1, 4, 3, 2, 1, 8, 7, 6, 5, 4, 3, 2, 1,
                                      1, 2, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8};
    kal_buf buf;
    (void)state;
    kal_buf_init(&buf, NULL);
    kal_buf_append_cstr(&buf, "ab");
    kal_buf_append_byte(&buf, 'c');
    kal_buf_append_bytes(&buf, KAL_STR("de"));
    kal_buf_append(&buf, NULL, 0);
    kal_buf_printf(&buf, "%s=%d", "f", 1);
    assert_content(&buf, "abcdef=1");
    kal_buf_truncate(&buf, 2);
    assert_content(&buf, "ab");

    kal_buf_clear(&buf);
    kal_buf_append_i64_text(&buf, INT64_MIN);
    kal_buf_append_byte(&buf, ' ');
    kal_buf_append_i64_text(&buf, INT64_MAX);
    kal_buf_append_byte(&buf, ' ');
    kal_buf_append_u64_text(&buf, UINT64_MAX);
    kal_buf_append_byte(&buf, ' ');
    kal_buf_append_u64_text(&buf, 0);
    assert_content(&buf, "-9223372036854775808 9223372036854775807 18446744073709551615 0");

    kal_buf_clear(&buf);
    kal_buf_append_le16(&buf, 0x0102);
    kal_buf_append_le32(&buf, 0x01020304);
    kal_buf_append_le64(&buf, 0x0102030405060708);
    kal_buf_append_be16(&buf, 0x0102);
    kal_buf_append_be32(&buf, 0x01020304);
    kal_buf_append_be64(&buf, 0x0102030405060708);
    assert_int_equal(buf.len, sizeof NUMBERS);
    assert_memory_equal(buf.ptr, NUMBERS, sizeof NUMBERS);
    kal_buf_release(&buf);
}

/* Goal: refusal is sticky, writes nothing in part, and the budget is never exceeded. Method: grow
 * by random steps until refused; small appends afterwards must stay out. */
static void test_budget_is_sticky(void **state)
{
    kal_rng rng;
    (void)state;
    kal_test_seed(&rng);
    for (int round = 0; round < 200; round++) {
        kal_budget budget;
        kal_buf buf;
        uint8_t chunk[300];
        size_t limit = 1 + (size_t)kal_rng_below(&rng, 2000);
        size_t len = 0;
        memset(chunk, 'x', sizeof chunk);
        kal_budget_init(&budget, NULL, limit);
        kal_buf_init(&buf, &budget);
        for (;;) {
            size_t step = 1 + (size_t)kal_rng_below(&rng, sizeof chunk);
            kal_buf_append(&buf, chunk, step);
            assert_true(budget.used <= limit);
            if (kal_buf_failed(&buf)) {
                assert_true(len + step > limit); /* refused only what does not fit */
                break;
            }
            len += step;
        }
        assert_int_equal(buf.len, len);
        kal_buf_append_byte(&buf, 'y');
        kal_buf_printf(&buf, "%d", 1);
        assert_int_equal(buf.len, len);
        assert_false(kal_buf_reserve(&buf, 0));
        kal_buf_clear(&buf);
        assert_false(kal_buf_failed(&buf));
        kal_buf_release(&buf);
        assert_int_equal(budget.used, 0);
    }
}

/* Goal: a size that overflows is refused rather than wrapped. */
static void test_overflow(void **state)
{
    kal_budget budget;
    kal_buf buf;
    (void)state;
    kal_budget_init(&budget, NULL, 1000);
    kal_buf_init(&buf, &budget);
    kal_buf_append_byte(&buf, 'a');
    assert_false(kal_buf_reserve(&buf, SIZE_MAX));
    assert_content(&buf, "a");
    kal_buf_release(&buf);
}

/* Goal: taking moves the memory out and gives the charge back. */
static void test_take(void **state)
{
    kal_budget budget;
    kal_buf buf;
    size_t len = 0;
    (void)state;
    kal_budget_init(&budget, NULL, 1000);
    kal_buf_init(&buf, &budget);
    kal_buf_append_cstr(&buf, "abc");
    uint8_t *taken = kal_buf_take(&buf, &len);
    assert_int_equal(len, 3);
    assert_memory_equal(taken, "abc", 3);
    assert_int_equal(budget.used, 0);
    assert_int_equal(buf.len, 0);
    kal_buf_append_cstr(&buf, "d");
    assert_content(&buf, "d");
    kal_buf_release(&buf);
    free(taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appenders),
        cmocka_unit_test(test_budget_is_sticky),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
