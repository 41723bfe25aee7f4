#include "cli/source.h"

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_CAP (256u * 1024u)

static kal_status skip_byte_order_mark(kal_source *source, kal_error *err)
{
    while (source->end - source->start < 3 && !source->at_end) {
        kal_status status = kal_source_more(source, err);
        if (status == KAL_END)
            break;
        KAL_TRY(status);
    }
    kal_bytes bytes = kal_source_bytes(source);
    if (kal_bytes_starts_with(bytes, KAL_STR("\xEF\xBB\xBF")))
        kal_source_consume(source, 3);
    if (kal_bytes_starts_with(bytes, KAL_STR("\xFF\xFE")) ||
        kal_bytes_starts_with(bytes, KAL_STR("\xFE\xFF"))) {
        kal_error_set(err, KAL_INVALID, "'%s' is UTF-16", source->path);
        kal_error_hint(err, "convert it: iconv -f UTF-16 -t UTF-8");
        return KAL_INVALID;
    }
    return KAL_OK;
}

kal_status kal_source_open(kal_bytes path, kal_source *source_out, kal_error *err)
{
    struct stat about;
    *source_out = (kal_source){.fd = -1, .line = 1, .cap = FIRST_CAP};
    source_out->path = strndup((const char *)path.ptr, path.len);
    source_out->buf = malloc(FIRST_CAP);
    if (source_out->path == NULL || source_out->buf == NULL)
        kal_die("out of memory");
    source_out->fd = open(source_out->path, O_RDONLY | O_CLOEXEC);
    if (source_out->fd < 0 || fstat(source_out->fd, &about) != 0) {
        kal_status status = errno == ENOENT ? KAL_NOT_FOUND : KAL_IO;
        kal_error_set(err, status, "cannot open '%.300s': %s", source_out->path, strerror(errno));
        kal_source_release(source_out);
        return status;
    }
    if (!S_ISREG(about.st_mode)) {
        kal_error_set(err, KAL_INVALID, "'%.300s' is not a regular file", source_out->path);
        kal_source_release(source_out);
        return KAL_INVALID;
    }
    source_out->size = (uint64_t)about.st_size;
    kal_status status = skip_byte_order_mark(source_out, err);
    if (status != KAL_OK)
        kal_source_release(source_out);
    return status;
}

void kal_source_release(kal_source *source)
{
    if (source->fd >= 0)
        close(source->fd);
    free(source->path);
    free(source->buf);
    *source = (kal_source){.fd = -1};
}

kal_status kal_source_rewind(kal_source *source, kal_error *err)
{
    if (lseek(source->fd, 0, SEEK_SET) != 0)
        return kal_error_set(err, KAL_IO, "cannot read '%.300s' again: %s", source->path,
                             strerror(errno));
    source->start = source->end = 0;
    source->offset = 0;
    source->line = 1;
    source->at_end = false;
    return skip_byte_order_mark(source, err);
}

/* Room behind `end`: by moving the record to the front, or by a larger buffer. */
static kal_status make_room(kal_source *source, kal_error *err)
{
    if (source->end < source->cap)
        return KAL_OK;
    if (source->start > 0) {
        memmove(source->buf, source->buf + source->start, source->end - source->start);
        source->end -= source->start;
        source->start = 0;
        return KAL_OK;
    }
    if (source->cap >= KAL_RECORD_BYTES_MAX)
        return kal_error_set(err, KAL_LIMIT, "line %llu: the record exceeds %u MiB",
                             (unsigned long long)source->line, KAL_RECORD_BYTES_MAX >> 20);
    uint8_t *larger = realloc(source->buf, source->cap * 2);
    if (larger == NULL)
        kal_die("out of memory: %zu bytes", source->cap * 2);
    source->buf = larger;
    source->cap *= 2;
    return KAL_OK;
}

kal_status kal_source_more(kal_source *source, kal_error *err)
{
    if (source->at_end)
        return KAL_END;
    KAL_TRY(make_room(source, err));
    ssize_t got = 0;
    do {
        got = read(source->fd, source->buf + source->end, source->cap - source->end);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return kal_error_set(err, KAL_IO, "cannot read '%.300s': %s", source->path,
                             strerror(errno));
    if (got == 0) {
        source->at_end = true;
        return KAL_END;
    }
    source->end += (size_t)got;
    return KAL_OK;
}

void kal_source_consume(kal_source *source, size_t len)
{
    KAL_ASSERT(len <= source->end - source->start);
    const uint8_t *at = source->buf + source->start;
    const uint8_t *stop = at + len;
    while ((at = memchr(at, '\n', (size_t)(stop - at))) != NULL) {
        source->line++;
        at++;
    }
    source->start += len;
    source->offset += len;
}
