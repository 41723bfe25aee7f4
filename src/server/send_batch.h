/*
 * send_batch.h: bytes to many sockets in one system call, where the kernel has io_uring (Linux 6.1)
 * and lets us; else in one call each.
 *
 * Entering the kernel is a third of what a short message costs. Sockets are never waited for: what
 * one does not take at once is told as EAGAIN or as a smaller number of bytes, as send() does it.
 *
 * Threads: one, the same for every kal_send_batch_run().
 * Source: io_uring(7), io_uring_prep_send(3)
 */
#ifndef KAL_SERVER_SEND_BATCH_H
#define KAL_SERVER_SEND_BATCH_H

#include "base/defs.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef struct kal_send {
    int fd;
    unsigned piece_count;
    struct iovec *pieces; /* borrowed; 1 or more */
    size_t bytes;         /* of all pieces */
    ssize_t sent;         /* out: bytes, or -errno */
} kal_send;

typedef struct kal_send_batch kal_send_batch; /* opaque: kal_send_batch_close */

/* may_ring false: one call each. Takes what it needs at the first run that is worth it. */
kal_send_batch *kal_send_batch_open(bool may_ring);
void kal_send_batch_close(kal_send_batch *batch); /* any thread; NULL is allowed */

/* After a run of some: whether they went through a ring. */
bool kal_send_batch_has_ring(const kal_send_batch *batch);
/* Sends all of them; each has its `sent` then. */
void kal_send_batch_run(kal_send_batch *batch, kal_send *sends, unsigned count);
/* One, by itself. */
void kal_send_one(kal_send *one);

#endif
