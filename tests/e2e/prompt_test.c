/*
 * prompt_test.c: the prompt of kalam, at a real (pseudo) terminal: what Ctrl-C, Ctrl-D and \q do.
 *
 * kalam is given a token, so it asks nobody before the first statement; the "server" of these tests
 * is a socket that listens and never answers.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define CTRL_C "\003"
#define CTRL_D "\004"

enum { WAIT_MS = 60000 };

typedef struct terminal {
    int fd; /* the terminal's other end; owned */
    pid_t pid;
    int server; /* listens; owned */
    char home[64];
    char seen[65536]; /* what was shown and not yet expected */
    size_t len;
} terminal;

static uint16_t listen_somewhere(terminal *t)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    t->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(t->server >= 0);
    assert_int_equal(bind(t->server, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(t->server, 8), 0);
    assert_int_equal(getsockname(t->server, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin_port);
}

static void start(terminal *t)
{
    char url[64];
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    memset(t, 0, sizeof *t);
    snprintf(t->home, sizeof t->home, "/tmp/kalam-prompt-XXXXXX");
    assert_non_null(mkdtemp(t->home));
    snprintf(url, sizeof url, "http://127.0.0.1:%u", listen_somewhere(t));
    assert_non_null(getenv("KALAM"));
    t->pid = forkpty(&t->fd, NULL, NULL, &size);
    assert_true(t->pid >= 0);
    if (t->pid > 0)
        return;
    setenv("HOME", t->home, 1);
    setenv("TERM", "dumb", 1);
    setenv("KALAMDB_TOKEN", "a token", 1);
    setenv("KALAMDB_URL", url, 1);
    unsetenv("XDG_STATE_HOME");
    execl(getenv("KALAM"), "kalam", (char *)NULL);
    _exit(127);
}

static void type(const terminal *t, const char *keys)
{
    assert_int_equal(write(t->fd, keys, strlen(keys)), strlen(keys));
}

/* Reads what is shown; false at its end. */
static bool read_more(terminal *t)
{
    struct pollfd ready = {.fd = t->fd, .events = POLLIN};
    if (t->len + 1 >= sizeof t->seen || poll(&ready, 1, WAIT_MS) <= 0)
        fail_msg("waited for more than this:\n%s", t->seen);
    ssize_t got = read(t->fd, t->seen + t->len, sizeof t->seen - 1 - t->len);
    if (got <= 0)
        return false;
    t->len += (size_t)got;
    t->seen[t->len] = '\0';
    return true;
}

/* Waits until text is shown, and forgets what was shown up to there. */
static void expect(terminal *t, const char *text)
{
    char *at = NULL;
    while ((at = strstr(t->seen, text)) == NULL) {
        if (!read_more(t))
            fail_msg("kalam ended before '%s':\n%s", text, t->seen);
    }
    size_t used = (size_t)(at - t->seen) + strlen(text);
    t->len -= used;
    memmove(t->seen, t->seen + used, t->len + 1);
}

static void expect_end(terminal *t, int code)
{
    char command[96];
    int status = 0;
    while (read_more(t))
        continue;
    assert_int_equal(waitpid(t->pid, &status, 0), t->pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != code)
        fail_msg("kalam ended with status %#x:\n%s", (unsigned)status, t->seen);
    close(t->fd);
    close(t->server);
    snprintf(command, sizeof command, "rm -rf %s", t->home);
    assert_int_equal(system(command), 0);
}

static void ctrl_c_drops_what_was_typed(void **state)
{
    (void)state;
    static terminal t;
    start(&t);
    expect(&t, "kalam> ");
    type(&t, CTRL_C); /* nothing was typed: nothing happens */
    expect(&t, "^C");
    expect(&t, "kalam> ");
    type(&t, "rubbish");
    expect(&t, "rubbish");
    type(&t, CTRL_C);
    expect(&t, "kalam> ");
    type(&t, "\\?\n"); /* would be no command behind the rubbish */
    expect(&t, "\\timing");
    expect(&t, "kalam> ");
    type(&t, "SELECT 1,\n");
    expect(&t, "...> ");
    type(&t, "2" CTRL_C);
    expect(&t, "kalam> ");
    type(&t, "\\format x\n");
    expect(&t, "usage: \\format");
    expect(&t, "kalam> ");
    type(&t, "\\q\n");
    expect_end(&t, 0);
}

static void ctrl_c_stops_a_statement(void **state)
{
    (void)state;
    static terminal t;
    start(&t);
    expect(&t, "kalam> ");
    type(&t, "SELECT 1;\n");
    struct pollfd connected = {.fd = t.server, .events = POLLIN};
    assert_int_equal(poll(&connected, 1, WAIT_MS), 1);
    type(&t, CTRL_C);
    expect(&t, "cancelled");
    expect(&t, "kalam> ");
    type(&t, "\\q\n");
    expect_end(&t, 0);
}

static void q_leaves_in_mid_statement(void **state)
{
    (void)state;
    static terminal t;
    start(&t);
    expect(&t, "kalam> ");
    type(&t, "SELECT 1,\n");
    expect(&t, "...> ");
    type(&t, "  \\q\n");
    expect_end(&t, 0);
}

static void ctrl_d_leaves(void **state)
{
    (void)state;
    static terminal t;
    start(&t);
    expect(&t, "kalam> ");
    type(&t, CTRL_D);
    expect_end(&t, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ctrl_c_drops_what_was_typed),
        cmocka_unit_test(ctrl_c_stops_a_statement),
        cmocka_unit_test(q_leaves_in_mid_statement),
        cmocka_unit_test(ctrl_d_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
