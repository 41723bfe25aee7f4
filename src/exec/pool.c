/*
 * pool.c: the query pool: threads with the stacks that DuckDB needs, and a bounded queue.
 */
#include "base/assert.h"
#include "base/thread.h"
#include "exec/exec_internal.h"

#include <stdlib.h>

enum { QUEUE_MAX = 4096 };

typedef struct pool_item {
    kal_list link;
    kal_pool_fn fn;
    void *context;
} pool_item;

struct kal_pool {
    kal_catalog *catalog;
    pthread_mutex_t lock; /* protects the rest */
    pthread_cond_t changed;
    kal_list queue;
    size_t queued;
    bool closing;
    pthread_t *threads; /* owned */
    unsigned thread_count;
};

static void pool_thread(void *context)
{
    kal_pool *pool = context;
    kal_catalog_worker *worker = kal_catalog_worker_open(pool->catalog); /* owned */

    pthread_mutex_lock(&pool->lock);
    for (;;) {
        kal_list *link = kal_list_pop_front(&pool->queue);
        if (link == NULL) {
            if (pool->closing)
                break;
            pthread_cond_wait(&pool->changed, &pool->lock);
            continue;
        }
        pool->queued--;
        pthread_mutex_unlock(&pool->lock);
        pool_item *item = KAL_CONTAINER_OF(link, pool_item, link);
        item->fn(item->context, worker);
        free(item);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    kal_catalog_worker_close(worker);
}

kal_status kal_pool_open(kal_catalog *catalog, unsigned threads, kal_pool **pool_out,
                         kal_error *err)
{
    kal_pool *pool = calloc(1, sizeof *pool);

    *pool_out = NULL;
    if (pool == NULL)
        kal_die("out of memory: query pool");
    pool->catalog = catalog;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->changed, NULL);
    kal_list_init(&pool->queue);
    pool->threads = calloc(threads, sizeof *pool->threads);
    if (pool->threads == NULL)
        kal_die("out of memory: query pool");
    for (; pool->thread_count < threads; pool->thread_count++) {
        kal_status status = kal_thread_start(&pool->threads[pool->thread_count], "query",
                                             KAL_ENGINE_STACK_BYTES, pool_thread, pool, err);
        if (status != KAL_OK) {
            kal_pool_close(pool);
            return status;
        }
    }
    *pool_out = pool;
    return KAL_OK;
}

kal_status kal_pool_submit(kal_pool *pool, kal_pool_fn fn, void *context, kal_error *err)
{
    kal_status status = KAL_OK;
    pool_item *item = malloc(sizeof *item); /* owned by the queue once linked */

    if (item == NULL)
        kal_die("out of memory: query pool");
    *item = (pool_item){.fn = fn, .context = context};
    pthread_mutex_lock(&pool->lock);
    if (pool->closing) {
        status = kal_error_set(err, KAL_CANCELLED, "the server is shutting down");
    } else if (pool->queued >= QUEUE_MAX) {
        status = kal_error_set(err, KAL_BUSY, "too many statements are waiting, try again later");
    } else {
        kal_list_push_back(&pool->queue, &item->link);
        pool->queued++;
        pthread_cond_signal(&pool->changed);
    }
    pthread_mutex_unlock(&pool->lock);
    if (status != KAL_OK)
        free(item);
    return status;
}

void kal_pool_close(kal_pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
    free(pool->threads);
    free(pool);
}
