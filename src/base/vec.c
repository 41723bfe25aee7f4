#include "base/vec.h"
#include "base/assert.h"

#include <stdlib.h>

enum { FIRST_CAP = 8 };

static size_t next_cap(size_t cap, size_t needed)
{
    size_t grown = cap < FIRST_CAP ? FIRST_CAP : cap * 2;
    return grown < needed ? needed : grown;
}

void kal_vec_grow_(void **items, size_t *cap, size_t needed, size_t item_size)
{
    if (needed <= *cap)
        return;
    size_t grown = next_cap(*cap, needed);
    void *moved = reallocarray(*items, grown, item_size);
    if (moved == NULL)
        kal_die("out of memory: %zu items of %zu bytes", grown, item_size);
    *items = moved;
    *cap = grown;
}

void kal_vec_free_(void *items)
{
    free(items);
}

bool kal_vec_try_grow_in_(kal_arena *arena, void **items, size_t *cap, size_t needed,
                          size_t item_size)
{
    if (needed <= *cap)
        return true;
    size_t grown = next_cap(*cap, needed);
    void *moved = kal_arena_try_array(arena, grown, item_size);
    if (moved == NULL)
        return false;
    if (*cap > 0)
        memcpy(moved, *items, *cap * item_size);
    *items = moved;
    *cap = grown;
    return true;
}
