/*
 * storages.c: storages in the store, one record each, and the rules that tie tables to them.
 *
 * Record (format 3): i64 created, i64 updated, then the texts name, description (empty: none),
 * type, base directory, template of SHARED tables, template of USER tables, and of s3 (else empty)
 * endpoint, region, access key id, secret access key, session token. Format 2 ends before endpoint;
 * format 1 has neither updated nor description. Both are read.
 */
#include "catalog/storages.h"
#include "catalog/catalog_internal.h"
#include "catalog/segments.h"
#include "storage/path_template.h"

enum { USERS_SHOWN_MAX = 3 };

bool kal_storage_is_s3(const kal_storage *storage)
{
    return kal_bytes_equal(storage->type, KAL_STR(KAL_STORAGE_TYPE_S3));
}

/* ---- in the store ---- */

static void storage_key(kal_catalog *c, kal_bytes id, kal_entity_key *key)
{
    kal_entity_key_init(key, &c->storages);
    kal_entity_key_text(key, id);
}

static kal_status put_storage(kal_catalog_change *change, const kal_storage *s, kal_error *err)
{
    kal_catalog *c = change->catalog;
    kal_entity_key key;
    kal_buf record; /* owned */

    kal_buf_init(&record, NULL);
    kal_buf_append_le64(&record, (uint64_t)s->created_at_us);
    kal_buf_append_le64(&record, (uint64_t)s->updated_at_us);
    kal_buf_append_text(&record, s->name);
    kal_buf_append_text(&record, s->description);
    kal_buf_append_text(&record, s->type);
    kal_buf_append_text(&record, s->base_directory);
    kal_buf_append_text(&record, s->shared_template);
    kal_buf_append_text(&record, s->user_template);
    kal_buf_append_text(&record, s->s3.location.endpoint);
    kal_buf_append_text(&record, s->s3.location.region);
    kal_buf_append_text(&record, s->s3.credentials.access_key_id);
    kal_buf_append_text(&record, s->s3.credentials.secret_access_key);
    kal_buf_append_text(&record, s->s3.credentials.session_token);
    storage_key(c, s->storage_id, &key);
    kal_status status =
        kal_entity_put(&c->storages, change->batch, &key, kal_buf_bytes(&record), err);
    kal_buf_release(&record);
    return status;
}

kal_status kal_storage_create_local(kal_catalog_change *change, kal_error *err)
{
    const kal_storage local = {
        .storage_id = KAL_STR(KAL_STORAGE_LOCAL),
        .name = KAL_STR("Local storage"),
        .type = KAL_STR(KAL_STORAGE_TYPE_FILESYSTEM),
        .shared_template = KAL_STR(KAL_SHARED_TEMPLATE_DEFAULT),
        .user_template = KAL_STR(KAL_USER_TEMPLATE_DEFAULT),
        .created_at_us = change->now_us,
        .updated_at_us = change->now_us,
    };
    return put_storage(change, &local, err);
}

/* What follows in format 3. */
static bool take_s3(kal_bytes *record, kal_storage *s)
{
    kal_s3_target *t = &s->s3;
    bool whole = kal_bytes_take_text(record, &t->location.endpoint) &&
                 kal_bytes_take_text(record, &t->location.region) &&
                 kal_bytes_take_text(record, &t->credentials.access_key_id) &&
                 kal_bytes_take_text(record, &t->credentials.secret_access_key) &&
                 kal_bytes_take_text(record, &t->credentials.session_token);
    return whole && (!kal_storage_is_s3(s) ||
                     kal_s3_parse_bucket(s->base_directory, &t->location, NULL) == KAL_OK);
}

static kal_status decode_storage(const kal_entity *entity, kal_storage *s, kal_error *err)
{
    kal_bytes record = entity->record;
    uint64_t created = 0;
    uint64_t updated = 0;

    bool whole = kal_bytes_take_le64(&record, &created) &&
                 (entity->format == 1 || kal_bytes_take_le64(&record, &updated)) &&
                 kal_bytes_take_text(&record, &s->name) &&
                 (entity->format == 1 || kal_bytes_take_text(&record, &s->description)) &&
                 kal_bytes_take_text(&record, &s->type) &&
                 kal_bytes_take_text(&record, &s->base_directory) &&
                 kal_bytes_take_text(&record, &s->shared_template) &&
                 kal_bytes_take_text(&record, &s->user_template) &&
                 (entity->format < 3 || take_s3(&record, s));
    s->created_at_us = (int64_t)created;
    s->updated_at_us = entity->format == 1 ? (int64_t)created : (int64_t)updated;
    if (s->description.len == 0)
        s->description = (kal_bytes){0};
    return whole ? KAL_OK : kal_record_corrupt("storage", err);
}

typedef struct storage_scan {
    kal_catalog *catalog;
    kal_storage_visit visit;
    void *context;
} storage_scan;

static kal_status visit_storage(void *context, kal_bytes parts, const kal_entity *entity,
                                kal_error *err)
{
    storage_scan *scan = context;
    kal_storage storage = {0};
    kal_arena arena;

    kal_arena_init(&arena, NULL);
    kal_status status =
        kal_entity_take_text(&scan->catalog->storages, &parts, &arena, &storage.storage_id, err);
    if (status == KAL_OK)
        status = decode_storage(entity, &storage, err);
    if (status == KAL_OK)
        status = scan->visit(scan->context, &storage, err);
    kal_arena_release(&arena);
    return status;
}

kal_status kal_storages_scan(kal_catalog *c, const kal_kv_snapshot *snapshot,
                             kal_storage_visit visit, void *context, kal_error *err)
{
    kal_entity_key prefix;
    storage_scan scan = {c, visit, context};
    kal_entity_key_init(&prefix, &c->storages);
    return kal_entity_scan(&c->storages, snapshot, &prefix, visit_storage, &scan, err);
}

/* KAL_NOT_FOUND leaves err alone. */
static kal_status find_storage(kal_catalog *c, const kal_kv_snapshot *snapshot, kal_bytes id,
                               kal_arena *arena, kal_storage *out, kal_error *err)
{
    kal_entity_key key;
    kal_entity entity;

    if (!kal_storage_id_valid(id))
        return KAL_NOT_FOUND;
    storage_key(c, id, &key);
    KAL_TRY(kal_entity_get(&c->storages, snapshot, &key, arena, &entity, err));
    *out = (kal_storage){.storage_id = kal_arena_copy(arena, id)};
    return decode_storage(&entity, out, err);
}

/* ---- looking up ---- */

static kal_status look_near(void *context, const kal_storage *storage, kal_error *err)
{
    (void)err;
    kal_near_name_look(context, storage->storage_id);
    return KAL_OK;
}

static kal_status unknown_storage(kal_catalog *c, kal_bytes id, kal_error *err)
{
    kal_near_name search = kal_near_name_to(id);
    size_t shown = id.len < 100 ? id.len : 100;

    kal_error_set(err, KAL_NOT_FOUND, "storage '%.*s' does not exist", (int)shown,
                  (const char *)id.ptr);
    kal_error_code(err, "STORAGE_NOT_FOUND");
    if (id.len <= KAL_STORAGE_ID_BYTES_MAX &&
        kal_storages_scan(c, NULL, look_near, &search, NULL) == KAL_OK && search.best[0] != '\0')
        kal_error_hint(err, "did you mean '%s'?", search.best);
    else
        kal_error_hint(err, "SHOW STORAGES lists them");
    return KAL_NOT_FOUND;
}

kal_status kal_catalog_get_storage(kal_catalog *c, kal_bytes id, kal_arena *arena, kal_storage *out,
                                   kal_error *err)
{
    kal_status status = find_storage(c, NULL, id, arena, out, err);
    return status == KAL_NOT_FOUND ? unknown_storage(c, id, err) : status;
}

/* ---- tables ---- */

bool kal_storage_is_used_by(const kal_table_definition *def)
{
    return def->table_type == KAL_TABLE_USER || def->table_type == KAL_TABLE_SHARED;
}

kal_status kal_storage_of_table_exists(kal_catalog_change *change, const kal_table_definition *def,
                                       kal_error *err)
{
    kal_storage storage;
    if (!kal_storage_is_used_by(def))
        return KAL_OK;
    return kal_catalog_get_storage(change->catalog, kal_cstr(def->options.storage_id),
                                   &change->arena, &storage, err);
}

/* user_id ptr NULL: of all users. */
static void append_folder(const kal_storage *storage, const kal_table_definition *def,
                          kal_bytes user_id, uint64_t user_no, kal_buf *out)
{
    const kal_path_values values = {.namespace_id = def->namespace_id,
                                    .table_name = def->table_name,
                                    .user_id = user_id,
                                    .has_shard = user_id.ptr != NULL,
                                    .shard = kal_shard_of_user(user_no)};
    kal_bytes text =
        def->table_type == KAL_TABLE_USER ? storage->user_template : storage->shared_template;

    kal_path_template_render(text, &values, out);
}

kal_status kal_catalog_table_folder(kal_catalog *c, const kal_table_definition *def,
                                    uint64_t user_no, kal_arena *arena, kal_bytes *storage_id_out,
                                    kal_bytes *folder_out, kal_error *err)
{
    kal_storage storage;
    kal_bytes user_id = {0};
    kal_buf text; /* owned */

    KAL_TRY(kal_catalog_get_storage(c, kal_cstr(def->options.storage_id), arena, &storage, err));
    if (user_no != 0)
        (void)kal_catalog_user_name(c, user_no, arena, &user_id);
    kal_buf_init(&text, NULL);
    append_folder(&storage, def, user_id, user_no, &text);
    *folder_out = kal_arena_copy(arena, kal_buf_bytes(&text));
    *storage_id_out = storage.storage_id;
    kal_buf_release(&text);
    return KAL_OK;
}

kal_status kal_table_storage_location(kal_catalog *c, const kal_kv_snapshot *snapshot,
                                      const kal_table_definition *def, kal_arena *arena,
                                      kal_bytes *location_out, kal_error *err)
{
    kal_storage storage;
    kal_buf text; /* owned */

    *location_out = (kal_bytes){0};
    if (!kal_storage_is_used_by(def))
        return KAL_OK;
    kal_status status =
        find_storage(c, snapshot, kal_cstr(def->options.storage_id), arena, &storage, err);
    if (status == KAL_NOT_FOUND)
        return KAL_OK;
    KAL_TRY(status);
    kal_buf_init(&text, NULL);
    kal_buf_append_bytes(&text, storage.base_directory);
    if (storage.base_directory.len > 0)
        kal_buf_append_byte(&text, '/');
    append_folder(&storage, def, (kal_bytes){0}, 0, &text);
    *location_out = kal_arena_copy(arena, kal_buf_bytes(&text));
    kal_buf_release(&text);
    return KAL_OK;
}

typedef struct use_scan {
    kal_catalog_change *change;
    kal_bytes storage_id;
    size_t count;
    kal_buf names; /* owned; of the first ones */
} use_scan;

static kal_status count_use(void *context, kal_bytes ns, kal_bytes name, uint32_t table_id,
                            kal_error *err)
{
    use_scan *scan = context;
    kal_catalog *c = scan->change->catalog;
    kal_table_record record;
    kal_version_record version;
    kal_arena arena;

    kal_arena_init(&arena, NULL);
    kal_status status = kal_table_store_record(c, NULL, table_id, &record, err);
    if (status == KAL_OK)
        status = kal_table_store_version(c, NULL, table_id, record.version, &arena, &version, err);
    if (status == KAL_NOT_FOUND)
        status = kal_record_corrupt("table", err);
    if (status == KAL_OK && kal_storage_is_used_by(version.def) &&
        kal_bytes_equal(kal_cstr(version.def->options.storage_id), scan->storage_id)) {
        if (scan->count < USERS_SHOWN_MAX)
            kal_buf_printf(&scan->names, "%s%.*s.%.*s", scan->count == 0 ? "" : ", ", KAL_FMT(ns),
                           KAL_FMT(name));
        scan->count++;
    }
    kal_arena_release(&arena);
    return status;
}

static kal_status check_unused(kal_catalog_change *change, kal_bytes id, kal_error *err)
{
    use_scan scan = {.change = change, .storage_id = id};

    kal_buf_init(&scan.names, NULL);
    kal_status status =
        kal_table_store_scan(change->catalog, NULL, (kal_bytes){0}, count_use, &scan, err);
    if (status == KAL_OK && scan.count > 0)
        status = kal_error_set(err, KAL_INVALID,
                               "cannot drop storage '%.*s': %zu table%s use%s it: "
                               "%.*s%s",
                               KAL_FMT(id), scan.count, scan.count == 1 ? "" : "s",
                               scan.count == 1 ? "s" : "", KAL_FMT(kal_buf_bytes(&scan.names)),
                               scan.count > USERS_SHOWN_MAX ? ", ..." : "");
    kal_buf_release(&scan.names);
    return status;
}

/* ---- changes ---- */

static kal_status check_text(kal_bytes text, const char *what, size_t bytes_max, kal_error *err)
{
    if (text.len > bytes_max)
        return kal_error_set(err, KAL_LIMIT, "the %s of a storage has %zu bytes, the limit is %zu",
                             what, text.len, bytes_max);
    return KAL_OK;
}

static kal_status check_storage(const kal_storage *s, kal_error *err)
{
    if (s->name.len == 0)
        return kal_error_set(err, KAL_INVALID, "the name of a storage cannot be empty");
    KAL_TRY(check_text(s->name, "name", KAL_STORAGE_NAME_BYTES_MAX, err));
    KAL_TRY(check_text(s->description, "description", KAL_STORAGE_DESCRIPTION_BYTES_MAX, err));
    KAL_TRY(kal_path_template_check(s->shared_template, KAL_PATH_TEMPLATE_SHARED, err));
    KAL_TRY(kal_path_template_check(s->user_template, KAL_PATH_TEMPLATE_USER, err));
    return kal_path_templates_check(s->shared_template, s->user_template, err);
}

/* a is b or a folder above it. */
static bool holds(kal_bytes a, kal_bytes b)
{
    return kal_bytes_starts_with(b, a) && (b.len == a.len || b.ptr[a.len] == '/');
}

static bool overlap(const kal_storage *a, const kal_storage *b)
{
    if (kal_storage_is_s3(a) != kal_storage_is_s3(b))
        return false;
    if (kal_storage_is_s3(a))
        return kal_s3_overlap(&a->s3.location, &b->s3.location);
    return b->base_directory.len > 0 && (holds(a->base_directory, b->base_directory) ||
                                         holds(b->base_directory, a->base_directory));
}

static kal_status check_apart(void *context, const kal_storage *other, kal_error *err)
{
    const kal_storage *own = context;

    if (!overlap(own, other))
        return KAL_OK;
    kal_error_set(err, KAL_INVALID, "%s '%.*s' overlaps '%.*s' of storage '%.*s'",
                  kal_storage_is_s3(own) ? "the place" : "the directory",
                  KAL_FMT(own->base_directory), KAL_FMT(other->base_directory),
                  KAL_FMT(other->storage_id));
    kal_error_hint(err, kal_storage_is_s3(own) ? "each storage needs a prefix of its own"
                                               : "each storage needs a directory of its own");
    return KAL_INVALID;
}

kal_status kal_catalog_create_storage(kal_catalog_change *change, const kal_storage *storage,
                                      bool if_not_exists, bool *existed_out, kal_error *err)
{
    kal_storage own = *storage;
    kal_storage existing;

    *existed_out = false;
    if (!kal_storage_id_valid(own.storage_id)) {
        kal_error_set(err, KAL_INVALID, "'%.*s' cannot be the id of a storage",
                      KAL_FMT(own.storage_id));
        kal_error_hint(err, "1 to %d letters, digits and _", KAL_STORAGE_ID_BYTES_MAX);
        return KAL_INVALID;
    }
    kal_status status =
        find_storage(change->catalog, NULL, own.storage_id, &change->arena, &existing, err);
    if (status != KAL_OK && status != KAL_NOT_FOUND)
        return status;
    *existed_out = status == KAL_OK;
    if (*existed_out && if_not_exists)
        return KAL_OK;
    if (*existed_out)
        return kal_error_set(err, KAL_EXISTS, "storage '%.*s' already exists",
                             KAL_FMT(own.storage_id));
    KAL_TRY(check_storage(&own, err));
    KAL_TRY(kal_storages_scan(change->catalog, NULL, check_apart, &own, err));
    own.created_at_us = change->now_us;
    own.updated_at_us = change->now_us;
    return put_storage(change, &own, err);
}

static kal_bytes chosen(kal_bytes wanted, kal_bytes current)
{
    return wanted.ptr == NULL ? current : wanted;
}

kal_status kal_catalog_alter_storage(kal_catalog_change *change, kal_bytes id,
                                     const kal_storage_alter *alter, kal_error *err)
{
    kal_storage s;

    KAL_TRY(kal_catalog_get_storage(change->catalog, id, &change->arena, &s, err));
    s.name = chosen(alter->name, s.name);
    s.description = chosen(alter->description, s.description);
    s.shared_template = chosen(alter->shared_template, s.shared_template);
    s.user_template = chosen(alter->user_template, s.user_template);
    if (alter->credentials != NULL && !kal_storage_is_s3(&s))
        return kal_error_set(err, KAL_INVALID,
                             "storage '%.*s' has no credentials: it is of type %.*s", KAL_FMT(id),
                             KAL_FMT(s.type));
    if (alter->credentials != NULL)
        s.s3.credentials = *alter->credentials;
    s.updated_at_us = change->now_us;
    KAL_TRY(check_storage(&s, err));
    return put_storage(change, &s, err);
}

/* ---- dropping ---- */

typedef struct segment_search {
    kal_catalog *catalog;
    kal_bytes storage_id;
    uint64_t found;
} segment_search;

static kal_status count_segments(void *context, uint32_t table_id, const kal_manifest_head *head,
                                 kal_error *err)
{
    segment_search *search = context;
    kal_segment_info *infos = NULL;
    size_t count = 0;
    kal_arena arena; /* owned */

    (void)head;
    kal_arena_init(&arena, NULL);
    kal_status status =
        kal_catalog_segments(search->catalog, NULL, table_id, &arena, &infos, &count, err);
    for (size_t i = 0; i < count; i++)
        search->found += kal_bytes_equal(infos[i].storage_id, search->storage_id);
    kal_arena_release(&arena);
    return status;
}

static kal_status count_doomed(void *context, const kal_doomed_segment *doomed, kal_error *err)
{
    segment_search *search = context;
    (void)err;
    search->found += kal_bytes_equal(doomed->storage_id, search->storage_id);
    return KAL_OK;
}

/* A table may have gone to another storage since its segments were written. */
static kal_status check_empty_of_segments(kal_catalog *c, kal_bytes id, kal_error *err)
{
    segment_search search = {c, id, 0};

    KAL_TRY(kal_catalog_scan_manifests(c, NULL, count_segments, &search, err));
    if (search.found > 0) {
        kal_error_set(err, KAL_INVALID, "storage '%.*s' cannot be dropped: %llu segments lie in it",
                      KAL_FMT(id), (unsigned long long)search.found);
        kal_error_hint(err, "STORAGE COMPACT TABLE writes them anew, where the table's storage is "
                            "now");
        return KAL_INVALID;
    }
    KAL_TRY(kal_catalog_scan_doomed(c, count_doomed, &search, err));
    if (search.found == 0)
        return KAL_OK;
    return kal_error_set(err, KAL_INVALID,
                         "storage '%.*s' cannot be dropped yet: %llu segments are being removed "
                         "from it",
                         KAL_FMT(id), (unsigned long long)search.found);
}

kal_status kal_catalog_drop_storage(kal_catalog_change *change, kal_bytes id, bool if_exists,
                                    bool *existed_out, kal_error *err)
{
    kal_catalog *c = change->catalog;
    kal_storage s;
    kal_entity_key key;

    *existed_out = false;
    kal_status status = find_storage(c, NULL, id, &change->arena, &s, err);
    if (status == KAL_NOT_FOUND)
        return if_exists ? KAL_OK : unknown_storage(c, id, err);
    KAL_TRY(status);
    *existed_out = true;
    if (kal_bytes_equal(id, KAL_STR(KAL_STORAGE_LOCAL)))
        return kal_error_set(err, KAL_DENIED, "storage '%s' cannot be dropped", KAL_STORAGE_LOCAL);
    KAL_TRY(check_unused(change, id, err));
    KAL_TRY(check_empty_of_segments(c, id, err));
    storage_key(c, id, &key);
    return kal_entity_delete(&c->storages, change->batch, &key, err);
}
