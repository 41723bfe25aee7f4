#include "catalog/schema_slots.h"
#include "base/assert.h"

#include <stdlib.h>

enum { FIRST_SIZE = 64, SWEEP_COUNT = 2 };

static kal_slot *new_items(uint32_t mask)
{
    return calloc((size_t)mask + KAL_SLOT_WINDOW, sizeof(kal_slot));
}

void kal_slots_init(kal_slots *slots, bool by_id, size_t tables_max)
{
    size_t size = FIRST_SIZE;
    while (size < 4 * tables_max) /* sparse enough for every window */
        size *= 2;
    *slots = (kal_slots){
        .items = new_items(FIRST_SIZE - 1),
        .mask = FIRST_SIZE - 1,
        .mask_max = (uint32_t)(size - 1),
        .by_id = by_id,
    };
    if (slots->items == NULL)
        kal_die("out of memory: catalog worker");
}

static size_t item_count(const kal_slots *slots)
{
    return (size_t)slots->mask + KAL_SLOT_WINDOW;
}

static void empty(kal_slot *slot)
{
    kal_table *table = slot->table;
    if (table == NULL)
        return;
    if (slot->uses > 0)
        atomic_fetch_add_explicit(&table->cached.uses, slot->uses, memory_order_relaxed);
    *slot = (kal_slot){0};
    kal_table_release(table);
}

void kal_slots_release(kal_slots *slots)
{
    for (size_t i = 0; i < item_count(slots); i++)
        empty(&slots->items[i]);
    free(slots->items);
}

/* ---- places ---- */

static uint32_t tag_of(const kal_slots *slots, const kal_table *table)
{
    return slots->by_id ? table->def->table_id : kal_slot_tag(table->cached.name_hash);
}

static kal_slot *window_of(const kal_slots *slots, const kal_table *table)
{
    uint32_t place = slots->by_id ? table->def->table_id : (uint32_t)table->cached.name_hash;
    return &slots->items[place & slots->mask];
}

/* The best place in the window: of this table's tag, free, or outdated; NULL: all are in use. */
static kal_slot *find_place(kal_slot *window, uint32_t tag, uint64_t generation)
{
    kal_slot *place = NULL;
    for (unsigned i = 0; i < KAL_SLOT_WINDOW; i++) {
        kal_slot *slot = &window[i];
        if (slot->table != NULL && slot->tag == tag)
            return slot;
        if (slot->table == NULL && (place == NULL || place->table != NULL))
            place = slot;
        else if (slot->generation != generation && place == NULL)
            place = slot;
    }
    return place;
}

static void move_into(kal_slots *slots, kal_slot *from)
{
    if (from->table == NULL)
        return;
    kal_slot *window = window_of(slots, from->table);
    for (unsigned i = 0; i < KAL_SLOT_WINDOW; i++) {
        if (window[i].table == NULL) {
            window[i] = *from;
            return;
        }
    }
    empty(from);
}

static bool grow(kal_slots *slots)
{
    kal_slots old = *slots;
    uint32_t mask = old.mask * 2 + 1;
    kal_slot *items = new_items(mask);

    if (items == NULL)
        return false;
    slots->items = items;
    slots->mask = mask;
    slots->sweep = 0;
    for (size_t i = 0; i < item_count(&old); i++)
        move_into(slots, &old.items[i]);
    free(old.items);
    return true;
}

/* Lets go of tables that nobody will find through their entries any more. */
static void sweep(kal_slots *slots, uint64_t generation)
{
    for (int i = 0; i < SWEEP_COUNT; i++) {
        kal_slot *slot = &slots->items[slots->sweep];
        slots->sweep = slots->sweep + 1 < item_count(slots) ? slots->sweep + 1 : 0;
        if (slot->table == NULL)
            continue;
        bool outdated =
            slot->generation != generation && atomic_load(&slot->table->fate) != KAL_TABLE_CURRENT;
        bool evicted =
            atomic_load_explicit(&slot->table->cached.good_until_s, memory_order_relaxed) == 0;
        if (outdated || evicted)
            empty(slot);
    }
}

/* ---- entry points ---- */

bool kal_slots_put(kal_slots *slots, kal_table *table, uint64_t generation)
{
    uint32_t tag = tag_of(slots, table);
    bool has_memory = true;
    kal_slot *place = NULL;

    sweep(slots, generation);
    while ((place = find_place(window_of(slots, table), tag, generation)) == NULL && has_memory &&
           slots->mask < slots->mask_max)
        has_memory = grow(slots);
    if (place == NULL)
        place = &window_of(slots, table)[slots->victim++ % KAL_SLOT_WINDOW];
    empty(place);
    *place = (kal_slot){.table = table, .generation = generation, .tag = tag, .uses = 1};
    return has_memory;
}

void kal_slots_remove(kal_slots *slots, const kal_table *table)
{
    kal_slot *window = window_of(slots, table);
    for (unsigned i = 0; i < KAL_SLOT_WINDOW; i++) {
        if (window[i].table == table)
            empty(&window[i]);
    }
}
