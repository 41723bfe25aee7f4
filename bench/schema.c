/*
 * schema.c: what the schema catalog costs: look-ups beside a plain map behind sharded rwlocks, type
 * conversions, loading a definition, and memory beside a catalog of plain structs and strings.
 *
 * Prints one JSON object of figures; schema.mjs runs it. CPU time of the thread that works, in
 * nanoseconds an operation; each is the median of several rounds, which alternate with the peer's.
 */
#include "base/assert.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/thread.h"
#include "catalog/catalog_internal.h"
#include "measure.h"
#include "types/type_forms.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TABLES = 1000, COLUMNS = 50, HOT = 64, ROUNDS = 9, LOOKUPS = 2000000, LOADS = 2000 };

static const kal_principal ROOT = {.user_no = 1, .user_id = "root", .role = KAL_ROLE_SYSTEM};
static const kal_bytes NS = {(const uint8_t *)"default", 7};
static bool first_figure = true;

static void figure(const char *name, double value)
{
    printf("%s\n  \"%s\": %.6g", first_figure ? "" : ",", name, value);
    first_figure = false;
}

static void must(kal_status status, const kal_error *err)
{
    if (status != KAL_OK)
        kal_die("%s: %s", kal_status_name(status), err == NULL ? "" : err->message);
}

/* ---- the catalog under test ---- */

static kal_bytes table_name(size_t i, char out[32])
{
    return kal_bytes_of(out, (size_t)snprintf(out, 32, "table_of_number_%zu", i));
}

static kal_table_definition *definition(size_t i, uint32_t column_count, kal_arena *arena)
{
    static const kal_type_tag TYPES[] = {KAL_TYPE_TEXT, KAL_TYPE_BIGINT, KAL_TYPE_INT,
                                         KAL_TYPE_TIMESTAMP, KAL_TYPE_BOOLEAN};
    static const kal_column_default zero = {
        .kind = KAL_DEFAULT_LITERAL, .literal = {.type = {.tag = KAL_TYPE_INT}, .integer = 0}};
    kal_table_options options = kal_table_options_shared(KAL_ACCESS_PUBLIC);
    kal_table_definition *def = NULL;
    kal_column columns[COLUMNS];
    char names[COLUMNS][32];
    char name[32];
    kal_error err = KAL_ERROR_INIT;

    for (uint32_t c = 0; c < column_count; c++) {
        snprintf(names[c], sizeof names[c], "column_name_%u", c);
        columns[c] =
            kal_column_simple(names[c], c + 1, kal_type_of(TYPES[c % KAL_ARRAY_LEN(TYPES)]));
        if (c % 10 == 2) /* one in ten has a default */
            columns[c].default_value = &zero;
    }
    columns[column_count / 2].is_nullable = false;
    columns[column_count / 2].is_primary_key = true;
    must(kal_table_definition_create(NS, table_name(i, name), KAL_TABLE_SHARED, columns,
                                     column_count, NULL, 0, &options, 1, arena, &def, &err),
         &err);
    return def;
}

static void fill(kal_catalog *catalog, size_t tables, uint32_t column_count)
{
    for (size_t i = 0; i < tables; i++) {
        kal_arena arena;
        kal_error err = KAL_ERROR_INIT;
        bool existed = false;
        kal_arena_init(&arena, NULL);
        kal_catalog_change *change = kal_catalog_begin(catalog, &ROOT);
        must(kal_catalog_create_table(change, definition(i, column_count, &arena), false, &existed,
                                      &err),
             &err);
        must(kal_catalog_commit(change, &err), &err);
        kal_catalog_end(change);
        kal_arena_release(&arena);
    }
}

/* ---- the peer: a map of names in shards with rwlocks ---- */

enum { PEER_SHARDS = 16 };
typedef struct peer {
    pthread_rwlock_t locks[PEER_SHARDS];
    kal_map maps[PEER_SHARDS];
} peer;

static kal_bytes peer_key(kal_bytes name, char out[64])
{
    return kal_bytes_of(out, (size_t)snprintf(out, 64, "default.%.*s", KAL_FMT(name)));
}

static void *peer_find(peer *p, kal_bytes key)
{
    size_t shard = kal_hash(key) % PEER_SHARDS;
    pthread_rwlock_rdlock(&p->locks[shard]);
    void *found = kal_map_find(&p->maps[shard], key);
    pthread_rwlock_unlock(&p->locks[shard]);
    return found;
}

static void peer_put(peer *p, kal_bytes key, kal_table *table)
{
    kal_map_put(&p->maps[kal_hash(key) % PEER_SHARDS], key, table);
}

static void peer_init(peer *p)
{
    for (size_t i = 0; i < PEER_SHARDS; i++) {
        pthread_rwlock_init(&p->locks[i], NULL);
        kal_map_init(&p->maps[i]);
    }
}

/* ---- look-ups ---- */

typedef enum way { BY_NAME, BY_ID, BY_PEER } way;

typedef struct reader {
    kal_catalog *catalog;
    peer *peer;
    const kal_bytes *names; /* HOT of them */
    const kal_bytes *keys;
    const uint32_t *ids;
    way way;
    size_t lookups;
    double ns; /* CPU of one */
} reader;

static void read_tables(void *context)
{
    reader *r = context;
    kal_catalog_worker *worker = kal_catalog_worker_open(r->catalog);
    kal_table *table = NULL;
    uintptr_t sum = 0;

    for (size_t i = 0; i < HOT; i++) { /* warm */
        must(kal_catalog_get_table(worker, NS, r->names[i], &table, NULL), NULL);
        must(kal_catalog_get_table_by_id(worker, r->ids[i], &table, NULL), NULL);
    }
    double start = cpu_ns();
    for (size_t i = 0; i < r->lookups; i++) {
        size_t at = i * 7 & (HOT - 1);
        if (r->way == BY_PEER)
            table = peer_find(r->peer, r->keys[at]);
        else if ((r->way == BY_NAME
                      ? kal_catalog_get_table(worker, NS, r->names[at], &table, NULL)
                      : kal_catalog_get_table_by_id(worker, r->ids[at], &table, NULL)) != KAL_OK)
            kal_die("a table is missing");
        sum += (uintptr_t)table;
    }
    r->ns = (cpu_ns() - start) / (double)r->lookups;
    KAL_ASSERT(sum != 1);
    kal_catalog_worker_close(worker);
}

/* The mean of the threads. */
static double run_readers(const reader *model, size_t count)
{
    reader *readers = calloc(count, sizeof *readers);
    pthread_t *threads = calloc(count, sizeof *threads);
    double sum = 0;
    KAL_ASSERT(readers != NULL && threads != NULL);
    for (size_t i = 0; i < count; i++) {
        readers[i] = *model;
        must(kal_thread_start(&threads[i], "reader", 0, read_tables, &readers[i], NULL), NULL);
    }
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        sum += readers[i].ns;
    }
    free(readers);
    free(threads);
    return sum / (double)count;
}

static void bench_lookups(kal_catalog *catalog)
{
    static const char *const NAMES[] = {"lookup by name", "lookup by id", "peer lookup by name"};
    static const size_t THREADS[] = {1, 2, 100};
    static char texts[HOT][32];
    static char key_texts[HOT][64];
    kal_bytes names[HOT];
    kal_bytes keys[HOT];
    uint32_t ids[HOT];
    peer p = {0};
    kal_catalog_worker *worker = kal_catalog_worker_open(catalog);

    peer_init(&p);
    for (size_t i = 0; i < HOT; i++) {
        kal_table *table = NULL;
        names[i] = table_name(i * 13, texts[i]);
        keys[i] = peer_key(names[i], key_texts[i]);
        must(kal_catalog_get_table(worker, NS, names[i], &table, NULL), NULL);
        ids[i] = table->def->table_id;
        peer_put(&p, keys[i], table);
    }
    for (size_t t = 0; t < KAL_ARRAY_LEN(THREADS); t++) {
        double ns[3][ROUNDS];
        for (size_t round = 0; round < ROUNDS; round++) {
            for (size_t w = 0; w < 3; w++) {
                reader model = {.catalog = catalog,
                                .peer = &p,
                                .names = names,
                                .keys = keys,
                                .ids = ids,
                                .way = (way)w,
                                .lookups = LOOKUPS / THREADS[t]};
                ns[w][round] = run_readers(&model, THREADS[t]);
            }
        }
        for (size_t w = 0; w < 3; w++) {
            char name[64];
            snprintf(name, sizeof name, "%s, %zu thread%s, ns", NAMES[w], THREADS[t],
                     THREADS[t] == 1 ? "" : "s");
            figure(name, median(ns[w], ROUNDS));
        }
    }
    kal_catalog_worker_close(worker);
}

/* One thread that goes round among as many tables as the cache holds. */
static void bench_many(void)
{
    enum { MANY = 9900, TIMES = 100 };
    static char texts[MANY][32];
    static kal_bytes names[MANY];
    static uint32_t ids[MANY];
    static char key_texts[MANY][64];
    static kal_bytes keys[MANY];
    peer p = {0};
    kal_kv *kv = kal_kv_open_mem();
    kal_catalog *catalog = NULL;
    kal_table *table = NULL;
    uintptr_t sum = 0;

    peer_init(&p);
    must(kal_catalog_open(kv, kal_clock_system(), NULL, &catalog, NULL), NULL);
    kal_catalog_worker *worker = kal_catalog_worker_open(catalog);
    fill(catalog, MANY, 1);
    for (size_t i = 0; i < MANY; i++) {
        names[i] = table_name(i * 7919 % MANY, texts[i]);
        must(kal_catalog_get_table(worker, NS, names[i], &table, NULL), NULL);
        ids[i] = table->def->table_id;
        must(kal_catalog_get_table_by_id(worker, ids[i], &table, NULL), NULL);
        keys[i] = peer_key(names[i], key_texts[i]);
        peer_put(&p, keys[i], table);
    }
    kal_cache_stats before = kal_catalog_cache_stats(catalog);
    double start = cpu_ns();
    for (size_t i = 0; i < (size_t)MANY * TIMES; i++) {
        must(kal_catalog_get_table(worker, NS, names[i % MANY], &table, NULL), NULL);
        sum += table->hot_id; /* the table is looked at, as with the peer */
    }
    double by_name = (cpu_ns() - start) / MANY / TIMES;
    start = cpu_ns();
    for (size_t i = 0; i < (size_t)MANY * TIMES; i++) {
        must(kal_catalog_get_table_by_id(worker, ids[i % MANY], &table, NULL), NULL);
        sum += (uintptr_t)table;
    }
    double by_id = (cpu_ns() - start) / MANY / TIMES;
    kal_cache_stats after = kal_catalog_cache_stats(catalog);
    start = cpu_ns();
    for (size_t i = 0; i < (size_t)MANY * TIMES; i++)
        sum += (uintptr_t)((kal_table *)peer_find(&p, keys[i % MANY]))->hot_id;
    double by_peer = (cpu_ns() - start) / MANY / TIMES;
    KAL_ASSERT(sum != 1);
    figure("peer lookup by name, going round 9,900 tables, ns", by_peer);
    figure("lookup by name, going round 9,900 tables, ns", by_name);
    figure("lookup by id, going round 9,900 tables, ns", by_id);
    figure("locks taken by these 1,980,000 look-ups",
           (double)(after.slow_path_locks - before.slow_path_locks));
    kal_catalog_worker_close(worker);
    kal_catalog_close(catalog);
    kal_kv_close(kv);
}

static void bench_hit_rate(kal_catalog *catalog)
{
    kal_catalog_worker *worker = kal_catalog_worker_open(catalog);
    kal_cache_stats before = kal_catalog_cache_stats(catalog);
    kal_rng rng;
    kal_rng_seed(&rng, 1);
    for (size_t i = 0; i < 10000; i++) {
        char text[32];
        kal_table *table = NULL;
        must(kal_catalog_get_table(worker, NS, table_name(kal_rng_below(&rng, TABLES), text),
                                   &table, NULL),
             NULL);
    }
    kal_cache_stats after = kal_catalog_cache_stats(catalog);
    figure("hit rate of 10,000 look-ups", (double)(after.hits - before.hits) / 10000);
    kal_catalog_worker_close(worker);
}

/* ---- types ---- */

static void bench_types(void)
{
    enum { CONVERSIONS = 2000000, KINDS = 32 };
    const kal_type_forms *kept[KINDS];
    kal_bytes names[KINDS];
    double to[ROUNDS];
    double from_arrow[ROUNDS];
    double from_duckdb[ROUNDS];
    kal_type_forms scratch;
    kal_type type;
    uintptr_t sum = 0;

    for (unsigned i = 0; i < KINDS; i++) {
        type = i < 15   ? kal_type_of((kal_type_tag)(i < 12    ? i + 1
                                                     : i == 12 ? 0x0E
                                                     : i == 13 ? 0x10
                                                               : 0x11))
               : i < 24 ? kal_type_decimal(i, i - 14)
                        : kal_type_embedding(i * 16);
        kept[i] = kal_type_forms_of(type, &scratch);
        names[i] = kal_cstr(kept[i]->duckdb);
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        double start = cpu_ns();
        for (size_t i = 0; i < CONVERSIONS; i++)
            sum += (uintptr_t)kal_type_forms_of(kept[i & (KINDS - 1)]->type, &scratch);
        to[round] = (cpu_ns() - start) / CONVERSIONS;
        start = cpu_ns();
        for (size_t i = 0; i < CONVERSIONS; i++) {
            const kal_type_forms *f = kept[i & (KINDS - 1)];
            sum += kal_type_of_arrow(f->arrow_format, f->arrow_metadata, &type);
        }
        from_arrow[round] = (cpu_ns() - start) / CONVERSIONS;
        start = cpu_ns();
        for (size_t i = 0; i < CONVERSIONS; i++)
            sum += kal_type_of_duckdb(names[i & (KINDS - 1)], &type);
        from_duckdb[round] = (cpu_ns() - start) / CONVERSIONS;
    }
    KAL_ASSERT(sum != 1);
    figure("type to Arrow or DuckDB, ns", median(to, ROUNDS));
    figure("type from Arrow, ns", median(from_arrow, ROUNDS));
    figure("type from DuckDB, ns", median(from_duckdb, ROUNDS));
}

/* ---- loading, memory ---- */

static void bench_load(kal_catalog *catalog)
{
    double us[ROUNDS];
    for (size_t round = 0; round < ROUNDS; round++) {
        double start = cpu_ns();
        for (size_t i = 0; i < LOADS; i++) {
            char text[32];
            kal_table *table = NULL;
            kal_error err = KAL_ERROR_INIT;
            must(kal_table_store_load(catalog, NS, table_name(i % TABLES, text), &table, &err),
                 &err);
            kal_table_release(table);
        }
        us[round] = (cpu_ns() - start) / LOADS / 1000;
    }
    figure("uncached load of 50 columns, us", median(us, ROUNDS));
}

static double heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return (double)(info.uordblks + info.hblkhd);
}

static double resident_bytes(void)
{
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm == NULL || fscanf(statm, "%*d %ld", &pages) != 1)
        kal_die("cannot read /proc/self/statm");
    fclose(statm);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* What a catalog of plain structs and strings holds for a table: the original's fields, with its
 * history, whose steps carry their Arrow schema as text. */
typedef struct plain_column {
    char *name;
    char *data_type;
    char *default_value;
    char *comment;
    uint32_t ordinal;
    uint32_t column_id;
    bool is_nullable;
    bool is_primary_key;
    bool is_partition_key;
} plain_column;

typedef struct plain_table {
    char *namespace_id;
    char *table_name;
    char *table_type;
    char *options;
    plain_column *columns;
    size_t column_count;
    char *changes;
    char *arrow_schema;
} plain_table;

static char *text_of(kal_buf *text)
{
    char *copy = strndup((const char *)text->ptr, text->len);
    kal_buf_clear(text);
    return copy;
}

static plain_table *plain_table_of(const kal_table_definition *def, bool with_arrow)
{
    plain_table *t = calloc(1, sizeof *t);
    kal_buf text;
    kal_json_writer w;

    KAL_ASSERT(t != NULL);
    kal_buf_init(&text, NULL);
    t->namespace_id = strndup((const char *)def->namespace_id.ptr, def->namespace_id.len);
    t->table_name = strndup((const char *)def->table_name.ptr, def->table_name.len);
    t->table_type = strdup(kal_table_type_name(def->table_type));
    t->changes = strdup("Initial schema");
    kal_json_writer_init(&w, &text);
    kal_table_options_write_json(&def->options, &w);
    t->options = text_of(&text);
    if (with_arrow) {
        kal_table_definition_arrow_json(def, &text);
        t->arrow_schema = text_of(&text);
    }
    t->column_count = def->column_count;
    t->columns = calloc(t->column_count, sizeof *t->columns);
    KAL_ASSERT(t->columns != NULL);
    for (uint32_t i = 0; i < def->column_count; i++) {
        const kal_column *c = &def->columns[i];
        char type[KAL_TYPE_NAME_BYTES];
        plain_column *p = &t->columns[i];
        p->name = strndup((const char *)c->name.ptr, c->name.len);
        p->data_type = strdup(kal_type_name(c->type, type));
        p->ordinal = c->ordinal_position;
        p->column_id = c->column_id;
        p->is_nullable = c->is_nullable;
        p->is_primary_key = c->is_primary_key;
        if (c->default_value == NULL)
            continue;
        kal_column_default_to_sql(c->default_value, &text);
        p->default_value = text_of(&text);
    }
    kal_buf_release(&text);
    return t;
}

static void bench_memory(kal_catalog *catalog)
{
    static kal_table *tables[TABLES];
    static plain_table *plain[TABLES]; /* kept, as catalogs are */
    char text[32];

    malloc_trim(0);
    double resident = resident_bytes();
    double heap = heap_bytes();
    for (size_t i = 0; i < TABLES; i++)
        must(kal_table_store_load(catalog, NS, table_name(i, text), &tables[i], NULL), NULL);
    double ours = heap_bytes() - heap;
    figure("resident memory of 1,000 tables of 50 columns, MB",
           (resident_bytes() - resident) / 1e6);
    for (int with_arrow = 0; with_arrow < 2; with_arrow++) {
        heap = heap_bytes();
        for (size_t i = 0; i < TABLES; i++)
            plain[i] = plain_table_of(tables[i]->def, with_arrow != 0);
        KAL_ASSERT(plain[TABLES - 1]->column_count == COLUMNS);
        double theirs = heap_bytes() - heap;
        figure(with_arrow ? "bytes per column, plain structs and strings"
                          : "bytes per column, plain structs and strings without Arrow texts",
               theirs / TABLES / COLUMNS);
    }
    figure("bytes per column", ours / TABLES / COLUMNS);
    for (size_t i = 0; i < TABLES; i++)
        kal_table_release(tables[i]);
}

int main(void)
{
    kal_kv *kv = kal_kv_open_mem();
    kal_catalog *catalog = NULL;
    kal_error err = KAL_ERROR_INIT;

    must(kal_catalog_open(kv, kal_clock_system(), NULL, &catalog, &err), &err);
    fill(catalog, TABLES, COLUMNS);
    printf("{");
    bench_memory(catalog);
    bench_lookups(catalog);
    bench_many();
    bench_hit_rate(catalog);
    bench_types();
    bench_load(catalog);
    printf("\n}\n");
    kal_catalog_close(catalog);
    kal_kv_close(kv);
    return 0;
}
