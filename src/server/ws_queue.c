#include "server/ws_queue.h"
#include "base/assert.h"
#include "server/ws_codec.h"

#include <stdlib.h>

enum {
    COPIED_BYTES_MAX = 256, /* a shorter middle is copied: cheaper than one more piece to write */
    COPIED_ALONE_BYTES_MAX = 1024, /* when nothing else waits: one piece is cheapest to write */
    CONTROL_FRAME_MAX = 2 + KAL_WS_CONTROL_BYTES_MAX,
};

struct kal_ws_entry {
    kal_ws_entry *next;
    kal_message_body *body; /* retained, or NULL */
    kal_bytes middle;       /* of the body */
    size_t charged;
    size_t prefix_len;
    uint8_t tail_len;
    uint8_t bytes[]; /* prefix, tail */
};

static size_t entry_len(const kal_ws_entry *entry)
{
    return entry->prefix_len + entry->middle.len + entry->tail_len;
}

void kal_ws_queue_init(kal_ws_queue *queue, kal_budget *budget)
{
    *queue = (kal_ws_queue){.budget = budget};
}

static void pop(kal_ws_queue *queue)
{
    kal_ws_entry *entry = queue->first;
    queue->first = entry->next;
    if (queue->first == NULL)
        queue->last = NULL;
    if (queue->pong == entry)
        queue->pong = NULL;
    queue->first_sent = 0;
    kal_message_body_release(entry->body);
    kal_budget_release(queue->budget, entry->charged);
    free(entry);
}

void kal_ws_queue_release(kal_ws_queue *queue)
{
    while (queue->first != NULL)
        pop(queue);
    queue->bytes = 0;
}

/* An entry with room for so many bytes, not in the queue yet; NULL when the budget refuses. */
static kal_ws_entry *new_entry(kal_ws_queue *queue, size_t room, bool is_charged)
{
    size_t size = 0;
    if (!kal_try_add(sizeof(kal_ws_entry), room, &size) ||
        (is_charged && !kal_budget_charge(queue->budget, size)))
        return NULL;
    kal_ws_entry *entry = malloc(size);
    if (entry == NULL)
        kal_die("out of memory: %zu bytes to send", size);
    *entry = (kal_ws_entry){.charged = is_charged ? size : 0};
    return entry;
}

static void push(kal_ws_queue *queue, kal_ws_entry *entry)
{
    if (queue->last == NULL)
        queue->first = entry;
    else
        queue->last->next = entry;
    queue->last = entry;
    queue->bytes += entry_len(entry);
}

bool kal_ws_queue_message(kal_ws_queue *queue, uint8_t first, const kal_message *message,
                          kal_message_body *body)
{
    uint8_t frame[KAL_WS_HEAD_BYTES_MAX];
    size_t frame_len = kal_ws_head_write(first, message->len, frame);
    size_t prefix_len = frame_len + kal_message_prefix_len(message);
    size_t copied_max = queue->first == NULL ? COPIED_ALONE_BYTES_MAX : COPIED_BYTES_MAX;
    size_t copied = message->middle.len <= copied_max ? message->middle.len : 0;
    kal_ws_entry *entry = new_entry(queue, prefix_len + copied + message->tail_len, true);

    if (entry == NULL)
        return false;
    memcpy(entry->bytes, frame, frame_len);
    kal_message_write_prefix(message, entry->bytes + frame_len);
    if (copied > 0) {
        memcpy(entry->bytes + prefix_len, message->middle.ptr, copied);
        prefix_len += copied;
    } else {
        entry->middle = message->middle;
        entry->body = kal_message_body_retain(body);
    }
    memcpy(entry->bytes + prefix_len, message->tail, message->tail_len);
    entry->prefix_len = prefix_len;
    entry->tail_len = message->tail_len;
    push(queue, entry);
    return true;
}

static void fill_frame(kal_ws_entry *entry, uint8_t first, kal_bytes payload)
{
    size_t frame_len = kal_ws_head_write(first, payload.len, entry->bytes);
    if (payload.len > 0)
        memcpy(entry->bytes + frame_len, payload.ptr, payload.len);
    entry->prefix_len = frame_len + payload.len;
}

bool kal_ws_queue_bytes(kal_ws_queue *queue, uint8_t first, kal_bytes payload)
{
    size_t room = 0;
    if (!kal_try_add(payload.len, (size_t)KAL_WS_HEAD_BYTES_MAX, &room))
        return false;
    kal_ws_entry *entry = new_entry(queue, room, true);
    if (entry == NULL)
        return false;
    fill_frame(entry, first, payload);
    push(queue, entry);
    return true;
}

void kal_ws_queue_control(kal_ws_queue *queue, uint8_t opcode, kal_bytes payload)
{
    uint8_t first = KAL_WS_FIN | opcode;

    KAL_ASSERT(payload.len <= KAL_WS_CONTROL_BYTES_MAX);
    if (opcode == KAL_WS_OP_PONG && queue->pong != NULL &&
        !(queue->pong == queue->first && queue->first_sent > 0)) {
        queue->bytes -= entry_len(queue->pong);
        fill_frame(queue->pong, first, payload);
        queue->bytes += entry_len(queue->pong);
        return;
    }
    kal_ws_entry *entry = new_entry(queue, KAL_WS_HEAD_BYTES_MAX + CONTROL_FRAME_MAX, false);
    fill_frame(entry, first, payload);
    push(queue, entry);
    if (opcode == KAL_WS_OP_PONG)
        queue->pong = entry;
}

void kal_ws_queue_raw(kal_ws_queue *queue, kal_bytes bytes)
{
    kal_ws_entry *entry = new_entry(queue, bytes.len, false);
    memcpy(entry->bytes, bytes.ptr, bytes.len);
    entry->prefix_len = bytes.len;
    push(queue, entry);
}

/* Adds a piece, but for the bytes of it that were sent. */
static void add_piece(struct iovec *out, unsigned *count, kal_bytes piece, size_t *skip)
{
    if (*skip >= piece.len) {
        *skip -= piece.len;
        return;
    }
    out[(*count)++] = (struct iovec){.iov_base = (void *)(uintptr_t)(piece.ptr + *skip),
                                     .iov_len = piece.len - *skip};
    *skip = 0;
}

unsigned kal_ws_queue_gather(const kal_ws_queue *queue, struct iovec *out, unsigned max,
                             size_t *bytes_out)
{
    unsigned count = 0;
    size_t skip = queue->first_sent;

    for (const kal_ws_entry *e = queue->first; e != NULL && count + KAL_WS_PIECES_PER_ENTRY <= max;
         e = e->next) {
        add_piece(out, &count, kal_bytes_of(e->bytes, e->prefix_len), &skip);
        add_piece(out, &count, e->middle, &skip);
        add_piece(out, &count, kal_bytes_of(e->bytes + e->prefix_len, e->tail_len), &skip);
    }
    *bytes_out = 0;
    for (unsigned i = 0; i < count; i++)
        *bytes_out += out[i].iov_len;
    return count;
}

void kal_ws_queue_sent(kal_ws_queue *queue, size_t bytes)
{
    KAL_ASSERT(bytes <= queue->bytes);
    queue->bytes -= bytes;
    while (bytes > 0) {
        size_t left = entry_len(queue->first) - queue->first_sent;
        if (bytes < left) {
            queue->first_sent += bytes;
            return;
        }
        bytes -= left;
        pop(queue);
    }
}
