/*
 * progress.c: how far an import is.
 */
#include "cli/progress.h"

#include "base/clock.h"
#include "cli/render.h"

#include <stdio.h>
#include <unistd.h>

enum { BAR_COLUMNS = 28 };
static const uint64_t SHOW_EVERY_NS = 100 * 1000 * 1000;

static uint64_t now_ns(void)
{
    return (uint64_t)kal_clock_mono_ns(kal_clock_system());
}

void kal_progress_start(kal_progress *progress)
{
    *progress = (kal_progress){.started_ns = now_ns(), .is_terminal = isatty(STDERR_FILENO) == 1};
    progress->phase_ns = progress->started_ns;
}

static double per_second(uint64_t count, uint64_t ns)
{
    return ns == 0 ? 0 : (double)count * 1e9 / (double)ns;
}

static void append_rate(kal_buf *out, uint64_t bytes, uint64_t ns)
{
    kal_buf_printf(out, "%.1f MB/s", per_second(bytes, ns) / 1e6);
}

static void append_bar(kal_buf *out, uint64_t bytes, uint64_t total)
{
    double part = total == 0 ? 1 : (double)bytes / (double)total;
    int full = (int)(part * BAR_COLUMNS);
    kal_buf_append_byte(out, '[');
    for (int i = 0; i < BAR_COLUMNS; i++)
        kal_buf_append_byte(out, i < full ? '#' : '-');
    kal_buf_printf(out, "] %3d%%  ", (int)(part * 100));
}

void kal_progress_show(void *context, kal_import_phase phase, uint64_t rows, uint64_t bytes,
                       uint64_t bytes_total)
{
    kal_progress *progress = context;
    uint64_t now = now_ns();
    kal_buf line; /* owned */

    if (phase != progress->phase) {
        progress->phase = phase;
        progress->phase_ns = now;
    }
    if (!progress->is_terminal || (now - progress->shown_ns < SHOW_EVERY_NS && bytes < bytes_total))
        return;
    progress->shown_ns = now;
    progress->is_shown = true;
    kal_buf_init(&line, NULL);
    kal_buf_printf(&line, "\r\033[K%s  ", phase == KAL_IMPORT_READING ? "reading" : "sending");
    append_bar(&line, bytes, bytes_total);
    kal_render_count(rows, &line);
    kal_buf_append_cstr(&line, " rows  ");
    append_rate(&line, bytes, now - progress->phase_ns);
    fwrite(line.ptr, 1, line.len, stderr);
    fflush(stderr);
    kal_buf_release(&line);
}

void kal_progress_clear(kal_progress *progress)
{
    if (progress->is_shown)
        fputs("\r\033[K", stderr);
    progress->is_shown = false;
}

void kal_progress_summary(const kal_progress *progress, uint64_t rows, uint64_t bytes, kal_buf *out)
{
    uint64_t ns = now_ns() - progress->started_ns;
    kal_render_count(rows, out);
    kal_buf_printf(out, " row%s in %.1f s (", rows == 1 ? "" : "s", (double)ns / 1e9);
    kal_render_count((uint64_t)per_second(rows, ns), out);
    kal_buf_append_cstr(out, " rows/s, ");
    append_rate(out, bytes, ns);
    kal_buf_append_byte(out, ')');
}
