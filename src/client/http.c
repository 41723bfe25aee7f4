/*
 * http.c: the only file that includes <curl/curl.h>; its error codes end here.
 */
#include "client/http.h"

#include "base/assert.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECT_TIMEOUT_MS 5000u
#define REPLY_LIMIT_BYTES  (256u * 1024u * 1024u)

struct kal_http {
    CURL *curl;       /* owned */
    char *url;        /* owned */
    char *target;     /* owned, the URL of the last request */
    size_t limit;     /* bytes of a reply */
    kal_buf *reply;   /* borrowed, during a request */
    bool reply_large; /* the reply exceeded the limit */
    const volatile sig_atomic_t *cancel;
    char error_text[CURL_ERROR_SIZE];
};

static size_t on_body(char *bytes, size_t one, size_t len, void *context)
{
    kal_http *http = context;
    (void)one; /* always 1 */
    if (len > http->limit - http->reply->len || !kal_buf_reserve(http->reply, len)) {
        http->reply_large = true;
        return 0; /* ends the transfer */
    }
    kal_buf_append(http->reply, bytes, len);
    return len;
}

static int on_progress(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    const kal_http *http = context;
    (void)down_total, (void)down, (void)up_total, (void)up;
    return http->cancel != NULL && *http->cancel != 0; /* not 0 ends the transfer */
}

static char *copy_url(const char *url)
{
    size_t len = strlen(url);
    while (len > 0 && url[len - 1] == '/')
        len--;
    char *copy = strndup(url, len);
    if (copy == NULL)
        kal_die("out of memory");
    return copy;
}

static kal_status check_url(const char *url, kal_error *err)
{
    kal_bytes text = kal_cstr(url);
    size_t scheme = kal_bytes_starts_with(text, KAL_STR("http://"))    ? 7
                    : kal_bytes_starts_with(text, KAL_STR("https://")) ? 8
                                                                       : 0;
    if (scheme > 0 && text.len > scheme && strpbrk(url, " \t\r\n") == NULL)
        return KAL_OK;
    kal_error_set(err, KAL_INVALID, "'%.200s' is not the URL of a server", url);
    kal_error_hint(err, "a URL looks like http://127.0.0.1:8080");
    return KAL_INVALID;
}

kal_status kal_http_open(const kal_http_options *options, kal_http **http_out, kal_error *err)
{
    *http_out = NULL;
    KAL_TRY(check_url(options->url, err));
    kal_http *http = calloc(1, sizeof *http);
    if (http == NULL)
        kal_die("out of memory");
    http->curl = curl_easy_init();
    if (http->curl == NULL) {
        free(http);
        return kal_error_set(err, KAL_INTERNAL, "cannot start the HTTP client");
    }
    http->url = copy_url(options->url);
    http->limit = options->reply_limit_bytes == 0 ? REPLY_LIMIT_BYTES : options->reply_limit_bytes;
    http->cancel = options->cancel;

    CURL *curl = http->curl;
    uint64_t connect_ms =
        options->connect_timeout_ms == 0 ? CONNECT_TIMEOUT_MS : options->connect_timeout_ms;
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)options->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, http->error_text);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "kalam/" KAL_VERSION);
    /* A proxy from the environment must not see what stays on this machine. */
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, http);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, http);
    *http_out = http;
    return KAL_OK;
}

void kal_http_close(kal_http *http)
{
    if (http == NULL)
        return;
    curl_easy_cleanup(http->curl);
    free(http->url);
    free(http->target);
    free(http);
}

const char *kal_http_url(const kal_http *http)
{
    return http->url;
}

static struct curl_slist *add_header(struct curl_slist *headers, const char *text)
{
    struct curl_slist *longer = curl_slist_append(headers, text);
    if (longer == NULL)
        kal_die("out of memory");
    return longer;
}

static kal_status transfer_error(kal_http *http, CURLcode code, kal_error *err)
{
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return kal_error_set(err, KAL_CANCELLED, "cancelled");
    if (code == CURLE_WRITE_ERROR && http->reply_large)
        return kal_error_set(err, KAL_LIMIT, "the reply exceeds %zu MiB", http->limit >> 20);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return kal_error_set(err, KAL_TIMEOUT, "the server at '%.200s' did not answer in time",
                             http->url);
    const char *reason = http->error_text[0] != '\0' ? http->error_text : curl_easy_strerror(code);
    if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST) {
        kal_error_set(err, KAL_IO, "cannot connect to '%.200s': %s", http->url, reason);
        kal_error_hint(err, "is the server running? ./run starts it; --url names another one");
        return KAL_IO;
    }
    return kal_error_set(err, KAL_IO, "the connection to '%.200s' failed: %s", http->url, reason);
}

static void set_target(kal_http *http, const char *path)
{
    free(http->target);
    if (asprintf(&http->target, "%s%s", http->url, path) < 0)
        kal_die("out of memory");
    curl_easy_setopt(http->curl, CURLOPT_URL, http->target);
}

kal_status kal_http_send(kal_http *http, const char *path, const char *token, const kal_bytes *body,
                         kal_buf *reply_out, int *code_out, kal_error *err)
{
    CURL *curl = http->curl;
    struct curl_slist *headers = NULL; /* owned */
    char *authorization = NULL;        /* owned */
    *code_out = 0;
    KAL_ASSERT(reply_out->len <= http->limit);

    set_target(http, path);
    if (body == NULL) {
        curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    } else {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->len == 0 ? "" : (const char *)body->ptr);
        headers = add_header(headers, "Content-Type: application/json");
        /* Without this a large body waits for "100 Continue" first. */
        headers = add_header(headers, "Expect:");
    }
    headers = add_header(headers, "Accept: application/json");
    if (token != NULL) {
        if (asprintf(&authorization, "Authorization: Bearer %s", token) < 0)
            kal_die("out of memory");
        headers = add_header(headers, authorization);
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    http->reply = reply_out;
    http->reply_large = false;
    http->error_text[0] = '\0';

    CURLcode code = curl_easy_perform(curl);

    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    free(authorization);
    http->reply = NULL;
    if (code != CURLE_OK)
        return transfer_error(http, code, err);
    long http_code = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &http_code);
    *code_out = (int)http_code;
    return KAL_OK;
}
