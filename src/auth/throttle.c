/*
 * throttle.c: how often somebody may fail: by name of the account, and by address.
 *
 * Each name keeps the times of its last failures; when the failures_max-th before now is still in
 * the window, the name is locked. So no window of that length, wherever it starts, holds more. The
 * clock is the monotonic one: setting the time neither opens nor prolongs a lock.
 *
 * An attempt counts once it has failed: attempts of one name that run at the same time may exceed
 * the limit by as many as there are threads that log in.
 *
 * Memory is bounded: beyond names_max the name whose last failure is longest ago is forgotten. To
 * push a lock out that way somebody must fail with names_max others, which the limit by address
 * makes slow.
 */
#include "auth/auth_internal.h"
#include "base/assert.h"

#include <stdlib.h>

typedef struct failure_record {
    kal_list link; /* longest ago first */
    uint8_t *name; /* owned */
    size_t name_len;
    int64_t locked_until_us; /* 0 = not locked */
    unsigned count;          /* of the times below that are set */
    unsigned next;           /* where the next one goes: over the oldest when all are set */
    int64_t failed_us[];     /* failures_max of them, a ring */
} failure_record;

struct kal_throttle {
    kal_throttle_limits limits;
    pthread_mutex_t lock; /* protects the rest */
    kal_map records;      /* name -> failure_record, owned */
    kal_list order;
};

kal_throttle *kal_throttle_open(const kal_throttle_limits *limits)
{
    KAL_ASSERT(limits->failures_max > 0);
    KAL_ASSERT(limits->names_max > 0);
    kal_throttle *t = calloc(1, sizeof *t);
    if (t == NULL)
        kal_die("out of memory: throttle");
    t->limits = *limits;
    pthread_mutex_init(&t->lock, NULL);
    kal_map_init(&t->records);
    kal_list_init(&t->order);
    return t;
}

static void forget(kal_throttle *t, failure_record *record)
{
    kal_list_remove(&record->link);
    kal_map_remove(&t->records, kal_bytes_of(record->name, record->name_len));
    free(record->name);
    free(record);
}

void kal_throttle_close(kal_throttle *t)
{
    if (t == NULL)
        return;
    while (!kal_list_empty(&t->order))
        forget(t, KAL_CONTAINER_OF(t->order.next, failure_record, link));
    kal_map_release(&t->records);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

bool kal_throttle_may_try(kal_throttle *t, kal_bytes name, int64_t now_us)
{
    pthread_mutex_lock(&t->lock);
    const failure_record *record = kal_map_find(&t->records, name);
    bool may = record == NULL || now_us >= record->locked_until_us;
    pthread_mutex_unlock(&t->lock);
    return may;
}

static failure_record *new_record(kal_throttle *t, kal_bytes name)
{
    if (t->records.len >= t->limits.names_max)
        forget(t, KAL_CONTAINER_OF(t->order.next, failure_record, link));
    failure_record *record =
        calloc(1, sizeof *record + t->limits.failures_max * sizeof record->failed_us[0]);
    if (record == NULL)
        kal_die("out of memory: throttle");
    record->name = malloc(name.len + 1);
    if (record->name == NULL)
        kal_die("out of memory: throttle");
    if (name.len > 0)
        memcpy(record->name, name.ptr, name.len);
    record->name_len = name.len;
    kal_map_put(&t->records, name, record);
    kal_list_push_back(&t->order, &record->link);
    return record;
}

static void note_failure(const kal_throttle *t, failure_record *record, int64_t now_us)
{
    record->failed_us[record->next] = now_us;
    record->next = (record->next + 1) % t->limits.failures_max;
    if (record->count < t->limits.failures_max)
        record->count++;
    /* The place of the next one holds the oldest. */
    if (record->count < t->limits.failures_max ||
        now_us - record->failed_us[record->next] > t->limits.window_us)
        return;
    record->locked_until_us = now_us + t->limits.lock_us;
    record->count = 0; /* a new chance after the lock */
}

void kal_throttle_failed(kal_throttle *t, kal_bytes name, int64_t now_us)
{
    pthread_mutex_lock(&t->lock);
    failure_record *record = kal_map_find(&t->records, name);
    if (record == NULL)
        record = new_record(t, name);
    note_failure(t, record, now_us);
    kal_list_remove(&record->link);
    kal_list_push_back(&t->order, &record->link);
    pthread_mutex_unlock(&t->lock);
}

void kal_throttle_succeeded(kal_throttle *t, kal_bytes name)
{
    pthread_mutex_lock(&t->lock);
    failure_record *record = kal_map_find(&t->records, name);
    if (record != NULL)
        forget(t, record);
    pthread_mutex_unlock(&t->lock);
}
