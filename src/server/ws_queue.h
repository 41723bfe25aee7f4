/*
 * ws_queue.h: the frames that wait for a socket: a few bytes of the connection's own each, and a
 * reference to the shared body of the message.
 *
 *   entry = prefix (frame head, head of the message) + middle (borrowed from the body) + tail
 *
 * Entries are charged to the budget, control frames are not: there are at most three (a pong, of
 * which only the newest is kept, a ping, a close). The bodies are charged to their own budget,
 * once.
 *
 * Threads: one at a time.
 */
#ifndef KAL_SERVER_WS_QUEUE_H
#define KAL_SERVER_WS_QUEUE_H

#include "base/message.h"

#include <sys/uio.h>

typedef struct kal_ws_entry kal_ws_entry;

typedef struct kal_ws_queue {
    kal_ws_entry *first; /* owned */
    kal_ws_entry *last;
    kal_ws_entry *pong; /* the queued pong, or NULL */
    size_t bytes;       /* that are to be written */
    size_t first_sent;  /* bytes of the first entry that were written */
    kal_budget *budget; /* borrowed */
} kal_ws_queue;

void kal_ws_queue_init(kal_ws_queue *queue, kal_budget *budget);
void kal_ws_queue_release(kal_ws_queue *queue);

/* A frame with this message; first is its first byte. Keeps a reference to the body (NULL: none).
 * False when the budget refuses. */
KAL_MUST_CHECK bool kal_ws_queue_message(kal_ws_queue *queue, uint8_t first,
                                         const kal_message *message, kal_message_body *body);
/* A frame with these bytes, copied. */
KAL_MUST_CHECK bool kal_ws_queue_bytes(kal_ws_queue *queue, uint8_t first, kal_bytes payload);
/* A control frame; payload up to 125 bytes. A pong takes the place of one that still waits. */
void kal_ws_queue_control(kal_ws_queue *queue, uint8_t opcode, kal_bytes payload);
/* Bytes that are no frame: the answer to the handshake. Not charged. */
void kal_ws_queue_raw(kal_ws_queue *queue, kal_bytes bytes);

enum { KAL_WS_PIECES_PER_ENTRY = 3 };

/* The next bytes to write, as at most `max` (KAL_WS_PIECES_PER_ENTRY or more) pieces; *bytes_out:
 * how many in all. */
unsigned kal_ws_queue_gather(const kal_ws_queue *queue, struct iovec *out, unsigned max,
                             size_t *bytes_out);
/* So many bytes of them were written. */
void kal_ws_queue_sent(kal_ws_queue *queue, size_t bytes);

#endif
