/*
 * s3_xml.c: expat calls back for each element; what counts is the path of names from the root.
 */
#include "storage/s3_xml.h"
#include "base/assert.h"
#include "base/vec.h"

#include <expat.h>
#include <stdio.h>

enum { PATH_BYTES = 256 };

typedef struct page_reader {
    XML_Parser parser;
    kal_arena *arena;
    size_t depth;
    char path[PATH_BYTES]; /* "ListBucketResult/Contents/Key" */
    size_t path_len;
    size_t lens[KAL_S3_XML_DEPTH_MAX]; /* of the path above each element */
    kal_buf text;                      /* owned: of the innermost element */
    const char *failed;                /* why; NULL: not */
    bool out_of_memory;

    KAL_VEC(kal_bytes) keys; /* all in the arena */
    KAL_VEC(uint64_t) sizes;
    KAL_VEC(kal_bytes) upload_ids;
    bool url_encoded;
    bool is_truncated;
    kal_bytes next;
    kal_bytes upload_id;
    kal_bytes code;
} page_reader;

static void fail(page_reader *r, const char *reason)
{
    if (r->failed == NULL)
        r->failed = reason;
    XML_StopParser(r->parser, XML_FALSE);
}

/* "http://s3.amazonaws.com/doc/2006-03-01/|Key": the namespace is not looked at. */
static const char *local_name(const char *name)
{
    const char *bar = strrchr(name, '|');
    return bar == NULL ? name : bar + 1;
}

static void on_start(void *context, const XML_Char *name, const XML_Char **attributes)
{
    page_reader *r = context;
    const char *local = local_name(name);

    (void)attributes;
    if (r->depth == KAL_S3_XML_DEPTH_MAX) {
        fail(r, "the answer is nested too deeply");
        return;
    }
    r->lens[r->depth++] = r->path_len;
    int added = snprintf(r->path + r->path_len, PATH_BYTES - r->path_len, "%s%s",
                         r->depth == 1 ? "" : "/", local);
    if (added < 0 || (size_t)added >= PATH_BYTES - r->path_len)
        fail(r, "a name in the answer is too long");
    else
        r->path_len += (size_t)added;
    kal_buf_clear(&r->text);
}

static void on_text(void *context, const XML_Char *text, int len)
{
    page_reader *r = context;
    if (r->text.len + (size_t)len > KAL_S3_XML_TEXT_MAX)
        fail(r, "a text in the answer is too long");
    else
        kal_buf_append(&r->text, text, (size_t)len);
}

static void on_doctype(void *context, const XML_Char *name, const XML_Char *system,
                       const XML_Char *public, int has_subset)
{
    (void)name;
    (void)system;
    (void)public;
    (void)has_subset;
    fail(context, "the answer has a document type");
}

static bool text_is(const page_reader *r, const char *text)
{
    return kal_bytes_equal(kal_buf_bytes(&r->text), kal_cstr(text));
}

static void keep(page_reader *r, kal_bytes *out)
{
    if (!kal_arena_try_copy(r->arena, kal_buf_bytes(&r->text), out))
        r->out_of_memory = true;
}

#define KEEP_IN(r, vec)                                                                            \
    do {                                                                                           \
        kal_bytes kept_ = {0};                                                                     \
        keep((r), &kept_);                                                                         \
        if (!kal_vec_try_push_in((r)->arena, (vec), kept_))                                        \
            (r)->out_of_memory = true;                                                             \
    } while (0)

static void take_size(page_reader *r)
{
    uint64_t size = 0;

    for (size_t i = 0; i < r->text.len; i++) {
        uint8_t c = r->text.ptr[i];
        if (c < '0' || c > '9' || size > (UINT64_MAX - 9) / 10) {
            fail(r, "a size in the answer is no number");
            return;
        }
        size = size * 10 + (uint64_t)(c - '0');
    }
    if (!kal_vec_try_push_in(r->arena, &r->sizes, size))
        r->out_of_memory = true;
}

static bool path_is(const page_reader *r, const char *path)
{
    return strcmp(r->path, path) == 0;
}

static void take_element(page_reader *r)
{
    if (path_is(r, "ListBucketResult/Contents/Key") ||
        path_is(r, "ListMultipartUploadsResult/Upload/Key"))
        KEEP_IN(r, &r->keys);
    else if (path_is(r, "ListBucketResult/Contents/Size"))
        take_size(r);
    else if (path_is(r, "ListMultipartUploadsResult/Upload/UploadId"))
        KEEP_IN(r, &r->upload_ids);
    else if (path_is(r, "ListBucketResult/IsTruncated") ||
             path_is(r, "ListMultipartUploadsResult/IsTruncated"))
        r->is_truncated = text_is(r, "true");
    else if (path_is(r, "ListBucketResult/NextContinuationToken"))
        keep(r, &r->next);
    else if (path_is(r, "ListBucketResult/EncodingType") ||
             path_is(r, "ListMultipartUploadsResult/EncodingType"))
        r->url_encoded = text_is(r, "url");
    else if (path_is(r, "InitiateMultipartUploadResult/UploadId"))
        keep(r, &r->upload_id);
    else if (path_is(r, "Error/Code"))
        keep(r, &r->code);
}

static void on_end(void *context, const XML_Char *name)
{
    page_reader *r = context;

    (void)name;
    take_element(r);
    if (r->out_of_memory)
        fail(r, "out of memory");
    kal_buf_clear(&r->text);
    r->path_len = r->lens[--r->depth];
    r->path[r->path_len] = '\0';
}

/* While an upload is completed, blanks are sent to keep the connection, before the document too. */
static kal_bytes without_blanks(kal_bytes text)
{
    while (text.len > 0 && memchr(" \t\r\n", text.ptr[0], 4) != NULL)
        text = kal_bytes_of(text.ptr + 1, text.len - 1);
    return text;
}

static kal_status read_xml(kal_bytes text, kal_arena *arena, page_reader *r, kal_error *err)
{
    kal_bytes document = without_blanks(text);

    *r = (page_reader){.arena = arena};
    if (document.len > KAL_S3_XML_BYTES_MAX)
        return kal_error_set(err, KAL_IO, "the answer is too long");
    r->parser = XML_ParserCreateNS("UTF-8", '|');
    if (r->parser == NULL)
        kal_die("out of memory: XML");
    kal_buf_init(&r->text, NULL);
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, on_start, on_end);
    XML_SetCharacterDataHandler(r->parser, on_text);
    XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
    bool whole = XML_Parse(r->parser, (const char *)document.ptr, (int)document.len, XML_TRUE) ==
                 XML_STATUS_OK;
    if (!whole && r->failed == NULL)
        r->failed = "the answer is not well formed";
    XML_ParserFree(r->parser);
    r->parser = NULL;
    kal_buf_release(&r->text);
    if (r->out_of_memory)
        return kal_error_set(err, KAL_LIMIT, "the listing exceeds the memory it may take");
    return r->failed == NULL ? KAL_OK : kal_error_set(err, KAL_IO, "%s", r->failed);
}

/* ---- what is read ---- */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* encoding-type=url, in place of a copy in the arena. */
static kal_status decode_key(kal_arena *arena, kal_bytes *key, kal_error *err)
{
    kal_bytes copy = {0};
    size_t len = 0;

    if (key->len == 0)
        return KAL_OK;
    if (!kal_arena_try_copy(arena, *key, &copy))
        return kal_error_set(err, KAL_LIMIT, "the listing exceeds the memory it may take");
    uint8_t *out = (uint8_t *)(uintptr_t)copy.ptr; /* our own copy */
    for (size_t i = 0; i < key->len; i++) {
        uint8_t c = key->ptr[i];
        int high = c == '%' && i + 2 < key->len ? hex_digit(key->ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(key->ptr[i + 2]) : -1;
        if (c == '%' && low < 0)
            return kal_error_set(err, KAL_IO, "a key in the answer is not encoded as it says");
        if (c == '%') {
            c = (uint8_t)(high << 4 | low);
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        out[len++] = c;
    }
    *key = kal_bytes_of(out, len);
    return KAL_OK;
}

kal_status kal_s3_xml_page(kal_bytes text, kal_arena *arena, kal_s3_page *out, kal_error *err)
{
    page_reader r;

    *out = (kal_s3_page){0};
    KAL_TRY(read_xml(text, arena, &r, err));
    if (r.sizes.len != r.keys.len && r.upload_ids.len != r.keys.len)
        return kal_error_set(err, KAL_IO, "the answer is no listing");
    for (size_t i = 0; i < r.keys.len && r.url_encoded; i++)
        KAL_TRY(decode_key(arena, &r.keys.items[i], err));
    *out = (kal_s3_page){
        .keys = r.keys.items,
        .sizes = r.sizes.len == r.keys.len ? r.sizes.items : NULL,
        .upload_ids = r.upload_ids.len == r.keys.len ? r.upload_ids.items : NULL,
        .count = r.keys.len,
        .is_truncated = r.is_truncated,
        .next = r.next,
    };
    if (out->is_truncated && r.sizes.len > 0 && out->next.len == 0)
        return kal_error_set(err, KAL_IO, "the answer does not say how the listing goes on");
    return KAL_OK;
}

kal_status kal_s3_xml_upload_id(kal_bytes text, kal_arena *arena, kal_bytes *out, kal_error *err)
{
    page_reader r;

    KAL_TRY(read_xml(text, arena, &r, err));
    *out = r.upload_id;
    return r.upload_id.len > 0 ? KAL_OK : kal_error_set(err, KAL_IO, "the answer names no upload");
}

static bool is_code(kal_bytes code)
{
    for (size_t i = 0; i < code.len; i++) {
        uint8_t c = code.ptr[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!letter && !(c >= '0' && c <= '9') && c != '.')
            return false;
    }
    return code.len <= 64;
}

void kal_s3_xml_error_code(kal_bytes text, char out[65])
{
    page_reader r;
    kal_arena arena; /* owned */

    out[0] = '\0';
    if (text.len == 0)
        return;
    kal_arena_init(&arena, NULL);
    if (read_xml(text, &arena, &r, NULL) == KAL_OK && is_code(r.code))
        snprintf(out, 65, "%.*s", KAL_FMT(r.code));
    kal_arena_release(&arena);
}
