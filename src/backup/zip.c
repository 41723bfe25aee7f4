#include "backup/zip.h"
#include "backup/tree.h"
#include "base/file_io.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MODE = 0600, SECOND_US = 1000000 };

struct kal_zip {
    struct archive *archive; /* owned */
    char *path;              /* owned */
    int fd;                  /* owned; -1 when finished */
    int error;               /* of the file: errno */
    bool is_full;            /* bytes_max was reached */
    uint64_t bytes;
    uint64_t bytes_max;
};

static kal_status failed(kal_zip *zip, kal_error *err)
{
    if (zip->is_full)
        return kal_error_set(err, KAL_LIMIT, "the archive exceeds %llu bytes",
                             (unsigned long long)zip->bytes_max);
    if (zip->error != 0)
        return kal_tree_failed("write", zip->path, zip->error, err);
    return kal_error_set(err, KAL_IO, "cannot write '%s': %s", zip->path,
                         archive_error_string(zip->archive));
}

static bool has_failed(const kal_zip *zip)
{
    return zip->is_full || zip->error != 0;
}

/* libarchive is not told of a failure: it would not free its compressor then. What follows is
 * thrown away, and whoever writes asks has_failed(). */
static la_ssize_t write_bytes(struct archive *archive, void *context, const void *bytes, size_t len)
{
    kal_zip *zip = context;

    (void)archive;
    if (len > zip->bytes_max - zip->bytes)
        zip->is_full = true;
    if (!has_failed(zip))
        zip->error = kal_file_write_all(zip->fd, kal_bytes_of(bytes, len));
    if (!has_failed(zip))
        zip->bytes += len;
    return (la_ssize_t)len;
}

kal_status kal_zip_create(const char *path, uint64_t bytes_max, kal_zip **zip_out, kal_error *err)
{
    int fd = kal_file_open(path, O_WRONLY | O_CREAT | O_EXCL, FILE_MODE);
    kal_zip *zip = NULL;

    *zip_out = NULL;
    if (fd < 0)
        return kal_tree_failed("write", path, errno, err);
    zip = calloc(1, sizeof *zip);
    struct archive *archive = archive_write_new();
    if (zip == NULL || archive == NULL)
        kal_die("out of memory: archive");
    *zip = (kal_zip){.archive = archive, .path = strdup(path), .fd = fd, .bytes_max = bytes_max};
    if (zip->path == NULL)
        kal_die("out of memory: archive");
    bool opened = archive_write_set_format_zip(archive) == ARCHIVE_OK &&
                  archive_write_set_bytes_in_last_block(archive, 1) == ARCHIVE_OK &&
                  archive_write_open(archive, zip, NULL, write_bytes, NULL) == ARCHIVE_OK;
    kal_status status = opened ? KAL_OK : failed(zip, err);
    if (status == KAL_OK)
        *zip_out = zip;
    else
        kal_zip_close(zip);
    return status;
}

kal_status kal_zip_begin(kal_zip *zip, const char *name, int64_t time_us, kal_error *err)
{
    struct archive_entry *entry = archive_entry_new(); /* owned */

    if (entry == NULL)
        kal_die("out of memory: archive");
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, FILE_MODE);
    archive_entry_set_mtime(entry, time_us / SECOND_US, 0);
    int code = archive_write_header(zip->archive, entry);
    archive_entry_free(entry);
    return code == ARCHIVE_OK && !has_failed(zip) ? KAL_OK : failed(zip, err);
}

kal_status kal_zip_write(kal_zip *zip, kal_bytes bytes, kal_error *err)
{
    while (bytes.len > 0) {
        la_ssize_t written = archive_write_data(zip->archive, bytes.ptr, bytes.len);
        if (written <= 0 || has_failed(zip))
            return failed(zip, err);
        bytes = kal_bytes_of(bytes.ptr + written, bytes.len - (size_t)written);
    }
    return KAL_OK;
}

kal_status kal_zip_finish(kal_zip *zip, uint64_t *bytes_out, kal_error *err)
{
    if (archive_write_close(zip->archive) != ARCHIVE_OK || has_failed(zip))
        return failed(zip, err);
    zip->error = kal_file_sync_close(zip->fd, 0);
    zip->fd = -1;
    *bytes_out = zip->bytes;
    return zip->error == 0 ? KAL_OK : failed(zip, err);
}

void kal_zip_close(kal_zip *zip)
{
    if (zip == NULL)
        return;
    archive_write_free(zip->archive);
    if (zip->fd >= 0)
        close(zip->fd);
    free(zip->path);
    free(zip);
}
