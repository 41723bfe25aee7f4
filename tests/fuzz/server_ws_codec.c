/*
 * server_ws_codec.c: any bytes into the WebSocket reader. The first says whether compression is
 * agreed on and where the rest is cut; what comes out must not depend on the cuts, text is UTF-8,
 * nothing is longer than the limit, and a reader between messages holds no memory.
 */
#include "base/assert.h"
#include "server/ws_codec.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_MAX = 5000 };

static void check_event(kal_ws_event event, const kal_ws_reader *r)
{
    switch (event) {
    case KAL_WS_MESSAGE:
        KAL_ASSERT(r->payload.len <= MESSAGE_MAX);
        KAL_ASSERT(!r->is_text || kal_utf8_valid(r->payload));
        return;
    case KAL_WS_PING:
    case KAL_WS_PONG:
        KAL_ASSERT(r->payload.len <= KAL_WS_CONTROL_BYTES_MAX);
        return;
    case KAL_WS_CLOSE:
        KAL_ASSERT(r->code == KAL_WS_CLOSE_NONE || kal_ws_close_code_valid(r->code));
        KAL_ASSERT(kal_utf8_valid(r->payload));
        return;
    case KAL_WS_FAILED:
        KAL_ASSERT(kal_ws_close_code_valid(r->code) && r->reason != NULL);
        return;
    case KAL_WS_NEED_MORE:
        return;
    }
}

/* Feeds one piece; what comes out goes into the log. */
static void feed(kal_ws_reader *r, kal_bytes piece, kal_buf *log)
{
    uint8_t *copy = malloc(piece.len + 1);
    uint8_t *at = copy;
    size_t left = piece.len;
    kal_ws_event event = KAL_WS_NEED_MORE;

    if (copy == NULL)
        kal_die("out of memory: %zu bytes", piece.len);
    memcpy(copy, piece.ptr, piece.len);
    do {
        event = kal_ws_reader_next(r, &at, &left);
        check_event(event, r);
        if (event == KAL_WS_NEED_MORE)
            break;
        kal_buf_printf(log, "%d %d %u ", (int)event, r->is_text,
                       event == KAL_WS_CLOSE || event == KAL_WS_FAILED ? r->code : 0u);
        kal_buf_append_bytes(log, r->payload);
        kal_buf_append_byte(log, '\n');
    } while (true);
    KAL_ASSERT(left == 0);
    free(copy);
}

static void run(kal_bytes input, bool compressed, size_t piece_len, kal_buf *log)
{
    kal_ws_reader r;
    kal_budget budget;

    kal_budget_init(&budget, NULL, (size_t)1 << 20);
    kal_ws_reader_init(&r, MESSAGE_MAX, compressed, &budget);
    while (input.len > 0) {
        size_t len = piece_len < input.len ? piece_len : input.len;
        feed(&r, kal_bytes_of(input.ptr, len), log);
        input = kal_bytes_of(input.ptr + len, input.len - len);
    }
    if (!kal_ws_reader_in_message(&r))
        KAL_ASSERT(budget.used == 0);
    kal_ws_reader_release(&r);
    KAL_ASSERT(budget.used == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kal_buf whole, cut;

    if (size < 2)
        return 0;
    kal_buf_init(&whole, NULL);
    kal_buf_init(&cut, NULL);
    kal_bytes input = kal_bytes_of(data + 1, size - 1);
    run(input, (data[0] & 1) != 0, SIZE_MAX, &whole);
    run(input, (data[0] & 1) != 0, 1 + (data[0] >> 1), &cut);
    KAL_ASSERT(kal_bytes_equal(kal_buf_bytes(&whole), kal_buf_bytes(&cut)));
    kal_buf_release(&whole);
    kal_buf_release(&cut);
    return 0;
}
