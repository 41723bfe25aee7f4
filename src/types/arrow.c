/*
 * arrow.c: columns to an Arrow schema and back.
 *
 * Out: each field is one owned node (text, children and all) which its release frees, as the Arrow
 * C data interface asks: a child may be moved out and released on its own. In: our metadata decides
 * where it is present, provided that the physical format can hold that type; else the table of
 * foreign types below does, which docs/types.md repeats in words.
 */
#include "types/arrow.h"
#include "base/assert.h"
#include "base/json_writer.h"
#include "types/type_forms.h"
#include "types/type_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define TYPE_KEY KAL_ARROW_TYPE_KEY

enum {
    FORMAT_BYTES = KAL_TYPE_NAME_BYTES,
    NESTING_MAX = 8,             /* of dictionaries and run-ends in one field */
    METADATA_PAIRS_MAX = 65536,  /* beyond it the count is taken for garbage */
    METADATA_BYTES_MAX = 1 << 26 /* likewise the length of one text */
};

/* What a foreign field may be. The message that refuses others is this list. */
static const char VALID_TYPES[] =
    "bool, int8 to int64, uint8 to uint64, float16, float32, float64, decimal of up to 38 digits, "
    "utf8, binary, fixed-size binary, date, time, timestamp, fixed-size list of float32, and "
    "dictionaries and run-ends of these";

/* ---- out ---- */

typedef struct export_node {
    struct ArrowSchema *children; /* owned */
    struct ArrowSchema **child_pointers;
    char *name;     /* owned */
    char *metadata; /* owned */
    char format[FORMAT_BYTES];
} export_node;

static void *allocate(size_t count, size_t size)
{
    void *p = calloc(count == 0 ? 1 : count, size);
    if (p == NULL)
        kal_die("out of memory: %zu bytes", count * size);
    return p;
}

static void release_node(struct ArrowSchema *schema)
{
    export_node *node = schema->private_data;
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (schema->children[i]->release != NULL) /* else it was moved out */
            schema->children[i]->release(schema->children[i]);
    }
    free(node->children);
    free(node->child_pointers);
    free(node->name);
    free(node->metadata);
    free(node);
    *schema = (struct ArrowSchema){0};
}

/* Makes *out a node with zeroed children, still to be filled. */
static export_node *init_node(struct ArrowSchema *out, kal_bytes name, size_t child_count)
{
    export_node *node = allocate(1, sizeof *node);
    node->name = allocate(name.len + 1, 1);
    if (name.len > 0)
        memcpy(node->name, name.ptr, name.len);
    *out = (struct ArrowSchema){
        .format = node->format, .name = node->name, .release = release_node, .private_data = node};
    if (child_count == 0)
        return node;
    node->children = allocate(child_count, sizeof *node->children);
    node->child_pointers = allocate(child_count, sizeof *node->child_pointers);
    for (size_t i = 0; i < child_count; i++)
        node->child_pointers[i] = &node->children[i];
    out->children = node->child_pointers;
    out->n_children = (int64_t)child_count;
    return node;
}

/* Forms that are kept outlive every schema, so they are not copied. */
static void set_type(struct ArrowSchema *out, export_node *node, kal_type type)
{
    kal_type_forms scratch;
    const kal_type_forms *forms = kal_type_forms_of(type, &scratch);

    if (forms != &scratch) {
        out->format = forms->arrow_format;
        out->metadata = forms->arrow_metadata;
        return;
    }
    memcpy(node->format, forms->arrow_format, sizeof forms->arrow_format);
    node->metadata = allocate(forms->arrow_metadata_bytes, 1);
    memcpy(node->metadata, forms->arrow_metadata, forms->arrow_metadata_bytes);
    out->metadata = node->metadata;
}

static void export_field(const kal_arrow_field *field, struct ArrowSchema *out)
{
    KAL_ASSERT(kal_type_valid(field->type));
    bool is_list = field->type.tag == KAL_TYPE_EMBEDDING;
    export_node *node = init_node(out, field->name, is_list ? 1 : 0);
    set_type(out, node, field->type);
    out->flags = field->nullable ? KAL_ARROW_FLAG_NULLABLE : 0;
    if (is_list) {
        struct ArrowSchema *item = &node->children[0];
        set_type(item, init_node(item, KAL_STR("item"), 0), kal_type_of(KAL_TYPE_FLOAT));
        item->metadata = NULL; /* not a column */
    }
}

void kal_arrow_export(const kal_arrow_field *fields, size_t count, struct ArrowSchema *out)
{
    export_node *node = init_node(out, KAL_STR(""), count);
    snprintf(node->format, sizeof node->format, "+s");
    for (size_t i = 0; i < count; i++)
        export_field(&fields[i], &node->children[i]);
}

/* ---- in ---- */

/* Foreign formats that are one text each. */
static const struct {
    const char *format;
    kal_type type;
} FOREIGN[] = {
    {"b", {.tag = KAL_TYPE_BOOLEAN}},
    {"c", {.tag = KAL_TYPE_SMALLINT}},                 /* int8 */
    {"C", {.tag = KAL_TYPE_SMALLINT}},                 /* uint8 */
    {"s", {.tag = KAL_TYPE_SMALLINT}},                 /* int16 */
    {"S", {.tag = KAL_TYPE_INT}},                      /* uint16 */
    {"i", {.tag = KAL_TYPE_INT}},                      /* int32 */
    {"I", {.tag = KAL_TYPE_BIGINT}},                   /* uint32 */
    {"l", {.tag = KAL_TYPE_BIGINT}},                   /* int64 */
    {"L", {.tag = KAL_TYPE_DECIMAL, .precision = 20}}, /* uint64 */
    {"e", {.tag = KAL_TYPE_FLOAT}},                    /* float16 */
    {"f", {.tag = KAL_TYPE_FLOAT}},
    {"g", {.tag = KAL_TYPE_DOUBLE}},
    {"z", {.tag = KAL_TYPE_BYTES}},  /* binary */
    {"Z", {.tag = KAL_TYPE_BYTES}},  /* large binary */
    {"vz", {.tag = KAL_TYPE_BYTES}}, /* binary view */
    {"u", {.tag = KAL_TYPE_TEXT}},   /* utf8 */
    {"U", {.tag = KAL_TYPE_TEXT}},   /* large utf8 */
    {"vu", {.tag = KAL_TYPE_TEXT}},  /* utf8 view */
    {"tdD", {.tag = KAL_TYPE_DATE}}, /* date32, days */
    {"tdm", {.tag = KAL_TYPE_DATE}}, /* date64, milliseconds */
    {"tts", {.tag = KAL_TYPE_TIME}}, /* time32 and time64, all units */
    {"ttm", {.tag = KAL_TYPE_TIME}},
    {"ttu", {.tag = KAL_TYPE_TIME}},
    {"ttn", {.tag = KAL_TYPE_TIME}},
};

/* A decimal number of at most 9 digits off the front of *text. */
static bool take_number(const char **text, unsigned *out)
{
    const char *p = *text;
    unsigned v = 0;
    while (*p >= '0' && *p <= '9' && p - *text < 9)
        v = v * 10 + (unsigned)(*p++ - '0');
    bool any = p != *text;
    *text = p;
    *out = v;
    return any;
}

/* "d:p,s" or "d:p,s,bits" */
static bool foreign_decimal(const char *text, kal_type *type_out)
{
    unsigned precision = 0;
    unsigned scale = 0;
    unsigned bits = 128;
    if (!take_number(&text, &precision) || *text++ != ',' || !take_number(&text, &scale))
        return false; /* a negative scale has no DECIMAL either */
    if (*text == ',') {
        text++;
        if (!take_number(&text, &bits))
            return false;
    }
    if (*text != '\0' || (bits != 32 && bits != 64 && bits != 128 && bits != 256))
        return false;
    if (precision < 1 || precision > KAL_DECIMAL_PRECISION_MAX || scale > precision)
        return false;
    *type_out = kal_type_decimal(precision, scale);
    return true;
}

/* "w:16" is a UUID, other widths are plain bytes. */
static bool foreign_fixed_binary(const char *text, kal_type *type_out)
{
    unsigned width = 0;
    if (!take_number(&text, &width) || *text != '\0' || width == 0)
        return false;
    *type_out = kal_type_of(width == 16 ? KAL_TYPE_UUID : KAL_TYPE_BYTES);
    return true;
}

/* "+w:384" with a child of float32. */
static bool foreign_list(const char *text, const struct ArrowSchema *schema, kal_type *type_out)
{
    unsigned dim = 0;
    if (!take_number(&text, &dim) || *text != '\0' || dim < 1 || dim > KAL_EMBEDDING_DIM_MAX)
        return false;
    if (schema->n_children != 1 || schema->children == NULL || schema->children[0] == NULL ||
        schema->children[0]->format == NULL || strcmp(schema->children[0]->format, "f") != 0 ||
        schema->children[0]->dictionary != NULL)
        return false;
    *type_out = kal_type_embedding(dim);
    return true;
}

/* "tsu:" has no zone; with any zone the instants are UTC. All four units. */
static bool foreign_timestamp(const char *text, kal_type *type_out)
{
    if (*text == '\0' || strchr("smun", *text) == NULL || text[1] != ':')
        return false;
    *type_out = kal_type_of(text[2] == '\0' ? KAL_TYPE_TIMESTAMP : KAL_TYPE_DATETIME);
    return true;
}

/* Dictionaries and run-ends stand for the values they hold. NULL: malformed or nested too deep. */
static const struct ArrowSchema *value_schema(const struct ArrowSchema *schema)
{
    for (unsigned depth = 0; depth < NESTING_MAX; depth++) {
        if (schema == NULL || schema->format == NULL)
            return NULL;
        if (schema->dictionary != NULL) {
            schema = schema->dictionary;
        } else if (strcmp(schema->format, "+r") == 0) {
            if (schema->n_children != 2 || schema->children == NULL)
                return NULL;
            schema = schema->children[1];
        } else {
            return schema;
        }
    }
    return NULL;
}

static bool foreign_type(const struct ArrowSchema *schema, kal_type *type_out)
{
    const char *format = schema->format;
    for (size_t i = 0; i < KAL_ARRAY_LEN(FOREIGN); i++) {
        if (strcmp(format, FOREIGN[i].format) == 0) {
            *type_out = FOREIGN[i].type;
            return true;
        }
    }
    if (strncmp(format, "d:", 2) == 0)
        return foreign_decimal(format + 2, type_out);
    if (strncmp(format, "w:", 2) == 0)
        return foreign_fixed_binary(format + 2, type_out);
    if (strncmp(format, "+w:", 3) == 0)
        return foreign_list(format + 3, schema, type_out);
    if (strncmp(format, "ts", 2) == 0)
        return foreign_timestamp(format + 2, type_out);
    return false;
}

/* The type whose values a format of this type's export holds; how metadata is checked against the
 * format without caring for large, view and dictionary variants. */
static kal_type physical_type(kal_type type)
{
    if (type.tag == KAL_TYPE_JSON || type.tag == KAL_TYPE_FILE)
        return kal_type_of(KAL_TYPE_TEXT);
    return type;
}

static bool take_metadata_int(const char **p, int32_t max, int32_t *out)
{
    memcpy(out, *p, sizeof *out);
    *p += sizeof *out;
    return *out >= 0 && *out <= max;
}

/* The value of a metadata key; found_out false when it is not there. The encoding carries no total
 * length, so its producer is trusted with the memory; absurd counts are refused all the same. */
static bool find_metadata(const char *metadata, const char *key, kal_bytes *value_out,
                          bool *found_out)
{
    int32_t pairs = 0;
    *found_out = false;
    if (metadata == NULL)
        return true;
    if (!take_metadata_int(&metadata, METADATA_PAIRS_MAX, &pairs))
        return false;
    for (int32_t i = 0; i < pairs; i++) {
        kal_bytes text[2];
        for (size_t k = 0; k < KAL_ARRAY_LEN(text); k++) {
            int32_t len = 0;
            if (!take_metadata_int(&metadata, METADATA_BYTES_MAX, &len))
                return false;
            text[k] = kal_bytes_of(metadata, (size_t)len);
            metadata += len;
        }
        if (kal_bytes_equal(text[0], kal_cstr(key))) {
            *value_out = text[1];
            *found_out = true;
            return true;
        }
    }
    return true;
}

static kal_status bad_metadata(kal_bytes name, kal_error *err)
{
    return kal_error_set(err, KAL_INVALID, "arrow field '%.*s' has malformed metadata",
                         KAL_FMT(kal_name_shown(name)));
}

/* Our own metadata: exact, but only on a format that can hold the type. */
static kal_status named_type(kal_bytes name, kal_bytes sql, const char *format, kal_type physical,
                             kal_type *type_out, kal_error *err)
{
    if (kal_type_parse(sql, type_out, NULL) != KAL_OK)
        return kal_error_set(err, KAL_INVALID, "arrow field '%.*s' has unknown " TYPE_KEY " '%.*s'",
                             KAL_FMT(kal_name_shown(name)), KAL_FMT(kal_name_shown(sql)));
    if (!kal_type_equal(physical_type(*type_out), physical))
        return kal_error_set(err, KAL_INVALID,
                             "arrow field '%.*s': format '%s' does not hold its " TYPE_KEY
                             " '%.*s'",
                             KAL_FMT(kal_name_shown(name)), format, KAL_FMT(kal_name_shown(sql)));
    return KAL_OK;
}

static kal_status import_type(const struct ArrowSchema *schema, kal_bytes name, kal_type *type_out,
                              kal_error *err)
{
    kal_bytes text = {0};
    bool found = false;

    if (schema->dictionary == NULL &&
        kal_type_of_arrow(schema->format, schema->metadata, type_out) &&
        type_out->tag != KAL_TYPE_EMBEDDING) /* whose child has to be looked at */
        return KAL_OK;
    const struct ArrowSchema *values = value_schema(schema);

    if (values == NULL || !foreign_type(values, type_out))
        return kal_error_set(err, KAL_UNSUPPORTED,
                             "unsupported arrow type '%.32s' of field '%.*s', valid types: %s",
                             schema->format == NULL ? "" : schema->format,
                             KAL_FMT(kal_name_shown(name)), VALID_TYPES);
    if (!find_metadata(schema->metadata, TYPE_KEY, &text, &found))
        return bad_metadata(name, err);
    if (found)
        return named_type(name, text, values->format, *type_out, type_out, err);
    /* Arrow's canonical extensions say more than the storage below them. */
    if (!find_metadata(schema->metadata, "ARROW:extension:name", &text, &found))
        return bad_metadata(name, err);
    if (found && type_out->tag == KAL_TYPE_TEXT && kal_bytes_equal(text, KAL_STR("arrow.json")))
        *type_out = kal_type_of(KAL_TYPE_JSON);
    return KAL_OK;
}

static kal_status import_field(const struct ArrowSchema *schema, size_t index, kal_arena *arena,
                               kal_arrow_field *out, kal_error *err)
{
    if (schema == NULL || schema->release == NULL || schema->format == NULL)
        return kal_error_set(err, KAL_INVALID, "arrow field %zu has no schema", index);
    kal_bytes name = kal_cstr(schema->name);
    if (!kal_utf8_valid(name))
        return kal_error_set(err, KAL_INVALID, "the name of arrow field %zu is not valid UTF-8",
                             index);
    KAL_TRY(import_type(schema, name, &out->type, err));
    out->nullable = (schema->flags & KAL_ARROW_FLAG_NULLABLE) != 0;
    if (!kal_arena_try_copy(arena, name, &out->name))
        return kal_error_set(err, KAL_LIMIT, "arrow schema exceeds the memory limit");
    return KAL_OK;
}

kal_status kal_arrow_import(const struct ArrowSchema *schema, kal_arena *arena,
                            kal_arrow_field **fields_out, size_t *count_out, kal_error *err)
{
    *fields_out = NULL;
    *count_out = 0;
    if (schema->release == NULL)
        return kal_error_set(err, KAL_INVALID, "arrow schema was released");
    if (schema->format == NULL || strcmp(schema->format, "+s") != 0)
        return kal_error_set(err, KAL_INVALID,
                             "expected an arrow struct of columns ('+s'), got '%.32s'",
                             schema->format == NULL ? "" : schema->format);
    if (schema->n_children < 0 || (schema->n_children > 0 && schema->children == NULL))
        return kal_error_set(err, KAL_INVALID, "arrow schema has no valid list of fields");
    size_t count = (size_t)schema->n_children;
    kal_arrow_field *fields = kal_arena_try_array(arena, count, sizeof *fields);
    if (fields == NULL)
        return kal_error_set(err, KAL_LIMIT, "arrow schema of %zu fields exceeds the memory limit",
                             count);
    for (size_t i = 0; i < count; i++)
        KAL_TRY(import_field(schema->children[i], i, arena, &fields[i], err));
    *fields_out = fields;
    *count_out = count;
    return KAL_OK;
}

/* ---- JSON: the shape in which arrow-rs serialises a schema, which the original's clients read
 * ---- */

static void write_pair(kal_json_writer *w, const char *key, const char *unit, const char *zone)
{
    kal_json_begin_object(w);
    kal_json_key(w, key);
    kal_json_begin_array(w);
    kal_json_cstr(w, unit);
    if (zone == NULL)
        kal_json_null(w);
    else
        kal_json_cstr(w, zone);
    kal_json_end_array(w);
    kal_json_end_object(w);
}

/* type_json: of the field's type. sql: its name for the metadata, or NULL: none. */
static void write_field(kal_json_writer *w, kal_bytes name, kal_bytes type_json, bool nullable,
                        const char *sql)
{
    kal_json_begin_object(w);
    kal_json_key(w, "name");
    kal_json_string(w, name);
    kal_json_key(w, "data_type");
    kal_json_raw(w, type_json);
    kal_json_key(w, "nullable");
    kal_json_bool(w, nullable);
    kal_json_key(w, "dict_id");
    kal_json_u64(w, 0);
    kal_json_key(w, "dict_is_ordered");
    kal_json_bool(w, false);
    kal_json_key(w, "metadata");
    kal_json_begin_object(w);
    if (sql != NULL) {
        kal_json_key(w, KAL_ARROW_TYPE_KEY);
        kal_json_cstr(w, sql);
    }
    kal_json_end_object(w);
    kal_json_end_object(w);
}

static void write_parametric(kal_json_writer *w, kal_type type)
{
    kal_json_begin_object(w);
    switch (type.tag) {
    case KAL_TYPE_TIME:
        kal_json_key(w, "Time64");
        kal_json_cstr(w, "Microsecond");
        break;
    case KAL_TYPE_UUID:
        kal_json_key(w, "FixedSizeBinary");
        kal_json_u64(w, 16);
        break;
    case KAL_TYPE_DECIMAL:
        kal_json_key(w, "Decimal128");
        kal_json_begin_array(w);
        kal_json_u64(w, type.precision);
        kal_json_u64(w, type.scale);
        kal_json_end_array(w);
        break;
    default:
        KAL_ASSERT(type.tag == KAL_TYPE_EMBEDDING);
        kal_json_key(w, "FixedSizeList");
        kal_json_begin_array(w);
        write_field(w, KAL_STR("item"), KAL_STR("\"Float32\""), false, NULL);
        kal_json_u64(w, type.dim);
        kal_json_end_array(w);
        break;
    }
    kal_json_end_object(w);
}

static void write_type(kal_json_writer *w, kal_type type)
{
    static const char *const PLAIN[KAL_TYPE_TAG_MAX + 1] = {
        [KAL_TYPE_BOOLEAN] = "Boolean", [KAL_TYPE_SMALLINT] = "Int16",
        [KAL_TYPE_INT] = "Int32",       [KAL_TYPE_BIGINT] = "Int64",
        [KAL_TYPE_FLOAT] = "Float32",   [KAL_TYPE_DOUBLE] = "Float64",
        [KAL_TYPE_TEXT] = "Utf8",       [KAL_TYPE_JSON] = "Utf8",
        [KAL_TYPE_FILE] = "Utf8",       [KAL_TYPE_BYTES] = "Binary",
        [KAL_TYPE_DATE] = "Date32",     [KAL_TYPE_NULL] = "Null",
    };
    if (PLAIN[type.tag] != NULL)
        kal_json_cstr(w, PLAIN[type.tag]);
    else if (type.tag == KAL_TYPE_TIMESTAMP)
        write_pair(w, "Timestamp", "Microsecond", NULL);
    else if (type.tag == KAL_TYPE_DATETIME)
        write_pair(w, "Timestamp", "Microsecond", "UTC");
    else
        write_parametric(w, type);
}

void kal_arrow_type_json(kal_type type, kal_buf *out)
{
    kal_json_writer w;
    kal_json_writer_init(&w, out);
    write_type(&w, type);
}

void kal_arrow_schema_json(const kal_arrow_field *fields, size_t count, kal_buf *out)
{
    kal_type_forms scratch;
    kal_json_writer w;
    kal_json_writer_init(&w, out);
    kal_json_begin_object(&w);
    kal_json_key(&w, "fields");
    kal_json_begin_array(&w);
    for (size_t i = 0; i < count; i++) {
        KAL_ASSERT(kal_type_valid(fields[i].type));
        const kal_type_forms *forms = kal_type_forms_of(fields[i].type, &scratch);
        write_field(&w, fields[i].name, kal_bytes_of(forms->arrow_json, forms->arrow_json_len),
                    fields[i].nullable, forms->sql);
    }
    kal_json_end_array(&w);
    kal_json_key(&w, "metadata");
    kal_json_begin_object(&w);
    kal_json_end_object(&w);
    kal_json_end_object(&w);
}
