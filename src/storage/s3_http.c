#include "storage/s3_http.h"
#include "base/assert.h"
#include "base/rng.h"
#include "base/thread.h"
#include "base/vec.h"
#include "storage/s3_xml.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

enum {
    IDLE_MAX = 16,
    ERROR_BODY_MAX = 64 * 1024,
    HEADERS_MAX = 8,
    PAUSE_MS_MAX = 5000,
    SLEEP_MS = 20,
    STALL_BYTES_PER_SECOND = 1024,
    HTTP_REQUEST_TIMEOUT = 408,
    HTTP_TOO_MANY = 429,
};

struct kal_s3_client {
    kal_s3_client_options options;
    _Atomic uint64_t requests;
    _Atomic uint64_t retries;
    _Atomic uint64_t failures;
    _Atomic uint64_t running;
    pthread_mutex_t lock;
    CURL *idle[IDLE_MAX]; /* owned; each with its connection */
    size_t idle_count;
};

/* ---- the client ---- */

static void init_curl(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        kal_die("libcurl does not start");
}

kal_s3_client *kal_s3_client_open(const kal_s3_client_options *options)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    kal_s3_client *c = calloc(1, sizeof *c);

    if (c == NULL)
        kal_die("out of memory: S3");
    pthread_once(&once, init_curl);
    c->options = *options;
    if (c->options.connect_ms == 0)
        c->options.connect_ms = 5000;
    if (c->options.stall_ms == 0)
        c->options.stall_ms = 15000;
    if (c->options.attempts_max == 0)
        c->options.attempts_max = 4;
    if (c->options.pause_ms == 0)
        c->options.pause_ms = 100;
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void kal_s3_client_close(kal_s3_client *client)
{
    if (client == NULL)
        return;
    KAL_ASSERT(atomic_load(&client->running) == 0);
    for (size_t i = 0; i < client->idle_count; i++)
        curl_easy_cleanup(client->idle[i]);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

kal_s3_counts kal_s3_client_counts(kal_s3_client *client)
{
    return (kal_s3_counts){atomic_load(&client->requests), atomic_load(&client->retries),
                           atomic_load(&client->failures)};
}

static CURL *take_handle(kal_s3_client *client)
{
    CURL *handle = NULL;

    pthread_mutex_lock(&client->lock);
    if (client->idle_count > 0)
        handle = client->idle[--client->idle_count];
    pthread_mutex_unlock(&client->lock);
    if (handle == NULL)
        handle = curl_easy_init();
    if (handle == NULL)
        kal_die("out of memory: S3");
    curl_easy_reset(handle); /* options only: the connection stays */
    return handle;
}

static void give_handle(kal_s3_client *client, CURL *handle)
{
    curl_easy_reset(handle); /* no pointer to what ends now, no header with a token */
    pthread_mutex_lock(&client->lock);
    if (client->idle_count < IDLE_MAX) {
        client->idle[client->idle_count++] = handle;
        handle = NULL;
    }
    pthread_mutex_unlock(&client->lock);
    curl_easy_cleanup(handle);
}

/* ---- one attempt ---- */

typedef struct attempt {
    kal_s3_client *client;
    const kal_s3_request *request;
    const kal_object_poll *poll;
    kal_s3_response *response;
    CURL *curl;
    kal_buf error_body; /* owned */
    uint64_t sent;
    kal_status stopped; /* by what we said in a callback; KAL_OK: by nothing */
    kal_error why;      /* of that */
    char text[CURL_ERROR_SIZE];
} attempt;

static bool go_on(attempt *a)
{
    const kal_object_poll *of_all = a->client->options.poll;

    if (of_all != NULL)
        a->stopped = of_all->go_on(of_all->context, &a->why);
    if (a->stopped == KAL_OK && a->poll != NULL)
        a->stopped = a->poll->go_on(a->poll->context, &a->why);
    return a->stopped == KAL_OK;
}

static int on_progress(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    return go_on(context) ? 0 : 1;
}

static bool take_to_out(attempt *a, kal_bytes piece)
{
    const kal_s3_request *r = a->request;

    if (r->out == NULL)
        return true;
    if (piece.len > r->out_max || r->out->len > r->out_max - piece.len) {
        a->stopped = kal_error_set(&a->why, KAL_IO, "more was sent than was asked for");
        return false;
    }
    kal_buf_append_bytes(r->out, piece);
    if (kal_buf_failed(r->out))
        a->stopped = kal_error_set(&a->why, KAL_LIMIT, "the object exceeds the memory it may take");
    return a->stopped == KAL_OK;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    attempt *a = context;
    kal_bytes piece = kal_bytes_of(data, size * count);
    long status = 0;

    curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status / 100 == 2)
        return take_to_out(a, piece) ? piece.len : 0;
    if (a->error_body.len + piece.len <= ERROR_BODY_MAX)
        kal_buf_append_bytes(&a->error_body, piece);
    return piece.len;
}

static bool header_value(kal_bytes line, const char *name, kal_bytes *out)
{
    size_t len = strlen(name);

    if (line.len <= len || line.ptr[len] != ':' ||
        strncasecmp((const char *)line.ptr, name, len) != 0)
        return false;
    kal_bytes value = kal_bytes_of(line.ptr + len + 1, line.len - len - 1);
    while (value.len > 0 && (value.ptr[0] == ' ' || value.ptr[0] == '\t'))
        value = kal_bytes_of(value.ptr + 1, value.len - 1);
    while (value.len > 0 && value.ptr[value.len - 1] <= ' ')
        value.len--;
    *out = value;
    return true;
}

static bool take_number(kal_bytes *text, uint64_t *out)
{
    size_t i = 0;

    *out = 0;
    for (; i < text->len && text->ptr[i] >= '0' && text->ptr[i] <= '9'; i++) {
        if (*out > (UINT64_MAX - 9) / 10)
            return false;
        *out = *out * 10 + (uint64_t)(text->ptr[i] - '0');
    }
    *text = kal_bytes_of(text->ptr + i, text->len - i);
    return i > 0;
}

/* bytes 0-9/100 */
static bool parse_range(kal_bytes text, kal_s3_response *r)
{
    const kal_bytes unit = KAL_STR("bytes ");

    if (!kal_bytes_starts_with(text, unit))
        return false;
    text = kal_bytes_of(text.ptr + unit.len, text.len - unit.len);
    if (!take_number(&text, &r->range_first) || text.len == 0 || text.ptr[0] != '-')
        return false;
    text = kal_bytes_of(text.ptr + 1, text.len - 1);
    return take_number(&text, &r->range_last) && r->range_last >= r->range_first &&
           r->range_last < UINT64_MAX;
}

static size_t on_header(char *data, size_t size, size_t count, void *context)
{
    attempt *a = context;
    kal_s3_response *r = a->response;
    kal_bytes line = kal_bytes_of(data, size * count);
    kal_bytes value;

    if (header_value(line, "etag", &value) && value.len < sizeof r->etag &&
        memchr(value.ptr, 0, value.len) == NULL)
        snprintf(r->etag, sizeof r->etag, "%.*s", KAL_FMT(value));
    else if (header_value(line, "content-length", &value))
        r->has_length = take_number(&value, &r->length) && value.len == 0;
    else if (header_value(line, "content-range", &value))
        r->has_range = parse_range(value, r);
    return line.len;
}

static size_t on_upload(char *data, size_t size, size_t count, void *context)
{
    attempt *a = context;
    const kal_s3_request *r = a->request;
    uint64_t total = r->fd >= 0 ? r->file_len : r->content.len;
    size_t len = size * count;

    if (len > total - a->sent)
        len = (size_t)(total - a->sent);
    if (r->fd < 0) {
        if (len > 0)
            memcpy(data, r->content.ptr + a->sent, len);
    } else if (len > 0) {
        ssize_t got = -1;
        do
            got = pread(r->fd, data, len, (off_t)(r->file_offset + a->sent));
        while (got < 0 && errno == EINTR);
        if (got <= 0) {
            a->stopped = kal_error_set(&a->why, KAL_IO, "cannot read the file to be sent: %s",
                                       got < 0 ? strerror(errno) : "it became shorter");
            return CURL_READFUNC_ABORT;
        }
        len = (size_t)got;
    }
    a->sent += len;
    return len;
}

/* A connection may have been closed while it was idle: libcurl wants to begin again. */
static int on_seek(void *context, curl_off_t offset, int origin)
{
    attempt *a = context;
    if (origin != SEEK_SET || offset < 0)
        return CURL_SEEKFUNC_CANTSEEK;
    a->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* ---- headers and URL ---- */

static void hash_file(const kal_s3_request *r, char hex[KAL_DIGEST_HEX_LEN + 1])
{
    enum { PIECE = 64 * 1024 };
    uint8_t *piece = malloc(PIECE); /* owned */
    kal_digest digest;

    if (piece == NULL)
        kal_die("out of memory: S3");
    kal_digest_init(&digest);
    for (uint64_t at = 0; at < r->file_len;) {
        size_t len = r->file_len - at < PIECE ? (size_t)(r->file_len - at) : PIECE;
        ssize_t got = pread(r->fd, piece, len, (off_t)(r->file_offset + at));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break; /* sending it will say so */
        kal_digest_add(&digest, kal_bytes_of(piece, (size_t)got));
        at += (uint64_t)got;
    }
    kal_digest_hex(&digest, hex);
    free(piece);
}

static struct curl_slist *add_line(struct curl_slist *list, kal_bytes name, kal_bytes value)
{
    kal_buf line; /* owned */

    kal_buf_init(&line, NULL);
    kal_buf_append_bytes(&line, name);
    kal_buf_append_cstr(&line, ": ");
    kal_buf_append_bytes(&line, value);
    kal_buf_append_byte(&line, '\0');
    struct curl_slist *longer = curl_slist_append(list, (const char *)line.ptr);
    kal_buf_release(&line);
    if (longer == NULL)
        kal_die("out of memory: S3");
    return longer;
}

/* host[:port], as the header Host says it. */
static kal_bytes host_of(kal_bytes endpoint)
{
    const uint8_t *colon = memchr(endpoint.ptr, ':', endpoint.len);
    size_t start = (size_t)(colon - endpoint.ptr) + strlen("://");
    return kal_bytes_of(endpoint.ptr + start, endpoint.len - start);
}

/* Signed as of now. What libcurl would add by itself is taken away. */
static struct curl_slist *make_headers(const kal_s3_client *client, const kal_s3_target *target,
                                       const kal_s3_request *r, const char *sha256)
{
    char time[KAL_SIGV4_TIME_LEN + 1];
    kal_sigv4_field headers[HEADERS_MAX];
    size_t count = 0;
    kal_buf authorization; /* owned */
    struct curl_slist *list = NULL;

    kal_sigv4_time(kal_clock_wall_us(client->options.clock), time);
    headers[count++] = (kal_sigv4_field){KAL_STR("host"), host_of(target->location.endpoint)};
    headers[count++] = (kal_sigv4_field){KAL_STR("x-amz-date"), kal_cstr(time)};
    headers[count++] = (kal_sigv4_field){KAL_STR("x-amz-content-sha256"), kal_cstr(sha256)};
    if (target->credentials.session_token.len > 0)
        headers[count++] =
            (kal_sigv4_field){KAL_STR("x-amz-security-token"), target->credentials.session_token};
    if (r->range.len > 0)
        headers[count++] = (kal_sigv4_field){KAL_STR("range"), r->range};
    const kal_sigv4_request signing = {
        .method = r->method,
        .path = r->path,
        .query = r->query,
        .query_count = r->query_count,
        .headers = headers,
        .header_count = count,
        .payload_sha256 = sha256,
        .time = time,
        .region = target->location.region,
        .service = KAL_STR("s3"),
    };
    kal_buf_init(&authorization, NULL);
    kal_sigv4_authorization(&signing, &target->credentials, &authorization);
    list = add_line(list, KAL_STR("Authorization"), kal_buf_bytes(&authorization));
    kal_buf_release(&authorization);
    for (size_t i = 0; i < count; i++)
        list = add_line(list, headers[i].name, headers[i].value);
    struct curl_slist *bare = curl_slist_append(list, "Expect:");
    bare = bare == NULL ? NULL : curl_slist_append(bare, "Accept:");
    bare = bare == NULL ? NULL : curl_slist_append(bare, "Content-Type:");
    if (bare == NULL)
        kal_die("out of memory: S3");
    return list;
}

static void make_url(const kal_s3_target *target, const kal_s3_request *r, kal_buf *url)
{
    kal_buf_append_bytes(url, target->location.endpoint);
    kal_sigv4_encode(r->path, true, url);
    if (r->query_count > 0) {
        kal_buf_append_byte(url, '?');
        kal_sigv4_query(r->query, r->query_count, url);
    }
    kal_buf_append_byte(url, '\0');
}

/* ---- performing ---- */

static bool has_body(const kal_s3_request *r)
{
    return strcmp(r->method, "PUT") == 0 || strcmp(r->method, "POST") == 0;
}

static void set_options(attempt *a, const char *url, struct curl_slist *headers)
{
    const kal_s3_client_options *o = &a->client->options;
    const kal_s3_request *r = a->request;
    CURL *curl = a->curl;

    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L); /* it is signed as it is */
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)o->connect_ms);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES_PER_SECOND);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)((o->stall_ms + 999) / 1000));
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, a->text);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, a);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, a);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, a);
    if (strcmp(r->method, "HEAD") == 0)
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    if (!has_body(r)) {
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, r->method);
        return;
    }
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, r->method);
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE,
                     (curl_off_t)(r->fd >= 0 ? r->file_len : r->content.len));
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_upload);
    curl_easy_setopt(curl, CURLOPT_READDATA, a);
    curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(curl, CURLOPT_SEEKDATA, a);
}

static CURLcode run_attempt(attempt *a, const kal_s3_target *target, const char *sha256)
{
    struct curl_slist *headers = make_headers(a->client, target, a->request, sha256); /* owned */
    kal_buf url;                                                                      /* owned */

    kal_buf_init(&url, NULL);
    make_url(target, a->request, &url);
    *a->response = (kal_s3_response){0};
    a->sent = 0;
    a->text[0] = '\0';
    kal_buf_clear(&a->error_body);
    set_options(a, (const char *)url.ptr, headers);
    CURLcode code = curl_easy_perform(a->curl);
    curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &a->response->http_status);
    if (a->response->http_status / 100 != 2)
        kal_s3_xml_error_code(kal_buf_bytes(&a->error_body), a->response->code);
    curl_slist_free_all(headers);
    kal_buf_release(&url);
    return code;
}

/* ---- again, or what went wrong ---- */

static bool may_pass(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2:
        return true;
    default:
        return false;
    }
}

static bool is_passing_answer(const kal_s3_response *r)
{
    return r->http_status == HTTP_TOO_MANY || r->http_status == HTTP_REQUEST_TIMEOUT ||
           (r->http_status >= 500 && r->http_status != 501) ||
           strcmp(r->code, "RequestTimeout") == 0 || strcmp(r->code, "SlowDown") == 0;
}

/* Half of it and a random share of the other half. False: told to stop. */
static bool pause_before(attempt *a, unsigned tried)
{
    uint64_t ms = a->client->options.pause_ms;
    uint32_t chance = 0;

    for (unsigned i = 1; i < tried && ms < PAUSE_MS_MAX; i++)
        ms *= 4;
    if (ms > PAUSE_MS_MAX)
        ms = PAUSE_MS_MAX;
    kal_random_bytes(&chance, sizeof chance);
    ms = ms / 2 + chance % (ms / 2 + 1);
    for (uint64_t slept = 0; slept < ms; slept += SLEEP_MS) {
        if (!go_on(a))
            return false;
        kal_thread_pause(SLEEP_MS);
    }
    return go_on(a);
}

static void append_subject(const kal_s3_target *target, const kal_s3_request *r, char *out,
                           size_t len)
{
    const kal_s3_location *l = &target->location;
    if (r->object.len > 0)
        snprintf(out, len, "object '%.*s' in bucket '%.*s' at %.*s",
                 (int)(r->object.len < 200 ? r->object.len : 200), (const char *)r->object.ptr,
                 KAL_FMT(l->bucket), KAL_FMT(l->endpoint));
    else
        snprintf(out, len, "bucket '%.*s' at %.*s", KAL_FMT(l->bucket), KAL_FMT(l->endpoint));
}

static void add_hint(const kal_s3_response *response, kal_error *err)
{
    static const char *const HINTS[][2] = {
        {"SignatureDoesNotMatch", "the secret access key is wrong"},
        {"InvalidAccessKeyId", "the access key id is not known there"},
        {"RequestTimeTooSkewed", "the clock of this machine is wrong"},
        {"ExpiredToken", "ALTER STORAGE .. SET CREDENTIALS gives it a new session token"},
        {"PermanentRedirect", "the bucket is in another region: REGION"},
        {"AuthorizationHeaderMalformed", "the bucket is in another region: REGION"},
        {"NoSuchBucket", "the bucket must be there before the storage"},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(HINTS); i++) {
        if (strcmp(response->code, HINTS[i][0]) == 0)
            kal_error_hint(err, "%s", HINTS[i][1]);
    }
}

/* The server's message is not repeated: it may hold anything, also what was sent to it. */
kal_status kal_s3_fail(const kal_s3_target *target, const kal_s3_request *request,
                       const kal_s3_response *response, const char *reason, kal_error *err)
{
    char subject[420];

    append_subject(target, request, subject, sizeof subject);
    if (reason != NULL)
        return kal_error_set(err, KAL_IO, "cannot %s %s: %s", request->verb, subject, reason);
    if (response->code[0] != '\0')
        kal_error_set(err, KAL_IO, "cannot %s %s: %s (HTTP %ld)", request->verb, subject,
                      response->code, response->http_status);
    else
        kal_error_set(err, KAL_IO, "cannot %s %s: HTTP %ld", request->verb, subject,
                      response->http_status);
    add_hint(response, err);
    return KAL_IO;
}

static bool is_for_the_caller(const kal_s3_response *r)
{
    return r->http_status / 100 == 2 || r->http_status == 404 || r->http_status == 416;
}

static kal_status answer_of(attempt *a, const kal_s3_target *target, CURLcode code, kal_error *err)
{
    if (a->stopped == KAL_IO)
        return kal_s3_fail(target, a->request, a->response, a->why.message, err);
    if (a->stopped != KAL_OK) {
        if (err != NULL)
            *err = a->why;
        return a->stopped;
    }
    if (code != CURLE_OK)
        return kal_s3_fail(target, a->request, a->response,
                           a->text[0] != '\0' ? a->text : curl_easy_strerror(code), err);
    if (is_for_the_caller(a->response))
        return KAL_OK;
    return kal_s3_fail(target, a->request, a->response, NULL, err);
}

static kal_status try_often(attempt *a, const kal_s3_target *target, const char *sha256,
                            kal_error *err)
{
    kal_s3_client *client = a->client;
    size_t before = a->request->out == NULL ? 0 : a->request->out->len;
    CURLcode code = CURLE_OK;

    for (unsigned tried = 1;; tried++) {
        atomic_fetch_add(&client->requests, 1);
        code = run_attempt(a, target, sha256);
        bool again = a->stopped == KAL_OK && tried < client->options.attempts_max &&
                     (code == CURLE_OK ? is_passing_answer(a->response) : may_pass(code));
        if (a->request->out != NULL && (code != CURLE_OK || a->stopped != KAL_OK) &&
            !kal_buf_failed(a->request->out))
            kal_buf_truncate(a->request->out, before);
        if (!again || !pause_before(a, tried))
            break;
        atomic_fetch_add(&client->retries, 1);
    }
    return answer_of(a, target, code, err);
}

kal_status kal_s3_perform(kal_s3_client *client, const kal_s3_target *target,
                          const kal_object_poll *poll, const kal_s3_request *request,
                          kal_s3_response *out, kal_error *err)
{
    char sha256[KAL_DIGEST_HEX_LEN + 1];
    attempt a = {.client = client,
                 .request = request,
                 .poll = poll,
                 .response = out,
                 .stopped = KAL_OK,
                 .why = KAL_ERROR_INIT};

    *out = (kal_s3_response){0};
    atomic_fetch_add(&client->running, 1);
    if (request->fd >= 0)
        hash_file(request, sha256);
    else
        kal_digest_hex_of(request->content, sha256);
    a.curl = take_handle(client);
    kal_buf_init(&a.error_body, NULL);
    kal_status status =
        go_on(&a) ? try_often(&a, target, sha256, err) : answer_of(&a, target, CURLE_OK, err);
    kal_buf_release(&a.error_body);
    give_handle(client, a.curl);
    if (status != KAL_OK)
        atomic_fetch_add(&client->failures, 1);
    atomic_fetch_sub(&client->running, 1);
    return status;
}
