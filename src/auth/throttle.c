/*
 * throttle.c: how often somebody may fail: by name of the account, and by address.
 */
#include "auth/auth_internal.h"
#include "base/assert.h"

#include <stdlib.h>

typedef struct failure_record {
    kal_list link; /* oldest change first */
    uint8_t *name; /* owned */
    size_t name_len;
    unsigned failures; /* since window_start */
    int64_t window_start_us;
    int64_t locked_until_us; /* 0 = not locked */
} failure_record;

struct kal_throttle {
    kal_throttle_limits limits;
    pthread_mutex_t lock; /* protects the rest */
    kal_map records;      /* name -> failure_record, owned */
    kal_list order;
};

kal_throttle *kal_throttle_open(const kal_throttle_limits *limits)
{
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

static failure_record *new_record(kal_throttle *t, kal_bytes name, int64_t now_us)
{
    if (t->records.len >= t->limits.names_max)
        forget(t, KAL_CONTAINER_OF(t->order.next, failure_record, link));
    failure_record *record = calloc(1, sizeof *record);
    if (record == NULL)
        kal_die("out of memory: throttle");
    record->name = malloc(name.len + 1);
    if (record->name == NULL)
        kal_die("out of memory: throttle");
    if (name.len > 0)
        memcpy(record->name, name.ptr, name.len);
    record->name_len = name.len;
    record->window_start_us = now_us;
    kal_map_put(&t->records, name, record);
    kal_list_push_back(&t->order, &record->link);
    return record;
}

void kal_throttle_failed(kal_throttle *t, kal_bytes name, int64_t now_us)
{
    pthread_mutex_lock(&t->lock);
    failure_record *record = kal_map_find(&t->records, name);
    if (record == NULL)
        record = new_record(t, name, now_us);
    if (now_us - record->window_start_us > t->limits.window_us) {
        record->window_start_us = now_us;
        record->failures = 0;
    }
    if (++record->failures >= t->limits.failures_max) {
        record->locked_until_us = now_us + t->limits.lock_us;
        record->failures = 0;
        record->window_start_us = record->locked_until_us;
    }
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
