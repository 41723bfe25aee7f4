#include "base/arena.h"
#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct kal_arena_chunk {
    kal_arena_chunk *older;
    size_t size_bytes; /* with this header */
};

enum { ALIGNMENT = 16, FIRST_CHUNK_BYTES = 1024, LARGEST_REGULAR_CHUNK_BYTES = 256 * 1024 };
#define HEADER_BYTES ((sizeof(kal_arena_chunk) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT)

void kal_arena_init(kal_arena *arena, kal_budget *budget)
{
    *arena = (kal_arena){.budget = budget};
}

void kal_arena_reset(kal_arena *arena)
{
    kal_arena_chunk *chunk = arena->chunks;
    while (chunk != NULL) {
        kal_arena_chunk *older = chunk->older;
        free(chunk);
        chunk = older;
    }
    kal_budget_release(arena->budget, arena->size_bytes);
    *arena = (kal_arena){.budget = arena->budget};
}

void kal_arena_release(kal_arena *arena)
{
    kal_arena_reset(arena);
    arena->budget = NULL;
}

/* Chunks double up to a bound, so that small arenas stay small and large ones take few mallocs. */
static size_t next_chunk_bytes(const kal_arena *arena, size_t needed)
{
    size_t regular = arena->size_bytes < FIRST_CHUNK_BYTES ? FIRST_CHUNK_BYTES : arena->size_bytes;
    if (regular > LARGEST_REGULAR_CHUNK_BYTES)
        regular = LARGEST_REGULAR_CHUNK_BYTES;
    return needed > regular ? needed : regular;
}

static void charge_past_limit(kal_budget *budget, size_t bytes)
{
    for (kal_budget *b = budget; b != NULL; b = b->parent)
        atomic_fetch_add_explicit(&b->used, bytes, memory_order_relaxed);
}

static bool take_chunk(kal_arena *arena, size_t bytes)
{
    kal_arena_chunk *chunk = malloc(bytes);
    if (chunk == NULL) {
        kal_budget_release(arena->budget, bytes);
        return false;
    }
    chunk->older = arena->chunks;
    chunk->size_bytes = bytes;
    arena->chunks = chunk;
    arena->size_bytes += bytes;
    arena->next = (uint8_t *)chunk + HEADER_BYTES;
    arena->end = (uint8_t *)chunk + bytes;
    return true;
}

void kal_arena_reserve(kal_arena *arena, size_t bytes)
{
    size_t needed = 0;
    if (!kal_try_add(bytes, HEADER_BYTES, &needed))
        return;
    charge_past_limit(arena->budget, needed);
    if (!take_chunk(arena, needed))
        kal_die("out of memory: %zu bytes", bytes);
}

static bool add_chunk(kal_arena *arena, size_t size, bool may_exceed)
{
    size_t needed = 0;
    if (!kal_try_add(size, HEADER_BYTES, &needed))
        return false;
    size_t bytes = next_chunk_bytes(arena, needed);
    if (may_exceed) {
        charge_past_limit(arena->budget, bytes);
    } else if (!kal_budget_charge(arena->budget, bytes)) {
        bytes = needed; /* the regular size may be what is too large */
        if (!kal_budget_charge(arena->budget, bytes))
            return false;
    }
    return take_chunk(arena, bytes);
}

static void *allocate(kal_arena *arena, size_t size, bool may_exceed)
{
    size_t rounded = 0;
    if (!kal_try_add(size == 0 ? 1 : size, (size_t)(ALIGNMENT - 1), &rounded))
        return NULL;
    rounded -= rounded % ALIGNMENT;
    if ((size_t)(arena->end - arena->next) < rounded && !add_chunk(arena, rounded, may_exceed))
        return NULL;
    void *piece = arena->next;
    arena->next += rounded;
    memset(piece, 0, rounded);
    return piece;
}

void *kal_arena_alloc(kal_arena *arena, size_t size)
{
    void *piece = allocate(arena, size, true);
    if (piece == NULL)
        kal_die("out of memory: %zu bytes", size);
    return piece;
}

void *kal_arena_try_alloc(kal_arena *arena, size_t size)
{
    return allocate(arena, size, false);
}

void *kal_arena_try_array(kal_arena *arena, size_t count, size_t size)
{
    size_t bytes = 0;
    if (!kal_try_mul(count, size, &bytes))
        return NULL;
    return kal_arena_try_alloc(arena, bytes);
}

bool kal_arena_try_copy(kal_arena *arena, kal_bytes bytes, kal_bytes *copy_out)
{
    size_t with_nul = 0;
    *copy_out = (kal_bytes){0};
    if (!kal_try_add(bytes.len, (size_t)1, &with_nul))
        return false;
    uint8_t *copy = kal_arena_try_alloc(arena, with_nul);
    if (copy == NULL)
        return false;
    if (bytes.len > 0)
        memcpy(copy, bytes.ptr, bytes.len);
    *copy_out = kal_bytes_of(copy, bytes.len);
    return true;
}

char *kal_arena_cstr(kal_arena *arena, kal_bytes bytes)
{
    char *copy = kal_arena_alloc(arena, bytes.len + 1);
    if (bytes.len > 0)
        memcpy(copy, bytes.ptr, bytes.len);
    return copy;
}

kal_bytes kal_arena_copy(kal_arena *arena, kal_bytes bytes)
{
    return kal_bytes_of(kal_arena_cstr(arena, bytes), bytes.len);
}

char *kal_arena_printf(kal_arena *arena, const char *format, ...)
{
    va_list args;
    va_list again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    KAL_ASSERT(len >= 0);
    char *text = kal_arena_alloc(arena, (size_t)len + 1);
    vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}
