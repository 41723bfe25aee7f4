/*
 * table_options.c: everything about options follows from FIELDS: which kinds of table have the
 * field, what its values look like, its default, and what stands against another value today.
 */
#include "schema/table_options.h"
#include "base/assert.h"
#include "types/text.h"

#include <stdio.h>

#define KIND(type) (1u << (type))

typedef enum value_form {
    FORM_BOOL,
    FORM_COUNT, /* whole number >= 0 */
    FORM_NAME,  /* one of names[] */
    FORM_STORAGE,
    FORM_FLUSH,
} value_form;

static const char *const COMPRESSIONS[] = {"none", "snappy", "lz4", "zstd", NULL};
static const char *const ACCESS_LEVELS[] = {"private", "public", "restricted", "dba", NULL};
static const char *const EVICTIONS[] = {"time_based", "size_based", "hybrid", NULL};
static const char *const TABLE_TYPES_LOWER[] = {
#define LOWER(name, lower, upper) lower,
    KAL_TABLE_TYPE_LIST(LOWER)
#undef LOWER
};
static const char *const TABLE_TYPES_UPPER[] = {
#define UPPER(name, lower, upper) upper,
    KAL_TABLE_TYPE_LIST(UPPER)
#undef UPPER
};

typedef struct option_field {
    const char *name;
    unsigned kinds; /* KIND() bits */
    value_form form;
    size_t offset; /* of the uint64_t in kal_table_options; FORM_STORAGE, FORM_FLUSH: unused */
    uint64_t by_default;
    const char *const *names; /* FORM_NAME */
    /* Why another value than the default is refused; NULL: it is built. */
    const char *not_built;
} option_field;

#define NO_USER_STORAGE                                                                            \
    "accounts have no storage of their own in this version, so the rows of all users go to the "   \
    "table's STORAGE_ID; leave it at its default"
#define STREAM_ROWS                                                                                \
    "rows of streams stay in the hot store, so it would have no effect; leave it at its default"
#define RETENTION                                                                                  \
    "deleted rows leave their segment when it is merged or rewritten, at no set age in this "      \
    "version; leave it at its default"
#define AT(field) offsetof(kal_table_options, field)
#define U         KIND(KAL_TABLE_USER)
#define S         KIND(KAL_TABLE_SHARED)
#define T         KIND(KAL_TABLE_STREAM)
#define Y         KIND(KAL_TABLE_SYSTEM)

static const option_field FIELDS[] = {
    {"storage_id", U | S, FORM_STORAGE, 0, 0, NULL, NULL},
    {"flush_policy", U | S, FORM_FLUSH, 0, 0, NULL, NULL},
    {"deleted_retention_hours", U | S, FORM_COUNT, AT(deleted_retention_hours), 168, NULL,
     RETENTION},
    {"partition_by_user", U, FORM_BOOL, AT(partition_by_user), 0, NULL, NULL},
    {"max_rows_per_user", U, FORM_COUNT, AT(max_rows_per_user), 0, NULL, NULL},
    {"enable_rls", U, FORM_BOOL, AT(enable_rls), 1, NULL,
     "the isolation of USER tables is structural and cannot be switched off"},
    {"use_user_storage", U, FORM_BOOL, AT(use_user_storage), 0, NULL, NO_USER_STORAGE},
    {"access_level", S, FORM_NAME, AT(access_level), KAL_ACCESS_PRIVATE, ACCESS_LEVELS, NULL},
    {"enable_cache", S | Y, FORM_BOOL, AT(enable_cache), 1, NULL, NULL},
    {"cache_ttl_seconds", S | Y, FORM_COUNT, AT(cache_ttl_seconds), 3600, NULL, NULL},
    {"enable_replication", S, FORM_BOOL, AT(enable_replication), 0, NULL,
     "there is no replication in this version"},
    {"ttl_seconds", T, FORM_COUNT, AT(ttl_seconds), 86400, NULL, NULL},
    {"eviction_strategy", T, FORM_NAME, AT(eviction_strategy), KAL_EVICTION_TIME_BASED, EVICTIONS,
     NULL},
    {"max_stream_size_bytes", T, FORM_COUNT, AT(max_stream_size_bytes), 0, NULL, NULL},
    {"enable_compaction", T, FORM_BOOL, AT(enable_compaction), 1, NULL, NULL},
    {"watermark_delay_seconds", T, FORM_COUNT, AT(watermark_delay_seconds), 60, NULL, NULL},
    {"read_only", Y, FORM_BOOL, AT(read_only), 1, NULL, "system tables are defined by the server"},
    {"localhost_only", Y, FORM_BOOL, AT(localhost_only), 0, NULL,
     "system tables are defined by the server"},
    {"compression", U | S | T, FORM_NAME, AT(compression), KAL_COMPRESSION_ZSTD, COMPRESSIONS,
     STREAM_ROWS},
};

#undef U
#undef S
#undef T
#undef Y

enum { SYSTEM_CACHE_TTL_SECONDS = 300, FLUSH_ROW_LIMIT_DEFAULT = 10000 };
enum { FLUSH_ROW_LIMIT_MAX = 1000000, FLUSH_INTERVAL_MAX = 86400, TTL_SECONDS_MIN = 1 };
static const char STORAGE_DEFAULT[] = "local";

static uint64_t *field_ptr(kal_table_options *o, const option_field *f)
{
    return (uint64_t *)(void *)((char *)o + f->offset);
}

static uint64_t field_value(const kal_table_options *o, const option_field *f)
{
    return *(const uint64_t *)(const void *)((const char *)o + f->offset);
}

static bool is_number(const option_field *f)
{
    return f->form == FORM_BOOL || f->form == FORM_COUNT || f->form == FORM_NAME;
}

static uint64_t default_of(const option_field *f, kal_table_type type)
{
    if (type == KAL_TABLE_SYSTEM && f->offset == AT(cache_ttl_seconds) && is_number(f))
        return SYSTEM_CACHE_TTL_SECONDS;
    return f->by_default;
}

const char *kal_table_type_name(kal_table_type type)
{
    KAL_ASSERT((size_t)type < KAL_ARRAY_LEN(TABLE_TYPES_LOWER));
    return TABLE_TYPES_LOWER[type];
}

const char *kal_table_type_upper(kal_table_type type)
{
    KAL_ASSERT((size_t)type < KAL_ARRAY_LEN(TABLE_TYPES_UPPER));
    return TABLE_TYPES_UPPER[type];
}

bool kal_table_type_parse(kal_bytes text, kal_table_type *out)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE_TYPES_LOWER); i++) {
        if (kal_bytes_equal_nocase(text, kal_cstr(TABLE_TYPES_LOWER[i]))) {
            *out = (kal_table_type)i;
            return true;
        }
    }
    return false;
}

const char *kal_access_level_name(kal_access_level level)
{
    return ACCESS_LEVELS[level];
}

const char *kal_compression_name(kal_compression compression)
{
    return COMPRESSIONS[compression];
}

kal_table_options kal_table_options_default(kal_table_type type)
{
    kal_table_options o = {.table_type = type};
    for (size_t i = 0; i < KAL_ARRAY_LEN(FIELDS); i++) {
        const option_field *f = &FIELDS[i];
        if ((f->kinds & KIND(type)) == 0)
            continue;
        if (is_number(f))
            *field_ptr(&o, f) = default_of(f, type);
        else if (f->form == FORM_STORAGE)
            memcpy(o.storage_id, STORAGE_DEFAULT, sizeof STORAGE_DEFAULT);
        else
            o.flush_policy.row_limit = FLUSH_ROW_LIMIT_DEFAULT;
    }
    return o;
}

kal_table_options kal_table_options_user(void)
{
    return kal_table_options_default(KAL_TABLE_USER);
}

kal_table_options kal_table_options_shared(kal_access_level level)
{
    kal_table_options o = kal_table_options_default(KAL_TABLE_SHARED);
    o.access_level = level;
    return o;
}

kal_table_options kal_table_options_stream(uint64_t ttl_seconds)
{
    kal_table_options o = kal_table_options_default(KAL_TABLE_STREAM);
    o.ttl_seconds = ttl_seconds;
    return o;
}

kal_table_options kal_table_options_system(void)
{
    return kal_table_options_default(KAL_TABLE_SYSTEM);
}

kal_compression kal_table_options_compression(const kal_table_options *o)
{
    return o->table_type == KAL_TABLE_SYSTEM ? KAL_COMPRESSION_NONE
                                             : (kal_compression)o->compression;
}

bool kal_table_options_is_cache_enabled(const kal_table_options *o)
{
    return (o->table_type == KAL_TABLE_SHARED || o->table_type == KAL_TABLE_SYSTEM) &&
           o->enable_cache != 0;
}

bool kal_table_options_cache_ttl_seconds(const kal_table_options *o, uint64_t *seconds_out)
{
    *seconds_out = 0;
    if (o->table_type != KAL_TABLE_SHARED && o->table_type != KAL_TABLE_SYSTEM)
        return false;
    *seconds_out = o->cache_ttl_seconds;
    return true;
}

static void list_names(const kal_table_options *o, kal_buf *out)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(FIELDS); i++) {
        if ((FIELDS[i].kinds & KIND(o->table_type)) == 0)
            continue;
        kal_buf_append_cstr(out, out->len == 0 ? "" : ", ");
        kal_buf_append_cstr(out, FIELDS[i].name);
    }
}

static void hint_near(const kal_table_options *o, kal_bytes name, kal_error *err)
{
    size_t best = name.len / 3 + 1; /* so far off is not meant */
    const char *near = NULL;
    for (size_t i = 0; i < KAL_ARRAY_LEN(FIELDS); i++) {
        size_t distance = kal_edit_distance(name, kal_cstr(FIELDS[i].name));
        if ((FIELDS[i].kinds & KIND(o->table_type)) == 0 || distance > best)
            continue;
        if (distance < best || near == NULL)
            near = FIELDS[i].name;
        best = distance;
    }
    if (near != NULL)
        kal_error_hint(err, "did you mean '%s'?", near);
}

static kal_status unknown_option(const kal_table_options *o, kal_bytes name, kal_error *err)
{
    kal_buf names;
    kal_buf_init(&names, NULL);
    list_names(o, &names);
    kal_error_set(err, KAL_INVALID, "unknown table option '%.*s', %s tables have: %.*s",
                  KAL_FMT(name), kal_table_type_upper(o->table_type),
                  KAL_FMT(kal_buf_bytes(&names)));
    kal_buf_release(&names);
    hint_near(o, name, err);
    return KAL_INVALID;
}

static kal_status bad_value(const option_field *f, const kal_value *value, const char *wanted,
                            kal_error *err)
{
    kal_buf text;
    kal_buf_init(&text, NULL);
    kal_value_to_sql(value, &text);
    kal_error_set(err, KAL_INVALID, "option %s must be %s, got: %.*s", f->name, wanted,
                  KAL_FMT(kal_buf_bytes(&text)));
    kal_buf_release(&text);
    return KAL_INVALID;
}

static bool is_text(const kal_value *v)
{
    return !v->is_null && v->type.tag == KAL_TYPE_TEXT;
}

static bool value_to_bool(const kal_value *v, uint64_t *out)
{
    if (v->is_null)
        return false;
    if (v->type.tag == KAL_TYPE_BOOLEAN) {
        *out = v->boolean;
        return true;
    }
    if (!is_text(v))
        return false;
    *out = kal_bytes_equal_nocase(v->bytes, KAL_STR("true"));
    return *out != 0 || kal_bytes_equal_nocase(v->bytes, KAL_STR("false"));
}

static bool value_to_count(const kal_value *v, uint64_t *out)
{
    int64_t n = -1;
    if (!v->is_null && kal_type_is_integer(v->type))
        n = v->integer;
    else if (is_text(v) && !kal_parse_i64(v->bytes, &n))
        return false;
    *out = (uint64_t)n;
    return n >= 0;
}

static bool value_to_name(const kal_value *v, const char *const *names, uint64_t *out)
{
    for (uint64_t i = 0; is_text(v) && names[i] != NULL; i++) {
        if (kal_bytes_equal_nocase(v->bytes, kal_cstr(names[i]))) {
            *out = i;
            return true;
        }
    }
    return false;
}

static kal_status set_name(const option_field *f, const kal_value *value, uint64_t *out,
                           kal_error *err)
{
    char wanted[128] = "one of:";
    if (value_to_name(value, f->names, out))
        return KAL_OK;
    for (size_t i = 0; f->names[i] != NULL; i++) {
        size_t len = strlen(wanted);
        size_t more = strlen(f->names[i]);
        KAL_ASSERT(len + more + 2 < sizeof wanted);
        wanted[len] = ' ';
        memcpy(wanted + len + 1, f->names[i], more + 1);
    }
    return bad_value(f, value, wanted, err);
}

bool kal_storage_id_valid(kal_bytes id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = kal_ascii_lower((char)id.ptr[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
            return false;
    }
    return id.len > 0 && id.len <= KAL_STORAGE_ID_BYTES_MAX;
}

static bool flush_policy_valid(const kal_flush_policy *p)
{
    return p->row_limit < FLUSH_ROW_LIMIT_MAX && p->interval_seconds < FLUSH_INTERVAL_MAX &&
           (p->row_limit != 0 || p->interval_seconds != 0);
}

typedef enum flush_policy_fault { FLUSH_FINE, FLUSH_FORM, FLUSH_RANGE } flush_policy_fault;

/* [-]digits, whether or not an int64_t holds them */
static bool is_whole_number(kal_bytes text)
{
    size_t sign = text.len > 0 && text.ptr[0] == '-';

    for (size_t i = sign; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
    }
    return text.len > sign;
}

/* "rows:N" or "interval:N", of which there was none yet */
static flush_policy_fault parse_flush_part(kal_bytes part, kal_flush_policy *out)
{
    const uint8_t *colon = part.len == 0 ? NULL : memchr(part.ptr, ':', part.len);
    int64_t n = 0;

    if (colon == NULL)
        return FLUSH_FORM;
    kal_bytes key = kal_bytes_of(part.ptr, (size_t)(colon - part.ptr));
    kal_bytes number = kal_bytes_of(colon + 1, part.len - key.len - 1);
    bool is_rows = kal_bytes_equal_nocase(key, KAL_STR("rows"));
    uint32_t *limit = is_rows ? &out->row_limit : &out->interval_seconds;
    if ((!is_rows && !kal_bytes_equal_nocase(key, KAL_STR("interval"))) || *limit != 0 ||
        !is_whole_number(number))
        return FLUSH_FORM;
    if (!kal_parse_i64(number, &n) || n < 1 ||
        n >= (is_rows ? FLUSH_ROW_LIMIT_MAX : FLUSH_INTERVAL_MAX))
        return FLUSH_RANGE;
    *limit = (uint32_t)n;
    return FLUSH_FINE;
}

/* "rows:N", "interval:N", "rows:N,interval:N", each at most once */
static flush_policy_fault parse_flush_policy(kal_bytes text, kal_flush_policy *out)
{
    const uint8_t *comma = text.ptr; /* NULL after the last part */

    *out = (kal_flush_policy){0};
    while (comma != NULL && text.len > 0) {
        comma = memchr(text.ptr, ',', text.len);
        kal_bytes part =
            kal_bytes_of(text.ptr, comma == NULL ? text.len : (size_t)(comma - text.ptr));
        flush_policy_fault fault = parse_flush_part(part, out);
        if (fault != FLUSH_FINE)
            return fault;
        if (comma != NULL)
            text = kal_bytes_of(comma + 1, text.len - part.len - 1);
    }
    return comma == NULL && flush_policy_valid(out) ? FLUSH_FINE : FLUSH_FORM;
}

static kal_status set_flush_policy(const option_field *f, const kal_value *value,
                                   kal_flush_policy *out, kal_error *err)
{
    char range[96];
    flush_policy_fault fault = is_text(value) ? parse_flush_policy(value->bytes, out) : FLUSH_FORM;

    if (fault == FLUSH_FINE)
        return KAL_OK;
    snprintf(range, sizeof range, "of 1 to %d rows and 1 to %d seconds", FLUSH_ROW_LIMIT_MAX - 1,
             FLUSH_INTERVAL_MAX - 1);
    return bad_value(f, value,
                     fault == FLUSH_RANGE ? range : "'rows:N', 'interval:N' or 'rows:N,interval:N'",
                     err);
}

static kal_status set_count(const option_field *f, const kal_value *value, uint64_t *out,
                            kal_error *err)
{
    char range[64];
    uint64_t least = f->offset == AT(ttl_seconds) ? TTL_SECONDS_MIN : 0;

    if (value_to_count(value, out) && *out >= least)
        return KAL_OK;
    snprintf(range, sizeof range, "a whole number from %llu to %lld", (unsigned long long)least,
             (long long)INT64_MAX);
    return bad_value(f, value, range, err);
}

/* Parses into *o without asking whether the effect is built. */
static kal_status set_field(kal_table_options *o, const option_field *f, const kal_value *value,
                            kal_error *err)
{
    uint64_t parsed = 0;

    switch (f->form) {
    case FORM_BOOL:
        if (!value_to_bool(value, &parsed))
            return bad_value(f, value, "true or false", err);
        break;
    case FORM_COUNT:
        KAL_TRY(set_count(f, value, &parsed, err));
        break;
    case FORM_NAME:
        KAL_TRY(set_name(f, value, &parsed, err));
        break;
    case FORM_STORAGE:
        if (!is_text(value) || !kal_storage_id_valid(value->bytes))
            return bad_value(f, value, "a name of letters, digits and _", err);
        memset(o->storage_id, 0, sizeof o->storage_id);
        memcpy(o->storage_id, value->bytes.ptr, value->bytes.len);
        return KAL_OK;
    case FORM_FLUSH:
        return set_flush_policy(f, value, &o->flush_policy, err);
    }
    *field_ptr(o, f) = parsed;
    return KAL_OK;
}

static bool field_equal(const kal_table_options *a, const kal_table_options *b,
                        const option_field *f)
{
    if (is_number(f))
        return field_value(a, f) == field_value(b, f);
    if (f->form == FORM_STORAGE)
        return strcmp(a->storage_id, b->storage_id) == 0;
    return a->flush_policy.row_limit == b->flush_policy.row_limit &&
           a->flush_policy.interval_seconds == b->flush_policy.interval_seconds;
}

/* Segments are compressed; rows of STREAM tables do not go there. */
static bool is_built(const kal_table_options *o, const option_field *f)
{
    bool is_compression = f->offset == AT(compression) && is_number(f);
    return f->not_built == NULL || (is_compression && o->table_type != KAL_TABLE_STREAM);
}

static kal_status check_built(const kal_table_options *o, const option_field *f, kal_error *err)
{
    kal_table_options defaults = kal_table_options_default(o->table_type);
    if (is_built(o, f) || field_equal(o, &defaults, f))
        return KAL_OK;
    return kal_error_set(err, KAL_UNSUPPORTED, "option %s: %s", f->name, f->not_built);
}

kal_status kal_table_options_set(kal_table_options *o, kal_bytes name, const kal_value *value,
                                 kal_error *err)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(FIELDS); i++) {
        const option_field *f = &FIELDS[i];
        if (!kal_bytes_equal_nocase(name, kal_cstr(f->name)))
            continue;
        if ((f->kinds & KIND(o->table_type)) == 0)
            return kal_error_set(err, KAL_INVALID, "option %s does not exist for %s tables",
                                 f->name, kal_table_type_upper(o->table_type));
        kal_table_options changed = *o;
        KAL_TRY(set_field(&changed, f, value, err));
        KAL_TRY(check_built(&changed, f, err));
        *o = changed;
        return KAL_OK;
    }
    return unknown_option(o, name, err);
}

/* The largest value of a number; what JSON cannot carry back is no value either. */
static uint64_t largest(const option_field *f)
{
    uint64_t names = 0;
    if (f->form == FORM_BOOL)
        return 1;
    if (f->form == FORM_COUNT)
        return INT64_MAX;
    while (f->names[names + 1] != NULL)
        names++;
    return names;
}

static bool field_valid(const kal_table_options *o, const option_field *f)
{
    if (f->form == FORM_FLUSH)
        return flush_policy_valid(&o->flush_policy);
    if (f->form == FORM_STORAGE)
        return kal_storage_id_valid(
            kal_bytes_of(o->storage_id, strnlen(o->storage_id, sizeof o->storage_id)));
    return field_value(o, f) <= largest(f);
}

/* These two hold for every table, whichever way its options came. */
static bool is_fixed(const option_field *f)
{
    return is_number(f) && (f->offset == AT(enable_rls) || f->offset == AT(enable_replication));
}

kal_status kal_table_options_validate(const kal_table_options *o, kal_error *err)
{
    if ((size_t)o->table_type >= KAL_ARRAY_LEN(TABLE_TYPES_LOWER))
        return kal_error_set(err, KAL_INVALID, "unknown kind of table");
    for (size_t i = 0; i < KAL_ARRAY_LEN(FIELDS); i++) {
        const option_field *f = &FIELDS[i];
        if ((f->kinds & KIND(o->table_type)) == 0)
            continue;
        if (!field_valid(o, f))
            return kal_error_set(err, KAL_INVALID, "option %s has no valid value", f->name);
        if (is_fixed(f))
            KAL_TRY(check_built(o, f, err));
    }
    if (o->table_type == KAL_TABLE_STREAM && o->ttl_seconds < TTL_SECONDS_MIN)
        return kal_error_set(err, KAL_INVALID, "a STREAM table needs ttl_seconds of at least %d",
                             TTL_SECONDS_MIN);
    return KAL_OK;
}

bool kal_table_options_equal(const kal_table_options *a, const kal_table_options *b)
{
    if (a->table_type != b->table_type)
        return false;
    for (size_t i = 0; i < KAL_ARRAY_LEN(FIELDS); i++) {
        if ((FIELDS[i].kinds & KIND(a->table_type)) != 0 && !field_equal(a, b, &FIELDS[i]))
            return false;
    }
    return true;
}

void kal_flush_policy_write_json(const kal_flush_policy *p, kal_json_writer *w)
{
    const char *type = p->interval_seconds == 0 ? "row_limit"
                       : p->row_limit == 0      ? "time_interval"
                                                : "combined";
    kal_json_begin_object(w);
    kal_json_key(w, "type");
    kal_json_cstr(w, type);
    if (p->row_limit != 0) {
        kal_json_key(w, "row_limit");
        kal_json_u64(w, p->row_limit);
    }
    if (p->interval_seconds != 0) {
        kal_json_key(w, "interval_seconds");
        kal_json_u64(w, p->interval_seconds);
    }
    kal_json_end_object(w);
}

static void write_field_json(const kal_table_options *o, const option_field *f, kal_json_writer *w)
{
    switch (f->form) {
    case FORM_BOOL:
        kal_json_bool(w, field_value(o, f) != 0);
        break;
    case FORM_COUNT:
        kal_json_u64(w, field_value(o, f));
        break;
    case FORM_NAME:
        kal_json_cstr(w, f->names[field_value(o, f)]);
        break;
    case FORM_STORAGE:
        kal_json_cstr(w, o->storage_id);
        break;
    case FORM_FLUSH:
        kal_flush_policy_write_json(&o->flush_policy, w);
        break;
    }
}

void kal_table_options_write_json(const kal_table_options *o, kal_json_writer *w)
{
    kal_json_begin_object(w);
    kal_json_key(w, "table_type");
    kal_json_cstr(w, kal_table_type_upper(o->table_type));
    for (size_t i = 0; i < KAL_ARRAY_LEN(FIELDS); i++) {
        if ((FIELDS[i].kinds & KIND(o->table_type)) == 0)
            continue;
        kal_json_key(w, FIELDS[i].name);
        write_field_json(o, &FIELDS[i], w);
    }
    kal_json_end_object(w);
}

static bool flush_from_json(const kal_json *json, kal_flush_policy *out)
{
    const kal_json *rows = kal_json_find(json, "row_limit");
    const kal_json *interval = kal_json_find(json, "interval_seconds");
    int64_t n = 0;

    *out = (kal_flush_policy){0};
    if (rows != NULL) {
        if (rows->kind != KAL_JSON_NUMBER || !kal_parse_i64(rows->text, &n) || n < 1 ||
            n >= FLUSH_ROW_LIMIT_MAX)
            return false;
        out->row_limit = (uint32_t)n;
    }
    if (interval != NULL) {
        if (interval->kind != KAL_JSON_NUMBER || !kal_parse_i64(interval->text, &n) || n < 1 ||
            n >= FLUSH_INTERVAL_MAX)
            return false;
        out->interval_seconds = (uint32_t)n;
    }
    return out->row_limit != 0 || out->interval_seconds != 0;
}

static kal_status field_from_json(kal_table_options *o, const option_field *f, const kal_json *json,
                                  kal_error *err)
{
    kal_value value = kal_value_null(kal_type_of(KAL_TYPE_NULL));
    int64_t n = 0;

    if (f->form == FORM_FLUSH) {
        if (!flush_from_json(json, &o->flush_policy))
            return kal_error_set(err, KAL_INVALID, "option flush_policy is not a flush policy");
        return KAL_OK;
    }
    if (json->kind == KAL_JSON_BOOL)
        value = kal_value_boolean(json->boolean);
    else if (json->kind == KAL_JSON_NUMBER && kal_parse_i64(json->text, &n))
        value = kal_value_bigint(n);
    else if (json->kind == KAL_JSON_STRING)
        value = kal_value_text(json->text);
    return set_field(o, f, &value, err);
}

kal_status kal_table_options_from_json(const kal_json *json, kal_table_options *out, kal_error *err)
{
    const kal_json *kind = kal_json_find(json, "table_type");
    kal_table_type type = KAL_TABLE_USER;

    *out = (kal_table_options){0};
    if (kind == NULL || kind->kind != KAL_JSON_STRING || !kal_table_type_parse(kind->text, &type))
        return kal_error_set(err, KAL_INVALID,
                             "table options need a table_type: USER, SHARED, STREAM or SYSTEM");
    *out = kal_table_options_default(type);
    for (size_t k = 0; k < json->len; k++) {
        size_t i = 0;
        if (kal_bytes_equal(json->keys[k], KAL_STR("table_type")))
            continue;
        while (i < KAL_ARRAY_LEN(FIELDS) &&
               !kal_bytes_equal(json->keys[k], kal_cstr(FIELDS[i].name)))
            i++;
        if (i == KAL_ARRAY_LEN(FIELDS) || (FIELDS[i].kinds & KIND(type)) == 0)
            return unknown_option(out, json->keys[k], err);
        KAL_TRY(field_from_json(out, &FIELDS[i], &json->items[k], err));
    }
    return kal_table_options_validate(out, err);
}

static void flush_to_sql(const kal_flush_policy *p, kal_buf *out)
{
    kal_buf_append_byte(out, '\'');
    if (p->row_limit != 0)
        kal_buf_printf(out, "rows:%u", p->row_limit);
    if (p->interval_seconds != 0)
        kal_buf_printf(out, "%sinterval:%u", p->row_limit != 0 ? "," : "", p->interval_seconds);
    kal_buf_append_byte(out, '\'');
}

size_t kal_table_options_field_count(void)
{
    return KAL_ARRAY_LEN(FIELDS);
}

bool kal_table_options_field_sql(const kal_table_options *o, size_t i, const char **name_out,
                                 kal_buf *value_out)
{
    const option_field *f = &FIELDS[i];

    KAL_ASSERT(i < KAL_ARRAY_LEN(FIELDS));
    if ((f->kinds & KIND(o->table_type)) == 0)
        return false;
    *name_out = f->name;
    if (f->form == FORM_BOOL)
        kal_buf_append_cstr(value_out, field_value(o, f) != 0 ? "TRUE" : "FALSE");
    else if (f->form == FORM_COUNT)
        kal_buf_append_u64_text(value_out, field_value(o, f));
    else if (f->form == FORM_NAME)
        kal_buf_printf(value_out, "'%s'", f->names[field_value(o, f)]);
    else if (f->form == FORM_STORAGE)
        kal_buf_printf(value_out, "'%s'", o->storage_id);
    else
        flush_to_sql(&o->flush_policy, value_out);
    return true;
}

void kal_table_options_to_sql(const kal_table_options *o, kal_buf *out)
{
    kal_buf value; /* owned */
    const char *name = NULL;

    kal_buf_init(&value, NULL);
    kal_buf_printf(out, "TYPE = '%s'", kal_table_type_upper(o->table_type));
    for (size_t i = 0; i < KAL_ARRAY_LEN(FIELDS); i++) {
        kal_buf_clear(&value);
        if (!kal_table_options_field_sql(o, i, &name, &value))
            continue;
        kal_buf_append_cstr(out, ", ");
        for (const char *c = name; *c != '\0'; c++)
            kal_buf_append_byte(out, (uint8_t)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c));
        kal_buf_append_cstr(out, " = ");
        kal_buf_append_bytes(out, kal_buf_bytes(&value));
    }
    kal_buf_release(&value);
}

/* u8 kind, u8 number of fields, then per field: u8 name length, name, u64 value (storage_id: u8
 * length + text; flush_policy: two u32). By name, so that fields may come and go. */
void kal_table_options_encode(const kal_table_options *o, kal_buf *out)
{
    uint8_t count = 0;
    for (size_t i = 0; i < KAL_ARRAY_LEN(FIELDS); i++)
        count = (uint8_t)(count + ((FIELDS[i].kinds & KIND(o->table_type)) != 0));
    kal_buf_append_byte(out, (uint8_t)o->table_type);
    kal_buf_append_byte(out, count);
    for (size_t i = 0; i < KAL_ARRAY_LEN(FIELDS); i++) {
        const option_field *f = &FIELDS[i];
        if ((f->kinds & KIND(o->table_type)) == 0)
            continue;
        kal_buf_append_byte(out, (uint8_t)strlen(f->name));
        kal_buf_append_cstr(out, f->name);
        if (f->form == FORM_STORAGE) {
            kal_buf_append_byte(out, (uint8_t)strlen(o->storage_id));
            kal_buf_append_cstr(out, o->storage_id);
        } else if (f->form == FORM_FLUSH) {
            kal_buf_append_le32(out, o->flush_policy.row_limit);
            kal_buf_append_le32(out, o->flush_policy.interval_seconds);
        } else {
            kal_buf_append_le64(out, field_value(o, f));
        }
    }
}

static bool decode_field(kal_bytes *input, kal_table_options *o, const option_field *f)
{
    uint8_t len = 0;
    kal_bytes id;

    if (f->form == FORM_FLUSH)
        return kal_bytes_take_le32(input, &o->flush_policy.row_limit) &&
               kal_bytes_take_le32(input, &o->flush_policy.interval_seconds);
    if (f->form != FORM_STORAGE)
        return kal_bytes_take_le64(input, field_ptr(o, f));
    if (!kal_bytes_take_u8(input, &len) || !kal_bytes_take(input, len, &id) ||
        !kal_storage_id_valid(id))
        return false;
    memset(o->storage_id, 0, sizeof o->storage_id);
    memcpy(o->storage_id, id.ptr, id.len);
    return true;
}

kal_status kal_table_options_decode(kal_bytes *input, kal_table_options *out, kal_error *err)
{
    bool seen[KAL_ARRAY_LEN(FIELDS)] = {false};
    uint8_t kind = 0;
    uint8_t count = 0;

    *out = (kal_table_options){0};
    if (!kal_bytes_take_u8(input, &kind) || kind >= KAL_ARRAY_LEN(TABLE_TYPES_LOWER) ||
        !kal_bytes_take_u8(input, &count))
        return kal_error_set(err, KAL_CORRUPT, "stored table options are damaged");
    *out = kal_table_options_default((kal_table_type)kind);
    for (uint8_t n = 0; n < count; n++) {
        uint8_t len = 0;
        kal_bytes name;
        size_t i = 0;
        if (!kal_bytes_take_u8(input, &len) || !kal_bytes_take(input, len, &name))
            return kal_error_set(err, KAL_CORRUPT, "stored table options are damaged");
        while (i < KAL_ARRAY_LEN(FIELDS) && !kal_bytes_equal(name, kal_cstr(FIELDS[i].name)))
            i++;
        if (i == KAL_ARRAY_LEN(FIELDS) || (FIELDS[i].kinds & KIND(kind)) == 0)
            return kal_error_set(err, KAL_CORRUPT, "stored table option '%.*s' is unknown",
                                 KAL_FMT(name));
        if (seen[i] || !decode_field(input, out, &FIELDS[i]))
            return kal_error_set(err, KAL_CORRUPT, "stored table options are damaged");
        seen[i] = true;
    }
    if (kal_table_options_validate(out, NULL) != KAL_OK)
        return kal_error_set(err, KAL_CORRUPT, "stored table options are damaged");
    return KAL_OK;
}
