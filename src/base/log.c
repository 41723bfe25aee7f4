#include "base/log.h"
#include "base/assert.h"
#include "base/json_writer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE_BYTES = 4096 }; /* a longer message is cut */

static struct {
    kal_log_level level;
    bool json;
    int fd;
    const kal_clock *clock; /* borrowed; NULL = the system's */
} config = {.level = KAL_LOG_INFO, .fd = STDERR_FILENO};

static const char *const LEVELS[] = {
#define KAL_LOG_NAME(name, text) text,
    KAL_LOG_LEVEL_LIST(KAL_LOG_NAME)
#undef KAL_LOG_NAME
};
static const char *const LEVEL_LABELS[] = {"ERROR", "WARN ", "INFO ", "DEBUG"};
_Static_assert(KAL_ARRAY_LEN(LEVELS) == KAL_ARRAY_LEN(LEVEL_LABELS), "one label per level");

void kal_log_configure(kal_log_level level, bool json, int fd, const kal_clock *clock)
{
    config.level = level;
    config.json = json;
    config.fd = fd;
    config.clock = clock;
}

bool kal_log_level_parse(const char *text, kal_log_level *level_out)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(LEVELS); i++) {
        if (kal_bytes_equal_nocase(kal_cstr(text), kal_cstr(LEVELS[i]))) {
            *level_out = (kal_log_level)i;
            return true;
        }
    }
    return false;
}

enum { TIME_BYTES = 64 };

static void format_time(char out[TIME_BYTES])
{
    int64_t now_us = kal_clock_wall_us(config.clock == NULL ? kal_clock_system() : config.clock);
    int64_t us = now_us % 1000000;
    if (us < 0)
        us += 1000000;
    time_t seconds = (time_t)((now_us - us) / 1000000);
    struct tm t;
    if (gmtime_r(&seconds, &t) == NULL) {
        snprintf(out, TIME_BYTES, "%lld us", (long long)now_us);
        return;
    }
    snprintf(out, TIME_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", t.tm_year + 1900, t.tm_mon + 1,
             t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, (int)us);
}

/* Length of the character at p; 0 when it is not UTF-8. */
static size_t char_len(const uint8_t *p, size_t left)
{
    for (size_t len = 1; len <= 4 && len <= left; len++) {
        if (kal_utf8_valid(kal_bytes_of(p, len)))
            return len;
    }
    return 0;
}

/* C0, DEL and C1: terminals act on them, and a line feed would begin a forged line. */
static bool is_control(const uint8_t *p, size_t len)
{
    return (len == 1 && (p[0] < 0x20 || p[0] == 0x7F)) || (len == 2 && p[0] == 0xC2 && p[1] < 0xA0);
}

static void append_safe(kal_buf *out, kal_bytes text)
{
    size_t at = 0;
    while (at < text.len) {
        const uint8_t *p = text.ptr + at;
        size_t len = char_len(p, text.len - at);
        if (len == 0) {
            kal_buf_printf(out, "\\x%02x", p[0]);
            at++;
            continue;
        }
        if (!is_control(p, len))
            kal_buf_append(out, p, len);
        else if (p[0] == '\n')
            kal_buf_append_cstr(out, "\\n");
        else
            kal_buf_printf(out, "\\u%04x", len == 1 ? p[0] : p[1]);
        at += len;
    }
}

static void write_line(const kal_buf *line)
{
    size_t written = 0;
    while (written < line->len) {
        ssize_t n = write(config.fd, line->ptr + written, line->len - written);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nobody could be told */
        written += (size_t)n;
    }
}

static void format_text(kal_buf *line, kal_log_level level, const char *time_text,
                        const char *component, kal_bytes message)
{
    kal_buf_printf(line, "%s %s %s: ", time_text, LEVEL_LABELS[level], component);
    append_safe(line, message);
}

static void format_json(kal_buf *line, kal_log_level level, const char *time_text,
                        const char *component, kal_bytes message)
{
    kal_json_writer w;
    kal_json_writer_init(&w, line);
    kal_json_begin_object(&w);
    kal_json_key(&w, "time");
    kal_json_cstr(&w, time_text);
    kal_json_key(&w, "level");
    kal_json_cstr(&w, LEVELS[level]);
    kal_json_key(&w, "component");
    kal_json_cstr(&w, component);
    kal_json_key(&w, "message");
    kal_json_string(&w, message);
    kal_json_end_object(&w);
}

/* vsnprintf may cut inside a character; what is left of it is dropped. */
static size_t whole_chars_len(const char *text, size_t len)
{
    for (size_t cut = 0; cut < 4 && cut < len; cut++) {
        if (kal_utf8_valid(kal_bytes_of(text, len - cut)))
            return len - cut;
    }
    return len; /* foreign bytes elsewhere: escaped later */
}

void kal_log_write(kal_log_level level, const char *component, const char *format, ...)
{
    char message[MESSAGE_BYTES];
    char time_text[TIME_BYTES];
    va_list args;
    if (level > config.level)
        return;
    va_start(args, format);
    int wanted = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    KAL_ASSERT(wanted >= 0);
    size_t len = (size_t)wanted;
    if (len >= sizeof message)
        len = whole_chars_len(message, sizeof message - 1);

    kal_buf line;
    kal_buf_init(&line, NULL);
    format_time(time_text);
    (config.json ? format_json : format_text)(&line, level, time_text, component,
                                              kal_bytes_of(message, len));
    kal_buf_append_byte(&line, '\n');
    write_line(&line);
    kal_buf_release(&line);
}
