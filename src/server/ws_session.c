#include "server/ws_session.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/message_writer.h"
#include "base/msgpack.h"

#include <stdlib.h>

enum {
    AUTH_TIMEOUT_MS_DEFAULT = 3000,
    MESSAGES_PER_SECOND_DEFAULT = 50,
    MESSAGE_BYTES_DEFAULT = 1024 * 1024,
    QUEUE_BYTES_DEFAULT = 1024 * 1024,
    PING_INTERVAL_MS_DEFAULT = 20000,
    TIMEOUT_MS_DEFAULT = 60000,
    CLOSE_POLICY = 1008,
    SECOND_MS = 1000,
    LOOPS_MAX = 64,
};

typedef struct ws_session {
    kal_list link; /* sessions->loops[] */
    kal_ws_sessions *all;
    kal_ws *ws;
    kal_live_client *client; /* owned; NULL: nobody yet */
    int64_t expires_at_us;
    uint64_t auth_deadline_ms; /* 0: has authenticated */
    uint64_t second_ms;        /* in which `messages` came */
    unsigned messages;
    kal_wire wire;
    bool gzip;
} ws_session;

struct kal_ws_sessions {
    kal_exec *exec;
    kal_auth *auth;
    kal_ws_sessions_options options;
    kal_list loops[LOOPS_MAX]; /* each of its loop's thread */
    size_t counts[LOOPS_MAX];  /* of the sessions in them */
};

/* ---- messages to the client ---- */

/* Who does not read is not listened to either, until he does: so his requests cannot fill his queue
 * further. */
static bool send_body(ws_session *s, const kal_message_head *head, kal_message_body *body)
{
    bool has_room = kal_ws_send(s->ws, head, body);

    if (!has_room && kal_ws_is_open(s->ws))
        kal_ws_pause(s->ws, true);
    return has_room;
}

static void reply_send(kal_message_writer *r, ws_session *s)
{
    kal_message_body *body = kal_message_end(r); /* owned */
    if (body != NULL)
        (void)send_body(s, NULL, body);
    kal_message_body_release(body);
}

static void send_error(ws_session *s, kal_bytes id, const kal_error *err)
{
    kal_message_writer r; /* owned */

    kal_message_begin(&r, "error", NULL);
    kal_message_text(&r, "subscription_id", id);
    kal_message_error(&r, err);
    if (err->position >= 0) {
        kal_message_key(&r, "position");
        kal_json_i64(&r.json, err->position);
    }
    reply_send(&r, s);
}

static void refuse(ws_session *s, const char *code, const char *message)
{
    kal_error err = KAL_ERROR_INIT;
    kal_error_set(&err, KAL_INVALID, "%s", message);
    kal_error_code(&err, code);
    send_error(s, (kal_bytes){0}, &err);
}

/* And no more: whoever cannot say who he is has no business here. */
static void refuse_auth(ws_session *s, const kal_error *err)
{
    kal_message_writer r; /* owned */

    kal_message_begin(&r, "auth_error", NULL);
    kal_message_text(&r, "message", kal_cstr(err->message));
    kal_message_text(&r, "code", kal_cstr(err->code));
    reply_send(&r, s);
    kal_ws_close(s->ws, CLOSE_POLICY, err->code);
}

static const char *wire_name(kal_wire wire)
{
    return wire == KAL_WIRE_MSGPACK ? "msgpack" : "json";
}

static void send_auth_success(ws_session *s, const kal_principal *principal)
{
    kal_message_writer r; /* owned */

    kal_message_begin(&r, "auth_success", NULL);
    kal_message_text(&r, "user", kal_cstr(principal->user_id));
    kal_message_text(&r, "user_id", kal_cstr(principal->user_id));
    kal_message_text(&r, "role", kal_cstr(kal_role_name(principal->role)));
    kal_message_key(&r, "protocol");
    kal_json_begin_object(&r.json);
    kal_json_key(&r.json, "serialization");
    kal_json_cstr(&r.json, wire_name(s->wire));
    kal_json_key(&r.json, "compression");
    kal_json_cstr(&r.json, s->gzip ? "gzip" : "none");
    kal_json_end_object(&r.json);
    reply_send(&r, s);
}

/* ---- for the live queries ---- */

static kal_wire client_wire(void *connection)
{
    const ws_session *s = connection;
    return s->wire;
}

static bool client_send(void *connection, const kal_message_head *head, kal_message_body *body)
{
    return send_body(connection, head, body);
}

static void client_expel(void *connection, const kal_error *err)
{
    ws_session *s = connection;
    send_error(s, (kal_bytes){0}, err);
    kal_ws_close(s->ws, CLOSE_POLICY, err->code);
}

static const kal_live_client_ops CLIENT_OPS = {client_wire, client_send, client_expel};

/* ---- who it is ---- */

static kal_status enter(ws_session *s, const kal_auth_session *session, kal_error *err)
{
    kal_live_worker *worker =
        kal_live_worker_of(kal_exec_live(s->all->exec), kal_ws_loop_index(s->ws));

    if (s->client != NULL &&
        !kal_live_client_renew(s->client, &session->principal, session->generation)) {
        kal_error_set(err, KAL_UNAUTHORIZED, "this connection is somebody else's");
        return KAL_UNAUTHORIZED;
    }
    if (s->client == NULL)
        s->client =
            kal_live_client_open(worker, &session->principal, session->generation, &CLIENT_OPS, s);
    s->expires_at_us = session->expires_at_us;
    s->auth_deadline_ms = 0;
    return KAL_OK;
}

/* "protocol":{"serialization":...,"compression":...}; what is not said stays. */
static kal_status take_protocol(const kal_json *protocol, kal_wire *wire, bool *gzip,
                                kal_error *err)
{
    const kal_json *serialization = kal_json_find(protocol, "serialization");
    const kal_json *compression = kal_json_find(protocol, "compression");

    if (serialization != NULL && kal_bytes_equal(serialization->text, KAL_STR("json")))
        *wire = KAL_WIRE_JSON;
    else if (serialization != NULL &&
             (kal_bytes_equal(serialization->text, KAL_STR("msgpack")) ||
              kal_bytes_equal(serialization->text, KAL_STR("messagepack"))))
        *wire = KAL_WIRE_MSGPACK;
    else if (serialization != NULL)
        return kal_error_set(err, KAL_INVALID, "serialization is 'json' or 'msgpack'");
    if (compression != NULL && kal_bytes_equal(compression->text, KAL_STR("gzip")))
        *gzip = true;
    else if (compression != NULL && kal_bytes_equal(compression->text, KAL_STR("none")))
        *gzip = false;
    else if (compression != NULL)
        return kal_error_set(err, KAL_INVALID, "compression is 'gzip' or 'none'");
    return KAL_OK;
}

static kal_status authenticate(ws_session *s, const kal_json *message, kal_error *err)
{
    const kal_json *method = kal_json_find(message, "method");
    const kal_json *token = kal_json_find(message, "token");
    kal_auth_session session;
    kal_wire wire = s->wire;
    bool gzip = s->gzip;

    if (method != NULL && !kal_bytes_equal(method->text, KAL_STR("jwt")))
        return kal_error_set(err, KAL_UNAUTHORIZED, "the method of authentication is 'jwt'");
    if (token == NULL || token->kind != KAL_JSON_STRING)
        return kal_error_set(err, KAL_UNAUTHORIZED, "a token is missing");
    KAL_TRY(take_protocol(kal_json_find(message, "protocol"), &wire, &gzip, err));
    KAL_TRY(kal_auth_verify_session(s->all->auth, token->text, &session, err));
    KAL_TRY(enter(s, &session, err));
    s->wire = wire;
    s->gzip = gzip;
    send_auth_success(s, &session.principal); /* still in the old format */
    kal_ws_set_format(s->ws, wire, gzip);
    return KAL_OK;
}

/* ---- messages from the client ---- */

static kal_bytes text_of(const kal_json *object, const char *key)
{
    const kal_json *member = kal_json_find(object, key);
    return member != NULL && member->kind == KAL_JSON_STRING ? member->text : (kal_bytes){0};
}

/* A count or seq, as a number or as text; absent or null: *given_out false. */
static kal_status take_count(const kal_json *object, const char *key, bool *given_out,
                             uint64_t *out, kal_error *err)
{
    const kal_json *member = kal_json_find(object, key);
    int64_t number = 0;

    *given_out = member != NULL && member->kind != KAL_JSON_NULL;
    if (!*given_out)
        return KAL_OK;
    if ((member->kind != KAL_JSON_NUMBER && member->kind != KAL_JSON_STRING) ||
        !kal_parse_i64(member->text, &number) || number < 0) {
        kal_error_set(err, KAL_INVALID, "'%s' is a whole number, 0 or more", key);
        kal_error_code(err, "INVALID_OPTION");
        return KAL_INVALID;
    }
    *out = (uint64_t)number;
    return KAL_OK;
}

static kal_status bad_option(const char *message, kal_error *err)
{
    kal_error_set(err, KAL_INVALID, "%s", message);
    kal_error_code(err, "INVALID_OPTION");
    return KAL_INVALID;
}

static kal_status take_on_slow(const kal_json *options, bool *given_out, kal_live_slow *out,
                               kal_error *err)
{
    static const char *const NAMES[] = {"pause", "coalesce", "close"};
    const kal_json *member = kal_json_find(options, "on_slow");

    *given_out = member != NULL && member->kind != KAL_JSON_NULL;
    if (!*given_out)
        return KAL_OK;
    for (size_t i = 0; i < KAL_ARRAY_LEN(NAMES); i++) {
        if (member->kind == KAL_JSON_STRING && kal_bytes_equal(member->text, kal_cstr(NAMES[i]))) {
            *out = (kal_live_slow)i;
            return KAL_OK;
        }
    }
    return bad_option("'on_slow' is 'pause', 'coalesce' or 'close'", err);
}

static kal_status take_hash(const kal_json *options, bool *given_out, bool *out, kal_error *err)
{
    const kal_json *member = kal_json_find(options, "hash");

    *given_out = member != NULL && member->kind != KAL_JSON_NULL;
    if (!*given_out)
        return KAL_OK;
    *out = member->boolean;
    return member->kind == KAL_JSON_BOOL ? KAL_OK : bad_option("'hash' is true or false", err);
}

static kal_status take_request(const kal_json *subscription, kal_live_request *out, kal_error *err)
{
    const kal_json *options = kal_json_find(subscription, "options");

    out->id = text_of(subscription, "id");
    out->sql = text_of(subscription, "sql");
    if (options != NULL && options->kind != KAL_JSON_OBJECT && options->kind != KAL_JSON_NULL)
        return bad_option("'options' is an object", err);
    KAL_TRY(take_count(options, "batch_size", &out->has_batch_size, &out->batch_size, err));
    KAL_TRY(take_count(options, "last_rows", &out->has_last_rows, &out->last_rows, err));
    KAL_TRY(take_count(options, "from", &out->has_from, &out->from, err));
    if (!out->has_from)
        KAL_TRY(take_count(options, "from_seq_id", &out->has_from, &out->from, err));
    KAL_TRY(take_on_slow(options, &out->has_on_slow, &out->on_slow, err));
    return take_hash(options, &out->has_hash, &out->wants_hash, err);
}

static void subscribe(ws_session *s, const kal_json *subscription)
{
    kal_live_request request = {0};
    kal_error err = KAL_ERROR_INIT;

    kal_status status = take_request(subscription, &request, &err);
    if (status == KAL_OK && request.sql.len == 0) {
        status = kal_error_set(&err, KAL_INVALID, "a subscription has an 'id' and a text 'sql'");
        kal_error_code(&err, "INVALID_SUBSCRIPTION");
    }
    if (status == KAL_OK)
        status = kal_exec_subscribe(s->all->exec, s->client, &request, &err);
    if (status != KAL_OK)
        send_error(s, request.id, &err);
}

/* The older form: {"subscriptions":[{...}, ...]}. */
static void subscribe_all(ws_session *s, const kal_json *list)
{
    for (size_t i = 0; i < list->len && kal_ws_is_open(s->ws); i++)
        subscribe(s, &list->items[i]);
}

static void next_batch(ws_session *s, const kal_json *message)
{
    kal_error err = KAL_ERROR_INIT;
    kal_bytes id = text_of(message, "subscription_id");
    if (kal_live_next_batch(s->client, id, &err) != KAL_OK)
        send_error(s, id, &err);
    else if (s->messages > 0)
        s->messages--; /* each answers a batch: whoever reads fast is not too fast */
}

static void unsubscribe(ws_session *s, const kal_json *message)
{
    kal_error err = KAL_ERROR_INIT;
    kal_bytes id = text_of(message, "subscription_id");
    if (kal_live_unsubscribe(s->client, id, &err) != KAL_OK)
        send_error(s, id, &err);
}

static void handle_known(ws_session *s, kal_bytes type, const kal_json *message)
{
    const kal_json *list = kal_json_find(message, "subscriptions");

    if (kal_bytes_equal(type, KAL_STR("subscribe")))
        subscribe(s, kal_json_find(message, "subscription"));
    else if (kal_bytes_equal(type, KAL_STR("next_batch")))
        next_batch(s, message);
    else if (kal_bytes_equal(type, KAL_STR("unsubscribe")))
        unsubscribe(s, message);
    else if (type.len == 0 && list != NULL && list->kind == KAL_JSON_ARRAY)
        subscribe_all(s, list);
    else
        refuse(s, "UNSUPPORTED_DATA",
               "a message has a 'type': authenticate, subscribe, next_batch, unsubscribe or ping");
}

static void handle(ws_session *s, const kal_json *message)
{
    kal_error err = KAL_ERROR_INIT;
    kal_bytes type = text_of(message, "type");

    if (kal_bytes_equal(type, KAL_STR("ping")))
        return; /* that it came is all there is to it */
    if (kal_bytes_equal(type, KAL_STR("authenticate"))) {
        if (authenticate(s, message, &err) != KAL_OK)
            refuse_auth(s, &err);
    } else if (s->client == NULL) {
        refuse(s, "AUTH_REQUIRED", "the first message is 'authenticate'");
    } else {
        handle_known(s, type, message);
    }
}

/* So many a second; more are answered with an error, and not looked at. */
static bool is_too_fast(ws_session *s)
{
    uint64_t now_ms = kal_ws_now_ms(s->ws);
    if (now_ms - s->second_ms >= SECOND_MS) {
        s->second_ms = now_ms;
        s->messages = 0;
    }
    return ++s->messages > s->all->options.messages_per_second;
}

static kal_status parse(const ws_session *s, kal_bytes payload, bool is_text, kal_arena *arena,
                        kal_json **out, kal_error *err)
{
    if (is_text)
        return kal_json_parse(payload, arena, out, err);
    if (s->wire == KAL_WIRE_MSGPACK)
        return kal_msgpack_parse(payload, arena, out, err);
    kal_error_set(err, KAL_UNSUPPORTED, "binary messages are for connections that speak msgpack");
    kal_error_code(err, "UNSUPPORTED_DATA");
    return KAL_UNSUPPORTED;
}

static void on_message(void *context, kal_ws *ws, kal_bytes payload, bool is_text)
{
    ws_session *s = context;
    kal_error err = KAL_ERROR_INIT;
    kal_json *message = NULL;
    kal_arena arena; /* owned */

    (void)ws;
    if (is_too_fast(s)) {
        refuse(s, "RATE_LIMIT_EXCEEDED", "too many messages a second");
        return;
    }
    kal_arena_init(&arena, kal_exec_budget(s->all->exec));
    if (parse(s, payload, is_text, &arena, &message, &err) == KAL_OK) {
        handle(s, message);
    } else {
        err.position = -1; /* a place in the message, not in an SQL text */
        send_error(s, (kal_bytes){0}, &err);
    }
    kal_arena_release(&arena);
}

static void on_writable(void *context, kal_ws *ws)
{
    ws_session *s = context;
    kal_ws_pause(ws, false);
    if (s->client != NULL)
        kal_live_client_writable(s->client);
}

static void on_close(void *context, kal_ws *ws)
{
    ws_session *s = context;
    kal_live_client_close(s->client);
    kal_list_remove(&s->link);
    s->all->counts[kal_ws_loop_index(ws)]--;
    free(s);
}

/* ---- the upgrade ---- */

/* The value of a member of the query string; values with escapes are none of ours. */
static kal_bytes query_member(kal_bytes query, const char *name)
{
    size_t len = strlen(name);

    while (query.len > 0) {
        const uint8_t *amp = memchr(query.ptr, '&', query.len);
        kal_bytes part =
            kal_bytes_of(query.ptr, amp == NULL ? query.len : (size_t)(amp - query.ptr));
        if (part.len > len && part.ptr[len] == '=' && memcmp(part.ptr, name, len) == 0)
            return kal_bytes_of(part.ptr + len + 1, part.len - len - 1);
        size_t used = amp == NULL ? query.len : part.len + 1;
        query = kal_bytes_of(query.ptr + used, query.len - used);
    }
    return (kal_bytes){0};
}

static bool bearer_token(const kal_http_request *request, kal_bytes *token_out)
{
    kal_bytes value;
    kal_bytes scheme = KAL_STR("bearer ");

    if (!kal_http_header_find(request, "authorization", &value) || value.len <= scheme.len ||
        !kal_bytes_equal_nocase(kal_bytes_of(value.ptr, scheme.len), scheme))
        return false;
    *token_out = kal_bytes_of(value.ptr + scheme.len, value.len - scheme.len);
    return true;
}

static void respond_error(kal_exchange *exchange, const kal_error *err)
{
    kal_http_reply reply = {.status = kal_status_http(err->status)};

    kal_ws_refuse(err, &reply);
    kal_buf_init(&reply.body, NULL);
    kal_exec_write_error(err, 0, &reply.body);
    kal_exchange_respond(exchange, &reply);
}

static kal_ws_options ws_options(const kal_ws_sessions *all, ws_session *s)
{
    kal_ws_options o = KAL_WS_OPTIONS_DEFAULT;
    o.message_bytes_max = all->options.message_bytes_max;
    o.queue_bytes_max = all->options.queue_bytes_max;
    o.queue_bytes_low = all->options.queue_bytes_max / 4;
    o.ping_interval_ms = all->options.ping_interval_ms;
    o.timeout_ms = all->options.timeout_ms;
    o.budget = kal_exec_budget(all->exec);
    o.on_message = on_message;
    o.on_writable = on_writable;
    o.on_close = on_close;
    o.context = s;
    return o;
}

static ws_session *make_session(kal_ws_sessions *all, const kal_http_request *request)
{
    ws_session *s = calloc(1, sizeof *s);

    if (s == NULL)
        kal_die("out of memory: WebSocket");
    s->all = all;
    kal_list_init(&s->link);
    if (kal_bytes_equal(query_member(request->query, "serialization"), KAL_STR("msgpack")))
        s->wire = KAL_WIRE_MSGPACK;
    s->gzip = kal_bytes_equal(query_member(request->query, "compression"), KAL_STR("gzip"));
    return s;
}

void kal_ws_sessions_handle(kal_ws_sessions *all, kal_exchange *exchange)
{
    const kal_http_request *request = kal_exchange_request(exchange);
    kal_error err = KAL_ERROR_INIT;
    kal_auth_session session;
    kal_bytes token;
    bool has_token = bearer_token(request, &token);

    if (has_token && kal_auth_verify_session(all->auth, token, &session, &err) != KAL_OK) {
        respond_error(exchange, &err);
        return;
    }
    ws_session *s = make_session(all, request); /* owned by the connection, until on_close() */
    kal_ws_options options = ws_options(all, s);
    s->ws = kal_exchange_upgrade(exchange, &options, &err);
    if (s->ws == NULL) {
        free(s);
        respond_error(exchange, &err);
        return;
    }
    s->auth_deadline_ms = kal_ws_now_ms(s->ws) + all->options.auth_timeout_ms;
    kal_list_push_back(&all->loops[kal_ws_loop_index(s->ws)], &s->link);
    all->counts[kal_ws_loop_index(s->ws)]++;
    kal_ws_set_format(s->ws, s->wire, s->gzip);
    if (has_token && enter(s, &session, &err) == KAL_OK)
        send_auth_success(s, &session.principal);
}

/* ---- deadlines ---- */

static void check_deadlines(ws_session *s, int64_t now_us)
{
    kal_error err = KAL_ERROR_INIT;

    if (!kal_ws_is_open(s->ws))
        return;
    if (s->auth_deadline_ms != 0 && kal_ws_now_ms(s->ws) >= s->auth_deadline_ms) {
        kal_error_set(&err, KAL_UNAUTHORIZED, "the connection did not authenticate in time");
        kal_error_code(&err, "AUTH_REQUIRED");
        refuse_auth(s, &err);
    } else if (s->client != NULL && now_us >= s->expires_at_us) {
        kal_error_set(&err, KAL_UNAUTHORIZED, "the token has expired: log in again");
        kal_error_code(&err, "TOKEN_EXPIRED");
        client_expel(s, &err);
    }
}

void kal_ws_sessions_tick(kal_ws_sessions *all, unsigned loop)
{
    int64_t now_us = kal_clock_wall_us(kal_exec_options_in_effect(all->exec)->clock);
    for (size_t left = kal_list_piece(all->counts[loop]); left > 0; left--)
        check_deadlines(KAL_CONTAINER_OF(kal_list_rotate(&all->loops[loop]), ws_session, link),
                        now_us);
}

/* ---- opening and closing ---- */

kal_ws_sessions *kal_ws_sessions_open(kal_exec *exec, const kal_ws_sessions_options *options)
{
    kal_ws_sessions *all = calloc(1, sizeof *all);

    if (all == NULL)
        kal_die("out of memory: WebSockets");
    all->exec = exec;
    all->auth = kal_exec_auth(exec);
    all->options = *options;
    if (all->options.auth_timeout_ms == 0)
        all->options.auth_timeout_ms = AUTH_TIMEOUT_MS_DEFAULT;
    if (all->options.messages_per_second == 0)
        all->options.messages_per_second = MESSAGES_PER_SECOND_DEFAULT;
    if (all->options.message_bytes_max == 0)
        all->options.message_bytes_max = MESSAGE_BYTES_DEFAULT;
    if (all->options.queue_bytes_max == 0)
        all->options.queue_bytes_max = QUEUE_BYTES_DEFAULT;
    if (all->options.ping_interval_ms == 0)
        all->options.ping_interval_ms = PING_INTERVAL_MS_DEFAULT;
    if (all->options.timeout_ms == 0)
        all->options.timeout_ms = TIMEOUT_MS_DEFAULT;
    for (unsigned i = 0; i < LOOPS_MAX; i++)
        kal_list_init(&all->loops[i]);
    return all;
}

void kal_ws_sessions_close(kal_ws_sessions *all)
{
    if (all == NULL)
        return;
    for (unsigned i = 0; i < LOOPS_MAX; i++)
        KAL_ASSERT(kal_list_empty(&all->loops[i]));
    free(all);
}
