/*
 * storages.h: storages: the places where tables' segments lie. The first is `local`, a folder
 * of the data directory.
 *
 * A table names its storage by its options. Under the DDL lock a storage that a table names exists:
 * CREATE and ALTER TABLE look for it, DROP STORAGE looks for tables.
 */
#ifndef KAL_CATALOG_STORAGES_H
#define KAL_CATALOG_STORAGES_H

#include "catalog/catalog.h"
#include "storage/s3_config.h"

#define KAL_STORAGE_LOCAL                 "local"
#define KAL_STORAGE_TYPE_FILESYSTEM       "filesystem"
#define KAL_STORAGE_TYPE_S3               "s3"
#define KAL_STORAGE_NAME_BYTES_MAX        256u
#define KAL_STORAGE_DESCRIPTION_BYTES_MAX 4096u

typedef struct kal_storage {
    kal_bytes storage_id;     /* as kal_storage_id_valid() */
    kal_bytes name;           /* for people */
    kal_bytes description;    /* ptr NULL: none */
    kal_bytes type;           /* KAL_STORAGE_TYPE_FILESYSTEM or _S3 */
    kal_bytes base_directory; /* absolute and canonical; empty: of `local`, given by the server; of
                                 s3: s3://bucket[/prefix] */
    kal_s3_target s3;         /* of s3; location.bucket and .prefix as base_directory says */
    kal_bytes shared_template;
    kal_bytes user_template;
    int64_t created_at_us;
    int64_t updated_at_us;
} kal_storage;

/* KAL_NOT_FOUND with code STORAGE_NOT_FOUND and a near name. Texts in the arena. */
KAL_MUST_CHECK kal_status kal_catalog_get_storage(kal_catalog *catalog, kal_bytes storage_id,
                                                  kal_arena *arena, kal_storage *storage_out,
                                                  kal_error *err);
bool kal_storage_is_s3(const kal_storage *storage);
/* Tables of this kind have rows that move to a storage. */
bool kal_storage_is_used_by(const kal_table_definition *def);
/* Where a table's segments lie: its storage, and the folder in it as a key: the user's, or with
 * user_no 0 (and when nobody knows his name any more) that of all its users. In the arena.
 * KAL_NOT_FOUND: the storage does not exist. */
KAL_MUST_CHECK kal_status kal_catalog_table_folder(kal_catalog *catalog,
                                                   const kal_table_definition *def,
                                                   uint64_t user_no, kal_arena *arena,
                                                   kal_bytes *storage_id_out, kal_bytes *folder_out,
                                                   kal_error *err);
/* Adds a storage (times are assigned). KAL_EXISTS unless if_not_exists; KAL_INVALID: name,
 * templates, or a place that is, holds or lies in another storage's. */
KAL_MUST_CHECK kal_status kal_catalog_create_storage(kal_catalog_change *change,
                                                     const kal_storage *storage, bool if_not_exists,
                                                     bool *existed_out, kal_error *err);

/* ptr NULL: stays as it is. */
typedef struct kal_storage_alter {
    kal_bytes name;
    kal_bytes description;
    kal_bytes shared_template;
    kal_bytes user_template;
    const kal_sigv4_credentials *credentials;
} kal_storage_alter;
/* KAL_NOT_FOUND, KAL_INVALID: texts, or credentials for a storage that is not of type s3. */
KAL_MUST_CHECK kal_status kal_catalog_alter_storage(kal_catalog_change *change,
                                                    kal_bytes storage_id,
                                                    const kal_storage_alter *alter, kal_error *err);
/* KAL_INVALID while tables use it, naming up to three; KAL_DENIED for `local`. */
KAL_MUST_CHECK kal_status kal_catalog_drop_storage(kal_catalog_change *change, kal_bytes storage_id,
                                                   bool if_exists, bool *existed_out,
                                                   kal_error *err);

#endif
