/*
 * main.c: kalam, the terminal client.
 */
#include "cli/session.h"
#include "cli/setup.h"
#include "cli/shell.h"

#include <locale.h>
#include <stdio.h>
#include <unistd.h>

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    kal_session_cancel = 1;
}

/* At a prompt Ctrl-C stops the statement; elsewhere it stops the statement, which ends us too. */
static void catch_interrupt(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int run_actions(kal_session *session)
{
    const kal_cli_options *options = session->options;
    int code = KAL_EXIT_OK;

    for (size_t i = 0; i < options->actions.len && code == KAL_EXIT_OK && !session->quit; i++) {
        const kal_cli_action *action = &options->actions.items[i];
        code = action->is_file ? kal_session_run_file(session, action->text)
                               : kal_session_run(session, kal_cstr(action->text), NULL);
    }
    return code;
}

static int run(kal_session *session)
{
    kal_error err = KAL_ERROR_INIT;

    if (kal_session_identify(session, &err) != KAL_OK)
        return kal_session_fail(session, &err);
    catch_interrupt();
    if (session->options->command == KAL_CLI_IMPORT)
        return kal_session_import(session, &session->options->import);
    if (session->options->actions.len > 0)
        return run_actions(session);
    session->is_interactive = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
    return session->is_interactive ? kal_shell_run(session) : kal_session_run_file(session, "-");
}

static int run_command(const kal_cli_options *options)
{
    kal_session session;
    kal_error err = KAL_ERROR_INIT;
    int code;

    if (kal_session_open(options, &session, &err) != KAL_OK) {
        kal_session_fail(&session, &err);
        code = KAL_EXIT_USAGE;
    } else if (options->command == KAL_CLI_SETUP) {
        code = kal_cli_setup(&session);
    } else if (options->command == KAL_CLI_LOGIN) {
        code = kal_cli_login(&session);
    } else if (options->command == KAL_CLI_LOGOUT) {
        code = kal_cli_logout(&session);
    } else {
        code = run(&session);
    }
    kal_session_close(&session);
    return code;
}

int main(int argc, char **argv)
{
    kal_cli_options options;
    kal_error err = KAL_ERROR_INIT;
    int code = KAL_EXIT_OK;

    setlocale(LC_ALL, "");
    setlocale(LC_NUMERIC, "C");
    if (kal_cli_options_parse(argc, argv, &options, &err) != KAL_OK) {
        fprintf(stderr, "kalam: %s\n", err.message);
        if (err.hint[0] != '\0')
            fprintf(stderr, "hint: %s\n", err.hint);
        code = KAL_EXIT_USAGE;
    } else if (options.command == KAL_CLI_HELP) {
        fputs(kal_cli_usage, stdout);
    } else if (options.command == KAL_CLI_VERSION) {
        printf("kalam %s\n", KAL_VERSION);
    } else {
        code = run_command(&options);
    }
    kal_cli_options_release(&options);
    return code;
}
