/*
 * setup.c: setup, login, logout.
 */
#include "cli/setup.h"

#include "base/files.h"
#include "cli/credentials.h"
#include "cli/prompt.h"

#include <stdio.h>
#include <string.h>

typedef struct answers {
    char root_password[KAL_PROMPT_BYTES_MAX];
    char user[KAL_PROMPT_BYTES_MAX];
    char password[KAL_PROMPT_BYTES_MAX];
} answers;

static kal_status read_setup_token(const kal_cli_options *options, kal_buf *token, kal_error *err)
{
    char path[4096];
    const char *dir = options->data_dir == NULL ? "./data" : options->data_dir;

    snprintf(path, sizeof path, "%s/setup-token", dir);
    kal_status status = kal_files_read(kal_files_system(), path, token, err);
    if (status == KAL_NOT_FOUND) {
        status = kal_error_set(err, KAL_INVALID, "there is no file '%.300s'", path);
        kal_error_hint(err, "--data names the server's data folder; the file is there until the "
                            "set-up is done");
    }
    while (token->len > 0 && token->ptr[token->len - 1] == '\n')
        token->len--;
    return status;
}

static kal_status missing(kal_status status, const char *how, kal_error *err)
{
    if (status != KAL_NOT_FOUND)
        return status;
    kal_error_set(err, KAL_INVALID, "there is no terminal to ask at");
    kal_error_hint(err, "%s", how);
    return KAL_INVALID;
}

/* Asks twice. */
static kal_status ask_new_password(const char *of, char password[KAL_PROMPT_BYTES_MAX],
                                   const char *how, kal_error *err)
{
    char again[KAL_PROMPT_BYTES_MAX];
    char question[200];

    snprintf(question, sizeof question, "New password of %.100s", of);
    KAL_TRY(missing(kal_prompt(question, true, password, err), how, err));
    kal_status status = kal_prompt("The same again", true, again, err);
    if (status == KAL_OK && strcmp(password, again) != 0)
        status = kal_error_set(err, KAL_INVALID, "the two passwords differ");
    explicit_bzero(again, sizeof again);
    return status;
}

static kal_status copy_answer(const char *given, char answer[KAL_PROMPT_BYTES_MAX], kal_error *err)
{
    if (strlen(given) >= KAL_PROMPT_BYTES_MAX)
        return kal_error_set(err, KAL_LIMIT, "a name or password is too long");
    snprintf(answer, KAL_PROMPT_BYTES_MAX, "%s", given);
    return KAL_OK;
}

static kal_status ask(const kal_cli_options *options, answers *a, kal_error *err)
{
    if (options->root_password != NULL)
        KAL_TRY(copy_answer(options->root_password, a->root_password, err));
    else
        KAL_TRY(ask_new_password("root", a->root_password, "set KALAMDB_ROOT_PASSWORD", err));
    if (options->user != NULL)
        KAL_TRY(copy_answer(options->user, a->user, err));
    else if (options->root_password == NULL)
        KAL_TRY(kal_prompt("Name of the first administrator (empty: none)", false, a->user, err));
    if (a->user[0] == '\0')
        return KAL_OK;
    if (options->password != NULL)
        return copy_answer(options->password, a->password, err);
    return ask_new_password(a->user, a->password, "set KALAMDB_PASSWORD", err);
}

static kal_status keep_login(kal_session *session, const char *user, kal_error *err)
{
    kal_credentials kept = {user, kal_client_access_token(session->client),
                            kal_client_refresh_token(session->client)};
    return kal_credentials_store(kal_client_url(session->client), &kept, err);
}

static kal_status set_up(kal_session *session, answers *a, kal_buf *token, kal_error *err)
{
    bool needed = false;

    KAL_TRY(kal_client_needs_setup(session->client, &needed, err));
    if (!needed) {
        kal_error_set(err, KAL_INVALID, "the server is set up already");
        kal_error_hint(err, "kalam login");
        return KAL_INVALID;
    }
    KAL_TRY(read_setup_token(session->options, token, err));
    KAL_TRY(ask(session->options, a, err));
    kal_client_setup_request request = {.setup_token = kal_buf_bytes(token),
                                        .root_password = kal_cstr(a->root_password),
                                        .user = kal_cstr(a->user),
                                        .password = kal_cstr(a->password)};
    KAL_TRY(kal_client_setup(session->client, &request, err));
    if (session->options->no_login)
        return KAL_OK;
    bool has_user = a->user[0] != '\0';
    const char *user = has_user ? a->user : "root";
    KAL_TRY(kal_client_login(session->client, kal_cstr(user),
                             kal_cstr(has_user ? a->password : a->root_password), err));
    return keep_login(session, user, err);
}

int kal_cli_setup(kal_session *session)
{
    answers a = {0};
    kal_error err = KAL_ERROR_INIT;
    kal_buf token; /* owned */

    kal_buf_init(&token, NULL);
    kal_status status = set_up(session, &a, &token, &err);
    if (status == KAL_OK)
        printf("the server is set up%s%s\n",
               session->options->no_login ? "" : "; you are logged in as ",
               session->options->no_login ? "" : (a.user[0] != '\0' ? a.user : "root"));
    explicit_bzero(&a, sizeof a);
    kal_buf_release(&token);
    return status == KAL_OK ? KAL_EXIT_OK : kal_session_fail(session, &err);
}

static kal_status log_in(kal_session *session, char user[KAL_PROMPT_BYTES_MAX],
                         char password[KAL_PROMPT_BYTES_MAX], kal_error *err)
{
    const kal_cli_options *options = session->options;

    if (options->user != NULL)
        KAL_TRY(copy_answer(options->user, user, err));
    else
        KAL_TRY(missing(kal_prompt("User", false, user, err), "--user NAME", err));
    if (options->password != NULL)
        KAL_TRY(copy_answer(options->password, password, err));
    else
        KAL_TRY(missing(kal_prompt("Password", true, password, err), "set KALAMDB_PASSWORD", err));
    KAL_TRY(kal_client_login(session->client, kal_cstr(user), kal_cstr(password), err));
    return keep_login(session, user, err);
}

int kal_cli_login(kal_session *session)
{
    char user[KAL_PROMPT_BYTES_MAX] = "";
    char password[KAL_PROMPT_BYTES_MAX] = "";
    kal_error err = KAL_ERROR_INIT;

    kal_status status = log_in(session, user, password, &err);
    explicit_bzero(password, sizeof password);
    if (status != KAL_OK)
        return kal_session_fail(session, &err);
    printf("logged in to %s as %s\n", kal_client_url(session->client), user);
    return KAL_EXIT_OK;
}

int kal_cli_logout(kal_session *session)
{
    kal_error err = KAL_ERROR_INIT;

    if (kal_credentials_store(kal_client_url(session->client), NULL, &err) != KAL_OK)
        return kal_session_fail(session, &err);
    printf("the login to %s is forgotten here\n", kal_client_url(session->client));
    return KAL_EXIT_OK;
}
