/*
 * password.c: argon2id hashes (libsodium), and which passwords are refused.
 *
 * t = 2, m = 19 MiB: about 25 ms of CPU, the least that OWASP recommends; a login must not be a way
 * to stop a small server. Parameters are part of the hash, so they can be raised later.
 */
#include "auth/auth_internal.h"
#include "base/assert.h"

#include <sodium.h>

enum { MEMORY_BYTES = 19 * 1024 * 1024, PASSES = 2 };

static kal_status weak(kal_error *err)
{
    kal_error_code(err, "WEAK_PASSWORD");
    return KAL_INVALID;
}

kal_status kal_password_hash(kal_bytes password, kal_arena *arena, char **hash_out, kal_error *err)
{
    if (password.len < KAL_PASSWORD_BYTES_MIN || password.len > KAL_PASSWORD_BYTES_MAX) {
        kal_error_set(err, KAL_INVALID, "a password has %d to %d bytes", KAL_PASSWORD_BYTES_MIN,
                      KAL_PASSWORD_BYTES_MAX);
        return weak(err);
    }
    if (kal_password_is_common(password)) {
        kal_error_set(err, KAL_INVALID, "this password is among the first that anybody would try");
        return weak(err);
    }
    char *hash = kal_arena_alloc(arena, crypto_pwhash_STRBYTES);
    if (crypto_pwhash_str(hash, (const char *)password.ptr, password.len, PASSES, MEMORY_BYTES) !=
        0)
        return kal_error_set(err, KAL_INTERNAL, "not enough memory to hash a password");
    *hash_out = hash;
    return KAL_OK;
}

bool kal_password_matches(kal_bytes hash, kal_bytes password)
{
    /* A valid hash of nothing that anybody can type: costs the same, never matches. */
    static const char DUMMY[] = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
                                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    char text[crypto_pwhash_STRBYTES] = {0};
    bool known = hash.len > 0 && hash.len < sizeof text;

    if (known)
        memcpy(text, hash.ptr, hash.len);
    else
        memcpy(text, DUMMY, sizeof DUMMY);
    bool matches = password.len <= KAL_PASSWORD_BYTES_MAX &&
                   crypto_pwhash_str_verify(text, (const char *)password.ptr, password.len) == 0;
    return matches && known;
}
