/*
 * query.c: one SELECT from text to rows: bound, parse (DuckDB's own parser), check against the
 * allow-list, resolve and rewrite, prepare, run, deliver.
 */
#include "base/assert.h"
#include "engine/ast.h"
#include "engine/engine_internal.h"
#include "engine/lex.h"

#include <stdio.h>
#include <string.h>

/* ---- the syntax tree ---- */

static kal_status serialized_text(kal_slot *slot, duckdb_result *result, kal_bytes text,
                                  kal_arena *arena, kal_json **tree_out, kal_error *err)
{
    const kal_duckdb *api = &slot->engine->api;
    const kal_rewrite none = {0};
    duckdb_data_chunk chunk = NULL; /* owned */

    (void)text;
    if (api->result_error(result) != NULL)
        return kal_engine_error(api->result_error(result), &none, err);
    chunk = api->fetch_chunk(*result);
    if (chunk == NULL)
        return kal_error_set(err, KAL_INTERNAL, "the query engine gave no syntax tree");
    duckdb_string_t *string = api->vector_get_data(api->data_chunk_get_vector(chunk, 0));
    uint32_t len = string->value.inlined.length;
    kal_bytes json =
        kal_bytes_of(len <= 12 ? string->value.inlined.inlined : string->value.pointer.ptr, len);
    kal_bytes copy; /* the tree borrows from it */
    kal_status status = kal_arena_try_copy(arena, json, &copy)
                            ? kal_ast_parse(copy, arena, tree_out, err)
                            : kal_error_set(err, KAL_LIMIT, "the statement is too large");
    api->destroy_data_chunk(&chunk);
    return status;
}

static kal_status parse(kal_slot *slot, kal_bytes text, kal_arena *arena, kal_json **tree_out,
                        kal_error *err)
{
    const kal_duckdb *api = &slot->engine->api;
    duckdb_result result;

    api->bind_varchar_length(slot->serialize, 1, (const char *)text.ptr, text.len);
    api->execute_prepared(slot->serialize, &result);
    kal_status status = serialized_text(slot, &result, text, arena, tree_out, err);
    api->destroy_result(&result);
    return status;
}

kal_status kal_query_plan(kal_slot *slot, kal_bytes text, bool is_admin, kal_arena *arena,
                          kal_plan **plan_out, kal_error *err)
{
    const kal_lex_caps caps = {
        .text_bytes_max = is_admin ? KAL_ALLOW_TEXT_BYTES_ADMIN : KAL_ALLOW_TEXT_BYTES,
        .depth_max = KAL_ALLOW_DEPTH_MAX,
    };
    kal_json *tree = NULL;

    KAL_TRY(kal_lex_check(text, &caps, err));
    KAL_TRY(parse(slot, text, arena, &tree, err));
    return kal_allow_check(text, tree, arena, plan_out, err);
}

/* What is to run: the text with its views in place, and how it is rewritten. */
typedef struct planned_text {
    kal_expanded expanded;
    kal_rewrite rewrite;
} planned_text;

/* A place in the text without views, in the user's; inside a view it is the view's mistake. */
static void to_user_text(const planned_text *planned, kal_error *err)
{
    if (err == NULL || err->position < 0 || planned->expanded.views.edits.len == 0)
        return;
    size_t origin = kal_rewrite_origin(&planned->expanded.views, (size_t)err->position);
    err->position = (int64_t)origin;
    for (size_t i = 0; i < planned->expanded.views.edits.len; i++) {
        const kal_edit *e = &planned->expanded.views.edits.items[i];
        if (e->start == origin && e->view.len > 0) {
            (void)kal_views_error(e->view, origin, err->status, err);
            return;
        }
    }
}

/* What views add does not count against the length of what the user wrote. */
static kal_status plan_at(kal_slot *slot, void *statement, kal_bytes text, bool is_admin,
                          uint64_t moment, kal_arena *arena, planned_text *out, kal_error *err)
{
    const kal_views_place place = {slot, statement, is_admin, moment};

    *out = (planned_text){0};
    KAL_TRY(kal_views_expand(&place, text, arena, &out->expanded, err));
    kal_status status = KAL_OK;
    if (out->expanded.query.plan == NULL)
        status = kal_query_plan(slot, out->expanded.query.text, true, arena,
                                &out->expanded.query.plan, err);
    if (status == KAL_OK)
        status = kal_rewrite_plan(slot->engine, statement, &out->expanded.query, arena,
                                  &out->rewrite, err);
    if (status != KAL_OK)
        to_user_text(out, err);
    return status;
}

/* A view is checked and put in place at one moment of all schemas. */
static kal_status plan_text(kal_slot *slot, void *statement, kal_bytes text, bool is_admin,
                            kal_arena *arena, planned_text *out, kal_error *err)
{
    enum { TRIES_MAX = 16 };
    const kal_engine_ops *ops = slot->engine->ops;

    for (int i = 0; i < TRIES_MAX; i++) {
        uint64_t moment = ops->moment(statement);
        kal_status status = plan_at(slot, statement, text, is_admin, moment, arena, out, err);
        if (status != KAL_OK || out->expanded.views.edits.len == 0 ||
            ops->moment(statement) == moment)
            return status;
    }
    return kal_error_set(err, KAL_BUSY, "schemas change all the time: try again");
}

static kal_status try_prepare(kal_slot *slot, const kal_rewrite *rewrite, kal_bytes text,
                              kal_error *err)
{
    const kal_duckdb *api = &slot->engine->api;
    duckdb_prepared_statement prepared = NULL; /* owned */
    kal_status status = KAL_OK;
    kal_buf sql; /* owned */

    kal_buf_init(&sql, NULL);
    kal_rewrite_apply(rewrite, text, &sql);
    kal_buf_append_byte(&sql, '\0');
    if (api->prepare(slot->connection, (const char *)sql.ptr, &prepared) != DuckDBSuccess)
        status = kal_engine_error(api->prepare_error(prepared), rewrite, err);
    api->destroy_prepare(&prepared);
    kal_buf_release(&sql);
    return status;
}

kal_status kal_query_check(kal_slot *slot, void *statement, kal_query_text query, kal_arena *arena,
                           kal_error *err)
{
    kal_rewrite rewrite;

    KAL_TRY(kal_query_plan(slot, query.text, true, arena, &query.plan, err));
    KAL_TRY(kal_rewrite_plan(slot->engine, statement, &query, arena, &rewrite, err));
    slot->statement = statement;
    slot->tables = rewrite.tables;
    slot->table_count = rewrite.table_count;
    return try_prepare(slot, &rewrite, query.text, err);
}

/* ---- running ---- */

typedef struct query_run {
    kal_slot *slot;
    const kal_engine_query_args *query;
    const kal_engine_sink *sink;
    const planned_text *planned;
    kal_buf text; /* owned: what DuckDB runs, NUL-terminated */
    duckdb_prepared_statement prepared;
    duckdb_pending_result pending;
    duckdb_result result;
} query_run;

/* What really went wrong: a callback's failure, the watchdog, or DuckDB's own error. */
static kal_status failure(query_run *q, const char *message, kal_error *err)
{
    kal_slot *slot = q->slot;
    KAL_TRY(kal_watch_check(slot, err));
    pthread_mutex_lock(&slot->lock);
    kal_error first = slot->failure;
    pthread_mutex_unlock(&slot->lock);
    if (first.status != KAL_OK) {
        if (err != NULL)
            *err = first;
        return first.status;
    }
    kal_status status = kal_engine_error(message, &q->planned->rewrite, err);
    to_user_text(q->planned, err);
    return status;
}

/* The type that DuckDB gave the parameter, where only that explains what was sent; else NULL. */
static kal_type param_peer(duckdb_type type)
{
    switch (type) {
    case DUCKDB_TYPE_BLOB:
        return kal_type_of(KAL_TYPE_BYTES);
    case DUCKDB_TYPE_DATE:
        return kal_type_of(KAL_TYPE_DATE);
    case DUCKDB_TYPE_TIME:
        return kal_type_of(KAL_TYPE_TIME);
    case DUCKDB_TYPE_TIMESTAMP:
        return kal_type_of(KAL_TYPE_TIMESTAMP);
    case DUCKDB_TYPE_TIMESTAMP_TZ:
        return kal_type_of(KAL_TYPE_DATETIME);
    case DUCKDB_TYPE_FLOAT:
        return kal_type_of(KAL_TYPE_FLOAT);
    case DUCKDB_TYPE_DOUBLE:
        return kal_type_of(KAL_TYPE_DOUBLE);
    default:
        return kal_type_of(KAL_TYPE_NULL);
    }
}

static kal_status bind_param(query_run *q, uint32_t n, idx_t index, kal_arena *arena,
                             kal_error *err)
{
    const kal_duckdb *api = &q->slot->engine->api;
    kal_value v = q->query->params[n - 1];

    if (q->query->param_json != NULL)
        KAL_TRY(kal_value_from_json_peer(param_peer(api->param_type(q->prepared, n)),
                                         &q->query->param_json[n - 1], &q->query->params[n - 1],
                                         arena, &v, err));
    duckdb_value value = kal_duckdb_value(api, &v); /* owned */
    duckdb_state state = api->bind_value(q->prepared, index, value);
    api->destroy_value(&value);
    if (state != DuckDBSuccess)
        return kal_error_set(err, KAL_INVALID, "parameter $%u cannot be used here", n);
    return KAL_OK;
}

static kal_status bind_params(query_run *q, const kal_plan *plan, kal_error *err)
{
    const kal_duckdb *api = &q->slot->engine->api;

    if (plan->param_max > q->query->param_count) {
        kal_error_set(err, KAL_INVALID, "parameter $%u has no value", plan->param_max);
        kal_error_code(err, "INVALID_PARAMETER");
        return KAL_INVALID;
    }
    for (uint32_t n = 1; n <= plan->param_max; n++) {
        char name[16];
        idx_t index = 0;
        snprintf(name, sizeof name, "%u", n);
        if (!plan->params_used[n])
            continue;
        if (api->bind_parameter_index(q->prepared, &index, name) != DuckDBSuccess)
            continue;    /* it was in a part that DuckDB does not need */
        kal_arena arena; /* owned */
        kal_arena_init(&arena, q->query->budget);
        kal_status status = bind_param(q, n, index, &arena, err);
        kal_arena_release(&arena);
        if (status != KAL_OK)
            return status;
    }
    return KAL_OK;
}

static kal_status execute(query_run *q, const kal_plan *plan, kal_error *err)
{
    const kal_duckdb *api = &q->slot->engine->api;

    if (api->prepare(q->slot->connection, (const char *)q->text.ptr, &q->prepared) != DuckDBSuccess)
        return failure(q, api->prepare_error(q->prepared), err);
    if (api->prepared_statement_type(q->prepared) != DUCKDB_STATEMENT_TYPE_SELECT)
        return kal_error_set(err, KAL_UNSUPPORTED, "only SELECT runs in the query engine");
    KAL_TRY(bind_params(q, plan, err));
    if (api->pending_prepared_streaming(q->prepared, &q->pending) != DuckDBSuccess)
        return failure(q, api->pending_error(q->pending), err);
    if (api->execute_pending(q->pending, &q->result) != DuckDBSuccess)
        return failure(q, api->result_error(&q->result), err);
    KAL_TRY(kal_result_deliver(q->slot, &q->result, q->query, q->sink, err));
    const char *late = api->result_error(&q->result);
    if (late != NULL && late[0] != '\0')
        return failure(q, late, err);
    return kal_watch_check(q->slot, err);
}

/* A stream that was not read to its end lives on in its connection, with its scans, until the
 * connection is used again; by then the statement that the scans belong to is gone. */
static void end_stream(query_run *q)
{
    duckdb_result ignored;
    q->slot->engine->api.query(q->slot->connection, "SELECT NULL", &ignored);
    q->slot->engine->api.destroy_result(&ignored);
}

static kal_status run_planned(query_run *q, kal_arena *arena, kal_error *err)
{
    const kal_duckdb *api = &q->slot->engine->api;

    kal_buf_init(&q->text, NULL);
    kal_rewrite_apply(&q->planned->rewrite, q->planned->expanded.query.text, &q->text);
    kal_buf_append_byte(&q->text, '\0');
    const kal_plan *plan = q->planned->expanded.query.plan;
    kal_status status = kal_files_prepare(q->slot, q->planned->rewrite.tables, plan, arena, err);
    if (status == KAL_OK) {
        kal_watch_begin(q->slot, q->query);
        status = execute(q, plan, err);
        kal_watch_end(q->slot);
    }
    api->destroy_result(&q->result);
    api->destroy_pending(&q->pending);
    api->destroy_prepare(&q->prepared);
    if (status != KAL_OK)
        end_stream(q);
    kal_buf_release(&q->text);
    return status;
}

/* A statement over tables with files goes on where they can be read. */
static kal_status go_to_files(query_run *q, planned_text *planned, kal_arena *arena, kal_error *err)
{
    kal_engine *files = q->slot->engine->files_engine;

    KAL_TRY(kal_rewrite_to_files(&planned->rewrite, arena, err));
    if (!kal_files_wanted(&planned->rewrite))
        return KAL_OK;
    kal_slot_release(q->slot);
    q->slot = NULL;
    return kal_slot_acquire(files, q->query, &q->slot, err);
}

kal_status kal_engine_query(kal_engine *engine, void *statement, const kal_engine_query_args *query,
                            const kal_engine_sink *sink, kal_error *err)
{
    planned_text planned;
    query_run q = {.query = query, .sink = sink, .planned = &planned};
    kal_arena arena;

    KAL_TRY(kal_slot_acquire(engine, query, &q.slot, err));
    kal_arena_init(&arena, query->budget);
    kal_status status =
        plan_text(q.slot, statement, query->sql, query->is_admin, &arena, &planned, err);
    if (status == KAL_OK && engine->files_engine != NULL)
        status = go_to_files(&q, &planned, &arena, err);
    if (status == KAL_OK) {
        q.slot->statement = statement;
        q.slot->tables = planned.rewrite.tables;
        q.slot->table_count = planned.rewrite.table_count;
        status = run_planned(&q, &arena, err);
    }
    if (q.slot != NULL)
        kal_slot_release(q.slot);
    kal_arena_release(&arena);
    return status;
}
