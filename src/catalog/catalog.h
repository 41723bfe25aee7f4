/*
 * catalog.h: what there is: namespaces, tables and their versions, users, storages; one truth from
 * which DESCRIBE, information_schema, system tables and execution all read.
 *
 * Definitions are immutable once published and shared by reference count (kal_table). Look-ups go
 * through a worker's own direct-mapped slots, checked against one global generation; behind them a
 * sharded map with CLOCK eviction; behind that the store. DDL writes its batch, publishes to the
 * map, then bumps the generation: no reader after the DDL's answer sees the old definition.
 *
 * A change is made in steps so that it shares a batch and an fsync with the write lane:
 *
 *     kal_catalog_begin() -> kal_catalog_create_table() ... -> [lane writes the change's batch]
 *         -> kal_catalog_publish() (on the lane, once durable) -> kal_catalog_end()
 *
 * begin takes the DDL lock, end gives it back; end without publish forgets the change.
 *
 * Threads: any; a worker and a change belong to one thread at a time.
 * Source: design section 6; reference sections 2.8, 4.1.
 */
#ifndef KAL_CATALOG_CATALOG_H
#define KAL_CATALOG_CATALOG_H

#include "base/clock.h"
#include "base/list.h"
#include "catalog/role.h"
#include "schema/table_alter.h"
#include "store/kv.h"
#include "types/row.h"

#include <stdalign.h>
#include <stdatomic.h>

typedef struct kal_catalog kal_catalog;               /* opaque: kal_catalog_close */
typedef struct kal_catalog_worker kal_catalog_worker; /* opaque: one per thread */
typedef struct kal_catalog_change kal_catalog_change; /* opaque: kal_catalog_end */

#define KAL_SHARD_COUNT 1024u
/* Where the rows of a user lie: a hash, stable for ever. */
uint16_t kal_shard_of_user(uint64_t user_no);

/* What became of a published version. */
typedef enum kal_table_fate {
    KAL_TABLE_CURRENT,
    KAL_TABLE_REPLACED, /* by a later version, or under another name */
    KAL_TABLE_DROPPED,
} kal_table_fate;

/* What the schema cache keeps with a table. */
typedef struct kal_cache_entry {
    /* What each look-up reads, without a lock: one line of the processor's cache. good_until_s: a
     * slot may answer until then, by the cache's seconds; 0: ask the index. */
    alignas(64) _Atomic uint32_t good_until_s;
    _Atomic bool was_used; /* since the hand of CLOCK passed */
    uint8_t ns_len;        /* the next four: constant once it is known */
    uint8_t name_len;
    uint8_t key[57]; /* namespace and name, one behind the other, if they fit */
    uint64_t name_hash;
    struct kal_schema_cache *cache; /* NULL: not known there */
    _Atomic uint64_t uses;          /* look-ups, about: who is read often is loaded at start */
    _Atomic uint32_t expires_s;     /* by cache_ttl_seconds; KAL_CACHE_NO_LIMIT: never */
    bool is_held;                   /* by a reference of the cache's own; as the next two under the
                                       name shard's lock */
    kal_list clock;
    struct kal_table *next_by_name; /* chain of the index */
    struct kal_table *next_by_id;   /* likewise, under the id shard's lock */
} kal_cache_entry;

#define KAL_CACHE_NO_LIMIT UINT32_MAX

/* A published version of a table. Immutable but for what stands at the end. */
typedef struct kal_table {
    const kal_table_definition *def;
    kal_row_layout layout; /* of def->columns */
    uint32_t hot_id;       /* names the table's current hot key space; 0 for SYSTEM */
    uint16_t shard;        /* SHARED: where its rows live */
    /* Columns (ids) that take no NULL although the definition lets them: SET NOT NULL is being
     * checked against the rows that exist (kal_catalog_enforce_not_null). */
    const uint32_t *enforced_ids;
    uint32_t enforced_count;
    kal_arena arena;                                 /* owns all of the above */
    kal_catalog *catalog;                            /* borrowed */
    _Atomic(struct kal_row_versions *) row_versions; /* see kal_table_row_open(); owned */
    _Atomic(struct kal_table_note *) note;           /* see kal_table_note_get(); owned */
    _Atomic(kal_table_fate) fate;                    /* set when published */
    uint64_t epoch;              /* rose to this when it became known; see kal_catalog_epoch() */
    _Atomic uint64_t checked_at; /* VIEW: the generation at which its text was found to be valid */
    _Atomic uint32_t refs;
    uint32_t bytes;         /* of memory, without row_versions and note */
    kal_cache_entry cached; /* the schema cache's */
} kal_table;

/* Rises whenever a table object becomes known. A snapshot taken after it was read has every
 * definition whose object has this epoch or a lower one. */
uint64_t kal_catalog_epoch(kal_catalog *catalog);
/* Whether the table had this definition at the moment of the snapshot. KAL_IO, KAL_CORRUPT. */
KAL_MUST_CHECK kal_status kal_catalog_was_current(kal_catalog *catalog,
                                                  const kal_kv_snapshot *snapshot,
                                                  const kal_table *table, bool *out,
                                                  kal_error *err);
/* Rises with each publication of a schema change; never answers in the middle of one. */
uint64_t kal_catalog_generation(kal_catalog *catalog);

kal_table *kal_table_retain(kal_table *table);
void kal_table_release(kal_table *table); /* NULL is allowed */

/* Opens a stored row of this or an older version of the table as the columns of this one. snapshot
 * (NULL: now): of the view that read the row. cached_only: KAL_BUSY when the definition that wrote
 * the row has to be read from the store first, which happens once per version. KAL_STALE: the row
 * is newer than the table object. KAL_CORRUPT, KAL_IO.
 */
KAL_MUST_CHECK kal_status kal_table_row_open(kal_table *table, const kal_kv_snapshot *snapshot,
                                             kal_bytes bytes, bool cached_only, kal_row *row_out,
                                             kal_error *err);

/* A text that follows from this version alone, kept with it by whoever made it first (exec: the
 * answer of DESCRIBE), and a number that goes with it. */
typedef struct kal_table_note {
    uint64_t number;
    size_t len;
    uint8_t text[];
} kal_table_note;
/* NULL: there is none yet. Lives as long as the table. */
const kal_table_note *kal_table_note_get(const kal_table *table);
/* Unless there is one. */
void kal_table_note_set(kal_table *table, kal_bytes text, uint64_t number);

/* ---- opening ---- */

typedef struct kal_catalog_options {
    size_t cache_tables; /* tables in memory; 0 = KAL_SCHEMA_CACHE_TABLES_DEFAULT */
} kal_catalog_options;
#define KAL_SCHEMA_CACHE_TABLES_DEFAULT 10000u

/* Opens or initialises: format version (a newer one is refused), system table definitions, the
 * namespace `default`, the storage `local`, the user `root` without a password. Fills the cache
 * with all system definitions, then with the tables that were read often before, up to its
 * capacity. kv and clock are borrowed; options may be NULL. */
KAL_MUST_CHECK kal_status kal_catalog_open(kal_kv *kv, const kal_clock *clock,
                                           const kal_catalog_options *options,
                                           kal_catalog **catalog_out, kal_error *err);
/* Remembers which tables are read often. NULL is allowed. */
void kal_catalog_close(kal_catalog *catalog);
/* To be called about once a second: time for cache_ttl_seconds, and now and then the tables that
 * are read often are remembered. */
void kal_catalog_tick(kal_catalog *catalog);

kal_catalog_worker *kal_catalog_worker_open(kal_catalog *catalog);
void kal_catalog_worker_close(kal_catalog_worker *worker);

/* ---- reading ---- */

/* The current version of ns.name, system tables included. Borrowed from the worker until its next
 * look-up; kal_table_retain() to keep it. KAL_NOT_FOUND with code TABLE_NOT_FOUND, a message such
 * as table 'app.mesages' does not exist and a near name as hint; a missing namespace says that. */
KAL_MUST_CHECK kal_status kal_catalog_get_table(kal_catalog_worker *worker, kal_bytes ns,
                                                kal_bytes name, kal_table **table_out,
                                                kal_error *err);
/* The same by its number, which survives RENAME. KAL_NOT_FOUND with code TABLE_NOT_FOUND. */
KAL_MUST_CHECK kal_status kal_catalog_get_table_by_id(kal_catalog_worker *worker, uint32_t table_id,
                                                      kal_table **table_out, kal_error *err);
/* Every table's name, of all namespaces (ns empty) or one, in order. KAL_END from visit stops. */
typedef kal_status (*kal_table_visit)(void *context, kal_bytes ns, kal_bytes name,
                                      uint32_t table_id, kal_error *err);
KAL_MUST_CHECK kal_status kal_catalog_scan_tables(kal_catalog *catalog, kal_bytes ns,
                                                  kal_table_visit visit, void *context,
                                                  kal_error *err);
/* Their numbers, in the arena. KAL_LIMIT: its budget. */
KAL_MUST_CHECK kal_status kal_catalog_table_ids(kal_catalog *catalog, kal_bytes ns,
                                                kal_arena *arena, uint32_t **ids_out,
                                                size_t *count_out, kal_error *err);
bool kal_catalog_has_namespace(kal_catalog *catalog, kal_bytes ns);
/* Writes the error: code NAMESPACE_NOT_FOUND, a near name as hint. Returns KAL_NOT_FOUND. */
kal_status kal_catalog_unknown_namespace(kal_catalog *catalog, kal_bytes ns, kal_error *err);

typedef struct kal_cache_stats {
    uint64_t hits;            /* answered from memory */
    uint64_t misses;          /* read from the store, enable_cache = false included */
    uint64_t evictions;       /* for the capacity */
    uint64_t size;            /* tables */
    uint64_t capacity;        /* tables, at most */
    uint64_t bytes;           /* of these tables */
    uint64_t revalidations;   /* compared with the store for their cache_ttl_seconds */
    uint64_t failures;        /* of the cache itself, answered from the store */
    uint64_t slow_path_locks; /* locks that look-ups have taken */
} kal_cache_stats;
kal_cache_stats kal_catalog_cache_stats(kal_catalog *catalog);

/* One version of a table, as of snapshot (NULL: now); lives in the arena. KAL_NOT_FOUND. */
KAL_MUST_CHECK kal_status kal_catalog_table_version(kal_catalog *catalog,
                                                    const kal_kv_snapshot *snapshot,
                                                    uint32_t table_id, uint32_t version,
                                                    kal_arena *arena,
                                                    kal_table_definition **def_out, kal_error *err);
/* History of a table, oldest first, as of snapshot (NULL: now). */
KAL_MUST_CHECK kal_status kal_catalog_table_history(kal_catalog *catalog,
                                                    const kal_kv_snapshot *snapshot,
                                                    uint32_t table_id, kal_arena *arena,
                                                    kal_schema_version **versions_out,
                                                    size_t *count_out, kal_error *err);

/* The rows of a system or information_schema table as of snapshot (NULL: now), row after row in the
 * order of its columns. Who may read it is kal_catalog_may_read_system(). Lives in the arena. */
typedef struct kal_system_rows {
    const kal_value *values;
    size_t row_count;
    size_t column_count;
} kal_system_rows;
KAL_MUST_CHECK kal_status kal_catalog_system_rows(kal_catalog *catalog,
                                                  const kal_kv_snapshot *snapshot,
                                                  const kal_table *table, kal_arena *arena,
                                                  kal_system_rows *rows_out, kal_error *err);
/*
 * Rows that the catalog cannot know (settings, numbers of the running process) come from the
 * folders above, which say how when they open: before the first statement, and again with NULL once
 * nobody can ask any more. A table without a provider is empty. table_id: of system_tables.h.
 */
typedef struct kal_system_sink kal_system_sink; /* opaque: takes the rows of one reading */
typedef kal_status (*kal_system_provider)(void *context, const kal_kv_snapshot *snapshot,
                                          kal_system_sink *sink, kal_error *err);
void kal_catalog_set_provider(kal_catalog *catalog, uint32_t table_id, kal_system_provider provider,
                              void *context);
/* One value per column of the table, copied. KAL_LIMIT. */
KAL_MUST_CHECK kal_status kal_system_sink_add(kal_system_sink *sink, const kal_value *values,
                                              size_t count, kal_error *err);
/* How many rows a system table has as of snapshot; only those whose TEXT column `column` is `text`
 * unless that is empty. */
KAL_MUST_CHECK kal_status kal_catalog_system_count(kal_catalog *catalog,
                                                   const kal_kv_snapshot *snapshot,
                                                   uint32_t table_id, uint32_t column,
                                                   kal_bytes text, uint64_t *count_out,
                                                   kal_error *err);
/* The folder below which the table's segments will lie, of all users: base directory of its storage
 * (none for `local`) and template. ptr NULL: nowhere (SYSTEM, views). */
KAL_MUST_CHECK kal_status kal_table_storage_location(kal_catalog *catalog,
                                                     const kal_kv_snapshot *snapshot,
                                                     const kal_table_definition *def,
                                                     kal_arena *arena, kal_bytes *location_out,
                                                     kal_error *err);
/* True when `principal` may read this SYSTEM table at all. */
bool kal_catalog_may_read_system(const kal_table *table, const kal_principal *principal);

/* ---- changing ---- */

/* Waits for the DDL lock. */
kal_catalog_change *kal_catalog_begin(kal_catalog *catalog, const kal_principal *actor);
/* NULL: somebody else holds it. */
kal_catalog_change *kal_catalog_try_begin(kal_catalog *catalog, const kal_principal *actor);
kal_catalog *kal_catalog_change_catalog(kal_catalog_change *change);
/* The batch to be written, synced, by the caller; add nothing to it after publish. */
kal_kv_batch *kal_catalog_change_batch(kal_catalog_change *change);
/* Makes a durable change visible. The change is empty then, and may go on to another one under the
 * same DDL lock. */
void kal_catalog_publish(kal_catalog_change *change);
/* Takes back what the change has collected since it began or was published. */
void kal_catalog_forget(kal_catalog_change *change);
/* Writes and publishes: for changes that do not go through the write lane (set-up, opening). They
 * share no key with what a lane writes. */
KAL_MUST_CHECK kal_status kal_catalog_commit(kal_catalog_change *change, kal_error *err);
void kal_catalog_end(kal_catalog_change *change);

/* Names: 1 to 64 characters, a letter first, then letters, digits, _; lower case; not reserved.
 * existed_out true (and KAL_OK) when it is there and if_not_exists was said, else KAL_EXISTS. */
KAL_MUST_CHECK kal_status kal_catalog_create_namespace(kal_catalog_change *change, kal_bytes name,
                                                       bool if_not_exists, bool *existed_out,
                                                       kal_error *err);
#define KAL_NAMESPACE_OPTIONS_MAX      64
#define KAL_NAMESPACE_OPTION_BYTES_MAX 4096
/* Sets (NULL: removes) one option: a text, whole number or boolean. KAL_NOT_FOUND, KAL_DENIED for
 * the server's own, KAL_LIMIT. Several of one change add up. */
KAL_MUST_CHECK kal_status kal_catalog_set_namespace_option(kal_catalog_change *change, kal_bytes ns,
                                                           kal_bytes option, const kal_value *value,
                                                           kal_error *err);
/* KAL_CONFLICT-like KAL_INVALID while it holds tables, unless cascade: then they are dropped too.
 */
KAL_MUST_CHECK kal_status kal_catalog_drop_namespace(kal_catalog_change *change, kal_bytes name,
                                                     bool if_exists, bool cascade,
                                                     bool *existed_out, kal_error *err);
/* Takes a validated definition (table_id is assigned; the change keeps its own copy). Allocates a
 * hot_id and, for SHARED, the shard. */
KAL_MUST_CHECK kal_status kal_catalog_create_table(kal_catalog_change *change,
                                                   const kal_table_definition *def,
                                                   bool if_not_exists, bool *existed_out,
                                                   kal_error *err);
/* The next version of a table: `current` is the published one (looked up since begin), altered what
 * kal_table_alter() made of it, with at least one change. *next_out (may be NULL) is the object
 * that publish will make known, borrowed until the change ends. KAL_EXISTS: the new name is taken.
 */
KAL_MUST_CHECK kal_status kal_catalog_alter_table(kal_catalog_change *change,
                                                  const kal_table *current,
                                                  const kal_altered *altered, kal_table **next_out,
                                                  kal_error *err);
/* Another definition of a view, as its next version: def is validated; its number and version are
 * assigned. */
KAL_MUST_CHECK kal_status kal_catalog_replace_view(kal_catalog_change *change,
                                                   const kal_table *current,
                                                   const kal_table_definition *def, kal_error *err);
/* From publish on, writes that would put NULL into these columns (ids) are refused; the definition
 * stays what it is. Nothing is stored: a restart forgets it. count 0 takes it back. */
void kal_catalog_enforce_not_null(kal_catalog_change *change, const kal_table *current,
                                  const uint32_t *column_ids, uint32_t count);
/* Also removes its rows: one DeleteRange over the hot space, in the change's batch. */
KAL_MUST_CHECK kal_status kal_catalog_drop_table(kal_catalog_change *change, kal_bytes ns,
                                                 kal_bytes name, bool if_exists, bool *existed_out,
                                                 kal_error *err);

/* ---- users ---- */

typedef struct kal_user {
    uint64_t user_no;  /* >= 1, never reused */
    kal_bytes user_id; /* login name; arena */
    kal_role role;
    kal_bytes auth_type;     /* "password", "oauth", "internal" */
    kal_bytes password_hash; /* empty: cannot log in with a password */
    kal_bytes email;         /* ptr NULL = none */
    kal_bytes auth_data;     /* JSON text; ptr NULL = none */
    uint32_t token_generation;
    int64_t created_at_us;
    int64_t updated_at_us;
    int64_t last_seen_us;  /* of a login, about; 0 = never */
    int64_t deleted_at_us; /* 0 = not deleted */
} kal_user;

/* KAL_NOT_FOUND also for dropped users. */
KAL_MUST_CHECK kal_status kal_catalog_get_user(kal_catalog *catalog, kal_bytes user_id,
                                               kal_arena *arena, kal_user *user_out,
                                               kal_error *err);
/* Every user as of snapshot (NULL: now), dropped ones too; borrowed for the call. */
typedef kal_status (*kal_user_visit)(void *context, const kal_user *user, kal_error *err);
KAL_MUST_CHECK kal_status kal_users_scan(kal_catalog *catalog, const kal_kv_snapshot *snapshot,
                                         kal_user_visit visit, void *context, kal_error *err);
/* Also users who were dropped. KAL_NOT_FOUND. */
KAL_MUST_CHECK kal_status kal_catalog_get_any_user(kal_catalog *catalog, kal_bytes user_id,
                                                   kal_arena *arena, kal_user *user_out,
                                                   kal_error *err);
/* Another one whenever a user is new or gone, or his role or the worth of his tokens changed,
 * before that is answered. Any thread. */
uint64_t kal_catalog_users_version(kal_catalog *catalog);
/* What every request asks: false when the user is gone. Never touches the store. */
bool kal_catalog_user_state(kal_catalog *catalog, uint64_t user_no, uint32_t *generation_out,
                            kal_role *role_out);
/* True when the user was dropped: the writes that he had under way are refused. */
bool kal_catalog_user_is_dropped(kal_catalog *catalog, uint64_t user_no);
/* The name of a user, also of one that was dropped; in the arena. Never touches the store. */
bool kal_catalog_user_name(kal_catalog *catalog, uint64_t user_no, kal_arena *arena,
                           kal_bytes *user_id_out);
bool kal_catalog_any_password(kal_catalog *catalog); /* somebody can log in */

/* Adds a user (user_no and times are assigned). KAL_EXISTS, also for a dropped user of that name:
 * its rows are still there. */
KAL_MUST_CHECK kal_status kal_catalog_create_user(kal_catalog_change *change, kal_user *user,
                                                  kal_error *err);
/* Replaces role, password_hash, email, auth_*; a new role or password raises the token generation.
 * Refuses to take away the last login of role dba or system. */
KAL_MUST_CHECK kal_status kal_catalog_alter_user(kal_catalog_change *change, const kal_user *user,
                                                 kal_error *err);
/* Raises the token generation: every token that was given out is void. */
KAL_MUST_CHECK kal_status kal_catalog_end_tokens(kal_catalog_change *change, kal_bytes user_id,
                                                 kal_error *err);
/* Sets last_seen to now. */
KAL_MUST_CHECK kal_status kal_catalog_user_seen(kal_catalog_change *change, kal_bytes user_id,
                                                kal_error *err);
/* Soft: the rows stay, the name stays taken. root cannot be dropped. */
KAL_MUST_CHECK kal_status kal_catalog_drop_user(kal_catalog_change *change, kal_bytes user_id,
                                                kal_error *err);
/* As kal_catalog_drop_user(), also of one that was dropped before: password, e-mail address and
 * auth_data go, too, and KAL_AUTH_ERASING says what is under way. */
KAL_MUST_CHECK kal_status kal_catalog_begin_erasing(kal_catalog_change *change, kal_bytes user_id,
                                                    kal_error *err);
/* The end of the erasing: no record says any more that there was this user. His name may be taken
 * again, his number never. */
KAL_MUST_CHECK kal_status kal_catalog_forget_user(kal_catalog_change *change, kal_bytes user_id,
                                                  kal_error *err);
#define KAL_AUTH_ERASING "erasing" /* auth_type of those */
/* Those that are being erased; the arena's. */
KAL_MUST_CHECK kal_status kal_catalog_erasing_users(kal_catalog *catalog, kal_arena *arena,
                                                    kal_user **users_out, size_t *count_out,
                                                    kal_error *err);

#endif
