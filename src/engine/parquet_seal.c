/*
 * parquet_seal.c: a checksum inside each Parquet file, looked at before DuckDB sees the file.
 *
 * DuckDB trusts what it reads: one flipped bit can make it give other values, or take memory until
 * none is left. Parquet has checksums of pages, which DuckDB neither writes nor looks at. So once a
 * file is written, 16 bytes are put where no reader looks, between the data and the footer, which
 * is found from the end of the file and itself tells where the data is:
 *
 *   PAR1 | data | "kalamsum" | checksum of the rest, le64 | footer | length of the footer, le32 |
 * PAR1
 *
 * The checksum also tells files apart: whoever remembers that of a file asks for this one and gets
 * no other, as whole as it may be. 0 stands for any.
 *
 * A file is verified when it is first read, at about 2 GB/s, and not again while this process lives
 * and the file's inode, size and time of change stay what they are.
 */
#include "base/assert.h"
#include "base/checksum.h"
#include "engine/parquet_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SEAL_BYTES = 16,
    TAIL_BYTES = 8,  /* length of the footer, PAR1 */
    MAGIC_BYTES = 4, /* PAR1 */
    PIECE_BYTES = 64 * 1024
};

static const char SEAL_MAGIC[] = "kalamsum";

/* ---- a file by its descriptor ---- */

static kal_status read_failed(const kal_parquet_session *session, kal_error *err)
{
    return kal_error_set(err, KAL_IO, "cannot read '%s': %s", session->path, strerror(errno));
}

static kal_status damaged(const kal_parquet_session *session, const char *reason, kal_error *err)
{
    return kal_error_set(err, KAL_CORRUPT, "the Parquet file '%s' is damaged: %s", session->path,
                         reason);
}

static kal_status read_at(const kal_parquet_session *session, uint64_t at, uint8_t *out, size_t len,
                          kal_error *err)
{
    while (len > 0) {
        ssize_t got = pread(session->fd, out, len, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return read_failed(session, err);
        if (got == 0)
            return damaged(session, "it became shorter", err);
        at += (uint64_t)got;
        out += got;
        len -= (size_t)got;
    }
    return KAL_OK;
}

/* 0 or errno. */
static int write_at(int fd, uint64_t at, kal_bytes bytes)
{
    while (bytes.len > 0) {
        ssize_t put = pwrite(fd, bytes.ptr, bytes.len, (off_t)at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return errno;
        at += (uint64_t)put;
        bytes = kal_bytes_of(bytes.ptr + put, bytes.len - (size_t)put);
    }
    return 0;
}

static kal_status add_range(const kal_parquet_session *session, uint64_t from, uint64_t to,
                            kal_checksum *checksum, kal_error *err)
{
    uint8_t *piece = malloc(PIECE_BYTES); /* owned */
    kal_status status = KAL_OK;

    if (piece == NULL)
        kal_die("out of memory: parquet");
    while (from < to && status == KAL_OK) {
        size_t len = to - from < PIECE_BYTES ? (size_t)(to - from) : PIECE_BYTES;
        status = read_at(session, from, piece, len, err);
        kal_checksum_add(checksum, kal_bytes_of(piece, len));
        from += len;
    }
    free(piece);
    return status;
}

/* Of everything but the seal at `seal`, whose length may be 0. */
static kal_status checksum_of(const kal_parquet_session *session, uint64_t seal, uint64_t seal_len,
                              uint64_t size, uint64_t *sum_out, kal_error *err)
{
    kal_checksum *checksum = kal_checksum_start();
    kal_status status = add_range(session, 0, seal, checksum, err);
    if (status == KAL_OK)
        status = add_range(session, seal + seal_len, size, checksum, err);
    *sum_out = kal_checksum_finish(checksum);
    return status;
}

/* Where the footer begins. */
static kal_status find_footer(const kal_parquet_session *session, uint64_t size,
                              uint64_t *footer_out, kal_error *err)
{
    uint8_t tail[TAIL_BYTES];

    if (size < MAGIC_BYTES + TAIL_BYTES)
        return damaged(session, "it is too short", err);
    KAL_TRY(read_at(session, size - TAIL_BYTES, tail, sizeof tail, err));
    uint64_t footer_len = kal_load_le32(tail);
    if (memcmp(tail + 4, "PAR1", MAGIC_BYTES) != 0)
        return damaged(session, "it has no end", err);
    if (footer_len > size - MAGIC_BYTES - TAIL_BYTES)
        return damaged(session, "its footer is longer than the file", err);
    *footer_out = size - TAIL_BYTES - footer_len;
    return KAL_OK;
}

/* ---- files that were verified ---- */

static kal_parquet_seen identity_of(const struct stat *info)
{
    return (kal_parquet_seen){
        .device = (uint64_t)info->st_dev,
        .inode = (uint64_t)info->st_ino,
        .size = (uint64_t)info->st_size,
        .changed_ns = (uint64_t)info->st_mtim.tv_sec * 1000000000 + (uint64_t)info->st_mtim.tv_nsec,
    };
}

static kal_parquet_seen *place_of(kal_parquet *parquet, const kal_parquet_seen *file)
{
    uint64_t mixed = (file->inode ^ file->device << 32) * UINT64_C(0x9E3779B97F4A7C15);
    return &parquet->seen[mixed >> 32 & (KAL_PARQUET_SEEN - 1)];
}

static bool is_same_file(const kal_parquet_seen *a, const kal_parquet_seen *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed_ns == b->changed_ns;
}

/* Its checksum then is in file->checksum. */
static bool was_seen(kal_parquet *parquet, kal_parquet_seen *file)
{
    pthread_mutex_lock(&parquet->lock);
    const kal_parquet_seen *seen = place_of(parquet, file);
    bool same = is_same_file(seen, file);
    if (same)
        file->checksum = seen->checksum;
    pthread_mutex_unlock(&parquet->lock);
    return same;
}

static void set_seen(kal_parquet *parquet, const kal_parquet_seen *file)
{
    pthread_mutex_lock(&parquet->lock);
    *place_of(parquet, file) = *file;
    pthread_mutex_unlock(&parquet->lock);
}

/* ---- seal and verify ---- */

/* Moves footer and tail behind the seal. */
static kal_status insert_seal(const kal_parquet_session *session, uint64_t footer, uint64_t size,
                              uint64_t sum, kal_error *err)
{
    size_t len = (size_t)(size - footer);
    uint8_t *bytes = malloc(SEAL_BYTES + len); /* owned */

    if (bytes == NULL)
        kal_die("out of memory: parquet");
    memcpy(bytes, SEAL_MAGIC, 8);
    kal_store_le64(bytes + 8, sum);
    kal_status status = read_at(session, footer, bytes + SEAL_BYTES, len, err);
    if (status == KAL_OK) {
        int error = write_at(session->fd, footer, kal_bytes_of(bytes, SEAL_BYTES + len));
        if (error != 0)
            status =
                kal_error_set(err, KAL_IO, "cannot write '%s': %s", session->path, strerror(error));
    }
    free(bytes);
    return status;
}

kal_status kal_parquet_seal(kal_parquet_session *session, uint64_t *checksum_out, kal_error *err)
{
    struct stat info;
    uint64_t footer = 0;
    uint64_t sum = 0;

    if (fstat(session->fd, &info) != 0)
        return read_failed(session, err);
    uint64_t size = (uint64_t)info.st_size;
    KAL_TRY(find_footer(session, size, &footer, err));
    KAL_TRY(checksum_of(session, footer, 0, size, &sum, err));
    KAL_TRY(insert_seal(session, footer, size, sum, err));
    if (fstat(session->fd, &info) != 0)
        return read_failed(session, err);
    kal_parquet_seen file = identity_of(&info);
    file.checksum = sum;
    set_seen(session->parquet, &file);
    *checksum_out = sum;
    return KAL_OK;
}

static kal_status verify(const kal_parquet_session *session, uint64_t size, uint64_t *sum_out,
                         kal_error *err)
{
    uint8_t seal[SEAL_BYTES];
    uint64_t footer = 0;

    KAL_TRY(find_footer(session, size, &footer, err));
    if (footer < MAGIC_BYTES + SEAL_BYTES)
        return damaged(session, "it has no checksum", err);
    KAL_TRY(read_at(session, footer - SEAL_BYTES, seal, sizeof seal, err));
    if (memcmp(seal, SEAL_MAGIC, 8) != 0)
        return damaged(session, "it has no checksum", err);
    KAL_TRY(checksum_of(session, footer - SEAL_BYTES, SEAL_BYTES, size, sum_out, err));
    if (*sum_out != kal_load_le64(seal + 8))
        return damaged(session, "its bytes are not those that were written", err);
    return KAL_OK;
}

kal_status kal_parquet_verify(kal_parquet_session *session, uint64_t checksum, kal_error *err)
{
    struct stat info;

    if (fstat(session->fd, &info) != 0)
        return read_failed(session, err);
    kal_parquet_seen file = identity_of(&info);
    if (!was_seen(session->parquet, &file)) {
        KAL_TRY(verify(session, file.size, &file.checksum, err));
        set_seen(session->parquet, &file);
    }
    if (checksum != 0 && file.checksum != checksum)
        return damaged(session, "it is another file than the one that was written", err);
    return KAL_OK;
}
