#include "types/arrow.h"
#include "unit/types/random_value.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { FIELDS_MAX = 1600 };

typedef struct fixture {
    kal_rng rng;
    kal_arena arena;
    kal_arrow_field fields[FIELDS_MAX];
} fixture;

static int set_up(void **state)
{
    static fixture f;
    memset(&f, 0, sizeof f);
    test_seed_rng(&f.rng);
    kal_arena_init(&f.arena, NULL);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    kal_arena_release(&f->arena);
    return 0;
}

static void release_nothing(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

/* A foreign field that owns nothing. */
static struct ArrowSchema foreign(const char *format)
{
    return (struct ArrowSchema){.format = format,
                                .name = "x",
                                .flags = KAL_ARROW_FLAG_NULLABLE,
                                .release = release_nothing};
}

/* Imports one foreign field. */
static kal_status import_one(fixture *f, struct ArrowSchema *field, kal_arrow_field *out,
                             kal_error *err)
{
    struct ArrowSchema *children[] = {field};
    struct ArrowSchema schema = foreign("+s");
    kal_arrow_field *fields = NULL;
    size_t count = 0;
    schema.n_children = 1;
    schema.children = children;
    *err = KAL_ERROR_INIT;
    kal_status status = kal_arrow_import(&schema, &f->arena, &fields, &count, err);
    assert_int_equal(count, status == KAL_OK ? 1 : 0);
    if (status == KAL_OK)
        *out = fields[0];
    return status;
}

/* Metadata of one pair, as Arrow encodes it; arena. */
static const char *metadata_of(fixture *f, const char *key, const char *value)
{
    int32_t ints[3] = {1, (int32_t)strlen(key), (int32_t)strlen(value)};
    char *p = kal_arena_alloc(&f->arena, sizeof ints + strlen(key) + strlen(value));
    memcpy(p, ints, 2 * sizeof ints[0]);
    memcpy(p + 8, key, strlen(key));
    memcpy(p + 8 + ints[1], &ints[2], sizeof ints[2]);
    memcpy(p + 12 + ints[1], value, strlen(value));
    return p;
}

/* Every type becomes the format that the documentation promises, with its SQL name as metadata in
 * Arrow's encoding; by a table written by hand. */
static void test_formats(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        const char *format;
    } TABLE[] = {
        {"BOOLEAN", "b"},
        {"SMALLINT", "s"},
        {"INT", "i"},
        {"BIGINT", "l"},
        {"FLOAT", "f"},
        {"DOUBLE", "g"},
        {"TEXT", "u"},
        {"JSON", "u"},
        {"FILE", "u"},
        {"BYTES", "z"},
        {"TIMESTAMP", "tsu:"},
        {"DATETIME", "tsu:UTC"},
        {"DATE", "tdD"},
        {"TIME", "ttu"},
        {"EMBEDDING(384)", "+w:384"},
        {"UUID", "w:16"},
        {"DECIMAL(10,2)", "d:10,2"},
    };
    _Static_assert(KAL_ARRAY_LEN(TABLE) == KAL_TYPE_COUNT, "every type");
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        struct ArrowSchema schema;
        kal_arrow_field field = {.name = KAL_STR("c"), .nullable = i % 2 == 0};
        assert_int_equal(kal_type_parse(kal_cstr(TABLE[i].type), &field.type, NULL), KAL_OK);
        kal_arrow_export(&field, 1, &schema);
        assert_string_equal(schema.format, "+s");
        assert_int_equal(schema.n_children, 1);
        const struct ArrowSchema *child = schema.children[0];
        assert_string_equal(child->format, TABLE[i].format);
        assert_string_equal(child->name, "c");
        assert_int_equal(child->flags, i % 2 == 0 ? KAL_ARROW_FLAG_NULLABLE : 0);
        assert_null(child->dictionary);
        int32_t ints[2];
        memcpy(ints, child->metadata, sizeof ints);
        assert_int_equal(ints[0], 1);
        assert_int_equal(ints[1], 15);
        assert_memory_equal(child->metadata + 8, "kalam_data_type", 15);
        memcpy(ints, child->metadata + 23, sizeof ints[0]);
        assert_int_equal(ints[0], strlen(TABLE[i].type));
        assert_memory_equal(child->metadata + 27, TABLE[i].type, strlen(TABLE[i].type));
        if (child->n_children > 0) {
            assert_int_equal(field.type.tag, KAL_TYPE_EMBEDDING);
            assert_string_equal(child->children[0]->format, "f");
            assert_string_equal(child->children[0]->name, "item");
            assert_int_equal(child->children[0]->flags, 0);
        }
        schema.release(&schema);
        assert_null(schema.release);
    }
}

static void check_round_trip(fixture *f, size_t count)
{
    struct ArrowSchema schema;
    kal_arrow_field *back = NULL;
    size_t back_count = 0;
    kal_error err = KAL_ERROR_INIT;
    kal_arrow_export(f->fields, count, &schema);
    kal_status status = kal_arrow_import(&schema, &f->arena, &back, &back_count, &err);
    schema.release(&schema); /* what was imported lives in the arena */
    assert_string_equal(err.message, "");
    assert_int_equal(status, KAL_OK);
    assert_int_equal(back_count, count);
    for (size_t i = 0; i < count; i++) {
        assert_true(kal_type_equal(f->fields[i].type, back[i].type));
        assert_int_equal(f->fields[i].nullable, back[i].nullable);
        assert_true(kal_bytes_equal(f->fields[i].name, back[i].name));
    }
}

/* Every type comes back as itself, nullable or not: JSON and FILE not as TEXT, UUID not as BYTES,
 * DATETIME not as TIMESTAMP. Random schemas of up to 1,600 columns and the empty one too. */
static void test_round_trip(void **state)
{
    fixture *f = *state;
    size_t count = 0;
    kal_type type;
    for (; test_type_at(count / 2, &type); count++) {
        f->fields[count] = (kal_arrow_field){
            .name = kal_cstr(kal_arena_printf(&f->arena, "column \xC3\xA9 %zu", count)),
            .type = type,
            .nullable = count % 2 == 1};
    }
    check_round_trip(f, count);
    check_round_trip(f, 0);
    for (count = 0; count < FIELDS_MAX; count++) {
        f->fields[count] =
            (kal_arrow_field){.name = kal_cstr(kal_arena_printf(&f->arena, "c%zu", count)),
                              .type = random_type(&f->rng),
                              .nullable = kal_rng_chance(&f->rng, 1, 2)};
    }
    check_round_trip(f, count);
}

/* A child that was moved out outlives its parent and is released on its own (leaks and double
 * frees show under ASan). */
static void test_moved_child(void **state)
{
    fixture *f = *state;
    struct ArrowSchema schema;
    f->fields[0] = (kal_arrow_field){.name = KAL_STR("a"), .type = kal_type_embedding(3)};
    f->fields[1] = (kal_arrow_field){.name = KAL_STR("b"), .type = kal_type_of(KAL_TYPE_JSON)};
    kal_arrow_export(f->fields, 2, &schema);
    struct ArrowSchema moved = *schema.children[0];
    schema.children[0]->release = NULL;
    schema.release(&schema);
    kal_arrow_field field;
    kal_error err;
    assert_int_equal(import_one(f, &moved, &field, &err), KAL_OK);
    assert_true(kal_type_equal(field.type, kal_type_embedding(3)));
    moved.release(&moved);
    assert_null(moved.release);
}

/* Foreign types without our metadata map by the table of the documentation. */
static void test_foreign(void **state)
{
    fixture *f = *state;
    static const char *const TABLE[][2] = {
        {"b", "BOOLEAN"},
        {"c", "SMALLINT"},
        {"C", "SMALLINT"},
        {"s", "SMALLINT"},
        {"S", "INT"},
        {"i", "INT"},
        {"I", "BIGINT"},
        {"l", "BIGINT"},
        {"L", "DECIMAL(20,0)"},
        {"e", "FLOAT"},
        {"f", "FLOAT"},
        {"g", "DOUBLE"},
        {"u", "TEXT"},
        {"U", "TEXT"},
        {"vu", "TEXT"},
        {"z", "BYTES"},
        {"Z", "BYTES"},
        {"vz", "BYTES"},
        {"w:16", "UUID"},
        {"w:1", "BYTES"},
        {"w:20", "BYTES"},
        {"tdD", "DATE"},
        {"tdm", "DATE"},
        {"tts", "TIME"},
        {"ttm", "TIME"},
        {"ttu", "TIME"},
        {"ttn", "TIME"},
        {"tss:", "TIMESTAMP"},
        {"tsm:", "TIMESTAMP"},
        {"tsu:", "TIMESTAMP"},
        {"tsn:", "TIMESTAMP"},
        {"tss:UTC", "DATETIME"},
        {"tsm:+02:00", "DATETIME"},
        {"tsu:Europe/Berlin", "DATETIME"},
        {"tsn:UTC", "DATETIME"},
        {"d:10,2", "DECIMAL(10,2)"},
        {"d:38,38", "DECIMAL(38,38)"},
        {"d:9,2,32", "DECIMAL(9,2)"},
        {"d:18,2,64", "DECIMAL(18,2)"},
        {"d:38,2,256", "DECIMAL(38,2)"},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        struct ArrowSchema schema = foreign(TABLE[i][0]);
        kal_arrow_field field;
        kal_error err;
        char name[KAL_TYPE_NAME_BYTES];
        assert_int_equal(import_one(f, &schema, &field, &err), KAL_OK);
        assert_string_equal(kal_type_name(field.type, name), TABLE[i][1]);
        assert_true(field.nullable);

        /* and the same inside a dictionary, and as the values of run-ends */
        struct ArrowSchema dictionary = foreign("i");
        dictionary.dictionary = &schema;
        assert_int_equal(import_one(f, &dictionary, &field, &err), KAL_OK);
        assert_string_equal(kal_type_name(field.type, name), TABLE[i][1]);
        struct ArrowSchema run_ends = foreign("+r");
        struct ArrowSchema ends = foreign("i");
        struct ArrowSchema *children[] = {&ends, &schema};
        run_ends.n_children = 2;
        run_ends.children = children;
        assert_int_equal(import_one(f, &run_ends, &field, &err), KAL_OK);
        assert_string_equal(kal_type_name(field.type, name), TABLE[i][1]);
    }
}

/* A fixed-size list of floats is an EMBEDDING; of anything else, or too long, it is refused. */
static void test_foreign_list(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *format, *item;
        uint32_t dim;
    } TABLE[] = {
        {"+w:1", "f", 1},    {"+w:8192", "f", 8192},     {"+w:0", "f", 0},
        {"+w:8193", "f", 0}, {"+w:3", "g", 0},           {"+w:", "f", 0},
        {"+w:3x", "f", 0},   {"+w:99999999999", "f", 0}, {"+w:3", NULL, 0},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        struct ArrowSchema item = foreign(TABLE[i].item);
        struct ArrowSchema *children[] = {&item};
        struct ArrowSchema list = foreign(TABLE[i].format);
        kal_arrow_field field;
        kal_error err;
        assert_int_equal(import_one(f, &list, &field, &err), KAL_UNSUPPORTED); /* no child */
        list.n_children = 1;
        list.children = children;
        kal_status status = import_one(f, &list, &field, &err);
        assert_int_equal(status, TABLE[i].dim > 0 ? KAL_OK : KAL_UNSUPPORTED);
        if (status == KAL_OK)
            assert_true(kal_type_equal(field.type, kal_type_embedding(TABLE[i].dim)));
    }
}

/* Types outside the table are refused with the list of valid ones, at any nesting, also when a
 * dictionary contains itself. */
static void test_unsupported(void **state)
{
    fixture *f = *state;
    static const char *const TABLE[] = {
        "n",        "+l",         "+L",    "+vl",     "+s",         "+m",    "+ud:0,1",
        "+us:0,1",  "+r",         "tiM",   "tiD",     "tin",        "tDs",   "tDu",
        "",         "x",          "ii",    "w:",      "w:0",        "w:16x", "w:-1",
        "d:",       "d:10",       "d:0,0", "d:39,0",  "d:76,2,256", "d:5,6", "d:10,-2",
        "d:10,2,7", "d:1,0,128,", "ts",    "tsx:UTC", "tsu",        "tdx",   "ttx",
    };
    kal_arrow_field field;
    kal_error err;
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        struct ArrowSchema schema = foreign(TABLE[i]);
        assert_int_equal(import_one(f, &schema, &field, &err), KAL_UNSUPPORTED);
        struct ArrowSchema dictionary = foreign("i");
        dictionary.dictionary = &schema;
        assert_int_equal(import_one(f, &dictionary, &field, &err), KAL_UNSUPPORTED);
    }
    struct ArrowSchema schema = foreign("+l");
    assert_int_equal(import_one(f, &schema, &field, &err), KAL_UNSUPPORTED);
    assert_string_equal(
        err.message,
        "unsupported arrow type '+l' of field 'x', valid types: bool, int8 to int64, uint8 to "
        "uint64, float16, float32, float64, decimal of up to 38 digits, utf8, binary, fixed-size "
        "binary, date, time, timestamp, fixed-size list of float32, and dictionaries and run-ends "
        "of these");
    struct ArrowSchema loop = foreign("i");
    loop.dictionary = &loop;
    assert_int_equal(import_one(f, &loop, &field, &err), KAL_UNSUPPORTED);
}

/* Our metadata decides between types of one format, also on its large, view and dictionary forms;
 * on a format that cannot hold the type, and with a type that does not exist, it is an error. */
static void test_metadata(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *format, *type, *expected; /* NULL: refused */
    } TABLE[] = {
        {"u", "JSON", "JSON"},
        {"U", "FILE", "FILE"},
        {"vu", "JSON", "JSON"},
        {"u", "TEXT", "TEXT"},
        {"i", "INT", "INT"},
        {"tsn:UTC", "DATETIME", "DATETIME"},
        {"l", "JSON", NULL},
        {"u", "INT", NULL},
        {"i", "BIGINT", NULL},
        {"z", "UUID", NULL},
        {"tsu:", "DATETIME", NULL},
        {"d:10,2", "DECIMAL(10,3)", NULL},
        {"u", "NONSENSE", NULL},
        {"u", "", NULL},
        {"d:10,2", "DECIMAL(10,2)", "DECIMAL(10,2)"},
    };
    kal_arrow_field field;
    kal_error err;
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        struct ArrowSchema schema = foreign(TABLE[i].format);
        char name[KAL_TYPE_NAME_BYTES];
        schema.metadata = metadata_of(f, "kalam_data_type", TABLE[i].type);
        kal_status status = import_one(f, &schema, &field, &err);
        assert_int_equal(status, TABLE[i].expected != NULL ? KAL_OK : KAL_INVALID);
        if (status == KAL_OK)
            assert_string_equal(kal_type_name(field.type, name), TABLE[i].expected);
    }
    struct ArrowSchema schema = foreign("l");
    schema.metadata = metadata_of(f, "kalam_data_type", "JSON");
    assert_int_equal(import_one(f, &schema, &field, &err), KAL_INVALID);
    assert_string_equal(err.message,
                        "arrow field 'x': format 'l' does not hold its kalam_data_type 'JSON'");

    struct ArrowSchema values = foreign("u");
    struct ArrowSchema dictionary = foreign("i");
    dictionary.dictionary = &values;
    dictionary.metadata = metadata_of(f, "kalam_data_type", "JSON");
    assert_int_equal(import_one(f, &dictionary, &field, &err), KAL_OK);
    assert_int_equal(field.type.tag, KAL_TYPE_JSON);

    schema = foreign("u");
    schema.metadata = metadata_of(f, "ARROW:extension:name", "arrow.json");
    assert_int_equal(import_one(f, &schema, &field, &err), KAL_OK);
    assert_int_equal(field.type.tag, KAL_TYPE_JSON);
    schema.metadata = metadata_of(f, "something", "else");
    assert_int_equal(import_one(f, &schema, &field, &err), KAL_OK);
    assert_int_equal(field.type.tag, KAL_TYPE_TEXT);
    static const int32_t NONE = 0;
    schema.metadata = (const char *)&NONE;
    assert_int_equal(import_one(f, &schema, &field, &err), KAL_OK);
}

/* Structs that break the specification are errors, not crashes. */
static void test_malformed(void **state)
{
    fixture *f = *state;
    kal_arrow_field field;
    kal_arrow_field *fields = NULL;
    size_t count = 0;
    kal_error err = KAL_ERROR_INIT;
    struct ArrowSchema schema = foreign("u");
    static const int32_t NEGATIVE_COUNT = -1;
    static const int32_t NEGATIVE_LEN[] = {1, -5};

    schema.metadata = (const char *)&NEGATIVE_COUNT;
    assert_int_equal(import_one(f, &schema, &field, &err), KAL_INVALID);
    assert_string_equal(err.message, "arrow field 'x' has malformed metadata");
    schema.metadata = (const char *)NEGATIVE_LEN;
    assert_int_equal(import_one(f, &schema, &field, &err), KAL_INVALID);
    schema = foreign(NULL);
    assert_int_equal(import_one(f, &schema, &field, &err), KAL_INVALID);
    assert_int_equal(import_one(f, NULL, &field, &err), KAL_INVALID);
    schema = foreign("u");
    schema.release = NULL;
    assert_int_equal(import_one(f, &schema, &field, &err), KAL_INVALID);
    schema = foreign("u");
    schema.name = "\xFF";
    assert_int_equal(import_one(f, &schema, &field, &err), KAL_INVALID);
    schema.name = NULL; /* the specification allows it */
    assert_int_equal(import_one(f, &schema, &field, &err), KAL_OK);
    assert_int_equal(field.name.len, 0);

    schema = foreign("i");
    assert_int_equal(kal_arrow_import(&schema, &f->arena, &fields, &count, &err), KAL_INVALID);
    assert_string_equal(err.message, "expected an arrow struct of columns ('+s'), got 'i'");
    schema = foreign("+s");
    schema.n_children = -1;
    assert_int_equal(kal_arrow_import(&schema, &f->arena, &fields, &count, &err), KAL_INVALID);
    schema.n_children = 1;
    assert_int_equal(kal_arrow_import(&schema, &f->arena, &fields, &count, &err), KAL_INVALID);
    schema.release = NULL;
    assert_int_equal(kal_arrow_import(&schema, &f->arena, &fields, &count, &err), KAL_INVALID);

    kal_budget budget;
    kal_arena small;
    struct ArrowSchema *child = NULL;
    kal_budget_init(&budget, NULL, 2048);
    kal_arena_init(&small, &budget);
    schema = foreign("+s");
    schema.children = &child;
    schema.n_children = INT64_MAX;
    assert_int_equal(kal_arrow_import(&schema, &small, &fields, &count, &err), KAL_LIMIT);
    schema.n_children = 1000;
    assert_int_equal(kal_arrow_import(&schema, &small, &fields, &count, &err), KAL_LIMIT);
    kal_arena_release(&small);
}

/* The JSON text is the shape that arrow-rs writes for a schema, for each kind of type. */
static void test_json(void **state)
{
    (void)state;
    static const struct {
        const char *type, *json;
    } TABLE[] = {
        {"BOOLEAN", "\"Boolean\""},
        {"SMALLINT", "\"Int16\""},
        {"INT", "\"Int32\""},
        {"BIGINT", "\"Int64\""},
        {"FLOAT", "\"Float32\""},
        {"DOUBLE", "\"Float64\""},
        {"TEXT", "\"Utf8\""},
        {"JSON", "\"Utf8\""},
        {"FILE", "\"Utf8\""},
        {"BYTES", "\"Binary\""},
        {"DATE", "\"Date32\""},
        {"TIME", "{\"Time64\":\"Microsecond\"}"},
        {"TIMESTAMP", "{\"Timestamp\":[\"Microsecond\",null]}"},
        {"DATETIME", "{\"Timestamp\":[\"Microsecond\",\"UTC\"]}"},
        {"UUID", "{\"FixedSizeBinary\":16}"},
        {"DECIMAL(10,2)", "{\"Decimal128\":[10,2]}"},
        {"EMBEDDING(384)",
         "{\"FixedSizeList\":[{\"name\":\"item\",\"data_type\":\"Float32\",\"nullable\":false,"
         "\"dict_id\":0,\"dict_is_ordered\":false,\"metadata\":{}},384]}"},
    };
    _Static_assert(KAL_ARRAY_LEN(TABLE) == KAL_TYPE_COUNT, "every type");
    kal_buf buf;
    kal_buf_init(&buf, NULL);
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        kal_arrow_field field = {.name = KAL_STR("a\"b"), .nullable = true};
        char expected[512];
        assert_int_equal(kal_type_parse(kal_cstr(TABLE[i].type), &field.type, NULL), KAL_OK);
        snprintf(expected, sizeof expected,
                 "{\"fields\":[{\"name\":\"a\\\"b\",\"data_type\":%s,\"nullable\":true,"
                 "\"dict_id\":0,\"dict_is_ordered\":false,\"metadata\":{\"kalam_data_type\":\"%s\"}"
                 "}],\"metadata\":{}}",
                 TABLE[i].json, TABLE[i].type);
        kal_buf_clear(&buf);
        kal_arrow_schema_json(&field, 1, &buf);
        kal_buf_append_byte(&buf, '\0');
        assert_string_equal((const char *)buf.ptr, expected);
    }
    kal_buf_clear(&buf);
    kal_arrow_schema_json(NULL, 0, &buf);
    kal_buf_append_byte(&buf, '\0');
    assert_string_equal((const char *)buf.ptr, "{\"fields\":[],\"metadata\":{}}");
    kal_buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),
        cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_moved_child, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_foreign, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_foreign_list, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unsupported, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_metadata, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_malformed, set_up, tear_down),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
