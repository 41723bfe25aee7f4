#include "base/json_reader.h"
#include "base/log.h"
#include "base/thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct fixture {
    FILE *file; /* the log */
    kal_sim_clock clock;
    char text[2000000]; /* what was logged, after read_log() */
    size_t len;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    f.file = tmpfile();
    if (f.file == NULL)
        return -1;
    /* 2026-11-23T10:15:00.123456Z */
    kal_sim_clock_init(&f.clock, INT64_C(1795428900123456));
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    kal_log_configure(KAL_LOG_INFO, false, STDERR_FILENO, NULL);
    fclose(f->file);
    return 0;
}

static const char *read_log(fixture *f)
{
    ssize_t n = pread(fileno(f->file), f->text, sizeof f->text - 1, 0);
    assert_true(n >= 0);
    f->len = (size_t)n;
    f->text[f->len] = '\0';
    return f->text;
}

/* Goal: a text line looks as promised, and lines below the level are not written. */
static void test_text(void **state)
{
    fixture *f = *state;
    kal_log_configure(KAL_LOG_WARN, false, fileno(f->file), &f->clock.clock);
    kal_log_info("lane", "not shown");
    kal_log_warn("lane", "write failed: %d", 5);
    kal_log_error("store", "%s", "");
    assert_string_equal(read_log(f), "2026-11-23T10:15:00.123456Z WARN  lane: write failed: 5\n"
                                     "2026-11-23T10:15:00.123456Z ERROR store: \n");
}

/* Goal: a client cannot forge a line or reach the terminal. Method: line feeds, escape sequences
 * of both kinds, broken UTF-8; proper characters stay. */
static void test_text_is_escaped(void **state)
{
    fixture *f = *state;
    kal_log_configure(KAL_LOG_INFO, false, fileno(f->file), &f->clock.clock);
    kal_log_info("http", "%s",
                 "a\n2026 ERROR x\r\x1B[2J\x7F\xC2\x9B"
                 "1m\xFF\xC3 \xC3\xA9");
    assert_string_equal(read_log(f),
                        "2026-11-23T10:15:00.123456Z INFO  http: "
                        "a\\n2026 ERROR x\\u000d\\u001b[2J\\u007f\\u009b1m\\xff\\xc3 \xC3\xA9\n");
}

/* Goal: a JSON line is one JSON object, whatever the message holds. */
static void test_json(void **state)
{
    fixture *f = *state;
    kal_arena arena;
    kal_json *json = NULL;
    kal_arena_init(&arena, NULL);
    kal_log_configure(KAL_LOG_DEBUG, true, fileno(f->file), &f->clock.clock);
    kal_log_debug("http", "said \"%s\"", "x\ny\xFF");
    read_log(f);
    assert_true(f->len > 1 && f->text[f->len - 1] == '\n');
    assert_ptr_equal(strchr(f->text, '\n'), f->text + f->len - 1);
    assert_int_equal(kal_json_parse(kal_cstr(f->text), &arena, &json, NULL), KAL_OK);
    assert_int_equal(json->len, 4);
    assert_true(
        kal_bytes_equal(kal_json_find(json, "time")->text, KAL_STR("2026-11-23T10:15:00.123456Z")));
    assert_true(kal_bytes_equal(kal_json_find(json, "level")->text, KAL_STR("debug")));
    assert_true(kal_bytes_equal(kal_json_find(json, "component")->text, KAL_STR("http")));
    assert_true(kal_bytes_equal(kal_json_find(json, "message")->text,
                                KAL_STR("said \"x\ny\xEF\xBF\xBD\"")));
    kal_arena_release(&arena);
}

/* Goal: a message that is too long is cut between characters, not lost. */
static void test_long_message(void **state)
{
    fixture *f = *state;
    static char message[9000];
    for (size_t i = 0; i + 3 < sizeof message; i += 3)
        memcpy(message + i, "\xE6\xBC\xA2", 3);
    kal_log_configure(KAL_LOG_INFO, false, fileno(f->file), &f->clock.clock);
    kal_log_info("x", "%s", message);
    read_log(f);
    assert_in_range(f->len, 4000, 4200);
    assert_true(kal_utf8_valid(kal_bytes_of(f->text, f->len)));
    assert_null(strstr(f->text, "\\x"));
}

static void log_many(void *context)
{
    for (int i = 0; i < 1000; i++)
        kal_log_info("thread", "%s", (const char *)context);
}

/* Goal: lines of several threads do not mix. Method: each thread writes one letter; every line
 * holds one letter only and none is missing. */
static void test_threads(void **state)
{
    enum { THREADS = 3 };
    fixture *f = *state;
    char messages[THREADS][101];
    pthread_t threads[THREADS];
    size_t lines = 0;
    kal_log_configure(KAL_LOG_INFO, false, fileno(f->file), &f->clock.clock);
    for (size_t i = 0; i < THREADS; i++) {
        memset(messages[i], (int)('p' + i), 100);
        messages[i][100] = '\0';
        assert_int_equal(kal_thread_start(&threads[i], "log", 0, log_many, messages[i], NULL),
                         KAL_OK);
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    read_log(f);
    for (const char *line = f->text; *line != '\0'; lines++) {
        const char *end = strchr(line, '\n');
        assert_non_null(end);
        assert_true(end - line > 100);
        char letter = end[-1];
        for (int i = 1; i <= 100; i++)
            assert_int_equal(end[-i], letter);
        line = end + 1;
    }
    assert_int_equal(lines, THREADS * 1000);
}

/* Goal: levels are parsed by name, in any case. */
static void test_level_parse(void **state)
{
    kal_log_level level = KAL_LOG_ERROR;
    (void)state;
    assert_true(kal_log_level_parse("debug", &level));
    assert_int_equal(level, KAL_LOG_DEBUG);
    assert_true(kal_log_level_parse("WARN", &level));
    assert_int_equal(level, KAL_LOG_WARN);
    assert_false(kal_log_level_parse("warning", &level));
    assert_false(kal_log_level_parse("", &level));
    assert_int_equal(level, KAL_LOG_WARN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_text_is_escaped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_json, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_message, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
        cmocka_unit_test(test_level_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
