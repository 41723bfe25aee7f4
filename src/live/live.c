/*
 * live.c: from the write lane to the workers: which tables are watched, blocks of changes, inboxes;
 * and what a worker does in one step.
 */
#include "base/assert.h"
#include "live/feed.h"

#include <stdlib.h>

enum {
    FIRST_ROWS_BYTES_DEFAULT = 64 * 1024 * 1024,
    WAITING_BYTES_DEFAULT = 1024 * 1024,
    INBOX_BYTES_DEFAULT = 64 * 1024 * 1024,
    PER_CLIENT_DEFAULT = 100,
    PER_USER_DEFAULT = 1000,
    STEP_CHANGES_MAX = 256,
    STEP_REBOUND_MAX = 64,
    ID_BYTES = 4,
};

/* ---- who wants what ---- */

static kal_bytes id_key(uint32_t table_id, uint8_t out[ID_BYTES])
{
    kal_store_be32(out, table_id);
    return kal_bytes_of(out, ID_BYTES);
}

void live_interest_add(kal_live *live, uint32_t table_id, unsigned worker)
{
    uint8_t bytes[ID_BYTES];
    kal_bytes key = id_key(table_id, bytes);

    pthread_mutex_lock(&live->interest_lock);
    live_interest *interest = kal_map_find(&live->interests, key);
    if (interest == NULL) {
        interest = calloc(1, sizeof *interest); /* owned by the map */
        if (interest == NULL)
            kal_die("out of memory: live queries");
        kal_map_put(&live->interests, key, interest);
    }
    interest->subs[worker]++;
    atomic_fetch_add(&live->interest_count, 1);
    pthread_mutex_unlock(&live->interest_lock);
}

void live_interest_remove(kal_live *live, uint32_t table_id, unsigned worker)
{
    uint8_t bytes[ID_BYTES];
    kal_bytes key = id_key(table_id, bytes);
    uint64_t left = 0;

    pthread_mutex_lock(&live->interest_lock);
    live_interest *interest = kal_map_find(&live->interests, key);
    KAL_ASSERT(interest != NULL && interest->subs[worker] > 0);
    interest->subs[worker]--;
    for (unsigned i = 0; i < live->options.workers; i++)
        left += interest->subs[i];
    if (left == 0) {
        kal_map_remove(&live->interests, key);
        free(interest);
    }
    atomic_fetch_sub(&live->interest_count, 1);
    pthread_mutex_unlock(&live->interest_lock);
}

/* ---- blocks ---- */

static size_t change_bytes(const kal_change *c)
{
    return c->key.len + c->before.len + c->after.len;
}

static kal_bytes copy_bytes(uint8_t **at, kal_bytes bytes)
{
    kal_bytes copy = kal_bytes_of(*at, bytes.len);
    if (bytes.len > 0)
        memcpy(*at, bytes.ptr, bytes.len);
    *at += bytes.len;
    return copy;
}

static void copy_change(live_block *block, uint8_t **at, const kal_change *c)
{
    kal_change *copy = &block->changes[block->count++];
    *copy = *c;
    copy->table = kal_table_retain(c->table);
    copy->key = copy_bytes(at, c->key);
    copy->before = copy_bytes(at, c->before);
    copy->after = copy_bytes(at, c->after);
}

/* Of the changes that are wanted; one reference. */
static live_block *make_block(const kal_change *changes, const bool *is_wanted, size_t count)
{
    size_t wanted = 0;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        wanted += is_wanted[i];
        bytes += is_wanted[i] ? change_bytes(&changes[i]) : 0;
    }
    size_t size = sizeof(live_block) + wanted * sizeof(kal_change) + bytes;
    live_block *block = malloc(size);
    if (block == NULL)
        kal_die("out of memory: changes for live queries");
    block->count = 0;
    block->size_bytes = size;
    atomic_init(&block->refs, 1);
    uint8_t *at = (uint8_t *)&block->changes[wanted];
    for (size_t i = 0; i < count; i++) {
        if (is_wanted[i])
            copy_change(block, &at, &changes[i]);
    }
    return block;
}

void live_block_release(live_block *block)
{
    if (block == NULL || atomic_fetch_sub(&block->refs, 1) != 1)
        return;
    for (size_t i = 0; i < block->count; i++)
        kal_table_release(block->changes[i].table);
    free(block);
}

/* ---- inboxes ---- */

static live_item *make_item(live_item_kind kind)
{
    live_item *item = calloc(1, sizeof *item);
    if (item == NULL)
        kal_die("out of memory: live queries");
    kal_list_init(&item->link);
    item->kind = kind;
    return item;
}

static void free_item(live_item *item)
{
    live_block_release(item->block);
    free(item);
}

void live_inbox_add(kal_live_worker *worker, live_item *item)
{
    const kal_live_options *o = &worker->live->options;
    pthread_mutex_lock(&worker->lock);
    kal_list_push_back(&worker->inbox, &item->link);
    pthread_mutex_unlock(&worker->lock);
    o->ops->wake(o->context, worker->index);
}

/* Beyond its limit the worker is told once that changes are missing from here on, which the log
 * has. */
static void add_block(kal_live_worker *worker, live_block *block)
{
    const kal_live_options *o = &worker->live->options;
    live_item *item = make_item(LIVE_ITEM_BLOCK); /* owned by the inbox */

    atomic_fetch_add(&block->refs, 1);
    item->block = block;
    pthread_mutex_lock(&worker->lock);
    bool fits = worker->inbox_bytes + block->size_bytes <= o->inbox_bytes_max;
    if (fits) {
        worker->is_lost = false;
        worker->inbox_bytes += block->size_bytes;
    } else {
        item->kind = LIVE_ITEM_LOST;
        item->block = NULL;
    }
    bool is_added = fits || !worker->is_lost;
    if (is_added)
        kal_list_push_back(&worker->inbox, &item->link);
    worker->is_lost = !fits;
    pthread_mutex_unlock(&worker->lock);
    if (!fits)
        live_block_release(block);
    if (!is_added)
        free_item(item);
    o->ops->wake(o->context, worker->index);
}

/* Which of the changes the workers want: bit w of the answer: worker w wants one. */
static uint64_t find_wanted(kal_live *live, const kal_change *changes, size_t count, bool *wanted)
{
    uint64_t workers = 0;
    uint8_t bytes[ID_BYTES];

    pthread_mutex_lock(&live->interest_lock);
    for (size_t i = 0; i < count; i++) {
        const live_interest *interest =
            kal_map_find(&live->interests, id_key(changes[i].table_id, bytes));
        wanted[i] = interest != NULL;
        for (unsigned w = 0; interest != NULL && w < live->options.workers; w++)
            workers |= interest->subs[w] > 0 ? UINT64_C(1) << w : 0;
    }
    pthread_mutex_unlock(&live->interest_lock);
    return workers;
}

static void on_committed(void *context, const kal_change *changes, size_t count)
{
    kal_live *live = context;

    if (atomic_load(&live->interest_count) == 0)
        return;
    bool *wanted = calloc(count, sizeof *wanted); /* owned */
    if (wanted == NULL)
        kal_die("out of memory: live queries");
    uint64_t workers = find_wanted(live, changes, count, wanted);
    if (workers != 0) {
        live_block *block = make_block(changes, wanted, count); /* owned */
        for (unsigned w = 0; w < live->options.workers; w++) {
            if ((workers >> w & 1) != 0)
                add_block(&live->workers[w], block);
        }
        live_block_release(block);
    }
    free(wanted);
}

static void on_altered(void *context)
{
    kal_live *live = context;
    for (unsigned w = 0; w < live->options.workers; w++)
        live_inbox_add(&live->workers[w], make_item(LIVE_ITEM_ALTERED));
}

void live_worker_look_at_clock(kal_live_worker *w)
{
    w->now_us = kal_clock_wall_us(w->live->options.clock);
}

void live_inbox_add_task(kal_live_task *task)
{
    live_item *item = make_item(LIVE_ITEM_TASK); /* owned by the inbox */
    item->task = task;
    live_inbox_add(task->worker, item);
}

void live_inbox_add_kill(kal_live_worker *worker, uint64_t sub_number)
{
    live_item *item = make_item(LIVE_ITEM_KILL); /* owned by the inbox */
    item->sub_number = sub_number;
    live_inbox_add(worker, item);
}

/* ---- a worker's step ---- */

static void take_inbox(kal_live_worker *w)
{
    kal_list *link;
    pthread_mutex_lock(&w->lock);
    while ((link = kal_list_pop_front(&w->inbox)) != NULL) {
        const live_item *item = KAL_CONTAINER_OF(link, live_item, link);
        if (item->kind == LIVE_ITEM_BLOCK)
            w->inbox_bytes -= item->block->size_bytes;
        kal_list_push_back(&w->taken, link);
    }
    w->is_lost = false;
    pthread_mutex_unlock(&w->lock);
}

/* True when the block is done. */
static bool step_block(kal_live_worker *w, const live_block *block, unsigned *budget)
{
    for (; *budget > 0; (*budget)--) {
        if (w->at_change == block->count)
            break;
        const kal_change *change = &block->changes[w->at_change++];
        live_match(w, change);
        if (change->ends_commit || w->at_change == block->count)
            live_results_flush(w);
    }
    if (w->at_change < block->count)
        return false;
    w->at_change = 0;
    return true;
}

static void lose_results(kal_live_worker *w)
{
    size_t at = 0;
    live_table *first;

    while ((first = kal_map_next(&w->tables, &at, NULL)) != NULL) {
        for (live_table *t = first; t != NULL; t = t->next) {
            KAL_LIST_FOR_EACH (link, &t->queries)
                live_result_lost(w, KAL_CONTAINER_OF(link, live_query, link));
        }
    }
}

static void lose_all(kal_live_worker *w)
{
    lose_results(w);
    KAL_LIST_FOR_EACH (client_link, &w->clients) {
        kal_live_client *client = KAL_CONTAINER_OF(client_link, kal_live_client, link);
        KAL_LIST_FOR_EACH (link, &client->subs)
            live_sub_lost(KAL_CONTAINER_OF(link, live_sub, link));
    }
    live_subs_end_failed(w);
}

static void kill_sub(kal_live_worker *w, uint64_t number)
{
    kal_error err = KAL_ERROR_INIT;

    kal_error_set(&err, KAL_CANCELLED, "the live query was ended by KILL LIVE QUERY");
    kal_error_code(&err, "KILLED");
    KAL_LIST_FOR_EACH (client_link, &w->clients) {
        kal_live_client *client = KAL_CONTAINER_OF(client_link, kal_live_client, link);
        KAL_LIST_FOR_EACH (link, &client->subs) {
            live_sub *sub = KAL_CONTAINER_OF(link, live_sub, link);
            if (sub->number == number) {
                live_sub_end(sub, &err);
                return;
            }
        }
    }
    (void)live_feed_kill(w, number, &err);
}

static void check_token(kal_live_worker *w, kal_live_client *client)
{
    kal_error err = KAL_ERROR_INIT;
    uint32_t generation = 0;
    kal_role role = KAL_ROLE_USER;
    bool is_known = kal_catalog_user_state(w->live->options.catalog, client->principal.user_no,
                                           &generation, &role);

    if ((is_known && generation == client->token_generation) || client->is_expelled)
        return;
    kal_error_set(&err, KAL_UNAUTHORIZED, "the token is not valid any more: log in again");
    kal_error_code(&err, "TOKEN_REVOKED");
    client->is_expelled = true;
    client->ops->expel(client->connection, &err);
}

/* What is committed after a user's tokens were made void he is not told. */
static void check_users(kal_live_worker *w)
{
    uint64_t version = kal_catalog_users_version(w->live->options.catalog);

    if (version == w->users_version)
        return;
    w->users_version = version;
    KAL_LIST_FOR_EACH (link, &w->clients)
        check_token(w, KAL_CONTAINER_OF(link, kal_live_client, link));
}

/* True when the item is done. */
static bool step_item(kal_live_worker *w, live_item *item, unsigned *budget)
{
    switch (item->kind) {
    case LIVE_ITEM_BLOCK:
        return step_block(w, item->block, budget);
    case LIVE_ITEM_ALTERED:
        live_rebind_begin(w);
        live_feeds_altered(w);
        break;
    case LIVE_ITEM_LOST:
        lose_all(w);
        break;
    case LIVE_ITEM_TASK:
        if (item->task->kind == LIVE_TASK_STATE)
            live_result_loaded(w, item->task);
        else if (item->task->kind == LIVE_TASK_FEED)
            live_feed_task_done(item->task);
        else
            live_sub_task_done(w, item->task);
        break;
    case LIVE_ITEM_KILL:
        kill_sub(w, item->sub_number);
        break;
    }
    (*budget)--;
    return true;
}

bool kal_live_worker_step(kal_live_worker *w)
{
    unsigned budget = STEP_CHANGES_MAX;

    live_worker_look_at_clock(w);
    take_inbox(w);
    check_users(w); /* after the inbox: what was committed since is not in it */
    while (budget > 0) {
        /* Rows of the new shape come after everybody knows it. */
        if (live_rebind_step(w, STEP_REBOUND_MAX))
            return true;
        if (kal_list_empty(&w->taken))
            return false;
        live_item *item = KAL_CONTAINER_OF(w->taken.next, live_item, link);
        if (!step_item(w, item, &budget))
            break;
        kal_list_remove(&item->link);
        free_item(item);
    }
    return true;
}

void kal_live_worker_tick(kal_live_worker *w)
{
    check_users(w); /* those of whose tables nothing comes */
    live_feeds_tick(w);
}

/* ---- opening and closing ---- */

static void set_defaults(kal_live_options *o)
{
    KAL_ASSERT(o->workers >= 1 && o->workers <= 64);
    if (o->first_rows_bytes_max == 0)
        o->first_rows_bytes_max = FIRST_ROWS_BYTES_DEFAULT;
    if (o->waiting_bytes_max == 0)
        o->waiting_bytes_max = WAITING_BYTES_DEFAULT;
    if (o->inbox_bytes_max == 0)
        o->inbox_bytes_max = INBOX_BYTES_DEFAULT;
    if (o->per_client_max == 0)
        o->per_client_max = PER_CLIENT_DEFAULT;
    if (o->per_user_max == 0)
        o->per_user_max = PER_USER_DEFAULT;
}

static void open_worker(kal_live *live, unsigned index)
{
    kal_live_worker *w = &live->workers[index];

    w->live = live;
    w->index = index;
    pthread_mutex_init(&w->lock, NULL);
    pthread_mutex_init(&w->registry_lock, NULL);
    kal_list_init(&w->inbox);
    kal_list_init(&w->taken);
    kal_list_init(&w->clients);
    kal_list_init(&w->rebinding);
    kal_list_init(&w->failed);
    kal_list_init(&w->dirty);
    kal_list_init(&w->feeds);
    kal_list_init(&w->failed_feed_subs);
    kal_map_init(&w->tables);
    kal_map_init(&w->queries);
    kal_map_init(&w->shapes);
    kal_arena_init(&w->scratch, NULL);
    w->catalog = kal_catalog_worker_open(live->options.catalog);
}

kal_status kal_live_open(const kal_live_options *options, kal_live **live_out, kal_error *err)
{
    kal_live *live = calloc(1, sizeof *live);

    *live_out = NULL;
    if (live == NULL)
        kal_die("out of memory: live queries");
    live->options = *options;
    set_defaults(&live->options);
    live->workers = calloc(live->options.workers, sizeof *live->workers);
    if (live->workers == NULL) {
        free(live);
        return kal_error_set(err, KAL_LIMIT, "out of memory: live queries");
    }
    pthread_mutex_init(&live->interest_lock, NULL);
    kal_map_init(&live->interests);
    pthread_mutex_init(&live->users_lock, NULL);
    kal_map_init(&live->users);
    for (unsigned i = 0; i < live->options.workers; i++)
        open_worker(live, i);
    live->observer = (kal_tables_observer){live, on_committed, on_altered};
    kal_tables_set_observer(live->options.tables, &live->observer);
    *live_out = live;
    return KAL_OK;
}

/* What came after its clients had gone. */
static void close_worker(kal_live_worker *w)
{
    kal_list *link;

    KAL_ASSERT(kal_list_empty(&w->clients));
    take_inbox(w);
    while ((link = kal_list_pop_front(&w->taken)) != NULL) {
        live_item *item = KAL_CONTAINER_OF(link, live_item, link);
        if (item->kind == LIVE_ITEM_TASK)
            live_task_free(w, item->task);
        free_item(item);
    }
    KAL_ASSERT(kal_list_empty(&w->feeds));
    KAL_ASSERT(w->tables.len == 0 && w->queries.len == 0 && w->shapes.len == 0);
    kal_map_release(&w->tables);
    kal_map_release(&w->queries);
    kal_map_release(&w->shapes);
    kal_arena_release(&w->scratch);
    kal_catalog_worker_close(w->catalog);
    pthread_mutex_destroy(&w->registry_lock);
    pthread_mutex_destroy(&w->lock);
}

void kal_live_close(kal_live *live)
{
    if (live == NULL)
        return;
    for (unsigned i = 0; i < live->options.workers; i++)
        close_worker(&live->workers[i]);
    KAL_ASSERT(live->interests.len == 0 && live->users.len == 0);
    kal_map_release(&live->interests);
    kal_map_release(&live->users);
    pthread_mutex_destroy(&live->users_lock);
    pthread_mutex_destroy(&live->interest_lock);
    free(live->workers);
    free(live);
}

kal_live_worker *kal_live_worker_of(kal_live *live, unsigned index)
{
    KAL_ASSERT(index < live->options.workers);
    return &live->workers[index];
}
