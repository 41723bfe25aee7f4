/*
 * ws_codec.h: WebSocket frames as bytes: a reader of what clients send, heads of what we send.
 *
 * The reader is given pieces of any size and answers with events; where the pieces are cut never
 * changes what comes out. A message that lies in one piece, in one frame and not compressed is
 * unmasked in place and given out from there; only what is split, fragmented or compressed is
 * gathered in a buffer, which is gone when the message is. So an idle reader holds no memory.
 *
 *   next(&input) -> NEED_MORE | MESSAGE | PING | PONG | CLOSE | FAILED
 *                                                        '-------'---- the end: input is ignored
 *
 * Text is checked while it comes, over fragments: what cannot become UTF-8 any more fails at once.
 * What a message may have at most holds for its text as sent and for what is decompressed.
 *
 * Threads: one at a time.
 * Source:  RFC 6455 sections 5 to 8, RFC 7692
 */
#ifndef KAL_SERVER_WS_CODEC_H
#define KAL_SERVER_WS_CODEC_H

#include "base/buf.h"
#include "base/deflate.h"

enum kal_ws_opcode {
    KAL_WS_CONTINUATION = 0x0,
    KAL_WS_TEXT = 0x1,
    KAL_WS_BINARY = 0x2,
    KAL_WS_OP_CLOSE = 0x8,
    KAL_WS_OP_PING = 0x9,
    KAL_WS_OP_PONG = 0xA,
};

enum kal_ws_close_code {
    KAL_WS_CLOSE_NORMAL = 1000,
    KAL_WS_CLOSE_GOING_AWAY = 1001,
    KAL_WS_CLOSE_PROTOCOL = 1002,
    KAL_WS_CLOSE_UNSUPPORTED = 1003,
    KAL_WS_CLOSE_NONE = 1005,     /* never sent: a close frame without a code came */
    KAL_WS_CLOSE_ABNORMAL = 1006, /* never sent: the connection ended without a close frame */
    KAL_WS_CLOSE_BAD_DATA = 1007,
    KAL_WS_CLOSE_POLICY = 1008,
    KAL_WS_CLOSE_TOO_BIG = 1009,
    KAL_WS_CLOSE_INTERNAL = 1011,
    KAL_WS_CLOSE_TRY_LATER = 1013,
};

#define KAL_WS_CONTROL_BYTES_MAX 125
#define KAL_WS_REASON_BYTES_MAX  123
#define KAL_WS_HEAD_BYTES_MAX    10

/* ---- what we send ---- */

#define KAL_WS_FIN  0x80
#define KAL_WS_RSV1 0x40 /* the message is compressed */

/* Writes the head of an unmasked frame; flags and opcode as the first byte has them. Returns its
 * length: 2, 4 or 10. */
size_t kal_ws_head_write(uint8_t first, uint64_t payload_len, uint8_t out[KAL_WS_HEAD_BYTES_MAX]);
/* The payload of a close frame: nothing for KAL_WS_CLOSE_NONE, else the code and as much of the
 * reason as fits, cut at a character. Returns its length. */
size_t kal_ws_close_payload(uint16_t code, const char *reason,
                            uint8_t out[KAL_WS_CONTROL_BYTES_MAX]);
/* Whether a code may stand in a close frame. */
bool kal_ws_close_code_valid(unsigned code);

/* ---- what clients send ---- */

typedef enum kal_ws_event {
    KAL_WS_NEED_MORE, /* all input was taken */
    KAL_WS_MESSAGE,   /* payload, is_text */
    KAL_WS_PING,      /* payload */
    KAL_WS_PONG,
    KAL_WS_CLOSE,  /* code (KAL_WS_CLOSE_NONE: none), payload: the reason */
    KAL_WS_FAILED, /* code and reason of the close frame that is due */
} kal_ws_event;

typedef struct kal_ws_reader {
    /* what is given out with an event */
    kal_bytes payload; /* valid until the next call; borrowed from the input or the reader */
    bool is_text;
    uint16_t code;
    const char *reason; /* static */

    /* the frame under way */
    uint8_t head[14]; /* as far as it has come */
    uint8_t head_len;
    bool in_payload;
    uint8_t mask_at; /* of the four bytes of the mask: the next one */
    uint64_t left;   /* payload that is still to come */

    /* the message under way */
    uint8_t opcode; /* of its first frame; 0: none is */
    bool is_compressed;
    bool is_given;     /* payload was given out: the message ends with the next call */
    uint8_t utf8_need; /* continuation bytes that must follow */
    uint8_t utf8_low;  /* bounds of the next one */
    uint8_t utf8_high;
    bool is_ended; /* closed or failed */
    bool allow_compressed;
    uint8_t control_len;
    uint64_t wire_bytes; /* of its payload, as sent */
    size_t message_bytes_max;
    kal_buf message;        /* what was gathered of it */
    kal_inflater *inflater; /* owned; only within a compressed message */
    uint8_t control[KAL_WS_CONTROL_BYTES_MAX];
} kal_ws_reader;

/* budget: what messages under way are charged to; NULL = unlimited. */
void kal_ws_reader_init(kal_ws_reader *reader, size_t message_bytes_max, bool allow_compressed,
                        kal_budget *budget);
void kal_ws_reader_release(kal_ws_reader *reader);
/* Takes bytes off the front of the input, which is written to (unmasked), until there is an event.
 */
kal_ws_event kal_ws_reader_next(kal_ws_reader *reader, uint8_t **input, size_t *input_len);
/* A frame or message is not complete. */
bool kal_ws_reader_in_message(const kal_ws_reader *reader);

#endif
