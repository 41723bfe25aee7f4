/*
 * schema_slots.h: the tables that one thread has looked up, so that it finds them again without a
 * lock and without writing anything that others read.
 *
 * A direct-mapped array: the home of a table is its hash (or its table_id) modulo the size; when
 * the home is taken it stands in one of the WINDOW - 1 places behind. When a whole window is taken
 * by tables that are in use the array doubles, up to a bound, so that a thread which goes round
 * among many tables gets a place for each.
 *
 *   slot  table | generation | tag | uses
 *
 * An entry is right while its generation is the cache's. Outdated ones keep their table alive until
 * they are replaced or swept: each put looks after two of them.
 *
 * Threads: the one that owns it.
 */
#ifndef KAL_CATALOG_SCHEMA_SLOTS_H
#define KAL_CATALOG_SCHEMA_SLOTS_H

#include "catalog/catalog.h"

#define KAL_SLOT_WINDOW 8u

typedef struct kal_slot {
    kal_table *table; /* retained, or NULL */
    uint64_t generation;
    uint32_t tag;  /* upper half of the hash of the names, or the table_id */
    uint32_t uses; /* since they were last added to the table's */
} kal_slot;

typedef struct kal_slots {
    kal_slot *items; /* owned; mask + KAL_SLOT_WINDOW of them */
    uint32_t mask;
    uint32_t mask_max;
    uint32_t sweep; /* the next entry to look after */
    uint32_t victim;
    bool by_id;
} kal_slots;

/* For caches of at most tables_max tables. */
void kal_slots_init(kal_slots *slots, bool by_id, size_t tables_max);
void kal_slots_release(kal_slots *slots);
/* Takes over the reference. false: there was no memory to grow, so another table lost its place. */
bool kal_slots_put(kal_slots *slots, kal_table *table, uint64_t generation);
/* Takes a table out, if it is there. */
void kal_slots_remove(kal_slots *slots, const kal_table *table);

static inline uint32_t kal_slot_tag(uint64_t name_hash)
{
    return (uint32_t)(name_hash >> 32);
}

/* The hash of "ns.name", short texts: the words of the text multiplied into each other. */
static inline uint64_t kal_slot_mix(uint64_t a, uint64_t b)
{
    kal_u128 product = (kal_u128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t kal_slot_hash_text(kal_bytes text, uint64_t seed)
{
    const uint64_t MULTIPLIER = UINT64_C(0x9E3779B97F4A7C15);
    const uint8_t *p = text.ptr;
    size_t left = text.len;
    uint64_t hash = seed ^ text.len;
    uint64_t last = 0;

    for (; left > 8; left -= 8, p += 8)
        hash = kal_slot_mix(hash ^ kal_load_le64(p), MULTIPLIER);
    if (left >= 4)
        last = kal_load_le32(p) | (uint64_t)kal_load_le32(p + left - 4) << 32;
    else if (left > 0)
        last = (uint64_t)p[0] | (uint64_t)p[left / 2] << 8 | (uint64_t)p[left - 1] << 16;
    return kal_slot_mix(hash ^ last, MULTIPLIER ^ UINT64_C(0x5851F42D4C957F2D));
}

static inline uint64_t kal_slot_hash(kal_bytes ns, kal_bytes name)
{
    return kal_slot_hash_text(name, kal_slot_hash_text(ns, UINT64_C(0x2545F4914F6CDD1D)));
}

#endif
