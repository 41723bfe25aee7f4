/*
 * many_users.c: runs one statement for each of many users in a database that no server has open.
 * Over HTTP each user would cost two password hashes. A user's name is "user" and his number.
 *
 *   bench_many_users DATA_DIR LIBDUCKDB FIRST_USER_NO USER_COUNT SQL
 */
#include "exec/exec.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

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

static void run_for(kal_exec *exec, uint64_t user_no, const char *sql)
{
    waiter w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    kal_exec_request request = {
        .sql = kal_cstr(sql),
        .principal = {.user_no = user_no, .role = KAL_ROLE_USER},
        .peer = "127.0.0.1",
        .done = on_done,
        .context = &w,
    };

    snprintf(request.principal.user_id, sizeof request.principal.user_id, "user%llu",
             (unsigned long long)user_no);
    kal_exec_submit(exec, &request);
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.changed, &w.lock);
    pthread_mutex_unlock(&w.lock);
    if (request.reply.http_status != 200)
        fail(sql, (const char *)request.reply.body.ptr);
    kal_exec_request_release(&request);
}

int main(int argc, char **argv)
{
    kal_error err = KAL_ERROR_INIT;
    kal_exec *exec = NULL; /* owned */

    if (argc != 6)
        fail("usage", "bench_many_users DATA_DIR LIBDUCKDB FIRST_USER_NO USER_COUNT SQL");
    const kal_exec_options options = {
        .data_dir = argv[1],
        .duckdb_library = argv[2],
        .files = kal_files_system(),
        .clock = kal_clock_system(),
        .flush_interval_ms = 86400000,
    };
    if (kal_exec_open(&options, &exec, &err) != KAL_OK)
        fail(argv[1], err.message);
    uint64_t first = strtoull(argv[3], NULL, 10);
    uint64_t count = strtoull(argv[4], NULL, 10);
    for (uint64_t i = 0; i < count; i++)
        run_for(exec, first + i, argv[5]);
    kal_exec_close(exec);
    return 0;
}
