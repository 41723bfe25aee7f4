#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void kal_assert_fail(const char *condition, const char *file, int line)
{
    fprintf(stderr, "assertion failed: %s at %s:%d\n", condition, file, line);
    abort();
}

void kal_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}
