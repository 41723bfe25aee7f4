/*
 * request.c: a request from text to reply: split, parse, run one statement after another.
 *
 *     submit --one short statement--> here and now: SELECT within the bounds of the fast path;
 *        |                            writes bound to keys go to the lane, which answers
 *        +------anything else-------> pool: statements in turn, transactions
 *                                        |
 *                                        +--needs DuckDB--> engine pool: and what comes after it
 *
 * Nothing that can do without DuckDB waits for what is in it. A statement that needs it says so
 * before it has changed anything (kal_run.wants_engine) and starts over there.
 *
 * Everything is parsed before anything runs. The first error ends the request and is its only
 * answer: what earlier statements committed stays, an open transaction is rolled back.
 */
#include "base/assert.h"
#include "exec/dml.h"
#include "exec/stats.h"
#include "sql/lexer.h"

#include <stdlib.h>

enum {
    INLINE_SQL_BYTES_MAX = 16 * 1024,
    INLINE_PARAM_ROWS_MAX = 64,
    DETAILS_BYTES_MAX = 1000,
    ATTEMPTS_MAX = 5,
};

/* One statement on its way. */
typedef struct statement_run {
    kal_run run;
    kal_arena arena;
    kal_view view;
    bool has_view;
    pthread_mutex_t system_lock;
} statement_run;

typedef struct kal_exec_job kal_exec_job;

struct kal_exec_job {
    kal_exec *exec;
    kal_exec_request *request;
    kal_budget budget;
    kal_arena arena; /* pieces, syntax */
    kal_result result;
    uint64_t start_ns;
    uint64_t statement_start_ns; /* of the statement that runs: the end of the one before it */
    uint64_t deadline_ns;
    _Atomic bool cancelled; /* kal_exec_cancel() */
    bool is_parsed;
    kal_sql_statement **statements; /* arena */
    size_t statement_count;
    size_t done_count;                   /* statements that are carried out */
    const kal_sql_statement *current;    /* the one that runs, or failed */
    const kal_sql_statement *for_engine; /* the last one that was found to need DuckDB */
    bool on_engine_pool;
    kal_bytes default_namespace;
    kal_overlay *overlay; /* owned; of the open transaction */
    kal_view transaction_view;
    statement_run own; /* of a write that the lane answers */
    kal_direct_write *direct;
};

/* ---- the reply ---- */

static double took_ms(const kal_exec_job *job)
{
    uint64_t now = kal_clock_mono_ns(job->exec->options.clock);
    return (double)(now - job->start_ns) / 1e6;
}

static void begin_reply(kal_exec_job *job)
{
    kal_result *r = &job->result;
    kal_buf *body = &job->request->reply.body;

    kal_buf_init(body, &job->budget);
    *r = (kal_result){.body = body, .principal = &job->request->principal};
    kal_json_writer_init(&r->json, body);
    kal_json_begin_object(&r->json);
    kal_json_key(&r->json, "status");
    kal_json_cstr(&r->json, "success");
    kal_json_key(&r->json, "results");
    kal_json_begin_array(&r->json);
}

/* Statements that may hold a password are not shown again. */
static kal_bytes error_details(const kal_exec_job *job)
{
    const kal_sql_statement *s = job->current;
    if (s == NULL || s->kind == KAL_STMT_CREATE_USER || s->kind == KAL_STMT_ALTER_USER ||
        s->kind == KAL_STMT_CREATE_STORAGE || s->kind == KAL_STMT_ALTER_STORAGE)
        return (kal_bytes){0};
    kal_bytes text = s->text;
    if (text.len > DETAILS_BYTES_MAX)
        text.len = DETAILS_BYTES_MAX;
    while (text.len < s->text.len && text.len > 0 && (text.ptr[text.len] & 0xC0) == 0x80)
        text.len--; /* not inside a character */
    return text;
}

static void write_error_reply(kal_exec_job *job, const kal_error *err)
{
    kal_buf *body = &job->request->reply.body;
    kal_buf_release(body);
    kal_buf_init(body,
                 NULL); /* an error is short, and must not fail on the budget that it reports */
    kal_result_error(err, error_details(job), took_ms(job), body);
    job->request->reply.http_status = kal_status_http(err->status);
}

static void write_success_reply(kal_exec_job *job)
{
    kal_json_end_array(&job->result.json);
    kal_result_took(&job->result.json, took_ms(job));
    kal_json_end_object(&job->result.json);
    job->request->reply.http_status = 200;
}

/* The current statement ended; what follows is the next one's time. */
static void count_statement(kal_exec_job *job, bool failed)
{
    uint64_t now = kal_clock_mono_ns(job->exec->options.clock);
    kal_stats_count(job->exec->stats, now, now - job->statement_start_ns, failed);
    job->statement_start_ns = now;
}

/* The last thing that happens to a job here: the request may be gone when `done` returns. */
static void finish(kal_exec_job *job, kal_status status, kal_error *err)
{
    kal_exec *exec = job->exec;
    if (status == KAL_OK) {
        write_success_reply(job);
        if (kal_buf_failed(&job->request->reply.body))
            status = kal_error_set(err, KAL_LIMIT, "the result exceeds the statement's memory");
    }
    if (status != KAL_OK)
        write_error_reply(job, err);
    count_statement(job, status != KAL_OK);
    job->request->done(job->request);
    kal_exec_leave(exec);
}

/* ---- parsing ---- */

static kal_status parse_pieces(kal_exec_job *job, const kal_sql_pieces *pieces, kal_error *err)
{
    job->statements = kal_arena_try_array(&job->arena, pieces->count, sizeof *job->statements);
    if (job->statements == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    for (size_t i = 0; i < pieces->count; i++) {
        kal_status status = kal_sql_parse(pieces->items[i], &job->arena, &job->statements[i], err);
        if (status == KAL_SYNTAX && pieces->count > 1)
            kal_error_code(err, "BATCH_PARSE_ERROR");
        KAL_TRY(status);
    }
    job->statement_count = pieces->count;
    return KAL_OK;
}

static kal_status parse(kal_exec_job *job, kal_error *err)
{
    kal_sql_pieces pieces;

    job->is_parsed = true;
    KAL_TRY(kal_sql_split(job->request->sql, &job->arena, &pieces, err));
    if (pieces.count == 0) {
        kal_error_set(err, KAL_SYNTAX, "the request holds no SQL statement");
        kal_error_code(err, "EMPTY_SQL");
        return KAL_SYNTAX;
    }
    if (pieces.count > 1 && job->request->params != NULL && job->request->params->len > 0) {
        kal_error_set(err, KAL_INVALID, "parameters need a request of one statement, this has %zu",
                      pieces.count);
        kal_error_code(err, "PARAMS_WITH_BATCH");
        return KAL_INVALID;
    }
    return parse_pieces(job, &pieces, err);
}

/* ---- parameters ---- */

static bool is_dml(const kal_sql_statement *s)
{
    return s->kind == KAL_STMT_INSERT || s->kind == KAL_STMT_UPDATE || s->kind == KAL_STMT_DELETE;
}

static bool has_param(kal_bytes text)
{
    kal_sql_lexer lexer;
    kal_sql_token token = {0};

    kal_sql_lexer_init(&lexer, text);
    do {
        token = kal_sql_lexer_next(&lexer);
    } while (token.kind != KAL_TOKEN_END && token.kind != KAL_TOKEN_PARAM);
    return token.kind == KAL_TOKEN_PARAM;
}

/* Rows of parameters have a meaning: INSERT of VALUES, DELETE, and an UPDATE that does not choose
 * the same rows each time. */
static bool may_repeat(const kal_sql_statement *s)
{
    switch (s->kind) {
    case KAL_STMT_INSERT:
        return s->insert.source == KAL_SQL_INSERT_VALUES;
    case KAL_STMT_UPDATE:
        return s->update.where != NULL && has_param(kal_sql_expr_source(s, s->update.where));
    case KAL_STMT_DELETE:
        return true;
    default:
        return false;
    }
}

/* A batch of rows: a statement that may repeat, and every parameter an array of as many values as
 * the statement has parameters. Any other array is a value (JSON, BYTES, EMBEDDING). */
static bool is_batch(const kal_sql_statement *s, const kal_json *params)
{
    if (!may_repeat(s) || params == NULL || params->kind != KAL_JSON_ARRAY || params->len == 0)
        return false;
    for (size_t i = 0; i < params->len; i++) {
        if (params->items[i].kind != KAL_JSON_ARRAY || params->items[i].len != s->param_max)
            return false;
    }
    return s->param_max > 0;
}

static kal_status take_params(kal_run *run, const kal_json *params, kal_error *err)
{
    size_t wanted = run->statement->param_max;
    if (is_batch(run->statement, params)) {
        run->param_rows = params;
        return KAL_OK;
    }
    KAL_TRY(kal_run_params(run, params, KAL_PARAM_COUNT_MAX, err));
    if (run->param_count == wanted)
        return KAL_OK;
    kal_error_set(err, KAL_INVALID, "the statement has %zu parameter%s, the request gives %zu",
                  wanted, wanted == 1 ? "" : "s", run->param_count);
    if (wanted == 0)
        kal_error_hint(err, "parameters are written $1, $2 and so on");
    kal_error_code(err, "INVALID_PARAMETER");
    return KAL_INVALID;
}

/* ---- one statement ---- */

static void statement_open(statement_run *s, kal_exec_job *job, const kal_sql_statement *statement,
                           kal_catalog_worker *worker, bool inline_only)
{
    const kal_principal *principal = &job->request->principal;

    *s = (statement_run){0};
    kal_arena_init(&s->arena, &job->budget);
    pthread_mutex_init(&s->system_lock, NULL);
    s->run = (kal_run){
        .exec = job->exec,
        .worker = worker,
        .principal = principal,
        .arena = &s->arena,
        .budget = &job->budget,
        .statement = statement,
        .default_namespace = job->default_namespace,
        .overlay = job->overlay,
        .view = job->overlay == NULL ? NULL : &job->transaction_view,
        .result = &job->result,
        .deadline_ns = job->deadline_ns,
        .cancelled = &job->cancelled,
        .path = statement == job->for_engine ? KAL_PATH_ENGINE : job->request->path,
        .inline_only = inline_only,
        .may_use_engine = job->on_engine_pool,
        .system_lock = &s->system_lock,
        .peer = job->request->peer,
    };
    s->run.session = (kal_expr_session){
        .now_us = kal_clock_wall_us(job->exec->options.clock),
        .user_id = kal_cstr(principal->user_id),
        .role = kal_cstr(kal_role_name(principal->role)),
        .ids = &job->exec->ids,
    };
    job->current = statement;
}

/* Such a statement reads no rows and may wait for hours; the job that it waits for may itself wait
 * until nobody reads what is to be removed. */
static bool waits_for_a_job(const kal_sql_statement *statement)
{
    switch (statement->kind) {
    case KAL_STMT_FLUSH:
    case KAL_STMT_COMPACT:
    case KAL_STMT_BACKUP:
    case KAL_STMT_KILL_JOB:
        return true;
    case KAL_STMT_DROP_USER:
        return statement->user.erase;
    default:
        return false;
    }
}

/* The moment that the statement reads, unless a transaction has one. */
static void statement_open_view(statement_run *s)
{
    if (s->run.view != NULL)
        return;
    kal_run_view_open(s->run.exec, &s->view, s->run.principal->user_no, NULL);
    s->run.view = &s->view;
    s->has_view = true;
}

static void statement_close(statement_run *s)
{
    if (s->has_view)
        kal_view_close(&s->view);
    for (size_t i = 0; i < s->run.tables.len; i++)
        kal_table_release(s->run.tables.items[i]);
    for (size_t i = 0; i < s->run.dead.len; i++)
        kal_dead_rows_release(s->run.dead.items[i]);
    for (size_t i = 0; i < s->run.pins.len; i++)
        kal_cached_object_release(s->run.pins.items[i]);
    pthread_mutex_destroy(&s->system_lock);
    kal_arena_release(&s->arena);
}

static kal_status run_statement_once(kal_exec_job *job, const kal_sql_statement *statement,
                                     kal_catalog_worker *worker, kal_error *err)
{
    statement_run s;

    statement_open(&s, job, statement, worker, false);
    kal_status status = take_params(&s.run, job->request->params, err);
    if (status == KAL_OK && !waits_for_a_job(statement))
        statement_open_view(&s);
    if (status == KAL_OK)
        status = kal_run_statement(&s.run, err);
    if (s.run.wants_engine)
        job->for_engine = statement;
    statement_close(&s);
    return status;
}

/* A table that was altered while the statement was on its way to the lane: nothing was written, so
 * it starts over against the new definition. */
static kal_status run_statement(kal_exec_job *job, const kal_sql_statement *statement,
                                kal_catalog_worker *worker, kal_error *err)
{
    kal_status status = KAL_STALE;
    for (int i = 0; i < ATTEMPTS_MAX && status == KAL_STALE; i++) {
        *err = KAL_ERROR_INIT;
        status = run_statement_once(job, statement, worker, err);
    }
    return status;
}

/* ---- transactions ---- */

static kal_status begin_transaction(kal_exec_job *job, kal_error *err)
{
    if (job->overlay != NULL)
        return kal_error_set(err, KAL_INVALID, "a transaction is open already");
    job->overlay = kal_overlay_open(&job->budget);
    kal_run_view_open(job->exec, &job->transaction_view, job->request->principal.user_no,
                      job->overlay);
    kal_result_message(&job->result, 0, "Transaction started");
    return KAL_OK;
}

static void end_transaction(kal_exec_job *job)
{
    kal_view_close(&job->transaction_view);
    kal_overlay_close(job->overlay);
    job->overlay = NULL;
}

static kal_status no_transaction(const char *what, kal_error *err)
{
    return kal_error_set(err, KAL_INVALID, "%s without BEGIN: a transaction is one request", what);
}

static kal_status commit_transaction(kal_exec_job *job, kal_error *err)
{
    if (job->overlay == NULL)
        return no_transaction("COMMIT", err);
    kal_write *write = kal_write_open(job->exec->tables, &job->budget); /* owned */
    kal_status status = kal_overlay_into_write(job->overlay, write, false, err);
    if (status == KAL_OK && kal_write_op_count(write) > 0)
        status = kal_write_commit(write, err);
    kal_write_close(write);
    if (status != KAL_OK)
        return status;
    end_transaction(job);
    kal_result_message(&job->result, 0, "Transaction committed");
    return KAL_OK;
}

static kal_status rollback_transaction(kal_exec_job *job, kal_error *err)
{
    if (job->overlay == NULL)
        return no_transaction("ROLLBACK", err);
    end_transaction(job);
    kal_result_message(&job->result, 0, "Transaction rolled back");
    return KAL_OK;
}

static kal_status use_namespace(kal_exec_job *job, const kal_sql_statement *statement,
                                kal_error *err)
{
    kal_bytes name = statement->namespace_stmt.name.text;
    if (!kal_catalog_has_namespace(job->exec->catalog, name)) {
        kal_status status = kal_catalog_unknown_namespace(job->exec->catalog, name, err);
        kal_error_at(err, statement->namespace_stmt.name.position);
        return status;
    }
    job->default_namespace = name;
    kal_result_message(&job->result, 0, "Namespace '%.*s' is used for the rest of the request",
                       KAL_FMT(name));
    return KAL_OK;
}

/* ---- on the pool ---- */

/* The next statement was found to need DuckDB where it must not wait for it. */
static bool wants_engine(const kal_exec_job *job)
{
    return job->for_engine != NULL && job->done_count < job->statement_count &&
           job->for_engine == job->statements[job->done_count] && !job->on_engine_pool;
}

static bool may_be_in_transaction(kal_stmt_kind kind)
{
    return kind == KAL_STMT_SELECT || kind == KAL_STMT_INSERT || kind == KAL_STMT_UPDATE ||
           kind == KAL_STMT_DELETE || kind == KAL_STMT_SHOW_TABLES ||
           kind == KAL_STMT_SHOW_NAMESPACES || kind == KAL_STMT_SHOW_CREATE_TABLE ||
           kind == KAL_STMT_DESCRIBE_TABLE || kind == KAL_STMT_SHOW_SCHEMA_DIFF;
}

static kal_status run_one(kal_exec_job *job, const kal_sql_statement *statement,
                          kal_catalog_worker *worker, kal_error *err)
{
    job->current = statement;
    switch (statement->kind) {
    case KAL_STMT_BEGIN:
        return begin_transaction(job, err);
    case KAL_STMT_COMMIT:
        return commit_transaction(job, err);
    case KAL_STMT_ROLLBACK:
        return rollback_transaction(job, err);
    case KAL_STMT_USE_NAMESPACE:
        return use_namespace(job, statement, err);
    default:
        break;
    }
    if (job->overlay != NULL && statement->not_built == NULL &&
        !may_be_in_transaction(statement->kind))
        return kal_error_set(err, KAL_UNSUPPORTED, "%s is not available inside a transaction",
                             kal_stmt_name(statement->kind));
    return run_statement(job, statement, worker, err);
}

/* Says what became of the statements before the one that failed. */
static void explain_failure(const kal_exec_job *job, bool in_transaction, size_t done,
                            kal_error *err)
{
    if (err->hint[0] != '\0')
        return;
    if (in_transaction)
        kal_error_hint(err, "the transaction was rolled back");
    else if (done > 0)
        kal_error_hint(err, "%zu of the request's %zu statements were carried out", done,
                       job->statement_count);
}

static kal_status run_all(kal_exec_job *job, kal_catalog_worker *worker, kal_error *err)
{
    kal_status status = KAL_OK;

    while (status == KAL_OK && job->done_count < job->statement_count) {
        status = run_one(job, job->statements[job->done_count], worker, err);
        job->done_count += status == KAL_OK;
        if (status == KAL_OK && job->done_count < job->statement_count)
            count_statement(job, false); /* finish() counts the last one */
    }
    return status;
}

/* All statements ran, or one failed. */
static void end_all(kal_exec_job *job, kal_status status, kal_error *err)
{
    bool in_transaction = job->overlay != NULL;
    if (in_transaction) {
        end_transaction(job);
        if (status == KAL_OK)
            status = kal_error_set(err, KAL_INVALID,
                                   "the request ends inside a transaction: COMMIT is missing");
    }
    if (status != KAL_OK)
        explain_failure(job, in_transaction, job->done_count, err);
    finish(job, status, err);
}

static void to_pool(kal_exec_job *job);

/* On either pool. */
static void run_on_pool(void *context, kal_catalog_worker *worker)
{
    kal_exec_job *job = context;
    kal_error err = KAL_ERROR_INIT;
    kal_status status = job->is_parsed ? KAL_OK : parse(job, &err);
    if (status == KAL_OK)
        status = run_all(job, worker, &err);
    if (status == KAL_BUSY && wants_engine(job))
        to_pool(job);
    else
        end_all(job, status, &err);
}

static void to_pool(kal_exec_job *job)
{
    kal_exec *exec = job->exec;
    kal_error err = KAL_ERROR_INIT;

    job->on_engine_pool = wants_engine(job);
    kal_status status = kal_pool_submit(job->on_engine_pool ? exec->engine_pool : exec->pool,
                                        job->request->principal.user_no, run_on_pool, job, &err);
    if (status != KAL_OK)
        end_all(job, status, &err);
}

/* ---- here and now ---- */

/* On the lane's thread, or here when there is nothing to write. */
static void finish_direct_write(kal_exec_job *job)
{
    kal_error err = KAL_ERROR_INIT;
    kal_status status = kal_direct_write_finish(job->direct, &job->own.run, &err);
    kal_direct_write_close(job->direct);
    statement_close(&job->own);
    /* altered meanwhile, or rows of segments have to be read: once more, where one may wait */
    if (status == KAL_STALE || status == KAL_COLD)
        to_pool(job);
    else
        finish(job, status, &err);
}

static void on_write_done(kal_write *write, void *context)
{
    (void)write;
    finish_direct_write(context);
}

/* KAL_BUSY: to the pool. KAL_END: the reply is on its way, the job is not ours any more. */
static kal_status write_inline(kal_exec_job *job, kal_error *err)
{
    kal_status status = kal_direct_write_prepare(&job->own.run, &job->direct, err);
    if (status == KAL_OK && job->direct == NULL)
        return KAL_BUSY;
    KAL_TRY(status);
    if (kal_write_op_count(kal_direct_write_of(job->direct)) == 0)
        finish_direct_write(job);
    else
        kal_write_submit(kal_direct_write_of(job->direct), on_write_done, job);
    return KAL_END;
}

static kal_status run_inline(kal_exec_job *job, kal_error *err)
{
    const kal_sql_statement *statement = job->statements[0];

    statement_open(&job->own, job, statement, kal_exec_inline_worker(job->exec), true);
    kal_status status = take_params(&job->own.run, job->request->params, err);
    if (status == KAL_OK && statement->kind == KAL_STMT_SELECT) {
        statement_open_view(&job->own);
        status = kal_run_select(&job->own.run, err);
    } else if (status == KAL_OK && statement->kind == KAL_STMT_DESCRIBE_TABLE) {
        status = kal_run_describe(&job->own.run, err);
    } else if (status == KAL_OK) {
        status = write_inline(job, err);
        if (status == KAL_END)
            return KAL_END;
    }
    if (job->own.run.wants_engine)
        job->for_engine = statement;
    statement_close(&job->own);
    return status;
}

static bool is_short(const kal_exec_request *request)
{
    return request->sql.len <= INLINE_SQL_BYTES_MAX &&
           (request->params == NULL || request->params->len <= INLINE_PARAM_ROWS_MAX);
}

static bool may_run_inline(const kal_exec_job *job)
{
    const kal_sql_statement *s = job->statements[0];
    /* Of a table as it is: from memory, unlike its history. */
    bool describes = s->kind == KAL_STMT_DESCRIBE_TABLE && s->not_built == NULL &&
                     !s->table.history && !s->table.at_version;
    return job->statement_count == 1 && (s->kind == KAL_STMT_SELECT || is_dml(s) || describes);
}

static void start(kal_exec_job *job)
{
    kal_error err = KAL_ERROR_INIT;
    kal_status status = KAL_BUSY;

    if (is_short(job->request)) {
        status = parse(job, &err);
        if (status == KAL_OK)
            status = may_run_inline(job) ? run_inline(job, &err) : KAL_BUSY;
    }
    if (status == KAL_END)
        return;
    if (status == KAL_BUSY || status == KAL_STALE) /* there it starts over */
        to_pool(job);
    else
        finish(job, status, &err);
}

/* ---- entry points ---- */

static kal_status check_namespace(kal_exec_job *job, kal_error *err)
{
    kal_bytes name = job->request->namespace_id;
    job->default_namespace = KAL_STR("default");
    if (name.len == 0 || kal_bytes_equal(name, job->default_namespace))
        return KAL_OK;
    if (!kal_catalog_has_namespace(job->exec->catalog, name))
        return kal_catalog_unknown_namespace(job->exec->catalog, name, err);
    job->default_namespace = name;
    return KAL_OK;
}

static void refuse_closing(kal_exec_request *request)
{
    kal_error err = KAL_ERROR_INIT;
    kal_error_set(&err, KAL_CANCELLED, "the server is shutting down");
    kal_buf_init(&request->reply.body, NULL);
    kal_result_error(&err, (kal_bytes){0}, 0, &request->reply.body);
    request->reply.http_status = 503;
    request->done(request);
}

void kal_exec_submit(kal_exec *exec, kal_exec_request *request)
{
    kal_error err = KAL_ERROR_INIT;

    request->job = NULL;
    if (!kal_exec_enter(exec)) {
        refuse_closing(request);
        return;
    }
    kal_exec_job *job = calloc(1, sizeof *job); /* owned by the request */
    if (job == NULL)
        kal_die("out of memory: request");
    request->job = job;
    job->exec = exec;
    job->request = request;
    job->start_ns = kal_clock_mono_ns(exec->options.clock);
    job->statement_start_ns = job->start_ns;
    job->deadline_ns = job->start_ns + exec->options.timeout_ms * UINT64_C(1000000);
    kal_budget_init(&job->budget, &exec->budget, exec->options.statement_limit_bytes);
    kal_arena_init(&job->arena, &job->budget);
    begin_reply(job);
    kal_status status = check_namespace(job, &err);
    if (status == KAL_OK)
        start(job);
    else
        finish(job, status, &err);
}

void kal_exec_cancel(kal_exec_request *request)
{
    if (request->job != NULL)
        atomic_store(&request->job->cancelled, true);
}

void kal_exec_request_release(kal_exec_request *request)
{
    kal_buf_release(&request->reply.body);
    if (request->job != NULL) {
        kal_arena_release(&request->job->arena);
        free(request->job);
    }
    request->job = NULL;
}
