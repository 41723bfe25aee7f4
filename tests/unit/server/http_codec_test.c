/*
 * http_codec_test.c: the request reader against a table, against itself cut in pieces, and against
 * http_parser: whatever we accept it accepts with the same meaning, so what it refuses we refuse.
 */
#include "server/http_codec.h"

#include "unit/server/http_outcome.h"

#include <http_parser.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"

static const kal_http_limits default_limits = {.head_bytes = 16u * 1024,
                                               .target_bytes = 8u * 1024,
                                               .header_count = 100,
                                               .body_bytes = 2u * 1024 * 1024,
                                               .discard_bytes = 16u * 1024 * 1024};
/* Small enough that every limit is met by short inputs. */
static const kal_http_limits small_limits = {.head_bytes = 200,
                                             .target_bytes = 40,
                                             .header_count = 4,
                                             .body_bytes = 20,
                                             .discard_bytes = 60};

#define HOST "Host: a\r\n"
#define POST "POST /x HTTP/1.1\r\n" HOST

/* status 0: accepted, with that body. -1: incomplete. */
static const struct {
    const char *input;
    int status;
    const char *body;
} table[] = {
    {"GET / HTTP/1.1\r\n" HOST "\r\n", 0, ""},
    {"\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 0, ""},
    {"\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 400, ""},
    {"GET / HTTP/1.0\r\n\r\n", 0, ""},
    {"GET /a/b?c=d&e HTTP/1.1\r\n" HOST "\r\n", 0, ""},
    {"GET http://h.example:80/p?q HTTP/1.1\r\n" HOST "\r\n", 0, ""},
    {"GET HTTP://h HTTP/1.1\r\n" HOST "\r\n", 0, ""},
    {"GET http:///p HTTP/1.1\r\n" HOST "\r\n", 400, ""},
    {"GET http://a@b/p HTTP/1.1\r\n" HOST "\r\n", 400, ""},
    {"GET ftp://h/p HTTP/1.1\r\n" HOST "\r\n", 400, ""},
    {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 0, ""},
    {"GET * HTTP/1.1\r\n" HOST "\r\n", 400, ""},
    {"GET x HTTP/1.1\r\n" HOST "\r\n", 400, ""},
    {"GET /a#b HTTP/1.1\r\n" HOST "\r\n", 400, ""},
    {"GET /\x01 HTTP/1.1\r\n" HOST "\r\n", 400, ""},
    {"GET /\xC3\xA4 HTTP/1.1\r\n" HOST "\r\n", 400, ""},
    {"GET  / HTTP/1.1\r\n" HOST "\r\n", 400, ""},
    {"GET /  HTTP/1.1\r\n" HOST "\r\n", 400, ""},
    {"GET / HTTP/1.1 \r\n" HOST "\r\n", 400, ""},
    {"GET /\r\n\r\n", 400, ""},
    {"GET\r\n\r\n", 400, ""},
    {" GET / HTTP/1.1\r\n" HOST "\r\n", 400, ""},
    {"\x16\x03\x01\x02", 400, ""},
    {"\r\r", 400, ""},
    {"GET / HTTP/2.0\r\n" HOST "\r\n", 505, ""},
    {"GET / HTTP/1.2\r\n" HOST "\r\n", 505, ""},
    {"GET / HTTP/0.9\r\n" HOST "\r\n", 505, ""},
    {"GET / http/1.1\r\n" HOST "\r\n", 400, ""},
    {"GET / HTTP/1.10\r\n" HOST "\r\n", 400, ""},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, ""},
    {"BREW / HTTP/1.1\r\n" HOST "\r\n", 405, ""},
    {"CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n", 405, ""},
    {"get / HTTP/1.1\r\n" HOST "\r\n", 405, ""},
    {"G(T / HTTP/1.1\r\n" HOST "\r\n", 400, ""},
    /* lines and headers */
    {"GET / HTTP/1.1\n" HOST "\r\n", 400, ""},
    {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400, ""},
    {"GET / HTTP/1.1\r\n" HOST "\n", 400, ""},
    {"GET / HTTP/1.1\r\n" HOST "A: b\rc\r\n\r\n", 400, ""},
    {"GET / HTTP/1.1\r\n" HOST "A: \r\n\r\n", 0, ""},
    {"GET / HTTP/1.1\r\n" HOST "A:b\r\n\r\n", 0, ""},
    {"GET / HTTP/1.1\r\n" HOST "A: \t b c \t\r\n\r\n", 0, ""},
    {"GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n", 400, ""},
    {"GET / HTTP/1.1\r\n" HOST "A\t: b\r\n\r\n", 400, ""},
    {"GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n", 400, ""},
    {"GET / HTTP/1.1\r\n" HOST "A b\r\n\r\n", 400, ""},
    {"GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n", 400, ""},
    {"GET / HTTP/1.1\r\n" HOST "A: b\r\n\tc\r\n\r\n", 400, ""},
    {"GET / HTTP/1.1\r\n" HOST "A{: b\r\n\r\n", 400, ""},
    {"GET / HTTP/1.1\r\n" HOST "\xC3\xA4: b\r\n\r\n", 400, ""},
    {"GET / HTTP/1.1\r\n" HOST "A: \x01\r\n\r\n", 400, ""},
    {"GET / HTTP/1.1\r\n" HOST "A: \x7F\r\n\r\n", 400, ""},
    {"GET / HTTP/1.1\r\n" HOST "A: \xC3\xA4\r\n\r\n", 0, ""},
    {"GET / HTTP/1.1\r\n\r\n", 400, ""},
    {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400, ""},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, ""},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, ""},
    {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0, ""},
    {"GET / HTTP/1.0\r\n" HOST HOST "\r\n", 400, ""},
    /* fixed bodies */
    {POST "Content-Length: 3\r\n\r\nabc", 0, "abc"},
    {POST "content-length:03 \r\n\r\nabc", 0, "abc"},
    {POST "Content-Length: 3\r\n\r\nab", -1, ""},
    {POST "Content-Length: 0\r\n\r\n", 0, ""},
    {POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, ""},
    {POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400, ""},
    {POST "Content-Length: 3, 3\r\n\r\nabc", 400, ""},
    {POST "Content-Length: 3\t\r\n\r\nabc", 400, ""},
    {POST "Content-Length: +3\r\n\r\nabc", 400, ""},
    {POST "Content-Length: -3\r\n\r\nabc", 400, ""},
    {POST "Content-Length: 0x3\r\n\r\nabc", 400, ""},
    {POST "Content-Length: 3 3\r\n\r\nabc", 400, ""},
    {POST "Content-Length: \r\n\r\nabc", 400, ""},
    {POST "Content-Length: 18446744073709551616\r\n\r\n", 413, ""},
    {POST "Content-Length: 18446744073709551615\r\n\r\n", 413, ""},
    {POST "Content-Length: 99999999\r\n\r\n", 413, ""},
    /* chunked bodies */
    {POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 0, "abc"},
    {POST "Transfer-Encoding: Chunked\r\n\r\n03\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", 0,
     "abc0123456789"},
    {POST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, ""},
    {POST "Transfer-Encoding: chunked\r\n\r\n3;a=b;c=\"d e\"\r\nabc\r\n0;x\r\n\r\n", 0, "abc"},
    {POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: u\r\n\r\n", 0, "abc"},
    {POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT : u\r\n\r\n", 400, ""},
    {POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nContent-Length: 1\r\n\r\n", 400, ""},
    {POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcX0\r\n\r\n", 400, ""},
    {POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400, ""},
    {POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\rx0\r\n\r\n", 400, ""},
    {POST "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", 400, ""},
    {POST "Transfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n", 400, ""},
    {POST "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 400, ""},
    {POST "Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", 400, ""},
    {POST "Transfer-Encoding: chunked\r\n\r\ng\r\nabc\r\n0\r\n\r\n", 400, ""},
    {POST "Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n", 400, ""},
    {POST "Transfer-Encoding: chunked\r\n\r\n3;\x01\r\nabc\r\n0\r\n\r\n", 400, ""},
    {POST "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400, ""},
    {POST "Transfer-Encoding: chunked\r\n\r\n00000000000000003\r\nabc\r\n0\r\n\r\n", 400, ""},
    {POST "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n", 413, ""},
    {POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", -1, ""},
    {POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", 400, ""},
    {POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", 400, ""},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, ""},
    {POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, ""},
    {POST "Transfer-Encoding: identity\r\n\r\n", 501, ""},
    {POST "Transfer-Encoding:\r\n\r\n", 501, ""},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, ""},
    {POST "Expect: 100-continue\r\nContent-Length: 1\r\n\r\na", 0, "a"},
    {POST "Expect: coffee\r\nContent-Length: 1\r\n\r\na", 417, ""},
    {"GET / HTTP/1.1\r\n" HOST "Connection: keep-alive, close\r\n\r\n", 0, ""},
    {"GET / HTTP/1.1\r\n" HOST "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", 0, ""},
    {"DELETE /x HTTP/1.1\r\n" HOST "\r\n", 0, ""},
    {"PATCH /x HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi", 0, "hi"},
    {"HEAD /x HTTP/1.1\r\n" HOST "\r\n", 0, ""},
};

/* ---- the other parser -------------------------------------------------------------------- */

typedef struct peer {
    kal_buf seen; /* in the form of compare_form() */
    kal_buf url;
    kal_buf headers;
    kal_buf body;
    bool in_value;
    bool head_done;
    bool done;
} peer;

static peer *peer_of(http_parser *parser)
{
    return parser->data;
}

static int peer_url(http_parser *parser, const char *at, size_t len)
{
    kal_buf_append(&peer_of(parser)->url, at, len);
    return 0;
}

/* http_parser keeps the blanks at the end of a value: RFC 9112 says they are no part of it. */
static void peer_end_value(peer *p)
{
    if (!p->in_value)
        return;
    while (p->headers.len > 0 && (p->headers.ptr[p->headers.len - 1] == ' ' ||
                                  p->headers.ptr[p->headers.len - 1] == '\t'))
        kal_buf_truncate(&p->headers, p->headers.len - 1);
    kal_buf_append_byte(&p->headers, '\n');
    p->in_value = false;
}

static int peer_field(http_parser *parser, const char *at, size_t len)
{
    peer *p = peer_of(parser);
    if (p->head_done)
        return 0; /* a trailer: we check and forget them */
    peer_end_value(p);
    kal_buf_append(&p->headers, at, len);
    return 0;
}

static int peer_value(http_parser *parser, const char *at, size_t len)
{
    peer *p = peer_of(parser);
    if (p->head_done)
        return 0;
    if (!p->in_value)
        kal_buf_append_byte(&p->headers, '=');
    p->in_value = true;
    kal_buf_append(&p->headers, at, len);
    return 0;
}

static int peer_headers_complete(http_parser *parser)
{
    peer *p = peer_of(parser);
    peer_end_value(p);
    p->head_done = true;
    return 0;
}

static int peer_body(http_parser *parser, const char *at, size_t len)
{
    kal_buf_append(&peer_of(parser)->body, at, len);
    return 0;
}

static int peer_complete(http_parser *parser)
{
    peer *p = peer_of(parser);
    kal_buf_printf(&p->seen, "%s 1.%u ", http_method_str((enum http_method)parser->method),
                   parser->http_minor);
    kal_buf_append_bytes(&p->seen, kal_buf_bytes(&p->url));
    kal_buf_append_byte(&p->seen, '\n');
    kal_buf_append_bytes(&p->seen, kal_buf_bytes(&p->headers));
    kal_buf_append_bytes(&p->seen, kal_buf_bytes(&p->body));
    p->done = true;
    http_parser_pause(parser, 1);
    return 0;
}

/* The first message as http_parser sees it; false when it refuses or wants more. */
static bool peer_run(kal_bytes input, kal_buf *seen_out)
{
    http_parser_settings settings;
    http_parser parser;
    peer p = {0};

    http_parser_settings_init(&settings);
    settings.on_url = peer_url;
    settings.on_header_field = peer_field;
    settings.on_header_value = peer_value;
    settings.on_headers_complete = peer_headers_complete;
    settings.on_body = peer_body;
    settings.on_message_complete = peer_complete;
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = &p;
    http_parser_execute(&parser, &settings, (const char *)input.ptr, input.len);
    kal_buf_append_bytes(seen_out, kal_buf_bytes(&p.seen));
    kal_buf_release(&p.seen);
    kal_buf_release(&p.url);
    kal_buf_release(&p.headers);
    kal_buf_release(&p.body);
    return p.done;
}

static void compare_form(const kal_http_request *request, kal_buf *out)
{
    kal_buf_printf(out, "%s 1.%u ", kal_http_method_name(request->method), request->minor);
    kal_buf_append_bytes(out, request->target);
    kal_buf_append_byte(out, '\n');
    for (size_t i = 0; i < request->header_count; i++) {
        kal_buf_append_bytes(out, kal_http_header_name(request, i));
        kal_buf_append_byte(out, '=');
        kal_buf_append_bytes(out, kal_http_header_value(request, i));
        kal_buf_append_byte(out, '\n');
    }
    kal_buf_append_bytes(out, request->body);
}

/* The first event of the whole input. */
static kal_http_event first_event(kal_http_reader *reader, kal_bytes input)
{
    kal_http_reader_feed(reader, input);
    kal_http_event event = kal_http_reader_next(reader);
    return event == KAL_HTTP_CONTINUE ? kal_http_reader_next(reader) : event;
}

static bool same(const kal_buf *a, const kal_buf *b)
{
    return kal_bytes_equal(kal_buf_bytes(a), kal_buf_bytes(b));
}

/* http_parser 2.9.4 takes any header whose name begins with Transfer-Encoding for that header. It
 * is the one difference we know of, and it is theirs. */
static bool has_longer_transfer_encoding(const kal_http_request *request)
{
    kal_bytes known = KAL_STR("transfer-encoding");
    for (size_t i = 0; i < request->header_count; i++) {
        kal_bytes name = kal_http_header_name(request, i);
        if (name.len > known.len &&
            kal_bytes_equal_nocase(kal_bytes_of(name.ptr, known.len), known))
            return true;
    }
    return false;
}

/* Fails when we accept what http_parser refuses, or read it differently. */
static bool agrees(kal_bytes input)
{
    kal_http_reader reader;
    kal_buf ours = {0};
    kal_buf theirs = {0};
    bool ok = true;

    kal_http_reader_init(&reader, &default_limits, NULL);
    if (first_event(&reader, input) == KAL_HTTP_REQUEST &&
        !has_longer_transfer_encoding(&reader.request)) {
        compare_form(&reader.request, &ours);
        ok = peer_run(input, &theirs) && same(&ours, &theirs);
        if (!ok)
            print_error("input:\n%.*s\nours:\n%.*s\nhttp_parser:\n%.*s\n", KAL_FMT(input),
                        KAL_FMT(kal_buf_bytes(&ours)), KAL_FMT(kal_buf_bytes(&theirs)));
    }
    kal_http_reader_release(&reader);
    kal_buf_release(&ours);
    kal_buf_release(&theirs);
    return ok;
}

/* ---- tests ------------------------------------------------------------------------------- */

/* Goal: each rule of the reader. Method: one input per rule, its status and its body. */
static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < KAL_ARRAY_LEN(table); i++) {
        kal_http_reader reader;
        kal_http_reader_init(&reader, &default_limits, NULL);
        kal_http_event event = first_event(&reader, kal_cstr(table[i].input));
        int status = event == KAL_HTTP_REQUEST     ? 0
                     : event == KAL_HTTP_NEED_MORE ? -1
                                                   : reader.refusal.status;
        if (status != table[i].status ||
            (status == 0 && !kal_bytes_equal(reader.request.body, kal_cstr(table[i].body))))
            fail_msg("entry %zu: status %d, expected %d (%s):\n%s", i, status, table[i].status,
                     event == KAL_HTTP_REFUSED ? reader.refusal.message : "", table[i].input);
        kal_http_reader_release(&reader);
    }
}

/* Goal: no request smuggling through differences. Method: the table through both parsers. */
static void test_table_against_http_parser(void **state)
{
    (void)state;
    for (size_t i = 0; i < KAL_ARRAY_LEN(table); i++)
        assert_true(agrees(kal_cstr(table[i].input)));
}

static void assert_cuts_agree(const kal_http_limits *limits, kal_bytes input)
{
    kal_buf whole = {0};
    outcome_of(limits, input, 0, 0, &whole);
    for (size_t first = 1; first <= input.len; first++) {
        for (size_t step = 0; step <= 1; step++) {
            kal_buf cut = {0};
            outcome_of(limits, input, first, step, &cut);
            if (!same(&whole, &cut))
                fail_msg("cut at %zu, then by %zu:\n%.*s\nwhole:\n%.*s\ncut:\n%.*s", first, step,
                         KAL_FMT(input), KAL_FMT(kal_buf_bytes(&whole)),
                         KAL_FMT(kal_buf_bytes(&cut)));
            kal_buf_release(&cut);
        }
    }
    kal_buf_release(&whole);
}

/* Goal: where input is cut never matters. Method: every cut of every entry, with a second request
 * behind it, under the usual limits and under ones so small that most entries meet them. */
static void test_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < KAL_ARRAY_LEN(table); i++) {
        kal_buf input = {0};
        kal_buf_append_cstr(&input, table[i].input);
        kal_buf_append_cstr(&input, "GET /next HTTP/1.1\r\n" HOST "\r\n");
        assert_cuts_agree(&default_limits, kal_buf_bytes(&input));
        assert_cuts_agree(&small_limits, kal_buf_bytes(&input));
        kal_buf_release(&input);
    }
}

static uint64_t test_seed(void)
{
    const char *text = getenv("KAL_TEST_SEED");
    return text != NULL ? strtoull(text, NULL, 10) : 20261123;
}

static const char *pick(kal_rng *rng, const char *const *items, size_t count)
{
    return items[kal_rng_below(rng, count)];
}
#define PICK(rng, ...)                                                                             \
    pick((rng), (const char *const[]){__VA_ARGS__},                                                \
         KAL_ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

static void generate_body(kal_rng *rng, kal_buf *out)
{
    static const char text[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    if (kal_rng_chance(rng, 1, 2)) {
        size_t len = kal_rng_below(rng, 30);
        kal_buf_printf(out, "Content-Length: %zu\r\n\r\n%.*s", len, (int)len, text);
        return;
    }
    kal_buf_append_cstr(out, "Transfer-Encoding: chunked\r\n\r\n");
    for (uint64_t chunks = kal_rng_below(rng, 4); chunks > 0; chunks--) {
        size_t len = 1 + kal_rng_below(rng, 30);
        kal_buf_printf(out, kal_rng_chance(rng, 1, 2) ? "%zx" : "0%zX", len);
        kal_buf_printf(out, "%s\r\n%.*s\r\n", PICK(rng, "", "", ";a", ";a=b"), (int)len, text);
    }
    kal_buf_printf(out, "0\r\n%s\r\n", PICK(rng, "", "", "T: u\r\n", "A:b\r\nC:d\r\n"));
}

/* A request that is right, or nearly so. */
static void generate(kal_rng *rng, kal_buf *out)
{
    kal_buf_printf(
        out, "%s %s %s\r\n", PICK(rng, "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH"),
        PICK(rng, "/", "/a/b", "/a?b=c", "*", "http://a/b", "/%20", "/a?b?c", "http://a:1?b", "/~"),
        PICK(rng, "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"));
    kal_buf_append_cstr(out, PICK(rng, HOST, HOST, HOST, "host:a.b:1\r\n", ""));
    for (uint64_t headers = kal_rng_below(rng, 4); headers > 0; headers--)
        kal_buf_append_cstr(
            out, PICK(rng, "Accept: */*\r\n", "X-A:  b \r\n", "Connection: close\r\n",
                      "Connection: keep-alive\r\n", "X: \r\n", "Expect: 100-continue\r\n",
                      "Content-Type: application/json\r\n", "Upgrade: h2c\r\n",
                      "Connection: Upgrade\r\n", "Content-Length: 0\r\n", "X-B: \xC3\xA4\r\n"));
    if (kal_rng_chance(rng, 1, 3))
        kal_buf_append_cstr(out, "\r\n");
    else
        generate_body(rng, out);
}

/* Changes, removes or doubles a few bytes. */
static void mutate(kal_rng *rng, kal_buf *text)
{
    static const char bytes[] = "\r\n \t:;,0129afGHT/*?#%\x00\x01\x7f\x80=";
    for (uint64_t times = kal_rng_below(rng, 3); times > 0 && text->len > 2; times--) {
        size_t at = kal_rng_below(rng, text->len - 1);
        switch (kal_rng_below(rng, 3)) {
        case 0:
            text->ptr[at] = (uint8_t)bytes[kal_rng_below(rng, sizeof bytes - 1)];
            break;
        case 1:
            memmove(text->ptr + at, text->ptr + at + 1, text->len - at - 1);
            text->len--;
            break;
        default:
            kal_buf_append_byte(text, 0);
            memmove(text->ptr + at + 1, text->ptr + at, text->len - at - 1);
            break;
        }
    }
}

/* Goal: as for the table, on inputs nobody thought of. Method: requests from a grammar, most with
 * a few bytes changed, through both parsers and through random cuts. */
static void test_generated(void **state)
{
    (void)state;
    uint64_t seed = test_seed();
    unsigned accepted = 0;
    kal_rng rng;
    kal_rng_seed(&rng, seed);
    for (int i = 0; i < 20000; i++) {
        kal_buf input = {0};
        kal_buf whole = {0};
        kal_buf cut = {0};
        generate(&rng, &input);
        mutate(&rng, &input);
        bool ok = agrees(kal_buf_bytes(&input));
        outcome_of(&small_limits, kal_buf_bytes(&input), 0, 0, &whole);
        outcome_of(&small_limits, kal_buf_bytes(&input), 1 + kal_rng_below(&rng, input.len),
                   kal_rng_below(&rng, 10), &cut);
        if (!ok || !same(&whole, &cut))
            fail_msg("seed %llu, request %d", (unsigned long long)seed, i);
        accepted += whole.len > 0 && memcmp(whole.ptr, "refused", 7) != 0;
        kal_buf_release(&input);
        kal_buf_release(&whole);
        kal_buf_release(&cut);
    }
    assert_true(accepted > 1000); /* the generator still makes requests worth comparing */
}

static int refusal_of(const kal_http_limits *limits, kal_bytes input, bool *resumable_out)
{
    kal_http_reader reader;
    kal_http_reader_init(&reader, limits, NULL);
    kal_http_event event = first_event(&reader, input);
    int status = event == KAL_HTTP_REFUSED     ? reader.refusal.status
                 : event == KAL_HTTP_NEED_MORE ? -1
                                               : 0;
    *resumable_out = event == KAL_HTTP_REFUSED && reader.refusal.resumable;
    kal_http_reader_release(&reader);
    return status;
}

/* A GET whose target, number of headers and one header's length are given. */
static void sized_request(kal_buf *out, size_t target_len, size_t headers, size_t value_len)
{
    kal_buf_clear(out);
    kal_buf_append_cstr(out, "GET /");
    for (size_t i = 1; i < target_len; i++)
        kal_buf_append_byte(out, 'a');
    kal_buf_append_cstr(out, " HTTP/1.1\r\nHost: ");
    for (size_t i = 0; i < value_len; i++)
        kal_buf_append_byte(out, 'h');
    kal_buf_append_cstr(out, "\r\n");
    for (size_t i = 1; i < headers; i++)
        kal_buf_append_cstr(out, "a: b\r\n");
    kal_buf_append_cstr(out, "\r\n");
}

/* Goal: each limit holds exactly. Method: inputs at the limit and one beyond it. */
static void test_head_limits(void **state)
{
    (void)state;
    kal_buf text = {0};
    bool resumable = false;
    const kal_http_limits *limits = &default_limits;

    sized_request(&text, limits->target_bytes, 1, 1);
    assert_int_equal(refusal_of(limits, kal_buf_bytes(&text), &resumable), 0);
    sized_request(&text, limits->target_bytes + 1, 1, 1);
    assert_int_equal(refusal_of(limits, kal_buf_bytes(&text), &resumable), 414);
    sized_request(&text, 100000, 1, 1);
    assert_int_equal(refusal_of(limits, kal_buf_bytes(&text), &resumable), 414);
    sized_request(&text, 1, limits->header_count, 1);
    assert_int_equal(refusal_of(limits, kal_buf_bytes(&text), &resumable), 0);
    sized_request(&text, 1, limits->header_count + 1, 1);
    assert_int_equal(refusal_of(limits, kal_buf_bytes(&text), &resumable), 431);

    sized_request(&text, 1, 1, 1);
    size_t around = text.len - 1;
    sized_request(&text, 1, 1, limits->head_bytes - around);
    assert_int_equal(text.len, limits->head_bytes);
    assert_int_equal(refusal_of(limits, kal_buf_bytes(&text), &resumable), 0);
    sized_request(&text, 1, 1, limits->head_bytes - around + 1);
    assert_int_equal(refusal_of(limits, kal_buf_bytes(&text), &resumable), 431);
    sized_request(&text, 1, 1, limits->head_bytes * 4);
    assert_int_equal(refusal_of(limits, kal_buf_bytes(&text), &resumable), 431);
    assert_false(resumable);

    kal_buf_clear(&text);
    for (size_t i = 0; i < limits->head_bytes; i++)
        kal_buf_append_byte(&text, 'A');
    assert_int_equal(refusal_of(limits, kal_buf_bytes(&text), &resumable), 400);
    kal_buf_release(&text);
}

/* Goal: a body that is too long is answered, and the connection lives on if it is not absurd.
 * Method: fixed and chunked bodies around both limits, then a request behind them. */
static void test_body_limits(void **state)
{
    (void)state;
    static const char *const inputs[] = {
        POST "Content-Length: 20\r\n\r\n01234567890123456789",
        POST "Content-Length: 21\r\n\r\n012345678901234567890",
        POST "Content-Length: 61\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\n\r\n14\r\n01234567890123456789\r\n0\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\nb\r\n01234567890\r\n0\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\n\r\n3d\r\n",
    };
    static const int statuses[] = {0, 413, 413, 0, 413, 413};
    static const bool resumables[] = {false, true, false, false, true, false};
    bool resumable = false;

    for (size_t i = 0; i < KAL_ARRAY_LEN(inputs); i++) {
        int status = refusal_of(&small_limits, kal_cstr(inputs[i]), &resumable);
        assert_int_equal(status, statuses[i]);
        assert_int_equal(resumable, resumables[i]);
        if (!resumable)
            continue;
        kal_buf input = {0};
        kal_buf seen = {0};
        kal_buf_append_cstr(&input, inputs[i]);
        kal_buf_append_cstr(&input, "GET /next HTTP/1.1\r\n" HOST "\r\n");
        outcome_of(&small_limits, kal_buf_bytes(&input), 0, 0, &seen);
        kal_buf_append_byte(&seen, 0);
        assert_non_null(strstr((char *)seen.ptr, "refused 413"));
        assert_non_null(strstr((char *)seen.ptr, "GET /next"));
        kal_buf_release(&input);
        kal_buf_release(&seen);
    }
    /* A client that asks first is told no before it sends. */
    assert_int_equal(refusal_of(&small_limits,
                                kal_cstr(POST "Expect: 100-continue\r\n"
                                              "Content-Length: 21\r\n\r\n"),
                                &resumable),
                     413);
    assert_false(resumable);
}

/* Goal: a discarded body costs no memory. Method: 10 MB past a limit of 2 MB in pieces. */
static void test_discard_is_constant_memory(void **state)
{
    (void)state;
    kal_http_reader reader;
    kal_budget budget;
    static uint8_t piece[64 * 1024];
    size_t left = 10 * 1024 * 1024;
    kal_budget_init(&budget, NULL, 300 * 1024);
    kal_http_reader_init(&reader, &default_limits, &budget);
    kal_http_reader_feed(&reader, kal_cstr(POST "Content-Length: 10485760\r\n\r\n"));
    assert_int_equal(kal_http_reader_next(&reader), KAL_HTTP_NEED_MORE);
    for (; left > 0; left -= sizeof piece) {
        kal_http_reader_feed(&reader, kal_bytes_of(piece, sizeof piece));
        kal_http_event event = kal_http_reader_next(&reader);
        assert_int_equal(event, left > sizeof piece ? KAL_HTTP_NEED_MORE : (int)KAL_HTTP_REFUSED);
    }
    assert_int_equal(reader.refusal.status, 413);
    assert_true(reader.refusal.resumable);
    kal_http_reader_release(&reader);
    assert_int_equal(budget.used, 0);
}

/* Goal: a client cannot take more than the budget. Method: a body larger than it. */
static void test_budget(void **state)
{
    (void)state;
    kal_http_reader reader;
    kal_budget budget;
    static uint8_t piece[4096];
    kal_http_event event = KAL_HTTP_NEED_MORE;
    kal_budget_init(&budget, NULL, 16 * 1024);
    kal_http_reader_init(&reader, &default_limits, &budget);
    kal_http_reader_feed(&reader, kal_cstr(POST "Content-Length: 1000000\r\n\r\n"));
    for (int i = 0; i < 100 && event == KAL_HTTP_NEED_MORE; i++) {
        event = kal_http_reader_next(&reader);
        if (event == KAL_HTTP_NEED_MORE)
            kal_http_reader_feed(&reader, kal_bytes_of(piece, sizeof piece));
    }
    assert_int_equal(event, KAL_HTTP_REFUSED);
    assert_int_equal(reader.refusal.status, 503);
    assert_true(reader.refusal.has_target);
    kal_http_reader_release(&reader);
    assert_int_equal(budget.used, 0);
}

/* Goal: many small chunks stay linear. Method: a 1 MiB body of one-byte chunks, fed in 64 KiB. */
static void test_small_chunks(void **state)
{
    (void)state;
    kal_buf input = {0};
    kal_buf seen = {0};
    kal_buf_append_cstr(&input, POST "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 1024 * 1024; i++)
        kal_buf_append_cstr(&input, "1\r\nx\r\n");
    kal_buf_append_cstr(&input, "0\r\n\r\n");
    outcome_of(&default_limits, kal_buf_bytes(&input), 64 * 1024, 64 * 1024, &seen);
    kal_buf_append_byte(&seen, 0);
    assert_non_null(strstr((char *)seen.ptr, "body 1048576 xxxx"));
    kal_buf_release(&input);
    kal_buf_release(&seen);
}

/* Goal: "100 Continue" is asked for once, and only while the body is awaited. */
static void test_continue(void **state)
{
    (void)state;
    kal_http_reader reader;
    kal_http_reader_init(&reader, &default_limits, NULL);
    kal_http_reader_feed(&reader,
                         kal_cstr(POST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
    assert_int_equal(kal_http_reader_next(&reader), KAL_HTTP_CONTINUE);
    assert_int_equal(kal_http_reader_next(&reader), KAL_HTTP_NEED_MORE);
    assert_true(kal_http_reader_in_body(&reader));
    kal_http_reader_feed(&reader, kal_cstr("ab"));
    assert_int_equal(kal_http_reader_next(&reader), KAL_HTTP_REQUEST);
    assert_false(kal_http_reader_has_more(&reader));
    kal_http_reader_finish(&reader);
    assert_false(kal_http_reader_in_message(&reader));
    kal_http_reader_trim(&reader);
    assert_null(reader.in.ptr);
    kal_http_reader_release(&reader);
}

/* Goal: requests pass through one reader for ever without growing it. Method: a stream that is
 * always cut inside a message. */
static void test_endless_pipeline(void **state)
{
    (void)state;
    static const char one[] = POST "Content-Length: 10\r\n\r\n0123456789";
    kal_http_reader reader;
    kal_buf stream = {0};
    size_t seen = 0;
    for (int i = 0; i < 1000; i++)
        kal_buf_append_cstr(&stream, one);
    kal_http_reader_init(&reader, &default_limits, NULL);
    for (size_t at = 0; at < stream.len; at += 777) {
        size_t len = stream.len - at < 777 ? stream.len - at : 777;
        kal_http_reader_feed(&reader, kal_bytes_of(stream.ptr + at, len));
        while (kal_http_reader_next(&reader) == KAL_HTTP_REQUEST) {
            assert_true(kal_bytes_equal(reader.request.body, KAL_STR("0123456789")));
            kal_http_reader_finish(&reader);
            seen++;
        }
        assert_true(reader.in.cap <= 4096);
    }
    assert_int_equal(seen, 1000);
    kal_http_reader_release(&reader);
    kal_buf_release(&stream);
}

/* Goal: header look-up ignores case and counts. */
static void test_header_find(void **state)
{
    (void)state;
    kal_http_reader reader;
    kal_bytes value = {0};
    kal_http_reader_init(&reader, &default_limits, NULL);
    assert_int_equal(
        first_event(&reader,
                    kal_cstr("GET /p?q=1 HTTP/1.1\r\nHOST: a\r\nX-a: 1\r\nx-A: 2\r\n\r\n")),
        KAL_HTTP_REQUEST);
    assert_true(kal_http_header_find(&reader.request, "x-a", &value));
    assert_true(kal_bytes_equal(value, KAL_STR("1")));
    assert_int_equal(kal_http_header_times(&reader.request, "x-a"), 2);
    assert_false(kal_http_header_find(&reader.request, "x-b", &value));
    assert_true(kal_bytes_equal(reader.request.path, KAL_STR("/p")));
    assert_true(kal_bytes_equal(reader.request.query, KAL_STR("q=1")));
    kal_http_reader_release(&reader);
}

/* Goal: response heads. Method: the exact bytes. */
static void test_head_write(void **state)
{
    (void)state;
    kal_buf out = {0};
    char date[KAL_HTTP_DATE_BYTES];
    kal_http_field fields[] = {{"Allow", "GET, POST"}};
    kal_http_date(784111777, date);
    kal_http_head head = {.status = 405,
                          .minor = 1,
                          .keep_alive = true,
                          .date = date,
                          .content_type = "application/json",
                          .content_length = 12,
                          .fields = fields,
                          .field_count = 1};
    kal_http_head_write(&head, &out);
    kal_buf_append_byte(&out, 0);
    assert_string_equal((char *)out.ptr, "HTTP/1.1 405 Method Not Allowed\r\n"
                                         "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                                         "Content-Type: application/json\r\n"
                                         "Content-Length: 12\r\n"
                                         "Allow: GET, POST\r\n\r\n");
    kal_buf_clear(&out);
    head = (kal_http_head){.status = 200, .minor = 0, .keep_alive = true};
    kal_http_head_write(&head, &out);
    head.keep_alive = false;
    kal_http_head_write(&head, &out);
    head = (kal_http_head){.status = 100, .minor = 1, .keep_alive = true};
    kal_http_head_write(&head, &out);
    kal_buf_append_byte(&out, 0);
    assert_string_equal((char *)out.ptr,
                        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"
                        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                        "HTTP/1.1 100 Continue\r\n\r\n");
    kal_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_table_against_http_parser),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_generated),
        cmocka_unit_test(test_head_limits),
        cmocka_unit_test(test_body_limits),
        cmocka_unit_test(test_discard_is_constant_memory),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_small_chunks),
        cmocka_unit_test(test_continue),
        cmocka_unit_test(test_endless_pipeline),
        cmocka_unit_test(test_header_find),
        cmocka_unit_test(test_head_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
