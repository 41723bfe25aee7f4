/* Many sends at once against one by one: the same bytes arrive, and the same is told of sockets
 * that are full or closed. */
#include "server/send_batch.h"
#include "unit/base/seed.h"

#include "base/vec.h"

#include <errno.h>
#include <liburing.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { SOCKETS = 300, PIECES_MAX = 5, PIECE_BYTES_MAX = 3000, SMALL_BUFFER = 4096, ROUNDS = 6 };

typedef enum fate { TAKES, FULL, CLOSED, NO_SOCKET } fate;

typedef struct peer {
    int out;
    int in; /* -1: closed */
    fate fate;
    struct iovec pieces[PIECES_MAX];
    size_t bytes;
} peer;

static uint8_t text[PIECE_BYTES_MAX * 2];
static peer peers[SOCKETS];

static void fill(int fd)
{
    uint8_t bytes[SMALL_BUFFER] = {0};
    while (send(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        ;
    while (send(fd, bytes, 1, MSG_DONTWAIT) > 0)
        ;
    assert_int_equal(errno, EAGAIN);
}

static void open_peer(peer *p, kal_rng *rng)
{
    int both[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, both), 0);
    p->out = both[0];
    p->in = both[1];
    p->fate = (fate)(kal_rng_below(rng, 8) == 0 ? 1 + kal_rng_below(rng, 3) : 0);
    if (p->fate == CLOSED) {
        close(p->in);
        p->in = -1;
    } else if (p->fate == FULL) {
        fill(p->out);
    } else if (p->fate == NO_SOCKET) {
        close(p->out);
        p->out = -1;
    }
}

static kal_send make_send(peer *p, kal_rng *rng)
{
    unsigned count = 1 + (unsigned)kal_rng_below(rng, PIECES_MAX);

    p->bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        size_t len = 1 + kal_rng_below(rng, PIECE_BYTES_MAX);
        p->pieces[i] =
            (struct iovec){.iov_base = text + kal_rng_below(rng, PIECE_BYTES_MAX), .iov_len = len};
        p->bytes += len;
    }
    return (kal_send){
        .fd = p->out, .pieces = p->pieces, .piece_count = count, .bytes = p->bytes, .sent = 12345};
}

static void check_arrived(const peer *p)
{
    static uint8_t got[PIECES_MAX * PIECE_BYTES_MAX];
    size_t at = 0;

    assert_int_equal(recv(p->in, got, sizeof got, MSG_DONTWAIT), p->bytes);
    for (unsigned i = 0; at < p->bytes; i++) {
        assert_memory_equal(got + at, p->pieces[i].iov_base, p->pieces[i].iov_len);
        at += p->pieces[i].iov_len;
    }
}

static void check_sent(const peer *p, const kal_send *s)
{
    if (p->fate == NO_SOCKET) {
        assert_int_equal(s->sent, -EBADF);
    } else if (p->fate == CLOSED) {
        assert_int_equal(s->sent, -EPIPE);
    } else if (p->fate == FULL) {
        assert_int_equal(s->sent, -EAGAIN);
    } else {
        assert_int_equal(s->sent, p->bytes);
        check_arrived(p);
    }
}

static bool system_has_rings(void)
{
    struct io_uring_params params = {.flags =
                                         IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    struct io_uring ring;

    if (io_uring_queue_init_params(4, &ring, &params) != 0)
        return false;
    io_uring_queue_exit(&ring);
    return true;
}

static void send_and_check(bool may_ring, unsigned count, kal_rng *rng)
{
    static kal_send sends[SOCKETS];
    kal_send_batch *batch = kal_send_batch_open(may_ring); /* owned */

    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < count; i++)
            sends[i] = make_send(&peers[i], rng);
        kal_send_batch_run(batch, sends, count);
        for (unsigned i = 0; i < count; i++)
            check_sent(&peers[i], &sends[i]);
    }
    /* Where the kernel has rings at all, one is used. */
    if (count >= 3)
        assert_true(kal_send_batch_has_ring(batch) == (may_ring && system_has_rings()));
    kal_send_batch_close(batch);
}

static void what_is_sent_arrives(void **state)
{
    static const unsigned COUNTS[] = {0, 1, 2, 3, 4, 255, 256, 257, SOCKETS};
    kal_rng rng;

    (void)state;
    kal_test_seed(&rng);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)kal_rng_below(&rng, 256);
    for (unsigned i = 0; i < SOCKETS; i++)
        open_peer(&peers[i], &rng);
    for (size_t i = 0; i < KAL_ARRAY_LEN(COUNTS); i++) {
        send_and_check(true, COUNTS[i], &rng);
        send_and_check(false, COUNTS[i], &rng);
    }
    for (unsigned i = 0; i < SOCKETS; i++) {
        if (peers[i].out >= 0)
            close(peers[i].out);
        if (peers[i].in >= 0)
            close(peers[i].in);
    }
}

/* What a socket has no room for is told as a smaller number. */
static void part_of_it(void **state)
{
    enum { LARGE = 8 * 1024 * 1024, SENDS = 4 };
    static uint8_t large[LARGE];
    struct iovec piece = {.iov_base = large, .iov_len = LARGE};
    kal_send sends[SENDS];
    int pairs[SENDS][2];
    kal_send_batch *batch = kal_send_batch_open(true); /* owned */

    (void)state;
    for (unsigned i = 0; i < SENDS; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]), 0);
        sends[i] = (kal_send){.fd = pairs[i][0], .pieces = &piece, .piece_count = 1};
    }
    kal_send_batch_run(batch, sends, SENDS);
    for (unsigned i = 0; i < SENDS; i++) {
        assert_true(sends[i].sent > 0 && sends[i].sent < LARGE);
        close(pairs[i][0]);
        close(pairs[i][1]);
    }
    kal_send_batch_close(batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sent_arrives),
        cmocka_unit_test(part_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
