/*
 * hello.c: the server's own event loop with a handler that answers every request with the same 180
 * bytes of JSON: what HTTP alone costs.
 *
 *   bench_hello PORT LOOPS
 */
#include "base/json_writer.h"
#include "server/http_server.h"

#include <signal.h>
#include <stdio.h>

static kal_http_server *server;

static void on_signal(int number)
{
    (void)number;
    kal_http_server_stop(server);
}

static void hello(void *context, kal_exchange *exchange)
{
    /* as long as the reply of a point SELECT */
    static const char BODY[] =
        "{\"status\":\"success\",\"results\":[{\"schema\":[{\"name\":\"v\",\"data_type\":\"Text\","
        "\"index\":0}],\"rows\":[[\"a text of forty characters, more or less\"]],\"row_count\":1,"
        "\"as_user\":\"root\"}],\"took\":0.012}";
    kal_http_reply reply = {.status = 200};

    (void)context;
    kal_buf_init(&reply.body, NULL);
    kal_buf_append_cstr(&reply.body, BODY);
    kal_exchange_respond(exchange, &reply);
}

int main(int argc, char **argv)
{
    kal_http_server_options options = KAL_HTTP_SERVER_OPTIONS_DEFAULT;
    kal_error err = KAL_ERROR_INIT;

    int64_t port = 0;
    int64_t loops = 0;
    if (argc != 3 || !kal_parse_i64(kal_cstr(argv[1]), &port) ||
        !kal_parse_i64(kal_cstr(argv[2]), &loops) || port < 0 || port > UINT16_MAX || loops < 0 ||
        loops > 64) {
        fputs("usage: bench_hello PORT LOOPS\n", stderr);
        return 2;
    }
    options.port = (uint16_t)port;
    options.loops = (unsigned)loops;
    options.handler = hello;
    if (kal_http_server_open(&options, &server, &err) != KAL_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    signal(SIGTERM, on_signal);
    signal(SIGPIPE, SIG_IGN);
    if (kal_http_server_run(server, &err) != KAL_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    kal_http_server_close(server);
    return 0;
}
