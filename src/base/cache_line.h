/*
 * cache_line.h: memory that begins with a cache line, for what is looked at often or by several
 * threads.
 */
#ifndef KAL_BASE_CACHE_LINE_H
#define KAL_BASE_CACHE_LINE_H

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

#define KAL_CACHE_LINE_BYTES 64

/* Zeroed, to be freed with free(). what: for the last message, when there is no memory. */
static inline void *kal_cache_lines_alloc(size_t bytes, const char *what)
{
    size_t rounded =
        (bytes + KAL_CACHE_LINE_BYTES - 1) / KAL_CACHE_LINE_BYTES * KAL_CACHE_LINE_BYTES;
    void *p = aligned_alloc(KAL_CACHE_LINE_BYTES, rounded);
    if (p == NULL)
        kal_die("out of memory: %s", what);
    memset(p, 0, rounded);
    return p;
}

#endif
