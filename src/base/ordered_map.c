/*
 * ordered_map.c: a skip list (Pugh, 1990), doubly linked at the bottom.
 *
 *   level 2   head ────────────────────> c ──────────> NULL
 *   level 1   head ──────> b ──────────> c ──────────> NULL
 *   level 0   head <=> a <=> b <=> b2 <=> c <=> d ───> NULL
 *
 * Invariants: 1. the entries of level n+1 are a subset of those of level n, each level ascends;
 * 2. an entry of height h is in the levels below h; 3. the first entry's prev is NULL; 4. charged
 * to the budget: node_bytes() + value_len of every entry.
 *
 * Heights come from the map's own generator, seeded by kal_random_bytes(): a client that chooses
 * keys cannot make the list degenerate, and a simulation still repeats.
 */
#include "base/ordered_map.h"
#include "base/assert.h"
#include "base/rng.h"

#include <stdlib.h>

enum { HEIGHT_MAX = 16 }; /* one entry in four reaches the next level: good for 4^16 entries */

struct kal_ordered_entry {
    kal_ordered_entry *prev; /* NULL at the first */
    uint8_t *value;          /* owned; NULL when empty */
    size_t value_len;
    size_t key_len;
    size_t height;             /* 1 to HEIGHT_MAX */
    kal_ordered_entry *next[]; /* height links; the key's bytes follow them */
};

struct kal_ordered_map {
    kal_budget *budget; /* borrowed, NULL = unlimited */
    kal_rng rng;
    size_t len;
    size_t height; /* of the highest entry so far; levels above it are empty */
    kal_ordered_entry *head[HEIGHT_MAX];
};

/* Where an entry with a given key is, or would be: the links that point there. */
typedef struct position {
    kal_ordered_entry **links[HEIGHT_MAX];
    kal_ordered_entry *before; /* NULL when first */
    kal_ordered_entry *at;     /* first entry with key >= the wanted one, or NULL */
} position;

kal_ordered_map *kal_ordered_map_open(kal_budget *budget)
{
    kal_ordered_map *map = calloc(1, sizeof *map);
    if (map == NULL)
        kal_die("out of memory: ordered map");
    map->budget = budget;
    uint64_t seed = 0;
    kal_random_bytes(&seed, sizeof seed);
    kal_rng_seed(&map->rng, seed);
    return map;
}

static size_t node_bytes(const kal_ordered_entry *entry)
{
    return sizeof *entry + entry->height * sizeof entry->next[0] + entry->key_len;
}

static void free_entry(kal_ordered_map *map, kal_ordered_entry *entry)
{
    kal_budget_release(map->budget, node_bytes(entry) + entry->value_len);
    free(entry->value);
    free(entry);
}

void kal_ordered_map_close(kal_ordered_map *map)
{
    if (map == NULL)
        return;
    kal_ordered_entry *entry = map->head[0];
    while (entry != NULL) {
        kal_ordered_entry *next = entry->next[0];
        free_entry(map, entry);
        entry = next;
    }
    free(map);
}

kal_bytes kal_ordered_entry_key(const kal_ordered_entry *entry)
{
    return kal_bytes_of(&entry->next[entry->height], entry->key_len);
}

kal_bytes kal_ordered_entry_value(const kal_ordered_entry *entry)
{
    return kal_bytes_of(entry->value, entry->value_len);
}

size_t kal_ordered_map_len(const kal_ordered_map *map)
{
    return map->len;
}

/* Goes right while the next key is smaller, down otherwise. links_out is NULL on reads. */
static kal_ordered_entry *search(const kal_ordered_map *map, kal_bytes key,
                                 kal_ordered_entry **before_out,
                                 kal_ordered_entry **links_out[HEIGHT_MAX])
{
    kal_ordered_entry *before = NULL;
    kal_ordered_entry *at = NULL;
    for (size_t level = map->height; level-- > 0;) {
        at = before == NULL ? map->head[level] : before->next[level];
        while (at != NULL && kal_bytes_compare(kal_ordered_entry_key(at), key) < 0) {
            before = at;
            at = at->next[level];
        }
        if (links_out != NULL)
            links_out[level] = before == NULL ? NULL : &before->next[level];
    }
    *before_out = before;
    return at;
}

static position locate(kal_ordered_map *map, kal_bytes key)
{
    position p = {0};
    p.at = search(map, key, &p.before, p.links);
    for (size_t level = 0; level < HEIGHT_MAX; level++) {
        if (p.links[level] == NULL)
            p.links[level] = &map->head[level];
    }
    return p;
}

static bool has_key(const kal_ordered_entry *entry, kal_bytes key)
{
    return entry != NULL && kal_bytes_equal(kal_ordered_entry_key(entry), key);
}

static size_t draw_height(kal_ordered_map *map)
{
    size_t height = 1;
    for (uint64_t bits = kal_rng_next(&map->rng); height < HEIGHT_MAX && (bits & 3) == 0;
         bits >>= 2)
        height++;
    return height;
}

/* A copy of the value, charged; empty values take nothing. */
static bool copy_value(kal_ordered_map *map, kal_bytes value, uint8_t **copy_out)
{
    *copy_out = NULL;
    if (value.len == 0)
        return true;
    if (!kal_budget_charge(map->budget, value.len))
        return false;
    *copy_out = malloc(value.len);
    if (*copy_out == NULL) {
        kal_budget_release(map->budget, value.len);
        return false;
    }
    memcpy(*copy_out, value.ptr, value.len);
    return true;
}

static kal_ordered_entry *make_entry(kal_ordered_map *map, kal_bytes key, kal_bytes value)
{
    size_t height = draw_height(map);
    kal_ordered_entry *entry = NULL;
    size_t bytes = 0;
    if (!kal_try_add(sizeof *entry + height * sizeof entry->next[0], key.len, &bytes) ||
        !kal_budget_charge(map->budget, bytes))
        return NULL;
    entry = malloc(bytes);
    uint8_t *copy = NULL;
    if (entry == NULL || !copy_value(map, value, &copy)) {
        free(entry);
        kal_budget_release(map->budget, bytes);
        return NULL;
    }
    *entry = (kal_ordered_entry){
        .value = copy, .value_len = value.len, .key_len = key.len, .height = height};
    if (key.len > 0)
        memcpy(&entry->next[height], key.ptr, key.len);
    return entry;
}

bool kal_ordered_map_put(kal_ordered_map *map, kal_bytes key, kal_bytes value)
{
    position p = locate(map, key);
    if (has_key(p.at, key)) {
        uint8_t *copy = NULL;
        if (!copy_value(map, value, &copy))
            return false;
        kal_budget_release(map->budget, p.at->value_len);
        free(p.at->value);
        p.at->value = copy;
        p.at->value_len = value.len;
        return true;
    }
    kal_ordered_entry *entry = make_entry(map, key, value);
    if (entry == NULL)
        return false;
    for (size_t level = 0; level < entry->height; level++) {
        entry->next[level] = *p.links[level];
        *p.links[level] = entry;
    }
    entry->prev = p.before;
    if (entry->next[0] != NULL)
        entry->next[0]->prev = entry;
    if (entry->height > map->height)
        map->height = entry->height;
    map->len++;
    return true;
}

bool kal_ordered_map_remove(kal_ordered_map *map, kal_bytes key)
{
    position p = locate(map, key);
    kal_ordered_entry *entry = p.at;
    if (!has_key(entry, key))
        return false;
    for (size_t level = 0; level < entry->height; level++)
        *p.links[level] = entry->next[level];
    if (entry->next[0] != NULL)
        entry->next[0]->prev = entry->prev;
    free_entry(map, entry);
    map->len--;
    return true;
}

const kal_ordered_entry *kal_ordered_map_at_least(const kal_ordered_map *map, kal_bytes bound)
{
    kal_ordered_entry *before = NULL;
    return search(map, bound, &before, NULL);
}

const kal_ordered_entry *kal_ordered_map_below(const kal_ordered_map *map, kal_bytes bound)
{
    kal_ordered_entry *before = NULL;
    search(map, bound, &before, NULL);
    return before;
}

const kal_ordered_entry *kal_ordered_map_find(const kal_ordered_map *map, kal_bytes key)
{
    const kal_ordered_entry *entry = kal_ordered_map_at_least(map, key);
    return has_key(entry, key) ? entry : NULL;
}

const kal_ordered_entry *kal_ordered_map_next(const kal_ordered_entry *entry)
{
    return entry->next[0];
}

const kal_ordered_entry *kal_ordered_map_prev(const kal_ordered_map *map,
                                              const kal_ordered_entry *entry)
{
    (void)map; /* part of the interface: a tree without back links would need it */
    return entry->prev;
}
