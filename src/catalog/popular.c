/*
 * popular.c: the tables that are looked up often, most often first, so that a restarted server has
 * them in memory before it is asked.
 *
 * Record: u32 table_id, ... The list is written now and then and at the end, without a sync: losing
 * it costs a few look-ups. Counts are halved each time, down to 1, so that yesterday's favourites
 * fade, but stay in the list for as long as the cache keeps them: a quiet night forgets nothing.
 */
#include "base/assert.h"
#include "base/log.h"
#include "catalog/catalog_internal.h"

#include <stdlib.h>

enum { LOAD_NS_MAX = 2000000000 }; /* the port waits for it */

typedef struct favourite {
    uint32_t table_id;
    uint64_t uses;
} favourite;

typedef struct favourites {
    KAL_VEC(favourite) items; /* owned */
} favourites;

static void take_table(void *context, const kal_table *table)
{
    favourites *f = context;
    uint64_t uses = atomic_load_explicit(&table->cached.uses, memory_order_relaxed);
    if (table->def->table_id < KAL_TABLE_ID_FIRST || uses == 0)
        return; /* system tables are always loaded */
    atomic_fetch_sub_explicit(&((kal_table *)(uintptr_t)table)->cached.uses, uses / 2,
                              memory_order_relaxed);
    kal_vec_push(&f->items, ((favourite){table->def->table_id, uses}));
}

static int by_uses(const void *a, const void *b)
{
    const favourite *x = a;
    const favourite *y = b;
    return (x->uses < y->uses) - (x->uses > y->uses);
}

static kal_status write_list(kal_catalog *c, const favourites *f, kal_error *err)
{
    kal_entity_key key;
    kal_buf record;                                 /* owned */
    kal_kv_batch *batch = kal_kv_batch_open(c->kv); /* owned */

    kal_buf_init(&record, NULL);
    for (size_t i = 0; i < f->items.len; i++)
        kal_buf_append_le32(&record, f->items.items[i].table_id);
    kal_entity_key_init(&key, &c->popular);
    kal_status status = kal_entity_put(&c->popular, batch, &key, kal_buf_bytes(&record), err);
    if (status == KAL_OK)
        status = kal_kv_write(c->kv, batch, false, err);
    kal_buf_release(&record);
    kal_kv_batch_close(batch);
    return status;
}

void kal_popular_store(kal_catalog *c)
{
    kal_error err = KAL_ERROR_INIT;
    favourites f = {0};

    kal_schema_cache_each(c->cache, take_table, &f);
    if (f.items.len > 0) {
        qsort(f.items.items, f.items.len, sizeof(favourite), by_uses);
        if (write_list(c, &f, &err) != KAL_OK)
            kal_log_warn("schema-cache", "cannot remember which tables are read often: %s",
                         err.message);
    }
    kal_vec_release(&f.items);
}

/* False: enough. A table that is gone is passed over. */
static bool load_one(kal_catalog *c, uint32_t table_id)
{
    kal_table_record record;
    kal_version_record version;
    kal_arena arena; /* owned */
    bool more = true;

    kal_arena_init(&arena, NULL);
    if (kal_table_store_record(c, NULL, table_id, &record, NULL) == KAL_OK &&
        kal_table_store_version(c, NULL, table_id, record.version, &arena, &version, NULL) ==
            KAL_OK) {
        kal_table *table = kal_table_make(c, version.def, record.hot_id, record.shard);
        table->cached.uses = 1;
        more = kal_schema_cache_warm(c->cache, table);
    }
    kal_arena_release(&arena);
    return more;
}

void kal_popular_load(kal_catalog *c)
{
    uint64_t until_ns = kal_clock_mono_ns(c->clock) + LOAD_NS_MAX;
    kal_entity_key key;
    kal_entity entity;
    kal_arena arena; /* owned */
    uint32_t table_id = 0;
    kal_error err = KAL_ERROR_INIT;

    kal_arena_init(&arena, NULL);
    kal_entity_key_init(&key, &c->popular);
    kal_status status = kal_entity_get(&c->popular, NULL, &key, &arena, &entity, &err);
    while (status == KAL_OK && kal_bytes_take_le32(&entity.record, &table_id)) {
        if (!load_one(c, table_id) || kal_clock_mono_ns(c->clock) > until_ns)
            break;
    }
    if (status != KAL_OK && status != KAL_NOT_FOUND)
        kal_log_warn("schema-cache", "cannot read which tables were read often: %s", err.message);
    kal_arena_release(&arena);
}
