/*
 * message.h: messages that are encoded once and sent to many, each with a part of its receiver's
 * own.
 *
 * A message is one JSON object, { head members..., body members... }: the head says to whom
 * ("type":"change","subscription_id":"s1"), the body says what ("rows":[...]) and is shared. Either
 * may be empty. On the wire it is prefix + middle + tail, where the middle is a form of the body
 * that was made when it was first asked for and is kept, and prefix and tail are a few bytes per
 * receiver:
 *
 *                prefix                              middle               tail
 *   JSON         {head,                              body}
 *   MessagePack  map head, head                      body
 *   deflate      stored block (of the above)         its deflate, less 00 00 FF FF
 *   gzip         gzip header, stored block           its deflate          last block, crc32, length
 *
 * A form is made by the first kal_message_make() that needs it. Compressing takes 10 ms a megabyte:
 * who has a large body and a thread with time lets it make the form before an event loop gets the
 * body.
 *
 * The trick of the lower two: a deflate stream may begin with a stored block, here of bytes nobody
 * else has; what follows was compressed by itself and never looks back at it. So compression is as
 * shared as the text.
 *
 * Threads: a body belongs to one thread at a time and is handed over through locks; a head
 * likewise. Source:  RFC 1951, RFC 1952, RFC 7692
 */
#ifndef KAL_BASE_MESSAGE_H
#define KAL_BASE_MESSAGE_H

#include "base/buf.h"
#include "base/deflate.h"
#include "base/error.h"

typedef enum kal_wire { KAL_WIRE_JSON, KAL_WIRE_MSGPACK } kal_wire;

/* ---- what is shared ---- */

typedef struct kal_message_body kal_message_body; /* opaque: counted references */

/* members: JSON text of object members without the braces, moved in whether this succeeds or not;
 * all forms are charged to its budget. member_count: how many members at the top that is. The
 * caller has the one reference. NULL when members had failed or its budget refuses. */
KAL_MUST_CHECK kal_message_body *kal_message_body_make(kal_buf *members, uint32_t member_count);
kal_message_body *
kal_message_body_retain(kal_message_body *body);       /* returns body; NULL is allowed */
void kal_message_body_release(kal_message_body *body); /* NULL is allowed */
/* The members as JSON text; borrowed from the body. */
kal_bytes kal_message_body_members(const kal_message_body *body);

/* A number that whoever makes a body keeps with it; it is not sent. */
typedef struct kal_message_note {
    uint64_t low;
    uint64_t high;
    uint8_t kind; /* 0: nothing was noted */
} kal_message_note;
/* The body's, to be read and written. */
kal_message_note *kal_message_body_note(kal_message_body *body);

/* ---- what is a receiver's own ---- */

#define KAL_MESSAGE_HEAD_BYTES_MAX 32768

typedef struct kal_message_head kal_message_head; /* opaque: kal_message_head_free */

/* members as above, copied; made once per subscription and used for each of its messages.
 * KAL_LIMIT: longer than KAL_MESSAGE_HEAD_BYTES_MAX, or the budget refuses. KAL_INVALID: no JSON.
 */
KAL_MUST_CHECK kal_status kal_message_head_make(kal_bytes members, kal_budget *budget,
                                                kal_message_head **head_out, kal_error *err);
void kal_message_head_free(kal_message_head *head); /* NULL is allowed */

/* ---- one message for one receiver ---- */

typedef enum kal_packing {
    KAL_PACK_PLAIN,
    KAL_PACK_DEFLATE, /* as permessage-deflate has it, without context takeover */
    KAL_PACK_GZIP,    /* a gzip file */
} kal_packing;

/* Shorter messages are not worth compressing. */
#define KAL_MESSAGE_PACK_BYTES_MIN 512

#define KAL_MESSAGE_LEAD_BYTES_MAX 20
#define KAL_MESSAGE_TAIL_BYTES_MAX 13

typedef struct kal_message {
    kal_packing packing; /* PLAIN too when it is short, does not get shorter, or memory is short */
    uint8_t lead[KAL_MESSAGE_LEAD_BYTES_MAX]; /* prefix = lead, head */
    uint8_t tail[KAL_MESSAGE_TAIL_BYTES_MAX];
    uint8_t lead_len;
    uint8_t tail_len;
    kal_bytes head;   /* borrowed from the head, or static */
    kal_bytes middle; /* borrowed from the body */
    size_t len;       /* of all */
} kal_message;

/* Puts a message together; head and body may be NULL. window_bytes: with KAL_PACK_DEFLATE, how far
 * back the receiver can look; a longer body goes to him as it is. KAL_LIMIT when the budget of the
 * body refuses its MessagePack, KAL_INVALID when it is no JSON. */
KAL_MUST_CHECK kal_status kal_message_make(const kal_message_head *head, kal_message_body *body,
                                           kal_wire wire, kal_packing packing, size_t window_bytes,
                                           kal_message *message_out, kal_error *err);
static inline size_t kal_message_prefix_len(const kal_message *message)
{
    return message->lead_len + message->head.len;
}
/* Writes kal_message_prefix_len() bytes. */
void kal_message_write_prefix(const kal_message *message, uint8_t *out);

#endif
