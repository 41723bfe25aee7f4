#include "sql/database.h"

#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct test_db {
    char dir[128];
    bool sync;
    bool still;
    const kal_clock *clock;
    kal_exec *exec;
    FILE *freezer; /* a shell that waits for a line; NULL: none */
};

static void fail(const char *what, const char *sql, const char *detail)
{
    fprintf(stderr, "%s\n  statement: %s\n  %s\n", what, sql, detail);
    abort();
}

static void open_exec(test_db *db)
{
    kal_error err = KAL_ERROR_INIT;
    kal_exec_options options = {
        .data_dir = db->dir,
        .duckdb_library = KAL_TEST_DUCKDB,
        .files = kal_files_system(),
        .clock = db->clock,
        .query_threads = 2,
        .memory_limit_bytes = (size_t)1 << 30,
        .sync_commits = db->sync,
        .flush_interval_ms = db->still ? 24 * 3600 * 1000 : 0,
    };
    if (kal_exec_open(&options, &db->exec, &err) != KAL_OK)
        fail("cannot open the database", "", err.message);
}

static test_db *open_with(bool sync, bool still, const kal_clock *clock)
{
    test_db *db = calloc(1, sizeof *db);
    if (db == NULL)
        abort();
    const char *place = getenv("TMPDIR");
    if (snprintf(db->dir, sizeof db->dir, "%s/kalamdb-test-XXXXXX",
                 place == NULL ? "/tmp" : place) >= (int)sizeof db->dir)
        fail("TMPDIR is too long", "", place);
    if (mkdtemp(db->dir) == NULL)
        fail("cannot make a temporary directory", "", db->dir);
    db->sync = sync;
    db->still = still;
    db->clock = clock;
    open_exec(db);
    return db;
}

test_db *test_db_open(bool sync)
{
    return open_with(sync, false, kal_clock_system());
}

test_db *test_db_open_still(void)
{
    return open_with(false, true, kal_clock_system());
}

test_db *test_db_open_at(const kal_clock *clock)
{
    return open_with(true, false, clock);
}

enum { SHELL_BYTES = 512 };

static void shell_command(const char *script, const char *dir, char out[SHELL_BYTES])
{
    if (snprintf(out, SHELL_BYTES, "set -e; dir=%s; %s", dir, script) >= SHELL_BYTES)
        fail("a command of the shell is too long", script, dir);
}

static void run_shell(const char *script, const char *dir)
{
    char command[SHELL_BYTES];

    shell_command(script, dir, command);
    if (system(command) != 0)
        fail("a command of the shell failed", script, dir);
}

void test_db_close(test_db *db)
{
    kal_exec_close(db->exec);
    run_shell("rm -rf \"$dir\"", db->dir);
    free(db);
}

void test_db_reopen(test_db *db)
{
    kal_exec_close(db->exec);
    open_exec(db);
}

/* The copy is made while every thread of this process stands still. */
static const char FREEZE[] =
    "trap 'kill -CONT $PPID' EXIT; read -r line; kill -STOP $PPID; for i in $(seq 2000); do "
    "states=$(cat /proc/$PPID/task/*/stat | sed 's/.*) \\(.\\).*/\\1/' | sort -u); "
    "[ \"$states\" = T ] && cp -a \"$dir\" \"$dir.frozen\" && exit 0; done; "
    "echo \"states of the threads: $states\" >&2; exit 1";

void test_db_prepare_freeze(test_db *db)
{
    char command[SHELL_BYTES];

    shell_command(FREEZE, db->dir, command);
    db->freezer = popen(command, "w");
    if (db->freezer == NULL)
        fail("cannot start a shell", command, "");
}

void test_db_freeze(test_db *db)
{
    if (db->freezer == NULL)
        test_db_prepare_freeze(db);
    if (fputs("now\n", db->freezer) < 0 || pclose(db->freezer) != 0)
        fail("the process does not stand still", FREEZE, db->dir);
    db->freezer = NULL;
}

void test_db_thaw(test_db *db)
{
    kal_exec_close(db->exec);
    run_shell("rm -rf \"$dir\"; mv \"$dir.frozen\" \"$dir\"", db->dir);
    open_exec(db);
}

kal_exec *test_db_exec(test_db *db)
{
    return db->exec;
}

/* ---- one request ---- */

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

static kal_principal principal_of(test_db *db, const char *name)
{
    kal_arena arena;
    kal_user user;
    kal_principal p = {0};

    kal_arena_init(&arena, NULL);
    if (kal_catalog_get_user(db->exec->catalog, kal_cstr(name), &arena, &user, NULL) != KAL_OK)
        fail("there is no user", "", name);
    p.user_no = user.user_no;
    p.role = user.role;
    snprintf(p.user_id, sizeof p.user_id, "%s", name);
    kal_arena_release(&arena);
    return p;
}

static const char *text_of(const kal_json *json, test_reply *reply)
{
    return json == NULL ? "" : kal_arena_cstr(&reply->arena, json->text);
}

static void read_error(test_reply *reply, const kal_json *error)
{
    const kal_json *position = kal_json_find(error, "position");
    reply->code = text_of(kal_json_find(error, "code"), reply);
    reply->message = text_of(kal_json_find(error, "message"), reply);
    reply->hint = text_of(kal_json_find(error, "hint"), reply);
    if (position != NULL && !kal_parse_i64(position->text, &reply->position))
        abort();
}

static void read_reply(test_reply *reply, const char *sql)
{
    kal_json *json = NULL;
    kal_error err = KAL_ERROR_INIT;
    const char *text = (const char *)reply->text.ptr;

    if (kal_json_parse(reply->text, &reply->arena, &json, &err) != KAL_OK)
        fail("the reply is not JSON", sql, text);
    reply->json = json;
    const kal_json *status = kal_json_find(json, "status");
    const kal_json *results = kal_json_find(json, "results");
    const kal_json *error = kal_json_find(json, "error");
    if (status == NULL || results == NULL || kal_json_find(json, "took") == NULL)
        fail("the reply lacks a member", sql, text);
    bool success = kal_bytes_equal(status->text, KAL_STR("success"));
    if (success != (error == NULL) || success != (reply->http_status == 200))
        fail("the reply contradicts itself", sql, text);
    if (error != NULL)
        read_error(reply, error);
    if (!success || results->len == 0)
        return;
    reply->rows = kal_json_find(&results->items[results->len - 1], "rows");
    reply->schema = kal_json_find(&results->items[results->len - 1], "schema");
}

test_reply test_db_query(test_db *db, const test_query *query)
{
    waiter w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    test_reply reply = {.position = -1};
    kal_json *params = NULL;
    kal_error err = KAL_ERROR_INIT;

    kal_arena_init(&reply.arena, NULL);
    if (query->params != NULL &&
        kal_json_parse(kal_cstr(query->params), &reply.arena, &params, &err) != KAL_OK)
        fail("the test's parameters are not JSON", query->sql, query->params);
    kal_exec_request request = {
        .sql = kal_cstr(query->sql),
        .params = params,
        .namespace_id = query->ns == NULL ? (kal_bytes){0} : kal_cstr(query->ns),
        .principal = principal_of(db, query->user == NULL ? "root" : query->user),
        .peer = "127.0.0.1",
        .path = query->path,
        .done = on_done,
        .context = &w,
    };
    kal_exec_submit(db->exec, &request);
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.changed, &w.lock);
    pthread_mutex_unlock(&w.lock);
    reply.http_status = request.reply.http_status;
    reply.text = kal_arena_copy(&reply.arena, kal_buf_bytes(&request.reply.body));
    kal_exec_request_release(&request);
    pthread_mutex_destroy(&w.lock);
    pthread_cond_destroy(&w.changed);
    read_reply(&reply, query->sql);
    return reply;
}

void test_reply_release(test_reply *reply)
{
    kal_arena_release(&reply->arena);
}

/* ---- in short ---- */

void test_db_run(test_db *db, const char *sql)
{
    test_reply reply = test_db_query(db, &(test_query){.sql = sql});
    if (reply.code != NULL)
        fail("the statement failed", sql, (const char *)reply.text.ptr);
    test_reply_release(&reply);
}

void test_db_expect(test_db *db, const char *user, const char *sql, const char *rows)
{
    test_reply reply = test_db_query(db, &(test_query){.user = user, .sql = sql});
    kal_json_writer w;
    kal_buf found;

    if (reply.code != NULL)
        fail("the statement failed", sql, (const char *)reply.text.ptr);
    kal_buf_init(&found, NULL);
    kal_json_writer_init(&w, &found);
    kal_json_write_tree(reply.rows, &w);
    if (!kal_bytes_equal(kal_buf_bytes(&found), kal_cstr(rows))) {
        fprintf(stderr, "  expected: %s\n", rows);
        fail("other rows than expected", sql, (const char *)reply.text.ptr);
    }
    kal_buf_release(&found);
    test_reply_release(&reply);
}

void test_db_expect_error(test_db *db, const char *user, const char *sql, const char *code,
                          const char *part)
{
    test_reply reply = test_db_query(db, &(test_query){.user = user, .sql = sql});
    if (reply.code == NULL)
        fail("the statement should have failed", sql, (const char *)reply.text.ptr);
    if (strcmp(reply.code, code) != 0 || strstr(reply.message, part) == NULL) {
        fprintf(stderr, "  expected: %s ... %s\n", code, part);
        fail("another error than expected", sql, (const char *)reply.text.ptr);
    }
    test_reply_release(&reply);
}

void test_db_add_user(test_db *db, const char *name, kal_role role)
{
    kal_error err = KAL_ERROR_INIT;
    kal_principal root = principal_of(db, "root");
    kal_user user = {.user_id = kal_cstr(name), .role = role, .auth_type = KAL_STR("password")};
    kal_catalog_change *change = kal_catalog_begin(db->exec->catalog, &root);
    kal_write *write = kal_write_open(db->exec->tables, NULL);
    kal_status status = kal_catalog_create_user(change, &user, &err);
    if (status == KAL_OK) {
        kal_write_set_change(write, change);
        status = kal_write_commit(write, &err);
    }
    kal_write_close(write);
    kal_catalog_end(change);
    if (status != KAL_OK)
        fail("cannot make a user", name, err.message);
}
