#include "server/routes.h"
#include "base/assert.h"
#include "base/json_writer.h"
#include "base/list.h"
#include "base/thread.h"
#include "types/text.h"

#include <stdio.h>
#include <stdlib.h>

enum { LOGINS_WAITING_MAX = 64 };

typedef enum auth_kind { AUTH_LOGIN, AUTH_REFRESH, AUTH_LOGOUT, AUTH_SETUP } auth_kind;

/* A login and the like, waiting for its thread; in the exchange's arena. */
typedef struct auth_task {
    kal_list link;
    kal_exchange *exchange;
    auth_kind kind;
    const kal_json *body;    /* of all but a logout */
    kal_principal principal; /* of a logout */
} auth_task;

struct kal_routes {
    kal_exec *exec; /* borrowed */
    kal_auth *auth; /* borrowed */
    kal_ws_sessions *sessions;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* protects the rest */
    pthread_cond_t changed;
    kal_list tasks;
    size_t waiting;
    bool closing;
};

/* ---- replies ---- */

static void respond(kal_exchange *exchange, int status, kal_buf *body)
{
    kal_http_reply reply = {.status = status, .body = *body};
    kal_exchange_respond(exchange, &reply);
}

static void respond_text(kal_exchange *exchange, int status, const char *text)
{
    kal_buf body;
    kal_buf_init(&body, NULL);
    kal_buf_append_cstr(&body, text);
    respond(exchange, status, &body);
}

/* The shape of everything under /v1/api/auth and of paths that are not there. */
static void respond_plain_error(kal_exchange *exchange, int status, const char *word,
                                const kal_error *err)
{
    kal_json_writer w;
    kal_buf body;

    kal_buf_init(&body, NULL);
    kal_json_writer_init(&w, &body);
    kal_json_begin_object(&w);
    kal_json_key(&w, "error");
    kal_json_cstr(&w, word);
    kal_json_key(&w, "message");
    kal_json_cstr(&w, err->message);
    if (err->code != NULL) {
        kal_json_key(&w, "code");
        kal_json_cstr(&w, err->code);
    }
    if (err->hint[0] != '\0') {
        kal_json_key(&w, "hint");
        kal_json_cstr(&w, err->hint);
    }
    kal_json_end_object(&w);
    respond(exchange, status, &body);
}

static void respond_auth_error(kal_exchange *exchange, const kal_error *err)
{
    const char *word = "error";
    switch (err->status) {
    case KAL_UNAUTHORIZED:
        word = "unauthorized";
        break;
    case KAL_BUSY:
        word = "rate_limited";
        break;
    case KAL_DENIED:
        word = "forbidden";
        break;
    case KAL_INVALID:
        word = "bad_request";
        break;
    default:
        break;
    }
    respond_plain_error(exchange, kal_status_http(err->status), word, err);
}

static void respond_sql_error(kal_exchange *exchange, const kal_error *err)
{
    kal_buf body;
    kal_buf_init(&body, NULL);
    kal_exec_write_error(err, 0, &body);
    respond(exchange, kal_status_http(err->status), &body);
}

/* ---- what a request says ---- */

static kal_status missing(const char *name, const char *what, kal_error *err)
{
    return kal_error_set(err, KAL_INVALID, "'%s' must be %s", name, what);
}

/* optional: absent and null are empty. */
static kal_status take_text(const kal_json *body, const char *name, bool optional,
                            kal_bytes *text_out, kal_error *err)
{
    const kal_json *member = kal_json_find(body, name);
    *text_out = (kal_bytes){0};
    if (member == NULL || member->kind == KAL_JSON_NULL)
        return optional ? KAL_OK : missing(name, "given", err);
    if (member->kind != KAL_JSON_STRING)
        return missing(name, "a string", err);
    *text_out = member->text;
    return KAL_OK;
}

static kal_status parse_body(kal_exchange *exchange, const kal_json **body_out, kal_error *err)
{
    const kal_http_request *request = kal_exchange_request(exchange);
    kal_json *json = NULL;
    kal_error inner = KAL_ERROR_INIT;
    kal_status status = kal_json_parse(request->body, kal_exchange_arena(exchange), &json, &inner);

    if (status == KAL_OK && json->kind == KAL_JSON_OBJECT) {
        *body_out = json;
        return KAL_OK;
    }
    if (status == KAL_OK)
        return kal_error_set(err, KAL_INVALID, "the body must be a JSON object");
    /* The place is one in the body, not in an SQL text. */
    if (inner.position >= 0)
        return kal_error_set(err, status, "the body is not valid JSON: %s (at byte %lld)",
                             inner.message, (long long)inner.position);
    return kal_error_set(err, status, "the body is not valid JSON: %s", inner.message);
}

/* KAL_UNAUTHORIZED without a valid bearer token; before set-up the error says so. */
static kal_status identify(kal_routes *routes, const kal_http_request *request,
                           kal_principal *principal_out, kal_error *err)
{
    kal_bytes value;
    kal_bytes scheme = KAL_STR("bearer ");
    kal_status status = KAL_UNAUTHORIZED;

    if (kal_http_header_find(request, "authorization", &value) && value.len > scheme.len &&
        kal_bytes_equal_nocase(kal_bytes_of(value.ptr, scheme.len), scheme)) {
        kal_bytes token = kal_bytes_of(value.ptr + scheme.len, value.len - scheme.len);
        status = kal_auth_verify(routes->auth, token, principal_out, err);
    } else {
        kal_error_set(err, KAL_UNAUTHORIZED, "a bearer token is needed: log in first");
        kal_error_code(err, "MISSING_AUTHORIZATION");
    }
    if (status == KAL_UNAUTHORIZED && kal_auth_needs_setup(routes->auth)) {
        status = kal_error_set(err, KAL_DENIED, "the server is not set up yet");
        kal_error_code(err, "SETUP_REQUIRED");
        kal_error_hint(err, "run: kalam setup");
    }
    return status;
}

/* ---- SQL ---- */

typedef struct sql_request {
    kal_exec_request request;
    kal_exchange *exchange;
} sql_request;

static void release_sql(void *context)
{
    sql_request *sql = context;
    kal_exec_request_release(&sql->request);
}

static void on_sql_done(kal_exec_request *request)
{
    sql_request *sql = request->context;
    kal_http_reply reply = {
        .status = request->reply.http_status,
        .body = request->reply.body, /* borrowed: release_sql() gives it back */
        .release = release_sql,
        .release_context = sql,
    };
    kal_exchange_respond(sql->exchange, &reply);
}

static void on_sql_cancel(void *context)
{
    sql_request *sql = context;
    kal_exec_cancel(&sql->request);
}

static kal_status take_params(const kal_json *body, const kal_json **params_out, kal_error *err)
{
    const kal_json *params = kal_json_find(body, "params");
    if (params == NULL || params->kind == KAL_JSON_NULL)
        return KAL_OK;
    if (params->kind != KAL_JSON_ARRAY) {
        missing("params", "an array", err);
        kal_error_code(err, "INVALID_PARAMETER");
        return KAL_INVALID;
    }
    *params_out = params;
    return KAL_OK;
}

static kal_status read_sql_request(kal_routes *routes, kal_exchange *exchange, sql_request *sql,
                                   kal_error *err)
{
    const kal_json *body = NULL;
    KAL_TRY(identify(routes, kal_exchange_request(exchange), &sql->request.principal, err));
    KAL_TRY(parse_body(exchange, &body, err));
    KAL_TRY(take_text(body, "sql", false, &sql->request.sql, err));
    KAL_TRY(take_text(body, "namespace_id", true, &sql->request.namespace_id, err));
    return take_params(body, &sql->request.params, err);
}

static void handle_sql(kal_routes *routes, kal_exchange *exchange)
{
    kal_error err = KAL_ERROR_INIT;
    sql_request *sql = KAL_NEW(kal_exchange_arena(exchange), sql_request);

    sql->exchange = exchange;
    sql->request.peer = kal_exchange_peer(exchange);
    sql->request.done = on_sql_done;
    sql->request.context = sql;
    if (read_sql_request(routes, exchange, sql, &err) == KAL_OK) {
        kal_exchange_on_cancel(exchange, on_sql_cancel, sql);
        kal_exec_submit(routes->exec, &sql->request);
    } else {
        respond_sql_error(exchange, &err);
    }
}

/* ---- exports of user data ---- */

#define EXPORTS "/v1/exports/"

typedef struct download_request {
    kal_exec_download download;
    kal_exchange *exchange;
} download_request;

static void on_download(kal_exec_download *d)
{
    download_request *r = d->context;
    char *disposition =
        kal_arena_printf(kal_exchange_arena(r->exchange), "attachment; filename=\"%s\"", d->name);
    const kal_http_field fields[] = {{"Content-Disposition", disposition},
                                     {"Cache-Control", "no-store"}};
    kal_http_reply reply = {.status = 200,
                            .content_type = "application/zip",
                            .is_file = true,
                            .fd = d->fd,
                            .file_bytes = d->size_bytes,
                            .fields = fields,
                            .field_count = KAL_ARRAY_LEN(fields)};

    if (d->status == KAL_OK)
        kal_exchange_respond(r->exchange, &reply);
    else
        respond_plain_error(r->exchange, kal_status_http(d->status),
                            d->status == KAL_NOT_FOUND ? "not_found" : "error", &d->error);
}

static void handle_export(kal_routes *routes, kal_exchange *exchange)
{
    const kal_http_request *request = kal_exchange_request(exchange);
    kal_error err = KAL_ERROR_INIT;
    download_request *r = KAL_NEW(kal_exchange_arena(exchange), download_request);

    if (identify(routes, request, &r->download.principal, &err) != KAL_OK) {
        respond_auth_error(exchange, &err);
        return;
    }
    r->exchange = exchange;
    r->download.id =
        kal_bytes_of(request->path.ptr + strlen(EXPORTS), request->path.len - strlen(EXPORTS));
    r->download.done = on_download;
    r->download.context = r;
    kal_exec_open_download(routes->exec, &r->download);
}

/* ---- health, status, me ---- */

static void handle_health(kal_routes *routes, kal_exchange *exchange)
{
    (void)routes;
    respond_text(exchange, 200,
                 "{\"status\":\"healthy\",\"version\":\"" KAL_VERSION "\",\"api_version\":\"v1\"}");
}

static void handle_auth_status(kal_routes *routes, kal_exchange *exchange)
{
    if (kal_auth_needs_setup(routes->auth))
        respond_text(exchange, 200,
                     "{\"needs_setup\":true,\"message\":\"the server is not set up "
                     "yet, run: kalam setup\"}");
    else
        respond_text(exchange, 200, "{\"needs_setup\":false,\"message\":\"the server is set up\"}");
}

static void write_time(kal_json_writer *w, const char *key, int64_t us)
{
    char text[64];
    int64_t days = us / 86400000000;
    int64_t rest = us % 86400000000;
    int64_t year = 0;
    unsigned month = 0;
    unsigned day = 0;

    if (rest < 0) {
        rest += 86400000000;
        days--;
    }
    kal_civil_from_days(days, &year, &month, &day);
    snprintf(text, sizeof text, "%04lld-%02u-%02uT%02d:%02d:%02d.%06dZ", (long long)year, month,
             day, (int)(rest / 3600000000), (int)(rest / 60000000 % 60), (int)(rest / 1000000 % 60),
             (int)(rest % 1000000));
    kal_json_key(w, key);
    kal_json_cstr(w, text);
}

static void handle_me(kal_routes *routes, kal_exchange *exchange)
{
    kal_error err = KAL_ERROR_INIT;
    kal_principal principal = {0};
    kal_json_writer w;
    kal_buf body;

    if (identify(routes, kal_exchange_request(exchange), &principal, &err) != KAL_OK) {
        respond_auth_error(exchange, &err);
        return;
    }
    kal_buf_init(&body, NULL);
    kal_json_writer_init(&w, &body);
    kal_json_begin_object(&w);
    kal_json_key(&w, "user");
    kal_json_begin_object(&w);
    kal_json_key(&w, "id");
    kal_json_cstr(&w, principal.user_id);
    kal_json_key(&w, "role");
    kal_json_cstr(&w, kal_role_name(principal.role));
    kal_json_end_object(&w);
    kal_json_key(&w, "admin_ui_access");
    kal_json_bool(&w, principal.role >= KAL_ROLE_DBA);
    kal_json_end_object(&w);
    respond(exchange, 200, &body);
}

/* ---- login, refresh, set-up ---- */

static void write_login(const kal_login *login, kal_buf *body)
{
    kal_json_writer w;

    kal_json_writer_init(&w, body);
    kal_json_begin_object(&w);
    kal_json_key(&w, "user");
    kal_json_begin_object(&w);
    kal_json_key(&w, "id");
    kal_json_cstr(&w, login->principal.user_id);
    kal_json_key(&w, "role");
    kal_json_cstr(&w, kal_role_name(login->principal.role));
    kal_json_key(&w, "email");
    if (login->email == NULL)
        kal_json_null(&w);
    else
        kal_json_cstr(&w, login->email);
    write_time(&w, "created_at", login->created_at_us);
    write_time(&w, "updated_at", login->updated_at_us);
    kal_json_end_object(&w);
    kal_json_key(&w, "admin_ui_access");
    kal_json_bool(&w, login->principal.role >= KAL_ROLE_DBA);
    write_time(&w, "expires_at", login->expires_at_us);
    kal_json_key(&w, "access_token");
    kal_json_cstr(&w, login->access_token);
    kal_json_key(&w, "refresh_token");
    kal_json_cstr(&w, login->refresh_token);
    write_time(&w, "refresh_expires_at", login->refresh_expires_at_us);
    kal_json_end_object(&w);
}

static kal_status log_in(kal_routes *routes, const auth_task *task, kal_buf *body, kal_error *err)
{
    kal_arena *arena = kal_exchange_arena(task->exchange);
    kal_bytes user;
    kal_bytes password;
    kal_login login;

    if (kal_auth_needs_setup(routes->auth)) {
        kal_error_set(err, KAL_DENIED, "the server is not set up yet");
        kal_error_code(err, "SETUP_REQUIRED");
        kal_error_hint(err, "run: kalam setup");
        return KAL_DENIED;
    }
    KAL_TRY(take_text(task->body, "user", false, &user, err));
    KAL_TRY(take_text(task->body, "password", false, &password, err));
    KAL_TRY(kal_auth_login(routes->auth, user, password, kal_exchange_peer(task->exchange), arena,
                           &login, err));
    write_login(&login, body);
    return KAL_OK;
}

static kal_status refresh(kal_routes *routes, const auth_task *task, kal_buf *body, kal_error *err)
{
    kal_bytes token;
    kal_login login;

    KAL_TRY(take_text(task->body, "refresh_token", false, &token, err));
    KAL_TRY(kal_auth_refresh(routes->auth, token, kal_exchange_arena(task->exchange), &login, err));
    write_login(&login, body);
    return KAL_OK;
}

/* Tokens are not kept, so one alone cannot be ended. */
static kal_status log_out(kal_routes *routes, const auth_task *task, kal_buf *body, kal_error *err)
{
    KAL_TRY(kal_auth_logout(routes->auth, &task->principal, err));
    kal_buf_append_cstr(body, "{\"message\":\"logged out: all tokens of the user are ended\"}");
    return KAL_OK;
}

static kal_status set_up(kal_routes *routes, const auth_task *task, kal_buf *body, kal_error *err)
{
    kal_bytes token;
    kal_bytes root_password;
    kal_bytes user;
    kal_bytes password;

    KAL_TRY(take_text(task->body, "setup_token", false, &token, err));
    KAL_TRY(take_text(task->body, "root_password", false, &root_password, err));
    KAL_TRY(take_text(task->body, "user", true, &user, err));
    KAL_TRY(take_text(task->body, "password", user.len == 0, &password, err));
    KAL_TRY(kal_auth_setup(routes->auth, token, root_password, user, password,
                           kal_exchange_peer(task->exchange), err));
    kal_buf_append_cstr(body, "{\"message\":\"the server is set up\"}");
    return KAL_OK;
}

static void run_auth_task(kal_routes *routes, auth_task *task)
{
    kal_error err = KAL_ERROR_INIT;
    kal_status status = KAL_INTERNAL;
    kal_buf body;

    kal_buf_init(&body, NULL);
    switch (task->kind) {
    case AUTH_LOGIN:
        status = log_in(routes, task, &body, &err);
        break;
    case AUTH_REFRESH:
        status = refresh(routes, task, &body, &err);
        break;
    case AUTH_LOGOUT:
        status = log_out(routes, task, &body, &err);
        break;
    case AUTH_SETUP:
        status = set_up(routes, task, &body, &err);
        break;
    }
    if (status == KAL_OK) {
        respond(task->exchange, 200, &body);
        return;
    }
    kal_buf_release(&body);
    respond_auth_error(task->exchange, &err);
}

static void auth_thread(void *context)
{
    kal_routes *routes = context;
    pthread_mutex_lock(&routes->lock);
    for (;;) {
        kal_list *link = kal_list_pop_front(&routes->tasks);
        if (link == NULL && routes->closing)
            break;
        if (link == NULL) {
            pthread_cond_wait(&routes->changed, &routes->lock);
            continue;
        }
        routes->waiting--;
        pthread_mutex_unlock(&routes->lock);
        run_auth_task(routes, KAL_CONTAINER_OF(link, auth_task, link));
        pthread_mutex_lock(&routes->lock);
    }
    pthread_mutex_unlock(&routes->lock);
}

static auth_task *new_task(kal_exchange *exchange, auth_kind kind)
{
    auth_task *task = KAL_NEW(kal_exchange_arena(exchange), auth_task);
    task->exchange = exchange;
    task->kind = kind;
    return task;
}

static void queue_task(kal_routes *routes, auth_task *task)
{
    kal_error err = KAL_ERROR_INIT;

    pthread_mutex_lock(&routes->lock);
    bool full = routes->waiting >= LOGINS_WAITING_MAX || routes->closing;
    if (!full) {
        routes->waiting++;
        kal_list_push_back(&routes->tasks, &task->link);
        pthread_cond_signal(&routes->changed);
    }
    pthread_mutex_unlock(&routes->lock);
    if (full) {
        kal_error_set(&err, KAL_BUSY, "too many logins are waiting, try again later");
        respond_auth_error(task->exchange, &err);
    }
}

static void queue_auth(kal_routes *routes, kal_exchange *exchange, auth_kind kind)
{
    kal_error err = KAL_ERROR_INIT;
    auth_task *task = new_task(exchange, kind);

    if (parse_body(exchange, &task->body, &err) == KAL_OK)
        queue_task(routes, task);
    else
        respond_auth_error(exchange, &err);
}

static void handle_login(kal_routes *routes, kal_exchange *exchange)
{
    queue_auth(routes, exchange, AUTH_LOGIN);
}

static void handle_refresh(kal_routes *routes, kal_exchange *exchange)
{
    queue_auth(routes, exchange, AUTH_REFRESH);
}

static void handle_setup(kal_routes *routes, kal_exchange *exchange)
{
    queue_auth(routes, exchange, AUTH_SETUP);
}

static void handle_logout(kal_routes *routes, kal_exchange *exchange)
{
    const kal_http_request *request = kal_exchange_request(exchange);
    kal_error err = KAL_ERROR_INIT;
    auth_task *task = new_task(exchange, AUTH_LOGOUT);

    if (identify(routes, request, &task->principal, &err) == KAL_OK)
        queue_task(routes, task);
    else
        respond_auth_error(exchange, &err);
}

/* ---- WebSockets ---- */

static void handle_websocket(kal_routes *routes, kal_exchange *exchange)
{
    kal_ws_sessions_handle(routes->sessions, exchange);
}

bool kal_routes_turn(void *context, unsigned loop)
{
    kal_routes *routes = context;
    return kal_live_worker_step(kal_live_worker_of(kal_exec_live(routes->exec), loop));
}

void kal_routes_tick(void *context, unsigned loop)
{
    kal_routes *routes = context;
    kal_live_worker_tick(kal_live_worker_of(kal_exec_live(routes->exec), loop));
    kal_ws_sessions_tick(routes->sessions, loop);
}

/* ---- which path ---- */

typedef struct route {
    const char *path;
    kal_http_method method;
    const char *allow;
    void (*handle)(kal_routes *routes, kal_exchange *exchange);
} route;

static const route ROUTES[] = {
    {"/v1/api/sql", KAL_HTTP_POST, "POST", handle_sql},
    {"/health", KAL_HTTP_GET, "GET, HEAD", handle_health},
    {"/v1/api/healthcheck", KAL_HTTP_GET, "GET, HEAD", handle_health},
    {"/v1/api/auth/status", KAL_HTTP_GET, "GET, HEAD", handle_auth_status},
    {"/v1/api/auth/me", KAL_HTTP_GET, "GET, HEAD", handle_me},
    {"/v1/api/auth/login", KAL_HTTP_POST, "POST", handle_login},
    {"/v1/api/auth/refresh", KAL_HTTP_POST, "POST", handle_refresh},
    {"/v1/api/auth/logout", KAL_HTTP_POST, "POST", handle_logout},
    {"/v1/api/auth/setup", KAL_HTTP_POST, "POST", handle_setup},
    {"/v1/ws", KAL_HTTP_GET, "GET", handle_websocket},
    {EXPORTS, KAL_HTTP_GET, "GET, HEAD", handle_export},
};

/* A path that ends with / stands for all below it. */
static bool is_path_of(const route *r, kal_bytes path)
{
    size_t len = strlen(r->path);
    if (r->path[len - 1] != '/')
        return kal_bytes_equal(path, kal_cstr(r->path));
    return path.len > len && kal_bytes_starts_with(path, kal_cstr(r->path));
}

static void respond_wrong_method(kal_exchange *exchange, const route *r)
{
    kal_http_field allow = {"Allow", r->allow};
    kal_http_reply reply = {.status = 405, .fields = &allow, .field_count = 1};

    kal_buf_init(&reply.body, NULL);
    kal_buf_printf(&reply.body,
                   "{\"error\":\"method_not_allowed\",\"message\":\"this path takes %s\"}",
                   r->allow);
    kal_exchange_respond(exchange, &reply);
}

void kal_routes_handle(void *context, kal_exchange *exchange)
{
    const kal_http_request *request = kal_exchange_request(exchange);
    kal_http_method method = request->method == KAL_HTTP_HEAD ? KAL_HTTP_GET : request->method;

    for (size_t i = 0; i < KAL_ARRAY_LEN(ROUTES); i++) {
        if (!is_path_of(&ROUTES[i], request->path))
            continue;
        if (method == ROUTES[i].method)
            ROUTES[i].handle(context, exchange);
        else
            respond_wrong_method(exchange, &ROUTES[i]);
        return;
    }
    respond_text(exchange, 404, "{\"error\":\"not_found\",\"message\":\"there is nothing here\"}");
}

kal_status kal_routes_open(kal_exec *exec, const kal_ws_sessions_options *websockets,
                           kal_routes **routes_out, kal_error *err)
{
    kal_routes *routes = calloc(1, sizeof *routes);
    *routes_out = NULL;
    if (routes == NULL)
        kal_die("out of memory: routes");
    routes->exec = exec;
    routes->auth = kal_exec_auth(exec);
    routes->sessions = kal_ws_sessions_open(exec, websockets);
    kal_list_init(&routes->tasks);
    pthread_mutex_init(&routes->lock, NULL);
    pthread_cond_init(&routes->changed, NULL);
    kal_status status = kal_thread_start(&routes->thread, "login", 0, auth_thread, routes, err);
    routes->has_thread = status == KAL_OK;
    if (status != KAL_OK) {
        kal_routes_close(routes);
        return status;
    }
    *routes_out = routes;
    return KAL_OK;
}

void kal_routes_close(kal_routes *routes)
{
    if (routes == NULL)
        return;
    pthread_mutex_lock(&routes->lock);
    routes->closing = true;
    pthread_cond_signal(&routes->changed);
    pthread_mutex_unlock(&routes->lock);
    if (routes->has_thread)
        pthread_join(routes->thread, NULL);
    kal_ws_sessions_close(routes->sessions);
    pthread_cond_destroy(&routes->changed);
    pthread_mutex_destroy(&routes->lock);
    free(routes);
}
