/*
 * watchdog.c: ends statements that are past their deadline or were given up.
 *
 * One thread looks every 20 ms and interrupts until the statement is over: DuckDB forgets an
 * interrupt that comes before it has begun.
 */
#include "base/assert.h"
#include "base/thread.h"
#include "engine/engine_internal.h"

enum { LOOK_NS = 20 * 1000 * 1000 };

static kal_status reason_to_stop(kal_engine *engine, const kal_slot *slot)
{
    if (atomic_load(&engine->stopping) || (slot->cancelled != NULL && atomic_load(slot->cancelled)))
        return KAL_CANCELLED;
    if (slot->deadline_mono_ns != 0 && kal_clock_mono_ns(engine->clock) >= slot->deadline_mono_ns)
        return KAL_TIMEOUT;
    return KAL_OK;
}

/* engine->lock is held. Returns how many are watched. */
static unsigned look(kal_engine *engine)
{
    unsigned watched = 0;
    for (unsigned i = 0; i < engine->slot_count; i++) {
        kal_slot *slot = &engine->slots[i];
        if (!slot->watched)
            continue;
        watched++;
        kal_status reason = reason_to_stop(engine, slot);
        if (reason == KAL_OK)
            continue;
        if (atomic_load(&slot->stop) == KAL_OK)
            atomic_store(&slot->stop, reason);
        engine->api.interrupt(slot->connection);
    }
    return watched;
}

static void watch(void *context)
{
    kal_engine *engine = context;
    pthread_mutex_lock(&engine->lock);
    while (!engine->closing) {
        if (look(engine) == 0) {
            pthread_cond_wait(&engine->watch_changed, &engine->lock);
            continue;
        }
        kal_cond_wait_for(&engine->watch_changed, &engine->lock, LOOK_NS);
    }
    pthread_mutex_unlock(&engine->lock);
}

kal_status kal_watchdog_start(kal_engine *engine, kal_error *err)
{
    if (engine->watchdog_started)
        return KAL_OK;
    KAL_TRY(kal_thread_start(&engine->watchdog, "watchdog", 0, watch, engine, err));
    engine->watchdog_started = true;
    return KAL_OK;
}

void kal_watchdog_stop(kal_engine *engine)
{
    if (!engine->watchdog_started)
        return;
    pthread_mutex_lock(&engine->lock);
    engine->closing = true;
    pthread_cond_signal(&engine->watch_changed);
    pthread_mutex_unlock(&engine->lock);
    pthread_join(engine->watchdog, NULL);
    engine->watchdog_started = false;
}

void kal_watch_begin(kal_slot *slot, const kal_engine_query_args *query)
{
    kal_engine *engine = slot->engine;
    pthread_mutex_lock(&engine->lock);
    slot->deadline_mono_ns = query->deadline_mono_ns;
    slot->cancelled = query->cancelled;
    atomic_store(&slot->stop, KAL_OK);
    slot->watched = true;
    pthread_cond_signal(&engine->watch_changed);
    pthread_mutex_unlock(&engine->lock);
}

void kal_watch_end(kal_slot *slot)
{
    pthread_mutex_lock(&slot->engine->lock);
    slot->watched = false;
    pthread_mutex_unlock(&slot->engine->lock);
}

kal_status kal_watch_check(const kal_slot *slot, kal_error *err)
{
    switch (atomic_load(&slot->stop)) {
    case KAL_TIMEOUT:
        return kal_error_set(err, KAL_TIMEOUT, "the statement took too long and was stopped");
    case KAL_CANCELLED:
        return kal_error_set(err, KAL_CANCELLED, "the statement was cancelled");
    default:
        return KAL_OK;
    }
}
