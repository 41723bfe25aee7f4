/*
 * table_options.h: the settings of a table, typed by the kind of table.
 *
 * One list (KAL_OPTION_LIST) says which kind has which field, its values and its default; JSON,
 * SQL, binary form and validation follow from it. A field whose effect is not built yet accepts its
 * default only and says why. Source: reference section 2.6; compression and access level defaults
 * are ours (zstd, private).
 */
#ifndef KAL_SCHEMA_TABLE_OPTIONS_H
#define KAL_SCHEMA_TABLE_OPTIONS_H

#include "base/json_reader.h"
#include "base/json_writer.h"
#include "types/value.h"

#define KAL_TABLE_TYPE_LIST(X)                                                                     \
    X(USER, "user", "USER")                                                                        \
    X(SHARED, "shared", "SHARED")                                                                  \
    X(STREAM, "stream", "STREAM")                                                                  \
    X(SYSTEM, "system", "SYSTEM")                                                                  \
    X(VIEW, "view", "VIEW") /* rows are those of a SELECT; no options */

typedef enum kal_table_type {
#define KAL_TABLE_TYPE_ENUM(name, lower, upper) KAL_TABLE_##name,
    KAL_TABLE_TYPE_LIST(KAL_TABLE_TYPE_ENUM)
#undef KAL_TABLE_TYPE_ENUM
} kal_table_type;

const char *kal_table_type_name(kal_table_type type);           /* "user" */
const char *kal_table_type_upper(kal_table_type type);          /* "USER" */
bool kal_table_type_parse(kal_bytes text, kal_table_type *out); /* any case */

typedef enum kal_compression {
    KAL_COMPRESSION_NONE,
    KAL_COMPRESSION_SNAPPY,
    KAL_COMPRESSION_LZ4,
    KAL_COMPRESSION_ZSTD,
} kal_compression;

typedef enum kal_access_level {
    KAL_ACCESS_PRIVATE,
    KAL_ACCESS_PUBLIC,
    KAL_ACCESS_RESTRICTED,
    KAL_ACCESS_DBA,
} kal_access_level;

typedef enum kal_eviction_strategy {
    KAL_EVICTION_TIME_BASED,
    KAL_EVICTION_SIZE_BASED,
    KAL_EVICTION_HYBRID,
} kal_eviction_strategy;

/* When hot rows move to cold storage: after so many rows, after so many seconds; 0 = not by that.
 */
typedef struct kal_flush_policy {
    uint32_t row_limit;
    uint32_t interval_seconds;
} kal_flush_policy;

#define KAL_STORAGE_ID_BYTES_MAX 64
/* 1 to KAL_STORAGE_ID_BYTES_MAX letters, digits and _. */
bool kal_storage_id_valid(kal_bytes id);

typedef struct kal_table_options {
    kal_table_type table_type;
    /* USER, SHARED */
    char storage_id[KAL_STORAGE_ID_BYTES_MAX + 1];
    kal_flush_policy flush_policy;
    uint64_t deleted_retention_hours;
    /* USER, SHARED, STREAM */
    uint64_t compression; /* kal_compression */
    /* USER */
    uint64_t partition_by_user;
    uint64_t max_rows_per_user;
    uint64_t enable_rls;
    uint64_t use_user_storage;
    /* SHARED */
    uint64_t access_level; /* kal_access_level */
    uint64_t enable_replication;
    /* SHARED, SYSTEM */
    uint64_t enable_cache;
    uint64_t cache_ttl_seconds;
    /* STREAM */
    uint64_t ttl_seconds;
    uint64_t eviction_strategy; /* kal_eviction_strategy */
    uint64_t max_stream_size_bytes;
    uint64_t enable_compaction;
    uint64_t watermark_delay_seconds;
    /* SYSTEM */
    uint64_t read_only;
    uint64_t localhost_only;
} kal_table_options;

/* The defaults of a kind. */
kal_table_options kal_table_options_default(kal_table_type type);
kal_table_options kal_table_options_user(void);
kal_table_options kal_table_options_shared(kal_access_level level);
kal_table_options kal_table_options_stream(uint64_t ttl_seconds);
kal_table_options kal_table_options_system(void);

kal_compression kal_table_options_compression(const kal_table_options *o); /* SYSTEM: none */
bool kal_table_options_is_cache_enabled(const kal_table_options *o);       /* USER, STREAM: false */
/* false for USER and STREAM, which have no cache */
bool kal_table_options_cache_ttl_seconds(const kal_table_options *o, uint64_t *seconds_out);

/*
 * Sets one field from SQL: name in any case, value a literal (text, whole number, boolean).
 * KAL_INVALID: unknown option (lists the valid ones of this kind), wrong kind of table, bad value.
 * KAL_UNSUPPORTED: a valid value whose effect is not built, with the reason.
 */
KAL_MUST_CHECK kal_status kal_table_options_set(kal_table_options *o, kal_bytes name,
                                                const kal_value *value, kal_error *err);
KAL_MUST_CHECK kal_status kal_table_options_validate(const kal_table_options *o, kal_error *err);
bool kal_table_options_equal(const kal_table_options *a, const kal_table_options *b);

/* {"table_type":"USER","partition_by_user":false,...} */
void kal_table_options_write_json(const kal_table_options *o, kal_json_writer *w);
KAL_MUST_CHECK kal_status kal_table_options_from_json(const kal_json *json, kal_table_options *out,
                                                      kal_error *err);
/* TYPE = 'USER', PARTITION_BY_USER = false, ... every field of the kind */
void kal_table_options_to_sql(const kal_table_options *o, kal_buf *out);
/* Walks the fields: field i's name and its value as SQL has it. False when the kind of table does
 * not have it. */
size_t kal_table_options_field_count(void);
bool kal_table_options_field_sql(const kal_table_options *o, size_t i, const char **name_out,
                                 kal_buf *value_out);
void kal_table_options_encode(const kal_table_options *o, kal_buf *out);
KAL_MUST_CHECK kal_status kal_table_options_decode(kal_bytes *input, kal_table_options *out,
                                                   kal_error *err);
/* {"type":"row_limit","row_limit":10000} */
void kal_flush_policy_write_json(const kal_flush_policy *p, kal_json_writer *w);
const char *kal_access_level_name(kal_access_level level);
const char *kal_compression_name(kal_compression compression);

#endif
