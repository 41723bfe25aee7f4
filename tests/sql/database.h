/*
 * database.h: a real database in a temporary directory, asked in SQL as the server does.
 *
 * Every reply is checked to be valid JSON of the protocol's shape. Failures end the test with the
 * statement and the reply.
 */
#ifndef KAL_TESTS_SQL_DATABASE_H
#define KAL_TESTS_SQL_DATABASE_H

#include "exec/exec_internal.h"
#include "types/json.h"

typedef struct test_db test_db;

/* sync: fsync at each commit. */
test_db *test_db_open(bool sync);
/* Rows are flushed and compacted when a statement says so, and not otherwise. */
test_db *test_db_open_still(void);
/* With this clock, which must outlive the database. */
test_db *test_db_open_at(const kal_clock *clock);
void test_db_close(test_db *db); /* and removes the directory */
/* Closes and opens again, as a restart. */
void test_db_reopen(test_db *db);
/* kill -9: freeze keeps the files as they are at this moment, whatever is being written by whom;
 * thaw closes the database and opens what was kept. What happens in between is lost. prepare makes
 * freeze quick: less than a millisecond after the call every thread of this process stands still
 * (SIGSTOP, from a child). */
void test_db_prepare_freeze(test_db *db);
void test_db_freeze(test_db *db);
void test_db_thaw(test_db *db);
kal_exec *test_db_exec(test_db *db);

typedef struct test_reply {
    kal_arena arena;
    int http_status;
    kal_bytes text; /* the whole body */
    const kal_json *json;
    const kal_json *rows;   /* of the first result; NULL for errors */
    const kal_json *schema; /* of the first result */
    const char *code;       /* of the error, or NULL */
    const char *message;
    const char *hint;
    int64_t position; /* of the error, or -1 */
} test_reply;

typedef struct test_query {
    const char *user; /* NULL: root */
    const char *sql;
    const char *params; /* JSON, or NULL */
    const char *ns;     /* NULL: default */
    kal_path path;
} test_query;

/* Release with test_reply_release(). */
test_reply test_db_query(test_db *db, const test_query *query);
void test_reply_release(test_reply *reply);

/* As root, must succeed. */
void test_db_run(test_db *db, const char *sql);
/* As user, must succeed; the rows as JSON text, to compare with: [[1,"a"],[2,null]]. */
void test_db_expect(test_db *db, const char *user, const char *sql, const char *rows);
/* As user, must fail with this code and a message that contains `part`. */
void test_db_expect_error(test_db *db, const char *user, const char *sql, const char *code,
                          const char *part);
/* A user with this name and role (without a password, so it costs nothing). */
void test_db_add_user(test_db *db, const char *name, kal_role role);

#endif
