/*
 * http_outcome.h: what a reader made of some input, as comparable text; for tests and the fuzzer.
 *
 * One line per message: "POST /x 1 keep [name=value]... body" or "refused 400 ...", and at the end
 * whether the reader waits inside a message.
 */
#ifndef KAL_TEST_HTTP_OUTCOME_H
#define KAL_TEST_HTTP_OUTCOME_H

#include "server/http_codec.h"

static void outcome_request(const kal_http_request *request, kal_buf *out)
{
    kal_buf_printf(out, "%s ", kal_http_method_name(request->method));
    kal_buf_append_bytes(out, request->target);
    kal_buf_append_cstr(out, " path ");
    kal_buf_append_bytes(out, request->path);
    kal_buf_append_cstr(out, " query ");
    kal_buf_append_bytes(out, request->query);
    kal_buf_printf(out, " 1.%u %s", request->minor, request->keep_alive ? "keep" : "close");
    for (size_t i = 0; i < request->header_count; i++) {
        kal_buf_append_cstr(out, " [");
        kal_buf_append_bytes(out, kal_http_header_name(request, i));
        kal_buf_append_byte(out, '=');
        kal_buf_append_bytes(out, kal_http_header_value(request, i));
        kal_buf_append_byte(out, ']');
    }
    kal_buf_printf(out, " body %zu ", request->body.len);
    kal_buf_append_bytes(out, request->body);
    kal_buf_append_byte(out, '\n');
}

/* Takes every event that the bytes fed so far give; false once the reader is beyond use. */
static bool outcome_drain(kal_http_reader *reader, kal_buf *out)
{
    for (;;) {
        switch (kal_http_reader_next(reader)) {
        case KAL_HTTP_NEED_MORE:
            return true;
        case KAL_HTTP_CONTINUE: /* depends on timing, so it is no part of the outcome */
            break;
        case KAL_HTTP_REQUEST:
            outcome_request(&reader->request, out);
            kal_http_reader_finish(reader);
            break;
        case KAL_HTTP_REFUSED:
            kal_buf_printf(out, "refused %d %s target %d resumable %d\n", reader->refusal.status,
                           reader->refusal.message, reader->refusal.has_target,
                           reader->refusal.resumable);
            if (!reader->refusal.resumable)
                return false;
            kal_http_reader_finish(reader);
            break;
        }
    }
}

/* Feeds input in pieces: the first of `first` bytes, then pieces of `step` bytes (0: the rest). */
static void outcome_of(const kal_http_limits *limits, kal_bytes input, size_t first, size_t step,
                       kal_buf *out)
{
    kal_http_reader reader;
    bool usable = true;
    size_t at = 0;
    kal_http_reader_init(&reader, limits, NULL);
    for (size_t piece = first; at < input.len && usable; at += piece, piece = step) {
        if (piece == 0 || piece > input.len - at)
            piece = input.len - at;
        kal_http_reader_feed(&reader, kal_bytes_of(input.ptr + at, piece));
        usable = outcome_drain(&reader, out);
    }
    kal_buf_printf(out, "end: usable %d in message %d\n", usable,
                   kal_http_reader_in_message(&reader));
    kal_http_reader_release(&reader);
}

#endif
