#include "base/error.h"
#include "base/assert.h"
#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name;
    const char *code;
    int http;
} STATUSES[] = {
#define KAL_STATUS_ROW(name, code, http) {#name, code, http},
    KAL_STATUS_LIST(KAL_STATUS_ROW)
#undef KAL_STATUS_ROW
};

/* snprintf may cut a UTF-8 sequence in two; drop the torn tail so the text stays valid. */
static void trim_torn_utf8(char *text)
{
    size_t len = strlen(text);
    while (len > 0 && !kal_utf8_valid(kal_bytes_of(text, len)) && len + 4 > strlen(text))
        len--;
    if (!kal_utf8_valid(kal_bytes_of(text, len)))
        return; /* not torn but foreign bytes: the JSON writer escapes them */
    text[len] = '\0';
}

static void format_into(char *out, size_t size, const char *format, va_list args)
{
    int written = vsnprintf(out, size, format, args);
    KAL_ASSERT(written >= 0);
    if ((size_t)written >= size)
        trim_torn_utf8(out);
}

kal_status kal_error_set(kal_error *err, kal_status status, const char *format, ...)
{
    KAL_ASSERT(status != KAL_OK);
    if (err == NULL)
        return status;
    err->status = status;
    err->code = kal_status_code(status);
    err->position = -1;
    err->row = 0;
    err->hint[0] = '\0';
    va_list args;
    va_start(args, format);
    format_into(err->message, sizeof err->message, format, args);
    va_end(args);
    return status;
}

void kal_error_code(kal_error *err, const char *code)
{
    if (err != NULL)
        err->code = code;
}

void kal_error_hint(kal_error *err, const char *format, ...)
{
    if (err == NULL)
        return;
    va_list args;
    va_start(args, format);
    format_into(err->hint, sizeof err->hint, format, args);
    va_end(args);
}

void kal_error_at(kal_error *err, size_t position)
{
    if (err != NULL && err->position < 0)
        err->position = (int64_t)position;
}

void kal_error_row(kal_error *err, uint64_t row)
{
    char suffix[48];
    KAL_ASSERT(row > 0);
    if (err == NULL || err->status == KAL_OK || err->row != 0)
        return;
    err->row = row;
    int len = snprintf(suffix, sizeof suffix, " (row %llu of the batch)", (unsigned long long)row);
    size_t room = sizeof err->message - 1 - (size_t)len;
    if (strlen(err->message) > room) {
        err->message[room] = '\0';
        trim_torn_utf8(err->message);
    }
    memcpy(err->message + strlen(err->message), suffix, (size_t)len + 1);
}

const char *kal_status_name(kal_status status)
{
    KAL_ASSERT((size_t)status < KAL_ARRAY_LEN(STATUSES));
    return STATUSES[status].name;
}

const char *kal_status_code(kal_status status)
{
    KAL_ASSERT((size_t)status < KAL_ARRAY_LEN(STATUSES));
    return STATUSES[status].code;
}

int kal_status_http(kal_status status)
{
    KAL_ASSERT((size_t)status < KAL_ARRAY_LEN(STATUSES));
    return STATUSES[status].http;
}
