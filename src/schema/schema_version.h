/*
 * schema_version.h: one step in a table's history. Versions count from 1 without gaps; version 1
 * reads "Initial schema". The Arrow schema is derived when asked for, never stored.
 */
#ifndef KAL_SCHEMA_SCHEMA_VERSION_H
#define KAL_SCHEMA_SCHEMA_VERSION_H

#include "schema/schema_change.h"

#define KAL_SCHEMA_INITIAL_CHANGES "Initial schema"
#define KAL_SCHEMA_VERSION_FORMAT  2 /* of the binary form */

typedef struct kal_schema_version {
    uint32_t version; /* >= 1 */
    int64_t created_at_us;
    kal_schema_changes changes; /* at least one; arena */
    uint32_t column_count;      /* of the definition at that version */
    kal_bytes actor;            /* user_id of who made it; arena */
    uint64_t commit_seq;        /* of the catalog's commits, ascending; 0 in records of format 1 */
} kal_schema_version;

KAL_MUST_CHECK kal_status kal_schema_version_validate(const kal_schema_version *v, kal_error *err);
/* The changes as one text: what the original's clients know as `changes`. */
void kal_schema_version_text(const kal_schema_version *v, kal_buf *out);
/* arrow_schema_json: of that version's definition, derived by the caller. */
void kal_schema_version_write_json(const kal_schema_version *v, kal_bytes arrow_schema_json,
                                   kal_json_writer *w);
KAL_MUST_CHECK kal_status kal_schema_version_from_json(const kal_json *json, kal_arena *arena,
                                                       kal_schema_version *out, kal_error *err);
void kal_schema_version_encode(const kal_schema_version *v, kal_buf *out);
/* format: 1 (changes are one text) or 2. KAL_CORRUPT. */
KAL_MUST_CHECK kal_status kal_schema_version_decode(kal_bytes *input, uint8_t format,
                                                    kal_arena *arena, kal_schema_version *out,
                                                    kal_error *err);

#endif
