/*
 * list.h: an intrusive doubly linked list; the link lives in the element, nothing is allocated.
 */
#ifndef KAL_BASE_LIST_H
#define KAL_BASE_LIST_H

#include "base/defs.h"

typedef struct kal_list {
    struct kal_list *next;
    struct kal_list *prev;
} kal_list;

#define KAL_CONTAINER_OF(link, type, member) ((type *)((char *)(link)-offsetof(type, member)))
#define KAL_LIST_FOR_EACH(link, head)                                                              \
    for (kal_list *link = (head)->next; link != (head); link = link->next)

static inline void kal_list_init(kal_list *head)
{
    head->next = head;
    head->prev = head;
}
static inline bool kal_list_empty(const kal_list *head)
{
    return head->next == head;
}
static inline void kal_list_push_back(kal_list *head, kal_list *link)
{
    link->next = head;
    link->prev = head->prev;
    head->prev->next = link;
    head->prev = link;
}
/* Takes the link out of its list; it is then a list of its own, so removing twice is harmless. */
static inline void kal_list_remove(kal_list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    kal_list_init(link);
}
static inline kal_list *kal_list_pop_front(kal_list *head)
{
    kal_list *link = head->next;
    if (link == head)
        return NULL;
    kal_list_remove(link);
    return link;
}

/* A long list is looked through a piece at a time, by rotating it so many times: a quarter of its
 * links, all of a short one, so that four pieces have seen each. */
static inline size_t kal_list_piece(size_t len)
{
    size_t piece = len / 4 + 256;
    return len < piece ? len : piece;
}
/* The first link becomes the last one, and is returned. The list is not empty. */
static inline kal_list *kal_list_rotate(kal_list *head)
{
    kal_list *link = kal_list_pop_front(head);
    kal_list_push_back(head, link);
    return link;
}

#endif
