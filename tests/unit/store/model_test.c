/*
 * model_test.c: every backend behaves as a plain sorted array does.
 *
 * Goal: puts, deletes, range deletes, save points, snapshots, bounded walks in both directions that
 * stay open while writes go on, re-opening and power loss. Method: a seeded run of random steps is
 * made on the store and on a model that copies its whole array for each snapshot and walk.
 */
#include "unit/store/store_testing.h"

#include "base/rng.h"
#include "base/vec.h"

enum {
    STEPS = 1400,
    SEEDS = 3,
    KEY_BYTES = 18,
    VALUE_BYTES = 600,
    VIEWS_MAX = 4,
    WALKS_MAX = 4,
    BATCH_OPS_MAX = 12,
};

typedef struct entry {
    kal_kv_family family;
    size_t key_len;
    size_t value_len;
    uint8_t key[KEY_BYTES];
    uint8_t value_byte; /* the value is this byte, value_len times */
} entry;

typedef KAL_VEC(entry) model; /* ascending by family, key */

typedef struct view {
    kal_kv_snapshot *snapshot; /* NULL = free slot */
    model model;
} view;

typedef struct walk {
    kal_kv_iter *iter; /* NULL = free slot */
    model expected;    /* what it still has to show, in order */
    size_t position;
    bool cached_only;
} walk;

typedef struct bound {
    size_t len;
    uint8_t bytes[KEY_BYTES];
} bound;

typedef enum backend { BACKEND_MEM, BACKEND_FAULT, BACKEND_ROCKS } backend;

typedef struct run {
    backend backend;
    testing_dir dir; /* BACKEND_ROCKS */
    uint64_t seed;
    kal_rng rng;
    kal_kv *kv;
    model now;
    model synced;
    view views[VIEWS_MAX];
    walk walks[WALKS_MAX];
    unsigned step;
    unsigned cached_busy; /* reads from the cache alone that needed the disk */
    unsigned cached_found;
} run;

/* --- the model -------------------------------------------------------------------------------- */

static kal_bytes key_of(const entry *e)
{
    return kal_bytes_of(e->key, e->key_len);
}

static int compare(const entry *e, kal_kv_family family, kal_bytes key)
{
    if (e->family != family)
        return e->family < family ? -1 : 1;
    return kal_bytes_compare(key_of(e), key);
}

/* Index of the first entry that is not below (family, key). */
static size_t model_find(const model *m, kal_kv_family family, kal_bytes key)
{
    size_t i = 0;
    while (i < m->len && compare(&m->items[i], family, key) < 0)
        i++;
    return i;
}

static void model_copy(model *to, const model *from)
{
    to->len = 0;
    for (size_t i = 0; i < from->len; i++)
        kal_vec_push(to, from->items[i]);
}

static void model_put(model *m, const entry *e)
{
    size_t i = model_find(m, e->family, key_of(e));
    if (i == m->len || compare(&m->items[i], e->family, key_of(e)) != 0) {
        kal_vec_push(m, *e);
        memmove(m->items + i + 1, m->items + i, (m->len - 1 - i) * sizeof *e);
    }
    m->items[i] = *e;
}

/* Removes [lower, upper), upper empty = to the family's end. */
static void model_delete_range(model *m, kal_kv_family family, kal_bytes lower, kal_bytes upper)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->len; i++) {
        const entry *e = &m->items[i];
        bool inside = e->family == family && kal_bytes_compare(key_of(e), lower) >= 0 &&
                      kal_bytes_compare(key_of(e), upper) < 0;
        if (!inside)
            m->items[kept++] = *e;
    }
    m->len = kept;
}

static void model_delete(model *m, kal_kv_family family, kal_bytes key)
{
    size_t i = model_find(m, family, key);
    if (i == m->len || compare(&m->items[i], family, key) != 0)
        return;
    memmove(m->items + i, m->items + i + 1, (m->len - 1 - i) * sizeof m->items[0]);
    m->len--;
}

/* --- random things ---------------------------------------------------------------------------- */

static unsigned below(run *r, unsigned limit)
{
    return (unsigned)kal_rng_below(&r->rng, limit);
}

/* Few bytes, and those at the edges of byte order, so that keys meet and prefixes overflow. */
static uint8_t edge_byte(run *r)
{
    static const uint8_t edges[] = {0x00, 0x01, 0x7F, 0xFF};
    return edges[below(r, KAL_ARRAY_LEN(edges))];
}

static kal_kv_family random_family(run *r)
{
    return below(r, 2) == 0 ? KAL_KV_ROWS : (kal_kv_family)below(r, KAL_KV_FAMILY_COUNT);
}

/* For rows: the 14-byte prefix of the prefix extractor and up to 4 bytes; else 1 to 4 bytes. */
static bound random_key(run *r, kal_kv_family family)
{
    bound key = {0};
    if (family == KAL_KV_ROWS) {
        kal_store_be32(key.bytes, below(r, 3) == 0 ? UINT32_MAX : 1);
        kal_store_be16(key.bytes + 4, below(r, 2) == 0 ? 0 : 255);
        kal_store_be64(key.bytes + 6, below(r, 2) == 0 ? 255 : 256);
        key.len = 14;
    }
    size_t tail = 1 + below(r, 4);
    for (size_t i = 0; i < tail; i++)
        key.bytes[key.len++] = edge_byte(r);
    return key;
}

static entry random_entry(run *r)
{
    kal_kv_family family = random_family(r);
    bound key = random_key(r, family);
    entry e = {.family = family, .key_len = key.len, .value_byte = (uint8_t)below(r, 256)};
    memcpy(e.key, key.bytes, key.len);
    e.value_len = below(r, 4) == 0 ? 0 : below(r, VALUE_BYTES);
    return e;
}

typedef struct random_range {
    kal_kv_range range; /* bounds point into the fields below */
    bound lower;
    bound upper;
} random_range;

static void make_range(run *r, random_range *out)
{
    *out = (random_range){.range.family = random_family(r), .range.reverse = below(r, 2) == 0};
    out->lower = random_key(r, out->range.family);
    out->upper = random_key(r, out->range.family);
    if (below(r, 2) == 0) { /* everything with a prefix, often exactly the 14 bytes */
        out->lower.len = 1 + below(r, (unsigned)out->lower.len);
        if (out->range.family == KAL_KV_ROWS && below(r, 2) == 0)
            out->lower.len = 14;
        kal_arena arena;
        kal_arena_init(&arena, NULL);
        kal_bytes end = kal_kv_prefix_end(kal_bytes_of(out->lower.bytes, out->lower.len), &arena);
        if (end.len > 0) {
            memcpy(out->upper.bytes, end.ptr, end.len);
            out->upper.len = end.len;
        } else if (out->range.family != KAL_KV_ROWS) {
            out->upper.len = 0;
        }
        kal_arena_release(&arena);
    } else if (out->range.family != KAL_KV_ROWS && below(r, 4) == 0) {
        out->upper.len = 0;
    }
    if (out->range.family != KAL_KV_ROWS && below(r, 8) == 0)
        out->lower.len = 0;
    out->range.lower = kal_bytes_of(out->lower.bytes, out->lower.len);
    out->range.upper = kal_bytes_of(out->upper.bytes, out->upper.len);
}

/* --- steps ------------------------------------------------------------------------------------ */

#define run_fail(r, ...)                                                                           \
    do {                                                                                           \
        print_error("seed %llu, step %u: ", (unsigned long long)(r)->seed, (r)->step);             \
        fail_msg(__VA_ARGS__);                                                                     \
    } while (0)

static void check_value(run *r, const entry *e, kal_bytes value)
{
    if (value.len != e->value_len)
        run_fail(r, "a value has %zu bytes, expected %zu", value.len, e->value_len);
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] != e->value_byte)
            run_fail(r, "byte %zu of a value is %u, expected %u", i, value.ptr[i], e->value_byte);
    }
}

static void random_op(run *r, kal_kv_batch *batch, model *pending)
{
    unsigned dice = below(r, 20);
    entry e = random_entry(r);
    uint8_t value[VALUE_BYTES];
    memset(value, e.value_byte, sizeof value);
    if (dice < 13) {
        kal_kv_batch_put(batch, e.family, key_of(&e), kal_bytes_of(value, e.value_len));
        model_put(pending, &e);
    } else if (dice < 18) {
        kal_kv_batch_delete(batch, e.family, key_of(&e));
        model_delete(pending, e.family, key_of(&e));
    } else {
        random_range range;
        make_range(r, &range);
        if (range.range.upper.len == 0)
            return;
        kal_kv_batch_delete_range(batch, range.range.family, range.range.lower, range.range.upper);
        model_delete_range(pending, range.range.family, range.range.lower, range.range.upper);
    }
}

/* A batch with nested save points, rolled back and kept at random. */
static void step_write(run *r)
{
    enum { DEPTH_MAX = 3 };
    model levels[DEPTH_MAX + 1] = {0}; /* [0] is the state of the batch, above it save points */
    size_t counts[DEPTH_MAX + 1] = {0};
    size_t bytes[DEPTH_MAX + 1] = {0};
    size_t depth = 0;
    kal_error err = KAL_ERROR_INIT;
    kal_kv_batch *batch = kal_kv_batch_open(r->kv);
    model_copy(&levels[0], &r->now);
    for (unsigned i = below(r, BATCH_OPS_MAX); i > 0; i--) {
        unsigned dice = below(r, 8);
        if (dice == 0 && depth < DEPTH_MAX) {
            depth++;
            model_copy(&levels[depth], &levels[0]);
            counts[depth] = kal_kv_batch_count(batch);
            bytes[depth] = kal_kv_batch_bytes(batch);
            kal_kv_batch_save(batch);
        } else if (dice == 1 && depth > 0) {
            kal_kv_batch_rollback(batch);
            model_copy(&levels[0], &levels[depth]);
            assert_int_equal(kal_kv_batch_count(batch), counts[depth]);
            assert_int_equal(kal_kv_batch_bytes(batch), bytes[depth]);
            depth--;
        } else if (dice == 2 && depth > 0) {
            kal_kv_batch_commit_save(batch);
            depth--;
        } else {
            random_op(r, batch, &levels[0]);
        }
    }
    if (below(r, 16) == 0) {
        kal_kv_batch_clear(batch);
        assert_int_equal(kal_kv_batch_count(batch), 0);
        model_copy(&levels[0], &r->now);
    }
    bool sync = below(r, 4) == 0;
    testing_ok(kal_kv_write(r->kv, batch, sync, &err), &err);
    model_copy(&r->now, &levels[0]);
    if (sync)
        model_copy(&r->synced, &r->now);
    kal_kv_batch_close(batch);
    for (size_t i = 0; i <= DEPTH_MAX; i++)
        kal_vec_release(&levels[i]);
}

/* A view to read at: a snapshot with its model, or now. */
static const model *pick_view(run *r, const kal_kv_snapshot **snapshot_out)
{
    view *v = &r->views[below(r, VIEWS_MAX)];
    *snapshot_out = v->snapshot;
    return v->snapshot == NULL ? &r->now : &v->model;
}

static void step_get(run *r)
{
    const kal_kv_snapshot *snapshot = NULL;
    const model *m = pick_view(r, &snapshot);
    kal_kv_family family = random_family(r);
    bound key = random_key(r, family);
    kal_bytes key_bytes = kal_bytes_of(key.bytes, key.len);
    kal_bytes value = {0};
    kal_error err = KAL_ERROR_INIT;
    kal_arena arena;
    kal_arena_init(&arena, NULL);
    bool cached = below(r, 4) == 0;
    kal_status status =
        cached ? kal_kv_get_cached(r->kv, snapshot, family, key_bytes, &arena, &value, &err)
               : kal_kv_get(r->kv, snapshot, family, key_bytes, &arena, &value, &err);
    size_t i = model_find(m, family, key_bytes);
    bool expected = i < m->len && compare(&m->items[i], family, key_bytes) == 0;
    if (cached && status == KAL_BUSY && r->backend == BACKEND_ROCKS) {
        r->cached_busy++;
    } else if (!expected) {
        if (status != KAL_NOT_FOUND)
            run_fail(r, "a key that is not there: %s", kal_status_name(status));
    } else {
        testing_ok(status, &err);
        check_value(r, &m->items[i], value);
        r->cached_found += cached;
    }
    kal_arena_release(&arena);
}

static void step_snapshot(run *r)
{
    view *v = &r->views[below(r, VIEWS_MAX)];
    if (v->snapshot != NULL) {
        kal_kv_snapshot_release(r->kv, v->snapshot);
        v->snapshot = NULL;
        return;
    }
    v->snapshot = kal_kv_snapshot_take(r->kv);
    model_copy(&v->model, &r->now);
}

static void expect_range(model *expected, const model *m, const kal_kv_range *range)
{
    expected->len = 0;
    for (size_t n = 0; n < m->len; n++) {
        const entry *e = &m->items[range->reverse ? m->len - 1 - n : n];
        if (e->family == range->family && kal_bytes_compare(key_of(e), range->lower) >= 0 &&
            (range->upper.len == 0 || kal_bytes_compare(key_of(e), range->upper) < 0))
            kal_vec_push(expected, *e);
    }
}

static void open_walk(run *r, walk *w)
{
    const kal_kv_snapshot *snapshot = NULL;
    const model *m = pick_view(r, &snapshot);
    random_range range;
    make_range(r, &range);
    range.range.cached_only = below(r, 4) == 0;
    w->cached_only = range.range.cached_only;
    kal_error err = KAL_ERROR_INIT;
    testing_ok(kal_kv_iter_open(r->kv, snapshot, &range.range, &w->iter, &err), &err);
    expect_range(&w->expected, m, &range.range);
    /* The iterator has its own copy of the bounds. */
    memset(&range.lower, 0xA5, sizeof range.lower);
    memset(&range.upper, 0xA5, sizeof range.upper);
    w->position = 0;
}

static void close_walk(walk *w)
{
    kal_kv_iter_close(w->iter);
    w->iter = NULL;
}

/* false when the walk has ended, as it should have, or could not go on without the disk. */
static bool advance(run *r, walk *w)
{
    kal_bytes key = {0};
    kal_bytes value = {0};
    kal_error err = KAL_ERROR_INIT;
    kal_status status = kal_kv_iter_next(w->iter, &key, &value, &err);
    if (status == KAL_BUSY && w->cached_only && r->backend == BACKEND_ROCKS) {
        assert_int_equal(kal_kv_iter_next(w->iter, &key, &value, &err), KAL_BUSY);
        r->cached_busy++;
        return false;
    }
    if (w->position == w->expected.len) {
        if (status != KAL_END)
            run_fail(r, "%s past the end of a walk", kal_status_name(status));
        assert_int_equal(kal_kv_iter_next(w->iter, &key, &value, &err), KAL_END);
        return false;
    }
    if (status != KAL_OK)
        run_fail(r, "%s at entry %zu of %zu: %s", kal_status_name(status), w->position,
                 w->expected.len, err.message);
    const entry *e = &w->expected.items[w->position++];
    if (!kal_bytes_equal(key, key_of(e)))
        run_fail(r, "a wrong key at entry %zu of %zu", w->position - 1, w->expected.len);
    check_value(r, e, value);
    return true;
}

static void step_walk(run *r)
{
    walk *w = &r->walks[below(r, WALKS_MAX)];
    if (w->iter == NULL)
        open_walk(r, w);
    unsigned steps = below(r, 3) == 0 ? UINT32_MAX : below(r, 4);
    for (unsigned i = 0; i < steps; i++) {
        if (!advance(r, w)) {
            close_walk(w);
            return;
        }
    }
}

static void close_readers(run *r)
{
    for (size_t i = 0; i < WALKS_MAX; i++)
        close_walk(&r->walks[i]);
    for (size_t i = 0; i < VIEWS_MAX; i++) {
        kal_kv_snapshot_release(r->kv, r->views[i].snapshot);
        r->views[i].snapshot = NULL;
    }
}

/* RocksDB is closed and opened, which loses nothing; memory loses what was not synced. */
static void step_restart(run *r)
{
    close_readers(r);
    if (r->backend == BACKEND_ROCKS) {
        kal_kv_close(r->kv);
        r->kv = testing_open_rocks(&r->dir);
    } else {
        kal_kv_mem_crash(r->backend == BACKEND_MEM ? r->kv : kal_kv_fault_inner(r->kv));
        model_copy(&r->now, &r->synced);
    }
    model_copy(&r->synced, &r->now);
}

static void step_sync(run *r)
{
    kal_error err = KAL_ERROR_INIT;
    testing_ok(kal_kv_sync(r->kv, &err), &err);
    model_copy(&r->synced, &r->now);
}

static void random_step(run *r)
{
    unsigned dice = below(r, 1000);
    if (dice < 350)
        step_write(r);
    else if (dice < 600)
        step_get(r);
    else if (dice < 650)
        step_snapshot(r);
    else if (dice < 980)
        step_walk(r);
    else if (dice < 990)
        step_sync(r);
    else
        step_restart(r);
}

static void run_model_once(backend kind, uint64_t seed)
{
    run r = {.backend = kind, .seed = seed};
    kal_rng_seed(&r.rng, r.seed);
    if (kind == BACKEND_ROCKS) {
        r.dir = testing_dir_make();
        r.kv = testing_open_rocks(&r.dir);
    } else {
        r.kv = kal_kv_open_mem();
        if (kind == BACKEND_FAULT)
            r.kv = kal_kv_open_fault(r.kv, r.seed, 0, 0);
    }
    for (r.step = 0; r.step < STEPS; r.step++)
        random_step(&r);
    close_readers(&r);
    kal_kv_close(r.kv);
    /* The run was worth something: both answers of cached reads were seen. */
    assert_true(r.cached_found > 0);
    assert_true(kind != BACKEND_ROCKS || r.cached_busy > 0);
    if (kind == BACKEND_ROCKS)
        testing_dir_remove(&r.dir);
    kal_vec_release(&r.now);
    kal_vec_release(&r.synced);
    for (size_t i = 0; i < VIEWS_MAX; i++)
        kal_vec_release(&r.views[i].model);
    for (size_t i = 0; i < WALKS_MAX; i++)
        kal_vec_release(&r.walks[i].expected);
}

static void run_model(backend kind)
{
    for (uint64_t i = 0; i < SEEDS; i++)
        run_model_once(kind, testing_seed() + i);
}

static void mem_is_the_model(void **state)
{
    (void)state;
    run_model(BACKEND_MEM);
}

static void fault_without_faults_is_the_model(void **state)
{
    (void)state;
    run_model(BACKEND_FAULT);
}

static void rocks_is_the_model(void **state)
{
    (void)state;
    run_model(BACKEND_ROCKS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mem_is_the_model),
        cmocka_unit_test(fault_without_faults_is_the_model),
        cmocka_unit_test(rocks_is_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
