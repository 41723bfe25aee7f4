/* Goal: system.datatypes is complete and right. Method: every name the parser knows is in the walk
 * once and means what the list says; Arrow's names are held against the exported schema. */
#include "types/arrow.h"
#include "types/datatypes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void every_name_is_listed_and_true(void **state)
{
    const char *name = NULL;
    kal_type_tag tag = KAL_TYPE_NULL;
    kal_datatype d;
    size_t count = 0;

    (void)state;
    for (; kal_type_alias_at(count, &name, &tag); count++) {
        const int64_t dim = 3;
        size_t args = tag == KAL_TYPE_EMBEDDING;
        kal_type type;
        bool is_serial = false;
        kal_error err = KAL_ERROR_INIT;

        assert_true(kal_datatype_at(count, &d));
        assert_string_equal(d.sql_name, name);
        assert_int_equal(
            kal_type_from_sql(kal_cstr(d.sql_name), &dim, args, &type, &is_serial, &err), KAL_OK);
        assert_string_equal(
            d.kalam_name, kal_type_base_name(is_serial ? KAL_TYPE_BIGINT : (kal_type_tag)type.tag));
        assert_int_equal(is_serial, kal_type_alias_is_serial(count));
        assert_true(d.description[0] != '\0');
        if (count >= KAL_TYPE_COUNT)
            assert_non_null(strstr(d.description, d.kalam_name));
    }
    assert_false(kal_datatype_at(count, &d));
    assert_true(count > 40);
}

/* The name that goes with an Arrow format string. */
static const char *arrow_name(const char *format)
{
    static const char *const NAMES[][2] = {
        {"b", "Boolean"},
        {"s", "Int16"},
        {"i", "Int32"},
        {"l", "Int64"},
        {"f", "Float32"},
        {"g", "Float64"},
        {"u", "Utf8"},
        {"z", "Binary"},
        {"tdD", "Date32"},
        {"ttu", "Time64(Microsecond)"},
        {"tsu:", "Timestamp(Microsecond)"},
        {"tsu:UTC", "Timestamp(Microsecond, UTC)"},
        {"w:16", "FixedSizeBinary(16)"},
        {"+w:3", "FixedSizeList(Float32, dimension)"},
        {"d:38,10", "Decimal128(precision, scale)"},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(NAMES); i++) {
        if (strcmp(NAMES[i][0], format) == 0)
            return NAMES[i][1];
    }
    fail_msg("no name for the format %s", format);
    return NULL;
}

static void arrow_names_are_those_of_the_export(void **state)
{
    (void)state;
    for (size_t i = 0; i < KAL_TYPE_COUNT; i++) {
        const int64_t dim = 3;
        kal_datatype d;
        kal_type type;
        struct ArrowSchema schema;
        kal_error err = KAL_ERROR_INIT;

        assert_true(kal_datatype_at(i, &d));
        size_t args = strcmp(d.kalam_name, kal_type_base_name(KAL_TYPE_EMBEDDING)) == 0;
        assert_int_equal(kal_type_from_sql(kal_cstr(d.sql_name), &dim, args, &type, NULL, &err),
                         KAL_OK);
        kal_arrow_field field = {.name = KAL_STR("c"), .type = type, .nullable = true};
        kal_arrow_export(&field, 1, &schema);
        assert_string_equal(d.arrow_name, arrow_name(schema.children[0]->format));
        schema.release(&schema);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_is_listed_and_true),
        cmocka_unit_test(arrow_names_are_those_of_the_export),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
