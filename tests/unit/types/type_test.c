#include "types/type.h"
#include "unit/types/random_value.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static kal_status resolve(const char *name, const int64_t *args, size_t arg_count, kal_type *type,
                          bool *serial, kal_error *err)
{
    *err = KAL_ERROR_INIT;
    return kal_type_from_sql(kal_cstr(name), args, arg_count, type, serial, err);
}

/* The list is closed and consistent: every tag from 1 to the last has distinct names, and a type
 * without parameters is valid exactly when it needs none. By walking the tags. */
static void test_list(void **state)
{
    (void)state;
    static const char *const NAMES[] = {NULL,      "BOOLEAN",  "INT",       "BIGINT",    "DOUBLE",
                                        "FLOAT",   "TEXT",     "TIMESTAMP", "DATE",      "DATETIME",
                                        "TIME",    "JSON",     "BYTES",     "EMBEDDING", "UUID",
                                        "DECIMAL", "SMALLINT", "FILE"};
    _Static_assert(KAL_ARRAY_LEN(NAMES) == KAL_TYPE_COUNT + 1, "17 types");
    for (unsigned tag = 1; tag <= KAL_TYPE_TAG_MAX; tag++) {
        kal_type type = kal_type_of((kal_type_tag)tag);
        char duckdb[KAL_TYPE_NAME_BYTES];
        assert_string_equal(kal_type_base_name((kal_type_tag)tag), NAMES[tag]);
        assert_true(strcasecmp(kal_type_reply_name((kal_type_tag)tag), NAMES[tag]) == 0);
        assert_true(strlen(kal_type_duckdb_name(type, duckdb)) > 0);
        bool needs = tag == KAL_TYPE_EMBEDDING || tag == KAL_TYPE_DECIMAL;
        assert_int_equal(kal_type_valid(type), !needs);
        for (unsigned other = 1; other < tag; other++)
            assert_string_not_equal(NAMES[tag], NAMES[other]);
    }
    assert_false(kal_type_valid(kal_type_of(KAL_TYPE_NULL)));
    assert_false(kal_type_valid((kal_type){.tag = KAL_TYPE_TAG_MAX + 1}));
    assert_false(kal_type_valid((kal_type){.tag = KAL_TYPE_INT, .dim = 1}));
    assert_false(kal_type_valid((kal_type){.tag = KAL_TYPE_INT, .precision = 1}));
    assert_false(kal_type_valid((kal_type){.tag = KAL_TYPE_INT, .reserved = 1}));
    assert_false(kal_type_valid(kal_type_embedding(0)));
    assert_false(kal_type_valid(kal_type_embedding(8193)));
    assert_false(kal_type_valid(kal_type_decimal(0, 0)));
    assert_false(kal_type_valid(kal_type_decimal(39, 0)));
    assert_false(kal_type_valid(kal_type_decimal(5, 6)));
}

/* The classes of types are as written in the design; by the whole truth table. */
static void test_classes(void **state)
{
    (void)state;
    static const struct {
        kal_type_tag tag;
        bool integer, numeric, bytes, key;
        size_t fixed;
    } TABLE[] = {
        {KAL_TYPE_BOOLEAN, false, false, false, true, 1},
        {KAL_TYPE_INT, true, true, false, true, 4},
        {KAL_TYPE_BIGINT, true, true, false, true, 8},
        {KAL_TYPE_DOUBLE, false, true, false, false, 8},
        {KAL_TYPE_FLOAT, false, true, false, false, 4},
        {KAL_TYPE_TEXT, false, false, true, true, 0},
        {KAL_TYPE_TIMESTAMP, false, false, false, true, 8},
        {KAL_TYPE_DATE, false, false, false, true, 4},
        {KAL_TYPE_DATETIME, false, false, false, true, 8},
        {KAL_TYPE_TIME, false, false, false, true, 8},
        {KAL_TYPE_JSON, false, false, true, false, 0},
        {KAL_TYPE_BYTES, false, false, true, true, 0},
        {KAL_TYPE_EMBEDDING, false, false, true, false, 0},
        {KAL_TYPE_UUID, false, false, true, true, 16},
        {KAL_TYPE_DECIMAL, false, true, false, true, 16},
        {KAL_TYPE_SMALLINT, true, true, false, true, 2},
        {KAL_TYPE_FILE, false, false, true, false, 0},
    };
    _Static_assert(KAL_ARRAY_LEN(TABLE) == KAL_TYPE_COUNT, "every type");
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        kal_type type = kal_type_of(TABLE[i].tag);
        assert_int_equal(kal_type_is_integer(type), TABLE[i].integer);
        assert_int_equal(kal_type_is_numeric(type), TABLE[i].numeric);
        assert_int_equal(kal_type_is_bytes(type), TABLE[i].bytes);
        assert_int_equal(kal_type_may_be_key(type), TABLE[i].key);
        assert_int_equal(kal_type_fixed_bytes(type), TABLE[i].fixed);
    }
}

/* Every name and alias of the dialect resolves to its type, in any case; against a table written
 * from the original's documentation, not from the code. */
static void test_aliases(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        kal_type_tag tag;
        bool serial;
    } TABLE[] = {
        {"boolean", KAL_TYPE_BOOLEAN, false},
        {"Bool", KAL_TYPE_BOOLEAN, false},
        {"smallint", KAL_TYPE_SMALLINT, false},
        {"int2", KAL_TYPE_SMALLINT, false},
        {"smallserial", KAL_TYPE_SMALLINT, true},
        {"serial2", KAL_TYPE_SMALLINT, true},
        {"int", KAL_TYPE_INT, false},
        {"integer", KAL_TYPE_INT, false},
        {"int4", KAL_TYPE_INT, false},
        {"mediumint", KAL_TYPE_INT, false},
        {"serial", KAL_TYPE_INT, true},
        {"serial4", KAL_TYPE_INT, true},
        {"signed", KAL_TYPE_INT, false},
        {"bigint", KAL_TYPE_BIGINT, false},
        {"int8", KAL_TYPE_BIGINT, false},
        {"int64", KAL_TYPE_BIGINT, false},
        {"bigserial", KAL_TYPE_BIGINT, true},
        {"serial8", KAL_TYPE_BIGINT, true},
        {"float", KAL_TYPE_FLOAT, false},
        {"real", KAL_TYPE_FLOAT, false},
        {"float4", KAL_TYPE_FLOAT, false},
        {"double", KAL_TYPE_DOUBLE, false},
        {"dOuBlE pReCiSiOn", KAL_TYPE_DOUBLE, false},
        {"float8", KAL_TYPE_DOUBLE, false},
        {"float64", KAL_TYPE_DOUBLE, false},
        {"text", KAL_TYPE_TEXT, false},
        {"string", KAL_TYPE_TEXT, false},
        {"varchar", KAL_TYPE_TEXT, false},
        {"char", KAL_TYPE_TEXT, false},
        {"character", KAL_TYPE_TEXT, false},
        {"character varying", KAL_TYPE_TEXT, false},
        {"nvarchar", KAL_TYPE_TEXT, false},
        {"clob", KAL_TYPE_TEXT, false},
        {"longtext", KAL_TYPE_TEXT, false},
        {"citext", KAL_TYPE_TEXT, false},
        {"fixedstring", KAL_TYPE_TEXT, false},
        {"json", KAL_TYPE_JSON, false},
        {"jsonb", KAL_TYPE_JSON, false},
        {"bytes", KAL_TYPE_BYTES, false},
        {"bytea", KAL_TYPE_BYTES, false},
        {"binary", KAL_TYPE_BYTES, false},
        {"varbinary", KAL_TYPE_BYTES, false},
        {"blob", KAL_TYPE_BYTES, false},
        {"date", KAL_TYPE_DATE, false},
        {"timestamp", KAL_TYPE_TIMESTAMP, false},
        {"timestamp without time zone", KAL_TYPE_TIMESTAMP, false},
        {"datetime", KAL_TYPE_DATETIME, false},
        {"timestamptz", KAL_TYPE_DATETIME, false},
        {"timestamp with time zone", KAL_TYPE_DATETIME, false},
        {"time", KAL_TYPE_TIME, false},
        {"time without time zone", KAL_TYPE_TIME, false},
        {"uuid", KAL_TYPE_UUID, false},
        {"decimal", KAL_TYPE_DECIMAL, false},
        {"numeric", KAL_TYPE_DECIMAL, false},
        {"file", KAL_TYPE_FILE, false},
    };
    kal_error err;
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        kal_type type;
        bool serial = !TABLE[i].serial;
        assert_int_equal(resolve(TABLE[i].name, NULL, 0, &type, &serial, &err), KAL_OK);
        assert_int_equal(type.tag, TABLE[i].tag);
        assert_int_equal(serial, TABLE[i].serial);
        assert_true(kal_type_valid(type));
    }
}

/* The walk over the aliases starts with the 17 names, ends, and every entry resolves to its tag. */
static void test_alias_walk(void **state)
{
    (void)state;
    const char *name = NULL;
    kal_type_tag tag = KAL_TYPE_NULL;
    const int64_t dim = 384;
    size_t i = 0;
    for (; kal_type_alias_at(i, &name, &tag); i++) {
        kal_type type;
        kal_error err;
        bool is_list = tag == KAL_TYPE_EMBEDDING;
        if (i < KAL_TYPE_COUNT)
            assert_string_equal(name, kal_type_base_name(tag));
        assert_int_equal(resolve(name, is_list ? &dim : NULL, is_list, &type, NULL, &err), KAL_OK);
        assert_int_equal(type.tag, tag);
    }
    assert_true(i > 40);
    assert_false(kal_type_alias_at(SIZE_MAX, &name, &tag));
}

/* Arguments: what is accepted and ignored, what is a parameter, and the exact text of refusals. */
static void test_arguments(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t args[3];
        size_t count;
        const char *expected; /* the type, or the message */
    } TABLE[] = {
        {"varchar", {20}, 1, "TEXT"},
        {"char", {1}, 1, "TEXT"},
        {"binary", {16}, 1, "BYTES"},
        {"timestamp", {6}, 1, "TIMESTAMP"},
        {"decimal", {0}, 0, "DECIMAL(38,10)"},
        {"decimal", {10}, 1, "DECIMAL(10,0)"},
        {"numeric", {38, 38}, 2, "DECIMAL(38,38)"},
        {"embedding", {1}, 1, "EMBEDDING(1)"},
        {"embedding", {8192}, 1, "EMBEDDING(8192)"},
        {"embedding", {0}, 1, "EMBEDDING dimension must be between 1 and 8192, got: 0"},
        {"embedding", {8193}, 1, "EMBEDDING dimension must be between 1 and 8192, got: 8193"},
        {"embedding", {-1}, 1, "EMBEDDING dimension must be between 1 and 8192, got: -1"},
        {"embedding",
         {INT64_C(4294967297)},
         1,
         "EMBEDDING dimension must be between 1 and 8192, got: 4294967297"},
        {"embedding", {0}, 0, "EMBEDDING takes one argument, its dimension, got 0"},
        {"embedding", {1, 2}, 2, "EMBEDDING takes one argument, its dimension, got 2"},
        {"decimal", {39}, 1, "DECIMAL precision must be between 1 and 38, got: 39"},
        {"decimal", {0}, 1, "DECIMAL precision must be between 1 and 38, got: 0"},
        {"decimal", {10, 11}, 2, "DECIMAL scale must be between 0 and its precision 10, got: 11"},
        {"decimal", {10, -1}, 2, "DECIMAL scale must be between 0 and its precision 10, got: -1"},
        {"decimal", {1, 2, 3}, 3, "DECIMAL takes a precision and a scale, got 3 arguments"},
        {"varchar", {0}, 1, "varchar length must be at least 1, got: 0"},
        {"varchar", {1, 2}, 2, "varchar takes one length, got 2 arguments"},
        {"timestamp", {3}, 1, "timestamp precision must be 6 (microseconds), got: 3"},
        {"int", {11}, 1, "int takes no arguments, got 1"},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        kal_type type;
        kal_error err;
        char name[KAL_TYPE_NAME_BYTES];
        kal_status status =
            resolve(TABLE[i].name, TABLE[i].args, TABLE[i].count, &type, NULL, &err);
        if (status == KAL_OK) {
            assert_string_equal(kal_type_name(type, name), TABLE[i].expected);
        } else {
            assert_int_equal(status, KAL_SYNTAX);
            assert_string_equal(err.message, TABLE[i].expected);
        }
    }
}

/* An unknown or refused name lists the valid types and hints at what was meant. */
static void test_unknown(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *hint;
    } TABLE[] = {
        {"FOO", ""},
        {"VARCHR", "did you mean 'VARCHAR'?"},
        {"BOOLAEN", "did you mean 'BOOLEAN'?"},
        {"intt", "did you mean 'INT'?"},
        {"TINYINT", "use SMALLINT"},
        {"int1", "use SMALLINT"},
        {"ENUM", "use JSON, or TEXT"},
        {"array", "use JSON"},
        {"SET", "use JSON"},
        {"STRUCT", "use JSON"},
        {"a text", "did you mean 'TEXT'?"},
        {"", ""},
        {"NULL", ""},
    };
    kal_type type;
    kal_error err;
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        char expected[KAL_ERROR_MESSAGE_BYTES];
        snprintf(
            expected, sizeof expected,
            "unsupported type '%s', valid types: BOOLEAN, INT, BIGINT, DOUBLE, FLOAT, TEXT, "
            "TIMESTAMP, DATE, DATETIME, TIME, JSON, BYTES, EMBEDDING, UUID, DECIMAL, SMALLINT, "
            "FILE",
            TABLE[i].name);
        assert_int_equal(resolve(TABLE[i].name, NULL, 0, &type, NULL, &err), KAL_SYNTAX);
        assert_string_equal(err.message, expected);
        assert_string_equal(err.hint, TABLE[i].hint);
    }
    assert_int_equal(resolve("UNSIGNED", NULL, 0, &type, NULL, &err), KAL_SYNTAX);
    assert_non_null(strstr(err.hint, "BIGINT"));
    assert_int_equal(resolve("INTERVAL", NULL, 0, &type, NULL, &err), KAL_SYNTAX);
    assert_non_null(strstr(err.hint, "expressions"));
}

/* However long and strange the name, the message stays whole and valid UTF-8. */
static void test_long_name(void **state)
{
    (void)state;
    kal_arena arena;
    kal_type type;
    kal_error err = KAL_ERROR_INIT;
    kal_arena_init(&arena, NULL);
    char *name = kal_arena_alloc(&arena, 100001);
    for (size_t i = 0; i + 1 < 100000; i += 2)
        memcpy(name + 1 + i, "\xC3\xA9", 2);
    name[0] = 'x';
    assert_int_equal(kal_type_from_sql(kal_cstr(name), NULL, 0, &type, NULL, &err), KAL_SYNTAX);
    assert_true(kal_utf8_valid(kal_cstr(err.message)));
    assert_non_null(strstr(err.message, ", FILE"));
    assert_int_equal(kal_type_parse(kal_cstr(name), &type, &err), KAL_SYNTAX);
    kal_arena_release(&arena);
}

/* A type is read back from its own name and, but for FILE which is JSON there, from DuckDB's. */
static void test_name_round_trip(void **state)
{
    (void)state;
    kal_type type;
    for (size_t i = 0; test_type_at(i, &type); i++) {
        char name[KAL_TYPE_NAME_BYTES];
        kal_type back;
        assert_true(kal_type_valid(type));
        assert_int_equal(kal_type_parse(kal_cstr(kal_type_name(type, name)), &back, NULL), KAL_OK);
        assert_true(kal_type_equal(type, back));
        assert_int_equal(kal_type_parse(kal_cstr(kal_type_duckdb_name(type, name)), &back, NULL),
                         KAL_OK);
        kal_type expected = type.tag == KAL_TYPE_FILE ? kal_type_of(KAL_TYPE_JSON) : type;
        assert_true(kal_type_equal(expected, back));
    }
}

static void test_duckdb_names(void **state)
{
    (void)state; /* The names DuckDB knows our types by; against a table written by hand. */
    static const char *const TABLE[][2] = {
        {"BOOLEAN", "BOOLEAN"}, {"SMALLINT", "SMALLINT"},
        {"INT", "INTEGER"},     {"BIGINT", "BIGINT"},
        {"FLOAT", "FLOAT"},     {"DOUBLE", "DOUBLE"},
        {"TEXT", "VARCHAR"},    {"TIMESTAMP", "TIMESTAMP"},
        {"DATE", "DATE"},       {"DATETIME", "TIMESTAMPTZ"},
        {"TIME", "TIME"},       {"JSON", "JSON"},
        {"BYTES", "BLOB"},      {"EMBEDDING(384)", "FLOAT[384]"},
        {"UUID", "UUID"},       {"DECIMAL(10,2)", "DECIMAL(10,2)"},
        {"FILE", "JSON"},
    };
    _Static_assert(KAL_ARRAY_LEN(TABLE) == KAL_TYPE_COUNT, "every type");
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        kal_type type;
        char name[KAL_TYPE_NAME_BYTES];
        assert_int_equal(kal_type_parse(kal_cstr(TABLE[i][0]), &type, NULL), KAL_OK);
        assert_string_equal(kal_type_duckdb_name(type, name), TABLE[i][1]);
    }
}

/* Type texts as people lay them out, and texts that are none. */
static void test_parse(void **state)
{
    (void)state;
    static const char *const TABLE[][2] = {
        {"  decimal ( 10 ,\t2 ) ", "DECIMAL(10,2)"},
        {"timestamp  with\n time zone", "DATETIME"},
        {"timestamp(6) with time zone", "DATETIME"},
        {"character varying(255)", "TEXT"},
        {"float[384]", "EMBEDDING(384)"},
        {"", NULL},
        {"   ", NULL},
        {"int)", NULL},
        {"decimal(10", NULL},
        {"decimal(10,", NULL},
        {"decimal()", NULL},
        {"decimal(1,2,3)", NULL},
        {"decimal(1.5)", NULL},
        {"embedding(99999999999999999999)", NULL},
        {"embedding(- 3)", NULL},
        {"float[0]", NULL},
        {"float[8193]", NULL},
        {"float[]", NULL},
        {"int[3]", NULL},
        {"text[]", NULL},
        {"int int", NULL},
        {"int; drop", NULL},
        {"timestamp with time zone zone", NULL},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        kal_type type;
        kal_error err = KAL_ERROR_INIT;
        char name[KAL_TYPE_NAME_BYTES];
        kal_status status = kal_type_parse(kal_cstr(TABLE[i][0]), &type, &err);
        assert_int_equal(status, TABLE[i][1] == NULL ? KAL_SYNTAX : KAL_OK);
        if (status == KAL_OK)
            assert_string_equal(kal_type_name(type, name), TABLE[i][1]);
        else
            assert_true(err.message[0] != '\0');
    }
}

/* The wire form is what the documentation says, byte by byte. */
static void test_wire_bytes(void **state)
{
    (void)state;
    kal_buf buf;
    kal_buf_init(&buf, NULL);
    kal_type_encode(kal_type_of(KAL_TYPE_FILE), &buf);
    kal_type_encode(kal_type_embedding(384), &buf);
    kal_type_encode(kal_type_decimal(10, 2), &buf);
    static const uint8_t EXPECTED[] = {0x11, 0x0D, 0x80, 0x01, 0, 0, 0x0F, 10, 2};
    assert_int_equal(buf.len, sizeof EXPECTED);
    assert_memory_equal(buf.ptr, EXPECTED, sizeof EXPECTED);
    kal_buf_release(&buf);
}

/* Every type comes back from its wire form and leaves what follows it; every truncation is an
 * error that takes nothing. */
static void test_wire_round_trip(void **state)
{
    (void)state;
    kal_type type;
    kal_buf buf;
    kal_buf_init(&buf, NULL);
    for (size_t i = 0; test_type_at(i, &type); i++) {
        kal_type back;
        kal_buf_clear(&buf);
        kal_type_encode(type, &buf);
        for (size_t cut = 0; cut < buf.len; cut++) {
            uint8_t *copy = test_exact_copy(buf.ptr, cut);
            kal_bytes input = kal_bytes_of(copy, cut);
            kal_error err = KAL_ERROR_INIT;
            assert_int_equal(kal_type_decode(&input, &back, &err), KAL_CORRUPT);
            assert_int_equal(input.len, cut);
            assert_true(err.message[0] != '\0');
            free(copy);
        }
        kal_buf_append_byte(&buf, 0xEE);
        kal_bytes input = kal_buf_bytes(&buf);
        assert_int_equal(kal_type_decode(&input, &back, NULL), KAL_OK);
        assert_true(kal_type_equal(type, back));
        assert_int_equal(input.len, 1);
    }
    kal_buf_release(&buf);
}

/* Any seven bytes either are an error or a valid type that encodes to the same bytes; by all first
 * bytes with random tails. */
static void test_wire_random(void **state)
{
    (void)state;
    kal_rng rng;
    kal_buf buf;
    size_t accepted = 0;
    test_seed_rng(&rng);
    kal_buf_init(&buf, NULL);
    for (unsigned i = 0; i < 256 * 200; i++) {
        uint8_t bytes[7];
        kal_rng_fill(&rng, bytes, sizeof bytes);
        bytes[0] = (uint8_t)i;
        if (kal_rng_chance(&rng, 1, 2))
            bytes[3] = bytes[4] = 0; /* else hardly any dimension is in range */
        kal_bytes input = kal_bytes_of(bytes, sizeof bytes);
        kal_type type;
        kal_status status = kal_type_decode(&input, &type, NULL);
        bool known = bytes[0] >= 1 && bytes[0] <= KAL_TYPE_TAG_MAX;
        if (status != KAL_OK) {
            assert_int_equal(status, KAL_CORRUPT);
            assert_int_equal(input.len, sizeof bytes);
            assert_true(!known || bytes[0] == KAL_TYPE_EMBEDDING || bytes[0] == KAL_TYPE_DECIMAL);
            continue;
        }
        accepted++;
        assert_true(known && kal_type_valid(type));
        kal_buf_clear(&buf);
        kal_type_encode(type, &buf);
        assert_int_equal(buf.len, sizeof bytes - input.len);
        assert_memory_equal(buf.ptr, bytes, buf.len);
    }
    assert_true(accepted > 15 * 200);
    kal_buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),         cmocka_unit_test(test_classes),
        cmocka_unit_test(test_aliases),      cmocka_unit_test(test_alias_walk),
        cmocka_unit_test(test_arguments),    cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_long_name),    cmocka_unit_test(test_name_round_trip),
        cmocka_unit_test(test_duckdb_names), cmocka_unit_test(test_parse),
        cmocka_unit_test(test_wire_bytes),   cmocka_unit_test(test_wire_round_trip),
        cmocka_unit_test(test_wire_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
