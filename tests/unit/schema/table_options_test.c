#include "schema_testing.h"

static const kal_table_type ALL_TYPES[] = {KAL_TABLE_USER, KAL_TABLE_SHARED, KAL_TABLE_STREAM,
                                           KAL_TABLE_SYSTEM};

static const char *json_of(testing *t, const kal_table_options *o)
{
    kal_json_writer w;
    kal_json_writer_init(&w, &t->buf);
    kal_table_options_write_json(o, &w);
    return testing_take_text(t);
}

static const char *sql_of(testing *t, const kal_table_options *o)
{
    kal_table_options_to_sql(o, &t->buf);
    return testing_take_text(t);
}

static kal_status set(testing *t, kal_table_options *o, const char *name, kal_value value)
{
    return kal_table_options_set(o, kal_cstr(name), &value, &t->err);
}

static kal_value text(const char *value)
{
    return kal_value_text(kal_cstr(value));
}

static void check_round_trip(testing *t, const kal_table_options *o)
{
    kal_table_options back;
    kal_bytes input;

    testing_ok(t, kal_table_options_from_json(testing_json(t, json_of(t, o)), &back, &t->err));
    assert_true(kal_table_options_equal(o, &back));
    kal_table_options_encode(o, &t->buf);
    input = kal_buf_bytes(&t->buf);
    testing_ok(t, kal_table_options_decode(&input, &back, &t->err));
    assert_int_equal(input.len, 0);
    assert_true(kal_table_options_equal(o, &back));
    kal_buf_clear(&t->buf);
}

/* Goal: kinds of tables have a lower and an upper case name and read in any case. Method: all. */
static void test_table_type(void **state)
{
    static const char *const LOWER[] = {"user", "shared", "stream", "system"};
    static const char *const UPPER[] = {"USER", "SHARED", "STREAM", "SYSTEM"};
    static const char *const MIXED[] = {"User", "sHARED", "StreaM", "sYsTeM"};
    kal_table_type type;

    (void)state;
    for (size_t i = 0; i < KAL_ARRAY_LEN(ALL_TYPES); i++) {
        assert_string_equal(kal_table_type_name(ALL_TYPES[i]), LOWER[i]);
        assert_string_equal(kal_table_type_upper(ALL_TYPES[i]), UPPER[i]);
        assert_true(kal_table_type_parse(kal_cstr(MIXED[i]), &type));
        assert_int_equal(type, ALL_TYPES[i]);
    }
    assert_false(kal_table_type_parse(KAL_STR("users"), &type));
    assert_false(kal_table_type_parse(KAL_STR(""), &type));
}

/* Goal: the defaults of each kind are the original's, but for compression (zstd) and access level
 * (private), which are ours. Method: the whole JSON as literal text. */
static void test_defaults(void **state)
{
    testing *t = *state;
    static const char *const WANTED[] = {
        "{\"table_type\":\"USER\",\"storage_id\":\"local\","
        "\"flush_policy\":{\"type\":\"row_limit\",\"row_limit\":10000},"
        "\"deleted_retention_hours\":168,\"partition_by_user\":false,\"max_rows_per_user\":0,"
        "\"enable_rls\":true,\"use_user_storage\":false,\"compression\":\"zstd\"}",
        "{\"table_type\":\"SHARED\",\"storage_id\":\"local\","
        "\"flush_policy\":{\"type\":\"row_limit\",\"row_limit\":10000},"
        "\"deleted_retention_hours\":168,\"access_level\":\"private\",\"enable_cache\":true,"
        "\"cache_ttl_seconds\":3600,\"enable_replication\":false,\"compression\":\"zstd\"}",
        "{\"table_type\":\"STREAM\",\"ttl_seconds\":86400,\"eviction_strategy\":\"time_based\","
        "\"max_stream_size_bytes\":0,\"enable_compaction\":true,\"watermark_delay_seconds\":60,"
        "\"compression\":\"zstd\"}",
        "{\"table_type\":\"SYSTEM\",\"enable_cache\":true,\"cache_ttl_seconds\":300,"
        "\"read_only\":true,\"localhost_only\":false}",
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(ALL_TYPES); i++) {
        kal_table_options o = kal_table_options_default(ALL_TYPES[i]);
        assert_string_equal(json_of(t, &o), WANTED[i]);
        testing_ok(t, kal_table_options_validate(&o, &t->err));
        check_round_trip(t, &o);
    }
}

/* Goal: the constructors make a kind with their argument and defaults else. Method: the argument is
 * undone, the rest must equal the defaults. */
static void test_constructors(void **state)
{
    (void)state;
    kal_table_options user = kal_table_options_user();
    kal_table_options system = kal_table_options_system();
    kal_table_options defaults = kal_table_options_default(KAL_TABLE_USER);
    assert_true(kal_table_options_equal(&user, &defaults));
    defaults = kal_table_options_default(KAL_TABLE_SYSTEM);
    assert_true(kal_table_options_equal(&system, &defaults));

    kal_table_options shared = kal_table_options_shared(KAL_ACCESS_PUBLIC);
    assert_int_equal(shared.access_level, KAL_ACCESS_PUBLIC);
    defaults = kal_table_options_default(KAL_TABLE_SHARED);
    assert_false(kal_table_options_equal(&shared, &defaults));
    shared.access_level = KAL_ACCESS_PRIVATE;
    assert_true(kal_table_options_equal(&shared, &defaults));

    kal_table_options stream = kal_table_options_stream(10);
    assert_int_equal(stream.ttl_seconds, 10);
    stream.ttl_seconds = 86400;
    defaults = kal_table_options_default(KAL_TABLE_STREAM);
    assert_true(kal_table_options_equal(&stream, &defaults));
    assert_false(kal_table_options_equal(&stream, &user));
}

/* Goal: accessors answer for every kind, also where it has no such field. Method: all kinds. */
static void test_accessors(void **state)
{
    uint64_t seconds = 7;

    (void)state;
    kal_table_options o = kal_table_options_user();
    assert_int_equal(kal_table_options_compression(&o), KAL_COMPRESSION_ZSTD);
    assert_false(kal_table_options_is_cache_enabled(&o));
    assert_false(kal_table_options_cache_ttl_seconds(&o, &seconds));
    o = kal_table_options_stream(10);
    assert_int_equal(kal_table_options_compression(&o), KAL_COMPRESSION_ZSTD);
    assert_false(kal_table_options_is_cache_enabled(&o));
    assert_false(kal_table_options_cache_ttl_seconds(&o, &seconds));
    o = kal_table_options_shared(KAL_ACCESS_PRIVATE);
    o.compression = KAL_COMPRESSION_LZ4;
    assert_int_equal(kal_table_options_compression(&o), KAL_COMPRESSION_LZ4);
    assert_true(kal_table_options_is_cache_enabled(&o));
    assert_true(kal_table_options_cache_ttl_seconds(&o, &seconds));
    assert_int_equal(seconds, 3600);
    o.enable_cache = 0;
    assert_false(kal_table_options_is_cache_enabled(&o));
    o = kal_table_options_system();
    assert_int_equal(kal_table_options_compression(&o), KAL_COMPRESSION_NONE);
    assert_true(kal_table_options_is_cache_enabled(&o));
    assert_true(kal_table_options_cache_ttl_seconds(&o, &seconds));
    assert_int_equal(seconds, 300);
    assert_string_equal(kal_access_level_name(KAL_ACCESS_DBA), "dba");
    assert_string_equal(kal_compression_name(KAL_COMPRESSION_LZ4), "lz4");
}

typedef struct field_case {
    kal_table_type type;
    const char *name;
    const char *by_default; /* as SQL text or a bare word */
    const char *other;
    const char *refusal; /* of the other value; NULL = it is built */
} field_case;

#define NO_USER_STORAGE                                                                            \
    "accounts have no storage of their own in this version, so the rows of all users go to the "   \
    "table's STORAGE_ID; leave it at its default"
#define STREAM_ROWS                                                                                \
    "rows of streams stay in the hot store, so it would have no effect; leave it at its default"
#define RETENTION                                                                                  \
    "deleted rows leave their segment when it is merged or rewritten, at no set age in this "      \
    "version; leave it at its default"
#define SYSTEM "system tables are defined by the server"

/* Every field of every kind. */
static const field_case FIELDS[] = {
    {KAL_TABLE_USER, "storage_id", "'local'", "'s3'", NULL},
    {KAL_TABLE_USER, "flush_policy", "'rows:10000'", "'rows:10,interval:60'", NULL},
    {KAL_TABLE_USER, "deleted_retention_hours", "168", "24", RETENTION},
    {KAL_TABLE_USER, "partition_by_user", "FALSE", "TRUE", NULL},
    {KAL_TABLE_USER, "max_rows_per_user", "0", "10", NULL},
    {KAL_TABLE_USER, "enable_rls", "TRUE", "FALSE",
     "the isolation of USER tables is structural and cannot be switched off"},
    {KAL_TABLE_USER, "use_user_storage", "FALSE", "TRUE", NO_USER_STORAGE},
    {KAL_TABLE_USER, "compression", "'zstd'", "'snappy'", NULL},
    {KAL_TABLE_SHARED, "storage_id", "'local'", "'s3'", NULL},
    {KAL_TABLE_SHARED, "flush_policy", "'rows:10000'", "'interval:60'", NULL},
    {KAL_TABLE_SHARED, "deleted_retention_hours", "168", "0", RETENTION},
    {KAL_TABLE_SHARED, "access_level", "'private'", "'public'", NULL},
    {KAL_TABLE_SHARED, "access_level", "'private'", "'restricted'", NULL},
    {KAL_TABLE_SHARED, "access_level", "'private'", "'dba'", NULL},
    {KAL_TABLE_SHARED, "enable_cache", "TRUE", "FALSE", NULL},
    {KAL_TABLE_SHARED, "cache_ttl_seconds", "3600", "300", NULL},
    {KAL_TABLE_SHARED, "enable_replication", "FALSE", "TRUE",
     "there is no replication in this version"},
    {KAL_TABLE_SHARED, "compression", "'zstd'", "'none'", NULL},
    {KAL_TABLE_STREAM, "ttl_seconds", "86400", "10", NULL},
    {KAL_TABLE_STREAM, "eviction_strategy", "'time_based'", "'size_based'", NULL},
    {KAL_TABLE_STREAM, "max_stream_size_bytes", "0", "1", NULL},
    {KAL_TABLE_STREAM, "enable_compaction", "TRUE", "FALSE", NULL},
    {KAL_TABLE_STREAM, "watermark_delay_seconds", "60", "0", NULL},
    {KAL_TABLE_STREAM, "compression", "'zstd'", "'lz4'", STREAM_ROWS},
    {KAL_TABLE_SYSTEM, "enable_cache", "TRUE", "FALSE", NULL},
    {KAL_TABLE_SYSTEM, "cache_ttl_seconds", "300", "3600", NULL},
    {KAL_TABLE_SYSTEM, "read_only", "TRUE", "FALSE", SYSTEM},
    {KAL_TABLE_SYSTEM, "localhost_only", "FALSE", "TRUE", SYSTEM},
};

static kal_value value_of(const char *sql, char *storage)
{
    int64_t number = 0;
    if (sql[0] == '\'') {
        size_t len = strlen(sql);
        memcpy(storage, sql + 1, len - 2);
        storage[len - 2] = '\0';
        return text(storage);
    }
    if (kal_parse_i64(kal_cstr(sql), &number))
        return kal_value_bigint(number);
    return kal_value_boolean(strcmp(sql, "TRUE") == 0);
}

/* Goal: every field of every kind can be set, by any case of its name; the default is always
 * accepted, another value takes effect or is refused with the reason and changes nothing. Method:
 * the table above; a field that to_sql shows and the table lacks fails too. */
static void test_every_field(void **state)
{
    testing *t = *state;
    char storage[64];
    char upper[64];

    for (size_t i = 0; i < KAL_ARRAY_LEN(FIELDS); i++) {
        const field_case *f = &FIELDS[i];
        kal_table_options defaults = kal_table_options_default(f->type);
        kal_table_options o = defaults;
        for (size_t c = 0; c <= strlen(f->name); c++)
            upper[c] = (char)(f->name[c] >= 'a' ? f->name[c] - 32 : f->name[c]);
        assert_non_null(
            strstr(sql_of(t, &o), kal_arena_printf(&t->arena, "%s = %s", upper, f->by_default)));
        testing_ok(t, set(t, &o, upper, value_of(f->by_default, storage)));
        assert_true(kal_table_options_equal(&o, &defaults));
        kal_status status = set(t, &o, f->name, value_of(f->other, storage));
        if (f->refusal != NULL) {
            testing_refused(t, status, KAL_UNSUPPORTED,
                            kal_arena_printf(&t->arena, "option %s: %s", f->name, f->refusal));
            assert_true(kal_table_options_equal(&o, &defaults));
            continue;
        }
        testing_ok(t, status);
        assert_false(kal_table_options_equal(&o, &defaults));
        assert_non_null(
            strstr(sql_of(t, &o), kal_arena_printf(&t->arena, "%s = %s", upper, f->other)));
        check_round_trip(t, &o);
    }
    static const size_t COUNTS[] = {8, 8, 6, 4};
    for (size_t k = 0; k < KAL_ARRAY_LEN(ALL_TYPES); k++) {
        kal_table_options o = kal_table_options_default(ALL_TYPES[k]);
        size_t count = 0;
        for (const char *c = sql_of(t, &o); *c != '\0'; c++)
            count += *c == ',';
        assert_int_equal(count, COUNTS[k]);
    }
}

/* Goal: an option of another kind, an unknown one and a bad value each say what would be right.
 * Method: one of each, the message compared; the options stay as they were. */
static void test_set_refused(void **state)
{
    testing *t = *state;
    kal_table_options o = kal_table_options_user();
    kal_table_options before = o;
    kal_value null = kal_value_null(kal_type_of(KAL_TYPE_NULL));

    testing_refused(t, set(t, &o, "access_level", text("public")), KAL_INVALID,
                    "option access_level does not exist for USER tables");
    testing_refused(t, set(t, &o, "ttl_seconds", kal_value_bigint(1)), KAL_INVALID,
                    "option ttl_seconds does not exist for USER tables");
    testing_refused(t, set(t, &o, "colour", text("red")), KAL_INVALID,
                    "unknown table option 'colour', USER tables have: storage_id, flush_policy, "
                    "deleted_retention_hours, partition_by_user, max_rows_per_user, enable_rls, "
                    "use_user_storage, compression");
    testing_refused(t, set(t, &o, "compression", text("gzip")), KAL_INVALID,
                    "option compression must be one of: none snappy lz4 zstd, got: 'gzip'");
    testing_refused(t, set(t, &o, "enable_rls", kal_value_bigint(1)), KAL_INVALID,
                    "option enable_rls must be true or false, got: 1");
    testing_refused(
        t, set(t, &o, "max_rows_per_user", kal_value_bigint(-1)), KAL_INVALID,
        "option max_rows_per_user must be a whole number from 0 to 9223372036854775807, got: -1");
    testing_refused(
        t, set(t, &o, "max_rows_per_user", null), KAL_INVALID,
        "option max_rows_per_user must be a whole number from 0 to 9223372036854775807, got: NULL");
    testing_refused(t, set(t, &o, "max_rows_per_user", text("99999999999999999999")), KAL_INVALID,
                    "option max_rows_per_user must be a whole number from 0 to "
                    "9223372036854775807, got: '99999999999999999999'");
    static const char *const OUT_OF_RANGE[] = {"rows:1000000",
                                               "rows:0",
                                               "rows:-1",
                                               "interval:0",
                                               "interval:86400",
                                               "rows:5,interval:86400",
                                               "rows:99999999999999999999"};
    for (size_t i = 0; i < KAL_ARRAY_LEN(OUT_OF_RANGE); i++) {
        char expected[128];
        snprintf(
            expected, sizeof expected,
            "option flush_policy must be of 1 to 999999 rows and 1 to 86399 seconds, got: '%s'",
            OUT_OF_RANGE[i]);
        testing_refused(t, set(t, &o, "flush_policy", text(OUT_OF_RANGE[i])), KAL_INVALID,
                        expected);
    }
    static const char *const NO_FORM[] = {"",        "rows",   "rows:",  "rows:-", "rows:5,rows:6",
                                          "rows:5,", "rows:x", "hours:5"};
    for (size_t i = 0; i < KAL_ARRAY_LEN(NO_FORM); i++) {
        char expected[128];
        snprintf(expected, sizeof expected,
                 "option flush_policy must be 'rows:N', 'interval:N' or 'rows:N,interval:N', got: "
                 "'%s'",
                 NO_FORM[i]);
        testing_refused(t, set(t, &o, "flush_policy", text(NO_FORM[i])), KAL_INVALID, expected);
    }
    testing_refused(t, set(t, &o, "storage_id", text("a'b")), KAL_INVALID,
                    "option storage_id must be a name of letters, digits and _, got: 'a''b'");
    assert_true(kal_table_options_equal(&o, &before));
}

/* Goal: words are taken in any case and as text too. Method: some. */
static void test_set_spellings(void **state)
{
    testing *t = *state;
    kal_table_options o = kal_table_options_shared(KAL_ACCESS_PRIVATE);

    testing_ok(t, set(t, &o, "ACCESS_level", text("PUBLIC")));
    assert_int_equal(o.access_level, KAL_ACCESS_PUBLIC);
    testing_ok(t, set(t, &o, "enable_cache", text("True")));
    testing_ok(t, set(t, &o, "compression", text("ZSTD")));
    testing_ok(t, set(t, &o, "flush_policy", text("ROWS:10000")));
}

/* Goal: flush policies outside the documented form and range are refused, inside they are
 * known. Method: both sides of each bound. */
static void test_flush_policy(void **state)
{
    testing *t = *state;
    static const char *const BAD[] = {"",
                                      "rows",
                                      "rows:",
                                      "rows:0",
                                      "rows:1000000",
                                      "rows:-1",
                                      "interval:0",
                                      "interval:86400",
                                      "rows:1;interval:2",
                                      "seconds:5",
                                      "rows:1,",
                                      ",rows:1",
                                      "rows:1,rows:2",
                                      "rows:1 ",
                                      "interval:5,interval:6"};
    static const char *const GOOD[] = {"rows:1",         "rows:999999",       "interval:1",
                                       "interval:86399", "rows:5,interval:6", "interval:6,rows:5"};
    kal_table_options o = kal_table_options_user();

    for (size_t i = 0; i < KAL_ARRAY_LEN(BAD); i++) {
        kal_status status = set(t, &o, "flush_policy", text(BAD[i]));
        if (status != KAL_INVALID)
            fail_msg("'%s': %s", BAD[i], kal_status_name(status));
    }
    for (size_t i = 0; i < KAL_ARRAY_LEN(GOOD); i++)
        assert_int_equal(set(t, &o, "flush_policy", text(GOOD[i])), KAL_OK);

    const struct {
        kal_flush_policy policy;
        const char *json;
        const char *sql;
    } FORMS[] = {
        {{5, 0}, "\"flush_policy\":{\"type\":\"row_limit\",\"row_limit\":5}", "'rows:5'"},
        {{0, 6},
         "\"flush_policy\":{\"type\":\"time_interval\",\"interval_seconds\":6}",
         "'interval:6'"},
        {{5, 6},
         "\"flush_policy\":{\"type\":\"combined\",\"row_limit\":5,\"interval_seconds\":6}",
         "'rows:5,interval:6'"},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(FORMS); i++) {
        o.flush_policy = FORMS[i].policy;
        assert_non_null(strstr(json_of(t, &o), FORMS[i].json));
        assert_non_null(strstr(sql_of(t, &o), FORMS[i].sql));
        check_round_trip(t, &o);
    }
}

/* Goal: what no version may hold is refused by validation, however it got there: row level security
 * off, replication on, values outside their range. Method: fields set directly. */
static void test_validate(void **state)
{
    testing *t = *state;
    kal_table_options o = kal_table_options_user();

    o.enable_rls = 0;
    testing_refused(t, kal_table_options_validate(&o, &t->err), KAL_UNSUPPORTED,
                    "option enable_rls: the isolation of USER tables is structural and cannot be "
                    "switched off");
    o = kal_table_options_shared(KAL_ACCESS_PUBLIC);
    o.enable_replication = 1;
    testing_refused(t, kal_table_options_validate(&o, &t->err), KAL_UNSUPPORTED,
                    "option enable_replication: there is no replication in this version");
    o = kal_table_options_shared(KAL_ACCESS_DBA);
    testing_ok(t, kal_table_options_validate(&o, &t->err));
    o.access_level = KAL_ACCESS_DBA + 1;
    testing_refused(t, kal_table_options_validate(&o, &t->err), KAL_INVALID,
                    "option access_level has no valid value");
    o = kal_table_options_user();
    o.partition_by_user = 2;
    assert_int_equal(kal_table_options_validate(&o, &t->err), KAL_INVALID);
    o = kal_table_options_user();
    o.max_rows_per_user = (uint64_t)INT64_MAX + 1; /* no JSON number of ours reads back to it */
    assert_int_equal(kal_table_options_validate(&o, &t->err), KAL_INVALID);
    o = kal_table_options_user();
    o.flush_policy = (kal_flush_policy){0};
    assert_int_equal(kal_table_options_validate(&o, &t->err), KAL_INVALID);
    o = kal_table_options_user();
    o.storage_id[0] = '\'';
    assert_int_equal(kal_table_options_validate(&o, &t->err), KAL_INVALID);
    o = kal_table_options_user();
    memset(o.storage_id, 'a', sizeof o.storage_id); /* no NUL at the end */
    assert_int_equal(kal_table_options_validate(&o, &t->err), KAL_INVALID);
    o = kal_table_options_stream(0);
    testing_refused(t, kal_table_options_validate(&o, &t->err), KAL_INVALID,
                    "a STREAM table needs ttl_seconds of at least 1");
    o = kal_table_options_user();
    o.table_type = (kal_table_type)(KAL_TABLE_VIEW + 1);
    assert_int_equal(kal_table_options_validate(&o, &t->err), KAL_INVALID);
}

/* Goal: JSON options of a wrong kind or value are refused; fields left out take their default.
 * Method: literal texts. */
static void test_json(void **state)
{
    testing *t = *state;
    static const char *const WRONG[] = {
        "{}",
        "[]",
        "null",
        "{\"table_type\":\"TEMPORARY\"}",
        "{\"table_type\":1}",
        "{\"table_type\":\"USER\",\"access_level\":\"public\"}",
        "{\"table_type\":\"SHARED\",\"max_rows_per_user\":0}",
        "{\"table_type\":\"SYSTEM\",\"compression\":\"none\"}",
        "{\"table_type\":\"USER\",\"colour\":1}",
        "{\"table_type\":\"USER\",\"compression\":4}",
        "{\"table_type\":\"USER\",\"max_rows_per_user\":1.5}",
        "{\"table_type\":\"USER\",\"max_rows_per_user\":-1}",
        "{\"table_type\":\"USER\",\"max_rows_per_user\":null}",
        "{\"table_type\":\"USER\",\"flush_policy\":{}}",
        "{\"table_type\":\"USER\",\"flush_policy\":\"rows:5\"}",
        "{\"table_type\":\"USER\",\"flush_policy\":{\"type\":\"row_limit\",\"row_limit\":0}}",
        "{\"table_type\":\"USER\",\"flush_policy\":{\"type\":\"row_limit\",\"row_limit\":1000000}}",
        "{\"table_type\":\"STREAM\",\"ttl_seconds\":0}",
    };
    kal_table_options o;
    kal_table_options defaults = kal_table_options_user();

    for (size_t i = 0; i < KAL_ARRAY_LEN(WRONG); i++) {
        kal_status status = kal_table_options_from_json(testing_json(t, WRONG[i]), &o, &t->err);
        if (status != KAL_INVALID)
            fail_msg("%s: %s", WRONG[i], kal_status_name(status));
    }
    assert_int_equal(
        kal_table_options_from_json(
            testing_json(t, "{\"table_type\":\"USER\",\"enable_rls\":false}"), &o, &t->err),
        KAL_UNSUPPORTED);
    t->err = KAL_ERROR_INIT;
    testing_ok(
        t, kal_table_options_from_json(testing_json(t, "{\"table_type\":\"user\"}"), &o, &t->err));
    assert_true(kal_table_options_equal(&o, &defaults));
}

/* Goal: stored options that this version did not write are KAL_CORRUPT: a field of another kind, a
 * field given twice, an unknown one, values out of range, any truncation. Method: bytes patched. */
static void test_binary_refused(void **state)
{
    testing *t = *state;
    kal_table_options o = kal_table_options_system();
    kal_table_options back;
    kal_bytes input;

    kal_table_options_encode(&o, &t->buf);
    for (size_t len = 0; len < t->buf.len; len++) {
        input = kal_bytes_of(t->buf.ptr, len);
        assert_int_equal(kal_table_options_decode(&input, &back, &t->err), KAL_CORRUPT);
    }
    for (uint8_t kind = 0; kind < 8; kind++) { /* the fields are SYSTEM's */
        t->buf.ptr[0] = kind;
        input = kal_buf_bytes(&t->buf);
        kal_status wanted = kind == KAL_TABLE_SYSTEM ? KAL_OK : KAL_CORRUPT;
        assert_int_equal(kal_table_options_decode(&input, &back, &t->err), wanted);
    }
    input = KAL_STR("\x03\x02\x09read_only\1\0\0\0\0\0\0\0\x09read_only\1\0\0\0\0\0\0\0");
    assert_int_equal(kal_table_options_decode(&input, &back, &t->err), KAL_CORRUPT);
    input = KAL_STR("\x03\x01\x09read_onlx\1\0\0\0\0\0\0\0");
    assert_int_equal(kal_table_options_decode(&input, &back, &t->err), KAL_CORRUPT);
    input = KAL_STR("\x03\x01\x09read_only\2\0\0\0\0\0\0\0");
    assert_int_equal(kal_table_options_decode(&input, &back, &t->err), KAL_CORRUPT);
    input = KAL_STR("\x00\x01\x0Astorage_id\x03"
                    "a'b");
    assert_int_equal(kal_table_options_decode(&input, &back, &t->err), KAL_CORRUPT);
    input = KAL_STR("\x00\x01\x0Astorage_id\x03"
                    "a\0b");
    assert_int_equal(kal_table_options_decode(&input, &back, &t->err), KAL_CORRUPT);
    input = KAL_STR("\x00\x01\x0Aenable_rls\0\0\0\0\0\0\0\0");
    assert_int_equal(kal_table_options_decode(&input, &back, &t->err), KAL_CORRUPT);
    input = KAL_STR("\x03\x01\x09read_only\1\0\0\0\0\0\0\0"); /* others left out: their defaults */
    testing_ok(t, kal_table_options_decode(&input, &back, &t->err));
    assert_true(kal_table_options_equal(&o, &back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TESTING_UNIT(test_table_type),     TESTING_UNIT(test_defaults),
        TESTING_UNIT(test_constructors),   TESTING_UNIT(test_accessors),
        TESTING_UNIT(test_every_field),    TESTING_UNIT(test_set_refused),
        TESTING_UNIT(test_set_spellings),  TESTING_UNIT(test_flush_policy),
        TESTING_UNIT(test_validate),       TESTING_UNIT(test_json),
        TESTING_UNIT(test_binary_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
