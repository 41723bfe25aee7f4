/*
 * namespaces.c: namespaces: all of them in memory, and stored one record each.
 */
#include "base/assert.h"
#include "catalog/catalog_internal.h"

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

kal_status kal_namespace_put(kal_catalog_change *change, kal_bytes name, kal_error *err)
{
    kal_catalog *c = change->catalog;
    kal_entity_key key;
    uint8_t record[8];

    kal_store_le64(record, (uint64_t)change->now_us);
    namespace_key(c, name, &key);
    KAL_TRY(kal_entity_put(&c->namespaces, change->batch, &key, kal_bytes_of(record, sizeof record),
                           err));
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

static kal_status visit_namespace(void *context, kal_bytes parts, const kal_entity *entity,
                                  kal_error *err)
{
    namespace_scan *scan = context;
    kal_bytes record = entity->record;
    uint64_t created = 0;
    kal_bytes name = {0};
    kal_arena arena;

    kal_arena_init(&arena, NULL);
    kal_status status =
        kal_entity_take_text(&scan->catalog->namespaces, &parts, &arena, &name, err);
    if (status == KAL_OK && !kal_bytes_take_le64(&record, &created))
        status = kal_record_corrupt("namespace", err);
    if (status == KAL_OK)
        status = scan->visit(scan->context, name, (int64_t)created, err);
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

static kal_status load_one(void *context, kal_bytes name, int64_t created_at_us, kal_error *err)
{
    (void)err;
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

typedef struct near_namespace {
    kal_bytes name;
    size_t least;
    char best[KAL_NAME_BYTES_MAX + 1];
} near_namespace;

static kal_status look_near(void *context, kal_bytes name, int64_t created_at_us, kal_error *err)
{
    near_namespace *search = context;
    size_t distance = kal_edit_distance(name, search->name);

    (void)created_at_us, (void)err;
    if (distance >= search->least || name.len > KAL_NAME_BYTES_MAX)
        return KAL_OK;
    search->least = distance;
    memcpy(search->best, name.ptr, name.len);
    search->best[name.len] = '\0';
    return KAL_OK;
}

kal_status kal_catalog_unknown_namespace(kal_catalog *c, kal_bytes ns, kal_error *err)
{
    near_namespace search = {.name = ns, .least = ns.len / 3 + 2};

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
                      "cannot drop namespace '%.*s': it holds %zu table%s, drop them first or say "
                      "CASCADE",
                      KAL_FMT(name), tables.names.len, tables.names.len == 1 ? "" : "s");
        return KAL_INVALID;
    }
    KAL_TRY(drop_tables(change, name, &tables, err));
    namespace_key(c, name, &key);
    KAL_TRY(kal_entity_delete(&c->namespaces, change->batch, &key, err));
    kal_change_add(change, (kal_change_step){.kind = KAL_CHANGE_DROP_NAMESPACE,
                                             .name = kal_arena_copy(&change->arena, name)});
    return KAL_OK;
}
