/*
 * vec.h: a typed growing array: KAL_VEC(kal_column) columns = {0};
 *
 * Elements move when the vector grows, so keep indexes rather than pointers across a push. Heap
 * vectors end the process when memory is gone: use them for what we size. What a client sizes goes
 * through kal_vec_try_push_in() with the statement's arena.
 */
#ifndef KAL_BASE_VEC_H
#define KAL_BASE_VEC_H

#include "base/arena.h"

#define KAL_VEC(type)                                                                              \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t len;                                                                                \
        size_t cap;                                                                                \
    }

/* Appends to a heap vector. */
#define kal_vec_push(vec, item)                                                                    \
    do {                                                                                           \
        kal_vec_grow_((void **)&(vec)->items, &(vec)->cap, (vec)->len + 1, sizeof *(vec)->items);  \
        (vec)->items[(vec)->len++] = (item);                                                       \
    } while (0)

#define kal_vec_release(vec)                                                                       \
    do {                                                                                           \
        kal_vec_free_((vec)->items);                                                               \
        (vec)->items = NULL;                                                                       \
        (vec)->len = 0;                                                                            \
        (vec)->cap = 0;                                                                            \
    } while (0)

/* Appends to a vector that lives in an arena; false when the arena's budget refuses. */
#define kal_vec_try_push_in(arena, vec, item)                                                      \
    (kal_vec_try_grow_in_((arena), (void **)&(vec)->items, &(vec)->cap, (vec)->len + 1,            \
                          sizeof *(vec)->items)                                                    \
         ? ((vec)->items[(vec)->len++] = (item), true)                                             \
         : false)

void kal_vec_grow_(void **items, size_t *cap, size_t needed, size_t item_size);
void kal_vec_free_(void *items);
KAL_MUST_CHECK bool kal_vec_try_grow_in_(kal_arena *arena, void **items, size_t *cap, size_t needed,
                                         size_t item_size);

#endif
