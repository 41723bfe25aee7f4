#include "parser_support.h"

#include "schema/table_definition.h"
#include "sql/lexer.h"
#include "types/text.h"
#include "unit/schema/random_definition.h"

/* Goal: the words that the schema quotes are exactly those that this grammar takes no bare name
 * from: the folder of the schema cannot see the list of keywords. Method: every keyword. */
static void test_reserved_words(void **state)
{
    kal_buf out; /* owned */
    (void)state;
    kal_buf_init(&out, NULL);
    for (int keyword = KAL_KW_NONE + 1; keyword < KAL_KW_COUNT; keyword++) {
        char word[64] = {0};
        const char *upper = kal_sql_keyword_name((kal_sql_keyword)keyword);
        for (size_t i = 0; upper[i] != '\0'; i++)
            word[i] = kal_ascii_lower(upper[i]);
        kal_buf_clear(&out);
        kal_identifier_to_sql(kal_cstr(word), &out);
        bool quoted = out.ptr[0] == '"';
        if (quoted == kal_sql_keyword_may_name((kal_sql_keyword)keyword))
            fail_msg("'%s' is %squoted", word, quoted ? "" : "not ");
    }
    kal_buf_release(&out);
}

static void check_names(const kal_sql_names *parsed, const kal_table_definition *def,
                        const uint32_t *columns, uint32_t count)
{
    assert_int_equal(parsed->count, count);
    for (uint32_t i = 0; i < count; i++)
        assert_true(kal_bytes_equal(parsed->items[i].text, def->columns[columns[i]].name));
}

/* The literal as the column's type, bit for bit. */
static void check_literal(const kal_sql_expr *parsed, const kal_value *literal, kal_arena *arena)
{
    kal_error err = KAL_ERROR_INIT;
    kal_value value = {0};
    kal_status status = KAL_OK;
    switch ((kal_sql_expr_kind)parsed->kind) {
    case KAL_SQL_EXPR_BOOLEAN:
        value = kal_value_boolean(parsed->boolean);
        break;
    case KAL_SQL_EXPR_NUMBER:
        status = kal_value_from_text(literal->type, parsed->number.text, arena, &value, &err);
        break;
    case KAL_SQL_EXPR_STRING:
        status = kal_value_from_text(literal->type, parsed->text, arena, &value, &err);
        break;
    case KAL_SQL_EXPR_TYPED:
        assert_true(kal_type_equal(parsed->typed.type->type, literal->type));
        status = kal_value_from_text(literal->type, parsed->typed.text, arena, &value, &err);
        break;
    default:
        fail_msg("a literal reads back as expression of kind %u", parsed->kind);
    }
    if (status != KAL_OK)
        fail_msg("%s", err.message);
    assert_true(kal_value_identical(&value, literal));
}

static void check_column(const kal_sql_column_def *parsed, const kal_column *column,
                         kal_arena *arena)
{
    assert_true(kal_bytes_equal(parsed->name.text, column->name));
    assert_true(kal_type_equal(parsed->type.type, column->type));
    assert_int_equal(parsed->not_null, !column->is_nullable);
    assert_int_equal(parsed->has_comment, column->comment.ptr != NULL);
    assert_true(kal_bytes_equal(parsed->comment, column->comment));
    assert_int_equal(parsed->default_value != NULL, kal_column_has_default(column));
    if (kal_column_default_of(column)->kind == KAL_DEFAULT_LITERAL)
        check_literal(parsed->default_value, &column->default_value->literal, arena);
    if (kal_column_default_of(column)->kind == KAL_DEFAULT_FUNCTION) {
        assert_int_equal(parsed->default_value->kind, KAL_SQL_EXPR_CALL);
        assert_int_equal(parsed->default_value->call.args.count, column->default_value->arg_count);
    }
}

static void check_options(const kal_sql_create_table *parsed, const kal_table_definition *def)
{
    kal_table_options options = kal_table_options_default(def->table_type);
    for (size_t i = 0; i < parsed->option_count; i++) {
        const kal_sql_option *o = &parsed->options[i];
        kal_error err = KAL_ERROR_INIT;
        kal_value value = o->kind == KAL_SQL_OPTION_INTEGER   ? kal_value_bigint(o->integer)
                          : o->kind == KAL_SQL_OPTION_BOOLEAN ? kal_value_boolean(o->boolean)
                                                              : kal_value_text(o->text);
        if (kal_bytes_equal(o->name, KAL_STR("type"))) {
            assert_true(kal_bytes_equal(o->text, kal_cstr(kal_table_type_upper(def->table_type))));
            continue;
        }
        kal_status status = kal_table_options_set(&options, o->name, &value, &err);
        if (status != KAL_OK && status != KAL_UNSUPPORTED) /* valid, though perhaps not built */
            fail_msg("%s", err.message);
    }
}

static void check_definition(const kal_table_definition *def, kal_bytes sql, kal_arena *arena)
{
    kal_error err = KAL_ERROR_INIT;
    kal_sql_statement *statement = NULL;
    uint32_t *partition = kal_arena_alloc(arena, def->column_count * sizeof *partition);
    uint32_t partition_count = 0;

    if (parse_one(sql, arena, &statement, &err) != KAL_OK)
        fail_msg("%s\n%.*s", err.message, KAL_FMT(sql));
    assert_int_equal(statement->kind, KAL_STMT_CREATE_TABLE);
    const kal_sql_create_table *parsed = &statement->create_table;
    assert_true(kal_bytes_equal(parsed->table.namespace_name.text, def->namespace_id));
    assert_true(kal_bytes_equal(parsed->table.name.text, def->table_name));
    assert_int_equal(parsed->column_count, def->column_count);
    for (uint32_t i = 0; i < def->column_count; i++) {
        check_column(&parsed->columns[i], &def->columns[i], arena);
        if (def->columns[i].is_partition_key)
            partition[partition_count++] = i;
    }
    check_names(&parsed->primary_key, def, def->key_columns, def->key_column_count);
    check_names(&parsed->partition_by, def, partition, partition_count);
    assert_int_equal(parsed->has_comment, def->comment.ptr != NULL);
    assert_true(kal_bytes_equal(parsed->comment, def->comment));
    check_options(parsed, def);
}

/* Goal: what SHOW CREATE TABLE prints is a CREATE TABLE of the same table. Method: random
 * definitions, printed, parsed and compared part by part; text with a NUL, which SQL cannot hold,
 * is left out. */
static void test_reads_back(void **state)
{
    kal_rng rng;
    kal_arena arena; /* owned */
    kal_buf sql;     /* owned */
    size_t compared = 0;

    (void)state;
    test_seed_rng(&rng);
    kal_arena_init(&arena, NULL);
    kal_buf_init(&sql, NULL);
    for (int i = 0; i < 200; i++) {
        kal_error err = KAL_ERROR_INIT;
        kal_table_definition *def = random_definition(&rng, 6, 3, &arena, &err);
        if (def == NULL)
            fail_msg("%s", err.message);
        kal_buf_clear(&sql);
        kal_table_definition_to_sql(def, &sql);
        if (memchr(sql.ptr, 0, sql.len) == NULL) {
            check_definition(def, kal_buf_bytes(&sql), &arena);
            compared++;
        }
        kal_arena_reset(&arena);
    }
    assert_true(compared > 100);
    kal_buf_release(&sql);
    kal_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reserved_words),
        cmocka_unit_test(test_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
