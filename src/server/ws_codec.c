/*
 * ws_codec.c: the reader takes a frame's head byte by byte until it is whole, and its payload in
 * whatever pieces there are.
 *
 *   head (2 to 14 bytes) -> payload of a control frame -> event
 *      ^                 -> payload of a data frame ----> piece of a message -> event, if the last
 *      '---------------------------------------------------'
 */
#include "server/ws_codec.h"
#include "base/assert.h"

/* ---- what we send ---- */

size_t kal_ws_head_write(uint8_t first, uint64_t payload_len, uint8_t out[KAL_WS_HEAD_BYTES_MAX])
{
    out[0] = first;
    if (payload_len < 126) {
        out[1] = (uint8_t)payload_len;
        return 2;
    }
    if (payload_len <= UINT16_MAX) {
        out[1] = 126;
        kal_store_be16(out + 2, (uint16_t)payload_len);
        return 4;
    }
    out[1] = 127;
    kal_store_be64(out + 2, payload_len);
    return 10;
}

size_t kal_ws_close_payload(uint16_t code, const char *reason,
                            uint8_t out[KAL_WS_CONTROL_BYTES_MAX])
{
    if (code == KAL_WS_CLOSE_NONE)
        return 0;
    size_t len = reason == NULL ? 0 : strlen(reason);
    if (len > KAL_WS_REASON_BYTES_MAX) {
        len = KAL_WS_REASON_BYTES_MAX;
        while (len > 0 && ((uint8_t)reason[len] & 0xC0) == 0x80)
            len--;
    }
    kal_store_be16(out, code);
    if (len > 0)
        memcpy(out + 2, reason, len);
    return len + 2;
}

bool kal_ws_close_code_valid(unsigned code)
{
    if (code >= 3000 && code <= 4999)
        return true;
    return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006);
}

/* ---- the reader ---- */

void kal_ws_reader_init(kal_ws_reader *reader, size_t message_bytes_max, bool allow_compressed,
                        kal_budget *budget)
{
    *reader = (kal_ws_reader){.message_bytes_max = message_bytes_max,
                              .allow_compressed = allow_compressed};
    kal_buf_init(&reader->message, budget);
}

void kal_ws_reader_release(kal_ws_reader *reader)
{
    kal_buf_release(&reader->message);
    kal_inflater_close(reader->inflater);
    reader->inflater = NULL;
}

bool kal_ws_reader_in_message(const kal_ws_reader *reader)
{
    return !reader->is_ended && !reader->is_given &&
           (reader->head_len > 0 || reader->opcode != KAL_WS_CONTINUATION);
}

static kal_ws_event fail(kal_ws_reader *r, uint16_t code, const char *reason)
{
    r->is_ended = true;
    r->code = code;
    r->reason = reason;
    r->payload = (kal_bytes){0};
    kal_ws_reader_release(r);
    return KAL_WS_FAILED;
}

static kal_ws_event fail_protocol(kal_ws_reader *r, const char *reason)
{
    return fail(r, KAL_WS_CLOSE_PROTOCOL, reason);
}

static uint8_t frame_opcode(const kal_ws_reader *r)
{
    return r->head[0] & 0x0F;
}

static bool is_final(const kal_ws_reader *r)
{
    return (r->head[0] & KAL_WS_FIN) != 0;
}

static bool is_control(const kal_ws_reader *r)
{
    return (r->head[0] & 0x08) != 0;
}

/* ---- heads of frames ---- */

/* What the first two bytes say already. */
static kal_ws_event check_start(kal_ws_reader *r)
{
    uint8_t opcode = frame_opcode(r);
    bool starts_message = opcode == KAL_WS_TEXT || opcode == KAL_WS_BINARY;

    if ((r->head[0] & 0x30) != 0)
        return fail_protocol(r, "a reserved bit of a frame is set");
    if ((r->head[0] & KAL_WS_RSV1) != 0 && !(starts_message && r->allow_compressed))
        return fail_protocol(r, "a frame is marked as compressed that must not be");
    if ((opcode > KAL_WS_BINARY && opcode < KAL_WS_OP_CLOSE) || opcode > KAL_WS_OP_PONG)
        return fail_protocol(r, "a frame has an unknown opcode");
    if ((r->head[1] & 0x80) == 0)
        return fail_protocol(r, "a frame is not masked");
    if (is_control(r)) {
        if (!is_final(r))
            return fail_protocol(r, "a control frame is fragmented");
        if ((r->head[1] & 0x7F) > KAL_WS_CONTROL_BYTES_MAX)
            return fail_protocol(r, "a control frame is too long");
    } else if (starts_message && r->opcode != 0) {
        return fail_protocol(r, "a message begins before the last one has ended");
    } else if (opcode == KAL_WS_CONTINUATION && r->opcode == 0) {
        return fail_protocol(r, "a fragment belongs to no message");
    }
    return KAL_WS_NEED_MORE;
}

static size_t head_size(const kal_ws_reader *r)
{
    if (r->head_len < 2)
        return 2;
    uint8_t len = r->head[1] & 0x7F;
    return 2 + (len == 126 ? 2u : len == 127 ? 8u : 0u) + 4;
}

static void start_message(kal_ws_reader *r)
{
    r->opcode = frame_opcode(r);
    r->is_compressed = (r->head[0] & KAL_WS_RSV1) != 0;
    r->utf8_need = 0;
    r->wire_bytes = 0;
}

/* Compressed text may be a little longer than what comes out of it, never much. */
static uint64_t wire_bytes_max(const kal_ws_reader *r)
{
    uint64_t max = r->message_bytes_max;
    return r->is_compressed ? max + max / 64 + 64 : max;
}

static kal_ws_event start_payload(kal_ws_reader *r)
{
    uint8_t len7 = r->head[1] & 0x7F;
    uint64_t len = len7;

    if (len7 == 126)
        len = kal_load_be16(r->head + 2);
    else if (len7 == 127)
        len = kal_load_be64(r->head + 2);
    if (len >> 63 != 0 || (len7 == 126 && len < 126) || (len7 == 127 && len <= UINT16_MAX))
        return fail_protocol(r, "the length of a frame is not in its shortest form");
    if (is_control(r)) {
        r->control_len = 0;
    } else {
        if (frame_opcode(r) != KAL_WS_CONTINUATION)
            start_message(r);
        if (len > wire_bytes_max(r) - r->wire_bytes)
            return fail(r, KAL_WS_CLOSE_TOO_BIG, "the message is too long");
        r->wire_bytes += len;
    }
    r->left = len;
    r->mask_at = 0;
    r->in_payload = true;
    return KAL_WS_NEED_MORE;
}

static kal_ws_event take_head(kal_ws_reader *r, uint8_t **input, size_t *input_len)
{
    while (*input_len > 0) {
        r->head[r->head_len++] = *(*input)++;
        (*input_len)--;
        if (r->head_len == 2 && check_start(r) == KAL_WS_FAILED)
            return KAL_WS_FAILED;
        if (r->head_len >= 2 && r->head_len == head_size(r))
            return start_payload(r);
    }
    return KAL_WS_NEED_MORE;
}

/* ---- payloads ---- */

static void unmask(kal_ws_reader *r, uint8_t *p, size_t len)
{
    const uint8_t *mask = r->head + r->head_len - 4;
    uint8_t turned[8];
    uint64_t key = 0;
    size_t i = 0;

    for (size_t k = 0; k < sizeof turned; k++)
        turned[k] = mask[(r->mask_at + k) & 3];
    memcpy(&key, turned, sizeof key);
    for (; i + 8 <= len; i += 8)
        kal_store_le64(p + i, kal_load_le64(p + i) ^ key);
    for (size_t k = 0; i < len; i++, k++)
        p[i] ^= turned[k];
    r->mask_at = (uint8_t)((r->mask_at + len) & 3);
}

/* The next piece of the frame's payload, unmasked in place. */
static kal_bytes take_piece(kal_ws_reader *r, uint8_t **input, size_t *input_len)
{
    size_t len = r->left < *input_len ? (size_t)r->left : *input_len;
    kal_bytes piece = kal_bytes_of(*input, len);
    unmask(r, *input, len);
    *input += len;
    *input_len -= len;
    r->left -= len;
    return piece;
}

static void end_frame(kal_ws_reader *r)
{
    r->in_payload = false;
    r->head_len = 0;
}

static kal_ws_event check_close(kal_ws_reader *r)
{
    r->is_ended = true;
    r->code = KAL_WS_CLOSE_NONE;
    if (r->control_len == 1)
        return fail_protocol(r, "a close frame has half a code");
    if (r->control_len >= 2) {
        r->code = kal_load_be16(r->control);
        r->payload = kal_bytes_of(r->control + 2, r->control_len - 2u);
        if (!kal_ws_close_code_valid(r->code))
            return fail_protocol(r, "a close frame has a code that must not be sent");
        if (!kal_utf8_valid(r->payload))
            return fail(r, KAL_WS_CLOSE_BAD_DATA, "the reason of a close frame is not UTF-8");
    }
    kal_ws_reader_release(r);
    return KAL_WS_CLOSE;
}

static kal_ws_event take_control(kal_ws_reader *r, uint8_t **input, size_t *input_len)
{
    kal_bytes piece = take_piece(r, input, input_len);
    KAL_ASSERT(r->control_len + piece.len <= sizeof r->control);
    if (piece.len > 0)
        memcpy(r->control + r->control_len, piece.ptr, piece.len);
    r->control_len = (uint8_t)(r->control_len + piece.len);
    if (r->left > 0)
        return KAL_WS_NEED_MORE;
    end_frame(r);
    r->payload = kal_bytes_of(r->control, r->control_len);
    switch (frame_opcode(r)) {
    case KAL_WS_OP_PING:
        return KAL_WS_PING;
    case KAL_WS_OP_PONG:
        return KAL_WS_PONG;
    default:
        r->payload = (kal_bytes){0};
        return check_close(r);
    }
}

/* A lead byte opens bounds for what must follow it (table 3-7 of the Unicode standard). */
static bool utf8_lead(kal_ws_reader *r, uint8_t c)
{
    r->utf8_low = 0x80;
    r->utf8_high = 0xBF;
    if (c < 0x80)
        return true;
    if (c >= 0xC2 && c <= 0xDF) {
        r->utf8_need = 1;
    } else if (c >= 0xE0 && c <= 0xEF) {
        r->utf8_need = 2;
        r->utf8_low = c == 0xE0 ? 0xA0 : 0x80;
        r->utf8_high = c == 0xED ? 0x9F : 0xBF;
    } else if (c >= 0xF0 && c <= 0xF4) {
        r->utf8_need = 3;
        r->utf8_low = c == 0xF0 ? 0x90 : 0x80;
        r->utf8_high = c == 0xF4 ? 0x8F : 0xBF;
    } else {
        return false;
    }
    return true;
}

/* False as soon as the text cannot become UTF-8 any more. */
static bool check_text(kal_ws_reader *r, kal_bytes text)
{
    for (size_t i = 0; i < text.len;) {
        if (r->utf8_need == 0) {
            if (text.len - i >= 8 && (kal_load_le64(text.ptr + i) & 0x8080808080808080u) == 0) {
                i += 8;
                continue;
            }
            if (!utf8_lead(r, text.ptr[i++]))
                return false;
            continue;
        }
        uint8_t c = text.ptr[i++];
        if (c < r->utf8_low || c > r->utf8_high)
            return false;
        r->utf8_need--;
        r->utf8_low = 0x80;
        r->utf8_high = 0xBF;
    }
    return true;
}

static kal_ws_event fail_memory(kal_ws_reader *r)
{
    return fail(r, KAL_WS_CLOSE_TRY_LATER, "no memory left for messages");
}

static kal_ws_event fail_text(kal_ws_reader *r)
{
    return fail(r, KAL_WS_CLOSE_BAD_DATA, "a text message is not UTF-8");
}

/* NEED_MORE: all is well. */
static kal_ws_event gather_compressed(kal_ws_reader *r, kal_bytes piece)
{
    size_t before = r->message.len;

    if (piece.len == 0)
        return KAL_WS_NEED_MORE;
    if (r->inflater == NULL && (r->inflater = kal_inflater_open(r->message.budget)) == NULL)
        return fail_memory(r);
    kal_status status =
        kal_inflater_add(r->inflater, piece, r->message_bytes_max, &r->message, NULL);
    if (kal_buf_failed(&r->message))
        return fail_memory(r);
    if (status == KAL_LIMIT)
        return fail(r, KAL_WS_CLOSE_TOO_BIG, "the message is too long when decompressed");
    if (status != KAL_OK)
        return fail(r, KAL_WS_CLOSE_BAD_DATA, "a compressed message is damaged");
    if (r->opcode == KAL_WS_TEXT &&
        !check_text(r, kal_bytes_of(r->message.ptr + before, r->message.len - before)))
        return fail_text(r);
    return KAL_WS_NEED_MORE;
}

/* The last piece is here: what was cut off by the sender is put back. */
static kal_ws_event finish_compressed(kal_ws_reader *r)
{
    if (r->inflater == NULL) /* no byte came at all: taken for an empty message */
        return KAL_WS_NEED_MORE;
    kal_ws_event event = gather_compressed(r, KAL_DEFLATE_END);
    if (event == KAL_WS_NEED_MORE && !kal_inflater_at_block_end(r->inflater))
        event = fail(r, KAL_WS_CLOSE_BAD_DATA, "a compressed message is damaged");
    kal_inflater_close(r->inflater);
    r->inflater = NULL;
    return event;
}

static kal_ws_event give_message(kal_ws_reader *r, kal_bytes payload)
{
    if (r->opcode == KAL_WS_TEXT && r->utf8_need > 0)
        return fail_text(r);
    r->payload = payload;
    r->is_text = r->opcode == KAL_WS_TEXT;
    r->is_given = true;
    return KAL_WS_MESSAGE;
}

static kal_ws_event take_data(kal_ws_reader *r, uint8_t **input, size_t *input_len)
{
    kal_bytes piece = take_piece(r, input, input_len);
    bool is_last = r->left == 0 && is_final(r);
    kal_ws_event event = KAL_WS_NEED_MORE;

    if (r->left == 0)
        end_frame(r);
    if (r->is_compressed) {
        event = gather_compressed(r, piece);
        if (event == KAL_WS_NEED_MORE && is_last)
            event = finish_compressed(r);
        if (event != KAL_WS_NEED_MORE || !is_last)
            return event;
        return give_message(r, kal_buf_bytes(&r->message));
    }
    if (r->opcode == KAL_WS_TEXT && !check_text(r, piece))
        return fail_text(r);
    if (is_last && r->message.len == 0) /* it lies in one piece: nothing is copied */
        return give_message(r, piece);
    kal_buf_append_bytes(&r->message, piece);
    if (kal_buf_failed(&r->message))
        return fail_memory(r);
    return is_last ? give_message(r, kal_buf_bytes(&r->message)) : KAL_WS_NEED_MORE;
}

kal_ws_event kal_ws_reader_next(kal_ws_reader *r, uint8_t **input, size_t *input_len)
{
    kal_ws_event event = KAL_WS_NEED_MORE;

    if (r->is_given) {
        kal_buf_release(&r->message);
        r->is_given = false;
        r->opcode = 0;
    }
    while (event == KAL_WS_NEED_MORE && !r->is_ended) {
        if (r->in_payload && (*input_len > 0 || r->left == 0))
            event =
                is_control(r) ? take_control(r, input, input_len) : take_data(r, input, input_len);
        else if (!r->in_payload && *input_len > 0)
            event = take_head(r, input, input_len);
        else
            break;
    }
    if (event == KAL_WS_NEED_MORE) { /* what follows the end is of no interest */
        *input += *input_len;
        *input_len = 0;
    }
    return event;
}
