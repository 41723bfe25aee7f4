#include "base/assert.h"
#include "table/table_internal.h"

#include <stdlib.h>

kal_write *kal_write_open(kal_tables *tables, kal_budget *budget)
{
    kal_write *write = calloc(1, sizeof *write);
    if (write == NULL)
        kal_die("out of memory: write");
    kal_list_init(&write->link);
    write->tables = tables;
    kal_arena_init(&write->arena, budget);
    write->error = KAL_ERROR_INIT;
    return write;
}

void kal_write_close(kal_write *write)
{
    if (write == NULL)
        return;
    for (size_t i = 0; i < write->ops.len; i++)
        kal_table_release(write->ops.items[i].table);
    kal_arena_release(&write->arena);
    free(write);
}

kal_arena *kal_write_arena(kal_write *write)
{
    return &write->arena;
}

static kal_status too_large(kal_error *err)
{
    kal_error_set(err, KAL_LIMIT, "one commit cannot hold more than %u MiB of changes",
                  KAL_WRITE_BYTES_MAX / (1024u * 1024u));
    kal_error_code(err, "TRANSACTION_TOO_LARGE");
    return KAL_LIMIT;
}

kal_status kal_write_add(kal_write *write, const kal_write_op *op, size_t *index_out,
                         kal_error *err)
{
    kal_write_op added = *op;
    size_t size = write->size_bytes + op->key.len + op->row.len + op->cold_row.len + sizeof added;

    KAL_ASSERT(op->key.len <= KAL_PRIMARY_KEY_BYTES_MAX);
    if (size > KAL_WRITE_BYTES_MAX)
        return too_large(err);
    if (!kal_arena_try_copy(&write->arena, op->key, &added.key) ||
        (op->row.len > 0 && !kal_arena_try_copy(&write->arena, op->row, &added.row)) ||
        (op->cold_row.len > 0 &&
         !kal_arena_try_copy(&write->arena, op->cold_row, &added.cold_row)) ||
        !kal_vec_try_push_in(&write->arena, &write->ops, added))
        return kal_error_set(err, KAL_LIMIT, "the changes exceed the statement's memory");
    kal_table_retain(op->table);
    write->size_bytes = size;
    if (index_out != NULL)
        *index_out = write->ops.len - 1;
    return KAL_OK;
}

void kal_write_require_empty(kal_write *write, const kal_table *table)
{
    write->must_be_empty = table;
}

void kal_write_set_hook(kal_write *write, kal_write_hook hook, void *context)
{
    write->hook = hook;
    write->hook_context = context;
}

void kal_write_set_change(kal_write *write, kal_catalog_change *change)
{
    KAL_ASSERT(write->change == NULL);
    write->change = change;
}

kal_status kal_write_status(const kal_write *write, kal_error *err)
{
    if (write->status != KAL_OK && err != NULL)
        *err = write->error;
    return write->status;
}

kal_write_op *kal_write_op_at(kal_write *write, size_t index)
{
    KAL_ASSERT(index < write->ops.len);
    return &write->ops.items[index];
}

size_t kal_write_op_count(const kal_write *write)
{
    return write->ops.len;
}

/* Queued bytes are what the operations and their contexts hold in memory. */
static size_t queued_bytes(const kal_write *write)
{
    return write->arena.size_bytes + sizeof *write;
}

/* The queue's lock is held. A change of the catalog always fits: the DDL lock lets one at a time
 * come, and one that takes something back, after a failure, must not fail because others write
 * much. */
static bool is_full_for(const kal_tables *tables, const kal_write *write)
{
    return write->change == NULL && tables->queue_bytes > 0 &&
           tables->queue_bytes + queued_bytes(write) > tables->options.queue_bytes_max;
}

void kal_write_submit(kal_write *write, kal_write_done done, void *context)
{
    kal_tables *tables = write->tables;
    bool taken = false;

    write->done = done;
    write->context = context;
    pthread_mutex_lock(&tables->lock);
    if (tables->closing) {
        write->status = kal_error_set(&write->error, KAL_CANCELLED, "the server is shutting down");
    } else if (is_full_for(tables, write)) {
        write->status =
            kal_error_set(&write->error, KAL_BUSY, "too many writes are waiting, try again later");
    } else {
        tables->queue_bytes += queued_bytes(write);
        write->size_bytes = queued_bytes(write); /* what the lane gives back */
        kal_list_push_back(&tables->queue, &write->link);
        taken = true;
    }
    pthread_mutex_unlock(&tables->lock);
    if (taken)
        kal_task_wake(tables->task);
    else
        done(write, context);
}

typedef struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
} waiter;

static void wake_waiter(kal_write *write, void *context)
{
    waiter *w = context;
    (void)write;
    pthread_mutex_lock(&w->lock);
    w->done = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static kal_status submit_and_wait(kal_write *write, kal_error *err)
{
    waiter w = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    kal_sched *sched = write->tables->sched;

    kal_write_submit(write, wake_waiter, &w);
    if (kal_sched_is_sim(sched)) {
        while (!w.done && kal_sched_sim_step(sched))
            ;
        KAL_ASSERT(w.done);
        return kal_write_status(write, err);
    }
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.changed, &w.lock);
    pthread_mutex_unlock(&w.lock);
    return kal_write_status(write, err);
}

kal_status kal_write_commit(kal_write *write, kal_error *err)
{
    enum { TRIES_MAX = 5 }; /* a row may move on between reading it and the lane */
    kal_status status = submit_and_wait(write, err);

    for (int i = 0; i < TRIES_MAX && status == KAL_COLD; i++) {
        KAL_TRY(kal_write_read_cold(write, err));
        write->status = KAL_OK;
        write->error = KAL_ERROR_INIT;
        status = submit_and_wait(write, err);
    }
    return status;
}
