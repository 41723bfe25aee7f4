/*
 * type.c: the tables behind a kal_type. All of them are static and read-only; a property of a type
 * is one load by tag. Names are searched linearly: they are resolved once per column of DDL.
 */
#include "types/type.h"
#include "base/assert.h"
#include "types/type_internal.h"

#include <stdio.h>

/* FILE travels through DuckDB as the JSON text that it is; our column definition tells them apart.
 */
static const char *const DUCKDB_NAMES[KAL_TYPE_TAG_MAX + 1] = {
    [KAL_TYPE_NULL] = "NULL",         [KAL_TYPE_BOOLEAN] = "BOOLEAN",
    [KAL_TYPE_INT] = "INTEGER",       [KAL_TYPE_BIGINT] = "BIGINT",
    [KAL_TYPE_DOUBLE] = "DOUBLE",     [KAL_TYPE_FLOAT] = "FLOAT",
    [KAL_TYPE_TEXT] = "VARCHAR",      [KAL_TYPE_TIMESTAMP] = "TIMESTAMP",
    [KAL_TYPE_DATE] = "DATE",         [KAL_TYPE_DATETIME] = "TIMESTAMPTZ",
    [KAL_TYPE_TIME] = "TIME",         [KAL_TYPE_JSON] = "JSON",
    [KAL_TYPE_BYTES] = "BLOB",        [KAL_TYPE_EMBEDDING] = "FLOAT",
    [KAL_TYPE_UUID] = "UUID",         [KAL_TYPE_DECIMAL] = "DECIMAL",
    [KAL_TYPE_SMALLINT] = "SMALLINT", [KAL_TYPE_FILE] = "JSON",
};

static const struct {
    const char *sql;
    const char *reply;
    uint8_t fixed_bytes;
    bool may_be_key;
} TYPES[KAL_TYPE_TAG_MAX + 1] = {[KAL_TYPE_NULL] = {"NULL", "Null", 0, false},
#define KAL_TYPE_ROW(name, tag, sql, reply, fixed, key) [tag] = {sql, reply, fixed, key},
                                 KAL_TYPE_LIST(KAL_TYPE_ROW)
#undef KAL_TYPE_ROW
};

/* Names first, in the order of the list, then aliases: the first match and the first near name
 * win. */
static const struct {
    const char *name;
    kal_type_tag tag;
    bool is_serial;
} ALIASES[] = {
#define KAL_TYPE_ROW(name, tag, sql, reply, fixed, key) {sql, KAL_TYPE_##name, false},
    KAL_TYPE_LIST(KAL_TYPE_ROW)
#undef KAL_TYPE_ROW
        {"BOOL", KAL_TYPE_BOOLEAN, false},
    {"INT2", KAL_TYPE_SMALLINT, false},
    {"SMALLSERIAL", KAL_TYPE_SMALLINT, true},
    {"SERIAL2", KAL_TYPE_SMALLINT, true},
    {"INTEGER", KAL_TYPE_INT, false},
    {"INT4", KAL_TYPE_INT, false},
    {"MEDIUMINT", KAL_TYPE_INT, false},
    {"SIGNED", KAL_TYPE_INT, false},
    {"SERIAL", KAL_TYPE_INT, true},
    {"SERIAL4", KAL_TYPE_INT, true},
    {"INT8", KAL_TYPE_BIGINT, false},
    {"INT64", KAL_TYPE_BIGINT, false},
    {"BIGSERIAL", KAL_TYPE_BIGINT, true},
    {"SERIAL8", KAL_TYPE_BIGINT, true},
    {"REAL", KAL_TYPE_FLOAT, false},
    {"FLOAT4", KAL_TYPE_FLOAT, false},
    {"DOUBLE PRECISION", KAL_TYPE_DOUBLE, false},
    {"FLOAT8", KAL_TYPE_DOUBLE, false},
    {"FLOAT64", KAL_TYPE_DOUBLE, false},
    {"STRING", KAL_TYPE_TEXT, false},
    {"VARCHAR", KAL_TYPE_TEXT, false},
    {"CHAR", KAL_TYPE_TEXT, false},
    {"CHARACTER", KAL_TYPE_TEXT, false},
    {"CHARACTER VARYING", KAL_TYPE_TEXT, false},
    {"CHAR VARYING", KAL_TYPE_TEXT, false},
    {"NCHAR", KAL_TYPE_TEXT, false},
    {"NVARCHAR", KAL_TYPE_TEXT, false},
    {"CLOB", KAL_TYPE_TEXT, false},
    {"TINYTEXT", KAL_TYPE_TEXT, false},
    {"MEDIUMTEXT", KAL_TYPE_TEXT, false},
    {"LONGTEXT", KAL_TYPE_TEXT, false},
    {"JSONB", KAL_TYPE_JSON, false},
    {"BYTEA", KAL_TYPE_BYTES, false},
    {"BINARY", KAL_TYPE_BYTES, false},
    {"VARBINARY", KAL_TYPE_BYTES, false},
    {"BLOB", KAL_TYPE_BYTES, false},
    {"TIMESTAMP WITHOUT TIME ZONE", KAL_TYPE_TIMESTAMP, false},
    {"TIMESTAMPTZ", KAL_TYPE_DATETIME, false},
    {"TIMESTAMP WITH TIME ZONE", KAL_TYPE_DATETIME, false},
    {"TIME WITHOUT TIME ZONE", KAL_TYPE_TIME, false},
    {"NUMERIC", KAL_TYPE_DECIMAL, false},
    {"DEC", KAL_TYPE_DECIMAL, false},
};

_Static_assert(KAL_ARRAY_LEN(ALIASES) > KAL_TYPE_COUNT, "the names and some aliases");

/* Types that other databases have and we refuse, with what to use instead. */
static const struct {
    const char *name;
    const char *hint;
} REFUSED[] = {
    {"TINYINT", "use SMALLINT"},
    {"INT1", "use SMALLINT"},
    {"UTINYINT", "use SMALLINT"},
    {"USMALLINT", "use INT"},
    {"UINTEGER", "use BIGINT"},
    {"UNSIGNED", "use BIGINT, or DECIMAL(20,0) for the full range of 64 bits"},
    {"UBIGINT", "use DECIMAL(20,0)"},
    {"HUGEINT", "use DECIMAL(38,0)"},
    {"INTERVAL", "an interval exists in expressions only; store microseconds in a BIGINT"},
    {"TIMETZ", "use TIME, or DATETIME for a moment in UTC"},
    {"TIME WITH TIME ZONE", "use TIME, or DATETIME for a moment in UTC"},
    {"ARRAY", "use JSON"},
    {"LIST", "use JSON"},
    {"ENUM", "use JSON, or TEXT"},
    {"SET", "use JSON"},
    {"STRUCT", "use JSON"},
    {"MAP", "use JSON"},
    {"UNION", "use JSON"},
    {"VECTOR", "use EMBEDDING(n)"},
    {"MONEY", "use DECIMAL(p,s)"},
};

static bool tag_known(unsigned tag)
{
    return tag >= KAL_TYPE_BOOLEAN && tag <= KAL_TYPE_TAG_MAX;
}

bool kal_type_valid(kal_type type)
{
    if (!tag_known(type.tag) || type.reserved != 0)
        return false;
    bool decimal_ok = type.precision == 0 && type.scale == 0;
    bool dim_ok = type.dim == 0;
    if (type.tag == KAL_TYPE_DECIMAL)
        decimal_ok = type.precision >= 1 && type.precision <= KAL_DECIMAL_PRECISION_MAX &&
                     type.scale <= type.precision;
    if (type.tag == KAL_TYPE_EMBEDDING)
        dim_ok = type.dim >= 1 && type.dim <= KAL_EMBEDDING_DIM_MAX;
    return decimal_ok && dim_ok;
}

bool kal_type_is_integer(kal_type type)
{
    return type.tag == KAL_TYPE_SMALLINT || type.tag == KAL_TYPE_INT || type.tag == KAL_TYPE_BIGINT;
}

bool kal_type_is_numeric(kal_type type)
{
    return kal_type_is_integer(type) || type.tag == KAL_TYPE_FLOAT || type.tag == KAL_TYPE_DOUBLE ||
           type.tag == KAL_TYPE_DECIMAL;
}

bool kal_type_is_bytes(kal_type type)
{
    switch (type.tag) {
    case KAL_TYPE_TEXT:
    case KAL_TYPE_JSON:
    case KAL_TYPE_BYTES:
    case KAL_TYPE_FILE:
    case KAL_TYPE_UUID:
    case KAL_TYPE_EMBEDDING:
        return true;
    default:
        return false;
    }
}

bool kal_type_may_be_key(kal_type type)
{
    return tag_known(type.tag) && TYPES[type.tag].may_be_key;
}

size_t kal_type_fixed_bytes(kal_type type)
{
    KAL_ASSERT(type.tag <= KAL_TYPE_TAG_MAX);
    return TYPES[type.tag].fixed_bytes;
}

const char *kal_type_name(kal_type type, char out[KAL_TYPE_NAME_BYTES])
{
    const char *base = kal_type_base_name((kal_type_tag)type.tag);
    if (type.tag == KAL_TYPE_DECIMAL)
        snprintf(out, KAL_TYPE_NAME_BYTES, "%s(%u,%u)", base, type.precision, type.scale);
    else if (type.tag == KAL_TYPE_EMBEDDING)
        snprintf(out, KAL_TYPE_NAME_BYTES, "%s(%u)", base, type.dim);
    else
        snprintf(out, KAL_TYPE_NAME_BYTES, "%s", base);
    return out;
}

const char *kal_type_base_name(kal_type_tag tag)
{
    KAL_ASSERT((unsigned)tag <= KAL_TYPE_TAG_MAX);
    return TYPES[tag].sql;
}

const char *kal_type_reply_name(kal_type_tag tag)
{
    KAL_ASSERT((unsigned)tag <= KAL_TYPE_TAG_MAX);
    return TYPES[tag].reply;
}

bool kal_type_is_only_ours(kal_bytes name, kal_type_tag *tag_out)
{
    static const kal_type_tag OURS[] = {KAL_TYPE_DATETIME, KAL_TYPE_BYTES, KAL_TYPE_EMBEDDING};
    for (size_t i = 0; i < KAL_ARRAY_LEN(OURS); i++) {
        *tag_out = OURS[i];
        if (kal_bytes_equal_nocase(name, kal_cstr(kal_type_base_name(OURS[i]))))
            return true;
    }
    return false;
}

const char *kal_type_duckdb_name(kal_type type, char out[KAL_TYPE_NAME_BYTES])
{
    KAL_ASSERT(type.tag <= KAL_TYPE_TAG_MAX);
    const char *base = DUCKDB_NAMES[type.tag];
    if (type.tag == KAL_TYPE_DECIMAL)
        snprintf(out, KAL_TYPE_NAME_BYTES, "%s(%u,%u)", base, type.precision, type.scale);
    else if (type.tag == KAL_TYPE_EMBEDDING)
        snprintf(out, KAL_TYPE_NAME_BYTES, "%s[%u]", base, type.dim);
    else
        snprintf(out, KAL_TYPE_NAME_BYTES, "%s", base);
    return out;
}

bool kal_type_alias_at(size_t i, const char **name_out, kal_type_tag *tag_out)
{
    if (i >= KAL_ARRAY_LEN(ALIASES))
        return false;
    *name_out = ALIASES[i].name;
    *tag_out = ALIASES[i].tag;
    return true;
}

bool kal_type_alias_is_serial(size_t i)
{
    KAL_ASSERT(i < KAL_ARRAY_LEN(ALIASES));
    return ALIASES[i].is_serial;
}

/* "BOOLEAN, INT, ..., FILE" */
static const char VALID_TYPES[] =
#define KAL_TYPE_ROW(name, tag, sql, reply, fixed, key) ", " sql
    KAL_TYPE_LIST(KAL_TYPE_ROW)
#undef KAL_TYPE_ROW
    ;

static void hint_near_name(kal_bytes name, kal_error *err)
{
    size_t best = name.len / 2 < 2 ? name.len / 2 : 2; /* two slips in a name, one in a short one */
    const char *near = NULL;
    for (size_t i = 0; i < KAL_ARRAY_LEN(ALIASES); i++) {
        size_t distance = kal_edit_distance(name, kal_cstr(ALIASES[i].name));
        if (distance < best || (distance == best && near == NULL)) {
            best = distance;
            near = ALIASES[i].name;
        }
    }
    if (near != NULL)
        kal_error_hint(err, "did you mean '%s'?", near);
}

static kal_status refuse_name(kal_bytes name, kal_error *err)
{
    kal_error_set(err, KAL_SYNTAX, "unsupported type '%.*s', valid types: %s",
                  KAL_FMT(kal_name_shown(name)), VALID_TYPES + strlen(", "));
    if (err == NULL)
        return KAL_SYNTAX; /* nobody reads the hint, and the search for it is dear */
    for (size_t i = 0; i < KAL_ARRAY_LEN(REFUSED); i++) {
        if (kal_bytes_equal_nocase(name, kal_cstr(REFUSED[i].name))) {
            kal_error_hint(err, "%s", REFUSED[i].hint);
            return KAL_SYNTAX;
        }
    }
    hint_near_name(name, err);
    return KAL_SYNTAX;
}

static bool ends_with_nocase(kal_bytes name, kal_bytes end)
{
    return name.len >= end.len &&
           kal_bytes_equal_nocase(kal_bytes_of(name.ptr + name.len - end.len, end.len), end);
}

static bool find_name(kal_bytes name, kal_type_tag *tag_out, bool *serial_out)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(ALIASES); i++) {
        if (kal_bytes_equal_nocase(name, kal_cstr(ALIASES[i].name))) {
            *tag_out = ALIASES[i].tag;
            *serial_out = ALIASES[i].is_serial;
            return true;
        }
    }
    /* The dialect takes every single word that ends so, such as NTEXT or CISTRING, for text. */
    if ((ends_with_nocase(name, KAL_STR("TEXT")) || ends_with_nocase(name, KAL_STR("STRING"))) &&
        memchr(name.ptr, ' ', name.len) == NULL) {
        *tag_out = KAL_TYPE_TEXT;
        *serial_out = false;
        return true;
    }
    return false;
}

static kal_status check_dim(int64_t dim, kal_status status, kal_error *err)
{
    if (dim >= 1 && dim <= KAL_EMBEDDING_DIM_MAX)
        return KAL_OK;
    return kal_error_set(err, status, "EMBEDDING dimension must be between 1 and %d, got: %lld",
                         KAL_EMBEDDING_DIM_MAX, (long long)dim);
}

static kal_status check_decimal(int64_t precision, int64_t scale, kal_status status, kal_error *err)
{
    if (precision < 1 || precision > KAL_DECIMAL_PRECISION_MAX)
        return kal_error_set(err, status, "DECIMAL precision must be between 1 and %d, got: %lld",
                             KAL_DECIMAL_PRECISION_MAX, (long long)precision);
    if (scale < 0 || scale > precision)
        return kal_error_set(err, status,
                             "DECIMAL scale must be between 0 and its precision %lld, got: %lld",
                             (long long)precision, (long long)scale);
    return KAL_OK;
}

static kal_status decimal_from_args(const int64_t *args, size_t arg_count, kal_type *type_out,
                                    kal_error *err)
{
    int64_t precision = KAL_DECIMAL_PRECISION_DEFAULT;
    int64_t scale = arg_count == 0 ? KAL_DECIMAL_SCALE_DEFAULT : 0;
    if (arg_count > 2)
        return kal_error_set(err, KAL_SYNTAX,
                             "DECIMAL takes a precision and a scale, got %zu arguments", arg_count);
    if (arg_count >= 1)
        precision = args[0];
    if (arg_count == 2)
        scale = args[1];
    KAL_TRY(check_decimal(precision, scale, KAL_SYNTAX, err));
    *type_out = kal_type_decimal((unsigned)precision, (unsigned)scale);
    return KAL_OK;
}

static kal_status embedding_from_args(const int64_t *args, size_t arg_count, kal_type *type_out,
                                      kal_error *err)
{
    if (arg_count != 1)
        return kal_error_set(err, KAL_SYNTAX,
                             "EMBEDDING takes one argument, its dimension, got %zu", arg_count);
    KAL_TRY(check_dim(args[0], KAL_SYNTAX, err));
    *type_out = kal_type_embedding((uint32_t)args[0]);
    return KAL_OK;
}

/* VARCHAR(20) and BINARY(16): the length is checked and forgotten. TIMESTAMP(6) is what we store;
 * another precision would promise a rounding that does not happen. */
static kal_status check_plain_args(kal_bytes name, kal_type_tag tag, const int64_t *args,
                                   size_t arg_count, kal_error *err)
{
    if (arg_count == 0)
        return KAL_OK;
    switch (tag) {
    case KAL_TYPE_TEXT:
    case KAL_TYPE_BYTES:
        if (arg_count > 1)
            return kal_error_set(err, KAL_SYNTAX, "%.*s takes one length, got %zu arguments",
                                 KAL_FMT(kal_name_shown(name)), arg_count);
        if (args[0] < 1)
            return kal_error_set(err, KAL_SYNTAX, "%.*s length must be at least 1, got: %lld",
                                 KAL_FMT(kal_name_shown(name)), (long long)args[0]);
        return KAL_OK;
    case KAL_TYPE_TIMESTAMP:
    case KAL_TYPE_DATETIME:
    case KAL_TYPE_TIME:
        if (arg_count > 1 || args[0] != 6)
            return kal_error_set(err, KAL_SYNTAX,
                                 "%.*s precision must be 6 (microseconds), got: %lld",
                                 KAL_FMT(kal_name_shown(name)), (long long)args[arg_count - 1]);
        return KAL_OK;
    default:
        return kal_error_set(err, KAL_SYNTAX, "%.*s takes no arguments, got %zu",
                             KAL_FMT(kal_name_shown(name)), arg_count);
    }
}

kal_status kal_type_from_sql(kal_bytes name, const int64_t *args, size_t arg_count,
                             kal_type *type_out, bool *serial_out, kal_error *err)
{
    kal_type_tag tag = KAL_TYPE_NULL;
    bool is_serial = false;

    *type_out = (kal_type){0};
    if (serial_out != NULL)
        *serial_out = false;
    if (!find_name(name, &tag, &is_serial))
        return refuse_name(name, err);
    if (tag == KAL_TYPE_DECIMAL)
        return decimal_from_args(args, arg_count, type_out, err);
    if (tag == KAL_TYPE_EMBEDDING)
        return embedding_from_args(args, arg_count, type_out, err);
    KAL_TRY(check_plain_args(name, tag, args, arg_count, err));
    *type_out = kal_type_of(tag);
    if (serial_out != NULL)
        *serial_out = is_serial;
    return KAL_OK;
}

/* A type text taken apart: words joined by single blanks, and the numbers in its parentheses. */
typedef struct type_text {
    kal_bytes rest;
    char name[KAL_NAME_SHOWN_BYTES];
    size_t name_len;
    int64_t args[2];
    size_t arg_count;
} type_text;

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_word(uint8_t c)
{
    return (c >= '0' && c <= '9') || kal_ascii_lower((char)c) != (char)c ||
           (c >= 'a' && c <= 'z') || c == '_';
}

static void skip_spaces(type_text *t)
{
    while (t->rest.len > 0 && is_space(t->rest.ptr[0]))
        t->rest = kal_bytes_of(t->rest.ptr + 1, t->rest.len - 1);
}

static bool take_char(type_text *t, char c)
{
    skip_spaces(t);
    if (t->rest.len == 0 || t->rest.ptr[0] != (uint8_t)c)
        return false;
    t->rest = kal_bytes_of(t->rest.ptr + 1, t->rest.len - 1);
    return true;
}

/* Appends the words that follow; false when the name grows past any name there is. */
static bool take_words(type_text *t)
{
    for (skip_spaces(t); t->rest.len > 0 && is_word(t->rest.ptr[0]); skip_spaces(t)) {
        size_t len = 0;
        while (len < t->rest.len && is_word(t->rest.ptr[len]))
            len++;
        size_t blank = t->name_len > 0 ? 1 : 0;
        if (len >= sizeof t->name - t->name_len - blank)
            return false;
        if (blank > 0)
            t->name[t->name_len++] = ' ';
        memcpy(t->name + t->name_len, t->rest.ptr, len);
        t->name_len += len;
        t->rest = kal_bytes_of(t->rest.ptr + len, t->rest.len - len);
    }
    return true;
}

static bool take_number(type_text *t, int64_t *out)
{
    bool negative = take_char(t, '-');
    size_t digits = 0;
    int64_t v = 0;
    skip_spaces(t);
    while (digits < t->rest.len && t->rest.ptr[digits] >= '0' && t->rest.ptr[digits] <= '9') {
        if (!kal_try_mul(v, (int64_t)10, &v) ||
            !kal_try_add(v, (int64_t)(t->rest.ptr[digits] - '0'), &v))
            return false;
        digits++;
    }
    t->rest = kal_bytes_of(t->rest.ptr + digits, t->rest.len - digits);
    *out = negative ? -v : v;
    return digits > 0;
}

static bool take_args(type_text *t)
{
    if (!take_char(t, '('))
        return true;
    do {
        if (t->arg_count == KAL_ARRAY_LEN(t->args) || !take_number(t, &t->args[t->arg_count]))
            return false;
        t->arg_count++;
    } while (take_char(t, ','));
    return take_char(t, ')');
}

kal_status kal_type_parse(kal_bytes text, kal_type *type_out, kal_error *err)
{
    type_text t = {.rest = text};
    bool is_array = false;

    *type_out = (kal_type){0};
    /* TIMESTAMP(6) WITH TIME ZONE has words on both sides of the argument. */
    if (!take_words(&t) || t.name_len == 0 || !take_args(&t) || !take_words(&t))
        return refuse_name(text, err);
    /* DuckDB's spelling of an embedding, FLOAT[384]. */
    if (t.arg_count == 0 &&
        kal_bytes_equal_nocase(kal_bytes_of(t.name, t.name_len),
                               kal_cstr(DUCKDB_NAMES[KAL_TYPE_EMBEDDING])) &&
        take_char(&t, '[')) {
        is_array = true;
        if (!take_number(&t, &t.args[0]) || !take_char(&t, ']'))
            return refuse_name(text, err);
        t.arg_count = 1;
    }
    skip_spaces(&t);
    if (t.rest.len > 0)
        return refuse_name(text, err);
    if (is_array)
        return embedding_from_args(t.args, t.arg_count, type_out, err);
    return kal_type_from_sql(kal_bytes_of(t.name, t.name_len), t.args, t.arg_count, type_out, NULL,
                             err);
}

void kal_type_encode(kal_type type, kal_buf *out)
{
    KAL_ASSERT(kal_type_valid(type));
    kal_buf_append_byte(out, type.tag);
    if (type.tag == KAL_TYPE_EMBEDDING) {
        kal_buf_append_le32(out, type.dim);
    } else if (type.tag == KAL_TYPE_DECIMAL) {
        kal_buf_append_byte(out, type.precision);
        kal_buf_append_byte(out, type.scale);
    }
}

kal_status kal_type_decode(kal_bytes *input, kal_type *type_out, kal_error *err)
{
    kal_type type = {0};
    size_t taken = 1;

    *type_out = type;
    if (input->len < 1)
        return kal_error_set(err, KAL_CORRUPT, "encoded type is cut short");
    type.tag = input->ptr[0];
    if (!tag_known(type.tag))
        return kal_error_set(err, KAL_CORRUPT, "unknown type tag 0x%02X", type.tag);
    if (type.tag == KAL_TYPE_EMBEDDING)
        taken += sizeof type.dim;
    else if (type.tag == KAL_TYPE_DECIMAL)
        taken += 2;
    if (input->len < taken)
        return kal_error_set(err, KAL_CORRUPT, "encoded type is cut short");
    if (type.tag == KAL_TYPE_EMBEDDING) {
        type.dim = kal_load_le32(input->ptr + 1);
        KAL_TRY(check_dim(type.dim, KAL_CORRUPT, err));
    } else if (type.tag == KAL_TYPE_DECIMAL) {
        type.precision = input->ptr[1];
        type.scale = input->ptr[2];
        KAL_TRY(check_decimal(type.precision, type.scale, KAL_CORRUPT, err));
    }
    *input = kal_bytes_of(input->ptr + taken, input->len - taken);
    *type_out = type;
    return KAL_OK;
}
