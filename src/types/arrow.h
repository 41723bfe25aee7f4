/*
 * arrow.h: columns as an Arrow C data interface schema, and back.
 *
 * Ours to Arrow is lossless: each field carries metadata kalam_data_type = its SQL type, so that
 * JSON and TEXT, UUID and BYTES, DATETIME and TIMESTAMP stay apart. A foreign schema without it
 * maps by the table in docs/types.md; an Arrow type outside that table is refused with the list of
 * valid ones. Source: the Arrow C data interface specification.
 */
#ifndef KAL_TYPES_ARROW_H
#define KAL_TYPES_ARROW_H

#include "base/arena.h"
#include "types/type.h"

#define KAL_ARROW_FLAG_NULLABLE 2

/* As the Arrow specification lays it out; moved by copying and clearing release. */
struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

typedef struct kal_arrow_field {
    kal_bytes name;
    kal_type type;
    bool nullable;
} kal_arrow_field;

/* A struct schema ("+s") with one child a field. The caller calls out->release(out). */
void kal_arrow_export(const kal_arrow_field *fields, size_t count, struct ArrowSchema *out);
/* Reads a struct schema; field names live in the arena. KAL_INVALID, KAL_UNSUPPORTED. */
KAL_MUST_CHECK kal_status kal_arrow_import(const struct ArrowSchema *schema, kal_arena *arena,
                                           kal_arrow_field **fields_out, size_t *count_out,
                                           kal_error *err);
/* The data_type of a field in that text, computed: "Int64", {"Decimal128":[10,2]}. */
void kal_arrow_type_json(kal_type type, kal_buf *out);
/* The same schema as JSON text (the arrow_schema_json of a schema version). */
void kal_arrow_schema_json(const kal_arrow_field *fields, size_t count, kal_buf *out);

#endif
