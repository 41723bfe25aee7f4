#include "base/map.h"
#include "base/assert.h"

#include <stdlib.h>
#include <xxhash.h>

enum { FIRST_CAP = 16 };

uint64_t kal_hash(kal_bytes key)
{
    return XXH3_64bits(key.len == 0 ? (const void *)"" : key.ptr, key.len);
}

void kal_map_init(kal_map *map)
{
    *map = (kal_map){0};
}

void kal_map_release(kal_map *map)
{
    for (size_t i = 0; i < map->cap; i++)
        free(map->entries[i].key);
    free(map->entries);
    *map = (kal_map){0};
}

/* The slot that holds the key, or the free slot where it would go. */
static kal_map_entry *find_slot(const kal_map *map, kal_bytes key, uint64_t hash)
{
    size_t mask = map->cap - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        kal_map_entry *entry = &map->entries[i];
        if (entry->key == NULL)
            return entry;
        if (entry->hash == hash && entry->key_len == key.len &&
            (key.len == 0 || memcmp(entry->key, key.ptr, key.len) == 0))
            return entry;
    }
}

void *kal_map_find(const kal_map *map, kal_bytes key)
{
    if (map->len == 0)
        return NULL;
    return find_slot(map, key, kal_hash(key))->value;
}

static void grow(kal_map *map)
{
    size_t cap = map->cap == 0 ? FIRST_CAP : map->cap * 2;
    kal_map grown = {.entries = calloc(cap, sizeof(kal_map_entry)), .cap = cap, .len = map->len};
    if (grown.entries == NULL)
        kal_die("out of memory: map of %zu entries", cap);
    for (size_t i = 0; i < map->cap; i++) {
        kal_map_entry *entry = &map->entries[i];
        if (entry->key != NULL)
            *find_slot(&grown, kal_bytes_of(entry->key, entry->key_len), entry->hash) = *entry;
    }
    free(map->entries);
    *map = grown;
}

void *kal_map_put(kal_map *map, kal_bytes key, void *value)
{
    KAL_ASSERT(value != NULL);
    if ((map->len + 1) * 4 > map->cap * 3)
        grow(map);
    uint64_t hash = kal_hash(key);
    kal_map_entry *entry = find_slot(map, key, hash);
    void *before = entry->value;
    if (entry->key == NULL) {
        entry->key = malloc(key.len + 1);
        if (entry->key == NULL)
            kal_die("out of memory: key of %zu bytes", key.len);
        if (key.len > 0)
            memcpy(entry->key, key.ptr, key.len);
        entry->key_len = key.len;
        entry->hash = hash;
        map->len++;
    }
    entry->value = value;
    return before;
}

void *kal_map_remove(kal_map *map, kal_bytes key)
{
    if (map->len == 0)
        return NULL;
    kal_map_entry *entry = find_slot(map, key, kal_hash(key));
    if (entry->key == NULL)
        return NULL;
    void *before = entry->value;
    free(entry->key);
    *entry = (kal_map_entry){0};
    map->len--;
    /* Close the gap: entries of the same run may have been pushed past the slot that is now free.
     */
    size_t mask = map->cap - 1;
    for (size_t i = ((size_t)(entry - map->entries) + 1) & mask; map->entries[i].key != NULL;
         i = (i + 1) & mask) {
        kal_map_entry moved = map->entries[i];
        map->entries[i] = (kal_map_entry){0};
        *find_slot(map, kal_bytes_of(moved.key, moved.key_len), moved.hash) = moved;
    }
    return before;
}

void *kal_map_next(const kal_map *map, size_t *position, kal_bytes *key_out)
{
    while (*position < map->cap) {
        kal_map_entry *entry = &map->entries[(*position)++];
        if (entry->key == NULL)
            continue;
        if (key_out != NULL)
            *key_out = kal_bytes_of(entry->key, entry->key_len);
        return entry->value;
    }
    return NULL;
}
