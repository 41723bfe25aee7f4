/*
 * Readers, writers, flushes and compactions at the same time.
 *
 * Goal: every reader sees rows of one moment, each once, wherever they lie and whatever is moved
 * meanwhile. Method: writers move amounts between rows, give rows other keys, and put copies in
 * place of them, so that at every moment there are ROWS rows with the same sum; a thread flushes
 * and compacts all the time; readers ask for count, distinct keys and sum through DuckDB and
 * without it, and for single rows. Once over a SHARED table, once over a USER table where two users
 * have rows with the same keys.
 */
#include "unit/base/seed.h"

#include "base/assert.h"
#include "base/thread.h"
#include "sql/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 300, AMOUNT = 100, USERS = 2, OPERATIONS = 250, SQL_BYTES = 512 };

static const char *const USER_NAMES[USERS] = {"ann", "bob"};

typedef struct shared {
    test_db *db;
    bool is_user_table;
    uint64_t seed;
    _Atomic bool stop;
    _Atomic unsigned wrong;
    _Atomic unsigned writes;
    _Atomic unsigned conflicts;
    _Atomic unsigned reads;
    _Atomic unsigned flushes;
} shared;

typedef struct member {
    shared *shared;
    unsigned number;
    kal_rng rng;
    pthread_t thread;
} member;

static uint64_t below(member *m, uint64_t n)
{
    return kal_rng_below(&m->rng, n);
}

static const char *user_of(const member *m, unsigned user)
{
    return m->shared->is_user_table ? USER_NAMES[user % USERS] : "root";
}

static void report(member *m, const char *user, const char *sql, const test_reply *reply)
{
    fprintf(stderr, "%s: %s\n  %.3000s\n", user, sql, (const char *)reply->text.ptr);
    atomic_fetch_add(&m->shared->wrong, 1);
}

/* ---- writers ---- */

static void make_write(member *m, char sql[SQL_BYTES])
{
    int a = (int)below(m, ROWS);
    int b = (int)below(m, ROWS);
    int x = (int)below(m, 50);

    switch (below(m, 6)) {
    case 0: /* another key, and back */
        snprintf(sql, SQL_BYTES, "UPDATE app.t SET id = id + 1000 WHERE id = %d", a);
        return;
    case 1:
        snprintf(sql, SQL_BYTES, "UPDATE app.t SET id = id - 1000 WHERE id >= 1000");
        return;
    case 2: /* a copy under another key in place of the row */
        snprintf(sql, SQL_BYTES,
                 "BEGIN; INSERT INTO app.t SELECT id + 1000, n, pad, fixed FROM app.t WHERE id = "
                 "%d; DELETE FROM app.t WHERE id = %d; COMMIT",
                 a, a);
        return;
    case 3: /* for DuckDB */
        snprintf(sql, SQL_BYTES,
                 "UPDATE app.t SET pad = reverse(coalesce(pad, 'abc')) WHERE id %% 37 = %d",
                 (int)below(m, 37));
        return;
    case 4: /* ranges: of four rows each, as much as of the other */
        snprintf(sql, SQL_BYTES,
                 "BEGIN; UPDATE app.t SET n = n - %d WHERE fixed >= %d AND fixed < %d; "
                 "UPDATE app.t SET n = n + %d WHERE fixed >= %d AND fixed < %d; COMMIT",
                 x, a / 4 * 4, a / 4 * 4 + 4, x, b / 4 * 4, b / 4 * 4 + 4);
        return;
    default:
        /* Rows that have another key now are not there: both or none. */
        snprintf(sql, SQL_BYTES,
                 "BEGIN; UPDATE app.t SET n = n - %d WHERE fixed = %d; UPDATE app.t SET n = n + %d "
                 "WHERE fixed = %d; COMMIT",
                 x, a, x, b);
        return;
    }
}

static void write_rows(void *context)
{
    member *m = context;
    for (int i = 0; i < OPERATIONS; i++) {
        char sql[SQL_BYTES];
        const char *user = user_of(m, (unsigned)below(m, USERS));
        make_write(m, sql);
        test_reply reply = test_db_query(m->shared->db, &(test_query){.user = user, .sql = sql});
        if (reply.code == NULL)
            atomic_fetch_add(&m->shared->writes, 1);
        else if (strcmp(reply.code, "TRANSACTION_CONFLICT") == 0)
            atomic_fetch_add(&m->shared->conflicts, 1);
        else
            report(m, user, sql, &reply);
        test_reply_release(&reply);
    }
}

/* ---- readers ---- */

static void read_all(member *m, const char *user)
{
    static const kal_path PATHS[] = {KAL_PATH_AUTO, KAL_PATH_ENGINE};
    static const char SQL[] = "SELECT count(*), count(DISTINCT id), count(DISTINCT fixed), "
                              "sum(n), min(fixed), max(fixed) FROM app.t";
    char wanted[128];
    test_query query = {.user = user, .sql = SQL, .path = PATHS[below(m, 2)]};
    test_reply reply = test_db_query(m->shared->db, &query);
    kal_json_writer w;
    kal_buf found;

    snprintf(wanted, sizeof wanted, "[[\"%d\",\"%d\",\"%d\",\"%d\",0,%d]]", ROWS, ROWS, ROWS,
             ROWS * AMOUNT, ROWS - 1);
    kal_buf_init(&found, NULL);
    kal_json_writer_init(&w, &found);
    if (reply.code == NULL)
        kal_json_write_tree(reply.rows, &w);
    if (!kal_bytes_equal(kal_buf_bytes(&found), kal_cstr(wanted)))
        report(m, user, SQL, &reply);
    kal_buf_release(&found);
    test_reply_release(&reply);
}

/* A row has the one key or the other, never both, never none. */
static void read_one(member *m, const char *user)
{
    char sql[SQL_BYTES];
    int id = (int)below(m, ROWS);
    if (below(m, 2) == 0)
        snprintf(sql, sizeof sql, "SELECT fixed FROM app.t WHERE id IN (%d, %d)", id, id + 1000);
    else
        snprintf(sql, sizeof sql,
                 "BEGIN; SELECT n FROM app.t WHERE id = %d; SELECT fixed FROM "
                 "app.t WHERE fixed = %d; COMMIT",
                 id, id);
    test_reply reply = test_db_query(m->shared->db, &(test_query){.user = user, .sql = sql});
    const kal_json *results = kal_json_find(reply.json, "results");
    const kal_json *rows = reply.code == NULL && sql[0] == 'B'
                               ? kal_json_find(&results->items[2], "rows")
                               : reply.rows;
    if (reply.code != NULL || rows == NULL || rows->len != 1)
        report(m, user, sql, &reply);
    test_reply_release(&reply);
}

static void read_rows(void *context)
{
    member *m = context;
    while (!atomic_load(&m->shared->stop)) {
        const char *user = user_of(m, (unsigned)below(m, USERS));
        if (below(m, 2) == 0)
            read_all(m, user);
        else
            read_one(m, user);
        atomic_fetch_add(&m->shared->reads, 1);
    }
}

static void flush(void *context)
{
    member *m = context;
    for (unsigned i = 0; !atomic_load(&m->shared->stop); i++) {
        const char *sql = i % 5 == 4 ? "STORAGE COMPACT TABLE app.t" : "FLUSH TABLE app.t";
        test_reply reply = test_db_query(m->shared->db, &(test_query){.sql = sql});
        /* The server's own task may be at it. */
        if (reply.code != NULL && strcmp(reply.code, "RATE_LIMIT_EXCEEDED") != 0)
            report(m, "root", sql, &reply);
        atomic_fetch_add(&m->shared->flushes, reply.code == NULL);
        test_reply_release(&reply);
    }
}

/* ---- a run ---- */

static void fill(shared *s)
{
    test_db_run(s->db, "CREATE NAMESPACE app");
    for (int i = 0; i < USERS; i++)
        test_db_add_user(s->db, USER_NAMES[i], KAL_ROLE_USER);
    test_db_run(
        s->db,
        s->is_user_table
            ? "CREATE USER TABLE app.t (id BIGINT PRIMARY KEY, n BIGINT, pad TEXT, fixed INT)"
            : "CREATE SHARED TABLE app.t (id BIGINT PRIMARY KEY, n BIGINT, pad TEXT, fixed INT)");
    for (int i = 0; i < (s->is_user_table ? USERS : 1); i++) {
        char sql[SQL_BYTES];
        snprintf(sql, sizeof sql, "INSERT INTO app.t SELECT i, %d, NULL, i FROM range(0, %d) r(i)",
                 AMOUNT, ROWS);
        const char *user = s->is_user_table ? USER_NAMES[i] : "root";
        test_reply reply = test_db_query(s->db, &(test_query){.user = user, .sql = sql});
        if (reply.code != NULL)
            fail_msg("%s: %s", sql, reply.message);
        test_reply_release(&reply);
    }
}

static void run(bool is_user_table)
{
    static void (*const WORK[])(void *) = {flush, read_rows, read_rows, write_rows, write_rows};
    shared s = {.db = test_db_open(false), .is_user_table = is_user_table};
    member members[KAL_ARRAY_LEN(WORK)];
    kal_rng rng;

    s.seed = kal_test_seed(&rng);
    fill(&s);
    for (unsigned i = 0; i < KAL_ARRAY_LEN(WORK); i++) {
        members[i] = (member){.shared = &s, .number = i};
        kal_rng_seed(&members[i].rng, s.seed * KAL_ARRAY_LEN(WORK) + i);
        assert_int_equal(
            kal_thread_start(&members[i].thread, "member", 0, WORK[i], &members[i], NULL), KAL_OK);
    }
    for (unsigned i = KAL_ARRAY_LEN(WORK); i-- > 0;) {
        if (i == 2)
            atomic_store(&s.stop, true); /* the writers are at their end */
        pthread_join(members[i].thread, NULL);
    }
    fprintf(stderr, "%u writes, %u conflicts, %u reads, %u flushes\n", s.writes, s.conflicts,
            s.reads, s.flushes);
    assert_int_equal(s.wrong, 0);
    assert_true(s.writes > OPERATIONS / 2);
    for (unsigned user = 0; user < USERS; user++)
        read_all(&members[1], user_of(&members[1], user));
    assert_int_equal(s.wrong, 0);
    test_db_close(s.db);
}

static void test_shared_table(void **state)
{
    (void)state;
    run(false);
}

static void test_user_table(void **state)
{
    (void)state;
    run(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared_table),
        cmocka_unit_test(test_user_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
