/*
 * source.h: a file read piece by piece, with one record of it in memory at a time.
 *
 *   buf:  ... consumed | start ... the record being read ... end | free
 *
 * A reader looks at the bytes from `start` and calls kal_source_more() when it needs further ones;
 * that may move them, so it keeps offsets from `start`, not pointers. Then it consumes the record.
 * Threads: one at a time.
 */
#ifndef KAL_CLI_SOURCE_H
#define KAL_CLI_SOURCE_H

#include "base/bytes.h"
#include "base/error.h"

#define KAL_RECORD_BYTES_MAX (16u * 1024u * 1024u)

typedef struct kal_source {
    int fd;          /* owned */
    char *path;      /* owned */
    uint8_t *buf;    /* owned */
    size_t cap;      /* up to KAL_RECORD_BYTES_MAX */
    size_t start;    /* first byte that was not consumed */
    size_t end;      /* behind the last byte read */
    bool at_end;     /* the file has no more */
    uint64_t offset; /* of `start` in the file */
    uint64_t size;   /* of the file, when it was opened */
    uint64_t line;   /* 1-based, of `start` */
} kal_source;

/* KAL_NOT_FOUND, KAL_IO; KAL_INVALID for what is no regular file (it is read twice). A byte order
 * mark of UTF-8 is skipped, one of UTF-16 refused. */
KAL_MUST_CHECK kal_status kal_source_open(kal_bytes path, kal_source *source_out, kal_error *err);
void kal_source_release(kal_source *source);
/* Back to the first byte. */
KAL_MUST_CHECK kal_status kal_source_rewind(kal_source *source, kal_error *err);

/* Reads further bytes behind `end`. KAL_END: there are none; KAL_LIMIT: the record is too long. */
KAL_MUST_CHECK kal_status kal_source_more(kal_source *source, kal_error *err);
/* Moves `start` by len bytes and counts their lines. */
void kal_source_consume(kal_source *source, size_t len);

static inline kal_bytes kal_source_bytes(const kal_source *source)
{
    return kal_bytes_of(source->buf + source->start, source->end - source->start);
}

#endif
