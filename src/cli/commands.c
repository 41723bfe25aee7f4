/*
 * commands.c: lines that begin with a backslash.
 */
#include "cli/session.h"

#include <stdio.h>

enum { WORDS_MAX = 6, INCLUDES_MAX = 8 };

typedef int command_fn(kal_session *session, const kal_bytes *words, size_t count);

/* Words are parted by blanks; quotes ('..' or "..") hold a word together. False: too many. */
static bool split_words(kal_bytes line, kal_bytes words[WORDS_MAX], size_t *count_out)
{
    size_t at = 0;
    *count_out = 0;
    for (;;) {
        while (at < line.len && memchr(" \t\r;", line.ptr[at], 4) != NULL)
            at++;
        if (at == line.len)
            return true;
        if (*count_out == WORDS_MAX)
            return false;
        size_t start = at;
        uint8_t quote = line.ptr[at];
        const uint8_t *end =
            quote == '\'' ? memchr(line.ptr + at + 1, quote, line.len - at - 1) : NULL;
        if (end != NULL) {
            words[(*count_out)++] =
                kal_bytes_of(line.ptr + at + 1, (size_t)(end - line.ptr) - at - 1);
            at = (size_t)(end - line.ptr) + 1;
            continue;
        }
        while (at < line.len && memchr(" \t\r;", line.ptr[at], 4) == NULL)
            at++;
        words[(*count_out)++] = kal_bytes_of(line.ptr + start, at - start);
    }
}

static int usage(const kal_session *session, const char *text)
{
    kal_error err = KAL_ERROR_INIT;
    kal_error_set(&err, KAL_INVALID, "usage: %s", text);
    kal_session_fail(session, &err);
    return KAL_EXIT_SQL;
}

/* Runs "before name after"; name may be ns.t. */
static int run_with_name(kal_session *session, const char *before, kal_bytes name)
{
    kal_buf sql; /* owned */
    kal_buf_init(&sql, NULL);
    kal_buf_append_cstr(&sql, before);
    kal_buf_append_bytes(&sql, name);
    int code = kal_session_statement(session, kal_buf_bytes(&sql), NULL, 1);
    kal_buf_release(&sql);
    return code;
}

static int describe(kal_session *session, const kal_bytes *words, size_t count)
{
    if (count == 1)
        return run_with_name(session, "SHOW TABLES", (kal_bytes){0});
    return run_with_name(session, "DESCRIBE TABLE ", words[1]);
}

static int list_tables(kal_session *session, const kal_bytes *words, size_t count)
{
    if (count == 1)
        return run_with_name(session, "SHOW TABLES", (kal_bytes){0});
    return run_with_name(session, "SHOW TABLES IN ", words[1]);
}

static int list_namespaces(kal_session *session, const kal_bytes *words, size_t count)
{
    (void)words;
    (void)count;
    return run_with_name(session, "SHOW NAMESPACES", (kal_bytes){0});
}

static int show_stats(kal_session *session, const kal_bytes *words, size_t count)
{
    (void)words;
    (void)count;
    return run_with_name(session, "SELECT * FROM system.stats", (kal_bytes){0});
}

static int use_namespace(kal_session *session, const kal_bytes *words, size_t count)
{
    if (count != 2)
        return usage(session, "\\use NAMESPACE");
    return run_with_name(session, "USE ", words[1]);
}

static int set_format(kal_session *session, const kal_bytes *words, size_t count)
{
    char name[16] = "";
    if (count == 2 && words[1].len < sizeof name)
        memcpy(name, words[1].ptr, words[1].len);
    if (count != 2 || !kal_cli_format_parse(name, &session->render.format))
        return usage(session, "\\format table|csv|json");
    return KAL_EXIT_OK;
}

static int toggle(bool *flag, const char *what)
{
    *flag = !*flag;
    fprintf(stderr, "%s is %s\n", what, *flag ? "on" : "off");
    return KAL_EXIT_OK;
}

static int toggle_expanded(kal_session *session, const kal_bytes *words, size_t count)
{
    (void)words;
    (void)count;
    return toggle(&session->render.expanded, "one line a value");
}

static int toggle_timing(kal_session *session, const kal_bytes *words, size_t count)
{
    (void)words;
    (void)count;
    return toggle(&session->render.timing, "timing");
}

static int include(kal_session *session, const kal_bytes *words, size_t count)
{
    char path[4096];
    if (count != 2 || words[1].len >= sizeof path)
        return usage(session, "\\i FILE");
    if (session->depth >= INCLUDES_MAX)
        return usage(session, "\\i FILE, nested at most 8 deep");
    memcpy(path, words[1].ptr, words[1].len);
    path[words[1].len] = '\0';
    session->depth++;
    int code = kal_session_run_file(session, path);
    session->depth--;
    return code;
}

static int import(kal_session *session, const kal_bytes *words, size_t count)
{
    kal_import_spec spec;
    kal_error err = KAL_ERROR_INIT;
    if (kal_import_spec_parse(words + 1, count - 1, &spec, &err) == KAL_OK)
        return kal_session_import(session, &spec);
    kal_session_fail(session, &err);
    return KAL_EXIT_SQL;
}

static int quit(kal_session *session, const kal_bytes *words, size_t count)
{
    (void)words;
    (void)count;
    session->quit = true;
    return KAL_EXIT_OK;
}

static command_fn help;

static const struct {
    const char *name;
    const char *arguments;
    const char *what;
    command_fn *run;
} COMMANDS[] = {
    {"\\?", "", "this list", help},
    {"\\q", "", "leave", quit},
    {"\\d", "[TABLE]", "describe a table, or list them", describe},
    {"\\dt", "[NAMESPACE]", "list tables", list_tables},
    {"\\dn", "", "list namespaces", list_namespaces},
    {"\\stats", "", "the server's numbers; also \\metrics", show_stats},
    {"\\metrics", "", "as \\stats", show_stats},
    {"\\use", "NAMESPACE", "look names up there", use_namespace},
    {"\\import", "FILE INTO ns.t [CREATE]", "load a CSV or JSON file", import},
    {"\\i", "PATH", "run a file", include},
    {"\\format", "table|csv|json", "how results are shown", set_format},
    {"\\x", "", "tables with one line a value, on and off", toggle_expanded},
    {"\\timing", "", "show the server's time, on and off", toggle_timing},
};

static int help(kal_session *session, const kal_bytes *words, size_t count)
{
    (void)session;
    (void)words;
    (void)count;
    for (size_t i = 0; i < KAL_ARRAY_LEN(COMMANDS); i++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", COMMANDS[i].name, COMMANDS[i].arguments);
        printf("  %-34s %s\n", left, COMMANDS[i].what);
    }
    printf("\nStatements end with a semicolon. Ctrl-C drops what was typed or stops what runs.\n");
    fflush(stdout);
    return KAL_EXIT_OK;
}

int kal_session_command(kal_session *session, kal_bytes line)
{
    kal_bytes words[WORDS_MAX];
    size_t count = 0;
    kal_error err = KAL_ERROR_INIT;

    if (!split_words(line, words, &count))
        return usage(session, "at most five arguments; a path with blanks stands in '...'");
    for (size_t i = 0; i < KAL_ARRAY_LEN(COMMANDS); i++) {
        if (kal_bytes_equal(words[0], kal_cstr(COMMANDS[i].name)))
            return COMMANDS[i].run(session, words, count);
    }
    kal_error_set(&err, KAL_INVALID, "unknown command '%.*s'", KAL_FMT(words[0]));
    kal_error_hint(&err, "\\? lists the commands");
    kal_session_fail(session, &err);
    return KAL_EXIT_SQL;
}
