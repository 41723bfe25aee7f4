#include "storage/s3_config.h"
#include "base/json_reader.h"
#include "storage/object_store.h"

#include <stdlib.h>

enum {
    ENDPOINT_BYTES_MAX = 300,
    REGION_BYTES_MAX = 64,
    BUCKET_BYTES_MIN = 3,
    BUCKET_BYTES_MAX = 63
};

static bool is_lower_or_digit(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* ---- bucket and prefix ---- */

static bool is_bucket(kal_bytes name)
{
    if (name.len < BUCKET_BYTES_MIN || name.len > BUCKET_BYTES_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        bool inner = i > 0 && i + 1 < name.len && (c == '-' || c == '.');
        if (!is_lower_or_digit(c) && !inner)
            return false;
    }
    return true;
}

/* What needs no thought in a URL, a log or a listing. */
static bool is_prefix_text(kal_bytes prefix)
{
    for (size_t i = 0; i < prefix.len; i++) {
        uint8_t c = prefix.ptr[i];
        if (!is_lower_or_digit(c) && !(c >= 'A' && c <= 'Z') && strchr("/-_.=", c) == NULL)
            return false;
    }
    return prefix.len == 0 || kal_object_key_check(prefix, NULL) == KAL_OK;
}

kal_status kal_s3_parse_bucket(kal_bytes text, kal_s3_location *out, kal_error *err)
{
    kal_bytes rest = text;

    if (kal_bytes_starts_with(rest, KAL_STR(KAL_S3_SCHEME)))
        rest = kal_bytes_of(rest.ptr + strlen(KAL_S3_SCHEME), rest.len - strlen(KAL_S3_SCHEME));
    while (rest.len > 0 && rest.ptr[rest.len - 1] == '/')
        rest.len--;
    const uint8_t *slash = rest.len == 0 ? NULL : memchr(rest.ptr, '/', rest.len);
    size_t bucket_len = slash == NULL ? rest.len : (size_t)(slash - rest.ptr);
    out->bucket = kal_bytes_of(rest.ptr, bucket_len);
    out->prefix =
        slash == NULL ? (kal_bytes){0} : kal_bytes_of(slash + 1, rest.len - bucket_len - 1);
    if (!is_bucket(out->bucket)) {
        kal_error_set(err, KAL_INVALID, "'%.*s' cannot be the name of a bucket",
                      (int)(bucket_len < 100 ? bucket_len : 100), (const char *)rest.ptr);
        kal_error_hint(err, "3 to 63 lower-case letters, digits, '-' and '.', as in s3://bucket "
                            "or s3://bucket/prefix");
        return KAL_INVALID;
    }
    if (out->prefix.len > KAL_S3_PREFIX_BYTES_MAX || !is_prefix_text(out->prefix)) {
        kal_error_set(err, KAL_INVALID, "the prefix in the bucket cannot be used");
        kal_error_hint(err, "parts of letters, digits and - _ . = between single '/', %u bytes",
                       KAL_S3_PREFIX_BYTES_MAX);
        return KAL_INVALID;
    }
    return KAL_OK;
}

kal_status kal_s3_parse_region(kal_bytes text, kal_s3_location *out, kal_error *err)
{
    bool good = text.len > 0 && text.len <= REGION_BYTES_MAX;

    out->region = text;
    if (text.ptr == NULL) {
        out->region = KAL_STR(KAL_S3_REGION_DEFAULT);
        return KAL_OK;
    }
    for (size_t i = 0; i < text.len && good; i++)
        good = is_lower_or_digit(text.ptr[i]) || text.ptr[i] == '-';
    if (good)
        return KAL_OK;
    kal_error_set(err, KAL_INVALID, "REGION must be lower-case letters, digits and '-'");
    kal_error_hint(err, "as in '" KAL_S3_REGION_DEFAULT "'");
    return KAL_INVALID;
}

/* ---- endpoint ---- */

static kal_status bad_endpoint(const char *reason, kal_error *err)
{
    kal_error_set(err, KAL_INVALID, "the endpoint %s", reason);
    kal_error_hint(err, "https://host, http://host:port; without path, user and query");
    return KAL_INVALID;
}

/* host, host:port, [address], [address]:port; *port_out is 0 without one. */
static bool split_host(kal_bytes text, kal_bytes *host_out, unsigned long *port_out)
{
    size_t end = 0;
    char digits[6] = "";

    if (text.len > 0 && text.ptr[0] == '[') {
        for (end = 1; end < text.len && text.ptr[end] != ']'; end++) {
            uint8_t c = text.ptr[end];
            if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f') && c != ':' && c != '.')
                return false;
        }
        if (end < 3 || end++ == text.len)
            return false;
    } else {
        while (end < text.len && text.ptr[end] != ':') {
            uint8_t c = text.ptr[end++];
            if (!is_lower_or_digit(c) && c != '-' && c != '.' && c != '_')
                return false;
        }
    }
    *host_out = kal_bytes_of(text.ptr, end);
    *port_out = 0;
    if (end == 0 || end == text.len)
        return end > 0;
    size_t len = text.len - end - 1;
    if (text.ptr[end] != ':' || len == 0 || len >= sizeof digits)
        return false;
    memcpy(digits, text.ptr + end + 1, len);
    if (strspn(digits, "0123456789") != len)
        return false;
    *port_out = strtoul(digits, NULL, 10);
    return *port_out >= 1 && *port_out <= 65535;
}

static kal_status write_endpoint(kal_bytes lower, kal_arena *arena, kal_s3_location *out,
                                 kal_error *err)
{
    bool secure = kal_bytes_starts_with(lower, KAL_STR("https://"));
    size_t scheme_len = secure ? strlen("https://") : strlen("http://");
    unsigned long port = 0;
    kal_bytes host;

    if (!secure && !kal_bytes_starts_with(lower, KAL_STR("http://")))
        return bad_endpoint("must begin with https:// or http://", err);
    kal_bytes rest = kal_bytes_of(lower.ptr + scheme_len, lower.len - scheme_len);
    if (rest.len > 0 && rest.ptr[rest.len - 1] == '/')
        rest.len--;
    if (!split_host(rest, &host, &port))
        return bad_endpoint("is not that of a host", err);
    if (port == (secure ? 443 : 80))
        port = 0;
    const char *scheme = secure ? "https" : "http";
    out->endpoint =
        kal_cstr(port == 0 ? kal_arena_printf(arena, "%s://%.*s", scheme, KAL_FMT(host))
                           : kal_arena_printf(arena, "%s://%.*s:%lu", scheme, KAL_FMT(host), port));
    return KAL_OK;
}

kal_status kal_s3_parse_endpoint(kal_bytes text, kal_arena *arena, kal_s3_location *out,
                                 kal_error *err)
{
    if (text.ptr == NULL) {
        out->endpoint = kal_cstr(
            kal_arena_printf(arena, "https://s3.%.*s.amazonaws.com", KAL_FMT(out->region)));
        return KAL_OK;
    }
    if (text.len == 0 || text.len > ENDPOINT_BYTES_MAX)
        return bad_endpoint("is empty or too long", err);
    char *lower = kal_arena_cstr(arena, text);
    for (size_t i = 0; i < text.len; i++)
        lower[i] = kal_ascii_lower(lower[i]);
    return write_endpoint(kal_bytes_of(lower, text.len), arena, out, err);
}

/* ---- credentials ---- */

static kal_status bad_credentials(kal_error *err, const char *format, const char *name)
{
    kal_error_set(err, KAL_INVALID, format, name);
    kal_error_hint(err, "CREDENTIALS '{\"access_key_id\":\"..\",\"secret_access_key\":\"..\"}', "
                        "also session_token and endpoint");
    return KAL_INVALID;
}

/* Goes into a header: what could end it there is refused. */
static bool is_header_text(kal_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f)
            return false;
    }
    return text.len > 0 && text.len <= KAL_S3_CREDENTIAL_BYTES_MAX;
}

static kal_status take_member(kal_bytes key, const kal_json *value, kal_s3_credentials *out,
                              kal_error *err)
{
    const struct {
        const char *name;
        kal_bytes *text;
    } MEMBERS[] = {
        {"access_key_id", &out->signing.access_key_id},
        {"secret_access_key", &out->signing.secret_access_key},
        {"session_token", &out->signing.session_token},
        {"endpoint", &out->endpoint},
    };

    for (size_t i = 0; i < KAL_ARRAY_LEN(MEMBERS); i++) {
        if (!kal_bytes_equal(key, kal_cstr(MEMBERS[i].name)))
            continue;
        if (value->kind != KAL_JSON_STRING || !is_header_text(value->text))
            return bad_credentials(err, "'%s' of CREDENTIALS must be a text without blanks",
                                   MEMBERS[i].name);
        *MEMBERS[i].text = value->text;
        return KAL_OK;
    }
    return bad_credentials(err, "CREDENTIALS has an unknown member%s", "");
}

kal_status kal_s3_parse_credentials(kal_bytes text, kal_arena *arena, kal_s3_credentials *out,
                                    kal_error *err)
{
    kal_json *json = NULL;
    kal_error why = KAL_ERROR_INIT;

    *out = (kal_s3_credentials){0};
    if (kal_json_parse(text, arena, &json, &why) != KAL_OK) {
        bad_credentials(err, "CREDENTIALS is not valid JSON%s", ""); /* `why` may repeat the text */
        if (why.position >= 0)
            kal_error_at(err, (size_t)why.position);
        return KAL_INVALID;
    }
    if (json->kind != KAL_JSON_OBJECT)
        return bad_credentials(err, "CREDENTIALS must be a JSON object%s", "");
    for (size_t i = 0; i < json->len; i++)
        KAL_TRY(take_member(json->keys[i], &json->items[i], out, err));
    if (out->signing.access_key_id.len == 0)
        return bad_credentials(err, "'%s' of CREDENTIALS is missing", "access_key_id");
    if (out->signing.secret_access_key.len == 0)
        return bad_credentials(err, "'%s' of CREDENTIALS is missing", "secret_access_key");
    return KAL_OK;
}

/* ---- apart ---- */

static bool is_amazon(kal_bytes endpoint)
{
    static const char *const ENDS[] = {".amazonaws.com", ".amazonaws.com.cn"};
    for (size_t i = 0; i < KAL_ARRAY_LEN(ENDS); i++) {
        size_t len = strlen(ENDS[i]);
        if (endpoint.len > len &&
            kal_bytes_equal(kal_bytes_of(endpoint.ptr + endpoint.len - len, len),
                            kal_cstr(ENDS[i])))
            return true;
    }
    return false;
}

static bool holds(kal_bytes a, kal_bytes b)
{
    return a.len == 0 || (kal_bytes_starts_with(b, a) && (b.len == a.len || b.ptr[a.len] == '/'));
}

bool kal_s3_overlap(const kal_s3_location *a, const kal_s3_location *b)
{
    if (!kal_bytes_equal(a->bucket, b->bucket))
        return false;
    if (!kal_bytes_equal(a->endpoint, b->endpoint) &&
        !(is_amazon(a->endpoint) && is_amazon(b->endpoint)))
        return false;
    return holds(a->prefix, b->prefix) || holds(b->prefix, a->prefix);
}
