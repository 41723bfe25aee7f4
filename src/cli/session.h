/*
 * session.h: one server, one identity, and the text that a person or a script gives us to run.
 *
 *   kal_session_open -> kal_session_run ... -> kal_session_close
 *
 * Results go to standard output, errors to standard error. Threads: one at a time.
 */
#ifndef KAL_CLI_SESSION_H
#define KAL_CLI_SESSION_H

#include "cli/options.h"
#include "cli/render.h"
#include "client/client.h"

#include <signal.h>

typedef struct kal_session {
    const kal_cli_options *options; /* borrowed */
    kal_client *client;             /* owned */
    kal_render_options render;
    kal_buf namespace_id; /* where names without one are looked up; empty: the server's default */
    char *user;           /* owned; NULL when only a token is known */
    bool from_file;       /* the token is a kept one: a refreshed one is kept too */
    bool is_interactive;
    bool quit;      /* \q was run */
    unsigned depth; /* of \i */
} kal_session;

/* Not 0 after Ctrl-C; the running statement or import stops. */
extern volatile sig_atomic_t kal_session_cancel;

/* Connects nothing yet. KAL_INVALID. */
KAL_MUST_CHECK kal_status kal_session_open(const kal_cli_options *options, kal_session *session_out,
                                           kal_error *err);
void kal_session_close(kal_session *session);
/* By token, name and password, or the kept login, in that order; asks at the terminal for what is
 * missing. KAL_UNAUTHORIZED when there is no way. */
KAL_MUST_CHECK kal_status kal_session_identify(kal_session *session, kal_error *err);

/* Runs statements and backslash commands up to the first error, which is shown. file: for errors,
 * or NULL. Returns an exit code. */
int kal_session_run(kal_session *session, kal_bytes text, const char *file);
/* Runs a file; "-" is standard input. */
int kal_session_run_file(kal_session *session, const char *path);
int kal_session_import(kal_session *session, const kal_import_spec *spec);

/* kal_client_query() in the session's namespace; a token that ran out is renewed once. */
KAL_MUST_CHECK kal_status kal_session_query(kal_session *session,
                                            const kal_client_statement *statement,
                                            kal_reply *reply_out, kal_error *err);
/* Shows an error that is no statement's; returns the exit code it means. */
int kal_session_fail(const kal_session *session, const kal_error *err);

/* A line that begins with a backslash (commands.c). Returns an exit code. */
int kal_session_command(kal_session *session, kal_bytes line);
/* One statement, or one transaction, already split off. */
int kal_session_statement(kal_session *session, kal_bytes sql, const char *file, uint64_t line);

#endif
