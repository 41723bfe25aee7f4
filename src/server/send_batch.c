#include "server/send_batch.h"
#include "base/assert.h"
#include "base/log.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    RING_ENTRIES = 256,
    WORTH_A_RING = 3, /* fewer sends cost less by themselves */
    SEND_FLAGS = MSG_NOSIGNAL | MSG_DONTWAIT,
};

typedef enum ring_state { RING_UNTRIED, RING_OPEN, RING_NONE } ring_state;

struct kal_send_batch {
    ring_state state;
    struct io_uring ring; /* RING_OPEN */
    struct msghdr messages[RING_ENTRIES];
};

kal_send_batch *kal_send_batch_open(bool may_ring)
{
    kal_send_batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL)
        kal_die("out of memory: sending");
    batch->state = may_ring ? RING_UNTRIED : RING_NONE;
    return batch;
}

void kal_send_batch_close(kal_send_batch *batch)
{
    if (batch == NULL)
        return;
    if (batch->state == RING_OPEN)
        io_uring_queue_exit(&batch->ring);
    free(batch);
}

bool kal_send_batch_has_ring(const kal_send_batch *batch)
{
    return batch->state == RING_OPEN;
}

void kal_send_one(kal_send *one)
{
    struct msghdr message = {.msg_iov = one->pieces, .msg_iovlen = one->piece_count};
    ssize_t sent = 0;

    KAL_ASSERT(one->piece_count > 0);
    do { /* one piece is the usual case, and costs the kernel less as such */
        sent = one->piece_count == 1
                   ? send(one->fd, one->pieces[0].iov_base, one->pieces[0].iov_len, SEND_FLAGS)
                   : sendmsg(one->fd, &message, SEND_FLAGS);
    } while (sent < 0 && errno == EINTR);
    one->sent = sent < 0 ? -errno : sent;
}

/* Completions come only while we wait for them, on this thread. Older kernels' rings, without that,
 * would need more care. */
static bool has_ring(kal_send_batch *batch)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
    };

    if (batch->state != RING_UNTRIED)
        return batch->state == RING_OPEN;
    int code = io_uring_queue_init_params(RING_ENTRIES, &batch->ring, &params);
    batch->state = code == 0 ? RING_OPEN : RING_NONE;
    if (code != 0)
        kal_log_info("server", "no io_uring (%s): each message to a WebSocket is a system call",
                     strerror(-code));
    return code == 0;
}

static void prepare(kal_send_batch *batch, kal_send *sends, unsigned i)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&batch->ring);
    const kal_send *s = &sends[i];

    KAL_ASSERT(entry != NULL && s->piece_count > 0); /* the ring is empty, and large enough */
    if (s->piece_count == 1) {
        io_uring_prep_send(entry, s->fd, s->pieces[0].iov_base, s->pieces[0].iov_len, SEND_FLAGS);
    } else {
        batch->messages[i] = (struct msghdr){.msg_iov = s->pieces, .msg_iovlen = s->piece_count};
        io_uring_prep_sendmsg(entry, s->fd, &batch->messages[i], SEND_FLAGS);
    }
    io_uring_sqe_set_data64(entry, i);
}

/* The number of completions that were there. */
static unsigned take_completions(kal_send_batch *batch, kal_send *sends)
{
    struct io_uring_cqe *completion = NULL;
    unsigned head = 0;
    unsigned count = 0;

    io_uring_for_each_cqe(&batch->ring, head, completion)
    {
        sends[io_uring_cqe_get_data64(completion)].sent = completion->res;
        count++;
    }
    io_uring_cq_advance(&batch->ring, count);
    return count;
}

/* The kernel did not take what was prepared. What it took before has completed, since nothing
 * waits: a socket that has no room answers EAGAIN (MSG_DONTWAIT). The rest goes the other way, and
 * so will all that follows, unless the kernel was only short of memory: then a new ring is tried.
 */
static void give_up_ring(kal_send_batch *batch, kal_send *sends, unsigned count, int code)
{
    unsigned left = io_uring_sq_ready(&batch->ring);

    batch->state = code == -EAGAIN || code == -ENOMEM ? RING_UNTRIED : RING_NONE;
    if (batch->state == RING_NONE)
        kal_log_error("server", "io_uring failed (%s): from now on each message is a system call",
                      strerror(-code));
    io_uring_queue_exit(&batch->ring);
    for (unsigned i = count - left; i < count; i++)
        kal_send_one(&sends[i]);
}

/* At most RING_ENTRIES of them. */
static void run_ring(kal_send_batch *batch, kal_send *sends, unsigned count)
{
    unsigned done = 0;

    for (unsigned i = 0; i < count; i++) {
        sends[i].sent = -EIO; /* until it is known */
        prepare(batch, sends, i);
    }
    while (done < count) {
        int code = io_uring_submit_and_wait(&batch->ring, count - done);
        done += take_completions(batch, sends);
        if (code < 0 && code != -EINTR && done < count) {
            give_up_ring(batch, sends, count, code);
            return;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        if (sends[i].sent == -EINTR)
            kal_send_one(&sends[i]);
    }
}

void kal_send_batch_run(kal_send_batch *batch, kal_send *sends, unsigned count)
{
    while (count >= WORTH_A_RING && has_ring(batch)) {
        unsigned some = count < RING_ENTRIES ? count : RING_ENTRIES;
        run_ring(batch, sends, some);
        sends += some;
        count -= some;
    }
    for (unsigned i = 0; i < count; i++)
        kal_send_one(&sends[i]);
}
