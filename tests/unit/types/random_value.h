/*
 * random_value.h: types and values for property tests, from a seed.
 *
 * Every value that comes from here survives every mapping: wire, row, key, JSON, text, Arrow,
 * DuckDB. So NaN is the canonical one (no text keeps a payload), DATE and TIMESTAMP stay inside
 * DuckDB's finite range, and JSON and FILE hold valid compact JSON. What only some mappings can
 * hold is for their own tests to add.
 */
#ifndef KAL_TESTS_TYPES_RANDOM_VALUE_H
#define KAL_TESTS_TYPES_RANDOM_VALUE_H

#include "base/assert.h"
#include "base/rng.h"
#include "types/value.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define TEST_TEXT_BYTES_MAX ((size_t)1 << 20)
#define TEST_DATE_MAX       INT64_C(2147483646)
#define TEST_DATE_MIN       (-TEST_DATE_MAX)
#define TEST_TIMESTAMP_MAX  (INT64_MAX - 1)
#define TEST_TIMESTAMP_MIN  INT64_C(-9223372022400000000) /* 290309-12-22 BC */
#define TEST_YEAR_1_DAYS    INT64_C(-719162)              /* 0001-01-01 */
#define TEST_YEAR_9999_DAYS INT64_C(2932896)              /* 9999-12-31 */
#define TEST_US_PER_DAY     INT64_C(86400000000)
#define TEST_I128_MAX       ((kal_i128)(~(kal_u128)0 >> 1))

/* Seeds the generator from KAL_TEST_SEED, or with a fixed default, and says with what: a test that
 * fails is repeated by setting it. */
static inline void test_seed_rng(kal_rng *rng)
{
    const char *text = getenv("KAL_TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : UINT64_C(20240229);
    printf("KAL_TEST_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    kal_rng_seed(rng, seed);
}

/* 10^exponent, 0..38; here so that tests of other folders need no more than this header. */
static inline kal_i128 test_pow10(unsigned exponent)
{
    kal_i128 v = 1;
    for (unsigned i = 0; i < exponent; i++)
        v *= 10;
    return v;
}

/* ---- types ---- */

/* The types every mapping must be shown with: entry i, or false when i is past the end. */
static inline bool test_type_at(size_t i, kal_type *type_out)
{
    static const uint32_t DIMS[] = {1, 384, 768, 1536, 3072, 8192};
    static const uint8_t DECIMALS[][2] = {{1, 0},  {1, 1},   {4, 2}, {9, 0},
                                          {18, 6}, {19, 19}, {20, 0}};
    for (unsigned tag = 1; tag <= KAL_TYPE_TAG_MAX; tag++) {
        if (tag == KAL_TYPE_EMBEDDING || tag == KAL_TYPE_DECIMAL)
            continue;
        if (i-- == 0) {
            *type_out = kal_type_of((kal_type_tag)tag);
            return true;
        }
    }
    if (i < KAL_ARRAY_LEN(DIMS)) {
        *type_out = kal_type_embedding(DIMS[i]);
        return true;
    }
    i -= KAL_ARRAY_LEN(DIMS);
    if (i < KAL_ARRAY_LEN(DECIMALS)) {
        *type_out = kal_type_decimal(DECIMALS[i][0], DECIMALS[i][1]);
        return true;
    }
    i -= KAL_ARRAY_LEN(DECIMALS);
    if (i > KAL_DECIMAL_PRECISION_MAX)
        return false;
    *type_out = kal_type_decimal(KAL_DECIMAL_PRECISION_MAX, (unsigned)i);
    return true;
}

/* Any type, the 17 equally often. EMBEDDING is mostly small. */
static inline kal_type random_type(kal_rng *rng)
{
    kal_type_tag tag = (kal_type_tag)(1 + kal_rng_below(rng, KAL_TYPE_COUNT));
    if (tag == KAL_TYPE_EMBEDDING) {
        uint64_t max = kal_rng_chance(rng, 1, 8) ? KAL_EMBEDDING_DIM_MAX : 16;
        return kal_type_embedding((uint32_t)(1 + kal_rng_below(rng, max)));
    }
    if (tag == KAL_TYPE_DECIMAL) {
        unsigned precision = (unsigned)(1 + kal_rng_below(rng, KAL_DECIMAL_PRECISION_MAX));
        return kal_type_decimal(precision, (unsigned)kal_rng_below(rng, precision + 1));
    }
    return kal_type_of(tag);
}

/* ---- numbers ---- */

/* Every magnitude equally often, both signs. */
static inline int64_t random_i64(kal_rng *rng)
{
    uint64_t v = kal_rng_next(rng) >> kal_rng_below(rng, 64);
    return (int64_t)(kal_rng_chance(rng, 1, 2) ? v : ~v);
}

static inline int64_t random_i64_between(kal_rng *rng, int64_t min, int64_t max)
{
    for (;;) {
        int64_t v = random_i64(rng);
        if (v >= min && v <= max)
            return v;
    }
}

static inline double random_double(kal_rng *rng)
{
    uint64_t bits = kal_rng_next(rng);
    double v = 0;
    if (kal_rng_chance(rng, 1, 2))
        return (double)random_i64_between(rng, -1000000, 1000000) / 100.0;
    memcpy(&v, &bits, sizeof v);
    return isnan(v) ? (double)NAN : v;
}

static inline float random_float(kal_rng *rng)
{
    uint32_t bits = (uint32_t)kal_rng_next(rng);
    float v = 0;
    if (kal_rng_chance(rng, 1, 2))
        return (float)random_i64_between(rng, -100000, 100000) / 1024.0f;
    memcpy(&v, &bits, sizeof v);
    return isnan(v) ? NAN : v;
}

static inline kal_i128 random_decimal(kal_rng *rng, unsigned precision)
{
    kal_i128 bound = test_pow10((unsigned)(1 + kal_rng_below(rng, precision)));
    kal_u128 bits = (kal_u128)kal_rng_next(rng) << 64 | kal_rng_next(rng);
    kal_i128 v = (kal_i128)(bits % (kal_u128)bound);
    return kal_rng_chance(rng, 1, 2) ? v : -v;
}

/* ---- bytes ---- */

static inline size_t random_len(kal_rng *rng)
{
    uint64_t max = kal_rng_chance(rng, 1, 16) ? 4096 : 24;
    return (size_t)kal_rng_below(rng, max + 1);
}

/* A code point of 1 to 4 bytes, often one that somebody must escape. */
static inline uint32_t random_code_point(kal_rng *rng)
{
    static const uint32_t AWKWARD[] = {0,    1,      '"',    '\'',   '\\',   '\n',    '\t',
                                       0x7F, 0x80,   0x7FF,  0x800,  0x2028, 0xD7FF,  0xE000,
                                       '%',  0xFEFF, 0xFFFD, 0xFFFF, 0xFF,   0x10000, 0x10FFFF};
    switch (kal_rng_below(rng, 8)) {
    case 0:
        return AWKWARD[kal_rng_below(rng, KAL_ARRAY_LEN(AWKWARD))];
    case 1:
        return (uint32_t)(0x80 + kal_rng_below(rng, 0x780));
    case 2:
        return (uint32_t)(0x800 + kal_rng_below(rng, 0xD800 - 0x800));
    case 3:
        return (uint32_t)(0x10000 + kal_rng_below(rng, 0x100000));
    default:
        return (uint32_t)(' ' + kal_rng_below(rng, 95));
    }
}

static inline size_t test_put_utf8(uint8_t *p, uint32_t c)
{
    if (c < 0x80) {
        p[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        p[0] = (uint8_t)(0xC0 | c >> 6);
        p[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        p[0] = (uint8_t)(0xE0 | c >> 12);
        p[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        p[2] = (uint8_t)(0x80 | (c & 0x3F));
        return 3;
    }
    p[0] = (uint8_t)(0xF0 | c >> 18);
    p[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    p[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    p[3] = (uint8_t)(0x80 | (c & 0x3F));
    return 4;
}

static inline kal_bytes random_text(kal_rng *rng, size_t characters, kal_arena *arena)
{
    uint8_t *p = kal_arena_alloc(arena, characters * 4);
    size_t len = 0;
    for (size_t i = 0; i < characters; i++)
        len += test_put_utf8(p + len, random_code_point(rng));
    return kal_bytes_of(p, len);
}

static inline kal_bytes random_blob(kal_rng *rng, size_t len, kal_arena *arena)
{
    uint8_t *p = kal_arena_alloc(arena, len);
    kal_rng_fill(rng, p, len);
    for (size_t i = 0; i < len; i++) { /* what key encodings escape, more often than by chance */
        if (kal_rng_chance(rng, 1, 8))
            p[i] = (uint8_t)(kal_rng_chance(rng, 1, 2) ? 0 : 0xFF);
    }
    return kal_bytes_of(p, len);
}

/* One JSON value, compact, nested up to depth. */
static inline void random_json_into(kal_rng *rng, unsigned depth, kal_buf *out)
{
    static const char *const LEAVES[] = {"null",
                                         "true",
                                         "false",
                                         "0",
                                         "-1",
                                         "0.1",
                                         "1e300",
                                         "9007199254740993",
                                         "\"\"",
                                         "\"\\u0000\"",
                                         "[]",
                                         "{}",
                                         "\"it's \\\"so\\\"\"",
                                         "\"\xC3\xA9\xF0\x9F\x98\x80\""};
    uint64_t members = kal_rng_below(rng, 4);
    if (depth == 0 || kal_rng_chance(rng, 1, 3)) {
        kal_buf_append_cstr(out, LEAVES[kal_rng_below(rng, KAL_ARRAY_LEN(LEAVES))]);
        return;
    }
    bool is_object = kal_rng_chance(rng, 1, 2);
    kal_buf_append_byte(out, is_object ? '{' : '[');
    for (uint64_t i = 0; i < members; i++) {
        if (i > 0)
            kal_buf_append_byte(out, ',');
        if (is_object)
            kal_buf_printf(out, "\"k%llu\":", (unsigned long long)i);
        random_json_into(rng, depth - 1, out);
    }
    kal_buf_append_byte(out, is_object ? '}' : ']');
}

static inline kal_bytes random_json(kal_rng *rng, kal_arena *arena)
{
    kal_buf buf;
    kal_buf_init(&buf, NULL);
    random_json_into(rng, 4, &buf);
    kal_bytes copy = kal_arena_copy(arena, kal_buf_bytes(&buf));
    kal_buf_release(&buf);
    return copy;
}

/* A reference to a stored file, as FILE columns hold it. */
static inline kal_bytes random_file(kal_rng *rng, kal_arena *arena)
{
    char *text = kal_arena_printf(
        arena,
        "{\"id\":\"%llu\",\"sub\":\"f%04u\",\"name\":\"a \xC3\xA9.png\",\"size\":%llu,"
        "\"mime\":\"image/png\",\"sha256\":\"%016llx\"}",
        (unsigned long long)kal_rng_next(rng), (unsigned)kal_rng_below(rng, 10000),
        (unsigned long long)kal_rng_below(rng, 1u << 30), (unsigned long long)kal_rng_next(rng));
    return kal_cstr(text);
}

static inline kal_bytes random_embedding(kal_rng *rng, uint32_t dim, kal_arena *arena)
{
    uint8_t *p = kal_arena_alloc(arena, (size_t)dim * sizeof(float));
    for (uint32_t i = 0; i < dim; i++) {
        float v = random_float(rng);
        memcpy(p + (size_t)i * sizeof v, &v, sizeof v);
    }
    return kal_bytes_of(p, (size_t)dim * sizeof(float));
}

/* len bytes of one character */
static inline kal_bytes test_fill(uint8_t byte, size_t len, kal_arena *arena)
{
    uint8_t *p = kal_arena_alloc(arena, len);
    memset(p, byte, len);
    return kal_bytes_of(p, len);
}

/* All elements are v. */
static inline kal_bytes test_embedding_of(float v, uint32_t dim, kal_arena *arena)
{
    uint8_t *p = kal_arena_alloc(arena, (size_t)dim * sizeof v);
    for (uint32_t i = 0; i < dim; i++)
        memcpy(p + (size_t)i * sizeof v, &v, sizeof v);
    return kal_bytes_of(p, (size_t)dim * sizeof v);
}

/* ---- extremes ---- */

static inline bool test_extreme_integer(kal_type_tag tag, size_t i, kal_value *out)
{
    int64_t list[11] = {0, 1, -1};
    size_t count = 3;
    switch (tag) {
    case KAL_TYPE_SMALLINT:
        list[count++] = INT16_MIN;
        list[count++] = INT16_MAX;
        break;
    case KAL_TYPE_INT:
        list[count++] = INT32_MIN;
        list[count++] = INT32_MAX;
        break;
    case KAL_TYPE_BIGINT:
        list[count++] = INT64_MIN;
        list[count++] = INT64_MAX;
        list[count++] = INT64_C(9007199254740993); /* no double holds it */
        list[count++] = INT64_C(-9007199254740993);
        break;
    case KAL_TYPE_DATE:
        list[count++] = TEST_YEAR_1_DAYS;
        list[count++] = TEST_YEAR_9999_DAYS;
        list[count++] = TEST_YEAR_1_DAYS - 1;    /* 0001-12-31 BC */
        list[count++] = TEST_YEAR_9999_DAYS + 1; /* 10000-01-01 */
        list[count++] = TEST_DATE_MIN;
        list[count++] = TEST_DATE_MAX;
        list[count++] = 19782; /* 2024-02-29 */
        break;
    case KAL_TYPE_TIMESTAMP:
    case KAL_TYPE_DATETIME:
        list[count++] = TEST_YEAR_1_DAYS * TEST_US_PER_DAY;
        list[count++] = (TEST_YEAR_9999_DAYS + 1) * TEST_US_PER_DAY - 1;
        list[count++] = TEST_YEAR_1_DAYS * TEST_US_PER_DAY - 1;
        list[count++] = (TEST_YEAR_9999_DAYS + 1) * TEST_US_PER_DAY;
        list[count++] = TEST_TIMESTAMP_MIN;
        list[count++] = TEST_TIMESTAMP_MAX;
        list[count++] = INT64_C(1709212455500000); /* 2024-02-29 13:14:15.5 */
        break;
    default: /* TIME */
        list[2] = 999999;
        list[count++] = TEST_US_PER_DAY - 1;
        list[count++] = TEST_US_PER_DAY; /* 24:00:00 */
        break;
    }
    if (i >= count)
        return false;
    *out = kal_value_integer(tag, list[i]);
    return true;
}

static inline bool test_extreme_float(kal_type type, size_t i, kal_arena *arena, kal_value *out)
{
    static const float LIST[] = {0.0f,     -0.0f,     1.0f,        -1.0f,    NAN,
                                 INFINITY, -INFINITY, FLT_MAX,     -FLT_MAX, FLT_MIN,
                                 1e-45f,   -1e-45f,   16777217.0f, 0.1f};
    if (i >= KAL_ARRAY_LEN(LIST))
        return false;
    *out = type.tag == KAL_TYPE_FLOAT
               ? kal_value_float(LIST[i])
               : kal_value_bytes(type, test_embedding_of(LIST[i], type.dim, arena));
    return true;
}

static inline bool test_extreme_double(size_t i, kal_value *out)
{
    static const double LIST[] = {
        0.0,     -0.0,     1.0,     -1.0,   (double)NAN, (double)INFINITY,   -(double)INFINITY,
        DBL_MAX, -DBL_MAX, DBL_MIN, 5e-324, -5e-324,     9007199254740993.0, 0.1,
        1e22,    1e23};
    if (i >= KAL_ARRAY_LEN(LIST))
        return false;
    *out = kal_value_double(LIST[i]);
    return true;
}

static inline bool test_extreme_decimal(kal_type type, size_t i, kal_value *out)
{
    kal_i128 max = test_pow10(type.precision) - 1;
    const kal_i128 list[] = {0, 1, -1, max, -max, max / 10, test_pow10(type.precision - 1u)};
    if (i >= KAL_ARRAY_LEN(list))
        return false;
    *out = kal_value_decimal(type, list[i]);
    return true;
}

static inline bool test_extreme_text(kal_type type, size_t i, kal_arena *arena, kal_value *out)
{
    kal_bytes bytes = {0};
    switch (i) {
    case 0:
        break; /* empty, and no pointer at all */
    case 1:
        bytes = KAL_STR("\0");
        break;
    case 2:
        bytes = KAL_STR("a\0\0b");
        break;
    case 3:
        bytes = KAL_STR("it's \"quoted\" \\ \xE2\x82\xAC \xF0\x9F\x98\x80");
        break;
    case 4:
        bytes = test_fill('x', TEST_TEXT_BYTES_MAX, arena);
        break;
    case 5:
        if (type.tag != KAL_TYPE_BYTES)
            return false;
        bytes = test_fill(0xFF, 3, arena);
        break;
    case 6:
        bytes = test_fill(0x00, 3, arena);
        break;
    default:
        return false;
    }
    *out = kal_value_bytes(type, bytes);
    return true;
}

static inline bool test_extreme_json(kal_type type, size_t i, kal_arena *arena, kal_value *out)
{
    kal_bytes bytes = {0};
    switch (i) {
    case 0:
        bytes = KAL_STR("{}");
        break;
    case 1:
        bytes = type.tag == KAL_TYPE_FILE ? KAL_STR("{\"id\":\"1\"}") : KAL_STR("null");
        break;
    case 2: { /* 1 MiB */
        uint8_t *p = kal_arena_alloc(arena, TEST_TEXT_BYTES_MAX);
        memset(p, 'x', TEST_TEXT_BYTES_MAX);
        memcpy(p, "{\"k\":\"", 6);
        memcpy(p + TEST_TEXT_BYTES_MAX - 2, "\"}", 2);
        bytes = kal_bytes_of(p, TEST_TEXT_BYTES_MAX);
        break;
    }
    default:
        return false;
    }
    *out = kal_value_bytes(type, bytes);
    return true;
}

/* The extreme values of a type: number i, or false when i is past the end. */
static inline bool test_extreme_value(kal_type type, size_t i, kal_arena *arena, kal_value *out)
{
    switch (type.tag) {
    case KAL_TYPE_BOOLEAN:
        *out = kal_value_boolean(i == 1);
        return i < 2;
    case KAL_TYPE_FLOAT:
    case KAL_TYPE_EMBEDDING:
        return test_extreme_float(type, i, arena, out);
    case KAL_TYPE_DOUBLE:
        return test_extreme_double(i, out);
    case KAL_TYPE_DECIMAL:
        return test_extreme_decimal(type, i, out);
    case KAL_TYPE_TEXT:
    case KAL_TYPE_BYTES:
        return test_extreme_text(type, i, arena, out);
    case KAL_TYPE_JSON:
    case KAL_TYPE_FILE:
        return test_extreme_json(type, i, arena, out);
    case KAL_TYPE_UUID:
        *out = kal_value_bytes(type, test_fill(i == 0 ? 0x00 : 0xFF, 16, arena));
        return i < 2;
    default:
        return test_extreme_integer((kal_type_tag)type.tag, i, out);
    }
}

/* ---- values ---- */

static inline kal_value random_ordinary_value(kal_rng *rng, kal_type type, kal_arena *arena)
{
    kal_type_tag tag = (kal_type_tag)type.tag;
    switch (tag) {
    case KAL_TYPE_BOOLEAN:
        return kal_value_boolean(kal_rng_chance(rng, 1, 2));
    case KAL_TYPE_SMALLINT:
        return kal_value_integer(tag, random_i64_between(rng, INT16_MIN, INT16_MAX));
    case KAL_TYPE_INT:
        return kal_value_integer(tag, random_i64_between(rng, INT32_MIN, INT32_MAX));
    case KAL_TYPE_BIGINT:
        return kal_value_integer(tag, random_i64(rng));
    case KAL_TYPE_DATE:
        return kal_value_integer(tag, random_i64_between(rng, TEST_DATE_MIN, TEST_DATE_MAX));
    case KAL_TYPE_TIMESTAMP:
    case KAL_TYPE_DATETIME:
        return kal_value_integer(tag,
                                 random_i64_between(rng, TEST_TIMESTAMP_MIN, TEST_TIMESTAMP_MAX));
    case KAL_TYPE_TIME:
        return kal_value_integer(tag, (int64_t)kal_rng_below(rng, TEST_US_PER_DAY + 1));
    case KAL_TYPE_DOUBLE:
        return kal_value_double(random_double(rng));
    case KAL_TYPE_FLOAT:
        return kal_value_float(random_float(rng));
    case KAL_TYPE_DECIMAL:
        return kal_value_decimal(type, random_decimal(rng, type.precision));
    case KAL_TYPE_TEXT:
        return kal_value_bytes(type, random_text(rng, random_len(rng), arena));
    case KAL_TYPE_JSON:
        return kal_value_bytes(type, random_json(rng, arena));
    case KAL_TYPE_FILE:
        return kal_value_bytes(type, random_file(rng, arena));
    case KAL_TYPE_BYTES:
        return kal_value_bytes(type, random_blob(rng, random_len(rng), arena));
    case KAL_TYPE_UUID:
        return kal_value_bytes(type, random_blob(rng, 16, arena));
    case KAL_TYPE_EMBEDDING:
        return kal_value_bytes(type, random_embedding(rng, type.dim, arena));
    case KAL_TYPE_NULL:
        break;
    }
    return kal_value_null(type);
}

/* A value of the type, never NULL; one in eight is an extreme (none larger than 32 KiB). Bytes live
 * in the arena or for ever. */
static inline kal_value random_value(kal_rng *rng, kal_type type, kal_arena *arena)
{
    kal_value v;
    if (kal_rng_chance(rng, 1, 8) &&
        test_extreme_value(type,
                           (size_t)kal_rng_below(
                               rng, type.tag == KAL_TYPE_JSON || type.tag == KAL_TYPE_FILE ? 2 : 4),
                           arena, &v))
        return v;
    return random_ordinary_value(rng, type, arena);
}

/* The same, NULL one time in five. */
static inline kal_value random_value_or_null(kal_rng *rng, kal_type type, kal_arena *arena)
{
    return kal_rng_chance(rng, 1, 5) ? kal_value_null(type) : random_value(rng, type, arena);
}

/* ---- damage ---- */

/* Changes 1 to 4 places of an encoding: a bit, a byte, or a run that looks like a length. */
static inline void random_mutate(kal_rng *rng, uint8_t *bytes, size_t len)
{
    for (uint64_t n = 1 + kal_rng_below(rng, 4); n > 0 && len > 0; n--) {
        /* the front holds tags and lengths, so half the damage goes there */
        size_t span = kal_rng_chance(rng, 1, 2) && len > 24 ? 24 : len;
        size_t at = (size_t)kal_rng_below(rng, span);
        switch (kal_rng_below(rng, 4)) {
        case 0:
            bytes[at] = (uint8_t)(bytes[at] ^ 1u << kal_rng_below(rng, 8));
            break;
        case 1:
            bytes[at] = (uint8_t)kal_rng_next(rng);
            break;
        case 2:
            memset(bytes + at, kal_rng_chance(rng, 1, 2) ? 0xFF : 0, len - at < 4 ? len - at : 4);
            break;
        default:
            bytes[at] = (uint8_t)(bytes[at] + (kal_rng_chance(rng, 1, 2) ? 1 : 255));
            break;
        }
    }
}

/* The first len bytes in a block of exactly that size, so that ASan sees a read behind them.
 * owned: free(). */
static inline uint8_t *test_exact_copy(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    KAL_ASSERT(copy != NULL);
    if (len > 0)
        memcpy(copy, bytes, len);
    return copy;
}

/* The next length at which to cut an encoding: every one of a short encoding, samples of a long. */
static inline size_t test_next_cut(kal_rng *rng, size_t cut, size_t len)
{
    return cut + 1 + (len > 2048 && cut > 64 ? (size_t)kal_rng_below(rng, len / 64) : 0);
}

#endif
