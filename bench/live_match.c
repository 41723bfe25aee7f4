/*
 * live_match.c: what it costs to find out, among many subscriptions to one table, whom a change
 * concerns. Everything of the server but its sockets, in one process: real INSERTs go through the
 * write lane, their changes come to a worker of live queries, whose messages are only counted. CPU
 * is that of the worker's thread; that of the lane for handing changes over is given beside it.
 *
 *   bench_live_match DATA_DIR [SUBSCRIPTIONS [CASES]]      100000, those of such a name; prints
 * JSON
 *
 *   equality  k = v                 as many as are hit have the same text
 *   in        k IN (v, another)     each its own text
 *   range     n BETWEEN v AND w     each its own text, overlapping
 */
#include "exec/exec_internal.h"
#include "live/live_internal.h"

#include "measure.h"

#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

enum { PER_CLIENT = 10, ROUNDS = 5, CHANGES = 2000, PER_INSERT = 500, FAR = 100000000 };

typedef enum filter { FILTER_EQUALITY, FILTER_IN, FILTER_RANGE } filter;

static struct {
    kal_exec *exec;
    kal_live_worker *worker;
    kal_principal principal;
    kal_live_client **clients;
    unsigned subs;
    unsigned table; /* number of the one that is used: each subscription looks through its rows */
    uint64_t messages;
    uint64_t next_id;
    double lane_ns; /* CPU of handing changes over */
    kal_tables_observer observer;
} bench;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* ---- statements ---- */

typedef struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
} waiter;

static void on_done(kal_exec_request *request)
{
    waiter *w = request->context;
    pthread_mutex_lock(&w->lock);
    w->done = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void run(const char *sql)
{
    waiter w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    kal_exec_request request = {
        .sql = kal_cstr(sql),
        .principal = bench.principal,
        .peer = "127.0.0.1",
        .done = on_done,
        .context = &w,
    };

    kal_exec_submit(bench.exec, &request);
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.changed, &w.lock);
    pthread_mutex_unlock(&w.lock);
    if (request.reply.http_status != 200)
        fail(sql, (const char *)request.reply.body.ptr);
    kal_exec_request_release(&request);
}

/* ---- subscribers ---- */

static kal_wire wire(void *connection)
{
    (void)connection;
    return KAL_WIRE_JSON;
}

static bool on_send(void *connection, const kal_message_head *head, kal_message_body *body)
{
    (void)connection;
    (void)head;
    (void)body;
    bench.messages++;
    return true;
}

static void on_expel(void *connection, const kal_error *err)
{
    (void)connection;
    fail("expelled", err->message);
}

static const kal_live_client_ops OPS = {wire, on_send, on_expel};

/* Until so many messages were sent. */
static void step_until(uint64_t messages)
{
    while (bench.messages < messages) {
        if (!kal_live_worker_step(bench.worker))
            usleep(20);
    }
}

/* Values of the subscription; each is asked for by `hits` subscriptions. */
static void write_sql(char *out, size_t size, filter f, unsigned i, unsigned hits)
{
    unsigned value = i / hits;

    switch (f) {
    case FILTER_EQUALITY:
        snprintf(out, size, "SELECT * FROM bench.t%u WHERE k = %u", bench.table, value);
        return;
    case FILTER_IN:
        snprintf(out, size, "SELECT * FROM bench.t%u WHERE k IN (%u, %u)", bench.table, value,
                 FAR + i);
        return;
    case FILTER_RANGE:
        snprintf(out, size, "SELECT * FROM bench.t%u WHERE n BETWEEN %u AND %u", bench.table, i,
                 i + hits - 1);
        return;
    }
}

static void subscribe(kal_live_client *client, unsigned i, filter f, unsigned hits)
{
    kal_error err = KAL_ERROR_INIT;
    char sql[160];
    char id[32];

    write_sql(sql, sizeof sql, f, i, hits);
    snprintf(id, sizeof id, "s%u", i);
    kal_live_request request = {
        .id = kal_cstr(id), .sql = kal_cstr(sql), .has_last_rows = true, .last_rows = 1};
    if (kal_exec_subscribe(bench.exec, client, &request, &err) != KAL_OK)
        fail(sql, err.message);
}

static void subscribe_all(filter f, unsigned hits)
{
    uint64_t due = bench.messages;

    bench.clients = calloc(bench.subs / PER_CLIENT + 1, sizeof *bench.clients);
    for (unsigned i = 0; i < bench.subs; i++) {
        kal_live_client **client = &bench.clients[i / PER_CLIENT];
        if (*client == NULL)
            *client = kal_live_client_open(bench.worker, &bench.principal, 1, &OPS, NULL);
        subscribe(*client, i, f, hits);
        due += 2; /* the acknowledgement, the first rows */
        if (i % 32 == 31)
            step_until(due);
    }
    step_until(due);
}

static void unsubscribe_all(void)
{
    for (unsigned i = 0; i * PER_CLIENT < bench.subs; i++)
        kal_live_client_close(bench.clients[i]);
    free(bench.clients);
    bench.clients = NULL;
}

/* ---- changes ---- */

static void on_committed(void *context, const kal_change *changes, size_t count)
{
    const kal_tables_observer *live = context;
    double begun = cpu_ns();
    live->committed(live->context, changes, count);
    bench.lane_ns += cpu_ns() - begun;
}

static void on_altered(void *context)
{
    const kal_tables_observer *live = context;
    live->altered(live->context);
}

/* Rows whose k and n are values that subscriptions have, or none has. */
static void insert(unsigned count, unsigned values, bool is_far)
{
    kal_buf sql; /* owned */
    char row[160];

    kal_buf_init(&sql, NULL);
    snprintf(row, sizeof row, "INSERT INTO bench.t%u VALUES ", bench.table);
    kal_buf_append_cstr(&sql, row);
    for (unsigned i = 0; i < count; i++) {
        uint64_t id = bench.next_id++;
        uint64_t value = id * 7919 % values + (is_far ? 2u * FAR : 0);
        snprintf(row, sizeof row,
                 "%s(%llu, %llu, %llu, 'a text of forty characters, more or less')",
                 i == 0 ? "" : ", ", (unsigned long long)id, (unsigned long long)value,
                 (unsigned long long)value);
        kal_buf_append_cstr(&sql, row);
    }
    kal_buf_append_byte(&sql, 0);
    run((const char *)sql.ptr);
    kal_buf_release(&sql);
}

/* CPU of the worker for a change, in ns. */
static double round_ns(unsigned values, bool is_far)
{
    double took = 0;
    uint64_t due = bench.worker->stamp + CHANGES;

    for (unsigned i = 0; i < CHANGES; i += PER_INSERT)
        insert(PER_INSERT, values, is_far);
    while (bench.worker->stamp < due) {
        double begun = cpu_ns();
        kal_live_worker_step(bench.worker);
        took += cpu_ns() - begun;
    }
    return took / CHANGES;
}

static double median_ns(unsigned values, bool is_far)
{
    double rounds[ROUNDS];
    for (unsigned i = 0; i < ROUNDS; i++)
        rounds[i] = round_ns(values, is_far);
    return median(rounds, ROUNDS);
}

/* ---- measuring ---- */

static double heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return (double)info.uordblks + (double)info.hblkhd;
}

static void make_table(void)
{
    char sql[160];
    snprintf(sql, sizeof sql,
             "CREATE SHARED TABLE bench.t%u (id BIGINT PRIMARY KEY, k BIGINT, n BIGINT, body TEXT)",
             ++bench.table);
    run(sql);
}

static void measure(filter f, const char *name, unsigned hits)
{
    make_table();
    double heap = heap_bytes();
    subscribe_all(f, hits);
    heap = (heap_bytes() - heap) / bench.subs;
    unsigned values = f == FILTER_RANGE ? bench.subs - hits : bench.subs / hits;
    round_ns(values, false); /* warm */
    bench.lane_ns = 0;
    double none = median_ns(values, true);
    double lane = bench.lane_ns / (ROUNDS * CHANGES);
    uint64_t before = bench.messages;
    double some = median_ns(values, false);
    double told = (double)(bench.messages - before) / (ROUNDS * CHANGES);
    fprintf(stderr,
            "%s, %.0f hits: %.0f ns a change without hits, %.0f with, %.1f a hit; lane %.0f; "
            "%.0f bytes a subscription\n",
            name, told, none, some, (some - none) / told, lane, heap);
    printf("  \"%u subscriptions, %s: a change that concerns nobody, ns\": %.1f,\n"
           "  \"%u subscriptions, %s: each of %.0f hits of a change, ns\": %.1f,\n"
           "  \"%u subscriptions, %s: memory of one, bytes\": %.0f",
           bench.subs, name, none, bench.subs, name, told, (some - none) / told, bench.subs, name,
           heap);
    unsubscribe_all();
}

static void open_database(const char *dir)
{
    kal_error err = KAL_ERROR_INIT;
    const kal_exec_options options = {
        .data_dir = dir,
        .duckdb_library = "",
        .files = kal_files_system(),
        .clock = kal_clock_system(),
        .flush_interval_ms = 86400000,
        .live_per_connection_max = PER_CLIENT,
        .live_per_user_max = bench.subs,
    };

    if (kal_exec_open(&options, &bench.exec, &err) != KAL_OK)
        fail(dir, err.message);
    bench.worker = kal_live_worker_of(kal_exec_live(bench.exec), 0);
    bench.principal = (kal_principal){.user_no = 1, .role = KAL_ROLE_SYSTEM, .user_id = "root"};
    bench.observer =
        (kal_tables_observer){&kal_exec_live(bench.exec)->observer, on_committed, on_altered};
    kal_tables_set_observer(bench.exec->tables, &bench.observer);
    run("CREATE NAMESPACE bench");
}

static const struct {
    filter filter;
    const char *name;
    unsigned hits;
} CASES[] = {
    {FILTER_EQUALITY, "k = v", 1},          {FILTER_EQUALITY, "k = v, one text", 100},
    {FILTER_IN, "k IN (v, w)", 1},          {FILTER_IN, "k IN (v, w)", 100},
    {FILTER_RANGE, "n BETWEEN v AND w", 1}, {FILTER_RANGE, "n BETWEEN v AND w", 100},
};

int main(int argc, char **argv)
{
    if (argc < 2)
        fail("usage", "bench_live_match DATA_DIR [SUBSCRIPTIONS [CASES]]");
    bench.subs = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 100000;
    open_database(argv[1]);
    printf("{\n");
    for (size_t i = 0; i < KAL_ARRAY_LEN(CASES); i++) {
        if (argc > 3 && strstr(CASES[i].name, argv[3]) == NULL)
            continue;
        measure(CASES[i].filter, CASES[i].name, CASES[i].hits);
        printf(i + 1 < KAL_ARRAY_LEN(CASES) ? ",\n" : "\n}\n");
    }
    kal_exec_close(bench.exec);
    return 0;
}
