#include "storage/object_store_s3.h"
#include "base/assert.h"
#include "base/file_io.h"
#include "storage/s3_xml.h"
#include "storage/storage_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PARTS_MAX = 10000,  /* of one object, as the servers have it */
    PAGES_MAX = 100000, /* of a listing: one that never ends is none */
    HTTP_PARTIAL = 206,
    HTTP_NOT_FOUND = 404,
    HTTP_RANGE = 416,
};

typedef struct s3_store {
    kal_object_store base;
    kal_s3_client *client; /* borrowed */
    kal_s3_target target;  /* texts in the arena */
    uint64_t part_bytes;
    kal_arena arena;
} s3_store;

static s3_store *s3_of(kal_object_store *store)
{
    return (s3_store *)store;
}

/* ---- requests ---- */

/* The storage's key as the bucket has it. */
static void append_key(const s3_store *s, kal_bytes key, kal_buf *out)
{
    kal_buf_append_bytes(out, s->target.location.prefix);
    if (s->target.location.prefix.len > 0)
        kal_buf_append_byte(out, '/');
    kal_buf_append_bytes(out, key);
}

static void append_bucket_path(const s3_store *s, kal_buf *out)
{
    kal_buf_append_byte(out, '/');
    kal_buf_append_bytes(out, s->target.location.bucket);
}

/* One request about an object; owns its path. */
typedef struct call {
    kal_s3_request request;
    kal_s3_response response;
    kal_buf path; /* owned */
} call;

static void call_init(call *c, const s3_store *s, const char *verb, const char *method,
                      kal_bytes key)
{
    *c = (call){.request = {.verb = verb, .method = method, .object = key, .fd = -1}};
    kal_buf_init(&c->path, NULL);
    append_bucket_path(s, &c->path);
    kal_buf_append_byte(&c->path, '/');
    append_key(s, key, &c->path);
    c->request.path = kal_buf_bytes(&c->path);
}

/* About the bucket itself. */
static void call_init_bucket(call *c, const s3_store *s, const char *verb, const char *method)
{
    *c = (call){.request = {.verb = verb, .method = method, .fd = -1}};
    kal_buf_init(&c->path, NULL);
    append_bucket_path(s, &c->path);
    c->request.path = kal_buf_bytes(&c->path);
}

static void call_release(call *c)
{
    kal_buf_release(&c->path);
}

static void add_query(call *c, const char *name, kal_bytes value)
{
    kal_s3_request *r = &c->request;
    KAL_ASSERT(r->query_count < KAL_ARRAY_LEN(r->query));
    r->query[r->query_count++] = (kal_sigv4_field){kal_cstr(name), value};
}

static kal_status perform(const s3_store *s, call *c, kal_error *err)
{
    return kal_s3_perform(s->client, &s->target, s->base.poll, &c->request, &c->response, err);
}

static kal_status fail(const s3_store *s, const call *c, const char *reason, kal_error *err)
{
    return kal_s3_fail(&s->target, &c->request, &c->response, reason, err);
}

/* For requests that know nothing to do with a 404. */
static kal_status perform_strictly(const s3_store *s, call *c, kal_error *err)
{
    KAL_TRY(perform(s, c, err));
    return c->response.http_status / 100 == 2 ? KAL_OK : fail(s, c, NULL, err);
}

/* A 404 that is about the object, not the bucket; the answer to HEAD does not say. */
static bool is_missing(const call *c)
{
    return c->response.http_status == HTTP_NOT_FOUND &&
           (c->response.code[0] == '\0' || strcmp(c->response.code, "NoSuchKey") == 0);
}

/* ---- reading ---- */

static kal_status s3_size(kal_object_store *store, kal_bytes key, uint64_t *size_out,
                          kal_error *err)
{
    s3_store *s = s3_of(store);
    call c; /* owned */

    call_init(&c, s, "look at", "HEAD", key);
    kal_status status = perform(s, &c, err);
    if (status == KAL_OK && is_missing(&c))
        status = KAL_NOT_FOUND;
    else if (status == KAL_OK && c.response.http_status / 100 != 2)
        status = fail(s, &c, NULL, err);
    else if (status == KAL_OK && !c.response.has_length)
        status = fail(s, &c, "the answer does not say how long it is", err);
    if (status == KAL_OK)
        *size_out = c.response.length;
    call_release(&c);
    return status;
}

/* That what came is the range that was asked for, as far as the object goes. */
static kal_status check_range(const s3_store *s, const call *c, uint64_t offset, size_t got,
                              kal_error *err)
{
    const kal_s3_response *r = &c->response;

    if (r->http_status == HTTP_PARTIAL) {
        if (r->has_range && r->range_first == offset && r->range_last - offset + 1 == got)
            return KAL_OK;
        return fail(s, c, "the answer is another range than was asked for", err);
    }
    if (offset == 0 && r->has_length && r->length == got)
        return KAL_OK;
    return fail(s, c, "the server does not read ranges", err);
}

static kal_status s3_get(kal_object_store *store, kal_bytes key, uint64_t offset, size_t len,
                         kal_buf *out, kal_error *err)
{
    s3_store *s = s3_of(store);
    char range[64];
    size_t before = out->len;
    uint64_t ignored = 0;
    call c; /* owned */

    if (len == 0)
        return s3_size(store, key, &ignored, err);
    uint64_t last = offset > UINT64_MAX - len ? UINT64_MAX : offset + len - 1;
    snprintf(range, sizeof range, "bytes=%llu-%llu", (unsigned long long)offset,
             (unsigned long long)last);
    call_init(&c, s, "read", "GET", key);
    c.request.range = kal_cstr(range);
    c.request.out = out;
    c.request.out_max = before + len;
    kal_status status = perform(s, &c, err);
    if (status == KAL_OK && is_missing(&c))
        status = KAL_NOT_FOUND;
    else if (status == KAL_OK && c.response.http_status / 100 == 2)
        status = check_range(s, &c, offset, out->len - before, err);
    else if (status == KAL_OK && c.response.http_status != HTTP_RANGE)
        status = fail(s, &c, NULL, err);
    call_release(&c);
    return status;
}

/* ---- writing ---- */

static kal_status s3_put(kal_object_store *store, kal_bytes key, kal_bytes content, kal_error *err)
{
    s3_store *s = s3_of(store);
    call c; /* owned */

    call_init(&c, s, "write", "PUT", key);
    c.request.content = content;
    kal_status status = perform_strictly(s, &c, err);
    call_release(&c);
    return status;
}

typedef struct upload {
    s3_store *store;
    kal_bytes key;
    int fd;
    uint64_t size;
    kal_arena arena;
    kal_bytes id;  /* arena */
    kal_buf parts; /* owned; the document that completes it */
} upload;

static kal_status begin_upload(upload *u, kal_error *err)
{
    kal_error why = KAL_ERROR_INIT;
    kal_buf answer; /* owned */
    call c;         /* owned */

    kal_buf_init(&answer, NULL);
    call_init(&c, u->store, "write", "POST", u->key);
    add_query(&c, "uploads", KAL_STR(""));
    c.request.out = &answer;
    c.request.out_max = KAL_S3_XML_BYTES_MAX;
    kal_status status = perform_strictly(u->store, &c, err);
    if (status == KAL_OK &&
        kal_s3_xml_upload_id(kal_buf_bytes(&answer), &u->arena, &u->id, &why) != KAL_OK)
        status = fail(u->store, &c, why.message, err);
    call_release(&c);
    kal_buf_release(&answer);
    return status;
}

static void append_xml_text(const char *text, kal_buf *out)
{
    for (; *text != '\0'; text++) {
        if (*text == '&')
            kal_buf_append_cstr(out, "&amp;");
        else if (*text == '<')
            kal_buf_append_cstr(out, "&lt;");
        else if (*text == '>')
            kal_buf_append_cstr(out, "&gt;");
        else
            kal_buf_append_byte(out, (uint8_t)*text);
    }
}

static kal_status send_part(upload *u, unsigned number, uint64_t offset, uint64_t len,
                            kal_error *err)
{
    char digits[16];
    call c; /* owned */

    snprintf(digits, sizeof digits, "%u", number);
    call_init(&c, u->store, "write", "PUT", u->key);
    add_query(&c, "partNumber", kal_cstr(digits));
    add_query(&c, "uploadId", u->id);
    c.request.fd = u->fd;
    c.request.file_offset = offset;
    c.request.file_len = len;
    kal_status status = perform_strictly(u->store, &c, err);
    if (status == KAL_OK && c.response.etag[0] == '\0')
        status = fail(u->store, &c, "the answer to a part has no ETag", err);
    if (status == KAL_OK) {
        kal_buf_printf(&u->parts, "<Part><PartNumber>%u</PartNumber><ETag>", number);
        append_xml_text(c.response.etag, &u->parts);
        kal_buf_append_cstr(&u->parts, "</ETag></Part>");
    }
    call_release(&c);
    return status;
}

static kal_status send_parts(upload *u, kal_error *err)
{
    uint64_t least = u->size / PARTS_MAX + 1;
    uint64_t part = u->store->part_bytes > least ? u->store->part_bytes : least;
    unsigned number = 1;

    kal_buf_append_cstr(&u->parts, "<CompleteMultipartUpload>");
    for (uint64_t at = 0; at < u->size; at += part) {
        uint64_t len = u->size - at < part ? u->size - at : part;
        KAL_TRY(send_part(u, number++, at, len, err));
    }
    kal_buf_append_cstr(&u->parts, "</CompleteMultipartUpload>");
    return KAL_OK;
}

/* The answer to an earlier attempt may have been lost: then the upload is over, the object there.
 */
static bool is_there_already(upload *u)
{
    uint64_t size = 0;
    return s3_size(&u->store->base, u->key, &size, NULL) == KAL_OK && size == u->size;
}

/* An answer may begin as a success and turn out to be an error. */
static kal_status complete_upload(upload *u, kal_error *err)
{
    kal_buf answer; /* owned */
    call c;         /* owned */

    kal_buf_init(&answer, NULL);
    call_init(&c, u->store, "write", "POST", u->key);
    add_query(&c, "uploadId", u->id);
    c.request.content = kal_buf_bytes(&u->parts);
    c.request.out = &answer;
    c.request.out_max = KAL_S3_XML_BYTES_MAX;
    kal_status status = perform(u->store, &c, err);
    if (status == KAL_OK && c.response.http_status / 100 == 2)
        kal_s3_xml_error_code(kal_buf_bytes(&answer), c.response.code);
    bool refused = c.response.http_status / 100 != 2 || c.response.code[0] != '\0';
    if (status == KAL_OK && refused &&
        !(strcmp(c.response.code, "NoSuchUpload") == 0 && is_there_already(u)))
        status = fail(u->store, &c, NULL, err);
    call_release(&c);
    kal_buf_release(&answer);
    return status;
}

static kal_status abort_upload(const s3_store *s, kal_bytes key, kal_bytes id)
{
    call c; /* owned */

    call_init(&c, s, "write", "DELETE", key);
    add_query(&c, "uploadId", id);
    kal_status status = kal_s3_perform(s->client, &s->target, NULL, &c.request, &c.response, NULL);
    call_release(&c);
    return status;
}

static kal_status put_in_parts(s3_store *s, kal_bytes key, int fd, uint64_t size, kal_error *err)
{
    upload u = {.store = s, .key = key, .fd = fd, .size = size};

    kal_arena_init(&u.arena, NULL);
    kal_buf_init(&u.parts, NULL);
    kal_status status = begin_upload(&u, err);
    if (status == KAL_OK) {
        status = send_parts(&u, err);
        if (status == KAL_OK)
            status = complete_upload(&u, err);
        if (status != KAL_OK)
            (void)abort_upload(s, key, u.id); /* or when the object is deleted */
    }
    kal_buf_release(&u.parts);
    kal_arena_release(&u.arena);
    return status;
}

static kal_status put_at_once(s3_store *s, kal_bytes key, int fd, uint64_t size, kal_error *err)
{
    call c; /* owned */

    call_init(&c, s, "write", "PUT", key);
    c.request.fd = fd;
    c.request.file_len = size;
    kal_status status = perform_strictly(s, &c, err);
    call_release(&c);
    return status;
}

static kal_status s3_put_file(kal_object_store *store, kal_bytes key, const char *path,
                              kal_error *err)
{
    s3_store *s = s3_of(store);
    struct stat info = {0};
    int fd = kal_file_open(path, O_RDONLY, 0);

    if (fd < 0 || fstat(fd, &info) != 0) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return kal_error_set(err, KAL_IO, "cannot read '%s': %s", path, strerror(error));
    }
    uint64_t size = (uint64_t)info.st_size;
    kal_status status = size > s->part_bytes ? put_in_parts(s, key, fd, size, err)
                                             : put_at_once(s, key, fd, size, err);
    close(fd);
    return status;
}

/* ---- listing ---- */

static kal_status get_page(const s3_store *s, call *c, kal_arena *arena, kal_s3_page *page,
                           kal_error *err)
{
    kal_error why = KAL_ERROR_INIT;
    kal_buf answer; /* owned */

    kal_buf_init(&answer, NULL);
    c->request.out = &answer;
    c->request.out_max = KAL_S3_XML_BYTES_MAX;
    kal_status status = perform_strictly(s, c, err);
    if (status == KAL_OK)
        status = kal_s3_xml_page(kal_buf_bytes(&answer), arena, page, &why);
    if (status == KAL_LIMIT)
        kal_object_memory_used_up(err);
    else if (why.status != KAL_OK)
        status = fail(s, c, why.message, err);
    kal_buf_release(&answer);
    return status;
}

/* What others put there, and is no key of ours, is not ours to show. */
static kal_status take_page(const s3_store *s, const kal_s3_page *page, kal_bytes prefix,
                            kal_arena *arena, kal_object_vec *objects, kal_error *err)
{
    size_t skip = s->target.location.prefix.len;
    skip += skip > 0; /* and its '/' */

    for (size_t i = 0; i < page->count; i++) {
        kal_bytes key = page->keys[i];
        if (!kal_bytes_starts_with(key, prefix) || key.len <= skip)
            continue;
        key = kal_bytes_of(key.ptr + skip, key.len - skip);
        if (kal_object_key_check(key, NULL) == KAL_OK)
            KAL_TRY(kal_object_vec_add(objects, arena, key, page->sizes[i], err));
    }
    return KAL_OK;
}

static kal_status list_page(const s3_store *s, kal_bytes prefix, kal_bytes token, kal_arena *arena,
                            kal_s3_page *page, kal_error *err)
{
    call c; /* owned */

    call_init_bucket(&c, s, "list", "GET");
    add_query(&c, "list-type", KAL_STR("2"));
    add_query(&c, "encoding-type", KAL_STR("url"));
    add_query(&c, "prefix", prefix);
    if (token.len > 0)
        add_query(&c, "continuation-token", token);
    kal_status status = get_page(s, &c, arena, page, err);
    if (status == KAL_OK && page->count > 0 && page->sizes == NULL)
        status = fail(s, &c, "the answer is no listing of objects", err);
    call_release(&c);
    return status;
}

static kal_status s3_list(kal_object_store *store, kal_bytes prefix, kal_arena *arena,
                          kal_object_vec *objects, kal_error *err)
{
    const s3_store *s = s3_of(store);
    kal_s3_page page = {.is_truncated = true};
    kal_status status = KAL_OK;
    kal_buf whole; /* owned */

    kal_buf_init(&whole, NULL);
    append_key(s, prefix, &whole);
    for (unsigned i = 0; i < PAGES_MAX && page.is_truncated && status == KAL_OK; i++) {
        status = list_page(s, kal_buf_bytes(&whole), page.next, arena, &page, err);
        if (status == KAL_OK)
            status = take_page(s, &page, kal_buf_bytes(&whole), arena, objects, err);
    }
    kal_buf_release(&whole);
    return status;
}

/* ---- deleting ---- */

/* What a crash left of sending this object. As well as possible: whoever may delete objects may not
 * always list uploads, and not every server can. */
static void abort_uploads(const s3_store *s, kal_bytes key)
{
    kal_s3_page page = {0};
    kal_arena arena; /* owned */
    kal_buf whole;   /* owned */
    call c;          /* owned */

    kal_arena_init(&arena, NULL);
    kal_buf_init(&whole, NULL);
    append_key(s, key, &whole);
    call_init_bucket(&c, s, "list the uploads of", "GET");
    add_query(&c, "uploads", KAL_STR(""));
    add_query(&c, "encoding-type", KAL_STR("url"));
    add_query(&c, "prefix", kal_buf_bytes(&whole));
    if (get_page(s, &c, &arena, &page, NULL) == KAL_OK && page.upload_ids != NULL) {
        for (size_t i = 0; i < page.count; i++) {
            if (kal_bytes_equal(page.keys[i], kal_buf_bytes(&whole)) &&
                abort_upload(s, key, page.upload_ids[i]) != KAL_OK)
                break;
        }
    }
    call_release(&c);
    kal_buf_release(&whole);
    kal_arena_release(&arena);
}

static kal_status s3_remove(kal_object_store *store, kal_bytes key, kal_error *err)
{
    s3_store *s = s3_of(store);
    call c; /* owned */

    call_init(&c, s, "delete", "DELETE", key);
    kal_status status = perform(s, &c, err);
    if (status == KAL_OK && c.response.http_status / 100 != 2 && !is_missing(&c))
        status = fail(s, &c, NULL, err);
    call_release(&c);
    if (status == KAL_OK)
        abort_uploads(s, key);
    return status;
}

/* ---- the rest ---- */

static kal_status s3_space(kal_object_store *store, kal_object_space *space_out, kal_error *err)
{
    (void)store;
    *space_out = (kal_object_space){0};
    return kal_error_set(err, KAL_UNSUPPORTED, "a bucket does not say how much space it has");
}

static void s3_close(kal_object_store *store)
{
    s3_store *s = s3_of(store);
    kal_bytes secret = s->target.credentials.secret_access_key;

    kal_digest_forget((void *)(uintptr_t)secret.ptr, secret.len); /* our own copy */
    kal_arena_release(&s->arena);
    free(s);
}

static const kal_object_ops S3_OPS = {
    .put = s3_put,
    .put_file = s3_put_file,
    .get = s3_get,
    .size = s3_size,
    .list = s3_list,
    .remove = s3_remove,
    .space = s3_space,
    .close = s3_close,
};

kal_object_store *kal_object_store_open_s3(kal_s3_client *client, const kal_s3_target *target,
                                           uint64_t part_bytes)
{
    s3_store *s = calloc(1, sizeof *s);

    if (s == NULL)
        kal_die("out of memory: S3");
    s->base.ops = &S3_OPS;
    s->client = client;
    s->part_bytes = part_bytes == 0 ? KAL_S3_PART_BYTES_DEFAULT : part_bytes;
    kal_arena_init(&s->arena, NULL);
    s->target.location = (kal_s3_location){
        .endpoint = kal_arena_copy(&s->arena, target->location.endpoint),
        .region = kal_arena_copy(&s->arena, target->location.region),
        .bucket = kal_arena_copy(&s->arena, target->location.bucket),
        .prefix = kal_arena_copy(&s->arena, target->location.prefix),
    };
    s->target.credentials = (kal_sigv4_credentials){
        .access_key_id = kal_arena_copy(&s->arena, target->credentials.access_key_id),
        .secret_access_key = kal_arena_copy(&s->arena, target->credentials.secret_access_key),
        .session_token = kal_arena_copy(&s->arena, target->credentials.session_token),
    };
    return &s->base;
}
