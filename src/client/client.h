/*
 * client.h: libkalam: a KalamDB server, reached over HTTP.
 *
 *   kal_client_open -> kal_client_login (or _set_token) -> kal_client_query ... -> kal_client_close
 *
 * One client is one server and one identity; requests follow each other on one connection, which is
 * kept open and made again when it was lost. Nothing is retried: whether a statement that got no
 * answer was run is for the caller to find out.
 *
 * Threads: one at a time; several clients may be used by several threads.
 * Source:  docs/http-api.md
 */
#ifndef KAL_CLIENT_CLIENT_H
#define KAL_CLIENT_CLIENT_H

#include "client/http.h"
#include "client/reply.h"

typedef struct kal_client kal_client; /* opaque: kal_client_close */
typedef kal_http_options kal_client_options;

/* KAL_INVALID when options->url is no URL. Does not connect yet. */
KAL_MUST_CHECK kal_status kal_client_open(const kal_client_options *options,
                                          kal_client **client_out, kal_error *err);
void kal_client_close(kal_client *client); /* NULL is allowed */
const char *kal_client_url(const kal_client *client);

/* What follows is said under this token; copied. NULL: no identity. */
void kal_client_set_token(kal_client *client, const char *access_token, const char *refresh_token);
/* Borrowed until the next login; NULL when there is none. */
const char *kal_client_access_token(const kal_client *client);
const char *kal_client_refresh_token(const kal_client *client);

/* Trades name and password for tokens, which the client keeps. KAL_UNAUTHORIZED when they are
 * wrong; KAL_BUSY when the server throttles; KAL_IO. */
KAL_MUST_CHECK kal_status kal_client_login(kal_client *client, kal_bytes user, kal_bytes password,
                                           kal_error *err);
/* Trades the refresh token for new tokens. */
KAL_MUST_CHECK kal_status kal_client_refresh(kal_client *client, kal_error *err);

/* Whether nobody can log in to the server yet. */
KAL_MUST_CHECK kal_status kal_client_needs_setup(kal_client *client, bool *needs_setup_out,
                                                 kal_error *err);
typedef struct kal_client_setup_request {
    kal_bytes setup_token;   /* the content of DATA/setup-token */
    kal_bytes root_password; /* to be set */
    kal_bytes user;          /* a first dba; empty: none */
    kal_bytes password;      /* of that user */
} kal_client_setup_request;
/* Sets root's password and creates the first dba. KAL_DENIED: wrong token, or set up already. */
KAL_MUST_CHECK kal_status kal_client_setup(kal_client *client,
                                           const kal_client_setup_request *request, kal_error *err);

typedef struct kal_client_statement {
    kal_bytes sql;          /* one statement, or several with ';' between them */
    kal_bytes params;       /* JSON text: an array of values, or of rows (a batch); empty: none */
    kal_bytes namespace_id; /* for names without one; empty: the server's default */
} kal_client_statement;

/*
 * Runs SQL. reply_out is initialised here; the caller releases it in every case.
 *
 * KAL_OK: every statement succeeded, reply_out->results has one result each. With
 * reply_out->refused: the server's error, by the status that fits it. Else KAL_IO, KAL_TIMEOUT,
 * KAL_CANCELLED, KAL_LIMIT or KAL_INTERNAL: there was no proper answer.
 */
KAL_MUST_CHECK kal_status kal_client_query(kal_client *client,
                                           const kal_client_statement *statement,
                                           kal_reply *reply_out, kal_error *err);

#endif
