#include "base/bytes.h"
#include "unit/base/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Goal: comparison is that of unsigned bytes, a prefix first; NULL with length 0 is a value. */
static void test_compare(void **state)
{
    static const char *const ASCENDING[] = {"", "A", "AB", "B", "a", "a\x7F", "a\x80", "\xFF"};
    kal_bytes none = {0};
    (void)state;
    for (size_t i = 0; i < KAL_ARRAY_LEN(ASCENDING); i++) {
        for (size_t j = 0; j < KAL_ARRAY_LEN(ASCENDING); j++) {
            int order = kal_bytes_compare(kal_cstr(ASCENDING[i]), kal_cstr(ASCENDING[j]));
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
            assert_int_equal(kal_bytes_equal(kal_cstr(ASCENDING[i]), kal_cstr(ASCENDING[j])),
                             i == j);
        }
    }
    assert_true(kal_bytes_equal(none, KAL_STR("")));
    assert_int_equal(kal_bytes_compare(none, KAL_STR("a")) < 0, 1);
    assert_true(kal_bytes_starts_with(KAL_STR("abc"), KAL_STR("ab")));
    assert_true(kal_bytes_starts_with(KAL_STR("abc"), none));
    assert_false(kal_bytes_starts_with(KAL_STR("ab"), KAL_STR("abc")));
}

/* Goal: only ASCII letters fold. Method: every pair of single bytes. */
static void test_equal_nocase(void **state)
{
    (void)state;
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            uint8_t left = (uint8_t)a;
            uint8_t right = (uint8_t)b;
            bool letters = ((a | 32) >= 'a' && (a | 32) <= 'z') && (a | 32) == (b | 32);
            assert_int_equal(
                kal_bytes_equal_nocase(kal_bytes_of(&left, 1), kal_bytes_of(&right, 1)),
                a == b || letters);
        }
    }
    assert_false(kal_bytes_equal_nocase(KAL_STR("a"), KAL_STR("ab")));
}

/* The definition of UTF-8 read backwards: decode by the lead's length, then refuse what has a
 * shorter form, is a surrogate or lies beyond the end. Returns the sequence's length or 0. */
static size_t decoded_len(const uint8_t *p, size_t left)
{
    static const uint32_t SMALLEST[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80             ? 1
                 : (p[0] & 0xE0) == 0xC0 ? 2
                 : (p[0] & 0xF0) == 0xE0 ? 3
                 : (p[0] & 0xF8) == 0xF0 ? 4
                                         : 0;
    if (len == 0 || len > left)
        return 0;
    uint32_t c = len == 1 ? p[0] : p[0] & (0x7Fu >> len);
    for (size_t i = 1; i < len; i++) {
        if (p[i] >> 6 != 2)
            return 0;
        c = c << 6 | (p[i] & 0x3Fu);
    }
    return c < SMALLEST[len] || (c >> 11) == 0x1B || c > 0x10FFFF ? 0 : len;
}

static bool decodes(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t step = decoded_len(p + i, len - i);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

/* Goal: kal_utf8_valid() is RFC 3629. Method: every sequence of one to three bytes, and of four
 * with the edges of each range in the third and fourth byte, against the decoder above. */
static void test_utf8_exhaustive(void **state)
{
    static const uint8_t EDGES[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F,
                                    0xA0, 0xBF, 0xC0, 0xC2, 0xED, 0xF0, 0xFF};
    (void)state;
    for (uint32_t v = 0; v < 1u << 24; v++) {
        uint8_t p[3] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
        if (p[0] > 0 && p[0] < 0x80) /* what follows ASCII was seen behind 0 */
            continue;
        for (size_t len = 1; len <= 3; len++) {
            if (kal_utf8_valid(kal_bytes_of(p, len)) != decodes(p, len))
                fail_msg("bytes %06x, %zu of them", v, len);
        }
    }
    for (uint32_t v = 0xC000; v <= 0xFFFF; v++) {
        for (size_t i = 0; i < sizeof EDGES * sizeof EDGES; i++) {
            uint8_t p[4] = {(uint8_t)(v >> 8), (uint8_t)v, EDGES[i / sizeof EDGES],
                            EDGES[i % sizeof EDGES]};
            if (kal_utf8_valid(kal_bytes_of(p, 4)) != decodes(p, 4))
                fail_msg("bytes %04x%02x%02x", v, p[2], p[3]);
        }
    }
}

/* Goal: the step over eight ASCII bytes hides nothing. Method: one bad or good sequence at every
 * place of longer texts. */
static void test_utf8_places(void **state)
{
    static const char *const PIECES[] = {"\x80",
                                         "\xC3",
                                         "\xC3\xA9",
                                         "\xE2\x82\xAC",
                                         "\xED\xA0\x80",
                                         "\xF0\x9F\x98\x80",
                                         "\xF4\x90\x80\x80"};
    (void)state;
    for (size_t piece = 0; piece < KAL_ARRAY_LEN(PIECES); piece++) {
        for (size_t at = 0; at < 40; at++) {
            uint8_t text[64];
            size_t len = strlen(PIECES[piece]);
            memset(text, 'x', sizeof text);
            memcpy(text + at, PIECES[piece], len);
            assert_int_equal(kal_utf8_valid(kal_bytes_of(text, sizeof text)),
                             decodes((const uint8_t *)PIECES[piece], len));
            assert_int_equal(kal_utf8_valid(kal_bytes_of(text, at + len)),
                             decodes((const uint8_t *)PIECES[piece], len));
        }
    }
    assert_true(kal_utf8_valid((kal_bytes){0}));
    assert_true(kal_utf8_valid(KAL_STR("a\0b")));
}

/* The definition, without a table: exponential, so for short names. */
static size_t distance_by_definition(kal_bytes a, kal_bytes b)
{
    if (a.len == 0 || b.len == 0)
        return a.len + b.len;
    kal_bytes a_tail = kal_bytes_of(a.ptr + 1, a.len - 1);
    kal_bytes b_tail = kal_bytes_of(b.ptr + 1, b.len - 1);
    if (kal_ascii_lower((char)a.ptr[0]) == kal_ascii_lower((char)b.ptr[0]))
        return distance_by_definition(a_tail, b_tail);
    size_t best = distance_by_definition(a_tail, b_tail);
    size_t other = distance_by_definition(a_tail, b);
    best = other < best ? other : best;
    other = distance_by_definition(a, b_tail);
    return 1 + (other < best ? other : best);
}

/* Goal: the edit distance is the textbook's. Method: known pairs, then random short names against
 * the recursive definition. */
static void test_edit_distance(void **state)
{
    kal_rng rng;
    (void)state;
    assert_int_equal(kal_edit_distance(KAL_STR("kitten"), KAL_STR("sitting")), 3);
    assert_int_equal(kal_edit_distance(KAL_STR("Users"), KAL_STR("uSERS")), 0);
    assert_int_equal(kal_edit_distance(KAL_STR(""), KAL_STR("abc")), 3);
    char longest[65];
    memset(longest, 'a', sizeof longest);
    assert_int_equal(kal_edit_distance(kal_bytes_of(longest, 64), KAL_STR("")), 64);
    assert_true(kal_edit_distance(kal_bytes_of(longest, 65), kal_bytes_of(longest, 65)) > 64);

    kal_test_seed(&rng);
    for (int i = 0; i < 2000; i++) {
        char text[2][6];
        size_t len[2];
        for (size_t side = 0; side < 2; side++) {
            len[side] = (size_t)kal_rng_below(&rng, 7);
            for (size_t c = 0; c < len[side]; c++)
                text[side][c] = "abAB"[kal_rng_below(&rng, 4)];
        }
        kal_bytes a = kal_bytes_of(text[0], len[0]);
        kal_bytes b = kal_bytes_of(text[1], len[1]);
        assert_int_equal(kal_edit_distance(a, b), distance_by_definition(a, b));
    }
}

/* Goal: integers are stored as said, at odd addresses too. */
static void test_fixed_width(void **state)
{
    static const uint8_t LITTLE[] = {8, 7, 6, 5, 4, 3, 2, 1};
    static const uint8_t BIG[] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t place[9];
    uint8_t *p = place + 1;
    (void)state;
    kal_store_le64(p, 0x0102030405060708);
    assert_memory_equal(p, LITTLE, 8);
    assert_int_equal(kal_load_be64(p), 0x0807060504030201);
    kal_store_be64(p, 0x0102030405060708);
    assert_memory_equal(p, BIG, 8);
    assert_int_equal(kal_load_be32(p), 0x01020304);
    assert_int_equal(kal_load_le16(p), 0x0201);
    kal_store_be32(p, 0x01020304);
    kal_store_be16(p + 4, 0x0506);
    assert_memory_equal(p, BIG, 6);
    kal_store_le32(p, 0x05060708);
    kal_store_le16(p + 4, 0x0304);
    assert_memory_equal(p, LITTLE, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare),         cmocka_unit_test(test_equal_nocase),
        cmocka_unit_test(test_utf8_exhaustive), cmocka_unit_test(test_utf8_places),
        cmocka_unit_test(test_edit_distance),   cmocka_unit_test(test_fixed_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
