/*
 * pool.c: a pool: threads with the stacks that DuckDB needs, and a bounded queue that is fair.
 *
 * Every user has a queue of his own; free threads take from the users in turn. A pool of more than
 * one thread lets no user have all of them: the last one is for somebody else, so that who asks
 * much waits for himself.
 */
#include "base/assert.h"
#include "base/thread.h"
#include "exec/exec_internal.h"

#include <stdlib.h>

enum { QUEUE_MAX = 4096, QUEUE_OF_USER_MAX = QUEUE_MAX / 2 };

typedef struct pool_item {
    kal_list link;
    kal_pool_fn fn;
    void *context;
} pool_item;

/* Somebody with statements that wait or run. */
typedef struct pool_user {
    kal_list link; /* pool->users: whose turn is farthest is last */
    uint64_t user_no;
    kal_list items; /* that wait */
    size_t waiting;
    unsigned running;
} pool_user;

struct kal_pool {
    kal_catalog *catalog;
    pthread_mutex_t lock; /* protects the rest */
    pthread_cond_t changed;
    kal_list users;
    size_t queued;
    bool closing;
    pthread_t *threads; /* owned */
    unsigned thread_count;
    unsigned per_user_max; /* threads at a time */
};

/* The user with this number, made when there is none. pool->lock is held. */
static pool_user *user_of(kal_pool *pool, uint64_t user_no)
{
    KAL_LIST_FOR_EACH (link, &pool->users) {
        pool_user *user = KAL_CONTAINER_OF(link, pool_user, link);
        if (user->user_no == user_no)
            return user;
    }
    pool_user *user = calloc(1, sizeof *user); /* owned by the list */
    if (user == NULL)
        kal_die("out of memory: query pool");
    user->user_no = user_no;
    kal_list_init(&user->items);
    kal_list_push_back(&pool->users, &user->link);
    return user;
}

/* The next statement of the user whose turn it is, or NULL. pool->lock is held. */
static pool_item *take_next(kal_pool *pool, pool_user **user_out)
{
    KAL_LIST_FOR_EACH (link, &pool->users) {
        pool_user *user = KAL_CONTAINER_OF(link, pool_user, link);
        if (user->waiting == 0 || user->running >= pool->per_user_max)
            continue;
        kal_list_remove(&user->link);
        kal_list_push_back(&pool->users, &user->link);
        user->waiting--;
        user->running++;
        pool->queued--;
        *user_out = user;
        return KAL_CONTAINER_OF(kal_list_pop_front(&user->items), pool_item, link);
    }
    return NULL;
}

/* pool->lock is held. */
static void end_running(kal_pool *pool, pool_user *user)
{
    KAL_ASSERT(user->running > 0);
    user->running--;
    if (user->running == 0 && user->waiting == 0) {
        kal_list_remove(&user->link);
        free(user);
    }
    if (pool->closing) /* those that wait for a turn, or for the end */
        pthread_cond_broadcast(&pool->changed);
}

static void pool_thread(void *context)
{
    kal_pool *pool = context;
    kal_catalog_worker *worker = kal_catalog_worker_open(pool->catalog); /* owned */
    pool_user *user = NULL;

    pthread_mutex_lock(&pool->lock);
    for (;;) {
        pool_item *item = take_next(pool, &user);
        if (item == NULL) {
            if (pool->closing && pool->queued == 0)
                break;
            pthread_cond_wait(&pool->changed, &pool->lock);
            continue;
        }
        pthread_mutex_unlock(&pool->lock);
        item->fn(item->context, worker);
        free(item);
        pthread_mutex_lock(&pool->lock);
        end_running(pool, user); /* and this thread looks for the next one */
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
    pool->per_user_max = threads > 1 ? threads - 1 : 1;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->changed, NULL);
    kal_list_init(&pool->users);
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

/* pool->lock is held. */
static kal_status add(kal_pool *pool, uint64_t user_no, pool_item *item, kal_error *err)
{
    if (pool->closing)
        return kal_error_set(err, KAL_CANCELLED, "the server is shutting down");
    if (pool->queued >= QUEUE_MAX)
        return kal_error_set(err, KAL_BUSY, "too many statements are waiting, try again later");
    pool_user *user = user_of(pool, user_no);
    if (user->waiting >= QUEUE_OF_USER_MAX)
        return kal_error_set(err, KAL_BUSY,
                             "too many of the user's statements are waiting, try again later");
    kal_list_push_back(&user->items, &item->link);
    user->waiting++;
    pool->queued++;
    pthread_cond_signal(&pool->changed);
    return KAL_OK;
}

kal_status kal_pool_submit(kal_pool *pool, uint64_t user_no, kal_pool_fn fn, void *context,
                           kal_error *err)
{
    pool_item *item = malloc(sizeof *item); /* owned by the queue once linked */

    if (item == NULL)
        kal_die("out of memory: query pool");
    *item = (pool_item){.fn = fn, .context = context};
    pthread_mutex_lock(&pool->lock);
    kal_status status = add(pool, user_no, item, err);
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
    KAL_ASSERT(kal_list_empty(&pool->users));
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
    free(pool->threads);
    free(pool);
}
