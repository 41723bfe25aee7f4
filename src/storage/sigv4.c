/*
 * sigv4.c: the four steps: canonical request, string to sign, key, signature.
 */
#include "storage/sigv4.h"
#include "base/assert.h"

#include <stdlib.h>
#include <time.h>

#define ALGORITHM  "AWS4-HMAC-SHA256"
#define TERMINATOR "aws4_request"

enum { DATE_LEN = 8, HEX_BYTES = KAL_DIGEST_HEX_LEN + 1 };

/* ---- encoding ---- */

static bool is_unreserved(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void kal_sigv4_encode(kal_bytes text, bool keep_slash, kal_buf *out)
{
    static const char HEX[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (is_unreserved(c) || (keep_slash && c == '/')) {
            kal_buf_append_byte(out, c);
            continue;
        }
        kal_buf_append_byte(out, '%');
        kal_buf_append_byte(out, (uint8_t)HEX[c >> 4]);
        kal_buf_append_byte(out, (uint8_t)HEX[c & 15]);
    }
}

/* By name, then by value: of encoded texts, which is not the order of the bytes before. */
static int by_name(const void *a, const void *b)
{
    const kal_sigv4_field *x = a;
    const kal_sigv4_field *y = b;
    int order = kal_bytes_compare(x->name, y->name);
    return order != 0 ? order : kal_bytes_compare(x->value, y->value);
}

static void sort_fields(const kal_sigv4_field *fields, size_t count, kal_sigv4_field *out)
{
    KAL_ASSERT(count <= KAL_SIGV4_FIELDS_MAX);
    for (size_t i = 0; i < count; i++)
        out[i] = fields[i];
    if (count > 1)
        qsort(out, count, sizeof *out, by_name);
}

void kal_sigv4_query(const kal_sigv4_field *fields, size_t count, kal_buf *out)
{
    kal_sigv4_field encoded[KAL_SIGV4_FIELDS_MAX] = {{{0}, {0}}};
    kal_sigv4_field sorted[KAL_SIGV4_FIELDS_MAX];
    kal_buf texts[2 * KAL_SIGV4_FIELDS_MAX]; /* owned */

    KAL_ASSERT(count <= KAL_SIGV4_FIELDS_MAX);
    for (size_t i = 0; i < count; i++) {
        kal_buf *name = &texts[2 * i];
        kal_buf *value = &texts[2 * i + 1];
        kal_buf_init(name, NULL);
        kal_buf_init(value, NULL);
        kal_sigv4_encode(fields[i].name, false, name);
        kal_sigv4_encode(fields[i].value, false, value);
        encoded[i] = (kal_sigv4_field){kal_buf_bytes(name), kal_buf_bytes(value)};
    }
    sort_fields(encoded, count, sorted);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            kal_buf_append_byte(out, '&');
        kal_buf_append_bytes(out, sorted[i].name);
        kal_buf_append_byte(out, '=');
        kal_buf_append_bytes(out, sorted[i].value);
    }
    for (size_t i = 0; i < 2 * count; i++)
        kal_buf_release(&texts[i]);
}

void kal_sigv4_time(int64_t wall_us, char out[KAL_SIGV4_TIME_LEN + 1])
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm tm;
    KAL_ASSERT(gmtime_r(&seconds, &tm) != NULL);
    KAL_ASSERT(strftime(out, KAL_SIGV4_TIME_LEN + 1, "%Y%m%dT%H%M%SZ", &tm) == KAL_SIGV4_TIME_LEN);
}

/* ---- the canonical request ---- */

/* Without blanks at the ends, and one for several within. */
static void append_header_value(kal_bytes value, kal_buf *out)
{
    bool begun = false;
    bool blank = false;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == ' ' || value.ptr[i] == '\t') {
            blank = true;
            continue;
        }
        if (blank && begun)
            kal_buf_append_byte(out, ' ');
        kal_buf_append_byte(out, value.ptr[i]);
        begun = true;
        blank = false;
    }
}

static void append_signed_names(const kal_sigv4_field *sorted, size_t count, kal_buf *out)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            kal_buf_append_byte(out, ';');
        kal_buf_append_bytes(out, sorted[i].name);
    }
}

void kal_sigv4_canonical_request(const kal_sigv4_request *r, kal_buf *out)
{
    kal_sigv4_field sorted[KAL_SIGV4_FIELDS_MAX];

    sort_fields(r->headers, r->header_count, sorted);
    kal_buf_printf(out, "%s\n", r->method);
    kal_sigv4_encode(r->path, true, out);
    kal_buf_append_byte(out, '\n');
    kal_sigv4_query(r->query, r->query_count, out);
    kal_buf_append_byte(out, '\n');
    for (size_t i = 0; i < r->header_count; i++) {
        kal_buf_append_bytes(out, sorted[i].name);
        kal_buf_append_byte(out, ':');
        append_header_value(sorted[i].value, out);
        kal_buf_append_byte(out, '\n');
    }
    kal_buf_append_byte(out, '\n');
    append_signed_names(sorted, r->header_count, out);
    kal_buf_printf(out, "\n%s", r->payload_sha256);
}

/* ---- key and signature ---- */

void kal_sigv4_signing_key(kal_bytes secret, kal_bytes date, kal_bytes region, kal_bytes service,
                           uint8_t out[KAL_DIGEST_BYTES])
{
    const kal_bytes own = kal_bytes_of(out, KAL_DIGEST_BYTES);
    kal_buf start; /* owned */

    kal_buf_init(&start, NULL);
    kal_buf_reserve(&start, secret.len + 4); /* no copy is left behind by growing */
    kal_buf_append_cstr(&start, "AWS4");
    kal_buf_append_bytes(&start, secret);
    kal_digest_hmac(kal_buf_bytes(&start), date, out);
    kal_digest_forget(start.ptr, start.len);
    kal_buf_release(&start);
    kal_digest_hmac(own, region, out);
    kal_digest_hmac(own, service, out);
    kal_digest_hmac(own, KAL_STR(TERMINATOR), out);
}

static void append_scope(const kal_sigv4_request *r, kal_buf *out)
{
    kal_buf_printf(out, "%.*s/%.*s/%.*s/" TERMINATOR, DATE_LEN, r->time, KAL_FMT(r->region),
                   KAL_FMT(r->service));
}

static void sign(const kal_sigv4_request *r, const kal_sigv4_credentials *credentials,
                 char out[HEX_BYTES])
{
    uint8_t key[KAL_DIGEST_BYTES];
    uint8_t signature[KAL_DIGEST_BYTES];
    char hash[HEX_BYTES];
    kal_buf text; /* owned */

    kal_buf_init(&text, NULL);
    kal_sigv4_canonical_request(r, &text);
    kal_digest_hex_of(kal_buf_bytes(&text), hash);
    kal_buf_clear(&text);
    kal_buf_printf(&text, ALGORITHM "\n%s\n", r->time);
    append_scope(r, &text);
    kal_buf_printf(&text, "\n%s", hash);
    kal_sigv4_signing_key(credentials->secret_access_key, kal_bytes_of(r->time, DATE_LEN),
                          r->region, r->service, key);
    kal_digest_hmac(kal_bytes_of(key, sizeof key), kal_buf_bytes(&text), signature);
    kal_digest_forget(key, sizeof key);
    kal_buf_release(&text);
    for (size_t i = 0; i < sizeof signature; i++) {
        static const char HEX[] = "0123456789abcdef";
        out[2 * i] = HEX[signature[i] >> 4];
        out[2 * i + 1] = HEX[signature[i] & 15];
    }
    out[2 * sizeof signature] = '\0';
}

void kal_sigv4_authorization(const kal_sigv4_request *r, const kal_sigv4_credentials *credentials,
                             kal_buf *out)
{
    kal_sigv4_field sorted[KAL_SIGV4_FIELDS_MAX];
    char signature[HEX_BYTES];

    KAL_ASSERT(strlen(r->time) == KAL_SIGV4_TIME_LEN);
    sort_fields(r->headers, r->header_count, sorted);
    sign(r, credentials, signature);
    kal_buf_append_cstr(out, ALGORITHM " Credential=");
    kal_buf_append_bytes(out, credentials->access_key_id);
    kal_buf_append_byte(out, '/');
    append_scope(r, out);
    kal_buf_append_cstr(out, ",SignedHeaders=");
    append_signed_names(sorted, r->header_count, out);
    kal_buf_printf(out, ",Signature=%s", signature);
}
