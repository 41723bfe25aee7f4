/*
 * STREAM tables against a list: random inserts, deletes, transactions, failing writes, steps of the
 * clock in both directions, eviction by each strategy, power loss.
 *
 * Goal: what a view shows, what is stored, its total and its order are those of a list of rows at
 * every moment. Method: seeded runs over the store in memory; a failure prints the seed, and
 * STREAM_SEED runs that one alone.
 */
#include "base/rng.h"
#include "table_testing.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    RUNS = 150,
    STEPS = 250,
    USERS = 3,
    KEYS = 6,
    ROWS_MAX = 4096,
    TTL_S = 5,
    TEXT_MAX = 40,
};
#define SECOND_US INT64_C(1000000)

typedef struct model_row {
    uint64_t user_no;
    uint8_t key[16];
    size_t key_len;
    int64_t inserted_us;
    uint64_t seq;
    unsigned number;
    uint64_t bytes;
} model_row;

typedef struct world {
    testing_db db;
    kal_rng rng;
    uint64_t seed;
    unsigned step;
    kal_table *table; /* retained */
    bool has_key;
    kal_table_options options;
    kal_arena arena;
    model_row rows[ROWS_MAX];
    size_t row_count;
    uint64_t seqs[USERS + 1]; /* of the users' shards */
    unsigned next_number;
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
            FAIL(w, "%s: %s", #call, w->err.message);                                              \
    } while (0)

/* ---- the table ---- */

static void find_table(world *w)
{
    kal_table *table = NULL;
    OK(w, kal_catalog_get_table(w->db.worker, KAL_STR("default"), KAL_STR("s"), &table, &w->err));
    w->table = kal_table_retain(table);
}

static void create_table(world *w)
{
    static const kal_principal ROOT = {.user_no = 1, .user_id = "root", .role = KAL_ROLE_SYSTEM};
    kal_column columns[] = {
        kal_column_simple("id", 1, kal_type_of(KAL_TYPE_BIGINT)),
        kal_column_simple("text", 2, kal_type_of(KAL_TYPE_TEXT)),
    };
    kal_table_definition *def = NULL;
    bool existed = false;

    columns[0].is_primary_key = w->has_key;
    columns[0].is_nullable = !w->has_key;
    OK(w, kal_table_definition_create(KAL_STR("default"), KAL_STR("s"), KAL_TABLE_STREAM, columns,
                                      2, NULL, 0, &w->options, 1, &w->arena, &def, &w->err));
    kal_catalog_change *change = kal_catalog_begin(w->db.catalog, &ROOT);
    OK(w, kal_catalog_create_table(change, def, false, &existed, &w->err));
    OK(w, kal_catalog_commit(change, &w->err));
    kal_catalog_end(change);
    find_table(w);
}

static void open_world(world *w, uint64_t seed)
{
    const kal_tables_options options = {.sync = true};
    *w = (world){.seed = seed, .err = KAL_ERROR_INIT};
    kal_rng_seed(&w->rng, seed);
    kal_arena_init(&w->arena, NULL);
    testing_open(&w->db, &options);
    w->has_key = kal_rng_chance(&w->rng, 1, 2);
    w->options = kal_table_options_stream(TTL_S);
    w->options.watermark_delay_seconds = kal_rng_below(&w->rng, 4);
    w->options.eviction_strategy = kal_rng_below(&w->rng, 3);
    w->options.max_stream_size_bytes =
        kal_rng_chance(&w->rng, 1, 4) ? 0 : kal_rng_below(&w->rng, 2000);
    create_table(w);
}

static void close_world(world *w)
{
    kal_table_release(w->table);
    testing_close(&w->db);
    kal_arena_release(&w->arena);
}

static void lose_power(world *w)
{
    const kal_tables_options options = {.sync = true};
    testing_db *db = &w->db;

    kal_table_release(w->table);
    kal_tables_close(db->tables);
    kal_catalog_worker_close(db->worker);
    kal_catalog_close(db->catalog);
    kal_kv_mem_crash(db->kv);
    OK(w, kal_catalog_open(db->kv, &db->clock.clock, NULL, &db->catalog, &w->err));
    db->worker = kal_catalog_worker_open(db->catalog);
    OK(w, kal_tables_open(db->kv, db->sched, &db->clock.clock, &options, &db->tables, &w->err));
    find_table(w);
}

/* ---- the model ---- */

static bool is_expired(const world *w, const model_row *row)
{
    return w->db.clock.now_us - row->inserted_us >= TTL_S * SECOND_US;
}

static model_row *find(world *w, uint64_t user_no, kal_bytes key)
{
    for (size_t i = 0; i < w->row_count; i++) {
        model_row *row = &w->rows[i];
        if (row->user_no == user_no && kal_bytes_equal(kal_bytes_of(row->key, row->key_len), key))
            return row;
    }
    return NULL;
}

static void remove_row(world *w, model_row *row)
{
    *row = w->rows[--w->row_count];
}

static void add_row(world *w, uint64_t user_no, kal_bytes key, unsigned number, uint64_t row_bytes)
{
    model_row *old = key.len > 0 ? find(w, user_no, key) : NULL;
    model_row row = {.user_no = user_no,
                     .inserted_us = w->db.clock.now_us,
                     .seq = ++w->seqs[user_no],
                     .number = number};

    if (old != NULL)
        remove_row(w, old);
    row.key_len = key.len > 0 ? key.len : 8;
    if (key.len > 0)
        memcpy(row.key, key.ptr, key.len);
    else
        kal_store_be64(row.key, row.seq);
    row.bytes = KAL_ROW_KEY_PREFIX_BYTES + row.key_len + 8 + row_bytes;
    if (w->row_count == ROWS_MAX)
        FAIL(w, "the model is too small");
    w->rows[w->row_count++] = row;
}

static int by_age(const void *a, const void *b)
{
    const model_row *x = a;
    const model_row *y = b;
    uint16_t x_shard = kal_shard_of_user(x->user_no);
    uint16_t y_shard = kal_shard_of_user(y->user_no);

    if (x->inserted_us != y->inserted_us)
        return x->inserted_us < y->inserted_us ? -1 : 1;
    if (x_shard != y_shard)
        return x_shard < y_shard ? -1 : 1;
    if (x->user_no != y->user_no)
        return x->user_no < y->user_no ? -1 : 1;
    return kal_bytes_compare(kal_bytes_of(x->key, x->key_len), kal_bytes_of(y->key, y->key_len));
}

static uint64_t model_bytes(const world *w)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < w->row_count; i++)
        bytes += w->rows[i].bytes;
    return bytes;
}

static void evict_from_model(world *w)
{
    const kal_table_options *o = &w->options;
    uint64_t bytes = model_bytes(w);
    int64_t limit_us = ((int64_t)o->ttl_seconds + (int64_t)o->watermark_delay_seconds) * SECOND_US;
    size_t removed = 0;

    qsort(w->rows, w->row_count, sizeof *w->rows, by_age);
    for (; removed < w->row_count; removed++) {
        const model_row *row = &w->rows[removed];
        bool by_time = o->eviction_strategy != KAL_EVICTION_SIZE_BASED &&
                       w->db.clock.now_us - row->inserted_us >= limit_us;
        bool by_size = o->eviction_strategy != KAL_EVICTION_TIME_BASED &&
                       o->max_stream_size_bytes > 0 && bytes > o->max_stream_size_bytes;
        if (!by_time && !by_size)
            break;
        bytes -= row->bytes;
    }
    memmove(w->rows, w->rows + removed, (w->row_count - removed) * sizeof *w->rows);
    w->row_count -= removed;
}

/* ---- steps ---- */

typedef struct new_row {
    kal_value values[2];
    char text[TEXT_MAX];
    bool refuse;
} new_row;

static kal_status insert_row(void *context, const kal_row *current, kal_arena *arena,
                             kal_write_effect *effect_out, kal_error *err)
{
    const new_row *row = context;
    (void)arena;
    if (row->refuse)
        return kal_error_set(err, KAL_INVALID, "refused by the test");
    if (current != NULL)
        return kal_error_set(err, KAL_EXISTS, "the row is there");
    *effect_out = (kal_write_effect){KAL_WRITE_PUT, row->values};
    return KAL_OK;
}

static kal_status delete_row(void *context, const kal_row *current, kal_arena *arena,
                             kal_write_effect *effect_out, kal_error *err)
{
    (void)context, (void)arena, (void)err;
    *effect_out = (kal_write_effect){current == NULL ? KAL_WRITE_NONE : KAL_WRITE_DELETE, NULL};
    return KAL_OK;
}

static uint64_t any_user(world *w)
{
    return 1 + kal_rng_below(&w->rng, USERS);
}

static uint64_t encoded_bytes(world *w, const new_row *row)
{
    kal_buf buf; /* owned */
    kal_buf_init(&buf, NULL);
    OK(w, kal_row_encode(&w->table->layout, 1, 0, row->values, &buf, &w->err));
    uint64_t bytes = buf.len;
    kal_buf_release(&buf);
    return bytes;
}

/* One to three inserts, of which one may fail: then none is made. */
static void step_insert(world *w)
{
    new_row rows[3];
    uint64_t users[3];
    kal_bytes keys[3] = {{0}};
    size_t count = 1 + kal_rng_below(&w->rng, 3);
    bool in_the_way = false;
    kal_write *write = kal_write_open(w->db.tables, NULL); /* owned */

    for (size_t i = 0; i < count; i++) {
        unsigned number = w->has_key ? (unsigned)kal_rng_below(&w->rng, KEYS) : w->next_number++;
        size_t len = kal_rng_below(&w->rng, TEXT_MAX);
        users[i] = any_user(w);
        memset(rows[i].text, 'x', sizeof rows[i].text);
        rows[i].values[0] = kal_value_bigint(number);
        rows[i].values[1] = kal_value_text(kal_bytes_of(rows[i].text, len));
        rows[i].refuse = kal_rng_chance(&w->rng, 1, 20);
        if (w->has_key) {
            kal_buf key; /* owned */
            kal_buf_init(&key, NULL);
            OK(w, kal_table_key(w->table, rows[i].values, &key, &w->err));
            keys[i] = kal_arena_copy(&w->arena, kal_buf_bytes(&key));
            kal_buf_release(&key);
            const model_row *there = find(w, users[i], keys[i]);
            in_the_way = in_the_way || (there != NULL && !is_expired(w, there));
            for (size_t k = 0; k < i; k++)
                in_the_way =
                    in_the_way || (users[k] == users[i] && kal_bytes_equal(keys[k], keys[i]));
        }
        in_the_way = in_the_way || rows[i].refuse;
        kal_write_op op = {.table = w->table,
                           .user_no = users[i],
                           .key = keys[i],
                           .resolve = insert_row,
                           .context = &rows[i]};
        OK(w, kal_write_add(write, &op, NULL, &w->err));
    }
    kal_status status = kal_write_commit(write, &w->err);
    if ((status == KAL_OK) == in_the_way)
        FAIL(w, "insert answers %s: %s", kal_status_name(status), w->err.message);
    for (size_t i = 0; i < count && status == KAL_OK; i++)
        add_row(w, users[i], keys[i], (unsigned)rows[i].values[0].integer,
                encoded_bytes(w, &rows[i]));
    kal_write_close(write);
}

static void step_delete(world *w)
{
    kal_write *write = kal_write_open(w->db.tables, NULL); /* owned */
    model_row *row = NULL;

    if (w->row_count > 0) {
        row = &w->rows[kal_rng_below(&w->rng, w->row_count)];
        kal_write_op op = {.table = w->table,
                           .user_no = row->user_no,
                           .key = kal_bytes_of(row->key, row->key_len),
                           .resolve = delete_row};
        OK(w, kal_write_add(write, &op, NULL, &w->err));
        OK(w, kal_write_commit(write, &w->err));
        bool deleted = kal_write_op_at(write, 0)->applied == KAL_WRITE_DELETE;
        if (deleted == is_expired(w, row))
            FAIL(w, "a row that is %s was %s", is_expired(w, row) ? "too old" : "there",
                 deleted ? "deleted" : "not deleted");
        if (deleted) {
            w->seqs[row->user_no]++;
            remove_row(w, row);
        }
    }
    kal_write_close(write);
}

/* A transaction that deletes one row it sees and inserts two. */
static void step_transaction(world *w)
{
    uint64_t user_no = any_user(w);
    kal_overlay *overlay = kal_overlay_open(NULL);         /* owned */
    kal_write *write = kal_write_open(w->db.tables, NULL); /* owned */
    kal_scan_range all = {0};
    kal_scan *scan = NULL;
    kal_view view;
    kal_row current;
    kal_bytes key;
    kal_bytes deleted = {0};
    unsigned numbers[2];
    uint64_t bytes[2];

    kal_view_open(&view, w->db.tables, user_no, overlay);
    OK(w, kal_scan_open(&view, w->table, &all, &scan, &w->err));
    if (kal_scan_next(scan, &current, &key, &w->err) == KAL_OK) {
        deleted = kal_arena_copy(&w->arena, key);
        kal_scan_close(scan);
        OK(w, kal_view_get(&view, w->table, deleted, false, &w->arena, &current, &w->err));
        OK(w, kal_overlay_delete(overlay, &view, w->table, deleted, &current, &w->err));
    } else {
        kal_scan_close(scan);
    }
    for (int i = 0; i < 2 && !w->has_key; i++) {
        new_row row = {.values = {kal_value_bigint(w->next_number), kal_value_text(KAL_STR("t"))}};
        numbers[i] = w->next_number++;
        bytes[i] = encoded_bytes(w, &row);
        key = kal_overlay_arrival_key(overlay, &w->arena);
        OK(w, kal_overlay_put(overlay, &view, w->table, key, NULL, row.values, &w->err));
        OK(w, kal_view_get(&view, w->table, key, false, &w->arena, &current, &w->err));
    }
    OK(w, kal_overlay_into_write(overlay, write, false, &w->err));
    kal_view_close(&view);
    if (kal_write_op_count(write) > 0)
        OK(w, kal_write_commit(write, &w->err));
    if (deleted.len > 0) {
        w->seqs[user_no]++;
        remove_row(w, find(w, user_no, deleted));
    }
    for (int i = 0; i < 2 && !w->has_key; i++)
        add_row(w, user_no, (kal_bytes){0}, numbers[i], bytes[i]);
    kal_write_close(write);
    kal_overlay_close(overlay);
}

static void step_evict(world *w)
{
    size_t rows_max = 1 + kal_rng_below(&w->rng, 8);
    size_t removed = rows_max;
    size_t all = 0;
    size_t before = w->row_count;

    while (removed == rows_max) {
        OK(w, kal_stream_evict(w->db.tables, w->table, rows_max, &removed, &w->err));
        all += removed;
    }
    evict_from_model(w);
    if (all != before - w->row_count)
        FAIL(w, "%zu rows were evicted, not %zu", all, before - w->row_count);
}

static void step_clock(world *w)
{
    if (kal_rng_chance(&w->rng, 1, 8)) { /* somebody sets it back */
        w->db.clock.now_us -= (int64_t)kal_rng_below(&w->rng, 3 * (uint64_t)SECOND_US);
        return;
    }
    kal_sim_clock_advance(&w->db.clock, (int64_t)kal_rng_below(&w->rng, 2 * (uint64_t)SECOND_US));
}

/* ---- checks ---- */

static void check_user(world *w, uint64_t user_no)
{
    kal_scan_range all = {.reverse = kal_rng_chance(&w->rng, 1, 2)};
    kal_scan *scan = NULL;
    kal_view view;
    kal_row row;
    kal_bytes key;
    kal_status status = KAL_OK;
    size_t seen = 0;
    size_t expected = 0;

    kal_view_open(&view, w->db.tables, user_no, NULL);
    OK(w, kal_scan_open(&view, w->table, &all, &scan, &w->err));
    while ((status = kal_scan_next(scan, &row, &key, &w->err)) == KAL_OK) {
        const model_row *known = find(w, user_no, key);
        kal_value number;
        if (known == NULL || is_expired(w, known))
            FAIL(w, "user %llu sees a row that is %s", (unsigned long long)user_no,
                 known == NULL ? "gone" : "too old");
        kal_row_get(&row, 0, &number);
        if (row.seq != known->seq || number.integer != known->number)
            FAIL(w, "a row has seq %llu, not %llu", (unsigned long long)row.seq,
                 (unsigned long long)known->seq);
        seen++;
    }
    if (status != KAL_END)
        FAIL(w, "scan: %s", w->err.message);
    kal_scan_close(scan);
    for (size_t i = 0; i < w->row_count; i++) {
        const model_row *known = &w->rows[i];
        if (known->user_no != user_no)
            continue;
        expected += !is_expired(w, known);
        status = kal_view_get(&view, w->table, kal_bytes_of(known->key, known->key_len), false,
                              &w->arena, &row, &w->err);
        if (status != (is_expired(w, known) ? KAL_NOT_FOUND : KAL_OK))
            FAIL(w, "a row is read by its key as %s", kal_status_name(status));
    }
    if (seen != expected)
        FAIL(w, "user %llu sees %zu rows, not %zu", (unsigned long long)user_no, seen, expected);
    kal_view_close(&view);
}

/* Rows, total and order say the same. */
static void check_stored(world *w)
{
    kal_stream_total total = {0};
    kal_kv_range range = {.family = KAL_KV_STREAM};
    kal_kv_iter *iter = NULL;
    kal_bytes key;
    kal_bytes value;
    size_t entries = 0;

    kal_status status = kal_stream_next(w->db.tables, 0, &total, &w->err);
    if (status != (w->row_count == 0 ? KAL_END : KAL_OK))
        FAIL(w, "the total is %s", kal_status_name(status));
    if (status == KAL_OK &&
        (total.row_count != w->row_count || total.bytes != model_bytes(w) ||
         total.table_id != w->table->def->table_id || total.hot_id != w->table->hot_id))
        FAIL(w, "the total is %llu rows of %llu bytes, not %zu of %llu",
             (unsigned long long)total.row_count, (unsigned long long)total.bytes, w->row_count,
             (unsigned long long)model_bytes(w));
    OK(w, kal_kv_iter_open(w->db.kv, NULL, &range, &iter, &w->err));
    while (kal_kv_iter_next(iter, &key, &value, &w->err) == KAL_OK)
        entries++;
    kal_kv_iter_close(iter);
    if (entries != (w->row_count == 0 ? 0 : 2 * w->row_count + 1))
        FAIL(w, "%zu rows have %zu entries", w->row_count, entries);
}

static void run_world(uint64_t seed)
{
    world *w = malloc(sizeof *w); /* owned */

    assert_non_null(w);
    open_world(w, seed);
    for (w->step = 0; w->step < STEPS; w->step++) {
        switch (kal_rng_below(&w->rng, 12)) {
        case 0:
        case 1:
            step_clock(w);
            break;
        case 2:
            step_evict(w);
            break;
        case 3:
        case 4:
            step_delete(w);
            break;
        case 5:
            step_transaction(w);
            break;
        case 6:
            if (kal_rng_chance(&w->rng, 1, 4))
                lose_power(w);
            break;
        default:
            step_insert(w);
        }
        check_user(w, any_user(w));
        check_stored(w);
    }
    kal_sim_clock_advance(&w->db.clock, 100 * SECOND_US);
    step_evict(w);
    check_stored(w);
    close_world(w);
    free(w);
}

static void streams_are_a_list_of_rows(void **state)
{
    const char *one = getenv("STREAM_SEED");

    (void)state;
    if (one != NULL) {
        run_world(strtoull(one, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= RUNS; seed++)
        run_world(seed);
}

/* Goal: what a scan on an event loop passes over is bounded, too. Method: 257 rows that are too old
 * before one that is not. */
static void an_event_loop_does_not_wade_through_old_rows(void **state)
{
    world *w = malloc(sizeof *w); /* owned */

    (void)state;
    assert_non_null(w);
    for (size_t old = 256; old <= 257; old++) {
        kal_scan_range all = {.cached_only = true};
        kal_scan *scan = NULL; /* owned */
        kal_view view;
        kal_row row;
        open_world(w, 1);
        while (w->has_key) { /* a seed for a table without a key */
            close_world(w);
            open_world(w, w->seed + 1);
        }
        while (w->row_count < old) {
            kal_write *write = kal_write_open(w->db.tables, NULL); /* owned */
            new_row one = {.values = {kal_value_bigint(1), kal_value_text(KAL_STR("t"))}};
            kal_write_op op = {
                .table = w->table, .user_no = 1, .resolve = insert_row, .context = &one};
            OK(w, kal_write_add(write, &op, NULL, &w->err));
            OK(w, kal_write_commit(write, &w->err));
            kal_write_close(write);
            add_row(w, 1, (kal_bytes){0}, 1, 1);
        }
        kal_sim_clock_advance(&w->db.clock, TTL_S * SECOND_US);
        kal_view_open(&view, w->db.tables, 1, NULL);
        OK(w, kal_scan_open(&view, w->table, &all, &scan, &w->err));
        assert_int_equal(kal_scan_next(scan, &row, NULL, &w->err), old == 256 ? KAL_END : KAL_BUSY);
        kal_scan_close(scan);
        kal_view_close(&view);
        close_world(w);
    }
    free(w);
}

/* Goal: damaged bytes of the disk are an error, not a crash. Method: each kind of entry, cut short.
 */
static void damage_is_an_error(void **state)
{
    world *w = malloc(sizeof *w); /* owned */
    kal_stream_total total;
    kal_kv_range range = {.family = KAL_KV_STREAM};

    (void)state;
    assert_non_null(w);
    open_world(w, 1);
    w->options = kal_table_options_stream(TTL_S);
    while (w->row_count < 3)
        step_insert(w);
    for (size_t nth = 0; nth < 7; nth++) {
        kal_kv_iter *iter = NULL; /* owned */
        kal_bytes key = {0};
        kal_bytes value = {0};
        OK(w, kal_kv_iter_open(w->db.kv, NULL, &range, &iter, &w->err));
        for (size_t i = 0; i <= nth; i++)
            OK(w, kal_kv_iter_next(iter, &key, &value, &w->err));
        key = kal_arena_copy(&w->arena, key);
        value = kal_arena_copy(&w->arena, value);
        kal_kv_iter_close(iter);
        kal_kv_batch *batch = kal_kv_batch_open(w->db.kv); /* owned */
        kal_kv_batch_put(batch, KAL_KV_STREAM, key, kal_bytes_of(value.ptr, 5));
        OK(w, kal_kv_write(w->db.kv, batch, true, &w->err));
        size_t removed = 0;
        kal_status status = kal_stream_next(w->db.tables, 0, &total, &w->err);
        assert_int_equal(status, nth == 0 ? KAL_CORRUPT : KAL_OK);
        kal_sim_clock_advance(&w->db.clock, 100 * SECOND_US);
        if (nth == 0 || nth > w->row_count) {
            status = kal_stream_evict(w->db.tables, w->table, 100, &removed, &w->err);
            assert_true(status == KAL_CORRUPT || nth > w->row_count);
        } else {
            kal_view view;
            kal_scan *scan = NULL;
            kal_scan_range all = {0};
            kal_row row;
            status = KAL_OK;
            for (uint64_t user = 1; user <= USERS && status != KAL_CORRUPT; user++) {
                kal_view_open(&view, w->db.tables, user, NULL);
                OK(w, kal_scan_open(&view, w->table, &all, &scan, &w->err));
                do {
                    status = kal_scan_next(scan, &row, NULL, &w->err);
                } while (status == KAL_OK);
                kal_scan_close(scan);
                kal_view_close(&view);
            }
            assert_int_equal(status, KAL_CORRUPT);
        }
        kal_kv_batch_clear(batch);
        kal_kv_batch_put(batch, KAL_KV_STREAM, key, value);
        OK(w, kal_kv_write(w->db.kv, batch, true, &w->err));
        kal_kv_batch_close(batch);
        if (2 * w->row_count == nth)
            break;
    }
    close_world(w);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_are_a_list_of_rows),
        cmocka_unit_test(an_event_loop_does_not_wade_through_old_rows),
        cmocka_unit_test(damage_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
