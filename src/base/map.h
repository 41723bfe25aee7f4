/*
 * map.h: a hash map from bytes to a pointer (XXH3, open addressing, keys copied).
 *
 * Values are borrowed. Iteration order is unspecified; use ordered_map.h where order matters.
 * Threads: one at a time, or many readers.
 */
#ifndef KAL_BASE_MAP_H
#define KAL_BASE_MAP_H

#include "base/bytes.h"

typedef struct kal_map_entry {
    uint64_t hash;
    uint8_t *key; /* owned; NULL = free slot */
    size_t key_len;
    void *value;
} kal_map_entry;

typedef struct kal_map {
    kal_map_entry *entries; /* owned; cap is 0 or a power of two */
    size_t cap;
    size_t len;
} kal_map;

void kal_map_init(kal_map *map);
void kal_map_release(kal_map *map);

/* The value, or NULL when the key is not there. */
void *kal_map_find(const kal_map *map, kal_bytes key);
/* Adds or replaces; returns the value that stood there, or NULL. value must not be NULL. */
void *kal_map_put(kal_map *map, kal_bytes key, void *value);
/* Removes; returns the value that stood there, or NULL. */
void *kal_map_remove(kal_map *map, kal_bytes key);
/* Walks: start with *position = 0; NULL at the end. Do not change the map meanwhile. */
void *kal_map_next(const kal_map *map, size_t *position, kal_bytes *key_out);

uint64_t kal_hash(kal_bytes key);

#endif
