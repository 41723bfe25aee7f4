#include "live/shown.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/map.h"

#include <stdlib.h>

enum { GONE_MAX = 10000 };

typedef struct shown_row {
    kal_list link; /* shown->all, or ->gone: oldest first */
    kal_bytes key; /* owned */
    kal_buf text;
    uint64_t came; /* seq from which on it is there without a break */
    uint64_t seq;  /* of its last change */
    size_t charged;
} shown_row;

struct live_shown {
    kal_budget *budget;
    kal_map rows;
    kal_map gone_rows;
    kal_list all;
    kal_list gone;
    uint64_t known_since;
};

live_shown *live_shown_open(kal_budget *budget)
{
    live_shown *s = calloc(1, sizeof *s);

    if (s == NULL)
        kal_die("out of memory: live queries");
    s->budget = budget;
    kal_map_init(&s->rows);
    kal_map_init(&s->gone_rows);
    kal_list_init(&s->all);
    kal_list_init(&s->gone);
    return s;
}

static void free_row(live_shown *s, shown_row *row)
{
    kal_list_remove(&row->link);
    kal_buf_release(&row->text);
    kal_budget_release(s->budget, row->charged);
    free((void *)row->key.ptr);
    free(row);
}

void live_shown_close(live_shown *s)
{
    if (s == NULL)
        return;
    while (!kal_list_empty(&s->all))
        free_row(s, KAL_CONTAINER_OF(s->all.next, shown_row, link));
    while (!kal_list_empty(&s->gone))
        free_row(s, KAL_CONTAINER_OF(s->gone.next, shown_row, link));
    kal_map_release(&s->rows);
    kal_map_release(&s->gone_rows);
    free(s);
}

static kal_status used_up(kal_error *err)
{
    kal_error_set(err, KAL_LIMIT, "the result of the live query takes too much memory");
    kal_error_hint(err, "narrow it with WHERE");
    return KAL_LIMIT;
}

static kal_status add_row(live_shown *s, kal_bytes key, shown_row **out, kal_error *err)
{
    size_t bytes = sizeof(shown_row) + 2 * key.len;

    if (!kal_budget_charge(s->budget, bytes))
        return used_up(err);
    shown_row *row = calloc(1, sizeof *row); /* owned by s->all */
    uint8_t *copy = malloc(key.len + 1);
    if (row == NULL || copy == NULL)
        kal_die("out of memory: live queries");
    if (key.len > 0)
        memcpy(copy, key.ptr, key.len);
    row->key = kal_bytes_of(copy, key.len);
    row->charged = bytes;
    kal_buf_init(&row->text, s->budget);
    kal_list_push_back(&s->all, &row->link);
    kal_map_put(&s->rows, row->key, row);
    *out = row;
    return KAL_OK;
}

static void forget(live_shown *s, shown_row *gone)
{
    kal_map_remove(&s->gone_rows, gone->key);
    free_row(s, gone);
}

static void bury(live_shown *s, shown_row *row, uint64_t seq)
{
    kal_map_remove(&s->rows, row->key);
    kal_list_remove(&row->link);
    row->seq = seq;
    kal_list_push_back(&s->gone, &row->link);
    kal_map_put(&s->gone_rows, row->key, row);
    while (s->gone_rows.len > GONE_MAX) {
        shown_row *oldest = KAL_CONTAINER_OF(s->gone.next, shown_row, link);
        s->known_since = oldest->seq;
        forget(s, oldest);
    }
}

kal_status live_shown_set(live_shown *s, kal_bytes key, kal_bytes text, uint64_t seq,
                          live_shown_visit visit, void *context, kal_error *err)
{
    shown_row *row = kal_map_find(&s->rows, key);
    live_shown_change change = {.key = key, .after = text, .seq = seq};

    if (row != NULL)
        change.before = kal_buf_bytes(&row->text);
    if (kal_bytes_equal(change.before, text))
        return KAL_OK;
    if (visit != NULL)
        KAL_TRY(visit(context, &change, err));
    if (text.len == 0) {
        bury(s, row, seq);
        return KAL_OK;
    }
    if (row == NULL) {
        shown_row *gone = kal_map_find(&s->gone_rows, key);
        if (gone != NULL)
            forget(s, gone);
        KAL_TRY(add_row(s, key, &row, err));
        row->came = seq;
    }
    row->seq = seq;
    kal_buf_clear(&row->text);
    kal_buf_append_bytes(&row->text, text);
    return kal_buf_failed(&row->text) ? used_up(err) : KAL_OK;
}

kal_status live_shown_each(const live_shown *s, live_shown_visit visit, void *context,
                           kal_error *err)
{
    KAL_LIST_FOR_EACH (link, &s->all) {
        const shown_row *row = KAL_CONTAINER_OF(link, shown_row, link);
        live_shown_change change = {
            .key = row->key, .after = kal_buf_bytes(&row->text), .seq = row->seq};
        KAL_TRY(visit(context, &change, err));
    }
    return KAL_OK;
}

size_t live_shown_count(const live_shown *s)
{
    return s->rows.len;
}

kal_status live_shown_since(const live_shown *s, uint64_t seq, live_shown_visit visit,
                            void *context, kal_error *err)
{
    KAL_LIST_FOR_EACH (link, &s->gone) {
        const shown_row *row = KAL_CONTAINER_OF(link, shown_row, link);
        live_shown_change change = {
            .key = row->key, .before = kal_buf_bytes(&row->text), .seq = row->seq};
        /* Also one that came after seq: a client that has part of what one commit changed goes on
         * from the seq before it. */
        if (row->seq > seq)
            KAL_TRY(visit(context, &change, err));
    }
    KAL_LIST_FOR_EACH (link, &s->all) {
        const shown_row *row = KAL_CONTAINER_OF(link, shown_row, link);
        kal_bytes text = kal_buf_bytes(&row->text);
        live_shown_change change = {.key = row->key, .after = text, .seq = row->seq};
        if (row->came <= seq)
            change.before = text;
        if (row->seq > seq)
            KAL_TRY(visit(context, &change, err));
    }
    return KAL_OK;
}

uint64_t live_shown_known_since(const live_shown *s)
{
    return s->known_since;
}

void live_shown_begin(live_shown *s, uint64_t seq)
{
    s->known_since = seq;
}

bool live_shown_find(const live_shown *s, kal_bytes key, live_shown_change *out)
{
    const shown_row *row = kal_map_find(&s->rows, key);

    if (row == NULL)
        return false;
    kal_bytes text = kal_buf_bytes(&row->text);
    *out = (live_shown_change){.key = row->key, .before = text, .after = text, .seq = row->seq};
    return true;
}

bool live_shown_is_gone(const live_shown *s, kal_bytes key)
{
    return kal_map_find(&s->gone_rows, key) != NULL;
}
