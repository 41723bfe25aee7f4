/*
 * catalog_internal.h: what the files of catalog/ share.
 *
 * Records (family `catalog`; key parts as in entity_store.h):
 *
 *   01 format                     -> u32 format version, u64 features
 *   02 counter: name              -> u64 last number handed out
 *   03 namespace: name            -> i64 created_at_us, options as JSON text (format 1: none)
 *   04 table name: ns, name       -> u32 table_id
 *   05 table: u32 table_id        -> u32 current version, u32 hot_id, u16 shard
 *   06 version: u32 id, u32 v     -> step of the history (with its actor), definition
 *   07 user: user_id              -> see users.c
 *   08 storage: storage_id        -> see storages.c
 *   10 popular tables             -> see popular.c
 *   11 manifest: u32 table_id     -> u64 version, u32 active hot_id, u32 frozen hot_id or 0,
 *                                     u8 knows_moved, text moved_to (format 1: without these)
 *   12 segment: u32 table_id, u32 segment_id -> see segments.c
 *   13 doomed segment: u32 segment_id        -> its storage and object, u64 least and greatest
 *                                               number of users (format 1: without)
 *   14 table that is being restored: u32 hot_id -> u8 type; see restored.h
 *
 * Numbers are little-endian, texts u32 length and bytes.
 */
#ifndef KAL_CATALOG_CATALOG_INTERNAL_H
#define KAL_CATALOG_CATALOG_INTERNAL_H

#include "base/map.h"
#include "base/vec.h"
#include "catalog/catalog.h"
#include "catalog/schema_cache.h"
#include "catalog/storages.h"
#include "catalog/system_tables.h"
#include "store/entity_store.h"

#include <pthread.h>

#define KAL_TABLE_ID_FIRST 1024u /* smaller ones are system tables' */

/* In memory for all of them: every request asks. */
typedef struct kal_user_state {
    uint32_t token_generation;
    kal_role role;
    bool has_password;
    bool is_deleted;
    kal_bytes user_id; /* of a step: the change's arena; in the map: behind the state */
} kal_user_state;

typedef struct kal_namespace {
    int64_t created_at_us;
} kal_namespace;

typedef struct kal_provider {
    kal_system_provider rows; /* NULL: none */
    void *context;            /* borrowed */
} kal_provider;

struct kal_catalog {
    kal_kv *kv;             /* borrowed */
    const kal_clock *clock; /* borrowed */
    kal_entity_store formats;
    kal_entity_store counters;
    kal_entity_store namespaces;
    kal_entity_store table_names;
    kal_entity_store tables;
    kal_entity_store versions;
    kal_entity_store users;
    kal_entity_store storages;
    kal_entity_store popular;
    kal_entity_store manifests;
    kal_entity_store segments;
    kal_entity_store doomed;
    kal_entity_store unnamed; /* tables that are being restored */
    kal_provider providers[KAL_SYSTEM_TABLE_END];
    bool is_open;
    uint32_t popular_due_s;   /* kal_catalog_tick()'s own */
    kal_schema_cache *cache;  /* owned */
    pthread_mutex_t ddl_lock; /* held from begin to end of a change */
    /* A look-up that goes to the store and what it puts into the cache are one step to publish. */
    pthread_rwlock_t publish_lock;  /* protects the next two */
    kal_map namespace_map;          /* name -> kal_namespace, owned */
    kal_map user_map;               /* be64 user_no -> kal_user_state, owned */
    _Atomic uint64_t users_version; /* see kal_catalog_users_version() */
};

/* ---- changes ---- */

typedef enum kal_change_kind {
    KAL_CHANGE_CREATE_TABLE,
    KAL_CHANGE_REPLACE_TABLE, /* by a later version, perhaps under another name */
    KAL_CHANGE_DROP_TABLE,
    KAL_CHANGE_CREATE_NAMESPACE,
    KAL_CHANGE_DROP_NAMESPACE,
    KAL_CHANGE_PUT_USER,
} kal_change_kind;

/* What publish does; the texts live in the change's arena. */
typedef struct kal_change_step {
    kal_change_kind kind;
    kal_bytes ns;
    kal_bytes name;
    kal_table *table; /* CREATE_TABLE, REPLACE_TABLE: owned */
    int64_t created_at_us;
    uint64_t user_no;
    kal_user_state user_state;
} kal_change_step;

struct kal_catalog_change {
    kal_catalog *catalog;
    kal_principal actor;
    kal_arena arena;
    kal_kv_batch *batch; /* owned */
    int64_t now_us;
    uint64_t commit_seq;            /* of this change; 0: not needed yet */
    KAL_VEC(kal_change_step) steps; /* arena */
    kal_bytes altered_ns;           /* whose options this change has set last; arena */
    kal_bytes altered_options;      /* to what */
    KAL_VEC(uint32_t) manifests;    /* tables whose manifests change; arena */
};

void kal_change_add(kal_catalog_change *change, kal_change_step step);
/* Into the change: all keys of the family that begin with this number go (segments.c). */
void kal_change_delete_number(kal_catalog_change *change, kal_kv_family family, uint32_t number);

/* ---- records ---- */

/* What a data directory holds that servers of before would not see: they refuse it. */
#define KAL_FEATURE_SEGMENTS UINT64_C(1) /* rows in segments: there is a manifest, or was */
#define KAL_FEATURES_KNOWN   KAL_FEATURE_SEGMENTS
KAL_MUST_CHECK kal_status kal_format_put(kal_catalog_change *change, uint64_t features,
                                         kal_error *err);

kal_status kal_record_corrupt(const char *what, kal_error *err);
/* The next number of a counter: into the batch, and to *number_out. */
KAL_MUST_CHECK kal_status kal_counter_next(kal_catalog_change *change, const char *counter,
                                           uint64_t *number_out, kal_error *err);
/* So many numbers of it, from *first_out on; once in a change. */
KAL_MUST_CHECK kal_status kal_counter_take(kal_catalog_change *change, const char *counter,
                                           uint64_t count, uint64_t *first_out, kal_error *err);
/* The change's place among all changes of the catalog, ascending. */
KAL_MUST_CHECK kal_status kal_change_commit_seq(kal_catalog_change *change, uint64_t *seq_out,
                                                kal_error *err);
/* 1 to KAL_NAME_BYTES_MAX lower-case letters, digits, _, a letter first. what: "namespace". */
KAL_MUST_CHECK kal_status kal_name_check(kal_bytes name, const char *what, kal_error *err);

/* ---- tables in the store (table_store.c) ---- */

typedef struct kal_table_record {
    uint32_t version;
    uint32_t hot_id;
    uint16_t shard;
} kal_table_record;

typedef struct kal_version_record {
    kal_schema_version step;
    kal_table_definition *def;
} kal_version_record;

/* KAL_NOT_FOUND leaves err alone. */
KAL_MUST_CHECK kal_status kal_table_store_id(kal_catalog *c, const kal_kv_snapshot *snapshot,
                                             kal_bytes ns, kal_bytes name, uint32_t *id_out,
                                             kal_error *err);
KAL_MUST_CHECK kal_status kal_table_store_record(kal_catalog *c, const kal_kv_snapshot *snapshot,
                                                 uint32_t table_id, kal_table_record *out,
                                                 kal_error *err);
KAL_MUST_CHECK kal_status kal_table_store_version(kal_catalog *c, const kal_kv_snapshot *snapshot,
                                                  uint32_t table_id, uint32_t version,
                                                  kal_arena *arena, kal_version_record *out,
                                                  kal_error *err);
/* Builds the table object of a name as of now, with one reference. */
KAL_MUST_CHECK kal_status kal_table_store_load(kal_catalog *c, kal_bytes ns, kal_bytes name,
                                               kal_table **table_out, kal_error *err);
/* A version of a table as the current one, by the change's actor. */
KAL_MUST_CHECK kal_status kal_table_store_put(kal_catalog_change *change,
                                              const kal_table_definition *def,
                                              const kal_table_record *record,
                                              const kal_schema_changes *changes, kal_error *err);
/* The two parts of it: a version with a history of its own, which may be a past one, and what makes
 * a version the current one. */
KAL_MUST_CHECK kal_status kal_table_store_put_past(kal_catalog_change *change,
                                                   const kal_table_definition *def,
                                                   const kal_schema_version *step, kal_error *err);
KAL_MUST_CHECK kal_status kal_table_store_put_names(kal_catalog_change *change,
                                                    const kal_table_definition *def,
                                                    const kal_table_record *record, kal_error *err);
/* For a new table: def->table_id, a hot space and a shard. Once in a change. */
KAL_MUST_CHECK kal_status kal_change_new_table_numbers(kal_catalog_change *change,
                                                       kal_table_definition *def,
                                                       kal_table_record *record, kal_error *err);
/* The name alone: the table has another one. */
KAL_MUST_CHECK kal_status kal_table_store_delete_name(kal_catalog *c, kal_kv_batch *batch,
                                                      kal_bytes ns, kal_bytes name, kal_error *err);
KAL_MUST_CHECK kal_status kal_table_store_delete(kal_catalog *c, kal_kv_batch *batch,
                                                 const kal_table_definition *def, kal_error *err);

/* ns empty: of all namespaces. */
KAL_MUST_CHECK kal_status kal_table_store_scan(kal_catalog *c, const kal_kv_snapshot *snapshot,
                                               kal_bytes ns, kal_table_visit visit, void *context,
                                               kal_error *err);
/* Of many names, the one that is nearest to a wrong one. */
typedef struct kal_near_name {
    kal_bytes wanted;
    size_t least;
    char best[KAL_NAME_BYTES_MAX + 1]; /* "": none is near */
} kal_near_name;

kal_near_name kal_near_name_to(kal_bytes wanted);
void kal_near_name_look(kal_near_name *near, kal_bytes name);
/* Writes the error: namespace or table, with a near name. */
kal_status kal_table_not_found(kal_catalog *c, kal_bytes ns, kal_bytes name, kal_error *err);
/* An object with one reference around a copy of def. */
kal_table *kal_table_make(kal_catalog *c, const kal_table_definition *def, uint32_t hot_id,
                          uint16_t shard);
/* What kal_table_row_open() has collected (row_versions.c). */
void kal_row_versions_free(kal_table *table);

/* Into the change: all that the table's manifest has goes (segments.c). */
KAL_MUST_CHECK kal_status kal_segments_drop_table(kal_catalog_change *change, uint32_t table_id,
                                                  kal_error *err);

/* ---- users (users.c), storages, namespaces ---- */

KAL_MUST_CHECK kal_status kal_users_load(kal_catalog *c, kal_error *err);
KAL_MUST_CHECK kal_status kal_users_create_root(kal_catalog_change *change, kal_error *err);
void kal_users_publish(kal_catalog *c, const kal_change_step *step);

KAL_MUST_CHECK kal_status kal_namespaces_load(kal_catalog *c, kal_error *err);
void kal_namespaces_publish(kal_catalog *c, const kal_change_step *step);
/* options: a JSON object; ptr NULL = none. */
typedef kal_status (*kal_namespace_visit)(void *context, kal_bytes name, int64_t created_at_us,
                                          kal_bytes options, kal_error *err);
KAL_MUST_CHECK kal_status kal_namespaces_scan(kal_catalog *c, const kal_kv_snapshot *snapshot,
                                              kal_namespace_visit visit, void *context,
                                              kal_error *err);
KAL_MUST_CHECK kal_status kal_namespace_put(kal_catalog_change *change, kal_bytes name,
                                            kal_error *err);
bool kal_namespace_is_system(kal_bytes name);

typedef kal_status (*kal_storage_visit)(void *context, const kal_storage *storage, kal_error *err);
KAL_MUST_CHECK kal_status kal_storages_scan(kal_catalog *c, const kal_kv_snapshot *snapshot,
                                            kal_storage_visit visit, void *context, kal_error *err);
KAL_MUST_CHECK kal_status kal_storage_create_local(kal_catalog_change *change, kal_error *err);
/* KAL_NOT_FOUND with code STORAGE_NOT_FOUND. */
KAL_MUST_CHECK kal_status kal_storage_of_table_exists(kal_catalog_change *change,
                                                      const kal_table_definition *def,
                                                      kal_error *err);

/* Remembers which tables are looked up often, and brings them into memory at start (popular.c).
 * Failures are logged: nothing but the first look-ups' speed depends on it. */
void kal_popular_store(kal_catalog *c);
void kal_popular_load(kal_catalog *c);

/* Takes the system tables' definitions over into the store where they are new or changed. */
KAL_MUST_CHECK kal_status kal_system_tables_store(kal_catalog_change *change, kal_error *err);
/* Puts them into the cache. */
KAL_MUST_CHECK kal_status kal_system_tables_warm(kal_catalog *c, kal_error *err);

#endif
