#include "schema_testing.h"

#include "unit/types/random_value.h"

#define INT_TYPE  kal_type_of(KAL_TYPE_INT)
#define TEXT_TYPE kal_type_of(KAL_TYPE_TEXT)

static kal_status create_as(testing *t, kal_table_type type, const kal_column *columns,
                            size_t count, kal_table_definition **out)
{
    return kal_table_definition_create(KAL_STR("app"), KAL_STR("t"), type, columns, count, NULL, 0,
                                       NULL, TESTING_NOW_US, &t->arena, out, &t->err);
}

static kal_status create(testing *t, const kal_column *columns, size_t count)
{
    kal_table_definition *def = NULL;
    kal_status status = create_as(t, KAL_TABLE_SHARED, columns, count, &def);
    assert_int_equal(status == KAL_OK, def != NULL);
    return status;
}

static const char *column_names(testing *t, const kal_table_definition *def)
{
    for (uint32_t i = 0; i < def->column_count; i++)
        kal_buf_printf(&t->buf, "%s%.*s:%u:%u", i == 0 ? "" : " ", KAL_FMT(def->columns[i].name),
                       def->columns[i].ordinal_position, def->columns[i].column_id);
    return testing_take_text(t);
}

/* Goal: a new definition is version 1, owns copies, sorts its columns by ordinal, numbers them and
 * takes the kind's options. Method: columns given backwards, the sources overwritten afterwards. */
static void test_create(void **state)
{
    testing *t = *state;
    kal_table_definition *def = NULL;
    char name[] = "body";
    kal_column columns[] = {
        kal_column_simple(name, 2, TEXT_TYPE),
        testing_key_column("id", 1, INT_TYPE),
    };
    columns[0].column_id = 0;
    columns[1].column_id = 0;
    testing_ok(t, create_as(t, KAL_TABLE_USER, columns, 2, &def));
    memset(name, 'x', sizeof name - 1);

    assert_string_equal(column_names(t, def), "id:1:1 body:2:2");
    assert_int_equal(def->schema_version, 1);
    assert_int_equal(def->ordinal_max, 2);
    assert_int_equal(def->column_id_max, 2);
    assert_int_equal(def->created_at_us, TESTING_NOW_US);
    assert_int_equal(def->updated_at_us, TESTING_NOW_US);
    assert_null(def->comment.ptr);
    assert_int_equal(def->key_column_count, 1);
    assert_int_equal(def->key_columns[0], 0);
    kal_table_options defaults = kal_table_options_user();
    assert_true(kal_table_options_equal(&def->options, &defaults));
    kal_bytes qualified = kal_table_definition_qualified_name(def, &t->arena);
    assert_true(kal_bytes_equal(qualified, KAL_STR("app.t")));
    assert_int_equal(kal_table_definition_find(def, KAL_STR("body")), 1);
    assert_int_equal(kal_table_definition_find(def, KAL_STR("Body")), -1);
    assert_true(kal_bytes_equal(kal_table_definition_near(def, KAL_STR("bodi")), KAL_STR("body")));
    assert_int_equal(kal_table_definition_near(def, KAL_STR("unrelated")).len, 0);
}

/* Goal: ordinals of a new definition are exactly 1..n. Method: 0, a gap, a duplicate, a start at 2;
 * all permutations of three accepted. */
static void test_ordinals(void **state)
{
    testing *t = *state;
    static const uint32_t WRONG[][3] = {{0, 1, 2}, {1, 2, 4}, {1, 2, 2},         {1, 1, 2},
                                        {2, 3, 4}, {1, 3, 3}, {1, 2, UINT32_MAX}};
    static const uint32_t RIGHT[][3] = {{1, 2, 3}, {1, 3, 2}, {2, 1, 3},
                                        {2, 3, 1}, {3, 1, 2}, {3, 2, 1}};
    kal_column columns[] = {
        testing_key_column("a", 1, INT_TYPE),
        kal_column_simple("b", 2, INT_TYPE),
        kal_column_simple("c", 3, INT_TYPE),
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(WRONG); i++) {
        for (size_t k = 0; k < 3; k++)
            columns[k].ordinal_position = WRONG[i][k];
        assert_int_equal(create(t, columns, 3), KAL_INVALID);
    }
    for (size_t i = 0; i < KAL_ARRAY_LEN(RIGHT); i++) {
        for (size_t k = 0; k < 3; k++)
            columns[k].ordinal_position = RIGHT[i][k];
        t->err = KAL_ERROR_INIT;
        testing_ok(t, create(t, columns, 3));
    }
    columns[0].ordinal_position = 0;
    testing_refused(t, create(t, columns, 3), KAL_INVALID,
                    "column 'a' has ordinal position 0, positions start at 1");
    columns[0].ordinal_position = 1;
    columns[1].ordinal_position = 2;
    columns[2].ordinal_position = 4;
    testing_refused(t, create(t, columns, 3), KAL_INVALID,
                    "ordinal positions must be 1 to 3, column 'c' has 4");
}

/* Goal: names: none empty, none too long, none twice in any case, all of them text. Method: one
 * breach each. */
static void test_names(void **state)
{
    testing *t = *state;
    kal_table_definition *def = NULL;
    char long_name[KAL_NAME_BYTES_MAX + 2] = {0};
    kal_column columns[] = {
        testing_key_column("a", 1, INT_TYPE),
        kal_column_simple("A", 2, INT_TYPE),
    };
    memset(long_name, 'n', sizeof long_name - 1);
    testing_refused(t, create(t, columns, 2), KAL_INVALID, "column 'A' is defined twice");
    columns[1].name = KAL_STR("");
    testing_refused(t, create(t, columns, 2), KAL_INVALID, "a column needs a name");
    columns[1].name = kal_cstr(long_name);
    assert_int_equal(create(t, columns, 2), KAL_INVALID);

    const struct {
        kal_bytes ns;
        kal_bytes name;
    } WRONG[] = {
        {KAL_STR(""), KAL_STR("t")},           {KAL_STR("app"), KAL_STR("")},
        {KAL_STR("app"), kal_cstr(long_name)}, {kal_cstr(long_name), KAL_STR("t")},
        {KAL_STR("app"), KAL_STR("\xFF")},     {KAL_STR("a\0b"), KAL_STR("t")},
        {KAL_STR("app"), KAL_STR("t\0")},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(WRONG); i++)
        assert_int_equal(kal_table_definition_create(WRONG[i].ns, WRONG[i].name, KAL_TABLE_SHARED,
                                                     columns, 1, NULL, 0, NULL, TESTING_NOW_US,
                                                     &t->arena, &def, &t->err),
                         KAL_INVALID);
}

/* Goal: a table has at least one column and at most KAL_COLUMNS_MAX. Method: both sides. */
static void test_column_count(void **state)
{
    testing *t = *state;
    kal_column *columns = kal_arena_alloc(&t->arena, (KAL_COLUMNS_MAX + 1) * sizeof *columns);

    testing_refused(t, create(t, NULL, 0), KAL_INVALID, "table 't' needs at least one column");
    for (uint32_t i = 0; i <= KAL_COLUMNS_MAX; i++)
        columns[i] = kal_column_simple(kal_arena_printf(&t->arena, "c%u", i), i + 1, INT_TYPE);
    columns[0].is_nullable = false;
    columns[0].is_primary_key = true;
    testing_refused(t, create(t, columns, KAL_COLUMNS_MAX + 1), KAL_INVALID,
                    "table 't' has 1601 columns, the limit is 1600");
    kal_table_definition *def = NULL;
    kal_table_definition *next = NULL;
    testing_ok(t, create_as(t, KAL_TABLE_SHARED, columns, KAL_COLUMNS_MAX, &def));
    kal_column more = kal_column_simple("more", 0, INT_TYPE);
    testing_refused(
        t, kal_table_definition_add_column(def, &more, TESTING_NOW_US, &t->arena, &next, &t->err),
        KAL_INVALID, "table 't' already has 1600 columns");
}

/* Goal: the primary key: composite in the order given, never nullable, suitable types, existing
 * columns once each; required for USER and SHARED only. Method: one breach each. */
static void test_primary_key(void **state)
{
    testing *t = *state;
    kal_table_definition *def = NULL;
    kal_column columns[] = {
        testing_key_column("a", 1, INT_TYPE),
        testing_key_column("b", 2, TEXT_TYPE),
        kal_column_simple("c", 3, INT_TYPE),
    };
    const struct {
        kal_bytes names[3];
        size_t count;
        const char *message;
    } WRONG[] = {
        {{KAL_STR("a"), KAL_STR("x")}, 2, "the primary key names no column: 'x'"},
        {{KAL_STR("a"), KAL_STR("a")}, 2, "column 'a' stands twice in the primary key"},
        {{KAL_STR("a"), KAL_STR("b"), KAL_STR("c")}, 3, "key column 'c' cannot be nullable"},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(WRONG); i++)
        testing_refused(t,
                        kal_table_definition_create(KAL_STR("app"), KAL_STR("t"), KAL_TABLE_SHARED,
                                                    columns, 3, WRONG[i].names, WRONG[i].count,
                                                    NULL, TESTING_NOW_US, &t->arena, &def, &t->err),
                        KAL_INVALID, WRONG[i].message);
    const kal_bytes backwards[] = {KAL_STR("b"), KAL_STR("a")};
    testing_ok(t, kal_table_definition_create(KAL_STR("app"), KAL_STR("t"), KAL_TABLE_SHARED,
                                              columns, 3, backwards, 2, NULL, TESTING_NOW_US,
                                              &t->arena, &def, &t->err));
    assert_int_equal(def->key_column_count, 2);
    assert_int_equal(def->key_columns[0], 1);
    assert_int_equal(def->key_columns[1], 0);

    columns[0].is_nullable = true;
    testing_refused(t, create(t, columns, 3), KAL_INVALID, "key column 'a' cannot be nullable");
    columns[0] = testing_key_column("a", 1, kal_type_of(KAL_TYPE_DOUBLE));
    testing_refused(t, create(t, columns, 3), KAL_INVALID,
                    "column 'a' of type DOUBLE cannot be part of a primary key");
    columns[0] = kal_column_simple("a", 1, INT_TYPE);
    columns[1] = kal_column_simple("b", 2, TEXT_TYPE);
    testing_refused(t, create_as(t, KAL_TABLE_USER, columns, 3, &def), KAL_INVALID,
                    "USER tables require a PRIMARY KEY column");
    testing_refused(t, create_as(t, KAL_TABLE_SHARED, columns, 3, &def), KAL_INVALID,
                    "SHARED tables require a PRIMARY KEY column");
    testing_ok(t, create_as(t, KAL_TABLE_STREAM, columns, 3, &def));
    testing_ok(t, create_as(t, KAL_TABLE_SYSTEM, columns, 3, &def));
}

/* Goal: options of another kind are refused, and those that are always refused cannot come in here
 * either. Method: one of each. */
static void test_options(void **state)
{
    testing *t = *state;
    kal_table_definition *def = NULL;
    kal_column columns[] = {testing_key_column("a", 1, INT_TYPE)};
    kal_table_options options = kal_table_options_user();

    testing_refused(t,
                    kal_table_definition_create(KAL_STR("app"), KAL_STR("t"), KAL_TABLE_SHARED,
                                                columns, 1, NULL, 0, &options, TESTING_NOW_US,
                                                &t->arena, &def, &t->err),
                    KAL_INVALID, "options of a USER table given to a SHARED table");
    options.enable_rls = 0;
    assert_int_equal(kal_table_definition_create(KAL_STR("app"), KAL_STR("t"), KAL_TABLE_USER,
                                                 columns, 1, NULL, 0, &options, TESTING_NOW_US,
                                                 &t->arena, &def, &t->err),
                     KAL_UNSUPPORTED);
    assert_null(def);
}

/* Goal: PARTITION BY marks its columns, and marks none when one name is no column. Method: both. */
static void test_partition_by(void **state)
{
    testing *t = *state;
    kal_table_definition *def = testing_notes(t, KAL_TABLE_SHARED);
    const kal_bytes wrong[] = {KAL_STR("likes"), KAL_STR("dislikes")};
    const kal_bytes right[] = {KAL_STR("likes"), KAL_STR("id")};

    testing_refused(t, kal_table_definition_partition_by(def, wrong, 2, &t->err), KAL_INVALID,
                    "the partition key names no column: 'dislikes'");
    assert_false(def->columns[2].is_partition_key);
    testing_ok(t, kal_table_definition_partition_by(def, right, 2, &t->err));
    assert_true(def->columns[0].is_partition_key);
    assert_false(def->columns[1].is_partition_key);
    assert_true(def->columns[2].is_partition_key);
}

/* Goal: ADD COLUMN takes the next ordinal and id ever used, DROP COLUMN leaves a gap, the earlier
 * version is untouched, and later versions with gaps are valid and round-trip. Method: a drop, an
 * add and a drop of what was added, then another add. */
static void test_later_versions(void **state)
{
    testing *t = *state;
    kal_table_definition *v1 = testing_notes(t, KAL_TABLE_USER);
    kal_table_definition *v2 = NULL;
    kal_table_definition *v3 = NULL;
    kal_table_definition *v4 = NULL;
    kal_table_definition *v5 = NULL;
    kal_column added = kal_column_simple("tag", 0, TEXT_TYPE);

    testing_ok(t, kal_table_definition_drop_column(v1, KAL_STR("body"), TESTING_NOW_US + 1,
                                                   &t->arena, &v2, &t->err));
    assert_string_equal(column_names(t, v1), "id:1:1 body:2:2 likes:3:3");
    assert_string_equal(column_names(t, v2), "id:1:1 likes:3:3");
    assert_int_equal(v2->schema_version, 2);
    assert_int_equal(v2->created_at_us, TESTING_NOW_US);
    assert_int_equal(v2->updated_at_us, TESTING_NOW_US + 1);
    testing_ok(t, kal_table_definition_add_column(v2, &added, TESTING_NOW_US + 2, &t->arena, &v3,
                                                  &t->err));
    assert_string_equal(column_names(t, v3), "id:1:1 likes:3:3 tag:4:4");
    testing_ok(t, kal_table_definition_drop_column(v3, KAL_STR("tag"), TESTING_NOW_US + 3,
                                                   &t->arena, &v4, &t->err));
    added.name = KAL_STR("body"); /* a name that was there is another column now */
    added.ordinal_position = 5;
    testing_ok(t, kal_table_definition_add_column(v4, &added, TESTING_NOW_US + 4, &t->arena, &v5,
                                                  &t->err));
    assert_string_equal(column_names(t, v5), "id:1:1 likes:3:3 body:5:5");
    assert_int_equal(v5->schema_version, 5);
    testing_ok(t, kal_table_definition_validate(v5, &t->err));

    kal_table_definition *back = NULL;
    kal_table_definition_encode(v5, &t->buf);
    testing_ok(t, kal_table_definition_decode(kal_buf_bytes(&t->buf), &t->arena, &back, &t->err));
    assert_string_equal(testing_take_text(t) == NULL ? "" : column_names(t, back),
                        "id:1:1 likes:3:3 body:5:5");
}

/* Goal: changes that make no sense are refused and leave nothing. Method: one of each. */
static void test_changes_refused(void **state)
{
    testing *t = *state;
    kal_table_definition *def = testing_notes(t, KAL_TABLE_SHARED);
    kal_table_definition *next = def;
    kal_column column = kal_column_simple("tag", 3, TEXT_TYPE);

    testing_refused(
        t, kal_table_definition_add_column(def, &column, TESTING_NOW_US, &t->arena, &next, &t->err),
        KAL_INVALID, "column 'tag' must take ordinal position 4, got 3");
    assert_null(next);
    column = kal_column_simple("BODY", 0, TEXT_TYPE);
    testing_refused(
        t, kal_table_definition_add_column(def, &column, TESTING_NOW_US, &t->arena, &next, &t->err),
        KAL_EXISTS, "column 'BODY' already exists");
    column = testing_key_column("k", 0, TEXT_TYPE);
    testing_refused(
        t, kal_table_definition_add_column(def, &column, TESTING_NOW_US, &t->arena, &next, &t->err),
        KAL_INVALID, "column 'k' cannot join the primary key of an existing table");
    testing_refused(t,
                    kal_table_definition_drop_column(def, KAL_STR("tag"), TESTING_NOW_US, &t->arena,
                                                     &next, &t->err),
                    KAL_NOT_FOUND, "column 'tag' does not exist");
    testing_refused(t,
                    kal_table_definition_drop_column(def, KAL_STR("id"), TESTING_NOW_US, &t->arena,
                                                     &next, &t->err),
                    KAL_INVALID, "key column 'id' cannot be dropped");
    kal_column only[] = {kal_column_simple("a", 1, INT_TYPE)};
    testing_ok(t, create_as(t, KAL_TABLE_STREAM, only, 1, &def));
    testing_refused(t,
                    kal_table_definition_drop_column(def, KAL_STR("a"), TESTING_NOW_US, &t->arena,
                                                     &next, &t->err),
                    KAL_INVALID, "the last column 'a' cannot be dropped");
    assert_null(next);
}

/* Goal: counters that are used up are an error, not a wrap to 0. Method: each at its largest. */
static void test_counters_used_up(void **state)
{
    testing *t = *state;
    kal_table_definition *next = NULL;
    kal_column column = kal_column_simple("tag", 0, TEXT_TYPE);
    for (int which = 0; which < 3; which++) {
        kal_table_definition *def = testing_notes(t, KAL_TABLE_SHARED);
        *(which == 0   ? &def->ordinal_max
          : which == 1 ? &def->column_id_max
                       : &def->schema_version) = UINT32_MAX;
        testing_ok(t, kal_table_definition_validate(def, &t->err));
        assert_int_equal(kal_table_definition_add_column(def, &column, TESTING_NOW_US, &t->arena,
                                                         &next, &t->err),
                         KAL_LIMIT);
        assert_null(next);
    }
}

/* Goal: validation finds what no operation makes: it guards what is read from disk. Method: a valid
 * definition with one field spoiled. */
static void test_validate(void **state)
{
    testing *t = *state;
    kal_table_definition *def = testing_notes(t, KAL_TABLE_SHARED);

    def->columns[2].ordinal_position = 2;
    testing_refused(t, kal_table_definition_validate(def, &t->err), KAL_INVALID,
                    "column 'likes' repeats ordinal position 2");
    def = testing_notes(t, KAL_TABLE_SHARED);
    def->ordinal_max = 2;
    testing_refused(t, kal_table_definition_validate(def, &t->err), KAL_INVALID,
                    "ordinal position 3 exceeds the recorded 2");
    def = testing_notes(t, KAL_TABLE_SHARED);
    def->columns[2].column_id = 2;
    testing_refused(t, kal_table_definition_validate(def, &t->err), KAL_INVALID,
                    "columns 'body' and 'likes' have the same column_id 2");
    def = testing_notes(t, KAL_TABLE_SHARED);
    def->columns[2].column_id = 4;
    testing_refused(t, kal_table_definition_validate(def, &t->err), KAL_INVALID,
                    "column 'likes' has no valid column_id");
    def = testing_notes(t, KAL_TABLE_SHARED);
    def->key_columns[0] = 1;
    testing_refused(t, kal_table_definition_validate(def, &t->err), KAL_INVALID,
                    "the primary key names no column");
    def = testing_notes(t, KAL_TABLE_SHARED);
    def->columns[1].is_primary_key = true;
    def->columns[1].is_nullable = false;
    def->key_columns[1] = 0;
    def->key_column_count = 2;
    testing_refused(t, kal_table_definition_validate(def, &t->err), KAL_INVALID,
                    "column 'id' stands twice in the primary key");
    def = testing_notes(t, KAL_TABLE_SHARED);
    def->schema_version = 0;
    testing_refused(t, kal_table_definition_validate(def, &t->err), KAL_INVALID,
                    "schema versions start at 1");
    def = testing_notes(t, KAL_TABLE_SHARED);
    def->table_type = KAL_TABLE_USER;
    testing_refused(t, kal_table_definition_validate(def, &t->err), KAL_INVALID,
                    "options of a SHARED table given to a USER table");
    def = testing_notes(t, KAL_TABLE_SHARED);
    def->comment = KAL_STR("\xC3");
    assert_int_equal(kal_table_definition_validate(def, &t->err), KAL_INVALID);
}

/* Goal: a definition has the reference's JSON shape. Method: the whole of it as literal text. */
static void test_json(void **state)
{
    testing *t = *state;
    kal_table_definition *def = testing_notes(t, KAL_TABLE_USER);
    def->table_id = 17;
    def->comment = KAL_STR("what people say");

    const char *text = testing_definition_json(t, def);
    assert_string_equal(
        text,
        "{\"format\":3,\"table_id\":17,\"namespace_id\":\"app\",\"table_name\":\"notes\","
        "\"table_type\":\"user\",\"columns\":["
        "{\"column_name\":\"id\",\"column_id\":1,\"ordinal_position\":1,\"data_type\":\"BigInt\","
        "\"is_nullable\":false,\"is_primary_key\":true,\"is_partition_key\":false,"
        "\"default_value\":{\"FunctionCall\":{\"name\":\"SNOWFLAKE_ID\",\"args\":[]}},"
        "\"column_comment\":null},"
        "{\"column_name\":\"body\",\"column_id\":2,\"ordinal_position\":2,\"data_type\":\"Text\","
        "\"is_nullable\":true,\"is_primary_key\":false,\"is_partition_key\":false,"
        "\"default_value\":\"None\",\"column_comment\":null},"
        "{\"column_name\":\"likes\",\"column_id\":3,\"ordinal_position\":3,\"data_type\":\"Int\","
        "\"is_nullable\":true,\"is_primary_key\":false,\"is_partition_key\":false,"
        "\"default_value\":{\"Literal\":0},\"column_comment\":null}],"
        "\"primary_key\":[\"id\"],\"schema_version\":1,\"ordinal_max\":3,\"column_id_max\":3,"
        "\"table_options\":{\"table_type\":\"USER\",\"storage_id\":\"local\","
        "\"flush_policy\":{\"type\":\"row_limit\",\"row_limit\":10000},"
        "\"deleted_retention_hours\":168,\"partition_by_user\":false,\"max_rows_per_user\":0,"
        "\"enable_rls\":true,\"use_user_storage\":false,\"compression\":\"zstd\"},"
        "\"table_comment\":\"what people say\",\"created_at\":1709212455500000,"
        "\"updated_at\":1709212455500000}");
    kal_table_definition *back = NULL;
    testing_ok(t, kal_table_definition_from_json(testing_json(t, text), &t->arena, &back, &t->err));
    assert_string_equal(testing_definition_json(t, back), text);
}

/* The JSON of app.notes with one part replaced. */
static const kal_json *spoiled(testing *t, const char *part, const char *by)
{
    const char *text = testing_definition_json(t, testing_notes(t, KAL_TABLE_USER));
    const char *at = strstr(text, part);
    assert_non_null(at);
    return testing_json(
        t, kal_arena_printf(&t->arena, "%.*s%s%s", (int)(at - text), text, by, at + strlen(part)));
}

/* Goal: JSON that is no definition is refused, a newer format by name. Method: one part of a valid
 * one spoiled at a time. */
static void test_json_refused(void **state)
{
    testing *t = *state;
    static const char *const WRONG[][2] = {
        {"\"table_id\":0", "\"table_id\":-1"},
        {"\"table_id\":0", "\"table_id\":\"0\""},
        {"\"namespace_id\":\"app\"", "\"namespace_id\":7"},
        {"\"table_name\":\"notes\"", "\"table_name\":\"\""},
        {"\"table_type\":\"user\"", "\"table_type\":\"shared\""},
        {"\"table_type\":\"user\"", "\"table_type\":\"temporary\""},
        {"\"primary_key\":[\"id\"]", "\"primary_key\":[\"ID\"]"},
        {"\"primary_key\":[\"id\"]", "\"primary_key\":[7]"},
        {"\"primary_key\":[\"id\"]", "\"primary_key\":[]"},
        {"\"primary_key\":[\"id\"]", "\"primary_key\":[\"id\",\"id\"]"},
        {"\"primary_key\":[\"id\"]", "\"primary_key\":\"id\""},
        {"\"schema_version\":1", "\"schema_version\":0"},
        {"\"ordinal_max\":3", "\"ordinal_max\":2"},
        {"\"column_id_max\":3", "\"column_id_max\":2"},
        {"\"ordinal_position\":3", "\"ordinal_position\":2"},
        {"\"column_id\":3", "\"column_id\":1"},
        {"\"table_options\":{", "\"table_options\":7,\"x\":{"},
        {"\"table_options\":{\"table_type\":\"USER\"",
         "\"table_options\":{\"table_type\":\"STREAM\""},
        {"\"table_comment\":null", "\"table_comment\":7"},
        {"\"created_at\":1709212455500000", "\"created_at\":null"},
        {"\"format\":3", "\"format\":\"3\""},
    };
    kal_table_definition *back = NULL;

    for (size_t i = 0; i < KAL_ARRAY_LEN(WRONG); i++) {
        kal_status status = kal_table_definition_from_json(spoiled(t, WRONG[i][0], WRONG[i][1]),
                                                           &t->arena, &back, &t->err);
        if (status != KAL_INVALID)
            fail_msg("%s instead of %s: %s", WRONG[i][1], WRONG[i][0], kal_status_name(status));
        assert_null(back);
    }
    testing_refused(t,
                    kal_table_definition_from_json(spoiled(t, "\"format\":3", "\"format\":4"),
                                                   &t->arena, &back, &t->err),
                    KAL_UNSUPPORTED, "table definition of format 4, this server reads up to 3");
    assert_int_equal(
        kal_table_definition_from_json(testing_json(t, "[]"), &t->arena, &back, &t->err),
        KAL_INVALID);
}

/* Goal: the binary form says its format: a newer one is refused by name, bytes behind the end are
 * damage. Method: patched bytes. */
static void test_binary_format(void **state)
{
    testing *t = *state;
    kal_table_definition *back = NULL;
    kal_table_definition_encode(testing_notes(t, KAL_TABLE_USER), &t->buf);

    t->buf.ptr[0] = 4;
    testing_refused(
        t, kal_table_definition_decode(kal_buf_bytes(&t->buf), &t->arena, &back, &t->err),
        KAL_UNSUPPORTED, "stored table definition has format 4, this server reads up to 3");
    t->buf.ptr[0] = 0;
    testing_refused(t,
                    kal_table_definition_decode(kal_buf_bytes(&t->buf), &t->arena, &back, &t->err),
                    KAL_CORRUPT, "stored table definition is damaged");
    t->buf.ptr[0] = 1; /* a format 1 record: the same without initial defaults */
    testing_ok(t, kal_table_definition_decode(kal_buf_bytes(&t->buf), &t->arena, &back, &t->err));
    t->buf.ptr[0] = 3;
    kal_buf_append_byte(&t->buf, 0);
    testing_refused(t,
                    kal_table_definition_decode(kal_buf_bytes(&t->buf), &t->arena, &back, &t->err),
                    KAL_CORRUPT, "stored table definition is damaged");
}

/* Goal: the Arrow schema is derived from the columns in ordinal order. Method: names in the text.
 */
static void test_arrow_json(void **state)
{
    testing *t = *state;
    kal_table_definition_arrow_json(testing_notes(t, KAL_TABLE_USER), &t->buf);
    const char *text = testing_take_text(t);
    const char *id = strstr(text, "\"id\"");
    const char *body = strstr(text, "\"body\"");
    const char *likes = strstr(text, "\"likes\"");
    assert_true(id != NULL && body != NULL && likes != NULL);
    assert_true(id < body && body < likes);
    assert_non_null(testing_json(t, text));
}

/* Goal: SHOW CREATE TABLE's text is a CREATE TABLE with everything in it. Method: literal text;
 * that the parser reads it back is sql/definition_sql's business. */
static void test_sql(void **state)
{
    testing *t = *state;
    kal_table_definition *def = testing_notes(t, KAL_TABLE_SHARED);
    const kal_bytes partition[] = {KAL_STR("likes")};
    testing_ok(t, kal_table_definition_partition_by(def, partition, 1, &t->err));
    def->comment = KAL_STR("what people say");
    def->columns[1].comment = KAL_STR("it's text");
    def->columns[1].is_nullable = false;
    kal_table_definition_to_sql(def, &t->buf);
    assert_string_equal(
        testing_take_text(t),
        "CREATE TABLE app.notes (\n"
        "    id BIGINT NOT NULL DEFAULT SNOWFLAKE_ID(),\n"
        "    body TEXT NOT NULL COMMENT 'it''s text',\n"
        "    likes INT DEFAULT 0,\n"
        "    PRIMARY KEY (id)\n"
        ") PARTITION BY (likes) COMMENT 'what people say' WITH (TYPE = 'SHARED', "
        "STORAGE_ID = 'local', FLUSH_POLICY = 'rows:10000', DELETED_RETENTION_HOURS = 168, "
        "ACCESS_LEVEL = 'private', ENABLE_CACHE = TRUE, CACHE_TTL_SECONDS = 3600, "
        "ENABLE_REPLICATION = FALSE, COMPRESSION = 'zstd')");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TESTING_UNIT(test_create),          TESTING_UNIT(test_ordinals),
        TESTING_UNIT(test_names),           TESTING_UNIT(test_column_count),
        TESTING_UNIT(test_primary_key),     TESTING_UNIT(test_options),
        TESTING_UNIT(test_partition_by),    TESTING_UNIT(test_later_versions),
        TESTING_UNIT(test_changes_refused), TESTING_UNIT(test_counters_used_up),
        TESTING_UNIT(test_validate),        TESTING_UNIT(test_json),
        TESTING_UNIT(test_json_refused),    TESTING_UNIT(test_binary_format),
        TESTING_UNIT(test_arrow_json),      TESTING_UNIT(test_sql),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
