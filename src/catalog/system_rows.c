/*
 * system_rows.c: the rows of the system tables, made when they are read, as of a snapshot.
 */
#include "base/assert.h"
#include "base/json_writer.h"
#include "catalog/catalog_internal.h"
#include "types/datatypes.h"
#include "types/type_forms.h"

/* No table has more columns. */
enum { COLUMNS_MAX = 32 };

struct kal_system_sink {
    kal_catalog *catalog;
    const kal_kv_snapshot *snapshot;
    kal_arena *arena; /* of the rows */
    size_t column_count;
    KAL_VEC(kal_value) values; /* arena */
    kal_value row[COLUMNS_MAX];
    kal_bytes counted_ns; /* count_table() */
    int64_t counted;
};

typedef kal_system_sink row_maker;

/* ---- cells ---- */

static void set_text(row_maker *m, size_t column, kal_bytes text)
{
    m->row[column] = kal_value_text(text);
}

/* NULL when there is none. */
static void set_optional(row_maker *m, size_t column, kal_type_tag tag, kal_bytes text)
{
    m->row[column] = text.ptr == NULL ? kal_value_null(kal_type_of(tag))
                                      : kal_value_bytes(kal_type_of(tag), text);
}

static void set_null(row_maker *m, size_t column, kal_type_tag tag)
{
    m->row[column] = kal_value_null(kal_type_of(tag));
}

static void set_time(row_maker *m, size_t column, int64_t us)
{
    m->row[column] = kal_value_integer(KAL_TYPE_TIMESTAMP, us);
}

/* 0 = never. */
static void set_optional_time(row_maker *m, size_t column, int64_t us)
{
    if (us == 0)
        set_null(m, column, KAL_TYPE_TIMESTAMP);
    else
        set_time(m, column, us);
}

static void set_int(row_maker *m, size_t column, uint64_t v)
{
    m->row[column] = kal_value_integer(KAL_TYPE_INT, (int64_t)v);
}

static void set_bigint(row_maker *m, size_t column, uint64_t v)
{
    m->row[column] = kal_value_bigint((int64_t)v);
}

static void set_boolean(row_maker *m, size_t column, bool v)
{
    m->row[column] = kal_value_boolean(v);
}

static kal_status out_of_memory(kal_error *err)
{
    return kal_error_set(err, KAL_LIMIT, "the system table's rows exceed the statement's memory");
}

/* The row is complete: its texts move into the arena. */
static kal_status add_row(row_maker *m, kal_error *err)
{
    for (size_t i = 0; i < m->column_count; i++) {
        kal_value copy;
        if (!kal_value_copy(&m->row[i], m->arena, &copy) ||
            !kal_vec_try_push_in(m->arena, &m->values, copy))
            return out_of_memory(err);
    }
    return KAL_OK;
}

/* ---- users, namespaces, storages ---- */

static kal_status user_row(void *context, const kal_user *user, kal_error *err)
{
    row_maker *m = context;
    bool has_password = user->password_hash.len > 0;

    set_text(m, KAL_USERS_USER_ID, user->user_id);
    set_text(m, KAL_USERS_USERNAME, user->user_id);
    set_optional(m, KAL_USERS_PASSWORD_HASH, KAL_TYPE_TEXT,
                 has_password ? KAL_STR("***") : (kal_bytes){0});
    set_text(m, KAL_USERS_ROLE, kal_cstr(kal_role_name(user->role)));
    set_optional(m, KAL_USERS_EMAIL, KAL_TYPE_TEXT, user->email);
    set_text(m, KAL_USERS_AUTH_TYPE, user->auth_type);
    set_optional(m, KAL_USERS_AUTH_DATA, KAL_TYPE_JSON, user->auth_data);
    set_time(m, KAL_USERS_CREATED_AT, user->created_at_us);
    set_time(m, KAL_USERS_UPDATED_AT, user->updated_at_us);
    set_optional_time(m, KAL_USERS_LAST_SEEN, user->last_seen_us);
    set_optional_time(m, KAL_USERS_DELETED_AT, user->deleted_at_us);
    return add_row(m, err);
}

static kal_status count_table(void *context, kal_bytes ns, kal_bytes name, uint32_t table_id,
                              kal_error *err)
{
    row_maker *m = context;
    (void)name, (void)table_id, (void)err;
    m->counted += kal_bytes_equal(ns, m->counted_ns);
    return KAL_OK;
}

static kal_status namespace_row(void *context, kal_bytes name, int64_t created_at_us,
                                kal_bytes options, kal_error *err)
{
    row_maker *m = context;

    m->counted_ns = name;
    m->counted = 0;
    KAL_TRY(kal_table_store_scan(m->catalog, m->snapshot, name, count_table, m, err));
    set_text(m, KAL_NAMESPACES_NAMESPACE_ID, name);
    set_text(m, KAL_NAMESPACES_NAME, name);
    set_time(m, KAL_NAMESPACES_CREATED_AT, created_at_us);
    set_optional(m, KAL_NAMESPACES_OPTIONS, KAL_TYPE_JSON, options);
    set_int(m, KAL_NAMESPACES_TABLE_COUNT, (uint64_t)m->counted);
    return add_row(m, err);
}

static kal_bytes shown_or_null(kal_bytes text)
{
    return text.len == 0 ? (kal_bytes){0} : text;
}

static kal_status storage_row(void *context, const kal_storage *storage, kal_error *err)
{
    row_maker *m = context;

    set_text(m, KAL_STORAGES_STORAGE_ID, storage->storage_id);
    set_text(m, KAL_STORAGES_STORAGE_NAME, storage->name);
    set_optional(m, KAL_STORAGES_DESCRIPTION, KAL_TYPE_TEXT, storage->description);
    set_text(m, KAL_STORAGES_STORAGE_TYPE, storage->type);
    set_text(m, KAL_STORAGES_BASE_DIRECTORY, storage->base_directory);
    set_optional(m, KAL_STORAGES_CREDENTIALS, KAL_TYPE_TEXT,
                 kal_storage_is_s3(storage) ? KAL_STR("***") : (kal_bytes){0});
    set_optional(m, KAL_STORAGES_REGION, KAL_TYPE_TEXT, shown_or_null(storage->s3.location.region));
    set_optional(m, KAL_STORAGES_ENDPOINT, KAL_TYPE_TEXT,
                 shown_or_null(storage->s3.location.endpoint));
    set_text(m, KAL_STORAGES_SHARED_TABLES_TEMPLATE, storage->shared_template);
    set_text(m, KAL_STORAGES_USER_TABLES_TEMPLATE, storage->user_template);
    set_time(m, KAL_STORAGES_CREATED_AT, storage->created_at_us);
    set_time(m, KAL_STORAGES_UPDATED_AT, storage->updated_at_us);
    return add_row(m, err);
}

/* ---- tables ---- */

/* Makes the rows of one table; the arena is the table's own, released afterwards. */
typedef kal_status (*table_rows_fn)(row_maker *m, const kal_version_record *version,
                                    kal_arena *arena, kal_error *err);

typedef struct table_walk {
    row_maker *maker;
    table_rows_fn fn;
    bool all_versions;
} table_walk;

static kal_status rows_of_versions(table_walk *walk, uint32_t table_id, kal_arena *arena,
                                   kal_error *err)
{
    row_maker *m = walk->maker;
    kal_table_record record;

    KAL_TRY(kal_table_store_record(m->catalog, m->snapshot, table_id, &record, err));
    for (uint32_t v = walk->all_versions ? 1 : record.version; v <= record.version; v++) {
        kal_version_record version;
        KAL_TRY(
            kal_table_store_version(m->catalog, m->snapshot, table_id, v, arena, &version, err));
        KAL_TRY(walk->fn(m, &version, arena, err));
        kal_arena_reset(arena);
    }
    return KAL_OK;
}

static kal_status visit_table(void *context, kal_bytes ns, kal_bytes name, uint32_t table_id,
                              kal_error *err)
{
    kal_arena arena;
    (void)ns, (void)name;
    kal_arena_init(&arena, NULL);
    kal_status status = rows_of_versions(context, table_id, &arena, err);
    kal_arena_release(&arena);
    return status == KAL_NOT_FOUND ? kal_record_corrupt("table", err) : status;
}

static kal_status each_table(row_maker *m, table_rows_fn fn, bool all_versions, kal_error *err)
{
    table_walk walk = {m, fn, all_versions};
    return kal_table_store_scan(m->catalog, m->snapshot, (kal_bytes){0}, visit_table, &walk, err);
}

/* Writes JSON by a function into the arena. */
#define JSON_TEXT(arena, call, out)                                                                \
    do {                                                                                           \
        kal_buf json_;                                                                             \
        kal_json_writer writer_;                                                                   \
        kal_json_writer *w = &writer_;                                                             \
        kal_buf_init(&json_, NULL);                                                                \
        kal_json_writer_init(w, &json_);                                                           \
        call;                                                                                      \
        *(out) = kal_arena_copy(arena, kal_buf_bytes(&json_));                                     \
        kal_buf_release(&json_);                                                                   \
    } while (0)

static void set_table_options(row_maker *m, const kal_table_definition *def, kal_arena *arena)
{
    const kal_table_options *o = &def->options;
    kal_bytes json;

    set_null(m, KAL_TABLES_STORAGE_ID, KAL_TYPE_TEXT);
    set_null(m, KAL_TABLES_FLUSH_POLICY, KAL_TYPE_JSON);
    set_null(m, KAL_TABLES_DELETED_RETENTION_HOURS, KAL_TYPE_BIGINT);
    set_null(m, KAL_TABLES_ACCESS_LEVEL, KAL_TYPE_TEXT);
    set_boolean(m, KAL_TABLES_USE_USER_STORAGE, o->use_user_storage != 0);
    if (kal_storage_is_used_by(def)) {
        set_text(m, KAL_TABLES_STORAGE_ID, kal_cstr(o->storage_id));
        JSON_TEXT(arena, kal_flush_policy_write_json(&o->flush_policy, w), &json);
        set_optional(m, KAL_TABLES_FLUSH_POLICY, KAL_TYPE_JSON, json);
        set_bigint(m, KAL_TABLES_DELETED_RETENTION_HOURS, o->deleted_retention_hours);
    }
    if (def->table_type == KAL_TABLE_SHARED)
        set_text(m, KAL_TABLES_ACCESS_LEVEL,
                 kal_cstr(kal_access_level_name((kal_access_level)o->access_level)));
    JSON_TEXT(arena, kal_table_options_write_json(o, w), &json);
    set_optional(m, KAL_TABLES_OPTIONS, KAL_TYPE_JSON, json);
}

static kal_status table_row(row_maker *m, const kal_version_record *version, kal_arena *arena,
                            kal_error *err)
{
    const kal_table_definition *def = version->def;
    kal_bytes location;

    KAL_TRY(kal_table_storage_location(m->catalog, m->snapshot, def, arena, &location, err));
    set_optional(m, KAL_TABLES_STORAGE_LOCATION, KAL_TYPE_TEXT, location);
    set_bigint(m, KAL_TABLES_TABLE_ID, def->table_id);
    set_text(m, KAL_TABLES_TABLE_NAME, def->table_name);
    set_text(m, KAL_TABLES_NAMESPACE, def->namespace_id);
    set_text(m, KAL_TABLES_TABLE_TYPE, kal_cstr(kal_table_type_name(def->table_type)));
    set_time(m, KAL_TABLES_CREATED_AT, def->created_at_us);
    set_int(m, KAL_TABLES_SCHEMA_VERSION, def->schema_version);
    set_optional(m, KAL_TABLES_TABLE_COMMENT, KAL_TYPE_TEXT, def->comment);
    set_table_options(m, def, arena);
    return add_row(m, err);
}

static kal_status version_row(row_maker *m, const kal_version_record *version, kal_arena *arena,
                              kal_error *err)
{
    const kal_table_definition *def = version->def;
    kal_bytes json;
    kal_buf text;  /* owned */
    kal_buf arrow; /* owned */

    kal_buf_init(&text, NULL);
    kal_schema_version_text(&version->step, &text);
    set_bigint(m, KAL_TABLE_SCHEMAS_TABLE_ID, def->table_id);
    set_int(m, KAL_TABLE_SCHEMAS_SCHEMA_VERSION, version->step.version);
    set_text(m, KAL_TABLE_SCHEMAS_CHANGES, kal_buf_bytes(&text));
    set_time(m, KAL_TABLE_SCHEMAS_CREATED_AT, version->step.created_at_us);
    set_text(m, KAL_TABLE_SCHEMAS_ACTOR, version->step.actor);
    set_int(m, KAL_TABLE_SCHEMAS_COLUMN_COUNT, version->step.column_count);
    JSON_TEXT(arena, kal_table_definition_write_json(def, w), &json);
    set_optional(m, KAL_TABLE_SCHEMAS_TABLE_DEFINITION, KAL_TYPE_JSON, json);
    kal_buf_init(&arrow, NULL);
    kal_table_definition_arrow_json(def, &arrow);
    set_optional(m, KAL_TABLE_SCHEMAS_ARROW_SCHEMA_JSON, KAL_TYPE_JSON, kal_buf_bytes(&arrow));
    kal_status status = add_row(m, err);
    kal_buf_release(&arrow);
    kal_buf_release(&text);
    return status;
}

/* ---- information_schema ---- */

static kal_status info_table_row(row_maker *m, const kal_version_record *version, kal_arena *arena,
                                 kal_error *err)
{
    const kal_table_definition *def = version->def;
    const kal_table_options *o = &def->options;

    (void)arena;
    set_text(m, KAL_INFO_TABLES_TABLE_CATALOG, KAL_STR("kalam"));
    set_text(m, KAL_INFO_TABLES_TABLE_SCHEMA, def->namespace_id);
    set_text(m, KAL_INFO_TABLES_TABLE_NAME, def->table_name);
    set_text(m, KAL_INFO_TABLES_TABLE_TYPE, kal_cstr(kal_table_type_name(def->table_type)));
    set_bigint(m, KAL_INFO_TABLES_TABLE_ID, def->table_id);
    set_time(m, KAL_INFO_TABLES_CREATED_AT, def->created_at_us);
    set_time(m, KAL_INFO_TABLES_UPDATED_AT, def->updated_at_us);
    set_int(m, KAL_INFO_TABLES_SCHEMA_VERSION, def->schema_version);
    set_null(m, KAL_INFO_TABLES_STORAGE_ID, KAL_TYPE_TEXT);
    set_boolean(m, KAL_INFO_TABLES_USE_USER_STORAGE, o->use_user_storage != 0);
    set_null(m, KAL_INFO_TABLES_DELETED_RETENTION_HOURS, KAL_TYPE_BIGINT);
    set_null(m, KAL_INFO_TABLES_TTL_SECONDS, KAL_TYPE_BIGINT);
    if (kal_storage_is_used_by(def)) {
        set_text(m, KAL_INFO_TABLES_STORAGE_ID, kal_cstr(o->storage_id));
        set_bigint(m, KAL_INFO_TABLES_DELETED_RETENTION_HOURS, o->deleted_retention_hours);
    }
    if (def->table_type == KAL_TABLE_STREAM)
        set_bigint(m, KAL_INFO_TABLES_TTL_SECONDS, o->ttl_seconds);
    return add_row(m, err);
}

static kal_status info_column_row(row_maker *m, const kal_table_definition *def,
                                  const kal_column *column, kal_error *err)
{
    kal_type_forms scratch;
    kal_buf text; /* owned */
    bool has_default = kal_column_has_default(column);

    kal_buf_init(&text, NULL);
    kal_column_default_to_sql(kal_column_default_of(column), &text);
    set_text(m, KAL_INFO_COLUMNS_TABLE_CATALOG, KAL_STR("kalam"));
    set_text(m, KAL_INFO_COLUMNS_TABLE_SCHEMA, def->namespace_id);
    set_text(m, KAL_INFO_COLUMNS_TABLE_NAME, def->table_name);
    set_text(m, KAL_INFO_COLUMNS_COLUMN_NAME, column->name);
    set_int(m, KAL_INFO_COLUMNS_ORDINAL_POSITION, column->ordinal_position);
    set_text(m, KAL_INFO_COLUMNS_DATA_TYPE,
             kal_cstr(kal_type_forms_of(column->type, &scratch)->sql));
    set_boolean(m, KAL_INFO_COLUMNS_IS_NULLABLE, column->is_nullable);
    set_optional(m, KAL_INFO_COLUMNS_COLUMN_DEFAULT, KAL_TYPE_TEXT,
                 has_default ? kal_buf_bytes(&text) : (kal_bytes){0});
    set_boolean(m, KAL_INFO_COLUMNS_IS_PRIMARY_KEY, column->is_primary_key);
    set_boolean(m, KAL_INFO_COLUMNS_IS_PARTITION_KEY, column->is_partition_key);
    set_optional(m, KAL_INFO_COLUMNS_COLUMN_COMMENT, KAL_TYPE_TEXT, column->comment);
    set_int(m, KAL_INFO_COLUMNS_COLUMN_ID, column->column_id);
    set_int(m, KAL_INFO_COLUMNS_SCHEMA_VERSION, def->schema_version);
    kal_status status = add_row(m, err);
    kal_buf_release(&text);
    return status;
}

static kal_status info_column_rows(row_maker *m, const kal_version_record *version,
                                   kal_arena *arena, kal_error *err)
{
    (void)arena;
    for (uint32_t i = 0; i < version->def->column_count; i++)
        KAL_TRY(info_column_row(m, version->def, &version->def->columns[i], err));
    return KAL_OK;
}

/* ---- columns, in two more shapes ---- */

/* 1 for the first column of the key; 0: not in it. */
static uint32_t key_position(const kal_table_definition *def, uint32_t column)
{
    for (uint32_t i = 0; i < def->key_column_count; i++) {
        if (def->key_columns[i] == column)
            return i + 1;
    }
    return 0;
}

static kal_status column_row(row_maker *m, const kal_table_definition *def, uint32_t index,
                             kal_bytes default_text, kal_error *err)
{
    kal_type_forms scratch;
    const kal_column *c = &def->columns[index];
    uint32_t position = key_position(def, index);

    set_text(m, KAL_COLUMNS_NAMESPACE_ID, def->namespace_id);
    set_text(m, KAL_COLUMNS_TABLE_NAME, def->table_name);
    set_int(m, KAL_COLUMNS_VERSION, def->schema_version);
    set_int(m, KAL_COLUMNS_COLUMN_ID, c->column_id);
    set_text(m, KAL_COLUMNS_COLUMN_NAME, c->name);
    set_optional(m, KAL_COLUMNS_COMMENT, KAL_TYPE_TEXT, c->comment);
    set_text(m, KAL_COLUMNS_DATA_TYPE, kal_cstr(kal_type_forms_of(c->type, &scratch)->sql));
    set_optional(m, KAL_COLUMNS_DEFAULT_VALUE, KAL_TYPE_TEXT, default_text);
    set_int(m, KAL_COLUMNS_ORDINAL, c->ordinal_position);
    set_boolean(m, KAL_COLUMNS_NULLABLE, c->is_nullable);
    set_boolean(m, KAL_COLUMNS_PRIMARY_KEY, c->is_primary_key);
    set_int(m, KAL_COLUMNS_PRIMARY_KEY_POS, position);
    if (position == 0)
        set_null(m, KAL_COLUMNS_PRIMARY_KEY_POS, KAL_TYPE_INT);
    return add_row(m, err);
}

static kal_status describe_row(row_maker *m, const kal_table_definition *def, uint32_t index,
                               kal_bytes default_text, kal_error *err)
{
    kal_type_forms scratch;
    const kal_column *c = &def->columns[index];

    set_text(m, KAL_DESCRIBE_COLUMN_NAME, c->name);
    set_int(m, KAL_DESCRIBE_ORDINAL_POSITION, c->ordinal_position);
    set_int(m, KAL_DESCRIBE_COLUMN_ID, c->column_id);
    set_text(m, KAL_DESCRIBE_DATA_TYPE, kal_cstr(kal_type_forms_of(c->type, &scratch)->sql));
    set_boolean(m, KAL_DESCRIBE_IS_NULLABLE, c->is_nullable);
    set_boolean(m, KAL_DESCRIBE_IS_PRIMARY_KEY, c->is_primary_key);
    set_optional(m, KAL_DESCRIBE_COLUMN_DEFAULT, KAL_TYPE_TEXT, default_text);
    set_optional(m, KAL_DESCRIBE_COLUMN_COMMENT, KAL_TYPE_TEXT, c->comment);
    set_int(m, KAL_DESCRIBE_SCHEMA_VERSION, def->schema_version);
    set_text(m, KAL_DESCRIBE_NAMESPACE_ID, def->namespace_id);
    set_text(m, KAL_DESCRIBE_TABLE_NAME, def->table_name);
    return add_row(m, err);
}

typedef kal_status (*column_row_fn)(row_maker *m, const kal_table_definition *def, uint32_t index,
                                    kal_bytes default_text, kal_error *err);

static kal_status each_column(row_maker *m, const kal_table_definition *def, column_row_fn fn,
                              kal_error *err)
{
    kal_buf text; /* owned */
    kal_status status = KAL_OK;

    kal_buf_init(&text, NULL);
    for (uint32_t i = 0; i < def->column_count && status == KAL_OK; i++) {
        const kal_column_default *value = kal_column_default_of(&def->columns[i]);
        kal_buf_clear(&text);
        kal_column_default_to_sql(value, &text);
        bool has_default = value->kind != KAL_DEFAULT_NONE;
        status = fn(m, def, i, has_default ? kal_buf_bytes(&text) : (kal_bytes){0}, err);
    }
    kal_buf_release(&text);
    return status;
}

static kal_status column_rows(row_maker *m, const kal_version_record *version, kal_arena *arena,
                              kal_error *err)
{
    (void)arena;
    return each_column(m, version->def, column_row, err);
}

static kal_status describe_rows(row_maker *m, const kal_version_record *version, kal_arena *arena,
                                kal_error *err)
{
    (void)arena;
    return each_column(m, version->def, describe_row, err);
}

/* ---- types ---- */

static kal_status datatype_rows(row_maker *m, kal_error *err)
{
    kal_datatype type;
    for (size_t i = 0; kal_datatype_at(i, &type); i++) {
        set_text(m, KAL_DATATYPES_ARROW_TYPE, kal_cstr(type.arrow_name));
        set_text(m, KAL_DATATYPES_KALAM_TYPE, kal_cstr(type.kalam_name));
        set_text(m, KAL_DATATYPES_SQL_NAME, kal_cstr(type.sql_name));
        set_text(m, KAL_DATATYPES_DESCRIPTION, kal_cstr(type.description));
        KAL_TRY(add_row(m, err));
    }
    return KAL_OK;
}

/* ---- rows from above ---- */

void kal_catalog_set_provider(kal_catalog *catalog, uint32_t table_id, kal_system_provider provider,
                              void *context)
{
    KAL_ASSERT(table_id > KAL_SYSTEM_NONE && table_id < KAL_SYSTEM_TABLE_END);
    catalog->providers[table_id] = (kal_provider){provider, context};
}

kal_status kal_system_sink_add(kal_system_sink *sink, const kal_value *values, size_t count,
                               kal_error *err)
{
    KAL_ASSERT(count == sink->column_count);
    memcpy(sink->row, values, count * sizeof *values);
    return add_row(sink, err);
}

static kal_status provided_rows(row_maker *m, kal_system_table table, kal_error *err)
{
    const kal_provider *provider = &m->catalog->providers[table];
    if (provider->rows == NULL)
        return KAL_OK;
    return provider->rows(provider->context, m->snapshot, m, err);
}

/* ---- entry points ---- */

static kal_status make_rows(row_maker *m, kal_system_table table, kal_error *err)
{
    switch (table) {
    case KAL_SYSTEM_USERS:
        return kal_users_scan(m->catalog, m->snapshot, user_row, m, err);
    case KAL_SYSTEM_NAMESPACES:
        return kal_namespaces_scan(m->catalog, m->snapshot, namespace_row, m, err);
    case KAL_SYSTEM_STORAGES:
        return kal_storages_scan(m->catalog, m->snapshot, storage_row, m, err);
    case KAL_SYSTEM_TABLES:
        return each_table(m, table_row, false, err);
    case KAL_SYSTEM_TABLE_SCHEMAS:
        return each_table(m, version_row, true, err);
    case KAL_SYSTEM_INFO_TABLES:
        return each_table(m, info_table_row, false, err);
    case KAL_SYSTEM_INFO_COLUMNS:
        return each_table(m, info_column_rows, false, err);
    case KAL_SYSTEM_DATATYPES:
        return datatype_rows(m, err);
    case KAL_SYSTEM_COLUMNS:
        return each_table(m, column_rows, false, err);
    case KAL_SYSTEM_DESCRIBE:
        return each_table(m, describe_rows, false, err);
    case KAL_SYSTEM_LIVE_QUERIES:
    case KAL_SYSTEM_LIVE:
    case KAL_SYSTEM_JOBS:
    case KAL_SYSTEM_STATS:
    case KAL_SYSTEM_SETTINGS:
    case KAL_SYSTEM_SEGMENTS:
        return provided_rows(m, table, err);
    case KAL_SYSTEM_NONE:
    case KAL_SYSTEM_TABLE_END:
        break;
    }
    return kal_error_set(err, KAL_INTERNAL, "there is no such system table");
}

static kal_status rows_of(kal_catalog *catalog, const kal_kv_snapshot *snapshot,
                          kal_system_table table, size_t column_count, kal_arena *arena,
                          kal_system_rows *rows_out, kal_error *err)
{
    row_maker maker = {
        .catalog = catalog,
        .snapshot = snapshot,
        .arena = arena,
        .column_count = column_count,
    };

    KAL_ASSERT(maker.column_count <= COLUMNS_MAX);
    KAL_TRY(make_rows(&maker, table, err));
    *rows_out = (kal_system_rows){
        .values = maker.values.items,
        .row_count = maker.values.len / maker.column_count,
        .column_count = maker.column_count,
    };
    return KAL_OK;
}

kal_status kal_catalog_system_rows(kal_catalog *catalog, const kal_kv_snapshot *snapshot,
                                   const kal_table *table, kal_arena *arena,
                                   kal_system_rows *rows_out, kal_error *err)
{
    return rows_of(catalog, snapshot, (kal_system_table)table->def->table_id,
                   table->def->column_count, arena, rows_out, err);
}

/* ---- counting ---- */

static kal_status count_user(void *context, const kal_user *user, kal_error *err)
{
    (void)user, (void)err;
    ++*(uint64_t *)context;
    return KAL_OK;
}

static kal_status count_namespace(void *context, kal_bytes name, int64_t created_at_us,
                                  kal_bytes options, kal_error *err)
{
    (void)name, (void)created_at_us, (void)options, (void)err;
    ++*(uint64_t *)context;
    return KAL_OK;
}

static kal_status count_name(void *context, kal_bytes ns, kal_bytes name, uint32_t table_id,
                             kal_error *err)
{
    (void)ns, (void)name, (void)table_id, (void)err;
    ++*(uint64_t *)context;
    return KAL_OK;
}

/* Of rows that are made to be counted. */
static uint64_t count_equal(const kal_system_rows *rows, uint32_t column, kal_bytes text)
{
    uint64_t count = 0;
    for (size_t i = 0; i < rows->row_count; i++) {
        const kal_value *v = &rows->values[i * rows->column_count + column];
        count += text.len == 0 || (!v->is_null && kal_bytes_equal(v->bytes, text));
    }
    return count;
}

static kal_status count_made_rows(kal_catalog *c, const kal_kv_snapshot *snapshot,
                                  kal_system_table table, uint32_t column, kal_bytes text,
                                  uint64_t *count_out, kal_error *err)
{
    kal_system_rows rows = {0};
    kal_arena arena;

    kal_arena_init(&arena, NULL);
    kal_status status =
        rows_of(c, snapshot, table, kal_system_column_count(table), &arena, &rows, err);
    if (status == KAL_OK)
        *count_out = count_equal(&rows, column, text);
    kal_arena_release(&arena);
    return status;
}

/* The walks are the ones that make the rows, so that the count is COUNT(*). */
kal_status kal_catalog_system_count(kal_catalog *c, const kal_kv_snapshot *snapshot,
                                    uint32_t table_id, uint32_t column, kal_bytes text,
                                    uint64_t *count_out, kal_error *err)
{
    kal_system_table table = (kal_system_table)table_id;

    *count_out = 0;
    if (text.len > 0)
        return count_made_rows(c, snapshot, table, column, text, count_out, err);
    switch (table) {
    case KAL_SYSTEM_USERS:
        return kal_users_scan(c, snapshot, count_user, count_out, err);
    case KAL_SYSTEM_NAMESPACES:
        return kal_namespaces_scan(c, snapshot, count_namespace, count_out, err);
    case KAL_SYSTEM_TABLES:
        return kal_table_store_scan(c, snapshot, (kal_bytes){0}, count_name, count_out, err);
    default:
        return count_made_rows(c, snapshot, table, column, text, count_out, err);
    }
}
