/*
 * table_definition.h: one version of a table: columns, options, identity.
 *
 * A definition is built and validated, then published and never changed again. Columns stand in
 * ordinal order. A new definition has ordinals exactly 1..n; later versions may have gaps.
 * Source: design section 6, reference 2.5.
 */
#ifndef KAL_SCHEMA_TABLE_DEFINITION_H
#define KAL_SCHEMA_TABLE_DEFINITION_H

#include "schema/column.h"
#include "schema/schema_version.h"
#include "schema/table_options.h"
#include "schema/view_query.h"

typedef struct kal_table_definition {
    uint32_t table_id; /* never reused */
    kal_bytes namespace_id;
    kal_bytes table_name;
    kal_table_type table_type;
    kal_column *columns; /* ordinal order */
    uint32_t column_count;
    /* Columns of the PRIMARY KEY in key order, as indexes into columns; none for some SYSTEM and
     * STREAM tables. */
    uint32_t *key_columns;
    uint32_t key_column_count;
    uint32_t schema_version; /* >= 1 */
    uint32_t ordinal_max;    /* largest ever used: ADD COLUMN takes the next */
    uint32_t column_id_max;  /* largest ever used */
    kal_table_options options;
    kal_bytes comment;    /* ptr NULL = none */
    kal_view_query *view; /* of a VIEW, else NULL */
    int64_t created_at_us;
    int64_t updated_at_us;
} kal_table_definition;

/*
 * A first version. Takes columns in any order (they are copied and sorted by ordinal), assigns
 * column ids 1..n where they are 0. key_names lists the key columns in key order (NULL: the columns
 * marked is_primary_key, in ordinal order). Everything is copied into the arena.
 * KAL_INVALID: ordinal 0 or a gap or a duplicate, no column, more than KAL_COLUMNS_MAX, an empty,
 * overlong or duplicate name, a nullable or unsuitable key column, a USER or SHARED table without
 * key, options of another kind.
 */
KAL_MUST_CHECK kal_status kal_table_definition_create(
    kal_bytes namespace_id, kal_bytes table_name, kal_table_type type, const kal_column *columns,
    size_t count, const kal_bytes *key_names, size_t key_count, const kal_table_options *options,
    int64_t now_us, kal_arena *arena, kal_table_definition **out, kal_error *err);
/* The first version of a view: columns as its SELECT gives them, none of them a key. */
KAL_MUST_CHECK kal_status kal_view_definition_create(kal_bytes namespace_id, kal_bytes view_name,
                                                     const kal_column *columns, size_t count,
                                                     const kal_view_query *view, int64_t now_us,
                                                     kal_arena *arena, kal_table_definition **out,
                                                     kal_error *err);
/* Marks partition keys; KAL_INVALID, and nothing marked, when a name is no column. */
KAL_MUST_CHECK kal_status kal_table_definition_partition_by(kal_table_definition *def,
                                                            const kal_bytes *names, size_t count,
                                                            kal_error *err);

/* About what a deep copy takes in an arena. */
size_t kal_table_definition_bytes(const kal_table_definition *def);
/* A deep copy with room for `room` more columns. Later versions: table_alter.h. */
kal_table_definition *kal_table_definition_copy(const kal_table_definition *def, size_t room,
                                                kal_arena *arena);

/* Rules for any version (gaps allowed). */
KAL_MUST_CHECK kal_status kal_table_definition_validate(const kal_table_definition *def,
                                                        kal_error *err);

/* Index into columns, or -1. Identifiers compare as they are stored (folded by the parser). */
int kal_table_definition_find(const kal_table_definition *def, kal_bytes column_name);
/* The most similar column name, empty when none is near. */
kal_bytes kal_table_definition_near(const kal_table_definition *def, kal_bytes column_name);
/* "ns.table" */
kal_bytes kal_table_definition_qualified_name(const kal_table_definition *def, kal_arena *arena);
void kal_table_definition_arrow_json(const kal_table_definition *def, kal_buf *out);

void kal_table_definition_write_json(const kal_table_definition *def, kal_json_writer *w);
KAL_MUST_CHECK kal_status kal_table_definition_from_json(const kal_json *json, kal_arena *arena,
                                                         kal_table_definition **out,
                                                         kal_error *err);
/* Binary: u8 format (3; 2 had no tables of views, 1 no initial defaults), then the fields. A newer
 * format is KAL_UNSUPPORTED, damage KAL_CORRUPT. */
void kal_table_definition_encode(const kal_table_definition *def, kal_buf *out);
KAL_MUST_CHECK kal_status kal_table_definition_decode(kal_bytes input, kal_arena *arena,
                                                      kal_table_definition **out, kal_error *err);
/* A CREATE TABLE statement that makes an identical table. */
void kal_table_definition_to_sql(const kal_table_definition *def, kal_buf *out);

#endif
