/*
 * secret.c: the key that signs all tokens: made by this data directory at its first start, kept in
 * a file that nobody else can read. One that others could have read is refused rather than mended:
 * whoever has it can be anybody.
 */
#include "auth/auth_internal.h"
#include "base/rng.h"

#include <sodium.h>

static kal_status make_secret(const kal_files *files, const char *path,
                              uint8_t secret[KAL_TOKEN_SECRET_BYTES], kal_error *err)
{
    kal_random_bytes(secret, KAL_TOKEN_SECRET_BYTES);
    return kal_files_replace(files, path, kal_bytes_of(secret, KAL_TOKEN_SECRET_BYTES), 0600, err);
}

static kal_status refuse(const char *path, const char *why, kal_error *err)
{
    kal_error_set(err, KAL_CORRUPT, "token secret '%s' %s", path, why);
    kal_error_hint(err, "remove the file: a new one is made, and everybody must log in again");
    return KAL_CORRUPT;
}

static kal_status read_secret(const kal_files *files, const char *path,
                              uint8_t secret[KAL_TOKEN_SECRET_BYTES], kal_error *err)
{
    unsigned mode = 0;
    kal_buf content; /* owned */
    char why[80];

    KAL_TRY(kal_files_mode(files, path, &mode, err));
    if ((mode & 0077u) != 0) {
        snprintf(why, sizeof why, "has mode %04o, so others may know it; it must be 0600", mode);
        return refuse(path, why, err);
    }
    kal_buf_init(&content, NULL);
    kal_status status = kal_files_read(files, path, &content, err);
    if (status == KAL_OK && content.len != KAL_TOKEN_SECRET_BYTES) {
        snprintf(why, sizeof why, "has %zu bytes instead of %u", content.len,
                 KAL_TOKEN_SECRET_BYTES);
        status = refuse(path, why, err);
    } else if (status == KAL_OK) {
        memcpy(secret, content.ptr, KAL_TOKEN_SECRET_BYTES);
    }
    if (content.len > 0)
        sodium_memzero(content.ptr, content.len);
    kal_buf_release(&content);
    return status;
}

kal_status kal_secret_open(const kal_files *files, const char *path,
                           uint8_t secret[KAL_TOKEN_SECRET_BYTES], kal_error *err)
{
    kal_status status = read_secret(files, path, secret, err);
    return status == KAL_NOT_FOUND ? make_secret(files, path, secret, err) : status;
}
