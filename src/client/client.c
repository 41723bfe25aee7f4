#include "client/client.h"

#include "base/assert.h"
#include "base/json_writer.h"

#include <stdlib.h>
#include <string.h>

struct kal_client {
    kal_http *http;      /* owned */
    char *access_token;  /* owned, or NULL */
    char *refresh_token; /* owned, or NULL */
    kal_buf request;     /* body being sent; kept for its memory */
    kal_buf reply;       /* body being read; kept for its memory */
};

/* A reply that was larger than this gives its memory back. */
#define KEPT_REPLY_BYTES (1024u * 1024u)

kal_status kal_client_open(const kal_client_options *options, kal_client **client_out,
                           kal_error *err)
{
    kal_http *http = NULL;
    *client_out = NULL;
    KAL_TRY(kal_http_open(options, &http, err));
    kal_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        kal_die("out of memory");
    client->http = http;
    kal_buf_init(&client->request, NULL);
    kal_buf_init(&client->reply, NULL);
    *client_out = client;
    return KAL_OK;
}

/* Secrets do not stay in freed memory. */
static void free_secret(char *secret)
{
    if (secret == NULL)
        return;
    explicit_bzero(secret, strlen(secret));
    free(secret);
}

static char *copy_secret(const char *secret)
{
    if (secret == NULL)
        return NULL;
    char *copy = strdup(secret);
    if (copy == NULL)
        kal_die("out of memory");
    return copy;
}

void kal_client_close(kal_client *client)
{
    if (client == NULL)
        return;
    kal_http_close(client->http);
    free_secret(client->access_token);
    free_secret(client->refresh_token);
    kal_buf_release(&client->request);
    kal_buf_release(&client->reply);
    free(client);
}

const char *kal_client_url(const kal_client *client)
{
    return kal_http_url(client->http);
}

void kal_client_set_token(kal_client *client, const char *access_token, const char *refresh_token)
{
    char *access_copy = copy_secret(access_token);
    char *refresh_copy = copy_secret(refresh_token);
    free_secret(client->access_token);
    free_secret(client->refresh_token);
    client->access_token = access_copy;
    client->refresh_token = refresh_copy;
}

const char *kal_client_access_token(const kal_client *client)
{
    return client->access_token;
}

const char *kal_client_refresh_token(const kal_client *client)
{
    return client->refresh_token;
}

/* Sends client->request (or GETs, when `get`) and leaves the body in client->reply. */
static kal_status exchange(kal_client *client, const char *path, const char *token, bool get,
                           int *code_out, kal_error *err)
{
    kal_bytes body = kal_buf_bytes(&client->request);
    if (client->reply.cap > KEPT_REPLY_BYTES)
        kal_buf_release(&client->reply);
    kal_buf_clear(&client->reply);
    return kal_http_send(client->http, path, token, get ? NULL : &body, &client->reply, code_out,
                         err);
}

/* A request whose reply is an object of its own; the tree lives in reply's arena. */
static kal_status exchange_plain(kal_client *client, const char *path, const char *token, bool get,
                                 kal_reply *reply, const kal_json **json_out, kal_error *err)
{
    int code = 0;
    *json_out = NULL;
    kal_status status = exchange(client, path, token, get, &code, err);
    if (client->request.ptr != NULL)
        explicit_bzero(client->request.ptr, client->request.cap); /* it may hold a password */
    kal_buf_clear(&client->request);
    if (status != KAL_OK)
        return status;
    status = kal_reply_parse_plain(kal_buf_bytes(&client->reply), code, reply, json_out, err);
    if (client->reply.ptr != NULL)
        explicit_bzero(client->reply.ptr, client->reply.len); /* it may hold tokens */
    return status;
}

/* A token goes into a header: nothing but visible ASCII may be in it. */
static const char *token_member(const kal_json *json, const char *key, kal_arena *arena)
{
    const kal_json *member = kal_json_find(json, key);
    if (member == NULL || member->kind != KAL_JSON_STRING || member->text.len == 0)
        return NULL;
    for (size_t i = 0; i < member->text.len; i++) {
        if (member->text.ptr[i] <= ' ' || member->text.ptr[i] >= 0x7F)
            return NULL;
    }
    return kal_arena_cstr(arena, member->text);
}

static kal_status take_tokens(kal_client *client, const kal_json *json, kal_arena *arena,
                              kal_error *err)
{
    const char *access = token_member(json, "access_token", arena);
    if (access == NULL)
        return kal_error_set(err, KAL_INTERNAL, "the server's answer holds no access token");
    kal_client_set_token(client, access, token_member(json, "refresh_token", arena));
    return KAL_OK;
}

/* Sends client->request to an endpoint that answers with tokens. */
static kal_status ask_for_tokens(kal_client *client, const char *path, const char *token,
                                 kal_error *err)
{
    kal_reply reply;
    const kal_json *json = NULL;
    kal_reply_init(&reply);
    kal_status status = exchange_plain(client, path, token, false, &reply, &json, err);
    if (status == KAL_OK)
        status = take_tokens(client, json, &reply.arena, err);
    kal_reply_release(&reply);
    return status;
}

kal_status kal_client_login(kal_client *client, kal_bytes user, kal_bytes password, kal_error *err)
{
    kal_json_writer w;
    kal_buf_clear(&client->request);
    kal_json_writer_init(&w, &client->request);
    kal_json_begin_object(&w);
    kal_json_key(&w, "user");
    kal_json_string(&w, user);
    kal_json_key(&w, "password");
    kal_json_string(&w, password);
    kal_json_end_object(&w);
    return ask_for_tokens(client, "/v1/api/auth/login", NULL, err);
}

kal_status kal_client_refresh(kal_client *client, kal_error *err)
{
    kal_json_writer w;
    if (client->refresh_token == NULL)
        return kal_error_set(err, KAL_UNAUTHORIZED, "there is no refresh token");
    kal_buf_clear(&client->request);
    kal_json_writer_init(&w, &client->request);
    kal_json_begin_object(&w);
    kal_json_key(&w, "refresh_token");
    kal_json_cstr(&w, client->refresh_token);
    kal_json_end_object(&w);
    return ask_for_tokens(client, "/v1/api/auth/refresh", client->refresh_token, err);
}

kal_status kal_client_needs_setup(kal_client *client, bool *needs_setup_out, kal_error *err)
{
    kal_reply reply;
    const kal_json *json = NULL;
    *needs_setup_out = false;
    kal_reply_init(&reply);
    kal_buf_clear(&client->request);
    kal_status status =
        exchange_plain(client, "/v1/api/auth/status", NULL, true, &reply, &json, err);
    if (status == KAL_OK) {
        const kal_json *needs = kal_json_find(json, "needs_setup");
        *needs_setup_out = needs != NULL && needs->kind == KAL_JSON_BOOL && needs->boolean;
    }
    kal_reply_release(&reply);
    return status;
}

kal_status kal_client_setup(kal_client *client, const kal_client_setup_request *request,
                            kal_error *err)
{
    kal_json_writer w;
    kal_reply reply;
    const kal_json *json = NULL;
    kal_buf_clear(&client->request);
    kal_json_writer_init(&w, &client->request);
    kal_json_begin_object(&w);
    kal_json_key(&w, "setup_token");
    kal_json_string(&w, request->setup_token);
    kal_json_key(&w, "root_password");
    kal_json_string(&w, request->root_password);
    if (request->user.len > 0) {
        kal_json_key(&w, "user");
        kal_json_string(&w, request->user);
        kal_json_key(&w, "password");
        kal_json_string(&w, request->password);
    }
    kal_json_end_object(&w);
    kal_reply_init(&reply);
    kal_status status =
        exchange_plain(client, "/v1/api/auth/setup", NULL, false, &reply, &json, err);
    kal_reply_release(&reply);
    return status;
}

static void write_statement(const kal_client_statement *statement, kal_buf *out)
{
    kal_json_writer w;
    kal_json_writer_init(&w, out);
    kal_json_begin_object(&w);
    kal_json_key(&w, "sql");
    kal_json_string(&w, statement->sql);
    if (statement->params.len > 0) {
        kal_json_key(&w, "params");
        kal_json_raw(&w, statement->params);
    }
    if (statement->namespace_id.len > 0) {
        kal_json_key(&w, "namespace_id");
        kal_json_string(&w, statement->namespace_id);
    }
    kal_json_end_object(&w);
}

kal_status kal_client_query(kal_client *client, const kal_client_statement *statement,
                            kal_reply *reply_out, kal_error *err)
{
    int code = 0;
    kal_reply_init(reply_out);
    /* The writer would replace broken text; a statement is sent as it is or not at all. */
    if (!kal_utf8_valid(statement->sql))
        return kal_error_set(err, KAL_INVALID, "the SQL text is not valid UTF-8");
    kal_buf_clear(&client->request);
    write_statement(statement, &client->request);
    KAL_TRY(exchange(client, "/v1/api/sql", client->access_token, false, &code, err));
    return kal_reply_parse(kal_buf_bytes(&client->reply), code, reply_out, err);
}
