/*
 * ws_echo.c: a server of WebSockets over http_server.h, for websocket.test.mjs. Prints its port and
 * serves until SIGTERM, then prints what it counted.
 *
 *   ws_echo [OPTION=NUMBER ...]
 *
 *   GET /count                 number of WebSockets that are open, and of clients cut as too slow
 *   /echo                      every message comes back as it is; paused while too much waits
 *   /format?wire=W&gzip=G      text of JSON members comes back as a message of head and body;
 *                              a binary message is MessagePack and comes back as JSON text
 *   /fan                       what one sends, all on this path get, on all loops
 *   /flood                     any message starts a flood that heeds what kal_ws_send() says: N
 * messages /rude                      and one that does not /close                     a message
 * "CODE reason" is what it is closed with /idle                      pings and time-outs are short
 */
#include "base/json_writer.h"
#include "base/list.h"
#include "base/msgpack.h"
#include "server/ws.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { LOOPS = 2, FLOOD_COUNT = 20000 };

typedef struct client {
    kal_list link; /* of its loop's fan */
    kal_ws *ws;
    unsigned flood_left;
    unsigned seen;
} client;

typedef struct fan_post {
    kal_list link;
    char text[256];
} fan_post;

static kal_http_server *server;
static kal_budget budget;
static kal_message_head *head;
static unsigned message_bytes_max = 1024 * 1024;
static unsigned write_timeout_ms = 30000;
static _Atomic unsigned open_count;
static kal_list fan[LOOPS];
static pthread_mutex_t post_lock = PTHREAD_MUTEX_INITIALIZER;
static kal_list posts[LOOPS]; /* under the lock */

static void on_signal(int number)
{
    (void)number;
    kal_http_server_stop(server);
}

static void on_close(void *context, kal_ws *ws)
{
    client *c = context;
    (void)ws;
    kal_list_remove(&c->link);
    free(c);
    open_count--;
}

/* ---- paths ---- */

static void on_echo(void *context, kal_ws *ws, kal_bytes payload, bool is_text)
{
    (void)context;
    if (!kal_ws_send_bytes(ws, payload, is_text))
        kal_ws_pause(ws, true);
}

static void on_echo_writable(void *context, kal_ws *ws)
{
    (void)context;
    kal_ws_pause(ws, false);
}

static void on_msgpack(kal_ws *ws, kal_bytes payload)
{
    kal_arena arena;
    kal_json *json = NULL;
    kal_error err = KAL_ERROR_INIT;
    kal_buf text;
    kal_json_writer w;

    kal_arena_init(&arena, &budget);
    kal_buf_init(&text, &budget);
    if (kal_msgpack_parse(payload, &arena, &json, &err) == KAL_OK) {
        kal_json_writer_init(&w, &text);
        kal_json_write_tree(json, &w);
    } else {
        kal_buf_append_cstr(&text, err.message);
    }
    kal_ws_send_bytes(ws, kal_buf_bytes(&text), true);
    kal_buf_release(&text);
    kal_arena_release(&arena);
}

static void on_format(void *context, kal_ws *ws, kal_bytes payload, bool is_text)
{
    kal_buf members;
    kal_arena arena;
    kal_json *json = NULL;

    (void)context;
    if (!is_text) {
        on_msgpack(ws, payload);
        return;
    }
    kal_arena_init(&arena, &budget);
    kal_buf_init(&members, &budget);
    if (kal_json_parse(payload, &arena, &json, NULL) == KAL_OK && json->kind == KAL_JSON_OBJECT) {
        kal_buf_append(&members, payload.ptr + 1, payload.len - 2);
        kal_message_body *body = kal_message_body_make(&members, (uint32_t)json->len);
        kal_ws_send(ws, head, body);
        kal_message_body_release(body);
    } else {
        kal_ws_close(ws, 4000, "an object of JSON without blanks around it is expected");
    }
    kal_arena_release(&arena);
}

static void flood(client *c, bool heeds)
{
    while (c->flood_left > 0) {
        kal_buf members;
        kal_buf_init(&members, &budget);
        kal_buf_printf(&members, "\"number\":%u,\"text\":\"%0300d\"", FLOOD_COUNT - c->flood_left,
                       7);
        kal_message_body *body = kal_message_body_make(&members, 2);
        c->flood_left--;
        bool more = kal_ws_send(c->ws, head, body);
        kal_message_body_release(body);
        if (!more && (heeds || !kal_ws_is_open(c->ws)))
            return;
    }
}

static void on_flood(void *context, kal_ws *ws, kal_bytes payload, bool is_text)
{
    client *c = context;
    (void)ws;
    (void)payload;
    c->flood_left = FLOOD_COUNT;
    flood(c, is_text);
}

static void on_flood_writable(void *context, kal_ws *ws)
{
    (void)ws;
    flood(context, true);
}

static void on_sink(void *context, kal_ws *ws, kal_bytes payload, bool is_text)
{
    (void)context;
    (void)ws;
    (void)payload;
    (void)is_text;
}

static void on_close_me(void *context, kal_ws *ws, kal_bytes payload, bool is_text)
{
    char text[200] = "";
    char *end = NULL;
    (void)context;
    (void)is_text;
    if (payload.len > 0 && payload.len < sizeof text)
        memcpy(text, payload.ptr, payload.len);
    unsigned long code = strtoul(text, &end, 10);
    kal_ws_close(ws, (uint16_t)code, *end == ' ' ? end + 1 : NULL);
}

static void on_fan(void *context, kal_ws *ws, kal_bytes payload, bool is_text)
{
    (void)context;
    (void)ws;
    (void)is_text;
    for (unsigned i = 0; i < LOOPS; i++) {
        fan_post *post = calloc(1, sizeof *post);
        snprintf(post->text, sizeof post->text, "\"said\":\"%.*s\"", KAL_FMT(payload));
        pthread_mutex_lock(&post_lock);
        kal_list_push_back(&posts[i], &post->link);
        pthread_mutex_unlock(&post_lock);
        kal_http_server_wake_loop(server, i);
    }
}

/* One post a turn, to all of this loop. */
static bool on_turn(void *context, unsigned loop)
{
    kal_buf members;
    (void)context;
    pthread_mutex_lock(&post_lock);
    kal_list *link = kal_list_pop_front(&posts[loop]);
    bool more = !kal_list_empty(&posts[loop]);
    pthread_mutex_unlock(&post_lock);
    if (link == NULL)
        return false;
    fan_post *post = KAL_CONTAINER_OF(link, fan_post, link);
    kal_buf_init(&members, &budget);
    kal_buf_append_cstr(&members, post->text);
    kal_message_body *body = kal_message_body_make(&members, 1);
    KAL_LIST_FOR_EACH (member, &fan[loop])
        kal_ws_send(KAL_CONTAINER_OF(member, client, link)->ws, NULL, body);
    kal_message_body_release(body);
    free(post);
    return more;
}

/* ---- requests ---- */

static bool path_is(const kal_http_request *request, const char *path)
{
    return kal_bytes_equal(request->path, kal_cstr(path));
}

static bool query_has(const kal_http_request *request, const char *text)
{
    const kal_bytes *query = &request->query;
    return query->len > 0 && memmem(query->ptr, query->len, text, strlen(text)) != NULL;
}

static void choose(const kal_http_request *request, kal_ws_options *o)
{
    o->on_message = on_echo;
    o->on_writable = on_echo_writable;
    if (path_is(request, "/format"))
        o->on_message = on_format;
    if (path_is(request, "/fan"))
        o->on_message = on_fan;
    if (path_is(request, "/sink"))
        o->on_message = on_sink;
    if (path_is(request, "/close"))
        o->on_message = on_close_me;
    if (path_is(request, "/flood")) {
        o->on_message = on_flood;
        o->on_writable = on_flood_writable;
        o->queue_bytes_max = 100000;
        o->queue_bytes_low = 20000;
    }
    if (path_is(request, "/idle")) {
        o->ping_interval_ms = 300;
        o->timeout_ms = 1500;
        o->close_timeout_ms = 500;
    }
}

static void respond(kal_exchange *exchange, const kal_error *err)
{
    kal_http_reply reply = {.status = 200};
    kal_buf_init(&reply.body, NULL);
    if (err != NULL) {
        kal_ws_refuse(err, &reply);
        kal_buf_append_cstr(&reply.body, err->message);
    } else {
        kal_buf_printf(&reply.body, "{\"open\":%u,\"slow\":%llu,\"connections\":%llu,\"used\":%zu}",
                       open_count, (unsigned long long)kal_http_server_slow_clients(server),
                       (unsigned long long)kal_gauge_now(kal_http_server_connections(server)),
                       budget.used);
    }
    kal_exchange_respond(exchange, &reply);
}

static void handle(void *context, kal_exchange *exchange)
{
    const kal_http_request *request = kal_exchange_request(exchange);
    kal_ws_options options = KAL_WS_OPTIONS_DEFAULT;
    kal_error err = KAL_ERROR_INIT;

    (void)context;
    if (path_is(request, "/count")) {
        respond(exchange, NULL);
        return;
    }
    client *c = calloc(1, sizeof *c);
    kal_list_init(&c->link);
    bool is_fan = path_is(request, "/fan");
    bool msgpack = query_has(request, "wire=msgpack");
    bool gzip = query_has(request, "gzip=1");
    options.context = c;
    options.budget = &budget;
    options.message_bytes_max = message_bytes_max;
    options.on_close = on_close;
    options.deflate = !query_has(request, "deflate=0");
    choose(request, &options);
    c->ws = kal_exchange_upgrade(exchange, &options, &err);
    if (c->ws == NULL) {
        free(c);
        respond(exchange, &err);
        return;
    }
    open_count++;
    kal_ws_set_format(c->ws, msgpack ? KAL_WIRE_MSGPACK : KAL_WIRE_JSON, gzip);
    if (is_fan)
        kal_list_push_back(&fan[kal_ws_loop_index(c->ws)], &c->link);
}

static void take_option(const char *text)
{
    unsigned value = 0;
    if (sscanf(text, "message_bytes_max=%u", &value) == 1)
        message_bytes_max = value;
    else if (sscanf(text, "write_timeout_ms=%u", &value) == 1)
        write_timeout_ms = value;
}

int main(int argc, char **argv)
{
    kal_http_server_options options = KAL_HTTP_SERVER_OPTIONS_DEFAULT;
    kal_error err = KAL_ERROR_INIT;

    for (int i = 1; i < argc; i++)
        take_option(argv[i]);
    kal_budget_init(&budget, NULL, (size_t)256 << 20);
    for (unsigned i = 0; i < LOOPS; i++) {
        kal_list_init(&fan[i]);
        kal_list_init(&posts[i]);
    }
    options.port = 0;
    options.loops = LOOPS;
    options.handler = handle;
    options.on_turn = on_turn;
    options.write_timeout_ms = write_timeout_ms;
    options.drain_timeout_ms = 3000;
    if (kal_message_head_make(KAL_STR("\"type\":\"echo\",\"id\":\"s1\""), &budget, &head, &err) !=
            KAL_OK ||
        kal_http_server_open(&options, &server, &err) != KAL_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    signal(SIGTERM, on_signal);
    printf("%u\n", kal_http_server_port(server));
    fflush(stdout);
    if (kal_http_server_run(server, &err) != KAL_OK)
        return 1;
    kal_http_server_close(server);
    kal_message_head_free(head);
    printf("open %u used %zu\n", open_count, budget.used);
    return 0;
}
