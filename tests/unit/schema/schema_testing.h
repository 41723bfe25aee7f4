/*
 * schema_testing.h: what the tests of the models share: memory for one test, checks that print what
 * was said, texts in both forms.
 */
#ifndef KAL_TESTS_SCHEMA_TESTING_H
#define KAL_TESTS_SCHEMA_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schema/table_alter.h"

#include <stdio.h>
#include <stdlib.h>

#define TESTING_NOW_US INT64_C(1709212455500000) /* 2024-02-29 13:14:15.5 */

typedef struct testing {
    kal_arena arena;
    kal_buf buf;
    kal_error err;
} testing;

static inline int testing_set_up(void **state)
{
    testing *t = calloc(1, sizeof *t);
    if (t == NULL)
        return -1;
    kal_arena_init(&t->arena, NULL);
    kal_buf_init(&t->buf, NULL);
    t->err = KAL_ERROR_INIT;
    *state = t;
    return 0;
}

static inline int testing_tear_down(void **state)
{
    testing *t = *state;
    kal_arena_release(&t->arena);
    kal_buf_release(&t->buf);
    free(t);
    return 0;
}

#define TESTING_UNIT(function)                                                                     \
    cmocka_unit_test_setup_teardown(function, testing_set_up, testing_tear_down)

static inline void testing_ok(testing *t, kal_status status)
{
    if (status != KAL_OK)
        fail_msg("%s: %s", kal_status_name(status), t->err.message);
    t->err = KAL_ERROR_INIT;
}

/* Failed with exactly this status and message. */
static inline void testing_refused(testing *t, kal_status status, kal_status wanted,
                                   const char *message)
{
    if (status != wanted)
        fail_msg("got %s (%s), wanted %s (%s)", kal_status_name(status), t->err.message,
                 kal_status_name(wanted), message);
    assert_int_equal(t->err.status, wanted);
    assert_string_equal(t->err.message, message);
    t->err = KAL_ERROR_INIT;
}

/* What stands in t->buf, as a C string in the arena; the buffer is empty afterwards. */
static inline const char *testing_take_text(testing *t)
{
    const char *text = kal_arena_cstr(&t->arena, kal_buf_bytes(&t->buf));
    assert_false(kal_buf_failed(&t->buf));
    kal_buf_clear(&t->buf);
    return text;
}

static inline const kal_json *testing_json(testing *t, const char *text)
{
    kal_json *json = NULL;
    testing_ok(t, kal_json_parse(kal_cstr(text), &t->arena, &json, &t->err));
    return json;
}

static inline const char *testing_definition_json(testing *t, const kal_table_definition *def)
{
    kal_json_writer w;
    kal_json_writer_init(&w, &t->buf);
    kal_table_definition_write_json(def, &w);
    return testing_take_text(t);
}

static inline kal_column testing_key_column(const char *name, uint32_t ordinal, kal_type type)
{
    kal_column column = kal_column_simple(name, ordinal, type);
    column.is_nullable = false;
    column.is_primary_key = true;
    return column;
}

/* app.notes: id BIGINT PRIMARY KEY DEFAULT SNOWFLAKE_ID(), body TEXT, likes INT DEFAULT 0 */
static inline kal_table_definition *testing_notes(testing *t, kal_table_type type)
{
    kal_table_definition *def = NULL;
    kal_column columns[] = {
        testing_key_column("id", 1, kal_type_of(KAL_TYPE_BIGINT)),
        kal_column_simple("body", 2, kal_type_of(KAL_TYPE_TEXT)),
        kal_column_simple("likes", 3, kal_type_of(KAL_TYPE_INT)),
    };
    static const kal_column_default SNOWFLAKE = {.kind = KAL_DEFAULT_FUNCTION,
                                                 .function = KAL_FUNCTION_SNOWFLAKE_ID};
    const kal_column_default zero = {.kind = KAL_DEFAULT_LITERAL,
                                     .literal = kal_value_integer(KAL_TYPE_INT, 0)};
    columns[0].default_value = &SNOWFLAKE;
    columns[2].default_value = &zero;
    testing_ok(t, kal_table_definition_create(KAL_STR("app"), KAL_STR("notes"), type, columns,
                                              KAL_ARRAY_LEN(columns), NULL, 0, NULL, TESTING_NOW_US,
                                              &t->arena, &def, &t->err));
    return def;
}

#endif
