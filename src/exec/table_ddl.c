/*
 * table_ddl.c: CREATE TABLE, from what the statement says to a definition, and DROP TABLE.
 */
#include "exec/ddl.h"
#include "exec/dml.h"

/* ---- type and options ---- */

kal_status kal_ddl_option_value(const kal_sql_option *option, kal_value *out, kal_error *err)
{
    switch (option->kind) {
    case KAL_SQL_OPTION_STRING:
    case KAL_SQL_OPTION_WORD:
    case KAL_SQL_OPTION_NUMBER: /* no option is a fraction: refused as the text it is */
        *out = kal_value_text(option->text);
        return KAL_OK;
    case KAL_SQL_OPTION_INTEGER:
        *out = kal_value_bigint(option->integer);
        return KAL_OK;
    case KAL_SQL_OPTION_BOOLEAN:
        *out = kal_value_boolean(option->boolean);
        return KAL_OK;
    case KAL_SQL_OPTION_NULL:
        break;
    }
    return kal_error_set(err, KAL_INVALID, "option '%.*s' cannot be NULL", KAL_FMT(option->name));
}

static bool is_type_option(const kal_sql_option *option)
{
    return kal_bytes_equal(option->name, KAL_STR("type"));
}

static kal_status named_table_type(const kal_sql_option *option, kal_table_type *out,
                                   kal_error *err)
{
    bool is_text = option->kind == KAL_SQL_OPTION_STRING || option->kind == KAL_SQL_OPTION_WORD;
    if (is_text && kal_table_type_parse(option->text, out) && *out < KAL_TABLE_SYSTEM)
        return KAL_OK;
    kal_error_set(err, KAL_INVALID, "unknown table type '%.*s', valid types: %s, %s, %s",
                  KAL_FMT(option->text), kal_table_type_upper(KAL_TABLE_USER),
                  kal_table_type_upper(KAL_TABLE_SHARED), kal_table_type_upper(KAL_TABLE_STREAM));
    kal_error_at(err, option->value_position);
    return KAL_INVALID;
}

/* The word before TABLE and the option `type` must agree; without both the table is SHARED. */
static kal_status table_type_of(const kal_sql_create_table *s, kal_table_type *out, kal_error *err)
{
    static const kal_table_type OF_WORD[] = {
        [KAL_SQL_TABLE_UNSPECIFIED] = KAL_TABLE_SHARED,
        [KAL_SQL_TABLE_USER] = KAL_TABLE_USER,
        [KAL_SQL_TABLE_SHARED] = KAL_TABLE_SHARED,
        [KAL_SQL_TABLE_STREAM] = KAL_TABLE_STREAM,
    };
    *out = OF_WORD[s->table_type];
    for (size_t i = 0; i < s->option_count; i++) {
        kal_table_type named;
        if (!is_type_option(&s->options[i]))
            continue;
        KAL_TRY(named_table_type(&s->options[i], &named, err));
        if (s->table_type != KAL_SQL_TABLE_UNSPECIFIED && named != *out) {
            kal_error_set(err, KAL_INVALID, "the option says %s, the statement CREATE %s TABLE",
                          kal_table_type_upper(named), kal_table_type_upper(*out));
            kal_error_at(err, s->options[i].position);
            return KAL_INVALID;
        }
        *out = named;
    }
    return KAL_OK;
}

/* How long rows are to be seen is nothing to be guessed. */
static kal_status check_ttl_given(const kal_sql_create_table *s, kal_table_type type,
                                  kal_error *err)
{
    for (size_t i = 0; i < s->option_count && type == KAL_TABLE_STREAM; i++) {
        if (kal_bytes_equal_nocase(s->options[i].name, KAL_STR("ttl_seconds")))
            return KAL_OK;
    }
    if (type != KAL_TABLE_STREAM)
        return KAL_OK;
    kal_error_set(err, KAL_INVALID, "a STREAM table needs a TTL");
    kal_error_hint(err, "for example: WITH (TTL_SECONDS = 3600)");
    kal_error_at(err, s->table.position);
    return KAL_INVALID;
}

static kal_status set_options(const kal_sql_create_table *s, kal_table_options *options,
                              kal_error *err)
{
    for (size_t i = 0; i < s->option_count; i++) {
        const kal_sql_option *option = &s->options[i];
        kal_value value;
        if (is_type_option(option))
            continue;
        kal_status status = kal_ddl_option_value(option, &value, err);
        if (status == KAL_OK)
            status = kal_table_options_set(options, option->name, &value, err);
        if (status != KAL_OK) {
            kal_error_at(err, option->position);
            return status;
        }
    }
    return KAL_OK;
}

/* ---- columns ---- */

static kal_status default_call(const kal_sql_expr *call, kal_column_default *out, kal_error *err)
{
    out->kind = KAL_DEFAULT_FUNCTION;
    KAL_TRY(kal_default_function_parse(call->call.name.text, &out->function, err));
    if (call->call.args.count > KAL_DEFAULT_ARGS_MAX)
        return kal_error_set(err, KAL_INVALID, "%s takes at most %d argument, %zu are given",
                             kal_default_function_name(out->function), KAL_DEFAULT_ARGS_MAX,
                             call->call.args.count);
    for (size_t i = 0; i < call->call.args.count; i++) {
        const kal_sql_expr *arg = call->call.args.items[i];
        if (arg->kind != KAL_SQL_EXPR_NUMBER || !arg->number.is_integer ||
            !kal_parse_i64(arg->number.text, &out->args[i]))
            return kal_error_set(err, KAL_INVALID, "arguments of %s in DEFAULT are whole numbers",
                                 kal_default_function_name(out->function));
        out->arg_count++;
    }
    return KAL_OK;
}

static kal_status default_literal(kal_run *run, const kal_sql_expr *e, kal_column_default *out,
                                  kal_error *err)
{
    kal_binder b = kal_run_binder(run, NULL, (kal_bytes){0});
    kal_expr *bound = NULL;
    kal_value value;

    kal_status status = kal_bind_expr(&b, e, &bound, err);
    if (status == KAL_UNSUPPORTED && b.for_engine) {
        const kal_sql_expr *exprs[] = {e};
        status = kal_dml_engine_values(run, exprs, 1, &value, err);
    } else if (status == KAL_OK) {
        status = kal_expr_eval(bound, NULL, &run->session, run->arena, &value, err);
    }
    KAL_TRY(status);
    if (value.is_null)
        return KAL_OK; /* DEFAULT NULL is no default */
    out->kind = KAL_DEFAULT_LITERAL;
    out->literal = value;
    return KAL_OK;
}

kal_status kal_ddl_default(kal_run *run, const kal_sql_expr *e, kal_column_default *out,
                           kal_error *err)
{
    *out = (kal_column_default){0};
    kal_status status = e->kind == KAL_SQL_EXPR_CALL ? default_call(e, out, err)
                                                     : default_literal(run, e, out, err);
    if (status != KAL_OK)
        kal_error_at(err, e->position);
    return status;
}

static kal_status column_default(kal_run *run, const kal_sql_column_def *def, kal_column *column,
                                 kal_error *err)
{
    kal_column_default *out = KAL_NEW(run->arena, kal_column_default);
    column->default_value = out;
    if (def->default_value == NULL) {
        if (def->auto_increment || def->type.serial) {
            out->kind = KAL_DEFAULT_FUNCTION;
            out->function = KAL_FUNCTION_SNOWFLAKE_ID;
        }
        return KAL_OK;
    }
    KAL_TRY(kal_ddl_default(run, def->default_value, out, err));
    if (out->kind != KAL_DEFAULT_LITERAL)
        return KAL_OK;
    kal_value written = out->literal;
    return kal_dml_assign(column, &written, run->arena, def->default_value->position, &out->literal,
                          err);
}

bool kal_ddl_is_column_name(kal_bytes name)
{
    bool valid = name.len > 0 && name.len <= KAL_NAME_BYTES_MAX;
    for (size_t i = 0; i < name.len && valid; i++) {
        uint8_t c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool later = (c >= '0' && c <= '9') || c == '_';
        valid = letter || (i > 0 && later);
    }
    return valid;
}

kal_status kal_ddl_check_column_name(const kal_sql_name *name, kal_error *err)
{
    if (kal_ddl_is_column_name(name->text))
        return KAL_OK;
    kal_error_set(err, KAL_INVALID, "'%.*s' cannot be a column's name", KAL_FMT(name->text));
    kal_error_hint(err, "1 to %d letters, digits and _, a letter first", KAL_NAME_BYTES_MAX);
    kal_error_at(err, name->position);
    return KAL_INVALID;
}

/* SERIAL and AUTO_INCREMENT mean "numbered by the server": whatever integer was written, the ids
 * need 64 bits. */
static kal_type column_type(const kal_sql_column_def *def)
{
    bool numbered = def->type.serial || def->auto_increment;
    if (numbered && kal_type_is_integer(def->type.type))
        return kal_type_of(KAL_TYPE_BIGINT);
    return def->type.type;
}

kal_status kal_ddl_column(kal_run *run, const kal_sql_column_def *def, uint32_t ordinal,
                          kal_column *out, kal_error *err)
{
    KAL_TRY(kal_ddl_check_column_name(&def->name, err));
    *out = (kal_column){
        .name = def->name.text,
        .ordinal_position = ordinal,
        .type = column_type(def),
        .is_nullable = !def->not_null && !def->primary_key,
        .is_primary_key = def->primary_key,
        .comment = def->has_comment ? def->comment : (kal_bytes){0},
    };
    if (def->primary_key && def->nullable_given && !def->not_null) {
        kal_error_set(err, KAL_INVALID, "key column '%.*s' cannot be nullable",
                      KAL_FMT(def->name.text));
        kal_error_at(err, def->name.position);
        return KAL_INVALID;
    }
    KAL_TRY(column_default(run, def, out, err));
    kal_status status = kal_column_validate(out, err);
    if (status != KAL_OK)
        kal_error_at(err, def->name.position);
    return status;
}

/* ---- the definition ---- */

typedef struct table_plan {
    const kal_sql_create_table *sql;
    kal_column *columns; /* arena */
    kal_bytes *key_names;
    size_t key_count;
    kal_table_options options;
    kal_table_type type;
} table_plan;

static kal_status plan_key(kal_run *run, table_plan *plan, kal_error *err)
{
    const kal_sql_create_table *s = plan->sql;

    plan->key_count = s->primary_key.count;
    if (plan->key_count == 0)
        return KAL_OK;
    plan->key_names = kal_arena_alloc(run->arena, plan->key_count * sizeof *plan->key_names);
    for (size_t i = 0; i < plan->key_count; i++) {
        bool found = false;
        plan->key_names[i] = s->primary_key.items[i].text;
        for (size_t c = 0; c < s->column_count; c++) {
            if (!kal_bytes_equal(plan->columns[c].name, plan->key_names[i]))
                continue;
            found = true;
            plan->columns[c].is_primary_key = true;
            plan->columns[c].is_nullable = false;
        }
        if (found)
            continue;
        kal_error_set(err, KAL_INVALID, "the primary key names '%.*s', which is no column",
                      KAL_FMT(plan->key_names[i]));
        kal_error_at(err, s->primary_key.items[i].position);
        return KAL_INVALID;
    }
    return KAL_OK;
}

static kal_status plan_table(kal_run *run, table_plan *plan, kal_error *err)
{
    const kal_sql_create_table *s = &run->statement->create_table;

    *plan = (table_plan){.sql = s};
    KAL_TRY(table_type_of(s, &plan->type, err));
    plan->options = kal_table_options_default(plan->type);
    KAL_TRY(set_options(s, &plan->options, err));
    KAL_TRY(check_ttl_given(s, plan->type, err));
    if (s->column_count > KAL_COLUMNS_MAX)
        return kal_error_set(err, KAL_LIMIT, "%zu columns are too many, the limit is %d",
                             s->column_count, KAL_COLUMNS_MAX);
    plan->columns = kal_arena_try_array(run->arena, s->column_count, sizeof *plan->columns);
    if (plan->columns == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    for (size_t i = 0; i < s->column_count; i++)
        KAL_TRY(kal_ddl_column(run, &s->columns[i], (uint32_t)i + 1, &plan->columns[i], err));
    return plan_key(run, plan, err);
}

static kal_status make_definition(kal_run *run, const table_plan *plan, kal_bytes ns,
                                  kal_table_definition **out, kal_error *err)
{
    const kal_sql_create_table *s = plan->sql;
    kal_bytes *partition =
        kal_arena_alloc(run->arena, (s->partition_by.count + 1) * sizeof *partition);

    KAL_TRY(kal_table_definition_create(ns, s->table.name.text, plan->type, plan->columns,
                                        s->column_count, plan->key_names, plan->key_count,
                                        &plan->options, run->session.now_us, run->arena, out, err));
    if (s->has_comment)
        (*out)->comment = s->comment;
    for (size_t i = 0; i < s->partition_by.count; i++)
        partition[i] = s->partition_by.items[i].text;
    return kal_table_definition_partition_by(*out, partition, s->partition_by.count, err);
}

static void created_message(kal_run *run, const kal_table_definition *def, bool existed)
{
    if (existed)
        kal_result_message(run->result, 0, "Table %.*s.%.*s already exists (skipped)",
                           KAL_FMT(def->namespace_id), KAL_FMT(def->table_name));
    else if (def->table_type == KAL_TABLE_USER)
        kal_result_message(run->result, 0, "User table created successfully");
    else if (def->table_type == KAL_TABLE_STREAM)
        kal_result_message(run->result, 0, "Stream table created successfully");
    else
        kal_result_message(run->result, 0, "Table created successfully");
}

static kal_bytes namespace_of(const kal_run *run, const kal_sql_object *name)
{
    return kal_sql_name_given(name->namespace_name) ? name->namespace_name.text
                                                    : run->default_namespace;
}

kal_status kal_run_create_table(kal_run *run, kal_error *err)
{
    const kal_sql_object *name = &run->statement->create_table.table;
    bool if_not_exists = run->statement->create_table.if_not_exists;
    kal_table_definition *def = NULL;
    table_plan plan;
    bool existed = false;

    KAL_TRY(kal_may_change_schema(run->principal, err));
    KAL_TRY(plan_table(run, &plan, err));
    KAL_TRY(make_definition(run, &plan, namespace_of(run, name), &def, err));
    kal_catalog_change *change = kal_catalog_begin(run->exec->catalog, run->principal);
    kal_status status = kal_catalog_create_table(change, def, if_not_exists, &existed, err);
    if (status == KAL_OK && !existed)
        status = kal_run_commit_change(run, change, err);
    kal_catalog_end(change);
    if (status != KAL_OK) {
        kal_error_at(err, name->position);
        return status;
    }
    created_message(run, def, existed);
    return KAL_OK;
}

/* ---- DROP TABLE ---- */

kal_status kal_ddl_check_kind(const kal_table *table, kal_sql_table_type word, uint32_t position,
                              kal_error *err)
{
    static const kal_table_type OF_WORD[] = {
        [KAL_SQL_TABLE_USER] = KAL_TABLE_USER,
        [KAL_SQL_TABLE_SHARED] = KAL_TABLE_SHARED,
        [KAL_SQL_TABLE_STREAM] = KAL_TABLE_STREAM,
    };
    if (word == KAL_SQL_TABLE_UNSPECIFIED || table->def->table_type == OF_WORD[word])
        return KAL_OK;
    kal_error_set(err, KAL_INVALID, "table '%.*s.%.*s' is of type %s",
                  KAL_FMT(table->def->namespace_id), KAL_FMT(table->def->table_name),
                  kal_table_type_upper(table->def->table_type));
    kal_error_at(err, position);
    return KAL_INVALID;
}

kal_status kal_ddl_check_is_table(const kal_table *table, uint32_t position, kal_error *err)
{
    if (table->def->table_type != KAL_TABLE_VIEW)
        return KAL_OK;
    kal_error_set(err, KAL_INVALID, "'%.*s.%.*s' is a view, not a table",
                  KAL_FMT(table->def->namespace_id), KAL_FMT(table->def->table_name));
    kal_error_hint(err, "CREATE OR REPLACE VIEW and DROP VIEW change views");
    kal_error_at(err, position);
    return KAL_INVALID;
}

/* A table that is missing is the catalog's to report, or not, by IF EXISTS. */
static kal_status check_kind(kal_run *run, const kal_sql_table_stmt *s, kal_error *err)
{
    kal_table *table = NULL;

    kal_status status = kal_run_table(run, &s->table, &table, err);
    if (status == KAL_NOT_FOUND)
        return KAL_OK;
    KAL_TRY(status);
    KAL_TRY(kal_ddl_check_is_table(table, s->table.position, err));
    return kal_ddl_check_kind(table, s->table_type, s->table.position, err);
}

kal_status kal_ddl_drop(kal_run *run, const char *word,
                        kal_status (*check)(kal_run *run, const kal_sql_table_stmt *s,
                                            kal_error *err),
                        kal_error *err)
{
    const kal_sql_table_stmt *s = &run->statement->table;
    kal_bytes ns = namespace_of(run, &s->table);
    bool existed = false;

    KAL_TRY(kal_may_change_schema(run->principal, err));
    kal_catalog_change *change = kal_catalog_begin(run->exec->catalog, run->principal);
    kal_status status = check(run, s, err);
    if (status == KAL_OK)
        status =
            kal_catalog_drop_table(change, ns, s->table.name.text, s->if_exists, &existed, err);
    if (status == KAL_OK && existed)
        status = kal_run_commit_change(run, change, err);
    kal_catalog_end(change);
    if (status != KAL_OK) {
        kal_error_at(err, s->table.position);
        return status;
    }
    kal_result_message(run->result, 0, "%s %.*s.%.*s %s", word, KAL_FMT(ns),
                       KAL_FMT(s->table.name.text),
                       existed ? "dropped successfully" : "does not exist (skipped)");
    return KAL_OK;
}

kal_status kal_run_drop_table(kal_run *run, kal_error *err)
{
    return kal_ddl_drop(run, "Table", check_kind, err);
}
