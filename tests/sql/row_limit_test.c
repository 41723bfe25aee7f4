/*
 * max_rows_per_user against a count: random inserts of one or several rows, upserts, updates,
 * deletes, transactions, flushes, compactions, restarts, changes of the limit, by three users.
 *
 * Goal: a statement that would leave a user with more rows than the limit fails as a whole with
 * ROW_LIMIT_EXCEEDED, every other one succeeds, wherever the rows lie. Method: seeded runs; a
 * failure prints the seed, and ROW_LIMIT_SEED runs that one alone.
 */
#include "base/rng.h"
#include "sql/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RUNS = 3, STEPS = 150, USERS = 3, KEYS = 16, SQL_BYTES = 4096 };
static const char *const NAMES[USERS] = {"ann", "bob", "cid"};

typedef struct world {
    test_db *db;
    kal_rng rng;
    uint64_t seed;
    unsigned step;
    unsigned limit; /* 0: none */
    bool rows[USERS][KEYS];
} world;

static unsigned count(const bool *rows)
{
    unsigned n = 0;
    for (size_t i = 0; i < KEYS; i++)
        n += rows[i];
    return n;
}

/* Runs the statement and compares how it ends; the rows are `next` when it is to succeed. */
static void ask(world *w, size_t user, const char *sql, const bool *next, const char *code)
{
    test_reply reply = test_db_query(w->db, &(test_query){.user = NAMES[user], .sql = sql});
    const char *got = reply.code == NULL ? "success" : reply.code;
    if (strcmp(got, code == NULL ? "success" : code) != 0)
        fail_msg("seed %llu, step %u, limit %u, %u rows: %s: %s instead of %s (%s)",
                 (unsigned long long)w->seed, w->step, w->limit, count(w->rows[user]), sql, got,
                 code == NULL ? "success" : code, reply.code == NULL ? "" : reply.message);
    if (code == NULL)
        memcpy(w->rows[user], next, KEYS);
    test_reply_release(&reply);
}

static const char *ending(const world *w, size_t user, const bool *next, bool duplicate)
{
    if (duplicate)
        return "DUPLICATE_KEY";
    bool grows = count(next) > count(w->rows[user]);
    return w->limit > 0 && grows && count(next) > w->limit ? "ROW_LIMIT_EXCEEDED" : NULL;
}

/* Keys that are all there or all absent, so that only one thing can be wrong. */
static void insert(world *w, size_t user)
{
    char sql[SQL_BYTES] = "INSERT INTO app.t VALUES ";
    bool next[KEYS];
    bool upsert = kal_rng_chance(&w->rng, 1, 3);
    size_t first = kal_rng_below(&w->rng, KEYS);
    size_t end = first + 1 + kal_rng_below(&w->rng, 3);
    bool duplicate = false;

    memcpy(next, w->rows[user], KEYS);
    for (size_t k = first; k < end && k < KEYS; k++) {
        if (k > first && next[k] != w->rows[user][first] && !upsert)
            break;
        snprintf(sql + strlen(sql), 64, "%s(%zu, 'x')", k == first ? "" : ", ", k);
        duplicate = duplicate || (next[k] && !upsert);
        next[k] = true;
    }
    if (upsert)
        snprintf(sql + strlen(sql), 64, " ON CONFLICT (id) DO UPDATE SET s = s || 'y'");
    ask(w, user, sql, next, ending(w, user, next, duplicate));
}

static void take_away(world *w, size_t user)
{
    char sql[SQL_BYTES];
    bool next[KEYS];
    size_t first = kal_rng_below(&w->rng, KEYS);
    size_t end = first + 1 + kal_rng_below(&w->rng, 4);

    memcpy(next, w->rows[user], KEYS);
    for (size_t k = first; k < end && k < KEYS; k++)
        next[k] = false;
    snprintf(sql, sizeof sql, "DELETE FROM app.t WHERE id >= %zu AND id < %zu", first, end);
    ask(w, user, sql, next, NULL);
}

/* Deletes one and inserts one: what counts is how it ends. */
static void transact(world *w, size_t user)
{
    char sql[SQL_BYTES];
    bool next[KEYS];
    size_t gone = kal_rng_below(&w->rng, KEYS);
    size_t made = kal_rng_below(&w->rng, KEYS);

    memcpy(next, w->rows[user], KEYS);
    next[gone] = false;
    next[made] = true;
    snprintf(sql, sizeof sql,
             "BEGIN; DELETE FROM app.t WHERE id = %zu; INSERT INTO app.t VALUES (%zu, 'z') ON "
             "CONFLICT (id) DO NOTHING; COMMIT",
             gone, made);
    ask(w, user, sql, next, ending(w, user, next, false));
}

static void change_limit(world *w)
{
    char sql[SQL_BYTES];
    w->limit = (unsigned)kal_rng_below(&w->rng, KEYS);
    snprintf(sql, sizeof sql, "ALTER TABLE app.t SET TBLPROPERTIES (max_rows_per_user = %u)",
             w->limit);
    test_db_run(w->db, sql);
}

static void take_step(world *w)
{
    size_t user = kal_rng_below(&w->rng, USERS);
    unsigned what = (unsigned)kal_rng_below(&w->rng, 100);

    if (what < 55)
        insert(w, user);
    else if (what < 72)
        take_away(w, user);
    else if (what < 82)
        transact(w, user);
    else if (what < 90)
        test_db_run(w->db, "FLUSH TABLE app.t");
    else if (what < 93)
        test_db_run(w->db, "STORAGE COMPACT TABLE app.t");
    else if (what < 97)
        change_limit(w);
    else
        test_db_reopen(w->db);
}

static void run(uint64_t seed)
{
    world w = {.seed = seed, .limit = 5, .db = test_db_open(false)};

    kal_rng_seed(&w.rng, seed);
    test_db_run(w.db, "CREATE NAMESPACE app");
    for (size_t i = 0; i < USERS; i++)
        test_db_add_user(w.db, NAMES[i], KAL_ROLE_USER);
    test_db_run(w.db, "CREATE USER TABLE app.t (id BIGINT PRIMARY KEY, s TEXT) WITH "
                      "(MAX_ROWS_PER_USER = 5)");
    for (w.step = 0; w.step < STEPS; w.step++)
        take_step(&w);
    for (size_t i = 0; i < USERS; i++) {
        char rows[64];
        snprintf(rows, sizeof rows, "[[\"%u\"]]", count(w.rows[i]));
        test_db_expect(w.db, NAMES[i], "SELECT count(*) FROM app.t", rows);
    }
    test_db_close(w.db);
}

static void limits_hold(void **state)
{
    const char *one = getenv("ROW_LIMIT_SEED");
    (void)state;
    for (uint64_t seed = 1; one == NULL && seed <= RUNS; seed++)
        run(seed);
    if (one != NULL)
        run(strtoull(one, NULL, 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(limits_hold)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
