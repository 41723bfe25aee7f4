#include "base/budget.h"
#include "base/assert.h"

void kal_budget_init(kal_budget *budget, kal_budget *parent, size_t limit)
{
    budget->parent = parent;
    budget->limit = limit;
    atomic_init(&budget->used, 0);
}

static bool charge_one(kal_budget *budget, size_t bytes)
{
    size_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);
    do {
        if (bytes > budget->limit || used > budget->limit - bytes)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&budget->used, &used, used + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static void release_one(kal_budget *budget, size_t bytes)
{
    size_t before = atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
    KAL_ASSERT(before >= bytes);
}

bool kal_budget_charge(kal_budget *budget, size_t bytes)
{
    for (kal_budget *b = budget; b != NULL; b = b->parent) {
        if (charge_one(b, bytes))
            continue;
        for (kal_budget *undo = budget; undo != b; undo = undo->parent)
            release_one(undo, bytes);
        return false;
    }
    return true;
}

void kal_budget_release(kal_budget *budget, size_t bytes)
{
    for (kal_budget *b = budget; b != NULL; b = b->parent)
        release_one(b, bytes);
}
