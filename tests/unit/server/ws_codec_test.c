/*
 * Goal: the reader gives the same messages for every fragmentation, mask, compression and split;
 * each rule of RFC 6455 and 7692 that a frame can break is seen, with the right code and as early
 * as the bytes allow; an idle reader holds no memory. The handshake's cases.
 */
#include "server/ws_codec.h"
#include "server/ws_handshake.h"
#include "server/ws_queue.h"
#include "unit/base/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MESSAGE_MAX = 100000 };

/* ---- a client's frames ---- */

static void put_frame(kal_rng *rng, kal_buf *out, unsigned first, kal_bytes payload)
{
    uint8_t head[KAL_WS_HEAD_BYTES_MAX];
    uint8_t mask[4];
    size_t len = kal_ws_head_write((uint8_t)first, payload.len, head);

    head[1] |= 0x80;
    kal_rng_fill(rng, mask, sizeof mask);
    kal_buf_append(out, head, len);
    kal_buf_append(out, mask, sizeof mask);
    for (size_t i = 0; i < payload.len; i++)
        kal_buf_append_byte(out, payload.ptr[i] ^ mask[i % 4]);
}

/* A line for each event: what a reader is expected to say, and what it said. */
static void note(kal_buf *log, const char *what, kal_bytes payload)
{
    kal_buf_printf(log, "%s %zu %08x\n", what, payload.len, kal_crc32(payload));
}

static void note_event(kal_buf *log, kal_ws_event event, const kal_ws_reader *r)
{
    switch (event) {
    case KAL_WS_NEED_MORE:
        return;
    case KAL_WS_MESSAGE:
        note(log, r->is_text ? "text" : "binary", r->payload);
        return;
    case KAL_WS_PING:
        note(log, "ping", r->payload);
        return;
    case KAL_WS_PONG:
        note(log, "pong", r->payload);
        return;
    case KAL_WS_CLOSE:
        kal_buf_printf(log, "close %u", r->code);
        note(log, "", r->payload);
        return;
    case KAL_WS_FAILED:
        kal_buf_printf(log, "failed %u\n", r->code);
    }
}

static void feed(kal_ws_reader *r, const uint8_t *bytes, size_t len, kal_buf *log)
{
    uint8_t *copy = malloc(len + 1); /* written to; of its size, so that overruns show */
    uint8_t *at = copy;
    kal_ws_event event = KAL_WS_NEED_MORE;

    memcpy(copy, bytes, len);
    do {
        event = kal_ws_reader_next(r, &at, &len);
        note_event(log, event, r);
    } while (event != KAL_WS_NEED_MORE);
    assert_int_equal(len, 0);
    free(copy);
}

/* piece: 0 = cut at random */
static void read_all(kal_rng *rng, kal_bytes input, size_t piece, kal_buf *log)
{
    kal_ws_reader r;
    kal_budget budget;

    kal_budget_init(&budget, NULL, (size_t)1 << 24);
    kal_ws_reader_init(&r, MESSAGE_MAX, true, &budget);
    while (input.len > 0) {
        size_t len = piece != 0 ? piece : 1 + (size_t)kal_rng_below(rng, 200);
        if (len > input.len)
            len = input.len;
        feed(&r, input.ptr, len, log);
        input = kal_bytes_of(input.ptr + len, input.len - len);
    }
    if (!kal_ws_reader_in_message(&r))
        assert_int_equal(budget.used, 0);
    kal_ws_reader_release(&r);
    assert_int_equal(budget.used, 0);
}

/* ---- the property ---- */

static void random_payload(kal_rng *rng, bool is_text, kal_buf *out)
{
    static const char *const PARTS[] = {"a",           "ß", "€", "😀", "row", "\xF4\x8F\xBF\xBF",
                                        "\xED\x9F\xBF"};
    static const size_t SIZES[] = {0, 1, 125, 126, 127, 500, 65535, 65536, 70000};
    size_t len =
        SIZES[kal_rng_below(rng, KAL_ARRAY_LEN(SIZES) - (kal_rng_chance(rng, 9, 10) ? 3 : 0))];

    while (out->len < len) {
        if (is_text)
            kal_buf_append_cstr(out, PARTS[kal_rng_below(rng, KAL_ARRAY_LEN(PARTS))]);
        else
            kal_buf_append_byte(out, (uint8_t)(kal_rng_next(rng) >> 5));
    }
}

static void random_control(kal_rng *rng, kal_buf *out, kal_buf *expected)
{
    uint8_t payload[KAL_WS_CONTROL_BYTES_MAX];
    size_t len = (size_t)kal_rng_below(rng, sizeof payload + 1);
    bool is_ping = kal_rng_chance(rng, 1, 2);

    kal_rng_fill(rng, payload, len);
    put_frame(rng, out, KAL_WS_FIN | (unsigned)(is_ping ? KAL_WS_OP_PING : KAL_WS_OP_PONG),
              kal_bytes_of(payload, len));
    note(expected, is_ping ? "ping" : "pong", kal_bytes_of(payload, len));
}

/* In up to five fragments, control frames between them. */
static void put_fragments(kal_rng *rng, unsigned first, kal_bytes rest, kal_buf *out,
                          kal_buf *expected)
{
    for (uint64_t more = kal_rng_below(rng, 5);; more--) {
        kal_bytes piece = rest;
        if (more > 0)
            piece.len = (size_t)kal_rng_below(rng, rest.len + 1);
        put_frame(rng, out, first | (more == 0 ? KAL_WS_FIN : 0u), piece);
        if (more == 0)
            return;
        rest = kal_bytes_of(rest.ptr + piece.len, rest.len - piece.len);
        first = KAL_WS_CONTINUATION;
        if (kal_rng_chance(rng, 1, 3))
            random_control(rng, out, expected);
    }
}

static void random_message(kal_rng *rng, kal_buf *out, kal_buf *expected)
{
    bool is_text = kal_rng_chance(rng, 1, 2);
    unsigned first = is_text ? KAL_WS_TEXT : KAL_WS_BINARY;
    kal_buf payload, packed;

    kal_buf_init(&payload, NULL);
    kal_buf_init(&packed, NULL);
    random_payload(rng, is_text, &payload);
    if (kal_rng_chance(rng, 1, 2)) {
        assert_int_equal(kal_deflate(kal_buf_bytes(&payload), &packed, NULL), KAL_OK);
        kal_buf_truncate(&packed, packed.len - 4);
        put_fragments(rng, first | KAL_WS_RSV1, kal_buf_bytes(&packed), out, expected);
    } else {
        put_fragments(rng, first, kal_buf_bytes(&payload), out, expected);
    }
    note(expected, is_text ? "text" : "binary", kal_buf_bytes(&payload));
    kal_buf_release(&payload);
    kal_buf_release(&packed);
}

static void any_sequence_in_any_pieces(void **state)
{
    kal_rng rng;
    (void)state;
    kal_test_seed(&rng);
    for (int i = 0; i < 150; i++) {
        static const size_t PIECES[] = {0, 1, 7, 4096, SIZE_MAX};
        kal_buf input, expected;
        kal_buf_init(&input, NULL);
        kal_buf_init(&expected, NULL);
        for (uint64_t n = kal_rng_below(&rng, 6); n > 0; n--)
            random_message(&rng, &input, &expected);
        put_frame(&rng, &input, KAL_WS_FIN | KAL_WS_OP_CLOSE,
                  KAL_STR("\x03\xE8"
                          "bye"));
        kal_buf_append_cstr(&expected, "close 1000");
        note(&expected, "", KAL_STR("bye"));
        kal_buf_append_cstr(&input, "what follows is of no interest");
        for (size_t p = 0; p < KAL_ARRAY_LEN(PIECES); p++) {
            kal_buf log;
            kal_buf_init(&log, NULL);
            read_all(&rng, kal_buf_bytes(&input), PIECES[p], &log);
            assert_true(kal_bytes_equal(kal_buf_bytes(&log), kal_buf_bytes(&expected)));
            kal_buf_release(&log);
        }
        kal_buf_release(&input);
        kal_buf_release(&expected);
    }
}

/* ---- rules ---- */

/* The bytes make the reader say `expected`, at the last byte and not before. */
static void check_last_byte(const void *bytes, size_t len, bool allow_compressed,
                            const char *expected)
{
    kal_ws_reader r;
    kal_buf log;

    kal_buf_init(&log, NULL);
    kal_ws_reader_init(&r, 1000, allow_compressed, NULL);
    for (size_t i = 0; i < len; i++) {
        if (log.len > 0)
            fail_msg("%s: too early, %zu bytes before the end", expected, len - i);
        feed(&r, (const uint8_t *)bytes + i, 1, &log);
    }
    kal_buf_append_byte(&log, 0);
    assert_string_equal((const char *)log.ptr, expected);
    kal_buf_release(&log);
    kal_ws_reader_release(&r);
}

#define LAST_BYTE(bytes, expected)         check_last_byte(bytes, sizeof(bytes) - 1, false, expected)
#define LAST_BYTE_DEFLATE(bytes, expected) check_last_byte(bytes, sizeof(bytes) - 1, true, expected)
#define M0                                 "\0\0\0\0" /* a mask that changes nothing */

static void broken_frames(void **state)
{
    (void)state;
    LAST_BYTE("\x81\x05", "failed 1002\n");                       /* not masked */
    LAST_BYTE("\xC1\x80", "failed 1002\n");                       /* RSV1, nothing agreed */
    LAST_BYTE_DEFLATE("\xA1\x80", "failed 1002\n");               /* RSV2 */
    LAST_BYTE_DEFLATE("\x91\x80", "failed 1002\n");               /* RSV3 */
    LAST_BYTE_DEFLATE("\xC9\x80", "failed 1002\n");               /* a compressed ping */
    LAST_BYTE_DEFLATE("\x41\x80" M0 "\xC0\x80", "failed 1002\n"); /* RSV1 in a later fragment */
    LAST_BYTE("\x83\x80", "failed 1002\n");                       /* opcodes nobody knows */
    LAST_BYTE("\x87\x80", "failed 1002\n");
    LAST_BYTE("\x8B\x80", "failed 1002\n");
    LAST_BYTE("\x8F\x80", "failed 1002\n");
    LAST_BYTE("\x09\x80", "failed 1002\n"); /* a fragmented ping */
    LAST_BYTE("\x88\xFE", "failed 1002\n"); /* a control frame of more than 125 bytes */
    LAST_BYTE("\x80\x80", "failed 1002\n"); /* continues nothing */
    LAST_BYTE("\x00\x80", "failed 1002\n");
    LAST_BYTE("\x01\x80" M0 "\x81\x80", "failed 1002\n"); /* begins within another */
    LAST_BYTE("\x81\xFE\x00\x7D" M0, "failed 1002\n"); /* lengths that are longer than they must */
    LAST_BYTE("\x81\xFF\x00\x00\x00\x00\x00\x00\xFF\xFF" M0, "failed 1002\n");
    LAST_BYTE("\x81\xFF\x80\x00\x00\x00\x00\x00\x00\x00" M0, "failed 1002\n"); /* and negative */
    LAST_BYTE("\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF" M0, "failed 1009\n");
    LAST_BYTE("\x82\xFE\x03\xE9" M0, "failed 1009\n"); /* 1001 bytes of at most 1000 */
}

static void limits_hold_over_fragments(void **state)
{
    static char bytes[2000];
    kal_buf input;
    kal_rng rng;
    (void)state;
    kal_rng_seed(&rng, 1);
    for (size_t extra = 0; extra < 2; extra++) {
        kal_buf log;
        kal_ws_reader r;
        kal_buf_init(&input, NULL);
        kal_buf_init(&log, NULL);
        put_frame(&rng, &input, KAL_WS_BINARY, kal_bytes_of(bytes, 600));
        put_frame(&rng, &input, KAL_WS_FIN, kal_bytes_of(bytes, 400 + extra));
        kal_ws_reader_init(&r, 1000, false, NULL);
        feed(&r, input.ptr, input.len, &log);
        if (extra == 1)
            assert_memory_equal(log.ptr, "failed 1009\n", 12);
        else
            assert_memory_equal(log.ptr, "binary 1000 ", 12);
        kal_ws_reader_release(&r);
        kal_buf_release(&log);
        kal_buf_release(&input);
    }
}

static void close_frames(void **state)
{
    static const struct {
        unsigned code;
        bool valid;
    } codes[] = {{0, false},    {999, false},  {1000, true},  {1003, true}, {1004, false},
                 {1005, false}, {1006, false}, {1007, true},  {1011, true}, {1014, true},
                 {1015, false}, {1016, false}, {2999, false}, {3000, true}, {4999, true},
                 {5000, false}, {65535, false}};
    (void)state;
    LAST_BYTE("\x88\x80" M0, "close 1005 0 00000000\n");
    LAST_BYTE("\x88\x81" M0 "x", "failed 1002\n");
    LAST_BYTE("\x88\x84" M0 "\x03\xE8\xC3\x28", "failed 1007\n");
    for (size_t i = 0; i < KAL_ARRAY_LEN(codes); i++) {
        uint8_t frame[] = {0x88, 0x82, 0, 0, 0, 0, 0, 0};
        char expected[64];
        kal_store_be16(frame + 6, (uint16_t)codes[i].code);
        snprintf(expected, sizeof expected,
                 codes[i].valid ? "close %u 0 00000000\n" : "failed 1002\n", codes[i].code);
        check_last_byte(frame, sizeof frame, false, expected);
        assert_int_equal(kal_ws_close_code_valid(codes[i].code), codes[i].valid);
    }
}

static void text_fails_at_its_first_bad_byte(void **state)
{
    (void)state;
    LAST_BYTE("\x81\x85" M0 "abc\xFF", "failed 1007\n"); /* one byte is still to come */
    LAST_BYTE("\x81\x88" M0 "\xF0\x8F", "failed 1007\n");
    LAST_BYTE("\x81\x88" M0 "\xF4\x90", "failed 1007\n");
    LAST_BYTE("\x81\x88" M0 "\xED\xA0", "failed 1007\n");
    LAST_BYTE("\x81\x88" M0 "\xC0", "failed 1007\n");
    LAST_BYTE("\x81\x82" M0 "\xE2\x82", "failed 1007\n"); /* ends within a character */
    LAST_BYTE("\x01\x81" M0 "\xE2\x00\x81" M0 "\x82\x80\x82" M0 "\xC2", "failed 1007\n");
    LAST_BYTE("\x01\x81" M0 "\xE2\x00\x81" M0 "\x82\x80\x81" M0 "\xAC",
              "text 3 83f2c8d6\n"); /* a character over three fragments */
}

static void compressed_messages(void **state)
{
    (void)state;
    LAST_BYTE_DEFLATE("\xC1\x87" M0 "\xf2\x48\xcd\xc9\xc9\x07\x00", "text 5 f7d18982\n");
    LAST_BYTE_DEFLATE("\x41\x83" M0 "\xf2\x48\xcd\x80\x84" M0 "\xc9\xc9\x07\x00",
                      "text 5 f7d18982\n");
    LAST_BYTE_DEFLATE("\xC1\x88" M0 "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "text 5 f7d18982\n");
    LAST_BYTE_DEFLATE("\xC2\x81" M0 "\x00", "binary 0 00000000\n");
    LAST_BYTE_DEFLATE("\xC2\x80" M0, "binary 0 00000000\n");
    LAST_BYTE_DEFLATE("\xC1\x83" M0 "\xf2\x48\xcd", "failed 1007\n"); /* ends within a block */
    LAST_BYTE_DEFLATE("\xC1\x85" M0 "\xFF", "failed 1007\n");         /* no deflate */
    LAST_BYTE_DEFLATE("\xC1\x89" M0 "\x00\x02\x00\xFD\xFF\xC3\x28", "failed 1007\n"); /* no UTF-8 */
}

static void a_bomb_is_too_big(void **state)
{
    static const uint8_t ZEROS[50000];
    kal_buf packed, input, log;
    kal_ws_reader r;
    kal_rng rng;
    kal_budget budget;
    (void)state;
    kal_rng_seed(&rng, 1);
    for (int is_small_budget = 0; is_small_budget < 2; is_small_budget++) {
        kal_buf_init(&packed, NULL);
        kal_buf_init(&input, NULL);
        kal_buf_init(&log, NULL);
        kal_budget_init(&budget, NULL, is_small_budget ? 60000 : 200000);
        assert_int_equal(kal_deflate(kal_bytes_of(ZEROS, sizeof ZEROS), &packed, NULL), KAL_OK);
        put_frame(&rng, &input, KAL_WS_FIN | KAL_WS_RSV1 | KAL_WS_BINARY,
                  kal_bytes_of(packed.ptr, packed.len - 4));
        kal_ws_reader_init(&r, is_small_budget ? 60000 : 49999, true, &budget);
        feed(&r, input.ptr, input.len, &log);
        kal_buf_append_byte(&log, 0);
        assert_string_equal((char *)log.ptr, is_small_budget ? "failed 1013\n" : "failed 1009\n");
        assert_int_equal(budget.used, 0);
        kal_ws_reader_release(&r);
        kal_buf_release(&packed);
        kal_buf_release(&input);
        kal_buf_release(&log);
    }
}

/* ---- what we send ---- */

static void heads_and_close_payloads(void **state)
{
    uint8_t out[KAL_WS_CONTROL_BYTES_MAX];
    char longer[200];
    (void)state;
    assert_int_equal(kal_ws_head_write(0x81, 125, out), 2);
    assert_memory_equal(out, "\x81\x7D", 2);
    assert_int_equal(kal_ws_head_write(0x82, 126, out), 4);
    assert_memory_equal(out, "\x82\x7E\x00\x7E", 4);
    assert_int_equal(kal_ws_head_write(0x82, 65535, out), 4);
    assert_int_equal(kal_ws_head_write(0x82, 65536, out), 10);
    assert_memory_equal(out, "\x82\x7F\0\0\0\0\0\x01\0\0", 10);
    assert_int_equal(kal_ws_close_payload(KAL_WS_CLOSE_NONE, "x", out), 0);
    assert_int_equal(kal_ws_close_payload(1000, NULL, out), 2);
    assert_int_equal(kal_ws_close_payload(1001, "bye", out), 5);
    assert_memory_equal(out,
                        "\x03\xE9"
                        "bye",
                        5);
    memset(longer, 'x', sizeof longer);
    memcpy(longer + 122, "\xC3\xBC", 2); /* a character across the limit goes as a whole */
    longer[199] = '\0';
    assert_int_equal(kal_ws_close_payload(1000, longer, out), 124);
}

static void drain_queue(kal_rng *rng, kal_ws_queue *queue, kal_buf *out)
{
    while (queue->bytes > 0) {
        struct iovec pieces[8];
        size_t bytes = 0;
        unsigned count = kal_ws_queue_gather(queue, pieces, 8, &bytes);
        assert_true(count > 0 && bytes > 0 && bytes <= queue->bytes);
        size_t take = 1 + (size_t)kal_rng_below(rng, bytes);
        size_t left = take;
        for (unsigned i = 0; i < count && left > 0; i++) {
            size_t len = pieces[i].iov_len < left ? pieces[i].iov_len : left;
            kal_buf_append(out, pieces[i].iov_base, len);
            left -= len;
        }
        kal_ws_queue_sent(queue, take);
    }
    assert_null(queue->first);
}

/* However little the socket takes at a time, all of it goes out once and in order. */
static void queues_lose_nothing(void **state)
{
    kal_rng rng;
    (void)state;
    kal_test_seed(&rng);
    for (int i = 0; i < 300; i++) {
        kal_ws_queue queue;
        kal_budget budget;
        kal_buf expected, out;
        kal_budget_init(&budget, NULL, (size_t)1 << 24);
        kal_ws_queue_init(&queue, &budget);
        kal_buf_init(&expected, NULL);
        kal_buf_init(&out, NULL);
        for (uint64_t n = kal_rng_below(&rng, 12); n > 0; n--) {
            uint8_t head[KAL_WS_HEAD_BYTES_MAX];
            kal_buf members;
            kal_message m;
            size_t len = (size_t)kal_rng_below(&rng, 700);
            kal_buf_init(&members, &budget);
            kal_buf_append_cstr(&members, "\"a\":\"");
            for (size_t k = 0; k < len; k++)
                kal_buf_append_byte(&members, 'x');
            kal_buf_append_byte(&members, '"');
            kal_message_body *body = kal_message_body_make(&members, 1);
            assert_int_equal(
                kal_message_make(NULL, body, KAL_WIRE_JSON, KAL_PACK_PLAIN, 0, &m, NULL), KAL_OK);
            assert_true(kal_ws_queue_message(&queue, 0x81, &m, body));
            kal_buf_append(&expected, head, kal_ws_head_write(0x81, m.len, head));
            kal_buf_append_byte(&expected, '{');
            kal_buf_append_bytes(&expected, m.middle);
            kal_message_body_release(body);
        }
        drain_queue(&rng, &queue, &out);
        assert_true(kal_bytes_equal(kal_buf_bytes(&expected), kal_buf_bytes(&out)));
        kal_ws_queue_release(&queue);
        assert_int_equal(budget.used, 0);
        kal_buf_release(&expected);
        kal_buf_release(&out);
    }
}

static void only_the_newest_pong_waits(void **state)
{
    kal_ws_queue queue;
    struct iovec pieces[8];
    size_t bytes = 0;
    (void)state;
    kal_ws_queue_init(&queue, NULL);
    for (int i = 0; i < 1000; i++)
        kal_ws_queue_control(&queue, KAL_WS_OP_PONG, kal_bytes_of("0123456789", (size_t)i % 10));
    assert_int_equal(queue.bytes, 11);
    kal_ws_queue_sent(&queue, 1); /* begun: it cannot be changed any more */
    kal_ws_queue_control(&queue, KAL_WS_OP_PONG, KAL_STR("a"));
    kal_ws_queue_control(&queue, KAL_WS_OP_PONG, KAL_STR("b"));
    assert_int_equal(kal_ws_queue_gather(&queue, pieces, 8, &bytes), 2);
    assert_int_equal(bytes, 13);
    assert_memory_equal(pieces[1].iov_base,
                        "\x8A\x01"
                        "b",
                        3);
    kal_ws_queue_release(&queue);
}

/* ---- the handshake ---- */

static kal_status handshake(const char *headers, kal_ws_handshake *out, kal_buf *reply)
{
    kal_http_limits limits = KAL_HTTP_LIMITS_DEFAULT;
    kal_http_reader reader;
    kal_buf text;

    kal_buf_init(&text, NULL);
    kal_buf_printf(&text, "%s\r\nHost: x\r\n\r\n", headers);
    kal_http_reader_init(&reader, &limits, NULL);
    kal_http_reader_feed(&reader, kal_buf_bytes(&text));
    assert_int_equal(kal_http_reader_next(&reader), KAL_HTTP_REQUEST);
    kal_status status = kal_ws_handshake_check(&reader.request, true, out, NULL);
    kal_buf_init(reply, NULL);
    if (status == KAL_OK)
        kal_ws_handshake_reply(out, reply);
    kal_buf_append_byte(reply, 0);
    kal_http_reader_release(&reader);
    kal_buf_release(&text);
    return status;
}

#define GET     "GET / HTTP/1.1\r\n"
#define UPGRADE "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="

static void handshakes(void **state)
{
    static const struct {
        const char *headers;
        kal_status status;
    } cases[] = {
        {GET UPGRADE VERSION KEY, KAL_OK},
        {GET "Upgrade: h2c, websocket\r\nConnection: Upgrade\r\n" VERSION KEY, KAL_OK},
        {"POST / HTTP/1.1\r\nContent-Length: 0\r\n" UPGRADE VERSION KEY, KAL_INVALID},
        {"GET / HTTP/1.0\r\n" UPGRADE VERSION KEY, KAL_INVALID},
        {GET VERSION KEY, KAL_UNSUPPORTED},
        {GET "Upgrade: websockets\r\nConnection: Upgrade\r\n" VERSION KEY, KAL_UNSUPPORTED},
        {GET "Upgrade: websocket\r\nConnection: keep-alive\r\n" VERSION KEY, KAL_INVALID},
        {GET "Upgrade: websocket\r\n" VERSION KEY, KAL_INVALID},
        {GET UPGRADE KEY, KAL_UNSUPPORTED},
        {GET UPGRADE "Sec-WebSocket-Version: 8\r\n" KEY, KAL_UNSUPPORTED},
        {GET UPGRADE VERSION VERSION KEY, KAL_UNSUPPORTED},
        {GET UPGRADE VERSION "X: y", KAL_INVALID},
        {GET UPGRADE VERSION KEY "\r\n" KEY, KAL_INVALID},
        {GET UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ", KAL_INVALID},
        {GET UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==", KAL_INVALID},
        {GET UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q==", KAL_INVALID},
    };
    (void)state;
    for (size_t i = 0; i < KAL_ARRAY_LEN(cases); i++) {
        kal_ws_handshake found;
        kal_buf reply;
        if (handshake(cases[i].headers, &found, &reply) != cases[i].status)
            fail_msg("case %zu", i);
        if (cases[i].status == KAL_OK)
            assert_string_equal(found.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); /* RFC 6455 1.3 */
        kal_buf_release(&reply);
    }
}

static void extensions(void **state)
{
#define OURS "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    static const struct {
        const char *offer;
        const char *answer; /* NULL: the handshake is refused; "": declined */
    } cases[] = {
        {"permessage-deflate", OURS},
        {"Permessage-Deflate; Client_Max_Window_Bits", OURS},
        {"permessage-deflate; client_max_window_bits=\"10\"", OURS},
        {"permessage-deflate;server_max_window_bits=9 ; client_no_context_takeover",
         OURS "; server_max_window_bits=9"},
        {"permessage-deflate; server_max_window_bits=15", OURS "; server_max_window_bits=15"},
        {"permessage-deflate; server_max_window_bits", ""},
        {"permessage-deflate; server_max_window_bits=7", ""},
        {"permessage-deflate; server_max_window_bits=16", ""},
        {"permessage-deflate; server_max_window_bits=08", ""},
        {"permessage-deflate; client_max_window_bits=x", ""},
        {"permessage-deflate; server_no_context_takeover=1", ""},
        {"permessage-deflate; client_no_context_takeover; client_no_context_takeover", ""},
        {"permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", ""},
        {"permessage-deflate; what", ""},
        {"x-webkit-deflate-frame, permessage-bzip2; a=b", ""},
        {"permessage-deflate; what, , permessage-deflate; server_max_window_bits=12,"
         "permessage-deflate",
         OURS "; server_max_window_bits=12"},
        {"permessage-bzip2\r\nSec-WebSocket-Extensions: permessage-deflate", OURS},
        {"", ""},
        {";", NULL},
        {"permessage-deflate;", NULL},
        {"permessage-deflate; client_max_window_bits=", NULL},
        {"permessage-deflate; client_max_window_bits=\"10", NULL},
        {"permessage-deflate x", NULL},
    };
    (void)state;
    for (size_t i = 0; i < KAL_ARRAY_LEN(cases); i++) {
        kal_ws_handshake found;
        kal_buf reply, headers;
        kal_buf_init(&headers, NULL);
        kal_buf_printf(&headers, GET UPGRADE VERSION KEY "\r\nSec-WebSocket-Extensions: %s%c",
                       cases[i].offer, 0);
        kal_status status = handshake((char *)headers.ptr, &found, &reply);
        if (status != (cases[i].answer == NULL ? KAL_INVALID : KAL_OK))
            fail_msg("%s", cases[i].offer);
        const char *line = strstr((char *)reply.ptr, "Extensions: ");
        if (cases[i].answer != NULL && cases[i].answer[0] == '\0')
            assert_null(line);
        if (cases[i].answer != NULL && cases[i].answer[0] != '\0') {
            size_t len = strlen(cases[i].answer);
            assert_memory_equal(line + 12, cases[i].answer, len);
            assert_memory_equal(line + 12 + len, "\r\n", 2);
        }
        kal_buf_release(&reply);
        kal_buf_release(&headers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_sequence_in_any_pieces),
        cmocka_unit_test(broken_frames),
        cmocka_unit_test(limits_hold_over_fragments),
        cmocka_unit_test(close_frames),
        cmocka_unit_test(text_fails_at_its_first_bad_byte),
        cmocka_unit_test(compressed_messages),
        cmocka_unit_test(a_bomb_is_too_big),
        cmocka_unit_test(heads_and_close_payloads),
        cmocka_unit_test(queues_lose_nothing),
        cmocka_unit_test(only_the_newest_pong_waits),
        cmocka_unit_test(handshakes),
        cmocka_unit_test(extensions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
