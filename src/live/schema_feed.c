/*
 * schema_feed.c: SUBSCRIBE SCHEMA: the definitions of tables, and what becomes of them.
 *
 * A picture is the published version of each table, by its number; a table's object is constant and
 * in memory anyway. What led from one version to another comes out of the history, so that several
 * changes between two pictures are told one by one.
 */
#include "base/json_writer.h"
#include "catalog/system_tables.h"
#include "live/feed.h"

#include <stdlib.h>

enum { KEY_BYTES = 4 };

static const kal_table_definition *def_of(const void *value)
{
    return ((const kal_table *)value)->def;
}

/* ---- what is asked for ---- */

kal_status live_schema_target(kal_catalog *catalog, kal_catalog_worker *worker,
                              const kal_sql_live *parsed, live_feed_target *out, kal_error *err)
{
    const kal_sql_object *object = &parsed->target;
    kal_table *table = NULL;
    kal_status status = KAL_OK;

    *out = (live_feed_target){.kind = parsed->kind};
    if (parsed->kind == KAL_SQL_LIVE_SCHEMA_ALL)
        return KAL_OK;
    if (parsed->kind == KAL_SQL_LIVE_SCHEMA_NAMESPACE) {
        out->ns = object->name.text;
        if (!kal_catalog_has_namespace(catalog, out->ns))
            status = kal_catalog_unknown_namespace(catalog, out->ns, err);
    } else {
        out->ns = object->namespace_name.text;
        out->name = object->name.text;
        status = kal_catalog_get_table(worker, out->ns, out->name, &table, err);
        if (status == KAL_OK)
            out->table_id = table->def->table_id;
    }
    if (status == KAL_NOT_FOUND)
        err->position = object->position;
    return status;
}

static bool wants(const live_feed_target *target, const void *value)
{
    const kal_table_definition *def = def_of(value);

    switch (target->kind) {
    case KAL_SQL_LIVE_SCHEMA_TABLE:
        return def->table_id == target->table_id;
    case KAL_SQL_LIVE_SCHEMA_NAMESPACE:
        return kal_bytes_equal(def->namespace_id, target->ns);
    default: /* what the server keeps itself only by name */
        return def->table_type != KAL_TABLE_SYSTEM;
    }
}

/* ---- reading ---- */

/* It holds the table's memory, also when the cache lets go of it. */
static void release(const void *value, kal_budget *budget)
{
    kal_table *table = (kal_table *)value;
    kal_budget_release(budget, table->bytes);
    kal_table_release(table);
}

typedef struct found {
    kal_arena arena;
    KAL_VEC(uint32_t) ids; /* arena */
} found;

static kal_status note_table(void *context, kal_bytes ns, kal_bytes name, uint32_t table_id,
                             kal_error *err)
{
    found *f = context;
    (void)ns, (void)name;
    return kal_vec_try_push_in(&f->arena, &f->ids, table_id) ? KAL_OK : live_feed_memory(err);
}

static kal_status find_wanted(const live_feed_task *task, found *f, kal_error *err)
{
    kal_catalog *catalog = task->feed->worker->live->options.catalog;

    for (size_t i = 0; i < task->wanted.len; i++) {
        const live_feed_target *target = &task->wanted.items[i]->target;
        if (target->kind == KAL_SQL_LIVE_SCHEMA_TABLE)
            KAL_TRY(note_table(f, target->ns, target->name, target->table_id, err));
        else /* ns is empty: all */
            KAL_TRY(kal_catalog_scan_tables(catalog, target->ns, note_table, f, err));
    }
    return KAL_OK;
}

static int by_id(const void *a, const void *b)
{
    const uint32_t *x = a;
    const uint32_t *y = b;
    return (*x > *y) - (*x < *y);
}

/* One that was dropped since its name was read is left out. */
static kal_status add_table(live_feed_task *task, kal_catalog_worker *catalog, uint32_t table_id,
                            kal_error *err)
{
    kal_budget *budget = task->to->arena.budget;
    kal_table *table = NULL;
    uint8_t key[KEY_BYTES];

    kal_status status = kal_catalog_get_table_by_id(catalog, table_id, &table, err);
    if (status == KAL_NOT_FOUND)
        return KAL_OK;
    KAL_TRY(status);
    kal_store_be32(key, table_id);
    if (!kal_budget_charge(budget, table->bytes))
        return live_feed_memory(err);
    table = kal_table_retain(table);
    status = live_feed_add(task, kal_bytes_of(key, KEY_BYTES), table, err);
    if (status != KAL_OK)
        release(table, budget);
    return status;
}

static kal_status read_tables(live_feed_task *task, kal_catalog_worker *catalog, kal_error *err)
{
    found f = {0};

    kal_arena_init(&f.arena, task->to->arena.budget);
    kal_status status = find_wanted(task, &f, err);
    if (f.ids.len > 1)
        qsort(f.ids.items, f.ids.len, sizeof *f.ids.items, by_id);
    for (size_t i = 0; i < f.ids.len && status == KAL_OK; i++) {
        if (i == 0 || f.ids.items[i] != f.ids.items[i - 1])
            status = add_table(task, catalog, f.ids.items[i], err);
    }
    kal_arena_release(&f.arena);
    return status;
}

/* ---- comparing ---- */

static bool has_same_name(const kal_table_definition *a, const kal_table_definition *b)
{
    return kal_bytes_equal(a->namespace_id, b->namespace_id) &&
           kal_bytes_equal(a->table_name, b->table_name);
}

static kal_status is_same(live_feed_task *task, const void *before, const void *after, bool *out,
                          kal_error *err)
{
    const kal_table_definition *a = def_of(before);
    const kal_table_definition *b = def_of(after);
    (void)task, (void)err;
    *out = a == b || (a->schema_version == b->schema_version && has_same_name(a, b));
    return KAL_OK;
}

static const char *kind_of(const kal_table_definition *before, const kal_table_definition *after)
{
    return before == NULL                  ? "created"
           : after == NULL                 ? "dropped"
           : !has_same_name(before, after) ? "renamed"
                                           : "altered";
}

static void write_number(kal_json_writer *w, const char *key, const kal_table_definition *def)
{
    kal_json_key(w, key);
    if (def == NULL)
        kal_json_null(w);
    else
        kal_json_u64(w, def->schema_version);
}

static void write_version(const kal_schema_version *v, kal_json_writer *w)
{
    kal_json_begin_object(w);
    kal_json_key(w, "version");
    kal_json_u64(w, v->version);
    kal_json_key(w, "created_at");
    kal_json_i64(w, v->created_at_us);
    kal_json_key(w, "actor");
    kal_json_string(w, v->actor);
    kal_json_key(w, "changes");
    kal_schema_changes_write_json(&v->changes, w);
    kal_json_end_object(w);
}

/* Every version after `from` up to that of `after`, oldest first; none of a table that is gone.
 * KAL_STALE: it is in the picture, but was dropped since, and its history with it. */
static kal_status write_versions(live_feed_task *task, uint32_t from,
                                 const kal_table_definition *after, kal_json_writer *w,
                                 kal_error *err)
{
    kal_catalog *catalog = task->feed->worker->live->options.catalog;
    kal_schema_version *versions = NULL;
    size_t count = 0;
    bool is_whole = after == NULL;

    if (after != NULL)
        KAL_TRY(kal_catalog_table_history(catalog, NULL, after->table_id, &task->base.scratch,
                                          &versions, &count, err));
    kal_json_key(w, "versions");
    kal_json_begin_array(w);
    for (size_t i = 0; i < count; i++) {
        is_whole = is_whole || versions[i].version == after->schema_version;
        if (versions[i].version > from && versions[i].version <= after->schema_version)
            write_version(&versions[i], w);
    }
    kal_json_end_array(w);
    return is_whole ? KAL_OK
                    : kal_error_set(err, KAL_STALE, "table '%.*s.%.*s' was dropped meanwhile",
                                    KAL_FMT(after->namespace_id), KAL_FMT(after->table_name));
}

static void write_names(const kal_table_definition *def, kal_json_writer *w)
{
    kal_json_key(w, "namespace_id");
    kal_json_string(w, def->namespace_id);
    kal_json_key(w, "table_name");
    kal_json_string(w, def->table_name);
}

enum { CHANGE_MEMBERS = 9 };

static kal_status write_change(live_feed_task *task, const kal_table_definition *before,
                               const kal_table_definition *after, uint64_t seq, kal_json_writer *w,
                               kal_error *err)
{
    const kal_table_definition *now = after != NULL ? after : before;

    kal_json_key(w, "kind");
    kal_json_cstr(w, kind_of(before, after));
    write_names(now, w);
    kal_json_key(w, "table_id");
    kal_json_u64(w, now->table_id);
    kal_json_key(w, "from");
    if (before == NULL) {
        kal_json_null(w);
    } else {
        kal_json_begin_object(w);
        write_names(before, w);
        write_number(w, "schema_version", before);
        kal_json_end_object(w);
    }
    write_number(w, "schema_version", after);
    KAL_TRY(write_versions(task, before == NULL ? 0 : before->schema_version, after, w, err));
    kal_json_key(w, "definition");
    if (after == NULL)
        kal_json_null(w);
    else
        kal_table_definition_write_json(after, w);
    kal_json_key(w, "seq");
    kal_json_u64(w, seq);
    return KAL_OK;
}

static kal_status encode(live_feed_task *task, const void *before, const void *after, uint64_t seq,
                         kal_message_body **body_out, kal_error *err)
{
    kal_buf members; /* owned, until the body has it */
    kal_json_writer json;

    kal_buf_init(&members, task->feed->worker->live->options.budget);
    kal_json_writer_init(&json, &members);
    kal_json_begin_members(&json);
    kal_status status = write_change(task, before == NULL ? NULL : def_of(before),
                                     after == NULL ? NULL : def_of(after), seq, &json, err);
    if (status != KAL_OK) {
        kal_buf_release(&members);
        return status;
    }
    *body_out = kal_message_body_make(&members, CHANGE_MEMBERS);
    return *body_out == NULL ? live_feed_memory(err) : KAL_OK;
}

static bool is_last(const live_feed_target *target, const live_feed_change *change, kal_error *err)
{
    if (target->kind != KAL_SQL_LIVE_SCHEMA_TABLE || change->after != NULL)
        return false;
    const kal_table_definition *def = def_of(change->before);
    kal_error_set(err, KAL_NOT_FOUND, "table '%.*s.%.*s' was dropped", KAL_FMT(def->namespace_id),
                  KAL_FMT(def->table_name));
    kal_error_code(err, "TABLE_NOT_FOUND");
    return true;
}

/* ---- rows ---- */

static void write_column(kal_json_writer *w, uint64_t index, const char *name, kal_type_tag tag,
                         bool is_key)
{
    kal_result_column_write_json(kal_cstr(name), kal_type_of(tag), index, is_key, true, w);
}

static void write_schema(const live_feed *feed, kal_json_writer *w)
{
    (void)feed;
    kal_json_key(w, "schema");
    kal_json_begin_array(w);
    write_column(w, 0, "namespace_id", KAL_TYPE_TEXT, false);
    write_column(w, 1, "table_name", KAL_TYPE_TEXT, false);
    write_column(w, 2, "table_id", KAL_TYPE_INT, true);
    write_column(w, 3, "schema_version", KAL_TYPE_INT, false);
    write_column(w, 4, "definition", KAL_TYPE_JSON, false);
    kal_json_end_array(w);
}

static kal_status write_row(const live_feed *feed, const void *value, kal_arena *scratch,
                            kal_buf *out, kal_error *err)
{
    const kal_table_definition *def = def_of(value);
    kal_json_writer w;

    (void)feed, (void)scratch, (void)err;
    kal_json_writer_init(&w, out);
    kal_json_begin_object(&w);
    write_names(def, &w);
    kal_json_key(&w, "table_id");
    kal_json_u64(&w, def->table_id);
    write_number(&w, "schema_version", def);
    kal_json_key(&w, "definition");
    kal_table_definition_write_json(def, &w);
    kal_json_end_object(&w);
    return KAL_OK;
}

const live_feed_kind live_schema_feed = {
    .name = "schema",
    .message = "schema_change",
    .read = read_tables,
    .is_same = is_same,
    .encode = encode,
    .release = release,
    .write_schema = write_schema,
    .write_row = write_row,
    .wants = wants,
    .is_last = is_last,
};
