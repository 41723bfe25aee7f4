/*
 * Random histories of a table: ALTER TABLE in every form between INSERT, UPDATE, DELETE and
 * restarts, over the in-memory store and over RocksDB, against the eager model of history_model.h.
 *
 * Goal: no wrong value, no resurrected column, no lost version; snapshots taken before an ALTER
 * keep showing their moment; writes bound to a replaced definition are refused as stale. Method:
 * each history follows from its number; after each step rows and definition are compared with the
 * model, at the end all versions too.
 *
 *   sim_history [COUNT [FIRST]]      KAL_TEST_SEED=n runs history n alone
 */
#include "base/log.h"
#include "catalog/catalog.h"
#include "history_model.h"
#include "table/table.h"
#include "unit/types/random_value.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The definitions of dropped tables stay in a world, and each restart reads them: after so many
 * histories a new world is opened, or a long run would mostly read what is over. */
enum { HISTORIES_PER_WORLD = 256 };
enum { STEPS = 24, ALTERS_MAX = 3, VIEWS_MAX = 3, KEYS = 9, ROCKS_EVERY = 16 };

static const kal_principal ROOT = {.user_no = 1, .user_id = "root", .role = KAL_ROLE_SYSTEM};
static uint64_t history; /* the number of the one that runs */

#define FAIL(...)                                                                                  \
    do {                                                                                           \
        fprintf(stderr, "history %" PRIu64 " (KAL_TEST_SEED=%" PRIu64 "), line %d: ", history,     \
                history, __LINE__);                                                                \
        fprintf(stderr, __VA_ARGS__);                                                              \
        fprintf(stderr, "\n");                                                                     \
        exit(1);                                                                                   \
    } while (0)

#define MUST(call)                                                                                 \
    do {                                                                                           \
        kal_error why = KAL_ERROR_INIT;                                                            \
        kal_status status_ = (call);                                                               \
        if (status_ != KAL_OK)                                                                     \
            FAIL("%s: %s %s", #call, kal_status_name(status_), why.message);                       \
    } while (0)

/* A moment that was kept: later changes must not show in it. */
typedef struct kept_view {
    kal_view views[MODEL_USERS];
    kal_table *table; /* retained; as it was */
    model *model;     /* owned */
} kept_view;

typedef struct world {
    kal_kv *kv;
    bool is_rocks;
    char path[64]; /* of RocksDB */
    kal_sim_clock clock;
    kal_sched *sched;
    kal_catalog *catalog;
    kal_catalog_worker *worker;
    kal_tables *tables;
    kal_rng rng;
    kal_arena arena; /* of one history */
    model model;
    bool is_shared;
    unsigned next_name;
    kept_view kept[VIEWS_MAX];
    size_t kept_count;
} world;

/* ---- the server's parts ---- */

static void open_parts(world *w)
{
    kal_tables_options options = {.sync = !w->is_rocks};
    MUST(kal_catalog_open(w->kv, &w->clock.clock, NULL, &w->catalog, &why));
    w->worker = kal_catalog_worker_open(w->catalog);
    MUST(kal_tables_open(w->kv, w->sched, &w->clock.clock, &options, &w->tables, &why));
}

static void close_parts(world *w)
{
    kal_tables_close(w->tables);
    kal_catalog_worker_close(w->worker);
    kal_catalog_close(w->catalog);
}

static void open_store(world *w)
{
    if (w->is_rocks)
        MUST(kal_kv_open_rocks(w->path, NULL, &w->kv, &why));
    else
        w->kv = kal_kv_open_mem();
}

static void remove_directory(const char *path)
{
    char file[512];
    DIR *open = opendir(path);
    if (open == NULL)
        return;
    for (struct dirent *entry = readdir(open); entry != NULL; entry = readdir(open)) {
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (entry->d_type != DT_DIR)
            unlink(file);
    }
    closedir(open);
    rmdir(path);
}

static void world_open(world *w, bool is_rocks)
{
    *w = (world){.is_rocks = is_rocks};
    snprintf(w->path, sizeof w->path, "%s/kal-history-XXXXXX", P_tmpdir);
    if (is_rocks && mkdtemp(w->path) == NULL)
        FAIL("no temporary directory");
    kal_sim_clock_init(&w->clock, 1700000000000000);
    w->sched = kal_sched_sim(1);
    open_store(w);
    open_parts(w);
}

static void world_close(world *w)
{
    close_parts(w);
    kal_kv_close(w->kv);
    kal_sched_close(w->sched);
    if (w->is_rocks)
        remove_directory(w->path);
}

static void drop_kept(world *w, size_t at)
{
    for (size_t u = 0; u < MODEL_USERS; u++)
        kal_view_close(&w->kept[at].views[u]);
    kal_table_release(w->kept[at].table);
    free(w->kept[at].model);
    w->kept[at] = w->kept[--w->kept_count];
}

/* RocksDB is closed and opened; memory loses power. */
static void restart(world *w)
{
    while (w->kept_count > 0)
        drop_kept(w, 0);
    close_parts(w);
    if (w->is_rocks) {
        kal_kv_close(w->kv);
        open_store(w);
    } else {
        kal_kv_mem_crash(w->kv);
    }
    open_parts(w);
}

static kal_table *current_table(world *w)
{
    kal_table *table = NULL;
    MUST(kal_catalog_get_table(w->worker, KAL_STR("default"), kal_cstr(w->model.now.table_name),
                               &table, &why));
    return table;
}

/* ---- comparing ---- */

static void check_value(const kal_value *found, const kal_value *wanted, const char *column,
                        int64_t key)
{
    kal_value again = *wanted;
    if (kal_type_equal(found->type, wanted->type) && found->is_null == wanted->is_null &&
        (found->is_null || kal_value_identical(found, &again)))
        return;
    char found_name[KAL_TYPE_NAME_BYTES];
    char wanted_name[KAL_TYPE_NAME_BYTES];
    FAIL("row %" PRId64 ", column %s: found %s%s, expected %s%s, or their values differ", key,
         column, kal_type_name(found->type, found_name), found->is_null ? " NULL" : "",
         kal_type_name(wanted->type, wanted_name), wanted->is_null ? " NULL" : "");
}

static void check_row(const model *m, const kal_row *row, const model_row *wanted)
{
    for (size_t c = 0; c < m->now.column_count; c++) {
        kal_value value;
        kal_row_get(row, c, &value);
        check_value(&value, &wanted->values[c], m->now.columns[c].name, wanted->key);
    }
}

static void check_partition(kal_view *view, kal_table *table, const model *m, uint64_t user_no)
{
    kal_scan_range all = {0};
    kal_scan *scan = NULL;
    kal_row row;
    kal_error err = KAL_ERROR_INIT;
    kal_status status = kal_scan_open(view, table, &all, &scan, &err);

    for (size_t i = 0; i < m->row_count; i++) {
        if (m->rows[i].user_no != user_no)
            continue;
        if (status == KAL_OK)
            status = kal_scan_next(scan, &row, NULL, &err);
        if (status != KAL_OK)
            FAIL("row %" PRId64 " is missing: %s %s", m->rows[i].key, kal_status_name(status),
                 err.message);
        check_row(m, &row, &m->rows[i]);
    }
    if (kal_scan_next(scan, &row, NULL, &err) != KAL_END)
        FAIL("there is a row too many, or an error: %s", err.message);
    kal_scan_close(scan);
}

static void check_columns(const kal_table_definition *def, const model_version *v)
{
    if (def->column_count != v->column_count ||
        !kal_bytes_equal(def->table_name, kal_cstr(v->table_name)))
        FAIL("version %u of %.*s has %u columns, expected %zu in %s", def->schema_version,
             KAL_FMT(def->table_name), def->column_count, v->column_count, v->table_name);
    for (size_t i = 0; i < v->column_count; i++) {
        const kal_column *c = &def->columns[i];
        const model_column *m = &v->columns[i];
        if (c->column_id != m->column_id || c->ordinal_position != m->ordinal ||
            !kal_bytes_equal(c->name, kal_cstr(m->name)) || !kal_type_equal(c->type, m->type) ||
            c->is_nullable != m->is_nullable)
            FAIL("version %u: column %zu is %.*s, expected %s", def->schema_version, i,
                 KAL_FMT(c->name), m->name);
    }
}

static uint64_t partition_of(const world *w, size_t user)
{
    return w->is_shared ? 0 : user + 1;
}

static size_t partitions(const world *w)
{
    return w->is_shared ? 1 : MODEL_USERS;
}

static void check_now(world *w)
{
    kal_table *table = current_table(w);
    if (table->def->schema_version != w->model.version)
        FAIL("the table has version %u, expected %u", table->def->schema_version, w->model.version);
    check_columns(table->def, &w->model.now);
    for (size_t u = 0; u < partitions(w); u++) {
        kal_view view;
        kal_view_open(&view, w->tables, partition_of(w, u), NULL);
        check_partition(&view, table, &w->model, partition_of(w, u));
        kal_view_close(&view);
    }
}

static void check_versions(world *w)
{
    uint32_t table_id = current_table(w)->def->table_id;
    kal_schema_version *history_of = NULL;
    size_t count = 0;
    MUST(kal_catalog_table_history(w->catalog, NULL, table_id, &w->arena, &history_of, &count,
                                   &why));
    if (count != w->model.version)
        FAIL("%zu versions are recorded, expected %u", count, w->model.version);
    for (uint32_t v = 1; v <= w->model.version; v++) {
        kal_table_definition *def = NULL;
        if (history_of[v - 1].version != v)
            FAIL("version %u is recorded in place %u", history_of[v - 1].version, v);
        MUST(kal_catalog_table_version(w->catalog, NULL, table_id, v, &w->arena, &def, &why));
        check_columns(def, &w->model.versions[v - 1]);
    }
}

/* ---- kept moments ---- */

static void keep_view(world *w)
{
    if (w->kept_count == VIEWS_MAX)
        return;
    kept_view *kept = &w->kept[w->kept_count++];
    *kept =
        (kept_view){.table = kal_table_retain(current_table(w)), .model = malloc(sizeof(model))};
    KAL_ASSERT(kept->model != NULL);
    *kept->model = w->model;
    for (size_t u = 0; u < MODEL_USERS; u++)
        kal_view_open(&kept->views[u], w->tables, partition_of(w, u), NULL);
}

static void check_kept_at(world *w, size_t at)
{
    for (size_t u = 0; u < partitions(w); u++)
        check_partition(&w->kept[at].views[u], w->kept[at].table, w->kept[at].model,
                        partition_of(w, u));
}

static void check_kept(world *w)
{
    if (w->kept_count == 0)
        return;
    size_t at = (size_t)kal_rng_below(&w->rng, w->kept_count);
    check_kept_at(w, at);
    if (kal_rng_chance(&w->rng, 1, 2))
        drop_kept(w, at);
}

/* ---- rows ---- */

/* What an operation does to the row it finds. */
typedef struct row_op {
    const kal_table *table;
    const kal_value *values; /* of all columns; NULL: keep what is there but for `column` */
    size_t column;
    kal_value value;
    bool is_delete;
} row_op;

static kal_status resolve_row(void *context, const kal_row *current, kal_arena *arena,
                              kal_write_effect *effect, kal_error *err)
{
    const row_op *op = context;
    size_t count = op->table->def->column_count;

    (void)err;
    *effect = (kal_write_effect){.action = KAL_WRITE_NONE};
    if (op->is_delete) {
        effect->action = KAL_WRITE_DELETE;
        return KAL_OK;
    }
    if (op->values != NULL) {
        *effect = (kal_write_effect){KAL_WRITE_PUT, op->values};
        return KAL_OK;
    }
    if (current == NULL)
        return KAL_OK;
    kal_value *values = kal_arena_alloc(arena, count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        kal_row_get(current, i, &values[i]);
    values[op->column] = op->value;
    *effect = (kal_write_effect){KAL_WRITE_PUT, values};
    return KAL_OK;
}

static kal_bytes row_key(world *w, const kal_table *table, int64_t key)
{
    kal_value value = kal_value_bigint(key);
    kal_buf bytes;
    kal_buf_init(&bytes, NULL);
    MUST(kal_table_key(table, &value, &bytes, &why));
    kal_bytes copy = kal_arena_copy(&w->arena, kal_buf_bytes(&bytes));
    kal_buf_release(&bytes);
    return copy;
}

static kal_status commit_op(world *w, kal_table *table, uint64_t user_no, int64_t key, row_op *op)
{
    kal_error err = KAL_ERROR_INIT;
    kal_write *write = kal_write_open(w->tables, NULL);
    kal_write_op row = {.table = table,
                        .user_no = user_no,
                        .key = row_key(w, table, key),
                        .resolve = resolve_row,
                        .context = op};
    op->table = table;
    MUST(kal_write_add(write, &row, NULL, &why));
    kal_status status = kal_write_commit(write, &err);
    kal_write_close(write);
    return status;
}

static kal_value value_for(world *w, const model_column *column)
{
    return column->is_nullable ? random_value_or_null(&w->rng, column->type, &w->arena)
                               : random_value(&w->rng, column->type, &w->arena);
}

static void put_row(world *w, kal_table *table, uint64_t user_no, int64_t key)
{
    kal_value values[MODEL_COLUMNS_MAX];
    row_op op = {.values = values};
    model_row *row = model_find(&w->model, user_no, key);

    values[0] = kal_value_bigint(key);
    for (size_t i = 1; i < w->model.now.column_count; i++)
        values[i] = value_for(w, &w->model.now.columns[i]);
    if (commit_op(w, table, user_no, key, &op) != KAL_OK)
        FAIL("a row was not taken");
    if (row == NULL)
        row = model_insert(&w->model, user_no, key);
    memcpy(row->values, values, w->model.now.column_count * sizeof values[0]);
}

static void update_row(world *w, kal_table *table, uint64_t user_no, int64_t key)
{
    size_t at = 1 + (size_t)kal_rng_below(&w->rng, w->model.now.column_count - 1);
    row_op op = {.column = at, .value = value_for(w, &w->model.now.columns[at])};
    model_row *row = model_find(&w->model, user_no, key);

    if (commit_op(w, table, user_no, key, &op) != KAL_OK)
        FAIL("an update was not taken");
    if (row != NULL)
        row->values[at] = op.value;
}

static void delete_row(world *w, kal_table *table, uint64_t user_no, int64_t key)
{
    row_op op = {.is_delete = true};
    model_row *row = model_find(&w->model, user_no, key);

    if (commit_op(w, table, user_no, key, &op) != KAL_OK)
        FAIL("a deletion was not taken");
    if (row != NULL)
        model_delete(&w->model, row);
}

static void change_row(world *w)
{
    uint64_t user_no = partition_of(w, (size_t)kal_rng_below(&w->rng, partitions(w)));
    int64_t key = (int64_t)kal_rng_below(&w->rng, KEYS) - 3;
    kal_table *table = current_table(w);
    uint64_t kind = kal_rng_below(&w->rng, 10);

    if (kind < 6)
        put_row(w, table, user_no, key);
    else if (kind < 8 && w->model.now.column_count > 1)
        update_row(w, table, user_no, key);
    else
        delete_row(w, table, user_no, key);
}

/* ---- altering ---- */

static void new_name(world *w, char out[16])
{
    /* Half of the names were used before, by columns that are dropped now, perhaps. */
    unsigned n = kal_rng_chance(&w->rng, 1, 2) ? ++w->next_name
                                               : (unsigned)kal_rng_below(&w->rng, w->next_name + 1);
    snprintf(out, 16, "c%u", n);
}

static size_t pick_column(world *w)
{
    return 1 + (size_t)kal_rng_below(&w->rng, w->model.now.column_count - 1);
}

static kal_bytes keep_text(world *w, const char *text)
{
    return kal_arena_copy(&w->arena, kal_cstr(text));
}

static bool step_add(world *w, kal_alter *step)
{
    char name[16];
    kal_type type = random_type(&w->rng);
    bool has_default = kal_rng_chance(&w->rng, 1, 2);
    bool is_nullable = (!has_default && w->model.row_count > 0) || kal_rng_chance(&w->rng, 2, 3);
    kal_value *initial = KAL_NEW(&w->arena, kal_value);

    new_name(w, name);
    if (w->model.now.column_count == MODEL_COLUMNS_MAX || model_find_column(&w->model, name) >= 0)
        return false;
    *initial = random_value(&w->rng, type, &w->arena);
    *step = (kal_alter){.kind = KAL_ALTER_ADD_COLUMN};
    step->added = kal_column_simple(name, 0, type);
    step->added.column_id = 0;
    step->added.name = keep_text(w, name);
    step->added.is_nullable = is_nullable;
    step->added.initial_default = has_default ? initial : NULL;
    model_add_column(&w->model, name, type, is_nullable, step->added.initial_default);
    return true;
}

static bool step_column(world *w, kal_alter *step)
{
    if (w->model.now.column_count < 2)
        return false;
    size_t at = pick_column(w);
    model_column *column = &w->model.now.columns[at];
    char name[16];

    *step = (kal_alter){.column = keep_text(w, column->name)};
    switch (kal_rng_below(&w->rng, 6)) {
    case 0:
        step->kind = KAL_ALTER_DROP_COLUMN;
        model_drop_column(&w->model, at);
        return true;
    case 1:
        new_name(w, name);
        if (model_find_column(&w->model, name) >= 0)
            return false;
        step->kind = KAL_ALTER_RENAME_COLUMN;
        step->new_name = keep_text(w, name);
        snprintf(column->name, sizeof column->name, "%s", name);
        return true;
    case 2:
    case 3:
        step->kind = KAL_ALTER_SET_TYPE;
        step->type = model_wider(column->type);
        if (kal_type_equal(step->type, column->type))
            return false;
        model_set_type(&w->model, at, step->type);
        return true;
    case 4:
        if (!column->is_nullable || model_holds_null(&w->model, at))
            return false;
        step->kind = KAL_ALTER_SET_NOT_NULL;
        column->is_nullable = false;
        return true;
    default:
        if (column->is_nullable)
            return false;
        step->kind = KAL_ALTER_DROP_NOT_NULL;
        column->is_nullable = true;
        return true;
    }
}

static bool step_rename_table(world *w, kal_alter *step)
{
    char name[16];
    snprintf(name, sizeof name, "t%u", ++w->next_name);
    *step = (kal_alter){.kind = KAL_ALTER_RENAME_TABLE, .new_name = keep_text(w, name)};
    snprintf(w->model.now.table_name, sizeof w->model.now.table_name, "%s", name);
    return true;
}

static bool make_step(world *w, kal_alter *step)
{
    uint64_t kind = kal_rng_below(&w->rng, 12);
    if (kind < 4)
        return step_add(w, step);
    if (kind < 11)
        return step_column(w, step);
    return step_rename_table(w, step);
}

static kal_status commit_altered(world *w, kal_table *table, const kal_altered *altered)
{
    kal_error err = KAL_ERROR_INIT;
    kal_catalog_change *change = kal_catalog_begin(w->catalog, &ROOT);
    kal_status status = kal_catalog_alter_table(change, table, altered, NULL, &err);
    kal_write *write = kal_write_open(w->tables, NULL);
    if (status == KAL_OK) {
        kal_write_set_change(write, change);
        if (altered->needs_empty)
            kal_write_require_empty(write, table);
        status = kal_write_commit(write, &err);
    }
    kal_write_close(write);
    kal_catalog_end(change);
    return status;
}

/* A write that was bound before the change: it must not be carried out. */
static void check_stale(world *w, kal_table *old)
{
    kal_value values[MODEL_COLUMNS_MAX];
    row_op op = {.values = values};
    for (uint32_t i = 0; i < old->def->column_count; i++)
        values[i] = random_value(&w->rng, old->def->columns[i].type, &w->arena);
    values[0] = kal_value_bigint(1);
    kal_status status = commit_op(w, old, partition_of(w, 0), 1, &op);
    if (status != KAL_STALE)
        FAIL("a write bound to a replaced definition: %s", kal_status_name(status));
}

static void alter(world *w)
{
    kal_alter steps[ALTERS_MAX];
    kal_altered altered;
    size_t failed = 0;
    size_t count = 0;
    size_t wanted = 1 + (size_t)kal_rng_below(&w->rng, ALTERS_MAX);
    kal_table *table = kal_table_retain(current_table(w));
    model before = w->model;

    if (w->model.version < MODEL_VERSIONS_MAX) {
        for (size_t tries = 0; tries < 8 && count < wanted; tries++)
            count += make_step(w, &steps[count]);
    }
    if (count > 0) {
        kal_sim_clock_advance(&w->clock, 1000);
        MUST(kal_table_alter(table->def, steps, count, kal_clock_wall_us(&w->clock.clock),
                             &w->arena, &altered, &failed, &why));
        if (altered.changes.len > 0) {
            kal_status status = commit_altered(w, table, &altered);
            if (status != KAL_OK)
                FAIL("an alteration was not taken: %s", kal_status_name(status));
            model_next_version(&w->model);
            if (kal_rng_chance(&w->rng, 1, 4))
                check_stale(w, table);
        } else {
            w->model = before; /* added and dropped again: no number was used up */
        }
    }
    kal_table_release(table);
}

/* What must be refused leaves nothing. */
static void alter_wrongly(world *w)
{
    kal_alter step = {.column = KAL_STR("id")};
    kal_altered altered;
    size_t failed = 0;
    kal_error err = KAL_ERROR_INIT;
    kal_table *table = current_table(w);

    switch (kal_rng_below(&w->rng, 4)) {
    case 0:
        step.kind = KAL_ALTER_DROP_COLUMN;
        break;
    case 1:
        step.kind = KAL_ALTER_SET_TYPE;
        step.type = kal_type_of(KAL_TYPE_INT);
        break;
    case 2:
        step.kind = KAL_ALTER_ADD_COLUMN;
        step.added = kal_column_simple("ID", 0, kal_type_of(KAL_TYPE_TEXT));
        break;
    default:
        step.kind = KAL_ALTER_DROP_NOT_NULL;
        break;
    }
    if (kal_table_alter(table->def, &step, 1, 1, &w->arena, &altered, &failed, &err) == KAL_OK)
        FAIL("a wrong alteration of kind %d was taken", (int)step.kind);
    if (w->model.row_count == 0)
        return;
    /* NOT NULL without a default over rows: the lane refuses. */
    step = (kal_alter){.kind = KAL_ALTER_ADD_COLUMN};
    step.added = kal_column_simple("never", 0, kal_type_of(KAL_TYPE_TEXT));
    step.added.is_nullable = false;
    MUST(kal_table_alter(table->def, &step, 1, 1, &w->arena, &altered, &failed, &why));
    if (!altered.needs_empty || commit_altered(w, table, &altered) != KAL_INVALID)
        FAIL("NOT NULL without a default was taken over rows");
}

/* ---- one history ---- */

static void create_table(world *w)
{
    kal_column columns[4] = {kal_column_simple("id", 1, kal_type_of(KAL_TYPE_BIGINT))};
    size_t count = 1 + (size_t)kal_rng_below(&w->rng, 4);
    kal_table_type type = w->is_shared ? KAL_TABLE_SHARED : KAL_TABLE_USER;
    kal_table_definition *def = NULL;
    bool existed = false;

    w->model = (model){.ordinal_max = (uint32_t)count};
    snprintf(w->model.now.table_name, sizeof w->model.now.table_name, "t");
    columns[0].is_nullable = false;
    columns[0].is_primary_key = true;
    for (size_t i = 0; i < count; i++) {
        char name[16] = "id";
        if (i > 0) {
            snprintf(name, sizeof name, "c%u", ++w->next_name);
            columns[i] = kal_column_simple(name, (uint32_t)i + 1, random_type(&w->rng));
            columns[i].name = keep_text(w, name);
        }
        model_column *m = &w->model.now.columns[i];
        *m = (model_column){.column_id = (uint32_t)i + 1,
                            .ordinal = (uint32_t)i + 1,
                            .type = columns[i].type,
                            .is_nullable = columns[i].is_nullable};
        snprintf(m->name, sizeof m->name, "%s", name);
    }
    w->model.now.column_count = count;
    model_next_version(&w->model);
    kal_catalog_change *change = kal_catalog_begin(w->catalog, &ROOT);
    MUST(kal_table_definition_create(KAL_STR("default"), KAL_STR("t"), type, columns, count, NULL,
                                     0, NULL, 1, &w->arena, &def, &why));
    MUST(kal_catalog_create_table(change, def, false, &existed, &why));
    MUST(kal_catalog_commit(change, &why));
    kal_catalog_end(change);
}

static void drop_table(world *w)
{
    bool existed = false;
    kal_catalog_change *change = kal_catalog_begin(w->catalog, &ROOT);
    MUST(kal_catalog_drop_table(change, KAL_STR("default"), kal_cstr(w->model.now.table_name),
                                false, &existed, &why));
    MUST(kal_catalog_commit(change, &why));
    kal_catalog_end(change);
}

static void run_history(world *w, uint64_t number)
{
    history = number;
    kal_rng_seed(&w->rng, number);
    kal_arena_init(&w->arena, NULL);
    w->next_name = 0;
    w->is_shared = kal_rng_chance(&w->rng, 1, 2);
    create_table(w);
    for (int step = 0; step < STEPS; step++) {
        uint64_t kind = kal_rng_below(&w->rng, 20);
        if (kind < 9)
            change_row(w);
        else if (kind < 15)
            alter(w);
        else if (kind < 16)
            alter_wrongly(w);
        else if (kind < 18)
            keep_view(w);
        else if (kind < 19)
            check_kept(w);
        else if (!w->is_rocks || kal_rng_chance(&w->rng, 1, 4))
            restart(w);
        check_now(w);
    }
    check_versions(w);
    drop_table(w);
    while (w->kept_count > 0) { /* what is gone now is still there in them */
        check_kept_at(w, 0);
        drop_kept(w, 0);
    }
    kal_arena_release(&w->arena);
}

int main(int argc, char **argv)
{
    const char *seed = getenv("KAL_TEST_SEED");
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    world *memory = calloc(1, sizeof *memory);
    world *rocks = calloc(1, sizeof *rocks);

    KAL_ASSERT(memory != NULL && rocks != NULL);
    kal_log_configure(KAL_LOG_ERROR, false, STDERR_FILENO, kal_clock_system());
    if (seed != NULL) {
        first = strtoull(seed, NULL, 10);
        count = 1;
    }
    for (uint64_t done = 0; done < count;) {
        world_open(memory, false);
        world_open(rocks, true);
        for (int i = 0; i < HISTORIES_PER_WORLD && done < count; i++, done++)
            run_history((first + done) % ROCKS_EVERY == 0 ? rocks : memory, first + done);
        world_close(memory);
        world_close(rocks);
    }
    free(memory);
    free(rocks);
    printf("%" PRIu64 " histories of %d steps agree with the model (from %" PRIu64 " on)\n", count,
           STEPS, first);
    return 0;
}
