/*
 * entity_store.h: small typed records (a namespace, a table version, a user) over one family.
 *
 * A store is one kind of record. Its keys are `kind byte | parts`, its values `format byte |
 * record`.
 *
 *   part u32, u64   4 or 8 bytes, big-endian
 *   part text       the bytes, each 00 written as 00 FF, then 00 00
 *
 * Keys of equal part types sort as their parts do, first part first, and no key is the beginning of
 * another unless its parts are. So a key with some parts missing is a prefix to scan by: {table_id}
 * finds every {table_id, version}.
 *
 * The format byte says how the record is encoded. A record of a newer format than this build knows
 * is refused by name; an older one is handed to the caller with its number.
 *
 * Threads: a store is constant data; see kv.h for what it works on.
 * Source: design section 6.
 */
#ifndef KAL_STORE_ENTITY_STORE_H
#define KAL_STORE_ENTITY_STORE_H

#include "store/kv.h"

#define KAL_ENTITY_KEY_BYTES_MAX 1024u

typedef struct kal_entity_store {
    kal_kv *kv;           /* borrowed */
    const char *name;     /* static, for messages: "table", "user" */
    kal_kv_family family; /* not KAL_KV_ROWS */
    uint8_t kind;         /* first byte of its keys, unique in the family */
    uint8_t format;       /* 1 or more: what put writes and the newest that get understands */
} kal_entity_store;

/* --- keys ------------------------------------------------------------------------------------- */

/* Built from the front: kal_entity_key_init(), then one call per part. A part that does not fit
 * marks the key, and the operation it is used in answers KAL_LIMIT. */
typedef struct kal_entity_key {
    size_t len;
    bool too_long;
    uint8_t bytes[KAL_ENTITY_KEY_BYTES_MAX];
} kal_entity_key;

/* The key with no part yet: every record of the store when scanned. */
void kal_entity_key_init(kal_entity_key *key, const kal_entity_store *store);
void kal_entity_key_u32(kal_entity_key *key, uint32_t part);
void kal_entity_key_u64(kal_entity_key *key, uint64_t part);
void kal_entity_key_text(kal_entity_key *key, kal_bytes part);

/* Takes parts off the front of what a scan hands over, in the order they were put in. KAL_CORRUPT
 * when they are not there. The text is copied into the arena. */
KAL_MUST_CHECK kal_status kal_entity_take_u32(const kal_entity_store *store, kal_bytes *parts,
                                              uint32_t *part_out, kal_error *err);
KAL_MUST_CHECK kal_status kal_entity_take_u64(const kal_entity_store *store, kal_bytes *parts,
                                              uint64_t *part_out, kal_error *err);
KAL_MUST_CHECK kal_status kal_entity_take_text(const kal_entity_store *store, kal_bytes *parts,
                                               kal_arena *arena, kal_bytes *part_out,
                                               kal_error *err);

/* --- records ---------------------------------------------------------------------------------- */

typedef struct kal_entity {
    uint8_t format;   /* 1 to store->format */
    kal_bytes record; /* without the format byte */
} kal_entity;

/* snapshot may be NULL. entity_out->record lives in the arena. KAL_NOT_FOUND leaves err alone;
 * KAL_UNSUPPORTED for a newer format; KAL_LIMIT, KAL_CORRUPT, KAL_IO. */
KAL_MUST_CHECK kal_status kal_entity_get(const kal_entity_store *store,
                                         const kal_kv_snapshot *snapshot, const kal_entity_key *key,
                                         kal_arena *arena, kal_entity *entity_out, kal_error *err);
/* Into the batch, which is written by the caller. KAL_LIMIT when the key was too long. */
KAL_MUST_CHECK kal_status kal_entity_put(const kal_entity_store *store, kal_kv_batch *batch,
                                         const kal_entity_key *key, kal_bytes record,
                                         kal_error *err);
KAL_MUST_CHECK kal_status kal_entity_delete(const kal_entity_store *store, kal_kv_batch *batch,
                                            const kal_entity_key *key, kal_error *err);
/* Deletes every record whose key starts with `prefix`. */
KAL_MUST_CHECK kal_status kal_entity_delete_all(const kal_entity_store *store, kal_kv_batch *batch,
                                                const kal_entity_key *prefix, kal_error *err);

/* parts: the key after the kind byte; parts and record are borrowed for the call. KAL_OK goes on,
 * KAL_END stops the scan without a failure, anything else ends it as that failure. */
typedef kal_status (*kal_entity_visit)(void *context, kal_bytes parts, const kal_entity *entity,
                                       kal_error *err);

/* Every record whose key starts with `prefix`, in key order, at the snapshot or (NULL) at the
 * moment of the call: writes by the visitor do not change what it is shown. */
KAL_MUST_CHECK kal_status kal_entity_scan(const kal_entity_store *store,
                                          const kal_kv_snapshot *snapshot,
                                          const kal_entity_key *prefix, kal_entity_visit visit,
                                          void *context, kal_error *err);

#endif
