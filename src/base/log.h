/*
 * log.h: the server's log, as text lines or JSON lines on standard error or a file.
 *
 * Log once, where a failure is handled; where it is passed on, add context to the error instead.
 * Text:  2026-11-23T10:15:00.123456Z WARN  lane: write failed: ...
 * JSON:  {"time":"...","level":"warn","component":"lane","message":"..."}
 * Control characters and broken UTF-8 in the message are escaped: a client cannot forge a line.
 * Threads: any; a line is written by one write(2).
 */
#ifndef KAL_BASE_LOG_H
#define KAL_BASE_LOG_H

#include "base/clock.h"

#define KAL_LOG_LEVEL_LIST(X)                                                                      \
    X(ERROR, "error")                                                                              \
    X(WARN, "warn")                                                                                \
    X(INFO, "info")                                                                                \
    X(DEBUG, "debug")

typedef enum kal_log_level {
#define KAL_LOG_ENUM(name, text) KAL_LOG_##name,
    KAL_LOG_LEVEL_LIST(KAL_LOG_ENUM)
#undef KAL_LOG_ENUM
} kal_log_level;

/* Before the first thread is started. fd is borrowed. Default: info, text, standard error. */
void kal_log_configure(kal_log_level level, bool json, int fd, const kal_clock *clock);
bool kal_log_level_parse(const char *text, kal_log_level *level_out);

void kal_log_write(kal_log_level level, const char *component, const char *format, ...)
    KAL_PRINTF(3, 4);

#define kal_log_error(component, ...) kal_log_write(KAL_LOG_ERROR, component, __VA_ARGS__)
#define kal_log_warn(component, ...)  kal_log_write(KAL_LOG_WARN, component, __VA_ARGS__)
#define kal_log_info(component, ...)  kal_log_write(KAL_LOG_INFO, component, __VA_ARGS__)
#define kal_log_debug(component, ...) kal_log_write(KAL_LOG_DEBUG, component, __VA_ARGS__)

#endif
