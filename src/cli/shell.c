/*
 * shell.c: line editing and history, by libedit.
 *
 * History keeps whole statements, in ~/.local/state/kalam/history (mode 0600). What names a
 * password stays out of it, and out of the lines that can be called back.
 */
#include "cli/shell.h"

#include "base/assert.h"
#include "cli/credentials.h"
#include "cli/split.h"

#include <errno.h>
#include <histedit.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

enum { HISTORY_MAX = 2000 };

typedef struct shell {
    kal_session *session;
    EditLine *line;   /* owned */
    History *history; /* owned */
    kal_buf input;    /* the statement so far */
    kal_arena arena;
    const char *history_path; /* NULL: not kept */
    sigset_t outer_signals;   /* blocked outside of el_gets() */
    char prompt[128];
} shell;

static shell *shell_of(EditLine *line)
{
    void *data = NULL;
    el_get(line, EL_CLIENTDATA, &data);
    return data;
}

static char *prompt_text(EditLine *line)
{
    shell *s = shell_of(line);
    kal_bytes name = kal_buf_bytes(&s->session->namespace_id);

    if (s->input.len > 0)
        snprintf(s->prompt, sizeof s->prompt, "   ...> ");
    else if (name.len > 0)
        snprintf(s->prompt, sizeof s->prompt, "kalam %.*s> ", (int)(name.len < 64 ? name.len : 64),
                 (const char *)name.ptr);
    else
        snprintf(s->prompt, sizeof s->prompt, "kalam> ");
    return s->prompt;
}

static bool contains_nocase(kal_bytes text, kal_bytes word)
{
    for (size_t i = 0; i + word.len <= text.len; i++) {
        if (kal_bytes_equal_nocase(kal_bytes_of(text.ptr + i, word.len), word))
            return true;
    }
    return false;
}

static void open_history(shell *s)
{
    HistEvent event;
    kal_error ignored;

    s->history = history_init();
    if (s->history == NULL)
        kal_die("out of memory");
    history(s->history, &event, H_SETSIZE, HISTORY_MAX);
    history(s->history, &event, H_SETUNIQUE, 1);
    if (kal_home_path(KAL_HOME_STATE, "history", true, &s->arena, &s->history_path, &ignored) !=
        KAL_OK) {
        s->history_path = NULL;
        return;
    }
    history(s->history, &event, H_LOAD, s->history_path);
}

static void remember(shell *s)
{
    HistEvent event;
    kal_bytes text = kal_buf_bytes(&s->input);

    while (text.len > 0 && memchr(" \t\r\n", text.ptr[text.len - 1], 4) != NULL)
        text.len--;
    if (text.len == 0 || contains_nocase(text, KAL_STR("password")))
        return;
    history(s->history, &event, H_ENTER, kal_arena_cstr(&s->arena, text));
    if (s->history_path == NULL)
        return;
    mode_t before = umask(0077);
    history(s->history, &event, H_SAVE, s->history_path);
    umask(before);
    chmod(s->history_path, 0600);
}

/* The next byte of the terminal. While el_gets() runs, Ctrl-C is let in only here, so that none is
 * lost between the prompt and the wait. -1: cancelled or failed; 0: the end. */
static int read_byte(const shell *s, char *out)
{
    struct pollfd ready = {.fd = STDIN_FILENO, .events = POLLIN};
    while (kal_session_cancel == 0) {
        int found = ppoll(&ready, 1, NULL, &s->outer_signals);
        if (found > 0)
            return (int)read(STDIN_FILENO, out, 1);
        if (errno != EINTR)
            return -1;
    }
    errno = EINTR;
    return -1;
}

static int read_character(EditLine *line, wchar_t *out)
{
    mbstate_t state = {0};
    char byte = 0;

    for (size_t i = 0; i < MB_CUR_MAX; i++) {
        int got = read_byte(shell_of(line), &byte);
        if (got <= 0)
            return got;
        size_t used = mbrtowc(out, &byte, 1, &state);
        if (used != (size_t)-2) { /* not the middle of a character */
            if (used == (size_t)-1)
                *out = L'?';
            return 1;
        }
    }
    *out = L'?';
    return 1;
}

static void open_editor(shell *s)
{
    s->line = el_init("kalam", stdin, stdout, stderr);
    if (s->line == NULL)
        kal_die("the terminal cannot be used for editing");
    el_set(s->line, EL_CLIENTDATA, s);
    el_set(s->line, EL_PROMPT, prompt_text);
    el_set(s->line, EL_GETCFN, read_character);
    el_set(s->line, EL_EDITOR, "emacs");
    el_set(s->line, EL_HIST, history, s->history);
    el_set(s->line, EL_SIGNAL, 1); /* puts the terminal right when a signal comes */
    el_set(s->line, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(s->line, NULL); /* ~/.editrc */
}

static void run_input(shell *s)
{
    remember(s);
    kal_session_run(s->session, kal_buf_bytes(&s->input), NULL); /* errors were shown */
    kal_buf_clear(&s->input);
}

/* True when the text is a command or a whole statement. */
static bool is_complete(const shell *s)
{
    kal_bytes text = kal_buf_bytes(&s->input);
    size_t at = 0;
    while (at < text.len && memchr(" \t", text.ptr[at], 2) != NULL)
        at++;
    return (at < text.len && text.ptr[at] == '\\') || kal_split_is_complete(text);
}

/* \q alone in a line leaves also in the middle of a statement. */
static bool is_quit(const char *line)
{
    line += strspn(line, " \t");
    return strncmp(line, "\\q", 2) == 0 && line[2 + strspn(line + 2, " \t;\r\n")] == '\0';
}

/* Ctrl-C while typing interrupts the read: what was typed is dropped. */
static void drop_input(shell *s)
{
    kal_buf_clear(&s->input);
    fputs("^C\n", stdout);
    el_reset(s->line);
}

/* False at the end of input. */
static bool read_once(shell *s)
{
    int count = 0;
    sigset_t interrupt;

    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigprocmask(SIG_BLOCK, &interrupt, &s->outer_signals);
    kal_session_cancel = 0;
    /* libedit shows the prompt and then sets the terminal: a Ctrl-D in between would get lost. */
    el_set(s->line, EL_PREP_TERM, 1);
    const char *text = el_gets(s->line, &count);
    sigprocmask(SIG_SETMASK, &s->outer_signals, NULL);
    if ((text == NULL || count <= 0) && kal_session_cancel != 0) {
        drop_input(s);
        return true;
    }
    if (text == NULL || count <= 0) {
        fputc('\n', stdout);
        return false;
    }
    if (is_quit(text))
        return false;
    kal_buf_append(&s->input, text, (size_t)count);
    if (is_complete(s))
        run_input(s);
    return !s->session->quit;
}

int kal_shell_run(kal_session *session)
{
    shell s = {.session = session};

    kal_arena_init(&s.arena, NULL);
    kal_buf_init(&s.input, NULL);
    open_history(&s);
    open_editor(&s);
    printf("kalam %s, %s%s%s. \\? lists the commands, \\q leaves.\n", KAL_VERSION,
           kal_client_url(session->client), session->user == NULL ? "" : " as ",
           session->user == NULL ? "" : session->user);
    while (read_once(&s))
        continue;
    el_end(s.line);
    history_end(s.history);
    kal_buf_release(&s.input);
    kal_arena_release(&s.arena);
    return KAL_EXIT_OK;
}
