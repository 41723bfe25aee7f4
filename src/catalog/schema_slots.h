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

/* ---- names: short texts, hashed and compared by their words, without a call ---- */

/* All of up to 7 bytes. */
static inline uint64_t kal_slot_word(const uint8_t *p, size_t len)
{
    if (len >= 4)
        return kal_load_le32(p) | (uint64_t)kal_load_le32(p + len - 4) << 32;
    return len == 0 ? 0 : (uint64_t)p[0] | (uint64_t)p[len / 2] << 8 | (uint64_t)p[len - 1] << 16;
}

/* All words, each with a factor of its own, so that they are multiplied side by side; the last one
 * overlaps the one before. */
static inline uint64_t kal_slot_hash_text(kal_bytes text, uint64_t factor)
{
    const uint64_t STEP = UINT64_C(0x9E3779B97F4A7C16); /* even: factors stay odd */
    uint64_t sum = text.len * factor;
    if (text.len < 8)
        return sum + kal_slot_word(text.ptr, text.len) * (factor + STEP);
    for (size_t at = 0; at + 8 < text.len; at += 8) {
        factor += STEP;
        uint64_t word = kal_load_le64(text.ptr + at);
        sum += (word ^ word >> 32) * factor;
    }
    uint64_t last = kal_load_le64(text.ptr + text.len - 8);
    return sum + (last ^ last >> 32) * (factor + STEP);
}

static inline uint64_t kal_slot_hash(kal_bytes ns, kal_bytes name)
{
    uint64_t sum = kal_slot_hash_text(ns, UINT64_C(0xD6E8FEB86659FD93)) ^
                   kal_slot_hash_text(name, UINT64_C(0x2545F4914F6CDD1D));
    kal_u128 product = (kal_u128)sum * UINT64_C(0x9FB21C651E98DF25);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline bool kal_slot_same_text(kal_bytes a, kal_bytes b)
{
    if (a.len != b.len)
        return false;
    if (a.len < 8)
        return kal_slot_word(a.ptr, a.len) == kal_slot_word(b.ptr, b.len);
    uint64_t differs = kal_load_le64(a.ptr + a.len - 8) ^ kal_load_le64(b.ptr + a.len - 8);
    for (size_t at = 0; at + 8 < a.len; at += 8)
        differs |= kal_load_le64(a.ptr + at) ^ kal_load_le64(b.ptr + at);
    return differs == 0;
}

#endif
