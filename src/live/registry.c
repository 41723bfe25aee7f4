/*
 * registry.c: the subscriptions there are, for whoever lists or ends them from another thread.
 */
#include "base/json_writer.h"
#include "live/feed.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const STATE_NAMES[] = {"loading",    "batches", "replaying",
                                          "delivering", "live",    "behind"};
static const char *const ON_SLOW_NAMES[] = {"pause", "coalesce", "close"};
static const char PREFIX[] = "LQ-";

const char *live_state_name(live_state state)
{
    return STATE_NAMES[state];
}

const char *live_slow_name(kal_live_slow slow)
{
    return ON_SLOW_NAMES[slow];
}

void live_format_id(uint64_t sub_number, char out[KAL_LIVE_ID_BYTES])
{
    snprintf(out, KAL_LIVE_ID_BYTES, "%s%llu", PREFIX, (unsigned long long)sub_number);
}

static kal_live_info info_of(const live_sub *sub)
{
    const live_query *q = sub->query;
    uint64_t samples = atomic_load(&q->samples);
    kal_live_info info = {
        .tested = atomic_load(&q->tested),
        .matched = atomic_load(&q->matched),
        .cost_ns = samples == 0 ? 0 : atomic_load(&q->sampled_ns) / samples,
        .connection = sub->client->number,
        .user_no = sub->client->principal.user_no,
        .user_id = sub->client->principal.user_id,
        .query_id = sub->id,
        .query = sub->query->sql,
        .namespace_id = sub->query->table->def->namespace_id,
        .table_name = sub->query->table->def->table_name,
        .state = STATE_NAMES[atomic_load(&sub->state)],
        .on_slow = ON_SLOW_NAMES[sub->on_slow],
        .batch_size = sub->batch_size,
        .last_rows = sub->last_rows,
        .created_at_us = sub->created_at_us,
        .last_update_us = atomic_load(&sub->last_update_us),
        .changes = atomic_load(&sub->changes),
        .lag = atomic_load(&sub->lag),
    };
    live_format_id(sub->number, info.live_id);
    return info;
}

static kal_status each_of_client(const kal_live_client *client, kal_live_info_visit visit,
                                 void *context, kal_error *err)
{
    KAL_LIST_FOR_EACH (link, &client->subs) {
        kal_live_info info = info_of(KAL_CONTAINER_OF(link, live_sub, link));
        KAL_TRY(visit(context, &info, err));
    }
    return live_feed_each(client, visit, context, err);
}

static kal_status each_of_worker(kal_live_worker *w, uint64_t user_no, kal_live_info_visit visit,
                                 void *context, kal_error *err)
{
    kal_status status = KAL_OK;

    pthread_mutex_lock(&w->registry_lock);
    KAL_LIST_FOR_EACH (link, &w->clients) {
        const kal_live_client *client = KAL_CONTAINER_OF(link, kal_live_client, link);
        if (status == KAL_OK && (user_no == 0 || client->principal.user_no == user_no))
            status = each_of_client(client, visit, context, err);
    }
    pthread_mutex_unlock(&w->registry_lock);
    return status;
}

kal_status kal_live_each(kal_live *live, uint64_t user_no, kal_live_info_visit visit, void *context,
                         kal_error *err)
{
    for (unsigned i = 0; i < live->options.workers; i++)
        KAL_TRY(each_of_worker(&live->workers[i], user_no, visit, context, err));
    return KAL_OK;
}

const kal_gauge *kal_live_subscriptions(const kal_live *live)
{
    return &live->subs;
}

/* ---- explaining ---- */

static void describe_index(const live_query *q, char *out, size_t size)
{
    const kal_live_index *c = &q->condition;
    const kal_table_definition *def = q->table->def;

    switch (c->kind) {
    case KAL_LIVE_INDEX_NONE:
        snprintf(out, size, "none: every change of the table is tested");
        return;
    case KAL_LIVE_INDEX_NEVER:
        snprintf(out, size, "none: no row can match");
        return;
    case KAL_LIVE_INDEX_KEYS:
        if (c->key_count == 1)
            snprintf(out, size, "equality on %.*s", KAL_FMT(def->columns[c->column].name));
        else
            snprintf(out, size, "%zu values of %.*s", c->key_count,
                     KAL_FMT(def->columns[c->column].name));
        return;
    case KAL_LIVE_INDEX_RANGE:
        snprintf(out, size, "range of %.*s", KAL_FMT(def->columns[c->column].name));
        return;
    }
}

typedef struct same_text {
    kal_bytes sql;
    kal_live_explanation *out;
} same_text;

static kal_status add_same_text(void *context, const kal_live_info *info, kal_error *err)
{
    same_text *s = context;
    (void)err;
    if (!kal_bytes_equal(info->query, s->sql))
        return KAL_OK;
    s->out->subscribers++;
    if (info->tested > s->out->tested) { /* the busiest one; those that share it say the same */
        s->out->tested = info->tested;
        s->out->matched = info->matched;
        s->out->cost_ns = info->cost_ns;
    }
    if (info->lag > s->out->lag)
        s->out->lag = info->lag;
    return KAL_OK;
}

kal_status kal_live_explain(kal_live *live, kal_catalog_worker *catalog,
                            const kal_principal *principal, kal_bytes sql,
                            kal_live_explanation *out, kal_error *err)
{
    live_query *q = NULL; /* owned */
    bool is_feed = false;

    *out = (kal_live_explanation){.kind = "rows"};
    KAL_TRY(live_feed_explain(live, catalog, principal, sql, out, &is_feed, err));
    if (is_feed)
        return KAL_OK;
    KAL_TRY(live_query_bind_alone(live, catalog, principal, sql, &q, err));
    out->kind = q->plan.is_grouped ? "groups" : q->plan.has_limit ? "first rows" : "rows";
    describe_index(q, out->index, sizeof out->index);
    out->has_rest = q->plan.where != NULL && !q->condition.exact;
    out->is_shared = kal_load_be64(q->share_key.ptr) == 0;
    same_text same = {q->sql, out};
    kal_status status = kal_live_each(
        live, principal->role >= KAL_ROLE_DBA ? 0 : principal->user_no, add_same_text, &same, err);
    live_query_free_alone(q);
    return status;
}

/* ---- ending one ---- */

typedef struct search {
    uint64_t number;
    bool found;
} search;

static kal_status find_number(void *context, const kal_live_info *info, kal_error *err)
{
    search *s = context;
    (void)err;
    s->found = s->found || strtoull(info->live_id + sizeof PREFIX - 1, NULL, 10) == s->number;
    return KAL_OK;
}

static bool parse_id(kal_bytes text, uint64_t *number_out)
{
    size_t prefix = sizeof PREFIX - 1;
    int64_t number = 0;

    if (text.len <= prefix || memcmp(text.ptr, PREFIX, prefix) != 0 ||
        !kal_parse_i64(kal_bytes_of(text.ptr + prefix, text.len - prefix), &number) || number <= 0)
        return false;
    *number_out = (uint64_t)number;
    return true;
}

bool kal_live_kill(kal_live *live, kal_bytes live_id, uint64_t user_no)
{
    search s = {0};

    if (!parse_id(live_id, &s.number))
        return false;
    for (unsigned i = 0; i < live->options.workers; i++) {
        kal_live_worker *w = &live->workers[i];
        (void)!each_of_worker(w, user_no, find_number, &s, NULL);
        if (!s.found)
            continue;
        live_inbox_add_kill(w, s.number);
        return true;
    }
    return false;
}
