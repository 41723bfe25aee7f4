/*
 * session.c: identity, and running what was typed.
 */
#include "cli/session.h"

#include "cli/credentials.h"
#include "cli/progress.h"
#include "cli/prompt.h"
#include "cli/split.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

volatile sig_atomic_t kal_session_cancel;

enum { CELL_COLUMNS_ON_TERMINAL = 100 };

kal_status kal_session_open(const kal_cli_options *options, kal_session *session_out,
                            kal_error *err)
{
    bool out_is_terminal = isatty(STDOUT_FILENO) == 1;
    kal_client_options client = {.url = options->url,
                                 .timeout_ms = (uint64_t)options->timeout_s * 1000,
                                 .cancel = &kal_session_cancel};

    *session_out = (kal_session){.options = options};
    session_out->render = (kal_render_options){
        .format = options->format,
        .color = out_is_terminal && !options->no_color,
        .timing = out_is_terminal,
        .cell_columns_max = out_is_terminal ? CELL_COLUMNS_ON_TERMINAL : 0,
    };
    kal_buf_init(&session_out->namespace_id, NULL);
    if (options->namespace_id != NULL)
        kal_buf_append_cstr(&session_out->namespace_id, options->namespace_id);
    return kal_client_open(&client, &session_out->client, err);
}

void kal_session_close(kal_session *session)
{
    kal_client_close(session->client);
    kal_buf_release(&session->namespace_id);
    free(session->user);
    *session = (kal_session){0};
}

/* ---- identity ---- */

static void know_user(kal_session *session, const char *user)
{
    free(session->user);
    session->user = user == NULL ? NULL : strdup(user);
}

static kal_status login_as(kal_session *session, const char *user, kal_error *err)
{
    char password[KAL_PROMPT_BYTES_MAX] = "";
    char question[160];
    kal_status status = KAL_OK;

    if (session->options->password != NULL) {
        snprintf(password, sizeof password, "%s", session->options->password);
    } else {
        snprintf(question, sizeof question, "Password of %.100s", user);
        status = kal_prompt(question, true, password, err);
        if (status == KAL_NOT_FOUND) {
            status =
                kal_error_set(err, KAL_UNAUTHORIZED, "the password of '%.100s' is missing", user);
            kal_error_hint(err, "set KALAMDB_PASSWORD, or log in before: kalam login --user %.100s",
                           user);
        }
    }
    if (status == KAL_OK)
        status = kal_client_login(session->client, kal_cstr(user), kal_cstr(password), err);
    if (status == KAL_OK)
        know_user(session, user);
    explicit_bzero(password, sizeof password);
    return status;
}

/* A name without a password may mean the kept login of that name. */
static kal_status use_kept_login(kal_session *session, const char *user, kal_error *err)
{
    kal_arena arena;
    kal_credentials kept;

    kal_arena_init(&arena, NULL);
    kal_status status = kal_credentials_load(kal_client_url(session->client), &arena, &kept, err);
    if (status == KAL_OK && user != NULL && (kept.user == NULL || strcmp(user, kept.user) != 0))
        status = KAL_NOT_FOUND;
    if (status == KAL_OK) {
        kal_client_set_token(session->client, kept.access_token, kept.refresh_token);
        know_user(session, kept.user);
        session->from_file = true;
    }
    kal_arena_release(&arena);
    return status;
}

static kal_status ask_for_login(kal_session *session, kal_error *err)
{
    char user[KAL_PROMPT_BYTES_MAX];
    bool needs_setup = false;

    KAL_TRY(kal_client_needs_setup(session->client, &needs_setup, err));
    if (needs_setup) {
        kal_error_set(err, KAL_UNAUTHORIZED, "the server is not set up yet");
        kal_error_hint(err, "kalam setup sets root's password and makes a first user");
        return KAL_UNAUTHORIZED;
    }
    kal_status status = kal_prompt("User", false, user, err);
    if (status == KAL_NOT_FOUND) {
        kal_error_set(err, KAL_UNAUTHORIZED, "no identity is known for %s", session->options->url);
        kal_error_hint(err, "kalam login, or --user NAME and KALAMDB_PASSWORD");
        return KAL_UNAUTHORIZED;
    }
    return status == KAL_OK ? login_as(session, user, err) : status;
}

kal_status kal_session_identify(kal_session *session, kal_error *err)
{
    const kal_cli_options *options = session->options;

    if (options->token != NULL) {
        kal_client_set_token(session->client, options->token, NULL);
        return KAL_OK;
    }
    if (options->user != NULL && options->password != NULL)
        return login_as(session, options->user, err);
    kal_status status = use_kept_login(session, options->user, err);
    if (status != KAL_NOT_FOUND)
        return status;
    return options->user != NULL ? login_as(session, options->user, err)
                                 : ask_for_login(session, err);
}

static void keep_renewed(const kal_session *session)
{
    kal_credentials renewed = {session->user, kal_client_access_token(session->client),
                               kal_client_refresh_token(session->client)};
    kal_error ignored; /* the token works; the next run renews again */
    if (session->from_file &&
        kal_credentials_store(kal_client_url(session->client), &renewed, &ignored) != KAL_OK)
        fprintf(stderr, "note: the renewed login is not kept: %s\n", ignored.message);
}

/* A refused token means that nothing was run: asking again is safe. */
static bool renew(kal_session *session)
{
    kal_error why = KAL_ERROR_INIT;
    if (kal_client_refresh_token(session->client) == NULL)
        return false;
    if (kal_client_refresh(session->client, &why) == KAL_OK) {
        keep_renewed(session);
        return true;
    }
    return false;
}

/* ---- statements ---- */

kal_status kal_session_query(kal_session *session, const kal_client_statement *statement,
                             kal_reply *reply_out, kal_error *err)
{
    kal_client_statement here = *statement;

    if (here.namespace_id.len == 0)
        here.namespace_id = kal_buf_bytes(&session->namespace_id);
    kal_status status = kal_client_query(session->client, &here, reply_out, err);
    if (status != KAL_UNAUTHORIZED)
        return status;
    if (renew(session)) {
        kal_reply_release(reply_out);
        *err = KAL_ERROR_INIT;
        return kal_client_query(session->client, &here, reply_out, err);
    }
    kal_error_hint(err, "log in again: kalam login");
    return status;
}

static int exit_code(kal_status status)
{
    switch (status) {
    case KAL_OK:
        return KAL_EXIT_OK;
    case KAL_UNAUTHORIZED:
    case KAL_IO:
    case KAL_TIMEOUT:
    case KAL_INTERNAL:
        return KAL_EXIT_CONNECTION;
    default:
        return KAL_EXIT_SQL;
    }
}

static void print(FILE *file, kal_buf *text)
{
    if (text->len > 0)
        fwrite(text->ptr, 1, text->len, file);
    fflush(file);
    kal_buf_release(text);
}

static void show_error(const kal_session *session, const kal_render_error *error)
{
    kal_buf text; /* released by print */

    fflush(stdout);
    kal_buf_init(&text, NULL);
    kal_render_error_text(error, !session->options->no_color && isatty(STDERR_FILENO) == 1, &text);
    print(stderr, &text);
}

int kal_session_fail(const kal_session *session, const kal_error *err)
{
    kal_render_error shown = {
        .message = kal_cstr(err->message), .hint = kal_cstr(err->hint), .position = -1};
    show_error(session, &shown);
    return exit_code(err->status);
}

static int fail_statement(const kal_session *session, const kal_reply *reply, const kal_error *err,
                          kal_bytes sql, const char *file, uint64_t line)
{
    kal_render_error shown = {.message = kal_cstr(err->message),
                              .hint = kal_cstr(err->hint),
                              .sql = sql,
                              .position = -1,
                              .file = file,
                              .line = line};
    if (reply->refused) {
        shown.code = reply->code;
        shown.position = reply->position;
    }
    show_error(session, &shown);
    if (reply->refused && err->status != KAL_UNAUTHORIZED)
        return KAL_EXIT_SQL;
    return exit_code(err->status);
}

/* USE and SET NAMESPACE last for the session; a request knows nothing of the one before. */
static void follow_namespace(kal_session *session, kal_bytes sql)
{
    kal_bytes name = kal_split_word(sql, 1);
    bool is_use = kal_bytes_equal_nocase(kal_split_word(sql, 0), KAL_STR("USE"));
    bool is_set = kal_bytes_equal_nocase(kal_split_word(sql, 0), KAL_STR("SET"));

    if (!is_use && !is_set)
        return;
    if (kal_bytes_equal_nocase(name, KAL_STR("NAMESPACE")) && kal_split_word(sql, 2).len > 0)
        name = kal_split_word(sql, 2);
    else if (is_set)
        return;
    kal_buf_clear(&session->namespace_id);
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        kal_buf_append_byte(&session->namespace_id,
                            c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c);
    }
}

int kal_session_statement(kal_session *session, kal_bytes sql, const char *file, uint64_t line)
{
    kal_client_statement statement = {.sql = sql};
    kal_error err = KAL_ERROR_INIT;
    kal_reply reply;
    int code = KAL_EXIT_OK;

    kal_session_cancel = 0;
    kal_status status = kal_session_query(session, &statement, &reply, &err);
    if (status == KAL_OK) {
        kal_buf text; /* released by print */
        kal_buf_init(&text, NULL);
        for (size_t i = 0; i < reply.result_count; i++)
            kal_render_result(&reply.results[i], reply.took_ms, &session->render, &text);
        print(stdout, &text);
        follow_namespace(session, sql);
    } else {
        code = fail_statement(session, &reply, &err, sql, file, line);
    }
    kal_reply_release(&reply);
    return code;
}

/* ---- text ---- */

static size_t blanks(kal_bytes text, size_t at)
{
    while (at < text.len && memchr(" \t\r\n;", text.ptr[at], 5) != NULL)
        at++;
    return at;
}

static uint64_t lines_in(kal_bytes text, size_t from, size_t to)
{
    uint64_t count = 0;
    for (size_t i = from; i < to; i++)
        count += text.ptr[i] == '\n';
    return count;
}

/* The end of the SQL that begins at `at`: where a line begins with a backslash between two
 * statements, else the end of the text. */
static size_t sql_end(kal_bytes text, size_t at)
{
    for (size_t i = at; i + 1 < text.len; i++) {
        if (text.ptr[i] == '\n' && text.ptr[i + 1] == '\\' &&
            kal_split_is_complete(kal_bytes_of(text.ptr + at, i - at)))
            return i + 1;
    }
    return text.len;
}

static int run_sql(kal_session *session, kal_bytes sql, const char *file, uint64_t line)
{
    kal_split split = {.text = sql};
    kal_bytes piece;
    size_t offset = 0;
    size_t counted = 0;

    while (kal_split_next(&split, &piece, &offset)) {
        line += lines_in(sql, counted, offset);
        counted = offset;
        int code = kal_session_statement(session, piece, file, line);
        if (code != KAL_EXIT_OK)
            return code;
    }
    return KAL_EXIT_OK;
}

int kal_session_run(kal_session *session, kal_bytes text, const char *file)
{
    size_t at = 0;
    uint64_t line = 1;
    int code = KAL_EXIT_OK;

    while (code == KAL_EXIT_OK && !session->quit) {
        size_t start = blanks(text, at);
        line += lines_in(text, at, start);
        at = start;
        if (at == text.len)
            break;
        size_t end;
        if (text.ptr[at] == '\\') {
            const uint8_t *newline = memchr(text.ptr + at, '\n', text.len - at);
            end = newline == NULL ? text.len : (size_t)(newline - text.ptr);
            code = kal_session_command(session, kal_bytes_of(text.ptr + at, end - at));
        } else {
            end = sql_end(text, at);
            code = run_sql(session, kal_bytes_of(text.ptr + at, end - at), file, line);
        }
        line += lines_in(text, at, end);
        at = end;
    }
    return code;
}

#define FILE_BYTES_MAX (256u * 1024u * 1024u)

static kal_status read_stream(FILE *stream, const char *path, kal_buf *out, kal_error *err)
{
    char block[65536];
    size_t len;
    while ((len = fread(block, 1, sizeof block, stream)) > 0) {
        if (out->len + len > FILE_BYTES_MAX)
            return kal_error_set(err, KAL_LIMIT, "'%.200s' is larger than %u MiB", path,
                                 FILE_BYTES_MAX >> 20);
        kal_buf_append(out, block, len);
    }
    return ferror(stream) ? kal_error_set(err, KAL_INVALID, "cannot read '%.200s'", path) : KAL_OK;
}

int kal_session_run_file(kal_session *session, const char *path)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *stream = is_stdin ? stdin : fopen(path, "re"); /* owned unless stdin */
    kal_error err = KAL_ERROR_INIT;
    kal_buf text; /* owned */

    if (stream == NULL) {
        kal_error_set(&err, KAL_INVALID, "cannot open '%.200s': %m", path);
        kal_session_fail(session, &err);
        return KAL_EXIT_USAGE;
    }
    kal_buf_init(&text, NULL);
    int code = KAL_EXIT_USAGE;
    if (read_stream(stream, path, &text, &err) != KAL_OK)
        kal_session_fail(session, &err);
    else
        code = kal_session_run(session, kal_buf_bytes(&text), is_stdin ? NULL : path);
    kal_buf_release(&text);
    if (!is_stdin)
        fclose(stream);
    return code;
}

/* ---- import ---- */

typedef struct importing {
    kal_session *session;
    kal_progress progress;
} importing;

static kal_status import_query(void *context, const kal_client_statement *statement,
                               kal_reply *reply_out, kal_error *err)
{
    importing *in = context;
    return kal_session_query(in->session, statement, reply_out, err);
}

static void import_progress(void *context, kal_import_phase phase, uint64_t rows, uint64_t bytes,
                            uint64_t bytes_total)
{
    importing *in = context;
    kal_progress_show(&in->progress, phase, rows, bytes, bytes_total);
}

static void import_note(void *context, const char *text)
{
    importing *in = context;
    kal_progress_clear(&in->progress);
    fprintf(stderr, "note: %s\n", text);
}

static void tell_what_is_in(const kal_import_report *report)
{
    fprintf(stderr, "%llu rows are in", (unsigned long long)report->rows);
    if (report->failed_last > 0)
        fprintf(stderr, "; records %llu to %llu (lines %llu to %llu) %s",
                (unsigned long long)report->failed_first, (unsigned long long)report->failed_last,
                (unsigned long long)report->failed_first_line,
                (unsigned long long)report->failed_last_line,
                report->outcome_unknown ? "may be in: the connection broke before the answer"
                                        : "were refused as a whole");
    fputc('\n', stderr);
}

int kal_session_import(kal_session *session, const kal_import_spec *spec)
{
    importing in = {.session = session};
    kal_import_host host = {.query = import_query,
                            .progress = import_progress,
                            .note = import_note,
                            .context = &in,
                            .cancel = &kal_session_cancel};
    kal_import_report report;
    kal_error err = KAL_ERROR_INIT;
    kal_buf text; /* released by print */

    kal_session_cancel = 0;
    kal_progress_start(&in.progress);
    kal_status status = kal_import_run(spec, &host, &report, &err);
    kal_progress_clear(&in.progress);
    if (status != KAL_OK) {
        int code = kal_session_fail(session, &err);
        tell_what_is_in(&report);
        return code;
    }
    kal_buf_init(&text, NULL);
    kal_buf_append_cstr(&text, "imported ");
    kal_progress_summary(&in.progress, report.rows, report.bytes, &text);
    kal_buf_append_byte(&text, '\n');
    print(session->render.format == KAL_CLI_FORMAT_TABLE ? stdout : stderr, &text);
    return KAL_EXIT_OK;
}
