/*
 * The schema cache through the catalog: never stale, bounded, counted, and dispensable.
 */
#include "base/assert.h"
#include "base/thread.h"
#include "catalog/catalog_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <sched.h>

#include <cmocka.h>

typedef struct fixture {
    kal_kv *kv;
    kal_sim_clock sim;
    kal_catalog *catalog;
    kal_catalog_worker *worker;
    size_t capacity;
} fixture;

static const kal_principal ROOT = {.user_no = 1, .user_id = "root", .role = KAL_ROLE_SYSTEM};
static const kal_bytes NS = {(const uint8_t *)"default", 7};

static void open_catalog(fixture *f)
{
    kal_error err = KAL_ERROR_INIT;
    kal_catalog_options options = {.cache_tables = f->capacity};
    if (kal_catalog_open(f->kv, &f->sim.clock, &options, &f->catalog, &err) != KAL_OK)
        fail_msg("cannot open: %s", err.message);
    f->worker = kal_catalog_worker_open(f->catalog);
}

static void close_catalog(fixture *f)
{
    kal_catalog_worker_close(f->worker);
    kal_catalog_close(f->catalog);
}

static void reopen(fixture *f)
{
    close_catalog(f);
    open_catalog(f);
}

static fixture *make(size_t capacity)
{
    fixture *f = calloc(1, sizeof *f);
    KAL_ASSERT(f != NULL);
    f->kv = kal_kv_open_mem();
    f->capacity = capacity;
    kal_sim_clock_init(&f->sim, 1700000000000000);
    open_catalog(f);
    return f;
}

static void destroy(fixture *f)
{
    close_catalog(f);
    kal_kv_close(f->kv);
    free(f);
}

static int set_up(void **state)
{
    *state = make(0);
    return 0;
}

static int tear_down(void **state)
{
    destroy(*state);
    return 0;
}

static void must(kal_status status, const kal_error *err)
{
    if (status != KAL_OK)
        fail_msg("%s: %s", kal_status_name(status), err->message);
}

/* A SHARED table of one column; option (may be NULL) is set to value. */
static void create(fixture *f, const char *name, const char *option, kal_value value)
{
    kal_error err = KAL_ERROR_INIT;
    kal_table_options options = kal_table_options_shared(KAL_ACCESS_PUBLIC);
    kal_column column = kal_column_simple("id", 1, kal_type_of(KAL_TYPE_BIGINT));
    kal_table_definition *def = NULL;
    bool existed = false;
    kal_arena arena;

    kal_arena_init(&arena, NULL);
    column.is_nullable = false;
    column.is_primary_key = true;
    if (option != NULL)
        must(kal_table_options_set(&options, kal_cstr(option), &value, &err), &err);
    must(kal_table_definition_create(NS, kal_cstr(name), KAL_TABLE_SHARED, &column, 1, NULL, 0,
                                     &options, 1, &arena, &def, &err),
         &err);
    kal_catalog_change *change = kal_catalog_begin(f->catalog, &ROOT);
    must(kal_catalog_create_table(change, def, false, &existed, &err), &err);
    must(kal_catalog_commit(change, &err), &err);
    kal_catalog_end(change);
    kal_arena_release(&arena);
}

static void drop(fixture *f, const char *name)
{
    kal_error err = KAL_ERROR_INIT;
    bool existed = false;
    kal_catalog_change *change = kal_catalog_begin(f->catalog, &ROOT);
    must(kal_catalog_drop_table(change, NS, kal_cstr(name), false, &existed, &err), &err);
    must(kal_catalog_commit(change, &err), &err);
    kal_catalog_end(change);
}

static void alter(fixture *f, kal_catalog_worker *worker, const char *name, const kal_alter *step)
{
    kal_error err = KAL_ERROR_INIT;
    kal_table *table = NULL;
    kal_altered altered;
    size_t failed = 0;
    kal_arena arena;

    kal_arena_init(&arena, NULL);
    kal_catalog_change *change = kal_catalog_begin(f->catalog, &ROOT);
    must(kal_catalog_get_table(worker, NS, kal_cstr(name), &table, &err), &err);
    must(kal_table_alter(table->def, step, 1, 2, &arena, &altered, &failed, &err), &err);
    must(kal_catalog_alter_table(change, table, &altered, NULL, &err), &err);
    must(kal_catalog_commit(change, &err), &err);
    kal_catalog_end(change);
    kal_arena_release(&arena);
}

static kal_status look(fixture *f, const char *name, kal_table **table_out)
{
    return kal_catalog_get_table(f->worker, NS, kal_cstr(name), table_out, NULL);
}

static kal_cache_stats stats(fixture *f)
{
    return kal_catalog_cache_stats(f->catalog);
}

/* Goal: by number as by name, through RENAME, gone with DROP; a number never names another table.
 */
static void by_number(void **state)
{
    fixture *f = *state;
    kal_table *table = NULL;
    create(f, "t", NULL, kal_value_bigint(0));
    must(look(f, "t", &table), NULL);
    uint32_t id = table->def->table_id;
    assert_int_equal(kal_catalog_get_table_by_id(f->worker, id, &table, NULL), KAL_OK);
    assert_int_equal(table->def->table_id, id);
    kal_alter rename = {.kind = KAL_ALTER_RENAME_TABLE, .new_name = KAL_STR("u")};
    alter(f, f->worker, "t", &rename);
    assert_int_equal(kal_catalog_get_table_by_id(f->worker, id, &table, NULL), KAL_OK);
    assert_true(kal_bytes_equal(table->def->table_name, KAL_STR("u")));
    assert_int_equal(look(f, "t", &table), KAL_NOT_FOUND);
    reopen(f); /* from the store */
    assert_int_equal(kal_catalog_get_table_by_id(f->worker, id, &table, NULL), KAL_OK);
    assert_true(kal_bytes_equal(table->def->table_name, KAL_STR("u")));
    drop(f, "u");
    create(f, "u", NULL, kal_value_bigint(0));
    assert_int_equal(kal_catalog_get_table_by_id(f->worker, id, &table, NULL), KAL_NOT_FOUND);
    must(look(f, "u", &table), NULL);
    assert_true(table->def->table_id > id);
    assert_int_equal(kal_catalog_get_table_by_id(f->worker, 4000000000u, &table, NULL),
                     KAL_NOT_FOUND);
}

/* Goal: enable_cache = false reads the store at each look-up, and still sees every change. */
static void without_cache(void **state)
{
    fixture *f = *state;
    kal_table *table = NULL;
    create(f, "t", "enable_cache", kal_value_boolean(false));
    kal_cache_stats before = stats(f);
    for (int i = 0; i < 10; i++)
        must(look(f, "t", &table), NULL);
    assert_int_equal(stats(f).misses, before.misses + 10);
    assert_int_equal(stats(f).hits, before.hits);
    assert_int_equal(stats(f).size, before.size);
    kal_alter comment = {.kind = KAL_ALTER_COMMENT_TABLE, .comment = KAL_STR("x")};
    kal_table *old = kal_table_retain(table);
    alter(f, f->worker, "t", &comment);
    assert_int_equal(old->fate, KAL_TABLE_REPLACED); /* writers are told */
    kal_table_release(old);
    must(look(f, "t", &table), NULL);
    assert_int_equal(table->def->schema_version, 2);
    /* Kept again once the option is set back. */
    kal_alter keep = {.kind = KAL_ALTER_SET_OPTION,
                      .option = KAL_STR("enable_cache"),
                      .option_value = kal_value_boolean(true)};
    alter(f, f->worker, "t", &keep);
    must(look(f, "t", &table), NULL);
    before = stats(f);
    must(look(f, "t", &table), NULL);
    assert_int_equal(stats(f).misses, before.misses);
}

/* Goal: after cache_ttl_seconds an entry is compared with the store once, by each way of asking. */
static void time_to_live(void **state)
{
    fixture *f = *state;
    kal_table *table = NULL;
    create(f, "t", "cache_ttl_seconds", kal_value_bigint(10));
    must(look(f, "t", &table), NULL);
    kal_cache_stats before = stats(f);
    for (int round = 1; round <= 3; round++) {
        kal_sim_clock_advance(&f->sim, 9 * 1000000);
        kal_catalog_tick(f->catalog);
        must(look(f, "t", &table), NULL);
        assert_int_equal(stats(f).revalidations, before.revalidations + (uint64_t)round - 1);
        kal_sim_clock_advance(&f->sim, 2 * 1000000);
        kal_catalog_tick(f->catalog);
        for (int i = 0; i < 5; i++)
            must(look(f, "t", &table), NULL);
        assert_int_equal(stats(f).revalidations, before.revalidations + (uint64_t)round);
    }
    assert_int_equal(stats(f).misses, before.misses);
}

/* Goal: the cache keeps as many tables as it may, those that are asked for stay, and what was
 * put out is read again. Method: twice as many tables as capacity, one of them asked for often. */
static void bounded(void **state)
{
    enum { CAPACITY = 64, TABLES = 200 };
    fixture *f = make(CAPACITY);
    kal_table *table = NULL;
    char name[16];
    uint64_t misses = 0;

    (void)state;
    for (int i = 0; i < TABLES; i++) {
        snprintf(name, sizeof name, "t%d", i);
        create(f, name, NULL, kal_value_bigint(0));
    }
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < TABLES; i++) {
            snprintf(name, sizeof name, "t%d", i);
            must(look(f, name, &table), NULL);
            assert_true(kal_bytes_equal(table->def->table_name, kal_cstr(name)));
            uint64_t before = stats(f).misses;
            must(look(f, "t7", &table), NULL);
            misses += stats(f).misses - before;
        }
    }
    kal_cache_stats now = stats(f);
    assert_int_equal(now.size, CAPACITY);
    assert_true(now.evictions > TABLES);
    assert_true(misses <= 5); /* second chance keeps it */
    assert_true(now.bytes > now.size * sizeof(kal_table));
    destroy(f);
}

/* Goal: as many tables as the capacity says are kept, all of them, however their names fall: going
 * round among them reads nothing and, once a thread is warm, takes no lock. */
static void full(void **state)
{
    enum { TABLES = 3000 };
    fixture *f = make(TABLES + KAL_SYSTEM_TABLE_END - 1);
    kal_cache_stats before = stats(f);
    kal_table *table = NULL;
    uint32_t ids[TABLES];
    char name[32]; /* alike at both ends */

    (void)state;
    for (int i = 0; i < TABLES; i++) {
        snprintf(name, sizeof name, "tenant_%05d_messages", i);
        create(f, name, NULL, kal_value_bigint(0));
    }
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < TABLES; i++) {
            snprintf(name, sizeof name, "tenant_%05d_messages", i);
            must(look(f, name, &table), NULL);
            assert_true(kal_bytes_equal(table->def->table_name, kal_cstr(name)));
            ids[i] = table->def->table_id;
            must(kal_catalog_get_table_by_id(f->worker, ids[i], &table, NULL), NULL);
            assert_true(kal_bytes_equal(table->def->table_name, kal_cstr(name)));
        }
        if (round == 1) /* the slots have grown as they need */
            before = stats(f);
    }
    kal_cache_stats now = stats(f);
    assert_int_equal(now.size, now.capacity);
    assert_int_equal(now.evictions, 0);
    assert_int_equal(now.misses, 0);
    assert_int_equal(now.slow_path_locks, before.slow_path_locks);
    destroy(f);
}

static void enforce(fixture *f, const char *name)
{
    const uint32_t column_id = 1;
    kal_error err = KAL_ERROR_INIT;
    kal_table *table = NULL;
    kal_catalog_change *change = kal_catalog_begin(f->catalog, &ROOT);
    must(look(f, name, &table), &err);
    kal_catalog_enforce_not_null(change, table, &column_id, 1);
    must(kal_catalog_commit(change, &err), &err);
    kal_catalog_end(change);
}

/* Goal: while SET NOT NULL is being checked, writers find the table that enforces it: the store
 * does not know of that, so neither the capacity nor enable_cache = false may lose it. */
static void enforcement_is_not_forgotten(void **state)
{
    enum { CAPACITY = 16, OTHERS = 100 };
    fixture *f = make(CAPACITY);
    kal_table *table = NULL;
    char name[16];

    (void)state;
    create(f, "kept", NULL, kal_value_bigint(0));
    create(f, "unkept", "enable_cache", kal_value_boolean(false));
    enforce(f, "kept");
    enforce(f, "unkept");
    for (int i = 0; i < OTHERS; i++) {
        snprintf(name, sizeof name, "t%d", i);
        create(f, name, NULL, kal_value_bigint(0));
        must(look(f, name, &table), NULL);
    }
    must(look(f, "kept", &table), NULL);
    assert_int_equal(table->enforced_count, 1);
    must(look(f, "unkept", &table), NULL);
    assert_int_equal(table->enforced_count, 1);
    destroy(f);
}

/* Goal: what was read often is in memory after a restart before anybody asks, most often read
 * first, up to the capacity; what was dropped meanwhile does no harm. */
static void popular_tables(void **state)
{
    fixture *f = *state;
    kal_table *table = NULL;
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        create(f, name, NULL, kal_value_bigint(0));
        for (int k = 0; i < 5 && k < 100; k++)
            must(look(f, name, &table), NULL);
    }
    reopen(f);
    kal_cache_stats before = stats(f);
    for (int i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        must(look(f, name, &table), NULL);
    }
    assert_int_equal(stats(f).misses, before.misses);
    must(look(f, "t9", &table), NULL);
    assert_int_equal(stats(f).misses, before.misses + 1);
    reopen(f);
    reopen(f); /* nobody has read anything since */
    before = stats(f);
    must(look(f, "t4", &table), NULL);
    assert_int_equal(stats(f).misses, before.misses);
    drop(f, "t0");
    reopen(f);
    assert_int_equal(look(f, "t0", &table), KAL_NOT_FOUND);
    must(look(f, "t1", &table), NULL);
}

/* Goal: a cache that fails is answered for by the store, with the same objects, so that changes
 * still reach everybody. */
static void failing_cache(void **state)
{
    fixture *f = *state;
    kal_table *table = NULL;
    create(f, "t", NULL, kal_value_bigint(0));
    must(look(f, "t", &table), NULL);
    kal_schema_cache_fail(f->catalog->cache, true);
    kal_cache_stats before = stats(f);
    for (int i = 0; i < 3; i++)
        must(look(f, "t", &table), NULL);
    assert_int_equal(stats(f).failures, before.failures + 3);
    assert_int_equal(kal_catalog_get_table_by_id(f->worker, table->def->table_id, &table, NULL),
                     KAL_OK);
    kal_table *old = kal_table_retain(table);
    drop(f, "t");
    assert_int_equal(old->fate, KAL_TABLE_DROPPED);
    kal_table_release(old);
    assert_int_equal(look(f, "t", &table), KAL_NOT_FOUND);
    kal_schema_cache_fail(f->catalog->cache, false);
    assert_int_equal(look(f, "t", &table), KAL_NOT_FOUND);
}

/* ---- many threads ---- */

enum { READERS = 100, READS = 3000, TABLES_READ = 150 };

typedef struct reader {
    fixture *f;
    pthread_barrier_t *warm;
    uint64_t wrong;
} reader;

static void read_unchanged(void *context)
{
    reader *r = context;
    kal_table *table = NULL;
    kal_catalog_worker *worker = kal_catalog_worker_open(r->f->catalog);
    char name[16];

    for (int i = 0; i < TABLES_READ; i++) {
        snprintf(name, sizeof name, "t%d", i);
        r->wrong += kal_catalog_get_table(worker, NS, kal_cstr(name), &table, NULL) != KAL_OK;
    }
    pthread_barrier_wait(r->warm); /* everybody is warm; the test notes the locks */
    pthread_barrier_wait(r->warm);
    for (int i = 0; i < READS; i++) {
        snprintf(name, sizeof name, "t%d", i % TABLES_READ);
        r->wrong += kal_catalog_get_table(worker, NS, kal_cstr(name), &table, NULL) != KAL_OK ||
                    !kal_bytes_equal(table->def->table_name, kal_cstr(name));
    }
    pthread_barrier_wait(r->warm);
    kal_catalog_worker_close(worker);
}

/* Goal: a hundred readers of an unchanged catalog take no lock once they are warm. */
static void readers_take_no_lock(void **state)
{
    fixture *f = *state;
    pthread_barrier_t warm;
    pthread_t threads[READERS];
    reader readers[READERS];

    for (int i = 0; i < TABLES_READ; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        create(f, name, NULL, kal_value_bigint(0));
    }
    pthread_barrier_init(&warm, NULL, READERS + 1);
    for (int i = 0; i < READERS; i++) {
        readers[i] = (reader){f, &warm, 0};
        must(kal_thread_start(&threads[i], "reader", 0, read_unchanged, &readers[i], NULL), NULL);
    }
    pthread_barrier_wait(&warm);
    kal_cache_stats before = stats(f);
    pthread_barrier_wait(&warm);
    pthread_barrier_wait(&warm);
    kal_cache_stats after = stats(f);
    for (int i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(readers[i].wrong, 0);
    }
    pthread_barrier_destroy(&warm);
    assert_int_equal(after.hits, before.hits + READERS * READS);
    assert_int_equal(after.misses, before.misses);
    assert_int_equal(after.slow_path_locks, before.slow_path_locks);
}

/* Lets the readers look at least once more. */
static void wait_for_reads(_Atomic uint64_t *reads)
{
    uint64_t before = atomic_load(reads);
    while (atomic_load(reads) < before + 2)
        sched_yield();
}

/* What the newest answered DDL made of the name, told to the readers. */
typedef struct truth {
    fixture *f;
    _Atomic uint64_t state; /* how many DDL statements were answered, and what holds since */
    _Atomic bool stop;
    _Atomic uint64_t stale;
    _Atomic uint64_t reads;
} truth;

/* state: count << 32 | exists << 31 | version. A read that begins after the answer must see it or a
 * later one; so the reader notes the state before and after, and when both are the same, knows. */
static uint64_t pack(uint64_t count, bool exists, uint32_t version)
{
    return count << 32 | (uint64_t)exists << 31 | version;
}

static void read_changing(void *context)
{
    truth *t = context;
    kal_catalog_worker *worker = kal_catalog_worker_open(t->f->catalog);
    while (!atomic_load(&t->stop)) {
        kal_table *table = NULL;
        uint64_t before = atomic_load(&t->state);
        kal_status status = kal_catalog_get_table(worker, NS, KAL_STR("t"), &table, NULL);
        uint64_t after = atomic_load(&t->state);
        /* odd: a statement is on its way */
        if (before == after && (before >> 32) % 2 == 0) {
            uint64_t seen = pack(before >> 32, status == KAL_OK,
                                 status == KAL_OK ? table->def->schema_version : 0);
            atomic_fetch_add(&t->stale, seen != before);
            atomic_fetch_add(&t->reads, 1);
        }
    }
    kal_catalog_worker_close(worker);
}

/* Runs one DDL; while it runs the count is odd. */
#define DDL(t, exists, version, call)                                                              \
    do {                                                                                           \
        uint64_t count_ = atomic_load(&(t)->state) >> 32;                                          \
        atomic_store(&(t)->state, pack(count_ + 1, 0, 0));                                         \
        call;                                                                                      \
        atomic_store(&(t)->state, pack(count_ + 2, exists, version));                              \
        wait_for_reads(&(t)->reads);                                                               \
    } while (0)

/* Goal: no read begun after a DDL's answer sees the catalog before it: CREATE after "not found",
 * ALTER, DROP, DROP and CREATE of the same name, RENAME away and back. */
static void never_stale(void **state)
{
    enum { THREADS = 4, ROUNDS = 300 };
    fixture *f = *state;
    truth t = {.f = f};
    pthread_t threads[THREADS];
    kal_alter comment = {.kind = KAL_ALTER_COMMENT_TABLE};
    kal_alter away = {.kind = KAL_ALTER_RENAME_TABLE, .new_name = KAL_STR("other")};
    kal_alter back = {.kind = KAL_ALTER_RENAME_TABLE, .new_name = KAL_STR("t")};

    for (int i = 0; i < THREADS; i++)
        must(kal_thread_start(&threads[i], "reader", 0, read_changing, &t, NULL), NULL);
    for (int round = 0; round < ROUNDS; round++) {
        char text[16];
        int len = snprintf(text, sizeof text, "%d", round);
        comment.comment = kal_bytes_of(text, (size_t)len);
        DDL(&t, true, 1, create(f, "t", NULL, kal_value_bigint(0)));
        DDL(&t, true, 2, alter(f, f->worker, "t", &comment));
        DDL(&t, false, 0, alter(f, f->worker, "t", &away));
        DDL(&t, true, 4, alter(f, f->worker, "other", &back));
        DDL(&t, true, 1, {
            drop(f, "t");
            create(f, "t", NULL, kal_value_bigint(0));
        });
        DDL(&t, false, 0, drop(f, "t"));
    }
    atomic_store(&t.stop, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(t.stale, 0);
    assert_true(t.reads > ROUNDS);
}

typedef struct namespace_truth {
    fixture *f;
    _Atomic uint64_t state; /* count << 1 | exists; odd counts: on its way */
    _Atomic bool stop;
    _Atomic uint64_t stale;
    _Atomic uint64_t reads;
} namespace_truth;

static void read_namespace(void *context)
{
    namespace_truth *t = context;
    while (!atomic_load(&t->stop)) {
        uint64_t before = atomic_load(&t->state);
        bool exists = kal_catalog_has_namespace(t->f->catalog, KAL_STR("ns"));
        uint64_t after = atomic_load(&t->state);
        if (before == after && (before >> 1) % 2 == 0) {
            atomic_fetch_add(&t->stale, exists != (before & 1));
            atomic_fetch_add(&t->reads, 1);
        }
    }
}

/* Goal: the same for CREATE and DROP NAMESPACE. */
static void namespaces_never_stale(void **state)
{
    fixture *f = *state;
    namespace_truth t = {.f = f};
    pthread_t thread;
    kal_error err = KAL_ERROR_INIT;

    must(kal_thread_start(&thread, "reader", 0, read_namespace, &t, NULL), NULL);
    for (uint64_t i = 0; i < 500; i++) {
        bool existed = false;
        bool making = i % 2 == 0;
        uint64_t count = atomic_load(&t.state) >> 1;
        atomic_store(&t.state, (count + 1) << 1);
        kal_catalog_change *change = kal_catalog_begin(f->catalog, &ROOT);
        must(making
                 ? kal_catalog_create_namespace(change, KAL_STR("ns"), false, &existed, &err)
                 : kal_catalog_drop_namespace(change, KAL_STR("ns"), false, false, &existed, &err),
             &err);
        must(kal_catalog_commit(change, &err), &err);
        kal_catalog_end(change);
        atomic_store(&t.state, (count + 2) << 1 | making);
        wait_for_reads(&t.reads);
    }
    atomic_store(&t.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(t.stale, 0);
    assert_true(t.reads > 100);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(by_number),
        TEST(without_cache),
        TEST(time_to_live),
        cmocka_unit_test(bounded),
        cmocka_unit_test(full),
        cmocka_unit_test(enforcement_is_not_forgotten),
        TEST(popular_tables),
        TEST(failing_cache),
        TEST(readers_take_no_lock),
        TEST(never_stale),
        TEST(namespaces_never_stale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
