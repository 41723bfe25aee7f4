/*
 * feed.c: feeds: pictures of what there is, read and compared on the pool, and when that is done.
 *
 * Invariants:
 *   1. A feed is read by one task at a time; what it is asked for meanwhile makes it due again.
 *   2. A worker has one polled feed read at a time, and its pool rests as long as a reading took.
 *   3. The seqs of a feed only rise: a diff of n changes ends at the seq of its picture.
 */
#include "live/feed.h"
#include "base/assert.h"

#include <stdlib.h>

#define POLL_NS            UINT64_C(900000000) /* about once a second, with the tick */
#define POLL_SHARE         10                  /* a reading takes at most this part of the time */
#define POLL_REST_NS       UINT64_C(2000000)   /* shorter readings need no rest */
#define SCRATCH_BYTES_KEPT (64 * 1024)

static const kal_live_options *options_of(const live_feed *feed)
{
    return &feed->worker->live->options;
}

kal_status live_feed_memory(kal_error *err)
{
    return kal_error_set(err, KAL_LIMIT, "the memory of live queries is used up");
}

/* ---- pictures and diffs ---- */

static live_picture *make_picture(const live_feed *feed)
{
    live_picture *picture = calloc(1, sizeof *picture);

    if (picture == NULL)
        kal_die("out of memory: live queries");
    atomic_init(&picture->refs, 1);
    picture->kind = feed->kind;
    kal_arena_init(&picture->arena, options_of(feed)->budget);
    return picture;
}

live_picture *live_picture_retain(live_picture *picture)
{
    atomic_fetch_add(&picture->refs, 1);
    return picture;
}

void live_picture_release(live_picture *picture)
{
    if (picture == NULL || atomic_fetch_sub(&picture->refs, 1) != 1)
        return;
    for (size_t i = 0; picture->kind->release != NULL && i < picture->items.len; i++)
        picture->kind->release(picture->items.items[i].value, picture->arena.budget);
    kal_arena_release(&picture->arena);
    free(picture);
}

void live_diff_release(live_diff *diff)
{
    if (diff == NULL || --diff->refs > 0)
        return;
    for (size_t i = 0; i < diff->changes.len; i++)
        kal_message_body_release(diff->changes.items[i].body);
    kal_budget_release(diff->to->arena.budget, diff->changes.len * sizeof *diff->changes.items);
    kal_vec_release(&diff->changes);
    live_picture_release(diff->from);
    live_picture_release(diff->to);
    free(diff);
}

kal_status live_feed_add(live_feed_task *task, kal_bytes key, const void *value, kal_error *err)
{
    live_picture *to = task->to;
    live_feed_item item = {.value = value};

    if (to->arena.size_bytes > options_of(task->feed)->first_rows_bytes_max ||
        !kal_arena_try_copy(&to->arena, key, &item.key) ||
        !kal_vec_try_push_in(&to->arena, &to->items, item))
        return live_feed_memory(err);
    return KAL_OK;
}

/* ---- comparing, on the pool ---- */

static kal_status add_change(live_feed_task *task, const void *before, const void *after,
                             kal_error *err)
{
    live_diff *diff = task->diff;
    live_feed_change change = {
        .before = before, .after = after, .seq = task->from->seq + diff->changes.len + 1};

    if (task->base.scratch.size_bytes > SCRATCH_BYTES_KEPT)
        kal_arena_reset(&task->base.scratch);
    KAL_TRY(task->feed->kind->encode(task, before, after, change.seq, &change.body, err));
    if (!kal_budget_charge(options_of(task->feed)->budget, sizeof change)) {
        kal_message_body_release(change.body);
        return live_feed_memory(err);
    }
    kal_vec_push(&diff->changes, change);
    return KAL_OK;
}

/* Somebody who is told of changes wants it. */
static bool is_wanted(const live_feed_task *task, const void *before, const void *after)
{
    const live_feed_kind *kind = task->feed->kind;

    if (kind->wants == NULL)
        return true;
    for (size_t i = 0; i < task->wanted.len; i++) {
        const live_feed_wanted *w = task->wanted.items[i];
        if (w->is_told && ((before != NULL && kind->wants(&w->target, before)) ||
                           (after != NULL && kind->wants(&w->target, after))))
            return true;
    }
    return false;
}

static kal_status compare_item(live_feed_task *task, const void *before, const void *after,
                               kal_error *err)
{
    bool is_same = false;

    if (before != NULL && after != NULL)
        KAL_TRY(task->feed->kind->is_same(task, before, after, &is_same, err));
    if (is_same)
        return KAL_OK;
    task->differs = true;
    return is_wanted(task, before, after) ? add_change(task, before, after, err) : KAL_OK;
}

/* Both are in the order of their keys. What is gone is told first: its name may be taken. */
static kal_status compare_items(live_feed_task *task, bool only_gone, kal_error *err)
{
    const live_picture *from = task->from;
    const live_picture *to = task->to;
    size_t i = 0;
    size_t k = 0;

    while (i < from->items.len || k < to->items.len) {
        const live_feed_item *a = i < from->items.len ? &from->items.items[i] : NULL;
        const live_feed_item *b = k < to->items.len ? &to->items.items[k] : NULL;
        int order = a == NULL ? 1 : b == NULL ? -1 : kal_bytes_compare(a->key, b->key);
        i += order <= 0;
        k += order >= 0;
        if (atomic_load(&task->base.is_cancelled))
            return kal_error_set(err, KAL_CANCELLED, "the client has left");
        if (only_gone != (order < 0))
            continue;
        KAL_TRY(
            compare_item(task, order <= 0 ? a->value : NULL, order >= 0 ? b->value : NULL, err));
    }
    return KAL_OK;
}

static kal_status compare(live_feed_task *task, kal_error *err)
{
    live_diff *diff = calloc(1, sizeof *diff); /* the task's */

    if (diff == NULL)
        kal_die("out of memory: live queries");
    diff->refs = 1;
    diff->from = live_picture_retain(task->from);
    diff->to = live_picture_retain(task->to);
    task->diff = diff;
    KAL_TRY(compare_items(task, true, err));
    KAL_TRY(compare_items(task, false, err));
    size_t count = diff->changes.len;
    if (task->is_reading)
        task->to->seq = task->from->seq + count;
    for (size_t i = 0; i < count; i++) /* each is a change that was told to others, or several */
        KAL_ASSERT(diff->changes.items[i].seq <= task->to->seq);
    if (task->differs) /* perhaps in what nobody is told of */
        return KAL_OK;
    live_diff_release(diff);
    task->diff = NULL;
    return KAL_OK;
}

static int by_key(const void *a, const void *b)
{
    return kal_bytes_compare(((const live_feed_item *)a)->key, ((const live_feed_item *)b)->key);
}

static kal_status run(live_feed_task *task, kal_catalog_worker *catalog, kal_error *err)
{
    if (task->is_reading) {
        live_picture *to = task->to;
        to->generation = kal_catalog_generation(options_of(task->feed)->catalog);
        KAL_TRY(task->feed->kind->read(task, catalog, err));
        if (to->items.len > 1)
            qsort(to->items.items, to->items.len, sizeof *to->items.items, by_key);
    }
    return task->from == NULL ? KAL_OK : compare(task, err);
}

void live_feed_task_run(kal_live_task *base, kal_catalog_worker *catalog)
{
    live_feed_task *task = KAL_CONTAINER_OF(base, live_feed_task, base);
    const kal_clock *clock = options_of(task->feed)->clock;
    uint64_t began = kal_clock_mono_ns(clock);

    base->status = run(task, catalog, &base->error);
    kal_arena_reset(&base->scratch);
    task->took_ns = kal_clock_mono_ns(clock) - began;
    live_inbox_add_task(base);
}

/* ---- tasks ---- */

static live_feed_task *make_task(live_feed *feed, live_picture *from, live_picture *to)
{
    live_feed_task *task = calloc(1, sizeof *task);

    if (task == NULL)
        kal_die("out of memory: live queries");
    task->base.kind = LIVE_TASK_FEED;
    task->base.worker = feed->worker;
    task->base.error = KAL_ERROR_INIT;
    kal_arena_init(&task->base.scratch, options_of(feed)->budget);
    kal_arena_init(&task->base.kept, options_of(feed)->budget);
    task->feed = feed;
    feed->refs++;
    task->from = from == NULL ? NULL : live_picture_retain(from);
    task->to = to;
    return task;
}

void live_feed_task_free(kal_live_task *base)
{
    live_feed_task *task = KAL_CONTAINER_OF(base, live_feed_task, base);

    live_diff_release(task->diff);
    live_picture_release(task->from);
    live_picture_release(task->to);
    kal_arena_release(&base->scratch);
    kal_arena_release(&base->kept);
    live_feed_release(task->feed);
    free(task);
}

/* ---- what is wanted ---- */

static void write_target(const live_feed_target *target, kal_buf *out)
{
    bool is_table = target->kind == KAL_SQL_LIVE_SCHEMA_TABLE;

    kal_buf_clear(out);
    kal_buf_append_be32(out, (uint32_t)target->kind);
    kal_buf_append_be32(out, target->table_id);
    if (!is_table) /* it may have another name by now */
        kal_buf_append_bytes(out, target->ns);
}

/* false: no memory. Once for all that want the same. */
static bool add_wanted(live_feed_task *task, kal_map *known, kal_buf *key, const live_feed_sub *sub)
{
    kal_arena *arena = &task->base.kept;

    write_target(&sub->target, key);
    live_feed_wanted *wanted = kal_map_find(known, kal_buf_bytes(key));
    if (wanted == NULL) {
        wanted = kal_arena_try_alloc(arena, sizeof *wanted);
        if (wanted == NULL)
            return false;
        *wanted = (live_feed_wanted){.target = sub->target};
        wanted->target.name = (kal_bytes){0};
        if (!kal_arena_try_copy(arena, sub->target.ns, &wanted->target.ns) ||
            !kal_vec_try_push_in(arena, &task->wanted, wanted))
            return false;
        kal_map_put(known, kal_buf_bytes(key), wanted);
    }
    wanted->is_told = wanted->is_told || sub->told != NULL;
    return true;
}

/* Of the one subscription or of all. */
static kal_status collect_wanted(live_feed_task *task, const live_feed_sub *only, kal_error *err)
{
    kal_map known; /* owned */
    kal_buf key;   /* owned */
    bool fits = true;

    if (task->feed->kind->wants == NULL)
        return KAL_OK;
    kal_map_init(&known);
    kal_buf_init(&key, NULL);
    KAL_LIST_FOR_EACH (link, &task->feed->subs) {
        const live_feed_sub *sub = KAL_CONTAINER_OF(link, live_feed_sub, feed_link);
        if (only == NULL || only == sub)
            fits = fits && add_wanted(task, &known, &key, sub);
    }
    kal_buf_release(&key);
    kal_map_release(&known);
    return fits ? KAL_OK : live_feed_memory(err);
}

bool live_feed_covers(const live_feed *feed, const live_feed_sub *sub)
{
    kal_buf key;   /* owned */
    kal_buf other; /* owned */
    bool covers = false;

    kal_buf_init(&key, NULL);
    kal_buf_init(&other, NULL);
    write_target(&sub->target, &key);
    KAL_LIST_FOR_EACH (link, &feed->subs) {
        const live_feed_sub *s = KAL_CONTAINER_OF(link, live_feed_sub, feed_link);
        if (s->told == NULL || covers)
            continue;
        write_target(&s->target, &other);
        covers = s->target.kind == KAL_SQL_LIVE_SCHEMA_ALL ||
                 kal_bytes_equal(kal_buf_bytes(&key), kal_buf_bytes(&other));
    }
    kal_buf_release(&key);
    kal_buf_release(&other);
    return covers;
}

/* On behalf of one of its subscribers. */
static uint64_t user_of(const live_feed *feed)
{
    return KAL_CONTAINER_OF(feed->subs.next, live_feed_sub, feed_link)->client->principal.user_no;
}

static void start_reading(live_feed *feed)
{
    const kal_live_options *o = options_of(feed);
    kal_error err = KAL_ERROR_INIT;

    KAL_ASSERT(!feed->is_reading);
    if (kal_list_empty(&feed->subs))
        return;
    live_feed_task *task = make_task(feed, feed->picture, make_picture(feed));
    task->is_reading = true;
    task->number = feed->readings + 1;
    if (collect_wanted(task, NULL, &err) != KAL_OK ||
        o->ops->submit(o->context, user_of(feed), &task->base, &err) != KAL_OK) {
        live_feed_task_free(&task->base); /* pool or memory are full: the next tick tries again */
        feed->is_due = true;
        return;
    }
    feed->readings++;
    feed->is_due = false;
    feed->is_reading = true;
    feed->worker->is_polling = feed->worker->is_polling || feed->kind->is_polled;
}

kal_status live_feed_compare(live_feed_sub *sub, kal_error *err)
{
    live_feed *feed = sub->feed;
    const kal_live_options *o = options_of(feed);
    live_feed_task *task = make_task(feed, sub->told, live_picture_retain(feed->picture));

    task->sub = sub;
    kal_status status = collect_wanted(task, sub, err);
    if (status == KAL_OK)
        status = o->ops->submit(o->context, sub->client->principal.user_no, &task->base, err);
    if (status == KAL_OK)
        sub->task = task;
    else
        live_feed_task_free(&task->base);
    return status;
}

/* ---- when ---- */

/* The polled feed that waits longest is read, unless one is. */
static void poll(kal_live_worker *w)
{
    uint64_t now = kal_clock_mono_ns(w->live->options.clock);
    live_feed *next = NULL;

    if (w->is_polling || now < w->poll_after_ns)
        return;
    KAL_LIST_FOR_EACH (link, &w->feeds) {
        live_feed *feed = KAL_CONTAINER_OF(link, live_feed, link);
        if (feed->kind->is_polled && feed->due_at_ns <= now &&
            (next == NULL || feed->due_at_ns < next->due_at_ns))
            next = feed;
    }
    if (next != NULL)
        start_reading(next);
}

void live_feed_need(live_feed *feed)
{
    uint64_t now = kal_clock_mono_ns(options_of(feed)->clock);

    if (feed->kind->is_polled) {
        if (feed->due_at_ns > now)
            feed->due_at_ns = now;
        poll(feed->worker);
    } else if (feed->is_reading) {
        feed->is_due = true;
    } else {
        start_reading(feed);
    }
}

void live_feeds_altered(kal_live_worker *w)
{
    KAL_LIST_FOR_EACH (link, &w->feeds) {
        live_feed *feed = KAL_CONTAINER_OF(link, live_feed, link);
        if (!feed->kind->is_polled)
            live_feed_need(feed);
    }
}

/* What the pool had no room for, and catalog changes that no lane has told of. */
static void tick(live_feed *feed)
{
    kal_catalog *catalog = options_of(feed)->catalog;

    if (!feed->kind->is_polled && !feed->is_reading &&
        (feed->is_due || feed->picture == NULL ||
         feed->picture->generation != kal_catalog_generation(catalog)))
        start_reading(feed);
    KAL_LIST_FOR_EACH (link, &feed->subs)
        live_feed_sub_catch_up(KAL_CONTAINER_OF(link, live_feed_sub, feed_link));
}

void live_feeds_tick(kal_live_worker *w)
{
    KAL_LIST_FOR_EACH (link, &w->feeds)
        tick(KAL_CONTAINER_OF(link, live_feed, link));
    poll(w);
    live_feed_subs_end_failed(w);
}

/* ---- what was read ---- */

static void take_picture(live_feed *feed, live_feed_task *task)
{
    if (feed->picture != NULL && task->diff == NULL) {
        feed->picture->generation = task->to->generation;
    } else {
        live_picture_release(feed->picture);
        feed->picture = live_picture_retain(task->to);
    }
    KAL_LIST_FOR_EACH (link, &feed->subs)
        live_feed_sub_read(KAL_CONTAINER_OF(link, live_feed_sub, feed_link), task->number,
                           task->diff);
}

static void fail_subs(live_feed *feed, const kal_error *err)
{
    KAL_LIST_FOR_EACH (link, &feed->subs)
        live_feed_sub_fail(KAL_CONTAINER_OF(link, live_feed_sub, feed_link), err);
}

static void reading_done(live_feed *feed, live_feed_task *task)
{
    kal_live_worker *w = feed->worker;
    uint64_t now = kal_clock_mono_ns(options_of(feed)->clock);
    uint64_t rest = task->took_ns * POLL_SHARE;

    feed->is_reading = false;
    if (feed->kind->is_polled) {
        w->is_polling = false;
        w->poll_after_ns = task->took_ns > POLL_REST_NS ? now + task->took_ns : now;
        feed->due_at_ns = now + (rest > POLL_NS ? rest : POLL_NS);
    }
    if (task->base.status == KAL_OK)
        take_picture(feed, task);
    else if (task->base.status != KAL_STALE) /* else the event of what changed has it read again */
        fail_subs(feed, &task->base.error);
    KAL_LIST_FOR_EACH (link, &feed->subs) {
        const live_feed_sub *sub = KAL_CONTAINER_OF(link, live_feed_sub, feed_link);
        if (sub->state == LIVE_LOADING) /* it came while this was read */
            feed->due_at_ns = now;
    }
    if (feed->is_due)
        start_reading(feed);
    poll(w);
}

void live_feed_task_done(kal_live_task *base)
{
    live_feed_task *task = KAL_CONTAINER_OF(base, live_feed_task, base);
    kal_live_worker *w = base->worker;

    if (task->is_reading)
        reading_done(task->feed, task);
    else if (task->sub != NULL)
        live_feed_sub_compared(task->sub, task);
    live_feed_subs_end_failed(w);
    live_feed_task_free(base);
}

/* ---- feeds ---- */

static live_feed *find_feed(const kal_live_worker *w, const live_feed_kind *kind, kal_bytes key)
{
    KAL_LIST_FOR_EACH (link, &w->feeds) {
        live_feed *feed = KAL_CONTAINER_OF(link, live_feed, link);
        if (feed->kind == kind && kal_bytes_equal(feed->key, key))
            return feed;
    }
    return NULL;
}

live_feed *live_feed_get(kal_live_worker *w, const live_feed_kind *kind, kal_bytes key,
                         live_query *query)
{
    live_feed *feed = find_feed(w, kind, key);

    if (feed != NULL) {
        if (query != NULL)
            live_query_free_alone(query);
        feed->refs++;
        return feed;
    }
    feed = calloc(1, sizeof *feed);
    uint8_t *copy = malloc(key.len + 1);
    if (feed == NULL || copy == NULL)
        kal_die("out of memory: live queries");
    if (key.len > 0)
        memcpy(copy, key.ptr, key.len);
    *feed = (live_feed){
        .kind = kind, .worker = w, .refs = 1, .query = query, .key = kal_bytes_of(copy, key.len)};
    kal_list_init(&feed->link);
    kal_list_init(&feed->subs);
    kal_list_push_back(&w->feeds, &feed->link);
    return feed;
}

void live_feed_release(live_feed *feed)
{
    if (--feed->refs > 0)
        return;
    kal_list_remove(&feed->link);
    live_picture_release(feed->picture);
    if (feed->query != NULL)
        live_query_free_alone(feed->query);
    free((void *)feed->key.ptr);
    free(feed);
}
