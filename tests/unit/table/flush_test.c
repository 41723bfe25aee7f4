/*
 * Hot and cold rows against a map: random writes by key and prepared ones, flushes that write
 * segments of a few rows and compactions, with writes going on inside them, sweeps, views that stay
 * open, failing stores and segments, power loss that tears what was not synced; also of tables
 * whose segments are of one user each.
 *
 * Goal: whatever is moved when, each view shows exactly the rows of its moment, each once; after a
 * loss of power every acknowledged write is there, and one with an unknown end as a whole or not at
 * all; sweeping leaves as many segments as the manifest has. Method: seeded runs over the store and
 * segments in memory; a failure prints the seed, KAL_TEST_SEED runs that one alone,
 * KAL_TEST_COUNT more of them.
 *
 * Then frozen rows in RocksDB that cannot be read, and what a failed write leaves.
 */
#include "base/rng.h"
#include "table/erase.h"
#include "table/flush_internal.h"
#include "table_testing.h"

#include <stdio.h>
#include <stdlib.h>

enum { RUNS = 60, STEPS = 120, USERS = 3, KEYS = 24, VIEWS = 3, OPS_MAX = 4, OPS_MANY = 30 };

static const kal_principal ROOT = {.user_no = 1, .user_id = "root", .role = KAL_ROLE_SYSTEM};

/* 0: no row, else the number that the row holds. */
typedef struct model {
    unsigned rows[USERS][KEYS];
} model;

typedef struct old_view {
    bool is_open;
    kal_view view;
    model rows;
} old_view;

typedef struct world {
    testing_db db;
    kal_kv *mem;
    kal_segment_backend *segments;
    kal_rng rng;
    uint64_t seed;
    unsigned step;
    bool shared;
    bool by_user;
    kal_table *table; /* retained */
    model now;
    model maybe; /* what it also may be, when `unknown` */
    bool unknown;
    bool in_flush;
    unsigned next_number;
    old_view views[VIEWS];
    kal_error err;
} world;

#define FAIL(w, ...)                                                                               \
    do {                                                                                           \
        print_error("seed %llu, step %u: ", (unsigned long long)(w)->seed, (w)->step);             \
        fail_msg(__VA_ARGS__);                                                                     \
    } while (0)
#define OK(w, call)                                                                                \
    do {                                                                                           \
        if ((call) != KAL_OK)                                                                      \
            FAIL(w, "%s: %s", #call, (w)->err.message);                                            \
    } while (0)

/* ---- the database ---- */

static void find_table(world *w)
{
    kal_table *table = NULL;
    OK(w, kal_catalog_get_table(w->db.worker, KAL_STR("default"), KAL_STR("t"), &table, &w->err));
    w->table = kal_table_retain(table);
}

static void create_table(world *w)
{
    kal_table_type type = w->shared ? KAL_TABLE_SHARED : KAL_TABLE_USER;
    kal_table_options options = kal_table_options_default(type);
    kal_column columns[] = {
        kal_column_simple("id", 1, kal_type_of(KAL_TYPE_BIGINT)),
        kal_column_simple("number", 2, kal_type_of(KAL_TYPE_BIGINT)),
    };
    kal_table_definition *def = NULL;
    bool existed = false;
    kal_arena arena;

    columns[0].is_primary_key = true;
    columns[0].is_nullable = false;
    options.partition_by_user = w->by_user;
    kal_arena_init(&arena, NULL);
    OK(w, kal_table_definition_create(KAL_STR("default"), KAL_STR("t"), type, columns, 2, NULL, 0,
                                      &options, 1, &arena, &def, &w->err));
    kal_catalog_change *change = kal_catalog_begin(w->db.catalog, &ROOT);
    OK(w, kal_catalog_create_table(change, def, false, &existed, &w->err));
    OK(w, kal_catalog_commit(change, &w->err));
    kal_catalog_end(change);
    kal_arena_release(&arena);
}

static void open_tables(world *w)
{
    const kal_tables_options options = {
        .sync = true, .catalog = w->db.catalog, .segments = w->segments};
    OK(w, kal_tables_open(w->db.kv, w->db.sched, &w->db.clock.clock, &options, &w->db.tables,
                          &w->err));
}

static void open_world(world *w, uint64_t seed)
{
    *w = (world){.seed = seed, .err = KAL_ERROR_INIT};
    kal_rng_seed(&w->rng, seed);
    bool fails = kal_rng_chance(&w->rng, 1, 2);
    w->shared = kal_rng_chance(&w->rng, 1, 3);
    w->by_user = !w->shared && kal_rng_chance(&w->rng, 1, 2);
    w->mem = kal_kv_open_mem();
    w->db.kv = kal_kv_open_fault(w->mem, seed, fails ? 8 : 0, 0);
    kal_kv_fault_enable(w->db.kv, false);
    w->segments = kal_segment_backend_open_mem(seed, fails ? 20 : 0);
    w->db.sched = kal_sched_sim(seed);
    kal_sim_clock_init(&w->db.clock, 1700000000000000);
    OK(w, kal_catalog_open(w->db.kv, &w->db.clock.clock, NULL, &w->db.catalog, &w->err));
    w->db.worker = kal_catalog_worker_open(w->db.catalog);
    create_table(w);
    open_tables(w);
    find_table(w);
    kal_kv_fault_enable(w->db.kv, true);
}

static void close_views(world *w)
{
    for (size_t i = 0; i < VIEWS; i++) {
        if (w->views[i].is_open)
            kal_view_close(&w->views[i].view);
        w->views[i].is_open = false;
    }
}

static void close_world(world *w)
{
    close_views(w);
    kal_table_release(w->table);
    testing_close(&w->db);
    kal_segment_backend_close(w->segments);
}

/* ---- reading ---- */

static uint64_t user_of(const world *w, size_t user)
{
    return w->shared ? 0 : user + 1;
}

static size_t users(const world *w)
{
    return w->shared ? 1 : USERS;
}

static kal_status read_scan(world *w, kal_view *view, unsigned *rows, kal_error *err)
{
    kal_scan_range all = {0};
    kal_scan *scan = NULL;
    kal_row row;
    kal_bytes key;

    memset(rows, 0, KEYS * sizeof *rows);
    KAL_TRY(kal_scan_open(view, w->table, &all, &scan, err));
    kal_status status = kal_scan_next(scan, &row, &key, err);
    for (; status == KAL_OK; status = kal_scan_next(scan, &row, &key, err)) {
        kal_value id;
        kal_value number;
        kal_value in_key;
        kal_arena arena;
        kal_row_get(&row, 0, &id);
        kal_row_get(&row, 1, &number);
        kal_arena_init(&arena, NULL);
        OK(w, kal_key_decode(&key, id.type, &arena, &in_key, &w->err));
        kal_arena_release(&arena);
        if (in_key.integer != id.integer || id.integer < 0 || id.integer >= KEYS)
            FAIL(w, "a row has the key of another");
        if (rows[id.integer] != 0)
            FAIL(w, "row %lld is there twice", (long long)id.integer);
        rows[id.integer] = (unsigned)number.integer;
    }
    kal_scan_close(scan);
    return status == KAL_END ? KAL_OK : status;
}

static kal_status read_point(world *w, kal_view *view, int64_t id, unsigned *number,
                             uint64_t *seq_out, kal_error *err)
{
    kal_arena arena;
    kal_buf key;
    kal_row row;
    kal_value value;

    *number = 0;
    kal_arena_init(&arena, NULL);
    kal_buf_init(&key, NULL);
    kal_status status =
        kal_view_get(view, w->table, testing_key(w->table, id, &key), false, &arena, &row, err);
    if (status == KAL_OK) {
        kal_row_get(&row, 1, &value);
        *number = (unsigned)value.integer;
        *seq_out = row.seq;
    }
    kal_buf_release(&key);
    kal_arena_release(&arena);
    return status == KAL_NOT_FOUND ? KAL_OK : status;
}

/* Segments fail to be read now and then. */
static bool failed_read(world *w, kal_status status, const kal_error *err)
{
    if (status == KAL_OK)
        return false;
    if (status != KAL_IO)
        FAIL(w, "reading: %s: %s", kal_status_name(status), err->message);
    return true;
}

static void check_view(world *w, kal_view *view, const model *expected)
{
    kal_error err = KAL_ERROR_INIT;
    unsigned rows[KEYS];
    size_t user = kal_rng_below(&w->rng, users(w));
    int64_t id = (int64_t)kal_rng_below(&w->rng, KEYS);
    unsigned number = 0;
    uint64_t seq = 0;

    view->user_no = user_of(w, user);
    if (failed_read(w, read_scan(w, view, rows, &err), &err))
        return;
    for (size_t k = 0; k < KEYS; k++) {
        if (rows[k] != expected->rows[user][k])
            FAIL(w, "user %zu: row %zu is %u instead of %u", user, k, rows[k],
                 expected->rows[user][k]);
    }
    if (failed_read(w, read_point(w, view, id, &number, &seq, &err), &err))
        return;
    if (number != expected->rows[user][id])
        FAIL(w, "user %zu: row %lld by key is %u instead of %u", user, (long long)id, number,
             expected->rows[user][id]);
}

static void check_now(world *w)
{
    kal_view view;
    if (w->unknown)
        return;
    kal_view_open(&view, w->db.tables, 1, NULL);
    check_view(w, &view, &w->now);
    kal_view_close(&view);
}

static void check_old_views(world *w)
{
    for (size_t i = 0; i < VIEWS; i++) {
        if (w->views[i].is_open)
            check_view(w, &w->views[i].view, &w->views[i].rows);
    }
}

static void turn_view(world *w)
{
    old_view *v = &w->views[kal_rng_below(&w->rng, VIEWS)];
    if (v->is_open)
        kal_view_close(&v->view);
    v->is_open = !v->is_open;
    if (v->is_open) {
        kal_view_open(&v->view, w->db.tables, 1, NULL);
        v->rows = w->now;
    }
}

/* ---- power loss ---- */

static bool is_model(world *w, const model *expected)
{
    kal_error err = KAL_ERROR_INIT;
    kal_view view;
    bool same = true;

    kal_view_open(&view, w->db.tables, 1, NULL);
    for (size_t user = 0; user < users(w); user++) {
        unsigned rows[KEYS];
        kal_status status;
        view.user_no = user_of(w, user);
        do
            status = read_scan(w, &view, rows, &err);
        while (failed_read(w, status, &err));
        same = same && memcmp(rows, expected->rows[user], sizeof rows) == 0;
    }
    kal_view_close(&view);
    return same;
}

static void lose_power(world *w)
{
    close_views(w);
    kal_kv_fault_enable(w->db.kv, false);
    kal_table_release(w->table);
    kal_tables_close(w->db.tables);
    kal_catalog_worker_close(w->db.worker);
    kal_catalog_close(w->db.catalog);
    kal_kv_mem_crash(w->mem);
    kal_segment_backend_mem_lose_power(w->segments);
    OK(w, kal_catalog_open(w->db.kv, &w->db.clock.clock, NULL, &w->db.catalog, &w->err));
    w->db.worker = kal_catalog_worker_open(w->db.catalog);
    open_tables(w);
    find_table(w);
    if (w->unknown && !is_model(w, &w->now))
        w->now = w->maybe;
    w->unknown = false;
    if (!is_model(w, &w->now))
        FAIL(w, "after a loss of power the rows are others");
    kal_kv_fault_enable(w->db.kv, true);
}

/* ---- writing ---- */

typedef struct put_context {
    unsigned number;     /* 0: delete */
    bool only_new;       /* INSERT: KAL_EXISTS when there is one */
    kal_value values[2]; /* of the row */
} put_context;

static kal_status resolve(void *context, const kal_row *current, kal_arena *arena,
                          kal_write_effect *effect_out, kal_error *err)
{
    put_context *put = context;
    (void)arena;
    if (put->only_new && current != NULL)
        return kal_error_set(err, KAL_EXISTS, "there is one");
    *effect_out =
        (kal_write_effect){put->number == 0 ? KAL_WRITE_DELETE : KAL_WRITE_PUT, put->values};
    return KAL_OK;
}

/* One operation on the map; false: it fails. */
static bool apply(world *w, model *rows, size_t user, int64_t id, const put_context *put)
{
    (void)w;
    if (put->only_new && rows->rows[user][id] != 0)
        return false;
    rows->rows[user][id] = put->number;
    return true;
}

static void add_key_bound(world *w, kal_write *write, model *next, bool *fails)
{
    put_context *put = KAL_NEW(kal_write_arena(write), put_context);
    size_t user = kal_rng_below(&w->rng, users(w));
    int64_t id = (int64_t)kal_rng_below(&w->rng, KEYS);
    kal_buf key;

    put->number = kal_rng_chance(&w->rng, 1, 3) ? 0 : ++w->next_number;
    put->only_new = put->number != 0 && kal_rng_chance(&w->rng, 1, 3);
    put->values[0] = kal_value_bigint(id);
    put->values[1] = kal_value_bigint(put->number);
    kal_buf_init(&key, NULL);
    kal_write_op op = {
        .table = w->table,
        .user_no = user_of(w, user),
        .key = testing_key(w->table, id, &key),
        .resolve = resolve,
        .context = put,
        .existence_only = put->only_new,
    };
    OK(w, kal_write_add(write, &op, NULL, &w->err));
    kal_buf_release(&key);
    if (!*fails)
        *fails = !apply(w, next, user, id, put);
}

/* Changes of a transaction: read at a view, kept in an overlay. False: a segment was not readable.
 */
static bool add_prepared(world *w, kal_write *write, model *next)
{
    kal_overlay *overlay = kal_overlay_open(NULL);
    size_t count = 1 + kal_rng_below(&w->rng, OPS_MAX);
    bool read = true;
    kal_view view;
    kal_arena arena;
    kal_buf key;

    kal_arena_init(&arena, NULL);
    kal_buf_init(&key, NULL);
    kal_view_open(&view, w->db.tables, 1, overlay);
    for (size_t i = 0; i < count && read; i++) {
        size_t user = kal_rng_below(&w->rng, users(w));
        int64_t id = (int64_t)kal_rng_below(&w->rng, KEYS);
        kal_error err = KAL_ERROR_INIT;
        kal_row row;
        view.user_no = user_of(w, user);
        kal_bytes bytes = testing_key(w->table, id, &key);
        kal_status status = kal_view_get(&view, w->table, bytes, false, &arena, &row, &err);
        if (status != KAL_NOT_FOUND && failed_read(w, status, &err)) {
            read = false;
            break;
        }
        const kal_row *current = status == KAL_OK ? &row : NULL;
        if (current != NULL && kal_rng_chance(&w->rng, 1, 3)) {
            OK(w, kal_overlay_delete(overlay, &view, w->table, bytes, current, &w->err));
            next->rows[user][id] = 0;
        } else {
            kal_value values[2] = {kal_value_bigint(id), kal_value_bigint(++w->next_number)};
            OK(w, kal_overlay_put(overlay, &view, w->table, bytes, current, values, &w->err));
            next->rows[user][id] = w->next_number;
        }
        unsigned rows[KEYS];
        if (failed_read(w, read_scan(w, &view, rows, &err), &err))
            read = false;
        else if (memcmp(rows, next->rows[user], sizeof rows) != 0)
            FAIL(w, "a transaction does not see its own changes");
    }
    kal_view_close(&view);
    if (read)
        OK(w, kal_overlay_into_write(overlay, write, false, &w->err));
    kal_overlay_close(overlay);
    kal_buf_release(&key);
    kal_arena_release(&arena);
    return read;
}

static void write_rows(world *w)
{
    kal_error err = KAL_ERROR_INIT;
    kal_write *write = kal_write_open(w->db.tables, NULL);
    model next = w->now;
    bool fails = false;
    bool ready = true;
    kal_status status = KAL_OK;

    if (kal_rng_chance(&w->rng, 1, 3)) {
        ready = add_prepared(w, write, &next);
    } else {
        bool many = kal_rng_chance(&w->rng, 1, 4);
        size_t count = 1 + kal_rng_below(&w->rng, many ? OPS_MANY : OPS_MAX);
        for (size_t i = 0; i < count; i++)
            add_key_bound(w, write, &next, &fails);
    }
    if (ready)
        status = kal_write_commit(write, &err);
    kal_write_close(write);
    if (!ready || (status == KAL_EXISTS && fails))
        return;
    if (status == KAL_OK && !fails) {
        w->now = next;
        return;
    }
    if (status != KAL_IO)
        FAIL(w, "write (%s): %s: %s", fails ? "fails" : "good", kal_status_name(status),
             err.message);
    /* A segment that cannot be read is no harm; a store that failed has to be opened again. */
    w->maybe = fails ? w->now : next;
    w->unknown = true;
}

/* ---- flushing ---- */

static kal_status amid_flush(void *context, kal_error *err)
{
    world *w = context;
    size_t count = kal_rng_below(&w->rng, 4);

    for (size_t i = 0; i < count && !w->unknown; i++)
        write_rows(w);
    check_now(w);
    check_old_views(w);
    if (w->unknown)
        return kal_error_set(err, KAL_IO, "the store failed meanwhile");
    return kal_rng_chance(&w->rng, 1, 20) ? kal_error_set(err, KAL_CANCELLED, "enough") : KAL_OK;
}

static kal_flush_args flush_args(world *w)
{
    return (kal_flush_args){
        .tables = w->db.tables,
        .actor = &ROOT,
        .segment_rows_max = 1 + kal_rng_below(&w->rng, 12),
        .check = amid_flush,
        .context = w,
    };
}

static void flush(world *w)
{
    kal_error err = KAL_ERROR_INIT;
    kal_flush_args args = flush_args(w);
    kal_flush_result result;

    kal_status status = kal_table_flush(&args, w->table, &result, &err);
    if (status != KAL_OK && status != KAL_IO && status != KAL_CANCELLED)
        FAIL(w, "flush: %s: %s", kal_status_name(status), err.message);
}

static void compact(world *w)
{
    kal_error err = KAL_ERROR_INIT;
    kal_flush_args args = flush_args(w);
    kal_flush_result result;

    args.segment_rows_max = 1 + kal_rng_below(&w->rng, 40);
    kal_status status =
        kal_table_compact(&args, w->table, kal_rng_chance(&w->rng, 1, 2), &result, &err);
    if (status != KAL_OK && status != KAL_IO && status != KAL_CANCELLED)
        FAIL(w, "compaction: %s: %s", kal_status_name(status), err.message);
}

static void sweep(world *w)
{
    kal_error err = KAL_ERROR_INIT;
    kal_flush_args args = flush_args(w);
    uint64_t removed = 0;

    kal_status status = kal_tables_sweep(&args, &removed, &err);
    if (status != KAL_OK && status != KAL_IO && status != KAL_BUSY)
        FAIL(w, "sweep: %s: %s", kal_status_name(status), err.message);
}

static bool is_stopped(world *w)
{
    kal_error err = KAL_ERROR_INIT;
    return kal_kv_sync(w->mem, &err) != KAL_OK;
}

static void take_step(world *w)
{
    unsigned what = (unsigned)kal_rng_below(&w->rng, 100);

    if (what < 60)
        write_rows(w);
    else if (what < 75)
        flush(w);
    else if (what < 82)
        compact(w);
    else if (what < 86)
        sweep(w);
    else if (what < 95)
        turn_view(w);
    else
        lose_power(w);
    if (w->unknown || is_stopped(w))
        lose_power(w);
    check_now(w);
    check_old_views(w);
}

/* At the end, without failures: everything is flushed, and nothing is left but what is needed. */
static void check_sweep(world *w)
{
    kal_flush_args args = flush_args(w);
    kal_flush_result result;
    kal_manifest *manifest = NULL;
    uint64_t removed = 0;
    kal_status status;

    args.check = NULL;
    close_views(w);
    kal_kv_fault_enable(w->db.kv, false);
    do
        status = kal_table_flush(&args, w->table, &result, &w->err);
    while (status == KAL_IO);
    OK(w, status);
    kal_hot_state hot;
    OK(w, kal_tables_hot_state(w->db.tables, w->table, 1, &hot, &w->err));
    if (hot.row_count != 0 || hot.has_frozen)
        FAIL(w, "after the last flush there are hot rows%s", hot.has_frozen ? ", frozen" : "");
    do
        status = kal_tables_sweep(&args, &removed, &w->err);
    while (status == KAL_IO);
    OK(w, status);
    OK(w,
       kal_manifests_newest(w->db.tables->manifests, w->table->def->table_id, &manifest, &w->err));
    size_t count = manifest == NULL ? 0 : manifest->segment_count;
    for (size_t i = 0; i < count && w->by_user; i++) {
        const kal_segment_info *info = &manifest->segments[i]->info;
        if (info->user_min != info->user_max)
            FAIL(w, "a segment has the rows of users %llu to %llu",
                 (unsigned long long)info->user_min, (unsigned long long)info->user_max);
    }
    if (manifest != NULL && manifest->head.frozen_hot_id != 0)
        FAIL(w, "there is a frozen space left");
    kal_manifest_release(manifest);
    if (kal_segment_backend_mem_count(w->segments) != count)
        FAIL(w, "there are %zu segments, the manifest has %zu",
             kal_segment_backend_mem_count(w->segments), count);
    if (!is_model(w, &w->now))
        FAIL(w, "after the last flush the rows are others");
}

static void run(uint64_t seed)
{
    static world w;

    open_world(&w, seed);
    for (w.step = 0; w.step < STEPS; w.step++)
        take_step(&w);
    check_sweep(&w);
    close_world(&w);
}

static void rows_are_those_of_the_map(void **state)
{
    const char *one = getenv("KAL_TEST_SEED");
    const char *many = getenv("KAL_TEST_COUNT");
    uint64_t first = one == NULL ? 1 : strtoull(one, NULL, 10);
    uint64_t count = many != NULL ? strtoull(many, NULL, 10) : one == NULL ? RUNS : 1;

    (void)state;
    for (uint64_t seed = first; seed < first + count; seed++)
        run(seed);
}

/* ---- a frozen space that cannot be read ---- */

enum {
    FROZEN_ROWS = 400,
    MOVED_ROWS = 300,
    MOVED_ROW = 200,
    ROW_LEFT = 350,
    ROWS_PER_WRITE = 50,
    LOWEST_BYTES_MAX = 2000
};

/* By the id; so that it is found in a data file, compressed as that is. */
static int64_t number_of(int64_t id)
{
    kal_rng rng;
    kal_rng_seed(&rng, (uint64_t)id);
    return (int64_t)(kal_rng_next(&rng) >> 2);
}

/* kv: taken. */
static void open_catalog(world *w, kal_kv *kv)
{
    w->db.kv = kv;
    OK(w, kal_catalog_open(w->db.kv, &w->db.clock.clock, NULL, &w->db.catalog, &w->err));
    w->db.worker = kal_catalog_worker_open(w->db.catalog);
}

/* In which nothing fails. */
static void open_quiet_world(world *w, kal_kv *kv)
{
    *w = (world){.err = KAL_ERROR_INIT};
    w->segments = kal_segment_backend_open_mem(1, 0);
    w->db.sched = kal_sched_sim(1);
    kal_sim_clock_init(&w->db.clock, 1700000000000000);
    open_catalog(w, kv);
    create_table(w);
    open_tables(w);
    find_table(w);
}

static void reopen_rocks_world(world *w, const testing_dir *dir)
{
    kal_table_release(w->table);
    kal_tables_close(w->db.tables);
    kal_catalog_worker_close(w->db.worker);
    kal_catalog_close(w->db.catalog);
    kal_kv_close(w->db.kv);
    open_catalog(w, testing_open_rocks(dir));
    open_tables(w);
    find_table(w);
}

static void put_row(world *w, kal_write *write, int64_t id)
{
    put_context *put = KAL_NEW(kal_write_arena(write), put_context);
    kal_buf key;

    put->number = 1;
    put->values[0] = kal_value_bigint(id);
    put->values[1] = kal_value_bigint(number_of(id));
    kal_buf_init(&key, NULL);
    kal_write_op op = {.table = w->table,
                       .user_no = 1,
                       .key = testing_key(w->table, id, &key),
                       .resolve = resolve,
                       .context = put};
    OK(w, kal_write_add(write, &op, NULL, &w->err));
    kal_buf_release(&key);
}

static void put_rows(world *w, int64_t first, int64_t count)
{
    kal_write *write = kal_write_open(w->db.tables, NULL); /* owned */
    for (int64_t id = first; id < first + count; id++)
        put_row(w, write, id);
    OK(w, kal_write_commit(write, &w->err));
    kal_write_close(write);
}

static uint64_t bytes_in_files(world *w)
{
    uint8_t bounds[8];
    kal_bytes lower;
    kal_bytes upper;
    uint64_t bytes = 0;

    kal_kv_number_bounds(w->table->hot_id, bounds, &lower, &upper);
    OK(w, kal_kv_approximate_bytes(w->db.kv, KAL_KV_ROWS, lower, upper, &bytes, &w->err));
    return bytes;
}

/* The first and the last row in a file below all others: RocksDB rewrites the lowest one as soon as
 * no snapshot needs its deleted rows. */
static void put_lowest_rows(world *w)
{
    uint8_t bounds[8];
    kal_bytes lower;
    kal_bytes upper;

    put_rows(w, 0, 1);
    put_rows(w, FROZEN_ROWS - 1, 1);
    kal_kv_number_bounds(w->table->hot_id, bounds, &lower, &upper);
    OK(w, kal_kv_compact(w->db.kv, KAL_KV_ROWS, lower, upper, &w->err));
}

static kal_status stop_behind_first(void *context, kal_error *err)
{
    world *w = context;
    kal_manifest *manifest = NULL; /* owned */

    OK(w,
       kal_manifests_newest(w->db.tables->manifests, w->table->def->table_id, &manifest, &w->err));
    size_t count = manifest == NULL ? 0 : manifest->segment_count;
    kal_manifest_release(manifest);
    return count == 0 ? KAL_OK : kal_error_set(err, KAL_CANCELLED, "enough");
}

/* Frozen rows, those that a step of a flush has moved, and their deletion in one data file. Returns
 * how many rows there are. */
static int64_t flush_one_step(world *w)
{
    kal_error err = KAL_ERROR_INIT;
    kal_flush_args args = {.tables = w->db.tables,
                           .actor = &ROOT,
                           .segment_rows_max = MOVED_ROWS,
                           .check = stop_behind_first,
                           .context = w};
    kal_flush_result result;
    kal_view view;
    int64_t count = FROZEN_ROWS;

    put_lowest_rows(w);
    for (int64_t id = 1; id < FROZEN_ROWS - 1; id += ROWS_PER_WRITE)
        put_rows(w, id, id + ROWS_PER_WRITE < FROZEN_ROWS ? ROWS_PER_WRITE : FROZEN_ROWS - 1 - id);
    kal_view_open(&view, w->db.tables, 1, NULL); /* keeps in the file what the step deletes */
    assert_int_equal(kal_table_flush(&args, w->table, &result, &err), KAL_CANCELLED);
    assert_int_equal(result.row_count, MOVED_ROWS);
    assert_in_range(bytes_in_files(w), 1, LOWEST_BYTES_MAX);
    for (; bytes_in_files(w) <= LOWEST_BYTES_MAX; count += ROWS_PER_WRITE)
        put_rows(w, count, ROWS_PER_WRITE);
    kal_view_close(&view);
    return count;
}

static void flip_row(const testing_dir *dir, int64_t id)
{
    uint8_t number[8];
    kal_store_le64(number, (uint64_t)number_of(id));
    assert_true(testing_flip(dir, kal_bytes_of(number, sizeof number)));
}

static void check_rows(world *w, int64_t count)
{
    kal_scan_range all = {.no_keys = true};
    kal_scan *scan = NULL;
    kal_view view;
    kal_row row;
    int64_t seen = 0;
    kal_status status;

    kal_view_open(&view, w->db.tables, 1, NULL);
    OK(w, kal_scan_open(&view, w->table, &all, &scan, &w->err));
    while ((status = kal_scan_next(scan, &row, NULL, &w->err)) == KAL_OK) {
        kal_value id;
        kal_value number;
        kal_row_get(&row, 0, &id);
        kal_row_get(&row, 1, &number);
        assert_int_equal(number.integer, number_of(id.integer));
        seen++;
    }
    assert_int_equal(status, KAL_END);
    assert_int_equal(seen, count);
    kal_scan_close(scan);
    kal_view_close(&view);
}

/* As backups and exports read it. */
static kal_status copy_rows(world *w)
{
    kal_scan *scan = NULL;
    kal_error err = KAL_ERROR_INIT;
    kal_view view;
    kal_row row;

    kal_view_open(&view, w->db.tables, 0, NULL);
    OK(w, kal_scan_open_all_users(&view, w->table, true, &scan, &w->err));
    kal_status status = KAL_OK;
    while (status == KAL_OK)
        status = kal_scan_next(scan, &row, NULL, &err);
    kal_scan_close(scan);
    kal_view_close(&view);
    return status;
}

/* As a SELECT reads it; KAL_END: all rows there are. */
static kal_status select_rows(world *w, bool reverse, int64_t count)
{
    kal_scan_range all = {.no_keys = true, .reverse = reverse};
    kal_scan *scan = NULL;
    kal_error err = KAL_ERROR_INIT;
    kal_view view;
    kal_row row;
    int64_t seen = -1;

    kal_view_open(&view, w->db.tables, 1, NULL);
    OK(w, kal_scan_open(&view, w->table, &all, &scan, &w->err));
    kal_status status = KAL_OK;
    for (; status == KAL_OK; seen++)
        status = kal_scan_next(scan, &row, NULL, &err);
    if (status == KAL_END)
        assert_int_equal(seen, count);
    kal_scan_close(scan);
    kal_view_close(&view);
    return status;
}

/* Goal: a flush that cannot read a frozen row ends with an error and loses no row, nor does a copy
 * of the table or a SELECT; also where RocksDB would forget the error: behind rows that were
 * deleted as a range. Method: a flush ends behind its first step; a bit of a row, one that was
 * moved or one that is left, is flipped in the data file, and later flipped back. */
static void damage_and_repair(int64_t id, kal_status expected)
{
    static world w;
    testing_dir dir = testing_dir_make();
    kal_flush_result result;

    open_quiet_world(&w, testing_open_rocks(&dir));
    int64_t count = flush_one_step(&w);
    flip_row(&dir, id);
    reopen_rocks_world(&w, &dir);
    assert_int_equal(copy_rows(&w), expected);
    assert_int_equal(select_rows(&w, false, count), expected);
    assert_int_equal(select_rows(&w, true, count), expected);
    kal_flush_args args = {.tables = w.db.tables, .actor = &ROOT};
    if (expected == KAL_CORRUPT)
        assert_int_equal(kal_table_flush(&args, w.table, &result, &w.err), KAL_CORRUPT);
    flip_row(&dir, id);
    reopen_rocks_world(&w, &dir);
    assert_int_equal(copy_rows(&w), KAL_END);
    check_rows(&w, count);
    args.tables = w.db.tables;
    OK(&w, kal_table_flush(&args, w.table, &result, &w.err));
    check_rows(&w, count);
    close_world(&w);
    testing_dir_remove(&dir);
}

static void unreadable_rows_are_not_lost(void **state)
{
    (void)state;
    damage_and_repair(ROW_LEFT, KAL_CORRUPT);
}

/* Of those nobody needs the hot copy any more. */
static void moved_rows_need_not_be_readable(void **state)
{
    (void)state;
    damage_and_repair(MOVED_ROW, KAL_END);
}

/* A record of format 1, as a server left it that did not say how far the space was moved. */
static void forget_moved_to(world *w)
{
    enum { KIND_MANIFEST = 0x11, FORMAT = 1 };
    uint8_t key[5] = {KIND_MANIFEST};
    uint8_t record[17] = {FORMAT};
    kal_manifest *manifest = NULL; /* owned */
    kal_catalog_change *change = kal_catalog_begin(w->db.catalog, &ROOT);

    OK(w,
       kal_manifests_newest(w->db.tables->manifests, w->table->def->table_id, &manifest, &w->err));
    kal_manifest_head head = manifest->head;
    assert_true(head.knows_moved && head.moved_to.len > 0);
    head.version++;
    kal_store_be32(key + 1, w->table->def->table_id);
    kal_store_le64(record + 1, head.version);
    kal_store_le32(record + 9, head.active_hot_id);
    kal_store_le32(record + 13, head.frozen_hot_id);
    OK(w, kal_catalog_put_manifest(change, w->table->def->table_id, &head, &w->err));
    kal_kv_batch_put(kal_catalog_change_batch(change), KAL_KV_CATALOG,
                     kal_bytes_of(key, sizeof key), kal_bytes_of(record, sizeof record));
    OK(w, kal_flush_commit(w->db.tables, change, NULL, NULL, &w->err));
    kal_manifest_release(manifest);
    OK(w,
       kal_manifests_newest(w->db.tables->manifests, w->table->def->table_id, &manifest, &w->err));
    assert_true(!manifest->head.knows_moved && manifest->head.frozen_hot_id != 0);
    kal_manifest_release(manifest);
}

static void moved_rows_of_before_stay_moved(void **state)
{
    static world w;
    testing_dir dir = testing_dir_make();
    kal_flush_result result;

    (void)state;
    open_quiet_world(&w, testing_open_rocks(&dir));
    int64_t count = flush_one_step(&w);
    forget_moved_to(&w);
    assert_int_equal(select_rows(&w, false, count), KAL_END);
    reopen_rocks_world(&w, &dir);
    assert_int_equal(select_rows(&w, true, count), KAL_END);
    kal_flush_args args = {.tables = w.db.tables, .actor = &ROOT, .segment_rows_max = 50};
    OK(&w, kal_table_flush(&args, w.table, &result, &w.err));
    assert_int_equal(result.row_count, count - MOVED_ROWS);
    check_rows(&w, count);
    close_world(&w);
    testing_dir_remove(&dir);
}

/* The manifest says how far the space was moved without a key of the user's. */
static void erasing_takes_the_moved_key(void **state)
{
    static world w;
    testing_dir dir = testing_dir_make();
    kal_flush_result result;
    kal_erase_result erased;
    kal_manifest *manifest = NULL; /* owned */

    (void)state;
    open_quiet_world(&w, testing_open_rocks(&dir));
    int64_t count = flush_one_step(&w);
    const kal_flush_args args = {.tables = w.db.tables, .actor = &ROOT};
    const kal_erase_args erase = {.flush = args, .worker = w.db.worker, .user_no = 1};
    OK(&w, kal_erase_rows(&erase, &erased, &w.err));
    assert_int_equal(erased.row_count, count);
    OK(&w, kal_manifests_newest(w.db.tables->manifests, w.table->def->table_id, &manifest, &w.err));
    assert_int_equal(manifest->head.moved_to.len, KAL_COLD_KEY_PREFIX_BYTES);
    kal_manifest_release(manifest);
    assert_int_equal(select_rows(&w, false, 0), KAL_END);
    OK(&w, kal_table_flush(&args, w.table, &result, &w.err));
    assert_int_equal(result.row_count, 0);
    check_rows(&w, 0);
    close_world(&w);
    testing_dir_remove(&dir);
}

/* ---- a write that fails in the middle ---- */

static void set_dead_count(world *w, uint32_t segment_id, const char *value)
{
    uint8_t key[KAL_DEAD_COUNT_KEY_BYTES];
    kal_kv_batch *batch = kal_kv_batch_open(w->db.kv); /* owned */

    kal_store_be32(key, segment_id);
    if (value != NULL)
        kal_kv_batch_put(batch, KAL_KV_DELETED, kal_bytes_of(key, sizeof key), kal_cstr(value));
    else
        kal_kv_batch_delete(batch, KAL_KV_DELETED, kal_bytes_of(key, sizeof key));
    OK(w, kal_kv_write(w->db.kv, batch, false, &w->err));
    kal_kv_batch_close(batch);
}

typedef struct deletion {
    world *w;
    uint32_t segment_id; /* 0: nothing is damaged */
} deletion;

/* On the lane, which has read the row and not yet how many of its segment are dead. */
static kal_status damage_and_delete(void *context, const kal_row *current, kal_arena *arena,
                                    kal_write_effect *effect_out, kal_error *err)
{
    const deletion *d = context;
    (void)arena, (void)err;
    assert_non_null(current);
    if (d->segment_id != 0)
        set_dead_count(d->w, d->segment_id, "damaged");
    *effect_out = (kal_write_effect){.action = KAL_WRITE_DELETE};
    return KAL_OK;
}

static kal_status delete_row(deletion *d, int64_t id, kal_error *err)
{
    world *w = d->w;
    kal_write *write = kal_write_open(w->db.tables, NULL); /* owned */
    kal_buf key;                                           /* owned */

    kal_buf_init(&key, NULL);
    kal_write_op op = {.table = w->table,
                       .user_no = 1,
                       .key = testing_key(w->table, id, &key),
                       .resolve = damage_and_delete,
                       .context = d};
    OK(w, kal_write_add(write, &op, NULL, &w->err));
    kal_status status = kal_write_commit(write, err);
    kal_write_close(write);
    kal_buf_release(&key);
    return status;
}

static kal_status count_change(void *context, const kal_change *change, kal_error *err)
{
    unsigned *count = context;
    (void)change, (void)err;
    (*count)++;
    return KAL_OK;
}

/* Goal: a write that fails when it has read what it changes takes no seq: the change log has no gap
 * behind it. Method: the number of a segment's dead rows is damaged while a row of it is deleted.
 */
static void failed_writes_take_no_seq(void **state)
{
    static world w;
    kal_error err = KAL_ERROR_INIT;
    kal_flush_result result;
    kal_manifest *manifest = NULL; /* owned */
    unsigned changes = 0;
    kal_view view;

    (void)state;
    open_quiet_world(&w, kal_kv_open_mem());
    kal_flush_args args = {.tables = w.db.tables, .actor = &ROOT};
    put_rows(&w, 0, 2);
    OK(&w, kal_table_flush(&args, w.table, &result, &w.err));
    OK(&w, kal_manifests_newest(w.db.tables->manifests, w.table->def->table_id, &manifest, &w.err));
    deletion failing = {&w, manifest->segments[0]->info.segment_id};
    deletion good = {.w = &w};
    kal_manifest_release(manifest);
    assert_int_equal(delete_row(&failing, 0, &err), KAL_CORRUPT);
    set_dead_count(&w, failing.segment_id, NULL);
    put_rows(&w, 2, 1);
    OK(&w, delete_row(&good, 0, &w.err));
    kal_view_open(&view, w.db.tables, 1, NULL);
    uint16_t shard = kal_row_shard(w.table, 1);
    OK(&w, kal_view_log_scan(&view, shard, 0, count_change, &changes, &w.err));
    kal_view_close(&view);
    assert_int_equal(changes, 4);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_those_of_the_map),
        cmocka_unit_test(unreadable_rows_are_not_lost),
        cmocka_unit_test(moved_rows_need_not_be_readable),
        cmocka_unit_test(moved_rows_of_before_stay_moved),
        cmocka_unit_test(erasing_takes_the_moved_key),
        cmocka_unit_test(failed_writes_take_no_seq),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
