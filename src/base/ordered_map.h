/*
 * ordered_map.h: a map from bytes to bytes in key order: transaction overlays and the in-memory
 * store are built on it.
 *
 * Keys are unique and compared as unsigned bytes. Keys and values are copied in and charged to the
 * budget. Pointers handed out stay valid until that entry is changed or removed.
 * Threads: one at a time, or many readers.
 */
#ifndef KAL_BASE_ORDERED_MAP_H
#define KAL_BASE_ORDERED_MAP_H

#include "base/budget.h"
#include "base/bytes.h"

typedef struct kal_ordered_map kal_ordered_map; /* opaque: a skip list or balanced tree */
typedef struct kal_ordered_entry kal_ordered_entry;

kal_ordered_map *kal_ordered_map_open(kal_budget *budget); /* owned: kal_ordered_map_close */
void kal_ordered_map_close(kal_ordered_map *map);          /* NULL is allowed */

/* Adds or replaces; false when the budget refuses (the map is unchanged). */
KAL_MUST_CHECK bool kal_ordered_map_put(kal_ordered_map *map, kal_bytes key, kal_bytes value);
/* false when the key was not there. */
bool kal_ordered_map_remove(kal_ordered_map *map, kal_bytes key);
/* The entry with this key, or NULL. */
const kal_ordered_entry *kal_ordered_map_find(const kal_ordered_map *map, kal_bytes key);
/* First entry with key >= bound; last entry with key < bound; NULL when there is none. */
const kal_ordered_entry *kal_ordered_map_at_least(const kal_ordered_map *map, kal_bytes bound);
const kal_ordered_entry *kal_ordered_map_below(const kal_ordered_map *map, kal_bytes bound);
/* Neighbours in key order, NULL at the ends. */
const kal_ordered_entry *kal_ordered_map_next(const kal_ordered_entry *entry);
const kal_ordered_entry *kal_ordered_map_prev(const kal_ordered_map *map,
                                              const kal_ordered_entry *entry);
kal_bytes kal_ordered_entry_key(const kal_ordered_entry *entry);
kal_bytes kal_ordered_entry_value(const kal_ordered_entry *entry);
size_t kal_ordered_map_len(const kal_ordered_map *map);

#endif
