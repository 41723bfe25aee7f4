/*
 * http_codec.c: the reader is one small function per state; each either makes progress (true) or
 * needs more input (false). All offsets are relative to the message's first byte, so that moving
 * the message to the front of the buffer changes nothing but `start`.
 *
 *   AT_START -> IN_REQUEST_LINE -> IN_HEADERS -+-> COMPLETE
 *                                              +-> IN_FIXED_BODY -> COMPLETE
 *                                              '-> IN_CHUNK_SIZE -> IN_CHUNK_DATA -> IN_CHUNK_END
 *                                                     |    ^--------------------------'
 *                                                     '-> IN_TRAILERS -> COMPLETE
 *   any of them -> FAILED
 *
 * A chunked body is decoded in place: what was decoded lies behind the head, the bytes not yet
 * parsed are moved up behind it whenever the reader waits.
 */
#include "server/http_codec.h"
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    REQUEST_LINE_EXTRA = 32, /* room for method, blanks, version and CRLF beside the target */
    CHUNK_LINE_MAX = 256,    /* size and extensions of one chunk */
    CHUNK_DIGITS_MAX = 16,
    HEADERS_FIRST_CAP = 16,
    KEEP_BUFFER_MAX = 64 * 1024, /* a larger input buffer is given back after its request */
};

/* ---- characters -------------------------------------------------------------------------- */

static bool is_token_char(uint8_t c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_value_char(uint8_t c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7F);
}

static bool is_host_char(uint8_t c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c != 0 && strchr("-._~:[]", c) != NULL;
}

static bool all_chars(kal_bytes text, bool (*accepts)(uint8_t c))
{
    for (size_t i = 0; i < text.len; i++) {
        if (!accepts(text.ptr[i]))
            return false;
    }
    return true;
}

static bool equals_nocase(kal_bytes text, const char *lower)
{
    return kal_bytes_equal_nocase(text, kal_cstr(lower));
}

static kal_bytes trim_blanks(kal_bytes text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* ---- request accessors ------------------------------------------------------------------- */

const char *kal_http_method_name(kal_http_method method)
{
    static const char *const names[] = {
#define KAL_HTTP_METHOD_TEXT(name) #name,
        KAL_HTTP_METHOD_LIST(KAL_HTTP_METHOD_TEXT)
#undef KAL_HTTP_METHOD_TEXT
    };
    KAL_ASSERT((size_t)method < KAL_ARRAY_LEN(names));
    return names[method];
}

kal_bytes kal_http_header_name(const kal_http_request *request, size_t index)
{
    KAL_ASSERT(index < request->header_count);
    const kal_http_header *header = &request->headers[index];
    return kal_bytes_of(request->bytes + header->name_at, header->name_len);
}

kal_bytes kal_http_header_value(const kal_http_request *request, size_t index)
{
    KAL_ASSERT(index < request->header_count);
    const kal_http_header *header = &request->headers[index];
    return kal_bytes_of(request->bytes + header->value_at, header->value_len);
}

bool kal_http_header_find(const kal_http_request *request, const char *name, kal_bytes *value_out)
{
    *value_out = (kal_bytes){0};
    for (size_t i = 0; i < request->header_count; i++) {
        if (equals_nocase(kal_http_header_name(request, i), name)) {
            *value_out = kal_http_header_value(request, i);
            return true;
        }
    }
    return false;
}

size_t kal_http_header_times(const kal_http_request *request, const char *name)
{
    size_t times = 0;
    for (size_t i = 0; i < request->header_count; i++)
        times += equals_nocase(kal_http_header_name(request, i), name);
    return times;
}

/* ---- the reader's life ------------------------------------------------------------------- */

void kal_http_reader_init(kal_http_reader *reader, const kal_http_limits *limits,
                          kal_budget *budget)
{
    KAL_ASSERT(limits->head_bytes > REQUEST_LINE_EXTRA);
    KAL_ASSERT(limits->head_bytes <= 1u << 20);
    KAL_ASSERT(limits->target_bytes <= limits->head_bytes);
    KAL_ASSERT(limits->body_bytes <= 1u << 30);
    KAL_ASSERT(limits->discard_bytes >= limits->body_bytes);
    *reader = (kal_http_reader){.limits = limits, .state = KAL_HTTP_AT_START};
    kal_buf_init(&reader->in, budget);
}

void kal_http_reader_release(kal_http_reader *reader)
{
    kal_buf_release(&reader->in);
    free(reader->headers);
    reader->headers = NULL;
    reader->header_cap = 0;
}

void kal_http_reader_trim(kal_http_reader *reader)
{
    if (reader->state != KAL_HTTP_AT_START || reader->in.len != reader->start)
        return;
    kal_http_reader_release(reader);
    reader->start = 0;
    reader->at = 0;
    reader->scan = 0;
}

static const uint8_t *message_bytes(const kal_http_reader *reader)
{
    return reader->in.ptr == NULL ? NULL : reader->in.ptr + reader->start;
}

static size_t message_len(const kal_http_reader *reader)
{
    return reader->in.len - reader->start;
}

static void set_pointers(kal_http_reader *reader)
{
    const uint8_t *base = message_bytes(reader);
    kal_http_request *request = &reader->request;
    if (base == NULL) /* refused before a byte was kept */
        base = (const uint8_t *)"";
    request->bytes = base;
    request->target = kal_bytes_of(base + reader->target_at, reader->target_len);
    request->path = reader->path_len == 0 ? KAL_STR("/")
                                          : kal_bytes_of(base + reader->path_at, reader->path_len);
    size_t query_at = reader->path_at + reader->path_len + 1;
    size_t target_end = reader->target_at + reader->target_len;
    request->query = query_at < target_end ? kal_bytes_of(base + query_at, target_end - query_at)
                                           : (kal_bytes){0};
    request->body = kal_bytes_of(base + reader->body_at, reader->body_len);
    request->headers = reader->headers;
    request->header_count = reader->header_count;
}

/* Ends the message as refused; always progress. */
static bool refuse(kal_http_reader *reader, int status, const char *message)
{
    reader->refusal = (kal_http_refusal){.status = status,
                                         .message = message,
                                         .has_target = reader->state > KAL_HTTP_IN_REQUEST_LINE};
    reader->state = KAL_HTTP_FAILED;
    return true;
}

void kal_http_reader_feed(kal_http_reader *reader, kal_bytes input)
{
    KAL_ASSERT(reader->state != KAL_HTTP_COMPLETE);
    if (reader->state == KAL_HTTP_FAILED)
        return;
    if (reader->start > 0) {
        size_t left = message_len(reader);
        memmove(reader->in.ptr, reader->in.ptr + reader->start, left);
        reader->in.len = left;
        reader->start = 0;
    }
    kal_buf_append_bytes(&reader->in, input);
    if (kal_buf_failed(&reader->in))
        (void)refuse(reader, 503, "the server has no memory left for requests");
}

void kal_http_reader_finish(kal_http_reader *reader)
{
    KAL_ASSERT(reader->state == KAL_HTTP_COMPLETE);
    kal_http_reader next = {.limits = reader->limits,
                            .in = reader->in,
                            .state = KAL_HTTP_AT_START,
                            .start = reader->start + reader->at,
                            .headers = reader->headers,
                            .header_cap = reader->header_cap};
    KAL_ASSERT(next.start <= next.in.len);
    if (next.start == next.in.len) {
        next.start = 0;
        next.in.len = 0;
        if (next.in.cap > KEEP_BUFFER_MAX)
            kal_buf_release(&next.in);
    }
    *reader = next;
}

bool kal_http_reader_in_message(const kal_http_reader *reader)
{
    return reader->state != KAL_HTTP_AT_START && reader->state != KAL_HTTP_COMPLETE &&
           reader->state != KAL_HTTP_FAILED;
}

bool kal_http_reader_in_body(const kal_http_reader *reader)
{
    return reader->state >= KAL_HTTP_IN_FIXED_BODY && reader->state <= KAL_HTTP_IN_TRAILERS;
}

bool kal_http_reader_has_more(const kal_http_reader *reader)
{
    return message_len(reader) > reader->at;
}

/* ---- lines ------------------------------------------------------------------------------- */

typedef enum line_result {
    LINE_TAKEN,
    LINE_MORE,
    LINE_TOO_LONG, /* no LF before the limit */
    LINE_BARE_LF,
} line_result;

/* Takes the line at `at`, whose LF must lie before offset `limit_at`; *line_out has no CRLF. */
static line_result take_line(kal_http_reader *reader, size_t limit_at, kal_bytes *line_out)
{
    const uint8_t *base = message_bytes(reader);
    size_t len = message_len(reader);
    size_t end = len < limit_at ? len : limit_at;
    const uint8_t *lf = NULL;

    if (reader->scan < end)
        lf = memchr(base + reader->scan, '\n', end - reader->scan);
    if (lf == NULL) {
        reader->scan = end > reader->scan ? end : reader->scan;
        return len >= limit_at ? LINE_TOO_LONG : LINE_MORE;
    }
    size_t lf_at = (size_t)(lf - base);
    if (lf_at == reader->at || base[lf_at - 1] != '\r')
        return LINE_BARE_LF;
    *line_out = kal_bytes_of(base + reader->at, lf_at - 1 - reader->at);
    reader->at = lf_at + 1;
    reader->scan = reader->at;
    return LINE_TAKEN;
}

static size_t offset_of(const kal_http_reader *reader, const uint8_t *ptr)
{
    return (size_t)(ptr - message_bytes(reader));
}

/* ---- the request line -------------------------------------------------------------------- */

static bool read_start(kal_http_reader *reader)
{
    const uint8_t *base = message_bytes(reader);
    size_t len = message_len(reader);

    if (len == 0)
        return false;
    if (base[0] == '\r' && !reader->skipped_empty_line) {
        if (len == 1)
            return false;
        if (base[1] != '\n')
            return refuse(reader, 400, "the request does not begin with a method");
        reader->skipped_empty_line = true; /* one is forgiven: RFC 9112 section 2.2 */
        reader->start += 2;
        return true;
    }
    if (!is_token_char(base[0]))
        return refuse(reader, 400, "the request does not begin with a method");
    reader->state = KAL_HTTP_IN_REQUEST_LINE;
    return true;
}

/* 0 or 1, -1 when it is no version, -2 when it is one we do not speak. */
static int parse_version(kal_bytes text)
{
    if (text.len != 8 || memcmp(text.ptr, "HTTP/", 5) != 0 || text.ptr[6] != '.')
        return -1;
    uint8_t major = text.ptr[5];
    uint8_t minor = text.ptr[7];
    if (major < '0' || major > '9' || minor < '0' || minor > '9')
        return -1;
    if (major != '1' || minor > '1')
        return -2;
    return minor - '0';
}

static bool find_method(kal_bytes text, kal_http_method *method_out)
{
    for (int i = 0; i < KAL_HTTP_METHOD_COUNT; i++) {
        if (kal_bytes_equal(text, kal_cstr(kal_http_method_name((kal_http_method)i)))) {
            *method_out = (kal_http_method)i;
            return true;
        }
    }
    return false;
}

static bool is_target_char(uint8_t c)
{
    return c > 0x20 && c < 0x7F && c != '#';
}

/* Finds the path in a target: "/path", "http://host/path" or, for OPTIONS, "*". */
static bool parse_target(kal_http_reader *reader, kal_bytes target)
{
    kal_bytes rest = target;
    if (target.len == 0 || !all_chars(target, is_target_char))
        return false;
    if (target.ptr[0] != '/') {
        static const char *const schemes[] = {"http://", "https://"};
        size_t skip = 0;
        for (size_t i = 0; i < KAL_ARRAY_LEN(schemes); i++) {
            size_t len = strlen(schemes[i]);
            if (target.len > len && equals_nocase(kal_bytes_of(target.ptr, len), schemes[i]))
                skip = len;
        }
        if (skip > 0) {
            size_t end = skip;
            while (end < target.len && is_host_char(target.ptr[end]))
                end++;
            if (end == skip || (end < target.len && target.ptr[end] != '/'))
                return false;
            rest = kal_bytes_of(target.ptr + end, target.len - end);
        } else if (!(target.len == 1 && target.ptr[0] == '*' &&
                     reader->request.method == KAL_HTTP_OPTIONS)) {
            return false;
        }
    }
    const uint8_t *question = rest.len > 0 ? memchr(rest.ptr, '?', rest.len) : NULL;
    reader->target_at = offset_of(reader, target.ptr);
    reader->target_len = target.len;
    reader->path_at = offset_of(reader, rest.ptr);
    reader->path_len = question != NULL ? (size_t)(question - rest.ptr) : rest.len;
    return true;
}

static bool parse_request_line(kal_http_reader *reader, kal_bytes line)
{
    const uint8_t *end = line.ptr + line.len;
    const uint8_t *blank1 = line.len > 0 ? memchr(line.ptr, ' ', line.len) : NULL;
    if (blank1 == NULL || blank1 == line.ptr)
        return refuse(reader, 400, "the request line is not 'METHOD target HTTP/1.1'");
    kal_bytes method = kal_bytes_of(line.ptr, (size_t)(blank1 - line.ptr));
    const uint8_t *blank2 = memchr(blank1 + 1, ' ', (size_t)(end - blank1 - 1));
    if (blank2 == NULL || !all_chars(method, is_token_char))
        return refuse(reader, 400, "the request line is not 'METHOD target HTTP/1.1'");
    kal_bytes target = kal_bytes_of(blank1 + 1, (size_t)(blank2 - blank1 - 1));
    int minor = parse_version(kal_bytes_of(blank2 + 1, (size_t)(end - blank2 - 1)));
    if (minor == -1)
        return refuse(reader, 400, "the request line is not 'METHOD target HTTP/1.1'");
    if (minor == -2)
        return refuse(reader, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    if (!find_method(method, &reader->request.method))
        return refuse(reader, 405, "unknown method");
    if (target.len > reader->limits->target_bytes)
        return refuse(reader, 414, "the request target is too long");
    if (!parse_target(reader, target))
        return refuse(reader, 400, "the request target is not a valid path");
    reader->request.minor = (unsigned)minor;
    reader->state = KAL_HTTP_IN_HEADERS;
    return true;
}

static bool read_request_line(kal_http_reader *reader)
{
    kal_bytes line = {0};
    size_t limit = reader->limits->target_bytes + REQUEST_LINE_EXTRA;
    if (limit > reader->limits->head_bytes)
        limit = reader->limits->head_bytes;
    switch (take_line(reader, limit, &line)) {
    case LINE_TAKEN:
        return parse_request_line(reader, line);
    case LINE_TOO_LONG:
        if (memchr(message_bytes(reader), ' ', REQUEST_LINE_EXTRA) == NULL)
            return refuse(reader, 400, "the request does not begin with a method");
        return refuse(reader, 414, "the request target is too long");
    case LINE_BARE_LF:
        return refuse(reader, 400, "a line does not end in CRLF");
    case LINE_MORE:
        break;
    }
    return false;
}

/* ---- headers ----------------------------------------------------------------------------- */

/* Splits "name: value"; NULL, or what is wrong with the line. */
static const char *split_header(kal_bytes line, kal_bytes *name_out, kal_bytes *value_out)
{
    KAL_ASSERT(line.len > 0);
    if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
        return "a header is folded over several lines";
    const uint8_t *colon = memchr(line.ptr, ':', line.len);
    if (colon == NULL || colon == line.ptr)
        return "a header has no name";
    *name_out = kal_bytes_of(line.ptr, (size_t)(colon - line.ptr));
    if (colon[-1] == ' ' || colon[-1] == '\t')
        return "a header has a blank before its colon";
    if (!all_chars(*name_out, is_token_char))
        return "a header name has an invalid character";
    *value_out = trim_blanks(kal_bytes_of(colon + 1, (size_t)(line.ptr + line.len - (colon + 1))));
    if (!all_chars(*value_out, is_value_char))
        return "a header value has a control character";
    return NULL;
}

static bool note_host(kal_http_reader *reader, kal_bytes value)
{
    if (reader->has_host)
        return refuse(reader, 400, "there are several Host headers");
    if (!all_chars(value, is_host_char))
        return refuse(reader, 400, "the Host header is not a host name");
    reader->has_host = true;
    return true;
}

static bool note_content_length(kal_http_reader *reader, kal_bytes value)
{
    uint64_t length = 0;
    if (reader->has_length)
        return refuse(reader, 400, "there are several Content-Length headers");
    if (value.len == 0)
        return refuse(reader, 400, "the Content-Length is not a number");
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9')
            return refuse(reader, 400, "the Content-Length is not a number");
        uint64_t digit = (uint64_t)(value.ptr[i] - '0');
        if (!kal_try_mul(length, (uint64_t)10, &length) || !kal_try_add(length, digit, &length))
            return refuse(reader, 413, "the request body is too large");
    }
    /* The CRLF of the line follows. Some readers take a tab there for a part of the number. */
    for (const uint8_t *after = value.ptr + value.len; *after != '\r'; after++) {
        if (*after == '\t')
            return refuse(reader, 400, "the Content-Length is not a number");
    }
    reader->has_length = true;
    reader->body_total = length;
    return true;
}

static bool note_transfer_encoding(kal_http_reader *reader, kal_bytes value)
{
    if (reader->chunked)
        return refuse(reader, 400, "there are several Transfer-Encoding headers");
    if (reader->request.minor == 0)
        return refuse(reader, 400, "HTTP/1.0 has no Transfer-Encoding");
    if (!equals_nocase(value, "chunked"))
        return refuse(reader, 501, "the only Transfer-Encoding supported is 'chunked'");
    reader->chunked = true;
    return true;
}

static bool note_connection(kal_http_reader *reader, kal_bytes value)
{
    while (value.len > 0) {
        const uint8_t *comma = memchr(value.ptr, ',', value.len);
        size_t len = comma != NULL ? (size_t)(comma - value.ptr) : value.len;
        kal_bytes token = trim_blanks(kal_bytes_of(value.ptr, len));
        if (equals_nocase(token, "close"))
            reader->wants_close = true;
        else if (equals_nocase(token, "keep-alive"))
            reader->wants_keep_alive = true;
        size_t step = comma != NULL ? len + 1 : len;
        value = kal_bytes_of(value.ptr + step, value.len - step);
    }
    return true;
}

static bool note_expect(kal_http_reader *reader, kal_bytes value)
{
    if (!equals_nocase(value, "100-continue"))
        return refuse(reader, 417, "the only expectation supported is '100-continue'");
    reader->expects_continue = reader->request.minor > 0;
    return true;
}

typedef bool (*note_fn)(kal_http_reader *reader, kal_bytes value);

/* The headers that decide about framing and the connection. */
static note_fn find_note(kal_bytes name)
{
    static const struct {
        const char *name;
        note_fn note;
    } notes[] = {
        {"host", note_host},
        {"content-length", note_content_length},
        {"transfer-encoding", note_transfer_encoding},
        {"connection", note_connection},
        {"expect", note_expect},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(notes); i++) {
        if (equals_nocase(name, notes[i].name))
            return notes[i].note;
    }
    return NULL;
}

static void push_header(kal_http_reader *reader, kal_bytes name, kal_bytes value)
{
    if (reader->header_count == reader->header_cap) {
        size_t cap = reader->header_cap == 0 ? HEADERS_FIRST_CAP : reader->header_cap * 2;
        reader->headers = realloc(reader->headers, cap * sizeof *reader->headers);
        if (reader->headers == NULL)
            kal_die("out of memory: %zu headers", cap);
        reader->header_cap = cap;
    }
    reader->headers[reader->header_count++] =
        (kal_http_header){.name_at = (uint32_t)offset_of(reader, name.ptr),
                          .name_len = (uint32_t)name.len,
                          .value_at = (uint32_t)offset_of(reader, value.ptr),
                          .value_len = (uint32_t)value.len};
}

static bool complete(kal_http_reader *reader)
{
    reader->state = KAL_HTTP_COMPLETE;
    reader->scan = reader->at;
    return true;
}

/* The empty line came: decide how the body is framed. */
static bool end_head(kal_http_reader *reader)
{
    const kal_http_limits *limits = reader->limits;
    bool persistent = reader->request.minor > 0 || reader->wants_keep_alive;

    if (reader->request.minor > 0 && !reader->has_host)
        return refuse(reader, 400, "the Host header is missing");
    if (reader->chunked && reader->has_length)
        return refuse(reader, 400, "there are both Content-Length and Transfer-Encoding");
    reader->request.keep_alive = persistent && !reader->wants_close;
    reader->body_at = reader->at;
    if (reader->chunked) {
        reader->state = KAL_HTTP_IN_CHUNK_SIZE;
        return true;
    }
    if (reader->body_total == 0)
        return complete(reader);
    if (reader->body_total > limits->body_bytes) {
        if (reader->body_total > limits->discard_bytes || reader->expects_continue)
            return refuse(reader, 413, "the request body is too large");
        reader->discarding = true;
    }
    reader->body_left = reader->body_total;
    reader->state = KAL_HTTP_IN_FIXED_BODY;
    return true;
}

static bool parse_header(kal_http_reader *reader, kal_bytes line)
{
    kal_bytes name = {0};
    kal_bytes value = {0};
    const char *wrong = split_header(line, &name, &value);
    if (wrong != NULL)
        return refuse(reader, 400, wrong);
    if (reader->header_count == reader->limits->header_count)
        return refuse(reader, 431, "there are too many headers");
    push_header(reader, name, value);
    note_fn note = find_note(name);
    return note != NULL ? note(reader, value) : true;
}

static bool read_headers(kal_http_reader *reader)
{
    kal_bytes line = {0};
    switch (take_line(reader, reader->limits->head_bytes, &line)) {
    case LINE_TAKEN:
        return line.len == 0 ? end_head(reader) : parse_header(reader, line);
    case LINE_TOO_LONG:
        return refuse(reader, 431, "the headers are too long");
    case LINE_BARE_LF:
        return refuse(reader, 400, "a line does not end in CRLF");
    case LINE_MORE:
        break;
    }
    return false;
}

/* ---- bodies ------------------------------------------------------------------------------ */

/* min(what is there, what is missing) */
static size_t body_piece(const kal_http_reader *reader)
{
    size_t there = message_len(reader) - reader->at;
    return there < reader->body_left ? there : (size_t)reader->body_left;
}

/* Closes the gap between the decoded body and the bytes not yet parsed. */
static void close_gap(kal_http_reader *reader)
{
    size_t end = reader->body_at + reader->body_len;
    size_t gap = reader->at - end;
    if (gap == 0)
        return;
    uint8_t *base = reader->in.ptr + reader->start;
    memmove(base + end, base + reader->at, message_len(reader) - reader->at);
    reader->in.len -= gap;
    reader->at -= gap;
    reader->scan -= gap;
}

static bool read_fixed_body(kal_http_reader *reader)
{
    size_t piece = body_piece(reader);
    if (piece == 0)
        return false;
    reader->at += piece;
    reader->scan = reader->at;
    reader->body_left -= piece;
    if (!reader->discarding)
        reader->body_len += piece;
    return reader->body_left == 0 ? complete(reader) : true;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (uint8_t)kal_ascii_lower((char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool begin_chunk(kal_http_reader *reader, uint64_t size)
{
    if (size == 0) {
        reader->state = KAL_HTTP_IN_TRAILERS;
        return true;
    }
    if (!kal_try_add(reader->body_total, size, &reader->body_total) ||
        reader->body_total > reader->limits->discard_bytes)
        return refuse(reader, 413, "the request body is too large");
    if (reader->body_total > reader->limits->body_bytes) {
        reader->discarding = true;
        reader->body_len = 0;
    }
    reader->body_left = size;
    reader->state = KAL_HTTP_IN_CHUNK_DATA;
    return true;
}

static bool parse_chunk_line(kal_http_reader *reader, kal_bytes line)
{
    uint64_t size = 0;
    size_t digits = 0;
    while (digits < line.len && hex_digit(line.ptr[digits]) >= 0) {
        if (digits == CHUNK_DIGITS_MAX)
            return refuse(reader, 400, "a chunk size has too many digits");
        size = size << 4 | (uint64_t)hex_digit(line.ptr[digits]);
        digits++;
    }
    kal_bytes extension = kal_bytes_of(line.ptr + digits, line.len - digits);
    if (digits == 0 || (extension.len > 0 && extension.ptr[0] != ';'))
        return refuse(reader, 400, "a chunk size is not a hexadecimal number");
    if (!all_chars(extension, is_value_char))
        return refuse(reader, 400, "a chunk extension has a control character");
    reader->extra_bytes += extension.len;
    if (reader->extra_bytes > reader->limits->head_bytes)
        return refuse(reader, 431, "the chunk extensions are too long");
    return begin_chunk(reader, size);
}

static bool read_chunk_size(kal_http_reader *reader)
{
    kal_bytes line = {0};
    switch (take_line(reader, reader->at + CHUNK_LINE_MAX, &line)) {
    case LINE_TAKEN:
        return parse_chunk_line(reader, line);
    case LINE_TOO_LONG:
        return refuse(reader, 400, "the line of a chunk size is too long");
    case LINE_BARE_LF:
        return refuse(reader, 400, "a line does not end in CRLF");
    case LINE_MORE:
        break;
    }
    return false;
}

static bool read_chunk_data(kal_http_reader *reader)
{
    size_t piece = body_piece(reader);
    uint8_t *base = reader->in.ptr + reader->start;
    if (piece == 0)
        return false;
    if (!reader->discarding) {
        memmove(base + reader->body_at + reader->body_len, base + reader->at, piece);
        reader->body_len += piece;
    }
    reader->at += piece;
    reader->scan = reader->at;
    reader->body_left -= piece;
    if (reader->body_left == 0)
        reader->state = KAL_HTTP_IN_CHUNK_END;
    return true;
}

static bool read_chunk_end(kal_http_reader *reader)
{
    const uint8_t *base = message_bytes(reader) + reader->at;
    size_t there = message_len(reader) - reader->at;
    if ((there >= 1 && base[0] != '\r') || (there >= 2 && base[1] != '\n'))
        return refuse(reader, 400, "a chunk does not end in CRLF");
    if (there < 2)
        return false;
    reader->at += 2;
    reader->scan = reader->at;
    reader->state = KAL_HTTP_IN_CHUNK_SIZE;
    return true;
}

/* Trailers are checked like headers and then forgotten. */
static bool parse_trailer(kal_http_reader *reader, kal_bytes line)
{
    kal_bytes name = {0};
    kal_bytes value = {0};
    const char *wrong = split_header(line, &name, &value);
    if (wrong != NULL)
        return refuse(reader, 400, wrong);
    if (find_note(name) != NULL)
        return refuse(reader, 400, "a trailer has a header that frames the message");
    if (++reader->trailer_count > reader->limits->header_count)
        return refuse(reader, 431, "there are too many trailers");
    return true;
}

static bool read_trailers(kal_http_reader *reader)
{
    kal_bytes line = {0};
    size_t at = reader->at;
    size_t room = reader->limits->head_bytes - reader->extra_bytes;
    switch (take_line(reader, at + room, &line)) {
    case LINE_TAKEN:
        reader->extra_bytes += reader->at - at;
        return line.len == 0 ? complete(reader) : parse_trailer(reader, line);
    case LINE_TOO_LONG:
        return refuse(reader, 431, "the trailers are too long");
    case LINE_BARE_LF:
        return refuse(reader, 400, "a line does not end in CRLF");
    case LINE_MORE:
        break;
    }
    return false;
}

/* ---- events ------------------------------------------------------------------------------ */

static bool step(kal_http_reader *reader)
{
    switch (reader->state) {
    case KAL_HTTP_AT_START:
        return read_start(reader);
    case KAL_HTTP_IN_REQUEST_LINE:
        return read_request_line(reader);
    case KAL_HTTP_IN_HEADERS:
        return read_headers(reader);
    case KAL_HTTP_IN_FIXED_BODY:
        return read_fixed_body(reader);
    case KAL_HTTP_IN_CHUNK_SIZE:
        return read_chunk_size(reader);
    case KAL_HTTP_IN_CHUNK_DATA:
        return read_chunk_data(reader);
    case KAL_HTTP_IN_CHUNK_END:
        return read_chunk_end(reader);
    case KAL_HTTP_IN_TRAILERS:
        return read_trailers(reader);
    case KAL_HTTP_COMPLETE:
    case KAL_HTTP_FAILED:
        break;
    }
    return false;
}

kal_http_event kal_http_reader_next(kal_http_reader *reader)
{
    while (reader->state != KAL_HTTP_COMPLETE && reader->state != KAL_HTTP_FAILED) {
        if (step(reader))
            continue;
        if (kal_http_reader_in_body(reader)) {
            close_gap(reader);
            if (reader->expects_continue && message_len(reader) == reader->body_at) {
                reader->expects_continue = false;
                return KAL_HTTP_CONTINUE;
            }
        }
        return KAL_HTTP_NEED_MORE;
    }
    set_pointers(reader);
    if (reader->state == KAL_HTTP_FAILED)
        return KAL_HTTP_REFUSED;
    if (reader->discarding) {
        reader->refusal = (kal_http_refusal){.status = 413,
                                             .message = "the request body is too large",
                                             .has_target = true,
                                             .resumable = true};
        return KAL_HTTP_REFUSED;
    }
    return KAL_HTTP_REQUEST;
}

/* ---- responses --------------------------------------------------------------------------- */

#define STATUS_TEXT_LIST(X)                                                                        \
    X(100, "Continue")                                                                             \
    X(200, "OK")                                                                                   \
    X(204, "No Content")                                                                           \
    X(400, "Bad Request")                                                                          \
    X(401, "Unauthorized")                                                                         \
    X(403, "Forbidden")                                                                            \
    X(404, "Not Found")                                                                            \
    X(405, "Method Not Allowed")                                                                   \
    X(408, "Request Timeout")                                                                      \
    X(409, "Conflict")                                                                             \
    X(413, "Content Too Large")                                                                    \
    X(414, "URI Too Long")                                                                         \
    X(415, "Unsupported Media Type")                                                               \
    X(417, "Expectation Failed")                                                                   \
    X(426, "Upgrade Required")                                                                     \
    X(429, "Too Many Requests")                                                                    \
    X(431, "Request Header Fields Too Large")                                                      \
    X(499, "Client Closed Request")                                                                \
    X(500, "Internal Server Error")                                                                \
    X(501, "Not Implemented")                                                                      \
    X(503, "Service Unavailable")                                                                  \
    X(505, "HTTP Version Not Supported")

const char *kal_http_status_text(int status)
{
    switch (status) {
#define STATUS_TEXT_CASE(code, text)                                                               \
    case code:                                                                                     \
        return text;
        STATUS_TEXT_LIST(STATUS_TEXT_CASE)
#undef STATUS_TEXT_CASE
    default:
        return "Error";
    }
}

static void write_field(kal_buf *out, const char *name, const char *value)
{
    KAL_ASSERT(strpbrk(name, "\r\n:") == NULL);
    KAL_ASSERT(strpbrk(value, "\r\n") == NULL);
    kal_buf_append_cstr(out, name);
    kal_buf_append_cstr(out, ": ");
    kal_buf_append_cstr(out, value);
    kal_buf_append_cstr(out, "\r\n");
}

void kal_http_head_write(const kal_http_head *head, kal_buf *out)
{
    KAL_ASSERT(head->status >= 100 && head->status <= 599);
    kal_buf_append_cstr(out, "HTTP/1.1 ");
    kal_buf_append_u64_text(out, (uint64_t)head->status);
    kal_buf_append_byte(out, ' ');
    kal_buf_append_cstr(out, kal_http_status_text(head->status));
    kal_buf_append_cstr(out, "\r\n");
    if (head->date != NULL)
        write_field(out, "Date", head->date);
    if (head->content_type != NULL)
        write_field(out, "Content-Type", head->content_type);
    if (head->status >= 200 && head->status != 204) {
        kal_buf_append_cstr(out, "Content-Length: ");
        kal_buf_append_u64_text(out, head->content_length);
        kal_buf_append_cstr(out, "\r\n");
    }
    if (!head->keep_alive)
        write_field(out, "Connection", "close");
    else if (head->minor == 0)
        write_field(out, "Connection", "keep-alive");
    for (size_t i = 0; i < head->field_count; i++)
        write_field(out, head->fields[i].name, head->fields[i].value);
    kal_buf_append_cstr(out, "\r\n");
}

void kal_http_date(int64_t unix_seconds, char out[KAL_HTTP_DATE_BYTES])
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t seconds = (time_t)unix_seconds;
    struct tm utc = {0};
    if (gmtime_r(&seconds, &utc) == NULL || utc.tm_year < -1900 || utc.tm_year > 9999 - 1900)
        utc = (struct tm){.tm_mday = 1, .tm_year = 70, .tm_wday = 4};
    /* The remainders change nothing; they show the compiler that the text fits. */
    snprintf(out, KAL_HTTP_DATE_BYTES, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
             days + 3 * ((unsigned)utc.tm_wday % 7), (unsigned)utc.tm_mday % 100,
             months + 3 * ((unsigned)utc.tm_mon % 12), (unsigned)(utc.tm_year + 1900) % 10000,
             (unsigned)utc.tm_hour % 100, (unsigned)utc.tm_min % 100, (unsigned)utc.tm_sec % 100);
}
