/*
 * arena.h: memory that is freed all at once, named by its lifetime (statement, batch, session).
 *
 * An arena hands out pieces of larger chunks and charges the chunks to a budget. There is no hidden
 * current arena: whoever needs memory is given one. Under ASan freed chunks are really freed, so a
 * stale borrow shows in tests.
 *
 *   kal_arena_alloc()      small things whose size we choose; never NULL, charged past the limit
 *   kal_arena_try_alloc()  anything a client sized; NULL when the budget refuses: answer KAL_LIMIT
 *
 * Threads: one at a time.
 */
#ifndef KAL_BASE_ARENA_H
#define KAL_BASE_ARENA_H

#include "base/budget.h"
#include "base/bytes.h"

typedef struct kal_arena_chunk kal_arena_chunk;

typedef struct kal_arena {
    kal_arena_chunk *chunks; /* owned, newest first */
    uint8_t *next;           /* free space of the newest chunk */
    uint8_t *end;
    kal_budget *budget; /* borrowed, NULL = unlimited */
    size_t size_bytes;  /* all chunks, charged to the budget */
} kal_arena;

/* Takes no memory until first used. */
void kal_arena_init(kal_arena *arena, kal_budget *budget);
/* Frees everything handed out; the arena can be used again. */
void kal_arena_reset(kal_arena *arena);
/* As reset; the arena is gone afterwards. */
void kal_arena_release(kal_arena *arena);

/* What follows fits into one piece of memory if it is about as much: for arenas that are filled
 * once and kept. Charged past the limit. */
void kal_arena_reserve(kal_arena *arena, size_t bytes);

/* About what a piece of so many bytes takes: to be added up for kal_arena_reserve(). */
static inline size_t kal_arena_piece(size_t bytes)
{
    return (bytes + 16) / 16 * 16;
}

/* Zeroed, aligned to 16. size 0 gives a unique non-NULL pointer. */
void *kal_arena_alloc(kal_arena *arena, size_t size);
KAL_MUST_CHECK void *kal_arena_try_alloc(kal_arena *arena, size_t size);
/* count * size, checked for overflow (NULL). */
KAL_MUST_CHECK void *kal_arena_try_array(kal_arena *arena, size_t count, size_t size);

/* Copies bytes into the arena; false when the budget refuses. A NUL byte follows the copy. */
KAL_MUST_CHECK bool kal_arena_try_copy(kal_arena *arena, kal_bytes bytes, kal_bytes *copy_out);
/* For short texts of ours (names): never fails. NUL-terminated. */
char *kal_arena_cstr(kal_arena *arena, kal_bytes bytes);
kal_bytes kal_arena_copy(kal_arena *arena, kal_bytes bytes);
char *kal_arena_printf(kal_arena *arena, const char *format, ...) KAL_PRINTF(2, 3);

#define KAL_NEW(arena, type) ((type *)kal_arena_alloc((arena), sizeof(type)))

#endif
