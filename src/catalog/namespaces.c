/*
 * namespaces.c: namespaces: all of them in memory, and stored one record each.
 */
#include "base/assert.h"
#include "catalog/catalog_internal.h"
#include "catalog/restored.h"
#include "types/json.h"

#include <stdlib.h>

static const char *const SYSTEM[] = {KAL_SYSTEM_NAMESPACE, KAL_INFORMATION_NAMESPACE};
/* Free in the store, refused as new names: other databases give them a meaning. */
static const char *const RESERVED[] = {"sys", "root",  "kalamdb",  "kalam",      "main",
                                       "sql", "admin", "internal", "pg_catalog", "datafusion"};

bool kal_namespace_is_system(kal_bytes name)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(SYSTEM); i++) {
        if (kal_bytes_equal(name, kal_cstr(SYSTEM[i])))
            return true;
    }
    return false;
}

kal_status kal_name_check(kal_bytes name, const char *what, kal_error *err)
{
    bool valid = name.len >= 1 && name.len <= KAL_NAME_BYTES_MAX;
    for (size_t i = 0; i < name.len && valid; i++) {
        uint8_t c = name.ptr[i];
        bool letter = c >= 'a' && c <= 'z';
        valid = letter || (i > 0 && ((c >= '0' && c <= '9') || c == '_'));
    }
    if (valid)
        return KAL_OK;
    kal_error_set(err, KAL_INVALID, "'%.*s' cannot be the name of a %s", KAL_FMT(name), what);
    kal_error_hint(err, "1 to %d lower-case letters, digits and _, a letter first",
                   KAL_NAME_BYTES_MAX);
    return KAL_INVALID;
}

static kal_status check_new_name(kal_bytes name, kal_error *err)
{
    KAL_TRY(kal_name_check(name, "namespace", err));
    bool reserved = kal_namespace_is_system(name);
    for (size_t i = 0; i < KAL_ARRAY_LEN(RESERVED); i++)
        reserved = reserved || kal_bytes_equal(name, kal_cstr(RESERVED[i]));
    if (!reserved)
        return KAL_OK;
    return kal_error_set(err, KAL_INVALID, "the name '%.*s' is reserved", KAL_FMT(name));
}

/* ---- in the store ---- */

static void namespace_key(kal_catalog *c, kal_bytes name, kal_entity_key *key)
{
    kal_entity_key_init(key, &c->namespaces);
    kal_entity_key_text(key, name);
}

static kal_status put_record(kal_catalog_change *change, kal_bytes name, int64_t created_at_us,
                             kal_bytes options, kal_error *err)
{
    kal_catalog *c = change->catalog;
    kal_entity_key key;
    kal_buf record; /* owned */

    kal_buf_init(&record, NULL);
    kal_buf_append_le64(&record, (uint64_t)created_at_us);
    kal_buf_append_text(&record, options);
    namespace_key(c, name, &key);
    kal_status status =
        kal_entity_put(&c->namespaces, change->batch, &key, kal_buf_bytes(&record), err);
    kal_buf_release(&record);
    return status;
}

kal_status kal_namespace_put(kal_catalog_change *change, kal_bytes name, kal_error *err)
{
    KAL_TRY(put_record(change, name, change->now_us, (kal_bytes){0}, err));
    kal_change_add(change, (kal_change_step){.kind = KAL_CHANGE_CREATE_NAMESPACE,
                                             .name = kal_arena_copy(&change->arena, name),
                                             .created_at_us = change->now_us});
    return KAL_OK;
}

typedef struct namespace_scan {
    kal_catalog *catalog;
    kal_namespace_visit visit;
    void *context;
} namespace_scan;

static bool take_record(kal_bytes *record, uint8_t format, uint64_t *created_out,
                        kal_bytes *options_out)
{
    *options_out = (kal_bytes){0};
    if (!kal_bytes_take_le64(record, created_out))
        return false;
    if (format > 1 && !kal_bytes_take_text(record, options_out))
        return false;
    if (options_out->len == 0)
        *options_out = (kal_bytes){0};
    return true;
}

static kal_status visit_namespace(void *context, kal_bytes parts, const kal_entity *entity,
                                  kal_error *err)
{
    namespace_scan *scan = context;
    kal_bytes record = entity->record;
    uint64_t created = 0;
    kal_bytes name = {0};
    kal_bytes options = {0};
    kal_arena arena;

    kal_arena_init(&arena, NULL);
    kal_status status =
        kal_entity_take_text(&scan->catalog->namespaces, &parts, &arena, &name, err);
    if (status == KAL_OK && !take_record(&record, entity->format, &created, &options))
        status = kal_record_corrupt("namespace", err);
    if (status == KAL_OK)
        status = scan->visit(scan->context, name, (int64_t)created, options, err);
    kal_arena_release(&arena);
    return status;
}

kal_status kal_namespaces_scan(kal_catalog *c, const kal_kv_snapshot *snapshot,
                               kal_namespace_visit visit, void *context, kal_error *err)
{
    kal_entity_key prefix;
    namespace_scan scan = {c, visit, context};
    kal_entity_key_init(&prefix, &c->namespaces);
    return kal_entity_scan(&c->namespaces, snapshot, &prefix, visit_namespace, &scan, err);
}

/* ---- in memory ---- */

static void remember(kal_catalog *c, kal_bytes name, int64_t created_at_us)
{
    kal_namespace *ns = malloc(sizeof *ns);
    if (ns == NULL)
        kal_die("out of memory: namespace");
    ns->created_at_us = created_at_us;
    free(kal_map_put(&c->namespace_map, name, ns));
}

static kal_status load_one(void *context, kal_bytes name, int64_t created_at_us, kal_bytes options,
                           kal_error *err)
{
    (void)options, (void)err;
    remember(context, name, created_at_us);
    return KAL_OK;
}

kal_status kal_namespaces_load(kal_catalog *c, kal_error *err)
{
    return kal_namespaces_scan(c, NULL, load_one, c, err);
}

void kal_namespaces_publish(kal_catalog *c, const kal_change_step *step)
{
    if (step->kind == KAL_CHANGE_CREATE_NAMESPACE)
        remember(c, step->name, step->created_at_us);
    else
        free(kal_map_remove(&c->namespace_map, step->name));
}

static kal_status look_near(void *context, kal_bytes name, int64_t created_at_us, kal_bytes options,
                            kal_error *err)
{
    (void)created_at_us, (void)options, (void)err;
    kal_near_name_look(context, name);
    return KAL_OK;
}

kal_status kal_catalog_unknown_namespace(kal_catalog *c, kal_bytes ns, kal_error *err)
{
    kal_near_name search = kal_near_name_to(ns);

    kal_error_set(err, KAL_NOT_FOUND, "namespace '%.*s' does not exist", KAL_FMT(ns));
    kal_error_code(err, "NAMESPACE_NOT_FOUND");
    if (ns.len <= KAL_NAME_BYTES_MAX &&
        kal_namespaces_scan(c, NULL, look_near, &search, NULL) == KAL_OK && search.best[0] != '\0')
        kal_error_hint(err, "did you mean '%s'?", search.best);
    return KAL_NOT_FOUND;
}

bool kal_catalog_has_namespace(kal_catalog *c, kal_bytes ns)
{
    pthread_rwlock_rdlock(&c->publish_lock);
    bool found = kal_map_find(&c->namespace_map, ns) != NULL;
    pthread_rwlock_unlock(&c->publish_lock);
    return found || kal_namespace_is_system(ns);
}

/* ---- changes ---- */

kal_status kal_catalog_create_namespace(kal_catalog_change *change, kal_bytes name,
                                        bool if_not_exists, bool *existed_out, kal_error *err)
{
    *existed_out = kal_catalog_has_namespace(change->catalog, name);
    if (*existed_out && if_not_exists)
        return KAL_OK;
    if (*existed_out) {
        kal_error_set(err, KAL_EXISTS, "namespace '%.*s' already exists", KAL_FMT(name));
        kal_error_code(err, "NAMESPACE_EXISTS");
        return KAL_EXISTS;
    }
    KAL_TRY(check_new_name(name, err));
    return kal_namespace_put(change, name, err);
}

kal_status kal_catalog_get_namespace(kal_catalog *c, const kal_kv_snapshot *snapshot,
                                     kal_bytes name, kal_arena *arena, kal_namespace_info *out,
                                     kal_error *err)
{
    kal_entity_key key;
    kal_entity entity;
    uint64_t created = 0;

    if (kal_namespace_is_system(name))
        return kal_error_set(err, KAL_DENIED, "namespace '%.*s' is the server's own",
                             KAL_FMT(name));
    if (name.len > KAL_NAME_BYTES_MAX)
        return kal_catalog_unknown_namespace(c, name, err);
    namespace_key(c, name, &key);
    kal_status status = kal_entity_get(&c->namespaces, snapshot, &key, arena, &entity, err);
    if (status == KAL_NOT_FOUND)
        return kal_catalog_unknown_namespace(c, name, err);
    KAL_TRY(status);
    if (!take_record(&entity.record, entity.format, &created, &out->options))
        return kal_record_corrupt("namespace", err);
    out->created_at_us = (int64_t)created;
    return KAL_OK;
}

static kal_status check_option(kal_bytes option, const kal_value *value, kal_error *err);

/* As they would have passed through ALTER NAMESPACE. */
static kal_status check_options(kal_bytes options, kal_arena *arena, kal_error *err)
{
    kal_json *json = NULL;

    if (options.ptr == NULL)
        return KAL_OK;
    KAL_TRY(kal_json_parse(options, arena, &json, err));
    if (json->kind != KAL_JSON_OBJECT || json->len > KAL_NAMESPACE_OPTIONS_MAX)
        return kal_error_set(err, KAL_INVALID, "these are no options of a namespace");
    for (size_t i = 0; i < json->len; i++) {
        const kal_json *item = &json->items[i];
        kal_value value = kal_value_text(item->text);
        if (item->kind != KAL_JSON_STRING && item->kind != KAL_JSON_NUMBER &&
            item->kind != KAL_JSON_BOOL)
            return kal_error_set(err, KAL_INVALID, "these are no options of a namespace");
        KAL_TRY(check_option(json->keys[i], &value, err));
    }
    return KAL_OK;
}

kal_status kal_catalog_restore_namespace(kal_catalog_change *change, kal_bytes name,
                                         const kal_namespace_info *info, kal_error *err)
{
    bool existed = false;

    KAL_TRY(check_options(info->options, &change->arena, err));
    KAL_TRY(kal_catalog_create_namespace(change, name, false, &existed, err));
    return put_record(change, name, info->created_at_us, info->options, err);
}

/* The options as they are, with one set or left out. */
static kal_status merge_option(kal_bytes before, kal_bytes option, const kal_value *value,
                               kal_arena *arena, kal_buf *out, kal_error *err)
{
    kal_json *json = NULL;
    kal_json_writer w;
    size_t count = 0;

    if (before.ptr != NULL)
        KAL_TRY(kal_json_parse(before, arena, &json, err));
    kal_json_writer_init(&w, out);
    kal_json_begin_object(&w);
    for (size_t i = 0; json != NULL && i < json->len; i++) {
        if (kal_bytes_equal(json->keys[i], option))
            continue;
        kal_json_key_bytes(&w, json->keys[i]);
        kal_json_write_tree(&json->items[i], &w);
        count++;
    }
    if (!value->is_null) {
        kal_json_key_bytes(&w, option);
        if (value->type.tag == KAL_TYPE_BIGINT) /* a number, also where BIGINT cells are texts */
            kal_json_i64(&w, value->integer);
        else
            kal_value_write_json(value, &w);
        count++;
    }
    kal_json_end_object(&w);
    if (count > KAL_NAMESPACE_OPTIONS_MAX)
        return kal_error_set(err, KAL_LIMIT, "a namespace has at most %d options",
                             KAL_NAMESPACE_OPTIONS_MAX);
    if (count == 0)
        kal_buf_clear(out);
    return KAL_OK;
}

static kal_status check_option(kal_bytes option, const kal_value *value, kal_error *err)
{
    KAL_TRY(kal_name_check(option, "namespace option", err));
    if (!value->is_null && kal_type_is_bytes(value->type) &&
        value->bytes.len > KAL_NAMESPACE_OPTION_BYTES_MAX)
        return kal_error_set(err, KAL_LIMIT, "option '%.*s' has %zu bytes, the limit is %d",
                             KAL_FMT(option), value->bytes.len, KAL_NAMESPACE_OPTION_BYTES_MAX);
    return KAL_OK;
}

/* What this change has put already counts as before. */
static kal_status current_record(kal_catalog_change *change, kal_bytes ns, uint64_t *created_out,
                                 kal_bytes *options_out, kal_error *err)
{
    kal_catalog *c = change->catalog;
    kal_entity_key key;
    kal_entity entity;

    namespace_key(c, ns, &key);
    kal_status status = kal_entity_get(&c->namespaces, NULL, &key, &change->arena, &entity, err);
    if (status == KAL_NOT_FOUND)
        return kal_catalog_unknown_namespace(c, ns, err);
    KAL_TRY(status);
    if (!take_record(&entity.record, entity.format, created_out, options_out))
        return kal_record_corrupt("namespace", err);
    if (change->altered_ns.ptr != NULL && kal_bytes_equal(change->altered_ns, ns))
        *options_out = change->altered_options;
    return KAL_OK;
}

kal_status kal_catalog_set_namespace_option(kal_catalog_change *change, kal_bytes ns,
                                            kal_bytes option, const kal_value *value,
                                            kal_error *err)
{
    uint64_t created = 0;
    kal_bytes before = {0};
    kal_buf merged; /* owned */

    if (kal_namespace_is_system(ns))
        return kal_error_set(err, KAL_DENIED, "namespace '%.*s' is the server's own", KAL_FMT(ns));
    KAL_TRY(check_option(option, value, err));
    KAL_TRY(current_record(change, ns, &created, &before, err));
    kal_buf_init(&merged, NULL);
    kal_status status = merge_option(before, option, value, &change->arena, &merged, err);
    if (status == KAL_OK)
        status = put_record(change, ns, (int64_t)created, kal_buf_bytes(&merged), err);
    change->altered_ns = kal_arena_copy(&change->arena, ns);
    change->altered_options =
        merged.len == 0 ? (kal_bytes){0} : kal_arena_copy(&change->arena, kal_buf_bytes(&merged));
    kal_buf_release(&merged);
    return status;
}

typedef struct table_names {
    kal_arena *arena;
    KAL_VEC(kal_bytes) names; /* arena */
} table_names;

static kal_status collect_name(void *context, kal_bytes ns, kal_bytes name, uint32_t table_id,
                               kal_error *err)
{
    table_names *found = context;
    (void)ns, (void)table_id, (void)err;
    if (!kal_vec_try_push_in(found->arena, &found->names, kal_arena_copy(found->arena, name)))
        kal_die("out of memory: names of tables");
    return KAL_OK;
}

static kal_status drop_tables(kal_catalog_change *change, kal_bytes ns, const table_names *tables,
                              kal_error *err)
{
    bool existed = false;
    for (size_t i = 0; i < tables->names.len; i++)
        KAL_TRY(kal_catalog_drop_table(change, ns, tables->names.items[i], false, &existed, err));
    return KAL_OK;
}

kal_status kal_catalog_drop_namespace(kal_catalog_change *change, kal_bytes name, bool if_exists,
                                      bool cascade, bool *existed_out, kal_error *err)
{
    kal_catalog *c = change->catalog;
    table_names tables = {.arena = &change->arena};
    kal_entity_key key;

    *existed_out = kal_catalog_has_namespace(c, name);
    if (!*existed_out && if_exists)
        return KAL_OK;
    if (!*existed_out)
        return kal_catalog_unknown_namespace(c, name, err);
    if (kal_namespace_is_system(name) || kal_bytes_equal(name, KAL_STR("default")))
        return kal_error_set(err, KAL_DENIED, "namespace '%.*s' cannot be dropped", KAL_FMT(name));
    KAL_TRY(kal_table_store_scan(c, NULL, name, collect_name, &tables, err));
    if (tables.names.len > 0 && !cascade) {
        kal_error_set(err, KAL_INVALID,
                      "cannot drop namespace '%.*s': it holds %zu table%s or view%s, drop them "
                      "first or say CASCADE",
                      KAL_FMT(name), tables.names.len, tables.names.len == 1 ? "" : "s",
                      tables.names.len == 1 ? "" : "s");
        return KAL_INVALID;
    }
    KAL_TRY(drop_tables(change, name, &tables, err));
    namespace_key(c, name, &key);
    KAL_TRY(kal_entity_delete(&c->namespaces, change->batch, &key, err));
    kal_change_add(change, (kal_change_step){.kind = KAL_CHANGE_DROP_NAMESPACE,
                                             .name = kal_arena_copy(&change->arena, name)});
    return KAL_OK;
}
