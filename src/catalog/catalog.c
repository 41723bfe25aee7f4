/*
 * catalog.c: opening the catalog, and looking tables up.
 */
#include "catalog/catalog.h"
#include "base/assert.h"
#include "base/log.h"
#include "catalog/catalog_internal.h"

#include <stdlib.h>

enum { FORMAT_VERSION = 1, POPULAR_SECONDS = 300 };

enum {
    KIND_FORMAT = 1,
    KIND_COUNTER,
    KIND_NAMESPACE,
    KIND_TABLE_NAME,
    KIND_TABLE,
    KIND_VERSION,
    KIND_USER,
    KIND_STORAGE,
    KIND_POPULAR = 16,
    KIND_MANIFEST,
    KIND_SEGMENT,
    KIND_DOOMED,
    KIND_UNNAMED,
};

static kal_entity_store store_of(kal_kv *kv, const char *name, uint8_t kind)
{
    return (kal_entity_store){
        .kv = kv, .name = name, .family = KAL_KV_CATALOG, .kind = kind, .format = 1};
}

static kal_catalog *new_catalog(kal_kv *kv, const kal_clock *clock,
                                const kal_catalog_options *options)
{
    size_t tables = options == NULL ? 0 : options->cache_tables;
    kal_catalog *c = calloc(1, sizeof *c);
    if (c == NULL)
        kal_die("out of memory: catalog");
    c->kv = kv;
    c->clock = clock;
    c->formats = store_of(kv, "format", KIND_FORMAT);
    c->counters = store_of(kv, "counter", KIND_COUNTER);
    c->namespaces = store_of(kv, "namespace", KIND_NAMESPACE);
    c->table_names = store_of(kv, "table name", KIND_TABLE_NAME);
    c->tables = store_of(kv, "table", KIND_TABLE);
    c->versions = store_of(kv, "table version", KIND_VERSION);
    c->versions.format = KAL_SCHEMA_VERSION_FORMAT;
    c->namespaces.format = 2;
    c->users = store_of(kv, "user", KIND_USER);
    c->storages = store_of(kv, "storage", KIND_STORAGE);
    c->storages.format = 3;
    c->popular = store_of(kv, "popular tables", KIND_POPULAR);
    c->manifests = store_of(kv, "manifest", KIND_MANIFEST);
    c->manifests.format = 2;
    c->segments = store_of(kv, "segment", KIND_SEGMENT);
    c->segments.format = 2;
    c->doomed = store_of(kv, "doomed segment", KIND_DOOMED);
    c->doomed.format = 2;
    c->unnamed = store_of(kv, "table that is being restored", KIND_UNNAMED);
    c->cache = kal_schema_cache_open(tables == 0 ? KAL_SCHEMA_CACHE_TABLES_DEFAULT : tables);
    pthread_mutex_init(&c->ddl_lock, NULL);
    pthread_rwlock_init(&c->publish_lock, NULL);
    kal_map_init(&c->namespace_map);
    kal_map_init(&c->user_map);
    return c;
}

/* ---- opening ---- */

kal_status kal_format_put(kal_catalog_change *change, uint64_t features, kal_error *err)
{
    kal_entity_key key;
    uint8_t record[12];

    kal_store_le32(record, FORMAT_VERSION);
    kal_store_le64(record + 4, features);
    kal_entity_key_init(&key, &change->catalog->formats);
    return kal_entity_put(&change->catalog->formats, change->batch, &key,
                          kal_bytes_of(record, sizeof record), err);
}

/* *is_new_out: the data directory is empty. */
static kal_status check_format(kal_catalog *c, bool *is_new_out, kal_error *err)
{
    kal_entity_key key;
    kal_entity entity;
    kal_arena arena;
    uint32_t version = 0;
    uint64_t features = 0;

    kal_arena_init(&arena, NULL);
    kal_entity_key_init(&key, &c->formats);
    kal_status status = kal_entity_get(&c->formats, NULL, &key, &arena, &entity, err);
    *is_new_out = status == KAL_NOT_FOUND;
    if (*is_new_out)
        status = KAL_OK;
    else if (status == KAL_OK && (!kal_bytes_take_le32(&entity.record, &version) ||
                                  !kal_bytes_take_le64(&entity.record, &features)))
        status = kal_record_corrupt("format", err);
    else if (status == KAL_OK &&
             (version > FORMAT_VERSION || (features & ~KAL_FEATURES_KNOWN) != 0))
        status = kal_error_set(err, KAL_UNSUPPORTED,
                               "the data directory has format %u (features %llx), this server "
                               "knows up to format %d: a newer server wrote it",
                               version, (unsigned long long)features, FORMAT_VERSION);
    kal_arena_release(&arena);
    return status;
}

static kal_status first_content(kal_catalog_change *change, kal_error *err)
{
    KAL_TRY(kal_format_put(change, 0, err));
    KAL_TRY(kal_namespace_put(change, KAL_STR("default"), err));
    KAL_TRY(kal_storage_create_local(change, err));
    return kal_users_create_root(change, err);
}

static kal_status bring_up_to_date(kal_catalog *c, bool is_new, kal_error *err)
{
    kal_catalog_change *change = kal_catalog_begin(c, &KAL_PRINCIPAL_SERVER); /* owned */

    kal_status status = is_new ? first_content(change, err) : KAL_OK;
    if (status == KAL_OK)
        status = kal_system_tables_store(change, err);
    if (status == KAL_OK && kal_kv_batch_count(change->batch) > 0)
        status = kal_catalog_commit(change, err);
    kal_catalog_end(change);
    return status;
}

static uint32_t seconds_of(const kal_catalog *c)
{
    return (uint32_t)(kal_clock_mono_ns(c->clock) / 1000000000u);
}

static kal_status open_catalog(kal_catalog *c, kal_error *err)
{
    bool is_new = false;
    KAL_TRY(check_format(c, &is_new, err));
    KAL_TRY(kal_namespaces_load(c, err));
    KAL_TRY(kal_users_load(c, err));
    KAL_TRY(bring_up_to_date(c, is_new, err));
    kal_schema_cache_tick(c->cache, seconds_of(c));
    KAL_TRY(kal_system_tables_warm(c, err));
    kal_popular_load(c);
    return KAL_OK;
}

kal_status kal_catalog_open(kal_kv *kv, const kal_clock *clock, const kal_catalog_options *options,
                            kal_catalog **catalog_out, kal_error *err)
{
    kal_catalog *c = new_catalog(kv, clock, options);
    *catalog_out = NULL;
    kal_status status = open_catalog(c, err);
    if (status != KAL_OK) {
        kal_catalog_close(c);
        return status;
    }
    c->is_open = true;
    *catalog_out = c;
    return KAL_OK;
}

void kal_catalog_tick(kal_catalog *c)
{
    uint32_t now = seconds_of(c);
    kal_schema_cache_tick(c->cache, now);
    if (now < c->popular_due_s)
        return;
    c->popular_due_s = now + POPULAR_SECONDS;
    kal_popular_store(c);
}

static void free_values(kal_map *map)
{
    size_t position = 0;
    kal_bytes key;
    void *value;
    while ((value = kal_map_next(map, &position, &key)) != NULL)
        free(value);
    kal_map_release(map);
}

void kal_catalog_close(kal_catalog *c)
{
    if (c == NULL)
        return;
    if (c->is_open)
        kal_popular_store(c);
    kal_schema_cache_close(c->cache);
    free_values(&c->namespace_map);
    free_values(&c->user_map);
    pthread_rwlock_destroy(&c->publish_lock);
    pthread_mutex_destroy(&c->ddl_lock);
    free(c);
}

kal_catalog_worker *kal_catalog_worker_open(kal_catalog *catalog)
{
    return kal_schema_cache_worker(catalog->cache, catalog);
}

void kal_catalog_worker_close(kal_catalog_worker *worker)
{
    kal_schema_cache_worker_close(kal_schema_cache_worker_catalog(worker)->cache, worker);
}

kal_cache_stats kal_catalog_cache_stats(kal_catalog *catalog)
{
    return kal_schema_cache_stats(catalog->cache);
}

/* ---- looking up ---- */

kal_near_name kal_near_name_to(kal_bytes wanted)
{
    return (kal_near_name){.wanted = wanted, .least = wanted.len / 3 + 2};
}

void kal_near_name_look(kal_near_name *near, kal_bytes name)
{
    size_t distance = kal_edit_distance(name, near->wanted);

    if (distance >= near->least || name.len > KAL_NAME_BYTES_MAX)
        return;
    near->least = distance;
    memcpy(near->best, name.ptr, name.len);
    near->best[name.len] = '\0';
}

static kal_status look_near(void *context, kal_bytes ns, kal_bytes name, uint32_t table_id,
                            kal_error *err)
{
    (void)ns, (void)table_id, (void)err;
    kal_near_name_look(context, name);
    return KAL_OK;
}

typedef struct name_search {
    kal_bytes name;
    size_t seen;
    kal_error *err;
} name_search;

enum { OTHER_NAMES_MAX = 10000 }; /* an error is not worth more */

static kal_status look_same(void *context, kal_bytes ns, kal_bytes name, uint32_t table_id,
                            kal_error *err)
{
    name_search *search = context;

    (void)table_id, (void)err;
    if (kal_bytes_equal(name, search->name)) {
        kal_error_hint(search->err, "did you mean '%.*s.%.*s'?", KAL_FMT(ns), KAL_FMT(name));
        return KAL_END;
    }
    return ++search->seen < OTHER_NAMES_MAX ? KAL_OK : KAL_END;
}

/* The table may be in a namespace that was not named. */
static void hint_other_namespace(kal_catalog *c, kal_bytes name, kal_error *err)
{
    name_search search = {.name = name, .err = err};
    kal_status ignored = kal_table_store_scan(c, NULL, (kal_bytes){0}, look_same, &search, NULL);
    (void)ignored; /* without a hint then */
}

kal_status kal_table_not_found(kal_catalog *c, kal_bytes ns, kal_bytes name, kal_error *err)
{
    kal_near_name search = kal_near_name_to(name);

    if (err == NULL)
        return KAL_NOT_FOUND;
    if (!kal_catalog_has_namespace(c, ns))
        return kal_catalog_unknown_namespace(c, ns, err);
    kal_error_set(err, KAL_NOT_FOUND, "table '%.*s.%.*s' does not exist", KAL_FMT(ns),
                  KAL_FMT(name));
    kal_error_code(err, "TABLE_NOT_FOUND");
    if (ns.len <= KAL_NAME_BYTES_MAX &&
        kal_table_store_scan(c, NULL, ns, look_near, &search, NULL) == KAL_OK &&
        search.best[0] != '\0')
        kal_error_hint(err, "did you mean '%.*s.%s'?", KAL_FMT(ns), search.best);
    else
        hint_other_namespace(c, name, err);
    return KAL_NOT_FOUND;
}

static void log_failure(kal_bytes ns, kal_bytes name, uint32_t table_id)
{
    if (name.len > 0)
        kal_log_error("schema-cache", "look-up of table '%.*s.%.*s' failed, the store answers",
                      KAL_FMT(ns), KAL_FMT(name));
    else
        kal_log_error("schema-cache", "look-up of table %u failed, the store answers", table_id);
}

/* What is loaded here is in the cache before a change can be published, which replaces it. */
static kal_status load_known(kal_catalog_worker *worker, kal_bytes ns, kal_bytes name,
                             kal_table **table_out, kal_error *err)
{
    kal_catalog *c = kal_schema_cache_worker_catalog(worker);
    kal_table *loaded = NULL;

    pthread_rwlock_rdlock(&c->publish_lock);
    kal_status status = kal_table_store_load(c, ns, name, &loaded, err);
    if (status == KAL_OK)
        *table_out = kal_schema_cache_add(worker, loaded, false);
    pthread_rwlock_unlock(&c->publish_lock);
    return status;
}

/* KAL_NOT_FOUND: the store has another version, or none. */
static kal_status revalidate(kal_catalog_worker *worker, kal_table *table, kal_error *err)
{
    kal_catalog *c = kal_schema_cache_worker_catalog(worker);
    kal_table_record record;

    pthread_rwlock_rdlock(&c->publish_lock);
    kal_status status = kal_table_store_record(c, NULL, table->def->table_id, &record, err);
    bool same = status == KAL_OK && record.version == table->def->schema_version &&
                record.hot_id == table->hot_id;
    if (same)
        kal_schema_cache_validated(worker, table);
    pthread_rwlock_unlock(&c->publish_lock);
    if (status != KAL_OK || same)
        return status;
    kal_log_error("schema-cache", "table '%.*s.%.*s' had version %u in memory, %u in the store",
                  KAL_FMT(table->def->namespace_id), KAL_FMT(table->def->table_name),
                  table->def->schema_version, record.version);
    return KAL_NOT_FOUND;
}

kal_status kal_catalog_was_current(kal_catalog *c, const kal_kv_snapshot *snapshot,
                                   const kal_table *table, bool *out, kal_error *err)
{
    kal_table_record record;

    *out = false;
    kal_status status = kal_table_store_record(c, snapshot, table->def->table_id, &record, err);
    if (status == KAL_NOT_FOUND)
        return KAL_OK;
    *out = status == KAL_OK && record.version == table->def->schema_version &&
           record.hot_id == table->hot_id;
    return status;
}

/* Takes what is in memory, and wrong, out; then as a miss. */
static kal_status reload(kal_catalog_worker *worker, kal_bytes ns, kal_bytes name,
                         kal_table **table_out, kal_error *err)
{
    kal_catalog *c = kal_schema_cache_worker_catalog(worker);

    pthread_rwlock_wrlock(&c->publish_lock);
    kal_schema_cache_remove(c->cache, ns, name, KAL_TABLE_REPLACED);
    kal_schema_cache_next_generation(c->cache);
    pthread_rwlock_unlock(&c->publish_lock);
    return load_known(worker, ns, name, table_out, err);
}

kal_status kal_catalog_get_table(kal_catalog_worker *worker, kal_bytes ns, kal_bytes name,
                                 kal_table **table_out, kal_error *err)
{
    kal_status status = KAL_OK;

    switch (kal_schema_cache_find(worker, ns, name, table_out)) {
    case KAL_CACHE_HIT:
        return KAL_OK;
    case KAL_CACHE_EXPIRED:
        status = revalidate(worker, *table_out, err);
        if (status == KAL_NOT_FOUND)
            status = reload(worker, ns, name, table_out, err);
        break;
    case KAL_CACHE_FAILED:
        log_failure(ns, name, 0);
        status = load_known(worker, ns, name, table_out, err);
        break;
    case KAL_CACHE_MISS:
        status = load_known(worker, ns, name, table_out, err);
        break;
    }
    if (status != KAL_NOT_FOUND)
        return status;
    return kal_table_not_found(kal_schema_cache_worker_catalog(worker), ns, name, err);
}

/* By the name that the store knows for the number. */
static kal_status load_by_id(kal_catalog_worker *worker, uint32_t table_id, kal_table **table_out,
                             kal_error *err)
{
    kal_catalog *c = kal_schema_cache_worker_catalog(worker);
    kal_table_record record;
    kal_version_record version;
    kal_table *made = NULL;
    kal_arena arena; /* owned */

    kal_arena_init(&arena, NULL);
    pthread_rwlock_rdlock(&c->publish_lock);
    kal_status status = kal_table_store_record(c, NULL, table_id, &record, err);
    if (status == KAL_OK)
        status = kal_table_store_version(c, NULL, table_id, record.version, &arena, &version, err);
    if (status == KAL_OK) {
        made = kal_table_make(c, version.def, record.hot_id, record.shard);
        *table_out = kal_schema_cache_add(worker, made, true);
    }
    pthread_rwlock_unlock(&c->publish_lock);
    kal_arena_release(&arena);
    return status;
}

kal_status kal_catalog_get_table_by_id(kal_catalog_worker *worker, uint32_t table_id,
                                       kal_table **table_out, kal_error *err)
{
    kal_cache_answer answer = kal_schema_cache_find_id(worker, table_id, table_out);
    kal_status status = KAL_OK;

    if (KAL_LIKELY(answer == KAL_CACHE_HIT))
        return KAL_OK;
    if (answer == KAL_CACHE_EXPIRED) {
        const kal_table_definition *def = (*table_out)->def;
        status = revalidate(worker, *table_out, err);
        if (status == KAL_NOT_FOUND)
            status = reload(worker, def->namespace_id, def->table_name, table_out, err);
    } else {
        if (answer == KAL_CACHE_FAILED)
            log_failure((kal_bytes){0}, (kal_bytes){0}, table_id);
        status = load_by_id(worker, table_id, table_out, err);
    }
    if (status == KAL_NOT_FOUND) {
        kal_error_set(err, KAL_NOT_FOUND, "there is no table of number %u", table_id);
        kal_error_code(err, "TABLE_NOT_FOUND");
    }
    return status;
}
